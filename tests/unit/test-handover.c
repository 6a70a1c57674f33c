/* vswitchd-ext/handover.h between two small worlds of the engine's: the hosts
 * that a client leaves and comes to.  What becomes of its connections is seen
 * by sending their packets. */

#include <config.h>

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "mapping/relay.h"
#include "tests/unit/provoked.h"
#include "tests/unit/world.h"
#include "util.h"
#include "vswitchd-ext/handover.h"
#include "vswitchd-ext/netdev-anycast.h"

enum { FIN = 0x01, SYN = 0x02, ACK = 0x10 };
enum { TCP4, TCP6, OTHER_TENANT, UDP4 }; /* Groups. */
enum {
    CLIENT     = 0x0a010002,    /* 10.1.0.2 or fd00::a01:2. */
    CLIENT_OUI = 0x0277,        /* A client's MAC: this, and its number. */
    N_FLOWS    = 40,
    MAX_FLOWS  = 1000,
    MAX_FRAMES = 100,
    MAX_WANTS  = 4,
};

/* The test double of the ports. */
static struct {
    uint32_t vni;
    uint8_t frame[128];
    size_t size;
} delivered[MAX_FRAMES];
static size_t n_delivered;

void
netdev_anycast_deliver(uint32_t vni, struct dp_packet *packet)
{
    size_t size = dp_packet_size(packet);

    assert_true(n_delivered < MAX_FRAMES && size <= 128);
    delivered[n_delivered].vni = vni;
    delivered[n_delivered].size = size;
    memcpy(delivered[n_delivered++].frame, dp_packet_data(packet), size);
    dp_packet_delete(packet);
}

/* Four groups, none of which goes by slots: what a host knows is nowhere else
 * to be had. */
static struct world *
make_world(void)
{
    struct world *w = world_create();

    for (int g = 1; g < WORLD_GROUPS; g++) {
        w->groups[g] = w->groups[TCP4];
    }
    w->groups[TCP6].ipv6 = true;
    w->groups[TCP6].port = 0;
    w->groups[OTHER_TENANT].vni = 5002;
    w->groups[UDP4].protocol = 17;
    for (int g = 0; g < WORLD_GROUPS; g++) {
        w->groups[g].algorithm = ALGORITHM_ROUND_ROBIN;
    }
    world_publish(w);
    n_delivered = 0;
    return w;
}

/* A client's connection, and what is known of it here. */
struct connection {
    int group;
    uint32_t client;
    uint16_t src_port;
    int endpoint;
    const char *state;
    uint64_t seen_ms;
};

static struct world_packet
packet_of(const struct connection *c, uint8_t flags)
{
    struct world_packet p = world_packet(0, flags);

    p.spec.src = c->client;
    p.spec.ipv6 = c->group == TCP6;
    p.spec.protocol = c->group == UDP4 ? 17 : 0;
    p.vni = c->group == OTHER_TENANT ? 5002 : 5001;
    p.src_port = c->src_port;
    return p;
}

/* Sends a packet of the connection, and returns its endpoint. */
static int
send_one(struct world *w, struct connection *c, uint8_t flags)
{
    struct world_packet p = packet_of(c, flags);

    c->seen_ms = w->now_ms;
    world_build(&p);
    frame_put16(p.frame + 6, CLIENT_OUI);
    frame_put32(p.frame + 8, c->client);
    world_load(&p);
    return world_run(w, &p);
}

/* Opens connection 'i' of 'client' to 'group', and brings it into one of the
 * states that there are. */
static struct connection
make_connection(struct world *w, int group, uint32_t client, int i)
{
    struct connection c = {
        .group = group, .client = client, .src_port = 40000 + i,
    };

    c.endpoint = send_one(w, &c, SYN);
    assert_in_range(c.endpoint, 0, 3);
    if (group == UDP4) {
        c.state = i % 2 ? "datagram" : "unproven";
        if (i % 2) {
            send_one(w, &c, 0);
        }
        return c;
    }
    c.state = "new";
    if (i % 3) {
        send_one(w, &c, ACK);
        c.state = "established";
    }
    if (i % 3 == 2) {
        send_one(w, &c, FIN | ACK);
        c.state = "closing";
    }
    return c;
}

