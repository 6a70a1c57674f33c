/* The SQLite store's files: what cannot be trusted is refused and left alone.
 * (What any store must do: test-store-engines.c.)  Needs root, for the
 * read-only disk, which is a mount in a namespace of this process. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/old-store-2.h"
#include "tests/unit/old-store-3.h"
#include "tests/unit/old-store.h"
#include "tests/unit/opened.h"
#include "util.h"

static void
new_store_is_private(void **state OVS_UNUSED)
{
    struct opened o;
    struct stat s;

    opened_open(&o);
    assert_int_equal(0, stat(opened_path, &s));
    assert_int_equal(0600, s.st_mode & 0777);
    opened_close(&o);
}

/* Everything of the old store is there, new members at their defaults; and it
 * is a new store from then on. */
static void
store_of_version_1_is_brought_up_to_date(void **state OVS_UNUSED)
{
    const struct catalog_group *group;
    char *before, *after;
    struct opened o;
    size_t n = 0;

    opened_sql(old_store_sql);
    opened_open(&o);
    assert_int_equal(7, catalog_revision(o.catalog));
    assert_int_equal(2, catalog_last_group_id(o.catalog));
    assert_true(o.key.word[0] == 0xe853e2c93eaca250);
    assert_true(o.key.word[1] == 0x1ea444e41398bb50);
    assert_string_equal("", catalog_find_host(o.catalog, "h2")->region);
    assert_true(catalog_find_host(o.catalog, "h2")->vtep.lo
                == 0xffffc0000202);
    group = catalog_find_group(o.catalog, 5001, "dns");
    assert_int_equal(17, group->record.protocol);
    assert_int_equal(AFFINITY_SOURCE, group->record.affinity);
    assert_int_equal(10800, group->record.affinity_timeout);
    group = catalog_find_group(o.catalog, 5001, "web");
    assert_int_equal(1, group->id);
    assert_int_equal(2, group->epoch);
    assert_int_equal(3, group->next_index);
    assert_int_equal(3, group->n_endpoints);
    for (size_t i = 0; i < 256; i++) {
        n += group->slots[i] == 1;
    }
    assert_int_equal(192, n);   /* Weights 100 and 300. */
    before = opened_describe(&o);
    opened_close(&o);

    opened_open(&o);
    after = opened_describe(&o);
    assert_string_equal(before, after);
    free(after);
    free(before);

    /* What version 1 had no place for. */
    assert_int_equal(0, opened_changef(&o, "set",
        "{'kind':'endpoint','vni':5001,'group':'web','name':'w3','state':'up',"
        "'cost':7}"));
    group = catalog_find_group(o.catalog, 5001, "web");
    assert_non_null(group->previous[0]);
    before = opened_describe(&o);
    opened_close(&o);
    opened_open(&o);
    after = opened_describe(&o);
    assert_string_equal(before, after);
    opened_close(&o);
    free(after);
    free(before);
}

/* A row that is changed, or missing, or refers to what is not there. */
static void
damaged_plain_records_are_refused(void **state OVS_UNUSED)
{
    static const char *const damages[][2] = {
        { "UPDATE record SET record = replace(record, 'g1', 'g2')"
          " WHERE kind = 'workload'", "digest" },
        { "UPDATE record SET kind = 'pool' WHERE kind = 'vip'", "digest" },
        { "UPDATE record SET kind = 'mystery' WHERE kind = 'vip'",
          "records" },
        { "DELETE FROM record WHERE kind = 'vip'", "records" },
        { "DELETE FROM record WHERE kind = 'pool'", "pool 0/p is not known" },
        { "DROP TABLE record", "record" },
    };
    struct opened o;
    size_t size;
    char *data;

    opened_open(&o);
    opened_add_plain(&o);
    opened_close(&o);
    opened_sql("PRAGMA wal_checkpoint(TRUNCATE)");
    data = opened_read(opened_path, &size);
    for (size_t i = 0; i < ARRAY_SIZE(damages); i++) {
        opened_sql(damages[i][0]);
        opened_refused(damages[i][1]);
        opened_write(opened_path, data, size);
    }
    free(data);
}

