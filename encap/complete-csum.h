/* The part of encap_complete_csum() that nearly all packets need no more than.
 * Included by encap/parse.h. */

#ifndef ENCAP_COMPLETE_CSUM_H
#define ENCAP_COMPLETE_CSUM_H 1

#ifndef ENCAP_PARSE_H
#error "include encap/parse.h"
#endif

/* For packets that may have something to complete, and all that are not TCP or
 * UDP over IPv4. */
int encap_complete_csum_any(uint8_t *frame, const struct encap_view *view,
                            int partial);

/* Whether the 16 bits at 'field' may be the sum over the pseudo header: their
 * difference is 0 in one's complement, a multiple of 65535.  'addresses' are
 * both, as they lie in memory, and 'rest' what the pseudo header has beside
 * them. */
static inline int
encap_may_be_partial(uint64_t addresses, uint32_t rest, const uint8_t *field)
{
    rest += UINT16_MAX - encap_load16(field);
    return encap_add(addresses, rest) % UINT16_MAX == 0;
}

/* Whether the transport checksum of a TCP ('protocol') or UDP packet over IPv4
 * may be the sum over the pseudo header.  'l4_len' is for TCP. */
static inline int
encap_may_be_partial4(uint64_t addresses, uint8_t protocol, const uint8_t *l4,
                      uint16_t l4_len)
{
    if (ENCAP_LIKELY(protocol == IPPROTO_NR_TCP)) {
        return encap_may_be_partial(
            addresses, host_to_be16(IPPROTO_NR_TCP) + host_to_be16(l4_len),
            l4 + offsetof(struct tcp_hdr, csum));
    }

    const uint8_t *field = l4 + offsetof(struct udp_hdr, csum);
    be16 len = encap_load16(l4 + offsetof(struct udp_hdr, len));
    return (encap_load16(field)
            && encap_may_be_partial(addresses,
                                    host_to_be16(IPPROTO_NR_UDP) + len,
                                    field));
}

static inline int
encap_complete_csum(uint8_t *frame, const struct encap_view *view,
                    int partial)
{
    const uint8_t *ip = frame + view->l3_ofs;
    const uint8_t *l4 = frame + view->l4_ofs;

    if (ENCAP_LIKELY(view->version == 4 && view->kind == ENCAP_FLOW
                     && !partial
                     && (view->protocol == IPPROTO_NR_TCP
                         || view->protocol == IPPROTO_NR_UDP))
        && ENCAP_LIKELY(!encap_may_be_partial4(
               encap_load64(ip + offsetof(struct ipv4_hdr, src)),
               view->protocol, l4, view->ip_len - (l4 - ip)))) {
        return 0;
    }
    return encap_complete_csum_any(frame, view, partial);
}

#endif /* encap/complete-csum.h */
