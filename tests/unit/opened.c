#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "tests/unit/opened.h"
#include "timeval.h"
#include "util.h"

char opened_dir[] = "/tmp/test-store.XXXXXX";
char opened_path[64];
const char *opened_target;
static char prefix[80];         /* Of a store in etcd. */

enum { LEAD_MS = 30 * 1000 };   /* To become the leader, on a busy machine. */

int
opened_try(const char *target, struct opened *o, struct diagnosis *diag)
{
    const struct store_options options = {
        .target = target, .etcd_prefix = prefix, .name = "test",
        .address = "unix:/test",
    };
    int error;

    o->catalog = catalog_create();
    error = store_open(&options, o->catalog, &o->key, &o->store, diag);
    if (error) {
        catalog_destroy(o->catalog);
    }
    return error;
}

/* Has the store lead, and the catalog have all that there is. */
static void
settle(struct opened *o)
{
    long long int deadline = time_msec() + LEAD_MS;
    struct diagnosis diag = { .message = "" };

    while (store_is_shared(o->store)) {
        struct catalog_txn *txn;

        store_run(o->store);
        while ((txn = store_follow(o->store, o->catalog))) {
            catalog_commit(txn);
        }
        if (!store_check_leader(o->store, &diag)) {
            break;
        }
        if (time_msec() > deadline) {
            fail_msg("%s", diag.message);
        }
        store_wait(o->store);
        poll_block();
    }
}

void
opened_open(struct opened *o)
{
    struct diagnosis diag = { .message = "" };

    if (opened_try(opened_target ? opened_target : opened_path, o, &diag)) {
        fail_msg("%s", diag.message);
    }
    settle(o);
}

void
opened_close(struct opened *o)
{
    store_close(o->store);
    catalog_destroy(o->catalog);
}

static void
describe_record(struct ds *ds, struct record record)
{
    struct json *json = record_to_json(&record);

    json_to_ds(json, JSSF_SORT, ds);
    json_destroy(json);
}

char *
opened_describe(const struct opened *o)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    const struct catalog_group **groups;
    const struct record_host **hosts;
    size_t n;

    ds_put_format(&ds, "%"PRIu64" %"PRIu32" %"PRIx64" %"PRIx64"\n",
                  catalog_revision(o->catalog),
                  catalog_last_group_id(o->catalog), o->key.word[0],
                  o->key.word[1]);
    hosts = catalog_hosts(o->catalog, &n);
    for (size_t i = 0; i < n; i++) {
        describe_record(&ds, (struct record) { .kind = RECORD_HOST,
                                               .host = *hosts[i] });
    }
    free(hosts);
    groups = catalog_groups(o->catalog, &n);
    for (size_t i = 0; i < n; i++) {
        const struct catalog_group *g = groups[i];

        describe_record(&ds, (struct record) { .kind = RECORD_GROUP,
                                               .group = g->record });
        ds_put_format(&ds, "\n%"PRIu32" %"PRIu32" %d:", g->id, g->epoch,
                      g->next_index);
        for (size_t j = 0; j < g->record.n_slots; j++) {
            ds_put_format(&ds, " %x", g->slots[j]);
        }
        for (int layer = 0; layer < GROUP_MAX_PREVIOUS; layer++) {
            ds_put_cstr(&ds, "\nprevious:");
            for (size_t j = 0; g->previous[layer] && j < g->record.n_slots;
                 j++) {
                ds_put_format(&ds, " %x", g->previous[layer][j]);
            }
        }
        for (size_t j = 0; j < g->n_endpoints; j++) {
            describe_record(&ds, (struct record) {
                                .kind = RECORD_ENDPOINT,
                                .endpoint = g->endpoints[j]->record });
            ds_put_format(&ds, " %d\n", g->endpoints[j]->index);
        }
    }
    free(groups);
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        struct record *records = catalog_records(o->catalog, kind, &n);

        for (size_t i = 0; i < n; i++) {
            describe_record(&ds, records[i]);
        }
        free(records);
    }
    return ds_steal_cstr(&ds);
}

int
opened_change(struct opened *o, const char *op, const char *text,
       struct diagnosis *diag)
{
    struct json *json = json_from_string(text);
    struct catalog_txn *txn;
    struct record record;
    int error;
    size_t n;

    settle(o);
    txn = catalog_begin(o->catalog);
    if (!strcmp(op, "add")) {
        error = record_from_json(json, &record, diag)
                || catalog_add(txn, &record, false, diag);
    } else if (!strcmp(op, "set")) {
        error = catalog_set(txn, json, diag);
    } else {
        error = record_key_from_json(json, &record, diag)
                || catalog_remove(txn, &record, false, true, diag);
    }
    json_destroy(json);
    if (error) {
        catalog_abort(txn);
        return -1;
    }

    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_txn_changes(txn, &n);
    error = n ? store_commit(o->store, txn, o->catalog, diag) : 0;
    if (error) {
        catalog_abort(txn);
    } else {
        catalog_commit(txn);
    }
    return error;
}

