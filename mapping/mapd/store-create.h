/* Makes a new, empty SQLite store.  Private to store-*.c.
 *
 * It is written beside its final name, to a file of a fixed name that is
 * locked meanwhile, and linked into place when it is complete: a file by the
 * final name is never a half-made store.  What a creator leaves behind that
 * was killed is taken over by the next one. */

#ifndef MAPPING_MAPD_STORE_CREATE_H
#define MAPPING_MAPD_STORE_CREATE_H 1

#include "anycast/flow-hash.h"
#include "mapping/diagnosis.h"

enum {
    STORE_CREATE_APPLICATION_ID = 0x4772706e, /* "Grpn". */
};

/* Creates the store 'path', unless another process is faster, and its
 * directory, with 'key', or one of its own if that is NULL.  Returns 0, or a
 * positive errno with '*diag' filled in. */
int store_create(const char *path, const struct hash_key *key,
                 struct diagnosis *diag);

/* Removes what a creator of 'path' left behind, if it is not at work. */
void store_create_clean(const char *path);

#endif /* mapping/mapd/store-create.h */
