#include <config.h>

#include "vswitchd-ext/explain.h"

#include <arpa/inet.h>
#include <string.h>

#include "anycast/load.h"
#include "encap/tunnel.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "packets.h"
#include "socket-util.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/agent.h"
#include "vswitchd-ext/datapath.h"

/* Reading. */

static const struct {
    const char *name;
    uint8_t number;
} protocols[] = {
    { "tcp", IPPROTO_NR_TCP }, { "udp", IPPROTO_NR_UDP },
    { "sctp", IPPROTO_NR_SCTP }, { "icmp", IPPROTO_NR_ICMP },
};

static bool
parse_protocol(const char *name, uint8_t *number)
{
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (!strcmp(protocols[i].name, name)) {
            *number = protocols[i].number;
            return true;
        }
    }
    return false;
}

static bool
parse_address(const char *text, bool needs_port, struct inet_addr *address,
              uint16_t *port)
{
    struct sockaddr_storage ss;

    if (!inet_parse_active(text, needs_port ? -1 : 0, &ss, false, NULL)) {
        return false;
    }
    *port = ss_get_port(&ss);
    if (ss.ss_family == AF_INET) {
        const struct sockaddr_in *sin = ALIGNED_CAST(struct sockaddr_in *,
                                                     &ss);

        *address = inet_addr_from4(ntohl(sin->sin_addr.s_addr));
    } else {
        const struct sockaddr_in6 *sin6 = ALIGNED_CAST(struct sockaddr_in6 *,
                                                       &ss);

        *address = inet_addr_from_bytes(sin6->sin6_addr.s6_addr);
    }
    return true;
}

const char *
explain_parse(const char *vni, const char *protocol, const char *source,
              const char *destination, struct engine_question_flow *flow)
{
    unsigned int number;
    bool ports;

    memset(flow, 0, sizeof *flow);
    if (!str_to_uint(vni, 10, &number) || !number || number > VNI_MAX) {
        return "VNI is not a number in 1..16777215";
    }
    flow->vni = number;
    if (!parse_protocol(protocol, &flow->protocol)) {
        return "PROTOCOL is not one of tcp, udp, sctp, icmp";
    }
    ports = flow->protocol != IPPROTO_NR_ICMP;
    if (!parse_address(source, ports, &flow->src, &flow->src_port)) {
        return ports ? "SOURCE is not IP:PORT" : "SOURCE is not an IP address";
    }
    if (!parse_address(destination, ports, &flow->dst, &flow->dst_port)) {
        return (ports ? "DESTINATION is not IP:PORT"
                : "DESTINATION is not an IP address");
    }
    if (!ports) {
        flow->dst_port = 0;
    }
    if (inet_addr_is4(flow->src) != inet_addr_is4(flow->dst)) {
        return "SOURCE and DESTINATION are of different IP versions";
    }
    flow->opens = true;
    return NULL;
}

/* Finding out. */

/* What the engine says, and the names of what it talks about. */
struct finding {
    struct engine_world world;
    struct engine_explanation e;
    struct record_group group;
    struct record_endpoint endpoint;
    bool named;                 /* 'endpoint' is known. */
};

/* Of a flow that is there, explains the next packet; else, the first. */
static void
find_out(const struct engine_question_flow *flow, struct finding *f)
{
    struct engine_question_flow next = *flow;

    memset(f, 0, sizeof *f);
    f->world = datapath_world();
    next.opens = false;
    engine_explain(&f->world, time_usec(), &next, &f->e);
    if (!f->e.tracked || f->e.ref.state == FLOW_CLOSING) {
        engine_explain(&f->world, time_usec(), flow, &f->e);
    }
    if (f->e.group) {
        agent_describe(f->e.group->id, 0, &f->group, NULL);
        f->named = agent_describe(f->e.group->id, f->e.endpoint, NULL,
                                  &f->endpoint);
    }
}

static const char *
verdict_name(enum engine_verdict verdict)
{
    switch (verdict) {
    case ENGINE_UNDERLAY: return "underlay";
    case ENGINE_LOCAL: return "local";
    case ENGINE_REPLY: return "reply";
    case ENGINE_DROP: return "drop";
    case ENGINE_HELD: return "held";
    }
    OVS_NOT_REACHED();
}

static const char *
state_name(const struct group *group, uint16_t endpoint)
{
    return endpoint < group->n_endpoints
           && group->endpoints[endpoint].state != ENDPOINT_ABSENT
           ? record_state_name(group->endpoints[endpoint].state) : "gone";
}

/* The name of an endpoint, or "nobody". */
static void
put_endpoint(struct ds *ds, const struct group *group, uint16_t index)
{
    struct record_endpoint endpoint;

    if (index == GROUP_NO_ENDPOINT) {
        ds_put_cstr(ds, "nobody");
    } else if (agent_describe(group->id, index, NULL, &endpoint)) {
        ds_put_cstr(ds, endpoint.name);
    } else {
        ds_put_format(ds, "number %d", index);
    }
}

