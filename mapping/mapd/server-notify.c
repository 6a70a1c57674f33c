/* Notifications to subscribers and watchers.
 *
 * A subscriber that does not read fast enough is sent no more updates; when
 * it has read what there is, it gets a snapshot. So what mapd holds for it
 * is bounded, and it is never wrong for longer than it is slow. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <stdlib.h>

#include "encap/tunnel.h"
#include "jsonrpc.h"
#include "mapping/mapd/params.h"
#include "mapping/mapd/subscription.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_notify);

enum { NOTIFY_MAX_VNIS = 65536 }; /* In one filter. */

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

/* Reads a filter of VNIs into 'vnis'.  0, or a positive errno. */
static int
parse_vnis(const struct json *json, struct vni_set *vnis,
           struct diagnosis *diag)
{
    const struct json_array *array = json_array(json);

    if (array->n > NOTIFY_MAX_VNIS) {
        int error = diagnosis_set(diag, DIAG_INVALID, "vnis", NULL,
                                  "vnis: more than %d", NOTIFY_MAX_VNIS);

        diagnosis_set_hint(diag, "leave it out to subscribe to all");
        return error;
    }
    for (size_t i = 0; i < array->n; i++) {
        const struct json *elem = array->elems[i];

        if (elem->type != JSON_INTEGER || json_integer(elem) < 1
            || json_integer(elem) > VNI_MAX) {
            char *text = json_to_string(elem, 0);
            int error = diagnosis_set(diag, DIAG_INVALID, "vnis", text,
                                      "vnis: %.64s is not an integer from 1 "
                                      "to %d", text, VNI_MAX);
            free(text);
            return error;
        }
        vni_set_add(vnis, json_integer(elem), json_integer(elem));
    }
    vni_set_normalize(vnis);
    return 0;
}

int
server_subscribe(struct connection *conn, const struct json *id,
                 const struct json *params, struct diagnosis *diag)
{
    struct vni_set vnis = VNI_SET_EMPTY;
    const struct json *array;
    struct params p;
    int error;

    params_open(&p, params, diag);
    array = params_array(&p, "vnis");
    error = params_close(&p);
    if (!error && conn->subscribe_id) {
        error = diagnosis_set(diag, DIAG_BUSY, NULL, NULL, "the answer to an "
                              "earlier subscribe of this connection is still "
                              "to come");
        diagnosis_set_hint(diag, "wait for it");
    }
    if (!error && array) {
        error = parse_vnis(array, &vnis, diag);
    } else if (!error) {
        vni_set_fill(&vnis);
    }
    if (error) {
        vni_set_destroy(&vnis);
        return error;
    }

    server_vnis_subscribe(conn, &vnis);
    server_cancel_snapshot(conn);
    server_queue_snapshot(conn, id);
    return 0;
}

struct json *
server_watch(struct connection *conn, const struct json *params,
             struct diagnosis *diag)
{
    struct json *result;
    struct params p;

    params_open(&p, params, diag);
    if (params_close(&p)) {
        return NULL;
    }
    conn->watching = true;
    result = json_object_create();
    json_object_put(result, "revision", json_integer_create(
                        catalog_revision(conn->server->catalog)));
    return result;
}

bool
server_is_full(struct connection *conn)
{
    size_t backlog = jsonrpc_get_backlog(conn->rpc);

    return backlog - server_snapshot_left(conn) > SERVER_MAX_BACKLOG;
}

void
server_notify(struct connection *conn, const char *method, struct json *param)
{
    server_send(conn, jsonrpc_create_notify(method,
                                            json_array_create_1(param)));
}

static void
notify_subscriber(struct connection *conn,
                  const struct subscription_update *update)
{
    if (conn->stale) {
        return;
    }
    if (server_is_full(conn)) {
        server_queue_snapshot(conn, NULL);
        conn->server->metrics.n_overruns++;
        VLOG_INFO_RL(&rl, "%s: reads too slowly, will get a snapshot",
                     jsonrpc_get_name(conn->rpc));
        return;
    }
    server_notify(conn, "update",
                  subscription_update_encode(update, conn->view));
}

/* A watcher cannot be caught up: it wants each change. */
static void
notify_watcher(struct connection *conn, const struct json *change)
{
    if (server_is_full(conn)) {
        VLOG_INFO_RL(&rl, "%s: reads too slowly, closing",
                     jsonrpc_get_name(conn->rpc));
        server_doom(conn);
        return;
    }
    server_notify(conn, "change", json_clone(change));
}

void
server_publish(struct server *server, const struct catalog_txn *txn,
               const struct json *changes)
{
    struct subscription_update *update = NULL;
    struct json *change = NULL;
    struct connection *conn;

    LIST_FOR_EACH (conn, node, &server->connections) {
        if (conn->view) {
            if (!update) {
                update = subscription_update_create(server->catalog, txn,
                                                    time_msec());
            }
            notify_subscriber(conn, update);
        }
        if (conn->watching) {
            if (!change) {
                change = json_object_create();
                json_object_put(change, "revision", json_integer_create(
                                    catalog_txn_revision(txn)));
                json_object_put(change, "changes", json_clone(changes));
            }
            notify_watcher(conn, change);
        }
    }
    subscription_update_destroy(update);
    json_destroy(change);
}
