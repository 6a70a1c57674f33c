/* encap/parse.h: what is accepted, what is refused and why. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "encap/parse.h"
#include "tests/unit/frame.h"

/* The twin: reads byte by byte, with nothing of encap/inet.h. */

static enum drop_reason
twin_l4(const uint8_t *l4, size_t len, struct encap_view *view)
{
    if (view->protocol == 6) {
        if (len < 20 || l4[12] / 16 < 5 || l4[12] / 16 * 4u > len) {
            return DROP_BAD_L4;
        }
        view->tcp_flags = l4[13];
    } else {
        if (len < 8 || frame_get16(l4 + 4) < 8 || frame_get16(l4 + 4) > len) {
            return DROP_BAD_L4;
        }
        view->tcp_flags = 0;
    }
    view->src_port = frame_get16(l4);
    view->dst_port = frame_get16(l4 + 2);
    return DROP_NONE;
}

static enum drop_reason
twin_ipv4(const uint8_t *frame, size_t size, struct encap_view *view)
{
    const uint8_t *ip = frame + view->l3_ofs;
    size_t left = size - view->l3_ofs;

    if (left < 20) {
        return DROP_TRUNCATED;
    }
    size_t hdr_len = ip[0] % 16 * 4;
    view->ip_len = frame_get16(ip + 2);
    if (ip[0] / 16 != 4 || hdr_len < 20 || view->ip_len < hdr_len) {
        return DROP_BAD_IP;
    }
    if (left < view->ip_len) {
        return DROP_TRUNCATED;
    }
    if (frame_sum(ip, hdr_len) != 0xffff) {
        return DROP_BAD_IP_CSUM;
    }
    if (frame_get16(ip + 6) % 0x4000 != 0) {
        return DROP_FRAGMENT;
    }
    view->protocol = ip[9];
    if (view->protocol != 6 && view->protocol != 17) {
        return DROP_PROTOCOL;
    }
    view->kind = ENCAP_IPV4_L4;
    view->l4_ofs = view->l3_ofs + hdr_len;
    view->tos = ip[1];
    view->ttl = ip[8];
    view->src = frame_get32(ip + 12);
    view->dst = frame_get32(ip + 16);

    enum drop_reason reason = twin_l4(ip + hdr_len, view->ip_len - hdr_len,
                                      view);
    if (reason) {
        return reason;
    }
    return ip[12] == 0 || ip[12] == 127 || ip[12] >= 224
           ? DROP_BAD_SOURCE : DROP_NONE;
}

static enum drop_reason
twin_parse(const uint8_t *frame, size_t size, struct encap_view *view)
{
    memset(view, 0, sizeof *view);
    if (size < 14) {
        return DROP_TRUNCATED;
    }
    view->l3_ofs = frame_l3(frame);
    if (size < view->l3_ofs) {
        return DROP_TRUNCATED;
    }

    const uint8_t *l3 = frame + view->l3_ofs;
    switch (frame_get16(l3 - 2)) {
    case 0x0800:
        return frame[0] % 2 ? DROP_BROADCAST
               : frame[6] % 2 ? DROP_BAD_SOURCE
               : twin_ipv4(frame, size, view);
    case 0x0806:
        view->kind = ENCAP_ARP;
        return size - view->l3_ofs < 28 ? DROP_TRUNCATED
               : memcmp(l3, "\0\1\10\0\6\4", 6) ? DROP_ARP_IGNORED
               : DROP_NONE;
    default:
        return DROP_ETHERTYPE;
    }
}

/* Parses an exactly sized copy, compares with the twin, returns the reason. */
static enum drop_reason
check(const uint8_t *frame, size_t size, size_t misalign)
{
    struct encap_view view, twin;
    uint8_t *base;

    memset(&view, 0, sizeof view);
    uint8_t *copy = frame_copy_exact(frame, size, misalign, &base);
    enum drop_reason reason = encap_parse(copy, size, &view);
    assert_string_equal(drop_reason_name(reason),
                        drop_reason_name(twin_parse(frame, size, &twin)));
    if (!reason) {
        assert_int_equal(view.kind, twin.kind);
        assert_int_equal(view.l3_ofs, twin.l3_ofs);
    }
    if (!reason && view.kind == ENCAP_IPV4_L4) {
        assert_memory_equal(&view, &twin, sizeof view);
    }
    free(base);
    return reason;
}

static void
random_spec(struct frame_spec *spec)
{
    *spec = (struct frame_spec) {
        .vlan = frame_random() % 4 == 0,
        .ihl = frame_random() % 3 ? 5 : 5 + frame_random() % 11,
        .tos = frame_random(),
        .ttl = frame_random(),
        .protocol = frame_random() % 8 ? (frame_random() % 2 ? 6 : 17)
                                       : frame_random(),
        .frag = frame_random() % 16 ? 0x4000 : frame_random(),
        .src = frame_random() % 8 ? 0 : frame_random(),
        .data_ofs = 5 + frame_random() % 11,
        .payload = frame_random() % 40,
        .padding = frame_random() % 4 ? 0 : frame_random() % 20,
    };
}

