/* What every store must do, whatever the engine: what is committed comes back,
 * and nothing else.
 *
 *     test-store-engines                  in SQLite
 *     test-store-engines etcd:URL,...     in etcd, below prefixes of its own
 */

#include <config.h>

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "openvswitch/json.h"
#include "tests/unit/opened.h"
#include "util.h"

enum {
    ROUNDS  = 20,
    N_LARGE = 6000,             /* Endpoints: more than a transaction of
                                 * etcd takes. */
};

static void
new_store_is_empty_and_keeps_its_key(void **state OVS_UNUSED)
{
    struct opened o;

    opened_open(&o);
    assert_int_equal(0, catalog_revision(o.catalog));
    assert_true(o.key.word[0] && o.key.word[1]);
    assert_true(strlen(store_name(o.store)) > 0);
    opened_check_stored(&o);
    opened_close(&o);
}

/* Makes one random change. */
static void
random_change(struct opened *o)
{
    int vni = 1 + rand() % 4, e = 1 + rand() % 6;

    switch (rand() % 6) {
    case 0:
    case 1:
        opened_changef(o, "add",
            "{'kind':'endpoint','vni':%d,'group':'g','name':'e%d',"
            "'host':'h%d','weight':%d,'mac':'02:00:00:00:00:0%d'}",
            vni, e, 1 + rand() % 3, 1 + rand() % 9, e);
        break;
    case 2:
        opened_changef(o, "remove",
            "{'kind':'endpoint','vni':%d,'group':'g','name':'e%d'}", vni, e);
        break;
    case 3:
        opened_changef(o, "set",
            "{'kind':'endpoint','vni':%d,'group':'g','name':'e%d',"
            "'state':'%s'}", vni, e, rand() % 2 ? "up" : "draining");
        break;
    case 4:
        if (!(rand() % 4)) {
            opened_changef(o, "remove",
                "{'kind':'group','vni':%d,'name':'g'}", vni);
        }
        opened_changef(o, "add",
            "{'kind':'group','vni':%d,'name':'g','address':'10.0.0.%d',"
            "'slots':%d}", vni, vni, 256 << rand() % 3);
        break;
    case 5:
        opened_changef(o, "set",
            "{'kind':'host','name':'h%d','encap':'%s','zone':'%s',"
            "'vnis':'%s'}",
            1 + rand() % 3, rand() % 2 ? "vxlan" : "geneve",
            rand() % 2 ? "z" : "", rand() % 2 ? "7,9-12" : "");
        break;
    }
}

static void
reopened_store_equals_the_catalog_that_was_committed(void **state OVS_UNUSED)
{
    uint64_t revision = 0;
    struct opened o;

    srand(1);
    opened_open(&o);
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < 12; i++) {
            random_change(&o);
        }
        opened_check_stored(&o);
        assert_true(catalog_revision(o.catalog) >= revision);
        revision = catalog_revision(o.catalog);
    }
    assert_true(revision > ROUNDS * 3);
    opened_close(&o);
}

/* Each is there after a restart, changed or removed. */
static void
plain_records_are_kept(void **state OVS_UNUSED)
{
    struct opened o;

    opened_open(&o);
    opened_add_plain(&o);
    opened_check_stored(&o);
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        assert_int_equal(1, catalog_count(o.catalog, kind));
    }
    assert_int_equal(0, opened_changef(&o, "set",
        "{'kind':'workload','vni':5001,'name':'vm1','host':'g2'}"));
    assert_int_equal(0, opened_changef(&o, "remove",
        "{'kind':'lease','vni':0,'pool':'p','address':'203.0.113.9'}"));
    assert_int_equal(0, opened_changef(&o, "remove",
        "{'kind':'pool','vni':0,'name':'p'}"));
    opened_check_stored(&o);
    assert_int_equal(0, catalog_count(o.catalog, RECORD_POOL));
    opened_close(&o);
}

