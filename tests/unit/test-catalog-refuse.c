/* mapping/catalog/catalog.h: what it refuses and in which words, and what
 * passes though it looks much alike. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog.h"
#include "tests/unit/catalog-text.h"
#include "tests/unit/txn.h"
#include "util.h"

struct refusal {
    int (*op)(struct catalog_txn *, struct diagnosis *, const char *text);
    const char *text;
    enum diagnosis_code code;
    const char *field, *value, *message, *hint;
};

static const struct refusal refusals[] = {
    /* Already there. */
    { txn_add, "{'kind':'host','name':'h1','vtep':'192.0.2.9'}", DIAG_EXISTS,
      "name", "h1", "host h1 exists already",
      "'grapnelctl host set' changes it" },
    { txn_add, "{'kind':'group','vni':5001,'name':'web','address':'10.1.0.1'}",
      DIAG_EXISTS, "name", "web", "group 5001/web exists already",
      "'grapnelctl group set' changes it" },
    { txn_add, "{'kind':'endpoint','vni':5001,'group':'web','name':'w1',"
      "'host':'h2','mac':'02:00:00:00:00:09'}", DIAG_EXISTS, "name", "w1",
      "endpoint 5001/web/w1 exists already",
      "'grapnelctl endpoint set' changes it" },

    /* Must be unique. */
    { txn_add, "{'kind':'host','name':'h3','vtep':'192.0.2.2'}", DIAG_EXISTS,
      "vtep", "192.0.2.2", "host h3: vtep 192.0.2.2 is taken by host h2",
      "give it another vtep, or change or remove host h2" },
    { txn_set, "{'kind':'host','name':'h1','vtep':'192.0.2.2'}", DIAG_EXISTS,
      "vtep", "192.0.2.2", "host h1: vtep 192.0.2.2 is taken by host h2",
      "give it another vtep, or change or remove host h2" },
    { txn_add, "{'kind':'group','vni':5001,'name':'www',"
      "'address':'10.1.0.100','port':80}", DIAG_EXISTS, "address",
      "10.1.0.100",
      "group 5001/www: address 10.1.0.100 tcp port 80 is taken by group "
      "5001/web", "give it another address, protocol or port, or remove group "
      "5001/web" },
    { txn_add, "{'kind':'group','vni':5001,'name':'x','address':'10.1.0.100',"
      "'protocol':'udp'}", DIAG_EXISTS, "address", "10.1.0.100",
      "group 5001/x: address 10.1.0.100 udp all ports is taken by group "
      "5001/dns", "give it another address, protocol or port, or remove group "
      "5001/dns" },
    { txn_add, "{'kind':'endpoint','vni':5001,'group':'web','name':'w3',"
      "'host':'h1','mac':'02:00:00:00:00:01'}", DIAG_EXISTS, "mac",
      "02:00:00:00:00:01",
      "endpoint 5001/web/w3: mac 02:00:00:00:00:01 is taken by endpoint "
      "5001/web/w1", "give it another mac, or change or remove endpoint w1" },
    { txn_set, "{'kind':'endpoint','vni':5001,'group':'web','name':'w2',"
      "'mac':'02:00:00:00:00:01'}", DIAG_EXISTS, "mac", "02:00:00:00:00:01",
      "endpoint 5001/web/w2: mac 02:00:00:00:00:01 is taken by endpoint "
      "5001/web/w1", "give it another mac, or change or remove endpoint w1" },

    /* Not there. */
    { txn_add, "{'kind':'endpoint','vni':5009,'group':'web','name':'w3',"
      "'host':'h1','mac':'02:00:00:00:00:03'}", DIAG_NOT_FOUND, "vni", "5009",
      "unknown VNI 5009: no group is defined in it",
      "VNIs with groups: 5001, 5002" },
    { txn_add, "{'kind':'endpoint','vni':5001,'group':'wbe','name':'w3',"
      "'host':'h1','mac':'02:00:00:00:00:03'}", DIAG_NOT_FOUND, "group",
      "wbe", "group 5001/wbe is not known",
      "groups of VNI 5001: dns, web" },
    { txn_add, "{'kind':'endpoint','vni':5001,'group':'web','name':'w3',"
      "'host':'h9','mac':'02:00:00:00:00:03'}", DIAG_NOT_FOUND, "host", "h9",
      "host h9 is not known",
      "'grapnelctl host add' makes one; known hosts: h1, h2" },
    { txn_set, "{'kind':'endpoint','vni':5001,'group':'web','name':'w1',"
      "'host':'h9'}", DIAG_NOT_FOUND, "host", "h9", "host h9 is not known",
      "'grapnelctl host add' makes one; known hosts: h1, h2" },
    { txn_set, "{'kind':'host','name':'h9','vtep':'192.0.2.9'}",
      DIAG_NOT_FOUND, "name", "h9", "host h9 is not known",
      "'grapnelctl host add' makes one; known hosts: h1, h2" },
    { txn_set, "{'kind':'group','vni':5009,'name':'web'}", DIAG_NOT_FOUND,
      "vni", "5009", "unknown VNI 5009: no group is defined in it",
      "VNIs with groups: 5001, 5002" },
    { txn_take, "{'kind':'group','vni':5001,'name':'wbe'}", DIAG_NOT_FOUND,
      "name", "wbe", "group 5001/wbe is not known",
      "groups of VNI 5001: dns, web" },
    { txn_take, "{'kind':'endpoint','vni':5001,'group':'web','name':'w9'}",
      DIAG_NOT_FOUND, "name", "w9", "endpoint 5001/web/w9 is not known",
      "its group has: w1, w2" },
    { txn_take, "{'kind':'endpoint','vni':5002,'group':'api','name':'w9'}",
      DIAG_NOT_FOUND, "name", "w9", "endpoint 5002/api/w9 is not known",
      "its group has no endpoints" },
    { txn_take, "{'kind':'endpoint','vni':5002,'group':'web','name':'w9'}",
      DIAG_NOT_FOUND, "group", "web", "group 5002/web is not known",
      "groups of VNI 5002: api" },

    /* Still needed. */
    { txn_take, "{'kind':'host','name':'h2'}", DIAG_IN_USE, "name", "h2",
      "host h2 is in use by 1 endpoint",
      "remove or move first: 5001/web/w2" },
    { txn_take, "{'kind':'group','vni':5001,'name':'web'}", DIAG_IN_USE,
      "name", "web", "group 5001/web has 2 endpoints",
      "--cascade removes them too: w1, w2" },

    /* Values, by way of record.h. */
    { txn_set, "{'kind':'endpoint','vni':5001,'group':'web','name':'w1',"
      "'weight':0}", DIAG_INVALID, "weight", "0",
      "weight: 0 is out of range 1..1000",
      "to stop new flows, set state draining" },
    { txn_set, "{'kind':'group','vni':5001,'name':'web','port':81}",
      DIAG_INVALID, "port", "81",
      "port: 81 cannot replace 80, which is fixed when the group is made",
      "add another group with a new name, or remove 5001/web and add it "
      "again" },
};

