/* mapping/catalog/catalog.h: what it refuses and in which words; numbers,
 * slots and changes case by case; restoring; a large load.  Random
 * transactions are in test-catalog-random.c. */

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
#include "util.h"

/* Operations on a transaction; 'text' has ' for ". */

static int
add(struct catalog_txn *txn, struct diagnosis *diag, const char *text)
{
    struct record record = catalog_text_record("%s", text);

    return catalog_add(txn, &record, false, diag);
}

static int
set(struct catalog_txn *txn, struct diagnosis *diag, const char *text)
{
    struct json *json = catalog_text_json("%s", text);
    int error = catalog_set(txn, json, diag);

    json_destroy(json);
    return error;
}

static int
take_with(struct catalog_txn *txn, struct diagnosis *diag, const char *text,
          bool if_exists, bool cascade)
{
    struct json *json = catalog_text_json("%s", text);
    struct record key;
    int error;

    assert_int_equal(record_key_from_json(json, &key, NULL), 0);
    json_destroy(json);
    error = catalog_remove(txn, &key, if_exists, cascade, diag);
    return error;
}

static int
take(struct catalog_txn *txn, struct diagnosis *diag, const char *text)
{
    return take_with(txn, diag, text, false, false);
}

static void
must(int error)
{
    assert_int_equal(error, 0);
}

static void
commit(struct catalog_txn *txn)
{
    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_commit(txn);
}

/* Hosts h1 and h2, groups 5001/web (w1 on h1, w2 on h2), 5001/dns and
 * 5002/api. */
static struct catalog *
small_catalog(void)
{
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);

    must(add(txn, NULL, "{'kind':'host','name':'h1','vtep':'192.0.2.1'}"));
    must(add(txn, NULL, "{'kind':'host','name':'h2','vtep':'192.0.2.2'}"));
    must(add(txn, NULL, "{'kind':'group','vni':5001,'name':'web',"
             "'address':'10.1.0.100','port':80,'slots':256}"));
    must(add(txn, NULL, "{'kind':'group','vni':5001,'name':'dns',"
             "'address':'10.1.0.100','protocol':'udp','slots':256}"));
    must(add(txn, NULL, "{'kind':'group','vni':5002,'name':'api',"
             "'address':'10.1.0.100','port':80,'slots':256}"));
    must(add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
             "'name':'w1','host':'h1','mac':'02:00:00:00:00:01'}"));
    must(add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
             "'name':'w2','host':'h2','mac':'02:00:00:00:00:02'}"));
    commit(txn);
    return catalog;
}

/* Refusals. */

struct refusal {
    int (*op)(struct catalog_txn *, struct diagnosis *, const char *text);
    const char *text;
    enum diagnosis_code code;
    const char *field, *value, *message, *hint;
};

