/* The hash tables of a replica.  Part of replica.c, like replica-group.h and
 * replica-txn.h; not for others.
 *
 * While a transaction is open the indexes may hold several groups with one id
 * or key, and several hosts with one VTEP. */

#ifndef MAPPING_REPLICA_REPLICA_INDEX_H
#define MAPPING_REPLICA_REPLICA_INDEX_H 1

#include "hash.h"
#include "mapping/replica/replica.h"

void replica_index_init(struct replica *);
void replica_index_destroy(struct replica *); /* The tables must be empty. */

/* Put in, and take out; ownership does not change. */
void replica_index_add_host(struct replica *, struct replica_host *);
void replica_index_remove_host(struct replica *, struct replica_host *);
void replica_index_add_group(struct replica *, struct replica_group *);
void replica_index_remove_group(struct replica *, struct replica_group *);

void replica_index_add_record(struct replica *, struct replica_record *);
void replica_index_remove_record(struct replica *, struct replica_record *);

/* NULL if not found. */
struct replica_record *replica_index_record(const struct replica *,
                                            const struct record *key);
struct replica_host *replica_index_host(const struct replica *,
                                        const char *name);
struct replica_group *replica_index_group(const struct replica *,
                                          uint32_t vni, const char *name);

/* Another group or host than the one given, with the same id, key (ranges of
 * ports that overlap count) or VTEP; NULL if there is none. */
const struct replica_group *
replica_index_same_id(const struct replica *, const struct replica_group *);
const struct replica_group *
replica_index_same_key(const struct replica *, const struct replica_group *);
const struct replica_host *
replica_index_same_vtep(const struct replica *, const struct replica_host *);

/* How many endpoints say that they are on host 'name'. */
size_t replica_index_uses(const struct replica *, const char *name);

/* Where a group with 'id' is in replica->by_id. */
static inline uint32_t
replica_index_hash_id(uint32_t id)
{
    return hash_int(id, 0);
}

#endif /* mapping/replica/replica-index.h */
