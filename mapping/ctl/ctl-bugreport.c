/* `bugreport`: what a developer needs to see, in one file, without secrets.
 * What cannot be had says why in its place: a report is needed most when
 * something does not answer. */

#include <config.h>

#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "dirs.h"
#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-client.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "mapping/ctl/ctl-redact.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "timeval.h"
#include "util.h"

/* Daemons of this machine and what they are asked over their control
 * sockets. */
static const struct local {
    const char *name;
    const char *commands[8];    /* Ends with NULL. */
} locals[] = {
    {"grapnel-mapd", {"version", "mapd/show", "vlog/list", "memory/show",
                      "coverage/show", NULL}},
    {"ovs-vswitchd", {"version", "anycast/show", "anycast/groups",
                      "anycast/drops", "vlog/list", "memory/show",
                      "coverage/show", NULL}},
};

static struct json *
error_to_json(const char *text)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "error", text);
    return json;
}

/* What mapd answers to 'method', or the error instead.  One that cannot be
 * reached, or hangs, for which '*lost' keeps the error, is asked no more. */
static struct json *
ask_mapd(struct ctl *ctl, struct json **lost, const char *method,
         const char *kind)
{
    struct json *param = NULL, *result, *error;
    enum ctl_exit status;

    if (*lost) {
        return json_clone(*lost);
    }
    if (kind) {
        param = json_object_create();
        json_object_put_string(param, "kind", kind);
    }
    ctl_output_keep_errors(ctl->out);
    status = ctl_call(ctl, method, param, &result);
    error = ctl_output_take_error(ctl->out);
    if (status == CTL_UNREACHABLE || status == CTL_TIMED_OUT) {
        *lost = json_clone(error);
    }
    return status ? error : result;
}

/* Runs 'command' on the daemon behind 'client', as ovs-appctl does. */
static struct json *
ask_daemon(struct ctl_client *client, const char *command, long long ms)
{
    struct json *result = NULL, *error = NULL;
    int code = ctl_client_call(client, command, json_array_create_empty(),
                               ms, &result, &error);

    if (code) {
        return error_to_json(ovs_retval_to_string(code));
    }
    if (error) {
        json_destroy(result);
        result = json_object_create();
        json_object_put(result, "error", error);
    }
    return result;
}

/* All of 'local' that the socket at 'path' tells. */
static struct json *
describe_daemon(struct ctl *ctl, const struct local *local, const char *path)
{
    long long ms = ctl_options_ms(&ctl->args, CTL_TIMEOUT,
                                  CTL_DEFAULT_TIMEOUT_MS);
    struct json *json = json_object_create();
    char *remote = xasprintf("unix:%s", path);
    struct ctl_client *client;
    int error = ctl_client_open(remote, ms, &client);

    json_object_put_string(json, "daemon", local->name);
    json_object_put_string(json, "socket", path);
    if (error) {
        json_object_put_string(json, "error", ovs_retval_to_string(error));
    } else {
        struct json *answers = json_object_create();

        for (size_t i = 0; local->commands[i]; i++) {
            struct json *answer = ask_daemon(client, local->commands[i], ms);
            bool lost = ctl_record_get(answer, "error");

            json_object_put(answers, local->commands[i], answer);
            if (lost && !strcmp(ctl_record_text(answer, "error"),
                                ovs_retval_to_string(ETIMEDOUT))) {
                break;          /* It hangs; the rest would take as long. */
            }
        }
        json_object_put(json, "answers", answers);
        ctl_client_close(client);
    }
    free(remote);
    return json;
}

/* Adds to 'array' the daemons 'local' whose sockets are like 'pattern', which
 * it takes over. */
static void
add_daemons(struct ctl *ctl, const struct local *local, char *pattern,
            struct json *array)
{
    glob_t found;

    if (!glob(pattern, 0, NULL, &found)) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            json_array_add(array, describe_daemon(ctl, local,
                                                  found.gl_pathv[i]));
        }
        globfree(&found);
    }
    free(pattern);
}

/* By itself a daemon puts its process id into the name; with systemd, the unit
 * says what the socket is called. */
