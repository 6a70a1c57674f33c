/* Insertion into the flow table: which place a flow gets, and who gives way.
 *
 * Other threads may take a place before we do.  Then we look again, a few
 * times.  An insertion ends one flow at most, so that it can say which: once
 * it has, it takes none but free places. */

#include "anycast/flow-table.h"

enum {
    TRIES = 4,
    SEARCH_MAX_SHORT = 8,       /* Buckets looked into to make room, ... */
    SHORT_SEARCHES = 64,        /* ... so often after a long search that was
                                 * in vain. */
};

bool
flow_entry_claim(struct flow_table *table, uint64_t *entry, unsigned int words,
                 uint64_t info, uint16_t now, struct flow_ended *ended)
{
    uint64_t claimed = flow_info_set(flow_info_succeed(0, info),
                                     FLOW_CLAIMED, 0);

    if (!flow_swap(&entry[words - 1], info, claimed)) {
        return false;
    }
    if (!flow_info_is_live(info)) {
        flow_count(&table->stats.used, 1);
        return true;
    }

    assert(!ended->group);
    flow_ended_set(ended, info);
    flow_count(flow_info_is_over(info, now) ? &table->stats.expired
                                            : &table->stats.evicted, 1);
    return true;
}

/* The best place of each kind in the buckets looked into so far. */
struct places {
    struct flow_place own;
    struct flow_place free;
    struct flow_place over;     /* Timed out. */
    struct flow_place weak;     /* Idlest of the weak. */
    struct flow_place strong;   /* Idlest of the others. */
    bool own_moving;            /* Our own flow is being moved. */
};

static void
keep_first(struct flow_place *best, const struct flow_place *place)
{
    if (!best->entry) {
        *best = *place;
    }
}

static void
keep_idlest(struct flow_place *best, const struct flow_place *place)
{
    if (!best->entry || place->idle > best->idle) {
        *best = *place;
    }
}

/* Notes another's entry. */
static void
note_place(struct places *places, const struct flow_place *place, uint16_t now)
{
    enum flow_state state = flow_info_state(place->info);

    if (state == FLOW_FREE) {
        keep_first(&places->free, place);
    } else if (flow_info_is_over(place->info, now)) {
        keep_first(&places->over, place);
    } else if (flow_state_is_weak(state)) {
        keep_idlest(&places->weak, place);
    } else {
        keep_idlest(&places->strong, place);
    }
}

FLOW_INLINE void
look_into(const struct flow_area *area, unsigned int words, uint64_t b,
          bool second, const struct flow_words *key, uint32_t group,
          uint16_t now, struct places *places)
{
    for (unsigned int way = 0; way < FLOW_WAYS; way++) {
        uint64_t *entry = flow_entry_at(area, words, b, way);
        uint64_t info = flow_load(flow_entry_info(entry, words));
        uint64_t own_info;
        struct flow_place place = {
            .entry = entry,
            .info = info,
            .idle = flow_info_idle(info, now),
            .second = second,
        };

        if (flow_info_state(info) == FLOW_CLAIMED) {
            continue;
        }
        if (!places->own.entry
            && flow_entry_read(entry, words, key, group, &own_info)) {
            if (own_info & FLOW_INFO_MOVING) {
                places->own_moving = true;
            } else {
                place.info = own_info;
                places->own = place;
            }
        } else if (!(info & FLOW_INFO_MOVING)) {
            note_place(places, &place, now);
        }
    }
}

/* The vacant place in the flow's own buckets, or one with a NULL entry. */
static struct flow_place
select_vacant(const struct places *places)
{
    const struct flow_place *free = &places->free, *over = &places->over;

    return over->entry && (!free->entry || (free->second && !over->second))
           ? *over : *free;
}

/* How many buckets to look into for a flow that may be refused, or that pushes
 * out a weak one.  As many as for any, so that nothing is lost while the table
 * is not overfull; but once a long search has been in vain, the next ones are
 * short, so that a flood costs little time.  (Threads may miscount together:
 * some searches are then longer or shorter than they need be.) */
