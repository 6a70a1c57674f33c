/* Frames that answer the sender of a frame: ARP replies and ICMP errors, built
 * in the buffer of the frame that they answer. */

#ifndef ENCAP_REPLY_H
#define ENCAP_REPLY_H 1

#include <stddef.h>
#include <stdint.h>

#include "encap/drop.h"
#include "encap/inet.h"
#include "encap/parse.h"

enum { REPLY_HEADROOM = 28 };   /* Room before the frame that is needed. */

/* Turns the ARP request at 'frame' (parsed as 'view', a whole struct arp_hdr
 * at 'view->l3_ofs') into the reply that 'mac' has the address asked for, in
 * place.  A VLAN tag is kept.  Returns DROP_NONE, or DROP_ARP_IGNORED, with
 * the frame untouched, for what must not be answered: replies, probes (sender
 * address 0, RFC 5227), announcements (sender address = target address), and
 * senders that are not unicast.  The frame's length does not change. */
enum drop_reason reply_arp(uint8_t *frame, const struct encap_view *view,
                           const struct mac *mac);

/* The address that the ARP frame asks about (tpa), in host byte order. */
uint32_t reply_arp_target(const uint8_t *frame, const struct encap_view *view);

/* Makes of the IPv4 frame of '*size' bytes at 'frame' (parsed as 'view') the
 * ICMP error 'error' about it (RFC 792, RFC 1812 section 4.3.2), from the
 * address that it was sent to and from 'mac', to its sender.  It quotes as
 * much of the packet as fits in 576 bytes.  A VLAN tag is kept.  'mtu' is the
 * next-hop MTU for ICMP_FRAG_NEEDED.  Needs REPLY_HEADROOM bytes before the
 * frame.  Returns the start of the answer, stores its length in '*size'. */
uint8_t *reply_icmp(uint8_t *frame, size_t *size,
                    const struct encap_view *view, enum icmp_error error,
                    uint16_t mtu, const struct mac *mac);

#endif /* encap/reply.h */
