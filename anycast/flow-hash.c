#include "anycast/flow-hash.h"

/* Reads up to 8 bytes as a little-endian number. */
static uint64_t
read_le64(const uint8_t *data, size_t size)
{
    uint64_t word = 0;

    for (size_t i = 0; i < size; i++) {
        word |= (uint64_t) data[i] << (8 * i);
    }
    return word;
}

uint64_t
flow_hash_bytes(const struct hash_key *key, const void *data_, size_t size)
{
    const uint8_t *data = data_;
    uint64_t hash = key->word[0];

    for (size_t ofs = 0; ofs < size; ofs += 8) {
        size_t n = size - ofs < 8 ? size - ofs : 8;

        hash = flow_hash_mix(hash ^ read_le64(data + ofs, n), key->word[1]);
    }
    return flow_hash_mix(hash ^ size, key->word[1]);
}
