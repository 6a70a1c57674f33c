/* One file, owned by one process at a time.
 *
 * SQLite's write-ahead log with synchronous=FULL makes a commit durable
 * before it returns.  locking_mode=EXCLUSIVE, taken when the store is
 * opened, keeps a second mapd out.  A new store is built beside its final
 * name and linked into place when it is complete, so that a file by that
 * name is never a half-made store and an empty one is damage. */

#include <config.h>

#include "mapping/mapd/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "entropy.h"
#include "mapping/mapd/directory.h"
#include "mapping/mapd/store-load.h"
#include "mapping/mapd/store-rows.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/util.h"
#include "openvswitch/vlog.h"
#include "socket-util.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(store_sqlite);

enum {
    STORE_APPLICATION_ID = 0x4772706e, /* "Grpn". */
    STORE_VERSION        = 1,   /* user_version of the schema. */
    STORE_BUSY_MS        = 1000, /* For a predecessor to let go. */
    STORE_PAGE_SIZE      = 4096, /* SQLite's default. */
    STORE_HEADER_SIZE    = 100, /* SQLite file format, section 1.3. */
};

struct store {
    char *name;                 /* "sqlite:PATH". */
    char *path;                 /* Absolute: the process may move. */
    sqlite3 *db;
    struct store_rows *rows;
    char *wal_path;
    dev_t wal_dev;              /* The log that is open. */
    ino_t wal_ino;
};

/* Errors. */

static int OVS_PRINTF_FORMAT(4, 5)
refuse(const char *path, const char *hint, struct diagnosis *diag,
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

static const char hint_foreign[] = "name another file with --store";
static const char hint_full[] = "free space there, then repeat";
static const char hint_access[] =
    "make the file and its directory writable for grapnel-mapd";
static const char hint_busy[] =
    "stop the other grapnel-mapd, or name another file with --store";

/* An old log would be applied to what is restored. */
static int OVS_PRINTF_FORMAT(3, 4)
refuse_damaged(const char *path, struct diagnosis *diag,
               const char *format, ...)
{
    va_list args;
    char *cause;
    int error;

    va_start(args, format);
    cause = xvasprintf(format, args);
    va_end(args);
    error = refuse(path, "", diag, "%s", cause);
    diagnosis_set_hint(diag, "restore it from a copy and remove %s-wal and "
                       "%s-shm, or move all away and load a dump", path, path);
    free(cause);
    return error;
}

/* Makes 'text', which comes from a damaged file, fit to be shown. */
static char *
printable(const char *text)
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

/* Returns 0 if 'rc' has another cause.  SQLite does not always keep the errno
 * of a failed write. */
static int
refuse_full(const char *path, sqlite3 *db, int rc, struct diagnosis *diag)
{
    int error = db ? sqlite3_system_errno(db) : 0;
    uintmax_t limit;

    if ((rc & 0xff) != SQLITE_FULL && (rc & 0xff) != SQLITE_IOERR) {
        return 0;
    } else if ((rc & 0xff) == SQLITE_IOERR && get_size_limit(&limit)) {
        return refuse(path, "raise the limit (ulimit -f), then restart", diag,
                      "no room left (files may have %"PRIuMAX" bytes)",
                      limit);
    } else if ((rc & 0xff) == SQLITE_FULL || error == ENOSPC
               || error == EDQUOT || error == EFBIG) {
        return refuse(path, hint_full, diag, "no room left on its disk");
    }
    return 0;
}

/* Explains the SQLite result code 'rc'. */
static int
refuse_sqlite(const char *path, sqlite3 *db, int rc, struct diagnosis *diag)
{
    int error = refuse_full(path, db, rc, diag);
    char *text;

    if (error) {
        return error;
    }
    switch (rc & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return refuse(path, hint_busy, diag, "in use by another process");
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
        return refuse(path, hint_access, diag, "cannot be written (%s)",
                      sqlite3_errstr(rc));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR:
    case SQLITE_SCHEMA:
        text = printable(db ? sqlite3_errmsg(db) : sqlite3_errstr(rc));
        error = refuse_damaged(path, diag, "damaged (%s)", text);
        free(text);
        return error;
    default:
        return refuse(path, "look at the disk and the system's log", diag,
                      "%s", sqlite3_errstr(rc));
    }
}

/* SQLite helpers. */

static int
exec(sqlite3 *db, const char *sql)
{
    return sqlite3_exec(db, sql, NULL, NULL, NULL);
}

/* The first column of the first row of 'sql', as text that the caller
 * frees, or NULL with '*rc' set. */
static char *
query_text(sqlite3 *db, const char *sql, int *rc)
{
    sqlite3_stmt *stmt;
    char *text = NULL;

    *rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
    if (!*rc) {
        *rc = sqlite3_step(stmt);
        if (*rc == SQLITE_ROW) {
            const unsigned char *s = sqlite3_column_text(stmt, 0);

            text = xstrdup(s ? (const char *) s : "");
            *rc = SQLITE_OK;
        }
    }
    sqlite3_finalize(stmt);
    return text;
}

/* Creation. */

/* Fills the database file 'temporary', which is to become 'path', with an
 * empty store. */
static int
fill_new(const char *temporary, const char *path, struct diagnosis *diag)
{
    struct hash_key key;
    sqlite3 *db = NULL;
    char *sql;
    int error;
    int rc;

    error = get_entropy(&key, sizeof key);
    if (error) {
        return refuse(path, "look at /dev/urandom", diag,
                      "no random number for its key (%s)",
                      ovs_strerror(error));
    }

    sql = xasprintf("PRAGMA synchronous=FULL; BEGIN;"
                    "PRAGMA application_id=%d; PRAGMA user_version=%d",
                    STORE_APPLICATION_ID, STORE_VERSION);
    rc = sqlite3_open_v2(temporary, &db, SQLITE_OPEN_READWRITE, NULL);
    if (!rc) {
        rc = exec(db, sql);
    }
    if (!rc) {
        rc = store_rows_create(db, &key);
    }
    if (!rc) {
        rc = exec(db, "COMMIT");
    }
    free(sql);

    error = rc ? refuse_sqlite(path, db, rc, diag) : 0;
    sqlite3_close(db);
    return error;
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
            return refuse(path, "restore the file, or move the log away",
                          diag, "missing, but its log %s%s is there", path,
                          suffixes[i]);
        }
    }
    return 0;
}

