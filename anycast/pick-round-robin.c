/* Turns.  With equal weights they go round in order.
 *
 * With others, turn t falls on the fractional part of t * the golden ratio,
 * which lies evenly at every length (H. Weyl, 1916; V. T. Sos, 1958): whatever
 * stretch of turns one looks at, each endpoint has had its share of them to
 * within a few, and the turns of a heavy one are spread among the others.
 * So all the state is one counter, and threads share it with one addition.  It
 * begins anywhere, or hosts would all go round in step. */

#include "anycast/pick-private.h"

/* 2**64 / the golden ratio. */
#define STEP UINT64_C(0x9e3779b97f4a7c15)

/* So often another turn is taken for one who is passed over. */
enum { MAX_TURNS = 16 };

static uint64_t
next_turn(struct pick_search *s, uint64_t ahead)
{
    struct group_load *load = s->group->load;

    if (!load) {
        return pick_random(s);
    } else if (s->query->dry_run) {
        return load_read(load->turn) + ahead;
    } else if (!load_read(load->turn)) {
        uint64_t none = 0;

        __atomic_compare_exchange_n(&load->turn, &none, pick_random(s), false,
                                    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    }
    return __atomic_fetch_add(&load->turn, 1, __ATOMIC_RELAXED);
}

uint16_t
pick_round_robin(struct pick_search *s)
{
    bool equal = s->weight == s->n;
    int turns = s->n < MAX_TURNS ? s->n : MAX_TURNS;

    for (int i = 0; i < turns; i++) {
        uint64_t turn = next_turn(s, i);
        uint16_t position = (equal ? turn % s->n
                             : pick_position(s, turn * STEP));

        if (pick_admits(s, position)) {
            return position;
        }
    }
    return pick_draw(s, pick_random(s));
}
