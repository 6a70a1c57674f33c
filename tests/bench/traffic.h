/* Packets for benchmarks: a fixed set of TCP connections to anycast addresses,
 * and a ring of buffers as a network card fills it.  All contenders
 * of a comparison work on the same. */

#ifndef TESTS_BENCH_TRAFFIC_H
#define TESTS_BENCH_TRAFFIC_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

enum {
    TRAFFIC_RING     = 4096,    /* Buffers. */
    TRAFFIC_HEADROOM = 128,     /* Before each frame. */
    TRAFFIC_BUFFER   = 2304,    /* From one buffer to the next, as with DPDK's
                                 * usual pool. */
    TRAFFIC_BATCH    = 32,
    TRAFFIC_MAX_FRAME = 122,

    TRAFFIC_VNI      = 5001,
    TRAFFIC_ADDRESS  = 0x0a010064, /* The first one. */
    TRAFFIC_PORT     = 80,
    TRAFFIC_BACKENDS = 64,
};

/* The ring, in one piece of memory, on huge pages if there are any. */
struct traffic {
    uint8_t *memory;            /* TRAFFIC_RING * TRAFFIC_BUFFER bytes. */
    size_t size[TRAFFIC_RING];  /* Of each frame. */
    uint64_t random;

    bool ipv6;
    uint32_t n_groups;          /* Anycast addresses, one after the other, over
                                 * which the connections are spread. */
};

/* One address over IPv4, for a start. */
void traffic_init(struct traffic *);
void traffic_destroy(struct traffic *);

static inline uint8_t *
traffic_frame(const struct traffic *traffic, size_t i)
{
    return traffic->memory + i * TRAFFIC_BUFFER + TRAFFIC_HEADROOM;
}

/* The next number below 'n', uniformly. */
uint32_t traffic_random(struct traffic *, uint32_t n);

/* The anycast address of the group with this number. */
struct inet_addr traffic_address(const struct traffic *, uint32_t group);

/* Writes to buffer 'i' a packet of connection 'flow' from its client to its
 * anycast address, with 'tcp_flags': 64 to 100 bytes long with payload, or 54
 * for a SYN, 20 more over IPv6, all checksums right.  Sequence numbers are
 * those of the first packet of the connection in its direction, after the
 * handshake if there is no SYN. */
void traffic_write(struct traffic *, size_t i, uint32_t flow,
                   uint8_t tcp_flags);

/* Likewise, over IPv4, a SYN-ACK from 'backend' (0...TRAFFIC_BACKENDS - 1)
 * to the client. */
void traffic_write_syn_ack(struct traffic *, size_t i, uint32_t flow,
                           uint32_t backend);

/* The address of 'backend', in host byte order. */
uint32_t traffic_backend(uint32_t backend);

#endif /* tests/bench/traffic.h */
