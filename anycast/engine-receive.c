/* What the switch of an endpoint does with packets that come out of a tunnel.
 * The sender may have been behind the mapping, or have lost its flows, so the
 * packet is not simply delivered: flows known here stay where they are, a
 * packet in mid-flow that nobody here knows is shown to the slot's previous
 * owners, and a sender that was wrong is told so by a hint.
 *
 *     flow known, endpoint here         deliver
 *     flow known, endpoint elsewhere    forward, hint
 *     first packet                      deliver if the endpoint is right,
 *                                       else choose, forward, hint
 *     unknown, in mid-flow              forward to the previous owner, if any,
 *                                       else deliver and remember
 *
 * A packet that has been forwarded carries the previous owners that are left,
 * and a hop count, so it cannot go round.  Whoever delivers a forwarded packet
 * of a flow that it knows sends its immediate sender a hint.  That one enters
 * the flow, so that it, too, answers the next packet with a hint: each switch
 * corrects the one before it. */

#include "anycast/engine-private.h"

#include <errno.h>
#include <string.h>

#include "encap/tunnel.h"

enum {
    HINT_BURST       = 1000,    /* Hints at once, ... */
    HINT_INTERVAL_MS = 1,       /* ... and then one in this time. */
};

/* A packet that came out of a tunnel, and what is known about it. */
struct receipt {
    struct context context;
    bool has_context;
    uint16_t addressed;         /* The endpoint here whose MAC it bears, or
                                 * GROUP_NO_ENDPOINT. */
    uint16_t moved;             /* The endpoint elsewhere whose MAC it bears,
                                 * which keeps its flows, or
                                 * GROUP_NO_ENDPOINT. */
};

/* Hints. */

/* Tells who sent 'packet' that its flow is on 'endpoint'. */
static void
send_hint(const struct engine_run *run, const struct engine_packet *packet,
          uint16_t endpoint)
{
    struct engine_thread *thread = run->thread;
    struct mac router = engine_router_mac(packet->vni);
    struct context context = engine_context(packet->group, false);
    struct hint hint = {
        .group = packet->group->id,
        .epoch = packet->group->epoch,
        .vni = packet->vni,
        .src = packet->key.src,
        .src_port = packet->key.src_port,
        .dst_port = packet->key.dst_port,
        .endpoint = endpoint,
    };
    uint32_t host;

    if (!packet->arrival
        || !anycast_table_find_host(run->table, packet->arrival->peer, &host)
        || run->table->tunnels[host].type == TUNNEL_NONE) {
        return;
    }
    if (thread->n_extras >= ENGINE_OUTBOX
        || !engine_take_token(&thread->hint_refill_ms, &thread->hint_spent,
                              HINT_BURST, HINT_INTERVAL_MS, run->now_ms)) {
        engine_count(&thread->count.hints_limited, 1);
        return;
    }

    struct engine_extra *extra = &thread->extras[thread->n_extras++];
    uint8_t *frame = extra->frame + TUNNEL_MAX_OVERHEAD;
    hint_write(frame, &hint, &router, &router, run->table->key.word);
    uint8_t *outer = tunnel_push(&run->table->tunnels[host], frame,
                                 HINT_FRAME_LEN, packet->vni,
                                 packet->hash >> 32, 0, &context);
    extra->ofs = outer - extra->frame;
    extra->size = frame + HINT_FRAME_LEN - outer;
    engine_count(&thread->count.hints_sent, 1);
}

/* Whether what 'hint' says can be true, as far as is known here. */
static bool
hint_is_credible(const struct hint *hint, const struct group *group,
                 uint32_t vni)
{
    return (group && group->key.vni == vni && hint->vni == vni
            && (int32_t) (hint->epoch - group->epoch) >= 0
            && group_keeps_flows(group, hint->endpoint));
}

void
engine_receive_hint(const struct engine_run *run, struct engine_packet *packet)
{
    const struct encap_view *view = &packet->view;
    const struct group *group;
    struct flow_key key;
    struct flow_ref ref;
    struct hint hint;
    uint64_t hash;

    if (!packet->arrival
        || hint_read(packet->data + view->l3_ofs,
                     packet->size - view->l3_ofs, run->table->key.word,
                     &hint)) {
        engine_drop(run->thread, packet, DROP_HINT_FORGED);
        return;
    }
    group = anycast_table_lookup_id(run->table, hint.group);
    if (!hint_is_credible(&hint, group, packet->vni)) {
        engine_drop(run->thread, packet, DROP_HINT_STALE);
        return;
    }

    hash = engine_make_key(run->table, group, hint.src, hint.src_port,
                           hint.dst_port, &key);
    bool known = flow_table_lookup(run->flows, hash, &key, run->now_s, &ref);
    if (!known || ref.endpoint != hint.endpoint) {
        engine_track_put(run, group, &key, hash, hint.endpoint,
                         known ? ref.state : FLOW_UNPROVEN);
    }
    engine_count(&run->thread->count.hints_accepted, 1);
    engine_drop(run->thread, packet, DROP_HINT);
}

