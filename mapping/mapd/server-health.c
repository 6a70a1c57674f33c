/* What hosts say about the health of the endpoints that live on them.  Each
 * message is one revision, if it changes anything.  A message that is not
 * taken ends the connection: the host comes back, and says all of it again.
 *
 * Where several mapds share a store, the one that makes changes hears of the
 * hosts that are connected to it; for the others all endpoints are well.  One
 * that begins to make changes gives slots to all: what is unwell hosts tell
 * again before long. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/report.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_health);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

enum {
    TOKEN    = 1000,            /* A bucket gets 'rate' tokens per ms. */
    RETRY_MS = 1000,            /* After the store has failed. */
};
BUILD_ASSERT_DECL((int) CATALOG_WHY_SIZE > (int) REPORT_WHY_MAX);

static bool
may_send(struct connection *conn)
{
    if (!conn->has_healths) {
        token_bucket_init(&conn->healths, SERVER_HEALTH_RATE,
                          SERVER_HEALTH_BURST * TOKEN);
        conn->has_healths = true;
    }
    return token_bucket_withdraw(&conn->healths, TOKEN);
}

/* A host speaks of its own endpoints only, and checks what is not down, in
 * groups with a check.  One that has just gone, or moved, or become another,
 * is nothing to complain of. */
static bool
may_tell(const struct connection *conn, const struct catalog_group *group,
         const struct catalog_endpoint *endpoint)
{
    return (!strcmp(endpoint->record.host, conn->host->name)
            && endpoint->record.state != ENDPOINT_DOWN
            && group->record.health.check != HEALTH_NONE);
}

static void
take(struct connection *conn, struct catalog_txn *txn,
     const struct report_health *report)
{
    const struct catalog *catalog = conn->server->catalog;
    const struct catalog_endpoint *endpoint
        = catalog_find_index(catalog, report->group, report->endpoint);
    const struct catalog_group *group
        = endpoint ? catalog_find_group(catalog, endpoint->record.vni,
                                        endpoint->record.group) : NULL;
    const char *why = (report->healthy ? NULL
                       : report->why[0] ? report->why : "unhealthy");

    if (!endpoint || !may_tell(conn, group, endpoint)) {
        return;
    }
    if (!why != !catalog_endpoint_sickness(catalog, group, endpoint)) {
        VLOG_INFO_RL(&rl, "host %s: endpoint %u of group %"PRIu32" is %s%s",
                     conn->host->name, report->endpoint, report->group,
                     why ? "unhealthy: " : "healthy", why ? why : "");
    }
    catalog_set_health(txn, report->group, report->endpoint, why);
}

/* All endpoints of the host are well, but for what follows. */
static void
clear(struct connection *conn, struct catalog_txn *txn)
{
    struct catalog_patient *patients;
    size_t n;

    patients = catalog_patients(conn->server->catalog, conn->host->name, &n);
    for (size_t i = 0; i < n; i++) {
        catalog_set_health(txn, patients[i].group, patients[i].endpoint, NULL);
    }
    free(patients);
}

static int
apply(struct connection *conn, bool all, const struct report_health *reports,
      size_t n, struct diagnosis *diag)
{
    struct catalog_txn *txn;
    struct json *result;

    if (!conn->server->leads) {
        return 0;               /* Who leads hears of its own hosts alone. */
    }
    txn = server_begin(conn->server);
    if (all) {
        clear(conn, txn);
    }
    for (size_t i = 0; i < n; i++) {
        take(conn, txn, &reports[i]);
    }
    result = server_finish(conn->server, txn, false, diag);
    if (!result) {
        return EIO;
    }
    json_destroy(result);
    return 0;
}

int
server_health(struct connection *conn, const struct json *params,
              struct diagnosis *diag)
{
    struct report_health *reports;
    bool all;
    size_t n;
    int error;

    if (!params || params->type != JSON_ARRAY || json_array(params)->n != 1) {
        return diagnosis_set(diag, DIAG_INVALID, "params", NULL,
                             "params must be an array of one object");
    }
    error = report_health_from_json(json_array(params)->elems[0], &all,
                                    &reports, &n, diag);
    if (error) {
        return error;
    }
    if (!conn->host || conn->doomed) {
        conn->server->n_relay_drops++;
    } else if (!may_send(conn)) {
        error = diagnosis_set(diag, DIAG_BUSY, NULL, NULL,
                              "more than %d a second", SERVER_HEALTH_RATE);
    } else {
        error = apply(conn, all, reports, n, diag);
    }
    free(reports);
    return error;
}

/* Subscribers were told whom to pass over; nobody will tell them when not to
 * any more. */
static void
tell_anew(struct server *server)
{
    struct connection *conn;

    LIST_FOR_EACH (conn, node, &server->connections) {
        if (conn->view && !conn->stale && !conn->doomed) {
            server_queue_snapshot(conn, NULL);
        }
    }
}

void
server_health_lead(struct server *server, bool leads)
{
    server->health_is_old = leads;
    server->health_at = time_msec();
    if (!leads && catalog_forget_health(server->catalog)) {
        tell_anew(server);
    }
}

void
server_health_run(struct server *server)
{
    struct diagnosis diag;
    struct catalog_txn *txn;
    struct json *result;

    if (!server->health_is_old) {
        return;
    }
    if (time_msec() >= server->health_at) {
        txn = server_begin(server);
        catalog_set_all_healthy(txn);
        result = server_finish(server, txn, false, &diag);
        server->health_is_old = !result;
        if (!result) {
            catalog_forget_health(server->catalog);
            server->health_at = time_msec() + RETRY_MS;
        }
        json_destroy(result);
    }
    if (server->health_is_old) {
        poll_timer_wait_until(server->health_at);
    }
}
