/* Which hosts are connected, how far each has got, and which are dead.  Of
 * hosts that are connected to other mapds these tell (server-fleet.c).
 *
 * A host is dead when its connection has been gone for a while: that is
 * decided by server-liveness.c.  Its times are those of a clock that stands
 * while mapd does not run ("ticks", in ms), so that mapd's own pauses are not
 * held against the hosts.
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

enum {
    PRESENCE_VERSION_MAX = 31,
    PRESENCE_COMMITS     = 64,  /* Whose times are remembered. */
    PRESENCE_TELLERS     = 2,
};

/* What another mapd has told of a host, which is, was or will be connected to
 * it: that may be known before, or after. */
struct presence_told {
    record_name mapd;           /* "": this is none. */
    uint64_t applied;           /* As below; 0: not known. */
    long long int applied_at;
    char version[PRESENCE_VERSION_MAX + 1];
};

struct presence_host {
    struct hmap_node node;      /* In presence->hosts, by name. */
    record_name name;
    void *owner;                /* Its connection, or NULL: disconnected. */
    uint64_t applied;           /* Revision that its packet path uses. */
    long long int applied_at;   /* time_msec() when it said so; 0: it has not
                                 * yet. */
    bool catching_up;           /* Was sent a snapshot, and may still be busy
                                 * with it. */
    long long int lag_since;    /* time_msec() of the first commit that it has
                                 * not applied; LLONG_MAX: has all. */
    long long int last_seen;    /* time_msec() when it last sent anything; 0:
                                 * never, since mapd started. */
    char version[PRESENCE_VERSION_MAX + 1]; /* Its software's, or "". */
    record_name mapd;           /* Another mapd to which it is connected, or
                                 * "". */
    struct presence_told told[PRESENCE_TELLERS];
    uint64_t changed;           /* presence->changes when what is known of what
                                 * it uses changed last. */

    bool dead;                  /* As the catalog has it, ... */
    long long int dead_changed; /* ... since when: time_msec(). */
    long long int heard;        /* Ticks of its last sign of life, or when its
                                 * connection ended, or we began to wait for
                                 * it. */
};

struct presence {
    struct hmap hosts;
    size_t n_connected;
    bool moved;                 /* Set whenever a host got further or left. */
    uint64_t changes;           /* Of hosts: how often. */
    uint64_t revision;          /* The latest. */
    /* time_msec() of the last commits, by revision modulo their number; 0:
     * none. */
    long long int commits[PRESENCE_COMMITS];
};

void presence_init(struct presence *);
void presence_destroy(struct presence *);

/* Notes that the record of 'name' is there, if that is news. */
struct presence_host *presence_expect(struct presence *, const char *name,
                                      bool dead, long long int tick);
/* The record of 'name' is gone. */
void presence_forget(struct presence *, const char *name);

/* Makes 'owner' the connection of host 'name', and returns its entry, which
 * lives until presence_forget() or presence_destroy().  Stores in '*old'
 * the connection that it takes the place of, or NULL. */
struct presence_host *presence_register(struct presence *, const char *name,
                                        const char *version, void *owner,
                                        long long int tick, void **old);
void presence_set_version(struct presence_host *, const char *version);
/* 'tick': when it was last known to live. */
void presence_disconnect(struct presence *, struct presence_host *,
                         long long int tick);

/* A commit at time_msec() 'now' made 'revision' the latest. */
void presence_committed(struct presence *, uint64_t revision,
                        long long int now);
/* 'host' uses 'revision'. */
void presence_applied(struct presence *, struct presence_host *,
                      uint64_t revision);

/* Another mapd sees 'host': 'mapd'; "": none does any more. */
void presence_seen(struct presence *, struct presence_host *,
                   const char *mapd);
/* Another mapd tells this of 'host'. */
void presence_tell(struct presence *, struct presence_host *,
                   const struct presence_told *told);
/* What was told of hosts of mapds of which 'is_doubtful' says so need not be
 * so any more. */
void presence_doubt(struct presence *,
                    bool (*is_doubtful)(const char *mapd, const void *aux),
                    const void *aux);

/* NULL if there is no record of it. */
struct presence_host *presence_find(const struct presence *,
                                    const char *name);

/* Names of the connected hosts that have not applied 'revision', sorted, as
 * a JSON array that the caller owns. */
struct json *presence_lagging(const struct presence *, uint64_t revision);
bool presence_all_applied(const struct presence *, uint64_t revision);

/* Whether it is connected, here or to another mapd; and how many are. */
bool presence_is_connected(const struct presence_host *);
size_t presence_count_connected(const struct presence *);

/* {"connected":B,"applied":R,"applied_ms_ago":N,"last_seen_ms_ago":N,
 * "version":V,"alive":B,"alive_changed_ms_ago":N,"mapd":NAME}; the last one if
 * it is connected to another mapd. */
struct json *presence_status(const struct presence_host *host);

#endif /* mapping/mapd/presence.h */
