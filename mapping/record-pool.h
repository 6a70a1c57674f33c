/* Pools of addresses, and the leases of these.  Part of record.h, which
 * includes it. */

#ifndef MAPPING_RECORD_POOL_H
#define MAPPING_RECORD_POOL_H 1

#include <stdbool.h>
#include <stdint.h>

#include "encap/inet.h"
#include "mapping/record-name.h"

enum {
    RECORD_POOL_MAX   = 65536,  /* Addresses. */
    RECORD_TERM_MAX   = 365 * 24 * 3600, /* Seconds. */
    RECORD_CLIENT_MAX = 127,    /* Characters. */
};

struct record_pool {
    uint32_t vni;               /* 0: of addresses outside. */
    record_name name;
    struct inet_addr first, last; /* Of one IP version; at most
                                   * RECORD_POOL_MAX apart. */
    uint8_t prefix_length;      /* Of their subnet; 0: nobody says. */
    struct inet_addr router;    /* For clients; zeros: none. */
    uint32_t term;              /* Seconds, for leases that do not say; 0:
                                 * they do not end. */
};

/* Who has a lease: the id of a workload, "5001/vm1", or whatever else the
 * address protocol knows its clients by, without a slash. */
typedef char record_client[RECORD_CLIENT_MAX + 1];

struct record_lease {
    uint32_t vni;
    record_name pool;
    struct inet_addr address;
    record_client client;
    uint32_t term;              /* Seconds, when last renewed; 0: no end. */
    uint32_t expires;           /* Seconds since 1970; 0: never. */
};

/* How many addresses 'pool' has. */
uint32_t record_pool_size(const struct record_pool *pool);
/* The address that is 'i' after the first one; below record_pool_size(). */
struct inet_addr record_pool_address(const struct record_pool *pool,
                                     uint32_t i);
bool record_pool_contains(const struct record_pool *pool,
                          struct inet_addr address);
/* Whether the two have an address in common; their VNIs do not count. */
bool record_pool_overlaps(const struct record_pool *a,
                          const struct record_pool *b);

/* Orders addresses as numbers, IPv4 as it is mapped into IPv6. */
int record_pool_compare(struct inet_addr a, struct inet_addr b);

/* Whether 'client' is the id of a workload, and of which. */
bool record_lease_workload(const char *client, uint32_t *vni,
                           record_name name);

#endif /* mapping/record-pool.h */