static void
random_frames_are_read_as_the_twin_reads_them(void **state)
{
    (void) state;
    unsigned int seen[N_DROP_REASONS] = { 0 };

    for (int i = 0; i < 300000; i++) {
        uint8_t frame[FRAME_MAX];
        struct frame_spec spec;
        size_t size;

        random_spec(&spec);
        size = frame_random() % 16
               ? frame_build(&spec, frame)
               : frame_build_arp(frame, spec.vlan, 1, frame_random(), 1);
        for (int n = frame_random() % 4; n > 0; n--) {
            frame[frame_random() % (size < 64 ? size : 64)] = frame_random();
        }
        size_t l3 = frame_l3(frame);
        if (frame_random() % 4 && l3 + frame[l3] % 16 * 4u <= size) {
            frame_fix_ip_csum(frame);
        }
        if (frame_random() % 8 == 0) {
            size = frame_random() % (size + 1);
        }
        seen[check(frame, size, frame_random() % 8)]++;
    }

    /* The input was varied enough to mean something. */
    const enum drop_reason expected[] = {
        DROP_NONE, DROP_TRUNCATED, DROP_ETHERTYPE, DROP_BROADCAST, DROP_BAD_IP,
        DROP_BAD_IP_CSUM, DROP_FRAGMENT, DROP_PROTOCOL, DROP_BAD_L4,
        DROP_BAD_SOURCE, DROP_ARP_IGNORED,
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        assert_true(seen[expected[i]] >= 500);
    }
}

static void
a_frame_cut_anywhere_is_truncated(void **state)
{
    (void) state;
    const struct frame_spec specs[] = {
        { .payload = 10 },
        { .protocol = 17, .payload = 3 },
        { .vlan = true, .ihl = 15, .data_ofs = 15 },
        { .vlan = true, .protocol = 17 },
    };
    uint8_t frame[FRAME_MAX];

    for (size_t i = 0; i < sizeof specs / sizeof *specs; i++) {
        size_t size = frame_build(&specs[i], frame);
        for (size_t cut = 0; cut < size; cut++) {
            assert_int_equal(check(frame, cut, 0), DROP_TRUNCATED);
        }
        assert_int_equal(check(frame, size, 0), DROP_NONE);
    }

    for (int vlan = 0; vlan < 2; vlan++) {
        size_t size = frame_build_arp(frame, vlan, 1, 1, 2);
        for (size_t cut = 0; cut < size; cut++) {
            assert_int_equal(check(frame, cut, 0), DROP_TRUNCATED);
        }
        assert_int_equal(check(frame, size, 0), DROP_NONE);
    }
}

static void
all_members_are_what_the_frame_says(void **state)
{
    (void) state;
    const struct frame_spec spec = {
        .vlan = true, .ihl = 7, .tos = 0xb9, .ttl = 17, .frag = 0x4000,
        .data_ofs = 6, .payload = 5, .padding = 11,
    };
    uint8_t frame[FRAME_MAX];
    struct encap_view view;
    size_t size = frame_build(&spec, frame);

    frame_put16(frame + 46, 0xfedc);
    frame_put16(frame + 48, 80);
    frame[59] = 0x12;
    assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
    assert_int_equal(view.kind, ENCAP_IPV4_L4);
    assert_int_equal(view.l3_ofs, 18);
    assert_int_equal(view.l4_ofs, 18 + 28);
    assert_int_equal(view.ip_len, 28 + 24 + 5);
    assert_int_equal(view.protocol, 6);
    assert_int_equal(view.tcp_flags, 0x12);
    assert_int_equal(view.ttl, 17);
    assert_int_equal(view.tos, 0xb9);
    assert_int_equal(view.src, 0x0a010002);
    assert_int_equal(view.dst, 0x0a010064);
    assert_int_equal(view.src_port, 0xfedc);
    assert_int_equal(view.dst_port, 80);
}

/* One changed byte of a good frame (offset from the IP header, or from the
 * start of the frame if 'whole'), and what becomes of it. */
struct fault {
    struct frame_spec spec;
    bool whole;
    size_t ofs;
    uint8_t value;
    enum drop_reason reason;
};

