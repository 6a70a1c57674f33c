/* A bounded queue of packets between threads, without locks: any number of
 * producers and consumers (after D. Vyukov's bounded MPMC queue: each cell
 * carries a sequence number that says whose turn it is). */

#ifndef VSWITCHD_EXT_FRAME_RING_H
#define VSWITCHD_EXT_FRAME_RING_H 1

#include <stdbool.h>
#include <stddef.h>

struct dp_packet;
struct frame_ring;

/* 'size' is a power of two, the most packets that the ring can hold. */
struct frame_ring *frame_ring_create(size_t size);

/* Destroys the ring and the packets in it.  Nobody may be using it. */
void frame_ring_destroy(struct frame_ring *);

/* Takes ownership of 'packet' if it returns true; false if the ring is full.
 */
bool frame_ring_push(struct frame_ring *, struct dp_packet *packet);

/* The oldest packet, now the caller's, or NULL. */
struct dp_packet *frame_ring_pop(struct frame_ring *);

bool frame_ring_is_empty(const struct frame_ring *);

#endif /* vswitchd-ext/frame-ring.h */
