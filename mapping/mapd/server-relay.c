/* Hosts hand flows over to each other: one asks who has flows of a source that
 * has moved to it, and those that have some answer.
 *
 * mapd passes on no more than SERVER_WANT_RATE questions and
 * SERVER_FLOWS_RATE answers a second per host, only among hosts that subscribe
 * to the VNI, and no answer to who has not asked lately.  What is over a bound
 * is dropped and counted: the flows are then picked anew.  The mapd to which a
 * host is connected sees to its bounds; others take its word, and pass on. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/subscription.h"
#include "mapping/relay.h"
#include "openvswitch/json.h"
#include "openvswitch/token-bucket.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_relay);

enum {
    ASKED_MAX  = 64,            /* Questions of a host that are remembered, */
    ASKED_MS   = 5000,          /* and for how long. */
    TOKEN      = 1000,          /* A bucket gets 'rate' tokens per ms. */
};
BUILD_ASSERT_DECL(ASKED_MAX >= SERVER_WANT_RATE * (ASKED_MS / 1000 + 1));

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

struct question {
    uint32_t vni;               /* 0: none. */
    struct inet_addr source;
    long long int time;         /* time_msec(). */
};

struct server_relay {
    struct token_bucket wants, flows; /* That it may send. */
    struct question asked[ASKED_MAX];
    size_t next;
};

static struct server_relay *
get_relay(struct connection *conn)
{
    if (!conn->relay) {
        conn->relay = xzalloc(sizeof *conn->relay);
        token_bucket_init(&conn->relay->wants, SERVER_WANT_RATE,
                          SERVER_WANT_RATE * TOKEN);
        token_bucket_init(&conn->relay->flows, SERVER_FLOWS_RATE,
                          SERVER_FLOWS_RATE * TOKEN);
    }
    return conn->relay;
}

void
server_relay_destroy(struct connection *conn)
{
    free(conn->relay);
}

static bool
takes_part(const struct connection *conn, uint32_t vni)
{
    return (conn->host && !conn->doomed && conn->view
            && subscription_view_sees(conn->view, vni));
}

static void
drop(struct connection *conn, const char *what, const char *why)
{
    conn->server->n_relay_drops++;
    VLOG_DBG_RL(&rl, "%s: \"%s\" is dropped: %s",
                jsonrpc_get_name(conn->rpc), what, why);
}

/* The only element of 'params', or NULL. */
static const struct json *
only_param(const struct json *params, struct diagnosis *diag)
{
    if (params && params->type == JSON_ARRAY && json_array(params)->n == 1) {
        return json_array(params)->elems[0];
    }
    diagnosis_set(diag, DIAG_INVALID, "params", NULL,
                  "params must be an array of one object");
    return NULL;
}

/* Passes on 'want' to all hosts that are connected here but its own. */
static void
ask_hosts(struct server *server, const struct relay_want *want,
          const struct json *json)
{
    struct connection *conn;

    LIST_FOR_EACH (conn, node, &server->connections) {
        if (!takes_part(conn, want->vni)
            || !strcmp(conn->host->name, want->host)) {
            continue;
        } else if (server_is_full(conn)) {
            drop(conn, "want_flows", "it reads too slowly");
        } else {
            server_notify(conn, "want_flows", json_clone(json));
        }
    }
}

/* Passes on 'json' to other mapds.  What came by link 'from' (NULL: from a
 * host) goes to those that follow only: it came from them, or the leader. */
static void
ask_mapds(struct server *server, const struct server_link *from,
          const struct json *json)
{
    struct server_link *link;

    LIST_FOR_EACH (link, node, &server->links) {
        if (link != from && (!from || link->conn)) {
            server_link_notify(link, "want_flows", json_clone(json));
        }
    }
}

int
server_relay_want_flows_by(struct server_link *link, const struct json *params,
                           struct diagnosis *diag)
{
    const struct json *param = only_param(params, diag);
    struct relay_want want;
    int error = (!param ? EINVAL
                 : relay_want_from_json(param, true, &want, diag));

