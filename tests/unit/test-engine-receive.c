/* What switches do with each other's packets: known and unknown flows,
 * previous owners, endpoints that have moved, and that nothing goes round. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/cluster.h"

enum { SYN = 0x02, ACK = 0x10, FIN = 0x01, RST = 0x04, CLIENT = 3 };

/* Endpoints 0, 1 and 2 are on the hosts with their numbers, clients on the
 * other one.  All slots are endpoint 0's. */
static int
setup(void **state)
{
    struct cluster *c = cluster_create();

    c->hosts[0]->groups[0].n_endpoints = 3;
    world_give_slots(c->hosts[0], 0, 0);
    cluster_copy(c);
    *state = c;
    return 0;
}

static int
teardown(void **state)
{
    cluster_destroy(*state);
    return 0;
}

static void
set_algorithm(struct cluster *c, enum group_algorithm algorithm)
{
    c->hosts[0]->groups[0].algorithm = algorithm;
    cluster_copy(c);
}

/* On hosts 'first' to 'last' all slots are 'owner's now, and were its
 * predecessor's before. */
static void
move_slots(struct cluster *c, int first, int last, uint16_t owner)
{
    for (int h = first; h <= last; h++) {
        struct world_group *g = &c->hosts[h]->groups[0];

        for (int s = 0; s < WORLD_SLOTS; s++) {
            g->previous[s][1] = g->previous[s][0];
            g->previous[s][0] = g->slots[s];
        }
        world_give_slots(c->hosts[h], 0, owner);
        world_publish(c->hosts[h]);
    }
}

static void
check_arrives(const struct journey *j, int endpoint, int n_hops)
{
    assert_int_equal(j->verdict, ENGINE_LOCAL);
    assert_int_equal(j->endpoint, endpoint);
    assert_int_equal(j->host, endpoint);
    assert_int_equal(j->n_hops, n_hops);
}

#define CHECK_FLOW(C, FLOW, FLAGS, ENDPOINT, HOPS)                          \
    do {                                                                    \
        struct journey j_ = cluster_send_flow(C, CLIENT, FLOW, FLAGS);      \
        check_arrives(&j_, ENDPOINT, HOPS);                                 \
    } while (0)

static uint64_t
hints_sent(const struct cluster *c)
{
    uint64_t n = 0;

    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        n += c->hosts[h]->thread.count.hints_sent;
    }
    return n;
}

static uint64_t
forwarded(const struct cluster *c)
{
    uint64_t n = 0;

    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        n += c->hosts[h]->thread.count.forwarded;
    }
    return n;
}

static void
test_in_quiet_times_packets_go_straight_to_their_endpoint(void **state)
{
    struct cluster *c = *state;

    for (int a = 0; a < N_ALGORITHMS; a++) {
        set_algorithm(c, a);
        for (int f = 0; f < 50; f++) {
            struct journey syn = cluster_send_flow(c, CLIENT, a * 50 + f,
                                                   SYN);

            check_arrives(&syn, syn.endpoint, 1);
            assert_true(syn.context.is_new);
            CHECK_FLOW(c, a * 50 + f, ACK, syn.endpoint, 1);
        }
    }
    assert_int_equal(hints_sent(c), 0);
    assert_int_equal(forwarded(c), 0);
}

/* The receiver of flows in groups that go by slots knows them. */
static void
test_the_receiver_remembers_flows_of_slots_only(void **state)
{
    struct cluster *c = *state;
    static const struct {
        enum group_algorithm algorithm;
        enum flow_state sender, receiver;
    } cases[] = {
        { ALGORITHM_WEIGHTED, FLOW_ESTABLISHED, FLOW_ESTABLISHED },
        { ALGORITHM_HASH, FLOW_FREE, FLOW_ESTABLISHED },
        { ALGORITHM_LEAST_COST, FLOW_ESTABLISHED, FLOW_FREE },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        set_algorithm(c, cases[i].algorithm);
        struct journey j = cluster_send_flow(c, CLIENT, i, SYN);

        CHECK_FLOW(c, i, ACK, j.endpoint, 1);
        assert_int_equal(world_flow_state(c->hosts[CLIENT], i),
                         cases[i].sender);
        assert_int_equal(world_flow_state(c->hosts[j.host], i),
                         cases[i].receiver);
    }
}

