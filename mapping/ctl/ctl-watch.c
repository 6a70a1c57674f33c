#include <config.h>

#include <errno.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-client.h"
#include "mapping/ctl/ctl-diff.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"

/* The first line tells where the watch starts: whoever reads it will be
 * told of every change after that revision. */
static void
print_start(struct ctl *ctl, struct json *answer)
{
    if (ctl->json) {
        json_object_put(answer, "changes", json_array_create_empty());
        ctl_output_json(ctl->out, answer);
    } else {
        ctl_output_line(ctl->out, CTL_PLAIN, "revision %lld, watching %s",
                        ctl_record_number(answer, "revision", 0),
                        ctl->remote);
    }
}

static void
print_change(struct ctl *ctl, const struct json *change)
{
    if (ctl->json) {
        ctl_output_json(ctl->out, change);
    } else {
        ctl_output_line(ctl->out, CTL_PLAIN, "revision %lld",
                        ctl_record_number(change, "revision", 0));
        ctl_diff_print(ctl->out, change);
    }
}

enum ctl_exit
ctl_watch(struct ctl *ctl)
{
    struct json *json;
    enum ctl_exit status;

    status = ctl_call(ctl, "watch", json_object_create(), &json);
    if (status) {
        return status;
    }
    print_start(ctl, json);
    json_destroy(json);

    while (ctl_output_flush(ctl->out)) {
        int error = ctl_client_notification(ctl->client, "change", &json);

        if (!error) {
            print_change(ctl, json);
            json_destroy(json);
        } else if (error == EAGAIN) {
            ctl_client_wait(ctl->client);
            ctl_output_wait(ctl->out);
            poll_block();
        } else {
            return ctl_call_lost(ctl, error);
        }
    }
    return CTL_OK;
}
