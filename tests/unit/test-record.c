/* mapping/record.h: what records are, and how they change. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
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

/* An address in both families, in text made here or by inet_ntop() from bytes
 * that no code of ours has touched. */
static void
random_inet(uint8_t bytes[16], char text[INET6_ADDRSTRLEN])
{
    memset(bytes, 0, 16);
    if (random_range(2)) {
        bytes[10] = bytes[11] = 0xff;
        random_address(bytes + 12);
        snprintf(text, INET6_ADDRSTRLEN, "%d.%d.%d.%d", bytes[12], bytes[13],
                 bytes[14], bytes[15]);
        return;
    }
    random_bytes(bytes, 16);
    bytes[0] &= 0x7f;
    if (random_range(2)) {
        memset(bytes + 2 + random_range(4), 0, 2 + random_range(8));
    }
    bytes[15] |= 2;
    inet_ntop(AF_INET6, bytes, text, INET6_ADDRSTRLEN);
}

static void
random_label(char label[RECORD_NAME_MAX + 1])
{
    random_name(label);
    if (random_range(2)) {
        label[0] = '\0';
    }
}

/* VNIs and ranges, as they are printed: ascending, and not adjacent. */
static void
random_vnis(char vnis[RECORD_VNIS_MAX * 20], struct record_vnis *expected)
{
    uint32_t vni = 1;

    vnis[0] = '\0';
    expected->n = random_range(RECORD_VNIS_MAX + 1);
    for (size_t i = 0; i < expected->n; i++) {
        uint32_t first = vni + random_range(2 * VNI_MAX / 3 / RECORD_VNIS_MAX);
        uint32_t last = random_range(2) ? first : first + random_range(1000);

        sprintf(strchr(vnis, '\0'), "%s%u", i ? "," : "", first);
        if (last > first) {
            sprintf(strchr(vnis, '\0'), "-%u", last);
        }
        expected->ranges[i] = (struct vni_range) { first, last };
        vni = last + 2;
    }
}

static uint64_t
read_be64(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++) {
        value = value * 256 + bytes[i];
    }
    return value;
}

static void
a_host_survives_the_round_trip(void **state OVS_UNUSED)
{
    for (int i = 0; i < 2000; i++) {
        bool vxlan = random_range(2);
        record_label region, zone, rack;
        char vnis[RECORD_VNIS_MAX * 20];
        struct record_vnis expected;
        char address[INET6_ADDRSTRLEN];
        struct record record;
        record_name name;
        uint8_t a[16];

        random_name(name);
        random_label(region);
        random_label(zone);
        random_label(rack);
        random_inet(a, address);
        random_vnis(vnis, &expected);
        record = read_back(xasprintf(
            "{\"encap\":\"%s\",\"kind\":\"host\",\"name\":\"%s\","
            "\"rack\":\"%s\",\"region\":\"%s\",\"vnis\":\"%s\","
            "\"vtep\":\"%s\",\"zone\":\"%s\"}",
            vxlan ? "vxlan" : "geneve", name, rack, region, vnis, address,
            zone));
        assert_int_equal(record.kind, RECORD_HOST);
        assert_string_equal(record.host.name, name);
        assert_true(record.host.vtep.hi == read_be64(a));
        assert_true(record.host.vtep.lo == read_be64(a + 8));
        assert_int_equal(record.host.encap,
                         vxlan ? TUNNEL_VXLAN : TUNNEL_GENEVE);
        assert_string_equal(record.host.region, region);
        assert_string_equal(record.host.zone, zone);
        assert_string_equal(record.host.rack, rack);
        assert_int_equal(record.host.vnis.n, expected.n);
        assert_memory_equal(record.host.vnis.ranges, expected.ranges,
                            expected.n * sizeof expected.ranges[0]);
    }
}

static const char *const algorithm_names[] = {
    "weighted", "hash", "round-robin", "least-connections", "least-cost",
    "nearest", "lowest-response-time", "availability",
};

#define NO_HEALTH "\"health_check\":\"none\",\"health_fall\":3," \
    "\"health_interval\":2000,\"health_path\":\"/\",\"health_port\":0," \
    "\"health_rise\":2,\"health_source\":\"\",\"health_status\":200," \
    "\"health_timeout\":1000,"

