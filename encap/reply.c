#include "encap/reply.h"

#include <stdbool.h>
#include <string.h>

#include "encap/crc32c.h"
#include "encap/csum.h"

enum {
    ARP_REQUEST = 1,
    ARP_REPLY   = 2,
    REPLY_TTL   = 64,
    ICMP_MAX_LEN   = 576,       /* Of an error, IP header included: ... */
    ICMPV6_MAX_LEN = 1280,      /* ... what every host and link takes. */
    /* Internetwork control: RFC 1812 section 4.3.2.5. */
    ICMP_TOS    = 0xc0,
};

/* What goes between the Ethernet header and the packet that is quoted. */
struct icmp_prefix {
    struct ipv4_hdr ip;
    struct icmp_hdr icmp;
} INET_PACKED;

struct icmpv6_prefix {
    struct ipv6_hdr ip;
    struct icmp_hdr icmp;
} INET_PACKED;
static_assert(sizeof(struct icmpv6_prefix) == REPLY_HEADROOM, "see reply.h");

/* A whole neighbour advertisement, behind the Ethernet header. */
struct nd_answer {
    struct ipv6_hdr ip;
    struct nd_hdr nd;
    struct nd_link_option option;
} INET_PACKED;

static void
answer_ethernet(uint8_t *frame, const struct mac *mac)
{
    struct eth_hdr *eth = (struct eth_hdr *) frame;

    eth->dst = eth->src;
    eth->src = *mac;
}

/* Write the IP header of what answers the packet 'view', with 'payload_len'
 * bytes behind it. */
static void
write_ipv4(struct ipv4_hdr *ip, const struct encap_view *view,
           uint8_t protocol, uint8_t tos, size_t payload_len)
{
    *ip = (struct ipv4_hdr) {
        .ver_ihl = 0x45,
        .tos = tos,
        .total_len = host_to_be16(sizeof *ip + payload_len),
        .frag = host_to_be16(IPV4_DF),
        .ttl = REPLY_TTL,
        .protocol = protocol,
        .src = host_to_be32(inet_addr_to4(view->dst)),
        .dst = host_to_be32(inet_addr_to4(view->src)),
    };
    ip->csum = ~csum_fold(csum_add(0, ip, sizeof *ip));
}

static void
write_ipv6(struct ipv6_hdr *ip, struct inet_addr src, struct inet_addr dst,
           uint8_t protocol, uint8_t hop_limit, size_t payload_len)
{
    *ip = (struct ipv6_hdr) {
        .ver_tc_flow = host_to_be32(UINT32_C(6) << 28),
        .payload_len = host_to_be16(payload_len),
        .next = protocol,
        .hop_limit = hop_limit,
    };
    inet_addr_to_bytes(src, ip->src);
    inet_addr_to_bytes(dst, ip->dst);
}

/* The checksum of the 'len' bytes at 'l4', whose field is 0, behind 'ip'. */
static be16
csum_over_ipv6(const struct ipv6_hdr *ip, const void *l4, size_t len)
{
    return ~csum_fold(csum_add(csum_pseudo6(ip, ip->next, len), l4, len));
}

/* Whether 'arp' asks for somebody else than its sender, and that sender can be
 * answered. */
static bool
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

struct inet_addr
reply_target(const uint8_t *frame, const struct encap_view *view)
{
    if (view->kind == ENCAP_ARP) {
        const struct arp_hdr *arp
            = (const struct arp_hdr *) (frame + view->l3_ofs);

        return inet_addr_from4(be32_to_host(arp->tpa));
    }
    return inet_addr_from_bytes(
        ((const struct nd_hdr *) (frame + view->l4_ofs))->target);
}

enum drop_reason
reply_nd(uint8_t *frame, size_t *size, size_t room,
         const struct encap_view *view, const struct mac *mac)
{
    struct nd_answer *answer = (struct nd_answer *) (frame + view->l3_ofs);
    struct inet_addr target = reply_target(frame, view);
    const size_t payload_len = sizeof answer->nd + sizeof answer->option;

    if ((!view->src.hi && !view->src.lo)
        || inet_addr_equal(view->src, target)) {
        return DROP_ND_IGNORED;
    }
    if (view->l3_ofs + sizeof *answer > room) {
        return DROP_NO_HEADROOM;
    }

    answer_ethernet(frame, mac);
    write_ipv6(&answer->ip, target, view->src, IPPROTO_NR_ICMPV6,
               ND_HOP_LIMIT, payload_len);
    answer->nd = (struct nd_hdr) {
        .type = ICMPV6_ADVERTISE,
        .flags = host_to_be32(ND_SOLICITED | ND_OVERRIDE),
    };
    inet_addr_to_bytes(target, answer->nd.target);
    answer->option = (struct nd_link_option) {
        .type = ND_OPT_TARGET,
        .len = sizeof answer->option / 8,
        .mac = *mac,
    };
    answer->nd.csum = csum_over_ipv6(&answer->ip, &answer->nd, payload_len);
    *size = view->l3_ofs + sizeof *answer;
    return DROP_NONE;
}

