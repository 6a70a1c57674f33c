/* The flow table under many interleavings of its threads, each the same in
 * every run.  The production files are compiled in here, with a step before
 * each access to a shared word at which one "thread", a coroutine, may be made
 * to wait for others.  Memory is sequentially consistent here; what it may be
 * besides, ThreadSanitizer checks (test-flow-threads). */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

static void take_step(void);
#define FLOW_STEP() take_step()

#include "anycast/flow-insert.c"
#include "anycast/flow-memory.c"
#include "anycast/flow-room.c"
#include "anycast/flow-table.c"
#include "tests/unit/flow-keys.h"

enum {
    N_ACTORS  = 3,
    N_OPS     = 80,             /* Of each actor in a round, ... */
    N_ROUNDS  = 2500,           /* ... and rounds with one table. */
    N_SETTLED = 16,             /* Flows that nobody ends, ... */
    N_OWN     = 16,             /* ... and such as each actor inserts. */
    STACK     = 256 * 1024,
};

/* The table is made for 56 flows.  Strong ones: N_SETTLED and, of its own
 * ones, each actor's first N_STRONG. */
enum { N_STRONG = 4 };

struct actor {
    ucontext_t context;
    char *stack;
    unsigned int number;
    bool is_done;
};

static struct {
    struct flow_table *table;
    bool is6;
    uint32_t now;
    uint64_t seed, hash_seed;
    uint64_t n_steps;
    uint32_t n_left;            /* Steps until the next switch. */
    ucontext_t scheduler;
    struct actor actors[N_ACTORS], *current;
    unsigned int n_running;
    int64_t counts[4096];       /* By endpoint: entries there should be. */
    uint64_t n_refused, n_moved;
} world;

static void
take_step(void)
{
    world.n_steps++;
    if (world.current && !world.n_left--) {
        swapcontext(&world.current->context, &world.scheduler);
    }
}

/* All flows are of one group, so that only the key tells them apart.  Each may
 * be on one of 32 endpoints, which tell what flow it is. */
static struct flow_key
make_key(uint32_t i)
{
    struct flow_key key = flow_keys_make(i, world.is6);

    key.group = 1;
    return key;
}

static uint16_t
make_endpoint(uint32_t i, uint32_t version)
{
    return i % 128 * 32 + version % 32;
}

/* A quarter of the buckets is first to all flows, so that many have to
 * move. */
static uint64_t
make_hash(uint32_t i)
{
    return flow_keys_hash(i, world.hash_seed) & ~(UINT64_C(3) << 30);
}

static void
count_ended(const struct flow_ended *ended, void *aux)
{
    (void) aux;
    world.counts[ended->endpoint]--;
}

static void
insert_flow(uint32_t i, uint16_t endpoint, enum flow_state state)
{
    struct flow_key key = make_key(i);
    struct flow_ended ended;

    if (flow_table_insert(world.table, make_hash(i), &key, endpoint,
                          world.now, state, &ended)) {
        world.counts[endpoint] += !ended.renewed;
    } else {
        world.n_refused++;
    }
    if (ended.group) {
        count_ended(&ended, NULL);
    }
}

/* The short way; false if it leads nowhere. */
static bool
begin_flow(uint32_t i, uint16_t endpoint, enum flow_state state)
{
    struct flow_key key = make_key(i);

    if (world.is6
        || !flow_table_begin4(world.table, make_hash(i),
                              (uint64_t) inet_addr_to4(key.src) << 32
                              | flow_key_ports(&key), key.group, endpoint,
                              world.now, state)) {
        return false;
    }
    flow_table_count_begun(world.table, 1);
    world.counts[endpoint]++;
    return true;
}

/* Looks flow 'i' up, in one of two ways. */
static bool
look_up(uint32_t i, struct flow_ref *ref)
{
    struct flow_key key = make_key(i);
    uint64_t hash = make_hash(i);
    bool found = flow_table_lookup(world.table, hash, &key, world.now, ref);

    if (found) {
        assert_int_equal(ref->endpoint / 32, i % 128);
    }
    return found;
}

/* Numbers: first those of the settled flows, then each actor's own. */
static void
act(struct actor *actor)
{
    uint32_t dice = flow_keys_random(&world.seed);
    uint32_t own = flow_keys_random(&world.seed) % N_OWN;
    uint32_t settled = flow_keys_random(&world.seed) % N_SETTLED;
    uint32_t i = N_SETTLED + actor->number * N_OWN + own;
    enum flow_state begins;
    struct flow_ref ref;

    switch (dice % 8) {
    case 0: case 1: case 2:
        begins = own < N_STRONG ? FLOW_DATAGRAM : FLOW_NEW;
        if (dice % 8 == 2
            || !begin_flow(i, make_endpoint(i, dice / 8), begins)) {
            insert_flow(i, make_endpoint(i, dice / 8), begins);
        }
        break;
    case 3: case 4:
        assert_true(look_up(settled, &ref));
        assert_int_equal(ref.state, FLOW_ESTABLISHED);
        flow_table_touch(world.table, &ref, world.now, FLOW_ESTABLISHED);
        break;
    case 5:
        /* A settled flow changes its endpoint. */
        insert_flow(actor->number, make_endpoint(actor->number, dice / 8),
                    FLOW_ESTABLISHED);
        break;
    case 6:
        if (look_up(N_SETTLED + dice / 8 % (N_ACTORS * N_OWN), &ref)) {
            flow_table_touch(world.table, &ref, world.now, ref.state);
        }
        break;
    case 7:
        if (actor->number == 0) {
            world.now += flow_keys_random(&world.seed) % 4;
            flow_table_sweep(world.table, world.now, 4, count_ended, NULL);
        }
        break;
    }
}

