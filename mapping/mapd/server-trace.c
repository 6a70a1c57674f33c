/* Questions of operators that a host answers; by way of other mapds, if it is
 * connected to another one. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encap/tunnel.h"
#include "jsonrpc.h"
#include "mapping/mapd/params.h"
#include "mapping/relay.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

struct server_trace {
    struct ovs_list node;       /* In server->traces, oldest first. */
    uint64_t id;                /* Between mapd and who is asked. */
    /* Who asks: an operator, or another mapd, by 'asker_id'. */
    struct connection *asker;
    struct json *request_id;
    struct server_link *asker_link;
    uint64_t asker_id;
    /* Who is asked: the host, or another mapd. */
    struct connection *host;
    struct server_link *host_link;
    record_name host_name;
    long long int deadline;     /* time_msec(). */
};

static void
trace_destroy(struct server *server, struct server_trace *trace)
{
    ovs_list_remove(&trace->node);
    server->n_traces--;
    json_destroy(trace->request_id);
    free(trace);
}

/* Answers mapd 'link', which asked by 'id', with the object 'answer', which it
 * takes over. */
static void
answer_mapd(struct server_link *link, uint64_t id, struct json *answer)
{
    json_object_put(answer, "id", json_integer_create(id));
    server_link_notify(link, "traced", answer);
}

static void
refuse_mapd(struct server_link *link, uint64_t id,
            const struct diagnosis *diag)
{
    struct json *answer = json_object_create();

    json_object_put(answer, "refused", diagnosis_to_json(diag));
    answer_mapd(link, id, answer);
}

/* Answers and ends 'trace'; takes 'result' over. */
static void
finish(struct server *server, struct server_trace *trace, struct json *result)
{
    if (trace->asker) {
        server_send(trace->asker, jsonrpc_create_reply(result,
                                                       trace->request_id));
    } else {
        answer_mapd(trace->asker_link, trace->asker_id, result);
    }
    trace_destroy(server, trace);
}

static void
fail(struct server *server, struct server_trace *trace,
     const struct diagnosis *diag)
{
    if (trace->asker) {
        server_send(trace->asker, jsonrpc_create_error(
                        diagnosis_to_json(diag), trace->request_id));
    } else {
        refuse_mapd(trace->asker_link, trace->asker_id, diag);
    }
    trace_destroy(server, trace);
}

/* Reads the request into '*trace', all but its id, and '*host'. */
static int
parse(const struct json *params, struct relay_trace *trace, const char **host,
      struct diagnosis *diag)
{
    const char *protocol, *src, *dst;
    struct params p;
    int error;

    params_open(&p, params, diag);
    *host = params_string(&p, "host", "");
    params_require(&p, "host");
    trace->vni = params_uint(&p, "vni", 1, VNI_MAX, 0);
    params_require(&p, "vni");
    protocol = params_string(&p, "protocol", "tcp");
    src = params_string(&p, "src", "");
    params_require(&p, "src");
    trace->src_port = params_uint(&p, "src_port", 0, UINT16_MAX, 0);
    dst = params_string(&p, "dst", "");
    params_require(&p, "dst");
    trace->dst_port = params_uint(&p, "dst_port", 0, UINT16_MAX, 0);
    error = params_close(&p);
    if (!error) {
        error = relay_protocol_from_text(protocol, &trace->protocol, diag);
    }
    if (!error) {
        error = relay_address_from_text(src, "src", &trace->src, diag);
    }
    if (!error) {
        error = relay_address_from_text(dst, "dst", &trace->dst, diag);
    }
    if (!error && inet_addr_is4(trace->src) != inet_addr_is4(trace->dst)) {
        error = diagnosis_set(diag, DIAG_INVALID, "dst", dst, "src %s and dst "
                              "%s are not both IPv4 or both IPv6", src, dst);
    }
    return error;
}

/* Finds the host's connection, or the way there. */
static int
find_host(const struct server *server, const char *name,
          struct connection **conn, struct server_link **link,
          struct diagnosis *diag)
{
    int error;

    if (!catalog_find_host(server->catalog, name)) {
        error = diagnosis_set(diag, DIAG_NOT_FOUND, "host", name,
                              "host %.63s is not known", name);
        diagnosis_set_hint(diag, "'grapnelctl host list' lists them");
        return error;
    }
    *conn = server_find_host(server, name);
    *link = *conn ? NULL : server_link_to_host(server, name);
    if (*conn ? (*conn)->doomed : !*link) {
        error = diagnosis_set(diag, DIAG_NOT_FOUND, "host", name,
                              "host %s is not connected", name);
        diagnosis_set_hint(diag, "ask another host, or look at its switch");
        return error;
    }
    if (*conn ? server_is_full(*conn) : server_link_is_full(*link)) {
        error = diagnosis_set(diag, DIAG_BUSY, "host", name,
                              "host %s reads too slowly", name);
        diagnosis_set_hint(diag, "repeat it later");
        return error;
    }
    return 0;
}

