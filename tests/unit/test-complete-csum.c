/* encap_complete_csum(): transport checksums that a sender left to its network
 * device. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "encap/parse.h"
#include "tests/unit/frame.h"

struct fixture {
    uint8_t frame[FRAME_MAX];
    size_t size;
    size_t csum_ofs;
};

static void
build(struct fixture *f, const struct frame_spec *spec)
{
    f->size = frame_build(spec, f->frame);
    f->csum_ofs = frame_l4_csum_ofs(f->frame);
}

static void
set_csum(struct fixture *f, uint16_t csum)
{
    frame_put16(f->frame + f->csum_ofs, csum);
}

/* Completes an exactly sized copy of the frame; checks that the checksum is
 * 'csum' then and all else as before.  Returns whether it was written. */
static int
complete(const struct fixture *f, int partial, uint16_t csum)
{
    uint8_t expected[FRAME_MAX];
    struct encap_view view;
    uint8_t *base;
    uint8_t *copy = frame_copy_exact(f->frame, f->size, 5, &base);

    memcpy(expected, f->frame, f->size);
    frame_put16(expected + f->csum_ofs, csum);
    assert_int_equal(encap_parse(copy, f->size, &view), DROP_NONE);
    int written = encap_complete_csum(copy, &view, partial);
    assert_memory_equal(copy, expected, f->size);
    free(base);
    return written;
}

static void
random_spec(struct frame_spec *spec)
{
    *spec = (struct frame_spec) {
        .vlan = frame_random() % 4 == 0,
        .ihl = 5 + frame_random() % 11,
        .protocol = frame_random() % 2 ? 6 : 17,
        .data_ofs = 5 + frame_random() % 11,
        .payload = frame_random() % 300,
        .padding = frame_random() % 20,
        .src = 0x0a000000 + frame_random() % 65536,
        .dst = frame_random(),
        .ipv6 = frame_random() % 2,
        .l4_type = 128,         /* Of ICMPv6: an echo request. */
        .n_exts = frame_random() % 3,
        .exts = { 60, 43 },
    };
    if (spec->ipv6 && frame_random() % 3 == 0) {
        spec->protocol = 58;
    }
}

static void
a_partial_checksum_becomes_the_right_one(void **state)
{
    (void) state;

    for (int i = 0; i < 20000; i++) {
        struct frame_spec spec;
        struct fixture f;

        random_spec(&spec);
        build(&f, &spec);
        uint16_t right = frame_l4_csum(f.frame);
        set_csum(&f, frame_pseudo_sum(f.frame));
        assert_int_equal(complete(&f, i % 2, right), 1);
    }
}

static void
a_finished_checksum_stays(void **state)
{
    (void) state;

    for (int i = 0; i < 20000; i++) {
        struct frame_spec spec;
        struct fixture f;

        random_spec(&spec);
        build(&f, &spec);
        assert_int_equal(complete(&f, i % 2, frame_l4_csum(f.frame)), 0);
    }
}

static void
a_wrong_checksum_is_not_made_right(void **state)
{
    (void) state;

    for (int i = 0; i < 2000; i++) {
        struct frame_spec spec;
        struct fixture f;

        random_spec(&spec);
        build(&f, &spec);
        uint16_t wrong = frame_l4_csum(f.frame) ^ 0x0101;
        if (wrong != 0 && wrong != frame_pseudo_sum(f.frame)) {
            set_csum(&f, wrong);
            assert_int_equal(complete(&f, 0, wrong), 0);
            assert_int_equal(complete(&f, 1, frame_l4_csum(f.frame)), 1);
        }
    }
}

/* Sets the last two payload bytes so that the right checksum is 'csum'. */
static void
aim_at(struct fixture *f, uint16_t csum)
{
    size_t end = frame_l4(f->frame) + 8 + 30;

    frame_put16(f->frame + end - 2, 0);
    uint16_t diff = 0xffff - csum;      /* The sum that is wanted, ... */
    set_csum(f, 0);
    uint16_t have = 0xffff - frame_l4_csum(f->frame);
    frame_put16(f->frame + end - 2,     /* ... less the one there is. */
                diff >= have ? diff - have : diff + 0xffff - have);
    set_csum(f, csum);
}

