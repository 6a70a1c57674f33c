#include <config.h>
#include "mapping/catalog/catalog.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-check.h"
#include "mapping/catalog/catalog-numbers.h"
#include "mapping/catalog/catalog-health.h"
#include "mapping/catalog/catalog-index.h"
#include "mapping/catalog/slot-history.h"
#include "util.h"

struct catalog *
catalog_create(void)
{
    struct catalog *catalog = xzalloc(sizeof *catalog);

    hmap_init(&catalog->hosts);
    hmap_init(&catalog->vteps);
    hmap_init(&catalog->groups);
    hmap_init(&catalog->services);
    hmap_init(&catalog->ids);
    hmap_init(&catalog->macs);
    hmap_init(&catalog->quic_ids);
    hmap_init(&catalog->ifaces);
    catalog_record_init(&catalog->records);
    hmap_init(&catalog->sick);
    return catalog;
}

/* Takes a group out and frees all of it. */
static void
remove_group(struct catalog *catalog, struct catalog_group_node *node)
{
    catalog_index_unlink_group(catalog, node);
    for (size_t i = 0; i < node->group.n_endpoints; i++) {
        catalog_index_free_endpoint(node->group.endpoints[i]);
    }
    free(node->group.endpoints);
    free(node->group.slots);
    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        free(node->group.previous[i]);
    }
    free(node);
}

void
catalog_destroy(struct catalog *catalog)
{
    struct catalog_group_node *group;
    struct catalog_host_node *host;

    if (!catalog) {
        return;
    }
    ovs_assert(!catalog->txn);
    free(catalog->sorted);
    catalog->sorted = NULL;
    HMAP_FOR_EACH_SAFE (group, by_name, &catalog->groups) {
        remove_group(catalog, group);
    }
    HMAP_FOR_EACH_SAFE (host, by_name, &catalog->hosts) {
        catalog_index_remove_host(catalog, host);
    }
    catalog_record_destroy(&catalog->records);
    catalog_health_destroy(catalog);
    hmap_destroy(&catalog->quic_ids);
    hmap_destroy(&catalog->ifaces);
    hmap_destroy(&catalog->macs);
    hmap_destroy(&catalog->ids);
    hmap_destroy(&catalog->services);
    hmap_destroy(&catalog->groups);
    hmap_destroy(&catalog->vteps);
    hmap_destroy(&catalog->hosts);
    free(catalog);
}

/* Reading. */

uint64_t
catalog_revision(const struct catalog *catalog)
{
    return catalog->revision;
}

size_t
catalog_count(const struct catalog *catalog, enum record_kind kind)
{
    switch (kind) {
    case RECORD_HOST:
        return hmap_count(&catalog->hosts);
    case RECORD_GROUP:
        return hmap_count(&catalog->groups);
    case RECORD_ENDPOINT:
        return catalog->n_endpoints;
    default:
        return catalog_record_count(&catalog->records, kind);
    }
}

const struct record_host *
catalog_find_host(const struct catalog *catalog, const char *name)
{
    const struct catalog_host_node *host = catalog_index_host(catalog, name);

    return host ? &host->record : NULL;
}

const struct catalog_group *
catalog_find_group(const struct catalog *catalog, uint32_t vni,
                   const char *name)
{
    const struct catalog_group_node *node = catalog_index_group(catalog, vni,
                                                                name);

    return node ? &node->group : NULL;
}

const struct catalog_endpoint *
catalog_find_endpoint(const struct catalog_group *group, const char *name)
{
    return catalog_index_endpoint(group, name);
}

bool
catalog_find_record(const struct catalog *catalog, const struct record *key,
                    struct record *record)
{
    return catalog_index_get(catalog, key, record);
}

static int
compare_hosts(const void *a_, const void *b_)
{
    const struct record_host *const *a = a_, *const *b = b_;

    return strcmp((*a)->name, (*b)->name);
}

const struct record_host **
catalog_hosts(const struct catalog *catalog, size_t *n)
{
    size_t count = hmap_count(&catalog->hosts);
    const struct record_host **hosts = xmalloc(MAX(count, 1) * sizeof *hosts);
    const struct catalog_host_node *host;
    size_t i = 0;

    HMAP_FOR_EACH (host, by_name, &catalog->hosts) {
        hosts[i++] = &host->record;
    }
    qsort(hosts, count, sizeof *hosts, compare_hosts);
    *n = count;
    return hosts;
}

static int
compare_groups(const void *a_, const void *b_)
{
    const struct catalog_group *const *a = a_, *const *b = b_;

    return ((*a)->record.vni != (*b)->record.vni
            ? ((*a)->record.vni < (*b)->record.vni ? -1 : 1)
            : strcmp((*a)->record.name, (*b)->record.name));
}

