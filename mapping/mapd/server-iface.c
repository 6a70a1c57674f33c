/* Endpoints that are found by their port: method `claim`, by which hosts say
 * which ports they have, and the changes of records that follow from it.
 *
 * A port that goes counts as there for as long as a host that is silent does:
 * when it comes elsewhere meanwhile, as a VM that moves does, no slot has
 * moved.
 *
 * Where several mapds share a store, the one that makes changes hears of all
 * hosts, by way of those that they are connected to; one that has just begun
 * to knows nothing, so all mapds ask their hosts for the whole then.  Until a
 * host has told, its endpoints stay where they are; as they do when it dies:
 * then nobody knows what it has. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/claims.h"
#include "mapping/mapd/ifaces.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "sset.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_iface);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

enum {
    TOKEN    = 1000,            /* A bucket gets 'rate' tokens per ms. */
    BATCH    = 256,             /* Ports in one transaction. */
    RETRY_MS = 1000,            /* After the store has failed. */
    REFUSED_MS = 1000,          /* Between looks at all that are refused. */
};

struct server_ifaces {
    struct ifaces *ifaces;
    struct shash refused;       /* Ports whose endpoints cannot be bound: why,
                                 * as char *; "": to hosts that claim them and
                                 * may not see the VNI of one. */
    bool helped;                /* What was in their way may be gone: they are
                                 * tried again, ... */
    long long int refused_at;   /* ... not before this time_msec(). */
    struct shash leaving;       /* Ports that no host has any more: until when
                                 * they count as there, as long long int *. */
    long long int leaving_at;   /* time_msec() of the first of these. */
    struct sset rescan;         /* Hosts whose endpoints are to be looked at:
                                 * they have told all, or are given other
                                 * VNIs. */
    int64_t term;               /* Of the leader, whom hosts have told. */
    long long int retry_at;     /* time_msec(): not before it. */
};

void
server_iface_init(struct server *server)
{
    server->ifaces = xzalloc(sizeof *server->ifaces);
    server->ifaces->ifaces = ifaces_create();
    shash_init(&server->ifaces->refused);
    shash_init(&server->ifaces->leaving);
    server->ifaces->leaving_at = LLONG_MAX;
    sset_init(&server->ifaces->rescan);
}

void
server_iface_destroy(struct server *server)
{
    ifaces_destroy(server->ifaces->ifaces);
    shash_destroy_free_data(&server->ifaces->refused);
    shash_destroy_free_data(&server->ifaces->leaving);
    sset_destroy(&server->ifaces->rescan);
    free(server->ifaces);
}

/* Whose claims count. */

struct question {
    const struct server *server;
    uint32_t vni;               /* Of an endpoint. */
};

static bool
may_bind(const char *host, const void *question_)
{
    const struct question *question = question_;

    return server_vnis_may_bind(question->server, host, question->vni);
}

static bool
may_not_bind(const char *host, const void *question)
{
    return !may_bind(host, question);
}

static bool
is_same(const char *host, const void *name)
{
    return !strcmp(host, name);
}

/* Of hosts that may have 'e': as ifaces_find(). */
static size_t
find_claim(const struct server *server, const struct record_endpoint *e,
           struct ifaces_claim *claim)
{
    const struct question question = { server, e->vni };

    return ifaces_find_where(server->ifaces->ifaces, e->iface, e->host,
                             may_bind, &question, claim);
}

/* Of those that may not. */
static size_t
find_stranger(const struct server *server, const struct record_endpoint *e,
              struct ifaces_claim *claim)
{
    const struct question question = { server, e->vni };

    return ifaces_find_where(server->ifaces->ifaces, e->iface, e->host,
                             may_not_bind, &question, claim);
}

/* Whether 'e' is where its port is not any more.  On a host that has it and
 * may see the VNI no more it stays, until one that may has it. */
