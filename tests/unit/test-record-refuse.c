/* mapping/record.h and mapping/diagnosis.h: what is no record, and in which
 * words that is said. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/record.h"
#include "random.h"
#include "tests/unit/catalog-text.h"
#include "util.h"

#define HOST "'kind':'host','name':'h1','vtep':'192.0.2.1'"
#define GROUP "'kind':'group','vni':5001,'name':'web','address':'10.1.0.100'"
#define ENDPOINT "'kind':'endpoint','vni':5001,'group':'web','name':'w1'," \
                 "'host':'h1','mac':'02:00:00:00:00:01'"
#define NAME63 "a2345678901234567890123456789012345678901" \
               "2345678901234567890123"

struct refusal {
    const char *text;           /* With ' for ". */
    const char *field, *value, *message;
    const char *hint;           /* Part of it; NULL: none. */
};

static const struct refusal refusals[] = {
    /* The whole. */
    { "[]", "record", "an array", "record: an array is not a JSON object",
      NULL },
    { "{}", "kind", "", "kind: required in a record", NULL },
    { "{'kind':'grp'}", "kind", "grp",
      "kind: \"grp\" is not one of host, group, endpoint, "
      "workload, pool, lease, gateway, vip", NULL },
    { "{'kind':{'a':1}}", "kind", "an object",
      "kind: an object is not one of host, group, endpoint, "
      "workload, pool, lease, gateway, vip", NULL },
    { "{" ENDPOINT ",'wieght':1,'zzz':2}", "wieght", "",
      "wieght: unknown member of an endpoint record",
      "its members are kind, vni, group, name, iface, host, mac, mac_from, "
      "weight, state, cost, priority, quic_id" },
    { "{" HOST ",'\\u001b[2J':1}", "\\x1b[2J", "",
      "\\x1b[2J: unknown member of a host record", "vtep" },
    { "{'kind':'host','vtep':'192.0.2.1'}", "name", "",
      "name: required in a host record", NULL },
    { "{'kind':'group','vni':1,'name':'a'}", "address", "",
      "address: required in a group record", NULL },
    { "{'kind':'endpoint','vni':1,'name':'a','group':'b','host':'h'}", "mac",
      "", "mac: required in an endpoint record", "or give iface" },

    /* Names. */
    { "{'kind':'host','name':'','vtep':'192.0.2.1'}", "name", "",
      "name: \"\" is not a name", "1 to 63" },
    { "{'kind':'host','name':'-a','vtep':'192.0.2.1'}", "name", "-a",
      "name: \"-a\" is not a name", "1 to 63" },
    { "{'kind':'host','name':'a/b','vtep':'192.0.2.1'}", "name", "a/b",
      "name: \"a/b\" is not a name", "1 to 63" },
    { "{'kind':'host','name':'a\\nb','vtep':'192.0.2.1'}", "name", "a\\x0ab",
      "name: \"a\\x0ab\" is not a name", "1 to 63" },
    { "{'kind':'host','name':'\u00fc','vtep':'192.0.2.1'}", "name",
      "\\xc3\\xbc", "name: \"\\xc3\\xbc\" is not a name", "1 to 63" },
    { "{'kind':'host','name':7,'vtep':'192.0.2.1'}", "name", "7",
      "name: 7 is not a name", "1 to 63" },
    { "{'kind':'host','name':null,'vtep':'192.0.2.1'}", "name", "null",
      "name: null is not a name", "1 to 63" },
    { "{'kind':'host','name':'" NAME63 "4','vtep':'192.0.2.1'}", "name",
      "a234567890123456789012345678901234567890...",
      "name: \"a234567890123456789012345678901234567890...\" is 64 characters "
      "long, more than 63", "1 to 63" },

    /* Numbers. */
    { "{" ENDPOINT ",'weight':0}", "weight", "0",
      "weight: 0 is out of range 1..1000",
      "to stop new flows, set state draining" },
    { "{" ENDPOINT ",'weight':1001}", "weight", "1001",
      "weight: 1001 is out of range 1..1000", NULL },
    { "{" ENDPOINT ",'weight':-5}", "weight", "-5",
      "weight: -5 is out of range 1..1000", "draining" },
    { "{" ENDPOINT ",'weight':1.5}", "weight", "1.5",
      "weight: 1.5 is not an integer", NULL },
    { "{" ENDPOINT ",'weight':1e300}", "weight", "1e+300",
      "weight: 1e+300 is out of range 1..1000", NULL },
    { "{" ENDPOINT ",'weight':65537}", "weight", "65537",
      "weight: 65537 is out of range 1..1000", NULL },
    { "{" ENDPOINT ",'weight':4294967297}", "weight", "4294967297",
      "weight: 4294967297 is out of range 1..1000", NULL },
    { "{" ENDPOINT ",'weight':99999999999999999999}", "weight", "1e+20",
      "weight: 1e+20 is out of range 1..1000", NULL },
    { "{" ENDPOINT ",'weight':'100'}", "weight", "100",
      "weight: \"100\" is not an integer", NULL },
    { "{" ENDPOINT ",'weight':true}", "weight", "true",
      "weight: true is not an integer", NULL },
    { "{" ENDPOINT ",'weight':[1]}", "weight", "an array",
      "weight: an array is not an integer", NULL },
    { "{'kind':'group','vni':0,'name':'a','address':'10.0.0.1'}", "vni", "0",
      "vni: 0 is out of range 1..16777215", NULL },
    { "{'kind':'group','vni':16777216,'name':'a','address':'10.0.0.1'}",
      "vni", "16777216", "vni: 16777216 is out of range 1..16777215", NULL },
    { "{" GROUP ",'port':65536}", "port", "65536",
      "port: 65536 is out of range 0..65535", NULL },
    { "{" GROUP ",'port':-1}", "port", "-1",
      "port: -1 is out of range 0..65535", "0 stands for all ports" },
    { "{" GROUP ",'slots':128}", "slots", "128",
      "slots: 128 is out of range 256..65536", NULL },
    { "{" GROUP ",'slots':131072}", "slots", "131072",
      "slots: 131072 is out of range 256..65536", NULL },
    { "{" GROUP ",'slots':1000}", "slots", "1000",
      "slots: 1000 is not a power of two in 256..65536", NULL },

    { "{" GROUP ",'affinity_timeout':0}", "affinity_timeout", "0",
      "affinity_timeout: 0 is out of range 1..14400", "not used" },
    { "{" GROUP ",'affinity_timeout':14401}", "affinity_timeout", "14401",
      "affinity_timeout: 14401 is out of range 1..14400", NULL },
    { "{" GROUP ",'ramp':3601}", "ramp", "3601",
      "ramp: 3601 is out of range 0..3600", NULL },
    { "{" GROUP ",'port_last':65536}", "port_last", "65536",
      "port_last: 65536 is out of range 0..65535", NULL },
    { "{" GROUP ",'quic_id_offset':20}", "quic_id_offset", "20",
      "quic_id_offset: 20 is out of range 0..19", NULL },
    { "{" GROUP ",'quic_id_length':9}", "quic_id_length", "9",
      "quic_id_length: 9 is out of range 0..8", NULL },
    { "{" ENDPOINT ",'cost':65536}", "cost", "65536",
      "cost: 65536 is out of range 0..65535", NULL },
    { "{" ENDPOINT ",'priority':256}", "priority", "256",
      "priority: 256 is out of range 0..255", NULL },

    /* Labels and ids. */
    { "{" HOST ",'region':'a b'}", "region", "a b",
      "region: \"a b\" is not a name", "an empty one stands for none" },
    { "{" HOST ",'zone':1}", "zone", "1", "zone: 1 is not a name", "1 to 63" },
    { "{" HOST ",'rack':'" NAME63 "4'}", "rack",
      "a234567890123456789012345678901234567890...",
      "rack: \"a234567890123456789012345678901234567890...\" is 64 characters "
      "long, more than 63", "1 to 63" },
    { "{" HOST ",'vnis':'1,'}", "vnis", "1,",
      "vnis: \"1,\" is not a list of VNIs and ranges of them",
      "write it like 100,200-299" },
    { "{" HOST ",'vnis':7}", "vnis", "7",
      "vnis: 7 is not a list of VNIs and ranges of them", "100,200-299" },
    { "{" HOST ",'vnis':'1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31,33,35,37,"
      "39,41,43,45,47,49,51,53,55,57,59,61,63,65'}", "vnis",
      "1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,...",
      "vnis: \"1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,...\" has 33 ranges, "
      "more than 32", "wider ranges" },
    { "{" ENDPOINT ",'quic_id':'0'}", "quic_id", "0",
      "quic_id: \"0\" is not up to 8 bytes in hexadecimal",
      "quic_id_length" },
    { "{" ENDPOINT ",'quic_id':'0g'}", "quic_id", "0g",
      "quic_id: \"0g\" is not up to 8 bytes in hexadecimal", "digits" },
    { "{" ENDPOINT ",'quic_id':'0000'}", "quic_id", "0",
      "quic_id: 0 in all digits is no id", "other digit" },
    { "{" ENDPOINT ",'quic_id':12}", "quic_id", "12",
      "quic_id: 12 is not up to 8 bytes in hexadecimal", "digits" },
    { "{" ENDPOINT ",'quic_id':'112233445566778899'}", "quic_id",
      "112233445566778899", "quic_id: \"112233445566778899\" is not up to "
      "8 bytes in hexadecimal", "digits" },

    /* Members that do not go together. */
    { "{" GROUP ",'port':80,'port_last':79}", "port_last", "79",
      "port_last: 79 is less than port, 80", "port is the first" },
    { "{" GROUP ",'port_last':79}", "port_last", "79",
      "port_last: 79 ends a range that port does not begin",
      "give a port of at least 1, or leave port_last out for all ports" },
    { "{" GROUP ",'protocol':'icmp','port':80}", "port", "80",
      "port: 80 does not go with protocol icmp, which has no ports",
      "leave it out" },
    { "{" GROUP ",'protocol':'icmp','port_last':80}", "port_last", "80",
      "port_last: 80 does not go with protocol icmp, which has no ports",
      "leave it out" },
    { "{" GROUP ",'quic_id_length':4}", "quic_id_length", "4",
      "quic_id_length: 4 does not go with protocol tcp; QUIC goes over udp",
      "leave it out, or make a group of protocol udp" },
    { "{" GROUP ",'protocol':'udp','quic_id_length':2,'quic_id_offset':19}",
      "quic_id_offset", "19", "quic_id_offset: 19 and a quic_id_length of 2 "
      "reach beyond the 20 bytes of a connection id", "smaller" },

    /* Choices. */
    { "{" ENDPOINT ",'state':'absent'}", "state", "absent",
      "state: \"absent\" is not one of up, draining, down", NULL },
    { "{" ENDPOINT ",'state':1}", "state", "1",
      "state: 1 is not one of up, draining, down", NULL },
    { "{" GROUP ",'protocol':'icmpv6'}", "protocol", "icmpv6",
      "protocol: \"icmpv6\" is not one of tcp, udp, sctp, icmp", NULL },
    { "{" GROUP ",'algorithm':'random'}", "algorithm", "random",
      "algorithm: \"random\" is not one of weighted, hash, round-robin, "
      "least-connections, least-cost, nearest, lowest-response-time, "
      "availability", NULL },
    { "{" GROUP ",'distance':'far'}", "distance", "far",
      "distance: \"far\" is not one of labels, measured", NULL },
    { "{" GROUP ",'on_host_death':true}", "on_host_death", "true",
      "on_host_death: true is not one of keep, reset", NULL },
    { "{" GROUP ",'when_empty':''}", "when_empty", "",
      "when_empty: \"\" is not one of drop, reject", NULL },
    { "{" GROUP ",'affinity':'Flow'}", "affinity", "Flow",
      "affinity: \"Flow\" is not one of flow, source", NULL },
    { "{" HOST ",'encap':'gre'}", "encap", "gre",
      "encap: \"gre\" is not one of geneve, vxlan", NULL },

    /* Addresses. */
    { "{'kind':'host','name':'h','vtep':'foo'}", "vtep", "foo",
      "vtep: \"foo\" is not an IPv4 or IPv6 address", NULL },
    { "{'kind':'host','name':'h','vtep':'192.0.2.1 '}", "vtep", "192.0.2.1 ",
      "vtep: \"192.0.2.1 \" is not an IPv4 or IPv6 address", NULL },
    { "{'kind':'host','name':'h','vtep':'192.0.2'}", "vtep", "192.0.2",
      "vtep: \"192.0.2\" is not an IPv4 or IPv6 address", NULL },
    { "{'kind':'host','name':'h','vtep':'192.0.2.256'}", "vtep",
      "192.0.2.256",
      "vtep: \"192.0.2.256\" is not an IPv4 or IPv6 address", NULL },
    { "{'kind':'host','name':'h','vtep':3221225985}", "vtep", "3221225985",
      "vtep: 3221225985 is not an IPv4 or IPv6 address", NULL },
    { "{'kind':'host','name':'h','vtep':'224.0.0.1'}", "vtep", "224.0.0.1",
      "vtep: \"224.0.0.1\" is not a unicast address "
      "(0/8, 127/8 and 224/3 are not)", NULL },
    { "{'kind':'host','name':'h','vtep':'0.0.0.0'}", "vtep", "0.0.0.0",
      "vtep: \"0.0.0.0\" is not a unicast address "
      "(0/8, 127/8 and 224/3 are not)", NULL },
    { "{'kind':'host','name':'h','vtep':'::'}", "vtep", "::",
      "vtep: \"::\" is not a unicast address (::, ::1 and ff00::/8 are not)",
      NULL },
    { "{'kind':'host','name':'h','vtep':'ff02::1'}", "vtep", "ff02::1",
      "vtep: \"ff02::1\" is not a unicast address "
      "(::, ::1 and ff00::/8 are not)", NULL },
    { "{'kind':'host','name':'h','vtep':'127.0.0.1'}", "vtep", "127.0.0.1",
      "vtep: \"127.0.0.1\" is not a unicast address "
      "(0/8, 127/8 and 224/3 are not)", NULL },
    { "{'kind':'host','name':'h','vtep':'::1'}", "vtep", "::1",
      "vtep: \"::1\" is not a unicast address (::, ::1 and ff00::/8 are not)",
      NULL },
    { "{'kind':'host','name':'h','vtep':'169.254.0.1'}", "vtep",
      "169.254.0.1", "vtep: 169.254.0.1 is a link-local address, which hosts "
      "on other links cannot reach", "underlay" },
    { "{'kind':'host','name':'h','vtep':'fe80::1'}", "vtep", "fe80::1",
      "vtep: fe80::1 is a link-local address, which hosts on other links "
      "cannot reach", "underlay" },
    { "{'kind':'host','name':'h','vtep':'febf:ffff::1'}", "vtep",
      "febf:ffff::1", "vtep: febf:ffff::1 is a link-local address, which "
      "hosts on other links cannot reach", "underlay" },
    { "{'kind':'host','name':'h','vtep':'fe80::1%lo'}", "vtep", "fe80::1%lo",
      "vtep: \"fe80::1%lo\" is not an IPv4 or IPv6 address", NULL },
    { "{'kind':'host','name':'h','vtep':'::ffff:192.0.2.1'}", "vtep",
      "::ffff:192.0.2.1", "vtep: \"::ffff:192.0.2.1\" is an IPv4 address "
      "written as IPv6", "write it as 192.0.2.1" },
    { "{'kind':'group','vni':1,'name':'a','address':'::1'}", "address",
      "::1", "address: \"::1\" is not a unicast address "
      "(::, ::1 and ff00::/8 are not)", NULL },
    { "{'kind':'group','vni':1,'name':'a','address':'127.0.0.1'}", "address",
      "127.0.0.1", "address: \"127.0.0.1\" is not a unicast address "
      "(0/8, 127/8 and 224/3 are not)", NULL },
    { "{'kind':'endpoint','vni':1,'name':'a','group':'b','host':'h',"
      "'mac':'02:00:00:00:00'}", "mac", "02:00:00:00:00",
      "mac: \"02:00:00:00:00\" is not an Ethernet address",
      "write it like 02:00:00:00:00:01" },
    { "{'kind':'endpoint','vni':1,'name':'a','group':'b','host':'h',"
      "'mac':'02:00:00:00:00:01:'}", "mac", "02:00:00:00:00:01:",
      "mac: \"02:00:00:00:00:01:\" is not an Ethernet address",
      "write it like 02:00:00:00:00:01" },
    { "{'kind':'endpoint','vni':1,'name':'a','group':'b','host':'h',"
      "'mac':'02:00:00:00:00:0g'}", "mac", "02:00:00:00:00:0g",
      "mac: \"02:00:00:00:00:0g\" is not an Ethernet address",
      "write it like 02:00:00:00:00:01" },
    { "{'kind':'endpoint','vni':1,'name':'a','group':'b','host':'h',"
      "'mac':'01:00:5e:00:00:01'}", "mac", "01:00:5e:00:00:01",
      "mac: \"01:00:5e:00:00:01\" is a multicast address", "" },
    { "{'kind':'endpoint','vni':1,'name':'a','group':'b','host':'h',"
      "'mac':'00:00:00:00:00:00'}", "mac", "00:00:00:00:00:00",
      "mac: \"00:00:00:00:00:00\" is no station's address", "" },
};

