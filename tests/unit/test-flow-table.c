/* anycast/flow-table.h, as one thread sees it, against a twin: an array. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "anycast/flow-table.h"
#include "tests/unit/flow-keys.h"

static const uint32_t timeouts[N_FLOW_STATES] = {
    [FLOW_NEW] = 240,
    [FLOW_UNPROVEN] = 240,
    [FLOW_CLOSING] = 240,
    [FLOW_ESTABLISHED] = 2 * 3600 + 4 * 60,
    [FLOW_DATAGRAM] = 300,
    [FLOW_SOURCE] = 4 * 3600,
};

static uint64_t random_seed = 1;

static uint32_t
get_random(void)
{
    return flow_keys_random(&random_seed);
}

static bool
insert(struct flow_table *table, bool is6, uint32_t i, uint16_t endpoint,
       uint32_t now, enum flow_state state, struct flow_ended *ended)
{
    struct flow_key key = flow_keys_make(i, is6);

    return flow_table_insert(table, flow_keys_hash(i, 0), &key, endpoint, now,
                             state, ended);
}

/* Flows of IPv4 found, and those of them that a query could read. */
static uint64_t n_found, n_read;

static bool
query(const struct flow_table *table, uint64_t hash, uint64_t word,
      uint32_t group, uint32_t now, struct flow_ref *ref)
{
    struct flow_query q;

    flow_query_begin(table, &q, hash, word);
    if (!flow_query_first(&q)) {
        flow_query_turn(table, &q, hash);
        flow_query_second(&q);
    }
    return flow_query_read(&q, group, now, ref);
}

static bool
lookup(const struct flow_table *table, bool is6, uint32_t i, uint32_t now,
       struct flow_ref *ref)
{
    struct flow_key key = flow_keys_make(i, is6);
    uint64_t hash = flow_keys_hash(i, 0);
    struct flow_ref ref4;
    bool found = flow_table_lookup(table, hash, &key, now, ref);

    if (!is6) {
        uint64_t word = (0x0a000000 + (uint64_t) i / 4) << 32
                        | (1000 + i % 4) << 16 | 80;

        if (query(table, hash, word, key.group, now, &ref4)) {
            assert_true(found && ref4.entry == ref->entry
                        && ref4.word == ref->word);
            n_read++;
        }
        n_found += found;
        flow_table_prefetch4(table, hash);
        assert_int_equal(flow_table_lookup4(table, hash, word, key.group, now,
                                            &ref4), found);
        if (found) {
            assert_true(ref4.entry == ref->entry && ref4.word == ref->word
                        && ref4.endpoint == ref->endpoint
                        && ref4.idle == ref->idle && ref4.state == ref->state
                        && !ref4.is6);
        }
    } else {
        flow_table_prefetch6(table, hash);
        assert_true(!found || ref->is6);
    }
    return found;
}

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

static struct flow_table_stats
get_stats(const struct flow_table *table)
{
    struct flow_table_stats stats;

    flow_table_get_stats(table, &stats);
    return stats;
}

/* Entries of one kind. */
static size_t
get_capacity(const struct flow_table *table, bool is6)
{
    struct flow_table_stats stats = get_stats(table);

    return is6 ? stats.capacity6 : stats.capacity - stats.capacity6;
}

static void
ignore(const struct flow_ended *ended, void *aux)
{
    (void) ended;
    (void) aux;
}

static void
sweep_all(struct flow_table *table, uint32_t now)
{
    flow_table_sweep(table, now, flow_table_n_buckets(table), ignore, NULL);
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

    return f->there && twin->now - f->seen < timeouts[f->state];
}