/* Delivery and forwarding. */

/* Sends the packet on to 'endpoint', which is here or on another host. */
static void
pass_on(const struct engine_run *run, struct engine_packet *packet,
        const struct receipt *receipt, uint16_t endpoint,
        const uint16_t *previous, size_t n_previous)
{
    const struct group *group = packet->group;
    const struct group_endpoint *e = &group->endpoints[endpoint];
    struct context context = engine_context(group, false);

    context.hops = receipt->context.hops + 1;
    context.n_previous = n_previous;
    for (size_t i = 0; i < n_previous; i++) {
        context.previous[i] = previous[i];
    }
    if (!e->local) {
        if (packet->arrival && (!receipt->has_context
                                || context.hops > CONTEXT_MAX_HOPS)) {
            engine_drop(run->thread, packet, DROP_MISDELIVERED);
            return;
        }
        engine_count(&run->thread->count.forwarded, 1);
    }
    engine_send(run, packet, e, &context);
}

static void
deliver(const struct engine_run *run, struct engine_packet *packet,
        uint16_t endpoint)
{
    const struct context none = { .hops = 0 };

    engine_send(run, packet, &packet->group->endpoints[endpoint], &none);
}

/* Whether entries may be made for 'packet': not for what has no ports of its
 * own, and not for what ends a connection that is not known. */
static bool
may_enter(const struct engine_packet *packet)
{
    return (packet->view.kind == ENCAP_FLOW
            && !(packet->view.life & ENCAP_ABORTS));
}

/* Enters the packet's flow, unknown so far, on 'endpoint'. */
static void
enter(const struct engine_run *run, const struct engine_packet *packet,
      uint16_t endpoint)
{
    const struct encap_view *view = &packet->view;

    if (may_enter(packet)
        && !engine_track_put(run, packet->group, &packet->key, packet->hash,
                             endpoint,
                             engine_next_state(FLOW_FREE, view->protocol,
                                               view->life,
                                               packet->group->affinity))) {
        engine_count(&run->thread->count.untracked, 1);
    }
}

/* Chooses as if the packet came from here, sends it there and tells the
 * sender. */
static void
redirect(const struct engine_run *run, struct engine_packet *packet,
         const struct receipt *receipt)
{
    const struct engine_inquiry inquiry = {
        .group = packet->group,
        .key = &packet->key,
        .hash = packet->hash,
        .now_us = run->now_us,
        .random = engine_random(run->thread),
        .begins = (packet->view.life & ENCAP_OPENS
                   || engine_is_datagram(&packet->view)),
    };
    struct engine_choice choice;

    engine_choose_new(&inquiry, &choice);
    if (choice.endpoint == GROUP_NO_ENDPOINT) {
        engine_drop(run->thread, packet, DROP_NO_ENDPOINT);
        return;
    }
    enter(run, packet, choice.endpoint);
    send_hint(run, packet, choice.endpoint);
    pass_on(run, packet, receipt, choice.endpoint, NULL, 0);
}

/* A flow whose entry names an endpoint that keeps it. */
static void
receive_known(const struct engine_run *run, struct engine_packet *packet,
              const struct receipt *receipt, const struct flow_ref *ref)
{
    if (packet->view.kind == ENCAP_FLOW) {
        engine_track_kept(run, packet, ref);
    }
    if (packet->group->endpoints[ref->endpoint].local) {
        if (receipt->context.hops || receipt->addressed != ref->endpoint) {
            send_hint(run, packet, ref->endpoint);
        }
        deliver(run, packet, ref->endpoint);
    } else {
        send_hint(run, packet, ref->endpoint);
        pass_on(run, packet, receipt, ref->endpoint, NULL, 0);
    }
}

/* Whether the sender of a flow's first packet chose as we would, as far as we
 * can tell: on a state of the slots that is not behind ours, or the same
 * owner. */
