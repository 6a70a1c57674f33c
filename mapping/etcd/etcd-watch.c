/* A watch is a request whose answer does not end.  A member that has lost the
 * others goes on saying nothing, as does a network that drops everything: so
 * while the watch is open, its member is asked now and then for something that
 * it cannot answer without a majority of the others. */

#include <config.h>
#include "mapping/etcd/etcd-private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/etcd/etcd-answer.h"
#include "mapping/etcd/etcd-request.h"
#include "mapping/etcd/etcd-stream.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(etcd_watch);

enum {
    OPEN_MS   = 2 * ETCD_ATTEMPT_MS, /* Until etcd confirms a watch. */
    RETRY_MS  = 200,            /* After all members have failed. */
    PROBE_MS  = 1000,           /* Between probes, and for an answer. */
    MAX_PROBES = 2,             /* Without an answer: try another member. */
    BACKLOG   = 16 * 1024 * 1024, /* Bytes; then etcd has to wait. */
};

struct etcd_watch {
    struct ovs_list node;       /* In etcd->watches. */
    struct etcd *etcd;
    struct etcd_bytes prefix;   /* Owned. */
    struct etcd_stream stream;
    struct diagnosis broken;    /* Why the stream cannot be read. */
    bool is_broken;
    bool compacted;
    int64_t given;              /* Highest revision given out. */

    struct etcd_ask ask;        /* The stream. */
    long long int opened_ms;
    long long int next_ms;      /* When to open it again. */
    int n_failed;               /* Streams, since a probe was answered. */

    struct etcd_ask probe;
    int64_t probe_least;        /* The revision that it must find. */
    long long int probe_ms;     /* When to send the next. */
    int n_unanswered;           /* Probes. */
    long long int heard_ms;     /* The member knew a majority then. */
};

struct etcd_watch *
etcd_watch_create(struct etcd *etcd, struct etcd_bytes prefix, int64_t from)
{
    struct etcd_watch *watch = xzalloc(sizeof *watch);
    uint8_t *copy = xmalloc(prefix.size + 1);

    if (prefix.size) {
        memcpy(copy, prefix.data, prefix.size);
    }
    watch->etcd = etcd;
    watch->prefix = (struct etcd_bytes) { copy, prefix.size };
    watch->given = from - 1;
    etcd_stream_init(&watch->stream, from);
    ovs_list_push_back(&etcd->watches, &watch->node);
    return watch;
}

static void
close_stream(struct etcd_watch *watch)
{
    etcd_ask_cancel(&watch->ask);
    etcd_ask_cancel(&watch->probe);
    etcd_stream_restart(&watch->stream);
    watch->is_broken = false;
}

void
etcd_watch_destroy(struct etcd_watch *watch)
{
    if (watch) {
        close_stream(watch);
        etcd_stream_uninit(&watch->stream);
        ovs_list_remove(&watch->node);
        free(CONST_CAST(void *, watch->prefix.data));
        free(watch);
    }
}

static bool
is_open(const struct etcd_watch *watch)
{
    return watch->ask.http && !watch->ask.http->done && !watch->is_broken
        && !watch->stream.ended;
}

/* Until when the watch is known to work, if nothing more is heard. */
static long long int
silent_from(const struct etcd_watch *watch)
{
    return watch->heard_ms + ETCD_WATCH_SILENT_MS;
}

enum etcd_watch_state
etcd_watch_state(const struct etcd_watch *watch)
{
    return (watch->compacted ? ETCD_WATCH_COMPACTED
            : (is_open(watch) && watch->stream.created
               && etcd_http_now() < silent_from(watch)) ? ETCD_WATCH_OK
            : ETCD_WATCH_SILENT);
}

/* Takes a piece of the stream. */
static bool
take_piece(void *watch_, const char *data, size_t size, bool *later)
{
    struct etcd_watch *watch = watch_;

    if (watch->stream.bytes > BACKLOG && watch->stream.n_whole) {
        *later = true;
        return true;
    }
    watch->is_broken = etcd_stream_feed(&watch->stream, data, size,
                                        &watch->broken) != 0;
    return !watch->is_broken;
}

static void
open_stream(struct etcd_watch *watch)
{
    const struct etcd_http_request request = {
        .path = "/v3/watch",
        .body = etcd_request_watch(watch->prefix, watch->stream.expected),
        .sink = take_piece,
        .aux = watch,
    };

    etcd_ask_start(watch->etcd, &watch->ask, watch->etcd->members.current,
                   &request);
    watch->opened_ms = etcd_http_now();
    watch->probe_ms = watch->opened_ms;
    watch->n_unanswered = 0;
}

/* What ended the stream. */
static void
judge(const struct etcd_watch *watch, struct etcd_failure *failure)
{
    const struct etcd_stream *stream = &watch->stream;

    if (watch->is_broken) {
        *failure = (struct etcd_failure) {
            .remedy = ETCD_REMEDY_MEND, .error = EPROTO,
        };
        ovs_strlcpy(failure->text, watch->broken.message,
                    sizeof failure->text);
    } else if (stream->compacted) {
        *failure = (struct etcd_failure) {
            .remedy = ETCD_REMEDY_GIVE_UP, .error = ENODATA,
        };
    } else if (stream->ended) {
        etcd_failure_from_refusal(stream->code, stream->reason, failure);
    } else if (watch->ask.http->done && watch->ask.http->code) {
        etcd_failure_from_call(watch->ask.http, failure);
    } else {
        *failure = (struct etcd_failure) {
            .remedy = ETCD_REMEDY_ASK_ANOTHER, .error = ETIMEDOUT,
        };
        ovs_strlcpy(failure->text, (watch->ask.http->done
                                    ? "the watch has ended"
                                    : "the watch is silent"),
                    sizeof failure->text);
    }
}

