/* anycast/flow-table.h, as one thread sees it, against a twin: an array. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/flow-keys.h"
#include "tests/unit/flows.h"

static uint64_t random_seed = 1;

static uint32_t
get_random(void)
{
    return flow_keys_random(&random_seed);
}

/* The twin: what the table should say of each flow that it has, and how many
 * entries there should be of each endpoint. */
enum { N_KEYS = 160, N_ENDPOINTS = 12 };

struct twin_flow {
    bool there;
    uint16_t endpoint;
    uint32_t seen;
    enum flow_state state;
    struct flow_ref ref;        /* Where it was last found. */
};

struct twin {
    bool is6;
    struct twin_flow flows[N_KEYS];
    int counts[FLOW_KEYS_GROUPS + 1][N_ENDPOINTS];
    uint32_t now;
};

static bool
twin_is_live(const struct twin *twin, uint32_t i)
{
    const struct twin_flow *f = &twin->flows[i];

    return f->there && twin->now - f->seen < flows_timeouts[f->state];
}

static void
twin_end(const struct flow_ended *ended, void *twin_)
{
    struct twin *twin = twin_;

    assert_true(ended->group && ended->endpoint < N_ENDPOINTS);
    assert_true(--twin->counts[ended->group][ended->endpoint] >= 0);
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

        if (!flows_lookup(table, twin->is6, i, twin->now, &ref)) {
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

/* Buckets are aligned to their size. */
static uint64_t
get_bucket(const struct twin *twin, const struct flow_ref *ref)
{
    return ref->entry / (twin->is6 ? 128 : 64);
}

/* Checks that flow 'victim' was the right one to lose to flow 'i', as far as
 * the bucket that it was in can tell.  'then' is from before. */
static void
check_victim(const struct flow_table *table, const struct twin *then,
             uint32_t victim, uint32_t i)
{
    const struct twin_flow *v = &then->flows[victim];
    struct flow_ref ref;

    assert_true(flows_lookup(table, then->is6, i, then->now, &ref));
    assert_true(flows_is_weak(v->state) || !flows_is_weak(ref.state));
    /* It gave its place to the new flow, or to one that moved there. */
    if (!flows_is_weak(v->state) || flows_is_weak(ref.state)) {
        assert_int_equal(ref.entry, v->ref.entry);
    }
    for (uint32_t k = 0; k < N_KEYS; k++) {
        const struct twin_flow *f = &then->flows[k];

        if (k == i || k == victim || !twin_is_live(then, k)
            || get_bucket(then, &f->ref) != get_bucket(then, &v->ref)) {
            continue;
        }
        if (flows_is_weak(v->state)) {
            assert_true(!flows_is_weak(f->state) || f->seen >= v->seen);
        } else {
            assert_false(flows_is_weak(f->state));
            assert_true(f->seen >= v->seen);
        }
    }
}

static enum flow_state
random_state(void)
{
    return FLOW_NEW + get_random() % (N_FLOW_STATES - FLOW_NEW);
}

/* Checks what an insertion of flow 'i' says that it ended; 'old' is the flow
 * in the twin before, 'lost' another flow that is not in the table any more,
 * or -1. */
static void
check_ended(const struct twin *then, const struct flow_ended *ended,
            uint32_t i, uint16_t endpoint, int lost)
{
    const struct twin_flow *old = &then->flows[i];
    bool live = twin_is_live(then, i);

    assert_int_equal(ended->renewed, live && old->endpoint == endpoint);
    if (live) {
        assert_int_equal(lost, -1);
        assert_int_equal(ended->state, old->state);
        assert_int_equal(ended->group, (old->endpoint == endpoint ? 0
                                        : 1 + i % FLOW_KEYS_GROUPS));
        assert_int_equal(ended->endpoint, old->endpoint);
    } else if (lost >= 0) {
        assert_int_equal(ended->group, 1 + lost % FLOW_KEYS_GROUPS);
        assert_int_equal(ended->endpoint, then->flows[lost].endpoint);
        assert_int_equal(ended->state, then->flows[lost].state);
    }
}

static void
insert_in_both(struct flow_table *table, struct twin *twin, uint32_t i)
{
    struct flow_table_stats before = flows_get_stats(table), after;
    uint16_t endpoint = get_random() % N_ENDPOINTS;
    enum flow_state state = random_state();
    struct twin then = *twin;
    struct flow_ended ended;
    bool inserted = flows_insert(table, twin->is6, i, endpoint, twin->now,
                                 state, &ended);
    int lost;

    after = flows_get_stats(table);
    assert_int_equal(after.refused - before.refused, !inserted);
    if (ended.group) {
        twin_end(&ended, twin);
    }
    if (!inserted) {
        assert_true(flows_is_weak(state));
        assert_int_equal(ended.group, 0);
        assert_int_equal(compare(table, twin), -1);
        return;
    }

    twin->flows[i] = (struct twin_flow) { true, endpoint, twin->now, state,
                                          then.flows[i].ref };
    twin->counts[1 + i % FLOW_KEYS_GROUPS][endpoint] += !ended.renewed;
    lost = compare(table, twin);
    check_ended(&then, &ended, i, endpoint, lost);
    assert_int_equal(after.evicted - before.evicted, lost >= 0);
    if (lost >= 0) {
        check_victim(table, &then, lost, i);
        twin->flows[lost].there = false;
    }
}

static void
touch_in_both(struct flow_table *table, struct twin *twin, uint32_t i)
{
    struct twin_flow *f = &twin->flows[i];
    struct flow_ref ref;

    if (flows_lookup(table, twin->is6, i, twin->now, &ref)) {
        f->state = random_state();
        f->seen = twin->now;
        flow_table_touch(table, &ref, twin->now, f->state);
    }
}

static void
check_listing(const struct flow_table *table, const struct twin *twin)
{
    bool listed[N_KEYS] = { false };
    struct flow_key key;
    struct flow_ref ref;
    uint64_t cursor = 0;

    while (flow_table_next(table, &cursor, twin->now, &key, &ref)) {
        uint32_t i = flow_keys_number(&key);
        struct flow_key expected = flow_keys_make(i, twin->is6);

        assert_true(i < N_KEYS && !listed[i]);
        assert_memory_equal(&key, &expected, sizeof key);
        assert_int_equal(ref.is6, twin->is6);
        assert_int_equal(ref.endpoint, twin->flows[i].endpoint);
        assert_int_equal(ref.state, twin->flows[i].state);
        listed[i] = true;
    }
    for (uint32_t i = 0; i < N_KEYS; i++) {
        assert_int_equal(listed[i], twin_is_live(twin, i));
    }
}

/* A sweep leaves the live flows and nothing else; and then the entries of each
 * endpoint are its insertions less what has ended. */
static void
sweep_both(struct flow_table *table, struct twin *twin)
{
    int counts[FLOW_KEYS_GROUPS + 1][N_ENDPOINTS] = { { 0 } };
    uint64_t n = 0;

    flow_table_sweep(table, twin->now, 1 + get_random() % 40, twin_end, twin);
    if (get_random() % 2) {
        return;
    }
    flow_table_sweep(table, twin->now, flow_table_n_buckets(table), twin_end,
                     twin);
    for (uint32_t i = 0; i < N_KEYS; i++) {
        if (twin_is_live(twin, i)) {
            counts[1 + i % FLOW_KEYS_GROUPS][twin->flows[i].endpoint]++;
            n++;
        }
    }
    assert_int_equal(flows_get_stats(table).used, n);
    assert_memory_equal(twin->counts, counts, sizeof counts);
}

/* 'calm': how rarely time makes a jump, so that the table gets fuller. */
static void
run_random(bool is6, uint32_t start, uint32_t n_keys, uint32_t calm)
{
    struct flow_table *table = flows_create(1, is6);
    struct twin twin = { .is6 = is6, .now = start };

    assert_int_equal(flows_get_capacity(table, is6), 64);
    for (int round = 0; round < 15000; round++) {
        uint32_t i = get_random() % n_keys;

        switch (get_random() % 8) {
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
            twin.now += get_random() % calm ? get_random() % 3
                                            : get_random() % 8000;
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
    for (int is6 = 0; is6 < 2; is6++) {
        run_random(is6, 1000, 40, 20);
        run_random(is6, 0, 70, 100);
        run_random(is6, 65000, N_KEYS, 1000);
        run_random(is6, UINT32_MAX / 2, N_KEYS, 20);
    }
    assert_true(flows_n_read > flows_n_found / 10 * 9);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations_agree_with_the_twin),
    };

    return cmocka_run_group_tests_name("flow-twin", tests, NULL, NULL);
}
