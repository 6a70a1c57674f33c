/* Which endpoints serve: the death and return of hosts, how long endpoints are
 * up, previous owners, QUIC ids, port ranges and health. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog.h"
#include "tests/unit/catalog-text.h"
#include "util.h"

enum { N_SLOTS = 1024, NONE = GROUP_NO_ENDPOINT };

static void
commit(struct catalog_txn *txn)
{
    struct diagnosis diag = { .message = "" };

    if (catalog_prepare(txn, &diag)) {
        fail_msg("%s", diag.message);
    }
    catalog_commit(txn);
}

static void
add(struct catalog_txn *txn, const struct record *record)
{
    struct diagnosis diag = { .message = "" };

    if (catalog_add(txn, record, false, &diag)) {
        fail_msg("%s", diag.message);
    }
}

static struct record
endpoint(int i, const char *more)
{
    return catalog_text_record(
        "{'kind':'endpoint','vni':1,'group':'g','name':'e%d','host':'h%d',"
        "'mac':'02:00:00:00:00:%02x'%s}", i, i % 4, i, more);
}

/* Hosts h0 to h3; group g with e1 to e8, e4 and e8 on h0, and so on. */
static struct catalog *
make_catalog(long long int now)
{
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);
    struct record r;

    if (now) {
        catalog_set_time(txn, now);
    }
    for (int i = 0; i < 4; i++) {
        r = catalog_text_record("{'kind':'host','name':'h%d',"
                                "'vtep':'192.0.2.%d'}", i, 1 + i);
        add(txn, &r);
    }
    r = catalog_text_record("{'kind':'group','vni':1,'name':'g',"
                            "'address':'10.0.0.1','slots':%d}", N_SLOTS);
    add(txn, &r);
    for (int i = 1; i <= 8; i++) {
        r = endpoint(i, "");
        add(txn, &r);
    }
    commit(txn);
    return catalog;
}

static const struct catalog_group *
the_group(const struct catalog *catalog)
{
    return catalog_find_group(catalog, 1, "g");
}

static const struct catalog_endpoint *
the_endpoint(const struct catalog *catalog, const char *name)
{
    return catalog_find_endpoint(the_group(catalog), name);
}

static void
set(struct catalog *catalog, long long int now, const char *name,
    const char *what)
{
    struct catalog_txn *txn = catalog_begin(catalog);
    struct json *json = catalog_text_json(
        "{'kind':'endpoint','vni':1,'group':'g','name':'%s',%s}", name, what);
    struct diagnosis diag = { .message = "" };

    catalog_set_time(txn, now);
    if (catalog_set(txn, json, &diag)) {
        fail_msg("%s", diag.message);
    }
    json_destroy(json);
    commit(txn);
}

static void
set_alive(struct catalog *catalog, long long int now, const char *host,
          bool alive)
{
    struct catalog_txn *txn = catalog_begin(catalog);

    catalog_set_time(txn, now);
    catalog_set_alive(txn, host, alive);
    commit(txn);
}

static size_t
count(const struct catalog *catalog, const char *name)
{
    uint16_t index = the_endpoint(catalog, name)->index;
    size_t n = 0;

    for (size_t i = 0; i < N_SLOTS; i++) {
        n += the_group(catalog)->slots[i] == index;
    }
    return n;
}

static void
a_dead_host_gives_up_its_slots_and_gets_them_back(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog(0);
    uint16_t before[N_SLOTS], dead[N_SLOTS];
    const struct catalog_group *g;
    uint16_t e4, e8;

    e4 = the_endpoint(catalog, "e4")->index;
    e8 = the_endpoint(catalog, "e8")->index;
    memcpy(before, the_group(catalog)->slots, sizeof before);
    set_alive(catalog, 5, "h0", false);
    assert_int_equal(catalog_revision(catalog), 2);
    g = the_group(catalog);
    assert_int_equal(g->epoch, 2);
    assert_int_equal(count(catalog, "e4") + count(catalog, "e8"), 0);
    for (size_t i = 0; i < N_SLOTS; i++) {
        bool had_to_move = before[i] == e4 || before[i] == e8;

        assert_int_equal(g->slots[i] != before[i], had_to_move);
        assert_int_equal(g->previous[0][i], had_to_move ? before[i] : NONE);
    }
    assert_null(g->previous[1]);
    memcpy(dead, g->slots, sizeof dead);

    set_alive(catalog, 6, "h0", true);
    g = the_group(catalog);
    assert_int_equal(catalog_revision(catalog), 3);
    assert_int_equal(count(catalog, "e4"), N_SLOTS / 8);
    assert_int_equal(count(catalog, "e8"), N_SLOTS / 8);
    for (size_t i = 0; i < N_SLOTS; i++) {
        assert_true(g->slots[i] == dead[i] || g->slots[i] == e4
                    || g->slots[i] == e8);
    }

    /* What is no news is no change. */
    set_alive(catalog, 7, "h0", true);
    assert_int_equal(catalog_revision(catalog), 3);
    catalog_destroy(catalog);
}

