/* What came from etcd, one of its revisions or all of it, as a transaction of
 * the catalog.  Part of store-etcd*.c.
 *
 * Anybody may have written to etcd: nothing is believed that a catalog would
 * not hold. */

#ifndef MAPPING_MAPD_STORE_ETCD_BATCH_H
#define MAPPING_MAPD_STORE_ETCD_BATCH_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/catalog/catalog.h"
#include "openvswitch/shash.h"

struct store_etcd_batch {
    struct shash items;         /* By key, relative to the prefix. */
    bool whole;                 /* What is not in it is not in the store. */
};

void store_etcd_batch_init(struct store_etcd_batch *, bool whole);
void store_etcd_batch_uninit(struct store_etcd_batch *);

/* Copies; 'value' NULL: the key was deleted.  The last one for a key
 * counts. */
void store_etcd_batch_put(struct store_etcd_batch *, const char *key,
                          const void *value, size_t size);

/* Begins and prepares the transaction that does to 'catalog' what the batch
 * says, at time 'now' (0: unknown), and ends at 'revision'.  Returns 0 and
 * '*txn'; or a positive errno with '*diag' filled in, and 'catalog' as it
 * was. */
int store_etcd_batch_apply(const struct store_etcd_batch *, struct catalog *,
                           uint64_t revision, uint32_t last_group_id,
                           long long int now, struct catalog_txn **txn,
                           struct diagnosis *diag);

#endif /* mapping/mapd/store-etcd-batch.h */
