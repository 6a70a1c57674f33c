/* Connections: bounding, reading and closing them, and handing
 * each message to its method.
 *
 * This uses struct jsonrpc rather than jsonrpc_session, which hides echo
 * messages and so makes it impossible to bound the size of one message. */

#include <config.h>

#include "mapping/mapd/server.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/barrier.h"
#include "mapping/mapd/params.h"
#include "mapping/mapd/server-private.h"
#include "mapping/mapd/store.h"
#include "mapping/mapd/subscription.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server);

enum {
    MESSAGES_PER_RUN = 16,      /* Per connection. */
    READ_ROOM        = 4096,    /* Bytes read at a time. */
    FORWARD_ROOM     = 64 * 1024, /* Bytes that another mapd may add to a
                                   * request that it sends on. */
};

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

static const struct {
    const char *name;
    server_method *function;
} methods[] = {
    { "claim", server_claim },
    { "dump", server_dump },
    { "forwarded", server_forwarded },
    { "list", server_list },
    { "load", server_load },
    { "register", server_register },
    { "status", server_status },
    { "transact", server_transact },
    { "watch", server_watch },
};

/* Life of the server. */

static int
open_waitsets(struct server *server, struct diagnosis *diag)
{
    int error = waitset_init(&server->waitset);

    if (!error) {
        error = waitset_init(&server->handshaking);
        if (error) {
            waitset_destroy(&server->waitset);
        }
    }
    return (error ? diagnosis_set(diag, DIAG_BUSY, NULL, NULL, "epoll: %s",
                                  ovs_strerror(error)) : 0);
}

int
server_create(struct catalog *catalog, struct store *store,
              const struct hash_key *key, unsigned int host_timeout,
              struct server **serverp, struct diagnosis *diag)
{
    struct server *server;
    size_t max_connections;
    int error = server_listen_find_room(&max_connections, diag);

    if (error) {
        return error;
    }
    server = xzalloc(sizeof *server);
    error = open_waitsets(server, diag);
    if (error) {
        free(server);
        return error;
    }
    server->catalog = catalog;
    server->store = store;
    server->key = *key;
    ovs_list_init(&server->listeners);
    ovs_list_init(&server->connections);
    ovs_list_init(&server->doomed);
    ovs_list_init(&server->snapshot_queue);
    ovs_list_init(&server->handshakes);
    server->max_connections = max_connections;
    hmap_init(&server->views);
    stations_init(&server->stations, catalog);
    sset_init(&server->batch.groups);
    presence_init(&server->presence);
    ovs_list_init(&server->barriers);
    ovs_list_init(&server->traces);
    hmap_init(&server->loads);
    ovs_list_init(&server->links);
    verdicts_init(&server->verdicts);
    server->started = time_msec();
    server->leads = !store_is_shared(store);
    server_liveness_init(server, host_timeout);
    server_lease_init(server);
    server_forward_init(server);
    server_iface_init(server);
    server_uplink_init(server);
    *serverp = server;
    return 0;
}

static void
connection_close(struct connection *conn)
{
    struct server *server = conn->server;

    server_trust_drop(conn);
    barrier_drop(server, conn);
    server_trace_drop(conn);
    server_forward_drop(conn);
    server_relay_destroy(conn);
    server_report_destroy(server, conn->report);
    server_link_close(conn->link);
    server_cancel_snapshot(conn);
    server_set_host(conn, NULL);
    subscription_view_put(&server->views, conn->view);
    vni_set_destroy(&conn->wanted);
    vni_set_destroy(&conn->refused);
    waitset_remove(&server->waitset, &conn->member);
    jsonrpc_close(conn->rpc);
    ovs_list_remove(&conn->node);
    if (conn->doomed) {
        ovs_list_remove(&conn->doomed_node);
    }
    server->unfinished -= conn->unfinished;
    server->n_connections--;
    free(conn->who);
    free(conn);
}