static struct json *
describe_locals(struct ctl *ctl)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < ARRAY_SIZE(locals); i++) {
        const char *name = locals[i].name;

        add_daemons(ctl, &locals[i],
                    xasprintf("%s/%s.*.ctl", ovs_rundir(), name), array);
        add_daemons(ctl, &locals[i],
                    xasprintf(CTL_SERVICE_RUNDIR "/%s.ctl", name), array);
    }
    return array;
}

static struct json *
describe_machine(void)
{
    struct json *json = json_object_create();
    struct utsname name;

    if (!uname(&name)) {
        json_object_put_string(json, "system", name.sysname);
        json_object_put_string(json, "release", name.release);
        json_object_put_string(json, "machine", name.machine);
    }
    return json;
}

/* Of these mapd has more than the records. */
static const struct {
    const char *member, *kind;
} lists[] = {
    {"hosts", "host"}, {"groups", "group"}, {"endpoints", "endpoint"},
};

static struct json *
make_report(struct ctl *ctl)
{
    struct json *report = json_object_create();
    char *now = xastrftime_msec("%Y-%m-%dT%H:%M:%SZ", time_wall_msec(),
                                true);
    struct json *lost = NULL;

    json_object_put_string(report, "version", GRAPNEL_VERSION);
    json_object_put_string(report, "time", now);
    json_object_put_string(report, "mapd", ctl->remote);
    json_object_put(report, "machine", describe_machine());
    json_object_put(report, "status", ask_mapd(ctl, &lost, "status", NULL));
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        json_object_put(report, lists[i].member,
                        ask_mapd(ctl, &lost, "list", lists[i].kind));
    }
    json_object_put(report, "dump", ask_mapd(ctl, &lost, "dump", NULL));
    json_object_put(report, "daemons", describe_locals(ctl));
    json_destroy(lost);
    free(now);
    return report;
}

/* Sections under a heading each; texts as they are, JSON indented. */
static void
print_section(struct ctl_output *out, const char *name,
              const struct json *json)
{
    ctl_output_line(out, CTL_PLAIN, "== %s", name);
    if (json->type == JSON_STRING) {
        ctl_output_text(out, json_string(json));
        ctl_output_text(out, "\n");
    } else {
        char *text = json_to_string(json, JSSF_PRETTY | JSSF_SORT);

        ctl_output_text(out, text);
        ctl_output_text(out, "\n");
        free(text);
    }
}

static void
print_daemon(struct ctl_output *out, const struct json *daemon)
{
    const char *name = ctl_record_text(daemon, "daemon");
    const struct json *answers = ctl_record_get(daemon, "answers");
    const struct shash_node **nodes;

    if (!answers) {
        print_section(out, name, daemon);
        return;
    }
    nodes = shash_sort(json_object(answers));
    for (size_t i = 0; i < shash_count(json_object(answers)); i++) {
        char *title = xasprintf("%s %s", name, nodes[i]->name);

        print_section(out, title, nodes[i]->data);
        free(title);
    }
    free(nodes);
}

static void
print_text(struct ctl_output *out, const struct json *report)
{
    static const char *const sections[] = {
        "version", "time", "mapd", "machine", "status", "hosts", "groups",
        "endpoints", "dump",
    };
    struct json *const *daemons;
    size_t n;

    for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
        print_section(out, sections[i], ctl_record_get(report, sections[i]));
    }
    daemons = ctl_record_array(report, "daemons", &n);
    for (size_t i = 0; i < n; i++) {
        print_daemon(out, daemons[i]);
    }
    if (!n) {
        ctl_output_line(out, CTL_PLAIN, "== daemons\nnone in %s",
                        ovs_rundir());
    }
}

enum ctl_exit
ctl_bugreport(struct ctl *ctl)
{
    struct json *whole = make_report(ctl);
    struct json *report = ctl_redact(whole);

    if (ctl->json) {
        ctl_output_json(ctl->out, report);
    } else {
        print_text(ctl->out, report);
    }
    json_destroy(whole);
    json_destroy(report);
    return CTL_OK;
}
