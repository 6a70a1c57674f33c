/* Answers monitoring (mapping/metrics-server.h) in a thread of its own: the
 * main thread may have packets to forward, and the agent tables to publish.
 *
 * All functions are for the main thread. */

#ifndef VSWITCHD_EXT_METRICS_THREAD_H
#define VSWITCHD_EXT_METRICS_THREAD_H 1

#include <stddef.h>

enum { METRICS_THREAD_STALL_MS = 10 * 1000 }; /* Then the main thread counts
                                               * as stuck. */

void metrics_thread_init(void);
void metrics_thread_exit(void);

/* Has 'address' ([IP:]PORT, valid; NULL: nobody) answered at.  Cheap if that
 * is so already.  What cannot be bound is logged, and tried again. */
void metrics_thread_configure(const char *address);

/* To be called in each turn of the main thread's work: it goes on, has
 * 'n_rules' steering rules in place, and the configuration is not in force
 * because of 'config_error' (NULL: it is). */
void metrics_thread_beat(size_t n_rules, const char *config_error);

#endif /* vswitchd-ext/metrics-thread.h */