void
server_destroy(struct server *server)
{
    struct connection *conn;

    if (!server) {
        return;
    }
    LIST_FOR_EACH_SAFE (conn, node, &server->connections) {
        connection_close(conn);
    }
    server_uplink_destroy(server);
    server_forward_destroy(server);
    server_iface_destroy(server);
    server_handshake_close(server);
    server_listen_close(server);
    waitset_destroy(&server->waitset);
    waitset_destroy(&server->handshaking);
    free(server->batch.requests);
    sset_destroy(&server->batch.groups);
    free(server->plain_target);
    presence_destroy(&server->presence);
    hmap_destroy(&server->views);
    stations_destroy(&server->stations);
    server_report_clean(server);
    hmap_destroy(&server->loads);
    verdicts_destroy(&server->verdicts);
    free(server);
}

/* Messages. */

void
server_send(struct connection *conn, struct jsonrpc_msg *msg)
{
    conn->server->metrics.n_sent++;
    jsonrpc_send(conn->rpc, msg);
    waitset_touch(&conn->server->waitset, &conn->member);
}

void
server_doom(struct connection *conn)
{
    if (!conn->doomed) {
        conn->doomed = true;
        ovs_list_push_back(&conn->server->doomed, &conn->doomed_node);
    }
}

/* Of a peer that closes its connection, this is when it lived last; of one
 * that is silent, it is when it was heard. */
static long long int
last_tick(const struct connection *conn)
{
    return (jsonrpc_get_status(conn->rpc) ? conn->server->tick
            : conn->host->heard);
}

void
server_set_host(struct connection *conn, struct presence_host *host)
{
    struct server *server = conn->server;

    if (conn->host && conn->host != host) {
        long long int tick = last_tick(conn);

        store_drop_seen(server->store, conn->host->name, server->tick - tick);
        presence_disconnect(&server->presence, conn->host, tick);
        server_health_drop(conn);
    }
    conn->host = host;
    waitset_touch(&server->waitset, &conn->member);
    if (host) {
        host->mapd[0] = '\0';
        store_put_seen(server->store, host->name);
    }
}

struct connection *
server_find_host(const struct server *server, const char *name)
{
    const struct presence_host *host = presence_find(&server->presence, name);

    return host ? host->owner : NULL;
}

static server_method *
find_method(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (!strcmp(methods[i].name, name)) {
            return methods[i].function;
        }
    }
    return NULL;
}

void
server_do_request(struct connection *conn, const struct json *id,
                  const char *name, const struct json *params)
{
    struct diagnosis diag = { .op = -1 };
    server_method *method = find_method(name);
    struct json *result = NULL;

    server_metrics_received(&conn->server->metrics, name);
    if (!strcmp(name, "transact") && roles_is_admin(&conn->role)
        && server_batch_add(conn, id, params)) {
        return;
    }
    server_batch_flush(conn->server);
    if (server_trust_begin(conn, name, &diag)) {
        /* Fall through. */
    } else if (!strcmp(name, "echo")) {
        result = json_clone(params);
    } else if (!strcmp(name, "wait")) {
        if (!barrier_add(conn, id, params, &diag)) {
            return;
        }
    } else if (!strcmp(name, "subscribe")) {
        if (!server_subscribe(conn, id, params, &diag)) {
            return;
        }
    } else if (!strcmp(name, "trace")) {
        if (!server_trace(conn, id, params, &diag)) {
            return;
        }
    } else if (method) {
        result = method(conn, params, &diag);
    } else {
        diagnosis_set(&diag, DIAG_UNSUPPORTED, "method", name,
                      "no such method: %.64s", name);
    }

    if (result) {
        server_send(conn, jsonrpc_create_reply(result, id));
    } else {
        server_metrics_refused(&conn->server->metrics, name);
        server_trust_refused(conn, &diag);
        server_send(conn, jsonrpc_create_error(diagnosis_to_json(&diag),
                                               id));
    }
    conn->server->actor_for = NULL; /* It ends with the request. */
}

