/* The messages between hosts, and of traces: read from text and written to
 * text that is worked out by hand, and everything that can be wrong with them;
 * damaged ones are judged by a twin as well. */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/relay.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "tests/unit/json-damage.h"
#include "tests/unit/relay-twin.h"
#include "util.h"

enum {
    N_DAMAGED = 10000,          /* Of each kind. */
    HUGE_TEXT = 1 << 20,
};

#define IP4(TEXT_AS_NUMBER) { 0, UINT64_C(0xffff00000000) | (TEXT_AS_NUMBER) }

union message {
    struct relay_want want;
    struct relay_flows flows;
    struct relay_trace trace;
};

/* A kind of message. */
struct kind {
    const char *text;           /* A right one, with ' for ". */
    int (*read)(const struct json *, union message *, struct diagnosis *);
    struct json *(*write)(const union message *);
    struct relay_member members[8]; /* Up to one without a name. */
};

static int
read_question(const struct json *json, union message *m,
              struct diagnosis *diag)
{
    return relay_want_from_json(json, false, &m->want, diag);
}

static int
read_relayed_question(const struct json *json, union message *m,
                      struct diagnosis *diag)
{
    return relay_want_from_json(json, true, &m->want, diag);
}

static struct json *
write_question(const union message *m)
{
    return relay_want_to_json(&m->want);
}

static int
read_flows(const struct json *json, union message *m, struct diagnosis *diag)
{
    return relay_flows_from_json(json, &m->flows, diag);
}

static struct json *
write_flows(const union message *m)
{
    return relay_flows_to_json(&m->flows);
}

static int
read_trace(const struct json *json, union message *m, struct diagnosis *diag)
{
    return relay_trace_from_json(json, &m->trace, diag);
}

static struct json *
write_trace(const union message *m)
{
    return relay_trace_to_json(&m->trace);
}

static const struct kind question = {
    "{'source':'10.1.0.2','vni':5001}", read_question, write_question,
    { { "vni", RELAY_VNI }, { "source", RELAY_ADDRESS } }
};
static const struct kind relayed_question = {
    "{'host':'h1','source':'2001:db8::2','vni':16777215}",
    read_relayed_question, write_question,
    { { "vni", RELAY_VNI }, { "source", RELAY_ADDRESS },
      { "host", RELAY_NAME } }
};
static const struct kind flows = {
    "{'flows':[[1,0,65535,4095,'established',0],"
    "[1048575,65535,0,0,'half-open',65535]],"
    "'host':'h-2.x','source':'10.1.0.2','vni':1}", read_flows, write_flows,
    { { "host", RELAY_NAME }, { "vni", RELAY_VNI },
      { "source", RELAY_ADDRESS }, { "flows", RELAY_FLOWS } }
};
static const struct kind trace = {
    "{'dst':'fd00::64','dst_port':65535,'id':9223372036854775807,"
    "'protocol':'sctp','src':'fd00::2','src_port':0,'vni':5001}",
    read_trace, write_trace,
    { { "id", RELAY_ID }, { "vni", RELAY_VNI }, { "protocol", RELAY_PROTOCOL },
      { "src", RELAY_ADDRESS }, { "src_port", RELAY_PORT },
      { "dst", RELAY_ADDRESS }, { "dst_port", RELAY_PORT } }
};
static const struct kind *const kinds[] = {
    &question, &relayed_question, &flows, &trace,
};

/* Helpers. */

static struct json *
from_text(const char *text)
{
    char *copy = xstrdup(text);
    struct json *json;

    for (char *p = copy; (p = strchr(p, '\'')); ) {
        *p = '"';
    }
    json = json_from_string(copy);
    assert_int_not_equal(json->type, JSON_STRING);
    free(copy);
    return json;
}

static void
check_text(struct json *json, const char *text)
{
    char *written = json_to_string(json, JSSF_SORT);

    for (char *p = written; (p = strchr(p, '"')); ) {
        *p = '\'';
    }
    assert_string_equal(written, text);
    free(written);
    json_destroy(json);
}

