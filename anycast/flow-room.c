/* Making room as in a cuckoo hash table (R. Pagh, F. Rodler, "Cuckoo hashing",
 * 2004), with buckets of four (M. Dietzfelbinger, C. Weidling, "Balanced
 * allocation and dictionaries with tightly packed constant size bins", 2007)
 * and breadth-first search for a short chain of moves (X. Li et al.,
 * "Algorithmic improvements for fast concurrent cuckoo hashing", 2014).
 *
 * A flow that moves is in both of its buckets for a moment.  So a reader who
 * looks into the first and then the second cannot miss one that moves that
 * way.  Moves back are counted, between the publication of the copy and the
 * release of the original: whoever finds nothing, and finds that the count has
 * changed since he began, looks again. */

#include "anycast/flow-table.h"

/* A bucket that the search has reached: by moving the flow at 'way' of the
 * bucket of step 'from', seen with 'info'. */
struct step {
    uint64_t bucket;
    uint64_t info;
    int from;                   /* -1: one of the two to begin with. */
    unsigned int way;
};

/* Finds a vacant entry of bucket 'b', or keeps in '*weak' the idlest weak one
 * so far. */
FLOW_INLINE bool
look_for_end(const struct flow_area *area, unsigned int words, uint64_t b,
             uint16_t now, struct flow_place *vacant, struct flow_place *weak)
{
    for (unsigned int way = 0; way < FLOW_WAYS; way++) {
        uint64_t *entry = flow_entry_at(area, words, b, way);
        struct flow_place place = { .entry = entry };

        place.info = flow_load(flow_entry_info(entry, words));
        if (flow_info_is_vacant(place.info, now)) {
            *vacant = place;
            return true;
        }
        place.idle = flow_info_idle(place.info, now);
        if (flow_state_is_weak(flow_info_state(place.info))
            && !(place.info & FLOW_INFO_MOVING)
            && (!weak->entry || place.idle > weak->idle)) {
            *weak = place;
        }
    }
    return false;
}

/* Adds to 'steps' the buckets that flows could move to from step 'from', and
 * returns their new number. */
FLOW_INLINE int
add_steps(const struct flow_area *area, unsigned int words, struct step *steps,
          int n, int max, int from)
{
    for (unsigned int way = 0; way < FLOW_WAYS && n < max; way++) {
        const uint64_t *entry = flow_entry_at(area, words, steps[from].bucket,
                                              way);
        uint64_t info = flow_load(&entry[words - 1]);
        struct flow_words key;

        if (!flow_info_is_live(info) || info & FLOW_INFO_MOVING) {
            continue;
        }
        for (unsigned int i = 0; i < words - 1; i++) {
            key.w[i] = flow_load(&entry[i]);
        }
        steps[n] = (struct step) {
            .bucket = flow_other_bucket(area, words, steps[from].bucket, &key),
            .info = info,
            .from = from,
            .way = way,
        };
        __builtin_prefetch(flow_entry_at(area, words, steps[n].bucket, 0));
        n++;
    }
    return n;
}

/* The copy of a flow that was being moved becomes the flow itself, or a free
 * entry; whatever time and state others have given it. */
static void
end_move(uint64_t *info, bool moved)
{
    uint64_t now = flow_load(info);

    while (!flow_swap(info, now,
                      moved ? now & ~(uint64_t) FLOW_INFO_MOVING
                            : flow_info_succeed(0, now))) {
        now = flow_load(info);
    }
}

/* Moves the flow in 'src', which had 'seen', to 'dst' in its other bucket, and
 * makes '*dst' the vacated place.  False if any of the two is not what it
 * was. */
FLOW_INLINE bool
move(struct flow_table *table, struct flow_area *area, unsigned int words,
     uint64_t *src, uint64_t seen, uint16_t now, struct flow_place *dst,
     struct flow_ended *ended)
{
    uint64_t *src_infop = flow_entry_info(src, words);
    uint64_t *dst_infop = flow_entry_info(dst->entry, words);
    uint64_t src_info = flow_load(src_infop);

    if (!flow_info_is_live(src_info) || src_info & FLOW_INFO_MOVING
        || (src_info ^ seen) & FLOW_GENERATION_MASK
        || !flow_entry_claim(table, dst->entry, words, dst->info, now,
                             ended)) {
        return false;
    }

    /* If the key is another occupant's than 'src_info', the generation has
     * changed and the swap below fails. */
    for (unsigned int i = 0; i < words - 1; i++) {
        flow_store(&dst->entry[i], flow_load(&src[i]));
    }
    flow_store(dst_infop, flow_info_succeed((src_info ^ FLOW_INFO_SECOND)
                                            | FLOW_INFO_MOVING, dst->info));
    if (src_info & FLOW_INFO_SECOND) {
        flow_announce(&area->n_moved_back);
    }
    uint64_t vacated = flow_info_succeed(0, src_info);
    bool moved = flow_swap(src_infop, src_info, vacated);
    end_move(dst_infop, moved);
    flow_count(&table->stats.used, -1);
    *dst = (struct flow_place) { .entry = src, .info = vacated };
    return moved;
}

/* Carries out the moves that lead to step 'i', the last one first, the place
 * to take in its bucket being '*place'. */
FLOW_INLINE bool
walk_back(struct flow_table *table, struct flow_area *area, unsigned int words,
          const struct step *steps, int i, uint16_t now,
          struct flow_place *place, struct flow_ended *ended)
{
    for (; steps[i].from >= 0; i = steps[i].from) {
        uint64_t *src = flow_entry_at(area, words,
                                      steps[steps[i].from].bucket,
                                      steps[i].way);

        if (!move(table, area, words, src, steps[i].info, now, place, ended)) {
            return false;
        }
    }
    place->second = i == 1;
    return true;
}

FLOW_INLINE bool
make_room(struct flow_table *table, struct flow_area *area,
          unsigned int words, uint64_t first, uint64_t second, uint16_t now,
          int max, bool take_weak, struct flow_place *result,
          struct flow_ended *ended)
{
    struct flow_place place = { .entry = NULL }, weak = { .entry = NULL };
    struct step steps[FLOW_ROOM_MAX];
    int n = 2, end = -1;

    steps[0] = (struct step) { .bucket = first, .from = -1 };
    steps[1] = (struct step) { .bucket = second, .from = -1 };
    for (int i = 0; i < n; i++) {
        const uint64_t *weakest = weak.entry;

        if (look_for_end(area, words, steps[i].bucket, now, &place, &weak)) {
            end = i;
            break;
        }
        if (take_weak && weak.entry != weakest) {
            end = i;
        }
        n = add_steps(area, words, steps, n, max, i);
    }
    if (end < 0) {
        return false;
    }
    if (!place.entry) {
        place = weak;
    }
    if (!walk_back(table, area, words, steps, end, now, &place, ended)) {
        place.entry = NULL;
    }
    *result = place;
    return true;
}

bool
flow_room_make4(struct flow_table *table, uint64_t first, uint64_t second,
                uint16_t now, int max, bool take_weak,
                struct flow_place *place, struct flow_ended *ended)
{
    return make_room(table, &table->area4, FLOW_WORDS4, first, second, now,
                     max, take_weak, place, ended);
}

bool
flow_room_make6(struct flow_table *table, uint64_t first, uint64_t second,
                uint16_t now, int max, bool take_weak,
                struct flow_place *place, struct flow_ended *ended)
{
    return make_room(table, &table->area6, FLOW_WORDS6, first, second, now,
                     max, take_weak, place, ended);
}
