/* The long run: for every algorithm a million flows over a thousand planned
 * changes, none of which may break any.  One JSON line for each algorithm.
 *
 *     long-run [--seed N] [--flows N] [--changes N] [--algorithm NAME]
 *              [--trace FLOW]
 *
 * '--trace' tells the story of a flow, on standard error. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "anycast/pick.h"
#include "tests/cluster/cluster.h"

enum {
    /* Of a thousand flows that may be excused: see excuses.c. */
    MAX_FORGOTTEN = 1, MAX_UNTOLD = 10,
};

struct arguments {
    struct cluster_options options;
    int first, last;            /* Algorithms. */
};

static const struct option long_options[] = {
    { "seed", required_argument, NULL, 's' },
    { "flows", required_argument, NULL, 'f' },
    { "changes", required_argument, NULL, 'c' },
    { "algorithm", required_argument, NULL, 'a' },
    { "trace", required_argument, NULL, 't' },
    { NULL, 0, NULL, 0 }
};

static void
set_defaults(struct cluster_options *o)
{
    *o = cluster_defaults;
    o->n_flows = 1000000;
    o->n_changes = 1000;
    o->change_ms = 500;
    o->update_ms = 300;
    o->max_packets = 8;
    o->n_clients = 250;
    o->n_ports = 4096;          /* So none is used twice. */
    o->flow_table = 500000;
    o->story = stderr;
}

static uint64_t
parse_number(const char *name, const char *text, uint64_t max)
{
    char *end;

    errno = 0;
    uint64_t x = strtoull(text, &end, 10);
    if (errno || *end || end == text || *text == '-' || !x || x > max) {
        fprintf(stderr, "long-run: --%s is '%s'; give a number from 1 to %"
                PRIu64 "\n", name, text, max);
        exit(2);
    }
    return x;
}

static int
parse_algorithm(const char *text)
{
    for (int a = 0; a < N_ALGORITHMS; a++) {
        if (!strcmp(text, pick_algorithm_name(a))) {
            return a;
        }
    }
    fprintf(stderr, "long-run: --algorithm is '%s'; there are:", text);
    for (int a = 0; a < N_ALGORITHMS; a++) {
        fprintf(stderr, " %s", pick_algorithm_name(a));
    }
    fprintf(stderr, "\n");
    exit(2);
}

static void
parse_arguments(int argc, char **argv, struct arguments *args)
{
    struct cluster_options *o = &args->options;
    int c;

    set_defaults(o);
    args->first = 0;
    args->last = N_ALGORITHMS - 1;
    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (c) {
        case 's':
            o->seed = parse_number("seed", optarg, UINT32_MAX);
            break;
        case 'f':
            o->n_flows = parse_number("flows", optarg, UINT32_MAX);
            break;
        case 'c':
            o->n_changes = parse_number("changes", optarg, 1000000);
            break;
        case 'a':
            args->first = args->last = parse_algorithm(optarg);
            break;
        case 't':
            o->trace = parse_number("trace", optarg, UINT32_MAX);
            break;
        default:
            exit(2);
        }
    }
    if (optind < argc || (o->trace && args->first != args->last)) {
        fprintf(stderr, "long-run: %s\n", optind < argc
                ? "there are no arguments but options"
                : "--trace wants one --algorithm");
        exit(2);
    }
}

/* NULL, or what is wrong. */
static const char *
find_fault(const struct cluster_options *o, const struct cluster_result *r)
{
    if (r->complaint[0]) {
        return r->complaint;
    }
    if (r->broken) {
        return "flows are broken";
    }
    if (r->flows < o->n_flows || r->changes < o->n_changes) {
        return "there were fewer flows or changes than asked for";
    }
    if (r->finished + r->forgotten + r->untold + r->excused != r->flows) {
        return "some flows have no end";
    }
    if (r->excused || r->forgotten * 1000 > r->flows * MAX_FORGOTTEN
        || r->untold * 1000 > r->flows * MAX_UNTOLD) {
        return "too many flows are excused";
    }
    return NULL;
}

static bool
run(const struct cluster_options *o, enum group_algorithm algorithm)
{
    struct cluster_result r;
    struct timespec begin, end;
    const char *fault;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    cluster_run(o, &r);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("{\"run\":\"cluster-long\",\"algorithm\":\"%s\",\"seed\":%" PRIu64
           ",\"flows\":%" PRIu64 ",\"changes\":%" PRIu64 ",\"broken\":%" PRIu64
           ",\"forgotten\":%" PRIu64 ",\"untold\":%" PRIu64 ",\"max_open\":%"
           PRIu32 ",\"packets\":%" PRIu64 ",\"forwarded\":%" PRIu64
           ",\"hints\":%" PRIu64 ",\"repicked\":%" PRIu64 ",\"handovers\":%"
           PRIu64 ",\"max_trips\":%" PRIu32 ",\"seconds\":%.1f}\n",
           pick_algorithm_name(algorithm), o->seed, r.flows, r.changes,
           r.broken, r.forgotten, r.untold, r.max_open, r.packets,
           r.forwarded, r.hints, r.repicked, r.handovers, r.max_trips,
           end.tv_sec - begin.tv_sec + (end.tv_nsec - begin.tv_nsec) / 1e9);
    fflush(stdout);
    fault = find_fault(o, &r);
    if (fault) {
        fprintf(stderr, "long-run: %s: %s\n", pick_algorithm_name(algorithm),
                fault);
    }
    if (r.first_broken) {
        fprintf(stderr, "long-run: its story: the same with --algorithm %s "
                "--trace %" PRIu32 "\n", pick_algorithm_name(algorithm),
                r.first_broken);
    }
    return !fault;
}

int
main(int argc, char **argv)
{
    struct arguments args;
    bool ok = true;

    parse_arguments(argc, argv, &args);
    for (int a = args.first; a <= args.last; a++) {
        for (int g = 0; g < MODEL_GROUPS; g++) {
            args.options.algorithms[g] = a;
        }
        ok &= run(&args.options, a);
    }
    return !ok;
}
