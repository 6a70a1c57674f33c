/* What the parts of the server share: server.c (connections),
 * server-listen.c, server-batch.c, server-change.c, server-load.c,
 * server-register.c, server-query.c and server-records.c (methods),
 * server-notify.c, server-snapshot.c, server-problems.c, server-liveness.c,
 * server-lease.c, server-relay.c, server-report.c, server-health.c,
 * server-iface.c, server-trace.c, server-incident.c, server-metrics.c,
 * server-handshake.c, server-trust.c, server-vnis.c, barrier.c; and for
 * stores that are shared server-follow.c, server-forward.c, server-uplink.c,
 * server-link.c, server-fleet.c. */

#ifndef MAPPING_MAPD_SERVER_PRIVATE_H
#define MAPPING_MAPD_SERVER_PRIVATE_H 1

#include "mapping/mapd/lease-clock.h"
#include "mapping/mapd/presence.h"
#include "mapping/mapd/refusals.h"
#include "mapping/mapd/roles.h"
#include "mapping/mapd/server-incident.h"
#include "mapping/mapd/server-link.h"
#include "mapping/mapd/server-metrics.h"
#include "mapping/mapd/server.h"
#include "mapping/mapd/stations.h"
#include "mapping/mapd/verdicts.h"
#include "mapping/tls.h"
#include "mapping/vni-set.h"
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
    struct stations stations;   /* server-vnis.c */
    bool any_vni;               /* For hosts that are given none. */
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
    uint64_t load_changes;      /* How often that changed. */
    size_t n_idle_loads;        /* Of which nobody says anything. */
    long long int loads_clean_at; /* time_msec(). */
    uint64_t last_trace;
    uint64_t n_relay_drops;     /* Messages between hosts. */
    struct server_incidents incidents;
    struct server_metrics metrics;
    struct server_batch batch;
    struct server_forwards *forwards; /* server-forward.c */
    struct server_uplink *uplink; /* server-uplink.c */
    bool follows_more;          /* Others have done more than was looked at. */
    bool leads;                 /* Made changes in the last run. */
    struct server_ifaces *ifaces; /* server-iface.c */
    struct ovs_list links;      /* server-link.c */
    struct verdicts verdicts;   /* server-health.c: looked at ... */
    long long int health_at;    /* ... next at this time_msec(). */

    /* server-handshake.c and server-trust.c. */
    struct ovs_list handshakes;
    size_t n_handshakes;
    struct waitset handshaking; /* Of handshakes. */
    struct refusals refusals;
    struct audit *audit;        /* NULL: none. */
    struct revoked *revoked;    /* NULL: nobody. */
    unsigned int revoked_seqno; /* That connections were checked against. */
    struct connection *actor;   /* Whose request is being dealt with, or was
                                 * last; NULL: it is gone. */
    bool acts_itself;           /* Nobody has asked for it. */
    const struct json *actor_for; /* For whom 'actor' asks; NULL: itself. */
    struct role actor_for_role; /* That one's. */
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
    struct tls_peer peer;       /* All zero without TLS. */
    bool revoked;               /* Its certificate; its role is ROLE_NONE. */
    long long int stranger_until; /* time_msec(): then one of ROLE_NONE has
                                   * been told so. */
    unsigned int received;      /* jsonrpc_get_received_bytes() ... */
    unsigned int message_start; /* ... now, and after the last message. */
    size_t unfinished;          /* Its part of server->unfinished. */
    unsigned int message_size;  /* Bytes of the last one, about. */
    size_t backlog;             /* jsonrpc_get_backlog(), last time. */
    bool probes;                /* The kernel does not say if it dies. */
    bool probed;                /* An echo request is out. */
    long long int active;       /* time_msec() of the last sign of life. */
    bool doomed;                /* To be closed by server_run(): */
    struct ovs_list doomed_node; /* in server->doomed. */

    struct subscription_view *view; /* NULL: not subscribed. */
    struct vni_set wanted;      /* VNIs that it has subscribed to, */
    struct vni_set refused;     /* and those of them that it may not see. */
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
    struct server_link *link;   /* NULL: not another mapd's. */
    struct verdicts_of_host verdicts; /* server-health.c */
    struct server_relay *relay; /* server-relay.c; NULL: never used. */
    struct token_bucket healths; /* server-health.c */
    bool has_healths;           /* That was initialized. */
    struct token_bucket claim_bucket; /* server-iface.c */
    bool claims;                /* It has claimed ports; so it was, too. */
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
void server_follow_wait(const struct server *);
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
/* What keeps changes from getting to the leader, as a line that the caller
 * owns; or NULL. */
