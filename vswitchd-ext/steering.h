/* OpenFlow rules that bring packets for anycast addresses to the anycast
 * ports, kept in place by the switch itself: docs/architecture.md lists them.
 * Ports with options:steer=false are left to the operator.
 *
 * steering.c knows which rules are wanted, steering-set.c brings that about,
 * steering-rule.c speaks OpenFlow.  For the main thread. */

#ifndef VSWITCHD_EXT_STEERING_H
#define VSWITCHD_EXT_STEERING_H 1

#include <stdbool.h>
#include <stddef.h>

struct anycast_table;
struct netdev_anycast_config;

/* Brings the bridges' rules a bounded step closer to those that 'table' (NULL:
 * none), the 'n' 'ports', sorted by name, and the underlay port called
 * 'underlay' (NULL: none) need, and puts back what somebody deleted.  Costs a
 * look at each group when the table's serial number or a port has changed;
 * else little.
 *
 * Returns true if all rules for 'table' are in place; false if that takes
 * more steps, if a rule was refused, or if a port is in no bridge yet.  A
 * port that is in none for long is no longer waited for. */
bool steering_run(const struct anycast_table *table,
                  const struct netdev_anycast_config *ports, size_t n,
                  const char *underlay);

/* When steering_run() has something to do, by time_msec(), even if its inputs
 * have not changed: 0 if at once, LLONG_MAX if nothing is known. */
long long int steering_due(void);

/* How many rules are in the bridges' tables. */
size_t steering_n_rules(void);

/* Forgets the rules; they end with their bridges. */
void steering_exit(void);

#endif /* vswitchd-ext/steering.h */
