/* What clients are told when nobody serves them: resets for flows of dead
 * hosts, ICMP unreachable when a group has no endpoint. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/world.h"

enum { SYN = 0x02, ACK = 0x10, FIN = 0x01, RST = 0x04, N_FLOWS = 100 };

static const uint8_t router[] = { 0x0a, 0x67, 0x72, 0x00, 0x13, 0x89 };

static int
setup(void **state)
{
    *state = world_create();
    return 0;
}

static int
teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

/* All flows on endpoint 0, which is lost then; its slots go to endpoint 1. */
static void
lose_endpoint(struct world *w, bool ipv6, uint8_t flags)
{
    w->groups[0].ipv6 = ipv6;
    w->groups[0].states[0] = ENDPOINT_UP;
    world_give_slots(w, 0, 0);
    world_publish(w);
    for (int i = 0; i < N_FLOWS; i++) {
        for (int n = 0; n < 2; n++) {
            struct world_packet p = world_packet(i, n ? ACK : SYN);

            p.spec.ipv6 = ipv6;
            assert_int_equal(world_send(w, &p), 0);
        }
    }
    w->groups[0].states[0] = ENDPOINT_LOST;
    w->groups[0].flags = flags;
    world_give_slots(w, 0, 1);
    world_publish(w);
}

static void
test_flows_of_a_dead_host_wait_for_it(void **state)
{
    struct world *w = *state;

    lose_endpoint(w, false, 0);
    for (int i = 0; i < N_FLOWS; i++) {
        assert_int_equal(world_send_flow(w, i, ACK), 0);
        assert_int_equal(world_send_flow(w, 1000 + i, SYN), 1);
    }

    /* But a new connection does not. */
    assert_int_equal(world_send_flow(w, 0, SYN), 1);
    assert_int_equal(world_send_flow(w, 0, ACK), 1);
    assert_int_equal(w->thread.count.resets, 0);
    struct world_census census = world_census(w, 0);
    assert_int_equal(census.open, census.live);
}

/* Checks that 'p' has become the reset that answers it (RFC 9293 section
 * 3.5.2). */
static void
check_reset(const struct world_packet *p)
{
    const uint8_t *frame = p->packet.data;
    const uint8_t *tcp = frame + frame_l4(frame);
    const uint8_t *sent = p->frame + frame_l4(p->frame);
    bool has_ack = sent[13] & ACK;
    uint32_t len = p->spec.payload + (sent[13] & FIN ? 1 : 0);

    assert_int_equal(p->packet.verdict, ENGINE_REPLY);
    assert_int_equal(p->packet.reason, DROP_HOST_DEAD);
    assert_memory_equal(frame, p->frame + 6, 6);
    assert_memory_equal(frame + 6, router, 6);
    assert_int_equal(frame_get16(tcp), 80);
    assert_int_equal(frame_get16(tcp + 2), p->src_port);
    assert_int_equal(tcp[13] & 0x3f, has_ack ? RST : RST | ACK);
    assert_int_equal(frame_get32(tcp + 4),
                     has_ack ? frame_get32(sent + 8) : 0);
    if (!has_ack) {
        assert_int_equal(frame_get32(tcp + 8), frame_get32(sent + 4) + len);
    }
    assert_int_equal(frame_get16(tcp + 16), frame_l4_csum(frame));
    if (p->spec.ipv6) {
        assert_memory_equal(frame + 14 + 8, p->frame + 14 + 24, 16);
        assert_memory_equal(frame + 14 + 24, p->frame + 14 + 8, 16);
    } else {
        assert_int_equal(frame_get32(frame + 26), p->spec.dst);
        assert_int_equal(frame_get32(frame + 30), p->spec.src);
        assert_int_equal(frame_sum(frame + 14, 20), 0xffff);
    }
}

static void
test_flows_of_a_dead_host_are_reset(void **state)
{
    static const uint8_t flags[] = { ACK, ACK | 8, FIN | ACK, FIN, 0 };
    struct world *w = *state;

    for (int v6 = 0; v6 < 2; v6++) {
        lose_endpoint(w, v6, GROUP_RESET_LOST);
        for (int i = 0; i < N_FLOWS; i++) {
            struct world_packet p
                = world_packet(i, flags[i % sizeof flags]);

            p.spec.ipv6 = v6;
            p.spec.payload = i;
            world_send(w, &p);
            check_reset(&p);
            assert_int_equal(world_state(w, &p), FLOW_CLOSING);
        }
        assert_int_equal(w->thread.count.resets, (v6 + 1) * N_FLOWS);
        assert_int_equal(w->thread.count.drops[DROP_HOST_DEAD],
                         (v6 + 1) * N_FLOWS);
        assert_int_equal(w->loads[0][0].open, 0);

        /* What sends on is reset again, a reset is not answered, a new
         * connection goes elsewhere. */
        struct world_packet p = world_packet(0, ACK);
        p.spec.ipv6 = v6;
        world_send(w, &p);
        check_reset(&p);
        w->thread.count.resets--;
        w->thread.count.drops[DROP_HOST_DEAD]--;
        p.tcp_flags = RST;
        assert_int_equal(world_send(w, &p), -1);
        assert_int_equal(p.packet.verdict, ENGINE_DROP);
        w->thread.count.drops[DROP_HOST_DEAD]--;
        p.tcp_flags = SYN;
        assert_int_equal(world_send(w, &p), 1);
        p.tcp_flags = ACK;
        assert_int_equal(world_send(w, &p), 1);
    }
    w->now_ms += 8000000;
    world_sweep(w);
    assert_int_equal(world_census(w, 0).open, 0);
    assert_int_equal(w->group_loads[0].pinned, 0);
}

