#include <config.h>

#include "mapping/mapd/params.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "util.h"

void
params_open(struct params *params, const struct json *array,
            struct diagnosis *diag)
{
    *params = (struct params) { .diag = diag };
    if (!array || array->type != JSON_ARRAY || json_array(array)->n > 1
        || (json_array(array)->n
            && json_array(array)->elems[0]->type != JSON_OBJECT)) {
        params->error = diagnosis_set(diag, DIAG_INVALID, "params", NULL,
                                      "params must be an array of one object");
    } else if (json_array(array)->n) {
        params->members = json_object(json_array(array)->elems[0]);
    }
}

static void OVS_PRINTF_FORMAT(4, 5)
refuse(struct params *params, const char *name, const struct json *json,
       const char *format, ...)
{
    char *text = json_to_string(json, JSSF_SORT);
    char expected[96];
    va_list args;

    va_start(args, format);
    vsnprintf(expected, sizeof expected, format, args);
    va_end(args);
    params->error = diagnosis_set(params->diag, DIAG_INVALID, name, text,
                                  "%s must be %s, not %.64s", name, expected,
                                  text);
    free(text);
}

/* The member 'name', or NULL if it is not there or an error has been found. */
static const struct json *
get(struct params *params, const char *name)
{
    ovs_assert(params->n_asked < PARAMS_MAX_MEMBERS);
    params->asked[params->n_asked++] = name;
    return (params->members && !params->error
            ? shash_find_data(params->members, name) : NULL);
}

bool
params_bool(struct params *params, const char *name, bool default_)
{
    const struct json *json = get(params, name);

    if (!json) {
        return default_;
    } else if (json->type != JSON_TRUE && json->type != JSON_FALSE) {
        refuse(params, name, json, "true or false");
        return default_;
    }
    return json_boolean(json);
}

uint64_t
params_uint(struct params *params, const char *name, uint64_t min,
            uint64_t max, uint64_t default_)
{
    const struct json *json = get(params, name);

    if (!json) {
        return default_;
    } else if (json->type != JSON_INTEGER || json_integer(json) < 0
               || (uint64_t) json_integer(json) < min
               || (uint64_t) json_integer(json) > max) {
        refuse(params, name, json, "an integer from %"PRIu64" to %"PRIu64,
               min, max);
        return default_;
    }
    return json_integer(json);
}

const char *
params_string(struct params *params, const char *name, const char *default_)
{
    const struct json *json = get(params, name);

    if (!json) {
        return default_;
    } else if (json->type != JSON_STRING) {
        refuse(params, name, json, "a string");
        return default_;
    }
    return json_string(json);
}

static const struct json *
get_typed(struct params *params, const char *name, enum json_type type,
          const char *expected)
{
    const struct json *json = get(params, name);

    if (json && json->type != type) {
        refuse(params, name, json, "%s", expected);
        return NULL;
    }
    return json;
}

const struct json *
params_array(struct params *params, const char *name)
{
    return get_typed(params, name, JSON_ARRAY, "an array");
}

const struct json *
params_object(struct params *params, const char *name)
{
    return get_typed(params, name, JSON_OBJECT, "an object");
}

void
params_require(struct params *params, const char *name)
{
    if (!params->error
        && !(params->members && shash_find(params->members, name))) {
        params->error = diagnosis_set(params->diag, DIAG_INVALID, name, NULL,
                                      "%s is missing", name);
    }
}

static bool
was_asked(const struct params *params, const char *name)
{
    for (size_t i = 0; i < params->n_asked; i++) {
        if (!strcmp(params->asked[i], name)) {
            return true;
        }
    }
    return false;
}

int
params_close(struct params *params)
{
    const struct shash_node *node;

    if (params->error || !params->members) {
        return params->error;
    }
    SHASH_FOR_EACH (node, params->members) {
        if (!was_asked(params, node->name)) {
            return diagnosis_set(params->diag, DIAG_INVALID, node->name, NULL,
                                 "unknown member \"%.64s\"", node->name);
        }
    }
    return 0;
}
