#include <config.h>

#include "tests/bench/switch/port.h"

#include <errno.h>

#include "packets.h"
#include "util.h"

static struct bench_port *
bench_port_cast(const struct netdev *netdev)
{
    return CONTAINER_OF(netdev, struct bench_port, up);
}

int
bench_port_construct(struct netdev *netdev)
{
    struct bench_port *port = bench_port_cast(netdev);

    eth_addr_random(&port->mac);
    port->flags = NETDEV_UP;
    return 0;
}

int
bench_port_get_etheraddr(const struct netdev *netdev, struct eth_addr *mac)
{
    *mac = bench_port_cast(netdev)->mac;
    return 0;
}

int
bench_port_update_flags(struct netdev *netdev, enum netdev_flags off,
                        enum netdev_flags on, enum netdev_flags *old)
{
    struct bench_port *port = bench_port_cast(netdev);

    if ((off | on) & ~(NETDEV_UP | NETDEV_PROMISC)) {
        return EINVAL;
    }
    *old = port->flags;
    port->flags = (port->flags | on) & ~off;
    return 0;
}
