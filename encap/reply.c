#include "encap/reply.h"

#include <string.h>

#include "encap/csum.h"

enum {
    ARP_REQUEST = 1,
    ARP_REPLY   = 2,
    ICMP_MAX_LEN = 576,         /* Of an error, IP header included. */
    ICMP_TTL     = 64,
    /* Internetwork control: RFC 1812 section 4.3.2.5. */
    ICMP_TOS     = 0xc0,
};

/* What goes between the Ethernet header and the packet that is quoted. */
struct icmp_prefix {
    struct ipv4_hdr ip;
    struct icmp_hdr icmp;
} INET_PACKED;
static_assert(sizeof(struct icmp_prefix) == REPLY_HEADROOM, "see reply.h");

/* Whether 'arp' asks for somebody else than its sender, and that sender can be
 * answered. */
static int
is_arp_question(const struct arp_hdr *arp)
{
    return arp->op == host_to_be16(ARP_REQUEST)
           && inet_is_unicast4(be32_to_host(arp->spa))
           && arp->spa != arp->tpa
           && !inet_is_multicast_mac(&arp->sha);
}

enum drop_reason
reply_arp(uint8_t *frame, const struct encap_view *view, const struct mac *mac)
{
    struct eth_hdr *eth = (struct eth_hdr *) frame;
    struct arp_hdr *arp = (struct arp_hdr *) (frame + view->l3_ofs);

    if (!is_arp_question(arp)) {
        return DROP_ARP_IGNORED;
    }

    be32 asked = arp->tpa;
    arp->op = host_to_be16(ARP_REPLY);
    arp->tha = arp->sha;
    arp->tpa = arp->spa;
    arp->sha = *mac;
    arp->spa = asked;
    eth->dst = arp->tha;
    eth->src = *mac;
    return DROP_NONE;
}

uint32_t
reply_arp_target(const uint8_t *frame, const struct encap_view *view)
{
    const struct arp_hdr *arp
        = (const struct arp_hdr *) (frame + view->l3_ofs);

    return be32_to_host(arp->tpa);
}

/* Writes the IP and ICMP headers of an error in front of the 'quote_len' bytes
 * at 'prefix + 1' that it quotes, which start with the IP header 'view'. */
static void
write_icmp(struct icmp_prefix *prefix, size_t quote_len,
           const struct encap_view *view, enum icmp_error error, uint16_t mtu)
{
    *prefix = (struct icmp_prefix) {
        .ip = {
            .ver_ihl = 0x45,
            .tos = ICMP_TOS,
            .total_len = host_to_be16(sizeof *prefix + quote_len),
            .frag = host_to_be16(IPV4_DF),
            .ttl = ICMP_TTL,
            .protocol = IPPROTO_NR_ICMP,
            .src = host_to_be32(view->dst),
            .dst = host_to_be32(view->src),
        },
        .icmp = {
            .type = error >> 8,
            .code = error & 0xff,
            .next_hop_mtu = host_to_be16(error == ICMP_FRAG_NEEDED ? mtu : 0),
        },
    };
    prefix->ip.csum = ~csum_fold(csum_add(0, &prefix->ip, sizeof prefix->ip));
    prefix->icmp.csum = ~csum_fold(csum_add(0, &prefix->icmp,
                                            sizeof prefix->icmp + quote_len));
}

uint8_t *
reply_icmp(uint8_t *frame, size_t *size, const struct encap_view *view,
           enum icmp_error error, uint16_t mtu, const struct mac *mac)
{
    uint8_t *answer = frame - sizeof(struct icmp_prefix);
    struct eth_hdr *eth = (struct eth_hdr *) answer;
    size_t quote_len = view->ip_len;

    if (quote_len > ICMP_MAX_LEN - sizeof(struct icmp_prefix)) {
        quote_len = ICMP_MAX_LEN - sizeof(struct icmp_prefix);
    }

    /* The quoted packet stays where it is, the Ethernet header moves. */
    memcpy(answer, frame, view->l3_ofs);
    eth->dst = eth->src;
    eth->src = *mac;
    write_icmp((struct icmp_prefix *) (answer + view->l3_ofs), quote_len,
               view, error, mtu);

    *size = view->l3_ofs + sizeof(struct icmp_prefix) + quote_len;
    return answer;
}
