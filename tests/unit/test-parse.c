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
#include "tests/unit/parse-twin.h"

static void
check_members(const struct encap_view *view, const struct encap_view *twin)
{
    assert_int_equal(view->kind, twin->kind);
    assert_int_equal(view->l3_ofs, twin->l3_ofs);
    if (twin->kind == ENCAP_ARP || twin->kind == ENCAP_HINT) {
        return;
    }
    assert_int_equal(view->version, twin->version);
    assert_int_equal(view->ttl, twin->ttl);
    assert_int_equal(view->tos, twin->tos);
    assert_int_equal(view->protocol, twin->protocol);
    assert_int_equal(view->life, twin->life);
    assert_int_equal(view->first_fragment, twin->first_fragment);
    assert_int_equal(view->l4_ofs, twin->l4_ofs);
    assert_int_equal(view->ip_len, twin->ip_len);
    assert_int_equal(view->src_port, twin->src_port);
    assert_int_equal(view->dst_port, twin->dst_port);
    assert_int_equal(view->fragment_id, twin->fragment_id);
    assert_memory_equal(&view->src, &twin->src, sizeof twin->src);
    assert_memory_equal(&view->dst, &twin->dst, sizeof twin->dst);
}

/* Whether the short parser must know the frame, by what the long one says. */
static bool
is_common(const uint8_t *frame, size_t size, enum drop_reason reason,
          const struct encap_view *view)
{
    return !reason && size >= 48 && view->kind == ENCAP_FLOW
           && view->version == 4 && view->l3_ofs == 14 && view->l4_ofs == 34
           && !view->first_fragment && frame[14] == 0x45
           && (view->protocol == 6 || view->protocol == 17);
}

/* Parses an exactly sized copy, compares with the twin, returns the reason. */
static enum drop_reason
check(const uint8_t *frame, size_t size, size_t misalign)
{
    struct encap_view view, twin, common;
    uint8_t *base;

    memset(&view, 0x5a, sizeof view);
    memset(&common, 0xa5, sizeof common);
    uint8_t *copy = frame_copy_exact(frame, size, misalign, &base);
    enum drop_reason reason = encap_parse(copy, size, &view);
    enum drop_reason twin_reason = parse_twin(frame, size, &twin);
    assert_string_equal(drop_reason_name(reason),
                        drop_reason_name(twin_reason));
    if (!reason) {
        check_members(&view, &twin);
    }
    bool known = encap_parse_common(copy, size, &common);
    assert_int_equal(known, is_common(frame, size, twin_reason, &twin));
    if (known) {
        check_members(&common, &twin);
    }
    free(base);
    return reason;
}

static uint8_t
one_of(const char *choices, size_t n)
{
    return choices[frame_random() % n];
}
#define ONE_OF(CHOICES) one_of(CHOICES, sizeof (CHOICES) - 1)

static void
random_common(struct frame_spec *spec)
{
    *spec = (struct frame_spec) {
        .vlan = frame_random() % 4 == 0,
        .ihl = frame_random() % 3 ? 5 : 5 + frame_random() % 11,
        .tos = frame_random(),
        .ttl = frame_random(),
        .protocol = frame_random() % 8 ? ONE_OF("\6\21\1\204\6\21")
                                       : frame_random(),
        .frag = frame_random() % 16 ? 0x4000 : frame_random(),
        .src = frame_random() % 8 ? 0 : frame_random(),
        .data_ofs = 5 + frame_random() % 11,
        .l4_type = frame_random() % 4 ? frame_random() % 16 : frame_random(),
        .payload = frame_random() % 40,
        .padding = frame_random() % 4 ? 0 : frame_random() % 20,
    };
}

