/* Who may be picked at all, and what each picker promises of a single choice.
 * How choices spread is in test-pick-spread.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/fleet.h"

enum { MOST = 16 };             /* Endpoints in small groups. */

#define START (1000 * FLEET_S)

/* Calls 'test' for each algorithm, with 'n' endpoints. */
static void
for_each_algorithm(size_t n, void (*test)(struct fleet *))
{
    for (int a = 0; a < N_ALGORITHMS; a++) {
        struct fleet *f = fleet_create(a, n);

        test(f);
        fleet_destroy(f);
    }
}

static void
test_algorithms_have_their_names(void **state)
{
    (void) state;
    assert_string_equal(pick_algorithm_name(ALGORITHM_WEIGHTED), "weighted");
    assert_string_equal(pick_algorithm_name(ALGORITHM_HASH), "hash");
    assert_string_equal(pick_algorithm_name(ALGORITHM_ROUND_ROBIN),
                        "round-robin");
    assert_string_equal(pick_algorithm_name(ALGORITHM_LEAST_CONNECTIONS),
                        "least-connections");
    assert_string_equal(pick_algorithm_name(ALGORITHM_LEAST_COST),
                        "least-cost");
    assert_string_equal(pick_algorithm_name(ALGORITHM_NEAREST), "nearest");
    assert_string_equal(pick_algorithm_name(ALGORITHM_LOWEST_RESPONSE_TIME),
                        "lowest-response-time");
    assert_string_equal(pick_algorithm_name(ALGORITHM_AVAILABILITY),
                        "availability");
    assert_null(pick_algorithm_name(N_ALGORITHMS));
}

static void
expect_nobody(struct fleet *f)
{
    struct pick_query query = fleet_query(f);

    assert_int_equal(fleet_pick(f), GROUP_NO_ENDPOINT);
    assert_int_equal(f->trail.n_candidates, 0);
    assert_non_null(f->trail.why);
    assert_int_equal(pick_endpoint(f->group, &query, NULL),
                     GROUP_NO_ENDPOINT);
}

static void
test_without_candidates_nobody_is_picked(void **state)
{
    (void) state;
    for_each_algorithm(0, expect_nobody);
}

/* Endpoints of all states and one that is UP. */
static void
expect_only_one(struct fleet *f)
{
    static const enum endpoint_state others[] = {
        ENDPOINT_ABSENT, ENDPOINT_DRAINING, ENDPOINT_DOWN, ENDPOINT_LOST
    };

    for (int i = 0; i < 8; i++) {
        f->endpoints[i].state = i == 5 ? ENDPOINT_UP : others[i % 4];
    }
    f->spec.ramp = 100;
    fleet_build(f);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(fleet_pick(f), 5);
    }
    fleet_fail(f, 5);
    assert_int_equal(fleet_pick(f), 5);
    assert_true(f->trail.ignored_health);
    f->endpoints[5].load = NULL;
    f->spec.load = NULL;
    fleet_build(f);
    assert_int_equal(fleet_pick(f), 5);
}

static void
test_a_single_candidate_is_picked_whatever_its_condition(void **state)
{
    (void) state;
    for_each_algorithm(8, expect_only_one);
}

static void
expect_all_without_loads(struct fleet *f)
{
    unsigned int counts[MOST] = { 0 };
    double expected[MOST];

    for (int i = 0; i < MOST; i++) {
        f->endpoints[i].load = NULL;
        f->endpoints[i].weight = 10 + 20 * i;
        expected[i] = 10 + 20 * i;
    }
    f->spec.load = NULL;
    fleet_build(f);
    for (int i = 0; i < 20000; i++) {
        counts[fleet_pick(f)]++;
    }
    assert_true(fleet_deviation(counts, expected, MOST) < 6);
}

static void
test_where_nothing_is_measured_weights_decide(void **state)
{
    (void) state;
    for_each_algorithm(MOST, expect_all_without_loads);
}

/* The filters, and a simple twin of them. */