static bool
is_gone(const struct server *server, const struct record_endpoint *e)
{
    const struct ifaces *ifaces = server->ifaces->ifaces;
    struct ifaces_claim claim;

    return (e->host[0] && ifaces_has_told(ifaces, e->host)
            && !find_claim(server, e, &claim)
            && !ifaces_find_where(ifaces, e->iface, "", is_same, e->host,
                                  &claim));
}

/* Ports that are leaving. */

/* Whether 'iface', of which an endpoint is 'gone', still counts as there. */
static bool
lingers(struct server *server, const char *iface, bool gone)
{
    struct server_ifaces *si = server->ifaces;
    long long int *until;

    if (!gone) {
        free(shash_find_and_delete(&si->leaving, iface));
        return false;
    }
    until = shash_find_data(&si->leaving, iface);
    if (!until) {
        until = xmalloc(sizeof *until);
        *until = time_msec() + server->host_timeout;
        shash_add(&si->leaving, iface, until);
    }
    if (time_msec() >= *until) {
        return false;           /* It may be refused: that has its own time. */
    }
    si->leaving_at = MIN(si->leaving_at, *until);
    return true;
}

/* Those that have lingered long enough are pending again. */
static void
end_lingering(struct server_ifaces *si)
{
    struct shash_node *node;

    if (time_msec() < si->leaving_at) {
        return;
    }
    si->leaving_at = LLONG_MAX;
    SHASH_FOR_EACH (node, &si->leaving) {
        const long long int *until = node->data;

        if (time_msec() >= *until) {
            ifaces_push(si->ifaces, node->name);
        } else {
            si->leaving_at = MIN(si->leaving_at, *until);
        }
    }
}

/* What becomes of endpoints. */

/* How 'e' is to be bound, in '*e'; if its port 'stays', it is not unbound.
 * Returns true if that is new. */
static bool
find_binding(const struct server *server, struct record_endpoint *e,
             bool stays)
{
    const struct record_endpoint old = *e;
    struct ifaces_claim claim;

    if (find_claim(server, e, &claim)) {
        ovs_strlcpy(e->host, claim.host, sizeof e->host);
        if (e->mac_from == MAC_OF_IFACE && !record_mac_is_zero(&claim.mac)) {
            e->mac = claim.mac;
        }
    } else if (!stays && is_gone(server, e)) {
        e->host[0] = '\0';      /* With another port there it may be back. */
    }
    return (strcmp(e->host, old.host)
            || memcmp(&e->mac, &old.mac, sizeof e->mac));
}

/* Binds the endpoints of 'iface' in 'txn'.  0, or a positive errno. */
static int
bind_port(struct server *server, struct catalog_txn *txn, const char *iface,
          struct diagnosis *diag)
{
    struct record_endpoint *endpoints;
    bool gone = false, stays;
    int error = 0;
    size_t n;

    endpoints = catalog_endpoints_of(server->catalog, iface, &n);
    for (size_t i = 0; i < n; i++) {
        gone |= is_gone(server, &endpoints[i]);
    }
    stays = lingers(server, iface, gone);
    for (size_t i = 0; i < n && !error; i++) {
        struct record record = { .kind = RECORD_ENDPOINT,
                                 .endpoint = endpoints[i] };

        if (find_binding(server, &record.endpoint, stays)) {
            struct json *json = record_to_json(&record);

            error = catalog_set(txn, json, diag);
            json_destroy(json);
        }
    }
    free(endpoints);
    return error;
}

static void
set_refused(struct server_ifaces *si, const char *iface, const char *why)
{
    free(shash_find_and_delete(&si->refused, iface));
    if (why) {
        shash_add(&si->refused, iface, xstrdup(why));
    }
}

/* Binds all endpoints of the 'n' ports, in one transaction.  Returns 'n'; or
 * which of them is at fault, with nothing done, and -1 if it is none. */
static int
bind_together(struct server *server, const record_iface *ports, int n,
              struct diagnosis *diag)
{
    struct catalog_txn *txn = server_begin(server);
    struct json *result;

