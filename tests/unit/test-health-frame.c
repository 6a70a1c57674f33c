/* The frames of health checks, against checksums worked out by a simple twin;
 * the tap; and noise that must do no harm. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "packets.h"
#include "random.h"
#include "util.h"
#include "vswitchd-ext/health-frame.h"
#include "vswitchd-ext/health-tap.h"

static struct health_path
path4(void)
{
    return (struct health_path) {
        .router = ETH_ADDR_C(0a,67,72,00,00,07),
        .endpoint = ETH_ADDR_C(02,00,00,00,00,01),
        .source = inet_addr_from4(0x0a0100fe),
        .address = inet_addr_from4(0x0a010064),
    };
}

static struct health_path
path6(void)
{
    struct health_path p = path4();

    p.source = (struct inet_addr) { UINT64_C(0x20010db800010000), 0xfe };
    p.address = (struct inet_addr) { UINT64_C(0x20010db800010000), 0x100 };
    return p;
}

/* RFC 1071, byte by byte: 0 over what has a right checksum in it. */
static uint16_t
sum(const uint8_t *data, size_t n, uint32_t initial)
{
    for (size_t i = 0; i < n; i++) {
        initial += i % 2 ? data[i] : data[i] << 8;
    }
    while (initial >> 16) {
        initial = (initial & 0xffff) + (initial >> 16);
    }
    return ~initial;
}

/* The packet as bytes; checks lengths and checksums on the way. */
static const uint8_t *
check_ip(const struct dp_packet *packet, uint8_t protocol, size_t *n_l4)
{
    const uint8_t *b = dp_packet_data(packet);
    size_t size = dp_packet_size(packet);
    bool is4 = b[12] == 8;
    size_t ip = is4 ? 20 : 40, addresses = is4 ? 8 : 32;
    const uint8_t *l4 = b + 14 + ip;
    size_t n = size - 14 - ip;

    assert_memory_equal(b, "\x02\0\0\0\0\1", 6);
    assert_memory_equal(b + 6, "\x0agr\0\0\7", 6);
    if (is4) {
        assert_int_equal(b[14], 0x45);
        assert_int_equal(b[16] << 8 | b[17], size - 14);
        assert_int_equal(b[23], protocol);
        assert_int_equal(sum(b + 14, 20, 0), 0);
    } else {
        assert_int_equal(b[14], 0x60);
        assert_int_equal(b[18] << 8 | b[19], n);
        assert_int_equal(b[20], protocol);
    }
    if (protocol == IPPROTO_ICMP) {
        assert_int_equal(sum(l4, n, 0), 0);
    } else {
        uint16_t pseudo = ~sum(l4 - addresses, addresses, protocol + n);

        assert_int_equal(sum(l4, n, pseudo), 0);
    }
    *n_l4 = n;
    return l4;
}

static void
test_tcp(void **state OVS_UNUSED)
{
    for (int v6 = 0; v6 < 2; v6++) {
        const struct health_path path = v6 ? path6() : path4();

        for (size_t n = 0; n < 70; n += 23) {
            const struct health_tcp tcp = {
                .src_port = 40000, .dst_port = 80, .seq = 0xfffffff0,
                .ack = 77, .flags = TCP_ACK | TCP_PSH,
                .data = "GET /0123456789012345678901234567890123456789012345"
                        "6789012345678901234567890", .n = n,
            };
            struct dp_packet *packet = health_frame_tcp(&path, &tcp);
            struct health_frame f;
            const uint8_t *l4;
            size_t size;

            l4 = check_ip(packet, IPPROTO_TCP, &size);
            assert_int_equal(size, 20 + n);
            assert_memory_equal(l4, "\x9c\x40\0\x50\xff\xff\xff\xf0\0\0\0\x4d",
                                12);
            assert_int_equal(l4[13], 0x18);
            health_frame_parse(packet, &f);
            assert_int_equal(f.kind, HEALTH_FRAME_TCP);
            assert_true(inet_addr_equal(f.from, path.source));
            assert_true(inet_addr_equal(f.to, path.address));
            assert_memory_equal(&f.mac, &path.router, 6);
            assert_int_equal(f.tcp.src_port, 40000);
            assert_int_equal(f.tcp.seq, 0xfffffff0);
            assert_int_equal(f.tcp.ack, 77);
            assert_int_equal(f.tcp.flags, TCP_ACK | TCP_PSH);
            assert_int_equal(f.tcp.n, n);
            assert_memory_equal(n ? f.tcp.data : "", n ? tcp.data : "", n);
            dp_packet_delete(packet);
        }
    }
}

