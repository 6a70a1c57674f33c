/* Methods that change the catalog.  All go through server_finish(). */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/params.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "sset.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_change);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 10);

/* What transact and load have in common. */
struct change_options {
    bool dry_run;
    bool conditional;           /* The next is given. */
    uint64_t if_revision;
};

static void
get_options(struct params *p, struct change_options *options)
{
    options->dry_run = params_bool(p, "dry_run", false);
    options->if_revision = params_uint(p, "if_revision", 0, INT64_MAX,
                                       UINT64_MAX);
    options->conditional = options->if_revision != UINT64_MAX;
}

static int
check_revision(const struct server *server,
               const struct change_options *options, struct diagnosis *diag)
{
    uint64_t revision = catalog_revision(server->catalog);
    char text[24];
    int error;

    if (!options->conditional || options->if_revision == revision) {
        return 0;
    }
    snprintf(text, sizeof text, "%"PRIu64, options->if_revision);
    error = diagnosis_set(diag, DIAG_REVISION, "if_revision", text,
                          "the change is for revision %s only, and the "
                          "revision is %"PRIu64, text, revision);
    diagnosis_set_hint(diag, "look at what has changed, then repeat with "
                       "if-revision %"PRIu64, revision);
    return error;
}

/* Finishing. */

static struct json *
encode_changes(const struct catalog_change *changes, size_t n)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < n; i++) {
        const struct catalog_change *c = &changes[i];
        struct json *json = json_object_create();

        json_object_put_string(json, "op", (!c->before ? "add"
                                            : !c->after ? "remove" : "set"));
        json_object_put(json, "record",
                        record_to_json(c->after ? c->after : c->before));
        if (c->before) {
            json_object_put(json, "before", record_to_json(c->before));
        }
        json_array_add(array, json);
    }
    return array;
}

static bool
removes_host(const struct catalog_change *change)
{
    return (change->before && change->before->kind == RECORD_HOST
            && !change->after);
}

/* A host that is connected uses what it is sent, and so it must be seen, and
 * waited for. */
static int
check_removed_hosts(const struct server *server,
                    const struct catalog_change *changes, size_t n,
                    struct diagnosis *diag)
{
    for (size_t i = 0; i < n; i++) {
        const struct presence_host *host
            = (removes_host(&changes[i])
               ? presence_find(&server->presence,
                               changes[i].before->host.name) : NULL);

        if (host && host->owner) {
            int seconds = (server->host_timeout
                           ? DIV_ROUND_UP(server->host_timeout, 1000)
                           : 2 * SERVER_PROBE_MS / 1000);
            int error = diagnosis_set(diag, DIAG_IN_USE, "name", host->name,
                                      "host %s is connected", host->name);

            diagnosis_set_hint(diag, "stop its switch, or unset grapnel-mapd "
                               "there; one that died is noticed within %d "
                               "seconds", seconds);
            return error;
        }
    }
    return 0;
}

static void
forget_removed_hosts(struct server *server,
                     const struct catalog_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (removes_host(&changes[i])) {
            presence_forget(&server->presence, changes[i].before->host.name);
        }
    }
}

struct catalog_txn *
server_begin(struct server *server)
{
    struct catalog_txn *txn = catalog_begin(server->catalog);

    catalog_set_time(txn, time_msec());
    return txn;
}

struct json *
server_finish(struct server *server, struct catalog_txn *txn, bool dry_run,
              struct diagnosis *diag)
{
    const struct catalog_change *changes;
    struct json *encoded, *result;
    size_t n;

    if (catalog_prepare(txn, diag)) {
        catalog_abort(txn);
        return NULL;
    }
    changes = catalog_txn_changes(txn, &n);
    if (check_removed_hosts(server, changes, n, diag)) {
        catalog_abort(txn);
        return NULL;
    }
    encoded = encode_changes(changes, n);
    if (dry_run
        || catalog_txn_revision(txn) == catalog_revision(server->catalog)) {
        catalog_abort(txn);
    } else if (store_commit(server->store, txn, server->catalog, diag)) {
        VLOG_ERR_RL(&rl, "a change is refused: %s", diag->message);
        catalog_abort(txn);
        json_destroy(encoded);
        return NULL;
    } else {
        server_publish(server, txn, encoded);
        forget_removed_hosts(server, changes, n);
        server_liveness_committed(server, txn);
        catalog_commit(txn);
        presence_committed(&server->presence,
                           catalog_revision(server->catalog), time_msec());
    }

    result = json_object_create();
    json_object_put(result, "revision",
                    json_integer_create(catalog_revision(server->catalog)));
    json_object_put(result, "changes", encoded);
    return result;
}

/* Method: transact. */

