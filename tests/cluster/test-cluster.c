/* A whole deployment under changes and faults, with many seeds: no planned
 * change breaks a flow, and what fate does breaks no others than it must.
 *
 * What cluster_run() complains about besides flows: a frame that goes round or
 * is wrong, a packet to where no endpoint is meant, a flow on two endpoints,
 * and books that do not balance (packets in and out, open flows and entries).
 *
 *     test-cluster [PERCENT [SEED]]
 *
 * runs each case with PERCENT (100) of its seeds, from SEED (1) on. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/pick.h"
#include "tests/cluster/cluster.h"

enum {
    N_SLOT_ALGORITHMS = ALGORITHM_HASH + 1, /* Those that go by slots. */
    UNUSED_PORTS = 1024,        /* So many that none is used twice. */
    STORY_LINES  = 60,
    LINE_MAX_LEN = 240,
};

/* Of a million flows, those that may go the way of an excuse. */
struct allowance {
    uint64_t forgotten, untold, excused;
};

static unsigned int percent = 100, first_seed = 1;

/* What differs from the defaults. */
static void
print_options(const struct cluster_options *o)
{
    print_error("seed %" PRIu64 ", %s, %" PRIu64 " flows, %" PRIu32
                " changes, %" PRIu32 " ports, %" PRIu32 " %% UDP%s%s:",
                o->seed, pick_algorithm_name(o->algorithms[0]), o->n_flows,
                o->n_changes, o->n_ports, o->udp_percent,
                o->tight ? ", tight" : "",
                o->source_affinity ? ", source affinity" : "");
    for (int i = 0; i < N_CHANGES; i++) {
        if (o->weights[i]) {
            print_error(" %s %" PRIu32, cluster_change_name(i), o->weights[i]);
        }
    }
    print_error("\n");
}

/* The last lines of the story of flow 'number'. */
static void
print_story(const struct cluster_options *options, uint32_t number)
{
    static char lines[STORY_LINES][LINE_MAX_LEN];
    struct cluster_options o = *options;
    struct cluster_result result;
    unsigned int n = 0;

    o.trace = number;
    o.story = tmpfile();
    if (!o.story) {
        return;
    }
    cluster_run(&o, &result);
    rewind(o.story);
    while (fgets(lines[n % STORY_LINES], LINE_MAX_LEN, o.story)) {
        n++;
    }
    for (unsigned int i = n > STORY_LINES ? n - STORY_LINES : 0; i < n; i++) {
        print_error("%s", lines[i % STORY_LINES]);
    }
    fclose(o.story);
}

static bool
exceeds(uint64_t n, uint64_t flows, uint64_t per_million)
{
    return n * 1000000 > flows * per_million;
}

static void
judge(const struct cluster_options *o, const struct cluster_result *r)
{
    if (r->broken || r->complaint[0]) {
        print_error("%s%s%" PRIu64 " of %" PRIu64 " flows are broken\n",
                    r->complaint, r->complaint[0] ? "; " : "", r->broken,
                    r->flows);
        print_options(o);
        if (r->first_broken) {
            print_story(o, r->first_broken);
        }
        fail();
    }
    /* It would be no proof otherwise. */
    assert_true(r->flows >= o->n_flows && r->changes >= o->n_changes);
    assert_true(r->packets > 2 * r->flows);
    assert_int_equal(r->finished + r->forgotten + r->untold + r->excused,
                     r->flows);
}

static void
add(struct cluster_result *sum, const struct cluster_result *r)
{
    sum->flows += r->flows;
    sum->finished += r->finished;
    sum->forgotten += r->forgotten;
    sum->untold += r->untold;
    sum->excused += r->excused;
    sum->forwarded += r->forwarded;
    sum->hints += r->hints;
    sum->handovers += r->handovers;
    for (int i = 0; i < N_CHANGES; i++) {
        sum->made[i] += r->made[i];
    }
}

/* Runs the first 'n_algorithms' with 'n' seeds, more or less. */
static struct cluster_result
run_seeds(const struct cluster_options *options, int n_algorithms,
          unsigned int n, const struct allowance *allowance)
{
    struct cluster_result r, sum = { .flows = 0 };

    n = (n * percent + 99) / 100;
    for (unsigned int i = 0; i < n; i++) {
        for (int a = 0; a < n_algorithms; a++) {
            struct cluster_options o = *options;

            o.seed = first_seed + i;
            for (int g = 0; g < MODEL_GROUPS; g++) {
                o.algorithms[g] = a;
            }
            cluster_run(&o, &r);
            judge(&o, &r);
            add(&sum, &r);
        }
    }
    print_message("  %u seeds: %" PRIu64 " flows, %" PRIu64 " forgotten, %"
                  PRIu64 " untold, %" PRIu64 " excused\n", n, sum.flows,
                  sum.forgotten, sum.untold, sum.excused);
    assert_false(exceeds(sum.forgotten, sum.flows, allowance->forgotten));
    assert_false(exceeds(sum.untold, sum.flows, allowance->untold));
    assert_false(exceeds(sum.excused, sum.flows, allowance->excused));
    for (int i = 0; i < N_CHANGES; i++) {
        assert_true(!options->weights[i] || sum.made[i]);
    }
    return sum;
}

