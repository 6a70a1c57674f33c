/* The engine with all that is not TCP over IPv4: IPv6 inside and outside,
 * SCTP, ICMP, neighbour discovery, QUIC; and groups for ranges of ports. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/unit/world.h"

enum {
    SYN = 0x02, ACK = 0x10, FIN = 0x01, RST = 0x04,
    TCP = 6, UDP = 17, SCTP = 132, ICMP = 1, ICMPV6 = 58,
    N_FLOWS = 200,
};

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
test_ipv6_flows_stay_while_slots_move(void **state)
{
    struct world *w = *state;
    int first[N_FLOWS], used = 0;

    w->groups[0].ipv6 = true;
    for (int outer = 0; outer < 2; outer++) {
        w->ipv6_underlay = outer;
        for (int h = 1; h < 3; h++) {
            for (int e = 0; e < WORLD_ENDPOINTS; e++) {
                w->groups[0].hosts[e] = h;
            }
            for (int s = 0; s < WORLD_SLOTS; s++) {
                w->groups[0].slots[s] = s % 4;
            }
            world_publish(w);
            for (int i = 0; i < N_FLOWS; i++) {
                struct world_packet p
                    = world_packet(i + (2 * outer + h) * N_FLOWS, SYN);

                p.spec.ipv6 = true;
                p.spec.tos = i;
                first[i] = world_send(w, &p);
                used |= 1 << first[i];
                assert_int_equal(p.packet.verdict, ENGINE_UNDERLAY);
                assert_int_equal(p.outer.to, h);
                assert_int_equal(p.outer.geneve, h == 1);
                assert_int_equal(p.outer.tos, i & 3);

                /* All but the MACs and the hop limit is as it was. */
                p.frame[14 + 7]--;
                assert_int_equal(p.inner_size, p.frame_size);
                assert_memory_equal(p.inner + 6, p.frame + 6,
                                    p.frame_size - 6);
            }
            assert_int_equal(used, 0xf);
            world_give_slots(w, 0, 0);
            world_publish(w);
            for (int i = 0; i < N_FLOWS; i++) {
                struct world_packet p
                    = world_packet(i + (2 * outer + h) * N_FLOWS, ACK);

                p.spec.ipv6 = true;
                assert_int_equal(world_send(w, &p), first[i]);
                assert_int_equal(world_state(w, &p), FLOW_ESTABLISHED);
            }
        }
    }
    assert_int_equal(w->thread.count.new_flows, 4 * N_FLOWS);
}

/* The outer source port, and over IPv6 the flow label, differ by flow. */
static void
test_the_outer_flow_label_differs_by_flow(void **state)
{
    struct world *w = *state;
    uint32_t labels[50];

    w->ipv6_underlay = true;
    world_publish(w);
    for (int i = 0; i < 50; i++) {
        struct world_packet p = world_packet(i, SYN);

        world_send(w, &p);
        labels[i] = frame_get32(p.packet.data + 14) & 0xfffff;
        assert_int_not_equal(labels[i], 0);
        for (int k = 0; k < i; k++) {
            assert_int_not_equal(labels[k], labels[i]);
        }
        world_send(w, &p);
        assert_int_equal(frame_get32(p.packet.data + 14) & 0xfffff,
                         labels[i]);
    }
}

static void
test_sctp_associations_have_a_life_too(void **state)
{
    enum { DATA = 0, INIT = 1, ABORT = 6, SHUTDOWN = 7, COOKIE_ECHO = 10 };
    static const struct {
        uint8_t chunk;
        enum flow_state state;
        int endpoint;
    } steps[] = {
        { INIT, FLOW_NEW, 0 }, { INIT, FLOW_NEW, 0 },
        { COOKIE_ECHO, FLOW_ESTABLISHED, 0 }, { DATA, FLOW_ESTABLISHED, 0 },
        { INIT, FLOW_ESTABLISHED, 0 }, { SHUTDOWN, FLOW_CLOSING, 0 },
        { DATA, FLOW_CLOSING, 0 }, { INIT, FLOW_NEW, 1 },
        { ABORT, FLOW_CLOSING, 1 },
    };
    struct world *w = *state;

    w->groups[0].protocol = SCTP;
    for (int v6 = 0; v6 < 2; v6++) {
        w->groups[0].ipv6 = v6;
        world_give_slots(w, 0, 0);
        world_publish(w);
        for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
            struct world_packet p = world_packet(v6, steps[i].chunk);

            p.spec.protocol = SCTP;
            p.spec.ipv6 = v6;
            assert_int_equal(world_send(w, &p), steps[i].endpoint);
            assert_int_equal(world_state(w, &p), steps[i].state);
            world_give_slots(w, 0, 1);
            world_publish(w);
        }
    }
    assert_int_equal(w->thread.count.new_flows, 4);
}

