#include <config.h>

#include "vswitchd-ext/datapath.h"

#include <errno.h>

#include "anycast/anycast-table.h"
#include "dp-packet.h"
#include "netdev-provider.h"
#include "openvswitch/list.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "random.h"
#include "seq.h"
#include "util.h"
#include "vswitchd-ext/virtual-port.h"

static OVSRCU_TYPE(struct anycast_table *) published_table;
static OVSRCU_TYPE(struct datapath_underlay *) published_underlay;
static OVSRCU_TYPE(struct flow_table *) published_flows;
static OVSRCU_TYPE(struct source_table *) published_sources;

/* One per thread that processes packets.  That of a thread that has ended is
 * kept for the next one: what it has begun to follow (handshakes) counts in
 * endpoints' loads until it ends. */
struct thread_node {
    struct ovs_list node;       /* In 'threads'. */
    bool idle;                  /* Nobody's.  Under 'threads_mutex'. */
    struct engine_thread engine; /* Its thread's; if idle, for who holds
                                  * 'threads_mutex'. */
};

static struct ovs_mutex threads_mutex = OVS_MUTEX_INITIALIZER;
static struct ovs_list threads OVS_GUARDED_BY(threads_mutex)
    = OVS_LIST_INITIALIZER(&threads);
static ovsthread_key_t thread_key;

enum {
    MAX_QUESTIONS = 64,         /* Ten a second are asked. */
};

/* Ten a second are asked at most, so that a packet thread takes this mutex
 * hardly ever. */
static struct ovs_mutex questions_mutex = OVS_MUTEX_INITIALIZER;
static struct engine_question questions[MAX_QUESTIONS]
    OVS_GUARDED_BY(questions_mutex);
static size_t n_questions OVS_GUARDED_BY(questions_mutex);
static struct seq *question_seq;

/* All members of struct engine_counters are counters. */
static void
add_counters(struct engine_counters *total, const struct engine_counters *c)
{
    const uint64_t *from = (const uint64_t *) c;
    uint64_t *to = (uint64_t *) total;

    BUILD_ASSERT(sizeof *c % sizeof *from == 0);
    for (size_t i = 0; i < sizeof *c / sizeof *from; i++) {
        to[i] += engine_read(&from[i]);
    }
}

/* Drops the packets that 'engine' holds. */
static void
drop_held(struct engine_thread *engine)
{
    struct dp_packet *packet;
    bool expired;

    while ((packet = engine_resume(engine, UINT64_MAX, &expired))) {
        dp_packet_delete(packet);
    }
}

static void
thread_node_end(void *node_)
{
    struct thread_node *node = node_;

    drop_held(&node->engine);
    ovs_mutex_lock(&threads_mutex);
    node->idle = true;
    ovs_mutex_unlock(&threads_mutex);
}

static struct hash_key
random_key(void)
{
    struct hash_key key;

    random_bytes(&key, sizeof key);
    key.word[0] |= 1;
    key.word[1] |= 1;
    return key;
}

void
datapath_init(void)
{
    ovsthread_key_create(&thread_key, thread_node_end);
    question_seq = seq_create();
}

void
datapath_set_flows(struct flow_table *flows, struct source_table *sources)
{
    ovs_assert(!datapath_flows());
    ovsrcu_set(&published_sources, sources);
    ovsrcu_set(&published_flows, flows);
}

/* Questions about sources, from packet threads to the agent's. */

void
datapath_ask(const struct engine_question *new, size_t n)
{
    ovs_mutex_lock(&questions_mutex);
    for (size_t i = 0; i < n && n_questions < MAX_QUESTIONS; i++) {
        questions[n_questions++] = new[i];
    }
    ovs_mutex_unlock(&questions_mutex);
    seq_change(question_seq);
}

size_t
datapath_take_questions(struct engine_question *taken, size_t max)
{
    size_t n;

    ovs_mutex_lock(&questions_mutex);
    n = MIN(n_questions, max);
    memcpy(taken, questions, n * sizeof *taken);
    n_questions -= n;
    memmove(questions, questions + n, n_questions * sizeof *questions);
    ovs_mutex_unlock(&questions_mutex);
    return n;
}

struct seq *
datapath_question_seq(void)
{
    return question_seq;
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

struct source_table *
datapath_sources(void)
{
    return ovsrcu_get(struct source_table *, &published_sources);
}

struct engine_world
datapath_world(void)
{
    return (struct engine_world) {
        .table = datapath_table(),
        .flows = datapath_flows(),
        .sources = datapath_sources(),
    };
}

const struct datapath_underlay *
datapath_underlay(void)
{
    return ovsrcu_get(struct datapath_underlay *, &published_underlay);
}

static struct thread_node *
take_idle_node(void)
{
    struct thread_node *node;

    ovs_mutex_lock(&threads_mutex);
    LIST_FOR_EACH (node, node, &threads) {
        if (node->idle) {
            node->idle = false;
            ovs_mutex_unlock(&threads_mutex);
            return node;
        }
    }
    ovs_mutex_unlock(&threads_mutex);
    return NULL;
}

static struct thread_node *
create_node(void)
{
    struct thread_node *node = xzalloc_cacheline(sizeof *node);
    struct hash_key key = random_key();

    if (!engine_thread_init(&node->engine, key.word[0] ^ key.word[1], &key)) {
        out_of_memory();
    }
    ovs_mutex_lock(&threads_mutex);
    ovs_list_push_back(&threads, &node->node);
    ovs_mutex_unlock(&threads_mutex);
    return node;
}

struct engine_thread *
datapath_thread(void)
{
    struct thread_node *node = ovsthread_getspecific(thread_key);

    if (OVS_UNLIKELY(!node)) {
        node = take_idle_node();
        if (!node) {
            node = create_node();
        }
        ovsthread_setspecific(thread_key, node);
    }
    return &node->engine;
}

void
datapath_tick_idle(uint64_t now_us)
{
    struct engine_world world = datapath_world();
    struct thread_node *node;

    ovs_mutex_lock(&threads_mutex);
    LIST_FOR_EACH (node, node, &threads) {
        if (node->idle) {
            engine_tick(&world, &node->engine, now_us);
        }
    }
    ovs_mutex_unlock(&threads_mutex);
}

void
datapath_get_counters(struct engine_counters *total)
{
    const struct thread_node *node;

    ovs_mutex_lock(&threads_mutex);
    memset(total, 0, sizeof *total);
    LIST_FOR_EACH (node, node, &threads) {
        add_counters(total, &node->engine.count);
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
        struct netdev *device = underlay->device;
        unsigned int n = dp_packet_batch_size(batch);

        /* Not by netdev_send(), which looks at each packet for offloads that
         * the device does not have: ours ask for none. */
        if (device->netdev_class->send(device, 0, batch, true)) {
            /* Open vSwitch does not say how many of them got through. */
            engine_count(&thread->count.drops[DROP_UNDERLAY_FULL], n);
        }
        return;
    }

    DP_PACKET_BATCH_FOR_EACH (i, packet, batch) {
        if (!underlay) {
            engine_count(&thread->count.drops[DROP_NO_UNDERLAY], 1);
            dp_packet_delete(packet);
        } else if (!virtual_port_deliver(underlay->port, packet)) {
            engine_count(&thread->count.drops[DROP_UNDERLAY_FULL], 1);
        }
    }
}
