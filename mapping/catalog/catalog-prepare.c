#include <config.h>
#include "mapping/catalog/catalog-txn.h"

#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "mapping/catalog/catalog-install.h"
#include "mapping/catalog/catalog-health.h"
#include "mapping/catalog/catalog-liveness.h"
#include "mapping/catalog/catalog-record-txn.h"
#include "mapping/catalog/catalog-unique.h"
#include "mapping/catalog/slot-history.h"
#include "mapping/catalog/slots.h"
#include "util.h"

/* The end of a transaction's operations: numbers, changes, slots. */

static struct catalog_group_node *
group_now(const struct catalog_txn *txn, const struct catalog_txn_group *group)
{
    return catalog_index_group(txn->catalog, group->before.record.vni,
                               group->before.record.name);
}

/* Numbers.
 *
 * They go round before they are used again, so that what still remembers one
 * (a flow entry, a packet under way) does not take the next for it.  But what
 * was removed and added again within the transaction was changed, not
 * replaced, and keeps its numbers. */

/* Gives a group that was added again the numbers and slots that it had, if it
 * is for the same service and has as many slots. */
static void
revive_group(struct catalog *catalog, const struct catalog_txn_group *group,
             struct catalog_group_node *node)
{
    const struct catalog_group *before = &group->before;

    if (!group->existed || node->group.id) {
        return;
    }
    node->group.next_index = before->next_index;
    if (record_equal_fixed(&before->record, &node->group.record)) {
        catalog_index_set_id(catalog, node, before->id);
        node->group.epoch = before->epoch;
        node->group.slots = before->slots;
        memcpy(node->group.previous, before->previous,
               sizeof node->group.previous);
    }
}

static void
number_group(struct catalog *catalog, struct catalog_group_node *node)
{
    if (node->group.id) {
        return;
    }
    do {
        catalog->last_group_id = catalog->last_group_id % GROUP_MAX_ID + 1;
    } while (catalog_index_id(catalog, catalog->last_group_id));
    catalog_index_set_id(catalog, node, catalog->last_group_id);
}

/* One with another MAC is another machine, whose flows hosts must not take
 * for the first one's. */
static bool
is_same_machine(const struct catalog_endpoint *a,
                const struct catalog_endpoint *b)
{
    return !memcmp(&a->record.mac, &b->record.mac, sizeof a->record.mac);
}

/* Marks the indexes in use in 'used'.  Returns the number of endpoints that
 * have none. */
static size_t
revive_endpoints(const struct catalog_txn *txn,
                 const struct catalog_txn_group *group,
                 struct catalog_group *now, unsigned long *used)
{
    size_t n = 0;

    for (size_t i = 0; i < now->n_endpoints; i++) {
        struct catalog_endpoint *endpoint = now->endpoints[i];

        if (endpoint->index == GROUP_NO_ENDPOINT) {
            const struct catalog_endpoint *old
                = catalog_index_endpoint(&group->before,
                                         endpoint->record.name);

            if (old && is_same_machine(old, endpoint)) {
                endpoint->index = old->index;
            }
            catalog_liveness_date(txn, now->id, endpoint, old);
        }
        if (endpoint->index == GROUP_NO_ENDPOINT) {
            n++;
        } else {
            bitmap_set1(used, endpoint->index);
        }
    }
    return n;
}

static void
number_endpoints(const struct catalog_txn *txn,
                 const struct catalog_txn_group *group,
                 struct catalog_group *now)
{
    unsigned long *used = bitmap_allocate(GROUP_MAX_ENDPOINTS);
    size_t n_left = revive_endpoints(txn, group, now, used);

    for (size_t i = 0; n_left; i++) {
        struct catalog_endpoint *endpoint = now->endpoints[i];

        if (endpoint->index == GROUP_NO_ENDPOINT) {
            while (bitmap_is_set(used, now->next_index)) {
                now->next_index = (now->next_index + 1) % GROUP_MAX_ENDPOINTS;
            }
            endpoint->index = now->next_index;
            bitmap_set1(used, endpoint->index);
            now->next_index = (now->next_index + 1) % GROUP_MAX_ENDPOINTS;
            n_left--;
        }
    }
    bitmap_free(used);
}

