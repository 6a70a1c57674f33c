/* An anycast group as the packet path sees it: immutable once built, but for
 * the loads of its endpoints, which it only points to. */

#ifndef ANYCAST_GROUP_H
#define ANYCAST_GROUP_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/flow-hash.h"
#include "encap/context.h"
#include "encap/inet.h"
#include "encap/tunnel.h"

struct endpoint_load;

enum {
    GROUP_MAX_ENDPOINTS = 4096, /* Endpoint indexes are below this. */
    GROUP_MAX_ID        = 0xfffff,
    GROUP_MIN_SLOTS     = 256,
    GROUP_MAX_SLOTS     = 65536,
    GROUP_NO_ENDPOINT   = 0xffff, /* In a slot: nobody owns it. */
    GROUP_MAX_PREVIOUS  = 2,    /* Previous owners that a slot remembers. */
    GROUP_MAX_WEIGHT    = 1000,
    GROUP_MAX_RAMP_S    = 3600,
    GROUP_MAX_AFFINITY_S = 14400,
    GROUP_MAX_QUIC_OFFSET = 19,
    GROUP_MAX_QUIC_ID   = 8,    /* Bytes. */
};
static_assert((int) GROUP_NO_ENDPOINT == (int) CONTEXT_NO_ENDPOINT, "wire");
static_assert((int) GROUP_MAX_PREVIOUS <= (int) CONTEXT_MAX_PREVIOUS, "wire");

/* What a group is found by.  All bytes are significant (padding is zero), so
 * that keys can be hashed and compared as memory; group_key_init() sees to it.
 * 'address' is IPv6, or IPv4 mapped into it (RFC 4291 section 2.5.5.2). */
struct group_key {
    uint8_t address[16];
    uint32_t vni;               /* 1...VNI_MAX. */
    uint16_t port;              /* Host byte order; 0: all ports. */
    uint16_t port_last;         /* Of a range from 'port' on, else 0. */
    uint8_t protocol;
    uint8_t pad[3];
};

enum endpoint_state {
    ENDPOINT_ABSENT,            /* No endpoint has this index. */
    ENDPOINT_UP,                /* Takes new flows. */
    ENDPOINT_DRAINING,          /* Keeps its flows, takes no new ones. */
    ENDPOINT_DOWN,              /* Takes none; its flows are picked anew. */
    ENDPOINT_LOST,              /* Its host seems dead: takes no new flows,
                                 * keeps its own, or resets them. */
};

enum group_algorithm {
    /* By slots: every host picks alike. */
    ALGORITHM_WEIGHTED,
    ALGORITHM_HASH,             /* And no flow entry where the flow starts. */
    /* By a picker (anycast/pick.h), from what this host knows. */
    ALGORITHM_ROUND_ROBIN,
    ALGORITHM_LEAST_CONNECTIONS,
    ALGORITHM_LEAST_COST,
    ALGORITHM_NEAREST,
    ALGORITHM_LOWEST_RESPONSE_TIME,
    ALGORITHM_AVAILABILITY,
    N_ALGORITHMS
};

enum group_flags {
    GROUP_RESET_LOST = 0x01,    /* Reset the flows of lost endpoints. */
    GROUP_REJECT     = 0x02,    /* ICMP unreachable if there is no endpoint. */
    GROUP_MEASURED   = 0x04,    /* Nearest by measured time, not by tier. */
};

struct group_endpoint {
    struct mac mac;
    uint8_t state;              /* enum endpoint_state. */
    bool local;                 /* Lives on this host. */
    uint32_t host;              /* Index of its tunnel in anycast_table. */
    uint16_t weight;            /* 1...1000. */
    uint16_t tier;              /* Cost, distance or priority class, as the
                                 * algorithm wants it; lower is preferred. */
    uint32_t up_at_s;           /* When it came up, on the packet path's clock;
                                 * for slow start. */
    bool is_newcomer;           /* Local, and may have flows that are not known
                                 * here: it has moved here, or this host has
                                 * lost its flow table. */
    uint64_t quic_id;           /* In QUIC connection ids, if the group has
                                 * any; 0: this endpoint has none. */
    struct endpoint_load *load; /* What has been seen of it; NULL: nothing is
                                 * measured.  Not owned. */
};

enum group_affinity {
    AFFINITY_FLOW,              /* A flow is a 5-tuple. */
    AFFINITY_SOURCE,            /* A flow is all from one source address. */
};

/* An endpoint that may be picked: UP.  Sorted by tier, then index.  Weights
 * are in units of the greatest common divisor of those of the tier, so that
 * equal ones are 1. */
struct group_candidate {
    uint16_t endpoint;
    uint16_t tier;
    uint32_t weight_sum;        /* Of the candidates of this tier up to and
                                 * including this one. */
};