static void
a_dead_host_that_is_replaced_is_dead(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog(0);
    struct record r = catalog_text_record(
        "{'kind':'host','name':'h9','vtep':'192.0.2.9'}");
    struct catalog_txn *txn = catalog_begin(catalog);
    size_t n;

    add(txn, &r);
    commit(txn);
    set_alive(catalog, 1, "h9", false);
    txn = catalog_begin(catalog);
    assert_int_equal(catalog_remove(txn, &r, false, false, NULL), 0);
    add(txn, &r);
    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_txn_liveness(txn, &n);
    assert_int_equal(n, 0);
    assert_false(catalog_host_is_alive(catalog, "h9"));
    catalog_commit(txn);

    /* One that is made later is another. */
    txn = catalog_begin(catalog);
    assert_int_equal(catalog_remove(txn, &r, false, false, NULL), 0);
    commit(txn);
    txn = catalog_begin(catalog);
    add(txn, &r);
    commit(txn);
    assert_true(catalog_host_is_alive(catalog, "h9"));
    catalog_destroy(catalog);
}

static void
what_was_dead_is_found_dead_after_a_restart(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog(0), *copy = catalog_create();
    const struct catalog_group *g;
    const struct record_host **hosts;
    size_t n;

    set_alive(catalog, 1, "h2", false);
    hosts = catalog_hosts(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(catalog_restore_host(copy, hosts[i], NULL), 0);
    }
    free(hosts);
    g = the_group(catalog);
    assert_int_equal(catalog_restore_group(copy, g, NULL), 0);
    catalog_restore_liveness(copy);
    for (size_t i = 0; i < n; i++) {
        char name[] = { 'h', '0' + i, '\0' };

        assert_int_equal(catalog_host_is_alive(copy, name), i != 2);
    }

    /* A change elsewhere gives it nothing. */
    set(copy, 2, "e1", "'weight':300");
    assert_int_equal(count(copy, "e2") + count(copy, "e6"), 0);
    catalog_destroy(catalog);
    catalog_destroy(copy);
}

static void
an_endpoint_is_up_since_it_began_to_serve(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog(100);
    const struct {
        const char *change;
        long long int up_since;
    } steps[] = {
        { "'weight':7", 100 },
        { "'host':'h2'", 100 },
        { "'state':'draining'", 0 },
        { "'state':'up'", 1003 },
        { "'mac':'02:00:00:00:00:99'", 1004 },
    };

    assert_int_equal(the_endpoint(catalog, "e1")->up_since, 100);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        set(catalog, 1000 + i, "e1", steps[i].change);
        assert_int_equal(the_endpoint(catalog, "e1")->up_since,
                         steps[i].up_since);
    }
    set_alive(catalog, 2000, "h2", false);
    assert_int_equal(the_endpoint(catalog, "e1")->up_since, 0);
    assert_int_equal(the_endpoint(catalog, "e3")->up_since, 100);
    set(catalog, 2500, "e1", "'weight':8");
    assert_int_equal(the_endpoint(catalog, "e1")->up_since, 0);
    set_alive(catalog, 3000, "h2", true);
    assert_int_equal(the_endpoint(catalog, "e1")->up_since, 3000);

    /* Away from a dead host it serves again. */
    set_alive(catalog, 4000, "h2", false);
    set(catalog, 4001, "e1", "'host':'h3'");
    assert_int_equal(the_endpoint(catalog, "e1")->up_since, 4001);
    catalog_destroy(catalog);
}

