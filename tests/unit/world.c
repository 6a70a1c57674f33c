#include "tests/unit/world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct hash_key hash_key = { {
    UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0x2545f4914f6cdd1d)
} };

struct inet_addr
world_address(uint32_t address, bool ipv6)
{
    return (ipv6 ? (struct inet_addr) { UINT64_C(0xfd00) << 48, address }
            : inet_addr_from4(address));
}

struct world *
world_create(void)
{
    struct world *w = aligned_alloc(64, (sizeof *w + 63) / 64 * 64);

    memset(w, 0, sizeof *w);

    for (int g = 0; g < WORLD_GROUPS; g++) {
        struct world_group *wg = &w->groups[g];

        *wg = (struct world_group) {
            .vni = g ? 0 : 5001, .address = 0x0a010064, .protocol = 6,
            .port = 80, .epoch = 1, .n_endpoints = 4,
            .affinity_timeout = 10800,
        };
        memset(wg->previous, 0xff, sizeof wg->previous);
        for (int s = 0; s < WORLD_SLOTS; s++) {
            wg->slots[s] = s % 4;
        }
        for (int e = 0; e < WORLD_ENDPOINTS; e++) {
            wg->states[e] = ENDPOINT_UP;
            wg->hosts[e] = 1;
            load_init(&w->loads[g][e]);
        }
    }
    w->tunnels[0] = w->tunnels[1] = TUNNEL_GENEVE;
    w->tunnels[2] = TUNNEL_VXLAN;
    w->now_ms = 1000000;
    w->flows = flow_table_create(&(struct flow_table_size) { 10000, 10000 });
    w->sources = source_table_create(1000, &hash_key);
    assert(w->flows && w->sources);
    if (!engine_thread_init(&w->thread, 1, &hash_key)) {
        abort();
    }
    world_publish(w);
    return w;
}

static void
unpublish(struct world *w)
{
    anycast_table_destroy(w->table);
    for (int g = 0; g < WORLD_GROUPS; g++) {
        group_destroy(w->built[g]);
        w->built[g] = NULL;
    }
}

static void
ignore_cookie(void *cookie)
{
    (void) cookie;
}

void
world_destroy(struct world *w)
{
    unpublish(w);
    flow_table_destroy(w->flows);
    source_table_destroy(w->sources);
    engine_thread_uninit(&w->thread, ignore_cookie);
    free(w);
}

static struct group *
build_group(struct world *w, int g)
{
    const struct world_group *wg = &w->groups[g];
    struct group_endpoint endpoints[WORLD_ENDPOINTS];
    struct group_spec spec = {
        .id = g + 1, .epoch = wg->epoch, .affinity = wg->affinity,
        .affinity_timeout = wg->affinity_timeout,
        .algorithm = wg->algorithm, .ramp = wg->ramp, .flags = wg->flags,
        .quic_offset = wg->quic_offset, .quic_length = wg->quic_length,
        .slots = wg->slots, .previous = wg->previous[0],
        .n_slots = WORLD_SLOTS, .load = &w->group_loads[g],
        .endpoints = endpoints, .n_endpoints = wg->n_endpoints,
    };

    for (int e = 0; e < WORLD_ENDPOINTS; e++) {
        endpoints[e] = (struct group_endpoint) {
            .mac = { { 2, 0, 0, g, 0, e } },
            .state = wg->states[e],
            .local = wg->hosts[e] == w->here,
            .host = wg->hosts[e],
            .weight = 100,
            .tier = wg->tiers[e],
            .up_at_s = wg->up_at_s[e],
            .quic_id = wg->quic_ids[e],
            .load = &w->loads[g][e],
        };
    }
    group_key_init(&spec.key, wg->vni,
                   world_address(wg->address, wg->ipv6), wg->protocol,
                   wg->port, wg->port_last);
    return group_create(&spec, &hash_key);
}

static struct inet_addr
host_address(const struct world *w, size_t host)
{
    return (w->ipv6_underlay
            ? (struct inet_addr) { UINT64_C(0x20010db8) << 32, 1 + host }
            : inet_addr_from4(0xc0000201 + host));
}

static void
set_tunnel(struct world *w, size_t host)
{
    size_t overhead = w->tunnels[host] == TUNNEL_GENEVE ? 62 : 50;
    struct tunnel tunnel;
    struct tunnel_spec spec = {
        .type = w->tunnels[host],
        .src_mac = { { 2, 1, 1, 1, 1, 1 } },
        .dst_mac = { { 2, 2, 2, 2, 2, host } },
        .src_ip = host_address(w, w->here),
        .dst_ip = host_address(w, host),
        .ttl = 64,
    };

    anycast_table_set_vtep(w->table, host, spec.dst_ip);
    if (spec.type == TUNNEL_NONE) {
        return;
    }
    /* The outer Ethernet header does not count. */
    spec.mtu = WORLD_INNER_MTU + overhead + (w->ipv6_underlay ? 20 : 0);
    tunnel_init(&tunnel, &spec);
    assert(tunnel.inner_mtu == WORLD_INNER_MTU);
    anycast_table_set_tunnel(w->table, host, &tunnel);
}