static int
bound_search(struct flow_table *table)
{
    uint64_t n = flow_load_relaxed(&table->n_short);

    if (n) {
        __atomic_store_n(&table->n_short, n - 1, __ATOMIC_RELAXED);
    }
    return n ? SEARCH_MAX_SHORT : FLOW_ROOM_MAX;
}

/* Finds the place to insert at, in the order that flow-table.h promises; with
 * a NULL entry if there is none.  False if other threads were quicker, so that
 * there may be one. */
FLOW_INLINE bool
select_place(struct flow_table *table, unsigned int words, uint64_t first,
             uint64_t second, const struct places *places, uint16_t now,
             enum flow_state state, struct flow_place *place,
             struct flow_ended *ended)
{
    bool is_weak = flow_state_is_weak(state);
    bool weak_here = places->weak.entry != NULL;
    bool is_bounded = is_weak || weak_here;

    *place = ended->group ? places->free : select_vacant(places);
    if (place->entry || ended->group) {
        return true;
    }
    int max = is_bounded ? bound_search(table) : FLOW_ROOM_MAX;
    if ((words == FLOW_WORDS4 ? flow_room_make4 : flow_room_make6)(
            table, first, second, now, max, !is_bounded, place, ended)) {
        return place->entry != NULL;
    }
    if (max == FLOW_ROOM_MAX) {
        __atomic_store_n(&table->n_short, SHORT_SEARCHES, __ATOMIC_RELAXED);
    }
    *place = is_bounded ? places->weak : places->strong;
    return true;
}

/* Gives the flow of 'own' a new endpoint, state and time.  The key stays, so
 * one step does it, and no reader misses the flow meanwhile. */
static bool
replace_own(struct flow_table *table, const struct flow_place *own,
            unsigned int words, uint64_t info, uint16_t now,
            struct flow_ended *ended)
{
    uint64_t old = own->info;
    bool over = flow_info_is_over(old, now);

    if (!flow_swap(&own->entry[words - 1], old,
                   flow_info_succeed(info | (old & FLOW_INFO_SECOND), old))) {
        return false;
    }
    flow_ended_set(ended, old);
    if (over) {
        flow_count(&table->stats.expired, 1);
        flow_count(&table->stats.inserted, 1);
    } else if (flow_info_endpoint(old) == flow_info_endpoint(info)) {
        ended->group = 0;
        ended->renewed = true;
    }
    return true;
}

/* One try.  True if it is over, with the result in '*inserted'. */
FLOW_INLINE bool
try_insert(struct flow_table *table, const struct flow_area *area,
           unsigned int words, uint64_t hash, const struct flow_words *key,
           uint64_t info, uint16_t now, struct flow_ended *ended,
           bool *inserted)
{
    uint64_t first = flow_first_bucket(area, hash);
    uint64_t second = flow_other_bucket(area, words, first, key);
    uint32_t group = flow_info_group(info);
    struct places places = { .own_moving = false };
    uint64_t n_moved_back = flow_load(&area->n_moved_back);

    look_into(area, words, first, false, key, group, now, &places);
    look_into(area, words, second, true, key, group, now, &places);
    if (places.own.entry) {
        *inserted = !ended->group
                    && replace_own(table, &places.own, words, info, now,
                                   ended);
        return *inserted || ended->group;
    }
    if (places.own_moving
        || flow_load_relaxed(&area->n_moved_back) != n_moved_back) {
        return false;           /* It may have gone where we had looked. */
    }

    struct flow_place place;
    if (!select_place(table, words, first, second, &places, now,
                      flow_info_state(info), &place, ended)) {
        return false;
    }
    if (!place.entry) {
        return true;
    }
    if (!flow_entry_claim(table, place.entry, words, place.info, now, ended)) {
        return false;
    }
    for (unsigned int i = 0; i < words - 1; i++) {
        flow_store(&place.entry[i], key->w[i]);
    }
    flow_store(flow_entry_info(place.entry, words),
               flow_info_succeed(place.second ? info | FLOW_INFO_SECOND : info,
                                 place.info));
    flow_count(&table->stats.inserted, 1);
    *inserted = true;
    return true;
}

