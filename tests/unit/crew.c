#include "tests/unit/crew.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <sched.h>
#include <stdlib.h>
#include <string.h>

uint32_t
crew_draw(uint64_t *seed, uint32_t n)
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

        wg->vni = CREW_VNI;
        wg->protocol = g % 2 ? 17 : 6;
        wg->port = 80 + g;
        wg->ipv6 = g == 2;
        wg->algorithm = algorithms[pickers][g];
        wg->n_endpoints = WORLD_ENDPOINTS;
        wg->hosts[CREW_HERE] = 0;
        wg->hosts[3] = 2;
    }
    w->groups[0].flags = GROUP_RESET_LOST;
    if (pickers) {
        w->groups[1].flags = GROUP_MEASURED;
        w->groups[2].ramp = 30;
        w->groups[3].affinity = AFFINITY_SOURCE;
    }
}

/* Flows. */

static void
build_flow(const struct world *w, struct crew_flow *flow, uint32_t number)
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
    for (int kind = CREW_WHOLE; kind < CREW_KINDS; kind++) {
        p.spec.frag = kind == CREW_WHOLE ? 0 : kind == CREW_FIRST ? 0x2000 : 1;
        if (kind == CREW_WHOLE || !wg->ipv6) {
            world_build(&p);
            assert_true(p.frame_size <= sizeof flow->frames[kind].data);
            flow->frames[kind].size = p.frame_size;
            memcpy(flow->frames[kind].data, p.frame, p.frame_size);
        }
    }
}

/* Packets. */

const struct engine_arrival *
crew_arrival(const struct group *group, bool is_new, uint8_t options[12],
            struct engine_arrival *arrival)
{
    const uint8_t head[] = { 0xff, 0x67, 1, 2, 0x10 | is_new, 0, 0,
                             group->id };

    memcpy(options, head, sizeof head);
    frame_put32(options + 8, group->epoch);
    /* From a host without endpoints: such has no flows of its own. */
    *arrival = (struct engine_arrival) {
        .options = options, .options_len = 12,
        .peer = inet_addr_from4(0xc0000204),
    };
    return arrival;
}

/* Loads 'frame' into 'item'. */
void
crew_load_item(struct crew_item *item, const uint8_t *frame, size_t size)
{
    uint8_t *data = item->buffer + WORLD_HEADROOM;

    memcpy(data, frame, size);
    item->packet = (struct engine_packet) {
        .data = data, .size = size, .headroom = WORLD_HEADROOM,
        .tailroom = item->buffer + sizeof item->buffer - data - size,
        .vni = CREW_VNI, .cookie = item,
    };
}

/* A packet of 'flow' of kind 'kind', which opens, closes or resets its
 * connection as 'tcp_flags' say. */
void
crew_make_packet(struct crew_item *item, struct crew_flow *flow,
                 enum crew_kind kind, uint16_t id, uint8_t tcp_flags)
{
    uint8_t *data = item->buffer + WORLD_HEADROOM;

