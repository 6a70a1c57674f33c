/* `diff`: what distinguishes a dump file from the mapping.  mapd says what
 * loading it would change, and changes nothing. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-diff.h"
#include "mapping/ctl/ctl-dump-file.h"
#include "mapping/ctl/ctl-loading.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "openvswitch/json.h"
#include "sset.h"
#include "util.h"

enum { MAX_ATTEMPTS = 5 };      /* With changes in between. */

/* Asks for a dry run, which a connected host that is to go, or an affinity
 * that is in use, must not spoil; on condition of 'revision' unless that is
 * negative. */
static enum ctl_exit
dry_run(struct ctl *ctl, struct ctl_dump_file *dump, bool prune,
        long long revision, struct json **result, struct json **refusal)
{
    const struct ctl_loading loading = {
        .prune = prune, .force = true, .dry_run = true,
    };
    struct json *request = ctl_loading_request(dump, &loading);

    if (revision >= 0) {
        json_object_put(request, "if_revision",
                        json_integer_create(revision));
    }
    return ctl_call_refusable(ctl, "load", request, 0, result, refusal);
}

/* "host h1": what a record is known by. */
static char *
full_name(const struct json *record)
{
    char *id = ctl_record_id(record);
    char *name = xasprintf("%s %s", ctl_record_text(record, "kind"), id);

    free(id);
    return name;
}

/* Adds to 'changes' that what is in 'all' and not in 'dump' goes. */
static void
add_removals(struct json *changes, const struct json *all,
             const struct ctl_dump_file *dump)
{
    struct sset kept = SSET_INITIALIZER(&kept);
    struct json *const *records;
    size_t n;

    for (size_t i = 0; i < dump->n_records; i++) {
        char *name = full_name(json_array(dump->records)->elems[i]);

        sset_add(&kept, name);
        free(name);
    }
    records = ctl_record_array(all, "records", &n);
    for (size_t i = n; i-- > 0; ) {
        char *name = full_name(records[i]);

        if (!sset_contains(&kept, name)) {
            struct json *change = json_object_create();

            json_object_put_string(change, "op", "remove");
            json_object_put(change, "record", json_clone(records[i]));
            json_object_put(change, "before", json_clone(records[i]));
            json_array_add(changes, change);
        }
        free(name);
    }
    sset_destroy(&kept);
}

/* The same as a dry run with pruning, for a mapping of which something cannot
 * be removed just now. */
static enum ctl_exit
merge_and_compare(struct ctl *ctl, struct ctl_dump_file *dump,
                  struct json **result, struct json **refusal)
{
    struct json *all, *changes;
    enum ctl_exit status = ctl_call(ctl, "dump", NULL, &all);

    *refusal = NULL;
    if (status) {
        return status;
    }
    status = dry_run(ctl, dump, false, ctl_record_number(all, "revision", 0),
                     result, refusal);
    if (!status) {
        changes = json_deep_clone(ctl_record_get(*result, "changes"));
        add_removals(changes, all, dump);
        json_object_put(*result, "changes", changes);
    }
    json_destroy(all);
    return status;
}

/* Compares, and again if the mapping changes meanwhile. */
static enum ctl_exit
compare(struct ctl *ctl, struct ctl_dump_file *dump, struct json **result)
{
    struct json *refusal = NULL;
    enum ctl_exit status = CTL_FAILED;

    for (int i = 0; i < MAX_ATTEMPTS; i++) {
        status = dry_run(ctl, dump, true, -1, result, &refusal);
        if (refusal && !strcmp(ctl_record_text(refusal, "error"), "in-use")) {
            json_destroy(refusal);
            status = merge_and_compare(ctl, dump, result, &refusal);
        }
        if (!refusal
            || strcmp(ctl_record_text(refusal, "error"), "revision")
            || i == MAX_ATTEMPTS - 1) {
            break;
        }
        json_destroy(refusal);
    }
    if (refusal) {
        status = ctl_loading_refused(ctl, refusal, dump);
        json_destroy(refusal);
    }
    return status;
}

static enum ctl_exit
print(struct ctl *ctl, const struct json *result)
{
    size_t n;

    ctl_record_array(result, "changes", &n);
    if (ctl->json) {
        ctl_output_json(ctl->out, result);
    } else {
        ctl_diff_print(ctl->out, result);
    }
    return n ? CTL_DIFFERENT : CTL_OK;
}

enum ctl_exit
ctl_compare(struct ctl *ctl)
{
    struct ctl_dump_file dump;
    struct json *result;

    if (ctl_loading_read(ctl, &dump)) {
        return CTL_TROUBLE;
    }

    enum ctl_exit status = compare(ctl, &dump, &result);
    if (!status) {
        status = print(ctl, result);
        json_destroy(result);
    } else {
        status = CTL_TROUBLE;
    }
    ctl_dump_file_destroy(&dump);
    return status;
}
