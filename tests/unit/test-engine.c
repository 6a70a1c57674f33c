/* Which endpoint the engine chooses, and when it chooses anew. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/world.h"

enum { SYN = 0x02, ACK = 0x10, FIN = 0x01, RST = 0x04, N_FLOWS = 500 };

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

static void
test_flows_stay_while_slots_move(void **state)
{
    struct world *w = *state;
    int first[N_FLOWS], used = 0;

    for (int i = 0; i < N_FLOWS; i++) {
        first[i] = world_send_flow(w, i, SYN);
        used |= 1 << first[i];
    }
    assert_int_equal(used, 0xf);
    assert_int_equal(w->thread.count.new_flows, N_FLOWS);

    for (int owner = 0; owner < 4; owner++) {
        world_give_slots(w, 0, owner);
        world_publish(w);
        w->now_ms += 100000;
        for (int i = 0; i < N_FLOWS; i++) {
            assert_int_equal(world_send_flow(w, i, ACK), first[i]);
        }
        assert_int_equal(world_send_flow(w, N_FLOWS + owner, SYN), owner);
    }
    assert_int_equal(w->thread.count.new_flows, N_FLOWS + 4);
    assert_int_equal(w->thread.count.repicked, 0);
}

/* All flows on endpoint 0, and then its slots to endpoint 1. */
static void
move_slots_away(struct world *w)
{
    world_give_slots(w, 0, 0);
    world_publish(w);
    for (int i = 0; i < N_FLOWS; i++) {
        assert_int_equal(world_send_flow(w, i, SYN), 0);
        assert_int_equal(world_send_flow(w, i, ACK), 0);
    }
    world_give_slots(w, 0, 1);
}

static void
test_a_draining_endpoint_keeps_its_flows(void **state)
{
    struct world *w = *state;

    move_slots_away(w);
    w->groups[0].states[0] = ENDPOINT_DRAINING;
    world_publish(w);
    for (int i = 0; i < N_FLOWS; i++) {
        assert_int_equal(world_send_flow(w, i, ACK), 0);
        assert_int_equal(world_send_flow(w, N_FLOWS + i, SYN), 1);
    }
}

static void
test_flows_of_a_down_endpoint_are_picked_anew(void **state)
{
    struct world *w = *state;

    move_slots_away(w);
    w->groups[0].states[0] = ENDPOINT_DOWN;
    world_publish(w);
    for (int i = 0; i < N_FLOWS; i++) {
        assert_int_equal(world_send_flow(w, i, ACK), 1);
        assert_int_equal(world_flow_state(w, i), FLOW_ESTABLISHED);
    }
    assert_int_equal(w->thread.count.repicked, N_FLOWS);

    /* They stay where they are now. */
    w->groups[0].states[0] = ENDPOINT_UP;
    world_give_slots(w, 0, 2);
    world_publish(w);
    for (int i = 0; i < N_FLOWS; i++) {
        assert_int_equal(world_send_flow(w, i, ACK), 1);
        assert_int_equal(world_flow_state(w, i), FLOW_ESTABLISHED);
    }
    assert_int_equal(w->thread.count.repicked, N_FLOWS);
}

static void
test_flows_of_an_absent_endpoint_are_picked_anew(void **state)
{
    struct world *w = *state;

    move_slots_away(w);
    w->groups[0].states[0] = ENDPOINT_ABSENT;
    world_publish(w);
    for (int i = 0; i < N_FLOWS; i++) {
        assert_int_equal(world_send_flow(w, i, ACK), 1);
    }

    /* The same for an index beyond the last. */
    world_give_slots(w, 0, 0);
    w->groups[0].states[0] = ENDPOINT_UP;
    w->groups[0].n_endpoints = 1;
    world_publish(w);
    for (int i = 0; i < N_FLOWS; i++) {
        assert_int_equal(world_send_flow(w, i, ACK), 0);
    }
    assert_int_equal(w->thread.count.repicked, 2 * N_FLOWS);
}

static void
test_new_flows_need_an_owner_that_is_up(void **state)
{
    static const uint8_t states[] = { ENDPOINT_DRAINING, ENDPOINT_DOWN };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof states; i++) {
        world_give_slots(w, 0, 0);
        w->groups[0].states[0] = states[i];
        world_publish(w);
        assert_int_equal(world_send_flow(w, i, SYN), -1);
        assert_int_equal(w->thread.count.drops[DROP_NO_ENDPOINT], i + 1);
    }
    world_give_slots(w, 0, GROUP_NO_ENDPOINT);
    w->groups[0].states[0] = ENDPOINT_UP;
    world_publish(w);
    assert_int_equal(world_send_flow(w, 7, SYN), -1);
    assert_int_equal(w->thread.count.new_flows, 0);
    assert_int_equal(world_flow_state(w, 7), FLOW_FREE);
}