static void
test_echo(void **state OVS_UNUSED)
{
    for (int v6 = 0; v6 < 2; v6++) {
        const struct health_path path = v6 ? path6() : path4();
        struct dp_packet *packet = health_frame_echo(&path, 0x1234, 0xabcd);
        struct health_frame f;
        uint8_t *l4;
        size_t size;

        l4 = CONST_CAST(uint8_t *, check_ip(packet, v6 ? IPPROTO_ICMPV6
                                            : IPPROTO_ICMP, &size));
        assert_int_equal(l4[0], v6 ? 128 : 8);
        health_frame_parse(packet, &f);
        assert_int_equal(f.kind, HEALTH_FRAME_OTHER); /* No reply yet. */
        l4[0] = v6 ? 129 : 0;
        health_frame_parse(packet, &f);
        assert_int_equal(f.kind, HEALTH_FRAME_ECHO);
        assert_int_equal(f.id, 0x1234);
        assert_int_equal(f.seq, 0xabcd);
        dp_packet_delete(packet);
    }
}

/* What an endpoint asks is what it gets an answer to. */
static void
test_neighbours(void **state OVS_UNUSED)
{
    for (int v6 = 0; v6 < 2; v6++) {
        const struct health_path path = v6 ? path6() : path4();
        const struct health_path back = {
            .router = path.endpoint, .endpoint = path.router,
            .source = path.address, .address = path.source,
        };
        struct dp_packet *packet = health_frame_ask(&path);
        struct health_frame f;

        assert_memory_equal(dp_packet_data(packet), &path.endpoint, 6);
        health_frame_parse(packet, &f);
        assert_int_equal(f.kind, HEALTH_FRAME_QUESTION);
        assert_true(inet_addr_equal(f.to, path.address));
        dp_packet_delete(packet);

        packet = health_frame_answer(&back, &f);
        assert_memory_equal(dp_packet_data(packet), &path.router, 6);
        health_frame_parse(packet, &f);
        assert_int_equal(f.kind, HEALTH_FRAME_NEIGHBOUR);
        assert_true(inet_addr_equal(f.from, path.address));
        assert_memory_equal(&f.mac, &path.endpoint, 6);
        dp_packet_delete(packet);
    }
}

/* RFC 4861 section 7.2.4: to all nodes, and not "solicited". */
static void
test_who_wants_to_take_the_address_is_told(void **state OVS_UNUSED)
{
    static const uint8_t all_nodes[16] = { 0xff, 2, [15] = 1 };
    const struct health_path path = path6();
    const struct health_frame question = {
        .kind = HEALTH_FRAME_QUESTION, .mac = path.endpoint,
        .to = path.source,
    };
    struct dp_packet *packet = health_frame_answer(&path, &question);
    const uint8_t *b = dp_packet_data(packet);

    assert_memory_equal(b, &path.endpoint, 6);
    assert_memory_equal(b + 14 + 24, all_nodes, sizeof all_nodes);
    assert_int_equal(b[14 + 40], 136);
    assert_int_equal(b[14 + 40 + 4], 0x20);
    dp_packet_delete(packet);
}

static void
offer(uint32_t vni, struct dp_packet *packet, bool taken)
{
    uint32_t got = 0;
    struct dp_packet *out;

    assert_int_equal(health_tap_offer(vni, packet), taken);
    out = health_tap_take(&got);
    assert_true(!out == !taken);
    if (taken) {
        assert_int_equal(got, vni);
        dp_packet_delete(out);
    } else {
        dp_packet_delete(packet);
    }
}

