/* All that the packet path knows from the mapping service: immutable, built
 * off the packet path, published by swapping one pointer.
 *
 * A table owns its index and its tunnels; the groups belong to whoever built
 * it, who keeps them alive as long as any table that names them can be read.
 *
 *     struct anycast_table *table
 *         = anycast_table_create(&key, revision, n, n_hosts);
 *     anycast_table_set_tunnel(table, host, &tunnel);
 *     anycast_table_add(table, group);
 *     ovsrcu_set(&published, table);       (by the caller's own means) */

#ifndef ANYCAST_ANYCAST_TABLE_H
#define ANYCAST_ANYCAST_TABLE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/group.h"
#include "encap/tunnel.h"

/* A group's key as three numbers, the same on all CPUs. */
struct table_key {
    uint64_t address[2];        /* Network byte order, upper half first. */
    uint64_t rest;              /* VNI 32 | port 16 | protocol 16. */
};

struct table_slot {
    struct table_key key;
    const struct group *group;  /* NULL: free. */
};

struct anycast_table {
    struct hash_key key;
    uint64_t revision;          /* Of the mapping service. */
    uint64_t serial;            /* Of the table, if its publisher counts. */
    size_t n_groups;
    size_t max_groups;          /* What there is room for. */
    size_t n_hosts;
    struct tunnel *tunnels;     /* By host index. */
    size_t index_mask;
    struct table_slot *index;   /* See table.c. */
};

/* Room for 'n_groups' groups and 'n_hosts' hosts, whose tunnels start out as
 * TUNNEL_NONE.  NULL if there is no memory.  The caller owns the table. */
struct anycast_table *anycast_table_create(const struct hash_key *key,
                                   uint64_t revision,
                                   size_t n_groups, size_t n_hosts);

/* Destroys 'table' but not the groups. */
void anycast_table_destroy(struct anycast_table *table);

/* For the time before 'table' is published.  anycast_table_add() returns
 * false, and leaves 'table' alone, if a group with the same key is there.
 * More groups or hosts than there is room for are the caller's bug. */
bool anycast_table_add(struct anycast_table *table, const struct group *group);
void anycast_table_set_tunnel(struct anycast_table *table, size_t host,
                      const struct tunnel *tunnel);

/* The group for a packet to (vni, address, protocol, port): one with that port
 * or else one for all ports; NULL if there is none. */
const struct group *anycast_table_lookup4(const struct anycast_table *table,
                                  uint32_t vni, uint32_t address,
                                  uint8_t protocol, uint16_t port);

/* Whether any group of tenant 'vni' has 'address' (host byte order).  Takes
 * as long as anycast_table_lookup4(), however many groups there are. */
bool anycast_table_has_address4(const struct anycast_table *, uint32_t vni,
                        uint32_t address);

#endif /* anycast/anycast-table.h */
