#include <config.h>

#include "mapping/ctl/ctl-flow.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "encap/tunnel.h"
#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-number.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/json.h"
#include "util.h"

/* One end as it was typed. */
struct end {
    const char *field, *port_field; /* Of the request. */
    char *text;                 /* The address or name; owned. */
    bool named;
    bool has_port;
    long long port;
};

/* Whether 'text' can be a name, or one with its group's.  What looks like an
 * address that is mistyped is none. */
static bool
is_name(const char *text)
{
    bool letter = false;

    for (const char *p = text; *p; p++) {
        if (!isalnum((unsigned char) *p) && !strchr("._-/", *p)) {
            return false;
        }
        letter = letter || isalpha((unsigned char) *p);
    }
    return letter && isalnum((unsigned char) text[0]);
}

/* Takes "ADDRESS", "ADDRESS:PORT", "[ADDRESS]:PORT" or "NAME[:PORT]" apart;
 * '*port' is NULL or points into 'text'.  An IPv6 address has more colons than
 * one, so that it needs brackets only before a port. */
static bool
split(const char *text, struct end *end, const char **port)
{
    const char *stop = text[0] == '[' ? strchr(text, ']') : NULL;
    const char *start = text + (stop != NULL);
    const char *colon = strchr(text, ':');
    struct in6_addr bytes;      /* Room for either family. */
    const char *rest;

    if (!stop && colon && !strchr(colon + 1, ':')) {
        stop = colon;
    } else if (!stop) {
        stop = text + strlen(text);
    }
    rest = stop + (*stop == ']');
    if (*rest && *rest != ':') {
        return false;
    }
    *port = *rest ? rest + 1 : NULL;
    end->text = xmemdup0(start, stop - start);
    if (inet_pton(AF_INET6, end->text, &bytes) == 1
        || (start == text && inet_pton(AF_INET, end->text, &bytes) == 1)) {
        return true;
    }
    end->named = start == text && is_name(end->text);
    return end->named;
}

static enum ctl_exit
parse_end(struct ctl *ctl, const char *text, const char *field,
          const char *port_field, struct end *end)
{
    const struct ctl_range range = {0, UINT16_MAX};
    const char *port = NULL;

    *end = (struct end) { .field = field, .port_field = port_field };
    if (!split(text, end, &port)) {
        return ctl_output_error(ctl->out, CTL_USAGE, "usage",
                                "as in 10.1.0.5:40000, or "
                                "[2001:db8::5]:40000; or the name of a VM or "
                                "group", "%s: \"%s\" is not an address or "
                                "name, nor one with a port", field, text);
    }
    end->has_port = port;
    return port ? ctl_number_read(ctl->out, port_field, port, range,
                                  &end->port) : CTL_OK;
}

/* Sets '*item' to the only record of 'kind' in the VNI that is called 'name',
 * of 'group' if that is not NULL, or to NULL if there is none.  A mapd that
 * knows no such kind has none of it.  Of endpoints of several groups, one
 * will do if they are one VM. */
static enum ctl_exit
find_named(struct ctl *ctl, const char *kind, const struct json *request,
           const char *group, const char *name, struct json **itemp)
{
    struct json *filter = json_object_create();
    struct json *result = NULL, *refusal, *const *items;
    const struct json *record = NULL;
    enum ctl_exit status;
    size_t n;

    *itemp = NULL;
    json_object_put_string(filter, "kind", kind);
    json_object_put_string(filter, "name", name);
    json_object_put(filter, "vni", json_clone(ctl_record_get(request,
                                                             "vni")));
    if (group) {
        json_object_put_string(filter, "group", group);
    }
    status = ctl_call_refusable(ctl, "list", filter, 0, &result, &refusal);
    if (refusal) {
        status = (strcmp(ctl_record_text(refusal, "error"), "invalid")
                  ? ctl_output_refusal(ctl->out, refusal, "", "") : CTL_OK);
        json_destroy(refusal);
        return status;
    }
    if (status) {
        return status;
    }
    items = ctl_record_array(result, "items", &n);
    for (size_t i = 0; i < n && !status; i++) {
        const struct json *r = ctl_record_get(items[i], "record");

        if (record && strcmp(ctl_record_text(r, "mac"),
                             ctl_record_text(record, "mac"))) {
            status = ctl_output_error(ctl->out, CTL_FAILED, "invalid",
                                      "say which one: GROUP/NAME",
                                      "src: several VMs are called \"%s\"",
                                      name);
        }
        record = r;
    }
    if (!status && record) {
        *itemp = json_deep_clone(record);
    }
    json_destroy(result);
    return status;
}

static enum ctl_exit
refuse_name(struct ctl *ctl, const struct end *end, const char *what,
            const char *hint)
{
    return ctl_output_error(ctl->out, CTL_FAILED, "not-found", hint,
                            "%s: no %s of this VNI is called \"%s\"",
                            end->field, what, end->text);
}

