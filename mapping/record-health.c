#include <config.h>
#include "mapping/record-health.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "openvswitch/json.h"
#include "util.h"

const struct record_choice record_health_checks[] = {
    { "none", HEALTH_NONE }, { "tcp", HEALTH_TCP }, { "http", HEALTH_HTTP },
    { "icmp", HEALTH_ICMP }, { "arp", HEALTH_ARP }, { NULL, 0 },
};

/* A path, with a query perhaps: what RFC 9112 section 3.2.1 calls
 * origin-form, which has neither spaces nor control characters. */
static int
read_path(const struct record_field *f, const struct json *json, void *member,
          struct diagnosis *diag)
{
    const char *text = json->type == JSON_STRING ? json_string(json) : "";
    size_t n = strlen(text);
    int error = 0;

    if (text[0] != '/') {
        error = record_field_refuse(f->name, json, diag,
                                    "does not begin with a slash");
    } else if (n >= f->size) {
        error = record_field_refuse(f->name, json, diag,
                                    "is %"PRIuSIZE" characters long, more "
                                    "than %"PRIuSIZE, n, f->size - 1);
    }
    for (size_t i = 0; !error && i < n; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            error = record_field_refuse(f->name, json, diag, "has a character "
                                        "that URLs do not have");
        }
    }
    if (error) {
        diagnosis_set_hint(diag, "%s", f->hint);
        return error;
    }
    ovs_strzcpy(member, text, f->size);
    return 0;
}

static struct json *
write_path(const struct record_field *f OVS_UNUSED, const void *member)
{
    return json_string_create(member);
}

const struct record_type record_type_path = {
    read_path, write_path, .is_text = true
};

static int
check_source(const struct record_group *g, struct diagnosis *diag)
{
    struct inet_addr address = inet_addr_from_bytes(g->address);
    struct inet_addr source = g->health.source;
    char text[RECORD_ADDRESS_SIZE] = "";
    const char *problem = NULL;
    int error;

    if (!source.hi && !source.lo) {
        problem = ("required with this health_check: answers are sent "
                   "there");
    } else {
        record_format_address(source, text);
        if (inet_addr_is4(source) != inet_addr_is4(address)) {
            problem = "is not of the IP version of the group's address";
        } else if (inet_addr_equal(source, address)) {
            problem = "is the group's address, which endpoints have, too";
        }
    }
    if (!problem) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_INVALID, "health_source",
                          text[0] ? text : NULL, "health_source: %s%s%s",
                          text, text[0] ? " " : "", problem);
    diagnosis_set_hint(diag, "give an unused address of the endpoints' own "
                       "subnet");
    return error;
}

int
record_health_check(const struct record_group *g, struct diagnosis *diag)
{
    const struct record_health *h = &g->health;
    char number[16];
    int error;

    if (h->timeout > h->interval) {
        snprintf(number, sizeof number, "%"PRIu32, h->timeout);
        error = diagnosis_set(diag, DIAG_INVALID, "health_timeout", number,
                              "health_timeout: %s ms are more than "
                              "health_interval, %"PRIu32" ms", number,
                              h->interval);
        diagnosis_set_hint(diag, "make it at most as long");
        return error;
    }
    if ((h->check == HEALTH_TCP || h->check == HEALTH_HTTP) && !h->port
        && !g->port) {
        error = diagnosis_set(diag, DIAG_INVALID, "health_port", NULL,
                              "health_port: required, as the group has all "
                              "ports");
        diagnosis_set_hint(diag, "give the port that endpoints answer on");
        return error;
    }
    return (h->check == HEALTH_NONE || h->check == HEALTH_ARP ? 0
            : check_source(g, diag));
}
