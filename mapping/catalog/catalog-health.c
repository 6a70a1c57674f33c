#include <config.h>
#include "mapping/catalog/catalog-health.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "mapping/catalog/catalog-liveness.h"
#include "util.h"

/* An endpoint that is unwell; or, in a transaction, what was known of one
 * before. */
struct catalog_sick {
    struct hmap_node node;      /* In catalog->sick or txn->healths. */
    uint32_t group;             /* Id. */
    uint16_t endpoint;          /* Index. */
    bool was_sick;              /* In a transaction. */
    char why[CATALOG_WHY_SIZE];
};

static struct catalog_sick *
find(const struct hmap *map, uint32_t group, uint16_t endpoint)
{
    struct catalog_sick *sick;

    HMAP_FOR_EACH_WITH_HASH (sick, node, hash_2words(group, endpoint), map) {
        if (sick->group == group && sick->endpoint == endpoint) {
            return sick;
        }
    }
    return NULL;
}

static struct catalog_sick *
add(struct hmap *map, uint32_t group, uint16_t endpoint)
{
    struct catalog_sick *sick = xzalloc(sizeof *sick);

    sick->group = group;
    sick->endpoint = endpoint;
    hmap_insert(map, &sick->node, hash_2words(group, endpoint));
    return sick;
}

/* Sets the reason why it is unwell; NULL: it is well. */
static void
set(struct catalog *catalog, uint32_t group, uint16_t endpoint,
    const char *why)
{
    struct catalog_sick *sick = find(&catalog->sick, group, endpoint);

    if (!why && sick) {
        hmap_remove(&catalog->sick, &sick->node);
        free(sick);
    } else if (why) {
        sick = sick ? sick : add(&catalog->sick, group, endpoint);
        ovs_strlcpy(sick->why, why, sizeof sick->why);
    }
}

static void
clear(struct hmap *map)
{
    struct catalog_sick *sick;

    HMAP_FOR_EACH_POP (sick, node, map) {
        free(sick);
    }
}

/* Reading. */

const char *
catalog_endpoint_sickness(const struct catalog *catalog,
                          const struct catalog_group *group,
                          const struct catalog_endpoint *endpoint)
{
    const struct catalog_sick *sick;

    if (group->record.health.check == HEALTH_NONE) {
        return NULL;
    }
    sick = find(&catalog->sick, group->id, endpoint->index);
    return sick ? sick->why : NULL;
}

bool
catalog_group_fails_open(const struct catalog *catalog,
                         const struct catalog_group *group)
{
    bool any = false;

    if (group->record.health.check == HEALTH_NONE
        || hmap_is_empty(&catalog->sick)) {
        return false;
    }
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *endpoint = group->endpoints[i];

        if (catalog_endpoint_serves(catalog, endpoint)) {
            if (!catalog_endpoint_sickness(catalog, group, endpoint)) {
                return false;
            }
            any = true;
        }
    }
    return any;
}

static const struct catalog_endpoint *
find_endpoint(const struct catalog_group *group, uint16_t index)
{
    for (size_t i = 0; i < group->n_endpoints; i++) {
        if (group->endpoints[i]->index == index) {
            return group->endpoints[i];
        }
    }
    return NULL;
}

const struct catalog_endpoint *
catalog_find_index(const struct catalog *catalog, uint32_t group,
                   uint16_t index)
{
    const struct catalog_group_node *node = catalog_index_id(catalog, group);

    return node ? find_endpoint(&node->group, index) : NULL;
}

struct catalog_patient *
catalog_patients(const struct catalog *catalog, const char *host, size_t *np)
{
    struct catalog_patient *patients
        = xcalloc(hmap_count(&catalog->sick) + 1, sizeof *patients);
    const struct catalog_sick *sick;
    size_t n = 0;

    HMAP_FOR_EACH (sick, node, &catalog->sick) {
        const struct catalog_endpoint *endpoint
            = catalog_find_index(catalog, sick->group, sick->endpoint);

        if (!host
            || (endpoint && !strcmp(endpoint->record.host, host))) {
            patients[n].group = sick->group;
            patients[n++].endpoint = sick->endpoint;
        }
    }
    *np = n;
    return patients;
}

/* Transactions. */

void
catalog_set_health(struct catalog_txn *txn, uint32_t group, uint16_t endpoint,
                   const char *why)
{
    struct catalog *catalog = txn->catalog;
    const struct catalog_sick *sick = find(&catalog->sick, group, endpoint);

    ovs_assert(!txn->prepared);
    if (!find(&txn->healths, group, endpoint)) {
        struct catalog_sick *before = add(&txn->healths, group, endpoint);

        before->was_sick = sick != NULL;
        ovs_strlcpy(before->why, sick ? sick->why : "", sizeof before->why);
    }
    set(catalog, group, endpoint, why);
}

/* A new reason for the same thing is not worth a revision. */
static bool
is_changed(const struct catalog_txn *txn, const struct catalog_sick *before)
{
    return (before->was_sick
            != !!find(&txn->catalog->sick, before->group, before->endpoint));
}

