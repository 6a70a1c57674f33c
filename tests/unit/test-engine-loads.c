/* What flows tell of their endpoints: how many there are, how soon an endpoint
 * answers and whether it does; and what new flows make of that. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/world.h"

enum { SYN = 0x02, ACK = 0x10, FIN = 0x01, RST = 0x04, N_FLOWS = 300 };

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

/* What is counted is what is in the table. */
static void
check_counts(const struct world *w)
{
    struct world_census census = world_census(w, 0);

    assert_int_equal(census.open, census.live);
    assert_int_equal(w->group_loads[0].pinned, census.entries);
}

static void
set_algorithm(struct world *w, enum group_algorithm algorithm)
{
    w->groups[0].algorithm = algorithm;
    world_publish(w);
}

static void
test_open_flows_are_counted_until_they_end(void **state)
{
    static const uint8_t ends[] = { FIN | ACK, RST, RST | ACK };
    struct world *w = *state;

    for (int a = 0; a < N_ALGORITHMS; a++) {
        bool tracks = a != ALGORITHM_HASH;

        set_algorithm(w, a);
        for (int i = 0; i < N_FLOWS; i++) {
            world_send_flow(w, i, SYN);
            world_send_flow(w, i, ACK);
        }
        check_counts(w);
        assert_int_equal(world_census(w, 0).open, tracks ? N_FLOWS : 0);

        /* A third closes, a third of that opens again, the rest idles. */
        for (int i = 0; i < N_FLOWS; i += 3) {
            world_send_flow(w, i, ends[i % sizeof ends]);
            world_send_flow(w, i, ACK);
            world_send_flow(w, i, FIN);
        }
        check_counts(w);
        assert_int_equal(world_census(w, 0).open,
                         tracks ? N_FLOWS * 2 / 3 : 0);
        for (int i = 0; i < N_FLOWS; i += 9) {
            world_send_flow(w, i, SYN);
        }
        check_counts(w);
        w->now_ms += 241000;
        world_sweep(w);
        check_counts(w);
        assert_int_equal(world_census(w, 0).open,
                         tracks ? N_FLOWS * 2 / 3 : 0);
        w->now_ms += 7440000;
        world_sweep(w);
        check_counts(w);
        assert_int_equal(world_census(w, 0).open, 0);
        assert_int_equal(w->group_loads[0].pinned, 0);
    }
    assert_int_equal(w->loads[0][0].resets + w->loads[0][1].resets
                     + w->loads[0][2].resets + w->loads[0][3].resets, 0);
}

static void
test_flows_picked_anew_change_sides(void **state)
{
    struct world *w = *state;

    world_give_slots(w, 0, 0);
    world_publish(w);
    for (int i = 0; i < N_FLOWS; i++) {
        world_send_flow(w, i, ACK);
        world_send_flow(w, i, ACK);
    }
    assert_int_equal(w->loads[0][0].open, N_FLOWS);
    assert_int_equal(w->loads[0][0].selected, N_FLOWS);
    assert_int_equal(w->group_loads[0].selected, N_FLOWS);
    w->groups[0].states[0] = ENDPOINT_DOWN;
    world_give_slots(w, 0, 1);
    world_publish(w);
    for (int i = 0; i < N_FLOWS; i++) {
        world_send_flow(w, i, ACK);
    }
    assert_int_equal(w->loads[0][0].open, 0);
    assert_int_equal(w->loads[0][1].open, N_FLOWS);
    assert_int_equal(w->loads[0][1].selected, N_FLOWS);
    check_counts(w);

    world_send_flow(w, 0, RST | ACK);
    assert_int_equal(w->loads[0][1].resets, 1);
    assert_int_equal(w->loads[0][1].open, N_FLOWS - 1);
}

