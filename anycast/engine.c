/* Two passes over the batch.  The first finds out what each packet is and
 * starts fetching the cache line that its flow must be on; by the time that
 * the second one comes to the packet, the line is there.  In between, a
 * packet's verdict is ENGINE_UNDERLAY as long as nothing is known against
 * it. */

#include "anycast/engine.h"

#include <string.h>

#include "encap/csum.h"
#include "encap/reply.h"

#define LIKELY(X)   __builtin_expect(!!(X), 1)
#define UNLIKELY(X) __builtin_expect(!!(X), 0)

enum {
    ICMP_BURST       = 100,     /* Errors at once, ... */
    ICMP_INTERVAL_MS = 10,      /* ... and then one in this time. */
    PREFETCH_AHEAD   = 4,       /* Packets. */
};

/* What is the same for all packets of a batch. */
struct run {
    const struct anycast_table *table;
    struct flow_table *flows;
    struct engine_thread *thread;
    uint64_t now_ms;
    uint32_t now_s;
};

/* Which endpoint a flow gets, and on what grounds. */
struct choice {
    struct flow_ref ref;        /* If 'tracked'. */
    bool tracked;               /* The flow has an entry. */
    bool kept;                  /* 'endpoint' is that of the entry. */
    bool lost;                  /* The entry's endpoint serves no more. */
    uint16_t endpoint;          /* Or GROUP_NO_ENDPOINT. */
};

static void
drop(struct engine_thread *thread, struct engine_packet *packet,
     enum drop_reason reason)
{
    packet->verdict = ENGINE_DROP;
    packet->reason = reason;
    engine_count(&thread->drops[reason], 1);
}

/* Takes a token for an ICMP error from the bucket, if there is one. */
static bool
may_send_icmp(struct engine_thread *thread, uint64_t now_ms)
{
    uint64_t earned = (now_ms - thread->icmp_refill_ms) / ICMP_INTERVAL_MS;

    if (now_ms < thread->icmp_refill_ms || earned >= thread->icmp_spent) {
        thread->icmp_spent = 0;
        thread->icmp_refill_ms = now_ms;
    } else {
        thread->icmp_spent -= earned;
        thread->icmp_refill_ms += earned * ICMP_INTERVAL_MS;
    }
    if (thread->icmp_spent >= ICMP_BURST) {
        return false;
    }
    thread->icmp_spent++;
    return true;
}

/* Answers 'packet' with 'error'.  The parser has seen to RFC 1812 section
 * 4.3.2.7: it lets no ICMP, no fragment but whole packets, no link-layer
 * broadcast and no source that is not a single host come here, and the
 * destination is a group's, so unicast. */
static void
reply_error(const struct run *run, struct engine_packet *packet,
            enum icmp_error error, enum drop_reason reason, uint16_t mtu)
{
    struct mac mac = engine_router_mac(packet->vni);
    size_t size = packet->size;

    if (packet->headroom < REPLY_HEADROOM) {
        drop(run->thread, packet, DROP_NO_HEADROOM);
        return;
    }
    if (!may_send_icmp(run->thread, run->now_ms)) {
        drop(run->thread, packet, DROP_ICMP_LIMITED);
        return;
    }
    drop(run->thread, packet, reason);
    packet->data = reply_icmp(packet->data, &size, &packet->view, error, mtu,
                              &mac);
    packet->size = size;
    packet->verdict = ENGINE_REPLY;
    engine_count(&run->thread->icmp_errors, 1);
}

static void
handle_arp(const struct run *run, struct engine_packet *packet)
{
    struct mac mac = engine_router_mac(packet->vni);
    uint32_t target = reply_arp_target(packet->data, &packet->view);
    enum drop_reason reason = DROP_ARP_IGNORED;

    /* What came out of a tunnel was asked, and answered, on another host. */
    if (!packet->from_tunnel
        && anycast_table_has_address4(run->table, packet->vni, target)) {
        reason = reply_arp(packet->data, &packet->view, &mac);
    }
    if (reason) {
        drop(run->thread, packet, reason);
        return;
    }
    packet->verdict = ENGINE_REPLY;
    packet->reason = DROP_NONE;
    engine_count(&run->thread->arp_replies, 1);
}

