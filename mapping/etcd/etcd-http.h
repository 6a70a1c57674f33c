/* HTTP POST of JSON over libcurl's multi interface, in Open vSwitch's poll
 * loop and outside of it.
 *
 *     call = etcd_http_start(http, &request);
 *     while (!call->done) {
 *         etcd_http_run(http, 100);        (waits for up to 100 ms)
 *     }
 *     if (!call->code) { ...call->status, call->body... }
 *     etcd_http_finish(call);
 *
 * HTTP/1.1 only, without proxies, redirections and cookies; connections are
 * kept and used again, and no request is sent twice.  Not thread-safe. */

#ifndef MAPPING_ETCD_ETCD_HTTP_H
#define MAPPING_ETCD_ETCD_HTTP_H 1

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/list.h"

struct etcd_http;

/* PEM files, each may be NULL: then the system's authorities, and no
 * certificate of our own.  The strings are copied. */
struct etcd_http *etcd_http_create(const char *ca, const char *cert,
                                   const char *key);
/* All calls must have been finished. */
void etcd_http_destroy(struct etcd_http *);

/* Waits for up to 'timeout_ms' (0: not at all) for something to happen, and
 * does what there is to do. */
void etcd_http_run(struct etcd_http *, int timeout_ms);
/* Makes poll_block() wake up when etcd_http_run() has something to do. */
void etcd_http_wait(struct etcd_http *);

struct etcd_http_request {
    const char *url;            /* Scheme, host and port of the member. */
    const char *path;           /* "/v3/kv/range". */
    char *body;                 /* Ownership is taken. */
    const char *token;          /* NULL: none. */
    /* The call fails with CURLE_OPERATION_TIMEDOUT if nothing at all comes or
     * goes for so long; 0: that is no reason to fail. */
    int idle_ms;
    /* Takes each piece of the answer, instead of 'body' below; returns false
     * to break the call off, and '*later' true, having taken nothing, to be
     * given it again after etcd_http_resume(). */
    bool (*sink)(void *aux, const char *data, size_t size, bool *later);
    void *aux;
};

struct etcd_http_call {
    /* Read-only for users. */
    bool done;
    bool sent;                  /* A member may have the request. */
    CURLcode code;              /* When done; CURLE_OK: there is an answer. */
    long int status;            /* HTTP status. */
    struct ds body;             /* At most ETCD_MAX_ANSWER bytes. */
    char error[CURL_ERROR_SIZE]; /* If 'code', why. */
    long long int started_ms;   /* By etcd_http_now(). */

    /* Private. */
    struct ovs_list node;       /* In http->calls. */
    struct etcd_http *http;
    struct etcd_http_request request;
    struct curl_slist *headers;
    CURL *easy;
    size_t body_ofs;            /* How much of the request was read. */
    long long int moved_ms;     /* When something last came or went. */
    bool paused;
};

struct etcd_http_call *etcd_http_start(struct etcd_http *,
                                       const struct etcd_http_request *);
/* Ends a call in whatever state; may be NULL.  Not from a sink. */
void etcd_http_finish(struct etcd_http_call *);
/* Goes on with a call whose sink said 'later'. */
void etcd_http_resume(struct etcd_http_call *);

/* Milliseconds by a clock that also counts while the machine is suspended:
 * leases run out then, too. */
long long int etcd_http_now(void);

#endif /* mapping/etcd/etcd-http.h */
