/* Where mapd keeps its catalog.  store.c finds the engine; each has a file of
 * its own (store-engine.h).
 *
 * A commit is durable when it returns: it survives kill -9 and power loss. */

#ifndef MAPPING_MAPD_STORE_H
#define MAPPING_MAPD_STORE_H 1

#include "anycast/flow-hash.h"
#include "mapping/catalog/catalog.h"

struct store;

struct store_options {
    const char *target;         /* "sqlite:PATH" or a bare path, or
                                 * "etcd:URL,URL,...". */
    /* Of etcd; NULL: none, or the default. */
    const char *etcd_prefix;    /* Of all keys; STORE_ETCD_PREFIX. */
    const char *etcd_user, *etcd_password_file;
    const char *etcd_ca, *etcd_cert, *etcd_key; /* PEM files. */
    const char *name;           /* This mapd's, unique; its address. */
    const char *address;        /* Where other mapds reach it: "tcp:IP:PORT"
                                 * or "unix:PATH". */

    bool must_exist;            /* Create no store. */
    const struct hash_key *first_key; /* Of a store that is created; NULL:
                                 * from the system's random source. */
};

#define STORE_ETCD_PREFIX "/grapnel/"

/* Opens (or creates) the store that 'options->target' names, loads its
 * contents into the empty 'catalog' and its flow-hash key into '*key'.
 * Returns 0 and '*store', owned by the caller; or a positive errno with
 * '*diag' filled in: a file that is not ours, corrupt, read-only, locked by
 * another process, or of a newer version is refused and left as it is. */
int store_open(const struct store_options *options, struct catalog *catalog,
               struct hash_key *key, struct store **store,
               struct diagnosis *diag);
void store_close(struct store *);

/* Makes the prepared transaction 'txn' durable, all of it or nothing.
 * Returns 0 or a positive errno with '*diag' filled in. */
int store_commit(struct store *, const struct catalog_txn *txn,
                 const struct catalog *catalog, struct diagnosis *diag);

/* Whether the files that '*store' writes are still where the next start will
 * look for them: 0, or a positive errno with '*diag' filled in.
 * store_commit() checks it, too. */
int store_check(const struct store *, struct diagnosis *diag);

/* Writes a copy of all that is committed to the new file 'path', an absolute
 * path, with which a later mapd can go on: ids, slots and the hash key are the
 * same.  It is readable to the owner only, and durable.  Takes as long as
 * writing that much.  Returns 0; or a positive errno with '*diag' filled in
 * and no file left. */
int store_backup(struct store *, const char *path, struct diagnosis *diag);

/* The target, with an absolute path, for people. */
const char *store_name(const struct store *);

/* Stores that several mapds share.  One of them, the leader, commits; the
 * others follow.  A store of one user is led by it. */

bool store_is_shared(const struct store *);

/* How many records and groups a commit may change, all told, before it costs
 * much more than a small one. */
size_t store_commit_room(const struct store *);

/* Goes on with what the store does in the background, and has poll_block()
 * wake up for it.  store_run() may block for a quarter of a second now and
 * then. */
void store_run(struct store *);
void store_wait(struct store *);

/* To be called at least every half second while a long change is worked out,
 * lest this mapd lose the lead meanwhile. */
void store_refresh(struct store *);

/* Prepares the next transaction of 'catalog' that another mapd has committed:
 * the caller publishes it and calls catalog_commit(), not store_commit().
 * NULL if there is none.  Commits fail unless all have been taken. */
struct catalog_txn *store_follow(struct store *, struct catalog *catalog);

/* Whether this mapd is the leader, and can commit: 0; or a positive errno with
 * '*diag' filled in: DIAG_NOT_LEADER if another one is, or there is none. */
int store_check_leader(const struct store *, struct diagnosis *diag);
/* The leader's name and address, valid until store_run(), or NULL: there is
 * none.  Of a store of one user: NULL. */
const char *store_leader_name(const struct store *);
const char *store_leader_address(const struct store *);
/* A number that is another one for each leader, also for one that is it again;
 * 0: there is none, or the store is of one user. */
int64_t store_leader_term(const struct store *);
/* This mapd's. */
const char *store_own_name(const struct store *);

/* Tells other mapds that host 'name' is connected here; or that it is not any
 * more, and has been silent for 'silent_ms'.  They hear it soon after the next
 * store_run(), and by the end of a lease when this mapd dies. */
void store_put_seen(struct store *, const char *name);
void store_drop_seen(struct store *, const char *name, long long silent_ms);

/* What another mapd has told of a host. */
struct store_seen {
    record_name host;
    char mapd[64];              /* Who sees it; "": nobody any more, ... */
    long long int silent_ms;    /* ... and for how long it has been silent. */
};

/* The next one that was told since the last call; false: none. */
bool store_next_seen(struct store *, struct store_seen *);

#endif /* mapping/mapd/store.h */
