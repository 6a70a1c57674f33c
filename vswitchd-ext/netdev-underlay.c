#include <config.h>

#include "vswitchd-ext/netdev-underlay.h"

#include "dp-packet.h"
#include "openvswitch/shash.h"
#include "util.h"
#include "vswitchd-ext/virtual-port.h"

static struct netdev *
netdev_underlay_alloc(void)
{
    struct virtual_port *port = xzalloc_cacheline(sizeof *port);

    return &port->up;
}

static void
netdev_underlay_dealloc(struct netdev *netdev)
{
    free_cacheline(virtual_port_cast(netdev));
}

/* Nothing lies behind the port: what its bridge floods to it ends here. */
static int
netdev_underlay_send(struct netdev *netdev, int qid OVS_UNUSED,
                     struct dp_packet_batch *batch,
                     bool concurrent_txq OVS_UNUSED)
{
    struct virtual_port *port = virtual_port_cast(netdev);
    struct dp_packet *packet;
    uint64_t n_bytes = 0;

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        n_bytes += dp_packet_size(packet);
    }
    virtual_port_count_tx(port, dp_packet_batch_size(batch), n_bytes, 0);
    dp_packet_delete_batch(batch, true);
    return 0;
}

#define UNDERLAY_CLASS(TYPE, IS_PMD)        \
    {                                       \
        .type = (TYPE),                     \
        .is_pmd = (IS_PMD),                 \
        VIRTUAL_PORT_CLASS_COMMON,          \
        .alloc = netdev_underlay_alloc,     \
        .dealloc = netdev_underlay_dealloc, \
        .send = netdev_underlay_send,       \
    }

static const struct netdev_class netdev_underlay_class
    = UNDERLAY_CLASS(NETDEV_UNDERLAY_TYPE, false);
static const struct netdev_class netdev_underlay_pmd_class
    = UNDERLAY_CLASS(NETDEV_UNDERLAY_PMD_TYPE, true);

void
netdev_underlay_register(void)
{
    netdev_register_provider(&netdev_underlay_class);
    netdev_register_provider(&netdev_underlay_pmd_class);
}

void
netdev_underlay_get_ports(struct shash *ports)
{
    netdev_get_devices(&netdev_underlay_class, ports);
    netdev_get_devices(&netdev_underlay_pmd_class, ports);
}
