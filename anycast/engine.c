/* A batch takes several steps, so that by the time that a step comes to a
 * packet, the cache line that it needs there has been fetched.
 *
 * Nearly all packets are plain: in the middle of a flow that has a settled
 * entry, with nothing unusual about them.  These are only glanced at:
 *
 *     classify_plain()   which group, and which bucket?  Fetches it.
 *     forward_sought()   in this one?  Else fetches the other.
 *     forward_plain()    off to the entry's endpoint
 *
 * SYNs that are plain in all else wait for their turn among the rest, but
 * engine_begin() makes short work of them.
 *
 * All the rest, and what these steps find to be less plain than it seemed, is
 * examined and goes the long way, in the order in which it came:
 *
 *     engine_classify()  what is it, which group, whose bucket?
 *     forward_rest()     a decision, an entry, an answer...
 *
 * A packet's verdict is ENGINE_UNDERLAY as long as nothing is known against
 * it. */

#include "anycast/engine-private.h"
#include "anycast/engine-send.h"

#include <string.h>

enum {
    PREFETCH_AHEAD = 4,         /* Packets. */
    HALF_BATCH = ENGINE_BATCH / 2,
};

/* Threads. */

bool
engine_thread_init(struct engine_thread *thread, uint64_t random,
                   const struct hash_key *fragment_key)
{
    memset(thread, 0, sizeof *thread);
    thread->random = random;
    thread->fragments = fragments_create(fragment_key);
    return thread->fragments != NULL;
}

void
engine_thread_uninit(struct engine_thread *thread,
                     void (*release)(void *cookie))
{
    void *cookie;

    while ((cookie = fragments_next_ready(thread->fragments))
           || (cookie = fragments_next_expired(thread->fragments,
                                               UINT64_MAX))) {
        release(cookie);
    }
    fragments_destroy(thread->fragments);
    thread->fragments = NULL;
}

void *
engine_resume(struct engine_thread *thread, uint64_t now_us, bool *expired)
{
    void *cookie = fragments_next_ready(thread->fragments);

    *expired = false;
    if (!cookie) {
        cookie = fragments_next_expired(thread->fragments, now_us / 1000);
        if (cookie) {
            *expired = true;
            engine_count(&thread->count.drops[DROP_FRAGMENT], 1);
        }
    }
    return cookie;
}

/* At a glance. */

/* The group for a common packet. */
static inline const struct group *
find_plain_group(struct engine_run *run, uint32_t vni,
                 const struct encap_common *c)
{
    uint32_t dst = ENCAP_SECOND(c->addresses);
    uint16_t dst_port = be32_to_host(c->ports);
    uint64_t address = (uint64_t) vni << 32 | dst;
    uint32_t port = (uint32_t) dst_port << 16 | c->protocol;

    if (UNLIKELY(address != run->group_address || port != run->group_port
                 || !run->group)) {
        run->group = engine_find_group(run, vni,
                                       inet_addr_from4(be32_to_host(dst)),
                                       c->protocol, dst_port);
        run->group_address = address;
        run->group_port = port;
    }
    return run->group;
}

/* Sends a packet of a group that goes by the hash alone, and has no entries
 * here, to the owner of its slot.  (No previous owner: none that it could be
 * starting slowly in favour of.)  False, with nothing done, if there is more
 * to it. */
static bool
forward_by_hash(struct engine_run *run, struct engine_packet *packet,
                const struct group *group, uint64_t word)
{
    if (group->algorithm != ALGORITHM_HASH || engine_has_entries(group)
        || group->quic_length || group->previous
        || !inet_is_unicast4(word >> 32)) {
        return false;
    }
    if (group->affinity == AFFINITY_SOURCE) {
        word &= ~(uint64_t) UINT32_MAX;
    }
    packet->group = group;
    packet->hash = flow_hash4(&run->table->key, group->seed, word);

    uint16_t owner = group->slots[group_slot(group, packet->hash)];
    if (owner >= group->n_endpoints
        || group->endpoints[owner].state != ENDPOINT_UP
        || !engine_send_plain(run, packet, &group->endpoints[owner])) {
        return false;
    }
    packet->stage = ENGINE_DONE;
    run->n_sent++;
    return true;
}

