#include <config.h>

#include "mapping/mapd/store-refuse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "util.h"

enum {
    PAGE_AND_FRAME = 4096 + 24  /* The most that SQLite writes at once. */
};

const char store_refuse_foreign[] = "name another file with --store";
const char store_refuse_access[] =
    "make the file and its directory writable for grapnel-mapd";
static const char hint_full[] = "free space there, then repeat";
static const char hint_disk[] = "look at the disk and the system's log";
static const char hint_busy[] =
    "stop the other grapnel-mapd, or name another file with --store";

int
store_refuse(const char *path, const char *hint, struct diagnosis *diag,
             const char *format, ...)
{
    va_list args;
    char *cause;
    int error;

    va_start(args, format);
    cause = xvasprintf(format, args);
    va_end(args);
    error = diagnosis_set(diag, DIAG_STORE, "store", path, "%s: %s", path,
                          cause);
    diagnosis_set_hint(diag, "%s", hint);
    free(cause);
    return error;
}

/* An old log would be applied to what is restored. */
int
store_refuse_damaged(const char *path, struct diagnosis *diag,
                     const char *format, ...)
{
    va_list args;
    char *cause;
    int error;

    va_start(args, format);
    cause = xvasprintf(format, args);
    va_end(args);
    error = store_refuse(path, "", diag, "%s", cause);
    diagnosis_set_hint(diag, "restore it from a copy and remove %s-wal and "
                       "%s-shm, or move all away and load a dump", path, path);
    free(cause);
    return error;
}

char *
store_refuse_printable(const char *text)
{
    char *copy = xstrdup(text);

    for (char *p = copy; *p; p++) {
        if (*p < ' ' || *p > '~') {
            *p = '?';
        }
    }
    return copy;
}

/* Whether the process may not make its files as large as it likes. */
static bool
get_size_limit(uintmax_t *bytes)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_FSIZE, &limit) || limit.rlim_cur == RLIM_INFINITY) {
        return false;
    }
    *bytes = limit.rlim_cur;
    return true;
}

static int
refuse_size(const char *path, struct diagnosis *diag)
{
    uintmax_t limit;

    return (get_size_limit(&limit)
            ? store_refuse(path, "raise the limit (ulimit -f), then restart",
                           diag, "a file has grown to the limit of its size "
                           "(%"PRIuMAX" bytes)", limit)
            : store_refuse(path, "move it to another file system", diag,
                           "too large for its file system"));
}

int
store_refuse_errno(const char *path, int error, const char *what,
                   struct diagnosis *diag)
{
    return (error == EFBIG ? refuse_size(path, diag)
            : error == ENOSPC || error == EDQUOT
            ? store_refuse(path, hint_full, diag, "no room left on its disk")
            : store_refuse(path, error == EIO ? hint_disk
                           : store_refuse_access, diag, "%s (%s)", what,
                           ovs_strerror(error)));
}

/* Whether a file of 'db' is as large as the process may make it. */
static bool
is_at_limit(sqlite3 *db)
{
    static const char *const suffixes[] = { "", "-wal", "-journal" };
    const char *path = db ? sqlite3_db_filename(db, "main") : NULL;
    bool found = false;
    uintmax_t limit;

    if (!path || !get_size_limit(&limit)) {
        return false;
    }
    for (size_t i = 0; !found && i < ARRAY_SIZE(suffixes); i++) {
        char *name = xasprintf("%s%s", path, suffixes[i]);
        struct stat s;

        found = (!stat(name, &s)
                 && (uintmax_t) s.st_size + PAGE_AND_FRAME > limit);
        free(name);
    }
    return found;
}

static const char *
operation_name(int rc)
{
    switch (rc) {
    case SQLITE_IOERR_READ:
    case SQLITE_IOERR_SHORT_READ:
        return "cannot be read";
    case SQLITE_IOERR_FSYNC:
    case SQLITE_IOERR_DIR_FSYNC:
        return "cannot be synchronized with its disk";
    default:
        return "cannot be written";
    }
}

static int
refuse_io(const char *path, sqlite3 *db, int rc, struct diagnosis *diag)
{
    int error = db ? sqlite3_system_errno(db) : 0;

    /* SQLite does not always keep the errno of a failed write. */
    if (error == EFBIG || (rc == SQLITE_IOERR_WRITE && is_at_limit(db))) {
        return refuse_size(path, diag);
    }
    return store_refuse_errno(path, error == ENOSPC || error == EDQUOT
                              ? error : EIO, operation_name(rc), diag);
}

int
store_refuse_sqlite(const char *path, sqlite3 *db, int rc,
                    struct diagnosis *diag)
{
    char *text;
    int error;

    switch (rc & 0xff) {
    case SQLITE_FULL:
        return store_refuse_errno(path, ENOSPC, "", diag);
    case SQLITE_IOERR:
        return refuse_io(path, db, rc, diag);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return store_refuse(path, hint_busy, diag,
                            "in use by another process");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return store_refuse(path, store_refuse_access, diag,
                            "cannot be written (%s)", sqlite3_errstr(rc));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:
    case SQLITE_SCHEMA:
        text = store_refuse_printable(db ? sqlite3_errmsg(db)
                                      : sqlite3_errstr(rc));
        error = store_refuse_damaged(path, diag, "damaged (%s)", text);
        free(text);
        return error;
    default:
        return store_refuse(path, hint_disk, diag, "%s", sqlite3_errstr(rc));
    }
}
