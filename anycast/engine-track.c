/* Flow entries as packets come by, and what that tells of the endpoints: how
 * many flows they have, and how soon they answer. */

#include "anycast/engine-private.h"

enum {
    MAX_IMPORT_AGE = FLOW_MAX_SKEW / 2, /* Seconds.  Threads' clocks may be
                                         * behind, too. */
};

static struct endpoint_load *
find_load(const struct group *group, uint16_t endpoint)
{
    return (group && endpoint < group->n_endpoints
            ? group->endpoints[endpoint].load : NULL);
}

/* One entry stands for all the connections of a source with affinity.  The end
 * of one says nothing about the others, so such an entry never closes.  It is
 * weak until some connection of it gets past its SYN; a spoofed source never
 * does. */
static enum flow_state
next_source_state(enum flow_state old, uint8_t life)
{
    if (old == FLOW_SOURCE) {
        return FLOW_SOURCE;
    }
    if (life & (ENCAP_OPENS | ENCAP_ABORTS)) {
        return FLOW_NEW;
    }
    return old == FLOW_FREE ? FLOW_UNPROVEN : FLOW_SOURCE;
}

enum flow_state
engine_next_state(enum flow_state old, uint8_t protocol, uint8_t life,
                  uint8_t affinity)
{
    if (affinity == AFFINITY_SOURCE) {
        return next_source_state(old, life);
    }
    if (protocol == IPPROTO_NR_UDP || protocol == IPPROTO_NR_ICMP) {
        return old == FLOW_FREE ? FLOW_UNPROVEN : FLOW_DATAGRAM;
    }
    if (life & (ENCAP_CLOSES | ENCAP_ABORTS) || old == FLOW_CLOSING) {
        return FLOW_CLOSING;
    }
    if (old == FLOW_ESTABLISHED) {
        return FLOW_ESTABLISHED;
    }
    if (life & ENCAP_OPENS) {
        return FLOW_NEW;
    }
    /* What is in mid-flow without an entry was established elsewhere, or is
     * made up; its second packet decides. */
    return old == FLOW_FREE ? FLOW_UNPROVEN : FLOW_ESTABLISHED;
}

/* Handshakes.  What is followed is the one that the flow entry began with, as
 * long as the entry is half open: later SYNs, of an entry that is settled or
 * that stands for a source's many connections, say nothing of it. */

/* A handshake that is not followed any more, its outcome unknown. */
static void
forget_handshake(const struct anycast_table *table,
                 const struct handshake *handshake)
{
    struct endpoint_load *load
        = find_load(anycast_table_lookup_id(table, handshake->group),
                    handshake->endpoint);

    if (load) {
        load_forgot(load);
    }
}

void
engine_track_open(const struct engine_run *run,
                  const struct engine_packet *packet, uint16_t endpoint)
{
    struct endpoint_load *load = find_load(packet->group, endpoint);
    struct handshake displaced = { .hash = 0 };
    uint64_t elapsed_us;

    if (!load) {
        return;
    }
    if (handshake_syn(&run->thread->handshakes, packet->hash,
                      packet->group->id, endpoint, run->now_us, &elapsed_us,
                      &displaced)) {
        load_repeated(load, elapsed_us, run->now_us);
    } else {
        load_began(load);
    }
    if (displaced.hash) {
        forget_handshake(run->table, &displaced);
    }
}

static void
note_answer(const struct engine_run *run, const struct engine_packet *packet)
{
    struct endpoint_load *load;
    struct handshake done;

    if (!handshake_ack(&run->thread->handshakes, packet->hash, &done)) {
        return;
    }
    load = find_load(anycast_table_lookup_id(run->table, done.group),
                     done.endpoint);
    if (!load) {
        return;
    }
    /* Whose SYN an answer after repeats answers, nobody knows (P. Karn, C.
     * Partridge, 1987): it says that there is life, not how soon. */
    load_answered(load, done.repeats ? 0 : run->now_us - done.began_us,
                  run->now_us);
}

void
engine_tick(const struct engine_world *world, struct engine_thread *thread,
            uint64_t now_us)
{
    struct handshake handshake;

    if (!world->table) {
        return;
    }
    while (handshake_expire(&thread->handshakes, HANDSHAKE_SLOTS / 8, now_us,
                            &handshake)) {
        struct endpoint_load *load
            = find_load(anycast_table_lookup_id(world->table,
                                                handshake.group),
                        handshake.endpoint);

        if (load) {
            load_gave_up(load, now_us);
        }
    }
}

