/* What the files of the cluster share. */

#ifndef TESTS_CLUSTER_CLUSTER_PRIVATE_H
#define TESTS_CLUSTER_CLUSTER_PRIVATE_H 1

#include "tests/cluster/cluster.h"
#include "tests/cluster/node.h"
#include "tests/cluster/wheel.h"

enum {
    MAX_PORTS = 4096,
    MAX_CLIENTS = 256,
    FIRST_PORT = 20000,
    NO_HOST = UINT32_MAX,
    START_US = 1000000000,      /* The clock when a cluster begins. */
    UPDATE_AGAIN_MS = 1000,     /* After which a lost update comes again. */
};

/* Events.  'node' is a host where it says so. */
enum cluster_event {
    EVENT_FRAME,                /* 'p' comes out of the underlay at 'node'. */
    EVENT_FLOW,                 /* Flow 'a', number 'b': its timer. */
    EVENT_SYN_ACK,              /* The same, from endpoint 'c'. */
    EVENT_UPDATE,               /* The mapping 'p' reaches 'node', if that has
                                 * not restarted since: 'a' is 'n_starts'. */
    EVENT_QUESTION,             /* 'node' asks 'b' for flows of client 'a'. */
    EVENT_ANSWER,               /* 'p', flows of client 'a', reaches 'node'. */
    EVENT_SWITCH,               /* The switch of 'node' starts; 'a': keeping
                                 * its flows. */
    EVENT_ARRIVAL,              /* Endpoint 'b' of group 'a' runs on 'node'. */
    EVENT_DETECTION,            /* The mapping service learns that 'node' is
                                 * dead ('a') or alive. */
    EVENT_REVIVAL,              /* The host 'node' is back. */
};

/* An endpoint's VM, as it really is. */
struct cluster_vm {
    bool exists;
    bool moving;
    uint32_t host;
    uint32_t answer_ms;         /* How long it takes to answer a SYN. */
    uint64_t drained_at;        /* Tick of its last change of state. */
};

struct cluster_client {
    uint32_t host;
    uint64_t moved_at;          /* Tick; 0: never. */
    uint32_t address;
    uint64_t port_free[MODEL_GROUPS][MAX_PORTS]; /* Tick from which on. */
    uint32_t next_port[MODEL_GROUPS];
};

enum flow_phase {
    PHASE_FREE,
    PHASE_OPENING,              /* SYN sent; or no datagram arrived yet. */
    PHASE_OPEN,
    PHASE_CLOSING,              /* FIN or RST sent. */
};

struct cluster_flow {
    uint32_t number;            /* 1, 2, ...; 0: free. */
    uint32_t next_free;
    uint8_t phase, group;
    uint8_t retries;
    uint8_t last;               /* Flags that it ends with. */
    bool traceless;             /* No host knows it any more. */
    bool is_lost_here;          /* Its client's host knows it no more. */
    bool is_unsettled;          /* Another host on its way, just opened, may
                                 * have lost it. */
    bool begins_late;           /* Its first datagrams were lost. */
    uint8_t n_told;             /* Packets that have arrived since all hosts
                                 * heard that its slot forgot it; bounded. */
    bool doomed;                /* The endpoint's host has died, ... */
    bool is_shunned;            /* ... or is believed to have. */
    uint64_t unremembered_at;   /* Tick of the first packet that arrived after
                                 * its slot forgot it; 0: there is none. */
    uint16_t slot;              /* Or EXCUSE_NO_SLOT: not known yet. */
    uint32_t sent_from;         /* The client's host, when it last sent, ... */
    uint32_t host;              /* ... and when a packet last arrived. */
    uint16_t client, port;      /* Port: its place in the client's. */
    uint16_t peer;              /* Endpoint that holds it. */
    uint16_t half;              /* The last that got its SYN. */
    uint16_t packets_left;
    uint32_t seq, acked;
    uint64_t opened_at;         /* Tick. */
    uint64_t sent;              /* Tick of the last transmission. */
};

struct cluster {
    struct cluster_options options;
    struct cluster_result *result;
    uint64_t random;
    struct wheel *wheel;
    struct mapping_model model;
    struct node *nodes[MODEL_HOSTS];
    bool alive[MODEL_HOSTS];
    struct cluster_vm vms[MODEL_GROUPS][MODEL_ENDPOINTS];
    uint64_t was_owner[MODEL_GROUPS][MODEL_SLOTS][MODEL_ENDPOINTS / 64];
    uint16_t named[MODEL_GROUPS][MODEL_SLOTS][1 + GROUP_MAX_PREVIOUS];
    uint32_t forgot_at[MODEL_GROUPS][MODEL_SLOTS][MODEL_ENDPOINTS]; /* Tick. */
    struct cluster_client *clients;

    struct cluster_flow *flows;
    uint32_t n_flows, max_flows, free_flow, n_live;
    uint64_t flows_due;         /* In millionths. */