static bool
twin_is_well(const struct fleet *f, uint16_t e)
{
    return (f->loads[e].failures < LOAD_MAX_FAILURES
            || f->now_us - f->loads[e].measured_us >= LOAD_RETRY_US);
}

/* Marks in 'allowed' who may be picked.  Returns true if health counts. */
static bool
twin_filter(const struct fleet *f, uint64_t hash, bool allowed[MOST])
{
    bool by_measure = (f->spec.algorithm == ALGORITHM_NEAREST
                       && f->spec.flags & GROUP_MEASURED);
    int best[3] = { 1000, 1000, 1000 }; /* Tier: ready, new, any. */

    for (int pass = 0; pass < 2; pass++) {
        for (size_t e = 0; e < f->spec.n_endpoints; e++) {
            int tier = by_measure ? 0 : f->endpoints[e].tier;
            bool well = twin_is_well(f, e);
            bool held = pick_ramps(f->group, e, hash, f->now_us);

            if (f->endpoints[e].state != ENDPOINT_UP) {
                continue;
            } else if (!pass) {
                int kind = well && !held ? 0 : well ? 1 : 2;

                best[kind] = tier < best[kind] ? tier : best[kind];
            } else if (best[0] < 1000) {
                allowed[e] = well && !held && tier == best[0];
            } else if (best[1] < 1000) {
                allowed[e] = well && tier == best[1];
            } else {
                allowed[e] = tier == best[2];
            }
        }
    }
    return best[0] < 1000 || best[1] < 1000;
}

static void
randomize(struct fleet *f)
{
    uint64_t r = fleet_random(f);
    unsigned int illness = r % 5, n_tiers = 1 + r / 8 % 4;

    f->spec.n_endpoints = 1 + r / 64 % MOST;
    f->spec.ramp = r / 4096 % 2 ? 60 : 0;
    f->spec.flags = r / 8192 % 2 ? GROUP_MEASURED : 0;
    for (size_t e = 0; e < f->spec.n_endpoints; e++) {
        struct endpoint_load *load = &f->loads[e];

        r = fleet_random(f);
        load_init(load);
        load->open = r % 20;
        load->response_us = load->min_response_us = r / 32 % 5000;
        if (r / (1 << 20) % 4 < illness) {
            load->failures = LOAD_MAX_FAILURES;
        }
        load->measured_us = f->now_us - r / (1 << 22) % (6 * FLEET_S);
        f->endpoints[e].state = r >> 60 ? ENDPOINT_UP : ENDPOINT_DRAINING;
        f->endpoints[e].weight = 1 + (r >> 50) % 1000;
        f->endpoints[e].tier = 3 * ((r >> 46) % n_tiers);
        f->endpoints[e].up_at_s = 1000 - (r >> 40) % 80;
    }
    fleet_build(f);
}

static void
expect_allowed(struct fleet *f)
{
    for (int round = 0; round < 3000; round++) {
        randomize(f);
        for (int i = 0; i < 3; i++) {
            bool allowed[MOST] = { false };
            struct pick_query query = fleet_query(f);
            bool health_counts = twin_filter(f, query.hash, allowed);
            uint16_t e;

            query.dry_run = fleet_random(f) % 2;
            e = fleet_pick_for(f, &query);
            if (e == GROUP_NO_ENDPOINT) {
                assert_int_equal(f->group->n_candidates, 0);
                continue;
            }
            assert_in_range(e, 0, f->spec.n_endpoints - 1);
            assert_true(allowed[e]);
            assert_int_equal(f->trail.ignored_health, !health_counts);
            assert_non_null(f->trail.why);
        }
    }
}

static void
test_the_best_tier_where_somebody_is_well_is_used(void **state)
{
    (void) state;
    for_each_algorithm(MOST, expect_allowed);
}