static bool
is_weak(enum flow_state state)
{
    return (state == FLOW_NEW || state == FLOW_UNPROVEN
            || state == FLOW_CLOSING);
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

        if (!lookup(table, twin->is6, i, twin->now, &ref)) {
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

    assert_true(lookup(table, then->is6, i, then->now, &ref));
    assert_true(is_weak(v->state) || !is_weak(ref.state));
    /* It gave its place to the new flow, or to one that moved there. */
    if (!is_weak(v->state) || is_weak(ref.state)) {
        assert_int_equal(ref.entry, v->ref.entry);
    }
    for (uint32_t k = 0; k < N_KEYS; k++) {
        const struct twin_flow *f = &then->flows[k];

        if (k == i || k == victim || !twin_is_live(then, k)
            || get_bucket(then, &f->ref) != get_bucket(then, &v->ref)) {
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
    struct flow_table_stats before = get_stats(table), after;
    uint16_t endpoint = get_random() % N_ENDPOINTS;
    enum flow_state state = random_state();
    struct twin then = *twin;
    struct flow_ended ended;
    bool inserted = insert(table, twin->is6, i, endpoint, twin->now, state,
                           &ended);
    int lost;

    after = get_stats(table);
    assert_int_equal(after.refused - before.refused, !inserted);
    if (ended.group) {
        twin_end(&ended, twin);
    }
    if (!inserted) {
        assert_true(is_weak(state));
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

    if (lookup(table, twin->is6, i, twin->now, &ref)) {
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
    assert_int_equal(get_stats(table).used, n);
    assert_memory_equal(twin->counts, counts, sizeof counts);
}

/* 'calm': how rarely time makes a jump, so that the table gets fuller. */
static void
run_random(bool is6, uint32_t start, uint32_t n_keys, uint32_t calm)
{
    struct flow_table *table = create(1, is6);
    struct twin twin = { .is6 = is6, .now = start };

    assert_int_equal(get_capacity(table, is6), 64);
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
    assert_true(n_read > n_found / 10 * 9);
}

static void
test_a_flow_times_out_by_its_state(void **state)
{
    static const uint32_t starts[] = { 0, 5, 60000, 65535, 65536, 1000000 };

    (void) state;
    for (size_t s = 0; s < sizeof starts / sizeof starts[0]; s++) {
        for (enum flow_state st = FLOW_NEW; st < N_FLOW_STATES; st++) {
            for (int is6 = 0; is6 < 2; is6++) {
                struct flow_table *table = create(1, is6);
                uint32_t start = starts[s], t = timeouts[st];
                struct flow_ended ended;
                struct flow_ref ref;

                assert_true(insert(table, is6, 1, 7, start, st, &ended));
                assert_true(lookup(table, is6, 1, start + t - 1, &ref));
                assert_int_equal(ref.idle, t - 1);
                assert_false(lookup(table, is6, 1, start + t, &ref));
                /* Four hours are as long as nobody may have swept. */
                assert_false(lookup(table, is6, 1, start + t + 4 * 3600,
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
        struct flow_table *table = create(1, is6);
        struct flow_ended ended;
        struct flow_ref ref;

        assert_true(insert(table, is6, 1, 7, 1000, FLOW_NEW, &ended));
        assert_true(lookup(table, is6, 1, 1000 - FLOW_MAX_SKEW, &ref));
        assert_int_equal(ref.idle, 0);

        /* Nor does the laggard set it back. */
        flow_table_touch(table, &ref, 1000 - FLOW_MAX_SKEW, FLOW_ESTABLISHED);
        assert_true(lookup(table, is6, 1, 1001, &ref));
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
    struct flow_table *table = create(n, is6);
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
    stats = get_stats(table);
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

        assert_true(lookup(table, is6, i, now, &ref));
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
    uint32_t n = 2 * get_capacity(table, is6);
    uint64_t n_refused = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct flow_ended ended;

        n_refused += !insert(table, is6, 1000000 + i, 1, now, states[i % 3],
                             &ended);
        assert_true(!ended.group || is_weak(ended.state));
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
            struct flow_table *table = create(N, is6);
            struct flow_ended ended;

            for (uint32_t i = 0; i < N; i++) {
                assert_true(insert(table, is6, i, i % 4096, 100, st, &ended));
            }
            flood(table, is6, 390);
            check_there(table, is6, N, 390, st);
            /* Nor later, when the flood's own have timed out. */
            flood(table, is6, 100 + timeouts[st] - 1);
            check_there(table, is6, N, 100 + timeouts[st] - 1, st);
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
        struct flow_table *table = create(N, is6);
        struct flow_ended ended;

        flood(table, is6, 100);
        assert_true(get_stats(table).used
                    > get_capacity(table, is6) / 20 * 19);
        for (uint32_t i = 0; i < N; i++) {
            assert_true(insert(table, is6, i, i % 4096, 101, FLOW_DATAGRAM,
                               &ended));
            assert_true(!ended.group || is_weak(ended.state));
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
    struct flow_table *table = create(n, is6);
    size_t capacity = get_capacity(table, is6);
    struct flow_ended ended;

    for (uint32_t i = 0; get_stats(table).used < capacity; i++) {
        assert_true(i < 100 * capacity);
        insert(table, is6, i, 0, now, state, &ended);
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
        struct flow_table_stats before = get_stats(table), after;
        double began = cpu_seconds();
        struct flow_ended ended;

        for (uint32_t i = 0; i < N; i++) {
            assert_false(insert(table, is6, 10000000 + i, 1, 7000, FLOW_NEW,
                                &ended));
            assert_int_equal(ended.group, 0);
        }
        /* Typically 0.3 us. */
        assert_true(cpu_seconds() - began < N * 20e-6);
        after = get_stats(table);
        assert_int_equal(after.refused - before.refused, N);
        assert_int_equal(after.evicted, before.evicted);
        assert_int_equal(after.used, get_capacity(table, is6));

        /* Once they have timed out, they go. */
        for (uint32_t i = 0; i < 1000; i++) {
            assert_true(insert(table, is6, 10000000 + i, 1, 7540, FLOW_NEW,
                               &ended));
            assert_int_equal(ended.state, FLOW_ESTABLISHED);
        }
        assert_int_equal(get_stats(table).expired, before.expired + 1000);
        flow_table_destroy(table);
    }
}

static void
test_a_late_touch_does_not_reach_the_next_owner(void **state)
{
    struct flow_table *table = create(1, false);
    struct flow_ended ended;
    struct flow_ref old, ref;

    (void) state;
    /* The same flow, on another endpoint. */
    assert_true(insert(table, false, 1, 7, 100, FLOW_ESTABLISHED, &ended));
    assert_true(lookup(table, false, 1, 101, &old));
    assert_true(insert(table, false, 1, 8, 102, FLOW_NEW, &ended));
    flow_table_touch(table, &old, 103, FLOW_CLOSING);
    assert_true(lookup(table, false, 1, 103, &ref));
    assert_int_equal(ref.endpoint, 8);
    assert_int_equal(ref.state, FLOW_NEW);
    assert_int_equal(ref.idle, 1);

    /* Nobody, after a sweep. */
    sweep_all(table, 3000);
    flow_table_touch(table, &ref, 3000, FLOW_ESTABLISHED);
    assert_false(lookup(table, false, 1, 3000, &ref));
    assert_int_equal(get_stats(table).used, 0);

    /* Another flow in the same place. */
    assert_true(insert(table, false, 1, 7, 3000, FLOW_NEW, &ended));
    assert_true(lookup(table, false, 1, 3001, &old));
    sweep_all(table, 3240);
    for (uint32_t i = 2; get_stats(table).used < 64; i++) {
        assert_true(i < 10000);
        insert(table, false, i, 9, 3240, FLOW_NEW, &ended);
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
    struct flow_table *table = create(1, false);
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
        cmocka_unit_test(test_random_operations_agree_with_the_twin),
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
