#include <config.h>

#include "mapping/ctl/ctl-list.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-columns.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "mapping/ctl/ctl-share.h"
#include "openvswitch/json.h"
#include "util.h"

void
ctl_list_keep(struct json *result, const char *member, const char *value)
{
    struct json *kept = json_array_create_empty();
    struct json *const *items;
    size_t n;

    items = ctl_record_array(result, "items", &n);
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(ctl_record_text(ctl_record_get(items[i], "record"),
                                    member), value)) {
            json_array_add(kept, json_clone(items[i]));
        }
    }
    json_object_put(result, "items", kept);
}

/* Whether the array 'items' has records of 'kind', with names (leases have
 * addresses). */
static bool
makes_sense(const struct json *items, const char *kind)
{
    const char *id = strcmp(kind, "lease") ? "name" : "address";

    for (size_t i = 0; i < json_array(items)->n; i++) {
        const struct json *record
            = ctl_record_get(json_array(items)->elems[i], "record");

        if (strcmp(ctl_record_text(record, "kind"), kind)
            || !*ctl_record_text(record, id)) {
            return false;
        }
    }
    return true;
}

enum ctl_exit
ctl_list_get(struct ctl *ctl, const char *kind, struct json *filter,
             struct json **resultp)
{
    struct json *result, *items;
    enum ctl_exit status;

    status = ctl_call_list(ctl, kind, filter, &result);
    if (status) {
        return status;
    }
    items = CONST_CAST(struct json *, ctl_record_get(result, "items"));
    if (!makes_sense(items, kind)) {
        json_destroy(result);
        return ctl_call_nonsense(ctl, "list");
    }
    if (!strcmp(kind, "endpoint")) {
        ctl_share_add(items);
    }
    *resultp = result;
    return CTL_OK;
}

/* What an operand of 'list' names. */
static const char *
container_of(const struct ctl *ctl)
{
    return strcmp(ctl_verbs_kind(ctl->verb), "lease") ? "group" : "pool";
}

/* Makes the filter for mapd from --vni or the operand of `endpoint list` or
 * `gateway lease list`. */
static enum ctl_exit
make_filter(struct ctl *ctl, struct json **filter)
{
    const char *vni = ctl->args.values[CTL_VNI];
    enum ctl_exit status;
    struct json *group;

    if (ctl->n_operands && vni) {
        return ctl_output_error(ctl->out, CTL_USAGE, "usage",
                                "leave out one of them",
                                "\"%s\" and --vni exclude each other",
                                ctl->operands[0]);
    }
    if (ctl->n_operands) {
        status = ctl_call_key(ctl, container_of(ctl), ctl->operands[0],
                              &group);
        if (status) {
            return status;
        }
        *filter = json_object_create();
        json_object_put(*filter, "vni",
                        json_clone(ctl_record_get(group, "vni")));
        json_object_put_string(*filter, container_of(ctl),
                               ctl_record_text(group, "name"));
        json_destroy(group);
        return CTL_OK;
    }
    *filter = json_object_create();
    if (vni) {
        json_object_put(*filter, "vni", json_integer_create(
                            ctl_options_number(&ctl->args, CTL_VNI)));
    }
    return CTL_OK;
}

/* Whether there can be none of 'kind' in a VNI without groups. */
static bool
is_by_vni(const char *kind)
{
    return !strcmp(kind, "group") || !strcmp(kind, "endpoint");
}

/* An empty list must not hide a mistyped group, VNI or host. */
static enum ctl_exit
check_known(struct ctl *ctl)
{
    const char *kind = ctl_verbs_kind(ctl->verb);
    const char *host = ctl->args.values[CTL_HOST];
    enum ctl_exit status = CTL_OK;
    struct json *key;

    if (ctl->n_operands) {
        status = ctl_call_key(ctl, container_of(ctl), ctl->operands[0], &key);
        status = status ? status : ctl_call_check_known(ctl, key, NULL);
    } else if (ctl->args.values[CTL_VNI] && is_by_vni(kind)) {
        /* Any name will do: a VNI is known by its groups. */
        key = ctl_record_from_id("group", "1/any");
        json_object_put(key, "vni", json_integer_create(
                            ctl_options_number(&ctl->args, CTL_VNI)));
        status = ctl_call_check_known(ctl, key, "vni");
    }
    if (!status && host) {
        status = ctl_call_key(ctl, "host", host, &key);
        status = status ? status : ctl_call_check_known(ctl, key, NULL);
    }
    return status;
}

enum ctl_exit
ctl_list(struct ctl *ctl)
{
    const char *kind = ctl_verbs_kind(ctl->verb);
    const char *host = ctl->args.values[CTL_HOST];
    struct json *filter = NULL, *result;
    enum ctl_exit status;
    size_t n;

    status = make_filter(ctl, &filter);
    status = status ? status : ctl_list_get(ctl, kind, filter, &result);
    if (status) {
        return status;
    }
    if (host) {
        ctl_list_keep(result, "host", host);
    }
    if (ctl->args.values[CTL_CLIENT]) {
        ctl_list_keep(result, "client", ctl->args.values[CTL_CLIENT]);
    }
    ctl_record_array(result, "items", &n);
    if (!n) {
        status = check_known(ctl);
    }
    if (!status && ctl->json) {
        ctl_output_json(ctl->out, ctl_record_get(result, "items"));
    } else if (!status) {
        ctl_columns_print(ctl->out, kind, result);
        if (!n) {
            ctl_output_note(ctl->out, "there is no %s to list", kind);
        }
    }
    json_destroy(result);
    return status;
}

/* Takes from 'result' the item with this id; NULL if there is none. */
static struct json *
take_item(const struct json *result, const char *id)
{
    struct json *found = NULL;
    struct json *const *items;
    size_t n;

    items = ctl_record_array(result, "items", &n);
    for (size_t i = 0; i < n && !found; i++) {
        char *key = ctl_record_id(ctl_record_get(items[i], "record"));

        found = strcmp(key, id) ? NULL : json_clone(items[i]);
        free(key);
    }
    return found;
}

enum ctl_exit
ctl_list_find(struct ctl *ctl, const char *kind, const char *id,
              struct json **itemp)
{
    struct json *key, *filter, *result, *item;
    enum ctl_exit status;
    char *plain_id;

    status = ctl_call_key(ctl, kind, id, &key);
    if (status) {
        return status;
    }

    /* The shares of an endpoint need the whole group. */
    filter = json_deep_clone(key);
    if (!strcmp(kind, "endpoint")) {
        json_destroy(shash_find_and_delete(json_object(filter), "name"));
    }
    status = ctl_list_get(ctl, kind, filter, &result);
    if (status) {
        json_destroy(key);
        return status;
    }

    plain_id = ctl_record_id(key);
    item = take_item(result, plain_id);
    free(plain_id);
    json_destroy(result);
    if (item) {
        json_destroy(key);
        *itemp = item;
        return CTL_OK;
    }
    status = ctl_call_check_known(ctl, key, NULL);
    return status ? status
           : ctl_output_error(ctl->out, CTL_FAILED, "not-found",
                              "it has come just now: try again",
                              "%s %s is not known", kind, id);
}
