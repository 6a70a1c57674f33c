/* The records that gateways need (mapping/record-workload.h, record-pool.h,
 * record-gateway.h): which there are, which there are not, and in which words
 * that is said. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/record.h"
#include "tests/unit/catalog-text.h"
#include "util.h"

#define WORKLOAD "'kind':'workload','vni':5001,'name':'vm1','host':'h1'," \
                 "'mac':'02:00:00:00:00:01','address':'10.1.0.5'"
#define POOL4(FIRST, LAST) \
    "'kind':'pool','vni':0,'name':'p','first':'" FIRST "','last':'" LAST "'"
#define LEASE "'kind':'lease','vni':0,'pool':'p','address':'192.0.2.1'"
#define GATEWAY "'kind':'gateway','name':'g','node1':'h1','node2':'h2'"
#define NAME63 "a2345678901234567890123456789012345678901" \
               "2345678901234567890123"
#define CLIENT127 NAME63 ":" NAME63

struct case_ {
    const char *text;           /* With ' for ". */
    const char *field;
    const char *message;        /* Part of it. */
};

static const struct case_ refusals[] = {
    /* Workloads. */
    { "{" WORKLOAD ",'public_address':'10.1.0.5'}", "public_address",
      "public_address: 10.1.0.5 is its private address, too" },
    { "{" WORKLOAD ",'public_address':'224.0.0.1'}", "public_address",
      "is not a unicast address" },
    { "{" WORKLOAD ",'public_address':null}", "public_address",
      "null is not an IPv4 or IPv6 address" },
    { "{'kind':'workload','vni':0,'name':'vm1','host':'h1',"
      "'mac':'02:00:00:00:00:01','address':'10.1.0.5'}", "vni",
      "vni: 0 is out of range 1..16777215" },
    { "{'kind':'workload','vni':1,'name':'vm1','host':'h1',"
      "'mac':'02:00:00:00:00:01','address':''}", "address",
      "address: \"\" is not an IPv4 or IPv6 address" },
    { "{'kind':'workload','vni':1,'name':'vm1','host':'h1',"
      "'address':'10.0.0.1'}", "mac", "mac: required in a workload record" },
    { "{" WORKLOAD ",'weight':3}", "weight",
      "weight: unknown member of a workload record" },

    /* Pools. */
    { "{" POOL4("192.0.2.9", "192.0.2.8") "}", "last",
      "last: 192.0.2.8 is below first" },
    { "{" POOL4("192.0.2.9", "2001:db8::1") "}", "last",
      "is not of the IP version of first" },
    { "{" POOL4("2001:db8::1", "192.0.2.9") "}", "last",
      "is not of the IP version of first" },
    { "{" POOL4("10.0.0.0", "10.1.0.0") "}", "last",
      "makes the pool larger than 65536 addresses" },
    { "{" POOL4("2001:db8::", "2001:db8:0:1::") "}", "last",
      "makes the pool larger than 65536 addresses" },
    { "{" POOL4("2001:db8::ffff:ffff:ffff:ffff", "2001:db8:0:1::ffff") "}",
      "last", "makes the pool larger" },
    { "{" POOL4("10.0.0.1", "10.0.0.2") ",'prefix_length':33}",
      "prefix_length", "33 is more than 32" },
    { "{" POOL4("2001:db8::1", "2001:db8::2") ",'prefix_length':129}",
      "prefix_length", "129 is out of range 0..128" },
    { "{" POOL4("10.0.0.127", "10.0.0.128") ",'prefix_length':25}",
      "prefix_length", "25 parts first and last into two subnets" },
    { "{" POOL4("2001:db8::ff", "2001:db8::100") ",'prefix_length':120}",
      "prefix_length", "120 parts first and last" },
    { "{" POOL4("10.0.0.1", "10.0.0.9") ",'router':'10.0.0.5'}", "router",
      "router: 10.0.0.5 is in the pool" },
    { "{" POOL4("10.0.0.1", "10.0.0.9") ",'router':'fe80::1'}", "router",
      "is not of the IP version of the pool" },
    { "{" POOL4("10.0.0.1", "10.0.0.9") ",'prefix_length':24,"
      "'router':'10.0.1.1'}", "router", "is not in the subnet of the pool" },
    { "{" POOL4("10.0.0.1", "10.0.0.9") ",'term':31536001}", "term",
      "term: 31536001 is out of range 0..31536000" },
    { "{'kind':'pool','vni':16777216,'name':'p'}", "vni", "out of range" },
    { "{'kind':'pool','vni':-1,'name':'p'}", "vni", "out of range" },

    /* Leases. */
    { "{" LEASE "}", "client", "client: required in a lease record" },
    { "{" LEASE ",'client':''}", "client", "is not a client's id" },
    { "{" LEASE ",'client':':a'}", "client", "is not a client's id" },
    { "{" LEASE ",'client':'a b'}", "client", "is not a client's id" },
    { "{" LEASE ",'client':'" CLIENT127 "8'}", "client",
      "is not a client's id" },
    { "{" LEASE ",'client':'/vm1'}", "client", "is not a client's id" },
    { "{" LEASE ",'client':'0/vm1'}", "client", "is not a client's id" },
    { "{" LEASE ",'client':'05/vm1'}", "client", "is not a client's id" },
    { "{" LEASE ",'client':'16777216/vm1'}", "client",
      "is not a client's id" },
    { "{" LEASE ",'client':'99999999999999999999/vm1'}", "client",
      "is not a client's id" },
    { "{" LEASE ",'client':'5/vm1/x'}", "client", "is not a client's id" },
    { "{" LEASE ",'client':'5/'}", "client", "is not a client's id" },
    { "{" LEASE ",'client':'+5/a'}", "client", "is not a client's id" },
    { "{" LEASE ",'client':'5/" NAME63 "4'}", "client",
      "is not a client's id" },
    { "{" LEASE ",'client':'c','term':5}", "expires",
      "expires: 0 does not go with a term of 5" },
    { "{" LEASE ",'client':'c','expires':5}", "expires",
      "expires: 5 does not go with a term of 0" },
    { "{" LEASE ",'client':'c','term':5,'expires':4294967296}", "expires",
      "is out of range 0..4294967295" },

    /* Gateways and VIPs. */
    { "{'kind':'gateway','name':'g','node1':'h1','node2':'h1'}", "node2",
      "node2: h1 is node1, too; a pair has two nodes" },
    { "{" GATEWAY ",'active':'h3'}", "active",
      "active: h3 is neither node1, h1, nor node2, h2" },
    { "{" GATEWAY ",'priority2':256}", "priority2", "out of range 0..255" },
    { "{" GATEWAY ",'epoch':4294967296}", "epoch", "out of range" },
    { "{" GATEWAY ",'epoch':-1}", "epoch", "out of range" },
    { "{" GATEWAY ",'vni':1}", "vni", "unknown member of a gateway record" },
    { "{'kind':'vip','vni':0,'name':'v','address':'10.0.0.1'}", "gateway",
      "gateway: required in a vip record" },
    { "{'kind':'vip','vni':0,'name':'v','gateway':'g'}", "address",
      "address: required in a vip record" },
};

