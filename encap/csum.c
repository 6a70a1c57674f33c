/* The one's complement sum does not care about byte order (RFC 1071 section
 * 2(B)), nor about the width of the additions as long as carries come back in:
 * words are added as they lie in memory, 8 bytes at a time, into 64 bits. */

#include "encap/csum.h"

#include <string.h>

/* A sum that one more buffer can be added to without overflow. */
static uint32_t
fold_64(uint64_t sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT16_MAX) + (sum >> 16);
    return sum;
}

/* The last 1...7 bytes, as a word padded with zeros. */
static uint64_t
load_tail(const uint8_t *data, size_t size)
{
    uint64_t word = 0;

    memcpy(&word, data, size);
    return (word & UINT32_MAX) + (word >> 32);
}

uint32_t
csum_add(uint32_t sum, const void *data_, size_t size)
{
    const uint8_t *data = data_;
    uint64_t acc = sum;

    for (; size >= 8; data += 8, size -= 8) {
        uint64_t word;

        memcpy(&word, data, sizeof word);
        acc += (word & UINT32_MAX) + (word >> 32);
    }
    if (size) {
        acc += load_tail(data, size);
    }
    return fold_64(acc);
}
