#include <config.h>
#include "mapping/replica/replica-group.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/group.h"
#include "mapping/json-members.h"
#include "mapping/replica/replica-contents.h"
#include "mapping/replica/replica-index.h"
#include "mapping/replica/replica-previous.h"
#include "sset.h"
#include "util.h"

/* Puts the name of 'group' in front of what '*diag' says; returns 'error'. */
static int
name_group(const struct replica_group *group, int error,
           struct diagnosis *diag)
{
    if (diag) {
        char message[sizeof diag->message];

        ovs_strlcpy(message, diag->message, sizeof message);
        snprintf(diag->message, sizeof diag->message, "group %"PRIu32"/%s: "
                 "%.*s", group->record.vni, group->record.name,
                 (int) (sizeof message - sizeof(record_name) - 32), message);
    }
    return error;
}

static struct replica_group *
create_group(const struct record_group *record)
{
    struct replica_group *group = xzalloc(sizeof *group);

    group->record = *record;
    group->slots = xmalloc(record->n_slots * sizeof *group->slots);
    memset(group->slots, 0xff, record->n_slots * sizeof *group->slots);
    return group;
}

void
replica_group_destroy(struct replica_group *group)
{
    if (group) {
        free(group->slots);
        free(group->previous);
        free(group->endpoints);
        free(group);
    }
}

int
replica_group_from_json(const struct json *json, int64_t now_ms,
                        struct replica_group **groupp, struct diagnosis *diag)
{
    struct json_member m[] = {
        REPLICA_CONTENTS,
        { .name = "record", .type = JSON_OBJECT },
        { .name = "id", .type = JSON_INTEGER },
    };
    const struct json_member *own = &m[REPLICA_N_CONTENTS];
    struct replica_group *group;
    struct record record;
    int error;

    error = json_members_take(json, "group", m, ARRAY_SIZE(m), diag);
    if (!error) {
        error = record_from_json(own[0].value, &record, diag);
    }
    if (error) {
        return error;
    }
    if (record.kind != RECORD_GROUP) {
        return diagnosis_set(diag, DIAG_INVALID, "kind",
                             record_kind_name(record.kind),
                             "group: its record is of kind %s",
                             record_kind_name(record.kind));
    }

    group = create_group(&record.group);
    error = json_members_u32(&own[1], 1, GROUP_MAX_ID, &group->id, diag);
    if (!error) {
        error = replica_contents_decode(group, m, NULL, now_ms, diag);
    }
    if (!error) {
        error = replica_contents_check(group, diag);
    }
    if (error) {
        name_group(group, error, diag);
        replica_group_destroy(group);
        return error;
    }
    *groupp = group;
    return 0;
}

/* The group that members 'vni' and 'name' name. */
static int
find_group(const struct replica *replica, const struct json_member *vni,
           const struct json_member *name, struct replica_group **groupp,
           struct diagnosis *diag)
{
    const char *text = json_string(name->value);
    struct replica_group *group;
    uint32_t number;
    int error;

    error = json_members_u32(vni, 1, VNI_MAX, &number, diag);
    if (error) {
        return error;
    }
    group = replica_index_group(replica, number, text);
    if (!group) {
        return diagnosis_set(diag, DIAG_NOT_FOUND, "name", text,
                             "no group \"%s\" in VNI %"PRIu32" here",
                             text, number);
    }
    *groupp = group;
    return 0;
}

int
replica_group_from_key(const struct replica *replica, const struct json *json,
                       struct replica_group **group, struct diagnosis *diag)
{
    struct json_member m[] = {
        { .name = "vni", .type = JSON_INTEGER },
        { .name = "name", .type = JSON_STRING },
    };
    int error;

    error = json_members_take(json, "group_removed", m, ARRAY_SIZE(m), diag);
    return error ? error : find_group(replica, &m[0], &m[1], group, diag);
}

/* The members of a delta beside REPLICA_CONTENTS. */
enum {
    DELTA_VNI = REPLICA_N_CONTENTS,
    DELTA_NAME,
    DELTA_FROM_EPOCH,
    DELTA_REMOVED,
    N_DELTA
};

static bool
find_endpoint(const struct replica_group *group, const char *name)
{
    for (size_t i = 0; i < group->n_endpoints; i++) {
        if (!strcmp(group->endpoints[i].record.name, name)) {
            return true;
        }
    }
    return false;
}

/* NULL if it has none: then it will be refused. */
static const char *
name_of_endpoint(const struct json *json)
{
    const struct json *record
        = (json->type == JSON_OBJECT
           ? shash_find_data(json_object(json), "record") : NULL);
    const struct json *name
        = (record && record->type == JSON_OBJECT
           ? shash_find_data(json_object(record), "name") : NULL);

    return name && name->type == JSON_STRING ? json_string(name) : NULL;
}

/* Adds to 'names' those endpoints of 'before' that the delta 'm' removes or
 * replaces. */
static int
list_leaving(const struct replica_group *before, const struct json_member m[],
             struct sset *names, struct diagnosis *diag)
{
    const struct json_array *changed
        = json_array(m[REPLICA_CONTENTS_ENDPOINTS].value);
    const struct json_array *removed = json_array(m[DELTA_REMOVED].value);

