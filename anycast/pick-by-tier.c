/* least-cost, availability, and nearest by labels: the tier says it all.
 * Inside a tier flows are spread by weight.
 *
 * By the flow's hash, not by chance, so that hosts choose alike, and so does
 * one host twice, while nothing changes: a repeated SYN without flow entry
 * arrives where the first did. */

#include "anycast/pick-private.h"

uint16_t
pick_by_tier(struct pick_search *s)
{
    return pick_draw(s, s->query->hash);
}
