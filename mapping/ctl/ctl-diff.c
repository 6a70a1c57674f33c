#include <config.h>

#include "mapping/ctl/ctl-diff.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"

/* "weight 100", or with 'before' "weight 100 -> 50"; nothing if it is
 * the same as before. */
static void
put_member(struct ds *ds, const char *name, const struct json *value,
           const struct json *before)
{
    if (!value || (before && json_equal(value, before))) {
        return;
    }
    ds_put_format(ds, "%s%s ", ds->length ? ", " : "", name);
    if (before) {
        ctl_record_put_value(ds, before);
        ds_put_cstr(ds, " -> ");
    }
    ctl_record_put_value(ds, value);
}

static void
print_change(struct ctl_output *out, const struct json *change)
{
    const struct json *record = ctl_record_get(change, "record");
    const struct json *before = ctl_record_get(change, "before");
    const char *op = ctl_record_text(change, "op");
    bool add = !strcmp(op, "add"), set = !strcmp(op, "set");
    const char *kind = ctl_record_text(record ? record : before, "kind");
    char *id = ctl_record_id(record ? record : before);
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (const struct ctl_member *m = ctl_record_members(kind);
         (add || set) && m->name; m++) {
        if (set || !ctl_record_is_usual(record, m)) {
            put_member(&ds, m->name, ctl_record_get(record, m->name),
                       set ? ctl_record_get(before, m->name) : NULL);
        }
    }
    ctl_output_line(out, add ? CTL_GOOD : set ? CTL_CARE : CTL_BAD,
                    "%c %s %s%s%s", add ? '+' : set ? '~' : '-', kind, id,
                    ds.length ? ": " : "", ds_cstr(&ds));
    ds_destroy(&ds);
    free(id);
}

void
ctl_diff_print(struct ctl_output *out, const struct json *result)
{
    struct json *const *changes;
    size_t n;

    changes = ctl_record_array(result, "changes", &n);
    for (size_t i = 0; i < n; i++) {
        print_change(out, changes[i]);
    }
}
