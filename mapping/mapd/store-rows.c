#include <config.h>

#include "mapping/mapd/store-rows.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/mapd/store-digest.h"
#include "mapping/slot-codec.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/util.h"
#include "util.h"

/* Slot tables stand apart from their groups because they are large and change
 * less often.  They are arrays of 16-bit little-endian endpoint indexes. */
static const char schema_1[] =
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL,"
    " digest INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE host (key TEXT PRIMARY KEY, record TEXT NOT NULL,"
    " digest INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE anycast_group (key TEXT PRIMARY KEY, record TEXT NOT NULL,"
    " id INTEGER NOT NULL, epoch INTEGER NOT NULL,"
    " next_index INTEGER NOT NULL, digest INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE slots (group_key TEXT PRIMARY KEY, slots BLOB NOT NULL,"
    " digest INTEGER NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE endpoint (group_key TEXT NOT NULL, name TEXT NOT NULL,"
    " record TEXT NOT NULL, idx INTEGER NOT NULL, digest INTEGER NOT NULL,"
    " PRIMARY KEY (group_key, name)) WITHOUT ROWID;";

/* Version 2.  Previous owners of slots, each layer as the difference from a
 * table without any (slot-codec.h): most slots have none. */
static const char schema_2[] =
    "CREATE TABLE previous (group_key TEXT PRIMARY KEY,"
    " first TEXT NOT NULL, second TEXT NOT NULL,"
    " digest INTEGER NOT NULL) WITHOUT ROWID;";
BUILD_ASSERT_DECL(GROUP_MAX_PREVIOUS == 2);

/* Version 3.  Records to which mapd adds nothing, of any kind. */
static const char schema_3[] =
    "CREATE TABLE record (key TEXT NOT NULL, kind TEXT NOT NULL,"
    " record TEXT NOT NULL, digest INTEGER NOT NULL,"
    " PRIMARY KEY (kind, key)) WITHOUT ROWID;";

/* Version 4 has the same tables as version 3.  Endpoints have members (iface,
 * mac_from) that an older mapd does not know, and hosts may be "": it is to
 * refuse the store as a whole, not one of its rows. */

enum statement {
    PUT_META,
    PUT_HOST,
    PUT_GROUP,
    PUT_SLOTS,
    PUT_PREVIOUS,
    PUT_ENDPOINT,
    PUT_RECORD,
    DELETE_HOST,
    DELETE_GROUP,
    DELETE_SLOTS,
    DELETE_PREVIOUS,
    DELETE_ENDPOINT,
    DELETE_RECORD,
    N_STATEMENTS
};

static const char *const statements[N_STATEMENTS] = {
    [PUT_META] = "REPLACE INTO meta VALUES (?,?,?)",
    [PUT_HOST] = "REPLACE INTO host VALUES (?,?,?)",
    [PUT_GROUP] = "REPLACE INTO anycast_group VALUES (?,?,?,?,?,?)",
    [PUT_SLOTS] = "REPLACE INTO slots VALUES (?,?,?)",
    [PUT_PREVIOUS] = "REPLACE INTO previous VALUES (?,?,?,?)",
    [PUT_ENDPOINT] = "REPLACE INTO endpoint VALUES (?,?,?,?,?)",
    [PUT_RECORD] = "REPLACE INTO record VALUES (?,?,?,?)",
    [DELETE_HOST] = "DELETE FROM host WHERE key = ?",
    [DELETE_GROUP] = "DELETE FROM anycast_group WHERE key = ?",
    [DELETE_SLOTS] = "DELETE FROM slots WHERE group_key = ?",
    [DELETE_PREVIOUS] = "DELETE FROM previous WHERE group_key = ?",
    [DELETE_ENDPOINT]
        = "DELETE FROM endpoint WHERE group_key = ? AND name = ?",
    [DELETE_RECORD] = "DELETE FROM record WHERE key = ? AND kind = ?",
};