/* However large the group, and however ill. */
static void
expect_few_looks(struct fleet *f)
{
    for (int i = 0; i < GROUP_MAX_ENDPOINTS; i++) {
        fleet_fail(f, i);
    }
    for (int tiers = 1; tiers <= GROUP_MAX_ENDPOINTS; tiers *= 64) {
        for (int i = 0; i < GROUP_MAX_ENDPOINTS; i++) {
            f->endpoints[i].tier = i % tiers;
        }
        fleet_build(f);
        assert_in_range(fleet_pick(f), 0, GROUP_MAX_ENDPOINTS - 1);
        assert_true(f->trail.ignored_health);
        assert_in_range(f->trail.n_skipped, 1, PICK_MAX_LOOKS);
    }
}

static void
test_a_choice_looks_at_few(void **state)
{
    (void) state;
    for_each_algorithm(GROUP_MAX_ENDPOINTS, expect_few_looks);
}

/* An unhealthy endpoint is tried once, and a dry run takes nobody's try. */
static void
expect_one_try(struct fleet *f)
{
    unsigned int n = 0;

    fleet_fail(f, 2);
    for (int i = 0; i < 500; i++) {
        assert_int_not_equal(fleet_pick(f), 2);
        assert_false(f->trail.ignored_health);
    }
    f->now_us += LOAD_RETRY_US;
    for (int i = 0; i < 500; i++) {
        struct pick_query query = fleet_query(f);
        uint16_t foreseen, e;

        query.dry_run = true;
        foreseen = fleet_pick_for(f, &query);
        query.dry_run = false;
        e = fleet_pick_for(f, &query);
        assert_int_equal(e, foreseen);
        n += e == 2;
        if (e == 2) {
            assert_string_equal(f->trail.why,
                                "unhealthy, and due for another try");
        }
    }
    assert_int_equal(n, 1);
}

/* Beside a heavy one that is ill as well, and of many. */
static void
expect_one_try_each_time(struct fleet *f)
{
    unsigned int n = 0;

    f->spec.flags = GROUP_MEASURED;
    f->endpoints[0].weight = 1000;
    for (size_t e = 1; e < f->spec.n_endpoints; e++) {
        f->endpoints[e].weight = 1;
    }
    fleet_build(f);
    for (int round = 0; round < 40; round++) {
        fleet_fail(f, 2);
        f->now_us += LOAD_RETRY_US;
        fleet_fail(f, 0);
        for (int i = 0; i < 200; i++) {
            n += fleet_pick(f) == 2;
        }
    }
    assert_int_equal(n, 40);
}

static void
test_an_unhealthy_endpoint_gets_one_try(void **state)
{
    (void) state;
    for_each_algorithm(5, expect_one_try);
    for_each_algorithm(3, expect_one_try_each_time);
}

static void
test_health_is_ignored_where_nobody_is_well(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_LEAST_COST, 4);
    unsigned int counts[4] = { 0 };
    const double expected[4] = { 300, 100, 0, 0 };

    (void) state;
    f->endpoints[0].weight = 300;
    f->endpoints[2].tier = f->endpoints[3].tier = 1;
    fleet_build(f);
    for (int i = 0; i < 4; i++) {
        fleet_fail(f, i);
    }
    for (int i = 0; i < 4000; i++) {
        counts[fleet_pick(f)]++;
        assert_true(f->trail.ignored_health);
    }
    assert_true(fleet_deviation(counts, expected, 4) < 6);
    fleet_destroy(f);
}

static void
test_the_standby_takes_over_and_gives_back(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_AVAILABILITY, 3);

    (void) state;
    f->endpoints[0].tier = 200;
    f->endpoints[1].tier = 10;
    f->endpoints[2].tier = 100;
    fleet_build(f);
    assert_int_equal(fleet_pick(f), 1);
    assert_int_equal(f->trail.tier, 10);
    assert_int_equal(f->trail.n_tier, 1);
    assert_int_equal(f->trail.n_candidates, 3);
    fleet_fail(f, 1);
    assert_int_equal(fleet_pick(f), 2);
    assert_int_equal(f->trail.tier, 100);
    assert_int_equal(f->trail.n_skipped, 1);
    fleet_fail(f, 2);
    assert_int_equal(fleet_pick(f), 0);
    f->endpoints[0].state = ENDPOINT_DRAINING;
    fleet_build(f);
    assert_int_equal(fleet_pick(f), 1);
    assert_true(f->trail.ignored_health);
    load_answered(&f->loads[2], 100, f->now_us);
    assert_int_equal(fleet_pick(f), 2);
    load_answered(&f->loads[1], 100, f->now_us);
    assert_int_equal(fleet_pick(f), 1);
    fleet_destroy(f);
}

