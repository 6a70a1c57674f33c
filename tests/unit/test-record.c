/* mapping/record.h and mapping/diagnosis.h: what is a record and what is not,
 * and in which words that is said. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
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

/* Round trips.  The texts are made here, member by member in alphabetical
 * order, from numbers that the record is then compared with. */

static const char name_first[] = "abcxyzABCXYZ0189";
static const char name_rest[] = "abcxyzABCXYZ0189._-";

static void
random_name(char name[RECORD_NAME_MAX + 1])
{
    int n = random_range(4) ? 1 + random_range(8) : RECORD_NAME_MAX;

    for (int i = 0; i < n; i++) {
        name[i] = (i ? name_rest[random_range(sizeof name_rest - 1)]
                   : name_first[random_range(sizeof name_first - 1)]);
    }
    name[n] = '\0';
}

static void
random_address(uint8_t address[4])
{
    do {
        random_bytes(address, 4);
    } while (!address[0] || address[0] == 127 || address[0] > 223);
}

/* Reads 'text', checks that it is printed as it was, and frees it. */
static struct record
read_back(char *text)
{
    struct json *json = json_from_string(text);
    struct record record, again;
    struct diagnosis diag;
    char *printed;

    memset(&record, 0x5a, sizeof record);
    assert_int_equal(record_from_json(json, &record, &diag), 0);
    json_destroy(json);

    json = record_to_json(&record);
    printed = json_to_string(json, JSSF_SORT);
    assert_string_equal(printed, text);
    assert_int_equal(record_from_json(json, &again, NULL), 0);
    assert_true(record_equal(&record, &again));
    json_destroy(json);
    free(printed);
    free(text);
    return record;
}

static void
a_host_survives_the_round_trip(void **state OVS_UNUSED)
{
    for (int i = 0; i < 2000; i++) {
        bool vxlan = random_range(2);
        struct record record;
        record_name name;
        uint8_t a[4];

        random_name(name);
        random_address(a);
        record = read_back(xasprintf(
            "{\"encap\":\"%s\",\"kind\":\"host\",\"name\":\"%s\","
            "\"vtep\":\"%d.%d.%d.%d\"}", vxlan ? "vxlan" : "geneve", name,
            a[0], a[1], a[2], a[3]));
        assert_int_equal(record.kind, RECORD_HOST);
        assert_string_equal(record.host.name, name);
        assert_int_equal(record.host.vtep, (uint32_t) a[0] << 24 | a[1] << 16
                                           | a[2] << 8 | a[3]);
        assert_int_equal(record.host.encap,
                         vxlan ? TUNNEL_VXLAN : TUNNEL_GENEVE);
    }
}

static void
a_group_survives_the_round_trip(void **state OVS_UNUSED)
{
    for (int i = 0; i < 2000; i++) {
        uint32_t vni = 1 + random_range(0xffffff);
        int port = random_range(2) * random_range(65536);
        int slots = 256 << random_range(9);
        bool udp = random_range(2), source = random_range(2);
        uint8_t mapped[16] = { [10] = 0xff, [11] = 0xff };
        uint8_t *a = mapped + 12;
        struct record record;
        record_name name;

        random_name(name);
        random_address(a);
        record = read_back(xasprintf(
            "{\"address\":\"%d.%d.%d.%d\",\"affinity\":\"%s\","
            "\"algorithm\":\"weighted\",\"kind\":\"group\",\"name\":\"%s\","
            "\"port\":%d,\"protocol\":\"%s\",\"slots\":%d,\"vni\":%"PRIu32"}",
            a[0], a[1], a[2], a[3], source ? "source" : "flow", name, port,
            udp ? "udp" : "tcp", slots, vni));
        assert_int_equal(record.kind, RECORD_GROUP);
        assert_int_equal(record.group.vni, vni);
        assert_string_equal(record.group.name, name);
        assert_memory_equal(record.group.address, mapped, 16);
        assert_int_equal(record.group.protocol, udp ? 17 : 6);
        assert_int_equal(record.group.port, port);
        assert_int_equal(record.group.affinity,
                         source ? AFFINITY_SOURCE : AFFINITY_FLOW);
        assert_int_equal(record.group.n_slots, slots);
    }
}

