/* The SQLite store: what is committed comes back, and what cannot be
 * trusted is refused and left alone.  Needs root, for the read-only and the
 * full disk, which are mounts in a namespace of this process. */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "mapping/mapd/store.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "util.h"

static char directory[] = "/tmp/test-store.XXXXXX";
static char path[64];

/* An open store and what it holds. */
struct opened {
    struct store *store;
    struct catalog *catalog;
    struct hash_key key;
};

static int
try_open(const char *target, struct opened *o, struct diagnosis *diag)
{
    int error;

    o->catalog = catalog_create();
    error = store_open(target, o->catalog, &o->key, &o->store, diag);
    if (error) {
        catalog_destroy(o->catalog);
    }
    return error;
}

static void
open_ok(struct opened *o)
{
    struct diagnosis diag = { .message = "" };

    if (try_open(path, o, &diag)) {
        fail_msg("%s", diag.message);
    }
}

static void
close_all(struct opened *o)
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

/* All of 'o' as text, assigned state included. */
static char *
describe(const struct opened *o)
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
        for (size_t j = 0; j < g->n_endpoints; j++) {
            describe_record(&ds, (struct record) {
                                .kind = RECORD_ENDPOINT,
                                .endpoint = g->endpoints[j]->record });
            ds_put_format(&ds, " %d\n", g->endpoints[j]->index);
        }
    }
    free(groups);
    return ds_steal_cstr(&ds);
}

/* Runs one operation, given as JSON, as a transaction of its own; returns what
 * store_commit() does, or -1 if the catalog refuses the operation. */
static int
change(struct opened *o, const char *op, const char *text,
       struct diagnosis *diag)
{
    struct catalog_txn *txn = catalog_begin(o->catalog);
    struct json *json = json_from_string(text);
    struct record record;
    int error;
    size_t n;

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

static int OVS_PRINTF_FORMAT(3, 4)
changef(struct opened *o, const char *op, const char *format, ...)
{
    struct diagnosis diag;
    va_list args;
    char *text;
    int error;

    va_start(args, format);
    text = xvasprintf(format, args);
    va_end(args);
    error = change(o, op, text, &diag);
    free(text);
    return error;
}

static void
fill(struct opened *o)
{
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(0, changef(o, "add", "{\"kind\":\"host\",\"name\":"
                                    "\"h%d\",\"vtep\":\"192.0.2.%d\"}", i,
                                    i));
    }
    for (int g = 1; g <= 4; g++) {
        assert_int_equal(0, changef(o, "add", "{\"kind\":\"group\",\"vni\":%d,"
                                    "\"name\":\"g\",\"address\":\"10.0.0.%d\","
                                    "\"slots\":%d}", g, g, 128 << g));
        for (int e = 1; e <= 3; e++) {
            assert_int_equal(0, changef(o, "add", "{\"kind\":\"endpoint\","
                                        "\"vni\":%d,\"group\":\"g\","
                                        "\"name\":\"e%d\",\"host\":\"h%d\","
                                        "\"mac\":\"02:00:00:00:00:0%d\"}",
                                        g, e, e, e));
        }
    }
}

/* Files. */

static char *
read_bytes(const char *name, size_t *size)
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

static void
write_bytes(const char *name, const char *data, size_t size)
{
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(size, write(fd, data, size));
    close(fd);
}

/* Expects the store to be refused with 'words' in the message, untouched. */
static void
assert_refused(const char *words)
{
    struct diagnosis diag = { .message = "" };
    size_t before_size, after_size;
    char *before = read_bytes(path, &before_size);
    struct opened o;
    char *after;

    assert_int_not_equal(0, try_open(path, &o, &diag));
    if (!strstr(diag.message, words) || !strstr(diag.message, path)) {
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", diag.message, words, path);
    }
    assert_int_equal(DIAG_STORE, diag.code);
    assert_true(diag.hint[0] != '\0');
    after = read_bytes(path, &after_size);
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, after_size);
    free(before);
    free(after);
}

