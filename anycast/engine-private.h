/* What the files of the engine share; not for others. */

#ifndef ANYCAST_ENGINE_PRIVATE_H
#define ANYCAST_ENGINE_PRIVATE_H 1

#include "anycast/engine.h"
#include "anycast/load.h"
#include "encap/context.h"
#include "encap/reply.h"

#define LIKELY(X)   __builtin_expect(!!(X), 1)
#define UNLIKELY(X) __builtin_expect(!!(X), 0)

/* What is the same for all packets of a batch. */
struct engine_run {
    const struct engine_world *world;
    const struct anycast_table *table;
    struct flow_table *flows;
    struct engine_thread *thread;
    uint64_t now_us, now_ms;
    uint32_t now_s;

    /* The group of the last plain packet, which the next one is likely to be
     * for, too: NULL, or by what it was found. */
    const struct group *group;
    uint64_t group_address;     /* VNI 32 | address 32, ... */
    uint32_t group_port;        /* ... port 16 | protocol 16. */

    /* Plain packets, whose entries are being fetched. */
    size_t n_sought;
    struct engine_packet *sought[ENGINE_BATCH];
    size_t n_sent;              /* Of these. */

    /* Flows begun by engine_begin(), which are counted together. */
    const struct group *begun_group; /* Of the last ... */
    size_t n_begun_group;       /* ... so many. */
    size_t n_begun;             /* In all. */
};

/* How far a packet has come. */
enum engine_stage {
    ENGINE_DONE,                /* Its verdict stands. */
    ENGINE_PLAIN,               /* Classified at a glance. */
    ENGINE_OPENING,             /* The same: a SYN that is plain in all else,
                                 * whose buckets are being fetched. */
    ENGINE_EXAMINED,            /* Its 'view' and 'key' are known. */
};

/* Which endpoint a flow gets, and on what grounds. */
struct engine_choice {
    struct flow_ref ref;        /* If 'tracked'. */
    bool tracked;               /* The flow has an entry. */
    bool kept;                  /* 'endpoint' is that of the entry. */
    bool lost;                  /* The entry's endpoint serves no more. */
    bool picked;                /* A picker was asked: 'trail'. */
    bool named;                 /* By the packet itself. */
    uint16_t endpoint;          /* Or GROUP_NO_ENDPOINT. */
    const char *why;            /* For people; static. */
    struct pick_trail trail;
};

/* What engine_choose() goes by. */
struct engine_inquiry {
    const struct group *group;
    const struct flow_key *key;
    uint64_t hash;
    uint64_t now_us;
    uint64_t random;
    uint64_t quic_id;           /* If 'has_quic_id'. */
    bool has_quic_id;
    bool opens;                 /* The packet begins a connection. */
    bool begins;                /* It begins a flow, as engine_begins(). */
    bool is_resettable;         /* As engine_is_resettable(). */
    bool dry_run;               /* Leave no trace. */
};

/* Decides on an endpoint and does nothing else, for packets and for
 * explanations alike.  (engine-choose.c) */
void engine_choose(const struct flow_table *, const struct engine_inquiry *,
                   struct engine_choice *);

/* The endpoint that a new flow gets; sets '*choice' but for what it says of an
 * entry. */
void engine_choose_new(const struct engine_inquiry *, struct engine_choice *);

/* Whether there may be flow entries of 'group' on this host. */
static inline bool
engine_has_entries(const struct group *group)
{
    return (group->algorithm != ALGORITHM_HASH || !group->load
            || __atomic_load_n(&group->load->pinned, __ATOMIC_RELAXED));
}

/* Copies to 'previous' those previous owners of the slot of 'hash' that keep
 * flows and are not 'except', and returns how many they are. */
size_t engine_previous(const struct group *, uint64_t hash, uint16_t except,
                       uint16_t previous[GROUP_MAX_PREVIOUS]);

/* Whether a flow that is not known here may be on 'endpoint', which owned its
 * slot before.  What was on a dead host is over, if the group wants it so: the
 * slot's owner will reset it. */
bool engine_may_have_flows(const struct group *, uint16_t endpoint);

/* Keeps, of the 'n' 'endpoints', those that are on other hosts, and returns
 * how many they are.  (Flows of endpoints that are here are known here.) */
size_t engine_only_elsewhere(const struct group *, uint16_t *endpoints,
                             size_t n);

/* Flow entries, and what their comings and goings tell of the endpoints.
 * (engine-track.c) */

/* The state of the flow of a packet: of one that had 'old' (FLOW_FREE for none
 * so far), after a packet of 'protocol' with 'life'. */
enum flow_state engine_next_state(enum flow_state old, uint8_t protocol,
                                  uint8_t life, uint8_t affinity);

