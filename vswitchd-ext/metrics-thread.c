#include <config.h>

#include "vswitchd-ext/metrics-thread.h"

#include <stdlib.h>
#include <string.h>

#include "latch.h"
#include "mapping/metrics-server.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/agent.h"
#include "vswitchd-ext/switch-metrics.h"

VLOG_DEFINE_THIS_MODULE(metrics_thread);

enum { RETRY_MS = 1000 };       /* After the address could not be bound. */

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 1);

/* The main thread's. */
static char *wanted;            /* Address, or NULL. */
static struct metrics_server *server; /* NULL: there is no thread.  The
                                       * thread's own while there is one. */
static pthread_t thread;
static long long int retry_at;

static struct latch exit_latch;

/* What the main thread has said last. */
static struct ovs_mutex mutex = OVS_MUTEX_INITIALIZER;
static long long int beat_at OVS_GUARDED_BY(mutex);
static size_t rules OVS_GUARDED_BY(mutex);
static char *error_text OVS_GUARDED_BY(mutex);

void
metrics_thread_init(void)
{
    latch_init(&exit_latch);
    metrics_thread_beat(0, NULL); /* It has just begun. */
}

/* The thread. */

static void
write_metrics(struct metrics *m, void *aux OVS_UNUSED)
{
    size_t n_rules;

    ovs_mutex_lock(&mutex);
    n_rules = rules;
    ovs_mutex_unlock(&mutex);
    switch_metrics_write(m, n_rules);
}

/* While mapd is away the switch goes on: that alone is no fault of it. */
static char *
find_problem(void *aux OVS_UNUSED)
{
    struct agent_status status;
    char *problem = NULL;
    long long int silent;

    agent_get_status(&status);
    ovs_mutex_lock(&mutex);
    silent = time_msec() - beat_at;
    if (silent > METRICS_THREAD_STALL_MS) {
        problem = xasprintf("the main thread has been busy for %lld s",
                            silent / 1000);
    } else if (error_text) {
        problem = xstrdup(error_text);
    } else if (status.trouble[0]) {
        problem = xstrdup(status.trouble);
    } else if (status.refusal[0]) {
        problem = xasprintf("mapd does not register this host: %s",
                            status.refusal);
    } else if (status.configured && !status.revision) {
        problem = xstrdup("no mapping received yet: no anycast address is "
                          "served");
    }
    ovs_mutex_unlock(&mutex);
    return problem;
}

static void *
thread_main(void *aux OVS_UNUSED)
{
    while (!latch_is_set(&exit_latch)) {
        metrics_server_run(server);
        metrics_server_wait(server);
        latch_wait(&exit_latch);
        poll_block();
    }
    return NULL;
}

/* The main thread. */

static void
stop(void)
{
    if (server) {
        latch_set(&exit_latch);
        xpthread_join(thread, NULL);
        latch_poll(&exit_latch);
        metrics_server_destroy(server);
        server = NULL;
    }
}

static void
start(void)
{
    const struct metrics_source source = {
        .write = write_metrics, .problem = find_problem,
    };
    struct diagnosis diag;

    if (metrics_server_create(wanted, "external_ids:grapnel-metrics", &source,
                              &server, &diag)) {
        VLOG_WARN_RL(&rl, "%s; %s", diag.message, diag.hint);
        retry_at = time_msec() + RETRY_MS;
        return;
    }
    thread = ovs_thread_create("metrics", thread_main, NULL);
}

void
metrics_thread_configure(const char *address)
{
    if (!nullable_string_is_equal(address, wanted)) {
        stop();
        free(wanted);
        wanted = nullable_xstrdup(address);
        retry_at = 0;
    }
    if (wanted && !server && time_msec() >= retry_at) {
        start();
    }
}

void
metrics_thread_beat(size_t n_rules, const char *config_error)
{
    ovs_mutex_lock(&mutex);
    beat_at = time_msec();
    rules = n_rules;
    if (!nullable_string_is_equal(config_error, error_text)) {
        free(error_text);
        error_text = nullable_xstrdup(config_error);
    }
    ovs_mutex_unlock(&mutex);
}

void
metrics_thread_exit(void)
{
    metrics_thread_configure(NULL);
    metrics_thread_beat(0, NULL);
    latch_destroy(&exit_latch);
}