    uint64_t next_change;       /* Tick. */
    uint64_t next_forget;       /* Tick. */
    uint32_t n_pending;         /* Hosts that are dead, or seem so. */
    uint64_t reunited_at;       /* Tick since when there is none. */

    struct wire_frame *free_frames;
    struct wire_frame *batches[MODEL_HOSTS][ENGINE_BATCH];
    uint32_t n_batch[MODEL_HOSTS];
};

static inline uint64_t
cluster_now(const struct cluster *c)
{
    return wheel_now(c->wheel);
}

static inline uint64_t
cluster_now_us(const struct cluster *c)
{
    return START_US + cluster_now(c) * WHEEL_TICK_US;
}

static inline uint32_t
cluster_between(struct cluster *c, uint32_t low, uint32_t high)
{
    return wheel_between(&c->random, low, high);
}

/* Notes what is wrong, if it is the first such thing. */
void cluster_complain(struct cluster *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Tells what happens to flow 'number', or to all for 0, if that is wanted. */
#define CLUSTER_TELL(C, NUMBER, ...)                                        \
    do {                                                                    \
        if (__builtin_expect((C)->options.trace != 0, 0)                    \
            && (!(NUMBER) || (NUMBER) == (C)->options.trace)) {             \
            cluster_tell(C, __VA_ARGS__);                                   \
        }                                                                   \
    } while (0)
void cluster_tell(struct cluster *, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Frames.  (cluster.c) */

struct wire_frame *cluster_new_frame(struct cluster *);

/* Hands a frame to the engine of 'host' in this tick. */
void cluster_input(struct cluster *, uint32_t host, struct wire_frame *);

/* Clients, flows and endpoints.  (traffic.c) */

void traffic_init(struct cluster *);
void traffic_destroy(struct cluster *);

/* Opens the flows that are due in this tick. */
void traffic_tick(struct cluster *);

/* The timer of a flow, and a SYN-ACK for it. */
void traffic_timer(struct cluster *, uint32_t flow, uint32_t number);
void traffic_syn_ack(struct cluster *, uint32_t flow, uint32_t number,
                     uint16_t endpoint);

/* 'frame' leaves the engine of 'host' for an endpoint there. */
void traffic_deliver(struct cluster *, uint32_t host,
                     const struct wire_frame *frame);

/* The engine reset the flow of 'frame'. */
void traffic_reset(struct cluster *, const struct wire_frame *frame);

/* Live flows on 'endpoint'. */
uint32_t traffic_count(const struct cluster *, int group, uint16_t endpoint);

/* The switch of 'host' has lost its flows. */
void traffic_forget(struct cluster *, uint32_t host);

/* The VMs on 'host' are no more. */
void traffic_kill(struct cluster *, uint32_t host);

/* The host 'host' is believed dead. */
void traffic_shun(struct cluster *, uint32_t host);

/* The flow as a question to an engine. */
struct engine_question_flow traffic_question(const struct cluster *,
                                             const struct cluster_flow *);

/* Excuses.  (excuses.c) */

enum excuse {
    EXCUSE_NONE,
    EXCUSE_FATE,                /* Its host died.  Of a datagram: or seemed
                                 * to, which has the flow picked anew. */
    EXCUSE_FORGOTTEN,
    EXCUSE_UNTOLD,
};

enum { EXCUSE_NO_SLOT = UINT16_MAX };

/* The slot of a flow, or EXCUSE_NO_SLOT if its client's host cannot tell. */
uint16_t excuse_find_slot(const struct cluster *,
                          const struct cluster_flow *);

/* A packet of the flow has arrived where it should. */
void excuse_note_arrival(struct cluster *, struct cluster_flow *);

/* Why the flow may break. */
enum excuse excuse_find(const struct cluster *, const struct cluster_flow *);

/* Promises.  (promises.c) */

/* The mapping has changed: remembers who owns, and owned, which slot, and when
 * slots forgot that. */
void promise_note_owners(struct cluster *);

/* Complains if 'endpoint' should not have got a packet of the flow, which
 * 'begins' it, or not. */
void promise_check(struct cluster *, struct cluster_flow *, uint16_t endpoint,
                   bool begins);

/* Changes.  (changes.c) */

void changes_init(struct cluster *);

/* Makes the change that is due in this tick, if any. */
void changes_tick(struct cluster *);

/* Events of changes. */
void changes_arrival(struct cluster *, uint32_t host, int group,
                     uint16_t endpoint);
void changes_switch(struct cluster *, uint32_t host, bool keep_flows);
void changes_detection(struct cluster *, uint32_t host, bool dead);
void changes_revival(struct cluster *, uint32_t host);

/* Tells 'host' the present mapping, after a while. */
void changes_send_update(struct cluster *, uint32_t host);

#endif /* tests/cluster/cluster-private.h */
