/* Two buckets to choose from, four entries each, no chains: a lookup costs one
 * cache line for most flows and two at worst (IPv6: twice that), and the size
 * never changes.  How threads share the entries is told in
 * anycast/flow-entry.h; insertion is in anycast/flow-insert.c, how room is
 * made in anycast/flow-room.c, memory in anycast/flow-memory.c. */

#include "anycast/flow-table.h"

#include <string.h>

enum {
    SEARCH_TRIES = 16,          /* When other threads are quicker. */
    TOUCH_TRIES = 4,            /* Likewise. */
};

const uint16_t flow_timeouts[N_FLOW_STATES] = {
    [FLOW_NEW]         = 240,
    [FLOW_UNPROVEN]    = 240,
    [FLOW_CLOSING]     = 240,
    [FLOW_ESTABLISHED] = 7440,
    [FLOW_DATAGRAM]    = 300,
    [FLOW_SOURCE]      = 14400,
};

/* Lookup. */

/* Returns the entry of bucket 'b' that the flow is in, and its info word in
 * '*info', or NULL. */
FLOW_INLINE const uint64_t *
find_in_bucket(const struct flow_area *area, unsigned int words, uint64_t b,
               const struct flow_words *key, uint32_t group, uint64_t *info)
{
    unsigned int equal = 0;

#pragma GCC unroll 4
    for (unsigned int way = 0; way < FLOW_WAYS; way++) {
        const uint64_t *entry = flow_entry_at(area, words, b, way);

        equal |= (unsigned int) flow_entry_has_key(entry, words, key) << way;
    }
    for (; equal; equal &= equal - 1) {
        const uint64_t *entry = flow_entry_at(area, words, b,
                                              __builtin_ctz(equal));

        if (flow_entry_read(entry, words, key, group, info)) {
            return entry;
        }
    }
    return NULL;
}

FLOW_INLINE bool
search(const struct flow_area *area, unsigned int words, uint64_t hash,
       const struct flow_words *key, uint32_t group, uint16_t now,
       struct flow_ref *ref)
{
    uint64_t first = flow_first_bucket(area, hash);
    uint64_t second = flow_other_bucket(area, words, first, key);
    uint64_t n_moved_back, info;
    const uint64_t *entry;
    int tries = 0;

    do {
        n_moved_back = flow_load(&area->n_moved_back);
        entry = find_in_bucket(area, words, first, key, group, &info);
        if (!entry) {
            entry = find_in_bucket(area, words, second, key, group, &info);
        }
    } while (!entry && flow_load_relaxed(&area->n_moved_back) != n_moved_back
             && ++tries < SEARCH_TRIES);
    if (!entry || flow_info_is_over(info, now)) {
        return false;
    }
    flow_ref_set(ref, entry, words, info, flow_info_idle(info, now));
    return true;
}

FLOW_INLINE void
prefetch_other(const struct flow_area *area, unsigned int words, uint64_t hash,
               const struct flow_key *flow_key)
{
    struct flow_words key = flow_words_from_key(flow_key, words);
    uint64_t b = flow_first_bucket(area, hash);
    const uint64_t *other
        = flow_entry_at(area, words,
                        flow_other_bucket(area, words, b, &key), 0);

    for (unsigned int way = 0; way < FLOW_WAYS; way++) {
        if (flow_entry_has_key(flow_entry_at(area, words, b, way), words,
                               &key)) {
            return;
        }
    }
    __builtin_prefetch(other);
    if (words == FLOW_WORDS6) {
        __builtin_prefetch(other + FLOW_WAYS / 2 * words);
    }
}

void
flow_table_prefetch_other(const struct flow_table *table, uint64_t hash,
                          const struct flow_key *key)
{
    if (inet_addr_is4(key->src)) {
        prefetch_other(&table->area4, FLOW_WORDS4, hash, key);
    } else {
        prefetch_other(&table->area6, FLOW_WORDS6, hash, key);
    }
}

bool
flow_table_search4(const struct flow_table *table, uint64_t hash,
                   uint64_t word, uint32_t group, uint32_t now_s,
                   struct flow_ref *ref)
{
    struct flow_words key = { { word } };

    return search(&table->area4, FLOW_WORDS4, hash, &key, group, now_s, ref);
}

bool
flow_table_lookup(const struct flow_table *table, uint64_t hash,
                  const struct flow_key *key, uint32_t now_s,
                  struct flow_ref *ref)
{
    struct flow_words words;

    if (inet_addr_is4(key->src)) {
        words = flow_words_from_key(key, FLOW_WORDS4);
        return flow_table_lookup4(table, hash, words.w[0], key->group, now_s,
                                  ref);
    }
    words = flow_words_from_key(key, FLOW_WORDS6);
    return search(&table->area6, FLOW_WORDS6, hash, &words, key->group, now_s,
                  ref);
}

enum flow_state
flow_table_note(const struct flow_ref *ref, uint32_t now_s,
                enum flow_state state)
{
    uint64_t *infop = (uint64_t *) (uintptr_t) ref->entry;
    uint64_t info = ref->word;

