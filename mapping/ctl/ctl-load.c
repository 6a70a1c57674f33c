#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-change.h"
#include "mapping/ctl/ctl-diff.h"
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

static enum ctl_exit
read_dump(struct ctl *ctl, struct ctl_dump_file *dump)
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

/* Prints mapd's refusal in the same form, with the line of the record that it
 * is about. */
static enum ctl_exit
refused(struct ctl *ctl, const struct json *refusal,
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

static enum ctl_exit
finish_dry_run(struct ctl *ctl, struct json *result)
{
    size_t n;

    ctl_record_array(result, "changes", &n);
    if (ctl->json) {
        json_object_put(result, "dry_run", json_boolean_create(true));
        ctl_output_json(ctl->out, result);
    } else {
        ctl_diff_print(ctl->out, result);
        ctl_output_line(ctl->out, CTL_PLAIN,
                        "%zu change%s; dry run, nothing was done", n,
                        n == 1 ? "" : "s");
    }
    json_destroy(result);
    return CTL_OK;
}

/* Sends the request; takes ownership of the records, not of the rest. */
static enum ctl_exit
send_load(struct ctl *ctl, struct ctl_dump_file *dump)
{
    bool dry_run = ctl->args.values[CTL_DRY_RUN];
    struct json *request = json_object_create();
    struct json *result, *refusal;
    enum ctl_exit status;

    json_object_put(request, "records", dump->records);
    dump->records = NULL;
    json_object_put(request, "prune", json_boolean_create(
                        ctl->args.values[CTL_PRUNE] != NULL));
    json_object_put(request, "force", json_boolean_create(
                        ctl->args.values[CTL_FORCE] != NULL));
    json_object_put(request, "dry_run", json_boolean_create(dry_run));
    ctl_change_put_condition(ctl, request);

    status = ctl_call_refusable(ctl, "load", request, 0, &result, &refusal);
    if (refusal) {
        status = refused(ctl, refusal, dump);
        json_destroy(refusal);
    }
    return (status ? status
            : dry_run ? finish_dry_run(ctl, result)
            : ctl_change_finish(ctl, result));
}

enum ctl_exit
ctl_load(struct ctl *ctl)
{
    struct ctl_dump_file dump;
    enum ctl_exit status;

    status = read_dump(ctl, &dump);
    if (!status) {
        status = send_load(ctl, &dump);
        ctl_dump_file_destroy(&dump);
    }
    return status;
}
