/* How choices spread: by weight, in turn, away from load, to those near; and
 * that hosts which know the same do not all choose the same. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <string.h>

#include "tests/unit/fleet.h"

enum { MANY = 100, N_HOSTS = 50 };

static const enum group_algorithm by_hash[] = {
    ALGORITHM_WEIGHTED, ALGORITHM_HASH, ALGORITHM_LEAST_COST,
    ALGORITHM_NEAREST, ALGORITHM_AVAILABILITY,
};
enum { N_BY_HASH = sizeof by_hash / sizeof *by_hash };

/* Weights from 1 to 1000, and who is ill or in a worse tier is not expected at
 * all.  In a small group and a large one. */
static void
expect_weights(enum group_algorithm algorithm, size_t n)
{
    struct fleet *f = fleet_create(algorithm, n);
    unsigned int counts[MANY] = { 0 };
    double expected[MANY] = { 0 };

    for (size_t i = 0; i < n; i++) {
        f->endpoints[i].weight = 1 + i * 997 / (n - 1);
        f->endpoints[i].tier = 5 + (i % 7 == 3);
        if (i % 5 == 2) {
            fleet_fail(f, i);
        } else if (i % 7 != 3) {
            expected[i] = f->endpoints[i].weight;
        }
    }
    fleet_build(f);
    for (int i = 0; i < 200000; i++) {
        counts[fleet_pick(f)]++;
    }
    assert_true(fleet_deviation(counts, expected, n) < 6);
    fleet_destroy(f);
}

static void
test_flows_are_spread_by_weight(void **state)
{
    (void) state;
    for (int a = 0; a < N_BY_HASH; a++) {
        expect_weights(by_hash[a], 10);
        expect_weights(by_hash[a], MANY);
    }
}

/* One heavy endpoint is ill: the light ones share alike what was its own. */
static void
test_the_share_of_the_ill_is_spread_by_weight(void **state)
{
    const double expected[4] = { 0, 1, 2, 1 };
    unsigned int counts[4] = { 0 };
    struct fleet *f = fleet_create(ALGORITHM_LEAST_COST, 4);

    (void) state;
    f->endpoints[0].weight = 1000;
    for (int i = 1; i < 4; i++) {
        f->endpoints[i].weight = expected[i];
    }
    fleet_build(f);
    fleet_fail(f, 0);
    for (int i = 0; i < 20000; i++) {
        counts[fleet_pick(f)]++;
    }
    assert_true(fleet_deviation(counts, expected, 4) < 6);
    fleet_destroy(f);
}

/* Round robin. */

static void
test_equal_endpoints_take_exact_turns(void **state)
{
    (void) state;
    for (size_t n = 1; n <= 40; n++) {
        struct fleet *f = fleet_create(ALGORITHM_ROUND_ROBIN, n);
        uint16_t e = fleet_pick(f);

        for (size_t i = 0; i < 3 * n; i++) {
            uint16_t next = fleet_pick(f);

            assert_int_equal(next, (e + 1) % n);
            e = next;
        }
        fleet_destroy(f);
    }
}

static void
test_turns_of_the_ill_go_round_among_the_others(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_ROUND_ROBIN, 10);
    unsigned int counts[10] = { 0 };

    (void) state;
    fleet_fail(f, 3);
    fleet_fail(f, 4);
    for (int i = 0; i < 800; i++) {
        counts[fleet_pick(f)]++;
    }
    for (int i = 0; i < 10; i++) {
        assert_int_equal(counts[i], i == 3 || i == 4 ? 0 : 100);
    }
    fleet_destroy(f);
}

/* In every stretch of turns, each has its share to within a few turns. */
static void
expect_smooth_turns(struct fleet *f, size_t n)
{
    enum { TURNS = 2000 };
    static uint16_t turns[TURNS];
    double weight = 0;

    fleet_build(f);
    for (size_t i = 0; i < n; i++) {
        weight += f->endpoints[i].weight;
    }
    for (int i = 0; i < TURNS; i++) {
        turns[i] = fleet_pick(f);
    }
    for (size_t e = 0; e < n; e++) {
        double share = f->endpoints[e].weight / weight;
        double ahead = 0, least = 0, most = 0;

        for (int i = 0; i < TURNS; i++) {
            ahead += (turns[i] == e) - share;
            least = fmin(least, ahead);
            most = fmax(most, ahead);
        }
        /* Of any stretch: the difference of two of these. */
        assert_true(most - least < 4);
    }
}

