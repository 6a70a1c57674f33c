/* Checks go outside in, and within a header in the order in which one makes
 * the next meaningful; a frame with several faults is counted under the
 * first.
 *
 * Here: the frame, ARP, IPv4, TCP, UDP and SCTP. */

#include "encap/parse-private.h"

#include <string.h>

#include "encap/csum.h"
#include "encap/hint.h"

enum {
    VLAN_TAG_LEN  = 4,
    IPV4_MIN_IHL  = 5,          /* In units of 4 bytes, ... */
    TCP_MIN_WORDS = 5,          /* ... as is this. */
    ARP_HW_ETHERNET = 1,
    FRAGMENT_UNIT = 8,          /* Bytes. */
    SCTP_CHUNK_OFS = offsetof(struct sctp_hdr, chunk_type),
    SCTP_CHUNK_HDR_LEN = 4,
};

#define TCP_LIFE(FLAGS) \
    ((((FLAGS) & (TCP_SYN_FLAG | TCP_ACK_FLAG)) == TCP_SYN_FLAG \
      ? ENCAP_OPENS : 0) \
     | ((FLAGS) & TCP_FIN_FLAG ? ENCAP_CLOSES : 0) \
     | ((FLAGS) & TCP_RST_FLAG ? ENCAP_ABORTS : 0) \
     | ((FLAGS) & TCP_ACK_FLAG ? ENCAP_ACKS : 0))
#define TCP_LIFE4(FLAGS) \
    TCP_LIFE(FLAGS), TCP_LIFE((FLAGS) + 1), TCP_LIFE((FLAGS) + 2), \
    TCP_LIFE((FLAGS) + 3)

const uint8_t encap_tcp_life[32] = {
    TCP_LIFE4(0), TCP_LIFE4(4), TCP_LIFE4(8), TCP_LIFE4(12),
    TCP_LIFE4(16), TCP_LIFE4(20), TCP_LIFE4(24), TCP_LIFE4(28),
};

static enum drop_reason
parse_tcp(const struct tcp_hdr *tcp, size_t len, struct encap_view *view)
{
    if (len < sizeof *tcp) {
        return DROP_BAD_L4;
    }
    unsigned int words = tcp->data_ofs >> 4;
    if (words < TCP_MIN_WORDS || words * 4 > len) {
        return DROP_BAD_L4;
    }
    view->life = encap_tcp_life[tcp->flags & 0x1f];
    view->src_port = be16_to_host(tcp->src_port);
    view->dst_port = be16_to_host(tcp->dst_port);
    return DROP_NONE;
}

static enum drop_reason
parse_udp(const struct udp_hdr *udp, size_t len, struct encap_view *view)
{
    if (len < sizeof *udp) {
        return DROP_BAD_L4;
    }
    size_t udp_len = be16_to_host(udp->len);
    if (udp_len < sizeof *udp || (udp_len > len && !view->first_fragment)) {
        return DROP_BAD_L4;
    }
    view->src_port = be16_to_host(udp->src_port);
    view->dst_port = be16_to_host(udp->dst_port);
    return DROP_NONE;
}

/* The first chunk stands for the packet: those that begin or end an
 * association are alone or the first (RFC 9260 section 6.10). */
static uint8_t
sctp_life(uint8_t chunk_type)
{
    switch (chunk_type) {
    case SCTP_INIT:
        return ENCAP_OPENS;
    case SCTP_INIT_ACK:
        return 0;
    case SCTP_ABORT:
        return ENCAP_ABORTS;
    case SCTP_SHUTDOWN:
    case SCTP_SHUTDOWN_ACK:
    case SCTP_SHUTDOWN_COMPLETE:
        return ENCAP_CLOSES | ENCAP_ACKS;
    default:
        return ENCAP_ACKS;
    }
}

static enum drop_reason
parse_sctp(const struct sctp_hdr *sctp, size_t len, struct encap_view *view)
{
    if (len < sizeof *sctp) {
        return DROP_BAD_L4;
    }
    size_t chunk_len = be16_to_host(sctp->chunk_len);
    if (chunk_len < SCTP_CHUNK_HDR_LEN
        || (chunk_len > len - SCTP_CHUNK_OFS && !view->first_fragment)) {
        return DROP_BAD_L4;
    }
    view->life = sctp_life(sctp->chunk_type);
    view->src_port = be16_to_host(sctp->src_port);
    view->dst_port = be16_to_host(sctp->dst_port);
    return DROP_NONE;
}

enum drop_reason
encap_parse_l4(const uint8_t *frame, struct encap_view *view)
{
    const uint8_t *l4 = frame + view->l4_ofs;
    size_t len = encap_l4_len(view);

    view->kind = ENCAP_FLOW;
    switch (view->protocol) {
    case IPPROTO_NR_TCP:
        return parse_tcp((const struct tcp_hdr *) l4, len, view);
    case IPPROTO_NR_UDP:
        return parse_udp((const struct udp_hdr *) l4, len, view);
    case IPPROTO_NR_SCTP:
        return parse_sctp((const struct sctp_hdr *) l4, len, view);
    case IPPROTO_NR_ICMP:
        return (view->version == 4
                ? encap_parse_icmp(frame, view) : DROP_PROTOCOL);
    case IPPROTO_NR_ICMPV6:
        return (view->version == 6
                ? encap_parse_icmpv6(frame, view) : DROP_PROTOCOL);
    default:
        return DROP_PROTOCOL;
    }
}

/* All but the last one hold a multiple of 8 bytes, and none goes beyond what
 * a datagram can hold (RFC 791 section 3.2, RFC 8200 section 4.5). */
