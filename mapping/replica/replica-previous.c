#include <config.h>
#include "mapping/replica/replica-previous.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "mapping/catalog/slot-history.h"
#include "mapping/slot-codec.h"
#include "openvswitch/json.h"
#include "util.h"

/* What is sent is a table per age; what is kept is by slot. */

void
replica_previous_read(const struct replica_group *group, size_t age,
                      uint16_t *table)
{
    for (size_t i = 0; i < group->record.n_slots; i++) {
        table[i] = (group->previous
                    ? group->previous[i * GROUP_MAX_PREVIOUS + age]
                    : GROUP_NO_ENDPOINT);
    }
}

/* Makes group->previous first, if it is needed. */
static void
write_layer(struct replica_group *group, int layer, const uint16_t *table)
{
    for (size_t i = 0; i < group->record.n_slots; i++) {
        if (table[i] != GROUP_NO_ENDPOINT && !group->previous) {
            group->previous = xmalloc(replica_previous_size(group));
            memset(group->previous, 0xff, replica_previous_size(group));
        }
        if (group->previous) {
            group->previous[i * GROUP_MAX_PREVIOUS + layer] = table[i];
        }
    }
}

static void
drop_if_empty(struct replica_group *group)
{
    size_t n = group->record.n_slots * GROUP_MAX_PREVIOUS, i = 0;

    while (group->previous && i < n
           && group->previous[i] == GROUP_NO_ENDPOINT) {
        i++;
    }
    if (i == n) {
        free(group->previous);
        group->previous = NULL;
    }
}

static int
apply_layer(struct replica_group *group, int layer, const struct json *json,
            struct diagnosis *diag)
{
    size_t n = group->record.n_slots;
    uint16_t *table;
    int error;

    if (json->type != JSON_STRING) {
        return diagnosis_set(diag, DIAG_INVALID, "previous",
                             json_type_to_string(json->type),
                             "previous must be strings, not %s",
                             json_type_to_string(json->type));
    } else if (!json_string(json)[0]) {
        return 0;
    }
    table = xmalloc(n * sizeof *table);
    replica_previous_read(group, layer, table);
    error = slot_codec_apply(json_string(json), table, n);
    if (error) {
        error = diagnosis_set(diag, DIAG_INVALID, "previous",
                              json_string(json), "previous %d is no "
                              "difference of a table of %"PRIuSIZE" slots",
                              layer, n);
    } else {
        write_layer(group, layer, table);
    }
    free(table);
    return error;
}

int
replica_previous_apply(struct replica_group *group, const struct json *json,
                       struct diagnosis *diag)
{
    size_t n = json_array(json)->n;

    if (n != GROUP_MAX_PREVIOUS) {
        return diagnosis_set(diag, DIAG_INVALID, "previous", NULL,
                             "previous must have %d members, not %"PRIuSIZE,
                             GROUP_MAX_PREVIOUS, n);
    }
    for (size_t i = 0; i < n; i++) {
        int error = apply_layer(group, i, json_array(json)->elems[i], diag);

        if (error) {
            return error;
        }
    }
    drop_if_empty(group);
    return 0;
}

void
replica_previous_follow(struct replica_group *group,
                        const struct replica_group *before)
{
    unsigned long *keeps = bitmap_allocate(GROUP_MAX_ENDPOINTS);
    uint16_t *layers[GROUP_MAX_PREVIOUS], *next[GROUP_MAX_PREVIOUS];
    size_t n = group->record.n_slots;

    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct replica_endpoint *e = &group->endpoints[i];

        if (e->record.state != ENDPOINT_DOWN) {
            bitmap_set1(keeps, e->index);
        }
    }
    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        layers[i] = xmalloc(n * sizeof *layers[i]);
        replica_previous_read(before, i, layers[i]);
    }
    if (slot_history_next(layers, before->slots, group->slots, n, keeps,
                          next)) {
        free(group->previous);
        group->previous = NULL;
        for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
            if (next[i]) {
                write_layer(group, i, next[i]);
                free(next[i]);
            }
        }
    }
    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        free(layers[i]);
    }
    bitmap_free(keeps);
}

static int
refuse(size_t slot, uint16_t owner, const char *problem,
       struct diagnosis *diag)
{
    char index[8];

    snprintf(index, sizeof index, "%u", owner);
    return diagnosis_set(diag, DIAG_INVALID, "previous", index,
                         "slot %"PRIuSIZE" had owner %s before, which %s",
                         slot, index, problem);
}

static int
check_slot(const struct replica_group *group, size_t slot, const bool *keeps,
           struct diagnosis *diag)
{
    const uint16_t *p = &group->previous[slot * GROUP_MAX_PREVIOUS];

    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        if (p[i] == GROUP_NO_ENDPOINT) {
            continue;
        } else if (!keeps[p[i]]) {
            return refuse(slot, p[i], "is absent or down", diag);
        } else if (p[i] == group->slots[slot]) {
            return refuse(slot, p[i], "is its owner", diag);
        }
        for (size_t j = 0; j < i; j++) {
            if (p[j] == p[i]) {
                return refuse(slot, p[i], "is there twice", diag);
            } else if (p[j] == GROUP_NO_ENDPOINT) {
                return refuse(slot, p[i], "comes after nobody", diag);
            }
        }
    }
    return 0;
}

int
replica_previous_check(const struct replica_group *group,
                       struct diagnosis *diag)
{
    bool keeps[GROUP_MAX_ENDPOINTS] = { false };
    int error = 0;

    if (!group->previous) {
        return 0;
    }
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct replica_endpoint *e = &group->endpoints[i];

        keeps[e->index] = e->record.state != ENDPOINT_DOWN;
    }
    for (size_t i = 0; i < group->record.n_slots && !error; i++) {
        error = check_slot(group, i, keeps, diag);
    }
    return error;
}

bool
replica_previous_equal(const struct replica_group *a,
                       const struct replica_group *b)
{
    return (!a->previous == !b->previous
            && (!a->previous || !memcmp(a->previous, b->previous,
                                        replica_previous_size(a))));
}