static void
handle_request(struct connection *conn, const struct jsonrpc_msg *msg)
{
    if (!server_forward(conn, msg->id, msg->method, msg->params)) {
        server_do_request(conn, msg->id, msg->method, msg->params);
    }
}

void
server_reject(struct connection *conn, const char *format, ...)
{
    va_list args;
    char *cause;

    va_start(args, format);
    cause = xvasprintf(format, args);
    va_end(args);
    VLOG_WARN_RL(&rl, "%s: %s, closing", jsonrpc_get_name(conn->rpc), cause);
    free(cause);
    server_doom(conn);
}

static int
handle_applied(struct connection *conn, const struct json *params,
               struct diagnosis *diag)
{
    struct server *server = conn->server;
    uint64_t revision;
    struct params p;
    int error;

    params_open(&p, params, diag);
    revision = params_uint(&p, "revision", 0,
                           catalog_revision(server->catalog), 0);
    params_require(&p, "revision");
    error = params_close(&p);
    if (!error) {
        conn->applied = revision;
    }
    if (!error && conn->host) {
        presence_applied(&server->presence, conn->host, revision);
    }
    return error;
}

static const struct {
    const char *name;
    server_relay_handler *function;
} notifications[] = {
    { "applied", handle_applied },
    { "flows", server_relay_flows },
    { "health", server_health },
    { "link", server_link_begin },
    { "report", server_report },
    { "traced", server_traced },
    { "want_flows", server_relay_want_flows },
};

/* Returns false if nobody knows it. */
static bool
take_notification(struct connection *conn, const struct jsonrpc_msg *msg,
                  int *error, struct diagnosis *diag)
{
    if (conn->link && server_link_receive(conn->link, msg->method,
                                          msg->params, error, diag)) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(notifications); i++) {
        if (!strcmp(notifications[i].name, msg->method)) {
            *error = notifications[i].function(conn, msg->params, diag);
            return true;
        }
    }
    return false;
}

static void
handle_notification(struct connection *conn, const struct jsonrpc_msg *msg)
{
    struct diagnosis diag = { .op = -1 };
    int error = 0;

    server_metrics_received(&conn->server->metrics, msg->method);
    if (server_trust_begin(conn, msg->method, &diag)) {
        server_trust_refused(conn, &diag);
        server_doom(conn);
        return;
    }
    if (!take_notification(conn, msg, &error, &diag)) {
        VLOG_DBG_RL(&rl, "%s: unknown notification %s is ignored",
                    jsonrpc_get_name(conn->rpc), msg->method);
    } else if (error) {
        server_metrics_refused(&conn->server->metrics, msg->method);
        server_reject(conn, "bad \"%s\": %s", msg->method, diag.message);
    }
}

static void
handle_reply(struct connection *conn, const struct jsonrpc_msg *msg)
{
    const char *id = (msg->id && msg->id->type == JSON_STRING
                      ? json_string(msg->id) : "");

    if (!strcmp(id, SERVER_SYNC_ID)) {
        if (conn->host) {
            conn->host->catching_up = false;
        }
    } else if (strcmp(id, SERVER_PROBE_ID)) {
        server_reject(conn, "sent a reply to nothing");
    }
}

static void
handle_message(struct connection *conn, const struct jsonrpc_msg *msg)
{
    switch (msg->type) {
    case JSONRPC_REQUEST:
        handle_request(conn, msg);
        break;

    case JSONRPC_NOTIFY:
        handle_notification(conn, msg);
        break;

    case JSONRPC_REPLY:
    case JSONRPC_ERROR:
        handle_reply(conn, msg);
        break;
    }
}

/* Connections. */

static void
note_activity(struct connection *conn)
{
    unsigned int received = jsonrpc_get_received_bytes(conn->rpc);
    size_t backlog = jsonrpc_get_backlog(conn->rpc);

    /* What the kernel takes of a snapshot, it takes as the peer reads. */
    if (conn->host && (received != conn->received
                       || (backlog < conn->backlog
                           && server_snapshot_left(conn)))) {
        server_liveness_heard(conn);
    }
    if (backlog < conn->backlog) {
        conn->drained = time_msec();
    }
    if (received != conn->received || backlog < conn->backlog) {
        conn->active = time_msec();
        conn->probed = false;
    }
    conn->received = received;
    conn->backlog = backlog;
}

