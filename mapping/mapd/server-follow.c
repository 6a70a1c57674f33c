/* A store that several mapds share: what the others have done. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/server-change.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_follow);

enum { FOLLOW_PER_RUN = 64 };   /* Transactions; then others get their turn. */

static void
follow(struct server *server)
{
    for (int i = 0; i < FOLLOW_PER_RUN; i++) {
        struct catalog_txn *txn = store_follow(server->store,
                                               server->catalog);
        const struct catalog_change *changes;
        struct json *encoded;
        size_t n;

        if (!txn) {
            server->follows_more = false;
            return;
        }
        changes = catalog_txn_changes(txn, &n);
        encoded = server_change_encode(server, changes, n);
        server_committed(server, txn, encoded);
        json_destroy(encoded);
    }
    server->follows_more = true;
}

/* 'host' has come to another mapd: the newest connection counts. */
static void
seen_elsewhere(struct server *server, struct presence_host *host,
               const char *mapd)
{
    struct connection *conn = host->owner;

    if (conn) {
        VLOG_INFO("host %s: registered with grapnel-mapd %s, closing its "
                  "connection %s", host->name, mapd,
                  jsonrpc_get_name(conn->rpc));
        server_set_host(conn, NULL);
        server_doom(conn);
    }
    presence_seen(&server->presence, host, mapd);
    host->heard = server->tick;
    host->last_seen = time_msec();
}

static void
take_seen(struct server *server)
{
    struct store_seen seen;

    while (store_next_seen(server->store, &seen)) {
        struct presence_host *host = presence_find(&server->presence,
                                                   seen.host);

        if (!host || !strcmp(seen.mapd, store_own_name(server->store))) {
            continue;
        } else if (seen.mapd[0]) {
            seen_elsewhere(server, host, seen.mapd);
        } else if (host->mapd[0]) {
            /* Gone from there; or, without a word, that mapd itself is. */
            presence_seen(&server->presence, host, "");
            host->heard = server->tick - seen.silent_ms;
        }
    }
}

void
server_follow_run(struct server *server)
{
    struct diagnosis diag;
    bool leads;

    store_run(server->store);
    follow(server);
    take_seen(server);
    leads = !store_check_leader(server->store, &diag);
    if (leads && !server->leads) {
        server_liveness_lead(server);
        server_lease_init(server);
    }
    if (leads != server->leads) {
        server_health_now(server);
    }
    server->leads = leads;
    server_iface_follow(server);
}

void
server_follow_wait(const struct server *server)
{
    if (server->follows_more) {
        poll_immediate_wake();
    }
}
