/* What a transaction of the catalog writes to etcd, by key, and the same
 * packed into a few values.  Part of store-etcd*.c.
 *
 * Keys are relative to the store's prefix:
 *
 *     record/KIND/KEY   a record as JSON
 *     state/VNI/NAME    what was assigned to a group: catalog-state.h
 *     dead/HOST         is there for each host that is dead
 *     health/ID/INDEX   of an endpoint that is unhealthy, by the group's id:
 *                       why, as text
 *
 * Packed, a write is a byte ('P' or 'D'), the length of the key and, for 'P',
 * that of the value (4 bytes each, little-endian), key, value. */

#ifndef MAPPING_MAPD_STORE_ETCD_WRITES_H
#define MAPPING_MAPD_STORE_ETCD_WRITES_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/catalog/catalog.h"

struct ofpbuf;
struct store;

struct store_etcd_write {
    char *key;
    void *value;                /* NULL: the key is deleted. */
    size_t size;
};

struct store_etcd_writes {
    struct store_etcd_write *writes; /* Owned, with what they point to. */
    size_t n, allocated;
};

/* What makes durable what the prepared 'txn' changes.  Calls store_refresh()
 * on 'store' now and then. */
void store_etcd_writes_build(struct store_etcd_writes *,
                             const struct catalog_txn *txn,
                             struct store *store);
void store_etcd_writes_uninit(struct store_etcd_writes *);

/* How many of the writes from 'first' on, one at least, fit into 'max_n' and
 * 'max_bytes' of keys and values. */
size_t store_etcd_writes_fit(const struct store_etcd_writes *, size_t first,
                             size_t max_n, size_t max_bytes);

/* Appends 'n' writes from 'first' on to 'b'. */
void store_etcd_writes_pack(const struct store_etcd_writes *, size_t first,
                            size_t n, struct ofpbuf *b);
/* Appends what 'data' holds.  Returns 0, or EPROTO if it is malformed. */
int store_etcd_writes_unpack(const void *data, size_t size,
                             struct store_etcd_writes *);

#endif /* mapping/mapd/store-etcd-writes.h */
