#include <config.h>
#include "mapping/relay.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/json-members.h"
#include "openvswitch/json.h"
#include "util.h"

/* Values. */

int
relay_address_from_text(const char *text, const char *field,
                        struct inet_addr *address, struct diagnosis *diag)
{
    uint8_t bytes[16];
    struct in_addr in;

    if (inet_pton(AF_INET, text, &in) == 1) {
        *address = inet_addr_from4(ntohl(in.s_addr));
    } else if (inet_pton(AF_INET6, text, bytes) == 1) {
        *address = inet_addr_from_bytes(bytes);
    } else {
        return diagnosis_set(diag, DIAG_INVALID, field, text,
                             "%s: \"%.64s\" is no IP address", field, text);
    }
    return 0;
}

int
relay_protocol_from_text(const char *text, uint8_t *protocol,
                         struct diagnosis *diag)
{
    static const uint8_t protocols[] = {
        IPPROTO_NR_TCP, IPPROTO_NR_UDP, IPPROTO_NR_SCTP, IPPROTO_NR_ICMP,
    };

    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (!strcmp(text, record_protocol_name(protocols[i]))) {
            *protocol = protocols[i];
            return 0;
        }
    }
    return diagnosis_set(diag, DIAG_INVALID, "protocol", text,
                         "protocol must be tcp, udp, sctp or icmp, not "
                         "\"%.32s\"", text);
}

static int
take_address(const struct json_member *member, struct inet_addr *address,
             struct diagnosis *diag)
{
    return relay_address_from_text(json_string(member->value), member->name,
                                   address, diag);
}

static int
take_u16(const struct json_member *member, uint16_t *value,
         struct diagnosis *diag)
{
    uint32_t v;
    int error = json_members_u32(member, 0, UINT16_MAX, &v, diag);

    if (!error) {
        *value = v;
    }
    return error;
}

static int
take_name(const struct json_member *member, record_name name,
          struct diagnosis *diag)
{
    const char *text = json_string(member->value);

    if (!record_is_name(text)) {
        return diagnosis_set(diag, DIAG_INVALID, member->name, text,
                             "%s: \"%.64s\" is no name", member->name, text);
    }
    ovs_strlcpy(name, text, sizeof(record_name));
    return 0;
}

static void
put_address(struct json *json, const char *name, struct inet_addr address)
{
    char text[RECORD_ADDRESS_SIZE];

    record_format_address(address, text);
    json_object_put_string(json, name, text);
}

static void
put_integer(struct json *json, const char *name, int64_t value)
{
    json_object_put(json, name, json_integer_create(value));
}

/* want_flows. */

int
relay_want_from_json(const struct json *json, bool with_host,
                     struct relay_want *want, struct diagnosis *diag)
{
    struct json_member m[] = {
        { .name = "vni", .type = JSON_INTEGER },
        { .name = "source", .type = JSON_STRING },
        { .name = "host", .type = JSON_STRING },
    };
    struct relay_want w = { .host = "" };
    int error = json_members_take(json, "want_flows", m,
                                  ARRAY_SIZE(m) - !with_host, diag);

    if (!error) {
        error = json_members_u32(&m[0], 1, VNI_MAX, &w.vni, diag);
    }
    if (!error) {
        error = take_address(&m[1], &w.source, diag);
    }
    if (!error && with_host) {
        error = take_name(&m[2], w.host, diag);
    }
    if (!error) {
        *want = w;
    }
    return error;
}

struct json *
relay_want_to_json(const struct relay_want *want)
{
    struct json *json = json_object_create();

    put_integer(json, "vni", want->vni);
    put_address(json, "source", want->source);
    if (want->host[0]) {
        json_object_put_string(json, "host", want->host);
    }
    return json;
}

/* flows. */

/* The members of a flow, which stands as an array. */
enum {
    FLOW_GROUP,
    FLOW_SRC_PORT,
    FLOW_DST_PORT,
    FLOW_ENDPOINT,
    FLOW_STATE,
    FLOW_IDLE,
    N_FLOW_MEMBERS
};

static bool
is_state_name(const char *name)
{
    size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz-");

    return length && length <= RELAY_STATE_MAX && !name[length];
}

static bool
is_number(const struct json *json, int64_t min, int64_t max)
{
    return (json->type == JSON_INTEGER
            && json_integer(json) >= min && json_integer(json) <= max);
}

static bool
read_flow(const struct json *json, struct relay_flow *flow)
{
    struct json *const *e;

    if (json->type != JSON_ARRAY || json_array(json)->n != N_FLOW_MEMBERS) {
        return false;
    }
    e = json_array(json)->elems;
    if (!is_number(e[FLOW_GROUP], 1, GROUP_MAX_ID)
        || !is_number(e[FLOW_SRC_PORT], 0, UINT16_MAX)
        || !is_number(e[FLOW_DST_PORT], 0, UINT16_MAX)
        || !is_number(e[FLOW_ENDPOINT], 0, GROUP_MAX_ENDPOINTS - 1)
        || e[FLOW_STATE]->type != JSON_STRING
        || !is_state_name(json_string(e[FLOW_STATE]))
        || !is_number(e[FLOW_IDLE], 0, UINT16_MAX)) {
        return false;
    }
    flow->group = json_integer(e[FLOW_GROUP]);
    flow->src_port = json_integer(e[FLOW_SRC_PORT]);
    flow->dst_port = json_integer(e[FLOW_DST_PORT]);
    flow->endpoint = json_integer(e[FLOW_ENDPOINT]);
    flow->idle_s = json_integer(e[FLOW_IDLE]);
    ovs_strlcpy(flow->state, json_string(e[FLOW_STATE]), sizeof flow->state);
    return true;
}