static int
make_directory(const char *path, struct diagnosis *diag)
{
    int error = directory_make_parent(path, 0750);

    return (error
            ? refuse(path, "create its directory", diag, "its directory "
                     "cannot be created (%s)", ovs_strerror(error)) : 0);
}

static int
create(const char *path, struct diagnosis *diag)
{
    char *temporary;
    int error;
    int fd;

    error = check_leftovers(path, diag);
    if (!error) {
        error = make_directory(path, diag);
    }
    if (error) {
        return error;
    }

    temporary = xasprintf("%s.XXXXXX", path);
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        error = refuse(path, errno == ENOSPC ? hint_full : hint_access, diag,
                       "cannot be created (%s)", ovs_strerror(errno));
        goto free_name;
    }
    close(fd);

    error = fill_new(temporary, path, diag);
    if (!error && link(temporary, path) && errno != EEXIST) {
        error = refuse(path, hint_access, diag, "cannot be created (%s)",
                       ovs_strerror(errno));
    }
    unlink(temporary);
    if (!error) {
        fsync_parent_dir(path);
        VLOG_INFO("%s: created", path);
    }

free_name:
    free(temporary);
    return error;
}

/* Opening. */

/* Whether what does not begin like a database was one: it bears our mark, or
 * the three bytes that are the same in all (SQLite file format, section
 * 1.3.4), or is made of pages. */
static bool
was_database(const uint8_t header[STORE_HEADER_SIZE], off_t size)
{
    static const uint8_t fractions[] = { 64, 32, 32 };
    ovs_be32 application;

    memcpy(&application, header + 68, sizeof application);
    return (!memcmp(header, "SQLite format 3", 8)
            || ntohl(application) == STORE_APPLICATION_ID
            || !memcmp(header + 21, fractions, sizeof fractions)
            || !(size % STORE_PAGE_SIZE));
}

/* Looks at the file before SQLite does, because SQLite may write to what it
 * opens, and an empty file would become a database. */