FLOW_INLINE bool
insert(struct flow_table *table, const struct flow_area *area,
       unsigned int words, uint64_t hash, const struct flow_key *key,
       uint64_t info, uint16_t now, struct flow_ended *ended)
{
    struct flow_words key_words = flow_words_from_key(key, words);
    bool inserted = false;

    for (int i = 0; i < TRIES; i++) {
        if (try_insert(table, area, words, hash, &key_words, info, now, ended,
                       &inserted)) {
            break;
        }
    }
    if (!inserted) {
        flow_count(&table->stats.refused, 1);
    }
    return inserted;
}

bool
flow_table_insert(struct flow_table *table, uint64_t hash,
                  const struct flow_key *key, uint16_t endpoint,
                  uint32_t now_s, enum flow_state state,
                  struct flow_ended *ended)
{
    uint64_t info = flow_info_set((uint64_t) key->group << FLOW_GROUP_SHIFT
                                  | (uint64_t) endpoint << FLOW_ENDPOINT_SHIFT,
                                  state, now_s);

    assert(endpoint <= FLOW_ENDPOINT_MASK && state > FLOW_CLAIMED);
    assert(key->group && key->group >> (64 - FLOW_GROUP_SHIFT) == 0);
    *ended = (struct flow_ended) { .group = 0 };
    return (inet_addr_is4(key->src)
            ? insert(table, &table->area4, FLOW_WORDS4, hash, key, info, now_s,
                     ended)
            : insert(table, &table->area6, FLOW_WORDS6, hash, key, info, now_s,
                     ended));
}

/* The place in 'bucket' that is free, if there is one, else 'none'; and
 * '*found' if some entry has 'word' for its key, whatever its state.  Without
 * a branch: which way it is nobody can predict. */
FLOW_INLINE uint64_t *
find_free4(uint64_t *bucket, uint64_t word, uint64_t *none, bool *found)
{
    uint64_t *free = none;

    for (int way = FLOW_WAYS - 1; way >= 0; way--) {
        uint64_t *entry = &bucket[way * FLOW_WORDS4];
        uint64_t info = flow_load(flow_entry_info(entry, FLOW_WORDS4));

        free = flow_info_state(info) == FLOW_FREE ? entry : free;
        *found |= flow_load(entry) == word;
    }
    return free;
}

bool
flow_table_begin4(struct flow_table *table, uint64_t hash, uint64_t word,
                  uint32_t group, uint16_t endpoint, uint32_t now_s,
                  enum flow_state state)
{
    struct flow_area *area = &table->area4;
    struct flow_words key = { { word } };
    uint64_t first = flow_first_bucket(area, hash);
    uint64_t second = flow_other_bucket(area, FLOW_WORDS4, first, &key);
    uint64_t n_moved_back = flow_load(&area->n_moved_back);
    bool found = false;
    uint64_t *entry;

    entry = find_free4(flow_entry_at(area, FLOW_WORDS4, first, 0), word, NULL,
                       &found);
    bool is_second = !entry;
    uint64_t *other = find_free4(flow_entry_at(area, FLOW_WORDS4, second, 0),
                                 word, NULL, &found);
    entry = entry ? entry : other;
    if (found || !entry
        || flow_load_relaxed(&area->n_moved_back) != n_moved_back) {
        return false;
    }

    uint64_t *infop = flow_entry_info(entry, FLOW_WORDS4);
    uint64_t old = flow_load_relaxed(infop);
    uint64_t info = flow_info_set((uint64_t) group << FLOW_GROUP_SHIFT
                                  | (uint64_t) endpoint << FLOW_ENDPOINT_SHIFT
                                  | (is_second ? FLOW_INFO_SECOND : 0),
                                  state, now_s);
    if (flow_info_state(old) != FLOW_FREE
        || !flow_swap(infop, old,
                      flow_info_set(flow_info_succeed(0, old), FLOW_CLAIMED,
                                    0))) {
        return false;
    }
    flow_store(&entry[0], word);
    flow_store(infop, flow_info_succeed(info, old));
    return true;
}

void
flow_table_count_begun(struct flow_table *table, size_t n)
{
    flow_count(&table->stats.used, n);
    flow_count(&table->stats.inserted, n);
}