    diag->op = -1;
    for (int i = 0; i < n; i++) {
        catalog_set_op(txn, i);
        if (bind_port(server, txn, ports[i], diag)) {
            catalog_abort(txn);
            return i;
        }
    }
    result = server_finish(server, txn, false, diag);
    if (!result) {
        return diag->op >= 0 && diag->op < n ? diag->op : -1;
    }
    json_destroy(result);
    return n;
}

/* Looks who claims 'iface' and must not have its endpoints.  Returns false if
 * it has none. */
static bool
look_at_port(struct server *server, const char *iface)
{
    struct server_ifaces *si = server->ifaces;
    struct record_endpoint *endpoints;
    struct ifaces_claim claim;
    size_t n;

    set_refused(si, iface, NULL);
    endpoints = catalog_endpoints_of(server->catalog, iface, &n);
    for (size_t i = 0; i < n; i++) {
        if (find_stranger(server, &endpoints[i], &claim)) {
            VLOG_WARN_RL(&rl, "host %s claims port %s but may not see VNI "
                         "%"PRIu32, claim.host, iface, endpoints[i].vni);
            set_refused(si, iface, "");
        }
    }
    if (!n) {
        lingers(server, iface, false);
    }
    free(endpoints);
    return n > 0;
}

/* Those that are refused are pending again if that may be of use.  One that is
 * at fault costs a transaction, so they do not follow each change. */
static void
retry_refused(struct server_ifaces *si)
{
    struct shash_node *node;

    if (!si->helped || time_msec() < si->refused_at) {
        return;
    }
    si->helped = false;
    si->refused_at = time_msec() + REFUSED_MS;
    SHASH_FOR_EACH (node, &si->refused) {
        ifaces_push(si->ifaces, node->name);
    }
}

/* Ports that are thought to be at some hosts, and perhaps are not, are
 * pending.  All hosts tell all when another mapd leads, so this is for many at
 * once. */
static void
rescan(struct server *server)
{
    struct server_ifaces *si = server->ifaces;
    record_iface *ports;
    size_t n;

    if (sset_is_empty(&si->rescan)) {
        return;
    }
    ports = catalog_ifaces_on(server->catalog, &si->rescan, &n);
    for (size_t i = 0; i < n; i++) {
        ifaces_push(si->ifaces, ports[i]);
    }
    free(ports);
    sset_clear(&si->rescan);
}

/* Binds what is pending, as far as one transaction goes.  Most ports are not
 * those of endpoints. */
static void
bind_pending(struct server *server)
{
    struct server_ifaces *si = server->ifaces;
    record_iface ports[BATCH];
    struct diagnosis diag;
    int n = 0, done;

    while (n < BATCH && ifaces_pop(si->ifaces, ports[n])) {
        n += look_at_port(server, ports[n]);
    }
    while (n > 0 && (done = bind_together(server, ports, n, &diag)) != n) {
        if (done < 0) {
            VLOG_WARN_RL(&rl, "endpoints cannot be bound: %s", diag.message);
            si->retry_at = time_msec() + RETRY_MS;
            for (int i = 0; i < n; i++) {
                ifaces_push(si->ifaces, ports[i]);
            }
            return;
        }
        VLOG_WARN_RL(&rl, "port %s: its endpoint cannot be bound: %s",
                     ports[done], diag.message);
        set_refused(si, ports[done], diag.message);
        memmove(&ports[done], &ports[done + 1],
                (--n - done) * sizeof *ports);
    }
}

/* Method: claim. */

static bool
may_send(struct connection *conn)
{
    if (!conn->claims) {
        token_bucket_init(&conn->claim_bucket, SERVER_CLAIM_RATE,
                          SERVER_CLAIM_BURST * TOKEN);
        conn->claims = true;
    }
    return token_bucket_withdraw(&conn->claim_bucket, TOKEN);
}

