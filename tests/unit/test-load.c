/* The promises of anycast/load.h, to one thread and to several. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <sched.h>

#include "anycast/load.h"

#ifdef __SANITIZE_THREAD__
enum { N_ROUNDS = 20000, N_TRIES = 4000 };
#else
enum { N_ROUNDS = 100000, N_TRIES = 20000 };
#endif
enum { N_THREADS = 2 };

#define S UINT64_C(1000000)
#define START (1000 * S)

static void
answer(struct endpoint_load *load, uint64_t us, uint64_t now_us)
{
    load_began(load);
    load_answered(load, us, now_us);
}

static void
fail_times(struct endpoint_load *load, int n, uint64_t now_us)
{
    while (n--) {
        load_repeated(load, S, now_us);
    }
}

static void
test_gauges_follow_flows_and_never_show_less_than_0(void **state)
{
    struct endpoint_load load;

    (void) state;
    load_init(&load);
    assert_int_equal(load_open(&load), 0);

    /* Threads may count an end before its beginning. */
    load_closed(&load);
    load_forgot(&load);
    load_gave_up(&load, START);
    assert_int_equal(load_open(&load), 0);
    assert_int_equal(load_pending(&load), 0);
    load_opened(&load);
    load_began(&load);
    load_began(&load);
    assert_int_equal(load_open(&load), 0);
    assert_int_equal(load_pending(&load), 0);
    load_opened(&load);
    load_began(&load);
    assert_int_equal(load_open(&load), 1);
    assert_int_equal(load_pending(&load), 1);
    load_opened(&load);
    load_began(&load);
    load_began(&load);
    load_closed(&load);
    load_answered(&load, 100, START);
    assert_int_equal(load_open(&load), 1);
    assert_int_equal(load_pending(&load), 2);
    load_repeated(&load, S, START);
    assert_int_equal(load_pending(&load), 2);
    load_forgot(&load);
    load_gave_up(&load, START);
    assert_int_equal(load_pending(&load), 0);
    load_reset(&load);
    assert_int_equal(load.selected, 3);
    assert_int_equal(load.answered, 1);
    assert_int_equal(load.unanswered, 3);
    assert_int_equal(load.resets, 1);

    load.open = load.pending = -5;
    assert_int_equal(load_open(&load), 0);
    assert_int_equal(load_pending(&load), 0);
}

static void
test_response_time_follows_what_is_measured(void **state)
{
    struct endpoint_load load;
    uint64_t now = START;

    (void) state;
    load_init(&load);
    answer(&load, 1000, now);
    assert_int_equal(load.response_us, 1000);
    assert_int_equal(load.min_response_us, 1000);
    assert_int_equal(load.measured_us, now);

    /* Slower and slower: each sample counts, none decides alone. */
    for (uint32_t before = 1000, i = 0; i < 20; i++) {
        answer(&load, 50000, now += 1000);
        assert_true(load.response_us > before);
        assert_true(load.response_us <= before + (50000 - before) / 2);
        before = load.response_us;
    }
    assert_in_range(load.response_us, 45000, 50000);
    assert_in_range(load.min_response_us, 1000, 6000);

    /* And back. */
    for (int i = 0; i < 30; i++) {
        answer(&load, 500, now += 1000);
    }
    assert_in_range(load.response_us, 500, 700);
    assert_int_equal(load.min_response_us, 500);
}

static void
test_what_is_old_counts_less(void **state)
{
    struct endpoint_load fresh, old;

    (void) state;
    load_init(&fresh);
    load_init(&old);
    answer(&fresh, 100000, START);
    answer(&old, 100000, START);
    answer(&fresh, 1000, START + S / 1000);
    answer(&old, 1000, START + S);
    assert_in_range(fresh.response_us, 70000, 80000);
    assert_in_range(old.response_us, 40000, 60000);
    answer(&old, 30000, START + 100 * S);
    assert_int_equal(old.response_us, 30000);
    /* A clock that was read earlier. */
    answer(&old, 30000, START + 50 * S);
    assert_int_equal(old.response_us, 30000);
}