/* A flow of a group without entries at senders, whose slot has moved once and
 * twice, and one that nobody knows. */
static void
test_a_moved_slots_flows_are_found_at_its_previous_owners(void **state)
{
    struct cluster *c = *state;

    set_algorithm(c, ALGORITHM_HASH);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    CHECK_FLOW(c, 0, ACK, 0, 1);
    move_slots(c, 0, CLIENT, 1);
    CHECK_FLOW(c, 1, SYN, 1, 1);
    CHECK_FLOW(c, 1, ACK, 1, 1);

    /* Each switch sets right the one before it. */
    CHECK_FLOW(c, 0, ACK, 0, 2);
    CHECK_FLOW(c, 0, ACK, 0, 2);
    CHECK_FLOW(c, 0, ACK, 0, 1);
    assert_int_equal(hints_sent(c), 3);

    move_slots(c, 0, CLIENT, 2);
    CHECK_FLOW(c, 1, ACK, 1, 2);
    CHECK_FLOW(c, 0, ACK, 0, 1);
    CHECK_FLOW(c, 2, SYN, 2, 1);

    /* In vain, and then it stays. */
    CHECK_FLOW(c, 3, ACK, 0, 3);
    struct journey j = cluster_send_flow(c, CLIENT, 4, FIN | ACK);
    check_arrives(&j, 0, 3);
    assert_int_equal(j.path[1], 2);
    assert_int_equal(j.path[2], 1);
    assert_int_equal(j.context.n_previous, 2);
    assert_int_equal(j.context.previous[0], 1);
    assert_int_equal(j.context.previous[1], 0);
    assert_false(j.context.is_new);
    CHECK_FLOW(c, 3, ACK, 0, 3);
    CHECK_FLOW(c, 3, ACK, 0, 3);
    CHECK_FLOW(c, 3, ACK, 0, 2);
    CHECK_FLOW(c, 3, ACK, 0, 1);
}

/* The client's switch is itself a receiver when the new owner is there. */
static void
test_an_owner_on_the_clients_host_asks_previous_owners_too(void **state)
{
    struct cluster *c = *state;

    for (int a = ALGORITHM_WEIGHTED; a <= ALGORITHM_HASH; a++) {
        uint32_t flow = 10 * a;

        set_algorithm(c, a);
        world_give_slots(c->hosts[0], 0, 0);
        cluster_copy(c);
        CHECK_FLOW(c, flow, SYN, 0, 1);
        if (a == ALGORITHM_WEIGHTED) {
            /* As if the client's switch had lost its flows. */
            flow_table_destroy(c->hosts[CLIENT]->flows);
            c->hosts[CLIENT]->flows
                = flow_table_create(&(struct flow_table_size) { 1000, 1000 });
        }
        for (int h = 0; h < CLUSTER_HOSTS; h++) {
            c->hosts[h]->groups[0].n_endpoints = 4;
        }
        move_slots(c, 0, CLIENT, 3);
        CHECK_FLOW(c, flow, ACK, 0, 1);
        CHECK_FLOW(c, flow, ACK, 0, 1);
        assert_int_not_equal(world_flow_state(c->hosts[CLIENT], flow),
                             FLOW_FREE);
        CHECK_FLOW(c, flow + 1, SYN, 3, 0);
        CHECK_FLOW(c, flow + 1, ACK, 3, 0);
    }
}

