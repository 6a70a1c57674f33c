#include <config.h>

#include "vswitchd-ext/agent.h"

#include <errno.h>
#include <string.h>

#include "anycast/anycast-table.h"
#include "anycast/flow-table.h"
#include "latch.h"
#include "mapping/relay.h"
#include "mapping/replica/replica.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/agent-config.h"
#include "vswitchd-ext/agent-moves.h"
#include "vswitchd-ext/agent-report.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/explain.h"
#include "vswitchd-ext/flow-maker.h"
#include "vswitchd-ext/health.h"
#include "vswitchd-ext/iface-report.h"
#include "vswitchd-ext/load-report.h"
#include "vswitchd-ext/mapd-session.h"
#include "vswitchd-ext/resolver.h"
#include "vswitchd-ext/table-builder.h"
#include "vswitchd-ext/table-keeper.h"

VLOG_DEFINE_THIS_MODULE(agent);

/* The flow table is swept bit by bit, once round in SWEEP_ROUND_S. */
enum {
    SWEEP_INTERVAL_MS = 1000,
    SWEEP_ROUND_S     = 600,
    RESOLVER_RETRY_MS = 1000,
    MAX_TRACES        = 64,
};

/* What is handed over between the main thread and the agent's: held for a few
 * assignments at a time.  Lock order: 'replica_mutex', then this. */
static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static struct agent_config config OVS_GUARDED_BY(mutex); /* Owns strings. */
static bool config_changed OVS_GUARDED_BY(mutex);
static struct agent_status status OVS_GUARDED_BY(mutex); /* Written by the
                                                          * agent's thread
                                                          * alone. */
static long long int in_step_at OVS_GUARDED_BY(mutex);
static uint64_t steered_serial OVS_GUARDED_BY(mutex);
static uint64_t steered_revision OVS_GUARDED_BY(mutex);

/* Written by the agent's thread alone, which may read it without the mutex;
 * held for as long as a snapshot takes to be read. */
static struct ovs_mutex replica_mutex = OVS_MUTEX_INITIALIZER;
static struct replica replica OVS_GUARDED_BY(replica_mutex);

static struct latch exit_latch;
static struct seq *work_seq;    /* The agent has something to do. */
static struct seq *table_seq;   /* A table was published. */
static pthread_t thread;

/* The agent thread's own. */
struct agent {
    struct agent_config config; /* Copy in force; owns its strings. */
    struct mapd_session *session; /* NULL: no mapd is configured. */
    struct resolver *resolver;  /* NULL before the first session. */
    struct table_builder *builder;
    uint64_t resolver_seqno;
    bool dirty;                 /* A new table is needed. */
    uint64_t serial;            /* Of the last table. */
    unsigned int n_snapshots;   /* When it was built. */
    uint64_t snapshot_serial;   /* Of the first table after a snapshot. */
    long long int sweep_at;
    struct flow_maker *maker;
    struct table_keeper *keeper;
    struct load_report *loads;
    struct health *health;
    struct iface_report *ifaces;
    struct agent_report report;
    int resolver_error;         /* Why there is no resolver; 0: none tried. */
    long long int resolver_at;  /* When to try again. */

    struct relay_trace traces[MAX_TRACES]; /* To be answered. */
    size_t n_traces;
    struct agent_moves moves;
};

/* Configuration. */

void
agent_configure(const struct agent_config *c)
{
    static struct agent_config last; /* The main thread's own copy. */

    if (agent_config_equal(&last, c)) {
        return;
    }
    agent_config_uninit(&last);
    agent_config_copy(&last, c);

    ovs_mutex_lock(&mutex);
    agent_config_uninit(&config);
    agent_config_copy(&config, c);
    config_changed = true;
    ovs_mutex_unlock(&mutex);
    seq_change(work_seq);
}

static bool
take_config(struct agent_config *new_config)
{
    bool changed;

    ovs_mutex_lock(&mutex);
    changed = config_changed;
    if (changed) {
        config_changed = false;
        agent_config_copy(new_config, &config);
    }
    ovs_mutex_unlock(&mutex);
    return changed;
}

