/* Which hosts are dead: those whose connection has been gone for a while.
 *
 * Time is counted in ticks: milliseconds that pass while mapd runs.  After a
 * pause of mapd (or of its machine) hosts first get a chance to be heard.
 * Connections of hosts are probed, so that one that vanishes without a word is
 * noticed as well; it counts from its last sign of life.
 *
 * When more than half of the hosts seem to be gone at once, it is more likely
 * mapd that lost its network, and taking slots away would do harm.
 *
 * Where several mapds share a store, one marks hosts as dead: those that are
 * connected to none of them. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <limits.h>
#include <stdlib.h>

#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_liveness);

enum {
    PROBES      = 3,            /* In the time after which a host is dead. */
    SUSPECT_MIN = 4,            /* Hosts, from which on mapd may doubt. */
    RETRY_MS    = 1000,         /* After the store has failed. */
    LOOK_MS     = 10,           /* Between looks at all hosts, at least. */
};

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

/* The longest step of the clock. */
static long long int
max_step(const struct server *server)
{
    return MAX(server->host_timeout / PROBES, 1);
}

void
server_liveness_init(struct server *server, unsigned int host_timeout)
{
    const struct record_host **hosts;
    size_t n;

    server->host_timeout = host_timeout;
    server->tick_time = time_msec();
    server->presence.revision = catalog_revision(server->catalog);
    hosts = catalog_hosts(server->catalog, &n);
    for (size_t i = 0; i < n; i++) {
        presence_expect(&server->presence, hosts[i]->name,
                        !catalog_host_is_alive(server->catalog,
                                               hosts[i]->name), 0);
    }
    free(hosts);
}

/* How long 'host' may be silent, in ticks. */
static long long int
patience(const struct server *server, const struct presence_host *host)
{
    bool is_slow = host->owner ? host->catching_up : !host->last_seen;

    return server->host_timeout * (is_slow ? SERVER_PATIENCE : 1LL);
}

/* Whether 'host' will be dead if nothing more is heard of it. */
static bool
is_missing(const struct server *server, const struct presence_host *host)
{
    long long int silent = server->tick - host->heard;

    return (host->dead || !presence_is_connected(host)
            || (host->owner && silent > patience(server, host) / 2));
}

static bool
is_due(const struct server *server, const struct presence_host *host)
{
    return (!host->dead && !presence_is_connected(host)
            && server->tick - host->heard >= patience(server, host));
}

/* Dead, but no more: it was seen by another mapd, or only after it was marked.
 * Without a timeout, hosts that were dead when mapd last ran are not. */
static bool
is_back(const struct server *server, const struct presence_host *host)
{
    return (host->dead
            && (!server->host_timeout || presence_is_connected(host)));
}

static bool
is_anyone(const struct server *server,
          bool (*is)(const struct server *, const struct presence_host *))
{
    const struct presence_host *host;

    HMAP_FOR_EACH (host, node, &server->presence.hosts) {
        if (is(server, host)) {
            return true;
        }
    }
    return false;
}

bool
server_suspects_itself(const struct server *server)
{
    const struct presence_host *host;
    size_t n = 0, n_missing = 0;

    if (!server->host_timeout || !server->leads
        || !is_anyone(server, is_due)) {
        return false;
    }
    HMAP_FOR_EACH (host, node, &server->presence.hosts) {
        if (catalog_host_users(server->catalog, host->name)) {
            n++;
            n_missing += is_missing(server, host);
        }
    }
    return n >= SUSPECT_MIN && n_missing * 2 > n;
}

static void
note_liveness(struct server *server, const char *name, bool alive)
{
    struct presence_host *host = presence_find(&server->presence, name);

    host->dead = !alive;
    host->dead_changed = time_msec();
    if (alive) {
        /* By its own mapd's word, which may come before the connection. */
        if (!presence_is_connected(host)) {
            host->heard = server->tick;
        }
        VLOG_INFO_RL(&rl, "host %s lives again", name);
    } else {
        VLOG_WARN_RL(&rl, "host %s is dead: its endpoints get no new flows",
                     name);
    }
}