static void
free_message(const struct kind *kind, union message *m)
{
    if (kind == &flows) {
        free(m->flows.flows);
    }
}

/* Reads the right 'text'. */
static union message
must_read(const struct kind *kind, const char *text)
{
    struct json *json = from_text(text);
    struct diagnosis diag = { .message = "" };
    union message m;

    memset(&m, 0xa5, sizeof m);
    if (kind->read(json, &m, &diag)) {
        fail_msg("%s: %s", text, diag.message);
    }
    json_destroy(json);
    return m;
}

/* Reads 'json', which is destroyed, and is to be refused for 'field'. */
static struct diagnosis
refuse(const struct kind *kind, struct json *json, const char *field)
{
    struct diagnosis diag = { .code = DIAG_NONE };
    union message m, before;

    memset(&m, 0xa5, sizeof m);
    before = m;
    assert_int_equal(kind->read(json, &m, NULL), EINVAL);
    assert_int_equal(kind->read(json, &m, &diag), EINVAL);
    assert_memory_equal(&m, &before, sizeof m);
    assert_int_equal(diag.code, DIAG_INVALID);
    assert_string_equal(diag.field, field);
    assert_non_null(strstr(diag.message, field));
    json_destroy(json);
    return diag;
}

/* The kind's right message, but for member 'name', which is 'value'; without
 * it, if that is NULL. */
static struct json *
with(const struct kind *kind, const char *name, struct json *value)
{
    struct json *json = from_text(kind->text);

    if (value) {
        json_object_put(json, name, value);
    } else {
        json_destroy(shash_find_and_delete(json->object, name));
    }
    return json;
}

/* 'n' characters 'c'. */
static struct json *
long_string(size_t n, char c)
{
    char *text = xmalloc(n + 1);

    memset(text, c, n);
    text[n] = '\0';
    return json_string_create_nocopy(text);
}

/* What is right. */

static void
what_is_read_is_what_stands_there(void **state OVS_UNUSED)
{
    const struct inet_addr v4 = IP4(0x0a010002);
    const struct inet_addr v6 = { UINT64_C(0x20010db800000000), 2 };
    const struct inet_addr dst = { UINT64_C(0xfd00) << 48, 0x64 };
    union message m = must_read(&question, question.text);

    assert_int_equal(m.want.vni, 5001);
    assert_memory_equal(&m.want.source, &v4, sizeof v4);
    assert_string_equal(m.want.host, "");

    m = must_read(&relayed_question, relayed_question.text);
    assert_int_equal(m.want.vni, 16777215);
    assert_memory_equal(&m.want.source, &v6, sizeof v6);
    assert_string_equal(m.want.host, "h1");

    m = must_read(&trace, trace.text);
    assert_true(m.trace.id == INT64_MAX);
    assert_int_equal(m.trace.vni, 5001);
    assert_int_equal(m.trace.protocol, 132);
    assert_int_equal(m.trace.src.lo, 2);
    assert_memory_equal(&m.trace.dst, &dst, sizeof dst);
    assert_int_equal(m.trace.src_port, 0);
    assert_int_equal(m.trace.dst_port, 65535);
}

static void
the_flows_that_are_read_are_those_that_stand_there(void **state OVS_UNUSED)
{
    static const struct relay_flow expected[] = {
        { .group = 1, .src_port = 0, .dst_port = 65535, .endpoint = 4095,
          .idle_s = 0, .state = "established" },
        { .group = 1048575, .src_port = 65535, .dst_port = 0, .endpoint = 0,
          .idle_s = 65535, .state = "half-open" },
    };
    union message m = must_read(&flows, flows.text);

    assert_string_equal(m.flows.host, "h-2.x");
    assert_int_equal(m.flows.vni, 1);
    assert_true(m.flows.source.lo == UINT64_C(0xffff0a010002));
    assert_int_equal(m.flows.n, 2);
    for (size_t i = 0; i < m.flows.n; i++) {
        const struct relay_flow *flow = &m.flows.flows[i];

        assert_int_equal(flow->group, expected[i].group);
        assert_int_equal(flow->src_port, expected[i].src_port);
        assert_int_equal(flow->dst_port, expected[i].dst_port);
        assert_int_equal(flow->endpoint, expected[i].endpoint);
        assert_int_equal(flow->idle_s, expected[i].idle_s);
        assert_string_equal(flow->state, expected[i].state);
    }
    free_message(&flows, &m);
}