/* Messages that come by way of mapd. */

static void
handle_want_flows(void *agent_, const struct relay_want *want)
{
    struct agent *agent = agent_;

    agent_moves_want(&agent->moves, want);
}

static void
handle_flows(void *agent OVS_UNUSED, const struct relay_flows *flows)
{
    agent_moves_enter(flows);
}

/* The answer needs the replica, which is being changed just now. */
static void
handle_trace(void *agent_, const struct relay_trace *trace)
{
    struct agent *agent = agent_;

    if (agent->n_traces < MAX_TRACES) {
        agent->traces[agent->n_traces++] = *trace;
    }
}

static void
answer_traces(struct agent *agent)
{
    for (size_t i = 0; i < agent->n_traces; i++) {
        const struct relay_trace *trace = &agent->traces[i];
        const struct engine_question_flow flow = {
            .vni = trace->vni, .protocol = trace->protocol,
            .src = trace->src, .src_port = trace->src_port,
            .dst = trace->dst, .dst_port = trace->dst_port,
            .opens = true,
        };

        mapd_session_send_traced(agent->session, trace->id,
                                 explain_json(&flow));
    }
    agent->n_traces = 0;
}

static const struct mapd_handlers handlers = {
    .want_flows = handle_want_flows,
    .flows = handle_flows,
    .trace = handle_trace,
};

/* The session with mapd. */

static void
copy_label(record_label label, const char *text)
{
    ovs_strlcpy(label, text ? text : "", sizeof(record_label));
}

static void
describe_self(const struct agent_config *c, struct record_host *self,
              struct mapd_interest *interest)
{
    *self = (struct record_host) { .vtep = c->vtep, .encap = c->encap };
    ovs_strlcpy(self->name, c->host, sizeof self->name);
    copy_label(self->region, c->region);
    copy_label(self->zone, c->zone);
    copy_label(self->rack, c->rack);
    *interest = (struct mapd_interest) {
        .all = c->all_vnis, .vnis = c->vnis, .n_vnis = c->n_vnis,
    };
}

/* What serving needs; false if it cannot be had. */
static bool
prepare_to_serve(struct agent *agent)
{
    if (!agent->resolver) {
        int error = resolver_create(&agent->resolver);

        if (error && error != agent->resolver_error) {
            VLOG_ERR("cannot ask the kernel for routes over netlink (%s); "
                     "will try again every second", ovs_strerror(error));
        }
        agent->resolver_error = error;
        agent->resolver_at = time_msec() + RESOLVER_RETRY_MS;
    }
    return agent->resolver != NULL;
}

/* Serves nothing any more, as before the first snapshot. */
static void
forget_mapping(struct agent *agent)
{
    ovs_mutex_lock(&replica_mutex);
    replica_destroy(&replica);
    replica_init(&replica);
    ovs_mutex_unlock(&replica_mutex);

    datapath_publish(NULL);
    table_builder_destroy(agent->builder);
    agent->builder = table_builder_create();
    health_destroy(agent->health); /* Its checks are of that mapping. */
    agent->health = health_create();
    agent->dirty = false;

    ovs_mutex_lock(&mutex);
    memset(&status, 0, sizeof status);
    ovs_mutex_unlock(&mutex);
    seq_change(table_seq);
}

static void
configure_session(struct agent *agent, const struct agent_config *old)
{
    const struct agent_config *c = &agent->config;
    struct mapd_interest interest;
    struct record_host self;

    if (agent->session && c->mapd && !strcmp(c->mapd, old->mapd)
        && !strcmp(c->host, old->host)) {
        describe_self(c, &self, &interest);
        mapd_session_set_self(agent->session, &self);
        mapd_session_set_interest(agent->session, &interest);
        return;
    }

    mapd_session_destroy(agent->session);
    agent->session = NULL;
    agent_moves_forget(&agent->moves);
    if (!c->mapd) {
        forget_mapping(agent);
    } else if (prepare_to_serve(agent)) {
        describe_self(c, &self, &interest);
        agent->session = mapd_session_create(c->mapd, &self, &interest);
        mapd_session_set_handlers(agent->session, &handlers, agent);
        agent->n_snapshots = 0;
    }
}

