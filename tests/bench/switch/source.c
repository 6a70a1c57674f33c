#include <config.h>

#include "tests/bench/switch/port.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "dp-packet.h"
#include "smap.h"
#include "util.h"

/* Buffers are used in turns, like those of a network card's ring: what is left
 * of a packet in the caches when its buffer comes round again is not in the
 * nearest.  Number and distances as with Open vSwitch's DPDK ports. */
enum {
    RING      = 2048,
    BUFFER    = 2304,
    HEADROOM  = 128,
    HUGE_PAGE = 2 << 20,
    CLOCK_BATCHES = 32,         /* How often the clock is looked at. */
};

enum order { ORDER_SEND, ORDER_WARM_UP, ORDER_MEASURE };

struct source {
    struct bench_port port;

    /* Packets like an AF_XDP port's without a pool: that they are deleted has
     * no effect, and costs next to nothing.  Nobody keeps them: the polling
     * thread comes back for more when it is done with the batch. */
    struct dp_packet_afxdp *packets;
    uint8_t *memory;

    uint32_t population;        /* Whose packets.  Set before any order. */

    /* The main thread gives an order and sets 'busy'; the polling thread,
     * which owns all of this meanwhile, clears it. */
    bool busy;                  /* Atomic. */
    enum order order;
    enum frame_kind kind;
    uint32_t first, n;
    uint64_t warm_up_packets, measure_ns;

    uint64_t random;
    uint64_t sent;
    uint64_t batches;
    uint64_t started_ns, sent_at_start;
    uint64_t packets_measured, ns_measured;
};

static struct source *
source_cast(const struct netdev *netdev)
{
    return CONTAINER_OF(netdev, struct source, port.up);
}

static struct netdev *
source_alloc(void)
{
    struct source *source = xzalloc(sizeof *source);
    size_t size = ROUND_UP((size_t) RING * BUFFER, HUGE_PAGE);

    source->random = UINT64_C(0x9e3779b97f4a7c15);
    source->packets = xcalloc(RING, sizeof *source->packets);
    source->memory = xmalloc_size_align(size, HUGE_PAGE);
    madvise(source->memory, size, MADV_HUGEPAGE);
    memset(source->memory, 0, size);
    for (int i = 0; i < RING; i++) {
        dp_packet_use_afxdp(&source->packets[i].packet,
                            source->memory + (size_t) i * BUFFER + HEADROOM,
                            BUFFER, HEADROOM);
    }
    return &source->port.up;
}

static void
source_destruct(struct netdev *netdev OVS_UNUSED)
{
    /* Nothing to be done that dealloc does not do. */
}

static void
source_dealloc(struct netdev *netdev)
{
    struct source *source = source_cast(netdev);

    free(source->packets);
    free_size_align(source->memory);
    free(source);
}

static int
source_set_config(struct netdev *netdev, const struct smap *args, char **errp)
{
    int population = smap_get_int(args, "population", 0);

    if (population < 0 || population >= FRAME_POPULATIONS) {
        *errp = xasprintf("options:population: %d is not in 0..%d", population,
                          FRAME_POPULATIONS - 1);
        return EINVAL;
    }
    source_cast(netdev)->population = population;
    return 0;
}

/* The polling thread's CPU time: what else this machine does at the time does
 * not count. */
static uint64_t
read_clock_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * UINT64_C(1000000000) + ts.tv_nsec;
}

static void
start(struct source *source, uint64_t now)
{
    source->started_ns = now;
    source->sent_at_start = source->sent;
}

static void
finish(struct source *source)
{
    __atomic_store_n(&source->busy, false, __ATOMIC_RELEASE);
}

/* Goes on from warming up to measuring, and from there to the end. */
static void
look_at_clock(struct source *source)
{
    uint64_t now = read_clock_ns();

    if (!source->started_ns) {
        start(source, now);
    } else if (source->order == ORDER_WARM_UP) {
        if (source->sent - source->sent_at_start >= source->warm_up_packets) {
            source->order = ORDER_MEASURE;
            start(source, now);
        }
    } else if (now - source->started_ns >= source->measure_ns) {
        source->packets_measured = source->sent - source->sent_at_start;
        source->ns_measured = now - source->started_ns;
        finish(source);
    }
}

/* The next number below 'n', uniformly. */
static uint32_t
next_random(struct source *source, uint32_t n)
{
    uint64_t x = source->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    source->random = x;
    return (x >> 32) * n >> 32;
}

/* Which buffer is next, as a packet without any of what the switch knew about
 * the one before. */
static struct dp_packet *
next_packet(struct source *source)
{
    size_t i = source->sent++ % RING;
    struct dp_packet *packet = &source->packets[i].packet;

    dp_packet_set_data(packet, source->memory + i * BUFFER + HEADROOM);
    dp_packet_set_size(packet, FRAME_SIZE);
    dp_packet_reset_offsets(packet);
    dp_packet_reset_cutlen(packet);
    dp_packet_reset_offload(packet);
    packet->packet_type = htonl(PT_ETH);
    return packet;
}

