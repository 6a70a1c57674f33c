/* What the methods that change the catalog have in common.  Private to
 * server*.c. */

#ifndef MAPPING_MAPD_SERVER_CHANGE_H
#define MAPPING_MAPD_SERVER_CHANGE_H 1

#include <stdbool.h>
#include <stdint.h>

#include "mapping/mapd/server-private.h"

struct params;
struct record;

/* Members of `transact` and `load`. */
struct server_change_options {
    bool dry_run;
    bool conditional;           /* The next is given. */
    uint64_t if_revision;
};

/* Reads them. */
void server_change_options(struct params *, struct server_change_options *);

/* Whether the change is for the present revision: 0, or a positive errno with
 * '*diag' filled in. */
int server_change_check(const struct server *,
                        const struct server_change_options *,
                        struct diagnosis *diag);

/* Adds 'record', or makes the one that is there equal to it.  0, or a positive
 * errno with '*diag' filled in. */
int server_change_merge(struct server *, struct catalog_txn *,
                        const struct record *record, struct diagnosis *diag);

/* The array of CHANGE objects, which the caller owns. */
struct json *server_change_encode(struct server *,
                                  const struct catalog_change *, size_t n);


/* Applies one OP of `transact`, adds the leases that come of it to the array
 * 'leases', and adds to 'warnings' as below.  0, or a positive errno with
 * '*diag' filled in. */
int server_change_apply(const struct server *, struct catalog_txn *,
                        const struct json *op, struct json *leases,
                        struct json *warnings, struct diagnosis *diag);

/* Adds lines to the array 'warnings' about the members that 'given', which has
 * just been added or set, gives and that have no effect. */
void server_change_warn(const struct catalog *, const struct json *given,
                        struct json *warnings);

#endif /* mapping/mapd/server-change.h */
