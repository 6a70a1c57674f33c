#include <config.h>
#include "mapping/replica/replica-json.h"

#include <inttypes.h>
#include <stdlib.h>

#include "mapping/replica/replica-index.h"
#include "mapping/replica/replica-previous.h"
#include "mapping/replica/replica.h"
#include "mapping/slot-codec.h"
#include "openvswitch/json.h"
#include "util.h"

static struct json *
encode_host(const struct replica_host *host)
{
    struct record record = { .kind = RECORD_HOST };

    record.host = host->record;
    return record_to_json(&record);
}

static int64_t
up_ms(const struct replica *replica, const struct replica_endpoint *endpoint,
      int64_t now_ms)
{
    const struct replica_host *host
        = replica_index_host(replica, endpoint->record.host);

    if (endpoint->record.state != ENDPOINT_UP
        || !record_is_bound(&endpoint->record) || !host->alive) {
        return 0;
    }
    return MIN(MAX(now_ms - endpoint->up_at_ms, 0), INT32_MAX);
}

static struct json *
encode_endpoints(const struct replica *replica,
                 const struct replica_group *group, int64_t now_ms)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct replica_endpoint *endpoint = &group->endpoints[i];
        struct record record = { .kind = RECORD_ENDPOINT };
        struct json *json = json_object_create();

        record.endpoint = endpoint->record;
        json_object_put(json, "record", record_to_json(&record));
        json_object_put(json, "index", json_integer_create(endpoint->index));
        json_object_put(json, "up_ms", json_integer_create(
                            up_ms(replica, endpoint, now_ms)));
        if (endpoint->unhealthy) {
            json_object_put(json, "healthy", json_boolean_create(false));
        }
        json_array_add(array, json);
    }
    return array;
}

/* What is kept is by slot; what is sent is a table per age. */
static struct json *
encode_previous(const struct replica_group *group)
{
    struct json *array = json_array_create_empty();
    size_t n = group->record.n_slots;
    uint16_t *table = xmalloc(n * sizeof *table);

    for (size_t age = 0; age < GROUP_MAX_PREVIOUS; age++) {
        replica_previous_read(group, age, table);
        json_array_add(array, json_string_create_nocopy(
                           slot_codec_encode(NULL, table, n)));
    }
    free(table);
    return array;
}

static struct json *
encode_group(const struct replica *replica, const struct replica_group *group,
             int64_t now_ms)
{
    struct record record = { .kind = RECORD_GROUP };
    struct json *json = json_object_create();

    record.group = group->record;
    json_object_put(json, "record", record_to_json(&record));
    json_object_put(json, "id", json_integer_create(group->id));
    json_object_put(json, "epoch", json_integer_create(group->epoch));
    json_object_put(json, "slots", json_string_create_nocopy(
                        slot_codec_encode(NULL, group->slots,
                                          group->record.n_slots)));
    json_object_put(json, "previous", encode_previous(group));
    json_object_put(json, "endpoints",
                    encode_endpoints(replica, group, now_ms));
    return json;
}

static struct json *
encode_records(const struct replica *replica)
{
    struct json *array = json_array_create_empty();
    const struct replica_record *r;

    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        REPLICA_FOR_EACH_RECORD (r, kind, 0, replica) {
            json_array_add(array, record_to_json(&r->record));
        }
    }
    return array;
}

struct json *
replica_to_json(const struct replica *replica, int64_t now_ms)
{
    struct json *snapshot = json_object_create();
    struct json *hosts = json_array_create_empty();
    struct json *dead = json_array_create_empty();
    struct json *groups = json_array_create_empty();
    const struct replica_group *group;
    const struct replica_host *host;

    HMAP_FOR_EACH (host, node, &replica->hosts) {
        json_array_add(hosts, encode_host(host));
        if (!host->alive) {
            json_array_add(dead, json_string_create(host->record.name));
        }
    }
    HMAP_FOR_EACH (group, node, &replica->groups) {
        json_array_add(groups, encode_group(replica, group, now_ms));
    }
    json_object_put(snapshot, "revision",
                    json_integer_create(replica->revision));
    json_object_put_format(snapshot, "hash_key", "%016"PRIx64"%016"PRIx64,
                           replica->key.word[0], replica->key.word[1]);
    json_object_put(snapshot, "hosts", hosts);
    json_object_put(snapshot, "dead", dead);
    json_object_put(snapshot, "groups", groups);
    json_object_put(snapshot, "records", encode_records(replica));
    return snapshot;
}
