/* Records as JSON, as far as the CLI needs to know them: their ids and
 * members.  Whatever mapd sends, these do not fail: an absent member is 0 or
 * "". */

#ifndef MAPPING_CTL_CTL_RECORD_H
#define MAPPING_CTL_CTL_RECORD_H 1

#include <stdbool.h>
#include <stddef.h>

struct ds;
struct json;

/* The member 'name' of 'object', if that is an object that has it, else
 * NULL.  Owned by 'object'. */
const struct json *ctl_record_get(const struct json *object, const char *name);
/* "" if it is no string; 'otherwise' if it is no integer. */
const char *ctl_record_text(const struct json *object, const char *name);
long long ctl_record_number(const struct json *object, const char *name,
                            long long otherwise);
bool ctl_record_is_true(const struct json *object, const char *name);
bool ctl_record_is_false(const struct json *object, const char *name);
/* The elements of the array 'name'; '*n' is 0 if it is no array. */
struct json *const *ctl_record_array(const struct json *object,
                                     const char *name, size_t *n);

struct ctl_member {
    const char *name;
    const char *usual;          /* As printed: a value that need not be told;
                                 * NULL: there is none. */
};

/* The record's members in the order of docs/protocol.md, kind and id left
 * out; ends with a NULL name. */
const struct ctl_member *ctl_record_members(const char *kind);

/* Whether 'record' lacks the member 'm' or has its usual value. */
bool ctl_record_is_usual(const struct json *record,
                         const struct ctl_member *m);

/* "h1", "5001/web", "5001/web/w1".  The caller owns the string. */
char *ctl_record_id(const struct json *record);

/* Parses an id of 'kind' into a new record with its key members.  Returns NULL
 * if 'id' does not have the form that ctl_record_id_form() names. */
struct json *ctl_record_from_id(const char *kind, const char *id);
const char *ctl_record_id_form(const char *kind);

/* A value as people read it: strings without quotes, "-" for none.  Members
 * that are strings never print as more than one line. */
void ctl_record_put_value(struct ds *, const struct json *value);

#endif /* mapping/ctl/ctl-record.h */
