/* What engine_explain() says is what engine_process() does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/world.h"

enum { SYN = 0x02, ACK = 0x10, FIN = 0x01, INIT = 1, DATA = 0 };

static int
setup(void **state)
{
    *state = world_create();
    return 0;
}

static int
teardown(void **state)
{
    world_destroy(*state);
    return 0;
}

static void
shuffle_loads(struct world *w, int g)
{
    for (int e = 0; e < WORLD_ENDPOINTS; e++) {
        struct endpoint_load *load = &w->loads[g][e];

        load->failures = frame_random() % 3 ? 0 : LOAD_MAX_FAILURES;
        load->measured_us = w->now_ms * 1000 - frame_random() % 8000000;
    }
}

static void
shuffle_states(struct world *w, int g)
{
    struct world_group *wg = &w->groups[g];
    bool any_up = frame_random() % 4;

    for (int e = 0; e < 6; e++) {
        wg->states[e] = frame_random() % 2 ? ENDPOINT_UP : frame_random() % 5;
        if (wg->states[e] == ENDPOINT_UP && !any_up) {
            wg->states[e] = ENDPOINT_DRAINING;
        }
        wg->up_at_s[e] = w->now_ms / 1000 - frame_random() % 40;
    }
    for (int s = 0; s < WORLD_SLOTS; s++) {
        uint16_t owner = frame_random() % 8;

        wg->slots[s] = (owner < 6 && wg->states[owner] ? owner
                        : GROUP_NO_ENDPOINT);
        for (int i = 0; i < GROUP_MAX_PREVIOUS; i++) {
            wg->previous[s][i] = frame_random() % 2 ? frame_random() % 6
                                 : GROUP_NO_ENDPOINT;
        }
    }
    shuffle_loads(w, g);
}

static void
shuffle_group(struct world *w, int g, enum group_algorithm algorithm)
{
    static const uint8_t protocols[] = { 6, 17, 132, 1 };
    struct world_group *wg = &w->groups[g];

    *wg = (struct world_group) {
        .vni = 5001 + g % 2, .address = 0x0a010064, .epoch = 1 + g,
        .ipv6 = frame_random() % 2,
        .protocol = protocols[frame_random() % (g < 2 ? 3 : 4)],
        .port = frame_random() % 2 * 80,
        .affinity = frame_random() % 4 ? AFFINITY_FLOW : AFFINITY_SOURCE,
        .affinity_timeout = 1 + frame_random() % 20,
        .algorithm = algorithm,
        .ramp = frame_random() % 2 * 30,
        .flags = frame_random() % 4,
        .n_endpoints = 6,
    };
    if (wg->protocol == 1) {
        wg->port = 0;
    }
    for (int e = 0; e < 6; e++) {
        wg->hosts[e] = frame_random() % WORLD_HOSTS;
        wg->tiers[e] = frame_random() % 2;
    }
    shuffle_states(w, g);
}

/* A world with a bit of everything, differently each time. */
static void
shuffle(struct world *w, enum group_algorithm algorithm)
{
    for (int g = 0; g < WORLD_GROUPS; g++) {
        shuffle_group(w, g, algorithm);
        for (int other = 0; other < g; other++) {
            if (w->groups[other].vni == w->groups[g].vni
                && w->groups[other].ipv6 == w->groups[g].ipv6
                && w->groups[other].protocol == w->groups[g].protocol) {
                w->groups[g].vni = 0;
                break;
            }
        }
    }
    world_publish(w);
}

static struct world_packet
random_packet(const struct world *w)
{
    static const uint8_t flags[] = { SYN, ACK, ACK, FIN | ACK, SYN | ACK };
    const struct world_group *g = &w->groups[frame_random() % WORLD_GROUPS];
    struct world_packet p = world_packet(frame_random() % 60, 0);

    p.spec.ipv6 = g->ipv6;
    p.spec.protocol = g->protocol;
    p.spec.src += frame_random() % 2;
    p.vni = frame_random() % 16 ? 5001 + frame_random() % 2 : 5003;
    p.tcp_flags = (g->protocol == 132 ? frame_random() % 2 ? INIT : DATA
                   : flags[frame_random() % sizeof flags]);
    p.dst_port = frame_random() % 8 ? 80 : 443;
    if (g->protocol == 1) {
        p.spec.protocol = g->ipv6 ? 58 : 1;
        p.spec.l4_type = g->ipv6 ? 128 : 8;
        p.dst_port = 0;
    }
    if (frame_random() % 32 == 0 && !g->ipv6) {
        p.spec.src = 0xe0000001;
    }
    return p;
}

static void
build(struct world_packet *p)
{
    world_build(p);
    if (p->spec.protocol == 1 || p->spec.protocol == 58) {
        frame_put16(p->frame + frame_l4(p->frame) + 4, p->src_port);
        frame_fix_l4_csum(p->frame);
        world_load(p);
    }
}

/* Whether what was picked hangs on chance: where turns begin does, and who is
 * next when those are passed over whose turn it is. */
static bool
is_random(const struct engine_explanation *e)
{
    if (!e->picked || e->endpoint == GROUP_NO_ENDPOINT) {
        return false;
    }
    switch ((enum group_algorithm) e->group->algorithm) {
    case ALGORITHM_LEAST_CONNECTIONS:
    case ALGORITHM_LOWEST_RESPONSE_TIME:
        return true;
    case ALGORITHM_ROUND_ROBIN:
        return (!e->group->load->turn || e->trail.n_skipped
                || e->trail.n_ramping);
    default:
        return false;
    }
}

