#include <config.h>
#include "tests/unit/record-twin.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "util.h"

/* "lease 0/p/192.0.2.1". */
static void
name_of(const struct record *r, char name[RECORD_KEY_SIZE + 16])
{
    char key[RECORD_KEY_SIZE];

    record_format_key(r, key);
    snprintf(name, RECORD_KEY_SIZE + 16, "%s %s", record_kind_name(r->kind),
             key);
}

int
record_twin_find(const struct record_twin *twin, const struct record *key)
{
    char wanted[RECORD_KEY_SIZE + 16], name[RECORD_KEY_SIZE + 16];

    name_of(key, wanted);
    for (size_t i = 0; i < twin->n; i++) {
        name_of(&twin->records[i], name);
        if (!strcmp(name, wanted)) {
            return i;
        }
    }
    return -1;
}

/* Whether 'r' refers to the record called 'name'; or, if that is NULL, to one
 * that is not there. */
static bool
refers(const struct record_twin *twin, const struct record *r,
       const char *name)
{
    char refs[2][RECORD_KEY_SIZE + 16] = { "", "" };

    switch ((int) r->kind) {
    case RECORD_WORKLOAD:
        snprintf(refs[0], sizeof refs[0], "host %s", r->workload.host);
        break;
    case RECORD_LEASE:
        snprintf(refs[0], sizeof refs[0], "pool %"PRIu32"/%s", r->lease.vni,
                 r->lease.pool);
        if (strchr(r->lease.client, '/')) {
            snprintf(refs[1], sizeof refs[1], "workload %s", r->lease.client);
        }
        break;
    case RECORD_GATEWAY:
        snprintf(refs[0], sizeof refs[0], "host %s", r->gateway.node1);
        snprintf(refs[1], sizeof refs[1], "host %s", r->gateway.node2);
        break;
    case RECORD_VIP:
        snprintf(refs[0], sizeof refs[0], "gateway %s", r->vip.gateway);
        break;
    }
    for (int i = 0; i < 2; i++) {
        bool found = false;

        if (name && !strcmp(refs[i], name)) {
            return true;
        }
        for (size_t j = 0; !name && *refs[i] && j < twin->n; j++) {
            char other[RECORD_KEY_SIZE + 16];

            name_of(&twin->records[j], other);
            found |= !strcmp(refs[i], other);
        }
        if (!name && *refs[i] && !found) {
            return true;
        }
    }
    return false;
}

enum diagnosis_code
record_twin_put(struct record_twin *twin, const struct record *record)
{
    int i = record_twin_find(twin, record);

    if (refers(twin, record, NULL)) {
        return DIAG_NOT_FOUND;
    }
    ovs_assert(i >= 0 || twin->n < RECORD_TWIN_MAX);
    twin->records[i >= 0 ? (size_t) i : twin->n++] = *record;
    return DIAG_NONE;
}

static int
find_user(const struct record_twin *twin, const char *name)
{
    for (size_t i = 0; i < twin->n; i++) {
        if (refers(twin, &twin->records[i], name)) {
            return i;
        }
    }
    return -1;
}

enum diagnosis_code
record_twin_remove(struct record_twin *twin, const struct record *key,
                   bool if_exists, bool cascade)
{
    char name[RECORD_KEY_SIZE + 16];
    int i = record_twin_find(twin, key), user;

    if (i < 0) {
        return if_exists ? DIAG_NONE : DIAG_NOT_FOUND;
    }
    name_of(key, name);
    while ((user = find_user(twin, name)) >= 0) {
        struct record other = twin->records[user];

        if (!cascade || key->kind == RECORD_HOST) {
            return DIAG_IN_USE;
        }
        record_twin_remove(twin, &other, false, true);
    }
    i = record_twin_find(twin, key);
    twin->records[i] = twin->records[--twin->n];
    return DIAG_NONE;
}

/* The addresses that 'r' has in 'vni', as texts. */
static size_t
addresses_of(const struct record *r, uint32_t vni,
             char texts[2][RECORD_ADDRESS_SIZE])
{
    size_t n = 0;

    if (r->kind == RECORD_WORKLOAD && r->workload.vni == vni) {
        record_format_address(r->workload.address, texts[n++]);
    }
    if (r->kind == RECORD_WORKLOAD && !vni && r->workload.public_address.lo) {
        record_format_address(r->workload.public_address, texts[n++]);
    }
    if (r->kind == RECORD_LEASE && r->lease.vni == vni) {
        record_format_address(r->lease.address, texts[n++]);
    }
    if (r->kind == RECORD_VIP && r->vip.vni == vni) {
        record_format_address(r->vip.address, texts[n++]);
    }
    return n;
}

static bool
same_address(const struct record *a, const struct record *b, uint32_t vni)
{
    char x[2][RECORD_ADDRESS_SIZE], y[2][RECORD_ADDRESS_SIZE];
    size_t n = addresses_of(a, vni, x), m = addresses_of(b, vni, y);

    for (size_t i = 0; i < n * m; i++) {
        if (!strcmp(x[i / m], y[i % m])) {
            return true;
        }
    }
    return false;
}

/* The last byte is enough for the addresses in these tests. */
static bool
is_in_pool(const struct record *pool, struct inet_addr address)
{
    return (address.lo % 256 >= pool->pool.first.lo % 256
            && address.lo % 256 <= pool->pool.last.lo % 256);
}

static bool
is_for(const struct record *lease, const struct record *workload)
{
    char key[RECORD_KEY_SIZE];

    record_format_key(workload, key);
    return !strcmp(lease->lease.client, key);
}

/* In this order only. */
static bool
clash(const struct record *a, const struct record *b)
{
    if (a->kind == RECORD_HOST && b->kind == RECORD_HOST) {
        return inet_addr_equal(a->host.vtep, b->host.vtep);
    } else if (a->kind == RECORD_WORKLOAD && b->kind == RECORD_WORKLOAD) {
        if (a->workload.vni == b->workload.vni
            && !memcmp(&a->workload.mac, &b->workload.mac, 6)) {
            return true;
        }
    } else if (a->kind == RECORD_POOL && b->kind == RECORD_POOL) {
        return (a->pool.vni == b->pool.vni
                && (is_in_pool(a, b->pool.first)
                    || is_in_pool(b, a->pool.first)));
    } else if (a->kind == RECORD_LEASE && b->kind == RECORD_POOL) {
        return (a->lease.vni == b->pool.vni
                && !strcmp(a->lease.pool, b->pool.name)
                && !is_in_pool(b, a->lease.address));
    } else if (a->kind == RECORD_LEASE && b->kind == RECORD_LEASE) {
        if (a->lease.vni == b->lease.vni
            && !strcmp(a->lease.pool, b->lease.pool)
            && !strcmp(a->lease.client, b->lease.client)) {
            return true;
        }
    } else if (a->kind == RECORD_LEASE && b->kind == RECORD_WORKLOAD
               && is_for(a, b)) {
        return false;
    } else if (a->kind == RECORD_WORKLOAD && b->kind == RECORD_LEASE
               && is_for(b, a)) {
        return false;
    }
    return (same_address(a, b, 0) || same_address(a, b, 1)
            || same_address(a, b, 2));
}

bool
record_twin_clash(const struct record *a, const struct record *b)
{
    return clash(a, b) || clash(b, a);
}

bool
record_twin_is_sound(const struct record_twin *twin)
{
    for (size_t i = 0; i < twin->n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (record_twin_clash(&twin->records[i], &twin->records[j])) {
                return false;
            }
        }
    }
    return true;
}
