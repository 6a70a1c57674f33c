/* The store is locked as long as it is open, so no other program can copy it:
 * SQLite writes a copy out of our own connection. */

#include <config.h>

#include "mapping/mapd/store-backup.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "mapping/mapd/store-refuse.h"
#include "socket-util.h"

static int
vacuum_into(sqlite3 *db, const char *path)
{
    sqlite3_stmt *statement;
    int rc = sqlite3_prepare_v2(db, "VACUUM main INTO ?", -1, &statement,
                                NULL);

    if (!rc) {
        rc = sqlite3_bind_text(statement, 1, path, -1, SQLITE_STATIC);
        if (!rc) {
            rc = sqlite3_step(statement);
        }
        sqlite3_finalize(statement);
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
store_backup_write(sqlite3 *db, const char *path, struct diagnosis *diag)
{
    int error = 0;
    int fd, rc;

    if (path[0] != '/') {
        return store_refuse(path, "give an absolute path", diag,
                            "not an absolute path");
    }
    /* For our eyes only, as the store is: it has the hash key. */
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return (errno == EEXIST
                ? store_refuse(path, "give another name, or move it away",
                               diag, "there is such a file")
                : store_refuse_errno(path, errno, "cannot be made", diag));
    }
    rc = vacuum_into(db, path);
    if (rc) {
        error = store_refuse_sqlite(path, db, rc, diag);
    } else if (fsync(fd)) {
        error = store_refuse_errno(path, errno, "cannot be written", diag);
    }
    close(fd);
    if (error) {
        unlink(path);
    } else {
        fsync_parent_dir(path);
    }
    return error;
}
