/* Wire formats of the protocols that Grapnel reads and writes, each once.
 *
 * All multi-byte members are in network byte order and of type be16 or be32;
 * the structs are packed and may be overlaid on unaligned memory.  Sources:
 * IEEE 802.3, RFC 826 (ARP), RFC 791 (IPv4), RFC 8200 (IPv6), RFC 9293 (TCP),
 * RFC 768 (UDP), RFC 9260 (SCTP), RFC 792 and 1191 (ICMP), RFC 4443 (ICMPv6),
 * RFC 4861 (ND).  Tunnel formats stand in geneve.h and vxlan.h, the formats of
 * Grapnel's own in context.h and hint.h. */

#ifndef ENCAP_INET_H
#define ENCAP_INET_H 1

#include <assert.h>
#include <stdint.h>

typedef uint16_t be16;          /* Network byte order. */
typedef uint32_t be32;          /* Network byte order. */
typedef uint64_t be64;          /* Network byte order. */

#define INET_PACKED __attribute__((packed))

/* An Ethernet address, as it stands on the wire. */
struct mac {
    uint8_t octet[6];
};
static_assert(sizeof(struct mac) == 6, "wire format");

/* An IPv6 address, or an IPv4 address mapped into one (RFC 4291 section
 * 2.5.5.2), as two numbers in host byte order. */
struct inet_addr {
    uint64_t hi, lo;
};

enum {
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP  = 0x0806,
    ETHERTYPE_VLAN = 0x8100,
    ETHERTYPE_IPV6 = 0x86dd,
};

struct eth_hdr {
    struct mac dst;
    struct mac src;
    be16 type;
} INET_PACKED;
static_assert(sizeof(struct eth_hdr) == 14, "wire format");

/*  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-------+-------+---------------+-------------------------------+
 * |version|  ihl  |      tos      |           total length        |
 * +-------+-------+---------------+-----+-------------------------+
 * |         identification        |flags|     fragment offset     |
 * +---------------+---------------+-----+-------------------------+
 * |      ttl      |    protocol   |        header checksum        |
 * +---------------+---------------+-------------------------------+
 * |                        source address                         |
 * +---------------------------------------------------------------+
 * |                     destination address                       |
 * +---------------------------------------------------------------+ */
struct ipv4_hdr {
    uint8_t ver_ihl;
    uint8_t tos;
    be16 total_len;
    be16 id;
    be16 frag;
    uint8_t ttl;
    uint8_t protocol;
    be16 csum;
    be32 src;
    be32 dst;
} INET_PACKED;
static_assert(sizeof(struct ipv4_hdr) == 20, "wire format");

enum {
    IPV4_DF       = 0x4000,     /* In host byte order, of 'frag'. */
    IPV4_MF       = 0x2000,
    IPV4_OFS_MASK = 0x1fff,
};

/*  0                   1                   2                   3
 *  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
 * +-------+---------------+---------------------------------------+
 * |version| traffic class |              flow label               |
 * +-------+-------+-------+-------+---------------+---------------+
 * |        payload length         |  next header  |   hop limit   |
 * +-------------------------------+---------------+---------------+
 * |                  source address (16 bytes)                    |
 * +---------------------------------------------------------------+
 * |                destination address (16 bytes)                 |
 * +---------------------------------------------------------------+ */
struct ipv6_hdr {
    be32 ver_tc_flow;
    be16 payload_len;
    uint8_t next;
    uint8_t hop_limit;
    uint8_t src[16];
    uint8_t dst[16];
} INET_PACKED;
static_assert(sizeof(struct ipv6_hdr) == 40, "wire format");

/* How hop-by-hop and destination options and the routing header begin. */
struct ipv6_ext {
    uint8_t next;
    uint8_t len;                /* In units of 8 bytes, without the first. */
    uint8_t type;               /* Of the routing header, ... */
    uint8_t segments_left;      /* ... as is this. */
    uint8_t rest[4];
} INET_PACKED;
static_assert(sizeof(struct ipv6_ext) == 8, "wire format");

struct ipv6_fragment {
    uint8_t next;
    uint8_t reserved;
    be16 ofs_more;              /* In bytes, of which the lowest 3 bits are
                                 * 0 in an offset: IPV6_FRAG_MORE is there. */
    be32 id;
} INET_PACKED;
static_assert(sizeof(struct ipv6_fragment) == 8, "wire format");

