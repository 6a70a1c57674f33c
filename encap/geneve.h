/* Geneve's fixed header (RFC 8926 section 3.1).
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +---+-----------+-+-+-----------+-------------------------------+
 * |ver|opt length |O|C|  reserved |         protocol type         |
 * +---+-----------+-+-+-----------+-------------------------------+
 * |          virtual network identifier           |    reserved   |
 * +-----------------------------------------------+---------------+ */

#ifndef ENCAP_GENEVE_H
#define ENCAP_GENEVE_H 1

#include "encap/inet.h"

enum { GENEVE_PROTO_ETHERNET = 0x6558 };

struct geneve_hdr {
    uint8_t ver_opt_len;        /* Version 0; options' length / 4. */
    uint8_t flags;
    be16 protocol;
    be32 vni_rsvd;              /* VNI << 8. */
} INET_PACKED;
static_assert(sizeof(struct geneve_hdr) == 8, "wire format");

#endif /* encap/geneve.h */