static void
number(struct catalog_txn *txn, struct catalog_txn_group *const *groups,
       size_t n)
{
    /* All that come back before any new one, which could take their ids. */
    for (size_t i = 0; i < n; i++) {
        struct catalog_group_node *node = group_now(txn, groups[i]);

        if (node) {
            revive_group(txn->catalog, groups[i], node);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct catalog_group_node *node = group_now(txn, groups[i]);

        if (node) {
            number_group(txn->catalog, node);
            number_endpoints(txn, groups[i], &node->group);
        }
    }
}

/* Changes. */

bool
catalog_txn_add_change(struct catalog_txn *txn, const struct record *before,
                       const struct record *after)
{
    if (before ? after && record_equal(before, after) : !after) {
        return false;
    }
    if (txn->n_changes >= txn->allocated_changes) {
        txn->changes = x2nrealloc(txn->changes, &txn->allocated_changes,
                                  sizeof *txn->changes);
    }
    txn->changes[txn->n_changes++] = (struct catalog_change) {
        .before = before ? xmemdup(before, sizeof *before) : NULL,
        .after = after ? xmemdup(after, sizeof *after) : NULL,
    };
    return true;
}

static void
add_host_change(struct catalog_txn *txn, const struct catalog_txn_host *host)
{
    const struct catalog_host_node *node
        = catalog_index_host(txn->catalog, host->before.name);
    struct record before = { .kind = RECORD_HOST };
    struct record after = { .kind = RECORD_HOST };

    before.host = host->before;
    if (node) {
        after.host = node->record;
    }
    catalog_txn_add_change(txn, host->existed ? &before : NULL,
                           node ? &after : NULL);
}

static bool
add_group_change(struct catalog_txn *txn,
                 const struct catalog_txn_group *group)
{
    const struct catalog_group_node *node = group_now(txn, group);
    struct record before = { .kind = RECORD_GROUP };
    struct record after = { .kind = RECORD_GROUP };

    before.group = group->before.record;
    if (node) {
        after.group = node->group.record;
    }
    return catalog_txn_add_change(txn, group->existed ? &before : NULL,
                                  node ? &after : NULL);
}

static bool
add_endpoint_change(struct catalog_txn *txn,
                    const struct catalog_endpoint *old,
                    const struct catalog_endpoint *new)
{
    struct record before = { .kind = RECORD_ENDPOINT };
    struct record after = { .kind = RECORD_ENDPOINT };

    if (old) {
        before.endpoint = old->record;
    }
    if (new) {
        after.endpoint = new->record;
    }
    return catalog_txn_add_change(txn, old ? &before : NULL,
                                  new ? &after : NULL);
}

/* Merges the two sorted arrays. */
static bool
add_endpoint_changes(struct catalog_txn *txn,
                     const struct catalog_txn_group *group)
{
    static const struct catalog_group none;
    const struct catalog_group_node *node = group_now(txn, group);
    const struct catalog_group *before = &group->before;
    const struct catalog_group *now = node ? &node->group : &none;
    bool changed = false;
    size_t i = 0, j = 0;

    while (i < before->n_endpoints || j < now->n_endpoints) {
        const struct catalog_endpoint *old
            = i < before->n_endpoints ? before->endpoints[i] : NULL;
        const struct catalog_endpoint *new
            = j < now->n_endpoints ? now->endpoints[j] : NULL;
        int cmp = (!old ? 1 : !new ? -1
                   : strcmp(old->record.name, new->record.name));

        changed |= add_endpoint_change(txn, cmp <= 0 ? old : NULL,
                                       cmp >= 0 ? new : NULL);
        i += cmp <= 0;
        j += cmp >= 0;
    }
    return changed;
}

static int
compare_hosts(const void *a_, const void *b_)
{
    const struct catalog_txn_host *const *a = a_, *const *b = b_;

    return strcmp((*a)->before.name, (*b)->before.name);
}

static int
compare_groups(const void *a_, const void *b_)
{
    const struct catalog_txn_group *const *a = a_, *const *b = b_;
    const struct record_group *x = &(*a)->before.record;
    const struct record_group *y = &(*b)->before.record;

    return (x->vni != y->vni ? (x->vni < y->vni ? -1 : 1)
            : strcmp(x->name, y->name));
}

static void
add_host_changes(struct catalog_txn *txn)
{
    size_t n = hmap_count(&txn->hosts);
    struct catalog_txn_host **hosts = xmalloc(MAX(n, 1) * sizeof *hosts);
    struct catalog_txn_host *host;
    size_t i = 0;

    HMAP_FOR_EACH (host, node, &txn->hosts) {
        hosts[i++] = host;
    }
    qsort(hosts, n, sizeof *hosts, compare_hosts);
    for (i = 0; i < n; i++) {
        add_host_change(txn, hosts[i]);
    }
    free(hosts);
}

/* Slots. */

static size_t
list_claims(const struct catalog *catalog, const struct catalog_group *group,
            struct slots_claim *claims)
{
    bool all = catalog_group_fails_open(catalog, group);
    size_t n = 0;

    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *endpoint = group->endpoints[i];

        if (catalog_endpoint_serves(catalog, endpoint)
            && (all || !catalog_endpoint_sickness(catalog, group,
                                                  endpoint))) {
            claims[n].index = endpoint->index;
            claims[n].weight = endpoint->record.weight;
            n++;
        }
    }
    return n;
}

/* Returns true if the slots have changed.  The old table stays as it is: the
 * transaction has it as what was before. */