/* Flows that others push out, or that find no room. */
static void
test_a_full_table_miscounts_nothing(void **state)
{
    static const uint8_t flags[] = { SYN, SYN, ACK, ACK, FIN | ACK, RST };
    struct world *w = *state;

    flow_table_destroy(w->flows);
    w->flows = flow_table_create(&(struct flow_table_size) { 1, 1 });
    for (int a = 0; a < N_ALGORITHMS; a++) {
        set_algorithm(w, a);
        for (int i = 0; i < 20000; i++) {
            w->now_ms += frame_random() % 4 ? 0 : frame_random() % 1000;
            world_send_flow(w, frame_random() % 600,
                            flags[frame_random() % sizeof flags]);
            if (i % 200 == 0) {
                memset(w->groups[0].states, ENDPOINT_UP, 4);
                w->groups[0].states[i / 200 % 4]
                    = ENDPOINT_UP + frame_random() % 4;
                world_publish(w);
            }
            if (i % 500 == 0) {
                world_sweep(w);
                check_counts(w);
            }
        }
    }
    assert_true(w->thread.count.repicked > 100);
}

static void
test_flows_that_were_here_before_are_counted(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < N_FLOWS; i++) {
        world_send_flow(w, i, SYN);
        world_send_flow(w, i, i % 3 ? ACK : FIN);
    }
    /* A new process, later: what has timed out does not count. */
    memset(w->loads, 0, sizeof w->loads);
    memset(w->group_loads, 0, sizeof w->group_loads);
    w->now_ms += 241000;
    engine_recount(&w->engine, w->now_ms * 1000);
    check_counts(w);
    assert_int_equal(world_census(w, 0).open, N_FLOWS * 2 / 3);
    world_sweep(w);
    check_counts(w);
    w->now_ms += 7440000;
    world_sweep(w);
    check_counts(w);
    assert_int_equal(w->group_loads[0].pinned, 0);
}

static void
test_the_response_time_is_that_of_the_handshake(void **state)
{
    struct world *w = *state;
    struct endpoint_load *load = &w->loads[0][0];

    world_give_slots(w, 0, 0);
    world_publish(w);
    for (int i = 0; i < 20; i++) {
        world_send_flow(w, i, SYN);
        assert_int_equal(load->pending, 1);
        w->now_ms += 7;
        world_send_flow(w, i, ACK);
        assert_int_equal(load->pending, 0);
        assert_int_equal(load->answered, i + 1);
        w->now_ms += 1000;
        world_send_flow(w, i, ACK | 8);
        assert_int_equal(load->answered, i + 1);
        assert_int_equal(load->response_us, 7000);
    }

    /* The newest count for more. */
    for (int i = 20; i < 40; i++) {
        world_send_flow(w, i, SYN);
        w->now_ms += 20;
        world_send_flow(w, i, ACK);
        w->now_ms += 1000;
    }
    assert_in_range(load->response_us, 19000, 20000);
    assert_int_equal(load->failures, 0);
    assert_int_equal(load->unanswered, 0);
}

/* Karn's rule; and what is not answered counts against the endpoint. */
static void
test_repeated_and_unanswered_syns_are_failures(void **state)
{
    struct world *w = *state;
    struct endpoint_load *load = &w->loads[0][0];

    world_give_slots(w, 0, 0);
    world_publish(w);
    world_send_flow(w, 0, SYN);
    w->now_ms += 1000;
    world_send_flow(w, 0, SYN);
    assert_int_equal(load->unanswered, 1);
    assert_int_equal(load->pending, 1);
    w->now_ms += 2;
    world_send_flow(w, 0, ACK);
    assert_int_equal(load->pending, 0);
    assert_int_equal(load->answered, 1);
    assert_int_equal(load->failures, 0);
    assert_int_equal(load->response_us, 1000000);

    world_send_flow(w, 1, SYN);
    w->now_ms += 10001;
    for (int i = 0; i < 8; i++) {
        engine_tick(&w->engine, &w->thread, w->now_ms * 1000);
    }
    assert_int_equal(load->pending, 0);
    assert_int_equal(load->unanswered, 2);
    world_send_flow(w, 1, ACK);
    assert_int_equal(load->answered, 1);
}

/* SYNs that begin nothing say nothing: of a connection that is under way, or
 * one more of a source that is known. */
