/* mapping/catalog/catalog.h: numbers, slots and changes case by case;
 * restoring; a large load.  Random transactions are in test-catalog-random.c,
 * refusals in test-catalog-refuse.c. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mapping/catalog/catalog.h"
#include "tests/unit/catalog-text.h"
#include "tests/unit/txn.h"
#include "util.h"

/* Changes. */

static void
a_record_has_one_change_or_none(void **state OVS_UNUSED)
{
    struct catalog *catalog = txn_small_catalog();
    struct catalog_txn *txn = catalog_begin(catalog);
    const struct catalog_group *const *groups;
    const struct catalog_change *changes;
    size_t n;

    /* Add and set: an addition. */
    txn_must(txn_add(txn, NULL, "{'kind':'endpoint','vni':5002,'group':'api',"
                     "'name':'a1','host':'h1','mac':'02:00:00:00:00:01'}"));
    txn_must(txn_set(txn, NULL, "{'kind':'endpoint','vni':5002,'group':'api',"
                     "'name':'a1','weight':7}"));
    /* Add and remove, set there and back: nothing. */
    txn_must(txn_add(txn, NULL,
                     "{'kind':'host','name':'h3','vtep':'192.0.2.3'}"));
    txn_must(txn_take(txn, NULL, "{'kind':'host','name':'h3'}"));
    txn_must(txn_set(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
                     "'name':'w1','state':'down'}"));
    txn_must(txn_set(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
                     "'name':'w1','state':'up'}"));
    /* Remove and add: a setting. */
    txn_must(txn_take(txn, NULL, "{'kind':'group','vni':5001,'name':'dns'}"));
    txn_must(txn_add(txn, NULL,
                     "{'kind':'group','vni':5001,'name':'dns','slots':256,"
                     "'address':'10.1.0.100','protocol':'udp',"
                     "'affinity':'source'}"));
    assert_int_equal(catalog_prepare(txn, NULL), 0);

    changes = catalog_txn_changes(txn, &n);
    assert_int_equal(n, 2);
    assert_int_equal(changes[0].before->kind, RECORD_GROUP);
    assert_int_equal(changes[0].before->group.affinity, AFFINITY_FLOW);
    assert_int_equal(changes[0].after->group.affinity, AFFINITY_SOURCE);
    assert_null(changes[1].before);
    assert_int_equal(changes[1].after->endpoint.weight, 7);

    groups = catalog_txn_groups(txn, &n);
    assert_int_equal(n, 2);
    assert_string_equal(groups[0]->record.name, "dns");
    assert_string_equal(groups[1]->record.name, "api");
    assert_int_equal(catalog_txn_revision(txn), 2);
    catalog_commit(txn);
    assert_int_equal(catalog_revision(catalog), 2);
    catalog_destroy(catalog);
}

/* Numbers. */

static void
what_is_removed_and_added_again_keeps_its_numbers(void **state OVS_UNUSED)
{
    struct catalog *catalog = txn_small_catalog();
    char *before = catalog_text_dump(catalog), *after;
    struct catalog_txn *txn = catalog_begin(catalog);
    size_t n;

    txn_must(txn_take_with(txn, NULL,
                           "{'kind':'group','vni':5001,'name':'web'}",
                           false, true));
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':5001,'name':'web',"
                     "'address':'10.1.0.100','port':80,'slots':256}"));
    txn_must(txn_add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
                     "'name':'w2','host':'h2','mac':'02:00:00:00:00:02'}"));
    txn_must(txn_add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
                     "'name':'w1','host':'h1','mac':'02:00:00:00:00:01'}"));
    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_txn_changes(txn, &n);
    assert_int_equal(n, 0);
    catalog_txn_groups(txn, &n);
    assert_int_equal(n, 0);
    catalog_commit(txn);
    after = catalog_text_dump(catalog);
    assert_string_equal(before, after);
    free(before);
    free(after);
    catalog_destroy(catalog);
}

