/* What the parts of the parser share: parse.c, parse-ipv6.c, parse-icmp.c. */

#ifndef ENCAP_PARSE_PRIVATE_H
#define ENCAP_PARSE_PRIVATE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/parse.h"

/* Reads the IPv6 packet at 'view->l3_ofs' of a frame of 'size' bytes.
 * (parse-ipv6.c) */
enum drop_reason encap_parse_ipv6(const uint8_t *frame, size_t size,
                                  struct encap_view *view);

/* Where the chain of IPv6 headers ends. */
struct encap_chain {
    uint8_t protocol;           /* What stands at 'ofs'. */
    bool fragment;              /* One of several, of which it is ... */
    bool more;                  /* ... not the last, ... */
    uint16_t fragment_ofs;      /* ... starting with this byte. */
    uint32_t fragment_id;
    size_t ofs;                 /* From the start of the IPv6 header. */
};

/* Follows the extension headers behind the whole IPv6 header at 'ip', of which
 * 'size' bytes are there.  (parse-ipv6.c) */
enum drop_reason encap_follow_chain(const uint8_t *ip, size_t size,
                                    struct encap_chain *chain);

/* Reads the header at 'view->l4_ofs' of 'view->protocol' as it stands in the
 * IP header.  (parse.c) */
enum drop_reason encap_parse_l4(const uint8_t *frame, struct encap_view *view);

/* Whether a fragment of 'len' bytes at 'ofs' can be part of a datagram.
 * (parse.c) */
enum drop_reason encap_check_fragment(size_t ofs, size_t len, bool more);

/* Read ICMP and ICMPv6 at 'view->l4_ofs'.  (parse-icmp.c) */
enum drop_reason encap_parse_icmp(const uint8_t *frame,
                                  struct encap_view *view);
enum drop_reason encap_parse_icmpv6(const uint8_t *frame,
                                    struct encap_view *view);

/* How many bytes there are from 'view->l4_ofs' to the packet's end. */
static inline size_t
encap_l4_len(const struct encap_view *view)
{
    return view->l3_ofs + view->ip_len - view->l4_ofs;
}

#endif /* encap/parse-private.h */
