#include <config.h>

#include "vswitchd-ext/health-frame.h"

#include <netinet/icmp6.h>
#include <string.h>

#include "csum.h"
#include "dp-packet.h"
#include "flow.h"
#include "packets.h"
#include "util.h"
#include "vswitchd-ext/address.h"

enum { TTL = 64, WINDOW = 16384 };

/* A packet with Ethernet and IP headers of 'path', for 'size' bytes of
 * 'protocol', to which '*l4' is set. */
static struct dp_packet *
compose(const struct health_path *path, uint8_t protocol, size_t size,
        void **l4)
{
    struct dp_packet *packet = dp_packet_new(0);
    struct in6_addr src = address_to_in6(path->source);
    struct in6_addr dst = address_to_in6(path->address);
    struct ip_header *ip;

    if (!inet_addr_is4(path->address)) {
        eth_compose(packet, path->endpoint, path->router, ETH_TYPE_IPV6,
                    IPV6_HEADER_LEN);
        *l4 = compose_ipv6(packet, protocol, &src, &dst, 0, 0, TTL, size);
        memset(*l4, 0, size);
        return packet;
    }
    ip = eth_compose(packet, path->endpoint, path->router, ETH_TYPE_IP,
                     IP_HEADER_LEN + size);
    memset(ip, 0, IP_HEADER_LEN + size);
    ip->ip_ihl_ver = IP_IHL_VER(5, 4);
    ip->ip_tot_len = htons(IP_HEADER_LEN + size);
    ip->ip_frag_off = htons(IP_DONT_FRAGMENT);
    ip->ip_ttl = TTL;
    ip->ip_proto = protocol;
    put_16aligned_be32(&ip->ip_src, htonl(inet_addr_to4(path->source)));
    put_16aligned_be32(&ip->ip_dst, htonl(inet_addr_to4(path->address)));
    ip->ip_csum = csum(ip, IP_HEADER_LEN);
    *l4 = ip + 1;
    dp_packet_set_l4(packet, *l4);
    return packet;
}

/* The checksum over pseudo-header and the 'size' bytes at 'l4'. */
static ovs_be16
checksum(struct dp_packet *packet, const struct health_path *path,
         uint8_t protocol, const void *l4, size_t size)
{
    const void *l3 = dp_packet_l3(packet);

    if (!inet_addr_is4(path->address)) {
        return packet_csum_upperlayer6(l3, l4, protocol, size);
    }
    return csum_finish(csum_continue(packet_csum_pseudoheader(l3), l4, size));
}

struct dp_packet *
health_frame_ask(const struct health_path *path)
{
    struct dp_packet *packet = dp_packet_new(0);

    if (inet_addr_is4(path->address)) {
        ovs_be32 source = (inet_addr_is4(path->source)
                           ? htonl(inet_addr_to4(path->source)) : 0);

        compose_arp(packet, ARP_OP_REQUEST, path->router, eth_addr_zero,
                    false, source, htonl(inet_addr_to4(path->address)));
    } else {
        struct in6_addr src = address_to_in6(path->source);
        struct in6_addr dst = address_to_in6(path->address);

        compose_nd_ns(packet, path->router, &src, &dst);
    }
    /* To nobody else: others may have the address, too. */
    ((struct eth_header *) dp_packet_eth(packet))->eth_dst = path->endpoint;
    return packet;
}

struct dp_packet *
health_frame_answer(const struct health_path *path,
                    const struct health_frame *question)
{
    struct dp_packet *packet = dp_packet_new(0);

    if (inet_addr_is4(path->source)) {
        compose_arp(packet, ARP_OP_REPLY, path->router, question->mac, false,
                    htonl(inet_addr_to4(path->source)),
                    htonl(inet_addr_to4(question->from)));
    } else {
        struct in6_addr src = address_to_in6(path->source);
        struct in6_addr dst = address_to_in6(question->from);
        uint32_t flags = ND_RSO_SOLICITED | ND_RSO_OVERRIDE;

        if (!address_is_set(question->from)) {
            /* Who asks is about to take the address (RFC 4862 section 5.4),
             * and has none to be told at (RFC 4861 section 7.2.4). */
            dst = in6addr_all_hosts;
            flags = ND_RSO_OVERRIDE;
        }
        compose_nd_na(packet, path->router, question->mac, &src, &dst,
                      htonl(flags));
    }
    return packet;
}

struct dp_packet *
health_frame_echo(const struct health_path *path, uint16_t id, uint16_t seq)
{
    bool is4 = inet_addr_is4(path->address);
    uint8_t protocol = is4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    struct icmp_header *icmp;   /* As in ICMPv6, but for the checksum. */
    struct dp_packet *packet;
    void *l4;

    packet = compose(path, protocol, sizeof *icmp, &l4);
    icmp = l4;
    icmp->icmp_type = is4 ? ICMP4_ECHO_REQUEST : ICMP6_ECHO_REQUEST;
    icmp->icmp_fields.echo.id = htons(id);
    icmp->icmp_fields.echo.seq = htons(seq);
    icmp->icmp_csum = (is4 ? csum(icmp, sizeof *icmp)
                       : checksum(packet, path, protocol, icmp,
                                  sizeof *icmp));
    return packet;
}