struct tally {
    unsigned int n_kept, n_picked, n_waiting, n_reset, n_rejected, n_shown;
};

static void
check_one(struct world *w, struct tally *tally)
{
    struct world_packet p = random_packet(w);
    struct engine_explanation e = world_explain(w, &p);
    struct endpoint_load loads[WORLD_GROUPS][WORLD_ENDPOINTS];
    struct flow_table_stats before, after;

    /* It has left no trace. */
    memcpy(loads, w->loads, sizeof loads);
    flow_table_get_stats(w->flows, &before);
    e = world_explain(w, &p);
    flow_table_get_stats(w->flows, &after);
    assert_memory_equal(loads, w->loads, sizeof loads);
    assert_memory_equal(&before, &after, sizeof before);

    uint64_t new_flows = w->thread.count.new_flows;
    bool chance = is_random(&e);
    w->thread.icmp_spent = 0;
    build(&p);
    world_run(w, &p);
    if (chance && e.reason != DROP_AWAITING_HANDOVER) {
        if (p.endpoint >= 0) {
            assert_int_equal(w->groups[p.group].states[p.endpoint],
                             ENDPOINT_UP);
        } else {
            assert_int_equal(p.packet.reason, DROP_NO_NEXT_HOP);
        }
        return;
    }
    assert_int_equal(e.verdict, p.packet.verdict);
    assert_int_equal(e.reason, p.packet.reason);
    tally->n_waiting += e.reason == DROP_AWAITING_HANDOVER;
    tally->n_reset += e.reason == DROP_HOST_DEAD;
    tally->n_rejected += (e.reason == DROP_NO_ENDPOINT
                          && e.verdict == ENGINE_REPLY);
    if (p.endpoint < 0) {
        return;
    }
    assert_int_equal(e.endpoint, p.endpoint);
    assert_int_equal(e.group->id, p.group + 1);
    assert_non_null(e.why);
    if (e.tracked && e.ref.endpoint == p.endpoint) {
        tally->n_kept++;
    } else if (w->thread.count.new_flows > new_flows) {
        tally->n_picked++;
    }
    tally->n_shown += strstr(e.why, "may know") != NULL;
}

static void
test_explanations_agree_with_what_happens(void **state)
{
    struct world *w = *state;
    unsigned int n_reset = 0;

    for (int a = 0; a < N_ALGORITHMS; a++) {
        struct tally tally = { 0 };

        for (int round = 0; round < 12000; round++) {
            if (round % 600 == 0) {
                shuffle(w, a);
            } else if (round % 100 == 0) {
                for (int g = 0; g < WORLD_GROUPS; g++) {
                    shuffle_states(w, g);
                }
                world_publish(w);
            }
            w->now_ms += frame_random() % 500;
            check_one(w, &tally);
        }
        assert_true(tally.n_kept > (a == ALGORITHM_HASH ? 100 : 500));
        assert_true(tally.n_picked > 100 || a == ALGORITHM_HASH
                    || a == ALGORITHM_LEAST_CONNECTIONS
                    || a == ALGORITHM_LOWEST_RESPONSE_TIME);
        assert_true(tally.n_rejected > 10);
        if (a <= ALGORITHM_HASH) {
            assert_true(tally.n_shown > 20);
        } else {
            assert_true(tally.n_waiting > 50);
        }
        n_reset += tally.n_reset;
    }
    assert_true(n_reset > 50);
}

static void
test_an_explanation_says_what_the_tables_say(void **state)
{
    struct world *w = *state;
    struct world_packet p = world_packet(0, SYN);
    struct engine_explanation e;

    w->groups[0].previous[3][0] = 2;
    world_publish(w);
    for (uint32_t i = 0; ; i++) {
        p = world_packet(i, SYN);
        e = world_explain(w, &p);
        if (e.slot == 3) {
            break;
        }
    }
    assert_ptr_equal(e.group, w->built[0]);
    assert_int_equal(e.slot_owner, 3);
    assert_int_equal(e.previous[0], 2);
    assert_int_equal(e.previous[1], GROUP_NO_ENDPOINT);
    assert_int_equal(e.key.src.lo, UINT64_C(0xffff00000000) | p.spec.src);
    assert_int_equal(e.key.src_port, p.src_port);
    assert_int_equal(e.key.dst_port, 80);
    assert_false(e.tracked);
    assert_int_equal(e.endpoint, 3);
    assert_int_equal(e.verdict, ENGINE_UNDERLAY);
    world_send(w, &p);
    w->now_ms += 7000;
    e = world_explain(w, &p);
    assert_true(e.tracked);
    assert_int_equal(e.ref.endpoint, 3);
    assert_int_equal(e.ref.idle, 7);
    assert_int_equal(e.ref.state, FLOW_NEW);

    w->groups[0].algorithm = ALGORITHM_LEAST_COST;
    w->groups[0].tiers[1] = 1;
    world_publish(w);
    p = world_packet(100000, SYN);
    e = world_explain(w, &p);
    assert_true(e.picked);
    assert_int_equal(e.trail.n_candidates, 4);
    assert_int_equal(e.trail.n_tier, 3);
    assert_int_not_equal(e.endpoint, 1);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_explanations_agree_with_what_happens),
        TEST(test_an_explanation_says_what_the_tables_say),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