static const struct refusal refusals[] = {
    /* Already there. */
    { add, "{'kind':'host','name':'h1','vtep':'192.0.2.9'}", DIAG_EXISTS,
      "name", "h1", "host h1 exists already",
      "'grapnelctl host set' changes it" },
    { add, "{'kind':'group','vni':5001,'name':'web','address':'10.1.0.1'}",
      DIAG_EXISTS, "name", "web", "group 5001/web exists already",
      "'grapnelctl group set' changes it" },
    { add, "{'kind':'endpoint','vni':5001,'group':'web','name':'w1',"
      "'host':'h2','mac':'02:00:00:00:00:09'}", DIAG_EXISTS, "name", "w1",
      "endpoint 5001/web/w1 exists already",
      "'grapnelctl endpoint set' changes it" },

    /* Must be unique. */
    { add, "{'kind':'host','name':'h3','vtep':'192.0.2.2'}", DIAG_EXISTS,
      "vtep", "192.0.2.2", "host h3: vtep 192.0.2.2 is taken by host h2",
      "give it another vtep, or change or remove host h2" },
    { set, "{'kind':'host','name':'h1','vtep':'192.0.2.2'}", DIAG_EXISTS,
      "vtep", "192.0.2.2", "host h1: vtep 192.0.2.2 is taken by host h2",
      "give it another vtep, or change or remove host h2" },
    { add, "{'kind':'group','vni':5001,'name':'www','address':'10.1.0.100',"
      "'port':80}", DIAG_EXISTS, "address", "10.1.0.100",
      "group 5001/www: address 10.1.0.100 tcp port 80 is taken by group "
      "5001/web", "give it another address, protocol or port, or remove group "
      "5001/web" },
    { add, "{'kind':'group','vni':5001,'name':'x','address':'10.1.0.100',"
      "'protocol':'udp'}", DIAG_EXISTS, "address", "10.1.0.100",
      "group 5001/x: address 10.1.0.100 udp all ports is taken by group "
      "5001/dns", "give it another address, protocol or port, or remove group "
      "5001/dns" },
    { add, "{'kind':'endpoint','vni':5001,'group':'web','name':'w3',"
      "'host':'h1','mac':'02:00:00:00:00:01'}", DIAG_EXISTS, "mac",
      "02:00:00:00:00:01",
      "endpoint 5001/web/w3: mac 02:00:00:00:00:01 is taken by endpoint "
      "5001/web/w1", "give it another mac, or change or remove endpoint w1" },
    { set, "{'kind':'endpoint','vni':5001,'group':'web','name':'w2',"
      "'mac':'02:00:00:00:00:01'}", DIAG_EXISTS, "mac", "02:00:00:00:00:01",
      "endpoint 5001/web/w2: mac 02:00:00:00:00:01 is taken by endpoint "
      "5001/web/w1", "give it another mac, or change or remove endpoint w1" },

    /* Not there. */
    { add, "{'kind':'endpoint','vni':5009,'group':'web','name':'w3',"
      "'host':'h1','mac':'02:00:00:00:00:03'}", DIAG_NOT_FOUND, "vni", "5009",
      "unknown VNI 5009: no group is defined in it",
      "VNIs with groups: 5001, 5002" },
    { add, "{'kind':'endpoint','vni':5001,'group':'wbe','name':'w3',"
      "'host':'h1','mac':'02:00:00:00:00:03'}", DIAG_NOT_FOUND, "group",
      "wbe", "group 5001/wbe is not known",
      "groups of VNI 5001: dns, web" },
    { add, "{'kind':'endpoint','vni':5001,'group':'web','name':'w3',"
      "'host':'h9','mac':'02:00:00:00:00:03'}", DIAG_NOT_FOUND, "host", "h9",
      "host h9 is not known",
      "'grapnelctl host add' makes one; known hosts: h1, h2" },
    { set, "{'kind':'endpoint','vni':5001,'group':'web','name':'w1',"
      "'host':'h9'}", DIAG_NOT_FOUND, "host", "h9", "host h9 is not known",
      "'grapnelctl host add' makes one; known hosts: h1, h2" },
    { set, "{'kind':'host','name':'h9','vtep':'192.0.2.9'}", DIAG_NOT_FOUND,
      "name", "h9", "host h9 is not known",
      "'grapnelctl host add' makes one; known hosts: h1, h2" },
    { set, "{'kind':'group','vni':5009,'name':'web'}", DIAG_NOT_FOUND, "vni",
      "5009", "unknown VNI 5009: no group is defined in it",
      "VNIs with groups: 5001, 5002" },
    { take, "{'kind':'group','vni':5001,'name':'wbe'}", DIAG_NOT_FOUND,
      "name", "wbe", "group 5001/wbe is not known",
      "groups of VNI 5001: dns, web" },
    { take, "{'kind':'endpoint','vni':5001,'group':'web','name':'w9'}",
      DIAG_NOT_FOUND, "name", "w9", "endpoint 5001/web/w9 is not known",
      "its group has: w1, w2" },
    { take, "{'kind':'endpoint','vni':5002,'group':'api','name':'w9'}",
      DIAG_NOT_FOUND, "name", "w9", "endpoint 5002/api/w9 is not known",
      "its group has no endpoints" },
    { take, "{'kind':'endpoint','vni':5002,'group':'web','name':'w9'}",
      DIAG_NOT_FOUND, "group", "web", "group 5002/web is not known",
      "groups of VNI 5002: api" },

    /* Still needed. */
    { take, "{'kind':'host','name':'h2'}", DIAG_IN_USE, "name", "h2",
      "host h2 is in use by 1 endpoint",
      "remove or move first: 5001/web/w2" },
    { take, "{'kind':'group','vni':5001,'name':'web'}", DIAG_IN_USE, "name",
      "web", "group 5001/web has 2 endpoints",
      "--cascade removes them too: w1, w2" },

    /* Values, by way of record.h. */
    { set, "{'kind':'endpoint','vni':5001,'group':'web','name':'w1',"
      "'weight':0}", DIAG_INVALID, "weight", "0",
      "weight: 0 is out of range 1..1000",
      "to stop new flows, set state draining" },
    { set, "{'kind':'group','vni':5001,'name':'web','port':81}",
      DIAG_INVALID, "port", "81",
      "port: 81 cannot replace 80, which is fixed when the group is made",
      "add another group with a new name, or remove 5001/web and add it "
      "again" },
};

