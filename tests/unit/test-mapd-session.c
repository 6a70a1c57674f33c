/* A session with a mapd of a few lines, over a real socket, by a clock that
 * the test sets: what the session asks for, when it does so again, and that it
 * sleeps in between. */

#include <config.h>

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "jsonrpc.h"
#include "mapping/replica/replica.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "stream.h"
#include "util.h"
#include "vswitchd-ext/mapd-session.h"

enum {
    TURNS     = 1000,           /* Of both sides, for something to happen. */
    RETRY_MS  = 5000,           /* As the session waits after a refusal. */
};

/* The clock, and the first time at which somebody wants to be woken. */
static long long int now_ms = 1000 * 1000;
static long long int wake_ms;

long long int __wrap_time_msec(void);
void __wrap_poll_timer_wait_until_at(long long int, const char *);

long long int
__wrap_time_msec(void)
{
    return now_ms;
}

void
__wrap_poll_timer_wait_until_at(long long int when,
                                const char *where OVS_UNUSED)
{
    wake_ms = MIN(wake_ms, when);
}

/* mapd. */
struct fake {
    char directory[64];
    char name[96];              /* "unix:..." */
    struct pstream *listener;   /* NULL: it does not run. */
    struct jsonrpc *rpc;        /* To the session, or NULL. */
    const char *refusal;        /* Of registrations; NULL: it takes them. */
    const char *snapshot;
    unsigned int n_registers, n_subscribes, n_applied;
    uint64_t applied;           /* The last revision that was. */
};

struct test {
    struct fake mapd;
    struct mapd_session *session;
    struct replica replica;
};

static void
start_mapd(struct fake *f)
{
    char *name = xasprintf("p%s", f->name);

    assert_int_equal(pstream_open(name, &f->listener, 0), 0);
    free(name);
}

static void
hang_up(struct fake *f)
{
    jsonrpc_close(f->rpc);
    f->rpc = NULL;
}

static void
stop_mapd(struct fake *f)
{
    hang_up(f);
    pstream_close(f->listener);
    f->listener = NULL;
}

static const char good_snapshot[] =
    "{\"revision\":7,\"hash_key\":\"00112233445566778899aabbccddeeff\","
    "\"hosts\":[],\"dead\":[],\"groups\":[],\"records\":[]}";

static void
send_update(struct fake *f, const char *text)
{
    jsonrpc_send(f->rpc, jsonrpc_create_notify(
                     "update", json_array_create_1(json_from_string(text))));
}

static struct jsonrpc_msg *
answer(struct fake *f, const struct jsonrpc_msg *msg)
{
    if (!strcmp(msg->method, "register")) {
        f->n_registers++;
        if (f->refusal) {
            struct json *error = json_object_create();

            json_object_put_string(error, "error", "busy");
            json_object_put_string(error, "message", f->refusal);
            return jsonrpc_create_error(error, msg->id);
        }
        return jsonrpc_create_reply(
            json_from_string("{\"revision\":7}"), msg->id);
    } else if (!strcmp(msg->method, "subscribe")) {
        f->n_subscribes++;
        return jsonrpc_create_reply(json_from_string(f->snapshot), msg->id);
    } else if (!strcmp(msg->method, "echo")) {
        return jsonrpc_create_reply(json_clone(msg->params), msg->id);
    }
    fail_msg("method %s", msg->method);
    return NULL;
}

static void
take_applied(struct fake *f, const struct jsonrpc_msg *msg)
{
    const struct json *param = json_array(msg->params)->elems[0];

    assert_string_equal(msg->method, "applied");
    f->n_applied++;
    f->applied = json_integer(shash_find_data(json_object(param),
                                              "revision"));
}

