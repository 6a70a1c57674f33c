/* Groups of a replica, out of the JSON of docs/protocol.md.  What a group says
 * is checked here as far as the group itself goes; how groups and hosts fit
 * together is replica-txn.h's business.  Part of replica.c. */

#ifndef MAPPING_REPLICA_REPLICA_GROUP_H
#define MAPPING_REPLICA_REPLICA_GROUP_H 1

#include "mapping/replica/replica.h"

/* GROUP, received at 'now_ms'.  Returns 0 and '*group', owned by the caller
 * and in no table; or a positive errno with '*diag' filled in. */
int replica_group_from_json(const struct json *json, int64_t now_ms,
                            struct replica_group **group,
                            struct diagnosis *diag);

/* The "group_delta" 'json', applied to a copy of the group in 'replica' that
 * it names.  Returns as above. */
int replica_group_from_delta(const struct replica *replica,
                             const struct json *json, int64_t now_ms,
                             struct replica_group **group,
                             struct diagnosis *diag);

/* {"vni":N,"name":S}: the group in 'replica' that it names, still owned by
 * 'replica'. */
int replica_group_from_key(const struct replica *replica,
                           const struct json *json,
                           struct replica_group **group,
                           struct diagnosis *diag);

void replica_group_destroy(struct replica_group *);

/* True if both say the same; 'changed' and 'up_at_ms' do not count. */
bool replica_group_equal(const struct replica_group *,
                         const struct replica_group *);

/* Returns 0 if 'after', with the id of 'before', can follow it: its epoch is
 * not lower, and with the same epoch its slots and previous owners are the
 * same. */
int replica_group_check_epoch(const struct replica_group *before,
                              const struct replica_group *after,
                              struct diagnosis *diag);

#endif /* mapping/replica/replica-group.h */
