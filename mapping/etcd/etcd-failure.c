#include <config.h>
#include "mapping/etcd/etcd-failure.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "mapping/etcd/etcd-answer.h"
#include "mapping/etcd/etcd-http.h"
#include "openvswitch/json.h"
#include "util.h"

/* gRPC status codes (grpc.io, "Status codes and their use"). */
enum {
    ANY = -1,
    INVALID_ARGUMENT = 3,
    NOT_FOUND = 5,
    PERMISSION_DENIED = 7,
    UNIMPLEMENTED = 12,
    UNAUTHENTICATED = 16,
};

/* What etcd says (api/v3rpc/rpctypes/error.go); codes alone say too little.
 * The first that fits counts. */
static const struct refusal {
    int code;
    const char *text;           /* A part of the message. */
    int error;
    enum etcd_remedy remedy;
    bool harmless;
} refusals[] = {
    /* Said before a request is proposed to the cluster... */
    { ANY, "no leader", EAGAIN, ETCD_REMEDY_ASK_ANOTHER, true },
    { ANY, "too many requests", EAGAIN, ETCD_REMEDY_ASK_ANOTHER, true },
    { ANY, "not capable", EAGAIN, ETCD_REMEDY_ASK_ANOTHER, true },
    { ANY, "server stopped", EAGAIN, ETCD_REMEDY_ASK_ANOTHER, false },
    { ANY, "invalid auth token", EACCES, ETCD_REMEDY_LOG_IN, true },
    { ANY, "user name is empty", EACCES, ETCD_REMEDY_GIVE_UP, true },
    { ANY, "authentication failed", EACCES, ETCD_REMEDY_GIVE_UP, true },
    { ANY, "authentication is not enabled", ENOTSUP, ETCD_REMEDY_GIVE_UP,
      true },
    { ANY, "request is too large", E2BIG, ETCD_REMEDY_GIVE_UP, true },
    { ANY, "too many operations", E2BIG, ETCD_REMEDY_GIVE_UP, true },
    { ANY, "message larger than max", E2BIG, ETCD_REMEDY_GIVE_UP, true },
    /* ...or when it is applied, by all members alike. */
    { ANY, "revision of auth store is old", EACCES, ETCD_REMEDY_LOG_IN,
      true },
    { ANY, "permission denied", EACCES, ETCD_REMEDY_GIVE_UP, true },
    { ANY, "database space exceeded", ENOSPC, ETCD_REMEDY_GIVE_UP, true },
    { ANY, "revision has been compacted", ENODATA, ETCD_REMEDY_GIVE_UP,
      true },
    { ANY, "future revision", EAGAIN, ETCD_REMEDY_ASK_ANOTHER, true },
    { ANY, "lease not found", ENOENT, ETCD_REMEDY_GIVE_UP, true },
    { INVALID_ARGUMENT, "", EINVAL, ETCD_REMEDY_GIVE_UP, true },
    { NOT_FOUND, "etcdserver", ENOENT, ETCD_REMEDY_GIVE_UP, true },
    { PERMISSION_DENIED, "", EACCES, ETCD_REMEDY_GIVE_UP, true },
    { UNIMPLEMENTED, "", EPROTO, ETCD_REMEDY_MEND, true },
    { UNAUTHENTICATED, "", EACCES, ETCD_REMEDY_LOG_IN, true },
    /* Leader lost or changed, timeouts, whatever else there is: it may have
     * been proposed, and be done yet. */
    { ANY, "", ETIMEDOUT, ETCD_REMEDY_ASK_ANOTHER, false },
};

void
etcd_failure_from_refusal(int code, const char *text,
                          struct etcd_failure *failure)
{
    const struct refusal *r = refusals;

    while ((r->code != ANY && r->code != code) || !strstr(text, r->text)) {
        r++;
    }
    failure->remedy = r->remedy;
    failure->error = r->error;
    failure->harmless = r->harmless;
    snprintf(failure->text, sizeof failure->text, "etcd says \"%s\"", text);
}