static int
apply_op(struct catalog_txn *txn, const struct json *json,
         struct diagnosis *diag)
{
    struct json *array = json_array_create_1(json_clone(json));
    bool may_exist = false, if_exists = false, cascade = false;
    const struct json *contents;
    struct record record;
    struct params p;
    const char *op;
    int error;

    params_open(&p, array, diag);
    op = params_string(&p, "op", "");
    params_require(&p, "op");
    contents = params_object(&p, "record");
    params_require(&p, "record");
    if (!strcmp(op, "add")) {
        may_exist = params_bool(&p, "may_exist", false);
    } else if (!strcmp(op, "remove")) {
        if_exists = params_bool(&p, "if_exists", false);
        cascade = params_bool(&p, "cascade", false);
    } else if (strcmp(op, "set") && !p.error) {
        p.error = diagnosis_set(diag, DIAG_INVALID, "op", op,
                                "op must be add, set or remove, not "
                                "\"%.64s\"", op);
        diagnosis_set_hint(diag, "docs/protocol.md describes transactions");
    }
    error = params_close(&p);

    if (error) {
        /* Fall through. */
    } else if (!strcmp(op, "add")) {
        error = record_from_json(contents, &record, diag);
        if (!error) {
            error = catalog_add(txn, &record, may_exist, diag);
        }
    } else if (!strcmp(op, "set")) {
        error = catalog_set(txn, contents, diag);
    } else {
        error = record_key_from_json(contents, &record, diag);
        if (!error) {
            error = catalog_remove(txn, &record, if_exists, cascade, diag);
        }
    }
    json_destroy(array);
    return error;
}

/* Index of the last of 'ops' that removes host 'name', or -1. */
static int
find_removal(const struct json *ops, const char *name)
{
    for (int i = json_array(ops)->n - 1; i >= 0; i--) {
        const struct shash *op = json_object(json_array(ops)->elems[i]);
        const struct json *kind = shash_find_data(op, "op");
        const struct json *json = shash_find_data(op, "record");
        struct record record;

        if (!strcmp(json_string(kind), "remove")
            && !record_key_from_json(json, &record, NULL)
            && record.kind == RECORD_HOST
            && !strcmp(record.host.name, name)) {
            return i;
        }
    }
    return -1;
}

struct json *
server_transact(struct connection *conn, const struct json *params,
                struct diagnosis *diag)
{
    struct server *server = conn->server;
    struct change_options options;
    struct json *result;
    const struct json *ops;
    struct catalog_txn *txn;
    struct params p;

    params_open(&p, params, diag);
    ops = params_array(&p, "ops");
    params_require(&p, "ops");
    get_options(&p, &options);
    if (params_close(&p) || check_revision(server, &options, diag)) {
        return NULL;
    }

    txn = server_begin(server);
    for (size_t i = 0; i < json_array(ops)->n; i++) {
        catalog_set_op(txn, i);
        if (apply_op(txn, json_array(ops)->elems[i], diag)) {
            diag->op = i;
            catalog_abort(txn);
            return NULL;
        }
    }
    result = server_finish(server, txn, options.dry_run, diag);
    if (!result && diag->code == DIAG_IN_USE) {
        diag->op = find_removal(ops, diag->value);
    }
    return result;
}

/* Method: load. */

struct load_record {
    struct record record;
    size_t op;                  /* Where it stood in the request. */
};

static int
compare_load_records(const void *a_, const void *b_)
{
    const struct load_record *a = a_, *b = b_;

    return record_compare_keys(&a->record, &b->record);
}

/* Reads 'array' into the caller's '*records', sorted by key, which puts
 * hosts before groups before endpoints. */
static int
parse_records(const struct json_array *array, struct load_record **recordsp,
              struct diagnosis *diag)
{
    struct load_record *records = xcalloc(MAX(array->n, 1), sizeof *records);
    int error = 0;

    for (size_t i = 0; !error && i < array->n; i++) {
        records[i].op = i;
        error = record_from_json(array->elems[i], &records[i].record, diag);
        if (error) {
            diag->op = i;
        }
    }
    if (!error) {
        qsort(records, array->n, sizeof *records, compare_load_records);
    }
    for (size_t i = 1; !error && i < array->n; i++) {
        if (!compare_load_records(&records[i - 1], &records[i])) {
            char key[RECORD_KEY_SIZE];

            record_format_key(&records[i].record, key);
            error = diagnosis_set(diag, DIAG_EXISTS, "name", key,
                                  "%s %s is there twice",
                                  record_kind_name(records[i].record.kind),
                                  key);
            diagnosis_set_hint(diag, "leave one of them out");
            diag->op = MAX(records[i - 1].op, records[i].op);
        }
    }
    if (error) {
        free(records);
        return error;
    }
    *recordsp = records;
    return 0;
}

