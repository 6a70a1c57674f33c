/* Every method for every role, written down once more; names of certificates;
 * what a host may change. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/catalog/catalog.h"
#include "mapping/mapd/refusals.h"
#include "mapping/mapd/roles.h"
#include "openvswitch/json.h"
#include "util.h"

static struct role
role(const char *common_name)
{
    return roles_from_common_name(common_name);
}

/* Columns: admin, mapd, host, reader, none. */
static void
test_every_method_for_every_role(void **state OVS_UNUSED)
{
    static const char *const peers[] = { "admin:a", "mapd:m", "host:h1",
                                         "reader:r", "h1" };
    static const struct {
        const char *method, *may;
    } rows[] = {
        { "applied",    "yyy--" },
        { "claim",      "yyy--" },
        { "dump",       "yy-y-" },
        { "echo",       "yyyy-" },
        { "flows",      "yyy--" },
        { "health",     "yyy--" },
        { "report",     "yyy--" },
        { "list",       "yy-y-" },
        { "load",       "yy---" },
        { "register",   "yyy--" },
        { "status",     "yy-y-" },
        { "subscribe",  "yyy--" },
        { "trace",      "yy-y-" },
        { "traced",     "yyy--" },
        { "transact",   "yyy--" },
        { "wait",       "yy-y-" },
        { "want_flows", "yyy--" },
        { "watch",      "yy-y-" },
        { "unheard-of", "yy---" },
        { "",           "yy---" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(peers); j++) {
            const struct role r = role(peers[j]);
            bool may = roles_may_use(&r, rows[i].method);

            if (may != (rows[i].may[j] == 'y')) {
                fail_msg("%s: %s", peers[j], rows[i].method);
            }
        }
    }
}

static void
test_names(void **state OVS_UNUSED)
{
    static const char *const strangers[] = {
        "", ":", "admin", "admin:", ":alice", "Admin:alice", "admins:alice",
        "adm:alice", "admin: alice", "admin:al ice", "admin:alice id:1",
        "admin:-x", " admin:alice", "host:h1:h2", "none:x", "none:",
        "host:h1\n", "root", "xadmin:alice",
        "host:0123456789012345678901234567890123456789012345678901234567890123"
    };
    struct role r = role("host:h1.rack-7_b");

    assert_int_equal(r.kind, ROLE_HOST);
    assert_string_equal(r.name, "h1.rack-7_b");
    assert_int_equal(role("admin:alice").kind, ROLE_ADMIN);
    assert_int_equal(role("mapd:m1").kind, ROLE_MAPD);
    assert_int_equal(role("reader:monitoring").kind, ROLE_READER);
    assert_int_equal(role(NULL).kind, ROLE_NONE);
    for (size_t i = 0; i < ARRAY_SIZE(strangers); i++) {
        r = role(strangers[i]);
        if (r.kind != ROLE_NONE || r.name[0]) {
            fail_msg("\"%s\" is %s", strangers[i], roles_name(r.kind));
        }
    }
}

static void
test_a_host_registers_and_claims_only_for_itself(void **state OVS_UNUSED)
{
    static const struct {
        const char *peer, *host;
        bool may;
    } cases[] = {
        { "host:h1", "h1", true }, { "host:h1", "h2", false },
        { "host:h1", "h11", false }, { "host:h11", "h1", false },
        { "host:h1", "H1", false }, { "admin:a", "h2", true },
        { "mapd:m", "h2", true }, { "reader:h1", "h1", false },
        { "h1", "h1", false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct role r = role(cases[i].peer);
        struct diagnosis diag = { .code = DIAG_NONE };
        int error = roles_check_register(&r, cases[i].host, &diag);

        if (!error != cases[i].may) {
            fail_msg("%s registers %s", cases[i].peer, cases[i].host);
        } else if (error) {
            assert_int_equal(diag.code, DIAG_DENIED);
            assert_non_null(strstr(diag.message, cases[i].host));
        }
        error = roles_check_claim(&r, cases[i].host, &diag);
        if (!error != cases[i].may) {
            fail_msg("%s claims for %s", cases[i].peer, cases[i].host);
        } else if (error) {
            assert_int_equal(diag.code, DIAG_DENIED);
            assert_non_null(strstr(diag.message, cases[i].host));
        }
    }
}

/* JSON with ' in the place of "; the caller owns it. */
static struct json *
parse(const char *text)
{
    char *copy = xstrdup(text);
    struct json *json;

    for (char *p = copy; *p; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    json = json_from_string(copy);
    free(copy);
    return json;
}

/* h1 with e1, h2 with e2. */
static struct catalog *
make_catalog(void)
{
    static const char *const records[] = {
        "{'kind':'host','name':'h1','vtep':'192.0.2.1'}",
        "{'kind':'host','name':'h2','vtep':'192.0.2.2'}",
        "{'kind':'group','vni':1,'name':'g','address':'10.0.0.1'}",
        "{'kind':'endpoint','vni':1,'group':'g','name':'e1','host':'h1',"
        "'mac':'02:00:00:00:00:01'}",
        "{'kind':'endpoint','vni':1,'group':'g','name':'e2','host':'h2',"
        "'mac':'02:00:00:00:00:02'}",
    };
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);

    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        struct json *json = parse(records[i]);
        struct diagnosis diag;
        struct record record;

        assert_int_equal(record_from_json(json, &record, &diag), 0);
        assert_int_equal(catalog_add(txn, &record, false, &diag), 0);
        json_destroy(json);
    }
    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_commit(txn);
    return catalog;
}

