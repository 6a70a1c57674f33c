/* struct inet_addr as Open vSwitch and people write it. */

#ifndef VSWITCHD_EXT_ADDRESS_H
#define VSWITCHD_EXT_ADDRESS_H 1

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "encap/inet.h"
#include "packets.h"

/* In place of an address that is not configured: IPv6's unspecified one. */
#define ADDRESS_NONE ((struct inet_addr) { 0, 0 })

static inline bool
address_is_set(struct inet_addr a)
{
    return a.hi || a.lo;
}

static inline struct in6_addr
address_to_in6(struct inet_addr a)
{
    struct in6_addr in6;

    inet_addr_to_bytes(a, in6.s6_addr);
    return in6;
}

static inline struct inet_addr
address_from_in6(const struct in6_addr *in6)
{
    return inet_addr_from_bytes(in6->s6_addr);
}

/* Writes 'a' into 'text', IPv4 as a dotted quad, and returns that. */
static inline const char *
address_format(struct inet_addr a, char text[INET6_ADDRSTRLEN])
{
    struct in6_addr in6 = address_to_in6(a);

    return ipv6_string_mapped(text, &in6);
}

/* Reads an IPv4 or IPv6 address, a mapped one as IPv4.  False if 'text' is
 * neither; '*a' is then untouched. */
static inline bool
address_parse(const char *text, struct inet_addr *a)
{
    struct in6_addr in6;
    ovs_be32 ip;

    if (ip_parse(text, &ip)) {
        *a = inet_addr_from4(ntohl(ip));
    } else if (ipv6_parse(text, &in6)) {
        *a = address_from_in6(&in6);
    } else {
        return false;
    }
    return true;
}

/* fe80::/10: means nothing without a device. */
static inline bool
address_is_link_local(struct inet_addr a)
{
    return a.hi >> 54 == 0xfe80 >> 6;
}

#endif /* vswitchd-ext/address.h */
