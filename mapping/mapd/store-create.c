#include <config.h>

#include "mapping/mapd/store-create.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "entropy.h"
#include "mapping/mapd/directory.h"
#include "mapping/mapd/store-refuse.h"
#include "mapping/mapd/store-rows.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(store_create);

enum {
    MAX_TRIES = 100             /* Of opening a file that others remove. */
};

static char *
temporary_name(const char *path)
{
    return xasprintf("%s.grapnel-new", path);
}

/* Contents. */

/* Makes the tables of an empty store in the empty database 'db'. */
static int
fill(sqlite3 *db, const struct hash_key *key)
{
    char *sql = xasprintf("PRAGMA application_id=%d; PRAGMA user_version=%d;"
                          "BEGIN", STORE_CREATE_APPLICATION_ID,
                          STORE_ROWS_VERSION);
    int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);

    if (!rc) {
        rc = store_rows_create(db, key);
    }
    if (!rc) {
        rc = sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
    }
    free(sql);
    return rc;
}

/* Stores in '*data', to be freed with sqlite3_free(), and '*size' the bytes of
 * an empty store.  It is made in memory, so that SQLite leaves no files. */
static int
make_contents(const char *path, const struct hash_key *given,
              unsigned char **data, sqlite3_int64 *size,
              struct diagnosis *diag)
{
    struct hash_key key;
    sqlite3 *db = NULL;
    int error = 0;
    int rc;

    if (given) {
        key = *given;
    } else {
        error = get_entropy(&key, sizeof key);
    }
    if (error) {
        return store_refuse(path, "look at /dev/urandom", diag,
                            "no random number for its key (%s)",
                            ovs_strerror(error));
    }

    rc = sqlite3_open(":memory:", &db);
    if (!rc) {
        rc = fill(db, &key);
    }
    if (!rc) {
        *data = sqlite3_serialize(db, "main", size, 0);
        rc = *data ? SQLITE_OK : SQLITE_NOMEM;
    }
    error = rc ? store_refuse_sqlite(path, db, rc, diag) : 0;
    sqlite3_close(db);
    return error;
}

/* Files. */

/* Opens 'name' with 'flags' and locks it.  Returns 0 and '*fd', to be closed,
 * or a positive errno: EWOULDBLOCK if somebody else has it locked. */
static int
open_locked(const char *name, int flags, int *fdp)
{
    for (int i = 0; i < MAX_TRIES; i++) {
        int fd = open(name, flags | O_RDWR | O_NOFOLLOW | O_CLOEXEC, 0600);
        struct stat ours, there;
        int error = 0;

        if (fd < 0) {
            return errno;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) || fstat(fd, &ours)) {
            error = errno;
        }
        /* Whoever had it locked may have removed it. */
        if (!error && !stat(name, &there) && there.st_dev == ours.st_dev
            && there.st_ino == ours.st_ino) {
            *fdp = fd;
            return 0;
        }
        close(fd);
        if (error) {
            return error;
        }
    }
    return EWOULDBLOCK;
}

static int
write_contents(int fd, const void *data, size_t size)
{
    size_t written;
    int error;

    if (ftruncate(fd, 0)) {
        return errno;
    }
    error = write_fully(fd, data, size, &written);
    return error ? error : fsync(fd) ? errno : 0;
}

/* SQLite would apply the log of a store that is gone to its successor. */
static int
check_leftovers(const char *path, struct diagnosis *diag)
{
    static const char *const suffixes[] = { "-wal", "-journal" };

    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        char *name = xasprintf("%s%s", path, suffixes[i]);
        struct stat s;
        bool there = !lstat(name, &s);

        free(name);
        if (there) {
            return store_refuse(path, "restore the file, or move the log "
                                "away", diag, "missing, but its log %s%s is "
                                "there", path, suffixes[i]);
        }
    }
    return 0;
}

static int
make_directory(const char *path, struct diagnosis *diag)
{
    int error = directory_make_parent(path, 0750);

    return (error
            ? store_refuse(path, "create its directory", diag, "its "
                           "directory cannot be created (%s)",
                           ovs_strerror(error)) : 0);
}

/* Writes 'size' bytes of 'data' to 'temporary', and then gives it the name
 * 'path'. */
static int
publish(const char *temporary, const char *path, const void *data, size_t size,
        struct diagnosis *diag)
{
    int error;
    int fd;

    error = open_locked(temporary, O_CREAT, &fd);
    if (error) {
        return (error == EWOULDBLOCK
                ? store_refuse(path, "wait, then try again", diag,
                               "another process is creating it")
                : store_refuse_errno(path, error, "cannot be created", diag));
    }
    error = write_contents(fd, data, size);
    if (!error && link(temporary, path) && errno != EEXIST) {
        error = errno;
    }
    unlink(temporary);
    close(fd);
    if (error) {
        return store_refuse_errno(path, error, "cannot be created", diag);
    }
    fsync_parent_dir(path);
    VLOG_INFO("%s: created", path);
    return 0;
}

int
store_create(const char *path, const struct hash_key *key,
             struct diagnosis *diag)
{
    unsigned char *data = NULL;
    sqlite3_int64 size;
    char *temporary;
    int error;

    error = check_leftovers(path, diag);
    if (!error) {
        error = make_directory(path, diag);
    }
    if (!error) {
        error = make_contents(path, key, &data, &size, diag);
    }
    if (!error) {
        temporary = temporary_name(path);
        error = publish(temporary, path, data, size, diag);
        free(temporary);
    }
    sqlite3_free(data);
    return error;
}

void
store_create_clean(const char *path)
{
    char *temporary = temporary_name(path);
    int fd;

    if (!open_locked(temporary, 0, &fd)) {
        VLOG_INFO("%s: removed what is left of an attempt to create the store",
                  temporary);
        unlink(temporary);
        close(fd);
    }
    free(temporary);
}
