#include <config.h>

#include "vswitchd-ext/appctl-show.h"

#include <string.h>

#include "anycast/engine.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"
#include "vswitchd-ext/address.h"
#include "vswitchd-ext/agent.h"
#include "vswitchd-ext/config.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/health-tap.h"
#include "vswitchd-ext/steering.h"
#include "vswitchd-ext/underlay.h"

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

/* More lines and members, of text: those that have something to say. */
struct remark {
    const char *name;           /* In JSON; with spaces for "_" in text. */
    char *text;                 /* Owned by the list. */
};

enum { MAX_FACTS = 48, MAX_REMARKS = 16 };

struct facts {
    struct fact fact[MAX_FACTS];
    size_t n;
};

struct remarks {
    struct remark remark[MAX_REMARKS];
    size_t n;
};

/* Takes 'text' over. */
static void
remark(struct remarks *remarks, const char *name, char *text)
{
    ovs_assert(remarks->n < MAX_REMARKS);
    if (text[0]) {
        remarks->remark[remarks->n++] = (struct remark) { name, text };
    } else {
        free(text);
    }
}

static char *
describe_registration(const struct agent_status *status)
{
    if (!status->configured) {
        return xstrdup("");
    }
    return (status->refusal[0] ? xasprintf("refused: %s", status->refusal)
            : xstrdup(status->registered ? "registered"
                      : !status->connected ? "not connected"
                      : status->flow_table != FLOW_MAKER_READY
                      ? "waits for the flow table" : "under way"));
}

static char *
describe_flow_table(const struct agent_status *status,
                    const struct flow_table_stats *stats)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    uint64_t not_kept = stats->evicted + stats->refused;

    if (status->flow_table == FLOW_MAKER_MAKING) {
        ds_put_cstr(&ds, "making the flow table");
    } else {
        ds_put_cstr(&ds, flow_maker_state_name(status->flow_table));
    }
    if (stats->capacity) {
        ds_put_format(&ds, ", %"PRIu64" %% full",
                      stats->used * 100 / stats->capacity);
    }
    if (not_kept) {
        ds_put_format(&ds, ", %"PRIu64" flows not kept for want of room",
                      not_kept);
    }
    if (status->flow_remark[0]) {
        ds_put_format(&ds, ": %s", status->flow_remark);
    }
    return ds_steal_cstr(&ds);
}

/* How long ago, to a unit that people care for. */
static char *
describe_age(long long int ms)
{
    long long int s = ms / 1000;

    return (s < 120 ? xasprintf("%lld s", s)
            : s < 7200 ? xasprintf("%lld min", s / 60)
            : s < 172800 ? xasprintf("%lld h", s / 3600)
            : xasprintf("%lld days", s / 86400));
}

/* Where the mapping in use comes from. */
static char *
describe_source(const struct agent_status *status)
{
    char *age, *text;

    if (!status->revision) {
        return xstrdup("");
    } else if (!status->from_file) {
        return xstrdup("mapd");
    }
    age = describe_age(status->age_ms);
    text = xasprintf("%s, revision %"PRIu64", %s old: mapd has not been "
                     "reached since the switch started",
                     status->table_file[0] ? status->table_file : "file",
                     status->revision, age);
    free(age);
    return text;
}

static void
collect_remarks(const struct agent_status *status, struct remarks *remarks)
{
    struct flow_table_stats flows;

    memset(&flows, 0, sizeof flows);
    if (datapath_flows()) {
        flow_table_get_stats(datapath_flows(), &flows);
    }
    remarks->n = 0;
    remark(remarks, "version", xstrdup(GRAPNEL_VERSION));
    remark(remarks, "mapd", xstrdup(mapd_state(status)));
    remark(remarks, "mapd_error",
           xstrdup(status->configured ? status->mapd_trouble : ""));
    remark(remarks, "registration", describe_registration(status));
    remark(remarks, "refused_vnis", xstrdup(status->unseen));
    remark(remarks, "flow_table", describe_flow_table(status, &flows));
    remark(remarks, "mapping_from", describe_source(status));
    remark(remarks, "mapping_file", xstrdup(status->table_remark));
    remark(remarks, "underlay", xstrdup(underlay_description()));
    remark(remarks, "config_error",
           xstrdup(config_error() ? config_error() : ""));
    remark(remarks, "vtep_error", xstrdup(status->vtep_trouble));
    remark(remarks, "agent_error", xstrdup(status->trouble));
}

static struct json *
unreached_to_json(const struct agent_status *status)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < status->n_unreached; i++) {
        const struct agent_unreached *u = &status->unreached[i];
        struct json *json = json_object_create();
        char vtep[INET6_ADDRSTRLEN];

        json_object_put_string(json, "host", u->host);
        json_object_put_string(json, "vtep", address_format(u->vtep, vtep));
        json_object_put_string(json, "reason", u->why);
        json_object_put(json, "passed_over",
                        json_boolean_create(u->passed_over));
        json_array_add(array, json);
    }
    return array;
}