static bool
may_do(const struct catalog *catalog, const char *peer, const char *op)
{
    struct role r = role(peer);
    struct diagnosis diag = { .code = DIAG_NONE };
    struct json *json = parse(op);
    int error = roles_check_op(&r, catalog, json, &diag);

    assert_true(!error || diag.code == DIAG_DENIED);
    json_destroy(json);
    return !error;
}

#define ENDPOINT "'kind':'endpoint','vni':1,'group':'g','name':"

static void
test_a_host_changes_only_its_own(void **state OVS_UNUSED)
{
    static const char *const own[] = {
        "{'op':'set','record':{'kind':'host','name':'h1'}}",
        "{'op':'set','record':{'kind':'host','name':'h1',"
        "'vtep':'192.0.2.9','rack':'r2'}}",
        "{'op':'set','record':{" ENDPOINT "'e1','state':'down'}}",
        "{'op':'set','record':{" ENDPOINT "'e1'}}",
    };
    static const char *const others[] = {
        "{'op':'set','record':{'kind':'host','name':'h2'}}",
        "{'op':'add','record':{'kind':'host','name':'h1',"
        "'vtep':'192.0.2.9'}}",
        "{'op':'remove','record':{'kind':'host','name':'h1'}}",
        "{'op':'set','record':{'kind':'host','name':'h1','vnis':'7'}}",
        "{'op':'set','record':{'kind':'host','name':'h1','vnis':''}}",
        "{'op':'set','record':{" ENDPOINT "'e2','state':'down'}}",
        "{'op':'set','record':{" ENDPOINT "'e3','state':'down'}}",
        "{'op':'set','record':{" ENDPOINT "'e1','weight':1000}}",
        "{'op':'set','record':{" ENDPOINT "'e1','state':'up','host':'h1'}}",
        "{'op':'set','record':{" ENDPOINT "'e1','host':'h2'}}",
        "{'op':'set','record':{" ENDPOINT "'e1','state':'up','x':1}}",
        "{'op':'remove','record':{" ENDPOINT "'e1'}}",
        "{'op':'add','record':{" ENDPOINT "'e1'}}",
        "{'op':'set','record':{'kind':'group','vni':1,'name':'g'}}",
        "{'op':'set','record':{'kind':'group','vni':1,'name':'g',"
        "'state':'up'}}",
    };
    static const char *const malformed[] = {
        "1", "[]", "{}", "{'op':'set'}", "{'op':1,'record':{}}",
        "{'op':'set','record':1}", "{'op':'set','record':{}}",
        "{'op':'set','record':{'kind':'host'}}",
        "{'op':'set','record':{'kind':'host','name':7}}",
        "{'op':'set','record':{'kind':'h1','name':'h1'}}",
    };
    struct catalog *catalog = make_catalog();

    for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
        assert_true(may_do(catalog, "host:h1", own[i]));
        assert_false(may_do(catalog, "host:h2", own[i]));
        assert_false(may_do(catalog, "reader:h1", own[i]));
        assert_false(may_do(catalog, "h1", own[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        if (may_do(catalog, "host:h1", others[i])) {
            fail_msg("%s", others[i]);
        }
        assert_true(may_do(catalog, "admin:h1", others[i]));
        assert_true(may_do(catalog, "mapd:h1", others[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(malformed); i++) {
        if (may_do(catalog, "host:h1", malformed[i])) {
            fail_msg("%s", malformed[i]);
        }
    }
    catalog_destroy(catalog);
}

/* What is refused again and again. */

static void
test_refusals_are_told_once_a_minute(void **state OVS_UNUSED)
{
    struct refusals r = { .all = { { .n_untold = 0 } } };
    const long long int start = 5;

    assert_true(refusals_is_due(&r, "a", start));
    assert_int_equal(refusals_note(&r, "a", start), 1);
    assert_false(refusals_is_due(&r, "a", start + REFUSALS_MS - 1));
    assert_true(refusals_is_due(&r, "b", start));
    for (int i = 0; i < 100; i++) {
        assert_int_equal(refusals_note(&r, "a", start + i), 0);
    }
    assert_int_equal(refusals_note(&r, "b", start), 1);
    assert_true(refusals_is_due(&r, "a", start + REFUSALS_MS));
    assert_int_equal(refusals_note(&r, "a", start + REFUSALS_MS), 101);
    assert_int_equal(refusals_note(&r, "a", start + 2 * REFUSALS_MS), 1);
}

static void
test_the_oldest_refusals_make_room(void **state OVS_UNUSED)
{
    struct refusals r = { .all = { { .n_untold = 0 } } };
    char key[300];

    for (int i = 0; i <= REFUSALS_MAX; i++) {
        snprintf(key, sizeof key, "key %d", i);
        assert_int_equal(refusals_note(&r, key, i), 1);
    }
    assert_true(refusals_is_due(&r, "key 0", REFUSALS_MAX));
    assert_false(refusals_is_due(&r, "key 1", REFUSALS_MAX));
    assert_false(refusals_is_due(&r, key, REFUSALS_MAX));

    memset(key, 'x', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    assert_int_equal(refusals_note(&r, key, REFUSALS_MAX), 1);
    assert_int_equal(refusals_note(&r, key, REFUSALS_MAX), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_method_for_every_role),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_a_host_registers_and_claims_only_for_itself),
        cmocka_unit_test(test_a_host_changes_only_its_own),
        cmocka_unit_test(test_refusals_are_told_once_a_minute),
        cmocka_unit_test(test_the_oldest_refusals_make_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
