/* A small HTTP server inside the poll loop of whoever owns it: GET /metrics
 * says figures (metrics.h), GET /healthz whether all is well: 200 and "ok", or
 * 503 and why not.
 *
 *     error = metrics_server_create("9464", &source, &server, &diag);
 *     for (;;) {
 *         metrics_server_run(server);
 *         metrics_server_wait(server);
 *         poll_block();
 *     }
 *
 * It asks nobody who they are.  What clients can take is bounded: connections,
 * their memory, and how long each lasts.  For one thread; never blocks. */

#ifndef MAPPING_METRICS_SERVER_H
#define MAPPING_METRICS_SERVER_H 1

#include "mapping/diagnosis.h"

struct metrics;
struct metrics_server;

enum {
    METRICS_SERVER_MAX_CLIENTS = 16, /* More wait for one to leave. */
    METRICS_SERVER_MAX_MEMORY  = 16 * 1024, /* Bytes for each one's request. */
    METRICS_SERVER_MAX_MS      = 5 * 1000, /* For a request and its answer. */
};

/* Where answers come from.  Both are called from metrics_server_run(). */
struct metrics_source {
    void (*write)(struct metrics *, void *aux);
    /* Why the program does not do its work, which the caller frees; NULL if it
     * does. */
    char *(*problem)(void *aux);
    void *aux;
};

/* Listens on 'address' (metrics-address.h), which 'option' gave.  Copies
 * '*source'.  Returns 0 and '*server', owned by the caller; or a positive
 * errno with '*diag' filled in. */
int metrics_server_create(const char *address, const char *option,
                          const struct metrics_source *source,
                          struct metrics_server **server,
                          struct diagnosis *diag);
void metrics_server_destroy(struct metrics_server *);

/* Both take NULL. */
void metrics_server_run(struct metrics_server *);
void metrics_server_wait(const struct metrics_server *);

#endif /* mapping/metrics-server.h */
