/* The packet path: a batch of frames in, a verdict and a finished frame for
 * each out.  In the order in which a packet meets them:
 *
 *     encap_parse()             encap/parse.h            what is it?
 *     anycast_table_lookup()    anycast/anycast-table.h  which group?
 *     flow_table_lookup()       anycast/flow-table.h     where is it already?
 *     engine_choose()           anycast/engine-choose.h  else: where now?
 *     tunnel_push()             encap/tunnel.h           off to that host
 *
 * Packets that come out of a tunnel pass engine-receive.c, which sets senders
 * right; fragments wait in fragments.h.
 *
 * No malloc, no lock, no log line; every drop is counted by its reason.
 *
 * Thread safety: table and group are read-only, flow table, sources and loads
 * shared; each thread has an engine_thread of its own. */

#ifndef ANYCAST_ENGINE_H
#define ANYCAST_ENGINE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/anycast-table.h"
#include "anycast/flow-table.h"
#include "anycast/fragments.h"
#include "anycast/handshake.h"
#include "anycast/pick.h"
#include "anycast/source-table.h"
#include "encap/drop.h"
#include "encap/hint.h"
#include "encap/parse.h"

enum {
    ENGINE_BATCH = 32,
    ENGINE_OUTBOX = 32,         /* Hints of a batch. */
    ENGINE_QUESTIONS = 16,      /* Sources to ask about, of a batch. */
};

enum engine_verdict {
    ENGINE_UNDERLAY,            /* Encapsulated: to the underlay. */
    ENGINE_LOCAL,               /* Addressed to an endpoint on this host. */
    ENGINE_REPLY,               /* Now an answer to the sender. */
    ENGINE_DROP,
    ENGINE_HELD,                /* Kept; will come out of engine_resume(). */
};

/* How a packet that came out of a tunnel came. */
struct engine_arrival {
    const uint8_t *options;     /* Geneve's; NULL if there are none. */
    size_t options_len;
    struct inet_addr peer;      /* Outer source address. */
};

struct engine_packet {
    /* In. */
    uint8_t *data;              /* Start of the Ethernet header. */
    uint32_t size;
    uint32_t headroom;          /* Bytes that may be written before 'data', */
    uint32_t tailroom;          /* ... and after it. */
    uint32_t vni;               /* 0: none, the packet is dropped. */
    bool partial_csum;          /* Known to need its checksum completed. */
    bool tso;                   /* Larger than a segment. */
    const struct engine_arrival *arrival; /* NULL: from a VM of this host. */
    void *cookie;               /* The caller's name for it, not NULL, or
                                 * fragments cannot be held. */

    /* Out: 'data' and 'size' become those of the frame to send. */
    enum engine_verdict verdict;
    enum drop_reason reason;    /* Why; with ENGINE_REPLY to an error too. */

    /* The engine's own. */
    uint8_t stage;              /* How far it has come. */
    bool settles;               /* Once examined: goes where its flow's entry
                                 * says, if that is settled. */
    const struct group *group;
    uint64_t hash;
    struct flow_query query;    /* IPv4. */
    struct flow_key key;
    struct encap_view view;
};

/* What all threads share.  All but 'table' may be NULL only if 'table' is. */
struct engine_world {
    const struct anycast_table *table; /* NULL: nothing received yet. */
    struct flow_table *flows;
    struct source_table *sources;
};

/* A finished frame for the underlay that answers none of the caller's
 * packets. */
struct engine_extra {
    uint8_t frame[TUNNEL_MAX_OVERHEAD + HINT_FRAME_LEN];
    uint16_t ofs, size;
};

struct engine_question {
    uint32_t vni;
    struct inet_addr source;
};

/* Counters and state of one thread.  Counters are written by their thread
 * alone, with relaxed atomics: others may read them so. */
struct engine_counters {
    uint64_t drops[N_DROP_REASONS]; /* Replies to errors included. */
    uint64_t underlay, local, arp_replies, nd_replies, icmp_errors, resets;
    uint64_t new_flows;         /* Endpoints selected. */
    uint64_t repicked;          /* Of these: the old endpoint was lost. */
    uint64_t untracked;         /* Of these: not stored, table full. */
    uint64_t completed_csums;
    uint64_t from_tunnel;       /* Packets that came out of a tunnel. */
    uint64_t forwarded;         /* Of these: sent on to another host. */
    uint64_t hints_sent, hints_accepted, hints_limited;
    uint64_t icmp_routed;       /* ICMP errors taken to their flow. */
    uint64_t fragments;         /* Later fragments sent on. */
    uint64_t handovers_asked;
};

struct engine_thread {
    struct engine_counters count;
    uint64_t ticked_us;         /* The caller's, for engine_tick(). */
    uint64_t random;            /* State of a generator; seed it. */
    uint64_t icmp_refill_ms;    /* Token buckets: ICMP errors, ... */
    uint64_t icmp_spent;        /* ... 100 a second, bursts of 100; ... */
    uint64_t hint_refill_ms;
    uint64_t hint_spent;        /* ... hints, 1000 a second. */
    struct fragments *fragments;
    struct handshake_table handshakes;