/* If the host was not dead after all, what was not reset goes on. */
static void
test_a_host_that_comes_back_has_its_flows(void **state)
{
    struct world *w = *state;

    lose_endpoint(w, false, GROUP_RESET_LOST);
    world_send_flow(w, 0, ACK);
    w->groups[0].states[0] = ENDPOINT_UP;
    world_publish(w);
    for (int i = 1; i < N_FLOWS; i++) {
        assert_int_equal(world_send_flow(w, i, ACK), 0);
    }
}

/* An association of the same group over SCTP. */
static struct world_packet
sctp_packet(uint32_t flow, uint8_t chunk, bool ipv6)
{
    struct world_packet p = world_packet(flow, chunk);

    p.spec.protocol = 132;
    p.spec.ipv6 = ipv6;
    return p;
}

/* What their bytes are like is for tests of encap/reply.h to say. */
static void
test_associations_of_a_dead_host_are_aborted(void **state)
{
    enum { DATA = 0, INIT = 1, ABORT = 6, COOKIE_ECHO = 10 };
    struct world *w = *state;
    struct world_packet p;

    w->groups[0].protocol = 132;
    for (int v6 = 0; v6 < 2; v6++) {
        w->groups[0].ipv6 = v6;
        w->groups[0].states[0] = ENDPOINT_UP;
        w->groups[0].flags = 0;
        world_give_slots(w, 0, 0);
        world_publish(w);
        p = sctp_packet(v6, INIT, v6);
        assert_int_equal(world_send(w, &p), 0);
        p = sctp_packet(v6, COOKIE_ECHO, v6);
        assert_int_equal(world_send(w, &p), 0);
        w->groups[0].states[0] = ENDPOINT_LOST;
        world_give_slots(w, 0, 1);
        world_publish(w);
        p = sctp_packet(v6, DATA, v6);
        assert_int_equal(world_send(w, &p), 0);

        w->groups[0].flags = GROUP_RESET_LOST;
        world_publish(w);
        for (int i = 0; i < 2; i++) {
            p = sctp_packet(v6, DATA, v6);
            assert_int_equal(world_explain(w, &p).verdict, ENGINE_REPLY);
            world_send(w, &p);
            assert_int_equal(p.packet.verdict, ENGINE_REPLY);
            assert_int_equal(p.packet.reason, DROP_HOST_DEAD);
            const uint8_t *sctp = p.packet.data + frame_l4(p.packet.data);
            assert_int_equal(sctp[12], ABORT);
            assert_int_equal(frame_get16(sctp + 2), p.src_port);
            assert_int_equal(world_state(w, &p), FLOW_CLOSING);
        }
        assert_int_equal(w->thread.count.resets, 2 * (v6 + 1));
        assert_int_equal(w->loads[0][0].open, 0);
        p = sctp_packet(v6, ABORT, v6);
        world_send(w, &p);
        assert_int_equal(p.packet.verdict, ENGINE_DROP);
        p = sctp_packet(v6, INIT, v6);
        assert_int_equal(world_send(w, &p), 1);
    }
}

/* UDP cannot be reset: where TCP is, it goes elsewhere.  Also where a slot's
 * owner before the last one may know of flows. */
static void
test_datagrams_leave_a_dead_host_if_asked(void **state)
{
    struct world *w = *state;
    struct world_packet p = world_packet(0, 0);

    p.spec.protocol = w->groups[0].protocol = 17;
    for (int guess = 0; guess < 2; guess++) {
        w->groups[0].states[0] = ENDPOINT_UP;
        w->groups[0].flags = 0;
        p.src_port = 41000 + guess;
        world_give_slots(w, 0, 0);
        world_publish(w);
        assert_int_equal(world_send(w, &p), 0);
        w->groups[0].states[0] = ENDPOINT_LOST;
        for (int i = 0; guess && i < WORLD_SLOTS; i++) {
            w->groups[0].previous[i][0] = 0;
            w->groups[0].previous[i][1] = 2;
        }
        world_give_slots(w, 0, 1);
        world_publish(w);
        assert_int_equal(world_send(w, &p), 0);
        w->groups[0].flags = GROUP_RESET_LOST;
        world_publish(w);
        assert_int_equal(world_send(w, &p), 1);
        assert_int_equal(world_explain(w, &p).ref.endpoint, 1);
    }
}