struct dp_packet *
health_frame_tcp(const struct health_path *path, const struct health_tcp *t)
{
    size_t size = TCP_HEADER_LEN + t->n;
    struct tcp_header *tcp;
    struct dp_packet *packet;
    void *l4;

    packet = compose(path, IPPROTO_TCP, size, &l4);
    tcp = l4;
    tcp->tcp_src = htons(t->src_port);
    tcp->tcp_dst = htons(t->dst_port);
    put_16aligned_be32(&tcp->tcp_seq, htonl(t->seq));
    put_16aligned_be32(&tcp->tcp_ack, htonl(t->ack));
    tcp->tcp_ctl = TCP_CTL(t->flags, TCP_HEADER_LEN / 4);
    tcp->tcp_winsz = htons(WINDOW);
    if (t->n) {
        memcpy(tcp + 1, t->data, t->n);
    }
    tcp->tcp_csum = checksum(packet, path, IPPROTO_TCP, tcp, size);
    return packet;
}

static void
parse_arp(const struct flow *flow, struct health_frame *f)
{
    f->kind = (flow->nw_proto == ARP_OP_REQUEST ? HEALTH_FRAME_QUESTION
               : flow->nw_proto == ARP_OP_REPLY ? HEALTH_FRAME_NEIGHBOUR
               : HEALTH_FRAME_OTHER);
    f->mac = flow->arp_sha;
}

static void
parse_icmp6(const struct flow *flow, struct health_frame *f)
{
    uint8_t type = ntohs(flow->tp_src);

    f->kind = (type == ND_NEIGHBOR_SOLICIT ? HEALTH_FRAME_QUESTION
               : type == ND_NEIGHBOR_ADVERT ? HEALTH_FRAME_NEIGHBOUR
               : type == ICMP6_ECHO_REPLY ? HEALTH_FRAME_ECHO
               : HEALTH_FRAME_OTHER);
    if (f->kind == HEALTH_FRAME_QUESTION) {
        f->to = inet_addr_from_bytes(flow->nd_target.s6_addr);
    } else if (f->kind == HEALTH_FRAME_NEIGHBOUR) {
        f->from = inet_addr_from_bytes(flow->nd_target.s6_addr);
    }
}

static void
parse_tcp(const struct dp_packet *packet, const struct flow *flow,
          struct health_frame *f)
{
    const struct tcp_header *tcp = dp_packet_l4(packet);

    f->kind = HEALTH_FRAME_TCP;
    f->tcp = (struct health_tcp) {
        .src_port = ntohs(flow->tp_src), .dst_port = ntohs(flow->tp_dst),
        .seq = ntohl(get_16aligned_be32(&tcp->tcp_seq)),
        .ack = ntohl(get_16aligned_be32(&tcp->tcp_ack)),
        .flags = ntohs(flow->tcp_flags),
        .data = dp_packet_get_tcp_payload(packet),
    };
    if (f->tcp.data) {
        f->tcp.n = dp_packet_get_tcp_payload_length(packet);
    }
}

static void
parse_echo(const struct dp_packet *packet, struct health_frame *f)
{
    const struct icmp_header *icmp = dp_packet_l4(packet);

    f->id = ntohs(icmp->icmp_fields.echo.id);
    f->seq = ntohs(icmp->icmp_fields.echo.seq);
}

void
health_frame_parse(struct dp_packet *packet, struct health_frame *f)
{
    size_t l4_size;
    struct flow flow;

    memset(f, 0, sizeof *f);
    flow_extract(packet, &flow);
    l4_size = dp_packet_l4(packet) ? dp_packet_l4_size(packet) : 0;
    f->mac = flow.dl_src;
    if (flow.dl_type == htons(ETH_TYPE_IPV6)) {
        f->from = inet_addr_from_bytes(flow.ipv6_src.s6_addr);
        f->to = inet_addr_from_bytes(flow.ipv6_dst.s6_addr);
    } else {
        f->from = inet_addr_from4(ntohl(flow.nw_src));
        f->to = inet_addr_from4(ntohl(flow.nw_dst));
    }
    if (flow.dl_type == htons(ETH_TYPE_ARP)) {
        parse_arp(&flow, f);
    } else if (flow.nw_frag) {
        return;                 /* Answers are small. */
    } else if (flow.nw_proto == IPPROTO_TCP && is_ip_any(&flow)
               && l4_size >= TCP_HEADER_LEN) {
        parse_tcp(packet, &flow, f);
    } else if (is_icmpv4(&flow, NULL) && l4_size >= ICMP_HEADER_LEN) {
        f->kind = (ntohs(flow.tp_src) == ICMP4_ECHO_REPLY
                   ? HEALTH_FRAME_ECHO : HEALTH_FRAME_OTHER);
        parse_echo(packet, f);
    } else if (is_icmpv6(&flow, NULL) && l4_size >= ICMP_HEADER_LEN) {
        parse_icmp6(&flow, f);
        parse_echo(packet, f);
    }
}