static void
make_connections(struct world *w, int group, uint32_t client,
                 struct connection connections[N_FLOWS])
{
    for (int i = 0; i < N_FLOWS; i++) {
        connections[i] = make_connection(w, group, client, i);
        w->now_ms += 1000;
    }
}

static struct inet_addr
address_of(const struct connection *c)
{
    return world_address(c->client, c->group == TCP6);
}

/* What was found for each want. */
struct findings {
    size_t max, n_step;         /* In one step. */
    size_t n[MAX_WANTS];
    struct relay_flow *flows[MAX_WANTS]; /* MAX_FLOWS each. */
};

static void
note_found(void *findings_, size_t want, const struct relay_flow *flow)
{
    struct findings *f = findings_;

    assert_true(want < MAX_WANTS && f->n[want] < MAX_FLOWS);
    f->flows[want][f->n[want]++] = *flow;
    f->n_step++;
}

static void
collect_for(const struct world *w, const struct relay_want *wants,
            size_t n_wants, struct findings *f)
{
    uint64_t cursor = 0;
    bool more;

    do {
        f->n_step = 0;
        more = handover_collect(&w->engine, wants, n_wants, w->now_ms * 1000,
                                &cursor, f->max, note_found, f);
        assert_true(f->n_step <= f->max * n_wants);
    } while (more);
}

/* All flows of the source in 'flows', looking at 'max' at a time. */
static size_t
collect(const struct world *w, uint32_t vni, struct inet_addr source,
        size_t max, struct relay_flow flows[MAX_FLOWS])
{
    const struct relay_want want = { .vni = vni, .source = source };
    struct findings f = { .max = max, .flows = { flows } };

    collect_for(w, &want, 1, &f);
    return f.n[0];
}

/* Each of the connections is once among the flows. */
static void
check_listed(const struct world *w, const struct connection *connections,
             const struct relay_flow *flows, size_t n)
{
    for (int i = 0; i < N_FLOWS; i++) {
        const struct connection *c = &connections[i];
        int n_found = 0;

        for (size_t j = 0; j < n; j++) {
            const struct relay_flow *f = &flows[j];
            uint64_t idle_s = w->now_ms / 1000 - c->seen_ms / 1000;

            if (f->group == c->group + 1u && f->src_port == c->src_port) {
                assert_int_equal(f->dst_port, 80);
                assert_int_equal(f->endpoint, c->endpoint);
                assert_string_equal(f->state, c->state);
                assert_int_equal(f->idle_s, idle_s);
                n_found++;
            }
        }
        assert_int_equal(n_found, 1);
    }
}

static void
the_flows_of_one_source_are_collected(void **state OVS_UNUSED)
{
    static struct connection mine4[N_FLOWS], mine6[N_FLOWS], udp[N_FLOWS];
    static struct connection others[N_FLOWS];
    static const size_t maxima[] = { 1, 7, 80, 200 };
    static struct relay_flow flows[MAX_FLOWS];
    struct world *w = make_world();

    make_connections(w, TCP4, CLIENT, mine4);
    make_connections(w, TCP6, CLIENT, mine6);
    make_connections(w, UDP4, CLIENT, udp);
    make_connections(w, TCP4, CLIENT + 1, others);
    make_connections(w, OTHER_TENANT, CLIENT, others);

    for (size_t i = 0; i < ARRAY_SIZE(maxima); i++) {
        assert_int_equal(collect(w, 5001, address_of(mine4), maxima[i],
                                 flows), 2 * N_FLOWS);
        check_listed(w, mine4, flows, 2 * N_FLOWS);
        check_listed(w, udp, flows, 2 * N_FLOWS);
        assert_int_equal(collect(w, 5001, address_of(mine6), maxima[i],
                                 flows), N_FLOWS);
        check_listed(w, mine6, flows, N_FLOWS);
        assert_int_equal(collect(w, 5002, address_of(others), maxima[i],
                                 flows), N_FLOWS);
        check_listed(w, others, flows, N_FLOWS);
    }
    assert_int_equal(collect(w, 5003, address_of(mine4), 10, flows), 0);
    assert_int_equal(collect(w, 5001, inet_addr_from4(1), 10, flows), 0);
    world_destroy(w);
}

