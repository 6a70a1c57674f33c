#include <config.h>

#include "mapping/ctl/ctl-share.h"

#include <string.h>

#include "mapping/ctl/ctl-record.h"
#include "openvswitch/json.h"

static bool
same_group(const struct json *a, const struct json *b)
{
    return (ctl_record_number(a, "vni", 0) == ctl_record_number(b, "vni", 0)
            && !strcmp(ctl_record_text(a, "group"),
                       ctl_record_text(b, "group")));
}

static long long
weight_of(const struct json *item)
{
    const struct json *record = ctl_record_get(item, "record");

    return (!strcmp(ctl_record_text(record, "state"), "up")
            ? ctl_record_number(record, "weight", 0) : 0);
}

static void
put_share(struct json *item, long long whole)
{
    const struct json *status = ctl_record_get(item, "status");
    double share = whole > 0 ? (double) weight_of(item) / whole : 0;

    if (status && status->type == JSON_OBJECT) {
        json_object_put(CONST_CAST(struct json *, status), "weight_share",
                        json_real_create(share));
    }
}

void
ctl_share_add(struct json *items)
{
    struct json **elems = json_array(items)->elems;
    size_t n = json_array(items)->n;

    /* mapd sorts by key, so a group's endpoints are neighbours. */
    for (size_t first = 0, end; first < n; first = end) {
        const struct json *record = ctl_record_get(elems[first], "record");
        long long whole = 0;

        for (end = first; end < n; end++) {
            if (!same_group(record, ctl_record_get(elems[end], "record"))) {
                break;
            }
            whole += weight_of(elems[end]);
        }
        for (size_t i = first; i < end; i++) {
            put_share(elems[i], whole);
        }
    }
}

static double
percent(const struct json *item, const char *name)
{
    const struct json *value
        = ctl_record_get(ctl_record_get(item, "status"), name);

    /* A whole number may have arrived as an integer. */
    return (value && (value->type == JSON_REAL || value->type == JSON_INTEGER)
            ? 100 * json_real(value) : 0);
}

double
ctl_share_slots(const struct json *item)
{
    return percent(item, "share");
}

double
ctl_share_weight(const struct json *item)
{
    return percent(item, "weight_share");
}
