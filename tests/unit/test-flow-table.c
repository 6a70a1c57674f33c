/* anycast/flow-table.h, as one thread sees it, case by case.  Random
 * operations are in test-flow-twin.c. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/unit/flow-keys.h"
#include "tests/unit/flows.h"

static void
test_a_flow_times_out_by_its_state(void **state)
{
    static const uint32_t starts[] = { 0, 5, 60000, 65535, 65536, 1000000 };

    (void) state;
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        for (enum flow_state st = FLOW_NEW; st < N_FLOW_STATES; st++) {
            for (int is6 = 0; is6 < 2; is6++) {
                struct flow_table *table = flows_create(1, is6);
                uint32_t start = starts[s], t = flows_timeouts[st];
                struct flow_ended ended;
                struct flow_ref ref;

                assert_true(flows_insert(table, is6, 1, 7, start, st, &ended));
                assert_true(flows_lookup(table, is6, 1, start + t - 1, &ref));
                assert_int_equal(ref.idle, t - 1);
                assert_false(flows_lookup(table, is6, 1, start + t, &ref));
                /* Four hours are as long as nobody may have swept. */
                assert_false(flows_lookup(table, is6, 1, start + t + 4 * 3600,
                                          &ref));
                flow_table_destroy(table);
            }
        }
    }
}

/* One thread's clock may lag behind the one that has written the entry. */
static void
test_a_flow_seen_in_the_near_future_is_not_idle(void **state)
{
    (void) state;
    for (int is6 = 0; is6 < 2; is6++) {
        struct flow_table *table = flows_create(1, is6);
        struct flow_ended ended;
        struct flow_ref ref;

        assert_true(flows_insert(table, is6, 1, 7, 1000, FLOW_NEW, &ended));
        assert_true(flows_lookup(table, is6, 1, 1000 - FLOW_MAX_SKEW, &ref));
        assert_int_equal(ref.idle, 0);

        /* Nor does the laggard set it back. */
        flow_table_touch(table, &ref, 1000 - FLOW_MAX_SKEW, FLOW_ESTABLISHED);
        assert_true(flows_lookup(table, is6, 1, 1001, &ref));
        assert_int_equal(ref.idle, 1);
        assert_int_equal(ref.state, FLOW_ESTABLISHED);
        flow_table_destroy(table);
    }
}

/* Key 'i' of a set without order. */
static struct flow_key
make_scattered_key(uint32_t i, bool is6)
{
    uint64_t x = flow_keys_scatter(i);
    struct flow_key key = {
        .src = { flow_keys_scatter(x), x },
        .src_port = i,
        .dst_port = x >> 7,
        .group = 1 + i,
    };

    if (!is6) {
        key.src = inet_addr_from4(x);
    }
    return key;
}

/* Strong flows, as many as the table was made for, in a world with 'seed'. */
static void
check_holds(size_t n, bool is6, bool scattered, uint64_t seed)
{
    struct flow_table *table = flows_create(n, is6);
    struct flow_table_stats stats;

    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < n; i++) {
            struct flow_key key = (scattered ? make_scattered_key(i, is6)
                                   : flow_keys_make(i, is6));
            uint64_t hash = flow_keys_hash(i, seed);
            struct flow_ended ended;
            struct flow_ref ref;

            if (!pass) {
                assert_true(flow_table_insert(table, hash, &key, i % 4096,
                                              i / 20000, FLOW_ESTABLISHED
                                              + i % 3, &ended));
                assert_true(!ended.group && !ended.renewed);
            } else {
                assert_true(flow_table_lookup(table, hash, &key, 60, &ref));
                assert_int_equal(ref.endpoint, i % 4096);
            }
        }
    }
    stats = flows_get_stats(table);
    assert_int_equal(stats.used, n);
    assert_int_equal(stats.inserted, n);
    assert_int_equal(stats.evicted + stats.expired + stats.refused, 0);
    flow_table_destroy(table);
}

