/* What a catalog refuses of plain records.  Private to catalog*.c.
 *
 * The functions return 0, or a positive errno with '*diag' filled in. */

#ifndef MAPPING_CATALOG_CATALOG_RECORD_CHECK_H
#define MAPPING_CATALOG_CATALOG_RECORD_CHECK_H 1

#include "mapping/catalog/catalog-index.h"

struct catalog_txn;

/* Whether what 'record' refers to is there. */
int catalog_record_check_put(const struct catalog *,
                             const struct record *record, struct diagnosis *);

/* Whether no plain record refers to 'key', of any kind. */
int catalog_record_check_unused(const struct catalog *,
                                const struct record *key, struct diagnosis *);

/* Whether nobody else has what must be unique about 'record', which 'txn' has
 * touched, and leases are in their pools.  Of two that clash, the one that a
 * later operation touched is at fault. */
int catalog_record_check_alone(const struct catalog *,
                               const struct catalog_txn *txn,
                               const struct record *record,
                               struct diagnosis *);

/* The same for a record that comes from a store. */
int catalog_record_check_restored(const struct catalog *,
                                  const struct record *record,
                                  struct diagnosis *);

/* Refusals. */
int catalog_record_check_existing(const struct record *key,
                                  const char *problem, struct diagnosis *);
int catalog_record_check_not_found(const struct catalog *,
                                   const struct record *key,
                                   struct diagnosis *);

#endif /* mapping/catalog/catalog-record-check.h */
