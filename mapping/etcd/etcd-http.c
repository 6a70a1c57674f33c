/* libcurl tells which sockets to watch and when it wants to be called
 * (curl_multi_socket_action(3)).  curl_multi_fdset() is of no use here: mapd
 * has more than FD_SETSIZE file descriptors. */

#include <config.h>
#include "mapping/etcd/etcd-http.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mapping/etcd/etcd.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

enum {
    KEEPALIVE_IDLE_S = 5,       /* Of TCP, for streams that say nothing. */
    KEEPALIVE_INTERVAL_S = 2,
    MAX_CONNECTIONS = 2 * ETCD_MAX_MEMBERS,
};

struct etcd_http {
    CURLM *multi;
    char *ca, *cert, *key;
    struct ovs_list calls;      /* Contains "struct etcd_http_call"s. */
    struct pollfd *sockets;     /* That libcurl wants watched. */
    size_t n_sockets, allocated_sockets;
    long long int timer_ms;     /* When it wants to be called, LLONG_MAX:
                                 * only for its sockets. */
};

long long int
etcd_http_now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts);
    return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Called by libcurl. */
static int
watch_socket(CURL *easy OVS_UNUSED, curl_socket_t fd, int what, void *http_,
             void *aux OVS_UNUSED)
{
    struct etcd_http *http = http_;
    size_t i = 0;

    while (i < http->n_sockets && http->sockets[i].fd != fd) {
        i++;
    }
    if (what == CURL_POLL_REMOVE) {
        if (i < http->n_sockets) {
            http->sockets[i] = http->sockets[--http->n_sockets];
        }
        return 0;
    }
    if (i == http->n_sockets) {
        if (http->n_sockets == http->allocated_sockets) {
            http->sockets = x2nrealloc(http->sockets,
                                       &http->allocated_sockets,
                                       sizeof *http->sockets);
        }
        http->n_sockets++;
    }
    http->sockets[i] = (struct pollfd) {
        .fd = fd,
        .events = ((what & CURL_POLL_IN ? POLLIN : 0)
                   | (what & CURL_POLL_OUT ? POLLOUT : 0)),
    };
    return 0;
}

/* Called by libcurl. */
static int
set_timer(CURLM *multi OVS_UNUSED, long int timeout_ms, void *http_)
{
    struct etcd_http *http = http_;

    http->timer_ms = (timeout_ms < 0 ? LLONG_MAX
                      : etcd_http_now() + timeout_ms);
    return 0;
}

struct etcd_http *
etcd_http_create(const char *ca, const char *cert, const char *key)
{
    struct etcd_http *http = xzalloc(sizeof *http);

    curl_global_init(CURL_GLOBAL_DEFAULT);
    http->multi = curl_multi_init();
    ovs_assert(http->multi);
    http->ca = nullable_xstrdup(ca);
    http->cert = nullable_xstrdup(cert);
    http->key = nullable_xstrdup(key);
    http->timer_ms = LLONG_MAX;
    ovs_list_init(&http->calls);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS,
                      (long int) MAX_CONNECTIONS);
    return http;
}

void
etcd_http_destroy(struct etcd_http *http)
{
    if (http) {
        ovs_assert(ovs_list_is_empty(&http->calls));
        curl_multi_cleanup(http->multi);
        curl_global_cleanup();
        free(http->ca);
        free(http->cert);
        free(http->key);
        free(http->sockets);
        free(http);
    }
}

/* Called by libcurl, for more of the request.  There is deliberately no way
 * back to its beginning: libcurl would send it again when a connection that it
 * has used before turns out to be dead, and a transaction might be done
 * twice. */
static size_t
read_body(char *buffer, size_t size, size_t n, void *call_)
{
    struct etcd_http_call *call = call_;
    size_t left = strlen(call->request.body + call->body_ofs);
    size_t length = MIN(size * n, left);

    memcpy(buffer, call->request.body + call->body_ofs, length);
    call->body_ofs += length;
    call->sent = true;
    call->moved_ms = etcd_http_now();
    return length;
}

/* Called by libcurl, with more of the answer. */
static size_t
write_body(char *data, size_t size, size_t n, void *call_)
{
    struct etcd_http_call *call = call_;
    bool later = false;

    size *= n;
    call->moved_ms = etcd_http_now();
    if (call->request.sink) {
        if (!call->request.sink(call->request.aux, data, size, &later)) {
            return 0;
        }
        call->paused = later;
        return later ? CURL_WRITEFUNC_PAUSE : size;
    }
    if (call->body.length + size > ETCD_MAX_ANSWER) {
        return 0;
    }
    ds_put_buffer(&call->body, data, size);
    return size;
}

static void
add_header(struct etcd_http_call *call, const char *name, const char *value)
{
    char *line = xasprintf("%s:%s%s", name, value[0] ? " " : "", value);

    call->headers = curl_slist_append(call->headers, line);
    free(line);
}

static void
set_headers(struct etcd_http_call *call)
{
    add_header(call, "Content-Type", "application/json");
    /* Without a leader etcd shall say so, rather than nothing. */
    add_header(call, "Grpc-Metadata-hasleader", "true");
    /* Do not wait to be told to go on with a large request. */
    add_header(call, "Expect", "");
    if (call->request.token) {
        add_header(call, "Authorization", call->request.token);
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
}

static void
set_tls(CURL *easy, const struct etcd_http *http)
{
    if (http->ca) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, http->ca);
        curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
    }
    if (http->cert) {
        curl_easy_setopt(easy, CURLOPT_SSLCERT, http->cert);
        curl_easy_setopt(easy, CURLOPT_SSLKEY, http->key);
    }
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2);
}