static void
check_refusal(const struct diagnosis *diag, const struct refusal *r)
{
    assert_string_equal(diag->message, r->message);
    assert_int_equal(diag->code, DIAG_INVALID);
    assert_int_equal(diag->op, -1);
    assert_string_equal(diag->field, r->field);
    assert_string_equal(diag->value, r->value);
    if (r->hint) {
        assert_non_null(strstr(diag->hint, r->hint));
    } else {
        assert_string_equal(diag->hint, "");
    }
}

static void
bad_records_are_refused_by_name_and_value(void **state OVS_UNUSED)
{
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        struct json *json = catalog_text_json("%s", refusals[i].text);
        struct record record, before;
        struct diagnosis diag;

        memset(&record, 0x5a, sizeof record);
        before = record;
        assert_int_equal(record_from_json(json, &record, &diag), EINVAL);
        check_refusal(&diag, &refusals[i]);
        assert_memory_equal(&record, &before, sizeof record);
        assert_int_equal(record_from_json(json, &record, NULL), EINVAL);
        json_destroy(json);
    }
}

/* It would have to be sorted before it could be counted. */
static void
long_text_of_vnis_is_refused_unread(void **state OVS_UNUSED)
{
    char text[RECORD_VNIS_TEXT_MAX + 2];
    struct record record;
    struct diagnosis diag;
    struct json *json;

    for (size_t i = 0; i < sizeof text - 1; i++) {
        text[i] = i % 2 ? ',' : '1';
    }
    text[sizeof text - 1] = '\0';
    json = catalog_text_json("{" HOST ",'vnis':'%s'}", text);
    assert_int_equal(EINVAL, record_from_json(json, &record, &diag));
    json_destroy(json);
    assert_string_equal("vnis", diag.field);
    assert_non_null(strstr(diag.message, "is longer than 4096 characters"));

    json = catalog_text_json("{" HOST ",'vnis':'%s'}", text + 2);
    assert_int_equal(0, record_from_json(json, &record, &diag));
    json_destroy(json);
    assert_int_equal(1, record.host.vnis.n);
}

