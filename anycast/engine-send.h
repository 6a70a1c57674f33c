/* The ends of a packet's way that nearly all packets take, inlined where they
 * are forwarded; the others are in engine-send.c.  Not for others than the
 * engine. */

#ifndef ANYCAST_ENGINE_SEND_H
#define ANYCAST_ENGINE_SEND_H 1

#include "anycast/engine-private.h"
#include "encap/csum.h"
#include "encap/tunnel.h"

/* What a router does to an IPv4 packet that it forwards (RFC 1812 section
 * 5.3.1): takes 1 from the TTL, and so adds 1 to the checksum in the same
 * byte (RFC 1141). */
static inline void
engine_decrement_ttl4(struct ipv4_hdr *ip)
{
    uint32_t csum = ip->csum + host_to_be16(0x0100);

    ip->ttl--;
    ip->csum = csum + (csum >= UINT16_MAX);
}

/* Sends a packet that is still 'plain' to 'endpoint', if that is on another
 * host, reached by Geneve over IPv4, and the packet fits.  Else returns false,
 * and has done nothing; engine_send() will do. */
static inline bool
engine_send_plain(const struct engine_run *run, struct engine_packet *packet,
                  const struct group_endpoint *endpoint)
{
    const struct anycast_table *table = run->table;
    uint8_t *frame = packet->data;
    uint32_t size = packet->size;

    if (UNLIKELY(endpoint->local || endpoint->host >= table->n_hosts)) {
        return false;
    }

    const struct tunnel *tunnel = &table->tunnels[endpoint->host];
    if (UNLIKELY(!tunnel->is_geneve4
                 || size > tunnel->inner_mtu + sizeof(struct eth_hdr)
                 || packet->headroom < sizeof(struct tunnel_geneve4))) {
        return false;
    }

    struct ipv4_hdr *ip = (struct ipv4_hdr *) (frame + ENCAP_COMMON_L3);
    packet->data = tunnel_push_made(tunnel, frame, size, packet->hash >> 32,
                                    ip->tos, &packet->group->geneve);
    packet->size = size + sizeof(struct tunnel_geneve4);
    engine_decrement_ttl4(ip);
    ((struct eth_hdr *) frame)->dst = endpoint->mac;
    return true;
}

#endif /* anycast/engine-send.h */
