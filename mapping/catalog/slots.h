/* Assignment of a group's slots to endpoints with minimal moves.
 *
 * Each endpoint is due slots in proportion to its weight (slot-dues.h).  An
 * assignment changes a slot's owner only if the owner left or has more than it
 * is due.  So the change of one endpoint moves only slots from it or to it,
 * and no more of them than its due changes.  The result depends on the
 * previous table, which is why mapd keeps it. */

#ifndef MAPPING_CATALOG_SLOTS_H
#define MAPPING_CATALOG_SLOTS_H 1

#include <stddef.h>
#include <stdint.h>

#include "anycast/group.h"

enum {
    SLOTS_MAX_CLAIMS = GROUP_MAX_ENDPOINTS,
};

/* One that may own slots. */
struct slots_claim {
    uint16_t index;             /* Endpoint index, unique. */
    uint16_t weight;            /* Positive. */
};

/* Reassigns the 'n_slots' 'slots' (endpoint index or GROUP_NO_ENDPOINT), up to
 * GROUP_MAX_SLOTS, to the 'n' claims, up to SLOTS_MAX_CLAIMS, in place, in
 * O(n_slots + n log n).  With no claims all slots become GROUP_NO_ENDPOINT.
 * 'seed' decides which slots move and to whom of those that are due some, and
 * nothing else: slots that leave one endpoint are spread over the table and
 * over their new owners.  The order of 'claims' matters only in that too.
 * Returns the number of slots that changed.  Thread-safe. */
size_t slots_assign(uint16_t *slots, size_t n_slots,
                    const struct slots_claim *claims, size_t n,
                    uint64_t seed);

#endif /* mapping/catalog/slots.h */