static int
check_header(const char *path, struct diagnosis *diag)
{
    uint8_t header[STORE_HEADER_SIZE] = { 0 };
    uint32_t version, application;
    struct stat s;
    ssize_t n;
    int fd;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return refuse(path, hint_access, diag, "cannot be opened (%s)",
                      ovs_strerror(errno));
    }
    n = !fstat(fd, &s) && S_ISREG(s.st_mode)
        ? pread(fd, header, sizeof header, 0) : -1;
    close(fd);
    if (n < 0) {
        return refuse(path, hint_foreign, diag, "not a readable file");
    } else if (!n) {
        return refuse_damaged(path, diag, "empty: not a Grapnel store, or "
                              "its contents are lost");
    } else if (n != sizeof header
               || memcmp(header, "SQLite format 3", 16)) {
        return (was_database(header, s.st_size)
                ? refuse_damaged(path, diag, "damaged (its header is not "
                                 "that of a store)")
                : refuse(path, hint_foreign, diag, "not a Grapnel store"));
    }

    memcpy(&version, header + 60, sizeof version);
    memcpy(&application, header + 68, sizeof application);
    if (ntohl(application) != STORE_APPLICATION_ID) {
        return refuse(path, hint_foreign, diag,
                      "an SQLite file of another application");
    } else if (ntohl(version) != STORE_VERSION) {
        return refuse(path, "start the grapnel-mapd that wrote it", diag,
                      "store version %"PRIu32", this grapnel-mapd reads "
                      "version %d", ntohl(version), STORE_VERSION);
    }
    return 0;
}

