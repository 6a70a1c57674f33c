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
 *     unknown, in mid-flow              show it to the previous owners, if
 *                                       any, and then deliver and remember
 *
 * A packet that has been forwarded carries those to whom it is yet to be shown
 * (engine-line.c), and a hop count, so it cannot go round.  Whoever delivers a
 * forwarded packet of a flow that it knows sends its immediate sender a hint.
 * That one enters the flow, so that it, too, answers the next packet with a
 * hint: each switch corrects the one before it.
 *
 * A switch that is not on a flow's way does not see its end; what it knows may
 * be of an earlier connection with the same ports.  So entries that are weak
 * and old, and entries about other hosts, only say whom to ask first. */

#include "anycast/engine-receive.h"

#include <string.h>

/* Delivery and forwarding. */

/* Whether the packet may go to 'endpoint', as far as that is elsewhere. */
static bool
may_pass_on(const struct engine_packet *packet,
            const struct engine_receipt *receipt, uint16_t endpoint)
{
    return (packet->group->endpoints[endpoint].local || !packet->arrival
            || (receipt->has_context
                && receipt->context.hops < CONTEXT_MAX_HOPS));
}

/* Sends the packet on to 'endpoint', which is here or on another host, and is
 * the first of 'line', of 'n' endpoints; or, with 'n' 0, takes it whether or
 * not the flow is known there. */
static void
pass_on(const struct engine_run *run, struct engine_packet *packet,
        const struct engine_receipt *receipt, uint16_t endpoint,
        const uint16_t *line, size_t n, bool is_claimed)
{
    const struct group *group = packet->group;
    const struct group_endpoint *e = &group->endpoints[endpoint];
    struct context context = engine_context(group, false);

    if (engine_sender_is_ahead(group, receipt)) {
        context.epoch = receipt->context.epoch;
    }
    if (is_claimed) {
        context.flags |= CONTEXT_CLAIMED;
    }
    context.hops = receipt->context.hops + 1;
    if (group_uses_slots(group)) {
        context.n_previous = n ? n : 1;
        context.previous[0] = endpoint;
        for (size_t i = 1; i < n; i++) {
            context.previous[i] = line[i];
        }
    }
    if (!may_pass_on(packet, receipt, endpoint)) {
        engine_drop(run->thread, packet, DROP_MISDELIVERED);
        return;
    }
    engine_count(&run->thread->count.forwarded, !e->local);
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
         const struct engine_receipt *receipt)
{
    const struct engine_inquiry inquiry = {
        .group = packet->group,
        .key = &packet->key,
        .hash = packet->hash,
        .now_us = run->now_us,
        .random = engine_random(run->thread),
        .begins = (packet->view.life & ENCAP_OPENS
                   || engine_packet_is_ambiguous(packet)),
    };
    struct engine_choice choice;

    engine_choose_new(&inquiry, &choice);
    if (choice.endpoint == GROUP_NO_ENDPOINT) {
        engine_drop(run->thread, packet, DROP_NO_ENDPOINT);
        return;
    }
    if (may_pass_on(packet, receipt, choice.endpoint)) {
        enter(run, packet, choice.endpoint);
        engine_send_hint(run, packet, choice.endpoint);
    }
    pass_on(run, packet, receipt, choice.endpoint, NULL, 0, false);
}

/* Whether the sender of a flow's first packet chose as we would, as far as we
 * can tell: on a state of the slots that is not behind ours, or the same
 * owner. */
static bool
choice_stands(const struct engine_packet *packet,
              const struct engine_receipt *receipt)
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

/* A flow that 'ref' knows to be on an endpoint elsewhere.  Since its end
 * may have passed us by, others are asked, too, if it is not known there. */
static void
forward_known(const struct engine_run *run, struct engine_packet *packet,
              const struct engine_receipt *receipt, const struct flow_ref *ref)
{
    uint16_t endpoint = ref->endpoint;
    struct engine_line rest, line = { .endpoint = { endpoint }, .n = 1 };
    size_t n_hops = CONTEXT_MAX_HOPS - receipt->context.hops;

    /* Whoever sent it is right, but for the host. */
    bool is_claimed = ((engine_is_claimed(receipt) || !receipt->context.hops)
                       && endpoint == (receipt->addressed != GROUP_NO_ENDPOINT
                                       ? receipt->addressed
                                       : receipt->moved));

    engine_line_find(&rest, packet, receipt);
    if (is_claimed) {
        rest.n = 0;
    }
    for (size_t i = 0; i + 1 < rest.n && line.n + 1 < n_hops; i++) {
        engine_line_add(&line, packet, GROUP_NO_ENDPOINT, rest.endpoint[i]);
    }
    if (rest.n) {
        engine_line_add(&line, packet, GROUP_NO_ENDPOINT,
                 rest.endpoint[rest.n - 1]);
    }
    if (ref->idle < ENGINE_HINT_FRESH_S) {
        engine_send_hint(run, packet, endpoint);
    }
    pass_on(run, packet, receipt, endpoint, line.endpoint, line.n,
            is_claimed);
}

