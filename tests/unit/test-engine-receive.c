/* What switches do with each other's packets: known and unknown flows,
 * previous owners, stale senders. */

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
        cluster_set_algorithm(c, a);
        for (int f = 0; f < 50; f++) {
            struct journey syn = cluster_send_flow(c, CLIENT, a * 50 + f,
                                                   SYN);

            cluster_check_arrives(&syn, syn.endpoint, 1);
            assert_true(syn.context.is_new);
            CHECK_FLOW(c, a * 50 + f, ACK, syn.endpoint, 1);
        }
    }
    assert_int_equal(hints_sent(c), 0);
    assert_int_equal(forwarded(c), 0);
}

/* Whatever the sender knows, its packets in mid-flow name previous owners. */
static void
test_who_knows_a_flow_claims_it_and_names_nobody(void **state)
{
    struct cluster *c = *state;

    cluster_move_slots(c, 0, CLIENT, 1);
    cluster_move_slots(c, 0, CLIENT, 2);
    for (int n = 0; n < 4; n++) {
        struct journey j = cluster_send_flow(c, CLIENT, 0, n ? ACK : SYN);

        cluster_check_arrives(&j, 2, 1);
        assert_int_equal(j.context.is_claimed, n > 0);
        assert_int_equal(j.context.n_previous, 0);
    }
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
        cluster_set_algorithm(c, cases[i].algorithm);
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

    cluster_set_algorithm(c, ALGORITHM_HASH);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    CHECK_FLOW(c, 0, ACK, 0, 1);
    cluster_move_slots(c, 0, CLIENT, 1);
    CHECK_FLOW(c, 1, SYN, 1, 1);
    CHECK_FLOW(c, 1, ACK, 1, 1);

    /* Each switch sets right the one before it. */
    CHECK_FLOW(c, 0, ACK, 0, 2);
    CHECK_FLOW(c, 0, ACK, 0, 2);
    CHECK_FLOW(c, 0, ACK, 0, 1);
    assert_int_equal(hints_sent(c), 3);

    cluster_move_slots(c, 0, CLIENT, 2);
    CHECK_FLOW(c, 1, ACK, 1, 2);
    CHECK_FLOW(c, 0, ACK, 0, 1);
    CHECK_FLOW(c, 2, SYN, 2, 1);

    /* In vain, and so it stays with the owner. */
    CHECK_FLOW(c, 3, ACK, 2, 4);
    struct journey j = cluster_send_flow(c, CLIENT, 4, FIN | ACK);
    cluster_check_arrives(&j, 2, 4);
    assert_int_equal(j.path[1], 2);
    assert_int_equal(j.path[2], 1);
    assert_int_equal(j.context.n_previous, 2);
    assert_int_equal(j.context.previous[0], 1);
    assert_int_equal(j.context.previous[1], 0);
    assert_false(j.context.is_new);
    for (int n = 0; n < 3; n++) {
        CHECK_FLOW(c, 3, ACK, 2, 1);
    }
}

/* The client's switch is itself a receiver when the new owner is there. */
static void
test_an_owner_on_the_clients_host_asks_previous_owners_too(void **state)
{
    struct cluster *c = *state;

    for (int a = ALGORITHM_WEIGHTED; a <= ALGORITHM_HASH; a++) {
        uint32_t flow = 10 * a;

        cluster_set_algorithm(c, a);
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
        cluster_move_slots(c, 0, CLIENT, 3);
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

    cluster_set_algorithm(c, ALGORITHM_HASH);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        c->hosts[h]->groups[0].states[0] = ENDPOINT_DOWN;
    }
    cluster_move_slots(c, 0, CLIENT, 1);
    struct journey j = cluster_send_flow(c, CLIENT, 0, ACK);
    cluster_check_arrives(&j, 1, 1);
    assert_int_equal(j.context.n_previous, 0);

    /* A dead host is asked only if it may be that it is not dead. */
    CHECK_FLOW(c, 1, SYN, 1, 1);
    for (int reset = 0; reset < 2; reset++) {
        c->hosts[0]->groups[0].states[1] = ENDPOINT_LOST;
        c->hosts[0]->groups[0].flags = reset ? GROUP_RESET_LOST : 0;
        if (!reset) {
            cluster_copy(c);
            cluster_move_slots(c, 0, CLIENT, 2);
        } else {
            cluster_copy(c);
        }
        CHECK_FLOW(c, 10 + reset, ACK, 2, reset ? 1 : 3);
    }
}

/* The slot's owner knows the flow to be on a dead host, and the sender has
 * forgotten it. */