static void
numbers_that_are_none_are_refused(void **state OVS_UNUSED)
{
    struct json *json = catalog_text_json("{" ENDPOINT "}");
    struct diagnosis diag;
    struct record record;

    json_object_put(json, "weight", json_real_create(NAN));
    assert_int_equal(record_from_json(json, &record, &diag), EINVAL);
    assert_non_null(strstr(diag.message, "is not an integer"));
    json_object_put(json, "weight", json_real_create(INFINITY));
    assert_int_equal(record_from_json(json, &record, &diag), EINVAL);
    assert_string_equal(diag.message, "weight: inf is out of range 1..1000");
    json_destroy(json);
}

/* Whatever the input, the diagnosis is one printable line that fits. */
static void
hostile_text_is_cut_and_escaped(void **state OVS_UNUSED)
{
    static const char *const fields[] = { "kind", "name", "vtep", "encap" };
    char *text = xmalloc(100001);

    for (int i = 0; i < 200; i++) {
        struct json *json = catalog_text_json("{" HOST "}");
        const char *field = fields[random_range(ARRAY_SIZE(fields))];
        size_t n = random_range(2) ? 100000 : 1 + random_range(300);
        struct diagnosis diag;
        struct record record;

        for (size_t j = 0; j < n; j++) {
            text[j] = 1 + random_range(255);
        }
        text[n] = '\0';
        json_object_put_string(json, i % 2 ? text : field, text);
        assert_int_equal(record_from_json(json, &record, &diag), EINVAL);
        assert_true(strlen(diag.message) < 160);
        for (const char *p = diag.message; *p; p++) {
            assert_in_range(*p, ' ', '~');
        }
        for (const char *p = diag.value; *p; p++) {
            assert_in_range(*p, ' ', '~');
        }
        json_destroy(json);
    }
    free(text);
}

