#include <config.h>

#include "vswitchd-ext/datapath.h"

#include <errno.h>

#include "anycast/flow-table.h"
#include "anycast/anycast-table.h"
#include "dp-packet.h"
#include "netdev.h"
#include "openvswitch/list.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "util.h"
#include "vswitchd-ext/virtual-port.h"

static OVSRCU_TYPE(struct anycast_table *) published_table;
static OVSRCU_TYPE(struct datapath_underlay *) published_underlay;
static OVSRCU_TYPE(struct flow_table *) published_flows;

/* One per thread that has ever processed packets. */
struct thread_node {
    struct ovs_list node;       /* In 'threads'. */
    struct engine_thread engine;
};

static struct ovs_mutex threads_mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list threads OVS_GUARDED_BY(threads_mutex)
    = OVS_LIST_INITIALIZER(&threads);
static struct engine_thread ended OVS_GUARDED_BY(threads_mutex);
static ovsthread_key_t thread_key;

/* Every member that is a counter, so that they can be summed up. */
static void
add_counters(struct engine_thread *total, const struct engine_thread *t)
{
    for (int i = 0; i < N_DROP_REASONS; i++) {
        total->drops[i] += engine_read(&t->drops[i]);
    }
    total->underlay += engine_read(&t->underlay);
    total->local += engine_read(&t->local);
    total->arp_replies += engine_read(&t->arp_replies);
    total->icmp_errors += engine_read(&t->icmp_errors);
    total->new_flows += engine_read(&t->new_flows);
    total->repicked += engine_read(&t->repicked);
    total->untracked += engine_read(&t->untracked);
    total->completed_csums += engine_read(&t->completed_csums);
}

static void
thread_node_end(void *node_)
{
    struct thread_node *node = node_;

    ovs_mutex_lock(&threads_mutex);
    add_counters(&ended, &node->engine);
    ovs_list_remove(&node->node);
    ovs_mutex_unlock(&threads_mutex);
    free_cacheline(node);
}

void
datapath_init(void)
{
    ovsthread_key_create(&thread_key, thread_node_end);
}

int
datapath_create_flows(size_t n_flows)
{
    struct flow_table *flows;

    if (datapath_flows()) {
        return EALREADY;
    }
    flows = flow_table_create(n_flows);
    if (!flows) {
        return ENOMEM;
    }
    ovsrcu_set(&published_flows, flows);
    return 0;
}

void
datapath_publish(struct anycast_table *table)
{
    struct anycast_table *old
        = ovsrcu_get_protected(struct anycast_table *, &published_table);

    ovsrcu_set(&published_table, table);
    if (old) {
        ovsrcu_postpone(anycast_table_destroy, old);
    }
}

void
datapath_set_underlay(struct datapath_underlay *underlay,
                      void (*release)(struct datapath_underlay *))
{
    struct datapath_underlay *old
        = ovsrcu_get_protected(struct datapath_underlay *,
                               &published_underlay);

    ovsrcu_set(&published_underlay, underlay);
    if (old) {
        ovsrcu_postpone(release, old);
    }
}

const struct anycast_table *
datapath_table(void)
{
    return ovsrcu_get(struct anycast_table *, &published_table);
}

struct flow_table *
datapath_flows(void)
{
    return ovsrcu_get(struct flow_table *, &published_flows);
}

const struct datapath_underlay *
datapath_underlay(void)
{
    return ovsrcu_get(struct datapath_underlay *, &published_underlay);
}

struct engine_thread *
datapath_thread(void)
{
    struct thread_node *node = ovsthread_getspecific(thread_key);

    if (OVS_UNLIKELY(!node)) {
        node = xzalloc_cacheline(sizeof *node);
        ovsthread_setspecific(thread_key, node);
        ovs_mutex_lock(&threads_mutex);
        ovs_list_push_back(&threads, &node->node);
        ovs_mutex_unlock(&threads_mutex);
    }
    return &node->engine;
}

void
datapath_get_counters(struct engine_thread *total)
{
    const struct thread_node *node;

    ovs_mutex_lock(&threads_mutex);
    *total = ended;
    LIST_FOR_EACH (node, node, &threads) {
        add_counters(total, &node->engine);
    }
    ovs_mutex_unlock(&threads_mutex);
}

void
datapath_send_underlay(struct dp_packet_batch *batch,
                       struct engine_thread *thread)
{
    const struct datapath_underlay *underlay = datapath_underlay();
    struct dp_packet *packet;

    if (underlay && underlay->device) {
        unsigned int n = dp_packet_batch_size(batch);

        if (netdev_send(underlay->device, 0, batch, true)) {
            /* Open vSwitch does not say how many of them got through. */
            engine_count(&thread->drops[DROP_UNDERLAY_FULL], n);
        }
        return;
    }

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        if (!underlay) {
            engine_count(&thread->drops[DROP_NO_UNDERLAY], 1);
            dp_packet_delete(packet);
        } else if (!virtual_port_deliver(underlay->port, packet)) {
            engine_count(&thread->drops[DROP_UNDERLAY_FULL], 1);
        }
    }
}