static bool
choice_stands(const struct engine_packet *packet,
              const struct receipt *receipt)
{
    const struct group *group = packet->group;
    uint16_t addressed = receipt->addressed;

    if (addressed == GROUP_NO_ENDPOINT
        || group->endpoints[addressed].state != ENDPOINT_UP) {
        return false;
    }
    return (!receipt->has_context
            || (int32_t) (receipt->context.epoch - group->epoch) >= 0
            || group->slots[group_slot(group, packet->hash)] == addressed
            || group->algorithm != ALGORITHM_HASH);
}

/* The previous owners to show a packet to: those that the sender named or,
 * before it was ever forwarded, those that we know. */
static size_t
get_previous(const struct engine_packet *packet, const struct receipt *receipt,
             uint16_t previous[CONTEXT_MAX_PREVIOUS])
{
    const struct context *context = &receipt->context;
    const struct group *group = packet->group;
    size_t n = 0;

    if (context->n_previous) {
        for (int i = 0; i < context->n_previous; i++) {
            uint16_t p = context->previous[i];

            if (p != receipt->addressed && group_keeps_flows(group, p)) {
                previous[n++] = p;
            }
        }
    } else if (!context->hops) {
        n = engine_previous(group, packet->hash, receipt->addressed, previous);
    }
    return engine_only_elsewhere(group, previous, n);
}

/* Whether a datagram that none of the slot's previous owners knows must be a
 * flow's first one, on its way to an endpoint that is not for new flows. */
static bool
begins_elsewhere(const struct engine_packet *packet,
                 const struct receipt *receipt)
{
    const struct group *group = packet->group;
    uint16_t addressed = receipt->addressed;

    return (engine_is_datagram(&packet->view)
            && (group->endpoints[addressed].state != ENDPOINT_UP
                || (receipt->context.hops
                    && group->slots[group_slot(group, packet->hash)]
                       != addressed)));
}

static void
receive_unknown(const struct engine_run *run, struct engine_packet *packet,
                const struct receipt *receipt)
{
    const struct group *group = packet->group;
    uint16_t previous[CONTEXT_MAX_PREVIOUS];
    size_t n = get_previous(packet, receipt, previous);
    uint16_t addressed = receipt->addressed;

    if (receipt->moved != GROUP_NO_ENDPOINT) {
        pass_on(run, packet, receipt, receipt->moved, previous, n);
        return;
    }
    if (n && (receipt->has_context || !packet->arrival)
        && receipt->context.hops < CONTEXT_MAX_HOPS) {
        pass_on(run, packet, receipt, previous[0], previous + 1, n - 1);
        return;
    }

    if (addressed == GROUP_NO_ENDPOINT || !group_keeps_flows(group, addressed)
        || begins_elsewhere(packet, receipt)) {
        redirect(run, packet, receipt);
        return;
    }
    enter(run, packet, addressed);
    deliver(run, packet, addressed);
}

/* Whether the packet's flow is known, by the entry '*ref', and stays. */
static bool
find_known(const struct engine_run *run, const struct engine_packet *packet,
           const struct receipt *receipt, struct flow_ref *ref)
{
    const struct group *group = packet->group;

    if (!flow_table_lookup(run->flows, packet->hash, &packet->key, run->now_s,
                           ref)
        || !group_keeps_flows(group, ref->endpoint)
        || (ref->state == FLOW_SOURCE
            && ref->idle >= group->affinity_timeout)) {
        return false;
    }
    if (!(packet->view.life & ENCAP_OPENS)) {
        return true;
    }

    /* A closed connection's ports may be used again, and one that never came
     * about may have been sent elsewhere by who chose. */
    return (ref->state != FLOW_CLOSING
            && !(ref->state == FLOW_NEW
                 && group->endpoints[ref->endpoint].local
                 && receipt->addressed != GROUP_NO_ENDPOINT
                 && receipt->addressed != ref->endpoint));
}

/* In groups that go by slots. */
static void
receive_by_slots(const struct engine_run *run, struct engine_packet *packet,
                 const struct receipt *receipt)
{
    bool opens = packet->view.life & ENCAP_OPENS;
    struct flow_ref ref;

    if (find_known(run, packet, receipt, &ref)) {
        receive_known(run, packet, receipt, &ref);
        return;
    }
    if (!opens && !(receipt->context.flags & CONTEXT_NEW_FLOW)) {
        receive_unknown(run, packet, receipt);
    } else if (choice_stands(packet, receipt)) {
        enter(run, packet, receipt->addressed);
        deliver(run, packet, receipt->addressed);
    } else {
        redirect(run, packet, receipt);
    }
}

/* In groups where each sender picks for itself, it is right as long as the
 * endpoint is here. */
