/* anycast/flow-table.h, as one thread sees it, against a twin: an array. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "anycast/flow-table.h"
#include "tests/unit/frame.h"

static const uint32_t timeouts[N_FLOW_STATES] = {
    [FLOW_NEW] = 240,
    [FLOW_ESTABLISHED] = 2 * 3600 + 4 * 60,
    [FLOW_CLOSING] = 240,
    [FLOW_UDP] = 300,
};

/* Flow number 'i', and some hash for it. */
static struct flow_key4
make_key(uint32_t i)
{
    return (struct flow_key4) {
        .src = 0x0a000000 + i / 4,
        .src_port = 1000 + i % 4,
        .dst_port = 80,
        .group = 1 + i % 3,
    };
}

static uint64_t
make_hash(uint32_t i)
{
    uint64_t x = (i + 1) * UINT64_C(0xd6e8feb86659fd93);

    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

static bool
insert(struct flow_table *table, uint32_t i, uint16_t endpoint, uint32_t now,
       enum flow_state state)
{
    struct flow_key4 key = make_key(i);

    return flow_table_insert(table, make_hash(i), &key, endpoint, now, state);
}

static bool
lookup(const struct flow_table *table, uint32_t i, uint32_t now,
       struct flow_ref *ref)
{
    struct flow_key4 key = make_key(i);

    return flow_table_lookup(table, make_hash(i), &key, now, ref);
}

static struct flow_table_stats
get_stats(const struct flow_table *table)
{
    struct flow_table_stats stats;

    flow_table_get_stats(table, &stats);
    return stats;
}

/* The twin: what the table should say of each flow that it has. */
enum { N_KEYS = 160 };

struct twin_flow {
    bool there;
    uint16_t endpoint;
    uint32_t seen;
    enum flow_state state;
    struct flow_ref ref;        /* Where it was last found. */
};

struct twin {
    struct twin_flow flows[N_KEYS];
    uint32_t now;
};

static bool
twin_is_live(const struct twin *twin, uint32_t i)
{
    const struct twin_flow *f = &twin->flows[i];

    return f->there && twin->now - f->seen < timeouts[f->state];
}

static bool
is_weak(enum flow_state state)
{
    return state == FLOW_NEW || state == FLOW_CLOSING;
}

/* Checks that the table says of each flow what the twin says.  Returns the one
 * flow that the table has lost, or -1. */
static int
compare(const struct flow_table *table, struct twin *twin)
{
    int lost = -1;

    for (uint32_t i = 0; i < N_KEYS; i++) {
        struct twin_flow *f = &twin->flows[i];
        struct flow_ref ref;

        if (!lookup(table, i, twin->now, &ref)) {
            if (twin_is_live(twin, i)) {
                assert_int_equal(lost, -1);
                lost = i;
            }
            continue;
        }
        assert_true(twin_is_live(twin, i));
        assert_int_equal(ref.endpoint, f->endpoint);
        assert_int_equal(ref.state, f->state);
        assert_int_equal(ref.idle, twin->now - f->seen);
        f->ref = ref;
    }
    return lost;
}

/* Checks that flow 'victim' was the right one to lose to flow 'i', as far as
 * the bucket that it was in can tell. */
static void
check_victim(const struct flow_table *table, const struct twin *twin,
             uint32_t victim, uint32_t i)
{
    const struct twin_flow *v = &twin->flows[victim];
    struct flow_ref ref;

    assert_true(lookup(table, i, twin->now, &ref));
    assert_int_equal(ref.bucket, v->ref.bucket);
    assert_int_equal(ref.way, v->ref.way);
    assert_true(is_weak(v->state) || ref.state != FLOW_NEW);
    for (uint32_t k = 0; k < N_KEYS; k++) {
        const struct twin_flow *f = &twin->flows[k];

        if (k == i || k == victim || !twin_is_live(twin, k)
            || f->ref.bucket != v->ref.bucket) {
            continue;
        }
        if (is_weak(v->state)) {
            assert_true(!is_weak(f->state) || f->seen >= v->seen);
        } else {
            assert_false(is_weak(f->state));
            assert_true(f->seen >= v->seen);
        }
    }
}

static enum flow_state
random_state(void)
{
    return FLOW_NEW + frame_random() % (N_FLOW_STATES - FLOW_NEW);
}

static void
insert_in_both(struct flow_table *table, struct twin *twin, uint32_t i)
{
    struct flow_table_stats before = get_stats(table), after;
    uint16_t endpoint = frame_random() % 4096;
    enum flow_state state = random_state();
    struct twin_flow old = twin->flows[i];
    bool inserted = insert(table, i, endpoint, twin->now, state);
    int lost;

    if (inserted) {
        twin->flows[i] = (struct twin_flow) { true, endpoint, twin->now, state,
                                              old.ref };
    }
    after = get_stats(table);
    assert_int_equal(after.refused - before.refused, !inserted);
    if (!inserted) {
        assert_int_equal(state, FLOW_NEW);
        assert_int_equal(compare(table, twin), -1);
        return;
    }

    /* Before compare() notes new places: whom did it cost? */
    struct twin then = *twin;
    lost = compare(table, twin);
    assert_int_equal(after.evicted - before.evicted, lost >= 0);
    if (lost >= 0) {
        /* A move may have changed its place in the same insertion, but then
         * nobody would have been evicted. */
        check_victim(table, &then, lost, i);
        twin->flows[lost].there = false;
    }
}

static void
touch_in_both(struct flow_table *table, struct twin *twin, uint32_t i)
{
    struct twin_flow *f = &twin->flows[i];
    struct flow_ref ref;

    if (lookup(table, i, twin->now, &ref)) {
        f->state = random_state();
        f->seen = twin->now;
        flow_table_touch(table, &ref, twin->now, f->state);
    }
}

static void
check_listing(const struct flow_table *table, const struct twin *twin)
{
    bool listed[N_KEYS] = { false };
    struct flow_key4 key;
    struct flow_ref ref;
    uint64_t cursor = 0;

    while (flow_table_next(table, &cursor, twin->now, &key, &ref)) {
        uint32_t i = (key.src - 0x0a000000) * 4 + key.src_port - 1000;
        struct flow_key4 expected = make_key(i);

        assert_true(i < N_KEYS && !listed[i]);
        assert_memory_equal(&key, &expected, sizeof key);
        assert_int_equal(ref.endpoint, twin->flows[i].endpoint);
        assert_int_equal(ref.state, twin->flows[i].state);
        listed[i] = true;
    }
    for (uint32_t i = 0; i < N_KEYS; i++) {
        assert_int_equal(listed[i], twin_is_live(twin, i));
    }
}

/* A sweep leaves the live flows and nothing else. */
static void
sweep_both(struct flow_table *table, const struct twin *twin)
{
    uint64_t n = 0;

    flow_table_sweep(table, twin->now, 1 + frame_random() % 40);
    if (frame_random() % 2) {
        flow_table_sweep(table, twin->now, get_stats(table).capacity / 4);
        for (uint32_t i = 0; i < N_KEYS; i++) {
            n += twin_is_live(twin, i);
        }
        assert_int_equal(get_stats(table).used, n);
    }
}

/* 'calm': how rarely time makes a jump, so that the table gets fuller. */
static void
run_random(uint32_t start, uint32_t n_keys, uint32_t calm)
{
    struct flow_table *table = flow_table_create(56);
    struct twin twin = { .now = start };

    assert_int_equal(get_stats(table).capacity, 64);
    for (int round = 0; round < 20000; round++) {
        uint32_t i = frame_random() % n_keys;

        switch (frame_random() % 8) {
        case 0: case 1: case 2:
            insert_in_both(table, &twin, i);
            break;
        case 3: case 4:
            touch_in_both(table, &twin, i);
            break;
        case 5:
            sweep_both(table, &twin);
            break;
        case 6:
            check_listing(table, &twin);
            break;
        case 7:
            twin.now += frame_random() % calm ? frame_random() % 3
                                              : frame_random() % 8000;
            break;
        }
        assert_int_equal(compare(table, &twin), -1);
    }
    flow_table_destroy(table);
}

static void
test_random_operations_agree_with_the_twin(void **state)
{
    (void) state;
    run_random(1000, 40, 20);
    run_random(0, 70, 100);
    run_random(65000, N_KEYS, 1000);
    run_random(UINT32_MAX / 2, N_KEYS, 20);
}

static void
test_a_flow_times_out_by_its_state(void **state)
{
    static const uint32_t starts[] = { 0, 5, 60000, 65535, 65536, 1000000 };

    (void) state;
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        for (enum flow_state st = FLOW_NEW; st < N_FLOW_STATES; st++) {
            struct flow_table *table = flow_table_create(1);
            struct flow_ref ref;

            assert_true(insert(table, 1, 7, starts[s], st));
            assert_true(lookup(table, 1, starts[s] + timeouts[st] - 1, &ref));
            assert_int_equal(ref.idle, timeouts[st] - 1);
            assert_false(lookup(table, 1, starts[s] + timeouts[st], &ref));
            /* Four hours are as long as nobody may have swept. */
            assert_false(lookup(table, 1, starts[s] + 4 * 3600, &ref));
            flow_table_destroy(table);
        }
    }
}

