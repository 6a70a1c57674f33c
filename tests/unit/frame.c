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

/* Follows the headers; stores the last one's type in '*protocol'. */
static size_t
find_l4(const uint8_t *frame, uint8_t *protocol)
{
    size_t ofs = frame_l3(frame);

    if (frame[ofs] / 16 == 4) {
        *protocol = frame[ofs + 9];
        return ofs + frame[ofs] % 16 * 4;
    }
    *protocol = frame[ofs + 6];
    ofs += 40;
    while (*protocol == 0 || *protocol == 43 || *protocol == 44
           || *protocol == 60) {
        size_t len = *protocol == 44 ? 8 : 8 + frame[ofs + 1] * 8;

        *protocol = frame[ofs];
        ofs += len;
    }
    return ofs;
}

size_t
frame_l4(const uint8_t *frame)
{
    uint8_t protocol;

    return find_l4(frame, &protocol);
}

uint8_t
frame_protocol(const uint8_t *frame)
{
    uint8_t protocol;

    find_l4(frame, &protocol);
    return protocol;
}

void
frame_fix_ip_csum(uint8_t *frame)
{
    uint8_t *ip = frame + frame_l3(frame);

    frame_put16(ip + 10, 0);
    frame_put16(ip + 10, 0xffff - frame_sum(ip, ip[0] % 16 * 4));
}

/* The pseudo header of RFC 9293 and RFC 768, or of RFC 8200 section 8.1,
 * spelled out; ICMP has none.  Returns its size, stores what the packet's
 * checksum covers behind it. */
static size_t
write_pseudo(const uint8_t *frame, uint8_t pseudo[40], size_t *len)
{
    size_t l3 = frame_l3(frame);
    size_t l4 = frame_l4(frame);
    const uint8_t *ip = frame + l3;
    uint8_t protocol = frame_protocol(frame);
    bool is4 = ip[0] / 16 == 4;

    *len = is4 ? l3 + frame_get16(ip + 2) - l4
               : l3 + 40 + frame_get16(ip + 4) - l4;
    if (protocol == 17) {
        *len = frame_get16(frame + l4 + 4);
    }
    memset(pseudo, 0, 40);
    if (is4) {
        memcpy(pseudo, ip + 12, 8);
        pseudo[9] = protocol;
        frame_put16(pseudo + 10, *len);
        return protocol == 1 ? 0 : 12;
    }
    memcpy(pseudo, ip + 8, 32);
    frame_put32(pseudo + 32, *len);
    pseudo[39] = protocol;
    return 40;
}

uint16_t
frame_pseudo_sum(const uint8_t *frame)
{
    uint8_t pseudo[40];
    size_t len;

    return frame_sum(pseudo, write_pseudo(frame, pseudo, &len));
}

size_t
frame_l4_csum_ofs(const uint8_t *frame)
{
    uint8_t protocol = frame_protocol(frame);

    return frame_l4(frame) + (protocol == 17 ? 6 : protocol == 6 ? 16 : 2);
}

uint16_t
frame_l4_csum(const uint8_t *frame)
{
    uint8_t bytes[40 + FRAME_MAX];
    size_t len, l4 = frame_l4(frame);
    size_t pseudo_len = write_pseudo(frame, bytes, &len);

    assert(len <= FRAME_MAX);
    memcpy(bytes + pseudo_len, frame + l4, len);
    frame_put16(bytes + pseudo_len + frame_l4_csum_ofs(frame) - l4, 0);

    uint16_t csum = 0xffff - frame_sum(bytes, pseudo_len + len);
    return csum == 0 && frame_protocol(frame) == 17 ? 0xffff : csum;
}