static void
a_group_survives_the_round_trip(void **state OVS_UNUSED)
{
    static const struct {
        const char *name;
        int number;
    } protocols[] = {
        { "tcp", 6 }, { "udp", 17 }, { "sctp", 132 }, { "icmp", 1 },
    };

    for (int i = 0; i < 2000; i++) {
        uint32_t vni = 1 + random_range(0xffffff);
        int p = random_range(4), algorithm = random_range(8);
        int port = p < 3 ? random_range(2) * random_range(65535) : 0;
        int last = port && random_range(2)
                   ? port + 1 + random_range(65535 - port) : 0;
        int slots = 256 << random_range(9);
        int timeout = 1 + random_range(14400), ramp = random_range(3601);
        int quic_length = p == 1 ? random_range(9) : 0;
        int quic_offset = random_range(MIN(20, 21 - quic_length));
        bool source = random_range(2), measured = random_range(2);
        bool reset = random_range(2), reject = random_range(2);
        char address[INET6_ADDRSTRLEN];
        struct record record;
        record_name name;
        uint8_t a[16];

        random_name(name);
        random_inet(a, address);
        record = read_back(xasprintf(
            "{\"address\":\"%s\",\"affinity\":\"%s\","
            "\"affinity_timeout\":%d,\"algorithm\":\"%s\","
            "\"distance\":\"%s\"," NO_HEALTH "\"kind\":\"group\",\"name\":\"%s\","
            "\"on_host_death\":\"%s\",\"port\":%d,\"port_last\":%d,"
            "\"protocol\":\"%s\",\"quic_id_length\":%d,"
            "\"quic_id_offset\":%d,\"ramp\":%d,\"slots\":%d,"
            "\"vni\":%"PRIu32",\"when_empty\":\"%s\"}",
            address, source ? "source" : "flow", timeout,
            algorithm_names[algorithm], measured ? "measured" : "labels",
            name, reset ? "reset" : "keep", port, last, protocols[p].name,
            quic_length, quic_offset, ramp, slots, vni,
            reject ? "reject" : "drop"));
        assert_int_equal(record.kind, RECORD_GROUP);
        assert_int_equal(record.group.vni, vni);
        assert_string_equal(record.group.name, name);
        assert_memory_equal(record.group.address, a, 16);
        assert_int_equal(record.group.protocol, protocols[p].number);
        assert_int_equal(record.group.port, port);
        assert_int_equal(record.group.port_last, last);
        assert_int_equal(record.group.algorithm, algorithm);
        assert_int_equal(record.group.affinity,
                         source ? AFFINITY_SOURCE : AFFINITY_FLOW);
        assert_int_equal(record.group.affinity_timeout, timeout);
        assert_int_equal(record.group.ramp, ramp);
        assert_int_equal(record.group.measured_distance, measured);
        assert_int_equal(record.group.reset_on_host_death, reset);
        assert_int_equal(record.group.reject_when_empty, reject);
        assert_int_equal(record.group.quic_id_offset, quic_offset);
        assert_int_equal(record.group.quic_id_length, quic_length);
        assert_int_equal(record.group.n_slots, slots);
        assert_string_equal(record_protocol_name(protocols[p].number),
                            protocols[p].name);
        assert_string_equal(record_algorithm_name(algorithm),
                            algorithm_names[algorithm]);
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
        int cost = random_range(65536), priority = random_range(256);
        int quic_length = random_range(9);
        char quic[17] = "";
        struct record record;
        record_name group, name, host;
        record_label iface;
        uint8_t m[6], q[8] = { 0 };

        random_name(group);
        random_name(name);
        random_name(host);
        random_label(iface);
        random_bytes(m, 6);
        m[0] = (m[0] & 0xfe) | 2;
        random_bytes(q + 8 - quic_length, quic_length);
        if (quic_length) {
            q[7] |= 1;          /* Zeros are no id. */
        }
        for (int j = 0; j < quic_length; j++) {
            snprintf(quic + 2 * j, 3, "%02x", q[8 - quic_length + j]);
        }
        record = read_back(xasprintf(
            "{\"cost\":%d,\"group\":\"%s\",\"host\":\"%s\","
            "\"iface\":\"%s\",\"kind\":\"endpoint\","
            "\"mac\":\"%02x:%02x:%02x:%02x:%02x:%02x\","
            "\"mac_from\":\"%s\",\"name\":\"%s\","
            "\"priority\":%d,\"quic_id\":\"%s\",\"state\":\"%s\","
            "\"vni\":%d,\"weight\":%d}", cost, group, host, iface,
            m[0], m[1], m[2], m[3], m[4], m[5],
            iface[0] && i % 2 ? "iface" : "given", name, priority, quic,
            names[s], 1 + i, weight));
        assert_int_equal(record.kind, RECORD_ENDPOINT);
        assert_int_equal(record.endpoint.vni, 1 + i);
        assert_string_equal(record.endpoint.group, group);
        assert_string_equal(record.endpoint.name, name);
        assert_string_equal(record.endpoint.host, host);
        assert_string_equal(record.endpoint.iface, iface);
        assert_memory_equal(&record.endpoint.mac, m, 6);
        assert_int_equal(record.endpoint.weight, weight);
        assert_int_equal(record.endpoint.state, states[s]);
        assert_int_equal(record.endpoint.cost, cost);
        assert_int_equal(record.endpoint.priority, priority);
        assert_int_equal(record.endpoint.quic_id.length, quic_length);
        assert_true(record.endpoint.quic_id.value == read_be64(q));
        assert_string_equal(record_state_name(states[s]), names[s]);
    }
}

