/* What anybody may send to mapd.  The first byte says who does, and whether
 * the store works; then come messages.  Whatever they are: who has no right to
 * change a record has not changed it, and the copy of a subscriber that
 * follows mapd's updates is the same as a fresh one. */

#include <config.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hash.h"
#include "mapping/mapd/server-private.h"
#include "mapping/mapd/store.h"
#include "mapping/record.h"
#include "mapping/replica/replica-json.h"
#include "mapping/replica/replica.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "stream-fd.h"
#include "timeval.h"
#include "util.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

enum {
    WHO        = 7,             /* In the first byte: an index of 'people'; */
    FAILS      = 8,             /* the store does. */
    ROUNDS     = 8,             /* Of the server, to deal with all there is. */
};

static const struct role people[WHO + 1] = {
    { ROLE_ADMIN, "" }, { ROLE_HOST, "h1" }, { ROLE_HOST, "h1" },
    { ROLE_HOST, "h1" }, { ROLE_HOST, "new" }, { ROLE_READER, "r" },
    { ROLE_MAPD, "m" }, { ROLE_NONE, "" },
};

static const char *const records[] = {
    "{\"kind\":\"host\",\"name\":\"h1\",\"vtep\":\"192.0.2.1\"}",
    "{\"kind\":\"host\",\"name\":\"h2\",\"vtep\":\"192.0.2.2\"}",
    "{\"kind\":\"group\",\"vni\":1,\"name\":\"g\",\"address\":\"10.0.0.1\","
    "\"slots\":256,\"health_check\":\"arp\"}",
    "{\"kind\":\"endpoint\",\"vni\":1,\"group\":\"g\",\"name\":\"a\","
    "\"host\":\"h1\",\"mac\":\"02:00:00:00:00:01\"}",
    "{\"kind\":\"endpoint\",\"vni\":1,\"group\":\"g\",\"name\":\"b\","
    "\"host\":\"h2\",\"mac\":\"02:00:00:00:00:02\"}",
    "{\"kind\":\"pool\",\"vni\":1,\"name\":\"p\",\"first\":\"10.0.0.8\","
    "\"last\":\"10.0.0.15\"}",
    "{\"kind\":\"workload\",\"vni\":1,\"name\":\"w\",\"host\":\"h2\","
    "\"mac\":\"02:00:00:00:00:03\",\"address\":\"10.0.0.9\"}",
    "{\"kind\":\"gateway\",\"name\":\"gw\",\"node1\":\"h1\","
    "\"node2\":\"h2\"}",
};

/* A store of one user, without a disk. */

static struct store {
    bool fails;
} the_store;

int
store_commit(struct store *store, const struct catalog_txn *txn OVS_UNUSED,
             const struct catalog *catalog OVS_UNUSED, struct diagnosis *diag)
{
    return store->fails ? diagnosis_set(diag, DIAG_STORE, NULL, NULL, "full")
           : 0;
}

int
store_check(const struct store *store OVS_UNUSED,
            struct diagnosis *diag OVS_UNUSED)
{
    return 0;
}

const char *
store_name(const struct store *store OVS_UNUSED)
{
    return "none";
}

bool
store_is_shared(const struct store *store OVS_UNUSED)
{
    return false;
}

int
store_check_leader(const struct store *store OVS_UNUSED,
                   struct diagnosis *diag OVS_UNUSED)
{
    return 0;
}

struct catalog_txn *
store_follow(struct store *store OVS_UNUSED,
             struct catalog *catalog OVS_UNUSED)
{
    return NULL;
}

bool
store_next_seen(struct store *store OVS_UNUSED,
                struct store_seen *seen OVS_UNUSED)
{
    return false;
}

const char *
store_own_name(const struct store *store OVS_UNUSED)
{
    return "";
}

const char *
store_leader_name(const struct store *store OVS_UNUSED)
{
    return NULL;
}

const char *
store_leader_address(const struct store *store OVS_UNUSED)
{
    return NULL;
}

void
store_put_seen(struct store *store OVS_UNUSED, const char *name OVS_UNUSED)
{
}

