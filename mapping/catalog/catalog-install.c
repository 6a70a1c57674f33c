/* Following another catalog: records, and what was assigned to groups, are
 * taken as they are there. */

#include <config.h>
#include "mapping/catalog/catalog-install.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-liveness.h"
#include "mapping/catalog/catalog-numbers.h"
#include "mapping/catalog/catalog-state.h"
#include "util.h"

void
catalog_follow(struct catalog_txn *txn, uint64_t revision,
               uint32_t last_group_id)
{
    ovs_assert(!txn->prepared);
    txn->follows = true;
    txn->any_epoch = true;      /* Somebody else has decided. */
    txn->revision = revision;
    txn->catalog->last_group_id = last_group_id;
}

/* Takes a group out and puts it in again as 'record', with its endpoints and
 * without any numbers. */
static int
renew_group(struct catalog_txn *txn, const struct catalog_group *group,
            const struct record_group *record, struct diagnosis *diag)
{
    struct record key = { .kind = RECORD_GROUP, .group = *record };
    size_t n = group->n_endpoints;
    struct record *endpoints = xcalloc(MAX(n, 1), sizeof *endpoints);
    int error;

    for (size_t i = 0; i < n; i++) {
        endpoints[i].kind = RECORD_ENDPOINT;
        endpoints[i].endpoint = group->endpoints[i]->record;
    }
    error = catalog_remove(txn, &key, false, true, diag);
    if (!error) {
        error = catalog_add(txn, &key, false, diag);
    }
    for (size_t i = 0; !error && i < n; i++) {
        error = catalog_add(txn, &endpoints[i], false, diag);
    }
    free(endpoints);
    return error;
}

int
catalog_install_record(struct catalog_txn *txn, const struct record *record,
                       struct diagnosis *diag)
{
    struct record old;

    ovs_assert(txn->follows && !txn->prepared);
    if (!catalog_find_record(txn->catalog, record, &old)) {
        return catalog_add(txn, record, false, diag);
    } else if (record_equal(&old, record)) {
        return 0;
    } else if (record->kind == RECORD_GROUP
               && !record_equal_fixed(&old.group, &record->group)) {
        return renew_group(txn, catalog_find_group(txn->catalog,
                                                   record->group.vni,
                                                   record->group.name),
                           &record->group, diag);
    }
    return catalog_txn_put(txn, record, diag);
}

/* Endpoints that are there are to be those of 'state'.  One with another index
 * is another one. */
static int
match_endpoints(struct catalog_txn *txn, const struct catalog_group *group,
                const struct catalog_state *state, struct diagnosis *diag)
{
    if (state->n_endpoints != group->n_endpoints) {
        return catalog_numbers_refuse(&group->record, "number of endpoints",
                                      state->n_endpoints,
                                      "is not that of its records", diag);
    }
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *e = group->endpoints[i];

        if (strcmp(e->record.name, state->endpoints[i].name)) {
            return catalog_numbers_refuse(&group->record, "index",
                                          state->endpoints[i].index,
                                          "is that of no record", diag);
        }
        if (e->index != GROUP_NO_ENDPOINT
            && e->index != state->endpoints[i].index) {
            const struct record_endpoint record = e->record;

            catalog_txn_put_endpoint(txn, &record);
        }
    }
    return 0;
}

int
catalog_install_state(struct catalog_txn *txn, uint32_t vni, const char *name,
                      struct catalog_state *state, struct diagnosis *diag)
{
    const struct catalog_group *group
        = catalog_find_group(txn->catalog, vni, name);
    struct catalog_txn_group *touched;
    int error = 0;

