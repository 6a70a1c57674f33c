#include "tests/cluster/wire.h"

#include <string.h>

enum { ETH = 14, IP = 20, UDP = 8, TUNNEL = 8, PAYLOAD = 12 };

static uint16_t
get16(const uint8_t *p)
{
    return p[0] << 8 | p[1];
}

static uint32_t
get32(const uint8_t *p)
{
    return (uint32_t) get16(p) << 16 | get16(p + 2);
}

static void
put16(uint8_t *p, uint16_t x)
{
    p[0] = x >> 8;
    p[1] = x;
}

static void
put32(uint8_t *p, uint32_t x)
{
    put16(p, x >> 16);
    put16(p + 2, x);
}

/* The one's complement sum of an IPv4 header without options: 0xffff if its
 * checksum is right. */
static uint16_t
ip_sum(const uint8_t *ip)
{
    uint32_t sum = 0;

    for (int i = 0; i < IP; i += 2) {
        sum += get16(ip + i);
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return (sum & 0xffff) + (sum >> 16);
}

void
wire_endpoint_mac(uint8_t mac[6], int group, uint16_t endpoint)
{
    mac[0] = 2;
    mac[1] = mac[2] = 0;
    mac[3] = group;
    put16(mac + 4, endpoint);
}

void
wire_build(struct wire_frame *frame, const struct wire_packet *p)
{
    uint32_t l4_len = p->protocol == 6 ? 20 : 8;
    uint32_t ip_len = p->full ? (uint32_t) WIRE_INNER_MTU
                      : IP + l4_len + PAYLOAD;
    uint8_t *eth = frame->buffer + WIRE_HEADROOM;
    uint8_t *ip = eth + ETH, *l4 = ip + IP, *payload = l4 + l4_len;

    memset(eth, 0, ETH + ip_len);
    eth[0] = 0x0a;              /* The virtual router. */
    eth[6] = 0x02;
    eth[9] = 0xcc;              /* Clients. */
    put16(eth + 10, p->client);
    put16(eth + 12, 0x0800);
    ip[0] = 0x45;
    put16(ip + 2, ip_len);
    ip[8] = 64;
    ip[9] = p->protocol;
    put32(ip + 12, p->src);
    put32(ip + 16, p->dst);
    put16(ip + 10, ~ip_sum(ip));
    put16(l4, p->src_port);
    put16(l4 + 2, p->dst_port);
    if (p->protocol == 6) {
        l4[12] = 0x50;
        l4[13] = p->tcp_flags;
        put16(l4 + 16, 0x1234);
    } else {
        put16(l4 + 4, ip_len - IP);
    }
    put32(payload, p->flow);
    put32(payload + 4, p->number);
    put32(payload + 8, p->seq);

    frame->ofs = WIRE_HEADROOM;
    frame->size = ETH + ip_len;
    frame->arrived = false;
    frame->trips = 0;
    frame->flow = p->flow;
    frame->number = p->number;
}

bool
wire_read(const struct wire_frame *frame, struct wire_packet *p, int *group,
          uint16_t *endpoint)
{
    const uint8_t *eth = frame->buffer + frame->ofs;
    const uint8_t *ip = eth + ETH, *l4 = ip + IP;

    if (frame->size < ETH + IP + 8 + PAYLOAD || eth[0] != 2 || eth[3] > 1
        || get16(eth + 12) != 0x0800 || ip[0] != 0x45 || ip_sum(ip) != 0xffff
        || ip[8] != 63) {
        return false;
    }
    *group = eth[3];
    *endpoint = get16(eth + 4);
    *p = (struct wire_packet) {
        .src = get32(ip + 12), .dst = get32(ip + 16),
        .src_port = get16(l4), .dst_port = get16(l4 + 2),
        .protocol = ip[9],
    };
    const uint8_t *payload = l4 + 8;
    if (p->protocol == 6) {
        p->tcp_flags = l4[13];
        payload = l4 + 20;
    }
    p->flow = get32(payload);
    p->number = get32(payload + 4);
    p->seq = get32(payload + 8);
    return true;
}

uint32_t
wire_destination(const struct wire_frame *frame)
{
    const uint8_t *eth = frame->buffer + frame->ofs;

    return (frame->size >= ETH + IP + UDP + TUNNEL + ETH
            && get16(eth + 12) == 0x0800 && eth[ETH] == 0x45
            && eth[ETH + 9] == 17 && ip_sum(eth + ETH) == 0xffff
            ? get32(eth + ETH + 16) : 0);
}

bool
wire_decapsulate(struct wire_frame *frame)
{
    const uint8_t *ip = frame->buffer + frame->ofs + ETH;
    const uint8_t *udp = ip + IP, *tunnel = udp + UDP;
    uint32_t options_len = 0;

    switch (get16(udp + 2)) {
    case 6081:                  /* Geneve. */
        options_len = (tunnel[0] & 0x3f) * 4;
        if (tunnel[0] >> 6 || get16(tunnel + 2) != 0x6558) {
            return false;
        }
        break;

    case 4789:                  /* VXLAN. */
        if (tunnel[0] != 0x08) {
            return false;
        }
        break;

    default:
        return false;
    }

    uint32_t outer = ETH + IP + UDP + TUNNEL + options_len;
    if (options_len > WIRE_OPTIONS || outer + ETH > frame->size
        || get16(ip + 2) != frame->size - ETH
        || get16(udp + 4) != frame->size - ETH - IP) {
        return false;
    }
    frame->arrived = true;
    frame->peer = get32(ip + 12);
    frame->vni = get32(tunnel + 4) >> 8;
    frame->options_len = options_len;
    memcpy(frame->options, tunnel + TUNNEL, options_len);
    frame->ofs += outer;
    frame->size -= outer;
    frame->trips++;
    return true;
}
