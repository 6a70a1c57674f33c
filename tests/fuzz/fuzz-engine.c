/* Any frames, from VMs and out of tunnels, through the whole engine, while the
 * mapping changes and time passes.  An input is
 *
 *     which world 8 | packets, each: flags 8 | choices 8 | length of Geneve
 *     options 8 | length of frame 16 | options | frame
 *
 * A frame that the input ends before is filled up with zeros.  Each is in a
 * buffer of its exact size, so that ASan sees the first byte too far. */

#include <stdlib.h>
#include <string.h>

#include "encap/context.h"
#include "tests/unit/world.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

enum {
    N_WORLDS    = 8,
    N_CHANGES   = 3,            /* Tables of each. */
    MAX_PACKETS = 64,
    MAX_FRAME   = 1600,
    HEADER_LEN  = 5,
    VNI         = 5001,
};

enum flags {
    ARRIVES     = 0x01,         /* Out of a tunnel. */
    HAS_OPTIONS = 0x02,
    PARTIAL     = 0x04,
    TSO         = 0x08,
    WAITS       = 0x10,         /* Time passes before it. */
    CHANGES     = 0x20,         /* The mapping changes before it. */
    IN_BATCH    = 0x40,         /* Together with the next one. */
    FIX_CSUM    = 0x80,         /* The IPv4 checksum is made right. */
};

/* A packet, from its description until it is sent or dropped. */
struct item {
    uint8_t *base;              /* NULL: none. */
    size_t room;
    size_t frame_size;
    uint8_t options[256];
    struct engine_arrival arrival;
    struct engine_packet packet;
};

/* One world, whose groups keep their loads when the table changes. */
struct scene {
    struct world *world;
    struct anycast_table *tables[N_CHANGES];
};

static struct scene scenes[N_WORLDS];
static struct item items[MAX_PACKETS];
static size_t n_settled;

/* Worlds. */

static void
describe_groups(struct world *w, int n)
{
    static const uint8_t protocols[] = { 17, 132, 1, 6 };
    static const uint32_t hosts[] = { 0, 1, 2, 3, 1, 0, 2, 1 };

    for (int g = 0; g < WORLD_GROUPS; g++) {
        struct world_group *wg = &w->groups[g];

        wg->vni = VNI;
        wg->n_endpoints = WORLD_ENDPOINTS;
        wg->ipv6 = g >= 2;
        wg->algorithm = (n + 3 * g) % N_ALGORITHMS;
        memcpy(wg->hosts, hosts, sizeof wg->hosts);
        for (int e = 0; e < WORLD_ENDPOINTS; e++) {
            wg->tiers[e] = e / 3;
            wg->quic_ids[e] = 1 + e;
        }
    }
    w->groups[0].flags = GROUP_RESET_LOST | GROUP_MEASURED;
    w->groups[1].protocol = 17;
    w->groups[1].port = 443;
    w->groups[1].quic_length = 2;
    w->groups[1].flags = GROUP_REJECT;
    w->groups[2].port = 8000;
    w->groups[2].port_last = 8010;
    w->groups[2].ramp = 30;
    w->groups[3].vni = VNI + 1;
    w->groups[3].protocol = protocols[n % 4];
    w->groups[3].port = 0;
    w->groups[3].affinity = n / 2 % 2 ? AFFINITY_SOURCE : AFFINITY_FLOW;
    w->ipv6_underlay = n % 2;
}

/* First some endpoints serve no more, and slots move; then all are down. */
static void
change_groups(struct world *w, int change)
{
    static const uint8_t states[] = {
        ENDPOINT_UP, ENDPOINT_DOWN, ENDPOINT_LOST, ENDPOINT_DRAINING,
        ENDPOINT_UP, ENDPOINT_LOST, ENDPOINT_UP, ENDPOINT_ABSENT
    };

    for (int g = 0; g < WORLD_GROUPS; g++) {
        struct world_group *wg = &w->groups[g];

        for (int s = 0; s < WORLD_SLOTS; s++) {
            wg->previous[s][1] = wg->previous[s][0];
            wg->previous[s][0] = wg->slots[s];
            wg->slots[s] = change == 1 ? 4 + s % 3 : GROUP_NO_ENDPOINT;
        }
        for (int e = 0; e < WORLD_ENDPOINTS; e++) {
            wg->states[e] = change == 1 ? states[e] : ENDPOINT_DOWN;
        }
        wg->epoch++;
    }
}

static void
create_scene(struct scene *s, int n)
{
    struct world *w = s->world = world_create();

    flow_table_destroy(w->flows);
    w->flows = flow_table_create(&(struct flow_table_size) { 1, 1 });
    describe_groups(w, n);
    for (int i = 0; i < N_CHANGES; i++) {
        if (i) {
            change_groups(w, i);
        }
        world_publish(w);
        s->tables[i] = w->table;
        w->table = NULL;        /* Ours now, and the groups are the tables'. */
        memset(w->built, 0, sizeof w->built);
    }
}

