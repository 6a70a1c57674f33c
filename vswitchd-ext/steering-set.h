/* The set of steering rules: those that are wanted against those that are in
 * the bridges' tables, brought together a bounded step at a time, so that the
 * main thread, which forwards packets too, is never long away.
 *
 *     steering_set_begin();                    what is wanted has changed
 *     steering_set_want(&match, port);             once for each rule
 *     steering_set_end();                          until it returns true
 *
 *     done = steering_set_run();               always; again, at the latest,
 *     poll_timer_wait_until(steering_set_due());   at that time
 *
 * Rules are added before those that are wanted no more are deleted.  What
 * somebody else deleted or changed is put back within about a second.  For
 * the main thread. */

#ifndef VSWITCHD_EXT_STEERING_SET_H
#define VSWITCHD_EXT_STEERING_SET_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct steering_match;

void steering_set_begin(void);

/* Wants a rule that matches 'match' and outputs to OpenFlow port 'port',
 * 1...0xfeff.  If such a match is wanted already in this round, that stands.
 * Returns the port that it is wanted for. */
uint16_t steering_set_want(const struct steering_match *match, uint16_t port);

/* Whatever was not wanted since steering_set_begin() is to go.  Takes a step
 * towards that, and returns true if there is no more to do. */
bool steering_set_end(void);

/* Takes a step.  Returns true if all rules are in place as far as is known:
 * false if there is more to do, or if a rule was refused and is to be tried
 * again. */
bool steering_set_run(void);

/* When steering_set_run() has something to do, by time_msec(): in the past
 * (at once), in the future, or LLONG_MAX if nothing is known. */
long long int steering_set_due(void);

/* How many rules are in the bridges' tables. */
size_t steering_set_n_placed(void);

/* Forgets all and frees the memory; leaves the bridges' tables alone. */
void steering_set_destroy(void);

#endif /* vswitchd-ext/steering-set.h */
