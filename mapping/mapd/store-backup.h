/* Copies of a store that is in use.  Private to store-*.c. */

#ifndef MAPPING_MAPD_STORE_BACKUP_H
#define MAPPING_MAPD_STORE_BACKUP_H 1

#include <sqlite3.h>

#include "mapping/diagnosis.h"

/* As store_backup(), of the store that is open as 'db'. */
int store_backup_write(sqlite3 *db, const char *path, struct diagnosis *diag);

#endif /* mapping/mapd/store-backup.h */
