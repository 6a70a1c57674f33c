#include <config.h>

#include "vswitchd-ext/health-report.h"

#include <stdlib.h>

#include "mapping/report.h"
#include "openvswitch/poll-loop.h"
#include "util.h"
#include "vswitchd-ext/health-probe.h"
#include "vswitchd-ext/mapd-session.h"

enum {
    REPORT_MS   = 250,          /* Between two reports. */
    REPEAT_MS   = 5000,         /* What is unwell is told again. */
    PATIENCE_MS = 10000,        /* For verdicts on all, so that all can be
                                 * told at once. */
};

static bool
is_all_decided(const struct hmap *probes)
{
    const struct health_probe *p;

    HMAP_FOR_EACH (p, node, probes) {
        if (!p->decided) {
            return false;
        }
    }
    return true;
}

static bool
is_news(const struct health_probe *p)
{
    return p->decided && (!p->known || p->healthy != p->told);
}

/* Tells what has changed; or all, of which that is well goes without
 * saying. */
static void
tell(struct health_report *r, struct hmap *probes, bool all,
     struct mapd_session *session)
{
    struct report_health *rows = xcalloc(REPORT_MAX, sizeof *rows);
    struct health_probe *p;
    size_t n = 0;

    r->is_due = false;
    HMAP_FOR_EACH (p, node, probes) {
        if (!is_news(p)) {
            continue;
        } else if (n == REPORT_MAX) {
            r->is_due = true;
            break;
        }
        rows[n].group = p->group;
        rows[n].endpoint = p->endpoint;
        rows[n].healthy = p->told = p->healthy;
        p->known = true;
        ovs_strlcpy(rows[n++].why, p->healthy ? "" : p->why,
                    sizeof rows->why);
    }
    if (n || all) {
        mapd_session_report(session, "health",
                            report_health_to_json(all, rows, n));
    }
    free(rows);
}

/* mapd takes endpoints for well that are new, moved here, or up again, and
 * several such changes may come to us as none at all. */
static void
repeat(struct health_report *r, struct hmap *probes, long long int now)
{
    struct health_probe *p;

    HMAP_FOR_EACH (p, node, probes) {
        if (p->decided && !p->healthy) {
            p->known = false;
            r->is_due = true;
        }
    }
    r->repeat_at = now + REPEAT_MS;
}

/* A new registration: nobody knows what was told over earlier ones. */
static void
begin(struct health_report *r, struct hmap *probes, unsigned int registration,
      long long int now)
{
    struct health_probe *p;

    HMAP_FOR_EACH (p, node, probes) {
        p->known = false;
    }
    *r = (struct health_report) {
        .registration = registration,
        .is_due = true,
        .due = now + PATIENCE_MS,
    };
}

static void
tell_all(struct health_report *r, struct hmap *probes,
         struct mapd_session *session)
{
    struct health_probe *p;

    HMAP_FOR_EACH (p, node, probes) {
        p->known = p->told = true;
    }
    tell(r, probes, true, session);
    r->all_told = true;
}

/* mapd keeps what it knows of us until we know better, all of it; but what is
 * slow to be found out does not hold back the rest for ever. */
void
health_report_run(struct health_report *r, struct hmap *probes,
                  struct mapd_session *session, long long int now)
{
    unsigned int registration = mapd_session_n_registrations(session);

    if (!mapd_session_is_registered(session)) {
        *r = (struct health_report) { .registration = 0 };
        return;
    }
    if (r->registration != registration) {
        begin(r, probes, registration, now);
    }
    if (now >= r->repeat_at) {
        repeat(r, probes, now);
    }
    if (!r->all_told && is_all_decided(probes)) {
        tell_all(r, probes, session);
    } else if (r->is_due && now >= r->due) {
        tell(r, probes, false, session);
    } else {
        return;
    }
    r->due = now + REPORT_MS;
}

void
health_report_wait(const struct health_report *r)
{
    if (r->is_due) {
        poll_timer_wait_until(r->due);
    }
}
