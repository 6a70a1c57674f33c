/* encap/reply.h against answers that are spelled out byte by byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "encap/reply.h"
#include "tests/unit/frame.h"

static const struct mac router = { { 0x0a, 0x67, 0x72, 1, 2, 3 } };

/* Writes what answers 'frame' with the ICMP error of 'type' and 'code'. */
static size_t
twin_icmp(const uint8_t *frame, uint8_t type, uint8_t code, uint16_t mtu,
          uint8_t *answer)
{
    size_t l3 = frame_l3(frame);
    const uint8_t *old_ip = frame + l3;
    size_t quote = frame_get16(old_ip + 2);
    uint8_t *ip = answer + l3;
    uint8_t *icmp = ip + 20;

    if (20 + 8 + quote > 576) {
        quote = 576 - 20 - 8;
    }
    memcpy(answer, frame + 6, 6);
    memcpy(answer + 6, router.octet, 6);
    memcpy(answer + 12, frame + 12, l3 - 12);

    memset(ip, 0, 28);
    ip[0] = 0x45;
    ip[1] = 6 << 5;             /* Precedence 6. */
    frame_put16(ip + 2, 28 + quote);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 1;
    memcpy(ip + 12, old_ip + 16, 4);
    memcpy(ip + 16, old_ip + 12, 4);
    frame_fix_ip_csum(answer);

    icmp[0] = type;
    icmp[1] = code;
    frame_put16(icmp + 6, mtu);
    memcpy(icmp + 8, old_ip, quote);
    frame_put16(icmp + 2, 0xffff - frame_sum(icmp, 8 + quote));
    return l3 + 28 + quote;
}

/* Answers 'frame' with exactly the room that is needed; compares all. */
static void
check_icmp(const uint8_t *frame, size_t size, enum icmp_error error,
           uint16_t mtu)
{
    uint8_t expected[FRAME_MAX];
    bool frag_needed = error == ICMP_FRAG_NEEDED;
    size_t expected_size = twin_icmp(frame, frag_needed ? 3 : 11,
                                     frag_needed ? 4 : 0,
                                     frag_needed ? mtu : 0, expected);
    struct encap_view view;
    uint8_t *base;
    uint8_t *copy = frame_copy_exact(frame, size, REPLY_HEADROOM, &base);

    assert_int_equal(encap_parse(copy, size, &view), DROP_NONE);
    uint8_t *answer = reply_icmp(copy, &size, &view, error, mtu, &router);
    assert_ptr_equal(answer, base);
    assert_int_equal(size, expected_size);
    assert_memory_equal(answer, expected, size);
    free(base);
}

static void
icmp_errors_are_as_drawn(void **state)
{
    (void) state;

    for (int i = 0; i < 5000; i++) {
        const struct frame_spec spec = {
            .vlan = frame_random() % 2,
            .ihl = 5 + frame_random() % 11,
            .protocol = frame_random() % 2 ? 6 : 17,
            .data_ofs = 5 + frame_random() % 11,
            .tos = frame_random(),
            .ttl = frame_random(),
            .frag = 0x4000,
            .payload = frame_random() % 1400,
            .padding = frame_random() % 30,
        };
        uint8_t frame[FRAME_MAX];
        size_t size = frame_build(&spec, frame);

        check_icmp(frame, size, ICMP_FRAG_NEEDED, frame_random());
        check_icmp(frame, size, ICMP_TIME_EXCEEDED, frame_random());
    }
}

static void
the_quote_ends_at_576_bytes_and_before_padding(void **state)
{
    (void) state;

    for (uint16_t payload = 500; payload < 540; payload++) {
        const struct frame_spec spec = {
            .protocol = 17, .payload = payload, .padding = 40,
        };
        uint8_t frame[REPLY_HEADROOM + FRAME_MAX];
        struct encap_view view;
        size_t size = frame_build(&spec, frame + REPLY_HEADROOM);

        encap_parse(frame + REPLY_HEADROOM, size, &view);
        reply_icmp(frame + REPLY_HEADROOM, &size, &view, ICMP_FRAG_NEEDED,
                   1400, &router);
        assert_int_equal(size, 14 + (payload < 520 ? 56 + payload : 576));
    }
}

