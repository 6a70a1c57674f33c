/* The connection of a mapd that follows to the one that makes changes. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/store.h"
#include "mapping/tls.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_uplink);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

enum {
    UPLINK_MESSAGES   = 256,    /* At a time. */
    UPLINK_BACKOFF_MS = 250,
    UPLINK_PROBE_MS   = 30 * 1000, /* A large change takes its time. */
};

struct server_uplink {
    char *address;              /* Where 'session' goes, or last went; or
                                 * NULL. */
    struct jsonrpc_session *session; /* NULL: none. */
    unsigned int seqno;         /* Of its connection. */
    bool usable;                /* It is connected, and to a mapd. */
    struct server_link *link;   /* If so. */
};

void
server_uplink_init(struct server *server)
{
    server->uplink = xzalloc(sizeof *server->uplink);
}

bool
server_uplink_is_usable(const struct server *server)
{
    return server->uplink->session && server->uplink->usable;
}

bool
server_uplink_is_trying(const struct server *server)
{
    return server->uplink->session && !server->uplink->usable;
}

const char *
server_uplink_address(const struct server *server)
{
    return server->uplink->address;
}

void
server_uplink_send(struct server *server, struct jsonrpc_msg *msg)
{
    jsonrpc_session_send(server->uplink->session, msg);
}

bool
server_uplink_is_full(const struct server *server)
{
    return (jsonrpc_session_get_backlog(server->uplink->session)
            > SERVER_MAX_BACKLOG);
}

/* Others that the CAs vouch for, such as hosts, must not pass for mapd. */
static bool
is_mapd(const struct server *server)
{
    const struct server_uplink *uplink = server->uplink;
    const char *name = jsonrpc_session_get_id(uplink->session);

    if (strncmp(uplink->address, "ssl:", 4)) {
        return true;
    } else if (server_trust_is_revoked(server, name)) {
        VLOG_WARN_RL(&rl, "%s: the certificate of %.64s is revoked",
                     uplink->address, name);
        jsonrpc_session_force_reconnect(uplink->session);
        return false;
    } else if (tls_is_mapd(name)) {
        return true;
    }
    VLOG_WARN_RL(&rl, "%s: is not mapd: its certificate is for \"%.64s\", not "
                 "for "TLS_MAPD_PREFIX"NAME", uplink->address,
                 name ? name : "");
    jsonrpc_session_force_reconnect(uplink->session);
    return false;
}

/* What has been sent will not be answered. */
static void
lose(struct server *server)
{
    struct server_uplink *uplink = server->uplink;

    server_forward_lost(server);
    server_link_close(uplink->link);
    uplink->link = NULL;
    uplink->usable = false;
}

void
server_uplink_check(struct server *server)
{
    if (server_uplink_is_usable(server) && !is_mapd(server)) {
        lose(server);
    }
}

static void
hang_up(struct server *server)
{
    struct server_uplink *uplink = server->uplink;

    lose(server);
    jsonrpc_session_close(uplink->session);
    uplink->session = NULL;
}

void
server_uplink_destroy(struct server *server)
{
    struct server_uplink *uplink = server->uplink;

    if (uplink->session) {
        hang_up(server);
    }
    free(uplink->address);
    free(uplink);
}

/* Says who we are. */
static void
begin(struct server *server)
{
    struct server_uplink *uplink = server->uplink;
    const char *leader = store_leader_name(server->store);
    struct json *param = json_object_create();

    uplink->link = server_link_open(server, NULL, leader ? leader : "");
    json_object_put_string(param, "mapd", store_own_name(server->store));
    server_link_put(uplink->link, "link", param);
}

static void
call(struct server_uplink *uplink, const char *address)
{
    free(uplink->address);
    uplink->address = xstrdup(address);
    uplink->session = jsonrpc_session_open(address, true);
    jsonrpc_session_set_max_backoff(uplink->session, UPLINK_BACKOFF_MS);
    jsonrpc_session_set_probe_interval(uplink->session, UPLINK_PROBE_MS);
    uplink->seqno = jsonrpc_session_get_seqno(uplink->session);
}

/* To be open while there is somebody to talk to.  One who has just lost the
 * lead may still answer. */
static void
run_session(struct server *server)
{
    struct server_uplink *uplink = server->uplink;
    const char *address = (server->leads ? NULL
                           : store_leader_address(server->store));

    if (uplink->session && (server->leads
                            || (address && strcmp(address,
                                                  uplink->address)))) {
        hang_up(server);
    }
    if (!uplink->session && address
        && strcmp(store_leader_name(server->store),
                  store_own_name(server->store))) {
        call(uplink, address);
    }
    if (uplink->session) {
        jsonrpc_session_run(uplink->session);
        if (uplink->seqno != jsonrpc_session_get_seqno(uplink->session)) {
            uplink->seqno = jsonrpc_session_get_seqno(uplink->session);
            lose(server);
            uplink->usable = (jsonrpc_session_is_connected(uplink->session)
                              && is_mapd(server));
            if (uplink->usable) {
                begin(server);
            }
        }
    }
}

static void
take_notification(struct server *server, const struct jsonrpc_msg *msg)
{
    struct server_uplink *uplink = server->uplink;
    struct diagnosis diag = { .op = -1 };
    int error = 0;

    server_metrics_received(&server->metrics, msg->method);
    if (uplink->link && server_link_receive(uplink->link, msg->method,
                                            msg->params, &error, &diag)
        && error) {
        server_metrics_refused(&server->metrics, msg->method);
        VLOG_WARN_RL(&rl, "%s: bad \"%s\": %s, closing", uplink->address,
                     msg->method, diag.message);
        jsonrpc_session_force_reconnect(uplink->session);
    }
}

static void
receive(struct server *server)
{
    struct server_uplink *uplink = server->uplink;
    struct jsonrpc_msg *msg;

    for (int i = 0; (i < UPLINK_MESSAGES && uplink->session
                     && (msg = jsonrpc_session_recv(uplink->session)) != NULL);
         i++) {
        if (msg->type == JSONRPC_NOTIFY) {
            take_notification(server, msg);
        } else if (msg->type == JSONRPC_REPLY || msg->type == JSONRPC_ERROR) {
            server_forward_answered(server, msg);
        }
        jsonrpc_msg_destroy(msg);
    }
}

void
server_uplink_run(struct server *server)
{
    if (store_is_shared(server->store)) {
        run_session(server);
        receive(server);
    }
}

void
server_uplink_wait(struct server *server)
{
    struct server_uplink *uplink = server->uplink;

    if (uplink->session) {
        jsonrpc_session_wait(uplink->session);
        jsonrpc_session_recv_wait(uplink->session);
    }
}
