/* Ports of type `anycast_underlay`: encapsulated frames enter the bridge that
 * such a port is in as if they had been received there, so that the bridge's
 * bonds, QoS and OpenFlow rules apply to them.  Of `anycast_underlay_pmd`, the
 * same, a PMD thread takes them into the bridge. */

#ifndef VSWITCHD_EXT_NETDEV_UNDERLAY_H
#define VSWITCHD_EXT_NETDEV_UNDERLAY_H 1

#define NETDEV_UNDERLAY_TYPE     "anycast_underlay"
#define NETDEV_UNDERLAY_PMD_TYPE "anycast_underlay_pmd"

struct shash;

void netdev_underlay_register(void);

/* Adds to 'ports' all ports of these types, by name, each a struct netdev with
 * a reference that the caller must close. */
void netdev_underlay_get_ports(struct shash *ports);

#endif /* vswitchd-ext/netdev-underlay.h */
