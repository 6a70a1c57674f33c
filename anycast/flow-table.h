/* Which endpoint each flow is on.
 *
 * Fixed memory, chosen at creation.  An IPv4 flow takes 16 bytes, four to a
 * cache line; an IPv6 flow, in an area of its own, 32.  A flow lives in one of
 * two buckets of four, preferably its first.  The key stands in the entry in
 * clear, so no lookup can match a wrong flow.
 *
 *   IPv4:  source address 32 | source port 16 | destination port 16
 *          group 20 | endpoint 12 | last seen 16 | state 3 | own use 13
 *
 *   IPv6:  source address 128
 *          source port 16 | destination port 16 | 0
 *          as the second word above
 *
 *     if (flow_table_lookup(table, hash, &key, now_s, &ref)) {
 *         flow_table_touch(table, &ref, now_s, FLOW_ESTABLISHED);
 *     } else {
 *         flow_table_insert(table, hash, &key, endpoint, now_s, FLOW_NEW,
 *                           &ended);
 *     }
 *
 * The table may live in memory that outlasts the process (a mapped file): then
 * the next process adopts it, and its flows stay where they are.
 *
 * Thread safety: any number of threads may call all functions but create,
 * destroy and sweep at once, and one may sweep meanwhile.  Words are atomics;
 * an entry changes hands by way of FLOW_CLAIMED, and its generation tells a
 * reader that it did.  Two threads that insert the same flow at once may both
 * succeed; lookups then agree on one.
 *
 * Time is in seconds, given by the caller, modulo 2**16 inside:
 * flow_table_sweep() must visit each bucket at least every 4 hours.  Clocks of
 * several threads may differ by up to FLOW_MAX_SKEW seconds. */

#ifndef ANYCAST_FLOW_TABLE_H
#define ANYCAST_FLOW_TABLE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

/* Protocol state as one direction shows it; decides the idle timeout, and who
 * gives way when the table is full: the weak ones do, and never push out the
 * others. */
enum flow_state {
    FLOW_FREE,
    FLOW_CLAIMED,               /* Being written. */
    FLOW_NEW,                   /* Weak.  SYN or INIT seen: 240 s. */
    FLOW_UNPROVEN,              /* Weak.  One packet seen, in mid-flow or of a
                                 * datagram protocol: 240 s. */
    FLOW_CLOSING,               /* Weak.  FIN, RST or the like seen: 240 s. */
    FLOW_ESTABLISHED,           /* 2 h 4 min, RFC 5382 REQ-5. */
    FLOW_DATAGRAM,              /* UDP, ICMP: 300 s, RFC 4787 REQ-5. */
    FLOW_SOURCE,                /* A source with affinity: 4 h; the group's own
                                 * timeout is the caller's business. */
    N_FLOW_STATES
};

enum {
    FLOW_WAYS     = 4,          /* Entries in a bucket. */
    FLOW_MAX_SKEW = 60,         /* Seconds. */
};

struct flow_key {
    struct inet_addr src;
    uint16_t src_port;          /* 0 with source affinity. */
    uint16_t dst_port;          /* 0 with source affinity. */
    uint32_t group;             /* group->id. */
};

/* The ports of a key as a number, as they stand in an entry and are hashed. */
static inline uint32_t
flow_key_ports(const struct flow_key *key)
{
    return (uint32_t) key->src_port << 16 | key->dst_port;
}

/* A hit, or a flow as flow_table_next() lists it. */
struct flow_ref {
    uint64_t word;              /* The table's own. */
    uint64_t entry;             /* Where the entry is, ... */
    uint16_t endpoint;          /* ... and what it says. */
    uint16_t idle;              /* Seconds since it was last seen. */
    uint8_t state;              /* enum flow_state. */
    bool is6;
};

/* A flow that is in the table no more. */
struct flow_ended {
    uint32_t group;             /* 0: none. */
    uint16_t endpoint;
    uint8_t state;              /* The last one. */
    bool renewed;               /* None ended, for an insertion found its own
                                 * flow, on the same endpoint; 'state' is what
                                 * it was in. */
};

