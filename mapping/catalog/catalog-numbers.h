/* Whether what was assigned to a group can be.  Private to catalog*.c.
 *
 * The functions return 0, or a positive errno with '*diag' filled in. */

#ifndef MAPPING_CATALOG_CATALOG_NUMBERS_H
#define MAPPING_CATALOG_CATALOG_NUMBERS_H 1

#include "mapping/catalog/catalog-index.h"

/* "group VNI/NAME: FIELD VALUE PROBLEM" */
int catalog_numbers_refuse(const struct record_group *group,
                           const char *field, uint32_t value,
                           const char *problem, struct diagnosis *diag);

/* Whether 'id' is in range and that of no group in 'catalog', and 'next_index'
 * is in range, for 'group', which has no id yet. */
int catalog_numbers_check_group(const struct catalog *,
                                const struct record_group *group, uint32_t id,
                                uint16_t next_index, struct diagnosis *diag);

/* Whether the indexes of the endpoints are in range and used once, each slot
 * is owned by one that is up, and its previous owners can be. */
int catalog_numbers_check_tables(const struct catalog_group *group,
                                 struct diagnosis *diag);

#endif /* mapping/catalog/catalog-numbers.h */
