#include <config.h>

#include "vswitchd-ext/mapd-session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/json-members.h"
#include "mapping/remote.h"
#include "mapping/replica/replica.h"
#include "mapping/tls.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "reconnect.h"
#include "svec.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(mapd_session);

/* One line for a thing that goes on being wrong, now and then another. */
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

enum {
    MAX_BACKOFF_MS  = 1000,     /* Between attempts to connect. */
    PROBE_MS        = 5000,     /* Without a word: is mapd alive? */
    PATIENCE_MS     = 1000,     /* For the first snapshot. */
    RETRY_MS        = 5000,     /* After mapd refused something. */
    TLS_RETRY_MS    = 10,       /* While certificates are being read. */
    MESSAGES_AT_ONCE = 50,      /* Then the caller gets its turn. */
};

struct mapd_session {
    struct jsonrpc_session *rpc;
    long long int created;      /* time_msec(). */
    unsigned int rpc_seqno;     /* Of the connection that the rest is about. */
    bool any_tls;               /* Some of the remotes are reached so. */
    bool failed_tls;            /* That which failed last was. */
    bool trusted;               /* Over this connection: it is mapd. */
    struct record self;
    struct mapd_interest interest; /* Owns 'vnis'. */
    struct mapd_handlers handlers;
    void *aux;                  /* For them. */

    bool serving;               /* Then this host registers. */
    char *refusal;              /* Why mapd did not register it, or NULL. */
    char *unseen;               /* What mapd does not let it see, or NULL. */
    bool registered;            /* Over this connection. */
    unsigned int n_registrations; /* Over all of them. */

    struct json *register_id;   /* Outstanding requests, or NULL. */
    struct json *subscribe_id;
    struct json *claim_id;
    enum mapd_claim claim;
    unsigned int n_claims_wanted;
    bool resubscribe;           /* Its answer is not what we want any more. */
    long long int register_at;  /* When to try again, or LLONG_MAX. */
    bool synced;                /* A snapshot came over this connection. */
    unsigned int n_snapshots;   /* Taken in, over all connections. */
    uint64_t reported;          /* Last revision reported as applied. */
};

static void
interest_init(struct mapd_interest *copy, const struct mapd_interest *interest)
{
    *copy = *interest;
    copy->vnis = interest->n_vnis
                 ? xmemdup(interest->vnis,
                           interest->n_vnis * sizeof *interest->vnis) : NULL;
}

static void
interest_uninit(struct mapd_interest *interest)
{
    free(CONST_CAST(uint32_t *, interest->vnis));
}

struct mapd_session *
mapd_session_create(const char *remotes, const struct record_host *self,
                    const struct mapd_interest *interest)
{
    struct mapd_session *s = xzalloc(sizeof *s);
    struct svec targets = SVEC_EMPTY_INITIALIZER;

    for (const char *p = remotes; *p; p += strspn(p, ",")) {
        size_t n = strcspn(p, ",");

        svec_add_nocopy(&targets, xmemdup0(p, n));
        p += n;
    }
    s->any_tls = remote_any_is_tls(remotes);
    s->rpc = jsonrpc_session_open_multiple(&targets, true);
    svec_destroy(&targets);
    s->failed_tls = remote_is_tls(remotes);
    s->created = time_msec();
    jsonrpc_session_set_max_backoff(s->rpc, MAX_BACKOFF_MS);
    jsonrpc_session_set_probe_interval(s->rpc, PROBE_MS);
    s->self.kind = RECORD_HOST;
    s->self.host = *self;
    interest_init(&s->interest, interest);
    s->register_at = LLONG_MAX;
    return s;
}

static void
forget_requests(struct mapd_session *s)
{
    json_destroy(s->register_id);
    json_destroy(s->subscribe_id);
    json_destroy(s->claim_id);
    s->register_id = s->subscribe_id = s->claim_id = NULL;
    s->claim = MAPD_CLAIM_NONE;
    s->resubscribe = false;
}

