/* Sources of flows: the MAC address of each client of this host, by (VNI,
 * address), and which of them are waiting for their flows from another host.
 *
 * Fixed memory: 4-way buckets, the one unseen for longest gives way.  Written
 * when flows begin, not for every packet.
 *
 * Thread safety: any number of threads may call all functions but create and
 * destroy at once.  There are no locks: each bucket is guarded by a sequence
 * count (odd while written), a writer that does not get it at once goes
 * without, a reader that sees it change finds nothing.
 *
 * Times are in milliseconds on one clock; that of one thread may be a little
 * behind another's. */

#ifndef ANYCAST_SOURCE_TABLE_H
#define ANYCAST_SOURCE_TABLE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/flow-hash.h"
#include "encap/inet.h"

struct source_table;

enum source_handover {
    SOURCE_SETTLED,             /* Nothing is under way, or it is over.  (An
                                 * answer does not end it: several hosts may
                                 * answer.) */
    SOURCE_ASKED,               /* The question was asked just now. */
    SOURCE_WAITING,             /* It was asked before, less than
                                 * SOURCE_WAIT_MS ago. */
};

enum {
    SOURCE_WAIT_MS  = 1000,     /* For an answer, ... */
    SOURCE_QUIET_MS = 60000,    /* ... and this long no new question. */
    SOURCE_MAX_QUESTIONS = 10,  /* In a second, about all sources. */
};

/* NULL if there is no memory.  'n' sources, rounded up to a power of two, 64
 * bytes each. */
struct source_table *source_table_create(size_t n,
                                         const struct hash_key *key);
void source_table_destroy(struct source_table *);

/* Notes that 'src' of tenant 'vni' (not 0) has 'mac'. */
void source_table_learn(struct source_table *, uint32_t vni,
                        struct inet_addr src, const struct mac *mac,
                        uint64_t now_ms);

/* True and '*mac' if it is known. */
bool source_table_find(const struct source_table *, uint32_t vni,
                       struct inet_addr src, struct mac *mac);

/* A packet in mid-flow came from 'src', of a flow that is not known here.
 * Says whether to wait for the source's flows; at the first such packet the
 * answer is SOURCE_ASKED, if fewer than SOURCE_MAX_QUESTIONS questions were
 * asked in the last second, and the caller asks; otherwise it is
 * SOURCE_SETTLED, and the next packet tries again.  SOURCE_WAITING also if
 * another thread is writing just now. */
enum source_handover source_table_ask(struct source_table *, uint32_t vni,
                                      struct inet_addr src, uint64_t now_ms);

/* What source_table_ask() would answer, without asking. */
enum source_handover source_table_would_ask(const struct source_table *,
                                            uint32_t vni, struct inet_addr src,
                                            uint64_t now_ms);

/* The source has gone to another host: what it brings when it comes back is
 * asked for again.  Off the packet path. */
void source_table_forget(struct source_table *, uint32_t vni,
                         struct inet_addr src);

#endif /* anycast/source-table.h */