    if (!error) {
        ask_hosts(link->server, &want, param);
        if (link->conn) {
            ask_mapds(link->server, link, param);
        }
    }
    return error;
}

int
server_relay_want_flows(struct connection *conn, const struct json *params,
                        struct diagnosis *diag)
{
    const struct json *param = only_param(params, diag);
    struct relay_want want;
    struct server_relay *relay;
    struct json *json;
    int error;

    if (!param) {
        return EINVAL;
    }
    error = relay_want_from_json(param, false, &want, diag);
    if (error) {
        return error;
    } else if (!takes_part(conn, want.vni)) {
        drop(conn, "want_flows", "not from a host that subscribes to the VNI");
        return 0;
    }
    relay = get_relay(conn);
    if (!token_bucket_withdraw(&relay->wants, TOKEN)) {
        drop(conn, "want_flows", "too many of them");
        return 0;
    }
    relay->asked[relay->next++ % ASKED_MAX] = (struct question) {
        .vni = want.vni, .source = want.source, .time = time_msec(),
    };
    ovs_strlcpy(want.host, conn->host->name, sizeof want.host);
    json = relay_want_to_json(&want);
    ask_hosts(conn->server, &want, json);
    ask_mapds(conn->server, NULL, json);
    json_destroy(json);
    return 0;
}

static bool
has_asked(const struct connection *conn, const struct relay_flows *flows)
{
    for (size_t i = 0; conn->relay && i < ASKED_MAX; i++) {
        const struct question *q = &conn->relay->asked[i];

        if (q->vni == flows->vni && inet_addr_equal(q->source, flows->source)
            && time_msec() - q->time <= ASKED_MS) {
            return true;
        }
    }
    return false;
}

/* To a host that is connected here. */
static void
deliver(struct server *server, const struct relay_flows *flows,
        const struct json *json)
{
    struct connection *to = server_find_host(server, flows->host);

    if (!to || !takes_part(to, flows->vni) || !has_asked(to, flows)) {
        server->n_relay_drops++;
        VLOG_DBG_RL(&rl, "\"flows\" for host %s is dropped: it has not asked "
                    "for them", flows->host);
    } else if (server_is_full(to)) {
        drop(to, "flows", "it reads too slowly");
    } else {
        server_notify(to, "flows", json_clone(json));
    }
}

static void
answer(struct connection *from, const struct relay_flows *flows,
       const struct json *json)
{
    struct server_link *link = server_link_to_host(from->server, flows->host);

    if (!takes_part(from, flows->vni)) {
        drop(from, "flows", "not from a host that subscribes to the VNI");
    } else if (!token_bucket_withdraw(&get_relay(from)->flows, TOKEN)) {
        drop(from, "flows", "too many of them");
    } else if (link) {
        server_link_notify(link, "flows", json_clone(json));
    } else {
        deliver(from->server, flows, json);
    }
}

int
server_relay_flows(struct connection *conn, const struct json *params,
                   struct diagnosis *diag)
{
    const struct json *param = only_param(params, diag);
    struct relay_flows flows;
    int error;

    if (!param) {
        return EINVAL;
    }
    error = relay_flows_from_json(param, &flows, diag);
    if (!error) {
        answer(conn, &flows, param);
        free(flows.flows);
    }
    return error;
}

int
server_relay_flows_by(struct server_link *link, const struct json *params,
                      struct diagnosis *diag)
{
    const struct json *param = only_param(params, diag);
    struct relay_flows flows;
    struct server_link *on;
    int error;

    if (!param) {
        return EINVAL;
    }
    error = relay_flows_from_json(param, &flows, diag);
    if (!error) {
        on = (link->conn ? server_link_to_host(link->server, flows.host)
              : NULL);
        if (on && on->conn && on != link) {
            server_link_notify(on, "flows", json_clone(param));
        } else {
            deliver(link->server, &flows, param);
        }
        free(flows.flows);
    }
    return error;
}
