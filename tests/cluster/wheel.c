#include "tests/cluster/wheel.h"

#include <assert.h>
#include <stdlib.h>

struct node {
    struct wheel_event event;
    uint32_t next;              /* 0: none. */
};

struct wheel {
    uint64_t now;
    uint32_t first[WHEEL_TICKS], last[WHEEL_TICKS]; /* 0: none. */
    struct node *nodes;         /* The first is not used. */
    uint32_t n_nodes, max_nodes;
    uint32_t free;
};

struct wheel *
wheel_create(void)
{
    struct wheel *wheel = calloc(1, sizeof *wheel);

    if (!wheel) {
        abort();
    }
    wheel->n_nodes = 1;
    return wheel;
}

void
wheel_destroy(struct wheel *wheel)
{
    if (wheel) {
        free(wheel->nodes);
        free(wheel);
    }
}

uint64_t
wheel_now(const struct wheel *wheel)
{
    return wheel->now;
}

static uint32_t
take_node(struct wheel *wheel)
{
    uint32_t node = wheel->free;

    if (node) {
        wheel->free = wheel->nodes[node].next;
        return node;
    }
    if (wheel->n_nodes >= wheel->max_nodes) {
        wheel->max_nodes = wheel->max_nodes ? wheel->max_nodes * 2 : 1024;
        wheel->nodes = realloc(wheel->nodes,
                               wheel->max_nodes * sizeof *wheel->nodes);
        if (!wheel->nodes) {
            abort();
        }
    }
    return wheel->n_nodes++;
}

void
wheel_add(struct wheel *wheel, uint64_t delay,
          const struct wheel_event *event)
{
    uint32_t tick = (wheel->now + delay) % WHEEL_TICKS;
    uint32_t node = take_node(wheel);

    assert(delay < WHEEL_TICKS);
    wheel->nodes[node] = (struct node) { .event = *event };
    if (wheel->last[tick]) {
        wheel->nodes[wheel->last[tick]].next = node;
    } else {
        wheel->first[tick] = node;
    }
    wheel->last[tick] = node;
}

bool
wheel_next(struct wheel *wheel, struct wheel_event *event)
{
    uint32_t tick = wheel->now % WHEEL_TICKS;
    uint32_t node = wheel->first[tick];

    if (!node) {
        return false;
    }
    *event = wheel->nodes[node].event;
    wheel->first[tick] = wheel->nodes[node].next;
    if (!wheel->first[tick]) {
        wheel->last[tick] = 0;
    }
    wheel->nodes[node].next = wheel->free;
    wheel->free = node;
    return true;
}

void
wheel_advance(struct wheel *wheel)
{
    assert(!wheel->first[wheel->now % WHEEL_TICKS]);
    wheel->now++;
}
