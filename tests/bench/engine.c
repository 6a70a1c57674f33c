/* What a packet costs, in the engine, in a loop that does only what there is
 * no way around, and in Open vSwitch's connection tracker with DNAT, on the
 * same packets in turns.
 *
 * A ring of packets of connections chosen at random is written, processed and
 * checked; only the processing is timed.  A run is so many rings; the value
 * printed is the median of RUNS runs, and the range of the runs stands beside
 * it.  Ratios are within one run. */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tests/bench/contender.h"

enum {
    RUNS = 7,
    RINGS = 128,                /* In a run: half a million packets. */
    MAX_CONTENDERS = 3,
};

/* A scene, and who takes part, the engine first. */
struct contest {
    uint32_t n_flows;
    bool ipv6;
    uint32_t n_groups;
    const char *fields;         /* More of the line, if not empty. */
    const struct contender *contenders[MAX_CONTENDERS + 1];
};

static const struct contest contests[] = {
    { 1000, false, 1, "",
      { &engine_contender, &floor_contender, &ovs_conntrack_dnat_contender } },
    { 1000000, false, 1, "",
      { &engine_contender, &floor_contender, &ovs_conntrack_dnat_contender } },
    /* So many connections would take the tracker some 10 GB and a minute. */
    { 10000000, false, 1, "", { &engine_contender, &floor_contender } },
    { 1000000, true, 1, "\"ip\":6,", { &engine_contender } },
    { 1000000, false, 1, "\"algorithm\":\"hash\",",
      { &engine_hash_contender } },
    { 1000000, false, 1000, "\"groups\":1000,", { &engine_contender } },
};
enum { N_CONTESTS = sizeof contests / sizeof *contests };

/* The contest for new connections and memory. */
static const struct contest *const main_contest = &contests[1];

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

/* Sorts 'values', RUNS of them, and prints their median. */
static void
print_median(const char *bench, const char *metric,
             const struct contest *contest, const char *fields, double *values,
             const char *unit)
{
    qsort(values, RUNS, sizeof *values, compare_doubles);
    printf("{\"bench\":\"%s\",\"metric\":\"%s\",\"flows\":%u,%s%s"
           "\"value\":%.5g,\"unit\":\"%s\",\"min\":%.5g,\"max\":%.5g,"
           "\"runs\":%d}\n",
           bench, metric, contest->n_flows, contest->fields, fields,
           values[RUNS / 2], unit, values[0], values[RUNS - 1], RUNS);
    fflush(stdout);
}

/* Prints how many times 'over' is of 'under', run by run. */
static void
print_ratio(const char *metric, const struct contest *contest,
            const double *over, const double *under)
{
    double ratios[RUNS];

    for (int r = 0; r < RUNS; r++) {
        ratios[r] = over[r] / under[r];
    }
    print_median("engine", metric, contest, "", ratios, "ratio");
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

/* Prints what the contenders' runs took, the engine's first, and their
 * ratios. */
static void
print_ns(const struct contest *contest, void *aux[],
         double values[MAX_CONTENDERS][RUNS])
{
    for (int c = 1; contest->contenders[c]; c++) {
        if (contest->contenders[c] == &floor_contender) {
            print_ratio("ns_over_floor", contest, values[0], values[c]);
        } else {
            print_ratio("speedup_over_ovs_conntrack_dnat", contest, values[c],
                        values[0]);
        }
    }
    for (int c = 0; contest->contenders[c]; c++) {
        const struct contender *contender = contest->contenders[c];
        const char *fields = "";

        if (contender->is_huge) {
            fields = (contender->is_huge(aux[c]) ? "\"huge\":true,"
                      : "\"huge\":false,");
        }
        print_median(contender->name, "ns_per_packet", contest, fields,
                     values[c], "ns");
    }
}

static void
print_bytes(const struct contest *contest, void *aux[])
{
    double engine = engine_contender.bytes_per_flow(aux[0]);

    for (int c = 0; contest->contenders[c]; c++) {
        const struct contender *contender = contest->contenders[c];

        if (contender->bytes_per_flow) {
            double bytes = contender->bytes_per_flow(aux[c]);

            printf("{\"bench\":\"%s\",\"metric\":\"bytes_per_flow\","
                   "\"flows\":%u,\"value\":%.4g,\"unit\":\"bytes\","
                   "\"over_engine\":%.4g}\n",
                   contender->name, contest->n_flows, bytes, bytes / engine);
        }
    }
}

static void
compare(struct traffic *traffic, const struct contest *contest)
{
    double values[MAX_CONTENDERS][RUNS];
    void *aux[MAX_CONTENDERS];

    traffic->ipv6 = contest->ipv6;
    traffic->n_groups = contest->n_groups;
    for (int c = 0; contest->contenders[c]; c++) {
        const struct contender *contender = contest->contenders[c];

        fprintf(stderr, "%s: %u connections...\n", contender->name,
                contest->n_flows);
        aux[c] = contender->create(traffic, contest->n_flows);
        run(contender, aux[c], traffic, contest->n_flows); /* To warm up. */
    }
    for (int r = 0; r < RUNS; r++) {
        for (int c = 0; contest->contenders[c]; c++) {
            values[c][r] = run(contest->contenders[c], aux[c], traffic,
                               contest->n_flows);
        }
    }
    print_ns(contest, aux, values);
    if (contest == main_contest) {
        print_bytes(contest, aux);
    }
    for (int c = 0; contest->contenders[c]; c++) {
        contest->contenders[c]->destroy(aux[c]);
    }
}

/* Connections per second. */
static void
compare_new_flows(struct traffic *traffic, const struct contest *contest)
{
    const struct contender *engine = &engine_contender;
    const struct contender *tracker = &ovs_conntrack_dnat_contender;
    double engine_values[RUNS], tracker_values[RUNS];

    traffic->ipv6 = contest->ipv6;
    traffic->n_groups = contest->n_groups;
    for (int r = 0; r < RUNS; r++) {
        fprintf(stderr, "new connections: run %d of %d...\n", r + 1, RUNS);
        engine_values[r] = engine->new_flows_per_second(traffic,
                                                        contest->n_flows);
        tracker_values[r] = tracker->new_flows_per_second(traffic,
                                                          contest->n_flows);
    }
    print_ratio("new_flows_over_ovs_conntrack_dnat", contest, engine_values,
                tracker_values);
    print_median(engine->name, "new_flows_per_second", contest, "",
                 engine_values, "1/s");
    print_median(tracker->name, "new_flows_per_second", contest, "",
                 tracker_values, "1/s");
}

int
main(void)
{
    struct traffic traffic;

    traffic_init(&traffic);
    for (int i = 0; i < N_CONTESTS; i++) {
        compare(&traffic, &contests[i]);
    }
    compare_new_flows(&traffic, main_contest);
    traffic_destroy(&traffic);
    return 0;
}