char *server_forward_problem(const struct server *);
/* 'conn' is going away. */
void server_forward_drop(struct connection *);
/* What was sent to the leader will not be answered; or this is an answer. */
void server_forward_lost(struct server *);
void server_forward_answered(struct server *, const struct jsonrpc_msg *);

/* The connection to the leader: server-uplink.c. */
void server_uplink_init(struct server *);
void server_uplink_destroy(struct server *);
void server_uplink_run(struct server *);
void server_uplink_wait(struct server *);
/* The leader's certificate may be revoked now. */
void server_uplink_check(struct server *);
/* Whether it is there, or is not and is to be.  Only if it is there is
 * something sent; takes 'msg' over. */
bool server_uplink_is_usable(const struct server *);
bool server_uplink_is_trying(const struct server *);
void server_uplink_send(struct server *, struct jsonrpc_msg *msg);
/* If it is there: whether more than SERVER_MAX_BACKLOG waits to be read. */
bool server_uplink_is_full(const struct server *);
/* Where it goes, or last went; NULL: nowhere yet. */
const char *server_uplink_address(const struct server *);

/* Does request 'method' here and now, and answers it. */
void server_do_request(struct connection *, const struct json *id,
                       const char *method, const struct json *params);
/* Notes for operators that a `register` was refused. */
void server_register_refused(struct connection *, const struct json *params,
                             const struct diagnosis *diag);
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
server_link_handler server_relay_want_flows_by, server_relay_flows_by;
void server_relay_destroy(struct connection *);

/* Notification `report`: what hosts see of endpoints.  As above. */
server_relay_handler server_report;
void server_report_destroy(struct server *, struct server_report *);
/* By a link: what other mapds say; telling them, for a while (true: they have
 * all); forgetting what need not be told any more. */
server_link_handler server_report_by;
bool server_report_tell(struct server_link *);
void server_report_clean(struct server *);
/* Adds what is known of an endpoint, by all hosts, to its status. */
void server_report_put(const struct server *, uint32_t group,
                       uint16_t endpoint, struct json *status);

/* Notification `health`: which endpoints of a host are well. */
server_relay_handler server_health;
/* By a link: those of another mapd. */
server_link_handler server_health_by;
/* 'conn' is not a host's any more. */
void server_health_drop(struct connection *);
/* What the prepared 'txn' changes is now committed. */
void server_health_committed(struct server *, const struct catalog_txn *);
/* Has the catalog looked at anew. */
void server_health_now(struct server *);
void server_health_run(struct server *);
void server_health_wait(const struct server *);

/* By a link: which revision hosts use; and telling it. */
server_link_handler server_fleet_hosts;
void server_fleet_tell_hosts(struct server_link *);

/* Notification `link`: 'conn' is another mapd's, which follows. */
server_relay_handler server_link_begin;

/* Ports that are at hosts, and the endpoints found by them. */
void server_iface_init(struct server *);
void server_iface_destroy(struct server *);
/* Looks whether another mapd makes changes now: to be called before messages
 * are read. */
void server_iface_follow(struct server *);
/* What the prepared 'txn' changes is now committed. */
void server_iface_committed(struct server *, const struct catalog_txn *);
/* Binds what is to be bound: to be called after messages were read. */
void server_iface_run(struct server *);
void server_iface_wait(const struct server *);
/* Whether `claim` is about the host of 'conn', and not too often: 0, or a
 * positive errno with '*diag' filled in. */
