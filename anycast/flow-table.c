/* Two buckets to choose from, four entries each, no chains: a lookup costs one
 * cache line for most flows and two at worst, and the size never changes.  How
 * threads share the entries is told in anycast/flow-entry.h, how room is made
 * in anycast/flow-room.c. */

#include "anycast/flow-table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "anycast/flow-entry.h"

enum {
    MIN_BUCKETS = 16,           /* 64 entries. */
    MAX_BUCKET_BITS = 32,       /* See flow_other_bucket(). */
    INSERT_TRIES = 4,           /* When other threads are quicker. */
    TOUCH_TRIES = 4,            /* Likewise. */
};

#define HUGE_PAGE ((size_t) 2 << 20)

const uint16_t flow_timeouts[N_FLOW_STATES] = {
    [FLOW_NEW]         = 240,
    [FLOW_ESTABLISHED] = 7440,
    [FLOW_CLOSING]     = 240,
    [FLOW_UDP]         = 300,
};

/* Creation.  */

/* Memory of whole huge pages, touched.  NULL if there is none. */
static void *
map_memory(size_t size)
{
    uint8_t *map = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED) {
        return NULL;
    }

    /* Keep the part that starts on a huge page. */
    size_t before = -(uintptr_t) map % HUGE_PAGE;
    if (before) {
        munmap(map, before);
    }
    munmap(map + before + size, HUGE_PAGE - before);

    madvise(map + before, size, MADV_HUGEPAGE);
    memset(map + before, 0, size);
    return map + before;
}

