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
 *     ovsrcu_set(&published, table);       (by the caller's own means)
 *
 * Thread safety: any number of threads may read a table that nobody changes
 * any more. */

#ifndef ANYCAST_ANYCAST_TABLE_H
#define ANYCAST_ANYCAST_TABLE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "anycast/group.h"
#include "encap/tunnel.h"

/* What something is found by, as three numbers, the same on all CPUs.  Of no
 * key are all bytes zero, as VNIs are not. */
struct table_key {
    struct inet_addr address;
    uint64_t rest;              /* VNI 32 | port 16 | enum table_kind 8
                                 * | protocol 8. */
};

/* What a key leads to. */
enum table_kind {
    TABLE_PORT,                 /* The group for just this port; with port 0,
                                 * the one for all ports. */
    TABLE_RANGES,               /* The groups for ranges of ports. */
    TABLE_ADDRESS,              /* The group with this address and the lowest
                                 * id; protocol 0. */
};

/* Ranges that do not overlap, in ascending order. */
struct table_ranges {
    struct table_range *range;
    uint32_t n;
};

struct table_range {
    uint16_t first, last;
    const struct group *group;
};

struct table_slot {
    struct table_key key;
    union {
        const struct group *group;      /* NULL: free. */
        struct table_ranges *ranges;    /* Of TABLE_RANGES. */
    };
} __attribute__((aligned(32)));
static_assert(sizeof(struct table_slot) == 32, "two to a cache line");

struct table_host {
    struct inet_addr vtep;
    uint32_t host;              /* Index in 'tunnels' plus 1; 0: free. */
};

struct table_id {
    uint32_t id;
    const struct group *group;  /* NULL: free. */
};

struct anycast_table {
    /* Read for every packet. */
    struct hash_key key;
    struct table_slot *index;
    size_t index_mask;
    uint64_t salt[3];           /* Of the index's hash. */
    size_t n_ranges;            /* Groups for ranges of ports. */
    size_t n_hosts;
    struct tunnel *tunnels;     /* By host index. */

    uint64_t revision;          /* Of the mapping service. */
    uint64_t serial;            /* Of the table, if its publisher counts. */
    size_t n_groups;
    size_t max_groups;          /* What there is room for. */
    struct table_id *ids;
    size_t ids_mask;
    struct table_host *hosts;   /* By VTEP. */
    size_t hosts_mask;

    /* Where anycast_table_add() takes ranges from. */
    struct table_ranges *ranges_pool;
    struct table_range *range_pool;
    size_t ranges_used, range_used;
};

/* Room for 'n_groups' groups and 'n_hosts' hosts, whose tunnels start out as
 * TUNNEL_NONE.  NULL if there is no memory.  The caller owns the table. */
struct anycast_table *anycast_table_create(const struct hash_key *key,
                                           uint64_t revision,
                                           size_t n_groups, size_t n_hosts);

/* Destroys 'table' but not the groups. */
void anycast_table_destroy(struct anycast_table *table);

/* For the time before 'table' is published.  anycast_table_add() returns
 * false, and leaves 'table' alone, if a group is there that has the same id,
 * or the same address and protocol and the same port or an overlapping range;
 * or if 'group->key' has a range that ends before it begins.  A range of one
 * port is that port.  More groups or hosts than there is room for are the
 * caller's bug. */
bool anycast_table_add(struct anycast_table *table, const struct group *group);
void anycast_table_set_tunnel(struct anycast_table *table, size_t host,
                              const struct tunnel *tunnel);

/* The same: notes that 'host' has the address 'vtep'.  Of two hosts with one
 * address the last one counts. */
void anycast_table_set_vtep(struct anycast_table *table, size_t host,
                            struct inet_addr vtep);

/* True and '*host' if a host is known by the address 'vtep'. */
bool anycast_table_find_host(const struct anycast_table *table,
                             struct inet_addr vtep, uint32_t *host);

/* The group for a packet to (vni, address, protocol, port): one with just that
 * port, or else one whose range of ports it is in, or else one for all ports;
 * NULL if there is none.  Ports in host byte order. */
static inline const struct group *
anycast_table_lookup(const struct anycast_table *table, uint32_t vni,
                     struct inet_addr address, uint8_t protocol,
                     uint16_t port);

/* The group of tenant 'vni' with 'address' that has the lowest id; NULL if
 * nobody has it.  Takes as long as anycast_table_lookup(), however many groups
 * there are. */
const struct group *
anycast_table_lookup_address(const struct anycast_table *, uint32_t vni,
                             struct inet_addr address);

/* The group with 'id', or NULL. */
const struct group *anycast_table_lookup_id(const struct anycast_table *,
                                            uint32_t id);

/* The table's own, for anycast_table_lookup() when no group has just the port
 * of the key with 'address' and 'rest': ranges, then all ports. */
const struct group *
anycast_table_lookup_wider(const struct anycast_table *,
                           struct inet_addr address, uint64_t rest);

static inline struct table_key
table_key_make(uint32_t vni, struct inet_addr address, enum table_kind kind,
               uint8_t protocol, uint16_t port)
{
    return (struct table_key) {
        .address = address,
        .rest = ((uint64_t) vni << 32 | (uint32_t) port << 16
                 | (uint32_t) kind << 8 | protocol),
    };
}

/* The slot where 'key' is or, if it is not there, the free one where it
 * belongs.  Free slots have a key of zeros, so that one comparison, with one
 * branch that is nearly always taken, does for a hit. */
static inline struct table_slot *
table_find(const struct anycast_table *table, const struct table_key *key)
{
    uint64_t a = key->address.lo + key->address.hi * table->salt[2];
    uint64_t hash = flow_hash_mix(a ^ table->salt[0],
                                  key->rest ^ table->salt[1]);

    for (;; hash++) {
        struct table_slot *slot = &table->index[hash & table->index_mask];
        uint64_t difference = ((slot->key.address.hi ^ key->address.hi)
                               | (slot->key.address.lo ^ key->address.lo)
                               | (slot->key.rest ^ key->rest));

        if (__builtin_expect(!difference, 1) || !slot->group) {
            return slot;
        }
    }
}

static inline const struct group *
anycast_table_lookup(const struct anycast_table *table, uint32_t vni,
                     struct inet_addr address, uint8_t protocol,
                     uint16_t port)
{
    struct table_key key = table_key_make(vni, address, TABLE_PORT, protocol,
                                          port);
    const struct group *group = table_find(table, &key)->group;

    return (__builtin_expect(group != NULL, 1) ? group
            : anycast_table_lookup_wider(table, key.address, key.rest));
}

#endif /* anycast/anycast-table.h */