void
store_drop_seen(struct store *store OVS_UNUSED, const char *name OVS_UNUSED,
                long long silent_ms OVS_UNUSED)
{
}

size_t
store_commit_room(const struct store *store OVS_UNUSED)
{
    return SIZE_MAX;
}

int64_t
store_leader_term(const struct store *store OVS_UNUSED)
{
    return 0;
}

void
store_run(struct store *store OVS_UNUSED)
{
}

void
store_wait(struct store *store OVS_UNUSED)
{
}

void
store_refresh(struct store *store OVS_UNUSED)
{
}

/* The catalog. */

static struct catalog *
make_catalog(void)
{
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);

    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        struct json *json = json_from_string(records[i]);
        struct record record;

        CHECK(!record_from_json(json, &record, NULL));
        CHECK(!catalog_add(txn, &record, false, NULL));
        json_destroy(json);
    }
    CHECK(!catalog_prepare(txn, NULL));
    catalog_commit(txn);
    return catalog;
}

/* Adds up, so that the order does not matter. */
static uint64_t
digest_json(struct json *json)
{
    char *text = json_to_string(json, JSSF_SORT);
    uint64_t digest = (hash_uint64(hash_string(text, 1))
                       | (uint64_t) hash_string(text, 2) << 32);

    json_destroy(json);
    free(text);
    return digest;
}

static uint64_t
digest_record(struct record record, const struct role *role)
{
    bool is_host = role->kind == ROLE_HOST;

    if (is_host && record.kind == RECORD_HOST
        && !strcmp(record.host.name, role->name)) {
        return 0;               /* Its own. */
    } else if (is_host && record.kind == RECORD_ENDPOINT
               && !strcmp(record.endpoint.host, role->name)) {
        record.endpoint.state = ENDPOINT_UP;
    }
    return digest_json(record_to_json(&record));
}

static uint64_t
digest_group(const struct catalog *catalog, const struct catalog_group *group,
             const struct role *role)
{
    uint64_t digest = digest_record((struct record) {
        .kind = RECORD_GROUP, .group = group->record }, role);

    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *e = group->endpoints[i];

        digest += digest_record((struct record) {
            .kind = RECORD_ENDPOINT, .endpoint = e->record }, role);
        if (strcmp(e->record.host, role->name)) {
            digest += catalog_endpoint_sickness(catalog, group, e) != NULL;
        }
    }
    return digest;
}

/* A number that changes when anything does that 'role' may not change. */
static uint64_t
digest_forbidden(const struct catalog *catalog, const struct role *role)
{
    uint64_t digest = 0;
    size_t n;

    const struct record_host **hosts = catalog_hosts(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        digest += digest_record((struct record) {
            .kind = RECORD_HOST, .host = *hosts[i] }, role);
    }
    free(hosts);

    const struct catalog_group **groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        digest += digest_group(catalog, groups[i], role);
    }
    free(groups);

    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        struct record *plain = catalog_records(catalog, kind, &n);

        for (size_t i = 0; i < n; i++) {
            digest += digest_record(plain[i], role);
        }
        free(plain);
    }
    return digest;
}

/* Peers. */

/* Connects somebody.  Returns the peer's end. */
static int
connect_peer(struct server *server, const struct role *role)
{
    struct stream *stream;
    int fds[2];

    CHECK(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds));
    CHECK(!new_fd_stream(xstrdup("fuzz"), fds[0], 0, AF_UNIX, &stream));
    server_add_connection(server, stream, true, role, NULL);
    return fds[1];
}

static void
run(struct server *server, int n)
{
    for (int i = 0; i < n; i++) {
        server_run(server);
    }
}

struct subscriber {
    int fd;
    struct replica replica;
};

static void
subscribe(struct subscriber *s, struct server *server)
{
    static const char request[]
        = "{\"id\":1,\"method\":\"subscribe\",\"params\":[{}]}";

    s->fd = connect_peer(server, &people[0]);
    replica_init(&s->replica);
    CHECK(write(s->fd, request, strlen(request)) == sizeof request - 1);
}