static void
test_turns_of_unequal_endpoints_are_interleaved(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_ROUND_ROBIN, 3);

    (void) state;
    f->endpoints[0].weight = 500;
    expect_smooth_turns(f, 3);
    f->endpoints[1].weight = 33;
    expect_smooth_turns(f, 3);
    fleet_destroy(f);

    f = fleet_create(ALGORITHM_ROUND_ROBIN, 12);
    for (int i = 0; i < 12; i++) {
        f->endpoints[i].weight = 1 + fleet_random(f) % 1000;
    }
    expect_smooth_turns(f, 12);
    fleet_destroy(f);
}

static void
test_hosts_go_round_out_of_step(void **state)
{
    unsigned int first[10] = { 0 };

    (void) state;
    for (int h = 0; h < 200; h++) {
        struct fleet *f = fleet_create(ALGORITHM_ROUND_ROBIN, 10);

        f->random = h;
        first[fleet_pick(f)]++;
        fleet_destroy(f);
    }
    for (int i = 0; i < 10; i++) {
        assert_in_range(first[i], 5, 45);
    }
}

/* Least connections. */

/* Open flows over weight, of the worst endpoint over the average. */
static double
imbalance(const struct fleet *f, size_t n)
{
    double open = 0, weight = 0, worst = 0;

    for (size_t i = 0; i < n; i++) {
        double each = f->loads[i].open / (double) f->endpoints[i].weight;

        worst = fmax(worst, each);
        open += f->loads[i].open;
        weight += f->endpoints[i].weight;
    }
    return worst / (open / weight);
}

static double
imbalance_after(enum group_algorithm algorithm, int n_flows)
{
    struct fleet *f = fleet_create(algorithm, MANY);
    double result;

    for (int i = 0; i < MANY; i++) {
        f->endpoints[i].weight = 50 + fleet_random(f) % 200;
    }
    fleet_build(f);
    for (int i = 0; i < n_flows; i++) {
        load_opened(&f->loads[fleet_pick(f)]);
    }
    result = imbalance(f, MANY);
    fleet_destroy(f);
    return result;
}

static void
test_open_flows_are_levelled(void **state)
{
    (void) state;
    assert_true(imbalance_after(ALGORITHM_LEAST_CONNECTIONS, 10000) < 1.06);
    assert_true(imbalance_after(ALGORITHM_LEAST_COST, 10000) > 1.15);

    /* One that keeps its flows for long gets fewer. */
    struct fleet *f = fleet_create(ALGORITHM_LEAST_CONNECTIONS, MANY);
    unsigned int counts[MANY] = { 0 };

    for (int i = 0; i < 50000; i++) {
        uint16_t e = fleet_pick(f);

        load_opened(&f->loads[e]);
        counts[e]++;
        for (int c = 0; c < MANY; c++) {
            int period = c == 7 ? 1000 : 50;

            if (i % period == c % 50 && load_open(&f->loads[c])) {
                load_closed(&f->loads[c]);
            }
        }
    }
    assert_true(counts[7] < 50000 / MANY / 2);
    fleet_destroy(f);
}

/* Herding. */

/* All hosts know that endpoint 'best' is the best of all, and choose at the
 * same time.  Returns the part of them that choose it, on average of many
 * times. */
static double
part_on_the_best(enum group_algorithm algorithm,
                 void (*prepare)(struct fleet *, uint16_t best))
{
    struct fleet *hosts[N_HOSTS];
    unsigned int n = 0, worst = 0;

    for (int h = 0; h < N_HOSTS; h++) {
        hosts[h] = fleet_create(algorithm, MANY);
        hosts[h]->random = 1000 + h;
        prepare(hosts[h], 33);
    }
    for (int round = 0; round < 400; round++) {
        unsigned int together = 0;

        for (int h = 0; h < N_HOSTS; h++) {
            together += fleet_pick(hosts[h]) == 33;
        }
        n += together;
        worst = together > worst ? together : worst;
    }
    for (int h = 0; h < N_HOSTS; h++) {
        fleet_destroy(hosts[h]);
    }
    assert_true(worst < N_HOSTS / 4);
    return n / 400.0 / N_HOSTS;
}

