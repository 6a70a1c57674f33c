/* Moving to another store: from one machine's file to etcd, or back. */

#ifndef MAPPING_MAPD_STORE_COPY_H
#define MAPPING_MAPD_STORE_COPY_H 1

#include "mapping/mapd/store.h"

/* What was copied. */
struct store_copied {
    uint64_t revision;
    size_t n_hosts, n_groups, n_endpoints;
    size_t n_others;            /* Records of other kinds. */
};

/* Copies all that the store 'from' holds to the store 'to', which is created
 * and must be empty.  What is assigned (ids, indexes, epochs, slots, previous
 * owners), the flow-hash key and the revision are the same there, so that
 * hosts that are then served from there notice nothing and no connection
 * breaks.  A store that a mapd uses is refused.
 *
 * Both members 'must_exist' and 'first_key' are set by this function.  Blocks
 * for as long as it takes; for up to 10 s until etcd grants the lead.  Returns
 * 0 and '*copied'; or a positive errno with '*diag' filled in, and then 'to'
 * holds no records. */
int store_copy(const struct store_options *from,
               const struct store_options *to, struct store_copied *copied,
               struct diagnosis *diag);

#endif /* mapping/mapd/store-copy.h */
