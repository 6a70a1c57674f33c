/* The etcd client, driven by test-etcd.py: commands are JSON arrays, one per
 * line of standard input; what comes of them, and of watches, are JSON objects,
 * one per line of standard output.  Keys and values are in base64.
 *
 *     etcd-driver OPTIONS         {"urls":..., "user":..., ...} */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "mapping/base64.h"
#include "mapping/etcd/etcd.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

static struct etcd *etcd;
static struct etcd_lease *lease;
static struct etcd_watch *watch;
static enum etcd_watch_state told_state;
static bool told_lost, slow_reader;

static void
say(struct json *json)
{
    char *text = json_to_string(json, JSSF_SORT);

    puts(text);
    fflush(stdout);
    free(text);
    json_destroy(json);
}

/* Element 'i' of 'args', if it is there. */
static const struct json *
element(const struct json *args, size_t i)
{
    ovs_assert(args->type == JSON_ARRAY && i < args->array.n);
    return args->array.elems[i];
}

static int64_t
integer(const struct json *args, size_t i)
{
    return json_integer(element(args, i));
}

static struct etcd_bytes
bytes(const struct json *args, size_t i)
{
    uint8_t *data;
    size_t size;

    ovs_assert(!base64_decode(json_string(element(args, i)), &data, &size));
    return (struct etcd_bytes) { data, size };
}

static void
free_bytes(struct etcd_bytes b)
{
    free(CONST_CAST(void *, b.data));
}

static struct json *
json_from_bytes(struct etcd_bytes b)
{
    return json_string_create_nocopy(base64_encode(b.data, b.size));
}

static struct json *
json_from_kv(const struct etcd_kv *kv)
{
    struct json *json = json_array_create_empty();

    json_array_add(json, json_from_bytes(kv->key));
    json_array_add(json, json_from_bytes(kv->value));
    json_array_add(json, json_integer_create(kv->create_revision));
    json_array_add(json, json_integer_create(kv->mod_revision));
    json_array_add(json, json_integer_create(kv->lease));
    return json;
}

/* A reply to 'args' with the outcome and the time that it took. */
static struct json *
reply(const struct json *args, int error, const struct diagnosis *diag,
      long long int started)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "reply", json_string(element(args, 0)));
    json_object_put_string(json, "error",
                           error == ETIMEDOUT ? "ETIMEDOUT"
                           : error == EAGAIN ? "EAGAIN"
                           : error == ENODATA ? "ENODATA"
                           : error == E2BIG ? "E2BIG"
                           : error == ENOSPC ? "ENOSPC"
                           : error == EACCES ? "EACCES"
                           : error == EPROTO ? "EPROTO"
                           : error == ENOENT ? "ENOENT"
                           : error ? ovs_strerror(error) : "");
    if (error) {
        json_object_put_string(json, "message", diag->message);
    }
    json_object_put(json, "ms", json_integer_create(time_msec() - started));
    return json;
}

/* ["range", PREFIX, TIMEOUT, REVISION, with PAIRS or not] */
static void
do_range(const struct json *args)
{
    struct etcd_bytes prefix = bytes(args, 1);
    int64_t revision = integer(args, 3);
    long long int started = time_msec();
    struct etcd_kvs kvs = { .n = 0 };
    struct diagnosis diag;
    int error = etcd_range(etcd, prefix, integer(args, 2), &kvs, &revision,
                           &diag);
    struct json *json = reply(args, error, &diag, started);

    json_object_put(json, "n", json_integer_create(kvs.n));
    json_object_put(json, "revision", json_integer_create(revision));
    if (json_boolean(element(args, 4))) {
        struct json *pairs = json_array_create_empty();

        for (size_t i = 0; i < kvs.n; i++) {
            json_array_add(pairs, json_from_kv(&kvs.kvs[i]));
        }
        json_object_put(json, "pairs", pairs);
    }
    say(json);
    etcd_kvs_destroy(&kvs);
    free_bytes(prefix);
}

/* ["txn", TIMEOUT, [[KEY, TARGET, VALUE]...], [[TYPE, KEY, VALUE, LEASED]...]]
 */
