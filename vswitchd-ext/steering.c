#include <config.h>

#include "vswitchd-ext/steering.h"

#include <string.h>

#include "anycast/anycast-table.h"
#include "hash.h"
#include "ofproto/ofproto-provider.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/config.h"
#include "vswitchd-ext/netdev-anycast.h"
#include "vswitchd-ext/steering-rule.h"
#include "vswitchd-ext/steering-set.h"

VLOG_DEFINE_THIS_MODULE(steering);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 10);

enum {
    UNDERLAY_PRIORITY = 30000,
    MISSING_MAX_MS    = 5000,   /* Then a port without a bridge is absent. */
};

/* A port that needs rules, and where it is.  All bytes count. */
struct steered_port {
    char name[64];
    char bridge[64];
    uint16_t ofp_port;          /* Its number there. */
    uint16_t priority;
    uint32_t vni;               /* 0: taken from pkt_mark. */
    uint8_t table;
    bool is_underlay;
    uint8_t pad[2];
};

/* A port that should be in a bridge and is not. */
struct missing_port {
    long long int since;
    bool is_absent;             /* Not waited for any more. */
    bool seen;                  /* In this round. */
};

/* What the set of rules was last made from. */
static struct steered_port *made_ports;
static size_t n_made_ports;
static uint64_t made_serial;    /* Of the table; 0: none. */
static uint64_t made_digest;    /* Of its groups. */

static struct shash missing_ports = SHASH_INITIALIZER(&missing_ports);

/* Ports and their places. */

/* Finds out where the port is; false if it is in no bridge. */
static bool
locate_port(struct steered_port *port)
{
    const char *bridge = config_bridge_of(port->name);
    struct ofproto *ofproto = bridge ? ofproto_lookup(bridge) : NULL;
    struct ofproto_port ofproto_port;

    if (!ofproto || strlen(bridge) >= sizeof port->bridge
        || ofproto_port_query_by_name(ofproto, port->name, &ofproto_port)) {
        return false;
    }
    strcpy(port->bridge, bridge);
    port->ofp_port = ofp_to_u16(ofproto_port.ofp_port);
    ofproto_port_destroy(&ofproto_port);
    return port->ofp_port < ofp_to_u16(OFPP_MAX);
}

/* Notes that the port called 'name' is in no bridge.  Returns true if it is
 * worth waiting for. */
static bool
miss_port(const char *name)
{
    struct missing_port *missing = shash_find_data(&missing_ports, name);

    if (!missing) {
        missing = xzalloc(sizeof *missing);
        missing->since = time_msec();
        shash_add(&missing_ports, name, missing);
    }
    missing->seen = true;
    if (!missing->is_absent
        && time_msec() >= missing->since + MISSING_MAX_MS) {
        missing->is_absent = true;
        VLOG_WARN("%s: still in no bridge after %d ms: it gets no steering "
                  "rules until it is", name, MISSING_MAX_MS);
    }
    return !missing->is_absent;
}

/* Forgets ports that were not missed in this round. */
static void
forget_found_ports(void)
{
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, &missing_ports) {
        struct missing_port *missing = node->data;

        if (missing->seen) {
            missing->seen = false;
        } else {
            free(shash_steal(&missing_ports, node));
        }
    }
}

/* Stores in '*port' what 'config' (NULL: the underlay's) says of the port
 * called 'name'. */
static void
describe_port(const char *name, const struct netdev_anycast_config *config,
              struct steered_port *port)
{
    memset(port, 0, sizeof *port);
    ovs_strlcpy(port->name, name, sizeof port->name);
    if (config) {
        port->vni = config->vni;
        port->table = config->steer_table;
        port->priority = config->steer_priority;
    } else {
        port->is_underlay = true;
        port->priority = UNDERLAY_PRIORITY;
    }
}

/* Stores in '*portsp', which the caller frees, and '*np' the ports that need
 * rules and are in a bridge, in the order of 'configs'.  Returns false if
 * others have to be waited for. */
static bool
find_ports(const struct netdev_anycast_config *configs, size_t n_configs,
           const char *underlay, struct steered_port **portsp, size_t *np)
{
    struct steered_port *ports = xcalloc(n_configs + 1, sizeof *ports);
    bool complete = true;
    size_t n = 0;

    for (size_t i = 0; i <= n_configs; i++) {
        const struct netdev_anycast_config *config
            = i < n_configs ? &configs[i] : NULL;
        const char *name = config ? config->name : underlay;

        if (!name || (config && !config->steer)) {
            continue;
        }
        describe_port(name, config, &ports[n]);
        if (locate_port(&ports[n])) {
            n++;
        } else if (miss_port(name)) {
            complete = false;
        }
    }
    forget_found_ports();
    *portsp = ports;
    *np = n;
    return complete;
}

/* What is wanted. */

