#include <config.h>
#include "mapping/catalog/catalog-liveness.h"

#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "mapping/catalog/catalog-health.h"
#include "util.h"

bool
catalog_host_is_alive(const struct catalog *catalog, const char *name)
{
    const struct catalog_host_node *host = catalog_index_host(catalog, name);

    return !host || !host->dead;
}

size_t
catalog_host_users(const struct catalog *catalog, const char *name)
{
    const struct catalog_host_node *host = catalog_index_host(catalog, name);

    return host ? host->n_users : 0;
}

bool
catalog_endpoint_serves(const struct catalog *catalog,
                        const struct catalog_endpoint *endpoint)
{
    return (endpoint->record.state == ENDPOINT_UP
            && record_is_bound(&endpoint->record)
            && catalog_host_is_alive(catalog, endpoint->record.host));
}

void
catalog_set_alive(struct catalog_txn *txn, const char *name, bool alive)
{
    struct catalog_host_node *host = catalog_index_host(txn->catalog, name);

    ovs_assert(host && !txn->prepared);
    if (host->dead == alive) {
        catalog_txn_touch_host(txn, name);
        host->dead = !alive;
    }
}

void
catalog_set_time(struct catalog_txn *txn, long long int now)
{
    ovs_assert(now > 0);
    txn->now = now;
}

const struct catalog_liveness *
catalog_txn_liveness(const struct catalog_txn *txn, size_t *n)
{
    ovs_assert(txn->prepared);
    *n = txn->n_liveness;
    return txn->liveness;
}

static int
compare_liveness(const void *a_, const void *b_)
{
    const struct catalog_liveness *a = a_, *b = b_;

    return strcmp(a->host, b->host);
}

/* Who hears of a new host takes it to be alive. */
static void
list_changes(struct catalog_txn *txn)
{
    const struct catalog_txn_host *host;

    txn->liveness = xcalloc(MAX(hmap_count(&txn->hosts), 1),
                            sizeof *txn->liveness);
    HMAP_FOR_EACH (host, node, &txn->hosts) {
        const struct catalog_host_node *now
            = catalog_index_host(txn->catalog, host->before.name);

        if (now && now->dead != host->was_dead) {
            struct catalog_liveness *l = &txn->liveness[txn->n_liveness++];

            ovs_strlcpy(l->host, host->before.name, sizeof l->host);
            l->alive = !now->dead;
        }
    }
    qsort(txn->liveness, txn->n_liveness, sizeof *txn->liveness,
          compare_liveness);
}

static bool
is_listed(const struct catalog_txn *txn, const char *host)
{
    struct catalog_liveness key = { .alive = false };

    ovs_strlcpy(key.host, host, sizeof key.host);
    return bsearch(&key, txn->liveness, txn->n_liveness,
                   sizeof *txn->liveness, compare_liveness);
}

/* Endpoints that the transaction has put already have no index yet. */
static void
spread_to_group(struct catalog_txn *txn, const struct catalog_group *group)
{
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct record_endpoint record = group->endpoints[i]->record;

        if (record.state == ENDPOINT_UP && is_listed(txn, record.host)
            && group->endpoints[i]->index != GROUP_NO_ENDPOINT) {
            catalog_txn_put_endpoint(txn, &record);
        }
    }
}

void
catalog_liveness_spread(struct catalog_txn *txn)
{
    const struct catalog_group_node *node;

    list_changes(txn);
    if (txn->n_liveness) {
        catalog_set_op(txn, -1);
        HMAP_FOR_EACH (node, by_name, &txn->catalog->groups) {
            spread_to_group(txn, &node->group);
        }
    }
}

/* Whether 'endpoint' served when the transaction began. */
static bool
has_served(const struct catalog_txn *txn,
           const struct catalog_endpoint *endpoint)
{
    const struct catalog_txn_host *host
        = catalog_txn_find_host(txn, endpoint->record.host);

    return (endpoint->record.state == ENDPOINT_UP
            && record_is_bound(&endpoint->record)
            && (host ? !host->was_dead
                : catalog_host_is_alive(txn->catalog,
                                        endpoint->record.host)));
}

void
catalog_liveness_date(const struct catalog_txn *txn, uint32_t group,
                      struct catalog_endpoint *endpoint,
                      const struct catalog_endpoint *old)
{
    bool goes_on = (old && old->index == endpoint->index
                    && has_served(txn, old)
                    && !catalog_health_changed(txn, group, old->index));

    endpoint->up_since = (!catalog_endpoint_serves(txn->catalog, endpoint) ? 0
                          : goes_on ? old->up_since : txn->now);
}

/* Restoring. */

static bool
is_due_a_slot(const struct catalog_endpoint *endpoint)
{
    return (endpoint->record.state == ENDPOINT_UP
            && record_is_bound(&endpoint->record));
}

/* As long as there are slots for all, each endpoint that serves has one; but
 * where they are checked, one that has none need not be on a dead host. */
static void
find_dead(struct catalog *catalog, const struct catalog_group *group)
{
    unsigned long *owners = bitmap_allocate(GROUP_MAX_ENDPOINTS);
    size_t n_up = 0;

    for (size_t i = 0; i < group->record.n_slots; i++) {
        if (group->slots[i] != GROUP_NO_ENDPOINT) {
            bitmap_set1(owners, group->slots[i]);
        }
    }
    for (size_t i = 0; i < group->n_endpoints; i++) {
        n_up += is_due_a_slot(group->endpoints[i]);
    }
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *endpoint = group->endpoints[i];

        if (is_due_a_slot(endpoint)
            && n_up <= group->record.n_slots
            && !bitmap_is_set(owners, endpoint->index)) {
            if (group->record.health.check == HEALTH_NONE) {
                catalog_index_host(catalog, endpoint->record.host)->dead
                    = true;
            } else {
                catalog_health_restore(catalog, group->id, endpoint->index);
            }
        }
    }
    bitmap_free(owners);
}

void
catalog_restore_liveness(struct catalog *catalog)
{
    const struct catalog_group_node *node;

    ovs_assert(!catalog->txn);
    HMAP_FOR_EACH (node, by_name, &catalog->groups) {
        find_dead(catalog, &node->group);
    }
}
