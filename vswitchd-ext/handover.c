#include <config.h>

#include "vswitchd-ext/handover.h"

#include "anycast/engine.h"
#include "dp-packet.h"
#include "encap/provoke.h"
#include "mapping/relay.h"
#include "random.h"
#include "util.h"
#include "vswitchd-ext/netdev-anycast.h"

static const struct group *
find_group(const struct engine_world *world, uint32_t id, uint32_t vni)
{
    const struct group *group = (world->table
                                 ? anycast_table_lookup_id(world->table, id)
                                 : NULL);

    return group && group->key.vni == vni ? group : NULL;
}

/* Whether 'group' has the flow on 'endpoint' in its table because it ends
 * there, not because it began on this host: what is known of it may be long
 * past, and who looks for it finds it by its slot. */
static bool
ends_here(const struct group *group, uint16_t endpoint)
{
    return (group_uses_slots(group) && endpoint < group->n_endpoints
            && group->endpoints[endpoint].local);
}

/* Which of 'wants', from 'i' on, asks for flows of 'source' in tenant 'vni';
 * 'n' if none does. */
static size_t
find_want(const struct relay_want *wants, size_t n, size_t i, uint32_t vni,
          struct inet_addr source)
{
    while (i < n && (wants[i].vni != vni
                     || !inet_addr_equal(wants[i].source, source))) {
        i++;
    }
    return i;
}

static struct relay_flow
make_flow(const struct flow_key *key, const struct flow_ref *ref)
{
    struct relay_flow flow = {
        .group = key->group,
        .src_port = key->src_port,
        .dst_port = key->dst_port,
        .endpoint = ref->endpoint,
        .idle_s = ref->idle,
    };

    ovs_strlcpy(flow.state, flow_state_name(ref->state), sizeof flow.state);
    return flow;
}

bool
handover_collect(const struct engine_world *world,
                 const struct relay_want *wants, size_t n, uint64_t now_us,
                 uint64_t *cursor, size_t max,
                 void (*found)(void *aux, size_t want,
                               const struct relay_flow *), void *aux)
{
    struct flow_key key;
    struct flow_ref ref;

    if (!world->flows || !world->table) {
        return false;
    }
    for (size_t seen = 0; seen < max; seen++) {
        if (!flow_table_next(world->flows, cursor, now_us / 1000000, &key,
                             &ref)) {
            return false;
        }

        const struct group *group = anycast_table_lookup_id(world->table,
                                                            key.group);
        if (!group || ends_here(group, ref.endpoint)) {
            continue;
        }

        struct relay_flow flow = make_flow(&key, &ref);
        for (size_t i = find_want(wants, n, 0, group->key.vni, key.src); i < n;
             i = find_want(wants, n, i + 1, group->key.vni, key.src)) {
            found(aux, i, &flow);
        }
    }
    return true;
}

static struct flow_key
key_of(const struct relay_flows *flows, const struct relay_flow *flow)
{
    return (struct flow_key) {
        .src = flows->source,
        .src_port = flow->src_port,
        .dst_port = flow->dst_port,
        .group = flow->group,
    };
}

void
handover_let_go(const struct engine_world *world,
                const struct relay_flows *flows, uint64_t now_us)
{
    for (size_t i = 0; i < flows->n; i++) {
        const struct flow_key key = key_of(flows, &flows->flows[i]);

        engine_let_go(world, now_us, &key, flows->flows[i].endpoint);
    }
}

size_t
handover_enter(const struct engine_world *world,
               const struct relay_flows *flows, uint64_t now_us)
{
    size_t n = 0;

    if (!world->table) {
        return 0;
    }
    for (size_t i = 0; i < flows->n; i++) {
        const struct relay_flow *flow = &flows->flows[i];
        const struct flow_key key = key_of(flows, flow);
        enum flow_state state;

        n += (find_group(world, flow->group, flows->vni)
              && flow_state_from_name(flow->state, &state)
              && engine_import(world, now_us, &key, flow->endpoint, state,
                               flow->idle_s));
    }

    /* Others may answer, too, so flows that are still unknown wait on. */
    return n;
}

/* Whether the flow is one whose client waits in vain, and can be told. */
static bool
is_lost(const struct group *group, const struct flow_key *key,
        const struct flow_ref *ref)
{
    return (group && group->flags & GROUP_RESET_LOST
            && group->key.protocol == IPPROTO_NR_TCP
            && group->affinity == AFFINITY_FLOW
            && (ref->state == FLOW_ESTABLISHED
                || ref->state == FLOW_UNPROVEN)
            && key->dst_port
            && ref->endpoint < group->n_endpoints
            && group->endpoints[ref->endpoint].state == ENDPOINT_LOST);
}

static bool
provoke(const struct engine_world *world, const struct group *group,
        const struct flow_key *key)
{
    struct mac router = engine_router_mac(group->key.vni);
    uint8_t frame[PROVOKE_MAX_LEN];
    struct mac client;
    size_t size;

    if (!source_table_find(world->sources, group->key.vni, key->src,
                           &client)) {
        return false;
    }
    size = provoke_write(frame, &client, &router,
                         inet_addr_from_bytes(group->key.address),
                         key->dst_port, key->src, key->src_port,
                         random_uint32());
    netdev_anycast_deliver(group->key.vni,
                           dp_packet_clone_data(frame, size));
    return true;
}

static bool
has_lost_endpoint(const struct group *group)
{
    for (uint16_t i = 0; i < group->n_endpoints; i++) {
        if (group->endpoints[i].state == ENDPOINT_LOST) {
            return true;
        }
    }
    return false;
}

bool
handover_can_provoke(const struct engine_world *world)
{
    const struct anycast_table *table = world->table;

    for (size_t i = 0; table && i <= table->ids_mask; i++) {
        const struct group *group = table->ids[i].group;

        if (group && group->flags & GROUP_RESET_LOST
            && group->key.protocol == IPPROTO_NR_TCP
            && has_lost_endpoint(group)) {
            return true;
        }
    }
    return false;
}

bool
handover_provoke_lost(const struct engine_world *world, uint64_t now_us,
                      uint64_t *cursor, size_t max_flows, size_t max_clients,
                      size_t *n)
{
    struct flow_key key;
    struct flow_ref ref;

    *n = 0;
    for (size_t seen = 0; seen < max_flows && *n < max_clients; seen++) {
        if (!flow_table_next(world->flows, cursor, now_us / 1000000, &key,
                             &ref)) {
            return false;
        }

        const struct group *group = anycast_table_lookup_id(world->table,
                                                            key.group);

        if (is_lost(group, &key, &ref)) {
            *n += provoke(world, group, &key);
        }
    }
    return true;
}