/* The ICMP header that says 'error', without checksum. */
static struct icmp_hdr
make_icmp(enum reply_error error, uint16_t mtu)
{
    switch (error) {
    case REPLY_TOO_BIG:
        return (struct icmp_hdr) {
            .type = ICMP_UNREACHABLE, .code = ICMP_FRAG_NEEDED,
            .word = host_to_be32(mtu),
        };
    case REPLY_TIME_EXCEEDED:
        return (struct icmp_hdr) { .type = ICMP_TIME_EXCEEDED };
    case REPLY_UNREACHABLE:
    default:
        return (struct icmp_hdr) {
            .type = ICMP_UNREACHABLE, .code = ICMP_HOST_UNREACHABLE,
        };
    }
}

static struct icmp_hdr
make_icmpv6(enum reply_error error, uint16_t mtu)
{
    switch (error) {
    case REPLY_TOO_BIG:
        return (struct icmp_hdr) {
            .type = ICMPV6_TOO_BIG, .word = host_to_be32(mtu),
        };
    case REPLY_TIME_EXCEEDED:
        return (struct icmp_hdr) { .type = ICMPV6_TIME_EXCEEDED };
    case REPLY_UNREACHABLE:
    default:
        return (struct icmp_hdr) {
            .type = ICMPV6_UNREACHABLE, .code = ICMPV6_ADDRESS_UNREACHABLE,
        };
    }
}

/* Write the headers of an error in front of the 'quote_len' bytes that it
 * quotes. */
static void
write_icmp(struct icmp_prefix *prefix, size_t quote_len,
           const struct encap_view *view, enum reply_error error, uint16_t mtu)
{
    size_t len = sizeof prefix->icmp + quote_len;

    write_ipv4(&prefix->ip, view, IPPROTO_NR_ICMP, ICMP_TOS, len);
    prefix->icmp = make_icmp(error, mtu);
    prefix->icmp.csum = ~csum_fold(csum_add(0, &prefix->icmp, len));
}

static void
write_icmpv6(struct icmpv6_prefix *prefix, size_t quote_len,
             const struct encap_view *view, enum reply_error error,
             uint16_t mtu)
{
    size_t len = sizeof prefix->icmp + quote_len;

    write_ipv6(&prefix->ip, view->dst, view->src, IPPROTO_NR_ICMPV6,
               REPLY_TTL, len);
    prefix->icmp = make_icmpv6(error, mtu);
    prefix->icmp.csum = csum_over_ipv6(&prefix->ip, &prefix->icmp, len);
}

uint8_t *
reply_icmp(uint8_t *frame, size_t *size, const struct encap_view *view,
           enum reply_error error, uint16_t mtu, const struct mac *mac)
{
    bool is4 = view->version == 4;
    size_t prefix_len = is4 ? sizeof(struct icmp_prefix)
                            : sizeof(struct icmpv6_prefix);
    size_t max_quote = (is4 ? ICMP_MAX_LEN : ICMPV6_MAX_LEN) - prefix_len;
    size_t quote_len = view->ip_len < max_quote ? view->ip_len : max_quote;
    uint8_t *answer = frame - prefix_len;
    uint8_t *prefix = answer + view->l3_ofs;

    /* The quoted packet stays where it is, the Ethernet header moves. */
    memmove(answer, frame, view->l3_ofs);
    answer_ethernet(answer, mac);
    if (is4) {
        write_icmp((struct icmp_prefix *) prefix, quote_len, view, error,
                   mtu);
    } else {
        write_icmpv6((struct icmpv6_prefix *) prefix, quote_len, view, error,
                     mtu);
    }
    *size = view->l3_ofs + prefix_len + quote_len;
    return answer;
}

/* The reset that answers the segment 'tcp' of 'len' bytes, without checksum
 * (RFC 9293 section 3.10.7.1). */