/* The same as in a walk for each, two wanting the same. */
static void
several_questions_are_answered_in_one_walk(void **state OVS_UNUSED)
{
    static struct connection connections[N_FLOWS];
    static struct relay_flow flows[MAX_WANTS][MAX_FLOWS], alone[MAX_FLOWS];
    const struct relay_want wants[MAX_WANTS] = {
        { .vni = 5001, .source = inet_addr_from4(CLIENT) },
        { .vni = 5002, .source = inet_addr_from4(CLIENT) },
        { .vni = 5001, .source = inet_addr_from4(CLIENT + 1) },
        { .vni = 5001, .source = inet_addr_from4(CLIENT) },
    };
    struct world *w = make_world();

    make_connections(w, TCP4, CLIENT, connections);
    make_connections(w, UDP4, CLIENT + 1, connections);
    make_connections(w, OTHER_TENANT, CLIENT, connections);
    for (size_t max = 1; max <= 1000; max *= 10) {
        struct findings f = {
            .max = max, .flows = { flows[0], flows[1], flows[2], flows[3] },
        };

        memset(flows, 0, sizeof flows);
        collect_for(w, wants, MAX_WANTS, &f);
        for (int i = 0; i < MAX_WANTS; i++) {
            memset(alone, 0, sizeof alone);
            assert_int_equal(f.n[i], N_FLOWS);
            assert_int_equal(collect(w, wants[i].vni, wants[i].source, 1000,
                                     alone), N_FLOWS);
            assert_memory_equal(flows[i], alone, sizeof alone);
        }
    }
    world_destroy(w);
}

static void
flows_that_have_timed_out_and_groups_that_have_gone_are_not(
    void **state OVS_UNUSED)
{
    static struct connection mine[N_FLOWS], udp[N_FLOWS];
    static struct relay_flow flows[MAX_FLOWS];
    struct world *w = make_world();
    struct world empty = { .engine = { .table = NULL } };

    make_connections(w, TCP4, CLIENT, mine);
    make_connections(w, UDP4, CLIENT, udp);
    w->now_ms += 400 * 1000;
    assert_int_equal(collect(w, 5001, address_of(mine), 10, flows),
                     N_FLOWS / 3);
    w->groups[TCP4].vni = 0;
    world_publish(w);
    assert_int_equal(collect(w, 5001, address_of(mine), 10, flows), 0);

    assert_int_equal(collect(&empty, 5001, address_of(mine), 10, flows), 0);
    empty.engine = w->engine;
    empty.engine.table = NULL;
    empty.now_ms = w->now_ms;
    assert_int_equal(collect(&empty, 5001, address_of(mine), 10, flows), 0);
    world_destroy(w);
}

/* What the messages carry, from one host to another. */
static size_t
hand_over(const struct world *from, struct world *to, uint32_t vni,
          struct inet_addr source)
{
    static struct relay_flow flows[MAX_FLOWS];
    struct relay_flows message = {
        .vni = vni, .source = source, .flows = flows,
        .n = collect(from, vni, source, 200, flows),
    };

    handover_let_go(&from->engine, &message, from->now_ms * 1000);
    return handover_enter(&to->engine, &message, to->now_ms * 1000);
}

