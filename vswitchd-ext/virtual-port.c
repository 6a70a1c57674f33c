#include <config.h>

#include "vswitchd-ext/virtual-port.h"

#include <errno.h>
#include <sched.h>

#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "ovs-numa.h"
#include "random.h"
#include "seq.h"
#include "util.h"

/* Enough for a few milliseconds of packets at full speed: beyond it, waiting
 * would only add latency. */
enum { RING_SIZE = 4096 };

static uint64_t change_seq;      /* Atomic. */

int
virtual_port_construct(struct netdev *netdev)
{
    struct virtual_port *port = virtual_port_cast(netdev);
    uint32_t tail = random_uint32();

    /* A locally administered address: bridges never take it for their own. */
    port->mac = (struct eth_addr) { .ea = { 0xfe, 0x67, 0x72, tail >> 16,
                                            tail >> 8, tail } };
    /* Nobody else raises it: there is no device that an operator could. */
    port->flags = NETDEV_UP;
    port->ring = frame_ring_create(RING_SIZE);
    port->numa_id = ovs_numa_get_numa_id(sched_getcpu());
    port->ring_seq = seq_create();

    /* What a VM's interface left undone reaches us marked, and the engine
     * completes or refuses it; without these flags Open vSwitch would drop
     * it before, in a counter of its own. */
    netdev->ol_flags = NETDEV_TX_OFFLOAD_TCP_CKSUM
                       | NETDEV_TX_OFFLOAD_UDP_CKSUM
                       | NETDEV_TX_OFFLOAD_TCP_TSO;
    return 0;
}

void
virtual_port_destruct(struct netdev *netdev)
{
    struct virtual_port *port = virtual_port_cast(netdev);

    frame_ring_destroy(port->ring);
    seq_destroy(port->ring_seq);
}

bool
virtual_port_is_attached(const struct virtual_port *port)
{
    return __atomic_load_n(&port->n_receivers, __ATOMIC_RELAXED) > 0;
}

bool
virtual_port_is_up(const struct virtual_port *port)
{
    return (__atomic_load_n(&port->flags, __ATOMIC_RELAXED)
            & NETDEV_UP) != 0;
}

uint64_t
virtual_port_change_seq(void)
{
    return __atomic_load_n(&change_seq, __ATOMIC_SEQ_CST);
}

static void
drain(struct virtual_port *port)
{
    struct dp_packet *packet;

    while ((packet = frame_ring_pop(port->ring))) {
        dp_packet_delete(packet);
    }
}