struct store_rows {
    sqlite3_stmt *statements[N_STATEMENTS];
};

/* Writing. */

/* Binds and runs 'stmt'.  'format' names the type of each parameter: 't' is
 * const char *, 'i' is int64_t, 'b' is const void * and size_t; a final 'd'
 * is the digest of those before it. */
static int
run(sqlite3_stmt *stmt, const char *format, ...)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    va_list args;
    int rc;

    va_start(args, format);
    for (int i = 1; *format; format++, i++) {
        if (*format == 't') {
            const char *text = va_arg(args, const char *);

            sqlite3_bind_text(stmt, i, text, -1, SQLITE_TRANSIENT);
            store_digest_bytes(&ds, 't', text, strlen(text));
        } else if (*format == 'i') {
            int64_t value = va_arg(args, int64_t);

            sqlite3_bind_int64(stmt, i, value);
            store_digest_integer(&ds, value);
        } else if (*format == 'b') {
            const void *data = va_arg(args, const void *);
            size_t size = va_arg(args, size_t);

            sqlite3_bind_blob(stmt, i, data, size, SQLITE_TRANSIENT);
            store_digest_bytes(&ds, 'b', data, size);
        } else {
            ovs_assert(*format == 'd');
            sqlite3_bind_int64(stmt, i, store_digest_finish(&ds));
        }
    }
    va_end(args);
    ds_destroy(&ds);

    sqlite3_step(stmt);
    rc = sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    return rc;
}

int
store_rows_prepare(sqlite3 *db, struct store_rows **rowsp)
{
    struct store_rows *rows = xzalloc(sizeof *rows);

    for (size_t i = 0; i < N_STATEMENTS; i++) {
        int rc = sqlite3_prepare_v3(db, statements[i], -1,
                                    SQLITE_PREPARE_PERSISTENT,
                                    &rows->statements[i], NULL);
        if (rc) {
            store_rows_destroy(rows);
            return rc;
        }
    }
    *rowsp = rows;
    return SQLITE_OK;
}

void
store_rows_destroy(struct store_rows *rows)
{
    if (rows) {
        for (size_t i = 0; i < N_STATEMENTS; i++) {
            sqlite3_finalize(rows->statements[i]);
        }
        free(rows);
    }
}

static int
put_meta_number(const struct store_rows *rows, const char *name,
                uint64_t value)
{
    char text[24];

    snprintf(text, sizeof text, "%"PRIu64, value);
    return run(rows->statements[PUT_META], "ttd", name, text);
}

static int
put_counters(const struct store_rows *rows, uint64_t revision,
             uint32_t last_group_id, uint64_t n_records)
{
    int rc = put_meta_number(rows, "revision", revision);

    if (!rc) {
        rc = put_meta_number(rows, "last_group_id", last_group_id);
    }
    return rc ? rc : put_meta_number(rows, "records", n_records);
}