    assert(state > FLOW_CLAIMED);
    for (int i = 0; i < TOUCH_TRIES; i++) {
        uint16_t seen = (flow_info_idle(info, now_s) ? now_s
                                                     : flow_info_seen(info));

        if (flow_swap(infop, info, flow_info_set(info, state, seen))) {
            return flow_info_state(info);
        }
        /* If another thread has touched the flow just now, the time is right,
         * and its state is newer than ours unless ours is a change; but
         * nothing that was under way when the flow closed opens it again. */
        info = flow_load(infop);
        if (state == ref->state || !flow_info_is_live(info)
            || flow_info_state(info) == FLOW_CLOSING
            || (info ^ ref->word) & FLOW_GENERATION_MASK) {
            break;
        }
    }
    return state;
}

/* Maintenance. */

size_t
flow_table_n_buckets(const struct flow_table *table)
{
    return table->area4.n_buckets + table->area6.n_buckets;
}

FLOW_INLINE void
sweep_bucket(struct flow_table *table, const struct flow_area *area,
             unsigned int words, uint64_t b, uint16_t now,
             void (*ended)(const struct flow_ended *, void *aux), void *aux)
{
    for (unsigned int way = 0; way < FLOW_WAYS; way++) {
        uint64_t *entry = flow_entry_at(area, words, b, way);
        uint64_t *infop = flow_entry_info(entry, words);
        uint64_t info = flow_load(infop);
        struct flow_ended end = { .renewed = false };

        if (flow_info_is_live(info) && flow_info_is_vacant(info, now)
            && flow_swap(infop, info, flow_info_succeed(0, info))) {
            flow_count(&table->stats.expired, 1);
            flow_count(&table->stats.used, -1);
            flow_ended_set(&end, info);
            ended(&end, aux);
        }
    }
}

void
flow_table_sweep(struct flow_table *table, uint32_t now_s, size_t n_buckets,
                 void (*ended)(const struct flow_ended *, void *aux),
                 void *aux)
{
    while (n_buckets--) {
        uint64_t b = table->sweep_next;

        if (b < table->area4.n_buckets) {
            sweep_bucket(table, &table->area4, FLOW_WORDS4, b, now_s, ended,
                         aux);
        } else {
            sweep_bucket(table, &table->area6, FLOW_WORDS6,
                         b - table->area4.n_buckets, now_s, ended, aux);
        }
        table->sweep_next = (b + 1) % flow_table_n_buckets(table);
    }
}

/* Reads whatever flow is in entry 'i' of an area. */
FLOW_INLINE bool
read_any(const struct flow_area *area, unsigned int words, uint64_t i,
         uint16_t now, struct flow_key *key, struct flow_ref *ref)
{
    const uint64_t *entry = flow_entry_at(area, words, 0, i);
    uint32_t group = flow_info_group(flow_load(&entry[words - 1]));
    struct flow_words key_words = { { 0 } };
    uint64_t info;

    for (unsigned int w = 0; w < words - 1; w++) {
        key_words.w[w] = flow_load(&entry[w]);
    }
    if (!flow_entry_read(entry, words, &key_words, group, &info)
        || flow_info_is_over(info, now) || info & FLOW_INFO_MOVING) {
        return false;
    }
    *key = flow_words_to_key(&key_words, group, words);
    flow_ref_set(ref, entry, words, info, flow_info_idle(info, now));
    return true;
}

bool
flow_table_next(const struct flow_table *table, uint64_t *cursor,
                uint32_t now_s, struct flow_key *key, struct flow_ref *ref)
{
    uint64_t n4 = table->area4.n_buckets * FLOW_WAYS;
    uint64_t n = flow_table_n_buckets(table) * FLOW_WAYS;

    while (*cursor < n) {
        uint64_t i = (*cursor)++;

        if (i < n4
            ? read_any(&table->area4, FLOW_WORDS4, i, now_s, key, ref)
            : read_any(&table->area6, FLOW_WORDS6, i - n4, now_s, key, ref)) {
            return true;
        }
    }
    return false;
}

void
flow_table_get_stats(const struct flow_table *table,
                     struct flow_table_stats *stats)
{
    const struct flow_table_stats *s = &table->stats;

    *stats = (struct flow_table_stats) {
        .capacity = flow_table_n_buckets(table) * FLOW_WAYS,
        .capacity6 = table->area6.n_buckets * FLOW_WAYS,
        .memory = table->memory_size,
        .huge = s->huge,
        .used = flow_load_relaxed(&s->used),
        .inserted = flow_load_relaxed(&s->inserted),
        .expired = flow_load_relaxed(&s->expired),
        .evicted = flow_load_relaxed(&s->evicted),
        .refused = flow_load_relaxed(&s->refused),
    };
}

/* States. */

static const char *const state_names[N_FLOW_STATES] = {
    [FLOW_FREE]        = "free",
    [FLOW_CLAIMED]     = "claimed",
    [FLOW_NEW]         = "new",
    [FLOW_UNPROVEN]    = "unproven",
    [FLOW_CLOSING]     = "closing",
    [FLOW_ESTABLISHED] = "established",
    [FLOW_DATAGRAM]    = "datagram",
    [FLOW_SOURCE]      = "source",
};

const char *
flow_state_name(enum flow_state state)
{
    return ((unsigned int) state < N_FLOW_STATES ? state_names[state]
            : "unknown");
}

bool
flow_state_from_name(const char *name, enum flow_state *state)
{
    for (enum flow_state s = FLOW_CLAIMED + 1; s < N_FLOW_STATES; s++) {
        if (!strcmp(name, state_names[s])) {
            *state = s;
            return true;
        }
    }
    return false;
}