static void
connections_stay_where_they_are_when_their_client_moves(
    void **state OVS_UNUSED)
{
    for (int group = TCP4; group <= UDP4; group++) {
        static struct connection mine[N_FLOWS];
        struct world *old = make_world(), *new = make_world();
        struct connection stranger;
        int n_elsewhere = 0;

        /* Others have come to the new host first, so it would choose anew. */
        stranger = make_connection(new, group, CLIENT + 9, 1);
        make_connections(old, group, CLIENT, mine);
        assert_int_equal(hand_over(old, new,
                                   group == OTHER_TENANT ? 5002 : 5001,
                                   address_of(mine)), N_FLOWS);
        for (int i = 0; i < N_FLOWS; i++) {
            struct world_packet p = packet_of(&mine[i], ACK);

            assert_string_equal(flow_state_name(world_state(new, &p)),
                                mine[i].state);
            assert_int_equal(send_one(new, &mine[i], ACK), mine[i].endpoint);
            n_elsewhere += mine[i].endpoint != stranger.endpoint;
        }
        assert_true(n_elsewhere > 0);
        assert_int_equal(world_census(new, group).entries, N_FLOWS + 1);

        /* Where they were, they are forgotten soon. */
        assert_int_equal(world_census(old, group).entries, N_FLOWS);
        old->now_ms += 250 * 1000;
        world_sweep(old);
        assert_int_equal(world_census(old, group).entries, 0);
        assert_int_equal(world_census(old, group).open, 0);
        world_destroy(old);
        world_destroy(new);
    }
}

static void
what_does_not_fit_is_not_entered(void **state OVS_UNUSED)
{
    static struct relay_flow flows[] = {
        { 1, 1, 80, 2, 0, "established" }, /* Right. */
        { 9, 2, 80, 2, 0, "established" }, /* No such group. */
        { OTHER_TENANT + 1, 3, 80, 2, 0, "established" },
        { 1, 4, 80, 4, 0, "established" }, /* No such endpoint. */
        { 1, 5, 80, 4095, 0, "established" },
        { 1, 6, 80, 3, 0, "established" }, /* Down. */
        { 1, 7, 80, 2, 0, "free" }, { 1, 8, 80, 2, 0, "claimed" },
        { 1, 9, 80, 2, 0, "" }, { 1, 10, 80, 2, 0, "establishe" },
        { 1, 11, 80, 1, 0, "established" }, /* Draining, ... */
        { 1, 12, 80, 0, 0, "closing" }, /* ... and lost: both keep flows. */
    };
    const struct relay_flows message = {
        .vni = 5001, .source = inet_addr_from4(CLIENT), .flows = flows,
        .n = ARRAY_SIZE(flows),
    };
    struct world *w = make_world();
    struct engine_world empty = { .table = NULL };

    w->groups[TCP4].states[0] = ENDPOINT_LOST;
    w->groups[TCP4].states[1] = ENDPOINT_DRAINING;
    w->groups[TCP4].states[3] = ENDPOINT_DOWN;
    world_publish(w);
    assert_int_equal(handover_enter(&empty, &message, w->now_ms * 1000), 0);
    assert_int_equal(handover_enter(&w->engine, &message, w->now_ms * 1000),
                     3);
    for (int i = 0; i < WORLD_GROUPS; i++) {
        assert_int_equal(world_census(w, i).entries, i ? 0 : 3);
    }
    for (size_t i = 0; i < ARRAY_SIZE(flows); i++) {
        struct connection c = {
            .client = CLIENT, .src_port = flows[i].src_port,
        };
        struct world_packet p = packet_of(&c, ACK);
        bool entered = i == 0 || i >= ARRAY_SIZE(flows) - 2;

        assert_int_equal(world_state(w, &p) != FLOW_FREE, entered);
        if (entered) {
            assert_int_equal(send_one(w, &c, ACK), flows[i].endpoint);
        }
    }
    world_destroy(w);
}