/* Checks that 'p' was answered with ICMP unreachable. */
static void
check_unreachable(const struct world_packet *p)
{
    const uint8_t *frame = p->packet.data;
    const uint8_t *ip = frame + frame_l3(frame);
    const uint8_t *sent = p->frame + frame_l3(p->frame);
    size_t ip_len = p->spec.ipv6 ? 40 : 20;

    assert_int_equal(p->packet.verdict, ENGINE_REPLY);
    assert_int_equal(p->packet.reason, DROP_NO_ENDPOINT);
    assert_memory_equal(frame, p->frame + 6, 6);
    assert_memory_equal(frame + 6, router, 6);
    assert_memory_equal(ip + ip_len + 8, sent, ip_len + 8);
    assert_int_equal(frame_get16(ip + ip_len + 2), frame_l4_csum(frame));
    if (p->spec.ipv6) {
        assert_int_equal(ip[6], 58);
        assert_int_equal(ip[40], 1);            /* Unreachable ... */
        assert_int_equal(ip[41], 3);            /* ... address. */
        assert_memory_equal(ip + 24, sent + 8, 16);
    } else {
        assert_int_equal(ip[9], 1);
        assert_int_equal(ip[20], 3);            /* Unreachable ... */
        assert_int_equal(ip[21], 1);            /* ... host. */
        assert_memory_equal(ip + 16, sent + 12, 4);
    }
}

static void
test_without_endpoints_clients_are_told_if_asked(void **state)
{
    static const uint8_t states[]
        = { ENDPOINT_DRAINING, ENDPOINT_DOWN, ENDPOINT_LOST, ENDPOINT_ABSENT };
    struct world *w = *state;
    uint64_t rejected = 0;

    for (int a = 0; a < N_ALGORITHMS; a++) {
        w->groups[0].algorithm = a;
        for (int i = 0; i < 16; i++) {
            bool v6 = i & 1, reject = i & 2;
            struct world_packet p = world_packet(i, SYN);

            w->now_ms += 20;
            p.spec.ipv6 = w->groups[0].ipv6 = v6;
            p.spec.protocol = w->groups[0].protocol = i & 4 ? 17 : 6;
            p.spec.payload = 30;
            w->groups[0].flags = reject ? GROUP_REJECT : 0;
            for (int e = 0; e < 4; e++) {
                w->groups[0].states[e] = states[(a + i) % 4];
            }
            world_give_slots(w, 0, w->groups[0].states[0] ? 0
                                   : GROUP_NO_ENDPOINT);
            world_publish(w);
            world_send(w, &p);
            if (reject) {
                check_unreachable(&p);
            } else {
                assert_int_equal(p.packet.verdict, ENGINE_DROP);
                assert_int_equal(p.packet.reason, DROP_NO_ENDPOINT);
            }
            assert_int_equal(w->group_loads[0].rejected, ++rejected);
        }
    }
    assert_int_equal(w->thread.count.icmp_errors, rejected / 2);
    assert_int_equal(w->thread.count.drops[DROP_NO_ENDPOINT], rejected);
    assert_int_equal(w->thread.count.new_flows, 0);
    assert_int_equal(world_census(w, 0).entries, 0);

    /* Flows resume when it fills. */
    w->groups[0].states[2] = ENDPOINT_UP;
    world_give_slots(w, 0, 2);
    world_publish(w);
    struct world_packet p = world_packet(0, SYN);
    p.spec.ipv6 = w->groups[0].ipv6;
    p.spec.protocol = w->groups[0].protocol;
    assert_int_equal(world_send(w, &p), 2);
}

/* An emptied group keeps the flows of endpoints that drain. */
static void
test_an_emptied_group_serves_its_old_flows(void **state)
{
    struct world *w = *state;

    for (int a = 0; a < N_ALGORITHMS; a++) {
        uint32_t flow = 10 * a;

        w->groups[0].algorithm = a;
        w->groups[0].states[0] = ENDPOINT_UP;
        for (int e = 1; e < 4; e++) {
            w->groups[0].states[e] = ENDPOINT_DOWN;
        }
        world_give_slots(w, 0, 0);
        world_publish(w);
        assert_int_equal(world_send_flow(w, flow, SYN), 0);
        w->groups[0].states[0] = ENDPOINT_DRAINING;
        world_give_slots(w, 0, GROUP_NO_ENDPOINT);
        for (int s = 0; s < WORLD_SLOTS; s++) {
            w->groups[0].previous[s][0] = 0;
        }
        world_publish(w);
        assert_int_equal(world_send_flow(w, flow, ACK), 0);
        assert_int_equal(world_send_flow(w, flow + 1, SYN), -1);
    }
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_flows_of_a_dead_host_wait_for_it),
        TEST(test_flows_of_a_dead_host_are_reset),
        TEST(test_a_host_that_comes_back_has_its_flows),
        TEST(test_associations_of_a_dead_host_are_aborted),
        TEST(test_datagrams_leave_a_dead_host_if_asked),
        TEST(test_without_endpoints_clients_are_told_if_asked),
        TEST(test_an_emptied_group_serves_its_old_flows),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
