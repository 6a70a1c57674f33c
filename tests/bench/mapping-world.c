/* The connections are watched by epoll rather than OVS's poll loop, which
 * looks at each of them every time: what is measured is mapd, not a thousand
 * hosts on one machine. */

#include <config.h>
#include "tests/bench/mapping-world.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "stream-fd.h"
#include "stream.h"
#include "util.h"

enum {
    PATIENCE_MS = 120 * 1000,   /* Then a run has failed. */
    EVENTS      = 64,
    CROWD       = 4,            /* Hosts without a replica, at a time. */
};

int64_t
world_now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static void
fail(const char *what)
{
    fprintf(stderr, "mapping: %s\n", what);
    exit(1);
}

/* mapd. */

static int
try_connect(const struct world *w)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ovs_strlcpy(sun.sun_path, w->socket, sizeof sun.sun_path);
    if (fd < 0 || connect(fd, (struct sockaddr *) &sun, sizeof sun)) {
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static void
exec_mapd(const struct world *w)
{
    const char *build = getenv("GRAPNEL_BUILD");
    char *program = xasprintf("%s/grapnel-mapd", build ? build : "build");
    char *store = (strchr(w->store, ':')
                   ? xasprintf("--store=%s", w->store)
                   : xasprintf("--store=%s:%s/store.db", w->store,
                               w->directory));
    char *listen = xasprintf("--listen=punix:%s", w->socket);
    char *control = xasprintf("--unixctl=%s/ctl", w->directory);

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* It ends with us, however we end. */
    execl(program, program, store, listen, control, "--host-timeout=60",
          "-vconsole:err", "-vsyslog:off", (char *) NULL);
    fprintf(stderr, "%s: %s\n", program, strerror(errno));
    _exit(127);
}

void
world_start_mapd(struct world *w)
{
    int64_t until = world_now_us() + PATIENCE_MS * INT64_C(1000);
    int fd;

    unlink(w->socket);
    w->mapd = fork();
    if (!w->mapd) {
        exec_mapd(w);
    }
    while ((fd = try_connect(w)) < 0) {
        if (world_now_us() > until || waitpid(w->mapd, NULL, WNOHANG)) {
            fail("grapnel-mapd does not start");
        }
        usleep(500);
    }
    close(fd);
}

/* 'tag' NULL: the operator. */
static int
open_fd(struct world *w, int epoll, struct subscriber *tag)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = tag };
    int fd = try_connect(w);

    if (fd < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event)) {
        fail("cannot connect to grapnel-mapd");
    }
    return fd;
}

static struct jsonrpc *
open_rpc(struct world *w, struct subscriber *tag)
{
    int fd = open_fd(w, w->first, tag);
    struct stream *stream;

    new_fd_stream(xstrdup("bench"), fd, 0, AF_UNIX, &stream);
    return jsonrpc_open(stream);
}

/* Requests are small: what the kernel does not take at once is an error. */
static void
send_msg(struct jsonrpc *rpc, struct jsonrpc_msg *msg)
{
    if (jsonrpc_send(rpc, msg)) {
        fail("cannot send");
    }
    while (jsonrpc_get_backlog(rpc)) {
        jsonrpc_run(rpc);
        if (jsonrpc_get_status(rpc)) {
            fail("connection lost");
        }
    }
}

static void
send_from(struct subscriber *s, struct jsonrpc_msg *msg)
{
    if (s->has_replica) {
        send_msg(s->rpc, msg);
    } else if (!crowd_send(&s->crowd, msg)) {
        fail("connection lost");
    }
}

/* Receiving. */

static uint64_t
revision_of(const struct json *json)
{
    const struct json *revision = shash_find_data(json_object(json),
                                                  "revision");

    return revision ? json_integer(revision) : 0;
}

static void
take_snapshot(struct subscriber *s, const struct json *json)
{
    struct diagnosis diag = { .op = -1 };

    s->revision = revision_of(json);
    if (replica_load_snapshot(&s->replica, json, world_now_us() / 1000,
                              &diag)) {
        fail(diag.message);
    }
}

static void
take_update(struct subscriber *s, const struct json *json)
{
    struct diagnosis diag = { .op = -1 };

    s->revision = revision_of(json);
    if (replica_apply_update(&s->replica, json, world_now_us() / 1000,
                             &diag)) {
        fail(diag.message);
    }
}

