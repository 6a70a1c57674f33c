/* What the parts of the server share: server.c (connections),
 * server-listen.c, server-change.c, server-load.c, server-register.c and
 * server-query.c,
 * server-records.c (methods),
 * server-notify.c, server-snapshot.c, server-problems.c, server-liveness.c,
 * server-lease.c, server-relay.c, server-report.c, server-health.c,
 * server-trace.c, server-incident.c, server-metrics.c, server-handshake.c,
 * server-trust.c, barrier.c; and for
 * stores that are shared server-follow.c, server-forward.c. */

#ifndef MAPPING_MAPD_SERVER_PRIVATE_H
#define MAPPING_MAPD_SERVER_PRIVATE_H 1

#include "mapping/mapd/lease-clock.h"
#include "mapping/mapd/presence.h"
#include "mapping/mapd/refusals.h"
#include "mapping/mapd/roles.h"
#include "mapping/mapd/server-incident.h"
#include "mapping/mapd/server-metrics.h"
#include "mapping/mapd/server.h"
#include "mapping/mapd/waitset.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/token-bucket.h"
#include "sset.h"

struct json;
struct jsonrpc;
struct jsonrpc_msg;
struct params;
struct stream;
struct subscription_view;

#define SERVER_PROBE_ID "echo"
#define SERVER_SYNC_ID "synced" /* Follows a snapshot to a host. */

/* The rest of a method's name that nobody knows is of no interest. */
enum { SERVER_METHOD_SIZE = 33 };

struct server_batch {
    struct server_batched *requests; /* server-batch.c */
    size_t n;
    struct sset groups;         /* That they are about. */
    size_t n_writes;            /* Records and groups that they change. */
    long long int since;        /* time_msec() of the first. */
};

struct server {
    struct catalog *catalog;
    struct store *store;
    struct hash_key key;
    struct ovs_list listeners;
    struct ovs_list connections;
    size_t n_connections, max_connections;
    struct waitset waitset;     /* Of connections. */
    struct ovs_list doomed;     /* Connections to be closed. */
    size_t unfinished;          /* Bytes of messages that have begun. */
    long long int accept_after; /* time_msec(); before it, none is taken. */
    struct ovs_list snapshot_queue; /* Connections that are due one. */
    bool snapshots_wait;        /* Some of them, for room, ... */
    long long int snapshots_wait_since; /* ... since time_msec(). */
    bool snapshots_pause;       /* There is room, after other work. */
    struct hmap views;          /* Of subscription.h. */
    struct presence presence;
    unsigned int host_timeout;  /* ms; 0: hosts never die. */
    long long int tick;         /* Clock of 'presence', ... */
    long long int tick_time;    /* ... last set at this time_msec(). */
    long long int mark_after;   /* time_msec(): the store is tried again. */
    long long int liveness_run; /* time_msec() of the next look at hosts. */
    bool liveness_skipped;      /* One was due before that. */
    struct lease_clock lease_clock;
    long long int lease_run;    /* time_msec() of the next look at leases. */
    long long int lead_since;   /* time_msec() when this mapd began to see to
                                 * them. */
    struct ovs_list traces;     /* server-trace.c */
    size_t n_traces;
    struct hmap loads;          /* server-report.c */
    uint64_t last_trace;
    uint64_t n_relay_drops;     /* Messages between hosts. */
    struct server_incidents incidents;
    struct server_metrics metrics;
    struct server_batch batch;
    struct server_forwards *forwards; /* server-forward.c */
    bool leads;                 /* Made changes in the last run. */
    bool health_is_old;         /* It is another mapd's, until ... */
    long long int health_at;    /* ... after this time_msec(). */

    /* server-handshake.c and server-trust.c. */
    struct ovs_list handshakes;
    size_t n_handshakes;
    struct waitset handshaking; /* Of handshakes. */
    struct refusals refusals;
    struct audit *audit;        /* NULL: none. */
    struct connection *actor;   /* Whose request is being dealt with, or was
                                 * last; NULL: it is gone. */
    const struct json *actor_for; /* For whom 'actor' asks; NULL: itself. */
    char actor_method[SERVER_METHOD_SIZE]; /* That request's; cut. */
    char *plain_target;         /* Not authenticated, and not of this machine
                                 * alone; or NULL. */

