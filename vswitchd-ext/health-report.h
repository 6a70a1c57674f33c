/* What mapd is told of the verdicts of health checks: all of them after each
 * registration, as soon as there are such, then changes only.  For the
 * agent's thread. */

#ifndef VSWITCHD_EXT_HEALTH_REPORT_H
#define VSWITCHD_EXT_HEALTH_REPORT_H 1

#include <stdbool.h>

struct hmap;
struct mapd_session;

/* All zero to begin with. */
struct health_report {
    unsigned int registration;  /* That this is about; 0: none. */
    bool all_told;              /* Since then. */
    bool is_due;                /* There is something to tell, ... */
    long long int due;          /* ... at this time. */
    long long int repeat_at;
};

/* Tells 'session' what is due of 'probes' (struct health_probe). */
void health_report_run(struct health_report *, struct hmap *probes,
                       struct mapd_session *session, long long int now);
void health_report_wait(const struct health_report *);

#endif /* vswitchd-ext/health-report.h */