/* So that a SYN that is repeated arrives where the first did. */
static void
test_by_hash_the_same_flow_is_picked_alike(void **state)
{
    static const enum group_algorithm by_hash[] = {
        ALGORITHM_WEIGHTED, ALGORITHM_HASH, ALGORITHM_LEAST_COST,
        ALGORITHM_NEAREST, ALGORITHM_AVAILABILITY,
    };

    (void) state;
    for (size_t a = 0; a < sizeof by_hash / sizeof *by_hash; a++) {
        struct fleet *f = fleet_create(by_hash[a], 100);
        struct fleet *g = fleet_create(by_hash[a], 100);

        g->random = 12345;
        g->load.turn = 77;
        for (int i = 0; i < 20; i++) {
            fleet_fail(f, i * 3);
            fleet_fail(g, i * 3);
        }
        for (int i = 0; i < 1000; i++) {
            struct pick_query query = fleet_query(f);
            uint16_t e = fleet_pick_for(f, &query);

            query.random = fleet_random(f);
            assert_int_equal(fleet_pick_for(f, &query), e);
            assert_int_equal(fleet_pick_for(g, &query), e);
        }
        fleet_destroy(f);
        fleet_destroy(g);
    }
}

/* Slow start. */

static unsigned int
count_let_through(const struct fleet *f, uint16_t endpoint, uint64_t now_us)
{
    unsigned int n = 0;

    for (uint64_t i = 0; i < 10000; i++) {
        n += !pick_ramps(f->group, endpoint,
                         i * UINT64_C(0x9e3779b97f4a7c15), now_us);
    }
    return n;
}

static void
test_a_ramp_lets_more_and_more_through(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_WEIGHTED, 3);
    bool through[200] = { false };

    (void) state;
    f->spec.ramp = 50;
    f->endpoints[1].up_at_s = 1000;
    fleet_build(f);
    for (unsigned int age = 0; age < 60; age += 5) {
        uint64_t now = START + age * FLEET_S;
        unsigned int part = age + 1 < 50 ? (age + 1) * 200 : 10000;

        assert_in_range(count_let_through(f, 1, now), part * 95 / 100 - 50,
                        part * 105 / 100 + 50);
        assert_int_equal(count_let_through(f, 0, now), 10000);
        for (uint64_t i = 0; i < 200; i++) {
            bool is = !pick_ramps(f->group, 1, i << 56 | i, now);

            assert_true(is || !through[i]);
            through[i] = is;
        }
    }
    /* A clock that is behind; nobody; no ramp. */
    assert_in_range(count_let_through(f, 1, START - 9 * FLEET_S), 100, 300);
    assert_false(pick_ramps(f->group, 3, 0, START));
    assert_false(pick_ramps(f->group, GROUP_NO_ENDPOINT, 0, START));
    f->spec.ramp = 0;
    fleet_build(f);
    assert_int_equal(count_let_through(f, 1, START), 10000);
    fleet_destroy(f);
}

static void
test_a_group_that_is_all_new_holds_nobody_back(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_WEIGHTED, 3);

    (void) state;
    f->spec.ramp = 100;
    for (int i = 0; i < 3; i++) {
        f->endpoints[i].up_at_s = 1000;
    }
    fleet_build(f);
    assert_int_equal(count_let_through(f, 1, START), 10000);

    /* One of them is newer: it gets its part of what the others get. */
    f->endpoints[1].up_at_s = 1019;
    fleet_build(f);
    assert_in_range(count_let_through(f, 1, START + 29 * FLEET_S),
                    10000 * 11 / 30 - 300, 10000 * 11 / 30 + 300);
    assert_int_equal(count_let_through(f, 0, START + 29 * FLEET_S), 10000);

    /* The eldest is not up: it does not count. */
    f->endpoints[0].up_at_s = 0;
    f->endpoints[0].state = ENDPOINT_DOWN;
    fleet_build(f);
    assert_int_equal(count_let_through(f, 2, START + 29 * FLEET_S), 10000);
    fleet_destroy(f);
}