bool
virtual_port_deliver(struct virtual_port *port, struct dp_packet *packet)
{
    if (!virtual_port_is_attached(port) || !virtual_port_is_up(port)
        || !frame_ring_push(port->ring, packet)) {
        dp_packet_delete(packet);
        return false;
    }

    /* Pairs with the fences in virtual_port_rxq_wait() and _destruct(): either
     * we see that the receiver sleeps, or is gone, or it sees the packet. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (OVS_UNLIKELY(!virtual_port_is_attached(port))) {
        drain(port);
        return false;
    }
    if (__atomic_load_n(&port->receiver_sleeps, __ATOMIC_RELAXED)
        && __atomic_exchange_n(&port->receiver_sleeps, false,
                               __ATOMIC_SEQ_CST)) {
        seq_change(port->ring_seq);
    }
    return true;
}

void
virtual_port_count_tx(struct virtual_port *port, unsigned int n_packets,
                      uint64_t n_bytes, unsigned int n_dropped)
{
    __atomic_fetch_add(&port->tx_packets, n_packets,
                              __ATOMIC_RELAXED);
    __atomic_fetch_add(&port->tx_bytes, n_bytes, __ATOMIC_RELAXED);
    if (n_dropped) {
        __atomic_fetch_add(&port->tx_dropped, n_dropped,
                                  __ATOMIC_RELAXED);
    }
}

int
virtual_port_get_etheraddr(const struct netdev *netdev, struct eth_addr *mac)
{
    *mac = virtual_port_cast(netdev)->mac;
    return 0;
}

int
virtual_port_get_carrier(const struct netdev *netdev OVS_UNUSED,
                         bool *carrier)
{
    *carrier = true;
    return 0;
}

/* A PMD thread of this node, if there is one, receives. */
int
virtual_port_get_numa_id(const struct netdev *netdev)
{
    return virtual_port_cast(netdev)->numa_id;
}

int
virtual_port_get_stats(const struct netdev *netdev, struct netdev_stats *stats)
{
    const struct virtual_port *port = virtual_port_cast(netdev);

    /* The caller has set all members to "unknown". */
    stats->rx_packets = __atomic_load_n(&port->rx_packets, __ATOMIC_RELAXED);
    stats->rx_bytes = __atomic_load_n(&port->rx_bytes, __ATOMIC_RELAXED);
    stats->tx_packets = __atomic_load_n(&port->tx_packets, __ATOMIC_RELAXED);
    stats->tx_bytes = __atomic_load_n(&port->tx_bytes, __ATOMIC_RELAXED);
    stats->tx_dropped = __atomic_load_n(&port->tx_dropped, __ATOMIC_RELAXED);
    return 0;
}

int
virtual_port_update_flags(struct netdev *netdev, enum netdev_flags off,
                          enum netdev_flags on, enum netdev_flags *old)
{
    struct virtual_port *port = virtual_port_cast(netdev);
    unsigned int flags = __atomic_load_n(&port->flags, __ATOMIC_SEQ_CST);
    unsigned int new_flags = (flags | on) & ~off;

    if ((off | on) & ~(NETDEV_UP | NETDEV_PROMISC)) {
        return EINVAL;
    }
    *old = flags;
    __atomic_store_n(&port->flags, new_flags, __ATOMIC_SEQ_CST);
    if (flags != new_flags) {
        __atomic_fetch_add(&change_seq, 1, __ATOMIC_SEQ_CST);
        netdev_change_seq_changed(netdev);
    }
    return 0;
}

struct netdev_rxq *
virtual_port_rxq_alloc(void)
{
    return xzalloc(sizeof(struct netdev_rxq));
}

void
virtual_port_rxq_dealloc(struct netdev_rxq *rxq)
{
    free(rxq);
}

int
virtual_port_rxq_construct(struct netdev_rxq *rxq)
{
    __atomic_fetch_add(&virtual_port_cast(rxq->netdev)->n_receivers, 1,
                       __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&change_seq, 1, __ATOMIC_SEQ_CST);
    return 0;
}

void
virtual_port_rxq_destruct(struct netdev_rxq *rxq)
{
    struct virtual_port *port = virtual_port_cast(rxq->netdev);

    if (__atomic_fetch_sub(&port->n_receivers, 1, __ATOMIC_SEQ_CST) == 1) {
        /* Packets may be buffers of the NIC, which must not be kept; nor would
         * anyone want them if the port is attached again one day. */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        drain(port);
    }
    __atomic_fetch_add(&change_seq, 1, __ATOMIC_SEQ_CST);
}

int
virtual_port_rxq_recv(struct netdev_rxq *rxq, struct dp_packet_batch *batch,
                      int *qfill)
{
    struct virtual_port *port = virtual_port_cast(rxq->netdev);
    struct dp_packet *packet;
    uint64_t n_bytes = 0;

    dp_packet_batch_init(batch);
    while (!dp_packet_batch_is_full(batch)
           && (packet = frame_ring_pop(port->ring))) {
        n_bytes += dp_packet_size(packet);
        dp_packet_batch_add(batch, packet);
    }
    if (dp_packet_batch_is_empty(batch)) {
        return EAGAIN;
    }

    __atomic_fetch_add(&port->rx_packets, dp_packet_batch_size(batch),
                              __ATOMIC_RELAXED);
    __atomic_fetch_add(&port->rx_bytes, n_bytes, __ATOMIC_RELAXED);
    if (qfill) {
        *qfill = -ENOTSUP;
    }
    return 0;
}

void
virtual_port_rxq_wait(struct netdev_rxq *rxq)
{
    struct virtual_port *port = virtual_port_cast(rxq->netdev);
    uint64_t seq = seq_read(port->ring_seq);

    __atomic_store_n(&port->receiver_sleeps, true, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (frame_ring_is_empty(port->ring)) {
        seq_wait(port->ring_seq, seq);
    } else {
        poll_immediate_wake();
    }
}

int
virtual_port_rxq_drain(struct netdev_rxq *rxq)
{
    drain(virtual_port_cast(rxq->netdev));
    return 0;
}
