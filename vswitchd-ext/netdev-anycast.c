#include <config.h>

#include "vswitchd-ext/netdev-anycast.h"

#include <errno.h>

#include "anycast/engine.h"
#include "dp-packet.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "packets.h"
#include "smap.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/health-tap.h"
#include "vswitchd-ext/virtual-port.h"

VLOG_DEFINE_THIS_MODULE(netdev_anycast);

enum {
    STEER_DEFAULT_TABLE    = 0,
    STEER_MAX_TABLE        = 253,
    STEER_DEFAULT_PRIORITY = 30000,
    TICK_INTERVAL_US       = 100000,
    /* The rule for what comes out of the port is one above the others. */
    STEER_MAX_PRIORITY     = 65534,
};

BUILD_ASSERT_DECL((int) NETDEV_MAX_BURST == (int) ENGINE_BATCH);

struct netdev_anycast {
    struct virtual_port vp;
    uint32_t vni;               /* Atomic: read on the packet path. */

    /* Written by set_config() under 'mutex'. */
    struct ovs_mutex mutex;
    bool steer OVS_GUARDED;
    uint8_t steer_table OVS_GUARDED;
    uint16_t steer_priority OVS_GUARDED;
};

static uint64_t config_seq;      /* Atomic. */

static struct netdev_anycast *
netdev_anycast_cast(const struct netdev *netdev)
{
    return CONTAINER_OF(virtual_port_cast(netdev), struct netdev_anycast, vp);
}

static struct netdev *
netdev_anycast_alloc(void)
{
    struct netdev_anycast *dev = xzalloc_cacheline(sizeof *dev);

    ovs_mutex_init(&dev->mutex);
    dev->steer = true;
    dev->steer_table = STEER_DEFAULT_TABLE;
    dev->steer_priority = STEER_DEFAULT_PRIORITY;
    return &dev->vp.up;
}

static void
netdev_anycast_dealloc(struct netdev *netdev)
{
    struct netdev_anycast *dev = netdev_anycast_cast(netdev);

    ovs_mutex_destroy(&dev->mutex);
    free_cacheline(dev);
    __atomic_fetch_add(&config_seq, 1, __ATOMIC_SEQ_CST);
}

/* Reads the whole number in option 'key', 'def' if it is not there.  Returns
 * false, with an error in '*errp', if it is not in 'min'...'max'. */
static bool
read_option(const struct smap *args, const char *key, unsigned int min,
            unsigned int max, unsigned int def, unsigned int *value,
            char **errp)
{
    const char *s = smap_get(args, key);

    *value = def;
    if (s && (!str_to_uint(s, 10, value) || *value < min || *value > max)) {
        *errp = xasprintf("options:%s: \"%s\" is not a number in %u..%u",
                          key, s, min, max);
        return false;
    }
    return true;
}

static int
netdev_anycast_set_config(struct netdev *netdev, const struct smap *args,
                          char **errp)
{
    struct netdev_anycast *dev = netdev_anycast_cast(netdev);
    unsigned int vni, table, priority;
    const struct smap_node *node;

    SMAP_FOR_EACH (node, args) {
        if (strcmp(node->key, "vni") && strcmp(node->key, "steer")
            && strcmp(node->key, "steer_table")
            && strcmp(node->key, "steer_priority")) {
            *errp = xasprintf("options:%s: there is no such option (known: "
                              "vni, steer, steer_table, steer_priority)",
                              node->key);
            return EINVAL;
        }
    }
    if (!read_option(args, "vni", 1, VNI_MAX, 0, &vni, errp)
        || !read_option(args, "steer_table", 0, STEER_MAX_TABLE,
                        STEER_DEFAULT_TABLE, &table, errp)
        || !read_option(args, "steer_priority", 1, STEER_MAX_PRIORITY,
                        STEER_DEFAULT_PRIORITY, &priority, errp)) {
        return EINVAL;
    }

    ovs_mutex_lock(&dev->mutex);
    dev->steer = smap_get_bool(args, "steer", true);
    dev->steer_table = table;
    dev->steer_priority = priority;
    ovs_mutex_unlock(&dev->mutex);
    __atomic_store_n(&dev->vni, vni, __ATOMIC_SEQ_CST);
    __atomic_fetch_add(&config_seq, 1, __ATOMIC_SEQ_CST);
    return 0;
}