static void
a_group_made_anew_has_a_new_id_and_old_indexes(void **state OVS_UNUSED)
{
    struct catalog *catalog = txn_small_catalog();
    const struct catalog_group *group = catalog_find_group(catalog, 5001,
                                                           "web");
    uint32_t old_id = group->id;
    struct catalog_txn *txn;

    assert_int_equal(group->endpoints[1]->index, 1);
    txn = catalog_begin(catalog);
    txn_must(txn_take_with(txn, NULL,
                           "{'kind':'group','vni':5001,'name':'web'}",
                           false, true));
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':5001,'name':'web',"
                     "'address':'10.1.0.100','port':80,'slots':512}"));
    txn_must(txn_add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
                     "'name':'w2','host':'h2','mac':'02:00:00:00:00:02'}"));
    txn_must(txn_add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
                     "'name':'w0','host':'h2','mac':'02:00:00:00:00:03'}"));
    assert_int_equal(catalog_prepare(txn, NULL), 0);
    group = catalog_find_group(catalog, 5001, "web");
    assert_null(catalog_txn_before(txn, group));
    assert_true(group->id > old_id + 1); /* dns or api came after. */
    assert_int_equal(group->endpoints[0]->index, 2);
    assert_int_equal(group->endpoints[1]->index, 1);
    assert_int_equal(group->epoch, 1);
    catalog_commit(txn);
    catalog_destroy(catalog);
}

static void
ids_go_round(void **state OVS_UNUSED)
{
    struct catalog *catalog = txn_small_catalog();
    struct catalog_txn *txn;

    assert_int_equal(catalog_last_group_id(catalog), 3);
    catalog_restore_counters(catalog, 10, GROUP_MAX_ID - 1);
    txn = catalog_begin(catalog);
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':1,'name':'a',"
                     "'address':'10.0.0.1','slots':256}"));
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':1,'name':'b',"
                     "'address':'10.0.0.2','slots':256}"));
    txn_commit(txn);
    assert_int_equal(catalog_find_group(catalog, 1, "a")->id, GROUP_MAX_ID);
    /* 1, 2 and 3 are in use. */
    assert_int_equal(catalog_find_group(catalog, 1, "b")->id, 4);
    assert_int_equal(catalog_last_group_id(catalog), 4);

    /* Not at once, even though 4 is free again. */
    txn = catalog_begin(catalog);
    txn_must(txn_take(txn, NULL, "{'kind':'group','vni':1,'name':'b'}"));
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':1,'name':'c',"
                     "'address':'10.0.0.2','slots':256}"));
    txn_commit(txn);
    assert_int_equal(catalog_find_group(catalog, 1, "c")->id, 5);

    /* What comes back takes its id before any other can. */
    catalog_restore_counters(catalog, 10, 4);
    txn = catalog_begin(catalog);
    txn_must(txn_take(txn, NULL, "{'kind':'group','vni':1,'name':'c'}"));
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':1,'name':'b',"
                     "'address':'10.0.0.9','slots':256}"));
    txn_must(txn_add(txn, NULL,
                     "{'kind':'group','vni':1,'name':'c','slots':256,"
                     "'address':'10.0.0.2','affinity':'source'}"));
    txn_commit(txn);
    assert_int_equal(catalog_find_group(catalog, 1, "c")->id, 5);
    assert_int_equal(catalog_find_group(catalog, 1, "b")->id, 6);
    catalog_destroy(catalog);
}

static struct record
numbered_endpoint(int i)
{
    return catalog_text_record(
        "{'kind':'endpoint','vni':5002,'group':'api','name':'e%d',"
        "'host':'h1','mac':'02:00:00:00:%02x:%02x'}", i, i >> 8, i & 0xff);
}

static void
a_group_holds_4096_endpoints_and_reuses_indexes_late(void **state OVS_UNUSED)
{
    struct catalog *catalog = txn_small_catalog();
    const struct catalog_group *group;
    struct diagnosis diag;
    struct catalog_txn *txn;
    struct record r;

    /* The index of a removed endpoint comes last. */
    for (int i = 0; i < 2; i++) {
        txn = catalog_begin(catalog);
        r = numbered_endpoint(0);
        if (i) {
            txn_must(catalog_remove(txn, &r, false, false, NULL));
            r = numbered_endpoint(1);
        }
        txn_must(catalog_add(txn, &r, false, NULL));
        txn_commit(txn);
        group = catalog_find_group(catalog, 5002, "api");
        assert_int_equal(group->endpoints[0]->index, i);
    }

    txn = catalog_begin(catalog);
    for (int i = 2; i < 4097; i++) {
        r = numbered_endpoint(i);
        txn_must(catalog_add(txn, &r, false, NULL));
    }
    r = numbered_endpoint(4097);
    assert_int_equal(catalog_add(txn, &r, false, &diag), ENOSPC);
    assert_int_equal(diag.code, DIAG_BUSY);
    assert_string_equal(diag.message, "group 5002/api has 4096 endpoints, "
                        "the most that there can be");
    txn_commit(txn);
    group = catalog_find_group(catalog, 5002, "api");
    assert_int_equal(group->n_endpoints, 4096);

    /* The only free one. */
    txn = catalog_begin(catalog);
    r = numbered_endpoint(1000);
    txn_must(catalog_remove(txn, &r, false, false, NULL));
    r = numbered_endpoint(4097);
    txn_must(catalog_add(txn, &r, false, NULL));
    txn_must(txn_set(txn, NULL, "{'kind':'endpoint','vni':5002,'group':'api',"
                     "'name':'e4097','weight':3}"));
    txn_commit(txn);
    catalog_destroy(catalog);
}

