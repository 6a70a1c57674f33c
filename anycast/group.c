#include "anycast/group.h"

#include <stdlib.h>
#include <string.h>

#include "encap/tunnel.h"

static_assert(sizeof(struct group_key) == 24, "no hidden padding");

enum { GROUP_ALIGNMENT = 64 };  /* struct group fills one cache line. */
static_assert(sizeof(struct group) <= GROUP_ALIGNMENT, "one cache line");

void
group_key_init4(struct group_key *key, uint32_t vni, uint32_t address,
                uint8_t protocol, uint16_t port)
{
    be32 address_be = host_to_be32(address);

    memset(key, 0, sizeof *key);
    key->address[10] = 0xff;
    key->address[11] = 0xff;
    memcpy(&key->address[12], &address_be, sizeof address_be);
    key->vni = vni;
    key->port = port;
    key->protocol = protocol;
}

/* 'key' in a form that is the same on all CPUs: see anycast/flow-hash.h. */
static uint64_t
group_key_seed(const struct group_key *key, const struct hash_key *hash_key)
{
    be32 vni = host_to_be32(key->vni);
    be16 port = host_to_be16(key->port);
    uint8_t bytes[24] = { 0 };

    memcpy(bytes, key->address, sizeof key->address);
    memcpy(bytes + 16, &vni, sizeof vni);
    memcpy(bytes + 20, &port, sizeof port);
    bytes[22] = key->protocol;
    return flow_hash_bytes(hash_key, bytes, sizeof bytes);
}

static bool
group_endpoints_are_valid(const struct group_spec *spec)
{
    if (spec->n_endpoints > GROUP_MAX_ENDPOINTS) {
        return false;
    }
    for (size_t i = 0; i < spec->n_endpoints; i++) {
        if (spec->endpoints[i].state > ENDPOINT_DOWN) {
            return false;
        }
    }
    return true;
}

static bool
group_slots_are_valid(const struct group_spec *spec)
{
    if (spec->n_slots < GROUP_MIN_SLOTS || spec->n_slots > GROUP_MAX_SLOTS
        || spec->n_slots & (spec->n_slots - 1)) {
        return false;
    }
    for (size_t i = 0; i < spec->n_slots; i++) {
        uint16_t owner = spec->slots[i];

        if (owner != GROUP_NO_ENDPOINT
            && (owner >= spec->n_endpoints
                || spec->endpoints[owner].state == ENDPOINT_ABSENT)) {
            return false;
        }
    }
    return true;
}

static bool
group_spec_is_valid(const struct group_spec *spec)
{
    return (spec->id >= 1 && spec->id <= GROUP_MAX_ID
            && spec->key.vni >= 1 && spec->key.vni <= VNI_MAX
            && spec->key.protocol && !spec->key.pad
            && (spec->affinity == AFFINITY_FLOW
                || spec->affinity == AFFINITY_SOURCE)
            && group_endpoints_are_valid(spec)
            && group_slots_are_valid(spec));
}

static size_t
round_up(size_t size, size_t unit)
{
    return (size + unit - 1) / unit * unit;
}

/* The group, its slots and its endpoints, in this order. */
struct group *
group_create(const struct group_spec *spec, const struct hash_key *key)
{
    if (!group_spec_is_valid(spec)) {
        return NULL;
    }

    size_t slots_ofs = GROUP_ALIGNMENT;
    size_t slots_size = spec->n_slots * sizeof *spec->slots;
    size_t endpoints_ofs = round_up(slots_ofs + slots_size, GROUP_ALIGNMENT);
    size_t endpoints_size = spec->n_endpoints * sizeof *spec->endpoints;
    size_t size = round_up(endpoints_ofs + endpoints_size, GROUP_ALIGNMENT);
    struct group *group = aligned_alloc(GROUP_ALIGNMENT, size);

    if (!group) {
        return NULL;
    }
    *group = (struct group) {
        .key = spec->key,
        .seed = group_key_seed(&spec->key, key),
        .id = spec->id,
        .epoch = spec->epoch,
        .affinity = spec->affinity,
        .slot_bits = __builtin_ctzl(spec->n_slots),
        .n_endpoints = spec->n_endpoints,
        .slots = (void *) ((char *) group + slots_ofs),
        .endpoints = (void *) ((char *) group + endpoints_ofs),
    };
    memcpy(group->slots, spec->slots, slots_size);
    if (endpoints_size) {
        memcpy(group->endpoints, spec->endpoints, endpoints_size);
    }
    return group;
}

void
group_destroy(struct group *group)
{
    free(group);
}
