/* By labels, the tier is the distance.
 *
 * By measured time there is one tier, and near are those whose least response
 * time is at most twice the least of all: of these, one by weight and flow
 * hash.  Few endpoints are all looked at.  Of many, those that the flow's hash
 * falls on, and those that group_load's 'near' remembers to have been near; a
 * near one that was met takes somebody's place there, so that in the long run
 * each near one is there for its share of the time.
 *
 * An endpoint that is not measured is not near, but gets a flow now and then,
 * and so does one that was measured long ago. */

#include "anycast/pick-private.h"

enum {
    FEW = 16,
    DRAWS = 8,
    EXPLORE_BITS = 4,           /* One flow of 2**EXPLORE_BITS explores. */
    SLACK_US = 100,             /* Less than this is near anyhow. */
    STALE_US = 60000000,
};
static_assert(DRAWS + LOAD_NEAR <= FEW, "the short list has room");

/* Those who are compared. */
struct short_list {
    uint64_t dice;              /* From the flow's hash, for the choice. */
    int n;
    struct {
        uint16_t position;
        bool remembered;        /* In group_load's 'near'. */
        uint32_t weight;
        uint32_t us;            /* 0: not measured. */
    } item[FEW];
};

static bool
is_measured(const struct pick_search *s, uint16_t position)
{
    const struct endpoint_load *load = pick_load(s, position);

    return load && load_read(load->min_response_us);
}

static void
shorten(struct pick_search *s, struct short_list *list, uint16_t position,
        uint32_t weight, bool remembered)
{
    const struct endpoint_load *load = pick_load(s, position);

    if (!s->decided && pick_admits(s, position)) {
        list->item[list->n].position = position;
        list->item[list->n].weight = weight;
        list->item[list->n].remembered = remembered;
        list->item[list->n].us = load ? load_read(load->min_response_us) : 0;
        list->n++;
    }
}

/* The position of 'endpoint' in the tier, or PICK_NONE. */
static uint16_t
find_endpoint(const struct pick_search *s, uint16_t endpoint)
{
    uint16_t low = 0, high = s->n;

    while (low < high) {
        uint16_t middle = (low + high) / 2;

        if (s->tier[middle].endpoint == endpoint) {
            return middle;
        } else if (s->tier[middle].endpoint < endpoint) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return PICK_NONE;
}

static void
fill_short_list(struct pick_search *s, struct short_list *list)
{
    const struct group_load *load = s->group->load;

    if (s->n <= FEW) {
        for (uint16_t i = 0; i < s->n; i++) {
            shorten(s, list, i, pick_weight(s, i), false);
        }
        return;
    }
    for (int i = 0; i < DRAWS; i++) {   /* By weight: all count the same. */
        shorten(s, list, pick_position(s, list->dice), 1, false);
        list->dice = pick_again(list->dice);
    }
    for (int i = 0; load && i < LOAD_NEAR; i++) {
        uint16_t position = find_endpoint(s, load_read(load->near[i]));

        if (position != PICK_NONE && is_measured(s, position)) {
            shorten(s, list, position, 1, true);
        }
    }
}

/* Drops from 'list' who is not near; nobody, if nobody is measured.  Returns
 * the sum of weights. */
static uint32_t
keep_near(struct short_list *list)
{
    uint32_t least = UINT32_MAX, sum = 0;
    int n = 0;

    for (int i = 0; i < list->n; i++) {
        uint32_t us = list->item[i].us;

        if (us && us < least) {
            least = us;
        }
    }
    for (int i = 0; i < list->n; i++) {
        uint32_t us = list->item[i].us;

        if (least == UINT32_MAX
            || (us && (us <= SLACK_US || us / 2 <= least))) {
            sum += list->item[i].weight;
            list->item[n++] = list->item[i];
        }
    }
    list->n = n;
    return sum;
}

/* Those who are remembered already come last, and are not copied, or in the
 * end they would all be the same. */
static void
remember_near(struct pick_search *s, const struct short_list *list)
{
    struct group_load *load = s->group->load;

    if (s->n > FEW && load && !s->query->dry_run && list->item[0].us
        && !list->item[0].remembered) {
        __atomic_store_n(&load->near[pick_random(s) % LOAD_NEAR],
                         s->tier[list->item[0].position].endpoint,
                         __ATOMIC_RELAXED);
    }
}

/* Somebody whom too little is known of, or PICK_NONE. */
static uint16_t
explore(struct pick_search *s)
{
    uint16_t position;
    const struct endpoint_load *load;

    if (pick_random(s) >> (64 - EXPLORE_BITS)) {
        return PICK_NONE;
    }
    position = pick_draw(s, pick_random(s));
    load = position != PICK_NONE ? pick_load(s, position) : NULL;
    if (s->decided) {
        return position;
    }
    if (!load || load_pending(load)
        || (load_read(load->min_response_us)
            && load_read(load->measured_us) + STALE_US >= s->query->now_us)) {
        return PICK_NONE;
    }
    s->trail->why = "to see how near it is";
    return position;
}

static uint16_t
pick_measured(struct pick_search *s)
{
    struct short_list list = { .dice = s->query->hash };
    uint16_t explored = explore(s);
    uint32_t target;

    if (explored != PICK_NONE) {
        return explored;
    }
    fill_short_list(s, &list);
    if (!list.n) {
        return pick_draw(s, s->query->hash);
    } else if (s->decided) {
        return list.item[list.n - 1].position;
    }
    target = (unsigned __int128) list.dice * keep_near(&list) >> 64;
    remember_near(s, &list);
    for (int i = 0; ; i++) {
        if (target < list.item[i].weight) {
            pick_note(s, list.item[i].position);
            return list.item[i].position;
        }
        target -= list.item[i].weight;
    }
}

uint16_t
pick_nearest(struct pick_search *s)
{
    return (s->group->flags & GROUP_MEASURED
            ? pick_measured(s) : pick_by_tier(s));
}