static void
only_what_hosts_must_know_raises_the_epoch(void **state OVS_UNUSED)
{
    static const struct {
        const char *text;
        bool moves, raises;
    } steps[] = {
        { "'weight':300", true, true },
        { "'host':'h2'", false, false },
        { "'mac':'02:00:00:00:00:99'", true, true }, /* Another machine. */
        { "'state':'draining'", true, true },
        { "'weight':6", false, false },
        { "'state':'down'", false, true }, /* No previous owner any more. */
        { "'weight':5", false, false },
        { "'state':'up'", true, true },
    };
    struct catalog *catalog = make_catalog(0);
    uint32_t epoch = the_group(catalog)->epoch;

    assert_int_equal(epoch, 1);
    for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
        uint16_t before[N_SLOTS];

        memcpy(before, the_group(catalog)->slots, sizeof before);
        set(catalog, 1, "e1", steps[i].text);
        assert_int_equal(memcmp(before, the_group(catalog)->slots,
                                sizeof before) != 0, steps[i].moves);
        epoch += steps[i].raises;
        assert_int_equal(the_group(catalog)->epoch, epoch);
    }
    catalog_destroy(catalog);
}

static void
an_index_belongs_to_a_name_and_a_mac(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog(0);
    uint16_t e1 = the_endpoint(catalog, "e1")->index;
    uint16_t e2 = the_endpoint(catalog, "e2")->index;
    struct catalog_txn *txn = catalog_begin(catalog);
    struct record r;

    r = endpoint(1, "");
    assert_int_equal(catalog_remove(txn, &r, false, false, NULL), 0);
    strcpy(r.endpoint.host, "h3");
    r.endpoint.weight = 5;
    add(txn, &r);
    r = endpoint(2, "");
    assert_int_equal(catalog_remove(txn, &r, false, false, NULL), 0);
    r.endpoint.mac.octet[5] = 0x77;
    add(txn, &r);
    commit(txn);
    assert_int_equal(the_endpoint(catalog, "e1")->index, e1);
    assert_int_not_equal(the_endpoint(catalog, "e2")->index, e2);

    /* Nothing points to the old machine any more. */
    for (size_t i = 0; i < N_SLOTS; i++) {
        const struct catalog_group *g = the_group(catalog);

        assert_int_not_equal(g->slots[i], e2);
        assert_true(!g->previous[0] || g->previous[0][i] != e2);
    }
    catalog_destroy(catalog);
}

static void
previous_owners_that_cannot_be_are_not_restored(void **state OVS_UNUSED)
{
    static const struct {
        uint16_t first, second;
        bool ok;
    } cases[] = {
        { NONE, NONE, true }, { 1, NONE, true }, { 1, 2, true },
        { 0, NONE, false },     /* The owner. */
        { NONE, 1, false }, { 1, 1, false },
        { 3, NONE, false }, { 2, 3, false }, /* Down. */
        { 8, NONE, false }, { 4096, NONE, false }, { 65534, NONE, false },
    };
    struct catalog *catalog = make_catalog(0);

    set(catalog, 1, "e2", "'state':'draining'");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint16_t slots[N_SLOTS], first[N_SLOTS], second[N_SLOTS];
        struct catalog_group g = *the_group(catalog);
        struct catalog_endpoint e[4], *pointers[4];
        struct catalog *copy = catalog_create();
        const struct record_host **hosts;
        struct diagnosis diag;
        size_t n;

        hosts = catalog_hosts(catalog, &n);
        for (size_t j = 0; j < n; j++) {
            assert_int_equal(catalog_restore_host(copy, hosts[j], NULL), 0);
        }
        free(hosts);
        for (size_t j = 0; j < 4; j++) {
            e[j] = *g.endpoints[j];
            e[j].index = j;
            e[j].record.state = j == 3 ? ENDPOINT_DOWN : ENDPOINT_UP;
            pointers[j] = &e[j];
        }
        memset(slots, 0, sizeof slots);
        memset(first, 0xff, sizeof first);
        memset(second, 0xff, sizeof second);
        first[77] = cases[i].first;
        second[77] = cases[i].second;
        g.slots = slots;
        g.previous[0] = first;
        g.previous[1] = second;
        g.endpoints = pointers;
        g.n_endpoints = 4;
        assert_int_equal(!catalog_restore_group(copy, &g, &diag),
                         cases[i].ok);
        if (!cases[i].ok) {
            assert_string_equal(diag.message, "group 1/g: slot 77 has "
                                "previous owners that cannot be");
        }
        catalog_destroy(copy);
    }
    catalog_destroy(catalog);
}