static void
store_of_version_2_is_brought_up_to_date(void **state OVS_UNUSED)
{
    const struct catalog_group *group;
    struct opened o;

    opened_sql(old_store_2_sql);
    opened_open(&o);
    assert_int_equal(5, catalog_revision(o.catalog));
    assert_true(o.key.word[0] == 0x7029c51f92cdf7d9);
    assert_string_equal("z", catalog_find_host(o.catalog, "h2")->zone);
    group = catalog_find_group(o.catalog, 5001, "web");
    assert_int_equal(2, group->n_endpoints);
    assert_int_equal(2, group->epoch);
    assert_non_null(group->previous[0]); /* w1 had all slots before. */
    opened_check_stored(&o);
    opened_add_plain(&o);
    opened_check_stored(&o);
    opened_close(&o);
}

/* Its endpoints are where they were, and others need not be anywhere. */
static void
store_of_version_3_is_brought_up_to_date(void **state OVS_UNUSED)
{
    const struct catalog_group *group;
    const struct record_endpoint *w2;
    struct opened o;

    opened_sql(old_store_3_sql);
    opened_open(&o);
    assert_int_equal(7, catalog_revision(o.catalog));
    group = catalog_find_group(o.catalog, 5001, "web");
    w2 = &catalog_find_endpoint(group, "w2")->record;
    assert_string_equal("h2", w2->host);
    assert_string_equal("", w2->iface);
    assert_int_equal(MAC_GIVEN, w2->mac_from);
    assert_int_equal(1, catalog_count(o.catalog, RECORD_GATEWAY));
    opened_check_stored(&o);
    assert_int_equal(0, opened_changef(&o, "add", "{'kind':'endpoint',"
                                       "'vni':5001,'group':'web','name':'w3',"
                                       "'iface':'vm-3'}"));
    assert_int_equal(0, opened_changef(&o, "set", "{'kind':'endpoint',"
                                       "'vni':5001,'group':'web','name':'w1',"
                                       "'iface':'vm-1','host':''}"));
    opened_check_stored(&o);
    opened_close(&o);
}

/* Not even its version is changed. */
static void
damaged_store_of_version_1_is_left_alone(void **state OVS_UNUSED)
{
    opened_sql(old_store_sql);
    opened_sql("UPDATE endpoint SET idx = 5 WHERE name = 'w3';"
               "PRAGMA wal_checkpoint(TRUNCATE)");
    opened_refused("digest");
    opened_sql("CREATE TABLE previous (version_1)");
}

static void
newer_or_impossible_version_is_refused(void **state OVS_UNUSED)
{
    opened_sql("PRAGMA user_version=5");
    opened_refused("version 5");
    opened_sql("PRAGMA user_version=0");
    opened_refused("version 0");
}

static void
file_of_another_application_is_refused(void **state OVS_UNUSED)
{
    opened_sql("PRAGMA application_id=77");
    opened_refused("another application");
    opened_write(opened_path, "Dear diary, ...\n", 16);
    opened_refused("not a Grapnel store");
}

static void
emptied_or_half_file_is_refused(void **state OVS_UNUSED)
{
    size_t size;
    char *data = opened_read(opened_path, &size);

    opened_write(opened_path, data, 0);
    opened_refused("empty");
    opened_write(opened_path, data, 50);
    opened_refused("damaged");
    memset(data, 'x', 100);     /* The header. */
    opened_write(opened_path, data, size);
    opened_refused("damaged");
    free(data);
    assert_int_equal(0, opened_setup_filled(NULL));
    data = opened_read(opened_path, &size);
    opened_write(opened_path, data, size / 2);
    opened_refused("damaged");
    opened_write(opened_path, data, size - 4096);
    opened_refused("damaged");
    opened_write(opened_path, data, size);
    free(data);
}