/* Whether that is all that keeps it from having a session. */
static bool
lacks_resolver(const struct agent *agent)
{
    return agent->config.mapd && !agent->resolver;
}

static void
reconfigure(struct agent *agent)
{
    struct agent_config old = agent->config;

    if (take_config(&agent->config)) {
        agent->dirty = true;
        table_keeper_configure(agent->keeper,
                               agent->config.mapd ? agent->config.table_file
                               : NULL, agent->config.host);
        configure_session(agent, &old);
        agent_config_uninit(&old);
    } else if (lacks_resolver(agent) && time_msec() >= agent->resolver_at) {
        configure_session(agent, &agent->config);
    }
}

static void
receive(struct agent *agent)
{
    ovs_mutex_lock(&replica_mutex);
    if (mapd_session_run(agent->session, &replica)) {
        agent->dirty = true;
    }
    ovs_mutex_unlock(&replica_mutex);
}

/* Begins with the mapping of old, unless mapd is there or has been. */
static void
begin_without_mapd(struct agent *agent)
{
    long long int age_ms;

    ovs_mutex_lock(&replica_mutex);
    if (!replica.generation && mapd_session_is_away(agent->session)
        && table_keeper_load(agent->keeper, &replica, time_msec(), &age_ms)) {
        VLOG_INFO("mapd cannot be reached: began with the mapping in %s, "
                  "revision %"PRIu64", %lld s old",
                  table_keeper_path(agent->keeper), replica.revision,
                  age_ms / 1000);
        agent->dirty = true;

        ovs_mutex_lock(&mutex);
        status.from_file = true;
        in_step_at = time_msec() - age_ms;
        ovs_mutex_unlock(&mutex);
    }
    ovs_mutex_unlock(&replica_mutex);
}

/* Tells mapd which revision is in use: that of the table that was last seen
 * with its steering rules in place, unless it is from before the last
 * snapshot. */
static void
report(struct agent *agent) OVS_REQUIRES(mutex)
{
    if (agent->n_snapshots == mapd_session_n_snapshots(agent->session)
        && steered_serial >= agent->snapshot_serial) {
        mapd_session_applied(agent->session, steered_revision);
    }
}

static void
update_status(struct agent *agent) OVS_NO_THREAD_SAFETY_ANALYSIS
{
    const struct agent_subjects subjects = {
        .config = &agent->config,
        .session = agent->session,
        .resolver = agent->session ? agent->resolver : NULL,
        .resolver_error = agent->resolver ? 0 : agent->resolver_error,
        .maker = agent->maker,
        .keeper = agent->keeper,
        .replica = &replica,
    };
    struct agent_status next = status;

    /* May ask the kernel: not while the main thread waits. */
    next.configured = agent->config.mapd != NULL;
    agent_report_run(&agent->report, &subjects, &next);
    next.connected = (agent->session
                      && mapd_session_is_synced(agent->session));
    ovs_mutex_lock(&mutex);
    if (next.connected) {
        in_step_at = time_msec();
        next.from_file = false;
        report(agent);
    }
    status = next;
    ovs_mutex_unlock(&mutex);
}

/* The table. */

static bool
replica_is_filled(void) OVS_NO_THREAD_SAFETY_ANALYSIS
{
    return replica.generation != 0;
}

/* Whether there is a flow table; sees to it that there will be. */
static bool
prepare_flows(struct agent *agent) OVS_NO_THREAD_SAFETY_ANALYSIS
{
    const struct flow_maker_config c = {
        .n_flows = agent->config.n_flows,
        .n_flows6 = agent->config.n_flows6,
        .file = agent->config.flows_file,
    };

    return flow_maker_run(agent->maker, &c, &replica.key);
}

