#include <config.h>

#include "vswitchd-ext/appctl.h"

#include <arpa/inet.h>
#include <string.h>

#include "anycast/engine.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "packets.h"
#include "socket-util.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"
#include "vswitchd-ext/agent.h"
#include "vswitchd-ext/config.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/steering.h"
#include "vswitchd-ext/underlay.h"

enum { FLOWS_SHOWN = 100 };     /* By anycast/flows, unless told. */

enum { MAX_ARGS = 8 };          /* More than any command here takes. */

/* A command's arguments without "--json", which may stand anywhere. */
struct args {
    bool json;
    int n;
    const char *v[MAX_ARGS];    /* v[0] is the command's name. */
};

/* The caller's array stays as it is: unixctl frees what is in it. */
static struct args
parse_args(int argc, const char *argv[])
{
    struct args args = { .json = false };

    for (int i = 0; i < argc && i < MAX_ARGS; i++) {
        if (!strcmp(argv[i], "--json")) {
            args.json = true;
        } else {
            args.v[args.n++] = argv[i];
        }
    }
    return args;
}

static void
reply_json(struct unixctl_conn *conn, struct json *json)
{
    char *text = json_to_string(json, JSSF_SORT);

    unixctl_command_reply(conn, text);
    free(text);
    json_destroy(json);
}

static void
reply_ds(struct unixctl_conn *conn, struct ds *ds)
{
    unixctl_command_reply(conn, ds_cstr(ds));
    ds_destroy(ds);
}

static void
put_int(struct json *object, const char *name, long long int value)
{
    json_object_put(object, name, json_integer_create(value));
}

/* anycast/show. */

/* One line of `anycast/show`, and one member of its JSON. */
struct fact {
    const char *name;
    long long int value;
};

static const char *
mapd_state(const struct agent_status *status)
{
    return !status->configured ? "not configured"
           : status->connected ? "connected" : "away";
}

static size_t
collect_facts(const struct agent_status *status, struct fact *facts)
{
    struct engine_thread total;
    struct flow_table_stats flows;
    size_t n = 0;

    memset(&flows, 0, sizeof flows);
    if (datapath_flows()) {
        flow_table_get_stats(datapath_flows(), &flows);
    }
    datapath_get_counters(&total);
    facts[n++] = (struct fact) { "revision", status->revision };
    facts[n++] = (struct fact) { "age_ms", status->age_ms };
    facts[n++] = (struct fact) { "groups", status->n_groups };
    facts[n++] = (struct fact) { "hosts", status->n_hosts };
    facts[n++] = (struct fact) { "hosts_without_next_hop",
                                 status->n_unresolved };
    facts[n++] = (struct fact) { "steering_rules", steering_n_rules() };
    facts[n++] = (struct fact) { "flow_capacity", flows.capacity };
    facts[n++] = (struct fact) { "flow_memory_bytes", flows.memory };
    facts[n++] = (struct fact) { "flows_inserted", flows.inserted };
    facts[n++] = (struct fact) { "flows_expired", flows.expired };
    facts[n++] = (struct fact) { "flows_evicted", flows.evicted };
    facts[n++] = (struct fact) { "flows_refused", flows.refused };
    facts[n++] = (struct fact) { "packets_to_underlay", total.underlay };
    facts[n++] = (struct fact) { "packets_to_local_endpoints", total.local };
    facts[n++] = (struct fact) { "arp_replies", total.arp_replies };
    facts[n++] = (struct fact) { "icmp_errors", total.icmp_errors };
    facts[n++] = (struct fact) { "endpoints_selected", total.new_flows };
    facts[n++] = (struct fact) { "endpoints_selected_again", total.repicked };
    facts[n++] = (struct fact) { "flows_untracked", total.untracked };
    facts[n++] = (struct fact) { "checksums_completed",
                                 total.completed_csums };
    return n;
}

