/* `check`: follows one flow to each group from each host.
 *
 * No packet is sent.  The sender's switch is asked what it would do with one,
 * which the packet path's own functions decide with the table, the health and
 * the next hops that it uses; then the endpoint's switch is asked what it
 * would do with what it gets; and both answers are compared with what mapd
 * has. */

#include <config.h>

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-list.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "sset.h"
#include "util.h"

enum {
    MAX_PATHS = 256,            /* More questions than that take too long. */
    SETTLE_MS = 1000,           /* What has just changed may be on its way. */
    PROBE_SRC_PORT = 40000,
    PROBE_DST_PORT = 80,        /* Of groups with all ports. */
};

/* Addresses of nobody (RFC 5737, RFC 3849), so that no flow is known. */
static const char probe_src4[] = "198.51.100.1";
static const char probe_src6[] = "2001:db8::1";

struct check {
    struct ctl *ctl;
    struct json *hosts, *groups, *endpoints; /* Of the method `list`. */
    struct json *paths;         /* Array: what has been found out. */
    struct sset silent;         /* Hosts that did not answer in time. */
    size_t n_ok, n_failed, n_skipped;
};

/* One path under test. */
struct path {
    const struct json *group;   /* Item. */
    const char *from;           /* Name of the host. */
    struct json *json;          /* What is told of it. */
};

static const struct json *
find_record(const struct json *list, const char *member, const char *value,
            const struct json *group)
{
    struct json *const *items;
    size_t n;

    items = ctl_record_array(list, "items", &n);
    for (size_t i = 0; i < n; i++) {
        const struct json *r = ctl_record_get(items[i], "record");

        if (!strcmp(ctl_record_text(r, member), value)
            && (!group
                || (!strcmp(ctl_record_text(r, "group"),
                            ctl_record_text(group, "name"))
                    && (ctl_record_number(r, "vni", 0)
                        == ctl_record_number(group, "vni", 0))))) {
            return items[i];
        }
    }
    return NULL;
}

static void OVS_PRINTF_FORMAT(3, 4)
fail(struct path *path, char *next, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    json_object_put(path->json, "problem",
                    json_string_create_nocopy(xvasprintf(format, args)));
    va_end(args);
    json_object_put(path->json, "next", json_string_create_nocopy(next));
}

static bool
is_connected(const struct check *check, const char *host)
{
    const struct json *item = find_record(check->hosts, "name", host, NULL);

    return ctl_record_is_true(ctl_record_get(item, "status"), "connected");
}

static char *
look_at_host(const char *host)
{
    return xasprintf("grapnelctl host show %s", host);
}

/* What 'host' is asked about the probe to 'group'. */
static struct json *
make_request(const struct json *group, const char *host)
{
    const char *dst = ctl_record_text(group, "address");
    bool icmp = !strcmp(ctl_record_text(group, "protocol"), "icmp");
    long long port = ctl_record_number(group, "port", 0);
    struct json *request = json_object_create();

    json_object_put_string(request, "host", host);
    json_object_put(request, "vni", json_clone(ctl_record_get(group, "vni")));
    json_object_put_string(request, "protocol",
                           ctl_record_text(group, "protocol"));
    json_object_put_string(request, "src",
                           strchr(dst, ':') ? probe_src6 : probe_src4);
    json_object_put(request, "src_port", json_integer_create(
                        icmp ? 0 : PROBE_SRC_PORT));
    json_object_put_string(request, "dst", dst);
    json_object_put(request, "dst_port", json_integer_create(
                        icmp ? 0 : port ? port : PROBE_DST_PORT));
    return request;
}

/* Asks 'host' about the probe of 'path'.  NULL, with the path failed, if it
 * does not answer; an exit status in '*status' if mapd is lost.  One that has
 * not answered in time is not asked again: that would take as long. */
static struct json *
ask(struct check *check, struct path *path, const char *host,
    enum ctl_exit *status)
{
    struct json *request, *answer = NULL, *refusal;

    *status = CTL_OK;
    if (sset_contains(&check->silent, host)) {
        fail(path, look_at_host(host), "%s: did not answer the last question",
             host);
        return NULL;
    }
    request = make_request(ctl_record_get(path->group, "record"), host);
    *status = ctl_call_trace(check->ctl, request, &answer, &refusal);
    if (refusal) {
        if (!strcmp(ctl_record_text(refusal, "error"), "timeout")) {
            sset_add(&check->silent, host);
        }
        fail(path, look_at_host(host), "%s: %s", host,
             ctl_record_text(refusal, "message"));
        json_destroy(refusal);
        *status = CTL_OK;
    }
    return answer;
}

