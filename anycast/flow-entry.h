/* Inside the flow table: entries, buckets, how threads share them, and the
 * packet path's lookup.  Included by flow-table.h; others' code has no use for
 * what is not declared there.
 *
 * An entry is a few 64-bit words: the key's, and at last the info word, which
 * tells of all its life:
 *
 *     FREE ──claim──► CLAIMED ──publish──► live states ──release──► FREE
 *                        ▲                     │   ▲
 *                        └──────── claim ──────┘   └ touch, repick
 *
 *   FREE     anyone may claim it.
 *   CLAIMED  belongs to the thread that claimed it, which writes the key and
 *            publishes; nobody else writes any of the words.
 *   live     the key does not change.  Any thread may replace the info word.
 *   live and FLOW_INFO_MOVING: the copy of a flow that is on its way to its
 *            other bucket.  Readers may find and touch it; only
 *            the thread that moves it may claim it, release it or take the
 *            flag off.  So a flow never ends twice.
 *
 * Every arrow but 'publish' is a compare-and-swap of the info word, and all
 * but 'touch' and 'publish' raise the generation, so that acting on what was
 * read either hits that very entry or fails.  The exception is a touch that
 * only renews the time, see flow_table_refresh().
 *
 * A reader takes the info word, the key, and the info word again, the first
 * two with acquire.  Had the key been rewritten in between, it would see that
 * or the claim: the writer stores the key with release after the claim, so
 * that to see a word of the new key is to see the new generation, too.
 *
 * IPv4 and IPv6 differ in the number of words alone.  It is the argument
 * 'words' of the functions here: always a constant, and they always inlined,
 * so that each kind gets code of its own from one source. */

#ifndef ANYCAST_FLOW_ENTRY_H
#define ANYCAST_FLOW_ENTRY_H 1

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/flow-table.h"

#define FLOW_INLINE static inline __attribute__((always_inline))

enum {
    FLOW_WORDS4 = 2,            /* In an entry, the info word included. */
    FLOW_WORDS6 = 4,
};
static_assert(FLOW_WAYS == 4 && FLOW_WORDS4 * sizeof(uint64_t) == 16,
              "a bucket of IPv4 flows is one cache line");

/* Entries of one kind. */
struct flow_area {
    uint64_t *entries;          /* FLOW_WAYS to a bucket. */
    uint64_t n_buckets;         /* Even, for flow_other_bucket(). */

    /* Moves from second to first buckets, see flow-room.c; on a line of its
     * own. */
    uint64_t n_moved_back __attribute__((aligned(64)));
} __attribute__((aligned(64)));

struct flow_table {
    /* Constant, read for every packet. */
    struct flow_area area4, area6;

    void *memory;               /* flow-memory.c's. */
    size_t memory_size;
    bool own_memory;

    /* Written for new and ended flows only, on lines of their own. */
    struct flow_table_stats stats __attribute__((aligned(64)));
    uint64_t n_short;           /* Searches to be short, see flow-insert.c. */
    uint64_t sweep_next;        /* Bucket, those of IPv6 last. */
} __attribute__((aligned(64)));

/* The words of a key as in an entry; IPv4 uses the first alone. */
struct flow_words {
    uint64_t w[FLOW_WORDS6 - 1];
};

FLOW_INLINE struct flow_words
flow_words_from_key(const struct flow_key *key, unsigned int words)
{
    uint64_t ports = flow_key_ports(key);

    return (words == FLOW_WORDS4
            ? (struct flow_words) {
                  { (uint64_t) inet_addr_to4(key->src) << 32 | ports } }
            : (struct flow_words) {
                  { key->src.hi, key->src.lo, ports << 32 } });
}

FLOW_INLINE struct flow_key
flow_words_to_key(const struct flow_words *key, uint32_t group,
                  unsigned int words)
{
    uint64_t ports = words == FLOW_WORDS4 ? key->w[0] : key->w[2] >> 32;

    return (struct flow_key) {
        .src = (words == FLOW_WORDS4 ? inet_addr_from4(key->w[0] >> 32)
                : (struct inet_addr) { key->w[0], key->w[1] }),
        .src_port = ports >> 16,
        .dst_port = ports,
        .group = group,
    };
}

