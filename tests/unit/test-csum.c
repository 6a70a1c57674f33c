/* encap/csum.h against sums taken byte by byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "encap/csum.h"
#include "tests/unit/frame.h"

/* 0 and 0xffff are the same number in one's complement. */
static uint16_t
canonical(uint16_t sum)
{
    return sum == 0xffff ? 0 : sum;
}

static uint16_t
host_fold(uint32_t sum)
{
    return be16_to_host(csum_fold(sum));
}

static void
each_length_and_alignment_sums_up_like_bytes(void **state)
{
    (void) state;
    uint8_t data[300];

    for (size_t size = 0; size <= 260; size++) {
        for (size_t misalign = 0; misalign < 8; misalign++) {
            uint8_t *base;

            frame_random_bytes(data, size);
            uint8_t *copy = frame_copy_exact(data, size, misalign, &base);
            assert_int_equal(canonical(host_fold(csum_add(0, copy, size))),
                             canonical(frame_sum(data, size)));
            free(base);
        }
    }
}

static void
no_carry_is_lost_in_long_runs_of_ones(void **state)
{
    (void) state;
    static uint8_t data[65536];

    memset(data, 0xff, sizeof data);
    data[40000] = 0x12;
    for (size_t size = 65500; size <= 65536; size++) {
        assert_int_equal(
            canonical(host_fold(csum_add(UINT32_MAX, data, size))),
            canonical(frame_sum(data, size)));
    }
}

static void
sums_leave_room_for_more_words(void **state)
{
    (void) state;
    uint8_t ones[40];

    memset(ones, 0xff, sizeof ones);
    for (size_t size = 0; size <= sizeof ones; size++) {
        assert_true(csum_add(0, ones, size) < 1 << 17);
        assert_true(csum_add(UINT32_MAX, ones, size) < 1 << 17);
    }
}

static void
a_chain_of_parts_gives_the_sum_of_the_whole(void **state)
{
    (void) state;
    uint8_t data[1024];

    for (int i = 0; i < 2000; i++) {
        size_t size = frame_random() % sizeof data;
        size_t cut = frame_random() % (size + 1) & ~(size_t) 1;

        frame_random_bytes(data, size);
        uint32_t sum = csum_add(0, data, cut);
        sum = csum_add(sum, data + cut, size - cut);
        assert_int_equal(canonical(host_fold(sum)),
                         canonical(frame_sum(data, size)));
    }
}

static void
the_pseudo_header_is_that_of_the_rfc(void **state)
{
    (void) state;
    uint8_t frame[FRAME_MAX];

    for (int i = 0; i < 2000; i++) {
        struct frame_spec spec = {
            .protocol = i % 2 ? 6 : 17,
            .ihl = 5 + i % 11,
            .src = frame_random(),
            .dst = frame_random(),
            .payload = frame_random() % 1400,
            .ipv6 = i / 2 % 2,
        };

        frame_build(&spec, frame);
        void *ip = frame + frame_l3(frame);
        uint16_t l4_len = spec.payload + (spec.protocol == 6 ? 20 : 8);
        uint32_t sum = spec.ipv6 ? csum_pseudo6(ip, spec.protocol, l4_len)
                                 : csum_pseudo4(ip, l4_len);
        assert_int_equal(host_fold(sum), frame_pseudo_sum(frame));
    }
}

static void
an_update_equals_a_new_sum(void **state)
{
    (void) state;
    uint8_t header[20];

    for (int i = 0; i < 20000; i++) {
        frame_random_bytes(header, sizeof header);
        if (i % 4 == 0) {       /* Provoke zeros and ones. */
            memset(header, i % 8 ? 0xff : 0, 18);
        }
        frame_put16(header + 10, 0);
        uint16_t before = 0xffff - frame_sum(header, sizeof header);
        uint16_t old = frame_get16(header + 8);
        uint16_t new = i % 3 ? old - 0x100u : frame_random();

        frame_put16(header + 8, new);
        uint16_t after = be16_to_host(csum_update16(host_to_be16(before),
                                                    host_to_be16(old),
                                                    host_to_be16(new)));
        frame_put16(header + 10, after);
        if (frame_sum(header, 10) || frame_sum(header + 12, 8)) {
            assert_int_equal(frame_sum(header, sizeof header), 0xffff);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_length_and_alignment_sums_up_like_bytes),
        cmocka_unit_test(no_carry_is_lost_in_long_runs_of_ones),
        cmocka_unit_test(sums_leave_room_for_more_words),
        cmocka_unit_test(a_chain_of_parts_gives_the_sum_of_the_whole),
        cmocka_unit_test(the_pseudo_header_is_that_of_the_rfc),
        cmocka_unit_test(an_update_equals_a_new_sum),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
