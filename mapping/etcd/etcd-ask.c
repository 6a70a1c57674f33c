/* Whom to ask, and what follows from the answer or from there being none. */

#include <config.h>
#include "mapping/etcd/etcd-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "util.h"

void
etcd_ask_start(struct etcd *etcd, struct etcd_ask *ask, size_t member,
               const struct etcd_http_request *request)
{
    struct etcd_http_request whole = *request;

    whole.url = etcd->members.urls[member];
    whole.token = etcd->login.token;
    ask->member = member;
    ask->login_serial = etcd->login.serial;
    ask->http = etcd_http_start(etcd->http, &whole);
}

void
etcd_ask_cancel(struct etcd_ask *ask)
{
    etcd_http_finish(ask->http);
    ask->http = NULL;
}

void
etcd_ask_heed(struct etcd *etcd, const struct etcd_ask *ask,
              const struct etcd_failure *failure)
{
    switch (failure->remedy) {
    case ETCD_REMEDY_NONE:
    case ETCD_REMEDY_GIVE_UP:
        etcd_members_answered(&etcd->members, ask->member);
        break;

    case ETCD_REMEDY_LOG_IN:
        /* Somebody else may have found out already. */
        if (ask->login_serial == etcd->login.serial) {
            etcd_login_renew(etcd);
        }
        break;

    case ETCD_REMEDY_ASK_ANOTHER:
    case ETCD_REMEDY_MEND:
        etcd_members_failed(&etcd->members, ask->member, failure->text);
        break;
    }
}

bool
etcd_ask_finish(struct etcd *etcd, struct etcd_ask *ask, struct json **answer,
                int *error, struct etcd_failure *failure)
{
    if (!ask->http || !ask->http->done) {
        return false;
    }
    *failure = (struct etcd_failure) { .error = 0 };
    *error = etcd_failure_judge(ask->http, answer, failure);
    etcd_ask_heed(etcd, ask, failure);
    etcd_ask_cancel(ask);
    return true;
}

/* A request that is made until it is answered. */
struct request {
    const char *path, *body;
    bool again;
    long long int deadline_ms;
    size_t n_failed;            /* Calls. */
    size_t n_to_mend;             /* Of the last ones, of ETCD_REMEDY_MEND. */
    struct etcd_failure failure; /* Of the last one. */
};

static struct etcd_patience *
patience_for(struct etcd *etcd, const struct request *r)
{
    return &etcd->patience[r->again];
}

/* Learns from a call that was answered, or given up, after 'ms'. */
static void
learn(struct etcd *etcd, const struct request *r, long long int ms)
{
    struct etcd_patience *p = patience_for(etcd, r);

    if (r->failure.remedy == ETCD_REMEDY_NONE) {
        p->n_late = 0;
        if (ms < p->ms / 4) {
            p->ms = MAX(ETCD_ATTEMPT_MS, p->ms / 2);
        }
    } else if (r->failure.late && ++p->n_late >= etcd->members.n) {
        p->n_late = 0;
        p->ms = MIN(2 * p->ms, ETCD_MAX_PATIENCE_MS);
    }
}

/* Waits for a token, if there must be one.  Returns 0 or a positive errno, of
 * '*failure'. */
static int
log_in(struct etcd *etcd, long long int deadline_ms,
       struct etcd_failure *failure)
{
    etcd_login_run(etcd);
    while (!etcd_login_ready(etcd)) {
        long long int left = deadline_ms - etcd_http_now();

        *failure = etcd->login.failure;
        if (!failure->error && left <= 0) {
            *failure = (struct etcd_failure) {
                .remedy = ETCD_REMEDY_ASK_ANOTHER, .error = ETIMEDOUT,
                .text = "no answer to the login in time",
            };
        }
        failure->harmless = true;
        if (failure->error) {
            return failure->error;
        }
        etcd_run_for(etcd, left);
    }
    return 0;
}