void
explain_put_address(struct ds *ds, struct inet_addr address)
{
    uint8_t bytes[16];
    char text[INET6_ADDRSTRLEN];

    inet_addr_to_bytes(address, bytes);
    if (inet_addr_is4(address)) {
        inet_ntop(AF_INET, bytes + 12, text, sizeof text);
    } else {
        inet_ntop(AF_INET6, bytes, text, sizeof text);
    }
    ds_put_cstr(ds, text);
}

const char *
explain_host(const struct record_endpoint *endpoint)
{
    return endpoint->host[0] ? endpoint->host : "no host (unbound)";
}

/* Text. */

static void
put_selection(const struct finding *f, struct ds *ds)
{
    const struct engine_explanation *e = &f->e;

    if (group_uses_slots(e->group)) {
        ds_put_format(ds, "slot       %"PRIu32" of %u, owned by ", e->slot,
                      1u << e->group->slot_bits);
        put_endpoint(ds, e->group, e->slot_owner);
        for (int i = 0; i < GROUP_MAX_PREVIOUS; i++) {
            if (e->previous[i] != GROUP_NO_ENDPOINT) {
                ds_put_cstr(ds, ", before that by ");
                put_endpoint(ds, e->group, e->previous[i]);
            }
        }
        ds_put_char(ds, '\n');
    } else if (e->picked) {
        const struct pick_trail *t = &e->trail;

        ds_put_format(ds, "filters    %d endpoints are up; %d of them in the "
                      "best tier (%d); %d not well, %d starting slowly%s\n",
                      t->n_candidates, t->n_tier, t->tier, t->n_skipped,
                      t->n_ramping,
                      t->ignored_health ? "; none is well, so that does not "
                      "count" : "");
        ds_put_cstr(ds, "candidates ");
        for (int i = 0; i < t->n_compared; i++) {
            ds_put_cstr(ds, i ? ", " : "");
            put_endpoint(ds, e->group, t->compared[i]);
        }
        ds_put_cstr(ds, t->n_compared ? "\n" : "none\n");
    }
}

static void
put_entry(const struct finding *f, struct ds *ds)
{
    const struct engine_explanation *e = &f->e;

    if (!e->tracked) {
        ds_put_cstr(ds, "entry      none\n");
        return;
    }
    ds_put_cstr(ds, "entry      on ");
    put_endpoint(ds, e->group, e->ref.endpoint);
    ds_put_format(ds, " (%s), %s, idle %d s\n",
                  state_name(e->group, e->ref.endpoint),
                  flow_state_name(e->ref.state), e->ref.idle);
}

static void
put_load(const struct endpoint_load *load, struct ds *ds)
{
    uint32_t us = __atomic_load_n(&load->response_us, __ATOMIC_RELAXED);

    ds_put_format(ds, "load       %d flows of this host, ",
                  __atomic_load_n(&load->open, __ATOMIC_RELAXED));
    if (us) {
        ds_put_format(ds, "answers in %.3f ms, ", us / 1e3);
    }
    ds_put_format(ds, "health %d %%\n",
                  __atomic_load_n(&load->health, __ATOMIC_RELAXED) * 100
                  / LOAD_HEALTHY);
}

static void
put_encapsulation(const struct finding *f, struct ds *ds)
{
    const struct group_endpoint *e = &f->e.group->endpoints[f->e.endpoint];
    const struct tunnel *tunnel = &f->world.table->tunnels[e->host];
    const uint8_t *ip = tunnel->header + sizeof(struct eth_hdr);

    ds_put_format(ds, "tunnel     %s to ",
                  tunnel->type == TUNNEL_GENEVE ? "Geneve" : "VXLAN");
    if (tunnel->version == 4) {
        ds_put_format(ds, IP_FMT, ip[16], ip[17], ip[18], ip[19]);
    } else {
        explain_put_address(ds, inet_addr_from_bytes(ip + 24));
    }
    ds_put_format(ds, ", VNI %"PRIu32", %d bytes of header, inner MTU %d\n",
                  f->group.vni, tunnel->header_len, tunnel->inner_mtu);
}

static void
put_verdict(const struct finding *f, struct ds *ds)
{
    const struct engine_explanation *e = &f->e;

    ds_put_cstr(ds, "verdict    ");
    switch (e->verdict) {
    case ENGINE_UNDERLAY:
    case ENGINE_LOCAL:
        ds_put_format(ds, "to %s on %s%s: %s\n", f->endpoint.name,
                      explain_host(&f->endpoint),
                      e->verdict == ENGINE_LOCAL ? " (this host)" : "",
                      e->why);
        break;

    case ENGINE_REPLY:
        ds_put_format(ds, "answered to the sender: %s\n",
                      drop_reason_text(e->reason));
        break;

    case ENGINE_DROP:
    case ENGINE_HELD:
        ds_put_format(ds, "dropped (%s): %s\n", drop_reason_name(e->reason),
                      drop_reason_text(e->reason));
        break;
    }
}