/* An echo request with identifier 'id'. */
static void
make_echo(struct world_packet *p, uint16_t id, bool ipv6)
{
    *p = (struct world_packet) {
        .spec = { .src = 0x0a010002, .dst = 0x0a010064, .ipv6 = ipv6,
                  .protocol = ipv6 ? ICMPV6 : ICMP,
                  .l4_type = ipv6 ? 128 : 8, .payload = 56 },
        .vni = 5001, .src_port = id,
    };

    world_build(p);
    frame_put16(p->frame + frame_l4(p->frame) + 4, id);
    frame_fix_l4_csum(p->frame);
    world_load(p);
}

static void
test_an_address_answers_to_ping(void **state)
{
    struct world *w = *state;

    for (int v6 = 0; v6 < 2; v6++) {
        struct world_packet a, b, c;

        w->groups[0].ipv6 = w->groups[1].ipv6 = w->groups[2].ipv6 = v6;
        w->groups[1].vni = 5001;
        w->groups[1].port = 443;
        w->groups[2].vni = 0;
        world_give_slots(w, 0, 0);
        world_give_slots(w, 1, 1);
        world_give_slots(w, 2, 2);
        world_publish(w);

        /* The group with the lowest id, if there is none for ICMP. */
        make_echo(&a, 77, v6);
        assert_int_equal(world_run(w, &a), 0);
        assert_int_equal(a.group, 0);
        assert_int_equal(world_state(w, &a), FLOW_UNPROVEN);
        world_load(&a);
        world_run(w, &a);
        assert_int_equal(world_state(w, &a), FLOW_DATAGRAM);

        w->groups[2].vni = 5001;
        w->groups[2].protocol = ICMP;
        w->groups[2].port = 0;
        world_publish(w);
        make_echo(&b, 77, v6);
        assert_int_equal(world_run(w, &b), 2);
        assert_int_equal(b.group, 2);

        /* A flow is an identifier of a source. */
        world_give_slots(w, 2, 3);
        world_publish(w);
        world_load(&b);
        assert_int_equal(world_run(w, &b), 2);
        make_echo(&c, 78, v6);
        assert_int_equal(world_run(w, &c), 3);
    }
}

/* An ICMP error of 'type' about the packet of 'about' that an endpoint has
 * sent back to the client.  A router on the way sends it. */
static void
make_error(struct world_packet *error, const struct world_packet *about,
           uint8_t type)
{
    bool v6 = about->spec.ipv6;
    uint8_t protocol = about->spec.protocol ? about->spec.protocol : TCP;
    uint8_t quote[40 + 8] = { 0 };
    uint8_t *l4 = quote + (v6 ? 40 : 20);

    if (v6) {
        quote[0] = 0x60;
        quote[6] = protocol;
        memcpy(quote + 8, about->frame + frame_l3(about->frame) + 24, 16);
        memcpy(quote + 24, about->frame + frame_l3(about->frame) + 8, 16);
    } else {
        quote[0] = 0x45;
        frame_put16(quote + 2, 1500);
        quote[9] = protocol;
        frame_put32(quote + 12, about->spec.dst);
        frame_put32(quote + 16, about->spec.src);
    }
    if (protocol == ICMP || protocol == ICMPV6) {
        l4[0] = v6 ? 129 : 0;
        frame_put16(l4 + 4, about->src_port);
    } else {
        frame_put16(l4, about->dst_port);
        frame_put16(l4 + 2, about->src_port);
    }

    *error = (struct world_packet) {
        .spec = { .src = 0x0a0100fe, .dst = about->spec.dst, .ipv6 = v6,
                  .protocol = v6 ? ICMPV6 : ICMP, .l4_type = type,
                  .data = quote, .payload = (v6 ? 40 : 20) + 8 },
        .vni = 5001,
    };
    world_build(error);
    error->spec.data = NULL;
}

