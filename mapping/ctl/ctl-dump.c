#include <config.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/json.h"

/* Dump files: docs/protocol.md. */
enum ctl_exit
ctl_dump(struct ctl *ctl)
{
    struct json *result, *line;
    struct json *const *records;
    enum ctl_exit status;
    size_t n;

    status = ctl_call(ctl, "dump", NULL, &result);
    if (status) {
        return status;
    }

    line = json_object_create();
    json_object_put_string(line, "grapnel", "dump");
    json_object_put(line, "version", json_integer_create(1));
    json_object_put(line, "revision", json_integer_create(
                        ctl_record_number(result, "revision", 0)));
    ctl_output_json(ctl->out, line);
    json_destroy(line);

    records = ctl_record_array(result, "records", &n);
    for (size_t i = 0; i < n; i++) {
        ctl_output_json(ctl->out, records[i]);
    }

    line = json_object_create();
    json_object_put(line, "end", json_boolean_create(true));
    json_object_put(line, "records", json_integer_create(n));
    ctl_output_json(ctl->out, line);
    json_destroy(line);
    json_destroy(result);
    return CTL_OK;
}
