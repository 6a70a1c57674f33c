/* Who owned each slot of a group before.
 *
 * When a slot passes from a to b, hosts may still have flows on a, or on whom
 * it had the slot from.  So for each slot the last GROUP_MAX_PREVIOUS owners
 * are kept, latest first: without the present one, without any twice, and only
 * those that may still have flows.
 *
 * A history is a table per age, 'layers': layers[0] has the latest previous
 * owner of each slot.  A layer in which no slot has any is NULL. */

#ifndef MAPPING_CATALOG_SLOT_HISTORY_H
#define MAPPING_CATALOG_SLOT_HISTORY_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/group.h"

/* Stores in 'next' what follows from 'layers' when the owners of the 'n' slots
 * change from 'from' (NULL: nobody owned any) to 'to'.  'keeps' is a bitmap of
 * the GROUP_MAX_ENDPOINTS indexes whose endpoints may have flows.  Returns
 * true if 'next' differs from 'layers'; the caller then owns its layers.
 * Otherwise 'next' is untouched.  Thread-safe. */
bool slot_history_next(uint16_t *const layers[GROUP_MAX_PREVIOUS],
                       const uint16_t *from, const uint16_t *to, size_t n,
                       const unsigned long *keeps,
                       uint16_t *next[GROUP_MAX_PREVIOUS]);

/* Returns the first slot whose previous owners cannot be, given its owner in
 * 'slots' and 'keeps' as above; 'n' if there is none. */
size_t slot_history_check(uint16_t *const layers[GROUP_MAX_PREVIOUS],
                          const uint16_t *slots, size_t n,
                          const unsigned long *keeps);

/* A copy, owned by the caller.  Layers in which no slot has any may stand in
 * 'layers' as tables, too. */
void slot_history_copy(uint16_t *copy[GROUP_MAX_PREVIOUS],
                       uint16_t *const layers[GROUP_MAX_PREVIOUS], size_t n);

#endif /* mapping/catalog/slot-history.h */
