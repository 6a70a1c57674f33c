/* Flows that begin without ado.  A host that takes thousands of new connections
 * a second, or is flooded by SYNs, spends its time here: what is the same for
 * all of a batch is counted once. */

#include "anycast/engine-private.h"
#include "anycast/engine-send.h"

static void
count_group(struct engine_run *run)
{
    const struct group *group = run->begun_group;

    if (group && group->load) {
        __atomic_fetch_add(&group->load->selected, run->n_begun_group,
                           __ATOMIC_RELAXED);
        __atomic_fetch_add(&group->load->pinned, run->n_begun_group,
                           __ATOMIC_RELAXED);
    }
    run->n_begun_group = 0;
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

bool
engine_begin(struct engine_run *run, struct engine_packet *packet)
{
    const struct group *group = packet->group;
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
                              group->id, index, run->now_s, FLOW_NEW)) {
        return false;
    }
    engine_track_open(run, packet, index);
    if (LIKELY(endpoint->load != NULL)) {
        load_opened(endpoint->load);
    }
    engine_push_plain(packet, endpoint, tunnel, &group->geneve_new);
    if (UNLIKELY(group != run->begun_group)) {
        count_group(run);
        run->begun_group = group;
    }
    run->n_begun_group++;
    run->n_begun++;
    return true;
}

void
engine_begun(struct engine_run *run)
{
    if (run->n_begun) {
        count_group(run);
        flow_table_count_begun(run->flows, run->n_begun);
        engine_count(&run->thread->count.new_flows, run->n_begun);
        engine_count(&run->thread->count.underlay, run->n_begun);
    }
}
