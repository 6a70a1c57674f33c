#include <config.h>

#include "vswitchd-ext/table-keeper.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/replica/replica-json.h"
#include "mapping/replica/replica.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "ovs-rcu.h"
#include "ovs-thread.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/table-file.h"

VLOG_DEFINE_THIS_MODULE(table_keeper);

enum {
    PAUSE_MS   = 1000,          /* Between the end of a job and the next, or */
    PAUSE_PART = 20,            /* so many times as long as the job took. */
    CONFIRM_MS = 10000,         /* Between two notes that mapd agrees. */
    RETRY_MS   = 30000,         /* After a failure. */
};

/* What the thread works on.  Its own until 'done' is set. */
struct job {
    pthread_t thread;
    struct seq *seq;            /* Changes when it is done. */
    bool done;                  /* Atomic. */
    char *path, *host;
    struct json *snapshot;      /* NULL: just confirm. */
    uint64_t revision, generation; /* Of it. */
    long long int began;        /* time_msec(), before it was encoded. */
    int error;
};

struct table_keeper {
    struct seq *seq;
    char *path, *host;          /* NULL: nothing is kept. */
    bool tried;                 /* To load it. */
    struct job *job;            /* At work, or NULL. */
    bool job_is_old;            /* From another configuration: what comes of
                                 * it is of no interest. */
    uint64_t kept;              /* Generation that is in the file; 0: none. */
    long long int write_at, confirm_at; /* Not before. */
    long long int due;          /* For table_keeper_wait(); or LLONG_MAX. */
    int error;                  /* Of the last job; 0: it was well. */
    char *remark;
};

struct table_keeper *
table_keeper_create(void)
{
    struct table_keeper *k = xzalloc(sizeof *k);

    k->seq = seq_create();
    k->due = LLONG_MAX;
    return k;
}

/* The thread. */

static void
write_table(struct job *job)
{
    char *text = json_to_string(job->snapshot, 0);

    json_destroy(job->snapshot);
    job->snapshot = NULL;
    job->error = table_file_write(job->path, job->host, job->revision, text,
                                  strlen(text));
    free(text);
}

static void *
job_main(void *job_)
{
    struct job *job = job_;
    struct seq *seq = job->seq;

    /* A disk may take its time, and RCU must not wait for it. */
    ovsrcu_quiesce_start();
    if (job->snapshot) {
        write_table(job);
    } else {
        job->error = table_file_confirm(job->path);
    }
    __atomic_store_n(&job->done, true, __ATOMIC_RELEASE);
    seq_change(seq);
    return NULL;
}

/* The agent's side. */

static void
start(struct table_keeper *k, const struct replica *replica)
{
    struct job *job = xzalloc(sizeof *job);

    job->seq = k->seq;
    job->path = xstrdup(k->path);
    job->host = xstrdup(k->host);
    job->began = time_msec();
    job->generation = k->kept;
    if (replica) {
        job->snapshot = replica_to_json(replica, job->began);
        job->revision = replica->revision;
        job->generation = replica->generation;
    }
    job->thread = ovs_thread_create("table_keeper", job_main, job);
    k->job = job;
}

static void
set_remark(struct table_keeper *k, char *remark)
{
    if (remark && (!k->remark || strcmp(remark, k->remark))) {
        VLOG_WARN("%s", remark);
    }
    free(k->remark);
    k->remark = remark;
}

static void
take_result(struct table_keeper *k, const struct job *job)
{
    long long int now = time_msec();

    k->error = job->error;
    k->write_at = now + (job->error ? RETRY_MS
                         : MAX(PAUSE_MS, (now - job->began) * PAUSE_PART));
    k->confirm_at = now + CONFIRM_MS;
    if (job->error) {
        k->kept = 0;            /* Somebody may have deleted it. */
        set_remark(k, xasprintf("%s: %s; the mapping is not kept for a start "
                                "without mapd (external_ids:"
                                "grapnel-table-file)", job->path,
                                table_file_error(job->error)));
    } else {
        k->kept = job->generation;
        set_remark(k, NULL);
    }
}

/* Waits for the job, unless it is done. */
static void
finish(struct table_keeper *k)
{
    struct job *job = k->job;

    xpthread_join(job->thread, NULL);
    if (!k->job_is_old) {
        take_result(k, job);
    }
    k->job = NULL;
    k->job_is_old = false;
    free(job->path);
    free(job->host);
    free(job);
}

void
table_keeper_configure(struct table_keeper *k, const char *path,
                       const char *host)
{
    if (nullable_string_is_equal(host ? path : NULL, k->path)
        && nullable_string_is_equal(host, k->host)) {
        return;
    }
    k->job_is_old = k->job != NULL; /* It may take its time. */
    free(k->path);
    free(k->host);
    k->path = host ? nullable_xstrdup(path) : NULL;
    k->host = nullable_xstrdup(host);
    k->tried = false;
    k->kept = 0;
    k->error = 0;
    k->write_at = k->confirm_at = 0;
    set_remark(k, NULL);
}

bool
table_keeper_load(struct table_keeper *k, struct replica *replica,
                  int64_t now_ms, long long int *age_ms)
{
    struct json *snapshot;
    struct diagnosis diag;
    char *why;

    if (!k->path || k->tried) {
        return false;
    }
    k->tried = true;
    snapshot = table_file_read(k->path, k->host, age_ms, &why);
    if (snapshot && replica_load_snapshot(replica, snapshot, now_ms - *age_ms,
                                          &diag)) {
        why = xasprintf("damaged: %s", diag.message);
    }
    json_destroy(snapshot);
    if (why) {
        set_remark(k, xasprintf("%s: %s; there is no mapping until mapd can "
                                "be reached", k->path, why));
        free(why);
        return false;
    } else if (!snapshot) {
        VLOG_INFO("%s: no mapping to begin with", k->path);
        return false;
    }
    k->kept = replica->generation;
    return true;
}

void
table_keeper_run(struct table_keeper *k, const struct replica *replica,
                 bool confirmed)
{
    bool is_kept = k->kept && k->kept == replica->generation;

    if (k->job && __atomic_load_n(&k->job->done, __ATOMIC_ACQUIRE)) {
        finish(k);
        is_kept = k->kept && k->kept == replica->generation;
    }
    k->due = LLONG_MAX;
    if (!k->path || k->job || !replica->generation) {
        return;
    }
    k->due = !is_kept ? k->write_at : confirmed ? k->confirm_at : LLONG_MAX;
    if (time_msec() >= k->due) {
        start(k, is_kept ? NULL : replica);
    }
}

void
table_keeper_wait(const struct table_keeper *k)
{
    if (k->job) {
        uint64_t seq = seq_read(k->seq);

        if (__atomic_load_n(&k->job->done, __ATOMIC_ACQUIRE)) {
            poll_immediate_wake();
        }
        seq_wait(k->seq, seq);
    } else if (k->due != LLONG_MAX) {
        poll_timer_wait_until(k->due);
    }
}

void
table_keeper_destroy(struct table_keeper *k, const struct replica *replica)
{
    if (!k) {
        return;
    }
    if (k->job) {
        finish(k);
    }
    if (k->path && !k->error && replica->generation
        && k->kept != replica->generation) {
        start(k, replica);
        finish(k);
    }
    seq_destroy(k->seq);
    free(k->path);
    free(k->host);
    free(k->remark);
    free(k);
}

const char *
table_keeper_path(const struct table_keeper *k)
{
    return k->path;
}

const char *
table_keeper_remark(const struct table_keeper *k)
{
    return k->remark;
}