static void
test_a_table_takes_as_many_flows_as_it_was_made_for(void **state)
{
    static const struct {
        size_t n;
        int n_seeds;
    } sizes[] = {
        { 1, 1 }, { 56, 100 }, { 57, 100 }, { 101, 100 }, { 333, 100 },
        { 1001, 50 }, { 4999, 20 }, { 57345, 2 }, { 1000003, 1 },
    };

    (void) state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (int seed = 0; seed < sizes[s].n_seeds; seed++) {
            for (int kind = 0; kind < 4; kind++) {
                check_holds(sizes[s].n, kind & 1, kind & 2,
                            sizes[s].n * 1000 + seed);
            }
        }
    }
}

static void
test_a_flow_takes_less_than_twenty_bytes(void **state)
{
    struct flow_table_size million = { 1000000, 0 }, million6 = { 0, 1000000 };
    struct flow_table_size odd = { 12345678, 7654321 };
    struct flow_table_size huge4 = { SIZE_MAX, 1 }, huge6 = { 1, SIZE_MAX };

    (void) state;
    assert_true(flow_table_memory(&million) <= 20 * 1000000);
    assert_true(flow_table_memory(&million6) <= 40 * 1000000);
    assert_int_equal(flow_table_memory(&odd) % (2 << 20), 0);
    assert_true(flow_table_memory(&odd)
                < 12345678 * 18.4 + 7654321 * 36.7 + (2 << 20));
    assert_int_equal(flow_table_memory(&huge4), 0);
    assert_int_equal(flow_table_memory(&huge6), 0);
    assert_null(flow_table_create(&huge4));
    assert_null(flow_table_create(&huge6));
}

static double
cpu_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static void
check_there(const struct flow_table *table, bool is6, uint32_t n, uint32_t now,
            enum flow_state state)
{
    for (uint32_t i = 0; i < n; i++) {
        struct flow_ref ref;

        assert_true(flows_lookup(table, is6, i, now, &ref));
        assert_int_equal(ref.endpoint, i % 4096);
        assert_int_equal(ref.state, state);
    }
}

/* Twice the capacity of flows that nobody has proved. */
static uint64_t
flood(struct flow_table *table, bool is6, uint32_t now)
{
    static const enum flow_state states[]
        = { FLOW_NEW, FLOW_UNPROVEN, FLOW_CLOSING };
    uint32_t n = 2 * flows_get_capacity(table, is6);
    uint64_t n_refused = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct flow_ended ended;

        n_refused += !flows_insert(table, is6, 1000000 + i, 1, now,
                                   states[i % 3], &ended);
        assert_true(!ended.group || flows_is_weak(ended.state));
    }
    return n_refused;
}

static void
test_a_flood_never_displaces_strong_flows(void **state)
{
    enum { N = 30001 };

    (void) state;
    for (int is6 = 0; is6 < 2; is6++) {
        for (enum flow_state st = FLOW_ESTABLISHED; st <= FLOW_SOURCE; st++) {
            struct flow_table *table = flows_create(N, is6);
            struct flow_ended ended;

            for (uint32_t i = 0; i < N; i++) {
                assert_true(flows_insert(table, is6, i, i % 4096, 100, st,
                                         &ended));
            }
            flood(table, is6, 390);
            check_there(table, is6, N, 390, st);
            /* Nor later, when the flood's own have timed out. */
            flood(table, is6, 100 + flows_timeouts[st] - 1);
            check_there(table, is6, N, 100 + flows_timeouts[st] - 1, st);
            flow_table_destroy(table);
        }
    }
}

static void
test_strong_flows_find_room_in_a_flood(void **state)
{
    enum { N = 30001 };

    (void) state;
    for (int is6 = 0; is6 < 2; is6++) {
        struct flow_table *table = flows_create(N, is6);
        struct flow_ended ended;

        flood(table, is6, 100);
        assert_true(flows_get_stats(table).used
                    > flows_get_capacity(table, is6) / 20 * 19);
        for (uint32_t i = 0; i < N; i++) {
            assert_true(flows_insert(table, is6, i, i % 4096, 101,
                                     FLOW_DATAGRAM, &ended));
            assert_true(!ended.group || flows_is_weak(ended.state));
        }
        check_there(table, is6, N, 102, FLOW_DATAGRAM);
        flow_table_destroy(table);
    }
}