/* Takes the SYN of a flow that may be simple to begin.  False if it is not. */
static bool
classify_opening(struct engine_run *run, struct engine_packet *packet,
                 const struct group *group, uint64_t word)
{
    if (!group->begins_plain || !inet_is_unicast4(word >> 32)) {
        return false;
    }
    packet->stage = ENGINE_OPENING;
    packet->group = group;
    packet->hash = flow_hash4(&run->table->key, group->seed, word);
    packet->query.word = word;
    flow_table_prefetch_both4(run->flows, packet->hash, word);
    return true;
}

/* Does the same for nearly all packets: from a VM of this host, common, in
 * mid-flow, and with nothing to be done about their checksums.  Those that
 * need no entry it forwards at once.  False if 'packet' is no such packet.
 *
 * Source addresses are not checked here: no flow from an impossible one has
 * come past engine_examine(), so none has an entry. */
static inline bool
classify_plain(struct engine_run *run, struct engine_packet *packet)
{
    const uint8_t *frame = packet->data;
    struct encap_common c;

    if (UNLIKELY(packet->arrival || packet->tso || packet->partial_csum)
        || UNLIKELY(!encap_read_common(frame, packet->size, &c))
        || UNLIKELY(c.flags & (TCP_FIN_FLAG | TCP_RST_FLAG))
        || UNLIKELY(c.ttl <= 1)
        || UNLIKELY(encap_may_be_partial4(c.addresses, c.protocol,
                                          frame + ENCAP_COMMON_L4,
                                          c.ip_len
                                          - sizeof(struct ipv4_hdr)))) {
        return false;
    }

    const struct group *group = find_plain_group(run, packet->vni, &c);
    if (UNLIKELY(!group)) {
        return false;
    }
    uint64_t src = be32_to_host(ENCAP_FIRST(c.addresses));
    uint64_t word = src << 32 | be32_to_host(c.ports);
    if (UNLIKELY(c.flags & TCP_SYN_FLAG)) {
        return (!(c.flags & TCP_ACK_FLAG)
                && classify_opening(run, packet, group, word));
    }
    if (UNLIKELY(!group->plain)) {
        return forward_by_hash(run, packet, group, word);
    }
    packet->stage = ENGINE_PLAIN;
    packet->group = group;
    packet->hash = flow_hash4(&run->table->key, group->seed, word);
    flow_query_begin(run->flows, &packet->query, packet->hash, word);
    run->sought[run->n_sought++] = packet;
    return true;
}

/* Where packets go. */

/* The endpoint of a packet of 'group' in the middle of a flow that has the
 * entry '*ref', if that is settled and the endpoint serves on; else NULL. */
static inline const struct group_endpoint *
settled_endpoint(const struct engine_run *run, const struct group *group,
                 const struct flow_ref *ref)
{
    if (UNLIKELY(ref->state < FLOW_ESTABLISHED)
        || UNLIKELY(ref->endpoint >= group->n_endpoints)) {
        return NULL;
    }

    const struct group_endpoint *endpoint = &group->endpoints[ref->endpoint];
    if (UNLIKELY(endpoint->state != ENDPOINT_UP
                 && endpoint->state != ENDPOINT_DRAINING)) {
        return NULL;
    }
    if (ref->idle) {
        if (ref->state == FLOW_SOURCE) {
            return NULL;        /* Its group's timeout may be over. */
        }
        flow_table_refresh(ref, run->now_s);
    }
    return endpoint;
}

/* Sends plain packets where their flows' entries say: nearly all packets go
 * this way.  Leaves alone those for which it is not. */
static void
forward_plain(struct engine_run *run, struct engine_packet **packets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct engine_packet *packet = packets[i];
        const struct group *group = packet->group;
        const struct group_endpoint *endpoint;
        struct flow_ref ref;

        if (UNLIKELY(!flow_query_read(&packet->query, group->id, run->now_s,
                                      &ref))) {
            continue;
        }
        endpoint = settled_endpoint(run, group, &ref);
        if (UNLIKELY(ref.idle)) {
            engine_learn_known(run, packet,
                               inet_addr_from4(packet->query.word >> 32));
        }
        if (LIKELY(endpoint != NULL)
            && LIKELY(engine_send_plain(run, packet, endpoint))) {
            packet->stage = ENGINE_DONE;
            run->n_sent++;
        }
    }
}

/* Begins with half of the packets, so that the others' cache lines have time
 * to come; flows in second buckets come last, for the same reason. */
