/* encap_parse_common(): the frame that a busy switch sees nearly always, in as
 * few instructions as we can.  Included by encap/parse.h.
 *
 * Header words are read as they lie in memory, several fields in one load, and
 * tested there; a field is brought into host byte order only if the view has
 * it.  Offsets are fixed, since the common frame has no tag and no options. */

#ifndef ENCAP_PARSE_COMMON_H
#define ENCAP_PARSE_COMMON_H 1

#ifndef ENCAP_PARSE_H
#error "include encap/parse.h"
#endif

#define ENCAP_LIKELY(X)   __builtin_expect(!!(X), 1)
#define ENCAP_UNLIKELY(X) __builtin_expect(!!(X), 0)

/* What TCP's flags (the lower five bits) say in terms of ENCAP_OPENS... */
extern const uint8_t encap_tcp_life[32];

static inline uint64_t
encap_load64(const uint8_t *p)
{
    uint64_t word;

    __builtin_memcpy(&word, p, sizeof word);
    return word;
}

static inline uint32_t
encap_load32(const uint8_t *p)
{
    uint32_t word;

    __builtin_memcpy(&word, p, sizeof word);
    return word;
}

static inline be16
encap_load16(const uint8_t *p)
{
    be16 word;

    __builtin_memcpy(&word, p, sizeof word);
    return word;
}

/* Constants as they lie in memory: the bytes of a word in the order in which
 * they come. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ENCAP_BYTES4(A, B, C, D) \
    ((uint32_t) (A) | (uint32_t) (B) << 8 | (uint32_t) (C) << 16 \
     | (uint32_t) (D) << 24)
#define ENCAP_BYTE_OF(WORD, I) ((uint8_t) ((WORD) >> (I) * 8))
#define ENCAP_FIRST(WORD64)  ((uint32_t) (WORD64))
#define ENCAP_SECOND(WORD64) ((uint32_t) ((WORD64) >> 32))
#else
#define ENCAP_BYTES4(A, B, C, D) \
    ((uint32_t) (A) << 24 | (uint32_t) (B) << 16 | (uint32_t) (C) << 8 \
     | (uint32_t) (D))
#define ENCAP_BYTE_OF(WORD, I) \
    ((uint8_t) ((WORD) >> (sizeof (WORD) - 1 - (I)) * 8))
#define ENCAP_FIRST(WORD64)  ((uint32_t) ((WORD64) >> 32))
#define ENCAP_SECOND(WORD64) ((uint32_t) (WORD64))
#endif

/* Offsets in the common frame. */
enum {
    ENCAP_COMMON_L3   = 14,
    ENCAP_COMMON_L4   = 34,
    ENCAP_COMMON_SIZE = 48,     /* Up to TCP's flags; a UDP packet that is
                                 * shorter takes the long way. */
};

/* What encap_read_common() has read: few enough to stay in registers. */
struct encap_common {
    uint64_t addresses;         /* As they lie in memory, as do ... */
    uint32_t ports;             /* ... these. */
    uint16_t ip_len;
    uint8_t ttl;
    uint8_t protocol;           /* TCP or UDP. */
    uint8_t flags;              /* TCP's; UDP: 0. */
};

/* The one's complement sum of two words, in that arithmetic.  Any width of
 * word will do for a checksum (RFC 1071): sums of 64-bit words are the same
 * modulo 65535. */
static inline uint64_t
encap_add(uint64_t a, uint64_t b)
{
    uint64_t sum = a + b;

    return sum + (sum < a);
}

/* True if the sum of an IPv4 header is right: 0, so a multiple of 65535.  (The
 * sum cannot be 0 itself, the version is not.) */
static inline int
encap_common_csum_ok(uint32_t first, uint64_t middle, uint64_t addresses)
{
    return encap_add(encap_add(addresses, middle), first) % UINT16_MAX == 0;
}

/* Checks what TCP and UDP differ in, in an IP packet of 'ip_len' bytes, of
 * whose payload the first 14 may be read.  Returns TCP's flags, 0 for UDP, or
 * -1 if something is wrong. */
