#include "tests/unit/world.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static const struct hash_key hash_key = { {
    UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0x2545f4914f6cdd1d)
} };

struct world *
world_create(void)
{
    struct world *w = calloc(1, sizeof *w);

    for (int g = 0; g < WORLD_GROUPS; g++) {
        struct world_group *wg = &w->groups[g];

        *wg = (struct world_group) {
            .vni = g ? 0 : 5001, .address = 0x0a010064, .protocol = 6,
            .port = 80, .epoch = 1, .n_endpoints = 4,
        };
        for (int s = 0; s < WORLD_SLOTS; s++) {
            wg->slots[s] = s % 4;
        }
        for (int e = 0; e < WORLD_ENDPOINTS; e++) {
            wg->states[e] = ENDPOINT_UP;
            wg->hosts[e] = 1;
        }
    }
    w->now_ms = 1000000;
    w->flows = flow_table_create(10000);
    assert(w->flows);
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

void
world_destroy(struct world *w)
{
    unpublish(w);
    flow_table_destroy(w->flows);
    free(w);
}

static struct group *
build_group(const struct world_group *wg, int g)
{
    struct group_endpoint endpoints[WORLD_ENDPOINTS];
    struct group_spec spec = {
        .id = g + 1, .epoch = wg->epoch, .affinity = wg->affinity,
        .slots = wg->slots, .n_slots = WORLD_SLOTS,
        .endpoints = endpoints, .n_endpoints = wg->n_endpoints,
    };

    for (int e = 0; e < WORLD_ENDPOINTS; e++) {
        endpoints[e] = (struct group_endpoint) {
            .mac = { { 2, 0, 0, g, 0, e } },
            .state = wg->states[e],
            .local = wg->hosts[e] == 0,
            .host = wg->hosts[e],
        };
    }
    group_key_init4(&spec.key, wg->vni, wg->address, wg->protocol, wg->port);
    return group_create(&spec, &hash_key);
}

static void
set_tunnel(struct world *w, size_t host, enum tunnel_type type,
           size_t overhead)
{
    struct tunnel tunnel;
    struct tunnel_spec spec = {
        .type = type,
        .src_mac = { { 2, 1, 1, 1, 1, 1 } },
        .dst_mac = { { 2, 2, 2, 2, 2, host } },
        .src_ip = 0xc0000201, .dst_ip = 0xc0000201 + host,
        .ttl = 64, .mtu = WORLD_INNER_MTU + overhead,
    };

    tunnel_init(&tunnel, &spec);
    assert(tunnel.inner_mtu == WORLD_INNER_MTU);
    anycast_table_set_tunnel(w->table, host, &tunnel);
}

void
world_publish(struct world *w)
{
    unpublish(w);
    w->table = anycast_table_create(&hash_key, 1, WORLD_GROUPS, WORLD_HOSTS);
    set_tunnel(w, 1, TUNNEL_GENEVE, 62);
    set_tunnel(w, 2, TUNNEL_VXLAN, 50);
    for (int g = 0; g < WORLD_GROUPS; g++) {
        if (w->groups[g].vni) {
            bool added;

            w->built[g] = build_group(&w->groups[g], g);
            assert(w->built[g]);
            added = anycast_table_add(w->table, w->built[g]);
            assert(added);
            (void) added;
        }
    }
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

void
world_build(struct world_packet *p)
{
    uint8_t *l4;

    p->frame_size = frame_build(&p->spec, p->frame);
    p->frame[0] = 0x02;         /* Unicast. */
    l4 = p->frame + frame_l4(p->frame);
    frame_put16(l4, p->src_port);
    frame_put16(l4 + 2, p->dst_port);
    if (p->spec.protocol != 17) {
        l4[13] = p->tcp_flags;
    }
    frame_put16(p->frame + frame_l4_csum_ofs(p->frame), 0);
    frame_put16(p->frame + frame_l4_csum_ofs(p->frame),
                frame_l4_csum(p->frame));
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
        .vni = p->vni,
    };
}

void
world_decode(struct world_packet *p)
{
    size_t ofs = 0;

    p->group = p->endpoint = -1;
    if (p->packet.verdict == ENGINE_UNDERLAY) {
        uint16_t udp_port = frame_get16(p->packet.data + 36);

        assert(udp_port == 6081 || udp_port == 4789);
        ofs = udp_port == 6081 ? 62 : 50;
    } else if (p->packet.verdict != ENGINE_LOCAL) {
        return;
    }
    p->inner = p->packet.data + ofs;
    p->inner_size = p->packet.size - ofs;
    assert(p->inner[0] == 2 && !p->inner[1] && !p->inner[2]);
    p->group = p->inner[3];
    p->endpoint = frame_get16(p->inner + 4);
}

int
world_send(struct world *w, struct world_packet *p)
{
    world_build(p);
    engine_process(w->table, w->flows, &w->thread, w->now_ms, &p->packet, 1);
    world_decode(p);
    return p->endpoint;
}

int
world_send_flow(struct world *w, uint32_t flow, uint8_t tcp_flags)
{
    struct world_packet p = world_packet(flow, tcp_flags);

    return world_send(w, &p);
}