static void
anycast_show(struct unixctl_conn *conn, int argc, const char *argv[],
             void *aux OVS_UNUSED)
{
    struct args args = parse_args(argc, argv);
    struct agent_status status;
    struct fact facts[32];
    size_t n;

    agent_get_status(&status);
    n = collect_facts(&status, facts);
    if (args.json) {
        struct json *json = json_object_create();

        json_object_put_string(json, "version", GRAPNEL_VERSION);
        json_object_put_string(json, "mapd", mapd_state(&status));
        json_object_put_string(json, "underlay", underlay_description());
        if (config_error()) {
            json_object_put_string(json, "config_error", config_error());
        }
        for (size_t i = 0; i < n; i++) {
            put_int(json, facts[i].name, facts[i].value);
        }
        reply_json(conn, json);
    } else {
        struct ds ds = DS_EMPTY_INITIALIZER;

        ds_put_format(&ds, "%-28s %s\n", "version", GRAPNEL_VERSION);
        ds_put_format(&ds, "%-28s %s\n", "mapd", mapd_state(&status));
        ds_put_format(&ds, "%-28s %s\n", "underlay", underlay_description());
        if (config_error()) {
            ds_put_format(&ds, "%-28s %s\n", "config error", config_error());
        }
        for (size_t i = 0; i < n; i++) {
            ds_put_format(&ds, "%-28s %lld\n", facts[i].name, facts[i].value);
        }
        reply_ds(conn, &ds);
    }
}

/* anycast/drops. */

static void
anycast_drops(struct unixctl_conn *conn, int argc, const char *argv[],
              void *aux OVS_UNUSED)
{
    struct args args = parse_args(argc, argv);
    struct engine_thread total;

    datapath_get_counters(&total);
    if (args.json) {
        struct json *json = json_object_create();

        for (int i = DROP_NONE + 1; i < N_DROP_REASONS; i++) {
            put_int(json, drop_reason_name(i), total.drops[i]);
        }
        reply_json(conn, json);
    } else {
        struct ds ds = DS_EMPTY_INITIALIZER;

        for (int i = DROP_NONE + 1; i < N_DROP_REASONS; i++) {
            ds_put_format(&ds, "%-16s %12"PRIu64"  %s\n", drop_reason_name(i),
                          total.drops[i], drop_reason_text(i));
        }
        reply_ds(conn, &ds);
    }
}

/* anycast/flows. */

static const char *
affinity_name(const struct record_group *group)
{
    return group->affinity == AFFINITY_SOURCE ? "source" : "flow";
}

static struct json *
flow_to_json(const struct flow_key4 *key, const struct flow_ref *ref)
{
    struct json *json = json_object_create();
    struct record_group group;
    struct record_endpoint endpoint;

    json_object_put_format(json, "source", IP_FMT, IP_ARGS(htonl(key->src)));
    put_int(json, "source_port", key->src_port);
    put_int(json, "port", key->dst_port);
    json_object_put_string(json, "state", flow_state_name(ref->state));
    put_int(json, "idle_s", ref->idle);
    put_int(json, "group_id", key->group);
    put_int(json, "endpoint_index", ref->endpoint);
    if (agent_describe(key->group, ref->endpoint, &group, &endpoint)) {
        put_int(json, "vni", group.vni);
        json_object_put_string(json, "group", group.name);
        json_object_put_string(json, "affinity", affinity_name(&group));
        json_object_put_string(json, "endpoint", endpoint.name);
        json_object_put_string(json, "host", endpoint.host);
    }
    return json;
}

static void
flow_to_text(const struct flow_key4 *key, const struct flow_ref *ref,
             struct ds *ds)
{
    struct record_group group;
    struct record_endpoint endpoint;

    if (!agent_describe(key->group, ref->endpoint, &group, &endpoint)) {
        return;                 /* Of a group that has gone: inert. */
    }
    ds_put_format(ds, "%"PRIu32"/%s "IP_FMT, group.vni, group.name,
                  IP_ARGS(htonl(key->src)));
    if (group.affinity == AFFINITY_FLOW) {
        ds_put_format(ds, ":%d to port %d", key->src_port, key->dst_port);
    }
    ds_put_format(ds, " -> %s on %s (%s, idle %d s)\n", endpoint.name,
                  endpoint.host, flow_state_name(ref->state), ref->idle);
}

