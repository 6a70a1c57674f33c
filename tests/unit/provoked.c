#include "tests/unit/provoked.h"

#include <string.h>

#include "tests/unit/frame.h"

enum { ETH = 14, IP4 = 20, IP6 = 40, TCP = 20 };

/* Both headers; -1 if the IP header is not as it should be. */
static int
read_ip(const uint8_t *ip, size_t size, struct provoked *p)
{
    static const uint8_t start4[] = { 0x45, 0, 0, IP4 + TCP, 0, 0, 0x40, 0,
                                      64, 6 };
    static const uint8_t start6[] = { 0x60, 0, 0, 0, 0, TCP, 6, 64 };

    if (p->ipv6) {
        memcpy(p->src, ip + 8, 16);
        memcpy(p->dst, ip + 24, 16);
        return size == IP6 + TCP && !memcmp(ip, start6, 8) ? IP6 : -1;
    }
    memcpy(p->src, ip + 12, 4);
    memcpy(p->dst, ip + 16, 4);
    return (size == IP4 + TCP && !memcmp(ip, start4, 10)
            && frame_sum(ip, IP4) == 0xffff ? IP4 : -1);
}

/* RFC 9293 section 3.1: over the addresses, protocol, length, segment. */
static bool
has_right_csum(const struct provoked *p, const uint8_t *tcp)
{
    uint8_t summed[16 + 16 + 4 + TCP] = { 0 };

    memcpy(summed, p->src, 16);
    memcpy(summed + 16, p->dst, 16);
    summed[33] = 6;
    summed[35] = TCP;
    memcpy(summed + 36, tcp, TCP);
    return frame_sum(summed, sizeof summed) == 0xffff;
}

bool
provoked_read(const uint8_t *frame, size_t size, struct provoked *p)
{
    static const uint8_t ack[] = { 0x50, 0x10, 0, 0 }; /* ..., window. */
    const uint8_t *tcp;
    int ip_len;

    memset(p, 0, sizeof *p);
    if (size < ETH + IP4 + TCP) {
        return false;
    }
    memcpy(p->dst_mac, frame, 6);
    memcpy(p->src_mac, frame + 6, 6);
    p->ipv6 = frame_get16(frame + 12) == 0x86dd;
    if (!p->ipv6 && frame_get16(frame + 12) != 0x0800) {
        return false;
    }
    ip_len = read_ip(frame + ETH, size - ETH, p);
    if (ip_len < 0) {
        return false;
    }
    tcp = frame + ETH + ip_len;
    p->src_port = frame_get16(tcp);
    p->dst_port = frame_get16(tcp + 2);
    p->seq = frame_get32(tcp + 4);
    return (frame_get32(tcp + 8) == p->seq && !memcmp(tcp + 12, ack, 4)
            && !frame_get16(tcp + 18) && has_right_csum(p, tcp));
}
