/* What the engine makes of frames: the bytes it sends, what it answers, and
 * what it drops for which reason. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "tests/unit/world.h"

enum { SYN = 0x02, ACK = 0x10 };

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

/* Checks that the frame for the endpoint is the one that was sent, but for the
 * MACs and the TTL. */
static void
check_inner(const struct world_packet *p, const uint8_t *src_mac)
{
    uint8_t expected[FRAME_MAX];

    memcpy(expected, p->frame, p->frame_size);
    memcpy(expected, (uint8_t[]) { 2, 0, 0, 0, 0, p->endpoint }, 6);
    memcpy(expected + 6, src_mac, 6);
    expected[frame_l3(expected) + 8]--;
    frame_fix_ip_csum(expected);
    assert_int_equal(p->inner_size, p->frame_size);
    assert_memory_equal(p->inner, expected, p->frame_size);
}

static void
test_a_frame_to_another_host_keeps_its_source(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 2000; i++) {
        struct world_packet p = world_packet(i, SYN);

        w->groups[0].hosts[0] = 1 + i % 2;
        world_give_slots(w, 0, 0);
        world_publish(w);
        p.spec.ttl = 2 + i % 254;
        p.spec.tos = i;
        p.spec.vlan = i % 3 == 0;
        p.spec.payload = i % 100;
        assert_int_equal(world_send(w, &p), 0);
        assert_int_equal(p.packet.verdict, ENGINE_UNDERLAY);
        check_inner(&p, p.frame + 6);

        /* Outer: to that host, and the inner ECN. */
        assert_int_equal(p.outer.to, 1 + i % 2);
        assert_int_equal(p.packet.data[15], i & 3);
        assert_in_range(frame_get16(p.packet.data + 34), 49152, 65535);
    }
    assert_int_equal(w->thread.count.underlay, 2000);
}

static void
test_a_local_frame_comes_from_the_router(void **state)
{
    static const uint8_t router[] = { 0x0a, 0x67, 0x72, 0x00, 0x13, 0x89 };
    struct world *w = *state;

    w->groups[0].hosts[0] = 0;
    world_give_slots(w, 0, 0);
    world_publish(w);
    for (int i = 0; i < 200; i++) {
        struct world_packet p = world_packet(i, SYN);

        p.spec.vlan = i % 2;
        p.spec.payload = i * 9; /* Beyond any tunnel's MTU, too. */
        assert_int_equal(world_send(w, &p), 0);
        assert_int_equal(p.packet.verdict, ENGINE_LOCAL);
        check_inner(&p, router);
    }
    assert_int_equal(w->thread.count.local, 200);
}

static void
test_the_context_says_who_chose_and_when(void **state)
{
    struct world *w = *state;
    struct world_packet p = world_packet(0, SYN);

    w->groups[0].epoch = 0x12345678;
    world_publish(w);
    world_send(w, &p);
    assert_int_equal(frame_get32(p.packet.data + 54), 0x11000001);
    assert_int_equal(frame_get32(p.packet.data + 58), 0x12345678);
    p.tcp_flags = ACK;
    world_send(w, &p);
    assert_int_equal(frame_get32(p.packet.data + 54), 0x10000001);
}

static void
test_flows_differ_in_their_outer_source_port(void **state)
{
    static bool seen[65536];
    struct world *w = *state;
    unsigned int n = 0;

    for (int i = 0; i < 2000; i++) {
        struct world_packet p = world_packet(i, SYN);

        world_send(w, &p);
        uint16_t port = frame_get16(p.packet.data + 34);
        n += !seen[port];
        seen[port] = true;
        world_send(w, &p);
        assert_int_equal(frame_get16(p.packet.data + 34), port);
    }
    assert_true(n > 1800);      /* Of 16384; about 1880 by chance. */
}

static void
test_a_partial_checksum_is_completed(void **state)
{
    struct world *w = *state;

    for (int known = 0; known < 2; known++) {
        struct world_packet p = world_packet(0, SYN);

        world_build(&p);
        size_t ofs = frame_l4_csum_ofs(p.frame);
        memcpy(p.buffer + WORLD_HEADROOM, p.frame, p.frame_size);
        frame_put16(p.packet.data + ofs, frame_pseudo_sum(p.frame));
        p.packet.partial_csum = known;
        engine_process(&w->engine, &w->thread, w->now_ms * 1000, &p.packet,
                       1);
        world_decode(&p);
        assert_memory_equal(p.inner + ofs, p.frame + ofs, 2);
        assert_int_equal(w->thread.count.completed_csums, known + 1);
    }
}

