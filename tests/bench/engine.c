/* What a packet costs, in the engine and in Open vSwitch's connection tracker
 * with DNAT, on the same packets in turns.
 *
 * A ring of packets of connections chosen at random is written, processed and
 * checked; only the processing is timed.  A run is so many rings; the
 * value printed is the median of RUNS runs, and the range of the runs stands
 * beside it. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "encap/inet.h"
#include "tests/bench/contender.h"

enum {
    RUNS = 7,
    RINGS = 128,                /* In a run: half a million packets. */
    N_CONTENDERS = 2,
};

static const struct contender *const contenders[N_CONTENDERS] = {
    &engine_contender,
    &ovs_conntrack_dnat_contender,
};

static uint64_t
read_clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

uint64_t
contender_now_us(void)
{
    return read_clock_ns(CLOCK_MONOTONIC) / 1000;
}

uint64_t
contender_cpu_ns(void)
{
    return read_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static int
compare_doubles(const void *a_, const void *b_)
{
    double a = *(const double *) a_, b = *(const double *) b_;

    return a < b ? -1 : a > b;
}

/* Sorts 'values', RUNS of them, and prints their median, which it returns. */
static double
print_median(const char *bench, const char *metric, uint32_t n_flows,
             double *values, const char *unit)
{
    qsort(values, RUNS, sizeof *values, compare_doubles);
    printf("{\"bench\":\"%s\",\"metric\":\"%s\",\"flows\":%u,"
           "\"value\":%.5g,\"unit\":\"%s\",\"min\":%.5g,\"max\":%.5g,"
           "\"runs\":%d}\n",
           bench, metric, n_flows, values[RUNS / 2], unit, values[0],
           values[RUNS - 1], RUNS);
    fflush(stdout);
    return values[RUNS / 2];
}

/* One run: nanoseconds per packet. */
static double
run(const struct contender *contender, void *aux, struct traffic *traffic,
    uint32_t n_flows)
{
    uint64_t ns = 0;

    for (int ring = 0; ring < RINGS; ring++) {
        for (size_t i = 0; i < TRAFFIC_RING; i++) {
            traffic_write(traffic, i, traffic_random(traffic, n_flows),
                          TCP_ACK_FLAG);
        }
        contender->prepare(aux, traffic);

        uint64_t now_us = contender_now_us();
        uint64_t start = contender_cpu_ns();
        contender->process(aux, traffic, now_us);
        ns += contender_cpu_ns() - start;
        contender->check(aux, traffic);
    }
    return (double) ns / ((double) RINGS * TRAFFIC_RING);
}

static void
compare(struct traffic *traffic, uint32_t n_flows)
{
    double values[N_CONTENDERS][RUNS], median[N_CONTENDERS];
    void *aux[N_CONTENDERS];

    for (int c = 0; c < N_CONTENDERS; c++) {
        fprintf(stderr, "%s: %u connections...\n", contenders[c]->name,
                n_flows);
        aux[c] = contenders[c]->create(traffic, n_flows);
        run(contenders[c], aux[c], traffic, n_flows); /* To warm up. */
    }
    for (int r = 0; r < RUNS; r++) {
        for (int c = 0; c < N_CONTENDERS; c++) {
            values[c][r] = run(contenders[c], aux[c], traffic, n_flows);
            fprintf(stderr, "%s: run %d of %d, %.1f ns\n", contenders[c]->name,
                    r + 1, RUNS, values[c][r]);
        }
    }
    for (int c = 0; c < N_CONTENDERS; c++) {
        median[c] = print_median(contenders[c]->name, "ns_per_packet", n_flows,
                                 values[c], "ns");
        contenders[c]->destroy(aux[c]);
    }
    printf("{\"bench\":\"engine\",\"metric\":\"speedup_over_ovs_conntrack_dnat"
           "\",\"flows\":%u,\"value\":%.3g,\"unit\":\"ratio\"}\n",
           n_flows, median[1] / median[0]);
}

static void
measure_new_flows(struct traffic *traffic, uint32_t n_flows)
{
    double values[RUNS];

    for (int r = 0; r < RUNS; r++) {
        values[r] = engine_new_flows_per_second(traffic, n_flows);
    }
    print_median("engine", "new_flows_per_second", n_flows, values, "1/s");
    printf("{\"bench\":\"engine\",\"metric\":\"bytes_per_flow\",\"flows\":%u,"
           "\"value\":%.4g,\"unit\":\"bytes\"}\n",
           n_flows, engine_bytes_per_flow(n_flows));
}

int
main(void)
{
    struct traffic traffic;

    traffic_init(&traffic);
    compare(&traffic, 1000);
    compare(&traffic, 1000000);
    measure_new_flows(&traffic, 1000000);
    traffic_destroy(&traffic);
    return 0;
}