static void
what_does_not_fit_is_refused_in_clear_words(void **state OVS_UNUSED)
{
    struct catalog *catalog = small_catalog();
    char *before = catalog_text_dump(catalog), *after;

    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        const struct refusal *r = &refusals[i];
        struct catalog_txn *txn = catalog_begin(catalog);
        struct diagnosis diag = { .code = DIAG_NONE };

        if (!r->op(txn, &diag, r->text)) {
            /* What must be unique is checked in the end. */
            assert_int_equal(r->code, DIAG_EXISTS);
            assert_true(catalog_prepare(txn, &diag) > 0);
        }
        assert_string_equal(diag.message, r->message);
        assert_int_equal(diag.code, r->code);
        assert_string_equal(diag.field, r->field);
        assert_string_equal(diag.value, r->value);
        assert_string_equal(diag.hint, r->hint);
        catalog_abort(txn);
        after = catalog_text_dump(catalog);
        assert_string_equal(before, after);
        free(after);
    }
    free(before);
    catalog_destroy(catalog);
}

/* Runs the texts as set operations; returns what catalog_prepare() does. */
static int
prepare_all(struct catalog *catalog, const char *const *texts, size_t n,
            struct diagnosis *diag)
{
    struct catalog_txn *txn = catalog_begin(catalog);
    int error;

    for (size_t i = 0; i < n; i++) {
        catalog_set_op(txn, i);
        must(set(txn, diag, texts[i]));
    }
    error = catalog_prepare(txn, diag);
    if (error) {
        catalog_abort(txn);
    } else {
        catalog_commit(txn);
    }
    return error;
}

static uint32_t
vtep_of(const struct catalog *catalog, const char *host)
{
    return inet_addr_to4(catalog_find_host(catalog, host)->vtep);
}

static void
what_is_unique_in_the_end_may_be_swapped(void **state OVS_UNUSED)
{
    static const char *const swap[] = {
        "{'kind':'host','name':'h1','vtep':'192.0.2.2'}",
        "{'kind':'endpoint','vni':5001,'group':'web','name':'w1',"
        "'mac':'02:00:00:00:00:02'}",
        "{'kind':'host','name':'h2','vtep':'192.0.2.1'}",
        "{'kind':'endpoint','vni':5001,'group':'web','name':'w2',"
        "'mac':'02:00:00:00:00:01'}",
    };
    static const char *const half[] = {
        "{'kind':'host','name':'h1','vtep':'192.0.2.7'}",
        "{'kind':'host','name':'h2','vtep':'192.0.2.7'}",
        ("{'kind':'endpoint','vni':5001,'group':'web','name':'w1',"
         "'mac':'02:00:00:00:00:01'}"),
    };
    struct catalog *catalog = small_catalog();
    struct diagnosis diag = { .op = -1 };
    struct catalog_txn *txn;

    must(prepare_all(catalog, swap, ARRAY_SIZE(swap), &diag));
    assert_int_equal(vtep_of(catalog, "h1"), 0xc0000202);
    assert_int_equal(vtep_of(catalog, "h2"), 0xc0000201);

    /* The one put last is at fault, and of several clashes the first. */
    assert_int_equal(prepare_all(catalog, half, ARRAY_SIZE(half), &diag),
                     EEXIST);
    assert_int_equal(diag.op, 1);
    assert_string_equal(diag.message,
                        "host h2: vtep 192.0.2.7 is taken by host h1");
    assert_int_equal(vtep_of(catalog, "h1"), 0xc0000202);

    /* An address moves to a group that is added before its owner goes. */
    txn = catalog_begin(catalog);
    must(add(txn, &diag, "{'kind':'group','vni':5002,'name':'new',"
             "'address':'10.1.0.100','port':80}"));
    must(take(txn, &diag, "{'kind':'group','vni':5002,'name':'api'}"));
    commit(txn);
    catalog_destroy(catalog);
}

static void
an_empty_catalog_says_where_to_begin(void **state OVS_UNUSED)
{
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);
    struct diagnosis diag;

    assert_int_equal(take(txn, &diag, "{'kind':'group','vni':1,'name':'a'}"),
                     ENOENT);
    assert_string_equal(diag.hint, "no group is known yet; "
                        "'grapnelctl group add' makes one");
    assert_int_equal(take(txn, &diag, "{'kind':'host','name':'a'}"), ENOENT);
    assert_string_equal(diag.hint, "no host is known yet; "
                        "'grapnelctl host add' makes one");
    catalog_abort(txn);
    catalog_destroy(catalog);
}