    struct ovs_list barriers;
    uint64_t barrier_revision;  /* That barrier_run() has seen. */
    long long int started;      /* time_msec(). */
};

struct connection {
    struct ovs_list node;       /* In server->connections. */
    struct server *server;
    struct waitset_member member; /* Of server->waitset. */
    struct jsonrpc *rpc;
    char *who;                  /* By certificate, or user of this machine; or
                                 * NULL: nobody knows. */
    struct role role;
    long long int stranger_until; /* time_msec(): then one of ROLE_NONE has
                                   * been told so. */
    unsigned int received;      /* jsonrpc_get_received_bytes() ... */
    unsigned int message_start; /* ... now, and after the last message. */
    size_t unfinished;          /* Its part of server->unfinished. */
    size_t backlog;             /* jsonrpc_get_backlog(), last time. */
    bool probes;                /* The kernel does not say if it dies. */
    bool probed;                /* An echo request is out. */
    long long int active;       /* time_msec() of the last sign of life. */
    bool doomed;                /* To be closed by server_run(): */
    struct ovs_list doomed_node; /* in server->doomed. */

    struct subscription_view *view; /* NULL: not subscribed. */
    bool stale;                 /* A snapshot is due: no updates until it. */
    struct ovs_list queue_node; /* In server->snapshot_queue, if 'stale'. */
    struct json *subscribe_id;  /* Of the request it answers, or NULL. */
    size_t snapshot_left;       /* Bytes of the backlog that are excused. */
    long long int snapshot_sent; /* time_msec() when that was queued. */
    long long int drained;      /* time_msec() when it last took anything. */
    bool watching;
    struct presence_host *host; /* NULL: not a host's. */
    uint64_t applied;           /* What it last said that it has; 0: nothing
                                 * yet. */
    size_t n_barriers;
    struct server_relay *relay; /* server-relay.c; NULL: never used. */
    struct token_bucket healths; /* server-health.c */
    bool has_healths;           /* That was initialized. */
    struct server_report *report; /* server-report.c; likewise. */
};

/* Sends 'msg', which it takes over. */
void server_send(struct connection *, struct jsonrpc_msg *msg);
/* Has 'conn' closed soon; it is not used from here on. */
void server_doom(struct connection *);
/* Notes that 'conn' is now a host's, or (NULL) no longer. */
void server_set_host(struct connection *, struct presence_host *);
/* The connection of host 'name', or NULL. */
struct connection *server_find_host(const struct server *, const char *name);
/* Asks the peer for a sign of life: an `echo` request with this id, one of
 * SERVER_PROBE_ID and SERVER_SYNC_ID. */
void server_send_probe(struct connection *, const char *id);
/* Has 'conn' closed soon, because it sent what a peer must not send. */
void server_reject(struct connection *, const char *format, ...)
    OVS_PRINTF_FORMAT(2, 3);

/* Tells all what the prepared 'txn' changes, just before catalog_commit();
 * 'changes' is the array of CHANGE objects. */
void server_publish(struct server *, const struct catalog_txn *txn,
                    const struct json *changes);

/* Begins a transaction; and ends it in any case: committed, and told to all,
 * or undone.  Returns the result of `transact`, owned by the caller; or NULL
 * with '*diag' filled in. */
struct catalog_txn *server_begin(struct server *);
struct json *server_finish(struct server *, struct catalog_txn *, bool dry_run,
                           struct diagnosis *diag);

/* Keeps a `transact` request of 'conn', which is answered later, to make it
 * one revision with others: server-batch.c.  Returns false if it must be made
 * alone. */
bool server_batch_add(struct connection *, const struct json *id,
                      const struct json *params);
/* Answers those that are kept: before another request is, and at the end of
 * each run. */
