/* Encapsulation by a prebuilt header: everything that is the same for all
 * packets to one host is computed once, and a packet pays for one copy and a
 * few patches.
 *
 *     struct tunnel_spec spec = { .type = TUNNEL_GENEVE, ... };
 *     struct tunnel tunnel;
 *     tunnel_init(&tunnel, &spec);
 *     ...
 *     frame = tunnel_push(&tunnel, frame, size, vni, entropy, tos, &context);
 *
 * A struct tunnel is plain data, constant after tunnel_init(), and may be
 * copied and read by any thread. */

#ifndef ENCAP_TUNNEL_H
#define ENCAP_TUNNEL_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/context.h"
#include "encap/inet.h"

enum tunnel_type {
    TUNNEL_NONE,                /* No next hop: nothing can be sent. */
    TUNNEL_GENEVE,              /* RFC 8926, with the context option. */
    TUNNEL_VXLAN,               /* RFC 7348. */
};

enum {
    GENEVE_UDP_PORT = 6081,
    VXLAN_UDP_PORT  = 4789,
    TUNNEL_MAX_OVERHEAD = 96,   /* Headroom that tunnel_push() may need. */
    TUNNEL_PREVIOUS_LEN = 12,   /* The option for previous owners. */
    VNI_MAX = 0xffffff,
};

/* What a tunnel to one host needs.  Addresses in host byte order. */
struct tunnel_spec {
    enum tunnel_type type;
    struct mac src_mac, dst_mac; /* Outer: ours, and the next hop's. */
    struct inet_addr src_ip, dst_ip; /* Both IPv4, or both IPv6. */
    uint8_t ttl;                /* Outer TTL, usually 64. */
    uint16_t mtu;               /* Of the underlay: largest outer IP packet. */
};

/* What a packet over Geneve and IPv4 needs is in the first 64 bytes. */
struct tunnel {
    uint8_t type;               /* enum tunnel_type. */
    uint8_t version;            /* Of the outer IP: 4 or 6. */
    uint8_t is_geneve4;         /* Geneve over IPv4: the short path. */
    uint8_t header_len;         /* Over IPv4 62 for Geneve, 50 for VXLAN; 20
                                 * more over IPv6. */
    uint16_t inner_mtu;         /* Largest IP packet that fits, in a frame
                                 * without a VLAN tag; 4 less with one.
                                 * Without the option for previous owners. */
    uint32_t csum;              /* Partial sum of the outer IPv4 header. */
    uint8_t header[TUNNEL_MAX_OVERHEAD] /* Outer Ethernet ... options. */
        __attribute__((aligned(16)));
} __attribute__((aligned(64)));

/* Builds '*tunnel'.  An outer MTU that leaves no room for an inner packet of
 * 68 bytes (RFC 791), or addresses of two families, make it TUNNEL_NONE. */
void tunnel_init(struct tunnel *tunnel, const struct tunnel_spec *spec);

/* Prepends the outer headers to the inner Ethernet frame of 'size' bytes at
 * 'frame', which must have at least 'tunnel->header_len' bytes of room before
 * it (TUNNEL_MAX_OVERHEAD are always enough).  'vni' is 1...VNI_MAX.  The low
 * 14 bits of 'entropy' make the outer source port (49152...65535), the low 20
 * bits the IPv6 flow label (RFC 6438).  Of 'inner_tos' the ECN bits are copied
 * outside (RFC 6040 normal mode).  'context' is ignored for VXLAN; with
 * 'n_previous' Geneve's header is TUNNEL_PREVIOUS_LEN bytes longer.  The UDP
 * checksum is 0, as RFC 8926 section 4.3, RFC 7348 and, over IPv6, RFC 6935
 * permit; over IPv4 DF is set.
 * Returns the start of the outer frame; its length is 'size' plus the bytes
 * before 'frame'.  The caller has checked 'inner_mtu' and headroom; 'type'
 * must not be TUNNEL_NONE. */
static inline uint8_t *tunnel_push(const struct tunnel *tunnel,
                                   uint8_t *frame, size_t size, uint32_t vni,
                                   uint32_t entropy, uint8_t inner_tos,
                                   const struct context *context);

#include "encap/tunnel-push.h"

#endif /* encap/tunnel.h */
