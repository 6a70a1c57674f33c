/* What engine_process() would do, without doing it.  It asks the same
 * functions for the decision itself; what is told here once more is only the
 * order of the checks around it. */

#include "anycast/engine-private.h"

static enum drop_reason
explain_refusal(const struct engine_world *world,
                const struct engine_question_flow *flow)
{
    if (!flow->vni) {
        return DROP_NO_VNI;
    }
    if (!world->table) {
        return DROP_NO_TABLE;
    }
    if (flow->protocol != IPPROTO_NR_TCP && flow->protocol != IPPROTO_NR_UDP
        && flow->protocol != IPPROTO_NR_SCTP
        && flow->protocol != IPPROTO_NR_ICMP) {
        return DROP_PROTOCOL;
    }
    return inet_addr_is_unicast(flow->src) ? DROP_NONE : DROP_BAD_SOURCE;
}

static const struct group *
explain_group(const struct anycast_table *table,
              const struct engine_question_flow *flow,
              enum drop_reason *reason)
{
    const struct group *any
        = anycast_table_lookup_address(table, flow->vni, flow->dst);
    const struct group *group
        = anycast_table_lookup(table, flow->vni, flow->dst, flow->protocol,
                               flow->dst_port);

    if (!group && flow->protocol == IPPROTO_NR_ICMP) {
        group = any;
    }
    if (!group) {
        *reason = any ? DROP_NO_GROUP : DROP_NOT_ANYCAST;
    }
    return group;
}

/* Whether a packet of the flow, whose choice is 'choice', waits for its
 * client's old host to tell of it. */
static bool
explain_waiting(const struct engine_world *world, uint64_t now_us,
                const struct engine_question_flow *flow,
                const struct group *group, const struct engine_choice *choice)
{
    return (!choice->tracked && !flow->opens
            && engine_may_await(group, flow->protocol)
            && source_table_would_ask(world->sources, flow->vni, flow->src,
                                      now_us / 1000) != SOURCE_SETTLED);
}

/* What becomes of a packet of the flow with 'choice'. */
static enum engine_verdict
explain_endpoint(const struct anycast_table *table, const struct group *group,
                 uint8_t protocol, const struct engine_choice *choice,
                 enum drop_reason *reason)
{
    if (choice->endpoint == GROUP_NO_ENDPOINT) {
        *reason = DROP_NO_ENDPOINT;
        return group->flags & GROUP_REJECT ? ENGINE_REPLY : ENGINE_DROP;
    }

    const struct group_endpoint *e = &group->endpoints[choice->endpoint];
    if (choice->kept && e->state == ENDPOINT_LOST
        && group->flags & GROUP_RESET_LOST
        && engine_is_resettable(protocol)) {
        *reason = DROP_HOST_DEAD;
        return ENGINE_REPLY;
    }
    if (e->local) {
        return ENGINE_LOCAL;
    }
    if (e->host >= table->n_hosts
        || table->tunnels[e->host].type == TUNNEL_NONE) {
        *reason = DROP_NO_NEXT_HOP;
        return ENGINE_DROP;
    }
    return ENGINE_UNDERLAY;
}

static void
explain_slot(const struct group *group, uint64_t hash,
             struct engine_explanation *e)
{
    e->slot = group_slot(group, hash);
    e->slot_owner = group->slots[e->slot];
    for (int i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        e->previous[i] = (group->previous
                          ? group->previous[e->slot * GROUP_MAX_PREVIOUS + i]
                          : GROUP_NO_ENDPOINT);
    }
}

void
engine_explain(const struct engine_world *world, uint64_t now_us,
               const struct engine_question_flow *flow,
               struct engine_explanation *e)
{
    const struct anycast_table *table = world->table;
    struct engine_choice choice;

    *e = (struct engine_explanation) {
        .verdict = ENGINE_DROP,
        .reason = explain_refusal(world, flow),
        .slot_owner = GROUP_NO_ENDPOINT,
        .endpoint = GROUP_NO_ENDPOINT,
    };
    if (e->reason) {
        return;
    }
    e->group = explain_group(table, flow, &e->reason);
    if (!e->group) {
        return;
    }
    e->hash = engine_make_key(table, e->group, flow->src, flow->src_port,
                              flow->dst_port, &e->key);
    explain_slot(e->group, e->hash, e);

    bool opens = flow->opens && (flow->protocol == IPPROTO_NR_TCP
                                 || flow->protocol == IPPROTO_NR_SCTP);
    const struct engine_inquiry inquiry = {
        .group = e->group,
        .key = &e->key,
        .hash = e->hash,
        .now_us = now_us,
        .random = e->hash ^ now_us,
        .opens = opens,
        .begins = engine_begins(e->group, e->hash, flow->protocol, opens),
        .is_resettable = engine_is_resettable(flow->protocol),
        .dry_run = true,
    };
    engine_choose(world->flows, &inquiry, &choice);
    e->tracked = choice.tracked;
    if (choice.tracked) {
        e->ref = choice.ref;
    }
    e->picked = choice.picked;
    if (choice.picked) {
        e->trail = choice.trail;
    }
    if (explain_waiting(world, now_us, flow, e->group, &choice)) {
        e->reason = DROP_AWAITING_HANDOVER;
        e->why = "waits for its client's former host to tell of it";
        return;
    }
    if (choice.endpoint != GROUP_NO_ENDPOINT && !inquiry.begins) {
        const struct engine_packet packet = {
            .group = e->group,
            .hash = e->hash,
            .view = { .protocol = flow->protocol,
                      .life = opens ? ENCAP_OPENS : 0 },
        };
        uint16_t shown = engine_first_shown(&packet, &choice);

        if (shown != GROUP_NO_ENDPOINT) {
            choice.endpoint = shown;
            choice.why = "its slot's owner before, which may know the flow";
        }
    }
    e->endpoint = choice.endpoint;
    e->why = choice.why;
    e->verdict = explain_endpoint(table, e->group, flow->protocol, &choice,
                                  &e->reason);
}