/* One thread's clock may lag behind the one that has written the entry. */
static void
test_a_flow_seen_in_the_near_future_is_not_idle(void **state)
{
    struct flow_table *table = flow_table_create(1);
    struct flow_ref ref;

    (void) state;
    assert_true(insert(table, 1, 7, 1000, FLOW_NEW));
    assert_true(lookup(table, 1, 1000 - FLOW_MAX_SKEW, &ref));
    assert_int_equal(ref.idle, 0);

    /* Nor does the laggard set it back. */
    flow_table_touch(table, &ref, 1000 - FLOW_MAX_SKEW, FLOW_ESTABLISHED);
    assert_true(lookup(table, 1, 1001, &ref));
    assert_int_equal(ref.idle, 1);
    assert_int_equal(ref.state, FLOW_ESTABLISHED);
    flow_table_destroy(table);
}

static void
test_a_table_takes_as_many_flows_as_it_was_made_for(void **state)
{
    enum { N = 57344 };         /* 7/8 of 65536: the worst case. */
    struct flow_table *table = flow_table_create(N);
    struct flow_table_stats stats;
    struct flow_ref ref;

    (void) state;
    assert_int_equal(get_stats(table).capacity, 65536);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(insert(table, i, i % 4096, i / 1000, FLOW_UDP));
    }
    stats = get_stats(table);
    assert_int_equal(stats.used, N);
    assert_int_equal(stats.inserted, N);
    assert_int_equal(stats.evicted, 0);
    assert_int_equal(stats.refused, 0);
    for (uint32_t i = 0; i < N; i++) {
        assert_true(lookup(table, i, 60, &ref));
        assert_int_equal(ref.endpoint, i % 4096);
        assert_int_equal(ref.idle, 60 - i / 1000);
    }
    flow_table_destroy(table);
}

