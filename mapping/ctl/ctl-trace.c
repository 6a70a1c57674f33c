#include <config.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "encap/tunnel.h"
#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-list.h"
#include "mapping/ctl/ctl-number.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

/* By mapd's own account a host has this long to answer. */
enum { TRACE_LIMIT_MS = 5000 };

/* Takes "ADDRESS", "ADDRESS:PORT" or "[ADDRESS]:PORT" apart: '*address' is
 * owned by the caller, '*port' is NULL or points into 'text'.  An IPv6 address
 * has more colons than one, so that it needs brackets only before a port. */
static bool
split(const char *text, char **address, const char **port)
{
    const char *end = text[0] == '[' ? strchr(text, ']') : NULL;
    const char *start = text + (end != NULL);
    const char *colon = strchr(text, ':');
    struct in6_addr bytes;      /* Room for either family. */
    const char *rest;

    if (!end && colon && !strchr(colon + 1, ':')) {
        end = colon;
    } else if (!end) {
        end = text + strlen(text);
    }
    rest = end + (*end == ']');
    if (*rest && *rest != ':') {
        return false;
    }
    *port = *rest ? rest + 1 : NULL;
    *address = xmemdup0(start, end - start);
    if (inet_pton(AF_INET6, *address, &bytes) == 1
        || (start == text && inet_pton(AF_INET, *address, &bytes) == 1)) {
        return true;
    }
    free(*address);
    return false;
}

/* Puts "ADDRESS[:PORT]" into the members 'name' and 'port_name'. */
static enum ctl_exit
put_end(struct ctl *ctl, const char *text, const char *name,
        const char *port_name, struct json *request)
{
    const struct ctl_range range = {0, UINT16_MAX};
    enum ctl_exit status = CTL_OK;
    long long number = 0;
    const char *port;
    char *address;

    if (!split(text, &address, &port)) {
        return ctl_output_error(ctl->out, CTL_USAGE, "usage",
                                "as in 10.1.0.5:40000, or "
                                "[2001:db8::5]:40000", "%s: \"%s\" is not an "
                                "address, or one with a port", name, text);
    }
    if (port) {
        status = ctl_number_read(ctl->out, port_name, port, range, &number);
    }
    json_object_put_string(request, name, address);
    json_object_put(request, port_name, json_integer_create(number));
    free(address);
    return status;
}

/* Makes the request out of the operands, all but the host. */
static enum ctl_exit
put_flow(struct ctl *ctl, struct json *request)
{
    const struct ctl_range range = {1, VNI_MAX};
    enum ctl_exit status;
    long long vni;

    status = ctl_number_read(ctl->out, "vni", ctl->operands[0], range, &vni);
    if (status) {
        return status;
    }
    json_object_put(request, "vni", json_integer_create(vni));
    json_object_put_string(request, "protocol", ctl->operands[1]);
    status = put_end(ctl, ctl->operands[2], "src", "src_port", request);
    return status ? status
           : put_end(ctl, ctl->operands[3], "dst", "dst_port", request);
}

/* Says that one of the connected hosts, "h1, h2", has to be named. */
static enum ctl_exit
refuse_choice(struct ctl *ctl, size_t n, const char *names)
{
    char *hint = xasprintf("say with --host which one is to be asked: %s",
                           names);

    if (n) {
        ctl_output_error(ctl->out, CTL_FAILED, "invalid", hint,
                         "trace: %zu hosts are connected", n);
    } else {
        ctl_output_error(ctl->out, CTL_FAILED, "not-found",
                         "see 'grapnelctl status'",
                         "trace: no host is connected that could be asked");
    }
    free(hint);
    return CTL_FAILED;
}

/* Picks the only host that is connected. */
static enum ctl_exit
pick_host(struct ctl *ctl, struct json *request)
{
    struct ds names = DS_EMPTY_INITIALIZER;
    size_t n_items, n = 0;
    struct json *const *items;
    struct json *result;
    enum ctl_exit status;

    status = ctl_list_get(ctl, "host", json_object_create(), &result);
    if (status) {
        return status;
    }
    items = ctl_record_array(result, "items", &n_items);
    for (size_t i = 0; i < n_items; i++) {
        if (ctl_record_is_true(ctl_record_get(items[i], "status"),
                               "connected")) {
            ds_put_cstr(&names, n++ ? ", " : "");
            ctl_record_put_value(&names, ctl_record_get(
                                     ctl_record_get(items[i], "record"),
                                     "name"));
        }
    }
    if (n == 1) {
        json_object_put_string(request, "host", ds_cstr(&names));
    } else {
        status = refuse_choice(ctl, n, ds_cstr(&names));
    }
    ds_destroy(&names);
    json_destroy(result);
    return status;
}

/* Prints the host's words, line by line. */
static void
print_text(struct ctl *ctl, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "\n");
        char *line = xmemdup0(text, length);

        for (char *p = line; *p; p++) {
            *p = (unsigned char) *p < ' ' || *p == 0x7f ? '?' : *p;
        }
        ctl_output_line(ctl->out, CTL_PLAIN, "%s", line);
        free(line);
        text += length + (text[length] == '\n');
    }
}

static enum ctl_exit
ask(struct ctl *ctl, struct json *request)
{
    /* Unless told otherwise, mapd is the one who loses patience first: it can
     * say what it waited for. */
    long long limit = ctl->args.values[CTL_TIMEOUT] ? 0 : TRACE_LIMIT_MS;
    struct json *result, *refusal;
    enum ctl_exit status;

    status = ctl_call_refusable(ctl, "trace", request, limit, &result,
                                &refusal);
    if (refusal) {
        status = ctl_output_refusal(ctl->out, refusal, "", "");
        json_destroy(refusal);
    }
    if (status) {
        return status;
    }
    if (ctl->json) {
        ctl_output_json(ctl->out, result);
    } else {
        print_text(ctl, ctl_record_text(result, "text"));
    }
    json_destroy(result);
    return CTL_OK;
}

enum ctl_exit
ctl_trace(struct ctl *ctl)
{
    const char *host = ctl->args.values[CTL_HOST];
    struct json *request = json_object_create();
    enum ctl_exit status;

    status = put_flow(ctl, request);
    if (!status && host) {
        json_object_put_string(request, "host", host);
    } else if (!status) {
        status = pick_host(ctl, request);
    }
    if (status) {
        json_destroy(request);
        return status;
    }
    return ask(ctl, request);
}
