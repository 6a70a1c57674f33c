#include "tests/unit/frame.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static uint64_t random_state = 0x9e3779b97f4a7c15;

uint32_t
frame_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state >> 32;
}

void
frame_random_bytes(uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        data[i] = frame_random();
    }
}

uint16_t
frame_get16(const uint8_t *p)
{
    return p[0] * 256 + p[1];
}

uint32_t
frame_get32(const uint8_t *p)
{
    return frame_get16(p) * 65536u + frame_get16(p + 2);
}

void
frame_put16(uint8_t *p, uint16_t x)
{
    p[0] = x / 256;
    p[1] = x % 256;
}

void
frame_put32(uint8_t *p, uint32_t x)
{
    frame_put16(p, x / 65536);
    frame_put16(p + 2, x % 65536);
}

uint16_t
frame_sum(const uint8_t *data, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i++) {
        sum += i % 2 ? data[i] : data[i] * 256;
        if (sum > 0xffff) {
            sum -= 0xffff;
        }
    }
    return sum;
}

size_t
frame_l3(const uint8_t *frame)
{
    return frame_get16(frame + 12) == 0x8100 ? 18 : 14;
}

size_t
frame_l4(const uint8_t *frame)
{
    size_t l3 = frame_l3(frame);

    return l3 + frame[l3] % 16 * 4;
}

void
frame_fix_ip_csum(uint8_t *frame)
{
    uint8_t *ip = frame + frame_l3(frame);

    frame_put16(ip + 10, 0);
    frame_put16(ip + 10, 0xffff - frame_sum(ip, ip[0] % 16 * 4));
}

/* The pseudo header of RFC 9293 and RFC 768, spelled out. */
static void
write_pseudo(const uint8_t *frame, uint8_t pseudo[12])
{
    const uint8_t *ip = frame + frame_l3(frame);
    uint8_t protocol = ip[9];
    uint16_t len = protocol == 17
                   ? frame_get16(frame + frame_l4(frame) + 4)
                   : frame_get16(ip + 2) - ip[0] % 16 * 4;

    memcpy(pseudo, ip + 12, 8);
    pseudo[8] = 0;
    pseudo[9] = protocol;
    frame_put16(pseudo + 10, len);
}

uint16_t
frame_pseudo_sum(const uint8_t *frame)
{
    uint8_t pseudo[12];

    write_pseudo(frame, pseudo);
    return frame_sum(pseudo, sizeof pseudo);
}

size_t
frame_l4_csum_ofs(const uint8_t *frame)
{
    return frame_l4(frame) + (frame[frame_l3(frame) + 9] == 17 ? 6 : 16);
}

uint16_t
frame_l4_csum(const uint8_t *frame)
{
    uint8_t bytes[12 + FRAME_MAX];
    size_t l4 = frame_l4(frame);

    write_pseudo(frame, bytes);
    size_t len = frame_get16(bytes + 10);
    assert(len <= FRAME_MAX);
    memcpy(bytes + 12, frame + l4, len);
    frame_put16(bytes + 12 + frame_l4_csum_ofs(frame) - l4, 0);

    uint16_t csum = 0xffff - frame_sum(bytes, 12 + len);
    return csum == 0 && bytes[9] == 17 ? 0xffff : csum;
}

static size_t
write_ethernet(uint8_t *frame, bool vlan, uint16_t ethertype)
{
    size_t l3 = vlan ? 18 : 14;

    frame_random_bytes(frame, l3);
    frame[0] = 0x0a;
    frame[6] = 0x02;
    if (vlan) {
        frame_put16(frame + 12, 0x8100);
    }
    frame_put16(frame + l3 - 2, ethertype);
    return l3;
}

size_t
frame_build(const struct frame_spec *spec, uint8_t *frame)
{
    size_t ihl = spec->ihl ? spec->ihl : 5;
    uint8_t protocol = spec->protocol ? spec->protocol : 6;
    size_t data_ofs = spec->data_ofs ? spec->data_ofs : 5;
    size_t l4_len = spec->payload + (protocol == 17 ? 8 : data_ofs * 4);
    size_t l3 = write_ethernet(frame, spec->vlan,
                               spec->ethertype ? spec->ethertype : 0x0800);
    size_t size = l3 + ihl * 4 + l4_len + spec->padding;
    uint8_t *ip = frame + l3;
    uint8_t *l4 = ip + ihl * 4;

    assert(size <= FRAME_MAX);
    frame_random_bytes(ip, size - l3);
    ip[0] = 0x40 + ihl;
    ip[1] = spec->tos;
    frame_put16(ip + 2, ihl * 4 + l4_len);
    frame_put16(ip + 6, spec->frag);
    ip[8] = spec->ttl ? spec->ttl : 64;
    ip[9] = protocol;
    frame_put32(ip + 12, spec->src ? spec->src : 0x0a010002);
    frame_put32(ip + 16, spec->dst ? spec->dst : 0x0a010064);
    frame_fix_ip_csum(frame);

    if (protocol == 17) {
        frame_put16(l4 + 4, l4_len);
        frame_put16(l4 + 6, frame_l4_csum(frame));
    } else if (protocol == 6) {
        l4[12] = data_ofs * 16;
        frame_put16(l4 + 16, frame_l4_csum(frame));
    }
    return size;
}

size_t
frame_build_arp(uint8_t *frame, bool vlan, uint16_t op, uint32_t spa,
                uint32_t tpa)
{
    size_t l3 = write_ethernet(frame, vlan, 0x0806);
    uint8_t *arp = frame + l3;

    memset(frame, 0xff, 6);
    frame_put16(arp, 1);
    frame_put16(arp + 2, 0x0800);
    arp[4] = 6;
    arp[5] = 4;
    frame_put16(arp + 6, op);
    memcpy(arp + 8, frame + 6, 6);
    frame_put32(arp + 14, spa);
    memset(arp + 18, 0, 6);
    frame_put32(arp + 24, tpa);
    return l3 + 28;
}

uint8_t *
frame_copy_exact(const uint8_t *data, size_t size, size_t headroom,
                 uint8_t **base)
{
    *base = malloc(headroom + size ? headroom + size : 1);
    assert(*base);
    memset(*base, 0xa5, headroom);
    if (size) {
        memcpy(*base + headroom, data, size);
    }
    return *base + headroom;
}
