/* CRC32c (G. Castagnoli, S. Braeuer, M. Herrmann, 1993), the checksum of SCTP
 * (RFC 9260 appendix A). */

#ifndef ENCAP_CRC32C_H
#define ENCAP_CRC32C_H 1

#include <stddef.h>
#include <stdint.h>

/* Adds the 'size' bytes at 'data' to 'crc', which is UINT32_MAX to begin with;
 * the complement of the last result is the CRC.  Thread-safe. */
uint32_t crc32c_add(uint32_t crc, const void *data, size_t size);

/* The CRC of the SCTP packet of 'len' bytes (at least the common header's 12)
 * at 'sctp', whose checksum counts as 0, as the four bytes of that field. */
void crc32c_of_sctp(const uint8_t *sctp, size_t len, uint8_t csum[4]);

#endif /* encap/crc32c.h */