/* Of any sort, in both versions. */
static void
random_spec(struct frame_spec *spec)
{
    random_common(spec);
    spec->ipv6 = frame_random() % 2;
    if (!spec->ipv6) {
        return;
    }
    if (spec->protocol == 1) {
        spec->protocol = 58;
        spec->l4_type = ONE_OF("\200\200\1\2\3\4\201\205\206\207\210\211");
    }
    spec->frag = ONE_OF("\0\0\1\6") + frame_random() % 4 * 256;
    spec->id = frame_random();
    spec->n_exts = frame_random() % 2 ? 0 : frame_random() % 10;
    for (int i = 0; i < spec->n_exts; i++) {
        spec->exts[i] = (frame_random() % 64 == 0 ? ONE_OF("\0\63\207\213")
                         : ONE_OF("\53\54\74\74\74\74\74\74"));
    }
    if (frame_random() % 4 == 0) {
        spec->exts[0] = 0;
    }
}

/* An ICMP error about a packet that 'spec' makes.  It may not fit together:
 * the quote may be from another address. */
static size_t
build_error(uint8_t *frame)
{
    uint8_t inner[FRAME_MAX];
    struct frame_spec spec, outer = { .protocol = 1 };
    bool matches = frame_random() % 8;

    random_spec(&spec);
    spec.vlan = false;
    if (spec.protocol == 1 || spec.protocol == 58) {
        spec.l4_type = spec.ipv6 ? 129 : 0;
    }
    size_t quote = frame_build(&spec, inner) - 14;
    if (frame_random() % 2) {
        quote = frame_random() % (quote + 1);
    }
    outer.data = inner + 14;
    outer.payload = quote;
    outer.l4_type = ONE_OF("\3\13\14");
    outer.dst = matches && !spec.ipv6 ? frame_get32(inner + 14 + 12) : 0;
    outer.ipv6 = matches ? spec.ipv6 : frame_random() % 2;
    if (outer.ipv6) {
        outer.protocol = 58;
        outer.l4_type = ONE_OF("\1\2\3\4");
        memcpy(outer.dst6, inner + 14 + 8, matches ? 16 : 0);
    }
    return frame_build(&outer, frame);
}

static size_t
build_nd(uint8_t *frame)
{
    uint8_t target[16] = { 0xfd, [15] = 0x64 };
    uint8_t src[16] = { 0xfd, [15] = 2 };
    uint8_t dst[16] = { 0xff, 2, [11] = 1, [12] = 0xff, [15] = 0x64 };

    if (frame_random() % 4 == 0) {
        memset(src, 0, 16);
    }
    return frame_build_solicit(frame, frame_random() % 4 == 0, src, dst,
                               target, frame_random() % 2);
}

static size_t
build_any(uint8_t *frame)
{
    struct frame_spec spec;

    switch (frame_random() % 16) {
    case 0:
        return frame_build_arp(frame, frame_random() % 2, 1, frame_random(),
                               1);
    case 1:
    case 2:
        return build_nd(frame);
    case 3 ... 6:
        return build_error(frame);
    default:
        random_spec(&spec);
        return frame_build(&spec, frame);
    }
}

/* Checksums that are right again, as far as the frame's lengths allow. */
static void
mend(uint8_t *frame, size_t size)
{
    size_t l3 = frame_l3(frame);

    if (frame[l3] / 16 == 4 && l3 + frame[l3] % 16 * 4u <= size) {
        frame_fix_ip_csum(frame);
    } else if (frame[l3] == 0x60 && frame[l3 + 6] == 58
               && l3 + 40 + frame_get16(frame + l3 + 4) <= size) {
        frame_fix_l4_csum(frame);
    }
}

static void
random_frames_are_read_as_the_twin_reads_them(void **state)
{
    (void) state;
    unsigned int seen[N_DROP_REASONS] = { 0 };

    for (int i = 0; i < 600000; i++) {
        uint8_t frame[FRAME_MAX];
        size_t size = build_any(frame);

        for (int n = frame_random() % 4; n > 0; n--) {
            size_t ofs = frame_random() % (size < 96 ? size : 96);

            frame[ofs] = frame_random() % 2 ? frame_random()
                         : frame[ofs] ^ 1u << frame_random() % 8;
        }
        if (frame_random() % 4) {
            mend(frame, size);
        }
        if (frame_random() % 8 == 0) {
            size = frame_random() % (size + 1);
        }
        seen[check(frame, size, frame_random() % 8)]++;
    }

    /* The input was varied enough to mean something. */
    const enum drop_reason expected[] = {
        DROP_NONE, DROP_TRUNCATED, DROP_ETHERTYPE, DROP_BROADCAST, DROP_BAD_IP,
        DROP_BAD_IP_CSUM, DROP_EXTENSION, DROP_PROTOCOL, DROP_BAD_L4,
        DROP_BAD_QUOTE, DROP_BAD_SOURCE, DROP_ARP_IGNORED, DROP_ND_IGNORED,
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        if (seen[expected[i]] < 500) {
            fail_msg("%s: %u", drop_reason_name(expected[i]),
                     seen[expected[i]]);
        }
    }
}

