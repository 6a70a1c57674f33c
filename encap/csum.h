/* The Internet checksum (RFC 1071) and its incremental update (RFC 1624). */

#ifndef ENCAP_CSUM_H
#define ENCAP_CSUM_H 1

#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

/* Adds the 'size' bytes at 'data' to the partial sum 'sum'.  Only the last
 * call of a chain may have an odd 'size'.  The sum is over 16-bit words as
 * they lie in memory, so folding it gives a value in network byte order.
 * The result is below 2**17: thousands of such words may simply be added. */
uint32_t csum_add(uint32_t sum, const void *data, size_t size);

/* The sum over the TCP or UDP pseudo header of 'ip' with 'l4_len' bytes. */
static inline uint32_t
csum_pseudo4(const struct ipv4_hdr *ip, uint16_t l4_len)
{
    return (ip->src & UINT16_MAX) + (ip->src >> 16)
           + (ip->dst & UINT16_MAX) + (ip->dst >> 16)
           + host_to_be16(ip->protocol) + host_to_be16(l4_len);
}

/* The same of IPv6 (RFC 8200 section 8.1), between 'ip''s addresses. */
static inline uint32_t
csum_pseudo6(const struct ipv6_hdr *ip, uint8_t protocol, uint16_t l4_len)
{
    return csum_add(host_to_be16(protocol) + host_to_be16(l4_len),
                    ip->src, sizeof ip->src + sizeof ip->dst);
}

/* Folds a partial sum into the one's complement sum, not inverted. */
static inline be16
csum_fold(uint32_t sum)
{
    /* Both halves become their sum; the upper one, with the lower one's
     * carry. */
    return (sum + (sum << 16 | sum >> 16)) >> 16;
}

/* The checksum 'csum' after a 16-bit word that it covers has changed from
 * 'old' to 'new' (RFC 1624, eqn. 3). */
static inline be16
csum_update16(be16 csum, be16 old, be16 new)
{
    return ~csum_fold((uint32_t) (uint16_t) ~csum
                      + (uint16_t) ~old + new);
}

#endif /* encap/csum.h */
