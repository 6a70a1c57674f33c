/* The ends of a packet's way: to an endpoint, back to the sender, or
 * nowhere. */

#include "anycast/engine-private.h"
#include "anycast/engine-send.h"

#include <string.h>

#include "encap/csum.h"
#include "encap/tunnel.h"

enum {
    ICMP_BURST       = 100,     /* Errors at once, ... */
    ICMP_INTERVAL_MS = 10,      /* ... and then one in this time. */
};

void
engine_drop(struct engine_thread *thread, struct engine_packet *packet,
            enum drop_reason reason)
{
    packet->verdict = ENGINE_DROP;
    packet->reason = reason;
    engine_count(&thread->count.drops[reason], 1);
}

bool
engine_take_token(uint64_t *refill_ms, uint64_t *spent, uint64_t burst,
                  uint64_t interval_ms, uint64_t now_ms)
{
    uint64_t earned = (now_ms - *refill_ms) / interval_ms;

    if (now_ms < *refill_ms || earned >= *spent) {
        *spent = 0;
        *refill_ms = now_ms;
    } else {
        *spent -= earned;
        *refill_ms += earned * interval_ms;
    }
    if (*spent >= burst) {
        return false;
    }
    (*spent)++;
    return true;
}

void
engine_reply_error(const struct engine_run *run, struct engine_packet *packet,
                   enum reply_error error, enum drop_reason reason,
                   uint16_t mtu)
{
    struct engine_thread *thread = run->thread;
    struct mac mac = engine_router_mac(packet->vni);
    size_t size = packet->size;

    if (packet->view.kind != ENCAP_FLOW || packet->arrival) {
        engine_drop(thread, packet, reason);
        return;
    }
    if (packet->headroom < REPLY_HEADROOM) {
        engine_drop(thread, packet, DROP_NO_HEADROOM);
        return;
    }
    if (!engine_take_token(&thread->icmp_refill_ms, &thread->icmp_spent,
                           ICMP_BURST, ICMP_INTERVAL_MS, run->now_ms)) {
        engine_drop(thread, packet, DROP_ICMP_LIMITED);
        return;
    }
    engine_drop(thread, packet, reason);
    packet->data = reply_icmp(packet->data, &size, &packet->view, error, mtu,
                              &mac);
    packet->size = size;
    packet->verdict = ENGINE_REPLY;
    engine_count(&thread->count.icmp_errors, 1);
}

void
engine_reply_reset(const struct engine_run *run, struct engine_packet *packet,
                   enum drop_reason reason)
{
    struct mac mac = engine_router_mac(packet->vni);
    size_t size = packet->size;

    engine_drop(run->thread, packet, reason);
    if (packet->view.kind != ENCAP_FLOW || packet->view.first_fragment
        || packet->view.life & ENCAP_ABORTS) {
        return;
    }
    if (packet->view.protocol == IPPROTO_NR_TCP) {
        reply_reset(packet->data, &size, &packet->view, &mac);
    } else if (packet->view.protocol != IPPROTO_NR_SCTP
               || !reply_abort(packet->data, &size, &packet->view, &mac)) {
        return;
    }
    packet->size = size;
    packet->verdict = ENGINE_REPLY;
    engine_count(&run->thread->count.resets, 1);
}

static inline void
decrement_ttl(uint8_t *frame, const struct encap_view *view)
{
    uint8_t *ip = frame + view->l3_ofs;

    if (LIKELY(view->version == 4)) {
        engine_decrement_ttl4((struct ipv4_hdr *) ip);
    } else {
        ((struct ipv6_hdr *) ip)->hop_limit--;
    }
}

/* Makes the frame one for 'endpoint', on whatever host that is.  The host
 * where a packet comes from is its router; those that it passes in a tunnel
 * only redirect it. */
