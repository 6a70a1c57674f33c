/* Making room as in a cuckoo hash table (R. Pagh, F. Rodler, "Cuckoo hashing",
 * 2004), with buckets of four (M. Dietzfelbinger, C. Weidling, "Balanced
 * allocation and dictionaries with tightly packed constant size bins", 2007)
 * and breadth-first search for a short chain of moves (X. Li et al.,
 * "Algorithmic improvements for fast concurrent cuckoo hashing", 2014).
 *
 * A flow only ever moves from its first bucket to its second, and is in both
 * for a moment.  So a reader who looks into the first and then the second
 * cannot miss it, with no lock and no version to check.  The price is that a
 * flow in its second bucket stays there; tables still fill to 7/8. */

#include "anycast/flow-entry.h"

enum {
    SEARCH_MAX = 128,           /* Buckets looked into for an insertion, ... */
    SEARCH_MAX_NEW = 16,        /* ... and for a flow that may be a flood's. */
};

/* A bucket that the search has reached: by moving the flow with 'key', at
 * 'way' of the bucket of step 'from'. */
struct step {
    uint64_t bucket;
    uint64_t key;
    int from;                   /* -1: one of the two to begin with. */
    unsigned int way;
};

static int
find_vacant(const struct flow_bucket *bucket, uint16_t now)
{
    for (int way = 0; way < FLOW_WAYS; way++) {
        if (flow_info_is_vacant(flow_load(&bucket->ways[way].info), now)) {
            return way;
        }
    }
    return -1;
}

/* Adds to 'steps' the buckets that flows could move to from step 'from', and
 * returns their new number. */
static int
add_steps(const struct flow_table *table, struct step *steps, int n, int max,
          int from)
{
    const struct flow_bucket *bucket = &table->buckets[steps[from].bucket];

    for (unsigned int way = 0; way < FLOW_WAYS && n < max; way++) {
        uint64_t info = flow_load(&bucket->ways[way].info);
        uint64_t key = flow_load(&bucket->ways[way].key);

        if (!flow_info_is_live(info) || info & FLOW_INFO_SECOND) {
            continue;
        }
        steps[n] = (struct step) {
            .bucket = flow_other_bucket(table, steps[from].bucket, key),
            .key = key,
            .from = from,
            .way = way,
        };
        __builtin_prefetch(&table->buckets[steps[n].bucket]);
        n++;
    }
    return n;
}

/* Frees 'entry', which we have published as 'info', whatever state and time
 * others have given it since.  False if it has been given to another flow or
 * endpoint. */
static bool
withdraw(struct flow_entry *entry, uint64_t info)
{
    for (;;) {
        uint64_t now = flow_load(&entry->info);

        if (!flow_info_is_live(now)
            || (now ^ info) & FLOW_GENERATION_MASK) {
            return false;
        }
        if (flow_swap(&entry->info, now, flow_info_succeed(0, now))) {
            return true;
        }
    }
}

/* Moves the flow with 'key' from 'src' to the vacant 'dst' in its second
 * bucket.  False if any of the two is not what it was. */
static bool
move(struct flow_table *table, struct flow_entry *src, struct flow_entry *dst,
     uint64_t key, uint16_t now)
{
    uint64_t dst_info = flow_load(&dst->info);
    uint64_t src_info = flow_load(&src->info);

    if (!flow_info_is_vacant(dst_info, now)
        || !flow_info_is_live(src_info) || src_info & FLOW_INFO_SECOND
        || flow_load(&src->key) != key
        || !flow_entry_claim(table, dst, dst_info, now)) {
        return false;
    }

    /* 'key' may have been another occupant's than 'src_info', but then the
     * generation has changed and src's swap below fails. */
    uint64_t copy = flow_info_succeed(src_info | FLOW_INFO_SECOND, dst_info);
    flow_store(&dst->key, key);
    flow_store(&dst->info, copy);
    bool moved = flow_swap(&src->info, src_info,
                           flow_info_succeed(0, src_info));
    if (moved || withdraw(dst, copy)) {
        flow_count(&table->stats.used, -1);
    } else {
        /* Somebody has counted the end of the copy, as if of a flow. */
        flow_count(&table->stats.inserted, 1);
    }
    return moved;
}

/* Carries out the moves that lead to step 'i', the last one first, the vacant
 * way of its bucket being 'way'. */
static bool
walk_back(struct flow_table *table, const struct step *steps, int i,
          unsigned int way, uint16_t now, uint64_t *bucket,
          unsigned int *vacated)
{
    while (steps[i].from >= 0) {
        const struct step *to = &steps[i];
        const struct step *from = &steps[to->from];

        if (!move(table, &table->buckets[from->bucket].ways[to->way],
                  &table->buckets[to->bucket].ways[way], to->key, now)) {
            return false;
        }
        way = to->way;
        i = to->from;
    }
    *bucket = steps[i].bucket;
    *vacated = way;
    return true;
}

bool
flow_room_make(struct flow_table *table, uint64_t first, uint64_t second,
               uint16_t now, enum flow_state state, uint64_t *bucket,
               unsigned int *way)
{
    int max = state == FLOW_NEW ? SEARCH_MAX_NEW : SEARCH_MAX;
    struct step steps[SEARCH_MAX];
    int n = 2;

    steps[0] = (struct step) { .bucket = first, .from = -1 };
    steps[1] = (struct step) { .bucket = second, .from = -1 };
    for (int i = 0; i < n; i++) {
        int vacant = find_vacant(&table->buckets[steps[i].bucket], now);

        if (vacant >= 0) {
            return walk_back(table, steps, i, vacant, now, bucket, way);
        }
        n = add_steps(table, steps, n, max, i);
    }
    return false;
}