/* The stream is of no more use: opens another one, at once if there are
 * members that have not been tried. */
static void
fail(struct etcd_watch *watch)
{
    static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(6, 6);
    struct etcd *etcd = watch->etcd;
    struct etcd_failure failure;

    judge(watch, &failure);
    etcd_ask_heed(etcd, &watch->ask, &failure);
    watch->compacted = failure.error == ENODATA;
    if (failure.remedy == ETCD_REMEDY_GIVE_UP && !watch->compacted) {
        VLOG_ERR_RL(&rl, "watch: %s", failure.text);
    }
    watch->n_failed++;
    watch->next_ms = etcd_http_now();
    if (failure.remedy == ETCD_REMEDY_GIVE_UP
        || !(watch->n_failed % etcd->members.n)) {
        watch->next_ms += RETRY_MS;
    }
    close_stream(watch);
}

/* Takes the answer to a probe sent at 'sent_ms', which has etcd's current
 * revision. */
static void
take_probe(struct etcd_watch *watch, const struct json *answer,
           long long int sent_ms)
{
    struct diagnosis diag;
    int64_t revision;

    if (etcd_answer_revision(answer, &revision, &diag)) {
        watch->n_unanswered++;
    } else if (revision < watch->probe_least) {
        VLOG_ERR("etcd has gone back from revision %"PRId64" to %"PRId64
                 ": it was restored from a backup, or is another one",
                 watch->probe_least, revision);
        watch->compacted = true;
    } else {
        watch->n_unanswered = watch->n_failed = 0;
        watch->heard_ms = sent_ms;
    }
}

static void
start_probe(struct etcd_watch *watch)
{
    const struct etcd_http_request request = {
        .path = "/v3/kv/range",
        .body = etcd_request_probe(watch->prefix),
        .idle_ms = PROBE_MS,
    };

    etcd_ask_start(watch->etcd, &watch->probe, watch->ask.member, &request);
    watch->probe_least = watch->stream.expected - 1;
    watch->probe_ms = etcd_http_now() + PROBE_MS;
}

static void
run_probe(struct etcd_watch *watch)
{
    long long int sent_ms = watch->probe.http ? watch->probe.http->started_ms
        : 0;
    struct etcd_failure failure;
    struct json *answer;
    int error;

    if (etcd_ask_finish(watch->etcd, &watch->probe, &answer, &error,
                        &failure)) {
        if (!error) {
            take_probe(watch, answer, sent_ms);
            json_destroy(answer);
        } else {
            watch->n_unanswered++;
        }
    }
    if (!watch->probe.http && watch->stream.created
        && etcd_login_ready(watch->etcd)
        && etcd_http_now() >= watch->probe_ms) {
        start_probe(watch);
    }
}

/* When the watch must be confirmed: later if all members were too late. */
static long long int
late_from(const struct etcd_watch *watch)
{
    int round = watch->n_failed / watch->etcd->members.n;

    return watch->opened_ms + (OPEN_MS << MIN(round, 3));
}

static void
run_stream(struct etcd_watch *watch)
{
    if (watch->ask.http) {
        if (!is_open(watch)
            || (!watch->stream.created
                && etcd_http_now() >= late_from(watch))
            || watch->n_unanswered >= MAX_PROBES) {
            fail(watch);
        } else if (watch->stream.bytes <= BACKLOG
                   || !watch->stream.n_whole) {
            etcd_http_resume(watch->ask.http);
        }
    } else if (etcd_login_ready(watch->etcd)
               && etcd_http_now() >= watch->next_ms) {
        open_stream(watch);
    }
}

void
etcd_watch_run_all(struct etcd *etcd)
{
    struct etcd_watch *watch;

    LIST_FOR_EACH (watch, node, &etcd->watches) {
        if (!watch->compacted) {
            run_stream(watch);
            run_probe(watch);
        }
        if (watch->compacted) {
            close_stream(watch);
        }
    }
}

/* When there is something to do or the state changes, if nothing comes. */
static long long int
next_time(const struct etcd_watch *watch)
{
    long long int now = etcd_http_now();
    long long int when = LLONG_MAX;

    if (watch->compacted || !etcd_login_ready(watch->etcd)) {
        return LLONG_MAX;
    }
    if (!watch->ask.http) {
        return watch->next_ms;
    }
    if (!is_open(watch)) {
        return now;
    }
    if (!watch->stream.created) {
        return late_from(watch);
    }
    if (!watch->probe.http) {
        when = watch->probe_ms;
    }
    if (now < silent_from(watch)) {
        when = MIN(when, silent_from(watch));
    }
    return when;
}

void
etcd_watch_wait_all(struct etcd *etcd)
{
    const struct etcd_watch *watch;

    LIST_FOR_EACH (watch, node, &etcd->watches) {
        long long int when = next_time(watch);

        if (watch->stream.n_whole) {
            poll_immediate_wake();
        } else if (when != LLONG_MAX) {
            poll_timer_wait(MAX(0, when - etcd_http_now()));
        }
    }
}

bool
etcd_watch_next(struct etcd_watch *watch, const struct etcd_event **events,
                size_t *n, int64_t *revision)
{
    if (!etcd_stream_next(&watch->stream, events, n)) {
        watch->given = MAX(watch->given, watch->stream.expected - 1);
        return false;
    }
    *revision = (*events)[0].kv.mod_revision;
    watch->given = *revision;
    return true;
}

int64_t
etcd_watch_revision(const struct etcd_watch *watch)
{
    return watch->given;
}
