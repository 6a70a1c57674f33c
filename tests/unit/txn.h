/* Operations on a catalog's transaction, whose records are text with ' in the
 * place of ". */

#ifndef TESTS_UNIT_TXN_H
#define TESTS_UNIT_TXN_H 1

#include "mapping/catalog/catalog.h"

/* As catalog_add(), catalog_set() and catalog_remove(). */
int txn_add(struct catalog_txn *, struct diagnosis *, const char *text);
int txn_set(struct catalog_txn *, struct diagnosis *, const char *text);
int txn_take(struct catalog_txn *, struct diagnosis *, const char *text);
int txn_take_with(struct catalog_txn *, struct diagnosis *, const char *text,
                  bool if_exists, bool cascade);

/* Fails the test if there is an error. */
void txn_must(int error);

/* Prepares, which must succeed, and commits. */
void txn_commit(struct catalog_txn *);

/* Hosts h1 and h2, groups 5001/web (w1 on h1, w2 on h2), 5001/dns and
 * 5002/api.  The caller owns it. */
struct catalog *txn_small_catalog(void);

#endif /* tests/unit/txn.h */