static void
a_finished_checksum_may_look_like_a_partial_one(void **state)
{
    (void) state;
    const struct frame_spec spec = { .protocol = 17, .payload = 30 };
    struct fixture f;

    for (int i = 0; i < 100; i++) {
        build(&f, &spec);
        uint16_t pseudo = frame_pseudo_sum(f.frame);
        aim_at(&f, pseudo);
        assert_int_equal(frame_l4_csum(f.frame), pseudo);
        assert_int_equal(complete(&f, 0, pseudo), 0);
        assert_int_equal(complete(&f, 1, pseudo), 0);
    }
}

static void
a_udp_checksum_of_zero_is_none(void **state)
{
    (void) state;
    const struct frame_spec spec = { .protocol = 17, .payload = 30 };
    struct fixture f;

    build(&f, &spec);
    set_csum(&f, 0);
    assert_int_equal(complete(&f, 0, 0), 0);
    assert_int_equal(complete(&f, 1, 0), 0);
}

static void
a_udp_checksum_that_comes_to_zero_is_sent_as_ones(void **state)
{
    (void) state;
    const struct frame_spec spec = { .protocol = 17, .payload = 30 };
    struct fixture f;

    for (int i = 0; i < 100; i++) {
        build(&f, &spec);
        aim_at(&f, 0xffff);
        assert_int_equal(frame_l4_csum(f.frame), 0xffff);
        set_csum(&f, frame_pseudo_sum(f.frame));
        assert_int_equal(complete(&f, 0, 0xffff), 1);
    }
}

static void
bytes_behind_the_udp_length_do_not_count(void **state)
{
    (void) state;

    for (uint16_t udp_len = 8; udp_len < 8 + 30; udp_len++) {
        const struct frame_spec spec = { .protocol = 17, .payload = 30 };
        struct fixture f;

        build(&f, &spec);
        frame_put16(f.frame + frame_l4(f.frame) + 4, udp_len);
        uint16_t right = frame_l4_csum(f.frame);
        set_csum(&f, frame_pseudo_sum(f.frame));
        assert_int_equal(complete(&f, 0, right), 1);
    }
}

static void
icmpv6_errors_are_completed(void **state)
{
    (void) state;
    const struct frame_spec sent = {
        .ipv6 = true, .protocol = 17,
        .src6 = { 0xfd, [15] = 0x64 }, .dst6 = { 0xfd, [15] = 2 },
    };
    uint8_t quote[FRAME_MAX];
    const struct frame_spec spec = {
        .ipv6 = true, .protocol = 58, .l4_type = 2, .data = quote + 14,
        .payload = frame_build(&sent, quote) - 14,
    };
    struct fixture f;

    build(&f, &spec);
    uint16_t right = frame_l4_csum(f.frame);
    set_csum(&f, frame_pseudo_sum(f.frame));
    assert_int_equal(complete(&f, 0, right), 1);
}

static void
icmp_over_ipv4_is_left_alone(void **state)
{
    (void) state;
    const struct frame_spec spec = { .protocol = 1, .l4_type = 8 };
    struct fixture f;

    build(&f, &spec);
    set_csum(&f, 0x1234);
    assert_int_equal(complete(&f, 0, 0x1234), 0);
    assert_int_equal(complete(&f, 1, 0x1234), 0);
}

static void
fragments_are_left_alone(void **state)
{
    (void) state;

    for (int i = 0; i < 4; i++) {
        const struct frame_spec spec = {
            .frag = i % 2 ? 0x2000 : 0x2001, .payload = i / 2 ? 4 : 8,
            .protocol = i / 2 ? 6 : 17,
        };
        struct fixture f;

        build(&f, &spec);
        f.csum_ofs = 14 + 20 + 6;
        uint16_t csum = frame_pseudo_sum(f.frame);
        set_csum(&f, csum);
        assert_int_equal(complete(&f, 1, csum), 0);
    }

    /* Nor is the end of a short one overstepped. */
    const struct frame_spec last = {
        .frag = 0x0001, .protocol = 1,
    };
    struct fixture f;
    build(&f, &last);
    f.frame[14 + 9] = 6;
    frame_fix_ip_csum(f.frame);
    f.csum_ofs = 14;
    uint16_t start = frame_get16(f.frame + 14);
    assert_int_equal(complete(&f, 0, start), 0);
}

