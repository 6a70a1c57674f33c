/* What a group serves: an address, a protocol and ports, of a tenant. */

#ifndef MAPPING_RECORD_SERVICE_H
#define MAPPING_RECORD_SERVICE_H 1

#include <stdbool.h>
#include <stdint.h>

#include "mapping/record.h"

/* The same for any two that clash. */
uint32_t record_service_hash(const struct record_group *);

/* Whether there cannot be both: they have the same ports, or ranges of ports
 * that overlap.  (One port may lie in another group's range, and all of them
 * beside a group of all ports.) */
bool record_service_clash(const struct record_group *,
                          const struct record_group *);

#endif /* mapping/record-service.h */
