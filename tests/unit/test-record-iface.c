/* Endpoints that are found by their port: records, and what the catalog makes
 * of one that is nowhere, comes and moves. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/catalog/catalog.h"
#include "openvswitch/json.h"
#include "sset.h"
#include "tests/unit/catalog-text.h"
#include "util.h"

#define KEY "'kind':'endpoint','vni':7,'group':'web','name':'w1'"
#define ID "7f3a8c6e-0000-4000-8000-0123456789ab"
#define MAC "'mac':'02:00:00:00:00:01'"

/* The record as it is printed, which the caller frees. */
static char *
print(const struct record *record)
{
    struct json *json = record_to_json(record);
    char *text = json_to_string(json, JSSF_SORT);

    json_destroy(json);
    return text;
}

static void
assert_member(const struct record *record, const char *name,
              const char *expected)
{
    struct json *json = record_to_json(record);

    assert_string_equal(json_string(shash_find_data(json_object(json), name)),
                        expected);
    json_destroy(json);
}

static void
what_is_not_given_is_found(void **state OVS_UNUSED)
{
    struct record r = catalog_text_record("{" KEY ",'iface':'" ID "'}");

    assert_member(&r, "iface", ID);
    assert_member(&r, "host", "");
    assert_member(&r, "mac", "");
    assert_member(&r, "mac_from", "iface");
    assert_false(record_is_bound(&r.endpoint));

    r = catalog_text_record("{" KEY ",'iface':'" ID "'," MAC "}");
    assert_member(&r, "mac_from", "given");
    assert_false(record_is_bound(&r.endpoint));

    r = catalog_text_record("{" KEY ",'host':'h1'," MAC "}");
    assert_member(&r, "iface", "");
    assert_member(&r, "mac_from", "given");
    assert_true(record_is_bound(&r.endpoint));
}

static void
records_come_back(void **state OVS_UNUSED)
{
    static const char *const records[] = {
        "{" KEY ",'iface':'a'}",
        "{" KEY ",'iface':'ns_pod/eth0@sw-1:2.3','host':'h1'}",
        "{" KEY ",'iface':'" ID "'," MAC ",'host':'h1'}",
        "{" KEY ",'iface':'" ID "'," MAC ",'host':'h1','mac_from':'iface'}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        struct record r = catalog_text_record("%s", records[i]), again;
        struct json *json = record_to_json(&r);
        char *text = print(&r), *text2;

        assert_int_equal(record_from_json(json, &again, NULL), 0);
        text2 = print(&again);
        assert_true(record_equal(&r, &again));
        assert_string_equal(text, text2);
        json_destroy(json);
        free(text);
        free(text2);
    }
}

static void
bad_ones_are_refused(void **state OVS_UNUSED)
{
    static const struct {
        const char *members, *field, *message;
    } cases[] = {
        { "", "host", "host: required in an endpoint record" },
        { ",'host':'h1'", "mac", "mac: required in an endpoint record" },
        { ",'host':'h1','mac':''", "mac",
          "mac: required in an endpoint record" },
        { ",'iface':'','host':'h1'", "mac",
          "mac: required in an endpoint record" },
        { ",'iface':'a b'", "iface", "iface: \"a b\" is not the id of a port"},
        { ",'iface':'-a'", "iface", "iface: \"-a\" is not the id of a port" },
        { ",'iface':7", "iface", "iface: 7 is not the id of a port" },
        { ",'iface':'a','mac':'02:00'", "mac",
          "mac: \"02:00\" is not an Ethernet address" },
        { ",'iface':'a','mac_from':'ovn'", "mac_from",
          "mac_from: \"ovn\" is not one of given, iface" },
        { ",'iface':'a','host':'-'", "host", "host: \"-\" is not a name" },
    };
    char *longest = xmalloc(RECORD_IFACE_MAX + 2);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *json = catalog_text_json("{" KEY "%s}",
                                              cases[i].members);
        struct diagnosis diag;
        struct record r;

        assert_int_not_equal(record_from_json(json, &r, &diag), 0);
        assert_string_equal(diag.field, cases[i].field);
        assert_string_equal(diag.message, cases[i].message);
        json_destroy(json);
    }
    memset(longest, 'x', RECORD_IFACE_MAX + 1);
    longest[RECORD_IFACE_MAX + 1] = '\0';
    assert_false(record_is_iface(longest));
    longest[RECORD_IFACE_MAX] = '\0';
    assert_true(record_is_iface(longest));
    catalog_text_record("{" KEY ",'iface':'%s'}", longest);
    assert_false(record_is_iface(""));
    free(longest);
}