bool
catalog_health_changed(const struct catalog_txn *txn, uint32_t group,
                       uint16_t endpoint)
{
    const struct catalog_sick *before = find(&txn->healths, group, endpoint);

    return before && is_changed(txn, before);
}

bool
catalog_health_changed_group(const struct catalog_txn *txn, uint32_t group)
{
    const struct catalog_sick *before;

    HMAP_FOR_EACH (before, node, &txn->healths) {
        if (before->group == group && is_changed(txn, before)) {
            return true;
        }
    }
    return false;
}

/* Whether what was found of 'old', in the group that had 'id', says nothing of
 * what 'group' has in its place.  Hosts do not check what is down: when it is
 * up again, they begin anew. */
static bool
is_history(const struct catalog_endpoint *old, uint32_t id,
           const struct catalog_group_node *group)
{
    const struct catalog_endpoint *now
        = (group && group->group.id == id
           ? catalog_index_endpoint(&group->group, old->record.name) : NULL);

    return (!now || now->record.state == ENDPOINT_DOWN
            || group->group.record.health.check == HEALTH_NONE
            || strcmp(now->record.host, old->record.host)
            || memcmp(&now->record.mac, &old->record.mac,
                      sizeof now->record.mac));
}

static void
forget_history(struct catalog_txn *txn)
{
    const struct catalog_txn_group *group;

    HMAP_FOR_EACH (group, node, &txn->groups) {
        const struct catalog_group *before = &group->before;
        const struct catalog_group_node *now
            = catalog_index_group(txn->catalog, before->record.vni,
                                  before->record.name);

        for (size_t i = 0; i < before->n_endpoints; i++) {
            const struct catalog_endpoint *old = before->endpoints[i];

            if (find(&txn->catalog->sick, before->id, old->index)
                && is_history(old, before->id, now)) {
                catalog_set_health(txn, before->id, old->index, NULL);
            }
        }
    }
}

static int
compare_health(const void *a_, const void *b_)
{
    const struct catalog_health *a = a_, *b = b_;

    return (a->group != b->group ? (a->group < b->group ? -1 : 1)
            : a->endpoint < b->endpoint ? -1 : a->endpoint > b->endpoint);
}

static void
list_changes(struct catalog_txn *txn)
{
    const struct catalog_sick *before;

    txn->health = xcalloc(MAX(hmap_count(&txn->healths), 1),
                          sizeof *txn->health);
    HMAP_FOR_EACH (before, node, &txn->healths) {
        const struct catalog_sick *sick
            = find(&txn->catalog->sick, before->group, before->endpoint);

        if (is_changed(txn, before)) {
            struct catalog_health *h = &txn->health[txn->n_listed_health++];

            h->group = before->group;
            h->endpoint = before->endpoint;
            h->healthy = !sick;
            ovs_strlcpy(h->why, sick ? sick->why : "", sizeof h->why);
        }
    }
    qsort(txn->health, txn->n_listed_health, sizeof *txn->health,
          compare_health);
}

const struct catalog_health *
catalog_txn_health(const struct catalog_txn *txn, size_t *n)
{
    ovs_assert(txn->prepared);
    *n = txn->n_listed_health;
    return txn->health;
}

void
catalog_health_spread(struct catalog_txn *txn)
{
    const struct catalog_sick *before;

    /* Who follows is told what the leader has forgotten. */
    if (!txn->follows && !hmap_is_empty(&txn->catalog->sick)) {
        forget_history(txn);
    }
    list_changes(txn);
    HMAP_FOR_EACH (before, node, &txn->healths) {
        const struct catalog_endpoint *endpoint
            = catalog_find_index(txn->catalog, before->group,
                                 before->endpoint);

        if (endpoint && is_changed(txn, before)) {
            const struct record_endpoint record = endpoint->record;

            catalog_set_op(txn, -1);
            catalog_txn_put_endpoint(txn, &record);
            txn->n_health++;
        }
    }
}

void
catalog_health_check(struct catalog_txn *txn)
{
    const struct catalog_sick *told;

    HMAP_FOR_EACH (told, node, &txn->healths) {
        const struct catalog_endpoint *endpoint
            = catalog_find_index(txn->catalog, told->group, told->endpoint);

        if (!endpoint || endpoint->record.state == ENDPOINT_DOWN) {
            set(txn->catalog, told->group, told->endpoint, NULL);
        }
    }
}

void
catalog_health_commit(struct catalog_txn *txn)
{
    clear(&txn->healths);
}

void
catalog_health_abort(struct catalog_txn *txn)
{
    const struct catalog_sick *before;

    /* A new reason for the same thing stays: it is news, if no revision. */
    HMAP_FOR_EACH (before, node, &txn->healths) {
        if (is_changed(txn, before)) {
            set(txn->catalog, before->group, before->endpoint,
                before->was_sick ? before->why : NULL);
        }
    }
    clear(&txn->healths);
}

void
catalog_health_restore(struct catalog *catalog, uint32_t group,
                       uint16_t endpoint)
{
    set(catalog, group, endpoint, "unhealthy when mapd last ran");
}

void
catalog_health_destroy(struct catalog *catalog)
{
    clear(&catalog->sick);
    hmap_destroy(&catalog->sick);
}
