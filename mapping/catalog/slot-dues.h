/* How many of a group's slots each endpoint is due: apportionment by highest
 * averages (D'Hondt, Jefferson), everyone having at least one.
 *
 * Of all apportionments this one makes the largest ratio of an endpoint's
 * slots to the share that its weight asks for as small as it can be; that
 * ratio is below 1 + n / n_slots for whoever has more than the one slot that
 * all have.  It is also monotonic: when an endpoint comes, or gains weight, no
 * other is due more than before; when one goes, or loses weight, no other is
 * due less.  (Largest remainders has neither property, so it would move slots
 * between endpoints that did not change.)  Source: Balinski and Young, "Fair
 * Representation", 2nd edition. */

#ifndef MAPPING_CATALOG_SLOT_DUES_H
#define MAPPING_CATALOG_SLOT_DUES_H 1

#include <stddef.h>
#include <stdint.h>

#include "mapping/catalog/slots.h"

/* Sets due[i] to the number of slots that claims[i] is due, for 'n' claims (1
 * to SLOTS_MAX_CLAIMS) on 'n_slots' (1 to GROUP_MAX_SLOTS); the sum is
 * 'n_slots'.  'held' says how many each has now: where claims tie for a slot,
 * it goes to one that has it already, then to the lowest index.  With more
 * claims than slots, the heaviest get one each, ties as above.  Thread-safe.
 */
void slot_dues(const struct slots_claim *claims, const uint32_t *held,
               size_t n, size_t n_slots, uint32_t *due);

#endif /* mapping/catalog/slot-dues.h */