const struct catalog_group **
catalog_groups(const struct catalog *catalog, size_t *n)
{
    size_t count = hmap_count(&catalog->groups);
    const struct catalog_group **groups = xmalloc(MAX(count, 1)
                                                  * sizeof *groups);
    const struct catalog_group_node *node;
    size_t i = 0;

    HMAP_FOR_EACH (node, by_name, &catalog->groups) {
        groups[i++] = &node->group;
    }
    qsort(groups, count, sizeof *groups, compare_groups);
    *n = count;
    return groups;
}

/* How many of the sorted groups are in VNIs below 'vni'. */
static size_t
count_below(const struct catalog *catalog, uint32_t vni)
{
    size_t low = 0, high = hmap_count(&catalog->groups);

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (catalog->sorted[middle]->record.vni < vni) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const struct catalog_group *const *
catalog_groups_between(const struct catalog *catalog, uint32_t first,
                       uint32_t last, size_t *n)
{
    size_t start;

    if (!catalog->sorted) {
        /* Only kept here: the catalog is as it was. */
        CONST_CAST(struct catalog *, catalog)->sorted
            = catalog_groups(catalog, &start);
    }
    start = count_below(catalog, first);
    *n = count_below(catalog, last + 1) - start;
    return &catalog->sorted[start];
}

/* Restoring. */

/* As catalog_add() without its transaction: checks that 'record' is new and
 * fits in. */
static int
check_restored(const struct catalog *catalog, const struct record *record,
               struct diagnosis *diag)
{
    struct record old;

    int error = (catalog_index_get(catalog, record, &old)
                 ? catalog_check_exists(record, diag)
                 : catalog_check_put(catalog, record, diag));

    return error ? error : catalog_check_unique(catalog, record, diag);
}

int
catalog_restore_host(struct catalog *catalog, const struct record_host *host,
                     struct diagnosis *diag)
{
    struct record record = { .kind = RECORD_HOST, .host = *host };
    int error = check_restored(catalog, &record, diag);

    if (!error) {
        catalog_index_put_host(catalog, host);
    }
    return error;
}

int
catalog_restore_record(struct catalog *catalog, const struct record *record,
                       struct diagnosis *diag)
{
    int error = check_restored(catalog, record, diag);

    ovs_assert(record->kind >= RECORD_FIRST_PLAIN);
    if (!error) {
        catalog_record_insert(&catalog->records, record);
    }
    return error;
}

static int
restore_endpoints(struct catalog *catalog, struct catalog_group_node *node,
                  const struct catalog_group *group, struct diagnosis *diag)
{
    int error = 0;

    for (size_t i = 0; !error && i < group->n_endpoints; i++) {
        const struct catalog_endpoint *e = group->endpoints[i];
        struct record record = { .kind = RECORD_ENDPOINT,
                                 .endpoint = e->record };

        ovs_assert(record.endpoint.vni == group->record.vni
                   && !strcmp(record.endpoint.group, group->record.name));
        error = check_restored(catalog, &record, diag);
        if (!error) {
            catalog_index_put_endpoint(catalog, node, &record.endpoint,
                                       e->index);
        }
    }
    return error ? error : catalog_numbers_check_tables(&node->group, diag);
}

int
catalog_restore_group(struct catalog *catalog,
                      const struct catalog_group *group,
                      struct diagnosis *diag)
{
    struct record record = { .kind = RECORD_GROUP, .group = group->record };
    struct catalog_group_node *node;
    int error = check_restored(catalog, &record, diag);

    if (!error) {
        error = catalog_numbers_check_group(catalog, &group->record, group->id,
                                            group->next_index, diag);
    }
    if (error) {
        return error;
    }

    node = catalog_index_add_group(catalog, &group->record);
    catalog_index_set_id(catalog, node, group->id);
    node->group.epoch = group->epoch;
    node->group.next_index = group->next_index;
    node->group.slots = xmemdup(group->slots, group->record.n_slots
                                * sizeof *group->slots);
    slot_history_copy(node->group.previous, group->previous,
                      group->record.n_slots);
    error = restore_endpoints(catalog, node, group, diag);
    if (error) {
        remove_group(catalog, node);
    }
    return error;
}

void
catalog_restore_counters(struct catalog *catalog, uint64_t revision,
                         uint32_t last_group_id)
{
    catalog->revision = revision;
    catalog->last_group_id = last_group_id;
}

uint32_t
catalog_last_group_id(const struct catalog *catalog)
{
    return catalog->last_group_id;
}