static void
set_transport(CURL *easy)
{
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, (long int) KEEPALIVE_IDLE_S);
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPINTVL,
                     (long int) KEEPALIVE_INTERVAL_S);
}

static void
set_request(struct etcd_http_call *call)
{
    const struct etcd_http_request *r = &call->request;
    char *url = xasprintf("%s%s", r->url, r->path);
    CURL *easy = call->easy;

    curl_easy_setopt(easy, CURLOPT_URL, url);
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->error);
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                     (curl_off_t) strlen(r->body));
    curl_easy_setopt(easy, CURLOPT_READFUNCTION, read_body);
    curl_easy_setopt(easy, CURLOPT_READDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, write_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    free(url);
}

struct etcd_http_call *
etcd_http_start(struct etcd_http *http,
                const struct etcd_http_request *request)
{
    struct etcd_http_call *call = xzalloc(sizeof *call);

    call->http = http;
    call->request = *request;
    call->easy = curl_easy_init();
    ovs_assert(call->easy);
    ds_init(&call->body);
    call->started_ms = call->moved_ms = etcd_http_now();
    set_transport(call->easy);
    set_tls(call->easy, http);
    set_request(call);
    set_headers(call);
    /* It has copied them, or has no more use for them. */
    call->request.url = call->request.path = call->request.token = NULL;
    ovs_list_push_back(&http->calls, &call->node);
    curl_multi_add_handle(http->multi, call->easy);
    return call;
}

void
etcd_http_finish(struct etcd_http_call *call)
{
    if (call) {
        curl_multi_remove_handle(call->http->multi, call->easy);
        curl_easy_cleanup(call->easy);
        curl_slist_free_all(call->headers);
        ovs_list_remove(&call->node);
        ds_destroy(&call->body);
        free(call->request.body);
        free(call);
    }
}

void
etcd_http_resume(struct etcd_http_call *call)
{
    if (call->paused) {
        call->paused = false;
        call->moved_ms = etcd_http_now();
        curl_easy_pause(call->easy, CURLPAUSE_CONT);
    }
}

static void
set_done(struct etcd_http_call *call, CURLcode code)
{
    call->done = true;
    call->code = code;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &call->status);
    if (code && !call->error[0]) {
        ovs_strlcpy(call->error, curl_easy_strerror(code),
                    sizeof call->error);
    }
}

/* When 'call' is given up unless something happens. */
static long long int
expiry(const struct etcd_http_call *call)
{
    return (call->done || call->paused || !call->request.idle_ms ? LLONG_MAX
            : call->moved_ms + call->request.idle_ms);
}

static void
expire_calls(struct etcd_http *http)
{
    long long int now = etcd_http_now();
    struct etcd_http_call *call;

    LIST_FOR_EACH (call, node, &http->calls) {
        if (expiry(call) <= now) {
            snprintf(call->error, sizeof call->error, "no answer in %d ms",
                     call->request.idle_ms);
            set_done(call, CURLE_OPERATION_TIMEDOUT);
            curl_multi_remove_handle(http->multi, call->easy);
        }
    }
}

static void
collect_results(struct etcd_http *http)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(http->multi, &left))) {
        CURLcode code = message->data.result;
        struct etcd_http_call *call;
        char *private;

        if (message->msg == CURLMSG_DONE) {
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
                              &private);
            call = (void *) private;
            if (!call->done) {
                set_done(call, code);
            }
        }
    }
}

/* When etcd_http_run() has something to do, without any socket. */
static long long int
next_time(const struct etcd_http *http)
{
    const struct etcd_http_call *call;
    long long int when = http->timer_ms;

    LIST_FOR_EACH (call, node, &http->calls) {
        when = MIN(when, expiry(call));
    }
    return when;
}

static int
socket_mask(short int events)
{
    return ((events & (POLLIN | POLLHUP) ? CURL_CSELECT_IN : 0)
            | (events & POLLOUT ? CURL_CSELECT_OUT : 0)
            | (events & (POLLERR | POLLNVAL) ? CURL_CSELECT_ERR : 0));
}

/* Waits, and hands libcurl the sockets that are ready. */
static void
serve_sockets(struct etcd_http *http, int timeout_ms)
{
    size_t n = http->n_sockets;
    struct pollfd *ready;
    int running;

    if (!n && !timeout_ms) {
        return;
    }
    /* libcurl changes http->sockets meanwhile. */
    ready = xmalloc(n * sizeof *ready);
    if (n) {
        memcpy(ready, http->sockets, n * sizeof *ready);
    }
    if (poll(ready, n, timeout_ms) > 0) {
        for (size_t i = 0; i < n; i++) {
            if (ready[i].revents) {
                curl_multi_socket_action(http->multi, ready[i].fd,
                                         socket_mask(ready[i].revents),
                                         &running);
            }
        }
    }
    free(ready);
}

static void
serve_timer(struct etcd_http *http)
{
    int running;

    if (http->timer_ms <= etcd_http_now()) {
        http->timer_ms = LLONG_MAX;
        curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0,
                                 &running);
    }
}

void
etcd_http_run(struct etcd_http *http, int timeout_ms)
{
    /* Starts what has been added, which makes the sockets known. */
    serve_timer(http);

    long long int left = next_time(http) - etcd_http_now();
    serve_sockets(http, MAX(0, MIN(timeout_ms, left)));
    serve_timer(http);
    collect_results(http);
    expire_calls(http);
}

void
etcd_http_wait(struct etcd_http *http)
{
    long long int when = next_time(http);

    for (size_t i = 0; i < http->n_sockets; i++) {
        poll_fd_wait(http->sockets[i].fd, http->sockets[i].events);
    }
    if (when != LLONG_MAX) {
        long long int left = when - etcd_http_now();

        poll_timer_wait(MAX(0, left));
    }
}