static void
test_slots_share_out_flows_by_weight(void **state)
{
    enum { N = 20000 };
    static const double weights[] = { 0.25, 0.25, 0.5 };
    struct world *w = *state;
    double n[3] = { 0 }, chi = 0;

    for (int s = 0; s < WORLD_SLOTS; s++) {
        w->groups[0].slots[s] = s % 4 < 2 ? s % 4 : 2;
    }
    world_publish(w);
    for (int i = 0; i < N; i++) {
        n[world_send_flow(w, i, SYN)]++;
    }
    for (int e = 0; e < 3; e++) {
        double expected = N * weights[e];
        chi += (n[e] - expected) * (n[e] - expected) / expected;
    }
    assert_true(chi < 13.82);   /* 2 degrees of freedom, p = 0.001. */
}

static void
test_tenants_with_the_same_addresses_do_not_mix(void **state)
{
    struct world *w = *state;

    w->groups[1].vni = 5002;
    world_give_slots(w, 0, 1);
    world_give_slots(w, 1, 2);
    world_publish(w);
    for (int i = 0; i < N_FLOWS; i++) {
        for (int g = 0; g < 2; g++) {
            struct world_packet p = world_packet(i, SYN);

            p.vni = 5001 + g;
            assert_int_equal(world_send(w, &p), 1 + g);
            assert_int_equal(p.group, g);
            assert_int_equal(p.outer.vni, 5001 + g);
        }
    }
    assert_int_equal(w->thread.count.new_flows, 2 * N_FLOWS);

    struct world_packet stranger = world_packet(1, SYN);
    stranger.vni = 5003;
    assert_int_equal(world_send(w, &stranger), -1);
    assert_int_equal(stranger.packet.reason, DROP_NOT_ANYCAST);
}

static void
test_a_source_with_affinity_has_one_endpoint(void **state)
{
    struct world *w = *state;
    int first[20];

    w->groups[0].affinity = AFFINITY_SOURCE;
    w->groups[0].port = 0;
    world_publish(w);
    for (int i = 0; i < 20; i++) {
        struct world_packet p = world_packet(i * 50000, SYN);
        first[i] = world_send(w, &p);
    }
    assert_int_equal(w->thread.count.new_flows, 20);

    world_give_slots(w, 0, 3);
    world_publish(w);
    for (int i = 0; i < 20 * 30; i++) {
        struct world_packet p = world_packet(i % 20 * 50000 + i, SYN);
        p.dst_port = i;
        assert_int_equal(world_send(w, &p), first[i % 20]);
    }
    assert_int_equal(w->thread.count.new_flows, 20);
}

static void
test_one_connection_does_not_end_a_source(void **state)
{
    struct world *w = *state;

    w->groups[0].affinity = AFFINITY_SOURCE;
    world_publish(w);
    int first = world_send_flow(w, 0, SYN);
    world_give_slots(w, 0, (first + 1) % 4);
    world_publish(w);

    /* Half open until something else than a SYN or RST comes. */
    assert_int_equal(world_flow_state(w, 0), FLOW_NEW);
    world_send_flow(w, 1, RST);
    assert_int_equal(world_flow_state(w, 0), FLOW_NEW);
    world_send_flow(w, 2, ACK);
    assert_int_equal(world_flow_state(w, 0), FLOW_SOURCE);

    world_send_flow(w, 2, FIN | ACK);
    world_send_flow(w, 3, RST);
    assert_int_equal(world_flow_state(w, 0), FLOW_SOURCE);
    assert_int_equal(world_send_flow(w, 2, SYN), first);
    assert_int_equal(world_flow_state(w, 0), FLOW_SOURCE);
}

static void
test_a_source_is_let_go_after_the_groups_timeout(void **state)
{
    static const uint8_t flags[] = { SYN, ACK };
    struct world *w = *state;

    w->groups[0].affinity = AFFINITY_SOURCE;
    w->groups[0].affinity_timeout = 600;
    for (int i = 0; i < 2; i++) {
        world_give_slots(w, 0, 0);
        world_publish(w);
        for (int n = 0; n < 3; n++) {
            w->now_ms += n / 2 * 599 * 1000;
            assert_int_equal(world_send_flow(w, 50000 * i + n, ACK), 0);
        }
        world_give_slots(w, 0, 1);
        world_publish(w);
        w->now_ms += 599 * 1000;
        assert_int_equal(world_send_flow(w, 50000 * i, flags[i]), 0);
        w->now_ms += 600 * 1000;
        assert_int_equal(world_send_flow(w, 50000 * i, flags[i]), 1);
        w->now_ms += 1000;
        assert_int_equal(world_send_flow(w, 50000 * i, ACK), 1);
    }
    assert_int_equal(w->thread.count.new_flows, 4);
}

