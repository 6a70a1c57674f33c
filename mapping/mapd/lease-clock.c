#include <config.h>

#include "mapping/mapd/lease-clock.h"

#include <stdlib.h>

#include "util.h"

void
lease_clock_init(struct lease_clock *clock, int64_t wall_ms,
                 int64_t monotonic_ms)
{
    clock->now_ms = wall_ms;
    clock->monotonic_ms = monotonic_ms;
}

void
lease_clock_tick(struct lease_clock *clock, int64_t wall_ms,
                 int64_t monotonic_ms, bool idle)
{
    int64_t step = monotonic_ms - clock->monotonic_ms;

    clock->now_ms = idle ? wall_ms
                    : clock->now_ms + MIN(MAX(step, 0),
                                          LEASE_CLOCK_MAX_STEP_MS);
    clock->monotonic_ms = monotonic_ms;
}

int64_t
lease_clock_now(const struct lease_clock *clock)
{
    return clock->now_ms / 1000;
}

int64_t
lease_clock_difference(const struct lease_clock *clock, int64_t wall_ms)
{
    int64_t ms = wall_ms - clock->now_ms;

    /* Division rounds towards 0: up, of a negative difference. */
    return (llabs(ms) < LEASE_CLOCK_TOLERANCE_MS ? 0
            : ms > 0 ? (ms + 999) / 1000 : ms / 1000);
}

void
lease_clock_shift(struct lease_clock *clock, int64_t seconds)
{
    clock->now_ms += seconds * 1000;
}
