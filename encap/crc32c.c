/* A table of what each byte leaves (D. Sarwate, 1988).  The code is linear: the
 * entry of a byte is the sum of those of its bits, and the compiler adds them
 * up. */

#include "encap/crc32c.h"

#include "encap/inet.h"

/* The entry of byte I: the polynomial, bits reversed, is what bit 7 leaves;
 * each lower bit is shifted once more. */
#define ENTRY(I)                                                \
    (((I) & 0x80 ? UINT32_C(0x82f63b78) : 0)                    \
     ^ ((I) & 0x40 ? UINT32_C(0x417b1dbc) : 0)                  \
     ^ ((I) & 0x20 ? UINT32_C(0x20bd8ede) : 0)                  \
     ^ ((I) & 0x10 ? UINT32_C(0x105ec76f) : 0)                  \
     ^ ((I) & 0x08 ? UINT32_C(0x8ad958cf) : 0)                  \
     ^ ((I) & 0x04 ? UINT32_C(0xc79a971f) : 0)                  \
     ^ ((I) & 0x02 ? UINT32_C(0xe13b70f7) : 0)                  \
     ^ ((I) & 0x01 ? UINT32_C(0xf26b8303) : 0))
#define ENTRIES_4(I) ENTRY(I), ENTRY(I + 1), ENTRY(I + 2), ENTRY(I + 3)
#define ENTRIES_16(I)                                                   \
    ENTRIES_4(I), ENTRIES_4(I + 4), ENTRIES_4(I + 8), ENTRIES_4(I + 12)
#define ENTRIES_64(I)                                                       \
    ENTRIES_16(I), ENTRIES_16(I + 16), ENTRIES_16(I + 32), ENTRIES_16(I + 48)

static const uint32_t entries[256] = {
    ENTRIES_64(0), ENTRIES_64(64), ENTRIES_64(128), ENTRIES_64(192),
};

uint32_t
crc32c_add(uint32_t crc, const void *data_, size_t size)
{
    const uint8_t *data = data_;

    for (size_t i = 0; i < size; i++) {
        crc = crc >> 8 ^ entries[(crc ^ data[i]) & 0xff];
    }
    return crc;
}

void
crc32c_of_sctp(const uint8_t *sctp, size_t len, uint8_t csum[4])
{
    static const uint8_t zeros[4];
    const size_t ofs = offsetof(struct sctp_hdr, csum);
    uint32_t crc = crc32c_add(UINT32_MAX, sctp, ofs);

    crc = crc32c_add(crc, zeros, sizeof zeros);
    crc = ~crc32c_add(crc, sctp + ofs + sizeof zeros,
                      len - ofs - sizeof zeros);
    for (int i = 0; i < 4; i++) {
        csum[i] = crc >> 8 * i; /* Least significant byte first. */
    }
}
