/* Plain records (catalog-record.h) in a transaction.  Private to
 * catalog*.c. */

#ifndef MAPPING_CATALOG_CATALOG_RECORD_TXN_H
#define MAPPING_CATALOG_CATALOG_RECORD_TXN_H 1

#include "mapping/catalog/catalog-txn.h"

struct json;

void catalog_record_txn_init(struct catalog_txn *);
void catalog_record_txn_destroy(struct catalog_txn *);

/* NULL if it was not touched. */
const struct catalog_txn_record *
catalog_record_txn_find(const struct catalog_txn *, const struct record *key);

/* Adds or replaces a record; or removes one that is there, and what refers to
 * it. */
void catalog_record_txn_put(struct catalog_txn *, const struct record *);
void catalog_record_txn_take(struct catalog_txn *, const struct record *key);

/* Sets the epoch of 'new', which 'json' made of 'old', or refuses the change,
 * if it is a gateway.  0, or a positive errno with '*diag' filled in. */
int catalog_record_txn_epoch(const struct catalog_txn *,
                             const struct json *json,
                             const struct record *old, struct record *new,
                             struct diagnosis *diag);

/* Whether what was touched is, in the end, alone where it must be.  0, or a
 * positive errno with '*diag' filled in: it names the first operation that is
 * at fault. */
int catalog_record_txn_check(const struct catalog_txn *, struct diagnosis *);

/* Adds what has changed, in order, to the changes of the transaction. */
void catalog_record_txn_add_changes(struct catalog_txn *);

/* Puts everything back. */
void catalog_record_txn_undo(struct catalog_txn *);

#endif /* mapping/catalog/catalog-record-txn.h */
