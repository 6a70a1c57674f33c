#include <config.h>

#include "vswitchd-ext/health-tap.h"

#include <stdlib.h>
#include <string.h>

#include "dp-packet.h"
#include "hash.h"
#include "openvswitch/poll-loop.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "packets.h"
#include "seq.h"
#include "unaligned.h"
#include "util.h"

/* The addresses: immutable.  Most packets are for none of them, which a bit
 * for their last octet tells at once. */
struct sources {
    uint64_t octets[4];
    size_t n;
    struct health_tap_source all[];
};

struct waiting {
    struct dp_packet *packet;
    uint32_t vni;
};

enum { N_SHARES = 64 };         /* Tenants that share one are neighbours by
                                 * chance. */

bool health_tap_is_open;
static OVSRCU_TYPE(struct sources *) sources;

static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct waiting queue[HEALTH_TAP_MAX] OVS_GUARDED_BY(mutex);
static size_t head OVS_GUARDED_BY(mutex), n_queued OVS_GUARDED_BY(mutex);
static size_t shares[N_SHARES] OVS_GUARDED_BY(mutex); /* By share_of(). */
static uint64_t n_dropped OVS_GUARDED_BY(mutex);

static struct seq *
arrival_seq(void)
{
    static struct ovsthread_once once = OVSTHREAD_ONCE_INITIALIZER;
    static struct seq *seq;

    if (ovsthread_once_start(&once)) {
        seq = seq_create();
        ovsthread_once_done(&once);
    }
    return seq;
}

void
health_tap_set(const struct health_tap_source *all, size_t n)
{
    struct sources *new = NULL, *old;

    if (n) {
        new = xzalloc(sizeof *new + n * sizeof *all);
        new->n = n;
        memcpy(new->all, all, n * sizeof *all);
        for (size_t i = 0; i < n; i++) {
            uint8_t octet = all[i].address.lo;

            new->octets[octet / 64] |= UINT64_C(1) << octet % 64;
        }
    }
    old = ovsrcu_get_protected(struct sources *, &sources);
    ovsrcu_set(&sources, new);
    if (old) {
        ovsrcu_postpone(free, old);
    }
    __atomic_store_n(&health_tap_is_open, n > 0, __ATOMIC_RELAXED);
}

/* Whom the frame is for: of ARP, the target; of questions of ND, too. */
static bool
read_destination(struct dp_packet *packet, struct inet_addr *address)
{
    const struct eth_header *eth = dp_packet_at(packet, 0, ETH_HEADER_LEN);
    const uint8_t *l3 = eth ? (const uint8_t *) (eth + 1) : NULL;
    size_t size = dp_packet_size(packet) - ETH_HEADER_LEN;

    if (eth && eth->eth_type == htons(ETH_TYPE_IP)
        && size >= IP_HEADER_LEN) {
        *address = inet_addr_from4(ntohl(get_unaligned_be32(
            ALIGNED_CAST(const ovs_be32 *, l3 + 16))));
    } else if (eth && eth->eth_type == htons(ETH_TYPE_ARP)
               && size >= ARP_ETH_HEADER_LEN) {
        *address = inet_addr_from4(ntohl(get_unaligned_be32(
            ALIGNED_CAST(const ovs_be32 *, l3 + 24))));
    } else if (eth && eth->eth_type == htons(ETH_TYPE_IPV6)
               && size >= IPV6_HEADER_LEN) {
        bool asks = (l3[6] == IPPROTO_ICMPV6
                     && size >= IPV6_HEADER_LEN + sizeof(struct ovs_nd_msg)
                     && l3[IPV6_HEADER_LEN] == ND_NEIGHBOR_SOLICIT);

        *address = inet_addr_from_bytes(l3 + (asks ? IPV6_HEADER_LEN + 8
                                              : 24));
    } else {
        return false;
    }
    return true;
}

static bool
is_source(const struct sources *s, uint32_t vni, struct inet_addr address)
{
    uint8_t octet = address.lo;

    if (!(s->octets[octet / 64] >> octet % 64 & 1)) {
        return false;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (s->all[i].vni == vni
            && inet_addr_equal(s->all[i].address, address)) {
            return true;
        }
    }
    return false;
}

static size_t
share_of(uint32_t vni)
{
    return hash_int(vni, 0) % N_SHARES;
}

/* Takes 'packet' over; false if it was dropped. */
static bool
enqueue(uint32_t vni, struct dp_packet *packet)
{
    size_t *share = &shares[share_of(vni)];
    bool taken;

    ovs_mutex_lock(&mutex);
    taken = n_queued < HEALTH_TAP_MAX && *share < HEALTH_TAP_SHARE;
    if (taken) {
        queue[(head + n_queued++) % HEALTH_TAP_MAX]
            = (struct waiting) { packet, vni };
        ++*share;
    } else {
        n_dropped++;
    }
    ovs_mutex_unlock(&mutex);
    if (!taken) {
        dp_packet_delete(packet);
    }
    return taken;
}

bool
health_tap_offer(uint32_t vni, struct dp_packet *packet)
{
    const struct sources *s = ovsrcu_get(struct sources *, &sources);
    struct inet_addr address;
    struct dp_packet *copy;

    if (!s || !read_destination(packet, &address)
        || !is_source(s, vni, address)) {
        return false;
    }
    /* What the switch knows of it is of no use any more. */
    copy = dp_packet_clone_data(dp_packet_data(packet),
                                dp_packet_size(packet));
    dp_packet_delete(packet);
    if (enqueue(vni, copy)) {
        seq_change(arrival_seq());
    }
    return true;
}

struct dp_packet *
health_tap_take(uint32_t *vni)
{
    struct dp_packet *packet = NULL;

    ovs_mutex_lock(&mutex);
    if (n_queued) {
        packet = queue[head].packet;
        *vni = queue[head].vni;
        shares[share_of(*vni)]--;
        head = (head + 1) % HEALTH_TAP_MAX;
        n_queued--;
    }
    ovs_mutex_unlock(&mutex);
    return packet;
}

uint64_t
health_tap_n_dropped(void)
{
    uint64_t n;

    ovs_mutex_lock(&mutex);
    n = n_dropped;
    ovs_mutex_unlock(&mutex);
    return n;
}

void
health_tap_wait(void)
{
    bool some;

    seq_wait(arrival_seq(), seq_read(arrival_seq()));
    ovs_mutex_lock(&mutex);
    some = n_queued > 0;
    ovs_mutex_unlock(&mutex);
    if (some) {
        poll_immediate_wake();
    }
}
