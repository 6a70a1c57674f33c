#include <config.h>

#include "mapping/ctl/ctl-call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "encap/tunnel.h"
#include "mapping/ctl/ctl-client.h"
#include "mapping/ctl/ctl-number.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "mapping/ctl/ctl-trust.h"
#include "mapping/tls.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

/* For the answer of a mapd that takes all the time it has. */
enum { GRACE_MS = 500 };

/* By mapd's own account a host has this long to answer. */
enum { TRACE_LIMIT_MS = 5000 };

/* Whether a request that got no answer may have changed something. */
static bool
is_change(const char *method)
{
    return !strcmp(method, "transact") || !strcmp(method, "load");
}

static enum ctl_exit
unreachable(struct ctl *ctl, int error)
{
    const char *hint = (error == CTL_CLIENT_REFUSED
                        ? "has each side's CA signed the other's certificate, "
                          "and are they valid now? See grapnel-mapd's log"
                        : error == CTL_CLIENT_NOT_MAPD
                        ? "is somebody else listening there? mapd's "
                          "certificate must be for " TLS_MAPD_PREFIX "NAME"
                        : error == EACCES || error == EPERM
                        ? "run it as root, or as a user who may write to the "
                          "socket"
                        : error == EAGAIN
                        ? "it is busy with others: try again"
                        : "start grapnel-mapd, or say with --mapd where it "
                          "is");

    return ctl_output_error(
        ctl->out, CTL_UNREACHABLE, "unreachable", hint,
        "mapd at %s cannot be reached: %s", ctl->remote,
        error == EAGAIN ? "too many connections wait for it"
        : error == CTL_CLIENT_REFUSED ? "TLS fails"
        : error == CTL_CLIENT_NOT_MAPD ? "its certificate is not one of mapd"
        : ovs_retval_to_string(error));
}

enum ctl_exit
ctl_call_lost(struct ctl *ctl, int error)
{
    return ctl_output_error(
        ctl->out, CTL_UNREACHABLE, "unreachable",
        "see grapnel-mapd's log; grapnelctl status", "mapd at %s %s%s",
        ctl->remote, error == EOF ? "closed the connection" : "is lost: ",
        error == EOF ? "" : ovs_strerror(error));
}

enum ctl_exit
ctl_call_nonsense(struct ctl *ctl, const char *method)
{
    return ctl_output_error(ctl->out, CTL_FAILED, "protocol",
                            "is that a grapnel-mapd of this version?",
                            "mapd at %s answered '%s' with nonsense",
                            ctl->remote, method);
}

/* A request was sent and its answer did not come. */
static enum ctl_exit
no_answer(struct ctl *ctl, const char *method, int error, long long ms)
{
    const char *hint = (is_change(method)
                        ? "the change may have been made or not: look before "
                          "repeating it"
                        : "see grapnel-mapd's log; a longer --timeout helps "
                          "if it is only busy");

    if (error == ETIMEDOUT) {
        return ctl_output_error(ctl->out, CTL_TIMED_OUT, "timeout", hint,
                                "mapd at %s did not answer '%s' within %g s",
                                ctl->remote, method, ms / 1000.0);
    }
    if (error == EPROTO) {
        return ctl_call_nonsense(ctl, method);
    }
    return ctl_output_error(
        ctl->out, CTL_UNREACHABLE, "unreachable",
        (is_change(method) ? hint
         : !strncmp(ctl_client_remote(ctl->client), "tcp:", 4)
         ? "does it want ssl: there? See grapnel-mapd's log"
         : "see grapnel-mapd's log"),
        "mapd at %s went away without answering '%s'%s%s", ctl->remote,
        method, error == EOF ? "" : ": ",
        error == EOF ? "" : ovs_strerror(error));
}

static bool
has_objects(const struct json *result, const char *name)
{
    const struct json *array = ctl_record_get(result, name);
    struct json *const *elems;
    size_t n;

    elems = ctl_record_array(result, name, &n);
    for (size_t i = 0; i < n; i++) {
        if (elems[i]->type != JSON_OBJECT) {
            return false;
        }
    }
    return array && array->type == JSON_ARRAY;
}