/* Restoring. */

static void
a_damaged_group_is_not_restored(void **state OVS_UNUSED)
{
    static const char *const messages[] = {
        "group 5001/web: id 0 is out of range",
        "group 5001/web: id 1048576 is out of range",
        "group 5001/web: id 9 is used twice",
        "group 5001/web: next_index 4096 is out of range",
        "group 5001/web: index 4096 is out of range",
        "group 5001/web: index 5 is used twice",
        "group 5001/web: slot owner 7 is no endpoint that is up",
        "group 5001/web: slot owner 6 is no endpoint that is up",
        "group 5001/web: slot owner 65534 is no endpoint that is up",
        "host h9 is not known",
        "endpoint 5001/web/w1 exists already",
        ("endpoint 5001/web/w2: mac 02:00:00:00:00:01 is taken by "
         "endpoint 5001/web/w1"),
    };
    struct catalog *catalog = txn_small_catalog();
    struct catalog_txn *txn = catalog_begin(catalog);
    char *before, *after;

    /* One to be restored over again is in the way, so it goes. */
    txn_must(txn_take_with(txn, NULL,
                           "{'kind':'group','vni':5001,'name':'web'}",
                           false, true));
    txn_commit(txn);
    txn = catalog_begin(catalog);
    catalog_restore_counters(catalog, 3, 8);
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':9,'name':'nine',"
                     "'address':'10.1.0.9','slots':256}"));
    txn_commit(txn);
    before = catalog_text_dump(catalog);

    for (size_t i = 0; i <= ARRAY_SIZE(messages); i++) {
        struct catalog_endpoint a = { .index = 5 }, b = { .index = 6 };
        struct catalog_endpoint *endpoints[] = { &a, &b };
        uint16_t slots[256];
        struct catalog_group group = {
            .record = catalog_text_record(
                "{'kind':'group','vni':5001,'name':'web','slots':256,"
                "'address':'10.1.0.100','port':80}").group,
            .id = i == 0 ? 0 : i == 1 ? GROUP_MAX_ID + 1 : i == 2 ? 9 : 77,
            .next_index = i == 3 ? 4096 : 7,
            .epoch = 3,
            .slots = slots,
            .endpoints = endpoints,
            .n_endpoints = 2,
        };
        struct diagnosis diag;
        int error;

        a.record = catalog_text_record(
            "{'kind':'endpoint','vni':5001,'group':'web','name':'w1',"
            "'host':'h1','mac':'02:00:00:00:00:01'}").endpoint;
        b.record = catalog_text_record(
            "{'kind':'endpoint','vni':5001,'group':'web','name':'%s',"
            "'host':'%s','mac':'02:00:00:00:00:%s','state':'draining'}",
            i == 10 ? "w1" : "w2", i == 9 ? "h9" : "h2",
            i == 11 ? "01" : "02").endpoint;
        b.index = i == 4 ? 4096 : i == 5 ? 5 : 6;
        for (size_t j = 0; j < ARRAY_SIZE(slots); j++) {
            slots[j] = j % 2 ? 5 : 0xffff;
        }
        slots[255] = i == 6 ? 7 : i == 7 ? 6 : i == 8 ? 65534 : 5;

        error = catalog_restore_group(catalog, &group, &diag);
        if (i < ARRAY_SIZE(messages)) {
            assert_true(error > 0);
            assert_string_equal(diag.message, messages[i]);
            after = catalog_text_dump(catalog);
            assert_string_equal(before, after);
            free(after);
        } else {
            assert_int_equal(error, 0);
        }
    }
    free(before);
    catalog_destroy(catalog);
}

