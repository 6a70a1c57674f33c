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

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/world.h"

#ifdef __SANITIZE_THREAD__
enum { N_CHANGES = 120, N_ROUNDS = 60, N_FLOODS = 6000 };
#else
enum { N_CHANGES = 400, N_ROUNDS = 400, N_FLOODS = 40000 };
#endif

enum {
    N_WORKERS = 3,
    N_FLOWS   = 96,             /* Of each worker. */
    N_ITEMS   = FRAGMENTS_HELD * 2 + ENGINE_BATCH,
    FRESH_S   = 150,            /* A flow seen that long ago must be known. */
    MAX_STEP_S = 40,            /* How far clocks differ, less than FRESH_S
                                 * below all timeouts. */
    HERE      = 0,              /* Always up, on this host. */
    UNSTEADY  = 7,              /* Goes down at times; others never do. */
};

enum kind { WHOLE, FIRST, LATER, N_KINDS };

/* A flow of one worker, or of all. */
struct flow {
    int g;
    bool arrives;               /* Out of a tunnel. */
    struct inet_addr src;
    uint16_t src_port, dst_port;
    struct {
        uint8_t data[256];
        size_t size;
    } frames[N_KINDS];

    /* What its worker expects. */
    int endpoint;               /* -1: nothing. */
    uint32_t seen_s;
};

struct item {
    struct flow *flow;
    bool out;                   /* With the engine. */
    bool opens;
    uint8_t buffer[WORLD_HEADROOM + 256];
    struct engine_packet packet;
};

struct scene;

struct worker {
    struct scene *scene;
    uint64_t seed;
    struct engine_thread thread;
    struct flow *flows;
    struct item items[N_ITEMS];
    uint64_t n_batches;         /* Shared; UINT64_MAX: has ended. */
    uint64_t n_settled;         /* Packets with a verdict. */
    uint64_t n_kept, n_hinted, n_held;
    int endpoints[N_FLOWS];     /* Where the last packet went. */
    int error;                  /* Line of the first failed check. */
};

struct scene {
    struct world *world;
    const struct anycast_table *table; /* Shared. */
    uint64_t now_us;            /* Shared. */
    bool stop;                  /* Shared. */
    bool loose;                 /* Flows may get lost. */
    pthread_barrier_t barrier;
    struct worker *workers;
};

#define CHECK(W, X) \
    do { if (!(X) && !(W)->error) { (W)->error = __LINE__; } } while (0)

static uint32_t
draw(uint64_t *seed, uint32_t n)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    return (z >> 32) % n;
}

/* Groups. */

static void
describe_groups(struct world *w, bool pickers)
{
    static const enum group_algorithm algorithms[2][WORLD_GROUPS] = {
        { ALGORITHM_WEIGHTED, ALGORITHM_ROUND_ROBIN,
          ALGORITHM_LEAST_CONNECTIONS, ALGORITHM_HASH },
        { ALGORITHM_LOWEST_RESPONSE_TIME, ALGORITHM_NEAREST,
          ALGORITHM_AVAILABILITY, ALGORITHM_WEIGHTED },
    };

    for (int g = 0; g < WORLD_GROUPS; g++) {
        struct world_group *wg = &w->groups[g];

        wg->vni = 5001;
        wg->protocol = g % 2 ? 17 : 6;
        wg->port = 80 + g;
        wg->ipv6 = g == 2;
        wg->algorithm = algorithms[pickers][g];
        wg->n_endpoints = WORLD_ENDPOINTS;
        wg->hosts[HERE] = 0;
        wg->hosts[3] = 2;
    }
    w->groups[0].flags = GROUP_RESET_LOST;
    if (pickers) {
        w->groups[1].flags = GROUP_MEASURED;
        w->groups[2].ramp = 30;
        w->groups[3].affinity = AFFINITY_SOURCE;
    }
}

