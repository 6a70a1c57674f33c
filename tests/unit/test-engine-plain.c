/* Nearly all packets take a short way through the engine.  Here each one takes
 * the long way as well, in a second world that is like the first, and what
 * comes out must be the same.
 *
 * A packet takes the long way if its checksum is said to be incomplete, which
 * changes nothing if it is complete; and it does so alone, while in the first
 * world packets come in batches. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/world.h"

enum { SYN = 0x02, ACK = 0x10, FIN = 0x01, RST = 0x04 };
enum { TCP = 6, UDP = 17 };
enum {
    N_FLOWS = 300,
    N_CHANGES = 300,
    N_BATCHES = 20,             /* Between changes. */
};

static uint32_t
random_below(uint32_t n)
{
    return frame_random() % n;
}

/* True once in 'n' times. */
static bool
rarely(uint32_t n)
{
    return random_below(n) == 0;
}

/* Endpoints on hosts from 'first' on. */
static void
change_endpoints(struct world_group *wg, uint32_t first, uint32_t now_s)
{
    wg->n_endpoints = 4 + random_below(3);
    for (size_t e = 0; e < wg->n_endpoints; e++) {
        wg->hosts[e] = (rarely(3) ? first + random_below(WORLD_HOSTS - first)
                        : 1);
        wg->up_at_s[e] = now_s - random_below(200);
        wg->states[e] = (rarely(4) ? ENDPOINT_UP + random_below(4)
                         : ENDPOINT_UP);
    }
    for (int s = 0; s < WORLD_SLOTS; s++) {
        wg->slots[s] = (rarely(50) ? GROUP_NO_ENDPOINT
                        : random_below(wg->n_endpoints));
    }
}

static void
change_previous(struct world_group *wg)
{
    memset(wg->previous, 0xff, sizeof wg->previous);
    if (rarely(3)) {
        for (int s = 0; s < WORLD_SLOTS; s++) {
            wg->previous[s][0] = random_below(wg->n_endpoints);
        }
    }
}

/* Groups that differ from the first in one thing each: the VNI, the protocol,
 * the port.  All go by slots, since pickers go by chance.  The last one needs
 * no entries: it goes by the hash, and no endpoint of its is here. */
static void
change_groups(struct world *w)
{
    for (int g = 0; g < WORLD_GROUPS; g++) {
        struct world_group *wg = &w->groups[g];

        wg->vni = g == 1 ? 5002 : 5001;
        wg->protocol = g == 2 ? UDP : TCP;
        wg->port = g == 3 ? 81 : 80;
        wg->algorithm = (g == 3 || rarely(2) ? ALGORITHM_HASH
                         : ALGORITHM_WEIGHTED);
        wg->affinity = rarely(3) ? AFFINITY_SOURCE : AFFINITY_FLOW;
        wg->affinity_timeout = 1 + random_below(100);
        wg->ramp = rarely(4) ? 100 : 0;
        wg->flags = random_below(4);
        wg->epoch++;
        change_endpoints(wg, g == 3, w->now_ms / 1000);
        change_previous(wg);
    }
}

static uint8_t
random_flags(void)
{
    static const uint8_t flags[] = { SYN, SYN | ACK, FIN | ACK, RST, 0 };

    return rarely(6) ? flags[random_below(sizeof flags)] : ACK;
}

static uint16_t
random_payload(void)
{
    return (rarely(8) ? WORLD_INNER_MTU - 50 + random_below(20)
            : random_below(100));
}

static void
random_packet(const struct world *w, struct world_packet *p)
{
    const struct world_group *wg = &w->groups[random_below(WORLD_GROUPS)];
    uint32_t flow = random_below(N_FLOWS);

    *p = world_packet(0, random_flags());
    p->vni = rarely(50) ? random_below(3) + 5000 : wg->vni;
    p->spec.protocol = wg->protocol;
    p->spec.src = rarely(50) ? frame_random() : 0x0a010200 + flow % 20;
    p->src_port = 1000 + flow;
    p->dst_port = rarely(50) ? 79 : wg->port;
    p->spec.ttl = rarely(20) ? 1 + random_below(2) : 0;
    p->spec.tos = frame_random();
    p->spec.payload = random_payload();
    p->spec.padding = rarely(8) ? random_below(60) : 0;
    world_build(p);
    if (rarely(8)) {
        /* As a VM with checksum offload leaves it. */
        frame_put16(p->frame + frame_l4_csum_ofs(p->frame),
                    frame_pseudo_sum(p->frame));
        world_load(p);
    }
    p->packet.tso = rarely(50);
    if (rarely(8)) {
        p->packet.headroom = 40 + random_below(50);
    }
}