static int
read_flows(const struct json *json, struct relay_flows *f,
           struct diagnosis *diag)
{
    const struct json_array *array = json_array(json);

    if (array->n > RELAY_MAX_FLOWS) {
        return diagnosis_set(diag, DIAG_INVALID, "flows", NULL,
                             "%"PRIuSIZE" flows are more than %d", array->n,
                             RELAY_MAX_FLOWS);
    }
    f->flows = xcalloc(MAX(array->n, 1), sizeof *f->flows);
    f->n = array->n;
    for (size_t i = 0; i < array->n; i++) {
        if (!read_flow(array->elems[i], &f->flows[i])) {
            free(f->flows);
            return diagnosis_set(diag, DIAG_INVALID, "flows", NULL,
                                 "flows[%"PRIuSIZE"] is not [group id, "
                                 "source port, destination port, endpoint "
                                 "index, state, idle seconds]", i);
        }
    }
    return 0;
}

int
relay_flows_from_json(const struct json *json, struct relay_flows *flows,
                      struct diagnosis *diag)
{
    struct json_member m[] = {
        { .name = "host", .type = JSON_STRING },
        { .name = "vni", .type = JSON_INTEGER },
        { .name = "source", .type = JSON_STRING },
        { .name = "flows", .type = JSON_ARRAY },
    };
    struct relay_flows f = { .n = 0 };
    int error = json_members_take(json, "flows", m, ARRAY_SIZE(m), diag);

    if (!error) {
        error = take_name(&m[0], f.host, diag);
    }
    if (!error) {
        error = json_members_u32(&m[1], 1, VNI_MAX, &f.vni, diag);
    }
    if (!error) {
        error = take_address(&m[2], &f.source, diag);
    }
    if (!error) {
        error = read_flows(m[3].value, &f, diag);
    }
    if (!error) {
        *flows = f;
    }
    return error;
}

static struct json *
flow_to_json(const struct relay_flow *flow)
{
    struct json *members[N_FLOW_MEMBERS] = {
        [FLOW_GROUP] = json_integer_create(flow->group),
        [FLOW_SRC_PORT] = json_integer_create(flow->src_port),
        [FLOW_DST_PORT] = json_integer_create(flow->dst_port),
        [FLOW_ENDPOINT] = json_integer_create(flow->endpoint),
        [FLOW_STATE] = json_string_create(flow->state),
        [FLOW_IDLE] = json_integer_create(flow->idle_s),
    };

    return json_array_create(xmemdup(members, sizeof members),
                             N_FLOW_MEMBERS);
}

struct json *
relay_flows_to_json(const struct relay_flows *flows)
{
    struct json *json = json_object_create();
    struct json *array = json_array_create_empty();

    ovs_assert(flows->n <= RELAY_MAX_FLOWS);
    for (size_t i = 0; i < flows->n; i++) {
        json_array_add(array, flow_to_json(&flows->flows[i]));
    }
    json_object_put_string(json, "host", flows->host);
    put_integer(json, "vni", flows->vni);
    put_address(json, "source", flows->source);
    json_object_put(json, "flows", array);
    return json;
}

/* trace. */

int
relay_trace_from_json(const struct json *json, struct relay_trace *trace,
                      struct diagnosis *diag)
{
    struct json_member m[] = {
        { .name = "id", .type = JSON_INTEGER },
        { .name = "vni", .type = JSON_INTEGER },
        { .name = "protocol", .type = JSON_STRING },
        { .name = "src", .type = JSON_STRING },
        { .name = "src_port", .type = JSON_INTEGER },
        { .name = "dst", .type = JSON_STRING },
        { .name = "dst_port", .type = JSON_INTEGER },
    };
    struct relay_trace t;
    int error = json_members_take(json, "trace", m, ARRAY_SIZE(m), diag);

    if (!error) {
        error = json_members_u64(&m[0], 0, INT64_MAX, &t.id, diag);
    }
    if (!error) {
        error = json_members_u32(&m[1], 1, VNI_MAX, &t.vni, diag);
    }
    if (!error) {
        error = relay_protocol_from_text(json_string(m[2].value), &t.protocol,
                                         diag);
    }
    if (!error) {
        error = take_address(&m[3], &t.src, diag);
    }
    if (!error) {
        error = take_u16(&m[4], &t.src_port, diag);
    }
    if (!error) {
        error = take_address(&m[5], &t.dst, diag);
    }
    if (!error) {
        error = take_u16(&m[6], &t.dst_port, diag);
    }
    if (!error) {
        *trace = t;
    }
    return error;
}

struct json *
relay_trace_to_json(const struct relay_trace *trace)
{
    struct json *json = json_object_create();

    put_integer(json, "id", trace->id);
    put_integer(json, "vni", trace->vni);
    json_object_put_string(json, "protocol",
                           record_protocol_name(trace->protocol));
    put_address(json, "src", trace->src);
    put_integer(json, "src_port", trace->src_port);
    put_address(json, "dst", trace->dst);
    put_integer(json, "dst_port", trace->dst_port);
    return json;
}
