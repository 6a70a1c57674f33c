/* What the parts of the server share: server.c (connections),
 * server-listen.c, server-change.c and server-query.c (methods),
 * server-notify.c, server-snapshot.c, server-problems.c, barrier.c. */

#ifndef MAPPING_MAPD_SERVER_PRIVATE_H
#define MAPPING_MAPD_SERVER_PRIVATE_H 1

#include "mapping/mapd/presence.h"
#include "mapping/mapd/server.h"
#include "openvswitch/hmap.h"
#include "openvswitch/list.h"

struct json;
struct jsonrpc;
struct jsonrpc_msg;
struct subscription_view;

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
    struct ovs_list barriers;
    uint64_t barrier_revision;  /* That barrier_run() has seen. */
    long long int started;      /* time_msec(). */
    long long int changed;      /* time_msec() of the last commit. */
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
};

/* Sends 'msg', which it takes over. */
void server_send(struct connection *, struct jsonrpc_msg *msg);
/* Has 'conn' closed soon; it is not used from here on. */
void server_doom(struct connection *);
/* Notes that 'conn' is now a host's, or (NULL) no longer. */
void server_set_host(struct connection *, struct presence_host *);

/* Tells all what the prepared 'txn' changes, just before catalog_commit();
 * 'changes' is the array of CHANGE objects. */
void server_publish(struct server *, const struct catalog_txn *txn,
                    const struct json *changes);

/* Names of the hosts in the catalog that are not connected; the caller owns
 * the array. */
struct json *server_disconnected_hosts(const struct server *);

/* Methods: the result, owned by the caller; or NULL with '*diag' filled in. */
typedef struct json *server_method(struct connection *,
                                   const struct json *params,
                                   struct diagnosis *diag);
server_method server_register, server_transact, server_load; /* -change.c */
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
