/* Everything that mapd knows: all records, their references, and what mapd
 * assigns (group ids, endpoint indexes, slot tables).  In memory; the store is
 * written from what a transaction changed.
 *
 *     struct catalog_txn *txn = catalog_begin(catalog);
 *     error = catalog_add(txn, &record, false, &diag);
 *     ...
 *     error = catalog_prepare(txn, &diag);
 *     if (!error) { error = store_commit(store, txn, ...); }
 *     if (error) { catalog_abort(txn); } else { catalog_commit(txn); }
 *
 * Changes of a transaction are visible in the catalog at once and are undone
 * by catalog_abort(); one transaction at a time.  Not thread-safe. */

#ifndef MAPPING_CATALOG_CATALOG_H
#define MAPPING_CATALOG_CATALOG_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/record.h"
#include "openvswitch/hmap.h"

struct catalog;
struct catalog_state;
struct catalog_txn;
struct sset;

enum { CATALOG_WHY_SIZE = 64 }; /* Of why an endpoint is unwell. */

struct catalog_endpoint {
    struct record_endpoint record;
    uint16_t index;             /* Within its group. */
    long long int up_since;     /* When it began to serve, by
                                 * catalog_set_time(); 0: nobody knows, long
                                 * ago.  Kept in memory only. */
};

/* A group with its endpoints.  Read-only for all but catalog*.c. */
struct catalog_group {
    struct record_group record;
    uint32_t id;                /* 1...GROUP_MAX_ID. */
    uint32_t epoch;             /* Counts changes of 'slots' and 'previous',
                                 * from 0: no slot ever had an owner. */
    uint16_t next_index;        /* Where the search for a free one starts. */
    uint16_t *slots;            /* record.n_slots of them. */
    /* Who owned each slot before, and before that: slot-history.h. */
    uint16_t *previous[GROUP_MAX_PREVIOUS];
    struct catalog_endpoint **endpoints; /* Sorted by name. */
    size_t n_endpoints;
};

/* One record changed by a transaction.  'before' or 'after' is NULL for a
 * record added or removed. */
struct catalog_change {
    const struct record *before, *after;
};

/* An endpoint that became unwell, or well, in a transaction. */
struct catalog_health {
    uint32_t group;             /* Id. */
    uint16_t endpoint;          /* Index. */
    bool healthy;
    char why[CATALOG_WHY_SIZE]; /* If not: the reason. */
};

/* A host that came to life, or died, in a transaction. */
struct catalog_liveness {
    record_name host;
    bool alive;
};

struct catalog *catalog_create(void);
void catalog_destroy(struct catalog *);

uint64_t catalog_revision(const struct catalog *);
size_t catalog_count(const struct catalog *, enum record_kind);

/* NULL if not found.  What these five return is valid until the next operation
 * of a transaction, catalog_prepare(), catalog_commit() or catalog_abort(). */
const struct record_host *catalog_find_host(const struct catalog *,
                                            const char *name);
const struct catalog_group *catalog_find_group(const struct catalog *,
                                               uint32_t vni, const char *name);
const struct catalog_endpoint *
catalog_find_endpoint(const struct catalog_group *, const char *name);

/* Whether the host 'name' is thought to be alive.  All hosts are until
 * catalog_set_alive() says otherwise; this is not stored. */
bool catalog_host_is_alive(const struct catalog *, const char *name);
/* Whether 'endpoint' takes new flows: up, bound, and on a host that is alive.
 * Only these own slots. */
bool catalog_endpoint_serves(const struct catalog *,
                             const struct catalog_endpoint *endpoint);

/* Health of endpoints, in groups whose endpoints are checked: as their hosts
 * say; all are well until they say otherwise.  Stored only where several mapds
 * share it.  Why 'endpoint' of 'group' is unwell, NULL: it is not.  Valid as
 * above. */
const char *catalog_endpoint_sickness(const struct catalog *,
                                      const struct catalog_group *group,
                                      const struct catalog_endpoint *endpoint);
/* Whether all endpoints of 'group' that serve are unwell: then all own slots,
 * else those that are well.  O(n_endpoints) as long as they are unwell. */
bool catalog_group_fails_open(const struct catalog *,
                              const struct catalog_group *group);
/* The endpoint with this index of the group with this id, or NULL. */
const struct catalog_endpoint *catalog_find_index(const struct catalog *,
                                                  uint32_t group,
                                                  uint16_t index);
/* The endpoints on host 'host' (NULL: on any) that are unwell, which the
 * caller frees. */
struct catalog_patient {
    uint32_t group;             /* Id. */
    uint16_t endpoint;          /* Index. */
};
struct catalog_patient *catalog_patients(const struct catalog *,
                                         const char *host, size_t *n);

