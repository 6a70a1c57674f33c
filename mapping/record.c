#include <config.h>
#include "mapping/record.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

static const char *const kind_names[N_RECORD_KINDS] = {
    [RECORD_HOST] = "host",
    [RECORD_GROUP] = "group",
    [RECORD_ENDPOINT] = "endpoint",
};

const char *
record_kind_name(enum record_kind kind)
{
    return kind_names[kind];
}

bool
record_kind_from_name(const char *name, enum record_kind *kind)
{
    for (int i = 0; i < N_RECORD_KINDS; i++) {
        if (!strcmp(kind_names[i], name)) {
            *kind = i;
            return true;
        }
    }
    return false;
}

const char *
record_state_name(enum endpoint_state state)
{
    switch (state) {
    case ENDPOINT_ABSENT:
        return "absent";
    case ENDPOINT_UP:
        return "up";
    case ENDPOINT_DRAINING:
        return "draining";
    case ENDPOINT_DOWN:
        return "down";
    case ENDPOINT_LOST:
        return "lost";
    }
    OVS_NOT_REACHED();
}

void
record_format_key(const struct record *record, char key[RECORD_KEY_SIZE])
{
    switch (record->kind) {
    case RECORD_HOST:
        snprintf(key, RECORD_KEY_SIZE, "%s", record->host.name);
        return;

    case RECORD_GROUP:
        snprintf(key, RECORD_KEY_SIZE, "%"PRIu32"/%s", record->group.vni,
                 record->group.name);
        return;

    case RECORD_ENDPOINT:
        snprintf(key, RECORD_KEY_SIZE, "%"PRIu32"/%s/%s",
                 record->endpoint.vni, record->endpoint.group,
                 record->endpoint.name);
        return;

    case N_RECORD_KINDS:
        break;
    }
    OVS_NOT_REACHED();
}

void
record_format_address(struct inet_addr address, char text[RECORD_ADDRESS_SIZE])
{
    uint8_t bytes[16];

    inet_addr_to_bytes(address, bytes);
    if (inet_addr_is4(address)) {
        inet_ntop(AF_INET, bytes + 12, text, RECORD_ADDRESS_SIZE);
    } else {
        inet_ntop(AF_INET6, bytes, text, RECORD_ADDRESS_SIZE);
    }
}

static int
compare_vnis(uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

int
record_compare_keys(const struct record *a, const struct record *b)
{
    int cmp;

    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    switch (a->kind) {
    case RECORD_HOST:
        return strcmp(a->host.name, b->host.name);

    case RECORD_GROUP:
        cmp = compare_vnis(a->group.vni, b->group.vni);
        return cmp ? cmp : strcmp(a->group.name, b->group.name);

    case RECORD_ENDPOINT:
        cmp = compare_vnis(a->endpoint.vni, b->endpoint.vni);
        if (!cmp) {
            cmp = strcmp(a->endpoint.group, b->endpoint.group);
        }
        return cmp ? cmp : strcmp(a->endpoint.name, b->endpoint.name);

    case N_RECORD_KINDS:
        break;
    }
    OVS_NOT_REACHED();
}