/* Whether the answer of 'host' is about the group as mapd has it.  A younger
 * epoch is one that has come since. */
static bool
is_in_step(struct path *path, const char *host, const struct json *answer)
{
    const struct json *status = ctl_record_get(path->group, "status");
    long long want = ctl_record_number(status, "epoch", 0);
    long long have = ctl_record_number(answer, "epoch", -1);

    if (have < 0) {
        fail(path, xasprintf("on %s: ovs-appctl anycast/show", host),
             "%s does not know the group", host);
    } else if (have < want) {
        fail(path, xstrdup("grapnelctl status"),
             "%s goes by an older table of the group (epoch %lld of %lld)",
             host, have, want);
    }
    return have >= want;
}

/* Whether a receiver goes by the same table as a sender, so that both must
 * come to the same endpoint. */
static bool
goes_by_slots(const struct json *group)
{
    const char *algorithm = ctl_record_text(group, "algorithm");

    return !strcmp(algorithm, "weighted") || !strcmp(algorithm, "hash");
}

/* The other end: does the host that gets the packet deliver it? */
static enum ctl_exit
follow(struct check *check, struct path *path, const char *endpoint,
       const char *to)
{
    const struct json *group = ctl_record_get(path->group, "record");
    enum ctl_exit status;
    struct json *answer;

    if (!is_connected(check, to)) {
        fail(path, look_at_host(to), "%s is on host %s, which is not "
             "connected and cannot be asked", endpoint, to);
        return CTL_OK;
    }
    answer = ask(check, path, to, &status);
    if (!status && answer && is_in_step(path, to, answer)
        && goes_by_slots(group)
        && (strcmp(ctl_record_text(answer, "verdict"), "local")
            || strcmp(ctl_record_text(answer, "endpoint"), endpoint))) {
        fail(path, xasprintf("on %s: ovs-appctl anycast/groups", to),
             "%s sends to %s on %s, which would not deliver to it",
             path->from, endpoint, to);
    }
    json_destroy(answer);
    return status;
}

/* Whether the endpoint that the sender has chosen is mapd's. */
static bool
is_known(const struct check *check, struct path *path, const char *endpoint,
         const char *to)
{
    const struct json *item
        = find_record(check->endpoints, "name", endpoint,
                      ctl_record_get(path->group, "record"));
    const char *host = ctl_record_text(ctl_record_get(item, "record"),
                                       "host");

    if (strcmp(host, to)) {
        fail(path, xstrdup("grapnelctl status"), "%s sends to %s on %s, which "
             "%s%s", path->from, endpoint, to,
             item ? "is on " : "is not known", host);
    }
    return !strcmp(host, to);
}

static enum ctl_exit
check_path(struct check *check, struct path *path)
{
    enum ctl_exit status;
    struct json *answer = ask(check, path, path->from, &status);
    const char *verdict = ctl_record_text(answer, "verdict");
    const char *endpoint = ctl_record_text(answer, "endpoint");
    const char *to = ctl_record_text(answer, "host");
    const char *reason = ctl_record_text(answer, "reason");
    bool local = !strcmp(verdict, "local");

    if (!answer) {
        return status;
    }
    json_object_put_string(path->json, "verdict", verdict);
    if (!local && strcmp(verdict, "underlay")) {
        fail(path, xasprintf("on %s: ovs-appctl anycast/drops; grapnelctl "
                             "endpoint list %lld/%s", path->from,
                             ctl_record_number(path->json, "vni", 0),
                             ctl_record_text(path->json, "group")),
             "the packet is not delivered: %s%s%s", verdict,
             *reason ? ", " : "", reason);
    } else if (is_in_step(path, path->from, answer)
               && is_known(check, path, endpoint, to)) {
        json_object_put_string(path->json, "endpoint", endpoint);
        json_object_put_string(path->json, "to", to);
        if (!local) {
            status = follow(check, path, endpoint, to);
        }
    }
    json_destroy(answer);
    return status;
}

