/* What may break a flow without anybody being to blame.  Each excuse is as
 * narrow as what is known of the flow allows; the tests bound how many there
 * are. */

#include "tests/cluster/cluster-private.h"

enum {
    ENOUGH_TOLD = 4,            /* Packets until the sender must know where its
                                 * flow is: each corrects one switch on the
                                 * way, and there are three at most. */
};

uint16_t
excuse_find_slot(const struct cluster *c, const struct cluster_flow *flow)
{
    struct engine_question_flow q = traffic_question(c, flow);
    const struct node *node = c->nodes[c->clients[flow->client].host];
    struct engine_explanation e;

    if (!node->runs || !node->table) {
        return EXCUSE_NO_SLOT;
    }
    engine_explain(&node->world, cluster_now_us(c), &q, &e);
    return e.slot;
}

/* Whether the slot's history names the flow's endpoint, and has for so long
 * that all hosts know. */
static bool
is_remembered(const struct cluster *c, const struct cluster_flow *flow)
{
    const struct model_group *group = &c->model.groups[flow->group];
    const uint16_t *previous = group->previous[flow->slot];
    uint64_t forgot_at
        = c->forgot_at[flow->group][flow->slot][flow->peer];

    return ((group->slots[flow->slot] == flow->peer
             || previous[0] == flow->peer || previous[1] == flow->peer)
            && (!forgot_at || (cluster_now(c) - forgot_at
                               > c->options.update_ms + UPDATE_AGAIN_MS)));
}

static bool
goes_by_slots(const struct cluster *c, const struct cluster_flow *flow)
{
    return c->model.groups[flow->group].algorithm <= ALGORITHM_HASH;
}

/* Whether hosts may take each other's hints about the flow for stale, because
 * they have not all heard of how its slot forgot it.  Who is believed dead
 * hears nothing. */
static bool
is_news(const struct cluster *c, const struct cluster_flow *flow)
{
    uint64_t since = (flow->unremembered_at > c->reunited_at
                      ? flow->unremembered_at : c->reunited_at);

    return (c->model.dead[c->vms[flow->group][flow->peer].host]
            || c->model.dead[c->clients[flow->client].host]
            || cluster_now(c) - since
               <= c->options.update_ms + UPDATE_AGAIN_MS);
}

void
excuse_note_arrival(struct cluster *c, struct cluster_flow *flow)
{
    flow->host = flow->sent_from;
    flow->is_lost_here = flow->is_unsettled = false;
    if (flow->slot == EXCUSE_NO_SLOT) {
        flow->slot = excuse_find_slot(c, flow);
    }
    if (flow->slot == EXCUSE_NO_SLOT || is_remembered(c, flow)) {
        flow->unremembered_at = flow->n_told = 0;
    } else if (!flow->unremembered_at) {
        flow->unremembered_at = cluster_now(c);
    } else if (!is_news(c, flow) && flow->n_told < ENOUGH_TOLD) {
        flow->n_told++;
    }
}

static bool
has_moved(const struct cluster *c, const struct cluster_flow *flow)
{
    return flow->host != c->clients[flow->client].host;
}

/* Whether the client's former host may not have told of its flows yet. */
static bool
has_just_moved(const struct cluster *c, const struct cluster_flow *flow)
{
    uint64_t moved_at = c->clients[flow->client].moved_at;

    return moved_at && cluster_now(c) - moved_at <= SOURCE_WAIT_MS;
}

/* Whether the slot of the flow has changed hands so often that its endpoint is
 * none that is remembered: before any packet, or in so short a time, that
 * hosts could not learn where it is; or its client left the only host that
 * had, or that one has lost its flows. */
static bool
is_forgotten(const struct cluster *c, const struct cluster_flow *flow)
{
    return (goes_by_slots(c, flow) && flow->slot != EXCUSE_NO_SLOT
            && !is_remembered(c, flow)
            && (flow->n_told < ENOUGH_TOLD || has_moved(c, flow)
                || flow->is_lost_here));
}

/* Whether the flow's only traces were on a host that has lost its memory: its
 * endpoint's, where another endpoint may have it just as well. */
static bool
is_beyond_telling(const struct cluster *c, const struct cluster_flow *flow)
{
    const struct model_group *group = &c->model.groups[flow->group];
    uint32_t host;

    if (!flow->traceless || flow->slot == EXCUSE_NO_SLOT) {
        return false;
    }
    host = c->vms[flow->group][flow->peer].host;
    for (int i = 0; i <= GROUP_MAX_PREVIOUS; i++) {
        uint16_t other = (i < GROUP_MAX_PREVIOUS
                          ? group->previous[flow->slot][i]
                          : group->slots[flow->slot]);

        if (other != flow->peer && other != GROUP_NO_ENDPOINT
            && c->vms[flow->group][other].host == host) {
            return true;
        }
    }
    return false;
}

enum excuse
excuse_find(const struct cluster *c, const struct cluster_flow *flow)
{
    bool is_datagram = flow->group != 0;

    if (flow->doomed || (is_datagram && flow->is_shunned)) {
        return EXCUSE_FATE;
    }
    if (flow->peer == GROUP_NO_ENDPOINT) {
        return EXCUSE_NONE;
    }
    if (is_forgotten(c, flow) || is_beyond_telling(c, flow)
        || flow->is_unsettled) {
        return EXCUSE_FORGOTTEN;
    }
    /* A datagram does not show that it is not the first one; and if it is,
     * what is told of those that were lost before comes late. */
    if (is_datagram
        && (flow->begins_late
            || (!goes_by_slots(c, flow)
                && (has_moved(c, flow) || has_just_moved(c, flow))))) {
        return EXCUSE_UNTOLD;
    }
    return EXCUSE_NONE;
}
