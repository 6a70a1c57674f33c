/* A mapd of its own, an operator's connection to it, and many hosts in this
 * process: real connections, which report what they have applied as switches
 * do.
 *
 * Some of them, evenly spread, have the product's replica, and times are
 * theirs.  The others are there for mapd: they read all that they are sent,
 * and look for the revision only.  Those with a replica have their turn first,
 * for in earnest no host waits for the processor of another. */

#ifndef TESTS_BENCH_MAPPING_WORLD_H
#define TESTS_BENCH_MAPPING_WORLD_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "mapping/replica/replica.h"
#include "tests/bench/mapping-crowd.h"

struct json;
struct jsonrpc;

/* Microseconds of a monotonic clock. */
int64_t world_now_us(void);

/* A host. */
struct subscriber {
    bool has_replica;
    struct jsonrpc *rpc;        /* If it has one; */
    struct replica replica;
    struct crowd_host crowd;    /* if not. */
    bool is_open;               /* One of the two. */
    uint64_t revision;          /* That it has; 0: no snapshot yet. */
    char name[24];              /* "" if it does not register. */
    uint32_t vni;               /* 0: all. */
    uint64_t bytes;             /* Received by its last connection. */
    int64_t applied_us;         /* When it had its last revision. */
};

struct world {
    const char *store;          /* "sqlite": a new file; or with what follows
                                 * after a colon, as for --store. */
    char directory[64];
    char socket[96];
    pid_t mapd;
    int first;                  /* epoll: the operator, and hosts that have a
                                 * replica; */
    int epoll;                  /* the others, and 'first'. */
    struct jsonrpc *operator;
    unsigned int n_replies;     /* That the operator has got, in all. */
    unsigned int n_changes;     /* That these say were made. */
    uint64_t replied;           /* Revision of the last one. */
    struct subscriber *subscribers;
    size_t n_subscribers;
};

/* The sets that connections are in: for worlds that are not started. */
void world_init(struct world *, const char *store);

/* All of these exit with a message when something fails. */
void world_start(struct world *, const char *store);
void world_stop(struct world *);
void world_start_mapd(struct world *);
/* kill -9; its connections are closed. */
void world_kill_mapd(struct world *);
void world_connect_operator(struct world *);

/* Sends a request; takes ownership of 'params'. */
void world_send(struct world *, const char *method, struct json *params);
/* The same, and waits for the answer: its revision. */
uint64_t world_call(struct world *, const char *method, struct json *params);
/* Until the operator has had 'n' replies. */
void world_wait_replies(struct world *, unsigned int n);

/* Connects 'n' hosts, each subscribed to the VNI that 'vni' says, of which
 * 'n_replicas' (at least one) have a replica, and returns when all have their
 * snapshots. */
void world_subscribe(struct world *, size_t n, size_t n_replicas, bool named,
                     uint32_t (*vni)(size_t i));
/* Connects those that there are anew. */
void world_resubscribe(struct world *);
void world_unsubscribe(struct world *);
/* Until all have 'revision', which is sent to them. */
void world_wait_applied(struct world *, uint64_t revision);

/* Resident bytes of a process. */
uint64_t world_resident(pid_t);

#endif /* tests/bench/mapping-world.h */
