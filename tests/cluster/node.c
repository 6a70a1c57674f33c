#include "tests/cluster/node.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct hash_key hash_key = { {
    UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0x2545f4914f6cdd1d)
} };

enum {
    N_SOURCES = 4096,
    FLOW_STAMP = 7,
    GENEVE_OVERHEAD = 62, VXLAN_OVERHEAD = 50,
};

static struct flow_table_size
table_size(const struct node *node)
{
    return (struct flow_table_size) { node->config.n_flows, 1 };
}

struct node *
node_create(const struct node_config *config)
{
    struct node *node = aligned_alloc(64, sizeof *node);

    assert(node);
    memset(node, 0, sizeof *node);
    node->config = *config;
    struct flow_table_size size = table_size(node);
    size_t bytes = flow_table_memory(&size);
    node->memory = aligned_alloc(4096, bytes);
    node->loads = aligned_alloc(64, MODEL_GROUPS * sizeof *node->loads);
    assert(node->memory && node->loads);
    memset(node->memory, 0, bytes);
    return node;
}

static void
unpublish(struct node *node)
{
    anycast_table_destroy(node->table);
    for (int g = 0; g < MODEL_GROUPS; g++) {
        group_destroy(node->groups[g]);
        node->groups[g] = NULL;
    }
    node->table = NULL;
    node->world.table = NULL;
}

void
node_destroy(struct node *node)
{
    if (node->runs) {
        node_stop(node);
    }
    free(node->memory);
    free(node->loads);
    free(node);
}

void
node_wipe(struct node *node)
{
    struct flow_table_size size = table_size(node);

    memset(node->memory, 0, flow_table_memory(&size));
}

void
node_start(struct node *node, bool keep_flows, uint64_t seed)
{
    struct flow_table_size size = table_size(node);
    size_t adopted;

    assert(!node->runs);
    if (!keep_flows) {
        node_wipe(node);
    }
    node->world.flows = flow_table_create_at(&size, node->memory, FLOW_STAMP,
                                             &adopted);
    node->world.sources = source_table_create(N_SOURCES, &hash_key);
    assert(node->world.flows && node->world.sources);
    if (!engine_thread_init(&node->thread, seed, &hash_key)) {
        abort();
    }
    for (int g = 0; g < MODEL_GROUPS; g++) {
        memset(&node->group_loads[g], 0, sizeof node->group_loads[g]);
        for (int e = 0; e < MODEL_ENDPOINTS; e++) {
            load_init(&node->loads[g][e]);
        }
    }
    memset(node->newcomer_until_us, 0, sizeof node->newcomer_until_us);
    node->found_flows = keep_flows;
    node->n_in = 0;
    node->n_starts++;
    node->runs = true;
}

static void
save_counters(struct node *node)
{
    const struct engine_counters *count = &node->thread.count;

    node->past.forwarded += count->forwarded;
    node->past.hints_accepted += count->hints_accepted;
    node->past.repicked += count->repicked;
    node->past.untracked += count->untracked;
}

void
node_stop(struct node *node)
{
    assert(node->runs);
    save_counters(node);
    memset(&node->thread.count, 0, sizeof node->thread.count);
    unpublish(node);
    node->revision = 0;
    flow_table_destroy(node->world.flows);
    source_table_destroy(node->world.sources);
    engine_thread_uninit(&node->thread, free);
    node->runs = false;
}

/* Whether the endpoint, which is here, may have flows that this host does not
 * know: it was elsewhere, or here when this host lost its flows. */
static bool
find_newcomer(struct node *node, int g, uint16_t endpoint, uint32_t host,
              uint64_t now_us)
{
    uint64_t *until_us = &node->newcomer_until_us[g][endpoint];
    uint32_t before = node->hosts[g][endpoint];

    node->hosts[g][endpoint] = host;
    if (host != node->config.id) {
        *until_us = 0;
    } else if (node->revision ? before != host && before != NODE_NO_HOST
               : !node->found_flows) {
        *until_us = now_us + node->config.newcomer_us;
    }
    return *until_us > now_us;
}

