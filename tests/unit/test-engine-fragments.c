/* Fragments follow their first one: to its endpoint, whatever the order, and
 * every packet that the engine keeps comes back, once. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/world.h"

enum { N_DATAGRAMS = 40, N_PARTS = 4, PART = 800, MORE = 0x2000 };

/* One owner a slot, so that endpoints differ by flow. */
static int
setup(void **state)
{
    struct world *w = world_create();

    w->groups[0].protocol = 17;
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

/* Part 'part' of datagram 'id', of 'n' parts, built. */
static void
make_part(struct world_packet *p, uint16_t id, int part, int n, bool ipv6)
{
    static const uint8_t fragment_header[FRAME_MAX_EXTS] = { 44 };
    bool more = part < n - 1;

    *p = world_packet(id, 0);
    p->spec.protocol = 17;
    p->spec.payload = PART - 8;         /* frame_build() makes a header. */
    p->spec.ipv6 = ipv6;
    if (ipv6) {
        memcpy(p->spec.exts, fragment_header, sizeof p->spec.exts);
        p->spec.n_exts = 1;
        p->spec.id = 0x10000u + id;
        p->spec.frag = part * PART | more;
    } else {
        p->spec.frag = part * PART / 8 | (more ? MORE : 0);
    }
    world_build(p);
    if (!ipv6) {
        frame_put16(p->frame + 14 + 4, id);
        frame_fix_ip_csum(p->frame);
    }
    if (!part) {
        /* Its checksum is that of the whole datagram: any will do. */
        frame_put16(p->frame + frame_l4(p->frame) + 4, n * PART);
    }
    world_load(p);
}

/* Takes out what need wait no longer and sends it on.  Returns how many
 * packets, of these '*n_expired' have expired, came. */
static int
resume(struct world *w, int *n_expired)
{
    struct world_packet *p;
    bool expired;
    int n = 0;

    *n_expired = 0;
    while ((p = engine_resume(&w->thread, w->now_ms * 1000, &expired))) {
        n++;
        *n_expired += expired;
        assert_int_equal(p->packet.verdict, ENGINE_HELD);
        if (expired) {
            p->packet.verdict = ENGINE_DROP;
            continue;
        }
        world_load(p);
        world_run(w, p);
    }
    return n;
}

static struct world_packet parts[N_DATAGRAMS][N_PARTS];

static void
make_parts(bool ipv6)
{
    for (int d = 0; d < N_DATAGRAMS; d++) {
        for (int i = 0; i < N_PARTS; i++) {
            make_part(&parts[d][i], 1000 * ipv6 + d, i, N_PARTS, ipv6);
        }
    }
}

/* All parts went to the first one's endpoint, and are as they were. */
static void
check_parts(const struct world *w, bool ipv6)
{
    int used = 0;

    for (int d = 0; d < N_DATAGRAMS; d++) {
        struct world_packet whole = world_packet(1000 * ipv6 + d, 0);

        whole.spec.protocol = 17;
        whole.spec.ipv6 = ipv6;
        struct engine_explanation e = world_explain(w, &whole);
        assert_true(e.tracked);
        used |= 1 << e.ref.endpoint;
        for (int i = 0; i < N_PARTS; i++) {
            const struct world_packet *p = &parts[d][i];
            size_t ttl = ipv6 ? 14 + 7 : 14 + 8;

            assert_int_equal(p->packet.verdict, ENGINE_UNDERLAY);
            assert_int_equal(p->endpoint, e.ref.endpoint);
            assert_int_equal(p->inner_size, p->frame_size);
            assert_int_equal(p->inner[ttl], 63);
            assert_memory_equal(p->inner + 14 + 40, p->frame + 14 + 40,
                                p->frame_size - 14 - 40);
        }
    }
    assert_int_equal(used, 0xf);
}

static void
test_fragments_follow_the_first(void **state)
{
    struct world *w = *state;
    unsigned int n = 0;

    for (int v6 = 0; v6 < 2; v6++) {
        w->groups[0].ipv6 = v6;
        world_publish(w);
        make_parts(v6);
        for (int d = 0; d < N_DATAGRAMS; d++) {
            for (int i = 0; i < N_PARTS; i++) {
                world_run(w, &parts[d][i]);
                n += i > 0;
            }
        }
        assert_false(engine_has_held(&w->thread));
        check_parts(w, v6);
        assert_int_equal(w->thread.count.fragments, n);
    }
}

static void
test_fragments_in_any_order_follow_the_first(void **state)
{
    struct world *w = *state;

    for (int v6 = 0; v6 < 2; v6++) {
        struct world_packet *all[N_DATAGRAMS * N_PARTS];
        int n_expired, n_held = 0, n_resumed = 0;

        w->groups[0].ipv6 = v6;
        world_publish(w);
        make_parts(v6);
        for (int i = 0; i < N_DATAGRAMS * N_PARTS; i++) {
            all[i] = &parts[i / N_PARTS][i % N_PARTS];
        }
        for (int i = N_DATAGRAMS * N_PARTS - 1; i > 0; i--) {
            int other = frame_random() % (i + 1);
            struct world_packet *p = all[i];

            all[i] = all[other];
            all[other] = p;
        }
        for (int i = 0; i < N_DATAGRAMS * N_PARTS; i++) {
            world_run(w, all[i]);
            n_held += all[i]->packet.verdict == ENGINE_HELD;
            w->now_ms += frame_random() % 10;
            n_resumed += resume(w, &n_expired);
            assert_int_equal(n_expired, 0);
        }
        assert_int_equal(n_held, n_resumed);
        assert_true(n_held > N_DATAGRAMS);
        check_parts(w, v6);
    }
}

/* A batch with a whole datagram in it, in any order. */
static void
test_a_batch_may_hold_a_whole_datagram(void **state)
{
    struct world *w = *state;

    make_parts(false);
    for (int order = 0; order < 24; order++) {
        struct engine_packet batch[N_PARTS];
        int left[N_PARTS] = { 0, 1, 2, 3 }, n_left = 4, rest = order;
        int which[N_PARTS], n_expired;

        for (int i = 0; i < N_PARTS; i++) {
            int k = rest % n_left;

            rest /= n_left;
            which[i] = left[k];
            left[k] = left[--n_left];
            batch[i] = parts[order][which[i]].packet;
        }
        engine_process(&w->engine, &w->thread, w->now_ms * 1000, batch,
                       N_PARTS);
        for (int i = 0; i < N_PARTS; i++) {
            parts[order][which[i]].packet = batch[i];
            world_decode(&parts[order][which[i]]);
        }
        resume(w, &n_expired);
        for (int i = 0; i < N_PARTS; i++) {
            assert_int_equal(parts[order][i].endpoint,
                             parts[order][0].endpoint);
            assert_true(parts[order][i].endpoint >= 0);
        }
    }
}

static void
test_what_never_gets_a_first_fragment_is_dropped(void **state)
{
    struct world *w = *state;
    int n_expired;

    make_parts(false);
    for (int d = 0; d < 20; d++) {
        world_run(w, &parts[d][1]);
        assert_int_equal(parts[d][1].packet.verdict, ENGINE_HELD);
        w->now_ms += 100;
    }
    assert_int_equal(resume(w, &n_expired), 0);
    assert_true(engine_has_held(&w->thread));
    w->now_ms += 3000 + 50;     /* The first has waited for 5.05 s. */
    assert_int_equal(resume(w, &n_expired), 1);
    assert_int_equal(n_expired, 1);
    w->now_ms += 5000;
    assert_int_equal(resume(w, &n_expired), 19);
    assert_int_equal(n_expired, 19);
    assert_false(engine_has_held(&w->thread));
    assert_int_equal(w->thread.count.drops[DROP_FRAGMENT], 20);
}

/* Nothing but other fragments suffers. */
static void
test_a_flood_of_fragments_is_bounded(void **state)
{
    enum { N = 3000 };
    static struct world_packet flood[N];
    struct world *w = *state;
    int n_expired, n_held = 0, n_back = 0, n_dropped = 0;

    for (int i = 0; i < N; i++) {
        make_part(&flood[i], i, 1 + i % 3, 4, false);
        world_run(w, &flood[i]);
        if (flood[i].packet.verdict == ENGINE_HELD) {
            n_held++;
        } else {
            assert_int_equal(flood[i].packet.reason, DROP_FRAGMENT_FULL);
            n_dropped++;
        }
        if (i % 32 == 0) {
            n_back += resume(w, &n_expired);
            assert_in_range(n_held - n_back, 0, FRAGMENTS_HELD);
        }
    }
    make_parts(false);
    world_run(w, &parts[0][0]);
    world_run(w, &parts[0][1]);
    assert_int_equal(parts[0][1].packet.verdict, ENGINE_UNDERLAY);
    w->now_ms += 10000;
    n_back += resume(w, &n_expired);
    assert_int_equal(n_held, n_back);
    assert_int_equal(n_held + n_dropped, N);
    assert_int_equal(w->thread.count.drops[DROP_FRAGMENT], n_back);

    /* The caller that does not ask for what is expired gets no more room. */
    for (int i = 0; i < N; i++) {
        make_part(&flood[i], i, 1, 4, false);
        world_run(w, &flood[i]);
    }
    assert_int_equal(flood[N - 1].packet.reason, DROP_FRAGMENT_FULL);
}

static unsigned int n_released;

static void
release(void *cookie)
{
    n_released += cookie != NULL;
}

static void
test_an_ending_thread_gives_back_what_it_holds(void **state)
{
    struct world *w = *state;
    const struct hash_key key = { { 1, 2 } };

    make_parts(false);
    for (int d = 0; d < 30; d++) {
        world_run(w, &parts[d][1]);
        world_run(w, &parts[d][2]);
    }
    world_run(w, &parts[0][0]);
    n_released = 0;
    engine_thread_uninit(&w->thread, release);
    assert_int_equal(n_released, 60);
    assert_true(engine_thread_init(&w->thread, 1, &key));
}

/* What nobody would ask for is not kept. */
static void
test_only_fragments_for_groups_are_held(void **state)
{
    struct world *w = *state;
    struct world_packet p;

    make_part(&p, 1, 1, 2, false);
    p.vni = 5002;
    world_load(&p);
    world_run(w, &p);
    assert_int_equal(p.packet.reason, DROP_NOT_ANYCAST);
    p.vni = 5001;
    world_load(&p);
    p.packet.cookie = NULL;
    world_run(w, &p);
    assert_int_equal(p.packet.reason, DROP_FRAGMENT);

    /* The group goes while others of the datagram are under way. */
    make_parts(false);
    world_run(w, &parts[0][0]);
    w->groups[1] = w->groups[0];
    w->groups[1].port = 81;
    w->groups[0].vni = 0;
    world_publish(w);
    world_run(w, &parts[0][1]);
    assert_int_equal(parts[0][1].packet.reason, DROP_NO_GROUP);
}

/* The fragments' hosts differ from the client's: the receiving switch has to
 * put them together with their flow again. */
static void
test_fragments_from_tunnels_follow_the_first(void **state)
{
    static const uint8_t options[]
        = { 0xff, 0x67, 1, 2, 0x10, 0, 0, 1, 0, 0, 0, 1 };
    static const uint8_t first_options[]
        = { 0xff, 0x67, 1, 2, 0x11, 0, 0, 1, 0, 0, 0, 1 };
    struct world *w = *state;
    struct engine_arrival arrivals[2] = {
        { options, sizeof options, inet_addr_from4(0xc0000202) },
        { first_options, sizeof first_options, inet_addr_from4(0xc0000202) },
    };

    for (int e = 0; e < 4; e++) {
        w->groups[0].hosts[e] = 0;
    }
    for (int v6 = 0; v6 < 2; v6++) {
        int n_expired;

        w->groups[0].ipv6 = v6;
        world_publish(w);
        make_parts(v6);
        for (int d = 0; d < N_DATAGRAMS; d++) {
            /* As who chose another endpoint than we would. */
            for (int i = 0; i < N_PARTS; i++) {
                parts[d][i].arrival = &arrivals[i == 0];
                memcpy(parts[d][i].frame,
                       (uint8_t[]) { 2, 0, 0, 0, 0, d % 4 }, 6);
                world_load(&parts[d][i]);
            }
            for (int i = N_PARTS - 1; i >= 0; i--) {
                world_run(w, &parts[d][(i + d) % N_PARTS]);
                resume(w, &n_expired);
            }
            for (int i = 0; i < N_PARTS; i++) {
                assert_int_equal(parts[d][i].packet.verdict, ENGINE_LOCAL);
                assert_int_equal(parts[d][i].endpoint, d % 4);
            }
        }
    }
    assert_int_equal(w->thread.n_extras, 0);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_fragments_follow_the_first),
        TEST(test_fragments_in_any_order_follow_the_first),
        TEST(test_a_batch_may_hold_a_whole_datagram),
        TEST(test_what_never_gets_a_first_fragment_is_dropped),
        TEST(test_a_flood_of_fragments_is_bounded),
        TEST(test_an_ending_thread_gives_back_what_it_holds),
        TEST(test_only_fragments_for_groups_are_held),
        TEST(test_fragments_from_tunnels_follow_the_first),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
