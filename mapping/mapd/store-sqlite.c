/* One file, owned by one process at a time.
 *
 * SQLite's write-ahead log with synchronous=FULL makes a commit durable
 * before it returns.  locking_mode=EXCLUSIVE, taken when the store is
 * opened, keeps a second mapd out.  A file by its name is never a half-made
 * store (store-create.h), so an empty one is damage.
 *
 * When a commit fails, its end may have reached the log all the same, and
 * whoever opens the store next would believe it.  So what was refused is
 * purged from the log.  Where that fails, too, the next commit does it: it
 * writes to the same place. */

#include <config.h>

#include "mapping/mapd/store-engine.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mapping/mapd/store-backup.h"
#include "mapping/mapd/store-create.h"
#include "mapping/mapd/store-load.h"
#include "mapping/mapd/store-refuse.h"
#include "mapping/mapd/store-rows.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(store_sqlite);

enum {
    STORE_BUSY_MS        = 1000, /* For a predecessor to let go. */
    STORE_PAGE_SIZE      = 4096, /* SQLite's default. */
    STORE_HEADER_SIZE    = 100, /* SQLite file format, section 1.3. */
};

struct store_sqlite {
    struct store up;
    char *name;                 /* "sqlite:PATH". */
    char *path;                 /* Absolute: the process may move. */
    sqlite3 *db;
    struct store_rows *rows;
    int version;                /* Of the schema that was found. */
    char *wal_path;
    dev_t wal_dev;              /* The log that is open. */
    ino_t wal_ino;
};

static struct store_sqlite *
store_sqlite_cast(const struct store *store)
{
    return CONTAINER_OF(store, struct store_sqlite, up);
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
            || ntohl(application) == STORE_CREATE_APPLICATION_ID
            || !memcmp(header + 21, fractions, sizeof fractions)
            || !(size % STORE_PAGE_SIZE));
}

static int
refuse_version(const char *path, unsigned int version, struct diagnosis *diag)
{
    return store_refuse(path, "start the grapnel-mapd that wrote it", diag,
                        "store version %u, this grapnel-mapd reads up to "
                        "version %d", version, STORE_ROWS_VERSION);
}

static bool
is_version(unsigned int version)
{
    return version >= 1 && version <= STORE_ROWS_VERSION;
}

/* Reads the header of the file, or refuses what has none. */
static int
read_header(const char *path, uint8_t header[STORE_HEADER_SIZE],
            struct diagnosis *diag)
{
    struct stat s;
    ssize_t n;
    int fd;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return store_refuse(path, store_refuse_access, diag,
                            "cannot be opened (%s)", ovs_strerror(errno));
    }
    memset(header, 0, STORE_HEADER_SIZE);
    n = !fstat(fd, &s) && S_ISREG(s.st_mode)
        ? pread(fd, header, STORE_HEADER_SIZE, 0) : -1;
    close(fd);
    if (n < 0) {
        return store_refuse(path, store_refuse_foreign, diag,
                            "not a readable file");
    } else if (!n) {
        return store_refuse_damaged(path, diag, "empty: not a Grapnel store, "
                                    "or its contents are lost");
    } else if (n == STORE_HEADER_SIZE
               && !memcmp(header, "SQLite format 3", 16)) {
        return 0;
    }
    return (was_database(header, s.st_size)
            ? store_refuse_damaged(path, diag, "damaged (its header is not "
                                   "that of a store)")
            : store_refuse(path, store_refuse_foreign, diag,
                           "not a Grapnel store"));
}

/* Looks at the file before SQLite does, because SQLite may write to what it
 * opens, and an empty file would become a database. */
