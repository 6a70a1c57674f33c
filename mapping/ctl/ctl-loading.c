#include <config.h>

#include "mapping/ctl/ctl-loading.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-dump-file.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

static const char *
shown_name(const struct ctl *ctl)
{
    return (strcmp(ctl->operands[0], "-") ? ctl->operands[0]
            : "standard input");
}

enum ctl_exit
ctl_loading_read(struct ctl *ctl, struct ctl_dump_file *dump)
{
    bool from_stdin = !strcmp(ctl->operands[0], "-");
    FILE *file = from_stdin ? stdin : fopen(ctl->operands[0], "r");
    char *error;

    if (!file) {
        return ctl_output_error(ctl->out, CTL_FAILED, "file",
                                "give a file that 'grapnelctl dump' wrote; "
                                "nothing was loaded", "%s: %s",
                                shown_name(ctl), ovs_strerror(errno));
    }
    error = ctl_dump_file_read(file, dump);
    if (!from_stdin) {
        fclose(file);
    }
    if (error) {
        ctl_output_error(ctl->out, CTL_FAILED, "file",
                         "mend it or dump again; nothing was loaded",
                         "%s: %s", shown_name(ctl), error);
        free(error);
        return CTL_FAILED;
    }
    return CTL_OK;
}

enum ctl_exit
ctl_loading_refused(struct ctl *ctl, const struct json *refusal,
                    const struct ctl_dump_file *dump)
{
    long long op = ctl_record_number(refusal, "op", -1);
    struct ds prefix = DS_EMPTY_INITIALIZER;
    enum ctl_exit status;

    ds_put_format(&prefix, "%s: ", shown_name(ctl));
    if (op >= 0 && (size_t) op < dump->n_records) {
        ds_put_format(&prefix, "line %"PRIuSIZE": ", dump->lines[op]);
    }
    status = ctl_output_refusal(ctl->out, refusal, ds_cstr(&prefix),
                                "; nothing was loaded");
    ds_destroy(&prefix);
    return status;
}

struct json *
ctl_loading_request(struct ctl_dump_file *dump,
                    const struct ctl_loading *loading)
{
    struct json *request = json_object_create();

    json_object_put(request, "records", json_clone(dump->records));
    json_object_put(request, "prune", json_boolean_create(loading->prune));
    json_object_put(request, "force", json_boolean_create(loading->force));
    json_object_put(request, "dry_run",
                    json_boolean_create(loading->dry_run));
    return request;
}