static void
each_fault_has_its_reason(void **state)
{
    (void) state;
    const struct fault faults[] = {
        { { 0 }, true, 12, 0x86, DROP_ETHERTYPE },      /* 0x8600. */
        { { .ethertype = 0x86dd }, false, 0, 0x60, DROP_ETHERTYPE },
        { { .ethertype = 0x88a8 }, false, 0, 0, DROP_ETHERTYPE },
        { { .vlan = true, .ethertype = 0x8100 }, false, 0, 0,
          DROP_ETHERTYPE },                             /* A second tag. */
        { { 0 }, true, 0, 0x01, DROP_BROADCAST },
        { { 0 }, true, 6, 0x03, DROP_BAD_SOURCE },
        { { 0 }, false, 0, 0x65, DROP_BAD_IP },         /* Version 6. */
        { { 0 }, false, 0, 0x44, DROP_BAD_IP },         /* ihl 4. */
        { { 0 }, false, 3, 19, DROP_BAD_IP },           /* total_len 19. */
        { { .ihl = 6 }, false, 3, 23, DROP_BAD_IP },
        { { 0 }, false, 3, 41, DROP_TRUNCATED },        /* 1 too many. */
        { { .frag = 0x2000 }, false, 0, 0x45, DROP_FRAGMENT },
        { { .frag = 0x0001 }, false, 0, 0x45, DROP_FRAGMENT },
        { { .frag = 0x1000 }, false, 0, 0x45, DROP_FRAGMENT },
        { { .frag = 0xc000 }, false, 0, 0x45, DROP_NONE }, /* DF, reserved. */
        { { .protocol = 1, .payload = 8 }, false, 0, 0x45, DROP_PROTOCOL },
        { { .protocol = 47 }, false, 0, 0x45, DROP_PROTOCOL },
        { { .payload = 20 }, false, 32, 0x4f, DROP_BAD_L4 }, /* data_ofs 4. */
        { { .payload = 20 }, false, 32, 0xa0, DROP_NONE },
        { { .payload = 20 }, false, 32, 0xb0, DROP_BAD_L4 },
        { { 0 }, false, 3, 39, DROP_BAD_L4 },           /* 19 bytes of TCP. */
        { { .protocol = 17 }, false, 3, 27, DROP_BAD_L4 },
        { { .protocol = 17 }, false, 25, 7, DROP_BAD_L4 },
        { { .protocol = 17, .padding = 9 }, false, 25, 9, DROP_BAD_L4 },
        { { .protocol = 17, .payload = 9 }, false, 25, 9, DROP_NONE },
        { { .src = 0x00000001 }, false, 0, 0x45, DROP_BAD_SOURCE },
        { { .src = 0x7f000001 }, false, 0, 0x45, DROP_BAD_SOURCE },
        { { .src = 0xe0000001 }, false, 0, 0x45, DROP_BAD_SOURCE },
        { { .src = 0xffffffff }, false, 0, 0x45, DROP_BAD_SOURCE },
        { { .src = 0xdfffffff }, false, 0, 0x45, DROP_NONE },
    };

    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const struct fault *f = &faults[i];
        uint8_t frame[FRAME_MAX];
        size_t size = frame_build(&f->spec, frame);

        frame[f->ofs + (f->whole ? 0 : frame_l3(frame))] = f->value;
        if (frame[frame_l3(frame)] % 16 <= 6) {
            frame_fix_ip_csum(frame);
        }
        if (check(frame, size, 0) != f->reason) {
            fail_msg("fault %zu is not %s", i, drop_reason_name(f->reason));
        }
    }
}

static void
each_wrong_bit_of_the_ip_header_breaks_its_checksum(void **state)
{
    (void) state;

    for (size_t ihl = 5; ihl <= 15; ihl++) {
        const struct frame_spec spec = { .ihl = ihl };
        uint8_t frame[FRAME_MAX];
        size_t size = frame_build(&spec, frame);

        for (size_t bit = 4 * 8; bit < ihl * 32; bit++) {
            frame[14 + bit / 8] ^= 1 << bit % 8;
            assert_int_equal(check(frame, size, 0), DROP_BAD_IP_CSUM);
            frame[14 + bit / 8] ^= 1 << bit % 8;
        }
    }
}

static void
arp_for_other_media_is_ignored(void **state)
{
    (void) state;
    uint8_t frame[FRAME_MAX];
    size_t size = frame_build_arp(frame, false, 1, 1, 2);

    for (size_t ofs = 0; ofs < 6; ofs++) {
        frame[14 + ofs] ^= 8;
        assert_int_equal(check(frame, size, 0), DROP_ARP_IGNORED);
        frame[14 + ofs] ^= 8;
    }
}

static void
reasons_have_distinct_names_and_texts(void **state)
{
    (void) state;

    for (int i = 0; i < N_DROP_REASONS; i++) {
        const char *name = drop_reason_name(i);

        assert_int_equal(strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_"),
                         strlen(name));
        assert_true(strlen(drop_reason_text(i)) > 5);
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(name, drop_reason_name(j));
        }
    }
    assert_string_equal(drop_reason_name(DROP_BAD_IP_CSUM), "bad_ip_csum");
    assert_string_equal(drop_reason_name(N_DROP_REASONS), "unknown");
    assert_string_equal(drop_reason_text(-1), "unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_members_are_what_the_frame_says),
        cmocka_unit_test(each_fault_has_its_reason),
        cmocka_unit_test(each_wrong_bit_of_the_ip_header_breaks_its_checksum),
        cmocka_unit_test(a_frame_cut_anywhere_is_truncated),
        cmocka_unit_test(random_frames_are_read_as_the_twin_reads_them),
        cmocka_unit_test(arp_for_other_media_is_ignored),
        cmocka_unit_test(reasons_have_distinct_names_and_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
