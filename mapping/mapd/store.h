/* Where mapd keeps its catalog.  store.c finds the engine; each has a file of
 * its own (store-engine.h).
 *
 * A commit is durable when it returns: it survives kill -9 and power loss. */

#ifndef MAPPING_MAPD_STORE_H
#define MAPPING_MAPD_STORE_H 1

#include "anycast/flow-hash.h"
#include "mapping/catalog/catalog.h"

struct store;

struct store_options {
    const char *target;         /* "sqlite:PATH" or a bare path. */
};

/* Opens (or creates) the store that 'options->target' names, loads its contents into the empty 'catalog' and its flow-hash key
 * into '*key' (made from the system's random source when the store is
 * created).  Returns 0 and '*store', owned by the caller; or a positive
 * errno with '*diag' filled in: a file that is not ours, corrupt,
 * read-only, locked by another process, or of a newer version is refused
 * and left as it is. */
int store_open(const struct store_options *options, struct catalog *catalog,
               struct hash_key *key, struct store **store,
               struct diagnosis *diag);
void store_close(struct store *);

/* Makes the prepared transaction 'txn' durable, all of it or nothing.
 * Returns 0 or a positive errno with '*diag' filled in. */
int store_commit(struct store *, const struct catalog_txn *txn,
                 const struct catalog *catalog, struct diagnosis *diag);

/* Whether the files that '*store' writes are still where the next start will
 * look for them: 0, or a positive errno with '*diag' filled in.
 * store_commit() checks it, too. */
int store_check(const struct store *, struct diagnosis *diag);

/* Writes a copy of all that is committed to the new file 'path', an absolute
 * path, with which a later mapd can go on: ids, slots and the hash key are the
 * same.  It is readable to the owner only, and durable.  Takes as long as
 * writing that much.  Returns 0; or a positive errno with '*diag' filled in
 * and no file left. */
int store_backup(struct store *, const char *path, struct diagnosis *diag);

/* The target, with an absolute path, for people. */
const char *store_name(const struct store *);

#endif /* mapping/mapd/store.h */
