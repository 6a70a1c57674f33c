#include <config.h>
#include "mapping/catalog/catalog-numbers.h"

#include <inttypes.h>
#include <stdio.h>

#include "bitmap.h"
#include "mapping/catalog/slot-history.h"
#include "util.h"

int
catalog_numbers_refuse(const struct record_group *group, const char *field,
                       uint32_t value, const char *problem,
                       struct diagnosis *diag)
{
    char text[16];

    snprintf(text, sizeof text, "%"PRIu32, value);
    return diagnosis_set(diag, DIAG_INVALID, field, text,
                         "group %"PRIu32"/%s: %s %s %s", group->vni,
                         group->name, field, text, problem);
}

int
catalog_numbers_check_group(const struct catalog *catalog,
                            const struct record_group *group, uint32_t id,
                            uint16_t next_index, struct diagnosis *diag)
{
    if (id < 1 || id > GROUP_MAX_ID) {
        return catalog_numbers_refuse(group, "id", id, "is out of range",
                                      diag);
    }
    if (catalog_index_id(catalog, id)) {
        return catalog_numbers_refuse(group, "id", id, "is used twice", diag);
    }
    if (next_index >= GROUP_MAX_ENDPOINTS) {
        return catalog_numbers_refuse(group, "next_index", next_index,
                                      "is out of range", diag);
    }
    return 0;
}

/* Marks the indexes in use, and those of endpoints that may own slots ('up')
 * or have flows ('keeps'). */
static int
check_indexes(const struct catalog_group *group, unsigned long *up,
              unsigned long *keeps, struct diagnosis *diag)
{
    unsigned long *used = bitmap_allocate(GROUP_MAX_ENDPOINTS);
    int error = 0;

    for (size_t i = 0; !error && i < group->n_endpoints; i++) {
        const struct catalog_endpoint *e = group->endpoints[i];

        if (e->index >= GROUP_MAX_ENDPOINTS) {
            error = catalog_numbers_refuse(&group->record, "index", e->index,
                                           "is out of range", diag);
            break;
        }
        if (bitmap_is_set(used, e->index)) {
            error = catalog_numbers_refuse(&group->record, "index", e->index,
                                           "is used twice", diag);
            break;
        }
        bitmap_set1(used, e->index);
        bitmap_set(up, e->index, e->record.state == ENDPOINT_UP);
        bitmap_set(keeps, e->index, e->record.state != ENDPOINT_DOWN);
    }
    bitmap_free(used);
    return error;
}

static int
check_slots(const struct catalog_group *group, const unsigned long *up,
            const unsigned long *keeps, struct diagnosis *diag)
{
    size_t n = group->record.n_slots, i;

    for (i = 0; i < n; i++) {
        uint16_t owner = group->slots[i];

        if (owner != GROUP_NO_ENDPOINT
            && (owner >= GROUP_MAX_ENDPOINTS || !bitmap_is_set(up, owner))) {
            return catalog_numbers_refuse(&group->record, "slot owner", owner,
                                          "is no endpoint that is up", diag);
        }
    }
    i = slot_history_check(group->previous, group->slots, n, keeps);
    return (i == n ? 0
            : catalog_numbers_refuse(&group->record, "slot", i, "has previous "
                                     "owners that cannot be", diag));
}

int
catalog_numbers_check_tables(const struct catalog_group *group,
                             struct diagnosis *diag)
{
    unsigned long *up = bitmap_allocate(GROUP_MAX_ENDPOINTS);
    unsigned long *keeps = bitmap_allocate(GROUP_MAX_ENDPOINTS);
    int error = check_indexes(group, up, keeps, diag);

    if (!error) {
        error = check_slots(group, up, keeps, diag);
    }
    bitmap_free(up);
    bitmap_free(keeps);
    return error;
}