static void
use_table(struct scene *s, int i)
{
    s->world->table = s->tables[i];
    s->world->engine.table = s->tables[i];
}

static bool
has_pending(const struct world *w)
{
    uint64_t n = 0;

    for (int g = 0; g < WORLD_GROUPS; g++) {
        n += world_census(w, g).pending;
    }
    return n;
}

/* What was there before ends, so that each input meets the same world. */
static void
reset_scene(struct scene *s)
{
    struct world *w = s->world;

    use_table(s, 0);
    w->now_ms += 5 * 3600 * 1000;
    world_sweep(w);
    for (int i = 0; i < 16 && has_pending(w); i++) {
        engine_tick(&w->engine, &w->thread, w->now_ms * 1000);
    }
    for (int g = 0; g < WORLD_GROUPS; g++) {
        for (int e = 0; e < WORLD_ENDPOINTS; e++) {
            CHECK(w->loads[g][e].open == 0 && w->loads[g][e].pending == 0);
            load_init(&w->loads[g][e]);
        }
        CHECK(w->group_loads[g].pinned == 0);
        memset(&w->group_loads[g], 0, sizeof w->group_loads[g]);
    }
    memset(&w->thread.count, 0, sizeof w->thread.count);
    w->thread.random = 1;
    n_settled = 0;
}

/* Frames. */

static void
fix_csum(uint8_t *frame, size_t size)
{
    if (size >= 34 && frame_get16(frame + 12) == 0x0800
        && (frame[14] & 15) >= 5 && 14 + (frame[14] & 15) * 4u <= size) {
        frame_fix_ip_csum(frame);
    }
}

static struct inet_addr
get_peer(const struct world *w, uint32_t host)
{
    return (w->ipv6_underlay
            ? (struct inet_addr) { UINT64_C(0x20010db8) << 32, 1 + host }
            : inet_addr_from4(0xc0000201 + host));
}

/* Reads the next packet of the input into 'item', and returns how many bytes
 * that took; 0 at the end. */
static size_t
read_packet(const struct world *w, const uint8_t *data, size_t size,
            struct item *item)
{
    static const uint32_t vnis[] = { VNI, VNI + 1, 0, VNI };
    static const uint32_t rooms[] = { WORLD_HEADROOM, 70, 40, 0 };

    if (size < HEADER_LEN) {
        return 0;
    }

    uint8_t flags = data[0], choices = data[1];
    size_t options_len = data[2], frame_size = frame_get16(data + 3);
    size_t headroom = rooms[choices >> 2 & 3], used = HEADER_LEN;
    if (options_len > size - used) {
        options_len = size - used;
    }
    memcpy(item->options, data + used, options_len);
    used += options_len;
    frame_size %= MAX_FRAME + 1;

    size_t given = frame_size < size - used ? frame_size : size - used;
    item->room = headroom + frame_size + (choices & 0x10 ? 64 : 0);
    item->base = calloc(1, item->room ? item->room : 1);
    CHECK(item->base);
    uint8_t *frame = item->base + headroom;
    memcpy(frame, data + used, given);
    if (flags & FIX_CSUM) {
        fix_csum(frame, frame_size);
    }
    item->frame_size = frame_size;
    item->arrival = (struct engine_arrival) {
        .options = flags & HAS_OPTIONS ? item->options : NULL,
        .options_len = flags & HAS_OPTIONS ? options_len : 0,
        .peer = get_peer(w, 1 + (choices >> 6)),
    };
    item->packet = (struct engine_packet) {
        .data = frame, .size = frame_size, .headroom = headroom,
        .tailroom = item->room - headroom - frame_size,
        .vni = vnis[choices & 3], .partial_csum = flags & PARTIAL,
        .tso = flags & TSO, .cookie = item,
        .arrival = flags & ARRIVES ? &item->arrival : NULL,
    };
    return used + given;
}

/* Verdicts. */

/* The frame for endpoint 'mac' of a group of 'vni'. */
static void
check_endpoint(const struct world *w, const uint8_t *frame, uint32_t vni,
               bool local)
{
    const struct world_group *wg = &w->groups[frame[3]];
    const struct group *group;

    CHECK(frame[0] == 2 && !frame[1] && !frame[2] && !frame[4]);
    CHECK(frame[3] < WORLD_GROUPS && frame[5] < WORLD_ENDPOINTS);
    CHECK(wg->vni == vni && (wg->hosts[frame[5]] == 0) == local);
    group = anycast_table_lookup_id(w->table, frame[3] + 1);
    CHECK(group_keeps_flows(group, frame[5]));
}