static inline void
forward_sought(struct engine_run *run)
{
    struct engine_packet *far[ENGINE_BATCH];
    size_t n_far = 0, n_turned = 0, i = 0;

    while (i < run->n_sought) {
        struct engine_packet *near[HALF_BATCH];
        size_t n_near = 0;
        size_t end = (run->n_sought - i <= HALF_BATCH ? run->n_sought
                      : i + HALF_BATCH);

        for (; i < end; i++) {
            struct engine_packet *packet = run->sought[i];
            bool found = flow_query_first(&packet->query);

            /* No branch: nobody could predict it. */
            near[n_near] = far[n_far] = packet;
            n_near += found;
            n_far += !found;
        }
        for (; n_turned < n_far; n_turned++) {
            flow_query_turn(run->flows, &far[n_turned]->query,
                            far[n_turned]->hash);
        }
        forward_plain(run, near, n_near);
    }
    for (size_t j = 0; j < n_far; j++) {
        flow_query_second(&far[j]->query);
    }
    forward_plain(run, far, n_far);
}

/* A packet in mid-flow, by its flow's entry, if that is settled.  False if it
 * is not. */
static bool
forward_settled(struct engine_run *run, struct engine_packet *packet)
{
    const struct group *group = packet->group;
    struct flow_ref ref;

    if (!packet->settles
        || !engine_has_entries(group)
        || !flow_table_lookup(run->flows, packet->hash, &packet->key,
                              run->now_s, &ref)
        || !settled_endpoint(run, group, &ref)) {
        return false;
    }
    if (ref.idle) {
        engine_learn_known(run, packet, packet->view.src);
    }
    engine_send_chosen(run, packet, ref.endpoint, ENGINE_FLOW_KNOWN);
    return true;
}

/* All other packets, in the order in which they came. */
static void
forward_rest(struct engine_run *run, struct engine_packet *packets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (packets[i].stage == ENGINE_EXAMINED
            && engine_has_entries(packets[i].group)) {
            flow_table_prefetch_other(run->flows, packets[i].hash,
                                      &packets[i].key);
        }
    }
    for (size_t i = 0; i < n; i++) {
        struct engine_packet *packet = &packets[i];

        if (packet->stage == ENGINE_OPENING && engine_begin(run, packet)) {
            packet->stage = ENGINE_DONE;
        }
        if (packet->stage == ENGINE_PLAIN || packet->stage == ENGINE_OPENING) {
            packet->settles = packet->stage == ENGINE_PLAIN;
            packet->stage = (engine_examine(run, packet) ? ENGINE_EXAMINED
                             : ENGINE_DONE);
        }
        if (packet->stage == ENGINE_EXAMINED
            && !forward_settled(run, packet)) {
            engine_forward(run, packet);
        }
    }
    engine_begun(run);
}

/* Its lists need no clearing. */
static void
start_run(struct engine_run *run, const struct engine_world *world,
          struct engine_thread *thread, uint64_t now_us)
{
    run->world = world;
    run->table = world->table;
    run->flows = world->flows;
    run->thread = thread;
    run->now_us = now_us;
    run->now_ms = now_us / 1000;
    run->now_s = now_us / 1000000;
    run->group = NULL;
    run->group_address = run->group_port = 0;
    run->n_sought = run->n_sent = 0;
    run->begun_group = NULL;
    run->n_begun = run->n_begun_group = 0;
}

static void
drop_all(struct engine_thread *thread, struct engine_packet *packets, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        engine_drop(thread, &packets[i],
                    packets[i].vni ? DROP_NO_TABLE : DROP_NO_VNI);
    }
}

void
engine_process(const struct engine_world *world, struct engine_thread *thread,
               uint64_t now_us, struct engine_packet *packets, size_t n)
{
    struct engine_run run;

    assert(n <= ENGINE_BATCH);
    thread->n_extras = 0;
    thread->n_questions = 0;
    if (!world->table) {
        drop_all(thread, packets, n);
        return;
    }
    start_run(&run, world, thread, now_us);
    for (size_t i = 0; i < n; i++) {
        if (i + PREFETCH_AHEAD < n) {
            __builtin_prefetch(packets[i + PREFETCH_AHEAD].data);
        }
        packets[i].verdict = ENGINE_UNDERLAY;
        packets[i].reason = DROP_NONE;
        if (UNLIKELY(!classify_plain(&run, &packets[i]))) {
            engine_classify(&run, &packets[i]);
        }
    }
    forward_sought(&run);
    engine_count(&thread->count.underlay, run.n_sent);
    if (run.n_sent < n) {
        forward_rest(&run, packets, n);
    }
}
