/* Every row is checked three times over: by its digest, by the record's own
 * validation, and by the catalog, which knows what refers to what. */

#include <config.h>

#include "mapping/mapd/store-load.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/mapd/store-digest.h"
#include "mapping/mapd/store-rows.h"
#include "mapping/slot-codec.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

struct loader {
    sqlite3 *db;
    struct catalog *catalog;
    struct diagnosis *diag;
    sqlite3_stmt *slots;        /* Of one group. */
    sqlite3_stmt *previous;     /* Of one group. */
    sqlite3_stmt *endpoints;    /* Of one group. */
};

static int OVS_PRINTF_FORMAT(2, 3)
wrong(const struct loader *l, const char *format, ...)
{
    char message[128];
    va_list args;

    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    diagnosis_set(l->diag, DIAG_STORE, NULL, NULL, "%s", message);
    return SQLITE_CORRUPT;
}

/* As wrong(), for the row 'key' whose contents 'cause' objects to. */
static int
wrong_row(const struct loader *l, const char *table, const char *key,
          const struct diagnosis *cause)
{
    return wrong(l, "%s %.60s: %.80s", table, key, cause->message);
}

/* The digest of the current row of 'stmt', without its last column. */
static int64_t
digest_row(sqlite3_stmt *stmt)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    int n = sqlite3_column_count(stmt) - 1;

    for (int i = 0; i < n; i++) {
        switch (sqlite3_column_type(stmt, i)) {
        case SQLITE_INTEGER:
            store_digest_integer(&ds, sqlite3_column_int64(stmt, i));
            break;
        case SQLITE_TEXT:
            store_digest_bytes(&ds, 't', sqlite3_column_text(stmt, i),
                       sqlite3_column_bytes(stmt, i));
            break;
        case SQLITE_BLOB:
            store_digest_bytes(&ds, 'b', sqlite3_column_blob(stmt, i),
                       sqlite3_column_bytes(stmt, i));
            break;
        default:
            ds_put_char(&ds, '?');
            break;
        }
    }
    return store_digest_finish(&ds);
}

/* Goes to the next row and checks its digest.  SQLITE_ROW, SQLITE_DONE or an
 * error. */
static int
next_row(const struct loader *l, sqlite3_stmt *stmt)
{
    int rc = sqlite3_step(stmt);

    if (rc == SQLITE_ROW) {
        int last = sqlite3_column_count(stmt) - 1;

        if (sqlite3_column_int64(stmt, last) != digest_row(stmt)) {
            const unsigned char *key = sqlite3_column_text(stmt, 0);

            return wrong(l, "table %.20s, row %.60s: the digest is wrong",
                         sqlite3_column_table_name(stmt, 0),
                         key ? (const char *) key : "?");
        }
    }
    return rc;
}

static const char *
column_text(sqlite3_stmt *stmt, int column)
{
    const unsigned char *text = sqlite3_column_text(stmt, column);

    return text ? (const char *) text : "";
}

/* Reads the record in column 'column', of 'kind' and with key 'key'. */
static int
read_record(const struct loader *l, sqlite3_stmt *stmt, int column,
            enum record_kind kind, const char *key, struct record *record)
{
    struct json *json = json_from_string(column_text(stmt, column));
    char actual[RECORD_KEY_SIZE];
    struct diagnosis cause;
    int error = record_from_json(json, record, &cause);

    json_destroy(json);
    if (error) {
        return wrong_row(l, record_kind_name(kind), key, &cause);
    }
    record_format_key(record, actual);
    if (record->kind != kind || strcmp(key, actual)) {
        return wrong(l, "%s %.60s: holds the record of %s %.60s",
                     record_kind_name(kind), key,
                     record_kind_name(record->kind), actual);
    }
    return SQLITE_OK;
}