void
mapd_session_destroy(struct mapd_session *s)
{
    if (s) {
        forget_requests(s);
        jsonrpc_session_close(s->rpc);
        interest_uninit(&s->interest);
        free(s->refusal);
        free(s->unseen);
        free(s);
    }
}

/* Sends a request; takes ownership of 'params'.  Returns a copy of its id,
 * owned by the caller. */
static struct json *
send_request(struct mapd_session *s, const char *method, struct json *params)
{
    struct jsonrpc_msg *msg = jsonrpc_create_request(method, params, NULL);
    struct json *id = json_clone(msg->id);

    jsonrpc_session_send(s->rpc, msg);
    return id;
}

static void
send_register(struct mapd_session *s)
{
    struct json *record = record_to_json(&s->self);
    struct json *build = json_object_create();

    /* Not for hosts to say; a mapd may not know such a member. */
    json_destroy(shash_find_and_delete(json_object(record), "vnis"));
    json_object_put_string(build, "version", GRAPNEL_VERSION);
    json_destroy(s->register_id);
    s->register_id = send_request(s, "register",
                                  json_array_create_2(record, build));
    s->register_at = LLONG_MAX;

    /* To mapd this may be another host, that has reported nothing yet. */
    s->reported = 0;
}

static void
send_subscribe(struct mapd_session *s)
{
    struct json *param;

    s->synced = false;
    if (s->subscribe_id) {
        /* mapd answers one at a time. */
        s->resubscribe = true;
        return;
    }
    param = json_object_create();
    if (!s->interest.all) {
        struct json *vnis = json_array_create_empty();

        for (size_t i = 0; i < s->interest.n_vnis; i++) {
            json_array_add(vnis, json_integer_create(s->interest.vnis[i]));
        }
        json_object_put(param, "vnis", vnis);
    }
    s->subscribe_id = send_request(s, "subscribe",
                                   json_array_create_1(param));
}

static void
register_if_serving(struct mapd_session *s)
{
    if (s->serving && s->trusted && jsonrpc_session_is_connected(s->rpc)) {
        send_register(s);
    }
}

void
mapd_session_set_serving(struct mapd_session *s)
{
    if (!s->serving) {
        s->serving = true;
        register_if_serving(s);
    }
}

void
mapd_session_set_self(struct mapd_session *s, const struct record_host *self)
{
    struct record record = { .kind = RECORD_HOST, .host = *self };

    if (!record_equal(&record, &s->self)) {
        s->self = record;
        register_if_serving(s);
    }
}

void
mapd_session_set_interest(struct mapd_session *s,
                          const struct mapd_interest *interest)
{
    size_t size = interest->n_vnis * sizeof *interest->vnis;

    if (interest->all == s->interest.all
        && interest->n_vnis == s->interest.n_vnis
        && (!size || !memcmp(interest->vnis, s->interest.vnis, size))) {
        return;
    }
    interest_uninit(&s->interest);
    interest_init(&s->interest, interest);
    if (s->trusted && jsonrpc_session_is_connected(s->rpc)) {
        send_subscribe(s);
    }
}

static void
handle_snapshot(struct mapd_session *s, struct replica *replica,
                const struct json *snapshot, bool *changed)
{
    struct diagnosis diag;

    if (replica_load_snapshot(replica, snapshot, time_msec(), &diag)) {
        VLOG_WARN_RL(&rl, "%s: snapshot refused, the table stays at revision "
                     "%"PRIu64": %s", jsonrpc_session_get_name(s->rpc),
                     replica->revision, diag.message);
        jsonrpc_session_force_reconnect(s->rpc);
        return;
    }
    VLOG_INFO("%s: synchronised at revision %"PRIu64,
              jsonrpc_session_get_name(s->rpc), replica->revision);
    s->synced = true;
    s->n_snapshots++;
    s->reported = 0;
    *changed = true;
}