static void
anycast_flows(struct unixctl_conn *conn, int argc, const char *argv[],
              void *aux OVS_UNUSED)
{
    struct args args = parse_args(argc, argv);
    const struct flow_table *flows = datapath_flows();
    struct json *array = json_array_create_empty();
    struct ds ds = DS_EMPTY_INITIALIZER;
    unsigned int limit = FLOWS_SHOWN;
    struct flow_key4 key;
    struct flow_ref ref;
    uint64_t cursor = 0;

    if (args.n > 1 && !str_to_uint(args.v[1], 10, &limit)) {
        unixctl_command_reply_error(conn, "LIMIT is not a number; usage: "
                                    "anycast/flows [--json] [LIMIT]");
        json_destroy(array);
        return;
    }
    for (unsigned int i = 0; i < limit && flows
         && flow_table_next(flows, &cursor, time_msec() / 1000, &key, &ref);
         i++) {
        if (args.json) {
            json_array_add(array, flow_to_json(&key, &ref));
        } else {
            flow_to_text(&key, &ref, &ds);
        }
    }
    if (args.json) {
        ds_destroy(&ds);
        reply_json(conn, array);
    } else {
        json_destroy(array);
        reply_ds(conn, &ds);
    }
}

/* anycast/trace. */

struct trace_request {
    uint32_t vni;
    uint8_t protocol;
    uint32_t src, dst;
    uint16_t src_port, dst_port;
};

static bool
parse_address(const char *text, uint32_t *ip, uint16_t *port)
{
    struct sockaddr_storage ss;

    if (!inet_parse_active(text, -1, &ss, false, NULL)
        || ss.ss_family != AF_INET) {
        return false;
    }
    *ip = ntohl(ALIGNED_CAST(struct sockaddr_in *, &ss)->sin_addr.s_addr);
    *port = ntohs(ALIGNED_CAST(struct sockaddr_in *, &ss)->sin_port);
    return true;
}

/* Returns NULL, or what is wrong with the arguments. */
static const char *
parse_trace(const char *const argv[], struct trace_request *r)
{
    unsigned int vni;

    if (!str_to_uint(argv[1], 10, &vni) || !vni || vni > VNI_MAX) {
        return "VNI is not a number in 1..16777215";
    }
    r->vni = vni;
    if (!strcmp(argv[2], "tcp")) {
        r->protocol = IPPROTO_NR_TCP;
    } else if (!strcmp(argv[2], "udp")) {
        r->protocol = IPPROTO_NR_UDP;
    } else {
        return "PROTOCOL is neither tcp nor udp";
    }
    if (!parse_address(argv[3], &r->src, &r->src_port)) {
        return "SOURCE is not IP:PORT";
    }
    if (!parse_address(argv[4], &r->dst, &r->dst_port)) {
        return "DESTINATION is not IP:PORT";
    }
    return NULL;
}

static const char *
verdict_name(enum engine_verdict verdict)
{
    switch (verdict) {
    case ENGINE_UNDERLAY: return "underlay";
    case ENGINE_LOCAL: return "local";
    case ENGINE_REPLY: return "reply";
    case ENGINE_DROP: return "drop";
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

/* What `anycast/trace` found out, with names. */
struct trace {
    struct engine_explanation e;
    struct record_group group;
    struct record_endpoint endpoint, owner, tracked;
    bool named, has_owner, has_tracked;
};

static void
run_trace(const struct trace_request *r, struct trace *t)
{
    memset(t, 0, sizeof *t);
    engine_explain(datapath_table(), datapath_flows(), time_msec(), r->vni,
                   r->protocol, r->src, r->src_port, r->dst, r->dst_port,
                   true, &t->e);
    if (t->e.group) {
        uint32_t id = t->e.group->id;

        agent_describe(id, 0, &t->group, NULL);
        t->named = agent_describe(id, t->e.endpoint, NULL, &t->endpoint);
        t->has_owner = agent_describe(id, t->e.slot_owner, NULL, &t->owner);
        t->has_tracked = t->e.tracked && agent_describe(id, t->e.ref.endpoint,
                                                        NULL, &t->tracked);
    }
}

static struct json *
trace_to_json(const struct trace *t)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "verdict", verdict_name(t->e.verdict));
    if (t->e.reason) {
        json_object_put_string(json, "reason", drop_reason_name(t->e.reason));
    }
    if (!t->e.group) {
        return json;
    }
    put_int(json, "vni", t->group.vni);
    json_object_put_string(json, "group", t->group.name);
    put_int(json, "epoch", t->e.group->epoch);
    json_object_put_format(json, "hash", "%016"PRIx64, t->e.hash);
    put_int(json, "slot", t->e.slot);
    if (t->has_owner) {
        json_object_put_string(json, "slot_owner", t->owner.name);
    }
    json_object_put(json, "tracked", json_boolean_create(t->e.tracked));
    if (t->named) {
        json_object_put_string(json, "endpoint", t->endpoint.name);
        json_object_put_string(json, "host", t->endpoint.host);
    }
    return json;
}

