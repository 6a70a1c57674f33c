#include "tests/bench/traffic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "encap/csum.h"

enum {
    CLIENTS = 0x0a020000,       /* The first client's address. */
    PORTS   = 1000,             /* Connections of each client. */
    FIRST_PORT = 32768,
    CLIENT_SEQ = 1000,          /* Of the SYN. */
    SERVER_SEQ = 5000,
    HUGE_PAGE  = 2 << 20,
};

#define PREFIX UINT64_C(0x20010db800000000) /* 2001:db8::/64, RFC 3849. */

/* TCP packets as they stand in memory. */
struct frame4 {
    struct eth_hdr eth;
    struct ipv4_hdr ip;
    struct tcp_hdr tcp;
    uint8_t payload[48];
} INET_PACKED;

struct frame6 {
    struct eth_hdr eth;
    struct ipv6_hdr ip;
    struct tcp_hdr tcp;
    uint8_t payload[48];
} INET_PACKED;
static_assert(sizeof(struct frame6) == TRAFFIC_MAX_FRAME, "largest frame");

/* The two ends of a packet, in host byte order. */
struct ends {
    uint32_t src, dst;
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
};

void
traffic_init(struct traffic *traffic)
{
    size_t size = TRAFFIC_RING * TRAFFIC_BUFFER;

    size = (size + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
    traffic->memory = aligned_alloc(HUGE_PAGE, size);
    if (!traffic->memory) {
        fprintf(stderr, "traffic: no memory\n");
        exit(1);
    }
    madvise(traffic->memory, size, MADV_HUGEPAGE);
    memset(traffic->memory, 0, size);
    traffic->random = UINT64_C(0x9e3779b97f4a7c15);
    traffic->ipv6 = false;
    traffic->n_groups = 1;
}

void
traffic_destroy(struct traffic *traffic)
{
    free(traffic->memory);
}

uint32_t
traffic_random(struct traffic *traffic, uint32_t n)
{
    uint64_t x = traffic->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    traffic->random = x;
    return (x >> 32) * n >> 32;
}

uint32_t
traffic_backend(uint32_t backend)
{
    return 0x0a030001 + backend;
}

/* The address that stands for 'ip'. */
static struct inet_addr
make_address(const struct traffic *traffic, uint32_t ip)
{
    return (traffic->ipv6 ? (struct inet_addr) { PREFIX, ip }
            : inet_addr_from4(ip));
}

struct inet_addr
traffic_address(const struct traffic *traffic, uint32_t group)
{
    return make_address(traffic, TRAFFIC_ADDRESS + group);
}

static struct eth_hdr
make_eth(uint16_t type)
{
    return (struct eth_hdr) {
        .dst = { { 0x0a, 0x67, 0x72, 0, 0x13, 0x89 } },
        .src = { { 2, 0, 0, 0, 1, 1 } },
        .type = host_to_be16(type),
    };
}

static struct tcp_hdr
make_tcp(const struct ends *ends, uint8_t tcp_flags)
{
    return (struct tcp_hdr) {
        .src_port = host_to_be16(ends->src_port),
        .dst_port = host_to_be16(ends->dst_port),
        .seq = host_to_be32(ends->seq),
        .ack = host_to_be32(ends->ack),
        .data_ofs = 0x50,
        .flags = tcp_flags,
        .window = host_to_be16(65000),
    };
}

static size_t
write_frame4(uint8_t *start, const struct ends *ends, uint8_t tcp_flags,
             size_t payload)
{
    struct frame4 *frame = (struct frame4 *) start;
    uint16_t l4_len = sizeof frame->tcp + payload;

    *frame = (struct frame4) {
        .eth = make_eth(ETHERTYPE_IPV4),
        .ip = {
            .ver_ihl = 0x45,
            .total_len = host_to_be16(sizeof frame->ip + l4_len),
            .frag = host_to_be16(IPV4_DF),
            .ttl = 64,
            .protocol = IPPROTO_NR_TCP,
            .src = host_to_be32(ends->src),
            .dst = host_to_be32(ends->dst),
        },
        .tcp = make_tcp(ends, tcp_flags),
    };
    frame->ip.csum = ~csum_fold(csum_add(0, &frame->ip, sizeof frame->ip));
    frame->tcp.csum = ~csum_fold(csum_add(csum_pseudo4(&frame->ip, l4_len),
                                          &frame->tcp, l4_len));
    return sizeof frame->eth + sizeof frame->ip + l4_len;
}

static size_t
write_frame6(const struct traffic *traffic, uint8_t *start,
             const struct ends *ends, uint8_t tcp_flags, size_t payload)
{
    struct frame6 *frame = (struct frame6 *) start;
    uint16_t l4_len = sizeof frame->tcp + payload;

    *frame = (struct frame6) {
        .eth = make_eth(ETHERTYPE_IPV6),
        .ip = {
            .ver_tc_flow = host_to_be32(UINT32_C(6) << 28),
            .payload_len = host_to_be16(l4_len),
            .next = IPPROTO_NR_TCP,
            .hop_limit = 64,
        },
        .tcp = make_tcp(ends, tcp_flags),
    };
    inet_addr_to_bytes(make_address(traffic, ends->src), frame->ip.src);
    inet_addr_to_bytes(make_address(traffic, ends->dst), frame->ip.dst);
    frame->tcp.csum = ~csum_fold(csum_add(csum_pseudo6(&frame->ip,
                                                       IPPROTO_NR_TCP, l4_len),
                                          &frame->tcp, l4_len));
    return sizeof frame->eth + sizeof frame->ip + l4_len;
}

static void
write_frame(struct traffic *traffic, size_t i, const struct ends *ends,
            uint8_t tcp_flags, size_t payload)
{
    uint8_t *start = traffic_frame(traffic, i);

    traffic->size[i] = (traffic->ipv6
                        ? write_frame6(traffic, start, ends, tcp_flags,
                                       payload)
                        : write_frame4(start, ends, tcp_flags, payload));
}

void
traffic_write(struct traffic *traffic, size_t i, uint32_t flow,
              uint8_t tcp_flags)
{
    int syn = tcp_flags & TCP_SYN_FLAG;
    struct ends ends = {
        .src = CLIENTS + flow / PORTS,
        .dst = TRAFFIC_ADDRESS + flow % traffic->n_groups,
        .src_port = FIRST_PORT + flow % PORTS,
        .dst_port = TRAFFIC_PORT,
        .seq = CLIENT_SEQ + !syn,
        .ack = syn ? 0 : SERVER_SEQ + 1,
    };

    write_frame(traffic, i, &ends, tcp_flags, syn ? 0 : 10 + flow % 37);
}

void
traffic_write_syn_ack(struct traffic *traffic, size_t i, uint32_t flow,
                      uint32_t backend)
{
    struct ends ends = {
        .src = traffic_backend(backend),
        .dst = CLIENTS + flow / PORTS,
        .src_port = TRAFFIC_PORT,
        .dst_port = FIRST_PORT + flow % PORTS,
        .seq = SERVER_SEQ,
        .ack = CLIENT_SEQ + 1,
    };

    write_frame(traffic, i, &ends, TCP_SYN_FLAG | TCP_ACK_FLAG, 0);
}
