/* One index by open addressing with linear probing, at most half full.  Keys
 * stand in the index itself, so that a lookup of a single port reads nothing
 * else.
 *
 * A group is found under its key.  Groups for ranges of ports stand together,
 * sorted, under a key of their (VNI, address, protocol), for binary search.
 * The group with the lowest id of an address is there once more, under a key
 * without protocol and port, which makes the question whether a tenant has an
 * address as cheap as any other.
 *
 * Sorted arrays double when they are full and leave the old one behind, so
 * that n ranges take less than 4 n places in all, which are set aside at
 * creation: adding a group cannot run out of memory.  (Places that nobody
 * writes to take no physical memory.) */

#include "anycast/anycast-table.h"

#include <stdlib.h>
#include <string.h>

enum {
    MIN_INDEX = 8,
    CACHE_LINE = 64,
    RANGE_PLACES = 4,           /* Per range, see above. */
};

/* Keys are passed around as numbers and not as struct group_key, which is
 * written by bytes and would be read by words: that stalls the CPU. */
static struct table_key
make_key(const struct group_key *key, enum table_kind kind)
{
    return table_key_make(key->vni, inet_addr_from_bytes(key->address), kind,
                          kind == TABLE_ADDRESS ? 0 : key->protocol,
                          kind == TABLE_PORT ? key->port : 0);
}

static bool
is_range(const struct group_key *key)
{
    return key->port_last && key->port_last != key->port;
}

/* The smallest power of two that 'n' entries fill to at most half. */
static size_t
index_size(size_t n)
{
    size_t size = MIN_INDEX;

    while (size < 2 * n) {
        size *= 2;
    }
    return size;
}

