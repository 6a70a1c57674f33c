/* Flows of a client that has moved here: the engine asks for them and waits,
 * not for long, and takes over what it is told. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/world.h"

enum { SYN = 0x02, ACK = 0x10, FIN = 0x01, RST = 0x04 };

static int
setup(void **state)
{
    struct world *w = world_create();

    w->groups[0].algorithm = ALGORITHM_ROUND_ROBIN;
    world_publish(w);
    *state = w;
    return 0;
}

static int
teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

/* Sends a packet of flow 'flow' of client 'client' and returns why it was
 * dropped. */
static enum drop_reason
send_from(struct world *w, uint32_t client, uint32_t flow, uint8_t flags,
          bool ipv6)
{
    struct world_packet p = world_packet(flow, flags);

    p.spec.src = 0x0a010100 + client;
    p.spec.ipv6 = ipv6;
    world_send(w, &p);
    return p.packet.reason;
}

static void
test_a_flow_in_the_middle_is_asked_for(void **state)
{
    struct world *w = *state;

    for (int v6 = 0; v6 < 2; v6++) {
        w->groups[0].ipv6 = v6;
        w->now_ms += 100000;
        world_publish(w);
        uint64_t n = w->thread.count.handovers_asked;

        /* One question for all flows of the source. */
        assert_int_equal(send_from(w, 1, 0, ACK, v6), DROP_AWAITING_HANDOVER);
        assert_int_equal(w->thread.n_questions, 1);
        assert_int_equal(w->thread.questions[0].vni, 5001);
        assert_true(inet_addr_equal(w->thread.questions[0].source,
                                    world_address(0x0a010101, v6)));
        for (int i = 0; i < 20; i++) {
            w->now_ms += 45;
            assert_int_equal(send_from(w, 1, i, ACK, v6),
                             DROP_AWAITING_HANDOVER);
            assert_int_equal(w->thread.n_questions, 0);
        }
        assert_int_equal(w->thread.count.handovers_asked, n + 1);

        /* New connections, and what ends one, do not wait. */
        assert_int_equal(send_from(w, 1, 50, SYN, v6), DROP_NONE);
        assert_int_equal(send_from(w, 1, 50, ACK, v6), DROP_NONE);
        assert_int_equal(send_from(w, 1, 51, RST, v6), DROP_NONE);

        /* No answer: it is picked anew, and stays. */
        w->now_ms += 101;
        for (int i = 0; i < 20; i++) {
            assert_int_equal(send_from(w, 1, i, ACK, v6), DROP_NONE);
            assert_int_equal(send_from(w, 1, i, ACK, v6), DROP_NONE);
        }
        assert_int_equal(w->thread.count.handovers_asked, n + 1);
    }
    assert_int_equal(w->thread.count.drops[DROP_AWAITING_HANDOVER], 42);
}

static void
test_questions_are_limited(void **state)
{
    struct world *w = *state;
    unsigned int n = 0;

    for (int i = 0; i < 100; i++) {
        enum drop_reason reason = send_from(w, i, 0, ACK, false);

        n += w->thread.n_questions;
        assert_int_equal(reason, i < 10 ? DROP_AWAITING_HANDOVER : DROP_NONE);
    }
    assert_int_equal(n, 10);
    w->now_ms += 1000;
    for (int i = 100; i < 200; i++) {
        send_from(w, i, 0, ACK, false);
        n += w->thread.n_questions;
    }
    assert_int_equal(n, 20);
}

/* In groups that go by slots every host knows where to send a flow; datagrams
 * have no middle. */
static void
test_others_do_not_wait(void **state)
{
    struct world *w = *state;

    for (int a = 0; a < N_ALGORITHMS; a++) {
        w->groups[0].algorithm = a;
        w->groups[0].protocol = 6;
        world_publish(w);
        w->now_ms += 2000;
        assert_int_equal(send_from(w, a, 0, ACK, false),
                         a <= ALGORITHM_HASH ? DROP_NONE
                         : DROP_AWAITING_HANDOVER);
        w->groups[0].protocol = 17;
        world_publish(w);
        struct world_packet p = world_packet(a, 0);
        p.spec.protocol = 17;
        p.spec.src += 1000 + a;
        world_send(w, &p);
        assert_int_equal(p.packet.verdict, ENGINE_UNDERLAY);
    }

    /* Nor does what is for a flow that is known. */
    w->groups[0].protocol = 6;
    world_publish(w);
    assert_int_equal(send_from(w, 200, 0, SYN, false), DROP_NONE);
    assert_int_equal(send_from(w, 200, 0, ACK, false), DROP_NONE);
}