/* Sends the frame in 'p' as it is and returns why it was dropped. */
static enum drop_reason
drop_of(struct world *w, struct world_packet *p)
{
    uint64_t before[N_DROP_REASONS];

    memcpy(before, w->thread.count.drops, sizeof before);
    engine_process(&w->engine, &w->thread, w->now_ms * 1000, &p->packet, 1);
    assert_int_equal(p->packet.verdict, ENGINE_DROP);
    before[p->packet.reason]++;
    assert_memory_equal(before, w->thread.count.drops, sizeof before);
    return p->packet.reason;
}

static void
test_the_first_reason_to_drop_is_the_one_counted(void **state)
{
    struct world *w = *state;
    struct world_packet p = world_packet(0, SYN);

    /* Everything is wrong; one after the other is put right. */
    world_build(&p);
    world_give_slots(w, 0, GROUP_NO_ENDPOINT);
    w->engine.table = NULL;
    p.packet.vni = 0;
    p.packet.tso = true;
    p.packet.size = 20;
    p.packet.headroom = 20;
    assert_int_equal(drop_of(w, &p), DROP_NO_VNI);
    p.packet.vni = 5000;
    assert_int_equal(drop_of(w, &p), DROP_NO_TABLE);
    w->engine.table = w->table;
    assert_int_equal(drop_of(w, &p), DROP_TRUNCATED);
    p.packet.size = p.frame_size;
    assert_int_equal(drop_of(w, &p), DROP_NOT_ANYCAST);
    p.packet.vni = 5001;
    world_publish(w);
    assert_int_equal(drop_of(w, &p), DROP_TSO);
    p.packet.tso = false;
    assert_int_equal(drop_of(w, &p), DROP_NO_ENDPOINT);
    w->groups[0].hosts[0] = 3;
    world_give_slots(w, 0, 0);
    world_publish(w);
    assert_int_equal(drop_of(w, &p), DROP_NO_NEXT_HOP);
    w->groups[0].hosts[0] = 1;
    world_publish(w);
    p.packet.headroom = 61;
    assert_int_equal(drop_of(w, &p), DROP_NO_HEADROOM);
    assert_memory_equal(p.packet.data, p.frame, p.frame_size);
    p.packet.headroom = 62;
    engine_process(&w->engine, &w->thread, w->now_ms * 1000, &p.packet, 1);
    assert_int_equal(p.packet.verdict, ENGINE_UNDERLAY);
}

/* Checks that 'p' has become an ICMP error to its sender. */
static void
check_icmp(const struct world_packet *p, uint8_t type, uint8_t code,
           uint16_t mtu)
{
    static const uint8_t router[] = { 0x0a, 0x67, 0x72, 0x00, 0x13, 0x89 };
    const uint8_t *ip = p->packet.data + frame_l3(p->packet.data);

    assert_int_equal(p->packet.verdict, ENGINE_REPLY);
    assert_memory_equal(p->packet.data, p->frame + 6, 6);
    assert_memory_equal(p->packet.data + 6, router, 6);
    assert_int_equal(ip[9], 1);
    assert_int_equal(frame_get32(ip + 12), p->spec.dst);
    assert_int_equal(frame_get32(ip + 16), p->spec.src);
    assert_int_equal(ip[20], type);
    assert_int_equal(ip[21], code);
    assert_int_equal(frame_get16(ip + 26), mtu);
    /* The packet is quoted as it was sent. */
    assert_memory_equal(ip + 28, p->frame + frame_l3(p->frame), 20);
}

static void
test_an_expired_ttl_is_answered(void **state)
{
    struct world *w = *state;

    for (int local = 0; local < 2; local++) {
        struct world_packet p = world_packet(0, SYN);

        w->groups[0].hosts[0] = !local;
        world_give_slots(w, 0, 0);
        world_publish(w);
        p.spec.ttl = 1;
        world_send(w, &p);
        assert_int_equal(p.packet.reason, DROP_TTL);
        check_icmp(&p, 11, 0, 0);

        world_build(&p);
        p.packet.headroom = 27;
        assert_int_equal(drop_of(w, &p), DROP_NO_HEADROOM);
    }
    assert_int_equal(w->thread.count.drops[DROP_TTL], 2);
    assert_int_equal(w->thread.count.icmp_errors, 2);
    assert_int_equal(w->thread.count.new_flows, 0);
}