/* Why 'packet' is not for us to look into, or DROP_NONE. */
static inline enum drop_reason
refuse(const struct run *run, const struct engine_packet *packet)
{
    if (UNLIKELY(!packet->vni)) {
        return DROP_NO_VNI;
    }
    return LIKELY(run->table) ? DROP_NONE : DROP_NO_TABLE;
}

/* Why an IPv4 packet, to 'packet->group' if that is not NULL, is not for us to
 * send on, or DROP_NONE. */
static inline enum drop_reason
refuse_for_group(const struct run *run, const struct engine_packet *packet)
{
    if (UNLIKELY(!packet->group)) {
        return (anycast_table_has_address4(run->table, packet->vni,
                                           packet->view.dst)
                ? DROP_NO_GROUP : DROP_NOT_ANYCAST);
    }
    if (UNLIKELY(packet->from_tunnel)) {
        return DROP_LOOPED;
    }
    return UNLIKELY(packet->tso) ? DROP_TSO : DROP_NONE;
}

/* The key and hash of the flow from src:src_port to 'dst_port' of 'group'.
 * A source with affinity has one entry for all its connections. */
static inline uint64_t
make_key(const struct anycast_table *table, const struct group *group,
         uint32_t src, uint16_t src_port, uint16_t dst_port,
         struct flow_key4 *key)
{
    uint32_t ports = (uint32_t) src_port << 16 | dst_port;

    if (group->affinity == AFFINITY_SOURCE) {
        ports = 0;
    }
    key->src = src;
    key->src_port = ports >> 16;
    key->dst_port = ports;
    key->group = group->id;
    return flow_hash4(&table->key, group->seed, flow_key4_word(key));
}

/* First pass: everything up to the address of the flow's bucket. */
static inline void
classify(const struct run *run, struct engine_packet *packet)
{
    struct encap_view *view = &packet->view;
    enum drop_reason reason = refuse(run, packet);

    packet->verdict = ENGINE_UNDERLAY;
    packet->reason = DROP_NONE;
    if (LIKELY(!reason)) {
        reason = encap_parse(packet->data, packet->size, view);
    }
    if (UNLIKELY(reason)) {
        drop(run->thread, packet, reason);
        return;
    }
    if (UNLIKELY(view->kind == ENCAP_ARP)) {
        handle_arp(run, packet);
        return;
    }
    packet->group = anycast_table_lookup4(run->table, packet->vni, view->dst,
                                  view->protocol, view->dst_port);
    reason = refuse_for_group(run, packet);
    if (UNLIKELY(reason)) {
        drop(run->thread, packet, reason);
        return;
    }
    if (UNLIKELY(view->ttl <= 1)) {
        reply_error(run, packet, ICMP_TIME_EXCEEDED, DROP_TTL, 0);
        return;
    }
    packet->hash = make_key(run->table, packet->group, view->src,
                            view->src_port, view->dst_port, &packet->key);
    flow_table_prefetch(run->flows, packet->hash);
}

/* The state of the flow of a packet: of one that had 'old' (FLOW_FREE for none
 * so far), after a packet with 'flags'.
 *
 * One entry stands for all the connections of a source with affinity.  The end
 * of one says nothing about the others, so such an entry never closes, and
 * lives for as long as the idlest connection may: 2 h 4 min after the last
 * packet.  It is half open, and so the first to make room, until some
 * connection of it gets past its SYN; a spoofed source never does. */