void
frame_fix_l4_csum(uint8_t *frame)
{
    frame_put16(frame + frame_l4_csum_ofs(frame), frame_l4_csum(frame));
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

static uint8_t
spec_protocol(const struct frame_spec *spec)
{
    return spec->protocol ? spec->protocol : 6;
}

static size_t
l4_header_len(const struct frame_spec *spec)
{
    switch (spec_protocol(spec)) {
    case 1:
    case 17:
    case 58:
        return 8;
    case 132:
        return 16;
    default:
        return spec->data_ofs ? spec->data_ofs * 4 : 20;
    }
}

/* Writes the IPv4 header of a packet with 'l4_len' bytes behind it.  Returns
 * the header's length. */
static size_t
write_ipv4(const struct frame_spec *spec, uint8_t *frame, size_t l4_len)
{
    uint8_t *ip = frame + frame_l3(frame);
    size_t ihl = spec->ihl ? spec->ihl : 5;

    frame_random_bytes(ip, ihl * 4);
    ip[0] = 0x40 + ihl;
    ip[1] = spec->tos;
    frame_put16(ip + 2, ihl * 4 + l4_len);
    frame_put16(ip + 6, spec->frag);
    ip[8] = spec->ttl ? spec->ttl : 64;
    ip[9] = spec_protocol(spec);
    frame_put32(ip + 12, spec->src ? spec->src : 0x0a010002);
    frame_put32(ip + 16, spec->dst ? spec->dst : 0x0a010064);
    frame_fix_ip_csum(frame);
    return ihl * 4;
}

static void
write_address(uint8_t *p, const uint8_t address[16], uint8_t last)
{
    const uint8_t zeros[16] = { 0 };

    if (memcmp(address, zeros, 16)) {
        memcpy(p, address, 16);
    } else {
        memset(p, 0, 16);
        p[0] = 0xfd;
        p[15] = last;
    }
}

/* The same for IPv6, extension headers included. */
static size_t
write_ipv6(const struct frame_spec *spec, uint8_t *frame, size_t l4_len)
{
    uint8_t *ip = frame + frame_l3(frame);
    uint8_t *next = ip + 6;
    size_t len = 40;

    frame_put32(ip, 0x60000000 + spec->tos * 0x100000u
                    + frame_random() % 0x100000);
    ip[7] = spec->ttl ? spec->ttl : 64;
    write_address(ip + 8, spec->src6, 2);
    write_address(ip + 24, spec->dst6, 0x64);
    for (int i = 0; i < spec->n_exts; i++) {
        uint8_t *ext = ip + len;
        size_t units = spec->exts[i] == 44 ? 0 : frame_random() % 3;

        *next = spec->exts[i];
        frame_random_bytes(ext, 8 + units * 8);
        ext[1] = units;
        if (spec->exts[i] == 43) {
            ext[3] = 0;
        } else if (spec->exts[i] == 44) {
            frame_put16(ext + 2, spec->frag);
            frame_put32(ext + 4, spec->id);
        }
        next = ext;
        len += 8 + units * 8;
    }
    *next = spec_protocol(spec);
    frame_put16(ip + 4, len - 40 + l4_len);
    return len;
}

/* Makes sense of the transport header in the 'len' random bytes at 'l4'. */
static void
write_l4(const struct frame_spec *spec, uint8_t *frame, uint8_t *l4,
         size_t len)
{
    switch (spec_protocol(spec)) {
    case 6:
        l4[12] = (spec->data_ofs ? spec->data_ofs : 5) * 16;
        if (spec->set_flags) {
            l4[13] = spec->tcp_flags;
        }
        break;
    case 17:
        frame_put16(l4 + 4, len);
        break;
    case 132:
        l4[12] = spec->l4_type;
        frame_put16(l4 + 14, len - 12);
        return;
    case 1:
    case 58:
        l4[0] = spec->l4_type;
        l4[1] = 0;
        break;
    default:
        return;
    }
    if (spec->ipv6 ? !(spec->frag & 0xfff8) : !(spec->frag & 0x1fff)) {
        frame_fix_l4_csum(frame);
    }
}

size_t
frame_build(const struct frame_spec *spec, uint8_t *frame)
{
    size_t header_len = l4_header_len(spec);
    size_t l4_len = header_len + spec->payload;
    uint16_t type = spec->ethertype ? spec->ethertype
                    : spec->ipv6 ? 0x86dd : 0x0800;
    size_t l3 = write_ethernet(frame, spec->vlan, type);
    size_t l4 = l3 + (spec->ipv6 ? write_ipv6(spec, frame, l4_len)
                                 : write_ipv4(spec, frame, l4_len));
    size_t size = l4 + l4_len + spec->padding;

    assert(size <= FRAME_MAX);
    frame_random_bytes(frame + l4, size - l4);
    if (spec->data) {
        memcpy(frame + l4 + header_len, spec->data, spec->payload);
    }
    write_l4(spec, frame, frame + l4, l4_len);
    return size;
}

size_t
frame_build_solicit(uint8_t *frame, bool vlan, const uint8_t src[16],
                    const uint8_t dst[16], const uint8_t target[16],
                    bool option)
{
    uint8_t data[24];
    struct frame_spec spec = {
        .ipv6 = true, .vlan = vlan, .ttl = 255, .protocol = 58,
        .l4_type = 135, .data = data, .payload = option ? 24 : 16,
    };

    memcpy(data, target, 16);
    data[16] = 1;
    data[17] = 1;
    frame_random_bytes(data + 18, 6);
    size_t size = frame_build(&spec, frame);
    size_t l3 = frame_l3(frame);
    memcpy(frame + l3 + 8, src, 16);
    memcpy(frame + l3 + 24, dst, 16);
    memset(frame, 0x33, 2);
    memcpy(frame + 2, dst + 12, 4);
    memset(frame + l3 + 40 + 4, 0, 4);
    frame_fix_l4_csum(frame);
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
