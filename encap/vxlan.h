/* VXLAN's header (RFC 7348 section 5).
 *
 *  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +---------------+-----------------------------------------------+
 * |R|R|R|R|I|R|R|R|                    reserved                   |
 * +---------------+-------------------------------+---------------+
 * |           VXLAN network identifier            |    reserved   |
 * +-----------------------------------------------+---------------+ */

#ifndef ENCAP_VXLAN_H
#define ENCAP_VXLAN_H 1

#include "encap/inet.h"

enum { VXLAN_FLAG_VNI = 0x08 };

struct vxlan_hdr {
    uint8_t flags;
    uint8_t reserved[3];
    be32 vni_rsvd;              /* VNI << 8. */
} INET_PACKED;
static_assert(sizeof(struct vxlan_hdr) == 8, "wire format");

#endif /* encap/vxlan.h */
