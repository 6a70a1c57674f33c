/* The hint: a switch tells the one that sent it a packet on which endpoint the
 * packet's flow really is.  An Ethernet frame in the same tunnel, from and to
 * the virtual router's address, with the payload
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +---------------+---------------+-------------------------------+
 * |  version 1    |   reserved 0  |           endpoint            |
 * +---------------+---------------+-------------------------------+
 * |                            group id                           |
 * +---------------------------------------------------------------+
 * |                             epoch                             |
 * +---------------------------------------------------------------+
 * |                              VNI                              |
 * +---------------------------------------------------------------+
 * |                                                               |
 * |              source address of the flow (16 bytes)            |
 * |                                                               |
 * |                                                               |
 * +-------------------------------+-------------------------------+
 * |          source port          |       destination port        |
 * +-------------------------------+-------------------------------+
 * |                        tag (8 bytes)                          |
 * |                                                               |
 * +---------------------------------------------------------------+
 *
 * The tag is SipHash-2-4 (J.-P. Aumasson, D. J. Bernstein, 2012) over all
 * before it, under a key derived from the deployment's hash key: a stranger on
 * the underlay, or a tenant, cannot make one.  Ports are those of the flow's
 * key (0 with source affinity). */

#ifndef ENCAP_HINT_H
#define ENCAP_HINT_H 1

#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

enum {
    ETHERTYPE_HINT = 0x88b5,    /* IEEE 802 local experimental. */
    HINT_VERSION   = 1,
    HINT_FRAME_LEN = 60,        /* With Ethernet header, no FCS. */
};

struct hint_payload {
    uint8_t version;
    uint8_t reserved;
    be16 endpoint;
    be32 group;
    be32 epoch;
    be32 vni;
    uint8_t src[16];
    be16 src_port;
    be16 dst_port;
    uint8_t tag[8];
} INET_PACKED;
static_assert(sizeof(struct hint_payload) == 44, "wire format");

/* In host byte order. */
struct hint {
    uint32_t group, epoch, vni;
    struct inet_addr src;
    uint16_t src_port, dst_port;
    uint16_t endpoint;
};

/* Writes the whole frame of HINT_FRAME_LEN bytes, between the two MACs, signed
 * with 'key' (the two words of the deployment's hash key). */
void hint_write(uint8_t frame[HINT_FRAME_LEN], const struct hint *hint,
                const struct mac *dst, const struct mac *src,
                const uint64_t key[2]);

/* Reads the payload at 'payload', of 'size' bytes.  Returns 0; EPROTO if it is
 * malformed, ENOTSUP if its version is newer, EACCES if the tag is wrong.
 * '*hint' is written only on success.  Constant time in the tag. */
int hint_read(const uint8_t *payload, size_t size, const uint64_t key[2],
              struct hint *hint);

/* SipHash-2-4 of 'size' bytes at 'data', as a number (its bytes on the wire
 * are little-endian). */
uint64_t hint_siphash(const uint64_t key[2], const void *data, size_t size);

#endif /* encap/hint.h */