static void
update(struct record *r, const char *members)
{
    struct json *json = catalog_text_json("{" KEY ",%s}", members);
    struct diagnosis diag = { .message = "" };

    if (record_update_from_json(json, r, &diag)) {
        fail_msg("%s", diag.message);
    }
    json_destroy(json);
}

static void
whose_mac_it_is_is_remembered(void **state OVS_UNUSED)
{
    struct record r = catalog_text_record("{" KEY ",'iface':'" ID "'}");

    update(&r, "'host':'h1','mac':'02:00:00:00:00:09','mac_from':'iface'");
    assert_member(&r, "mac_from", "iface");
    update(&r, "'weight':3");
    assert_member(&r, "mac_from", "iface");
    update(&r, "'mac':'02:00:00:00:00:08'");
    assert_member(&r, "mac_from", "given");
    update(&r, "'mac':''");
    assert_member(&r, "mac_from", "iface");
    update(&r, "'mac':'02:00:00:00:00:08','mac_from':'iface'");
    update(&r, "'iface':''");
    assert_member(&r, "mac_from", "given");
    assert_member(&r, "mac", "02:00:00:00:00:08");
    assert_member(&r, "host", "h1");
}

static void
a_wish_does_not_unbind(void **state OVS_UNUSED)
{
    const struct record bound = catalog_text_record(
        "{" KEY ",'iface':'a','host':'h1'," MAC ",'mac_from':'iface'}");
    struct record r = catalog_text_record("{" KEY ",'iface':'a'}");

    record_adopt_binding(&r, &bound);
    assert_true(record_equal(&r, &bound));

    /* Of an old dump. */
    r = catalog_text_record("{" KEY ",'iface':'a','host':'h9','weight':5,"
                            "'mac':'02:00:00:00:00:07','mac_from':'iface'}");
    record_adopt_binding(&r, &bound);
    assert_member(&r, "host", "h1");
    assert_member(&r, "mac", "02:00:00:00:00:01");
    assert_int_equal(r.endpoint.weight, 5);

    /* A MAC that is given is a wish. */
    r = catalog_text_record("{" KEY ",'iface':'a',"
                            "'mac':'02:00:00:00:00:07'}");
    record_adopt_binding(&r, &bound);
    assert_member(&r, "host", "h1");
    assert_member(&r, "mac", "02:00:00:00:00:07");
    assert_member(&r, "mac_from", "given");

    /* Another port is elsewhere. */
    r = catalog_text_record("{" KEY ",'iface':'b'}");
    record_adopt_binding(&r, &bound);
    assert_member(&r, "host", "");

    /* And one without a port is where it is said to be. */
    r = catalog_text_record("{" KEY ",'host':'h2'," MAC "}");
    record_adopt_binding(&r, &bound);
    assert_member(&r, "host", "h2");
}

/* The catalog. */

static const char *const base[] = {
    "{'kind':'host','name':'h1','vtep':'192.0.2.1'}",
    "{'kind':'host','name':'h2','vtep':'192.0.2.2'}",
    "{'kind':'group','vni':7,'name':'web','address':'10.0.0.1','slots':256}",
    "{'kind':'endpoint','vni':7,'group':'web','name':'w0','host':'h1',"
        "'mac':'02:00:00:00:00:f0'}",
    "{" KEY ",'iface':'a'}",
};

static int
try_add(struct catalog *catalog, const char *text, bool may_exist,
        struct diagnosis *diag)
{
    struct catalog_txn *txn = catalog_begin(catalog);
    struct record r = catalog_text_record("%s", text);
    int error = catalog_add(txn, &r, may_exist, diag);

    error = error ? error : catalog_prepare(txn, diag);
    if (error) {
        catalog_abort(txn);
    } else {
        catalog_commit(txn);
    }
    return error;
}

