#include <config.h>

#include "vswitchd-ext/flow-maker.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "anycast/flow-table.h"
#include "anycast/source-table.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "random.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/flow-file.h"

VLOG_DEFINE_THIS_MODULE(flow_maker);

enum {
    N_SOURCES    = 65536,       /* Clients of this host. */
    LOCK_WAIT_MS = 5000,        /* For another process's flow file, ... */
    LOCK_POLL_MS = 50,          /* ... looked at this often. */
    RETRY_MS     = 30000,       /* After a failure. */
};

/* What the thread works on.  Its own until 'done' is set, then the agent's. */
struct job {
    pthread_t thread;
    struct flow_maker_config config; /* Owns 'file'. */
    struct hash_key key;
    struct seq *seq;            /* Changes when it is done. */
    bool done;                  /* Atomic. */

    struct flow_table *flows;   /* NULL if it failed, ... */
    struct flow_file *file;     /* What it is in; NULL: memory of its own. */
    struct source_table *sources;
    char *remark;               /* ... and why. */
};

struct flow_maker {
    struct seq *seq;
    enum flow_maker_state state;
    struct job *job;            /* At work. */
    struct flow_maker_config config; /* Of the last job; owns 'file'. */
    struct flow_file *file;     /* That of the table; never unmapped. */
    struct hash_key key;        /* That the file is for. */
    long long int retry_at;
    char *remark;
};

static bool
config_equal(const struct flow_maker_config *a,
             const struct flow_maker_config *b)
{
    return (a->n_flows == b->n_flows && a->n_flows6 == b->n_flows6
            && nullable_string_is_equal(a->file, b->file));
}

static void
config_set(struct flow_maker_config *dst, const struct flow_maker_config *src)
{
    char *file = nullable_xstrdup(src->file);

    free(CONST_CAST(char *, dst->file));
    *dst = *src;
    dst->file = file;
}

/* The thread. */

/* Bytes that the kernel could give without swapping; UINT64_MAX if it does not
 * say.  More than these would have it kill somebody in the end. */
static uint64_t
available_memory(void)
{
    FILE *file = fopen("/proc/meminfo", "re");
    uint64_t kb = UINT64_MAX;
    char line[128];

    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemAvailable: %"SCNu64" kB", &kb) == 1) {
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return kb == UINT64_MAX ? kb : kb * 1024;
}

/* Maps the file.  Waits for the process before, which may be on its way
 * out. */
static int
map_file(const struct job *job, size_t size, struct flow_file **file)
{
    long long int deadline = time_msec() + LOCK_WAIT_MS;
    int error;

    while ((error = flow_file_map(job->config.file, size, file)) == EAGAIN
           && time_msec() < deadline) {
        usleep(LOCK_POLL_MS * 1000);
    }
    return error;
}

static const char *
file_error_text(int error)
{
    return (error == EAGAIN ? "another process uses it"
            : error == EEXIST ? "it has something else in it, which is left "
                                "alone"
            : error == EINVAL ? "not a regular file of this user's"
            : ovs_strerror(error));
}

/* Makes the table in the file, or notes why not. */
static void
make_in_file(struct job *job, const struct flow_table_size *size)
{
    const char *path = job->config.file;
    size_t adopted;
    int error = map_file(job, flow_table_memory(size), &job->file);

    if (!error) {
        job->flows = flow_table_create_at(size, flow_file_memory(job->file),
                                          flow_file_stamp(job->key.word),
                                          &adopted);
        error = job->flows ? 0 : ENOMEM;
    }
    if (error) {
        flow_file_discard(job->file);
        job->file = NULL;
        job->remark = xasprintf("%s: %s; flows are kept in memory only, and "
                                "forgotten when the switch restarts "
                                "(external_ids:grapnel-flows-file)",
                                path, file_error_text(error));
        VLOG_WARN("%s", job->remark);
    } else if (adopted) {
        VLOG_INFO("%s: %"PRIuSIZE" flows go on where they were", path,
                  adopted);
    } else {
        VLOG_INFO("%s: no flows to go on with (a new file, or one of another "
                  "size, boot or mapping)", path);
    }
}

static void
fail(struct job *job, char *why)
{
    free(job->remark);
    job->remark = why;
    VLOG_ERR("%s; nothing is served", why);
}

static void
make_in_memory(struct job *job, const struct flow_table_size *size)
{
    uint64_t needed = flow_table_memory(size), available = available_memory();

    if (needed <= available) {
        job->flows = flow_table_create(size);
    }
    if (!job->flows) {
        fail(job, xasprintf("no memory for a flow table of %"PRIu64" MiB "
                            "(%"PRIu64" MiB are available): lower "
                            "external_ids:grapnel-flows, now %"PRIuSIZE", "
                            "and grapnel-flows6, now %"PRIuSIZE,
                            needed >> 20, available >> 20,
                            job->config.n_flows, job->config.n_flows6));
    }
}

static void
make(struct job *job)
{
    const struct flow_table_size size = {
        .n_flows4 = job->config.n_flows, .n_flows6 = job->config.n_flows6,
    };
    struct hash_key sources_key;

    if (!flow_table_memory(&size)) {
        fail(job, xasprintf("a flow table of %"PRIuSIZE" and %"PRIuSIZE
                            " flows is too large: lower "
                            "external_ids:grapnel-flows", size.n_flows4,
                            size.n_flows6));
        return;
    }
    random_bytes(&sources_key, sizeof sources_key);
    sources_key.word[0] |= 1;
    sources_key.word[1] |= 1;
    job->sources = source_table_create(N_SOURCES, &sources_key);
    if (!job->sources) {
        fail(job, xstrdup("no memory for the table of clients"));
        return;
    }
    if (job->config.file) {
        make_in_file(job, &size);
    }
    if (!job->flows) {
        make_in_memory(job, &size);
    }
}