/* Gives every group an empty row of previous owners. */
static int
add_previous(sqlite3 *db)
{
    sqlite3_stmt *groups = NULL, *put = NULL;
    int rc = sqlite3_prepare_v2(db, "SELECT key FROM anycast_group", -1,
                                &groups, NULL);

    if (!rc) {
        rc = sqlite3_prepare_v2(db, statements[PUT_PREVIOUS], -1, &put, NULL);
    }
    while (!rc) {
        rc = sqlite3_step(groups);
        if (rc == SQLITE_ROW) {
            const unsigned char *key = sqlite3_column_text(groups, 0);

            rc = run(put, "tttd", key ? (const char *) key : "", "", "");
        }
    }
    sqlite3_finalize(groups);
    sqlite3_finalize(put);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

int
store_rows_upgrade(sqlite3 *db, int version)
{
    int rc = SQLITE_OK;

    ovs_assert(version >= 1 && STORE_ROWS_VERSION == 4);
    if (version < 2) {
        rc = sqlite3_exec(db, schema_2, NULL, NULL, NULL);
        if (!rc) {
            rc = add_previous(db);
        }
    }
    if (!rc && version < 3) {
        rc = sqlite3_exec(db, schema_3, NULL, NULL, NULL);
    }
    return rc;
}

int
store_rows_create(sqlite3 *db, const struct hash_key *key)
{
    struct store_rows *rows;
    char hex[33];
    int rc;

    rc = sqlite3_exec(db, schema_1, NULL, NULL, NULL);
    if (!rc) {
        rc = store_rows_upgrade(db, 1);
    }
    if (!rc) {
        rc = store_rows_prepare(db, &rows);
    }
    if (rc) {
        return rc;
    }

    snprintf(hex, sizeof hex, "%016"PRIx64"%016"PRIx64,
             key->word[0], key->word[1]);
    rc = run(rows->statements[PUT_META], "ttd", "hash_key", hex);
    if (!rc) {
        rc = put_counters(rows, 0, 0, 0);
    }
    store_rows_destroy(rows);
    return rc;
}

static char *
record_text(const struct record *record)
{
    struct json *json = record_to_json(record);
    char *text = json_to_string(json, JSSF_SORT);

    json_destroy(json);
    return text;
}

static void
format_group_key(uint32_t vni, const char *name, char key[RECORD_KEY_SIZE])
{
    snprintf(key, RECORD_KEY_SIZE, "%"PRIu32"/%s", vni, name);
}

static int
put_endpoint(const struct store_rows *rows, const struct catalog *catalog,
             const struct record *record)
{
    const struct record_endpoint *r = &record->endpoint;
    const struct catalog_group *group
        = catalog_find_group(catalog, r->vni, r->group);
    const struct catalog_endpoint *endpoint;
    char key[RECORD_KEY_SIZE];
    char *text;
    int rc;

    ovs_assert(group);
    endpoint = catalog_find_endpoint(group, r->name);
    ovs_assert(endpoint);

    text = record_text(record);
    format_group_key(r->vni, r->group, key);
    rc = run(rows->statements[PUT_ENDPOINT], "tttid", key, r->name, text,
             (int64_t) endpoint->index);
    free(text);
    return rc;
}

static int
delete_record(const struct store_rows *rows, const struct record *record)
{
    char key[RECORD_KEY_SIZE];
    int rc;

    record_format_key(record, key);
    switch (record->kind) {
    case RECORD_HOST:
        return run(rows->statements[DELETE_HOST], "t", key);

    case RECORD_GROUP:
        rc = run(rows->statements[DELETE_GROUP], "t", key);
        if (!rc) {
            rc = run(rows->statements[DELETE_SLOTS], "t", key);
        }
        return rc ? rc : run(rows->statements[DELETE_PREVIOUS], "t", key);

    case RECORD_ENDPOINT:
        format_group_key(record->endpoint.vni, record->endpoint.group, key);
        return run(rows->statements[DELETE_ENDPOINT], "tt", key,
                   record->endpoint.name);

    default:
        return run(rows->statements[DELETE_RECORD], "tt", key,
                   record_kind_name(record->kind));
    }
}

static int
put_record(const struct store_rows *rows, const struct record *record)
{
    char key[RECORD_KEY_SIZE];
    char *text = record_text(record);
    int rc;

    record_format_key(record, key);
    rc = run(rows->statements[PUT_RECORD], "tttd", key,
             record_kind_name(record->kind), text);
    free(text);
    return rc;
}

/* Groups are written by put_group(), with what mapd assigned to them. */
static int
write_change(const struct store_rows *rows, const struct catalog *catalog,
             const struct catalog_change *change)
{
    if (!change->after) {
        return delete_record(rows, change->before);
    } else if (change->after->kind == RECORD_HOST) {
        char *text = record_text(change->after);
        int rc = run(rows->statements[PUT_HOST], "ttd",
                     change->after->host.name, text);

        free(text);
        return rc;
    } else if (change->after->kind == RECORD_ENDPOINT) {
        return put_endpoint(rows, catalog, change->after);
    } else if (change->after->kind >= RECORD_FIRST_PLAIN) {
        return put_record(rows, change->after);
    }
    return SQLITE_OK;
}

static int
put_slots(const struct store_rows *rows, const char *key,
          const struct catalog_group *group)
{
    size_t n = group->record.n_slots;
    uint8_t *blob = xmalloc(n * 2);
    int rc;

    for (size_t i = 0; i < n; i++) {
        blob[i * 2] = group->slots[i] & 0xff;
        blob[i * 2 + 1] = group->slots[i] >> 8;
    }
    rc = run(rows->statements[PUT_SLOTS], "tbd", key,
             (const void *) blob, n * 2);
    free(blob);
    return rc;
}

/* The previous owners in 'layer' as text that the caller frees; "" if there
 * are none, or no group. */
static char *
previous_text(const struct catalog_group *group, size_t layer)
{
    const uint16_t *previous = group ? group->previous[layer] : NULL;

    return (previous ? slot_codec_encode(NULL, previous, group->record.n_slots)
            : xstrdup(""));
}

/* 'before' is NULL for a new group. */
static int
put_previous(const struct store_rows *rows, const char *key,
             const struct catalog_group *before,
             const struct catalog_group *group)
{
    char *texts[GROUP_MAX_PREVIOUS];
    bool changed = !before;
    int rc = SQLITE_OK;

    for (size_t layer = 0; layer < GROUP_MAX_PREVIOUS; layer++) {
        char *old = previous_text(before, layer);

        texts[layer] = previous_text(group, layer);
        changed |= strcmp(old, texts[layer]) != 0;
        free(old);
    }
    if (changed) {
        rc = run(rows->statements[PUT_PREVIOUS], "tttd", key, texts[0],
                 texts[1]);
    }
    for (size_t layer = 0; layer < GROUP_MAX_PREVIOUS; layer++) {
        free(texts[layer]);
    }
    return rc;
}

static int
put_group(const struct store_rows *rows, const struct catalog_txn *txn,
          const struct catalog_group *group)
{
    const struct catalog_group *before = catalog_txn_before(txn, group);
    struct record record = { .kind = RECORD_GROUP, .group = group->record };
    size_t slots_size = group->record.n_slots * sizeof *group->slots;
    char key[RECORD_KEY_SIZE];
    char *text;
    int rc;

    record_format_key(&record, key);
    text = record_text(&record);
    rc = run(rows->statements[PUT_GROUP], "ttiiid", key, text,
             (int64_t) group->id, (int64_t) group->epoch,
             (int64_t) group->next_index);
    free(text);

    if (!rc && (!before || memcmp(before->slots, group->slots, slots_size))) {
        rc = put_slots(rows, key, group);
    }
    return rc ? rc : put_previous(rows, key, before, group);
}

uint64_t
store_rows_count(const struct catalog *catalog)
{
    uint64_t n = 0;

    for (int kind = 0; kind < N_RECORD_KINDS; kind++) {
        n += catalog_count(catalog, kind);
    }
    return n;
}

int
store_rows_write(struct store_rows *rows, const struct catalog_txn *txn,
                 const struct catalog *catalog)
{
    const struct catalog_group *const *groups;
    const struct catalog_change *changes;
    size_t n;
    int rc;

    rc = put_counters(rows, catalog_txn_revision(txn),
                      catalog_last_group_id(catalog),
                      store_rows_count(catalog));

    changes = catalog_txn_changes(txn, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        rc = write_change(rows, catalog, &changes[i]);
    }
    groups = catalog_txn_groups(txn, &n);
    for (size_t i = 0; !rc && i < n; i++) {
        rc = put_group(rows, txn, groups[i]);
    }
    return rc;
}