/* The info word:
 *
 *     group 20 | endpoint 12 | last seen 16 | second 1 | state 3 | moving 1
 *     generation 11
 *
 * FLOW_INFO_SECOND: the entry is in its flow's second bucket. */
enum {
    FLOW_GROUP_SHIFT     = 44,
    FLOW_ENDPOINT_SHIFT  = 32,
    FLOW_SEEN_SHIFT      = 16,
    FLOW_INFO_SECOND     = 0x8000,
    FLOW_STATE_SHIFT     = 12,
    FLOW_STATE_MASK      = 0x7,
    FLOW_INFO_MOVING     = 0x800,
    FLOW_GENERATION_MASK = 0x7ff,
    FLOW_ENDPOINT_MASK   = 0xfff,
};
static_assert(N_FLOW_STATES == FLOW_STATE_MASK + 1, "three bits, all used");

FLOW_INLINE uint32_t
flow_info_group(uint64_t info)
{
    return info >> FLOW_GROUP_SHIFT;
}

FLOW_INLINE uint16_t
flow_info_endpoint(uint64_t info)
{
    return info >> FLOW_ENDPOINT_SHIFT & FLOW_ENDPOINT_MASK;
}

FLOW_INLINE uint16_t
flow_info_seen(uint64_t info)
{
    return info >> FLOW_SEEN_SHIFT;
}

FLOW_INLINE enum flow_state
flow_info_state(uint64_t info)
{
    return info >> FLOW_STATE_SHIFT & FLOW_STATE_MASK;
}

FLOW_INLINE bool
flow_info_is_live(uint64_t info)
{
    return flow_info_state(info) > FLOW_CLAIMED;
}

/* 'info' with another state and time. */
FLOW_INLINE uint64_t
flow_info_set(uint64_t info, enum flow_state state, uint16_t seen)
{
    uint64_t fields = (uint64_t) UINT16_MAX << FLOW_SEEN_SHIFT
                      | (uint64_t) FLOW_STATE_MASK << FLOW_STATE_SHIFT;

    return ((info & ~fields) | (uint64_t) seen << FLOW_SEEN_SHIFT
            | (uint64_t) state << FLOW_STATE_SHIFT);
}

/* 'info' with the generation of 'old' plus one. */
FLOW_INLINE uint64_t
flow_info_succeed(uint64_t info, uint64_t old)
{
    return (info & ~(uint64_t) FLOW_GENERATION_MASK)
           | ((old + 1) & FLOW_GENERATION_MASK);
}

/* Seconds since 'info' was last seen; 0 if that is a little ahead of 'now',
 * which is another thread's clock. */
FLOW_INLINE uint16_t
flow_info_idle(uint64_t info, uint16_t now)
{
    uint16_t idle = now - flow_info_seen(info);

    return idle >= UINT16_MAX - FLOW_MAX_SKEW ? 0 : idle;
}

/* Seconds, by state; 0 for FLOW_FREE and FLOW_CLAIMED, which are no flows. */
extern const uint16_t flow_timeouts[N_FLOW_STATES];

FLOW_INLINE bool
flow_info_is_over(uint64_t info, uint16_t now)
{
    return flow_info_idle(info, now) >= flow_timeouts[flow_info_state(info)];
}

/* Whether an entry with 'info' is there for the taking. */
FLOW_INLINE bool
flow_info_is_vacant(uint64_t info, uint16_t now)
{
    return (flow_info_is_over(info, now)
            && flow_info_state(info) != FLOW_CLAIMED
            && !(info & FLOW_INFO_MOVING));
}

/* Access to words that threads share.  A test can have something else happen
 * before each. */
#ifndef FLOW_STEP
#define FLOW_STEP() ((void) 0)
#endif