static inline void
address_frame(const struct engine_run *run, struct engine_packet *packet,
              const struct group_endpoint *endpoint)
{
    struct eth_hdr *eth = (struct eth_hdr *) packet->data;

    if (LIKELY(!packet->arrival)) {
        if (UNLIKELY(encap_complete_csum(packet->data, &packet->view,
                                         packet->partial_csum))) {
            engine_count(&run->thread->count.completed_csums, 1);
        }
        decrement_ttl(packet->data, &packet->view);
    } else {
        /* A bridge that does not steer it any more, or not yet, must not
         * learn that its sender lives here. */
        eth->src = engine_router_mac(packet->vni);
    }
    eth->dst = endpoint->mac;
}

static void
send_local(const struct engine_run *run, struct engine_packet *packet,
           const struct group_endpoint *endpoint)
{
    struct eth_hdr *eth = (struct eth_hdr *) packet->data;

    address_frame(run, packet, endpoint);
    eth->src = engine_router_mac(packet->vni);
    packet->verdict = ENGINE_LOCAL;
    engine_count(&run->thread->count.local, 1);
}

/* Sees to it that the frame fits into 'tunnel'; false if it was answered.  A
 * VLAN tag takes its part of the room.
 *
 * A packet without DF is refused like one with it: we do not fragment, since
 * that costs the endpoint more than the answer costs the sender, which learns
 * from it.  What follows the IP packet is padding; it is cut off if it alone
 * would make the frame too long. */
static inline bool
fit(const struct engine_run *run, struct engine_packet *packet,
    const struct tunnel *tunnel)
{
    uint32_t room = tunnel->inner_mtu + sizeof(struct eth_hdr);
    uint32_t used = packet->view.l3_ofs + packet->view.ip_len;

    if (LIKELY(packet->size <= room)) {
        return true;
    }
    if (used > room) {
        engine_reply_error(run, packet, REPLY_TOO_BIG, DROP_TOO_BIG,
                           room - packet->view.l3_ofs);
        return false;
    }
    packet->size = used;
    return true;
}

/* The inner source address stays the sender's: see docs/architecture.md. */
static inline void
send_remote(const struct engine_run *run, struct engine_packet *packet,
            const struct group_endpoint *endpoint,
            const struct context *context)
{
    const struct anycast_table *table = run->table;
    struct context shorter;
    uint32_t header_len;

    if (UNLIKELY(endpoint->host >= table->n_hosts
                 || table->tunnels[endpoint->host].type == TUNNEL_NONE)) {
        engine_drop(run->thread, packet, DROP_NO_NEXT_HOP);
        return;
    }

    const struct tunnel *tunnel = &table->tunnels[endpoint->host];
    if (!fit(run, packet, tunnel)) {
        return;
    }
    header_len = tunnel->header_len;
    if (UNLIKELY(context->n_previous)) {
        /* Who does not get the previous owners knows them from mapd. */
        if (packet->size + TUNNEL_PREVIOUS_LEN
            > tunnel->inner_mtu + sizeof(struct eth_hdr)) {
            shorter = *context;
            if (shorter.n_previous > 1) {
                shorter.flags &= ~CONTEXT_CLAIMED;
            }
            shorter.n_previous = 0;
            context = &shorter;
        } else if (tunnel->type == TUNNEL_GENEVE) {
            header_len += TUNNEL_PREVIOUS_LEN;
        }
    }
    if (UNLIKELY(packet->headroom < header_len)) {
        engine_drop(run->thread, packet, DROP_NO_HEADROOM);
        return;
    }
    address_frame(run, packet, endpoint);
    packet->data = tunnel_push(tunnel, packet->data, packet->size, packet->vni,
                               packet->hash >> 32, packet->view.tos, context);
    packet->size += header_len;
    engine_count(&run->thread->count.underlay, 1);
}

void
engine_send(const struct engine_run *run, struct engine_packet *packet,
            const struct group_endpoint *endpoint,
            const struct context *context)
{
    if (endpoint->local) {
        send_local(run, packet, endpoint);
    } else {
        send_remote(run, packet, endpoint, context);
    }
}

struct mac
engine_router_mac(uint32_t vni)
{
    return (struct mac) {
        .octet = { 0x0a, 0x67, 0x72, vni >> 16, vni >> 8, vni },
    };
}