static void
an_endpoint_survives_the_round_trip(void **state OVS_UNUSED)
{
    static const enum endpoint_state states[] = {
        ENDPOINT_UP, ENDPOINT_DRAINING, ENDPOINT_DOWN
    };
    static const char *const names[] = { "up", "draining", "down" };

    for (int i = 0; i < 2000; i++) {
        int weight = 1 + random_range(1000), s = random_range(3);
        struct record record;
        record_name group, name, host;
        uint8_t m[6];

        random_name(group);
        random_name(name);
        random_name(host);
        random_bytes(m, 6);
        m[0] = (m[0] & 0xfe) | 2;
        record = read_back(xasprintf(
            "{\"group\":\"%s\",\"host\":\"%s\",\"kind\":\"endpoint\","
            "\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\",\"name\":\"%s\","
            "\"state\":\"%s\",\"vni\":%d,\"weight\":%d}", group, host,
            m[0], m[1], m[2], m[3], m[4], m[5], name, names[s], 1 + i,
            weight));
        assert_int_equal(record.kind, RECORD_ENDPOINT);
        assert_int_equal(record.endpoint.vni, 1 + i);
        assert_string_equal(record.endpoint.group, group);
        assert_string_equal(record.endpoint.name, name);
        assert_string_equal(record.endpoint.host, host);
        assert_memory_equal(&record.endpoint.mac, m, 6);
        assert_int_equal(record.endpoint.weight, weight);
        assert_int_equal(record.endpoint.state, states[s]);
        assert_string_equal(record_state_name(states[s]), names[s]);
    }
}

static void
members_left_out_have_their_defaults(void **state OVS_UNUSED)
{
    struct record record = catalog_text_record("{" HOST "}");

    assert_int_equal(record.host.encap, TUNNEL_GENEVE);
    record = catalog_text_record("{" GROUP "}");
    assert_int_equal(record.group.protocol, 6);
    assert_int_equal(record.group.port, 0);
    assert_int_equal(record.group.affinity, AFFINITY_FLOW);
    assert_int_equal(record.group.n_slots, 1024);
    record = catalog_text_record("{" ENDPOINT "}");
    assert_int_equal(record.endpoint.weight, 100);
    assert_int_equal(record.endpoint.state, ENDPOINT_UP);
}

/* Refusals. */

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
      "kind: \"grp\" is not one of host, group, endpoint", NULL },
    { "{'kind':{'a':1}}", "kind", "an object",
      "kind: an object is not one of host, group, endpoint", NULL },
    { "{" ENDPOINT ",'wieght':1,'zzz':2}", "wieght", "",
      "wieght: unknown member of an endpoint record",
      "its members are kind, vni, group, name, host, mac, weight, state" },
    { "{" HOST ",'\\u001b[2J':1}", "\\x1b[2J", "",
      "\\x1b[2J: unknown member of a host record", "vtep" },
    { "{'kind':'host','vtep':'192.0.2.1'}", "name", "",
      "name: required in a host record", NULL },
    { "{'kind':'group','vni':1,'name':'a'}", "address", "",
      "address: required in a group record", NULL },
    { "{'kind':'endpoint','vni':1,'name':'a','group':'b','host':'h'}", "mac",
      "", "mac: required in an endpoint record", NULL },

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

    /* Choices. */
    { "{" ENDPOINT ",'state':'absent'}", "state", "absent",
      "state: \"absent\" is not one of up, draining, down", NULL },
    { "{" ENDPOINT ",'state':1}", "state", "1",
      "state: 1 is not one of up, draining, down", NULL },
    { "{" GROUP ",'protocol':'icmp'}", "protocol", "icmp",
      "protocol: \"icmp\" is not one of tcp, udp", NULL },
    { "{" GROUP ",'algorithm':'random'}", "algorithm", "random",
      "algorithm: \"random\" is not weighted", NULL },
    { "{" GROUP ",'affinity':'Flow'}", "affinity", "Flow",
      "affinity: \"Flow\" is not one of flow, source", NULL },
    { "{" HOST ",'encap':'gre'}", "encap", "gre",
      "encap: \"gre\" is not one of geneve, vxlan", NULL },

    /* Addresses. */
    { "{'kind':'host','name':'h','vtep':'foo'}", "vtep", "foo",
      "vtep: \"foo\" is not an IPv4 address", NULL },
    { "{'kind':'host','name':'h','vtep':'192.0.2.1 '}", "vtep", "192.0.2.1 ",
      "vtep: \"192.0.2.1 \" is not an IPv4 address", NULL },
    { "{'kind':'host','name':'h','vtep':'192.0.2'}", "vtep", "192.0.2",
      "vtep: \"192.0.2\" is not an IPv4 address", NULL },
    { "{'kind':'host','name':'h','vtep':'192.0.2.256'}", "vtep",
      "192.0.2.256", "vtep: \"192.0.2.256\" is not an IPv4 address", NULL },
    { "{'kind':'host','name':'h','vtep':3221225985}", "vtep", "3221225985",
      "vtep: 3221225985 is not an IPv4 address", NULL },
    { "{'kind':'host','name':'h','vtep':'224.0.0.1'}", "vtep", "224.0.0.1",
      "vtep: \"224.0.0.1\" is not a unicast address "
      "(0/8, 127/8 and 224/3 are not)", NULL },
    { "{'kind':'host','name':'h','vtep':'0.0.0.0'}", "vtep", "0.0.0.0",
      "vtep: \"0.0.0.0\" is not a unicast address "
      "(0/8, 127/8 and 224/3 are not)", NULL },
    { "{'kind':'group','vni':1,'name':'a','address':'fd00::1'}", "address",
      "fd00::1", "address: \"fd00::1\" is IPv6; this version serves IPv4",
      NULL },
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

