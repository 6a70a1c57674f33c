#include "anycast/pick-private.h"

#include <string.h>

/* A draw that meets somebody who will not do is repeated, so that those who
 * are left get their shares.  If that does not help, all of a small tier are
 * looked at and one who will do is drawn; in a large one the search goes on
 * from some place to the next who will do. */
enum {
    SMALL       = 16,
    SMALL_DRAWS = 2,
    DRAWS       = 8,
    WALK        = 16,
};
static_assert((int) PICK_NONE >= (int) GROUP_MAX_ENDPOINTS, "no position");

#define GOLDEN UINT64_C(0x9e3779b97f4a7c15)
#define MIXER  UINT64_C(0xd6e8feb86659fd93)

struct picker {
    const char *name;
    uint16_t (*pick)(struct pick_search *);
    const char *why;
};

static const struct picker pickers[N_ALGORITHMS] = {
    [ALGORITHM_WEIGHTED] = {
        "weighted", pick_by_tier, "by weight and flow hash" },
    [ALGORITHM_HASH] = {
        "hash", pick_by_tier, "by weight and flow hash" },
    [ALGORITHM_ROUND_ROBIN] = {
        "round-robin", pick_round_robin, "its turn" },
    [ALGORITHM_LEAST_CONNECTIONS] = {
        "least-connections", pick_least_connections,
        "fewest open flows for its weight of those compared" },
    [ALGORITHM_LEAST_COST] = {
        "least-cost", pick_by_tier,
        "of those that cost least, by weight and flow hash" },
    [ALGORITHM_NEAREST] = {
        "nearest", pick_nearest,
        "of those that are nearest, by weight and flow hash" },
    [ALGORITHM_LOWEST_RESPONSE_TIME] = {
        "lowest-response-time", pick_lowest_response_time,
        "answers soonest of those compared that are not busy" },
    [ALGORITHM_AVAILABILITY] = {
        "availability", pick_by_tier,
        "of the best priority that is available, by weight and flow hash" },
};

const char *
pick_algorithm_name(enum group_algorithm algorithm)
{
    return ((unsigned int) algorithm < N_ALGORITHMS
            ? pickers[algorithm].name : NULL);
}

bool
pick_ramps(const struct group *group, uint16_t endpoint, uint64_t hash,
           uint64_t now_us)
{
    if (!group->ramp || endpoint >= group->n_endpoints) {
        return false;
    }

    uint64_t up_us = group->endpoints[endpoint].up_at_s * UINT64_C(1000000);
    uint64_t oldest_us = group->oldest_up_at_s * UINT64_C(1000000);
    uint64_t share = 1000000 + (now_us > up_us ? now_us - up_us : 0);
    uint64_t of = 1000000 + (now_us > oldest_us ? now_us - oldest_us : 0);
    uint64_t ramp = group->ramp * UINT64_C(1000000);

    if (of > ramp) {
        of = ramp;
    }
    uint64_t dice = flow_hash_mix(hash ^ (endpoint + 1) * GOLDEN, MIXER);
    return (uint64_t) ((unsigned __int128) dice * of >> 64) >= share;
}