static void
what_does_not_fit_is_refused_in_clear_words(void **state OVS_UNUSED)
{
    struct catalog *catalog = txn_small_catalog();
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
        txn_must(txn_set(txn, diag, texts[i]));
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
    struct catalog *catalog = txn_small_catalog();
    struct diagnosis diag = { .op = -1 };
    struct catalog_txn *txn;

    txn_must(prepare_all(catalog, swap, ARRAY_SIZE(swap), &diag));
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
    txn_must(txn_add(txn, &diag, "{'kind':'group','vni':5002,'name':'new',"
                     "'address':'10.1.0.100','port':80}"));
    txn_must(txn_take(txn, &diag, "{'kind':'group','vni':5002,'name':'api'}"));
    txn_commit(txn);
    catalog_destroy(catalog);
}

static void
an_empty_catalog_says_where_to_begin(void **state OVS_UNUSED)
{
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);
    struct diagnosis diag;

    assert_int_equal(txn_take(txn, &diag,
                              "{'kind':'group','vni':1,'name':'a'}"),
                     ENOENT);
    assert_string_equal(diag.hint, "no group is known yet; "
                        "'grapnelctl group add' makes one");
    assert_int_equal(txn_take(txn, &diag,
                              "{'kind':'host','name':'a'}"), ENOENT);
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

        txn_must(catalog_add(txn, &r, false, NULL));
    }
    txn_take(txn, &diag, "{'kind':'group','vni':1,'name':'a'}");
    assert_string_equal(diag.hint, "VNIs with groups: 7, 8, 9, 10, ...");
    catalog_abort(txn);
    catalog_destroy(catalog);
}

