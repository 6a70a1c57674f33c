/* Hosts hand flows over to each other: one asks who has flows of a source that
 * has moved to it, and those that have some answer.
 *
 * mapd passes on no more than SERVER_WANT_RATE questions and
 * SERVER_FLOWS_RATE answers a second per host, only among hosts that subscribe
 * to the VNI, and no answer to who has not asked lately.  What is over a bound
 * is dropped and counted: the flows are then picked anew. */

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

/* Passes on 'want', which 'asker' has asked, to all but it. */
static void
ask_all(struct connection *asker, struct relay_want *want)
{
    struct connection *conn;
    struct json *json;

    ovs_strlcpy(want->host, asker->host->name, sizeof want->host);
    json = relay_want_to_json(want);
    LIST_FOR_EACH (conn, node, &asker->server->connections) {
        if (conn == asker || !takes_part(conn, want->vni)) {
            continue;
        } else if (server_is_full(conn)) {
            drop(conn, "want_flows", "it reads too slowly");
        } else {
            server_notify(conn, "want_flows", json_clone(json));
        }
    }
    json_destroy(json);
}

int
server_relay_want_flows(struct connection *conn, const struct json *params,
                        struct diagnosis *diag)
{
    const struct json *param = only_param(params, diag);
    struct relay_want want;
    struct server_relay *relay;
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
    ask_all(conn, &want);
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

static void
answer(struct connection *from, const struct relay_flows *flows,
       const struct json *json)
{
    struct connection *to = server_find_host(from->server, flows->host);

    if (!takes_part(from, flows->vni)) {
        drop(from, "flows", "not from a host that subscribes to the VNI");
    } else if (!token_bucket_withdraw(&get_relay(from)->flows, TOKEN)) {
        drop(from, "flows", "too many of them");
    } else if (!to || !takes_part(to, flows->vni) || !has_asked(to, flows)) {
        drop(from, "flows", "nobody has asked for them");
    } else if (server_is_full(to)) {
        drop(to, "flows", "it reads too slowly");
    } else {
        server_notify(to, "flows", json_clone(json));
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
