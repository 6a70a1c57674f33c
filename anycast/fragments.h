/* IP fragments: later fragments follow the first one, which alone has ports.
 *
 * A datagram is known by (VNI, source, destination, protocol, identification).
 * What the first fragment says (an opaque 'verdict' of the caller's) is kept
 * for FRAGMENT_TIMEOUT_MS; later fragments that come before it wait, at most
 * FRAGMENTS_HELD in all and FRAGMENTS_HELD_EACH for a datagram, as long as
 * that from the first one seen.  When there is no room the datagram gives way
 * that has waited, or has been known, for longest, so a flood costs other
 * fragments, nothing else: neither memory nor time.
 *
 * The caller owns the packets: it hands in cookies and gets them back, each
 * exactly once, by fragments_next_ready() or fragments_next_expired().
 *
 *     result = fragments_later(f, &key, cookie, now_ms, &verdict);
 *     ...
 *     while ((cookie = fragments_next_ready(f))) {
 *         ...again to fragments_later()...
 *     }
 *     while ((cookie = fragments_next_expired(f, now_ms))) {
 *         ...drop it...
 *     }
 *
 * Thread safety: none, each thread has its own.  Times are in milliseconds on
 * one clock that does not go back. */

#ifndef ANYCAST_FRAGMENTS_H
#define ANYCAST_FRAGMENTS_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/flow-hash.h"
#include "encap/inet.h"

enum {
    FRAGMENT_DATAGRAMS  = 1024,
    FRAGMENTS_HELD      = 256,
    FRAGMENTS_HELD_EACH = 48,   /* 64 kB in fragments of 1400 bytes. */
    FRAGMENT_TIMEOUT_MS = 5000,
};

struct fragment_key {
    struct inet_addr src, dst;
    uint32_t vni;
    uint32_t id;
    uint8_t protocol;           /* As in encap_view. */
};

/* What a first fragment settles for the others of its datagram. */
struct fragment_verdict {
    uint32_t group;             /* Group id, ... */
    uint16_t src_port, dst_port; /* ... and what else makes the flow's key. */
};

struct fragments;

/* NULL if there is no memory.  'key' is for its hash. */
struct fragments *fragments_create(const struct hash_key *key);

/* Must hold no packets: fragments_next_ready(), and fragments_next_expired()
 * at UINT64_MAX, until they return NULL, see to it. */
void fragments_destroy(struct fragments *);

/* The first fragment of a datagram has come.  If it is known already the new
 * verdict counts, from now on: identifications are used again. */
void fragments_first(struct fragments *, const struct fragment_key *,
                     const struct fragment_verdict *, uint64_t now_ms);

enum fragment_result {
    FRAGMENT_KNOWN,             /* '*verdict' applies. */
    FRAGMENT_HELD,              /* 'cookie' is kept. */
    FRAGMENT_REFUSED,           /* The datagram has FRAGMENTS_HELD_EACH, or the
                                 * caller has not asked for those that are
                                 * ready or expired; 'cookie' stays its. */
};

/* A later fragment has come.  'cookie' is not NULL.  '*verdict' is set with
 * FRAGMENT_KNOWN only. */
enum fragment_result fragments_later(struct fragments *,
                                     const struct fragment_key *,
                                     void *cookie, uint64_t now_ms,
                                     struct fragment_verdict *);

/* A held packet whose first fragment has come since, in the order in which
 * they came; NULL if there is none. */
void *fragments_next_ready(struct fragments *);

/* A held packet that has waited for too long, or had to give way; NULL if
 * there is none. */
void *fragments_next_expired(struct fragments *, uint64_t now_ms);

/* Whether any packet is held or ready.  Cheap. */
bool fragments_pending(const struct fragments *);

#endif /* anycast/fragments.h */
