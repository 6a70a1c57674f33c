/* Reads byte by byte, and without encap/, what provoke_write() writes. */

#ifndef TESTS_UNIT_PROVOKED_H
#define TESTS_UNIT_PROVOKED_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct provoked {
    bool ipv6;
    uint8_t dst_mac[6], src_mac[6];
    uint8_t src[16], dst[16];   /* Of IPv4 the first 4 bytes, then zeros. */
    uint16_t src_port, dst_port;
    uint32_t seq;
};

/* Takes the frame apart.  False if it is no bare ACK of one sequence number
 * with right lengths and checksums, as a router would pass it on, or says
 * anything else than '*p' then does. */
bool provoked_read(const uint8_t *frame, size_t size, struct provoked *p);

#endif /* tests/unit/provoked.h */
