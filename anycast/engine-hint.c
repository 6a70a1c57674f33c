/* Hints: a switch that forwards or delivers a packet tells the one that sent
 * it where the packet's flow is. */

#include "anycast/engine-receive.h"

#include "encap/tunnel.h"

enum {
    HINT_BURST       = 1000,    /* Hints at once, ... */
    HINT_INTERVAL_MS = 1,       /* ... and then one in this time. */
};

/* Of a sender that is ahead it is the sender's: what is said of the flow is
 * where its packet has gone just now, however old what we know of the slots
 * is.  By an earlier one the sender would not believe it. */
static uint32_t
hint_epoch(const struct group *group, const struct engine_receipt *receipt)
{
    return (engine_sender_is_ahead(group, receipt) ? receipt->context.epoch
            : group->epoch);
}

void
engine_send_hint(const struct engine_run *run,
                 const struct engine_packet *packet,
                 const struct engine_receipt *receipt, uint16_t endpoint)
{
    struct engine_thread *thread = run->thread;
    struct mac router = engine_router_mac(packet->vni);
    struct context context = engine_context(packet->group, false);
    struct hint hint = {
        .group = packet->group->id,
        .epoch = hint_epoch(packet->group, receipt),
        .vni = packet->vni,
        .src = packet->key.src,
        .src_port = packet->key.src_port,
        .dst_port = packet->key.dst_port,
        .endpoint = endpoint,
    };
    uint32_t host;

    if (!packet->arrival
        || !anycast_table_find_host(run->table, packet->arrival->peer, &host)
        || run->table->tunnels[host].type == TUNNEL_NONE) {
        return;
    }
    if (thread->n_extras >= ENGINE_OUTBOX
        || !engine_take_token(&thread->hint_refill_ms, &thread->hint_spent,
                              HINT_BURST, HINT_INTERVAL_MS, run->now_ms)) {
        engine_count(&thread->count.hints_limited, 1);
        return;
    }

    struct engine_extra *extra = &thread->extras[thread->n_extras++];
    uint8_t *frame = extra->frame + TUNNEL_MAX_OVERHEAD;
    hint_write(frame, &hint, &router, &router, run->table->key.word);
    uint8_t *outer = tunnel_push(&run->table->tunnels[host], frame,
                                 HINT_FRAME_LEN, packet->vni,
                                 packet->hash >> 32, 0, &context);
    extra->ofs = outer - extra->frame;
    extra->size = frame + HINT_FRAME_LEN - outer;
    engine_count(&thread->count.hints_sent, 1);
}

/* Whether what 'hint' says can be true, as far as is known here. */
static bool
hint_is_credible(const struct hint *hint, const struct group *group,
                 uint32_t vni)
{
    return (group && group->key.vni == vni && hint->vni == vni
            && (int32_t) (hint->epoch - group->epoch) >= 0
            && group_keeps_flows(group, hint->endpoint));
}

void
engine_receive_hint(const struct engine_run *run, struct engine_packet *packet)
{
    const struct encap_view *view = &packet->view;
    const struct group *group;
    struct flow_key key;
    struct flow_ref ref;
    struct hint hint;
    uint64_t hash;

    if (!packet->arrival
        || hint_read(packet->data + view->l3_ofs,
                     packet->size - view->l3_ofs, run->table->key.word,
                     &hint)) {
        engine_drop(run->thread, packet, DROP_HINT_FORGED);
        return;
    }
    group = anycast_table_lookup_id(run->table, hint.group);
    if (!hint_is_credible(&hint, group, packet->vni)
        || group->endpoints[hint.endpoint].local) {
        /* Of our own endpoints we know better. */
        engine_drop(run->thread, packet, DROP_HINT_STALE);
        return;
    }

    hash = engine_make_key(run->table, group, hint.src, hint.src_port,
                           hint.dst_port, &key);
    bool known = flow_table_lookup(run->flows, hash, &key, run->now_s, &ref);
    if (known && group_keeps_flows(group, ref.endpoint)
        && group->endpoints[ref.endpoint].local
        && ref.idle < ENGINE_HINT_FRESH_S) {
        /* We deliver it ourselves. */
        engine_drop(run->thread, packet, DROP_HINT_STALE);
        return;
    }
    if (!known || ref.endpoint != hint.endpoint) {
        engine_track_put(run, group, &key, hash, hint.endpoint,
                         known ? ref.state : FLOW_UNPROVEN);
    }
    engine_count(&run->thread->count.hints_accepted, 1);
    engine_drop(run->thread, packet, DROP_HINT);
}
