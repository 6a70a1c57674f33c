/* Methods that only read. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/mapd/params.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "timeval.h"
#include "util.h"

struct query_filter {
    enum record_kind kind;
    uint32_t vni;               /* 0: any. */
    const char *group;          /* NULL: any. */
    const char *name;           /* NULL: any. */
};

static struct json *
with_revision(const struct server *server, const char *member,
              struct json *array)
{
    struct json *result = json_object_create();

    json_object_put(result, "revision",
                    json_integer_create(catalog_revision(server->catalog)));
    json_object_put(result, member, array);
    return result;
}

/* Method: list. */

static void
add_item(struct json *items, const struct record *record, struct json *status)
{
    struct json *item = json_object_create();

    json_object_put(item, "record", record_to_json(record));
    json_object_put(item, "status", status);
    json_array_add(items, item);
}

static void
list_hosts(const struct server *server, const struct query_filter *filter,
           struct json *items)
{
    const struct record_host **hosts;
    size_t n;

    hosts = catalog_hosts(server->catalog, &n);
    for (size_t i = 0; i < n; i++) {
        struct record record = { .kind = RECORD_HOST, .host = *hosts[i] };

        if (!filter->name || !strcmp(filter->name, record.host.name)) {
            add_item(items, &record, presence_status(
                         presence_find(&server->presence, record.host.name)));
        }
    }
    free(hosts);
}

static bool
takes_flows(const struct catalog *catalog, const struct catalog_group *group,
            const struct catalog_endpoint *endpoint)
{
    return (catalog_endpoint_serves(catalog, endpoint)
            && (!catalog_endpoint_sickness(catalog, group, endpoint)
                || catalog_group_fails_open(catalog, group)));
}

static void
list_group(const struct catalog *catalog, const struct catalog_group *group,
           struct json *items)
{
    struct record record = { .kind = RECORD_GROUP, .group = group->record };
    struct json *status = json_object_create();
    size_t n_up = 0, n_serving = 0;

    for (size_t i = 0; i < group->n_endpoints; i++) {
        n_up += group->endpoints[i]->record.state == ENDPOINT_UP;
        n_serving += takes_flows(catalog, group, group->endpoints[i]);
    }
    json_object_put(status, "id", json_integer_create(group->id));
    json_object_put(status, "epoch", json_integer_create(group->epoch));
    json_object_put(status, "endpoints",
                    json_integer_create(group->n_endpoints));
    json_object_put(status, "up", json_integer_create(n_up));
    json_object_put(status, "serving", json_integer_create(n_serving));
    add_item(items, &record, status);
}

/* Why an endpoint that is up owns no slot. */
static const char *
why_idle(const struct catalog *catalog, const struct catalog_group *group,
         const struct catalog_endpoint *endpoint)
{
    const char *unbound = server_iface_why_unbound(&endpoint->record);

    return (unbound ? unbound
            : !catalog_endpoint_serves(catalog, endpoint) ? "host dead"
            : !takes_flows(catalog, group, endpoint) ? "unhealthy"
            : "fewer slots than endpoints");
}

static void
put_health(const struct catalog *catalog, const struct catalog_group *group,
           const struct catalog_endpoint *endpoint, struct json *status)
{
    const char *why = catalog_endpoint_sickness(catalog, group, endpoint);

    if (why) {
        json_object_put_string(status, "unhealthy", why);
    }
}

static void
list_endpoints(const struct server *server,
               const struct catalog_group *group, const char *name,
               struct json *items)
{
    const struct catalog *catalog = server->catalog;
    size_t n_slots = group->record.n_slots;
    uint32_t *owned = xcalloc(GROUP_MAX_ENDPOINTS, sizeof *owned);

    for (size_t i = 0; i < n_slots; i++) {
        if (group->slots[i] < GROUP_MAX_ENDPOINTS) {
            owned[group->slots[i]]++;
        }
    }
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *endpoint = group->endpoints[i];
        struct record record = { .kind = RECORD_ENDPOINT,
                                 .endpoint = endpoint->record };
        uint32_t slots = owned[endpoint->index];
        struct json *status;

        if (name && strcmp(name, endpoint->record.name)) {
            continue;
        }
        status = json_object_create();
        json_object_put(status, "slots", json_integer_create(slots));
        json_object_put(status, "share",
                        json_real_create((double) slots / n_slots));
        if (!slots && endpoint->record.state == ENDPOINT_UP) {
            json_object_put_string(status, "why",
                                   why_idle(catalog, group, endpoint));
        }
        put_health(catalog, group, endpoint, status);
        server_report_put(server, group->id, endpoint->index, status);
        add_item(items, &record, status);
    }
    free(owned);
}

static void
list_groups(const struct server *server, const struct query_filter *filter,
            struct json *items)
{
    const char *group_name = (filter->kind == RECORD_GROUP
                              ? filter->name : filter->group);
    const struct catalog_group **groups;
    size_t n;

    groups = catalog_groups(server->catalog, &n);
    for (size_t i = 0; i < n; i++) {
        const struct record_group *record = &groups[i]->record;

        if ((filter->vni && filter->vni != record->vni)
            || (group_name && strcmp(group_name, record->name))) {
            continue;
        }
        if (filter->kind == RECORD_GROUP) {
            list_group(server->catalog, groups[i], items);
        } else {
            list_endpoints(server, groups[i], filter->name, items);
        }
    }
    free(groups);
}

static int
parse_kind(struct params *p, enum record_kind *kind, struct diagnosis *diag)
{
    const char *name = params_string(p, "kind", "");

    params_require(p, "kind");
    if (!p->error && !record_kind_from_name(name, kind)) {
        p->error = diagnosis_set(diag, DIAG_INVALID, "kind", name,
                                 "kind must be one of %s, not \"%.64s\"",
                                 record_kind_names(), name);
    }
    return p->error;
}

