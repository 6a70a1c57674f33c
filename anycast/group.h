/* An anycast group as the packet path sees it: immutable once built. */

#ifndef ANYCAST_GROUP_H
#define ANYCAST_GROUP_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/flow-hash.h"
#include "encap/inet.h"

enum {
    GROUP_MAX_ENDPOINTS = 4096, /* Endpoint indexes are below this. */
    GROUP_MAX_ID        = 0xfffff,
    GROUP_MIN_SLOTS     = 256,
    GROUP_MAX_SLOTS     = 65536,
    GROUP_NO_ENDPOINT   = 0xffff, /* In a slot: nobody owns it. */
};

/* What a group is found by.  All bytes are significant (padding is zero), so
 * that keys can be hashed and compared as memory; group_key_init() sees to it.
 * 'address' is IPv6, or IPv4 mapped into it (RFC 4291 section 2.5.5.2). */
struct group_key {
    uint8_t address[16];
    uint32_t vni;               /* 1...VNI_MAX. */
    uint16_t port;              /* Host byte order; 0: all ports. */
    uint8_t protocol;
    uint8_t pad;
};

enum endpoint_state {
    ENDPOINT_ABSENT,            /* No endpoint has this index. */
    ENDPOINT_UP,                /* Takes new flows. */
    ENDPOINT_DRAINING,          /* Keeps its flows, takes no new ones. */
    ENDPOINT_DOWN,              /* Takes none; its flows are picked anew. */
};

struct group_endpoint {
    struct mac mac;
    uint8_t state;              /* enum endpoint_state. */
    bool local;                 /* Lives on this host. */
    uint32_t host;              /* Index of its tunnel in anycast_table. */
};

enum group_affinity {
    AFFINITY_FLOW,              /* A flow is a 5-tuple. */
    AFFINITY_SOURCE,            /* A flow is all from one source address. */
};

struct group {
    struct group_key key;
    uint64_t seed;              /* For flow_hash4(). */
    uint32_t id;                /* 1...GROUP_MAX_ID; never 0. */
    uint32_t epoch;             /* Of the slots. */
    uint8_t affinity;           /* enum group_affinity. */
    uint8_t slot_bits;          /* Slots: 2**slot_bits. */
    uint16_t n_endpoints;       /* Size of 'endpoints', gaps included. */
    uint16_t *slots;            /* Owners by slot, or GROUP_NO_ENDPOINT. */
    struct group_endpoint *endpoints; /* By endpoint index. */
};

/* What group_create() copies a group from. */
struct group_spec {
    struct group_key key;
    uint32_t id, epoch;
    enum group_affinity affinity;
    const uint16_t *slots;
    size_t n_slots;             /* Power of two, GROUP_MIN...MAX_SLOTS. */
    const struct group_endpoint *endpoints;
    size_t n_endpoints;         /* Up to GROUP_MAX_ENDPOINTS. */
};

/* Fills in '*key' for an IPv4 group; 'address' in host byte order. */
void group_key_init4(struct group_key *key, uint32_t vni, uint32_t address,
                     uint8_t protocol, uint16_t port);

/* Builds a group, in one allocation.  Returns NULL if 'spec' is out of range
 * or names, in a slot, an endpoint that is absent.  The caller owns the
 * result. */
struct group *group_create(const struct group_spec *spec,
                           const struct hash_key *key);
void group_destroy(struct group *group);

/* The slot that a flow with 'hash' falls into. */
static inline uint32_t
group_slot(const struct group *group, uint64_t hash)
{
    return hash >> (64 - group->slot_bits);
}

#endif /* anycast/group.h */