/* Another host may still know them. */
static void
flows_that_no_answer_names_wait_on(void **state OVS_UNUSED)
{
    struct world *w = make_world();
    struct connection c = { .client = CLIENT, .src_port = 40000 };
    struct relay_flows none = {
        .vni = 5001, .source = inet_addr_from4(CLIENT),
    };

    assert_int_equal(send_one(w, &c, ACK), -1);
    assert_int_equal(handover_enter(&w->engine, &none, w->now_ms * 1000), 0);
    assert_int_equal(send_one(w, &c, ACK), -1);

    /* Not for ever, and they are not asked about again for a while. */
    w->now_ms += 1100;
    assert_in_range(send_one(w, &c, ACK), 0, 3);
    c.src_port++;
    w->now_ms += 58 * 1000;
    assert_in_range(send_one(w, &c, ACK), 0, 3);
    c.src_port++;
    w->now_ms += 2 * 1000;
    assert_int_equal(send_one(w, &c, ACK), -1);
    world_destroy(w);
}

/* Without looking at flows. */
static void
whether_anybody_can_be_provoked_is_known(void **state OVS_UNUSED)
{
    struct world *w = make_world();
    struct engine_world empty = { .table = NULL };

    assert_false(handover_can_provoke(&empty));
    assert_false(handover_can_provoke(&w->engine));
    w->groups[TCP6].flags = GROUP_RESET_LOST;
    w->groups[TCP4].states[3] = ENDPOINT_LOST;
    w->groups[UDP4].flags = GROUP_RESET_LOST;
    w->groups[UDP4].states[3] = ENDPOINT_LOST;
    world_publish(w);
    assert_false(handover_can_provoke(&w->engine));
    w->groups[TCP6].states[3] = ENDPOINT_LOST;
    world_publish(w);
    assert_true(handover_can_provoke(&w->engine));
    world_destroy(w);
}

/* Endpoints 0 and 1 of all groups are lost, and all groups reset flows. */
static void
lose_endpoints(struct world *w)
{
    for (int g = 0; g < WORLD_GROUPS; g++) {
        w->groups[g].flags = GROUP_RESET_LOST;
        w->groups[g].states[0] = ENDPOINT_LOST;
        w->groups[g].states[1] = ENDPOINT_LOST;
    }
    world_publish(w);
}

/* Provokes, up to 'max' at a time out of so many flows, and returns how many
 * there were. */
static size_t
provoke_of(const struct world *w, size_t max_flows, size_t max)
{
    uint64_t cursor = 0;
    size_t n = 0, step;
    bool more;

    n_delivered = 0;
    do {
        more = handover_provoke_lost(&w->engine, w->now_ms * 1000, &cursor,
                                     max_flows, max, &step);
        assert_true(step <= max && step <= max_flows);
        n += step;
        assert_int_equal(n_delivered, n);
    } while (more);
    assert_true(!n || handover_can_provoke(&w->engine));
    return n;
}

static size_t
provoke(const struct world *w, size_t max)
{
    return provoke_of(w, SIZE_MAX, max);
}

/* Checks the frame for connection 'c', as its service would send it. */
static void
check_provoked(const struct connection *c, size_t i)
{
    struct world_packet p = packet_of(c, ACK);
    const uint8_t *sent = p.frame + 14;
    struct provoked read;
    uint32_t vni = c->group == OTHER_TENANT ? 5002 : 5001;
    const uint8_t router[6] = { 0x0a, 0x67, 0x72, 0, vni >> 8, vni };
    int ofs = c->group == TCP6 ? 8 : 12;
    int len = c->group == TCP6 ? 16 : 4;

    world_build(&p);
    assert_int_equal(delivered[i].vni, vni);
    assert_true(provoked_read(delivered[i].frame, delivered[i].size, &read));
    assert_int_equal(read.ipv6, c->group == TCP6);
    assert_int_equal(frame_get16(read.dst_mac), CLIENT_OUI);
    assert_int_equal(frame_get32(read.dst_mac + 2), c->client);
    assert_memory_equal(read.src_mac, router, 6);
    assert_memory_equal(read.dst, sent + ofs, len);
    assert_memory_equal(read.src, sent + ofs + len, len);
    assert_int_equal(read.src_port, 80);
    assert_int_equal(read.dst_port, c->src_port);
}

/* Whether connection 'c' is to be provoked after lose_endpoints(). */
static bool
is_hopeless(const struct connection *c)
{
    return c->endpoint < 2 && !strcmp(c->state, "established");
}