/* Notes a packet of a flow that stays where its entry 'ref' says. */
void engine_track_kept(const struct engine_run *, const struct engine_packet *,
                       const struct flow_ref *ref);

/* Notes that the flow of entry 'ref' is being ended from here. */
void engine_track_closing(const struct engine_run *, const struct group *,
                          const struct flow_ref *ref);

/* Enters the choice that has just been made for the packet's flow. */
void engine_track_chosen(const struct engine_run *,
                         const struct engine_packet *,
                         const struct engine_choice *);

/* Puts a flow on 'endpoint', in 'state', whether or not it has an entry.
 * False if there is no room. */
bool engine_track_put(const struct engine_run *, const struct group *,
                      const struct flow_key *, uint64_t hash,
                      uint16_t endpoint, enum flow_state state);

/* What a packet is that a glance does not settle.  (engine-examine.c)
 *
 * engine_classify() takes it as far as its flow and has its cache line
 * fetched, and makes it ENGINE_EXAMINED, or ENGINE_DONE if that settles it.
 * engine_examine() does the reading, for packets that have been classified at
 * a glance; false if that settles it. */
void engine_classify(struct engine_run *, struct engine_packet *);
bool engine_examine(struct engine_run *, struct engine_packet *);

/* The group for a packet to 'dst' and 'dst_port', or NULL. */
const struct group *engine_find_group(const struct engine_run *, uint32_t vni,
                                      struct inet_addr dst, uint8_t protocol,
                                      uint16_t dst_port);

/* The long way of a packet that has been examined: decides, and sends it there
 * or answers it.  (engine-forward.c) */
void engine_forward(const struct engine_run *, struct engine_packet *);

/* What is known of a flow that is sent to an endpoint. */
enum engine_knowledge {
    ENGINE_FLOW_BEGINS,     /* It is made so. */
    ENGINE_FLOW_KNOWN,      /* It has an entry. */
    ENGINE_FLOW_GUESSED,    /* It goes by its slot, or the like. */
};

/* Sends a packet of a flow to an endpoint, and tells that one's switch what it
 * may have to know.  (engine-forward.c) */
void engine_send_chosen(const struct engine_run *, struct engine_packet *,
                        uint16_t endpoint, enum engine_knowledge);

/* Remembers the MAC of 'src', which sends a packet of a flow that is known, if
 * it would be told that its server is no more: what SYNs have taught is
 * forgotten when the switch restarts.  (engine-forward.c) */
void engine_learn_known(const struct engine_run *,
                        const struct engine_packet *, struct inet_addr src);

/* Notes the first SYN of a flow on 'endpoint', or a repeated one. */
void engine_track_open(const struct engine_run *, const struct engine_packet *,
                       uint16_t endpoint);

/* Begins the flow of a packet that is ENGINE_OPENING, and sends it, if there is
 * nothing to it: the slot's owner is well and on another host, the flow is not
 * known, and there is room for it.  Else returns false, and has done nothing.
 * engine_begun() counts what has begun.  (engine-begin.c) */
bool engine_begin(struct engine_run *, struct engine_packet *);
void engine_begun(struct engine_run *);

/* Ends of a packet's way.  (engine-send.c) */

void engine_drop(struct engine_thread *, struct engine_packet *,
                 enum drop_reason);

/* Answers 'packet', of kind ENCAP_FLOW, with 'error'.  The parser has seen to
 * RFC 1812 section 4.3.2.7: it lets no link-layer broadcast and no source that
 * is not a single host come here, and the destination is a group's, so
 * unicast.  Of other kinds there are no errors: the packet is dropped. */
void engine_reply_error(const struct engine_run *, struct engine_packet *,
                        enum reply_error, enum drop_reason, uint16_t mtu);

/* Resets the connection of a TCP packet, or the association of an SCTP
 * packet. */
void engine_reply_reset(const struct engine_run *, struct engine_packet *,
                        enum drop_reason);

/* Sends the packet to 'endpoint', on whatever host that is.  'context' is what
 * to tell its switch. */
void engine_send(const struct engine_run *, struct engine_packet *,
                 const struct group_endpoint *endpoint,
                 const struct context *context);

/* What to tell the switch of an endpoint about a packet of 'group'. */
static inline struct context
engine_context(const struct group *group, bool is_new)
{
    return (struct context) {
        .group = group->id,
        .epoch = group->epoch,
        .flags = is_new ? CONTEXT_NEW_FLOW : 0,
    };
}

/* Takes a token from a bucket of 'burst' that fills by one each 'interval_ms';
 * false if it is empty. */
bool engine_take_token(uint64_t *refill_ms, uint64_t *spent, uint64_t burst,
                       uint64_t interval_ms, uint64_t now_ms);

