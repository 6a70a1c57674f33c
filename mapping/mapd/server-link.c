#include <config.h>

#include "mapping/mapd/server-link.h"

#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/params.h"
#include "mapping/mapd/server-private.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_link);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

struct server_link *
server_link_open(struct server *server, struct connection *conn,
                 const char *mapd)
{
    struct server_link *link = xzalloc(sizeof *link);

    link->server = server;
    link->conn = conn;
    ovs_strlcpy(link->mapd, mapd, sizeof link->mapd);
    ovs_list_push_back(&server->links, &link->node);
    server_health_now(server);
    return link;
}

/* Whether what is known of the hosts of 'mapd' came by 'link'.  By the uplink
 * it was that of mapds that have no link of their own: some may have one
 * already when this mapd begins to lead.  A link that ends may have a
 * successor, too. */
static bool
came_by(const char *mapd, const void *link_)
{
    const struct server_link *link = link_;

    const struct server_link *now = server_link_find(link->server, mapd);

    return (!now || now == link) && (!link->conn || !strcmp(mapd, link->mapd));
}

void
server_link_close(struct server_link *link)
{
    if (link) {
        server_trace_drop_link(link);
        /* What came by it may not be so any more. */
        presence_doubt(&link->server->presence, came_by, link);
        server_report_destroy(link->server, link->report);
        ovs_list_remove(&link->node);
        free(link);
    }
}

struct server_link *
server_link_up(const struct server *server)
{
    struct server_link *link;

    LIST_FOR_EACH (link, node, &server->links) {
        if (!link->conn) {
            return link;
        }
    }
    return NULL;
}

struct server_link *
server_link_find(const struct server *server, const char *mapd)
{
    struct server_link *link;

    LIST_FOR_EACH (link, node, &server->links) {
        if (link->conn && !link->conn->doomed && !strcmp(link->mapd, mapd)) {
            return link;
        }
    }
    return NULL;
}

struct server_link *
server_link_to_host(const struct server *server, const char *name)
{
    const struct presence_host *host = presence_find(&server->presence, name);
    struct server_link *link;

    if (!host || host->owner || !host->mapd[0]) {
        return NULL;
    }
    link = server_link_find(server, host->mapd);
    return link ? link : server_link_up(server);
}

bool
server_link_is_full(const struct server_link *link)
{
    return (link->conn ? server_is_full(link->conn)
            : server_uplink_is_full(link->server));
}

void
server_link_put(struct server_link *link, const char *method,
                struct json *param)
{
    struct jsonrpc_msg *msg
        = jsonrpc_create_notify(method, json_array_create_1(param));

    if (link->conn) {
        server_send(link->conn, msg);
    } else {
        link->server->metrics.n_sent++;
        server_uplink_send(link->server, msg);
    }
}

bool
server_link_notify(struct server_link *link, const char *method,
                   struct json *param)
{
    if (server_link_is_full(link)) {
        link->server->n_relay_drops++;
        VLOG_DBG_RL(&rl, "grapnel-mapd %s reads too slowly: \"%s\" is dropped",
                    link->mapd, method);
        json_destroy(param);
        return false;
    }
    server_link_put(link, method, param);
    return true;
}

/* The other end has lost something. */
static int
tell_again(struct server_link *link, const struct json *params OVS_UNUSED,
           struct diagnosis *diag OVS_UNUSED)
{
    link->hosts_told = 0;
    return 0;
}

static const struct {
    const char *name;
    server_link_handler *function;
} handlers[] = {
    { "flows", server_relay_flows_by },
    { "link_again", tell_again },
    { "link_health", server_health_by },
    { "link_hosts", server_fleet_hosts },
    { "link_loads", server_report_by },
    { "trace", server_trace_by },
    { "traced", server_traced_by },
    { "want_flows", server_relay_want_flows_by },
};

bool
server_link_receive(struct server_link *link, const char *method,
                    const struct json *params, int *error,
                    struct diagnosis *diag)
{
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
        if (!strcmp(handlers[i].name, method)) {
            *error = handlers[i].function(link, params, diag);
            return true;
        }
    }
    return false;
}

/* Telling. */

static bool
has_news_of_hosts(const struct server_link *link)
{
    return link->hosts_told != link->server->presence.changes;
}

static bool
has_news_of_loads(const struct server_link *link)
{
    return link->loads_told != link->server->load_changes;
}

static void
run_link(struct server_link *link)
{
    if (server_link_is_full(link)) {
        return;
    }
    if (has_news_of_hosts(link) && time_msec() >= link->hosts_at) {
        server_fleet_tell_hosts(link);
        link->hosts_at = time_msec() + SERVER_LINK_HOSTS_MS;
    }
    if (has_news_of_loads(link) && time_msec() >= link->loads_at) {
        bool all = server_report_tell(link);

        link->loads_at = time_msec() + (all ? SERVER_LINK_LOADS_MS
                                        : SERVER_LINK_HOSTS_MS);
    }
    if (link->misses && time_msec() >= link->again_at) {
        link->misses = false;
        link->again_at = time_msec() + SERVER_LINK_AGAIN_MS;
        server_link_notify(link, "link_again", json_object_create());
    }
}

void
server_link_run(struct server *server)
{
    struct server_link *link;

    LIST_FOR_EACH (link, node, &server->links) {
        run_link(link);
    }
    if (time_msec() >= server->loads_clean_at) {
        server_report_clean(server);
        server->loads_clean_at = time_msec() + SERVER_LINK_CLEAN_MS;
    }
}

void
server_link_wait(const struct server *server)
{
    const struct server_link *link;

    LIST_FOR_EACH (link, node, &server->links) {
        if (server_link_is_full(link)) {
            continue;           /* Whoever reads wakes us up. */
        }
        if (has_news_of_hosts(link)) {
            poll_timer_wait_until(link->hosts_at);
        }
        if (has_news_of_loads(link)) {
            poll_timer_wait_until(link->loads_at);
        }
        if (link->misses) {
            poll_timer_wait_until(link->again_at);
        }
    }
}

/* Notification `link`: a mapd that follows is at the other end of 'conn'. */
int
server_link_begin(struct connection *conn, const struct json *params,
                  struct diagnosis *diag)
{
    struct server_link *old;
    struct params p;
    const char *mapd;
    int error;

    params_open(&p, params, diag);
    mapd = params_string(&p, "mapd", "");
    params_require(&p, "mapd");
    error = params_close(&p);
    if (!error && (!mapd[0] || strlen(mapd) > RECORD_NAME_MAX
                   || conn->link || conn->host
                   || !store_is_shared(conn->server->store)
                   || !strcmp(mapd, store_own_name(conn->server->store)))) {
        error = diagnosis_set(diag, DIAG_INVALID, "mapd", mapd,
                              "\"%.63s\" is not the name of another "
                              "grapnel-mapd of this store", mapd);
    }
    if (error) {
        return error;
    }
    old = server_link_find(conn->server, mapd);
    if (old) {
        server_doom(old->conn);
        old->conn->link = NULL;
        server_link_close(old);
    }
    conn->link = server_link_open(conn->server, conn, mapd);
    VLOG_INFO("grapnel-mapd %s follows, by %s", mapd,
              jsonrpc_get_name(conn->rpc));
    return 0;
}
