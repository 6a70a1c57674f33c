/* Answers of etcd's JSON gateway, decoded and checked.  Pure.
 *
 * Members that are not there are 0, false or empty (so the gateway writes
 * them); unknown ones are ignored, as later versions of etcd add some.
 * Functions that return an error return EPROTO, with '*diag' filled in (it
 * names the member and its value) and nothing else touched. */

#ifndef MAPPING_ETCD_ETCD_ANSWER_H
#define MAPPING_ETCD_ETCD_ANSWER_H 1

#include "mapping/etcd/etcd.h"

struct json;

/* Parses the 'size' bytes at 'text', an object. */
int etcd_answer_parse(const char *text, size_t size, struct json **,
                      struct diagnosis *);

/* Appends the pairs of a range to '*kvs'.  'more' says that there are others
 * after them. */
int etcd_answer_range(const struct json *, struct etcd_kvs *, bool *more,
                      int64_t *revision, struct diagnosis *);
int etcd_answer_txn(const struct json *, bool *succeeded, int64_t *revision,
                    struct diagnosis *);
/* The revision in the header of a request's answer, at least 1. */
int etcd_answer_revision(const struct json *, int64_t *revision,
                         struct diagnosis *);
/* 'id' is not 0, 'ttl_s' is 1...INT_MAX / 1000. */
int etcd_answer_grant(const struct json *, int64_t *id, int *ttl_s,
                      struct diagnosis *);
/* 'ttl_s' is 0 if the lease is gone. */
int etcd_answer_keepalive(const struct json *, int *ttl_s,
                          struct diagnosis *);
/* The caller owns the token, which fits into a line of an HTTP header. */
int etcd_answer_token(const struct json *, char **token, struct diagnosis *);

/* One message of a watch. */
struct etcd_answer_watch {
    bool created, canceled, fragment;
    int64_t revision;           /* Of the header; 0 if cancelled. */
    int64_t compact_revision;   /* 0: not cancelled for compaction. */
    struct etcd_event *events;  /* By ascending mod_revision. */
    size_t n_events;
    char reason[128];           /* Why it was cancelled, or "". */
};
int etcd_answer_watch(const struct json *, struct etcd_answer_watch *,
                      struct diagnosis *);
/* Frees the events. */
void etcd_answer_watch_uninit(struct etcd_answer_watch *);

/* If 'json' is an error, of a request or of a stream: true, its gRPC code and
 * its text, cut to 'size' bytes. */
bool etcd_answer_refusal(const struct json *, int *code, char *text,
                         size_t size);

/* Frees what the pair's key and value point to. */
void etcd_answer_kv_uninit(struct etcd_kv *);

#endif /* mapping/etcd/etcd-answer.h */