/* One that the catalog refuses, and one that is prepared and given up. */
static void
what_is_not_committed_leaves_no_trace(void **state OVS_UNUSED)
{
    struct opened o;
    char *before, *after;
    struct catalog_txn *txn;

    opened_open(&o);
    before = opened_describe(&o);
    assert_int_not_equal(0, opened_changef(&o, "add",
        "{'kind':'host','name':'h1','vtep':'192.0.2.99'}"));
    txn = catalog_begin(o.catalog);
    assert_int_equal(0, catalog_remove(txn, &(struct record) {
                            .kind = RECORD_GROUP,
                            .group = { .vni = 1, .name = "g" } },
                            false, true, NULL));
    assert_int_equal(0, catalog_prepare(txn, NULL));
    catalog_abort(txn);
    opened_check_stored(&o);
    after = opened_describe(&o);
    assert_string_equal(before, after);
    opened_close(&o);
    free(before);
    free(after);
}

static int
add_large(struct opened *o, struct catalog_txn *txn)
{
    int error = 0;

    for (int i = 0; !error && i < N_LARGE; i++) {
        struct record record = { .kind = RECORD_WORKLOAD };
        struct record_workload *w = &record.workload;

        w->vni = 7;
        snprintf(w->name, sizeof w->name, "w%d", i);
        strcpy(w->host, "h1");
        w->mac = (struct mac) { { 2, 0, 0, 0, i >> 8, i } };
        w->address = inet_addr_from4(0x0a000000 + i);
        error = catalog_add(txn, &record, false, NULL);
    }
    assert_int_equal(0, error);
    assert_int_equal(0, catalog_prepare(txn, NULL));
    return store_commit(o->store, txn, o->catalog, NULL);
}

static void
large_transactions_are_kept_whole(void **state OVS_UNUSED)
{
    struct catalog_txn *txn;
    struct opened o;

    opened_open(&o);
    txn = catalog_begin(o.catalog);
    assert_int_equal(0, add_large(&o, txn));
    catalog_commit(txn);
    /* Another one follows at once. */
    assert_int_equal(0, opened_changef(&o, "remove",
        "{'kind':'workload','vni':7,'name':'w17'}"));
    assert_int_equal(N_LARGE - 1, catalog_count(o.catalog, RECORD_WORKLOAD));
    opened_check_stored(&o);
    assert_int_equal(N_LARGE - 1, catalog_count(o.catalog, RECORD_WORKLOAD));
    opened_close(&o);
}

/* An id is not given again to another group. */
static void
numbers_are_not_used_again(void **state OVS_UNUSED)
{
    struct opened o;
    uint32_t last;

    opened_open(&o);
    last = catalog_last_group_id(o.catalog);
    assert_int_equal(0, opened_changef(&o, "remove",
        "{'kind':'group','vni':4,'name':'g'}"));
    opened_check_stored(&o);
    assert_int_equal(last, catalog_last_group_id(o.catalog));
    assert_int_equal(0, opened_changef(&o, "add",
        "{'kind':'group','vni':4,'name':'g','address':'10.0.0.4'}"));
    assert_int_equal(last + 1, catalog_find_group(o.catalog, 4, "g")->id);
    opened_check_stored(&o);
    opened_close(&o);
}

int
main(int argc, char *argv[])
{
#define EMPTY(TEST) cmocka_unit_test_setup(TEST, opened_setup)
#define FILLED(TEST) cmocka_unit_test_setup(TEST, opened_setup_filled)
    const struct CMUnitTest tests[] = {
        EMPTY(new_store_is_empty_and_keeps_its_key),
        FILLED(reopened_store_equals_the_catalog_that_was_committed),
        EMPTY(plain_records_are_kept),
        FILLED(what_is_not_committed_leaves_no_trace),
        FILLED(large_transactions_are_kept_whole),
        FILLED(numbers_are_not_used_again),
    };
    int failed;

    opened_target = argc > 1 ? argv[1] : NULL;
    if (!opened_prepare()) {
        return 1;
    }
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    return opened_clean_up() ? 1 : failed;
}