static void
only(struct cluster_options *o, enum cluster_change change, uint32_t weight)
{
    memset(&o->weights[CHANGE_RESTART], 0,
           (N_CHANGES - CHANGE_RESTART) * sizeof *o->weights);
    o->weights[change] = weight;
}

static void
test_no_planned_change_breaks_a_flow(void **state)
{
    (void) state;
    const struct allowance allowance = { .forgotten = 50, .untold = 2000 };
    struct cluster_options o = cluster_defaults;

    o.n_ports = UNUSED_PORTS;
    o.n_changes = 100;
    struct cluster_result r = run_seeds(&o, N_ALGORITHMS, 12, &allowance);
    assert_true(r.forwarded && r.hints && r.handovers);
}

/* Clients stay where they are, and use a port again after a minute. */
static void
test_ports_are_used_again(void **state)
{
    (void) state;
    const struct allowance allowance = { .forgotten = 50 };
    struct cluster_options o = cluster_defaults;

    o.n_clients = 16;
    o.n_ports = 40;
    o.udp_percent = 10;
    o.n_changes = 200;
    o.weights[CHANGE_MOVE_CLIENT] = 0;
    run_seeds(&o, N_ALGORITHMS, 4, &allowance);
}

/* Long packets in mid-flow go without a line of previous owners. */
static void
test_tunnels_may_be_tight(void **state)
{
    (void) state;
    const struct allowance allowance = { .forgotten = 50, .untold = 50 };
    struct cluster_options o = cluster_defaults;

    o.n_ports = UNUSED_PORTS;
    o.n_changes = 100;
    o.tight = true;
    struct cluster_result r = run_seeds(&o, N_SLOT_ALGORITHMS, 16, &allowance);
    assert_true(r.forwarded && r.hints);
}

static void
test_sources_with_affinity_stay(void **state)
{
    (void) state;
    const struct allowance allowance = { .forgotten = 50 };
    struct cluster_options o = cluster_defaults;

    o.n_ports = UNUSED_PORTS;
    o.source_affinity = true;
    o.ramp_s = 10;
    o.weights[CHANGE_MOVE_CLIENT] = 0;
    run_seeds(&o, N_ALGORITHMS, 5, &allowance);
}

/* In groups that go by slots, each flow is known at two hosts.  (Elsewhere the
 * flow file has to be there.) */
static void
test_a_switch_may_lose_its_flows(void **state)
{
    (void) state;
    const struct allowance allowance = { .forgotten = 1000 };
    struct cluster_options o = cluster_defaults;

    o.n_ports = UNUSED_PORTS;
    o.udp_percent = 0;
    o.n_changes = 100;
    only(&o, CHANGE_FORGET, 10);
    run_seeds(&o, N_SLOT_ALGORITHMS, 16, &allowance);
}

/* The VMs of endpoints, that is; where the client's host keeps flows. */
static void
test_endpoints_may_move(void **state)
{
    (void) state;
    const struct allowance allowance = { .forgotten = 200 };
    struct cluster_options o = cluster_defaults;

    o.n_ports = UNUSED_PORTS;
    o.udp_percent = 0;
    o.n_changes = 100;
    only(&o, CHANGE_MOVE_ENDPOINT, 20);
    run_seeds(&o, 1, 12, &allowance);
}

static void
test_a_host_takes_only_its_own_flows_with_it(void **state)
{
    (void) state;
    const struct allowance allowance = { .forgotten = 200,
                                         .excused = 150000 };
    struct cluster_options o = cluster_defaults;

    o.n_ports = UNUSED_PORTS;
    o.udp_percent = 0;
    o.weights[CHANGE_DEATH] = 10;
    struct cluster_result r = run_seeds(&o, N_ALGORITHMS, 6, &allowance);
    assert_true(r.excused);
}

/* The mapping service, cut off from a host for a while, takes it for dead. */
static void
test_a_host_that_seems_dead_keeps_its_flows(void **state)
{
    (void) state;
    const struct allowance allowance = { .forgotten = 200 };
    struct cluster_options o = cluster_defaults;

    o.n_ports = UNUSED_PORTS;
    o.udp_percent = 0;
    only(&o, CHANGE_PARTITION, 10);
    run_seeds(&o, N_ALGORITHMS, 6, &allowance);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_planned_change_breaks_a_flow),
        cmocka_unit_test(test_ports_are_used_again),
        cmocka_unit_test(test_tunnels_may_be_tight),
        cmocka_unit_test(test_sources_with_affinity_stay),
        cmocka_unit_test(test_a_switch_may_lose_its_flows),
        cmocka_unit_test(test_endpoints_may_move),
        cmocka_unit_test(test_a_host_takes_only_its_own_flows_with_it),
        cmocka_unit_test(test_a_host_that_seems_dead_keeps_its_flows),
    };

    if (argc > 1) {
        percent = atoi(argv[1]);
    }
    if (argc > 2) {
        first_seed = atoi(argv[2]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