static void
sql(const char *text)
{
    sqlite3 *db;

    assert_int_equal(SQLITE_OK, sqlite3_open(path, &db));
    assert_int_equal(SQLITE_OK, sqlite3_exec(db, text, NULL, NULL, NULL));
    assert_int_equal(SQLITE_OK, sqlite3_close(db));
}

static int
setup(void **state OVS_UNUSED)
{
    char *command = xasprintf("rm -rf %s && mkdir %s", directory, directory);
    int status = system(command);

    free(command);
    snprintf(path, sizeof path, "%s/grapnel.db", directory);
    return status;
}

/* A closed store with contents. */
static int
setup_filled(void **state)
{
    struct opened o;

    if (setup(state)) {
        return -1;
    }
    open_ok(&o);
    fill(&o);
    close_all(&o);
    return 0;
}

/* Tests. */

static void
new_store_is_empty_and_private(void **state OVS_UNUSED)
{
    struct opened o;
    struct stat s;
    char *first, *again;

    open_ok(&o);
    assert_int_equal(0, catalog_revision(o.catalog));
    assert_int_equal(0, stat(path, &s));
    assert_int_equal(0600, s.st_mode & 0777);
    first = describe(&o);
    close_all(&o);

    open_ok(&o);                /* With the same key. */
    again = describe(&o);
    assert_string_equal(first, again);
    close_all(&o);
    free(first);
    free(again);
}

/* Makes one random change. */
static void
random_change(struct opened *o)
{
    int vni = 1 + rand() % 4, e = 1 + rand() % 6;

    switch (rand() % 6) {
    case 0:
    case 1:
        changef(o, "add", "{\"kind\":\"endpoint\",\"vni\":%d,\"group\":\"g\","
                "\"name\":\"e%d\",\"host\":\"h%d\",\"weight\":%d,"
                "\"mac\":\"02:00:00:00:00:0%d\"}", vni, e, 1 + rand() % 3,
                1 + rand() % 9, e);
        break;
    case 2:
        changef(o, "remove", "{\"kind\":\"endpoint\",\"vni\":%d,"
                "\"group\":\"g\",\"name\":\"e%d\"}", vni, e);
        break;
    case 3:
        changef(o, "set", "{\"kind\":\"endpoint\",\"vni\":%d,\"group\":\"g\","
                "\"name\":\"e%d\",\"state\":\"%s\"}", vni, e,
                rand() % 2 ? "up" : "draining");
        break;
    case 4:
        if (!(rand() % 4)) {
            changef(o, "remove", "{\"kind\":\"group\",\"vni\":%d,"
                    "\"name\":\"g\"}", vni);
        }
        changef(o, "add", "{\"kind\":\"group\",\"vni\":%d,\"name\":\"g\","
                "\"address\":\"10.0.0.%d\",\"slots\":%d}", vni, vni,
                256 << rand() % 3);
        break;
    case 5:
        changef(o, "set", "{\"kind\":\"host\",\"name\":\"h%d\",\"encap\":"
                "\"%s\"}", 1 + rand() % 3, rand() % 2 ? "vxlan" : "geneve");
        break;
    }
}

static void
reopened_store_equals_the_catalog_that_was_committed(void **state OVS_UNUSED)
{
    uint64_t revision = 0;
    struct opened o;

    srand(1);
    open_ok(&o);
    for (int round = 0; round < 40; round++) {
        char *before, *after;

        for (int i = 0; i < 12; i++) {
            random_change(&o);
        }
        before = describe(&o);
        close_all(&o);
        open_ok(&o);
        after = describe(&o);
        assert_string_equal(before, after);
        assert_true(catalog_revision(o.catalog) >= revision);
        revision = catalog_revision(o.catalog);
        free(before);
        free(after);
    }
    assert_true(revision > 100);
    close_all(&o);
}