static void
test_icmp_errors_go_to_the_endpoint_of_their_flow(void **state)
{
    static const uint8_t protocols[] = { TCP, UDP, SCTP, ICMP };
    static const uint8_t types[2][4] = { { 3, 11, 12, 3 }, { 1, 2, 3, 4 } };
    struct world *w = *state;
    unsigned int n = 0;

    for (size_t i = 0; i < 2 * sizeof protocols; i++) {
        bool v6 = i % 2;
        struct world_packet p = world_packet(i, i / 2 == 2 ? 1 : SYN);

        w->groups[0].protocol = protocols[i / 2];
        w->groups[0].port = protocols[i / 2] == ICMP ? 0 : 80;
        w->groups[0].ipv6 = p.spec.ipv6 = v6;
        p.spec.protocol = protocols[i / 2];
        world_give_slots(w, 0, 2);
        world_publish(w);
        if (p.spec.protocol == ICMP) {
            make_echo(&p, 7, v6);
            world_run(w, &p);
        } else {
            world_send(w, &p);
        }
        assert_int_equal(p.endpoint, 2);
        uint64_t entries = world_census(w, 0).entries;
        enum flow_state before = world_state(w, &p);

        world_give_slots(w, 0, 1);
        world_publish(w);
        for (int t = 0; t < 4; t++) {
            struct world_packet error;

            make_error(&error, &p, types[v6][t]);
            assert_int_equal(world_run(w, &error), 2);
            assert_int_equal(error.packet.verdict, ENGINE_UNDERLAY);
            assert_memory_equal(error.inner + frame_l4(error.inner),
                                error.frame + frame_l4(error.frame),
                                error.frame_size - frame_l4(error.frame));
            assert_int_equal(w->thread.count.icmp_routed, ++n);
        }

        /* It does not touch the flow. */
        assert_int_equal(world_state(w, &p), before);
        assert_int_equal(world_census(w, 0).entries, entries);
    }
    assert_int_equal(w->thread.count.new_flows, 8);
}

static void
test_an_icmp_error_about_an_unknown_flow(void **state)
{
    struct world_packet error;
    struct world *w = *state;

    for (int a = 0; a < N_ALGORITHMS; a++) {
        struct world_packet p = world_packet(a, SYN);

        w->groups[0].algorithm = a;
        world_give_slots(w, 0, 1);
        world_publish(w);
        world_build(&p);
        make_error(&error, &p, 3);
        world_run(w, &error);
        if (a <= ALGORITHM_HASH) {
            assert_int_equal(error.endpoint, 1);
        } else {
            assert_int_equal(error.packet.reason, DROP_UNKNOWN_FLOW);
        }
        assert_int_equal(world_census(w, 0).entries, 0);
        assert_int_equal(w->group_loads[0].turn, 0);
    }

    /* Of a group that is not there; quoting another's packet. */
    struct world_packet p = world_packet(0, SYN);
    p.dst_port = 81;
    world_build(&p);
    make_error(&error, &p, 3);
    world_run(w, &error);
    assert_int_equal(error.packet.reason, DROP_NO_GROUP);
    p.spec.dst++;
    world_build(&p);
    make_error(&error, &p, 3);
    frame_put32(error.packet.data + 14 + 16, 0x0a010064);
    frame_fix_ip_csum(error.packet.data);
    world_run(w, &error);
    assert_int_equal(error.packet.reason, DROP_BAD_QUOTE);
}

