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

VLOG_DEFINE_THIS_MODULE(etcd_lease);

struct etcd_lease {
    struct ovs_list node;       /* In etcd->leases or etcd->partings. */
    struct etcd *etcd;
    int64_t id;
    bool lost;
    long long int sure_ms;      /* It lasts until then, by etcd_http_now(). */
    long long int next_ms;      /* When to send a keepalive, or revoke. */
    int n_failed;               /* Calls, since the last answer. */
    struct etcd_ask ask;        /* Keepalive, or revocation. */
};

int
etcd_lease_create(struct etcd *etcd, int ttl_s, int timeout_ms,
                  struct etcd_lease **leasep, struct diagnosis *diag)
{
    struct etcd_lease *lease;
    long long int sent_ms;
    struct json *answer;
    int granted_s;
    int64_t id;
    /* Of grants without an answer, some may be made: they run out. */
    int error = etcd_ask_until(etcd, "/v3/lease/grant",
                               etcd_request_grant(ttl_s), true,
                               etcd_http_now() + timeout_ms, &answer,
                               &sent_ms, diag);

    if (error) {
        return error;
    }
    error = etcd_answer_grant(answer, &id, &granted_s, diag);
    json_destroy(answer);
    if (error) {
        return error;
    }
    lease = xzalloc(sizeof *lease);
    lease->etcd = etcd;
    lease->id = id;
    lease->sure_ms = sent_ms + granted_s * 1000LL;
    lease->next_ms = sent_ms + granted_s * 1000LL / ETCD_LEASE_BEATS;
    ovs_list_push_back(&etcd->leases, &lease->node);
    *leasep = lease;
    return 0;
}

static void
free_lease(struct etcd_lease *lease)
{
    ovs_list_remove(&lease->node);
    etcd_ask_cancel(&lease->ask);
    free(lease);
}

void
etcd_lease_destroy(struct etcd_lease *lease, bool revoke)
{
    if (lease && revoke && !lease->lost) {
        etcd_ask_cancel(&lease->ask);
        ovs_list_remove(&lease->node);
        ovs_list_push_back(&lease->etcd->partings, &lease->node);
        lease->next_ms = etcd_http_now();
        lease->n_failed = 0;
    } else if (lease) {
        free_lease(lease);
    }
}

int64_t
etcd_lease_id(const struct etcd_lease *lease)
{
    return lease->id;
}

int
etcd_lease_remaining(const struct etcd_lease *lease)
{
    return lease->lost ? 0 : MAX(0, lease->sure_ms - etcd_http_now());
}

bool
etcd_lease_is_lost(const struct etcd_lease *lease)
{
    return lease->lost;
}

static void
lose(struct etcd_lease *lease)
{
    VLOG_WARN("lease %"PRIx64" has run out", lease->id);
    lease->lost = true;
}

static void
set_failed(struct etcd_lease *lease)
{
    bool pause = !(++lease->n_failed % lease->etcd->members.n);

    lease->next_ms = etcd_http_now() + (pause ? ETCD_RETRY_MS : 0);
}

/* Takes the answer to a keepalive sent at 'sent_ms'. */
static void
take_keepalive(struct etcd_lease *lease, const struct json *answer,
               long long int sent_ms)
{
    struct diagnosis diag;
    int ttl_s;

    if (etcd_answer_keepalive(answer, &ttl_s, &diag)) {
        VLOG_WARN("lease %"PRIx64": %s", lease->id, diag.message);
        set_failed(lease);
    } else if (!ttl_s) {
        lose(lease);
    } else {
        lease->n_failed = 0;
        lease->sure_ms = sent_ms + ttl_s * 1000LL;
        lease->next_ms = sent_ms + ttl_s * 1000LL / ETCD_LEASE_BEATS;
    }
}

/* Starts the call that is due, if any.  A member may take longer if all have
 * taken too long. */
static void
start(struct etcd_lease *lease, const char *path)
{
    struct etcd *etcd = lease->etcd;
    int round = lease->n_failed / etcd->members.n;

    if (!lease->ask.http && etcd_login_ready(etcd)
        && etcd_http_now() >= lease->next_ms) {
        const struct etcd_http_request request = {
            .path = path,
            .body = etcd_request_lease(lease->id),
            .idle_ms = ETCD_ATTEMPT_MS << MIN(round, 2),
        };

        etcd_ask_start(etcd, &lease->ask, etcd->members.current, &request);
    }
}

static void
run_lease(struct etcd_lease *lease)
{
    long long int sent_ms = lease->ask.http ? lease->ask.http->started_ms : 0;
    struct etcd_failure failure;
    struct json *answer;
    int error;

    if (etcd_ask_finish(lease->etcd, &lease->ask, &answer, &error,
                        &failure)) {
        if (!error) {
            take_keepalive(lease, answer, sent_ms);
            json_destroy(answer);
        } else if (error == ENOENT) {
            lose(lease);
        } else {
            set_failed(lease);
        }
    }
    if (!lease->lost) {
        start(lease, "/v3/lease/keepalive");
    }
}

/* Revokes, until that is answered or the lease has run out anyway. */
static void
run_parting(struct etcd_lease *lease)
{
    struct etcd_failure failure;
    struct json *answer;
    int error;

    if (etcd_ask_finish(lease->etcd, &lease->ask, &answer, &error,
                        &failure)) {
        if (!error) {
            json_destroy(answer);
        }
        if (!error || failure.remedy == ETCD_REMEDY_GIVE_UP) {
            free_lease(lease);
            return;
        }
        set_failed(lease);
    }
    if (!lease->ask.http && !etcd_lease_remaining(lease)) {
        free_lease(lease);
        return;
    }
    start(lease, "/v3/lease/revoke");
}

void
etcd_lease_run_all(struct etcd *etcd)
{
    struct etcd_lease *lease;

    LIST_FOR_EACH (lease, node, &etcd->leases) {
        run_lease(lease);
    }
    LIST_FOR_EACH_SAFE (lease, node, &etcd->partings) {
        run_parting(lease);
    }
}

static void
wait_lease(const struct etcd_lease *lease)
{
    if (!lease->lost && !lease->ask.http) {
        poll_timer_wait(MAX(0, lease->next_ms - etcd_http_now()));
    }
}

void
etcd_lease_wait_all(struct etcd *etcd)
{
    const struct etcd_lease *lease;

    if (etcd_login_ready(etcd)) {
        LIST_FOR_EACH (lease, node, &etcd->leases) {
            wait_lease(lease);
        }
        LIST_FOR_EACH (lease, node, &etcd->partings) {
            wait_lease(lease);
        }
    }
}

void
etcd_lease_part(struct etcd *etcd)
{
    long long int deadline_ms = etcd_http_now() + ETCD_ATTEMPT_MS;
    struct etcd_lease *lease;

    etcd_lease_run_all(etcd);
    while (!ovs_list_is_empty(&etcd->partings)
           && etcd_http_now() < deadline_ms) {
        etcd_run_for(etcd, deadline_ms - etcd_http_now());
    }
    LIST_FOR_EACH_SAFE (lease, node, &etcd->partings) {
        free_lease(lease);
    }
}
