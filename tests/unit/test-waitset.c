/* Connections that are run only when they have something to do: compared with
 * a twin that asks poll() about each of them, every time. */

#include <config.h>

#include "mapping/mapd/waitset.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "jsonrpc.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "random.h"
#include "socket-util.h"
#include "stream-fd.h"
#include "stream.h"
#include "timeval.h"
#include "util.h"

enum {
    MANY     = 700,             /* More than are looked at a time; ... */
    ROUNDS   = 12,              /* ... but not than in so many. */
    FEW      = 40,
    STEPS    = 4000,
    CHUNK    = 100000,          /* More than a socket takes. */
    GUARD_MS = 20000,           /* Then a wake-up was missed. */
};

/* One end of a pair of sockets, and what it waits for. */
struct peer {
    struct waitset_member member;
    int fd, other;
    short int events;
    long long int when;         /* As for wait_capture. */
    bool is_in;                 /* The set. */
    unsigned int n_runs;
};

static struct peer *
peer_of(struct waitset_member *member)
{
    return CONTAINER_OF(member, struct peer, member);
}

static void
peer_wait(struct waitset_member *member)
{
    const struct peer *p = peer_of(member);

    if (p->events) {
        poll_fd_wait(p->fd, p->events);
    }
    if (p->when == LLONG_MIN) {
        poll_immediate_wake();
    } else if (p->when != LLONG_MAX) {
        poll_timer_wait_until(p->when);
    }
}

static void
peer_open(struct peer *p, struct waitset *set)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                     0);
    *p = (struct peer) { .fd = fds[0], .other = fds[1], .events = POLLIN,
                         .when = LLONG_MAX, .is_in = true };
    waitset_add(set, &p->member, peer_wait);
}

static void
peer_close(struct peer *p, struct waitset *set)
{
    if (p->is_in) {
        waitset_remove(set, &p->member);
    }
    close(p->fd);
    close(p->other);
}

/* Runs all that are due. */
static unsigned int
run_due(struct waitset *set)
{
    struct waitset_member *member;
    unsigned int n = 0;

    waitset_run(set);
    while ((member = waitset_next(set))) {
        peer_of(member)->n_runs++;
        n++;
    }
    return n;
}

/* Waits, in the poll loop, as long as it takes. */
static void
block(struct waitset *set)
{
    long long int guard = time_msec() + GUARD_MS;

    waitset_wait(set);
    poll_timer_wait_until(guard);
    poll_block();
    assert_true(time_msec() < guard);
}

static void
fill(int fd)
{
    char zeros[4096] = { 0 };

    while (send(fd, zeros, sizeof zeros, 0) > 0) {
        continue;
    }
}

static void
drain(int fd)
{
    char buffer[4096];

    while (recv(fd, buffer, sizeof buffer, 0) > 0) {
        continue;
    }
}

static void
test_each_of_many_in_turn(void **state OVS_UNUSED)
{
    struct rlimit files = { .rlim_cur = 4096, .rlim_max = 4096 };
    struct peer *peers = xcalloc(MANY, sizeof *peers);
    struct waitset set;

    setrlimit(RLIMIT_NOFILE, &files);
    assert_int_equal(waitset_init(&set), 0);
    for (size_t i = 0; i < MANY; i++) {
        peer_open(&peers[i], &set);
    }
    assert_int_equal(run_due(&set), MANY); /* A new one is run first. */
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(send(peers[i].other, "x", 1, 0), 1);
        block(&set);
        assert_int_equal(run_due(&set), 1);
        assert_int_equal(peers[i].n_runs, 2);
        drain(peers[i].fd);
    }
    waitset_wait(&set);
    assert_int_equal(run_due(&set), 0);

    /* Nobody starves when all have something. */
    for (size_t i = 0; i < MANY; i++) {
        assert_int_equal(send(peers[i].other, "x", 1, 0), 1);
    }
    for (int i = 0; i < ROUNDS; i++) {
        block(&set);
        run_due(&set);
    }
    for (size_t i = 0; i < MANY; i++) {
        assert_true(peers[i].n_runs > 2);
        peer_close(&peers[i], &set);
    }
    waitset_destroy(&set);
    free(peers);
}

/* Something happens to 'p'. */
static void
happen(struct peer *p, struct waitset *set)
{
    long long int times[] = { LLONG_MIN, LLONG_MAX, time_msec() + 1,
                              time_msec() + 3, time_msec() + 50 };
    short int events[] = { POLLIN, POLLOUT, POLLIN | POLLOUT, POLLIN, 0 };

    switch (random_range(8)) {
    case 0:
        send(p->other, "x", 1, 0);
        break;
    case 1:
        drain(p->fd);
        break;
    case 2:
        fill(p->fd);
        break;
    case 3:
        drain(p->other);
        break;
    case 4:
        p->events = events[random_range(ARRAY_SIZE(events))];
        p->when = times[random_range(ARRAY_SIZE(times))];
        if (!p->events && p->when == LLONG_MAX) {
            p->events = POLLIN;
        }
        waitset_touch(set, &p->member);
        break;
    case 5:
        shutdown(p->other, SHUT_WR);
        break;
    case 6:
        peer_close(p, set);
        peer_open(p, set);
        break;
    }
}

/* What the set is about. */
static bool
twin_is_due(const struct peer *p)
{
    struct pollfd pollfd = { .fd = p->fd, .events = p->events };

    return ((p->events && poll(&pollfd, 1, 0) > 0)
            || p->when <= time_msec());
}

