#include <config.h>

#include "vswitchd-ext/switch-metrics.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/anycast-table.h"
#include "anycast/engine.h"
#include "anycast/flow-table.h"
#include "anycast/load.h"
#include "mapping/metrics.h"
#include "util.h"
#include "vswitchd-ext/agent.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/health-tap.h"

/* Packets. */

static const struct {
    const char *name, *help;
    size_t offset;              /* Of a uint64_t in struct engine_counters. */
} counters[] = {
#define COUNTER(NAME, MEMBER, HELP)                                         \
    { "grapnel_switch_" NAME "_total", HELP,                                \
      offsetof(struct engine_counters, MEMBER) }
    COUNTER("underlay_packets", underlay, "Packets sent to other hosts."),
    COUNTER("local_packets", local,
            "Packets handed to endpoints on this host."),
    COUNTER("tunnel_packets", from_tunnel, "Packets that came from tunnels."),
    COUNTER("forwarded_packets", forwarded,
            "Of these: sent on to another host."),
    COUNTER("later_fragments", fragments,
            "IP fragments that went where their first one did."),
    COUNTER("routed_icmp_errors", icmp_routed,
            "ICMP errors from outside that were taken to their flow."),
    COUNTER("selected_endpoints", new_flows,
            "Times that an endpoint was picked for a flow."),
    COUNTER("selected_again_endpoints", repicked,
            "Of these: because the flow's endpoint had gone."),
    COUNTER("untracked_flows", untracked,
            "Flows that were not remembered, for want of room."),
    COUNTER("sent_hints", hints_sent, "Hints sent to other switches."),
    COUNTER("limited_hints", hints_limited,
            "Hints not sent, because they were too many."),
    COUNTER("accepted_hints", hints_accepted,
            "Hints of other switches that were heeded."),
    COUNTER("asked_handovers", handovers_asked,
            "Times that other hosts were asked for the flows of a VM."),
    COUNTER("sent_resets", resets,
            "TCP resets and SCTP aborts sent for endpoints of dead hosts."),
    COUNTER("sent_arp_replies", arp_replies, "ARP replies sent."),
    COUNTER("sent_nd_replies", nd_replies, "Neighbour advertisements sent."),
    COUNTER("sent_icmp_errors", icmp_errors, "ICMP errors sent."),
    COUNTER("completed_checksums", completed_csums,
            "Checksums computed for VMs that leave it to their interface."),
#undef COUNTER
};

static void
write_packets(struct metrics *m)
{
    struct engine_counters total;

    datapath_get_counters(&total);
    for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
        const uint64_t *counter
            = (const void *) ((const char *) &total + counters[i].offset);

        metrics_single(m, METRICS_COUNTER, counters[i].name, counters[i].help,
                       *counter);
    }
    metrics_family(m, METRICS_COUNTER, "grapnel_switch_dropped_packets_total",
                   "Packets that were not sent on, by reason.");
    for (int i = DROP_NONE + 1; i < N_DROP_REASONS; i++) {
        metrics_put(m, total.drops[i], "reason", drop_reason_name(i));
    }
    metrics_single(m, METRICS_COUNTER,
                   "grapnel_switch_dropped_health_answers_total",
                   "Answers to health checks that were dropped, because too "
                   "many waited.", health_tap_n_dropped());
}

static void
write_flows(struct metrics *m)
{
    struct flow_table_stats flows = { .capacity = 0 };

    if (datapath_flows()) {
        flow_table_get_stats(datapath_flows(), &flows);
    }
    metrics_family(m, METRICS_GAUGE, "grapnel_switch_flow_table_capacity",
                   "Flows that there is room for, by IP version.");
    metrics_put(m, flows.capacity - flows.capacity6, "ip", "4");
    metrics_put(m, flows.capacity6, "ip", "6");
    metrics_single(m, METRICS_GAUGE, "grapnel_switch_flow_table_bytes",
                   "Memory of the flow table.", flows.memory);
    metrics_single(m, METRICS_GAUGE, "grapnel_switch_flows",
                   "Flows in the flow table.", flows.used);
    metrics_single(m, METRICS_COUNTER, "grapnel_switch_inserted_flows_total",
                   "Flows entered.", flows.inserted);
    metrics_single(m, METRICS_COUNTER, "grapnel_switch_expired_flows_total",
                   "Flows taken out after their timeout.", flows.expired);
    metrics_single(m, METRICS_COUNTER, "grapnel_switch_evicted_flows_total",
                   "Flows taken out before it, for want of room.",
                   flows.evicted);
    metrics_single(m, METRICS_COUNTER, "grapnel_switch_refused_flows_total",
                   "Flows not entered, for want of room.", flows.refused);
}

static void
write_mapping(struct metrics *m)
{
    struct agent_status status;

    agent_get_status(&status);
    metrics_single(m, METRICS_GAUGE, "grapnel_switch_mapd_connected",
                   "1: in step with the mapping service; 0: not.",
                   status.connected);
    metrics_single(m, METRICS_GAUGE, "grapnel_switch_revision",
                   "Revision of the mapping that packets go by; 0: none yet.",
                   status.revision);
    metrics_single(m, METRICS_GAUGE, "grapnel_switch_mapping_age_seconds",
                   "Since the mapping service was last known to agree.",
                   status.age_ms / 1e3);
    metrics_single(m, METRICS_GAUGE, "grapnel_switch_groups",
                   "Groups of the tenants of this host.", status.n_groups);
    metrics_single(m, METRICS_GAUGE, "grapnel_switch_hosts",
                   "Hosts that the mapping service knows.", status.n_hosts);
    metrics_single(m, METRICS_GAUGE, "grapnel_switch_hosts_without_next_hop",
                   "Of these: cannot be sent packets.", status.n_unresolved);
}