void server_batch_flush(struct server *);
/* Whether one more might wait too long. */
bool server_batch_is_due(const struct server *);

/* Stores that are shared: takes in what other mapds have changed, and whom
 * they see; and looks who makes changes. */
void server_follow_run(struct server *);
/* What the prepared 'txn' changes is now committed, by whomever: tells all,
 * and ends it.  'changes' as for server_publish(). */
void server_committed(struct server *, struct catalog_txn *,
                      const struct json *changes);

/* Requests that change something, on a mapd that does not: sent on to the one
 * that does.  Returns true if request 'method' was taken, and will be
 * answered. */
bool server_forward(struct connection *, const struct json *id,
                    const char *method, const struct json *params);
void server_forward_init(struct server *);
void server_forward_destroy(struct server *);
void server_forward_run(struct server *);
void server_forward_wait(struct server *);
/* 'conn' is going away. */
void server_forward_drop(struct connection *);
/* Does request 'method' here and now, and answers it. */
void server_do_request(struct connection *, const struct json *id,
                       const char *method, const struct json *params);
/* A `register` that was sent on has been done: does what is left to do here.
 * Returns false if it cannot, and has the connection closed, so that the host
 * tries again. */
bool server_registered(struct connection *, const struct json *params);

/* Liveness of hosts. */
void server_liveness_init(struct server *, unsigned int host_timeout);
/* Sets the clock: to be called before messages are read. */
void server_liveness_tick(struct server *);
/* Marks hosts as dead: to be called after messages were read. */
void server_liveness_run(struct server *);
void server_liveness_wait(const struct server *);
/* This mapd makes changes from now on: all have their time anew. */
void server_liveness_lead(struct server *);
/* What the prepared 'txn' changes is now committed. */
void server_liveness_committed(struct server *, const struct catalog_txn *);
/* The connection of a host has given a sign of life. */
void server_liveness_heard(struct connection *);
/* Whether 'conn' is a host's, and to be probed by the next. */
bool server_liveness_probes(const struct connection *);
void server_liveness_probe(struct connection *);
/* Has the poll loop wake up when that is due. */
void server_liveness_wait_probe(const struct connection *);
/* Whether some host should be marked as dead, and is not because so many seem
 * to be gone. */
bool server_suspects_itself(const struct server *);

/* Leases.  The functions are as those for liveness. */
void server_lease_init(struct server *);
void server_lease_tick(struct server *);
void server_lease_run(struct server *);
void server_lease_wait(const struct server *);
/* Does the operation 'name', one of catalog-lease.h, with the members of a
 * lease in 'record'; and adds the lease to the array 'leases'.  0, or a
 * positive errno with '*diag' filled in. */
int server_lease_apply(const struct server *, struct catalog_txn *,
                       const char *name, const struct json *record,
                       bool exists_ok, struct json *leases,
                       struct diagnosis *diag);

/* Sends a notification with one parameter, which it takes over. */
void server_notify(struct connection *, const char *method,
                   struct json *param);
/* Whether 'conn' has more unread than a snapshot and SERVER_MAX_BACKLOG. */
bool server_is_full(struct connection *);

/* What hosts tell each other by way of mapd: notifications `want_flows` and
 * `flows`.  0, or a positive errno with '*diag' filled in if they are
 * malformed. */
typedef int server_relay_handler(struct connection *,
                                 const struct json *params,
                                 struct diagnosis *diag);
server_relay_handler server_relay_want_flows, server_relay_flows;
void server_relay_destroy(struct connection *);

/* Notification `report`: what hosts see of endpoints.  As above. */
server_relay_handler server_report;
void server_report_destroy(struct connection *);
/* Adds what is known of an endpoint, by all hosts, to its status. */
void server_report_put(const struct server *, uint32_t group,
                       uint16_t endpoint, struct json *status);

/* Notification `health`: which endpoints of a host are well. */
server_relay_handler server_health;
/* This mapd makes changes from now on, or does not any more: what was told
 * before does not count. */
