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

/* Type and code of each enum reply_error. */
static const struct {
    uint8_t type4, code4, type6, code6;
} errors[] = {
    [REPLY_TOO_BIG] = { 3, 4, 2, 0 },
    [REPLY_TIME_EXCEEDED] = { 11, 0, 3, 0 },
    [REPLY_UNREACHABLE] = { 3, 1, 1, 3 },
};

/* The Ethernet header of an answer to 'frame'. */
static void
twin_ethernet(const uint8_t *frame, uint8_t *answer)
{
    memcpy(answer, frame + 6, 6);
    memcpy(answer + 6, router.octet, 6);
    memcpy(answer + 12, frame + 12, frame_l3(frame) - 12);
}

/* The IP header of an answer with 'len' bytes behind it.  Returns where that
 * is. */
static uint8_t *
twin_ip(const uint8_t *frame, uint8_t *answer, uint8_t protocol, uint8_t tos,
        size_t len)
{
    size_t l3 = frame_l3(frame);
    const uint8_t *old = frame + l3;
    uint8_t *ip = answer + l3;

    memset(ip, 0, 40);
    if (old[0] / 16 == 6) {
        ip[0] = 0x60;
        frame_put16(ip + 4, len);
        ip[6] = protocol;
        ip[7] = 64;
        memcpy(ip + 8, old + 24, 16);
        memcpy(ip + 24, old + 8, 16);
        return ip + 40;
    }
    ip[0] = 0x45;
    ip[1] = tos;
    frame_put16(ip + 2, 20 + len);
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = protocol;
    memcpy(ip + 12, old + 16, 4);
    memcpy(ip + 16, old + 12, 4);
    frame_fix_ip_csum(answer);
    return ip + 20;
}

/* Writes the ICMP error that answers 'frame'. */
static size_t
twin_icmp(const uint8_t *frame, enum reply_error error, uint16_t mtu,
          uint8_t *answer)
{
    const uint8_t *old = frame + frame_l3(frame);
    bool v6 = old[0] / 16 == 6;
    size_t quote = v6 ? 40u + frame_get16(old + 4) : frame_get16(old + 2);
    size_t most = v6 ? 1280 - 48 : 576 - 28;

    if (quote > most) {
        quote = most;
    }
    twin_ethernet(frame, answer);
    uint8_t *icmp = twin_ip(frame, answer, v6 ? 58 : 1, 0xc0, 8 + quote);
    memset(icmp, 0, 8);
    icmp[0] = v6 ? errors[error].type6 : errors[error].type4;
    icmp[1] = v6 ? errors[error].code6 : errors[error].code4;
    if (error == REPLY_TOO_BIG) {
        frame_put16(icmp + 6, mtu);
    }
    memcpy(icmp + 8, old, quote);
    frame_fix_l4_csum(answer);
    return icmp + 8 + quote - answer;
}

/* Answers 'frame' with exactly the room that is needed; compares all. */
static void
check_icmp(const uint8_t *frame, size_t size, enum reply_error error,
           uint16_t mtu)
{
    uint8_t expected[FRAME_MAX];
    size_t expected_size = twin_icmp(frame, error, mtu, expected);
    struct encap_view view;
    uint8_t *base;
    uint8_t *copy = frame_copy_exact(frame, size, REPLY_HEADROOM, &base);

    assert_int_equal(encap_parse(copy, size, &view), DROP_NONE);
    uint8_t *answer = reply_icmp(copy, &size, &view, error, mtu, &router);
    assert_ptr_equal(answer, copy - (view.version == 4 ? 28 : 48));
    assert_int_equal(size, expected_size);
    assert_memory_equal(answer, expected, size);
    free(base);
}

static void
random_spec(struct frame_spec *spec)
{
    *spec = (struct frame_spec) {
        .vlan = frame_random() % 2,
        .ihl = 5 + frame_random() % 11,
        .protocol = frame_random() % 2 ? 6 : 17,
        .data_ofs = 5 + frame_random() % 11,
        .tos = frame_random(),
        .ttl = frame_random(),
        .frag = 0x4000,
        .payload = frame_random() % 1400,
        .padding = frame_random() % 30,
        .ipv6 = frame_random() % 2,
        .n_exts = frame_random() % 3,
        .exts = { 60, 43 },
    };
}

