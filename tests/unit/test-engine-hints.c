/* Hints: who is told, who believes them, and how many there are. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/cluster.h"

enum { SYN = 0x02, ACK = 0x10, CLIENT = 3, HINT_OFS = 14 };

/* Endpoints 0, 1 and 2 are on the hosts with their numbers, clients on the
 * other one, which does not know yet that all slots have gone from endpoint 0
 * to 1. */
static int
setup(void **state)
{
    struct cluster *c = cluster_create();
    struct world_group *g = &c->hosts[0]->groups[0];

    g->n_endpoints = 3;
    g->algorithm = ALGORITHM_HASH;
    g->epoch = 10;
    world_give_slots(c->hosts[0], 0, 0);
    cluster_copy(c);
    for (int h = 0; h < 3; h++) {
        world_give_slots(c->hosts[h], 0, 1);
    }
    cluster_publish(c);
    *state = c;
    return 0;
}

static int
teardown(void **state)
{
    cluster_destroy(*state);
    return 0;
}

/* Provokes a hint about 'flow' and returns it. */
static struct cluster_hint
get_hint(struct cluster *c, uint32_t flow)
{
    c->hold_hints = true;
    c->n_hints = 0;
    struct journey j = cluster_send_flow(c, CLIENT, flow, SYN);
    assert_int_equal(j.n_hops, 2);
    assert_int_equal(c->n_hints, 1);
    return c->hints[0];
}

static int
hops_of(struct cluster *c, uint32_t flow)
{
    return cluster_send_flow(c, CLIENT, flow, ACK).n_hops;
}

static void
test_a_hint_says_where_its_flow_is(void **state)
{
    static const uint8_t router[] = { 0x0a, 0x67, 0x72, 0x00, 0x13, 0x89 };
    struct cluster *c = *state;
    struct world_outer outer;
    struct world_context context;

    for (int underlay = 0; underlay < 2; underlay++) {
        for (int type = TUNNEL_GENEVE; type <= TUNNEL_VXLAN; type++) {
            for (int h = 0; h < CLUSTER_HOSTS; h++) {
                c->hosts[h]->ipv6_underlay = underlay;
                c->hosts[h]->tunnels[CLIENT] = type;
            }
            cluster_publish(c);

            struct cluster_hint hint = get_hint(c, 2 * underlay + type);
            world_decap(hint.frame, hint.size, &outer);
            assert_int_equal(outer.from, 0);
            assert_int_equal(outer.to, CLIENT);
            assert_int_equal(outer.vni, 5001);
            assert_int_equal(outer.geneve, type == TUNNEL_GENEVE);
            if (outer.geneve) {
                assert_true(world_read_context(&outer, &context));
                assert_int_equal(context.group, 1);
                assert_int_equal(context.epoch, 12);
            }
            assert_memory_equal(outer.inner, router, 6);
            assert_memory_equal(outer.inner + 6, router, 6);
            assert_int_equal(frame_get16(outer.inner + 12), 0x88b5);
            const uint8_t *p = outer.inner + HINT_OFS;
            assert_int_equal(frame_get16(p + 2), 1);    /* Endpoint. */
            assert_int_equal(frame_get32(p + 4), 1);    /* Group. */
            assert_int_equal(frame_get32(p + 8), 12);
            assert_int_equal(frame_get32(p + 12), 5001);
            assert_int_equal(frame_get32(p + 26), 0xffff0a01);
            assert_int_equal(frame_get16(p + 30), 2);
            assert_int_equal(frame_get16(p + 32),
                             1024 + 2 * underlay + type);
            assert_int_equal(frame_get16(p + 34), 80);
        }
    }
}

static void
test_an_authentic_hint_moves_the_flow(void **state)
{
    struct cluster *c = *state;
    struct cluster_hint hint = get_hint(c, 0);
    struct world *client = c->hosts[CLIENT];

    assert_int_equal(hops_of(c, 0), 2);
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT);
    assert_int_equal(world_flow_state(client, 0), FLOW_UNPROVEN);
    assert_int_equal(client->group_loads[0].pinned, 1);
    assert_int_equal(hops_of(c, 0), 1);
    assert_int_equal(cluster_send_flow(c, CLIENT, 1, SYN).n_hops, 2);

    /* Once more: nothing changes. */
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT);
    assert_int_equal(world_flow_state(client, 0), FLOW_ESTABLISHED);
    assert_int_equal(client->group_loads[0].pinned, 1);
    assert_int_equal(client->thread.count.hints_accepted, 2);
    assert_int_equal(client->thread.count.drops[DROP_HINT], 2);
    assert_int_equal(client->loads[0][1].open, 1);
}