static void
the_longest_name_and_the_extremes_pass(void **state OVS_UNUSED)
{
    struct record record = catalog_text_record(
        "{'kind':'endpoint','vni':16777215,'group':'%s','name':'%s',"
        "'host':'%s','mac':'FE:ff:FF:ff:FF:ff','weight':1000}", NAME63,
        NAME63, NAME63);
    char key[RECORD_KEY_SIZE];

    assert_string_equal(record.endpoint.name, NAME63);
    assert_int_equal(record.endpoint.mac.octet[0], 0xfe);
    record_format_key(&record, key);
    assert_string_equal(key, "16777215/" NAME63 "/" NAME63);
    record = catalog_text_record(
        "{" GROUP ",'port':65535,'slots':65536}");
    assert_int_equal(record.group.port, 65535);
    assert_int_equal(record.group.n_slots, 65536);
    record = catalog_text_record(
        "{'kind':'host','name':'0','vtep':'223.255.255.255'}");
    assert_int_equal(record.host.vtep, 0xdfffffff);
}

/* Keys. */

static void
only_the_key_members_of_a_key_count(void **state OVS_UNUSED)
{
    struct json *json = catalog_text_json(
        "{'kind':'endpoint','vni':7,'group':'g','name':'e','weight':[],"
        "'nonsense':1}");
    struct diagnosis diag;
    struct record record;
    char key[RECORD_KEY_SIZE];

    assert_int_equal(record_key_from_json(json, &record, &diag), 0);
    record_format_key(&record, key);
    assert_string_equal(key, "7/g/e");
    json_destroy(json);

    json = catalog_text_json("{'kind':'endpoint','vni':7,'name':'e'}");
    assert_int_equal(record_key_from_json(json, &record, &diag), EINVAL);
    assert_string_equal(diag.message, "group: required in an endpoint record");
    json_destroy(json);
}

static void
keys_order_by_kind_then_vni_as_a_number(void **state OVS_UNUSED)
{
    struct record ordered[] = {
        catalog_text_record("{'kind':'host','name':'a','vtep':'10.0.0.9'}"),
        catalog_text_record("{'kind':'host','name':'b','vtep':'10.0.0.1'}"),
        catalog_text_record(
            "{'kind':'group','vni':9,'name':'z','address':'10.0.0.1'}"),
        catalog_text_record(
            "{'kind':'group','vni':10,'name':'a','address':'10.0.0.1'}"),
        catalog_text_record(
            "{'kind':'group','vni':10,'name':'b','address':'10.0.0.1'}"),
        catalog_text_record(
            "{'kind':'endpoint','vni':9,'group':'z','name':'z','host':'h',"
            "'mac':'02:00:00:00:00:01'}"),
        catalog_text_record(
            "{'kind':'endpoint','vni':10,'group':'a','name':'b','host':'h',"
            "'mac':'02:00:00:00:00:01'}"),
        catalog_text_record(
            "{'kind':'endpoint','vni':10,'group':'b','name':'a','host':'h',"
            "'mac':'02:00:00:00:00:01'}"),
    };

    for (size_t i = 0; i < ARRAY_SIZE(ordered); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(ordered); j++) {
            int cmp = record_compare_keys(&ordered[i], &ordered[j]);

            assert_int_equal(cmp < 0, i < j);
            assert_int_equal(cmp > 0, i > j);
            assert_int_equal(record_equal(&ordered[i], &ordered[j]), i == j);
        }
    }
}

