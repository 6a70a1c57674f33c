#include <config.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-change.h"
#include "mapping/ctl/ctl-diff.h"
#include "mapping/ctl/ctl-dump-file.h"
#include "mapping/ctl/ctl-loading.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/json.h"

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
    const struct ctl_loading loading = {
        .prune = ctl->args.values[CTL_PRUNE],
        .force = ctl->args.values[CTL_FORCE],
        .dry_run = ctl->args.values[CTL_DRY_RUN],
    };
    struct json *request = ctl_loading_request(dump, &loading);
    struct json *result, *refusal;
    enum ctl_exit status;

    ctl_change_put_condition(ctl, request);
    status = ctl_call_refusable(ctl, "load", request, 0, &result, &refusal);
    if (refusal) {
        status = ctl_loading_refused(ctl, refusal, dump);
        json_destroy(refusal);
    }
    return (status ? status
            : loading.dry_run ? finish_dry_run(ctl, result)
            : ctl_change_finish(ctl, result));
}

enum ctl_exit
ctl_load(struct ctl *ctl)
{
    struct ctl_dump_file dump;
    enum ctl_exit status;

    status = ctl_loading_read(ctl, &dump);
    if (!status) {
        status = send_load(ctl, &dump);
        ctl_dump_file_destroy(&dump);
    }
    return status;
}
