/* Decodes what mapd tells about plain records.  Part of replica.c. */

#ifndef MAPPING_REPLICA_REPLICA_RECORD_H
#define MAPPING_REPLICA_REPLICA_RECORD_H 1

#include "mapping/replica/replica-txn.h"

/* Puts in the record 'json'; one that is there already is an error unless
 * 'may_exist'.  0, or a positive errno with '*diag' filled in. */
int replica_record_put(struct replica_txn *, const struct json *json,
                       bool may_exist, struct diagnosis *);
/* Takes out the record with the kind and key members of 'json'. */
int replica_record_remove(struct replica_txn *, const struct json *json,
                          struct diagnosis *);

/* Records of 'fresh' that 'old' has, too, changed when they last did there. */
void replica_record_inherit(struct replica *fresh, const struct replica *old);

#endif /* mapping/replica/replica-record.h */
