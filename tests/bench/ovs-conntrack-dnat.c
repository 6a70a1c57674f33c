/* How OVN's load balancer keeps flows together: libopenvswitch's connection
 * tracker, which rewrites the destination address.  A packet of an established
 * connection takes one pass, ct(nat).  The switch's own parsing, which
 * comes before it, and any encapsulation, which would come after it, are not
 * counted. */

#include <config.h>

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>

#include "conntrack.h"
#include "dp-packet.h"
#include "ovs-rcu.h"
#include "packets.h"
#include "tests/bench/contender.h"
#include "timeval.h"

enum { ZONE = 1, L3_OFS = 14, L4_OFS = 34 };
enum { SYN = 0x02, ACK = 0x10 };

struct tracker {
    struct conntrack *ct;
    uint32_t n_flows;
    size_t memory;              /* That they take. */
    struct dp_packet packets[TRAFFIC_RING];
};

/* Makes each packet of 'traffic' one of the switch's, freshly parsed. */
static void
prepare(void *tracker_, struct traffic *traffic)
{
    struct tracker *t = tracker_;

    for (size_t i = 0; i < TRAFFIC_RING; i++) {
        struct dp_packet *packet = &t->packets[i];

        dp_packet_use_stub(packet,
                           traffic->memory + i * TRAFFIC_BUFFER,
                           TRAFFIC_BUFFER);
        dp_packet_reserve(packet, TRAFFIC_HEADROOM);
        dp_packet_set_size(packet, traffic->size[i]);
        packet->packet_type = htonl(PT_ETH);
        dp_packet_reset_offsets(packet);
        packet->l3_ofs = L3_OFS;
        packet->l4_ofs = L4_OFS;
        pkt_metadata_init(&packet->md, ODP_PORT_C(1));
        pkt_metadata_init_conn(&packet->md);
    }
    ovsrcu_quiesce();
}

/* Puts 'n' of the ring's packets, every 'stride'th, through the tracker, to be
 * committed and sent to the backend of 'commit' unless it is NULL. */
static void
execute(struct tracker *t, size_t first, size_t stride, size_t n,
        const struct nat_action_info_t *commit, long long now_ms)
{
    static const struct nat_action_info_t nat;
    struct dp_packet_batch batch;

    dp_packet_batch_init(&batch);
    for (size_t i = 0; i < n; i++) {
        dp_packet_batch_add(&batch, &t->packets[first + i * stride]);
    }
    conntrack_execute(t->ct, &batch, htons(ETH_TYPE_IP), false,
                      commit != NULL, ZONE, NULL, NULL, 0, 0, NULL,
                      commit ? commit : &nat, now_ms, 0);
}

static void
process(void *tracker_, struct traffic *traffic OVS_UNUSED, uint64_t now_us)
{
    for (size_t i = 0; i < TRAFFIC_RING; i += TRAFFIC_BATCH) {
        execute(tracker_, i, 1, TRAFFIC_BATCH, NULL, now_us / 1000);
    }
}

static void
check(void *tracker_, struct traffic *traffic OVS_UNUSED)
{
    struct tracker *t = tracker_;

    for (size_t i = 0; i < TRAFFIC_RING; i++) {
        const struct dp_packet *packet = &t->packets[i];
        const struct ip_header *ip = dp_packet_l3(packet);
        uint32_t dst = ntohl(get_16aligned_be32(&ip->ip_dst));

        if (packet->md.ct_state
            != (CS_TRACKED | CS_ESTABLISHED | CS_DST_NAT)
            || dst < traffic_backend(0)
            || dst >= traffic_backend(TRAFFIC_BACKENDS)) {
            fprintf(stderr, "conntrack: packet %"PRIuSIZE" came out with "
                    "ct_state %#x for %#x\n", i, packet->md.ct_state, dst);
            exit(1);
        }
    }
}

/* All 'n' packets of the ring, in batches. */
static void
execute_ring(struct tracker *t, uint32_t n, uint64_t now_ms)
{
    for (uint32_t i = 0; i < n; i += TRAFFIC_BATCH) {
        execute(t, i, 1, MIN(TRAFFIC_BATCH, n - i), NULL, now_ms);
    }
}

/* The SYNs of flows 'first' and following.  A flow's backend is its number
 * modulo the number of backends; those of one backend make batches, as they
 * would in a switch, where an action is for one backend.  Returns the
 * nanoseconds that it took. */
