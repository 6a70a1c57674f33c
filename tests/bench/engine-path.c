/* The engine as a contender: parse, group, flow, encapsulation. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/engine.h"
#include "anycast/load.h"
#include "tests/bench/contender.h"

enum { N_SLOTS = 1024, N_HOSTS = 8 };
enum { OUTER_LEN = 62, UDP_PORT_OFS = 36 };
enum { MAX_UNTRACKED_PART = 1000000 };

static const struct hash_key hash_key = { {
    UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0x2545f4914f6cdd1d)
} };

struct path {
    struct group **groups;
    struct group_load *group_loads;
    struct endpoint_load *loads; /* Of all groups' endpoints. */
    uint32_t n_groups, n_flows;
    struct anycast_table *table;
    struct flow_table *flows;
    struct source_table *sources;
    struct engine_world world;
    struct engine_thread thread;
    uint64_t underlay_before, new_flows_before;
};

static struct group *
make_group(const struct path *path, const struct traffic *traffic,
           uint32_t number, enum group_algorithm algorithm)
{
    static uint16_t slots[N_SLOTS];
    struct group_endpoint endpoints[TRAFFIC_BACKENDS];
    struct group_spec spec = {
        .id = number + 1, .epoch = 1, .algorithm = algorithm,
        .slots = slots, .n_slots = N_SLOTS,
        .endpoints = endpoints, .n_endpoints = TRAFFIC_BACKENDS,
        .load = &path->group_loads[number],
    };

    for (int i = 0; i < TRAFFIC_BACKENDS; i++) {
        endpoints[i] = (struct group_endpoint) {
            .mac = { { 2, 0, 0, 0, 2, i } },
            .state = ENDPOINT_UP,
            .host = i % N_HOSTS,
            .weight = 100,
            .load = &path->loads[number * TRAFFIC_BACKENDS + i],
        };
    }
    for (int i = 0; i < N_SLOTS; i++) {
        slots[i] = i % TRAFFIC_BACKENDS;
    }
    group_key_init(&spec.key, TRAFFIC_VNI, traffic_address(traffic, number),
                   IPPROTO_NR_TCP, TRAFFIC_PORT, 0);
    return group_create(&spec, &hash_key);
}

/* 'size' is a number of cache lines. */
static void *
zeros(size_t size)
{
    return memset(aligned_alloc(64, size), 0, size);
}

static void
add_groups(struct path *path, const struct traffic *traffic,
           enum group_algorithm algorithm)
{
    path->n_groups = traffic->n_groups;
    path->groups = calloc(path->n_groups, sizeof *path->groups);
    path->group_loads = zeros(path->n_groups * sizeof *path->group_loads);
    path->loads = zeros(path->n_groups * TRAFFIC_BACKENDS
                        * sizeof *path->loads);
    for (uint32_t i = 0; i < path->n_groups * TRAFFIC_BACKENDS; i++) {
        load_init(&path->loads[i]);
    }
    for (uint32_t i = 0; i < path->n_groups; i++) {
        path->groups[i] = make_group(path, traffic, i, algorithm);
        if (!anycast_table_add(path->table, path->groups[i])) {
            abort();
        }
    }
}

static struct path *
make_path(const struct traffic *traffic, uint32_t n_flows,
          enum group_algorithm algorithm)
{
    struct path *path = calloc(1, sizeof *path);

    path->n_flows = n_flows;
    path->table = anycast_table_create(&hash_key, 1, traffic->n_groups,
                                       N_HOSTS);
    path->flows = flow_table_create(&(struct flow_table_size) {
        .n_flows4 = traffic->ipv6 ? 0 : n_flows,
        .n_flows6 = traffic->ipv6 ? n_flows : 0,
    });
    path->sources = source_table_create(1024, &hash_key);
    if (!path->flows || !engine_thread_init(&path->thread, 1, &hash_key)) {
        abort();
    }
    for (int i = 0; i < N_HOSTS; i++) {
        struct tunnel tunnel;
        struct tunnel_spec spec = {
            .type = TUNNEL_GENEVE,
            .src_ip = inet_addr_from4(0xc0000201),
            .dst_ip = inet_addr_from4(0xc0000202 + i),
            .ttl = 64, .mtu = 1500,
        };

        tunnel_init(&tunnel, &spec);
        anycast_table_set_tunnel(path->table, i, &tunnel);
    }
    add_groups(path, traffic, algorithm);
    path->world = (struct engine_world) {
        .table = path->table, .flows = path->flows, .sources = path->sources,
    };
    return path;
}

static void
destroy(void *path_)
{
    struct path *path = path_;

    anycast_table_destroy(path->table);
    for (uint32_t i = 0; i < path->n_groups; i++) {
        group_destroy(path->groups[i]);
    }
    free(path->groups);
    free(path->group_loads);
    free(path->loads);
    flow_table_destroy(path->flows);
    source_table_destroy(path->sources);
    engine_thread_uninit(&path->thread, free);
    free(path);
}

/* The first 'n' packets of the ring. */
static void
process_some(struct path *path, struct traffic *traffic, size_t n,
             uint64_t now_us)
{
    struct engine_packet packets[TRAFFIC_BATCH];

    for (size_t i = 0; i < n; i += TRAFFIC_BATCH) {
        size_t batch = n - i < TRAFFIC_BATCH ? n - i : TRAFFIC_BATCH;

        for (size_t j = 0; j < batch; j++) {
            packets[j].data = traffic_frame(traffic, i + j);
            packets[j].size = traffic->size[i + j];
            packets[j].headroom = TRAFFIC_HEADROOM;
            packets[j].vni = TRAFFIC_VNI;
            packets[j].tailroom = 0;
            packets[j].arrival = NULL;
            packets[j].cookie = NULL;
            packets[j].partial_csum = false;
            packets[j].tso = false;
        }
        engine_process(&path->world, &path->thread, now_us, packets, batch);
    }
}