/* Who waits has not had its turn, even where no slot's owner is there to be
 * asked first. */
static void
test_what_waits_is_not_counted_as_a_choice(void **state)
{
    struct world *w = *state;

    world_give_slots(w, 0, GROUP_NO_ENDPOINT);
    world_publish(w);
    int before = world_send_flow(w, 0, SYN);
    for (int i = 1; i < 7; i++) {
        struct world_packet p = world_packet(i, ACK);

        p.spec.src = 0x0a010101;
        assert_int_equal(world_send(w, &p), -1);
        assert_int_equal(p.packet.reason, DROP_AWAITING_HANDOVER);
    }
    assert_int_equal(world_send_flow(w, 10, SYN), (before + 1) % 4);
    assert_int_equal(w->group_loads[0].selected, 2);
}

/* Another host has had the flows of a client; this one takes them over. */
static void
test_flows_go_on_where_they_were(void **state)
{
    static const enum flow_state states[]
        = { FLOW_NEW, FLOW_UNPROVEN, FLOW_CLOSING, FLOW_ESTABLISHED };
    int weak = 0;
    struct world *w = *state;
    struct world *old = world_create();
    struct flow_key key;
    struct flow_ref ref;
    uint64_t cursor = 0;
    int first[100], n = 0;

    old->groups[0].algorithm = ALGORITHM_ROUND_ROBIN;
    world_publish(old);
    for (int i = 0; i < 100; i++) {
        first[i] = world_send_flow(old, i, SYN);
        world_send_flow(old, i, ACK);
    }
    assert_int_equal(world_send_flow(w, 0, ACK), -1);
    while (flow_table_next(old->flows, &cursor, w->now_ms / 1000, &key,
                           &ref)) {
        assert_true(engine_import(&w->engine, w->now_ms * 1000, &key,
                                  ref.endpoint, ref.state, ref.idle));
        n++;
    }
    assert_int_equal(n, 100);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(world_send_flow(w, i, ACK), first[i]);
        assert_int_equal(world_flow_state(w, i), FLOW_ESTABLISHED);
    }
    struct world_census census = world_census(w, 0);
    assert_int_equal(census.open, 100);
    assert_int_equal(w->group_loads[0].pinned, 100);
    world_destroy(old);

    /* An entry that is older gives way, but a settled one not to a weak one;
     * states come along. */
    w->now_ms += 5000;
    for (int i = 0; i < 4; i++) {
        struct world_packet p = world_packet(i, 0);

        key = (struct flow_key) {
            .src = inet_addr_from4(p.spec.src), .src_port = p.src_port,
            .dst_port = 80, .group = 1,
        };
        bool is_weak = states[i] != FLOW_ESTABLISHED;
        bool taken = engine_import(&w->engine, w->now_ms * 1000, &key,
                                   (first[i] + 1) % 4, states[i], 4);
        struct engine_explanation e = world_explain(w, &p);

        assert_int_equal(taken, !is_weak);
        assert_int_equal(e.ref.endpoint, (first[i] + taken) % 4);
        assert_int_equal(e.ref.state, FLOW_ESTABLISHED);
        weak += is_weak;
    }
    assert_int_equal(weak, 3);
    census = world_census(w, 0);
    assert_int_equal(census.entries, 100);
    assert_int_equal(census.open, census.live);
    assert_int_equal(w->group_loads[0].pinned, 100);
}

