/* A host of the cluster: the production engine, with what the rest of a switch
 * would give it.  Plays the agent, too: builds the packet path's table from a
 * copy of the mapping, keeps the loads, and hands flows over. */

#ifndef TESTS_CLUSTER_NODE_H
#define TESTS_CLUSTER_NODE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/engine.h"
#include "anycast/load.h"
#include "tests/cluster/mapping-model.h"
#include "tests/cluster/wire.h"

enum {
    NODE_VTEP = 0xc0000201,     /* 192.0.2.1 is host 0's. */
    NODE_NO_HOST = UINT16_MAX,
    NODE_SWEEPS = 40,           /* Calls of node_tend() for a whole sweep. */
};

struct node_config {
    uint32_t id, n_nodes;
    size_t n_flows;             /* The flow table's size. */
    uint64_t newcomer_us;       /* How long a flow may be silent: for how long
                                 * an endpoint may have flows that its host
                                 * has not met. */
    uint16_t spare_mtu;         /* What the tunnels take beyond
                                 * WIRE_INNER_MTU. */
    bool vxlan;                 /* What all hosts speak. */
};

struct node {
    struct node_config config;
    bool runs;                  /* The switch process does, ... */
    uint32_t n_starts;          /* ... the how manieth. */
    void *memory;               /* The flow table's, outlives the process. */
    struct engine_world world;
    struct anycast_table *table;
    struct group *groups[MODEL_GROUPS];
    struct endpoint_load (*loads)[MODEL_ENDPOINTS]; /* By group. */
    struct group_load group_loads[MODEL_GROUPS];
    struct engine_thread thread;
    uint64_t revision;          /* Of 'table'; 0: none yet. */
    bool found_flows;           /* When it started. */
    uint64_t newcomer_until_us[MODEL_GROUPS][MODEL_ENDPOINTS];
    uint32_t hosts[MODEL_GROUPS][MODEL_ENDPOINTS]; /* In 'table'. */
    uint64_t n_in;              /* Packets, since the process began. */
    struct engine_counters past; /* Some, of the processes before. */
};

/* A flow on its way from host to host. */
struct node_flow {
    struct flow_key key;
    uint16_t endpoint;
    uint16_t idle_s;
    uint8_t state;
};

/* A host without a switch process. */
struct node *node_create(const struct node_config *);
void node_destroy(struct node *);

/* The host is made anew: nothing is there that could be remembered. */
void node_wipe(struct node *);

/* The switch process begins, without a mapping; it adopts the flows of the
 * last one, or has lost them.  'seed' is for what is left to chance. */
void node_start(struct node *, bool keep_flows, uint64_t seed);

/* It ends, with no chance to do anything about it. */
void node_stop(struct node *);

/* Takes the mapping over, unless it is older than what is there. */
void node_apply(struct node *, const struct mapping_model *, uint64_t now_us);

/* What became of a frame. */
struct node_outcome {
    enum engine_verdict verdict;
    enum drop_reason reason;
};

/* Takes a batch through the engine.  The frames become those to send; the
 * engine's extras and questions are in 'node->thread'. */
void node_process(struct node *, struct wire_frame **frames, size_t n,
                  uint64_t now_us, struct node_outcome *);

/* Housekeeping, every now and then. */
void node_tend(struct node *, uint64_t now_us);

/* The flows of 'source' that this host knows, 'max' at most, to 'flows'. */
size_t node_collect(const struct node *, struct inet_addr source,
                    uint64_t now_us, struct node_flow *flows, size_t max);

/* Enters such. */
void node_import(struct node *, uint64_t now_us, const struct node_flow *flows,
                 size_t n);

/* Whether the engine's books balance: packets in and out, and open flows by
 * endpoint against the flow table's.  NULL, or what is wrong, static. */
const char *node_check(struct node *, uint64_t now_us);

#endif /* tests/cluster/node.h */
