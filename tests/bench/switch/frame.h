/* Packets of the TCP connections that the benchmark of the switch works with,
 * 64 bytes each and with all checksums right: connection tracking drops others
 * as invalid.
 *
 * All are to one address.  Sequence numbers are those of the first packet in
 * its direction, so that a packet may be sent again and again.
 *
 * frame_init() first; then safe to call from any thread. */

#ifndef TESTS_BENCH_SWITCH_FRAME_H
#define TESTS_BENCH_SWITCH_FRAME_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    FRAME_SIZE      = 64,
    FRAME_MAX_FLOWS = 1 << 20,
    FRAME_BACKENDS  = 64,
    FRAME_POPULATIONS = 8,      /* Sets of clients. */
};

/* Addresses, in host byte order: of the service, of the first backend (the
 * others follow) and of the first client. */
enum {
    FRAME_SERVICE = 0x0a010064,
    FRAME_BACKEND = 0x0a030001,
    FRAME_CLIENT  = 0x0a020000,
};
enum { FRAME_SERVICE_PORT = 80, FRAME_VNI = 5001 };

enum frame_kind {
    FRAME_SYN,                  /* From the client to the service. */
    FRAME_SYN_ACK,              /* From a backend to the client. */
    FRAME_DATA,                 /* From the client, after the handshake. */
    N_FRAME_KINDS
};

/* What a frame has become on its way through the switch. */
enum frame_fate {
    FRAME_UNCHANGED,            /* Still from the client to the service. */
    FRAME_TO_BACKEND,           /* The destination is a backend's address. */
    FRAME_FROM_SERVICE,         /* The source, a backend's, is the service's
                                 * address. */
    FRAME_GENEVE,               /* Unchanged but for the destination MAC, which
                                 * is an endpoint's, and inside a tunnel. */
    N_FRAME_FATES
};

/* The names of the above, for example "syn-ack" and "to-backend". */
extern const char *const frame_kind_names[N_FRAME_KINDS];
extern const char *const frame_fate_names[N_FRAME_FATES];

void frame_init(void);

/* Writes FRAME_SIZE bytes to 'data': a frame of 'kind' of connection 'flow'
 * (0...FRAME_MAX_FLOWS - 1) of a client of 'population'
 * (0...FRAME_POPULATIONS - 1), and for FRAME_SYN_ACK from 'backend'
 * (0...FRAME_BACKENDS - 1).
 *
 * Connections of different populations have different addresses, hence
 * different hashes. */
void frame_write(void *data, enum frame_kind kind, uint32_t population,
                 uint32_t flow, uint32_t backend);

/* Whether the 'size' bytes at 'data' are a frame of 'fate' with right
 * checksums.  If so, stores which connection's it is, of whatever population,
 * and with FRAME_TO_BACKEND the backend. */
bool frame_check(const void *data, size_t size, enum frame_fate fate,
                 uint32_t *flow, uint32_t *backend);

#endif /* tests/bench/switch/frame.h */
