/* The rows of an SQLite store: what a catalog looks like on disk, and writing
 * it.  store-load.h reads it.
 *
 * Each row ends with a digest of its other columns, so that a byte changed
 * behind SQLite's back is noticed even where it leaves a valid database.  Not
 * thread-safe. */

#ifndef MAPPING_MAPD_STORE_ROWS_H
#define MAPPING_MAPD_STORE_ROWS_H 1

#include <sqlite3.h>

#include "anycast/flow-hash.h"
#include "mapping/catalog/catalog.h"

/* user_version of the schema. */
enum { STORE_ROWS_VERSION = 4 };

/* Creates the tables in the empty database 'db', with no records and 'key'.
 * Returns an SQLite result code. */
int store_rows_create(sqlite3 *db, const struct hash_key *key);

/* Brings the tables of 'version', at least 1 and older than
 * STORE_ROWS_VERSION, up to it, within the caller's database transaction.
 * Returns an SQLite result code. */
int store_rows_upgrade(sqlite3 *db, int version);

/* Prepared statements for writing.  To be destroyed before 'db' is closed. */
struct store_rows;
int store_rows_prepare(sqlite3 *db, struct store_rows **rows);
void store_rows_destroy(struct store_rows *rows);

/* Writes what 'txn' changed, within the caller's database transaction.
 * Slot tables are written only where they differ.  Returns an SQLite result
 * code. */
int store_rows_write(struct store_rows *rows, const struct catalog_txn *txn,
                     const struct catalog *catalog);

/* How many records a store of 'catalog' says that it has. */
uint64_t store_rows_count(const struct catalog *catalog);

#endif /* mapping/mapd/store-rows.h */