static void
run_mapd(struct fake *f)
{
    struct jsonrpc_msg *msg;
    struct stream *stream;

    if (f->listener && !f->rpc && !pstream_accept(f->listener, &stream)) {
        f->rpc = jsonrpc_open(stream);
    }
    if (f->rpc) {
        jsonrpc_run(f->rpc);
        while (!jsonrpc_recv(f->rpc, &msg)) {
            if (msg->type == JSONRPC_REQUEST) {
                jsonrpc_send(f->rpc, answer(f, msg));
            } else if (msg->type == JSONRPC_NOTIFY) {
                take_applied(f, msg);
            }
            jsonrpc_msg_destroy(msg);
        }
        jsonrpc_run(f->rpc);
    }
}

static void
turn(struct test *t)
{
    run_mapd(&t->mapd);
    mapd_session_run(t->session, &t->replica);
}

/* Lets both sides do all that they have to do now. */
static void
settle(struct test *t)
{
    for (int i = 0; i < TURNS / 10; i++) {
        turn(t);
    }
}

/* Lets time pass until there is a connection, with all that comes of it. */
static void
become_connected(struct test *t)
{
    for (int i = 0; !t->mapd.rpc && i < TURNS; i++) {
        now_ms += 100;
        turn(t);
    }
    assert_non_null(t->mapd.rpc);
    settle(t);
}

/* When the session wants to be woken at the latest. */
static long long int
next_wake(struct test *t)
{
    wake_ms = LLONG_MAX;
    mapd_session_wait(t->session);
    return wake_ms;
}

static struct mapd_session *
create_session(const char *remotes)
{
    const struct record_host self = {
        .name = "h1", .vtep = { 0, 0xffffc0000201 }, .encap = TUNNEL_GENEVE,
    };
    const struct mapd_interest all = { .all = true };

    return mapd_session_create(remotes, &self, &all);
}

static int
setup(void **state)
{
    struct test *t = xzalloc(sizeof *t);

    strcpy(t->mapd.directory, "/tmp/test-mapd-session.XXXXXX");
    assert_non_null(mkdtemp(t->mapd.directory));
    snprintf(t->mapd.name, sizeof t->mapd.name, "unix:%s/mapd",
             t->mapd.directory);
    t->mapd.snapshot = good_snapshot;
    start_mapd(&t->mapd);
    replica_init(&t->replica);
    t->session = create_session(t->mapd.name);
    *state = t;
    return 0;
}

static int
teardown(void **state)
{
    struct test *t = *state;

    mapd_session_destroy(t->session);
    replica_destroy(&t->replica);
    if (t->mapd.listener) {
        stop_mapd(&t->mapd);
    }
    rmdir(t->mapd.directory);
    free(t);
    return 0;
}

static void
a_host_registers_when_it_can_serve(void **state)
{
    struct test *t = *state;

    become_connected(t);
    assert_true(mapd_session_is_synced(t->session));
    assert_int_equal(t->replica.revision, 7);
    assert_int_equal(t->mapd.n_registers, 0);

    mapd_session_set_serving(t->session);
    settle(t);
    assert_int_equal(t->mapd.n_registers, 1);
    assert_true(mapd_session_is_registered(t->session));

    /* And over each connection to come. */
    hang_up(&t->mapd);
    settle(t);
    assert_false(mapd_session_is_registered(t->session));
    become_connected(t);
    assert_true(mapd_session_is_registered(t->session));
    assert_int_equal(mapd_session_n_registrations(t->session), 2);
}

static void
a_refused_host_asks_again_later(void **state)
{
    struct test *t = *state;

    t->mapd.refusal = "not just now";
    mapd_session_set_serving(t->session);
    become_connected(t);
    assert_int_equal(t->mapd.n_registers, 1);
    assert_string_equal(mapd_session_refusal(t->session), "not just now");
    assert_true(next_wake(t) <= now_ms + RETRY_MS);

    t->mapd.refusal = NULL;
    settle(t);
    assert_int_equal(t->mapd.n_registers, 1);
    now_ms += RETRY_MS;
    settle(t);
    assert_int_equal(t->mapd.n_registers, 2);
    assert_true(mapd_session_is_registered(t->session));
    assert_null(mapd_session_refusal(t->session));
}