static void
expect_a_slow_start(struct fleet *f)
{
    unsigned int n = 0;

    f->spec.ramp = 100;
    f->endpoints[1].up_at_s = 991;
    fleet_build(f);
    for (int i = 0; i < 20000; i++) {
        n += fleet_pick(f) == 1;
        if (!(i % 1000)) {
            fleet_fail(f, 2);           /* Not so that it is left to it. */
            load_answered(&f->loads[2], 0, f->now_us);
        }
    }
    /* A tenth of the flows that would be its own. */
    assert_in_range(n, 20000 / 4 / 10 * 80 / 100, 20000 / 4 / 10 * 135 / 100);
    for (int i = 0; i < 4; i++) {
        if (i != 1) {
            fleet_fail(f, i);
        }
    }
    assert_int_equal(fleet_pick(f), 1);
    assert_false(f->trail.ignored_health);
}

static void
test_a_new_endpoint_starts_slowly(void **state)
{
    (void) state;
    for_each_algorithm(4, expect_a_slow_start);
}

/* Round robin's turn. */

static void
test_a_dry_run_takes_no_turn(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_ROUND_ROBIN, 7);
    struct pick_query query = fleet_query(f);

    (void) state;
    fleet_pick(f);
    fleet_fail(f, 3);
    for (int i = 0; i < 50; i++) {
        uint16_t foreseen;

        query.dry_run = true;
        foreseen = fleet_pick_for(f, &query);
        assert_int_equal(fleet_pick_for(f, &query), foreseen);
        query.dry_run = false;
        assert_int_equal(fleet_pick_for(f, &query), foreseen);
    }
    fleet_destroy(f);
}

/* What is compared. */

static void
test_few_endpoints_are_all_compared_for_connections(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_LEAST_CONNECTIONS, 8);

    (void) state;
    for (int round = 0; round < 2000; round++) {
        double least = 1e9;
        uint16_t e;

        for (int i = 0; i < 8; i++) {
            f->endpoints[i].weight = 1 + fleet_random(f) % 10;
            f->loads[i].open = (int) (fleet_random(f) % 40) - 5;
        }
        fleet_build(f);
        for (int i = 0; i < 8; i++) {
            double open = f->loads[i].open < 0 ? 0 : f->loads[i].open;

            open /= f->endpoints[i].weight;
            least = open < least ? open : least;
        }
        e = fleet_pick(f);
        assert_true(load_open(&f->loads[e])
                    <= least * f->endpoints[e].weight + 1e-9);
    }
    fleet_destroy(f);
}

static void
test_the_one_that_answers_soonest_is_picked(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_LOWEST_RESPONSE_TIME, 3);
    unsigned int n[3] = { 0 };

    (void) state;
    f->load.busy = UINT32_MAX / 2;
    for (int i = 0; i < 3; i++) {
        load_answered(&f->loads[i], 3000 - 900 * i, f->now_us);
    }
    for (int i = 0; i < 10000; i++) {
        n[fleet_pick(f)]++;
    }
    /* But for draws that miss it; they do not miss both others. */
    assert_in_range(n[2], 7500, 9500);
    assert_int_equal(n[0], 0);

    /* It is busy, more than the others. */
    for (int i = 0; i < 400; i++) {
        load_opened(&f->loads[2]);
    }
    f->load.busy = 0;
    memset(n, 0, sizeof n);
    for (int i = 0; i < 1000; i++) {
        n[fleet_pick(f)]++;
    }
    assert_int_equal(n[2], 0);
    assert_true(n[1] > n[0]);

    /* All are. */
    for (int i = 0; i < 500; i++) {
        load_opened(&f->loads[0]);
        load_opened(&f->loads[1]);
    }
    f->load.busy = 0;
    memset(n, 0, sizeof n);
    for (int i = 0; i < 10; i++) {
        n[fleet_pick(f)]++;
    }
    assert_true(n[2] > n[0] && n[2] > n[1]);
    fleet_destroy(f);
}

