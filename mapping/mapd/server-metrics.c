#include <config.h>

#include "mapping/mapd/server-metrics.h"

#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/server-private.h"
#include "mapping/mapd/store.h"
#include "timeval.h"
#include "util.h"

/* Peers choose what they send: all that is not here counts as the last. */
static const char *const methods[SERVER_METRICS_METHODS] = {
    "applied", "claim", "dump", "echo", "flows", "forwarded", "health",
    "list", "load", "register", "report", "status", "subscribe", "trace",
    "traced", "transact", "wait", "want_flows", "watch", "other",
};

static struct server_method_count *
find_method(struct server_metrics *m, const char *name)
{
    size_t i = 0;

    while (i < SERVER_METRICS_METHODS - 1 && strcmp(methods[i], name)) {
        i++;
    }
    return &m->methods[i];
}

void
server_metrics_received(struct server_metrics *m, const char *method)
{
    find_method(m, method)->received++;
}

void
server_metrics_refused(struct server_metrics *m, const char *method)
{
    find_method(m, method)->refused++;
}

void
server_metrics_committed(struct server_metrics *m, long long int started,
                         bool failed)
{
    if (failed) {
        m->n_failed_commits++;
    } else {
        metrics_times_add(&m->commits, (time_usec() - started) / 1e6);
    }
}

/* Telling. */

static void
write_hosts(const struct server *server, struct metrics *m)
{
    uint64_t revision = catalog_revision(server->catalog);
    const struct presence_host *host;
    size_t n_dead = 0, n_lagging = 0;

    HMAP_FOR_EACH (host, node, &server->presence.hosts) {
        n_dead += host->dead;
        n_lagging += host->owner && host->applied < revision;
    }
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_hosts",
                   "Hosts that there are records of.",
                   catalog_count(server->catalog, RECORD_HOST));
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_connected_hosts",
                   "Hosts that are connected.",
                   server->presence.n_connected);
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_dead_hosts",
                   "Hosts whose endpoints get no new flows, because they are "
                   "gone.", n_dead);
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_lagging_hosts",
                   "Connected hosts that have not applied the latest "
                   "revision.", n_lagging);
}

static void
write_catalog(const struct server *server, struct metrics *m)
{
    const struct catalog *catalog = server->catalog;

    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_revision",
                   "Latest revision of the mapping.",
                   catalog_revision(catalog));
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_groups",
                   "Groups that there are records of.",
                   catalog_count(catalog, RECORD_GROUP));
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_endpoints",
                   "Endpoints that there are records of.",
                   catalog_count(catalog, RECORD_ENDPOINT));
}

static void
write_connections(const struct server *server, struct metrics *m)
{
    size_t n_subscribers = 0, n_watchers = 0, backlog = 0;
    const struct connection *conn;

    LIST_FOR_EACH (conn, node, &server->connections) {
        n_subscribers += conn->view != NULL;
        n_watchers += conn->watching;
        backlog += jsonrpc_get_backlog(conn->rpc);
    }
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_connections",
                   "Connections of hosts, operators and others.",
                   server->n_connections);
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_max_connections",
                   "Connections that there is room for.",
                   server->max_connections);
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_subscribers",
                   "Connections that are told of changes as hosts are.",
                   n_subscribers);
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_watchers",
                   "Connections that are told of changes as operators are.",
                   n_watchers);
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_queue_bytes",
                   "What is to be sent as soon as its receivers read.",
                   backlog);
}

static void
write_methods(const struct server_metrics *sm, struct metrics *m)
{
    metrics_family(m, METRICS_COUNTER, "grapnel_mapd_received_messages_total",
                   "Requests and notifications that came, by method.");
    for (size_t i = 0; i < SERVER_METRICS_METHODS; i++) {
        metrics_put(m, sm->methods[i].received, "method", methods[i]);
    }
    metrics_family(m, METRICS_COUNTER, "grapnel_mapd_refused_messages_total",
                   "Of these: refused, with an error that says why.");
    for (size_t i = 0; i < SERVER_METRICS_METHODS; i++) {
        metrics_put(m, sm->methods[i].refused, "method", methods[i]);
    }
}

static void
write_counts(const struct server *server, struct metrics *m)
{
    const struct server_metrics *sm = &server->metrics;

    metrics_put_times(m, "grapnel_mapd_commit_seconds",
                      "How long the store took for a change.", &sm->commits);
    metrics_single(m, METRICS_COUNTER, "grapnel_mapd_failed_commits_total",
                   "Changes that the store did not take.",
                   sm->n_failed_commits);
    write_methods(sm, m);
    metrics_single(m, METRICS_COUNTER, "grapnel_mapd_sent_messages_total",
                   "Messages sent.", sm->n_sent);
    metrics_single(m, METRICS_COUNTER, "grapnel_mapd_sent_snapshots_total",
                   "Of these: snapshots of all that a subscriber sees.",
                   sm->n_snapshots);
    metrics_single(m, METRICS_COUNTER, "grapnel_mapd_overruns_total",
                   "Times that a subscriber read too slowly, and was sent a "
                   "snapshot in place of updates.", sm->n_overruns);
    metrics_single(m, METRICS_COUNTER, "grapnel_mapd_dropped_messages_total",
                   "Messages between hosts that were too many.",
                   server->n_relay_drops);
}

void
server_write_metrics(const struct server *server, struct metrics *m)
{
    const char *name = store_name(server->store);
    char *kind = xmemdup0(name, strcspn(name, ":"));

    metrics_family(m, METRICS_GAUGE, "grapnel_mapd_info",
                   "Always 1; the labels say what runs.");
    metrics_put(m, 1, "version", GRAPNEL_VERSION, "store", kind);
    free(kind);
    metrics_single(m, METRICS_GAUGE, "grapnel_mapd_uptime_seconds",
                   "Since mapd started.",
                   (time_msec() - server->started) / 1e3);
    write_catalog(server, m);
    write_hosts(server, m);
    write_connections(server, m);
    write_counts(server, m);
}

char *
server_health_problem(const struct server *server)
{
    struct diagnosis diag;

    return (store_check(server->store, &diag)
            ? xasprintf("%s; %s", diag.message, diag.hint) : NULL);
}
