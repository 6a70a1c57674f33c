/* Leases of addresses: who gets which address of a pool, and for how long.
 *
 * A client has at most one lease of a pool.  Times are seconds since 1970, by
 * a clock of the caller's that does not jump.  What these return is as of
 * catalog_add(): they are operations of a transaction. */

#ifndef MAPPING_CATALOG_CATALOG_LEASE_H
#define MAPPING_CATALOG_CATALOG_LEASE_H 1

#include "mapping/catalog/catalog.h"

struct json;

enum catalog_lease_op {
    CATALOG_LEASE_ALLOCATE,     /* 'pool', 'client', perhaps 'address'. */
    CATALOG_LEASE_RENEW,        /* 'pool', and 'client' or 'address'. */
    CATALOG_LEASE_RETURN,       /* The same. */
    CATALOG_LEASE_REASSIGN,     /* 'pool', 'address', and the new 'client'. */
    N_CATALOG_LEASE_OPS
};

/* "allocate", ...; the reverse returns false for another name. */
const char *catalog_lease_op_name(enum catalog_lease_op);
bool catalog_lease_op_from_name(const char *name, enum catalog_lease_op *);

/* Does 'op' at 'now' with the members of a lease record that 'json' gives.
 * Its `term` is for how long from 'now'; else the pool's term counts or, of a
 * lease that is there, its own.  'exists_ok': a client that has a lease gets
 * that one renewed by ALLOCATE, and RETURN of what is not there changes
 * nothing.
 *
 * Without an address, ALLOCATE gives a workload the address in the pool that
 * is its own, if that is so, and else the lowest that nobody has.
 *
 * Returns 0 with '*any' set and the lease in '*lease', as it is now or, of
 * RETURN, was; '*any' is false if there was none to return.  Or a positive
 * errno with '*diag' filled in. */
int catalog_lease_do(struct catalog_txn *, enum catalog_lease_op op,
                     const struct json *json, bool exists_ok, int64_t now,
                     bool *any, struct record *lease,
                     struct diagnosis *diag);

/* Removes the leases that have expired by 'now'.  Returns how many. */
size_t catalog_lease_expire(struct catalog_txn *, int64_t now);

/* Puts off the end of all leases that have one by 'seconds', which may be
 * negative. */
void catalog_lease_shift(struct catalog_txn *, int64_t seconds);

/* When the first lease expires; INT64_MAX if none does. */
int64_t catalog_lease_next(const struct catalog *);

/* How many addresses of 'pool' are leased. */
size_t catalog_lease_count(const struct catalog *, const struct record *pool);

#endif /* mapping/catalog/catalog-lease.h */