static void
test_the_least_is_of_late(void **state)
{
    struct endpoint_load load;
    uint64_t now = START;

    (void) state;
    load_init(&load);
    answer(&load, 200, now);
    for (int i = 0; i < 10; i++) {
        answer(&load, 20000, now += 1000);
    }
    assert_true(load.min_response_us < 1200);
    for (int i = 0; i < 2000; i++) {
        answer(&load, 20000, now += 1000);
    }
    assert_in_range(load.min_response_us, 18000, 20000);

    /* By steps of 1, if the difference is small. */
    load_init(&load);
    answer(&load, 200, now);
    for (int i = 0; i < 100; i++) {
        answer(&load, 250, now += 1000);
    }
    assert_in_range(load.min_response_us, 245, 250);
}

static void
test_extreme_times_are_kept_in_range(void **state)
{
    struct endpoint_load load;

    (void) state;
    load_init(&load);
    answer(&load, (UINT64_C(1) << 32) + 5, START);
    assert_int_equal(load.response_us, UINT32_MAX);
    answer(&load, 1, START + 1);
    assert_in_range(load.response_us, UINT32_MAX / 2, UINT32_MAX - 1);
    assert_int_equal(load.min_response_us, 1);
    load_repeated(&load, UINT64_MAX, START + 2);
    assert_int_equal(load.response_us, UINT32_MAX);
}

static void
test_a_repeated_syn_tells_at_least_how_long_it_takes(void **state)
{
    struct endpoint_load load;

    (void) state;
    load_init(&load);
    answer(&load, 300, START);
    load_repeated(&load, S, START + S);
    assert_int_equal(load.response_us, S);
    load_repeated(&load, S / 2, START + S);
    assert_int_equal(load.response_us, S);
    assert_int_equal(load.failures, 2);
    assert_int_equal(load.measured_us, START + S);

    /* The answer to a repeated SYN says that it answers, not how soon. */
    load_began(&load);
    load_answered(&load, 0, START + 2 * S);
    assert_int_equal(load.failures, 0);
    assert_int_equal(load.response_us, S);
    assert_int_equal(load.min_response_us, 300);
    assert_int_equal(load_pending(&load), 0);
}

static void
test_health_is_the_part_answered_at_once(void **state)
{
    struct endpoint_load load;
    double sum = 0;

    (void) state;
    load_init(&load);
    assert_int_equal(load.health, LOAD_HEALTHY);
    for (int i = 0; i < 1000; i++) {
        if (i % 4 == 0) {
            load_repeated(&load, S, START);
        } else {
            answer(&load, 100, START);
        }
        assert_true(load.health <= LOAD_HEALTHY);
        sum += i >= 200 ? load.health : 0;
    }
    assert_in_range(sum / 800, LOAD_HEALTHY * 70 / 100,
                    LOAD_HEALTHY * 80 / 100);
    fail_times(&load, 60, START);
    assert_true(load.health < LOAD_HEALTHY / 100);
    for (int i = 0; i < 60; i++) {
        answer(&load, 100, START);
    }
    assert_true(load.health > LOAD_HEALTHY * 99 / 100);
}

static void
test_failures_in_a_row_make_it_unhealthy(void **state)
{
    struct endpoint_load load;

    (void) state;
    load_init(&load);
    fail_times(&load, LOAD_MAX_FAILURES - 1, START);
    assert_true(load_is_healthy(&load, START));
    answer(&load, 100, START);
    fail_times(&load, LOAD_MAX_FAILURES - 1, START);
    assert_true(load_is_healthy(&load, START));
    assert_false(load_is_failing(&load));
    load_gave_up(&load, START);
    assert_false(load_is_healthy(&load, START));
    assert_true(load_is_failing(&load));
    answer(&load, 100, START + 1);
    assert_true(load_is_healthy(&load, START + 1));
    assert_false(load_is_failing(&load));
}

static void
test_an_unhealthy_one_gets_a_try_now_and_then(void **state)
{
    struct endpoint_load load;
    unsigned int n = 0;

    (void) state;
    load_init(&load);
    fail_times(&load, LOAD_MAX_FAILURES, START);
    assert_false(load_is_healthy(&load, START - S));
    assert_false(load_admit(&load, START - S));
    assert_false(load_is_healthy(&load, START + LOAD_RETRY_US - 1));
    assert_true(load_is_healthy(&load, START + LOAD_RETRY_US));
    for (uint64_t t = START; t < START + 20 * (uint64_t) LOAD_RETRY_US;
         t += LOAD_RETRY_US / 10) {
        bool healthy = load_is_healthy(&load, t);

        assert_int_equal(load_admit(&load, t), healthy);
        n += healthy;
        assert_false(load_admit(&load, t));
    }
    assert_int_equal(n, 19);
    assert_true(load_is_failing(&load));

    answer(&load, 100, START);
    assert_true(load_admit(&load, START));
    assert_true(load_admit(&load, START));
}

