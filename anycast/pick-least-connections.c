/* The one with the fewest open flows, for its weight: of three drawn by weight
 * (after M. Mitzenmacher, 2001), or of all if they are few.
 *
 * What is known is what this host has open, and a new flow is part of it at
 * once, so hosts that know the same do not choose the same for long.  Among
 * equals chance decides, and out of many endpoints the draw lets none have
 * more than three times its share. */

#include "anycast/pick-private.h"

enum {
    FEW     = 8,
    CHOICES = 3,
};

static uint64_t
open_flows(const struct pick_search *s, uint16_t position)
{
    const struct endpoint_load *load = pick_load(s, position);

    return load ? load_open(load) : 0;
}

/* The 'i'th other one to compare 'best' with; 'best' itself for none. */
static uint16_t
next_choice(struct pick_search *s, uint16_t best, uint64_t start, int i)
{
    uint16_t position;

    if (s->n > FEW) {
        return pick_draw_other(s, best);
    }
    position = (start + i) % s->n;
    return position != best && pick_admits(s, position) ? position : best;
}

uint16_t
pick_least_connections(struct pick_search *s)
{
    uint16_t best = pick_draw(s, pick_random(s));
    int n = s->n > FEW ? CHOICES - 1 : s->n;
    uint64_t start = pick_random(s) >> 32;

    if (best == PICK_NONE) {
        return PICK_NONE;
    }
    pick_note(s, best);
    for (int i = 0; i < n && !s->decided; i++) {
        uint16_t other = next_choice(s, best, start, i);

        if (other != best) {
            pick_note(s, other);
            if (s->decided
                || open_flows(s, other) * pick_weight(s, best)
                   < open_flows(s, best) * pick_weight(s, other)) {
                best = other;
            }
        }
    }
    return best;
}