    for (size_t i = 0; i < removed->n; i++) {
        const struct json *name = removed->elems[i];

        if (name->type != JSON_STRING || !find_endpoint(before,
                                                        json_string(name))) {
            const char *text = (name->type == JSON_STRING ? json_string(name)
                                : json_type_to_string(name->type));

            return diagnosis_set(diag, DIAG_NOT_FOUND, "endpoints_removed",
                                 text, "no endpoint \"%s\" here", text);
        }
        sset_add(names, json_string(name));
    }
    for (size_t i = 0; i < changed->n; i++) {
        const char *name = name_of_endpoint(changed->elems[i]);

        if (name) {
            sset_add(names, name);
        }
    }
    return 0;
}

/* Gives 'group' the endpoints of 'before' that the delta 'm' leaves as they
 * are. */
static int
keep_endpoints(struct replica_group *group, const struct replica_group *before,
               const struct json_member m[], struct diagnosis *diag)
{
    struct sset leaving = SSET_INITIALIZER(&leaving);
    int error = list_leaving(before, m, &leaving, diag);

    group->endpoints = xmalloc(MAX(before->n_endpoints, 1)
                               * sizeof *group->endpoints);
    for (size_t i = 0; i < before->n_endpoints && !error; i++) {
        if (!sset_contains(&leaving, before->endpoints[i].record.name)) {
            group->endpoints[group->n_endpoints++] = before->endpoints[i];
        }
    }
    sset_destroy(&leaving);
    return error;
}

/* Creates the group that follows 'before' by the delta 'm'. */
static int
apply_delta(const struct replica_group *before, const struct json_member m[],
            int64_t now_ms, struct replica_group **groupp,
            struct diagnosis *diag)
{
    struct replica_group *group;
    uint32_t from_epoch = 0;
    int error;

    error = json_members_u32(&m[DELTA_FROM_EPOCH], 0, UINT32_MAX, &from_epoch,
                             diag);
    if (!error && from_epoch != before->epoch) {
        char text[16];

        snprintf(text, sizeof text, "%"PRIu32, from_epoch);
        error = diagnosis_set(diag, DIAG_NOT_FOUND, "from_epoch", text,
                              "from_epoch is %"PRIu32", but epoch "
                              "%"PRIu32" is here", from_epoch, before->epoch);
    }
    if (error) {
        return error;
    }

    group = create_group(&before->record);
    group->id = before->id;
    memcpy(group->slots, before->slots,
           group->record.n_slots * sizeof *group->slots);
    if (before->previous) {
        group->previous = xmemdup(before->previous,
                                  replica_previous_size(before));
    }
    error = keep_endpoints(group, before, m, diag);
    if (!error) {
        error = replica_contents_decode(group, m, before, now_ms, diag);
    }
    if (!error) {
        error = replica_contents_check(group, diag);
    }
    if (error) {
        replica_group_destroy(group);
        return error;
    }
    *groupp = group;
    return 0;
}

int
replica_group_from_delta(const struct replica *replica,
                         const struct json *json, int64_t now_ms,
                         struct replica_group **group, struct diagnosis *diag)
{
    struct json_member m[] = {
        REPLICA_CONTENTS,
        { .name = "vni", .type = JSON_INTEGER },
        { .name = "name", .type = JSON_STRING },
        { .name = "from_epoch", .type = JSON_INTEGER },
        { .name = "endpoints_removed", .type = JSON_ARRAY },
    };
    struct replica_group *before;
    int error;

    error = json_members_take(json, "group_delta", m, ARRAY_SIZE(m), diag);
    if (!error) {
        error = find_group(replica, &m[DELTA_VNI], &m[DELTA_NAME], &before,
                           diag);
    }
    if (error) {
        return error;
    }
    error = apply_delta(before, m, now_ms, group, diag);
    return error ? name_group(before, error, diag) : 0;
}

static bool
endpoints_equal(const struct replica_endpoint *a,
                const struct replica_endpoint *b)
{
    struct record x = { .kind = RECORD_ENDPOINT, .endpoint = a->record };
    struct record y = { .kind = RECORD_ENDPOINT, .endpoint = b->record };

    return (a->index == b->index && a->unhealthy == b->unhealthy
            && record_equal(&x, &y));
}

bool
replica_group_equal(const struct replica_group *a,
                    const struct replica_group *b)
{
    struct record x = { .kind = RECORD_GROUP, .group = a->record };
    struct record y = { .kind = RECORD_GROUP, .group = b->record };

    if (!record_equal(&x, &y) || a->id != b->id || a->epoch != b->epoch
        || a->n_endpoints != b->n_endpoints
        || memcmp(a->slots, b->slots, a->record.n_slots * sizeof *a->slots)
        || !replica_previous_equal(a, b)) {
        return false;
    }
    for (size_t i = 0; i < a->n_endpoints; i++) {
        if (!endpoints_equal(&a->endpoints[i], &b->endpoints[i])) {
            return false;
        }
    }
    return true;
}

int
replica_group_check_epoch(const struct replica_group *before,
                          const struct replica_group *after,
                          struct diagnosis *diag)
{
    char text[16];
    int error;

    if (after->epoch > before->epoch
        || (after->epoch == before->epoch
            && after->record.n_slots == before->record.n_slots
            && !memcmp(after->slots, before->slots,
                       after->record.n_slots * sizeof *after->slots)
            && replica_previous_equal(after, before))) {
        return 0;
    }
    snprintf(text, sizeof text, "%"PRIu32, after->epoch);
    error = diagnosis_set(diag, DIAG_INVALID, "epoch", text,
                          "epoch %s cannot follow epoch %"PRIu32" with other "
                          "slots or previous owners", text, before->epoch);
    return name_group(after, error, diag);
}