static void
report_applied(struct subscriber *s)
{
    struct json *json = json_object_create();

    s->applied_us = world_now_us();
    if (s->name[0]) {
        json_object_put(json, "revision", json_integer_create(s->revision));
        send_from(s, jsonrpc_create_notify("applied",
                                           json_array_create_1(json)));
    } else {
        json_destroy(json);
    }
}

static void
take_message(struct subscriber *s, const struct jsonrpc_msg *msg)
{
    const struct json *param
        = (msg->type == JSONRPC_NOTIFY ? json_array(msg->params)->elems[0]
           : msg->result);

    if (msg->type == JSONRPC_REQUEST) {
        send_msg(s->rpc, jsonrpc_create_reply(json_clone(msg->params),
                                              msg->id));
    } else if (msg->type == JSONRPC_ERROR) {
        fail("a host's request was refused");
    } else if (msg->type == JSONRPC_NOTIFY && !strcmp(msg->method, "update")) {
        take_update(s, param);
        report_applied(s);
    } else if (param && shash_find_data(json_object(param), "groups")) {
        take_snapshot(s, param);
        report_applied(s);
    }
}

static void
receive_crowd(struct subscriber *s)
{
    struct crowd_message message;
    bool lost;

    while (crowd_receive(&s->crowd, &message, &lost)) {
        if (message.is_error) {
            fail("a host's request was refused");
        }
        if (message.is_table) {
            s->revision = message.revision;
            report_applied(s);
        }
    }
    if (lost) {
        fail("connection lost");
    }
    s->bytes = s->crowd.bytes;
}

static void
take_reply(struct world *w, const struct jsonrpc_msg *msg)
{
    const struct json *changes;

    if (msg->type != JSONRPC_REPLY) {
        char *text = json_to_string(msg->error ? msg->error : msg->params, 0);

        fail(text);
    }
    w->replied = revision_of(msg->result);
    w->n_replies++;
    changes = shash_find_data(json_object(msg->result), "changes");
    w->n_changes += changes ? json_array(changes)->n : 0;
}

static void
receive(struct world *w, struct subscriber *s)
{
    struct jsonrpc *rpc = s ? s->rpc : w->operator;
    struct jsonrpc_msg *msg;

    jsonrpc_run(rpc);
    while (!jsonrpc_recv(rpc, &msg)) {
        if (s) {
            take_message(s, msg);
        } else {
            take_reply(w, msg);
        }
        jsonrpc_msg_destroy(msg);
    }
    if (jsonrpc_get_status(rpc)) {
        fail("connection lost");
    }
    if (s) {
        s->bytes = jsonrpc_get_received_bytes(rpc);
    }
}

static void
poll_once(struct world *w, int64_t until)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(w->epoll, events, CROWD, 1000);

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr != w) {
            receive_crowd(events[i].data.ptr);
        }
    }
    while ((n = epoll_wait(w->first, events, EVENTS, 0)) > 0) {
        for (int i = 0; i < n; i++) {
            receive(w, events[i].data.ptr);
        }
    }
    if (world_now_us() > until) {
        fail("waited too long");
    }
}

static int64_t
deadline(void)
{
    return world_now_us() + PATIENCE_MS * INT64_C(1000);
}

/* The operator. */

void
world_connect_operator(struct world *w)
{
    jsonrpc_close(w->operator);
    w->operator = open_rpc(w, NULL);
}

void
world_send(struct world *w, const char *method, struct json *params)
{
    send_msg(w->operator, jsonrpc_create_request(method, params, NULL));
}

void
world_wait_replies(struct world *w, unsigned int n)
{
    int64_t until = deadline();

    while (w->n_replies < n) {
        poll_once(w, until);
    }
}

uint64_t
world_call(struct world *w, const char *method, struct json *params)
{
    unsigned int n = w->n_replies + 1;

    world_send(w, method, params);
    world_wait_replies(w, n);
    return w->replied;
}

/* Hosts. */

static void
send_subscribe(struct subscriber *s)
{
    struct json *json = json_object_create();

    if (s->vni) {
        json_object_put(json, "vnis", json_array_create_1(
                            json_integer_create(s->vni)));
    }
    send_from(s, jsonrpc_create_request("subscribe",
                                        json_array_create_1(json), NULL));
}