/* Adds 'record', or makes the one that is there equal to it. */
static int
merge_record(struct server *server, struct catalog_txn *txn,
             const struct record *record, struct diagnosis *diag)
{
    struct record old;
    struct json *json;
    int error;

    if (!catalog_find_record(server->catalog, record, &old)) {
        return catalog_add(txn, record, false, diag);
    } else if (record_equal(&old, record)) {
        return 0;
    }
    json = record_to_json(record);
    error = catalog_set(txn, json, diag);
    json_destroy(json);
    return error;
}

static bool
is_listed(const struct load_record *records, size_t n,
          const struct record *record)
{
    struct load_record key = { .record = *record };

    return n && bsearch(&key, records, n, sizeof *records,
                        compare_load_records);
}

/* All groups or all endpoints of the catalog that are not among 'records',
 * as an array that the caller owns: removing changes what it was found in. */
static struct record *
find_unlisted(const struct catalog *catalog, enum record_kind kind,
              const struct load_record *records, size_t n_records, size_t *np)
{
    const struct catalog_group **groups;
    struct record *unlisted = NULL;
    size_t n_groups, n = 0, allocated = 0;

    groups = catalog_groups(catalog, &n_groups);
    for (size_t i = 0; i < n_groups; i++) {
        size_t m = kind == RECORD_GROUP ? 1 : groups[i]->n_endpoints;

        for (size_t j = 0; j < m; j++) {
            struct record record = { .kind = kind };

            if (kind == RECORD_GROUP) {
                record.group = groups[i]->record;
            } else {
                record.endpoint = groups[i]->endpoints[j]->record;
            }
            if (!is_listed(records, n_records, &record)) {
                if (n >= allocated) {
                    unlisted = x2nrealloc(unlisted, &allocated,
                                          sizeof *unlisted);
                }
                unlisted[n++] = record;
            }
        }
    }
    free(groups);
    *np = n;
    return unlisted;
}

static int
prune_kind(struct server *server, struct catalog_txn *txn,
           enum record_kind kind, const struct load_record *records,
           size_t n_records, struct diagnosis *diag)
{
    struct record *unlisted;
    int error = 0;
    size_t n;

    unlisted = find_unlisted(server->catalog, kind, records, n_records, &n);
    for (size_t i = 0; !error && i < n; i++) {
        error = catalog_remove(txn, &unlisted[i], false, false, diag);
    }
    free(unlisted);
    return error;
}

/* Fills 'used' with the names of the hosts that have endpoints. */
static void
find_used_hosts(const struct catalog *catalog, struct sset *used)
{
    const struct catalog_group **groups;
    size_t n;

    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < groups[i]->n_endpoints; j++) {
            sset_add(used, groups[i]->endpoints[j]->record.host);
        }
    }
    free(groups);
}

/* Removes hosts that are not listed; only those without endpoints, if
 * 'unused_only'. */
static int
prune_hosts(struct server *server, struct catalog_txn *txn, bool unused_only,
            const struct load_record *records, size_t n_records,
            struct diagnosis *diag)
{
    struct sset used = SSET_INITIALIZER(&used);
    const struct record_host **hosts;
    int error = 0;
    size_t n;

    if (unused_only) {
        find_used_hosts(server->catalog, &used);
    }
    hosts = catalog_hosts(server->catalog, &n);
    for (size_t i = 0; !error && i < n; i++) {
        struct record record = { .kind = RECORD_HOST, .host = *hosts[i] };

        if (!sset_contains(&used, record.host.name)
            && !is_listed(records, n_records, &record)) {
            error = catalog_remove(txn, &record, false, false, diag);
        }
    }
    free(hosts);
    sset_destroy(&used);
    return error;
}

/* Removals come first, so that what is new can have the addresses of what
 * is old; but a host can go only when its last endpoint has moved. */
static int
merge_all(struct server *server, struct catalog_txn *txn, bool prune,
          const struct load_record *records, size_t n, struct diagnosis *diag)
{
    int error = 0;

    if (prune) {
        error = prune_kind(server, txn, RECORD_ENDPOINT, records, n, diag);
        if (!error) {
            error = prune_kind(server, txn, RECORD_GROUP, records, n, diag);
        }
        if (!error) {
            error = prune_hosts(server, txn, true, records, n, diag);
        }
    }
    for (size_t i = 0; !error && i < n; i++) {
        catalog_set_op(txn, records[i].op);
        error = merge_record(server, txn, &records[i].record, diag);
        if (error) {
            diag->op = records[i].op;
        }
    }
    catalog_set_op(txn, -1);
    if (!error && prune) {
        error = prune_hosts(server, txn, false, records, n, diag);
    }
    return error;
}

struct json *
server_load(struct connection *conn, const struct json *params,
            struct diagnosis *diag)
{
    struct server *server = conn->server;
    struct change_options options;
    struct load_record *records;
    const struct json *array;
    struct catalog_txn *txn;
    struct params p;
    bool prune;
    int error;

