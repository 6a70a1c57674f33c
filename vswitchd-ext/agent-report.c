#include <config.h>

#include "vswitchd-ext/agent-report.h"

#include <stdio.h>
#include <string.h>

#include "anycast/flow-table.h"
#include "mapping/replica/replica.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/address.h"
#include "vswitchd-ext/agent.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/flow-maker.h"
#include "vswitchd-ext/mapd-session.h"
#include "vswitchd-ext/resolver.h"
#include "vswitchd-ext/table-keeper.h"

VLOG_DEFINE_THIS_MODULE(agent_report);

enum {
    HOSTS_MS   = 1000,          /* Hosts are looked at this often. */
    FOREIGN_MS = 5000,          /* An address may be configured after us. */
    FULL_MS    = 60000,         /* Between two warnings of a full table. */
};

static void
set_text(char text[AGENT_TEXT_LEN], const char *s)
{
    ovs_strlcpy(text, s ? s : "", AGENT_TEXT_LEN);
}

static void
report_session(const struct agent_subjects *of, struct agent_status *status)
{
    status->registered = (of->session
                          && mapd_session_is_registered(of->session));
    set_text(status->refusal,
             of->session ? mapd_session_refusal(of->session) : NULL);
    set_text(status->unseen,
             of->session ? mapd_session_unseen(of->session) : NULL);
    set_text(status->mapd_trouble, mapd_session_trouble(of->session));
    set_text(status->trouble, NULL);
    if (of->resolver_error) {
        snprintf(status->trouble, sizeof status->trouble,
                 "cannot ask the kernel for routes over netlink (%s); will "
                 "try again", ovs_strerror(of->resolver_error));
    }
}

/* Frames from an address that is not here are answered to somebody else. */
static void
report_vtep(struct agent_report *report, const struct agent_subjects *of,
            struct agent_status *status)
{
    long long int now = time_msec();
    char vtep[INET6_ADDRSTRLEN];

    set_text(status->vtep_trouble, NULL);
    if (!of->resolver || resolver_origin_is_local(of->resolver)) {
        report->foreign_since = 0;
        report->foreign_warned = false;
        return;
    }
    snprintf(status->vtep_trouble, sizeof status->vtep_trouble,
             "external_ids:grapnel-vtep: %s is not an address of this "
             "machine, so nothing comes back to it",
             address_format(of->config->vtep, vtep));
    if (!report->foreign_since) {
        report->foreign_since = now;
    }
    if (!report->foreign_warned
        && now - report->foreign_since >= FOREIGN_MS) {
        report->foreign_warned = true;
        VLOG_WARN("%s", status->vtep_trouble);
    }
}

static void
report_hosts(struct agent_report *report, const struct agent_subjects *of,
             struct agent_status *status)
{
    const struct replica_host *host;

    if (!of->resolver || !status->n_unresolved) {
        status->n_unreached = 0;
        return;
    }
    if (time_msec() < report->hosts_at) {
        return;
    }
    report->hosts_at = time_msec() + HOSTS_MS;
    status->n_unreached = 0;
    HMAP_FOR_EACH (host, node, &of->replica->hosts) {
        struct agent_unreached *u = &status->unreached[status->n_unreached];
        const struct record_host *r = &host->record;

        if (status->n_unreached == AGENT_MAX_UNREACHED) {
            break;
        }
        resolver_explain(of->resolver, r->vtep, u->why, sizeof u->why);
        if (u->why[0]) {
            ovs_strlcpy(u->host, r->name, sizeof u->host);
            u->vtep = r->vtep;
            u->passed_over = resolver_gave_up(of->resolver, r->vtep);
            status->n_unreached++;
        }
    }
}

/* Warns if flows were not kept since the last time, for want of room. */
static void
watch_flows(struct agent_report *report, const struct agent_config *config)
{
    struct flow_table_stats stats;
    uint64_t not_kept;

    if (!datapath_flows() || time_msec() < report->full_at) {
        return;
    }
    flow_table_get_stats(datapath_flows(), &stats);
    not_kept = stats.evicted + stats.refused;
    if (not_kept != report->not_kept) {
        VLOG_WARN("the flow table is full: %"PRIu64" more flows were not kept "
                  "(%"PRIu64" of %"PRIu64" entries are used): raise "
                  "external_ids:grapnel-flows, now %"PRIuSIZE", or "
                  "grapnel-flows6, now %"PRIuSIZE" (read at start), if they "
                  "are not a flood", not_kept - report->not_kept, stats.used,
                  stats.capacity, config->n_flows, config->n_flows6);
        report->not_kept = not_kept;
        report->full_at = time_msec() + FULL_MS;
    }
}

void
agent_report_run(struct agent_report *report, const struct agent_subjects *of,
                 struct agent_status *status)
{
    report_session(of, status);
    report_vtep(report, of, status);
    report_hosts(report, of, status);
    status->flow_table = flow_maker_get_state(of->maker);
    set_text(status->flow_remark, flow_maker_remark(of->maker));
    set_text(status->table_file, table_keeper_path(of->keeper));
    set_text(status->table_remark, table_keeper_remark(of->keeper));
    watch_flows(report, of->config);
}
