/* What mapds that share a store tell each other, besides requests that are
 * sent on: each that follows has a link to the one that makes changes, the
 * leader.  By it all of them know of all hosts, wherever these are connected:
 *
 *     link_hosts    which revision hosts use            both ways
 *     link_loads    what hosts see of endpoints         both ways
 *     link_health   what hosts have found of endpoints  to the leader
 *     link_again    hosts are to be told from the beginning
 *     want_flows, flows, trace, traced                  where the host is
 *
 * What one says of hosts is what it has of its own; the leader says it to the
 * others on.  Only changes are told, in messages of up to LINK_ROWS_MAX rows,
 * and no more while the other end does not read.
 *
 * A link is that of its connection; a new one begins from nothing.  Private to
 * server*.c. */

#ifndef MAPPING_MAPD_SERVER_LINK_H
#define MAPPING_MAPD_SERVER_LINK_H 1

#include <stdbool.h>
#include <stdint.h>

#include "mapping/diagnosis.h"
#include "mapping/record.h"
#include "openvswitch/list.h"

struct connection;
struct json;
struct server;
struct server_report;

enum {
    SERVER_LINK_HOSTS_MS = 20,  /* Between messages about hosts, */
    SERVER_LINK_LOADS_MS = 500, /* and about loads; */
    SERVER_LINK_LOADS    = 10000, /* of so many endpoints at a time. */
    SERVER_LINK_AGAIN_MS = 1000,
    SERVER_LINK_CLEAN_MS = 1000, /* Between looks for loads that are gone. */
    SERVER_LINK_REPORTED_MAX = 1 << 20, /* Endpoints, of one link. */
};

struct server_link {
    struct ovs_list node;       /* In server->links. */
    struct server *server;
    struct connection *conn;    /* Of one that follows; NULL: this mapd does,
                                 * and this is the uplink. */
    record_name mapd;           /* Who is at the other end. */
    struct server_report *report; /* What it says of loads. */
    uint64_t hosts_told;        /* Of presence->changes, ... */
    long long int hosts_at;     /* ... next at this time_msec(). */
    uint64_t loads_told;        /* Of server->load_changes; likewise. */
    long long int loads_at;
    bool misses;                /* It has told of hosts that are not known
                                 * here, ... */
    long long int again_at;     /* ... and is to tell again. */
};

struct server_link *server_link_open(struct server *, struct connection *,
                                     const char *mapd);
void server_link_close(struct server_link *);

/* The one to the leader, and that of follower 'mapd'; or NULL. */
struct server_link *server_link_up(const struct server *);
struct server_link *server_link_find(const struct server *,
                                     const char *mapd);
/* Where host 'name' is connected, if not here; NULL: it is not known, or not
 * reached. */
struct server_link *server_link_to_host(const struct server *,
                                        const char *name);

/* Whether the other end does not read what it is sent. */
bool server_link_is_full(const struct server_link *);
/* Sends a notification with one parameter, which it takes over. */
void server_link_put(struct server_link *, const char *method,
                     struct json *param);
/* As server_link_put(); if the link is full it is dropped and counted, and the
 * function returns false. */
bool server_link_notify(struct server_link *, const char *method,
                        struct json *param);

/* Notifications that come by a link: 0, or a positive errno with '*diag'
 * filled in if they are malformed. */
typedef int server_link_handler(struct server_link *,
                                const struct json *params,
                                struct diagnosis *diag);
/* Takes one of them; false if 'method' is none. */
bool server_link_receive(struct server_link *, const char *method,
                         const struct json *params, int *error,
                         struct diagnosis *diag);

void server_link_run(struct server *);
void server_link_wait(const struct server *);

#endif /* mapping/mapd/server-link.h */
