/* Which endpoint each flow is on.
 *
 * Fixed memory, chosen at creation.  Buckets of four 16-byte entries fill one
 * cache line; a flow lives in one of two buckets, preferably its first.  The
 * key stands in the entry in clear, so no lookup can match a wrong flow.
 *
 *   word 0:  source address 32 | source port 16 | destination port 16
 *   word 1:  group 20 | endpoint 12 | last seen 16 | state 4 | generation 12
 *
 *     if (flow_table_lookup(table, hash, &key, now_s, &ref)) {
 *         flow_table_touch(table, &ref, now_s, FLOW_ESTABLISHED);
 *     } else {
 *         flow_table_insert(table, hash, &key, endpoint, now_s, FLOW_NEW);
 *     }
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

/* Protocol state as one direction shows it; decides the idle timeout. */
enum flow_state {
    FLOW_FREE,
    FLOW_CLAIMED,               /* Being written. */
    FLOW_NEW,                   /* TCP, SYN seen: 240 s. */
    FLOW_ESTABLISHED,           /* TCP: 2 h 4 min, RFC 5382 REQ-5. */
    FLOW_CLOSING,               /* TCP, FIN or RST seen: 240 s. */
    FLOW_UDP,                   /* 300 s, RFC 4787 REQ-5. */
    N_FLOW_STATES
};

enum {
    FLOW_WAYS     = 4,          /* Entries in a bucket. */
    FLOW_MAX_SKEW = 60,         /* Seconds. */
};

struct flow_key4 {
    uint32_t src;               /* Host byte order. */
    uint16_t src_port;          /* 0 with source affinity. */
    uint16_t dst_port;          /* 0 with source affinity. */
    uint32_t group;             /* group->id. */
};

/* The key without its group, as it stands in an entry and is hashed. */
static inline uint64_t
flow_key4_word(const struct flow_key4 *key)
{
    return ((uint64_t) key->src << 32 | (uint32_t) key->src_port << 16
            | key->dst_port);
}

/* A hit, or a flow as flow_table_next() lists it. */
struct flow_ref {
    uint64_t word;              /* The table's own. */
    uint32_t bucket;            /* Where the entry is, ... */
    uint32_t way;
    uint16_t endpoint;          /* ... and what it says. */
    uint16_t idle;              /* Seconds since it was last seen. */
    enum flow_state state;
};

struct flow_table_stats {
    uint64_t capacity;          /* Entries. */
    uint64_t memory;            /* Bytes. */
    uint64_t used;              /* Entries, timed-out ones included. */
    uint64_t inserted;
    uint64_t expired;           /* Replaced or swept after their timeout. */
    uint64_t evicted;           /* Replaced before it, for want of room. */
    uint64_t refused;           /* No room: live entries on all sides. */
};

struct flow_table;

/* Creates a table with room for 'n_flows' flows, or returns NULL if there is
 * no such memory.  It has a power of two of buckets, at least 64 entries, and
 * so many that 'n_flows' fill 7/8 of them at most: up to there, no flow is
 * lost but half-open ones now and then.  All memory is touched here, not on
 * the packet path, and on huge pages when the kernel grants them.  The caller
 * owns the table. */
struct flow_table *flow_table_create(size_t n_flows);
void flow_table_destroy(struct flow_table *);

/* Starts fetching the bucket of a flow with 'hash' into the cache. */
void flow_table_prefetch(const struct flow_table *, uint64_t hash);

/* Finds 'key', whose hash is 'hash'.  True and '*ref' if it is there and has
 * not timed out. */
bool flow_table_lookup(const struct flow_table *, uint64_t hash,
                       const struct flow_key4 *key, uint32_t now_s,
                       struct flow_ref *ref);

/* Notes that the flow of '*ref', a hit, was seen, and its state.  Writes only
 * if a second has passed or the state has changed; does nothing if the entry
 * has gone, or has been given to another flow or endpoint. */
void flow_table_touch(struct flow_table *, const struct flow_ref *ref,
                      uint32_t now_s, enum flow_state state);

/* Puts 'key' -> 'endpoint' (below 4096) into the table, in place of the first
 * of these that there is, in the flow's two buckets:
 *
 *   - its own entry, if it has one;
 *   - a free or timed-out one;
 *   - one whose flow can move to its other bucket, or could if another one
 *     moved: a search of bounded length, and a short one if 'state' is
 *     FLOW_NEW, so that a flood of SYNs costs little time;
 *   - the one idle for longest among half-open and closing ones;
 *   - if 'state' is not FLOW_NEW, the one idle for longest of all.
 *
 * Returns false if it was refused. */
bool flow_table_insert(struct flow_table *, uint64_t hash,
                       const struct flow_key4 *key, uint16_t endpoint,
                       uint32_t now_s, enum flow_state state);

/* Frees timed-out entries in the next 'n_buckets' buckets, going round.  One
 * thread at a time. */
void flow_table_sweep(struct flow_table *, uint32_t now_s, size_t n_buckets);

/* Lists flows that have not timed out: start with '*cursor' 0, until false.
 * Concurrent changes may be missed; each flow listed was in the table. */
bool flow_table_next(const struct flow_table *, uint64_t *cursor,
                     uint32_t now_s, struct flow_key4 *key,
                     struct flow_ref *ref);

void flow_table_get_stats(const struct flow_table *,
                          struct flow_table_stats *);

/* "new", "established", ... */
const char *flow_state_name(enum flow_state);

#endif /* anycast/flow-table.h */