static int
netdev_anycast_get_config(const struct netdev *netdev, struct smap *args)
{
    struct netdev_anycast *dev = netdev_anycast_cast(netdev);
    uint32_t vni = __atomic_load_n(&dev->vni, __ATOMIC_SEQ_CST);

    if (vni) {
        smap_add_format(args, "vni", "%"PRIu32, vni);
    }
    ovs_mutex_lock(&dev->mutex);
    smap_add(args, "steer", dev->steer ? "true" : "false");
    smap_add_format(args, "steer_table", "%d", dev->steer_table);
    smap_add_format(args, "steer_priority", "%d", dev->steer_priority);
    ovs_mutex_unlock(&dev->mutex);
    return 0;
}

/* The packet path. */

/* Describes 'packet' to the engine.  '*arrival' is for what the switch knows
 * of the tunnel that it came out of. */
static inline void
describe_packet(struct dp_packet *packet, uint32_t vni,
                struct engine_packet *ep, struct engine_arrival *arrival)
{
    const struct flow_tnl *tunnel = &packet->md.tunnel;

    /* Packets as ports receive them have room enough.  A controller's
     * (packet-out), and copies that the switch makes of a packet with several
     * outputs, may have none; for them it is worth an allocation. */
    if (OVS_UNLIKELY(dp_packet_headroom(packet) < TUNNEL_MAX_OVERHEAD)
        && packet->source == DPBUF_MALLOC) {
        dp_packet_prealloc_headroom(packet, TUNNEL_MAX_OVERHEAD);
    }
    ep->data = dp_packet_data(packet);
    /* Where the outer headers will stand: no cache has it yet. */
    __builtin_prefetch(ep->data - CACHE_LINE_SIZE, 1);
    ep->size = dp_packet_size(packet);
    ep->headroom = dp_packet_headroom(packet);
    ep->tailroom = dp_packet_tailroom(packet);
    ep->partial_csum = dp_packet_hwol_l4_mask(packet) != 0;
    ep->tso = dp_packet_hwol_is_tso(packet);
    ep->cookie = packet;
    if (OVS_LIKELY(!flow_tnl_dst_is_set(tunnel))) {
        ep->vni = vni ? vni : packet->md.pkt_mark;
        ep->arrival = NULL;
        return;
    }

    bool has_options = (tunnel->flags & FLOW_TNL_F_UDPIF
                        && tunnel->metadata.present.len);
    arrival->options = (has_options
                        ? (const uint8_t *) tunnel->metadata.opts.gnv : NULL);
    arrival->options_len = has_options ? tunnel->metadata.present.len : 0;
    arrival->peer = (tunnel->ip_dst
                     ? inet_addr_from4(ntohl(tunnel->ip_src))
                     : inet_addr_from_bytes(tunnel->ipv6_src.s6_addr));
    ep->vni = vni ? vni : ntohll(tunnel->tun_id);
    ep->arrival = arrival;
}

/* Makes 'packet' the frame that the engine left in 'ep', with nothing of what
 * the switch knew about the packet that it was. */
static inline void
finish_packet(struct dp_packet *packet, const struct engine_packet *ep)
{
    dp_packet_set_data(packet, ep->data);
    dp_packet_set_size(packet, ep->size);
    dp_packet_reset_offsets(packet);
    dp_packet_reset_offload(packet);
    packet->packet_type = htonl(PT_ETH);
}

static void
drop_batch(struct virtual_port *port, struct dp_packet_batch *batch,
           enum drop_reason reason)
{
    unsigned int n = dp_packet_batch_size(batch);
    struct dp_packet *packet;
    uint64_t n_bytes = 0;

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        n_bytes += dp_packet_size(packet);
    }
    engine_count(&datapath_thread()->count.drops[reason], n);
    virtual_port_count_tx(port, n, n_bytes, n);
    dp_packet_delete_batch(batch, true);
}

/* What the engine has to say besides what became of the packets. */
static void
send_extras(struct engine_thread *thread)
{
    struct dp_packet_batch out;

    dp_packet_batch_init(&out);
    for (size_t i = 0; i < thread->n_extras; i++) {
        const struct engine_extra *extra = &thread->extras[i];

        dp_packet_batch_add(&out, dp_packet_clone_data(
                                extra->frame + extra->ofs, extra->size));
    }
    thread->n_extras = 0;
    datapath_send_underlay(&out, thread);
}