int
opened_changef(struct opened *o, const char *op, const char *format, ...)
{
    struct diagnosis diag;
    va_list args;
    char *text;
    int error;

    va_start(args, format);
    text = xvasprintf(format, args);
    va_end(args);
    for (char *p = text; *p; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    error = opened_change(o, op, text, &diag);
    free(text);
    return error;
}

void
opened_fill(struct opened *o)
{
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(0, opened_changef(o, "add",
            "{'kind':'host','name':'h%d','vtep':'192.0.2.%d'}", i, i));
    }
    for (int g = 1; g <= 4; g++) {
        assert_int_equal(0, opened_changef(o, "add",
            "{'kind':'group','vni':%d,'name':'g','address':'10.0.0.%d',"
            "'slots':%d}", g, g, 128 << g));
        for (int e = 1; e <= 3; e++) {
            assert_int_equal(0, opened_changef(o, "add",
                "{'kind':'endpoint','vni':%d,'group':'g','name':'e%d',"
                "'host':'h%d','mac':'02:00:00:00:00:0%d'}", g, e, e, e));
        }
    }
}

void
opened_add_plain(struct opened *o)
{
    static const char *const records[] = {
        "{'kind':'host','name':'g1','vtep':'198.51.100.1'}",
        "{'kind':'host','name':'g2','vtep':'198.51.100.2'}",
        "{'kind':'workload','vni':5001,'name':'vm1','host':'g1',"
        "'mac':'02:00:00:00:00:11','address':'10.1.0.5',"
        "'public_address':'203.0.113.9'}",
        "{'kind':'pool','vni':0,'name':'p','first':'203.0.113.8',"
        "'last':'203.0.113.15','router':'203.0.113.1'}",
        "{'kind':'lease','vni':0,'pool':'p','address':'203.0.113.9',"
        "'client':'5001/vm1','term':60,'expires':4000000000}",
        "{'kind':'gateway','name':'g','node1':'g1','node2':'g2',"
        "'active':'g2','epoch':4294967295}",
        "{'kind':'vip','vni':5001,'name':'v','address':'10.1.0.1',"
        "'gateway':'g'}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        assert_int_equal(0, opened_changef(o, "add", "%s", records[i]));
    }
}

void
opened_check_stored(struct opened *o)
{
    char *before = opened_describe(o), *after;

    opened_close(o);
    opened_open(o);
    after = opened_describe(o);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* Files. */

char *
opened_read(const char *name, size_t *size)
{
    struct stat s;
    char *data;
    int fd = open(name, O_RDONLY);

    assert_true(fd >= 0 && !fstat(fd, &s));
    data = xmalloc(s.st_size + 1);
    assert_int_equal(s.st_size, read(fd, data, s.st_size));
    close(fd);
    *size = s.st_size;
    return data;
}

void
opened_write(const char *name, const char *data, size_t size)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(size, write(fd, data, size));
    close(fd);
}

void
opened_refused(const char *words)
{
    struct diagnosis diag = { .message = "" };
    size_t before_size, after_size;
    char *before = opened_read(opened_path, &before_size);
    struct opened o;
    char *after;

    assert_int_not_equal(0, opened_try(opened_path, &o, &diag));
    if (!strstr(diag.message, words) || !strstr(diag.message, opened_path)) {
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", diag.message, words,
                 opened_path);
    }
    assert_int_equal(DIAG_STORE, diag.code);
    assert_true(diag.hint[0] != '\0');
    after = opened_read(opened_path, &after_size);
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, after_size);
    free(before);
    free(after);
}

void
opened_sql(const char *text)
{
    sqlite3 *db;

    assert_int_equal(SQLITE_OK, sqlite3_open(opened_path, &db));
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, text, NULL, NULL, NULL));
    assert_int_equal(SQLITE_OK, sqlite3_close(db));
}

int
opened_setup(void **state OVS_UNUSED)
{
    char *command = xasprintf("rm -rf %s && mkdir %s", opened_dir, opened_dir);
    int status = system(command);
    static int n;

    free(command);
    snprintf(prefix, sizeof prefix, "%s/%d/", opened_dir, n++);
    snprintf(opened_path, sizeof opened_path, "%s/grapnel.db", opened_dir);
    return status;
}

int
opened_setup_filled(void **state)
{
    struct opened o;

    if (opened_setup(state)) {
        return -1;
    }
    opened_open(&o);
    opened_fill(&o);
    opened_close(&o);
    return 0;
}

bool
opened_prepare(void)
{
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    if (!mkdtemp(opened_dir) || unshare(CLONE_NEWNS)
        || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        perror("this test needs root");
        return false;
    }
    return true;
}

int
opened_clean_up(void)
{
    char *command = xasprintf("rm -rf %s", opened_dir);
    int status = system(command);

    free(command);
    return status;
}
