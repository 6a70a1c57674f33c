#include <config.h>

#include "mapping/mapd/link-row.h"

#include <stdarg.h>
#include <string.h>

#include "mapping/json-members.h"
#include "openvswitch/json.h"
#include "util.h"

const struct json *
link_rows_get(const struct json *params, const char *name,
              struct diagnosis *diag)
{
    struct json_member m[] = { { .name = name, .type = JSON_ARRAY } };

    if (!params || params->type != JSON_ARRAY || json_array(params)->n != 1) {
        diagnosis_set(diag, DIAG_INVALID, "params", NULL,
                      "params must be an array of one object");
        return NULL;
    }
    if (json_members_take(json_array(params)->elems[0], "params", m, 1,
                          diag)) {
        return NULL;
    }
    if (json_array(m[0].value)->n > LINK_ROWS_MAX) {
        diagnosis_set(diag, DIAG_INVALID, name, NULL, "%s: %"PRIuSIZE" are "
                      "more than %d", name, json_array(m[0].value)->n,
                      LINK_ROWS_MAX);
        return NULL;
    }
    return m[0].value;
}

static bool
read_value(const struct json *json, char type, union link_value *value)
{
    switch (type) {
    case 's':
        if (json->type != JSON_STRING
            || strlen(json_string(json)) > LINK_ROW_TEXT_MAX) {
            return false;
        }
        value->s = json_string(json);
        return true;

    case 'n':
        if (json->type != JSON_INTEGER || json_integer(json) < 0) {
            return false;
        }
        value->n = json_integer(json);
        return true;

    case 'b':
        value->b = json->type == JSON_TRUE;
        return value->b || json->type == JSON_FALSE;

    default:
        OVS_NOT_REACHED();
    }
}

int
link_row_read(const struct json *row, const char *format,
              union link_value values[], struct diagnosis *diag)
{
    size_t n = strlen(format);
    bool ok = row->type == JSON_ARRAY && json_array(row)->n == n;

    for (size_t i = 0; ok && i < n; i++) {
        ok = read_value(json_array(row)->elems[i], format[i], &values[i]);
    }
    if (!ok) {
        char *text = json_to_string(row, 0);
        int error = diagnosis_set(diag, DIAG_INVALID, "row", text, "a row "
                                  "must be of the form \"%s\", not %.64s",
                                  format, text);

        free(text);
        return error;
    }
    return 0;
}

struct json *
link_row_create(const char *format, ...)
{
    struct json *row = json_array_create_empty();
    va_list args;

    va_start(args, format);
    for (const char *p = format; *p; p++) {
        json_array_add(row, *p == 's'
                       ? json_string_create(va_arg(args, const char *))
                       : *p == 'n'
                       ? json_integer_create(va_arg(args, uint64_t))
                       : json_boolean_create(va_arg(args, int)));
    }
    va_end(args);
    return row;
}