/* A server that answers something else must not look like an empty one. */
static bool
makes_sense(const char *method, const struct json *result)
{
    static const struct {
        const char *method, *array;
    } arrays[] = {
        {"list", "items"}, {"dump", "records"}, {"transact", "changes"},
        {"load", "changes"}, {"wait", "hosts"},
    };
    const struct json *text;

    for (size_t i = 0; i < ARRAY_SIZE(arrays); i++) {
        if (!strcmp(arrays[i].method, method)
            && !has_objects(result, arrays[i].array)) {
            return false;
        }
    }
    text = ctl_record_get(result, "text");
    return (!strcmp(method, "trace") ? text && text->type == JSON_STRING
            : ctl_record_number(result, "revision", -1) >= 0);
}

enum ctl_exit
ctl_call_refusable(struct ctl *ctl, const char *method, struct json *param,
                   long long limit_ms, struct json **resultp,
                   struct json **refusal)
{
    long long timeout_ms = ctl_options_ms(&ctl->args, CTL_TIMEOUT,
                                          CTL_DEFAULT_TIMEOUT_MS);
    struct json *result, *error_object;
    struct json *params;
    int error;

    params = param ? json_array_create_1(param) : json_array_create_empty();
    *refusal = NULL;
    if (!ctl->client) {
        struct diagnosis diag;

        if (ctl_trust_use(ctl, &diag)) {
            bool named = diag.value[0];

            json_destroy(params);
            return ctl_output_error(ctl->out, named ? CTL_FAILED : CTL_USAGE,
                                    named ? "file" : "usage", diag.hint, "%s",
                                    diag.message);
        }
        error = ctl_client_open(ctl->remote, timeout_ms, &ctl->client);
        if (error) {
            json_destroy(params);
            return unreachable(ctl, error);
        }
    }

    error = ctl_client_call(ctl->client, method, params,
                            limit_ms ? limit_ms + GRACE_MS : timeout_ms,
                            &result, &error_object);
    if (error) {
        return no_answer(ctl, method, error, limit_ms ? limit_ms : timeout_ms);
    }
    if (error_object) {
        *refusal = error_object;
        return CTL_FAILED;
    }
    if (!makes_sense(method, result)) {
        json_destroy(result);
        return ctl_call_nonsense(ctl, method);
    }
    *resultp = result;
    return CTL_OK;
}

enum ctl_exit
ctl_call(struct ctl *ctl, const char *method, struct json *param,
         struct json **result)
{
    struct json *refusal;
    enum ctl_exit status;

    status = ctl_call_refusable(ctl, method, param, 0, result, &refusal);
    if (refusal) {
        status = ctl_output_refusal(ctl->out, refusal, "", "");
        json_destroy(refusal);
    }
    return status;
}

/* Whether some of 'kind' are in VNI 0, outside all VNIs. */
static bool
has_outside(const char *kind)
{
    return (!strcmp(kind, "pool") || !strcmp(kind, "lease")
            || !strcmp(kind, "vip"));
}

/* Says what is wrong with 'id': its VNI, if that is a number, else its
 * form. */
static enum ctl_exit
refuse_id(struct ctl *ctl, const char *kind, const char *id)
{
    const char *form = ctl_record_id_form(kind);
    bool has_vni = strchr(form, '/');

    if (has_vni && ctl_number_is_digits(id, '/')) {
        char *vni = xmemdup0(id, strcspn(id, "/"));
        struct ctl_range range = {has_outside(kind) ? 0 : 1, VNI_MAX};
        enum ctl_exit status;
        long long number;

        status = ctl_number_read(ctl->out, "vni", vni, range, &number);
        free(vni);
        if (status) {
            return status;
        }
    }
    return ctl_output_error(ctl->out, CTL_USAGE, "usage",
                            has_vni ? "the VNI is a number"
                            : "names have no slash",
                            "\"%s\" does not name %s %s, which is %s", id,
                            *kind == 'e' ? "an" : "a", kind, form);
}