static void
take_message(struct subscriber *s, const struct json *json)
{
    const struct shash *message = json_object(json);
    const struct json *method = shash_find_data(message, "method");
    const struct json *result = shash_find_data(message, "result");
    struct diagnosis diag;

    if (!method) {
        CHECK(!replica_load_snapshot(&s->replica, result, 0, &diag));
    } else if (!strcmp(json_string(method), "update")) {
        CHECK(!replica_apply_update(
                  &s->replica, json_array(shash_find_data(message, "params"))
                  ->elems[0], 0, &diag));
    } else {
        CHECK(!strcmp(json_string(method), "echo"));
    }
}

/* Takes in what mapd has sent, which must be without a fault. */
static void
follow(struct subscriber *s)
{
    struct json_parser *parser = NULL;
    char buffer[16384];
    ssize_t n;

    while ((n = read(s->fd, buffer, sizeof buffer)) > 0) {
        for (size_t used = 0; used < (size_t) n; ) {
            parser = parser ? parser : json_parser_create(0);
            used += json_parser_feed(parser, buffer + used, n - used);
            if (json_parser_is_done(parser)) {
                struct json *json = json_parser_finish(parser);

                CHECK(json->type == JSON_OBJECT);
                take_message(s, json);
                json_destroy(json);
                parser = NULL;
            }
        }
    }
    CHECK(!parser && n);        /* Complete; and not cut off. */
}

/* Without for how long endpoints have been up, which the subscribers have not
 * heard at the same time. */
static uint64_t
digest_replica(struct replica *replica)
{
    static const char *const lists[] = { "hosts", "dead", "groups",
                                         "records" };
    struct replica_group *group;
    struct json *json;
    uint64_t digest = replica->revision;

    HMAP_FOR_EACH (group, node, &replica->groups) {
        for (size_t i = 0; i < group->n_endpoints; i++) {
            group->endpoints[i].up_at_ms = 0;
        }
    }
    json = replica_to_json(replica, 0);
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct json *array = shash_find_data(json_object(json),
                                                   lists[i]);

        for (size_t j = 0; array && j < json_array(array)->n; j++) {
            digest += digest_json(json_clone(json_array(array)->elems[j]));
        }
    }
    json_destroy(json);
    return digest;
}

static void
end_subscriber(struct subscriber *s)
{
    replica_destroy(&s->replica);
    close(s->fd);
}

int
LLVMFuzzerInitialize(int *argc OVS_UNUSED, char ***argv OVS_UNUSED)
{
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return 0;
}

/* 'first' has followed all that was sent to it: somebody who comes now sees
 * the same. */
static void
compare(struct subscriber *first, struct server *server)
{
    struct subscriber last;

    follow(first);
    CHECK(first->replica.revision == catalog_revision(server->catalog));
    subscribe(&last, server);
    run(server, 2);
    follow(&last);
    CHECK(digest_replica(&first->replica) == digest_replica(&last.replica));
    end_subscriber(&last);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct hash_key key = { { 1, 2 } };
    const struct role *role = &people[size ? data[0] & WHO : 0];
    struct subscriber first;
    struct catalog *catalog;
    struct server *server;
    uint64_t before;
    int fd;

    if (size < 2) {
        return 0;
    }
    catalog = make_catalog();
    the_store.fails = data[0] & FAILS;
    CHECK(!server_create(catalog, &the_store, &key, 3000, &server, NULL));
    subscribe(&first, server);
    run(server, 2);
    follow(&first);

    before = digest_forbidden(catalog, role);
    fd = connect_peer(server, role);
    CHECK(write(fd, data + 1, size - 1) == (ssize_t) size - 1);
    run(server, ROUNDS);
    close(fd);
    run(server, 2);
    CHECK(roles_is_admin(role) || before == digest_forbidden(catalog, role));
    CHECK(!the_store.fails || catalog_revision(catalog) == 1);
    if (catalog_revision(catalog) != 1) {
        compare(&first, server);
    }

    server_destroy(server);
    end_subscriber(&first);
    catalog_destroy(catalog);
    return 0;
}
