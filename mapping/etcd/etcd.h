/* A client of etcd's v3 API (3.4 and later), by its JSON gateway, over libcurl.
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
 * for the caller to ask.  Of several members, the one that answered last is
 * asked, and another when it does not answer within ETCD_ATTEMPT_MS (longer, if
 * all take longer).
 *
 * Errors of all requests, besides those at each: EACCES (user, password,
 * certificate or permission refused), EPROTO (that is no etcd), ENOSPC (etcd's
 * quota is used up); '*diag' says what happened.  With outputs untouched, as
 * always.  Not thread-safe. */

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
    ETCD_PAGE          = 1000,  /* Keys per page of a range, at most. */
    ETCD_WATCH_SILENT_MS = 2500, /* Without an answer of a majority. */
};

struct etcd_options {
    const char *urls;           /* "http://A:2379,https://B:2379". */
    const char *user, *password; /* NULL: without authentication. */
    const char *ca, *cert, *key; /* PEM files for https; NULL: the system's
                                  * authorities; no certificate of ours. */
};

/* Checks the options, and that the files can be read; does not connect yet.
 * Returns 0 and '*etcd', owned by the caller; or EINVAL with '*diag' filled in
 * (its field is the name of the member of '*options').  Makes the process
 * ignore SIGPIPE. */
int etcd_create(const struct etcd_options *, struct etcd **etcd,
                struct diagnosis *);
/* After its leases and watches have been destroyed.  Waits for up to
 * ETCD_ATTEMPT_MS if leases are being revoked. */
void etcd_destroy(struct etcd *);

/* Does what there is to do for leases and watches. */
void etcd_run(struct etcd *);
/* Makes poll_block() wake up when etcd_run() has something to do, when a watch
 * has news, and when the state of a watch may have changed. */
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

struct etcd_kvs {
    struct etcd_kv *kvs;
    size_t n;
};

/* All pairs whose keys begin with 'prefix' (empty: all there are), sorted by
 * key, read in pages, as they were at one revision of etcd, which goes to
 * '*revision' (0 going in: the latest, with all that was done before the call;
 * another: that one).  The caller frees '*kvs' with etcd_kvs_destroy().  Returns
 * 0; or a positive errno with '*diag' filled in: ETIMEDOUT if nobody answered
 * within 'timeout_ms'; ENODATA if '*revision' has been compacted. */
int etcd_range(struct etcd *, struct etcd_bytes prefix, int timeout_ms,
               struct etcd_kvs *kvs, int64_t *revision, struct diagnosis *);
/* Frees all pairs, not 'kvs' itself, which may be NULL. */
void etcd_kvs_destroy(struct etcd_kvs *kvs);

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
 * positive errno with '*diag' filled in:
 *
 * - ETIMEDOUT: the outcome is unknown, and may remain so for some seconds:
 *   nothing that the caller reads now says that it will not be done yet.  The
 *   caller makes sure by a transaction that changes what this one compares.
 * - E2BIG: it is larger than ETCD_MAX_TXN_OPS, ETCD_MAX_TXN_BYTES or etcd's own
 *   bounds.
 * - ENOENT: the lease of an operation is gone.
 * - EINVAL: a key is written twice, or also deleted; etcd wants it that way.
 * - EAGAIN: nobody could be reached, or there was no leader, for 'timeout_ms'.
 *
 * For sure nothing was done if it is not ETIMEDOUT.  What may have been done is
 * not repeated by the client. */
int etcd_txn(struct etcd *, const struct etcd_compare *compares,
             size_t n_compares, const struct etcd_op *ops, size_t n_ops,
             int timeout_ms, bool *succeeded, int64_t *revision,
             struct diagnosis *);

/* A lease, kept alive by etcd_run(), and during requests, until it is lost or
 * destroyed. */
struct etcd_lease;

/* Asks for 'ttl_s' seconds; etcd may grant more (it has a least, about 1.5
 * times its election timeout).  Returns 0 and '*lease', owned by the caller;
 * or a positive errno with '*diag' filled in: ETIMEDOUT if nobody answered. */
int etcd_lease_create(struct etcd *, int ttl_s, int timeout_ms,
                      struct etcd_lease **lease, struct diagnosis *);
/* Revokes it if 'revoke', without waiting for the answer; otherwise it runs
 * out by itself.  May be NULL. */
void etcd_lease_destroy(struct etcd_lease *, bool revoke);
int64_t etcd_lease_id(const struct etcd_lease *);
/* For how many ms from now it is sure to last, reckoned from when the last
 * answered keepalive was SENT, by a clock that goes on while the machine is
 * suspended; 0: maybe lost (it may come back if not etcd_lease_is_lost()). */
int etcd_lease_remaining(const struct etcd_lease *);
/* Etcd said that it is gone. */
bool etcd_lease_is_lost(const struct etcd_lease *);

/* Changes below 'prefix', from revision 'from' on (inclusive; at least 1), in
 * order, without gaps, each once.  Reconnects by itself, to another member if
 * need be.  While it does, and for up to ETCD_WATCH_SILENT_MS after etcd has
 * fallen silent, nothing comes; what was missed comes then. */
struct etcd_watch;

enum etcd_watch_state {
    ETCD_WATCH_OK,
    ETCD_WATCH_SILENT,          /* Not connected, or no quorum. */
    ETCD_WATCH_COMPACTED,       /* What comes next is lost, as etcd has
                                 * compacted it or was restored from a backup:
                                 * to be made anew, after another range. */
};

struct etcd_event {
    bool deleted;
    struct etcd_kv kv;          /* Without value if 'deleted'. */
};

struct etcd_watch *etcd_watch_create(struct etcd *, struct etcd_bytes prefix,
                                     int64_t from);
/* May be NULL. */
void etcd_watch_destroy(struct etcd_watch *);
enum etcd_watch_state etcd_watch_state(const struct etcd_watch *);
/* The changes of the next revision of etcd that has some ('*n' events, sorted
 * as etcd sent them; one transaction is never divided), or false if there are
 * none yet.  Valid until the next call for this watch. */
bool etcd_watch_next(struct etcd_watch *, const struct etcd_event **events,
                     size_t *n, int64_t *revision);
/* Everything up to this revision has been given out, or was not below
 * 'prefix'. */
int64_t etcd_watch_revision(const struct etcd_watch *);

#endif /* mapping/etcd/etcd.h */
