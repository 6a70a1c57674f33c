/* Wire formats of the protocols that Grapnel reads and writes, each once.
 *
 * All multi-byte members are in network byte order and of type be16 or be32;
 * the structs are packed and may be overlaid on unaligned memory.  Sources:
 * IEEE 802.3, RFC 826 (ARP), RFC 791 (IPv4), RFC 9293 (TCP), RFC 768 (UDP),
 * RFC 792 and 1191 (ICMP).  Tunnel formats stand in geneve.h and vxlan.h. */

#ifndef ENCAP_INET_H
#define ENCAP_INET_H 1

#include <assert.h>
#include <stdint.h>

typedef uint16_t be16;          /* Network byte order. */
typedef uint32_t be32;          /* Network byte order. */

#define INET_PACKED __attribute__((packed))

/* An Ethernet address, as it stands on the wire. */
struct mac {
    uint8_t octet[6];
};
static_assert(sizeof(struct mac) == 6, "wire format");

enum {
    ETHERTYPE_IPV4 = 0x0800,
    ETHERTYPE_ARP  = 0x0806,
    ETHERTYPE_VLAN = 0x8100,
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

enum {
    IPPROTO_NR_ICMP = 1,
    IPPROTO_NR_TCP  = 6,
    IPPROTO_NR_UDP  = 17,
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

struct icmp_hdr {
    uint8_t type;
    uint8_t code;
    be16 csum;
    be16 unused;
    be16 next_hop_mtu;          /* RFC 1191; 0 in other errors. */
} INET_PACKED;
static_assert(sizeof(struct icmp_hdr) == 8, "wire format");

enum icmp_error {
    ICMP_FRAG_NEEDED   = 0x0304, /* Type in the high byte, code in the low. */
    ICMP_TIME_EXCEEDED = 0x0b00,
};

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

/* Conversions between network and host byte order, in both directions. */
#define be16_to_host(x) inet_swap16(x)
#define host_to_be16(x) inet_swap16(x)
#define be32_to_host(x) inet_swap32(x)
#define host_to_be32(x) inet_swap32(x)

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

#endif /* encap/inet.h */
