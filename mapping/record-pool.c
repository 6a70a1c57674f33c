#include <config.h>
#include "mapping/record-pool.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "encap/tunnel.h"
#include "mapping/record-kind.h"
#include "util.h"

#define TERM_HINT "seconds; 0 stands for no end"

const struct record_field record_pool_fields[] = {
    FIELD("vni", number, pool.vni, KEY, .min = 0, .max = VNI_MAX,
          .hint = OUTSIDE_HINT),
    FIELD("name", name, pool.name, KEY, .hint = NAME_HINT),
    FIELD("first", address, pool.first, REQUIRED, .hint = NULL),
    FIELD("last", address, pool.last, REQUIRED, .hint = NULL),
    FIELD("prefix_length", number, pool.prefix_length, OPTIONAL, .min = 0,
          .max = 128, .hint = "bits; 0 stands for none"),
    FIELD("router", maybe_address, pool.router, OPTIONAL,
          .hint = "an empty one stands for none"),
    FIELD("term", number, pool.term, OPTIONAL, .min = 0,
          .max = RECORD_TERM_MAX, .hint = TERM_HINT),
    { .name = NULL },
};

const struct record_field record_lease_fields[] = {
    FIELD("vni", number, lease.vni, KEY, .min = 0, .max = VNI_MAX,
          .hint = OUTSIDE_HINT),
    FIELD("pool", name, lease.pool, KEY, .hint = NAME_HINT),
    FIELD("address", address, lease.address, KEY, .hint = NULL),
    FIELD("client", client, lease.client, REQUIRED,
          .hint = "a workload's VNI/NAME; or 1 to 127 of A-Z a-z 0-9 . _ : -, "
                  "the first one a letter or digit"),
    FIELD("term", number, lease.term, OPTIONAL, .min = 0,
          .max = RECORD_TERM_MAX, .hint = TERM_HINT),
    FIELD("expires", number, lease.expires, OPTIONAL, .min = 0,
          .max = UINT32_MAX,
          .hint = "seconds since 1970; 0 stands for never"),
    { .name = NULL },
};

/* Addresses as numbers. */

int
record_pool_compare(struct inet_addr a, struct inet_addr b)
{
    return (a.hi != b.hi ? (a.hi < b.hi ? -1 : 1)
            : a.lo < b.lo ? -1 : a.lo > b.lo);
}

/* 'a' - 'b'; UINT64_MAX if that is more.  'a' is not below 'b'. */
static uint64_t
distance(struct inet_addr a, struct inet_addr b)
{
    uint64_t hi = a.hi - b.hi - (a.lo < b.lo);

    return hi ? UINT64_MAX : a.lo - b.lo;
}

uint32_t
record_pool_size(const struct record_pool *pool)
{
    return distance(pool->last, pool->first) + 1;
}

struct inet_addr
record_pool_address(const struct record_pool *pool, uint32_t i)
{
    struct inet_addr address = pool->first;

    address.lo += i;
    address.hi += address.lo < i;
    return address;
}

bool
record_pool_contains(const struct record_pool *pool, struct inet_addr address)
{
    return (record_pool_compare(pool->first, address) <= 0
            && record_pool_compare(address, pool->last) <= 0);
}

bool
record_pool_overlaps(const struct record_pool *a, const struct record_pool *b)
{
    return (record_pool_compare(a->first, b->last) <= 0
            && record_pool_compare(b->first, a->last) <= 0);
}

/* Checks. */

static bool
same_version(struct inet_addr a, struct inet_addr b)
{
    return inet_addr_is4(a) == inet_addr_is4(b);
}

static bool
is_none(struct inet_addr a)
{
    return !a.hi && !a.lo;
}

/* Whether 'a' and 'b', of one IP version, are in one subnet. */
static bool
same_subnet(struct inet_addr a, struct inet_addr b, unsigned int length)
{
    unsigned int n = length + (inet_addr_is4(a) ? 96 : 0);
    uint64_t hi = n >= 64 ? UINT64_MAX : ~(UINT64_MAX >> n);
    uint64_t lo = (n >= 128 ? UINT64_MAX
                   : n <= 64 ? 0 : ~(UINT64_MAX >> (n - 64)));

    return !((a.hi ^ b.hi) & hi) && !((a.lo ^ b.lo) & lo);
}

static int
check_subnet(const struct record_pool *p, struct diagnosis *diag)
{
    unsigned int max = inet_addr_is4(p->first) ? 32 : 128;
    char number[8];

    snprintf(number, sizeof number, "%u", p->prefix_length);
    if (p->prefix_length > max) {
        return record_kind_refuse(diag, "prefix_length", number,
                                  "give the length of the subnet's prefix",
                                  "is more than %u, the length of an IPv4 "
                                  "address", max);
    }
    if (p->prefix_length
        && !same_subnet(p->first, p->last, p->prefix_length)) {
        return record_kind_refuse(diag, "prefix_length", number,
                                  "give a shorter one, or make a pool for "
                                  "each subnet",
                                  "parts first and last into two subnets");
    }
    return 0;
}

static int
check_router(const struct record_pool *p, struct diagnosis *diag)
{
    const char *problem
        = (is_none(p->router) ? NULL
           : !same_version(p->router, p->first)
           ? "is not of the IP version of the pool"
           : record_pool_contains(p, p->router)
           ? "is in the pool, and would be leased"
           : p->prefix_length
             && !same_subnet(p->router, p->first, p->prefix_length)
           ? "is not in the subnet of the pool" : NULL);

    return (problem
            ? record_kind_refuse_address(diag, "router", p->router,
                                         "give the address of the router in "
                                         "the subnet, or leave it out",
                                         problem)
            : 0);
}

int
record_pool_check(const struct record_pool *p, struct diagnosis *diag)
{
    int error;

    if (!same_version(p->first, p->last)) {
        return record_kind_refuse_address(diag, "last", p->last,
                                          "make a pool for each version",
                                          "is not of the IP version of first");
    }
    if (record_pool_compare(p->first, p->last) > 0) {
        return record_kind_refuse_address(diag, "last", p->last,
                                          "first is the lowest address of the "
                                          "pool, last the highest",
                                          "is below first");
    }
    if (distance(p->last, p->first) >= RECORD_POOL_MAX) {
        char text[RECORD_ADDRESS_SIZE];

        record_format_address(p->last, text);
        return record_kind_refuse(diag, "last", text, "make several pools",
                                  "makes the pool larger than %d addresses",
                                  RECORD_POOL_MAX);
    }
    error = check_subnet(p, diag);
    return error ? error : check_router(p, diag);
}

int
record_lease_check(const struct record_lease *l, struct diagnosis *diag)
{
    char number[16];

    if (!l->term == !l->expires) {
        return 0;
    }
    snprintf(number, sizeof number, "%"PRIu32, l->expires);
    return record_kind_refuse(diag, "expires", number,
                              "either both are 0, or neither is",
                              "does not go with a term of %"PRIu32, l->term);
}

bool
record_lease_workload(const char *client, uint32_t *vni, record_name name)
{
    const char *slash = strchr(client, '/');

    if (!slash || !ovs_scan(client, "%"SCNu32"/", vni)) {
        return false;
    }
    ovs_strlcpy(name, slash + 1, sizeof(record_name));
    return true;
}
