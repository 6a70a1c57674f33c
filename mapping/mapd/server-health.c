/* Which endpoints are well, as their hosts say: see "health" in
 * docs/protocol.md.
 *
 * What the hosts that are connected here say is kept (verdicts.h), and
 * compared with the catalog: when they say something, when another mapd begins
 * to make changes, and otherwise a second after a change.  Whoever makes
 * changes puts the catalog right, all at once, by a transaction that changes
 * no record; the others tell it what it should.  So nothing is lost, whoever
 * goes away, and all that is repeated is what has not come to be.
 *
 * A host that sends more than SERVER_HEALTH_RATE messages a second is closed;
 * it comes back, and says all again. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/link-row.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_health);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

enum {
    TOKEN    = 1000,            /* A bucket gets 'rate' tokens per ms. */
    AGAIN_MS = 1000,            /* To look again. */
};
BUILD_ASSERT_DECL((int) CATALOG_WHY_SIZE > (int) REPORT_WHY_MAX);

/* Host, group, endpoint, whether it is well, why not. */
#define ROW "snnbs"

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

/* The group of the endpoint of which 'host' speaks, if it may: of its own
 * endpoints, which are not down, in groups with a check; else NULL.  One that
 * has just gone, or moved, or become another, is nothing to complain of. */
static const struct catalog_group *
find_told(const struct catalog *catalog, const char *host,
          const struct report_health *said,
          const struct catalog_endpoint **endpoint)
{
    const struct catalog_endpoint *e
        = catalog_find_index(catalog, said->group, said->endpoint);
    const struct catalog_group *group
        = e ? catalog_find_group(catalog, e->record.vni, e->record.group)
        : NULL;

    if (!group || strcmp(e->record.host, host)
        || e->record.state == ENDPOINT_DOWN
        || group->record.health.check == HEALTH_NONE) {
        return NULL;
    }
    *endpoint = e;
    return group;
}

void
server_health_now(struct server *server)
{
    server->health_at = time_msec();
}

int
server_health(struct connection *conn, const struct json *params,
              struct diagnosis *diag)
{
    struct server *server = conn->server;
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
        server->n_relay_drops++;
    } else if (!may_send(conn)) {
        error = diagnosis_set(diag, DIAG_BUSY, NULL, NULL,
                              "more than %d a second", SERVER_HEALTH_RATE);
    } else {
        if (all) {
            verdicts_set_all(&server->verdicts, &conn->verdicts);
        }
        for (size_t i = 0; i < n; i++) {
            const struct catalog_endpoint *e;

            if (find_told(server->catalog, conn->host->name, &reports[i],
                          &e)) {
                verdicts_put(&server->verdicts, &conn->verdicts, conn,
                             &reports[i]);
            }
        }
        server_health_now(server);
    }
    free(reports);
    return error;
}

void
server_health_drop(struct connection *conn)
{
    verdicts_clear(&conn->server->verdicts, &conn->verdicts);
}

/* When it is up, or back, or checked again, its host begins anew. */
void
server_health_committed(struct server *server, const struct catalog_txn *txn)
{
    const struct catalog_group *const *groups;
    size_t n;

    groups = catalog_txn_groups(txn, &n);
    for (size_t i = 0; i < n; i++) {
        struct verdict *v, *next;

        for (v = verdicts_first(&server->verdicts, groups[i]->id); v;
             v = next) {
            const struct catalog_endpoint *e;

            next = verdicts_next(v);
            if (!find_told(server->catalog, v->conn->host->name, &v->said,
                           &e)) {
                verdicts_remove(&server->verdicts, v);
            }
        }
    }
    server->health_at = MIN(server->health_at, time_msec() + AGAIN_MS);
}

/* Looking. */

/* What is done about endpoints of which the catalog should say otherwise. */
struct remedy {
    struct server *server;
    struct catalog_txn *txn;    /* NULL: the leader is told. */
    struct json *rows;          /* For it. */
    size_t n;                   /* So many there are. */
};

static void
tell_leader(struct remedy *remedy)
{
    struct server_link *link = server_link_up(remedy->server);

    if (link && json_array(remedy->rows)->n) {
        struct json *param = json_object_create();

        json_object_put(param, "endpoints", remedy->rows);
        server_link_notify(link, "link_health", param);
    } else {
        json_destroy(remedy->rows);
    }
    remedy->rows = json_array_create_empty();
}

/* 'why' is NULL if it is well. */
static void
set(struct catalog_txn *txn, const char *host, uint32_t group,
    uint16_t endpoint, const char *why)
{
    VLOG_INFO_RL(&rl, "host %s: endpoint %u of group %"PRIu32" is %s%s",
                 host, endpoint, group, why ? "unhealthy: " : "healthy",
                 why ? why : "");
    catalog_set_health(txn, group, endpoint, why);
}

static const char *
reason(const char *why)
{
    return why[0] ? why : "unhealthy";
}

static void
add_remedy(struct remedy *remedy, const char *host, uint32_t group,
           uint16_t endpoint, const char *why)
{
    remedy->n++;
    if (remedy->txn) {
        set(remedy->txn, host, group, endpoint, why);
        return;
    }
    json_array_add(remedy->rows, link_row_create(
                       ROW, host, (uint64_t) group, (uint64_t) endpoint, !why,
                       why ? why : ""));
    if (json_array(remedy->rows)->n >= LINK_ROWS_MAX) {
        tell_leader(remedy);
    }
}

