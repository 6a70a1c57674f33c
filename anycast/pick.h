/* Which endpoint a new flow gets, in groups that do not go by slots.
 *
 * First the filters: the endpoint is UP (the group's candidates); healthy; far
 * enough up its ramp (slow start); in the best tier (cost, distance, priority)
 * that has any such.  Then the picker of the group's algorithm chooses among
 * what is left.  If health leaves nobody, it is not looked at: sending
 * somewhere beats sending nowhere.
 *
 * A picker is one small file, anycast/pick-NAME.c, and a line in the table in
 * pick.c; pick-private.h says what it has to work with.  It costs O(log n) in
 * the number of endpoints: nobody looks at more than PICK_MAX_LOOKS of them.
 *
 * Thread safety: all of it. */

#ifndef ANYCAST_PICK_H
#define ANYCAST_PICK_H 1

#include <stdbool.h>
#include <stdint.h>

#include "anycast/group.h"

struct pick_query {
    uint64_t hash;              /* The flow's. */
    uint64_t random;            /* 64 random bits. */
    uint64_t now_us;
    bool dry_run;               /* Leave no trace (round robin's turn, the
                                 * retry of an unhealthy endpoint). */
};

enum { PICK_MAX_LOOKS = 64 };

/* For explanations: what the filters left and what the picker compared. */
enum { PICK_MAX_COMPARED = 4 };
struct pick_trail {
    uint16_t n_candidates;      /* UP. */
    uint16_t n_tier;            /* Of these, in the chosen tier. */
    uint16_t tier;
    uint16_t n_skipped;         /* Met and passed over: unhealthy, ... */
    uint16_t n_ramping;         /* ... or held back by slow start. */
    bool ignored_health;
    uint8_t n_compared;
    uint16_t compared[PICK_MAX_COMPARED];
    const char *why;            /* One line for people; static. */
};

/* Returns the choice, or GROUP_NO_ENDPOINT if no endpoint is UP.  'trail' may
 * be NULL.  (In a group that goes by slots the choice is by weight and flow
 * hash.) */
uint16_t pick_endpoint(const struct group *, const struct pick_query *,
                       struct pick_trail *trail);

/* Whether a flow with 'hash' is held back from 'endpoint', which came up not
 * long ago.  Of all flows, (age + 1 s) / ramp are let through; or their share
 * of what the group's oldest endpoint would get, so that a group whose
 * endpoints are all new serves all flows.  A flow that is let through stays so
 * as time goes on. */
bool pick_ramps(const struct group *, uint16_t endpoint, uint64_t hash,
                uint64_t now_us);

/* "round-robin", ...; NULL for a value out of range. */
const char *pick_algorithm_name(enum group_algorithm);

#endif /* anycast/pick.h */