/* Entries. */

void
engine_flow_ended(const struct anycast_table *table,
                  const struct flow_ended *ended)
{
    const struct group *group = (table && ended->group
                                 ? anycast_table_lookup_id(table, ended->group)
                                 : NULL);
    struct endpoint_load *load = find_load(group, ended->endpoint);

    /* A closing flow was taken off its endpoint when it began to close. */
    if (load && ended->state != FLOW_CLOSING) {
        load_closed(load);
    }
    if (group && group->load) {
        __atomic_fetch_sub(&group->load->pinned, 1, __ATOMIC_RELAXED);
    }
}

/* 'load' after an entry of its went from state 'old' to 'new'. */
static void
note_state(struct endpoint_load *load, enum flow_state old,
           enum flow_state new, uint8_t life)
{
    if (!load || old == new) {
        return;
    }
    if (new == FLOW_CLOSING) {
        load_closed(load);
        if (life & ENCAP_ABORTS) {
            load_reset(load);
        }
    } else if (old == FLOW_CLOSING) {
        load_opened(load);
    }
}

void
engine_track_kept(const struct engine_run *run,
                  const struct engine_packet *packet,
                  const struct flow_ref *ref)
{
    const struct encap_view *view = &packet->view;
    enum flow_state state = engine_next_state(ref->state, view->protocol,
                                              view->life,
                                              packet->group->affinity);

    note_state(find_load(packet->group, ref->endpoint),
               flow_table_touch(run->flows, ref, run->now_s, state), state,
               view->life);
    if (view->life & ENCAP_OPENS) {
        if (state == FLOW_NEW && packet->group->affinity == AFFINITY_FLOW) {
            engine_track_open(run, packet, ref->endpoint);
        }
    } else if (ref->state == FLOW_NEW) {
        note_answer(run, packet);
    }
}

void
engine_track_closing(const struct engine_run *run, const struct group *group,
                     const struct flow_ref *ref)
{
    note_state(find_load(group, ref->endpoint),
               flow_table_touch(run->flows, ref, run->now_s, FLOW_CLOSING),
               FLOW_CLOSING, 0);
}

bool
engine_track_put(const struct engine_run *run, const struct group *group,
                 const struct flow_key *key, uint64_t hash, uint16_t endpoint,
                 enum flow_state state)
{
    struct endpoint_load *load = find_load(group, endpoint);
    struct flow_ended ended;
    bool entered = flow_table_insert(run->flows, hash, key, endpoint,
                                     run->now_s, state, &ended);

    engine_flow_ended(run->table, &ended);
    if (!entered) {
        return false;
    }
    if (ended.renewed) {
        note_state(load, ended.state, state, 0);
        return true;
    }
    if (group->load) {
        __atomic_fetch_add(&group->load->pinned, 1, __ATOMIC_RELAXED);
    }
    if (load && state != FLOW_CLOSING) {
        load_opened(load);
    }
    return true;
}

void
engine_track_chosen(const struct engine_run *run,
                    const struct engine_packet *packet,
                    const struct engine_choice *choice)
{
    const struct encap_view *view = &packet->view;
    const struct group *group = packet->group;
    bool opens = view->life & ENCAP_OPENS;
    enum flow_state old = (choice->lost && !opens ? choice->ref.state
                           : FLOW_FREE);
    enum flow_state state = engine_next_state(old, view->protocol, view->life,
                                              group->affinity);

    engine_count(&run->thread->count.new_flows, 1);
    if (choice->lost) {
        engine_count(&run->thread->count.repicked, 1);
    }
    if (group->load) {
        __atomic_fetch_add(&group->load->selected, 1, __ATOMIC_RELAXED);
    }
    if (opens) {
        engine_track_open(run, packet, choice->endpoint);
    }
    if (!engine_track_put(run, group, &packet->key, packet->hash,
                          choice->endpoint, state)) {
        engine_count(&run->thread->count.untracked, 1);
    }
}

/* Flows that move with their client. */

/* Whether the entry '*ref' gives way to what another host says.  What is just
 * beginning here has hardly begun elsewhere as well, unless it stands for all
 * that its source has. */
static bool
gives_way(const struct group *group, const struct flow_ref *ref,
          enum flow_state state, uint16_t idle_s)
{
    bool begins_here = (ref->state == FLOW_NEW && !engine_is_doubtful(ref)
                        && group->affinity == AFFINITY_FLOW);