static void
test_stray_syns_are_no_failures(void **state)
{
    struct world *w = *state;
    struct endpoint_load *load = &w->loads[0][0];

    world_give_slots(w, 0, 0);
    for (int source = 0; source < 2; source++) {
        w->groups[0].affinity = source ? AFFINITY_SOURCE : AFFINITY_FLOW;
        world_publish(w);
        w->now_ms += 10000;
        for (int i = 0; i < (source ? 10 : 1); i++) {
            world_send_flow(w, i, SYN);
        }
        w->now_ms += 5;
        world_send_flow(w, 0, ACK);
        assert_int_equal(load->answered, source + 1);
        for (int i = 0; i < 20; i++) {
            world_send_flow(w, source ? i : 0, SYN);
            world_send_flow(w, source ? i : 0, ACK);
        }
        w->now_ms += 20000;
        for (int i = 0; i < 8; i++) {
            engine_tick(&w->engine, &w->thread, w->now_ms * 1000);
        }
        assert_int_equal(load->unanswered, 0);
        assert_int_equal(load->failures, 0);
        assert_int_equal(load->pending, 0);
        assert_int_equal(load->response_us, 5000);
    }
}

/* More handshakes than there is room for. */
static void
test_forgotten_handshakes_are_not_pending(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 9000; i++) {
        world_send_flow(w, i, SYN);
    }
    assert_in_range(world_census(w, 0).pending, 3000, HANDSHAKE_SLOTS);
    w->now_ms += 11000;
    for (int i = 0; i < 8; i++) {
        engine_tick(&w->engine, &w->thread, w->now_ms * 1000);
    }
    assert_int_equal(world_census(w, 0).pending, 0);
}

static void
make_ill(struct world *w, int e)
{
    w->loads[0][e].failures = LOAD_MAX_FAILURES;
    w->loads[0][e].measured_us = w->now_ms * 1000;
}

static void
test_weighted_avoids_endpoints_that_are_ill(void **state)
{
    struct world *w = *state;
    int n[4] = { 0 };

    for (int i = 0; i < N_FLOWS; i++) {
        assert_int_not_equal(world_send_flow(w, i, SYN), -1);
        world_send_flow(w, i, ACK);
    }
    make_ill(w, 2);
    for (int i = 0; i < N_FLOWS; i++) {
        struct world_packet p = world_packet(i, ACK);
        int endpoint = world_send(w, &p);

        /* Old flows stay. */
        assert_int_equal(endpoint, world_explain(w, &p).ref.endpoint);
        n[world_send_flow(w, N_FLOWS + i, SYN)]++;
    }
    assert_int_equal(n[2], 0);
    for (int e = 0; e < 4; e++) {
        assert_true(e == 2 || n[e] > N_FLOWS / 5);
    }

    /* After a while it gets one flow to try, and all if that is answered. */
    w->now_ms += LOAD_RETRY_US / 1000;
    memset(n, 0, sizeof n);
    int tried = -1;
    for (int i = 0; i < N_FLOWS; i++) {
        int e = world_send_flow(w, 2 * N_FLOWS + i, SYN);

        n[e]++;
        tried = e == 2 ? 2 * N_FLOWS + i : tried;
    }
    assert_int_equal(n[2], 1);
    world_send_flow(w, tried, ACK);
    memset(n, 0, sizeof n);
    for (int i = 0; i < N_FLOWS; i++) {
        n[world_send_flow(w, 3 * N_FLOWS + i, SYN)]++;
    }
    assert_true(n[2] > N_FLOWS / 6);

    /* If all are ill, flows go somewhere all the same. */
    for (int e = 0; e < 4; e++) {
        make_ill(w, e);
    }
    for (int i = 0; i < N_FLOWS; i++) {
        assert_int_not_equal(world_send_flow(w, 4 * N_FLOWS + i, SYN), -1);
    }
}

/* Of 100 flows from 'flow' on, sends the ACKs of those that are not on 'dead'.
 * Returns how many are. */
static int
answer_all_but(struct world *w, uint32_t flow, uint16_t dead)
{
    int n_dead = 0;

    for (int i = 0; i < 100; i++) {
        struct world_packet p = world_packet(flow + i, ACK);

        if (world_explain(w, &p).ref.endpoint == dead) {
            n_dead++;
        } else {
            world_send(w, &p);
        }
    }
    return n_dead;
}

