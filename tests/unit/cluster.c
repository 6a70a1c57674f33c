#include "tests/unit/cluster.h"

#include <assert.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct cluster *
cluster_create(void)
{
    struct cluster *c = calloc(1, sizeof *c);

    assert(c);
    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        struct world *w = c->hosts[h] = world_create();

        w->here = h;
        for (int i = 0; i < CLUSTER_HOSTS; i++) {
            w->tunnels[i] = TUNNEL_GENEVE;
        }
        for (int g = 0; g < WORLD_GROUPS; g++) {
            for (int e = 0; e < WORLD_ENDPOINTS; e++) {
                w->groups[g].hosts[e] = e % CLUSTER_HOSTS;
            }
        }
    }
    cluster_publish(c);
    return c;
}

void
cluster_destroy(struct cluster *c)
{
    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        world_destroy(c->hosts[h]);
    }
    free(c);
}

void
cluster_copy(struct cluster *c)
{
    for (int h = 1; h < CLUSTER_HOSTS; h++) {
        memcpy(c->hosts[h]->groups, c->hosts[0]->groups,
               sizeof c->hosts[h]->groups);
        memcpy(c->hosts[h]->tunnels, c->hosts[0]->tunnels,
               sizeof c->hosts[h]->tunnels);
        c->hosts[h]->ipv6_underlay = c->hosts[0]->ipv6_underlay;
    }
    cluster_publish(c);
}

void
cluster_publish(struct cluster *c)
{
    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        world_publish(c->hosts[h]);
    }
}

void
cluster_advance(struct cluster *c, uint64_t ms)
{
    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        c->hosts[h]->now_ms += ms;
    }
}

void
cluster_set_algorithm(struct cluster *c, enum group_algorithm algorithm)
{
    c->hosts[0]->groups[0].algorithm = algorithm;
    cluster_copy(c);
}

void
cluster_move_slots(struct cluster *c, int first, int last, uint16_t owner)
{
    for (int h = first; h <= last; h++) {
        struct world_group *g = &c->hosts[h]->groups[0];

        for (int s = 0; s < WORLD_SLOTS; s++) {
            g->previous[s][1] = g->previous[s][0];
            g->previous[s][0] = g->slots[s];
        }
        world_give_slots(c->hosts[h], 0, owner);
        world_publish(c->hosts[h]);
    }
}

static void
process(struct world *w, struct engine_packet *packet)
{
    engine_process(&w->engine, &w->thread, w->now_ms * 1000, packet, 1);
}

static struct engine_arrival
arrival_of(const struct world_outer *outer)
{
    return (struct engine_arrival) {
        .options = outer->options,
        .options_len = outer->options_len,
        .peer = outer->peer,
    };
}

enum drop_reason
cluster_hint_arrives(struct cluster *c, const struct cluster_hint *hint)
{
    uint8_t buffer[256];
    struct world_outer outer;

    world_decap(hint->frame, hint->size, &outer);
    assert(outer.to >= 0 && outer.to < CLUSTER_HOSTS);
    memcpy(buffer, outer.inner, outer.inner_size);
    struct engine_arrival arrival = arrival_of(&outer);
    struct engine_packet packet = {
        .data = buffer, .size = outer.inner_size, .vni = outer.vni,
        .arrival = &arrival, .cookie = buffer,
    };
    process(c->hosts[outer.to], &packet);
    assert(packet.verdict == ENGINE_DROP);
    assert(!c->hosts[outer.to]->thread.n_extras);
    return packet.reason;
}

static void
take_hints(struct cluster *c, const struct world *w)
{
    size_t n = w->thread.n_extras;

    for (size_t i = 0; i < n; i++) {
        const struct engine_extra *extra = &w->thread.extras[i];
        struct cluster_hint hint = { .size = extra->size };

        assert(hint.size <= sizeof hint.frame);
        memcpy(hint.frame, extra->frame + extra->ofs, hint.size);
        if (!c->hold_hints) {
            cluster_hint_arrives(c, &hint);
        } else {
            assert(c->n_hints < CLUSTER_HINTS);
            c->hints[c->n_hints++] = hint;
        }
    }
}

struct journey
cluster_send(struct cluster *c, int from, struct world_packet *p)
{
    struct journey j = { .host = from, .endpoint = -1 };
    uint8_t buffers[2][WORLD_HEADROOM + FRAME_MAX];
    struct engine_arrival arrival;
    struct world_outer outer;

    world_build(p);
    memcpy(buffers[0], p->buffer, sizeof p->buffer);
    struct engine_packet packet = p->packet;
    packet.data = buffers[0] + WORLD_HEADROOM;
    for (;;) {
        struct world *w = c->hosts[j.host];
        uint8_t *next = buffers[(j.n_hops + 1) % 2];

        j.path[j.n_hops] = j.host;
        process(w, &packet);
        take_hints(c, w);
        if (packet.verdict != ENGINE_UNDERLAY) {
            break;
        }
        world_decap(packet.data, packet.size, &outer);
        assert(outer.from == j.host && outer.to != j.host);
        if (!j.n_hops) {
            world_read_context(&outer, &j.context);
        }
        j.n_hops++;
        assert(j.n_hops <= CLUSTER_MAX_HOPS);
        j.host = outer.to;
        memcpy(next + WORLD_HEADROOM, outer.inner, outer.inner_size);
        arrival = arrival_of(&outer);
        packet = (struct engine_packet) {
            .data = next + WORLD_HEADROOM, .size = outer.inner_size,
            .headroom = WORLD_HEADROOM, .vni = outer.vni, .cookie = p,
            .arrival = &arrival,
        };
    }
    j.verdict = packet.verdict;
    j.reason = packet.reason;
    if (j.verdict == ENGINE_LOCAL) {
        j.inner_size = packet.size;
        memcpy(j.inner, packet.data, packet.size);
        j.endpoint = frame_get16(j.inner + 4);
    }
    return j;
}

struct journey
cluster_send_flow(struct cluster *c, int from, uint32_t flow,
                  uint8_t tcp_flags)
{
    struct world_packet p = world_packet(flow, tcp_flags);

    return cluster_send(c, from, &p);
}

void
cluster_check_arrives(const struct journey *j, int endpoint, int n_hops)
{
    assert_int_equal(j->verdict, ENGINE_LOCAL);
    assert_int_equal(j->endpoint, endpoint);
    assert_int_equal(j->host, endpoint);
    assert_int_equal(j->n_hops, n_hops);
}