/* Takes a packet that nobody knows for 'endpoint', which is here. */
static void
take(const struct engine_run *run, struct engine_packet *packet,
     const struct engine_receipt *receipt, uint16_t endpoint)
{
    struct flow_ref ref;

    /* A datagram may be a flow's first one, for which the sender chose an
     * endpoint that takes no new flows any more. */
    if (!group_keeps_flows(packet->group, endpoint)
        || (engine_packet_is_ambiguous(packet)
            && packet->group->endpoints[endpoint].state != ENDPOINT_UP)) {
        redirect(run, packet, receipt);
        return;
    }
    if (flow_table_lookup(run->flows, packet->hash, &packet->key, run->now_s,
                          &ref) && ref.endpoint == endpoint) {
        if (packet->view.kind == ENCAP_FLOW) {
            engine_track_kept(run, packet, &ref);
        }
    } else {
        enter(run, packet, endpoint);
    }
    deliver(run, packet, endpoint);
}

/* Whether the sender, whose state of the slots is later than ours, names a
 * previous owner that we have not heard of yet. */
static bool
names_stranger(const struct group *group, const struct engine_receipt *receipt)
{
    const struct context *context = &receipt->context;

    for (int i = 0; i < context->n_previous; i++) {
        uint16_t endpoint = context->previous[i];

        if (endpoint >= group->n_endpoints
            || group->endpoints[endpoint].state == ENDPOINT_ABSENT) {
            return engine_sender_is_ahead(group, receipt);
        }
    }
    return false;
}

/* Whether the last one of 'line' would only take the packet for want of
 * somebody who knows it: the slot's owner, or who is taken for it because the
 * packet cannot go any further. */
static bool
ends_in_vain(const struct group *group, const struct engine_packet *packet,
             const struct engine_receipt *receipt,
             const struct engine_line *line)
{
    return (line->ends
            && (line->endpoint[line->n - 1]
                == group->slots[group_slot(group, packet->hash)]
                || !receipt->context.hops
                || receipt->context.hops + line->n >= CONTEXT_MAX_HOPS
                || line->n >= CONTEXT_MAX_PREVIOUS));
}

/* What is not known here, or not for sure: then 'claimed' is the endpoint
 * here that may have it, else GROUP_NO_ENDPOINT. */
static void
receive_unknown(const struct engine_run *run, struct engine_packet *packet,
                const struct engine_receipt *receipt, uint16_t claimed)
{
    const struct group *group = packet->group;
    bool is_claimed = receipt->context.flags & CONTEXT_CLAIMED;
    struct engine_line line;

    if (names_stranger(group, receipt)
        && !engine_packet_is_ambiguous(packet)) {
        /* Whom we cannot ask yet may have it, and it comes again. */
        engine_drop(run->thread, packet, DROP_MISDELIVERED);
        return;
    }
    engine_line_find(&line, packet, receipt);
    uint16_t newcomer = engine_line_find_newcomer(packet, receipt);
    if (newcomer != GROUP_NO_ENDPOINT) {
        claimed = newcomer;
    }
    if (engine_is_claimed(receipt)) {
        /* Somebody knows, and we have nothing to set against it. */
        claimed = receipt->addressed;
        line.n = 0;
        if (claimed == GROUP_NO_ENDPOINT
            && receipt->moved != GROUP_NO_ENDPOINT) {
            line.endpoint[line.n++] = receipt->moved;
        }
    } else if (claimed != GROUP_NO_ENDPOINT && !is_claimed && line.n) {
        /* If nobody else has it, it comes back. */
        line.n -= ends_in_vain(group, packet, receipt, &line);
        line.endpoint[line.n++] = claimed;
        is_claimed = true;
    }
    if (line.n) {
        uint16_t next = line.endpoint[0];

        if (group->endpoints[next].local) {
            take(run, packet, receipt, next);
        } else {
            pass_on(run, packet, receipt, next, line.endpoint, line.n,
                    is_claimed);
        }
    } else if (claimed != GROUP_NO_ENDPOINT) {
        take(run, packet, receipt, claimed);
    } else if (engine_sender_is_ahead(group, receipt)
               && (receipt->addressed == GROUP_NO_ENDPOINT
                   || engine_line_is_cut(receipt))) {
        /* We shall know better soon, and the packet comes again. */
        engine_drop(run->thread, packet, DROP_MISDELIVERED);
    } else if (receipt->addressed != GROUP_NO_ENDPOINT) {
        take(run, packet, receipt, receipt->addressed);
    } else if (receipt->context.hops) {
        engine_drop(run->thread, packet, DROP_MISDELIVERED);
    } else {
        redirect(run, packet, receipt);
    }
}

