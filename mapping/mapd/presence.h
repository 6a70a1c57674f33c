/* Which hosts are connected, and how far each has got.
 *
 * In memory only: hosts say it again when they come back.  Not thread-safe. */

#ifndef MAPPING_MAPD_PRESENCE_H
#define MAPPING_MAPD_PRESENCE_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/record.h"
#include "openvswitch/hmap.h"

struct json;

enum { PRESENCE_VERSION_MAX = 31 };

struct presence_host {
    struct hmap_node node;      /* In presence->hosts, by name. */
    record_name name;
    void *owner;                /* Its connection, or NULL: disconnected. */
    uint64_t applied;           /* Revision that its packet path uses. */
    long long int last_seen;    /* time_msec() when it last sent anything. */
    char version[PRESENCE_VERSION_MAX + 1]; /* Its software's, or "". */
};

struct presence {
    struct hmap hosts;
    size_t n_connected;
    bool moved;                 /* Set whenever a host got further or left. */
};

void presence_init(struct presence *);
void presence_destroy(struct presence *);

/* Makes 'owner' the connection of host 'name', and returns its entry, which
 * lives until presence_forget() or presence_destroy().  Stores in '*old'
 * the connection that it takes the place of, or NULL. */
struct presence_host *presence_register(struct presence *, const char *name,
                                        const char *version, void *owner,
                                        void **old);
void presence_disconnect(struct presence *, struct presence_host *);
void presence_applied(struct presence *, struct presence_host *,
                      uint64_t revision);

/* NULL if it has not been connected since mapd started. */
struct presence_host *presence_find(const struct presence *,
                                    const char *name);
/* The record of 'name' is gone. */
void presence_forget(struct presence *, const char *name);

/* Names of the connected hosts that have not applied 'revision', sorted, as
 * a JSON array that the caller owns. */
struct json *presence_lagging(const struct presence *, uint64_t revision);
bool presence_all_applied(const struct presence *, uint64_t revision);

/* {"connected":B,"applied":R,"last_seen_ms_ago":N,"version":V}; 'host' may be
 * NULL. */
struct json *presence_status(const struct presence_host *host);

#endif /* mapping/mapd/presence.h */
