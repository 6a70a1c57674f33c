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

/* The tunnel to 'endpoint' for a packet that is still 'plain', if that is on
 * another host, reached by Geneve over IPv4, and the packet fits.  Else NULL;
 * engine_send() will do. */
static inline const struct tunnel *
engine_plain_tunnel(const struct engine_run *run,
                    const struct engine_packet *packet,
                    const struct group_endpoint *endpoint)
{
    const struct anycast_table *table = run->table;

    if (UNLIKELY(endpoint->local || endpoint->host >= table->n_hosts)) {
        return NULL;
    }

    const struct tunnel *tunnel = &table->tunnels[endpoint->host];
    return (UNLIKELY(!tunnel->is_geneve4
                     || packet->size > (tunnel->inner_mtu
                                        + sizeof(struct eth_hdr))
                     || packet->headroom < sizeof(struct tunnel_geneve4))
            ? NULL : tunnel);
}

/* Sends a plain packet through what engine_plain_tunnel() has found.  'geneve'
 * is one of its group's headers. */
static inline void
engine_push_plain(struct engine_packet *packet,
                  const struct group_endpoint *endpoint,
                  const struct tunnel *tunnel,
                  const struct tunnel_geneve *geneve)
{
    uint8_t *frame = packet->data;
    uint32_t size = packet->size;
    struct ipv4_hdr *ip = (struct ipv4_hdr *) (frame + ENCAP_COMMON_L3);

    packet->data = tunnel_push_made(tunnel, frame, size, packet->hash >> 32,
                                    ip->tos, geneve);
    packet->size = size + sizeof(struct tunnel_geneve4);
    engine_decrement_ttl4(ip);
    ((struct eth_hdr *) frame)->dst = endpoint->mac;
}

/* Sends a plain packet in mid-flow to 'endpoint', if that is simple.  Else
 * returns false, and has done nothing. */
static inline bool
engine_send_plain(const struct engine_run *run, struct engine_packet *packet,
                  const struct group_endpoint *endpoint)
{
    const struct tunnel *tunnel = engine_plain_tunnel(run, packet, endpoint);

    if (UNLIKELY(!tunnel)) {
        return false;
    }
    engine_push_plain(packet, endpoint, tunnel, &packet->group->geneve);
    return true;
}

#endif /* anycast/engine-send.h */
