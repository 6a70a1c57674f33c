/* The promises of anycast/flow-table.h to several threads. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "anycast/flow-table.h"

enum { N_THREADS = 4, N_ROUNDS = 300000 };

/* What a flow's number decides: its key, hash, endpoint, and protocol. */
static struct flow_key4
make_key(uint32_t i)
{
    return (struct flow_key4) { 0x0a000000 + i, i * 7, 80, 1 + i % 5 };
}

static uint64_t
make_hash(uint32_t i)
{
    uint64_t x = (i + 1) * UINT64_C(0xd6e8feb86659fd93);

    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

static uint16_t
make_endpoint(uint32_t i)
{
    return i * 31 % 4096;
}

static uint32_t
next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *seed >> 33;
}

struct worker {
    struct flow_table *table;
    uint32_t *now;              /* Shared. */
    uint32_t *published;        /* Shared. */
    uint32_t number;
    uint64_t n_hits, n_errors;
};

/* Hammer: everybody does everything, on a table much too small. */

static bool
is_right(const struct flow_ref *ref, uint32_t i)
{
    return (ref->endpoint == make_endpoint(i)
            && (ref->state == FLOW_UDP) == (i % 2));
}

static void
hammer_once(struct worker *w, uint32_t i, uint32_t now, uint32_t dice)
{
    static const enum flow_state tcp[]
        = { FLOW_NEW, FLOW_ESTABLISHED, FLOW_CLOSING };
    enum flow_state state = i % 2 ? FLOW_UDP : tcp[dice % 3];
    struct flow_key4 key = make_key(i);
    struct flow_ref ref;

    if (flow_table_lookup(w->table, make_hash(i), &key, now, &ref)) {
        w->n_hits++;
        w->n_errors += !is_right(&ref, i);
        flow_table_touch(w->table, &ref, now, state);
        if (dice % 16) {
            return;
        }
    }
    flow_table_insert(w->table, make_hash(i), &key, make_endpoint(i), now,
                      state);
}

