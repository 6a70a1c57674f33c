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

static struct inet_addr
random_address(bool v6)
{
    if (!v6) {
        return inet_addr_from4(frame_random());
    }
    return (struct inet_addr) {
        (uint64_t) frame_random() << 32 | 1 | frame_random(),
        (uint64_t) frame_random() << 32 | frame_random(),
    };
}

static void
random_push(struct push *p, enum tunnel_type type, bool v6)
{
    *p = (struct push) {
        .spec = {
            .type = type,
            .src_ip = random_address(v6),
            .dst_ip = random_address(v6),
            .ttl = frame_random(),
            .mtu = 9000,
        },
        .context = {
            .group = frame_random() >> 8,
            .epoch = frame_random(),
            .flags = frame_random() % 2,
            .hops = frame_random() % 4,
            .n_previous = frame_random() % 2 ? 0 : frame_random() % 5,
        },
        .vni = 1 + frame_random() % 0xffffff,
        .entropy = frame_random(),
        .tos = frame_random(),
        .size = 14 + frame_random() % 1500,
    };
    frame_random_bytes(p->spec.src_mac.octet, 6);
    frame_random_bytes(p->spec.dst_mac.octet, 6);
    for (int i = 0; i < 4; i++) {
        p->context.previous[i] = frame_random() % 65535;
    }
}

static void
put_address6(uint8_t *h, struct inet_addr a)
{
    frame_put32(h, a.hi >> 32);
    frame_put32(h + 4, a.hi);
    frame_put32(h + 8, a.lo >> 32);
    frame_put32(h + 12, a.lo);
}

/* Behind the UDP header. */
static void
twin_tunnel_header(const struct push *p, uint8_t *h)
{
    const struct context *c = &p->context;

    frame_put32(h + 4, p->vni * 256);
    if (p->spec.type == TUNNEL_VXLAN) {
        h[0] = 8;
        return;
    }
    h[0] = c->n_previous ? 6 : 3;
    frame_put16(h + 2, 0x6558);
    frame_put16(h + 8, 0xff67);
    h[10] = 1;
    h[11] = 2;
    frame_put32(h + 12, c->group);
    h[12] = 0x10 + c->flags + c->hops * 2;
    frame_put32(h + 16, c->epoch);
    if (c->n_previous) {
        frame_put16(h + 20, 0xff67);
        h[22] = 2;
        h[23] = 2;
        for (int i = 0; i < 4; i++) {
            frame_put16(h + 24 + i * 2,
                        i < c->n_previous ? c->previous[i] : 0xffff);
        }
    }
}

/* Writes the outer headers for 'p' as RFC 791, 8200, 768, 8926 and 7348 and
 * encap/context.h draw them.  Returns their size. */
static size_t
twin_header(const struct push *p, uint8_t *h)
{
    bool geneve = p->spec.type == TUNNEL_GENEVE;
    bool v6 = p->spec.src_ip.hi;
    size_t udp = v6 ? 54 : 34;
    size_t len = udp + 8 + (geneve ? 20 : 8)
                 + (geneve && p->context.n_previous ? 12 : 0);

    memset(h, 0, len);
    memcpy(h, p->spec.dst_mac.octet, 6);
    memcpy(h + 6, p->spec.src_mac.octet, 6);
    frame_put16(h + 12, v6 ? 0x86dd : 0x0800);

    if (v6) {
        frame_put32(h + 14, 0x60000000u + p->tos % 4 * 0x100000
                            + p->entropy % 0x100000);
        frame_put16(h + 18, len - 54 + p->size);
        h[20] = 17;
        h[21] = p->spec.ttl;
        put_address6(h + 22, p->spec.src_ip);
        put_address6(h + 38, p->spec.dst_ip);
    } else {
        h[14] = 0x45;
        h[15] = p->tos % 4;
        frame_put16(h + 16, len - 14 + p->size);
        h[20] = 0x40;           /* DF. */
        h[22] = p->spec.ttl;
        h[23] = 17;
        frame_put32(h + 26, p->spec.src_ip.lo);
        frame_put32(h + 30, p->spec.dst_ip.lo);
        frame_fix_ip_csum(h);
    }

    frame_put16(h + udp, 49152 + p->entropy % 16384);
    frame_put16(h + udp + 2, geneve ? 6081 : 4789);
    frame_put16(h + udp + 4, len - udp + p->size);
    twin_tunnel_header(p, h + udp + 8);
    return len;
}

