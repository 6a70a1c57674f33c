/* What Grapnel's two kinds of port have in common: network devices that exist
 * only inside the switch, and that hand packets to the bridge they are in.
 *
 * virtual_port_deliver() may be called by any thread; the rest as the netdev
 * provider interface says. */

#ifndef VSWITCHD_EXT_VIRTUAL_PORT_H
#define VSWITCHD_EXT_VIRTUAL_PORT_H 1

#include <stdalign.h>
#include <stdbool.h>

#include "netdev-provider.h"
#include "util.h"
#include "vswitchd-ext/frame-ring.h"

/* Members that different threads write are in cache lines of their own: to be
 * allocated with xzalloc_cacheline(). */
struct virtual_port {
    struct netdev up;

    /* Hardly ever change, read with every packet. */
    alignas(CACHE_LINE_SIZE)
    struct frame_ring *ring;    /* Packets on their way into the bridge. */
    struct seq *ring_seq;       /* Changes when a sleeping receiver should
                                 * look at the ring. */
    int n_receivers;            /* Receive queues open.  Atomic. */
    unsigned int flags;         /* NETDEV_*.  Atomic. */
    struct eth_addr mac;        /* Made at random; constant. */
    int numa_id;                /* Where 'ring' is in memory; constant. */

    /* Atomic, all of them. */
    alignas(CACHE_LINE_SIZE) bool receiver_sleeps;

    alignas(CACHE_LINE_SIZE) uint64_t rx_packets;
    uint64_t rx_bytes;

    alignas(CACHE_LINE_SIZE) uint64_t tx_packets;
    uint64_t tx_bytes, tx_dropped;
};

/* Queues 'packet', which it takes ownership of in any case, to be received by
 * the bridge from 'port'.  Returns false if it had to be dropped, because the
 * queue is full, nobody receives or the port is down. */
bool virtual_port_deliver(struct virtual_port *port, struct dp_packet *packet);

/* Whether a bridge receives from the port; whether the operator lets it. */
bool virtual_port_is_attached(const struct virtual_port *);
bool virtual_port_is_up(const struct virtual_port *);

/* Changes when one of these two may have, for any port.  Any thread. */
uint64_t virtual_port_change_seq(void);

/* Accounts for packets that the bridge sent to the port. */
void virtual_port_count_tx(struct virtual_port *, unsigned int n_packets,
                           uint64_t n_bytes, unsigned int n_dropped);

static inline struct virtual_port *
virtual_port_cast(const struct netdev *netdev)
{
    return CONTAINER_OF(netdev, struct virtual_port, up);
}

/* Members of a struct netdev_class.  A derived port starts with a struct
 * virtual_port, and has its own alloc, dealloc, set_config and send.
 *
 * They fit a class with 'is_pmd' too: then a PMD thread receives, which polls
 * and never calls virtual_port_rxq_wait(), so that no delivery wakes anybody.
 * There is one receive queue and nothing to reconfigure; 'send' must
 * put up with several threads at once, as there is one queue for them all. */
int virtual_port_construct(struct netdev *);
void virtual_port_destruct(struct netdev *);
int virtual_port_get_etheraddr(const struct netdev *, struct eth_addr *);
int virtual_port_get_carrier(const struct netdev *, bool *);
int virtual_port_get_numa_id(const struct netdev *);
int virtual_port_get_stats(const struct netdev *, struct netdev_stats *);
int virtual_port_update_flags(struct netdev *, enum netdev_flags off,
                              enum netdev_flags on, enum netdev_flags *old);
struct netdev_rxq *virtual_port_rxq_alloc(void);
int virtual_port_rxq_construct(struct netdev_rxq *);
void virtual_port_rxq_destruct(struct netdev_rxq *);
void virtual_port_rxq_dealloc(struct netdev_rxq *);
int virtual_port_rxq_recv(struct netdev_rxq *, struct dp_packet_batch *,
                          int *qfill);
void virtual_port_rxq_wait(struct netdev_rxq *);
int virtual_port_rxq_drain(struct netdev_rxq *);

#define VIRTUAL_PORT_CLASS_COMMON                       \
    .construct = virtual_port_construct,                \
    .destruct = virtual_port_destruct,                  \
    .get_etheraddr = virtual_port_get_etheraddr,        \
    .get_carrier = virtual_port_get_carrier,            \
    .get_numa_id = virtual_port_get_numa_id,            \
    .get_stats = virtual_port_get_stats,                \
    .update_flags = virtual_port_update_flags,          \
    .rxq_alloc = virtual_port_rxq_alloc,                \
    .rxq_construct = virtual_port_rxq_construct,        \
    .rxq_destruct = virtual_port_rxq_destruct,          \
    .rxq_dealloc = virtual_port_rxq_dealloc,            \
    .rxq_recv = virtual_port_rxq_recv,                  \
    .rxq_wait = virtual_port_rxq_wait,                  \
    .rxq_drain = virtual_port_rxq_drain

#endif /* vswitchd-ext/virtual-port.h */