void server_health_lead(struct server *, bool leads);
void server_health_run(struct server *);

/* Method `trace`, answered when the host has answered by `traced`.  As
 * server_subscribe(). */
int server_trace(struct connection *, const struct json *id,
                 const struct json *params, struct diagnosis *diag);
server_relay_handler server_traced;
void server_trace_run(struct server *);
void server_trace_wait(const struct server *);
/* 'conn' is going away. */
void server_trace_drop(struct connection *);

/* Names of the hosts in the catalog that are not connected, here or, with
 * 'anywhere', to any mapd; the caller owns the array. */
struct json *server_disconnected_hosts(const struct server *, bool anywhere);

/* Methods: the result, owned by the caller; or NULL with '*diag' filled in. */
typedef struct json *server_method(struct connection *,
                                   const struct json *params,
                                   struct diagnosis *diag);
server_method server_transact; /* -change.c */
server_method server_load; /* -load.c */
server_method server_register, server_enroll; /* -register.c */
server_method server_forwarded; /* -forward.c */
server_method server_list, server_dump, server_status; /* -query.c */
server_method server_watch; /* -notify.c */

/* Method `list` of a plain 'kind': reads the rest of the filter and stores the
 * items, owned by the caller, in '*items'.  0, or a positive errno. */
int server_list_records(const struct server *, enum record_kind kind,
                        struct params *, struct json **items);

/* Method: answered by a snapshot, when it is this connection's turn.  0, or a
 * positive errno with '*diag' filled in and nothing to come. */
int server_subscribe(struct connection *, const struct json *id,
                     const struct json *params, struct diagnosis *diag);

/* Queues a snapshot for 'conn', which has missed an update or asked for it
 * by request 'id' (NULL: it did not).  Copies 'id'. */
void server_queue_snapshot(struct connection *, const struct json *id);
void server_cancel_snapshot(struct connection *);
/* Bytes of the snapshot that 'conn' has not read yet. */
size_t server_snapshot_left(struct connection *);
/* Sends those that are due, as far as there is room. */
void server_send_snapshots(struct server *);
void server_wait_snapshots(const struct server *);

/* What an operator should look at: an array of lines, which the caller
 * owns. */
struct json *server_problems(const struct server *);

/* Listening. */

/* How many connections the process has file descriptors for: 0, or a positive
 * errno with '*diag' filled in if they are too few. */
int server_listen_find_room(size_t *max_connections, struct diagnosis *diag);
void server_listen_run(struct server *);
void server_listen_wait(const struct server *);
void server_listen_close(struct server *);

/* Has 'conn' run and wait in server->waitset. */
void server_watch_connection(struct connection *);
/* Has 'stream', which it takes over, send and receive messages from now on.
 * 'role' is that of the peer, whose name 'who' is copied (NULL: it has
 * none). */
void server_add_connection(struct server *, struct stream *, bool is_local,
                           const struct role *role, const char *who);

/* TLS connections that have yet to show who they are.  Begins with 'stream',
 * which it takes over: it becomes a connection, or is closed. */
void server_handshake_start(struct server *, struct stream *);
void server_handshake_run(struct server *);
void server_handshake_wait(struct server *);
void server_handshake_close(struct server *);
/* Has the library say nothing on how connections fail; or again. */
void server_listen_set_quiet(bool quiet);

/* Rights, and the audit log. */

/* Notes that 'conn' now asks for 'method'.  Returns 0 if it may, or a positive
 * errno with '*diag' filled in. */
int server_trust_begin(struct connection *conn, const char *method,
                       struct diagnosis *diag);
/* It was refused what it asked for: writes to log and audit log, if 'diag'
 * says that it has no right. */
void server_trust_refused(struct connection *conn,
                          const struct diagnosis *diag);
/* The present request has made 'changes', an array of CHANGE, which may be
 * empty; the catalog has them. */
void server_trust_changed(struct server *, const struct json *changes);
/* 'conn' is going away. */
void server_trust_drop(struct connection *conn);

#endif /* mapping/mapd/server-private.h */