static void
leave_one_idle(struct fleet *f, uint16_t best)
{
    for (int i = 0; i < MANY; i++) {
        f->loads[i].open = i == best ? 0 : 10;
    }
}

static void
make_one_fast(struct fleet *f, uint16_t best)
{
    for (int i = 0; i < MANY; i++) {
        f->loads[i].open = 10;
        load_answered(&f->loads[i], i == best ? 100 : 2000, f->now_us);
    }
}

static void
make_one_fast_and_busy(struct fleet *f, uint16_t best)
{
    make_one_fast(f, best);
    f->loads[best].open = 20;
    f->load.busy = 11 * 1024;
}

static void
test_hosts_that_know_the_same_do_not_herd(void **state)
{
    (void) state;
    assert_in_range(1000 * part_on_the_best(ALGORITHM_LEAST_CONNECTIONS,
                                            leave_one_idle), 20, 35);
    assert_in_range(1000 * part_on_the_best(ALGORITHM_LOWEST_RESPONSE_TIME,
                                            make_one_fast), 20, 35);
    assert_in_range(1000 * part_on_the_best(ALGORITHM_LOWEST_RESPONSE_TIME,
                                            make_one_fast_and_busy), 0, 2);
}

/* Where nobody knows anything, chance alone decides. */
static void
test_hosts_that_know_nothing_choose_by_weight(void **state)
{
    static const enum group_algorithm blind[] = {
        ALGORITHM_LEAST_CONNECTIONS, ALGORITHM_LOWEST_RESPONSE_TIME,
    };
    static const size_t sizes[] = { 6, MANY };

    (void) state;
    for (int k = 0; k < 4; k++) {
        size_t n = sizes[k / 2];
        struct fleet *f = fleet_create(blind[k % 2], n);
        unsigned int counts[MANY] = { 0 };
        double expected[MANY];

        for (size_t i = 0; i < n; i++) {
            expected[i] = f->endpoints[i].weight = 1 + i % 5 * 40;
        }
        fleet_build(f);
        for (int i = 0; i < 100000; i++) {
            counts[fleet_pick(f)]++;
        }
        assert_true(fleet_deviation(counts, expected, n) < 6);
        fleet_destroy(f);
    }
}

/* Lowest response time. */

/* A simple closed loop: each endpoint answers after its own time, flows last
 * for long.  Returns the part of flows that go to endpoint 0. */
static double
part_on_first(struct fleet *f, uint32_t us, int n_flows)
{
    int n = 0;

    for (int i = 0; i < n_flows; i++) {
        uint16_t e = fleet_pick(f);

        f->now_us += 2000;
        load_opened(&f->loads[e]);
        load_began(&f->loads[e]);
        load_answered(&f->loads[e], e ? 1000 : us, f->now_us);
        load_closed(&f->loads[e]);
        n += !e;
    }
    return (double) n / n_flows;
}

static void
test_a_slowed_endpoint_is_left_and_found_again(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_LOWEST_RESPONSE_TIME, 10);

    (void) state;
    assert_true(part_on_first(f, 1000, 5000) > 0.05);
    part_on_first(f, 200000, 50);       /* A tenth of a second... */
    assert_true(part_on_first(f, 200000, 5000) < 0.01);
    part_on_first(f, 1000, 12500);      /* 25 s. */
    assert_true(part_on_first(f, 1000, 5000) > 0.05);
    fleet_destroy(f);
}

static void
test_the_busy_mark_follows_its_quantile(void **state)
{
    struct fleet *f = fleet_create(ALGORITHM_LOWEST_RESPONSE_TIME, MANY);
    double sum = 0;

    (void) state;
    for (int i = 0; i < MANY; i++) {
        f->loads[i].open = i;
    }
    for (int i = 0; i < 20000; i++) {
        fleet_pick(f);
        sum += i >= 10000 ? f->load.busy / 1024.0 : 0;
    }
    assert_in_range(sum / 10000, 60, 80);
    for (int i = 0; i < MANY; i++) {
        f->loads[i].open = 0;
    }
    for (int i = 0; i < 2000; i++) {
        fleet_pick(f);
    }
    assert_int_equal(f->load.busy, 0);
    fleet_destroy(f);
}

