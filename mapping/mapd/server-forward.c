/* Requests that change something, sent on to the mapd that makes changes.
 *
 * A request waits until that mapd is known and reached.  Once sent it is not
 * sent again: if the connection ends before the answer, its outcome is
 * unknown, and the client is told so.  The answer is held back until the
 * change has come here, so that the client finds what it has changed. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "timeval.h"
#include "util.h"

enum {
    FORWARD_MAX        = 1024,  /* Under way, */
    FORWARD_MAX_BYTES  = SERVER_MAX_MESSAGE, /* and so many bytes of them. */
    FORWARD_REACH_MS   = 4 * 1000, /* To find and reach the leader: less than
                                    * grapnelctl waits, */
    FORWARD_ANSWER_MS  = 60 * 1000, /* for its answer, */
    FORWARD_FOLLOW_MS  = 5 * 1000, /* and for the change to come here. */
    FORWARD_RETRY_MS   = 250,
    FORWARD_TROUBLE_MS = 60 * 1000, /* A problem for so long. */
};

struct forward {
    struct ovs_list node;
    struct connection *conn;
    struct json *id, *params;   /* The client's. */
    char *method;
    size_t bytes;               /* Of the request, about. */
    struct json *sent_id;       /* NULL: not sent yet. */
    struct json *result;        /* NULL: no answer yet. */
    uint64_t revision;          /* That 'result' waits for. */
    long long int deadline;     /* time_msec(). */
    long long int retry_at;     /* Not before it. */
};

struct server_forwards {
    struct ovs_list list;       /* struct forward, in the order of requests. */
    size_t n, bytes;
    const char *trouble;        /* What came of the last request that needed */
    char *trouble_with;         /* the mapd at this address, ... */
    long long int trouble_at;   /* ... and when: time_msec().  NULL, NULL: an
                                 * answer. */
};

/* What a leader does, when it is asked by `forwarded`, which goes no
 * further. */
static const struct {
    const char *name;
    server_method *function;
} forwarded[] = {
    { "claim", server_claimed },
    { "load", server_load },
    { "register", server_enroll },
    { "transact", server_transact },
};

static server_method *
find_method(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++) {
        if (!strcmp(forwarded[i].name, name)) {
            return forwarded[i].function;
        }
    }
    return NULL;
}

void
server_forward_init(struct server *server)
{
    struct server_forwards *f = xzalloc(sizeof *f);

    ovs_list_init(&f->list);
    server->forwards = f;
}

static void
forward_destroy(struct server_forwards *f, struct forward *forward)
{
    ovs_list_remove(&forward->node);
    f->n--;
    f->bytes -= forward->bytes;
    json_destroy(forward->id);
    json_destroy(forward->params);
    json_destroy(forward->sent_id);
    json_destroy(forward->result);
    free(forward->method);
    free(forward);
}

void
server_forward_drop(struct connection *conn)
{
    struct server_forwards *f = conn->server->forwards;
    struct forward *forward;

    LIST_FOR_EACH_SAFE (forward, node, &f->list) {
        if (forward->conn == conn) {
            forward_destroy(f, forward);
        }
    }
}

static void
forget_trouble(struct server_forwards *f)
{
    f->trouble = NULL;
    free(f->trouble_with);
    f->trouble_with = NULL;
}

void
server_forward_destroy(struct server *server)
{
    struct server_forwards *f = server->forwards;

    ovs_assert(ovs_list_is_empty(&f->list));
    forget_trouble(f);
    free(f);
}

static void
refuse(struct server_forwards *f, struct forward *forward,
       const struct diagnosis *diag)
{
    server_send(forward->conn, jsonrpc_create_error(diagnosis_to_json(diag),
                                                    forward->id));
    forward_destroy(f, forward);
}

static void
note_trouble(struct server *server, const char *trouble)
{
    struct server_forwards *f = server->forwards;

    forget_trouble(f);
    f->trouble = trouble;
    f->trouble_with = xstrdup(server_uplink_address(server));
    f->trouble_at = time_msec();
}

static void
refuse_unknown(struct server *server, struct forward *forward)
{
    struct diagnosis diag = { .op = -1 };

    diagnosis_set(&diag, DIAG_STORE, NULL, NULL, "grapnel-mapd at %s, which "
                  "makes changes, went away before it said whether this one "
                  "was made", server_uplink_address(server));
    diagnosis_set_hint(&diag, "look whether it was, before you repeat it");
    note_trouble(server, "went away before it answered (does it trust this "
                 "one's certificate?)");
    refuse(server->forwards, forward, &diag);
}