/* Changing. */

static int
update(struct record *record, struct diagnosis *diag, const char *text)
{
    struct json *json = catalog_text_json("%s", text);
    struct record before = *record;
    int error = record_update_from_json(json, record, diag);

    if (error) {
        assert_memory_equal(record, &before, sizeof before);
    }
    json_destroy(json);
    return error;
}

static void
an_update_changes_what_it_names(void **state OVS_UNUSED)
{
    struct record record = catalog_text_record(
        "{" ENDPOINT ",'weight':7,'state':'down'}");
    struct record expected;
    struct diagnosis diag;

    assert_int_equal(update(&record, &diag, "{'kind':'endpoint','vni':5001,"
                            "'group':'web','name':'w1','weight':8}"), 0);
    expected = catalog_text_record("{" ENDPOINT ",'weight':8,'state':'down'}");
    assert_true(record_equal(&record, &expected));
    assert_int_equal(update(&record, &diag, "{'kind':'endpoint','vni':5001,"
                            "'group':'web','name':'w1','host':'h2'}"), 0);
    assert_string_equal(record.endpoint.host, "h2");

    record = catalog_text_record("{" GROUP ",'port':80,'slots':512}");
    assert_int_equal(update(&record, &diag, "{" GROUP ",'port':80,'slots':512,"
                            "'protocol':'tcp','affinity':'source'}"), 0);
    assert_int_equal(record.group.affinity, AFFINITY_SOURCE);
    assert_int_equal(record.group.n_slots, 512);
}

static void
an_update_cannot_change_what_is_fixed(void **state OVS_UNUSED)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "'port':81", "port: 81 cannot replace 80, which is fixed when the "
          "group is made" },
        { "'address':'10.1.0.101'", "address: \"10.1.0.101\" cannot replace "
          "10.1.0.100, which is fixed when the group is made" },
        { "'protocol':'udp'", "protocol: \"udp\" cannot replace tcp, which is "
          "fixed when the group is made" },
        { "'slots':2048", "slots: 2048 cannot replace 1024, which is fixed "
          "when the group is made" },
        { "'slots':5", "slots: 5 is out of range 256..65536" },
        { "'colour':5", "colour: unknown member of a group record" },
    };
    struct record record = catalog_text_record("{" GROUP ",'port':80}");
    struct diagnosis diag;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *text = xasprintf("{'kind':'group','vni':5001,'name':'web',"
                               "'affinity':'source',%s}", cases[i].text);

        assert_int_equal(update(&record, &diag, text), EINVAL);
        assert_string_equal(diag.message, cases[i].message);
        free(text);
    }
    assert_int_equal(update(&record, &diag, "{'kind':'group','vni':5001,"
                            "'name':'web','port':81}"), EINVAL);
    assert_string_equal(diag.hint, "add another group with a new name, or "
                        "remove 5001/web and add it again");
    assert_int_equal(update(&record, &diag, "{'kind':'group','vni':5002,"
                            "'name':'web'}"), EINVAL);
    assert_string_equal(diag.field, "vni");
    assert_int_equal(update(&record, &diag, "{'kind':'host','name':'web'}"),
                     EINVAL);
    assert_string_equal(diag.message,
                        "kind: the record is a group, not a host");
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
        cmocka_unit_test(a_host_survives_the_round_trip),
        cmocka_unit_test(a_group_survives_the_round_trip),
        cmocka_unit_test(an_endpoint_survives_the_round_trip),
        cmocka_unit_test(members_left_out_have_their_defaults),
        cmocka_unit_test(bad_records_are_refused_by_name_and_value),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(hostile_text_is_cut_and_escaped),
        cmocka_unit_test(the_longest_name_and_the_extremes_pass),
        cmocka_unit_test(only_the_key_members_of_a_key_count),
        cmocka_unit_test(keys_order_by_kind_then_vni_as_a_number),
        cmocka_unit_test(an_update_changes_what_it_names),
        cmocka_unit_test(an_update_cannot_change_what_is_fixed),
        cmocka_unit_test(a_diagnosis_survives_the_round_trip),
        cmocka_unit_test(what_is_no_diagnosis_is_not_read_as_one),
        cmocka_unit_test(a_diagnosis_is_one_line_of_whole_characters),
    };

    random_set_seed(1);
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