/* Nearest, by measured time. */

static struct fleet *
create_measured(size_t n, uint32_t (*distance)(size_t))
{
    struct fleet *f = fleet_create(ALGORITHM_NEAREST, n);

    f->spec.flags = GROUP_MEASURED;
    for (size_t i = 0; i < n; i++) {
        uint32_t us = distance(i);

        f->endpoints[i].tier = n - i;   /* Not to be looked at. */
        f->endpoints[i].weight = 1 + i % 3;
        if (us) {
            load_answered(&f->loads[i], us, f->now_us);
        }
    }
    fleet_build(f);
    return f;
}

static uint32_t
few_distances(size_t i)
{
    static const uint32_t us[] = { 900, 0, 300, 5000, 599, 610, 1200, 400 };

    return us[i];
}

static void
test_of_few_those_near_are_picked_by_weight(void **state)
{
    struct fleet *f = create_measured(8, few_distances);
    const double expected[8] = { 0, 0, 3, 0, 2, 0, 0, 2 };
    unsigned int counts[8] = { 0 }, unknown = 0;

    (void) state;
    for (int i = 0; i < 50000; i++) {
        struct pick_query query = fleet_query(f);
        uint16_t e = fleet_pick_for(f, &query);

        if (e == 1) {           /* To see how near it is. */
            unknown++;
            continue;
        }
        counts[e]++;
        query.random = fleet_random(f);
        uint16_t again = fleet_pick_for(f, &query);
        assert_true(again == e || again == 1);
    }
    assert_true(fleet_deviation(counts, expected, 8) < 6);
    assert_in_range(unknown, 50000 / 16 * 2 / 15 / 2,
                    50000 / 16 * 2 / 15 * 2);

    /* Its handshake is under way; then it turns out to be far. */
    load_began(&f->loads[1]);
    for (int i = 0; i < 2000; i++) {
        assert_int_not_equal(fleet_pick(f), 1);
    }
    load_answered(&f->loads[1], 700, f->now_us);
    for (int i = 0; i < 2000; i++) {
        assert_int_not_equal(fleet_pick(f), 1);
    }

    /* What was measured long ago is measured again. */
    f->now_us += 100 * FLEET_S;
    unknown = 0;
    for (int i = 0; i < 2000; i++) {
        unknown += few_distances(fleet_pick(f)) >= 610;
    }
    assert_in_range(unknown, 20, 200);

    /* Those near are ill: the nearest of the others. */
    fleet_fail(f, 2);
    fleet_fail(f, 4);
    fleet_fail(f, 7);
    for (int i = 0; i < 8; i++) {
        f->loads[i].measured_us = f->now_us;
    }
    for (int i = 0; i < 100; i++) {
        uint16_t e = fleet_pick(f);

        assert_true(e == 0 || e == 1 || e == 5 || e == 6);
    }
    fleet_destroy(f);
}

static uint32_t
many_distances(size_t i)
{
    return i % 50 == 7 ? 300 + i % 100 : 2000 + i;
}

static void
test_of_many_those_near_are_found_and_share(void **state)
{
    struct fleet *f = create_measured(1000, many_distances);
    unsigned int counts[1000] = { 0 }, near = 0, repeats = 0;
    uint16_t last = GROUP_NO_ENDPOINT;
    double expected[1000] = { 0 };

    (void) state;
    for (int i = 0; i < 2000; i++) {
        fleet_pick(f);
    }
    for (int i = 0; i < 200000; i++) {
        uint16_t e = fleet_pick(f);

        counts[e]++;
        near += many_distances(e) < 1000;
        repeats += e == last;
        last = e;
    }
    assert_true(repeats < 200000 / 3);
    assert_true(near > 200000 * 0.99);
    for (int i = 0; i < 1000; i++) {
        if (many_distances(i) < 1000) {
            expected[i] = 200000.0 * f->endpoints[i].weight / 40;
            assert_in_range(counts[i], expected[i] * 0.7, expected[i] * 1.3);
        }
    }
    fleet_destroy(f);
}

