#include <config.h>

#include <limits.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-change.h"
#include "mapping/ctl/ctl-number.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "openvswitch/json.h"

/* Here --timeout bounds what the verb is for, and so has the default of
 * --wait. */
enum ctl_exit
ctl_wait(struct ctl *ctl)
{
    long long wait_ms = ctl_options_ms(&ctl->args, CTL_TIMEOUT,
                                       CTL_DEFAULT_WAIT_MS);
    const struct ctl_range range = {0, LLONG_MAX};
    struct json *answer;
    long long revision;
    enum ctl_exit status;

    status = ctl_number_read(ctl->out, "revision", ctl->operands[0], range,
                             &revision);
    if (!status) {
        status = ctl_call_wait(ctl, revision, wait_ms, &answer);
    }
    if (status) {
        return status;
    }
    if (ctl->json) {
        ctl_output_json(ctl->out, answer);
    } else {
        ctl_change_print_applied(ctl->out, revision, answer);
    }
    json_destroy(answer);
    return CTL_OK;
}