/* Each flip is either noticed or has changed nothing that counts. */
static void
flipped_bytes_never_pass_for_data(void **state OVS_UNUSED)
{
    struct opened o;
    size_t size;
    char *data = opened_read(opened_path, &size);
    char *before, *after;
    int refused = 0;

    opened_open(&o);
    before = opened_describe(&o);
    opened_close(&o);

    srand(2);
    for (int i = 0; i < 400; i++) {
        size_t ofs = ((size_t) rand() << 8 ^ rand()) % size;
        struct diagnosis diag;
        char old = data[ofs];

        data[ofs] ^= 1 << rand() % 8;
        opened_write(opened_path, data, size);
        data[ofs] = old;
        if (opened_try(opened_path, &o, &diag)) {
            assert_int_equal(DIAG_STORE, diag.code);
            refused++;
        } else {
            after = opened_describe(&o);
            assert_string_equal(before, after);
            free(after);
            opened_close(&o);
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
    opened_sql("UPDATE endpoint SET record = replace(record, '100', '101')"
        " WHERE group_key = '2/g' AND name = 'e1'");
    opened_refused("digest");
}

static void
previous_owners_that_cannot_be_are_refused(void **state OVS_UNUSED)
{
    struct opened o;

    opened_open(&o);
    assert_int_equal(0, opened_changef(&o, "set",
        "{'kind':'endpoint','vni':2,'group':'g','name':'e1',"
        "'state':'draining'}"));
    opened_close(&o);
    opened_sql("UPDATE previous SET second = first WHERE group_key = '2/g'");
    opened_refused("digest");
    opened_sql("DELETE FROM previous WHERE group_key = '2/g'");
    opened_refused("previous");
}

static void
missing_rows_are_refused(void **state OVS_UNUSED)
{
    opened_sql("DELETE FROM endpoint WHERE group_key = '2/g' AND name = 'e1'");
    opened_refused("damaged");
}

static void
log_without_its_store_is_refused(void **state OVS_UNUSED)
{
    struct diagnosis diag = { .message = "" };
    char log[80];
    struct opened o;

    snprintf(log, sizeof log, "%s-wal", opened_path);
    opened_write(log, "x", 1);
    assert_int_not_equal(0, opened_try(opened_path, &o, &diag));
    assert_non_null(strstr(diag.message, "log"));
    assert_int_equal(-1, access(opened_path, F_OK));
}

static void
other_engines_are_refused(void **state OVS_UNUSED)
{
    struct diagnosis diag;
    struct opened o;

    assert_int_not_equal(0, opened_try("mysql:x", &o, &diag));
    assert_int_equal(DIAG_UNSUPPORTED, diag.code);
    assert_int_not_equal(0, opened_try("sqlite:", &o, &diag));
    assert_int_equal(DIAG_INVALID, diag.code);
    assert_int_not_equal(0, opened_try("etcd:", &o, &diag));
    assert_int_equal(DIAG_INVALID, diag.code);
    assert_int_not_equal(0, opened_try("etcd:ftp://192.0.2.1", &o, &diag));
    assert_int_equal(DIAG_INVALID, diag.code);
}

static void
second_process_is_refused(void **state OVS_UNUSED)
{
    struct opened o;
    int status;
    pid_t pid;

    opened_open(&o);
    pid = fork();
    if (!pid) {
        struct diagnosis diag = { .message = "" };
        struct opened o2;

        _exit(!opened_try(opened_path, &o2, &diag) ? 1
              : !strstr(diag.message, "in use") ? 2 : 0);
    }
    assert_int_equal(pid, waitpid(pid, &status, 0));
    assert_int_equal(0, status);
    assert_int_equal(0, opened_changef(&o, "add",
        "{'kind':'host','name':'h9','vtep':'192.0.2.9'}"));
    opened_close(&o);
}

static void
read_only_disk_is_refused(void **state OVS_UNUSED)
{
    struct diagnosis diag = { .message = "" };
    struct opened o;
    char other[80];

    assert_int_equal(0, mount(opened_dir, opened_dir, NULL, MS_BIND, NULL));
    assert_int_equal(0, mount(NULL, opened_dir, NULL,
                              MS_REMOUNT | MS_BIND | MS_RDONLY, NULL));
    opened_refused("read-only");
    snprintf(other, sizeof other, "%s/new.db", opened_dir);
    assert_int_not_equal(0, opened_try(other, &o, &diag));
    assert_non_null(strstr(diag.message, "cannot be created"));
    assert_int_equal(0, umount(opened_dir));
}

static void
raw_bytes_of_a_damaged_store_are_not_shown(void **state OVS_UNUSED)
{
    struct diagnosis diag = { .message = "" };
    struct opened o;

    opened_sql("UPDATE host SET key = 'h' || char(27) || '[2J'"
               " WHERE key = 'h1'");
    assert_int_not_equal(0, opened_try(opened_path, &o, &diag));
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

            snprintf(name, sizeof name, "%s%s", opened_path, suffixes[i]);
            snprintf(aside, sizeof aside, "%s.aside", name);
            opened_open(&o);
            assert_int_equal(0, store_check(o.store, &diag));
            assert_int_equal(0, rename(name, aside));
            if (replace) {
                opened_write(name, "x", 1);
            }
            assert_int_not_equal(0, opened_change(&o, "add", text, &diag));
            assert_int_equal(DIAG_STORE, diag.code);
            assert_non_null(strstr(diag.message, opened_path));
            assert_non_null(strstr(diag.message,
                                   replace ? "another" : "deleted or moved"));
            assert_true(diag.hint[0] != '\0');

            /* Put back, all is well. */
            assert_int_equal(0, rename(aside, name));
            assert_int_equal(0, opened_change(&o, "add", text, &diag));
            assert_int_equal(0, opened_changef(&o, "remove", text));
            opened_close(&o);
        }
    }
}

