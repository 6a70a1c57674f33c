/* What the mapping service costs: how fast a change reaches the hosts, how
 * large it is for each, and how much all of it weighs.  docs/protocol.md.
 *
 * A change's time is from the operator's request being sent (so that writing
 * it to disk counts) to the host's replica having taken it in. */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mapping/replica/replica.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "tests/bench/mapping-world.h"
#include "util.h"

enum {
    HOSTS         = 1000,
    REPLICAS      = 20,         /* Of them that times are taken of. */
    ENDPOINTS     = 10,         /* Of each group. */
    SMALL_GROUPS  = 10,
    SMALL_SLOTS   = 1024,
    CHANGES       = 100,        /* Timed in a run. */
    RUNS          = 3,
    BIG_SLOTS     = 65536,      /* The group that bytes are counted for, ... */
    BIG_ENDPOINTS = 100,        /* ... when it gets the last of these. */
    LARGE_GROUPS  = 10000,
    LARGE_VNIS    = 1000,
    RATE_CHANGES  = 1000,       /* For changes per second, ... */
    RATE_WEIGHT   = 200,        /* ... which are of weights, from this on. */
    WINDOW        = 64,         /* Requests under way, if more than one. */
    BIG_VNI       = 100000,
};

static void
print_result(const struct world *w, const char *metric, const char *more,
             double value, const char *unit)
{
    printf("{\"bench\":\"mapping\",\"metric\":\"%s\",\"store\":\"%.*s\"%s,"
           "\"value\":%.2f,\"unit\":\"%s\"}\n", metric,
           (int) strcspn(w->store, ":"), w->store, more, value, unit);
    fflush(stdout);
}

static int
compare_doubles(const void *a_, const void *b_)
{
    const double *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

/* Sorts 'x'. */
static double
quantile(double *x, size_t n, double q)
{
    qsort(x, n, sizeof *x, compare_doubles);
    return x[MIN(n - 1, (size_t) (q * n))];
}

static double
median(double *x, size_t n)
{
    return quantile(x, n, 0.5);
}

/* Records. */

static struct json *
host_record(size_t i)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "kind", "host");
    json_object_put_format(json, "name", "h%"PRIuSIZE, i);
    json_object_put_format(json, "vtep", "192.0.%"PRIuSIZE".%"PRIuSIZE,
                           i / 200 + 2, i % 200 + 1);
    return json;
}

static struct json *
group_record(uint32_t vni, size_t i, int slots)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "kind", "group");
    json_object_put(json, "vni", json_integer_create(vni));
    json_object_put_format(json, "name", "g%"PRIuSIZE, i);
    json_object_put_format(json, "address", "10.1.%"PRIuSIZE".%"PRIuSIZE,
                           i / 200, i % 200 + 1);
    json_object_put(json, "port", json_integer_create(80));
    json_object_put(json, "slots", json_integer_create(slots));
    return json;
}

static struct json *
endpoint_record(uint32_t vni, size_t group, size_t i)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "kind", "endpoint");
    json_object_put(json, "vni", json_integer_create(vni));
    json_object_put_format(json, "group", "g%"PRIuSIZE, group);
    json_object_put_format(json, "name", "e%"PRIuSIZE, i);
    json_object_put_format(json, "host", "h%"PRIuSIZE,
                           (group + i) % HOSTS);
    json_object_put_format(json, "mac", "02:00:00:00:%02x:%02x",
                           (unsigned int) i / 256, (unsigned int) i % 256);
    return json;
}

static struct json *
change(const char *op, struct json *record)
{
    struct json *ops = json_object_create(), *json = json_object_create();

    json_object_put_string(json, "op", op);
    json_object_put(json, "record", record);
    json_object_put(ops, "ops", json_array_create_1(json));
    return json_array_create_1(ops);
}

/* Adds an endpoint to a group, or removes it again. */
static struct json *
flip(uint32_t vni, size_t group, size_t i, bool add)
{
    return change(add ? "add" : "remove", endpoint_record(vni, group, i));
}

/* Changes a record of its own for as many 'i' as there are endpoints, so that
 * changes that are made together do not undo each other. */
static struct json *
weigh(size_t i)
{
    size_t n = SMALL_GROUPS * ENDPOINTS;
    struct json *record = endpoint_record(1, i % SMALL_GROUPS,
                                          i / SMALL_GROUPS % ENDPOINTS);

    json_object_put(record, "weight",
                    json_integer_create(RATE_WEIGHT + i / n));
    return change("set", record);
}

