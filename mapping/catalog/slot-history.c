#include <config.h>
#include "mapping/catalog/slot-history.h"

#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "util.h"

static uint16_t
get(const uint16_t *layer, size_t slot)
{
    return layer ? layer[slot] : GROUP_NO_ENDPOINT;
}

/* The previous owners of one slot. */
struct owners {
    uint16_t owner[GROUP_MAX_PREVIOUS];
    size_t n;
};

static void
add(struct owners *owners, uint16_t owner, uint16_t present,
    const unsigned long *keeps)
{
    if (owner == GROUP_NO_ENDPOINT || owner == present
        || owners->n >= GROUP_MAX_PREVIOUS || !bitmap_is_set(keeps, owner)) {
        return;
    }
    for (size_t i = 0; i < owners->n; i++) {
        if (owners->owner[i] == owner) {
            return;
        }
    }
    owners->owner[owners->n++] = owner;
}

/* Whether 'slot', as most, keeps its owner and never had another. */
static bool
is_quiet(uint16_t *const layers[GROUP_MAX_PREVIOUS], const uint16_t *from,
         const uint16_t *to, size_t slot)
{
    bool quiet = get(from, slot) == to[slot];

    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        quiet &= get(layers[i], slot) == GROUP_NO_ENDPOINT;
    }
    return quiet;
}

static uint16_t *
empty_layer(size_t n)
{
    uint16_t *layer = xmalloc(n * sizeof *layer);

    memset(layer, 0xff, n * sizeof *layer); /* GROUP_NO_ENDPOINT. */
    return layer;
}

bool
slot_history_next(uint16_t *const layers[GROUP_MAX_PREVIOUS],
                  const uint16_t *from, const uint16_t *to, size_t n,
                  const unsigned long *keeps,
                  uint16_t *next[GROUP_MAX_PREVIOUS])
{
    uint16_t *result[GROUP_MAX_PREVIOUS] = { NULL };
    bool differs = false;

    for (size_t slot = 0; slot < n; slot++) {
        struct owners owners = { .n = 0 };

        if (is_quiet(layers, from, to, slot)) {
            continue;
        }
        add(&owners, get(from, slot), to[slot], keeps);
        for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
            add(&owners, get(layers[i], slot), to[slot], keeps);
        }
        for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
            uint16_t owner = (i < owners.n ? owners.owner[i]
                              : GROUP_NO_ENDPOINT);

            differs |= owner != get(layers[i], slot);
            if (owner != GROUP_NO_ENDPOINT) {
                if (!result[i]) {
                    result[i] = empty_layer(n);
                }
                result[i][slot] = owner;
            }
        }
    }
    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        if (differs) {
            next[i] = result[i];
        } else {
            free(result[i]);
        }
    }
    return differs;
}

size_t
slot_history_check(uint16_t *const layers[GROUP_MAX_PREVIOUS],
                   const uint16_t *slots, size_t n,
                   const unsigned long *keeps)
{
    for (size_t slot = 0; slot < n; slot++) {
        struct owners owners = { .n = 0 };

        for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
            uint16_t owner = get(layers[i], slot);

            if (owner == GROUP_NO_ENDPOINT) {
                continue;
            }
            if (owner >= GROUP_MAX_ENDPOINTS) {
                return slot;
            }
            add(&owners, owner, slots[slot], keeps);
            if (owners.n != i + 1) {
                return slot;
            }
        }
    }
    return n;
}

static bool
is_empty(const uint16_t *layer, size_t n)
{
    size_t i = 0;

    while (layer && i < n && layer[i] == GROUP_NO_ENDPOINT) {
        i++;
    }
    return !layer || i == n;
}

void
slot_history_copy(uint16_t *copy[GROUP_MAX_PREVIOUS],
                  uint16_t *const layers[GROUP_MAX_PREVIOUS], size_t n)
{
    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        copy[i] = (is_empty(layers[i], n) ? NULL
                   : xmemdup(layers[i], n * sizeof *layers[i]));
    }
}
