/* The promises of anycast/engine.h to several threads, which share a flow
 * table, sources and loads, while another one, as the agent does, publishes
 * tables and frees old ones, sweeps, imports and explains.
 *
 * Old tables and groups are freed once each thread has begun another batch
 * since they were replaced, as with RCU: each counts its batches. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/crew.h"

#ifdef __SANITIZE_THREAD__
enum { N_CHANGES = 120, N_ROUNDS = 60, N_FLOODS = 6000 };
#else
enum { N_CHANGES = 400, N_ROUNDS = 400, N_FLOODS = 40000 };
#endif

enum { UNSTEADY = 7 };           /* Goes down at times; others never do. */

/* Groups. */

static void
change_group(struct world_group *wg, uint64_t *seed)
{
    static const uint8_t states[] = {
        ENDPOINT_UP, ENDPOINT_UP, ENDPOINT_DRAINING, ENDPOINT_LOST
    };

    for (int e = CREW_HERE + 1; e < WORLD_ENDPOINTS; e++) {
        wg->states[e] = states[crew_draw(seed, 4)];
    }
    if (crew_draw(seed, 2)) {
        wg->states[UNSTEADY] = ENDPOINT_DOWN;
    }
    for (int s = 0; s < WORLD_SLOTS; s++) {
        uint16_t owner = crew_draw(seed, WORLD_ENDPOINTS);

        if (crew_draw(seed, 4) == 0 && wg->states[owner] == ENDPOINT_UP
            && owner != wg->slots[s]) {
            wg->previous[s][1] = wg->previous[s][0];
            wg->previous[s][0] = wg->slots[s];
            wg->slots[s] = owner;
        }
    }
    wg->epoch++;
}

/* Tables. */

struct retired {
    struct anycast_table *table;
    struct group *groups[WORLD_GROUPS];
};

/* Publishes the groups as they are now.  '*old' is what was there. */
static void
publish(struct crew *crew, struct retired *old)
{
    struct world *w = crew->world;

    old->table = w->table;
    memcpy(old->groups, w->built, sizeof old->groups);
    w->table = NULL;
    memset(w->built, 0, sizeof w->built);
    world_publish(w);
    __atomic_store_n(&crew->table, w->table, __ATOMIC_SEQ_CST);
}

/* Waits until nobody can have what was replaced before. */
static void
synchronize(struct crew *crew)
{
    for (int i = 0; i < CREW_WORKERS; i++) {
        uint64_t *n = &crew->workers[i].n_batches;
        uint64_t then = __atomic_load_n(n, __ATOMIC_SEQ_CST);

        while (then != UINT64_MAX
               && __atomic_load_n(n, __ATOMIC_SEQ_CST) == then) {
            sched_yield();
        }
    }
}

static void
retire(struct retired *old)
{
    anycast_table_destroy(old->table);
    for (int g = 0; g < WORLD_GROUPS; g++) {
        /* A use after this is seen even if the memory is not reused. */
        if (old->groups[g]) {
            memset(old->groups[g], 0xdd, sizeof *old->groups[g]);
        }
        group_destroy(old->groups[g]);
    }
}

static uint8_t
draw_tcp_flags(uint64_t *seed)
{
    uint32_t dice = crew_draw(seed, 32);

    return dice < 4 ? 0x02 : dice == 4 ? 0x11 : dice == 5 ? 0x04 : 0x10;
}

/* A batch of packets of flows that stand beside each other. */
static void
send_batch(struct crew_worker *w, const struct engine_world *world,
           uint64_t now_us)
{
    struct crew_item *items[ENGINE_BATCH];
    int n = 1 + crew_draw(&w->seed, ENGINE_BATCH);
    int at = crew_draw(&w->seed, CREW_FLOWS);

    for (int i = 0; i < n; i++) {
        struct crew_flow *flow = &w->flows[(at + i) % CREW_FLOWS];
        enum crew_kind kind = (flow->g % 2 && !flow->arrives
                          && crew_draw(&w->seed, 4) == 0
                          ? crew_draw(&w->seed, CREW_KINDS) : CREW_WHOLE);

        items[i] = crew_get_item(w);
        crew_make_packet(items[i], flow, kind, crew_draw(&w->seed, 4),
                    draw_tcp_flags(&w->seed));
    }
    crew_process(w, world, now_us, items, n);
}

