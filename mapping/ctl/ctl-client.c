#include <config.h>

#include "mapping/ctl/ctl-client.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/remote.h"
#include "mapping/tls.h"
#include "openvswitch/json.h"
#include "openvswitch/list.h"
#include "openvswitch/poll-loop.h"
#include "socket-util.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"

struct ctl_client {
    struct jsonrpc *rpc;
    struct ovs_list notes;      /* "struct note"s that arrived early. */
};

/* A notification. */
struct note {
    struct ovs_list node;
    struct jsonrpc_msg *msg;
};

static bool
is_one_remote(const char *remote)
{
    struct sockaddr_storage ss;

    if (!strncmp(remote, "unix:", 5)) {
        return remote[5] != '\0';
    }

    /* Addresses only: looking up names could block for longer than any
     * deadline. */
    return ((!strncmp(remote, "tcp:", 4) || remote_is_tls(remote))
            && inet_parse_active(remote + 4, REMOTE_DEFAULT_PORT, &ss, false,
                                 NULL));
}

bool
ctl_client_is_remote(const char *remotes)
{
    char *copy = xstrdup(remotes), *rest = copy, *remote;
    bool ok = true;

    while (ok && (remote = strsep(&rest, ",")) != NULL) {
        ok = is_one_remote(remote);
    }
    free(copy);
    return ok;
}

/* Whether mapd answers.  With TLS 1.3 a client that mapd turns away learns of
 * that only when it has sent something; so that is nothing that matters. */
static int
greet(struct ctl_client *client, long long timeout_ms)
{
    struct json *result, *refusal;
    int error = ctl_client_call(client, "echo", json_array_create_empty(),
                                timeout_ms, &result, &refusal);

    if (!error) {
        json_destroy(result);
        json_destroy(refusal);
    }
    return !error || error == ETIMEDOUT ? error : CTL_CLIENT_REFUSED;
}

/* The stream is connected, or failed with '*error'. */
static void
check_peer(struct stream *stream, int *error)
{
    if (*error == EPROTO || *error == EIO) {
        *error = CTL_CLIENT_REFUSED;
    } else if (!*error && !tls_is_mapd(stream_get_peer_id(stream))) {
        stream_close(stream);
        *error = CTL_CLIENT_NOT_MAPD;
    }
}

static int
open_one(const char *remote, long long timeout_ms,
         struct ctl_client **clientp)
{
    struct ctl_client *client;
    struct stream *stream;
    int error;

    error = stream_open_with_default_port(remote, REMOTE_DEFAULT_PORT, &stream,
                                          DSCP_DEFAULT);
    error = stream_open_block(error, timeout_ms, &stream);
    if (remote_is_tls(remote)) {
        check_peer(stream, &error);
    }
    if (error) {
        /* What make_unix_socket() makes of EAGAIN. */
        return error == EPROTO ? EAGAIN : error;
    }

    client = xmalloc(sizeof *client);
    client->rpc = jsonrpc_open(stream);
    ovs_list_init(&client->notes);
    error = remote_is_tls(remote) ? greet(client, timeout_ms) : 0;
    if (error) {
        ctl_client_close(client);
        return error;
    }
    *clientp = client;
    return 0;
}

int
ctl_client_open(const char *remotes, long long timeout_ms,
                struct ctl_client **clientp)
{
    long long deadline = time_msec() + timeout_ms;
    char *copy = xstrdup(remotes), *rest = copy, *remote;
    int n = 1, error = EINVAL;

    for (const char *p = remotes; *p; p++) {
        n += *p == ',';
    }
    while (error && (remote = strsep(&rest, ",")) != NULL) {
        /* The last one has all the time that is left. */
        error = open_one(remote, MAX(deadline - time_msec(), 0) / n--,
                         clientp);
    }
    free(copy);
    return error;
}

const char *
ctl_client_remote(const struct ctl_client *client)
{
    return jsonrpc_get_name(client->rpc);
}

void
ctl_client_close(struct ctl_client *client)
{
    struct note *note;

    if (!client) {
        return;
    }
    LIST_FOR_EACH_POP (note, node, &client->notes) {
        jsonrpc_msg_destroy(note->msg);
        free(note);
    }
    jsonrpc_close(client->rpc);
    free(client);
}

/* Deals with a message that is no answer; takes ownership. */
static void
take_message(struct ctl_client *client, struct jsonrpc_msg *msg)
{
    if (msg->type == JSONRPC_REQUEST && !strcmp(msg->method, "echo")) {
        jsonrpc_send(client->rpc, jsonrpc_create_reply(
                         json_clone(msg->params), msg->id));
        jsonrpc_msg_destroy(msg);
    } else if (msg->type == JSONRPC_NOTIFY) {
        struct note *note = xmalloc(sizeof *note);

        note->msg = msg;
        ovs_list_push_back(&client->notes, &note->node);
    } else {
        jsonrpc_msg_destroy(msg);
    }
}

/* Waits for the answer to request 'id'. */
static int
receive_answer(struct ctl_client *client, const struct json *id,
               long long deadline, struct jsonrpc_msg **answer)
{
    for (;;) {
        struct jsonrpc_msg *msg;
        int error;

        jsonrpc_run(client->rpc);
        error = jsonrpc_recv(client->rpc, &msg);
        if (!error) {
            if ((msg->type == JSONRPC_REPLY || msg->type == JSONRPC_ERROR)
                && json_equal(msg->id, id)) {
                *answer = msg;
                return 0;
            }
            take_message(client, msg);
            continue;
        }
        if (error != EAGAIN) {
            return error;
        }
        if (time_msec() >= deadline) {
            return ETIMEDOUT;
        }

        jsonrpc_wait(client->rpc);
        jsonrpc_recv_wait(client->rpc);
        poll_timer_wait_until(deadline);
        poll_block();
    }
}

int
ctl_client_call(struct ctl_client *client, const char *method,
                struct json *params, long long timeout_ms,
                struct json **result, struct json **error_object)
{
    long long deadline = time_msec() + timeout_ms;
    struct jsonrpc_msg *request, *answer;
    struct json *id;
    int error;

    request = jsonrpc_create_request(method, params, &id);
    error = jsonrpc_send(client->rpc, request);
    if (!error) {
        error = receive_answer(client, id, deadline, &answer);
    }
    json_destroy(id);
    if (error) {
        return error;
    }

    if (answer->type == JSONRPC_ERROR) {
        *error_object = json_clone(answer->error);
        *result = NULL;
    } else {
        *result = json_clone(answer->result);
        *error_object = NULL;
    }
    jsonrpc_msg_destroy(answer);
    return 0;
}

int
ctl_client_notification(struct ctl_client *client, const char *method,
                        struct json **param)
{
    for (;;) {
        struct jsonrpc_msg *msg;
        struct note *note;
        bool fits;
        int error;

        jsonrpc_run(client->rpc);
        while (!(error = jsonrpc_recv(client->rpc, &msg))) {
            take_message(client, msg);
        }
        if (ovs_list_is_empty(&client->notes)) {
            return error;
        }

        note = CONTAINER_OF(ovs_list_pop_front(&client->notes), struct note,
                            node);
        fits = (!strcmp(note->msg->method, method)
                && json_array(note->msg->params)->n == 1);
        if (fits) {
            *param = json_clone(json_array(note->msg->params)->elems[0]);
        }
        jsonrpc_msg_destroy(note->msg);
        free(note);
        if (fits) {
            return 0;
        }
    }
}

void
ctl_client_wait(struct ctl_client *client)
{
    jsonrpc_wait(client->rpc);
    jsonrpc_recv_wait(client->rpc);
}