static void
print_path(const struct check *check, const struct path *path, bool ok)
{
    const struct json *json = path->json;
    struct ctl_output *out = check->ctl->out;
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (path->group) {
        ds_put_format(&ds, "%lld/%s from %s: ",
                      ctl_record_number(json, "vni", 0),
                      ctl_record_text(json, "group"), path->from);
    }
    if (ok) {
        ds_put_format(&ds, "%s on %s, %s", ctl_record_text(json, "endpoint"),
                      ctl_record_text(json, "to"),
                      strcmp(ctl_record_text(json, "verdict"), "local")
                      ? "over the underlay" : "the same host");
        ctl_output_line(out, CTL_GOOD, "ok    %s", ds_cstr(&ds));
    } else {
        ctl_record_put_value(&ds, ctl_record_get(json, "problem"));
        ctl_output_line(out, CTL_BAD, "FAIL  %s", ds_cstr(&ds));
        ctl_output_line(out, CTL_PLAIN, "      next: %s",
                        ctl_record_text(json, "next"));
    }
    ds_destroy(&ds);
}

/* Counts, prints and keeps what has been found out about 'path'. */
static void
finish_path(struct check *check, struct path *path)
{
    bool ok = !ctl_record_get(path->json, "problem");

    check->n_ok += ok;
    check->n_failed += !ok;
    json_object_put(path->json, "ok", json_boolean_create(ok));
    if (!check->ctl->json) {
        print_path(check, path, ok);
        ctl_output_flush(check->ctl->out);
    }
    json_array_add(check->paths, path->json);
}

/* From the host of the item 'host' to all groups. */
static enum ctl_exit
check_host(struct check *check, const struct json *host)
{
    const char *from = ctl_record_text(ctl_record_get(host, "record"),
                                       "name");
    struct json *const *groups;
    enum ctl_exit status = CTL_OK;
    size_t n;

    groups = ctl_record_array(check->groups, "items", &n);
    if (!is_connected(check, from)) {
        struct path path = { .from = from, .json = json_object_create() };

        json_object_put_string(path.json, "from", from);
        fail(&path, look_at_host(from), "host %s is not connected and cannot "
             "be asked", from);
        finish_path(check, &path);
        return CTL_OK;
    }
    for (size_t i = 0; i < n && !status; i++) {
        const struct json *group = ctl_record_get(groups[i], "record");
        struct path path = { .group = groups[i], .from = from };

        if (check->n_ok + check->n_failed >= MAX_PATHS) {
            check->n_skipped++;
            continue;
        }
        path.json = json_object_create();
        json_object_put_string(path.json, "from", from);
        json_object_put(path.json, "vni",
                        json_clone(ctl_record_get(group, "vni")));
        json_object_put_string(path.json, "group",
                               ctl_record_text(group, "name"));
        status = check_path(check, &path);
        if (status) {
            json_destroy(path.json);
        } else {
            finish_path(check, &path);
        }
    }
    return status;
}

/* Gives hosts a moment to follow.  That they do not is found out later. */
static enum ctl_exit
settle(struct ctl *ctl)
{
    struct json *param = json_object_create();
    struct json *result = NULL, *refusal;
    enum ctl_exit status;

    json_object_put(param, "timeout_ms", json_integer_create(SETTLE_MS));
    status = ctl_call_refusable(ctl, "wait", param, SETTLE_MS, &result,
                                &refusal);
    if (refusal) {
        json_destroy(refusal);
        return CTL_OK;
    }
    json_destroy(result);
    return status;
}

/* Gets the lists: of groups and endpoints only what the operand names. */
static enum ctl_exit
get_lists(struct check *check)
{
    struct ctl *ctl = check->ctl;
    struct json *filter = NULL, *members = NULL;
    enum ctl_exit status = settle(ctl);

    if (status) {
        return status;
    }
    if (ctl->n_operands) {
        status = ctl_call_key(ctl, "group", ctl->operands[0], &filter);
        if (status) {
            return status;
        }
        status = ctl_call_check_known(ctl, json_deep_clone(filter), NULL);
        if (status) {
            json_destroy(filter);
            return status;
        }
        members = json_object_create();
        json_object_put(members, "vni",
                        json_clone(ctl_record_get(filter, "vni")));
        json_object_put(members, "group",
                        json_clone(ctl_record_get(filter, "name")));
    }
    status = ctl_list_get(ctl, "endpoint", members, &check->endpoints);
    if (status) {
        json_destroy(filter);
        return status;
    }
    status = ctl_list_get(ctl, "group", filter, &check->groups);
    return status ? status : ctl_list_get(ctl, "host", NULL, &check->hosts);
}

