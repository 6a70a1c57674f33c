/* The packet path: a batch of frames in, a verdict and a finished frame for
 * each out.  In the order in which a packet meets them:
 *
 *     encap_parse()             encap/parse.h            what is it?
 *     anycast_table_lookup4()   anycast/anycast-table.h  which group?
 *     flow_table_lookup()       anycast/flow-table.h     where is it already?
 *     group_slot()              anycast/group.h          else: where now?
 *     tunnel_push()             encap/tunnel.h           off to that host
 *
 * No malloc, no lock, no log line; every drop is counted by its reason.
 *
 * Thread safety: the table is read-only, the flow table shared; each thread
 * has an engine_thread of its own. */

#ifndef ANYCAST_ENGINE_H
#define ANYCAST_ENGINE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/anycast-table.h"
#include "anycast/flow-table.h"
#include "encap/drop.h"
#include "encap/parse.h"

enum { ENGINE_BATCH = 32 };

enum engine_verdict {
    ENGINE_UNDERLAY,            /* Encapsulated: to the underlay. */
    ENGINE_LOCAL,               /* Addressed to an endpoint on this host. */
    ENGINE_REPLY,               /* Now an answer to the sender. */
    ENGINE_DROP,
};

struct engine_packet {
    /* In. */
    uint8_t *data;              /* Start of the Ethernet header. */
    uint32_t size;
    uint32_t headroom;          /* Bytes that may be written before 'data'. */
    uint32_t vni;               /* 0: none, the packet is dropped. */
    bool from_tunnel;           /* Came out of a tunnel on this host. */
    bool partial_csum;          /* Known to need its checksum completed. */
    bool tso;                   /* Larger than a segment. */

    /* Out: 'data' and 'size' become those of the frame to send. */
    enum engine_verdict verdict;
    enum drop_reason reason;    /* Why; with ENGINE_REPLY to an error too. */

    /* The engine's own. */
    struct encap_view view;
    const struct group *group;
    struct flow_key4 key;
    uint64_t hash;
};

/* Counters and state of one thread.  Starts as zeros.  Counters are written
 * by their thread alone, with relaxed atomics: others may read them so. */
struct engine_thread {
    uint64_t drops[N_DROP_REASONS]; /* Replies to errors included. */
    uint64_t underlay, local, arp_replies, icmp_errors;
    uint64_t new_flows;         /* Endpoints selected. */
    uint64_t repicked;          /* Of these: the old endpoint was lost. */
    uint64_t untracked;         /* Of these: not stored, table full. */
    uint64_t completed_csums;
    uint64_t icmp_refill_ms;    /* Token bucket for ICMP errors: ... */
    uint64_t icmp_spent;        /* ... 100 a second, bursts of 100. */
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

/* Takes 'n' (up to ENGINE_BATCH) packets through.  'table' may be NULL
 * (nothing received from the mapping service yet), and 'flows' only if 'table'
 * is.  'now_ms' is any monotonic clock.
 *
 * A flow keeps its endpoint while that is up or draining; else it gets the
 * owner of its slot, as does a flow without an entry, in whatever state it
 * is.  A TCP SYN (without ACK) of a flow that was closing is a new connection
 * and is picked anew.
 *
 * A packet that cannot go on is dropped, or becomes the ICMP error that a
 * router would send: TTL expired, or too big for the tunnel, with or without
 * DF.  There are no errors about local delivery but the TTL's. */
void engine_process(const struct anycast_table *table,
                    struct flow_table *flows, struct engine_thread *thread,
                    uint64_t now_ms, struct engine_packet *packets, size_t n);

/* The address that answers for anycast addresses of tenant 'vni'. */
struct mac engine_router_mac(uint32_t vni);

/* What the engine would do with a packet, without doing it (X6). */
struct engine_explanation {
    enum engine_verdict verdict;
    enum drop_reason reason;
    const struct group *group;  /* NULL if none. */
    uint64_t hash;
    uint32_t slot;
    uint16_t slot_owner;        /* Or GROUP_NO_ENDPOINT. */
    bool tracked;               /* A flow entry exists: 'ref'. */
    struct flow_ref ref;
    uint16_t endpoint;          /* The choice, or GROUP_NO_ENDPOINT. */
};

/* Explains a packet of 'protocol' from src:src_port to dst:dst_port, all in
 * host byte order; 'syn' as in a TCP connection's first packet.  It is taken
 * to have TTL to spare and to fit the tunnel.  'table' and 'flows' as
 * above. */
void engine_explain(const struct anycast_table *table,
                    const struct flow_table *flows, uint64_t now_ms,
                    uint32_t vni, uint8_t protocol,
                    uint32_t src, uint16_t src_port,
                    uint32_t dst, uint16_t dst_port, bool syn,
                    struct engine_explanation *);

#endif /* anycast/engine.h */