/* Payloads around the largest that fits, with and without DF and VLAN tag. */
static void
test_what_does_not_fit_the_tunnel_is_answered(void **state)
{
    struct world *w = *state;
    unsigned int n = 0;

    for (uint32_t i = 0; i < 20 * 8; i++) {
        struct world_packet p = world_packet(i, ACK);
        unsigned int mtu;

        w->now_ms += 10;
        w->groups[0].hosts[0] = 1 + i / 4 % 2;
        world_give_slots(w, 0, 0);
        world_publish(w);
        p.spec.vlan = i % 2;
        p.spec.frag = i / 2 % 2 ? 0x4000 : 0;
        p.spec.payload = WORLD_INNER_MTU - 40 - 10 + i / 8;
        p.spec.padding = frame_random() % 20;
        mtu = WORLD_INNER_MTU - (p.spec.vlan ? 4 : 0);
        world_send(w, &p);
        if (p.spec.payload + 40u > mtu) {
            assert_int_equal(p.packet.reason, DROP_TOO_BIG);
            check_icmp(&p, 3, 4, mtu);
            n++;
        } else {
            assert_int_equal(p.packet.verdict, ENGINE_UNDERLAY);
            /* The outer IP packet fits the underlay. */
            assert_true(frame_get16(p.packet.data + 16)
                        <= WORLD_INNER_MTU + (i / 4 % 2 ? 50 : 62));
            assert_int_equal(frame_get16(p.packet.data + 16) + 14u,
                             p.packet.size);
            assert_true(p.inner_size >= frame_l3(p.frame) + 40
                                        + p.spec.payload);
        }
    }
    assert_int_equal(w->thread.count.drops[DROP_TOO_BIG], n);
    assert_int_equal(w->thread.count.icmp_errors, n);
}

static void
test_icmp_errors_are_limited(void **state)
{
    struct world *w = *state;
    struct world_packet p = world_packet(0, SYN);
    unsigned int sent = 0;

    p.spec.ttl = 1;
    for (int i = 0; i < 150; i++) {
        world_send(w, &p);
        assert_int_equal(p.packet.verdict,
                         i < 100 ? ENGINE_REPLY : ENGINE_DROP);
    }
    assert_int_equal(p.packet.reason, DROP_ICMP_LIMITED);
    assert_int_equal(w->thread.count.drops[DROP_TTL], 100);
    assert_int_equal(w->thread.count.drops[DROP_ICMP_LIMITED], 50);

    /* From now on 100 a second, whatever the rhythm. */
    for (int i = 0; i < 3000; i++) {
        w->now_ms++;
        world_send(w, &p);
        sent += p.packet.verdict == ENGINE_REPLY;
    }
    assert_int_equal(sent, 300);

    /* A rest fills the bucket to the brim and not beyond. */
    w->now_ms += 60000;
    for (sent = 0; world_send(w, &p), p.packet.verdict == ENGINE_REPLY; ) {
        sent++;
    }
    assert_int_equal(sent, 100);
    assert_int_equal(w->thread.count.icmp_errors, 500);
}

static void
test_arp_for_a_group_of_the_tenant_is_answered(void **state)
{
    static const struct {
        uint32_t vni, spa, tpa;
        uint16_t op;
        bool answered;
    } cases[] = {
        { 5001, 0x0a010002, 0x0a010064, 1, true },
        { 5001, 0x0a010002, 0x0a010065, 1, false },
        { 5002, 0x0a010002, 0x0a010064, 1, false },
        { 5001, 0x0a010002, 0x0a010064, 2, false },
        { 5001, 0,          0x0a010064, 1, false },
        { 5001, 0x0a010064, 0x0a010064, 1, false },
    };
    static const uint8_t router[] = { 0x0a, 0x67, 0x72, 0x00, 0x13, 0x89 };
    struct world *w = *state;

    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        size_t c = i / 2;
        struct world_packet p = { .vni = cases[c].vni };

        p.frame_size = frame_build_arp(p.frame, i % 2, cases[c].op,
                                       cases[c].spa, cases[c].tpa);
        world_load(&p);
        if (!cases[c].answered) {
            assert_int_equal(drop_of(w, &p), DROP_ARP_IGNORED);
            assert_memory_equal(p.packet.data, p.frame, p.frame_size);
            continue;
        }
        engine_process(&w->engine, &w->thread, w->now_ms * 1000, &p.packet,
                       1);
        const uint8_t *arp = p.packet.data + frame_l3(p.packet.data);
        assert_int_equal(p.packet.verdict, ENGINE_REPLY);
        assert_int_equal(frame_get16(arp + 6), 2);
        assert_memory_equal(arp + 8, router, 6);
        assert_int_equal(frame_get32(arp + 14), cases[c].tpa);
    }
    assert_int_equal(w->thread.count.arp_replies, 2);
}