/* A server that we cannot understand. */
static int
set_garbage(const struct etcd_http_call *call, const char *why,
            struct etcd_failure *failure)
{
    *failure = (struct etcd_failure) {
        .remedy = ETCD_REMEDY_MEND, .error = EPROTO,
    };
    snprintf(failure->text, sizeof failure->text,
             "no answer of etcd's v3 API (HTTP status %ld, %.170s)",
             call->status, why);
    return failure->error;
}

/* What the first line of an answer that is not JSON says to people, in '*text'
 * of 'size' bytes; false if there is none. */
static bool
first_line(const struct ds *body, char *text, size_t size)
{
    size_t n = body->string ? strcspn(body->string, "\r\n") : 0;

    for (size_t i = 0; i < n; i++) {
        if (!isprint((unsigned char) body->string[i])) {
            return false;
        }
    }
    snprintf(text, size, "%.*s", (int) MIN(n, size - 1),
             n ? body->string : "");
    return n > 0;
}

/* Judges an answer that is not JSON.  Some of etcd's own are plain text: of
 * those that a user causes, one is known.  With authentication, etcd takes a
 * certificate's common name for a user's name, and its gateway, of which all
 * requests would seem to come, refuses them. */
static int
judge_text(const struct etcd_http_call *call, const struct diagnosis *diag,
           struct etcd_failure *failure)
{
    char line[160];
    char quoted[sizeof line + 2];

    if (call->status == 200 || !first_line(&call->body, line, sizeof line)) {
        return set_garbage(call, diag->message, failure);
    }
    snprintf(quoted, sizeof quoted, "\"%s\"", line);
    set_garbage(call, quoted, failure);
    if (call->status == 400 && !strncmp(line, "CommonName of client", 20)) {
        failure->error = EACCES;
        failure->harmless = true;
        snprintf(failure->text, sizeof failure->text,
                 "with user and password, etcd wants a client certificate "
                 "without a common name (CN), and this one has one");
    }
    return failure->error;
}

/* libcurl's errors that another try does not mend: TLS, what is no HTTP. */
static int
curl_error(CURLcode code)
{
    switch ((int) code) {
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
        return EACCES;

    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_BAD_CONTENT_ENCODING:
        return EPROTO;

    default:
        return 0;
    }
}

void
etcd_failure_from_call(const struct etcd_http_call *call,
                       struct etcd_failure *failure)
{
    /* A server refuses our certificate after we think that all is well, and
     * before it has read anything. */
    bool alert = (call->code == CURLE_RECV_ERROR
                  && strstr(call->error, "alert"));
    int error = alert ? EACCES : curl_error(call->code);

    failure->error = error ? error : ETIMEDOUT;
    failure->remedy = error ? ETCD_REMEDY_MEND : ETCD_REMEDY_ASK_ANOTHER;
    failure->harmless = alert || !call->sent;
    failure->late = call->code == CURLE_OPERATION_TIMEDOUT && call->sent;
    if (call->code == CURLE_WRITE_ERROR) {
        failure->error = EFBIG;
        failure->remedy = ETCD_REMEDY_GIVE_UP;
    }
    snprintf(failure->text, sizeof failure->text, "%s", call->error);
}

int
etcd_failure_judge(const struct etcd_http_call *call, struct json **answer,
                   struct etcd_failure *failure)
{
    struct diagnosis diag;
    struct json *json;
    char text[160];
    int code;

    if (call->code) {
        etcd_failure_from_call(call, failure);
        return failure->error;
    }
    if (etcd_answer_parse(call->body.string ? call->body.string : "",
                          call->body.length, &json, &diag)) {
        return judge_text(call, &diag, failure);
    }
    if (etcd_answer_refusal(json, &code, text, sizeof text)) {
        etcd_failure_from_refusal(code, text, failure);
    } else if (call->status != 200) {
        set_garbage(call, "without an error", failure);
    } else {
        *answer = json;
        return 0;
    }
    json_destroy(json);
    return failure->error;
}
