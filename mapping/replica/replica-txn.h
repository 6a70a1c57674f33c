/* A change of a replica, made at once and undone if it turns out to be
 * inconsistent.  Its cost depends on what changes, not on what is there.  Part
 * of replica.c.
 *
 *     struct replica_txn txn;
 *     replica_txn_begin(&txn, replica);
 *     replica_txn_put_host(&txn, host);
 *     error = replica_txn_check(&txn, diag);
 *     if (!error) { replica_txn_commit(&txn, generation); }
 *     else { replica_txn_abort(&txn); } */

#ifndef MAPPING_REPLICA_REPLICA_TXN_H
#define MAPPING_REPLICA_REPLICA_TXN_H 1

#include "mapping/replica/replica.h"

struct replica_edit;

struct replica_txn {
    struct replica *replica;
    struct replica_edit *edits;
    size_t n_edits, allocated;
};

void replica_txn_begin(struct replica_txn *, struct replica *);

/* Puts in 'host' or 'group', in place of the one of that name, if any.  Takes
 * ownership.  Does nothing if it is the same as what is there. */
void replica_txn_put_host(struct replica_txn *, struct replica_host *host);
void replica_txn_put_group(struct replica_txn *, struct replica_group *group);

/* The same for a plain record. */
void replica_txn_put_record(struct replica_txn *, const struct record *);
void replica_txn_remove_record(struct replica_txn *,
                               struct replica_record *record);

/* Takes out 'host' or 'group', which is in the replica. */
void replica_txn_remove_host(struct replica_txn *, struct replica_host *host);
void replica_txn_remove_group(struct replica_txn *,
                              struct replica_group *group);

/* Returns 0 if the replica, before the transaction consistent, is so now; or a
 * positive errno with '*diag' filled in. */
int replica_txn_check(const struct replica_txn *, struct diagnosis *diag);

/* Both end the transaction.  A commit sets the 'changed' of the groups put in
 * to 'generation'. */
void replica_txn_commit(struct replica_txn *, uint64_t generation);
void replica_txn_abort(struct replica_txn *);

#endif /* mapping/replica/replica-txn.h */
