/* What the parts of the server share: server.c (connections),
 * server-listen.c, server-change.c, server-load.c, server-register.c and
 * server-query.c (methods),
 * server-notify.c, server-snapshot.c, server-problems.c, server-liveness.c,
 * server-relay.c, server-report.c, server-trace.c, server-incident.c, barrier.c. */

#ifndef MAPPING_MAPD_SERVER_PRIVATE_H
#define MAPPING_MAPD_SERVER_PRIVATE_H 1

#include "mapping/mapd/presence.h"
#include "mapping/mapd/server-incident.h"
#include "mapping/mapd/server.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"
#include "openvswitch/token-bucket.h"

struct json;
struct jsonrpc;
struct jsonrpc_msg;
struct subscription_view;

#define SERVER_PROBE_ID "echo"
#define SERVER_SYNC_ID "synced" /* Follows a snapshot to a host. */

struct server {
    struct catalog *catalog;
    struct store *store;
    struct hash_key key;
    struct ovs_list listeners;
    struct ovs_list connections;
    size_t n_connections, max_connections;
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
    long long int mark_after;   /* Ticks: then the store is tried again. */
    struct ovs_list traces;     /* server-trace.c */
    size_t n_traces;
    struct hmap loads;          /* server-report.c */
    uint64_t last_trace;
    uint64_t n_relay_drops;     /* Messages between hosts. */
    struct server_incidents incidents;
    struct ovs_list barriers;
    uint64_t barrier_revision;  /* That barrier_run() has seen. */
    long long int started;      /* time_msec(). */
};

struct connection {
    struct ovs_list node;       /* In server->connections. */
    struct server *server;
    struct jsonrpc *rpc;
    unsigned int received;      /* jsonrpc_get_received_bytes() ... */
    unsigned int message_start; /* ... now, and after the last message. */
    size_t backlog;             /* jsonrpc_get_backlog(), last time. */
    bool probes;                /* The kernel does not say if it dies. */
    bool probed;                /* An echo request is out. */
    long long int active;       /* time_msec() of the last sign of life. */
    bool doomed;                /* To be closed by server_run(). */

    struct subscription_view *view; /* NULL: not subscribed. */
    bool stale;                 /* A snapshot is due: no updates until it. */
    struct ovs_list queue_node; /* In server->snapshot_queue, if 'stale'. */
    struct json *subscribe_id;  /* Of the request it answers, or NULL. */
    size_t snapshot_left;       /* Bytes of the backlog that are excused. */
    long long int snapshot_sent; /* time_msec() when that was queued. */
    long long int drained;      /* time_msec() when it last took anything. */
    bool watching;
    struct presence_host *host; /* NULL: not a host's. */
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

/* Liveness of hosts. */
void server_liveness_init(struct server *, unsigned int host_timeout);
/* Sets the clock: to be called before messages are read. */
void server_liveness_tick(struct server *);
/* Marks hosts as dead: to be called after messages were read. */
void server_liveness_run(struct server *);
void server_liveness_wait(const struct server *);
/* What the prepared 'txn' changes is now committed. */
void server_liveness_committed(struct server *, const struct catalog_txn *);
/* The connection of a host has given a sign of life. */
void server_liveness_heard(struct connection *);
/* Whether 'conn' is a host's, and to be probed by the next. */
bool server_liveness_probes(const struct connection *);
void server_liveness_probe(struct connection *);
/* Whether some host should be marked as dead, and is not because so many seem
 * to be gone. */
bool server_suspects_itself(const struct server *);

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

/* Method `trace`, answered when the host has answered by `traced`.  As
 * server_subscribe(). */
int server_trace(struct connection *, const struct json *id,
                 const struct json *params, struct diagnosis *diag);
server_relay_handler server_traced;
void server_trace_run(struct server *);
void server_trace_wait(const struct server *);
/* 'conn' is going away. */
void server_trace_drop(struct connection *);

/* Names of the hosts in the catalog that are not connected; the caller owns
 * the array. */
struct json *server_disconnected_hosts(const struct server *);

/* Methods: the result, owned by the caller; or NULL with '*diag' filled in. */
typedef struct json *server_method(struct connection *,
                                   const struct json *params,
                                   struct diagnosis *diag);
server_method server_transact; /* -change.c */
server_method server_load; /* -load.c */
server_method server_register; /* -register.c */
server_method server_list, server_dump, server_status; /* -query.c */
server_method server_watch; /* -notify.c */

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

#endif /* mapping/mapd/server-private.h */
