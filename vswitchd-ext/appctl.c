#include <config.h>

#include "vswitchd-ext/appctl.h"

#include <string.h>

#include "anycast/engine.h"
#include "anycast/load.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "timeval.h"
#include "unixctl.h"
#include "util.h"
#include "vswitchd-ext/agent.h"
#include "vswitchd-ext/appctl-show.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/explain.h"

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

static void
anycast_show(struct unixctl_conn *conn, int argc, const char *argv[],
             void *aux OVS_UNUSED)
{
    struct args args = parse_args(argc, argv);

    if (args.json) {
        reply_json(conn, appctl_show_json());
    } else {
        struct ds ds = DS_EMPTY_INITIALIZER;

        appctl_show_text(&ds);
        reply_ds(conn, &ds);
    }
}

/* anycast/drops. */

static void
anycast_drops(struct unixctl_conn *conn, int argc, const char *argv[],
              void *aux OVS_UNUSED)
{
    struct args args = parse_args(argc, argv);
    struct engine_counters total;

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
            ds_put_format(&ds, "%-17s %12"PRIu64"  %s\n", drop_reason_name(i),
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
flow_to_json(const struct flow_key *key, const struct flow_ref *ref)
{
    struct json *json = json_object_create();
    struct ds source = DS_EMPTY_INITIALIZER;
    struct record_group group;
    struct record_endpoint endpoint;

    explain_put_address(&source, key->src);
    json_object_put_string(json, "source", ds_cstr(&source));
    ds_destroy(&source);
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
flow_to_text(const struct flow_key *key, const struct flow_ref *ref,
             struct ds *ds)
{
    struct record_group group;
    struct record_endpoint endpoint;
    bool is6 = !inet_addr_is4(key->src);

    if (!agent_describe(key->group, ref->endpoint, &group, &endpoint)) {
        return;                 /* Of a group that has gone: inert. */
    }
    bool ports = group.affinity == AFFINITY_FLOW;
    ds_put_format(ds, "%"PRIu32"/%s %s", group.vni, group.name,
                  is6 && ports ? "[" : "");
    explain_put_address(ds, key->src);
    if (ports) {
        ds_put_format(ds, "%s:%d to port %d", is6 ? "]" : "", key->src_port,
                      key->dst_port);
    }
    ds_put_format(ds, " -> %s on %s (%s, idle %d s)\n", endpoint.name,
                  explain_host(&endpoint), flow_state_name(ref->state),
                  ref->idle);
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
    struct flow_key key;
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

/* anycast/groups. */

/* An endpoint, and what has been seen of it. */
struct endpoint_line {
    struct record_group group;
    struct record_endpoint endpoint;
    const struct group *g;
    const struct group_endpoint *e;
    struct endpoint_load load;  /* A copy. */
};

/* Fills in '*line' for endpoint 'index' of 'group'; false if there is none, or
 * none any more. */
static bool
describe_endpoint(const struct group *group, uint16_t index,
                  struct endpoint_line *line)
{
    line->g = group;
    line->e = &group->endpoints[index];
    if (line->e->state == ENDPOINT_ABSENT || !line->e->load
        || !agent_describe(group->id, index, &line->group, &line->endpoint)) {
        return false;
    }
    /* Counters that go on: each member is whole, which is enough here. */
    memcpy(&line->load, line->e->load, sizeof line->load);
    return true;
}

/* An endpoint that takes new flows, but not from here, is passed over as if it
 * were draining. */
static const char *
endpoint_line_state(const struct endpoint_line *line)
{
    return (line->endpoint.state == ENDPOINT_UP
            && line->e->state == ENDPOINT_DRAINING
            ? "unreachable" : record_state_name(line->e->state));
}

static struct json *
endpoint_line_to_json(const struct endpoint_line *line)
{
    const struct endpoint_load *load = &line->load;
    struct json *json = json_object_create();

    put_int(json, "vni", line->group.vni);
    json_object_put_string(json, "group", line->group.name);
    json_object_put_string(json, "algorithm",
                           pick_algorithm_name(line->g->algorithm));
    json_object_put_string(json, "endpoint", line->endpoint.name);
    json_object_put_string(json, "host", line->endpoint.host);
    json_object_put_string(json, "state", endpoint_line_state(line));
    put_int(json, "tier", line->e->tier);
    put_int(json, "open", MAX(load->open, 0));
    put_int(json, "pending", MAX(load->pending, 0));
    put_int(json, "selected", load->selected);
    put_int(json, "answered", load->answered);
    put_int(json, "unanswered", load->unanswered);
    put_int(json, "resets", load->resets);
    put_int(json, "response_us", load->response_us);
    put_int(json, "health_percent", load->health * 100 / LOAD_HEALTHY);
    return json;
}

static void
endpoint_line_to_text(const struct endpoint_line *line, struct ds *ds)
{
    const struct endpoint_load *load = &line->load;
    char *group = xasprintf("%"PRIu32"/%s", line->group.vni,
                            line->group.name);

    ds_put_format(ds, "%-20s %-20s %-14s %-17s %-11s %7d %10"PRIu64
                  " %10"PRIu64" %8"PRIu64" %8"PRIu64" %9.3f %5u%%\n", group,
                  pick_algorithm_name(line->g->algorithm),
                  line->endpoint.name, explain_host(&line->endpoint),
                  endpoint_line_state(line), MAX(load->open, 0),
                  load->selected, load->answered, load->unanswered,
                  load->resets, load->response_us / 1e3,
                  load->health * 100 / LOAD_HEALTHY);
    free(group);
}

static int
compare_ids(const void *a_, const void *b_)
{
    const struct group *const *a = a_, *const *b = b_;

    return (*a)->id < (*b)->id ? -1 : (*a)->id > (*b)->id;
}

static void
list_endpoints(const struct anycast_table *table, struct json *array,
               struct ds *ds)
{
    const struct group **groups = xcalloc(table->n_groups + 1, sizeof *groups);
    struct endpoint_line line;
    size_t n = 0;

    for (size_t i = 0; i <= table->ids_mask; i++) {
        if (table->ids[i].group) {
            groups[n++] = table->ids[i].group;
        }
    }
    qsort(groups, n, sizeof *groups, compare_ids);
    for (size_t i = 0; i < n; i++) {
        for (uint16_t e = 0; e < groups[i]->n_endpoints; e++) {
            if (!describe_endpoint(groups[i], e, &line)) {
                continue;
            }
            if (array) {
                json_array_add(array, endpoint_line_to_json(&line));
            } else {
                endpoint_line_to_text(&line, ds);
            }
        }
    }
    free(groups);
}

static void
anycast_groups(struct unixctl_conn *conn, int argc, const char *argv[],
               void *aux OVS_UNUSED)
{
    struct args args = parse_args(argc, argv);
    const struct anycast_table *table = datapath_table();
    struct json *array = args.json ? json_array_create_empty() : NULL;
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_format(&ds, "%-20s %-20s %-14s %-17s %-11s %7s %10s %10s %8s %8s "
                  "%9s %6s\n", "group", "algorithm", "endpoint", "host",
                  "state", "open", "selected", "answered", "unansw.",
                  "resets", "resp. ms", "health");
    if (table) {
        list_endpoints(table, array, &ds);
    }
    if (args.json) {
        ds_destroy(&ds);
        reply_json(conn, array);
    } else {
        reply_ds(conn, &ds);
    }
}

/* anycast/trace. */

#define TRACE_ARGS "[--json] VNI tcp|udp|sctp|icmp SOURCE[:PORT] " \
                   "DESTINATION[:PORT]"

static void
anycast_trace(struct unixctl_conn *conn, int argc, const char *argv[],
              void *aux OVS_UNUSED)
{
    struct args args = parse_args(argc, argv);
    struct engine_question_flow flow;
    const char *problem = (args.n == 5
                           ? explain_parse(args.v[1], args.v[2], args.v[3],
                                           args.v[4], &flow)
                           : "four arguments are needed");

    if (problem) {
        char *text = xasprintf("%s; usage: anycast/trace %s", problem,
                               TRACE_ARGS);

        unixctl_command_reply_error(conn, text);
        free(text);
        return;
    }
    if (args.json) {
        reply_json(conn, explain_json(&flow));
    } else {
        struct ds ds = DS_EMPTY_INITIALIZER;

        explain_text(&flow, &ds);
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
    unixctl_command_register("anycast/groups", "[--json]", 0, 1,
                             anycast_groups, NULL);
    unixctl_command_register("anycast/trace", TRACE_ARGS, 0, 5,
                             anycast_trace, NULL);
}