void
server_send_probe(struct connection *conn, const char *id)
{
    struct jsonrpc_msg *msg
        = jsonrpc_create_request("echo", json_array_create_empty(), NULL);

    json_destroy(msg->id);
    msg->id = json_string_create(id);
    server_send(conn, msg);
    conn->probed = true;
}

static void
probe(struct connection *conn)
{
    long long int idle = time_msec() - conn->active;

    if (idle >= 2 * SERVER_PROBE_MS) {
        VLOG_INFO_RL(&rl, "%s: no sign of life for %lld ms, closing",
                     jsonrpc_get_name(conn->rpc), idle);
        server_doom(conn);
    } else if (idle >= SERVER_PROBE_MS && !conn->probed) {
        server_send_probe(conn, SERVER_PROBE_ID);
    }
}

/* Of a message that has begun. */
static size_t
unfinished_bytes(const struct connection *conn)
{
    return jsonrpc_get_received_bytes(conn->rpc) - conn->message_start;
}

static void
note_unfinished(struct connection *conn)
{
    size_t unfinished = unfinished_bytes(conn);

    conn->server->unfinished += unfinished - conn->unfinished;
    conn->unfinished = unfinished;
}

static void
drop_largest(struct server *server)
{
    struct connection *conn, *largest = NULL;

    LIST_FOR_EACH (conn, node, &server->connections) {
        if (!conn->doomed && (!largest || unfinished_bytes(conn)
                                          > unfinished_bytes(largest))) {
            largest = conn;
        }
    }
    if (largest) {
        server_reject(largest, "has the largest of the unfinished messages "
                      "(%"PRIuSIZE" bytes), which are %"PRIuSIZE" bytes in "
                      "all", unfinished_bytes(largest), server->unfinished);
    }
}

static void
reject_large(struct connection *conn)
{
    server_reject(conn, "sent a message of more than %d bytes",
                  SERVER_MAX_MESSAGE);
}

/* 'msg' has 'size' bytes, about. */
static bool
is_too_large(const struct jsonrpc_msg *msg, unsigned int size)
{
    return (size > SERVER_MAX_MESSAGE + READ_ROOM
            && (!msg->method || strcmp(msg->method, "forwarded")));
}

static void
receive(struct connection *conn)
{
    for (int i = 0; i < MESSAGES_PER_RUN && !conn->doomed; i++) {
        struct jsonrpc_msg *msg;

        if (jsonrpc_get_backlog(conn->rpc) > SERVER_MAX_UNREAD
            || jsonrpc_recv(conn->rpc, &msg)) {
            break;
        }
        conn->message_size = unfinished_bytes(conn);
        if (is_too_large(msg, conn->message_size)) {
            reject_large(conn);
        } else {
            conn->message_start = jsonrpc_get_received_bytes(conn->rpc);
            handle_message(conn, msg);
        }
        jsonrpc_msg_destroy(msg);
    }
    if (unfinished_bytes(conn) > SERVER_MAX_MESSAGE + FORWARD_ROOM) {
        reject_large(conn);
    }
}

static void
connection_run(struct connection *conn)
{
    jsonrpc_run(conn->rpc);
    receive(conn);
    note_unfinished(conn);
    note_activity(conn);
    if (server_liveness_probes(conn)) {
        server_liveness_probe(conn);
    } else if (conn->probes) {
        probe(conn);
    }
    if (jsonrpc_get_status(conn->rpc)
        || (conn->role.kind == ROLE_NONE
            && time_msec() >= conn->stranger_until)) {
        server_doom(conn);
    }
}