/* Several threads. */

struct worker {
    struct endpoint_load *load;
    uint64_t *arrived;          /* Shared: how often a thread was ready. */
    unsigned int *admitted;     /* Shared: how many threads, by round. */
};

static void *
hammer(void *worker_)
{
    struct worker *w = worker_;

    for (uint64_t i = 0; i < N_ROUNDS; i++) {
        load_opened(w->load);
        load_began(w->load);
        if (i % 8) {
            load_answered(w->load, 100 + i % 100, START + i);
        } else {
            load_repeated(w->load, 1000, START + i);
            load_gave_up(w->load, START + i);
        }
        (void) load_is_healthy(w->load, START + i);
        load_closed(w->load);
    }
    return NULL;
}

/* Waits until '*arrived' is 'n'; more closely than a barrier does. */
static void
meet(uint64_t *arrived, uint64_t n)
{
    __atomic_fetch_add(arrived, 1, __ATOMIC_SEQ_CST);
    for (int i = 0; __atomic_load_n(arrived, __ATOMIC_SEQ_CST) < n; i++) {
        if (i > 1000) {
            sched_yield();
        }
    }
}

/* All at the same times: each try is to be given to one of them. */
static void *
admit(void *worker_)
{
    struct worker *w = worker_;

    for (uint64_t i = 0; i < N_TRIES; i++) {
        meet(w->arrived, (i + 1) * N_THREADS);
        if (load_admit(w->load, START + (i + 1) * LOAD_RETRY_US)) {
            __atomic_fetch_add(&w->admitted[i], 1, __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

static void
run_threads(void *(*main_)(void *), struct endpoint_load *load,
            unsigned int *admitted)
{
    uint64_t arrived = 0;
    struct worker worker = { load, &arrived, admitted };
    pthread_t threads[N_THREADS];

    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, main_, &worker),
                         0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void
test_threads_lose_no_flow(void **state)
{
    struct endpoint_load load;
    const uint64_t n = (uint64_t) N_THREADS * N_ROUNDS;

    (void) state;
    load_init(&load);
    run_threads(hammer, &load, NULL);
    assert_int_equal(load.open, 0);
    assert_int_equal(load.pending, 0);
    assert_int_equal(load.selected, n);
    assert_int_equal(load.answered, n / 8 * 7);
    assert_int_equal(load.unanswered, n / 8 * 2);
    assert_in_range(load.response_us, 100, 2000);
    assert_in_range(load.min_response_us, 100, 199);
    assert_in_range(load.health, 0, LOAD_HEALTHY);
}

static void
test_a_try_is_given_to_one_thread(void **state)
{
    static unsigned int admitted[N_TRIES];
    struct endpoint_load load;

    (void) state;
    load_init(&load);
    fail_times(&load, LOAD_MAX_FAILURES, START);
    run_threads(admit, &load, admitted);
    for (int i = 0; i < N_TRIES; i++) {
        assert_int_equal(admitted[i], 1);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gauges_follow_flows_and_never_show_less_than_0),
        cmocka_unit_test(test_response_time_follows_what_is_measured),
        cmocka_unit_test(test_what_is_old_counts_less),
        cmocka_unit_test(test_the_least_is_of_late),
        cmocka_unit_test(test_extreme_times_are_kept_in_range),
        cmocka_unit_test(test_a_repeated_syn_tells_at_least_how_long_it_takes),
        cmocka_unit_test(test_health_is_the_part_answered_at_once),
        cmocka_unit_test(test_failures_in_a_row_make_it_unhealthy),
        cmocka_unit_test(test_an_unhealthy_one_gets_a_try_now_and_then),
        cmocka_unit_test(test_threads_lose_no_flow),
        cmocka_unit_test(test_a_try_is_given_to_one_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
