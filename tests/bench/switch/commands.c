/* What makes grapnel-vswitchd-bench of grapnel-vswitchd: two more port types,
 * and commands for `ovs-appctl` to drive them.  The switch's own objects are
 * linked as they are; the linker is told (--wrap=grapnel_init) to have main()
 * call __wrap_grapnel_init() in place of grapnel_init(). */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/switch/engine-clock.h"
#include "tests/bench/switch/port.h"
#include "unixctl.h"
#include "util.h"
#include "vswitchd-ext/grapnel.h"

void __real_grapnel_init(const char *ovsdb_remote);
void __wrap_grapnel_init(const char *ovsdb_remote);

/* Reads 'n' numbers.  Otherwise says so to 'conn'. */
static bool
read_numbers(struct unixctl_conn *conn, const char *const argv[], int n,
             unsigned int *values)
{
    for (int i = 0; i < n; i++) {
        if (!str_to_uint(argv[i], 10, &values[i])) {
            unixctl_command_reply_error(conn, "not a number");
            return false;
        }
    }
    return true;
}

static struct netdev *
open_source(struct unixctl_conn *conn, const char *name)
{
    struct netdev *source = bench_source_open(name);

    if (!source) {
        unixctl_command_reply_error(conn, "no such source");
    }
    return source;
}

static void
reply(struct unixctl_conn *conn, int error)
{
    if (error) {
        unixctl_command_reply_error(conn, ovs_strerror(error));
    } else {
        unixctl_command_reply(conn, NULL);
    }
}

static void
bench_send(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[],
           void *aux OVS_UNUSED)
{
    unsigned int v[2];
    struct netdev *source;
    int kind = 0;

    while (kind < N_FRAME_KINDS && strcmp(argv[2], frame_kind_names[kind])) {
        kind++;
    }
    if (!read_numbers(conn, &argv[3], 2, v)) {
        return;
    }
    if (kind == N_FRAME_KINDS || v[0] > FRAME_MAX_FLOWS
        || v[1] > FRAME_MAX_FLOWS - v[0]) {
        unixctl_command_reply_error(conn, "no such packets");
        return;
    }
    source = open_source(conn, argv[1]);
    if (source) {
        reply(conn, bench_source_send(source, kind, v[0], v[1]));
        netdev_close(source);
    }
}

static void
bench_measure(struct unixctl_conn *conn, int argc OVS_UNUSED,
              const char *argv[], void *aux OVS_UNUSED)
{
    struct netdev *source;
    unsigned int v[3];

    if (!read_numbers(conn, &argv[2], 3, v)) {
        return;
    }
    if (!v[0] || v[0] > FRAME_MAX_FLOWS) {
        unixctl_command_reply_error(conn, "no such flows");
        return;
    }
    source = open_source(conn, argv[1]);
    if (source) {
        reply(conn, bench_source_measure(source, v[0], v[1], v[2]));
        netdev_close(source);
    }
}

static void
bench_source(struct unixctl_conn *conn, int argc OVS_UNUSED,
             const char *argv[], void *aux OVS_UNUSED)
{
    struct netdev *source = open_source(conn, argv[1]);

    if (source) {
        struct bench_source_status s;
        char *text;

        bench_source_get_status(source, &s);
        text = xasprintf("{\"busy\":%s,\"sent\":%"PRIu64","
                         "\"packets\":%"PRIu64",\"ns\":%"PRIu64"}",
                         s.busy ? "true" : "false", s.sent, s.packets, s.ns);
        unixctl_command_reply(conn, text);
        free(text);
        netdev_close(source);
    }
}

static void
bench_sink(struct unixctl_conn *conn, int argc OVS_UNUSED, const char *argv[],
           void *aux OVS_UNUSED)
{
    uint64_t received, wrong;
    char *text;

    if (!bench_sink_get_counts(argv[1], &received, &wrong)) {
        unixctl_command_reply_error(conn, "no such sink");
        return;
    }
    text = xasprintf("{\"received\":%"PRIu64",\"wrong\":%"PRIu64"}", received,
                     wrong);
    unixctl_command_reply(conn, text);
    free(text);
}

static void
bench_engine(struct unixctl_conn *conn, int argc OVS_UNUSED,
             const char *argv[] OVS_UNUSED, void *aux OVS_UNUSED)
{
    uint64_t packets, ns;
    char *text;

    engine_clock_read(&packets, &ns);
    text = xasprintf("{\"packets\":%"PRIu64",\"ns\":%"PRIu64"}", packets, ns);
    unixctl_command_reply(conn, text);
    free(text);
}

void
__wrap_grapnel_init(const char *ovsdb_remote)
{
    __real_grapnel_init(ovsdb_remote);
    frame_init();
    bench_source_register();
    bench_sink_register();
    unixctl_command_register("bench/send", "SOURCE KIND FIRST N", 4, 4,
                             bench_send, NULL);
    unixctl_command_register("bench/measure",
                             "SOURCE FLOWS WARM_UP_PACKETS MEASURE_MS", 4, 4,
                             bench_measure, NULL);
    unixctl_command_register("bench/source", "SOURCE", 1, 1, bench_source,
                             NULL);
    unixctl_command_register("bench/sink", "SINK", 1, 1, bench_sink, NULL);
    unixctl_command_register("bench/engine", "", 0, 0, bench_engine, NULL);
}