static struct group *
build_group(struct node *node, const struct mapping_model *model, int g,
            uint64_t now_us)
{
    const struct model_group *mg = &model->groups[g];
    static struct group_endpoint endpoints[MODEL_ENDPOINTS];
    struct group_spec spec = {
        .id = mg->id, .epoch = mg->epoch, .algorithm = mg->algorithm,
        .affinity = mg->affinity, .affinity_timeout = 10800,
        .ramp = mg->ramp, .slots = mg->slots, .previous = mg->previous[0],
        .n_slots = MODEL_SLOTS, .endpoints = endpoints,
        .n_endpoints = mg->n_endpoints, .load = &node->group_loads[g],
    };

    memset(endpoints, 0, mg->n_endpoints * sizeof *endpoints);
    for (uint16_t i = mg->n_endpoints; i < MODEL_ENDPOINTS; i++) {
        node->hosts[g][i] = NODE_NO_HOST;
    }
    for (uint16_t i = 0; i < mg->n_endpoints; i++) {
        const struct model_endpoint *me = &mg->endpoints[i];
        struct group_endpoint *e = &endpoints[i];

        if (!me->state) {
            node->hosts[g][i] = NODE_NO_HOST;
        } else {
            e->is_newcomer = find_newcomer(node, g, i, me->host, now_us);
            wire_endpoint_mac(e->mac.octet, g, i);
            e->state = mapping_model_state(model, g, i);
            e->local = me->host == node->config.id;
            e->host = me->host;
            e->weight = me->weight;
            e->tier = (mg->algorithm == ALGORITHM_NEAREST
                       ? (me->host ^ node->config.id) & 1 : me->tier);
            e->up_at_s = me->up_at_s;
            e->load = &node->loads[g][i];
        }
    }
    group_key_init(&spec.key, MODEL_VNI, inet_addr_from4(mg->address),
                   mg->protocol, mg->port, 0);
    return group_create(&spec, &hash_key);
}

static void
set_tunnel(struct node *node, uint32_t host)
{
    struct tunnel tunnel;
    struct tunnel_spec spec = {
        .type = node->config.vxlan ? TUNNEL_VXLAN : TUNNEL_GENEVE,
        .src_mac = { { 2, 1, 1, 1, 1, node->config.id } },
        .dst_mac = { { 2, 1, 1, 1, 1, host } },
        .src_ip = inet_addr_from4(NODE_VTEP + node->config.id),
        .dst_ip = inet_addr_from4(NODE_VTEP + host),
        .ttl = 64,
        .mtu = WIRE_INNER_MTU + node->config.spare_mtu
               + (node->config.vxlan ? VXLAN_OVERHEAD
                  : GENEVE_OVERHEAD),
    };

    tunnel_init(&tunnel, &spec);
    assert(tunnel.inner_mtu == WIRE_INNER_MTU + node->config.spare_mtu);
    anycast_table_set_tunnel(node->table, host, &tunnel);
    anycast_table_set_vtep(node->table, host, spec.dst_ip);
}

void
node_apply(struct node *node, const struct mapping_model *model,
           uint64_t now_us)
{
    bool first = !node->revision;

    if (!node->runs || model->revision <= node->revision) {
        return;
    }
    unpublish(node);
    node->table = anycast_table_create(&hash_key, model->revision,
                                       MODEL_GROUPS, node->config.n_nodes);
    assert(node->table);
    for (uint32_t host = 0; host < node->config.n_nodes; host++) {
        if (host != node->config.id) {
            set_tunnel(node, host);
        }
    }
    for (int g = 0; g < MODEL_GROUPS; g++) {
        node->groups[g] = build_group(node, model, g, now_us);
        if (!node->groups[g]
            || !anycast_table_add(node->table, node->groups[g])) {
            abort();
        }
    }
    node->world.table = node->table;
    node->revision = model->revision;
    if (first) {
        engine_recount(&node->world, now_us);
    }
}

void
node_process(struct node *node, struct wire_frame **frames, size_t n,
             uint64_t now_us, struct node_outcome *outcomes)
{
    struct engine_packet packets[ENGINE_BATCH];
    struct engine_arrival arrivals[ENGINE_BATCH];

    for (size_t i = 0; i < n; i++) {
        struct wire_frame *f = frames[i];

        arrivals[i] = (struct engine_arrival) {
            .options = f->options_len ? f->options : NULL,
            .options_len = f->options_len,
            .peer = inet_addr_from4(f->peer),
        };
        packets[i] = (struct engine_packet) {
            .data = f->buffer + f->ofs,
            .size = f->size,
            .headroom = f->ofs,
            .tailroom = sizeof f->buffer - f->ofs - f->size,
            .vni = f->arrived ? f->vni : MODEL_VNI,
            .arrival = f->arrived ? &arrivals[i] : NULL,
            .cookie = f,
        };
    }
    engine_process(&node->world, &node->thread, now_us, packets, n);
    node->n_in += n;
    for (size_t i = 0; i < n; i++) {
        outcomes[i] = (struct node_outcome) {
            packets[i].verdict, packets[i].reason
        };
        frames[i]->ofs = packets[i].data - frames[i]->buffer;
        frames[i]->size = packets[i].size;
    }
}