static void
trace_to_text(const struct trace *t, struct ds *ds)
{
    const struct engine_explanation *e = &t->e;

    if (!e->group) {
        ds_put_format(ds, "group     none\nverdict   %s: %s\n",
                      verdict_name(e->verdict), drop_reason_text(e->reason));
        return;
    }
    ds_put_format(ds, "group     %"PRIu32"/%s, id %"PRIu32", epoch %"PRIu32
                  ", affinity %s\n", t->group.vni, t->group.name,
                  e->group->id, e->group->epoch, affinity_name(&t->group));
    ds_put_format(ds, "hash      %016"PRIx64"\n", e->hash);
    ds_put_format(ds, "slot      %"PRIu32" of %u, owned by %s\n", e->slot,
                  1u << e->group->slot_bits,
                  t->has_owner ? t->owner.name : "nobody");
    if (e->tracked) {
        ds_put_format(ds, "flow      on %s (%s), %s, idle %d s\n",
                      t->has_tracked ? t->tracked.name : "one that has gone",
                      state_name(e->group, e->ref.endpoint),
                      flow_state_name(e->ref.state), e->ref.idle);
    } else {
        ds_put_cstr(ds, "flow      new\n");
    }
    if (t->named) {
        ds_put_format(ds, "endpoint  %s (%s) on %s\n", t->endpoint.name,
                      state_name(e->group, e->endpoint), t->endpoint.host);
    }
    if (e->verdict == ENGINE_DROP) {
        ds_put_format(ds, "verdict   drop: %s\n", drop_reason_text(e->reason));
    } else {
        ds_put_format(ds, "verdict   %s\n", e->verdict == ENGINE_LOCAL
                      ? "to the endpoint on this host"
                      : "encapsulated to the endpoint's host");
    }
}

static void
anycast_trace(struct unixctl_conn *conn, int argc, const char *argv[],
              void *aux OVS_UNUSED)
{
    static const char usage[] = "usage: anycast/trace [--json] VNI tcp|udp "
                                "SOURCE-IP:PORT DESTINATION-IP:PORT";
    struct args args = parse_args(argc, argv);
    struct trace_request request;
    const char *problem = args.n == 5 ? parse_trace(args.v, &request)
                                    : "four arguments are needed";
    struct trace trace;

    if (problem) {
        char *text = xasprintf("%s; %s", problem, usage);

        unixctl_command_reply_error(conn, text);
        free(text);
        return;
    }
    run_trace(&request, &trace);
    if (args.json) {
        reply_json(conn, trace_to_json(&trace));
    } else {
        struct ds ds = DS_EMPTY_INITIALIZER;

        trace_to_text(&trace, &ds);
        reply_ds(conn, &ds);
    }
}

void
appctl_init(void)
{
    unixctl_command_register("anycast/show", "[--json]", 0, 1,
                             anycast_show, NULL);
    unixctl_command_register("anycast/drops", "[--json]", 0, 1,
                             anycast_drops, NULL);
    unixctl_command_register("anycast/flows", "[--json] [LIMIT]", 0, 2,
                             anycast_flows, NULL);
    unixctl_command_register("anycast/trace", "[--json] VNI tcp|udp "
                             "SOURCE-IP:PORT DESTINATION-IP:PORT", 0, 5,
                             anycast_trace, NULL);
}