/* Asks 'host' by 'message', all but its id, which came by 'from' (NULL: from
 * an operator).  0 and '*tracep', who asks being for the caller to fill in; or
 * a positive errno with '*diag' filled in. */
static int
ask(struct server *server, const struct server_link *from, const char *host,
    struct relay_trace *message, struct server_trace **tracep,
    struct diagnosis *diag)
{
    struct connection *conn = NULL;
    struct server_link *link = NULL;
    struct server_trace *trace;
    struct json *json;
    int error = find_host(server, host, &conn, &link, diag);

    if (!error && from && link && (link == from || !link->conn)) {
        error = diagnosis_set(diag, DIAG_NOT_FOUND, "host", host,
                              "host %s is not connected", host);
        diagnosis_set_hint(diag, "it is coming or going; repeat it later");
    }
    if (!error && server->n_traces >= SERVER_MAX_TRACES) {
        error = diagnosis_set(diag, DIAG_BUSY, NULL, NULL, "%d traces are "
                              "under way already", SERVER_MAX_TRACES);
        diagnosis_set_hint(diag, "repeat it later");
    }
    if (error) {
        return error;
    }
    trace = xzalloc(sizeof *trace);
    trace->id = message->id = ++server->last_trace;
    trace->host = conn;
    trace->host_link = link;
    ovs_strlcpy(trace->host_name, host, sizeof trace->host_name);
    trace->deadline = time_msec() + SERVER_TRACE_MS;
    ovs_list_push_back(&server->traces, &trace->node);
    server->n_traces++;
    json = relay_trace_to_json(message);
    if (conn) {
        server_notify(conn, "trace", json);
    } else {
        json_object_put_string(json, "host", host);
        server_link_notify(link, "trace", json);
    }
    *tracep = trace;
    return 0;
}

int
server_trace(struct connection *conn, const struct json *id,
             const struct json *params, struct diagnosis *diag)
{
    struct server *server = conn->server;
    struct server_trace *trace;
    struct relay_trace message;
    const char *host;
    int error = parse(params, &message, &host, diag);

    if (!error) {
        error = catalog_check_vni(server->catalog, message.vni, diag);
    }
    if (!error) {
        error = ask(server, NULL, host, &message, &trace, diag);
    }
    if (!error) {
        trace->asker = conn;
        trace->request_id = json_clone(id);
    }
    return error;
}

/* The object in 'params' without its member 'name', which '*member' is set to,
 * a string; the caller owns both.  NULL with '*diag' filled in. */
static struct json *
take_member(const struct json *params, const char *name, struct json **member,
            struct diagnosis *diag)
{
    struct json *json = NULL;

    if (params && params->type == JSON_ARRAY && json_array(params)->n == 1
        && json_array(params)->elems[0]->type == JSON_OBJECT) {
        json = json_deep_clone(json_array(params)->elems[0]);
        *member = shash_find_and_delete(json_object(json), name);
    }
    if (!json || !*member || (*member)->type != JSON_STRING) {
        diagnosis_set(diag, DIAG_INVALID, name, NULL, "params must be an "
                      "object with a string \"%s\"", name);
        if (json) {
            json_destroy(*member);
            json_destroy(json);
        }
        return NULL;
    }
    return json;
}

int
server_trace_by(struct server_link *link, const struct json *params,
                struct diagnosis *diag)
{
    struct diagnosis refusal = { .op = -1 };
    struct json *host, *json = take_member(params, "host", &host, diag);
    struct relay_trace message;
    struct server_trace *trace;
    uint64_t id;
    int error = (!json ? EINVAL
                 : relay_trace_from_json(json, &message, diag));

    if (!error) {
        id = message.id;
        if (ask(link->server, link, json_string(host), &message, &trace,
                &refusal)) {
            refuse_mapd(link, id, &refusal);
        } else {
            trace->asker_link = link;
            trace->asker_id = id;
        }
    }
    if (json) {
        json_destroy(json);
        json_destroy(host);
    }
    return error;
}

/* That 'host', or else mapd 'link', was asked by 'id'. */
static struct server_trace *
find_trace(const struct server *server, const struct connection *host,
           const struct server_link *link, uint64_t id)
{
    struct server_trace *trace;

    LIST_FOR_EACH (trace, node, &server->traces) {
        if (trace->host == host && trace->host_link == link
            && trace->id == id) {
            return trace;
        }
    }
    return NULL;
}