/* One frame of each kind. */
static size_t
build_kind(int kind, uint8_t *frame)
{
    static uint8_t quote4[FRAME_MAX], quote6[FRAME_MAX];
    const struct frame_spec sent = {
        .src = 0x0a010064, .dst = 0x0a010002, .ihl = 7,
    };
    const struct frame_spec sent6 = {
        .ipv6 = true, .n_exts = 2, .exts = { 0, 60 }, .protocol = 17,
        .src6 = { 0xfd, [15] = 0x64 }, .dst6 = { 0xfd, [15] = 2 },
    };
    const struct frame_spec specs[] = {
        { .payload = 10 },
        { .protocol = 17, .payload = 3 },
        { .vlan = true, .ihl = 15, .data_ofs = 15 },
        { .vlan = true, .protocol = 17 },
        { .protocol = 132, .l4_type = 1, .payload = 4 },
        { .protocol = 1, .l4_type = 8, .payload = 4 },
        { .protocol = 1, .l4_type = 3, .data = quote4 + 14,
          .payload = frame_build(&sent, quote4) - 14 },
        { .frag = 0x2000, .payload = 4 },
        { .frag = 0x2001, .payload = 4 },
        { .ipv6 = true },
        { .ipv6 = true, .vlan = true, .protocol = 17, .payload = 3 },
        { .ipv6 = true, .protocol = 132 },
        { .ipv6 = true, .protocol = 58, .l4_type = 128 },
        { .ipv6 = true, .protocol = 58, .l4_type = 2, .data = quote6 + 14,
          .payload = frame_build(&sent6, quote6) - 14 },
        { .ipv6 = true, .n_exts = 8, .exts = { 0, 60, 43, 44, 60, 43, 60, 60 },
          .protocol = 17 },
        { .ipv6 = true, .n_exts = 1, .exts = { 44 }, .frag = 1, .payload = 4 },
        { .ipv6 = true, .n_exts = 1, .exts = { 44 }, .frag = 9, .payload = 4 },
    };
    const int n = sizeof specs / sizeof *specs;
    const uint8_t src[16] = { 0xfd, [15] = 2 };
    const uint8_t dst[16] = { 0xff, 2, [11] = 1, [12] = 0xff, [15] = 0x64 };
    const uint8_t target[16] = { 0xfd, [15] = 0x64 };

    if (kind < n) {
        return frame_build(&specs[kind], frame);
    }
    switch (kind - n) {
    case 0:
    case 1:
        return frame_build_arp(frame, kind % 2, 1, 1, 2);
    case 2:
    case 3:
        return frame_build_solicit(frame, kind % 2, src, dst, target,
                                   (kind - n) == 3);
    default:
        return 0;
    }
}

static void
a_frame_cut_anywhere_is_truncated(void **state)
{
    (void) state;
    uint8_t frame[FRAME_MAX];
    size_t size;

    for (int kind = 0; (size = build_kind(kind, frame)) != 0; kind++) {
        /* An IPv6 multicast is refused as such, unless it is read to be ND. */
        enum drop_reason early = frame[0] == 0x33 ? DROP_BROADCAST
                                                  : DROP_TRUNCATED;

        for (size_t cut = 0; cut < size; cut++) {
            assert_int_equal(check(frame, cut, 0),
                             cut < frame_l3(frame) ? DROP_TRUNCATED : early);
        }
        assert_int_equal(check(frame, size, 0), DROP_NONE);
    }
}