static void
do_txn(const struct json *args)
{
    const struct json_array *c = json_array(element(args, 2));
    const struct json_array *o = json_array(element(args, 3));
    struct etcd_compare *compares = xcalloc(c->n + 1, sizeof *compares);
    struct etcd_op *ops = xcalloc(o->n + 1, sizeof *ops);
    long long int started = time_msec();
    bool succeeded = false;
    int64_t revision = 0;
    struct diagnosis diag;

    for (size_t i = 0; i < c->n; i++) {
        compares[i].key = bytes(c->elems[i], 0);
        compares[i].target = integer(c->elems[i], 1);
        compares[i].value = integer(c->elems[i], 2);
    }
    for (size_t i = 0; i < o->n; i++) {
        ops[i].type = integer(o->elems[i], 0);
        ops[i].key = bytes(o->elems[i], 1);
        ops[i].value = bytes(o->elems[i], 2);
        ops[i].lease = (json_boolean(element(o->elems[i], 3))
                        ? etcd_lease_id(lease) : 0);
    }
    int error = etcd_txn(etcd, compares, c->n, ops, o->n, integer(args, 1),
                         &succeeded, &revision, &diag);
    struct json *json = reply(args, error, &diag, started);

    json_object_put(json, "succeeded", json_boolean_create(succeeded));
    json_object_put(json, "revision", json_integer_create(revision));
    say(json);
    for (size_t i = 0; i < c->n; i++) {
        free_bytes(compares[i].key);
    }
    for (size_t i = 0; i < o->n; i++) {
        free_bytes(ops[i].key);
        free_bytes(ops[i].value);
    }
    free(compares);
    free(ops);
}

/* The number in 'key', how often it was written, and by whom last; 0 and "" if
 * it is not there. */
static int
read_counter(struct etcd_bytes key, int *count, char *writer, size_t size,
             int64_t *mod_revision)
{
    struct etcd_kvs kvs = { .n = 0 };
    int64_t revision = 0;
    struct diagnosis diag;
    int error = etcd_range(etcd, key, ETCD_REQUEST_MS, &kvs, &revision,
                           &diag);

    if (error) {
        return error;
    }
    *count = 0;
    *writer = '\0';
    *mod_revision = 0;
    if (kvs.n) {
        char *text = xmemdup0(kvs.kvs[0].value.data, kvs.kvs[0].value.size);

        *count = atoi(text);
        ovs_strlcpy(writer, text + strcspn(text, " "), size);
        *mod_revision = kvs.kvs[0].mod_revision;
        free(text);
    }
    etcd_kvs_destroy(&kvs);
    return 0;
}

/* Adds 1 to the number in 'key' by a transaction that writes down what it has
 * done.  Returns what etcd_txn() returned; false in '*done' if another was
 * faster. */
static int
increment(struct etcd_bytes key, const char *name, int i, bool *done)
{
    char writer[64], value[64], log[64];
    int64_t mod_revision;
    struct diagnosis diag;
    int count;
    int error = read_counter(key, &count, writer, sizeof writer,
                             &mod_revision);

    if (error) {
        *done = false;
        return error;
    }
    snprintf(value, sizeof value, "%d %s.%d", count + 1, name, i);
    snprintf(log, sizeof log, "log/%s/%06d", name, i);
    const struct etcd_compare compare = { key, ETCD_MOD_REVISION,
                                          mod_revision };
    const struct etcd_op ops[] = {
        { ETCD_PUT, key, { value, strlen(value) }, 0 },
        { ETCD_PUT, { log, strlen(log) }, { value, strlen(value) }, 0 },
    };
    return etcd_txn(etcd, &compare, 1, ops, 2, ETCD_REQUEST_MS, done, NULL,
                    &diag);
}

/* Finds out whether the increment that writes 'log' was made: a transaction
 * that makes sure that it will not be, if it was not. */