static void
what_may_differ_or_be_absent_passes(void **state OVS_UNUSED)
{
    struct catalog *catalog = txn_small_catalog();
    struct catalog_txn *txn = catalog_begin(catalog);
    struct record r = catalog_text_record(
        "{'kind':'host','name':'h1','vtep':'192.0.2.1'}");
    struct diagnosis diag;
    size_t n;

    txn_must(catalog_add(txn, &r, true, &diag));
    txn_must(txn_take_with(txn, &diag,
                           "{'kind':'host','name':'h9'}", true, false));
    txn_must(txn_take_with(txn, &diag,
                           "{'kind':'endpoint','vni':1,'group':'x',"
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
    txn_must(txn_add(txn, &diag, "{'kind':'group','vni':5001,'name':'rest',"
                     "'address':'10.1.0.100','port':0}"));
    txn_must(txn_add(txn, &diag,
                     "{'kind':'endpoint','vni':5001,'group':'rest',"
                     "'name':'w1','host':'h1','mac':'02:00:00:00:00:01'}"));
    txn_must(txn_add(txn, &diag, "{'kind':'endpoint','vni':5002,'group':'api',"
                     "'name':'w1','host':'h1','mac':'02:00:00:00:00:01'}"));
    txn_commit(txn);
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
    txn_must(txn_add(txn, NULL,
                     "{'kind':'host','name':'h','vtep':'192.0.2.1'}"));
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':1,'name':'a',"
                     "'address':'10.0.0.1','slots':256}"));
    txn_must(txn_add(txn, NULL,
                     "{'kind':'endpoint','vni':1,'group':'a','name':'e',"
                     "'host':'h','mac':'02:00:00:00:00:01'}"));
    for (size_t i = 0; i < ARRAY_SIZE(states); i++) {
        text = xasprintf("{'kind':'endpoint','vni':1,'group':'a','name':'e',"
                         "'state':'%s'}", states[i]);
        txn_must(txn_set(txn, NULL, text));
        free(text);
        assert_int_not_equal(txn_set(txn, &diag, to_source), 0);
        assert_int_equal(diag.code, DIAG_IN_USE);
        assert_string_equal(diag.field, "affinity");
        assert_non_null(strstr(diag.message, "1/a: affinity source would "
                               "break the connections of its 1 endpoint"));
        txn_must(txn_set(txn, NULL, "{'kind':'group','vni':1,'name':'a',"
                         "'affinity':'flow','ramp':5}"));

        catalog_set_force(txn, true);
        txn_must(txn_set(txn, NULL, to_source));
        txn_must(txn_set(txn, NULL, "{'kind':'group','vni':1,'name':'a',"
                         "'affinity':'flow'}"));
        catalog_set_force(txn, false);
    }
    txn_must(txn_set(txn, NULL,
                     "{'kind':'endpoint','vni':1,'group':'a','name':'e',"
                     "'state':'down'}"));
    txn_must(txn_set(txn, NULL, to_source));
    txn_commit(txn);
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
    };

    return cmocka_run_group_tests_name("catalog-refuse", tests, NULL, NULL);
}