static void
send_register(struct subscriber *s)
{
    struct json *json = json_object_create();
    int i = atoi(s->name + 1);

    json_object_put_string(json, "kind", "host");
    json_object_put_string(json, "name", s->name);
    json_object_put_format(json, "vtep", "192.0.%d.%d", i / 200 + 2,
                           i % 200 + 1);
    send_from(s, jsonrpc_create_request("register",
                                        json_array_create_1(json), NULL));
}

static void
close_subscribers(struct world *w)
{
    for (size_t i = 0; i < w->n_subscribers; i++) {
        struct subscriber *s = &w->subscribers[i];

        if (s->is_open && s->has_replica) {
            jsonrpc_close(s->rpc);
            replica_destroy(&s->replica);
        } else if (s->is_open) {
            crowd_close(&s->crowd);
        }
        s->is_open = false;
    }
}

void
world_resubscribe(struct world *w)
{
    int64_t until = deadline();

    for (size_t i = 0; i < w->n_subscribers; i++) {
        struct subscriber *s = &w->subscribers[i];

        s->revision = 0;
        s->is_open = true;
        if (s->has_replica) {
            replica_init(&s->replica);
            s->rpc = open_rpc(w, s);
        } else {
            crowd_open(&s->crowd, open_fd(w, w->epoll, s));
        }
        if (s->name[0]) {
            send_register(s);
        }
        send_subscribe(s);
    }
    for (size_t i = 0; i < w->n_subscribers; i++) {
        while (!w->subscribers[i].revision) {
            poll_once(w, until);
        }
    }
}

void
world_subscribe(struct world *w, size_t n, size_t n_replicas, bool named,
                uint32_t (*vni)(size_t i))
{
    size_t distance = n / MIN(n, n_replicas);

    world_unsubscribe(w);
    w->subscribers = xcalloc(n, sizeof *w->subscribers);
    w->n_subscribers = n;
    for (size_t i = 0; i < n; i++) {
        struct subscriber *s = &w->subscribers[i];

        s->vni = vni(i);
        s->has_replica = i % distance == distance / 2;
        if (named) {
            snprintf(s->name, sizeof s->name, "h%"PRIuSIZE, i);
        }
    }
    world_resubscribe(w);
}

void
world_unsubscribe(struct world *w)
{
    close_subscribers(w);
    free(w->subscribers);
    w->subscribers = NULL;
    w->n_subscribers = 0;
}

void
world_wait_applied(struct world *w, uint64_t revision)
{
    int64_t until = deadline();

    for (size_t i = 0; i < w->n_subscribers; i++) {
        while (w->subscribers[i].revision < revision) {
            poll_once(w, until);
        }
    }
}

/* Life. */

void
world_init(struct world *w, const char *store)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = w };

    *w = (struct world) { .store = store };
    w->first = epoll_create1(EPOLL_CLOEXEC);
    w->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (w->first < 0 || w->epoll < 0
        || epoll_ctl(w->epoll, EPOLL_CTL_ADD, w->first, &event)) {
        fail("no epoll");
    }
}

void
world_start(struct world *w, const char *store)
{
    world_init(w, store);
    ovs_strlcpy(w->directory, "/tmp/bench-mapping-XXXXXX",
                sizeof w->directory);
    if (!mkdtemp(w->directory)) {
        fail("no temporary directory");
    }
    snprintf(w->socket, sizeof w->socket, "%s/mapd.sock", w->directory);
    world_start_mapd(w);
    world_connect_operator(w);
}

void
world_kill_mapd(struct world *w)
{
    kill(w->mapd, SIGKILL);
    waitpid(w->mapd, NULL, 0);
    close_subscribers(w);
    jsonrpc_close(w->operator);
    w->operator = NULL;
}

void
world_stop(struct world *w)
{
    static const char *const files[] = { "store.db", "store.db-wal",
                                         "store.db-shm", "mapd.sock", "ctl" };

    world_kill_mapd(w);
    free(w->subscribers);
    close(w->epoll);
    close(w->first);
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        char *path = xasprintf("%s/%s", w->directory, files[i]);

        unlink(path);
        free(path);
    }
    rmdir(w->directory);
}

uint64_t
world_resident(pid_t pid)
{
    char *path = xasprintf("/proc/%d/statm", (int) pid);
    FILE *file = fopen(path, "r");
    uint64_t size, resident = 0;

    if (!file || fscanf(file, "%"SCNu64" %"SCNu64, &size, &resident) != 2) {
        fail("cannot read statm");
    }
    fclose(file);
    free(path);
    return resident * getpagesize();
}
