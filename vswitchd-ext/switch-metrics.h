/* The switch's figures for monitoring: what `anycast/show`, `anycast/drops`
 * and `anycast/groups` tell people. */

#ifndef VSWITCHD_EXT_SWITCH_METRICS_H
#define VSWITCHD_EXT_SWITCH_METRICS_H 1

#include <stddef.h>

struct metrics;

enum { SWITCH_METRICS_MAX_ENDPOINTS = 1000 }; /* With figures of their own:
                                               * those of the oldest groups. */

/* Appends the figures.  'n_rules': steering rules in place.  From any thread
 * but a packet thread: takes milliseconds if there are many endpoints. */
void switch_metrics_write(struct metrics *, size_t n_rules);

#endif /* vswitchd-ext/switch-metrics.h */