/* Diagnoses. */

static void
a_diagnosis_survives_the_round_trip(void **state OVS_UNUSED)
{
    for (int code = DIAG_NONE + 1; code < N_DIAG_CODES; code++) {
        struct diagnosis diag, again;
        struct json *json;

        assert_true(diagnosis_set(&diag, code, code % 2 ? "field" : NULL,
                                  code % 3 ? "value" : NULL, "%s", "text")
                    > 0);
        diag.op = code % 2 ? code : -1;
        if (code % 2) {
            diagnosis_set_hint(&diag, "hint %d", code);
        }
        json = diagnosis_to_json(&diag);
        memset(&again, 0x5a, sizeof again);
        assert_true(diagnosis_from_json(json, &again));
        assert_memory_equal(&diag, &again, sizeof diag);
        json_destroy(json);
    }
}

static void
what_is_no_diagnosis_is_not_read_as_one(void **state OVS_UNUSED)
{
    static const char *const texts[] = {
        "[]", "{}", "{'error':'nonsense','message':'m'}",
        "{'error':'none','message':'m'}", "{'error':1,'message':'m'}",
        "{'error':'invalid','message':1}",
        "{'error':'invalid','message':'m','op':-1}",
        "{'error':'invalid','message':'m','op':4294967296}",
        "{'error':'invalid','message':'m','hint':[]}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct json *json = catalog_text_json("%s", texts[i]);
        struct diagnosis diag, before;

        memset(&diag, 0x5a, sizeof diag);
        before = diag;
        assert_false(diagnosis_from_json(json, &diag));
        assert_memory_equal(&diag, &before, sizeof diag);
        json_destroy(json);
    }
}

