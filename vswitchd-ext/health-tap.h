/* Where answers to health checks leave the packet path: what endpoints send to
 * the addresses that checks come from, and comes to an anycast port.
 *
 * One thread sets the addresses and takes the packets, any thread brings
 * them. */

#ifndef VSWITCHD_EXT_HEALTH_TAP_H
#define VSWITCHD_EXT_HEALTH_TAP_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

struct dp_packet;

enum {
    HEALTH_TAP_MAX   = 1024,    /* Packets that wait; more are dropped. */
    HEALTH_TAP_SHARE = 256,     /* Of these, of one tenant (or of some that
                                 * share it): one that sends a flood drowns
                                 * its own answers. */
};

struct health_tap_source {
    uint32_t vni;
    struct inet_addr address;
};

/* Only what is for one of these is taken from now on; 'sources' is copied. */
void health_tap_set(const struct health_tap_source *sources, size_t n);

/* Whether there are any: the packet path's first question, which costs one
 * load of memory that hardly ever changes. */
extern bool health_tap_is_open; /* Atomic. */

/* Takes 'packet' of tenant 'vni', which it then owns, if it is for one of the
 * addresses.  Returns whether it did. */
bool health_tap_offer(uint32_t vni, struct dp_packet *packet);

/* The next packet, owned by the caller, with its tenant; NULL: none waits. */
struct dp_packet *health_tap_take(uint32_t *vni);

/* How many were dropped so far, because too many waited. */
uint64_t health_tap_n_dropped(void);

/* Wakes the poll loop when there may be one. */
void health_tap_wait(void);

#endif /* vswitchd-ext/health-tap.h */