/* An endpoint that is to get flows, and of which nobody knows where it is. */
static void
check_bound(struct check *check, const struct json *item)
{
    const struct json *r = ctl_record_get(item, "record");
    const char *why = ctl_record_text(ctl_record_get(item, "status"), "why");
    struct path path = { .from = NULL };
    char *id;

    if (strncmp(why, "unbound", strlen("unbound"))) {
        return;
    }
    if (check->n_ok + check->n_failed >= MAX_PATHS) {
        check->n_skipped++;
        return;
    }
    id = ctl_record_id(r);
    path.json = json_object_create();
    json_object_put(path.json, "vni", json_clone(ctl_record_get(r, "vni")));
    json_object_put_string(path.json, "group", ctl_record_text(r, "group"));
    json_object_put_string(path.json, "endpoint", ctl_record_text(r, "name"));
    fail(&path, xasprintf("on its host: ovs-vsctl --columns=name,ofport,"
                          "external_ids find interface "
                          "external_ids:iface-id=%s",
                          ctl_record_text(r, "iface")),
         "endpoint %s is %s (%s)", id, why, ctl_record_text(r, "iface"));
    finish_path(check, &path);
    free(id);
}

static enum ctl_exit
check_all(struct check *check)
{
    const char *only = check->ctl->args.values[CTL_HOST];
    enum ctl_exit status = CTL_OK;
    struct json *const *items;
    struct json *key;
    size_t n;

    if (only) {
        status = ctl_call_key(check->ctl, "host", only, &key);
        status = (status ? status
                  : ctl_call_check_known(check->ctl, key, NULL));
    }
    items = ctl_record_array(check->endpoints, "items", &n);
    for (size_t i = 0; i < n && !status && !only; i++) {
        check_bound(check, items[i]);
    }
    items = ctl_record_array(check->hosts, "items", &n);
    for (size_t i = 0; i < n && !status; i++) {
        const char *name = ctl_record_text(ctl_record_get(items[i], "record"),
                                           "name");

        if (!only || !strcmp(only, name)) {
            status = check_host(check, items[i]);
        }
    }
    return status;
}

static void
print_json(struct check *check)
{
    struct json *json = json_object_create();

    json_object_put(json, "paths", json_clone(check->paths));
    json_object_put(json, "ok", json_integer_create(check->n_ok));
    json_object_put(json, "failed", json_integer_create(check->n_failed));
    json_object_put(json, "skipped", json_integer_create(check->n_skipped));
    ctl_output_json(check->ctl->out, json);
    json_destroy(json);
}

static enum ctl_exit
finish(struct check *check)
{
    struct ctl *ctl = check->ctl;
    size_t n = check->n_ok + check->n_failed;

    if (ctl->json) {
        print_json(check);
    } else if (n) {
        ctl_output_line(ctl->out, check->n_failed ? CTL_BAD : CTL_GOOD,
                        "%zu of %zu checks passed", check->n_ok, n);
    } else {
        ctl_output_line(ctl->out, CTL_CARE, "nothing to check: there is no "
                        "group or no host");
    }
    if (check->n_skipped) {
        ctl_output_note(ctl->out, "warning: %zu more paths were not checked; "
                        "name a group, or a host with --host",
                        check->n_skipped);
    }
    if (check->n_failed && !ctl->json) {
        ctl_output_error(ctl->out, CTL_FAILED, "", "see what stands under "
                         "each of them", "%zu of %zu checks failed",
                         check->n_failed, n);
    }
    return check->n_failed ? CTL_FAILED : CTL_OK;
}

enum ctl_exit
ctl_check(struct ctl *ctl)
{
    struct check check = {
        .ctl = ctl, .paths = json_array_create_empty(),
        .silent = SSET_INITIALIZER(&check.silent),
    };
    enum ctl_exit status;

    status = get_lists(&check);
    if (!status) {
        status = check_all(&check);
    }
    if (!status) {
        status = finish(&check);
    }
    json_destroy(check.hosts);
    json_destroy(check.groups);
    json_destroy(check.endpoints);
    json_destroy(check.paths);
    sset_destroy(&check.silent);
    return status;
}