static void
test_the_state_of_a_connection_follows_its_flags(void **state)
{
    static const struct {
        uint8_t flags;
        enum flow_state state;
    } steps[] = {
        { SYN, FLOW_NEW }, { SYN, FLOW_NEW }, { ACK, FLOW_ESTABLISHED },
        { SYN, FLOW_ESTABLISHED }, { ACK | 8, FLOW_ESTABLISHED },
        { FIN | ACK, FLOW_CLOSING }, { ACK, FLOW_CLOSING },
        { SYN | ACK, FLOW_CLOSING }, { SYN, FLOW_NEW },
        { RST, FLOW_CLOSING }, { SYN, FLOW_NEW }, { FIN, FLOW_CLOSING },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        world_send_flow(w, 0, steps[i].flags);
        assert_int_equal(world_flow_state(w, 0), steps[i].state);
    }
    /* In mid-flow, one packet proves nothing. */
    world_send_flow(w, 1, ACK);
    assert_int_equal(world_flow_state(w, 1), FLOW_UNPROVEN);
    world_send_flow(w, 1, ACK);
    assert_int_equal(world_flow_state(w, 1), FLOW_ESTABLISHED);
    world_send_flow(w, 2, FIN | ACK);
    assert_int_equal(world_flow_state(w, 2), FLOW_CLOSING);
    world_send_flow(w, 3, RST);
    assert_int_equal(world_flow_state(w, 3), FLOW_FREE);

    struct world_packet udp = world_packet(3, 0);
    udp.spec.protocol = w->groups[0].protocol = 17;
    world_publish(w);
    world_send(w, &udp);
    assert_int_equal(world_state(w, &udp), FLOW_UNPROVEN);
    world_send(w, &udp);
    assert_int_equal(world_state(w, &udp), FLOW_DATAGRAM);
}

static void
test_a_syn_after_a_fin_is_a_new_connection(void **state)
{
    struct world *w = *state;

    world_give_slots(w, 0, 0);
    world_publish(w);
    world_send_flow(w, 0, SYN);
    world_send_flow(w, 0, ACK);
    world_give_slots(w, 0, 1);
    world_publish(w);

    assert_int_equal(world_send_flow(w, 0, SYN), 0);
    assert_int_equal(world_send_flow(w, 0, FIN | ACK), 0);
    assert_int_equal(world_send_flow(w, 0, ACK), 0);
    assert_int_equal(world_send_flow(w, 0, SYN | ACK), 0);
    assert_int_equal(world_send_flow(w, 0, SYN), 1);
    assert_int_equal(world_send_flow(w, 0, ACK), 1);
    assert_int_equal(w->thread.count.repicked, 0);
    assert_int_equal(w->thread.count.new_flows, 2);
}

static void
test_a_timed_out_flow_goes_by_its_slot(void **state)
{
    struct world *w = *state;

    world_give_slots(w, 0, 0);
    world_publish(w);
    assert_int_equal(world_send_flow(w, 0, SYN), 0);
    assert_int_equal(world_send_flow(w, 1, ACK), 0);
    assert_int_equal(world_send_flow(w, 1, ACK), 0);
    world_give_slots(w, 0, 1);
    world_publish(w);
    w->now_ms += 240 * 1000;
    assert_int_equal(world_send_flow(w, 0, SYN), 1);
    assert_int_equal(world_send_flow(w, 1, ACK), 0);
    w->now_ms += 7440 * 1000;
    assert_int_equal(world_send_flow(w, 1, ACK), 1);
}

static void
test_a_flow_that_cannot_be_stored_goes_by_its_slot(void **state)
{
    struct world *w = *state;
    struct flow_table_stats stats;

    flow_table_destroy(w->flows);
    w->flows = flow_table_create(&(struct flow_table_size) { 1, 1 });
    world_give_slots(w, 0, 2);
    world_publish(w);
    flow_table_get_stats(w->flows, &stats);
    for (uint32_t i = 0; i < 2 * stats.capacity; i++) {
        assert_int_equal(world_send_flow(w, i, ACK), 2);
        assert_int_equal(world_send_flow(w, i, ACK), 2);
    }

    /* Half-open flows push nobody out. */
    w->thread.count.untracked = 0;
    for (int i = 0; i < N_FLOWS; i++) {
        assert_int_equal(world_send_flow(w, 900000 + i, SYN), 2);
    }
    assert_in_range(w->thread.count.untracked, N_FLOWS * 9 / 10, N_FLOWS);
}