static inline enum flow_state
next_state(enum flow_state old, uint8_t protocol, uint8_t flags,
           uint8_t affinity)
{
    bool ends = flags & (TCP_FIN_FLAG | TCP_RST_FLAG);
    bool syn = flags & TCP_SYN_FLAG;

    if (protocol == IPPROTO_NR_UDP) {
        return FLOW_UDP;
    }
    if (affinity == AFFINITY_SOURCE) {
        syn |= flags & TCP_RST_FLAG;
    } else if (ends || old == FLOW_CLOSING) {
        return FLOW_CLOSING;
    }
    if (old == FLOW_ESTABLISHED) {
        return FLOW_ESTABLISHED;
    }
    /* What is in mid-flow without an entry was established elsewhere, or
     * before its entry had to go. */
    return syn ? FLOW_NEW : FLOW_ESTABLISHED;
}

static inline bool
is_first_syn(uint8_t flags)
{
    return (flags & (TCP_SYN_FLAG | TCP_ACK_FLAG)) == TCP_SYN_FLAG;
}

/* Whether flows may stay on the endpoint with this index. */
static inline bool
keeps_flows(const struct group *group, uint16_t endpoint)
{
    if (endpoint >= group->n_endpoints) {
        return false;
    }
    uint8_t state = group->endpoints[endpoint].state;
    return state == ENDPOINT_UP || state == ENDPOINT_DRAINING;
}

/* The owner of the slot of 'hash', if it takes new flows. */
static uint16_t
slot_choice(const struct group *group, uint64_t hash)
{
    uint16_t owner = group->slots[group_slot(group, hash)];

    return (owner != GROUP_NO_ENDPOINT
            && group->endpoints[owner].state == ENDPOINT_UP
            ? owner : GROUP_NO_ENDPOINT);
}

/* Decides without doing anything, for packets and for explanations alike. */
static inline void
choose(const struct flow_table *flows, const struct group *group,
       const struct flow_key4 *key, uint64_t hash, uint32_t now_s,
       uint8_t tcp_flags, struct choice *choice)
{
    choice->tracked = flow_table_lookup(flows, hash, key, now_s, &choice->ref);
    choice->kept = choice->lost = false;
    if (LIKELY(choice->tracked)) {
        bool reused = choice->ref.state == FLOW_CLOSING
                      && is_first_syn(tcp_flags);

        if (LIKELY(!reused)) {
            choice->kept = keeps_flows(group, choice->ref.endpoint);
            choice->lost = !choice->kept;
        }
    }
    choice->endpoint = LIKELY(choice->kept) ? choice->ref.endpoint
                                            : slot_choice(group, hash);
}

/* Enters a choice that has just been made into the flow table. */
static void
store_choice(const struct run *run, const struct engine_packet *packet,
             const struct choice *choice)
{
    const struct encap_view *view = &packet->view;
    enum flow_state old = choice->lost ? choice->ref.state : FLOW_FREE;
    enum flow_state state = next_state(old, view->protocol, view->tcp_flags,
                                       packet->group->affinity);

    engine_count(&run->thread->new_flows, 1);
    if (choice->lost) {
        engine_count(&run->thread->repicked, 1);
    }
    if (!flow_table_insert(run->flows, packet->hash, &packet->key,
                           choice->endpoint, run->now_s, state)) {
        engine_count(&run->thread->untracked, 1);
    }
}

/* What a router does to a packet that it forwards (RFC 1812 section 5.3.1).
 * TTL and protocol are read and written together, as the word that the
 * checksum covers: a byte written and then read as part of a word stalls the
 * CPU. */
static inline void
decrement_ttl(uint8_t *frame, const struct encap_view *view)
{
    struct ipv4_hdr *ip = (struct ipv4_hdr *) (frame + view->l3_ofs);
    be16 old, new;

    memcpy(&old, &ip->ttl, sizeof old);
    new = host_to_be16(be16_to_host(old) - 0x0100);
    memcpy(&ip->ttl, &new, sizeof new);
    ip->csum = csum_update16(ip->csum, old, new);
}