/* The record of the group 'name' of the request's VNI; NULL if none. */
static enum ctl_exit
find_group(struct ctl *ctl, const struct json *request, const char *name,
           struct json **group)
{
    return find_named(ctl, "group", request, NULL, name, group);
}

/* Sets '*record' to the workload or endpoint that 'end' names. */
static enum ctl_exit
find_vm(struct ctl *ctl, const struct json *request, const struct end *end,
        struct json **record)
{
    const char *slash = strchr(end->text, '/');
    enum ctl_exit status = CTL_OK;

    *record = NULL;
    if (!slash) {
        status = find_named(ctl, "workload", request, NULL, end->text,
                            record);
    }
    if (!status && !*record) {
        char *group = slash ? xmemdup0(end->text, slash - end->text) : NULL;

        status = find_named(ctl, "endpoint", request, group,
                            slash ? slash + 1 : end->text, record);
        free(group);
    }
    return status || *record ? status
           : refuse_name(ctl, end, "workload or endpoint",
                         "'grapnelctl endpoint list' lists the endpoints");
}

/* The flow starts at the VM that 'end' names. */
static enum ctl_exit
put_vm(struct ctl *ctl, const struct end *end, struct json *request)
{
    struct json *vm, *group = NULL;
    enum ctl_exit status = find_vm(ctl, request, end, &vm);
    const char *address;

    if (status) {
        return status;
    }
    if (!*ctl_record_text(vm, "host")) {
        status = ctl_output_error(ctl->out, CTL_FAILED, "not-found",
                                  "name a source address, and a host with "
                                  "--host", "%s: %s is unbound: no host has a "
                                  "port with iface-id %s", end->field,
                                  end->text, ctl_record_text(vm, "iface"));
        json_destroy(vm);
        return status;
    }
    json_object_put_string(request, "host", ctl_record_text(vm, "host"));
    address = ctl_record_text(vm, "address");
    if (!*address) {
        status = find_group(ctl, request, ctl_record_text(vm, "group"),
                            &group);
        address = ctl_record_text(group, "address");
    }
    if (!status && !*address) {
        status = refuse_name(ctl, end, "VM with an address", "try again");
    } else if (!status) {
        json_object_put_string(request, "src", address);
        ctl_output_note(ctl->out, "note: %s is on host %s, and taken to "
                        "send from %s%s", end->text,
                        ctl_record_text(vm, "host"), address,
                        group ? ", which it publishes" : "");
    }
    json_destroy(vm);
    json_destroy(group);
    return status;
}

/* The flow goes to the group that 'end' names. */
static enum ctl_exit
put_group(struct ctl *ctl, const struct end *end, struct json *request)
{
    struct json *group;
    enum ctl_exit status = find_group(ctl, request, end->text, &group);

    if (status) {
        return status;
    }
    if (!group) {
        return refuse_name(ctl, end, "group",
                           "'grapnelctl group list' lists them");
    }
    json_object_put_string(request, "dst", ctl_record_text(group, "address"));
    if (!end->has_port) {
        json_object_put(request, "dst_port", json_integer_create(
                            ctl_record_number(group, "port", 0)));
    }
    json_destroy(group);
    return CTL_OK;
}

/* Names come last: an unknown one costs a question. */
static enum ctl_exit
put_ends(struct ctl *ctl, const struct end *src, const struct end *dst,
         struct json *request)
{
    enum ctl_exit status = CTL_OK;

    json_object_put(request, "src_port", json_integer_create(src->port));
    json_object_put(request, "dst_port", json_integer_create(dst->port));
    if (src->named) {
        status = put_vm(ctl, src, request);
    } else {
        json_object_put_string(request, "src", src->text);
    }
    if (!status && dst->named) {
        status = put_group(ctl, dst, request);
    } else if (!status) {
        json_object_put_string(request, "dst", dst->text);
    }
    return status;
}

enum ctl_exit
ctl_flow_put(struct ctl *ctl, struct json *request)
{
    const struct ctl_range range = {1, VNI_MAX};
    struct end src = { .text = NULL }, dst = { .text = NULL };
    enum ctl_exit status;
    long long vni = 0;

    status = ctl_number_read(ctl->out, "vni", ctl->operands[0], range, &vni);
    if (status) {
        return status;
    }
    json_object_put(request, "vni", json_integer_create(vni));
    json_object_put_string(request, "protocol", ctl->operands[1]);
    status = parse_end(ctl, ctl->operands[2], "src", "src_port", &src);
    if (!status) {
        status = parse_end(ctl, ctl->operands[3], "dst", "dst_port", &dst);
    }
    if (!status) {
        status = put_ends(ctl, &src, &dst, request);
    }
    free(src.text);
    free(dst.text);
    return status;
}
