/* What the agent has to say to operators besides numbers: about the flow
 * table, its registration, this host's VTEP, and hosts that it cannot reach.
 * What lasts is warned of in the log as well.  The agent's thread. */

#ifndef VSWITCHD_EXT_AGENT_REPORT_H
#define VSWITCHD_EXT_AGENT_REPORT_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct agent_status;
struct agent_config;
struct flow_maker;
struct mapd_session;
struct replica;
struct resolver;
struct table_keeper;

/* All zero to begin with. */
struct agent_report {
    long long int hosts_at;     /* When to look at hosts again. */

    long long int foreign_since; /* The VTEP is not this machine's; 0: it is.
                                  */
    bool foreign_warned;

    uint64_t not_kept;          /* Flows, ever, when it was warned of. */
    long long int full_at;      /* When to warn again. */
};

/* What is reported about. */
struct agent_subjects {
    const struct agent_config *config;
    const struct mapd_session *session; /* NULL: none. */
    struct resolver *resolver;  /* NULL: none yet, because of ... */
    int resolver_error;         /* ... this errno, if not 0. */
    const struct flow_maker *maker;
    const struct table_keeper *keeper;
    const struct replica *replica;
};

/* Fills in the texts of 'status'. */
void agent_report_run(struct agent_report *, const struct agent_subjects *,
                      struct agent_status *status);

#endif /* vswitchd-ext/agent-report.h */
