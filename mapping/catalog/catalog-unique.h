/* What must be unique, or fit, at the end of a transaction.  Private to
 * catalog*.c. */

#ifndef MAPPING_CATALOG_CATALOG_UNIQUE_H
#define MAPPING_CATALOG_CATALOG_UNIQUE_H 1

#include "mapping/catalog/catalog-txn.h"

/* Whether nothing that 'txn' has put clashes with anything else, or does not
 * fit what it belongs to.  'groups' are the 'n' that it touched.  Returns 0,
 * or a positive errno with '*diag' filled in: it names the operation that made
 * the first clash. */
int catalog_unique_check(const struct catalog_txn *txn,
                         struct catalog_txn_group *const *groups, size_t n,
                         struct diagnosis *diag);

#endif /* mapping/catalog/catalog-unique.h */
