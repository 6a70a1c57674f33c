/* Refusals of what a catalog does not have, with names of what it has for a
 * hint.  Private to catalog*.c.
 *
 * The functions return a positive errno, with '*diag' filled in. */

#ifndef MAPPING_CATALOG_CATALOG_MISSING_H
#define MAPPING_CATALOG_CATALOG_MISSING_H 1

#include "mapping/catalog/catalog-index.h"

/* There is no host 'name', which stands in 'field'. */
int catalog_missing_host(const struct catalog *, const char *field,
                         const char *name, struct diagnosis *diag);

/* There is no group 'name', which stands in 'field', in 'vni'. */
int catalog_missing_group(const struct catalog *, const char *field,
                          uint32_t vni, const char *name,
                          struct diagnosis *diag);

/* No group is in 'vni'. */
int catalog_missing_vni(const struct catalog *, uint32_t vni,
                        struct diagnosis *diag);

/* There is no record with this key. */
int catalog_missing_record(const struct catalog *, const struct record *key,
                           struct diagnosis *diag);

#endif /* mapping/catalog/catalog-missing.h */