static void
test_a_previous_owner_that_keeps_no_flows_is_not_asked(void **state)
{
    struct cluster *c = *state;

    set_algorithm(c, ALGORITHM_HASH);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        c->hosts[h]->groups[0].states[0] = ENDPOINT_DOWN;
    }
    move_slots(c, 0, CLIENT, 1);
    struct journey j = cluster_send_flow(c, CLIENT, 0, ACK);
    check_arrives(&j, 1, 1);
    assert_int_equal(j.context.n_previous, 0);

    /* A dead host is asked only if it may be that it is not dead. */
    CHECK_FLOW(c, 1, SYN, 1, 1);
    for (int reset = 0; reset < 2; reset++) {
        c->hosts[0]->groups[0].states[1] = ENDPOINT_LOST;
        c->hosts[0]->groups[0].flags = reset ? GROUP_RESET_LOST : 0;
        if (!reset) {
            cluster_copy(c);
            move_slots(c, 0, CLIENT, 2);
        } else {
            cluster_copy(c);
        }
        CHECK_FLOW(c, 10 + reset, ACK, reset ? 2 : 1, reset ? 1 : 2);
    }
}

static void
test_datagrams_of_a_moved_slot_stay_and_new_ones_go_to_the_owner(void **state)
{
    struct cluster *c = *state;
    struct world_packet p[2] = { world_packet(0, 0), world_packet(1, 0) };

    for (int i = 0; i < 2; i++) {
        p[i].spec.protocol = 17;
    }
    c->hosts[0]->groups[0].protocol = 17;
    set_algorithm(c, ALGORITHM_HASH);
    for (int n = 0; n < 2; n++) {
        struct journey j = cluster_send(c, CLIENT, &p[0]);
        check_arrives(&j, 0, 1);
    }
    move_slots(c, 0, CLIENT, 1);

    /* That a flow is new is found out at its previous owner. */
    static const int hops[2][4] = { { 2, 2, 1, 1 }, { 3, 1, 1, 1 } };
    for (int n = 0; n < 4; n++) {
        for (int i = 0; i < 2; i++) {
            struct journey j = cluster_send(c, CLIENT, &p[i]);
            check_arrives(&j, i, hops[i][n]);
        }
    }

    /* Back to where it was. */
    move_slots(c, 0, CLIENT, 0);
    for (int n = 0; n < 4; n++) {
        for (int i = 0; i < 2; i++) {
            struct journey j = cluster_send(c, CLIENT, &p[i]);
            assert_int_equal(j.endpoint, i);
        }
    }
}

/* A sender that is behind, in a group without entries at senders: right from
 * the first packet on, and on the straight way after one round trip. */
static void
test_a_stale_sender_is_corrected_within_a_round_trip(void **state)
{
    struct cluster *c = *state;

    for (int v6 = 0; v6 < 4; v6++) {
        struct world_packet p = world_packet(v6, SYN);

        c->hosts[0]->groups[0].ipv6 = p.spec.ipv6 = v6 & 1;
        c->hosts[0]->ipv6_underlay = v6 & 2;
        world_give_slots(c->hosts[0], 0, 0);
        set_algorithm(c, ALGORITHM_HASH);
        move_slots(c, 0, 2, 1);

        uint64_t accepted = c->hosts[CLIENT]->thread.count.hints_accepted;
        struct journey j = cluster_send(c, CLIENT, &p);
        check_arrives(&j, 1, 2);
        assert_int_equal(c->hosts[CLIENT]->thread.count.hints_accepted,
                         accepted + 1);
        for (int n = 0; n < 3; n++) {
            p.tcp_flags = ACK;
            j = cluster_send(c, CLIENT, &p);
            check_arrives(&j, 1, 1);
        }
        assert_int_equal(c->hosts[CLIENT]->thread.count.hints_accepted,
                         accepted + 1);
    }
}

/* What ends a connection that nobody knows leaves nothing behind. */
static void
test_an_unknown_reset_is_delivered_and_forgotten(void **state)
{
    struct cluster *c = *state;

    for (int a = ALGORITHM_WEIGHTED; a <= ALGORITHM_HASH; a++) {
        set_algorithm(c, a);
        CHECK_FLOW(c, a, RST, 0, 1);
        for (int h = 0; h < CLUSTER_HOSTS; h++) {
            assert_int_equal(world_flow_state(c->hosts[h], a), FLOW_FREE);
        }
    }
}

