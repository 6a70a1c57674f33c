#include <config.h>
#include "mapping/json-members.h"

#include <inttypes.h>
#include <string.h>

#include "util.h"

static int
diagnose_unknown(const struct json *json, const char *what,
                 const struct json_member members[], size_t n,
                 struct diagnosis *diag)
{
    const struct shash_node *node;

    SHASH_FOR_EACH (node, json_object(json)) {
        size_t i;

        for (i = 0; i < n && strcmp(node->name, members[i].name); i++) {
            continue;
        }
        if (i >= n) {
            return diagnosis_set(diag, DIAG_INVALID, node->name, NULL,
                                 "%s: unknown member \"%s\"", what,
                                 node->name);
        }
    }
    OVS_NOT_REACHED();
}

int
json_members_take(const struct json *json, const char *what,
                  struct json_member members[], size_t n,
                  struct diagnosis *diag)
{
    if (json->type != JSON_OBJECT) {
        return diagnosis_set(diag, DIAG_INVALID, what,
                             json_type_to_string(json->type),
                             "%s: must be an object, not %s", what,
                             json_type_to_string(json->type));
    }
    for (size_t i = 0; i < n; i++) {
        struct json_member *m = &members[i];

        m->value = shash_find_data(json_object(json), m->name);
        if (!m->value) {
            return diagnosis_set(diag, DIAG_INVALID, m->name, NULL,
                                 "%s: member \"%s\" is missing", what,
                                 m->name);
        }
        if (m->value->type != m->type) {
            return diagnosis_set(diag, DIAG_INVALID, m->name,
                                 json_type_to_string(m->value->type),
                                 "%s: \"%s\" must be %s, not %s", what,
                                 m->name, json_type_to_string(m->type),
                                 json_type_to_string(m->value->type));
        }
    }
    if (shash_count(json_object(json)) > n) {
        return diagnose_unknown(json, what, members, n, diag);
    }
    return 0;
}

int
json_members_u64(const struct json_member *member,
                 uint64_t min, uint64_t max, uint64_t *value,
                 struct diagnosis *diag)
{
    int64_t integer = json_integer(member->value);

    if (integer < 0 || (uint64_t) integer < min || (uint64_t) integer > max) {
        char text[24];

        snprintf(text, sizeof text, "%"PRId64, integer);
        return diagnosis_set(diag, DIAG_INVALID, member->name, text,
                             "%s %s is not in %"PRIu64"...%"PRIu64,
                             member->name, text, min, max);
    }
    *value = integer;
    return 0;
}

int
json_members_u32(const struct json_member *member,
                 uint32_t min, uint32_t max, uint32_t *value,
                 struct diagnosis *diag)
{
    uint64_t wide = 0;
    int error;

    error = json_members_u64(member, min, max, &wide, diag);
    if (!error) {
        *value = wide;
    }
    return error;
}
