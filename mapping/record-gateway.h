/* Pairs of gateways, and the addresses that a pair shares.  Part of record.h,
 * which includes it. */

#ifndef MAPPING_RECORD_GATEWAY_H
#define MAPPING_RECORD_GATEWAY_H 1

#include <stdint.h>

#include "encap/inet.h"
#include "mapping/record-name.h"

/* Whoever is told to be active, does so under the epoch that came with it, and
 * nobody follows a lower one: that is the fence between the two nodes.  Hence
 * the epoch never goes back, and who is active changes only with it. */
struct record_gateway {
    record_name name;
    record_name node1, node2;   /* Two hosts. */
    uint8_t priority1, priority2; /* The lowest is preferred. */
    record_label active;        /* One of the nodes; "": none yet. */
    uint32_t epoch;
};

struct record_vip {
    uint32_t vni;               /* 0: outside. */
    record_name name;
    struct inet_addr address;
    record_name gateway;        /* The pair whose active node has it. */
};

#endif /* mapping/record-gateway.h */