static void
members_left_out_have_their_defaults(void **state OVS_UNUSED)
{
    struct record record = catalog_text_record("{" HOST "}");

    assert_int_equal(record.host.encap, TUNNEL_GENEVE);
    assert_string_equal(record.host.region, "");
    assert_string_equal(record.host.zone, "");
    assert_string_equal(record.host.rack, "");
    assert_int_equal(record.host.vnis.n, 0);
    record = catalog_text_record("{" GROUP "}");
    assert_int_equal(record.group.protocol, 6);
    assert_int_equal(record.group.port, 0);
    assert_int_equal(record.group.affinity, AFFINITY_FLOW);
    assert_int_equal(record.group.n_slots, 1024);
    assert_int_equal(record.group.port_last, 0);
    assert_int_equal(record.group.algorithm, ALGORITHM_WEIGHTED);
    assert_int_equal(record.group.affinity_timeout, 10800);
    assert_int_equal(record.group.ramp, 0);
    assert_false(record.group.measured_distance);
    assert_false(record.group.reset_on_host_death);
    assert_false(record.group.reject_when_empty);
    assert_int_equal(record.group.quic_id_offset, 0);
    assert_int_equal(record.group.quic_id_length, 0);
    record = catalog_text_record("{" ENDPOINT "}");
    assert_int_equal(record.endpoint.weight, 100);
    assert_int_equal(record.endpoint.state, ENDPOINT_UP);
    assert_int_equal(record.endpoint.cost, 0);
    assert_int_equal(record.endpoint.priority, 0);
    assert_int_equal(record.endpoint.quic_id.length, 0);
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
    assert_true(record.host.vtep.lo == 0xffffdfffffff && !record.host.vtep.hi);
    record = catalog_text_record(
        "{" GROUP ",'protocol':'udp','quic_id_length':1,'quic_id_offset':19,"
        "'port':1,'port_last':65535}");
    assert_int_equal(record.group.quic_id_offset, 19);
    record = catalog_text_record("{" ENDPOINT
                                 ",'quic_id':'FFffffffffffffff'}");
    assert_true(record.endpoint.quic_id.value == UINT64_MAX);
}

/* What can be said in two ways is the same record. */
static void
a_range_of_one_port_is_that_port(void **state OVS_UNUSED)
{
    struct record one = catalog_text_record("{" GROUP ",'port':80}");
    struct record range = catalog_text_record(
        "{" GROUP ",'port':80,'port_last':80}");
    struct json *json = catalog_text_json("{" GROUP ",'port_last':80}");

    assert_int_equal(range.group.port_last, 0);
    assert_true(record_equal(&one, &range));
    assert_int_equal(record_update_from_json(json, &one, NULL), 0);
    assert_true(record_equal(&one, &range));
    json_destroy(json);
}

