/* A small world for tests of the engine: four hosts, groups whose slots and
 * endpoints a test changes as it likes, and packets to them.
 *
 * Host 0 is this one.  Host 1 is reached by Geneve, host 2 by VXLAN, both with
 * WORLD_INNER_MTU; host 3 has no next hop.  Endpoint N of a group G
 * has the MAC 02:00:00:GG:NN:NN and lives on the host that the test chose. */

#ifndef TESTS_UNIT_WORLD_H
#define TESTS_UNIT_WORLD_H 1

#include "anycast/engine.h"
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
    uint8_t protocol;
    uint16_t port;
    enum group_affinity affinity;
    uint32_t epoch;
    uint16_t slots[WORLD_SLOTS];
    size_t n_endpoints;
    uint8_t states[WORLD_ENDPOINTS];
    uint32_t hosts[WORLD_ENDPOINTS];
};

struct world {
    struct world_group groups[WORLD_GROUPS]; /* Group g's id is g + 1. */
    struct anycast_table *table;
    struct group *built[WORLD_GROUPS];
    struct flow_table *flows;
    struct engine_thread thread;
    uint64_t now_ms;
};

/* A packet to send, and what became of it. */
struct world_packet {
    /* In. */
    struct frame_spec spec;
    uint32_t vni;
    uint16_t src_port, dst_port;
    uint8_t tcp_flags;

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
};

/* Creates a world whose groups are all as the first: (5001, 10.1.0.100, TCP,
 * port 80) with four endpoints up on host 1, endpoint N owning each slot that
 * is N modulo 4; but the others' vni is 0. */
struct world *world_create(void);
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

/* Finds out about 'p' after engine_process(). */
void world_decode(struct world_packet *p);

/* Builds 'p', sends it and decodes it.  Returns 'p->endpoint'. */
int world_send(struct world *, struct world_packet *p);

/* Likewise, with world_packet(flow, tcp_flags). */
int world_send_flow(struct world *, uint32_t flow, uint8_t tcp_flags);

#endif /* tests/unit/world.h */