/* Makes a flow of client 'src' known here, in 'state', on '*endpoint'. */
static struct flow_key
make_known(struct world *w, uint32_t src, enum flow_state state, int *endpoint)
{
    struct world_packet p = world_packet(0, state == FLOW_NEW
                                            || state == FLOW_ESTABLISHED
                                            ? SYN : ACK);

    p.spec.src = src;
    while (world_state(w, &p) != state) {
        *endpoint = world_send(w, &p);
        p.tcp_flags = state == FLOW_CLOSING && *endpoint >= 0 ? FIN : ACK;
        w->now_ms += *endpoint < 0 ? 1001 : 0; /* It was asked for. */
    }
    return (struct flow_key) {
        .src = inet_addr_from4(src), .src_port = p.src_port, .dst_port = 80,
        .group = 1,
    };
}

/* Connections that began since are not those that the former host knew. */
static void
test_an_answer_that_comes_late_does_no_harm(void **state)
{
    static const struct {
        enum flow_state known;
        uint16_t idle_s;        /* Of the known one, and of the answer. */
        uint16_t other_idle_s;
        bool moves;
    } cases[] = {
        { FLOW_NEW, 0, 0, false }, { FLOW_NEW, 2, 3, false },
        { FLOW_ESTABLISHED, 0, 0, false },
        { FLOW_ESTABLISHED, 20, 20, false },
        { FLOW_ESTABLISHED, 20, 19, true },
        { FLOW_ESTABLISHED, 20, 3000, false },
        { FLOW_UNPROVEN, 0, 0, true }, { FLOW_UNPROVEN, 0, 3000, true },
        { FLOW_CLOSING, 0, 10, true },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t src = 0x0a010200 + i;
        struct world_packet p = world_packet(0, ACK);
        int endpoint;
        struct flow_key key = make_known(w, src, cases[i].known, &endpoint);
        uint16_t other = (endpoint + 1) % 4;

        w->now_ms += cases[i].idle_s * 1000;
        assert_int_equal(engine_import(&w->engine, w->now_ms * 1000, &key,
                                       other, FLOW_ESTABLISHED,
                                       cases[i].other_idle_s),
                         cases[i].moves);
        p.spec.src = src;
        assert_int_equal(world_send(w, &p), cases[i].moves ? other : endpoint);
    }
}

/* Of two former hosts the one that saw the flow last is right, in whatever
 * order they answer. */
static void
test_who_saw_a_flow_last_is_believed(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 2; i++) {
        struct world_packet p = world_packet(0, ACK);
        struct flow_key key = {
            .src = inet_addr_from4(0x0a010200 + i), .src_port = p.src_port,
            .dst_port = 80, .group = 1,
        };

        engine_import(&w->engine, w->now_ms * 1000, &key, i ? 2 : 3,
                      FLOW_ESTABLISHED, i ? 3 : 600);
        engine_import(&w->engine, w->now_ms * 1000, &key, i ? 3 : 2,
                      FLOW_ESTABLISHED, i ? 600 : 3);
        p.spec.src = 0x0a010200 + i;
        assert_int_equal(world_send(w, &p), 2);
        struct world_census census = world_census(w, 0);
        assert_int_equal(census.open, census.live);
    }
}

/* What was handed over goes in minutes, not hours; what is seen again stays,
 * and what is on another endpoint meanwhile is not meant. */
static void
test_what_was_handed_over_is_let_go(void **state)
{
    struct world *w = *state;
    struct flow_key keys[3];
    int endpoints[3];

    for (int i = 0; i < 3; i++) {
        keys[i] = make_known(w, 0x0a010200 + i, FLOW_ESTABLISHED,
                             &endpoints[i]);
        engine_let_go(&w->engine, w->now_ms * 1000, &keys[i],
                      (endpoints[i] + (i == 2)) % 4);
    }
    assert_int_equal(world_census(w, 0).open, 3);
    w->now_ms += 200 * 1000;
    struct world_packet p = world_packet(0, ACK);
    p.spec.src = 0x0a010200;
    assert_int_equal(world_send(w, &p), endpoints[0]);
    w->now_ms += 200 * 1000;
    world_sweep(w);
    struct world_census census = world_census(w, 0);
    assert_int_equal(census.entries, 2);
    assert_int_equal(census.open, 2);
    assert_int_equal(w->group_loads[0].pinned, 2);
    assert_int_equal(world_send(w, &p), endpoints[0]);
    keys[0].group = 9;
    engine_let_go(&w->engine, w->now_ms * 1000, &keys[0], 0);
}

