/* The floor: a loop that does only what no flow-tracking encapsulation can do
 * without.  In the first pass of a batch, a hash of the addresses and ports
 * read from the packet, and the prefetch of the cache line that they lead to;
 * in the second, the comparison of the line's four keys, the copy of a
 * 62-byte header for the host found there in front of the packet, and the
 * patches of the two lengths in it.
 *
 * The packets, their buffers and the batches are the engine's, and so are the
 * flows and how full the table is.  Left out is all the rest: checks of what
 * the packet is and of its checksums, tenants and groups, flows in second
 * buckets (who finds his bucket full is left out when the table is filled, and
 * his packets go to any host), timeouts, endpoints and their states, the TTL,
 * the inner address, checksums, source port and context of the outer header,
 * counters, and other threads. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "anycast/flow-hash.h"
#include "encap/inet.h"
#include "encap/tunnel.h"
#include "tests/bench/contender.h"

enum {
    WAYS = 4,
    N_HOSTS = 8,                /* As many as the engine's. */
    PREFETCH_AHEAD = 4,         /* Packets, as in the engine. */
    HUGE_PAGE = 2 << 20,
    ADDRESSES_OFS = 26,         /* In the frame. */
    PORTS_OFS = 34,
    MIN_PLACED_PERCENT = 80,    /* Of the flows. */
};

struct entry {
    uint64_t key;               /* Source address and ports, as they lie in the
                                 * packet. */
    uint64_t host;
};

struct bucket {
    struct entry ways[WAYS];
};
static_assert(sizeof(struct bucket) == 64, "a cache line");

/* A packet between the passes. */
struct floor_packet {
    uint8_t *data;
    uint32_t size;
    uint64_t key;
    const struct bucket *bucket;
};

struct floor_table {
    struct bucket *buckets;
    size_t n_buckets;
    struct tunnel_geneve4 headers[N_HOSTS];
    uint32_t n_flows, n_placed;
};

static const struct hash_key hash_key = { {
    UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0x2545f4914f6cdd1d)
} };

/* Reads the addresses and ports of the IPv4 packet in 'frame'; returns its
 * flow's key, and its bucket in '*bucket'. */
static inline uint64_t
find_bucket(const struct floor_table *table, const uint8_t *frame,
            const struct bucket **bucket)
{
    uint32_t src, dst, ports;

    memcpy(&src, frame + ADDRESSES_OFS, sizeof src);
    memcpy(&dst, frame + ADDRESSES_OFS + sizeof src, sizeof dst);
    memcpy(&ports, frame + PORTS_OFS, sizeof ports);

    uint64_t key = (uint64_t) src << 32 | ports;
    uint64_t hash = flow_hash4(&hash_key, dst, key);
    *bucket = &table->buckets[(hash & UINT32_MAX) * table->n_buckets >> 32];
    return key;
}

/* The host of the bucket's entry with 'key', or of any. */
static inline uint64_t
find_host(const struct bucket *bucket, uint64_t key)
{
    const struct entry *entry = &bucket->ways[0];

    entry = bucket->ways[1].key == key ? &bucket->ways[1] : entry;
    entry = bucket->ways[2].key == key ? &bucket->ways[2] : entry;
    entry = bucket->ways[3].key == key ? &bucket->ways[3] : entry;
    return entry->host;
}

static inline void
push_header(const struct tunnel_geneve4 *template, uint8_t *frame,
            uint32_t size)
{
    struct tunnel_geneve4 *header = (struct tunnel_geneve4 *) frame - 1;
    uint32_t udp_len = size + sizeof *header
                       - offsetof(struct tunnel_geneve4, outer.udp);

    memcpy(header, template, sizeof *header);
    header->outer.ip.total_len = host_to_be16(udp_len
                                              + sizeof(struct ipv4_hdr));
    header->outer.udp.len = host_to_be16(udp_len);
}

static void
process_batch(const struct floor_table *table, struct floor_packet *packets,
              size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct floor_packet *p = &packets[i];

        if (i + PREFETCH_AHEAD < n) {
            __builtin_prefetch(packets[i + PREFETCH_AHEAD].data);
        }
        p->key = find_bucket(table, p->data, &p->bucket);
        __builtin_prefetch(p->bucket);
    }
    for (size_t i = 0; i < n; i++) {
        const struct floor_packet *p = &packets[i];
        uint64_t host = find_host(p->bucket, p->key);

        push_header(&table->headers[host], p->data, p->size);
    }
}