static void
publish(struct agent *agent) OVS_NO_THREAD_SAFETY_ANALYSIS
{
    struct engine_world world = datapath_world();
    struct anycast_table *table;

    ovsrcu_quiesce_start();
    table = table_builder_build(agent->builder, &replica, agent->resolver,
                                agent->config.host, agent->config.vtep,
                                agent->config.underlay_ifindex);
    table->serial = ++agent->serial;
    if (agent->n_snapshots != mapd_session_n_snapshots(agent->session)) {
        agent->n_snapshots = mapd_session_n_snapshots(agent->session);
        agent->snapshot_serial = agent->serial;
    }
    /* Flows that another process has left, or that of a group that was here
     * before. */
    world.table = table;
    engine_recount(&world, time_usec());
    ovsrcu_quiesce_end();
    datapath_publish(table);
    table_builder_published(agent->builder);
    agent_moves_note_dead(&agent->moves, &replica);

    ovs_mutex_lock(&mutex);
    status.revision = replica.revision;
    status.n_groups = hmap_count(&replica.groups);
    status.n_hosts = hmap_count(&replica.hosts);
    status.n_unresolved = table_builder_n_unresolved(agent->builder);
    ovs_mutex_unlock(&mutex);
    seq_change(table_seq);
}

static void
note_flow_ended(const struct flow_ended *ended, void *table)
{
    engine_flow_ended(table, ended);
}

static void
sweep_flows(struct agent *agent)
{
    struct flow_table *flows = datapath_flows();
    long long int now = time_msec();

    if (flows && now >= agent->sweep_at) {
        flow_table_sweep(flows, now / 1000,
                         DIV_ROUND_UP(flow_table_n_buckets(flows),
                                      SWEEP_ROUND_S),
                         note_flow_ended,
                         CONST_CAST(struct anycast_table *, datapath_table()));
        datapath_tick_idle(time_usec());
        agent->sweep_at = now + SWEEP_INTERVAL_MS;
    }
}

static void
check_health(struct agent *agent) OVS_NO_THREAD_SAFETY_ANALYSIS
{
    health_run(agent->health, &replica, agent->config.host, agent->session);
}

static void
keep_mapping(struct agent *agent) OVS_NO_THREAD_SAFETY_ANALYSIS
{
    ovsrcu_quiesce_start();
    table_keeper_run(agent->keeper, &replica,
                     mapd_session_is_synced(agent->session));
    ovsrcu_quiesce_end();
}

/* What takes longer the larger the mapping is, this thread does while it is
 * quiescent, here or in what it calls: when a port changes, Open vSwitch has
 * the main thread, which forwards packets, wait for all threads that are not.
 * The tables that RCU protects may be used nevertheless: only this thread
 * replaces them. */
static void
agent_run(struct agent *agent)
{
    reconfigure(agent);
    if (agent->session) {
        uint64_t seqno;

        ovsrcu_quiesce_start();
        receive(agent);
        begin_without_mapd(agent);
        ovsrcu_quiesce_end();
        answer_traces(agent);
        seqno = resolver_run(agent->resolver);
        if (seqno != agent->resolver_seqno) {
            agent->resolver_seqno = seqno;
            agent->dirty = true;
        }
        if (replica_is_filled() && prepare_flows(agent)) {
            if (agent->dirty) {
                agent->dirty = false;
                publish(agent);
            }
            mapd_session_set_serving(agent->session);
        }
        keep_mapping(agent);
        check_health(agent);
        iface_report_run(agent->ifaces, agent->config.host, agent->session,
                         time_msec());
        load_report_run(agent->loads, agent->builder, agent->session);
        agent_moves_run(&agent->moves, agent->session);
    }
    update_status(agent);
    sweep_flows(agent);
}

static void
stop_keeping(struct agent *agent) OVS_NO_THREAD_SAFETY_ANALYSIS
{
    table_keeper_destroy(agent->keeper, &replica);
}