    crew_load_item(item, flow->frames[kind].data, flow->frames[kind].size);
    item->flow = flow;
    item->opens = tcp_flags == 2 && flow->g % 2 == 0;
    if (kind != CREW_WHOLE) {
        frame_put16(data + 18, id);
        frame_fix_ip_csum(data);
    } else if (flow->g % 2 == 0) {
        data[frame_l4(data) + 13] = tcp_flags;
    }
    if (flow->arrives) {
        const uint8_t mac[] = { 2, 0, 0, flow->g, 0, CREW_HERE };

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
check_flow(struct crew_worker *w, const struct anycast_table *table,
           struct crew_item *item, uint32_t now_s)
{
    const struct engine_packet *packet = &item->packet;
    struct crew_flow *flow = item->flow;
    const struct group *group = anycast_table_lookup_id(table, flow->g + 1);
    int endpoint = destination(packet);
    struct flow_ref ref;

    if (flow->arrives && !group_uses_slots(group)) {
        CREW_CHECK(w, endpoint == CREW_HERE);
        return;
    }
    bool is_known = flow_table_lookup(w->crew->world->flows, packet->hash,
                                      &packet->key, now_s, &ref);
    /* What is half open or closed is soon no more than a guess. */
    bool is_sure = (!is_known || (ref.state != FLOW_CLOSING
                                  && ref.state != FLOW_NEW));

    if (flow->endpoint >= 0 && now_s - flow->seen_s < CREW_FRESH_S
        && !item->opens && is_sure
        && group_keeps_flows(group, flow->endpoint)) {
        /* What comes from a tunnel is dealt with as if nobody knew it. */
        bool is_reset = (packet->reason == DROP_HOST_DEAD
                         || (flow->arrives
                             && group->flags & GROUP_RESET_LOST));

        CREW_CHECK(w, endpoint == flow->endpoint
              || (is_reset && group->endpoints[flow->endpoint].state
                              == ENDPOINT_LOST));
        w->n_kept++;
    }
    flow->endpoint = -1;
    flow->is_guess = !is_sure;
    flow->seen_s = now_s;
    if (is_known) {
        bool is_lost = (flow->arrives && group->flags & GROUP_RESET_LOST
                        && group->endpoints[ref.endpoint].state
                           == ENDPOINT_LOST);

        CREW_CHECK(w, endpoint < 0 || endpoint == ref.endpoint || !is_sure
              || is_lost || packet->view.life & ENCAP_ABORTS);
        /* A guess may have timed out by the next time. */
        flow->endpoint = is_sure ? ref.endpoint : -1;
    }
}

void
crew_settle(struct crew_worker *w, struct crew_item *item)
{
    if (item->packet.verdict == ENGINE_HELD) {
        w->n_held++;
        return;
    }
    CREW_CHECK(w, item->out);
    item->out = false;
    w->n_settled++;
}

/* Of a packet of a flow, new or resumed: either may have moved the flow. */
static void
take_verdict(struct crew_worker *w, const struct anycast_table *table,
             struct crew_item *item, uint32_t now_s)
{
    if (item->packet.view.kind == ENCAP_FLOW && !w->crew->loose) {
        check_flow(w, table, item, now_s);
    }
    w->endpoints[item->flow - w->flows] = destination(&item->packet);
    crew_settle(w, item);
}

/* Takes back what waited for its first fragment. */
void
crew_resume(struct crew_worker *w, const struct engine_world *world,
            uint64_t now_us)
{
    struct crew_item *item;
    bool expired;

    while (engine_has_held(&w->thread)
           && (item = engine_resume(&w->thread, now_us, &expired))) {
        uint8_t frame[CREW_FRAME];
        size_t size = item->packet.size;

        CREW_CHECK(w, item->out);
        if (expired) {
            item->out = false;
            w->n_settled++;
            continue;
        }
        memcpy(frame, item->packet.data, size);
        crew_load_item(item, frame, size);
        engine_process(world, &w->thread, now_us, &item->packet, 1);
        take_verdict(w, world->table, item, now_us / 1000000);
    }
}

struct crew_item *
crew_get_item(struct crew_worker *w)
{
    for (int i = 0; i < CREW_ITEMS; i++) {
        if (!w->items[i].out) {
            w->items[i].out = true;
            return &w->items[i];
        }
    }
    abort();
}

/* Processes up to a batch of 'items', of flows that are all different. */
void
crew_process(struct crew_worker *w, const struct engine_world *world,
             uint64_t now_us, struct crew_item **items, int n)
{
    struct engine_packet packets[ENGINE_BATCH];
    struct engine_arrival arrivals[ENGINE_BATCH];
    uint8_t options[ENGINE_BATCH][12];

    for (int i = 0; i < n; i++) {
        struct crew_flow *flow = items[i]->flow;
        const struct group *group
            = anycast_table_lookup_id(world->table, flow->g + 1);

        if (flow->arrives) {
            items[i]->packet.arrival
                = crew_arrival(group, items[i]->opens, options[i],
                              &arrivals[i]);
        }
        packets[i] = items[i]->packet;
    }
    engine_process(world, &w->thread, now_us, packets, n);
    for (int i = 0; i < n; i++) {
        items[i]->packet = packets[i];
        take_verdict(w, world->table, items[i], now_us / 1000000);
    }
}

void
crew_begin(const struct crew_worker *w, struct engine_world *world,
            uint64_t *now_us)
{
    *world = (struct engine_world) {
        .table = __atomic_load_n(&w->crew->table, __ATOMIC_SEQ_CST),
        .flows = w->crew->world->flows,
        .sources = w->crew->world->sources,
    };
    *now_us = __atomic_load_n(&w->crew->now_us, __ATOMIC_RELAXED);
}

/* The worker's table may be freed from now on. */
void
crew_end(struct crew_worker *w)
{
    __atomic_store_n(&w->n_batches, w->n_batches + 1, __ATOMIC_SEQ_CST);
    if (w->n_batches % CREW_TURN == 0) {
        sched_yield();
    }
}

/* A scene. */

static void
build_flows(struct crew *crew, struct crew_flow *flows, uint32_t first)
{
    for (int i = 0; i < CREW_FLOWS; i++) {
        build_flow(crew->world, &flows[i], first + i);
    }
}

/* All workers have the same flows if 'same'. */
struct crew *
crew_create(bool pickers, bool same, size_t n_entries)
{
    struct crew *crew = calloc(1, sizeof *crew);
    struct world *w = crew->world = world_create();

    flow_table_destroy(w->flows);
    w->flows = flow_table_create(&(struct flow_table_size) { n_entries,
                                                             n_entries });
    describe_groups(w, pickers);
    world_publish(w);
    crew->table = w->table;
    crew->now_us = 1000 * UINT64_C(1000000);
    crew->workers = calloc(CREW_WORKERS, sizeof *crew->workers);
    for (int i = 0; i < CREW_WORKERS; i++) {
        struct crew_worker *worker = &crew->workers[i];

        worker->crew = crew;
        worker->seed = 100 + i;
        worker->flows = calloc(CREW_FLOWS, sizeof *worker->flows);
        build_flows(crew, worker->flows, same ? 0 : i * CREW_FLOWS);
        assert_true(engine_thread_init(&worker->thread, i, &w->table->key));
    }
    pthread_barrier_init(&crew->barrier, NULL, CREW_WORKERS);
    return crew;
}

void
crew_start(struct crew *crew, void *(*function)(void *),
           pthread_t threads[CREW_WORKERS])
{
    for (int i = 0; i < CREW_WORKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, function,
                                        &crew->workers[i]), 0);
    }
}