/* What was to be done over the connection is not to be done without it. */
static void
a_refused_host_sleeps_while_mapd_is_away(void **state)
{
    struct test *t = *state;

    t->mapd.refusal = "not just now";
    mapd_session_set_serving(t->session);
    become_connected(t);
    stop_mapd(&t->mapd);
    for (int i = 0; i < 100; i++) {
        now_ms += 100;
        settle(t);
        assert_true(next_wake(t) > now_ms);
    }

    start_mapd(&t->mapd);
    become_connected(t);
    assert_int_equal(t->mapd.n_registers, 2);
}

static void
updates_are_applied_and_told_of_once(void **state)
{
    struct test *t = *state;

    become_connected(t);
    send_update(&t->mapd, "{\"revision\":8,\"changes\":[]}");
    settle(t);
    assert_int_equal(t->replica.revision, 8);
    for (int i = 0; i < 3; i++) {
        mapd_session_applied(t->session, 7);
        mapd_session_applied(t->session, 8);
        settle(t);
    }
    assert_int_equal(t->mapd.applied, 8);
    assert_int_equal(t->mapd.n_applied, 2);
    assert_int_equal(t->mapd.n_subscribes, 1);
}

static void
what_does_not_follow_is_asked_for_anew(void **state)
{
    struct test *t = *state;

    become_connected(t);
    send_update(&t->mapd, "{\"revision\":9,\"changes\":[]}");
    run_mapd(&t->mapd);
    for (int i = 0; i < TURNS && t->mapd.n_subscribes < 2; i++) {
        assert_int_equal(t->replica.revision, 7);
        turn(t);
    }
    settle(t);
    assert_int_equal(t->mapd.n_subscribes, 2);
    assert_true(mapd_session_is_synced(t->session));
    assert_int_equal(mapd_session_n_snapshots(t->session), 2);
}

/* It goes on with what it has, and does not ask all the time. */
static void
a_snapshot_that_is_none_changes_nothing(void **state)
{
    struct test *t = *state;
    long long int start;

    become_connected(t);
    hang_up(&t->mapd);
    t->mapd.snapshot = "{\"revision\":\"none\"}";
    settle(t);
    start = now_ms;
    for (int i = 0; i < 100; i++) {
        now_ms += 100;
        settle(t);
        if (t->mapd.rpc && jsonrpc_get_status(t->mapd.rpc)) {
            hang_up(&t->mapd);
        }
        assert_false(mapd_session_is_synced(t->session));
        assert_int_equal(t->replica.revision, 7);
    }
    assert_in_range(t->mapd.n_subscribes, 3, 3 + (now_ms - start) / 500);

    t->mapd.snapshot = good_snapshot;
    become_connected(t);
    now_ms += 2000;
    settle(t);
    assert_true(mapd_session_is_synced(t->session));
}

/* Not what would have been wrong with another one of them. */
static void
a_failure_is_explained_by_the_remote_that_failed(void **state)
{
    struct test *t = *state;
    char *remotes = xasprintf("ssl:127.0.0.1:1,%s", t->mapd.name);
    int n_ended = 0;

    mapd_session_destroy(t->session);
    t->session = create_session(remotes);
    free(remotes);
    for (int i = 0; i < TURNS; i++) {
        const char *why;

        now_ms += 100;
        turn(t);
        hang_up(&t->mapd);
        why = mapd_session_trouble(t->session);
        if (why && strstr(why, "ends the connection")) {
            n_ended++;
            assert_null(strstr(why, "certificate"));
        }
    }
    assert_true(n_ended);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_host_registers_when_it_can_serve,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_refused_host_asks_again_later,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_refused_host_sleeps_while_mapd_is_away, setup, teardown),
        cmocka_unit_test_setup_teardown(updates_are_applied_and_told_of_once,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_does_not_follow_is_asked_for_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_snapshot_that_is_none_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_failure_is_explained_by_the_remote_that_failed, setup,
            teardown),
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