/* The endpoints whose iface is 'iface', in any group: copies, '*n' of them,
 * which the caller frees. */
struct record_endpoint *catalog_endpoints_of(const struct catalog *,
                                             const char *iface, size_t *n);
/* The ifaces of the endpoints that have one and are on one of 'hosts': '*n'
 * copies, which the caller frees.  Takes time in proportion to all endpoints
 * that have one. */
record_iface *catalog_ifaces_on(const struct catalog *,
                                const struct sset *hosts, size_t *n);

/* How many endpoints host 'name' has. */
size_t catalog_host_users(const struct catalog *, const char *name);

/* All hosts, or groups, sorted by key; the caller frees the array (not what it
 * points to). */
const struct record_host **catalog_hosts(const struct catalog *, size_t *n);
const struct catalog_group **catalog_groups(const struct catalog *, size_t *n);
/* The groups in the VNIs from 'first' to 'last', sorted by VNI and name: '*n'
 * pointers, owned by the catalog.  Not within a transaction. */
const struct catalog_group *const *
catalog_groups_between(const struct catalog *, uint32_t first, uint32_t last,
                       size_t *n);

/* Whether there is a group in 'vni': 0, or a positive errno with '*diag'
 * filled in, which names VNIs that have some. */
int catalog_check_vni(const struct catalog *, uint32_t vni,
                      struct diagnosis *diag);

/* Copies the record with the key of 'key' to '*record', if there is one. */
bool catalog_find_record(const struct catalog *, const struct record *key,
                         struct record *record);

/* Copies of all records of 'kind', one of the plain ones, sorted by key; the
 * caller frees the array. */
struct record *catalog_records(const struct catalog *, enum record_kind kind,
                               size_t *n);
/* The workload in 'vni' that has 'mac', or NULL.  As the five above. */
const struct record_workload *catalog_find_station(const struct catalog *,
                                                   uint32_t vni,
                                                   const struct mac *mac);
/* The workload, VIP or lease that has 'address' within 'vni', or NULL; valid
 * until the catalog changes. */
const struct record *catalog_find_claim(const struct catalog *, uint32_t vni,
                                        struct inet_addr address);
/* How many plain records refer to the record 'key'. */
size_t catalog_uses(const struct catalog *, const struct record *key);

/* Transactions.  The three operations return 0, or a positive errno with
 * '*diag' filled in, having changed nothing (the transaction is then usually
 * aborted).  An operation that changes nothing succeeds and leaves no trace.
 * Each sees what those before it did; what must be unique need be so only at
 * the end, so that two hosts can swap their VTEPs. */
struct catalog_txn *catalog_begin(struct catalog *);
/* 'op' is what catalog_prepare() is to call the operations from here on; -1,
 * as at the beginning: nothing. */
void catalog_set_op(struct catalog_txn *, int op);
/* Whether operations from here on may break connections; false, as at the
 * beginning: those that would are refused. */
void catalog_set_force(struct catalog_txn *, bool force);
/* What operations from here on may do to a gateway that is there: nothing to
 * its epoch and to who is active (CATALOG_EPOCH_KEEP, as at the beginning);
 * replace both by others with a higher epoch, as what was dumped may say
 * (CATALOG_EPOCH_RAISE; with force, what is lower leaves both as they are);
 * replace them anyhow, as whoever repeats what somebody else decided
 * (CATALOG_EPOCH_ANY); or, if its epoch is 'rule', from 0, make a node active
 * under the next one. */
enum {
    CATALOG_EPOCH_KEEP  = -1,
    CATALOG_EPOCH_RAISE = -2,
    CATALOG_EPOCH_ANY   = -3,
};
void catalog_set_epoch_rule(struct catalog_txn *, int64_t rule);
int catalog_add(struct catalog_txn *, const struct record *, bool may_exist,
                struct diagnosis *diag);
/* 'json' as for record_update_from_json(). */
int catalog_set(struct catalog_txn *, const struct json *json,
                struct diagnosis *diag);
/* 'key': only its key members count. */
int catalog_remove(struct catalog_txn *, const struct record *key,
                   bool if_exists, bool cascade, struct diagnosis *diag);

/* Takes note that a host, which must exist, has died or lives again.  Not a
 * change of a record, but the revision counts it. */
void catalog_set_alive(struct catalog_txn *, const char *host, bool alive);

/* Takes note that this endpoint, which must exist, is unwell because of 'why',
 * or well (NULL).  As catalog_set_alive(). */
void catalog_set_health(struct catalog_txn *, uint32_t group,
                        uint16_t endpoint, const char *why);

/* The time, in ms of any clock that does not go back, for 'up_since';
 * positive. Without it, endpoints that come up have been up for ever. */