static void *
make_main(void *job_)
{
    struct job *job = job_;
    struct seq *seq = job->seq;

    /* Nobody waits for this thread, RCU included. */
    ovsrcu_quiesce_start();
    make(job);
    __atomic_store_n(&job->done, true, __ATOMIC_RELEASE);
    seq_change(seq);
    return NULL;
}

/* The agent's side. */

struct flow_maker *
flow_maker_create(void)
{
    struct flow_maker *m = xzalloc(sizeof *m);

    m->seq = seq_create();
    return m;
}

static void
job_destroy(struct job *job)
{
    free(CONST_CAST(char *, job->config.file));
    free(job);
}

/* Of a thread that was at work when its maker went: it needs this, and the
 * 'seq' in it, to the end of the process.  Nobody reads it but those who look
 * for leaks.  A process has one maker. */
static struct job *volatile abandoned;

void
flow_maker_destroy(struct flow_maker *m)
{
    if (m) {
        if (m->job) {
            pthread_detach(m->job->thread);
            abandoned = m->job;
        } else {
            seq_destroy(m->seq);
        }
        flow_file_forget(m->file);
        free(CONST_CAST(char *, m->config.file));
        free(m->remark);
        free(m);
    }
}

static void
start(struct flow_maker *m, const struct flow_maker_config *config,
      const struct hash_key *key)
{
    struct job *job = xzalloc(sizeof *job);

    config_set(&job->config, config);
    config_set(&m->config, config);
    job->key = m->key = *key;
    job->seq = m->seq;
    m->job = job;
    m->state = FLOW_MAKER_MAKING;
    free(m->remark);
    m->remark = NULL;
    job->thread = ovs_thread_create("flow_maker", make_main, job);
}

static void
finish(struct flow_maker *m)
{
    struct job *job = m->job;

    /* It may be about to change 'seq', which goes with the maker. */
    xpthread_join(job->thread, NULL);
    m->job = NULL;
    m->remark = job->remark;
    if (job->flows) {
        m->state = FLOW_MAKER_READY;
        m->file = job->file;
        datapath_set_flows(job->flows, job->sources);
    } else {
        m->state = FLOW_MAKER_FAILED;
        m->retry_at = time_msec() + RETRY_MS;
        source_table_destroy(job->sources);
    }
    job_destroy(job);
}

/* There is a table; 'config' is for the next process. */
static void
follow_config(struct flow_maker *m, const struct flow_maker_config *config)
{
    bool moves = !nullable_string_is_equal(config->file, m->config.file);

    VLOG_INFO("external_ids:grapnel-flows, -flows6 and -flows-file take "
              "effect when the switch starts the next time");
    config_set(&m->config, config);
    if (moves && m->file) {
        char *old = xstrdup(flow_file_path(m->file));
        int error = flow_file_move(m->file, config->file);

        if (error) {
            VLOG_WARN("%s: deleted, as it cannot be moved to %s (%s); its "
                      "flows will be forgotten when the switch restarts", old,
                      config->file, ovs_strerror(error));
        } else if (*old) {
            VLOG_INFO("%s: %s%s", old, config->file ? "moved to " : "deleted",
                      config->file ? config->file : "");
        }
        free(old);
    }
}

/* Another deployment's key came while the switch runs.  New flows are placed
 * by it, and are those that the next process will look for. */
static void
follow_key(struct flow_maker *m, const struct hash_key *key)
{
    m->key = *key;
    if (m->file) {
        flow_table_set_stamp(datapath_flows(), flow_file_stamp(key->word));
    }
}

bool
flow_maker_run(struct flow_maker *m, const struct flow_maker_config *config,
               const struct hash_key *key)
{
    if (m->job && __atomic_load_n(&m->job->done, __ATOMIC_ACQUIRE)) {
        finish(m);
    }
    if (m->state == FLOW_MAKER_READY && !config_equal(config, &m->config)) {
        follow_config(m, config);
    } else if (m->state == FLOW_MAKER_IDLE
               || (m->state == FLOW_MAKER_FAILED
                   && (time_msec() >= m->retry_at
                       || !config_equal(config, &m->config)))) {
        start(m, config, key);
    }
    if (m->state == FLOW_MAKER_READY && memcmp(key, &m->key, sizeof *key)) {
        follow_key(m, key);
    }
    return m->state == FLOW_MAKER_READY;
}

void
flow_maker_wait(const struct flow_maker *m)
{
    if (m->job) {
        uint64_t seq = seq_read(m->seq);

        if (__atomic_load_n(&m->job->done, __ATOMIC_ACQUIRE)) {
            poll_immediate_wake();
        }
        seq_wait(m->seq, seq);
    } else if (m->state == FLOW_MAKER_FAILED) {
        poll_timer_wait_until(m->retry_at);
    }
}

enum flow_maker_state
flow_maker_get_state(const struct flow_maker *m)
{
    return m->state;
}

const char *
flow_maker_state_name(enum flow_maker_state state)
{
    static const char *const names[] = {
        [FLOW_MAKER_IDLE] = "none",
        [FLOW_MAKER_MAKING] = "making",
        [FLOW_MAKER_READY] = "ready",
        [FLOW_MAKER_FAILED] = "failed",
    };

    return names[state];
}

const char *
flow_maker_remark(const struct flow_maker *m)
{
    return m->remark;
}