    if (!group_keeps_flows(group, ref->endpoint)) {
        return true;
    }
    if (flow_state_is_weak(state)
        && (begins_here || !flow_state_is_weak(ref->state))) {
        return false;
    }
    return (ref->state == FLOW_UNPROVEN || ref->state == FLOW_CLOSING
            || ref->state == FLOW_DATAGRAM || idle_s < ref->idle);
}

static struct engine_run
import_run(const struct engine_world *world, uint64_t now_us)
{
    return (struct engine_run) {
        .world = world, .table = world->table, .flows = world->flows,
        .now_us = now_us, .now_s = now_us / 1000000,
    };
}

bool
engine_import(const struct engine_world *world, uint64_t now_us,
              const struct flow_key *from, uint16_t endpoint,
              enum flow_state state, uint16_t idle_s)
{
    const struct group *group
        = (world->table ? anycast_table_lookup_id(world->table, from->group)
           : NULL);
    struct engine_run run = import_run(world, now_us);
    uint16_t age = idle_s < MAX_IMPORT_AGE ? idle_s : MAX_IMPORT_AGE;
    struct flow_key key;
    struct flow_ref ref;

    if (!group || !group_keeps_flows(group, endpoint)
        || state <= FLOW_CLAIMED || state >= N_FLOW_STATES) {
        return false;
    }
    uint64_t hash = engine_make_key(world->table, group, from->src,
                                    from->src_port, from->dst_port, &key);
    if (flow_table_lookup(world->flows, hash, &key, run.now_s, &ref)
        && !gives_way(group, &ref, state, age)) {
        return false;
    }

    /* As by a thread whose clock is that far behind. */
    run.now_s -= age;
    return engine_track_put(&run, group, &key, hash, endpoint, state);
}

void
engine_let_go(const struct engine_world *world, uint64_t now_us,
              const struct flow_key *from, uint16_t endpoint)
{
    const struct group *group
        = (world->table ? anycast_table_lookup_id(world->table, from->group)
           : NULL);
    const struct engine_run run = import_run(world, now_us);
    struct flow_key key;
    struct flow_ref ref;

    if (!group) {
        return;
    }
    uint64_t hash = engine_make_key(world->table, group, from->src,
                                    from->src_port, from->dst_port, &key);
    if (flow_table_lookup(world->flows, hash, &key, run.now_s, &ref)
        && ref.endpoint == endpoint && !flow_state_is_weak(ref.state)) {
        flow_table_touch(world->flows, &ref, run.now_s, FLOW_UNPROVEN);
    }
}

/* Groups whose loads do not know yet of the entries that are there. */

static bool
is_uncounted(const struct group *group)
{
    return group && group->load && !group->load->recounted;
}

static void
end_counted(const struct flow_ended *ended, void *table)
{
    if (!is_uncounted(anycast_table_lookup_id(table, ended->group))) {
        engine_flow_ended(table, ended);
    }
}

static void
recount_flows(const struct engine_world *world, uint64_t now_us)
{
    struct flow_key key;
    struct flow_ref ref;
    uint64_t cursor = 0;

    while (flow_table_next(world->flows, &cursor, now_us / 1000000, &key,
                           &ref)) {
        const struct group *group = anycast_table_lookup_id(world->table,
                                                            key.group);
        struct endpoint_load *load = find_load(group, ref.endpoint);

        if (!is_uncounted(group)) {
            continue;
        }
        __atomic_fetch_add(&group->load->pinned, 1, __ATOMIC_RELAXED);
        if (load && ref.state != FLOW_CLOSING) {
            load_opened(load);
        }
    }
}

void
engine_recount(const struct engine_world *world, uint64_t now_us)
{
    const struct anycast_table *table = world->table;
    size_t n_uncounted = 0;

    for (size_t i = 0; i <= table->ids_mask; i++) {
        n_uncounted += is_uncounted(table->ids[i].group);
    }
    if (!n_uncounted) {
        return;
    }

    /* What timed out meanwhile is not counted, so must not end later on. */
    flow_table_sweep(world->flows, now_us / 1000000,
                     flow_table_n_buckets(world->flows), end_counted,
                     (void *) (uintptr_t) table);
    recount_flows(world, now_us);
    for (size_t i = 0; i <= table->ids_mask; i++) {
        if (is_uncounted(table->ids[i].group)) {
            table->ids[i].group->load->recounted = true;
        }
    }
}
