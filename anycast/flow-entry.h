/* Inside the flow table: entries, buckets, and how threads share them.
 *
 * The life of an entry, all of it told by word 1:
 *
 *     FREE ──claim──► CLAIMED ──publish──► live states ──release──► FREE
 *                        ▲                     │   ▲
 *                        └──────── claim ──────┘   └ touch, repick
 *
 *   FREE     anyone may claim it.
 *   CLAIMED  belongs to the thread that claimed it, which writes word 0 and
 *            publishes; nobody else writes either word.
 *   live     word 0 does not change.  Any thread may replace word 1.
 *
 * Every arrow but 'publish' is a compare-and-swap of word 1, and all but
 * 'touch' and 'publish' raise the generation, so that acting on what was read
 * either hits that very entry or fails.
 *
 * A reader takes word 1, word 0, and word 1 again, each with acquire.  Had
 * word 0 been rewritten in between, it would see that or the claim: the
 * writer stores it with release after the claim, so that to see the new word 0
 * is to see the new generation, too. */

#ifndef ANYCAST_FLOW_ENTRY_H
#define ANYCAST_FLOW_ENTRY_H 1

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/flow-table.h"

struct flow_entry {
    uint64_t key;               /* Word 0: flow_key4_word(). */
    uint64_t info;              /* Word 1. */
};

struct flow_bucket {
    struct flow_entry ways[FLOW_WAYS];
} __attribute__((aligned(64)));
static_assert(sizeof(struct flow_bucket) == 64, "one cache line");

struct flow_table {
    /* Constant, read for every packet. */
    struct flow_bucket *buckets;
    uint64_t mask;              /* Number of buckets - 1. */
    size_t memory;              /* Bytes of 'buckets'. */

    /* Written for new and ended flows only, on lines of their own. */
    struct flow_table_stats stats __attribute__((aligned(64)));
    uint64_t sweep_next;        /* Bucket. */
} __attribute__((aligned(64)));

/* Word 1.  FLOW_INFO_SECOND is the top bit of the state's four: the entry is
 * in its flow's second bucket. */
enum {
    FLOW_GROUP_SHIFT    = 44,
    FLOW_ENDPOINT_SHIFT = 32,
    FLOW_SEEN_SHIFT     = 16,
    FLOW_STATE_SHIFT    = 12,
    FLOW_INFO_SECOND    = 0x8 << FLOW_STATE_SHIFT,
    FLOW_STATE_MASK     = 0x7,
    FLOW_ENDPOINT_MASK  = 0xfff,
    FLOW_GENERATION_MASK = 0xfff,
};
static_assert(N_FLOW_STATES <= FLOW_STATE_MASK + 1, "fits beside the flag");

static inline uint32_t
flow_info_group(uint64_t info)
{
    return info >> FLOW_GROUP_SHIFT;
}

static inline uint16_t
flow_info_endpoint(uint64_t info)
{
    return info >> FLOW_ENDPOINT_SHIFT & FLOW_ENDPOINT_MASK;
}

static inline uint16_t
flow_info_seen(uint64_t info)
{
    return info >> FLOW_SEEN_SHIFT;
}

static inline enum flow_state
flow_info_state(uint64_t info)
{
    return info >> FLOW_STATE_SHIFT & FLOW_STATE_MASK;
}

static inline bool
flow_info_is_live(uint64_t info)
{
    return flow_info_state(info) > FLOW_CLAIMED;
}

/* 'info' with another state, time and flag FLOW_INFO_SECOND. */
static inline uint64_t
flow_info_set(uint64_t info, enum flow_state state, uint16_t seen,
              uint64_t second)
{
    uint64_t fields = (uint64_t) UINT16_MAX << FLOW_SEEN_SHIFT
                      | (uint64_t) 0xf << FLOW_STATE_SHIFT;

    return ((info & ~fields) | (uint64_t) seen << FLOW_SEEN_SHIFT
            | (uint64_t) state << FLOW_STATE_SHIFT | second);
}

/* 'info' with the generation of 'old' plus one. */
static inline uint64_t
flow_info_succeed(uint64_t info, uint64_t old)
{
    return (info & ~(uint64_t) FLOW_GENERATION_MASK)
           | ((old + 1) & FLOW_GENERATION_MASK);
}

/* Seconds since 'info' was last seen; 0 if that is a little ahead of 'now',
 * which is another thread's clock. */
static inline uint16_t
flow_info_idle(uint64_t info, uint16_t now)
{
    uint16_t idle = now - flow_info_seen(info);

    return idle >= UINT16_MAX - FLOW_MAX_SKEW ? 0 : idle;
}

extern const uint16_t flow_timeouts[N_FLOW_STATES];

/* Whether an entry with 'info', not claimed, is there for the taking. */
static inline bool
flow_info_is_vacant(uint64_t info, uint16_t now)
{
    enum flow_state state = flow_info_state(info);

    return (state == FLOW_FREE
            || (state != FLOW_CLAIMED
                && flow_info_idle(info, now) >= flow_timeouts[state]));
}

static inline uint64_t
flow_load(const uint64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void
flow_store(uint64_t *word, uint64_t value)
{
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline bool
flow_swap(uint64_t *word, uint64_t old, uint64_t new)
{
    return __atomic_compare_exchange_n(word, &old, new, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static inline void
flow_count(uint64_t *counter, int64_t delta)
{
    __atomic_fetch_add(counter, delta, __ATOMIC_RELAXED);
}

/* The bucket that a flow's hash names, and for a flow in bucket 'b' its other
 * one.  The latter depends on the key alone, so that an entry can be moved
 * without knowing its hash; an odd number keeps the two apart. */
static inline uint64_t
flow_first_bucket(const struct flow_table *table, uint64_t hash)
{
    return hash & table->mask;
}

static inline uint64_t
flow_other_bucket(const struct flow_table *table, uint64_t b, uint64_t key)
{
    uint64_t odd = key * UINT64_C(0x9e3779b97f4a7c15) >> 32 | 1;

    return b ^ (odd & table->mask);
}

/* Claims 'entry', seen with 'info'; counts what became of its flow.  False if
 * another thread was quicker. */
bool flow_entry_claim(struct flow_table *, struct flow_entry *entry,
                      uint64_t info, uint16_t now);

/* Vacates a way of bucket 'first' or 'second', both full, for a flow in
 * 'state', by moving a flow to its second bucket, and others there to make
 * room for it.  Stores the bucket and way in '*bucket' and '*way'.  False if
 * no short chain of moves would do.  (anycast/flow-room.c) */
bool flow_room_make(struct flow_table *, uint64_t first, uint64_t second,
                    uint16_t now, enum flow_state state, uint64_t *bucket,
                    unsigned int *way);

#endif /* anycast/flow-entry.h */
