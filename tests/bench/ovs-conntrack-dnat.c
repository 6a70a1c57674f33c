/* How OVN's load balancer keeps flows together: libopenvswitch's connection
 * tracker, which rewrites the destination address.  A packet of an established
 * connection takes one pass, ct(nat).  The switch's own parsing, which
 * comes before it, and any encapsulation, which would come after it, are not
 * counted. */

#include <config.h>

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

/* Puts the ring's packets through the tracker, to be committed and sent to
 * the backend of 'commit' unless it is NULL. */
static void
execute(struct tracker *t, size_t first, size_t n,
        const struct nat_action_info_t *commit, long long now_ms)
{
    static const struct nat_action_info_t nat;
    struct dp_packet_batch batch;

    dp_packet_batch_init(&batch);
    for (size_t i = first; i < first + n; i++) {
        dp_packet_batch_add(&batch, &t->packets[i]);
    }
    conntrack_execute(t->ct, &batch, htons(ETH_TYPE_IP), false,
                      commit != NULL, ZONE, NULL, NULL, 0, 0, NULL,
                      commit ? commit : &nat, now_ms, 0);
}

static void
process(void *tracker_, struct traffic *traffic OVS_UNUSED, uint64_t now_us)
{
    for (size_t i = 0; i < TRAFFIC_RING; i += TRAFFIC_BATCH) {
        execute(tracker_, i, TRAFFIC_BATCH, NULL, now_us / 1000);
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

/* The three packets of each handshake, all of flows 'first' and following. */
static void
shake_hands(struct tracker *t, struct traffic *traffic, uint32_t first,
            uint32_t n, uint64_t now_ms)
{
    for (uint32_t i = 0; i < n; i++) {
        traffic_write(traffic, i, first + i, SYN);
    }
    prepare(t, traffic);
    for (uint32_t i = 0; i < n; i++) {
        ovs_be32 backend
            = htonl(traffic_backend((first + i) % TRAFFIC_BACKENDS));
        struct nat_action_info_t nat = {
            .min_addr.ipv4 = backend,
            .max_addr.ipv4 = backend,
            .nat_action = NAT_ACTION_DST,
        };

        execute(t, i, 1, &nat, now_ms);
        traffic_write_syn_ack(traffic, i, first + i,
                              (first + i) % TRAFFIC_BACKENDS);
    }
    prepare(t, traffic);
    for (uint32_t i = 0; i < n; i++) {
        execute(t, i, 1, NULL, now_ms);
        traffic_write(traffic, i, first + i, ACK);
    }
    prepare(t, traffic);
    for (uint32_t i = 0; i < n; i++) {
        execute(t, i, 1, NULL, now_ms);
    }
}

static void *
create(struct traffic *traffic, uint32_t n_flows)
{
    struct tracker *t = xmalloc(sizeof *t);
    uint32_t n_conns;

    t->ct = conntrack_init();
    conntrack_set_maxconns(t->ct, n_flows + 1000);
    for (uint32_t first = 0; first < n_flows; first += TRAFFIC_RING) {
        shake_hands(t, traffic, first, MIN(TRAFFIC_RING, n_flows - first),
                    time_msec());
    }
    conntrack_get_nconns(t->ct, &n_conns);
    if (n_conns != n_flows) {
        fprintf(stderr, "conntrack: %u of %u connections\n", n_conns, n_flows);
        exit(1);
    }
    return t;
}

static void
destroy(void *tracker_)
{
    struct tracker *t = tracker_;

    conntrack_destroy(t->ct);
    free(t);
}

const struct contender ovs_conntrack_dnat_contender = {
    .name = "ovs-conntrack-dnat",
    .create = create,
    .destroy = destroy,
    .prepare = prepare,
    .process = process,
    .check = check,
};