static void
put_text(const struct finding *f, struct ds *ds)
{
    const struct engine_explanation *e = &f->e;

    if (!e->group) {
        ds_put_cstr(ds, "group      none\n");
        put_verdict(f, ds);
        return;
    }
    ds_put_format(ds, "group      %"PRIu32"/%s, id %"PRIu32", %s, affinity "
                  "%s, epoch %"PRIu32"\n", f->group.vni, f->group.name,
                  e->group->id, pick_algorithm_name(e->group->algorithm),
                  e->group->affinity == AFFINITY_SOURCE ? "source" : "flow",
                  e->group->epoch);
    ds_put_format(ds, "hash       %016"PRIx64"\n", e->hash);
    put_entry(f, ds);
    put_selection(f, ds);
    if (f->named) {
        const struct group_endpoint *ge = &e->group->endpoints[e->endpoint];

        ds_put_format(ds, "endpoint   %s (%s) on %s\n", f->endpoint.name,
                      state_name(e->group, e->endpoint),
                      explain_host(&f->endpoint));
        if (ge->load) {
            put_load(ge->load, ds);
        }
    }
    if (e->verdict == ENGINE_UNDERLAY) {
        put_encapsulation(f, ds);
    }
    put_verdict(f, ds);
}

void
explain_text(const struct engine_question_flow *flow, struct ds *ds)
{
    struct finding f;

    find_out(flow, &f);
    put_text(&f, ds);
}

/* JSON. */

static void
put_int(struct json *object, const char *name, long long int value)
{
    json_object_put(object, name, json_integer_create(value));
}

static void
put_name(struct json *object, const char *name, const struct group *group,
         uint16_t endpoint)
{
    struct record_endpoint record;

    if (endpoint != GROUP_NO_ENDPOINT
        && agent_describe(group->id, endpoint, NULL, &record)) {
        json_object_put_string(object, name, record.name);
    }
}

static struct json *
entry_to_json(const struct engine_explanation *e)
{
    struct json *json = json_object_create();

    put_name(json, "endpoint", e->group, e->ref.endpoint);
    json_object_put_string(json, "state", flow_state_name(e->ref.state));
    put_int(json, "idle_s", e->ref.idle);
    return json;
}

static struct json *
trail_to_json(const struct group *group, const struct pick_trail *trail)
{
    struct json *json = json_object_create();
    struct json *compared = json_array_create_empty();

    put_int(json, "up", trail->n_candidates);
    put_int(json, "in_tier", trail->n_tier);
    put_int(json, "tier", trail->tier);
    put_int(json, "unwell", trail->n_skipped);
    put_int(json, "starting", trail->n_ramping);
    for (int i = 0; i < trail->n_compared; i++) {
        struct record_endpoint record;

        if (agent_describe(group->id, trail->compared[i], NULL, &record)) {
            json_array_add(compared, json_string_create(record.name));
        }
    }
    json_object_put(json, "compared", compared);
    return json;
}

static void
put_group(struct json *json, const struct finding *f)
{
    const struct engine_explanation *e = &f->e;

    put_int(json, "vni", f->group.vni);
    json_object_put_string(json, "group", f->group.name);
    put_int(json, "group_id", e->group->id);
    json_object_put_string(json, "algorithm",
                           pick_algorithm_name(e->group->algorithm));
    put_int(json, "epoch", e->group->epoch);
    json_object_put_format(json, "hash", "%016"PRIx64, e->hash);
    if (group_uses_slots(e->group)) {
        put_int(json, "slot", e->slot);
        put_name(json, "slot_owner", e->group, e->slot_owner);
        put_name(json, "slot_owner_before", e->group, e->previous[0]);
    } else if (e->picked) {
        json_object_put(json, "filters", trail_to_json(e->group, &e->trail));
    }
    json_object_put(json, "tracked", json_boolean_create(e->tracked));
    if (e->tracked) {
        json_object_put(json, "entry", entry_to_json(e));
    }
    if (f->named) {
        json_object_put_string(json, "endpoint", f->endpoint.name);
        json_object_put_string(json, "host", f->endpoint.host);
        json_object_put_string(json, "why", e->why);
    }
}

struct json *
explain_json(const struct engine_question_flow *flow)
{
    struct json *json = json_object_create();
    struct ds text = DS_EMPTY_INITIALIZER;
    struct finding f;

    find_out(flow, &f);
    json_object_put_string(json, "verdict", verdict_name(f.e.verdict));
    if (f.e.reason) {
        json_object_put_string(json, "reason", drop_reason_name(f.e.reason));
    }
    if (f.e.group) {
        put_group(json, &f);
    }
    put_text(&f, &text);
    json_object_put_string(json, "text", ds_cstr(&text));
    ds_destroy(&text);
    return json;
}
