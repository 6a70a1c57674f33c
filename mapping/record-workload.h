/* A workload: a machine of a tenant, known by its MAC and private address,
 * that a gateway translates for.  Part of record.h, which includes it. */

#ifndef MAPPING_RECORD_WORKLOAD_H
#define MAPPING_RECORD_WORKLOAD_H 1

#include <stdint.h>

#include "encap/inet.h"
#include "mapping/record-name.h"

struct record_workload {
    uint32_t vni;
    record_name name;
    record_name host;
    struct mac mac;
    struct inet_addr address;   /* Private: within the VNI. */
    struct inet_addr public_address; /* Outside; zeros: none. */
};

#endif /* mapping/record-workload.h */