static void
test_a_flow_of_a_dead_host_is_the_owners_to_reset(void **state)
{
    struct cluster *c = *state;
    struct world *client = c->hosts[CLIENT];
    const struct flow_table_size size = { .n_flows4 = 100 };

    cluster_set_algorithm(c, ALGORITHM_HASH);
    cluster_move_slots(c, 0, CLIENT, 0);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    cluster_move_slots(c, 0, CLIENT, 1);
    CHECK_FLOW(c, 0, ACK, 0, 2);
    for (int reset = 0; reset < 2; reset++) {
        flow_table_destroy(client->flows);
        client->engine.flows = client->flows = flow_table_create(&size);
        client->group_loads[0].pinned = 0;
        c->hosts[0]->groups[0].states[0] = ENDPOINT_LOST;
        c->hosts[0]->groups[0].flags = reset ? GROUP_RESET_LOST : 0;
        cluster_copy(c);
        CHECK_FLOW(c, 0, ACK, reset, reset ? 1 : 2);
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
    cluster_set_algorithm(c, ALGORITHM_HASH);
    for (int n = 0; n < 2; n++) {
        struct journey j = cluster_send(c, CLIENT, &p[0]);
        cluster_check_arrives(&j, 0, 1);
    }
    cluster_move_slots(c, 0, CLIENT, 1);

    /* That a flow is new is found out at its previous owner. */
    static const int hops[2][4] = { { 2, 2, 1, 1 }, { 3, 1, 1, 1 } };
    for (int n = 0; n < 4; n++) {
        for (int i = 0; i < 2; i++) {
            struct journey j = cluster_send(c, CLIENT, &p[i]);
            cluster_check_arrives(&j, i, hops[i][n]);
        }
    }

    /* Back to where it was. */
    cluster_move_slots(c, 0, CLIENT, 0);
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
        cluster_set_algorithm(c, ALGORITHM_HASH);
        cluster_move_slots(c, 0, 2, 1);

        uint64_t accepted = c->hosts[CLIENT]->thread.count.hints_accepted;
        struct journey j = cluster_send(c, CLIENT, &p);
        cluster_check_arrives(&j, 1, 2);
        assert_int_equal(c->hosts[CLIENT]->thread.count.hints_accepted,
                         accepted + 1);
        for (int n = 0; n < 3; n++) {
            p.tcp_flags = ACK;
            j = cluster_send(c, CLIENT, &p);
            cluster_check_arrives(&j, 1, 1);
        }
        assert_int_equal(c->hosts[CLIENT]->thread.count.hints_accepted,
                         accepted + 1);
    }
}

/* A receiver that is behind by an endpoint: that one has the flow, and those
 * that the receiver can ask would leave it to the receiver. */
static void
test_who_cannot_ask_a_previous_owner_yet_waits(void **state)
{
    struct cluster *c = *state;

    cluster_set_algorithm(c, ALGORITHM_HASH);
    c->hosts[1]->groups[0].n_endpoints = 2;
    world_publish(c->hosts[1]);
    cluster_move_slots(c, 0, 0, 2);
    cluster_move_slots(c, 2, CLIENT, 2);
    CHECK_FLOW(c, 0, SYN, 2, 1);
    CHECK_FLOW(c, 0, ACK, 2, 1);
    cluster_move_slots(c, 0, 0, 1);
    cluster_move_slots(c, 2, CLIENT, 1);

    struct journey j = cluster_send_flow(c, CLIENT, 0, ACK);
    assert_int_equal(j.host, 1);
    assert_int_equal(j.verdict, ENGINE_DROP);
    assert_int_equal(j.reason, DROP_MISDELIVERED);
    assert_int_equal(world_census(c->hosts[1], 0).entries, 0);

    c->hosts[1]->groups[0] = c->hosts[0]->groups[0];
    world_publish(c->hosts[1]);
    CHECK_FLOW(c, 0, ACK, 2, 2);
}

/* Endpoint 1 is so new that its own host has not heard of it, and endpoint 0
 * is in doubt whether it has the flow: endpoint 2, the last in line, does, and
 * is not there only to take what nobody knows. */
static void
test_who_is_in_doubt_asks_the_last_in_line_first(void **state)
{
    struct cluster *c = *state;

    cluster_set_algorithm(c, ALGORITHM_HASH);
    c->hosts[1]->groups[0].states[1] = ENDPOINT_ABSENT;
    cluster_move_slots(c, 0, CLIENT, 2);
    CHECK_FLOW(c, 0, SYN, 2, 1);
    CHECK_FLOW(c, 0, ACK, 2, 1);
    cluster_move_slots(c, 0, CLIENT, 0);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    cluster_advance(c, 3000);
    cluster_move_slots(c, 0, 0, 1);
    cluster_move_slots(c, 2, CLIENT, 1);

    struct journey j = cluster_send_flow(c, CLIENT, 0, ACK);
    cluster_check_arrives(&j, 2, 3);
    assert_int_equal(j.path[1], 1);
    assert_int_equal(j.path[2], 0);
}

/* What ends a connection that nobody knows leaves nothing behind. */
static void
test_an_unknown_reset_is_delivered_and_forgotten(void **state)
{
    struct cluster *c = *state;

    for (int a = ALGORITHM_WEIGHTED; a <= ALGORITHM_HASH; a++) {
        cluster_set_algorithm(c, a);
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

    cluster_set_algorithm(c, ALGORITHM_HASH);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    CHECK_FLOW(c, 0, ACK, 0, 1);
    CHECK_FLOW(c, 0, FIN | ACK, 0, 1);
    cluster_move_slots(c, 0, 2, 1);
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

    cluster_move_slots(c, 0, 2, 1);
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

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_in_quiet_times_packets_go_straight_to_their_endpoint),
        TEST(test_who_knows_a_flow_claims_it_and_names_nobody),
        TEST(test_the_receiver_remembers_flows_of_slots_only),
        TEST(test_a_moved_slots_flows_are_found_at_its_previous_owners),
        TEST(test_an_owner_on_the_clients_host_asks_previous_owners_too),
        TEST(test_a_previous_owner_that_keeps_no_flows_is_not_asked),
        TEST(test_a_flow_of_a_dead_host_is_the_owners_to_reset),
        TEST(test_datagrams_of_a_moved_slot_stay_and_new_ones_go_to_the_owner),
        TEST(test_a_stale_sender_is_corrected_within_a_round_trip),
        TEST(test_who_cannot_ask_a_previous_owner_yet_waits),
        TEST(test_who_is_in_doubt_asks_the_last_in_line_first),
        TEST(test_an_unknown_reset_is_delivered_and_forgotten),
        TEST(test_a_closed_connections_ports_are_free),
        TEST(test_a_choice_stands_unless_its_endpoint_drains),
        TEST(test_a_connection_that_never_came_about_may_move_on),
        TEST(test_a_receiver_lets_an_idle_source_go_too),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