static int
check_header(const char *path, struct diagnosis *diag)
{
    uint8_t header[STORE_HEADER_SIZE];
    uint32_t version, application;
    int error = read_header(path, header, diag);

    if (error) {
        return error;
    }
    memcpy(&version, header + 60, sizeof version);
    memcpy(&application, header + 68, sizeof application);
    if (ntohl(application) != STORE_CREATE_APPLICATION_ID) {
        return store_refuse(path, store_refuse_foreign, diag,
                            "an SQLite file of another application");
    }
    return (is_version(ntohl(version)) ? 0
            : refuse_version(path, ntohl(version), diag));
}

static int
open_db(struct store_sqlite *store, struct diagnosis *diag)
{
    int rc = sqlite3_open_v2(store->path, &store->db, SQLITE_OPEN_READWRITE,
                             NULL);
    char *mode;

    if (!rc && sqlite3_db_readonly(store->db, "main")) {
        return store_refuse(store->path, store_refuse_access, diag,
                            "read-only");
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
        return store_refuse_sqlite(store->path, store->db, rc, diag);
    }

    mode = query_text(store->db, "PRAGMA journal_mode=WAL", &rc);
    if (!rc && strcmp(mode, "wal")) {
        rc = SQLITE_CANTOPEN;
    }
    free(mode);
    return rc ? store_refuse_sqlite(store->path, store->db, rc, diag) : 0;
}

/* The header may be older than the log: asks SQLite as well. */
static int
check_version(struct store_sqlite *store, struct diagnosis *diag)
{
    char *version;
    int rc;

    version = query_text(store->db, "PRAGMA user_version", &rc);
    if (rc) {
        return store_refuse_sqlite(store->path, store->db, rc, diag);
    }
    store->version = atoi(version);
    free(version);
    return (is_version(store->version) ? 0
            : refuse_version(store->path, store->version, diag));
}

static int
check_integrity(struct store_sqlite *store, struct diagnosis *diag)
{
    char *verdict;
    int error = 0;
    int rc;

    verdict = query_text(store->db, "PRAGMA integrity_check(1)", &rc);
    if (rc) {
        error = store_refuse_sqlite(store->path, store->db, rc, diag);
    } else if (strcmp(verdict, "ok")) {
        /* The first line may name the database, which says nothing. */
        const char *line = verdict + (!strncmp(verdict, "***", 3)
                                      ? strcspn(verdict, "\n") : 0);
        char *text = store_refuse_printable(line + strspn(line, "\n"));

        text[strcspn(text, "\n")] = '\0';
        error = store_refuse_damaged(store->path, diag, "damaged (%s)", text);
        free(text);
    }
    free(verdict);
    return error;
}

/* Begins a transaction that brings the tables of an older version up to
 * date. */
static int
begin_upgrade(struct store_sqlite *store)
{
    char *sql = xasprintf("PRAGMA user_version=%d", STORE_ROWS_VERSION);
    int rc = exec(store->db, "BEGIN IMMEDIATE");

    if (!rc) {
        rc = store_rows_upgrade(store->db, store->version);
    }
    if (!rc) {
        rc = exec(store->db, sql);
    }
    free(sql);
    return rc;
}

/* Loads the contents.  A store of an older version is changed only if all is
 * well with it. */
static int
load(struct store_sqlite *store, struct catalog *catalog, struct hash_key *key,
     struct diagnosis *diag)
{
    struct diagnosis cause = { .code = DIAG_NONE };
    bool old = store->version < STORE_ROWS_VERSION;
    int rc = old ? begin_upgrade(store) : SQLITE_OK;

    if (!rc) {
        rc = store_load(store->db, catalog, key, &cause);
    }
    if (!rc) {
        rc = store_rows_prepare(store->db, &store->rows);
    }
    if (!rc && old) {
        rc = exec(store->db, "COMMIT");
        VLOG_INFO("%s: version %d, now %d", store->path, store->version,
                  STORE_ROWS_VERSION);
    }
    if (cause.code != DIAG_NONE) {
        char *text = store_refuse_printable(cause.message);
        int error = store_refuse_damaged(store->path, diag, "damaged (%s)",
                                         text);

        free(text);
        return error;
    }
    return rc ? store_refuse_sqlite(store->path, store->db, rc, diag) : 0;
}

