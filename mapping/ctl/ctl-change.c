#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-change.h"
#include "mapping/ctl/ctl-diff.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

static void
put_flag(const struct ctl *ctl, struct json *object, const char *name,
         enum ctl_option_id id)
{
    if (ctl->args.values[id]) {
        json_object_put(object, name, json_boolean_create(true));
    }
}

void
ctl_change_put_condition(const struct ctl *ctl, struct json *request)
{
    if (ctl->args.values[CTL_IF_REVISION]) {
        json_object_put(request, "if_revision", json_integer_create(
                            ctl_options_number(&ctl->args, CTL_IF_REVISION)));
    }
}

static void
copy_array(struct json *to, const struct json *from, const char *name)
{
    const struct json *array = ctl_record_get(from, name);

    json_object_put(to, name, array ? json_clone(array)
                    : json_array_create_empty());
}

/* Waits, if --wait asks for it, and adds to 'result' the hosts that are
 * done. */
static enum ctl_exit
wait_if_asked(struct ctl *ctl, struct json *result)
{
    struct json *answer;
    enum ctl_exit status;

    if (!ctl->args.values[CTL_WAIT]) {
        return CTL_OK;
    }
    status = ctl_call_wait(ctl, ctl_record_number(result, "revision", 0),
                           ctl_options_ms(&ctl->args, CTL_WAIT,
                                          CTL_DEFAULT_WAIT_MS), &answer);
    if (!status) {
        copy_array(result, answer, "hosts");
        copy_array(result, answer, "disconnected");
        json_destroy(answer);
    }
    return status;
}

/* "h1, h2": names, or objects with a "name". */
static void
put_names(struct ds *ds, const struct json *answer, const char *member)
{
    struct json *const *hosts;
    size_t n;

    hosts = ctl_record_array(answer, member, &n);
    for (size_t i = 0; i < n; i++) {
        const struct json *name = ctl_record_get(hosts[i], "name");

        ds_put_cstr(ds, i ? ", " : "");
        ctl_record_put_value(ds, name ? name : hosts[i]);
    }
}

void
ctl_change_print_applied(struct ctl_output *out, long long revision,
                         const struct json *answer)
{
    struct ds applied = DS_EMPTY_INITIALIZER;
    struct ds away = DS_EMPTY_INITIALIZER;

    put_names(&applied, answer, "hosts");
    put_names(&away, answer, "disconnected");
    ctl_output_line(out, applied.length && !away.length ? CTL_PLAIN : CTL_CARE,
                    "revision %lld is in use on %s%s%s", revision,
                    applied.length ? ds_cstr(&applied) : "no host",
                    away.length ? "; not connected: " : "",
                    ds_cstr(&away));
    if (!applied.length) {
        ctl_output_note(out, "warning: no host is connected, so none was "
                        "waited for (see 'grapnelctl status')");
    }
    ds_destroy(&applied);
    ds_destroy(&away);
}

/* What mapd did, and thinks is a mistake. */
static void
print_warnings(struct ctl_output *out, const struct json *result)
{
    struct json *const *warnings;
    size_t n;

    warnings = ctl_record_array(result, "warnings", &n);
    for (size_t i = 0; i < n; i++) {
        struct ds text = DS_EMPTY_INITIALIZER;

        ctl_record_put_value(&text, warnings[i]);
        ctl_output_note(out, "warning: %s", ds_cstr(&text));
        ds_destroy(&text);
    }
}

/* A lease that was there already is not among the changes. */
static void
print_leases(struct ctl_output *out, const struct json *result)
{
    struct json *const *leases;
    size_t n;

    leases = ctl_record_array(result, "leases", &n);
    for (size_t i = 0; i < n; i++) {
        char *id = ctl_record_id(leases[i]);

        ctl_output_line(out, CTL_PLAIN, "  lease %s", id);
        free(id);
    }
}