/* CRC32c by its definition: the remainder of a polynomial division, most
 * significant coefficient first, of the bits of each byte from the lowest. */
static uint32_t
crc32c_twin(const uint8_t *data, size_t size)
{
    uint32_t remainder = 0xffffffff, reversed = 0;

    for (size_t bit = 0; bit < size * 8; bit++) {
        uint32_t in = data[bit / 8] >> bit % 8 & 1;
        bool top = (remainder >> 31) ^ in;

        remainder = remainder * 2 ^ (top ? 0x1edc6f41 : 0);
    }
    for (int bit = 0; bit < 32; bit++) {
        reversed |= (remainder >> bit & 1) << (31 - bit);
    }
    return ~reversed;
}

static void
sctp_without_its_crc_gets_it(void **state)
{
    (void) state;

    assert_int_equal(crc32c_twin((const uint8_t *) "123456789", 9),
                     0xe3069283);
    for (int i = 0; i < 200; i++) {
        struct frame_spec spec = {
            .protocol = 132, .payload = frame_random() % 200, .ipv6 = i % 2,
            .padding = frame_random() % 9,
        };
        uint8_t frame[FRAME_MAX], before[FRAME_MAX];
        struct encap_view view;
        size_t size = frame_build(&spec, frame);
        uint8_t *l4 = frame + frame_l4(frame);

        frame_put32(l4 + 8, 0);
        uint32_t crc = crc32c_twin(l4, 16 + spec.payload);
        memcpy(before, frame, size);
        assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
        assert_int_equal(encap_complete_csum(frame, &view, 0), 1);
        for (int j = 0; j < 4; j++) {
            assert_int_equal(l4[8 + j], (uint8_t) (crc >> 8 * j));
        }
        assert_int_equal(encap_complete_csum(frame, &view, i / 2 % 2), 0);
        l4[8] ^= 1;             /* A wrong one stays wrong. */
        assert_int_equal(encap_complete_csum(frame, &view, 0), 0);
        frame_put32(l4 + 8, 0);
        assert_memory_equal(frame, before, size);
    }
}

static void
udp_over_ipv6_may_not_go_without(void **state)
{
    (void) state;
    const struct frame_spec spec = {
        .ipv6 = true, .protocol = 17, .payload = 30,
    };
    struct fixture f;

    build(&f, &spec);
    uint16_t right = frame_l4_csum(f.frame);
    set_csum(&f, 0);
    assert_int_equal(complete(&f, 0, 0), 0);
    assert_int_equal(complete(&f, 1, right), 1);

    aim_at(&f, 0xffff);         /* The same number, but allowed. */
    set_csum(&f, 0);
    assert_int_equal(complete(&f, 1, 0xffff), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_partial_checksum_becomes_the_right_one),
        cmocka_unit_test(a_finished_checksum_stays),
        cmocka_unit_test(a_wrong_checksum_is_not_made_right),
        cmocka_unit_test(a_finished_checksum_may_look_like_a_partial_one),
        cmocka_unit_test(a_udp_checksum_of_zero_is_none),
        cmocka_unit_test(a_udp_checksum_that_comes_to_zero_is_sent_as_ones),
        cmocka_unit_test(bytes_behind_the_udp_length_do_not_count),
        cmocka_unit_test(icmpv6_errors_are_completed),
        cmocka_unit_test(icmp_over_ipv4_is_left_alone),
        cmocka_unit_test(fragments_are_left_alone),
        cmocka_unit_test(sctp_without_its_crc_gets_it),
        cmocka_unit_test(udp_over_ipv6_may_not_go_without),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
