/* What the files that deal with packets out of tunnels share; not for others
 * than the engine. */

#ifndef ANYCAST_ENGINE_RECEIVE_H
#define ANYCAST_ENGINE_RECEIVE_H 1

#include "anycast/engine-private.h"

/* A packet that came out of a tunnel, and what is known about it. */
struct engine_receipt {
    struct context context;
    bool has_context;
    uint16_t addressed;         /* The endpoint here whose MAC it bears, or
                                 * GROUP_NO_ENDPOINT. */
    uint16_t moved;             /* The endpoint elsewhere whose MAC it bears,
                                 * which keeps its flows, or
                                 * GROUP_NO_ENDPOINT. */
};

/* Whether the sender had a later state of the slots than we, or an earlier
 * one. */
static inline bool
engine_sender_is_ahead(const struct group *group,
                       const struct engine_receipt *receipt)
{
    return (receipt->has_context
            && (int32_t) (receipt->context.epoch - group->epoch) > 0);
}

static inline bool
engine_sender_is_behind(const struct group *group,
                        const struct engine_receipt *receipt)
{
    return (receipt->has_context
            && (int32_t) (receipt->context.epoch - group->epoch) < 0);
}

/* engine_is_ambiguous(), of 'packet'. */
static inline bool
engine_packet_is_ambiguous(const struct engine_packet *packet)
{
    return engine_is_ambiguous(packet->group, packet->view.protocol,
                               packet->view.life & ENCAP_OPENS);
}

/* Hints.  (engine-hint.c) */

enum {
    ENGINE_HINT_FRESH_S = 30,   /* What was not seen for as long is no longer
                                 * passed on as knowledge. */
};

/* Tells who sent 'packet' that its flow is on 'endpoint'. */
void engine_send_hint(const struct engine_run *, const struct engine_packet *,
                      const struct engine_receipt *, uint16_t endpoint);

/* Lines.  (engine-line.c) */

/* Whether a packet that was forwarded was too long to carry its line. */
static inline bool
engine_line_is_cut(const struct engine_receipt *receipt)
{
    return receipt->context.hops && !receipt->context.n_previous;
}

/* Whether somebody knows that the flow is on the endpoint to which 'packet' is
 * addressed. */
static inline bool
engine_is_claimed(const struct engine_receipt *receipt)
{
    return (receipt->context.flags & CONTEXT_CLAIMED
            && (!receipt->context.hops || engine_line_is_cut(receipt)));
}

/* Endpoints whose switches a packet of an unknown flow is shown to, in this
 * order.  The last one takes it, whether or not it is known there. */
struct engine_line {
    uint16_t endpoint[CONTEXT_MAX_PREVIOUS];
    size_t n;
    bool ends;                  /* The last one is not merely the next. */
};

/* Adds 'endpoint' to 'line' if the packet's flow may be there, it is not
 * 'except', and not in the line yet. */
void engine_line_add(struct engine_line *, const struct engine_packet *,
                     uint16_t except, uint16_t endpoint);

/* The line for a packet; empty if it has come to its end. */
void engine_line_find(struct engine_line *, const struct engine_packet *,
                      const struct engine_receipt *);

/* The endpoint here that may have the packet's flow though it is not known
 * here, or GROUP_NO_ENDPOINT. */
uint16_t engine_line_find_newcomer(const struct engine_packet *,
                                   const struct engine_receipt *);

#endif /* anycast/engine-receive.h */