static void
directories_on_the_way_are_made(void **state OVS_UNUSED)
{
    char deep[96];
    struct opened o;
    struct diagnosis diag;

    snprintf(deep, sizeof deep, "%s/a/b/c/x.db", opened_dir);
    assert_int_equal(0, opened_try(deep, &o, &diag));
    opened_close(&o);
    assert_int_equal(0, access(deep, F_OK));
    snprintf(deep, sizeof deep, "%s/a/b/c/x.db/y.db", opened_dir);
    assert_int_not_equal(0, opened_try(deep, &o, &diag));
    assert_non_null(strstr(diag.message, deep));
}

static void
backup_is_a_store_as_it_was(void **state OVS_UNUSED)
{
    char copy[96], *before, *after;
    struct opened o, restored;
    struct diagnosis diag;
    struct stat s;

    snprintf(copy, sizeof copy, "%s/copy.db", opened_dir);
    opened_open(&o);
    assert_int_not_equal(0, store_backup(o.store, "copy.db", &diag));
    assert_non_null(strstr(diag.message, "absolute"));
    assert_int_not_equal(0, store_backup(o.store, "/nowhere/copy.db", &diag));
    assert_non_null(strstr(diag.message, "/nowhere/copy.db"));

    before = opened_describe(&o);
    assert_int_equal(0, store_backup(o.store, copy, &diag));
    assert_int_equal(0, stat(copy, &s));
    assert_int_equal(0600, s.st_mode & 0777);
    assert_int_not_equal(0, store_backup(o.store, copy, &diag));
    assert_non_null(strstr(diag.message, "there is such a file"));

    /* The store goes on. */
    assert_int_equal(0, opened_changef(
                         &o, "add", "{'kind':'host','name':'later',"
                         "'vtep':'198.51.100.200'}"));
    assert_int_equal(0, opened_try(copy, &restored, &diag));
    after = opened_describe(&restored);
    assert_string_equal(before, after);
    opened_close(&restored);
    opened_close(&o);
    free(before);
    free(after);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define FILLED(TEST) cmocka_unit_test_setup(TEST, opened_setup_filled)
        cmocka_unit_test_setup(new_store_is_private, opened_setup),
        cmocka_unit_test_setup(store_of_version_1_is_brought_up_to_date,
                               opened_setup),
        cmocka_unit_test_setup(store_of_version_2_is_brought_up_to_date,
                               opened_setup),
        cmocka_unit_test_setup(store_of_version_3_is_brought_up_to_date,
                               opened_setup),
        cmocka_unit_test_setup(damaged_plain_records_are_refused,
                               opened_setup),
        cmocka_unit_test_setup(damaged_store_of_version_1_is_left_alone,
                               opened_setup),
        FILLED(newer_or_impossible_version_is_refused),
        FILLED(file_of_another_application_is_refused),
        FILLED(emptied_or_half_file_is_refused),
        FILLED(flipped_bytes_never_pass_for_data),
        FILLED(changed_row_is_refused),
        FILLED(previous_owners_that_cannot_be_are_refused),
        FILLED(missing_rows_are_refused),
        cmocka_unit_test_setup(log_without_its_store_is_refused, opened_setup),
        cmocka_unit_test_setup(other_engines_are_refused, opened_setup),
        FILLED(second_process_is_refused),
        FILLED(read_only_disk_is_refused),
        FILLED(raw_bytes_of_a_damaged_store_are_not_shown),
        FILLED(store_that_is_gone_refuses_changes),
        cmocka_unit_test_setup(directories_on_the_way_are_made, opened_setup),
        FILLED(backup_is_a_store_as_it_was),
    };
    int failed;

    if (!opened_prepare()) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    return opened_clean_up() ? 1 : failed;
}
