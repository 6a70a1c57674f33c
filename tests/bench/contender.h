/* What takes part in the comparison of tests/bench/engine.c. */

#ifndef TESTS_BENCH_CONTENDER_H
#define TESTS_BENCH_CONTENDER_H 1

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/traffic.h"

struct contender {
    const char *name;

    /* Makes 'n_flows' connections known and established. */
    void *(*create)(struct traffic *, uint32_t n_flows);
    void (*destroy)(void *);

    /* Gets what belongs to the ring's packets ready, not timed. */
    void (*prepare)(void *, struct traffic *);

    /* Processes the ring's packets in batches; this is what is timed. */
    void (*process)(void *, struct traffic *, uint64_t now_us);

    /* Checks that all of the ring's packets came out as they should; else
     * says so and exits. */
    void (*check)(void *, struct traffic *);

    /* The rest may be NULL. */

    /* Memory for each of the connections. */
    double (*bytes_per_flow)(void *);

    /* Whether that memory is on huge pages. */
    bool (*is_huge)(void *);

    /* Connections per second that a new one takes in, 'n_flows' of them, by
     * their SYNs. */
    double (*new_flows_per_second)(struct traffic *, uint32_t n_flows);
};

/* The engine, with groups that pick by 'weighted' and by 'hash'. */
extern const struct contender engine_contender;
extern const struct contender engine_hash_contender;
extern const struct contender floor_contender;
extern const struct contender ovs_conntrack_dnat_contender;

/* A monotonic clock for what the contenders know as the time, and the CPU time
 * of this thread to measure with: other processes do not count in it. */
uint64_t contender_now_us(void);
uint64_t contender_cpu_ns(void);

#endif /* tests/bench/contender.h */