    params_open(&p, params, diag);
    array = params_array(&p, "records");
    params_require(&p, "records");
    prune = params_bool(&p, "prune", false);
    get_options(&p, &options);
    if (params_close(&p) || check_revision(server, &options, diag)
        || parse_records(json_array(array), &records, diag)) {
        return NULL;
    }

    txn = server_begin(server);
    error = merge_all(server, txn, prune, records, json_array(array)->n,
                      diag);
    free(records);
    if (error) {
        catalog_abort(txn);
        return NULL;
    }
    return server_finish(server, txn, options.dry_run, diag);
}

/* Method: register. */

/* The second parameter, {"version":TEXT}, is optional. */
static int
parse_register(const struct json *params, struct record *record,
               char version[PRESENCE_VERSION_MAX + 1], struct diagnosis *diag)
{
    struct json *rest;
    struct params p;
    size_t n;
    int error;

    n = params && params->type == JSON_ARRAY ? json_array(params)->n : 0;
    if (n < 1 || n > 2) {
        return diagnosis_set(diag, DIAG_INVALID, "params", NULL,
                             "params must be a host record, and optionally "
                             "an object");
    }
    error = record_from_json(json_array(params)->elems[0], record, diag);
    if (!error && record->kind != RECORD_HOST) {
        error = diagnosis_set(diag, DIAG_INVALID, "kind",
                              record_kind_name(record->kind),
                              "kind must be host, not %s",
                              record_kind_name(record->kind));
    }
    if (error) {
        return error;
    }

    rest = (n == 2
            ? json_array_create_1(json_clone(json_array(params)->elems[1]))
            : json_array_create_empty());
    params_open(&p, rest, diag);
    ovs_strlcpy(version, params_string(&p, "version", ""),
                PRESENCE_VERSION_MAX + 1);
    error = params_close(&p);
    json_destroy(rest);
    return error;
}

/* Connections are named tcp:IP:PORT, or otherwise if they are local. */
static bool
is_same_machine(const struct connection *a, const struct connection *b)
{
    const char *x = jsonrpc_get_name(a->rpc), *y = jsonrpc_get_name(b->rpc);
    const char *x_port = strrchr(x, ':'), *y_port = strrchr(y, ':');

    return (!x_port && !y_port)
           || (x_port && y_port && x_port - x == y_port - y
               && !memcmp(x, y, x_port - x));
}

/* Makes 'conn' the connection of host 'name'; the newest one wins. */
static void
take_host(struct connection *conn, const char *name, const char *version)
{
    struct presence_host *host;
    struct connection *old;
    void *owner;

    server_set_host(conn, NULL);
    host = presence_register(&conn->server->presence, name, version, conn,
                             conn->server->tick, &owner);
    old = owner;
    if (old) {
        /* A switch that restarts comes from where it was.  Two machines that
         * claim one name are for an operator to sort out. */
        VLOG_RL(&rl, is_same_machine(conn, old) ? VLL_INFO : VLL_WARN,
                "host %s: registered by %s, closing its older connection %s",
                name, jsonrpc_get_name(conn->rpc), jsonrpc_get_name(old->rpc));
        old->host = NULL;
        server_doom(old);
    }
    server_set_host(conn, host);
}

static void
keep_label(record_label label, const record_label old)
{
    if (!label[0]) {
        ovs_strlcpy(label, old, sizeof(record_label));
    }
}

/* A switch need not know where it stands: labels that it leaves empty stay as
 * operators set them. */
static void
keep_labels(const struct catalog *catalog, struct record_host *record)
{
    const struct record_host *old = catalog_find_host(catalog, record->name);

    if (old) {
        keep_label(record->region, old->region);
        keep_label(record->zone, old->zone);
        keep_label(record->rack, old->rack);
    }
}

struct json *
server_register(struct connection *conn, const struct json *params,
                struct diagnosis *diag)
{
    struct server *server = conn->server;
    char version[PRESENCE_VERSION_MAX + 1];
    struct catalog_txn *txn;
    struct record record;
    struct json *result;

    if (parse_register(params, &record, version, diag)) {
        return NULL;
    }
    keep_labels(server->catalog, &record.host);
    txn = server_begin(server);
    if (merge_record(server, txn, &record, diag)) {
        catalog_abort(txn);
        return NULL;
    }
    catalog_set_alive(txn, record.host.name, true);
    result = server_finish(server, txn, false, diag);
    if (!result) {
        return NULL;
    }
    json_destroy(shash_find_and_delete(json_object(result), "changes"));

    if (!conn->host || strcmp(conn->host->name, record.host.name)) {
        take_host(conn, record.host.name, version);
    } else {
        presence_set_version(conn->host, version);
    }
    return result;
}
