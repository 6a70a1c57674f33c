/* ICMP and ICMPv6: echo requests are packets of a flow; errors are turned
 * round, so that they read like packets of the flow that they are about;
 * neighbour solicitations are checked as RFC 4861 section 7.1.1 asks. */

#include "encap/parse-private.h"

#include "encap/csum.h"

enum {
    QUOTE_MIN_L4 = 8,           /* Bytes that an error quotes at least, behind
                                 * the IP header (RFC 792). */
};

static uint16_t
icmp_identifier(const struct icmp_hdr *icmp)
{
    return be32_to_host(icmp->word) >> 16;
}

/* Reads the start of the transport header at 'l4', which an endpoint has sent
 * and an error quotes: 'len' bytes of it, 'protocol' in the IP header.  What
 * answers an echo request has its identifier. */
static enum drop_reason
parse_quoted_l4(const uint8_t *l4, size_t len, uint8_t protocol,
                struct encap_view *view)
{
    bool v4 = view->version == 4;

    if (len < QUOTE_MIN_L4) {
        return DROP_BAD_QUOTE;
    }
    if (protocol == IPPROTO_NR_TCP || protocol == IPPROTO_NR_UDP
        || protocol == IPPROTO_NR_SCTP) {
        view->protocol = protocol;
        view->dst_port = be16_to_host(encap_load16(l4));
        view->src_port = be16_to_host(encap_load16(l4 + 2));
        return DROP_NONE;
    }

    const struct icmp_hdr *icmp = (const struct icmp_hdr *) l4;
    if (protocol != (v4 ? IPPROTO_NR_ICMP : IPPROTO_NR_ICMPV6)
        || icmp->type != (v4 ? ICMP_ECHO_REPLY : ICMPV6_ECHO_REPLY)) {
        return DROP_BAD_QUOTE;
    }
    view->protocol = IPPROTO_NR_ICMP;
    view->src_port = icmp_identifier(icmp);
    view->dst_port = 0;
    return DROP_NONE;
}

/* The quote's length fields and header checksum are as some router left them,
 * and not looked at. */
static enum drop_reason
parse_quote4(const uint8_t *quote, size_t len, struct encap_view *view)
{
    const struct ipv4_hdr *ip = (const struct ipv4_hdr *) quote;

    if (len < sizeof *ip) {
        return DROP_BAD_QUOTE;
    }
    size_t ip_hdr_len = (ip->ver_ihl & 0xf) * 4;
    if (ip->ver_ihl >> 4 != 4 || ip_hdr_len < sizeof *ip || ip_hdr_len > len
        || (ip->frag & host_to_be16(IPV4_OFS_MASK))
        || be32_to_host(ip->src) != inet_addr_to4(view->dst)) {
        return DROP_BAD_QUOTE;
    }
    view->src = inet_addr_from4(be32_to_host(ip->dst));
    return parse_quoted_l4(quote + ip_hdr_len, len - ip_hdr_len,
                           ip->protocol, view);
}

static enum drop_reason
parse_quote6(const uint8_t *quote, size_t len, struct encap_view *view)
{
    const struct ipv6_hdr *ip = (const struct ipv6_hdr *) quote;
    struct encap_chain chain;

    if (len < sizeof *ip || be32_to_host(ip->ver_tc_flow) >> 28 != 6
        || !inet_addr_equal(inet_addr_from_bytes(ip->src), view->dst)
        || encap_follow_chain(quote, len, &chain) || chain.fragment_ofs) {
        return DROP_BAD_QUOTE;
    }
    view->src = inet_addr_from_bytes(ip->dst);
    if (inet_addr_is4(view->src)) {
        return DROP_BAD_QUOTE;
    }
    return parse_quoted_l4(quote + chain.ofs, len - chain.ofs,
                           chain.protocol, view);
}

/* An error is small enough never to be fragmented (RFC 1812 section 4.3.2.3,
 * RFC 4443 section 2.4). */
static enum drop_reason
parse_error(const uint8_t *frame, struct encap_view *view)
{
    const uint8_t *quote = frame + view->l4_ofs + sizeof(struct icmp_hdr);
    size_t len = encap_l4_len(view) - sizeof(struct icmp_hdr);

    if (view->first_fragment) {
        return DROP_BAD_L4;
    }
    view->kind = ENCAP_ICMP_ERROR;
    enum drop_reason reason = (view->version == 4
                               ? parse_quote4(quote, len, view)
                               : parse_quote6(quote, len, view));
    if (reason) {
        return reason;
    }
    return inet_addr_is_unicast(view->src) ? DROP_NONE : DROP_BAD_QUOTE;
}

