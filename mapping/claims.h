/* Which ports are at a host: request `claim` of docs/protocol.md, from hosts
 * to mapd.  A strict reader and a writer, for both sides.  Thread-safe.
 *
 *     error = claims_from_json(json, &claims, &diag);
 *     ...
 *     claims_uninit(&claims); */

#ifndef MAPPING_CLAIMS_H
#define MAPPING_CLAIMS_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/diagnosis.h"
#include "mapping/record.h"

struct json;

enum {
    CLAIMS_MAX      = 4096,     /* Ports of a host, and in one message. */
    CLAIMS_LONG_AGO = INT32_MAX /* Of 'age_ms': nobody knows since when. */
};

struct claim {
    record_iface iface;
    struct mac mac;             /* attached-mac; all zero: none. */
    uint32_t age_ms;            /* Since it came; 0...CLAIMS_LONG_AGO. */
};

struct claims {
    record_name host;
    bool all;                   /* These are all that are there. */
    struct claim *here;         /* Have come, or have another MAC. */
    size_t n_here;
    record_iface *gone;
    size_t n_gone;
};

/* Returns 0 and '*claims', to be ended with claims_uninit(); or a positive
 * errno with '*diag' filled in and '*claims' untouched. */
int claims_from_json(const struct json *, struct claims *,
                     struct diagnosis *diag);
void claims_uninit(struct claims *);

/* At most CLAIMS_MAX of each.  The caller owns the result. */
struct json *claims_to_json(const struct claims *);

#endif /* mapping/claims.h */