void
world_publish(struct world *w)
{
    unpublish(w);
    w->table = anycast_table_create(&hash_key, 1, WORLD_GROUPS, WORLD_HOSTS);
    for (int h = 0; h < WORLD_HOSTS; h++) {
        set_tunnel(w, h);
    }
    for (int g = 0; g < WORLD_GROUPS; g++) {
        if (w->groups[g].vni) {
            bool added;

            w->built[g] = build_group(w, g);
            assert(w->built[g]);
            added = anycast_table_add(w->table, w->built[g]);
            assert(added);
            (void) added;
        }
    }
    w->engine = (struct engine_world) {
        .table = w->table, .flows = w->flows, .sources = w->sources,
    };
}

void
world_give_slots(struct world *w, int g, uint16_t endpoint)
{
    for (int s = 0; s < WORLD_SLOTS; s++) {
        w->groups[g].slots[s] = endpoint;
    }
    w->groups[g].epoch++;
}

struct world_packet
world_packet(uint32_t flow, uint8_t tcp_flags)
{
    return (struct world_packet) {
        .spec = { .src = 0x0a010002 + flow / 50000, .dst = 0x0a010064 },
        .vni = 5001,
        .src_port = 1024 + flow % 50000,
        .dst_port = 80,
        .tcp_flags = tcp_flags,
    };
}

static void
write_address6(uint8_t bytes[16], uint32_t address)
{
    memset(bytes, 0, 16);
    bytes[0] = 0xfd;
    frame_put32(bytes + 12, address);
}

/* Whether there are ports in the packet of 'spec', and a checksum that covers
 * them. */
static bool
has_ports(const struct frame_spec *spec)
{
    return spec->protocol != 1 && spec->protocol != 58
           && !(spec->frag & (spec->ipv6 ? 0xfff8 : 0x1fff));
}

void
world_build(struct world_packet *p)
{
    if (p->spec.ipv6) {
        write_address6(p->spec.src6, p->spec.src);
        write_address6(p->spec.dst6, p->spec.dst);
    }
    if (p->spec.protocol == 132) {
        p->spec.l4_type = p->tcp_flags;
    }
    p->frame_size = frame_build(&p->spec, p->frame);
    p->frame[0] = 0x02;         /* Unicast. */
    if (has_ports(&p->spec)) {
        uint8_t *l4 = p->frame + frame_l4(p->frame);

        frame_put16(l4, p->src_port);
        frame_put16(l4 + 2, p->dst_port);
        if (p->spec.protocol == 0 || p->spec.protocol == 6) {
            l4[13] = p->tcp_flags;
        }
        if (p->spec.protocol != 132) {
            frame_fix_l4_csum(p->frame);
        }
    }
    world_load(p);
}

void
world_load(struct world_packet *p)
{
    memcpy(p->buffer + WORLD_HEADROOM, p->frame, p->frame_size);
    p->packet = (struct engine_packet) {
        .data = p->buffer + WORLD_HEADROOM,
        .size = p->frame_size,
        .headroom = WORLD_HEADROOM,
        .tailroom = FRAME_MAX - p->frame_size,
        .vni = p->vni,
        .arrival = p->arrival,
        .cookie = p,
    };
}

static struct inet_addr
read_address6(const uint8_t *p)
{
    return (struct inet_addr) {
        (uint64_t) frame_get32(p) << 32 | frame_get32(p + 4),
        (uint64_t) frame_get32(p + 8) << 32 | frame_get32(p + 12),
    };
}

void
world_decap(const uint8_t *frame, size_t size, struct world_outer *outer)
{
    bool ipv6 = frame_get16(frame + 12) == 0x86dd;
    const uint8_t *ip = frame + 14;
    const uint8_t *udp = ip + (ipv6 ? 40 : 20);
    size_t ip_len = ipv6 ? 40 + frame_get16(ip + 4) : frame_get16(ip + 2);

    assert(ip_len + 14 == size);
    assert(frame_get16(udp + 4) == ip + ip_len - udp);
    memset(outer, 0, sizeof *outer);
    if (ipv6) {
        assert(ip[0] >> 4 == 6 && ip[6] == 17);
        outer->peer = read_address6(ip + 8);
        outer->from = ip[23] - 1;
        outer->to = ip[39] - 1;
        outer->tos = (ip[0] & 15) << 4 | ip[1] >> 4;
    } else {
        assert(ip[0] == 0x45 && ip[9] == 17 && frame_sum(ip, 20) == 0xffff);
        outer->peer = inet_addr_from4(frame_get32(ip + 12));
        outer->from = ip[15] - 1;
        outer->to = ip[19] - 1;
        outer->tos = ip[1];
    }
    outer->src_port = frame_get16(udp);
    outer->vni = frame_get32(udp + 12) >> 8;
    outer->geneve = frame_get16(udp + 2) == 6081;
    assert(outer->geneve || frame_get16(udp + 2) == 4789);
    outer->options = outer->geneve ? udp + 16 : NULL;
    outer->options_len = outer->geneve ? (udp[8] & 0x3f) * 4 : 0;
    outer->inner = udp + 16 + outer->options_len;
    outer->inner_size = frame + size - outer->inner;
}

