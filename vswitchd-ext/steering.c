#include <config.h>

#include "vswitchd-ext/steering.h"

#include <string.h>

#include "anycast/anycast-table.h"
#include "hash.h"
#include "ofproto/ofproto-provider.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/address.h"
#include "vswitchd-ext/config.h"
#include "vswitchd-ext/netdev-anycast.h"
#include "vswitchd-ext/steering-rule.h"
#include "vswitchd-ext/steering-set.h"

VLOG_DEFINE_THIS_MODULE(steering);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 10);

enum {
    UNDERLAY_PRIORITY = 30000,
    MIN_PRIORITY      = 1,      /* Above the rule for whatever is left. */
    MISSING_MAX_MS    = 5000,   /* Then a port without a bridge is absent. */

    /* What a step of a round may cost: some ms. */
    WORK_PER_STEP     = 80000,
    WORK_TO_WANT      = 80,     /* An address's rules; 1 to pass it over. */
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

struct tenant_address {
    struct inet_addr address;
    uint32_t vni;
};

/* What the set of rules was last made from, or is being made from.  That is
 * done in steps, a round: while it lasts, news has to wait. */
static struct steered_port *made_ports;
static size_t n_made_ports;
static uint64_t made_serial;    /* Of the table; 0: none. */
static uint64_t made_digest;    /* Of its groups. */

static struct {
    bool active;
    size_t port, address;       /* What comes next; then the end. */
    struct tenant_address *addresses; /* The table may go meanwhile. */
    size_t n_addresses;
} making;

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

/* Starts a rule in the bridge of 'port'. */
static struct steering_match
match_for(const struct steered_port *port, enum steering_kind kind)
{
    struct steering_match match = { .priority = port->priority,
                                    .kind = kind };

    memcpy(match.bridge, port->bridge, sizeof match.bridge);
    return match;
}

static void
complain_of_conflict(const struct steered_port *ports,
                     const struct steered_port *port, uint16_t other,
                     struct inet_addr address)
{
    const char *winner = port_name(ports, port->bridge, other);
    char text[INET6_ADDRSTRLEN];

    VLOG_WARN_RL(&rl, "%s: packets to %s are wanted by %s and by %s, and go "
                 "to %s alone: set options:steer=false for one of them",
                 port->bridge, address_format(address, text), winner,
                 port->name, winner);
}

static void
want_address(const struct steered_port *ports, const struct steered_port *port,
             const struct tenant_address *address)
{
    struct steering_match match = match_for(port, STEERING_QUESTIONS);
    uint16_t other;

    match.table = port->table;
    match.address = address->address;
    match.vni = port->vni ? 0 : address->vni;
    steering_set_want(&match, port->ofp_port);
    match.kind = STEERING_PACKETS;
    other = steering_set_want(&match, port->ofp_port);
    if (other != port->ofp_port) {
        complain_of_conflict(ports, port, other, match.address);
    }
    if (!port->vni) {
        /* Below PACKETS, where tun_id may be left from what the operator's
         * rules did with a VM's packet. */
        match.kind = STEERING_ARRIVALS;
        match.priority = MAX(port->priority - 1, MIN_PRIORITY);
        steering_set_want(&match, port->ofp_port);
    }
}

/* The rules in table 0, where packets start. */

/* For what comes out of 'port'.  'vni' is 0, or the tenant whose frames the
 * rule is for. */
static void
want_entry(const struct steered_port *port, uint32_t vni)
{
    struct steering_match match
        = match_for(port, port->is_underlay ? STEERING_UNDERLAY
                          : STEERING_RETURN);

    match.vni = vni;
    match.in_port = port->ofp_port;
    match.priority += !port->is_underlay;
    steering_set_want(&match, port->ofp_port);
}

/* Hints are the switches' own, not the tenant's: no table of the operator's
 * has a say in them. */
static void
want_hints(const struct steered_port *port)
{
    struct steering_match match = match_for(port, STEERING_HINTS);

    match.vni = port->vni;
    steering_set_want(&match, port->ofp_port);
}

/* Rounds. */

static void
copy_addresses(const struct anycast_table *table)
{
    size_t max = table ? table->n_groups : 0;

    free(making.addresses);
    making.addresses = xcalloc(max + 1, sizeof *making.addresses);
    making.n_addresses = 0;
    for (size_t i = 0; table && i <= table->ids_mask; i++) {
        const struct group *group = table->ids[i].group;

        if (group) {
            struct tenant_address *a
                = &making.addresses[making.n_addresses++];

            a->address = inet_addr_from_bytes(group->key.address);
            a->vni = group->key.vni;
        }
    }
}

/* Starts a round for 'table' and 'made_ports'. */
static void
start_round(const struct anycast_table *table)
{
    copy_addresses(table);
    making.active = true;
    making.port = making.address = 0;
    steering_set_begin();
    for (size_t i = 0; i < n_made_ports; i++) {
        const struct steered_port *port = &made_ports[i];

        if (port->is_underlay || port->vni) {
            want_entry(port, 0);
        }
        if (!port->is_underlay) {
            want_hints(port);
        }
    }
}

/* Wants the rules for the next address.  Returns what it has cost. */
static int
advance_round(void)
{
    const struct steered_port *port = &made_ports[making.port];
    const struct tenant_address *address;

    if (port->is_underlay || making.address >= making.n_addresses) {
        making.port++;
        making.address = 0;
        return 1;
    }
    address = &making.addresses[making.address++];
    if (port->vni && port->vni != address->vni) {
        return 1;
    }
    want_address(made_ports, port, address);
    if (!port->vni) {
        want_entry(port, address->vni);
    }
    return WORK_TO_WANT;
}

static void
continue_round(void)
{
    int work = 0;

    while (making.port < n_made_ports) {
        if (work >= WORK_PER_STEP) {
            return;
        }
        work += advance_round();
    }
    making.active = !steering_set_end();
}

/* Changes of what the rules depend on. */

/* A digest of the groups' keys, independent of their order in the index. */
static uint64_t
digest_groups(const struct anycast_table *table)
{
    uint64_t digest = 0;

    for (size_t i = 0; table && i <= table->ids_mask; i++) {
        const struct group *group = table->ids[i].group;

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

    if (making.active) {
        continue_round();
    }
    if (making.active) {
        free(ports);
    } else {
        bool changed = ports_changed(ports, n);

        if (groups_changed(table) || changed) {
            start_round(table);
            continue_round();
        }
    }
    return steering_set_run() && found && !making.active;
}

long long int
steering_due(void)
{
    return making.active ? 0 : steering_set_due();
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
    free(making.addresses);
    memset(&making, 0, sizeof making);
}