/* The leader is known, and has not been reached in time. */
static void
refuse_unreached(struct server *server, struct forward *forward)
{
    const char *address = server_uplink_address(server);
    struct diagnosis diag = { .op = -1 };

    diagnosis_set(&diag, DIAG_NOT_LEADER, "mapd", address,
                  "grapnel-mapd at %s, which makes changes, cannot be reached "
                  "from the one that you ask", address);
    diagnosis_set_hint(&diag, "use --mapd=%s, and see the log of the one that "
                       "you ask", address);
    note_trouble(server, "cannot be reached from this one, or is not trusted");
    refuse(server->forwards, forward, &diag);
}

char *
server_forward_problem(const struct server *server)
{
    const struct server_forwards *f = server->forwards;
    const char *address = server_uplink_address(server);

    return (f->trouble && !server->leads && !strcmp(address, f->trouble_with)
            && time_msec() - f->trouble_at < FORWARD_TROUBLE_MS
            ? xasprintf("grapnel-mapd at %s, which makes changes, %s; changes "
                        "that are sent to this one are refused", address,
                        f->trouble)
            : NULL);
}

/* Whether 'conn' may have this done.  The leader takes our word for who it is,
 * and looks again, as it may know more. */
static bool
may_forward(struct connection *conn, const char *method,
            const struct json *params)
{
    const struct json *param = (params && params->type == JSON_ARRAY
                                && json_array(params)->n
                                ? json_array(params)->elems[0] : NULL);
    struct diagnosis diag;

    if (!strcmp(method, "claim")) {
        return !server_iface_check(conn, params, &diag);
    }
    if (roles_is_admin(&conn->role)) {
        return true;
    }
    if (!param || param->type != JSON_OBJECT) {
        return false;
    }
    if (!strcmp(method, "register")) {
        struct record key;

        return (!record_key_from_json(param, &key, NULL)
                && key.kind == RECORD_HOST
                && !roles_check_register(&conn->role, key.host.name, &diag));
    }

    const struct json *ops = shash_find_data(json_object(param), "ops");
    if (strcmp(method, "transact") || !ops || ops->type != JSON_ARRAY) {
        return false;
    }
    for (size_t i = 0; i < json_array(ops)->n; i++) {
        if (roles_check_op(&conn->role, conn->server->catalog,
                           json_array(ops)->elems[i], &diag)) {
            return false;
        }
    }
    return true;
}

bool
server_forward(struct connection *conn, const struct json *id,
               const char *method, const struct json *params)
{
    struct server *server = conn->server;
    struct server_forwards *f = server->forwards;
    struct diagnosis diag = { .op = -1 };
    struct forward *forward;

    if (!find_method(method) || !store_check_leader(server->store, &diag)
        || diag.code != DIAG_NOT_LEADER
        || server_trust_begin(conn, method, &diag)
        || !may_forward(conn, method, params)) {
        return false;           /* What is wrong is found there, too. */
    }
    forward = xzalloc(sizeof *forward);
    forward->conn = conn;
    forward->id = json_clone(id);
    forward->params = json_clone(params);
    forward->method = xstrdup(method);
    forward->deadline = time_msec() + FORWARD_REACH_MS;
    forward->bytes = conn->message_size;
    ovs_list_push_back(&f->list, &forward->node);
    f->n++;
    f->bytes += forward->bytes;
    if (f->n > FORWARD_MAX || (f->n > 1 && f->bytes > FORWARD_MAX_BYTES)) {
        diagnosis_set(&diag, DIAG_BUSY, NULL, NULL, "%"PRIuSIZE" changes of "
                      "%"PRIuSIZE" bytes are on their way to the grapnel-mapd "
                      "that makes them", f->n - 1, f->bytes - forward->bytes);
        diagnosis_set_hint(&diag, "repeat it later");
        refuse(f, forward, &diag);
    }
    return true;
}

/* Whose request 'conn' is, as the audit log says it; owned by the caller. */
static struct json *
encode_peer(const struct connection *conn)
{
    struct json *peer = json_object_create();

    if (conn->who) {
        json_object_put_string(peer, "who", conn->who);
    }
    json_object_put_string(peer, "role", roles_name(conn->role.kind));
    json_object_put_string(peer, "from", jsonrpc_get_name(conn->rpc));
    return peer;
}

struct json *
server_forwarded(struct connection *conn, const struct json *params,
                 struct diagnosis *diag)
{
    const struct json_array *a = (params && params->type == JSON_ARRAY
                                  ? json_array(params) : NULL);
    server_method *method = (a && a->n == 3 && a->elems[0]->type == JSON_STRING
                             ? find_method(json_string(a->elems[0])) : NULL);
    struct json *result = NULL;

    if (!method) {
        diagnosis_set(diag, DIAG_INVALID, "params", NULL, "params must be a "
                      "method that changes something, its params, and whose "
                      "request it is");
    } else if (!server_trust_forwarded(conn, json_string(a->elems[0]),
                                       a->elems[2], diag)
               && !store_check_leader(conn->server->store, diag)) {
        result = method(conn, a->elems[1], diag);
    }
    return result;
}

