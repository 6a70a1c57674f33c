/* What a packet is, if a glance does not tell: everything that it says is read
 * and checked. */

#include "anycast/engine-private.h"

static void
handle_address_question(const struct engine_run *run,
                        struct engine_packet *packet)
{
    struct mac mac = engine_router_mac(packet->vni);
    struct engine_counters *count = &run->thread->count;
    bool arp = packet->view.kind == ENCAP_ARP;
    struct inet_addr target = reply_target(packet->data, &packet->view);
    enum drop_reason reason = arp ? DROP_ARP_IGNORED : DROP_ND_IGNORED;
    size_t size = packet->size;

    /* What came out of a tunnel was asked, and answered, on another host. */
    if (!packet->arrival
        && anycast_table_lookup_address(run->table, packet->vni, target)) {
        reason = (arp ? reply_arp(packet->data, &packet->view, &mac)
                  : reply_nd(packet->data, &size, size + packet->tailroom,
                             &packet->view, &mac));
    }
    if (reason) {
        engine_drop(run->thread, packet, reason);
        return;
    }
    packet->size = size;
    packet->verdict = ENGINE_REPLY;
    engine_count(arp ? &count->arp_replies : &count->nd_replies, 1);
}

static struct fragment_key
make_fragment_key(const struct engine_packet *packet)
{
    return (struct fragment_key) {
        .src = packet->view.src,
        .dst = packet->view.dst,
        .vni = packet->vni,
        .id = packet->view.fragment_id,
        .protocol = packet->view.protocol,
    };
}

/* Finds out what flow a later fragment belongs to.  False if it cannot go on,
 * at least not now. */
static bool
place_fragment(const struct engine_run *run, struct engine_packet *packet)
{
    struct fragment_key key = make_fragment_key(packet);
    struct fragment_verdict verdict;

    if (!packet->cookie
        || !anycast_table_lookup_address(run->table, packet->vni,
                                         packet->view.dst)) {
        engine_drop(run->thread, packet,
                    packet->cookie ? DROP_NOT_ANYCAST : DROP_FRAGMENT);
        return false;
    }
    switch (fragments_later(run->thread->fragments, &key, packet->cookie,
                            run->now_ms, &verdict)) {
    case FRAGMENT_KNOWN:
        packet->group = anycast_table_lookup_id(run->table, verdict.group);
        packet->view.src_port = verdict.src_port;
        packet->view.dst_port = verdict.dst_port;
        if (!packet->group) {
            engine_drop(run->thread, packet, DROP_NO_GROUP);
            return false;
        }
        engine_count(&run->thread->count.fragments, 1);
        return true;

    case FRAGMENT_HELD:
        packet->verdict = ENGINE_HELD;
        return false;

    case FRAGMENT_REFUSED:
        break;
    }
    engine_drop(run->thread, packet, DROP_FRAGMENT_FULL);
    return false;
}

static void
note_first_fragment(const struct engine_run *run,
                    const struct engine_packet *packet)
{
    struct fragment_key key = make_fragment_key(packet);
    struct fragment_verdict verdict = {
        .group = packet->group->id,
        .src_port = packet->view.src_port,
        .dst_port = packet->view.dst_port,
    };

    fragments_first(run->thread->fragments, &key, &verdict, run->now_ms);
}

const struct group *
engine_find_group(const struct engine_run *run, uint32_t vni,
                  struct inet_addr dst, uint8_t protocol, uint16_t dst_port)
{
    const struct group *group = anycast_table_lookup(run->table, vni, dst,
                                                     protocol, dst_port);

    if (!group && protocol == IPPROTO_NR_ICMP) {
        /* An address answers to ping. */
        group = anycast_table_lookup_address(run->table, vni, dst);
    }
    return group;
}

/* Drops 'packet', which is for no group. */
static void
drop_stray(const struct engine_run *run, struct engine_packet *packet)
{
    engine_drop(run->thread, packet,
                anycast_table_lookup_address(run->table, packet->vni,
                                             packet->view.dst)
                ? DROP_NO_GROUP : DROP_NOT_ANYCAST);
}

bool
engine_examine(struct engine_run *run, struct engine_packet *packet)
{
    struct encap_view *view = &packet->view;
    enum drop_reason reason = encap_parse(packet->data, packet->size, view);

    if (reason) {
        engine_drop(run->thread, packet, reason);
        return false;
    }
    switch ((enum encap_kind) view->kind) {
    case ENCAP_ARP:
    case ENCAP_ND:
        handle_address_question(run, packet);
        return false;

    case ENCAP_HINT:
        engine_receive_hint(run, packet);
        return false;

    case ENCAP_FRAGMENT:
        if (!place_fragment(run, packet)) {
            return false;
        }
        break;

    case ENCAP_FLOW:
    case ENCAP_ICMP_ERROR:
        packet->group = engine_find_group(run, packet->vni, view->dst,
                                          view->protocol, view->dst_port);
        if (!packet->group) {
            drop_stray(run, packet);
            return false;
        }
        if (view->first_fragment) {
            note_first_fragment(run, packet);
        }
        break;
    }
    packet->hash = engine_make_key(run->table, packet->group, view->src,
                                   view->src_port, view->dst_port,
                                   &packet->key);
    return true;
}

/* Whether a packet that has been examined may go on at all; else that settles
 * it. */
static bool
admit(struct engine_run *run, struct engine_packet *packet)
{
    if (packet->tso) {
        engine_drop(run->thread, packet, DROP_TSO);
        return false;
    }
    if (packet->view.ttl <= 1 && !packet->arrival) {
        engine_reply_error(run, packet, REPLY_TIME_EXCEEDED, DROP_TTL, 0);
        return false;
    }
    return true;
}

void
engine_classify(struct engine_run *run, struct engine_packet *packet)
{
    const struct encap_view *view = &packet->view;

    packet->stage = ENGINE_DONE;
    if (!packet->vni) {
        engine_drop(run->thread, packet, DROP_NO_VNI);
        return;
    }
    if (!engine_examine(run, packet) || !admit(run, packet)) {
        return;
    }
    packet->stage = ENGINE_EXAMINED;
    packet->settles = (!packet->arrival && view->kind == ENCAP_FLOW
                       && !(view->life & (ENCAP_OPENS | ENCAP_CLOSES
                                          | ENCAP_ABORTS))
                       && !packet->group->quic_length);
    if (inet_addr_is4(view->src)) {
        flow_table_prefetch4(run->flows, packet->hash);
    } else {
        flow_table_prefetch6(run->flows, packet->hash);
    }
}
