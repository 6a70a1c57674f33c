/* Flows that begin without ado.  A host that takes thousands of new connections
 * a second, or is flooded by SYNs, spends its time here: what is the same for
 * all of a batch is counted once. */

#include "anycast/engine-private.h"
#include "anycast/engine-send.h"

/* Flows that were put on one group in a row. */
struct tally {
    const struct group *group;
    uint64_t n;
};

static void
settle_tally(struct tally *tally)
{
    if (tally->n && tally->group->load) {
        struct group_load *load = tally->group->load;

        __atomic_fetch_add(&load->selected, tally->n, __ATOMIC_RELAXED);
        __atomic_fetch_add(&load->pinned, tally->n, __ATOMIC_RELAXED);
    }
    tally->n = 0;
}

/* The owner of the slot of 'packet', if a new flow goes there and nowhere
 * else; or NULL. */
static inline const struct group_endpoint *
plain_owner(const struct engine_packet *packet, uint16_t *index)
{
    const struct group *group = packet->group;
    uint16_t owner = group->slots[group_slot(group, packet->hash)];

    if (UNLIKELY(owner >= group->n_endpoints)) {
        return NULL;
    }

    const struct group_endpoint *endpoint = &group->endpoints[owner];
    *index = owner;
    return (UNLIKELY(endpoint->state != ENDPOINT_UP)
            || (endpoint->load && UNLIKELY(load_is_failing(endpoint->load)))
            ? NULL : endpoint);
}

static inline bool
begin(const struct engine_run *run, struct engine_packet *packet)
{
    const struct group_endpoint *endpoint;
    const struct tunnel *tunnel;
    uint16_t index;

    endpoint = plain_owner(packet, &index);
    if (UNLIKELY(!endpoint)) {
        return false;
    }
    tunnel = engine_plain_tunnel(run, packet, endpoint);
    if (UNLIKELY(!tunnel)
        || !flow_table_begin4(run->flows, packet->hash, packet->query.word,
                              packet->group->id, index, run->now_s,
                              FLOW_NEW)) {
        return false;
    }
    engine_track_open(run, packet, index);
    if (LIKELY(endpoint->load != NULL)) {
        load_opened(endpoint->load);
    }
    engine_push_plain(packet, endpoint, tunnel, &packet->group->geneve_new);
    return true;
}

void
engine_begin_plain(struct engine_run *run)
{
    struct tally tally = { .n = 0 };
    size_t n_begun = 0;

    for (size_t i = 0; i < run->n_opening; i++) {
        struct engine_packet *packet = run->opening[i];

        if (packet->group != tally.group) {
            settle_tally(&tally);
            tally.group = packet->group;
        }
        if (LIKELY(begin(run, packet))) {
            packet->stage = ENGINE_DONE;
            tally.n++;
            n_begun++;
        }
    }
    settle_tally(&tally);
    flow_table_count_begun(run->flows, n_begun);
    engine_count(&run->thread->count.new_flows, n_begun);
    run->n_sent += n_begun;
}