static void
run_actor(void)
{
    struct actor *actor = world.current;

    for (int i = 0; i < N_OPS; i++) {
        act(actor);
    }
    actor->is_done = true;
    world.n_running--;
    world.current = NULL;
}

static void
start_actor(struct actor *actor)
{
    getcontext(&actor->context);
    actor->context.uc_stack.ss_sp = actor->stack;
    actor->context.uc_stack.ss_size = STACK;
    actor->context.uc_link = &world.scheduler;
    actor->is_done = false;
    makecontext(&actor->context, run_actor, 0);
}

/* Lets all actors act, in turns. */
static void
run_round(void)
{
    for (unsigned int i = 0; i < N_ACTORS; i++) {
        world.actors[i].number = i;
        start_actor(&world.actors[i]);
    }
    world.n_running = N_ACTORS;
    while (world.n_running) {
        struct actor *actor
            = &world.actors[flow_keys_random(&world.seed) % N_ACTORS];

        if (!actor->is_done) {
            /* A few steps, or many. */
            uint32_t bits = flow_keys_random(&world.seed) % 8;

            world.n_left = flow_keys_random(&world.seed) % (1u << bits);
            world.current = actor;
            swapcontext(&world.scheduler, &actor->context);
            world.current = NULL;
        }
    }
}

/* Nothing is under way: no entry is claimed or moving, no flow twice in the
 * table, and each endpoint has the entries that it should have. */
static void
check_quiet(void)
{
    int64_t counts[4096] = { 0 };
    bool listed[N_SETTLED + N_ACTORS * N_OWN] = { false };
    struct flow_table_stats stats;
    struct flow_key key;
    struct flow_ref ref;
    uint64_t cursor = 0, n = 0;

    flow_table_sweep(world.table, world.now, flow_table_n_buckets(world.table),
                     count_ended, NULL);
    while (flow_table_next(world.table, &cursor, world.now, &key, &ref)) {
        uint32_t i = flow_keys_number(&key);

        assert_false(listed[i]);
        listed[i] = true;
        counts[ref.endpoint]++;
        n++;
    }
    flow_table_get_stats(world.table, &stats);
    assert_int_equal(stats.used, n);
    assert_memory_equal(world.counts, counts, sizeof counts);
}

static void
run_world(bool is6, uint64_t seed)
{
    struct flow_table_size size = { 1, 1 };

    memset(&world, 0, sizeof world);
    world.table = flow_table_create(&size);
    world.is6 = is6;
    world.seed = seed;
    world.hash_seed = seed;
    for (int i = 0; i < N_ACTORS; i++) {
        world.actors[i].stack = malloc(STACK);
    }
    for (uint32_t i = 0; i < N_SETTLED; i++) {
        insert_flow(i, make_endpoint(i, 0), FLOW_ESTABLISHED);
    }
    for (int round = 0; round < N_ROUNDS; round++) {
        run_round();
        check_quiet();
        world.now += flow_keys_random(&world.seed) % 700;
    }
    world.n_moved = (is6 ? world.table->area6 : world.table->area4)
                    .n_moved_back;
    for (int i = 0; i < N_ACTORS; i++) {
        free(world.actors[i].stack);
    }
    flow_table_destroy(world.table);
}

static void
test_no_interleaving_loses_doubles_or_miscounts_a_flow(void **state)
{
    (void) state;
    for (unsigned int seed = 0; seed < 4; seed++) {
        run_world(seed % 2, seed);
        assert_true(world.n_moved > 0);
    }
}

/* A table full of strong flows, far larger than what an insertion may look
 * at. */
static void
test_an_insertion_has_a_bound(void **state)
{
    enum { N = 20000, MAX_STEPS = 3000, MAX_WEAK_MEAN = 300 };
    struct flow_table_size size = { N, 1 };
    uint64_t most = 0, weak_sum = 0;

    (void) state;
    memset(&world, 0, sizeof world);
    world.table = flow_table_create(&size);
    for (uint32_t i = 0; i < 4 * N; i++) {
        struct flow_key key = make_key(i);
        bool strong = i < 3 * N;
        struct flow_ended ended;

        world.n_steps = 0;
        flow_table_insert(world.table, flow_keys_hash(i, 0), &key, 1, 1,
                          strong ? FLOW_ESTABLISHED : FLOW_NEW, &ended);
        most = world.n_steps > most ? world.n_steps : most;
        weak_sum += strong ? 0 : world.n_steps;
    }
    assert_true(most < MAX_STEPS);
    assert_true(weak_sum / N < MAX_WEAK_MEAN);
    flow_table_destroy(world.table);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_no_interleaving_loses_doubles_or_miscounts_a_flow),
        cmocka_unit_test(test_an_insertion_has_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