static void
unreached_to_text(const struct agent_status *status, struct ds *ds)
{
    for (size_t i = 0; i < status->n_unreached; i++) {
        const struct agent_unreached *u = &status->unreached[i];
        char vtep[INET6_ADDRSTRLEN];

        ds_put_format(ds, "%-28s %s (%s): %s%s\n", "no next hop", u->host,
                      address_format(u->vtep, vtep), u->why,
                      u->passed_over ? "; it gets no new flows if others can"
                      : "");
    }
    if (status->n_unresolved > status->n_unreached && status->n_unreached) {
        ds_put_format(ds, "%-28s and %"PRIuSIZE" more hosts\n", "no next hop",
                      status->n_unresolved - status->n_unreached);
    }
}

/* A name with spaces, for people. */
static void
put_label(struct ds *ds, const char *name)
{
    char *label = xstrdup(name);

    for (char *p = label; *p; p++) {
        *p = *p == '_' ? ' ' : *p;
    }
    ds_put_format(ds, "%-28s ", label);
    free(label);
}

/* Puts one more into 'facts'. */
static void
fact(struct facts *facts, const char *name, long long int value)
{
    ovs_assert(facts->n < MAX_FACTS);
    facts->fact[facts->n++] = (struct fact) { name, value };
}

static void
collect_facts(const struct agent_status *status, struct facts *facts)
{
    struct engine_counters total;
    struct flow_table_stats flows;

    memset(&flows, 0, sizeof flows);
    if (datapath_flows()) {
        flow_table_get_stats(datapath_flows(), &flows);
    }
    datapath_get_counters(&total);
    facts->n = 0;
    fact(facts, "revision", status->revision);
    fact(facts, "age_ms", status->age_ms);
    fact(facts, "groups", status->n_groups);
    fact(facts, "hosts", status->n_hosts);
    fact(facts, "hosts_without_next_hop", status->n_unresolved);
    fact(facts, "steering_rules", steering_n_rules());
    fact(facts, "flow_capacity", flows.capacity);
    fact(facts, "flow_capacity_ipv6", flows.capacity6);
    fact(facts, "flow_memory_bytes", flows.memory);
    fact(facts, "flows_used", flows.used);
    fact(facts, "flows_inserted", flows.inserted);
    fact(facts, "flows_expired", flows.expired);
    fact(facts, "flows_evicted", flows.evicted);
    fact(facts, "flows_refused", flows.refused);
    fact(facts, "flow_fill_percent",
         flows.capacity ? flows.used * 100 / flows.capacity : 0);
    fact(facts, "packets_to_underlay", total.underlay);
    fact(facts, "packets_to_local_endpoints", total.local);
    fact(facts, "packets_from_tunnels", total.from_tunnel);
    fact(facts, "packets_forwarded", total.forwarded);
    fact(facts, "fragments", total.fragments);
    fact(facts, "icmp_errors_to_their_flow", total.icmp_routed);
    fact(facts, "hints_sent", total.hints_sent);
    fact(facts, "hints_limited", total.hints_limited);
    fact(facts, "hints_accepted", total.hints_accepted);
    fact(facts, "handovers_asked", total.handovers_asked);
    fact(facts, "resets", total.resets);
    fact(facts, "arp_replies", total.arp_replies);
    fact(facts, "nd_replies", total.nd_replies);
    fact(facts, "icmp_errors", total.icmp_errors);
    fact(facts, "endpoints_selected", total.new_flows);
    fact(facts, "endpoints_selected_again", total.repicked);
    fact(facts, "flows_untracked", total.untracked);
    fact(facts, "checksums_completed", total.completed_csums);
    fact(facts, "health_answers_dropped", health_tap_n_dropped());
}

/* All there is to show. */
struct shown {
    struct agent_status status;
    struct remarks remarks;
    struct facts facts;
};

static void
collect(struct shown *shown)
{
    agent_get_status(&shown->status);
    collect_remarks(&shown->status, &shown->remarks);
    collect_facts(&shown->status, &shown->facts);
}

static void
free_remarks(struct remarks *remarks)
{
    for (size_t i = 0; i < remarks->n; i++) {
        free(remarks->remark[i].text);
    }
}

struct json *
appctl_show_json(void)
{
    struct json *json = json_object_create();
    struct shown shown;

    collect(&shown);
    for (size_t i = 0; i < shown.remarks.n; i++) {
        json_object_put_string(json, shown.remarks.remark[i].name,
                               shown.remarks.remark[i].text);
    }
    for (size_t i = 0; i < shown.facts.n; i++) {
        json_object_put(json, shown.facts.fact[i].name,
                        json_integer_create(shown.facts.fact[i].value));
    }
    json_object_put(json, "from_file",
                    json_boolean_create(shown.status.from_file));
    json_object_put(json, "no_next_hop", unreached_to_json(&shown.status));
    free_remarks(&shown.remarks);
    return json;
}

void
appctl_show_text(struct ds *ds)
{
    struct shown shown;

    collect(&shown);
    for (size_t i = 0; i < shown.remarks.n; i++) {
        put_label(ds, shown.remarks.remark[i].name);
        ds_put_format(ds, "%s\n", shown.remarks.remark[i].text);
    }
    for (size_t i = 0; i < shown.facts.n; i++) {
        ds_put_format(ds, "%-28s %lld\n", shown.facts.fact[i].name,
                      shown.facts.fact[i].value);
    }
    unreached_to_text(&shown.status, ds);
    free_remarks(&shown.remarks);
}