/* Who is well, or has become unwell, by what was said of single ones. */
static void
look_at_verdicts(struct remedy *remedy)
{
    struct server *server = remedy->server;
    struct verdict *v;

    HMAP_FOR_EACH_SAFE (v, node, &server->verdicts.by_group) {
        const char *host = v->conn->host->name, *why;
        const struct catalog_endpoint *e;
        const struct catalog_group *group
            = find_told(server->catalog, host, &v->said, &e);

        if (!group) {
            verdicts_remove(&server->verdicts, v);
            continue;
        }
        why = v->said.healthy ? NULL : reason(v->said.why);
        if (!why != !catalog_endpoint_sickness(server->catalog, group, e)) {
            add_remedy(remedy, host, v->said.group, v->said.endpoint, why);
        } else if (why && remedy->txn) {
            /* The reason may be another, which is no change. */
            catalog_set_health(remedy->txn, v->said.group, v->said.endpoint,
                               why);
        }
    }
}

/* Who is well because its host has said so of all. */
static void
look_at_patients(struct remedy *remedy)
{
    struct server *server = remedy->server;
    struct catalog_patient *patients;
    size_t n;

    patients = catalog_patients(server->catalog, NULL, &n);
    for (size_t i = 0; i < n; i++) {
        const struct catalog_patient *p = &patients[i];
        const struct catalog_endpoint *e
            = catalog_find_index(server->catalog, p->group, p->endpoint);
        struct connection *conn
            = e ? server_find_host(server, e->record.host) : NULL;

        if (conn && conn->verdicts.all
            && !verdicts_find(&server->verdicts, conn, p->group,
                              p->endpoint)) {
            add_remedy(remedy, conn->host->name, p->group, p->endpoint, NULL);
        }
    }
    free(patients);
}

static void
finish(struct server *server, struct catalog_txn *txn)
{
    struct diagnosis diag;

    server_trust_self(server, "health");
    json_destroy(server_finish(server, txn, false, &diag));
}

static bool
can_remedy(const struct server *server)
{
    return server->leads || server_link_up(server);
}

void
server_health_run(struct server *server)
{
    struct remedy remedy = { .server = server };

    if (time_msec() < server->health_at) {
        return;
    }
    server->health_at = LLONG_MAX;
    if (!can_remedy(server)) {
        return;                 /* Whoever changes that has it run again. */
    }
    remedy.txn = server->leads ? server_begin(server) : NULL;
    remedy.rows = json_array_create_empty();
    look_at_patients(&remedy);
    look_at_verdicts(&remedy);
    if (remedy.txn) {
        finish(server, remedy.txn);
    } else {
        tell_leader(&remedy);
    }
    json_destroy(remedy.rows);
    if (remedy.n) {             /* It may not come to be. */
        server->health_at = MIN(server->health_at, time_msec() + AGAIN_MS);
    }
}

void
server_health_wait(const struct server *server)
{
    if (server->health_at != LLONG_MAX) {
        poll_timer_wait_until(server->health_at);
    }
}

/* What another mapd says of the hosts that are connected to it. */

static int
take_row(struct server *server, struct catalog_txn *txn,
         const struct json *row, struct diagnosis *diag)
{
    struct report_health said = { .group = 0 };
    const struct catalog_group *group;
    const struct catalog_endpoint *e;
    union link_value v[5];
    int error = link_row_read(row, ROW, v, diag);

    if (error) {
        return error;
    } else if (v[1].n > GROUP_MAX_ID || v[2].n >= GROUP_MAX_ENDPOINTS) {
        return diagnosis_set(diag, DIAG_INVALID, "endpoint", NULL,
                             "there can be no endpoint %"PRIu64" of group "
                             "%"PRIu64, v[2].n, v[1].n);
    } else if (!report_is_reason(v[4].s)) {
        return diagnosis_set(diag, DIAG_INVALID, "why", NULL,
                             "no reason is longer than %d characters, or has "
                             "any that cannot be printed", REPORT_WHY_MAX);
    }
    said.group = v[1].n;
    said.endpoint = v[2].n;
    group = (server_find_host(server, v[0].s) ? NULL
             : find_told(server->catalog, v[0].s, &said, &e));
    if (group && !v[3].b != !!catalog_endpoint_sickness(server->catalog, group,
                                                        e)) {
        set(txn, v[0].s, said.group, said.endpoint,
            v[3].b ? NULL : reason(v[4].s));
    }
    return 0;
}

int
server_health_by(struct server_link *link, const struct json *params,
                 struct diagnosis *diag)
{
    const struct json *rows = link_rows_get(params, "endpoints", diag);
    struct server *server = link->server;
    struct catalog_txn *txn;
    int error = 0;

    if (!rows) {
        return EINVAL;
    }
    if (!link->conn || !server->leads) {
        server->n_relay_drops++; /* Who leads is told again. */
        return 0;
    }
    server_batch_flush(server);
    txn = server_begin(server);
    for (size_t i = 0; !error && i < json_array(rows)->n; i++) {
        error = take_row(server, txn, json_array(rows)->elems[i], diag);
    }
    if (error) {
        catalog_abort(txn);
    } else {
        finish(server, txn);
    }
    return error;
}
