/* Which endpoint?  A flow with an entry stays where it is; what has none, or
 * must leave, goes by the id in its QUIC packets, by its slot, or by the
 * group's picker, in this order. */

#include "anycast/engine-private.h"

/* How many other slots are tried for one whose owner is well. */
enum { SLOT_TRIES = 8 };

/* Constant that turns a flow's hash into one for another slot. */
#define RESLOT UINT64_C(0x9e3779b97f4a7c15)

bool
engine_may_have_flows(const struct group *group, uint16_t endpoint)
{
    return (group_keeps_flows(group, endpoint)
            && !(group->flags & GROUP_RESET_LOST
                 && group->endpoints[endpoint].state == ENDPOINT_LOST));
}

size_t
engine_previous(const struct group *group, uint64_t hash, uint16_t except,
                uint16_t previous[GROUP_MAX_PREVIOUS])
{
    size_t n = 0;

    if (!group->previous) {
        return 0;
    }
    const uint16_t *p
        = &group->previous[group_slot(group, hash) * GROUP_MAX_PREVIOUS];
    for (int i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        if (p[i] != except && engine_may_have_flows(group, p[i])) {
            previous[n++] = p[i];
        }
    }
    return n;
}

size_t
engine_only_elsewhere(const struct group *group, uint16_t *endpoints, size_t n)
{
    size_t n_elsewhere = 0;

    for (size_t i = 0; i < n; i++) {
        if (!group->endpoints[endpoints[i]].local) {
            endpoints[n_elsewhere++] = endpoints[i];
        }
    }
    return n_elsewhere;
}

static bool
is_up(const struct group *group, uint16_t endpoint)
{
    return (endpoint < group->n_endpoints
            && group->endpoints[endpoint].state == ENDPOINT_UP);
}

/* Whether 'endpoint' is well enough for a new flow, which goes there if so. */
static bool
admits(const struct engine_inquiry *q, uint16_t endpoint)
{
    struct endpoint_load *load = q->group->endpoints[endpoint].load;

    return (!load || (q->dry_run ? load_is_healthy(load, q->now_us)
                      : load_admit(load, q->now_us)));
}

/* The owner of the slot of 'hash', or, while that one starts slowly, the owner
 * before it.  GROUP_NO_ENDPOINT if neither takes new flows. */
static uint16_t
choose_by_slot(const struct group *group, uint64_t hash, uint64_t now_us)
{
    uint32_t slot = group_slot(group, hash);
    uint16_t owner = group->slots[slot];

    if (!is_up(group, owner)
        || (group->ramp && pick_ramps(group, owner, hash, now_us))) {
        const uint16_t *p = group->previous;

        for (int i = 0; p && i < GROUP_MAX_PREVIOUS; i++) {
            uint16_t before = p[slot * GROUP_MAX_PREVIOUS + i];

            if (is_up(group, before)) {
                return before;
            }
        }
    }
    return is_up(group, owner) ? owner : GROUP_NO_ENDPOINT;
}

/* The owner of another slot, of one that is well if there is any soon. */
static uint16_t
choose_other_slot(const struct engine_inquiry *q)
{
    uint64_t hash = q->hash;

    for (int i = 0; i < SLOT_TRIES; i++) {
        hash = flow_hash_mix(hash ^ RESLOT, RESLOT | 1);
        uint16_t other = choose_by_slot(q->group, hash, q->now_us);

        if (other != GROUP_NO_ENDPOINT && admits(q, other)) {
            return other;
        }
    }
    return GROUP_NO_ENDPOINT;
}

static void
choose_slot(const struct engine_inquiry *q, struct engine_choice *choice)
{
    const struct group *group = q->group;
    uint16_t owner = group->slots[group_slot(group, q->hash)];
    uint16_t other;

    choice->endpoint = owner;
    choice->why = "the owner of its slot";
    if (!q->begins && is_up(group, owner)) {
        return;                 /* Who will ask others, if need be. */
    }
    owner = choose_by_slot(group, q->hash, q->now_us);
    choice->endpoint = owner;
    if (owner != GROUP_NO_ENDPOINT
        && owner != group->slots[group_slot(group, q->hash)]) {
        choice->why = "the slot's owner before, while the new one starts";
    }

    /* A group that goes by the hash alone keeps to it.  (Elsewhere the entry
     * remembers where the flow went.) */
    if (owner == GROUP_NO_ENDPOINT
        || (group->algorithm == ALGORITHM_WEIGHTED
            && !admits(q, owner))) {
        other = choose_other_slot(q);
        if (other != GROUP_NO_ENDPOINT && other != owner) {
            choice->endpoint = other;
            choice->why = "another slot's owner: that of its slot is not well";
        }
    }
    if (choice->endpoint == GROUP_NO_ENDPOINT && !q->begins) {
        uint16_t previous[GROUP_MAX_PREVIOUS];

        if (engine_previous(group, q->hash, GROUP_NO_ENDPOINT, previous)) {
            choice->endpoint = previous[0];
            choice->why = "the slot's owner before: there is none now";
        }
    }
}