/* Sends a copy of 'q', 'p', the long way. */
static void
send_long(struct world *w, struct world_packet *p,
          const struct world_packet *q)
{
    *p = *q;
    world_load(p);
    p->packet.tso = q->packet.tso;
    p->packet.headroom = q->packet.headroom;
    p->packet.partial_csum = true;
    engine_process(&w->engine, &w->thread, w->now_ms * 1000, &p->packet, 1);
}

static void
check_same(const struct world_packet *p, const struct world_packet *q)
{
    assert_int_equal(p->packet.verdict, q->packet.verdict);
    assert_string_equal(drop_reason_name(p->packet.reason),
                        drop_reason_name(q->packet.reason));
    assert_int_equal(p->packet.size, q->packet.size);
    assert_int_equal(p->packet.data - p->buffer, q->packet.data - q->buffer);
    if (p->packet.verdict != ENGINE_DROP) {
        assert_memory_equal(p->packet.data, q->packet.data, p->packet.size);
    }
}

static void
check_counters(const struct world *v, const struct world *w)
{
    assert_memory_equal(&v->thread.count, &w->thread.count,
                        sizeof v->thread.count);
    for (int g = 0; g < WORLD_GROUPS; g++) {
        struct world_census a = world_census(v, g), b = world_census(w, g);

        assert_memory_equal(&a, &b, sizeof a);
    }
}

static void
send_batch(struct world *v, struct world *w)
{
    static struct world_packet sent[ENGINE_BATCH], other;
    struct engine_packet packets[ENGINE_BATCH];
    size_t n = 1 + random_below(ENGINE_BATCH);

    for (size_t i = 0; i < n; i++) {
        random_packet(v, &sent[i]);
        packets[i] = sent[i].packet;
    }
    engine_process(&v->engine, &v->thread, v->now_ms * 1000, packets, n);
    for (size_t i = 0; i < n; i++) {
        send_long(w, &other, &sent[i]);
        sent[i].packet = packets[i];
        check_same(&sent[i], &other);
    }
}

static void
test_the_short_way_leads_where_the_long_one_does(void **state)
{
    struct world *v = world_create(), *w = world_create();

    (void) state;
    for (int change = 0; change < N_CHANGES; change++) {
        change_groups(v);
        memcpy(w->groups, v->groups, sizeof v->groups);
        world_publish(v);
        world_publish(w);
        for (int i = 0; i < N_BATCHES; i++) {
            v->now_ms += 500 + random_below(3000);
            w->now_ms = v->now_ms;
            send_batch(v, w);
        }
        check_counters(v, w);
    }
    assert_true(v->thread.count.underlay > 2000);
    assert_true(v->thread.count.local > 200);
    world_destroy(v);
    world_destroy(w);
}

/* So many flows that many are in their second buckets: each goes where it
 * went before. */
static void
test_flows_in_second_buckets_stay(void **state)
{
    enum { N = 9000 };
    static int endpoints[N];
    struct world *w = world_create();
    struct world_packet p;

    (void) state;
    for (uint32_t i = 0; i < N; i++) {
        endpoints[i] = world_send_flow(w, i, SYN);
        world_send_flow(w, i, ACK);
    }
    for (int s = 0; s < WORLD_SLOTS; s++) {
        w->groups[0].slots[s] = 3 - w->groups[0].slots[s];
    }
    world_publish(w);
    for (uint32_t i = 0; i < N; i++) {
        p = world_packet(i, ACK);
        assert_int_equal(world_send(w, &p), endpoints[i]);
    }
    assert_int_equal(w->thread.count.new_flows, N);
    world_destroy(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_short_way_leads_where_the_long_one_does),
        cmocka_unit_test(test_flows_in_second_buckets_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
