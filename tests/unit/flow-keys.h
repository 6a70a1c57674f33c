/* Flows for the tests of the flow table, each with a number. */

#ifndef TESTS_UNIT_FLOW_KEYS_H
#define TESTS_UNIT_FLOW_KEYS_H 1

#include <stdint.h>

#include "anycast/flow-table.h"

enum { FLOW_KEYS_GROUPS = 5 };

/* Pseudorandom numbers; any '*seed'. */
static inline uint32_t
flow_keys_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407;
    return *seed >> 33;
}

static inline uint64_t
flow_keys_scatter(uint64_t x)
{
    x = (x + 1) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

/* Flow number 'i': of sources and ports that follow each other. */
static inline struct flow_key
flow_keys_make(uint32_t i, bool is6)
{
    return (struct flow_key) {
        .src = (is6 ? (struct inet_addr) { UINT64_C(0x20010db8) << 32, i / 4 }
                : inet_addr_from4(0x0a000000 + i / 4)),
        .src_port = 1000 + i % 4,
        .dst_port = 80,
        .group = 1 + i % FLOW_KEYS_GROUPS,
    };
}

/* The number of such a flow. */
static inline uint32_t
flow_keys_number(const struct flow_key *key)
{
    return (uint32_t) (inet_addr_is4(key->src) ? key->src.lo - 0x0a000000
                       : key->src.lo) * 4 + key->src_port - 1000;
}

/* Its hash, in a world with 'seed'. */
static inline uint64_t
flow_keys_hash(uint32_t i, uint64_t seed)
{
    return flow_keys_scatter(flow_keys_scatter(seed) ^ i);
}

#endif /* tests/unit/flow-keys.h */