/* What operations lead to: each is a record to add, or (with '{') to set. */
static void
check_refusal(struct catalog *catalog, const char *const *ops, size_t n,
              enum diagnosis_code code, const char *field, int op,
              const char *message)
{
    struct catalog_txn *txn = catalog_begin(catalog);
    struct diagnosis diag = { .code = DIAG_NONE, .op = -1 };

    for (size_t i = 0; i < n && ops[i]; i++) {
        struct json *json = catalog_text_json("%s", ops[i] + 1);
        struct record record;

        catalog_set_op(txn, i);
        if (ops[i][0] == '+') {
            assert_int_equal(record_from_json(json, &record, &diag), 0);
            assert_int_equal(catalog_add(txn, &record, false, &diag), 0);
        } else {
            assert_int_equal(catalog_set(txn, json, &diag), 0);
        }
        json_destroy(json);
    }
    if (catalog_prepare(txn, &diag)) {
        catalog_abort(txn);
    } else {
        catalog_commit(txn);
    }
    assert_string_equal(diag.message, message);
    assert_int_equal(diag.code, code);
    assert_string_equal(diag.field, field);
    assert_int_equal(diag.op, op);
}

#define QUIC "'vni':1,'group':'q'"
#define GROUP(NAME, PORTS) "+{'kind':'group','vni':2,'name':'" NAME "'," \
    "'address':'2001:db8::1'," PORTS "}"

static void
quic_ids_are_unique_and_of_the_right_length(void **state OVS_UNUSED)
{
    static const struct {
        const char *ops[3];
        enum diagnosis_code code;
        const char *field;
        int op;
        const char *message;
    } cases[] = {
        { { "+{'kind':'group','vni':1,'name':'q','address':'10.0.0.2',"
            "'protocol':'udp','quic_id_length':2}",
            "+{'kind':'endpoint'," QUIC ",'name':'a','host':'h0',"
            "'mac':'02:00:00:00:00:01','quic_id':'00aB'}",
            "+{'kind':'endpoint'," QUIC ",'name':'b','host':'h1',"
            "'mac':'02:00:00:00:00:02'}" }, DIAG_NONE, "", -1, "" },
        { { "={'kind':'endpoint'," QUIC ",'name':'a','weight':3}",
            "={'kind':'endpoint'," QUIC ",'name':'b','quic_id':'00ab'}" },
          DIAG_EXISTS, "quic_id", 1, "endpoint 1/q/b: quic_id 00ab is taken "
          "by endpoint 1/q/a" },
        { { "={'kind':'endpoint'," QUIC ",'name':'b','quic_id':'ab'}" },
          DIAG_INVALID, "quic_id", 0, "endpoint 1/q/b: quic_id ab has 1 "
          "bytes, but quic_id_length of its group is 2" },
        { { "={'kind':'endpoint'," QUIC ",'name':'a','weight':3}",
            "={'kind':'group','vni':1,'name':'q','quic_id_length':3}" },
          DIAG_INVALID, "quic_id", 1, "endpoint 1/q/a: quic_id 00ab has 2 "
          "bytes, but quic_id_length of its group is 3" },
        /* Swapped, and changed together. */
        { { "={'kind':'endpoint'," QUIC ",'name':'b','quic_id':'00ab'}",
            "={'kind':'endpoint'," QUIC ",'name':'a','quic_id':''}" },
          DIAG_NONE, "", -1, "" },
        { { "={'kind':'group','vni':1,'name':'q','quic_id_length':1}",
            "={'kind':'endpoint'," QUIC ",'name':'b','quic_id':'07'}" },
          DIAG_NONE, "", -1, "" },
    };
    struct catalog *catalog = make_catalog(0);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        check_refusal(catalog, cases[i].ops, ARRAY_SIZE(cases[i].ops),
                      cases[i].code, cases[i].field, cases[i].op,
                      cases[i].message);
    }
    catalog_destroy(catalog);
}