static void
change_group(struct world_group *wg, uint64_t *seed)
{
    static const uint8_t states[] = {
        ENDPOINT_UP, ENDPOINT_UP, ENDPOINT_DRAINING, ENDPOINT_LOST
    };

    for (int e = HERE + 1; e < WORLD_ENDPOINTS; e++) {
        wg->states[e] = states[draw(seed, 4)];
    }
    if (draw(seed, 2)) {
        wg->states[UNSTEADY] = ENDPOINT_DOWN;
    }
    for (int s = 0; s < WORLD_SLOTS; s++) {
        uint16_t owner = draw(seed, WORLD_ENDPOINTS);

        if (draw(seed, 4) == 0 && wg->states[owner] == ENDPOINT_UP
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
publish(struct scene *s, struct retired *old)
{
    struct world *w = s->world;

    old->table = w->table;
    memcpy(old->groups, w->built, sizeof old->groups);
    w->table = NULL;
    memset(w->built, 0, sizeof w->built);
    world_publish(w);
    __atomic_store_n(&s->table, w->table, __ATOMIC_SEQ_CST);
}

/* Waits until nobody can have what was replaced before. */
static void
synchronize(struct scene *s)
{
    for (int i = 0; i < N_WORKERS; i++) {
        uint64_t *n = &s->workers[i].n_batches;
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

/* Flows. */

static void
build_flow(const struct world *w, struct flow *flow, uint32_t number)
{
    const struct world_group *wg;
    struct world_packet p = world_packet(0, 0);

    memset(flow, 0, sizeof *flow);
    flow->g = number % WORLD_GROUPS;
    flow->arrives = number / WORLD_GROUPS % 4 == 3;
    flow->endpoint = -1;
    wg = &w->groups[flow->g];
    flow->src_port = p.src_port = 1024 + number;
    flow->dst_port = p.dst_port = wg->port;
    p.spec.src = 0x0a020000 + number;
    p.spec.ipv6 = wg->ipv6;
    p.spec.protocol = wg->protocol;
    flow->src = world_address(p.spec.src, wg->ipv6);
    p.spec.payload = 8;
    for (int kind = WHOLE; kind < N_KINDS; kind++) {
        p.spec.frag = kind == WHOLE ? 0 : kind == FIRST ? 0x2000 : 1;
        if (kind == WHOLE || !wg->ipv6) {
            world_build(&p);
            assert_true(p.frame_size <= sizeof flow->frames[kind].data);
            flow->frames[kind].size = p.frame_size;
            memcpy(flow->frames[kind].data, p.frame, p.frame_size);
        }
    }
}

/* Packets. */

static const struct engine_arrival *
get_arrival(const struct group *group, bool is_new, uint8_t options[12],
            struct engine_arrival *arrival)
{
    const uint8_t head[] = { 0xff, 0x67, 1, 2, 0x10 | is_new, 0, 0,
                             group->id };

    memcpy(options, head, sizeof head);
    frame_put32(options + 8, group->epoch);
    *arrival = (struct engine_arrival) {
        .options = options, .options_len = 12,
        .peer = inet_addr_from4(0xc0000202),
    };
    return arrival;
}

/* Loads 'frame' into 'item'. */
static void
load_item(struct item *item, const uint8_t *frame, size_t size)
{
    uint8_t *data = item->buffer + WORLD_HEADROOM;

    memcpy(data, frame, size);
    item->packet = (struct engine_packet) {
        .data = data, .size = size, .headroom = WORLD_HEADROOM,
        .tailroom = item->buffer + sizeof item->buffer - data - size,
        .vni = 5001, .cookie = item,
    };
}

/* A packet of 'flow' of kind 'kind', which opens, closes or resets its
 * connection as 'tcp_flags' say. */
static void
make_packet(struct item *item, struct flow *flow, enum kind kind,
            uint16_t id, uint8_t tcp_flags)
{
    uint8_t *data = item->buffer + WORLD_HEADROOM;

    load_item(item, flow->frames[kind].data, flow->frames[kind].size);
    item->flow = flow;
    item->opens = tcp_flags == 2 && flow->g % 2 == 0;
    if (kind != WHOLE) {
        frame_put16(data + 18, id);
        frame_fix_ip_csum(data);
    } else if (flow->g % 2 == 0) {
        data[frame_l4(data) + 13] = tcp_flags;
    }
    if (flow->arrives) {
        const uint8_t mac[] = { 2, 0, 0, flow->g, 0, HERE };

        memcpy(data, mac, sizeof mac);
    }
}

/* The endpoint that 'packet' was sent to, or -1. */
static int
destination(const struct engine_packet *packet)
{
    const uint8_t *inner = packet->data;
    struct world_outer outer;

    if (packet->verdict == ENGINE_UNDERLAY) {
        world_decap(packet->data, packet->size, &outer);
        inner = outer.inner;
    } else if (packet->verdict != ENGINE_LOCAL) {
        return -1;
    }
    return inner[0] == 2 ? inner[5] : -1;
}

/* Compares the verdict on 'item' with what its worker knows of its flow, and
 * has it know what the flow table does. */
static void
check_flow(struct worker *w, const struct anycast_table *table,
           struct item *item, uint32_t now_s)
{
    const struct engine_packet *packet = &item->packet;
    struct flow *flow = item->flow;
    const struct group *group = anycast_table_lookup_id(table, flow->g + 1);
    int endpoint = destination(packet);
    struct flow_ref ref;

    if (flow->arrives && !group_uses_slots(group)) {
        CHECK(w, endpoint == HERE);
        return;
    }
    if (flow->endpoint >= 0 && now_s - flow->seen_s < FRESH_S && !item->opens
        && group_keeps_flows(group, flow->endpoint)) {
        bool is_reset = packet->reason == DROP_HOST_DEAD;

        CHECK(w, endpoint == flow->endpoint
              || (is_reset && group->endpoints[flow->endpoint].state
                              == ENDPOINT_LOST));
        w->n_kept++;
    }
    flow->endpoint = -1;
    flow->seen_s = now_s;
    if (flow_table_lookup(w->scene->world->flows, packet->hash, &packet->key,
                          now_s, &ref)) {
        CHECK(w, endpoint < 0 || endpoint == ref.endpoint
              || packet->view.life & ENCAP_ABORTS);
        flow->endpoint = ref.endpoint;
    }
}

static void
settle(struct worker *w, struct item *item)
{
    if (item->packet.verdict == ENGINE_HELD) {
        w->n_held++;
        return;
    }
    CHECK(w, item->out);
    item->out = false;
    w->n_settled++;
}

/* Takes back what waited for its first fragment. */
static void
resume(struct worker *w, const struct engine_world *world, uint64_t now_us)
{
    struct item *item;
    bool expired;

    while (engine_has_held(&w->thread)
           && (item = engine_resume(&w->thread, now_us, &expired))) {
        uint8_t frame[256];
        size_t size = item->packet.size;

        CHECK(w, item->out);
        if (expired) {
            item->out = false;
            w->n_settled++;
            continue;
        }
        memcpy(frame, item->packet.data, size);
        load_item(item, frame, size);
        engine_process(world, &w->thread, now_us, &item->packet, 1);
        settle(w, item);
    }
}

static struct item *
get_item(struct worker *w)
{
    for (int i = 0; i < N_ITEMS; i++) {
        if (!w->items[i].out) {
            w->items[i].out = true;
            return &w->items[i];
        }
    }
    abort();
}

/* Processes up to a batch of 'items', of flows that are all different. */
static void
process(struct worker *w, const struct engine_world *world, uint64_t now_us,
        struct item **items, int n)
{
    struct engine_packet packets[ENGINE_BATCH];
    struct engine_arrival arrivals[ENGINE_BATCH];
    uint8_t options[ENGINE_BATCH][12];

    for (int i = 0; i < n; i++) {
        struct flow *flow = items[i]->flow;
        const struct group *group
            = anycast_table_lookup_id(world->table, flow->g + 1);

        if (flow->arrives) {
            items[i]->packet.arrival
                = get_arrival(group, items[i]->opens, options[i],
                              &arrivals[i]);
        }
        packets[i] = items[i]->packet;
    }
    engine_process(world, &w->thread, now_us, packets, n);
    for (int i = 0; i < n; i++) {
        items[i]->packet = packets[i];
        if (packets[i].view.kind == ENCAP_FLOW && !w->scene->loose) {
            check_flow(w, world->table, items[i], now_us / 1000000);
        }
        w->endpoints[items[i]->flow - w->flows] = destination(&packets[i]);
        settle(w, items[i]);
    }
}

static uint8_t
draw_tcp_flags(uint64_t *seed)
{
    uint32_t dice = draw(seed, 32);

    return dice < 4 ? 0x02 : dice == 4 ? 0x11 : dice == 5 ? 0x04 : 0x10;
}

/* A batch of packets of flows that stand beside each other. */
static void
send_batch(struct worker *w, const struct engine_world *world,
           uint64_t now_us)
{
    struct item *items[ENGINE_BATCH];
    int n = 1 + draw(&w->seed, ENGINE_BATCH);
    int at = draw(&w->seed, N_FLOWS);

    for (int i = 0; i < n; i++) {
        struct flow *flow = &w->flows[(at + i) % N_FLOWS];
        enum kind kind = (flow->g % 2 && !flow->arrives
                          && draw(&w->seed, 4) == 0
                          ? draw(&w->seed, N_KINDS) : WHOLE);

        items[i] = get_item(w);
        make_packet(items[i], flow, kind, draw(&w->seed, 4),
                    draw_tcp_flags(&w->seed));
    }
    process(w, world, now_us, items, n);
}

/* A hint that moves one of the worker's flows. */
static void
send_hint(struct worker *w, const struct engine_world *world, uint64_t now_us)
{
    struct flow *flow = &w->flows[draw(&w->seed, N_FLOWS)];
    const struct group *group = anycast_table_lookup_id(world->table,
                                                        flow->g + 1);
    const struct hint hint = {
        .group = group->id, .epoch = group->epoch, .vni = 5001,
        .src = flow->src, .src_port = flow->src_port,
        .dst_port = flow->dst_port, .endpoint = draw(&w->seed, UNSTEADY),
    };
    struct mac router = engine_router_mac(5001);
    uint8_t frame[HINT_FRAME_LEN], options[12];
    struct engine_arrival arrival;
    struct item *item = get_item(w);

    hint_write(frame, &hint, &router, &router, world->table->key.word);
    load_item(item, frame, sizeof frame);
    item->packet.arrival = get_arrival(group, false, options, &arrival);
    engine_process(world, &w->thread, now_us, &item->packet, 1);
    CHECK(w, item->packet.reason == DROP_HINT);
    if (!flow->arrives || group_uses_slots(group)) {
        flow->endpoint = hint.endpoint;
        flow->seen_s = now_us / 1000000;
    }
    w->n_hinted++;
    settle(w, item);
}

static void
begin_batch(const struct worker *w, struct engine_world *world,
            uint64_t *now_us)
{
    *world = (struct engine_world) {
        .table = __atomic_load_n(&w->scene->table, __ATOMIC_SEQ_CST),
        .flows = w->scene->world->flows,
        .sources = w->scene->world->sources,
    };
    *now_us = __atomic_load_n(&w->scene->now_us, __ATOMIC_RELAXED);
}

/* The worker's table may be freed from now on. */
static void
end_batch(struct worker *w)
{
    __atomic_store_n(&w->n_batches, w->n_batches + 1, __ATOMIC_SEQ_CST);
}

static void *
work(void *worker_)
{
    struct worker *w = worker_;
    struct engine_world world;
    uint64_t now_us;

    while (!__atomic_load_n(&w->scene->stop, __ATOMIC_RELAXED)) {
        begin_batch(w, &world, &now_us);
        resume(w, &world, now_us);
        send_batch(w, &world, now_us);
        if (draw(&w->seed, 8) == 0) {
            send_hint(w, &world, now_us);
        }
        if (draw(&w->seed, 4) == 0) {
            engine_tick(&world, &w->thread, now_us);
        }
        end_batch(w);
    }
    __atomic_store_n(&w->n_batches, UINT64_MAX, __ATOMIC_SEQ_CST);
    return NULL;
}

/* A scene. */

static void
build_flows(struct scene *s, struct flow *flows, uint32_t first)
{
    for (int i = 0; i < N_FLOWS; i++) {
        build_flow(s->world, &flows[i], first + i);
    }
}

/* All workers have the same flows if 'same'. */
static struct scene *
scene_create(bool pickers, bool same, size_t n_entries)
{
    struct scene *s = calloc(1, sizeof *s);
    struct world *w = s->world = world_create();

    flow_table_destroy(w->flows);
    w->flows = flow_table_create(&(struct flow_table_size) { n_entries,
                                                             n_entries });
    describe_groups(w, pickers);
    world_publish(w);
    s->table = w->table;
    s->now_us = 1000 * UINT64_C(1000000);
    s->workers = calloc(N_WORKERS, sizeof *s->workers);
    for (int i = 0; i < N_WORKERS; i++) {
        struct worker *worker = &s->workers[i];

        worker->scene = s;
        worker->seed = 100 + i;
        worker->flows = calloc(N_FLOWS, sizeof *worker->flows);
        build_flows(s, worker->flows, same ? 0 : i * N_FLOWS);
        assert_true(engine_thread_init(&worker->thread, i, &w->table->key));
    }
    pthread_barrier_init(&s->barrier, NULL, N_WORKERS);
    return s;
}

static void
start(struct scene *s, void *(*function)(void *), pthread_t threads[N_WORKERS])
{
    for (int i = 0; i < N_WORKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, function,
                                        &s->workers[i]), 0);
    }
}

static void
join(const struct scene *s, pthread_t threads[N_WORKERS])
{
    for (int i = 0; i < N_WORKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(s->workers[i].error, 0);
    }
}

static void
release_item(void *item)
{
    ((struct item *) item)->out = false;
}

/* All cookies have come back, and each verdict is counted once. */
static void
check_packets(struct scene *s)
{
    for (int i = 0; i < N_WORKERS; i++) {
        struct worker *w = &s->workers[i];
        const struct engine_counters *c = &w->thread.count;
        uint64_t n = c->underlay + c->local;

        for (int r = 0; r < N_DROP_REASONS; r++) {
            n += c->drops[r];
        }
        assert_int_equal(n, w->n_settled);
        engine_thread_uninit(&w->thread, release_item);
        for (int j = 0; j < N_ITEMS; j++) {
            assert_false(w->items[j].out);
        }
    }
}

/* What has been counted of group 'g' is what there is. */
static void
check_group(const struct scene *s, int g)
{
    const struct world *w = s->world;
    uint64_t entries = 0, open[WORLD_ENDPOINTS] = { 0 };
    uint32_t now_s = s->now_us / 1000000;
    struct flow_key key;
    struct flow_ref ref;

    for (uint64_t cursor = 0;
         flow_table_next(w->flows, &cursor, now_s, &key, &ref); ) {
        if (key.group == g + 1u) {
            entries++;
            open[ref.endpoint] += ref.state != FLOW_CLOSING;
        }
    }
    assert_int_equal(w->group_loads[g].pinned, entries);
    for (int e = 0; e < WORLD_ENDPOINTS; e++) {
        assert_int_equal(w->loads[g][e].open, open[e]);
    }
}

/* As many handshakes are under way as the threads follow. */
static void
check_handshakes(const struct scene *s)
{
    int32_t pending[WORLD_GROUPS][WORLD_ENDPOINTS] = { { 0 } };

    for (int i = 0; i < N_WORKERS; i++) {
        for (int j = 0; j < HANDSHAKE_SLOTS; j++) {
            const struct handshake *h
                = &s->workers[i].thread.handshakes.slots[j];

            if (h->hash) {
                pending[h->group - 1][h->endpoint]++;
            }
        }
    }
    for (int g = 0; g < WORLD_GROUPS; g++) {
        for (int e = 0; e < WORLD_ENDPOINTS; e++) {
            assert_int_equal(s->world->loads[g][e].pending, pending[g][e]);
        }
    }
}

static void
note_ended(const struct flow_ended *ended, void *table)
{
    engine_flow_ended(table, ended);
}

static void
check_counts(struct scene *s)
{
    struct world *w = s->world;
    uint64_t new_flows = 0, selected = 0;

    flow_table_sweep(w->flows, s->now_us / 1000000,
                     flow_table_n_buckets(w->flows), note_ended, w->table);
    for (int i = 0; i < N_WORKERS; i++) {
        new_flows += s->workers[i].thread.count.new_flows;
    }
    for (int g = 0; g < WORLD_GROUPS; g++) {
        selected += w->group_loads[g].selected;
        check_group(s, g);
    }
    assert_true(new_flows > 0);
    assert_int_equal(selected, new_flows);
    check_handshakes(s);

    /* A process that starts now counts the same. */
    memset(w->loads, 0, sizeof w->loads);
    memset(w->group_loads, 0, sizeof w->group_loads);
    engine_recount(&w->engine, s->now_us);
    for (int g = 0; g < WORLD_GROUPS; g++) {
        check_group(s, g);
    }
}

static void
scene_destroy(struct scene *s)
{
    for (int i = 0; i < N_WORKERS; i++) {
        free(s->workers[i].flows);
    }
    pthread_barrier_destroy(&s->barrier);
    world_destroy(s->world);
    free(s->workers);
    free(s);
}

/* While everything changes. */

static void
import_and_settle(struct scene *s, uint64_t *seed)
{
    static const enum flow_state states[] = {
        FLOW_NEW, FLOW_ESTABLISHED, FLOW_CLOSING, FLOW_DATAGRAM
    };

    for (int i = 0; i < 8; i++) {
        struct flow_key key = {
            .src = inet_addr_from4(0x0a030000 + draw(seed, 32)),
            .src_port = 1000, .dst_port = 80,
            .group = 1 + draw(seed, WORLD_GROUPS),
        };
        uint16_t endpoint = draw(seed, UNSTEADY);

        assert_true(engine_import(&s->world->engine, s->now_us, &key, endpoint,
                                  states[draw(seed, 4)]));
        source_table_settle(s->world->sources, 5001, key.src,
                            s->now_us / 1000);
    }
}

static void
explain_some(const struct scene *s, uint64_t *seed)
{
    for (int i = 0; i < 8; i++) {
        const struct worker *w = &s->workers[draw(seed, N_WORKERS)];
        const struct flow *flow = &w->flows[draw(seed, N_FLOWS)];
        const struct world_group *wg = &s->world->groups[flow->g];
        const struct engine_question_flow question = {
            .vni = 5001, .protocol = wg->protocol, .src = flow->src,
            .dst = world_address(wg->address, wg->ipv6),
            .src_port = flow->src_port, .dst_port = flow->dst_port,
            .opens = draw(seed, 2),
        };
        struct engine_explanation e;

        engine_explain(&s->world->engine, s->now_us, &question, &e);
        assert_non_null(e.group);
        assert_int_equal(e.group->id, flow->g + 1);
    }
}

static void
change(struct scene *s)
{
    struct world *w = s->world;
    uint64_t seed = 1;

    for (int i = 0; i < N_CHANGES; i++) {
        struct retired old;

        change_group(&w->groups[draw(&seed, WORLD_GROUPS)], &seed);
        publish(s, &old);
        import_and_settle(s, &seed);
        flow_table_sweep(w->flows, s->now_us / 1000000,
                         flow_table_n_buckets(w->flows) / 4, note_ended,
                         w->table);
        explain_some(s, &seed);
        synchronize(s);
        retire(&old);

        /* Nobody goes by the time before the last one any more. */
        __atomic_store_n(&s->now_us,
                         s->now_us + draw(&seed, MAX_STEP_S * 1000000),
                         __ATOMIC_RELAXED);
        sched_yield();
    }
}

static void
check_changes(bool pickers)
{
    struct scene *s = scene_create(pickers, false, 10000);
    pthread_t threads[N_WORKERS];
    uint64_t n_kept = 0, n_hinted = 0, n_held = 0;

    start(s, work, threads);
    change(s);
    __atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
    join(s, threads);
    for (int i = 0; i < N_WORKERS; i++) {
        n_kept += s->workers[i].n_kept;
        n_hinted += s->workers[i].n_hinted;
        n_held += s->workers[i].n_held;
    }
    assert_true(n_kept > 1000 && n_hinted > 10 && n_held > 10);
    check_counts(s);
    check_packets(s);
    scene_destroy(s);
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
send_all(struct worker *w, uint8_t tcp_flags)
{
    struct engine_world world;
    uint64_t now_us;

    begin_batch(w, &world, &now_us);
    for (int at = 0; at < N_FLOWS; at += ENGINE_BATCH) {
        struct item *items[ENGINE_BATCH];

        for (int i = 0; i < ENGINE_BATCH; i++) {
            items[i] = get_item(w);
            make_packet(items[i], &w->flows[at + i], WHOLE, 0, tcp_flags);
        }
        process(w, &world, now_us, items, ENGINE_BATCH);
    }
    end_batch(w);
}

static void
wait_for_all(const struct worker *w)
{
    pthread_barrier_wait(&w->scene->barrier);
}

/* All threads have sent their packets to the same endpoints. */
static void
check_agreement(struct worker *w)
{
    wait_for_all(w);
    for (int i = 0; i < N_FLOWS; i++) {
        bool has_entry = w->scene->world->groups[w->flows[i].g].algorithm
                         != ALGORITHM_HASH;

        CHECK(w, w->endpoints[i] == w->scene->workers[0].endpoints[i]);
        CHECK(w, !has_entry || w->endpoints[i] >= 0);
    }
    wait_for_all(w);
}

static void *
connect_and_close(void *worker)
{
    static const uint8_t ends[] = { 0x11, 0x04, 0x10 };
    struct worker *w = worker;

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
    struct scene *s = scene_create(pickers, true, 10000);
    pthread_t threads[N_WORKERS];

    s->loose = true;
    start(s, connect_and_close, threads);
    join(s, threads);
    check_counts(s);
    check_packets(s);
    scene_destroy(s);
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
    struct worker *w = worker_;
    struct engine_world world;
    uint64_t now_us;

    begin_batch(w, &world, &now_us);
    for (int i = 0; i < N_FLOODS; i++) {
        struct flow *flow = &w->flows[draw(&w->seed, N_FLOWS)];
        struct item *item = get_item(w);

        make_packet(item, flow, WHOLE, 0, draw_tcp_flags(&w->seed));
        process(w, &world, now_us, &item, 1);
    }
    return NULL;
}

static void
test_counts_are_right_when_the_table_is_full(void **state)
{
    struct scene *s = scene_create(false, false, 1);
    struct flow_table_stats stats;
    pthread_t threads[N_WORKERS];

    (void) state;
    s->loose = true;
    start(s, flood, threads);
    join(s, threads);
    flow_table_get_stats(s->world->flows, &stats);
    assert_true(stats.evicted > 100);
    check_counts(s);
    check_packets(s);
    scene_destroy(s);
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
