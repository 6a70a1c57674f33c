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
    [RECORD_WORKLOAD] = "workload",
    [RECORD_POOL] = "pool",
    [RECORD_LEASE] = "lease",
    [RECORD_GATEWAY] = "gateway",
    [RECORD_VIP] = "vip",
};

const char *
record_kind_names(void)
{
    return "host, group, endpoint, workload, pool, lease, gateway, vip";
}

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

static void
format_lease_key(const struct record_lease *lease, char key[RECORD_KEY_SIZE])
{
    char address[RECORD_ADDRESS_SIZE];

    record_format_address(lease->address, address);
    snprintf(key, RECORD_KEY_SIZE, "%"PRIu32"/%s/%s", lease->vni, lease->pool,
             address);
}

/* The name of a record that has one, within its VNI. */
static const char *
name_of(const struct record *record)
{
    switch (record->kind) {
    case RECORD_HOST:
        return record->host.name;
    case RECORD_GROUP:
        return record->group.name;
    case RECORD_WORKLOAD:
        return record->workload.name;
    case RECORD_POOL:
        return record->pool.name;
    case RECORD_GATEWAY:
        return record->gateway.name;
    case RECORD_VIP:
        return record->vip.name;
    case RECORD_ENDPOINT:
    case RECORD_LEASE:
    case N_RECORD_KINDS:
        break;
    }
    OVS_NOT_REACHED();
}

uint32_t
record_vni(const struct record *record)
{
    switch (record->kind) {
    case RECORD_GROUP:
        return record->group.vni;
    case RECORD_ENDPOINT:
        return record->endpoint.vni;
    case RECORD_WORKLOAD:
        return record->workload.vni;
    case RECORD_POOL:
        return record->pool.vni;
    case RECORD_LEASE:
        return record->lease.vni;
    case RECORD_VIP:
        return record->vip.vni;
    case RECORD_HOST:
    case RECORD_GATEWAY:
        return 0;
    case N_RECORD_KINDS:
        break;
    }
    OVS_NOT_REACHED();
}

void
record_format_key(const struct record *record, char key[RECORD_KEY_SIZE])
{
    switch (record->kind) {
    case RECORD_HOST:
    case RECORD_GATEWAY:
        snprintf(key, RECORD_KEY_SIZE, "%s", name_of(record));
        return;

    case RECORD_GROUP:
    case RECORD_WORKLOAD:
    case RECORD_POOL:
    case RECORD_VIP:
        snprintf(key, RECORD_KEY_SIZE, "%"PRIu32"/%s", record_vni(record),
                 name_of(record));
        return;

    case RECORD_ENDPOINT:
        snprintf(key, RECORD_KEY_SIZE, "%"PRIu32"/%s/%s",
                 record->endpoint.vni, record->endpoint.group,
                 record->endpoint.name);
        return;

    case RECORD_LEASE:
        format_lease_key(&record->lease, key);
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

/* What comes after the VNI. */
static int
compare_rest(const struct record *a, const struct record *b)
{
    int cmp;

    switch (a->kind) {
    case RECORD_ENDPOINT:
        cmp = strcmp(a->endpoint.group, b->endpoint.group);
        return cmp ? cmp : strcmp(a->endpoint.name, b->endpoint.name);

    case RECORD_LEASE:
        cmp = strcmp(a->lease.pool, b->lease.pool);
        return cmp ? cmp : record_pool_compare(a->lease.address,
                                               b->lease.address);

    case RECORD_HOST:
    case RECORD_GROUP:
    case RECORD_WORKLOAD:
    case RECORD_POOL:
    case RECORD_GATEWAY:
    case RECORD_VIP:
    case N_RECORD_KINDS:
        break;
    }
    return strcmp(name_of(a), name_of(b));
}

int
record_compare_keys(const struct record *a, const struct record *b)
{
    int cmp;

    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    cmp = compare_vnis(record_vni(a), record_vni(b));
    return cmp ? cmp : compare_rest(a, b);
}
