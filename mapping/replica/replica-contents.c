#include <config.h>
#include "mapping/replica/replica-contents.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/group.h"
#include "mapping/replica/replica-previous.h"
#include "mapping/slot-codec.h"
#include "openvswitch/json.h"
#include "util.h"

static int
compare_indexes(const void *a_, const void *b_)
{
    const struct replica_endpoint *a = a_;
    const struct replica_endpoint *b = b_;

    return a->index < b->index ? -1 : a->index > b->index;
}

static int
compare_names(const void *a_, const void *b_)
{
    const struct replica_endpoint *const *a = a_;
    const struct replica_endpoint *const *b = b_;

    return strcmp((*a)->record.name, (*b)->record.name);
}

static int
compare_macs(const void *a_, const void *b_)
{
    const struct replica_endpoint *const *a = a_;
    const struct replica_endpoint *const *b = b_;

    return memcmp(&(*a)->record.mac, &(*b)->record.mac, sizeof(struct mac));
}

/* As quic_id of the same length, if they have any. */
static int
compare_quic_ids(const void *a_, const void *b_)
{
    const struct replica_endpoint *const *a = a_;
    const struct replica_endpoint *const *b = b_;
    uint64_t x = (*a)->record.quic_id.value, y = (*b)->record.quic_id.value;

    return x < y ? -1 : x > y;
}

static bool
has_mac(const struct record_endpoint *endpoint)
{
    return !record_mac_is_zero(&endpoint->mac);
}

static bool
has_quic_id(const struct record_endpoint *endpoint)
{
    return endpoint->quic_id.length;
}

/* Returns 0 if no two of the group's endpoints are equal by 'compare', which
 * looks at 'field', among those that count (NULL: all). */
static int
check_unique(const struct replica_group *group, const char *field,
             bool (*counts)(const struct record_endpoint *),
             int (*compare)(const void *, const void *),
             struct diagnosis *diag)
{
    const struct replica_endpoint **sorted;
    size_t n = 0;
    int error = 0;

    sorted = xmalloc(MAX(group->n_endpoints, 1) * sizeof *sorted);
    for (size_t i = 0; i < group->n_endpoints; i++) {
        if (!counts || counts(&group->endpoints[i].record)) {
            sorted[n++] = &group->endpoints[i];
        }
    }
    qsort(sorted, n, sizeof *sorted, compare);
    for (size_t i = 1; i < n && !error; i++) {
        if (!compare(&sorted[i - 1], &sorted[i])) {
            error = diagnosis_set(diag, DIAG_EXISTS, field,
                                  sorted[i]->record.name,
                                  "endpoints %s and %s have the same %s",
                                  sorted[i - 1]->record.name,
                                  sorted[i]->record.name, field);
        }
    }
    free(sorted);
    return error;
}

static int
decode_endpoint(const struct replica_group *group, const struct json *json,
                int64_t now_ms, struct replica_endpoint *endpoint,
                struct diagnosis *diag)
{
    struct json_member m[] = {
        { .name = "record", .type = JSON_OBJECT },
        { .name = "index", .type = JSON_INTEGER },
        { .name = "up_ms", .type = JSON_INTEGER },
        { .name = "healthy", .type = JSON_FALSE },
    };
    bool unhealthy = (json->type == JSON_OBJECT
                      && shash_find(json_object(json), "healthy"));
    size_t n = unhealthy ? ARRAY_SIZE(m) : ARRAY_SIZE(m) - 1;
    uint32_t index, up_ms = 0;
    struct record record;
    int error;

    error = json_members_take(json, "endpoints", m, n, diag);
    if (!error) {
        error = record_from_json(m[0].value, &record, diag);
    }
    if (!error) {
        error = json_members_u32(&m[1], 0, GROUP_MAX_ENDPOINTS - 1, &index,
                                 diag);
    }
    if (!error) {
        error = json_members_u32(&m[2], 0, INT32_MAX, &up_ms, diag);
    }
    if (error) {
        return error;
    }
    if (record.kind != RECORD_ENDPOINT
        || record.endpoint.vni != group->record.vni
        || strcmp(record.endpoint.group, group->record.name)) {
        char key[RECORD_KEY_SIZE];

        record_format_key(&record, key);
        return diagnosis_set(diag, DIAG_INVALID, "record", key,
                             "%s %s is not an endpoint of this group",
                             record_kind_name(record.kind), key);
    }
    if (record.endpoint.quic_id.length
        && record.endpoint.quic_id.length != group->record.quic_id_length) {
        return diagnosis_set(diag, DIAG_INVALID, "quic_id",
                             record.endpoint.name, "endpoint %s: quic_id is "
                             "not as long as quic_id_length of the group",
                             record.endpoint.name);
    }
    endpoint->record = record.endpoint;
    endpoint->index = index;
    endpoint->up_at_ms = now_ms - up_ms;
    endpoint->unhealthy = unhealthy;
    return 0;
}

