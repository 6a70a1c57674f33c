#include <config.h>
#include "mapping/record-service.h"

#include <string.h>

#include "hash.h"

/* All ranges of an address have one hash, so that those that overlap meet. */
uint32_t
record_service_hash(const struct record_group *r)
{
    uint32_t ports = r->port_last ? UINT16_MAX + 1u : r->port;

    return hash_bytes(r->address, sizeof r->address,
                      hash_3words(r->vni, r->protocol, ports));
}

static bool
ports_clash(const struct record_group *a, const struct record_group *b)
{
    return (!a->port_last && !b->port_last ? a->port == b->port
            : a->port_last && b->port_last
              && a->port <= b->port_last && b->port <= a->port_last);
}

bool
record_service_clash(const struct record_group *a,
                     const struct record_group *b)
{
    return (a->vni == b->vni
            && ports_clash(a, b)
            && a->protocol == b->protocol
            && !memcmp(a->address, b->address, sizeof a->address));
}
