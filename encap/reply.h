/* Frames that answer the sender of a frame: ARP replies, neighbour
 * advertisements, ICMP errors, TCP resets and SCTP aborts, built in the buffer
 * of the frame that they answer.  All are addressed to the frame's source MAC and come from
 * 'mac'.  A VLAN tag is kept. */

#ifndef ENCAP_REPLY_H
#define ENCAP_REPLY_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/drop.h"
#include "encap/inet.h"
#include "encap/parse.h"

enum { REPLY_HEADROOM = 48 };   /* Room before the frame that is needed. */

enum reply_error {
    REPLY_TOO_BIG,              /* Fragmentation needed; packet too big. */
    REPLY_TIME_EXCEEDED,
    REPLY_UNREACHABLE,          /* Host; for IPv6 address unreachable. */
};

/* Turns the ARP request at 'frame' (parsed as 'view', a whole struct arp_hdr
 * at 'view->l3_ofs') into the reply that 'mac' has the address asked for, in
 * place.  Returns DROP_NONE, or DROP_ARP_IGNORED, with the frame untouched,
 * for what must not be answered: replies, probes (sender address 0, RFC 5227),
 * announcements (sender address = target address), and senders that are not
 * unicast.  The frame's length does not change. */
enum drop_reason reply_arp(uint8_t *frame, const struct encap_view *view,
                           const struct mac *mac);

/* The address that the ARP or ND frame asks about. */
struct inet_addr reply_target(const uint8_t *frame,
                              const struct encap_view *view);

/* Makes of the neighbour solicitation of '*size' bytes at 'frame' the
 * advertisement that 'mac' has the target (RFC 4861 section 7.2.4: solicited,
 * override, router flag clear, target link-layer address option), and stores
 * its length in '*size'.  Returns DROP_NONE; or, with the frame untouched,
 * DROP_ND_IGNORED for what must not be answered: duplicate address detection
 * (source unspecified) and who asks for its own address; or DROP_NO_HEADROOM.
 * 'room' is the size of the buffer from 'frame' on: the advertisement may be 8
 * bytes longer than a solicitation without option. */
enum drop_reason reply_nd(uint8_t *frame, size_t *size, size_t room,
                          const struct encap_view *view,
                          const struct mac *mac);

/* Makes of the IP packet of '*size' bytes at 'frame' (parsed as 'view') the
 * ICMP or ICMPv6 error about it (RFC 792, RFC 1812 section 4.3.2; RFC 4443),
 * from the address that it was sent to, to its sender.  It quotes as much of
 * the packet as fits in 576 bytes (IPv4) or 1280 (IPv6).  'mtu' is the
 * next-hop MTU for REPLY_TOO_BIG.  Needs REPLY_HEADROOM bytes before the
 * frame.  Returns the start of the answer, stores its length in '*size'. */
uint8_t *reply_icmp(uint8_t *frame, size_t *size,
                    const struct encap_view *view, enum reply_error error,
                    uint16_t mtu, const struct mac *mac);

/* Makes of the TCP segment of '*size' bytes at 'frame' (whole, not a reset)
 * the reset that answers it (RFC 9293 section 3.5.2: sequence number from its
 * acknowledgement, or else 0 and acknowledging it), in place, at 'frame'.
 * Stores its length in '*size'. */
void reply_reset(uint8_t *frame, size_t *size, const struct encap_view *view,
                 const struct mac *mac);

/* Makes of the SCTP packet of '*size' bytes at 'frame' (whole) the ABORT that
 * answers it, or the SHUTDOWN COMPLETE (RFC 9260 section 8.4, rules 5 and 8),
 * with its own verification tag and the T bit (section 8.5.1), in place, at
 * 'frame'.  Stores its length in '*size'.  False, with the frame untouched, if
 * its first chunk must not be answered, or is an INIT. */
bool reply_abort(uint8_t *frame, size_t *size, const struct encap_view *view,
                 const struct mac *mac);

#endif /* encap/reply.h */