void catalog_set_time(struct catalog_txn *, long long int now);

/* Following another catalog, the leader, in a transaction that begins with
 * catalog_follow(): it ends at the leader's 'revision' and 'last_group_id',
 * and catalog_prepare() assigns nothing.  The operations are the next two (not
 * catalog_add() and catalog_set()), catalog_remove(), catalog_set_alive(), and
 * catalog_set_health(), whose endpoint may be still to come. */
void catalog_follow(struct catalog_txn *, uint64_t revision,
                    uint32_t last_group_id);
/* Adds 'record', or makes the one that is there equal to it, whatever that
 * breaks: the leader has done it. */
int catalog_install_record(struct catalog_txn *, const struct record *record,
                           struct diagnosis *diag);
/* Has the group, whose record and endpoints are as they are to be, given the
 * 'state' (catalog-state.h), which is taken over regardless of success.  A
 * group without one keeps what it had; new ones, and those with new endpoints,
 * need one.  What cannot be, as for catalog_restore_group(), is refused here
 * or by catalog_prepare(). */
int catalog_install_state(struct catalog_txn *, uint32_t vni, const char *name,
                          struct catalog_state *state, struct diagnosis *diag);

/* Ends the operations: checks that nothing is there twice that must be unique,
 * reassigns the slots of the groups touched, numbers new groups and endpoints,
 * and compresses the changes to one per record (none if it is as it was).
 * What was removed and added again keeps its numbers, save for the id of a
 * group whose fixed members differ, and the index of an endpoint whose MAC
 * differs: those are new ones.  Call once, before the accessors below and
 * catalog_commit().  Returns 0; or a positive errno, with '*diag' filled in
 * ('op' says which operation is at fault, if it is known), and then only
 * catalog_abort() may follow. */
int catalog_prepare(struct catalog_txn *, struct diagnosis *diag)
    OVS_WARN_UNUSED_RESULT;

/* After catalog_prepare(): what changed (nothing: *n == 0), sorted by
 * record_compare_keys(); and which groups, or their endpoints, changed, in
 * their new state, sorted by key (removed ones are not among them).  Owned by
 * the transaction. */
const struct catalog_change *catalog_txn_changes(const struct catalog_txn *,
                                                 size_t *n);
const struct catalog_group *const *
catalog_txn_groups(const struct catalog_txn *, size_t *n);
/* What 'group' (one of catalog_txn_groups()) was before; NULL if it is new or
 * made anew (then it has a new id).  Valid as long as the transaction. */
const struct catalog_group *
catalog_txn_before(const struct catalog_txn *,
                   const struct catalog_group *group);
/* Which endpoints have become unwell, or well, which those are that are gone;
 * sorted.  Owned by the transaction. */
const struct catalog_health *
catalog_txn_health(const struct catalog_txn *, size_t *n);
/* Which hosts died or came to life, sorted by name.  Owned by the
 * transaction. */
const struct catalog_liveness *
catalog_txn_liveness(const struct catalog_txn *, size_t *n);
/* The revision that the catalog has once committed: one more, or the same if
 * nothing changed. */
uint64_t catalog_txn_revision(const struct catalog_txn *);

/* Both end and free the transaction. */
void catalog_commit(struct catalog_txn *);
void catalog_abort(struct catalog_txn *);

/* Loading from a store, before any transaction: hosts, then groups, each
 * with its assigned state, then plain records.  The same checks as
 * catalog_add(); and a slot owned by an endpoint that is absent or not up,
 * previous owners that cannot be, and an id or index used twice or out of
 * range, are refused.  'group->slots', 'group->previous' and
 * 'group->endpoints' are copied; the latter need not be sorted, but must be
 * of this group.  Returns 0, or a positive errno with '*diag' filled in and
 * the catalog as it was. */
int catalog_restore_host(struct catalog *, const struct record_host *,
                         struct diagnosis *diag);
int catalog_restore_group(struct catalog *, const struct catalog_group *,
                          struct diagnosis *diag);
/* Of a plain kind; what it refers to comes first. */
int catalog_restore_record(struct catalog *, const struct record *,
                           struct diagnosis *diag);
/* Finds the hosts that were dead when what was restored was stored: they have
 * endpoints that are up and yet own no slot.  They are dead again. */
void catalog_restore_liveness(struct catalog *);
/* The revision, and the id last given to a group (ids go round before they are
 * used again; at most GROUP_MAX_ID). */
void catalog_restore_counters(struct catalog *, uint64_t revision,
                              uint32_t last_group_id);
uint32_t catalog_last_group_id(const struct catalog *);

#endif /* mapping/catalog/catalog.h */
