/* A TCP segment that makes its receiver say where its connection is: a bare
 * ACK from far outside its window, which it must answer with an ACK of its own
 * (RFC 9293 section 3.10.7.4, first step).  For clients that only wait, and
 * would wait in vain. */

#ifndef ENCAP_PROVOKE_H
#define ENCAP_PROVOKE_H 1

#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

enum { PROVOKE_MAX_LEN = 74 };  /* Ethernet, IPv6, TCP. */

/* The segment from src:src_port to dst:dst_port, both of one IP version, in a
 * frame from 'src_mac' to 'dst_mac', at 'frame'.  'seq' is its sequence number
 * and acknowledgement, any that are unlikely to be near the connection's.
 * Returns its length. */
size_t provoke_write(uint8_t frame[PROVOKE_MAX_LEN],
                     const struct mac *dst_mac, const struct mac *src_mac,
                     struct inet_addr src, uint16_t src_port,
                     struct inet_addr dst, uint16_t dst_port, uint32_t seq);

#endif /* encap/provoke.h */
