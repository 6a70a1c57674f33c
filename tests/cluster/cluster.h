/* A whole deployment in one process, under a virtual clock: hosts with the
 * production engine, client and endpoint VMs, a mapping service, and an
 * underlay between them.  Everything that happens follows from one seed.
 *
 * Clients open connections (TCP) and flows of datagrams (UDP) to two anycast
 * addresses, use them for a while, and close them.  Meanwhile an operator
 * changes the deployment, hosts hear of it late, in another order, or only
 * when they are told again, and packets get lost and overtake each other.
 *
 * The judge is the endpoints: as a kernel would, an endpoint accepts a SYN,
 * and resets a connection that it does not know.  So a packet in mid-flow must
 * reach the endpoint whose SYN-ACK the client took; a datagram that which got
 * the first one.  Whatever else happens to a flow breaks it.
 *
 *     struct cluster_options options = cluster_defaults;
 *     options.seed = 42;
 *     cluster_run(&options, &result);
 *     assert(!result.broken && !result.complaint[0]);
 *
 * If something is wrong, the same options with the number of the first flow
 * that broke in 'trace' tell its story, line by line. */

#ifndef TESTS_CLUSTER_CLUSTER_H
#define TESTS_CLUSTER_CLUSTER_H 1

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tests/cluster/mapping-model.h"

/* What an operator or fate does to the deployment. */
enum cluster_change {
    CHANGE_ADD,                 /* A new endpoint. */
    CHANGE_DRAIN,
    CHANGE_UNDRAIN,
    CHANGE_REWEIGHT,            /* Weight and tier. */
    CHANGE_REMOVE,              /* A drained endpoint without live flows. */
    CHANGE_RESTART,             /* A switch, which keeps its flow table. */
    CHANGE_FORGET,              /* The same, but it finds no flows. */
    CHANGE_MOVE_CLIENT,         /* A client VM to another host. */
    CHANGE_MOVE_ENDPOINT,       /* An endpoint VM to another host. */
    CHANGE_ALGORITHM,
    CHANGE_PARTITION,           /* The mapping service loses sight of a host
                                 * that is well, and finds it again. */
    CHANGE_DEATH,               /* A host dies, and is back later.  It breaks
                                 * the flows of its VMs, and no others. */
    N_CHANGES
};

struct cluster_options {
    uint64_t seed;
    enum group_algorithm algorithms[MODEL_GROUPS]; /* For TCP and UDP. */
    uint32_t n_hosts, n_clients, n_ports; /* Ports: of each client. */
    uint32_t n_endpoints;       /* To begin with, of each group. */
    uint32_t min_endpoints, max_endpoints;
    uint32_t flow_table;        /* Entries of a host. */
    uint64_t n_flows;           /* To be opened in all, ... */
    uint32_t n_changes;         /* ... and changes to be made. */
    uint32_t change_ms;         /* Between changes, on average. */
    uint32_t udp_percent;       /* Of the flows. */
    uint32_t max_packets;       /* Of a flow; half of it on average. */
    uint32_t max_gap_ms;        /* Between packets of a flow. */
    uint32_t port_rest_ms;      /* Before a client uses a port again. */
    uint32_t sleepers;          /* Of a million packets, those after which the
                                 * flow is silent for up to 'sleep_ms'. */
    uint32_t sleep_ms;
    uint32_t loss;              /* Of a million frames, ... */
    uint32_t update_loss;       /* ... and updates, which come again. */
    uint32_t update_ms;         /* Longest delay of an update. */
    uint32_t handover_ms;       /* Longest delay of a question or answer. */
    uint32_t ramp_s;
    bool source_affinity;
    bool vxlan;
    bool tight;                 /* Long packets leave no room for a line of
                                 * previous owners. */
    uint32_t weights[N_CHANGES]; /* How often which change. */

    uint32_t trace;             /* Number of a flow to tell about; 0: none. */
    FILE *story;                /* Where to. */
};

extern const struct cluster_options cluster_defaults;

struct cluster_result {
    uint64_t flows;             /* Opened. */
    uint32_t max_open;          /* At once. */
    uint64_t finished;          /* Of these, closed in good order. */
    uint64_t broken;            /* Reset, moved or stuck. */
    uint64_t forgotten;         /* Their slot changed hands more often than it
                                 * remembers, before the hosts could learn. */
    uint64_t untold;            /* Flows of datagrams whose client has moved
                                 * away from the only host that knew, in groups
                                 * that do not go by slots; or whose first ones
                                 * were lost. */
    uint64_t excused;           /* Broken by the death of their host. */
    uint32_t first_broken;      /* Number; 0: none. */
    uint64_t changes;
    uint64_t made[N_CHANGES];
    uint64_t packets;           /* Through all engines. */
    uint64_t forwarded, hints, repicked, untracked, handovers; /* Sums. */
    uint64_t lost;              /* Frames that nobody got. */
    uint32_t max_trips;         /* Of a packet through the underlay. */
    char complaint[300];        /* "", or what is wrong but for flows. */
};

void cluster_run(const struct cluster_options *, struct cluster_result *);

/* "add", "drain", ... */
const char *cluster_change_name(enum cluster_change);

#endif /* tests/cluster/cluster.h */