/* Fills a table of 64 entries to the last with flows 0, 1, ... in 'state', as
 * far as they will go in. */
static struct flow_table *
make_full_table(uint32_t now, enum flow_state state)
{
    struct flow_table *table = flow_table_create(1);

    for (uint32_t i = 0; get_stats(table).used < 64; i++) {
        assert_true(i < 10000);
        insert(table, i, 0, now, state);
    }
    return table;
}

static void
test_half_open_flows_never_displace_established_ones(void **state)
{
    struct flow_table *table = make_full_table(100, FLOW_ESTABLISHED);
    struct flow_table_stats before = get_stats(table), after;

    (void) state;
    for (uint32_t i = 20000; i < 21000; i++) {
        assert_false(insert(table, i, 1, 7000, FLOW_NEW));
    }
    after = get_stats(table);
    assert_int_equal(after.refused - before.refused, 1000);
    assert_int_equal(after.evicted, before.evicted);
    assert_int_equal(after.used, 64);

    /* Once they have timed out, they go. */
    for (uint32_t i = 20000; i < 21000; i++) {
        assert_true(insert(table, i, 1, 7540, FLOW_NEW));
    }
    assert_int_equal(get_stats(table).expired, before.expired + 64);
    flow_table_destroy(table);
}

static void
test_established_flows_displace_half_open_ones_first(void **state)
{
    struct flow_table *table = make_full_table(100, FLOW_NEW);
    struct flow_ref ref;

    (void) state;
    /* 30 flows find room among 64 without one of them getting lost. */
    for (uint32_t i = 20000; i < 20030; i++) {
        assert_true(insert(table, i, 5, 101, FLOW_ESTABLISHED));
    }
    for (uint32_t i = 20000; i < 20030; i++) {
        assert_true(lookup(table, i, 101, &ref));
        assert_int_equal(ref.endpoint, 5);
    }
    flow_table_destroy(table);
}

