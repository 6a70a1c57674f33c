#include <config.h>

#include "vswitchd-ext/grapnel.h"

#include <stdlib.h>
#include <string.h>

#include "anycast/anycast-table.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/agent.h"
#include "vswitchd-ext/appctl.h"
#include "vswitchd-ext/config.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/iface-report.h"
#include "vswitchd-ext/iface-set.h"
#include "vswitchd-ext/metrics-thread.h"
#include "vswitchd-ext/netdev-anycast.h"
#include "vswitchd-ext/netdev-underlay.h"
#include "vswitchd-ext/steering.h"
#include "vswitchd-ext/underlay.h"

VLOG_DEFINE_THIS_MODULE(grapnel);

/* Bridges, ports and rules change behind our back, so they are looked at this
 * often, and at once when our own inputs change. */
enum { CHECK_INTERVAL_MS = 200 };

static long long int check_at;

void
grapnel_init(const char *ovsdb_remote)
{
    datapath_init();
    netdev_anycast_register();
    netdev_underlay_register();
    config_init(ovsdb_remote);
    agent_start();
    metrics_thread_init();
    appctl_init();
}

static int
compare_vnis(const void *a_, const void *b_)
{
    const uint32_t *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

/* Stores in '*vnis', which the caller frees, the tenants that the anycast
 * ports serve, ascending, each once, and their number in '*n_vnis'.  Returns
 * false if it is all tenants, because a port takes them from pkt_mark. */
static bool
get_vnis(const struct netdev_anycast_config *ports, size_t n,
         uint32_t **vnisp, size_t *n_vnis)
{
    uint32_t *vnis = *vnisp = xcalloc(n + 1, sizeof *vnis);
    size_t n_unique = 0;

    *n_vnis = 0;
    for (size_t i = 0; i < n; i++) {
        if (!ports[i].vni) {
            return false;
        }
        vnis[i] = ports[i].vni;
    }
    qsort(vnis, n, sizeof *vnis, compare_vnis);
    for (size_t i = 0; i < n; i++) {
        if (!i || vnis[i] != vnis[i - 1]) {
            vnis[n_unique++] = vnis[i];
        }
    }
    *n_vnis = n_unique;
    return true;
}

static int
compare_ports(const void *a_, const void *b_)
{
    const struct netdev_anycast_config *a = a_, *b = b_;

    return strcmp(a->name, b->name);
}

static void
configure_agent(const struct config *config,
                const struct netdev_anycast_config *ports, size_t n)
{
    struct agent_config ac = {
        .mapd = config->mapd,
        .host = config->host,
        .vtep = config->vtep,
        .encap = config->encap,
        .region = config->region,
        .zone = config->zone,
        .rack = config->rack,
        .n_flows = config->n_flows,
        .n_flows6 = config->n_flows6,
        .flows_file = config->flows_file,
        .table_file = config->table_file,
        .underlay_ifindex = underlay_get_ifindex(),
    };
    uint32_t *vnis;

    ac.all_vnis = !get_vnis(ports, n, &vnis, &ac.n_vnis);
    ac.vnis = vnis;
    agent_configure(&ac);
    free(vnis);
}

/* Hands the ports of VMs over, whenever the configuration may have changed.
 * Those that are there at first have been there for nobody knows how long. */
static void
look_at_ifaces(void)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);
    static struct iface_set before;
    static bool looked;
    struct iface_set set;
    size_t n_more;

    iface_set_init(&set);
    config_list_ifaces(&set);
    n_more = iface_set_finish(&set, looked ? &before : NULL, time_msec());
    if (n_more) {
        VLOG_WARN_RL(&rl, "%"PRIuSIZE" ports have an iface-id: the mapping "
                     "service is told of %"PRIuSIZE, set.n + n_more, set.n);
    }
    iface_report_set(&set);
    iface_set_uninit(&before);
    before = set;
    looked = true;
}

/* Looks at everything, and returns whether it is as it should be: false if
 * steering has more to do. */
static bool
check(void)
{
    const struct config *config = config_get();
    const struct anycast_table *table;
    struct netdev_anycast_config *ports;
    bool steered;
    size_t n;

    metrics_thread_configure(config ? config->metrics : NULL);
    if (!config) {
        agent_configure(&(struct agent_config) { .mapd = NULL });
        return true;
    }
    ports = netdev_anycast_get_configs(&n);
    qsort(ports, n, sizeof *ports, compare_ports);
    underlay_run(config->underlay);
    configure_agent(config, ports, n);

    table = datapath_table();
    steered = steering_run(table, ports, n, underlay_port_name());
    check_at = MIN(check_at, steering_due());
    if (steered && table) {
        agent_steered(table->serial, table->revision);
    }
    netdev_anycast_free_configs(ports, n);
    return steered;
}

void
grapnel_run(void)
{
    static uint64_t seen_ports, seen_serial;
    static bool complete;
    const struct anycast_table *table = datapath_table();
    uint64_t serial = table ? table->serial : 0;
    bool changed = config_run();

    if (changed && config_get()) {
        look_at_ifaces();
    }
    if (changed || !complete || seen_ports != netdev_anycast_config_seq()
        || seen_serial != serial || time_msec() >= check_at) {
        seen_ports = netdev_anycast_config_seq();
        seen_serial = serial;
        check_at = time_msec() + CHECK_INTERVAL_MS;
        complete = check();
        metrics_thread_beat(steering_n_rules(), config_error());
    }
}

void
grapnel_wait(void)
{
    config_wait();
    agent_wait();
    poll_timer_wait_until(check_at);
}

void
grapnel_exit(void)
{
    metrics_thread_exit();
    agent_stop();
    underlay_exit();
    steering_exit();
    config_exit();
}
