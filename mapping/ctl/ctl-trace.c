#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-flow.h"
#include "mapping/ctl/ctl-list.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

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
    struct json *result, *refusal;
    enum ctl_exit status;

    status = ctl_call_trace(ctl, request, &result, &refusal);
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

    status = ctl_flow_put(ctl, request);
    if (!status && host) {
        json_object_put_string(request, "host", host);
    } else if (!status && !ctl_record_get(request, "host")) {
        status = pick_host(ctl, request);
    }
    if (status) {
        json_destroy(request);
        return status;
    }
    return ask(ctl, request);
}