struct flow_table_stats {
    uint64_t capacity;          /* Entries, of both kinds. */
    uint64_t capacity6;         /* Of these, for IPv6. */
    uint64_t memory;            /* Bytes. */
    uint64_t huge;              /* Of these, on huge pages, as asked for. */
    uint64_t used;              /* Entries, timed-out ones included. */
    uint64_t inserted;
    uint64_t expired;           /* Replaced or swept after their timeout. */
    uint64_t evicted;           /* Replaced before it, for want of room. */
    uint64_t refused;           /* No room: live entries on all sides. */
};

struct flow_table;

/* How large a table is.  Flows up to these numbers find room; the table is
 * then at most 7/8 full (so 18.3 bytes per IPv4 flow, 36.6 per IPv6 flow, and
 * a few kB).  0 counts as 1. */
struct flow_table_size {
    size_t n_flows4;
    size_t n_flows6;
};

/* Bytes of memory for such a table, a multiple of 2 MiB; 0 if it is too
 * large. */
size_t flow_table_memory(const struct flow_table_size *);

/* Creates a table in memory of its own, on huge pages when the kernel grants
 * them, all of it touched here and not on the packet path; or returns NULL if
 * there is no such memory.  The caller owns the table. */
struct flow_table *flow_table_create(const struct flow_table_size *);

/* The same in the caller's memory: flow_table_memory() bytes, aligned to a
 * page, which must outlive the table, and which no other table may use
 * meanwhile.  NULL if it is not so aligned, too.
 *
 * What is there is adopted if it is a table of this size and version made with
 * the same 'stamp' (any number that tells deployments, boots and clocks
 * apart): '*adopted' is then the number of its entries, else 0 and the table
 * is empty.  A table that a process left behind in the middle of a write is
 * mended: a flow that was being moved is in one place again, what was being
 * written is free, and so is what makes no sense.  (Whether an entry is in its
 * flow's bucket cannot be told from its key; one that is not is found by
 * nobody, and times out.)  Whoever counts flows sweeps all buckets before
 * counting those adopted. */
struct flow_table *flow_table_create_at(const struct flow_table_size *,
                                        void *memory, uint64_t stamp,
                                        size_t *adopted);

/* Has the table adopted by whoever comes with 'stamp' from now on.  One thread
 * at a time; others may use the table meanwhile.  A process that dies in it
 * leaves no table. */
void flow_table_set_stamp(struct flow_table *, uint64_t stamp);

/* NULL is fine.  Memory of the caller's keeps its flows. */
void flow_table_destroy(struct flow_table *);

/* Starts fetching the bucket of a flow with 'hash' into the cache. */
static inline void flow_table_prefetch4(const struct flow_table *,
                                        uint64_t hash);
static inline void flow_table_prefetch6(const struct flow_table *,
                                        uint64_t hash);

/* The same for the other bucket of the flow with 'key', if the flow is not in
 * its first one, which should have come by now. */
void flow_table_prefetch_other(const struct flow_table *, uint64_t hash,
                               const struct flow_key *key);

/* Many IPv4 flows at once, so that their cache misses overlap:
 *
 *     for each:            flow_query_begin(table, q, hash, word);
 *     for each:            found = flow_query_first(q);
 *     for each not found:  flow_query_turn(table, q, hash);
 *     for each not found:  flow_query_second(q);
 *     for each:            flow_query_read(q, group, now_s, &ref)
 *
 * Only the last step can say that a flow is there.  If it does not, the flow
 * may still be: flow_table_lookup() knows. */
struct flow_query {
    uint64_t word;              /* The key's, as for flow_table_lookup4(). */
    const uint64_t *entry;      /* The table's own. */
};

static inline void flow_query_begin(const struct flow_table *,
                                    struct flow_query *, uint64_t hash,
                                    uint64_t word);
static inline bool flow_query_first(struct flow_query *);
static inline void flow_query_turn(const struct flow_table *,
                                   struct flow_query *, uint64_t hash);
static inline void flow_query_second(struct flow_query *);
static inline bool flow_query_read(const struct flow_query *, uint32_t group,
                                   uint32_t now_s, struct flow_ref *ref);

/* Finds the flow from IPv4 address:port to 'ports' & 0xffff ('word': address
 * 32 | ports 32) of 'group', whose hash is 'hash'.  True and '*ref' if it is
 * there and has not timed out. */