/* A connection that ends stays until it has; the next one with its ports goes
 * by the slots as they are now. */
static void
test_a_closed_connections_ports_are_free(void **state)
{
    struct cluster *c = *state;

    set_algorithm(c, ALGORITHM_HASH);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    CHECK_FLOW(c, 0, ACK, 0, 1);
    CHECK_FLOW(c, 0, FIN | ACK, 0, 1);
    move_slots(c, 0, 2, 1);
    CHECK_FLOW(c, 0, ACK, 0, 1);
    CHECK_FLOW(c, 0, SYN, 1, 2);
    CHECK_FLOW(c, 0, ACK, 1, 1);
}

/* In a group with entries at the sender, what a sender chose stands as long as
 * its endpoint takes new flows. */
static void
test_a_choice_stands_unless_its_endpoint_drains(void **state)
{
    struct cluster *c = *state;

    move_slots(c, 0, 2, 1);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    CHECK_FLOW(c, 0, ACK, 0, 1);
    for (int h = 0; h < 3; h++) {
        c->hosts[h]->groups[0].states[0] = ENDPOINT_DRAINING;
        world_publish(c->hosts[h]);
    }
    CHECK_FLOW(c, 0, ACK, 0, 1);
    CHECK_FLOW(c, 1, SYN, 1, 2);
    CHECK_FLOW(c, 1, ACK, 1, 1);
    assert_int_equal(hints_sent(c), 1);
}

/* Endpoint 0 now lives on host 1, which the sender does not know. */
static void
test_an_endpoint_that_has_moved_is_found(void **state)
{
    struct cluster *c = *state;

    for (int a = 0; a < N_ALGORITHMS; a++) {
        struct world_group *g = &c->hosts[0]->groups[0];

        g->algorithm = a;
        memset(g->hosts, 0, sizeof g->hosts);
        memset(g->previous, 0xff, sizeof g->previous);
        for (int e = 1; e < 3; e++) {
            g->states[e] = ENDPOINT_DRAINING;
        }
        cluster_copy(c);
        assert_int_equal(cluster_send_flow(c, CLIENT, a, SYN).host, 0);
        for (int h = 0; h < 3; h++) {
            c->hosts[h]->groups[0].hosts[0] = 1;
            for (int s = 0; s < WORLD_SLOTS; s++) {
                c->hosts[h]->groups[0].previous[s][0] = 2;
            }
            world_publish(c->hosts[h]);
        }
        for (int n = 0; n < 3; n++) {
            /* Known at the host before, and unknown there. */
            for (int f = 0; f < 2; f++) {
                struct journey j = cluster_send_flow(c, CLIENT, a + 100 * f,
                                                     f && !n ? SYN : ACK);

                assert_int_equal(j.verdict, ENGINE_LOCAL);
                assert_int_equal(j.endpoint, 0);
                assert_int_equal(j.host, 1);
                assert_int_equal(j.n_hops, 2);
            }
        }
    }
}

/* The sender's switch has seen to the TTL; others only pass the packet on. */
static void
test_tunnels_take_nothing_off_the_ttl(void **state)
{
    struct cluster *c = *state;
    struct world_packet p = world_packet(0, SYN);

    set_algorithm(c, ALGORITHM_HASH);
    move_slots(c, 0, 2, 1);
    p.spec.ttl = 2;
    struct journey j = cluster_send(c, CLIENT, &p);
    check_arrives(&j, 1, 2);
    assert_int_equal(j.inner[14 + 8], 1);
    j = cluster_send(c, CLIENT, &p);
    check_arrives(&j, 1, 1);
    assert_int_equal(j.inner[14 + 8], 1);
    assert_int_equal(frame_sum(j.inner + 14, 20), 0xffff);
}