/* Takes 'packets', 'n' of them, through the engine and on.  Returns how many
 * were dropped. */
static unsigned int
process(struct netdev_anycast *dev, const struct engine_world *world,
        struct engine_thread *thread, uint64_t now_us,
        struct dp_packet *const packets[], unsigned int n)
{
    uint32_t vni = __atomic_load_n(&dev->vni, __ATOMIC_RELAXED);
    struct engine_arrival arrivals[ENGINE_BATCH];
    struct engine_packet eps[ENGINE_BATCH];
    struct dp_packet_batch out;
    unsigned int n_dropped = 0;

    for (unsigned int i = 0; i < n; i++) {
        describe_packet(packets[i], vni, &eps[i], &arrivals[i]);
    }
    engine_process(world, thread, now_us, eps, n);

    dp_packet_batch_init(&out);
    for (unsigned int i = 0; i < n; i++) {
        const struct engine_packet *ep = &eps[i];

        if (OVS_LIKELY(ep->verdict == ENGINE_UNDERLAY)) {
            finish_packet(packets[i], ep);
            dp_packet_batch_add(&out, packets[i]);
        } else if (ep->verdict == ENGINE_DROP) {
            n_dropped++;
            dp_packet_delete(packets[i]);
        } else if (ep->verdict != ENGINE_HELD) {
            finish_packet(packets[i], ep);
            if (!virtual_port_deliver(&dev->vp, packets[i])) {
                engine_count(&thread->count.drops[DROP_REPLY_FULL], 1);
                n_dropped++;
            }
        }
    }
    if (!dp_packet_batch_is_empty(&out)) {
        datapath_send_underlay(&out, thread);
    }
    if (OVS_UNLIKELY(thread->n_extras)) {
        send_extras(thread);
    }
    if (OVS_UNLIKELY(thread->n_questions)) {
        datapath_ask(thread->questions, thread->n_questions);
    }
    return n_dropped;
}

/* Fragments whose first fragment has come since, or will not come.  The former
 * are all that came with this call's packets: none may be left over for the
 * next one, which may be another port's and another tenant's. */
static unsigned int
process_held(struct netdev_anycast *dev, const struct engine_world *world,
             struct engine_thread *thread, uint64_t now_us)
{
    struct dp_packet *packets[ENGINE_BATCH];
    unsigned int n_dropped = 0, n;
    struct dp_packet *packet;
    bool expired;

    do {
        n = 0;
        while (n < ENGINE_BATCH
               && (packet = engine_resume(thread, now_us, &expired))) {
            if (expired) {
                dp_packet_delete(packet);
                n_dropped++;
            } else {
                packets[n++] = packet;
            }
        }
        n_dropped += process(dev, world, thread, now_us, packets, n);
    } while (n == ENGINE_BATCH);
    return n_dropped;
}

/* Takes the answers to health checks out of 'batch'. */
static void
take_answers(struct netdev_anycast *dev, struct dp_packet_batch *batch)
{
    uint32_t vni = __atomic_load_n(&dev->vni, __ATOMIC_RELAXED);
    const size_t n = dp_packet_batch_size(batch);
    struct dp_packet *packet;
    size_t i;

    DP_PACKET_BATCH_REFILL_FOR_EACH (i, n, packet, batch) {
        if (flow_tnl_dst_is_set(&packet->md.tunnel)
            || !health_tap_offer(vni ? vni : packet->md.pkt_mark, packet)) {
            dp_packet_batch_refill(batch, packet, i);
        }
    }
}

/* Any number: send() does not need one for each thread, and with fewer than
 * there are threads the datapath would have them take turns. */
static int
netdev_anycast_set_tx_multiq(struct netdev *netdev, unsigned int n_txq)
{
    netdev->n_txq = n_txq;
    return 0;
}