static bool
resolve(const char *name, int i)
{
    struct diagnosis diag;
    char log[64];
    bool absent = false;

    snprintf(log, sizeof log, "log/%s/%06d", name, i);
    const struct etcd_bytes key = { log, strlen(log) };
    struct etcd_bytes counter = { "counter", 7 };
    for (;;) {
        const struct etcd_compare compare = { key, ETCD_CREATE_REVISION, 0 };
        char writer[64];
        int64_t mod_revision;
        int count;

        if (read_counter(counter, &count, writer, sizeof writer,
                         &mod_revision)) {
            continue;
        }
        char value[80];
        snprintf(value, sizeof value, "%d%s", count, writer);
        const struct etcd_compare compares[] = {
            compare, { counter, ETCD_MOD_REVISION, mod_revision },
        };
        /* Writing the counter as it is makes the earlier one fail. */
        const struct etcd_op op = { ETCD_PUT, counter,
                                    { value, strlen(value) }, 0 };
        if (!etcd_txn(etcd, compares, mod_revision ? 2 : 1, &op,
                      mod_revision ? 1 : 0, ETCD_REQUEST_MS, &absent, NULL,
                      &diag) && absent) {
            return false;
        }
        struct etcd_kvs kvs = { .n = 0 };
        int64_t revision = 0;
        if (!etcd_range(etcd, key, ETCD_REQUEST_MS, &kvs, &revision, &diag)
            && kvs.n) {
            etcd_kvs_destroy(&kvs);
            return true;
        }
    }
}

/* ["increments", NAME, N]: N increments of "counter", however often others are
 * faster and whatever does not answer. */
static void
do_increments(const struct json *args)
{
    const char *name = json_string(element(args, 1));
    long long int started = time_msec(), slowest = 0;
    int n = integer(args, 2), conflicts = 0, unknown = 0, refused = 0;
    struct json *json;

    for (int i = 0; i < n; ) {
        long long int before = time_msec();
        bool done = false;
        int error = increment((struct etcd_bytes) { "counter", 7 }, name, i,
                              &done);

        if (error == ETIMEDOUT) {
            unknown++;
            done = resolve(name, i);
        } else if (error) {
            refused++;
        } else {
            conflicts += !done;
        }
        i += done;
        slowest = MAX(slowest, time_msec() - before);
    }
    json = reply(args, 0, NULL, started);
    json_object_put(json, "conflicts", json_integer_create(conflicts));
    json_object_put(json, "unknown", json_integer_create(unknown));
    json_object_put(json, "refused", json_integer_create(refused));
    json_object_put(json, "slowest", json_integer_create(slowest));
    say(json);
}

/* ["lease", TTL, TIMEOUT] */
static void
do_lease(const struct json *args)
{
    long long int started = time_msec();
    struct diagnosis diag;

    etcd_lease_destroy(lease, false);
    lease = NULL;
    int error = etcd_lease_create(etcd, integer(args, 1), integer(args, 2),
                                  &lease, &diag);
    struct json *json = reply(args, error, &diag, started);

    if (!error) {
        json_object_put_format(json, "id", "%"PRIx64, etcd_lease_id(lease));
        json_object_put(json, "remaining",
                        json_integer_create(etcd_lease_remaining(lease)));
    }
    told_lost = false;
    say(json);
}

/* ["remaining"] */
static void
do_remaining(const struct json *args)
{
    struct json *json = reply(args, 0, NULL, time_msec());

    json_object_put(json, "remaining",
                    json_integer_create(etcd_lease_remaining(lease)));
    json_object_put(json, "lost",
                    json_boolean_create(etcd_lease_is_lost(lease)));
    say(json);
}

/* ["unlease", REVOKE] */
static void
do_unlease(const struct json *args)
{
    etcd_lease_destroy(lease, json_boolean(element(args, 1)));
    lease = NULL;
    say(reply(args, 0, NULL, time_msec()));
}

/* ["watch", PREFIX, FROM, SLOWLY] */
static void
do_watch(const struct json *args)
{
    struct etcd_bytes prefix = bytes(args, 1);

    etcd_watch_destroy(watch);
    watch = etcd_watch_create(etcd, prefix, integer(args, 2));
    told_state = ETCD_WATCH_SILENT;
    slow_reader = json_boolean(element(args, 3));
    free_bytes(prefix);
    say(reply(args, 0, NULL, time_msec()));
}

/* ["unwatch"] */
static void
do_unwatch(const struct json *args)
{
    etcd_watch_destroy(watch);
    watch = NULL;
    say(reply(args, 0, NULL, time_msec()));
}