/* Fills a table to the last entry with flows 0, 1, ... in 'state', as far as
 * they will go in. */
static struct flow_table *
make_full_table(size_t n, bool is6, uint32_t now, enum flow_state state)
{
    struct flow_table *table = flows_create(n, is6);
    size_t capacity = flows_get_capacity(table, is6);
    struct flow_ended ended;

    for (uint32_t i = 0; flows_get_stats(table).used < capacity; i++) {
        assert_true(i < 100 * capacity);
        flows_insert(table, is6, i, 0, now, state, &ended);
    }
    return table;
}

static void
test_a_table_full_of_strong_flows_refuses_weak_ones_soon(void **state)
{
    enum { N = 200000 };

    (void) state;
    for (int is6 = 0; is6 < 2; is6++) {
        struct flow_table *table = make_full_table(20001, is6, 100,
                                                   FLOW_ESTABLISHED);
        struct flow_table_stats before = flows_get_stats(table), after;
        double began = cpu_seconds();
        struct flow_ended ended;

        for (uint32_t i = 0; i < N; i++) {
            assert_false(flows_insert(table, is6, 10000000 + i, 1, 7000,
                                      FLOW_NEW, &ended));
            assert_int_equal(ended.group, 0);
        }
        /* Typically 0.3 us. */
        assert_true(cpu_seconds() - began < N * 20e-6);
        after = flows_get_stats(table);
        assert_int_equal(after.refused - before.refused, N);
        assert_int_equal(after.evicted, before.evicted);
        assert_int_equal(after.used, flows_get_capacity(table, is6));

        /* Once they have timed out, they go. */
        for (uint32_t i = 0; i < 1000; i++) {
            assert_true(flows_insert(table, is6, 10000000 + i, 1, 7540,
                                     FLOW_NEW, &ended));
            assert_int_equal(ended.state, FLOW_ESTABLISHED);
        }
        assert_int_equal(flows_get_stats(table).expired,
                         before.expired + 1000);
        flow_table_destroy(table);
    }
}

static void
test_a_late_touch_does_not_reach_the_next_owner(void **state)
{
    struct flow_table *table = flows_create(1, false);
    struct flow_ended ended;
    struct flow_ref old, ref;

    (void) state;
    /* The same flow, on another endpoint. */
    assert_true(flows_insert(table, false, 1, 7, 100, FLOW_ESTABLISHED,
                             &ended));
    assert_true(flows_lookup(table, false, 1, 101, &old));
    assert_true(flows_insert(table, false, 1, 8, 102, FLOW_NEW, &ended));
    flow_table_touch(table, &old, 103, FLOW_CLOSING);
    assert_true(flows_lookup(table, false, 1, 103, &ref));
    assert_int_equal(ref.endpoint, 8);
    assert_int_equal(ref.state, FLOW_NEW);
    assert_int_equal(ref.idle, 1);

    /* Nobody, after a sweep. */
    flows_sweep(table, 3000);
    flow_table_touch(table, &ref, 3000, FLOW_ESTABLISHED);
    assert_false(flows_lookup(table, false, 1, 3000, &ref));
    assert_int_equal(flows_get_stats(table).used, 0);

    /* Another flow in the same place. */
    assert_true(flows_insert(table, false, 1, 7, 3000, FLOW_NEW, &ended));
    assert_true(flows_lookup(table, false, 1, 3001, &old));
    flows_sweep(table, 3240);
    for (uint32_t i = 2; flows_get_stats(table).used < 64; i++) {
        assert_true(i < 10000);
        flows_insert(table, false, i, 9, 3240, FLOW_NEW, &ended);
    }
    flow_table_touch(table, &old, 3241, FLOW_ESTABLISHED);
    struct flow_key key;
    for (uint64_t cursor = 0;
         flow_table_next(table, &cursor, 3241, &key, &ref); ) {
        assert_int_equal(ref.state, FLOW_NEW);
        assert_int_equal(ref.endpoint, 9);
        assert_int_equal(ref.idle, 1);
    }
    flow_table_destroy(table);
}

