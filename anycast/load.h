/* What this host has seen of an endpoint: how many flows it has put there, how
 * soon the endpoint answers, and whether it does.  Pickers decide by it.
 *
 * Outlives the groups that point to it, which are replaced at every change of
 * the mapping.  Written by all packet threads, with relaxed atomics: a lost
 * race costs a sample, never a wrong pick's safety.
 *
 * Response time is that from a flow's first SYN to the first ACK that follows
 * it (so: what handshake.h measures), smoothed exponentially.  The health is
 * the smoothed part of handshakes that were answered at once. */

#ifndef ANYCAST_LOAD_H
#define ANYCAST_LOAD_H 1

#include <stdbool.h>
#include <stdint.h>

struct endpoint_load {
    /* For pickers. */
    int32_t open;               /* Flows of this host on the endpoint, not
                                 * closed as far as known; see load_open(). */
    int32_t pending;            /* Handshakes under way; load_pending(). */
    uint32_t response_us;       /* Smoothed; 0: not measured yet. */
    uint32_t min_response_us;   /* Least of late; 0: not measured yet. */
    uint32_t health;            /* 0...LOAD_HEALTHY. */
    uint32_t failures;          /* In a row: repeated or unanswered SYNs. */
    uint64_t measured_us;       /* When last measured or failed. */

    /* For people. */
    uint64_t selected;          /* Flows put on it, ever. */
    uint64_t answered;          /* Handshakes, ever. */
    uint64_t unanswered;        /* SYNs repeated or given up, ever. */
    uint64_t resets;            /* Flows ended by RST or ABORT, ever. */
} __attribute__((aligned(64)));

enum { LOAD_NEAR = 8 };

/* All zero to begin with. */
struct group_load {
    uint64_t turn;              /* Round robin's. */
    uint64_t pinned;            /* Entries in the flow table. */
    uint64_t selected;          /* Flows, ever. */
    uint64_t rejected;          /* Packets without endpoint, ever. */
    uint32_t busy;              /* Lowest response time's: load per weight
                                 * beyond which an endpoint is hot. */
    uint16_t near[LOAD_NEAR];   /* Nearest's: endpoints found near. */
    bool recounted;             /* engine_recount()'s. */
} __attribute__((aligned(64)));

enum {
    LOAD_HEALTHY = 1 << 16,
    LOAD_MAX_FAILURES = 3,      /* In a row: unhealthy. */
    LOAD_RETRY_US = 5000000,    /* An unhealthy endpoint is tried again. */
};

void load_init(struct endpoint_load *);

/* Another endpoint has taken the place of the one that '*load' was about:
 * forgets all of it but the flows that are open, and handshakes under way. */
void load_change(struct endpoint_load *load);

/* A flow was put on the endpoint, or taken off it (closed, expired, evicted,
 * moved away). */
void load_opened(struct endpoint_load *);
void load_closed(struct endpoint_load *);

/* Handshakes: one began; it was answered after 'us'; its SYN was repeated
 * 'elapsed_us' after the first (also tells that the answer takes at least that
 * long); it was given up unanswered; it is followed no longer, nothing being
 * known of it.  One whose SYN was repeated is not measured ('us' 0), as it
 * cannot be told which SYN was answered (P. Karn, C. Partridge, 1987). */
void load_began(struct endpoint_load *);
void load_answered(struct endpoint_load *, uint64_t us, uint64_t now_us);
void load_repeated(struct endpoint_load *, uint64_t elapsed_us,
                   uint64_t now_us);
void load_gave_up(struct endpoint_load *, uint64_t now_us);
void load_forgot(struct endpoint_load *);
void load_reset(struct endpoint_load *);

/* Whether new flows should go there: it is healthy, or it is time for another
 * try. */
bool load_is_healthy(const struct endpoint_load *, uint64_t now_us);

/* The same for who is about to send a new flow there, and will if this returns
 * true: a try is given away once every LOAD_RETRY_US. */
bool load_admit(struct endpoint_load *, uint64_t now_us);

/* A member as other threads may write it. */
#define load_read(MEMBER) __atomic_load_n(&(MEMBER), __ATOMIC_RELAXED)

/* Whether it is unhealthy, be it time for another try or not. */
static inline bool
load_is_failing(const struct endpoint_load *load)
{
    return load_read(load->failures) >= LOAD_MAX_FAILURES;
}

/* Flows on the endpoint, and handshakes under way; never below 0, as the
 * members may be while one thread has counted an end and another one not yet
 * the beginning. */
static inline uint32_t
load_open(const struct endpoint_load *load)
{
    int32_t open = load_read(load->open);

    return open > 0 ? open : 0;
}

static inline uint32_t
load_pending(const struct endpoint_load *load)
{
    int32_t pending = load_read(load->pending);

    return pending > 0 ? pending : 0;
}

#endif /* anycast/load.h */