/* Members that the kind does not have are refused by params_close(). */
static int
parse_filter(struct params *p, struct query_filter *filter)
{
    if (filter->kind != RECORD_HOST) {
        filter->vni = params_uint(p, "vni", 1, VNI_MAX, 0);
    }
    if (filter->kind == RECORD_ENDPOINT) {
        filter->group = params_string(p, "group", NULL);
    }
    filter->name = params_string(p, "name", NULL);
    return params_close(p);
}

struct json *
server_list(struct connection *conn, const struct json *params,
            struct diagnosis *diag)
{
    struct query_filter filter = { .kind = RECORD_HOST };
    struct json *items;
    struct params p;

    params_open(&p, params, diag);
    if (!parse_kind(&p, &filter.kind, diag)
        && filter.kind >= RECORD_FIRST_PLAIN) {
        return (server_list_records(conn->server, filter.kind, &p, &items)
                ? NULL : with_revision(conn->server, "items", items));
    }
    if (parse_filter(&p, &filter)) {
        return NULL;
    }
    items = json_array_create_empty();
    if (filter.kind == RECORD_HOST) {
        list_hosts(conn->server, &filter, items);
    } else {
        list_groups(conn->server, &filter, items);
    }
    return with_revision(conn->server, "items", items);
}

/* Method: dump. */

static int
check_no_params(const struct json *params, struct diagnosis *diag)
{
    struct params p;

    params_open(&p, params, diag);
    return params_close(&p);
}

static void
dump_plain(const struct catalog *catalog, struct json *records)
{
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        struct record *array;
        size_t n;

        array = catalog_records(catalog, kind, &n);
        for (size_t i = 0; i < n; i++) {
            json_array_add(records, record_to_json(&array[i]));
        }
        free(array);
    }
}

struct json *
server_dump(struct connection *conn, const struct json *params,
            struct diagnosis *diag)
{
    const struct catalog *catalog = conn->server->catalog;
    const struct catalog_group **groups;
    const struct record_host **hosts;
    struct json *records;
    size_t n;

    if (check_no_params(params, diag)) {
        return NULL;
    }
    records = json_array_create_empty();
    hosts = catalog_hosts(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        struct record record = { .kind = RECORD_HOST, .host = *hosts[i] };

        json_array_add(records, record_to_json(&record));
    }
    free(hosts);

    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        struct record record = { .kind = RECORD_GROUP,
                                 .group = groups[i]->record };

        json_array_add(records, record_to_json(&record));
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < groups[i]->n_endpoints; j++) {
            struct record record = {
                .kind = RECORD_ENDPOINT,
                .endpoint = groups[i]->endpoints[j]->record
            };

            json_array_add(records, record_to_json(&record));
        }
    }
    free(groups);
    dump_plain(catalog, records);
    return with_revision(conn->server, "records", records);
}

/* Method: status. */

struct json *
server_disconnected_hosts(const struct server *server)
{
    struct json *array = json_array_create_empty();
    const struct record_host **hosts;
    size_t n;

    hosts = catalog_hosts(server->catalog, &n);
    for (size_t i = 0; i < n; i++) {
        const struct presence_host *host
            = presence_find(&server->presence, hosts[i]->name);

        if (!host || !presence_is_connected(host)) {
            json_array_add(array, json_string_create(hosts[i]->name));
        }
    }
    free(hosts);
    return array;
}

static struct json *
dead_hosts(const struct server *server)
{
    struct json *array = json_array_create_empty();
    const struct record_host **hosts;
    size_t n;

    hosts = catalog_hosts(server->catalog, &n);
    for (size_t i = 0; i < n; i++) {
        if (!catalog_host_is_alive(server->catalog, hosts[i]->name)) {
            json_array_add(array, json_string_create(hosts[i]->name));
        }
    }
    free(hosts);
    return array;
}

struct json *
server_status(struct connection *conn, const struct json *params,
              struct diagnosis *diag)
{
    const struct server *server = conn->server;
    const struct catalog *catalog = server->catalog;
    struct json *status, *disconnected;

    if (check_no_params(params, diag)) {
        return NULL;
    }
    status = with_revision(server, "lagging", presence_lagging(
                               &server->presence, catalog_revision(catalog)));
    json_object_put_string(status, "version", GRAPNEL_VERSION);
    json_object_put(status, "uptime_ms",
                    json_integer_create(time_msec() - server->started));
    json_object_put_string(status, "store", store_name(server->store));
    if (store_is_shared(server->store)) {
        const char *leader = store_leader_name(server->store);

        json_object_put_string(status, "mapd", store_own_name(server->store));
        json_object_put_string(status, "leader", leader ? leader : "");
    }
    json_object_put(status, "hosts", json_integer_create(
                        catalog_count(catalog, RECORD_HOST)));
    json_object_put(status, "groups", json_integer_create(
                        catalog_count(catalog, RECORD_GROUP)));
    json_object_put(status, "endpoints", json_integer_create(
                        catalog_count(catalog, RECORD_ENDPOINT)));
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        char *name = xasprintf("%ss", record_kind_name(kind));

        json_object_put(status, name,
                        json_integer_create(catalog_count(catalog, kind)));
        free(name);
    }
    disconnected = server_disconnected_hosts(server);
    json_object_put(status, "connected", json_integer_create(
                        catalog_count(catalog, RECORD_HOST)
                        - json_array(disconnected)->n));
    json_object_put(status, "disconnected", disconnected);
    json_object_put(status, "dead", dead_hosts(server));
    json_object_put(status, "problems", server_problems(server));
    return status;
}