static void
an_arp_request_is_answered_in_place(void **state)
{
    (void) state;

    for (int vlan = 0; vlan < 2; vlan++) {
        uint8_t frame[64], expected[64];
        struct encap_view view;
        uint8_t *base;
        size_t size = frame_build_arp(frame, vlan, 1, 0x0a010002, 0x0a010064);
        size_t l3 = frame_l3(frame);

        memcpy(expected, frame, size);
        memcpy(expected, frame + 6, 6);
        memcpy(expected + 6, router.octet, 6);
        expected[l3 + 7] = 2;
        memcpy(expected + l3 + 8, router.octet, 6);
        frame_put32(expected + l3 + 14, 0x0a010064);
        memcpy(expected + l3 + 18, frame + 6, 6);
        frame_put32(expected + l3 + 24, 0x0a010002);

        uint8_t *copy = frame_copy_exact(frame, size, 1, &base);
        assert_int_equal(encap_parse(copy, size, &view), DROP_NONE);
        assert_int_equal(reply_arp_target(copy, &view), 0x0a010064);
        assert_int_equal(reply_arp(copy, &view, &router), DROP_NONE);
        assert_memory_equal(copy, expected, size);
        free(base);
    }
}

static void
the_arp_answer_goes_to_who_asked_not_to_who_sent(void **state)
{
    (void) state;
    uint8_t frame[64];
    struct encap_view view;
    size_t size = frame_build_arp(frame, false, 1, 0x0a010002, 0x0a010064);

    frame[14 + 8 + 5] ^= 0xff;  /* A proxy: sha is not the frame's source. */
    uint8_t sha[6];
    memcpy(sha, frame + 14 + 8, 6);
    encap_parse(frame, size, &view);
    assert_int_equal(reply_arp(frame, &view, &router), DROP_NONE);
    assert_memory_equal(frame, sha, 6);
    assert_memory_equal(frame + 14 + 18, sha, 6);
}

static void
arp_that_asks_nothing_is_ignored_and_left_alone(void **state)
{
    (void) state;
    const struct {
        uint16_t op;
        uint32_t spa, tpa;
        uint8_t sha;            /* First octet. */
    } cases[] = {
        { 2, 0x0a010002, 0x0a010064, 0x02 },    /* A reply. */
        { 0, 0x0a010002, 0x0a010064, 0x02 },
        { 3, 0x0a010002, 0x0a010064, 0x02 },    /* RARP. */
        { 0x0101, 0x0a010002, 0x0a010064, 0x02 },
        { 1, 0x00000000, 0x0a010064, 0x02 },    /* A probe. */
        { 1, 0x0a010064, 0x0a010064, 0x02 },    /* An announcement. */
        { 1, 0xe0000001, 0x0a010064, 0x02 },
        { 1, 0xffffffff, 0x0a010064, 0x02 },
        { 1, 0x0a010002, 0x0a010064, 0x03 },    /* Multicast sender. */
        { 1, 0x0a010002, 0x0a010064, 0xff },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t frame[64], before[64];
        struct encap_view view;
        size_t size = frame_build_arp(frame, i % 2, cases[i].op, cases[i].spa,
                                      cases[i].tpa);

        frame[frame_l3(frame) + 8] = cases[i].sha;
        memcpy(before, frame, size);
        assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
        assert_int_equal(reply_arp(frame, &view, &router), DROP_ARP_IGNORED);
        assert_memory_equal(frame, before, size);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(icmp_errors_are_as_drawn),
        cmocka_unit_test(the_quote_ends_at_576_bytes_and_before_padding),
        cmocka_unit_test(an_arp_request_is_answered_in_place),
        cmocka_unit_test(the_arp_answer_goes_to_who_asked_not_to_who_sent),
        cmocka_unit_test(arp_that_asks_nothing_is_ignored_and_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
