/* How packets are passed on from switch to switch: how far, on what grounds,
 * and that nothing goes round. */

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

/* Endpoint 0 now lives on host 1, which the sender does not know. */
static void
test_an_endpoint_that_has_moved_is_found(void **state)
{
    struct cluster *c = *state;

    for (int a = 0; a < N_ALGORITHMS; a++) {
        struct world_group *g = &c->hosts[0]->groups[0];

        g->algorithm = a;
        g->hosts[0] = 0;
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
            /* Known at the host before, new, and in the middle. */
            for (int f = 0; f < (a <= ALGORITHM_HASH ? 3 : 2); f++) {
                struct journey j
                    = cluster_send_flow(c, CLIENT, a + 100 * f,
                                        f == 1 && !n ? SYN : ACK);

                bool is_shown = f == 2;

                assert_int_equal(j.verdict, ENGINE_LOCAL);
                assert_int_equal(j.path[1], 0);

                /* What is not known may be on the slot's previous owner; that
                 * one sends it on. */
                assert_int_equal(j.path[2], is_shown ? 2 : 1);
                assert_int_equal(j.endpoint, 0);
                assert_int_equal(j.n_hops, is_shown ? 3 : 2);
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

    cluster_set_algorithm(c, ALGORITHM_HASH);
    cluster_move_slots(c, 0, 2, 1);
    p.spec.ttl = 2;
    struct journey j = cluster_send(c, CLIENT, &p);
    cluster_check_arrives(&j, 1, 2);
    assert_int_equal(j.inner[14 + 8], 1);
    j = cluster_send(c, CLIENT, &p);
    cluster_check_arrives(&j, 1, 1);
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

    cluster_set_algorithm(c, ALGORITHM_HASH);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        CHECK_FLOW(c, 10 * i + 2, SYN, 0, 1);
        CHECK_FLOW(c, 10 * i + 2, ACK, 0, 1);
    }
    cluster_move_slots(c, 0, CLIENT, 1);
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

    cluster_set_algorithm(c, ALGORITHM_HASH);
    CHECK_FLOW(c, 0, SYN, 0, 1);
    cluster_move_slots(c, 0, CLIENT, 1);
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

            /* The first who is shown it, the others, and who takes it. */
            assert_int_equal(context.n_previous, hops ? 2 : 3);
            for (int j = 0; j < context.n_previous; j++) {
                assert_int_equal(context.previous[j], "\0\2\1"[j]);
            }
        }
    }
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
        TEST(test_an_endpoint_that_has_moved_is_found),
        TEST(test_tunnels_take_nothing_off_the_ttl),
        TEST(test_what_has_no_context_is_delivered_here_or_not_at_all),
        TEST(test_hops_are_limited),
        TEST(test_nothing_goes_round),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