static void
what_is_written_is_what_is_wanted(void **state OVS_UNUSED)
{
    struct relay_flow flow = {
        .group = 7, .src_port = 40000, .dst_port = 80, .endpoint = 3,
        .idle_s = 12, .state = "datagram",
    };
    const struct relay_flows some = {
        .host = "h1", .vni = 5001, .source = { UINT64_C(0xfd00) << 48, 2 },
        .flows = &flow, .n = 1,
    };
    const struct relay_flows none = {
        .host = "h1", .vni = 5001, .source = IP4(0x0a010002),
    };
    const struct relay_want want = { .vni = 7, .source = IP4(0xc0000201) };
    const struct relay_want relayed = {
        .vni = 7, .source = IP4(0xc0000201), .host = "h9",
    };
    const struct relay_trace icmp = {
        .id = 3, .vni = 9, .protocol = 1, .src = IP4(0x0a010002),
        .dst = IP4(0x0a010064), .src_port = 77, .dst_port = 0,
    };

    check_text(relay_flows_to_json(&some),
               "{'flows':[[7,40000,80,3,'datagram',12]],'host':'h1',"
               "'source':'fd00::2','vni':5001}");
    check_text(relay_flows_to_json(&none),
               "{'flows':[],'host':'h1','source':'10.1.0.2','vni':5001}");
    check_text(relay_want_to_json(&want), "{'source':'192.0.2.1','vni':7}");
    check_text(relay_want_to_json(&relayed),
               "{'host':'h9','source':'192.0.2.1','vni':7}");
    check_text(relay_trace_to_json(&icmp),
               "{'dst':'10.1.0.100','dst_port':0,'id':3,'protocol':'icmp',"
               "'src':'10.1.0.2','src_port':77,'vni':9}");
}

static void
what_is_read_is_written_as_it_was(void **state OVS_UNUSED)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        union message m = must_read(kinds[i], kinds[i]->text);

        check_text(kinds[i]->write(&m), kinds[i]->text);
        free_message(kinds[i], &m);
    }
}

static void
each_protocol_has_its_number(void **state OVS_UNUSED)
{
    static const struct {
        const char *name;
        int number;
    } protocols[] = { { "tcp", 6 }, { "udp", 17 }, { "sctp", 132 },
                      { "icmp", 1 } };
    static const char *const others[] = {
        "", "icmpv6", "TCP", "tcp ", "6", "sctpx",
    };

    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        uint8_t protocol = 0;

        assert_int_equal(relay_protocol_from_text(protocols[i].name,
                                                  &protocol, NULL), 0);
        assert_int_equal(protocol, protocols[i].number);
    }
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        struct diagnosis diag;
        uint8_t protocol = 0xa5;

        assert_int_equal(relay_protocol_from_text(others[i], &protocol,
                                                  &diag), EINVAL);
        assert_int_equal(protocol, 0xa5);
        assert_string_equal(diag.field, "protocol");
        assert_string_equal(diag.value, others[i]);
    }
}

/* What is wrong. */

static void
only_objects_are_read(void **state OVS_UNUSED)
{
    static const char *const names[] = {
        "want_flows", "want_flows", "flows", "trace",
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        refuse(kinds[i], json_array_create_empty(), names[i]);
        refuse(kinds[i], json_null_create(), names[i]);
        refuse(kinds[i], json_string_create("{}"), names[i]);
    }
}

