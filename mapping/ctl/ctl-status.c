#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-columns.h"
#include "mapping/ctl/ctl-duration.h"
#include "mapping/ctl/ctl-list.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

enum { MAX_PROBLEMS_SHOWN = 20 };

static void OVS_PRINTF_FORMAT(3, 4)
add_problem(struct json *problems, char *next, const char *format, ...)
{
    struct json *problem = json_object_create();
    va_list args;

    va_start(args, format);
    json_object_put(problem, "problem",
                    json_string_create_nocopy(xvasprintf(format, args)));
    va_end(args);
    json_object_put(problem, "next", json_string_create_nocopy(next));
    json_array_add(problems, problem);
}

static void
look_at_host(struct json *problems, const struct json *item,
             long long revision)
{
    const struct json *record = ctl_record_get(item, "record");
    const struct json *status = ctl_record_get(item, "status");
    const char *name = ctl_record_text(record, "name");
    long long applied = ctl_record_number(status, "applied", 0);

    if (ctl_record_is_false(status, "alive")) {
        add_problem(problems,
                    xasprintf("see whether %s and its switch run; grapnelctl "
                              "host show %s", name, name),
                    "host %s seems dead: its endpoints get no new flows",
                    name);
    } else if (!ctl_record_is_true(status, "connected")) {
        add_problem(problems,
                    xasprintf("on %s: ovs-vsctl get Open_vSwitch . "
                              "external_ids", name),
                    "host %s is not connected: it serves what it last had",
                    name);
    } else if (applied < revision) {
        add_problem(problems, xasprintf("grapnelctl wait %lld", revision),
                    "host %s lags: it has applied revision %lld of %lld",
                    name, applied, revision);
    }
}

static void
look_at_group(struct json *problems, const struct json *item)
{
    const struct json *status = ctl_record_get(item, "status");
    const struct json *record = ctl_record_get(item, "record");
    bool reject = !strcmp(ctl_record_text(record, "when_empty"), "reject");
    const char *what = reject ? "rejected" : "dropped";
    char *id = ctl_record_id(record);

    if (!ctl_record_number(status, "endpoints", 0)) {
        add_problem(problems,
                    xasprintf("grapnelctl endpoint add %s/NAME --host HOST "
                              "--mac MAC", id),
                    "group %s has no endpoints: its packets are %s", id, what);
    } else if (!ctl_record_number(status, "up", 0)) {
        add_problem(problems, xasprintf("grapnelctl endpoint list %s", id),
                    "group %s has no endpoint that is up: new flows are %s",
                    id, what);
    }
    free(id);
}

static struct json *
find_problems(const struct json *hosts, const struct json *groups,
              long long revision)
{
    struct json *problems = json_array_create_empty();
    struct json *const *items;
    size_t n;

    items = ctl_record_array(hosts, "items", &n);
    for (size_t i = 0; i < n; i++) {
        look_at_host(problems, items[i], revision);
    }
    if (!n) {
        add_problem(problems,
                    xstrdup("on each host: ovs-vsctl set Open_vSwitch . "
                            "external_ids:grapnel-mapd=ssl:IP"),
                    "no host is known");
    }
    items = ctl_record_array(groups, "items", &n);
    for (size_t i = 0; i < n; i++) {
        look_at_group(problems, items[i]);
    }
    return problems;
}

/* The end of the word that begins at 's'. */
static size_t
word_length(const char *s)
{
    return strcspn(s, " ,;:()");
}

/* "endpoint 5/web/w1", if 'text' is about a record, with which it then begins;
 * the caller owns it.  NULL if it is not.  '*kind' is the length of its noun.
 */
static char *
find_subject(const char *text, size_t *kind)
{
    static const char *const kinds[] = {
        "endpoint ", "group ", "host ", "workload ", "gateway vip ",
        "gateway lease ",
    };

    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        size_t length = strlen(kinds[i]);

        if (!strncmp(text, kinds[i], length) && word_length(text + length)) {
            *kind = length - 1;
            return xmemdup0(text, length + word_length(text + length));
        }
    }
    return NULL;
}

/* What to do about a problem that is not one record's. */
static const char *
find_advice(const char *text)
{
    static const struct {
        const char *start, *next;
    } advice[] = {
        {"and ", "grapnelctl status, with those solved"},
        {"registration ", "on that host: ovs-vsctl get Open_vSwitch . "
         "external_ids"},
        {"name ", "give each an external_ids:grapnel-host of its own"},
        {"VTEPs ", "on each host: ovs-vsctl set Open_vSwitch . "
         "external_ids:grapnel-vtep=ADDRESS, all IPv4 or all IPv6"},
    };

    for (size_t i = 0; i < ARRAY_SIZE(advice); i++) {
        if (!strncmp(text, advice[i].start, strlen(advice[i].start))) {
            return advice[i].next;
        }
    }
    return "see grapnel-mapd's log";
}

static bool
is_told(const struct json *problems, const char *subject)
{
    for (size_t i = 0; i < json_array(problems)->n; i++) {
        const char *text = ctl_record_text(json_array(problems)->elems[i],
                                           "problem");
        size_t kind;
        char *other = find_subject(text, &kind);
        bool same = other && !strcmp(other, subject);

        free(other);
        if (same) {
            return true;
        }
    }
    return false;
}

/* Adds what mapd alone can know.  What it also tells of a host or group that
 * has been looked at is left out: there is better advice on it already. */