/* The same, but the IP header knows about it. */
static void
an_ip_packet_may_be_of_any_length(void **state)
{
    (void) state;
    uint8_t frame[FRAME_MAX];
    size_t size;

    for (int kind = 0; (size = build_kind(kind, frame)) != 0; kind++) {
        size_t l3 = frame_l3(frame);

        if (frame[l3] / 16 != 4 && frame[l3] / 16 != 6) {
            continue;
        }
        for (size_t cut = l3 + 40; cut <= size; cut++) {
            bool is4 = frame[l3] / 16 == 4;

            frame_put16(frame + l3 + (is4 ? 2 : 4),
                        cut - l3 - (is4 ? 0 : 40));
            if (is4) {
                frame_fix_ip_csum(frame);
            }
            check(frame, cut, 0);
        }
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
    frame[59] = 0x11;
    assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
    assert_int_equal(view.kind, ENCAP_FLOW);
    assert_int_equal(view.version, 4);
    assert_int_equal(view.l3_ofs, 18);
    assert_int_equal(view.l4_ofs, 18 + 28);
    assert_int_equal(view.ip_len, 28 + 24 + 5);
    assert_int_equal(view.protocol, 6);
    assert_int_equal(view.life, ENCAP_CLOSES | ENCAP_ACKS);
    assert_int_equal(view.ttl, 17);
    assert_int_equal(view.tos, 0xb9);
    assert_int_equal(view.first_fragment, 0);
    assert_int_equal(view.src.hi, 0);
    assert_int_equal(view.src.lo, 0xffff0a010002);
    assert_int_equal(view.dst.lo, 0xffff0a010064);
    assert_int_equal(view.src_port, 0xfedc);
    assert_int_equal(view.dst_port, 80);
}

static void
all_members_are_what_the_ipv6_frame_says(void **state)
{
    (void) state;
    const struct frame_spec spec = {
        .ipv6 = true, .tos = 0xb9, .ttl = 17, .n_exts = 1, .exts = { 44 },
        .frag = 1, .id = 0x89abcdef, .protocol = 17, .payload = 8,
        .src6 = { 0x20, 1, 0xd, 0xb8, [15] = 1 },
        .dst6 = { 0x20, 1, 0xd, 0xb8, [8] = 0x80, [15] = 2 },
    };
    uint8_t frame[FRAME_MAX];
    struct encap_view view;
    size_t size = frame_build(&spec, frame);

    frame_put16(frame + 62, 0xfedc);
    frame_put16(frame + 64, 443);
    assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
    assert_int_equal(view.kind, ENCAP_FLOW);
    assert_int_equal(view.version, 6);
    assert_int_equal(view.l3_ofs, 14);
    assert_int_equal(view.l4_ofs, 14 + 48);
    assert_int_equal(view.ip_len, 48 + 16);
    assert_int_equal(view.protocol, 17);
    assert_int_equal(view.life, 0);
    assert_int_equal(view.ttl, 17);
    assert_int_equal(view.tos, 0xb9);
    assert_int_equal(view.first_fragment, 1);
    assert_int_equal(view.fragment_id, 0x89abcdef);
    assert_true(view.src.hi == 0x20010db800000000 && view.src.lo == 1);
    assert_true(view.dst.hi == 0x20010db800000000
                && view.dst.lo == 0x8000000000000002);
    assert_int_equal(view.src_port, 0xfedc);
    assert_int_equal(view.dst_port, 443);
}

/* What the endpoint 10.1.0.100:80 has sent to 10.1.0.2:5000 comes back. */
static void
an_error_reads_like_a_packet_of_its_flow(void **state)
{
    (void) state;
    const struct frame_spec sent = {
        .src = 0x0a010064, .dst = 0x0a010002, .payload = 100,
    };
    uint8_t quote[FRAME_MAX], frame[FRAME_MAX];
    struct encap_view view;

    frame_build(&sent, quote);
    frame_put16(quote + 34, 80);
    frame_put16(quote + 36, 5000);
    const struct frame_spec spec = {
        .src = 0x0a636363, .protocol = 1, .l4_type = 3, .data = quote + 14,
        .payload = 28,
    };
    size_t size = frame_build(&spec, frame);
    assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
    assert_int_equal(view.kind, ENCAP_ICMP_ERROR);
    assert_int_equal(view.protocol, 6);
    assert_int_equal(view.src.lo, 0xffff0a010002);
    assert_int_equal(view.dst.lo, 0xffff0a010064);
    assert_int_equal(view.src_port, 5000);
    assert_int_equal(view.dst_port, 80);
    assert_int_equal(view.l4_ofs, 34);
    assert_int_equal(view.life, 0);
}

static void
an_error_about_an_echo_reply_reads_like_the_request(void **state)
{
    (void) state;

    for (int v6 = 0; v6 < 2; v6++) {
        const struct frame_spec sent = {
            .ipv6 = v6, .protocol = v6 ? 58 : 1, .l4_type = v6 ? 129 : 0,
            .src = 0x0a010064, .dst = 0x0a010002,
            .src6 = { 0xfd, [15] = 0x64 }, .dst6 = { 0xfd, [15] = 2 },
        };
        uint8_t quote[FRAME_MAX], frame[FRAME_MAX];
        struct encap_view view;

        size_t quote_len = frame_build(&sent, quote) - 14;
        frame_put16(quote + frame_l4(quote) + 4, 0x1234);
        const struct frame_spec spec = {
            .ipv6 = v6, .protocol = v6 ? 58 : 1, .l4_type = 3,
            .data = quote + 14, .payload = quote_len,
        };
        size_t size = frame_build(&spec, frame);
        assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
        assert_int_equal(view.kind, ENCAP_ICMP_ERROR);
        assert_int_equal(view.protocol, 1);
        assert_int_equal(view.src_port, 0x1234);
        assert_int_equal(view.dst_port, 0);

        quote[frame_l4(quote)] = v6 ? 128 : 8;  /* The endpoint's own. */
        size = frame_build(&spec, frame);
        assert_int_equal(check(frame, size, 0), DROP_BAD_QUOTE);
    }
}

static void
life_follows_tcp_flags_and_sctp_chunks(void **state)
{
    (void) state;
    const struct {
        uint8_t protocol, value, life;
    } cases[] = {
        { 6, 0x02, ENCAP_OPENS },
        { 6, 0x12, ENCAP_ACKS },
        { 6, 0xc2, ENCAP_OPENS },                 /* With ECN. */
        { 6, 0x10, ENCAP_ACKS },
        { 6, 0x18, ENCAP_ACKS },
        { 6, 0x11, ENCAP_CLOSES | ENCAP_ACKS },
        { 6, 0x04, ENCAP_ABORTS },
        { 6, 0x14, ENCAP_ABORTS | ENCAP_ACKS },
        { 6, 0x00, 0 },
        { 132, 1, ENCAP_OPENS },                  /* INIT. */
        { 132, 2, 0 },                            /* INIT ACK. */
        { 132, 0, ENCAP_ACKS },                   /* DATA. */
        { 132, 10, ENCAP_ACKS },                  /* COOKIE ECHO. */
        { 132, 6, ENCAP_ABORTS },
        { 132, 7, ENCAP_CLOSES | ENCAP_ACKS },
        { 132, 8, ENCAP_CLOSES | ENCAP_ACKS },
        { 132, 14, ENCAP_CLOSES | ENCAP_ACKS },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct frame_spec spec = {
            .protocol = cases[i].protocol, .l4_type = cases[i].value,
            .tcp_flags = cases[i].value, .set_flags = true,
        };
        uint8_t frame[FRAME_MAX];
        struct encap_view view;
        size_t size = frame_build(&spec, frame);

        assert_int_equal(encap_parse(frame, size, &view), DROP_NONE);
        assert_int_equal(view.life, cases[i].life);
    }
}

static void
extension_headers_have_their_rules(void **state)
{
    (void) state;
    const struct {
        uint8_t n, exts[FRAME_MAX_EXTS];
        uint16_t frag;
        enum drop_reason reason;
    } cases[] = {
        { 8, { 0, 60, 60, 60, 60, 60, 60, 60 }, 0, DROP_NONE },
        { 9, { 0, 60, 60, 60, 60, 60, 60, 60, 60 }, 0, DROP_EXTENSION },
        { 2, { 60, 0 }, 0, DROP_EXTENSION },    /* Not the first. */
        { 2, { 43, 60 }, 0, DROP_NONE },
        { 1, { 51 }, 0, DROP_EXTENSION },
        { 1, { 135 }, 0, DROP_EXTENSION },
        { 2, { 44, 60 }, 0, DROP_NONE },        /* Atomic. */
        { 2, { 60, 44 }, 1, DROP_NONE },
        { 2, { 44, 60 }, 1, DROP_EXTENSION },
        { 2, { 44, 60 }, 9, DROP_EXTENSION },
        { 2, { 44, 44 }, 0, DROP_NONE },
        { 2, { 44, 44 }, 1, DROP_EXTENSION },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frame_spec spec = {
            .ipv6 = true, .n_exts = cases[i].n, .frag = cases[i].frag,
            .protocol = 17, .payload = 8,
        };
        uint8_t frame[FRAME_MAX];

        memcpy(spec.exts, cases[i].exts, sizeof spec.exts);
        size_t size = frame_build(&spec, frame);
        if (check(frame, size, 0) != cases[i].reason) {
            fail_msg("case %zu is not %s", i,
                     drop_reason_name(cases[i].reason));
        }
    }
}

static void
ipv6_addresses_are_checked(void **state)
{
    (void) state;
    const struct {
        uint8_t src[16], dst[16];
        enum drop_reason reason;
    } cases[] = {
        { { 0xfe, 0x80, [15] = 1 }, { 0xfd, [15] = 1 }, DROP_NONE },
        { { [15] = 1 }, { 0xfd, [15] = 1 }, DROP_BAD_SOURCE },
        { { 0xff, 2, [15] = 1 }, { 0xfd, [15] = 1 }, DROP_BAD_SOURCE },
        { { [10] = 0xff, 0xff, 10, 1, 0, 2 }, { 0xfd, [15] = 1 },
          DROP_BAD_SOURCE },
        { { 0xfd, [15] = 1 }, { [10] = 0xff, 0xff, 10, 1, 0, 2 },
          DROP_BAD_IP },
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct frame_spec spec = { .ipv6 = true };
        uint8_t frame[FRAME_MAX];

        memcpy(spec.src6, cases[i].src, 16);
        memcpy(spec.dst6, cases[i].dst, 16);
        size_t size = frame_build(&spec, frame);
        assert_int_equal(check(frame, size, 0), cases[i].reason);
        memset(frame + 22, 0, 16);
        assert_int_equal(check(frame, size, 0), i == 4 ? DROP_BAD_IP
                                                       : DROP_BAD_SOURCE);
    }
}

static void
an_ipv6_packet_has_65535_bytes_at_most(void **state)
{
    (void) state;
    const struct frame_spec spec = { .ipv6 = true };
    uint8_t frame[FRAME_MAX];
    size_t size = frame_build(&spec, frame);

    frame_put16(frame + 18, 65535 - 40);
    assert_int_equal(check(frame, size, 0), DROP_TRUNCATED);
    frame_put16(frame + 18, 65536 - 40);
    assert_int_equal(check(frame, size, 0), DROP_BAD_IP);
}

/* Each bit of a solicitation and its IPv6 header, but for the Ethernet header:
 * none is accepted with a wrong checksum. */
static void
a_solicitation_with_a_wrong_bit_is_ignored(void **state)
{
    (void) state;
    const uint8_t src[16] = { 0xfd, [15] = 2 };
    const uint8_t dst[16] = { 0xfd, [15] = 0x64 };
    uint8_t frame[FRAME_MAX];
    size_t size = frame_build_solicit(frame, false, src, dst, dst, true);

    assert_int_equal(check(frame, size, 0), DROP_NONE);
    for (size_t bit = (14 + 7) * 8; bit < size * 8; bit++) {
        frame[bit / 8] ^= 1 << bit % 8;
        enum drop_reason reason = check(frame, size, 0);
        assert_true(reason == DROP_ND_IGNORED || reason == DROP_BROADCAST);
        frame[bit / 8] ^= 1 << bit % 8;
    }
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
        { { .ethertype = 0x86dd }, false, 0, 0x45, DROP_BAD_IP },
        { { .ipv6 = true, .ethertype = 0x0800 }, false, 0, 0x60,
          DROP_BAD_IP },
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
        { { .frag = 0x2000, .payload = 4 }, false, 0, 0x45, DROP_NONE },
        { { .frag = 0x2000, .payload = 5 }, false, 0, 0x45, DROP_BAD_IP },
        { { .frag = 0x2001, .payload = 5 }, false, 0, 0x45, DROP_BAD_IP },
        { { .frag = 0x0001, .payload = 5 }, false, 0, 0x45, DROP_NONE },
        { { .frag = 0x1fff }, false, 0, 0x45, DROP_BAD_IP }, /* Too long. */
        { { .frag = 0x0001, .protocol = 47 }, false, 0, 0x45,
          DROP_PROTOCOL },
        { { .frag = 0x2000, .protocol = 17, .payload = 8 }, false, 25, 99,
          DROP_NONE },
        { { .frag = 0x2000, .protocol = 132 }, false, 35, 99, DROP_NONE },
        { { .protocol = 132 }, false, 35, 99, DROP_BAD_L4 },
        { { .protocol = 132 }, false, 35, 3, DROP_BAD_L4 },
        { { .frag = 0xc000 }, false, 0, 0x45, DROP_NONE }, /* DF, reserved. */
        { { .protocol = 1, .l4_type = 8 }, false, 0, 0x45, DROP_NONE },
        { { .protocol = 1, .l4_type = 8 }, false, 3, 27, DROP_BAD_L4 },
        { { .protocol = 1, .l4_type = 5 }, false, 0, 0x45, DROP_PROTOCOL },
        { { .protocol = 1, .l4_type = 3 }, false, 0, 0x45, DROP_BAD_QUOTE },
        { { .protocol = 58, .l4_type = 128 }, false, 0, 0x45,
          DROP_PROTOCOL },
        { { .ipv6 = true, .protocol = 1, .l4_type = 8 }, false, 0, 0x60,
          DROP_PROTOCOL },
        { { .ipv6 = true, .protocol = 58, .l4_type = 136, .payload = 16 },
          false, 0, 0x60, DROP_ND_IGNORED },
        { { .ipv6 = true, .n_exts = 1, .exts = { 43 } }, false, 43, 1,
          DROP_EXTENSION },                             /* segments left */
        { { .ipv6 = true, .n_exts = 1, .exts = { 60 } }, false, 41, 9,
          DROP_BAD_IP },
        { { .ipv6 = true }, true, 0, 0x33, DROP_BROADCAST },
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
        uint8_t ver_ihl = frame[frame_l3(frame)];
        if (!f->spec.ipv6 && ver_ihl % 16 <= 6) {
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
        cmocka_unit_test(all_members_are_what_the_ipv6_frame_says),
        cmocka_unit_test(an_error_reads_like_a_packet_of_its_flow),
        cmocka_unit_test(an_error_about_an_echo_reply_reads_like_the_request),
        cmocka_unit_test(life_follows_tcp_flags_and_sctp_chunks),
        cmocka_unit_test(extension_headers_have_their_rules),
        cmocka_unit_test(ipv6_addresses_are_checked),
        cmocka_unit_test(an_ipv6_packet_has_65535_bytes_at_most),
        cmocka_unit_test(a_solicitation_with_a_wrong_bit_is_ignored),
        cmocka_unit_test(each_fault_has_its_reason),
        cmocka_unit_test(each_wrong_bit_of_the_ip_header_breaks_its_checksum),
        cmocka_unit_test(a_frame_cut_anywhere_is_truncated),
        cmocka_unit_test(an_ip_packet_may_be_of_any_length),
        cmocka_unit_test(random_frames_are_read_as_the_twin_reads_them),
        cmocka_unit_test(arp_for_other_media_is_ignored),
        cmocka_unit_test(reasons_have_distinct_names_and_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
