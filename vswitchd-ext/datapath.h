/* What the ports share on the packet path: the published table, the flow
 * table, where encapsulated frames go, and each thread's counters.
 *
 * Readers are packet-processing threads between quiescent states (RCU). */

#ifndef VSWITCHD_EXT_DATAPATH_H
#define VSWITCHD_EXT_DATAPATH_H 1

#include <stdbool.h>
#include <stddef.h>

#include "anycast/engine.h"

struct anycast_table;
struct dp_packet;
struct dp_packet_batch;
struct flow_table;
struct seq;
struct source_table;

/* Where encapsulated frames go.  Immutable. */
struct datapath_underlay {
    struct virtual_port *port;  /* Into this port's bridge, or ... */
    struct netdev *device;      /* ... straight out of this device. */
};

void datapath_init(void);

/* Publishes what remembers flows, once: it stays to the end of the process.
 * Must precede the first datapath_publish(). */
void datapath_set_flows(struct flow_table *, struct source_table *);

/* Publishes 'table', which it takes ownership of, and destroys the one before
 * once nobody reads it.  Only the agent's thread may call it.  'table'
 * NULL: nothing is served any more. */
void datapath_publish(struct anycast_table *table);

/* Likewise for the underlay (main thread only).  'release' is postponed until
 * nobody uses the previous one, and called with it. */
void datapath_set_underlay(struct datapath_underlay *,
                           void (*release)(struct datapath_underlay *));

/* The current ones; NULL if there are none.  Valid until the thread quiesces.
 */
const struct anycast_table *datapath_table(void);
struct flow_table *datapath_flows(void);
struct source_table *datapath_sources(void);
struct engine_world datapath_world(void);
const struct datapath_underlay *datapath_underlay(void);

/* This thread's counters and state: its own until it ends, then the next new
 * thread's. */
struct engine_thread *datapath_thread(void);

/* engine_tick() for what ended threads have left and no other has taken over.
 * For the agent's thread, about once a second. */
void datapath_tick_idle(uint64_t now_us);

/* Sums up all threads' counters, ended ones' included.  A count may be a few
 * packets behind. */
void datapath_get_counters(struct engine_counters *total);

/* Takes the questions about sources that packet threads have asked since the
 * last time, at most 'max', and returns how many they are.  (What nobody takes
 * is forgotten.) */
void datapath_ask(const struct engine_question *, size_t n);
size_t datapath_take_questions(struct engine_question *, size_t max);
struct seq *datapath_question_seq(void);

/* Sends the encapsulated frames of 'batch', whose packets it takes ownership
 * of, and counts those that could not be sent in 'thread'. */
void datapath_send_underlay(struct dp_packet_batch *batch,
                            struct engine_thread *thread);

#endif /* vswitchd-ext/datapath.h */
