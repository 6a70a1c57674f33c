/* Which VNIs a host that has shown a certificate may see, of those that it
 * asks for: those that its record gives it, those in which an endpoint (but
 * for those with an iface) or a workload is recorded on it, and those with a
 * VIP of a gateway that it is a node of.  What it may see changes with the
 * records: then it gets a snapshot of what it sees from then on, and is told
 * what it does not. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/subscription.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "sset.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_vnis);

enum { RANGES_TOLD = 8 };      /* To people. */

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 10);

void
server_set_any_vni(struct server *server, bool any)
{
    server->any_vni = any;
}

/* What a host may see. */

/* Whether 'host' is a node of the gateway 'name'. */
static bool
is_node(const struct catalog *catalog, const char *name, const char *host)
{
    struct record key = { .kind = RECORD_GATEWAY }, gateway;

    ovs_strlcpy(key.gateway.name, name, sizeof key.gateway.name);
    return (catalog_find_record(catalog, &key, &gateway)
            && (!strcmp(gateway.gateway.node1, host)
                || !strcmp(gateway.gateway.node2, host)));
}

static void
add_gateways(const struct catalog *catalog, const char *host,
             struct vni_set *set)
{
    struct record *vips;
    size_t n;

    if (!catalog_count(catalog, RECORD_VIP)) {
        return;
    }
    vips = catalog_records(catalog, RECORD_VIP, &n);
    for (size_t i = 0; i < n; i++) {
        if (vips[i].vip.vni && is_node(catalog, vips[i].vip.gateway, host)) {
            vni_set_add(set, vips[i].vip.vni, vips[i].vip.vni);
        }
    }
    free(vips);
}

static void
find_allowed(const struct server *server, const char *name,
             struct vni_set *set)
{
    const struct record_host *host = catalog_find_host(server->catalog, name);

    if (server->any_vni && !(host && host->vnis.n)) {
        vni_set_fill(set);
        return;
    }
    vni_set_assign(set, host ? host->vnis.ranges : NULL,
                   host ? host->vnis.n : 0);
    stations_add_vnis(&server->stations, name, set);
    add_gateways(server->catalog, name, set);
    vni_set_normalize(set);
}

static bool
is_given(const struct record_host *host, uint32_t vni)
{
    for (size_t i = 0; host && i < host->vnis.n; i++) {
        if (vni >= host->vnis.ranges[i].first
            && vni <= host->vnis.ranges[i].last) {
            return true;
        }
    }
    return false;
}

static bool
has_gateway(const struct catalog *catalog, const char *host, uint32_t vni)
{
    struct vni_set set = VNI_SET_EMPTY;
    bool has;

    add_gateways(catalog, host, &set);
    vni_set_normalize(&set);
    has = vni_set_has(&set, vni);
    vni_set_destroy(&set);
    return has;
}

/* As find_allowed(), of one VNI: many are asked for. */
bool
server_vnis_may_bind(const struct server *server, const char *name,
                     uint32_t vni)
{
    const struct record_host *host = catalog_find_host(server->catalog, name);

    return (!tls_certificate()
            || (server->any_vni && !(host && host->vnis.n))
            || is_given(host, vni)
            || stations_has_vni(&server->stations, name, vni)
            || has_gateway(server->catalog, name, vni));
}

/* Of those that 'conn' wants, stores the VNIs that it sees and those that it
 * may not see; of all VNIs, it wants those that it may see. */
static void
choose(const struct connection *conn, struct vni_set *seen,
       struct vni_set *refused)
{
    struct vni_set allowed = VNI_SET_EMPTY;

    if (conn->role.kind != ROLE_HOST) {
        vni_set_assign(seen, conn->wanted.ranges, conn->wanted.n);
        return;
    }
    find_allowed(conn->server, conn->role.name, &allowed);
    vni_set_intersect(seen, &conn->wanted, &allowed);
    if (!vni_set_is_full(&conn->wanted)) {
        vni_set_subtract(refused, &conn->wanted, &allowed);
    }
    vni_set_destroy(&allowed);
}

/* Telling. */

static void
describe(const struct connection *conn, struct diagnosis *diag)
{
    char *text = vni_set_to_excerpt(&conn->refused, RANGES_TOLD);

    diagnosis_set(diag, DIAG_DENIED, "vnis", text, "host:%s may not see VNI "
                  "%s", conn->role.name, text);
    diagnosis_set_hint(diag, "grapnelctl host set %s --vnis VNIS lets it; so "
                       "does an endpoint or workload on it", conn->role.name);
    free(text);
}