static const char *
port_name(const struct steered_port *ports, const char *bridge,
          uint16_t ofp_port)
{
    /* The port that a rule is wanted for is one of them. */
    while (ports->ofp_port != ofp_port || strcmp(ports->bridge, bridge)) {
        ports++;
    }
    return ports->name;
}

static void
want_address(const struct steered_port *ports, const struct steered_port *port,
             const struct group_key *key)
{
    struct steering_match match = {
        .vni = port->vni ? 0 : key->vni,
        .priority = port->priority,
        .table = port->table,
    };
    ovs_be32 address;
    uint16_t other;

    memcpy(match.bridge, port->bridge, sizeof match.bridge);
    memcpy(&address, &key->address[12], sizeof address);
    match.address = ntohl(address);
    match.kind = STEERING_ARP;
    steering_set_want(&match, port->ofp_port);
    match.kind = STEERING_IP;
    other = steering_set_want(&match, port->ofp_port);
    if (other != port->ofp_port) {
        VLOG_WARN_RL(&rl, "%s: packets to "IP_FMT" are wanted by %s and by "
                     "%s, and go to %s alone: set options:steer=false for one "
                     "of them", port->bridge, IP_ARGS(address),
                     port_name(ports, port->bridge, other), port->name,
                     port_name(ports, port->bridge, other));
    }
}

/* Wants the rule for what comes out of 'port', where packets start in table 0.
 * 'vni' is 0, or the tenant whose frames the rule is for. */
static void
want_entry(const struct steered_port *port, uint32_t vni)
{
    struct steering_match match = {
        .vni = vni,
        .in_port = port->ofp_port,
        .priority = port->priority + !port->is_underlay,
        .kind = port->is_underlay ? STEERING_UNDERLAY : STEERING_RETURN,
    };

    memcpy(match.bridge, port->bridge, sizeof match.bridge);
    steering_set_want(&match, port->ofp_port);
}

static void
want_groups(const struct anycast_table *table,
            const struct steered_port *ports, const struct steered_port *port)
{
    for (size_t i = 0; i <= table->index_mask; i++) {
        const struct group *group = table->index[i].group;

        if (group && (!port->vni || port->vni == group->key.vni)) {
            want_address(ports, port, &group->key);
            if (!port->vni) {
                want_entry(port, group->key.vni);
            }
        }
    }
}

static void
want_rules(const struct anycast_table *table,
           const struct steered_port *ports, size_t n)
{
    steering_set_begin();
    for (size_t i = 0; i < n; i++) {
        if (ports[i].is_underlay || ports[i].vni) {
            want_entry(&ports[i], 0);
        }
        if (table && !ports[i].is_underlay) {
            want_groups(table, ports, &ports[i]);
        }
    }
    steering_set_end();
}

/* Changes of what the rules depend on. */

/* A digest of the groups' keys, independent of their order in the index. */
static uint64_t
digest_groups(const struct anycast_table *table)
{
    uint64_t digest = 0;

    for (size_t i = 0; table && i <= table->index_mask; i++) {
        const struct group *group = table->index[i].group;

        if (group) {
            uint64_t hash = hash_bytes(&group->key, sizeof group->key, 1);

            digest += hash_uint64(hash)
                      + (hash << 32
                         | hash_bytes(&group->key, sizeof group->key, 2));
        }
    }
    return digest;
}

/* Whether the groups are others than when last asked.  The serial number
 * changes with each table, and most are published for other reasons. */
static bool
groups_changed(const struct anycast_table *table)
{
    uint64_t serial = table ? table->serial : 0;
    uint64_t digest;

    if (serial == made_serial) {
        return false;
    }
    made_serial = serial;
    digest = digest_groups(table);
    if (digest == made_digest) {
        return false;
    }
    made_digest = digest;
    return true;
}

/* Whether 'ports' are others than when last asked.  Takes ownership. */
static bool
ports_changed(struct steered_port *ports, size_t n)
{
    bool changed = (n != n_made_ports
                    || (n && memcmp(ports, made_ports, n * sizeof *ports)));

    free(made_ports);
    made_ports = ports;
    n_made_ports = n;
    return changed;
}

bool
steering_run(const struct anycast_table *table,
             const struct netdev_anycast_config *configs, size_t n_configs,
             const char *underlay)
{
    struct steered_port *ports;
    size_t n;
    bool found = find_ports(configs, n_configs, underlay, &ports, &n);
    bool changed = ports_changed(ports, n);

    if (groups_changed(table) || changed) {
        want_rules(table, ports, n);
    }
    return steering_set_run() && found;
}

long long int
steering_due(void)
{
    return steering_set_due();
}

size_t
steering_n_rules(void)
{
    return steering_set_n_placed();
}

void
steering_exit(void)
{
    steering_set_destroy();
    shash_destroy_free_data(&missing_ports);
    free(made_ports);
    made_ports = NULL;
    n_made_ports = 0;
}