/* A flow whose entry names an endpoint that keeps it. */
static void
receive_known(const struct engine_run *run, struct engine_packet *packet,
              const struct engine_receipt *receipt, const struct flow_ref *ref)
{
    bool local = packet->group->endpoints[ref->endpoint].local;
    bool is_last = (receipt->context.hops && receipt->context.n_previous == 1
                    && receipt->context.previous[0] == receipt->addressed);

    if (!local && is_last && receipt->addressed != GROUP_NO_ENDPOINT
        && !(packet->view.life & ENCAP_OPENS)) {
        /* It has been there, or we would not be asked last. */
        take(run, packet, receipt, receipt->addressed);
        return;
    }
    if (packet->view.kind == ENCAP_FLOW) {
        engine_track_kept(run, packet, ref);
    }
    if (!local) {
        forward_known(run, packet, receipt, ref);
        return;
    }
    if (receipt->context.hops || receipt->addressed != ref->endpoint) {
        engine_send_hint(run, packet, ref->endpoint);
    }
    deliver(run, packet, ref->endpoint);
}

/* Whether 'packet' has come from the host of 'endpoint', which then does not
 * know its flow. */
static bool
is_refused(const struct engine_run *run, const struct engine_packet *packet,
           uint16_t endpoint)
{
    const struct group_endpoint *e = &packet->group->endpoints[endpoint];
    uint32_t host;

    return (!e->local && packet->arrival
            && anycast_table_find_host(run->table, packet->arrival->peer,
                                       &host)
            && host == e->host);
}

/* Whether the packet's flow is known, by the entry '*ref', and stays. */
static bool
find_known(const struct engine_run *run, const struct engine_packet *packet,
           const struct engine_receipt *receipt, struct flow_ref *ref)
{
    const struct group *group = packet->group;

    if (!flow_table_lookup(run->flows, packet->hash, &packet->key, run->now_s,
                           ref)
        || !group_keeps_flows(group, ref->endpoint)
        || (!group->endpoints[ref->endpoint].local
            && !engine_may_have_flows(group, ref->endpoint))
        || is_refused(run, packet, ref->endpoint)
        || (ref->state == FLOW_SOURCE
            && ref->idle >= group->affinity_timeout)) {
        return false;
    }
    if (!(packet->view.life & ENCAP_OPENS)) {
        return true;
    }

    /* A closed connection's ports may be used again (and it may have closed
     * behind our back), and one that never came about may have been sent
     * elsewhere by who chose. */
    return (ref->state != FLOW_CLOSING
            && !(ref->state == FLOW_ESTABLISHED
                 && !group->endpoints[ref->endpoint].local)
            && !(ref->state == FLOW_NEW
                 && group->endpoints[ref->endpoint].local
                 && receipt->addressed != GROUP_NO_ENDPOINT
                 && receipt->addressed != ref->endpoint));
}

/* In groups that go by slots. */
static void
receive_by_slots(const struct engine_run *run, struct engine_packet *packet,
                 const struct engine_receipt *receipt)
{
    bool begins = ((packet->view.life & ENCAP_OPENS
                    && packet->group->affinity != AFFINITY_SOURCE)
                   || receipt->context.flags & CONTEXT_NEW_FLOW);
    struct flow_ref ref;

    if (find_known(run, packet, receipt, &ref)) {
        if (begins || !engine_is_doubtful(&ref)) {
            receive_known(run, packet, receipt, &ref);
        } else {
            receive_unknown(run, packet, receipt,
                            packet->group->endpoints[ref.endpoint].local
                            ? ref.endpoint : GROUP_NO_ENDPOINT);
        }
    } else if (!begins) {
        receive_unknown(run, packet, receipt, GROUP_NO_ENDPOINT);
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
                   const struct engine_receipt *receipt)
{
    struct flow_ref ref;

    if (receipt->addressed != GROUP_NO_ENDPOINT
        && group_keeps_flows(packet->group, receipt->addressed)) {
        deliver(run, packet, receipt->addressed);
    } else if (receipt->moved != GROUP_NO_ENDPOINT) {
        pass_on(run, packet, receipt, receipt->moved, NULL, 0, false);
    } else if (engine_sender_is_ahead(packet->group, receipt)) {
        /* We shall know the endpoint soon. */
        engine_drop(run->thread, packet, DROP_MISDELIVERED);
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
              const struct engine_receipt *receipt, uint16_t endpoint)
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
        engine_send_hint(run, packet, endpoint);
    }
    pass_on(run, packet, receipt, endpoint, NULL, 0, false);
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
    struct engine_receipt receipt = {
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

void
engine_receive_unknown(const struct engine_run *run,
                       struct engine_packet *packet, uint16_t endpoint)
{
    const struct engine_receipt receipt = {
        .addressed = endpoint,
        .moved = GROUP_NO_ENDPOINT,
    };

    receive_unknown(run, packet, &receipt, GROUP_NO_ENDPOINT);
}