static void
clients_of_lost_flows_are_provoked(void **state OVS_UNUSED)
{
    for (int group = TCP4; group <= OTHER_TENANT; group++) {
        static struct connection mine[N_FLOWS];
        struct world *w = make_world();
        size_t n_hopeless = 0, n_seen = 0;

        make_connections(w, group, CLIENT, mine);
        for (int i = 0; i < N_FLOWS; i++) {
            n_hopeless += is_hopeless(&mine[i]);
        }
        assert_in_range(n_hopeless, 3, N_FLOWS / 2);
        assert_int_equal(provoke(w, 100), 0);

        lose_endpoints(w);
        for (size_t max = 1; max <= 64; max *= 4) {
            assert_int_equal(provoke_of(w, max, 100), n_hopeless);
            assert_int_equal(provoke(w, max), n_hopeless);
        }
        for (int i = 0; i < N_FLOWS; i++) {
            for (size_t j = 0; j < n_delivered; j++) {
                struct provoked read;

                provoked_read(delivered[j].frame, delivered[j].size, &read);
                if (read.dst_port == mine[i].src_port) {
                    assert_true(is_hopeless(&mine[i]));
                    check_provoked(&mine[i], j);
                    n_seen++;
                }
            }
        }
        assert_int_equal(n_seen, n_hopeless);
        world_destroy(w);
    }
}

static void
a_client_whose_only_packet_was_in_mid_flow_is_provoked(
    void **state OVS_UNUSED)
{
    struct world *w = make_world();
    struct connection c = { .group = TCP6, .client = CLIENT, .src_port = 5 };

    c.endpoint = send_one(w, &c, SYN);
    w->now_ms += 5000 * 1000;   /* Until that is forgotten. */
    send_one(w, &c, ACK);
    w->now_ms += 1500;          /* Nobody knows the flow. */
    c.endpoint = send_one(w, &c, ACK);
    lose_endpoints(w);
    w->groups[TCP6].states[c.endpoint] = ENDPOINT_LOST;
    world_publish(w);
    assert_int_equal(provoke(w, 9), 1);
    check_provoked(&c, 0);
    world_destroy(w);
}

static void
nobody_else_is_provoked(void **state OVS_UNUSED)
{
    static struct connection mine[N_FLOWS], udp[N_FLOWS];
    static struct relay_flow moved = { 1, 9, 80, 0, 0, "established" };
    const struct relay_flows message = {
        .vni = 5001, .source = inet_addr_from4(CLIENT + 1), .flows = &moved,
        .n = 1,
    };
    struct world *w = make_world();

    make_connections(w, TCP4, CLIENT, mine);
    make_connections(w, UDP4, CLIENT, udp);
    lose_endpoints(w);
    assert_true(provoke(w, 100) > 0);

    /* No client here has that address. */
    size_t before = provoke(w, 100);
    assert_int_equal(handover_enter(&w->engine, &message, w->now_ms * 1000),
                     1);
    assert_int_equal(provoke(w, 100), before);

    w->groups[TCP4].flags = 0;
    world_publish(w);
    assert_int_equal(provoke(w, 100), 0);
    w->groups[TCP4].flags = GROUP_RESET_LOST;
    w->groups[TCP4].states[0] = w->groups[TCP4].states[1] = ENDPOINT_DRAINING;
    world_publish(w);
    assert_int_equal(provoke(w, 100), 0);
    w->groups[TCP4].states[0] = w->groups[TCP4].states[1] = ENDPOINT_LOST;
    w->groups[TCP4].n_endpoints = 0; /* All are gone. */
    for (int s = 0; s < WORLD_SLOTS; s++) {
        w->groups[TCP4].slots[s] = GROUP_NO_ENDPOINT;
    }
    world_publish(w);
    assert_int_equal(provoke(w, 100), 0);
    world_destroy(w);
}

/* The flow table is that of before, the sources are not.  One packet in
 * mid-flow will do. */