static void
bad_records_are_refused_by_name_and_value(void **state OVS_UNUSED)
{
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        const struct case_ *c = &refusals[i];
        struct json *json = catalog_text_json("%s", c->text);
        struct diagnosis diag = { .code = DIAG_NONE };
        struct record record, untouched;

        memset(&record, 0x5a, sizeof record);
        untouched = record;
        assert_int_equal(record_from_json(json, &record, &diag), EINVAL);
        assert_memory_equal(&record, &untouched, sizeof record);
        if (!strstr(diag.message, c->message)) {
            fail_msg("%s: %s", c->text, diag.message);
        }
        assert_int_equal(diag.code, DIAG_INVALID);
        assert_string_equal(diag.field, c->field);
        json_destroy(json);
    }
}

/* What goes in comes out, and the key with it. */
static void
good_records_come_back_as_they_were(void **state OVS_UNUSED)
{
    static const struct {
        const char *text, *key;
        uint32_t vni;
    } good[] = {
        { "{" WORKLOAD ",'public_address':''}", "5001/vm1", 5001 },
        { "{" WORKLOAD ",'public_address':'2001:db8::1'}", "5001/vm1", 5001 },
        { "{" POOL4("10.0.0.0", "10.0.255.255")
          ",'prefix_length':16,'router':'','term':0}", "0/p", 0 },
        { "{" POOL4("2001:db8::fff0", "2001:db8::1:0")
          ",'prefix_length':64,'router':'2001:db8::1','term':31536000}",
          "0/p", 0 },
        { "{" POOL4("10.0.0.7", "10.0.0.7")
          ",'prefix_length':32,'router':'','term':1}", "0/p", 0 },
        { "{" LEASE ",'client':'16777215/" NAME63 "','term':0,'expires':0}",
          "0/p/192.0.2.1", 0 },
        { "{" LEASE ",'client':'" CLIENT127 "','term':1,"
          "'expires':4294967295}", "0/p/192.0.2.1", 0 },
        { "{'kind':'lease','vni':16777215,'pool':'" NAME63 "','address':"
          "'1111:2222:3333:4444:5555:6666:7777:8888','client':'5',"
          "'term':0,'expires':0}", "16777215/" NAME63
          "/1111:2222:3333:4444:5555:6666:7777:8888", 16777215 },
        { "{" GATEWAY ",'priority1':0,'priority2':255,'active':'h2',"
          "'epoch':4294967295}", "g", 0 },
        { "{" GATEWAY ",'priority1':0,'priority2':0,'active':'','epoch':0}",
          "g", 0 },
        { "{'kind':'vip','vni':7,'name':'v','address':'10.0.0.1',"
          "'gateway':'g'}", "7/v", 7 },
    };

    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct json *json = catalog_text_json("%s", good[i].text);
        struct diagnosis diag = { .message = "" };
        struct record record, again;
        char key[RECORD_KEY_SIZE];
        struct json *back;

        if (record_from_json(json, &record, &diag)) {
            fail_msg("%s: %s", good[i].text, diag.message);
        }
        back = record_to_json(&record);
        assert_true(json_equal(json, back));
        assert_int_equal(record_vni(&record), good[i].vni);
        record_format_key(&record, key);
        assert_string_equal(key, good[i].key);
        json_destroy(back);

        back = record_key_to_json(&record);
        assert_int_equal(record_key_from_json(back, &again, NULL), 0);
        assert_int_equal(record_compare_keys(&record, &again), 0);
        json_destroy(back);
        json_destroy(json);
    }
}