/* Makes the frame one for 'endpoint', on whatever host that is. */
static inline void
address_frame(const struct run *run, struct engine_packet *packet,
              const struct group_endpoint *endpoint)
{
    struct eth_hdr *eth = (struct eth_hdr *) packet->data;

    if (UNLIKELY(encap_complete_csum(packet->data, &packet->view,
                                     packet->partial_csum))) {
        engine_count(&run->thread->completed_csums, 1);
    }
    decrement_ttl(packet->data, &packet->view);
    eth->dst = endpoint->mac;
}

static void
send_local(const struct run *run, struct engine_packet *packet,
           const struct group_endpoint *endpoint)
{
    struct eth_hdr *eth = (struct eth_hdr *) packet->data;

    address_frame(run, packet, endpoint);
    eth->src = engine_router_mac(packet->vni);
    packet->verdict = ENGINE_LOCAL;
    engine_count(&run->thread->local, 1);
}

/* Sees to it that the frame fits into 'tunnel'; false if it was answered.  A
 * VLAN tag takes its part of the room.
 *
 * A packet without DF is refused like one with it: this version does not
 * fragment, since a fragment has no ports to find its flow by, and the
 * answer at least lets the sender find out.  What follows the IP packet
 * is padding; it is cut off if it alone would make the frame too long. */
static inline bool
fit(const struct run *run, struct engine_packet *packet,
    const struct tunnel *tunnel)
{
    uint32_t room = tunnel->inner_mtu + sizeof(struct eth_hdr);
    uint32_t used = packet->view.l3_ofs + packet->view.ip_len;

    if (LIKELY(packet->size <= room)) {
        return true;
    }
    if (used > room) {
        reply_error(run, packet, ICMP_FRAG_NEEDED, DROP_TOO_BIG,
                    room - packet->view.l3_ofs);
        return false;
    }
    packet->size = used;
    return true;
}

/* The endpoint's switch learns from the context who decided, and on which
 * state of the group.  The inner source address stays the sender's: see
 * docs/architecture.md. */
static inline void
send_remote(const struct run *run, struct engine_packet *packet,
            const struct group_endpoint *endpoint, bool is_new)
{
    const struct tunnel *tunnel = &run->table->tunnels[endpoint->host];
    struct context context = {
        .group = packet->group->id,
        .epoch = packet->group->epoch,
        .flags = is_new ? CONTEXT_NEW_FLOW : 0,
    };

    if (UNLIKELY(endpoint->host >= run->table->n_hosts
                 || tunnel->type == TUNNEL_NONE)) {
        drop(run->thread, packet, DROP_NO_NEXT_HOP);
        return;
    }
    if (!fit(run, packet, tunnel)) {
        return;
    }
    if (UNLIKELY(packet->headroom < tunnel->header_len)) {
        drop(run->thread, packet, DROP_NO_HEADROOM);
        return;
    }
    address_frame(run, packet, endpoint);
    packet->data = tunnel_push(tunnel, packet->data, packet->size, packet->vni,
                               packet->hash >> 32, packet->view.tos, &context);
    packet->size += tunnel->header_len;
    engine_count(&run->thread->underlay, 1);
}

/* Second pass: the flow's endpoint, and the frame for it. */
static inline void
forward(const struct run *run, struct engine_packet *packet)
{
    const struct encap_view *view = &packet->view;
    const struct group *group = packet->group;
    struct choice choice;

    choose(run->flows, group, &packet->key, packet->hash, run->now_s,
           view->tcp_flags, &choice);
    if (UNLIKELY(choice.endpoint == GROUP_NO_ENDPOINT)) {
        drop(run->thread, packet, DROP_NO_ENDPOINT);
        return;
    }
    if (LIKELY(choice.kept)) {
        flow_table_touch(run->flows, &choice.ref, run->now_s,
                         next_state(choice.ref.state, view->protocol,
                                    view->tcp_flags, group->affinity));
    } else {
        store_choice(run, packet, &choice);
    }

    const struct group_endpoint *endpoint
        = &group->endpoints[choice.endpoint];
    if (endpoint->local) {
        send_local(run, packet, endpoint);
    } else {
        send_remote(run, packet, endpoint, !choice.kept);
    }
}

