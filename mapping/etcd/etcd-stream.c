#include <config.h>
#include "mapping/etcd/etcd-stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/etcd/etcd-answer.h"
#include "openvswitch/json.h"
#include "util.h"

void
etcd_stream_init(struct etcd_stream *stream, int64_t from)
{
    *stream = (struct etcd_stream) { .expected = from };
}

static size_t
event_size(const struct etcd_event *event)
{
    return sizeof *event + event->kv.key.size + event->kv.value.size;
}

static void
free_given(struct etcd_stream *stream)
{
    for (size_t i = 0; i < stream->n_given; i++) {
        etcd_answer_kv_uninit(&stream->given[i].kv);
    }
    free(stream->given);
    stream->given = NULL;
    stream->n_given = 0;
}

/* Forgets all events from the 'n'th on. */
static void
truncate_events(struct etcd_stream *stream, size_t n)
{
    while (stream->n > n) {
        struct etcd_event *event = &stream->events[stream->first + --stream->n];

        stream->bytes -= event_size(event);
        etcd_answer_kv_uninit(&event->kv);
    }
}

void
etcd_stream_restart(struct etcd_stream *stream)
{
    json_parser_abort(stream->parser);
    stream->parser = NULL;
    stream->message_size = 0;
    truncate_events(stream, stream->n_whole);
    stream->created = stream->ended = stream->compacted = false;
    stream->code = 0;
    stream->reason[0] = '\0';
}

void
etcd_stream_uninit(struct etcd_stream *stream)
{
    etcd_stream_restart(stream);
    truncate_events(stream, 0);
    free(stream->events);
    free_given(stream);
}

static void
add_event(struct etcd_stream *stream, const struct etcd_event *event)
{
    size_t end = stream->first + stream->n;

    if (end == stream->allocated && stream->first > stream->n) {
        memcpy(stream->events, stream->events + stream->first,
               stream->n * sizeof *stream->events);
        stream->first = 0;
    } else if (end == stream->allocated) {
        stream->events = x2nrealloc(stream->events, &stream->allocated,
                                    sizeof *stream->events);
    }
    stream->events[stream->first + stream->n++] = *event;
    stream->bytes += event_size(event);
}

/* All events below 'revision' are whole. */
static void
set_expected(struct etcd_stream *stream, int64_t revision)
{
    while (stream->n_whole < stream->n
           && (stream->events[stream->first + stream->n_whole].kv.mod_revision
               < revision)) {
        stream->n_whole++;
    }
    stream->expected = MAX(stream->expected, revision);
}

/* Whether the events of 'w' can come now. */
static int
check_events(const struct etcd_stream *stream,
             const struct etcd_answer_watch *w, struct diagnosis *diag)
{
    const struct etcd_event *last = (stream->n > stream->n_whole
                                     ? &stream->events[stream->first
                                                       + stream->n - 1]
                                     : NULL);
    int64_t least = last ? last->kv.mod_revision : stream->expected;

    if (!stream->created) {
        diagnosis_set(diag, DIAG_STORE, "created", NULL, "etcd sent events "
                      "of a watch that it has not confirmed");
        return EPROTO;
    }
    if (w->events[0].kv.mod_revision < least) {
        diagnosis_set(diag, DIAG_STORE, "mod_revision", NULL,
                      "etcd sent an event of revision %"PRId64" after "
                      "revision %"PRId64, w->events[0].kv.mod_revision,
                      least - !last);
        return EPROTO;
    }
    return 0;
}

/* Takes the events, which the stream owns then. */
static int
take_events(struct etcd_stream *stream, struct etcd_answer_watch *w,
            struct diagnosis *diag)
{
    int64_t last = w->events[w->n_events - 1].kv.mod_revision;
    int error = check_events(stream, w, diag);