static void
test_the_tap_takes_what_is_for_a_source_and_no_more(void **state OVS_UNUSED)
{
    const struct health_tcp tcp = { .src_port = 80, .flags = TCP_SYN };

    for (int v6 = 0; v6 < 2; v6++) {
        const struct health_path path = v6 ? path6() : path4();
        struct health_path back = path, other = path;
        struct health_tap_source source = { 7, path.source };

        back.source = path.address;
        back.address = path.source;
        other.address.lo ^= 0x100000; /* The same last octet. */
        health_tap_set(&source, 1);
        offer(7, health_frame_tcp(&back, &tcp), true);
        offer(7, health_frame_ask(&back), true);
        offer(7, health_frame_echo(&back, 1, 1), true);
        offer(8, health_frame_tcp(&back, &tcp), false);
        offer(7, health_frame_tcp(&path, &tcp), false);
        offer(7, health_frame_tcp(&other, &tcp), false);
        offer(7, health_frame_ask(&path), false);
        health_tap_set(NULL, 0);
        offer(7, health_frame_tcp(&back, &tcp), false);
    }
}

static size_t
empty_the_tap(uint32_t vni)
{
    struct dp_packet *packet;
    uint32_t whose;
    size_t n = 0;

    while ((packet = health_tap_take(&whose))) {
        n += whose == vni || !vni;
        dp_packet_delete(packet);
    }
    return n;
}

/* Each tenant has a part of the room, and all of them the whole. */
static void
test_the_tap_is_bounded(void **state OVS_UNUSED)
{
    enum { N_TENANTS = 100 };
    const struct health_path path = path4();
    struct health_tap_source sources[N_TENANTS];
    uint64_t dropped = health_tap_n_dropped();

    for (int i = 0; i < N_TENANTS; i++) {
        sources[i] = (struct health_tap_source) { 1 + i, path.address };
    }
    health_tap_set(sources, N_TENANTS);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 2 * HEALTH_TAP_MAX; i++) {
            assert_true(health_tap_offer(7, health_frame_echo(&path, i, 0)));
        }
        assert_true(health_tap_offer(8, health_frame_echo(&path, 0, 0)));
        assert_int_equal(empty_the_tap(8), 1);
        dropped += 2 * HEALTH_TAP_MAX - HEALTH_TAP_SHARE;
        assert_int_equal(health_tap_n_dropped(), dropped);
    }
    for (int i = 0; i < 2 * HEALTH_TAP_MAX; i++) {
        assert_true(health_tap_offer(1 + i % N_TENANTS,
                                     health_frame_echo(&path, i, 0)));
    }
    assert_int_equal(empty_the_tap(0), HEALTH_TAP_MAX);
    health_tap_set(NULL, 0);
}

/* Damaged and cut: neither reads beyond its end. */
static void
test_noise_does_no_harm(void **state OVS_UNUSED)
{
    random_set_seed(1);
    for (int i = 0; i < 50000; i++) {
        const struct health_path path = i % 2 ? path6() : path4();
        const struct health_tcp tcp = { .data = "HTTP/1.1 200", .n = 12 };
        struct health_tap_source source = { 7, path.address };
        struct dp_packet *packet = (i % 3 == 0 ? health_frame_ask(&path)
                                    : i % 3 == 1
                                    ? health_frame_echo(&path, 1, 2)
                                    : health_frame_tcp(&path, &tcp));
        uint8_t *data = dp_packet_data(packet);
        size_t size = dp_packet_size(packet);
        struct dp_packet *copy;
        struct health_frame f;
        uint32_t vni;

        for (int j = random_range(4); j > 0; j--) {
            data[random_range(size)] = random_uint32();
        }
        if (!random_range(4)) {
            size = 14 + random_range(size - 14);
        }
        copy = dp_packet_clone_data(data, size);
        dp_packet_delete(packet);
        health_frame_parse(copy, &f);
        if (f.kind == HEALTH_FRAME_TCP && f.tcp.n) {
            assert_true(f.tcp.data + f.tcp.n
                        <= (char *) dp_packet_tail(copy));
        }
        health_tap_set(&source, 1);
        if (health_tap_offer(7, copy)) {
            copy = health_tap_take(&vni);
        }
        dp_packet_delete(copy);
    }
    health_tap_set(NULL, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_who_wants_to_take_the_address_is_told),
        cmocka_unit_test(test_the_tap_takes_what_is_for_a_source_and_no_more),
        cmocka_unit_test(test_the_tap_is_bounded),
        cmocka_unit_test(test_noise_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
