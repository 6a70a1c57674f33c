/* Makes the flow table, in a thread of its own: to touch all that memory, or
 * to wait for another process's file, may take many seconds, in which mapd
 * must go on hearing from this host.  Tries again when it could not be made.
 * For the agent's thread.
 *
 *     maker = flow_maker_create();
 *     for (;;) {
 *         if (flow_maker_run(maker, &config, &key)) {
 *             ...the table is there: datapath_flows()...
 *         }
 *         flow_maker_wait(maker);
 *         poll_block();
 *     } */

#ifndef VSWITCHD_EXT_FLOW_MAKER_H
#define VSWITCHD_EXT_FLOW_MAKER_H 1

#include <stdbool.h>
#include <stddef.h>

struct flow_maker;
struct hash_key;

struct flow_maker_config {
    size_t n_flows, n_flows6;   /* Capacity. */
    const char *file;           /* NULL: in memory of this process alone. */
};

enum flow_maker_state {
    FLOW_MAKER_IDLE,            /* Nobody has asked for a table yet. */
    FLOW_MAKER_MAKING,
    FLOW_MAKER_READY,
    FLOW_MAKER_FAILED,          /* To be tried again. */
};

struct flow_maker *flow_maker_create(void);

/* Does not wait for a thread that is at work: the process is to end soon, and
 * what that thread has goes with it.  A finished table stays. */
void flow_maker_destroy(struct flow_maker *);

/* Sees to it that a table for 'config', which nothing is kept of, is made: by
 * a first call, one half a minute after a failure, or one whose 'config' is
 * not what failed.  Flows that an earlier process left in the file are taken
 * over if 'key', the deployment's, is what that process was given last.
 * Returns true when there is a table.  Later changes of the capacity take
 * effect in the next process, and the file moves to where that will look for
 * it, or goes. */
bool flow_maker_run(struct flow_maker *, const struct flow_maker_config *,
                    const struct hash_key *key);
void flow_maker_wait(const struct flow_maker *);

enum flow_maker_state flow_maker_get_state(const struct flow_maker *);

/* "none", "making", "ready", "failed". */
const char *flow_maker_state_name(enum flow_maker_state);

/* What there is to say about the state, for people: why it failed, or why
 * flows are not kept in a file; else NULL. */
const char *flow_maker_remark(const struct flow_maker *);

#endif /* vswitchd-ext/flow-maker.h */
