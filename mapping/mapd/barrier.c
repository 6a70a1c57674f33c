#include <config.h>

#include "mapping/mapd/barrier.h"

#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/params.h"
#include "mapping/mapd/server-private.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

struct barrier {
    struct ovs_list node;       /* In server->barriers. */
    struct connection *conn;
    struct json *id;            /* Of the request. */
    uint64_t revision;
    long long int deadline;     /* time_msec(). */
};

int
barrier_add(struct connection *conn, const struct json *id,
            const struct json *params, struct diagnosis *diag)
{
    struct server *server = conn->server;
    struct barrier *barrier;
    uint64_t revision, timeout;
    struct params p;
    int error;

    params_open(&p, params, diag);
    revision = params_uint(&p, "revision", 0, INT64_MAX,
                           catalog_revision(server->catalog));
    timeout = params_uint(&p, "timeout_ms", 0, BARRIER_MAX_MS,
                          BARRIER_DEFAULT_MS);
    error = params_close(&p);
    if (error) {
        return error;
    }
    if (conn->n_barriers >= BARRIER_MAX_PER_CONNECTION) {
        error = diagnosis_set(diag, DIAG_BUSY, NULL, NULL, "this connection "
                              "has %d requests waiting already",
                              BARRIER_MAX_PER_CONNECTION);
        diagnosis_set_hint(diag, "wait for one of them to end");
        return error;
    }

    barrier = xmalloc(sizeof *barrier);
    barrier->conn = conn;
    barrier->id = json_clone(id);
    barrier->revision = revision;
    barrier->deadline = time_msec() + timeout;
    ovs_list_push_back(&server->barriers, &barrier->node);
    conn->n_barriers++;
    server->presence.moved = true;
    return 0;
}

static void
barrier_destroy(struct barrier *barrier)
{
    ovs_list_remove(&barrier->node);
    barrier->conn->n_barriers--;
    json_destroy(barrier->id);
    free(barrier);
}

static bool
is_fulfilled(const struct server *server, const struct barrier *barrier)
{
    return barrier->revision <= catalog_revision(server->catalog)
           && presence_all_applied(&server->presence, barrier->revision);
}

static struct json *
describe_hosts(const struct server *server)
{
    struct json *array = json_array_create_empty();
    const struct record_host **hosts;
    size_t n;

    hosts = catalog_hosts(server->catalog, &n);
    for (size_t i = 0; i < n; i++) {
        const struct presence_host *host
            = presence_find(&server->presence, hosts[i]->name);

        if (host && presence_is_connected(host)) {
            struct json *json = json_object_create();

            json_object_put_string(json, "name", host->name);
            json_object_put(json, "applied",
                            json_integer_create(host->applied));
            json_array_add(array, json);
        }
    }
    free(hosts);
    return array;
}

static void
answer(const struct server *server, const struct barrier *barrier)
{
    struct json *result = json_object_create();

    json_object_put(result, "revision",
                    json_integer_create(catalog_revision(server->catalog)));
    json_object_put(result, "hosts", describe_hosts(server));
    json_object_put(result, "disconnected",
                    server_disconnected_hosts(server));
    server_send(barrier->conn, jsonrpc_create_reply(result, barrier->id));
}

static void
answer_timeout(const struct server *server, const struct barrier *barrier)
{
    struct json *lagging = presence_lagging(&server->presence,
                                            barrier->revision);
    size_t n = json_array(lagging)->n;
    struct diagnosis diag = { .op = -1 };
    struct json *error;

    if (n) {
        const char *first = json_string(json_array(lagging)->elems[0]);

        diagnosis_set(&diag, DIAG_TIMEOUT, NULL, NULL,
                      "revision %"PRIu64" is not in use yet on host %s%s",
                      barrier->revision, first, n > 1 ? " and others" : "");
        diagnosis_set_hint(&diag, "look at that host's log, and wait again");
    } else {
        diagnosis_set(&diag, DIAG_TIMEOUT, NULL, NULL,
                      "revision %"PRIu64" does not exist yet",
                      barrier->revision);
        diagnosis_set_hint(&diag, "the revision is %"PRIu64,
                           catalog_revision(server->catalog));
    }
    error = diagnosis_to_json(&diag);
    json_object_put(error, "lagging", lagging);
    json_object_put(error, "disconnected",
                    server_disconnected_hosts(server));
    server_send(barrier->conn, jsonrpc_create_error(error, barrier->id));
}

void
barrier_run(struct server *server)
{
    uint64_t revision = catalog_revision(server->catalog);
    bool moved = (server->presence.moved
                  || server->barrier_revision != revision);
    struct barrier *barrier;

    server->presence.moved = false;
    server->barrier_revision = revision;
    LIST_FOR_EACH_SAFE (barrier, node, &server->barriers) {
        if (moved && is_fulfilled(server, barrier)) {
            answer(server, barrier);
        } else if (time_msec() >= barrier->deadline) {
            answer_timeout(server, barrier);
        } else {
            continue;
        }
        barrier_destroy(barrier);
    }
}

void
barrier_wait(const struct server *server)
{
    const struct barrier *barrier;

    LIST_FOR_EACH (barrier, node, &server->barriers) {
        poll_timer_wait_until(barrier->deadline);
    }
    if (server->presence.moved && !ovs_list_is_empty(&server->barriers)) {
        poll_immediate_wake();
    }
}

void
barrier_drop(struct server *server, const struct connection *conn)
{
    struct barrier *barrier;

    LIST_FOR_EACH_SAFE (barrier, node, &server->barriers) {
        if (!conn || barrier->conn == conn) {
            barrier_destroy(barrier);
        }
    }
}