static void
handle_update(struct mapd_session *s, struct replica *replica,
              const struct json *update, bool *changed)
{
    struct diagnosis diag;

    if (!s->synced) {
        return;
    }
    if (replica_apply_update(replica, update, time_msec(), &diag)) {
        VLOG_WARN_RL(&rl, "%s: update refused, the table stays at revision "
                     "%"PRIu64": %s", jsonrpc_session_get_name(s->rpc),
                     replica->revision, diag.message);
        send_subscribe(s);
        return;
    }
    *changed = true;
}

/* The error of a reply as text, in 'diag->message'. */
static void
read_error(const struct jsonrpc_msg *msg, struct diagnosis *diag)
{
    if (!diagnosis_from_json(msg->error, diag)) {
        char *text = json_to_string(msg->error, 0);

        diagnosis_set(diag, DIAG_INVALID, NULL, NULL, "%s", text);
        free(text);
    }
}

static void
handle_registered(struct mapd_session *s, const struct jsonrpc_msg *msg)
{
    struct diagnosis diag;

    json_destroy(s->register_id);
    s->register_id = NULL;
    free(s->refusal);
    s->refusal = NULL;
    s->registered = msg->type != JSONRPC_ERROR;
    s->n_registrations += s->registered;
    if (!s->registered) {
        read_error(msg, &diag);
        VLOG_WARN_RL(&rl, "%s: refused to register this host: %s",
                     jsonrpc_session_get_name(s->rpc), diag.message);
        s->refusal = xstrdup(diag.message);
        s->register_at = time_msec() + RETRY_MS;
    }
}

static void
handle_claimed(struct mapd_session *s, const struct jsonrpc_msg *msg)
{
    struct diagnosis diag;

    json_destroy(s->claim_id);
    s->claim_id = NULL;
    s->claim = (msg->type == JSONRPC_ERROR ? MAPD_CLAIM_REFUSED
                : MAPD_CLAIM_DONE);
    if (msg->type == JSONRPC_ERROR) {
        read_error(msg, &diag);
        VLOG_WARN_RL(&rl, "%s: was not told which ports are here: %s",
                     jsonrpc_session_get_name(s->rpc), diag.message);
    }
}

static void
handle_reply(struct mapd_session *s, struct replica *replica,
             const struct jsonrpc_msg *msg, bool *changed)
{
    struct diagnosis diag;

    if (s->register_id && json_equal(msg->id, s->register_id)) {
        handle_registered(s, msg);
    } else if (s->claim_id && json_equal(msg->id, s->claim_id)) {
        handle_claimed(s, msg);
    } else if (s->subscribe_id && json_equal(msg->id, s->subscribe_id)) {
        json_destroy(s->subscribe_id);
        s->subscribe_id = NULL;
        if (s->resubscribe) {
            s->resubscribe = false;
            send_subscribe(s);
        } else if (msg->type == JSONRPC_ERROR) {
            read_error(msg, &diag);
            VLOG_WARN_RL(&rl, "%s: refused the subscription: %s",
                         jsonrpc_session_get_name(s->rpc), diag.message);
            jsonrpc_session_force_reconnect(s->rpc);
        } else {
            handle_snapshot(s, replica, msg->result, changed);
        }
    }
}

/* A message that came by way of mapd. */

static int
handle_want_flows(struct mapd_session *s, const struct json *json,
                  struct diagnosis *diag)
{
    struct relay_want want;
    int error = relay_want_from_json(json, true, &want, diag);

    if (!error && s->handlers.want_flows) {
        s->handlers.want_flows(s->aux, &want);
    }
    return error;
}

static int
handle_flows(struct mapd_session *s, const struct json *json,
             struct diagnosis *diag)
{
    struct relay_flows flows;
    int error = relay_flows_from_json(json, &flows, diag);

    if (!error) {
        if (s->handlers.flows) {
            s->handlers.flows(s->aux, &flows);
        }
        free(flows.flows);
    }
    return error;
}

