/* mapping/mapd/lease-clock.h: whatever happens to the clocks, a lease lasts
 * for its term of time that mapd was running, and not much longer. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#include "mapping/mapd/lease-clock.h"
#include "random.h"
#include "util.h"

enum { START = 1700000000 };

/* Clocks of a machine, and a mapd with one lease that does with it what the
 * server does. */
struct world {
    int64_t wall_ms, monotonic_ms;
    struct lease_clock clock;
    int64_t expires;            /* Of the lease. */
    int64_t lived_ms;           /* Since it was made, of mapd's time. */
};

static void
begin(struct world *w, int term)
{
    w->wall_ms = START * INT64_C(1000);
    w->monotonic_ms = 5000;
    lease_clock_init(&w->clock, w->wall_ms, w->monotonic_ms);
    w->expires = lease_clock_now(&w->clock) + term;
    w->lived_ms = 0;
}

/* A second passes, and mapd looks.  Returns true if the lease has ended. */
static bool
second_passes(struct world *w)
{
    int64_t difference;

    w->wall_ms += 1000;
    w->monotonic_ms += 1000;
    w->lived_ms += 1000;
    lease_clock_tick(&w->clock, w->wall_ms, w->monotonic_ms, false);
    difference = lease_clock_difference(&w->clock, w->wall_ms);
    if (difference) {
        w->expires += difference;
        lease_clock_shift(&w->clock, difference);
        assert_true(llabs(lease_clock_difference(&w->clock, w->wall_ms)) < 2);
    }
    return w->expires <= lease_clock_now(&w->clock);
}

static void
lease_ends_on_time(void **state OVS_UNUSED)
{
    struct world w;

    begin(&w, 60);
    while (!second_passes(&w)) {
        assert_true(w.lived_ms < 61000);
    }
    assert_int_equal(w.lived_ms, 60000);
}

/* Steps of the wall clock, pauses of mapd (both clocks go on) and of the
 * machine (the monotonic one does not). */
static void
nothing_ends_a_lease_early(void **state OVS_UNUSED)
{
    random_set_seed(1);
    for (int round = 0; round < 300; round++) {
        int events = 0;
        struct world w;

        begin(&w, 300);
        do {
            int64_t ms = random_range(7200000);

            switch (random_range(40)) {
            case 0:
                w.wall_ms += ms;
                events++;
                break;
            case 1:
                w.wall_ms -= ms;
                events++;
                break;
            case 2:
                w.wall_ms += ms;
                w.monotonic_ms += ms;
                events++;
                break;
            }
        } while (!second_passes(&w));
        /* A tick may hold up to LEASE_CLOCK_MAX_STEP_MS, of which
         * second_passes() counts one second. */
        assert_in_range(w.lived_ms, 300000 - 1000 - 2000 * events,
                        300000 + 2000 * (events + 1));
        /* And it means the same to the next mapd. */
        assert_in_range(w.wall_ms / 1000 - w.expires + 5, 0, 10);
    }
}

/* The time is right from the first lease on, however long there was none. */
static void
idle_clock_follows_the_wall(void **state OVS_UNUSED)
{
    struct world w;

    begin(&w, 0);
    w.wall_ms += 86400000;
    w.monotonic_ms += 86400000;
    lease_clock_tick(&w.clock, w.wall_ms, w.monotonic_ms, true);
    assert_int_equal(lease_clock_now(&w.clock), START + 86400);
    w.wall_ms += 86400000;
    w.monotonic_ms += 86400000;
    lease_clock_tick(&w.clock, w.wall_ms, w.monotonic_ms, false);
    assert_int_equal(lease_clock_now(&w.clock), START + 86403);
    assert_int_equal(lease_clock_difference(&w.clock, w.wall_ms), 86397);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lease_ends_on_time),
        cmocka_unit_test(nothing_ends_a_lease_early),
        cmocka_unit_test(idle_clock_follows_the_wall),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
