/* Tells mapd what this host sees of endpoints: flows and response times, every
 * LOAD_REPORT_MS, and only what has changed since.  For the agent's thread. */

#ifndef VSWITCHD_EXT_LOAD_REPORT_H
#define VSWITCHD_EXT_LOAD_REPORT_H 1

struct load_report;
struct mapd_session;
struct table_builder;

enum {
    LOAD_REPORT_MS      = 10000,
    LOAD_REPORT_MORE_MS = 1000, /* Until the rest of what has changed, if it
                                 * is more than one message carries. */
    LOAD_REPORT_TENTH   = 10,   /* A response time has changed if it has by
                                 * that part of itself. */
};

struct load_report *load_report_create(void);
void load_report_destroy(struct load_report *);

/* Reports what is due of the endpoints in 'builder', unless 'session' is not
 * registered.  A new registration begins with all there is. */
void load_report_run(struct load_report *, const struct table_builder *builder,
                     struct mapd_session *session);
void load_report_wait(const struct load_report *);

#endif /* vswitchd-ext/load-report.h */