/* splitmix64. */
uint64_t
pick_random(struct pick_search *s)
{
    uint64_t z = s->random += GOLDEN;

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

bool
pick_admits(struct pick_search *s, uint16_t position)
{
    uint16_t endpoint = s->tier[position].endpoint;
    struct endpoint_load *load = pick_load(s, position);
    uint64_t now_us = s->query->now_us;

    if (s->any) {
        return true;
    }
    if (!s->looks_left) {
        return false;
    }
    s->looks_left--;
    if (load && !load_is_healthy(load, now_us)) {
        s->trail->n_skipped++;
        return false;
    }
    if (pick_ramps(s->group, endpoint, s->query->hash, now_us)) {
        s->trail->n_ramping++;
        if (s->spare == GROUP_NO_ENDPOINT) {
            s->spare = endpoint;
        }
        return false;
    }
    if (load && load_is_failing(load)) {
        s->decided = s->query->dry_run || load_admit(load, now_us);
        return s->decided;
    }
    return true;
}

uint16_t
pick_position(const struct pick_search *s, uint64_t dice)
{
    uint32_t target = (unsigned __int128) dice * s->weight >> 64;
    uint16_t low = 0, high = s->n - 1;

    while (low < high) {
        uint16_t middle = (low + high) / 2;

        if (s->tier[middle].weight_sum > target) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

uint64_t
pick_again(uint64_t dice)
{
    return flow_hash_mix(dice ^ GOLDEN, MIXER);
}

/* One of all in a small tier who will do, by weight. */
static uint16_t
draw_from_all(struct pick_search *s, uint64_t dice)
{
    uint32_t weights[SMALL] = { 0 };
    uint32_t sum = 0, target;

    for (uint16_t i = 0; i < s->n; i++) {
        if (pick_admits(s, i)) {
            if (s->decided) {
                return i;
            }
            sum += weights[i] = pick_weight(s, i);
        }
    }
    target = (unsigned __int128) dice * sum >> 64;
    for (uint16_t i = 0; i < s->n; i++) {
        if (target < weights[i]) {
            return i;
        }
        target -= weights[i];
    }
    return PICK_NONE;
}

static uint16_t
walk(struct pick_search *s, uint64_t dice)
{
    uint16_t start = (unsigned __int128) dice * s->n >> 64;

    for (uint16_t i = 0; i < WALK; i++) {
        uint16_t position = (start + i) % s->n;

        if (pick_admits(s, position)) {
            return position;
        }
    }
    return PICK_NONE;
}

uint16_t
pick_draw(struct pick_search *s, uint64_t dice)
{
    int draws = s->n > SMALL ? DRAWS : s->n > 1 ? SMALL_DRAWS : 1;

    for (int i = 0; i < draws; i++) {
        uint16_t position = pick_position(s, dice);

        if (pick_admits(s, position)) {
            return position;
        }
        dice = pick_again(dice);
    }
    return (s->n > SMALL ? walk(s, dice)
            : s->n > 1 ? draw_from_all(s, dice)
            : PICK_NONE);
}

uint16_t
pick_draw_other(struct pick_search *s, uint16_t other)
{
    for (int i = 0; i < DRAWS && s->n > 1; i++) {
        uint16_t position = pick_position(s, pick_random(s));

        if (position != other && pick_admits(s, position)) {
            return position;
        }
    }
    return other;
}

void
pick_note(struct pick_search *s, uint16_t position)
{
    struct pick_trail *trail = s->trail;

    if (trail->n_compared < PICK_MAX_COMPARED) {
        trail->compared[trail->n_compared++] = s->tier[position].endpoint;
    }
}

/* Turns to the tier that begins with candidate 'first'. */
static void
enter_tier(struct pick_search *s, uint16_t first)
{
    const struct group_candidate *c = s->group->candidates;
    uint16_t low = first, high = s->group->n_candidates - 1;

    while (low < high) {        /* For the last one of the tier. */
        uint16_t middle = (low + high + 1) / 2;

        if (c[middle].tier == c[first].tier) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    s->tier = &c[first];
    s->n = low - first + 1;
    s->weight = c[low].weight_sum;
    s->trail->tier = c[first].tier;
    s->trail->n_tier = s->n;
}

/* The best tier in which anybody will do. */
static uint16_t
search_tiers(struct pick_search *s)
{
    const struct picker *picker = &pickers[s->group->algorithm];

    for (uint16_t first = 0; first < s->group->n_candidates && s->looks_left;
         first += s->n) {
        uint16_t position;

        enter_tier(s, first);
        s->trail->why = picker->why;
        position = picker->pick(s);
        if (position != PICK_NONE) {
            if (s->decided) {
                s->trail->why = "unhealthy, and due for another try";
            }
            return s->tier[position].endpoint;
        }
    }
    return GROUP_NO_ENDPOINT;
}

/* Nobody was found: one who is only new, or else anybody. */
static uint16_t
search_leftovers(struct pick_search *s)
{
    uint16_t position;

    if (s->spare != GROUP_NO_ENDPOINT) {
        s->trail->why = "new, and none of the older ones will do";
        return s->spare;
    }
    s->any = true;
    s->trail->ignored_health = true;
    enter_tier(s, 0);
    position = pickers[s->group->algorithm].pick(s);
    s->trail->why = "no endpoint is healthy, so health is not looked at";
    return s->tier[position].endpoint;
}

uint16_t
pick_endpoint(const struct group *group, const struct pick_query *query,
              struct pick_trail *trail)
{
    struct pick_trail unused;
    struct pick_search s = {
        .group = group, .query = query, .trail = trail ? trail : &unused,
        .random = query->random, .looks_left = PICK_MAX_LOOKS,
        .spare = GROUP_NO_ENDPOINT,
    };
    uint16_t choice;

    memset(s.trail, 0, sizeof *s.trail);
    s.trail->n_candidates = group->n_candidates;
    if (!group->n_candidates) {
        s.trail->why = "no endpoint is up";
        return GROUP_NO_ENDPOINT;
    }
    choice = search_tiers(&s);
    return choice != GROUP_NO_ENDPOINT ? choice : search_leftovers(&s);
}