/* Tells the host what it does not see, or that this is nothing any more. */
static void
tell(struct connection *conn)
{
    struct json *param = json_object_create();
    struct diagnosis diag = { .op = -1 };

    json_object_put(param, "vnis", json_string_create_nocopy(
                        vni_set_to_text(&conn->refused)));
    if (conn->refused.n) {
        describe(conn, &diag);
        json_object_put_string(param, "message", diag.message);
        json_object_put_string(param, "hint", diag.hint);
    }
    server_notify(conn, "refused", param);
}

/* Returns true if what 'conn' sees is not what it was. */
static bool
look(struct connection *conn)
{
    struct server *server = conn->server;
    struct subscription_view *old = conn->view;
    struct vni_set seen = VNI_SET_EMPTY, refused = VNI_SET_EMPTY;

    choose(conn, &seen, &refused);
    conn->view = subscription_view_get(&server->views, &seen);
    subscription_view_put(&server->views, old);
    vni_set_destroy(&seen);
    if (vni_set_equal(&refused, &conn->refused)) {
        vni_set_destroy(&refused);
    } else {
        vni_set_destroy(&conn->refused);
        conn->refused = refused;
        tell(conn);
    }
    return conn->view != old;
}

void
server_vnis_subscribe(struct connection *conn, struct vni_set *wanted)
{
    struct diagnosis diag = { .op = -1 };

    vni_set_destroy(&conn->wanted);
    conn->wanted = *wanted;
    look(conn);
    if (conn->refused.n) {
        describe(conn, &diag);
        server_metrics_refused(&conn->server->metrics, "subscribe");
        server_trust_refused(conn, &diag);
    }
}

char *
server_vnis_refused(const struct connection *conn)
{
    return (conn->refused.n ? vni_set_to_excerpt(&conn->refused, RANGES_TOLD)
            : NULL);
}

/* Following the records. */

bool
server_vnis_is_same_grant(const struct record *a, const struct record *b)
{
    return (a && b && a->kind == RECORD_HOST
            && a->host.vnis.n == b->host.vnis.n
            && !memcmp(a->host.vnis.ranges, b->host.vnis.ranges,
                       a->host.vnis.n * sizeof *a->host.vnis.ranges));
}

static void
add_nodes(const struct record *gateway, struct sset *names)
{
    sset_add(names, gateway->gateway.node1);
    sset_add(names, gateway->gateway.node2);
}

/* Of 'record', which is NULL or comes to be or ceases to be.  A gateway that
 * goes, too, is a change of its own. */
static void
add_concerned(const struct catalog *catalog, const struct record *record,
              struct sset *names)
{
    struct record key = { .kind = RECORD_GATEWAY }, gateway;

    if (record && record->kind == RECORD_GATEWAY) {
        add_nodes(record, names);
    } else if (record && record->kind == RECORD_VIP) {
        ovs_strlcpy(key.gateway.name, record->vip.gateway,
                    sizeof key.gateway.name);
        if (catalog_find_record(catalog, &key, &gateway)) {
            add_nodes(&gateway, names);
        }
    } else if (record && record->kind == RECORD_HOST) {
        sset_add(names, record->host.name);
    }
}

void
server_vnis_changed(struct server *server, const struct catalog_txn *txn)
{
    struct sset names = SSET_INITIALIZER(&names);
    const struct catalog_change *changes;
    struct connection *conn;
    size_t n;

    changes = catalog_txn_changes(txn, &n);
    stations_change(&server->stations, changes, n, &names);
    for (size_t i = 0; i < n; i++) {
        if (!server_vnis_is_same_grant(changes[i].before,
                                       changes[i].after)) {
            add_concerned(server->catalog, changes[i].before, &names);
            add_concerned(server->catalog, changes[i].after, &names);
        }
    }
    if (!sset_is_empty(&names)) {
        LIST_FOR_EACH (conn, node, &server->connections) {
            if (conn->role.kind == ROLE_HOST && conn->view
                && sset_contains(&names, conn->role.name)
                && look(conn) && !conn->stale) {
                VLOG_INFO_RL(&rl, "%s: other VNIs than before are for host "
                             "%s, which will get a snapshot",
                             jsonrpc_get_name(conn->rpc), conn->role.name);
                server_queue_snapshot(conn, NULL);
            }
        }
    }
    sset_destroy(&names);
}
