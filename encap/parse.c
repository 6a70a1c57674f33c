/* Checks go outside in, and within a header in the order in which one makes
 * the next meaningful; a frame with several faults is counted under the
 * first. */

#include "encap/parse.h"

#include <stdbool.h>
#include <string.h>

#include "encap/csum.h"

#define LIKELY(X)   __builtin_expect(!!(X), 1)
#define UNLIKELY(X) __builtin_expect(!!(X), 0)

enum {
    VLAN_TAG_LEN  = 4,
    IPV4_MIN_IHL  = 5,          /* In units of 4 bytes, ... */
    TCP_MIN_WORDS = 5,          /* ... as is this. */
    ARP_HW_ETHERNET = 1,
};

static inline uint32_t
load32(const uint8_t *p)
{
    uint32_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

/* A sum is right if it is 0 in one's complement, that is, a multiple of 65535
 * (it cannot be 0 itself, the version is not); a compiler tests that with one
 * multiplication. */
static bool
ipv4_csum_ok(const struct ipv4_hdr *ip, size_t ip_hdr_len)
{
    uint64_t sum;

    if (LIKELY(ip_hdr_len == sizeof *ip)) {
        const uint8_t *p = (const uint8_t *) ip;

        sum = (uint64_t) load32(p) + load32(p + 4) + load32(p + 8)
              + load32(p + 12) + load32(p + 16);
    } else {
        sum = csum_add(0, ip, ip_hdr_len);
    }
    return sum % UINT16_MAX == 0;
}

/* Reads the TCP or UDP header at 'l4', in an IP payload of 'l4_len' bytes. */
static enum drop_reason
parse_l4(const uint8_t *l4, size_t l4_len, struct encap_view *view)
{
    if (LIKELY(view->protocol == IPPROTO_NR_TCP)) {
        const struct tcp_hdr *tcp = (const struct tcp_hdr *) l4;

        if (UNLIKELY(l4_len < sizeof *tcp)) {
            return DROP_BAD_L4;
        }
        unsigned int words = tcp->data_ofs >> 4;
        if (UNLIKELY(words < TCP_MIN_WORDS || words * 4 > l4_len)) {
            return DROP_BAD_L4;
        }
        view->tcp_flags = tcp->flags;
        view->src_port = be16_to_host(tcp->src_port);
        view->dst_port = be16_to_host(tcp->dst_port);
    } else {
        const struct udp_hdr *udp = (const struct udp_hdr *) l4;

        if (UNLIKELY(l4_len < sizeof *udp)) {
            return DROP_BAD_L4;
        }
        size_t udp_len = be16_to_host(udp->len);
        if (UNLIKELY(udp_len < sizeof *udp || udp_len > l4_len)) {
            return DROP_BAD_L4;
        }
        view->tcp_flags = 0;
        view->src_port = be16_to_host(udp->src_port);
        view->dst_port = be16_to_host(udp->dst_port);
    }
    return DROP_NONE;
}

/* Reads the IPv4 packet at 'ip', with 'size' bytes of the frame left. */
static enum drop_reason
parse_ipv4(const struct ipv4_hdr *ip, size_t size, struct encap_view *view)
{
    if (UNLIKELY(size < sizeof *ip)) {
        return DROP_TRUNCATED;
    }

    size_t ip_hdr_len = (ip->ver_ihl & 0xf) * 4;
    size_t ip_len = be16_to_host(ip->total_len);
    if (UNLIKELY(ip->ver_ihl >> 4 != 4 || ip_hdr_len < IPV4_MIN_IHL * 4
                 || ip_len < ip_hdr_len)) {
        return DROP_BAD_IP;
    }
    if (UNLIKELY(ip_len > size)) {
        return DROP_TRUNCATED;
    }
    if (UNLIKELY(!ipv4_csum_ok(ip, ip_hdr_len))) {
        return DROP_BAD_IP_CSUM;
    }
    if (UNLIKELY(ip->frag & host_to_be16(IPV4_MF | IPV4_OFS_MASK))) {
        return DROP_FRAGMENT;
    }
    if (UNLIKELY(ip->protocol != IPPROTO_NR_TCP
                 && ip->protocol != IPPROTO_NR_UDP)) {
        return DROP_PROTOCOL;
    }

    view->kind = ENCAP_IPV4_L4;
    view->l4_ofs = view->l3_ofs + ip_hdr_len;
    view->ip_len = ip_len;
    view->protocol = ip->protocol;
    view->ttl = ip->ttl;
    view->tos = ip->tos;
    view->src = be32_to_host(ip->src);
    view->dst = be32_to_host(ip->dst);

    enum drop_reason reason = parse_l4((const uint8_t *) ip + ip_hdr_len,
                                       ip_len - ip_hdr_len, view);
    if (UNLIKELY(reason)) {
        return reason;
    }
    return LIKELY(inet_is_unicast4(view->src)) ? DROP_NONE : DROP_BAD_SOURCE;
}

static enum drop_reason
parse_arp(const struct arp_hdr *arp, size_t size, struct encap_view *view)
{
    if (size < sizeof *arp) {
        return DROP_TRUNCATED;
    }
    if (arp->hw_type != host_to_be16(ARP_HW_ETHERNET)
        || arp->proto_type != host_to_be16(ETHERTYPE_IPV4)
        || arp->hw_len != sizeof arp->sha
        || arp->proto_len != sizeof arp->spa) {
        return DROP_ARP_IGNORED;
    }
    view->kind = ENCAP_ARP;
    return DROP_NONE;
}

enum drop_reason
encap_parse(const uint8_t *frame, size_t size, struct encap_view *view)
{
    const struct eth_hdr *eth = (const struct eth_hdr *) frame;
    size_t l3_ofs = sizeof *eth;

    if (UNLIKELY(size < l3_ofs)) {
        return DROP_TRUNCATED;
    }

    be16 type = eth->type;
    if (UNLIKELY(type == host_to_be16(ETHERTYPE_VLAN))) {
        l3_ofs += VLAN_TAG_LEN;
        if (size < l3_ofs) {
            return DROP_TRUNCATED;
        }
        memcpy(&type, frame + l3_ofs - sizeof type, sizeof type);
    }
    view->l3_ofs = l3_ofs;

    if (LIKELY(type == host_to_be16(ETHERTYPE_IPV4))) {
        if (UNLIKELY(inet_is_multicast_mac(&eth->dst))) {
            return DROP_BROADCAST;
        }
        if (UNLIKELY(inet_is_multicast_mac(&eth->src))) {
            return DROP_BAD_SOURCE;
        }
        return parse_ipv4((const struct ipv4_hdr *) (frame + l3_ofs),
                          size - l3_ofs, view);
    }
    if (type == host_to_be16(ETHERTYPE_ARP)) {
        return parse_arp((const struct arp_hdr *) (frame + l3_ofs),
                         size - l3_ofs, view);
    }
    return DROP_ETHERTYPE;
}

/* Where the checksum of the packet stands, and how many bytes it covers. */
static uint8_t *
find_l4_csum(uint8_t *frame, const struct encap_view *view, uint16_t *l4_len)
{
    uint8_t *l4 = frame + view->l4_ofs;

    if (view->protocol == IPPROTO_NR_TCP) {
        *l4_len = view->ip_len - (view->l4_ofs - view->l3_ofs);
        return l4 + offsetof(struct tcp_hdr, csum);
    }

    *l4_len = be16_to_host(((const struct udp_hdr *) l4)->len);
    return l4 + offsetof(struct udp_hdr, csum);
}

int
encap_complete_csum(uint8_t *frame, const struct encap_view *view, int partial)
{
    const struct ipv4_hdr *ip
        = (const struct ipv4_hdr *) (frame + view->l3_ofs);
    bool udp = view->protocol == IPPROTO_NR_UDP;
    uint16_t l4_len;
    uint8_t *field = find_l4_csum(frame, view, &l4_len);
    uint32_t pseudo = csum_pseudo4(ip, l4_len);
    be16 old;

    memcpy(&old, field, sizeof old);
    if (udp && !old) {
        return 0;               /* The sender uses none (RFC 768). */
    }
    if (LIKELY(!partial) && LIKELY(old != csum_fold(pseudo))) {
        return 0;
    }

    /* A finished checksum may have that value too. */
    uint32_t sum = csum_add(pseudo, frame + view->l4_ofs, l4_len);
    if (csum_fold(sum) == UINT16_MAX) {
        return 0;
    }

    be16 new = ~csum_fold(sum + (uint16_t) ~old);
    if (udp && !new) {
        new = UINT16_MAX;
    }
    memcpy(field, &new, sizeof new);
    return 1;
}
