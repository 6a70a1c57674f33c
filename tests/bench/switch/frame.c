#include <config.h>

#include "tests/bench/switch/frame.h"

#include <string.h>

#include "csum.h"
#include "packets.h"
#include "unaligned.h"
#include "util.h"

enum {
    PORTS         = 1000,       /* Connections of each client. */
    POPULATION    = 4096,       /* Clients, at most. */
    FIRST_PORT    = 32768,
    CLIENT_SEQ    = 1000,       /* Of the SYN. */
    SERVER_SEQ    = 5000,
    WINDOW        = 65000,
    PAYLOAD       = 10,
    TTL           = 64,
    DONT_FRAGMENT = 0x4000,
    GENEVE_PORT   = 6081,
};

/* Has no holes: all members have an even size. */
struct frame {
    struct eth_header eth;
    struct ip_header ip;
    struct tcp_header tcp;
    uint8_t payload[PAYLOAD];
};
BUILD_ASSERT_DECL(sizeof(struct frame) == FRAME_SIZE);
BUILD_ASSERT_DECL(FRAME_MAX_FLOWS / PORTS < POPULATION);

/* A frame in which the client's address and port and the backend's address are
 * still 0, and the sums of the rest. */
struct template {
    struct frame frame;
    uint32_t ip_sum, tcp_sum;
};

static struct template templates[N_FRAME_KINDS];

const char *const frame_kind_names[N_FRAME_KINDS] = {
    [FRAME_SYN] = "syn",
    [FRAME_SYN_ACK] = "syn-ack",
    [FRAME_DATA] = "data",
};

const char *const frame_fate_names[N_FRAME_FATES] = {
    [FRAME_UNCHANGED] = "unchanged",
    [FRAME_TO_BACKEND] = "to-backend",
    [FRAME_FROM_SERVICE] = "from-service",
    [FRAME_GENEVE] = "geneve",
};

static uint32_t
sum_tcp(const struct frame *frame)
{
    size_t len = ntohs(frame->ip.ip_tot_len) - IP_HEADER_LEN;

    return csum_continue(packet_csum_pseudoheader(&frame->ip), &frame->tcp,
                         len);
}

static void
init_template(struct template *t, enum frame_kind kind)
{
    static const uint16_t flags[N_FRAME_KINDS] = {
        [FRAME_SYN] = TCP_SYN,
        [FRAME_SYN_ACK] = TCP_SYN | TCP_ACK,
        [FRAME_DATA] = TCP_ACK,
    };
    struct frame *frame = &t->frame;
    uint16_t len = sizeof frame->ip + sizeof frame->tcp;
    bool reply = kind == FRAME_SYN_ACK;

    if (kind == FRAME_DATA) {
        len += PAYLOAD;
    }
    frame->eth.eth_dst = (struct eth_addr) ETH_ADDR_C(0a,67,72,00,13,89);
    frame->eth.eth_src = (struct eth_addr) ETH_ADDR_C(02,00,00,00,01,01);
    frame->eth.eth_type = htons(ETH_TYPE_IP);
    frame->ip.ip_ihl_ver = IP_IHL_VER(5, 4);
    frame->ip.ip_tot_len = htons(len);
    frame->ip.ip_frag_off = htons(DONT_FRAGMENT);
    frame->ip.ip_ttl = TTL;
    frame->ip.ip_proto = IPPROTO_TCP;
    if (reply) {
        frame->tcp.tcp_src = htons(FRAME_SERVICE_PORT);
    } else {
        put_16aligned_be32(&frame->ip.ip_dst, htonl(FRAME_SERVICE));
        frame->tcp.tcp_dst = htons(FRAME_SERVICE_PORT);
    }
    put_16aligned_be32(&frame->tcp.tcp_seq,
                       htonl(reply ? SERVER_SEQ
                             : CLIENT_SEQ + (kind == FRAME_DATA)));
    put_16aligned_be32(&frame->tcp.tcp_ack,
                       htonl(kind == FRAME_SYN ? 0
                             : reply ? CLIENT_SEQ + 1 : SERVER_SEQ + 1));
    frame->tcp.tcp_ctl = TCP_CTL(flags[kind], TCP_HEADER_LEN / 4);
    frame->tcp.tcp_winsz = htons(WINDOW);
    t->ip_sum = csum_continue(0, &frame->ip, sizeof frame->ip);
    t->tcp_sum = sum_tcp(frame);
}

void
frame_init(void)
{
    for (int kind = 0; kind < N_FRAME_KINDS; kind++) {
        init_template(&templates[kind], kind);
    }
}