/* What was measured long ago is not held against an endpoint for ever, and
 * what answers only after repeats is slower than it says. */
static void
test_old_measurements_fade_and_failures_count(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_LOWEST_RESPONSE_TIME, 2);
    unsigned int n = 0;

    (void) state;
    load_answered(&f->loads[0], 50000, f->now_us);
    load_answered(&f->loads[1], 1000, f->now_us);
    for (int i = 0; i < 200; i++) {
        n += !fleet_pick(f);
    }
    assert_int_equal(n, 0);

    /* Now and then, to see, and then for good. */
    f->now_us += 2 * FLEET_S;
    load_answered(&f->loads[1], 1000, f->now_us);
    for (int i = 0; i < 6400; i++) {
        n += !fleet_pick(f);
    }
    assert_in_range(n, 20, 100);
    f->now_us += 13 * FLEET_S;
    load_answered(&f->loads[1], 1000, f->now_us);
    n = 0;
    for (int i = 0; i < 100; i++) {
        n += !fleet_pick(f);
    }
    assert_in_range(n, 95, 100);

    load_init(&f->loads[0]);
    load_answered(&f->loads[0], 900, f->now_us);
    for (int i = 0; i < 3; i++) {
        load_repeated(&f->loads[0], 1, f->now_us);
        load_answered(&f->loads[0], 0, f->now_us);
    }
    n = 0;
    for (int i = 0; i < 200; i++) {
        n += !fleet_pick(f);
    }
    assert_int_equal(n, 0);
    fleet_destroy(f);
}

/* Nothing is known of it, but how many wait for its first answer. */
static void
test_an_unknown_endpoint_is_not_crowded(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_LOWEST_RESPONSE_TIME, 4);

    (void) state;
    f->load.busy = UINT32_MAX / 2;
    for (int i = 1; i < 4; i++) {
        load_answered(&f->loads[i], 1000, f->now_us);
    }
    for (int i = 0; i < 1000; i++) {
        uint16_t e = fleet_pick(f);

        load_opened(&f->loads[e]);
        load_began(&f->loads[e]);
        if (e) {
            load_answered(&f->loads[e], 1000, f->now_us);
            load_closed(&f->loads[e]);
        }
    }
    assert_int_equal(f->loads[0].selected, 1);
    fleet_destroy(f);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_algorithms_have_their_names),
        cmocka_unit_test(test_without_candidates_nobody_is_picked),
        cmocka_unit_test(
            test_a_single_candidate_is_picked_whatever_its_condition),
        cmocka_unit_test(test_where_nothing_is_measured_weights_decide),
        cmocka_unit_test(test_the_best_tier_where_somebody_is_well_is_used),
        cmocka_unit_test(test_a_choice_looks_at_few),
        cmocka_unit_test(test_an_unhealthy_endpoint_gets_one_try),
        cmocka_unit_test(test_health_is_ignored_where_nobody_is_well),
        cmocka_unit_test(test_the_standby_takes_over_and_gives_back),
        cmocka_unit_test(test_by_hash_the_same_flow_is_picked_alike),
        cmocka_unit_test(test_a_ramp_lets_more_and_more_through),
        cmocka_unit_test(test_a_group_that_is_all_new_holds_nobody_back),
        cmocka_unit_test(test_a_new_endpoint_starts_slowly),
        cmocka_unit_test(test_a_dry_run_takes_no_turn),
        cmocka_unit_test(test_few_endpoints_are_all_compared_for_connections),
        cmocka_unit_test(test_the_one_that_answers_soonest_is_picked),
        cmocka_unit_test(test_old_measurements_fade_and_failures_count),
        cmocka_unit_test(test_an_unknown_endpoint_is_not_crowded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