void
server_liveness_committed(struct server *server,
                          const struct catalog_txn *txn)
{
    const struct catalog_liveness *liveness;
    const struct catalog_change *changes;
    size_t n;

    changes = catalog_txn_changes(txn, &n);
    for (size_t i = 0; i < n; i++) {
        if (changes[i].after && changes[i].after->kind == RECORD_HOST) {
            presence_expect(&server->presence, changes[i].after->host.name,
                            false, server->tick);
        }
    }
    liveness = catalog_txn_liveness(txn, &n);
    for (size_t i = 0; i < n; i++) {
        note_liveness(server, liveness[i].host, liveness[i].alive);
    }
}

/* Marks all hosts as dead that are due, or as alive that are back. */
static void
mark(struct server *server, bool alive)
{
    struct catalog_txn *txn = server_begin(server);
    const struct presence_host *host;
    struct diagnosis diag;
    struct json *result;

    HMAP_FOR_EACH (host, node, &server->presence.hosts) {
        if (alive ? is_back(server, host) : is_due(server, host)) {
            catalog_set_alive(txn, host->name, alive);
        }
    }
    server_trust_self(server, "liveness");
    result = server_finish(server, txn, false, &diag);
    if (!result) {
        server->mark_after = time_msec() + RETRY_MS;
    }
    json_destroy(result);
}

void
server_liveness_lead(struct server *server)
{
    struct presence_host *host;

    HMAP_FOR_EACH (host, node, &server->presence.hosts) {
        if (!host->owner) {
            host->heard = server->tick;
        }
    }
}

void
server_liveness_tick(struct server *server)
{
    long long int now = time_msec();

    if (server->host_timeout) {
        server->tick += MIN(now - server->tick_time, max_step(server));
    }
    server->tick_time = now;
}

void
server_liveness_run(struct server *server)
{
    server->liveness_skipped = false;
    if (!server->leads || time_msec() < server->mark_after) {
        return;
    }
    server->liveness_skipped = time_msec() < server->liveness_run;
    if (server->liveness_skipped) {
        return;
    }
    server->liveness_run = time_msec() + LOOK_MS;
    if (is_anyone(server, is_back)) {
        mark(server, true);
    } else if (server->host_timeout && is_anyone(server, is_due)) {
        if (!server_suspects_itself(server)) {
            mark(server, false);
        } else {
            VLOG_WARN_RL(&rl, "more than half of the hosts seem to be gone: "
                         "is it this machine's network?  None is marked as "
                         "dead");
        }
    }
}

void
server_liveness_wait(const struct server *server)
{
    if (server->host_timeout && !hmap_is_empty(&server->presence.hosts)) {
        poll_timer_wait_until(server->tick_time + max_step(server));
    }
    if (server->liveness_skipped) {
        poll_timer_wait_until(server->liveness_run);
    }
    if (server->leads && time_msec() < server->mark_after) {
        poll_timer_wait_until(server->mark_after);
    }
}

void
server_liveness_heard(struct connection *conn)
{
    conn->host->heard = conn->server->tick;
    conn->host->last_seen = time_msec();
}

bool
server_liveness_probes(const struct connection *conn)
{
    return conn->host && conn->server->host_timeout;
}

void
server_liveness_probe(struct connection *conn)
{
    const struct server *server = conn->server;
    long long int silent = server->tick - conn->host->heard;

    if (silent >= patience(server, conn->host)) {
        VLOG_WARN_RL(&rl, "%s: host %s has given no sign of life for %lld ms, "
                     "closing", jsonrpc_get_name(conn->rpc), conn->host->name,
                     silent);
        server_doom(conn);
    } else if (silent >= server->host_timeout / PROBES && !conn->probed) {
        server_send_probe(conn, SERVER_PROBE_ID);
    }
}

/* Should ticks have passed more slowly by then, it asks again. */
void
server_liveness_wait_probe(const struct connection *conn)
{
    const struct server *server = conn->server;
    long long int silence = (conn->probed ? patience(server, conn->host)
                             : server->host_timeout / PROBES);

    poll_timer_wait_until(server->tick_time + conn->host->heard + silence
                          - server->tick);
}
