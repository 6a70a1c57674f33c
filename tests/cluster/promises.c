/* What must hold for each packet that an endpoint gets, whatever becomes of
 * its flow. */

#include "tests/cluster/cluster-private.h"

#include <string.h>

/* Which of those that slot 's' named before it does not name any more. */
static void
note_forgotten(struct cluster *c, int g, int s)
{
    const uint16_t *previous = c->model.groups[g].previous[s];
    uint16_t owner = c->model.groups[g].slots[s];

    for (int i = 0; i <= GROUP_MAX_PREVIOUS; i++) {
        uint16_t before = c->named[g][s][i];

        if (before < MODEL_ENDPOINTS && before != owner
            && before != previous[0] && before != previous[1]) {
            c->forgot_at[g][s][before] = cluster_now(c);
        }
    }
    c->named[g][s][0] = owner;
    memcpy(&c->named[g][s][1], previous, sizeof *c->model.groups[g].previous);
}

void
promise_note_owners(struct cluster *c)
{
    for (int g = 0; g < MODEL_GROUPS; g++) {
        for (int s = 0; s < MODEL_SLOTS; s++) {
            uint16_t owner = c->model.groups[g].slots[s];

            note_forgotten(c, g, s);
            if (owner != GROUP_NO_ENDPOINT) {
                c->was_owner[g][s][owner / 64] |= UINT64_C(1) << owner % 64;
            }
        }
    }
}

/* Where only the hash decides, nobody gets a flow but who owns its slot, or
 * has owned it. */
static void
check_owner(struct cluster *c, const struct cluster_flow *flow,
            uint16_t endpoint)
{
    if (c->model.groups[flow->group].algorithm == ALGORITHM_HASH
        && flow->slot != EXCUSE_NO_SLOT
        && !(c->was_owner[flow->group][flow->slot][endpoint / 64]
             >> endpoint % 64 & 1)) {
        cluster_complain(c, "flow %u gets to endpoint %u, which never owned "
                         "its slot, %u", flow->number, endpoint, flow->slot);
    }
}

/* An endpoint that drains gets no new flow, once all hosts have heard of it.
 * Who is believed dead hears nothing.  (A new connection of a source with
 * affinity is no new flow.) */
static void
check_takes_new(struct cluster *c, const struct cluster_flow *flow,
                uint16_t endpoint)
{
    uint64_t drained_at = c->vms[flow->group][endpoint].drained_at;
    uint64_t since = (drained_at > c->reunited_at ? drained_at
                      : c->reunited_at);

    if (!c->options.source_affinity
        && c->model.groups[flow->group].endpoints[endpoint].state
        == ENDPOINT_DRAINING
        && since + c->options.update_ms + UPDATE_AGAIN_MS < flow->opened_at
        && !c->n_pending) {
        cluster_complain(c, "flow %u begins at endpoint %u, which drains",
                         flow->number, endpoint);
    }
}

void
promise_check(struct cluster *c, struct cluster_flow *flow, uint16_t endpoint,
              bool begins)
{
    if (flow->slot == EXCUSE_NO_SLOT) {
        flow->slot = excuse_find_slot(c, flow);
    }
    check_owner(c, flow, endpoint);
    if (begins) {
        check_takes_new(c, flow, endpoint);
    }
}