enum drop_reason
encap_check_fragment(size_t ofs, size_t len, bool more)
{
    return ((more && len % FRAGMENT_UNIT) || ofs + len > UINT16_MAX
            ? DROP_BAD_IP : DROP_NONE);
}

/* Reads what is behind the header 'ip', whose own members are in 'view'. */
static enum drop_reason
parse_ipv4_payload(const uint8_t *frame, const struct ipv4_hdr *ip,
                   struct encap_view *view)
{
    uint16_t frag = be16_to_host(ip->frag);
    size_t ofs = (frag & IPV4_OFS_MASK) * FRAGMENT_UNIT;

    if (frag & (IPV4_MF | IPV4_OFS_MASK)) {
        enum drop_reason reason
            = encap_check_fragment(ofs, encap_l4_len(view), frag & IPV4_MF);
        if (reason) {
            return reason;
        }
        view->fragment_id = be16_to_host(ip->id);
        view->first_fragment = !ofs;
    }
    if (!ofs) {
        return encap_parse_l4(frame, view);
    }
    view->kind = ENCAP_FRAGMENT;
    return (view->protocol == IPPROTO_NR_TCP
            || view->protocol == IPPROTO_NR_UDP
            || view->protocol == IPPROTO_NR_SCTP
            || view->protocol == IPPROTO_NR_ICMP
            ? DROP_NONE : DROP_PROTOCOL);
}

static enum drop_reason
parse_ipv4(const uint8_t *frame, size_t size, struct encap_view *view)
{
    const struct ipv4_hdr *ip
        = (const struct ipv4_hdr *) (frame + view->l3_ofs);

    size -= view->l3_ofs;
    if (size < sizeof *ip) {
        return DROP_TRUNCATED;
    }

    size_t ip_hdr_len = (ip->ver_ihl & 0xf) * 4;
    size_t ip_len = be16_to_host(ip->total_len);
    if (ip->ver_ihl >> 4 != 4 || ip_hdr_len < IPV4_MIN_IHL * 4
        || ip_len < ip_hdr_len) {
        return DROP_BAD_IP;
    }
    if (ip_len > size) {
        return DROP_TRUNCATED;
    }
    if (csum_fold(csum_add(0, ip, ip_hdr_len)) != UINT16_MAX) {
        return DROP_BAD_IP_CSUM;
    }

    view->version = 4;
    view->protocol = ip->protocol;
    view->ttl = ip->ttl;
    view->tos = ip->tos;
    view->l4_ofs = view->l3_ofs + ip_hdr_len;
    view->ip_len = ip_len;
    view->src = inet_addr_from4(be32_to_host(ip->src));
    view->dst = inet_addr_from4(be32_to_host(ip->dst));

    enum drop_reason reason = parse_ipv4_payload(frame, ip, view);
    if (reason) {
        return reason;
    }
    return (inet_is_unicast4(be32_to_host(ip->src))
            ? DROP_NONE : DROP_BAD_SOURCE);
}

static enum drop_reason
parse_arp(const uint8_t *frame, size_t size, struct encap_view *view)
{
    const struct arp_hdr *arp
        = (const struct arp_hdr *) (frame + view->l3_ofs);

    if (size - view->l3_ofs < sizeof *arp) {
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

/* IP in a frame for several stations is not for a router to forward.
 * Neighbour solicitations are for several by their nature; what is wrong with
 * one, or with another message of ND, is told as such. */
static enum drop_reason
parse_ip(const uint8_t *frame, size_t size, bool is_ipv6,
         struct encap_view *view)
{
    const struct eth_hdr *eth = (const struct eth_hdr *) frame;
    bool multicast = inet_is_multicast_mac(&eth->dst);

    if (multicast && !is_ipv6) {
        return DROP_BROADCAST;
    }
    if (inet_is_multicast_mac(&eth->src)) {
        return multicast ? DROP_BROADCAST : DROP_BAD_SOURCE;
    }
    if (!is_ipv6) {
        return parse_ipv4(frame, size, view);
    }

    enum drop_reason reason = encap_parse_ipv6(frame, size, view);
    if (multicast && reason != DROP_ND_IGNORED
        && (reason || view->kind != ENCAP_ND)) {
        return DROP_BROADCAST;
    }
    return reason;
}

/* Any frame but the common one. */
static enum drop_reason
parse_uncommon(const uint8_t *frame, size_t size, struct encap_view *view)
{
    size_t l3_ofs = sizeof(struct eth_hdr);

    if (size < l3_ofs) {
        return DROP_TRUNCATED;
    }
    be16 type = encap_load16(frame + l3_ofs - sizeof type);
    if (type == host_to_be16(ETHERTYPE_VLAN)) {
        l3_ofs += VLAN_TAG_LEN;
        if (size < l3_ofs) {
            return DROP_TRUNCATED;
        }
        type = encap_load16(frame + l3_ofs - sizeof type);
    }

    *view = (struct encap_view) { .l3_ofs = l3_ofs };
    switch (be16_to_host(type)) {
    case ETHERTYPE_IPV4:
        return parse_ip(frame, size, false, view);
    case ETHERTYPE_IPV6:
        return parse_ip(frame, size, true, view);
    case ETHERTYPE_ARP:
        return parse_arp(frame, size, view);
    case ETHERTYPE_HINT:
        view->kind = ENCAP_HINT;
        return DROP_NONE;
    default:
        return DROP_ETHERTYPE;
    }
}

enum drop_reason
encap_parse(const uint8_t *frame, size_t size, struct encap_view *view)
{
    return (ENCAP_LIKELY(encap_parse_common(frame, size, view))
            ? DROP_NONE : parse_uncommon(frame, size, view));
}