static void
receive_by_address(const struct engine_run *run, struct engine_packet *packet,
                   const struct receipt *receipt)
{
    struct flow_ref ref;

    if (receipt->addressed != GROUP_NO_ENDPOINT
        && group_keeps_flows(packet->group, receipt->addressed)) {
        deliver(run, packet, receipt->addressed);
    } else if (receipt->moved != GROUP_NO_ENDPOINT) {
        pass_on(run, packet, receipt, receipt->moved, NULL, 0);
    } else if (find_known(run, packet, receipt, &ref)) {
        /* Redirected before; the hint is still on its way. */
        receive_known(run, packet, receipt, &ref);
    } else {
        redirect(run, packet, receipt);
    }
}

/* A packet whose QUIC connection id says that it is for 'endpoint'. */
static void
receive_named(const struct engine_run *run, struct engine_packet *packet,
              const struct receipt *receipt, uint16_t endpoint)
{
    const struct group *group = packet->group;
    struct flow_ref ref;

    if (group_uses_slots(group)) {
        if (flow_table_lookup(run->flows, packet->hash, &packet->key,
                              run->now_s, &ref)
            && ref.endpoint == endpoint) {
            engine_track_kept(run, packet, &ref);
        } else {
            enter(run, packet, endpoint);
        }
    }
    if (receipt->addressed != endpoint) {
        send_hint(run, packet, endpoint);
    }
    pass_on(run, packet, receipt, endpoint, NULL, 0);
}

/* The endpoint that the packet's QUIC connection id names, if that keeps its
 * flows; else GROUP_NO_ENDPOINT. */
static uint16_t
find_named(const struct engine_packet *packet)
{
    const struct group *group = packet->group;
    uint64_t id;

    if (group->quic_length && packet->view.kind == ENCAP_FLOW
        && encap_quic_id(packet->data, &packet->view, group->quic_offset,
                         group->quic_length, &id)) {
        uint16_t endpoint = group_find_quic(group, id);

        if (group_keeps_flows(group, endpoint)) {
            return endpoint;
        }
    }
    return GROUP_NO_ENDPOINT;
}

/* The endpoint that has gone to another host since 'packet', which bears its
 * MAC, was sent; or GROUP_NO_ENDPOINT. */
static uint16_t
find_moved(const struct engine_packet *packet)
{
    const struct eth_hdr *eth = (const struct eth_hdr *) packet->data;
    uint16_t endpoint = group_find_mac(packet->group, &eth->dst);

    return (group_keeps_flows(packet->group, endpoint)
            ? endpoint : GROUP_NO_ENDPOINT);
}

void
engine_receive(const struct engine_run *run, struct engine_packet *packet)
{
    const struct engine_arrival *arrival = packet->arrival;
    const struct eth_hdr *eth = (const struct eth_hdr *) packet->data;
    struct receipt receipt = {
        .addressed = group_find_local(packet->group, &eth->dst),
        .moved = GROUP_NO_ENDPOINT,
    };
    uint16_t named = find_named(packet);

    if (receipt.addressed == GROUP_NO_ENDPOINT) {
        receipt.moved = find_moved(packet);
    }
    receipt.has_context = (arrival->options
                           && !context_parse(arrival->options,
                                             arrival->options_len,
                                             &receipt.context)
                           && receipt.context.group == packet->group->id);
    if (!receipt.has_context) {
        memset(&receipt.context, 0, sizeof receipt.context);
    }
    if (named != GROUP_NO_ENDPOINT) {
        receive_named(run, packet, &receipt, named);
    } else if (!receipt.has_context
               && receipt.addressed == GROUP_NO_ENDPOINT) {
        /* Nobody has chosen an endpoint for it: a switch that starts floods
         * what it does not steer yet, to every host. */
        engine_drop(run->thread, packet, DROP_MISDELIVERED);
    } else if (!group_uses_slots(packet->group)) {
        receive_by_address(run, packet, &receipt);
    } else {
        receive_by_slots(run, packet, &receipt);
    }
}

bool
engine_is_shown(const struct group *group, uint64_t hash,
                const struct engine_choice *choice)
{
    uint16_t previous[GROUP_MAX_PREVIOUS];

    return (group_uses_slots(group) && !choice->tracked && !choice->named
            && group->endpoints[choice->endpoint].local
            && engine_previous_elsewhere(group, hash, choice->endpoint,
                                         previous));
}

void
engine_receive_unknown(const struct engine_run *run,
                       struct engine_packet *packet, uint16_t endpoint)
{
    const struct receipt receipt = {
        .addressed = endpoint,
        .moved = GROUP_NO_ENDPOINT,
    };

    receive_unknown(run, packet, &receipt);
}