/* For what depends on 'conn' alone. */
static void
connection_wait(struct waitset_member *member)
{
    struct connection *conn = CONTAINER_OF(member, struct connection, member);

    conn->backlog = jsonrpc_get_backlog(conn->rpc);
    jsonrpc_wait(conn->rpc);
    if (conn->backlog <= SERVER_MAX_UNREAD) {
        jsonrpc_recv_wait(conn->rpc);
    }
    if (server_liveness_probes(conn)) {
        server_liveness_wait_probe(conn);
    } else if (conn->probes) {
        poll_timer_wait_until(conn->active + (conn->probed + 1)
                              * SERVER_PROBE_MS);
    }
    if (conn->role.kind == ROLE_NONE) {
        poll_timer_wait_until(conn->stranger_until);
    }
}

void
server_watch_connection(struct connection *conn)
{
    waitset_add(&conn->server->waitset, &conn->member, connection_wait);
}

/* Those that have something to do. */
static void
run_connections(struct server *server)
{
    struct waitset_member *member;

    waitset_run(&server->waitset);
    while ((member = waitset_next(&server->waitset))) {
        struct connection *conn = CONTAINER_OF(member, struct connection,
                                               member);

        if (!conn->doomed) {
            if (server_batch_is_due(server)) {
                server_batch_flush(server);
            }
            connection_run(conn);
        }
    }
    if (server->unfinished > SERVER_MAX_UNFINISHED) {
        drop_largest(server);
    }
}

void
server_run(struct server *server)
{
    struct connection *conn;

    server_trust_run(server);
    server_listen_run(server);
    server_handshake_run(server);
    server_liveness_tick(server);
    server_lease_tick(server);
    server_follow_run(server);
    run_connections(server);
    server_uplink_run(server);
    server_forward_run(server);
    server_batch_flush(server); /* Before connections are closed. */
    server_iface_run(server);
    server_health_run(server);
    server_link_run(server);
    barrier_run(server);
    server_trace_run(server);
    LIST_FOR_EACH_SAFE (conn, doomed_node, &server->doomed) {
        connection_close(conn);
    }
    server_liveness_run(server);
    server_lease_run(server);
    server_send_snapshots(server); /* What has left has made room. */
}

void
server_wait(struct server *server)
{
    server_trust_wait(server);
    server_follow_wait(server);
    server_listen_wait(server);
    server_handshake_wait(server);
    server_liveness_wait(server);
    server_lease_wait(server);
    server_trace_wait(server);
    server_uplink_wait(server);
    server_iface_wait(server);
    server_health_wait(server);
    server_link_wait(server);
    server_forward_wait(server);
    store_wait(server->store);
    server_wait_snapshots(server);
    waitset_wait(&server->waitset);
    if (!ovs_list_is_empty(&server->doomed)) {
        poll_immediate_wake();
    }
    barrier_wait(server);
}

void
server_show(const struct server *server, struct ds *ds)
{
    const struct connection *conn;

    ds_put_format(ds, "connections: %"PRIuSIZE" of %"PRIuSIZE"\n",
                  server->n_connections, server->max_connections);
    ds_put_format(ds, "TLS handshakes under way: %"PRIuSIZE"\n",
                  server->n_handshakes);
    ds_put_format(ds, "messages between hosts dropped: %"PRIu64"\n",
                  server->n_relay_drops);
    LIST_FOR_EACH (conn, node, &server->connections) {
        char *vnis;

        ds_put_format(ds, "%s:", jsonrpc_get_name(conn->rpc));
        if (conn->who) {
            ds_put_format(ds, " %s,", conn->who);
        }
        if (conn->host) {
            ds_put_format(ds, " host %s, revision %"PRIu64",",
                          conn->host->name, conn->host->applied);
        }
        vnis = server_vnis_refused(conn);
        if (vnis) {
            ds_put_format(ds, " may not see VNI %s,", vnis);
            free(vnis);
        }
        ds_put_format(ds, "%s%s unsent %"PRIuSIZE" bytes\n",
                      conn->view ? " subscribed," : "",
                      conn->watching ? " watching," : "",
                      jsonrpc_get_backlog(conn->rpc));
    }
}
