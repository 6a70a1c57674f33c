#include <config.h>

#include "vswitchd-ext/frame-ring.h"

#include <stdint.h>

#include "dp-packet.h"
#include "util.h"

/* A cell is free for the producer at position P when its turn is P, and holds
 * a packet for the consumer at position P when its turn is P + 1. */
struct frame_cell {
    size_t turn;                /* Atomic. */
    struct dp_packet *packet;
};

struct frame_ring {
    size_t mask;
    struct frame_cell *cells;

    /* Atomic.  Apart, since different threads write them. */
    size_t head __attribute__((aligned(64))); /* Next to push. */
    size_t tail __attribute__((aligned(64))); /* Next to pop. */
};

struct frame_ring *
frame_ring_create(size_t size)
{
    struct frame_ring *ring = xzalloc_cacheline(sizeof *ring);

    ovs_assert(size && !(size & (size - 1)));
    ring->mask = size - 1;
    ring->cells = xcalloc(size, sizeof *ring->cells);
    for (size_t i = 0; i < size; i++) {
        ring->cells[i].turn = i;
    }
    return ring;
}

void
frame_ring_destroy(struct frame_ring *ring)
{
    struct dp_packet *packet;

    if (!ring) {
        return;
    }
    while ((packet = frame_ring_pop(ring))) {
        dp_packet_delete(packet);
    }
    free(ring->cells);
    free_cacheline(ring);
}

/* Claims the position in '*counter' whose cell has the turn position + 'lead'.
 * Returns the cell and stores the position, or NULL if it is not that turn. */
static struct frame_cell *
frame_ring_claim(struct frame_ring *ring, size_t *counter,
                 size_t lead, size_t *positionp)
{
    size_t position = __atomic_load_n(counter, __ATOMIC_RELAXED);

    for (;;) {
        struct frame_cell *cell = &ring->cells[position & ring->mask];
        size_t turn = __atomic_load_n(&cell->turn, __ATOMIC_ACQUIRE);
        intptr_t ahead = (intptr_t) (turn - (position + lead));

        if (ahead < 0) {
            return NULL;
        } else if (ahead > 0) {
            position = __atomic_load_n(counter, __ATOMIC_RELAXED);
        } else if (__atomic_compare_exchange_n(
                       counter, &position, position + 1, true,
                       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            *positionp = position;
            return cell;
        }
    }
}

bool
frame_ring_push(struct frame_ring *ring, struct dp_packet *packet)
{
    size_t position;
    struct frame_cell *cell = frame_ring_claim(ring, &ring->head, 0,
                                               &position);

    if (!cell) {
        return false;
    }
    cell->packet = packet;
    __atomic_store_n(&cell->turn, position + 1, __ATOMIC_RELEASE);
    return true;
}

struct dp_packet *
frame_ring_pop(struct frame_ring *ring)
{
    size_t position;
    struct frame_cell *cell = frame_ring_claim(ring, &ring->tail, 1,
                                               &position);
    struct dp_packet *packet;

    if (!cell) {
        return NULL;
    }
    packet = cell->packet;
    __atomic_store_n(&cell->turn, position + ring->mask + 1,
                          __ATOMIC_RELEASE);
    return packet;
}

bool
frame_ring_is_empty(const struct frame_ring *ring)
{
    size_t tail = __atomic_load_n(&ring->tail, __ATOMIC_RELAXED);
    const struct frame_cell *cell = &ring->cells[tail & ring->mask];

    return __atomic_load_n(&cell->turn, __ATOMIC_ACQUIRE)
           != tail + 1;
}