/* What goes to an endpoint is what came, but for a few fields. */
static void
check_inner(const uint8_t *frame, size_t size, const struct item *item)
{
    struct encap_view view;

    CHECK(size <= item->frame_size);
    CHECK(!encap_parse(frame, size, &view));
    CHECK(view.kind == ENCAP_FLOW || view.kind == ENCAP_FRAGMENT
          || view.kind == ENCAP_ICMP_ERROR);
    CHECK(item->packet.arrival || view.ttl >= 1);
    CHECK(size >= view.l3_ofs + (size_t) view.ip_len);
}

/* A frame for the underlay is one that a host there accepts. */
static void
check_outer(const uint8_t *frame, size_t size, struct world_outer *outer)
{
    struct encap_view view;
    struct context context;

    CHECK(!encap_parse(frame, size, &view));
    CHECK(view.kind == ENCAP_FLOW && view.protocol == IPPROTO_NR_UDP);
    CHECK(view.ip_len + 14u == size);
    world_decap(frame, size, outer);
    CHECK(outer->from == 0 && outer->to > 0 && outer->to < 3);
    if (outer->geneve) {
        CHECK(!context_parse(outer->options, outer->options_len, &context));
        CHECK(context.group >= 1 && context.group <= WORLD_GROUPS);
        CHECK(outer->options_len == (context.n_previous ? 24 : 12));
    }
}

static void
check_answer(const uint8_t *frame, size_t size)
{
    struct encap_view view;
    enum drop_reason reason = encap_parse(frame, size, &view);

    CHECK(reason != DROP_TRUNCATED && reason != DROP_BAD_IP_CSUM
          && reason != DROP_BAD_L4 && reason != DROP_ETHERTYPE);
}

/* What came out of a tunnel is sent on only if its hops are counted, and only
 * so far. */
static void
check_forwarded(const struct engine_arrival *arrival,
                const struct world_outer *outer)
{
    struct context in, out;

    CHECK(!context_parse(arrival->options, arrival->options_len, &in));
    CHECK(in.hops < CONTEXT_MAX_HOPS);
    if (outer->geneve) {
        CHECK(!context_parse(outer->options, outer->options_len, &out));
        CHECK(out.hops == in.hops + 1);
    }
}

static void
check_verdict(const struct world *w, const struct item *item)
{
    const struct engine_packet *p = &item->packet;
    struct world_outer outer;

    CHECK(p->data >= item->base);
    CHECK(p->data + p->size <= item->base + item->room);
    switch (p->verdict) {
    case ENGINE_UNDERLAY:
        check_outer(p->data, p->size, &outer);
        CHECK(outer.vni == p->vni);
        check_inner(outer.inner, outer.inner_size, item);
        check_endpoint(w, outer.inner, p->vni, false);
        if (p->arrival) {
            check_forwarded(p->arrival, &outer);
        }
        break;

    case ENGINE_LOCAL:
        check_inner(p->data, p->size, item);
        check_endpoint(w, p->data, p->vni, true);
        break;

    case ENGINE_REPLY:
        CHECK(!p->arrival);
        check_answer(p->data, p->size);
        break;

    case ENGINE_DROP:
        CHECK(p->reason > DROP_NONE && p->reason < N_DROP_REASONS);
        break;

    case ENGINE_HELD:
        CHECK(p->view.kind == ENCAP_FRAGMENT);
        break;
    }
}

/* Hints, which nobody asked for but what came out of a tunnel. */
static void
check_extras(const struct world *w, bool any_arrival)
{
    const struct engine_thread *t = &w->thread;

    CHECK(t->n_extras <= (any_arrival ? ENGINE_OUTBOX : 0));
    CHECK(t->n_questions <= ENGINE_QUESTIONS);
    for (size_t i = 0; i < t->n_extras; i++) {
        const struct engine_extra *extra = &t->extras[i];
        struct world_outer outer;
        struct hint hint;

        CHECK((size_t) extra->ofs + extra->size <= sizeof extra->frame);
        check_outer(extra->frame + extra->ofs, extra->size, &outer);
        CHECK(outer.inner_size == HINT_FRAME_LEN);
        CHECK(!hint_read(outer.inner + 14, HINT_FRAME_LEN - 14,
                         w->table->key.word, &hint));
        CHECK(hint.vni == outer.vni);
    }
}

static void
settle(struct item *item)
{
    CHECK(item->base);
    free(item->base);
    item->base = NULL;
    n_settled++;
}

/* Explanations. */

/* What is said of 'item' before it is sent; false if nothing can be: it is not
 * a flow's, or more than its flow counts. */