/* Answers. */

/* Whether a request can be sent on now. */
static bool
is_reached(const struct server *server)
{
    return (server_uplink_is_usable(server)
            && store_leader_address(server->store));
}

void
server_forward_lost(struct server *server)
{
    struct server_forwards *f = server->forwards;
    struct forward *forward;

    LIST_FOR_EACH_SAFE (forward, node, &f->list) {
        if (forward->sent_id && !forward->result) {
            refuse_unknown(server, forward);
        }
    }
}

static void
send_on(struct server *server, struct forward *forward)
{
    struct jsonrpc_msg *msg
        = jsonrpc_create_request("forwarded", json_array_create_3(
                                     json_string_create(forward->method),
                                     json_clone(forward->params),
                                     encode_peer(forward->conn)), NULL);

    forward->sent_id = json_clone(msg->id);
    forward->deadline = time_msec() + FORWARD_ANSWER_MS;
    server_uplink_send(server, msg);
}

static void
take_answer(struct server_forwards *f, struct forward *forward,
            const struct jsonrpc_msg *msg)
{
    const struct json *revision
        = (msg->type == JSONRPC_REPLY && msg->result->type == JSON_OBJECT
           ? shash_find_data(json_object(msg->result), "revision") : NULL);
    struct diagnosis diag = { .op = -1 };
    bool refused = (msg->type == JSONRPC_ERROR
                    && diagnosis_from_json(msg->error, &diag));

    forget_trouble(f);
    if (refused && diag.code == DIAG_NOT_LEADER) {
        json_destroy(forward->sent_id); /* Nothing was done: there will be */
        forward->sent_id = NULL;        /* another one. */
        forward->retry_at = time_msec() + FORWARD_RETRY_MS;
        forward->deadline = MIN(forward->deadline,
                                time_msec() + FORWARD_REACH_MS);
        return;
    }
    if (refused && !strcmp(forward->method, "register")) {
        server_register_refused(forward->conn, forward->params, &diag);
    }
    if (msg->type == JSONRPC_ERROR) {
        server_send(forward->conn, jsonrpc_create_error(
                        json_clone(msg->error), forward->id));
        forward_destroy(f, forward);
        return;
    }
    forward->result = json_clone(msg->result);
    forward->revision = (revision && revision->type == JSON_INTEGER
                         ? json_integer(revision) : 0);
    forward->deadline = time_msec() + FORWARD_FOLLOW_MS;
}

void
server_forward_answered(struct server *server, const struct jsonrpc_msg *msg)
{
    struct server_forwards *f = server->forwards;
    struct forward *forward;

    LIST_FOR_EACH (forward, node, &f->list) {
        if (forward->sent_id && !forward->result
            && json_equal(msg->id, forward->sent_id)) {
            take_answer(f, forward, msg);
            break;
        }
    }
}

/* Requests. */

static void
answer(struct server_forwards *f, struct forward *forward)
{
    if (strcmp(forward->method, "register")
        || server_registered(forward->conn, forward->params)) {
        server_send(forward->conn, jsonrpc_create_reply(
                        json_clone(forward->result), forward->id));
    }
    forward_destroy(f, forward);
}

/* Not sent, and there will be no other to send it to. */
static void
do_here(struct server_forwards *f, struct forward *forward)
{
    server_do_request(forward->conn, forward->id, forward->method,
                      forward->params);
    forward_destroy(f, forward);
}

static void
run_forward(struct server *server, struct forward *forward)
{
    struct server_forwards *f = server->forwards;
    bool late = time_msec() >= forward->deadline;
    struct diagnosis diag;

    if (forward->result) {
        if (late || catalog_revision(server->catalog) >= forward->revision) {
            answer(f, forward);
        }
    } else if (forward->sent_id) {
        if (late) {
            refuse_unknown(server, forward);
        }
    } else if (late && server_uplink_is_trying(server)) {
        refuse_unreached(server, forward);
    } else if (late || !store_check_leader(server->store, &diag)
               || diag.code != DIAG_NOT_LEADER) {
        do_here(f, forward);
    } else if (is_reached(server) && time_msec() >= forward->retry_at) {
        send_on(server, forward);
    }
}

void
server_forward_run(struct server *server)
{
    struct server_forwards *f = server->forwards;
    struct forward *forward;

    LIST_FOR_EACH_SAFE (forward, node, &f->list) {
        if (!forward->conn->doomed) {
            run_forward(server, forward);
        }
    }
}

void
server_forward_wait(struct server *server)
{
    struct server_forwards *f = server->forwards;
    const struct forward *forward;

    LIST_FOR_EACH (forward, node, &f->list) {
        poll_timer_wait_until(forward->deadline);
        if (!forward->sent_id && is_reached(server)) {
            poll_timer_wait_until(forward->retry_at);
        }
    }
}