static inline int
encap_common_l4(const uint8_t *l4, uint8_t protocol, uint32_t ip_len)
{
    if (ENCAP_LIKELY(protocol == IPPROTO_NR_TCP)) {
        uint32_t len = (l4[12] >> 2) & 0x3c;

        return (ENCAP_UNLIKELY(len < sizeof(struct tcp_hdr))
                || ENCAP_UNLIKELY(len + sizeof(struct ipv4_hdr) > ip_len)
                ? -1 : l4[13]);
    }
    if (ENCAP_LIKELY(protocol == IPPROTO_NR_UDP)) {
        uint32_t len = be16_to_host(encap_load16(l4 + 4));

        return (ENCAP_UNLIKELY(len < sizeof(struct udp_hdr))
                || ENCAP_UNLIKELY(len + sizeof(struct ipv4_hdr) > ip_len)
                ? -1 : 0);
    }
    return -1;
}

/* All of encap_parse_common() but the view, and the check that the source
 * address is a single host's. */
static inline int
encap_read_common(const uint8_t *frame, size_t size, struct encap_common *c)
{
    if (ENCAP_UNLIKELY(size < ENCAP_COMMON_SIZE)) {
        return 0;
    }

    uint32_t type_tos = encap_load32(frame + 12);
    uint32_t first = encap_load32(frame + 14);
    uint64_t middle = encap_load64(frame + 18);
    uint64_t addresses = encap_load64(frame + 26);
    if (ENCAP_UNLIKELY((frame[0] | frame[6]) & 1)
        || ENCAP_UNLIKELY((type_tos & ENCAP_BYTES4(0xff, 0xff, 0xff, 0))
                          != ENCAP_BYTES4(0x08, 0x00, 0x45, 0))
        || ENCAP_UNLIKELY(ENCAP_FIRST(middle)
                          & ENCAP_BYTES4(0, 0, 0x3f, 0xff))
        || ENCAP_UNLIKELY(!encap_common_csum_ok(first, middle, addresses))) {
        return 0;
    }

    uint32_t ip_len = be16_to_host(encap_load16(frame + 16));
    uint8_t protocol = ENCAP_BYTE_OF(middle, 5);
    int flags = encap_common_l4(frame + ENCAP_COMMON_L4, protocol, ip_len);
    if (ENCAP_UNLIKELY(ip_len > size - ENCAP_COMMON_L3)
        || ENCAP_UNLIKELY(flags < 0)) {
        return 0;
    }
    *c = (struct encap_common) {
        .addresses = addresses,
        .ports = encap_load32(frame + ENCAP_COMMON_L4),
        .ip_len = ip_len,
        .ttl = ENCAP_BYTE_OF(middle, 4),
        .protocol = protocol,
        .flags = flags,
    };
    return 1;
}

static inline int
encap_parse_common(const uint8_t *frame, size_t size, struct encap_view *view)
{
    struct encap_common c;

    if (ENCAP_UNLIKELY(!encap_read_common(frame, size, &c))) {
        return 0;
    }

    uint32_t ports = be32_to_host(c.ports);
    uint32_t src = be32_to_host(ENCAP_FIRST(c.addresses));
    view->kind = ENCAP_FLOW;
    view->version = 4;
    view->ttl = c.ttl;
    view->protocol = c.protocol;
    view->tos = frame[15];
    view->life = encap_tcp_life[c.flags & 0x1f];
    view->first_fragment = 0;
    view->pad = 0;
    view->l3_ofs = ENCAP_COMMON_L3;
    view->l4_ofs = ENCAP_COMMON_L4;
    view->ip_len = c.ip_len;
    view->src_port = ports >> 16;
    view->dst_port = ports;
    view->fragment_id = 0;
    view->src = inet_addr_from4(src);
    view->dst = inet_addr_from4(be32_to_host(ENCAP_SECOND(c.addresses)));
    return inet_is_unicast4(src);
}

#endif /* encap/parse-common.h */