static int
netdev_anycast_send(struct netdev *netdev, int qid OVS_UNUSED,
                    struct dp_packet_batch *batch,
                    bool concurrent_txq OVS_UNUSED)
{
    struct netdev_anycast *dev = netdev_anycast_cast(netdev);
    struct engine_thread *thread = datapath_thread();
    unsigned int n, n_packets;
    struct engine_world world = datapath_world();
    uint64_t now_us = time_usec();
    struct dp_packet *packet;
    unsigned int n_dropped;
    uint64_t n_bytes = 0;

    if (OVS_UNLIKELY(!virtual_port_is_up(&dev->vp))) {
        drop_batch(&dev->vp, batch, DROP_PORT_DOWN);
        return 0;
    }
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        n_bytes += dp_packet_size(packet);
    }
    n_packets = dp_packet_batch_size(batch);
    if (OVS_UNLIKELY(__atomic_load_n(&health_tap_is_open,
                                     __ATOMIC_RELAXED))) {
        take_answers(dev, batch);
    }
    n = dp_packet_batch_size(batch);
    n_dropped = process(dev, &world, thread, now_us, batch->packets, n);
    if (OVS_UNLIKELY(engine_has_held(thread))) {
        n_dropped += process_held(dev, &world, thread, now_us);
    }
    if (OVS_UNLIKELY(now_us - thread->ticked_us >= TICK_INTERVAL_US)) {
        thread->ticked_us = now_us;
        engine_tick(&world, thread, now_us);
    }
    virtual_port_count_tx(&dev->vp, n_packets, n_bytes, n_dropped);
    return 0;
}

#define ANYCAST_CLASS(TYPE, IS_PMD)                 \
    {                                               \
        .type = (TYPE),                             \
        .is_pmd = (IS_PMD),                         \
        VIRTUAL_PORT_CLASS_COMMON,                  \
        .alloc = netdev_anycast_alloc,              \
        .dealloc = netdev_anycast_dealloc,          \
        .set_config = netdev_anycast_set_config,    \
        .get_config = netdev_anycast_get_config,    \
        .set_tx_multiq = netdev_anycast_set_tx_multiq, \
        .send = netdev_anycast_send,                \
    }

static const struct netdev_class netdev_anycast_class
    = ANYCAST_CLASS(NETDEV_ANYCAST_TYPE, false);
static const struct netdev_class netdev_anycast_pmd_class
    = ANYCAST_CLASS(NETDEV_ANYCAST_PMD_TYPE, true);

void
netdev_anycast_register(void)
{
    netdev_register_provider(&netdev_anycast_class);
    netdev_register_provider(&netdev_anycast_pmd_class);
}

/* All anycast ports.  The caller closes them. */
static void
get_devices(struct shash *devices)
{
    netdev_get_devices(&netdev_anycast_class, devices);
    netdev_get_devices(&netdev_anycast_pmd_class, devices);
}

struct netdev_anycast_config *
netdev_anycast_get_configs(size_t *np)
{
    struct netdev_anycast_config *configs;
    struct shash devices = SHASH_INITIALIZER(&devices);
    struct shash_node *node;
    size_t n = 0;

    get_devices(&devices);
    configs = xcalloc(shash_count(&devices) + 1, sizeof *configs);
    SHASH_FOR_EACH (node, &devices) {
        struct netdev *netdev = node->data;
        struct netdev_anycast *dev = netdev_anycast_cast(netdev);
        struct netdev_anycast_config *config = &configs[n++];

        config->name = xstrdup(node->name);
        config->vni = __atomic_load_n(&dev->vni, __ATOMIC_SEQ_CST);
        ovs_mutex_lock(&dev->mutex);
        config->steer = dev->steer;
        config->steer_table = dev->steer_table;
        config->steer_priority = dev->steer_priority;
        ovs_mutex_unlock(&dev->mutex);
        netdev_close(netdev);
    }
    shash_destroy(&devices);
    *np = n;
    return configs;
}

void
netdev_anycast_free_configs(struct netdev_anycast_config *configs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(configs[i].name);
    }
    free(configs);
}

uint64_t
netdev_anycast_config_seq(void)
{
    return __atomic_load_n(&config_seq, __ATOMIC_SEQ_CST);
}

void
netdev_anycast_deliver(uint32_t vni, struct dp_packet *packet)
{
    struct shash devices = SHASH_INITIALIZER(&devices);
    struct shash_node *node;

    get_devices(&devices);
    SHASH_FOR_EACH (node, &devices) {
        struct netdev_anycast *dev = netdev_anycast_cast(node->data);
        uint32_t served = __atomic_load_n(&dev->vni, __ATOMIC_SEQ_CST);

        if (!served || served == vni) {
            virtual_port_deliver(&dev->vp, dp_packet_clone(packet));
        }
        netdev_close(node->data);
    }
    dp_packet_delete(packet);
    shash_destroy(&devices);
}
