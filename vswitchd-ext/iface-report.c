#include <config.h>

#include "vswitchd-ext/iface-report.h"

#include <limits.h>
#include <stdlib.h>

#include "openvswitch/poll-loop.h"
#include "ovs-thread.h"
#include "seq.h"
#include "util.h"
#include "vswitchd-ext/iface-set.h"
#include "vswitchd-ext/mapd-session.h"

/* Handed over between the threads. */
static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct iface_set latest OVS_GUARDED_BY(mutex);
static bool is_known OVS_GUARDED_BY(mutex); /* It has been set. */
static struct seq *latest_seq;

struct iface_report {
    uint64_t seqno;             /* Of 'latest_seq', when 'here' was taken. */
    bool known;
    struct iface_set here;

    /* What mapd has confirmed. */
    bool confirmed;             /* Else nothing: all is to be told. */
    struct iface_set told;

    /* What it has been sent. */
    bool sent;
    struct iface_set asked;
    unsigned int registration, wish; /* Of the session, when it was. */

    long long int due;          /* time_msec(): nothing is sent before. */
    bool waits;                 /* For that. */
};

void
iface_report_set(const struct iface_set *set)
{
    bool changed;

    ovs_mutex_lock(&mutex);
    changed = !is_known || !iface_set_equal(set, &latest);
    if (changed) {
        iface_set_copy(&latest, set);
        is_known = true;
    }
    ovs_mutex_unlock(&mutex);
    if (changed) {
        seq_change(latest_seq);
    }
}

struct iface_report *
iface_report_create(void)
{
    struct iface_report *r = xzalloc(sizeof *r);

    latest_seq = seq_create();
    r->seqno = seq_read(latest_seq);
    iface_set_init(&r->here);
    iface_set_init(&r->told);
    iface_set_init(&r->asked);
    return r;
}

void
iface_report_destroy(struct iface_report *r)
{
    if (r) {
        iface_set_uninit(&r->here);
        iface_set_uninit(&r->told);
        iface_set_uninit(&r->asked);
        free(r);
        ovs_mutex_lock(&mutex);
        iface_set_uninit(&latest);
        is_known = false;
        ovs_mutex_unlock(&mutex);
        seq_destroy(latest_seq);
    }
}

static void
take_latest(struct iface_report *r)
{
    uint64_t seqno = seq_read(latest_seq);

    if (seqno != r->seqno) {
        r->seqno = seqno;
        ovs_mutex_lock(&mutex);
        r->known = is_known;
        iface_set_copy(&r->here, &latest);
        ovs_mutex_unlock(&mutex);
    }
}

/* Whether mapd, since it was told, has forgotten. */
static bool
is_outdated(const struct iface_report *r, const struct mapd_session *session)
{
    return (r->registration != mapd_session_n_registrations(session)
            || r->wish != mapd_session_n_claims_wanted(session));
}

static void
take_answer(struct iface_report *r, const struct mapd_session *session,
            long long int now)
{
    enum mapd_claim state = mapd_session_claim_state(session);

    if (!r->sent || state == MAPD_CLAIM_SENT) {
        return;
    }
    r->sent = false;
    r->confirmed = state == MAPD_CLAIM_DONE;
    if (r->confirmed) {
        iface_set_copy(&r->told, &r->asked);
    } else {
        r->due = now + IFACE_REPORT_RETRY_MS;
    }
}

static void
send_claims(struct iface_report *r, const char *self,
            struct mapd_session *session, long long int now)
{
    struct claims claims;

    iface_set_diff(r->confirmed ? &r->told : NULL, &r->here, now, &claims);
    ovs_strlcpy(claims.host, self, sizeof claims.host);
    r->sent = mapd_session_claim(session, claims_to_json(&claims));
    r->waits = !r->sent;
    claims_uninit(&claims);
    iface_set_copy(&r->asked, &r->here);
    r->registration = mapd_session_n_registrations(session);
    r->wish = mapd_session_n_claims_wanted(session);
    r->due = now + IFACE_REPORT_MS;
}

void
iface_report_run(struct iface_report *r, const char *self,
                 struct mapd_session *session, long long int now)
{
    take_latest(r);
    r->waits = false;
    if (!r->known || !mapd_session_is_registered(session)) {
        r->sent = r->confirmed = false;
        r->due = 0;
        return;
    }
    take_answer(r, session, now);
    if (r->sent) {
        return;
    }
    if (r->confirmed && is_outdated(r, session)) {
        r->confirmed = false;
    }
    if (!r->confirmed || !iface_set_equal(&r->told, &r->here)) {
        if (now >= r->due) {
            send_claims(r, self, session, now);
        } else {
            r->waits = true;
        }
    }
}

void
iface_report_wait(const struct iface_report *r)
{
    seq_wait(latest_seq, r->seqno);
    if (r->waits) {
        poll_timer_wait_until(r->due);
    }
}
