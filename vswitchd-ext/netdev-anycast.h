/* Ports of type `anycast`: what OpenFlow outputs to such a port is taken to an
 * endpoint of the anycast group that it is addressed to.  docs/architecture.md
 * describes options and life of a packet.  Of `anycast_pmd`, the same, a PMD
 * thread takes what such a port hands back into the bridge. */

#ifndef VSWITCHD_EXT_NETDEV_ANYCAST_H
#define VSWITCHD_EXT_NETDEV_ANYCAST_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dp_packet;

#define NETDEV_ANYCAST_TYPE     "anycast"
#define NETDEV_ANYCAST_PMD_TYPE "anycast_pmd"

/* How a port is configured. */
struct netdev_anycast_config {
    char *name;
    uint32_t vni;               /* 0: the tenant is in pkt_mark, and in
                                 * tun_id of what comes out of a tunnel. */
    bool steer;
    uint8_t steer_table;
    uint16_t steer_priority;
};

void netdev_anycast_register(void);

/* The configurations of all anycast ports, in no order.  The caller frees the
 * result with netdev_anycast_free_configs(). */
struct netdev_anycast_config *netdev_anycast_get_configs(size_t *n);
void netdev_anycast_free_configs(struct netdev_anycast_config *, size_t n);

/* Hands 'packet', which it takes ownership of, to the bridges of all ports
 * that serve tenant 'vni', as if it came out of these ports: its receiver may
 * be in any of them. */
void netdev_anycast_deliver(uint32_t vni, struct dp_packet *packet);

/* Changes whenever netdev_anycast_get_configs() might. */
uint64_t netdev_anycast_config_seq(void);

#endif /* vswitchd-ext/netdev-anycast.h */