/* Pools as arrays of addresses in text, counted one by one. */
static void
pools_have_the_addresses_from_first_to_last(void **state OVS_UNUSED)
{
    static const char *const starts[] = {
        "10.0.0.250", "10.0.255.250", "2001:db8::fffa",
        "2001:db8:0:0:ffff:ffff:ffff:fffa", "2001:db8::1",
    };

    for (size_t i = 0; i < ARRAY_SIZE(starts); i++) {
        bool v4 = !strchr(starts[i], ':');
        uint8_t bytes[16];
        struct record_pool pool = { .vni = 0 };
        struct inet_addr all[12];

        assert_int_equal(inet_pton(v4 ? AF_INET : AF_INET6, starts[i],
                                   v4 ? bytes + 12 : bytes), 1);
        if (v4) {
            memset(bytes, 0, 10);
            memset(bytes + 10, 0xff, 2);
        }
        for (size_t j = 0; j < ARRAY_SIZE(all); j++) {
            all[j] = inet_addr_from_bytes(bytes);
            for (int k = 15; !++bytes[k]; k--) {
                continue;       /* Carry. */
            }
        }
        pool.first = all[1];
        pool.last = all[10];
        assert_int_equal(record_pool_size(&pool), 10);
        for (size_t j = 0; j < ARRAY_SIZE(all); j++) {
            struct record_pool other = { .first = all[j], .last = all[j] };
            bool inside = j >= 1 && j <= 10;

            assert_int_equal(record_pool_contains(&pool, all[j]), inside);
            assert_int_equal(record_pool_overlaps(&pool, &other), inside);
            assert_int_equal(record_pool_overlaps(&other, &pool), inside);
            if (inside) {
                assert_true(inet_addr_equal(record_pool_address(&pool, j - 1),
                                            all[j]));
            }
        }
    }
}

/* Members are read in any combination, and nothing is required. */
static void
part_of_a_record_needs_no_members(void **state OVS_UNUSED)
{
    struct json *json = catalog_text_json("{'kind':'lease','term':9}");
    struct record part;
    struct diagnosis diag;

    assert_int_equal(record_part_from_json(json, &part, &diag), 0);
    assert_int_equal(part.kind, RECORD_LEASE);
    assert_int_equal(part.lease.term, 9);
    json_destroy(json);
    json = catalog_text_json("{'kind':'lease','terms':9}");
    assert_int_not_equal(record_part_from_json(json, &part, &diag), 0);
    assert_string_equal(diag.field, "terms");
    json_destroy(json);
    json = catalog_text_json("{'kind':'lease','term':-9}");
    assert_int_not_equal(record_part_from_json(json, &part, &diag), 0);
    assert_string_equal(diag.field, "term");
    json_destroy(json);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_records_are_refused_by_name_and_value),
        cmocka_unit_test(good_records_come_back_as_they_were),
        cmocka_unit_test(pools_have_the_addresses_from_first_to_last),
        cmocka_unit_test(part_of_a_record_needs_no_members),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