/* 'n' elements of 'size' bytes, all zeros, a whole number of cache lines. */
static void *
alloc_lines(size_t n, size_t size)
{
    size_t bytes = (n * size + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE;
    void *memory = aligned_alloc(CACHE_LINE, bytes);

    return memory ? memset(memory, 0, bytes) : NULL;
}

struct anycast_table *
anycast_table_create(const struct hash_key *key, uint64_t revision,
                     size_t n_groups, size_t n_hosts)
{
    struct anycast_table *table = malloc(sizeof *table);
    size_t n_index = index_size(2 * n_groups);
    size_t n_ids = index_size(n_groups);
    size_t n_vteps = index_size(n_hosts);

    if (!table) {
        return NULL;
    }

    /* The constants (from pi) keep a key of zeros from making all hashes 0. */
    *table = (struct anycast_table) {
        .key = *key,
        .salt = {
            key->word[0] ^ UINT64_C(0x243f6a8885a308d3),
            key->word[1] ^ UINT64_C(0x13198a2e03707344),
            (key->word[0] ^ UINT64_C(0xa4093822299f31d0)) | 1,
        },
        .revision = revision,
        .max_groups = n_groups,
        .n_hosts = n_hosts,
        .tunnels = alloc_lines(n_hosts + 1, sizeof *table->tunnels),
        .index_mask = n_index - 1,
        .index = alloc_lines(n_index, sizeof *table->index),
        .ids_mask = n_ids - 1,
        .ids = calloc(n_ids, sizeof *table->ids),
        .hosts_mask = n_vteps - 1,
        .hosts = calloc(n_vteps, sizeof *table->hosts),
        .ranges_pool = malloc((n_groups + 1) * sizeof *table->ranges_pool),
        .range_pool = malloc((n_groups + 1) * RANGE_PLACES
                             * sizeof *table->range_pool),
    };
    if (!table->tunnels || !table->index || !table->ids || !table->hosts
        || !table->ranges_pool || !table->range_pool) {
        anycast_table_destroy(table);
        return NULL;
    }
    return table;
}

void
anycast_table_destroy(struct anycast_table *table)
{
    if (table) {
        free(table->tunnels);
        free(table->index);
        free(table->ids);
        free(table->hosts);
        free(table->ranges_pool);
        free(table->range_pool);
        free(table);
    }
}

/* The number of ranges that begin at or before 'port'.  Binary search by
 * arithmetic: ports come at random, and a CPU would guess every second branch
 * wrong. */
static uint32_t
count_up_to(const struct table_ranges *ranges, uint16_t port)
{
    const struct table_range *range = ranges->range;
    uint32_t base = 0, n = ranges->n;

    if (!n || range->first > port) {
        return 0;
    }
    while (n > 1) {
        /* The last of them is one of the 'n' from 'base' on. */
        uint32_t half = n / 2;

        base += half * (range[base + half].first <= port);
        n -= half;
    }
    return base + 1;
}

/* Makes room for one more range if 'ranges' is full, which it is at each power
 * of two. */
static void
grow(struct anycast_table *table, struct table_ranges *ranges)
{
    uint32_t n = ranges->n;

    if (!(n & (n - 1))) {
        struct table_range *range = &table->range_pool[table->range_used];

        table->range_used += n ? 2 * n : 1;
        assert(table->range_used <= RANGE_PLACES * table->max_groups);
        if (n) {
            memcpy(range, ranges->range, n * sizeof *range);
        }
        ranges->range = range;
    }
}

/* The ranges at 'slot', which become its, and empty, if it has none. */
static struct table_ranges *
get_ranges(struct anycast_table *table, struct table_slot *slot,
           const struct table_key *key)
{
    if (!slot->ranges) {
        slot->key = *key;
        slot->ranges = &table->ranges_pool[table->ranges_used++];
        *slot->ranges = (struct table_ranges) { .n = 0 };
    }
    return slot->ranges;
}

static bool
add_range(struct anycast_table *table, const struct group *group)
{
    struct table_key key = make_key(&group->key, TABLE_RANGES);
    struct table_slot *slot = table_find(table, &key);
    uint16_t first = group->key.port, last = group->key.port_last;
    uint32_t at = 0;

    if (!first || last < first) {
        return false;
    }
    if (slot->ranges) {
        /* The ranges before it end in ascending order, too. */
        const struct table_range *range = slot->ranges->range;

        at = count_up_to(slot->ranges, last);
        if (at && range[at - 1].last >= first) {
            return false;
        }
    }

    struct table_ranges *ranges = get_ranges(table, slot, &key);
    grow(table, ranges);
    memmove(&ranges->range[at + 1], &ranges->range[at],
            (ranges->n - at) * sizeof *ranges->range);
    ranges->range[at] = (struct table_range) { first, last, group };
    ranges->n++;
    table->n_ranges++;
    return true;
}

static bool
add_port(struct anycast_table *table, const struct group *group)
{
    struct table_key key = make_key(&group->key, TABLE_PORT);
    struct table_slot *slot = table_find(table, &key);

    if (slot->group) {
        return false;
    }
    *slot = (struct table_slot) { .key = key, .group = group };
    return true;
}

static void
add_address(struct anycast_table *table, const struct group *group)
{
    struct table_key key = make_key(&group->key, TABLE_ADDRESS);
    struct table_slot *slot = table_find(table, &key);

    if (!slot->group || slot->group->id > group->id) {
        *slot = (struct table_slot) { .key = key, .group = group };
    }
}

/* Where 'id' is or, if it is not there, belongs.  Ids are given out by the
 * mapping service, one after the other, so that they need no secret. */
static struct table_id *
find_id(const struct anycast_table *table, uint32_t id)
{
    uint64_t hash = id * UINT64_C(0x9e3779b97f4a7c15) >> 32;

    for (;; hash++) {
        struct table_id *slot = &table->ids[hash & table->ids_mask];

        if (!slot->group || slot->id == id) {
            return slot;
        }
    }
}

bool
anycast_table_add(struct anycast_table *table, const struct group *group)
{
    struct table_id *id = find_id(table, group->id);

    if (id->group) {
        return false;
    }
    assert(table->n_groups < table->max_groups);
    if (!(is_range(&group->key) ? add_range : add_port)(table, group)) {
        return false;
    }
    add_address(table, group);
    *id = (struct table_id) { group->id, group };
    table->n_groups++;
    return true;
}

/* Where the host with 'vtep' is or, if it is not there, where it belongs. */
static struct table_host *
find_vtep(const struct anycast_table *table, struct inet_addr vtep)
{
    uint64_t hash = flow_hash_mix(vtep.hi ^ table->salt[0],
                                  vtep.lo ^ table->salt[1]);

    for (;; hash++) {
        struct table_host *host = &table->hosts[hash & table->hosts_mask];

        if (!host->host || inet_addr_equal(host->vtep, vtep)) {
            return host;
        }
    }
}

void
anycast_table_set_vtep(struct anycast_table *table, size_t host,
                       struct inet_addr vtep)
{
    assert(host < table->n_hosts);
    *find_vtep(table, vtep) = (struct table_host) {
        .vtep = vtep, .host = host + 1,
    };
}

bool
anycast_table_find_host(const struct anycast_table *table,
                        struct inet_addr vtep, uint32_t *hostp)
{
    const struct table_host *host = find_vtep(table, vtep);

    if (!host->host) {
        return false;
    }
    *hostp = host->host - 1;
    return true;
}

void
anycast_table_set_tunnel(struct anycast_table *table, size_t host,
                         const struct tunnel *tunnel)
{
    assert(host < table->n_hosts);
    table->tunnels[host] = *tunnel;
}

/* The group of 'ranges' for 'port', or NULL. */
static const struct group *
find_range(const struct table_ranges *ranges, uint16_t port)
{
    uint32_t n = count_up_to(ranges, port);

    return (n && ranges->range[n - 1].last >= port
            ? ranges->range[n - 1].group : NULL);
}

const struct group *
anycast_table_lookup_wider(const struct anycast_table *table,
                           struct inet_addr address, uint64_t rest)
{
    uint32_t vni = rest >> 32;
    uint16_t port = rest >> 16;
    uint8_t protocol = rest;
    struct table_key key;

    if (table->n_ranges) {
        key = table_key_make(vni, address, TABLE_RANGES, protocol, 0);

        const struct table_ranges *ranges = table_find(table, &key)->ranges;
        const struct group *group = ranges ? find_range(ranges, port) : NULL;
        if (group) {
            return group;
        }
    }
    key = table_key_make(vni, address, TABLE_PORT, protocol, 0);
    return table_find(table, &key)->group;
}

const struct group *
anycast_table_lookup_address(const struct anycast_table *table, uint32_t vni,
                             struct inet_addr address)
{
    struct table_key key = table_key_make(vni, address, TABLE_ADDRESS, 0, 0);

    return table_find(table, &key)->group;
}

const struct group *
anycast_table_lookup_id(const struct anycast_table *table, uint32_t id)
{
    return find_id(table, id)->group;
}
