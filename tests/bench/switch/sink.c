#include <config.h>

#include "tests/bench/switch/port.h"

#include <errno.h>
#include <string.h>

#include "dp-packet.h"
#include "packets.h"
#include "smap.h"
#include "util.h"

enum { SAMPLE = 64 };           /* One of so many packets is looked at. */

struct sink {
    struct bench_port port;
    enum frame_fate expects;    /* Atomic. */

    /* Written by the polling thread alone. */
    uint64_t received, wrong;   /* Atomic. */
};

/* Of each connection.  Atomic; written by whoever sends to a sink. */
static uint8_t backends[FRAME_MAX_FLOWS];

uint32_t
bench_sink_backend(uint32_t flow)
{
    return __atomic_load_n(&backends[flow], __ATOMIC_RELAXED);
}

static struct sink *
sink_cast(const struct netdev *netdev)
{
    return CONTAINER_OF(netdev, struct sink, port.up);
}

static struct netdev *
sink_alloc(void)
{
    struct sink *sink = xzalloc(sizeof *sink);

    return &sink->port.up;
}

static void
sink_destruct(struct netdev *netdev OVS_UNUSED)
{
    /* Nothing to be done that dealloc does not do. */
}

static void
sink_dealloc(struct netdev *netdev)
{
    free(sink_cast(netdev));
}

static int
sink_set_config(struct netdev *netdev, const struct smap *args, char **errp)
{
    const char *expects = smap_get_def(args, "expects", "unchanged");

    for (int i = 0; i < N_FRAME_FATES; i++) {
        if (!strcmp(expects, frame_fate_names[i])) {
            __atomic_store_n(&sink_cast(netdev)->expects, i,
                             __ATOMIC_RELAXED);
            return 0;
        }
    }
    *errp = xasprintf("options:expects: \"%s\" is not known", expects);
    return EINVAL;
}

/* As many as the datapath has threads, like a network card: so none has to
 * wait for another. */
static int
sink_set_tx_multiq(struct netdev *netdev, unsigned int n_txq)
{
    netdev->n_txq = n_txq;
    return 0;
}

/* Looks at a SYN to learn its backend, and at others to see that they have
 * kept theirs. */
static bool
is_as_expected(const struct dp_packet *packet, enum frame_fate fate, bool syn)
{
    uint32_t flow, backend;

    if (!frame_check(dp_packet_data(packet), dp_packet_size(packet), fate,
                     &flow, &backend)) {
        return false;
    }
    if (fate != FRAME_TO_BACKEND) {
        return true;
    }
    if (syn) {
        __atomic_store_n(&backends[flow], backend, __ATOMIC_RELAXED);
    }
    return backend == bench_sink_backend(flow);
}

static bool
is_syn(const struct dp_packet *packet)
{
    const size_t ofs = ETH_HEADER_LEN + IP_HEADER_LEN;
    const struct tcp_header *tcp = dp_packet_at(packet, ofs, TCP_HEADER_LEN);

    return tcp && TCP_FLAGS(tcp->tcp_ctl) == TCP_SYN;
}

static int
sink_send(struct netdev *netdev, int qid OVS_UNUSED,
          struct dp_packet_batch *batch, bool concurrent_txq OVS_UNUSED)
{
    struct sink *sink = sink_cast(netdev);
    enum frame_fate fate = __atomic_load_n(&sink->expects, __ATOMIC_RELAXED);
    uint64_t received = sink->received, wrong = sink->wrong;
    struct dp_packet *packet;

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        bool syn = fate == FRAME_TO_BACKEND && is_syn(packet);

        if ((syn || received % SAMPLE == 0)
            && !is_as_expected(packet, fate, syn)) {
            wrong++;
        }
        received++;
    }
    __atomic_store_n(&sink->received, received, __ATOMIC_RELAXED);
    __atomic_store_n(&sink->wrong, wrong, __ATOMIC_RELAXED);
    dp_packet_delete_batch(batch, true);
    return 0;
}

static const struct netdev_class sink_class = {
    .type = BENCH_SINK_TYPE,
    BENCH_PORT_CLASS_COMMON,
    .alloc = sink_alloc,
    .destruct = sink_destruct,
    .dealloc = sink_dealloc,
    .set_config = sink_set_config,
    .set_tx_multiq = sink_set_tx_multiq,
    .send = sink_send,
};

void
bench_sink_register(void)
{
    netdev_register_provider(&sink_class);
}

bool
bench_sink_get_counts(const char *name, uint64_t *received, uint64_t *wrong)
{
    struct netdev *netdev = netdev_from_name(name);
    bool found = netdev && netdev->netdev_class == &sink_class;

    if (found) {
        const struct sink *sink = sink_cast(netdev);

        *received = __atomic_load_n(&sink->received, __ATOMIC_RELAXED);
        *wrong = __atomic_load_n(&sink->wrong, __ATOMIC_RELAXED);
    }
    netdev_close(netdev);
    return found;
}
