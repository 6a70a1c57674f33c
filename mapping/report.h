/* What hosts report to mapd about endpoints: notifications `report` and
 * `health` of docs/protocol.md.  Strict readers and writers, for both sides.
 *
 * The readers return 0, or a positive errno with '*diag' filled in and the
 * outputs untouched.  The caller frees what they and the writers return.
 * Thread-safe. */

#ifndef MAPPING_REPORT_H
#define MAPPING_REPORT_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/diagnosis.h"

struct json;

enum {
    REPORT_MAX     = 1000,      /* Endpoints in one message. */
    REPORT_WHY_MAX = 63,        /* Characters of a reason. */
};

/* What a host sees of an endpoint, anywhere. */
struct report_load {
    uint32_t group;             /* Id: 1...GROUP_MAX_ID. */
    uint16_t endpoint;          /* Index: below GROUP_MAX_ENDPOINTS. */
    uint32_t flows;             /* Open; of all hosts that report it, each
                                 * counts others. */
    uint32_t response_us;       /* Smoothed; 0: not measured. */
};

/* What a host has found out about an endpoint that lives on it. */
struct report_health {
    uint32_t group;             /* As above. */
    uint16_t endpoint;
    bool healthy;
    char why[REPORT_WHY_MAX + 1]; /* If not healthy: printable ASCII. */
};

int report_loads_from_json(const struct json *, struct report_load **loads,
                           size_t *n, struct diagnosis *diag);
struct json *report_loads_to_json(const struct report_load *loads, size_t n);

/* Whether 'text' can be why an endpoint is not healthy. */
bool report_is_reason(const char *text);

/* 'all': endpoints of the host that are not listed are healthy. */
int report_health_from_json(const struct json *, bool *all,
                            struct report_health **endpoints, size_t *n,
                            struct diagnosis *diag);
struct json *report_health_to_json(bool all,
                                   const struct report_health *endpoints,
                                   size_t n);

#endif /* mapping/report.h */
