/* What a catalog refuses, and how it says so.  Private to catalog*.c.
 *
 * The functions return 0, or a positive errno with '*diag' filled in. */

#ifndef MAPPING_CATALOG_CATALOG_CHECK_H
#define MAPPING_CATALOG_CATALOG_CHECK_H 1

#include "mapping/catalog/catalog-index.h"

/* Whether 'record' can be put into 'catalog', where a record with its key may
 * already be: what it refers to is there, and there is room. */
int catalog_check_put(const struct catalog *, const struct record *record,
                      struct diagnosis *diag);

/* Whether the group 'new' can take the place of 'old', which is there, without
 * breaking connections. */
int catalog_check_sticky(const struct catalog *,
                         const struct record_group *old,
                         const struct record_group *new,
                         struct diagnosis *diag);

/* Whether none but 'record', which may be in 'catalog', has what must be
 * unique; and whether an endpoint fits its group, which must be there. */
int catalog_check_unique(const struct catalog *, const struct record *record,
                         struct diagnosis *diag);

/* Whether the QUIC id of 'endpoint', if it has one, is as long as those of
 * 'group' are. */
bool catalog_check_fits_quic_id(const struct record_group *group,
                                const struct record_endpoint *endpoint);

/* Whether 'key', which is there, can be removed. */
int catalog_check_remove(const struct catalog *, const struct record *key,
                         bool cascade, struct diagnosis *diag);

/* Refusals. */
int catalog_check_exists(const struct record *key, struct diagnosis *diag);
int catalog_check_differs(const struct record *key, struct diagnosis *diag);

#endif /* mapping/catalog/catalog-check.h */