/* Runs 'p' at host 'h' as if it came from 'peer' with 'options'. */
static void
arrive(struct cluster *c, int h, struct world_packet *p, uint32_t peer,
       const uint8_t *options, size_t size, int endpoint)
{
    struct engine_arrival arrival = {
        .options = options, .options_len = size,
        .peer = inet_addr_from4(0xc0000201 + peer),
    };

    p->arrival = &arrival;
    world_build(p);
    memcpy(p->frame, (uint8_t[]) { 2, 0, 0, 0, 0, endpoint }, 6);
    world_load(p);
    world_run(c->hosts[h], p);
}

static void
test_what_has_no_context_is_delivered_here_or_not_at_all(void **state)
{
    struct cluster *c = *state;
    static const uint8_t newer[]
        = { 0xff, 0x67, 1, 2, 0x20, 0, 0, 1, 0, 0, 0, 2 };
    static const uint8_t others_group[]
        = { 0xff, 0x67, 1, 2, 0x10, 0, 0, 9, 0, 0, 0, 2 };
    static const uint8_t foreign[] = { 0x01, 0x02, 1, 1, 0, 0, 0, 0 };
    static const struct {
        const uint8_t *options;
        size_t size;
    } cases[] = {
        { NULL, 0 }, { newer, sizeof newer }, { foreign, sizeof foreign },
        { others_group, sizeof others_group },
    };

    set_algorithm(c, ALGORITHM_HASH);
    move_slots(c, 0, CLIENT, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t flow = 10 * i;
        struct world_packet here = world_packet(flow, ACK);
        struct world_packet elsewhere = world_packet(flow + 1, ACK);
        struct world_packet known = world_packet(flow + 2, ACK);

        /* The slot has a previous owner; it is not asked. */
        arrive(c, 1, &here, CLIENT, cases[i].options, cases[i].size, 1);
        assert_int_equal(here.packet.verdict, ENGINE_LOCAL);
        arrive(c, 1, &elsewhere, CLIENT, cases[i].options, cases[i].size, 0);
        assert_int_equal(elsewhere.packet.reason, DROP_MISDELIVERED);

        /* The sender can be told, at least. */
        CHECK_FLOW(c, flow + 2, ACK, 0, 2);
        CHECK_FLOW(c, flow + 2, ACK, 0, 2);
        uint64_t n = c->hosts[1]->thread.count.hints_sent;
        arrive(c, 1, &known, CLIENT, cases[i].options, cases[i].size, 1);
        assert_int_equal(known.packet.reason, DROP_MISDELIVERED);
        assert_int_equal(c->hosts[1]->thread.count.hints_sent, n + 1);
    }
}

static void
test_hops_are_limited(void **state)
{
    struct cluster *c = *state;

    set_algorithm(c, ALGORITHM_HASH);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    move_slots(c, 0, CLIENT, 1);
    CHECK_FLOW(c, 0, ACK, 0, 2);
    for (int hops = 0; hops < 4; hops++) {
        uint8_t options[] = { 0xff, 0x67, 1, 2, 0x10 + hops * 2, 0, 0, 1,
                              0, 0, 0, 3, 0xff, 0x67, 2, 2,
                              0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff };
        struct world_packet known = world_packet(0, ACK);
        struct world_packet unknown = world_packet(100 + hops, ACK);
        struct world_context context;

        arrive(c, 1, &known, CLIENT, options, sizeof options, 1);
        arrive(c, 1, &unknown, CLIENT, options, sizeof options, 1);
        if (hops == 3) {
            assert_int_equal(known.packet.reason, DROP_MISDELIVERED);
            assert_int_equal(unknown.packet.verdict, ENGINE_LOCAL);
            continue;
        }
        for (int i = 0; i < 2; i++) {
            struct world_packet *p = i ? &unknown : &known;

            assert_int_equal(p->packet.verdict, ENGINE_UNDERLAY);
            assert_int_equal(p->outer.to, 0);
            assert_true(world_read_context(&p->outer, &context));
            assert_int_equal(context.hops, hops + 1);
            assert_false(context.is_new);
            assert_int_equal(context.n_previous, i);
        }
        assert_int_equal(context.previous[0], 2);
    }
}