static int
handle_trace(struct mapd_session *s, const struct json *json,
             struct diagnosis *diag)
{
    struct relay_trace trace;
    int error = relay_trace_from_json(json, &trace, diag);

    if (!error && s->handlers.trace) {
        s->handlers.trace(s->aux, &trace);
    }
    return error;
}

/* Some of the tenants that this host wants to hear of are not for it; or,
 * again, all are.  The rest comes as ever, and so do these when they may. */
static int
handle_refused(struct mapd_session *s, const struct json *json,
               struct diagnosis *diag)
{
    struct json_member m[] = {
        { .name = "vnis", .type = JSON_STRING },
        { .name = "message", .type = JSON_STRING },
        { .name = "hint", .type = JSON_STRING },
    };
    bool any = json->type == JSON_OBJECT && shash_count(json_object(json)) > 1;
    int error = json_members_take(json, "refused", m,
                                  any ? ARRAY_SIZE(m) : 1, diag);

    if (!error) {
        free(s->unseen);
        s->unseen = (any ? xasprintf("%s; %s", json_string(m[1].value),
                                     json_string(m[2].value)) : NULL);
        VLOG_WARN_RL(&rl, "%s: %s", jsonrpc_session_get_name(s->rpc),
                     any ? s->unseen : "lets this host see all that it asks "
                     "for");
    }
    return error;
}

static int
handle_want_claims(struct mapd_session *s, const struct json *param OVS_UNUSED,
                   struct diagnosis *diag OVS_UNUSED)
{
    s->n_claims_wanted++;
    return 0;
}

static const struct {
    const char *name;
    int (*handle)(struct mapd_session *, const struct json *,
                  struct diagnosis *);
} relayed[] = {
    { "want_claims", handle_want_claims },
    { "want_flows", handle_want_flows },
    { "flows", handle_flows },
    { "trace", handle_trace },
    { "refused", handle_refused },
};

/* Returns false if 'method' is none of these. */
static bool
handle_relayed(struct mapd_session *s, const char *method,
               const struct json *param)
{
    for (size_t i = 0; i < ARRAY_SIZE(relayed); i++) {
        if (!strcmp(relayed[i].name, method)) {
            struct diagnosis diag;

            if (relayed[i].handle(s, param, &diag)) {
                VLOG_WARN_RL(&rl, "%s: bad \"%s\": %s",
                             jsonrpc_session_get_name(s->rpc), method,
                             diag.message);
                jsonrpc_session_force_reconnect(s->rpc);
            }
            return true;
        }
    }
    return false;
}

/* The only parameter of notification 'msg', or NULL. */
static const struct json *
only_param(const struct jsonrpc_msg *msg)
{
    const struct json *params = msg->params;

    return params && params->type == JSON_ARRAY && params->array.n == 1
           ? params->array.elems[0] : NULL;
}

static void
handle_message(struct mapd_session *s, struct replica *replica,
               const struct jsonrpc_msg *msg, bool *changed)
{
    const struct json *param = only_param(msg);

    if (msg->type == JSONRPC_REPLY || msg->type == JSONRPC_ERROR) {
        handle_reply(s, replica, msg, changed);
    } else if (msg->type == JSONRPC_NOTIFY && param
               && !strcmp(msg->method, "update")) {
        handle_update(s, replica, param, changed);
    } else if (msg->type == JSONRPC_NOTIFY && param
               && !strcmp(msg->method, "snapshot")) {
        handle_snapshot(s, replica, param, changed);
    } else if (msg->type != JSONRPC_NOTIFY || !param
               || !handle_relayed(s, msg->method, param)) {
        VLOG_WARN_RL(&rl, "%s: unexpected %s message%s%s",
                     jsonrpc_session_get_name(s->rpc),
                     jsonrpc_msg_type_to_string(msg->type),
                     msg->method ? ", method " : "",
                     msg->method ? msg->method : "");
        jsonrpc_session_force_reconnect(s->rpc);
    }
}

/* Does 'step' on the connection.  As long as it is being made, that uses the
 * certificates of the process, which the main thread may be reading now.
 * Returns false if so: try again. */
