/* A client of etcd's v3 API, by its JSON gateway, over libcurl.
 *
 *     error = etcd_create(&options, &etcd, &diag);
 *     for (;;) {
 *         etcd_run(etcd);          (watches and leases)
 *         etcd_wait(etcd);
 *         poll_block();
 *     }
 *
 * Requests (range, transaction, grant) block, each for at most the time that
 * its caller allows; watches and leases go on meanwhile, and their news wait
 * for etcd_run().  Of several members, the one that answered last is asked,
 * and another when it does not answer.  Not thread-safe. */

#ifndef MAPPING_ETCD_ETCD_H
#define MAPPING_ETCD_ETCD_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/diagnosis.h"

struct etcd;

enum {
    ETCD_MAX_MEMBERS   = 16,
    ETCD_ATTEMPT_MS    = 250,   /* For one answer of one member. */
    ETCD_REQUEST_MS    = 5000,  /* Usual bound of a request, all attempts. */
    ETCD_MAX_TXN_OPS   = 120,   /* Below etcd's own default of 128. */
    ETCD_MAX_VALUE     = 1024 * 1024, /* Bytes; etcd's request bound is 1.5 M. */
    ETCD_MAX_TXN_BYTES = 1024 * 1024, /* Keys and values of a transaction. */
    ETCD_MAX_ANSWER    = 64 * 1024 * 1024,
    ETCD_PAGE          = 1000,  /* Keys per page of a range. */
};

struct etcd_options {
    const char *urls;           /* "http://A:2379,https://B:2379". */
    const char *user, *password; /* NULL: without authentication. */
    const char *ca, *cert, *key; /* PEM files for https; NULL: none. */
};

int etcd_create(const struct etcd_options *, struct etcd **,
                struct diagnosis *);
void etcd_destroy(struct etcd *);

void etcd_run(struct etcd *);
void etcd_wait(struct etcd *);

/* Keys and values are any bytes. */
struct etcd_bytes {
    const void *data;
    size_t size;
};

struct etcd_kv {
    struct etcd_bytes key, value;
    int64_t create_revision, mod_revision; /* 0: there is none. */
    int64_t lease;              /* 0: none. */
};

/* All pairs whose keys begin with 'prefix', sorted by key, in pages, as they
 * were at one revision of etcd, which goes to '*revision' (0 going in: the
 * latest; another: that one).  'kvs' is an array that etcd_kvs_destroy()
 * frees.  Returns 0; or a positive errno with '*diag' filled in: ETIMEDOUT if
 * nobody answered; ENODATA if '*revision' has been compacted. */
struct etcd_kvs {
    struct etcd_kv *kvs;
    size_t n;
    struct ovs_list *memory;    /* Private. */
};
int etcd_range(struct etcd *, struct etcd_bytes prefix, int timeout_ms,
               struct etcd_kvs *kvs, int64_t *revision, struct diagnosis *);
void etcd_kvs_destroy(struct etcd_kvs *);

enum etcd_target { ETCD_CREATE_REVISION, ETCD_MOD_REVISION, ETCD_LEASE };

/* Holds if the key's 'target' is 'value' (0: the key is absent). */
struct etcd_compare {
    struct etcd_bytes key;
    enum etcd_target target;
    int64_t value;
};

enum etcd_op_type { ETCD_PUT, ETCD_DELETE, ETCD_DELETE_PREFIX };

struct etcd_op {
    enum etcd_op_type type;
    struct etcd_bytes key;
    struct etcd_bytes value;    /* ETCD_PUT. */
    int64_t lease;              /* ETCD_PUT; 0: none. */
};

/* Does all 'ops', in one revision, if all 'compares' hold.  Returns 0, with
 * '*succeeded' and etcd's revision in '*revision' (both optional); or a
 * positive errno with '*diag' filled in: ETIMEDOUT if the outcome is unknown
 * (the caller finds out by comparing a key that the transaction writes),
 * EAGAIN if etcd said that it did nothing (no leader), E2BIG if it is too
 * large.  A request of unknown outcome is not repeated by the client. */
int etcd_txn(struct etcd *, const struct etcd_compare *compares,
             size_t n_compares, const struct etcd_op *ops, size_t n_ops,
             int timeout_ms, bool *succeeded, int64_t *revision,
             struct diagnosis *);

/* A lease, kept alive by etcd_run(), and during requests, until it is lost or
 * destroyed. */
struct etcd_lease;
int etcd_lease_create(struct etcd *, int ttl_s, int timeout_ms,
                      struct etcd_lease **, struct diagnosis *);
/* Revokes it if 'revoke', without waiting for the answer. */
void etcd_lease_destroy(struct etcd_lease *, bool revoke);
int64_t etcd_lease_id(const struct etcd_lease *);
/* For how many ms from now it is sure to last, reckoned from when the last
 * answered keepalive was SENT; 0: maybe lost. */
int etcd_lease_remaining(const struct etcd_lease *);
/* etcd said that it is gone. */
bool etcd_lease_is_lost(const struct etcd_lease *);

/* Changes below 'prefix', from revision 'from' on (inclusive), in order and
 * without gaps.  Reconnects by itself, to another member if need be (progress
 * is requested now and then, "hasleader" always). */
struct etcd_watch;

enum etcd_watch_state {
    ETCD_WATCH_OK,
    ETCD_WATCH_SILENT,          /* Not connected, or no quorum. */
    ETCD_WATCH_COMPACTED,       /* To be made anew, after another range. */
};

struct etcd_event {
    bool deleted;
    struct etcd_kv kv;          /* Without value if 'deleted'. */
};

struct etcd_watch *etcd_watch_create(struct etcd *, struct etcd_bytes prefix,
                                     int64_t from);
void etcd_watch_destroy(struct etcd_watch *);
enum etcd_watch_state etcd_watch_state(const struct etcd_watch *);
/* The changes of the next revision of etcd that has some ('*n' events, sorted
 * as etcd sent them; one transaction is never divided), or false if there are
 * none yet.  Valid until the next call for this watch. */
bool etcd_watch_next(struct etcd_watch *, const struct etcd_event **events,
                     size_t *n, int64_t *revision);
/* Everything up to this revision has been given out. */
int64_t etcd_watch_revision(const struct etcd_watch *);

#endif /* mapping/etcd/etcd.h */
