/* To whom a packet in mid-flow is shown that nobody knows here: to the
 * endpoints that owned its slot before, and then back to whom it was addressed
 * to, which takes it if none of the others did.
 *
 *     client's     addressed to B;     A and Z owned the slot before
 *     switch ────► B's switch ────► A's ────► Z's ────► B's: delivered
 *                  [A Z B]          [Z B]     [B]
 *
 * A switch that may have the flow without knowing it, since it has only a weak
 * entry, or has lost its flows, puts its own endpoint in the place of the last:
 * it gets the packet unless somebody is sure (CONTEXT_CLAIMED). */

#include "anycast/engine-receive.h"

void
engine_line_add(struct engine_line *line, const struct engine_packet *packet,
                uint16_t except, uint16_t endpoint)
{
    const struct group *group = packet->group;

    /* A dead host might have the flow of a datagram; but all new flows would
     * end there, too. */
    if (endpoint == except || line->n >= CONTEXT_MAX_PREVIOUS
        || !engine_may_have_flows(group, endpoint)
        || (engine_packet_is_ambiguous(packet)
            && group->endpoints[endpoint].state == ENDPOINT_LOST)) {
        return;
    }
    for (size_t i = 0; i < line->n; i++) {
        if (line->endpoint[i] == endpoint) {
            return;
        }
    }
    line->endpoint[line->n++] = endpoint;
}

/* The line for a packet that is shown to nobody yet: to those who owned its
 * slot when the sender, or we, were behind, and then back to whom it was
 * addressed to. */
static void
line_begin(struct engine_line *line, const struct engine_packet *packet,
           const struct engine_receipt *receipt)
{
    const struct context *context = &receipt->context;
    const struct group *group = packet->group;
    uint32_t slot = group_slot(group, packet->hash);
    uint16_t addressed = (receipt->addressed != GROUP_NO_ENDPOINT
                          ? receipt->addressed : receipt->moved);
    struct engine_line all = { .n = 0 };

    if (engine_sender_is_behind(group, receipt)
        || (engine_sender_is_ahead(group, receipt) && !context->n_previous)) {
        engine_line_add(&all, packet, addressed, group->slots[slot]);
    }
    for (int i = 0; i < context->n_previous; i++) {
        engine_line_add(&all, packet, addressed, context->previous[i]);
    }
    for (int i = 0; !context->n_previous && group->previous
         && i < GROUP_MAX_PREVIOUS; i++) {
        engine_line_add(&all, packet, addressed,
                        group->previous[slot * GROUP_MAX_PREVIOUS + i]);
    }

    /* Flows of endpoints that are here would be known here; and a packet is
     * forwarded CONTEXT_MAX_HOPS times at most, the last time back. */
    all.n = engine_only_elsewhere(group, all.endpoint, all.n);
    line->n = 0;
    for (size_t i = 0; i < all.n && i < CONTEXT_MAX_HOPS - 1; i++) {
        line->endpoint[line->n++] = all.endpoint[i];
    }
    line->ends = (addressed != GROUP_NO_ENDPOINT
                  && group_keeps_flows(group, addressed));
    if (line->ends
        && (line->n || receipt->addressed == GROUP_NO_ENDPOINT)) {
        line->endpoint[line->n++] = addressed;
    }
}

/* The line of a packet whose own was cut, as far as we know it: those who
 * owned its slot before us, and its owner. */
static void
line_guess(struct engine_line *line, const struct engine_packet *packet,
           const struct engine_receipt *receipt)
{
    const struct group *group = packet->group;
    uint32_t slot = group_slot(group, packet->hash);
    uint16_t here = receipt->addressed;
    bool is_owner = group->slots[slot] == here;

    /* Who was asked in vain has sent it back. */
    if (is_owner && !engine_sender_is_ahead(group, receipt)
        && receipt->context.hops > 1) {
        return;
    }
    if (group->previous) {
        const uint16_t *p = &group->previous[slot * GROUP_MAX_PREVIOUS];
        int i = 0;

        while (i < GROUP_MAX_PREVIOUS && p[i] != here) {
            i++;
        }
        for (i = i < GROUP_MAX_PREVIOUS ? i + 1 : 0; i < GROUP_MAX_PREVIOUS;
             i++) {
            engine_line_add(line, packet, here, p[i]);
        }
    }
    engine_line_add(line, packet, here, group->slots[slot]);
}

/* What is left of the line of a packet that was shown to us. */
static void
line_continue(struct engine_line *line, const struct engine_packet *packet,
              const struct engine_receipt *receipt)
{
    const struct context *context = &receipt->context;

    line->ends = true;
    if (engine_line_is_cut(receipt)) {
        line_guess(line, packet, receipt);
    }
    for (int i = 0; i < context->n_previous; i++) {
        engine_line_add(line, packet, receipt->addressed,
                        context->previous[i]);
    }

    /* Of those that are here only the last one counts, see above. */
    if (line->n) {
        uint16_t last = line->endpoint[line->n - 1];

        line->n = engine_only_elsewhere(packet->group, line->endpoint,
                                        line->n - 1);
        line->endpoint[line->n++] = last;
    }
}

void
engine_line_find(struct engine_line *line, const struct engine_packet *packet,
                 const struct engine_receipt *receipt)
{
    *line = (struct engine_line) { .n = 0 };
    if (receipt->context.hops >= CONTEXT_MAX_HOPS) {
        /* Not any further. */
    } else if (receipt->context.hops) {
        line_continue(line, packet, receipt);
    } else if (receipt->has_context || !packet->arrival) {
        line_begin(line, packet, receipt);
    }
}

uint16_t
engine_line_find_newcomer(const struct engine_packet *packet,
                          const struct engine_receipt *receipt)
{
    const struct context *context = &receipt->context;
    const struct group *group = packet->group;
    uint16_t before[GROUP_MAX_PREVIOUS];
    const uint16_t *candidates = context->previous;
    size_t n = context->n_previous;

    if (engine_packet_is_ambiguous(packet)) {
        return GROUP_NO_ENDPOINT; /* All new flows would stay there. */
    }
    if (receipt->addressed != GROUP_NO_ENDPOINT
        && group->endpoints[receipt->addressed].is_newcomer) {
        return receipt->addressed;
    }
    if (!n) {
        n = engine_previous(group, packet->hash, GROUP_NO_ENDPOINT, before);
        candidates = before;
    }
    for (size_t i = 0; i < n; i++) {
        if (group_keeps_flows(group, candidates[i])
            && group->endpoints[candidates[i]].is_newcomer) {
            return candidates[i];
        }
    }
    return GROUP_NO_ENDPOINT;
}

uint16_t
engine_first_shown(const struct engine_packet *packet,
                   const struct engine_choice *choice)
{
    const struct group *group = packet->group;
    const struct engine_receipt receipt = {
        .addressed = choice->endpoint,
        .moved = GROUP_NO_ENDPOINT,
    };
    struct engine_line line;
    uint16_t newcomer;

    if (!group_uses_slots(group) || choice->tracked || choice->named
        || !group->endpoints[choice->endpoint].local) {
        return GROUP_NO_ENDPOINT;
    }
    engine_line_find(&line, packet, &receipt);
    newcomer = engine_line_find_newcomer(packet, &receipt);
    return (line.n ? line.endpoint[0]
            : newcomer != choice->endpoint ? newcomer : GROUP_NO_ENDPOINT);
}