enum {
    IPV6_FRAG_MORE = 0x0001,    /* In host byte order, of 'ofs_more'. */
    IPV6_FRAG_OFS  = 0xfff8,
};

enum {
    IPPROTO_NR_HOPOPTS  = 0,    /* IPv6 extension headers. */
    IPPROTO_NR_ICMP     = 1,
    IPPROTO_NR_TCP      = 6,
    IPPROTO_NR_UDP      = 17,
    IPPROTO_NR_ROUTING  = 43,
    IPPROTO_NR_FRAGMENT = 44,
    IPPROTO_NR_AH       = 51,
    IPPROTO_NR_ICMPV6   = 58,
    IPPROTO_NR_DSTOPTS  = 60,
    IPPROTO_NR_SCTP     = 132,
    IPPROTO_NR_MOBILITY = 135,
    IPPROTO_NR_HIP      = 139,
    IPPROTO_NR_SHIM6    = 140,
};

struct tcp_hdr {
    be16 src_port;
    be16 dst_port;
    be32 seq;
    be32 ack;
    uint8_t data_ofs;           /* Upper 4 bits: header length / 4. */
    uint8_t flags;
    be16 window;
    be16 csum;
    be16 urgent;
} INET_PACKED;
static_assert(sizeof(struct tcp_hdr) == 20, "wire format");

enum {
    TCP_FIN_FLAG = 0x01,
    TCP_SYN_FLAG = 0x02,
    TCP_RST_FLAG = 0x04,
    TCP_ACK_FLAG = 0x10,
};

struct udp_hdr {
    be16 src_port;
    be16 dst_port;
    be16 len;
    be16 csum;
} INET_PACKED;
static_assert(sizeof(struct udp_hdr) == 8, "wire format");

/* The common header, and its first chunk's type. */
struct sctp_hdr {
    be16 src_port;
    be16 dst_port;
    be32 tag;
    be32 csum;                  /* CRC32c, least significant byte first. */
    uint8_t chunk_type;         /* enum sctp_chunk. */
    uint8_t chunk_flags;
    be16 chunk_len;             /* Chunk header included. */
} INET_PACKED;
static_assert(sizeof(struct sctp_hdr) == 16, "wire format");

enum sctp_chunk {               /* RFC 9260 section 3.2. */
    SCTP_INIT              = 1,
    SCTP_INIT_ACK          = 2,
    SCTP_ABORT             = 6,
    SCTP_SHUTDOWN          = 7,
    SCTP_SHUTDOWN_ACK      = 8,
    SCTP_COOKIE_ECHO       = 10,
    SCTP_COOKIE_ACK        = 11,
    SCTP_SHUTDOWN_COMPLETE = 14,
};

/* Of ABORT and SHUTDOWN COMPLETE, the T bit: the tag is the one that their
 * receiver sends, not the one that it expects. */
enum { SCTP_TAG_REFLECTED = 0x01 };

/* ICMP and ICMPv6.  'word' is next_hop_mtu's place (RFC 1191) in its lower
 * half, the MTU (ICMPv6 packet too big), or identifier and sequence number. */
struct icmp_hdr {
    uint8_t type;
    uint8_t code;
    be16 csum;
    be32 word;
} INET_PACKED;
static_assert(sizeof(struct icmp_hdr) == 8, "wire format");

enum {
    ICMP_ECHO_REPLY    = 0,
    ICMP_UNREACHABLE   = 3,
    ICMP_ECHO_REQUEST  = 8,
    ICMP_TIME_EXCEEDED = 11,
    ICMP_PARAMETER     = 12,
    ICMP_HOST_UNREACHABLE = 1,  /* Codes of ICMP_UNREACHABLE. */
    ICMP_FRAG_NEEDED   = 4,
};

enum {
    ICMPV6_UNREACHABLE   = 1,
    ICMPV6_TOO_BIG       = 2,
    ICMPV6_TIME_EXCEEDED = 3,
    ICMPV6_PARAMETER     = 4,
    ICMPV6_ECHO_REQUEST  = 128,
    ICMPV6_ECHO_REPLY    = 129,
    ICMPV6_ROUTER_SOLICIT = 133, /* The first type of ND, ... */
    ICMPV6_SOLICIT       = 135,
    ICMPV6_ADVERTISE     = 136,
    ICMPV6_REDIRECT      = 137, /* ... and the last one. */
    ICMPV6_ADDRESS_UNREACHABLE = 3, /* Code of ICMPV6_UNREACHABLE. */
};