void
engine_process(const struct anycast_table *table, struct flow_table *flows,
               struct engine_thread *thread, uint64_t now_ms,
               struct engine_packet *packets, size_t n)
{
    const struct run run = {
        .table = table,
        .flows = flows,
        .thread = thread,
        .now_ms = now_ms,
        .now_s = now_ms / 1000,
    };

    assert(n <= ENGINE_BATCH);
    for (size_t i = 0; i < n; i++) {
        if (i + PREFETCH_AHEAD < n) {
            __builtin_prefetch(packets[i + PREFETCH_AHEAD].data);
        }
        classify(&run, &packets[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (LIKELY(packets[i].verdict == ENGINE_UNDERLAY)) {
            forward(&run, &packets[i]);
        }
    }
}

struct mac
engine_router_mac(uint32_t vni)
{
    return (struct mac) {
        .octet = { 0x0a, 0x67, 0x72, vni >> 16, vni >> 8, vni },
    };
}

/* What forward() would make of a packet to 'endpoint'. */
static enum engine_verdict
explain_endpoint(const struct anycast_table *table, const struct group *group,
                 uint16_t endpoint, enum drop_reason *reason)
{
    if (endpoint == GROUP_NO_ENDPOINT) {
        *reason = DROP_NO_ENDPOINT;
        return ENGINE_DROP;
    }

    const struct group_endpoint *ep = &group->endpoints[endpoint];
    if (ep->local) {
        return ENGINE_LOCAL;
    }
    if (ep->host >= table->n_hosts
        || table->tunnels[ep->host].type == TUNNEL_NONE) {
        *reason = DROP_NO_NEXT_HOP;
        return ENGINE_DROP;
    }
    return ENGINE_UNDERLAY;
}

/* The reasons that engine_process() finds before it knows the group. */
static enum drop_reason
explain_refusal(const struct anycast_table *table, uint32_t vni,
                uint8_t protocol, uint32_t src)
{
    if (!vni) {
        return DROP_NO_VNI;
    }
    if (!table) {
        return DROP_NO_TABLE;
    }
    if (protocol != IPPROTO_NR_TCP && protocol != IPPROTO_NR_UDP) {
        return DROP_PROTOCOL;
    }
    return inet_is_unicast4(src) ? DROP_NONE : DROP_BAD_SOURCE;
}

void
engine_explain(const struct anycast_table *table,
               const struct flow_table *flows, uint64_t now_ms,
               uint32_t vni, uint8_t protocol,
               uint32_t src, uint16_t src_port,
               uint32_t dst, uint16_t dst_port, bool syn,
               struct engine_explanation *e)
{
    bool is_syn = syn && protocol == IPPROTO_NR_TCP;
    struct flow_key4 key;
    struct choice choice;

    *e = (struct engine_explanation) {
        .verdict = ENGINE_DROP,
        .reason = explain_refusal(table, vni, protocol, src),
        .slot_owner = GROUP_NO_ENDPOINT,
        .endpoint = GROUP_NO_ENDPOINT,
    };
    if (e->reason) {
        return;
    }
    e->group = anycast_table_lookup4(table, vni, dst, protocol, dst_port);
    if (!e->group) {
        e->reason = anycast_table_has_address4(table, vni, dst)
                    ? DROP_NO_GROUP : DROP_NOT_ANYCAST;
        return;
    }
    e->hash = make_key(table, e->group, src, src_port, dst_port, &key);
    e->slot = group_slot(e->group, e->hash);
    e->slot_owner = e->group->slots[e->slot];

    choose(flows, e->group, &key, e->hash, now_ms / 1000,
           is_syn ? TCP_SYN_FLAG : 0, &choice);
    e->tracked = choice.tracked;
    if (choice.tracked) {
        e->ref = choice.ref;
    }
    e->endpoint = choice.endpoint;
    e->verdict = explain_endpoint(table, e->group, e->endpoint, &e->reason);
}