/* One value of each type of JSON. */
static struct json *
value_of_type(enum json_type type)
{
    switch (type) {
    case JSON_NULL:
        return json_null_create();
    case JSON_FALSE:
    case JSON_TRUE:
        return json_boolean_create(type == JSON_TRUE);
    case JSON_OBJECT:
        return json_object_create();
    case JSON_ARRAY:
        return json_array_create_empty();
    case JSON_INTEGER:
        return json_integer_create(1);
    case JSON_REAL:
        return json_real_create(1.5);
    case JSON_STRING:
        return json_string_create("1");
    default:
        return NULL;
    }
}

static void
every_member_is_needed_and_has_its_type(void **state OVS_UNUSED)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct json *right = from_text(kinds[i]->text);
        size_t n = 0;

        for (const struct relay_member *m = kinds[i]->members; m->name; m++) {
            const struct json *value = shash_find_data(right->object, m->name);

            refuse(kinds[i], with(kinds[i], m->name, NULL), m->name);
            for (int type = 0; type < JSON_N_TYPES; type++) {
                struct json *other = value_of_type(type);

                if (other && type != (int) value->type) {
                    refuse(kinds[i], with(kinds[i], m->name, other), m->name);
                } else {
                    json_destroy(other);
                }
            }
            n++;
        }
        assert_int_equal(n, shash_count(right->object));
        refuse(kinds[i], with(kinds[i], "more", json_null_create()), "more");
        refuse(kinds[i], with(kinds[i], "", json_null_create()), "");
        json_destroy(right);
    }

    /* A host that asks does not say who it is. */
    refuse(&question, with(&question, "host", json_string_create("h1")),
           "host");
}

static void
numbers_have_their_ranges(void **state OVS_UNUSED)
{
    static const struct {
        const struct kind *kind;
        const char *name;
        int64_t value;
        bool ok;
    } cases[] = {
        { &question, "vni", 0, false },
        { &question, "vni", 1, true },
        { &question, "vni", 16777216, false },
        { &question, "vni", -1, false },
        { &question, "vni", 4294967297, false },
        { &flows, "vni", 0, false },
        { &flows, "vni", 16777215, true },
        { &flows, "vni", 16777216, false },
        { &trace, "vni", 0, false },
        { &trace, "vni", 16777216, false },
        { &trace, "id", -1, false },
        { &trace, "id", INT64_MIN, false },
        { &trace, "id", 0, true },
        { &trace, "src_port", -1, false },
        { &trace, "src_port", 65535, true },
        { &trace, "src_port", 65536, false },
        { &trace, "dst_port", 0, true },
        { &trace, "dst_port", 65536, false },
        { &trace, "dst_port", INT64_MIN, false },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *json = with(cases[i].kind, cases[i].name,
                                 json_integer_create(cases[i].value));
        union message m;
        char text[32];

        if (cases[i].ok) {
            assert_int_equal(cases[i].kind->read(json, &m, NULL), 0);
            free_message(cases[i].kind, &m);
            json_destroy(json);
            continue;
        }
        snprintf(text, sizeof text, "%"PRId64, cases[i].value);
        assert_string_equal(refuse(cases[i].kind, json, cases[i].name).value,
                            text);
    }
}