static void
hints_name_the_first_few(void **state OVS_UNUSED)
{
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);
    struct diagnosis diag;

    for (int i = 0; i < 9; i++) {
        static const int order[] = { 90, 8, 100, 7, 12, 1000, 9, 11, 10 };
        struct record r = catalog_text_record(
            "{'kind':'group','vni':%d,'name':'g','address':'10.0.0.1'}",
            order[i]);

        must(catalog_add(txn, &r, false, NULL));
    }
    take(txn, &diag, "{'kind':'group','vni':1,'name':'a'}");
    assert_string_equal(diag.hint, "VNIs with groups: 7, 8, 9, 10, ...");
    catalog_abort(txn);
    catalog_destroy(catalog);
}

static void
what_may_differ_or_be_absent_passes(void **state OVS_UNUSED)
{
    struct catalog *catalog = small_catalog();
    struct catalog_txn *txn = catalog_begin(catalog);
    struct record r = catalog_text_record(
        "{'kind':'host','name':'h1','vtep':'192.0.2.1'}");
    struct diagnosis diag;
    size_t n;

    must(catalog_add(txn, &r, true, &diag));
    must(take_with(txn, &diag, "{'kind':'host','name':'h9'}", true, false));
    must(take_with(txn, &diag, "{'kind':'endpoint','vni':1,'group':'x',"
                   "'name':'y'}", true, false));
    r = catalog_text_record("{'kind':'host','name':'h1','vtep':'192.0.2.3'}");
    assert_int_equal(catalog_add(txn, &r, true, &diag), EEXIST);
    assert_string_equal(diag.message,
                        "host h1 exists already and is different");
    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_txn_changes(txn, &n);
    assert_int_equal(n, 0);
    assert_int_equal(catalog_txn_revision(txn), 1);
    catalog_commit(txn);
    assert_int_equal(catalog_revision(catalog), 1);

    /* All ports beside one port; the same MAC in another group. */
    txn = catalog_begin(catalog);
    must(add(txn, &diag, "{'kind':'group','vni':5001,'name':'rest',"
             "'address':'10.1.0.100','port':0}"));
    must(add(txn, &diag, "{'kind':'endpoint','vni':5001,'group':'rest',"
             "'name':'w1','host':'h1','mac':'02:00:00:00:00:01'}"));
    must(add(txn, &diag, "{'kind':'endpoint','vni':5002,'group':'api',"
             "'name':'w1','host':'h1','mac':'02:00:00:00:00:01'}"));
    commit(txn);
    catalog_destroy(catalog);
}

/* Changes. */