/* Endpoints. */

struct line {
    char vni[12];
    record_name group, endpoint, host;
    struct endpoint_load load;  /* A copy. */
};

static int
compare_ids(const void *a_, const void *b_)
{
    const struct group *const *a = a_, *const *b = b_;

    return (*a)->id < (*b)->id ? -1 : (*a)->id > (*b)->id;
}

/* The table's groups by ascending id, which the caller frees. */
static const struct group **
sort_groups(const struct anycast_table *table, size_t *np)
{
    const struct group **groups = xcalloc(table->n_groups + 1, sizeof *groups);
    size_t n = 0;

    for (size_t i = 0; i <= table->ids_mask; i++) {
        if (table->ids[i].group) {
            groups[n++] = table->ids[i].group;
        }
    }
    qsort(groups, n, sizeof *groups, compare_ids);
    *np = n;
    return groups;
}

static bool
fill_line(const struct group *group, uint16_t index, struct line *line)
{
    const struct group_endpoint *e = &group->endpoints[index];
    struct record_endpoint endpoint;
    struct record_group record;

    if (!agent_describe(group->id, index, &record, &endpoint)) {
        return false;           /* No longer there. */
    }
    snprintf(line->vni, sizeof line->vni, "%"PRIu32, record.vni);
    memcpy(line->group, record.name, sizeof line->group);
    memcpy(line->endpoint, endpoint.name, sizeof line->endpoint);
    memcpy(line->host, endpoint.host, sizeof line->host);
    /* Counters that go on: each member is whole, which is enough here. */
    memcpy(&line->load, e->load, sizeof line->load);
    return true;
}

/* Fills in up to SWITCH_METRICS_MAX_ENDPOINTS lines, and returns their number
 * and how many more there are. */
static size_t
collect_lines(struct line *lines, size_t *n_omitted)
{
    const struct anycast_table *table = datapath_table();
    const struct group **groups;
    size_t n = 0, n_groups;

    *n_omitted = 0;
    if (!table) {
        return 0;
    }
    groups = sort_groups(table, &n_groups);
    for (size_t i = 0; i < n_groups; i++) {
        for (uint16_t j = 0; j < groups[i]->n_endpoints; j++) {
            const struct group_endpoint *e = &groups[i]->endpoints[j];

            if (e->state == ENDPOINT_ABSENT || !e->load) {
                continue;
            } else if (n >= SWITCH_METRICS_MAX_ENDPOINTS) {
                ++*n_omitted;
            } else {
                n += fill_line(groups[i], j, &lines[n]);
            }
        }
    }
    free(groups);
    return n;
}

static double
get_open(const struct endpoint_load *load)
{
    return MAX(load->open, 0);
}

static double
get_selected(const struct endpoint_load *load)
{
    return load->selected;
}

static double
get_unanswered(const struct endpoint_load *load)
{
    return load->unanswered;
}

static double
get_resets(const struct endpoint_load *load)
{
    return load->resets;
}

static double
get_response(const struct endpoint_load *load)
{
    return load->response_us / 1e6;
}

static double
get_health(const struct endpoint_load *load)
{
    return (double) load->health / LOAD_HEALTHY;
}

static const struct {
    enum metrics_type type;
    const char *name, *help;
    double (*get)(const struct endpoint_load *);
} figures[] = {
    { METRICS_GAUGE, "grapnel_switch_endpoint_flows",
      "Open flows of this host on the endpoint.", get_open },
    { METRICS_COUNTER, "grapnel_switch_endpoint_selected_flows_total",
      "Flows of this host put on the endpoint.", get_selected },
    { METRICS_COUNTER, "grapnel_switch_endpoint_unanswered_flows_total",
      "First packets that were sent again or given up.", get_unanswered },
    { METRICS_COUNTER, "grapnel_switch_endpoint_reset_flows_total",
      "Flows that a reset ended.", get_resets },
    { METRICS_GAUGE, "grapnel_switch_endpoint_response_seconds",
      "How long the endpoint takes to answer, smoothed; 0: not measured.",
      get_response },
    { METRICS_GAUGE, "grapnel_switch_endpoint_answered_ratio",
      "The part of first packets that were answered at once, smoothed.",
      get_health },
};

static void
write_endpoints(struct metrics *m)
{
    struct line *lines = xmalloc(SWITCH_METRICS_MAX_ENDPOINTS * sizeof *lines);
    size_t n_omitted, n = collect_lines(lines, &n_omitted);

    for (size_t i = 0; i < ARRAY_SIZE(figures); i++) {
        metrics_family(m, figures[i].type, figures[i].name, figures[i].help);
        for (size_t j = 0; j < n; j++) {
            metrics_put(m, figures[i].get(&lines[j].load),
                        "vni", lines[j].vni, "group", lines[j].group,
                        "endpoint", lines[j].endpoint, "host", lines[j].host);
        }
    }
    metrics_single(m, METRICS_GAUGE, "grapnel_switch_omitted_endpoints",
                   "Endpoints without figures here, because they are too "
                   "many.", n_omitted);
    free(lines);
}

void
switch_metrics_write(struct metrics *m, size_t n_rules)
{
    metrics_family(m, METRICS_GAUGE, "grapnel_switch_info",
                   "Always 1; the labels say what runs.");
    metrics_put(m, 1, "version", GRAPNEL_VERSION);
    write_mapping(m);
    metrics_single(m, METRICS_GAUGE, "grapnel_switch_steering_rules",
                   "OpenFlow rules in place.", n_rules);
    write_flows(m);
    write_packets(m);
    write_endpoints(m);
}
