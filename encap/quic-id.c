/* QUIC's connection id, from what all its versions have in common (RFC 8999):
 *
 *  long header    1 flags (top bit 1) | 4 version | 1 length | id ...
 *  short header   1 flags (top bit 0) | id ...
 *
 * The length of an id in a short header is known to its endpoint alone: what
 * is asked for need only be in the packet.  The second bit of the flags is 1
 * in version 1 (RFC 9000 section 17), unless both ends agreed to grease it
 * (RFC 9287); packets without it are not taken for QUIC. */

#include "encap/parse.h"

enum {
    LONG_HEADER   = 0x80,
    FIXED_BIT     = 0x40,
    LONG_LEN_OFS  = 5,
    LONG_ID_OFS   = 6,
    SHORT_ID_OFS  = 1,
};

/* Finds the id of the packet of 'size' bytes at 'quic'; stores how many of its
 * bytes there are.  NULL if there is none. */
static const uint8_t *
find_id(const uint8_t *quic, size_t size, size_t *length)
{
    if (size < LONG_ID_OFS || !(quic[0] & FIXED_BIT)) {
        return NULL;
    }
    if (!(quic[0] & LONG_HEADER)) {
        *length = size - SHORT_ID_OFS;
        return quic + SHORT_ID_OFS;
    }
    *length = quic[LONG_LEN_OFS];
    return *length <= size - LONG_ID_OFS ? quic + LONG_ID_OFS : NULL;
}

int
encap_quic_id(const uint8_t *frame, const struct encap_view *view,
              unsigned int offset, unsigned int length, uint64_t *id)
{
    const struct udp_hdr *udp
        = (const struct udp_hdr *) (frame + view->l4_ofs);
    size_t size = view->l3_ofs + view->ip_len - view->l4_ofs;
    size_t id_len;

    if (view->kind != ENCAP_FLOW || view->protocol != IPPROTO_NR_UDP) {
        return 0;
    }
    if (be16_to_host(udp->len) < size) {
        size = be16_to_host(udp->len);
    }
    const uint8_t *bytes = find_id((const uint8_t *) (udp + 1),
                                   size - sizeof *udp, &id_len);
    if (!bytes || offset > id_len || length > id_len - offset) {
        return 0;
    }

    uint64_t number = 0;
    for (unsigned int i = 0; i < length; i++) {
        number = number << 8 | bytes[offset + i];
    }
    *id = number;
    return 1;
}