struct flow_table *
flow_table_create(size_t n_flows)
{
    size_t n_buckets = MIN_BUCKETS;

    while (n_buckets * FLOW_WAYS / 8 * 7 < n_flows) {
        if (n_buckets >> MAX_BUCKET_BITS) {
            return NULL;
        }
        n_buckets *= 2;
    }

    struct flow_table *table = aligned_alloc(64, sizeof *table);
    if (!table) {
        return NULL;
    }
    memset(table, 0, sizeof *table);
    table->mask = n_buckets - 1;
    table->memory = n_buckets * sizeof *table->buckets;
    table->memory = (table->memory + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    table->buckets = map_memory(table->memory);
    if (!table->buckets) {
        free(table);
        return NULL;
    }
    return table;
}

void
flow_table_destroy(struct flow_table *table)
{
    if (table) {
        munmap(table->buckets, table->memory);
        free(table);
    }
}

/* Lookup. */

void
flow_table_prefetch(const struct flow_table *table, uint64_t hash)
{
    __builtin_prefetch(&table->buckets[flow_first_bucket(table, hash)]);
}

/* Reads the live entry 'entry' if it is the flow with 'key' of 'group'. */
static inline bool
read_entry(const struct flow_entry *entry, uint64_t key, uint32_t group,
           uint64_t *infop)
{
    uint64_t info = flow_load(&entry->info);

    if (!flow_info_is_live(info) || flow_info_group(info) != group
        || flow_load(&entry->key) != key) {
        return false;
    }
    *infop = info;
    return !((flow_load(&entry->info) ^ info) & FLOW_GENERATION_MASK);
}

/* Returns the way of bucket 'b' that the flow is in, and its word 1 in
 * '*info', or -1.  The comparisons are made without branches, for which way a
 * flow is in nobody can predict. */
static inline int
find_in_bucket(const struct flow_table *table, uint64_t b, uint64_t key,
               uint32_t group, uint64_t *info)
{
    const struct flow_entry *ways = table->buckets[b].ways;
    unsigned int equal = 0;

#pragma GCC unroll 4
    for (unsigned int way = 0; way < FLOW_WAYS; way++) {
        equal |= (unsigned int) (flow_load(&ways[way].key) == key) << way;
    }
    for (; equal; equal &= equal - 1) {
        int way = __builtin_ctz(equal);

        if (read_entry(&ways[way], key, group, info)) {
            return way;
        }
    }
    return -1;
}

static inline void
fill_ref(struct flow_ref *ref, uint64_t b, int way, uint64_t info,
         uint16_t now)
{
    ref->word = info;
    ref->bucket = b;
    ref->way = way;
    ref->endpoint = flow_info_endpoint(info);
    ref->idle = flow_info_idle(info, now);
    ref->state = flow_info_state(info);
}

bool
flow_table_lookup(const struct flow_table *table, uint64_t hash,
                  const struct flow_key4 *key, uint32_t now_s,
                  struct flow_ref *ref)
{
    uint64_t word = flow_key4_word(key);
    uint64_t b = flow_first_bucket(table, hash);
    uint64_t info;
    int way = find_in_bucket(table, b, word, key->group, &info);

    if (way < 0) {
        b = flow_other_bucket(table, b, word);
        way = find_in_bucket(table, b, word, key->group, &info);
    }
    if (way < 0 || flow_info_is_vacant(info, now_s)) {
        return false;
    }
    fill_ref(ref, b, way, info, now_s);
    return true;
}

void
flow_table_touch(struct flow_table *table, const struct flow_ref *ref,
                 uint32_t now_s, enum flow_state state)
{
    uint16_t now = now_s;

    if (state == ref->state && !ref->idle) {
        return;
    }

    struct flow_entry *entry = &table->buckets[ref->bucket].ways[ref->way];
    uint64_t info = ref->word;
    for (int i = 0; i < TOUCH_TRIES; i++) {
        uint16_t seen = flow_info_idle(info, now) ? now : flow_info_seen(info);

        if (flow_swap(&entry->info, info,
                      flow_info_set(info, state, seen,
                                    info & FLOW_INFO_SECOND))) {
            return;
        }
        /* If another thread has touched the flow just now, the time is right,
         * and its state is newer than ours unless ours is a change; but
         * nothing that was under way when the flow closed opens it again. */
        info = flow_load(&entry->info);
        if (state == ref->state || !flow_info_is_live(info)
            || flow_info_state(info) == FLOW_CLOSING
            || (info ^ ref->word) & FLOW_GENERATION_MASK) {
            return;
        }
    }
}

/* Insertion. */

bool
flow_entry_claim(struct flow_table *table, struct flow_entry *entry,
                 uint64_t info, uint16_t now)
{
    uint64_t claimed = flow_info_set(flow_info_succeed(0, info),
                                     FLOW_CLAIMED, 0, 0);

    if (!flow_swap(&entry->info, info, claimed)) {
        return false;
    }
    if (!flow_info_is_live(info)) {
        flow_count(&table->stats.used, 1);
    } else if (flow_info_is_vacant(info, now)) {
        flow_count(&table->stats.expired, 1);
    } else {
        flow_count(&table->stats.evicted, 1);
    }
    return true;
}

/* A place that an insertion may take, and what is there. */
struct place {
    struct flow_entry *entry;   /* NULL: there is no such place. */
    uint64_t info;
    uint16_t idle;
    bool second;                /* In the flow's second bucket. */
};

/* The best place of each kind in the buckets looked into so far. */
struct places {
    struct place own;
    struct place vacant;
    struct place weak;          /* Idlest of the half open and closing. */
    struct place idle;          /* Idlest of the others. */
};

static void
keep_idlest(struct place *best, const struct place *place)
{
    if (!best->entry || place->idle > best->idle) {
        *best = *place;
    }
}

static void
look_into(struct flow_bucket *bucket, bool second, uint64_t key,
          uint32_t group, uint16_t now, struct places *places)
{
    for (int way = 0; way < FLOW_WAYS; way++) {
        struct flow_entry *entry = &bucket->ways[way];
        uint64_t info = flow_load(&entry->info);
        enum flow_state state = flow_info_state(info);
        uint64_t own_info;
        struct place place = {
            .entry = entry,
            .info = info,
            .idle = flow_info_idle(info, now),
            .second = second,
        };

        if (state == FLOW_CLAIMED) {
            continue;
        }
        if (!places->own.entry && read_entry(entry, key, group, &own_info)) {
            places->own = place;
            places->own.info = own_info;
        } else if (flow_info_is_vacant(info, now)) {
            if (!places->vacant.entry) {
                places->vacant = place;
            }
        } else if (state == FLOW_NEW || state == FLOW_CLOSING) {
            keep_idlest(&places->weak, &place);
        } else {
            keep_idlest(&places->idle, &place);
        }
    }
}

/* Vacates a place in bucket 'first' or 'second' by moving flows. */
static struct place
make_room(struct flow_table *table, uint64_t first, uint64_t second,
          uint16_t now, enum flow_state state)
{
    struct place place = { .entry = NULL };
    uint64_t bucket;
    unsigned int way;

    if (flow_room_make(table, first, second, now, state, &bucket, &way)) {
        struct flow_entry *entry = &table->buckets[bucket].ways[way];
        uint64_t info = flow_load(&entry->info);

        if (flow_info_is_vacant(info, now)) {
            place.entry = entry;
            place.info = info;
            place.second = bucket == second;
        }
    }
    return place;
}

/* The place to insert at, in the order that flow-table.h promises; with a NULL
 * entry if there is none. */
static struct place
select_place(struct flow_table *table, uint64_t first, uint64_t second,
             const struct places *places, uint16_t now, enum flow_state state)
{
    if (places->vacant.entry) {
        return places->vacant;
    }

    struct place place = make_room(table, first, second, now, state);
    if (place.entry) {
        return place;
    }
    if (state == FLOW_NEW || places->weak.entry) {
        return places->weak;
    }
    return places->idle;
}

/* Gives the flow of 'own' a new endpoint, state and time.  The key stays, so
 * one step does it, and no reader misses the flow meanwhile. */
static bool
replace_own(struct flow_table *table, const struct place *own, uint64_t info,
            uint16_t now)
{
    info |= own->info & FLOW_INFO_SECOND;
    if (!flow_swap(&own->entry->info, own->info,
                   flow_info_succeed(info, own->info))) {
        return false;
    }
    if (flow_info_is_vacant(own->info, now)) {
        flow_count(&table->stats.expired, 1);
        flow_count(&table->stats.inserted, 1);
    }
    return true;
}

bool
flow_table_insert(struct flow_table *table, uint64_t hash,
                  const struct flow_key4 *key, uint16_t endpoint,
                  uint32_t now_s, enum flow_state state)
{
    uint64_t word = flow_key4_word(key);
    uint64_t first = flow_first_bucket(table, hash);
    uint64_t second = flow_other_bucket(table, first, word);
    uint64_t info = flow_info_set((uint64_t) key->group << FLOW_GROUP_SHIFT
                                  | (uint64_t) endpoint << FLOW_ENDPOINT_SHIFT,
                                  state, now_s, 0);

    assert(endpoint <= FLOW_ENDPOINT_MASK);
    for (int i = 0; i < INSERT_TRIES; i++) {
        struct places places = { .own.entry = NULL };

        look_into(&table->buckets[first], false, word, key->group, now_s,
                  &places);
        look_into(&table->buckets[second], true, word, key->group, now_s,
                  &places);
        if (places.own.entry) {
            if (replace_own(table, &places.own, info, now_s)) {
                return true;
            }
            continue;
        }

        struct place place = select_place(table, first, second, &places,
                                          now_s, state);
        if (!place.entry) {
            break;
        }
        if (flow_entry_claim(table, place.entry, place.info, now_s)) {
            flow_store(&place.entry->key, word);
            flow_store(&place.entry->info,
                       flow_info_succeed(place.second ? info | FLOW_INFO_SECOND
                                                      : info, place.info));
            flow_count(&table->stats.inserted, 1);
            return true;
        }
    }
    flow_count(&table->stats.refused, 1);
    return false;
}

/* Maintenance. */

void
flow_table_sweep(struct flow_table *table, uint32_t now_s, size_t n_buckets)
{
    while (n_buckets--) {
        struct flow_bucket *bucket = &table->buckets[table->sweep_next];

        for (int way = 0; way < FLOW_WAYS; way++) {
            struct flow_entry *entry = &bucket->ways[way];
            uint64_t info = flow_load(&entry->info);

            if (flow_info_is_live(info) && flow_info_is_vacant(info, now_s)
                && flow_swap(&entry->info, info, flow_info_succeed(0, info))) {
                flow_count(&table->stats.expired, 1);
                flow_count(&table->stats.used, -1);
            }
        }
        table->sweep_next = (table->sweep_next + 1) & table->mask;
    }
}

/* Reads whatever live entry is at 'way' of bucket 'b'. */
static bool
read_any(const struct flow_table *table, uint64_t b, int way, uint16_t now,
         struct flow_key4 *key, struct flow_ref *ref)
{
    const struct flow_entry *entry = &table->buckets[b].ways[way];
    uint32_t group = flow_info_group(flow_load(&entry->info));
    uint64_t word = flow_load(&entry->key);
    uint64_t info;

    if (!read_entry(entry, word, group, &info)
        || flow_info_is_vacant(info, now)) {
        return false;
    }
    *key = (struct flow_key4) {
        .src = word >> 32,
        .src_port = word >> 16,
        .dst_port = word,
        .group = group,
    };
    fill_ref(ref, b, way, info, now);
    return true;
}

bool
flow_table_next(const struct flow_table *table, uint64_t *cursor,
                uint32_t now_s, struct flow_key4 *key, struct flow_ref *ref)
{
    uint64_t n_entries = (table->mask + 1) * FLOW_WAYS;

    while (*cursor < n_entries) {
        uint64_t i = (*cursor)++;

        if (read_any(table, i / FLOW_WAYS, i % FLOW_WAYS, now_s, key, ref)) {
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
        .capacity = (table->mask + 1) * FLOW_WAYS,
        .memory = table->memory,
        .used = __atomic_load_n(&s->used, __ATOMIC_RELAXED),
        .inserted = __atomic_load_n(&s->inserted, __ATOMIC_RELAXED),
        .expired = __atomic_load_n(&s->expired, __ATOMIC_RELAXED),
        .evicted = __atomic_load_n(&s->evicted, __ATOMIC_RELAXED),
        .refused = __atomic_load_n(&s->refused, __ATOMIC_RELAXED),
    };
}

const char *
flow_state_name(enum flow_state state)
{
    static const char *const names[N_FLOW_STATES] = {
        [FLOW_FREE]        = "free",
        [FLOW_CLAIMED]     = "claimed",
        [FLOW_NEW]         = "new",
        [FLOW_ESTABLISHED] = "established",
        [FLOW_CLOSING]     = "closing",
        [FLOW_UDP]         = "udp",
    };

    return (unsigned int) state < N_FLOW_STATES ? names[state] : "unknown";
}