static bool
step_safely(struct mapd_session *s, void (*step)(struct jsonrpc_session *))
{
    bool locks = s->any_tls && !jsonrpc_session_is_connected(s->rpc);

    if (locks && ovs_mutex_trylock(&tls_mutex)) {
        return false;
    }
    step(s->rpc);
    if (locks) {
        ovs_mutex_unlock(&tls_mutex);
    }
    return true;
}

/* Runs the connection.  When it fails, the next remote is chosen at once, if
 * there are several: so notes of what kind the one that failed was. */
static void
run_connection(struct mapd_session *s)
{
    char *remote = xstrdup(jsonrpc_session_get_name(s->rpc));

    step_safely(s, jsonrpc_session_run);
    if (strcmp(remote, jsonrpc_session_get_name(s->rpc))) {
        s->failed_tls = remote_is_tls(remote);
    }
    free(remote);
}

/* Others that the CA vouches for, such as hosts, must not pass for mapd. */
static bool
is_mapd(struct mapd_session *s)
{
    const char *name = jsonrpc_session_get_id(s->rpc);
    char *cause;

    if (!remote_is_tls(jsonrpc_session_get_name(s->rpc))
        || tls_is_mapd(name)) {
        return true;
    }
    cause = xasprintf("its certificate is for \"%.64s\", not for "
                      TLS_MAPD_PREFIX "NAME", name ? name : "");
    VLOG_WARN_RL(&rl, "%s: is not mapd: %s",
                 jsonrpc_session_get_name(s->rpc), cause);
    free(s->refusal);
    s->refusal = cause;
    jsonrpc_session_force_reconnect(s->rpc);
    return false;
}

/* What was reached, and was to be done, over a connection ends with it. */
static void
forget_connection(struct mapd_session *s)
{
    forget_requests(s);
    free(s->unseen);
    s->unseen = NULL;
    s->synced = s->registered = s->trusted = false;
    s->register_at = LLONG_MAX;
}

bool
mapd_session_run(struct mapd_session *s, struct replica *replica)
{
    bool changed = false;

    run_connection(s);
    if (!jsonrpc_session_is_connected(s->rpc)) {
        forget_connection(s);
        return false;
    }
    if (s->rpc_seqno != jsonrpc_session_get_seqno(s->rpc)) {
        s->rpc_seqno = jsonrpc_session_get_seqno(s->rpc);
        forget_connection(s);
        s->trusted = is_mapd(s);
        if (s->trusted) {
            register_if_serving(s);
            send_subscribe(s);
        }
    }
    if (!s->trusted) {
        return false;
    }
    if (time_msec() >= s->register_at) {
        send_register(s);
    }
    for (int i = 0; i < MESSAGES_AT_ONCE; i++) {
        struct jsonrpc_msg *msg = jsonrpc_session_recv(s->rpc);

        if (!msg) {
            break;
        }
        handle_message(s, replica, msg, &changed);
        jsonrpc_msg_destroy(msg);
    }
    return changed;
}

void
mapd_session_wait(struct mapd_session *s)
{
    if (!step_safely(s, jsonrpc_session_wait)) {
        poll_timer_wait(TLS_RETRY_MS);
    }
    jsonrpc_session_recv_wait(s->rpc);
    if (s->register_at != LLONG_MAX) {
        poll_timer_wait_until(s->register_at);
    }
    if (!s->n_snapshots && time_msec() < s->created + PATIENCE_MS) {
        poll_timer_wait_until(s->created + PATIENCE_MS);
    }
}

void
mapd_session_applied(struct mapd_session *s, uint64_t revision)
{
    struct json *param;

    if (!s->synced || revision <= s->reported) {
        return;
    }
    param = json_object_create();
    json_object_put(param, "revision", json_integer_create(revision));
    jsonrpc_session_send(s->rpc, jsonrpc_create_notify(
                             "applied", json_array_create_1(param)));
    s->reported = revision;
}

