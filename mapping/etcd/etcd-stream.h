/* The messages of a watch, out of a stream of bytes cut anywhere, put together
 * to whole revisions.  Pure.
 *
 *     etcd_stream_init(&stream, from);
 *     etcd_stream_feed(&stream, data, size, &diag);      (as they come)
 *     while (etcd_stream_next(&stream, &events, &n)) ...
 *
 * After a connection is lost, etcd_stream_restart() tells from where to ask
 * on: nothing is missed, and nothing comes twice. */

#ifndef MAPPING_ETCD_ETCD_STREAM_H
#define MAPPING_ETCD_ETCD_STREAM_H 1

#include "mapping/etcd/etcd.h"

struct etcd_stream {
    /* Read-only for users. */
    bool created;               /* etcd has confirmed the watch. */
    bool ended;                 /* It will say no more... */
    bool compacted;             /* ...as 'expected' has been compacted, */
    int code;                   /* or for this gRPC code and this reason. */
    char reason[160];
    size_t bytes;               /* Held for events. */
    size_t n_whole;             /* Events of whole revisions. */
    int64_t expected;           /* All below has come, and is whole. */

    /* Private. */
    struct json_parser *parser; /* NULL: between messages. */
    size_t message_size;        /* So far. */
    struct etcd_event *events;  /* From 'first' on 'n': those of whole
                                 * revisions, then those of a fragment. */
    size_t first, n, allocated;
    struct etcd_event *given;   /* By etcd_stream_next(). */
    size_t n_given;
};

enum {
    /* Etcd divides messages of more than 1.5 MiB (--max-request-bytes), which
     * become larger in JSON. */
    ETCD_STREAM_MAX_MESSAGE = 32 * 1024 * 1024,
    ETCD_STREAM_MAX_FRAGMENTS = 64 * 1024 * 1024, /* Bytes of a revision. */
};

void etcd_stream_init(struct etcd_stream *, int64_t from);
void etcd_stream_uninit(struct etcd_stream *);

/* Takes what has come.  Returns 0; or EPROTO with '*diag' filled in: then, as
 * when 'ended', the connection is of no more use. */
int etcd_stream_feed(struct etcd_stream *, const char *data, size_t size,
                     struct diagnosis *diag);

/* Prepares for another connection, on which the watch is to start at
 * 'expected'.  What has come stays. */
void etcd_stream_restart(struct etcd_stream *);

/* The events of the next revision, valid until the next call; or false. */
bool etcd_stream_next(struct etcd_stream *, const struct etcd_event **events,
                      size_t *n);

#endif /* mapping/etcd/etcd-stream.h */
