/* Frames for tests, written and read byte by byte, and nothing of encap/: what
 * a test compares with must not share the code, or the structs, under test. */

#ifndef TESTS_UNIT_FRAME_H
#define TESTS_UNIT_FRAME_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_MAX      = 2048,
    FRAME_MAX_EXTS = 12,
};

/* A frame to build.  Zero means: the usual value. */
struct frame_spec {
    bool vlan;
    uint16_t ethertype;         /* Of what is inside the tag; 0x0800. */
    uint8_t ihl;                /* In units of 4 bytes; 5. */
    uint8_t tos;
    uint8_t ttl;                /* 64. */
    uint8_t protocol;           /* 6. */
    uint16_t frag;              /* Flags and offset. */
    uint32_t src, dst;          /* 10.1.0.2, 10.1.0.100. */
    uint8_t data_ofs;           /* Of TCP, in units of 4 bytes; 5. */
    uint8_t tcp_flags;          /* If 'set_flags', else pseudorandom. */
    bool set_flags;
    uint8_t l4_type;            /* Of the first SCTP chunk, or of ICMP. */
    const uint8_t *data;        /* Of the payload; pseudorandom. */
    uint16_t payload;           /* Bytes after the transport header. */
    uint16_t padding;           /* Bytes after the IP packet. */

    /* Over IPv6; 'ihl' does not count, 'frag' is what the fragment header
     * says of offset and more. */
    bool ipv6;
    uint8_t exts[FRAME_MAX_EXTS]; /* Types of extension headers. */
    uint8_t n_exts;
    uint32_t id;                /* Of the fragment header. */
    uint8_t src6[16], dst6[16]; /* fd00::2, fd00::64. */
};

/* Writes the frame of 'spec' to 'frame' (FRAME_MAX bytes), with right lengths
 * and checksums and pseudorandom contents.  Returns its size. */
size_t frame_build(const struct frame_spec *spec, uint8_t *frame);

/* Builds an ARP packet; addresses in host byte order.  Returns its size. */
size_t frame_build_arp(uint8_t *frame, bool vlan, uint16_t op,
                       uint32_t spa, uint32_t tpa);

/* Builds a neighbour solicitation from 'src' to 'dst' for 'target', with a
 * source link-layer address option or without.  Returns its size. */
size_t frame_build_solicit(uint8_t *frame, bool vlan, const uint8_t src[16],
                           const uint8_t dst[16], const uint8_t target[16],
                           bool option);

/* Where the IP or ARP header, and the transport header, of a frame are.  That
 * header must follow extension headers that frame_build() knows. */
size_t frame_l3(const uint8_t *frame);
size_t frame_l4(const uint8_t *frame);

/* The frame's protocol: what the last header before the transport says. */
uint8_t frame_protocol(const uint8_t *frame);

/* Writes the right IPv4 header checksum, whatever the header says. */
void frame_fix_ip_csum(uint8_t *frame);

/* The TCP, UDP, ICMP or ICMPv6 checksum that belongs into the frame, with
 * UDP's 0 as 0xffff, and the sum over the pseudo header alone.  Host byte
 * order. */
uint16_t frame_l4_csum(const uint8_t *frame);
uint16_t frame_pseudo_sum(const uint8_t *frame);

/* Where that checksum stands, and writes it there. */
size_t frame_l4_csum_ofs(const uint8_t *frame);
void frame_fix_l4_csum(uint8_t *frame);

/* The one's complement sum of 'size' bytes taken as big-endian 16-bit words,
 * an odd last one padded with 0, in host byte order, not inverted. */
uint16_t frame_sum(const uint8_t *data, size_t size);

uint16_t frame_get16(const uint8_t *p);
uint32_t frame_get32(const uint8_t *p);
void frame_put16(uint8_t *p, uint16_t x);
void frame_put32(uint8_t *p, uint32_t x);

/* A copy of 'size' bytes at the very end of an allocation, 'headroom' bytes
 * behind its start, so that ASan sees each access past either end.  '*base' is
 * to be freed. */
uint8_t *frame_copy_exact(const uint8_t *data, size_t size, size_t headroom,
                          uint8_t **base);

/* Pseudorandom numbers, the same in each run. */
uint32_t frame_random(void);
void frame_random_bytes(uint8_t *data, size_t size);

#endif /* tests/unit/frame.h */