static void
load(struct world *w, struct json *records)
{
    struct json *json = json_object_create();

    json_object_put(json, "records", records);
    world_call(w, "load", json_array_create_1(json));
}

static void
add_group(struct json *records, uint32_t vni, size_t i, int slots, int n)
{
    json_array_add(records, group_record(vni, i, slots));
    for (int e = 0; e < n; e++) {
        json_array_add(records, endpoint_record(vni, i, e));
    }
}

static void
load_small(struct world *w)
{
    struct json *records = json_array_create_empty();

    for (size_t i = 0; i < HOSTS; i++) {
        json_array_add(records, host_record(i));
    }
    for (size_t i = 0; i < SMALL_GROUPS; i++) {
        add_group(records, 1, i, SMALL_SLOTS, ENDPOINTS);
    }
    add_group(records, BIG_VNI, 0, BIG_SLOTS, BIG_ENDPOINTS - 1);
    load(w, records);
}

static uint32_t
large_vni(size_t i)
{
    return 1000 + i % LARGE_VNIS;
}

static void
load_large(struct world *w)
{
    struct json *records = json_array_create_empty();

    for (size_t i = 0; i < LARGE_GROUPS; i++) {
        add_group(records, large_vni(i), i, SMALL_SLOTS, ENDPOINTS);
    }
    load(w, records);
}

static uint32_t
first_vni(size_t i OVS_UNUSED)
{
    return 1;
}

static uint32_t
big_vni(size_t i OVS_UNUSED)
{
    return BIG_VNI;
}

static uint32_t
all_vnis(size_t i OVS_UNUSED)
{
    return 0;
}

/* Benchmarks. */

static bool
is_wanted(const char *only, const char *name)
{
    return !only || !strcmp(only, name);
}

/* Fills 'ms' with the times of CHANGES changes to each replica, and returns
 * how many these are. */
static size_t
propagate(struct world *w, double *ms)
{
    size_t n = 0;

    for (size_t i = 0; i < CHANGES; i++) {
        int64_t start = world_now_us();

        world_wait_applied(w, world_call(w, "transact",
                                         flip(1, i / 2 % SMALL_GROUPS,
                                              ENDPOINTS, i % 2 == 0)));
        for (size_t j = 0; j < w->n_subscribers; j++) {
            if (w->subscribers[j].has_replica) {
                ms[n++] = (w->subscribers[j].applied_us - start) / 1e3;
            }
        }
    }
    return n;
}

static void
bench_propagation(struct world *w, size_t n)
{
    double *ms = xmalloc(CHANGES * n * sizeof *ms);
    double p50[RUNS], p99[RUNS];
    char more[64];

    world_subscribe(w, n, REPLICAS, true, first_vni);
    for (int run = 0; run < RUNS; run++) {
        size_t n_times = propagate(w, ms);

        p50[run] = quantile(ms, n_times, 0.50);
        p99[run] = quantile(ms, n_times, 0.99);
    }
    snprintf(more, sizeof more, ",\"subscribers\":%"PRIuSIZE, n);
    print_result(w, "propagation_ms_p50", more, median(p50, RUNS), "ms");
    print_result(w, "propagation_ms_p99", more, median(p99, RUNS), "ms");
    free(ms);
}

static void
bench_bytes(struct world *w)
{
    double bytes[RUNS];

    world_subscribe(w, 1, 1, false, big_vni);
    for (int run = 0; run < RUNS; run++) {
        uint64_t before = w->subscribers[0].bytes;

        world_wait_applied(w, world_call(w, "transact",
                                         flip(BIG_VNI, 0, BIG_ENDPOINTS - 1,
                                              true)));
        bytes[run] = w->subscribers[0].bytes - before;
        world_wait_applied(w, world_call(w, "transact",
                                         flip(BIG_VNI, 0, BIG_ENDPOINTS - 1,
                                              false)));
    }
    print_result(w, "bytes_per_change", ",\"slots\":65536,\"endpoints\":100",
                 median(bytes, RUNS), "bytes");
}

