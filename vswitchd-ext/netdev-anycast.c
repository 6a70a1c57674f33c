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
#include "vswitchd-ext/virtual-port.h"

VLOG_DEFINE_THIS_MODULE(netdev_anycast);

enum {
    STEER_DEFAULT_TABLE    = 0,
    STEER_MAX_TABLE        = 253,
    STEER_DEFAULT_PRIORITY = 30000,
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

/* Describes 'packet' to the engine. */
static void
describe_packet(struct dp_packet *packet, uint32_t vni,
                struct engine_packet *ep)
{
    /* Packets as ports receive them have room enough.  A controller's
     * (packet-out), and copies that the switch makes of a packet with several
     * outputs, may have none; for them it is worth an allocation. */
    if (OVS_UNLIKELY(dp_packet_headroom(packet) < TUNNEL_MAX_OVERHEAD)
        && packet->source == DPBUF_MALLOC) {
        dp_packet_prealloc_headroom(packet, TUNNEL_MAX_OVERHEAD);
    }
    ep->data = dp_packet_data(packet);
    ep->size = dp_packet_size(packet);
    ep->headroom = dp_packet_headroom(packet);
    ep->vni = vni ? vni : packet->md.pkt_mark;
    ep->from_tunnel = flow_tnl_dst_is_set(&packet->md.tunnel);
    ep->partial_csum = dp_packet_hwol_l4_mask(packet) != 0;
    ep->tso = dp_packet_hwol_is_tso(packet);
}

/* Makes 'packet' the frame that the engine left in 'ep', with nothing of what
 * the switch knew about the packet that it was. */
static void
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
    engine_count(&datapath_thread()->drops[reason], n);
    virtual_port_count_tx(port, n, n_bytes, n);
    dp_packet_delete_batch(batch, true);
}

static int
netdev_anycast_send(struct netdev *netdev, int qid OVS_UNUSED,
                    struct dp_packet_batch *batch,
                    bool concurrent_txq OVS_UNUSED)
{
    struct netdev_anycast *dev = netdev_anycast_cast(netdev);
    uint32_t vni = __atomic_load_n(&dev->vni, __ATOMIC_RELAXED);
    struct engine_thread *thread = datapath_thread();
    struct engine_packet packets[ENGINE_BATCH];
    unsigned int n = dp_packet_batch_size(batch);
    unsigned int n_dropped = 0;
    struct dp_packet_batch out;
    struct dp_packet *packet;
    uint64_t n_bytes = 0;

    if (OVS_UNLIKELY(!virtual_port_is_up(&dev->vp))) {
        drop_batch(&dev->vp, batch, DROP_PORT_DOWN);
        return 0;
    }
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        describe_packet(packet, vni, &packets[i]);
        n_bytes += packets[i].size;
    }

    engine_process(datapath_table(), datapath_flows(), thread, time_msec(),
                   packets, n);

    dp_packet_batch_init(&out);
    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        const struct engine_packet *ep = &packets[i];

        if (ep->verdict == ENGINE_DROP) {
            n_dropped++;
            dp_packet_delete(packet);
            continue;
        }
        finish_packet(packet, ep);
        if (ep->verdict == ENGINE_UNDERLAY) {
            dp_packet_batch_add(&out, packet);
        } else if (!virtual_port_deliver(&dev->vp, packet)) {
            engine_count(&thread->drops[DROP_REPLY_FULL], 1);
            n_dropped++;
        }
    }
    if (!dp_packet_batch_is_empty(&out)) {
        datapath_send_underlay(&out, thread);
    }
    virtual_port_count_tx(&dev->vp, n, n_bytes, n_dropped);
    return 0;
}

static const struct netdev_class netdev_anycast_class = {
    .type = NETDEV_ANYCAST_TYPE,
    VIRTUAL_PORT_CLASS_COMMON,
    .alloc = netdev_anycast_alloc,
    .dealloc = netdev_anycast_dealloc,
    .set_config = netdev_anycast_set_config,
    .get_config = netdev_anycast_get_config,
    .send = netdev_anycast_send,
};

void
netdev_anycast_register(void)
{
    netdev_register_provider(&netdev_anycast_class);
}

struct netdev_anycast_config *
netdev_anycast_get_configs(size_t *np)
{
    struct netdev_anycast_config *configs;
    struct shash devices = SHASH_INITIALIZER(&devices);
    struct shash_node *node;
    size_t n = 0;

    netdev_get_devices(&netdev_anycast_class, &devices);
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