void
mapd_session_set_handlers(struct mapd_session *s,
                          const struct mapd_handlers *handlers, void *aux)
{
    s->handlers = *handlers;
    s->aux = aux;
}

/* Takes 'param' over.  Returns false if there is no connection. */
static bool
send_notification(struct mapd_session *s, const char *method,
                  struct json *param)
{
    if (!jsonrpc_session_is_connected(s->rpc)) {
        json_destroy(param);
        return false;
    }
    return !jsonrpc_session_send(s->rpc, jsonrpc_create_notify(
                                     method, json_array_create_1(param)));
}

bool
mapd_session_want_flows(struct mapd_session *s, uint32_t vni,
                        struct inet_addr source)
{
    struct relay_want want = { .vni = vni, .source = source };

    return send_notification(s, "want_flows", relay_want_to_json(&want));
}

void
mapd_session_send_flows(struct mapd_session *s,
                        const struct relay_flows *flows)
{
    send_notification(s, "flows", relay_flows_to_json(flows));
}

void
mapd_session_send_traced(struct mapd_session *s, uint64_t id,
                         struct json *answer)
{
    json_object_put(answer, "id", json_integer_create(id));
    send_notification(s, "traced", answer);
}

void
mapd_session_report(struct mapd_session *s, const char *method,
                    struct json *param)
{
    send_notification(s, method, param);
}

bool
mapd_session_claim(struct mapd_session *s, struct json *param)
{
    if (s->claim_id || !jsonrpc_session_is_connected(s->rpc)) {
        json_destroy(param);
        return false;
    }
    s->claim_id = send_request(s, "claim", json_array_create_1(param));
    s->claim = MAPD_CLAIM_SENT;
    return true;
}

enum mapd_claim
mapd_session_claim_state(const struct mapd_session *s)
{
    return s->claim;
}

unsigned int
mapd_session_n_claims_wanted(const struct mapd_session *s)
{
    return s->n_claims_wanted;
}

unsigned int
mapd_session_n_registrations(const struct mapd_session *s)
{
    return s->n_registrations;
}

bool
mapd_session_is_registered(const struct mapd_session *s)
{
    return s->registered;
}

const char *
mapd_session_refusal(const struct mapd_session *s)
{
    return s->refusal;
}

const char *
mapd_session_unseen(const struct mapd_session *s)
{
    return s->unseen;
}

bool
mapd_session_is_synced(const struct mapd_session *s)
{
    return s->synced && jsonrpc_session_is_connected(s->rpc);
}

bool
mapd_session_is_away(const struct mapd_session *s)
{
    struct reconnect_stats stats;

    if (mapd_session_is_synced(s)) {
        return false;
    }
    jsonrpc_session_get_reconnect_stats(s->rpc, &stats);
    return (time_msec() - s->created >= PATIENCE_MS
            || (!stats.is_connected && !strcmp(stats.state, "BACKOFF")));
}

/* What the last attempt came to, 'error' being errno or EOF. */
static const char *
explain(bool tls, int error)
{
    switch (error) {
    case 0:
        return "no answer";

    case EPROTO:
        return tls ? "TLS fails (does the CA certificate vouch for it, at "
                     "this time?)" : "it does not speak our protocol";

    case EOF:
    case EIO:
    case EPIPE:
    case ECONNRESET:
        return tls ? "it ends the connection (does it trust this host's "
                     "certificate, at this time?)"
                   : "it ends the connection (does it want ssl:?)";

    default:
        return ovs_strerror(error);
    }
}

const char *
mapd_session_trouble(const struct mapd_session *s)
{
    if (!s || !mapd_session_is_away(s)
        || jsonrpc_session_is_connected(s->rpc)) {
        return NULL;
    }
    return explain(s->failed_tls, jsonrpc_session_get_last_error(s->rpc));
}

unsigned int
mapd_session_n_snapshots(const struct mapd_session *s)
{
    return s->n_snapshots;
}