void
crew_join(const struct crew *crew, pthread_t threads[CREW_WORKERS])
{
    for (int i = 0; i < CREW_WORKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(crew->workers[i].error, 0);
    }
}

static void
release_item(void *item)
{
    ((struct crew_item *) item)->out = false;
}

/* All cookies have come back, and each verdict is counted once. */
static void
check_packets(struct crew *crew)
{
    for (int i = 0; i < CREW_WORKERS; i++) {
        struct crew_worker *w = &crew->workers[i];
        const struct engine_counters *c = &w->thread.count;
        uint64_t n = c->underlay + c->local;

        for (int r = 0; r < N_DROP_REASONS; r++) {
            n += c->drops[r];
        }
        assert_int_equal(n, w->n_settled);
        engine_thread_uninit(&w->thread, release_item);
        for (int j = 0; j < CREW_ITEMS; j++) {
            assert_false(w->items[j].out);
        }
    }
}

/* What has been counted of group 'g' is what there is. */
static void
check_group(const struct crew *crew, int g)
{
    const struct world *w = crew->world;
    uint64_t entries = 0, open[WORLD_ENDPOINTS] = { 0 };
    uint32_t now_s = crew->now_us / 1000000;
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
check_handshakes(const struct crew *crew)
{
    int32_t pending[WORLD_GROUPS][WORLD_ENDPOINTS] = { { 0 } };

    for (int i = 0; i < CREW_WORKERS; i++) {
        for (int j = 0; j < HANDSHAKE_SLOTS; j++) {
            const struct handshake *h
                = &crew->workers[i].thread.handshakes.slots[j];

            if (h->hash) {
                pending[h->group - 1][h->endpoint]++;
            }
        }
    }
    for (int g = 0; g < WORLD_GROUPS; g++) {
        for (int e = 0; e < WORLD_ENDPOINTS; e++) {
            assert_int_equal(crew->world->loads[g][e].pending, pending[g][e]);
        }
    }
}

void
crew_note_ended(const struct flow_ended *ended, void *table)
{
    engine_flow_ended(table, ended);
}

static void
check_counts(struct crew *crew)
{
    struct world *w = crew->world;
    uint64_t new_flows = 0, selected = 0;

    flow_table_sweep(w->flows, crew->now_us / 1000000,
                     flow_table_n_buckets(w->flows), crew_note_ended,
                     w->table);
    for (int i = 0; i < CREW_WORKERS; i++) {
        new_flows += crew->workers[i].thread.count.new_flows;
    }
    for (int g = 0; g < WORLD_GROUPS; g++) {
        selected += w->group_loads[g].selected;
        check_group(crew, g);
    }
    assert_true(new_flows > 0);
    assert_int_equal(selected, new_flows);
    check_handshakes(crew);

    /* A process that starts now counts the same. */
    memset(w->loads, 0, sizeof w->loads);
    memset(w->group_loads, 0, sizeof w->group_loads);
    engine_recount(&w->engine, crew->now_us);
    for (int g = 0; g < WORLD_GROUPS; g++) {
        check_group(crew, g);
    }
}

void
crew_check(struct crew *crew)
{
    check_counts(crew);
    check_packets(crew);
}

void
crew_destroy(struct crew *crew)
{
    for (int i = 0; i < CREW_WORKERS; i++) {
        free(crew->workers[i].flows);
    }
    pthread_barrier_destroy(&crew->barrier);
    world_destroy(crew->world);
    free(crew->workers);
    free(crew);
}