static void
newer_version_is_refused(void **state OVS_UNUSED)
{
    sql("PRAGMA user_version=2");
    assert_refused("version 2");
}

static void
file_of_another_application_is_refused(void **state OVS_UNUSED)
{
    sql("PRAGMA application_id=77");
    assert_refused("another application");
    write_bytes(path, "Dear diary, ...\n", 16);
    assert_refused("not a Grapnel store");
}

static void
emptied_or_half_file_is_refused(void **state OVS_UNUSED)
{
    size_t size;
    char *data = read_bytes(path, &size);

    write_bytes(path, data, 0);
    assert_refused("empty");
    write_bytes(path, data, 50);
    assert_refused("damaged");
    memset(data, 'x', 100);     /* The header. */
    write_bytes(path, data, size);
    assert_refused("damaged");
    free(data);
    assert_int_equal(0, setup_filled(NULL));
    data = read_bytes(path, &size);
    write_bytes(path, data, size / 2);
    assert_refused("damaged");
    write_bytes(path, data, size - 4096);
    assert_refused("damaged");
    write_bytes(path, data, size);
    free(data);
}

/* Each flip is either noticed or has changed nothing that counts. */
static void
flipped_bytes_never_pass_for_data(void **state OVS_UNUSED)
{
    struct opened o;
    size_t size;
    char *data = read_bytes(path, &size);
    char *before, *after;
    int refused = 0;

    open_ok(&o);
    before = describe(&o);
    close_all(&o);

    srand(2);
    for (int i = 0; i < 400; i++) {
        size_t ofs = ((size_t) rand() << 8 ^ rand()) % size;
        struct diagnosis diag;
        char old = data[ofs];

        data[ofs] ^= 1 << rand() % 8;
        write_bytes(path, data, size);
        data[ofs] = old;
        if (try_open(path, &o, &diag)) {
            assert_int_equal(DIAG_STORE, diag.code);
            refused++;
        } else {
            after = describe(&o);
            assert_string_equal(before, after);
            free(after);
            close_all(&o);
        }
    }
    print_message("%d of 400 flips are noticed\n", refused);
    assert_true(refused > 50);
    free(before);
    free(data);
}

static void
changed_row_is_refused(void **state OVS_UNUSED)
{
    sql("UPDATE endpoint SET record = replace(record, '100', '101')"
        " WHERE group_key = '2/g' AND name = 'e1'");
    assert_refused("digest");
}

static void
missing_rows_are_refused(void **state OVS_UNUSED)
{
    sql("DELETE FROM endpoint WHERE group_key = '2/g' AND name = 'e1'");
    assert_refused("damaged");
}

static void
log_without_its_store_is_refused(void **state OVS_UNUSED)
{
    struct diagnosis diag = { .message = "" };
    char log[80];
    struct opened o;

    snprintf(log, sizeof log, "%s-wal", path);
    write_bytes(log, "x", 1);
    assert_int_not_equal(0, try_open(path, &o, &diag));
    assert_non_null(strstr(diag.message, "log"));
    assert_int_equal(-1, access(path, F_OK));
}

static void
other_engines_are_refused(void **state OVS_UNUSED)
{
    struct diagnosis diag;
    struct opened o;

    assert_int_not_equal(0, try_open("etcd:http://x", &o, &diag));
    assert_int_equal(DIAG_UNSUPPORTED, diag.code);
    assert_int_not_equal(0, try_open("sqlite:", &o, &diag));
    assert_int_equal(DIAG_INVALID, diag.code);
}

static void
second_process_is_refused(void **state OVS_UNUSED)
{
    struct opened o;
    int status;
    pid_t pid;

    open_ok(&o);
    pid = fork();
    if (!pid) {
        struct diagnosis diag = { .message = "" };
        struct opened o2;

        _exit(!try_open(path, &o2, &diag) ? 1
              : !strstr(diag.message, "in use") ? 2 : 0);
    }
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_int_equal(0, status);
    assert_int_equal(0, changef(&o, "add", "{\"kind\":\"host\",\"name\":\"h9\""
                                ",\"vtep\":\"192.0.2.9\"}"));
    close_all(&o);
}