/* Neighbour solicitation and advertisement (RFC 4861 sections 4.3 and 4.4), of
 * which options may follow. */
struct nd_hdr {
    uint8_t type;
    uint8_t code;
    be16 csum;
    be32 flags;                 /* ND_SOLICITED...; 0 in a solicitation. */
    uint8_t target[16];
} INET_PACKED;
static_assert(sizeof(struct nd_hdr) == 24, "wire format");

enum {
    ND_SOLICITED   = 0x40000000, /* In host byte order. */
    ND_OVERRIDE    = 0x20000000,
    ND_HOP_LIMIT   = 255,
    ND_OPT_SOURCE  = 1,         /* Link-layer address options. */
    ND_OPT_TARGET  = 2,
};

struct nd_link_option {
    uint8_t type;
    uint8_t len;                /* In units of 8 bytes: 1. */
    struct mac mac;
} INET_PACKED;
static_assert(sizeof(struct nd_link_option) == 8, "wire format");

struct arp_hdr {
    be16 hw_type;               /* 1: Ethernet. */
    be16 proto_type;            /* ETHERTYPE_IPV4. */
    uint8_t hw_len;             /* 6. */
    uint8_t proto_len;          /* 4. */
    be16 op;                    /* 1: request, 2: reply. */
    struct mac sha;
    be32 spa;
    struct mac tha;
    be32 tpa;
} INET_PACKED;
static_assert(sizeof(struct arp_hdr) == 28, "wire format");

static inline uint16_t
inet_swap16(uint16_t x)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_bswap16(x);
#else
    return x;
#endif
}

static inline uint32_t
inet_swap32(uint32_t x)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_bswap32(x);
#else
    return x;
#endif
}

static inline uint64_t
inet_swap64(uint64_t x)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return __builtin_bswap64(x);
#else
    return x;
#endif
}

/* Conversions between network and host byte order, in both directions. */
#define be16_to_host(x) inet_swap16(x)
#define host_to_be16(x) inet_swap16(x)
#define be32_to_host(x) inet_swap32(x)
#define host_to_be32(x) inet_swap32(x)
#define be64_to_host(x) inet_swap64(x)
#define host_to_be64(x) inet_swap64(x)

/* True if 'mac' names more than one station (broadcast included). */
static inline int
inet_is_multicast_mac(const struct mac *mac)
{
    return mac->octet[0] & 1;
}

/* True if the host-byte-order IPv4 address 'ip' can be a host's own: not in
 * 0/8, 127/8, nor multicast, reserved or broadcast (224/3). */
static inline int
inet_is_unicast4(uint32_t ip)
{
    uint8_t top = ip >> 24;

    return top != 0 && top != 127 && top < 224;
}

static inline struct inet_addr
inet_addr_from4(uint32_t ip)
{
    return (struct inet_addr) { 0, UINT64_C(0xffff) << 32 | ip };
}

static inline int
inet_addr_is4(struct inet_addr a)
{
    return !a.hi && a.lo >> 32 == 0xffff;
}

/* Of an address that is IPv4, in host byte order. */
static inline uint32_t
inet_addr_to4(struct inet_addr a)
{
    return a.lo;
}

static inline int
inet_addr_equal(struct inet_addr a, struct inet_addr b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

/* Conversions from and to the 16 bytes of the wire, IPv4 mapped. */
static inline struct inet_addr
inet_addr_from_bytes(const uint8_t bytes[16])
{
    be64 w[2];

    __builtin_memcpy(w, bytes, sizeof w);
    return (struct inet_addr) { be64_to_host(w[0]), be64_to_host(w[1]) };
}

static inline void
inet_addr_to_bytes(struct inet_addr a, uint8_t bytes[16])
{
    be64 w[2] = { host_to_be64(a.hi), host_to_be64(a.lo) };

    __builtin_memcpy(bytes, w, sizeof w);
}

/* True if 'a' can be a host's own address: for IPv4 as above; IPv6 neither
 * unspecified, loopback, multicast nor IPv4-mapped.  Link-local ones are. */
static inline int
inet_addr_is_unicast(struct inet_addr a)
{
    return (inet_addr_is4(a) ? inet_is_unicast4(inet_addr_to4(a))
            : a.hi >> 56 != 0xff && (a.hi || a.lo > 1));
}

#endif /* encap/inet.h */
