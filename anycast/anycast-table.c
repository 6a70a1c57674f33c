/* One index by open addressing with linear probing, at most half full.  Keys
 * stand in the index itself, so that a lookup reads nothing else.
 *
 * A group is found under its key.  The first group with an address is there
 * once more, under a key without protocol and port, which makes the
 * question whether a tenant has an address as cheap as any other. */

#include "anycast/anycast-table.h"

#include <stdlib.h>
#include <string.h>

enum { MIN_INDEX = 8 };

/* Keys are passed around as numbers and not as struct group_key, which is
 * written by bytes and would be read by words: that stalls the CPU. */
static inline struct table_key
make_key4(uint32_t vni, uint32_t address, uint8_t protocol, uint16_t port)
{
    return (struct table_key) {
        .address = { 0, (uint64_t) 0xffff << 32 | address },
        .rest = (uint64_t) vni << 32 | (uint32_t) port << 16 | protocol,
    };
}

static uint64_t
read_be64(const uint8_t *p)
{
    be32 words[2];

    memcpy(words, p, sizeof words);
    return (uint64_t) be32_to_host(words[0]) << 32 | be32_to_host(words[1]);
}

static struct table_key
make_key(const struct group_key *key)
{
    return (struct table_key) {
        .address = { read_be64(key->address), read_be64(key->address + 8) },
        .rest = ((uint64_t) key->vni << 32 | (uint32_t) key->port << 16
                 | key->protocol),
    };
}

/* 'key' as all groups with its address have it. */
static inline struct table_key
make_address_key(struct table_key key)
{
    key.rest &= ~(uint64_t) UINT32_MAX;
    return key;
}

/* The constants (from pi) keep a key of zeros from making all hashes 0. */
static inline uint64_t
key_hash(const struct anycast_table *table, const struct table_key *key)
{
    uint64_t a = key->address[1] ^ table->key.word[0]
                 ^ UINT64_C(0x243f6a8885a308d3);
    uint64_t b = key->rest ^ table->key.word[1]
                 ^ UINT64_C(0x13198a2e03707344);

    if (key->address[0]) {
        a ^= flow_hash_mix(key->address[0] ^ table->key.word[1],
                           UINT64_C(0xa4093822299f31d0));
    }
    return flow_hash_mix(a, b);
}

struct anycast_table *
anycast_table_create(const struct hash_key *key, uint64_t revision,
             size_t n_groups, size_t n_hosts)
{
    struct anycast_table *table = malloc(sizeof *table);
    size_t n_index = MIN_INDEX;

    if (!table) {
        return NULL;
    }
    while (n_index < 4 * n_groups) {
        n_index *= 2;
    }
    *table = (struct anycast_table) {
        .key = *key,
        .revision = revision,
        .max_groups = n_groups,
        .n_hosts = n_hosts,
        .tunnels = aligned_alloc(_Alignof(struct tunnel),
                                 (n_hosts + 1) * sizeof *table->tunnels),
        .index_mask = n_index - 1,
        .index = calloc(n_index, sizeof *table->index),
    };
    if (!table->tunnels || !table->index) {
        anycast_table_destroy(table);
        return NULL;
    }
    memset(table->tunnels, 0, (n_hosts + 1) * sizeof *table->tunnels);
    return table;
}

void
anycast_table_destroy(struct anycast_table *table)
{
    if (table) {
        free(table->tunnels);
        free(table->index);
        free(table);
    }
}

/* The slot where 'key' is or, if it is not there, the free one where it
 * belongs. */
static inline struct table_slot *
find(const struct anycast_table *table, const struct table_key *key)
{
    for (size_t i = key_hash(table, key); ; i++) {
        struct table_slot *slot = &table->index[i & table->index_mask];

        if (!slot->group || (slot->key.address[1] == key->address[1]
                             && slot->key.rest == key->rest
                             && slot->key.address[0] == key->address[0])) {
            return slot;
        }
    }
}

bool
anycast_table_add(struct anycast_table *table, const struct group *group)
{
    struct table_key key = make_key(&group->key);
    struct table_key address = make_address_key(key);
    struct table_slot *slot = find(table, &key);

    if (slot->group) {
        return false;
    }
    assert(table->n_groups < table->max_groups);
    *slot = (struct table_slot) { .key = key, .group = group };
    slot = find(table, &address);
    if (!slot->group) {
        *slot = (struct table_slot) { .key = address, .group = group };
    }
    table->n_groups++;
    return true;
}

void
anycast_table_set_tunnel(struct anycast_table *table, size_t host,
                 const struct tunnel *tunnel)
{
    assert(host < table->n_hosts);
    table->tunnels[host] = *tunnel;
}

const struct group *
anycast_table_lookup4(const struct anycast_table *table, uint32_t vni,
              uint32_t address, uint8_t protocol, uint16_t port)
{
    struct table_key key = make_key4(vni, address, protocol, port);
    const struct group *group = find(table, &key)->group;

    if (!group) {
        key = make_key4(vni, address, protocol, 0);
        group = find(table, &key)->group;
    }
    return group;
}

bool
anycast_table_has_address4(const struct anycast_table *table, uint32_t vni,
                   uint32_t address)
{
    struct table_key key = make_key4(vni, address, 0, 0);

    return find(table, &key)->group;
}