void
frame_write(void *data, enum frame_kind kind, uint32_t population,
            uint32_t flow, uint32_t backend)
{
    const struct template *t = &templates[kind];
    struct frame *frame = data;
    ovs_be32 client = htonl(FRAME_CLIENT + population * POPULATION
                            + flow / PORTS);
    ovs_be16 port = htons(FIRST_PORT + flow % PORTS);
    uint32_t addresses = csum_add32(0, client);

    memcpy(frame, &t->frame, sizeof *frame);
    if (kind == FRAME_SYN_ACK) {
        ovs_be32 address = htonl(FRAME_BACKEND + backend);

        put_16aligned_be32(&frame->ip.ip_src, address);
        put_16aligned_be32(&frame->ip.ip_dst, client);
        frame->tcp.tcp_dst = port;
        addresses = csum_add32(addresses, address);
    } else {
        put_16aligned_be32(&frame->ip.ip_src, client);
        frame->tcp.tcp_src = port;
    }
    frame->ip.ip_csum = csum_finish(t->ip_sum + addresses);
    frame->tcp.tcp_csum = csum_finish(csum_add16(t->tcp_sum + addresses,
                                                 port));
}

/* Returns the frame inside the tunnel, or NULL. */
static const struct frame *
decapsulate(const uint8_t *data, size_t *size)
{
    const struct eth_header *eth = (const void *) data;
    const struct ip_header *ip = (const void *) (eth + 1);
    const struct udp_header *udp = (const void *) (ip + 1);
    const struct genevehdr *geneve = (const void *) (udp + 1);
    size_t len = sizeof *eth + sizeof *ip + sizeof *udp + sizeof *geneve;

    if (*size < len + FRAME_SIZE
        || eth->eth_type != htons(ETH_TYPE_IP)
        || ip->ip_ihl_ver != IP_IHL_VER(5, 4) || ip->ip_proto != IPPROTO_UDP
        || ip->ip_tot_len != htons(*size - sizeof *eth)
        || csum(ip, sizeof *ip) || udp->udp_dst != htons(GENEVE_PORT)
        || get_16aligned_be32(&geneve->vni) != htonl(FRAME_VNI << 8)
        || *size != len + geneve->opt_len * 4 + FRAME_SIZE) {
        return NULL;
    }
    *size = FRAME_SIZE;
    return (const struct frame *) (data + len + geneve->opt_len * 4);
}

static bool
is_backend(uint32_t address)
{
    return address - FRAME_BACKEND < FRAME_BACKENDS;
}

/* Whether 'frame', which the switch routed in the tunnel, is on its way to an
 * endpoint. */
static bool
is_to_endpoint(const struct frame *frame)
{
    const struct eth_addr first = ETH_ADDR_C(02,00,00,00,02,00);

    return !memcmp(&frame->eth.eth_dst, &first, sizeof first - 1)
           && frame->eth.eth_dst.ea[5] < FRAME_BACKENDS;
}

bool
frame_check(const void *data, size_t size, enum frame_fate fate,
            uint32_t *flow, uint32_t *backend)
{
    const struct frame *frame = data;
    uint32_t src, dst, client;
    uint16_t port;

    if (fate == FRAME_GENEVE) {
        frame = decapsulate(data, &size);
    }
    if (!frame || size != FRAME_SIZE || csum(&frame->ip, sizeof frame->ip)
        || csum_finish(sum_tcp(frame))) {
        return false;
    }
    src = ntohl(get_16aligned_be32(&frame->ip.ip_src));
    dst = ntohl(get_16aligned_be32(&frame->ip.ip_dst));
    client = fate == FRAME_FROM_SERVICE ? dst : src;
    port = ntohs(fate == FRAME_FROM_SERVICE ? frame->tcp.tcp_dst
                 : frame->tcp.tcp_src);
    if (client - FRAME_CLIENT >= FRAME_POPULATIONS * POPULATION) {
        return false;
    }
    *flow = (client - FRAME_CLIENT) % POPULATION * PORTS + port - FIRST_PORT;
    if (*flow >= FRAME_MAX_FLOWS) {
        return false;
    }
    switch (fate) {
    case FRAME_UNCHANGED:
        return dst == FRAME_SERVICE;
    case FRAME_GENEVE:
        return dst == FRAME_SERVICE && is_to_endpoint(frame);
    case FRAME_FROM_SERVICE:
        return src == FRAME_SERVICE;
    case FRAME_TO_BACKEND:
        *backend = dst - FRAME_BACKEND;
        return is_backend(dst);
    case N_FRAME_FATES:
    default:
        OVS_NOT_REACHED();
    }
}
