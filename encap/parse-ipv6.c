/* IPv6 and its extension headers.
 *
 * Our reading of RFC 8200, as what stands before the node that a packet is
 * addressed to:
 *
 *   - Hop-by-hop options only as the first header (section 4.1); the options
 *     themselves are the endpoint's business.
 *   - A routing header only if it has been worked off (segments left 0); other
 *     packets are on their way to somebody else, and type 0 is dead (RFC
 *     5095).
 *   - The first fragment holds all headers (RFC 7112).  A fragment header with
 *     offset 0 and nothing more makes no fragment (RFC 6946).  In a datagram
 *     that really comes in pieces the transport header follows the fragment
 *     header at once: by the later ones' next header they are known.
 *   - AH is refused: its security association is with one host, not with an
 *     address that many have.  So are mobility, HIP and shim6, which move
 *     addresses.  ESP counts as a protocol that we do not know, as over
 *     IPv4. */

#include "encap/parse-private.h"

enum {
    EXT_UNIT = 8,               /* Bytes. */
};

/* Skips the header 'next' at 'ext', of 'left' bytes that are there. */
static enum drop_reason
skip_options(const struct ipv6_ext *ext, size_t left, uint8_t next,
             struct encap_chain *chain)
{
    size_t len = (ext->len + 1) * EXT_UNIT;

    if (len > left) {
        return DROP_BAD_IP;
    }
    if (next == IPPROTO_NR_ROUTING && ext->segments_left) {
        return DROP_EXTENSION;
    }
    chain->ofs += len;
    return DROP_NONE;
}

static enum drop_reason
read_fragment(const struct ipv6_fragment *frag, struct encap_chain *chain)
{
    uint16_t ofs_more = be16_to_host(frag->ofs_more);

    chain->ofs += sizeof *frag;
    chain->fragment_ofs = ofs_more & IPV6_FRAG_OFS;
    chain->more = ofs_more & IPV6_FRAG_MORE;
    chain->fragment = chain->fragment_ofs || chain->more;
    chain->fragment_id = be32_to_host(frag->id);
    return DROP_NONE;
}

/* Whether 'protocol' is a header that may follow another. */
static bool
is_extension(uint8_t protocol)
{
    switch (protocol) {
    case IPPROTO_NR_HOPOPTS:
    case IPPROTO_NR_ROUTING:
    case IPPROTO_NR_FRAGMENT:
    case IPPROTO_NR_DSTOPTS:
    case IPPROTO_NR_AH:
    case IPPROTO_NR_MOBILITY:
    case IPPROTO_NR_HIP:
    case IPPROTO_NR_SHIM6:
        return true;
    default:
        return false;
    }
}

/* Reads the extension header at 'chain->ofs' and goes on to what follows. */
static enum drop_reason
follow_one(const uint8_t *ip, size_t size, bool first,
           struct encap_chain *chain)
{
    const uint8_t *header = ip + chain->ofs;
    uint8_t type = chain->protocol;

    if (size - chain->ofs < EXT_UNIT) {
        return DROP_BAD_IP;
    }
    chain->protocol = header[0];
    switch (type) {
    case IPPROTO_NR_HOPOPTS:
        if (!first) {
            return DROP_EXTENSION;
        }
        /* Fall through. */
    case IPPROTO_NR_ROUTING:
    case IPPROTO_NR_DSTOPTS:
        return skip_options((const struct ipv6_ext *) header,
                            size - chain->ofs, type, chain);
    case IPPROTO_NR_FRAGMENT:
        return read_fragment((const struct ipv6_fragment *) header, chain);
    default:
        return DROP_EXTENSION;
    }
}

enum drop_reason
encap_follow_chain(const uint8_t *ip, size_t size, struct encap_chain *chain)
{
    *chain = (struct encap_chain) {
        .protocol = ((const struct ipv6_hdr *) ip)->next,
        .ofs = sizeof(struct ipv6_hdr),
    };
    for (int i = 0; is_extension(chain->protocol); i++) {
        if (i >= ENCAP_MAX_EXTENSIONS || chain->fragment) {
            return DROP_EXTENSION;
        }
        enum drop_reason reason = follow_one(ip, size, i == 0, chain);
        if (reason) {
            return reason;
        }
    }
    return DROP_NONE;
}

static enum drop_reason
parse_fragment(const struct encap_chain *chain, struct encap_view *view)
{
    enum drop_reason reason
        = encap_check_fragment(chain->fragment_ofs, encap_l4_len(view),
                               chain->more);

    view->fragment_id = chain->fragment_id;
    view->first_fragment = !chain->fragment_ofs;
    return reason;
}

/* Of a later fragment. */
static enum drop_reason
normalise_protocol(struct encap_view *view)
{
    switch (view->protocol) {
    case IPPROTO_NR_ICMPV6:
        view->protocol = IPPROTO_NR_ICMP;
        return DROP_NONE;
    case IPPROTO_NR_TCP:
    case IPPROTO_NR_UDP:
    case IPPROTO_NR_SCTP:
        return DROP_NONE;
    default:
        return DROP_PROTOCOL;
    }
}

static enum drop_reason
parse_payload(const uint8_t *frame, struct encap_view *view)
{
    const uint8_t *ip = frame + view->l3_ofs;
    struct encap_chain chain;
    enum drop_reason reason = encap_follow_chain(ip, view->ip_len, &chain);

    if (reason) {
        return reason;
    }
    view->protocol = chain.protocol;
    view->l4_ofs = view->l3_ofs + chain.ofs;
    if (chain.fragment) {
        reason = parse_fragment(&chain, view);
        if (reason) {
            return reason;
        }
    }
    if (chain.fragment_ofs) {
        view->kind = ENCAP_FRAGMENT;
        return normalise_protocol(view);
    }
    return encap_parse_l4(frame, view);
}

/* An IPv4-mapped address is for use within a host; in a packet it would pass
 * for the IPv4 address. */
static enum drop_reason
check_addresses(const struct ipv6_hdr *ip, const struct encap_view *view)
{
    struct inet_addr src = inet_addr_from_bytes(ip->src);

    if (inet_addr_is4(inet_addr_from_bytes(ip->dst))) {
        return DROP_BAD_IP;
    }
    if (view->kind == ENCAP_ND && !src.hi && !src.lo) {
        return DROP_NONE;       /* Duplicate address detection. */
    }
    return (inet_addr_is_unicast(src) && !inet_addr_is4(src)
            ? DROP_NONE : DROP_BAD_SOURCE);
}

enum drop_reason
encap_parse_ipv6(const uint8_t *frame, size_t size, struct encap_view *view)
{
    const struct ipv6_hdr *ip
        = (const struct ipv6_hdr *) (frame + view->l3_ofs);

    size -= view->l3_ofs;
    if (size < sizeof *ip) {
        return DROP_TRUNCATED;
    }

    uint32_t ver_tc_flow = be32_to_host(ip->ver_tc_flow);
    size_t ip_len = sizeof *ip + be16_to_host(ip->payload_len);
    if (ver_tc_flow >> 28 != 6 || ip_len > UINT16_MAX) {
        return DROP_BAD_IP;
    }
    if (ip_len > size) {
        return DROP_TRUNCATED;
    }
    view->version = 6;
    view->ttl = ip->hop_limit;
    view->tos = ver_tc_flow >> 20;
    view->ip_len = ip_len;
    view->src = inet_addr_from_bytes(ip->src);
    view->dst = inet_addr_from_bytes(ip->dst);

    enum drop_reason reason = parse_payload(frame, view);
    return reason ? reason : check_addresses(ip, view);
}
