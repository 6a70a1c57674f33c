/* The virtual clock and what is going to happen: events at ticks of 1 ms, in
 * the order in which they were added to a tick.  And the seeded generator that
 * all chance in a cluster comes from. */

#ifndef TESTS_CLUSTER_WHEEL_H
#define TESTS_CLUSTER_WHEEL_H 1

#include <stdbool.h>
#include <stdint.h>

enum {
    WHEEL_TICKS = 1 << 16,      /* How far ahead an event may be. */
    WHEEL_TICK_US = 1000,
};

/* What it means is the caller's business. */
struct wheel_event {
    uint32_t kind;
    uint32_t node;
    uint32_t a, b, c;
    void *p;
};

struct wheel;

struct wheel *wheel_create(void);
void wheel_destroy(struct wheel *);

/* Ticks since the beginning. */
uint64_t wheel_now(const struct wheel *);

/* Has 'event' happen in 'delay' ticks; those of the present tick, 0, too, as
 * long as wheel_next() has not returned false for it. */
void wheel_add(struct wheel *, uint64_t delay, const struct wheel_event *);

/* The next event of the present tick; false if that was all. */
bool wheel_next(struct wheel *, struct wheel_event *);

/* On to the next tick. */
void wheel_advance(struct wheel *);

/* splitmix64 (G. Steele, D. Lea, C. Flood, 2014). */
static inline uint64_t
wheel_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* Uniform in 'low'...'high'. */
static inline uint32_t
wheel_between(uint64_t *state, uint32_t low, uint32_t high)
{
    return low + (uint32_t) ((wheel_random(state) >> 32)
                             * (high - low + UINT64_C(1)) >> 32);
}

/* True in 'n' of a million cases. */
static inline bool
wheel_chance(uint64_t *state, uint32_t n)
{
    return n && wheel_between(state, 1, 1000000) <= n;
}

#endif /* tests/cluster/wheel.h */