    if (error) {
        return error;
    }
    for (size_t i = 0; i < w->n_events; i++) {
        add_event(stream, &w->events[i]);
    }
    w->n_events = 0;
    set_expected(stream, w->fragment ? last : last + 1);
    if (!stream->n_whole && stream->bytes > ETCD_STREAM_MAX_FRAGMENTS) {
        diagnosis_set(diag, DIAG_STORE, "events", NULL, "etcd sent more than "
                      "%d bytes as one revision", ETCD_STREAM_MAX_FRAGMENTS);
        return EPROTO;
    }
    return 0;
}

static int
take_message(struct etcd_stream *stream, struct etcd_answer_watch *w,
             struct diagnosis *diag)
{
    stream->created |= w->created;
    if (w->canceled) {
        stream->ended = true;
        stream->compacted = w->compact_revision > 0;
        ovs_strlcpy(stream->reason, w->reason, sizeof stream->reason);
        return 0;
    }
    if (w->n_events) {
        return take_events(stream, w, diag);
    }
    /* Progress: sent when nothing is left to be sent.  The confirmation, too,
     * has the current revision, but comes before the events. */
    if (!w->created && !w->fragment && stream->n == stream->n_whole) {
        set_expected(stream, w->revision + 1);
    }
    return 0;
}

static int
take_json(struct etcd_stream *stream, const struct json *json,
          struct diagnosis *diag)
{
    struct etcd_answer_watch w;
    int error;

    if (json->type != JSON_OBJECT) {
        diagnosis_set(diag, DIAG_STORE, NULL, NULL,
                      "etcd sent what is no JSON object (%s)",
                      json->type == JSON_STRING ? json_string(json)
                      : json_type_to_string(json->type));
        return EPROTO;
    }
    if (etcd_answer_refusal(json, &stream->code, stream->reason,
                            sizeof stream->reason)) {
        stream->ended = true;
        return 0;
    }
    error = etcd_answer_watch(json, &w, diag);
    if (error) {
        return error;
    }
    error = take_message(stream, &w, diag);
    etcd_answer_watch_uninit(&w);
    return error;
}

/* Takes one message, or a part of it, from the 'size' bytes at 'data'.
 * Returns 0 and how many those are. */
static int
feed_message(struct etcd_stream *stream, const char *data, size_t size,
             size_t *used, struct diagnosis *diag)
{
    struct json *json;
    int error;

    if (!stream->parser) {
        stream->parser = json_parser_create(0);
        stream->message_size = 0;
    }
    *used = json_parser_feed(stream->parser, data, size);
    stream->message_size += *used;
    if (stream->message_size > ETCD_STREAM_MAX_MESSAGE) {
        diagnosis_set(diag, DIAG_STORE, NULL, NULL,
                      "etcd sent a message of more than %d bytes",
                      ETCD_STREAM_MAX_MESSAGE);
        return EPROTO;
    }
    if (!json_parser_is_done(stream->parser)) {
        return 0;
    }
    json = json_parser_finish(stream->parser);
    stream->parser = NULL;
    error = take_json(stream, json, diag);
    json_destroy(json);
    return error;
}

int
etcd_stream_feed(struct etcd_stream *stream, const char *data, size_t size,
                 struct diagnosis *diag)
{
    int error = 0;

    while (!error && !stream->ended && size) {
        size_t used;

        /* Messages are lines; what lies between them is no message yet. */
        if (!stream->parser && strchr(" \t\r\n", data[0]) && data[0]) {
            used = 1;
        } else {
            error = feed_message(stream, data, size, &used, diag);
        }
        if (!error) {
            data += used;
            size -= used;
        }
    }
    return error;
}

bool
etcd_stream_next(struct etcd_stream *stream, const struct etcd_event **events,
                 size_t *np)
{
    struct etcd_event *first;
    size_t n = 0;

    free_given(stream);
    if (!stream->n_whole) {
        return false;
    }
    first = &stream->events[stream->first];
    while (n < stream->n_whole
           && first[n].kv.mod_revision == first->kv.mod_revision) {
        stream->bytes -= event_size(&first[n++]);
    }
    stream->given = xmemdup(first, n * sizeof *stream->given);
    stream->n_given = n;
    stream->first += n;
    stream->n -= n;
    stream->n_whole -= n;
    *events = stream->given;
    *np = n;
    return true;
}
