/* encap/provoke.h against two frames that scapy made, and many that are read
 * byte by byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "encap/provoke.h"
#include "tests/unit/frame.h"
#include "tests/unit/provoked.h"

enum { N_FRAMES = 20000 };

static const struct mac client = { { 2, 0, 0, 0, 0, 2 } };
static const struct mac router = { { 0x0a, 0x67, 0x72, 0, 0x13, 0x89 } };

static struct inet_addr
ip4(uint32_t address)
{
    return (struct inet_addr) { 0, UINT64_C(0xffff00000000) | address };
}

/* To 10.1.0.2:40000 from 10.1.0.100:80, 0x89abcdef. */
static const uint8_t v4_frame[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x0a, 0x67, 0x72, 0x00, 0x13, 0x89,
    0x08, 0x00, 0x45, 0x00, 0x00, 0x28, 0x00, 0x00, 0x40, 0x00, 0x40, 0x06,
    0x26, 0x69, 0x0a, 0x01, 0x00, 0x64, 0x0a, 0x01, 0x00, 0x02, 0x00, 0x50,
    0x9c, 0x40, 0x89, 0xab, 0xcd, 0xef, 0x89, 0xab, 0xcd, 0xef, 0x50, 0x10,
    0x00, 0x00, 0x4f, 0xa6, 0x00, 0x00,
};

/* To [2001:db8::2]:65535 from [fd00::64]:443, 1. */
static const uint8_t v6_frame[] = {
    0x02, 0x00, 0x00, 0x00, 0x00, 0x02, 0x0a, 0x67, 0x72, 0x00, 0x13, 0x89,
    0x86, 0xdd, 0x60, 0x00, 0x00, 0x00, 0x00, 0x14, 0x06, 0x40, 0xfd, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x64, 0x20, 0x01, 0x0d, 0xb8, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
    0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x01, 0xbb, 0xff, 0xff, 0x00, 0x00,
    0x00, 0x01, 0x00, 0x00, 0x00, 0x01, 0x50, 0x10, 0x00, 0x00, 0x82, 0xf8,
    0x00, 0x00,
};

static void
a_frame_is_as_another_tool_makes_it(void **state)
{
    const struct inet_addr from = { UINT64_C(0xfd00) << 48, 0x64 };
    const struct inet_addr to = { UINT64_C(0x20010db8) << 32, 2 };
    uint8_t frame[PROVOKE_MAX_LEN];

    (void) state;
    assert_int_equal(provoke_write(frame, &client, &router, ip4(0x0a010064),
                                   80, ip4(0x0a010002), 40000, 0x89abcdef),
                     sizeof v4_frame);
    assert_memory_equal(frame, v4_frame, sizeof v4_frame);
    assert_int_equal(provoke_write(frame, &client, &router, from, 443, to,
                                   65535, 1), sizeof v6_frame);
    assert_memory_equal(frame, v6_frame, sizeof v6_frame);
}

/* An address of one IP version, at random, and as it stands on the wire. */
static struct inet_addr
random_address(bool ipv6, uint8_t bytes[16])
{
    struct inet_addr address = { 0, 0 };

    memset(bytes, 0, 16);
    frame_random_bytes(bytes, ipv6 ? 16 : 4);
    if (!ipv6) {
        return ip4(frame_get32(bytes));
    }
    for (int i = 0; i < 8; i++) {
        address.hi = address.hi << 8 | bytes[i];
        address.lo = address.lo << 8 | bytes[8 + i];
    }
    return address;
}

static void
any_frame_reads_as_it_was_asked_for(void **state)
{
    (void) state;
    for (int i = 0; i < N_FRAMES; i++) {
        struct provoked expected, read;
        struct inet_addr src, dst;
        struct mac to, from;
        uint8_t *base, *frame;
        uint8_t room[PROVOKE_MAX_LEN] = { 0 };
        size_t size = i % 2 ? 74 : 54;

        memset(&expected, 0, sizeof expected);
        expected.ipv6 = i % 2;
        src = random_address(expected.ipv6, expected.src);
        dst = random_address(expected.ipv6, expected.dst);
        frame_random_bytes(expected.dst_mac, 6);
        frame_random_bytes(expected.src_mac, 6);
        memcpy(&to, expected.dst_mac, 6);
        memcpy(&from, expected.src_mac, 6);
        expected.src_port = frame_random();
        expected.dst_port = frame_random();
        expected.seq = frame_random();

        frame = frame_copy_exact(room, size, i % 8, &base);
        assert_int_equal(provoke_write(frame, &to, &from, src,
                                       expected.src_port, dst,
                                       expected.dst_port, expected.seq), size);
        assert_true(provoked_read(frame, size, &read));
        assert_memory_equal(&read, &expected, sizeof read);
        free(base);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_frame_is_as_another_tool_makes_it),
        cmocka_unit_test(any_frame_reads_as_it_was_asked_for),
    };

    return cmocka_run_group_tests_name("provoke", tests, NULL, NULL);
}
