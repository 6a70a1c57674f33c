/* Whose turn it is to be sent a snapshot.
 *
 * A snapshot is large, and what a connection is sent is copied for it.  So
 * only SERVER_MAX_SNAPSHOTS bytes of them are under way at a time, or a single
 * one; the others wait in line.  One that does not read on while others wait
 * loses its connection. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include "jsonrpc.h"
#include "mapping/mapd/subscription.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_snapshot);

enum { RUN_MS = 50 };           /* Encoding and copying, at a time. */

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

void
server_queue_snapshot(struct connection *conn, const struct json *id)
{
    ovs_assert(!conn->stale);
    conn->stale = true;
    conn->subscribe_id = id ? json_clone(id) : NULL;
    ovs_list_push_back(&conn->server->snapshot_queue, &conn->queue_node);
}

void
server_cancel_snapshot(struct connection *conn)
{
    if (conn->stale) {
        conn->stale = false;
        ovs_list_remove(&conn->queue_node);
        json_destroy(conn->subscribe_id);
        conn->subscribe_id = NULL;
    }
}

size_t
server_snapshot_left(struct connection *conn)
{
    size_t backlog = jsonrpc_get_backlog(conn->rpc);

    conn->snapshot_left = MIN(conn->snapshot_left, backlog);
    return conn->snapshot_left;
}

static void
send_snapshot(struct connection *conn)
{
    struct server *server = conn->server;
    struct json *snapshot = subscription_snapshot(conn->view, server->catalog,
                                                  &server->key, time_msec());
    struct jsonrpc_msg *msg
        = (conn->subscribe_id
           ? jsonrpc_create_reply(snapshot, conn->subscribe_id)
           : jsonrpc_create_notify("snapshot",
                                   json_array_create_1(snapshot)));

    server_cancel_snapshot(conn);
    server_send(conn, msg);
    server->metrics.n_snapshots++;
    conn->snapshot_left = jsonrpc_get_backlog(conn->rpc);
    conn->drained = conn->snapshot_sent = time_msec();
    if (conn->host) {
        conn->host->catching_up = true;
        server_send_probe(conn, SERVER_SYNC_ID);
    }
}

/* A reply goes out beside whatever is unsent; but what missed updates is first
 * to read all that came before. */
static bool
is_ready(const struct connection *conn)
{
    return (!conn->doomed
            && (conn->subscribe_id || !jsonrpc_get_backlog(conn->rpc)));
}

/* Bytes under way. */
static size_t
count_under_way(struct server *server)
{
    struct connection *conn;
    size_t sum = 0;

    LIST_FOR_EACH (conn, node, &server->connections) {
        if (conn->snapshot_left && !conn->doomed) {
            sum += server_snapshot_left(conn);
        }
    }
    return sum;
}

/* When 'conn', which is being sent a snapshot, has kept others waiting for too
 * long. */
static long long int
deadline(const struct connection *conn)
{
    long long int since = conn->server->snapshots_wait_since;

    return MIN(MAX(conn->drained, since) + SERVER_SNAPSHOT_MS,
               MAX(conn->snapshot_sent, since) + SERVER_SNAPSHOT_MAX_MS);
}

static void
drop_slow(struct server *server)
{
    struct connection *conn;

    LIST_FOR_EACH (conn, node, &server->connections) {
        if (conn->snapshot_left && !conn->doomed
            && time_msec() >= deadline(conn)) {
            VLOG_WARN_RL(&rl, "%s: reads its snapshot too slowly while others "
                         "wait for theirs, closing",
                         jsonrpc_get_name(conn->rpc));
            server_doom(conn);
        }
    }
}

static void
set_waiting(struct server *server, bool waiting)
{
    if (waiting && !server->snapshots_wait) {
        server->snapshots_wait_since = time_msec();
    }
    server->snapshots_wait = waiting;
}

void
server_send_snapshots(struct server *server)
{
    long long int stop = time_msec() + RUN_MS;
    struct connection *conn;
    bool waiting = false;
    size_t under_way;

    server->snapshots_pause = false;
    if (ovs_list_is_empty(&server->snapshot_queue)) {
        set_waiting(server, false);
        return;
    }
    under_way = count_under_way(server);
    LIST_FOR_EACH_SAFE (conn, queue_node, &server->snapshot_queue) {
        if (!is_ready(conn)) {
            continue;
        }
        waiting = under_way >= SERVER_MAX_SNAPSHOTS;
        server->snapshots_pause = time_msec() >= stop;
        if (waiting || server->snapshots_pause) {
            break;
        }
        subscription_forget_others(&server->views, conn->view,
                                   SERVER_MAX_SNAPSHOTS);
        send_snapshot(conn);
        under_way += server_snapshot_left(conn);
    }
    set_waiting(server, waiting);
    if (waiting) {
        drop_slow(server);
    }
}

void
server_wait_snapshots(const struct server *server)
{
    const struct connection *conn;

    if (server->snapshots_pause) {
        poll_immediate_wake();
    }
    if (server->snapshots_wait) {
        LIST_FOR_EACH (conn, node, &server->connections) {
            if (conn->snapshot_left) {
                poll_timer_wait_until(deadline(conn));
            }
        }
    }
}
