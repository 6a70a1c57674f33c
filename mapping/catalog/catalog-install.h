/* The preparation of a transaction that follows another catalog.  Private to
 * catalog*.c. */

#ifndef MAPPING_CATALOG_CATALOG_INSTALL_H
#define MAPPING_CATALOG_CATALOG_INSTALL_H 1

#include "mapping/catalog/catalog-txn.h"

/* Gives the 'n' groups that the transaction has touched what was installed for
 * them, or what they had; sets their 'changed' if their tables are others.
 * Returns 0, or a positive errno with '*diag' filled in. */
int catalog_install_prepare(struct catalog_txn *,
                            struct catalog_txn_group *const *groups, size_t n,
                            struct diagnosis *diag);

#endif /* mapping/catalog/catalog-install.h */
