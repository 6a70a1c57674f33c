/* The mapping service's JSON-RPC server: docs/protocol.md.
 *
 *     error = server_create(catalog, store, &key, &server, &diag);
 *     error = server_listen(server, "punix:/run/x.sock", &diag);
 *     for (;;) {
 *         server_run(server);
 *         server_wait(server);
 *         poll_block();
 *     }
 *
 * Single-threaded, in the caller's poll loop. */

#ifndef MAPPING_MAPD_SERVER_H
#define MAPPING_MAPD_SERVER_H 1

#include <stddef.h>
#include <stdint.h>

#include "anycast/flow-hash.h"
#include "mapping/catalog/catalog.h"
#include "mapping/diagnosis.h"

struct audit;
struct ds;
struct metrics;
struct revoked;
struct server;
struct store;

enum {
    SERVER_DEFAULT_PORT    = 6670,
    SERVER_MAX_CONNECTIONS = 4096,
    SERVER_MIN_CONNECTIONS = 64, /* mapd does not start with fewer. */
    SERVER_RESERVED        = 16, /* Connections for Unix sockets only. */
    SERVER_MAX_MESSAGE     = 64 * 1024 * 1024, /* Bytes of a request. */
    SERVER_MAX_UNFINISHED  = 128 * 1024 * 1024, /* Of requests, all told. */
    SERVER_MAX_SNAPSHOTS   = 64 * 1024 * 1024, /* Bytes of them unsent. */
    SERVER_SNAPSHOT_MS     = 3 * 1000, /* To read on while others wait, */
    SERVER_SNAPSHOT_MAX_MS = 60 * 1000, /* and to read all of it. */
    SERVER_MAX_BACKLOG     = 4 * 1024 * 1024, /* Bytes of updates unsent. */
    SERVER_MAX_UNREAD      = 256 * 1024, /* Bytes of replies unsent. */
    SERVER_MAX_HANDSHAKES  = 512, /* TLS, under way, */
    SERVER_HANDSHAKES_EACH = 32, /* of one address, */
    SERVER_HANDSHAKE_MS    = 5 * 1000, /* and for how long. */
    SERVER_PROBE_MS        = 10 * 1000, /* Between probes of silent peers. */
    SERVER_HOST_TIMEOUT_MS = 3 * 1000, /* Default: then a host is dead. */
    SERVER_HOST_TIMEOUT_MAX_MS = 3600 * 1000,
    SERVER_WANT_RATE       = 10, /* Questions for flows a second per host, */
    SERVER_FLOWS_RATE      = 200, /* and messages that answer some. */
    SERVER_REPORT_RATE     = 2, /* Reports of loads a second per host, */
    SERVER_REPORT_BURST    = 20, /* with so many at a time, */
    SERVER_REPORTED_MAX    = 65536, /* of so many endpoints. */
    SERVER_HEALTH_RATE     = 5, /* Reports of health a second per host, */
    SERVER_HEALTH_BURST    = 100, /* with so many at a time. */
    SERVER_CLAIM_RATE      = 10, /* Claims of ports a second per host, */
    SERVER_CLAIM_BURST     = 100, /* with so many at a time. */
    SERVER_MAX_TRACES      = 64, /* Under way, */
    SERVER_TRACE_MS        = 5 * 1000, /* and for how long at most. */
    SERVER_PATIENCE        = 10, /* Times that, for a host that is still to
                                  * come, or takes in a snapshot. */
};

/* 'catalog' and 'store' stay the caller's and must outlive the server.  A host
 * is dead when it has been gone for 'host_timeout' ms; 0: never.  Returns 0
 * and '*server', owned by the caller; or a positive errno with '*diag' filled
 * in: the process may not open enough files. */
int server_create(struct catalog *catalog, struct store *store,
                  const struct hash_key *key, unsigned int host_timeout,
                  struct server **server, struct diagnosis *diag);
void server_destroy(struct server *);

/* Has each change, and what is refused for lack of rights, written to 'audit',
 * which stays the caller's and must outlive the server. */
void server_set_audit(struct server *, struct audit *audit);

/* Whose certificates are not good any more; it stays the caller's and must
 * outlive the server.  Those that are connected are cut off at once. */
void server_set_revoked(struct server *, struct revoked *revoked);

/* Whether a host that has shown a certificate, and whose record gives it no
 * VNIs, may see all of them; at first it may not. */
void server_set_any_vni(struct server *, bool any);

/* Listens on 'target': "punix:PATH", "pssl:[PORT][:IP]" (TLS with client
 * certificates, after tls_use()), where IP is 0.0.0.0 unless given, or
 * "ptcp:[PORT][:IP]" (who comes is an admin), where it is 127.0.0.1.  Returns
 * 0, or a positive errno with '*diag' filled in. */
int server_listen(struct server *, const char *target,
                  struct diagnosis *diag);

void server_run(struct server *);
void server_wait(struct server *);

/* Appends a line per connection, for people. */
void server_show(const struct server *, struct ds *);

/* Appends figures, for monitoring. */
void server_write_metrics(const struct server *, struct metrics *);
/* Why no change can be made, which the caller frees; NULL if one can. */
char *server_health_problem(const struct server *);

#endif /* mapping/mapd/server.h */