static bool
assign_slots(const struct catalog *catalog, struct catalog_group *group)
{
    size_t size = group->record.n_slots * sizeof *group->slots;
    struct slots_claim *claims = xmalloc(MAX(group->n_endpoints, 1)
                                         * sizeof *claims);
    size_t n_claims = list_claims(catalog, group, claims);
    uint64_t seed = (uint64_t) group->id << 32 | group->epoch;
    uint16_t *slots = xmalloc(size);
    bool changed;

    if (group->slots) {
        memcpy(slots, group->slots, size);
    } else {
        memset(slots, 0xff, size); /* GROUP_NO_ENDPOINT. */
    }
    changed = slots_assign(slots, group->record.n_slots, claims, n_claims,
                           seed);
    if (changed || !group->slots) {
        group->slots = slots;
    } else {
        free(slots);
    }
    free(claims);
    return changed;
}

/* Returns true if the previous owners have changed, now that the slots have
 * changed from 'from' (NULL: there were none). */
static bool
keep_history(struct catalog_group *group, const uint16_t *from)
{
    unsigned long *keeps = bitmap_allocate(GROUP_MAX_ENDPOINTS);
    bool changed;

    for (size_t i = 0; i < group->n_endpoints; i++) {
        if (group->endpoints[i]->record.state != ENDPOINT_DOWN) {
            bitmap_set1(keeps, group->endpoints[i]->index);
        }
    }
    changed = slot_history_next(group->previous, from, group->slots,
                                group->record.n_slots, keeps,
                                group->previous);
    bitmap_free(keeps);
    return changed;
}

/* Returns true if hosts must hear of it. */
static bool
update_slots(const struct catalog *catalog, struct catalog_group *group)
{
    const uint16_t *from = group->slots;
    bool changed = assign_slots(catalog, group);

    changed |= keep_history(group, from);
    group->epoch += changed;
    return changed;
}

/* Whether hosts must hear of 'group', which is 'now'.  Who follows another
 * catalog was told its slots. */
static bool
is_changed(const struct catalog_txn *txn,
           const struct catalog_txn_group *group, struct catalog_group *now)
{
    if (txn->follows || (!group->changed && !txn->n_liveness)) {
        return group->changed;
    }
    return update_slots(txn->catalog, now) || group->changed;
}

static void
add_changed_groups(struct catalog_txn *txn,
                   struct catalog_txn_group *const *groups, size_t n)
{
    txn->changed_groups = xmalloc(MAX(n, 1) * sizeof *txn->changed_groups);
    for (size_t i = 0; i < n; i++) {
        struct catalog_group_node *node = group_now(txn, groups[i]);

        if (node && txn->n_health) {
            groups[i]->changed |= catalog_health_changed_group(
                txn, node->group.id);
        }
        if (node && is_changed(txn, groups[i], &node->group)) {
            txn->changed_groups[txn->n_changed_groups++] = &node->group;
        }
    }
}

int
catalog_prepare(struct catalog_txn *txn, struct diagnosis *diag)
{
    struct catalog_txn_group *group, **groups;
    size_t n, i = 0;
    int error;

    ovs_assert(!txn->prepared);
    catalog_liveness_spread(txn);
    catalog_health_spread(txn);
    n = hmap_count(&txn->groups);
    groups = xmalloc(MAX(n, 1) * sizeof *groups);
    HMAP_FOR_EACH (group, node, &txn->groups) {
        groups[i++] = group;
    }
    qsort(groups, n, sizeof *groups, compare_groups);
    error = catalog_unique_check(txn, groups, n, diag);
    if (!error) {
        error = catalog_record_txn_check(txn, diag);
    }
    if (!error && txn->follows) {
        error = catalog_install_prepare(txn, groups, n, diag);
        catalog_health_check(txn);
    }
    if (error) {
        free(groups);
        return error;
    }
    txn->prepared = true;

    if (!txn->follows) {
        number(txn, groups, n);
    }
    add_host_changes(txn);
    for (i = 0; i < n; i++) {
        groups[i]->changed |= add_group_change(txn, groups[i]);
    }
    for (i = 0; i < n; i++) {
        groups[i]->changed |= add_endpoint_changes(txn, groups[i]);
    }
    catalog_record_txn_add_changes(txn);
    add_changed_groups(txn, groups, n);
    free(groups);
    return 0;
}

/* What came out. */

const struct catalog_change *
catalog_txn_changes(const struct catalog_txn *txn, size_t *n)
{
    ovs_assert(txn->prepared);
    *n = txn->n_changes;
    return txn->changes;
}

const struct catalog_group *const *
catalog_txn_groups(const struct catalog_txn *txn, size_t *n)
{
    ovs_assert(txn->prepared);
    *n = txn->n_changed_groups;
    return txn->changed_groups;
}

const struct catalog_group *
catalog_txn_before(const struct catalog_txn *txn,
                   const struct catalog_group *group)
{
    const struct catalog_txn_group *old
        = catalog_txn_find_group(txn, group->record.vni, group->record.name);

    return (old && old->existed && old->before.id == group->id
            ? &old->before : NULL);
}

uint64_t
catalog_txn_revision(const struct catalog_txn *txn)
{
    ovs_assert(txn->prepared);
    return (txn->follows ? txn->revision
            : txn->catalog->revision + (txn->n_changes || txn->n_liveness
                                        || txn->n_health));
}