static void
a_record_has_one_change_or_none(void **state OVS_UNUSED)
{
    struct catalog *catalog = small_catalog();
    struct catalog_txn *txn = catalog_begin(catalog);
    const struct catalog_group *const *groups;
    const struct catalog_change *changes;
    size_t n;

    /* Add and set: an addition. */
    must(add(txn, NULL, "{'kind':'endpoint','vni':5002,'group':'api',"
             "'name':'a1','host':'h1','mac':'02:00:00:00:00:01'}"));
    must(set(txn, NULL, "{'kind':'endpoint','vni':5002,'group':'api',"
             "'name':'a1','weight':7}"));
    /* Add and remove, set there and back: nothing. */
    must(add(txn, NULL, "{'kind':'host','name':'h3','vtep':'192.0.2.3'}"));
    must(take(txn, NULL, "{'kind':'host','name':'h3'}"));
    must(set(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
             "'name':'w1','state':'down'}"));
    must(set(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
             "'name':'w1','state':'up'}"));
    /* Remove and add: a setting. */
    must(take(txn, NULL, "{'kind':'group','vni':5001,'name':'dns'}"));
    must(add(txn, NULL, "{'kind':'group','vni':5001,'name':'dns','slots':256,"
             "'address':'10.1.0.100','protocol':'udp','affinity':'source'}"));
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
    struct catalog *catalog = small_catalog();
    char *before = catalog_text_dump(catalog), *after;
    struct catalog_txn *txn = catalog_begin(catalog);
    size_t n;

    must(take_with(txn, NULL, "{'kind':'group','vni':5001,'name':'web'}",
                   false, true));
    must(add(txn, NULL, "{'kind':'group','vni':5001,'name':'web',"
             "'address':'10.1.0.100','port':80,'slots':256}"));
    must(add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
             "'name':'w2','host':'h2','mac':'02:00:00:00:00:02'}"));
    must(add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
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
    struct catalog *catalog = small_catalog();
    const struct catalog_group *group = catalog_find_group(catalog, 5001,
                                                           "web");
    uint32_t old_id = group->id;
    struct catalog_txn *txn;

    assert_int_equal(group->endpoints[1]->index, 1);
    txn = catalog_begin(catalog);
    must(take_with(txn, NULL, "{'kind':'group','vni':5001,'name':'web'}",
                   false, true));
    must(add(txn, NULL, "{'kind':'group','vni':5001,'name':'web',"
             "'address':'10.1.0.100','port':80,'slots':512}"));
    must(add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
             "'name':'w2','host':'h2','mac':'02:00:00:00:00:02'}"));
    must(add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
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
    struct catalog *catalog = small_catalog();
    struct catalog_txn *txn;

    assert_int_equal(catalog_last_group_id(catalog), 3);
    catalog_restore_counters(catalog, 10, GROUP_MAX_ID - 1);
    txn = catalog_begin(catalog);
    must(add(txn, NULL, "{'kind':'group','vni':1,'name':'a',"
             "'address':'10.0.0.1','slots':256}"));
    must(add(txn, NULL, "{'kind':'group','vni':1,'name':'b',"
             "'address':'10.0.0.2','slots':256}"));
    commit(txn);
    assert_int_equal(catalog_find_group(catalog, 1, "a")->id, GROUP_MAX_ID);
    /* 1, 2 and 3 are in use. */
    assert_int_equal(catalog_find_group(catalog, 1, "b")->id, 4);
    assert_int_equal(catalog_last_group_id(catalog), 4);

    /* Not at once, even though 4 is free again. */
    txn = catalog_begin(catalog);
    must(take(txn, NULL, "{'kind':'group','vni':1,'name':'b'}"));
    must(add(txn, NULL, "{'kind':'group','vni':1,'name':'c',"
             "'address':'10.0.0.2','slots':256}"));
    commit(txn);
    assert_int_equal(catalog_find_group(catalog, 1, "c")->id, 5);

    /* What comes back takes its id before any other can. */
    catalog_restore_counters(catalog, 10, 4);
    txn = catalog_begin(catalog);
    must(take(txn, NULL, "{'kind':'group','vni':1,'name':'c'}"));
    must(add(txn, NULL, "{'kind':'group','vni':1,'name':'b',"
             "'address':'10.0.0.9','slots':256}"));
    must(add(txn, NULL, "{'kind':'group','vni':1,'name':'c','slots':256,"
             "'address':'10.0.0.2','affinity':'source'}"));
    commit(txn);
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
    struct catalog *catalog = small_catalog();
    const struct catalog_group *group;
    struct diagnosis diag;
    struct catalog_txn *txn;
    struct record r;

    /* The index of a removed endpoint comes last. */
    for (int i = 0; i < 2; i++) {
        txn = catalog_begin(catalog);
        r = numbered_endpoint(0);
        if (i) {
            must(catalog_remove(txn, &r, false, false, NULL));
            r = numbered_endpoint(1);
        }
        must(catalog_add(txn, &r, false, NULL));
        commit(txn);
        group = catalog_find_group(catalog, 5002, "api");
        assert_int_equal(group->endpoints[0]->index, i);
    }

    txn = catalog_begin(catalog);
    for (int i = 2; i < 4097; i++) {
        r = numbered_endpoint(i);
        must(catalog_add(txn, &r, false, NULL));
    }
    r = numbered_endpoint(4097);
    assert_int_equal(catalog_add(txn, &r, false, &diag), ENOSPC);
    assert_int_equal(diag.code, DIAG_BUSY);
    assert_string_equal(diag.message, "group 5002/api has 4096 endpoints, "
                        "the most that there can be");
    commit(txn);
    group = catalog_find_group(catalog, 5002, "api");
    assert_int_equal(group->n_endpoints, 4096);

    /* The only free one. */
    txn = catalog_begin(catalog);
    r = numbered_endpoint(1000);
    must(catalog_remove(txn, &r, false, false, NULL));
    r = numbered_endpoint(4097);
    must(catalog_add(txn, &r, false, NULL));
    must(set(txn, NULL, "{'kind':'endpoint','vni':5002,'group':'api',"
             "'name':'e4097','weight':3}"));
    commit(txn);
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
    struct catalog *catalog = small_catalog();
    struct catalog_txn *txn = catalog_begin(catalog);
    char *before, *after;

    /* One to be restored over again is in the way, so it goes. */
    must(take_with(txn, NULL, "{'kind':'group','vni':5001,'name':'web'}",
                   false, true));
    commit(txn);
    txn = catalog_begin(catalog);
    catalog_restore_counters(catalog, 3, 8);
    must(add(txn, NULL, "{'kind':'group','vni':9,'name':'nine',"
             "'address':'10.1.0.9','slots':256}"));
    commit(txn);
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
    must(catalog_add(txn, group, false, NULL));
    for (int j = 0; j < LOAD_ENDPOINTS; j++) {
        snprintf(endpoint->endpoint.name, sizeof endpoint->endpoint.name,
                 "e%d", j);
        snprintf(endpoint->endpoint.host, sizeof endpoint->endpoint.host,
                 "h%d", (i + j * 7) % LOAD_HOSTS);
        endpoint->endpoint.mac.octet[5] = j;
        must(catalog_add(txn, endpoint, false, NULL));
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
        must(catalog_add(txn, &host, false, NULL));
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
        must(catalog_remove(txn, &key, false, true, NULL));
    }
    commit(txn);
    assert_int_equal(catalog_count(catalog, RECORD_ENDPOINT), 0);
    assert_true((clock() - start) / CLOCKS_PER_SEC < 60);
    catalog_destroy(catalog);
}

