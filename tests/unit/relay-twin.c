#include <config.h>

#include "tests/unit/relay-twin.h"

#include <arpa/inet.h>
#include <regex.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "util.h"

static bool
matches(const char *text, const char *pattern)
{
    regex_t regex;
    bool match;

    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
    match = !regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    return match;
}

static bool
is_integer(const struct json *json, int64_t min, int64_t max)
{
    return (json->type == JSON_INTEGER && json->integer >= min
            && json->integer <= max);
}

static bool
is_string(const struct json *json, const char *pattern)
{
    return json->type == JSON_STRING && matches(json->string, pattern);
}

static bool
are_flows(const struct json *json)
{
    if (json->type != JSON_ARRAY || json->array.n > 1000) {
        return false;
    }
    for (size_t i = 0; i < json->array.n; i++) {
        const struct json *flow = json->array.elems[i];
        struct json **e = flow->array.elems;

        if (flow->type != JSON_ARRAY || flow->array.n != 6
            || !is_integer(e[0], 1, 0xfffff) || !is_integer(e[1], 0, 0xffff)
            || !is_integer(e[2], 0, 0xffff) || !is_integer(e[3], 0, 4095)
            || !is_string(e[4], "^[a-z-]{1,15}$")
            || !is_integer(e[5], 0, 0xffff)) {
            return false;
        }
    }
    return true;
}

/* An address must be written as in what is sent, so it is made so here. */
static bool
is_address(struct json *json)
{
    char text[INET6_ADDRSTRLEN];
    uint8_t bytes[16];
    int family;

    if (json->type != JSON_STRING) {
        return false;
    }
    family = strchr(json->string, ':') ? AF_INET6 : AF_INET;
    if (inet_pton(family, json->string, bytes) != 1) {
        return false;
    }
    inet_ntop(family, bytes, text, sizeof text);
    free(json->string);
    json->string = xstrdup(text);
    return true;
}

static bool
is_right(struct json *value, enum relay_type type)
{
    switch (type) {
    case RELAY_VNI:
        return is_integer(value, 1, 0xffffff);
    case RELAY_ADDRESS:
        return is_address(value);
    case RELAY_NAME:
        return is_string(value, "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$");
    case RELAY_FLOWS:
        return are_flows(value);
    case RELAY_ID:
        return is_integer(value, 0, INT64_MAX);
    case RELAY_PROTOCOL:
        return is_string(value, "^(tcp|udp|sctp|icmp)$");
    case RELAY_PORT:
        return is_integer(value, 0, 0xffff);
    }
    return false;
}

bool
relay_twin_reads(const struct relay_member *members, struct json *json)
{
    size_t n = 0;

    for (const struct relay_member *m = members; m->name; m++, n++) {
        struct json *value = shash_find_data(json->object, m->name);

        if (!value || !is_right(value, m->type)) {
            return false;
        }
    }
    return n == shash_count(json->object);
}
