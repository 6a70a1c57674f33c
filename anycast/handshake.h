/* Handshakes under way: when each flow's first SYN was seen, so that the first
 * ACK that follows tells the response time (X4).
 *
 * Fixed memory, direct-mapped by flow hash.  A newer handshake takes the place
 * of an older one in its slot: a flood costs measurements, nothing else.  One
 * thread's own; a flow whose SYN and ACK come by different threads is not
 * measured. */

#ifndef ANYCAST_HANDSHAKE_H
#define ANYCAST_HANDSHAKE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HANDSHAKE_SLOTS = 4096,
    HANDSHAKE_GIVE_UP_US = 10000000,
};

struct handshake {
    uint64_t hash;              /* 0: free. */
    uint64_t began_us;
    uint32_t group;             /* Group id and endpoint index, ... */
    uint16_t endpoint;          /* ... for who takes the result. */
    uint16_t repeats;           /* SYNs after the first. */
};

struct handshake_table {
    struct handshake slots[HANDSHAKE_SLOTS];
    uint32_t expire_next;
};

/* A SYN of the flow with 'hash', which is on 'endpoint' of 'group'.  Returns
 * true if it is a repeated one, with the time since the first in
 * '*elapsed_us'.  If it takes the place of another handshake that is not
 * finished, or of this flow's on another endpoint, stores that in
 * '*displaced', else sets its 'hash' to 0. */
bool handshake_syn(struct handshake_table *, uint64_t hash, uint32_t group,
                   uint16_t endpoint, uint64_t now_us, uint64_t *elapsed_us,
                   struct handshake *displaced);

/* The first ACK of the flow.  If its handshake is known, takes it out, stores
 * it in '*done' and returns true.  What was repeated is not to be measured
 * (P. Karn, C. Partridge, 1987). */
bool handshake_ack(struct handshake_table *, uint64_t hash,
                   struct handshake *done);

/* Looks at the next 'n' slots, and takes out and returns in '*given_up' the
 * first that is older than HANDSHAKE_GIVE_UP_US; false if there is none. */
bool handshake_expire(struct handshake_table *, size_t n, uint64_t now_us,
                      struct handshake *given_up);

#endif /* anycast/handshake.h */
