/* What the server counts for `--metrics`, and how it is told. */

#ifndef MAPPING_MAPD_SERVER_METRICS_H
#define MAPPING_MAPD_SERVER_METRICS_H 1

#include <stdbool.h>
#include <stdint.h>

#include "mapping/metrics.h"

enum { SERVER_METRICS_METHODS = 25 };

/* All zero to begin with. */
struct server_metrics {
    struct server_method_count {
        uint64_t received, refused;
    } methods[SERVER_METRICS_METHODS]; /* By server-metrics.c's names. */
    struct metrics_times commits; /* Those that succeeded. */
    uint64_t n_failed_commits;
    uint64_t n_sent;            /* Messages. */
    uint64_t n_snapshots;       /* Of these. */
    uint64_t n_revoked;         /* Connections whose certificates are. */
    uint64_t n_overruns;        /* Subscribers that read too slowly. */
};

/* A request or notification for 'method', which may be unknown, came; and was
 * refused. */
void server_metrics_received(struct server_metrics *, const char *method);
void server_metrics_refused(struct server_metrics *, const char *method);

/* The store was told of a change at time_usec() 'started', and has it now, or
 * 'failed'. */
void server_metrics_committed(struct server_metrics *, long long int started,
                              bool failed);

#endif /* mapping/mapd/server-metrics.h */