static void
read_only_disk_is_refused(void **state OVS_UNUSED)
{
    struct diagnosis diag = { .message = "" };
    struct opened o;
    char other[80];

    assert_int_equal(0, mount(directory, directory, NULL, MS_BIND, NULL));
    assert_int_equal(0, mount(NULL, directory, NULL,
                              MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    assert_refused("read-only");
    snprintf(other, sizeof other, "%s/new.db", directory);
    assert_int_not_equal(0, try_open(other, &o, &diag));
    assert_non_null(strstr(diag.message, "cannot be created"));
    assert_int_equal(0, umount(directory));
}

static void
raw_bytes_of_a_damaged_store_are_not_shown(void **state OVS_UNUSED)
{
    struct diagnosis diag = { .message = "" };
    struct opened o;

    sql("UPDATE host SET key = 'h' || char(27) || '[2J' WHERE key = 'h1'");
    assert_int_not_equal(0, try_open(path, &o, &diag));
    assert_non_null(strstr(diag.message, "h?[2J"));
    assert_non_null(strstr(diag.hint, "-wal and "));
    assert_non_null(strstr(diag.hint, "-shm"));
}

/* A change that would be lost at the next start is not acknowledged. */
static void
store_that_is_gone_refuses_changes(void **state OVS_UNUSED)
{
    static const char text[] = "{\"kind\":\"host\",\"name\":\"h9\","
                               "\"vtep\":\"192.0.2.9\"}";
    static const char *const suffixes[] = { "", "-wal" };

    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        for (int replace = 0; replace < 2; replace++) {
            struct diagnosis diag = { .message = "" };
            char name[96], aside[112];
            struct opened o;

            snprintf(name, sizeof name, "%s%s", path, suffixes[i]);
            snprintf(aside, sizeof aside, "%s.aside", name);
            open_ok(&o);
            assert_int_equal(0, store_check(o.store, &diag));
            assert_int_equal(0, rename(name, aside));
            if (replace) {
                write_bytes(name, "x", 1);
            }
            assert_int_not_equal(0, change(&o, "add", text, &diag));
            assert_int_equal(DIAG_STORE, diag.code);
            assert_non_null(strstr(diag.message, path));
            assert_non_null(strstr(diag.message,
                                   replace ? "another" : "deleted or moved"));
            assert_true(diag.hint[0] != '\0');

            /* Put back, all is well. */
            assert_int_equal(0, rename(aside, name));
            assert_int_equal(0, change(&o, "add", text, &diag));
            assert_int_equal(0, changef(&o, "remove", text));
            close_all(&o);
        }
    }
}

static void
directories_on_the_way_are_made(void **state OVS_UNUSED)
{
    char deep[96];
    struct opened o;
    struct diagnosis diag;

    snprintf(deep, sizeof deep, "%s/a/b/c/x.db", directory);
    assert_int_equal(0, try_open(deep, &o, &diag));
    close_all(&o);
    assert_int_equal(0, access(deep, F_OK));
    snprintf(deep, sizeof deep, "%s/a/b/c/x.db/y.db", directory);
    assert_int_not_equal(0, try_open(deep, &o, &diag));
    assert_non_null(strstr(diag.message, deep));
}

/* In a process of its own, as a limit cannot be taken back. */
static void
file_size_limit_is_no_room(void **state OVS_UNUSED)
{
    int status;
    pid_t pid = fork();

    if (!pid) {
        struct rlimit limit = { .rlim_cur = 8192, .rlim_max = 8192 };
        struct diagnosis diag = { .message = "" };
        struct opened o;

        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(!try_open(path, &o, &diag) ? 1
              : !strstr(diag.message, "no room") ? 2
              : !strncmp(diag.message, path, strlen(path))
              && diag.message[strlen(path)] == ':' ? 0 : 3);
    }
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_int_equal(0, status);
}

static void
full_disk_refuses_changes_and_nothing_else(void **state OVS_UNUSED)
{
    struct diagnosis diag = { .message = "" };
    char *before, *after, filler[80];
    struct opened o;
    int error = 0;
    int fd;

    assert_int_equal(0, mount("none", directory, "tmpfs", 0, "size=512k"));
    open_ok(&o);
    fill(&o);
    snprintf(filler, sizeof filler, "%s/filler", directory);
    fd = open(filler, O_WRONLY | O_CREAT, 0600);
    while (write(fd, filler, sizeof filler) > 0) {
        continue;
    }
    close(fd);

    /* A little room may be left in what the log has already. */
    for (int i = 0; !error && i < 500; i++) {
        char text[96];

        before = describe(&o);
        snprintf(text, sizeof text, "{\"kind\":\"host\",\"name\":\"x%d\","
                 "\"vtep\":\"198.51.%d.%d\"}", i, i / 200, 1 + i % 200);
        error = change(&o, "add", text, &diag);
        if (!error) {
            free(before);
        }
    }
    assert_int_not_equal(0, error);
    assert_int_equal(DIAG_STORE, diag.code);
    assert_non_null(strstr(diag.message, "no room"));
    after = describe(&o);
    assert_string_equal(before, after);
    free(after);

    assert_int_equal(0, unlink(filler));
    assert_int_equal(0, changef(&o, "add", "{\"kind\":\"host\",\"name\":\"h9\""
                                ",\"vtep\":\"192.0.2.9\"}"));
    free(before);
    before = describe(&o);
    close_all(&o);
    open_ok(&o);
    after = describe(&o);
    assert_string_equal(before, after);
    close_all(&o);
    free(before);
    free(after);

    fd = open(filler, O_WRONLY | O_CREAT, 0600);
    while (write(fd, filler, sizeof filler) > 0) {
        continue;
    }
    close(fd);
    assert_int_equal(0, unlink(path));
    fd = open(filler, O_WRONLY | O_APPEND);
    while (write(fd, filler, sizeof filler) > 0) {
        continue;
    }
    close(fd);
    assert_int_not_equal(0, try_open(path, &o, &diag));
    assert_int_equal(-1, access(path, F_OK));
    assert_int_equal(0, umount(directory));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define FILLED(TEST) cmocka_unit_test_setup(TEST, setup_filled)
        cmocka_unit_test_setup(new_store_is_empty_and_private, setup),
        cmocka_unit_test_setup(
            reopened_store_equals_the_catalog_that_was_committed,
            setup_filled),
        FILLED(newer_version_is_refused),
        FILLED(file_of_another_application_is_refused),
        FILLED(emptied_or_half_file_is_refused),
        FILLED(flipped_bytes_never_pass_for_data),
        FILLED(changed_row_is_refused),
        FILLED(missing_rows_are_refused),
        cmocka_unit_test_setup(log_without_its_store_is_refused, setup),
        cmocka_unit_test_setup(other_engines_are_refused, setup),
        FILLED(second_process_is_refused),
        FILLED(read_only_disk_is_refused),
        FILLED(raw_bytes_of_a_damaged_store_are_not_shown),
        FILLED(store_that_is_gone_refuses_changes),
        cmocka_unit_test_setup(directories_on_the_way_are_made, setup),
        cmocka_unit_test_setup(file_size_limit_is_no_room, setup),
        cmocka_unit_test_setup(full_disk_refuses_changes_and_nothing_else,
                               setup),
    };
    char *command;
    int failed;

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    if (!mkdtemp(directory) || unshare(CLONE_NEWNS)
        || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) {
        perror("test-store needs root");
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    command = xasprintf("rm -rf %s", directory);
    if (system(command)) {
        failed++;
    }
    free(command);
    return failed;
}
