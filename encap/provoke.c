#include "encap/provoke.h"

#include <stdbool.h>
#include <string.h>

#include "encap/csum.h"

enum { PROVOKE_TTL = 64 };

static struct tcp_hdr
make_ack(uint16_t src_port, uint16_t dst_port, uint32_t seq)
{
    return (struct tcp_hdr) {
        .src_port = host_to_be16(src_port),
        .dst_port = host_to_be16(dst_port),
        .seq = host_to_be32(seq),
        .ack = host_to_be32(seq),
        .data_ofs = sizeof(struct tcp_hdr) / 4 << 4,
        .flags = TCP_ACK_FLAG,
    };
}

static size_t
write4(uint8_t *l3, uint32_t src, uint32_t dst, struct tcp_hdr *tcp)
{
    struct ipv4_hdr ip = {
        .ver_ihl = 0x45,
        .total_len = host_to_be16(sizeof ip + sizeof *tcp),
        .frag = host_to_be16(IPV4_DF),
        .ttl = PROVOKE_TTL,
        .protocol = IPPROTO_NR_TCP,
        .src = host_to_be32(src),
        .dst = host_to_be32(dst),
    };

    ip.csum = ~csum_fold(csum_add(0, &ip, sizeof ip));
    tcp->csum = ~csum_fold(csum_add(csum_pseudo4(&ip, sizeof *tcp), tcp,
                                    sizeof *tcp));
    memcpy(l3, &ip, sizeof ip);
    memcpy(l3 + sizeof ip, tcp, sizeof *tcp);
    return sizeof ip + sizeof *tcp;
}

static size_t
write6(uint8_t *l3, struct inet_addr src, struct inet_addr dst,
       struct tcp_hdr *tcp)
{
    struct ipv6_hdr ip = {
        .ver_tc_flow = host_to_be32(UINT32_C(6) << 28),
        .payload_len = host_to_be16(sizeof *tcp),
        .next = IPPROTO_NR_TCP,
        .hop_limit = PROVOKE_TTL,
    };

    inet_addr_to_bytes(src, ip.src);
    inet_addr_to_bytes(dst, ip.dst);
    tcp->csum = ~csum_fold(csum_add(csum_pseudo6(&ip, IPPROTO_NR_TCP,
                                                 sizeof *tcp),
                                    tcp, sizeof *tcp));
    memcpy(l3, &ip, sizeof ip);
    memcpy(l3 + sizeof ip, tcp, sizeof *tcp);
    return sizeof ip + sizeof *tcp;
}

size_t
provoke_write(uint8_t frame[PROVOKE_MAX_LEN], const struct mac *dst_mac,
              const struct mac *src_mac, struct inet_addr src,
              uint16_t src_port, struct inet_addr dst, uint16_t dst_port,
              uint32_t seq)
{
    struct tcp_hdr tcp = make_ack(src_port, dst_port, seq);
    bool is4 = inet_addr_is4(dst);
    struct eth_hdr eth = {
        .dst = *dst_mac,
        .src = *src_mac,
        .type = host_to_be16(is4 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6),
    };
    uint8_t *l3 = frame + sizeof eth;

    memcpy(frame, &eth, sizeof eth);
    return sizeof eth + (is4 ? write4(l3, inet_addr_to4(src),
                                      inet_addr_to4(dst), &tcp)
                         : write6(l3, src, dst, &tcp));
}
