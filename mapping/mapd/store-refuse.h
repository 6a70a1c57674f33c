/* Why a store cannot be used, in words.  Private to store-*.c.
 *
 * The functions fill in '*diag' about the store 'path' and return a positive
 * errno. */

#ifndef MAPPING_MAPD_STORE_REFUSE_H
#define MAPPING_MAPD_STORE_REFUSE_H 1

#include <sqlite3.h>

#include "mapping/diagnosis.h"

extern const char store_refuse_foreign[]; /* Hints. */
extern const char store_refuse_access[];

int store_refuse(const char *path, const char *hint, struct diagnosis *diag,
                 const char *format, ...) OVS_PRINTF_FORMAT(4, 5);

/* Its contents are not to be trusted. */
int store_refuse_damaged(const char *path, struct diagnosis *diag,
                         const char *format, ...) OVS_PRINTF_FORMAT(3, 4);

/* Writing to it failed with 'error', a positive errno; 'what' says at what. */
int store_refuse_errno(const char *path, int error, const char *what,
                       struct diagnosis *diag);

/* SQLite failed with 'rc'; 'db' may be NULL. */
int store_refuse_sqlite(const char *path, sqlite3 *db, int rc,
                        struct diagnosis *diag);

/* A copy of 'text', which comes from a damaged file, fit to be shown; owned by
 * the caller. */
char *store_refuse_printable(const char *text);

#endif /* mapping/mapd/store-refuse.h */