/* The log is open from the first transaction until the store is closed. */
static int
remember_log(struct store_sqlite *store, struct diagnosis *diag)
{
    struct stat s;

    store->wal_path = xasprintf("%s-wal", store->path);
    if (stat(store->wal_path, &s)) {
        return store_refuse(store->path, store_refuse_access, diag,
                            "its log %s-wal is not there (%s)", store->path,
                            ovs_strerror(errno));
    }
    store->wal_dev = s.st_dev;
    store->wal_ino = s.st_ino;
    return 0;
}

static void
sqlite_close(struct store *store_)
{
    struct store_sqlite *store = store_sqlite_cast(store_);

    store_rows_destroy(store->rows);
    sqlite3_close(store->db);
    free(store->wal_path);
    free(store->name);
    free(store->path);
    free(store);
}

static int
sqlite_open(const struct store_options *options, const char *place,
            struct catalog *catalog, struct hash_key *key,
            struct store **storep, struct diagnosis *diag)
{
    struct store_sqlite *store = xzalloc(sizeof *store);
    struct stat s;
    int error = 0;

    store->up.engine = &store_sqlite;
    store->path = abs_file_name(NULL, place);
    store->name = xasprintf("sqlite:%s", store->path);

    if (!options->must_exist && lstat(store->path, &s) && errno == ENOENT) {
        error = store_create(store->path, options->first_key, diag);
    }
    store_create_clean(store->path);
    if (!error) {
        error = check_header(store->path, diag);
    }
    if (!error) {
        error = open_db(store, diag);
    }
    if (!error) {
        error = check_version(store, diag);
    }
    if (!error) {
        error = check_integrity(store, diag);
    }
    if (!error) {
        error = load(store, catalog, key, diag);
    }
    if (!error) {
        error = remember_log(store, diag);
    }
    if (error) {
        sqlite_close(&store->up);
        return error;
    }
    *storep = &store->up;
    return 0;
}

static int
sqlite_check(const struct store *store_, struct diagnosis *diag)
{
    const struct store_sqlite *store = store_sqlite_cast(store_);
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
    return store_refuse(store->path, "save what is in memory with 'grapnelctl "
                        "dump', stop grapnel-mapd, move the file and its -wal "
                        "and -shm away, start it, and load that", diag, "%s",
                        what);
}

/* Moves all that was committed from the log to the file, and empties the
 * log. */
static void
purge_log(struct store_sqlite *store)
{
    int rc = sqlite3_wal_checkpoint_v2(store->db, "main",
                                       SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);

    if (rc) {
        VLOG_WARN("%s: a change that was refused may be there again if "
                  "grapnel-mapd is started anew before another one is made "
                  "(%s)", store->path, sqlite3_errstr(rc));
    }
}

static int
sqlite_commit(struct store *store_, const struct catalog_txn *txn,
              const struct catalog *catalog, struct diagnosis *diag)
{
    struct store_sqlite *store = store_sqlite_cast(store_);
    int error = sqlite_check(store_, diag);
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

    error = store_refuse_sqlite(store->path, store->db, rc, diag);
    if (!sqlite3_get_autocommit(store->db)) {
        exec(store->db, "ROLLBACK");
    }
    purge_log(store);
    return error;
}

static int
sqlite_backup(struct store *store, const char *path, struct diagnosis *diag)
{
    return store_backup_write(store_sqlite_cast(store)->db, path, diag);
}

static const char *
sqlite_get_name(const struct store *store)
{
    return store_sqlite_cast(store)->name;
}

const struct store_engine store_sqlite = {
    .name = "sqlite",
    .commit_room = SIZE_MAX,
    .open = sqlite_open,
    .close = sqlite_close,
    .commit = sqlite_commit,
    .check = sqlite_check,
    .backup = sqlite_backup,
    .get_name = sqlite_get_name,
};