static void
texts_have_their_forms(void **state OVS_UNUSED)
{
    static const struct {
        const struct kind *kind;
        const char *name, *value;
    } cases[] = {
        { &question, "source", "" },
        { &question, "source", "10.1.0" },
        { &question, "source", "10.1.0.256" },
        { &question, "source", "10.1.0.2/32" },
        { &question, "source", " 10.1.0.2" },
        { &question, "source", "fe80::1%eth0" },
        { &question, "source", "fd00:::2" },
        { &relayed_question, "host", "" },
        { &relayed_question, "host", "-h1" },
        { &relayed_question, "host", "h 1" },
        { &flows, "host", "h/1" },
        { &flows, "host", "" },
        { &flows, "source", "h1" },
        { &trace, "src", "0x0a010002" },
        { &trace, "dst", "fd00::12345" },
        { &trace, "protocol", "TCP" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *json = with(cases[i].kind, cases[i].name,
                                 json_string_create(cases[i].value));

        assert_string_equal(refuse(cases[i].kind, json, cases[i].name).value,
                            cases[i].value);
    }
}

static void
long_texts_are_cut_in_the_diagnosis(void **state OVS_UNUSED)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        for (const struct relay_member *m = kinds[i]->members; m->name; m++) {
            struct diagnosis diag = refuse(
                kinds[i], with(kinds[i], m->name, long_string(HUGE_TEXT, '7')),
                m->name);

            assert_true(strlen(diag.message) < sizeof diag.message);
        }
    }
    union message m = must_read(&relayed_question, relayed_question.text);
    struct json *json = with(&relayed_question, "host", long_string(63, 'h'));

    assert_int_equal(relayed_question.read(json, &m, NULL), 0);
    assert_int_equal(strlen(m.want.host), 63);
    json_destroy(json);
    refuse(&relayed_question,
           with(&relayed_question, "host", long_string(64, 'h')), "host");
}

/* The message 'flows' with one right flow, and then 'flow'. */
static struct json *
with_flow(struct json *flow)
{
    return with(&flows, "flows",
                json_array_create_2(from_text("[1,1,1,1,'new',1]"), flow));
}

static void
flows_have_their_form(void **state OVS_UNUSED)
{
    static const char *const wrong[] = {
        "[]", "{}", "[1,1,1,1,'new']", "[1,1,1,1,'new',1,1]",
        "[0,1,1,1,'new',1]", "[1048576,1,1,1,'new',1]", "['1',1,1,1,'new',1]",
        "[-1,1,1,1,'new',1]", "[4294967297,1,1,1,'new',1]",
        "[1,-1,1,1,'new',1]", "[1,65536,1,1,'new',1]", "[1,null,1,1,'new',1]",
        "[1,1,-1,1,'new',1]", "[1,1,65536,1,'new',1]", "[1,1,1.5,1,'new',1]",
        "[1,1,1,-1,'new',1]", "[1,1,1,4096,'new',1]", "[1,1,1,[],'new',1]",
        "[1,1,1,1,'',1]", "[1,1,1,1,'New',1]", "[1,1,1,1,'new1',1]",
        "[1,1,1,1,5,1]", "[1,1,1,1,'a b',1]", "[1,1,1,1,null,1]",
        "[1,1,1,1,'abcdefghijklmnop',1]", "[1,1,1,1,'new\\n',1]",
        "[1,1,1,1,'new',-1]", "[1,1,1,1,'new',65536]", "[1,1,1,1,'new','1']",
    };

    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct diagnosis diag = refuse(&flows, with_flow(from_text(wrong[i])),
                                       "flows");

        if (strncmp(diag.message, "flows[1] is not", 15)) {
            fail_msg("%s: %s", wrong[i], diag.message);
        }
    }
    refuse(&flows, with_flow(json_null_create()), "flows");
    refuse(&flows, with_flow(json_string_create("new")), "flows");

    struct json *json = with_flow(from_text("[1,1,1,1,'abcdefghijklm-o',1]"));
    union message m;

    assert_int_equal(read_flows(json, &m, NULL), 0);
    assert_string_equal(m.flows.flows[1].state, "abcdefghijklm-o");
    json_destroy(json);
    free_message(&flows, &m);
}

static struct json *
many_flows(int n)
{
    struct json *array = json_array_create_empty();

    for (int i = 0; i < n; i++) {
        char text[64];

        snprintf(text, sizeof text, "[%d,%d,80,%d,'new',%d]", i + 1,
                 10000 + i, i, 2 * i);
        json_array_add(array, from_text(text));
    }
    return with(&flows, "flows", array);
}