static void
process(void *path_, struct traffic *traffic, uint64_t now_us)
{
    struct path *path = path_;

    path->underlay_before = path->thread.count.underlay;
    path->new_flows_before = path->thread.count.new_flows;
    process_some(path, traffic, TRAFFIC_RING, now_us);
}

/* All were known, and are encapsulated. */
static void
check(void *path_, struct traffic *traffic)
{
    struct path *path = path_;

    if (path->thread.count.underlay != path->underlay_before + TRAFFIC_RING
        || path->thread.count.new_flows != path->new_flows_before) {
        fprintf(stderr, "engine: packets got lost, or their flows\n");
        exit(1);
    }
    for (size_t i = 0; i < TRAFFIC_RING; i++) {
        uint8_t *outer = traffic_frame(traffic, i) - OUTER_LEN;

        if (outer[UDP_PORT_OFS] != GENEVE_UDP_PORT >> 8
            || outer[UDP_PORT_OFS + 1] != (GENEVE_UDP_PORT & 0xff)) {
            fprintf(stderr, "engine: packet %zu was not sent\n", i);
            exit(1);
        }
        outer[UDP_PORT_OFS] = 0; /* Not to be found again the next time. */
    }
}

/* Has as many flows as the ring holds, from 'first' on, send one packet each
 * with 'tcp_flags'.  Returns nanoseconds. */
static uint64_t
send_each_once(struct path *path, struct traffic *traffic, uint32_t first,
               uint8_t tcp_flags)
{
    uint32_t left = path->n_flows - first;
    uint32_t n = left < TRAFFIC_RING ? left : TRAFFIC_RING;
    uint64_t now_us = contender_now_us(), start;

    for (size_t i = 0; i < n; i++) {
        traffic_write(traffic, i, first + i, tcp_flags);
    }
    start = contender_cpu_ns();
    process_some(path, traffic, n, now_us);
    return contender_cpu_ns() - start;
}

static void *
create(struct traffic *traffic, uint32_t n_flows)
{
    struct path *path = make_path(traffic, n_flows, ALGORITHM_WEIGHTED);

    for (uint32_t first = 0; first < n_flows; first += TRAFFIC_RING) {
        send_each_once(path, traffic, first, TCP_SYN_FLAG);
        send_each_once(path, traffic, first, TCP_ACK_FLAG);
    }

    /* At the very end the table may have no room for a SYN, which is weak; it
     * has for what follows it. */
    const struct engine_counters *count = &path->thread.count;
    if (count->new_flows != n_flows + count->untracked
        || count->untracked > n_flows / MAX_UNTRACKED_PART) {
        fprintf(stderr, "engine: %llu of %u flows, %llu untracked\n",
                (unsigned long long) count->new_flows, n_flows,
                (unsigned long long) count->untracked);
        exit(1);
    }
    return path;
}

/* There is nothing to be known of connections. */
static void *
create_hash(struct traffic *traffic, uint32_t n_flows)
{
    return make_path(traffic, n_flows, ALGORITHM_HASH);
}

static double
new_flows_per_second(struct traffic *traffic, uint32_t n_flows)
{
    struct path *path = make_path(traffic, n_flows, ALGORITHM_WEIGHTED);
    uint64_t ns = 0;
    double n;

    for (uint32_t first = 0; first < n_flows; first += TRAFFIC_RING) {
        ns += send_each_once(path, traffic, first, TCP_SYN_FLAG);
    }
    n = path->thread.count.new_flows;
    destroy(path);
    return n / ns * 1e9;
}

/* The table holds all of them, or create() would have said so, and is then as
 * full as it is made for. */
static double
bytes_per_flow(void *path_)
{
    const struct path *path = path_;
    struct flow_table_stats stats;

    flow_table_get_stats(path->flows, &stats);
    return (double) stats.memory / path->n_flows;
}

/* True if the kernel says that most of the flow table is on huge pages. */
static bool
is_huge(void *path_)
{
    const struct path *path = path_;
    uintptr_t begin = (uintptr_t) path->flows->memory, from, to;
    size_t size = path->flows->memory_size, huge_kib = 0, n;
    bool inside = false;
    FILE *smaps = fopen("/proc/self/smaps", "r");
    char line[256];

    while (smaps && fgets(line, sizeof line, smaps)) {
        if (sscanf(line, "%"SCNxPTR"-%"SCNxPTR" ", &from, &to) == 2) {
            inside = from < begin + size && to > begin;
        } else if (inside
                   && sscanf(line, "AnonHugePages: %zu kB", &n) == 1) {
            huge_kib += n;
        }
    }
    if (smaps) {
        fclose(smaps);
    }
    return huge_kib > size / 1024 / 10 * 9;
}

static void
prepare(void *path, struct traffic *traffic)
{
    (void) path;
    (void) traffic;
}

const struct contender engine_contender = {
    .name = "engine",
    .create = create,
    .destroy = destroy,
    .prepare = prepare,
    .process = process,
    .check = check,
    .bytes_per_flow = bytes_per_flow,
    .is_huge = is_huge,
    .new_flows_per_second = new_flows_per_second,
};

const struct contender engine_hash_contender = {
    .name = "engine",
    .create = create_hash,
    .destroy = destroy,
    .prepare = prepare,
    .process = process,
    .check = check,
};
