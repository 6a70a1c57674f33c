/* encap/tunnel.h against headers that are spelled out byte by byte. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "encap/tunnel.h"
#include "tests/unit/frame.h"

struct push {
    struct tunnel_spec spec;
    struct context context;
    uint32_t vni, entropy;
    uint8_t tos;
    size_t size;                /* Of the inner frame. */
};

static void
random_push(struct push *p, enum tunnel_type type)
{
    *p = (struct push) {
        .spec = {
            .type = type,
            .src_ip = frame_random(),
            .dst_ip = frame_random(),
            .ttl = frame_random(),
            .mtu = 9000,
        },
        .context = {
            .group = frame_random() >> 8,
            .epoch = frame_random(),
            .flags = frame_random() % 16,
        },
        .vni = 1 + frame_random() % 0xffffff,
        .entropy = frame_random(),
        .tos = frame_random(),
        .size = 14 + frame_random() % 1500,
    };
    frame_random_bytes(p->spec.src_mac.octet, 6);
    frame_random_bytes(p->spec.dst_mac.octet, 6);
}

/* Writes the outer headers for 'p' as RFC 791, 768, 8926 and 7348 and
 * encap/context.h draw them.  Returns their size. */
static size_t
twin_header(const struct push *p, uint8_t *h)
{
    bool geneve = p->spec.type == TUNNEL_GENEVE;
    size_t len = geneve ? 62 : 50;

    memset(h, 0, len);
    memcpy(h, p->spec.dst_mac.octet, 6);
    memcpy(h + 6, p->spec.src_mac.octet, 6);
    frame_put16(h + 12, 0x0800);

    h[14] = 0x45;
    h[15] = p->tos % 4;
    frame_put16(h + 16, len - 14 + p->size);
    h[20] = 0x40;               /* DF. */
    h[22] = p->spec.ttl;
    h[23] = 17;
    frame_put32(h + 26, p->spec.src_ip);
    frame_put32(h + 30, p->spec.dst_ip);
    frame_fix_ip_csum(h);

    frame_put16(h + 34, 49152 + p->entropy % 16384);
    frame_put16(h + 36, geneve ? 6081 : 4789);
    frame_put16(h + 38, len - 34 + p->size);

    h[42] = geneve ? 3 : 8;
    if (geneve) {
        frame_put16(h + 44, 0x6558);
    }
    frame_put32(h + 46, p->vni * 256);
    if (geneve) {
        frame_put16(h + 50, 0xff67);
        h[52] = 1;
        h[53] = 2;
        frame_put32(h + 54, p->context.group);
        h[54] = 0x10 + p->context.flags;
        frame_put32(h + 58, p->context.epoch);
    }
    return len;
}

/* Pushes exactly into the room there is, and compares all bytes. */
static void
check(const struct push *p, size_t misalign)
{
    uint8_t inner[FRAME_MAX], header[64];
    size_t len = twin_header(p, header);
    struct tunnel tunnel;
    uint8_t *base;

    frame_random_bytes(inner, p->size);
    uint8_t *copy = frame_copy_exact(inner, p->size, misalign + len, &base);
    tunnel_init(&tunnel, &p->spec);
    assert_int_equal(tunnel.type, p->spec.type);
    assert_int_equal(tunnel.header_len, len);

    uint8_t *outer = tunnel_push(&tunnel, copy, p->size, p->vni, p->entropy,
                                 p->tos, &p->context);
    assert_ptr_equal(outer, copy - len);
    assert_memory_equal(outer, header, len);
    assert_memory_equal(copy, inner, p->size);
    for (size_t i = 0; i < misalign; i++) {
        assert_int_equal(base[i], 0xa5);
    }
    free(base);
}

static void
geneve_headers_are_as_drawn(void **state)
{
    (void) state;

    for (int i = 0; i < 20000; i++) {
        struct push p;

        random_push(&p, TUNNEL_GENEVE);
        check(&p, i % 16);
    }
}

static void
vxlan_headers_are_as_drawn(void **state)
{
    (void) state;

    for (int i = 0; i < 20000; i++) {
        struct push p;

        random_push(&p, TUNNEL_VXLAN);
        check(&p, i % 16);
    }
}

static void
vxlan_needs_no_context(void **state)
{
    (void) state;
    uint8_t buffer[128] = { 0 };
    struct tunnel tunnel;
    struct push p;

    random_push(&p, TUNNEL_VXLAN);
    tunnel_init(&tunnel, &p.spec);
    assert_ptr_equal(tunnel_push(&tunnel, buffer + 64, 60, 1, 0, 0, NULL),
                     buffer + 14);
}

static void
values_out_of_range_do_not_spill_over(void **state)
{
    (void) state;
    struct tunnel tunnel;
    struct push p;
    uint8_t buffer[128] = { 0 }, header[64];

    random_push(&p, TUNNEL_GENEVE);
    p.context.flags = 0xff;
    p.context.group = 0xff000001;
    tunnel_init(&tunnel, &p.spec);
    uint8_t *outer = tunnel_push(&tunnel, buffer + 64, p.size, p.vni,
                                 p.entropy, p.tos, &p.context);
    p.context.flags = 0xf;
    p.context.group = 1;
    twin_header(&p, header);
    assert_memory_equal(outer, header, 62);
}

static void
the_largest_inner_packet_fills_the_mtu(void **state)
{
    (void) state;
    uint8_t buffer[64 + 14 + 2000] = { 0 };

    for (int mtu = 0; mtu < 2000; mtu++) {
        for (int geneve = 0; geneve < 2; geneve++) {
            struct tunnel tunnel;
            struct push p;
            int overhead = geneve ? 62 : 50;

            random_push(&p, geneve ? TUNNEL_GENEVE : TUNNEL_VXLAN);
            p.spec.mtu = mtu;
            tunnel_init(&tunnel, &p.spec);
            if (mtu < overhead + 68) {
                assert_int_equal(tunnel.type, TUNNEL_NONE);
                assert_int_equal(tunnel.inner_mtu, 0);
                continue;
            }
            uint8_t *outer = tunnel_push(&tunnel, buffer + 64,
                                         14 + tunnel.inner_mtu, 1, 0, 0,
                                         &p.context);
            assert_int_equal(frame_get16(outer + 16), mtu);
        }
    }
}

static void
no_type_is_no_tunnel(void **state)
{
    (void) state;
    struct tunnel_spec spec = { .type = TUNNEL_NONE, .mtu = 1500 };
    struct tunnel tunnel;

    memset(&tunnel, 0xff, sizeof tunnel);
    tunnel_init(&tunnel, &spec);
    assert_int_equal(tunnel.type, TUNNEL_NONE);
    assert_int_equal(tunnel.header_len, 0);
    assert_int_equal(tunnel.inner_mtu, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(geneve_headers_are_as_drawn),
        cmocka_unit_test(vxlan_headers_are_as_drawn),
        cmocka_unit_test(vxlan_needs_no_context),
        cmocka_unit_test(values_out_of_range_do_not_spill_over),
        cmocka_unit_test(the_largest_inner_packet_fills_the_mtu),
        cmocka_unit_test(no_type_is_no_tunnel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