static inline bool flow_table_lookup4(const struct flow_table *,
                                      uint64_t hash, uint64_t word,
                                      uint32_t group, uint32_t now_s,
                                      struct flow_ref *ref);

/* The same for any key. */
bool flow_table_lookup(const struct flow_table *, uint64_t hash,
                       const struct flow_key *key, uint32_t now_s,
                       struct flow_ref *ref);

/* Notes that the flow of '*ref', a hit, was seen, and its state.  Writes only
 * if a second has passed or the state has changed; does nothing if the entry
 * has gone, or has been given to another flow or endpoint.  Returns the state
 * that was changed to 'state', or 'state' if none was: of threads that make
 * the same change at once, one is told of it. */
static inline enum flow_state flow_table_touch(struct flow_table *,
                                               const struct flow_ref *ref,
                                               uint32_t now_s,
                                               enum flow_state state);

/* The same for a flow that stays in its state, at less cost. */
static inline void flow_table_refresh(const struct flow_ref *ref,
                                      uint32_t now_s);

/* Puts 'key' -> 'endpoint' (below 4096) into the table, in place of the first
 * of these that there is, in the flow's two buckets:
 *
 *   - its own entry, if it has one;
 *   - a free or timed-out one;
 *   - one whose flow can move to its other bucket, or could if another one
 *     moved: a search of bounded length, and, while the table is overfull,
 *     mostly a short one if 'state' is weak, so that a flood costs little
 *     time;
 *   - the one idle for longest among the weak ones;
 *   - if 'state' is not weak: one whose flow can move if a weak one elsewhere
 *     gives way, and at last the one idle for longest of all.
 *
 * '*ended' becomes what it displaced: another flow, its own on another
 * endpoint, or any that had timed out but was still there.  So the entries of
 * an endpoint are the insertions that returned true and were not 'renewed',
 * less what ended, here and in sweeps.  Returns false if it was refused;
 * '*ended' is set even then, for another thread may have taken the place that
 * had been made. */
bool flow_table_insert(struct flow_table *, uint64_t hash,
                       const struct flow_key *key, uint16_t endpoint,
                       uint32_t now_s, enum flow_state state,
                       struct flow_ended *ended);

/* The same for a flow with an IPv4 key that begins, 'word' as for
 * flow_table_lookup4(): enters it if it has no entry and one of its own buckets
 * has a free place.  Else returns false, and has done nothing.  Those that it
 * has entered are counted later, together, by flow_table_count_begun().  Its
 * cache lines are fetched by flow_table_prefetch_both4(). */
bool flow_table_begin4(struct flow_table *, uint64_t hash, uint64_t word,
                       uint32_t group, uint16_t endpoint, uint32_t now_s,
                       enum flow_state state);
void flow_table_count_begun(struct flow_table *, size_t n);
static inline void flow_table_prefetch_both4(const struct flow_table *,
                                             uint64_t hash, uint64_t word);

/* Frees timed-out entries in the next 'n_buckets' buckets, going round, and
 * calls 'ended' for each.  One thread at a time. */
void flow_table_sweep(struct flow_table *, uint32_t now_s, size_t n_buckets,
                      void (*ended)(const struct flow_ended *, void *aux),
                      void *aux);

/* Number of buckets, of both kinds. */
size_t flow_table_n_buckets(const struct flow_table *);

/* Lists flows that have not timed out: start with '*cursor' 0, until false.
 * Concurrent changes may be missed; each flow listed was in the table. */
bool flow_table_next(const struct flow_table *, uint64_t *cursor,
                     uint32_t now_s, struct flow_key *key,
                     struct flow_ref *ref);

void flow_table_get_stats(const struct flow_table *,
                          struct flow_table_stats *);

/* "new", "established", ...; and back: false for another name. */
const char *flow_state_name(enum flow_state);
bool flow_state_from_name(const char *name, enum flow_state *);

static inline bool
flow_state_is_weak(enum flow_state state)
{
    return (state == FLOW_NEW || state == FLOW_UNPROVEN
            || state == FLOW_CLOSING);
}

#include "anycast/flow-entry.h"

#endif /* anycast/flow-table.h */
