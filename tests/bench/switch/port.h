/* Ports for the benchmark of the switch, of two types:
 *
 *     bench_source   a port polled by a PMD thread that makes up the packets
 *                    that it receives, as fast as they are taken;
 *                    options:population=N says which clients' (frame.h)
 *     bench_sink     discards what is sent to it; options:expects=FATE names
 *                    what must have become of the packets (frame.h), which is
 *                    counted by looking at a sample
 *
 * Main thread only, unless said otherwise. */

#ifndef TESTS_BENCH_SWITCH_PORT_H
#define TESTS_BENCH_SWITCH_PORT_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netdev-provider.h"
#include "tests/bench/switch/frame.h"

#define BENCH_SOURCE_TYPE "bench_source"
#define BENCH_SINK_TYPE "bench_sink"

/* What the types have in common: an address, and that they are up. */
struct bench_port {
    struct netdev up;
    struct eth_addr mac;        /* Constant. */
    unsigned int flags;         /* NETDEV_*. */
};

int bench_port_construct(struct netdev *);
int bench_port_get_etheraddr(const struct netdev *, struct eth_addr *);
int bench_port_update_flags(struct netdev *, enum netdev_flags off,
                            enum netdev_flags on, enum netdev_flags *old);

#define BENCH_PORT_CLASS_COMMON                     \
    .construct = bench_port_construct,              \
    .get_etheraddr = bench_port_get_etheraddr,      \
    .update_flags = bench_port_update_flags

void bench_source_register(void);
void bench_sink_register(void);

/* The source called 'name', NULL if there is none.  The caller must
 * netdev_close() it. */
struct netdev *bench_source_open(const char *name);

/* Has 'source' send one packet of 'kind' of each of 'n' connections, from
 * 'first' on.  Returns 0 or EBUSY. */
int bench_source_send(struct netdev *source, enum frame_kind kind,
                      uint32_t first, uint32_t n);

/* Has 'source' send data packets of the first 'n_flows' connections in random
 * order, and after 'warm_up_packets' measure for 'measure_ms'.  Returns 0 or
 * EBUSY. */
int bench_source_measure(struct netdev *source, uint32_t n_flows,
                         uint32_t warm_up_packets, uint32_t measure_ms);

struct bench_source_status {
    bool busy;                  /* With the last order. */
    uint64_t sent;              /* Packets, ever. */

    /* Of the last measurement: packets, and the CPU time of the polling
     * thread between the first and the last of them. */
    uint64_t packets, ns;
};

void bench_source_get_status(const struct netdev *source,
                             struct bench_source_status *);

/* Packets received and found not to be what was expected, of the sink called
 * 'name'.  Returns false if there is none. */
bool bench_sink_get_counts(const char *name, uint64_t *received,
                           uint64_t *wrong);

/* Which backend the connection 'flow' has: the one that a sink that expects
 * FRAME_TO_BACKEND saw its SYN go to.  Any thread. */
uint32_t bench_sink_backend(uint32_t flow);

#endif /* tests/bench/switch/port.h */