static int
parse_claims(const struct json *params, struct claims *claims,
             struct diagnosis *diag)
{
    if (!params || params->type != JSON_ARRAY || json_array(params)->n != 1) {
        return diagnosis_set(diag, DIAG_INVALID, "params", NULL,
                             "params must be an array of one object");
    }
    return claims_from_json(json_array(params)->elems[0], claims, diag);
}

int
server_iface_check(struct connection *conn, const struct json *params,
                   struct diagnosis *diag)
{
    struct claims claims;
    int error = parse_claims(params, &claims, diag);

    if (error) {
        return error;
    }
    error = roles_check_claim(&conn->role, claims.host, diag);
    if (error) {
        /* Fall through. */
    } else if (!conn->host || strcmp(conn->host->name, claims.host)) {
        error = diagnosis_set(diag, DIAG_INVALID, "host", claims.host,
                              "this connection is not that of host %s",
                              claims.host);
        diagnosis_set_hint(diag, "register first");
    } else if (!may_send(conn)) {
        error = diagnosis_set(diag, DIAG_BUSY, NULL, NULL,
                              "more than %d a second", SERVER_CLAIM_RATE);
    }
    claims_uninit(&claims);
    return error;
}

struct json *
server_claimed(struct connection *conn, const struct json *params,
               struct diagnosis *diag)
{
    struct server *server = conn->server;
    struct claims claims;
    int error = parse_claims(params, &claims, diag);

    if (error) {
        return NULL;
    }
    error = roles_check_claim(server_trust_asker(conn), claims.host, diag);
    if (!error && !catalog_find_host(server->catalog, claims.host)) {
        error = diagnosis_set(diag, DIAG_NOT_FOUND, "host", claims.host,
                              "host %s is not known", claims.host);
    }
    if (!error) {
        error = ifaces_take(server->ifaces->ifaces, &claims, time_msec(),
                            diag);
    }
    if (!error) {
        if (claims.all) {
            sset_add(&server->ifaces->rescan, claims.host);
        }
        /* Those of other hosts may be pending, too. */
        server_trust_self(server, "claim");
        bind_pending(server);
    }
    claims_uninit(&claims);
    return error ? NULL : json_object_create();
}

struct json *
server_claim(struct connection *conn, const struct json *params,
             struct diagnosis *diag)
{
    return (server_iface_check(conn, params, diag)
            || store_check_leader(conn->server->store, diag)
            ? NULL : server_claimed(conn, params, diag));
}

/* Events. */

/* Asks for all that is there those who have told before. */
static void
ask(struct connection *conn)
{
    if (conn->claims && conn->host && !conn->doomed) {
        server_notify(conn, "want_claims", json_object_create());
    }
}

void
server_iface_follow(struct server *server)
{
    struct server_ifaces *si = server->ifaces;
    int64_t term = store_leader_term(server->store);
    struct connection *conn;

    if (term == si->term || !term) {
        return;
    }
    si->term = term;
    ifaces_forget_all(si->ifaces);
    shash_clear_free_data(&si->refused);
    shash_clear_free_data(&si->leaving);
    sset_clear(&si->rescan);
    LIST_FOR_EACH (conn, node, &server->connections) {
        ask(conn);
    }
}

/* Whether a change of 'kind' may let an endpoint be bound: of another one, or
 * of what a host may see. */
static bool
may_help(enum record_kind kind)
{
    return (kind == RECORD_ENDPOINT || kind == RECORD_HOST
            || kind == RECORD_WORKLOAD || kind == RECORD_VIP
            || kind == RECORD_GATEWAY);
}

static void
note_change(struct server *server, const struct catalog_change *change)
{
    struct server_ifaces *si = server->ifaces;
    const struct record *record = change->after ? change->after
                                  : change->before;

    if (record->kind == RECORD_HOST && !change->after) {
        ifaces_forget_host(si->ifaces, record->host.name);
    } else if (record->kind == RECORD_ENDPOINT && change->after
               && record->endpoint.iface[0]) {
        ifaces_push(si->ifaces, record->endpoint.iface);
    }
    if (record->kind == RECORD_HOST && change->before && change->after
        && !server_vnis_is_same_grant(change->before, change->after)) {
        sset_add(&si->rescan, record->host.name);
    }
    si->helped |= may_help(record->kind) && !shash_is_empty(&si->refused);
}

