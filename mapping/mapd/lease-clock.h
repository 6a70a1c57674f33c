/* The time by which leases end.
 *
 * A lease says when it ends in seconds since 1970, so that it means the same
 * to the next mapd; but while mapd runs, this time goes on by the monotonic
 * clock, in steps that are bounded as those of server-liveness.c are.  So
 * neither a clock that is set, nor a pause of mapd or of its machine, ends a
 * lease early.  When the two have come apart, leases are put off by the
 * difference, and what remains of each is the same as before.  Pure. */

#ifndef MAPPING_MAPD_LEASE_CLOCK_H
#define MAPPING_MAPD_LEASE_CLOCK_H 1

#include <stdbool.h>
#include <stdint.h>

enum {
    LEASE_CLOCK_MAX_STEP_MS = 3000, /* Between two ticks. */
    LEASE_CLOCK_TOLERANCE_MS = 2000, /* Of the difference. */
};

struct lease_clock {
    int64_t now_ms;             /* Since 1970. */
    int64_t monotonic_ms;       /* At the last tick. */
};

/* 'wall_ms' is since 1970, 'monotonic_ms' since any time. */
void lease_clock_init(struct lease_clock *, int64_t wall_ms,
                      int64_t monotonic_ms);

/* Goes on; to be called at least every LEASE_CLOCK_MAX_STEP_MS while leases
 * end by it.  When none does ('idle'), it is set to 'wall_ms'. */
void lease_clock_tick(struct lease_clock *, int64_t wall_ms,
                      int64_t monotonic_ms, bool idle);

/* In seconds since 1970. */
int64_t lease_clock_now(const struct lease_clock *);

/* By how many seconds leases must be put off, and the clock be shifted, to be
 * in step with 'wall_ms' again; 0 within the tolerance.  Rounded up, so that
 * none ends early. */
int64_t lease_clock_difference(const struct lease_clock *, int64_t wall_ms);
void lease_clock_shift(struct lease_clock *, int64_t seconds);

#endif /* mapping/mapd/lease-clock.h */