/* Calls once.  Returns 0 or a positive errno, of r->failure. */
static int
call(struct etcd *etcd, struct request *r, struct json **answer,
     long long int *sent_ms)
{
    int error = log_in(etcd, r->deadline_ms, &r->failure);
    const struct etcd_http_request request = {
        .path = r->path,
        .body = error ? NULL : xstrdup(r->body),
        .idle_ms = (patience_for(etcd, r)->ms
                    + strlen(r->body) / ETCD_BYTES_PER_MS),
    };
    struct etcd_ask ask;

    if (error) {
        return error;
    }
    etcd_ask_start(etcd, &ask, etcd->members.current, &request);
    *sent_ms = ask.http->started_ms;
    while (!etcd_ask_finish(etcd, &ask, answer, &error, &r->failure)) {
        long long int left = r->deadline_ms - etcd_http_now();

        if (left <= 0) {
            r->failure = (struct etcd_failure) {
                .remedy = ETCD_REMEDY_ASK_ANOTHER, .error = ETIMEDOUT,
                .harmless = !ask.http->sent, .text = "no answer in time",
            };
            etcd_members_failed(&etcd->members, ask.member, r->failure.text);
            etcd_ask_cancel(&ask);
            return ETIMEDOUT;
        }
        etcd_run_for(etcd, left);
    }
    learn(etcd, r, etcd_http_now() - *sent_ms);
    return error;
}

/* Whether to call once more, after having waited a little if need be. */
static bool
try_again(struct etcd *etcd, struct request *r)
{
    enum etcd_remedy remedy = r->failure.remedy;
    long long int until = etcd_http_now() + ETCD_RETRY_MS;

    r->n_failed++;
    r->n_to_mend = remedy == ETCD_REMEDY_MEND ? r->n_to_mend + 1 : 0;
    if (remedy == ETCD_REMEDY_GIVE_UP || (!r->again && !r->failure.harmless)
        || r->n_to_mend >= etcd->members.n) {
        return false;
    }
    if ((remedy != ETCD_REMEDY_LOG_IN || r->n_failed > 1)
        && !(r->n_failed % etcd->members.n)) {
        while (etcd_http_now() < MIN(until, r->deadline_ms)) {
            etcd_run_for(etcd, until - etcd_http_now());
        }
    }
    return etcd_http_now() < r->deadline_ms;
}

/* The errno for the caller. */
static int
conclude(const struct request *r, struct diagnosis *diag)
{
    const struct etcd_failure *failure = &r->failure;
    int error = failure->error;
    enum diagnosis_code code = DIAG_STORE;

    if (!r->again && !failure->harmless) {
        error = ETIMEDOUT;
    } else if (failure->remedy == ETCD_REMEDY_ASK_ANOTHER) {
        error = r->again ? ETIMEDOUT : EAGAIN;
    }
    if (error == ETIMEDOUT) {
        code = DIAG_TIMEOUT;
    }
    diagnosis_set(diag, code, "etcd", NULL, "%s: %s",
                  (r->again || failure->harmless ? "etcd cannot be used"
                   : "it is not known whether etcd made the change"),
                  failure->text);
    if (error == ENOSPC) {
        diagnosis_set_hint(diag, "nothing was changed: make room with "
                           "'etcdctl compaction' and 'etcdctl defrag', or "
                           "raise --quota-backend-bytes, and then use "
                           "'etcdctl alarm disarm'");
    }
    return error;
}

int
etcd_ask_until(struct etcd *etcd, const char *path, char *body, bool again,
               long long int deadline_ms, struct json **answer,
               long long int *sent_ms, struct diagnosis *diag)
{
    struct request r = { .path = path, .body = body, .again = again,
                         .deadline_ms = deadline_ms };
    long long int sent;
    int error;

    do {
        error = call(etcd, &r, answer, &sent);
    } while (error && try_again(etcd, &r));
    free(body);
    if (error) {
        return conclude(&r, diag);
    }
    if (sent_ms) {
        *sent_ms = sent;
    }
    return 0;
}