/* Packets that came out of a tunnel.  (engine-receive.c) */

/* To whom a packet in mid-flow, from a VM of this host, is to be shown before
 * the endpoint of 'choice', which is on this host and has not seen the flow:
 * an endpoint, or GROUP_NO_ENDPOINT.  Of the packet, its 'group' and 'hash'
 * count, and of its view 'protocol' and 'life'.  (engine-line.c) */
uint16_t engine_first_shown(const struct engine_packet *,
                            const struct engine_choice *choice);

/* A packet of a flow, its 'group', 'key' and 'hash' known. */
void engine_receive(const struct engine_run *, struct engine_packet *);

/* The same for a packet for which engine_first_shown() names somebody. */
void engine_receive_unknown(const struct engine_run *, struct engine_packet *,
                            uint16_t endpoint);

/* A hint from another switch. */
void engine_receive_hint(const struct engine_run *, struct engine_packet *);

/* Whether the packet's protocol shows no beginnings. */
static inline bool
engine_is_datagram(const struct encap_view *view)
{
    return (view->protocol == IPPROTO_NR_UDP
            || view->protocol == IPPROTO_NR_ICMP);
}

/* Whether flows of 'protocol' can be reset. */
static inline bool
engine_is_resettable(uint8_t protocol)
{
    return protocol == IPPROTO_NR_TCP || protocol == IPPROTO_NR_SCTP;
}

enum {
    ENGINE_DOUBT_S = 2,         /* Idle for this long, weak entries of TCP and
                                 * SCTP are doubted. */
};

/* Whether a packet in mid-flow may be of another connection than the one that
 * 'ref' knows, which was closed, or has not come about, a while ago: of one
 * that was opened by way of other hosts. */
static inline bool
engine_is_doubtful(const struct flow_ref *ref)
{
    return ((ref->state == FLOW_CLOSING || ref->state == FLOW_NEW)
            && ref->idle >= ENGINE_DOUBT_S);
}

/* Whether the slot of a flow says too little about where it is, because its
 * previous owners may have it. */
static inline bool
engine_is_guess(const struct group *group, uint64_t hash)
{
    uint16_t previous[GROUP_MAX_PREVIOUS];

    return (group_uses_slots(group) && group->previous
            && engine_previous(group, hash, GROUP_NO_ENDPOINT, previous));
}

/* Whether packets of the kind that begin flows of 'group' may as well be in
 * the middle of one: datagrams, and connections of a source that may have others.
 * 'opens' if it shows that it opens a connection. */
static inline bool
engine_is_ambiguous(const struct group *group, uint8_t protocol, bool opens)
{
    return (protocol == IPPROTO_NR_UDP || protocol == IPPROTO_NR_ICMP
            || (opens && group->affinity == AFFINITY_SOURCE));
}

/* Whether a packet begins a flow, as far as can be told. */
static inline bool
engine_begins(const struct group *group, uint64_t hash, uint8_t protocol,
              bool opens)
{
    if (!engine_is_ambiguous(group, protocol, opens)) {
        return opens;
    }
    return (opens || group->algorithm != ALGORITHM_HASH)
           && !engine_is_guess(group, hash);
}

/* Whether a packet that is in mid-flow, and of a flow that is not known, may
 * be worth waiting for another host's flows. */
static inline bool
engine_may_await(const struct group *group, uint8_t protocol)
{
    return ((protocol == IPPROTO_NR_TCP || protocol == IPPROTO_NR_SCTP)
            && !group_uses_slots(group));
}

/* Keys. */

/* The key and hash of the flow from 'src' to 'group'.  A source with affinity
 * has one entry for all its connections. */
static inline uint64_t
engine_make_key(const struct anycast_table *table, const struct group *group,
                struct inet_addr src, uint16_t src_port, uint16_t dst_port,
                struct flow_key *key)
{
    uint32_t ports = (uint32_t) src_port << 16 | dst_port;

    if (group->affinity == AFFINITY_SOURCE) {
        ports = 0;
    }
    key->src = src;
    key->src_port = ports >> 16;
    key->dst_port = ports;
    key->group = group->id;
    if (LIKELY(inet_addr_is4(src))) {
        return flow_hash4(&table->key, group->seed,
                          (uint64_t) inet_addr_to4(src) << 32 | ports);
    }
    return flow_hash6(&table->key, group->seed, src.hi, src.lo, ports);
}

/* splitmix64 (G. Steele, D. Lea, C. Flood, 2014). */
static inline uint64_t
engine_random(struct engine_thread *thread)
{
    uint64_t z = thread->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

#endif /* anycast/engine-private.h */