static void
process(void *table, struct traffic *traffic, uint64_t now_us)
{
    struct floor_packet packets[TRAFFIC_BATCH];

    (void) now_us;
    for (size_t i = 0; i < TRAFFIC_RING; i += TRAFFIC_BATCH) {
        for (size_t j = 0; j < TRAFFIC_BATCH; j++) {
            packets[j].data = traffic_frame(traffic, i + j);
            packets[j].size = traffic->size[i + j];
        }
        process_batch(table, packets, TRAFFIC_BATCH);
    }
}

static void
place(struct floor_table *table, const uint8_t *frame, uint64_t host)
{
    const struct bucket *found;
    uint64_t key = find_bucket(table, frame, &found);
    struct bucket *bucket = &table->buckets[found - table->buckets];

    for (int way = 0; way < WAYS; way++) {
        if (!bucket->ways[way].key) {
            bucket->ways[way] = (struct entry) { key, host };
            table->n_placed++;
            return;
        }
    }
}

static void
init_headers(struct floor_table *table)
{
    for (int host = 0; host < N_HOSTS; host++) {
        struct tunnel tunnel;
        struct tunnel_spec spec = {
            .type = TUNNEL_GENEVE,
            .src_ip = inet_addr_from4(0xc0000201),
            .dst_ip = inet_addr_from4(0xc0000202 + host),
            .ttl = 64, .mtu = 1500,
        };
        const struct context context = { .group = 1, .epoch = 1 };
        uint8_t buffer[TUNNEL_MAX_OVERHEAD];

        tunnel_init(&tunnel, &spec);
        memcpy(&table->headers[host],
               tunnel_push(&tunnel, buffer + sizeof buffer, 0, TRAFFIC_VNI, 0,
                           0, &context), sizeof table->headers[host]);
    }
}

static void *
create(struct traffic *traffic, uint32_t n_flows)
{
    struct floor_table *table = calloc(1, sizeof *table);
    /* As full as the engine's is with as many. */
    size_t n_buckets = (size_t) n_flows * 8 / 7 / WAYS + 1;
    size_t size = (n_buckets * sizeof *table->buckets + HUGE_PAGE - 1)
                  / HUGE_PAGE * HUGE_PAGE;

    table->buckets = aligned_alloc(HUGE_PAGE, size);
    if (!table->buckets) {
        fprintf(stderr, "floor: no memory\n");
        exit(1);
    }
    madvise(table->buckets, size, MADV_HUGEPAGE);
    memset(table->buckets, 0, size);
    table->n_buckets = n_buckets;
    table->n_flows = n_flows;
    init_headers(table);
    for (uint32_t flow = 0; flow < n_flows; flow++) {
        traffic_write(traffic, 0, flow, TCP_ACK_FLAG);
        place(table, traffic_frame(traffic, 0), flow % N_HOSTS);
    }
    return table;
}

static void
destroy(void *table_)
{
    struct floor_table *table = table_;

    free(table->buckets);
    free(table);
}

static void
prepare(void *table, struct traffic *traffic)
{
    (void) table;
    (void) traffic;
}

/* All packets have a header of the right length, and those whose flow was
 * placed the right one. */
static void
check(void *table_, struct traffic *traffic)
{
    const struct floor_table *table = table_;
    unsigned int n_right = 0;

    for (size_t i = 0; i < TRAFFIC_RING; i++) {
        struct tunnel_geneve4 *header
            = (struct tunnel_geneve4 *) traffic_frame(traffic, i) - 1;
        const uint8_t *frame = traffic_frame(traffic, i);
        const struct bucket *bucket;
        uint64_t key = find_bucket(table, frame, &bucket);
        uint64_t host = find_host(bucket, key);

        n_right += header->outer.ip.dst == table->headers[host].outer.ip.dst;
        if (be16_to_host(header->outer.ip.total_len)
            != traffic->size[i] + sizeof *header - sizeof header->outer.eth) {
            fprintf(stderr, "floor: packet %zu was not sent\n", i);
            exit(1);
        }
        header->outer.ip.total_len = 0; /* Not to be found again. */
    }
    if (n_right != TRAFFIC_RING
        || table->n_placed < table->n_flows / 100.0 * MIN_PLACED_PERCENT) {
        fprintf(stderr, "floor: packets have wrong headers\n");
        exit(1);
    }
}

const struct contender floor_contender = {
    .name = "floor",
    .create = create,
    .destroy = destroy,
    .prepare = prepare,
    .process = process,
    .check = check,
};