static void
test_nd_for_a_group_of_the_tenant_is_answered(void **state)
{
    static const uint8_t router[] = { 0x0a, 0x67, 0x72, 0x00, 0x13, 0x89 };
    static const uint8_t client[16] = { 0xfd, [15] = 2 };
    static const uint8_t unspecified[16] = { 0 };
    static const uint8_t target[16] = { 0xfd, [12] = 0x0a, 1, 0, 0x64 };
    static const uint8_t other[16] = { 0xfd, [12] = 0x0a, 1, 0, 0x65 };
    static const struct {
        const uint8_t *src, *target;
        uint32_t vni;
        bool option, tunnel, answered;
    } cases[] = {
        { client, target, 5001, true, false, true },
        { client, target, 5001, false, false, true },
        { client, other, 5001, true, false, false },
        { client, target, 5002, true, false, false },
        { client, target, 5001, true, true, false },
        { unspecified, target, 5001, false, false, false },
        { target, target, 5001, true, false, false },
    };
    struct engine_arrival arrival = { .peer = inet_addr_from4(0xc0000202) };
    struct world *w = *state;
    unsigned int n = 0;

    w->groups[0].ipv6 = true;
    world_publish(w);
    for (size_t i = 0; i < 2 * sizeof cases / sizeof cases[0]; i++) {
        uint8_t dst[16] = { 0xff, 2, [11] = 1, 0xff };
        size_t k = i / 2;
        struct world_packet p = {
            .vni = cases[k].vni,
            .arrival = cases[k].tunnel ? &arrival : NULL,
        };

        memcpy(dst + 13, cases[k].target + 13, 3);
        p.frame_size = frame_build_solicit(p.frame, i % 2, cases[k].src, dst,
                                           cases[k].target, cases[k].option);
        world_load(&p);
        world_run(w, &p);
        if (!cases[k].answered) {
            assert_int_equal(p.packet.verdict, ENGINE_DROP);
            assert_int_equal(p.packet.reason, DROP_ND_IGNORED);
            continue;
        }
        const uint8_t *ip = p.packet.data + frame_l3(p.packet.data);
        assert_int_equal(p.packet.verdict, ENGINE_REPLY);
        assert_int_equal(p.packet.size, frame_l3(p.packet.data) + 72);
        assert_memory_equal(p.packet.data, p.frame + 6, 6);
        assert_memory_equal(ip + 8, target, 16);
        assert_memory_equal(ip + 24, client, 16);
        assert_int_equal(ip[40], 136);
        assert_memory_equal(ip + 48, target, 16);
        assert_memory_equal(ip + 66, router, 6);
        assert_int_equal(frame_get16(ip + 42), frame_l4_csum(p.packet.data));
        assert_int_equal(w->thread.count.nd_replies, ++n);

        /* No room for the option that a solicitation may lack. */
        world_load(&p);
        p.packet.tailroom = 7;
        world_run(w, &p);
        n += cases[k].option;
        assert_int_equal(p.packet.verdict,
                         cases[k].option ? ENGINE_REPLY : ENGINE_DROP);
    }
}

static void
test_the_narrowest_group_has_the_port(void **state)
{
    struct world *w = *state;
    static const struct {
        uint16_t port;
        int group;
    } cases[] = {
        { 8000, 1 }, { 8010, 1 }, { 8005, 2 }, { 8011, 0 }, { 7999, 0 },
        { 1, 0 }, { 65535, 0 },
    };

    w->groups[0].port = 0;
    for (int g = 1; g < 3; g++) {
        w->groups[g].vni = 5001;
        w->groups[g].port = g == 1 ? 8000 : 8005;
        w->groups[g].port_last = g == 1 ? 8010 : 0;
    }
    for (int v6 = 0; v6 < 2; v6++) {
        for (int g = 0; g < 3; g++) {
            w->groups[g].ipv6 = v6;
        }
        world_publish(w);
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct world_packet p = world_packet(i, SYN);

            p.spec.ipv6 = v6;
            p.dst_port = cases[i].port;
            world_send(w, &p);
            assert_int_equal(p.group, cases[i].group);
        }
    }

    /* Ports of a range are flows of their own. */
    world_give_slots(w, 1, 3);
    for (int g = 0; g < 3; g++) {
        w->groups[g].ipv6 = false;
    }
    world_publish(w);
    struct world_packet p = world_packet(0, SYN);
    p.dst_port = 8001;
    assert_int_equal(world_send(w, &p), 3);
    w->groups[0].vni = 0;
    world_publish(w);
    p.dst_port = 8011;
    world_send(w, &p);
    assert_int_equal(p.packet.reason, DROP_NO_GROUP);
}

/* A QUIC packet whose connection id has 'id' behind two other bytes. */
static void
make_quic(struct world_packet *p, uint32_t flow, uint16_t id, bool long_header)
{
    uint8_t data[40];
    uint8_t *cid = data + (long_header ? 6 : 1);

    frame_random_bytes(data, sizeof data);
    data[0] = long_header ? 0xc0 : 0x40;
    data[5] = 8;
    frame_put16(cid + 2, id);
    *p = world_packet(flow, 0);
    p->spec.protocol = UDP;
    p->spec.data = data;
    p->spec.payload = sizeof data;
    world_build(p);
    p->spec.data = NULL;
}

static int
send_quic(struct world *w, uint32_t flow, uint16_t id, bool long_header)
{
    struct world_packet p;

    make_quic(&p, flow, id, long_header);
    return world_run(w, &p);
}