static void
pass_on(struct server *server, struct server_trace *trace,
        const struct json *answer)
{
    const struct json *error = shash_find_data(json_object(answer), "error");

    if (error) {
        struct diagnosis diag = { .op = -1 };

        diagnosis_set(&diag, DIAG_NOT_FOUND, NULL, NULL, "host %s: %.190s",
                      trace->host_name, json_string(error));
        fail(server, trace, &diag);
    } else {
        struct json *result = json_deep_clone(answer);

        json_destroy(shash_find_and_delete(json_object(result), "id"));
        finish(server, trace, result);
    }
}

/* An answer that comes too late is nobody's. */
int
server_traced(struct connection *conn, const struct json *params,
              struct diagnosis *diag)
{
    const struct json *answer, *id = NULL, *text = NULL;
    struct server_trace *trace;

    if (params && params->type == JSON_ARRAY && json_array(params)->n == 1
        && json_array(params)->elems[0]->type == JSON_OBJECT) {
        answer = json_array(params)->elems[0];
        id = shash_find_data(json_object(answer), "id");
        text = shash_find_data(json_object(answer), "error");
        text = text ? text : shash_find_data(json_object(answer), "text");
    }
    if (!id || id->type != JSON_INTEGER || !text
        || text->type != JSON_STRING
        || strlen(json_string(text)) > RELAY_TEXT_MAX) {
        return diagnosis_set(diag, DIAG_INVALID, "traced", NULL,
                             "traced must be an object with an integer id and "
                             "a text or an error of at most %d bytes",
                             RELAY_TEXT_MAX);
    }
    trace = find_trace(conn->server, conn, NULL, json_integer(id));
    if (trace) {
        pass_on(conn->server, trace, answer);
    }
    return 0;
}

/* What another mapd has been answered: as above, or with the error to pass on
 * as "refused". */
int
server_traced_by(struct server_link *link, const struct json *params,
                 struct diagnosis *diag)
{
    const struct json *answer = (params && params->type == JSON_ARRAY
                                 && json_array(params)->n == 1
                                 ? json_array(params)->elems[0] : NULL);
    const struct json *id, *refused;
    struct diagnosis refusal;
    struct server_trace *trace;

    id = (answer && answer->type == JSON_OBJECT
          ? shash_find_data(json_object(answer), "id") : NULL);
    if (!id || id->type != JSON_INTEGER) {
        return diagnosis_set(diag, DIAG_INVALID, "traced", NULL,
                             "traced must be an object with an integer id");
    }
    trace = find_trace(link->server, NULL, link, json_integer(id));
    refused = shash_find_data(json_object(answer), "refused");
    if (trace && refused && diagnosis_from_json(refused, &refusal)) {
        fail(link->server, trace, &refusal);
    } else if (trace && !refused) {
        struct json *result = json_deep_clone(answer);

        json_destroy(shash_find_and_delete(json_object(result), "id"));
        finish(link->server, trace, result);
    }
    return 0;
}

void
server_trace_run(struct server *server)
{
    struct server_trace *trace;

    LIST_FOR_EACH_SAFE (trace, node, &server->traces) {
        struct diagnosis diag = { .op = -1 };

        if (time_msec() < trace->deadline) {
            break;
        }
        diagnosis_set(&diag, DIAG_TIMEOUT, "host", trace->host_name,
                      "host %s has not answered within %d s",
                      trace->host_name, SERVER_TRACE_MS / 1000);
        diagnosis_set_hint(&diag, "look at that host's log");
        fail(server, trace, &diag);
    }
}

void
server_trace_wait(const struct server *server)
{
    if (!ovs_list_is_empty(&server->traces)) {
        const struct server_trace *trace;

        INIT_CONTAINER(trace, ovs_list_front(&server->traces), node);
        poll_timer_wait_until(trace->deadline);
    }
}

static void
lose_host(struct server *server, struct server_trace *trace)
{
    struct diagnosis diag = { .op = -1 };

    diagnosis_set(&diag, DIAG_NOT_FOUND, "host", trace->host_name,
                  "host %s went away before it answered", trace->host_name);
    fail(server, trace, &diag);
}

void
server_trace_drop(struct connection *conn)
{
    struct server *server = conn->server;
    struct server_trace *trace;

    LIST_FOR_EACH_SAFE (trace, node, &server->traces) {
        if (trace->asker == conn) {
            trace_destroy(server, trace);
        } else if (trace->host == conn) {
            lose_host(server, trace);
        }
    }
}

void
server_trace_drop_link(struct server_link *link)
{
    struct server *server = link->server;
    struct server_trace *trace;

    LIST_FOR_EACH_SAFE (trace, node, &server->traces) {
        if (trace->asker_link == link) {
            trace_destroy(server, trace);
        } else if (trace->host_link == link) {
            lose_host(server, trace);
        }
    }
}
