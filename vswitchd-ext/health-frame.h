/* The frames of health checks, and what comes back.  Packets are the
 * caller's.  Thread-safe. */

#ifndef VSWITCHD_EXT_HEALTH_FRAME_H
#define VSWITCHD_EXT_HEALTH_FRAME_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"
#include "openvswitch/types.h"

struct dp_packet;

/* Who checks whom: both addresses are of one IP version. */
struct health_path {
    struct eth_addr router, endpoint;
    struct inet_addr source, address;
};

/* Numbers in host byte order. */
struct health_tcp {
    uint16_t src_port, dst_port;
    uint32_t seq, ack;
    uint16_t flags;             /* TCP_*. */
    const char *data;           /* Payload, in the packet if it was parsed. */
    size_t n;
};

enum health_frame_kind {
    HEALTH_FRAME_OTHER,
    HEALTH_FRAME_QUESTION,      /* ARP or ND: who has this address? */
    HEALTH_FRAME_NEIGHBOUR,     /* The answer to such a one. */
    HEALTH_FRAME_ECHO,          /* Echo reply. */
    HEALTH_FRAME_TCP,
};

struct health_frame {
    enum health_frame_kind kind;
    struct eth_addr mac;        /* Of the sender. */
    struct inet_addr from, to;
    uint16_t id, seq;           /* ECHO. */
    struct health_tcp tcp;      /* TCP. */
};

/* Asks by ARP or ND for path->address, of path->endpoint alone.  Without a
 * source (IPv4 only), as RFC 5227 probes do. */
struct dp_packet *health_frame_ask(const struct health_path *);
/* Answers 'question', which somebody has about path->source. */
struct dp_packet *health_frame_answer(const struct health_path *,
                                      const struct health_frame *question);
/* ICMP (RFC 792) or ICMPv6 (RFC 4443) echo request. */
struct dp_packet *health_frame_echo(const struct health_path *, uint16_t id,
                                    uint16_t seq);
struct dp_packet *health_frame_tcp(const struct health_path *,
                                   const struct health_tcp *);

/* Reads 'packet' into '*frame', which may point into it. */
void health_frame_parse(struct dp_packet *packet, struct health_frame *frame);

#endif /* vswitchd-ext/health-frame.h */