/* The client's switch is the first to hear of endpoint 2.  Where that is, it is
 * not known yet: the flow goes on to another, and who sent it is told by the
 * state of the slots that it knows. */
static void
test_who_lags_is_believed_about_what_it_did(void **state)
{
    struct cluster *c = *state;

    for (int h = 0; h < 3; h++) {
        c->hosts[h]->groups[0].n_endpoints = 2;
    }
    world_give_slots(c->hosts[CLIENT], 0, 1);
    world_give_slots(c->hosts[CLIENT], 0, 2);
    cluster_publish(c);

    struct journey j = cluster_send_flow(c, CLIENT, 0, SYN);
    assert_int_equal(j.n_hops, 2);
    assert_int_equal(j.path[1], 2);
    assert_int_equal(j.endpoint, 1);
    assert_int_equal(c->hosts[CLIENT]->thread.count.hints_accepted, 1);
    j = cluster_send_flow(c, CLIENT, 0, ACK);
    assert_int_equal(j.n_hops, 1);
    assert_int_equal(j.endpoint, 1);
}

static void
test_a_forged_hint_changes_nothing(void **state)
{
    struct cluster *c = *state;
    struct cluster_hint hint = get_hint(c, 0);
    struct world *client = c->hosts[CLIENT];
    struct world_outer outer;

    world_decap(hint.frame, hint.size, &outer);
    size_t ofs = outer.inner + HINT_OFS - hint.frame;
    for (size_t i = 0; i < 44; i++) {
        for (int bit = 0; bit < 8; bit++) {
            struct cluster_hint forged = hint;

            forged.frame[ofs + i] ^= 1 << bit;
            assert_int_equal(cluster_hint_arrives(c, &forged),
                             DROP_HINT_FORGED);
        }
    }
    assert_int_equal(client->thread.count.drops[DROP_HINT_FORGED], 44 * 8);
    assert_int_equal(client->thread.count.hints_accepted, 0);
    assert_int_equal(world_census(client, 0).entries, 0);

    /* What a VM sends is none. */
    struct engine_packet packet = {
        .data = (uint8_t *) outer.inner, .size = outer.inner_size,
        .vni = 5001, .cookie = c,
    };
    engine_process(&client->engine, &client->thread, client->now_ms * 1000,
                   &packet, 1);
    assert_int_equal(packet.reason, DROP_HINT_FORGED);
    assert_int_equal(world_census(client, 0).entries, 0);
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT);
}

static void
test_a_stale_hint_changes_nothing(void **state)
{
    struct cluster *c = *state;
    struct cluster_hint hint = get_hint(c, 0);
    struct world *client = c->hosts[CLIENT];
    struct world_group *g = &client->groups[0];
    struct world_outer outer;

    /* Who hears it knows more. */
    g->epoch = 13;
    world_publish(client);
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT_STALE);
    g->epoch = 12;

    /* The endpoint keeps no flows; there is no such endpoint or group. */
    g->states[1] = ENDPOINT_DOWN;
    world_publish(client);
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT_STALE);
    g->states[1] = ENDPOINT_ABSENT;
    world_publish(client);
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT_STALE);
    g->states[1] = ENDPOINT_UP;
    g->n_endpoints = 1;
    world_publish(client);
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT_STALE);
    g->n_endpoints = 3;
    g->vni = 0;
    world_publish(client);
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT_STALE);

    /* Another tenant's. */
    g->vni = 5001;
    world_publish(client);
    struct cluster_hint other = hint;
    world_decap(other.frame, other.size, &outer);
    frame_put32((uint8_t *) outer.inner - outer.options_len - 4, 5002 << 8);
    assert_int_equal(cluster_hint_arrives(c, &other), DROP_HINT_STALE);

    assert_int_equal(client->thread.count.drops[DROP_HINT_STALE], 6);
    assert_int_equal(world_census(client, 0).entries, 0);
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT);
}

/* Epochs are counted modulo 2**32. */
static void
test_epochs_may_wrap(void **state)
{
    struct cluster *c = *state;

    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        c->hosts[h]->groups[0].epoch = h == CLIENT ? UINT32_MAX : 1;
    }
    cluster_publish(c);
    struct cluster_hint hint = get_hint(c, 0);
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT);
    c->hosts[0]->groups[0].epoch = UINT32_MAX - 1;
    world_publish(c->hosts[0]);

    /* Host 0 is behind now, so it lets the sender's choice stand. */
    assert_int_equal(cluster_send_flow(c, CLIENT, 1, SYN).n_hops, 1);
}