static struct tcp_hdr
make_reset(const struct tcp_hdr *tcp, size_t len)
{
    struct tcp_hdr reset = {
        .src_port = tcp->dst_port,
        .dst_port = tcp->src_port,
        .data_ofs = sizeof reset / 4 << 4,
        .flags = TCP_RST_FLAG,
    };

    if (tcp->flags & TCP_ACK_FLAG) {
        reset.seq = tcp->ack;
    } else {
        uint32_t seq_len = len - (tcp->data_ofs >> 4) * 4
                           + !!(tcp->flags & TCP_SYN_FLAG)
                           + !!(tcp->flags & TCP_FIN_FLAG);

        reset.ack = host_to_be32(be32_to_host(tcp->seq) + seq_len);
        reset.flags |= TCP_ACK_FLAG;
    }
    return reset;
}

void
reply_reset(uint8_t *frame, size_t *size, const struct encap_view *view,
            const struct mac *mac)
{
    uint8_t *l3 = frame + view->l3_ofs;
    bool is4 = view->version == 4;
    size_t ip_hdr_len = is4 ? sizeof(struct ipv4_hdr)
                            : sizeof(struct ipv6_hdr);
    struct tcp_hdr *tcp = (struct tcp_hdr *) (l3 + ip_hdr_len);
    struct tcp_hdr reset
        = make_reset((const struct tcp_hdr *) (frame + view->l4_ofs),
                     view->l3_ofs + view->ip_len - view->l4_ofs);

    answer_ethernet(frame, mac);
    *tcp = reset;
    if (is4) {
        struct ipv4_hdr *ip = (struct ipv4_hdr *) l3;

        write_ipv4(ip, view, IPPROTO_NR_TCP, 0, sizeof *tcp);
        tcp->csum = ~csum_fold(csum_add(csum_pseudo4(ip, sizeof *tcp), tcp,
                                        sizeof *tcp));
    } else {
        struct ipv6_hdr *ip = (struct ipv6_hdr *) l3;

        write_ipv6(ip, view->dst, view->src, IPPROTO_NR_TCP, REPLY_TTL,
                   sizeof *tcp);
        tcp->csum = csum_over_ipv6(ip, tcp, sizeof *tcp);
    }
    *size = view->l3_ofs + ip_hdr_len + sizeof *tcp;
}

/* What a chunk is answered with that is of no association here (RFC 9260
 * section 8.4); 0: nothing.  Who begins one is not answered, for the answer
 * would need another tag. */
static uint8_t
choose_abort(uint8_t chunk_type)
{
    switch (chunk_type) {
    case SCTP_INIT:
    case SCTP_ABORT:
    case SCTP_COOKIE_ACK:
    case SCTP_SHUTDOWN_COMPLETE:
        return 0;
    case SCTP_SHUTDOWN_ACK:
        return SCTP_SHUTDOWN_COMPLETE;
    default:
        return SCTP_ABORT;
    }
}

bool
reply_abort(uint8_t *frame, size_t *size, const struct encap_view *view,
            const struct mac *mac)
{
    uint8_t *l3 = frame + view->l3_ofs;
    bool is4 = view->version == 4;
    size_t ip_hdr_len = is4 ? sizeof(struct ipv4_hdr)
                            : sizeof(struct ipv6_hdr);
    const struct sctp_hdr *sctp
        = (const struct sctp_hdr *) (frame + view->l4_ofs);
    uint8_t chunk_type = choose_abort(sctp->chunk_type);

    if (!chunk_type) {
        return false;
    }

    struct sctp_hdr abort = {
        .src_port = sctp->dst_port,
        .dst_port = sctp->src_port,
        .tag = sctp->tag,
        .chunk_type = chunk_type,
        .chunk_flags = SCTP_TAG_REFLECTED,
        .chunk_len = host_to_be16(sizeof abort
                                  - offsetof(struct sctp_hdr, chunk_type)),
    };
    uint8_t csum[sizeof abort.csum];
    crc32c_of_sctp((const uint8_t *) &abort, sizeof abort, csum);
    memcpy(&abort.csum, csum, sizeof csum);

    answer_ethernet(frame, mac);
    if (is4) {
        write_ipv4((struct ipv4_hdr *) l3, view, IPPROTO_NR_SCTP, 0,
                   sizeof abort);
    } else {
        write_ipv6((struct ipv6_hdr *) l3, view->dst, view->src,
                   IPPROTO_NR_SCTP, REPLY_TTL, sizeof abort);
    }
    memcpy(l3 + ip_hdr_len, &abort, sizeof abort);
    *size = view->l3_ofs + ip_hdr_len + sizeof abort;
    return true;
}
