/* encap_quic_id(): the packets drawn in RFC 8999, and others. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "encap/parse.h"
#include "tests/unit/frame.h"

/* Asks an exact copy of a UDP packet with the 'size' bytes at 'quic'; checks
 * that failure leaves the output be. */
static int
quic_id(const uint8_t *quic, size_t size, unsigned int offset,
        unsigned int length, uint64_t *id)
{
    const struct frame_spec spec = {
        .protocol = 17, .data = quic, .payload = size,
        .ipv6 = frame_random() % 2,
    };
    uint8_t frame[FRAME_MAX];
    struct encap_view view;
    uint8_t *base;
    size_t frame_size = frame_build(&spec, frame);
    uint8_t *copy = frame_copy_exact(frame, frame_size, 1, &base);

    assert_int_equal(encap_parse(copy, frame_size, &view), DROP_NONE);
    *id = 0x5a5a;
    int found = encap_quic_id(copy, &view, offset, length, id);
    assert_true(found || *id == 0x5a5a);
    free(base);
    return found;
}

static const uint8_t long_header[] = {
    0xc3, 0, 0, 0, 1, 8, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88,
    0, 0x99,
};
static const uint8_t short_header[] = {
    0x43, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
};

static void
both_headers_give_the_id(void **state)
{
    (void) state;
    uint64_t id;

    assert_true(quic_id(long_header, sizeof long_header, 0, 8, &id));
    assert_true(id == 0x1122334455667788);
    assert_true(quic_id(long_header, sizeof long_header, 6, 2, &id));
    assert_true(id == 0x7788);
    assert_true(quic_id(short_header, sizeof short_header, 0, 8, &id));
    assert_true(id == 0x1122334455667788);
    assert_true(quic_id(short_header, sizeof short_header, 2, 1, &id));
    assert_true(id == 0x33);
}

static void
an_id_that_is_too_short_has_no_number(void **state)
{
    (void) state;

    for (unsigned int offset = 0; offset < 20; offset++) {
        for (unsigned int length = 1; length <= 8; length++) {
            uint64_t id;

            assert_int_equal(quic_id(long_header, sizeof long_header, offset,
                                     length, &id), offset + length <= 8);
            assert_int_equal(quic_id(short_header, sizeof short_header,
                                     offset, length, &id),
                             offset + length <= 10);
        }
    }
}

static void
a_packet_cut_anywhere_has_no_id(void **state)
{
    (void) state;
    uint64_t id;

    for (size_t cut = 0; cut < sizeof long_header; cut++) {
        assert_int_equal(quic_id(long_header, cut, 0, 8, &id), cut >= 14);
        assert_int_equal(quic_id(long_header, cut, 0, 1, &id), cut >= 14);
    }
    for (size_t cut = 0; cut < sizeof short_header; cut++) {
        assert_int_equal(quic_id(short_header, cut, 0, 8, &id), cut >= 9);
    }
}

static void
bytes_behind_the_udp_length_do_not_count(void **state)
{
    (void) state;
    const struct frame_spec spec = {
        .protocol = 17, .data = short_header, .payload = sizeof short_header,
    };
    uint8_t frame[FRAME_MAX];
    struct encap_view view;
    uint64_t id;
    size_t size = frame_build(&spec, frame);

    frame_put16(frame + 34 + 4, 8 + 9);
    assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
    assert_true(encap_quic_id(frame, &view, 0, 8, &id));
    frame_put16(frame + 34 + 4, 8 + 8);
    assert_false(encap_quic_id(frame, &view, 0, 8, &id));
}

static void
what_is_not_quic_has_no_id(void **state)
{
    (void) state;
    uint8_t packet[sizeof long_header];
    uint64_t id;

    for (int first = 0; first < 256; first++) {
        memcpy(packet, long_header, sizeof packet);
        packet[0] = first;
        assert_int_equal(quic_id(packet, sizeof packet, 0, 4, &id),
                         first / 64 % 2);
    }

    const struct frame_spec tcp = { .payload = 40 };
    uint8_t frame[FRAME_MAX];
    struct encap_view view;
    size_t size = frame_build(&tcp, frame);
    assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
    assert_false(encap_quic_id(frame, &view, 0, 8, &id));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_headers_give_the_id),
        cmocka_unit_test(an_id_that_is_too_short_has_no_number),
        cmocka_unit_test(a_packet_cut_anywhere_has_no_id),
        cmocka_unit_test(bytes_behind_the_udp_length_do_not_count),
        cmocka_unit_test(what_is_not_quic_has_no_id),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
