/* Ports of type `anycast_underlay`: encapsulated frames enter the bridge that
 * such a port is in as if they had been received there, so that the bridge's
 * bonds, QoS and OpenFlow rules apply to them. */

#ifndef VSWITCHD_EXT_NETDEV_UNDERLAY_H
#define VSWITCHD_EXT_NETDEV_UNDERLAY_H 1

#define NETDEV_UNDERLAY_TYPE "anycast_underlay"

struct shash;

void netdev_underlay_register(void);

/* Adds to 'ports' all ports of this type, by name, each a struct netdev with a
 * reference that the caller must close. */
void netdev_underlay_get_ports(struct shash *ports);

#endif /* vswitchd-ext/netdev-underlay.h */