    ovs_assert(txn->follows && !txn->prepared);
    if (!group) {
        catalog_state_destroy(state);
        return diagnosis_set(diag, DIAG_NOT_FOUND, "name", name, "group "
                             "%"PRIu32"/%s has a state and no record", vni,
                             name);
    }
    touched = catalog_txn_touch_group(txn, vni, name);
    catalog_state_destroy(touched->state);
    touched->state = state;
    if (state->n_slots != group->record.n_slots) {
        return catalog_numbers_refuse(&group->record, "slots", state->n_slots,
                                      "are not those of its record", diag);
    }
    if (group->id && group->id != state->id) {
        const struct record_group record = group->record;

        error = renew_group(txn, group, &record, diag);
        group = catalog_find_group(txn->catalog, vni, name);
    }
    return error ? error : match_endpoints(txn, group, state, diag);
}

/* Preparing. */

static int
number_endpoints(struct catalog_txn *txn,
                 const struct catalog_txn_group *group,
                 const struct catalog_group *now, struct diagnosis *diag)
{
    for (size_t i = 0; i < now->n_endpoints; i++) {
        struct catalog_endpoint *e = now->endpoints[i];
        const struct catalog_endpoint *old;

        if (e->index != GROUP_NO_ENDPOINT) {
            continue;
        }
        old = catalog_index_endpoint(&group->before, e->record.name);
        if (group->state) {
            e->index = group->state->endpoints[i].index;
        } else if (old) {
            e->index = old->index;
        } else {
            return diagnosis_set(diag, DIAG_INVALID, "index", NULL, "endpoint "
                                 "%"PRIu32"/%s/%s has no index",
                                 e->record.vni, e->record.group,
                                 e->record.name);
        }
        catalog_liveness_date(txn, now->id, e, old);
    }
    return 0;
}

/* Puts '*new' in the place of '*table' if they differ; NULL: nobody owns any.
 * The old table stays as it is: the transaction has it as what was before. */
static bool
exchange_table(uint16_t **table, uint16_t **new, size_t n)
{
    if (*table && *new ? !memcmp(*table, *new, n * sizeof **new)
        : *table == *new) {
        return false;
    }
    *table = *new;
    *new = NULL;
    return true;
}

/* Returns true if hosts must hear of it. */
static bool
exchange_tables(struct catalog_group *group, struct catalog_state *state)
{
    size_t n = group->record.n_slots;
    bool changed = exchange_table(&group->slots, &state->slots, n);

    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        changed |= exchange_table(&group->previous[i], &state->previous[i],
                                  n);
    }
    changed |= group->epoch != state->epoch;
    group->epoch = state->epoch;
    group->next_index = state->next_index;
    return changed;
}

static int
prepare_group(struct catalog_txn *txn, struct catalog_txn_group *group,
              struct catalog_group_node *node, struct diagnosis *diag)
{
    struct catalog_state *state = group->state;
    const struct record_group *record = &node->group.record;
    int error;

    if (state && (state->n_endpoints != node->group.n_endpoints
                  || state->n_slots != record->n_slots)) {
        return catalog_numbers_refuse(record, "number of endpoints",
                                      state->n_endpoints,
                                      "is not that of its records", diag);
    }
    error = number_endpoints(txn, group, &node->group, diag);
    if (!error && !node->group.id) {
        error = catalog_numbers_check_group(txn->catalog, record,
                                            state ? state->id : 0,
                                            state ? state->next_index : 0,
                                            diag);
        if (!error) {
            catalog_index_set_id(txn->catalog, node, state->id);
        }
    }
    if (error) {
        return error;
    }
    group->changed = state && exchange_tables(&node->group, state);
    return catalog_numbers_check_tables(&node->group, diag);
}

int
catalog_install_prepare(struct catalog_txn *txn,
                        struct catalog_txn_group *const *groups, size_t n,
                        struct diagnosis *diag)
{
    for (size_t i = 0; i < n; i++) {
        const struct record_group *r = &groups[i]->before.record;
        struct catalog_group_node *node
            = catalog_index_group(txn->catalog, r->vni, r->name);
        int error = node ? prepare_group(txn, groups[i], node, diag) : 0;

        if (error) {
            return error;
        }
    }
    return 0;
}