static void
a_diagnosis_is_one_line_of_whole_characters(void **state OVS_UNUSED)
{
    struct diagnosis diag;
    char text[400];

    assert_int_equal(diagnosis_set(&diag, DIAG_STORE, NULL, "a\nb\x7f",
                                   "a\tb\nc"), EIO);
    assert_string_equal(diag.message, "a?b?c");
    assert_string_equal(diag.value, "a?b?");

    /* Two bytes a character; the message has room for an odd number. */
    for (size_t i = 0; i < sizeof text - 2; i += 2) {
        memcpy(text + i, "\xc3\xbc", 3);
    }
    diagnosis_set(&diag, DIAG_STORE, NULL, NULL, "%s", text);
    assert_int_equal(strlen(diag.message), sizeof diag.message - 2);
    diagnosis_set(&diag, DIAG_STORE, NULL, NULL, "x%s", text);
    assert_int_equal(strlen(diag.message), sizeof diag.message - 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_records_are_refused_by_name_and_value),
        cmocka_unit_test(long_text_of_vnis_is_refused_unread),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(hostile_text_is_cut_and_escaped),
        cmocka_unit_test(a_diagnosis_survives_the_round_trip),
        cmocka_unit_test(what_is_no_diagnosis_is_not_read_as_one),
        cmocka_unit_test(a_diagnosis_is_one_line_of_whole_characters),
    };

    random_set_seed(1);
    return cmocka_run_group_tests_name("record-refuse", tests, NULL, NULL);
}