static void
another_affinity_needs_force_while_endpoints_may_have_flows(void **state)
{
    static const char to_source[]
        = "{'kind':'group','vni':1,'name':'a','affinity':'source'}";
    static const char *const states[] = { "up", "draining" };
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);
    struct diagnosis diag;
    char *text;

    (void) state;
    must(add(txn, NULL, "{'kind':'host','name':'h','vtep':'192.0.2.1'}"));
    must(add(txn, NULL, "{'kind':'group','vni':1,'name':'a',"
             "'address':'10.0.0.1','slots':256}"));
    must(add(txn, NULL, "{'kind':'endpoint','vni':1,'group':'a','name':'e',"
             "'host':'h','mac':'02:00:00:00:00:01'}"));
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        text = xasprintf("{'kind':'endpoint','vni':1,'group':'a','name':'e',"
                         "'state':'%s'}", states[i]);
        must(set(txn, NULL, text));
        free(text);
        assert_int_not_equal(set(txn, &diag, to_source), 0);
        assert_int_equal(diag.code, DIAG_IN_USE);
        assert_string_equal(diag.field, "affinity");
        assert_non_null(strstr(diag.message, "1/a: affinity source would "
                               "break the connections of its 1 endpoint"));
        must(set(txn, NULL, "{'kind':'group','vni':1,'name':'a',"
                 "'affinity':'flow','ramp':5}"));

        catalog_set_force(txn, true);
        must(set(txn, NULL, to_source));
        must(set(txn, NULL, "{'kind':'group','vni':1,'name':'a',"
                 "'affinity':'flow'}"));
        catalog_set_force(txn, false);
    }
    must(set(txn, NULL, "{'kind':'endpoint','vni':1,'group':'a','name':'e',"
             "'state':'down'}"));
    must(set(txn, NULL, to_source));
    commit(txn);
    assert_int_equal(catalog_find_group(catalog, 1, "a")->record.affinity,
                     AFFINITY_SOURCE);
    catalog_destroy(catalog);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_does_not_fit_is_refused_in_clear_words),
        cmocka_unit_test(what_is_unique_in_the_end_may_be_swapped),
        cmocka_unit_test(an_empty_catalog_says_where_to_begin),
        cmocka_unit_test(
            another_affinity_needs_force_while_endpoints_may_have_flows),
        cmocka_unit_test(hints_name_the_first_few),
        cmocka_unit_test(what_may_differ_or_be_absent_passes),
        cmocka_unit_test(a_record_has_one_change_or_none),
        cmocka_unit_test(what_is_removed_and_added_again_keeps_its_numbers),
        cmocka_unit_test(a_group_made_anew_has_a_new_id_and_old_indexes),
        cmocka_unit_test(ids_go_round),
        cmocka_unit_test(
            a_group_holds_4096_endpoints_and_reuses_indexes_late),
        cmocka_unit_test(a_damaged_group_is_not_restored),
        cmocka_unit_test(a_load_of_111000_records_takes_seconds),
    };

    return cmocka_run_group_tests_name("catalog", tests, NULL, NULL);
}