static void
port_ranges_of_an_address_do_not_overlap(void **state OVS_UNUSED)
{
    static const struct {
        const char *ops[2];
        int op;
        const char *message;
    } cases[] = {
        { { GROUP("a", "'port':80,'port_last':90") }, -1, "" },
        { { GROUP("b", "'port':85"), GROUP("c", "'port':0") }, -1, "" },
        { { GROUP("d", "'port':91,'port_last':100"),
            GROUP("e", "'port':1,'port_last':79") }, -1, "" },
        { { GROUP("f", "'port':85") }, 0, "group 2/f: address 2001:db8::1 tcp "
          "port 85 is taken by group 2/b" },
        { { GROUP("f", "'port':110,'port_last':111"),
            GROUP("h", "'port':90,'port_last':90") }, -1, "" },
        { { GROUP("i", "'port':105,'port_last':110") }, 0, "group 2/i: "
          "address 2001:db8::1 tcp ports 105 to 110 is taken by group 2/f "
          "(ports 110 to 111)" },
    };
    struct catalog *catalog = make_catalog(0);

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        check_refusal(catalog, cases[i].ops, ARRAY_SIZE(cases[i].ops),
                      cases[i].op < 0 ? DIAG_NONE : DIAG_EXISTS,
                      cases[i].op < 0 ? "" : "address", cases[i].op,
                      cases[i].message);
    }
    catalog_destroy(catalog);
}

/* Health. */

static void
set_group(struct catalog_txn *txn, const char *what)
{
    struct json *json = catalog_text_json(
        "{'kind':'group','vni':1,'name':'g',%s}", what);
    struct diagnosis diag = { .message = "" };

    if (catalog_set(txn, json, &diag)) {
        fail_msg("%s", diag.message);
    }
    json_destroy(json);
}

static void
make_ill(struct catalog *catalog, const char *name)
{
    struct catalog_txn *txn = catalog_begin(catalog);

    catalog_set_health(txn, the_group(catalog)->id,
                       the_endpoint(catalog, name)->index, "ill");
    commit(txn);
    assert_int_equal(count(catalog, name), 0);
}

static bool
is_ill(const struct catalog *catalog, const char *name)
{
    return catalog_endpoint_sickness(catalog, the_group(catalog),
                                     the_endpoint(catalog, name));
}

static struct catalog *
make_checked_catalog(void)
{
    struct catalog *catalog = make_catalog(0);
    struct catalog_txn *txn = catalog_begin(catalog);

    set_group(txn, "'health_check':'arp'");
    commit(txn);
    return catalog;
}

static void
health_is_forgotten_when_it_is_not_checked_any_more(void **state OVS_UNUSED)
{
    static const char *const endpoint_changes[] = {
        "'state':'down'", "'host':'h0'", "'mac':'02:00:00:00:01:01'",
    };
    struct catalog *catalog = make_checked_catalog();
    struct catalog_txn *txn;
    struct diagnosis diag;

    for (size_t i = 0; i < ARRAY_SIZE(endpoint_changes); i++) {
        make_ill(catalog, "e1");
        make_ill(catalog, "e2");
        set(catalog, 1, "e1", "'weight':50");
        assert_true(is_ill(catalog, "e1"));
        set(catalog, 1, "e1", endpoint_changes[i]);
        set(catalog, 1, "e1", "'state':'up','host':'h1','weight':100,"
            "'mac':'02:00:00:00:00:01'");
        assert_false(is_ill(catalog, "e1"));
        assert_true(is_ill(catalog, "e2"));
        assert_true(count(catalog, "e1") > 0);
    }

    txn = catalog_begin(catalog);
    set_group(txn, "'health_check':'none'");
    assert_int_equal(catalog_prepare(txn, &diag), 0);
    catalog_abort(txn);
    assert_true(is_ill(catalog, "e2"));
    txn = catalog_begin(catalog);
    set_group(txn, "'health_check':'none'");
    commit(txn);
    assert_true(count(catalog, "e2") > 0);
    txn = catalog_begin(catalog);
    set_group(txn, "'health_check':'arp'");
    commit(txn);
    assert_false(is_ill(catalog, "e2"));
    catalog_destroy(catalog);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_dead_host_gives_up_its_slots_and_gets_them_back),
        cmocka_unit_test(a_dead_host_that_is_replaced_is_dead),
        cmocka_unit_test(what_was_dead_is_found_dead_after_a_restart),
        cmocka_unit_test(an_endpoint_is_up_since_it_began_to_serve),
        cmocka_unit_test(only_what_hosts_must_know_raises_the_epoch),
        cmocka_unit_test(an_index_belongs_to_a_name_and_a_mac),
        cmocka_unit_test(previous_owners_that_cannot_be_are_not_restored),
        cmocka_unit_test(quic_ids_are_unique_and_of_the_right_length),
        cmocka_unit_test(port_ranges_of_an_address_do_not_overlap),
        cmocka_unit_test(health_is_forgotten_when_it_is_not_checked_any_more),
    };

    return cmocka_run_group_tests_name("catalog-serving", tests, NULL, NULL);
}
