/* From an Ethernet frame to what the engine needs to know of it. */

#ifndef ENCAP_PARSE_H
#define ENCAP_PARSE_H 1

#include <stddef.h>
#include <stdint.h>

#include "encap/drop.h"
#include "encap/inet.h"

enum encap_kind {
    ENCAP_IPV4_L4,              /* IPv4 with a whole TCP or UDP header. */
    ENCAP_ARP,                  /* ARP for IPv4 over Ethernet. */
};

/* What a frame says.  Offsets are in bytes from the start of the frame.
 * Addresses and ports are in host byte order.  All members but 'kind' and
 * 'l3_ofs' have a meaning only for ENCAP_IPV4_L4. */
struct encap_view {
    enum encap_kind kind;
    uint16_t l3_ofs;
    uint16_t l4_ofs;
    uint16_t ip_len;            /* IPv4 total length. */
    uint8_t protocol;           /* IPPROTO_NR_TCP or IPPROTO_NR_UDP. */
    uint8_t tcp_flags;          /* 0 for UDP. */
    uint8_t ttl;
    uint8_t tos;
    uint32_t src, dst;
    uint16_t src_port, dst_port;
};

/* Reads the 'size' bytes of 'frame' into '*view'.  At most one 802.1Q tag is
 * skipped.  Frames may be longer than their IP length (Ethernet padding).
 * Returns DROP_NONE, or why the frame cannot be handled (with several reasons,
 * the one that stands first in the frame, addresses last), in which case
 * '*view' is unspecified.  The IPv4 header checksum is verified; the TCP or
 * UDP checksum is not (see encap_complete_csum()).  IPv4 in an Ethernet
 * broadcast or multicast is refused, as a router does (RFC 1812 section
 * 5.3.4).  ARP must be for IPv4 over Ethernet.  Never reads past 'size'. */
enum drop_reason encap_parse(const uint8_t *frame, size_t size,
                             struct encap_view *view);

/* Completes the TCP or UDP checksum of a frame that 'view' was parsed from, if
 * a sender with checksum offload left only the sum over the pseudo header in
 * it (what Linux does for CHECKSUM_PARTIAL) and the packet's bytes do not add
 * up.  'partial' says that it surely is partial (the buffer's metadata says
 * so); without it the state is recognised from the field's value, at the cost
 * of the pseudo header's sum.  A UDP checksum of 0 means that there is none,
 * and stays.  Returns 1 if it wrote the field, else 0. */
int encap_complete_csum(uint8_t *frame, const struct encap_view *view,
                        int partial);

#endif /* encap/parse.h */
