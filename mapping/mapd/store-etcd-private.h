/* What the parts of the etcd store share: store-etcd.c (opening, following),
 * store-etcd-commit.c, store-etcd-leader.c, store-etcd-seen.c.
 *
 * Keys, below the prefix:
 *
 *     meta              {"format":1,"hash_key":HEX32}
 *     revision          {"revision":R,"last_group_id":N,"writer":NAME,
 *                       "nonce":X}, written by every commit
 *     leader            {"name":N,"address":A}, bound to the leader's lease
 *     record/, state/, dead/, health/: store-etcd-writes.h
 *     seen/HOST         {"mapd":NAME}, bound to that mapd's lease; {"mapd":"",
 *                       "silent_ms":N} when the host has gone from it
 *     stage/NONCE/N     packed writes of a commit that is too large for one
 *                       transaction of etcd
 *     pending           {"nonce":X,"n":N}: of those that are valid, and are
 *                       being written to their places
 *
 * What counts is what the watch has told: a mapd is the leader when the watch
 * says so.  Then it has seen all that leaders before it did, and none of them
 * can do any more: each commit compares the leader key's create_revision, and
 * the mod_revision of `revision`. */

#ifndef MAPPING_MAPD_STORE_ETCD_PRIVATE_H
#define MAPPING_MAPD_STORE_ETCD_PRIVATE_H 1

#include <stdlib.h>
#include <string.h>

#include "mapping/etcd/etcd.h"
#include "mapping/mapd/store-engine.h"
#include "mapping/mapd/store-etcd-writes.h"
#include "openvswitch/list.h"
#include "openvswitch/shash.h"
#include "sset.h"

enum {
    STORE_ETCD_LEASE_S   = 2,   /* etcd grants no shorter ones. */
    STORE_ETCD_RETRY_MS  = 1000, /* After a failure. */
    STORE_ETCD_MARGIN_MS = 100, /* Of the lease, for a commit. */
    STORE_ETCD_STAGE     = 512 * 1024, /* Bytes in a value. */
    STORE_ETCD_LOAD_MS   = 20 * 1000,
    STORE_ETCD_SEEN_OPS  = 100, /* At once. */
};

struct store_etcd {
    struct store up;
    char *name, *prefix;
    char *self, *address;       /* This mapd's. */
    struct etcd *etcd;
    struct etcd_watch *watch;
    bool watched;               /* It has begun. */

    /* As the watch has told, or a commit of our own. */
    uint64_t revision;
    int64_t revision_mod;       /* Of `revision`; 0: there is none. */
    char *leader_name, *leader_address; /* NULL: there is no leader. */
    int64_t leader_term, leader_lease;
    struct shash stages;        /* struct ofpbuf, by key. */
    char *pending;              /* Its value, or NULL. */
    int64_t pending_mod;
    bool relist;                /* Something was missed. */
    long long int relist_at;
    struct diagnosis damage;    /* Why what was told cannot be used; its code
                                 * is DIAG_NONE: all is well. */

    struct etcd_lease *lease;   /* NULL: none yet. */
    long long int lease_at;     /* When to try again: time_msec(). */
    long long int campaign_at;
    bool leads;                 /* Was the leader in the last run. */

    /* A large commit that is being written to its places. */
    struct store_etcd_writes roll;
    size_t rolled;              /* So many of them have been. */
    char *roll_nonce;           /* NULL: there is none. */
    bool littered;              /* Something was staged in vain. */
    long long int roll_at;      /* time_msec() before which neither is
                                 * tried. */

    struct shash seen;          /* Hosts that are connected here; data:
                                 * struct store_etcd_seen. */
    struct sset seen_dirty;     /* To be written, ... */
    long long int seen_at;      /* ... from time_msec() on. */
    struct ovs_list seen_news;  /* Of others. */
    struct sset seen_told;      /* Hosts that have a key, as etcd told. */
};

static inline struct store_etcd *
store_etcd_cast(const struct store *store)
{
    return CONTAINER_OF(store, struct store_etcd, up);
}

static inline struct etcd_bytes
store_etcd_bytes(const char *s)
{
    return (struct etcd_bytes) { .data = s, .size = strlen(s) };
}

/* The prefix and 'key'; the caller owns it. */
char *store_etcd_key(const struct store_etcd *, const char *key);

/* store-etcd-leader.c: 0 if this mapd is the leader and its lease lasts for
 * STORE_ETCD_MARGIN_MS at least; or a positive errno with '*diag' filled
 * in. */
int store_etcd_check_leader(const struct store *, struct diagnosis *);
/* Whether the leader is another process with the name of this one: one that
 * was killed, until its lease ends, or one that was given the same name. */
bool store_etcd_has_namesake(const struct store_etcd *);
/* The leader key, as etcd has it; 'kv' NULL: it is gone. */
void store_etcd_leader_told(struct store_etcd *, const struct etcd_kv *kv);
void store_etcd_leader_run(struct store_etcd *);
void store_etcd_leader_wait(const struct store_etcd *);
/* Gives up leadership, and what else hangs on the lease, for others to see;
 * asks for it anew. */
void store_etcd_step_down(struct store_etcd *);

/* store-etcd-commit.c */
int store_etcd_commit(struct store *, const struct catalog_txn *,
                      const struct catalog *, struct diagnosis *);
/* Goes on with a large commit, or with discarding what was staged in vain, for
 * one transaction of etcd. */
void store_etcd_roll(struct store_etcd *);
void store_etcd_roll_wait(const struct store_etcd *);
/* Takes a large commit, or what was staged in vain, of an earlier leader
 * over. */
void store_etcd_take_over(struct store_etcd *);

/* store-etcd.c: appends the writes of the large commit that is pending, and
 * returns its nonce, which the caller owns; NULL with '*diag' filled in if
 * they are not all there. */
char *store_etcd_pending_writes(const struct store_etcd *,
                                struct store_etcd_writes *,
                                struct diagnosis *diag);

/* store-etcd-seen.c */
void store_etcd_seen_init(struct store_etcd *);
void store_etcd_seen_destroy(struct store_etcd *);
/* The key of 'host' as etcd has it; 'kv' NULL: it is gone. */
void store_etcd_seen_told(struct store_etcd *, const char *host,
                          const struct etcd_kv *kv);
/* All keys have been told anew, those of 'hosts': others are gone. */
void store_etcd_seen_relisted(struct store_etcd *, const struct sset *hosts);
/* Has all written again. */
void store_etcd_seen_all(struct store_etcd *);
void store_etcd_seen_run(struct store_etcd *);
void store_etcd_put_seen(struct store *, const char *host);
void store_etcd_drop_seen(struct store *, const char *host,
                          long long silent_ms);
bool store_etcd_next_seen(struct store *, struct store_seen *);

#endif /* mapping/mapd/store-etcd-private.h */