/* A client whose SYN was lost moves, and sends it again: what its former host
 * remembers is the endpoint of the one that was lost. */
static void
test_a_connection_that_is_opened_here_stays(void **state)
{
    static const enum flow_state theirs[]
        = { FLOW_NEW, FLOW_UNPROVEN, FLOW_CLOSING };
    struct world *w = *state;

    for (int i = 0; i < 3; i++) {
        struct world_packet p = world_packet(i, 0);
        int first = world_send_flow(w, i, SYN);
        struct flow_key key = {
            .src = inet_addr_from4(p.spec.src), .src_port = p.src_port,
            .dst_port = 80, .group = 1,
        };

        assert_false(engine_import(&w->engine, w->now_ms * 1000, &key,
                                   (first + 1) % 4, theirs[i], 0));
        assert_int_equal(world_send_flow(w, i, ACK), first);

        /* One that was given up here is another matter. */
        first = world_send_flow(w, 10 + i, SYN);
        p = world_packet(10 + i, 0);
        key.src = inet_addr_from4(p.spec.src);
        key.src_port = p.src_port;
        w->now_ms += 3000;
        assert_true(engine_import(&w->engine, w->now_ms * 1000, &key,
                                  (first + 1) % 4, theirs[i], 0));
    }
}

static void
test_what_makes_no_sense_is_not_taken(void **state)
{
    struct world *w = *state;
    struct flow_key key = {
        .src = inet_addr_from4(0x0a010002), .src_port = 1, .dst_port = 80,
        .group = 2,
    };

    assert_false(engine_import(&w->engine, 0, &key, 0, FLOW_ESTABLISHED,
                               0));
    key.group = 0;
    assert_false(engine_import(&w->engine, 0, &key, 0, FLOW_ESTABLISHED,
                               0));
    key.group = 1;
    assert_false(engine_import(&w->engine, 0, &key, 4, FLOW_ESTABLISHED, 0));
    assert_false(engine_import(&w->engine, 0, &key, 0xffff, FLOW_NEW, 0));
    assert_false(engine_import(&w->engine, 0, &key, 0, FLOW_FREE, 0));
    assert_false(engine_import(&w->engine, 0, &key, 0, FLOW_CLAIMED, 0));
    assert_false(engine_import(&w->engine, 0, &key, 0, N_FLOW_STATES, 0));
    w->groups[0].states[0] = ENDPOINT_DOWN;
    world_publish(w);
    assert_false(engine_import(&w->engine, 0, &key, 0, FLOW_ESTABLISHED,
                               0));
    w->engine.table = NULL;
    assert_false(engine_import(&w->engine, 0, &key, 0, FLOW_ESTABLISHED,
                               0));
    assert_int_equal(world_census(w, 0).entries, 0);
    assert_int_equal(w->group_loads[0].pinned, 0);
}

/* What the old host's group says of ports does not matter. */
static void
test_a_source_is_taken_over_as_one_flow(void **state)
{
    struct world *w = *state;
    struct flow_key key = {
        .src = inet_addr_from4(0x0a010002), .src_port = 7, .dst_port = 80,
        .group = 1,
    };

    w->groups[0].affinity = AFFINITY_SOURCE;
    world_publish(w);
    assert_true(engine_import(&w->engine, w->now_ms * 1000, &key, 3,
                              FLOW_SOURCE, 0));
    for (int i = 0; i < 10; i++) {
        assert_int_equal(world_send_flow(w, i, i % 2 ? ACK : SYN), 3);
    }
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_flow_in_the_middle_is_asked_for),
        TEST(test_questions_are_limited),
        TEST(test_others_do_not_wait),
        TEST(test_what_waits_is_not_counted_as_a_choice),
        TEST(test_flows_go_on_where_they_were),
        TEST(test_an_answer_that_comes_late_does_no_harm),
        TEST(test_who_saw_a_flow_last_is_believed),
        TEST(test_what_was_handed_over_is_let_go),
        TEST(test_a_connection_that_is_opened_here_stays),
        TEST(test_what_makes_no_sense_is_not_taken),
        TEST(test_a_source_is_taken_over_as_one_flow),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
