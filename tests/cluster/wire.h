/* Frames on their way: from a VM into its switch, through the underlay, out of
 * a tunnel.  Written and read byte by byte, with nothing of encap/: what the
 * engine makes is judged by somebody else. */

#ifndef TESTS_CLUSTER_WIRE_H
#define TESTS_CLUSTER_WIRE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_INNER_MTU = 160,       /* Of the VMs, and what the tunnels take. */
    WIRE_HEADROOM  = 192,       /* For outer headers, more than once. */
    WIRE_OPTIONS   = 64,
};

struct wire_frame {
    struct wire_frame *next;    /* In the pool. */
    uint32_t ofs, size;         /* Of the frame in 'buffer'. */
    uint32_t trips;             /* Through the underlay. */
    uint32_t flow, number;      /* Whose it is, for stories. */

    /* Of a frame that came out of a tunnel. */
    bool arrived;
    uint32_t peer;              /* Outer source address. */
    uint32_t vni;
    uint32_t options_len;
    uint8_t options[WIRE_OPTIONS];

    uint8_t buffer[WIRE_HEADROOM + 14 + WIRE_INNER_MTU + 96];
};

/* TCP flags. */
enum { WIRE_FIN = 0x01, WIRE_SYN = 0x02, WIRE_RST = 0x04, WIRE_ACK = 0x10 };

/* A packet of a client's.  The last three are its payload. */
struct wire_packet {
    uint32_t src, dst;
    uint16_t src_port, dst_port;
    uint8_t protocol;
    uint8_t tcp_flags;
    bool full;                  /* As long as the VM's MTU allows. */
    uint16_t client;            /* In its MAC address. */
    uint32_t flow, number, seq;
};

/* An endpoint's MAC address: 02:00:00:GG:EE:EE. */
void wire_endpoint_mac(uint8_t mac[6], int group, uint16_t endpoint);

/* Writes the packet as a frame. */
void wire_build(struct wire_frame *, const struct wire_packet *);

/* Reads a frame for an endpoint: the packet, and whom it is addressed to.
 * False if it is none. */
bool wire_read(const struct wire_frame *, struct wire_packet *, int *group,
               uint16_t *endpoint);

/* The outer destination address of an encapsulated frame; 0 if it is none. */
uint32_t wire_destination(const struct wire_frame *);

/* Takes the outer headers off.  False if they are wrong. */
bool wire_decapsulate(struct wire_frame *);

#endif /* tests/cluster/wire.h */