void
server_iface_committed(struct server *server, const struct catalog_txn *txn)
{
    const struct catalog_liveness *liveness;
    const struct catalog_change *changes;
    size_t n;

    changes = catalog_txn_changes(txn, &n);
    for (size_t i = 0; i < n && server->leads; i++) {
        note_change(server, &changes[i]);
    }
    liveness = catalog_txn_liveness(txn, &n);
    for (size_t i = 0; i < n; i++) {
        if (!liveness[i].alive) {
            ifaces_forget_host(server->ifaces->ifaces, liveness[i].host);
        } else {
            struct connection *conn = server_find_host(server,
                                                       liveness[i].host);
            if (conn) {
                ask(conn);
            }
        }
    }
}

void
server_iface_run(struct server *server)
{
    struct server_ifaces *si = server->ifaces;

    if (!server->leads) {
        return;
    }
    end_lingering(si);
    retry_refused(si);
    rescan(server);
    if (ifaces_is_pending(si->ifaces) && time_msec() >= si->retry_at) {
        server_trust_self(server, "claim");
        bind_pending(server);
    }
}

void
server_iface_wait(const struct server *server)
{
    const struct server_ifaces *si = server->ifaces;

    if (!server->leads) {
        return;
    }
    if (ifaces_is_pending(si->ifaces) || !sset_is_empty(&si->rescan)) {
        poll_timer_wait_until(si->retry_at);
    }
    if (si->helped) {
        poll_timer_wait_until(si->refused_at);
    }
    if (si->leaving_at != LLONG_MAX) {
        poll_timer_wait_until(si->leaving_at);
    }
}

/* In words. */

/* Why an endpoint with an iface gets no new flows; NULL: that is not why. */
const char *
server_iface_why_unbound(const struct record_endpoint *e)
{
    return (!e->host[0] ? "unbound: no host has a port with its iface-id"
            : record_mac_is_zero(&e->mac)
            ? "unbound: its port has no attached-mac" : NULL);
}

char *
server_iface_problem(const struct server *server,
                     const struct record_endpoint *e)
{
    const struct server_ifaces *si = server->ifaces;
    const char *refusal = shash_find_data(&si->refused, e->iface);
    const char *unbound = server_iface_why_unbound(e);
    struct ifaces_claim claim;
    char *problem = NULL;

    if (!e->iface[0]) {
        return NULL;
    }
    if (find_stranger(server, e, &claim)) {
        return xasprintf("endpoint %"PRIu32"/%s/%s: host %s claims port %s "
                         "but may not see VNI %"PRIu32"; grapnelctl host set "
                         "%s --vnis VNIS lets it", e->vni, e->group, e->name,
                         claim.host, e->iface, e->vni, claim.host);
    }
    if (refusal && refusal[0]) {
        return xasprintf("endpoint %"PRIu32"/%s/%s cannot be bound to port "
                         "%s: %s", e->vni, e->group, e->name, e->iface,
                         refusal);
    }
    if (find_claim(server, e, &claim) > 1) {
        char *names = ifaces_names(si->ifaces, e->iface);

        problem = xasprintf("endpoint %"PRIu32"/%s/%s: port %s is at hosts "
                            "%s; %s, where it came last, gets the flows",
                            e->vni, e->group, e->name, e->iface, names,
                            claim.host);
        free(names);
    } else if (unbound && e->state == ENDPOINT_UP) {
        problem = xasprintf("endpoint %"PRIu32"/%s/%s is %s (%s)", e->vni,
                            e->group, e->name, unbound, e->iface);
    }
    return problem;
}
