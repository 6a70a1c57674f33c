/* A host's copy of what mapd sent it: decodes and validates snapshots and
 * updates, all or nothing.  No I/O but a line of log: the agent feeds it
 * messages and builds packet-path tables from it.  Not thread-safe.
 *
 *     struct replica replica;
 *     replica_init(&replica);
 *     error = replica_load_snapshot(&replica, snapshot, now_ms, &diag);
 *     ...
 *     error = replica_apply_update(&replica, update, now_ms, &diag);
 *     if (error) { log diag.message, subscribe again; }
 *     HMAP_FOR_EACH (group, node, &replica.groups) { ... } */

#ifndef MAPPING_REPLICA_REPLICA_H
#define MAPPING_REPLICA_REPLICA_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/flow-hash.h"
#include "mapping/diagnosis.h"
#include "mapping/record.h"
#include "openvswitch/hmap.h"

struct json;

struct replica_endpoint {
    struct record_endpoint record;
    uint16_t index;             /* Below GROUP_MAX_ENDPOINTS. */
    int64_t up_at_ms;           /* When it came up, on the clock of 'now_ms',
                                 * before which it may be (negative, too).
                                 * Only of endpoints that are up and whose host
                                 * is alive.  As good as the last message in
                                 * which its group changed. */
    bool unhealthy;             /* It gets no new flows. */
};

struct replica_group {
    struct hmap_node node;      /* In replica->groups, by VNI and name. */
    struct hmap_node id_node;   /* In replica->by_id. */
    struct hmap_node key_node;  /* In replica->by_key. */
    struct record_group record;
    uint32_t id, epoch;
    uint64_t changed;           /* replica->generation when last changed. */
    uint16_t *slots;            /* record.n_slots: an endpoint that is up, or
                                 * GROUP_NO_ENDPOINT. */
    uint16_t *previous;         /* As in struct group: GROUP_MAX_PREVIOUS by
                                 * slot, latest first, endpoints that are up or
                                 * draining; NULL if no slot has any. */
    struct replica_endpoint *endpoints; /* Sorted by index. */
    size_t n_endpoints;
};

struct replica_host {
    struct hmap_node node;      /* In replica->hosts, by name. */
    struct hmap_node vtep_node; /* In replica->by_vtep. */
    struct record_host record;
    bool alive;                 /* Else its endpoints are ENDPOINT_LOST to the
                                 * packet path, if they are up or draining. */
};

/* What gateways need: a record of a plain kind (record.h), as mapd has it. */
struct replica_record {
    struct hmap_node node;      /* In replica->records[], by key. */
    struct record record;
    uint64_t changed;           /* replica->generation when last changed. */
};

/* Read-only for all but replica*.c. */
struct replica {
    struct hmap records[N_RECORD_KINDS]; /* struct replica_record; none of the
                                          * kinds before RECORD_FIRST_PLAIN. */
    struct hmap groups;         /* struct replica_group. */
    struct hmap hosts;          /* struct replica_host. */
    struct hash_key key;
    uint64_t revision;          /* Of the last message applied. */
    uint64_t generation;        /* Counts messages applied; 0: none yet. */

    /* Indexes that keep the checks of an update as small as the update. */
    struct hmap by_id;          /* Groups. */
    struct hmap by_key;         /* Groups, by VNI, address, protocol, ports. */
    struct hmap by_vtep;        /* Hosts. */
    struct hmap uses;           /* How many endpoints each host has. */
};

void replica_init(struct replica *);
void replica_destroy(struct replica *);

/* Replaces all by the snapshot 'json', or applies the update 'json' (the
 * single parameter of an `update` notification).  Returns 0; or a positive
 * errno, with '*diag' filled in and the replica as it was: malformed, or
 * inconsistent in itself or with what is here (unknown host, group or epoch;
 * not after a snapshot; not the next revision).  Then a new snapshot is
 * needed.  'now_ms' is the time on any clock of the caller's.
 *
 * The changes of an update take effect in their order; whether all is
 * consistent counts at the end only.  An update takes time in proportion to
 * its size, and to the slots and endpoints of the groups that it changes.
 *
 * Groups that are the same before and after keep their 'changed', unless the
 * hash key is another, or a host of theirs died or came to life; and so do
 * records.  Pointers to hosts, groups and records that changed become invalid;
 * a snapshot invalidates all.
 *
 * A snapshot with another hash key, or an older revision, than what is here
 * is taken, with a warning in the log. */
int replica_load_snapshot(struct replica *, const struct json *json,
                          int64_t now_ms, struct diagnosis *diag);
int replica_apply_update(struct replica *, const struct json *json,
                         int64_t now_ms, struct diagnosis *diag);

/* NULL if not found. */
const struct replica_host *replica_find_host(const struct replica *,
                                             const char *name);
const struct replica_group *replica_find_group_by_id(const struct replica *,
                                                     uint32_t id);
const struct replica_group *replica_find_group(const struct replica *,
                                               uint32_t vni, const char *name);
const struct replica_endpoint *replica_find_endpoint(
    const struct replica_group *, uint16_t index);
/* 'key': only its kind, a plain one, and key members count. */
const struct replica_record *replica_find_record(const struct replica *,
                                                 const struct record *key);

/* The first, and the next, record of a plain 'kind' in 'vni' (0: in any), in
 * no particular order; NULL if there is none (any more).
 *
 *     REPLICA_FOR_EACH_RECORD (r, RECORD_WORKLOAD, vni, replica) {
 *         ... r->record.workload ...
 *     } */
const struct replica_record *
replica_first_record(const struct replica *, enum record_kind kind,
                     uint32_t vni);
const struct replica_record *
replica_next_record(const struct replica *, const struct replica_record *,
                    uint32_t vni);
#define REPLICA_FOR_EACH_RECORD(R, KIND, VNI, REPLICA)                  \
    for ((R) = replica_first_record(REPLICA, KIND, VNI); (R);           \
         (R) = replica_next_record(REPLICA, R, VNI))

#endif /* mapping/replica/replica.h */