static void
clients_are_known_again_after_a_restart(void **state OVS_UNUSED)
{
    for (int group = TCP4; group <= TCP6; group++) {
        struct connection c = { .group = group, .client = CLIENT,
                                .src_port = 5 };
        struct world *w = make_world();

        c.endpoint = send_one(w, &c, SYN);
        send_one(w, &c, ACK);
        source_table_destroy(w->sources);
        w->sources = source_table_create(
            16, &(const struct hash_key) { { 3, 4 } });
        w->engine.sources = w->sources;
        w->groups[group].flags = GROUP_RESET_LOST;
        world_publish(w);

        w->now_ms += 1000;
        assert_int_equal(send_one(w, &c, ACK), c.endpoint);
        for (int e = 0; e < 4; e++) {
            w->groups[group].states[e] = ENDPOINT_LOST;
        }
        world_publish(w);
        assert_int_equal(provoke(w, 9), 1);
        check_provoked(&c, 0);
        world_destroy(w);
    }
}

/* It need not send more than the packet that made its new host ask. */
static void
a_client_that_has_moved_is_known(void **state OVS_UNUSED)
{
    static struct connection mine[N_FLOWS];
    struct world *old = make_world(), *new = make_world();
    size_t n_hopeless = 0;

    make_connections(old, TCP4, CLIENT, mine);
    for (int i = 0; i < N_FLOWS; i++) {
        n_hopeless += is_hopeless(&mine[i]);
    }
    assert_int_equal(send_one(new, &mine[1], ACK), -1);
    assert_int_equal(hand_over(old, new, 5001, address_of(mine)), N_FLOWS);
    lose_endpoints(new);
    assert_int_equal(provoke(new, 100), n_hopeless);
    world_destroy(old);
    world_destroy(new);
}

static void
a_source_with_affinity_is_not_provoked(void **state OVS_UNUSED)
{
    struct connection c = { .client = CLIENT, .src_port = 5 };
    struct world *w = make_world();

    w->groups[TCP4].affinity = AFFINITY_SOURCE;
    world_publish(w);
    send_one(w, &c, SYN);
    send_one(w, &c, ACK);
    lose_endpoints(w);
    for (int e = 0; e < 4; e++) {
        w->groups[TCP4].states[e] = ENDPOINT_LOST;
    }
    world_publish(w);
    assert_int_equal(world_census(w, TCP4).entries, 1);
    assert_int_equal(provoke(w, 100), 0);
    world_destroy(w);
}

static void
no_two_provoke_with_the_same_number(void **state OVS_UNUSED)
{
    static struct connection mine[N_FLOWS];
    struct world *w = make_world();
    size_t n;

    make_connections(w, TCP4, CLIENT, mine);
    lose_endpoints(w);
    n = provoke(w, 100);
    for (size_t i = 1; i < n; i++) {
        assert_true(frame_get32(delivered[i].frame + 38)
                    != frame_get32(delivered[i - 1].frame + 38));
    }
    world_destroy(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_flows_of_one_source_are_collected),
        cmocka_unit_test(several_questions_are_answered_in_one_walk),
        cmocka_unit_test(
            flows_that_have_timed_out_and_groups_that_have_gone_are_not),
        cmocka_unit_test(
            connections_stay_where_they_are_when_their_client_moves),
        cmocka_unit_test(what_does_not_fit_is_not_entered),
        cmocka_unit_test(flows_that_no_answer_names_wait_on),
        cmocka_unit_test(whether_anybody_can_be_provoked_is_known),
        cmocka_unit_test(clients_of_lost_flows_are_provoked),
        cmocka_unit_test(
            a_client_whose_only_packet_was_in_mid_flow_is_provoked),
        cmocka_unit_test(nobody_else_is_provoked),
        cmocka_unit_test(clients_are_known_again_after_a_restart),
        cmocka_unit_test(a_client_that_has_moved_is_known),
        cmocka_unit_test(a_source_with_affinity_is_not_provoked),
        cmocka_unit_test(no_two_provoke_with_the_same_number),
    };

    return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