static void
add_from_mapd(struct json *problems, const struct json *mapd)
{
    struct json *const *texts;
    size_t n;

    texts = ctl_record_array(mapd, "problems", &n);
    for (size_t i = 0; i < n; i++) {
        struct ds text = DS_EMPTY_INITIALIZER;
        char *subject;
        size_t kind;

        ctl_record_put_value(&text, texts[i]);
        subject = find_subject(ds_cstr(&text), &kind);
        if (!subject) {
            add_problem(problems, xstrdup(find_advice(ds_cstr(&text))), "%s",
                        ds_cstr(&text));
        } else if (!is_told(problems, subject)) {
            add_problem(problems, xasprintf("grapnelctl %.*s show %s",
                                            (int) kind, subject,
                                            subject + kind + 1),
                        "%s", ds_cstr(&text));
        }
        free(subject);
        ds_destroy(&text);
    }
}

static void
put_line(struct ctl_table *table, const char *name, const char *value)
{
    ctl_output_row(table);
    ctl_output_cell(table, CTL_PLAIN, "%s", name);
    ctl_output_cell(table, CTL_PLAIN, "%s", value);
}

static void
put_number(struct ctl_table *table, const char *name, long long value)
{
    ctl_output_row(table);
    ctl_output_cell(table, CTL_PLAIN, "%s", name);
    ctl_output_cell(table, CTL_PLAIN, "%lld", value);
}

static void
print_mapd(struct ctl *ctl, const struct json *mapd)
{
    struct ctl_table *table = ctl_output_table(ctl->out, false);
    long long hosts = ctl_record_number(mapd, "hosts", 0);
    long long connected = ctl_record_number(mapd, "connected", 0);
    struct ds uptime = DS_EMPTY_INITIALIZER;

    ctl_duration_put(&uptime, ctl_record_number(mapd, "uptime_ms", 0));
    ctl_output_column(table, "FIELD", false);
    ctl_output_column(table, "VALUE", false);
    put_line(table, "mapd", ctl->remote);
    if (ctl_record_text(mapd, "mapd")[0]) {
        const char *leader = ctl_record_text(mapd, "leader");

        put_line(table, "answered by", ctl_record_text(mapd, "mapd"));
        put_line(table, "leader", leader[0] ? leader : "none");
    }
    put_line(table, "version", ctl_record_text(mapd, "version"));
    put_line(table, "uptime", ds_cstr(&uptime));
    put_line(table, "store", ctl_record_text(mapd, "store"));
    put_number(table, "revision", ctl_record_number(mapd, "revision", 0));
    put_number(table, "groups", ctl_record_number(mapd, "groups", 0));
    put_number(table, "endpoints", ctl_record_number(mapd, "endpoints", 0));
    ctl_output_row(table);
    ctl_output_cell(table, CTL_PLAIN, "hosts");
    ctl_output_cell(table, connected == hosts ? CTL_PLAIN : CTL_CARE,
                    "%lld, %lld connected", hosts, connected);
    ctl_output_table_end(table);
    ds_destroy(&uptime);
}

static void
print_problems(struct ctl_output *out, const struct json *problems)
{
    size_t n = json_array(problems)->n;

    ctl_output_text(out, "\n");
    if (!n) {
        ctl_output_line(out, CTL_GOOD,
                        "All hosts are connected and have applied the "
                        "newest revision.");
    }
    for (size_t i = 0; i < n && i < MAX_PROBLEMS_SHOWN; i++) {
        const struct json *p = json_array(problems)->elems[i];

        ctl_output_line(out, CTL_BAD, "! %s", ctl_record_text(p, "problem"));
        ctl_output_line(out, CTL_PLAIN, "  next: %s",
                        ctl_record_text(p, "next"));
    }
    if (n > MAX_PROBLEMS_SHOWN) {
        ctl_output_line(out, CTL_BAD, "! and %zu more (--json has all)",
                        n - MAX_PROBLEMS_SHOWN);
    }
}

static void
print_json(struct ctl *ctl, const struct json *mapd,
           const struct json *hosts, const struct json *problems)
{
    struct json *json = json_object_create();

    json_object_put(json, "mapd", json_clone(mapd));
    json_object_put(json, "hosts", json_clone(ctl_record_get(hosts,
                                                             "items")));
    json_object_put(json, "problems", json_clone(problems));
    ctl_output_json(ctl->out, json);
    json_destroy(json);
}

enum ctl_exit
ctl_status(struct ctl *ctl)
{
    struct json *mapd = NULL, *hosts = NULL, *groups = NULL, *problems;
    enum ctl_exit status;

    status = ctl_call(ctl, "status", NULL, &mapd);
    if (!status) {
        status = ctl_list_get(ctl, "host", json_object_create(), &hosts);
    }
    if (!status) {
        status = ctl_list_get(ctl, "group", json_object_create(), &groups);
    }
    if (!status) {
        problems = find_problems(hosts, groups,
                                 ctl_record_number(mapd, "revision", 0));
        add_from_mapd(problems, mapd);
        if (ctl->json) {
            print_json(ctl, mapd, hosts, problems);
        } else {
            print_mapd(ctl, mapd);
            if (json_array(ctl_record_get(hosts, "items"))->n) {
                ctl_output_text(ctl->out, "\n");
                ctl_columns_print(ctl->out, "host", hosts);
            }
            print_problems(ctl->out, problems);
        }
        json_destroy(problems);
    }
    json_destroy(mapd);
    json_destroy(hosts);
    json_destroy(groups);
    return status;
}