static void
check_step(struct peer *peers, struct waitset *set)
{
    bool due[FEW], any = false;
    unsigned int before[FEW];

    waitset_wait(set);
    for (size_t i = 0; i < FEW; i++) {
        before[i] = peers[i].n_runs;
        due[i] = twin_is_due(&peers[i]);
        any |= due[i];
    }
    poll_timer_wait(any ? GUARD_MS : 2);
    if (any) {
        long long int start = time_msec();

        poll_block();
        assert_true(time_msec() - start < GUARD_MS);
    } else {
        poll_block();
    }
    run_due(set);
    for (size_t i = 0; i < FEW; i++) {
        if (due[i] && peers[i].n_runs == before[i]) {
            fail_msg("%"PRIuSIZE" of %d was not run: events %d, when %lld",
                     i, FEW, peers[i].events, peers[i].when);
        }
        if (peers[i].when == LLONG_MIN) {
            peers[i].when = LLONG_MAX; /* It has run, as it was to. */
            peers[i].events |= POLLIN;
        }
    }
}

static void
test_nothing_is_missed(void **state OVS_UNUSED)
{
    struct peer peers[FEW];
    struct waitset set;

    random_set_seed(1);
    assert_int_equal(waitset_init(&set), 0);
    for (size_t i = 0; i < FEW; i++) {
        peer_open(&peers[i], &set);
    }
    run_due(&set);
    for (int step = 0; step < STEPS; step++) {
        for (int i = random_range(4); i >= 0; i--) {
            happen(&peers[random_range(FEW)], &set);
        }
        check_step(peers, &set);
    }
    for (size_t i = 0; i < FEW; i++) {
        peer_close(&peers[i], &set);
    }
    waitset_destroy(&set);
}

/* One that is put off again and again does not keep the loop busy. */
static void
test_time_that_is_put_off(void **state OVS_UNUSED)
{
    struct waitset set;
    struct peer p;

    assert_int_equal(waitset_init(&set), 0);
    peer_open(&p, &set);
    p.when = time_msec() + 20;
    run_due(&set);
    for (int i = 0; i < 1000; i++) {
        p.when = time_msec() + 30;
        waitset_touch(&set, &p.member);
        waitset_wait(&set);
        poll_immediate_wake();
        poll_block();
        run_due(&set);
    }
    p.n_runs = 0;
    while (time_msec() < p.when) {
        block(&set);
        run_due(&set);
    }
    assert_true(p.n_runs >= 1 && p.n_runs <= 3);
    peer_close(&p, &set);
    waitset_destroy(&set);
}

/* A connection of the library, whose descriptor nobody tells. */
struct rpc {
    struct waitset_member member;
    struct jsonrpc *rpc;
};

static void
rpc_wait(struct waitset_member *member)
{
    struct rpc *r = CONTAINER_OF(member, struct rpc, member);

    jsonrpc_wait(r->rpc);
    jsonrpc_recv_wait(r->rpc);
}

static struct jsonrpc_msg *
rpc_receive(struct rpc *r, struct waitset *set)
{
    for (;;) {
        struct jsonrpc_msg *msg;

        waitset_run(set);
        while (waitset_next(set)) {
            jsonrpc_run(r->rpc);
            if (!jsonrpc_recv(r->rpc, &msg)) {
                return msg;     /* What follows stays buffered. */
            }
        }
        block(set);
    }
}

static void
test_buffered_messages_and_output(void **state OVS_UNUSED)
{
    const char *three = "{\"method\":\"a\",\"params\":[],\"id\":1}"
        "{\"method\":\"b\",\"params\":[],\"id\":2}"
        "{\"method\":\"c\",\"params\":[],\"id\":3}{\"meth";
    char *large = xmalloc(CHUNK + 1);
    struct stream *stream;
    struct waitset set;
    struct rpc r;
    int fds[2];

    assert_int_equal(waitset_init(&set), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds),
                     0);
    new_fd_stream(xstrdup("x"), fds[0], 0, AF_UNIX, &stream);
    r.rpc = jsonrpc_open(stream);
    waitset_add(&set, &r.member, rpc_wait);
    assert_int_equal(send(fds[1], three, strlen(three), 0), strlen(three));
    for (int i = 0; i < 3; i++) {
        struct jsonrpc_msg *msg = rpc_receive(&r, &set);

        assert_int_equal(msg->method[0], 'a' + i);
        jsonrpc_msg_destroy(msg);
    }

    /* Output that waits goes out as the peer reads. */
    memset(large, 'x', CHUNK);
    large[CHUNK] = '\0';
    for (int i = 0; i < 20; i++) {
        jsonrpc_send(r.rpc, jsonrpc_create_notify(
                         large, json_array_create_empty()));
    }
    waitset_touch(&set, &r.member);
    assert_true(jsonrpc_get_backlog(r.rpc) > 0);
    while (jsonrpc_get_backlog(r.rpc)) {
        drain(fds[1]);
        block(&set);
        waitset_run(&set);
        while (waitset_next(&set)) {
            jsonrpc_run(r.rpc);
        }
    }
    waitset_remove(&set, &r.member);
    jsonrpc_close(r.rpc);
    close(fds[1]);
    waitset_destroy(&set);
    free(large);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_of_many_in_turn),
        cmocka_unit_test(test_nothing_is_missed),
        cmocka_unit_test(test_time_that_is_put_off),
        cmocka_unit_test(test_buffered_messages_and_output),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