static bool
explain(const struct world *w, const struct item *item,
        struct engine_explanation *e)
{
    const struct engine_packet *p = &item->packet;
    struct encap_view view;

    if (p->arrival || p->tso || encap_parse(p->data, p->size, &view)
        || view.kind != ENCAP_FLOW || view.ttl <= 1
        || view.life & ENCAP_ABORTS) {
        return false;
    }

    const struct engine_question_flow flow = {
        .vni = p->vni, .protocol = view.protocol,
        .src = view.src, .dst = view.dst,
        .src_port = view.src_port, .dst_port = view.dst_port,
        .opens = view.life & ENCAP_OPENS,
    };
    engine_explain(&w->engine, w->now_ms * 1000, &flow, e);
    return !e->group || !e->group->quic_length;
}

static void
check_explanation(const struct item *item, const struct engine_explanation *e)
{
    const struct engine_packet *p = &item->packet;
    const uint8_t *inner = p->data;
    struct world_outer outer;

    if (p->reason == DROP_TOO_BIG || p->reason == DROP_NO_HEADROOM
        || p->reason == DROP_ICMP_LIMITED) {
        return;
    }
    if (e->group && e->picked && e->endpoint != GROUP_NO_ENDPOINT) {
        return;                 /* By chance. */
    }
    CHECK(p->verdict == e->verdict && p->reason == e->reason);
    if (p->verdict == ENGINE_UNDERLAY) {
        world_decap(p->data, p->size, &outer);
        inner = outer.inner;
    } else if (p->verdict != ENGINE_LOCAL) {
        return;
    }
    CHECK(inner[5] == e->endpoint);
}

/* Running. */

static void
process(struct world *w, struct item **batch, size_t n)
{
    struct engine_packet packets[ENGINE_BATCH];
    struct engine_explanation e;
    bool any_arrival = false;
    bool explained = n == 1 && explain(w, batch[0], &e);

    for (size_t i = 0; i < n; i++) {
        packets[i] = batch[i]->packet;
        any_arrival |= packets[i].arrival != NULL;
    }
    engine_process(&w->engine, &w->thread, w->now_ms * 1000, packets, n);
    for (size_t i = 0; i < n; i++) {
        batch[i]->packet = packets[i];
        check_verdict(w, batch[i]);
        if (explained) {
            check_explanation(batch[i], &e);
        }
        if (packets[i].verdict != ENGINE_HELD) {
            settle(batch[i]);
        }
    }
    check_extras(w, any_arrival);
}

static void
resume(struct world *w)
{
    struct item *item;
    bool expired;

    while (engine_has_held(&w->thread)
           && (item = engine_resume(&w->thread, w->now_ms * 1000,
                                    &expired))) {
        if (expired) {
            settle(item);
        } else {
            process(w, &item, 1);
        }
    }
}

/* Counters tell of each packet once, and of each flow. */
static void
check_counts(const struct world *w)
{
    const struct engine_counters *c = &w->thread.count;
    uint64_t n = c->underlay + c->local + c->arp_replies + c->nd_replies;

    for (int i = 0; i < N_DROP_REASONS; i++) {
        n += c->drops[i];
    }
    CHECK(n == n_settled);
    for (int g = 0; g < WORLD_GROUPS; g++) {
        struct world_census census = world_census(w, g);

        CHECK(census.open == census.live);
        CHECK(w->group_loads[g].pinned == census.entries);
    }
}

static void
run(struct scene *s, const uint8_t *data, size_t size)
{
    struct world *w = s->world;
    struct item *batch[ENGINE_BATCH];
    size_t used, n = 0;
    int table = 0;

    for (size_t i = 0; i < MAX_PACKETS
         && (used = read_packet(w, data, size, &items[i])); i++) {
        uint8_t flags = data[0];

        data += used;
        size -= used;
        batch[n++] = &items[i];
        if (flags & IN_BATCH && n < ENGINE_BATCH && i + 1 < MAX_PACKETS
            && size >= HEADER_LEN) {
            continue;
        }
        w->now_ms += flags & WAITS ? 1500 : 0;
        table += flags & CHANGES && table + 1 < N_CHANGES;
        use_table(s, table);
        process(w, batch, n);
        resume(w);
        n = 0;
    }
    world_sweep(w);
    check_counts(w);
    w->now_ms += 60000;
    resume(w);
    CHECK(!engine_has_held(&w->thread));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!scenes[0].world) {
        for (int i = 0; i < N_WORLDS; i++) {
            create_scene(&scenes[i], i);
        }
    }
    if (size) {
        struct scene *s = &scenes[data[0] % N_WORLDS];

        reset_scene(s);
        run(s, data + 1, size - 1);
    }
    return 0;
}