/* A frame of any kind with a few bytes changed, or the end missing. */
static void
make_damaged(struct world_packet *p, uint32_t i)
{
    static const uint8_t protocols[] = { 6, 17, 132, 1, 58 };

    *p = world_packet(i, SYN);
    p->spec.ipv6 = frame_random() % 2;
    p->spec.protocol = protocols[frame_random() % sizeof protocols];
    p->spec.l4_type = frame_random() % 2 ? 128 : frame_random() % 16;
    p->spec.frag = frame_random() % 8 ? 0 : frame_random();
    p->spec.ttl = frame_random() % 8 ? 64 : 1;
    p->spec.payload = frame_random() % 80;
    if (p->spec.ipv6 && p->spec.frag) {
        p->spec.n_exts = 1;
        p->spec.exts[0] = 44;
    }
    world_build(p);
    for (int n = frame_random() % 4; n > 0; n--) {
        p->frame[12 + frame_random() % (p->frame_size - 12)] = frame_random();
    }
    if (frame_get16(p->frame + 12) == 0x0800 && frame_random() % 2) {
        p->frame[14] = 0x45;
        frame_fix_ip_csum(p->frame);
    }
    if (frame_random() % 4 == 0) {
        p->frame_size = frame_random() % p->frame_size;
    }
}

static void
test_random_bytes_do_no_harm(void **state)
{
    struct world *w = *state;
    uint8_t options[64];
    struct engine_arrival arrival = {
        .options = options, .peer = inet_addr_from4(0xc0000202),
    };

    for (int g = 0; g < 4; g++) {
        w->groups[g].vni = 5001;
        w->groups[g].ipv6 = g / 2;
        w->groups[g].protocol = g % 2 ? 17 : 6;
        w->groups[g].algorithm = g % 2;
        w->groups[g].port = 0;
        for (int e = 0; e < 4; e++) {
            w->groups[g].hosts[e] = e;
        }
        for (int s = 0; s < WORLD_SLOTS; s++) {
            w->groups[g].previous[s][0] = s % 3;
        }
    }
    world_publish(w);
    for (int i = 0; i < 100000; i++) {
        struct world_packet p;
        uint8_t *base;

        make_damaged(&p, i);
        p.packet.headroom = frame_random() % WORLD_HEADROOM;
        p.packet.data = frame_copy_exact(p.frame, p.frame_size,
                                         p.packet.headroom, &base);
        p.packet.size = p.frame_size;
        p.packet.tailroom = 0;
        if (frame_random() % 2) {
            frame_random_bytes(options, sizeof options);
            memcpy(options, (uint8_t[]) { 0xff, 0x67, 1, 2, 0x10 }, 5);
            frame_put16(options + 6, 1 + frame_random() % 4);
            memcpy(options + 12, (uint8_t[]) { 0xff, 0x67, 2, 2 }, 4);
            arrival.options_len = frame_random() % sizeof options;
            p.packet.arrival = &arrival;
        }
        w->now_ms += 10;
        engine_process(&w->engine, &w->thread, w->now_ms * 1000, &p.packet,
                       1);
        assert_true(p.packet.data >= base);
        free(base);
    }
    assert_true(w->thread.count.underlay > 1000);
    assert_true(w->thread.count.local > 1000);
    assert_true(w->thread.count.from_tunnel > 1000);
    assert_true(w->thread.count.icmp_errors > 100);
    assert_true(w->thread.count.drops[DROP_TRUNCATED] > 1000);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_frame_to_another_host_keeps_its_source),
        TEST(test_a_local_frame_comes_from_the_router),
        TEST(test_the_context_says_who_chose_and_when),
        TEST(test_flows_differ_in_their_outer_source_port),
        TEST(test_a_partial_checksum_is_completed),
        TEST(test_the_first_reason_to_drop_is_the_one_counted),
        TEST(test_an_expired_ttl_is_answered),
        TEST(test_what_does_not_fit_the_tunnel_is_answered),
        TEST(test_icmp_errors_are_limited),
        TEST(test_arp_for_a_group_of_the_tenant_is_answered),
        TEST(test_random_bytes_do_no_harm),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