/* A hint that moves one of the worker's flows. */
static void
send_hint(struct crew_worker *w, const struct engine_world *world,
          uint64_t now_us)
{
    struct crew_flow *flow = &w->flows[crew_draw(&w->seed, CREW_FLOWS)];
    const struct group *group = anycast_table_lookup_id(world->table,
                                                        flow->g + 1);
    const struct hint hint = {
        .group = group->id, .epoch = group->epoch, .vni = CREW_VNI,
        .src = flow->src, .src_port = flow->src_port,
        .dst_port = flow->dst_port, .endpoint = crew_draw(&w->seed, UNSTEADY),
    };
    struct mac router = engine_router_mac(CREW_VNI);
    uint8_t frame[HINT_FRAME_LEN], options[12];
    struct engine_arrival arrival;
    struct crew_item *item = crew_get_item(w);

    hint_write(frame, &hint, &router, &router, world->table->key.word);
    crew_load_item(item, frame, sizeof frame);
    item->packet.arrival = crew_arrival(group, false, options, &arrival);
    engine_process(world, &w->thread, now_us, &item->packet, 1);
    bool taken = item->packet.reason == DROP_HINT;
    /* Who has the flow on an endpoint of its own is not to be told. */
    CREW_CHECK(w, taken || (item->packet.reason == DROP_HINT_STALE
                            && group->n_local));
    if (taken && (!flow->arrives || group_uses_slots(group))) {
        /* A hint does not make more of an entry than it was. */
        flow->endpoint = (flow->arrives && flow->is_guess
                          ? -1 : hint.endpoint);
        flow->seen_s = now_us / 1000000;
    }
    w->n_hinted += taken;
    crew_settle(w, item);
}

static void *
work(void *worker_)
{
    struct crew_worker *w = worker_;
    struct engine_world world;
    uint64_t now_us;

    while (!__atomic_load_n(&w->crew->stop, __ATOMIC_RELAXED)) {
        crew_begin(w, &world, &now_us);
        crew_resume(w, &world, now_us);
        send_batch(w, &world, now_us);
        if (crew_draw(&w->seed, 8) == 0) {
            send_hint(w, &world, now_us);
        }
        if (crew_draw(&w->seed, 4) == 0) {
            engine_tick(&world, &w->thread, now_us);
        }
        crew_end(w);
    }
    __atomic_store_n(&w->n_batches, UINT64_MAX, __ATOMIC_SEQ_CST);
    return NULL;
}

/* While everything changes. */

static void
import_and_forget(struct crew *crew, uint64_t *seed)
{
    static const enum flow_state states[] = {
        FLOW_NEW, FLOW_ESTABLISHED, FLOW_CLOSING, FLOW_DATAGRAM
    };

    for (int i = 0; i < 8; i++) {
        struct flow_key key = {
            .src = inet_addr_from4(0x0a030000 + crew_draw(seed, 32)),
            .src_port = 1000, .dst_port = 80,
            .group = 1 + crew_draw(seed, WORLD_GROUPS),
        };
        uint16_t endpoint = crew_draw(seed, UNSTEADY);

        engine_import(&crew->world->engine, crew->now_us, &key, endpoint,
                      states[crew_draw(seed, 4)], crew_draw(seed, 3));
        engine_let_go(&crew->world->engine, crew->now_us, &key,
                      crew_draw(seed, UNSTEADY));
        source_table_forget(crew->world->sources, CREW_VNI, key.src);
    }
}

static void
explain_some(const struct crew *crew, uint64_t *seed)
{
    for (int i = 0; i < 8; i++) {
        const struct crew_worker *w
            = &crew->workers[crew_draw(seed, CREW_WORKERS)];
        const struct crew_flow *flow = &w->flows[crew_draw(seed, CREW_FLOWS)];
        const struct world_group *wg = &crew->world->groups[flow->g];
        const struct engine_question_flow question = {
            .vni = CREW_VNI, .protocol = wg->protocol, .src = flow->src,
            .dst = world_address(wg->address, wg->ipv6),
            .src_port = flow->src_port, .dst_port = flow->dst_port,
            .opens = crew_draw(seed, 2),
        };
        struct engine_explanation e;

        engine_explain(&crew->world->engine, crew->now_us, &question, &e);
        assert_non_null(e.group);
        assert_int_equal(e.group->id, flow->g + 1);
    }
}

static void
change(struct crew *crew)
{
    struct world *w = crew->world;
    uint64_t seed = 1;

    for (int i = 0; i < N_CHANGES; i++) {
        struct retired old;
        uint64_t step_us;

        change_group(&w->groups[crew_draw(&seed, WORLD_GROUPS)], &seed);
        publish(crew, &old);
        import_and_forget(crew, &seed);
        flow_table_sweep(w->flows, crew->now_us / 1000000,
                         flow_table_n_buckets(w->flows) / 4,
                         crew_note_ended, w->table);
        explain_some(crew, &seed);
        synchronize(crew);
        retire(&old);

        /* Nobody goes by the time before the last one any more. */
        step_us = crew_draw(&seed, CREW_SKEW_S * 1000000);
        __atomic_store_n(&crew->now_us, crew->now_us + step_us,
                         __ATOMIC_RELAXED);
        sched_yield();
    }
}