static void *
agent_main(void *agent_)
{
    struct agent *agent = agent_;

    while (!latch_is_set(&exit_latch)) {
        uint64_t seq = seq_read(work_seq);
        uint64_t questions = seq_read(datapath_question_seq());

        agent_run(agent);
        seq_wait(work_seq, seq);
        seq_wait(datapath_question_seq(), questions);
        latch_wait(&exit_latch);
        if (datapath_flows()) {
            poll_timer_wait_until(agent->sweep_at);
        }
        if (lacks_resolver(agent)) {
            poll_timer_wait_until(agent->resolver_at);
        }
        flow_maker_wait(agent->maker);
        if (agent->session) {
            agent_moves_wait(&agent->moves);
            resolver_wait(agent->resolver);
            mapd_session_wait(agent->session);
            table_keeper_wait(agent->keeper);
            load_report_wait(agent->loads);
            health_wait(agent->health);
            iface_report_wait(agent->ifaces);
        }
        poll_block();
    }

    datapath_publish(NULL);
    stop_keeping(agent);
    load_report_destroy(agent->loads);
    health_destroy(agent->health);
    iface_report_destroy(agent->ifaces);
    mapd_session_destroy(agent->session);
    table_builder_destroy(agent->builder);
    resolver_destroy(agent->resolver);
    flow_maker_destroy(agent->maker);
    agent_config_uninit(&agent->config);
    agent_moves_uninit(&agent->moves);
    free(agent);
    return NULL;
}

void
agent_start(void)
{
    struct agent *agent = xzalloc(sizeof *agent);

    agent->builder = table_builder_create();
    agent->maker = flow_maker_create();
    agent->keeper = table_keeper_create();
    agent->loads = load_report_create();
    agent->health = health_create();
    agent->ifaces = iface_report_create();
    agent_moves_init(&agent->moves);
    ovs_mutex_lock(&replica_mutex);
    replica_init(&replica);
    ovs_mutex_unlock(&replica_mutex);
    latch_init(&exit_latch);
    work_seq = seq_create();
    table_seq = seq_create();
    thread = ovs_thread_create("agent", agent_main, agent);
}

void
agent_stop(void)
{
    latch_set(&exit_latch);
    xpthread_join(thread, NULL);
    latch_destroy(&exit_latch);
    seq_destroy(work_seq);
    seq_destroy(table_seq);
    ovs_mutex_lock(&replica_mutex);
    replica_destroy(&replica);
    ovs_mutex_unlock(&replica_mutex);
    ovs_mutex_lock(&mutex);
    agent_config_uninit(&config);
    ovs_mutex_unlock(&mutex);
}

/* Questions and news from the main thread. */

void
agent_steered(uint64_t serial, uint64_t revision)
{
    static uint64_t last;       /* The main thread's own copy. */

    if (serial != last) {
        last = serial;
        ovs_mutex_lock(&mutex);
        steered_serial = serial;
        steered_revision = revision;
        ovs_mutex_unlock(&mutex);
        seq_change(work_seq);
    }
}

void
agent_wait(void)
{
    static uint64_t seen;
    uint64_t seq = seq_read(table_seq);

    if (seq != seen) {
        seen = seq;
        poll_immediate_wake();
    } else {
        seq_wait(table_seq, seq);
    }
}

void
agent_get_status(struct agent_status *s)
{
    ovs_mutex_lock(&mutex);
    *s = status;
    s->age_ms = (status.revision && !status.connected
                 ? time_msec() - in_step_at : 0);
    ovs_mutex_unlock(&mutex);
}

bool
agent_describe(uint32_t id, uint16_t index, struct record_group *group,
               struct record_endpoint *endpoint)
{
    const struct replica_endpoint *re = NULL;
    const struct replica_group *rg;

    ovs_mutex_lock(&replica_mutex);
    rg = replica_find_group_by_id(&replica, id);
    if (rg && group) {
        *group = rg->record;
    }
    if (rg && endpoint) {
        re = replica_find_endpoint(rg, index);
    }
    if (re) {
        *endpoint = re->record;
    }
    ovs_mutex_unlock(&replica_mutex);
    return endpoint ? re != NULL : rg != NULL;
}