static int
open_db(struct store *store, struct diagnosis *diag)
{
    int rc = sqlite3_open_v2(store->path, &store->db, SQLITE_OPEN_READWRITE,
                             NULL);
    char *mode;

    if (!rc && sqlite3_db_readonly(store->db, "main")) {
        return refuse(store->path, hint_access, diag, "read-only");
    }
    if (!rc) {
        sqlite3_extended_result_codes(store->db, 1);
        sqlite3_db_config(store->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
        sqlite3_busy_timeout(store->db, STORE_BUSY_MS);
        rc = exec(store->db,
                  "PRAGMA locking_mode=EXCLUSIVE; PRAGMA synchronous=FULL;"
                  "PRAGMA temp_store=MEMORY; PRAGMA trusted_schema=OFF;"
                  "PRAGMA cell_size_check=ON; BEGIN EXCLUSIVE; COMMIT");
    }
    if (rc) {
        return refuse_sqlite(store->path, store->db, rc, diag);
    }

    mode = query_text(store->db, "PRAGMA journal_mode=WAL", &rc);
    if (!rc && strcmp(mode, "wal")) {
        rc = SQLITE_CANTOPEN;
    }
    free(mode);
    return rc ? refuse_sqlite(store->path, store->db, rc, diag) : 0;
}

/* The header may be older than the log: asks SQLite as well. */
static int
check_contents(struct store *store, struct diagnosis *diag)
{
    char *version, *verdict;
    int error = 0;
    int rc;

    version = query_text(store->db, "PRAGMA user_version", &rc);
    if (!rc && atoi(version) != STORE_VERSION) {
        error = refuse(store->path, "start the grapnel-mapd that wrote it",
                       diag, "store version %s, this grapnel-mapd reads "
                       "version %d", version, STORE_VERSION);
    }
    free(version);
    if (rc || error) {
        return rc ? refuse_sqlite(store->path, store->db, rc, diag) : error;
    }

    verdict = query_text(store->db, "PRAGMA integrity_check(1)", &rc);
    if (rc) {
        error = refuse_sqlite(store->path, store->db, rc, diag);
    } else if (strcmp(verdict, "ok")) {
        /* The first line may name the database, which says nothing. */
        const char *line = verdict + (!strncmp(verdict, "***", 3)
                                      ? strcspn(verdict, "\n") : 0);
        char *text = printable(line + strspn(line, "\n"));

        text[strcspn(text, "\n")] = '\0';
        error = refuse_damaged(store->path, diag, "damaged (%s)", text);
        free(text);
    }
    free(verdict);
    return error;
}

static int
load(struct store *store, struct catalog *catalog, struct hash_key *key,
     struct diagnosis *diag)
{
    struct diagnosis cause = { .code = DIAG_NONE };
    int rc = store_load(store->db, catalog, key, &cause);

    if (!rc) {
        rc = store_rows_prepare(store->db, &store->rows);
    }
    if (cause.code != DIAG_NONE) {
        char *text = printable(cause.message);
        int error = refuse_damaged(store->path, diag, "damaged (%s)", text);

        free(text);
        return error;
    }
    return rc ? refuse_sqlite(store->path, store->db, rc, diag) : 0;
}

/* Stores the path that 'target' names in '*path', to be freed. */
static int
parse_target(const char *target, char **path, struct diagnosis *diag)
{
    size_t engine = strcspn(target, ":/");

    if (target[engine] == ':') {
        if (strncmp(target, "sqlite:", 7)) {
            int error = diagnosis_set(diag, DIAG_UNSUPPORTED, "store", target,
                                      "store \"%s\": the engine must be "
                                      "sqlite", target);

            diagnosis_set_hint(diag, "as in --store=sqlite:PATH");
            return error;
        }
        target += 7;
    }
    if (!*target) {
        int error = diagnosis_set(diag, DIAG_INVALID, "store", target,
                                  "store: the path is missing");

        diagnosis_set_hint(diag, "as in --store=sqlite:PATH");
        return error;
    }
    *path = abs_file_name(NULL, target);
    return 0;
}

/* The log is open from the first transaction until the store is closed. */
static int
remember_log(struct store *store, struct diagnosis *diag)
{
    struct stat s;

    store->wal_path = xasprintf("%s-wal", store->path);
    if (stat(store->wal_path, &s)) {
        return refuse(store->path, hint_access, diag, "its log %s-wal is not "
                      "there (%s)", store->path, ovs_strerror(errno));
    }
    store->wal_dev = s.st_dev;
    store->wal_ino = s.st_ino;
    return 0;
}

int
store_open(const char *target, struct catalog *catalog, struct hash_key *key,
           struct store **storep, struct diagnosis *diag)
{
    struct store *store;
    struct stat s;
    char *path = NULL;
    int error;

    error = parse_target(target, &path, diag);
    if (error) {
        return error;
    }
    store = xzalloc(sizeof *store);
    store->path = path;
    store->name = xasprintf("sqlite:%s", path);

    if (lstat(path, &s) && errno == ENOENT) {
        error = create(path, diag);
    }
    if (!error) {
        error = check_header(path, diag);
    }
    if (!error) {
        error = open_db(store, diag);
    }
    if (!error) {
        error = check_contents(store, diag);
    }
    if (!error) {
        error = load(store, catalog, key, diag);
    }
    if (!error) {
        error = remember_log(store, diag);
    }
    if (error) {
        store_close(store);
        return error;
    }
    *storep = store;
    return 0;
}

void
store_close(struct store *store)
{
    if (store) {
        store_rows_destroy(store->rows);
        sqlite3_close(store->db);
        free(store->wal_path);
        free(store->name);
        free(store->path);
        free(store);
    }
}

int
store_check(const struct store *store, struct diagnosis *diag)
{
    const char *what = NULL;
    struct stat s;
    int moved = 0;

    sqlite3_file_control(store->db, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
    if (moved) {
        what = (lstat(store->path, &s)
                ? "deleted or moved away while in use"
                : "another file was put in its place while in use");
    } else if (stat(store->wal_path, &s)) {
        what = "its log (-wal) was deleted or moved away while in use";
    } else if (s.st_dev != store->wal_dev || s.st_ino != store->wal_ino) {
        what = "another log (-wal) was put in place of its own while in use";
    }
    if (!what) {
        return 0;
    }
    return refuse(store->path, "save what is in memory with 'grapnelctl "
                  "dump', stop grapnel-mapd, move the file and its -wal and "
                  "-shm away, start it, and load that", diag, "%s", what);
}

int
store_commit(struct store *store, const struct catalog_txn *txn,
             const struct catalog *catalog, struct diagnosis *diag)
{
    int error = store_check(store, diag);
    int rc;

    if (error) {
        return error;
    }
    rc = exec(store->db, "BEGIN IMMEDIATE");
    if (!rc) {
        rc = store_rows_write(store->rows, txn, catalog);
    }
    if (!rc) {
        rc = exec(store->db, "COMMIT");
    }
    if (!rc) {
        return 0;
    }

    error = refuse_sqlite(store->path, store->db, rc, diag);
    if (!sqlite3_get_autocommit(store->db)) {
        exec(store->db, "ROLLBACK");
    }
    return error;
}

const char *
store_name(const struct store *store)
{
    return store->name;
}