static void
test_a_quic_connection_keeps_its_endpoint_across_addresses(void **state)
{
    struct world *w = *state;
    struct world_group *g = &w->groups[0];

    g->protocol = UDP;
    g->quic_offset = g->quic_length = 2;
    for (int e = 0; e < 4; e++) {
        g->quic_ids[e] = 0x1110 + e;
    }
    world_give_slots(w, 0, 0);
    for (int a = 0; a < N_ALGORITHMS; a++) {
        uint32_t flow = 100 * a;

        g->algorithm = a;
        world_publish(w);
        for (int i = 0; i < 40; i++) {
            int e = i % 4;

            /* The same connection from another address each time. */
            assert_int_equal(send_quic(w, flow + i, 0x1110 + e, i % 3), e);
            assert_int_equal(send_quic(w, flow + i, 0x1110 + e, 0), e);
        }
        /* An id that names nobody: by the entry, or else anew. */
        assert_int_equal(send_quic(w, flow + 3, 0x9999, false),
                         a == ALGORITHM_HASH ? 0 : 3);

        /* The flow goes with its connection. */
        assert_int_equal(send_quic(w, flow + 3, 0x1112, false), 2);
        assert_int_equal(send_quic(w, flow + 3, 0x9999, false),
                         a == ALGORITHM_HASH ? 0 : 2);
        struct world_census census = world_census(w, 0);
        assert_int_equal(census.open, census.live);
    }

    /* Not one that is down; one that drains, yes. */
    g->algorithm = ALGORITHM_WEIGHTED;
    g->states[1] = ENDPOINT_DOWN;
    g->states[2] = ENDPOINT_DRAINING;
    world_publish(w);
    assert_int_equal(send_quic(w, 1000, 0x1111, false), 0);
    assert_int_equal(send_quic(w, 1001, 0x1112, false), 2);
    assert_int_equal(send_quic(w, 1002, 0x1119, false), 0);
}

/* The receiving switch honours it, too. */
static void
test_a_quic_id_counts_at_the_receiver(void **state)
{
    struct world *w = *state;
    struct world_group *g = &w->groups[0];
    const struct engine_arrival arrival = {
        .options = (uint8_t[]) { 0xff, 0x67, 1, 2, 0x11, 0, 0, 1,
                                 0, 0, 0, 2 },
        .options_len = 12,
        .peer = inet_addr_from4(0xc0000202),
    };

    g->protocol = UDP;
    g->quic_offset = g->quic_length = 2;
    for (int e = 0; e < 4; e++) {
        g->quic_ids[e] = 0x1110 + e;
        g->hosts[e] = e / 2;
    }
    g->states[0] = g->states[2] = ENDPOINT_DRAINING;
    world_give_slots(w, 0, 1);
    for (int s = 0; s < WORLD_SLOTS; s++) {
        g->previous[s][0] = 3;
    }
    for (int a = 0; a < N_ALGORITHMS; a++) {
        g->algorithm = a;
        world_publish(w);
        for (int e = 0; e < 4; e++) {
            struct world_packet p;

            make_quic(&p, 10 * a + e, 0x1110 + e, false);
            p.packet.arrival = &arrival;
            memcpy(p.packet.data, (uint8_t[6]) { 2 }, 6);
            assert_int_equal(world_run(w, &p), e);
            assert_int_equal(p.packet.verdict,
                             e < 2 ? ENGINE_LOCAL : ENGINE_UNDERLAY);
            assert_int_equal(w->thread.n_extras, e != 0);

            /* From a VM: no previous owner is asked. */
            assert_int_equal(send_quic(w, 500 + 10 * a + e, 0x1110 + e, 0),
                             e);
        }
    }
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_ipv6_flows_stay_while_slots_move),
        TEST(test_the_outer_flow_label_differs_by_flow),
        TEST(test_sctp_associations_have_a_life_too),
        TEST(test_an_address_answers_to_ping),
        TEST(test_icmp_errors_go_to_the_endpoint_of_their_flow),
        TEST(test_an_icmp_error_about_an_unknown_flow),
        TEST(test_nd_for_a_group_of_the_tenant_is_answered),
        TEST(test_the_narrowest_group_has_the_port),
        TEST(test_a_quic_connection_keeps_its_endpoint_across_addresses),
        TEST(test_a_quic_id_counts_at_the_receiver),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