static void
icmp_errors_are_as_drawn(void **state)
{
    (void) state;

    for (int i = 0; i < 5000; i++) {
        uint8_t frame[FRAME_MAX];
        struct frame_spec spec;

        random_spec(&spec);
        size_t size = frame_build(&spec, frame);
        for (int error = 0; error < 3; error++) {
            check_icmp(frame, size, error, frame_random());
        }
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
        reply_icmp(frame + REPLY_HEADROOM, &size, &view, REPLY_TOO_BIG,
                   1400, &router);
        assert_int_equal(size, 14 + (payload < 520 ? 56 + payload : 576));
    }
}

/* RFC 9293 section 3.10.7.1, from the bytes. */
static size_t
twin_reset(const uint8_t *frame, uint8_t *answer)
{
    size_t l3 = frame_l3(frame), l4 = frame_l4(frame);
    const uint8_t *old = frame + l4;
    bool v6 = frame[l3] / 16 == 6;
    size_t end = l3 + (v6 ? 40u + frame_get16(frame + l3 + 4)
                          : frame_get16(frame + l3 + 2));
    bool ack = old[13] / 16 % 2;

    twin_ethernet(frame, answer);
    uint8_t *tcp = twin_ip(frame, answer, 6, 0, 20);
    memset(tcp, 0, 20);
    memcpy(tcp, old + 2, 2);
    memcpy(tcp + 2, old, 2);
    if (ack) {
        memcpy(tcp + 4, old + 8, 4);
    } else {
        uint32_t len = end - l4 - old[12] / 16 * 4;

        len += old[13] % 2 + old[13] / 2 % 2;
        frame_put32(tcp + 8, frame_get32(old + 4) + len);
    }
    tcp[12] = 0x50;
    tcp[13] = ack ? 4 : 0x14;
    frame_fix_l4_csum(answer);
    return tcp + 20 - answer;
}

static void
resets_are_as_the_rfc_says(void **state)
{
    (void) state;

    for (int i = 0; i < 5000; i++) {
        uint8_t frame[FRAME_MAX], expected[FRAME_MAX];
        struct frame_spec spec;
        struct encap_view view;
        uint8_t *base;

        random_spec(&spec);
        spec.protocol = 6;
        spec.set_flags = true;
        spec.tcp_flags = frame_random() & ~4;
        if (i % 4 == 0) {
            spec.payload = 0;
        }
        size_t size = frame_build(&spec, frame);
        size_t expected_size = twin_reset(frame, expected);
        uint8_t *copy = frame_copy_exact(frame, size, 1, &base);
        assert_int_equal(encap_parse(copy, size, &view), DROP_NONE);
        reply_reset(copy, &size, &view, &router);
        assert_int_equal(size, expected_size);
        assert_memory_equal(copy, expected, size);
        free(base);
    }
}

/* CRC32c of the bytes at 'data', bit by bit. */
static uint32_t
twin_crc32c(const uint8_t *data, size_t size)
{
    uint32_t crc = UINT32_MAX;

    for (size_t bit = 0; bit < size * 8; bit++) {
        crc ^= data[bit / 8] >> bit % 8 & 1;
        crc = crc & 1 ? crc >> 1 ^ 0x82f63b78 : crc >> 1;
    }
    return ~crc;
}

/* RFC 9260 section 8.4, from the bytes; 0 if there is no answer. */
static size_t
twin_abort(const uint8_t *frame, uint8_t *answer)
{
    const uint8_t *old = frame + frame_l4(frame);

    if (old[12] == 1 || old[12] == 6 || old[12] == 11 || old[12] == 14) {
        return 0;
    }
    twin_ethernet(frame, answer);
    uint8_t *sctp = twin_ip(frame, answer, 132, 0, 16);
    memset(sctp, 0, 16);
    memcpy(sctp, old + 2, 2);
    memcpy(sctp + 2, old, 2);
    memcpy(sctp + 4, old + 4, 4);
    sctp[12] = old[12] == 8 ? 14 : 6;
    sctp[13] = 1;
    sctp[15] = 4;
    uint32_t crc = twin_crc32c(sctp, 16);
    for (int i = 0; i < 4; i++) {
        sctp[8 + i] = crc >> 8 * i;
    }
    return sctp + 16 - answer;
}