enum ctl_exit
ctl_change_finish(struct ctl *ctl, struct json *result)
{
    long long revision = ctl_record_number(result, "revision", 0);
    enum ctl_exit status;
    size_t n;

    ctl_record_array(result, "changes", &n);
    if (!ctl->json) {
        ctl_diff_print(ctl->out, result);
        if (!n) {
            print_leases(ctl->out, result);
        }
        ctl_output_line(ctl->out, CTL_PLAIN, "%srevision %lld",
                        n ? "" : "nothing to change, ", revision);
        ctl_output_flush(ctl->out);
        print_warnings(ctl->out, result);
    }
    status = wait_if_asked(ctl, result);
    if (!status && ctl->json) {
        ctl_output_json(ctl->out, result);
    } else if (!status && ctl->args.values[CTL_WAIT]) {
        ctl_change_print_applied(ctl->out, revision, result);
    }
    json_destroy(result);
    return status;
}

/* Sends the transaction with the single operation 'op'; takes ownership of
 * 'record'. */
static enum ctl_exit
transact(struct ctl *ctl, const char *op, struct json *record)
{
    struct json *operation = json_object_create();
    struct json *request = json_object_create();
    struct json *result;
    enum ctl_exit status;

    json_object_put_string(operation, "op", op);
    json_object_put(operation, "record", record);
    put_flag(ctl, operation, "may_exist", CTL_MAY_EXIST);
    put_flag(ctl, operation, "if_exists", CTL_IF_EXISTS);
    put_flag(ctl, operation, "cascade", CTL_CASCADE);
    put_flag(ctl, operation, "force", CTL_FORCE);
    if (ctl->args.values[CTL_IF_EPOCH]) {
        json_object_put(operation, "if_epoch", json_integer_create(
                            ctl_options_number(&ctl->args, CTL_IF_EPOCH)));
    }
    json_object_put(request, "ops", json_array_create_1(operation));
    ctl_change_put_condition(ctl, request);

    status = ctl_call(ctl, "transact", request, &result);
    return status ? status : ctl_change_finish(ctl, result);
}

enum ctl_exit
ctl_change_add(struct ctl *ctl)
{
    enum ctl_exit status;
    struct json *record;

    status = ctl_call_key(ctl, ctl_verbs_kind(ctl->verb), ctl->operands[0],
                          &record);
    if (status) {
        return status;
    }
    ctl_options_put_members(&ctl->args, record);
    return transact(ctl, "add", record);
}

enum ctl_exit
ctl_change_set(struct ctl *ctl)
{
    enum ctl_exit status;
    struct json *record;
    bool any = false;

    for (enum ctl_option_id id = CTL_VTEP; id < CTL_VNI; id++) {
        any = any || ctl->args.values[id];
    }
    if (!any) {
        char hint[64];

        snprintf(hint, sizeof hint, "'grapnelctl help %s set' lists what can "
                 "be set", ctl->verb->noun);
        return ctl_output_error(ctl->out, CTL_USAGE, "usage", hint,
                                "%s set: nothing to set", ctl->verb->noun);
    }
    status = ctl_call_key(ctl, ctl_verbs_kind(ctl->verb), ctl->operands[0],
                          &record);
    if (status) {
        return status;
    }
    ctl_options_put_members(&ctl->args, record);
    return transact(ctl, "set", record);
}

enum ctl_exit
ctl_change_remove(struct ctl *ctl)
{
    enum ctl_exit status;
    struct json *record;

    status = ctl_call_key(ctl, ctl_verbs_kind(ctl->verb), ctl->operands[0],
                          &record);
    return status ? status : transact(ctl, "remove", record);
}

/* The kind of what the operand names is a pool or a lease; what is sent is a
 * part of a lease. */
enum ctl_exit
ctl_change_lease(struct ctl *ctl)
{
    bool allocate = !strcmp(ctl->verb->name, "allocate");
    enum ctl_exit status;
    struct json *record;

    status = ctl_call_key(ctl, allocate ? "pool" : "lease", ctl->operands[0],
                          &record);
    if (status) {
        return status;
    }
    if (allocate) {
        json_object_put_string(record, "kind", "lease");
        json_object_put(record, "pool", json_clone(
                            ctl_record_get(record, "name")));
        json_destroy(shash_find_and_delete(json_object(record), "name"));
    }
    ctl_options_put_members(&ctl->args, record);
    return transact(ctl, ctl->verb->name, record);
}