/* An endpoint that does not answer loses the clients that try again. */
static void
test_a_repeated_syn_moves_on(void **state)
{
    static const enum group_algorithm algorithms[]
        = { ALGORITHM_WEIGHTED, ALGORITHM_ROUND_ROBIN, ALGORITHM_LEAST_COST,
            ALGORITHM_LEAST_CONNECTIONS };
    struct world *w = *state;

    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++) {
        uint32_t flow = 10000 * a;

        w->now_ms += 8000000;
        world_sweep(w);
        for (int e = 0; e < 4; e++) {
            load_init(&w->loads[0][e]);
        }
        set_algorithm(w, algorithms[a]);
        for (int i = 0; i < 100; i++) {
            world_send_flow(w, flow + i, SYN);
        }
        w->now_ms += 5;
        assert_in_range(answer_all_but(w, flow, 1), 10, 50);
        for (int n = 0; n < 2; n++) {
            w->now_ms += 1000;
            for (int i = 0; i < 100; i++) {
                if (world_flow_state(w, flow + i) == FLOW_NEW) {
                    world_send_flow(w, flow + i, SYN);
                }
            }
            w->now_ms += 5;
            answer_all_but(w, flow, 1);
        }
        assert_int_equal(answer_all_but(w, flow, 1), 0);
        check_counts(w);
    }
}

/* A new endpoint gets its share little by little. */
static void
test_a_new_endpoint_ramps_up(void **state)
{
    static const enum group_algorithm algorithms[]
        = { ALGORITHM_WEIGHTED, ALGORITHM_HASH, ALGORITHM_ROUND_ROBIN,
            ALGORITHM_AVAILABILITY };
    struct world *w = *state;

    w->groups[0].ramp = 100;
    for (int s = 0; s < WORLD_SLOTS; s++) {
        w->groups[0].previous[s][0] = s % 4 == 3 ? s / 4 % 3
                                      : GROUP_NO_ENDPOINT;
    }
    for (size_t a = 0; a < sizeof algorithms / sizeof *algorithms; a++) {
        w->groups[0].up_at_s[3] = w->now_ms / 1000;
        set_algorithm(w, algorithms[a]);
        for (int tenth = 1; tenth <= 11; tenth++) {
            int n[4] = { 0 };

            w->now_ms += 10000;
            for (int i = 0; i < 4000; i++) {
                n[world_send_flow(w, 1000000 * a + 4000 * tenth + i, SYN)]++;
            }
            int share = tenth < 10 ? 100 * tenth : 1000;
            assert_in_range(n[3], share - 100, share + 100);
            for (int e = 0; e < 3; e++) {
                assert_in_range(n[e], (4000 - share) / 3 - 150,
                                (4000 - share) / 3 + 150);
            }
        }
    }
}

/* Whatever picks, flows stay with what it picked. */
static void
test_pickers_are_asked_once(void **state)
{
    struct world *w = *state;
    int first[N_FLOWS];

    for (int a = ALGORITHM_ROUND_ROBIN; a < N_ALGORITHMS; a++) {
        set_algorithm(w, a);
        for (int i = 0; i < N_FLOWS; i++) {
            first[i] = world_send_flow(w, 1000 * a + i, SYN);
        }
        for (int n = 0; n < 3; n++) {
            for (int i = 0; i < N_FLOWS; i++) {
                assert_int_equal(world_send_flow(w, 1000 * a + i, ACK),
                                 first[i]);
            }
            w->groups[0].states[n] = ENDPOINT_DRAINING;
            world_publish(w);
        }
        for (int i = 0; i < N_FLOWS; i++) {
            assert_int_equal(world_send_flow(w, 1000 * a + 500 + i, SYN), 3);
        }
        for (int n = 0; n < 3; n++) {
            w->groups[0].states[n] = ENDPOINT_UP;
        }
    }
    assert_int_equal(w->thread.count.repicked, 0);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_open_flows_are_counted_until_they_end),
        TEST(test_flows_picked_anew_change_sides),
        TEST(test_a_full_table_miscounts_nothing),
        TEST(test_flows_that_were_here_before_are_counted),
        TEST(test_the_response_time_is_that_of_the_handshake),
        TEST(test_repeated_and_unanswered_syns_are_failures),
        TEST(test_stray_syns_are_no_failures),
        TEST(test_forgotten_handshakes_are_not_pending),
        TEST(test_weighted_avoids_endpoints_that_are_ill),
        TEST(test_a_repeated_syn_moves_on),
        TEST(test_a_new_endpoint_ramps_up),
        TEST(test_pickers_are_asked_once),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
