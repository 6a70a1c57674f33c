/* What the death and the return of a host lead to.  Private to catalog*.c. */

#ifndef MAPPING_CATALOG_CATALOG_LIVENESS_H
#define MAPPING_CATALOG_CATALOG_LIVENESS_H 1

#include "mapping/catalog/catalog-txn.h"

/* Fills in txn->liveness, and puts the endpoints of these hosts anew, so that
 * their groups are looked at. */
void catalog_liveness_spread(struct catalog_txn *);

/* Sets when 'endpoint' of the group with this id, which the transaction has
 * put, began to serve; 'old' is what it was before, or NULL. */
void catalog_liveness_date(const struct catalog_txn *, uint32_t group,
                           struct catalog_endpoint *endpoint,
                           const struct catalog_endpoint *old);

#endif /* mapping/catalog/catalog-liveness.h */
