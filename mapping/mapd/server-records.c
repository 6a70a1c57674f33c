/* Method `list`, of plain records. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-lease.h"
#include "mapping/mapd/params.h"
#include "openvswitch/json.h"
#include "util.h"

struct filter {
    uint64_t vni;               /* UINT64_MAX: any. */
    const char *pool;           /* NULL: any; and so on. */
    const char *address;
    const char *name;
};

static void
read_filter(struct params *p, enum record_kind kind, struct filter *filter)
{
    *filter = (struct filter) { .vni = UINT64_MAX };
    if (kind != RECORD_GATEWAY) {
        filter->vni = params_uint(p, "vni", 0, VNI_MAX, UINT64_MAX);
    }
    if (kind == RECORD_LEASE) {
        filter->pool = params_string(p, "pool", NULL);
        filter->address = params_string(p, "address", NULL);
    } else {
        filter->name = params_string(p, "name", NULL);
    }
}

static bool
matches(const struct json *record, const char *member, const char *value)
{
    return !value || !strcmp(json_string(shash_find_data(json_object(record),
                                                         member)), value);
}

static void
put_alive(struct json *status, const char *member,
          const struct catalog *catalog, const char *host)
{
    json_object_put(status, member, json_boolean_create(
                        catalog_host_is_alive(catalog, host)));
}

static struct json *
status_of(const struct server *server, const struct record *r)
{
    struct json *status = json_object_create();
    int64_t now = lease_clock_now(&server->lease_clock);

    switch (r->kind) {
    case RECORD_WORKLOAD:
        put_alive(status, "host_alive", server->catalog, r->workload.host);
        break;

    case RECORD_POOL:
        json_object_put(status, "addresses", json_integer_create(
                            record_pool_size(&r->pool)));
        json_object_put(status, "leased", json_integer_create(
                            catalog_lease_count(server->catalog, r)));
        break;

    case RECORD_LEASE:
        if (r->lease.expires) {
            json_object_put(status, "expires_in_s", json_integer_create(
                                MAX(r->lease.expires - now, 0)));
        }
        break;

    case RECORD_GATEWAY:
        put_alive(status, "node1_alive", server->catalog, r->gateway.node1);
        put_alive(status, "node2_alive", server->catalog, r->gateway.node2);
        break;

    default:
        break;
    }
    return status;
}

static void
add_item(const struct server *server, const struct record *record,
         const struct filter *filter, struct json *items)
{
    struct json *json = record_to_json(record);
    struct json *item;

    if (!matches(json, "name", filter->name)
        || !matches(json, "pool", filter->pool)
        || !matches(json, "address", filter->address)) {
        json_destroy(json);
        return;
    }
    item = json_object_create();
    json_object_put(item, "record", json);
    json_object_put(item, "status", status_of(server, record));
    json_array_add(items, item);
}

int
server_list_records(const struct server *server, enum record_kind kind,
                    struct params *p, struct json **items)
{
    struct record *records;
    struct filter filter;
    size_t n;
    int error;

    read_filter(p, kind, &filter);
    error = params_close(p);
    if (error) {
        return error;
    }
    *items = json_array_create_empty();
    records = catalog_records(server->catalog, kind, &n);
    for (size_t i = 0; i < n; i++) {
        if (filter.vni == UINT64_MAX
            || filter.vni == record_vni(&records[i])) {
            add_item(server, &records[i], &filter, *items);
        }
    }
    free(records);
    return 0;
}
