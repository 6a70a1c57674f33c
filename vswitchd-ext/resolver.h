/* Next hops on the underlay, as the kernel knows them: for each VTEP, IPv4 or
 * IPv6, the device's and the next hop's MAC address, and the path MTU.  Has
 * the kernel resolve neighbours (and keep them resolved, since our frames
 * bypass its stack), and follows its changes.
 *
 * Frames go to one device only.  A route that leads out of another one is
 * reported, not used; that includes VLAN and other devices stacked above the
 * underlay bridge's local port.
 *
 * Not thread-safe; belongs to the agent's thread. */

#ifndef VSWITCHD_EXT_RESOLVER_H
#define VSWITCHD_EXT_RESOLVER_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

struct resolver;

enum {
    RESOLVER_PATIENCE_MS = 3000, /* For ARP or ND, or a route that flaps. */
    RESOLVER_WHY_LEN     = 128,  /* Enough for any explanation. */
};

struct resolver_hop {
    struct mac src_mac;         /* The device's. */
    struct mac dst_mac;         /* The next hop's. */
    uint16_t mtu;               /* Largest IP packet on the way. */
};

/* Returns 0 and '*resolver', or a positive errno. */
int resolver_create(struct resolver **resolver);
void resolver_destroy(struct resolver *);

/* Where frames start: from address 'vtep' (routes are asked for with it as
 * their source while it is an address of this machine; unspecified, {0, 0}:
 * any), out of the device 'ifindex' (0: any).  From then on there is no way to
 * VTEPs of the other family than 'vtep''s: nothing could be sent to them.
 * Cheap if that is nothing new. */
void resolver_set_origin(struct resolver *, struct inet_addr vtep,
                         int ifindex);

/* What is known of the way to 'vtep'; from then on it is kept resolved, until
 * resolver_forget_unused().  False while it is unknown.  Once known, a next
 * hop stays until another one replaces it, or the kernel says that there is
 * no way. */
bool resolver_lookup(struct resolver *, struct inet_addr vtep,
                     struct resolver_hop *hop);

/* Whether the way to 'vtep', which has been looked up, has been unknown for
 * RESOLVER_PATIENCE_MS: long enough not to be just on the way to being known.
 */
bool resolver_gave_up(const struct resolver *, struct inet_addr vtep);

/* Writes into 'why', of 'size' bytes, why the way to 'vtep' is unknown, for
 * people; "" if it is known. */
void resolver_explain(const struct resolver *, struct inet_addr vtep,
                      char *why, size_t size);

/* Whether frames start from an address of this machine; true if none is set.
 */
bool resolver_origin_is_local(struct resolver *);

/* Call between two rounds of lookups: drops VTEPs not looked up since the
 * last call. */
void resolver_forget_unused(struct resolver *);

/* Takes in the kernel's news.  Returns a number that changes when a lookup, or
 * resolver_gave_up(), has another result than before. */
uint64_t resolver_run(struct resolver *);
void resolver_wait(struct resolver *);

#endif /* vswitchd-ext/resolver.h */
