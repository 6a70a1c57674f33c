/* Tells mapd which ports of VMs are at this host, so that endpoints are found
 * by them: all after each registration, and when mapd asks; then what changes,
 * at most every IFACE_REPORT_MS. */

#ifndef VSWITCHD_EXT_IFACE_REPORT_H
#define VSWITCHD_EXT_IFACE_REPORT_H 1

struct iface_report;
struct iface_set;
struct mapd_session;

enum {
    IFACE_REPORT_MS       = 100,
    IFACE_REPORT_RETRY_MS = 5000, /* After mapd refused. */
};

/* For the main thread.  The latest set, which is finished; copied.  Not after
 * iface_report_destroy(). */
void iface_report_set(const struct iface_set *);

/* For the agent's thread; the first one for the main thread, before it.  There
 * is one at a time. */
struct iface_report *iface_report_create(void);
void iface_report_destroy(struct iface_report *);
/* 'self' is this host's name, 'now' the time_msec(), by which the ports' ages
 * count, too. */
void iface_report_run(struct iface_report *, const char *self,
                      struct mapd_session *, long long int now);
void iface_report_wait(const struct iface_report *);

#endif /* vswitchd-ext/iface-report.h */