bool
world_read_context(const struct world_outer *outer, struct world_context *c)
{
    const uint8_t *o = outer->options;

    memset(c, 0, sizeof *c);
    if (!outer->options_len) {
        return false;
    }
    assert(outer->options_len == 12 || outer->options_len == 24);
    assert(frame_get32(o) == 0xff670102 && o[4] >> 4 == 1);
    c->is_new = o[4] & 1;
    c->is_claimed = o[4] & 8;
    c->hops = o[4] >> 1 & 3;
    c->group = frame_get32(o + 4) & 0xffffff;
    c->epoch = frame_get32(o + 8);
    if (outer->options_len == 24) {
        assert(frame_get32(o + 12) == 0xff670202);
        for (int i = 0; i < 4; i++) {
            c->previous[i] = frame_get16(o + 16 + 2 * i);
            c->n_previous += c->previous[i] != 0xffff;
        }
    }
    return true;
}

void
world_decode(struct world_packet *p)
{
    p->group = p->endpoint = -1;
    if (p->packet.verdict == ENGINE_UNDERLAY) {
        world_decap(p->packet.data, p->packet.size, &p->outer);
        assert(p->outer.vni == p->vni);
        p->inner = p->outer.inner;
        p->inner_size = p->outer.inner_size;
    } else if (p->packet.verdict == ENGINE_LOCAL) {
        p->inner = p->packet.data;
        p->inner_size = p->packet.size;
    } else {
        return;
    }
    assert(p->inner[0] == 2 && !p->inner[1] && !p->inner[2]);
    p->group = p->inner[3];
    p->endpoint = frame_get16(p->inner + 4);
}

int
world_run(struct world *w, struct world_packet *p)
{
    engine_process(&w->engine, &w->thread, w->now_ms * 1000, &p->packet, 1);
    world_decode(p);
    return p->endpoint;
}

int
world_send(struct world *w, struct world_packet *p)
{
    world_build(p);
    return world_run(w, p);
}

int
world_send_flow(struct world *w, uint32_t flow, uint8_t tcp_flags)
{
    struct world_packet p = world_packet(flow, tcp_flags);

    return world_send(w, &p);
}

struct engine_explanation
world_explain(const struct world *w, const struct world_packet *p)
{
    uint8_t protocol = p->spec.protocol ? p->spec.protocol : 6;
    const struct engine_question_flow flow = {
        .vni = p->vni,
        .protocol = protocol == 58 ? 1 : protocol,
        .src = world_address(p->spec.src, p->spec.ipv6),
        .dst = world_address(p->spec.dst, p->spec.ipv6),
        .src_port = p->src_port,
        .dst_port = p->dst_port,
        .opens = protocol == 132 ? p->tcp_flags == 1
                 : protocol == 6 && (p->tcp_flags & 0x12) == 0x02,
    };
    struct engine_explanation e;

    engine_explain(&w->engine, w->now_ms * 1000, &flow, &e);
    return e;
}

enum flow_state
world_state(const struct world *w, const struct world_packet *p)
{
    struct engine_explanation e = world_explain(w, p);

    return e.tracked ? e.ref.state : FLOW_FREE;
}

enum flow_state
world_flow_state(const struct world *w, uint32_t flow)
{
    struct world_packet p = world_packet(flow, 0);

    return world_state(w, &p);
}

struct world_census
world_census(const struct world *w, int g)
{
    struct world_census census = { .open = 0 };
    struct flow_key key;
    struct flow_ref ref;
    uint64_t cursor = 0;

    for (int e = 0; e < WORLD_ENDPOINTS; e++) {
        census.open += w->loads[g][e].open;
        census.pending += w->loads[g][e].pending;
    }
    while (flow_table_next(w->flows, &cursor, w->now_ms / 1000, &key, &ref)) {
        if (key.group == g + 1u) {
            census.entries++;
            census.live += ref.state != FLOW_CLOSING;
        }
    }
    return census;
}

static void
note_ended(const struct flow_ended *ended, void *table)
{
    engine_flow_ended(table, ended);
}

void
world_sweep(struct world *w)
{
    flow_table_sweep(w->flows, w->now_ms / 1000,
                     flow_table_n_buckets(w->flows), note_ended, w->table);
}
