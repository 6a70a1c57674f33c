/* What pickers have to work with.  Not for others.
 *
 * A picker is called for one tier at a time and returns the position of its
 * choice in it, or PICK_NONE if none of the tier's candidates will do:
 *
 *     uint16_t
 *     pick_name(struct pick_search *s)
 *     {
 *         uint16_t a = pick_draw(s, pick_random(s));
 *
 *         if (a == PICK_NONE || s->decided) {
 *             return a;
 *         }
 *         ...compare it with others...
 *     }
 */

#ifndef ANYCAST_PICK_PRIVATE_H
#define ANYCAST_PICK_PRIVATE_H 1

#include "anycast/load.h"
#include "anycast/pick.h"

enum { PICK_NONE = 0xffff };

struct pick_search {
    const struct group *group;
    const struct pick_query *query;
    struct pick_trail *trail;   /* Never NULL. */

    /* The tier. */
    const struct group_candidate *tier;
    uint16_t n;                 /* Candidates in it, at least 1, ... */
    uint32_t weight;            /* ... and the sum of their weights. */

    uint64_t random;            /* State of pick_random(). */
    int looks_left;             /* Candidates that may still be looked at. */
    bool any;                   /* Nobody is passed over. */
    bool decided;               /* What was drawn last is to be chosen: an
                                 * unhealthy endpoint that gets its try. */
    uint16_t spare;             /* One that is only held back by its ramp: an
                                 * endpoint, or GROUP_NO_ENDPOINT. */
};

uint16_t pick_by_tier(struct pick_search *);
uint16_t pick_round_robin(struct pick_search *);
uint16_t pick_least_connections(struct pick_search *);
uint16_t pick_nearest(struct pick_search *);
uint16_t pick_lowest_response_time(struct pick_search *);

/* 64 random bits. */
uint64_t pick_random(struct pick_search *);

/* Whether the candidate at 'position' gets past the filters. */
bool pick_admits(struct pick_search *, uint16_t position);

/* The position that 'dice' (of 64 bits) falls on, each being as likely as its
 * weight says. */
uint16_t pick_position(const struct pick_search *, uint64_t dice);

/* Another dice that follows from 'dice'. */
uint64_t pick_again(uint64_t dice);

/* Draws by weight a candidate that gets past the filters.  The result depends
 * on 'dice' alone, and on the filters.  PICK_NONE if there is none, or, in a
 * large tier, none was met. */
uint16_t pick_draw(struct pick_search *, uint64_t dice);

/* Draws at random another than 'other', or 'other' itself if chance will have
 * it so or there is no other. */
uint16_t pick_draw_other(struct pick_search *, uint16_t other);

/* Notes for the explanation that 'position' was compared. */
void pick_note(struct pick_search *, uint16_t position);

static inline uint32_t
pick_weight(const struct pick_search *s, uint16_t position)
{
    return s->tier[position].weight_sum
           - (position ? s->tier[position - 1].weight_sum : 0);
}

/* May be NULL. */
static inline struct endpoint_load *
pick_load(const struct pick_search *s, uint16_t position)
{
    return s->group->endpoints[s->tier[position].endpoint].load;
}

#endif /* anycast/pick-private.h */
