#include <config.h>

#include "vswitchd-ext/underlay.h"

#include <errno.h>
#include <limits.h>
#include <net/if.h>
#include <string.h>

#include "netdev.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/config.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/netdev-anycast.h"
#include "vswitchd-ext/netdev-underlay.h"
#include "vswitchd-ext/virtual-port.h"

VLOG_DEFINE_THIS_MODULE(underlay);

/* How often a device that cannot be used is looked for. */
enum { RETRY_INTERVAL_MS = 1000 };

/* The device in use, which we hold a reference to, or NULL. */
static struct netdev *current;
static bool current_is_port;
static char *description;

/* What the choice was made for. */
static char *chosen_name;
static uint64_t chosen_seq;     /* virtual_port_change_seq(). */
static long long int retry_at;  /* Look again then, whatever has changed. */

static void
describe(char *text)
{
    if (!nullable_string_is_equal(text, description)) {
        VLOG_INFO("encapsulated frames go to %s", text);
    }
    free(description);
    description = text;
}

static void
release(struct datapath_underlay *old)
{
    netdev_close(old->port ? &old->port->up : old->device);
    free(old);
}

/* Makes 'netdev' (or NULL) the one in use; takes over the caller's reference.
 */
static void
use(struct netdev *netdev, bool is_port)
{
    struct datapath_underlay *underlay = NULL;

    if (netdev == current) {
        netdev_close(netdev);
        return;
    }
    if (netdev) {
        underlay = xzalloc(sizeof *underlay);
        if (is_port) {
            underlay->port = virtual_port_cast(netdev);
        } else {
            underlay->device = netdev;
        }
    }
    datapath_set_underlay(underlay, release);
    current = netdev;
    current_is_port = is_port;
}

/* What there is to choose from among underlay ports. */
struct candidates {
    struct netdev *port;        /* The only one that is up, with a reference;
                                 * else NULL. */
    size_t n_up, n_down;
};

/* Finds the attached underlay ports called 'name', or all. */
static void
find_ports(const char *name, struct candidates *c)
{
    struct shash ports = SHASH_INITIALIZER(&ports);
    struct shash_node *node;

    memset(c, 0, sizeof *c);
    netdev_underlay_get_ports(&ports);
    SHASH_FOR_EACH (node, &ports) {
        struct virtual_port *port = virtual_port_cast(node->data);

        if (!virtual_port_is_attached(port)
            || (name && strcmp(name, node->name))) {
            netdev_close(&port->up);
        } else if (!virtual_port_is_up(port)) {
            c->n_down++;
            netdev_close(&port->up);
        } else if (c->n_up++) {
            netdev_close(&port->up);
        } else {
            c->port = &port->up;
        }
    }
    shash_destroy(&ports);
    if (c->n_up > 1) {
        netdev_close(c->port);
        c->port = NULL;
    }
}

static void
use_nothing(char *reason)
{
    use(NULL, false);
    describe(xasprintf("none: %s", reason));
    free(reason);
}

static void
use_port(const char *name, const struct candidates *c)
{
    if (c->port) {
        describe(xasprintf("port %s", netdev_get_name(c->port)));
        use(c->port, true);
    } else if (c->n_down) {
        use_nothing(xasprintf("port%s%s is administratively down",
                              name ? " " : "", name ? name : ""));
    } else {
        use_nothing(xasprintf("%s; add one port of type "NETDEV_UNDERLAY_TYPE
                              " to the underlay bridge, or set "
                              "external_ids:grapnel-underlay",
                              c->n_up ? "several ports to choose from"
                              : "no port"));
    }
}

/* False if it cannot be used. */
static bool
use_device(const char *name)
{
    struct netdev *device;      /* NULL on error. */
    int error = netdev_open(name, NULL, &device);
    const char *type = error ? "" : netdev_get_type(device);
    bool can_send = !error && device->netdev_class->send;

    if (!error && !strncmp(type, NETDEV_ANYCAST_TYPE,
                           strlen(NETDEV_ANYCAST_TYPE))) {
        /* One of ours, but not (yet) in a bridge. */
        error = ENODEV;
    }
    if (error) {
        use_nothing(xasprintf("\"%s\" is neither a port of type "
                              NETDEV_UNDERLAY_TYPE" in a bridge nor a network "
                              "device (%s)", name, ovs_strerror(error)));
    } else if (!can_send) {
        use_nothing(xasprintf("\"%s\" is a port of type %s, which no frames "
                              "can be sent to", name, type));
    } else {
        describe(xasprintf("device %s", name));
        use(device, false);
        return true;
    }
    netdev_close(device);
    return false;
}

static void
choose(const char *name)
{
    struct candidates candidates;

    retry_at = LLONG_MAX;
    find_ports(name, &candidates);
    if (!name || candidates.port || candidates.n_down) {
        use_port(name, &candidates);
    } else if (!use_device(name)) {
        retry_at = time_msec() + RETRY_INTERVAL_MS;
    }
}

void
underlay_run(const char *name)
{
    uint64_t seq = virtual_port_change_seq();

    if (description && seq == chosen_seq && time_msec() < retry_at
        && nullable_string_is_equal(name, chosen_name)) {
        return;
    }
    if (!nullable_string_is_equal(name, chosen_name)) {
        free(chosen_name);
        chosen_name = nullable_xstrdup(name);
    }
    chosen_seq = seq;
    choose(name);
}

int
underlay_get_ifindex(void)
{
    const char *bridge;

    if (!current) {
        return 0;
    }
    bridge = config_bridge_of(netdev_get_name(current));
    return if_nametoindex(bridge ? bridge : netdev_get_name(current));
}

const char *
underlay_port_name(void)
{
    return current && current_is_port ? netdev_get_name(current) : NULL;
}

const char *
underlay_description(void)
{
    return description ? description : "none: not configured";
}

void
underlay_exit(void)
{
    use(NULL, false);
    free(description);
    description = NULL;
    free(chosen_name);
    chosen_name = NULL;
}