static void
aborts_are_as_the_rfc_says(void **state)
{
    unsigned int n_answered = 0, n_silent = 0;

    (void) state;
    for (int i = 0; i < 5000; i++) {
        uint8_t frame[FRAME_MAX], expected[FRAME_MAX];
        struct frame_spec spec;
        struct encap_view view;
        uint8_t *base;

        random_spec(&spec);
        spec.protocol = 132;
        spec.l4_type = i % 16;
        if (i % 5 == 0) {
            spec.payload = 0;
        }
        size_t size = frame_build(&spec, frame), new_size = size;
        size_t expected_size = twin_abort(frame, expected);
        uint8_t *copy = frame_copy_exact(frame, size, 1, &base);
        assert_int_equal(encap_parse(copy, size, &view), DROP_NONE);
        assert_int_equal(reply_abort(copy, &new_size, &view, &router),
                         expected_size != 0);
        if (expected_size) {
            assert_int_equal(new_size, expected_size);
            assert_memory_equal(copy, expected, new_size);
            n_answered++;
        } else {
            assert_int_equal(new_size, size);
            assert_memory_equal(copy, frame, size);
            n_silent++;
        }
        free(base);
    }
    assert_true(n_answered > 3000 && n_silent > 1000);
}

static const uint8_t client[16] = { 0xfd, [15] = 2 };
static const uint8_t service[16] = { 0xfd, [15] = 0x64 };
static const uint8_t service_group[16] = {
    0xff, 2, [11] = 1, 0xff, [15] = 0x64,
};

static void
a_solicitation_is_answered_in_place(void **state)
{
    (void) state;

    for (int i = 0; i < 8; i++) {
        const bool vlan = i % 2, option = i / 2 % 2;
        uint8_t frame[FRAME_MAX], expected[FRAME_MAX] = { 0 };
        struct encap_view view;
        uint8_t *base;
        size_t size = frame_build_solicit(frame, vlan, client,
                                          i / 4 ? service : service_group,
                                          service, option);
        size_t l3 = frame_l3(frame), room = l3 + 72;
        uint8_t *nd = expected + l3 + 40;

        twin_ethernet(frame, expected);
        twin_ip(frame, expected, 58, 0, 32);
        expected[l3 + 7] = 255;
        memcpy(expected + l3 + 8, service, 16);
        nd[0] = 136;
        nd[4] = 0x60;
        memcpy(nd + 8, service, 16);
        nd[24] = 2;
        nd[25] = 1;
        memcpy(nd + 26, router.octet, 6);
        frame_fix_l4_csum(expected);

        uint8_t *copy = frame_copy_exact(frame, room, 1, &base);
        assert_int_equal(encap_parse(copy, size, &view), DROP_NONE);
        assert_int_equal(view.kind, ENCAP_ND);
        struct inet_addr target = reply_target(copy, &view);
        assert_true(target.hi == 0xfdull << 56 && target.lo == 0x64);
        assert_int_equal(reply_nd(copy, &size, room - 1, &view, &router),
                         DROP_NO_HEADROOM);
        assert_memory_equal(copy, frame, size);
        assert_int_equal(reply_nd(copy, &size, room, &view, &router),
                         DROP_NONE);
        assert_int_equal(size, room);
        assert_memory_equal(copy, expected, size);
        free(base);
    }
}

static void
duplicate_address_detection_is_left_alone(void **state)
{
    (void) state;
    const uint8_t nobody[16] = { 0 };

    for (int i = 0; i < 2; i++) {
        uint8_t frame[FRAME_MAX], before[FRAME_MAX];
        struct encap_view view;
        size_t size = frame_build_solicit(frame, false,
                                          i ? service : nobody, service_group,
                                          service, false);
        size_t old_size = size;

        memcpy(before, frame, size);
        assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
        assert_int_equal(reply_nd(frame, &size, FRAME_MAX, &view, &router),
                         DROP_ND_IGNORED);
        assert_int_equal(size, old_size);
        assert_memory_equal(frame, before, size);
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
        assert_int_equal(reply_target(copy, &view).lo, 0xffff0a010064);
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
        cmocka_unit_test(resets_are_as_the_rfc_says),
        cmocka_unit_test(aborts_are_as_the_rfc_says),
        cmocka_unit_test(a_solicitation_is_answered_in_place),
        cmocka_unit_test(duplicate_address_detection_is_left_alone),
        cmocka_unit_test(an_arp_request_is_answered_in_place),
        cmocka_unit_test(the_arp_answer_goes_to_who_asked_not_to_who_sent),
        cmocka_unit_test(arp_that_asks_nothing_is_ignored_and_left_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
