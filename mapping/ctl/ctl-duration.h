/* Durations as people read them. */

#ifndef MAPPING_CTL_CTL_DURATION_H
#define MAPPING_CTL_CTL_DURATION_H 1

struct ds;

/* Appends 'ms' milliseconds, not negative, in two units at most: "5 s",
 * "3 min 20 s", "2 d 3 h". */
void ctl_duration_put(struct ds *, long long ms);

#endif /* mapping/ctl/ctl-duration.h */