static void
test_a_late_touch_does_not_reach_the_next_owner(void **state)
{
    struct flow_table *table = flow_table_create(1);
    struct flow_ref old, ref;

    (void) state;
    /* The same flow, on another endpoint. */
    assert_true(insert(table, 1, 7, 100, FLOW_ESTABLISHED));
    assert_true(lookup(table, 1, 101, &old));
    assert_true(insert(table, 1, 8, 102, FLOW_NEW));
    flow_table_touch(table, &old, 103, FLOW_CLOSING);
    assert_true(lookup(table, 1, 103, &ref));
    assert_int_equal(ref.endpoint, 8);
    assert_int_equal(ref.state, FLOW_NEW);
    assert_int_equal(ref.idle, 1);

    /* Nobody, after a sweep. */
    flow_table_sweep(table, 3000, 16);
    flow_table_touch(table, &ref, 3000, FLOW_ESTABLISHED);
    assert_false(lookup(table, 1, 3000, &ref));
    assert_int_equal(get_stats(table).used, 0);

    /* Another flow in the same place. */
    assert_true(insert(table, 1, 7, 3000, FLOW_NEW));
    assert_true(lookup(table, 1, 3001, &old));
    flow_table_sweep(table, 3240, 16);
    for (uint32_t i = 2; get_stats(table).used < 64; i++) {
        assert_true(i < 10000);
        insert(table, i, 9, 3240, FLOW_NEW);
    }
    flow_table_touch(table, &old, 3241, FLOW_ESTABLISHED);
    struct flow_key4 key;
    for (uint64_t cursor = 0;
         flow_table_next(table, &cursor, 3241, &key, &ref); ) {
        assert_int_equal(ref.state, FLOW_NEW);
        assert_int_equal(ref.endpoint, 9);
        assert_int_equal(ref.idle, 1);
    }
    flow_table_destroy(table);
}

static void
test_flows_of_different_groups_are_different(void **state)
{
    struct flow_table *table = flow_table_create(1);
    struct flow_ref ref;

    (void) state;
    for (uint32_t group = 1; group <= 4; group++) {
        struct flow_key4 key = { 0x0a000001, 1000, 80, group << 17 };
        assert_true(flow_table_insert(table, 0, &key, group, 0, FLOW_UDP));
    }
    for (uint32_t group = 1; group <= 4; group++) {
        struct flow_key4 key = { 0x0a000001, 1000, 80, group << 17 };
        assert_true(flow_table_lookup(table, 0, &key, 0, &ref));
        assert_int_equal(ref.endpoint, group);
    }
    flow_table_destroy(table);
}

static void
test_states_have_names(void **state)
{
    (void) state;
    assert_string_equal(flow_state_name(FLOW_NEW), "new");
    assert_string_equal(flow_state_name(FLOW_UDP), "udp");
    assert_string_equal(flow_state_name(N_FLOW_STATES), "unknown");
    flow_table_destroy(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations_agree_with_the_twin),
        cmocka_unit_test(test_a_flow_times_out_by_its_state),
        cmocka_unit_test(test_a_flow_seen_in_the_near_future_is_not_idle),
        cmocka_unit_test(test_a_table_takes_as_many_flows_as_it_was_made_for),
        cmocka_unit_test(test_half_open_flows_never_displace_established_ones),
        cmocka_unit_test(test_established_flows_displace_half_open_ones_first),
        cmocka_unit_test(test_a_late_touch_does_not_reach_the_next_owner),
        cmocka_unit_test(test_flows_of_different_groups_are_different),
        cmocka_unit_test(test_states_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
