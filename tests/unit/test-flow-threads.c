/* The promises of anycast/flow-table.h to several threads. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/flow-table.h"
#include "tests/unit/flow-keys.h"

#ifdef __SANITIZE_THREAD__
enum { N_ROUNDS = 50000, N_FILLS = 6 };
#else
enum { N_ROUNDS = 300000, N_FILLS = 100 };
#endif
enum { N_THREADS = 4, N_ENDPOINTS = 16 };

/* What a flow's number decides besides its key: its endpoint, which changes
 * with the time if the test wants that, and its protocol. */
static uint16_t
make_endpoint(uint32_t i)
{
    return i * 31 % 4096;
}

struct worker {
    struct flow_table *table;
    bool is6;
    uint32_t *now;              /* Shared. */
    uint32_t *published;        /* Shared. */
    uint32_t number;
    uint64_t n_hits, n_errors;
    int64_t counts[FLOW_KEYS_GROUPS + 1][N_ENDPOINTS];
};

static struct flow_table *
create(size_t n, bool is6)
{
    struct flow_table_size size = {
        .n_flows4 = is6 ? 0 : n,
        .n_flows6 = is6 ? n : 0,
    };
    struct flow_table *table = flow_table_create(&size);

    assert_non_null(table);
    return table;
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

/* Hammer: everybody does everything, on a table much too small, and counts
 * what has come and gone. */

static void
count_ended(const struct flow_ended *ended, void *worker)
{
    struct worker *w = worker;

    w->counts[ended->group][ended->endpoint % N_ENDPOINTS]--;
}

/* The endpoint of even flows is known, and that of odd ones changes. */
static bool
is_right(const struct flow_ref *ref, uint32_t i)
{
    bool is_datagram = ref->state == FLOW_DATAGRAM
                       || ref->state == FLOW_UNPROVEN;

    return ((i % 4 < 2 || ref->endpoint == make_endpoint(i))
            && is_datagram == (i % 2));
}

static void
hammer_once(struct worker *w, uint32_t i, uint32_t now, uint32_t dice)
{
    static const enum flow_state tcp[]
        = { FLOW_NEW, FLOW_ESTABLISHED, FLOW_CLOSING, FLOW_ESTABLISHED };
    static const enum flow_state udp[]
        = { FLOW_DATAGRAM, FLOW_UNPROVEN, FLOW_DATAGRAM, FLOW_UNPROVEN };
    enum flow_state state = (i % 2 ? udp : tcp)[dice % 4];
    struct flow_key key = flow_keys_make(i, w->is6);
    uint16_t endpoint = i % 4 < 2 ? dice % N_ENDPOINTS : make_endpoint(i);
    uint64_t hash = flow_keys_hash(i, 0);
    struct flow_ended ended;
    struct flow_ref ref;

    if (flow_table_lookup(w->table, hash, &key, now, &ref)) {
        w->n_hits++;
        w->n_errors += !is_right(&ref, i);
        flow_table_touch(w->table, &ref, now, state);
        if (dice % 16) {
            return;
        }
    }
    if (flow_table_insert(w->table, hash, &key, endpoint, now, state, &ended)
        && !ended.renewed) {
        w->counts[key.group][endpoint % N_ENDPOINTS]++;
    }
    if (ended.group) {
        count_ended(&ended, w);
    }
}

static void *
hammer(void *worker_)
{
    struct worker *w = worker_;
    uint64_t seed = w->number;

    for (int round = 0; round < N_ROUNDS; round++) {
        uint32_t now = __atomic_load_n(w->now, __ATOMIC_RELAXED);
        uint32_t i = flow_keys_random(&seed) % 3000;

        hammer_once(w, i, now, flow_keys_random(&seed));
        if (w->number == 0 && round % 64 == 0) {
            flow_table_sweep(w->table, now, 8, count_ended, w);
            __atomic_store_n(w->now, now + flow_keys_random(&seed) % 50,
                             __ATOMIC_RELAXED);
        }
    }
    return NULL;
}

/* Adds up what the workers have counted and takes off what is in the table:
 * nothing is left. */
static uint64_t
check_counts(const struct flow_table *table, uint32_t now,
             struct worker *workers)
{
    struct flow_key key;
    struct flow_ref ref;
    uint64_t n = 0;

    for (uint64_t cursor = 0;
         flow_table_next(table, &cursor, now, &key, &ref); n++) {
        assert_true(is_right(&ref, flow_keys_number(&key)));
        workers[0].counts[key.group][ref.endpoint % N_ENDPOINTS]--;
    }
    for (int g = 0; g <= FLOW_KEYS_GROUPS; g++) {
        for (int e = 0; e < N_ENDPOINTS; e++) {
            int64_t sum = 0;

            for (int i = 0; i < N_THREADS; i++) {
                sum += workers[i].counts[g][e];
            }
            assert_int_equal(sum, 0);
        }
    }
    return n;
}

static void
check_hammered(bool is6)
{
    struct flow_table *table = create(1000, is6);
    size_t n_buckets = flow_table_n_buckets(table);
    struct flow_table_stats stats;
    struct worker workers[N_THREADS];
    uint32_t now = 0;

    memset(workers, 0, sizeof workers);
    for (int i = 0; i < N_THREADS; i++) {
        workers[i].table = table;
        workers[i].is6 = is6;
        workers[i].now = &now;
    }
    run(hammer, workers);
    for (int i = 0; i < N_THREADS; i++) {
        assert_true(workers[i].n_hits > 0);
        assert_int_equal(workers[i].n_errors, 0);
    }

    /* No entry is left claimed or moving, none miscounted. */
    flow_table_sweep(table, now, n_buckets, count_ended, &workers[0]);
    flow_table_get_stats(table, &stats);
    assert_true(stats.evicted > 0 && stats.expired > 0);
    assert_int_equal(stats.used, check_counts(table, now, workers));
    assert_int_equal(stats.used,
                     stats.inserted - stats.expired - stats.evicted);
    flow_table_sweep(table, now + 8000, n_buckets, count_ended, &workers[0]);
    for (uint32_t i = 0; i < 1000; i++) {
        struct flow_key key = flow_keys_make(i, is6);
        struct flow_ended ended;

        assert_true(flow_table_insert(table, flow_keys_hash(i, 0), &key, 0,
                                      now + 8000, FLOW_DATAGRAM, &ended));
        assert_int_equal(ended.group, 0);
    }
    flow_table_get_stats(table, &stats);
    assert_int_equal(stats.used, 1000);
    flow_table_destroy(table);
}

static void
test_no_thread_finds_a_wrong_endpoint_and_none_miscounts(void **state)
{
    (void) state;
    check_hammered(false);
    check_hammered(true);
}

/* Moving: one thread fills a small table, which moves flows that the others
 * are looking for all the time, and empties it again.
 *
 * The lower half of 'published' says how many flows there are; the upper one
 * counts how often the table has been emptied, so that whoever misses a flow
 * can tell whether it should have been there. */

enum {
    N_FLOWS = 1150,             /* More than promised, so that many move. */
    N_ASKED = 1100,
};

static void
fill(struct worker *w, uint32_t n_fills)
{
    uint32_t now = n_fills * 10000;

    __atomic_store_n(w->published, n_fills << 16, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < N_FLOWS; i++) {
        /* Other flows each time, so that others move. */
        uint32_t flow = n_fills * N_FLOWS + i;
        struct flow_key key = flow_keys_make(flow, w->is6);
        struct flow_ended ended;

        flow_table_insert(w->table, flow_keys_hash(flow, 0), &key,
                          make_endpoint(flow), now, FLOW_ESTABLISHED, &ended);
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
    uint32_t flow = n_fills * N_FLOWS + flow_keys_random(seed) % n;
    struct flow_key key = flow_keys_make(flow, w->is6);
    struct flow_ref ref;
    bool found = flow_table_lookup(w->table, flow_keys_hash(flow, 0), &key,
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
check_moved(bool is6)
{
    struct flow_table *table = create(N_ASKED, is6);
    struct flow_table_stats stats;
    struct worker workers[N_THREADS];
    uint32_t published = 0;

    memset(workers, 0, sizeof workers);
    for (int i = 0; i < N_THREADS; i++) {
        workers[i].table = table;
        workers[i].is6 = is6;
        workers[i].published = &published;
    }
    run(fill_or_look, workers);

    flow_table_get_stats(table, &stats);
    assert_int_equal(stats.evicted + stats.refused, 0);
    for (int i = 1; i < N_THREADS; i++) {
        assert_true(workers[i].n_hits > 0);
        assert_int_equal(workers[i].n_errors, 0);
    }
    flow_table_destroy(table);
}

static void
test_no_thread_misses_a_flow_that_moves(void **state)
{
    (void) state;
    check_moved(false);
    check_moved(true);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_no_thread_finds_a_wrong_endpoint_and_none_miscounts),
        cmocka_unit_test(test_no_thread_misses_a_flow_that_moves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