/* Both endpoints on one host, whose switch has an entry for the first. */
static void
test_a_connection_that_never_came_about_may_move_on(void **state)
{
    struct cluster *c = *state;

    c->hosts[0]->groups[0].hosts[1] = 0;
    cluster_copy(c);
    struct journey j = cluster_send_flow(c, CLIENT, 0, SYN);
    assert_int_equal(j.endpoint, 0);
    c->hosts[CLIENT]->loads[0][0].failures = LOAD_MAX_FAILURES;
    c->hosts[CLIENT]->loads[0][0].measured_us
        = c->hosts[CLIENT]->now_ms * 1000;
    for (int s = 0; s < WORLD_SLOTS; s += 2) {
        c->hosts[CLIENT]->groups[0].slots[s] = 1;
    }
    world_publish(c->hosts[CLIENT]);
    j = cluster_send_flow(c, CLIENT, 0, SYN);
    assert_int_equal(j.endpoint, 1);
    assert_int_equal(j.host, 0);
    assert_int_equal(j.n_hops, 1);
    assert_int_equal(cluster_send_flow(c, CLIENT, 0, ACK).endpoint, 1);
    assert_int_equal(hints_sent(c), 0);

    /* Once it has come about it stays, and a sender that errs is told. */
    flow_table_destroy(c->hosts[CLIENT]->flows);
    c->hosts[CLIENT]->flows
        = flow_table_create(&(struct flow_table_size) { 1000, 1000 });
    memset(&c->hosts[CLIENT]->loads[0][0], 0, sizeof(struct endpoint_load));
    world_give_slots(c->hosts[CLIENT], 0, 0);
    c->hosts[CLIENT]->groups[0].epoch = c->hosts[0]->groups[0].epoch;
    world_publish(c->hosts[CLIENT]);
    j = cluster_send_flow(c, CLIENT, 0, ACK);
    assert_int_equal(j.endpoint, 1);
    assert_int_equal(hints_sent(c), 1);
    assert_int_equal(world_send_flow(c->hosts[CLIENT], 0, ACK), 1);
}

static void
test_a_receiver_lets_an_idle_source_go_too(void **state)
{
    struct cluster *c = *state;
    struct world_group *g = &c->hosts[0]->groups[0];

    g->affinity = AFFINITY_SOURCE;
    g->affinity_timeout = 100;
    g->hosts[1] = 0;
    cluster_copy(c);
    for (int n = 0; n < 3; n++) {
        assert_int_equal(cluster_send_flow(c, CLIENT, 0, ACK).endpoint, 0);
    }
    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        world_give_slots(c->hosts[h], 0, 1);
    }
    cluster_publish(c);
    cluster_advance(c, 99000);
    assert_int_equal(cluster_send_flow(c, CLIENT, 0, SYN).endpoint, 0);
    cluster_advance(c, 100000);
    assert_int_equal(cluster_send_flow(c, CLIENT, 0, SYN).endpoint, 1);
    assert_int_equal(cluster_send_flow(c, CLIENT, 0, ACK).endpoint, 1);
}

/* Hosts that know different things, each its own: whatever they think, a
 * packet is delivered or dropped after CLUSTER_MAX_HOPS tunnels at most
 * (cluster_send() sees to that), and where it is delivered is an endpoint's
 * home as far as that host knows. */
