/* The flow hash.  It is part of the interface between hosts: all of them must
 * pick the same slot for a flow, whatever their CPU and compiler, so it is
 * fixed here, with test vectors in tests/unit/test-flow-hash.c.
 *
 * mix(a, b) is the 128-bit product of 'a' and 'b', its halves XORed (folded
 * multiplication, as in wyhash).  With the deployment's 128-bit key k0, k1:
 *
 *   - The seed of a group is flow_hash_bytes() over 24 bytes: its address
 *     (16), VNI (4, network byte order), port (2, likewise), protocol (1), 0.
 *   - The hash of a flow is mix(mix(w ^ seed, k0), k1 ^ seed), with
 *     w = source address << 32 | source port << 16 | destination port, and
 *     both ports 0 in a group with source affinity.
 *   - Over IPv6, with the halves hi and lo of the source address, it is
 *     mix(mix(p ^ s, k0), k1 ^ s) with p = source port << 16 | destination
 *     port and s = mix(mix(hi ^ seed, k0) ^ lo, k1 ^ seed).
 *   - Its slot is the topmost bits of the hash.  Ports: those of the flow key;
 *     an ICMP echo has its identifier and 0.
 *
 * The key is secret, so that a tenant cannot aim flows at one slot or one
 * bucket.  The construction is no MAC. */

#ifndef ANYCAST_FLOW_HASH_H
#define ANYCAST_FLOW_HASH_H 1

#include <stddef.h>
#include <stdint.h>

/* 128 random bits, the same on every host of a deployment.  (A word of 0 would
 * multiply everything by 0 and put all flows on one slot.) */
struct hash_key {
    uint64_t word[2];
};

static inline uint64_t
flow_hash_mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128) a * b;

    return (uint64_t) product ^ (uint64_t) (product >> 64);
}

/* The keyed hash of 'size' bytes at 'data': from h = k0, each word w turns h
 * into mix(h ^ w, k1).  The words are the data, 8 bytes at a time, read as
 * little-endian, the last one padded with zeros; and then 'size'. */
uint64_t flow_hash_bytes(const struct hash_key *key, const void *data,
                         size_t size);

/* The hash of a flow over IPv4, its word as above, in a group with 'seed'. */
static inline uint64_t
flow_hash4(const struct hash_key *key, uint64_t seed, uint64_t word)
{
    return flow_hash_mix(flow_hash_mix(word ^ seed, key->word[0]),
                         key->word[1] ^ seed);
}

/* The same over IPv6, 'ports' as above. */
static inline uint64_t
flow_hash6(const struct hash_key *key, uint64_t seed, uint64_t src_hi,
           uint64_t src_lo, uint32_t ports)
{
    uint64_t s = flow_hash_mix(flow_hash_mix(src_hi ^ seed, key->word[0])
                               ^ src_lo, key->word[1] ^ seed);

    return flow_hash4(key, s, ports);
}

#endif /* anycast/flow-hash.h */
