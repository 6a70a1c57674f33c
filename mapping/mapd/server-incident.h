/* What went wrong lately when hosts registered: refusals, and names that two
 * machines claim.  For an operator, who would have to find it in logs.
 *
 * At most SERVER_INCIDENTS, each for SERVER_INCIDENT_MS after it happened
 * last.  In memory only; not thread-safe. */

#ifndef MAPPING_MAPD_SERVER_INCIDENT_H
#define MAPPING_MAPD_SERVER_INCIDENT_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/diagnosis.h"
#include "mapping/record.h"

struct connection;

enum {
    SERVER_INCIDENTS    = 16,
    SERVER_INCIDENT_MS  = 10 * 60 * 1000,
    SERVER_MACHINE_SIZE = 64,   /* "tcp:[IPV6]", with its null. */
};

struct server_incident {
    unsigned int n;             /* How often; 0: this is none. */
    long long int last;         /* time_msec(). */
    uint64_t order;             /* The higher, the later. */
    record_name host;           /* What the host calls itself, or "". */
    char machine[SERVER_MACHINE_SIZE];
    char rival[SERVER_MACHINE_SIZE]; /* Who claims 'host', too; or "": it was
                                      * refused, because of ... */
    char why[sizeof(((struct diagnosis *) NULL)->message)
             + sizeof(((struct diagnosis *) NULL)->hint) + sizeof " ()"];
};

struct server_incidents {
    struct server_incident all[SERVER_INCIDENTS];
    uint64_t n_noted;
};

/* Whether the connections come from one machine, as far as mapd can tell. */
bool server_incident_same_machine(const struct connection *,
                                  const struct connection *);

/* 'conn' was refused as host 'host', which may be any text, because of
 * 'diag'. */
void server_incident_refused(struct connection *, const char *host,
                             const struct diagnosis *diag);
/* 'conn' took the name 'host' from 'old', another machine's connection. */
void server_incident_claimed(const struct connection *conn,
                             const struct connection *old, const char *host);
/* 'conn' is now that of 'host': what was refused before has been mended. */
void server_incident_registered(struct connection *, const char *host);

/* The one at 'i', below SERVER_INCIDENTS, as a line that the caller owns; or
 * NULL: there is none. */
char *server_incident_describe(const struct server_incidents *, size_t i);

#endif /* mapping/mapd/server-incident.h */