static void
disagree(struct cluster *c)
{
    uint8_t protocol = frame_random() % 2 ? 6 : 17;
    uint8_t algorithm = frame_random() % 3 ? frame_random() % 2
                        : frame_random() % N_ALGORITHMS;

    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        struct world_group *g = &c->hosts[h]->groups[0];

        g->protocol = protocol;
        g->algorithm = frame_random() % 16 ? algorithm
                       : frame_random() % N_ALGORITHMS;
        g->n_endpoints = 6;
        g->flags = frame_random() % 8;
        g->affinity = frame_random() % 8 ? AFFINITY_FLOW : AFFINITY_SOURCE;
        g->epoch = 10 + frame_random() % 4;
        for (int e = 0; e < 6; e++) {
            g->hosts[e] = (frame_random() % 4 ? (uint32_t) e : frame_random())
                          % CLUSTER_HOSTS;
            g->states[e] = frame_random() % 3 ? ENDPOINT_UP
                           : frame_random() % 5;
        }
        for (int s = 0; s < WORLD_SLOTS; s++) {
            uint16_t owner = frame_random() % 6;

            g->slots[s] = (g->states[owner] == ENDPOINT_ABSENT
                           ? GROUP_NO_ENDPOINT : owner);
            for (int i = 0; i < 2; i++) {
                g->previous[s][i] = frame_random() % 4 ? frame_random() % 6
                                    : GROUP_NO_ENDPOINT;
            }
        }
        for (int i = 0; i < CLUSTER_HOSTS; i++) {
            c->hosts[h]->tunnels[i] = frame_random() % 16 ? TUNNEL_GENEVE
                                      : frame_random() % 3;
        }
    }
    cluster_publish(c);
}

static void
test_nothing_goes_round(void **state)
{
    struct cluster *c = *state;
    static const uint8_t flags[]
        = { SYN, ACK, ACK, ACK, FIN | ACK, RST, SYN | ACK };
    int n_delivered = 0, n_far = 0;

    for (int round = 0; round < 20000; round++) {
        if (round % 100 == 0) {
            disagree(c);
        }
        struct world_packet p
            = world_packet(frame_random() % 40,
                           flags[frame_random() % sizeof flags]);
        int from = frame_random() % CLUSTER_HOSTS;

        p.spec.protocol = c->hosts[0]->groups[0].protocol;
        c->hold_hints = frame_random() % 2;
        c->n_hints = 0;
        cluster_advance(c, frame_random() % 200);
        struct journey j = cluster_send(c, from, &p);
        if (j.verdict == ENGINE_LOCAL) {
            const struct world_group *g = &c->hosts[j.host]->groups[0];

            assert_int_equal(g->hosts[j.endpoint], j.host);
            assert_in_range(g->states[j.endpoint], ENDPOINT_UP, ENDPOINT_LOST);
            n_delivered++;
            n_far += j.n_hops > 2;
        }
    }
    assert_true(n_delivered > 10000);
    assert_true(n_far > 100);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_in_quiet_times_packets_go_straight_to_their_endpoint),
        TEST(test_the_receiver_remembers_flows_of_slots_only),
        TEST(test_a_moved_slots_flows_are_found_at_its_previous_owners),
        TEST(test_an_owner_on_the_clients_host_asks_previous_owners_too),
        TEST(test_a_previous_owner_that_keeps_no_flows_is_not_asked),
        TEST(test_datagrams_of_a_moved_slot_stay_and_new_ones_go_to_the_owner),
        TEST(test_a_stale_sender_is_corrected_within_a_round_trip),
        TEST(test_an_unknown_reset_is_delivered_and_forgotten),
        TEST(test_a_closed_connections_ports_are_free),
        TEST(test_a_choice_stands_unless_its_endpoint_drains),
        TEST(test_an_endpoint_that_has_moved_is_found),
        TEST(test_tunnels_take_nothing_off_the_ttl),
        TEST(test_what_has_no_context_is_delivered_here_or_not_at_all),
        TEST(test_hops_are_limited),
        TEST(test_a_connection_that_never_came_about_may_move_on),
        TEST(test_a_receiver_lets_an_idle_source_go_too),
        TEST(test_nothing_goes_round),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