static void
add_in_order(struct source *source, struct dp_packet_batch *batch)
{
    while (source->n && !dp_packet_batch_is_full(batch)) {
        struct dp_packet *packet = next_packet(source);
        uint32_t flow = source->first++;

        frame_write(dp_packet_data(packet), source->kind, source->population,
                    flow, source->kind == FRAME_SYN_ACK
                          ? bench_sink_backend(flow) : 0);
        dp_packet_batch_add(batch, packet);
        source->n--;
    }
}

static void
add_random(struct source *source, struct dp_packet_batch *batch)
{
    while (!dp_packet_batch_is_full(batch)) {
        struct dp_packet *packet = next_packet(source);

        frame_write(dp_packet_data(packet), FRAME_DATA, source->population,
                    next_random(source, source->n), 0);
        dp_packet_batch_add(batch, packet);
    }
}

static int
source_rxq_recv(struct netdev_rxq *rxq, struct dp_packet_batch *batch,
                int *qfill)
{
    struct source *source = source_cast(rxq->netdev);

    if (!__atomic_load_n(&source->busy, __ATOMIC_ACQUIRE)) {
        return EAGAIN;
    }
    if (source->order == ORDER_SEND) {
        if (!source->n) {
            finish(source);
            return EAGAIN;
        }
    } else if (source->batches++ % CLOCK_BATCHES == 0) {
        look_at_clock(source);
        if (!__atomic_load_n(&source->busy, __ATOMIC_RELAXED)) {
            return EAGAIN;
        }
    }

    dp_packet_batch_init(batch);
    if (source->order == ORDER_SEND) {
        add_in_order(source, batch);
    } else {
        add_random(source, batch);
    }
    if (qfill) {
        *qfill = -ENOTSUP;
    }
    return 0;
}

static struct netdev_rxq *
source_rxq_alloc(void)
{
    return xzalloc(sizeof(struct netdev_rxq));
}

static int
source_rxq_construct(struct netdev_rxq *rxq OVS_UNUSED)
{
    return 0;
}

static void
source_rxq_destruct(struct netdev_rxq *rxq OVS_UNUSED)
{
    /* Nothing was constructed. */
}

static void
source_rxq_dealloc(struct netdev_rxq *rxq)
{
    free(rxq);
}

static const struct netdev_class source_class = {
    .type = BENCH_SOURCE_TYPE,
    .is_pmd = true,
    BENCH_PORT_CLASS_COMMON,
    .alloc = source_alloc,
    .destruct = source_destruct,
    .dealloc = source_dealloc,
    .set_config = source_set_config,
    .rxq_alloc = source_rxq_alloc,
    .rxq_construct = source_rxq_construct,
    .rxq_destruct = source_rxq_destruct,
    .rxq_dealloc = source_rxq_dealloc,
    .rxq_recv = source_rxq_recv,
};

void
bench_source_register(void)
{
    netdev_register_provider(&source_class);
}

struct netdev *
bench_source_open(const char *name)
{
    struct netdev *netdev = netdev_from_name(name);

    if (netdev && netdev->netdev_class != &source_class) {
        netdev_close(netdev);
        return NULL;
    }
    return netdev;
}

/* Starts what has been ordered. */
static void
give_order(struct source *source, enum order order)
{
    source->order = order;
    source->batches = 0;
    source->started_ns = 0;
    source->packets_measured = source->ns_measured = 0;
    __atomic_store_n(&source->busy, true, __ATOMIC_RELEASE);
}

static bool
is_busy(const struct source *source)
{
    return __atomic_load_n(&source->busy, __ATOMIC_ACQUIRE);
}

int
bench_source_send(struct netdev *netdev, enum frame_kind kind,
                  uint32_t first, uint32_t n)
{
    struct source *source = source_cast(netdev);

    if (is_busy(source)) {
        return EBUSY;
    }
    source->kind = kind;
    source->first = first;
    source->n = n;
    give_order(source, ORDER_SEND);
    return 0;
}

int
bench_source_measure(struct netdev *netdev, uint32_t n_flows,
                     uint32_t warm_up_packets, uint32_t measure_ms)
{
    struct source *source = source_cast(netdev);

    if (is_busy(source)) {
        return EBUSY;
    }
    source->n = n_flows;
    source->warm_up_packets = warm_up_packets;
    source->measure_ns = measure_ms * UINT64_C(1000000);
    give_order(source, ORDER_WARM_UP);
    return 0;
}

void
bench_source_get_status(const struct netdev *netdev,
                        struct bench_source_status *status)
{
    const struct source *source = source_cast(netdev);

    memset(status, 0, sizeof *status);
    status->busy = is_busy(source);
    if (!status->busy) {
        status->sent = source->sent;
        status->packets = source->packets_measured;
        status->ns = source->ns_measured;
    }
}