/* ["block", MS]: what a loop does that is busy with something else. */
static void
do_block(const struct json *args)
{
    xnanosleep(integer(args, 1) * 1000000LL);
    say(reply(args, 0, NULL, time_msec()));
}

static const struct {
    const char *name;
    void (*run)(const struct json *args);
} commands[] = {
    { "range", do_range },
    { "txn", do_txn },
    { "increments", do_increments },
    { "lease", do_lease },
    { "remaining", do_remaining },
    { "unlease", do_unlease },
    { "watch", do_watch },
    { "unwatch", do_unwatch },
    { "block", do_block },
};

static void
run_command(const char *line)
{
    struct json *args = json_from_string(line);

    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (!strcmp(commands[i].name, json_string(element(args, 0)))) {
            commands[i].run(args);
        }
    }
    json_destroy(args);
}

/* Reports what a watch has brought. */
static void
tell_events(void)
{
    const struct etcd_event *events;
    int64_t revision;
    size_t n;

    while (etcd_watch_next(watch, &events, &n, &revision)) {
        struct json *json = json_object_create();
        struct json *array = json_array_create_empty();

        for (size_t i = 0; i < n; i++) {
            struct json *event = json_from_kv(&events[i].kv);

            json_array_add(event, json_boolean_create(events[i].deleted));
            json_array_add(array, event);
        }
        json_object_put(json, "events", array);
        json_object_put(json, "revision", json_integer_create(revision));
        say(json);
        if (slow_reader) {
            return;
        }
    }
}

static void
tell_watch(void)
{
    static const char *const names[] = { "ok", "silent", "compacted" };

    tell_events();
    if (etcd_watch_state(watch) != told_state) {
        struct json *json = json_object_create();

        told_state = etcd_watch_state(watch);
        json_object_put_string(json, "state", names[told_state]);
        json_object_put(json, "at",
                        json_integer_create(etcd_watch_revision(watch)));
        say(json);
    }
}

static void
tell_lease(void)
{
    if (etcd_lease_is_lost(lease) && !told_lost) {
        struct json *json = json_object_create();

        told_lost = true;
        json_object_put(json, "lost", json_boolean_create(true));
        say(json);
    }
}

/* Reads commands from standard input.  False at its end. */
static bool
run_input(int fd, struct ds *input)
{
    char buffer[65536];
    ssize_t n = read(fd, buffer, sizeof buffer);
    char *end;

    if (n == 0 || (n < 0 && errno != EAGAIN)) {
        return false;
    }
    ds_put_buffer(input, buffer, MAX(n, 0));
    while (input->length
           && (end = memchr(input->string, '\n', input->length))) {
        size_t length = end - input->string;

        *end = '\0';
        run_command(input->string);
        input->length -= length + 1;
        memmove(input->string, end + 1, input->length);
    }
    return true;
}

static const char *
option(const struct json *json, const char *name)
{
    const struct json *value = shash_find_data(json_object(json), name);

    return value ? json_string(value) : NULL;
}

int
main(int argc, char *argv[])
{
    struct json *json = argc == 2 ? json_from_string(argv[1]) : NULL;
    struct ds input = DS_EMPTY_INITIALIZER;
    struct diagnosis diag;

    ovs_assert(json && json->type == JSON_OBJECT);
    const struct etcd_options options = {
        .urls = option(json, "urls"), .user = option(json, "user"),
        .password = option(json, "password"), .ca = option(json, "ca"),
        .cert = option(json, "cert"), .key = option(json, "key"),
    };
    vlog_set_levels(NULL, VLF_SYSLOG, VLL_OFF);
    if (etcd_create(&options, &etcd, &diag)) {
        fprintf(stderr, "%s: %s\n", diag.field, diag.message);
        return 1;
    }
    /* poll_fd_wait() does not take 0. */
    int fd = dup(STDIN_FILENO);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (run_input(fd, &input)) {
        etcd_run(etcd);
        if (watch) {
            tell_watch();
        }
        if (lease) {
            tell_lease();
        }
        poll_fd_wait(fd, POLLIN);
        etcd_wait(etcd);
        poll_block();
    }
    etcd_lease_destroy(lease, true);
    etcd_watch_destroy(watch);
    etcd_destroy(etcd);
    ds_destroy(&input);
    json_destroy(json);
    return 0;
}