enum ctl_exit
ctl_call_key(struct ctl *ctl, const char *kind, const char *id,
             struct json **key)
{
    struct json *record = ctl_record_from_id(kind, id);

    if (!record) {
        return refuse_id(ctl, kind, id);
    }
    *key = record;
    return CTL_OK;
}

/* A dry run of a change that changes nothing is refused as that of a real
 * change is, with the names that there are. */
enum ctl_exit
ctl_call_check_known(struct ctl *ctl, struct json *key, const char *field)
{
    struct json *operation = json_object_create();
    struct json *request = json_object_create();
    struct json *result = NULL, *refusal;
    enum ctl_exit status;

    json_object_put_string(operation, "op", "set");
    json_object_put(operation, "record", key);
    json_object_put(request, "ops", json_array_create_1(operation));
    json_object_put(request, "dry_run", json_boolean_create(true));
    status = ctl_call_refusable(ctl, "transact", request, 0, &result,
                                &refusal);
    if (refusal) {
        /* There is no telling operations apart where there is one. */
        if (refusal->type == JSON_OBJECT) {
            json_destroy(shash_find_and_delete(json_object(refusal), "op"));
        }
        status = (field && strcmp(ctl_record_text(refusal, "field"), field)
                  ? CTL_OK : ctl_output_refusal(ctl->out, refusal, "", ""));
        json_destroy(refusal);
    }
    json_destroy(result);
    return status;
}

enum ctl_exit
ctl_call_list(struct ctl *ctl, const char *kind, struct json *filter,
              struct json **result)
{
    struct json *param = filter ? filter : json_object_create();

    json_object_put_string(param, "kind", kind);
    return ctl_call(ctl, "list", param, result);
}

/* Prints that a wait timed out, naming all hosts that lag. */
static enum ctl_exit
print_lagging(struct ctl *ctl, const struct json *refusal, long long revision,
              long long wait_ms)
{
    struct json *error = json_deep_clone(refusal);
    struct ds names = DS_EMPTY_INITIALIZER;
    struct json *const *lagging;
    enum ctl_exit status;
    size_t n;

    lagging = ctl_record_array(refusal, "lagging", &n);
    for (size_t i = 0; i < n; i++) {
        ds_put_cstr(&names, i ? ", " : "");
        ctl_record_put_value(&names, lagging[i]);
    }
    json_object_put_format(error, "message", "revision %lld is not yet in use "
                           "on %s after %g s", revision, ds_cstr(&names),
                           wait_ms / 1000.0);
    json_object_put_string(error, "hint", "see 'grapnelctl status'");
    json_object_put(error, "revision", json_integer_create(revision));
    status = ctl_output_refusal(ctl->out, error, "", "");
    ds_destroy(&names);
    json_destroy(error);
    return status;
}

enum ctl_exit
ctl_call_wait(struct ctl *ctl, long long revision, long long wait_ms,
              struct json **result)
{
    struct json *param = json_object_create();
    struct json *refusal;
    enum ctl_exit status;
    size_t n_lagging;

    json_object_put(param, "revision", json_integer_create(revision));
    json_object_put(param, "timeout_ms", json_integer_create(wait_ms));
    status = ctl_call_refusable(ctl, "wait", param, wait_ms, result,
                                &refusal);
    if (refusal) {
        ctl_record_array(refusal, "lagging", &n_lagging);
        status = (n_lagging ? print_lagging(ctl, refusal, revision, wait_ms)
                  : ctl_output_refusal(ctl->out, refusal, "", ""));
        json_destroy(refusal);
    }
    return status;
}

enum ctl_exit
ctl_call_trace(struct ctl *ctl, struct json *request, struct json **result,
               struct json **refusal)
{
    /* Unless told otherwise, mapd is the one who loses patience first: it can
     * say what it waited for. */
    long long limit = ctl->args.values[CTL_TIMEOUT] ? 0 : TRACE_LIMIT_MS;

    return ctl_call_refusable(ctl, "trace", request, limit, result, refusal);
}
