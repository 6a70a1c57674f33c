/* A small world for tests of the engine: four hosts, groups whose slots and
 * endpoints a test changes as it likes, and packets to them.
 *
 * Host 0 is this one, unless the test says otherwise.  Host 1 is reached by
 * Geneve, host 2 by VXLAN, both with WORLD_INNER_MTU; host 3 has no next hop.
 * Host N has the address 192.0.2.1 + N, or 2001:db8::1 + N.  Endpoint N of a
 * group G has the MAC 02:00:00:GG:NN:NN and lives on the host that the test
 * chose.  An address A of a test is the IPv4 address A, or fd00::A over
 * IPv6. */

#ifndef TESTS_UNIT_WORLD_H
#define TESTS_UNIT_WORLD_H 1

#include "anycast/engine.h"
#include "anycast/load.h"
#include "tests/unit/frame.h"

enum {
    WORLD_GROUPS    = 4,
    WORLD_ENDPOINTS = 8,
    WORLD_SLOTS     = 256,
    WORLD_HOSTS     = 4,
    WORLD_INNER_MTU = 1400,
    WORLD_HEADROOM  = 128,
};

/* A group as a test describes it. */
struct world_group {
    uint32_t vni, address;      /* vni 0: there is no such group. */
    bool ipv6;
    uint8_t protocol;
    uint16_t port;
    enum group_affinity affinity;
    uint16_t affinity_timeout;
    enum group_algorithm algorithm;
    uint16_t port_last, ramp;
    uint8_t flags;
    uint8_t quic_offset, quic_length;
    uint32_t epoch;
    uint16_t slots[WORLD_SLOTS];
    uint16_t previous[WORLD_SLOTS][GROUP_MAX_PREVIOUS];
    size_t n_endpoints;
    uint8_t states[WORLD_ENDPOINTS];
    uint32_t hosts[WORLD_ENDPOINTS];
    uint16_t tiers[WORLD_ENDPOINTS];
    uint32_t up_at_s[WORLD_ENDPOINTS];
    uint64_t quic_ids[WORLD_ENDPOINTS];
};

struct world {
    struct world_group groups[WORLD_GROUPS]; /* Group g's id is g + 1. */
    uint32_t here;              /* Which host this is. */
    bool ipv6_underlay;
    uint8_t tunnels[WORLD_HOSTS]; /* enum tunnel_type. */
    struct anycast_table *table;
    struct group *built[WORLD_GROUPS];
    struct endpoint_load loads[WORLD_GROUPS][WORLD_ENDPOINTS];
    struct group_load group_loads[WORLD_GROUPS];
    struct flow_table *flows;
    struct source_table *sources;
    struct engine_world engine; /* The three together. */
    struct engine_thread thread;
    uint64_t now_ms;
};

/* What is around an encapsulated frame, read byte by byte. */
struct world_outer {
    int from, to;               /* Hosts. */
    struct inet_addr peer;      /* The address of 'from'. */
    uint32_t vni;
    uint16_t src_port;
    uint8_t tos;
    bool geneve;                /* Else VXLAN. */
    const uint8_t *options;     /* Geneve's. */
    size_t options_len;
    const uint8_t *inner;
    size_t inner_size;
};

/* What Geneve's options say, read byte by byte. */
struct world_context {
    uint32_t group, epoch;
    bool is_new, is_claimed;
    int hops;
    int n_previous;
    uint16_t previous[4];
};

/* A packet to send, and what became of it. */
struct world_packet {
    /* In. */
    struct frame_spec spec;
    uint32_t vni;
    uint16_t src_port, dst_port; /* Not used for ICMP. */
    uint8_t tcp_flags;          /* Or the type of the first SCTP chunk. */
    const struct engine_arrival *arrival;

    /* What the engine sees and makes of it. */
    uint8_t frame[FRAME_MAX];   /* As sent. */
    size_t frame_size;
    uint8_t buffer[WORLD_HEADROOM + FRAME_MAX];
    struct engine_packet packet;

    /* Of ENGINE_UNDERLAY and ENGINE_LOCAL. */
    const uint8_t *inner;       /* The frame for the endpoint. */
    size_t inner_size;
    int group;                  /* From its MAC, ... */
    int endpoint;               /* ... -1 if there is none. */
    struct world_outer outer;   /* Of ENGINE_UNDERLAY. */
};

/* Creates a world whose groups are all as the first: (5001, 10.1.0.100, TCP,
 * port 80) with four endpoints up on host 1, endpoint N owning each slot that
 * is N modulo 4; but the others' vni is 0. */
struct world *world_create(void);

/* The same address over both IP versions. */
struct inet_addr world_address(uint32_t address, bool ipv6);
void world_destroy(struct world *);

/* Makes the table anew, after changes to 'groups'. */
void world_publish(struct world *);

/* Gives all slots of group 'g' to 'endpoint'. */
void world_give_slots(struct world *, int g, uint16_t endpoint);

/* An ordinary packet of flow 'flow' with 'tcp_flags' to the first group. */
struct world_packet world_packet(uint32_t flow, uint8_t tcp_flags);

/* Builds the frame in 'p', ready for engine_process(). */
void world_build(struct world_packet *p);

/* Puts the frame in 'p->frame' into the buffer anew. */
void world_load(struct world_packet *p);

/* Takes the outer headers off the 'size' bytes of 'frame', which must be well
 * formed. */
void world_decap(const uint8_t *frame, size_t size, struct world_outer *outer);

/* Reads the context options of 'outer'; false if there are none. */
bool world_read_context(const struct world_outer *outer,
                        struct world_context *context);

/* Finds out about 'p' after engine_process(). */
void world_decode(struct world_packet *p);

/* Sends 'p' as it was built, and decodes it. */
int world_run(struct world *, struct world_packet *p);

/* Builds 'p', sends it and decodes it.  Returns 'p->endpoint'. */
int world_send(struct world *, struct world_packet *p);

/* Likewise, with world_packet(flow, tcp_flags). */
int world_send_flow(struct world *, uint32_t flow, uint8_t tcp_flags);

/* What engine_explain() says of 'p', and the state that the flow table has of
 * its flow, or FLOW_FREE. */
struct engine_explanation world_explain(const struct world *,
                                        const struct world_packet *p);
enum flow_state world_state(const struct world *,
                            const struct world_packet *p);
enum flow_state world_flow_state(const struct world *, uint32_t flow);

/* Sums up, over the endpoints of group 'g', the flows and handshakes that are
 * counted as under way; and lists the table's entries of the group, in all and
 * of those not closing. */
struct world_census {
    uint64_t open, pending, entries, live;
};
struct world_census world_census(const struct world *, int g);

/* Sweeps the whole flow table, telling the engine what ended. */
void world_sweep(struct world *);

#endif /* tests/unit/world.h */
