/* The long way: what becomes of a packet that has been examined, and of whose
 * flow there is more to be said than its entry says. */

#include "anycast/engine-private.h"

/* Remembers which MAC 'src', the sender of 'packet', has: it may have to be
 * told that its server is no more. */
static void
learn_client(const struct engine_run *run, const struct engine_packet *packet,
             struct inet_addr src)
{
    const struct eth_hdr *eth = (const struct eth_hdr *) packet->data;

    source_table_learn(run->world->sources, packet->vni, src, &eth->src,
                       run->now_ms);
}

void
engine_learn_known(const struct engine_run *run,
                   const struct engine_packet *packet, struct inet_addr src)
{
    if (packet->group->flags & GROUP_RESET_LOST) {
        learn_client(run, packet, src);
    }
}

/* Whether the flow of 'packet' is not known here, but may be where its client
 * was before, so that it is better to wait than to choose.  Asks there. */
static bool
awaits_handover(const struct engine_run *run,
                const struct engine_packet *packet)
{
    const struct encap_view *view = &packet->view;
    struct engine_thread *thread = run->thread;
    struct flow_ref ref;

    if (view->kind != ENCAP_FLOW
        || view->life & (ENCAP_OPENS | ENCAP_ABORTS)
        || !engine_may_await(packet->group, view->protocol)
        || flow_table_lookup(run->flows, packet->hash, &packet->key,
                             run->now_s, &ref)) {
        return false;
    }
    switch (source_table_ask(run->world->sources, packet->vni, view->src,
                             run->now_ms)) {
    case SOURCE_SETTLED:
        return false;

    case SOURCE_ASKED:
        learn_client(run, packet, view->src);
        if (thread->n_questions < ENGINE_QUESTIONS) {
            thread->questions[thread->n_questions++]
                = (struct engine_question) { packet->vni, view->src };
            engine_count(&thread->count.handovers_asked, 1);
        }
        return true;

    case SOURCE_WAITING:
        return true;
    }
    return false;
}

/* No endpoint takes 'packet'. */
static void
refuse(const struct engine_run *run, struct engine_packet *packet)
{
    const struct group *group = packet->group;

    if (group->load) {
        __atomic_fetch_add(&group->load->rejected, 1, __ATOMIC_RELAXED);
    }
    if (group->flags & GROUP_REJECT) {
        engine_reply_error(run, packet, REPLY_UNREACHABLE, DROP_NO_ENDPOINT,
                           0);
    } else {
        engine_drop(run->thread, packet, DROP_NO_ENDPOINT);
    }
}

static void
inquire(const struct engine_run *run, const struct engine_packet *packet,
        struct engine_inquiry *inquiry)
{
    const struct group *group = packet->group;

    *inquiry = (struct engine_inquiry) {
        .group = group,
        .key = &packet->key,
        .hash = packet->hash,
        .now_us = run->now_us,
        .random = engine_random(run->thread),
        .opens = packet->view.life & ENCAP_OPENS,
        .is_resettable = engine_is_resettable(packet->view.protocol),
        .dry_run = packet->view.kind != ENCAP_FLOW,
    };
    inquiry->begins = (packet->view.kind == ENCAP_FLOW
                       && engine_begins(group, packet->hash,
                                        packet->view.protocol,
                                        inquiry->opens));
    inquiry->has_quic_id
        = (group->quic_length && packet->view.kind == ENCAP_FLOW
           && encap_quic_id(packet->data, &packet->view, group->quic_offset,
                            group->quic_length, &inquiry->quic_id));
}

void
engine_send_chosen(const struct engine_run *run, struct engine_packet *packet,
            uint16_t endpoint, enum engine_knowledge knowledge)
{
    const struct group *group = packet->group;
    struct context context = engine_context(group,
                                            knowledge == ENGINE_FLOW_BEGINS);

    if (group->previous) {
        if (knowledge == ENGINE_FLOW_KNOWN) {
            context.flags |= CONTEXT_CLAIMED;
        } else if (knowledge == ENGINE_FLOW_GUESSED
                   && group_uses_slots(group)) {
            context.n_previous = engine_previous(group, packet->hash, endpoint,
                                                 context.previous);
        }
    }
    engine_send(run, packet, &group->endpoints[endpoint], &context);
}

/* A flow whose host is dead, in a group that resets such flows. */
static void
reset_lost(const struct engine_run *run, struct engine_packet *packet,
           const struct flow_ref *ref)
{
    engine_track_closing(run, packet->group, ref);
    engine_reply_reset(run, packet, DROP_HOST_DEAD);
}

/* Puts the packet's flow, which 'begins' with it, where 'choice' says. */
static void
follow_choice(const struct engine_run *run, struct engine_packet *packet,
              const struct engine_choice *choice, bool begins)
{
    const struct group *group = packet->group;
    const struct group_endpoint *endpoint
        = &group->endpoints[choice->endpoint];
    bool opens = packet->view.life & ENCAP_OPENS;

    if (!begins
        && engine_first_shown(packet, choice) != GROUP_NO_ENDPOINT) {
        engine_receive_unknown(run, packet, choice->endpoint);
        return;
    }
    if (packet->view.kind != ENCAP_FLOW) {
        /* It says nothing of the flow's life. */
        engine_send_chosen(run, packet, choice->endpoint,
                    choice->kept ? ENGINE_FLOW_KNOWN : ENGINE_FLOW_GUESSED);
        return;
    }
    if (choice->kept) {
        if (endpoint->state == ENDPOINT_LOST && group->flags & GROUP_RESET_LOST
            && engine_is_resettable(packet->view.protocol)) {
            reset_lost(run, packet, &choice->ref);
            return;
        }
        engine_track_kept(run, packet, &choice->ref);
        engine_learn_known(run, packet, packet->view.src);
        engine_send_chosen(run, packet, choice->endpoint,
                    opens ? ENGINE_FLOW_BEGINS : ENGINE_FLOW_KNOWN);
        return;
    }

    if ((begins || choice->tracked || endpoint->local
         || !engine_is_guess(group, packet->hash))
        && (group->algorithm != ALGORITHM_HASH || endpoint->local
            || choice->tracked)
        && !(packet->view.life & ENCAP_ABORTS)) {
        engine_track_chosen(run, packet, choice);
        if (opens) {
            learn_client(run, packet, packet->view.src);
        } else {
            engine_learn_known(run, packet, packet->view.src);
        }
    }
    engine_send_chosen(run, packet, choice->endpoint,
                (begins || choice->lost ? ENGINE_FLOW_BEGINS
                 : ENGINE_FLOW_GUESSED));
}

void
engine_forward(const struct engine_run *run, struct engine_packet *packet)
{
    struct engine_inquiry inquiry;
    struct engine_choice choice;

    if (packet->arrival) {
        engine_count(&run->thread->count.from_tunnel, 1);
        engine_receive(run, packet);
        return;
    }
    if (awaits_handover(run, packet)) {
        engine_drop(run->thread, packet, DROP_AWAITING_HANDOVER);
        return;
    }
    inquire(run, packet, &inquiry);
    engine_choose(run->flows, &inquiry, &choice);
    if (choice.endpoint == GROUP_NO_ENDPOINT) {
        refuse(run, packet);
        return;
    }
    if (packet->view.kind == ENCAP_ICMP_ERROR) {
        if (!choice.tracked && !group_uses_slots(packet->group)) {
            engine_drop(run->thread, packet, DROP_UNKNOWN_FLOW);
            return;
        }
        engine_count(&run->thread->count.icmp_routed, 1);
    }
    follow_choice(run, packet, &choice, inquiry.begins);
}