static void
a_thousand_flows_are_read_and_no_more(void **state OVS_UNUSED)
{
    struct diagnosis diag;
    struct json *json;
    union message m;

    for (int n = 0; n <= 1000; n += 1000) {
        json = many_flows(n);
        assert_int_equal(read_flows(json, &m, NULL), 0);
        assert_int_equal(m.flows.n, n);
        if (n) {
            assert_int_equal(m.flows.flows[999].group, 1000);
            assert_int_equal(m.flows.flows[999].src_port, 10999);
            assert_int_equal(m.flows.flows[999].idle_s, 1998);
        }
        free_message(&flows, &m);
        json_destroy(json);
    }
    diag = refuse(&flows, many_flows(1001), "flows");
    assert_non_null(strstr(diag.message, "1001"));
}

/* Damage. */

static uint64_t random_state;

static uint32_t
rnd(uint32_t n)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (random_state >> 33) % n;
}

/* Whether damaged 'json' is accepted; if so, it must be written as it was. */
static bool
take_damaged(const struct kind *kind, struct json *json)
{
    struct diagnosis diag = { .code = DIAG_NONE };
    bool right = relay_twin_reads(kind->members, json);
    union message m;
    int error = kind->read(json, &m, &diag);

    if ((error == 0) != right) {
        fail_msg("%s: %s %s", json_to_string(json, JSSF_SORT),
                 error ? "refused" : "read", diag.message);
    }
    if (error) {
        assert_true(error > 0);
        assert_int_equal(diag.code, DIAG_INVALID);
        assert_true(diag.field[0] && diag.message[0]);
    } else {
        char *text = json_to_string(json, JSSF_SORT);
        char *written;
        struct json *again = kind->write(&m);

        written = json_to_string(again, JSSF_SORT);
        assert_string_equal(written, text);
        free(written);
        free(text);
        json_destroy(again);
        free_message(kind, &m);
    }
    return !error;
}

static void
damaged_messages_are_refused_or_read_as_they_are(void **state OVS_UNUSED)
{
    static const char *const strings[] = {
        "", "a", "h1", "10.1.0.2", "fd00::2", "FD00:0::2", "::", "1.2.3.4.5",
        "tcp", "udp", "icmp", "new", "datagram", "closing-x", "%s%n",
        "\xc3\xa9", "abcdefghijklmnop", "abcdefghijklmno",
        "a23456789012345678901234567890123456789012345678901234567890123456",
    };
    static const char *const names[] = { "extra", "host", "vni", "id" };
    static const struct json_damage damage = {
        rnd, strings, ARRAY_SIZE(strings), names, ARRAY_SIZE(names),
    };

    for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
        struct json *right = from_text(kinds[k]->text);
        int n_read = 0;

        random_state = k;
        for (int i = 0; i < N_DAMAGED; i++) {
            struct json *json = json_deep_clone(right);

            for (int j = rnd(3); j >= 0; j--) {
                json_damage(&damage, json);
            }
            n_read += take_damaged(kinds[k], json);
            json_destroy(json);
        }
        json_destroy(right);
        assert_in_range(n_read, N_DAMAGED / 50, N_DAMAGED / 2);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_read_is_what_stands_there),
        cmocka_unit_test(the_flows_that_are_read_are_those_that_stand_there),
        cmocka_unit_test(what_is_written_is_what_is_wanted),
        cmocka_unit_test(what_is_read_is_written_as_it_was),
        cmocka_unit_test(each_protocol_has_its_number),
        cmocka_unit_test(only_objects_are_read),
        cmocka_unit_test(every_member_is_needed_and_has_its_type),
        cmocka_unit_test(numbers_have_their_ranges),
        cmocka_unit_test(texts_have_their_forms),
        cmocka_unit_test(long_texts_are_cut_in_the_diagnosis),
        cmocka_unit_test(flows_have_their_form),
        cmocka_unit_test(a_thousand_flows_are_read_and_no_more),
        cmocka_unit_test(damaged_messages_are_refused_or_read_as_they_are),
    };

    return cmocka_run_group_tests_name("relay", tests, NULL, NULL);
}
