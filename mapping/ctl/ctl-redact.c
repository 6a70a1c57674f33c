#include <config.h>

#include "mapping/ctl/ctl-redact.h"

#include <ctype.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "util.h"

static const char hidden[] = "***";

/* What makes a name that of a secret. */
static const char *const words[] = {
    "password", "passwd", "passphrase", "secret", "token", "private", "key",
};

/* Whether the 'length' bytes at 'name' say so. */
static bool
is_secret(const char *name, size_t length)
{
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        size_t n = strlen(words[i]);

        for (size_t j = 0; j + n <= length; j++) {
            if (!strncasecmp(&name[j], words[i], n)) {
                return true;
            }
        }
    }
    return false;
}

static bool
ends_word(char c)
{
    return !c || isspace((unsigned char) c) || strchr(",;\"'<>()", c);
}

/* The length of the credentials with which what follows "://" at 's' begins,
 * up to the @; 0 if there are none. */
static size_t
credentials_length(const char *s)
{
    size_t at = 0;

    for (size_t i = 0; !ends_word(s[i]) && s[i] != '/'; i++) {
        if (s[i] == '@') {
            at = i;
        }
    }
    return at;
}

/* What follows the secret that 's' begins with: all up to the closing quote,
 * or the next blank. */
static const char *
skip_secret(const char *s)
{
    const char *end = *s == '"' || *s == '\'' ? strchr(s + 1, *s) : NULL;

    return end ? end + 1 : s + strcspn(s, " \t\r\n");
}

/* Copies one word of 's' to 'ds', hiding what is secret; returns what follows
 * it. */
static const char *
copy_word(struct ds *ds, const char *s)
{
    const char *start = s;

    while (!ends_word(*s)) {
        if (!strncmp(s, "://", 3) && credentials_length(s + 3)) {
            ds_put_format(ds, "://%s", hidden);
            s += 3 + credentials_length(s + 3);
        } else if ((*s == '=' || (*s == ':' && s[1] == ' '))
                   && is_secret(start, s - start)) {
            ds_put_char(ds, *s++);
            s = skip_secret(s + strspn(s, " "));
            ds_put_cstr(ds, hidden);
        } else {
            ds_put_char(ds, *s++);
        }
    }
    return s;
}

static struct json *
redact_text(const char *s)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    while (*s) {
        if (ends_word(*s)) {
            ds_put_char(&ds, *s++);
        } else {
            s = copy_word(&ds, s);
        }
    }
    return json_string_create_nocopy(ds_steal_cstr(&ds));
}

static struct json *
redact_object(const struct json *json)
{
    struct json *copy = json_object_create();
    const struct shash_node *node;

    SHASH_FOR_EACH (node, json_object(json)) {
        json_object_put(copy, node->name,
                        is_secret(node->name, strlen(node->name))
                        ? json_string_create(hidden)
                        : ctl_redact(node->data));
    }
    return copy;
}

struct json *
ctl_redact(const struct json *json)
{
    struct json *copy;

    switch (json->type) {
    case JSON_OBJECT:
        return redact_object(json);

    case JSON_ARRAY:
        copy = json_array_create_empty();
        for (size_t i = 0; i < json_array(json)->n; i++) {
            json_array_add(copy, ctl_redact(json_array(json)->elems[i]));
        }
        return copy;

    case JSON_STRING:
        return redact_text(json_string(json));

    case JSON_NULL:
    case JSON_FALSE:
    case JSON_TRUE:
    case JSON_INTEGER:
    case JSON_REAL:
    case JSON_N_TYPES:
    case JSON_SERIALIZED_OBJECT:
        break;
    }
    return json_deep_clone(json);
}
