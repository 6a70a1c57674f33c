/* Strict reading of JSON objects: every member is expected, and of the type
 * expected.
 *
 *     struct json_member m[] = {
 *         { .name = "vni", .type = JSON_INTEGER },
 *         { .name = "name", .type = JSON_STRING },
 *     };
 *     error = json_members_take(json, "group_removed", m, 2, diag);
 *     if (!error) {
 *         error = json_members_u32(&m[0], 1, VNI_MAX, &vni, diag);
 *     } */

#ifndef MAPPING_JSON_MEMBERS_H
#define MAPPING_JSON_MEMBERS_H 1

#include <stddef.h>
#include <stdint.h>

#include "mapping/diagnosis.h"
#include "openvswitch/json.h"

struct json_member {
    const char *name;
    enum json_type type;
    const struct json *value;   /* Set by json_members_take(). */
};

/* Checks that 'json' is an object with exactly the 'n' 'members', and finds
 * their values, which stay owned by 'json'.  'what' names the object in
 * '*diag'.  Returns 0 or a positive errno. */
int json_members_take(const struct json *json, const char *what,
                      struct json_member members[], size_t n,
                      struct diagnosis *diag);

/* The integer 'member', which must be in 'min'...'max'.  Returns 0, or a
 * positive errno with '*value' untouched. */
int json_members_u64(const struct json_member *member,
                     uint64_t min, uint64_t max, uint64_t *value,
                     struct diagnosis *diag);
int json_members_u32(const struct json_member *member,
                     uint32_t min, uint32_t max, uint32_t *value,
                     struct diagnosis *diag);

#endif /* mapping/json-members.h */