/* Pushes exactly into the room there is, and compares all bytes. */
static void
check(const struct push *p, size_t misalign)
{
    uint8_t inner[FRAME_MAX], header[TUNNEL_MAX_OVERHEAD];
    size_t len = twin_header(p, header);
    struct tunnel tunnel;
    uint8_t *base;

    frame_random_bytes(inner, p->size);
    uint8_t *copy = frame_copy_exact(inner, p->size, misalign + len, &base);
    tunnel_init(&tunnel, &p->spec);
    assert_int_equal(tunnel.type, p->spec.type);
    assert_int_equal(tunnel.header_len,
                     len - (p->spec.type == TUNNEL_GENEVE
                            && p->context.n_previous ? 12 : 0));

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

        random_push(&p, TUNNEL_GENEVE, i / 16 % 2);
        check(&p, i % 16);
    }
}

static void
vxlan_headers_are_as_drawn(void **state)
{
    (void) state;

    for (int i = 0; i < 20000; i++) {
        struct push p;

        random_push(&p, TUNNEL_VXLAN, i / 16 % 2);
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

    random_push(&p, TUNNEL_VXLAN, false);
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
    uint8_t buffer[128] = { 0 }, header[TUNNEL_MAX_OVERHEAD];

    random_push(&p, TUNNEL_GENEVE, false);
    p.context.flags = 0xff & ~CONTEXT_FLAGS;
    p.context.hops = 0xfd;
    p.context.group = 0xff000001;
    p.context.n_previous = 0;
    tunnel_init(&tunnel, &p.spec);
    uint8_t *outer = tunnel_push(&tunnel, buffer + 64, p.size, p.vni,
                                 p.entropy, p.tos, &p.context);
    p.context.flags = 0;
    p.context.hops = 1;
    p.context.group = 1;
    twin_header(&p, header);
    assert_memory_equal(outer, header, 62);
}

static void
the_largest_inner_packet_fills_the_mtu(void **state)
{
    (void) state;
    uint8_t buffer[TUNNEL_MAX_OVERHEAD + 14 + 2000] = { 0 };

    for (int i = 0; i < 2000 * 4; i++) {
        bool geneve = i % 2, v6 = i / 2 % 2;
        int mtu = i / 4;
        int overhead = (geneve ? 62 : 50) + (v6 ? 20 : 0);
        struct tunnel tunnel;
        struct push p;

        random_push(&p, geneve ? TUNNEL_GENEVE : TUNNEL_VXLAN, v6);
        p.context.n_previous = 0;
        p.spec.mtu = mtu;
        tunnel_init(&tunnel, &p.spec);
        if (mtu < overhead + 68) {
            assert_int_equal(tunnel.type, TUNNEL_NONE);
            assert_int_equal(tunnel.inner_mtu, 0);
            continue;
        }
        uint8_t *outer = tunnel_push(&tunnel, buffer + TUNNEL_MAX_OVERHEAD,
                                     14 + tunnel.inner_mtu, 1, 0, 0,
                                     &p.context);
        assert_int_equal(v6 ? 40 + frame_get16(outer + 18)
                            : frame_get16(outer + 16), mtu);
    }
}

static void
two_families_make_no_tunnel(void **state)
{
    (void) state;
    struct tunnel tunnel;
    struct push p;

    random_push(&p, TUNNEL_GENEVE, false);
    p.spec.dst_ip = random_address(true);
    tunnel_init(&tunnel, &p.spec);
    assert_int_equal(tunnel.type, TUNNEL_NONE);
    assert_int_equal(tunnel.header_len, 0);
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
        cmocka_unit_test(two_families_make_no_tunnel),
        cmocka_unit_test(no_type_is_no_tunnel),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