/* Returns 0 if the group's endpoints, which it sorts, have different
 * indexes. */
static int
sort_endpoints(struct replica_group *group, struct diagnosis *diag)
{
    qsort(group->endpoints, group->n_endpoints, sizeof *group->endpoints,
          compare_indexes);
    for (size_t i = 1; i < group->n_endpoints; i++) {
        const struct replica_endpoint *e = &group->endpoints[i];

        if (e[-1].index == e->index) {
            return diagnosis_set(diag, DIAG_EXISTS, "index", e->record.name,
                                 "endpoints %s and %s have the same index %d",
                                 e[-1].record.name, e->record.name, e->index);
        }
    }
    return 0;
}

/* Adds the endpoints in 'json' to those of 'group', and sorts them. */
static int
add_endpoints(struct replica_group *group, const struct json *json,
              int64_t now_ms, struct diagnosis *diag)
{
    size_t n = json_array(json)->n;
    size_t total = group->n_endpoints + n;

    if (total > GROUP_MAX_ENDPOINTS) {
        return diagnosis_set(diag, DIAG_INVALID, "endpoints", NULL,
                             "%"PRIuSIZE" endpoints are more than %d", total,
                             GROUP_MAX_ENDPOINTS);
    }
    group->endpoints = xrealloc(group->endpoints,
                                MAX(total, 1) * sizeof *group->endpoints);
    for (size_t i = 0; i < n; i++) {
        int error = decode_endpoint(group, json_array(json)->elems[i], now_ms,
                                    &group->endpoints[group->n_endpoints],
                                    diag);
        if (error) {
            return error;
        }
        group->n_endpoints++;
    }
    return sort_endpoints(group, diag);
}

/* Returns 0 if all slots belong to endpoints that are up, or to nobody. */
static int
check_owners(const struct replica_group *group, struct diagnosis *diag)
{
    bool up[GROUP_MAX_ENDPOINTS] = { false };

    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct replica_endpoint *e = &group->endpoints[i];

        up[e->index] = e->record.state == ENDPOINT_UP;
    }
    for (size_t i = 0; i < group->record.n_slots; i++) {
        uint16_t owner = group->slots[i];

        if (owner != GROUP_NO_ENDPOINT && !up[owner]) {
            char index[8];

            snprintf(index, sizeof index, "%u", owner);
            return diagnosis_set(diag, DIAG_INVALID, "slots", index,
                                 "slot %"PRIuSIZE" names endpoint index %s, "
                                 "which is absent or not up", i, index);
        }
    }
    return 0;
}

int
replica_contents_decode(struct replica_group *group,
                        const struct json_member m[],
                        const struct replica_group *before, int64_t now_ms,
                        struct diagnosis *diag)
{
    const struct json *slots = m[REPLICA_CONTENTS_SLOTS].value;
    const struct json *previous = m[REPLICA_CONTENTS_PREVIOUS].value;
    int error;

    error = json_members_u32(&m[REPLICA_CONTENTS_EPOCH], 0, UINT32_MAX,
                             &group->epoch, diag);
    if (error) {
        return error;
    }
    error = slot_codec_apply(json_string(slots), group->slots,
                             group->record.n_slots);
    if (error) {
        return diagnosis_set(diag, DIAG_INVALID, "slots", json_string(slots),
                             "slots is no difference of a table of "
                             "%"PRIu32" slots", group->record.n_slots);
    }
    error = add_endpoints(group, m[REPLICA_CONTENTS_ENDPOINTS].value, now_ms,
                          diag);
    if (!error && before && !json_array(previous)->n) {
        replica_previous_follow(group, before);
    } else if (!error) {
        error = replica_previous_apply(group, previous, diag);
    }
    return error;
}

int
replica_contents_check(const struct replica_group *group,
                       struct diagnosis *diag)
{
    int error = check_unique(group, "name", NULL, compare_names, diag);

    if (!error) {
        error = check_unique(group, "mac", has_mac, compare_macs, diag);
    }
    if (!error) {
        error = check_unique(group, "quic_id", has_quic_id, compare_quic_ids,
                             diag);
    }
    if (!error) {
        error = check_owners(group, diag);
    }
    return error ? error : replica_previous_check(group, diag);
}