/* Size. */

enum { LOAD_HOSTS = 1000, LOAD_GROUPS = 10000, LOAD_ENDPOINTS = 10 };

static void
load_group(struct catalog_txn *txn, struct record *group,
           struct record *endpoint, int i)
{
    group->group.vni = endpoint->endpoint.vni = 1 + i % 100;
    snprintf(group->group.name, sizeof group->group.name, "g%d", i);
    strcpy(endpoint->endpoint.group, group->group.name);
    group->group.address[14] = i >> 8;
    group->group.address[15] = i;
    txn_must(catalog_add(txn, group, false, NULL));
    for (int j = 0; j < LOAD_ENDPOINTS; j++) {
        snprintf(endpoint->endpoint.name, sizeof endpoint->endpoint.name,
                 "e%d", j);
        snprintf(endpoint->endpoint.host, sizeof endpoint->endpoint.host,
                 "h%d", (i + j * 7) % LOAD_HOSTS);
        endpoint->endpoint.mac.octet[5] = j;
        txn_must(catalog_add(txn, endpoint, false, NULL));
    }
}

static void
load(struct catalog_txn *txn)
{
    struct record host = catalog_text_record(
        "{'kind':'host','name':'h','vtep':'10.0.0.0'}");
    struct record group = catalog_text_record(
        "{'kind':'group','vni':1,'name':'g','address':'10.1.0.0',"
        "'slots':1024}");
    struct record endpoint = catalog_text_record(
        "{'kind':'endpoint','vni':1,'group':'g','name':'e','host':'h',"
        "'mac':'02:00:00:00:00:01'}");

    for (int i = 0; i < LOAD_HOSTS; i++) {
        snprintf(host.host.name, sizeof host.host.name, "h%d", i);
        host.host.vtep.lo++;
        txn_must(catalog_add(txn, &host, false, NULL));
    }
    for (int i = 0; i < LOAD_GROUPS; i++) {
        load_group(txn, &group, &endpoint, i);
    }
}

/* Work that grew with the square would take hours. */
static void
a_load_of_111000_records_takes_seconds(void **state OVS_UNUSED)
{
    struct catalog *catalog = catalog_create();
    clock_t start = clock();
    struct catalog_txn *txn;
    struct record key;
    size_t n;

    for (int round = 0; round < 2; round++) {
        txn = catalog_begin(catalog);
        load(txn);
        assert_int_equal(catalog_prepare(txn, NULL), 0);
        catalog_txn_changes(txn, &n);
        assert_int_equal(n, LOAD_HOSTS + LOAD_GROUPS * (1 + LOAD_ENDPOINTS));
        if (round) {
            catalog_commit(txn);
        } else {
            catalog_abort(txn);
            assert_int_equal(catalog_count(catalog, RECORD_ENDPOINT), 0);
        }
    }
    assert_int_equal(catalog_count(catalog, RECORD_ENDPOINT),
                     LOAD_GROUPS * LOAD_ENDPOINTS);

    txn = catalog_begin(catalog);
    for (int i = 0; i < LOAD_GROUPS; i++) {
        key = catalog_text_record("{'kind':'group','vni':%d,'name':'g%d',"
                                  "'address':'10.0.0.1'}", 1 + i % 100, i);
        txn_must(catalog_remove(txn, &key, false, true, NULL));
    }
    txn_commit(txn);
    assert_int_equal(catalog_count(catalog, RECORD_ENDPOINT), 0);
    assert_true((clock() - start) / CLOCKS_PER_SEC < 60);
    catalog_destroy(catalog);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_record_has_one_change_or_none),
        cmocka_unit_test(what_is_removed_and_added_again_keeps_its_numbers),
        cmocka_unit_test(a_group_made_anew_has_a_new_id_and_old_indexes),
        cmocka_unit_test(ids_go_round),
        cmocka_unit_test(a_group_holds_4096_endpoints_and_reuses_indexes_late),
        cmocka_unit_test(a_damaged_group_is_not_restored),
        cmocka_unit_test(a_load_of_111000_records_takes_seconds),
    };

    return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