/* Calls 'row' for each row of 'sql'. */
static int
for_each_row(struct loader *l, const char *sql,
             int (*row)(struct loader *, sqlite3_stmt *, void *), void *aux)
{
    sqlite3_stmt *stmt;
    int rc = sqlite3_prepare_v2(l->db, sql, -1, &stmt, NULL);

    while (!rc) {
        rc = next_row(l, stmt);
        if (rc == SQLITE_ROW) {
            rc = row(l, stmt, aux);
        }
    }
    sqlite3_finalize(stmt);
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

struct meta {
    uint64_t revision, last_group_id, n_records;
    struct hash_key key;
    unsigned int n;             /* Members found. */
};

static int
load_meta_row(struct loader *l, sqlite3_stmt *stmt, void *meta_)
{
    const char *name = column_text(stmt, 0);
    const char *value = column_text(stmt, 1);
    struct meta *meta = meta_;
    bool ok;

    if (!strcmp(name, "hash_key")) {
        ok = strlen(value) == 32 && ovs_scan(value, "%16"SCNx64"%16"SCNx64,
                                             &meta->key.word[0],
                                             &meta->key.word[1]);
    } else {
        uint64_t *number = (!strcmp(name, "revision") ? &meta->revision
                            : !strcmp(name, "records") ? &meta->n_records
                            : !strcmp(name, "last_group_id")
                            ? &meta->last_group_id : NULL);

        ok = number && ovs_scan(value, "%"SCNu64, number);
    }
    if (!ok) {
        return wrong(l, "meta %.30s: unknown or malformed", name);
    }
    meta->n++;
    return SQLITE_OK;
}

static int
load_host_row(struct loader *l, sqlite3_stmt *stmt, void *aux OVS_UNUSED)
{
    struct diagnosis cause;
    struct record record;
    int rc = read_record(l, stmt, 1, RECORD_HOST, column_text(stmt, 0),
                         &record);

    if (rc) {
        return rc;
    }
    return (catalog_restore_host(l->catalog, &record.host, &cause)
            ? wrong_row(l, "host", record.host.name, &cause) : SQLITE_OK);
}

/* Puts 'text' in the place of the only parameter of 'stmt', to be run
 * again. */
static void
rebind(sqlite3_stmt *stmt, const char *text)
{
    sqlite3_reset(stmt);
    sqlite3_bind_text(stmt, 1, text, -1, SQLITE_TRANSIENT);
}

/* Allocates 'group->slots' in any case. */
static int
load_slots(const struct loader *l, const char *key,
           struct catalog_group *group)
{
    size_t n = group->record.n_slots;
    const uint8_t *blob;
    int rc;

    group->slots = xcalloc(n, sizeof *group->slots);
    rebind(l->slots, key);
    rc = next_row(l, l->slots);
    if (rc == SQLITE_DONE) {
        return wrong(l, "group %.60s: has no slot table", key);
    } else if (rc != SQLITE_ROW) {
        return rc;
    }

    blob = sqlite3_column_blob(l->slots, 1);
    if ((size_t) sqlite3_column_bytes(l->slots, 1) != n * 2) {
        return wrong(l, "group %.60s: its slot table has another size", key);
    }
    for (size_t i = 0; i < n; i++) {
        group->slots[i] = blob[i * 2] | blob[i * 2 + 1] << 8;
    }
    return SQLITE_OK;
}

/* Reads the previous owners in 'text', unless there are none. */
static int
load_layer(const struct loader *l, const char *key, const char *text, size_t n,
           uint16_t **previous)
{
    if (!*text) {
        return SQLITE_OK;
    }
    *previous = xmalloc(n * sizeof **previous);
    for (size_t i = 0; i < n; i++) {
        (*previous)[i] = GROUP_NO_ENDPOINT;
    }
    return (slot_codec_apply(text, *previous, n)
            ? wrong(l, "group %.60s: its previous owners are malformed", key)
            : SQLITE_OK);
}

static int
load_previous(const struct loader *l, const char *key,
              struct catalog_group *group)
{
    int rc;

    rebind(l->previous, key);
    rc = next_row(l, l->previous);
    if (rc == SQLITE_DONE) {
        return wrong(l, "group %.60s: has no row of previous owners", key);
    } else if (rc != SQLITE_ROW) {
        return rc;
    }
    rc = SQLITE_OK;
    for (int layer = 0; !rc && layer < GROUP_MAX_PREVIOUS; layer++) {
        rc = load_layer(l, key, column_text(l->previous, 1 + layer),
                        group->record.n_slots, &group->previous[layer]);
    }
    return rc;
}

static int
load_endpoint(const struct loader *l, const char *group_key,
              struct catalog_group *group, size_t *allocated)
{
    sqlite3_stmt *stmt = l->endpoints;
    struct catalog_endpoint *endpoint;
    char key[RECORD_KEY_SIZE * 2];
    struct record record;
    int64_t index;
    int rc;

    snprintf(key, sizeof key, "%s/%s", group_key, column_text(stmt, 1));
    rc = read_record(l, stmt, 2, RECORD_ENDPOINT, key, &record);
    if (rc) {
        return rc;
    }
    index = sqlite3_column_int64(stmt, 3);
    if (index < 0 || index >= GROUP_MAX_ENDPOINTS) {
        return wrong(l, "endpoint %.60s: index %"PRId64" is out of range",
                     key, index);
    }

    endpoint = xmalloc(sizeof *endpoint);
    endpoint->record = record.endpoint;
    endpoint->index = index;
    if (group->n_endpoints >= *allocated) {
        group->endpoints = x2nrealloc(group->endpoints, allocated,
                                      sizeof *group->endpoints);
    }
    group->endpoints[group->n_endpoints++] = endpoint;
    return SQLITE_OK;
}

static int
load_endpoints(const struct loader *l, const char *key,
               struct catalog_group *group)
{
    size_t allocated = 0;
    int rc = SQLITE_OK;

    rebind(l->endpoints, key);
    while (!rc) {
        rc = next_row(l, l->endpoints);
        if (rc == SQLITE_ROW) {
            rc = load_endpoint(l, key, group, &allocated);
        }
    }
    return rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int
load_group_row(struct loader *l, sqlite3_stmt *stmt, void *aux OVS_UNUSED)
{
    char *key = xstrdup(column_text(stmt, 0));
    struct catalog_group group = { .n_endpoints = 0 };
    struct diagnosis cause;
    struct record record;
    int rc = read_record(l, stmt, 1, RECORD_GROUP, key, &record);

    if (!rc) {
        group.record = record.group;
        group.id = sqlite3_column_int64(stmt, 2);
        group.epoch = sqlite3_column_int64(stmt, 3);
        group.next_index = sqlite3_column_int64(stmt, 4);
        rc = load_slots(l, key, &group);
    }
    if (!rc) {
        rc = load_previous(l, key, &group);
    }
    if (!rc) {
        rc = load_endpoints(l, key, &group);
    }
    if (!rc && catalog_restore_group(l->catalog, &group, &cause)) {
        rc = wrong_row(l, "group", key, &cause);
    }

    for (size_t i = 0; i < group.n_endpoints; i++) {
        free(group.endpoints[i]);
    }
    free(group.endpoints);
    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        free(group.previous[i]);
    }
    free(group.slots);
    free(key);
    return rc;
}

static int
load_groups(struct loader *l)
{
    int rc = sqlite3_prepare_v2(l->db, "SELECT * FROM slots"
                                " WHERE group_key = ?", -1, &l->slots, NULL);
    if (!rc) {
        rc = sqlite3_prepare_v2(l->db, "SELECT * FROM previous"
                                " WHERE group_key = ?", -1, &l->previous,
                                NULL);
    }
    if (!rc) {
        rc = sqlite3_prepare_v2(l->db, "SELECT * FROM endpoint"
                                " WHERE group_key = ? ORDER BY name", -1,
                                &l->endpoints, NULL);
    }
    if (!rc) {
        rc = for_each_row(l, "SELECT * FROM anycast_group ORDER BY key",
                          load_group_row, NULL);
    }
    sqlite3_finalize(l->slots);
    sqlite3_finalize(l->previous);
    sqlite3_finalize(l->endpoints);
    return rc;
}

static int
load_record_row(struct loader *l, sqlite3_stmt *stmt, void *kind_)
{
    const enum record_kind *kind = kind_;
    const char *key = column_text(stmt, 0);
    struct diagnosis cause;
    struct record record;
    int rc;

    rc = read_record(l, stmt, 2, *kind, key, &record);
    if (rc) {
        return rc;
    }
    return (catalog_restore_record(l->catalog, &record, &cause)
            ? wrong_row(l, record_kind_name(*kind), key, &cause) : SQLITE_OK);
}

/* Kind by kind, as the later ones refer to the earlier ones.  One of an
 * unknown kind is missed when the records are counted. */
static int
load_records(struct loader *l)
{
    int rc = SQLITE_OK;

    for (enum record_kind kind = RECORD_FIRST_PLAIN;
         !rc && kind < N_RECORD_KINDS; kind++) {
        char *sql = xasprintf("SELECT * FROM record WHERE kind = '%s'"
                              " ORDER BY key", record_kind_name(kind));

        rc = for_each_row(l, sql, load_record_row, &kind);
        free(sql);
    }
    return rc;
}

int
store_load(sqlite3 *db, struct catalog *catalog, struct hash_key *key,
           struct diagnosis *diag)
{
    struct loader l = { .db = db, .catalog = catalog, .diag = diag };
    struct meta meta = { .n = 0 };
    int rc;

    rc = for_each_row(&l, "SELECT * FROM meta", load_meta_row, &meta);
    if (!rc && meta.n != 4) {
        rc = wrong(&l, "table meta is incomplete");
    }
    if (!rc) {
        rc = for_each_row(&l, "SELECT * FROM host ORDER BY key",
                          load_host_row, NULL);
    }
    if (!rc) {
        rc = load_groups(&l);
    }
    if (!rc) {
        rc = load_records(&l);
    }
    if (!rc && store_rows_count(catalog) != meta.n_records) {
        rc = wrong(&l, "%"PRIu64" records of %"PRIu64" are there",
                   store_rows_count(catalog), meta.n_records);
    }
    if (!rc) {
        catalog_restore_counters(catalog, meta.revision, meta.last_group_id);
        *key = meta.key;
    }
    return rc;
}
