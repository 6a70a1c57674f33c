/* Requests that wait until every connected host has applied a revision.
 *
 * Bounded in time, and in number per connection.  Not thread-safe. */

#ifndef MAPPING_MAPD_BARRIER_H
#define MAPPING_MAPD_BARRIER_H 1

#include <stdint.h>

#include "mapping/diagnosis.h"

struct connection;
struct json;
struct server;

enum {
    BARRIER_MAX_PER_CONNECTION = 64,
    BARRIER_DEFAULT_MS         = 10 * 1000,
    BARRIER_MAX_MS             = 3600 * 1000,
};

/* Takes the request 'id' with 'params' of method `wait`.  Returns 0: it
 * will be answered by barrier_run(); or a positive errno with '*diag'
 * filled in. */
int barrier_add(struct connection *, const struct json *id,
                const struct json *params, struct diagnosis *diag);

/* Answers the requests that are fulfilled or have waited long enough. */
void barrier_run(struct server *);
void barrier_wait(const struct server *);

/* Forgets those of a connection that is going away, or all if it is NULL. */
void barrier_drop(struct server *, const struct connection *);

#endif /* mapping/mapd/barrier.h */
