/* From an Ethernet frame to what the engine needs to know of it. */

#ifndef ENCAP_PARSE_H
#define ENCAP_PARSE_H 1

#include <stddef.h>
#include <stdint.h>

#include "encap/drop.h"
#include "encap/inet.h"

enum encap_kind {
    ENCAP_FLOW,                 /* A packet of a flow, its ports known: TCP,
                                 * UDP, SCTP, or an ICMP echo request; whole,
                                 * or a first fragment. */
    ENCAP_FRAGMENT,             /* A later fragment: no ports. */
    ENCAP_ICMP_ERROR,           /* An ICMP or ICMPv6 error about a packet that
                                 * an endpoint sent. */
    ENCAP_ARP,                  /* ARP for IPv4 over Ethernet. */
    ENCAP_ND,                   /* ICMPv6 neighbour solicitation. */
    ENCAP_HINT,                 /* ETHERTYPE_HINT, encap/hint.h. */
};

/* What the transport header says of its connection's life, for TCP and SCTP
 * alike. */
enum {
    ENCAP_OPENS   = 0x01,       /* SYN without ACK; INIT. */
    ENCAP_CLOSES  = 0x02,       /* FIN; SHUTDOWN, SHUTDOWN ACK or COMPLETE. */
    ENCAP_ABORTS  = 0x04,       /* RST; ABORT. */
    ENCAP_ACKS    = 0x08,       /* TCP's ACK; SCTP: COOKIE ECHO or later. */
};

/* What a frame says.  Offsets are in bytes from the start of the frame.
 * Addresses and ports are in host byte order.  All members but 'kind' and
 * 'l3_ofs' have a meaning only for packets of IP.  For ENCAP_ICMP_ERROR
 * 'src', 'src_port', 'dst_port' and 'protocol' are those of packets of the
 * flow that the error is about, on their way to the endpoint, and 'dst' is
 * where the error itself is going, the address that sent the packet quoted. */
struct encap_view {
    uint8_t kind;               /* enum encap_kind. */
    uint8_t version;            /* 4 or 6. */
    uint8_t ttl;                /* Or hop limit. */
    uint8_t protocol;           /* IPPROTO_NR_*; ICMPv6 is IPPROTO_NR_ICMP. */
    uint8_t tos;                /* Or traffic class. */
    uint8_t life;               /* ENCAP_OPENS...; 0 but for TCP and SCTP. */
    uint8_t first_fragment;     /* More fragments follow. */
    uint8_t pad;
    uint16_t l3_ofs;
    uint16_t l4_ofs;            /* Of a later fragment: of its data. */
    uint16_t ip_len;            /* IP packet, header included. */
    uint16_t src_port, dst_port; /* Echo: identifier, 0. */
    uint32_t fragment_id;       /* With 'first_fragment' or ENCAP_FRAGMENT. */
    struct inet_addr src, dst;
};

/* Reads the 'size' bytes of 'frame' into '*view'.  At most one 802.1Q tag and
 * ENCAP_MAX_EXTENSIONS IPv6 extension headers are skipped.  Frames may be
 * longer than their IP length (Ethernet padding).  Returns DROP_NONE, or why
 * the frame cannot be handled (with several reasons, the one that stands first
 * in the frame, addresses last), in which case '*view' is unspecified.  The
 * IPv4 header checksum is verified; transport checksums are not (see
 * encap_complete_csum()), but those of ND are.  IP in an Ethernet broadcast or
 * multicast is refused, as a router does (RFC 1812 section 5.3.4), but for ND.
 * ARP must be for IPv4 over Ethernet.  Never reads past 'size'. */
enum { ENCAP_MAX_EXTENSIONS = 8 };
enum drop_reason encap_parse(const uint8_t *frame, size_t size,
                             struct encap_view *view);

/* The same for the common frame: IPv4 without options, tag or fragmentation,
 * with TCP or UDP, and nothing wrong with it.  False for any other, which
 * encap_parse() then is for; '*view' is then unspecified. */
static inline int encap_parse_common(const uint8_t *frame, size_t size,
                                     struct encap_view *view);

/* Completes the TCP, UDP or ICMPv6 checksum of a frame that 'view' was parsed
 * from (a fragment is left alone), if a sender with checksum offload left only
 * the sum over the pseudo header in it (what Linux does for CHECKSUM_PARTIAL)
 * and the packet's bytes do not add up.  'partial' says that it surely is
 * partial (the buffer's metadata says so); without it the state is recognised
 * from the field's value, at the cost of the pseudo header's sum.  A UDP
 * checksum of 0 over IPv4 means that there is none, and stays.  Of SCTP, whose
 * CRC32c (RFC 9260 appendix A) is offloaded whole, a field of 0 is recognised;
 * where 0 was agreed on (RFC 9653) the right value does no harm.  Returns 1 if
 * it wrote the field, else 0. */
static inline int encap_complete_csum(uint8_t *frame,
                                      const struct encap_view *view,
                                      int partial);

/* The destination connection id of the QUIC packet (RFC 8999) in the UDP
 * packet 'view', of which 'length' bytes at 'offset' are wanted as a
 * big-endian number in '*id'.  'length' is 1...8.  False if the packet is no
 * QUIC packet or its id is not that long. */
int encap_quic_id(const uint8_t *frame, const struct encap_view *view,
                  unsigned int offset, unsigned int length, uint64_t *id);

#include "encap/parse-common.h"
#include "encap/complete-csum.h"

#endif /* encap/parse.h */