/* Flows that differ in one member of the key alone, all with one hash. */
static void
test_every_part_of_the_key_counts(void **state)
{
    static const struct flow_key keys[] = {
        { { 0, UINT64_C(0xffff0a000001) }, 1000, 80, 1 },
        { { 0, UINT64_C(0xffff0a000002) }, 1000, 80, 1 },
        { { 0, UINT64_C(0xffff0a000001) }, 1001, 80, 1 },
        { { 0, UINT64_C(0xffff0a000001) }, 1000, 81, 1 },
        { { 0, UINT64_C(0xffff0a000001) }, 1000, 80, 2 },
        { { 0, UINT64_C(0xffff0a000001) }, 1000, 80, 0xfffff },
        { { 1, UINT64_C(0xffff0a000001) }, 1000, 80, 1 },
        { { 1, UINT64_C(0xffff0a000002) }, 1000, 80, 1 },
        { { 2, UINT64_C(0xffff0a000001) }, 1000, 80, 1 },
        { { 1, UINT64_C(0xffff0a000001) }, 1001, 80, 1 },
        { { 1, UINT64_C(0xffff0a000001) }, 1000, 81, 1 },
        { { 1, UINT64_C(0xffff0a000001) }, 1000, 80, 0xfffff },
    };
    enum { N = sizeof keys / sizeof keys[0] };
    struct flow_table *table = flows_create(1, false);
    struct flow_ended ended;
    struct flow_ref ref;

    (void) state;
    for (int i = 0; i < N; i++) {
        assert_false(flow_table_lookup(table, 0, &keys[i], 0, &ref));
        assert_true(flow_table_insert(table, 0, &keys[i], i, 0, FLOW_DATAGRAM,
                                      &ended));
    }
    for (int i = 0; i < N; i++) {
        assert_true(flow_table_lookup(table, 0, &keys[i], 0, &ref));
        assert_int_equal(ref.endpoint, i);
    }
    flow_table_destroy(table);
}

static void
test_states_have_names(void **state)
{
    enum flow_state s = FLOW_SOURCE, found;

    (void) state;
    assert_string_equal(flow_state_name(FLOW_NEW), "new");
    assert_string_equal(flow_state_name(FLOW_DATAGRAM), "datagram");
    assert_string_equal(flow_state_name(N_FLOW_STATES), "unknown");
    for (enum flow_state i = FLOW_NEW; i < N_FLOW_STATES; i++) {
        assert_true(flow_state_from_name(flow_state_name(i), &found));
        assert_int_equal(found, i);
    }
    assert_false(flow_state_from_name("free", &s));
    assert_false(flow_state_from_name("claimed", &s));
    assert_false(flow_state_from_name("unknown", &s));
    assert_false(flow_state_from_name("", &s));
    assert_int_equal(s, FLOW_SOURCE);
    flow_table_destroy(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_flow_times_out_by_its_state),
        cmocka_unit_test(test_a_flow_seen_in_the_near_future_is_not_idle),
        cmocka_unit_test(test_a_table_takes_as_many_flows_as_it_was_made_for),
        cmocka_unit_test(test_a_flow_takes_less_than_twenty_bytes),
        cmocka_unit_test(test_a_flood_never_displaces_strong_flows),
        cmocka_unit_test(test_strong_flows_find_room_in_a_flood),
        cmocka_unit_test(
            test_a_table_full_of_strong_flows_refuses_weak_ones_soon),
        cmocka_unit_test(test_a_late_touch_does_not_reach_the_next_owner),
        cmocka_unit_test(test_every_part_of_the_key_counts),
        cmocka_unit_test(test_states_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
