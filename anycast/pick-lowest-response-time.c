/* The one that answers soonest of a few drawn by weight, if it is not busy
 * (the hot/cold rule of B. Wydrowski et al., "Load is not what you should
 * balance: Introducing Prequal", NSDI 2024).
 *
 * An endpoint is hot if this host has more flows on it, for its weight, than
 * on HOT_PERCENT of those that were drawn, which group_load's 'busy' follows;
 * a flow whose handshake is under way counts twice.  And one of which nothing
 * is known is hot while its first handshake lasts.  A cold one beats a hot
 * one; of cold ones the one that answers soonest wins, of hot ones the least
 * loaded.  So hosts that all know of the same fast endpoint stop crowding it
 * before it is slow.
 *
 * What is known of an endpoint grows old where no flows go: its response time
 * is taken to have halved after each HALF_LIFE_US, so that one that was slow
 * is tried again.  And now and then a flow goes to one of which nothing was
 * heard for EXPLORE_US. */

#include "anycast/pick-private.h"

enum {
    CHOICES = 3,
    UNIT = 1024,                /* One flow, at weight 1, in 'busy'. */
    HOT_PERCENT = 70,           /* So many of all are cold. */
    EXPLORE_BITS = 6,           /* One flow of 2**EXPLORE_BITS explores. */
};

/* What one would like to know of a candidate. */
struct standing {
    uint16_t position;
    bool hot;
    uint64_t busy;              /* In UNIT. */
    uint64_t response_us;       /* As far as it is still known. */
};

#define HALF_LIFE_US 2000000
#define EXPLORE_US   1000000

/* Moves 'q' towards the value that HOT_PERCENT of all samples are below. */
static void
follow_quantile(uint32_t *q_, uint64_t sample)
{
    uint64_t q = load_read(*q_);
    uint64_t step = q / 16 + UNIT / 8;

    if (sample > q) {
        q += step * HOT_PERCENT / 100;
    } else {
        uint64_t down = step * (100 - HOT_PERCENT) / 100;

        q -= down < q ? down : q;
    }
    __atomic_store_n(q_, q < UINT32_MAX ? q : UINT32_MAX, __ATOMIC_RELAXED);
}

static uint64_t
believed_response(const struct endpoint_load *load, uint64_t now_us)
{
    uint64_t response = load_read(load->response_us);
    uint64_t measured_us = load_read(load->measured_us);
    uint64_t age = now_us > measured_us ? now_us - measured_us : 0;
    uint64_t halvings = age / HALF_LIFE_US;
    uint32_t health = load_read(load->health);

    if (halvings >= 32) {
        return 0;
    }
    response -= response / 2 * (age % HALF_LIFE_US) / HALF_LIFE_US;
    return (response >> halvings) * LOAD_HEALTHY / (health ? health : 1);
}

static struct standing
look_at(struct pick_search *s, uint16_t position)
{
    const struct group_load *group_load = s->group->load;
    const struct endpoint_load *load = pick_load(s, position);
    struct standing st = { .position = position };

    if (load) {
        uint32_t pending = load_pending(load);

        st.busy = (uint64_t) (load_open(load) + pending) * UNIT
                  / pick_weight(s, position);
        st.response_us = believed_response(load, s->query->now_us);
        st.hot = ((group_load && st.busy > load_read(group_load->busy))
                  || (pending && !st.response_us));
    }
    pick_note(s, position);
    return st;
}

/* Sooner by enough to matter. */
static bool
is_sooner(const struct standing *a, const struct standing *b)
{
    return a->response_us + a->response_us / 8 < b->response_us;
}

static bool
is_better(const struct standing *a, const struct standing *b)
{
    if (a->hot != b->hot) {
        return b->hot;
    } else if (!a->hot && is_sooner(a, b)) {
        return true;
    }
    return a->busy < b->busy && (a->hot || !is_sooner(b, a));
}

static bool
is_worth_a_try(struct pick_search *s, uint16_t position)
{
    const struct endpoint_load *load = pick_load(s, position);

    return (!(pick_random(s) >> (64 - EXPLORE_BITS))
            && load && !load_pending(load)
            && load_read(load->measured_us) + EXPLORE_US < s->query->now_us);
}

uint16_t
pick_lowest_response_time(struct pick_search *s)
{
    uint16_t first = pick_draw(s, pick_random(s));

    if (first == PICK_NONE || s->decided) {
        return first;
    }

    struct standing best = look_at(s, first);

    if (s->group->load && !s->query->dry_run) {
        follow_quantile(&s->group->load->busy, best.busy);
    }
    if (is_worth_a_try(s, first)) {
        s->trail->why = "to see how soon it answers";
        return first;
    }
    for (int i = 1; i < CHOICES; i++) {
        uint16_t position = pick_draw_other(s, best.position);

        if (s->decided) {
            return position;
        } else if (position != best.position) {
            struct standing other = look_at(s, position);

            if (is_better(&other, &best)) {
                best = other;
            }
        }
    }
    return best.position;
}