static void
flow_ended(const struct flow_ended *ended, void *node_)
{
    const struct node *node = node_;

    engine_flow_ended(node->table, ended);
}

void
node_tend(struct node *node, uint64_t now_us)
{
    if (node->runs && node->table) {
        engine_tick(&node->world, &node->thread, now_us);
        flow_table_sweep(node->world.flows, now_us / 1000000,
                         flow_table_n_buckets(node->world.flows) / NODE_SWEEPS
                         + 1,
                         flow_ended, node);
    }
}

size_t
node_collect(const struct node *node, struct inet_addr source,
             uint64_t now_us, struct node_flow *flows, size_t max)
{
    uint64_t cursor = 0;
    struct flow_key key;
    struct flow_ref ref;
    size_t n = 0;

    while (n < max && flow_table_next(node->world.flows, &cursor,
                                      now_us / 1000000, &key, &ref)) {
        const struct group *group = node->groups[key.group - 1];

        /* Not those that only end here. */
        if (inet_addr_equal(key.src, source)
            && !(group && group_uses_slots(group)
                 && ref.endpoint < group->n_endpoints
                 && group->endpoints[ref.endpoint].local)) {
            flows[n++] = (struct node_flow) {
                key, ref.endpoint, ref.idle, ref.state
            };
        }
    }
    for (size_t i = 0; i < n; i++) {
        engine_let_go(&node->world, now_us, &flows[i].key, flows[i].endpoint);
    }
    return n;
}

void
node_import(struct node *node, uint64_t now_us, const struct node_flow *flows,
            size_t n)
{
    for (size_t i = 0; i < n; i++) {
        engine_import(&node->world, now_us, &flows[i].key, flows[i].endpoint,
                      flows[i].state, flows[i].idle_s);
    }
}

/* Each packet has ended in one way, and is counted so. */
static bool
packets_add_up(const struct node *node)
{
    const struct engine_counters *count = &node->thread.count;
    uint64_t out = (count->underlay + count->local + count->arp_replies
                    + count->nd_replies);

    for (int r = 0; r < N_DROP_REASONS; r++) {
        out += count->drops[r];
    }
    return out == node->n_in;
}

const char *
node_check(struct node *node, uint64_t now_us)
{
    static int32_t open[MODEL_GROUPS][MODEL_ENDPOINTS];
    static char message[200];
    uint64_t pinned[MODEL_GROUPS] = { 0 };
    uint64_t cursor = 0;
    struct flow_key key;
    struct flow_ref ref;

    if (!node->runs || !node->table) {
        return NULL;
    }
    if (!packets_add_up(node)) {
        return "packets in are not packets out and dropped";
    }
    flow_table_sweep(node->world.flows, now_us / 1000000,
                     flow_table_n_buckets(node->world.flows), flow_ended,
                     node);
    memset(open, 0, sizeof open);
    while (flow_table_next(node->world.flows, &cursor, now_us / 1000000, &key,
                           &ref)) {
        open[key.group - 1][ref.endpoint] += ref.state != FLOW_CLOSING;
        pinned[key.group - 1]++;
    }
    for (int g = 0; g < MODEL_GROUPS; g++) {
        const struct group *group = node->groups[g];

        if (node->group_loads[g].pinned != pinned[g]) {
            snprintf(message, sizeof message,
                     "host %u counts %llu entries of group %d, it has %llu",
                     node->config.id,
                     (unsigned long long) node->group_loads[g].pinned, g,
                     (unsigned long long) pinned[g]);
            return message;
        }
        for (uint16_t e = 0; e < group->n_endpoints; e++) {
            if (group->endpoints[e].state
                && node->loads[g][e].open != open[g][e]) {
                snprintf(message, sizeof message,
                         "host %u counts %d open flows of %d/%u, it has %d",
                         node->config.id, node->loads[g][e].open, g, e,
                         open[g][e]);
                return message;
            }
        }
    }
    return NULL;
}
