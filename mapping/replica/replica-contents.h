/* What a GROUP and a delta of docs/protocol.md have in common: epoch, slots,
 * previous owners and endpoints.  Part of replica-group.c. */

#ifndef MAPPING_REPLICA_REPLICA_CONTENTS_H
#define MAPPING_REPLICA_REPLICA_CONTENTS_H 1

#include "mapping/json-members.h"
#include "mapping/replica/replica.h"

/* The first members of an array for json_members_take(). */
enum {
    REPLICA_CONTENTS_EPOCH,
    REPLICA_CONTENTS_SLOTS,
    REPLICA_CONTENTS_PREVIOUS,
    REPLICA_CONTENTS_ENDPOINTS,
    REPLICA_N_CONTENTS
};

#define REPLICA_CONTENTS \
    { .name = "epoch", .type = JSON_INTEGER }, \
    { .name = "slots", .type = JSON_STRING }, \
    { .name = "previous", .type = JSON_ARRAY }, \
    { .name = "endpoints", .type = JSON_ARRAY }

/* Applies the members 'm', of which the first are as in REPLICA_CONTENTS, to
 * 'group': differences of slots and previous owners, and endpoints, which it
 * adds.  'before' is the group that a delta is about, else NULL.  Returns 0;
 * or a positive errno with '*diag' filled in, and 'group' of no more use than
 * to be destroyed. */
int replica_contents_decode(struct replica_group *group,
                            const struct json_member m[],
                            const struct replica_group *before,
                            int64_t now_ms, struct diagnosis *diag);

/* Returns 0 if 'group' is consistent in itself, or a positive errno with
 * '*diag' filled in. */
int replica_contents_check(const struct replica_group *group,
                           struct diagnosis *diag);

#endif /* mapping/replica/replica-contents.h */