int server_iface_check(struct connection *conn, const struct json *params,
                       struct diagnosis *diag);
/* Why 'endpoint', if it is up, is not found; NULL: it is. */
const char *
server_iface_why_unbound(const struct record_endpoint *endpoint);
/* What an operator should know of it, which the caller frees; or NULL. */
char *server_iface_problem(const struct server *,
                           const struct record_endpoint *endpoint);

/* Method `trace`, answered when the host has answered by `traced`.  As
 * server_subscribe(). */
int server_trace(struct connection *, const struct json *id,
                 const struct json *params, struct diagnosis *diag);
server_relay_handler server_traced;
void server_trace_run(struct server *);
void server_trace_wait(const struct server *);
server_link_handler server_trace_by, server_traced_by;
/* 'conn', or the link, is going away. */
void server_trace_drop(struct connection *);
void server_trace_drop_link(struct server_link *);

/* Names of the hosts in the catalog that are not connected to any mapd; the
 * caller owns the array. */
struct json *server_disconnected_hosts(const struct server *);

/* Methods: the result, owned by the caller; or NULL with '*diag' filled in. */
typedef struct json *server_method(struct connection *,
                                   const struct json *params,
                                   struct diagnosis *diag);
server_method server_transact; /* -change.c */
server_method server_load; /* -load.c */
server_method server_register, server_enroll; /* -register.c */
/* `claim` of a host that is connected here; and to any mapd, which has checked
 * that. */
server_method server_claim, server_claimed; /* -iface.c */
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

/* 'conn' asks for the VNIs in 'wanted', which this takes over: chooses what it
 * sees. */
void server_vnis_subscribe(struct connection *, struct vni_set *wanted);
/* Those that 'conn' asks for and may not see, for people; NULL: none.  The
 * caller frees it. */
char *server_vnis_refused(const struct connection *);
/* Whether endpoints in 'vni' may be bound to ports of host 'name': if hosts
 * show certificates, to those that see the VNI only. */
bool server_vnis_may_bind(const struct server *, const char *name,
                          uint32_t vni);
/* Whether 'before' and 'after' (either may be NULL) are of one host and give
 * it the same VNIs. */
bool server_vnis_is_same_grant(const struct record *before,
                               const struct record *after);
/* What 'txn' changes is about to be told: chooses anew where that matters. */
void server_vnis_changed(struct server *, const struct catalog_txn *txn);

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
 * none).  Returns the connection. */
struct connection *server_add_connection(struct server *, struct stream *,
                                         bool is_local,
                                         const struct role *role,
                                         const char *who);

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
/* What comes next is done without anybody's having asked; 'what' stands for
 * the method. */
void server_trust_self(struct server *, const char *what);
/* The present request is one that another mapd, 'conn', sends on for 'peer', a
 * JSON object that lives as long as the request, as docs/protocol.md has it:
 * asks for 'method'.  As above. */
int server_trust_forwarded(struct connection *conn, const char *method,
                           const struct json *peer, struct diagnosis *diag);
/* The role of who asks, by 'conn'. */
const struct role *server_trust_asker(const struct connection *conn);
/* It was refused what it asked for: writes to log and audit log, if 'diag'
 * says that it has no right. */
void server_trust_refused(struct connection *conn,
                          const struct diagnosis *diag);
/* The present request has made 'changes', an array of CHANGE, which may be
 * empty; the catalog has them. */
void server_trust_changed(struct server *, const struct json *changes);
/* 'conn' is going away. */
void server_trust_drop(struct connection *conn);

/* Takes away all rights of 'conn' if its certificate is revoked. */
void server_trust_check(struct connection *conn);
/* Whether the certificate of 'name' is revoked, of which no more is known. */
bool server_trust_is_revoked(const struct server *, const char *name);
/* Follows the list of those, and closes connections. */
void server_trust_run(struct server *);
void server_trust_wait(const struct server *);

#endif /* mapping/mapd/server-private.h */