FLOW_INLINE uint64_t
flow_load(const uint64_t *word)
{
    FLOW_STEP();
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

FLOW_INLINE uint64_t
flow_load_relaxed(const uint64_t *word)
{
    FLOW_STEP();
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

FLOW_INLINE void
flow_store(uint64_t *word, uint64_t value)
{
    FLOW_STEP();
    __atomic_store_n(word, value, __ATOMIC_RELEASE);
}

FLOW_INLINE bool
flow_swap(uint64_t *word, uint64_t old, uint64_t new)
{
    FLOW_STEP();
    return __atomic_compare_exchange_n(word, &old, new, false,
                                       __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Adds 1 and tells what happened before. */
FLOW_INLINE void
flow_announce(uint64_t *counter)
{
    FLOW_STEP();
    __atomic_fetch_add(counter, 1, __ATOMIC_RELEASE);
}

FLOW_INLINE void
flow_count(uint64_t *counter, int64_t delta)
{
    __atomic_fetch_add(counter, delta, __ATOMIC_RELAXED);
}

/* Buckets.  A flow's hash names its first one, by its low 32 bits (slots go by
 * the topmost).  The other one depends on the key alone besides, so that an
 * entry can be moved without knowing its hash: it is (an odd number made of
 * the key - the bucket) mod n, which leads back as well, and is never the same
 * because n is even.  The odd number need not be secret: the first bucket
 * is. */
FLOW_INLINE uint64_t
flow_first_bucket(const struct flow_area *area, uint64_t hash)
{
    return (hash & UINT32_MAX) * area->n_buckets >> 32;
}

FLOW_INLINE uint64_t
flow_other_bucket(const struct flow_area *area, unsigned int words, uint64_t b,
                  const struct flow_words *key)
{
    const uint64_t factor = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = key->w[0] * factor;

    for (unsigned int i = 1; i < words - 1; i++) {
        x = (x ^ x >> 32 ^ key->w[i]) * factor;
    }
    x = (x ^ x >> 32) * factor; /* Or neighbours go to neighbours. */

    uint64_t odd = (x >> 32) * (area->n_buckets / 2) >> 32 << 1 | 1;
    return odd >= b ? odd - b : odd + area->n_buckets - b;
}

FLOW_INLINE uint64_t *
flow_entry_at(const struct flow_area *area, unsigned int words, uint64_t b,
              unsigned int way)
{
    return area->entries + (b * FLOW_WAYS + way) * words;
}

FLOW_INLINE uint64_t *
flow_entry_info(uint64_t *entry, unsigned int words)
{
    return &entry[words - 1];
}

/* Whether 'entry' is that of 'key', if nobody writes to it meanwhile. */
FLOW_INLINE bool
flow_entry_has_key(const uint64_t *entry, unsigned int words,
                   const struct flow_words *key)
{
    uint64_t differ = 0;

    for (unsigned int i = 0; i < words - 1; i++) {
        differ |= flow_load(&entry[i]) ^ key->w[i];
    }
    return !differ;
}

/* Reads the live entry 'entry' if it is the flow with 'key' of 'group'.  Looks
 * again if it changes meanwhile: it may still be that flow, on another
 * endpoint.  (So each round is another thread's success.) */
FLOW_INLINE bool
flow_entry_read(const uint64_t *entry, unsigned int words,
                const struct flow_words *key, uint32_t group, uint64_t *infop)
{
    uint64_t again = flow_load(&entry[words - 1]), info;

    do {
        info = again;
        if (!flow_info_is_live(info) || flow_info_group(info) != group
            || !flow_entry_has_key(entry, words, key)) {
            return false;
        }
        again = flow_load(&entry[words - 1]);
    } while ((again ^ info) & FLOW_GENERATION_MASK);
    *infop = info;
    return true;
}

/* Stores what ends with 'info', a live entry's. */
FLOW_INLINE void
flow_ended_set(struct flow_ended *ended, uint64_t info)
{
    ended->group = flow_info_group(info);
    ended->endpoint = flow_info_endpoint(info);
    ended->state = flow_info_state(info);
}

/* A place in the table that an insertion may take, and what is there. */
struct flow_place {
    uint64_t *entry;            /* NULL: there is no such place. */
    uint64_t info;
    uint16_t idle;
    bool second;                /* In the flow's second bucket. */
};

/* Claims 'entry', seen with 'info', which must not be moving, and counts what
 * became of its flow.  If that was live, stores it in '*ended', which must not
 * be in use.  False if another thread was quicker.  (anycast/flow-insert.c) */
bool flow_entry_claim(struct flow_table *, uint64_t *entry, unsigned int words,
                      uint64_t info, uint16_t now, struct flow_ended *ended);

/* Vacates a way of bucket 'first' or 'second', both full, by moving a flow to
 * its other bucket, and others there to make room for it, after a look at up
 * to 'max' buckets.  If nothing is vacant there but 'take_weak', a weak flow
 * gives way.  Stores the place in '*place', and in '*ended' who had to go or
 * had timed out.  False if no short chain of moves would do.  If one would,
 * but other threads were quicker, the place has a NULL entry.
 * (anycast/flow-room.c) */
enum { FLOW_ROOM_MAX = 128 };
bool flow_room_make4(struct flow_table *, uint64_t first, uint64_t second,
                     uint16_t now, int max, bool take_weak,
                     struct flow_place *place, struct flow_ended *ended);
bool flow_room_make6(struct flow_table *, uint64_t first, uint64_t second,
                     uint16_t now, int max, bool take_weak,
                     struct flow_place *place, struct flow_ended *ended);

/* The packet path. */

/* Fills in '*ref' for 'entry', read with 'info'. */
FLOW_INLINE void
flow_ref_set(struct flow_ref *ref, const uint64_t *entry, unsigned int words,
             uint64_t info, uint16_t idle)
{
    ref->word = info;
    ref->entry = (uintptr_t) &entry[words - 1];
    ref->endpoint = flow_info_endpoint(info);
    ref->idle = idle;
    ref->state = flow_info_state(info);
    ref->is6 = words == FLOW_WORDS6;
}

/* flow_table_lookup4() and flow_table_touch() where they have more to do than
 * for most packets.  (anycast/flow-table.c) */
bool flow_table_search4(const struct flow_table *, uint64_t hash,
                        uint64_t word, uint32_t group, uint32_t now_s,
                        struct flow_ref *ref);
enum flow_state flow_table_note(const struct flow_ref *ref, uint32_t now_s,
                                enum flow_state state);

static inline void
flow_table_prefetch4(const struct flow_table *table, uint64_t hash)
{
    const struct flow_area *area = &table->area4;

    __builtin_prefetch(flow_entry_at(area, FLOW_WORDS4,
                                     flow_first_bucket(area, hash), 0));
}

static inline void
flow_table_prefetch_both4(const struct flow_table *table, uint64_t hash,
                          uint64_t word)
{
    const struct flow_area *area = &table->area4;
    struct flow_words key = { { word } };
    uint64_t first = flow_first_bucket(area, hash);

    __builtin_prefetch(flow_entry_at(area, FLOW_WORDS4, first, 0));
    __builtin_prefetch(flow_entry_at(area, FLOW_WORDS4,
                                     flow_other_bucket(area, FLOW_WORDS4,
                                                       first, &key), 0));
}

static inline void
flow_table_prefetch6(const struct flow_table *table, uint64_t hash)
{
    const struct flow_area *area = &table->area6;
    uint64_t b = flow_first_bucket(area, hash);

    __builtin_prefetch(flow_entry_at(area, FLOW_WORDS6, b, 0));
    __builtin_prefetch(flow_entry_at(area, FLOW_WORDS6, b, FLOW_WAYS / 2));
}

/* The entry of 'bucket' that has 'word' for its key, or any: found without a
 * branch, for which way a flow is in nobody can predict. */
FLOW_INLINE const uint64_t *
flow_bucket_guess4(const uint64_t *bucket, uint64_t word)
{
    const uint64_t *way1 = &bucket[1 * FLOW_WORDS4];
    const uint64_t *way2 = &bucket[2 * FLOW_WORDS4];
    const uint64_t *way3 = &bucket[3 * FLOW_WORDS4];
    const uint64_t *entry = bucket;

    entry = flow_load_relaxed(way1) == word ? way1 : entry;
    entry = flow_load_relaxed(way2) == word ? way2 : entry;
    return flow_load_relaxed(way3) == word ? way3 : entry;
}

static inline void
flow_query_begin(const struct flow_table *table, struct flow_query *q,
                 uint64_t hash, uint64_t word)
{
    const struct flow_area *area = &table->area4;

    q->word = word;
    q->entry = flow_entry_at(area, FLOW_WORDS4, flow_first_bucket(area, hash),
                             0);
    __builtin_prefetch(q->entry);
}

static inline bool
flow_query_first(struct flow_query *q)
{
    q->entry = flow_bucket_guess4(q->entry, q->word);
    return flow_load_relaxed(&q->entry[0]) == q->word;
}

static inline void
flow_query_turn(const struct flow_table *table, struct flow_query *q,
                uint64_t hash)
{
    const struct flow_area *area = &table->area4;
    struct flow_words key = { { q->word } };
    uint64_t other = flow_other_bucket(area, FLOW_WORDS4,
                                       flow_first_bucket(area, hash), &key);

    q->entry = flow_entry_at(area, FLOW_WORDS4, other, 0);
    __builtin_prefetch(q->entry);
}

static inline void
flow_query_second(struct flow_query *q)
{
    q->entry = flow_bucket_guess4(q->entry, q->word);
}

/* Takes it that no other flow in the bucket has the same key word, and nobody
 * writes to it right now. */
static inline bool
flow_query_read(const struct flow_query *q, uint32_t group, uint32_t now_s,
                struct flow_ref *ref)
{
    const uint64_t *entry = q->entry;
    uint64_t info = flow_load(&entry[1]);
    uint16_t idle = now_s - flow_info_seen(info);

    if (__builtin_expect(flow_load(&entry[0]) == q->word
                         && flow_info_group(info) == group
                         && idle < flow_timeouts[flow_info_state(info)]
                         && flow_load_relaxed(&entry[1]) == info, 1)) {
        flow_ref_set(ref, entry, FLOW_WORDS4, info, idle);
        return true;
    }
    return false;
}

/* Whatever is not as flow_query_read() takes it to be, or in the second
 * bucket, flow_table_search4() finds. */
static inline bool
flow_table_lookup4(const struct flow_table *table, uint64_t hash,
                   uint64_t word, uint32_t group, uint32_t now_s,
                   struct flow_ref *ref)
{
    const struct flow_area *area = &table->area4;
    struct flow_query q = {
        .word = word,
        .entry = flow_entry_at(area, FLOW_WORDS4,
                               flow_first_bucket(area, hash), 0),
    };

    flow_query_first(&q);
    return (flow_query_read(&q, group, now_s, ref)
            || flow_table_search4(table, hash, word, group, now_s, ref));
}

/* Half a word is written while other threads may swap all of it, which then
 * fails for them; should the entry have changed hands, its new flow was seen
 * just now, too. */
static inline void
flow_table_refresh(const struct flow_ref *ref, uint32_t now_s)
{
    typedef uint16_t __attribute__((may_alias)) part;
    enum {
        PART = (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
                ? FLOW_SEEN_SHIFT / 16 : 3 - FLOW_SEEN_SHIFT / 16),
    };

    if (ref->idle) {
        FLOW_STEP();
        __atomic_store_n((part *) (uintptr_t) ref->entry + PART, now_s,
                         __ATOMIC_RELAXED);
    }
}

static inline enum flow_state
flow_table_touch(struct flow_table *table, const struct flow_ref *ref,
                 uint32_t now_s, enum flow_state state)
{
    (void) table;
    return (ref->idle || ref->state != state
            ? flow_table_note(ref, now_s, state) : state);
}

#endif /* anycast/flow-entry.h */
