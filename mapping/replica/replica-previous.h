/* The previous owners of a group's slots, out of the JSON of docs/protocol.md.
 * Part of replica-group.c. */

#ifndef MAPPING_REPLICA_REPLICA_PREVIOUS_H
#define MAPPING_REPLICA_REPLICA_PREVIOUS_H 1

#include "mapping/replica/replica.h"

/* Bytes of group->previous, if it is not NULL. */
static inline size_t
replica_previous_size(const struct replica_group *group)
{
    return (group->record.n_slots * GROUP_MAX_PREVIOUS
            * sizeof *group->previous);
}

/* Fills 'table', by slot, with previous owners: with 'age' 0 the last ones,
 * then those before them. */
void replica_previous_read(const struct replica_group *group, size_t age,
                           uint16_t *table);

/* Applies the differences in the array 'json' to group->previous.  Returns 0,
 * or a positive errno with '*diag' filled in. */
int replica_previous_apply(struct replica_group *group,
                           const struct json *json, struct diagnosis *diag);

/* Sets group->previous, which is that of 'before', to what follows from the
 * change of slots from 'before' to 'group', and from the group's endpoints:
 * slot-history.h.  They have as many slots. */
void replica_previous_follow(struct replica_group *group,
                             const struct replica_group *before);

/* Returns 0 if the previous owners can be, or a positive errno with '*diag'
 * filled in. */
int replica_previous_check(const struct replica_group *group,
                           struct diagnosis *diag);

/* Of groups with as many slots. */
bool replica_previous_equal(const struct replica_group *a,
                            const struct replica_group *b);

#endif /* mapping/replica/replica-previous.h */
