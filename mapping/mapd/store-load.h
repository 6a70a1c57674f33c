/* Reads the rows of an SQLite store (store-rows.h) into a catalog. */

#ifndef MAPPING_MAPD_STORE_LOAD_H
#define MAPPING_MAPD_STORE_LOAD_H 1

#include <sqlite3.h>

#include "anycast/flow-hash.h"
#include "mapping/catalog/catalog.h"

/* Loads all rows into the empty 'catalog', and '*key'.  Returns SQLITE_OK;
 * or an SQLite result code, with '*diag' filled in if a row is wrong (then
 * the code is SQLITE_CORRUPT) and otherwise untouched.  'catalog' is then
 * partly filled. */
int store_load(sqlite3 *db, struct catalog *catalog, struct hash_key *key,
               struct diagnosis *diag);

#endif /* mapping/mapd/store-load.h */
