/* Which endpoints their hosts have found to be unwell.  Private to catalog*.c,
 * but for what catalog.h has of it. */

#ifndef MAPPING_CATALOG_CATALOG_HEALTH_H
#define MAPPING_CATALOG_CATALOG_HEALTH_H 1

#include "mapping/catalog/catalog-txn.h"

/* Forgets what was found of endpoints that are gone, down, not checked, or
 * somewhere else now; lists what has changed; and puts those whose health the
 * transaction has changed anew, so that their groups are looked at. */
void catalog_health_spread(struct catalog_txn *);

/* Does not believe that what is not there, or down, is unwell: for who follows
 * another catalog, after it has the other's numbers. */
void catalog_health_check(struct catalog_txn *);

/* Whether the transaction has changed the health of this endpoint, or of one
 * of this group. */
bool catalog_health_changed(const struct catalog_txn *, uint32_t group,
                            uint16_t endpoint);
bool catalog_health_changed_group(const struct catalog_txn *,
                                  uint32_t group);

/* The ends of a transaction. */
void catalog_health_commit(struct catalog_txn *);
void catalog_health_abort(struct catalog_txn *);

/* Takes an endpoint for unwell, while what was stored is restored. */
void catalog_health_restore(struct catalog *, uint32_t group,
                            uint16_t endpoint);

void catalog_health_destroy(struct catalog *);

#endif /* mapping/catalog/catalog-health.h */