static struct catalog *
make_catalog(void)
{
    struct catalog *catalog = catalog_create();

    for (size_t i = 0; i < ARRAY_SIZE(base); i++) {
        struct diagnosis diag = { .message = "" };

        if (try_add(catalog, base[i], false, &diag)) {
            fail_msg("%s", diag.message);
        }
    }
    return catalog;
}

static int
try_set(struct catalog *catalog, const char *name, const char *members,
        struct diagnosis *diag)
{
    struct catalog_txn *txn = catalog_begin(catalog);
    struct json *json = catalog_text_json(
        "{'kind':'endpoint','vni':7,'group':'web','name':'%s',%s}", name,
        members);
    int error = catalog_set(txn, json, diag);

    json_destroy(json);
    error = error ? error : catalog_prepare(txn, diag);
    if (error) {
        catalog_abort(txn);
    } else {
        catalog_commit(txn);
    }
    return error;
}

static void
set(struct catalog *catalog, const char *name, const char *members)
{
    struct diagnosis diag = { .message = "" };

    if (try_set(catalog, name, members, &diag)) {
        fail_msg("%s", diag.message);
    }
}

static const struct catalog_endpoint *
the_endpoint(const struct catalog *catalog, const char *name)
{
    return catalog_find_endpoint(catalog_find_group(catalog, 7, "web"), name);
}

static size_t
count_slots(const struct catalog *catalog, const char *name)
{
    const struct catalog_group *g = catalog_find_group(catalog, 7, "web");
    size_t n = 0;

    for (size_t i = 0; i < g->record.n_slots; i++) {
        n += g->slots[i] == the_endpoint(catalog, name)->index;
    }
    return n;
}

static void
only_who_is_bound_owns_slots(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog();
    uint16_t index;

    assert_int_equal(count_slots(catalog, "w1"), 0);
    assert_int_equal(catalog_host_users(catalog, "h2"), 0);
    assert_false(catalog_endpoint_serves(catalog,
                                         the_endpoint(catalog, "w1")));

    /* A host without a MAC is not enough. */
    set(catalog, "w1", "'host':'h2'");
    assert_int_equal(count_slots(catalog, "w1"), 0);
    assert_int_equal(catalog_host_users(catalog, "h2"), 1);

    set(catalog, "w1", "'mac':'02:00:00:00:00:01','mac_from':'iface'");
    assert_int_equal(count_slots(catalog, "w1"), 128);
    index = the_endpoint(catalog, "w1")->index;

    /* A VM that goes, and comes elsewhere, is the same one. */
    set(catalog, "w1", "'host':''");
    assert_int_equal(count_slots(catalog, "w1"), 0);
    assert_int_equal(count_slots(catalog, "w0"), 256);
    assert_int_equal(catalog_host_users(catalog, "h2"), 0);
    set(catalog, "w1", "'host':'h1'");
    assert_int_equal(count_slots(catalog, "w1"), 128);
    assert_int_equal(the_endpoint(catalog, "w1")->index, index);
    assert_int_equal(catalog_host_users(catalog, "h1"), 2);
    catalog_destroy(catalog);
}

static void
a_store_without_its_slots_does_not_make_a_host_dead(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog();

    set(catalog, "w1", "'host':'h2'");
    catalog_restore_liveness(catalog);
    assert_true(catalog_host_is_alive(catalog, "h1"));
    assert_true(catalog_host_is_alive(catalog, "h2"));
    set(catalog, "w1", "'host':''");
    catalog_restore_liveness(catalog);
    assert_true(catalog_host_is_alive(catalog, "h2"));
    catalog_destroy(catalog);
}

