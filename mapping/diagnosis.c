#include <config.h>
#include "mapping/diagnosis.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "openvswitch/json.h"
#include "util.h"

static const struct {
    const char *name;
    int error;
} codes[N_DIAG_CODES] = {
    [DIAG_NONE] = { "none", EINVAL },
    [DIAG_INVALID] = { "invalid", EINVAL },
    [DIAG_EXISTS] = { "exists", EEXIST },
    [DIAG_NOT_FOUND] = { "not-found", ENOENT },
    [DIAG_IN_USE] = { "in-use", EBUSY },
    [DIAG_REVISION] = { "revision", ESTALE },
    [DIAG_STORE] = { "store", EIO },
    [DIAG_TIMEOUT] = { "timeout", ETIMEDOUT },
    [DIAG_UNSUPPORTED] = { "unsupported", EOPNOTSUPP },
    [DIAG_BUSY] = { "busy", ENOSPC },
    [DIAG_EPOCH] = { "epoch", ESTALE },
    [DIAG_NOT_LEADER] = { "not-leader", EREMCHG },
    [DIAG_DENIED] = { "denied", EACCES },
};

static bool
is_continuation(char c)
{
    return ((unsigned char) c & 0xc0) == 0x80;
}

/* Drops a UTF-8 character at the end of 'text' that was cut in the middle. */
static void
trim_partial_character(char *text)
{
    size_t n = strlen(text);
    size_t start = n;

    while (start > 0 && is_continuation(text[start - 1])) {
        start--;
    }
    if (start > 0 && (unsigned char) text[start - 1] >= 0xc0) {
        unsigned char lead = text[start - 1];
        size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;

        if (n - (start - 1) < length) {
            text[start - 1] = '\0';
        }
    }
}

/* Copies a text that may have been cut and may contain what an intruder
 * wrote: it stays one line, without terminal controls. */
static void
put_text(char *dst, size_t size, const char *src)
{
    ovs_strlcpy(dst, src ? src : "", size);
    trim_partial_character(dst);
    for (char *p = dst; *p; p++) {
        if ((unsigned char) *p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }
}

static void OVS_PRINTF_FORMAT(3, 0)
put_format(char *dst, size_t size, const char *format, va_list args)
{
    char *text = xvasprintf(format, args);

    put_text(dst, size, text);
    free(text);
}

int
diagnosis_set(struct diagnosis *diag, enum diagnosis_code code,
              const char *field, const char *value, const char *format, ...)
{
    if (diag) {
        struct diagnosis new = { .code = code, .op = -1 };
        va_list args;

        put_text(new.field, sizeof new.field, field);
        put_text(new.value, sizeof new.value, value);
        va_start(args, format);
        put_format(new.message, sizeof new.message, format, args);
        va_end(args);
        *diag = new;
    }
    return codes[code].error;
}

void
diagnosis_set_hint(struct diagnosis *diag, const char *format, ...)
{
    if (diag) {
        va_list args;

        va_start(args, format);
        put_format(diag->hint, sizeof diag->hint, format, args);
        va_end(args);
    }
}

const char *
diagnosis_code_name(enum diagnosis_code code)
{
    return codes[code].name;
}

static bool
code_from_name(const char *name, enum diagnosis_code *code)
{
    for (int i = DIAG_NONE + 1; i < N_DIAG_CODES; i++) {
        if (!strcmp(codes[i].name, name)) {
            *code = i;
            return true;
        }
    }
    return false;
}

static void
put_member(struct json *json, const char *name, const char *text)
{
    if (text[0]) {
        json_object_put_string(json, name, text);
    }
}

struct json *
diagnosis_to_json(const struct diagnosis *diag)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "error", codes[diag->code].name);
    json_object_put_string(json, "message", diag->message);
    put_member(json, "field", diag->field);
    put_member(json, "value", diag->value);
    put_member(json, "hint", diag->hint);
    if (diag->op >= 0) {
        json_object_put(json, "op", json_integer_create(diag->op));
    }
    return json;
}

/* Copies the string member 'name' of 'json', "" if there is none.  Returns
 * false if it is something else. */
static bool
get_member(const struct json *json, const char *name, char *dst, size_t size)
{
    const struct json *member = shash_find_data(json_object(json), name);

    if (member && member->type != JSON_STRING) {
        return false;
    }
    put_text(dst, size, member ? json_string(member) : "");
    return true;
}

static bool
get_op(const struct json *json, int *op)
{
    const struct json *member = shash_find_data(json_object(json), "op");

    if (!member) {
        *op = -1;
        return true;
    }
    if (member->type != JSON_INTEGER || json_integer(member) < 0
        || json_integer(member) > INT_MAX) {
        return false;
    }
    *op = json_integer(member);
    return true;
}

bool
diagnosis_from_json(const struct json *json, struct diagnosis *diag)
{
    struct diagnosis new = { .code = DIAG_NONE };
    char code[32];

    if (json->type != JSON_OBJECT
        || !get_member(json, "error", code, sizeof code)
        || !code_from_name(code, &new.code)
        || !get_member(json, "message", new.message, sizeof new.message)
        || !get_member(json, "field", new.field, sizeof new.field)
        || !get_member(json, "value", new.value, sizeof new.value)
        || !get_member(json, "hint", new.hint, sizeof new.hint)
        || !get_op(json, &new.op)) {
        return false;
    }
    *diag = new;
    return true;
}