static void
bench_rate(struct world *w, unsigned int window, size_t n)
{
    unsigned int replies = w->n_replies, changes = w->n_changes;
    static size_t next;         /* No two runs change to the same. */
    int64_t start;
    char more[64];

    world_subscribe(w, n, REPLICAS, true, first_vni);
    start = world_now_us();
    for (unsigned int i = 0; i < RATE_CHANGES; i++) {
        if (i >= window) {
            world_wait_replies(w, replies + i + 1 - window);
        }
        world_send(w, "transact", weigh(next++));
    }
    world_wait_replies(w, replies + RATE_CHANGES);
    world_wait_applied(w, w->replied);
    ovs_assert(w->n_changes - changes == RATE_CHANGES);
    snprintf(more, sizeof more, ",\"window\":%u,\"subscribers\":%"PRIuSIZE,
             window, n);
    print_result(w, "changes_per_second", more,
                 RATE_CHANGES * 1e6 / (world_now_us() - start), "1/s");
}

/* mapd is killed and started again: until its hosts have the next change. */
static void
bench_recovery(struct world *w)
{
    double ms[RUNS];

    world_subscribe(w, 100, REPLICAS, true, first_vni);
    for (int run = 0; run < RUNS; run++) {
        int64_t start = world_now_us();

        world_kill_mapd(w);
        world_start_mapd(w);
        world_connect_operator(w);
        world_resubscribe(w);
        world_wait_applied(w, world_call(w, "transact",
                                         flip(1, 0, ENDPOINTS, run % 2 == 0)));
        ms[run] = (world_now_us() - start) / 1e3;
    }
    print_result(w, "recovery_ms", ",\"killed\":\"mapd\",\"subscribers\":100",
                 median(ms, RUNS), "ms");
}

static void
bench_cold_start(struct world *w)
{
    int64_t start;

    world_subscribe(w, HOSTS, REPLICAS, true, large_vni);
    world_kill_mapd(w);
    start = world_now_us();
    world_start_mapd(w);
    world_connect_operator(w);
    world_resubscribe(w);
    print_result(w, "cold_start_seconds", ",\"groups\":10000,\"hosts\":1000",
                 (world_now_us() - start) / 1e6, "s");
}

/* One host that sees all, in a process of its own. */
static void
bench_host_resident(const struct world *w)
{
    pid_t child;

    fflush(stdout);
    child = fork();
    if (!child) {
        execl("/proc/self/exe", "mapping", "--host", w->store, w->socket,
              (char *) NULL);
        _exit(127);
    }
    waitpid(child, NULL, 0);
}

/* That process. */
static void
be_host(const char *store, const char *socket)
{
    struct world w;

    world_init(&w, store);
    ovs_strlcpy(w.socket, socket, sizeof w.socket);
    world_subscribe(&w, 1, 1, false, all_vnis);
    print_result(&w, "resident_bytes",
                 ",\"process\":\"host\",\"groups\":10000",
                 world_resident(getpid()), "bytes");
}

/* Benchmarks with few groups, then those with many. */

static void
bench_few(struct world *w, const char *only)
{
    static const size_t crowds[] = { 1, 100, HOSTS };

    load_small(w);
    for (size_t i = 0; i < ARRAY_SIZE(crowds); i++) {
        if (is_wanted(only, "propagation")) {
            bench_propagation(w, crowds[i]);
        }
    }
    if (is_wanted(only, "bytes")) {
        bench_bytes(w);
    }
    if (is_wanted(only, "rate")) {
        bench_rate(w, 1, 100);
        bench_rate(w, WINDOW, 100);
    }
    if (is_wanted(only, "recovery")) {
        bench_recovery(w);
    }
    world_unsubscribe(w);
}

static void
bench_many(struct world *w)
{
    load_large(w);
    bench_cold_start(w);
    world_unsubscribe(w);
    print_result(w, "resident_bytes",
                 ",\"process\":\"mapd\",\"groups\":10000",
                 world_resident(w->mapd), "bytes");
    bench_host_resident(w);
}

/* "mapping [STORE [BENCHMARK]]": by default all of them. */
int
main(int argc, char *argv[])
{
    struct rlimit files = { .rlim_cur = 4096, .rlim_max = 4096 };
    const char *only = argc > 2 ? argv[2] : NULL;
    struct world w;

    setrlimit(RLIMIT_NOFILE, &files);
    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_ERR);
    if (argc == 4 && !strcmp(argv[1], "--host")) {
        be_host(argv[2], argv[3]);
        return 0;
    }
    world_start(&w, argc > 1 ? argv[1] : "sqlite");
    bench_few(&w, only);
    if (is_wanted(only, "many")) {
        bench_many(&w);
    }
    world_stop(&w);
    return 0;
}