static void
one_port_is_one_endpoint_of_a_group(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog();
    struct sset hosts = SSET_INITIALIZER(&hosts);
    struct record_endpoint *found;
    struct diagnosis diag;
    record_iface *ifaces;
    size_t n;

    assert_int_not_equal(try_add(catalog, "{'kind':'endpoint','vni':7,"
                                 "'group':'web','name':'w2','iface':'a'}",
                                 false, &diag), 0);
    assert_string_equal(diag.message, "endpoint 7/web/w2: iface a is taken by "
                        "endpoint 7/web/w1");
    /* Nobody's MAC is not one to share. */
    assert_int_equal(try_add(catalog, "{'kind':'endpoint','vni':7,"
                             "'group':'web','name':'w2','iface':'b'}", false,
                             &diag), 0);
    assert_int_not_equal(try_set(catalog, "w2", "'iface':'a'", &diag), 0);
    assert_string_equal(diag.field, "iface");
    assert_int_not_equal(try_set(catalog, "w2", "'host':'h1',"
                                 "'mac':'02:00:00:00:00:f0'", &diag), 0);
    assert_string_equal(diag.field, "mac");

    assert_int_equal(try_add(catalog, "{'kind':'group','vni':7,'name':'dns',"
                             "'address':'10.0.0.2','slots':256}", false,
                             &diag), 0);
    assert_int_equal(try_add(catalog, "{'kind':'endpoint','vni':7,"
                             "'group':'dns','name':'d1','iface':'a'}", false,
                             &diag), 0);
    found = catalog_endpoints_of(catalog, "a", &n);
    assert_int_equal(n, 2);
    assert_string_not_equal(found[0].group, found[1].group);
    free(found);
    found = catalog_endpoints_of(catalog, "c", &n);
    assert_int_equal(n, 0);
    free(found);

    sset_add(&hosts, "h2");
    sset_add(&hosts, "h3");
    ifaces = catalog_ifaces_on(catalog, &hosts, &n);
    assert_int_equal(n, 0);
    free(ifaces);
    set(catalog, "w2", "'host':'h2'");
    ifaces = catalog_ifaces_on(catalog, &hosts, &n);
    assert_int_equal(n, 1);
    assert_string_equal(ifaces[0], "b");
    free(ifaces);
    sset_destroy(&hosts);
    catalog_destroy(catalog);
}

static void
what_is_undone_is_as_before(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog();
    char *before = catalog_text_dump(catalog), *after;
    struct catalog_txn *txn = catalog_begin(catalog);
    struct record key = catalog_text_record("{" KEY ",'iface':'a'}");
    struct json *json = catalog_text_json("{" KEY ",'host':'h2','iface':'z'}");
    struct diagnosis diag;
    size_t n;

    assert_int_equal(catalog_set(txn, json, &diag), 0);
    free(catalog_endpoints_of(catalog, "z", &n));
    assert_int_equal(n, 1);
    assert_int_equal(catalog_remove(txn, &key, false, false, &diag), 0);
    assert_int_equal(catalog_prepare(txn, &diag), 0);
    catalog_abort(txn);
    after = catalog_text_dump(catalog);
    assert_string_equal(before, after);
    free(catalog_endpoints_of(catalog, "z", &n));
    assert_int_equal(n, 0);
    free(catalog_endpoints_of(catalog, "a", &n));
    assert_int_equal(n, 1);
    json_destroy(json);
    free(before);
    free(after);
    catalog_destroy(catalog);
}

static void
adding_what_is_bound_changes_nothing(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog();
    uint64_t revision;
    struct diagnosis diag;

    set(catalog, "w1", "'host':'h2','mac':'02:00:00:00:00:01',"
        "'mac_from':'iface'");
    revision = catalog_revision(catalog);
    assert_int_equal(try_add(catalog, base[4], true, &diag), 0);
    assert_true(catalog_revision(catalog) == revision);
    assert_int_not_equal(try_add(catalog, "{" KEY ",'iface':'b'}", true,
                                 &diag), 0);
    assert_string_equal(diag.message,
                        "endpoint 7/web/w1 exists already and is different");
    catalog_destroy(catalog);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_given_is_found),
        cmocka_unit_test(records_come_back),
        cmocka_unit_test(bad_ones_are_refused),
        cmocka_unit_test(whose_mac_it_is_is_remembered),
        cmocka_unit_test(a_wish_does_not_unbind),
        cmocka_unit_test(only_who_is_bound_owns_slots),
        cmocka_unit_test(a_store_without_its_slots_does_not_make_a_host_dead),
        cmocka_unit_test(one_port_is_one_endpoint_of_a_group),
        cmocka_unit_test(what_is_undone_is_as_before),
        cmocka_unit_test(adding_what_is_bound_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