static void
check_changes(bool pickers)
{
    struct crew *crew = crew_create(pickers, false, 10000);
    pthread_t threads[CREW_WORKERS];
    uint64_t n_kept = 0, n_hinted = 0, n_held = 0;

    crew_start(crew, work, threads);
    change(crew);
    __atomic_store_n(&crew->stop, true, __ATOMIC_RELAXED);
    crew_join(crew, threads);
    for (int i = 0; i < CREW_WORKERS; i++) {
        n_kept += crew->workers[i].n_kept;
        n_hinted += crew->workers[i].n_hinted;
        n_held += crew->workers[i].n_held;
    }
    assert_true(n_kept > 1000 && n_hinted > 10 && n_held > 10);
    crew_check(crew);
    crew_destroy(crew);
}

static void
test_flows_stay_while_tables_change(void **state)
{
    (void) state;
    check_changes(false);
    check_changes(true);
}

/* A flow that all threads see at once. */

static void
send_all(struct crew_worker *w, uint8_t tcp_flags)
{
    struct engine_world world;
    uint64_t now_us;

    crew_begin(w, &world, &now_us);
    for (int at = 0; at < CREW_FLOWS; at += ENGINE_BATCH) {
        struct crew_item *items[ENGINE_BATCH];

        for (int i = 0; i < ENGINE_BATCH; i++) {
            items[i] = crew_get_item(w);
            crew_make_packet(items[i], &w->flows[at + i], CREW_WHOLE, 0,
                             tcp_flags);
        }
        crew_process(w, &world, now_us, items, ENGINE_BATCH);
    }
    crew_end(w);
}

static void
wait_for_all(const struct crew_worker *w)
{
    pthread_barrier_wait(&w->crew->barrier);
}

/* All threads have sent their packets to the same endpoints. */
static void
check_agreement(struct crew_worker *w)
{
    wait_for_all(w);
    for (int i = 0; i < CREW_FLOWS; i++) {
        bool has_entry = w->crew->world->groups[w->flows[i].g].algorithm
                         != ALGORITHM_HASH;

        CREW_CHECK(w, w->endpoints[i] == w->crew->workers[0].endpoints[i]);
        CREW_CHECK(w, !has_entry || w->endpoints[i] >= 0);
    }
    wait_for_all(w);
}

static void *
connect_and_close(void *worker)
{
    static const uint8_t ends[] = { 0x11, 0x04, 0x10 };
    struct crew_worker *w = worker;

    for (int round = 0; round < N_ROUNDS; round++) {
        wait_for_all(w);
        send_all(w, 0x02);
        wait_for_all(w);
        send_all(w, 0x10);
        check_agreement(w);
        send_all(w, ends[(round + w->seed) % 3]);
        check_agreement(w);
    }
    return NULL;
}

static void
check_one_flow_of_many(bool pickers)
{
    struct crew *crew = crew_create(pickers, true, 10000);
    pthread_t threads[CREW_WORKERS];

    crew->loose = true;
    crew_start(crew, connect_and_close, threads);
    crew_join(crew, threads);
    crew_check(crew);
    crew_destroy(crew);
}

static void
test_threads_agree_on_a_flow_that_each_of_them_sees(void **state)
{
    (void) state;
    check_one_flow_of_many(false);
    check_one_flow_of_many(true);
}

/* More flows than there is room for. */

static void *
flood(void *worker_)
{
    struct crew_worker *w = worker_;
    struct engine_world world;
    uint64_t now_us;

    crew_begin(w, &world, &now_us);
    for (int i = 0; i < N_FLOODS; i++) {
        struct crew_flow *flow = &w->flows[crew_draw(&w->seed, CREW_FLOWS)];
        struct crew_item *item = crew_get_item(w);

        crew_make_packet(item, flow, CREW_WHOLE, 0, draw_tcp_flags(&w->seed));
        crew_process(w, &world, now_us, &item, 1);
    }
    return NULL;
}

static void
test_counts_are_right_when_the_table_is_full(void **state)
{
    struct crew *crew = crew_create(false, false, 1);
    struct flow_table_stats stats;
    pthread_t threads[CREW_WORKERS];

    (void) state;
    crew->loose = true;
    crew_start(crew, flood, threads);
    crew_join(crew, threads);
    flow_table_get_stats(crew->world->flows, &stats);
    assert_true(stats.evicted > 100);
    crew_check(crew);
    crew_destroy(crew);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flows_stay_while_tables_change),
        cmocka_unit_test(test_threads_agree_on_a_flow_that_each_of_them_sees),
        cmocka_unit_test(test_counts_are_right_when_the_table_is_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