static void *
hammer(void *worker_)
{
    struct worker *w = worker_;
    uint64_t seed = w->number;

    for (int round = 0; round < N_ROUNDS; round++) {
        uint32_t now = __atomic_load_n(w->now, __ATOMIC_RELAXED);

        hammer_once(w, next_random(&seed) % 3000, now, next_random(&seed));
        if (w->number == 0 && round % 64 == 0) {
            flow_table_sweep(w->table, now, 8);
            __atomic_store_n(w->now, now + next_random(&seed) % 50,
                             __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

static void
run(void *(*function)(void *), struct worker *workers)
{
    pthread_t threads[N_THREADS];

    for (int i = 0; i < N_THREADS; i++) {
        workers[i].number = i;
        assert_int_equal(pthread_create(&threads[i], NULL, function,
                                        &workers[i]), 0);
    }
    for (int i = 0; i < N_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static uint64_t
count_listed(const struct flow_table *table, uint32_t now)
{
    struct flow_key4 key;
    struct flow_ref ref;
    uint64_t n = 0;

    for (uint64_t cursor = 0;
         flow_table_next(table, &cursor, now, &key, &ref); n++) {
        assert_true(is_right(&ref, key.src - 0x0a000000));
    }
    return n;
}

static void
test_no_thread_finds_a_wrong_endpoint(void **state)
{
    struct flow_table *table = flow_table_create(1000);
    struct flow_table_stats stats;
    struct worker workers[N_THREADS];
    uint32_t now = 0;

    (void) state;
    for (int i = 0; i < N_THREADS; i++) {
        workers[i] = (struct worker) { .table = table, .now = &now };
    }
    run(hammer, workers);
    for (int i = 0; i < N_THREADS; i++) {
        assert_true(workers[i].n_hits > 0);
        assert_int_equal(workers[i].n_errors, 0);
    }

    /* No entry is left claimed, none miscounted. */
    flow_table_get_stats(table, &stats);
    flow_table_sweep(table, now, stats.capacity / 4);
    flow_table_get_stats(table, &stats);
    assert_true(stats.evicted > 0 && stats.expired > 0);
    assert_int_equal(stats.used, count_listed(table, now));
    assert_int_equal(stats.used,
                     stats.inserted - stats.expired - stats.evicted);
    flow_table_sweep(table, now + 8000, stats.capacity / 4);
    for (uint32_t i = 0; i < stats.capacity / 8 * 7; i++) {
        struct flow_key4 key = make_key(i);
        assert_true(flow_table_insert(table, make_hash(i), &key, 0,
                                      now + 8000, FLOW_UDP));
    }
    flow_table_get_stats(table, &stats);
    assert_int_equal(stats.used, stats.capacity / 8 * 7);
    flow_table_destroy(table);
}

/* Moving: one thread fills a small table, which moves flows that the others
 * are looking for all the time, and empties it again.
 *
 * The lower half of 'published' says how many flows there are; the upper one
 * counts how often the table has been emptied, so that whoever misses a flow
 * can tell whether it should have been there. */

enum {
    N_FLOWS = 400,
    N_ENTRIES = 512,
    N_FILLS = 4000,
};

static void
fill(struct worker *w, uint32_t n_fills)
{
    uint32_t now = n_fills * 10000;

    __atomic_store_n(w->published, n_fills << 16, __ATOMIC_RELEASE);
    flow_table_sweep(w->table, now, N_ENTRIES / 4);
    for (uint32_t i = 0; i < N_FLOWS; i++) {
        /* Other flows each time, so that others move. */
        uint32_t flow = n_fills * N_FLOWS + i;
        struct flow_key4 key = make_key(flow);

        flow_table_insert(w->table, make_hash(flow), &key,
                          make_endpoint(flow), now, FLOW_ESTABLISHED);
        __atomic_store_n(w->published, n_fills << 16 | (i + 1),
                         __ATOMIC_RELEASE);
    }
}

/* Looks for one of the flows that should be there; true if it is, and right.
 * '*fresh' says whether it should still be there afterwards. */
static bool
look(const struct worker *w, uint32_t published, uint64_t *seed, bool *fresh)
{
    uint32_t n_fills = published >> 16, n = published & 0xffff;
    uint32_t flow = n_fills * N_FLOWS + next_random(seed) % n;
    struct flow_key4 key = make_key(flow);
    struct flow_ref ref;
    bool found = flow_table_lookup(w->table, make_hash(flow), &key,
                                   n_fills * 10000, &ref);

    *fresh = __atomic_load_n(w->published, __ATOMIC_ACQUIRE) >> 16 == n_fills;
    return found && ref.endpoint == make_endpoint(flow);
}

static void *
fill_or_look(void *worker_)
{
    struct worker *w = worker_;
    uint64_t seed = w->number;
    uint32_t published;

    if (w->number == 0) {
        for (uint32_t i = 1; i < N_FILLS; i++) {
            fill(w, i);
        }
        __atomic_store_n(w->published, UINT32_MAX, __ATOMIC_RELEASE);
        return NULL;
    }
    while ((published = __atomic_load_n(w->published, __ATOMIC_ACQUIRE))
           != UINT32_MAX) {
        bool fresh;

        if (published & 0xffff) {
            bool found = look(w, published, &seed, &fresh);

            w->n_hits += found;
            w->n_errors += !found && fresh;
        }
    }
    return NULL;
}

static void
test_no_thread_misses_a_flow_that_moves(void **state)
{
    struct flow_table *table = flow_table_create(N_FLOWS);
    struct flow_table_stats stats;
    struct worker workers[N_THREADS];
    uint32_t published = 0;

    (void) state;
    for (int i = 0; i < N_THREADS; i++) {
        workers[i] = (struct worker) {
            .table = table, .published = &published
        };
    }
    run(fill_or_look, workers);

    flow_table_get_stats(table, &stats);
    assert_int_equal(stats.capacity, N_ENTRIES);
    assert_int_equal(stats.evicted, 0);
    for (int i = 1; i < N_THREADS; i++) {
        assert_true(workers[i].n_hits > 0);
        assert_int_equal(workers[i].n_errors, 0);
    }
    flow_table_destroy(table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_thread_finds_a_wrong_endpoint),
        cmocka_unit_test(test_no_thread_misses_a_flow_that_moves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