/* Every member counts in a comparison, each by itself. */
static void
records_that_differ_in_one_member_differ(void **state OVS_UNUSED)
{
    static const char *const variants[][2] = {
        { HOST, "'vtep':'192.0.2.2'" }, { HOST, "'vtep':'fd00::1'" },
        { HOST, "'encap':'vxlan'" }, { HOST, "'region':'r'" },
        { HOST, "'zone':'z'" }, { HOST, "'rack':'r'" },
        { HOST, "'vnis':'1'" }, { HOST, "'vnis':'1-2'" },
        { HOST, "'vnis':'1,3'" },
        { GROUP, "'protocol':'udp'" }, { GROUP, "'port':1" },
        { GROUP, "'port':1,'port_last':2" }, { GROUP, "'algorithm':'hash'" },
        { GROUP, "'affinity':'source'" }, { GROUP, "'affinity_timeout':1" },
        { GROUP, "'ramp':1" }, { GROUP, "'distance':'measured'" },
        { GROUP, "'on_host_death':'reset'" },
        { GROUP, "'when_empty':'reject'" }, { GROUP, "'quic_id_offset':1" },
        { GROUP, "'protocol':'udp','quic_id_length':1" },
        { GROUP, "'slots':256" }, { ENDPOINT, "'host':'h2'" },
        { ENDPOINT, "'mac':'02:00:00:00:00:02'" }, { ENDPOINT, "'weight':1" },
        { ENDPOINT, "'state':'down'" }, { ENDPOINT, "'cost':1" },
        { ENDPOINT, "'priority':1" }, { ENDPOINT, "'quic_id':'02'" },
        { ENDPOINT, "'quic_id':'0002'" }, { ENDPOINT, "'quic_id':'01'" },
    };
    static struct record records[ARRAY_SIZE(variants)];

    for (size_t i = 0; i < ARRAY_SIZE(variants); i++) {
        struct json *json = catalog_text_json("{%s}", variants[i][0]);
        struct json *change = catalog_text_json("{%s}", variants[i][1]);
        struct shash_node *node;

        SHASH_FOR_EACH (node, json_object(change)) {
            json_object_put(json, node->name, json_clone(node->data));
        }
        assert_int_equal(record_from_json(json, &records[i], NULL), 0);
        json_destroy(json);
        json_destroy(change);
        for (size_t j = 0; j <= i; j++) {
            assert_int_equal(record_equal(&records[i], &records[j]), i == j);
        }
    }
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
                            "'protocol':'tcp','affinity':'source',"
                            "'algorithm':'nearest','when_empty':'reject'}"),
                     0);
    assert_int_equal(record.group.affinity, AFFINITY_SOURCE);
    assert_int_equal(record.group.algorithm, ALGORITHM_NEAREST);
    assert_true(record.group.reject_when_empty);
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
        { "'port_last':90", "port_last: 90 cannot replace 0, which is fixed "
          "when the group is made" },
        { "'quic_id_length':1", "quic_id_length: 1 does not go with protocol "
          "tcp; QUIC goes over udp" },
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_survives_the_round_trip),
        cmocka_unit_test(a_group_survives_the_round_trip),
        cmocka_unit_test(an_endpoint_survives_the_round_trip),
        cmocka_unit_test(members_left_out_have_their_defaults),
        cmocka_unit_test(the_longest_name_and_the_extremes_pass),
        cmocka_unit_test(a_range_of_one_port_is_that_port),
        cmocka_unit_test(records_that_differ_in_one_member_differ),
        cmocka_unit_test(only_the_key_members_of_a_key_count),
        cmocka_unit_test(keys_order_by_kind_then_vni_as_a_number),
        cmocka_unit_test(an_update_changes_what_it_names),
        cmocka_unit_test(an_update_cannot_change_what_is_fixed),
    };

    random_set_seed(1);
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