struct group {
    /* What a packet of a known flow needs: one cache line. */
    uint64_t seed;              /* For flow_hash(). */
    struct group_endpoint *endpoints; /* By endpoint index. */
    uint16_t *previous;         /* GROUP_MAX_PREVIOUS by slot, latest first;
                                 * NULL if no slot has any. */
    struct tunnel_geneve geneve; /* Header of packets in mid-flow. */
    uint32_t id;                /* 1...GROUP_MAX_ID; never 0. */
    uint16_t n_endpoints;       /* Size of 'endpoints', gaps included. */
    uint8_t algorithm;          /* enum group_algorithm. */
    uint8_t affinity;           /* enum group_affinity. */
    bool plain;                 /* A flow is a 5-tuple and has an entry, and
                                 * no packet can tell otherwise. */
    uint8_t flags;              /* enum group_flags. */
    uint8_t slot_bits;          /* Slots: 2**slot_bits. */
    bool begins_plain;          /* A 'plain' flow that begins goes to its
                                 * slot's owner, if that is well. */
    uint16_t *slots;            /* Owners by slot, or GROUP_NO_ENDPOINT. */

    uint32_t epoch;             /* Of the slots. */
    struct tunnel_geneve geneve_new; /* Header of packets that begin flows. */
    uint8_t quic_offset, quic_length; /* 'quic_length' 0: not used. */
    uint16_t affinity_timeout;  /* Seconds. */
    uint16_t ramp;              /* Seconds of slow start; 0: none. */
    uint32_t oldest_up_at_s;    /* Of the candidates. */

    struct group_key key;
    struct group_load *load;    /* What has been seen of the group; may be
                                 * NULL.  Not owned. */
    uint16_t n_candidates;
    struct group_candidate *candidates;
    uint16_t n_local;           /* Endpoints on this host, by MAC. */
    uint16_t *local;
    uint16_t n_macs;            /* All that there are, by MAC. */
    uint16_t *macs;
    uint16_t n_quic;            /* Endpoints with a QUIC id, by id. */
    uint16_t *quic;
};

/* What group_create() copies a group from. */
struct group_spec {
    struct group_key key;
    uint32_t id, epoch;
    enum group_algorithm algorithm;
    enum group_affinity affinity;
    uint16_t affinity_timeout;  /* 1...GROUP_MAX_AFFINITY_S with source
                                 * affinity. */
    uint16_t ramp;              /* 0...GROUP_MAX_RAMP_S. */
    uint8_t flags;
    uint8_t quic_offset, quic_length;
    const uint16_t *slots;
    const uint16_t *previous;   /* n_slots * GROUP_MAX_PREVIOUS, or NULL.  An
                                 * endpoint that is absent counts as none. */
    size_t n_slots;             /* Power of two, GROUP_MIN...MAX_SLOTS. */
    const struct group_endpoint *endpoints;
    size_t n_endpoints;         /* Up to GROUP_MAX_ENDPOINTS. */
    struct group_load *load;
};

/* Fills in '*key'; 'port_last' 0 unless it is a range. */
void group_key_init(struct group_key *key, uint32_t vni,
                    struct inet_addr address, uint8_t protocol, uint16_t port,
                    uint16_t port_last);

/* Builds a group, in one allocation.  Returns NULL if 'spec' is out of range,
 * names in a slot an endpoint that is absent, or gives two endpoints the same
 * QUIC id, or if there is no memory.  The caller owns the result. */
struct group *group_create(const struct group_spec *spec,
                           const struct hash_key *key);
void group_destroy(struct group *group);

/* Whether flows are picked by slots. */
static inline bool
group_uses_slots(const struct group *group)
{
    return group->algorithm <= ALGORITHM_HASH;
}

/* The slot that a flow with 'hash' falls into. */
static inline uint32_t
group_slot(const struct group *group, uint64_t hash)
{
    return hash >> (64 - group->slot_bits);
}

/* Whether flows may stay on the endpoint with this index. */
static inline bool
group_keeps_flows(const struct group *group, uint16_t endpoint)
{
    if (endpoint >= group->n_endpoints) {
        return false;
    }
    uint8_t state = group->endpoints[endpoint].state;
    return (state == ENDPOINT_UP || state == ENDPOINT_DRAINING
            || state == ENDPOINT_LOST);
}

/* The endpoint with this id in its QUIC connection ids, or
 * GROUP_NO_ENDPOINT. */
uint16_t group_find_quic(const struct group *group, uint64_t id);

/* The endpoint on this host with this MAC, or GROUP_NO_ENDPOINT. */
uint16_t group_find_local(const struct group *group, const struct mac *mac);

/* The same of all hosts' endpoints. */
uint16_t group_find_mac(const struct group *group, const struct mac *mac);

#endif /* anycast/group.h */
