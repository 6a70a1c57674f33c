/* Several hosts, each with an engine and a world of its own, that send each
 * other what they encapsulate.  Their tables may disagree. */

#ifndef TESTS_UNIT_CLUSTER_H
#define TESTS_UNIT_CLUSTER_H 1

#include "tests/unit/world.h"

enum {
    CLUSTER_HOSTS   = 4,
    CLUSTER_MAX_HOPS = 4,       /* Tunnels that a packet may pass. */
    CLUSTER_HINTS   = 64,
};

/* A hint that is under way. */
struct cluster_hint {
    uint8_t frame[256];         /* Outer headers included. */
    size_t size;
};

struct cluster {
    struct world *hosts[CLUSTER_HOSTS];
    bool hold_hints;            /* Keep them in 'hints'. */
    size_t n_hints;
    struct cluster_hint hints[CLUSTER_HINTS];
};

/* What became of a packet. */
struct journey {
    enum engine_verdict verdict;
    enum drop_reason reason;
    int n_hops;                 /* Tunnels passed. */
    int path[CLUSTER_MAX_HOPS + 1]; /* Hosts. */
    int host;                   /* The last of them. */
    int endpoint;               /* -1: not delivered. */
    struct world_context context; /* Of the first tunnel, if any. */
    uint8_t inner[FRAME_MAX];   /* As delivered. */
    size_t inner_size;
};

/* All hosts' groups are as world_create() makes them, but that endpoint N is
 * on host N; all tunnels are Geneve. */
struct cluster *cluster_create(void);
void cluster_destroy(struct cluster *);

/* All hosts get the groups, and the underlay, of 'hosts[0]'. */
void cluster_copy(struct cluster *);
void cluster_publish(struct cluster *);
void cluster_advance(struct cluster *, uint64_t ms);

/* All hosts' first group goes by 'algorithm'. */
void cluster_set_algorithm(struct cluster *, enum group_algorithm algorithm);

/* On hosts 'first' to 'last' all slots of the first group are 'owner's now,
 * and were its predecessor's before. */
void cluster_move_slots(struct cluster *, int first, int last,
                        uint16_t owner);

/* A VM on host 'from' sends 'p'.  Hints arrive as soon as they are sent,
 * unless they are held. */
struct journey cluster_send(struct cluster *, int from,
                            struct world_packet *p);

/* Likewise, with world_packet(flow, tcp_flags). */
struct journey cluster_send_flow(struct cluster *, int from, uint32_t flow,
                                 uint8_t tcp_flags);

/* Lets 'hint' arrive.  Returns what its receiver makes of it. */
enum drop_reason cluster_hint_arrives(struct cluster *,
                                      const struct cluster_hint *hint);

/* Checks that a packet has come to 'endpoint', on the host of that number, by
 * way of 'n_hops' tunnels. */
void cluster_check_arrives(const struct journey *, int endpoint, int n_hops);

/* The same for a packet of FLOW that a VM on host CLIENT sends. */
#define CHECK_FLOW(C, FLOW, FLAGS, ENDPOINT, HOPS)                          \
    do {                                                                    \
        struct journey j_ = cluster_send_flow(C, CLIENT, FLOW, FLAGS);      \
        cluster_check_arrives(&j_, ENDPOINT, HOPS);                         \
    } while (0)

#endif /* tests/unit/cluster.h */