void
engine_choose_new(const struct engine_inquiry *q, struct engine_choice *choice)
{
    const struct group *group = q->group;

    choice->kept = false;
    choice->picked = !group_uses_slots(group);
    if (choice->picked) {
        struct pick_query query = {
            .hash = q->hash, .random = q->random, .now_us = q->now_us,
            .dry_run = q->dry_run,
        };

        choice->endpoint = pick_endpoint(group, &query, &choice->trail);
        choice->why = choice->trail.why;
    } else {
        choose_slot(q, choice);
    }
}

/* Whether the flow of the entry '*ref' stays on its endpoint. */
static bool
stays(const struct engine_inquiry *q, const struct flow_ref *ref, bool *lost)
{
    const struct group *group = q->group;

    *lost = !group_keeps_flows(group, ref->endpoint);
    if (*lost) {
        return false;
    }
    if (ref->state == FLOW_SOURCE && ref->idle >= group->affinity_timeout) {
        return false;
    }
    /* A flow that cannot be reset is better picked anew. */
    if ((q->begins || !q->is_resettable) && group->flags & GROUP_RESET_LOST
        && group->endpoints[ref->endpoint].state == ENDPOINT_LOST) {
        *lost = true;
        return false;
    }
    if (q->opens) {
        const struct group_endpoint *e = &group->endpoints[ref->endpoint];

        /* A closed connection's ports may be used again.  And a connection
         * that never came about may try elsewhere. */
        if (ref->state == FLOW_CLOSING || e->state == ENDPOINT_LOST
            || (ref->state == FLOW_NEW && e->load
                && !load_is_healthy(e->load, q->now_us))) {
            return false;
        }
    }
    return true;
}

/* Whether who goes by the flow's slot, and asks its previous owners, comes to
 * 'endpoint', among others. */
static bool
is_near_slot(const struct engine_inquiry *q, uint16_t endpoint)
{
    const struct group *group = q->group;
    uint16_t previous[GROUP_MAX_PREVIOUS];
    size_t n;

    if (!group_uses_slots(group)
        || !is_up(group, group->slots[group_slot(group, q->hash)])) {
        return false;
    }
    n = engine_previous(group, q->hash, GROUP_NO_ENDPOINT, previous);
    for (size_t i = 0; i < n; i++) {
        if (previous[i] == endpoint) {
            return true;
        }
    }
    return n && group->slots[group_slot(group, q->hash)] == endpoint;
}

void
engine_choose(const struct flow_table *flows, const struct engine_inquiry *q,
              struct engine_choice *choice)
{
    choice->tracked = (engine_has_entries(q->group)
                       && flow_table_lookup(flows, q->hash, q->key,
                                            q->now_us / 1000000,
                                            &choice->ref));
    choice->kept = choice->lost = choice->picked = choice->named = false;
    choice->why = "it has an entry";
    if (q->has_quic_id) {
        uint16_t endpoint = group_find_quic(q->group, q->quic_id);

        if (endpoint != GROUP_NO_ENDPOINT
            && group_keeps_flows(q->group, endpoint)) {
            choice->endpoint = endpoint;
            choice->named = true;
            choice->kept = choice->tracked && choice->ref.endpoint == endpoint;
            choice->why = "its QUIC connection id names the endpoint";
            return;
        }
    }
    if (choice->tracked && !q->begins && engine_is_doubtful(&choice->ref)
        && is_near_slot(q, choice->ref.endpoint)) {
        /* Who is asked by its slot finds it if it is still so. */
        choice->tracked = false;
    }
    if (choice->tracked && stays(q, &choice->ref, &choice->lost)) {
        choice->kept = true;
        choice->endpoint = choice->ref.endpoint;
        return;
    }
    if (!choice->tracked && !q->begins && !group_uses_slots(q->group)) {
        /* In mid-flow, and a picker would only guess.  But the flow may have
         * begun when the group went by slots. */
        choose_slot(q, choice);
        if (choice->endpoint != GROUP_NO_ENDPOINT) {
            return;
        }
    }
    engine_choose_new(q, choice);
}
