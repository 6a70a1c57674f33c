/* The token that etcd gives for user and password.  It is got when first
 * needed, and again when etcd says that it is not valid (any more: a member
 * that was started again knows none, and they expire). */

#include <config.h>
#include "mapping/etcd/etcd-private.h"

#include <errno.h>
#include <stdlib.h>

#include "mapping/etcd/etcd-answer.h"
#include "mapping/etcd/etcd-request.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(etcd_login);

bool
etcd_login_ready(const struct etcd *etcd)
{
    return !etcd->user || etcd->login.token || etcd->login.unneeded;
}

void
etcd_login_renew(struct etcd *etcd)
{
    free(etcd->login.token);
    etcd->login.token = NULL;
    etcd->login.unneeded = false;
}

static void
take_token(struct etcd_login *login, const struct json *answer)
{
    struct diagnosis diag;

    login->serial++;
    if (etcd_answer_token(answer, &login->token, &diag)) {
        login->failure = (struct etcd_failure) {
            .remedy = ETCD_REMEDY_MEND, .error = EPROTO,
        };
        ovs_strlcpy(login->failure.text, diag.message,
                    sizeof login->failure.text);
    }
}

static void
take_refusal(struct etcd *etcd)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 3);
    struct etcd_login *login = &etcd->login;

    if (login->failure.error == ENOTSUP) {
        VLOG_WARN_RL(&rl, "etcd does without authentication; user \"%s\" is "
                     "not checked", etcd->user);
        login->unneeded = true;
    } else if (login->failure.remedy == ETCD_REMEDY_GIVE_UP) {
        login->retry_ms = etcd_http_now() + ETCD_LOGIN_RETRY_MS;
        VLOG_ERR_RL(&rl, "user \"%s\": %s", etcd->user, login->failure.text);
    } else {
        login->retry_ms = etcd_http_now() + ETCD_RETRY_MS;
    }
}

void
etcd_login_run(struct etcd *etcd)
{
    struct etcd_login *login = &etcd->login;
    struct json *answer;
    int error;

    if (etcd_ask_finish(etcd, &login->ask, &answer, &error,
                        &login->failure)) {
        if (!error) {
            take_token(login, answer);
            json_destroy(answer);
        }
        if (login->failure.error) {
            take_refusal(etcd);
        }
    }
    if (!etcd_login_ready(etcd) && !login->ask.http
        && etcd_http_now() >= login->retry_ms) {
        const struct etcd_http_request request = {
            .path = "/v3/auth/authenticate",
            .body = etcd_request_authenticate(etcd->user, etcd->password),
            .idle_ms = ETCD_LOGIN_MS,
        };

        login->failure = (struct etcd_failure) { .error = 0 };
        etcd_ask_start(etcd, &login->ask, etcd->members.current, &request);
    }
}

void
etcd_login_wait(struct etcd *etcd)
{
    if (!etcd_login_ready(etcd) && !etcd->login.ask.http) {
        poll_timer_wait(MAX(0, etcd->login.retry_ms - etcd_http_now()));
    }
}

void
etcd_login_destroy(struct etcd *etcd)
{
    etcd_ask_cancel(&etcd->login.ask);
    free(etcd->login.token);
}