static uint64_t
open_connections(struct tracker *t, struct traffic *traffic, uint32_t first,
                 uint32_t n, uint64_t now_ms)
{
    const size_t step = (size_t) TRAFFIC_BATCH * TRAFFIC_BACKENDS;

    for (uint32_t i = 0; i < n; i++) {
        traffic_write(traffic, i, first + i, SYN);
    }
    prepare(t, traffic);

    uint64_t start = contender_cpu_ns();
    for (uint32_t b = 0; b < TRAFFIC_BACKENDS; b++) {
        ovs_be32 backend
            = htonl(traffic_backend((first + b) % TRAFFIC_BACKENDS));
        struct nat_action_info_t nat = {
            .min_addr.ipv4 = backend,
            .max_addr.ipv4 = backend,
            .nat_action = NAT_ACTION_DST,
        };

        for (size_t i = b; i < n; i += step) {
            size_t left = (n - i + TRAFFIC_BACKENDS - 1) / TRAFFIC_BACKENDS;

            execute(t, i, TRAFFIC_BACKENDS, MIN(TRAFFIC_BATCH, left), &nat,
                    now_ms);
        }
    }
    return contender_cpu_ns() - start;
}

/* The three packets of each handshake, all of flows 'first' and following. */
static void
shake_hands(struct tracker *t, struct traffic *traffic, uint32_t first,
            uint32_t n, uint64_t now_ms)
{
    open_connections(t, traffic, first, n, now_ms);
    for (uint32_t i = 0; i < n; i++) {
        traffic_write_syn_ack(traffic, i, first + i,
                              (first + i) % TRAFFIC_BACKENDS);
    }
    prepare(t, traffic);
    execute_ring(t, n, now_ms);
    for (uint32_t i = 0; i < n; i++) {
        traffic_write(traffic, i, first + i, ACK);
    }
    prepare(t, traffic);
    execute_ring(t, n, now_ms);
}

static struct tracker *
make_tracker(uint32_t n_flows)
{
    struct tracker *t = xmalloc(sizeof *t);

    t->ct = conntrack_init();
    t->n_flows = n_flows;
    conntrack_set_maxconns(t->ct, n_flows + 1000);
    return t;
}

static void
check_n_conns(const struct tracker *t)
{
    uint32_t n_conns;

    conntrack_get_nconns(t->ct, &n_conns);
    if (n_conns != t->n_flows) {
        fprintf(stderr, "conntrack: %u of %u connections\n", n_conns,
                t->n_flows);
        exit(1);
    }
}

/* Bytes that have been allocated and not freed. */
static size_t
allocated(void)
{
    struct mallinfo2 info = mallinfo2();

    return info.uordblks + info.hblkhd;
}

static void *
create(struct traffic *traffic, uint32_t n_flows)
{
    struct tracker *t = make_tracker(n_flows);
    size_t before = allocated();

    for (uint32_t first = 0; first < n_flows; first += TRAFFIC_RING) {
        shake_hands(t, traffic, first, MIN(TRAFFIC_RING, n_flows - first),
                    time_msec());
    }
    check_n_conns(t);
    t->memory = allocated() - before;
    return t;
}

static double
bytes_per_flow(void *tracker_)
{
    const struct tracker *t = tracker_;

    return (double) t->memory / t->n_flows;
}

static void
destroy(void *tracker_)
{
    struct tracker *t = tracker_;

    conntrack_destroy(t->ct);
    free(t);
}

static double
new_flows_per_second(struct traffic *traffic, uint32_t n_flows)
{
    struct tracker *t = make_tracker(n_flows);
    uint64_t ns = 0;

    for (uint32_t first = 0; first < n_flows; first += TRAFFIC_RING) {
        ns += open_connections(t, traffic, first,
                               MIN(TRAFFIC_RING, n_flows - first),
                               time_msec());
    }
    check_n_conns(t);
    destroy(t);
    return (double) n_flows / ns * 1e9;
}

const struct contender ovs_conntrack_dnat_contender = {
    .name = "ovs-conntrack-dnat",
    .create = create,
    .destroy = destroy,
    .prepare = prepare,
    .process = process,
    .check = check,
    .bytes_per_flow = bytes_per_flow,
    .new_flows_per_second = new_flows_per_second,
};