static enum drop_reason
parse_echo(const struct icmp_hdr *icmp, struct encap_view *view)
{
    view->protocol = IPPROTO_NR_ICMP;
    view->src_port = icmp_identifier(icmp);
    return DROP_NONE;
}

enum drop_reason
encap_parse_icmp(const uint8_t *frame, struct encap_view *view)
{
    const struct icmp_hdr *icmp
        = (const struct icmp_hdr *) (frame + view->l4_ofs);

    if (encap_l4_len(view) < sizeof *icmp) {
        return DROP_BAD_L4;
    }
    switch (icmp->type) {
    case ICMP_ECHO_REQUEST:
        return parse_echo(icmp, view);
    case ICMP_UNREACHABLE:
    case ICMP_TIME_EXCEEDED:
    case ICMP_PARAMETER:
        return parse_error(frame, view);
    default:
        return DROP_PROTOCOL;
    }
}

/* True if the options fill the 'len' bytes at 'options', none of them empty;
 * and, if 'unspecified', none of them gives the sender's link-layer
 * address. */
static bool
options_are_ok(const uint8_t *options, size_t len, bool unspecified)
{
    while (len) {
        if (len < 8 || !options[1] || options[1] * 8u > len
            || (unspecified && options[0] == ND_OPT_SOURCE)) {
            return false;
        }
        len -= options[1] * 8;
        options += options[1] * 8;
    }
    return true;
}

/* The solicited-node multicast group of any address: ff02::1:ff00:0/104. */
static bool
is_solicited_node(struct inet_addr a)
{
    return (a.hi == UINT64_C(0xff02) << 48
            && a.lo >> 24 == UINT64_C(0x1ff));
}

/* All else than a solicitation needs no answer from us; neither does one in
 * fragments (RFC 6980), nor, by our choice, one behind extension headers. */
static enum drop_reason
parse_nd(const uint8_t *frame, struct encap_view *view)
{
    const struct ipv6_hdr *ip
        = (const struct ipv6_hdr *) (frame + view->l3_ofs);
    const struct nd_hdr *nd = (const struct nd_hdr *) (frame + view->l4_ofs);
    size_t len = encap_l4_len(view);
    bool unspecified = !view->src.hi && !view->src.lo;

    if (len < sizeof *nd || nd->type != ICMPV6_SOLICIT || nd->code
        || view->ttl != ND_HOP_LIMIT
        || view->l4_ofs != view->l3_ofs + sizeof *ip
        || nd->target[0] == 0xff
        || inet_addr_is4(inet_addr_from_bytes(nd->target))
        || !options_are_ok((const uint8_t *) (nd + 1), len - sizeof *nd,
                           unspecified)
        || (unspecified && !is_solicited_node(view->dst))) {
        return DROP_ND_IGNORED;
    }

    uint32_t sum = csum_add(csum_pseudo6(ip, IPPROTO_NR_ICMPV6, len),
                            nd, len);
    if (csum_fold(sum) != UINT16_MAX) {
        return DROP_ND_IGNORED;
    }
    view->kind = ENCAP_ND;
    view->protocol = IPPROTO_NR_ICMP;
    return DROP_NONE;
}

enum drop_reason
encap_parse_icmpv6(const uint8_t *frame, struct encap_view *view)
{
    const struct icmp_hdr *icmp
        = (const struct icmp_hdr *) (frame + view->l4_ofs);

    if (encap_l4_len(view) < sizeof *icmp) {
        return DROP_BAD_L4;
    }
    switch (icmp->type) {
    case ICMPV6_ECHO_REQUEST:
        return parse_echo(icmp, view);
    case ICMPV6_UNREACHABLE:
    case ICMPV6_TOO_BIG:
    case ICMPV6_TIME_EXCEEDED:
    case ICMPV6_PARAMETER:
        return parse_error(frame, view);
    case ICMPV6_ROUTER_SOLICIT ... ICMPV6_REDIRECT:
        return parse_nd(frame, view);
    default:
        return DROP_PROTOCOL;
    }
}