    /* Out, of the last batch; the caller empties them. */
    size_t n_extras;
    struct engine_extra extras[ENGINE_OUTBOX];
    size_t n_questions;
    struct engine_question questions[ENGINE_QUESTIONS];
};

/* Adds 'n' to a counter of the calling thread's own, and reads one of any
 * thread's. */
static inline void
engine_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

static inline uint64_t
engine_read(const uint64_t *counter)
{
    return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* Makes '*thread' ready, with 'random' as the seed of what is left to chance.
 * False if there is no memory. */
bool engine_thread_init(struct engine_thread *thread, uint64_t random,
                        const struct hash_key *fragment_key);

/* Releases what '*thread' has; the cookies that it still holds are handed to
 * 'release'. */
void engine_thread_uninit(struct engine_thread *thread,
                          void (*release)(void *cookie));

/* Takes 'n' (up to ENGINE_BATCH) packets through.  'now_us' is any monotonic
 * clock.
 *
 * A flow keeps its endpoint while that is up, draining or lost; else it is
 * picked anew, as is a flow without an entry, in whatever state it is.  A TCP
 * SYN (without ACK) of a flow that was closing is a new connection and is
 * picked anew.
 *
 * A packet that cannot go on is dropped, or becomes the ICMP error that a
 * router would send: TTL expired, or too big for the tunnel, with or without
 * DF.  There are no errors about local delivery but the TTL's. */
void engine_process(const struct engine_world *world,
                    struct engine_thread *thread, uint64_t now_us,
                    struct engine_packet *packets, size_t n);

/* Whether engine_resume() has something to do. */
static inline bool
engine_has_held(const struct engine_thread *thread)
{
    return fragments_pending(thread->fragments);
}

/* The next held packet that need wait no longer: its cookie, or NULL if there
 * is none.  '*expired' tells that it is to be dropped (it is counted); else
 * the caller describes it anew and hands it to engine_process(). */
void *engine_resume(struct engine_thread *thread, uint64_t now_us,
                    bool *expired);

/* Housekeeping, for about ten times a second: handshakes that nobody
 * answered. */
void engine_tick(const struct engine_world *world,
                 struct engine_thread *thread, uint64_t now_us);

/* Enters a flow that another host knew: 'key' is on 'endpoint', in 'state',
 * and was seen there 'idle_s' seconds ago.  If there is an entry,
 *
 *   - one that is settled does not give way to one that is not, nor does one
 *     of a connection that is just being opened;
 *   - one of a datagram flow, one that is closing, and one that was made for a
 *     single packet in mid-flow, for want of an answer, give way;
 *   - another one only to who has seen the flow later: its connection may have
 *     begun here, and the other one be an earlier one with the same ports; or
 *     it is from an earlier former host.  (Ages count to 30 seconds.)
 *
 * False if it did not; and if the group is not known, its endpoint does not
 * keep flows, the state is none of a flow's, or there is no room. */
bool engine_import(const struct engine_world *, uint64_t now_us,
                   const struct flow_key *key, uint16_t endpoint,
                   enum flow_state state, uint16_t idle_s);

/* The flow 'key' on 'endpoint' was told to another host, to which its client
 * has gone: it is forgotten in 4 minutes, unless it is seen here again. */
void engine_let_go(const struct engine_world *, uint64_t now_us,
                   const struct flow_key *key, uint16_t endpoint);

/* For groups that have not been through it yet: counts the flows that are in
 * the flow table already as flows of their endpoints.  (The table may have
 * been adopted; or a group was here before, and its loads are new.)  Before
 * packets can come to these groups; for those that went through it before,
 * nothing happens.  One thread at a time. */
void engine_recount(const struct engine_world *world, uint64_t now_us);

/* A flow is no longer in the flow table (for flow_table_sweep()). */
void engine_flow_ended(const struct anycast_table *,
                       const struct flow_ended *);

/* The address that answers for anycast addresses of tenant 'vni'. */
struct mac engine_router_mac(uint32_t vni);

/* What the engine would do with a packet, without doing it (X6). */
struct engine_question_flow {
    uint32_t vni;
    uint8_t protocol;
    struct inet_addr src, dst;
    uint16_t src_port, dst_port;
    bool opens;                 /* As a connection's first packet. */
};

struct engine_explanation {
    enum engine_verdict verdict;
    enum drop_reason reason;
    const struct group *group;  /* NULL if none. */
    struct flow_key key;
    uint64_t hash;
    uint32_t slot;              /* Of groups that use slots. */
    uint16_t slot_owner;        /* Or GROUP_NO_ENDPOINT. */
    uint16_t previous[GROUP_MAX_PREVIOUS]; /* The slot's. */
    bool tracked;               /* A flow entry exists: 'ref'. */
    struct flow_ref ref;
    bool picked;                /* A picker was asked: 'trail'. */
    struct pick_trail trail;
    uint16_t endpoint;          /* The choice, or GROUP_NO_ENDPOINT. */
    const char *why;            /* How it came about; static. */
};

/* Explains a packet as in 'flow'.  It is taken to have TTL to spare and to fit
 * the tunnel, and to come from a VM of this host. */
void engine_explain(const struct engine_world *world, uint64_t now_us,
                    const struct engine_question_flow *flow,
                    struct engine_explanation *);

#endif /* anycast/engine.h */