/* A hint with a flow that has an entry elsewhere moves the entry. */
static void
test_a_hint_corrects_an_entry(void **state)
{
    struct cluster *c = *state;
    struct world *client = c->hosts[CLIENT];

    for (int h = 0; h < CLUSTER_HOSTS; h++) {
        c->hosts[h]->groups[0].algorithm = ALGORITHM_WEIGHTED;
    }
    c->hosts[0]->groups[0].states[0] = ENDPOINT_DRAINING;
    cluster_publish(c);
    struct cluster_hint hint = get_hint(c, 0);
    assert_int_equal(client->loads[0][0].open, 1);
    assert_int_equal(cluster_hint_arrives(c, &hint), DROP_HINT);
    assert_int_equal(world_flow_state(client, 0), FLOW_NEW);
    assert_int_equal(client->loads[0][0].open, 0);
    assert_int_equal(client->loads[0][1].open, 1);
    assert_int_equal(client->group_loads[0].pinned, 1);
    assert_int_equal(hops_of(c, 0), 1);
}

/* A flood of misdirected packets. */
static void
test_hints_are_limited(void **state)
{
    enum { N = 2000 };
    struct cluster *c = *state;
    struct world *w = c->hosts[0];
    struct engine_arrival arrival = {
        .options = (uint8_t[]) { 0xff, 0x67, 1, 2, 0x11, 0, 0, 1,
                                 0, 0, 0, 11 },
        .options_len = 12,
        .peer = inet_addr_from4(0xc0000201 + CLIENT),
    };
    static struct world_packet packets[ENGINE_BATCH];
    struct engine_packet batch[ENGINE_BATCH];
    unsigned int sent = 0;

    for (int i = 0; i < N; i += ENGINE_BATCH) {
        for (int n = 0; n < ENGINE_BATCH; n++) {
            packets[n] = world_packet(i + n, SYN);
            packets[n].arrival = &arrival;
            world_build(&packets[n]);
            memcpy(packets[n].buffer + WORLD_HEADROOM,
                   (uint8_t[]) { 2, 0, 0, 0, 0, 0 }, 6);
            batch[n] = packets[n].packet;
        }
        engine_process(&w->engine, &w->thread, w->now_ms * 1000, batch,
                       ENGINE_BATCH);
        sent += w->thread.n_extras;
        for (int n = 0; n < ENGINE_BATCH; n++) {
            assert_int_equal(batch[n].verdict, ENGINE_UNDERLAY);
        }
    }
    assert_int_equal(sent, 1000);
    assert_int_equal(w->thread.count.hints_sent, sent);
    assert_int_equal(w->thread.count.hints_limited,
                     w->thread.count.forwarded - sent);

    /* From now on 1000 a second. */
    for (sent = 0; w->now_ms % 1000 < 999; w->now_ms++) {
        packets[0] = world_packet(w->now_ms, SYN);
        packets[0].arrival = &arrival;
        for (int n = 0; n < 3; n++) {
            world_build(&packets[0]);
            memcpy(packets[0].packet.data, (uint8_t[6]) { 2 }, 6);
            world_run(w, &packets[0]);
            sent += w->thread.n_extras;
        }
    }
    assert_in_range(sent, 990, 1000);
}

/* A sender that is not a host of ours, or has no next hop, is told nothing. */
static void
test_strangers_get_no_hints(void **state)
{
    struct cluster *c = *state;
    struct world *w = c->hosts[0];

    for (int i = 0; i < 2; i++) {
        struct engine_arrival arrival = {
            .options = (uint8_t[]) { 0xff, 0x67, 1, 2, 0x11, 0, 0, 1,
                                     0, 0, 0, 11 },
            .options_len = 12,
            .peer = inet_addr_from4(i ? 0xc0000201 + CLIENT : 0xc0000299),
        };
        struct world_packet p = world_packet(i, SYN);

        w->tunnels[CLIENT] = i ? TUNNEL_NONE : TUNNEL_GENEVE;
        world_publish(w);
        p.arrival = &arrival;
        world_build(&p);
        memcpy(p.packet.data, (uint8_t[6]) { 2 }, 6);
        assert_int_equal(world_run(w, &p), 1);
        assert_int_equal(w->thread.n_extras, 0);
    }
    assert_int_equal(w->thread.count.hints_sent, 0);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_hint_says_where_its_flow_is),
        TEST(test_an_authentic_hint_moves_the_flow),
        TEST(test_who_lags_is_believed_about_what_it_did),
        TEST(test_a_forged_hint_changes_nothing),
        TEST(test_a_stale_hint_changes_nothing),
        TEST(test_epochs_may_wrap),
        TEST(test_a_hint_corrects_an_entry),
        TEST(test_hints_are_limited),
        TEST(test_strangers_get_no_hints),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
