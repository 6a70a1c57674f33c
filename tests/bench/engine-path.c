/* The engine as a contender: parse, group, flow, encapsulation. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/engine.h"
#include "tests/bench/contender.h"

enum { N_SLOTS = 8192, N_HOSTS = 8 };
enum { OUTER_LEN = 62, UDP_PORT_OFS = 36 };

static const struct hash_key hash_key = { {
    UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0x2545f4914f6cdd1d)
} };

struct path {
    struct group *group;
    struct anycast_table *table;
    struct flow_table *flows;
    struct source_table *sources;
    struct engine_world world;
    struct engine_thread thread;
    uint64_t underlay_before, new_flows_before;
};

static struct group *
make_group(void)
{
    static uint16_t slots[N_SLOTS];
    struct group_endpoint endpoints[TRAFFIC_BACKENDS];
    struct group_spec spec = {
        .id = 1, .epoch = 1, .slots = slots, .n_slots = N_SLOTS,
        .endpoints = endpoints, .n_endpoints = TRAFFIC_BACKENDS,
    };

    for (int i = 0; i < TRAFFIC_BACKENDS; i++) {
        endpoints[i] = (struct group_endpoint) {
            .mac = { { 2, 0, 0, 0, 2, i } },
            .state = ENDPOINT_UP,
            .host = i % N_HOSTS,
            .weight = 100,
        };
    }
    for (int i = 0; i < N_SLOTS; i++) {
        slots[i] = i % TRAFFIC_BACKENDS;
    }
    group_key_init(&spec.key, TRAFFIC_VNI, inet_addr_from4(TRAFFIC_ADDRESS),
                   IPPROTO_NR_TCP, TRAFFIC_PORT, 0);
    return group_create(&spec, &hash_key);
}

static struct path *
make_path(uint32_t n_flows)
{
    struct path *path = calloc(1, sizeof *path);

    path->group = make_group();
    path->table = anycast_table_create(&hash_key, 1, 1, N_HOSTS);
    path->flows = flow_table_create(&(struct flow_table_size) {
        .n_flows4 = n_flows, .n_flows6 = 0,
    });
    path->sources = source_table_create(1024, &hash_key);
    if (!engine_thread_init(&path->thread, 1, &hash_key)) {
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
    if (!anycast_table_add(path->table, path->group)) {
        abort();
    }
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
    group_destroy(path->group);
    flow_table_destroy(path->flows);
    source_table_destroy(path->sources);
    engine_thread_uninit(&path->thread, free);
    free(path);
}

static void
process(void *path_, struct traffic *traffic, uint64_t now_us)
{
    struct path *path = path_;
    struct engine_packet packets[TRAFFIC_BATCH];

    path->underlay_before = path->thread.count.underlay;
    path->new_flows_before = path->thread.count.new_flows;
    for (size_t i = 0; i < TRAFFIC_RING; i += TRAFFIC_BATCH) {
        for (size_t j = 0; j < TRAFFIC_BATCH; j++) {
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
        engine_process(&path->world, &path->thread, now_us, packets,
                       TRAFFIC_BATCH);
    }
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
               uint32_t n_flows, uint8_t tcp_flags)
{
    uint64_t now_us = contender_now_us(), start;

    for (size_t i = 0; i < TRAFFIC_RING; i++) {
        traffic_write(traffic, i, (first + i) % n_flows, tcp_flags);
    }
    start = contender_cpu_ns();
    process(path, traffic, now_us);
    return contender_cpu_ns() - start;
}

static void *
create(struct traffic *traffic, uint32_t n_flows)
{
    struct path *path = make_path(n_flows);

    for (uint32_t first = 0; first < n_flows; first += TRAFFIC_RING) {
        send_each_once(path, traffic, first, n_flows, TCP_SYN_FLAG);
        send_each_once(path, traffic, first, n_flows, TCP_ACK_FLAG);
    }
    if (path->thread.count.new_flows != n_flows || path->thread.count.untracked) {
        fprintf(stderr, "engine: %llu of %u flows\n",
                (unsigned long long) path->thread.count.new_flows, n_flows);
        exit(1);
    }
    return path;
}

double
engine_new_flows_per_second(struct traffic *traffic, uint32_t n_flows)
{
    struct path *path = make_path(n_flows);
    uint64_t ns = 0;
    double n;

    for (uint32_t first = 0; first + TRAFFIC_RING <= n_flows;
         first += TRAFFIC_RING) {
        ns += send_each_once(path, traffic, first, n_flows, TCP_SYN_FLAG);
    }
    n = path->thread.count.new_flows;
    destroy(path);
    return n / ns * 1e9;
}

double
engine_bytes_per_flow(uint32_t n_flows)
{
    struct flow_table *flows = flow_table_create(&(struct flow_table_size) {
        .n_flows4 = n_flows,
    });
    struct flow_table_stats stats;

    flow_table_get_stats(flows, &stats);
    flow_table_destroy(flows);
    return (double) stats.memory / n_flows;
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
};
