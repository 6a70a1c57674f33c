/* Questions to the kernel about the underlay, and its news, over rtnetlink:
 * routes, links, neighbours (ARP's and ND's), of IPv4 and IPv6.
 *
 * Not thread-safe: each user opens its own.  A question waits for its answer,
 * which the kernel gives at once.  All that ask return 0, or a positive errno
 * with the output untouched: EAGAIN if the kernel could not be asked, or
 * could not answer, at the moment; anything else is its answer. */

#ifndef VSWITCHD_EXT_RTNL_H
#define VSWITCHD_EXT_RTNL_H 1

#include <stdbool.h>
#include <stdint.h>

#include "encap/inet.h"

struct rtnl;

/* Returns 0 and '*rtnl', or a positive errno. */
int rtnl_open(struct rtnl **rtnl);
void rtnl_close(struct rtnl *);

struct rtnl_route {
    int ifindex;                /* The device it leads to. */
    struct inet_addr next_hop;  /* The gateway, or the destination: to be
                                 * looked up among neighbours by its own
                                 * family, which for an IPv4 route may be IPv6
                                 * (RFC 8950).  May be link-local. */
    uint16_t mtu;               /* 0: the device's. */
};

struct rtnl_link {
    struct mac mac;
    uint16_t mtu;               /* Larger ones count as UINT16_MAX. */
    uint16_t mtu6;              /* Of IPv6 packets, which routers may have
                                 * lowered (RFC 4861); 0: not known. */
};

/* The route to 'dst' for packets from 'src', of the same family (or
 * unspecified, {0, 0}: from any address).  EHOSTUNREACH: 'dst' is an address
 * of this machine, or declared unreachable.  EAFNOSUPPORT: the gateway has
 * neither an IPv4 nor an IPv6 address.  ENETUNREACH: no route, or another one
 * that refuses. */
int rtnl_get_route(struct rtnl *, struct inet_addr dst, struct inet_addr src,
                   struct rtnl_route *);

/* ENODEV: no such device.  EAFNOSUPPORT: not one with a MAC address. */
int rtnl_get_link(struct rtnl *, int ifindex, struct rtnl_link *);

/* EHOSTUNREACH: not resolved to an address that can be sent to. */
int rtnl_get_neighbour(struct rtnl *, int ifindex, struct inet_addr ip,
                       struct mac *);

/* Has the kernel resolve a neighbour, or confirm it, as if it had sent a
 * packet of its own there. */
int rtnl_use_neighbour(struct rtnl *, int ifindex, struct inet_addr ip);

enum rtnl_kind {
    RTNL_LOST,                  /* News was lost: anything may have changed. */
    RTNL_ROUTE,                 /* To 'ip'/'prefix_len'. */
    RTNL_ADDRESS,               /* 'ip'/'prefix_len' on 'ifindex'. */
    RTNL_LINK,                  /* 'ifindex'. */
    RTNL_NEIGHBOUR,             /* 'ip' on 'ifindex' is at 'mac' now. */
};

struct rtnl_event {
    enum rtnl_kind kind;
    int ifindex;
    struct inet_addr ip;
    uint8_t prefix_len;         /* Of 128 bits: 96 + N for IPv4's /N. */
    struct mac mac;
};

typedef void rtnl_event_cb(const struct rtnl_event *, void *aux);

/* Hands the news to 'cb'; never waits.  What a flood of it leaves over is for
 * the next call, as rtnl_wait() knows. */
void rtnl_receive(struct rtnl *, rtnl_event_cb *cb, void *aux);
void rtnl_wait(struct rtnl *);

#endif /* vswitchd-ext/rtnl.h */