/* A world with a bit of everything, differently each time. */
static void
shuffle(struct world *w)
{
    static const enum group_algorithm algorithms[]
        = { ALGORITHM_WEIGHTED, ALGORITHM_WEIGHTED, ALGORITHM_HASH,
            ALGORITHM_LEAST_COST, ALGORITHM_AVAILABILITY };

    for (int g = 0; g < WORLD_GROUPS; g++) {
        struct world_group *wg = &w->groups[g];

        wg->algorithm = algorithms[frame_random() % 5];
        wg->flags = frame_random() % 4;
        wg->ipv6 = frame_random() % 2;
        wg->vni = 5001 + g % 2;
        wg->address = 0x0a010064;
        wg->protocol = g < 2 ? 6 : 17;
        wg->port = frame_random() % 2 * 80;
        wg->affinity = frame_random() % 4 ? AFFINITY_FLOW : AFFINITY_SOURCE;
        wg->n_endpoints = 6;
        for (int e = 0; e < 6; e++) {
            wg->states[e] = frame_random() % 2 ? ENDPOINT_UP
                            : ENDPOINT_UP + frame_random() % 4;
            wg->hosts[e] = frame_random() % WORLD_HOSTS;
        }
        for (int s = 0; s < WORLD_SLOTS; s++) {
            wg->slots[s] = frame_random() % 8 ? frame_random() % 6
                                              : GROUP_NO_ENDPOINT;
            wg->previous[s][0] = frame_random() % 2 ? frame_random() % 6
                                                    : GROUP_NO_ENDPOINT;
        }
    }
    world_publish(w);
}

static struct world_packet
random_packet(void)
{
    static const uint8_t flags[]
        = { SYN, ACK, ACK, FIN | ACK, RST, SYN | ACK };
    struct world_packet p
        = world_packet(frame_random() % 60,
                       flags[frame_random() % sizeof flags]);

    p.vni = 5001 + frame_random() % 3;
    p.spec.protocol = frame_random() % 2 ? 6 : 17;
    p.spec.ipv6 = frame_random() % 2;
    p.spec.src += frame_random() % 2;
    p.dst_port = frame_random() % 8 ? 80 : 443;
    if (frame_random() % 32 == 0) {
        p.spec.src = 0xe0000001;
    }
    return p;
}

/* The two passes over a batch must not show. */
static void
test_a_batch_is_as_its_packets_one_by_one(void **state)
{
    static struct world_packet batch[ENGINE_BATCH];
    struct engine_packet packets[ENGINE_BATCH];
    struct world *w = *state;
    struct world *one = world_create();
    unsigned int n_sent = 0;

    for (int round = 0; round < 2000; round++) {
        size_t n = 1 + frame_random() % ENGINE_BATCH;

        if (round % 20 == 0) {
            shuffle(w);
            memcpy(one->groups, w->groups, sizeof one->groups);
            world_publish(one);
        }
        for (size_t i = 0; i < n; i++) {
            batch[i] = random_packet();
            batch[i].spec.ttl = frame_random() % 32 ? 64 : 1;
            world_build(&batch[i]);
            packets[i] = batch[i].packet;
        }
        w->now_ms = one->now_ms += frame_random() % 2000;
        engine_process(&w->engine, &w->thread, w->now_ms * 1000, packets, n);
        for (size_t i = 0; i < n; i++) {
            static uint8_t together[WORLD_HEADROOM + FRAME_MAX];

            memcpy(together, packets[i].data, packets[i].size);
            world_load(&batch[i]);
            engine_process(&one->engine, &one->thread, one->now_ms * 1000,
                           &batch[i].packet, 1);
            n_sent += batch[i].packet.verdict == ENGINE_UNDERLAY;
            assert_int_equal(packets[i].verdict, batch[i].packet.verdict);
            assert_int_equal(packets[i].reason, batch[i].packet.reason);
            assert_int_equal(packets[i].size, batch[i].packet.size);
            assert_memory_equal(together, batch[i].packet.data,
                                packets[i].size);
        }
    }
    assert_memory_equal(&w->thread.count, &one->thread.count,
                        sizeof w->thread.count);
    assert_true(n_sent > 2000);
    world_destroy(one);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_flows_stay_while_slots_move),
        TEST(test_a_draining_endpoint_keeps_its_flows),
        TEST(test_flows_of_a_down_endpoint_are_picked_anew),
        TEST(test_flows_of_an_absent_endpoint_are_picked_anew),
        TEST(test_new_flows_need_an_owner_that_is_up),
        TEST(test_slots_share_out_flows_by_weight),
        TEST(test_tenants_with_the_same_addresses_do_not_mix),
        TEST(test_a_source_with_affinity_has_one_endpoint),
        TEST(test_one_connection_does_not_end_a_source),
        TEST(test_a_source_is_let_go_after_the_groups_timeout),
        TEST(test_the_state_of_a_connection_follows_its_flags),
        TEST(test_a_syn_after_a_fin_is_a_new_connection),
        TEST(test_a_timed_out_flow_goes_by_its_slot),
        TEST(test_a_flow_that_cannot_be_stored_goes_by_its_slot),
        TEST(test_a_batch_is_as_its_packets_one_by_one),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