static uint32_t
unknown_distance(size_t i)
{
    (void) i;
    return 0;
}

static void
test_where_nothing_is_measured_all_are_near(void **state)
{
    static const size_t sizes[] = { 16, 17, MANY };

    (void) state;
    for (int k = 0; k < 3; k++) {
        struct fleet *f = create_measured(sizes[k], unknown_distance);
        unsigned int counts[MANY] = { 0 };
        double expected[MANY];

        for (size_t i = 0; i < sizes[k]; i++) {
            expected[i] = f->endpoints[i].weight;
        }
        for (int i = 0; i < 100000; i++) {
            counts[fleet_pick(f)]++;
        }
        assert_true(fleet_deviation(counts, expected, sizes[k]) < 6);
        fleet_destroy(f);
    }
}

/* Threads. */

enum { N_THREADS = 2, PICKS_EACH = 50000 };

struct worker {
    const struct group *group;
    pthread_barrier_t *barrier;
    uint64_t number;
    unsigned int counts[10];
};

static void *
pick_many(void *worker_)
{
    struct worker *w = worker_;

    pthread_barrier_wait(w->barrier);
    for (uint64_t i = 1; i <= PICKS_EACH; i++) {
        struct pick_query query = {
            .hash = (i << 32 | w->number) * UINT64_C(0x9e3779b97f4a7c15),
            .random = i ^ w->number << 60, .now_us = i * 100,
        };
        uint16_t e = pick_endpoint(w->group, &query, NULL);
        struct endpoint_load *load = w->group->endpoints[e].load;

        load_opened(load);
        load_began(load);
        load_answered(load, 1 + i % 100, query.now_us);
        load_closed(load);
        w->counts[e]++;
    }
    return NULL;
}

static void
test_threads_share_turns(void **state)
{
    (void) state;
    for (int a = 0; a < N_ALGORITHMS; a++) {
        struct fleet *f = fleet_create(a, 10);
        struct worker workers[N_THREADS];
        pthread_t threads[N_THREADS];
        pthread_barrier_t barrier;
        unsigned int counts[10] = { 0 };

        pthread_barrier_init(&barrier, NULL, N_THREADS);
        for (int i = 0; i < N_THREADS; i++) {
            workers[i] = (struct worker) { f->group, &barrier, i, { 0 } };
            assert_int_equal(pthread_create(&threads[i], NULL, pick_many,
                                            &workers[i]), 0);
        }
        for (int i = 0; i < N_THREADS; i++) {
            pthread_join(threads[i], NULL);
            for (int e = 0; e < 10; e++) {
                counts[e] += workers[i].counts[e];
            }
        }
        pthread_barrier_destroy(&barrier);
        for (int e = 0; e < 10 && a == ALGORITHM_ROUND_ROBIN; e++) {
            assert_int_equal(counts[e], N_THREADS * PICKS_EACH / 10);
        }
        for (int e = 0; e < 10; e++) {
            assert_int_equal(f->loads[e].open, 0);
            assert_int_equal(f->loads[e].selected, counts[e]);
        }
        fleet_destroy(f);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flows_are_spread_by_weight),
        cmocka_unit_test(test_the_share_of_the_ill_is_spread_by_weight),
        cmocka_unit_test(test_equal_endpoints_take_exact_turns),
        cmocka_unit_test(test_turns_of_the_ill_go_round_among_the_others),
        cmocka_unit_test(test_turns_of_unequal_endpoints_are_interleaved),
        cmocka_unit_test(test_hosts_go_round_out_of_step),
        cmocka_unit_test(test_open_flows_are_levelled),
        cmocka_unit_test(test_hosts_that_know_the_same_do_not_herd),
        cmocka_unit_test(test_hosts_that_know_nothing_choose_by_weight),
        cmocka_unit_test(test_a_slowed_endpoint_is_left_and_found_again),
        cmocka_unit_test(test_the_busy_mark_follows_its_quantile),
        cmocka_unit_test(test_of_few_those_near_are_picked_by_weight),
        cmocka_unit_test(test_of_many_those_near_are_found_and_share),
        cmocka_unit_test(test_where_nothing_is_measured_all_are_near),
        cmocka_unit_test(test_threads_share_turns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
