#include <config.h>

#include "mapping/mapd/presence.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "openvswitch/json.h"
#include "svec.h"
#include "timeval.h"
#include "util.h"

void
presence_init(struct presence *presence)
{
    *presence = (struct presence) { .moved = false };
    hmap_init(&presence->hosts);
}

void
presence_destroy(struct presence *presence)
{
    struct presence_host *host;

    HMAP_FOR_EACH_SAFE (host, node, &presence->hosts) {
        free(host);
    }
    hmap_destroy(&presence->hosts);
}

struct presence_host *
presence_find(const struct presence *presence, const char *name)
{
    struct presence_host *host;

    HMAP_FOR_EACH_WITH_HASH (host, node, hash_string(name, 0),
                             &presence->hosts) {
        if (!strcmp(host->name, name)) {
            return host;
        }
    }
    return NULL;
}

struct presence_host *
presence_expect(struct presence *presence, const char *name, bool dead,
                long long int tick)
{
    struct presence_host *host = presence_find(presence, name);

    if (!host) {
        host = xzalloc(sizeof *host);
        ovs_strlcpy(host->name, name, sizeof host->name);
        host->dead = dead;
        host->dead_changed = time_msec();
        host->heard = tick;
        host->lag_since = LLONG_MAX;
        hmap_insert(&presence->hosts, &host->node, hash_string(name, 0));
    }
    return host;
}

static void
note(struct presence *presence, struct presence_host *host)
{
    presence->moved = true;
    host->changed = ++presence->changes;
}

struct presence_host *
presence_register(struct presence *presence, const char *name,
                  const char *version, void *owner, long long int tick,
                  void **old)
{
    struct presence_host *host = presence_expect(presence, name, false, tick);

    *old = host->owner;
    presence->n_connected += !host->owner;
    note(presence, host);
    host->owner = owner;
    host->applied = 0;
    host->applied_at = 0;
    host->catching_up = false;
    host->lag_since = host->last_seen = time_msec();
    host->heard = tick;
    presence_set_version(host, version);
    return host;
}

void
presence_set_version(struct presence_host *host, const char *version)
{
    ovs_strlcpy(host->version, version, sizeof host->version);
}

void
presence_disconnect(struct presence *presence, struct presence_host *host,
                    long long int tick)
{
    if (host->owner) {
        host->owner = NULL;
        host->heard = tick;
        presence->n_connected--;
        presence->moved = true;
    }
}

/* When 'revision' was committed; 'otherwise' if that is not known any more. */
static long long int
commit_time(const struct presence *presence, uint64_t revision,
            long long int otherwise)
{
    return (presence->revision - revision < PRESENCE_COMMITS
            && presence->commits[revision % PRESENCE_COMMITS]
            ? presence->commits[revision % PRESENCE_COMMITS] : otherwise);
}

void
presence_committed(struct presence *presence, uint64_t revision,
                   long long int now)
{
    struct presence_host *host;

    presence->revision = revision;
    presence->commits[revision % PRESENCE_COMMITS] = now;
    HMAP_FOR_EACH (host, node, &presence->hosts) {
        host->lag_since = MIN(host->lag_since, now);
    }
}

static void
set_applied(struct presence *presence, struct presence_host *host,
            uint64_t revision, long long int at)
{
    host->applied = revision;
    host->applied_at = at;
    host->lag_since = (revision >= presence->revision ? LLONG_MAX
                       : commit_time(presence, revision + 1,
                                     MIN(host->lag_since, time_msec())));
}

void
presence_applied(struct presence *presence, struct presence_host *host,
                 uint64_t revision)
{
    set_applied(presence, host, revision, time_msec());
    host->catching_up = false;
    note(presence, host);
}

/* By the word of other mapds. */

static struct presence_told *
find_told(struct presence_host *host, const char *mapd)
{
    for (size_t i = 0; i < PRESENCE_TELLERS; i++) {
        if (!strcmp(host->told[i].mapd, mapd)) {
            return &host->told[i];
        }
    }
    return NULL;
}

/* What counts is the word of the mapd to which it is connected. */
static void
heed(struct presence *presence, struct presence_host *host)
{
    if (!host->owner && host->mapd[0]) {
        const struct presence_told *told = find_told(host, host->mapd);

        set_applied(presence, host, told ? told->applied : 0,
                    told ? told->applied_at : 0);
        presence_set_version(host, told ? told->version : "");
    }
    note(presence, host);
}

void
presence_seen(struct presence *presence, struct presence_host *host,
              const char *mapd)
{
    ovs_strlcpy(host->mapd, mapd, sizeof host->mapd);
    for (size_t i = 0; mapd[0] && i < PRESENCE_TELLERS; i++) {
        if (strcmp(host->told[i].mapd, mapd)) {
            host->told[i] = (struct presence_told) { .applied = 0 };
        }
    }
    heed(presence, host);
}

void
presence_tell(struct presence *presence, struct presence_host *host,
              const struct presence_told *told)
{
    struct presence_told *place = find_told(host, told->mapd);

    for (size_t i = 0; !place && i < PRESENCE_TELLERS; i++) {
        if (!host->mapd[0] || strcmp(host->told[i].mapd, host->mapd)) {
            place = &host->told[i];
        }
    }
    *place = *told;
    heed(presence, host);
}

void
presence_doubt(struct presence *presence,
               bool (*is_doubtful)(const char *mapd, const void *aux),
               const void *aux)
{
    struct presence_host *host;

    HMAP_FOR_EACH (host, node, &presence->hosts) {
        for (size_t i = 0; i < PRESENCE_TELLERS; i++) {
            struct presence_told *told = &host->told[i];

            if (told->mapd[0] && is_doubtful(told->mapd, aux)) {
                told->applied = 0;
                told->applied_at = 0;
                heed(presence, host);
            }
        }
    }
}

void
presence_forget(struct presence *presence, const char *name)
{
    struct presence_host *host = presence_find(presence, name);

    if (host) {
        presence_disconnect(presence, host, host->heard);
        hmap_remove(&presence->hosts, &host->node);
        free(host);
    }
}

static bool
lags(const struct presence_host *host, uint64_t revision)
{
    return presence_is_connected(host) && host->applied < revision;
}

bool
presence_all_applied(const struct presence *presence, uint64_t revision)
{
    const struct presence_host *host;

    HMAP_FOR_EACH (host, node, &presence->hosts) {
        if (lags(host, revision)) {
            return false;
        }
    }
    return true;
}

struct json *
presence_lagging(const struct presence *presence, uint64_t revision)
{
    struct json *array = json_array_create_empty();
    struct svec names = SVEC_EMPTY_INITIALIZER;
    const struct presence_host *host;

    HMAP_FOR_EACH (host, node, &presence->hosts) {
        if (lags(host, revision)) {
            svec_add(&names, host->name);
        }
    }
    svec_sort(&names);
    for (size_t i = 0; i < names.n; i++) {
        json_array_add(array, json_string_create(names.names[i]));
    }
    svec_destroy(&names);
    return array;
}

bool
presence_is_connected(const struct presence_host *host)
{
    return host->owner || host->mapd[0];
}

size_t
presence_count_connected(const struct presence *presence)
{
    const struct presence_host *host;
    size_t n = 0;

    HMAP_FOR_EACH (host, node, &presence->hosts) {
        n += presence_is_connected(host);
    }
    return n;
}

struct json *
presence_status(const struct presence_host *host)
{
    struct json *status = json_object_create();

    json_object_put(status, "connected",
                    json_boolean_create(presence_is_connected(host)));
    json_object_put(status, "applied", json_integer_create(host->applied));
    if (host->applied_at) {
        json_object_put(status, "applied_ms_ago",
                        json_integer_create(time_msec() - host->applied_at));
    }
    json_object_put(status, "alive", json_boolean_create(!host->dead));
    json_object_put(status, "alive_changed_ms_ago",
                    json_integer_create(time_msec() - host->dead_changed));
    if (host->last_seen) {
        json_object_put(status, "last_seen_ms_ago",
                        json_integer_create(time_msec() - host->last_seen));
    }
    if (host->version[0]) {
        json_object_put_string(status, "version", host->version);
    }
    if (host->mapd[0] && !host->owner) {
        json_object_put_string(status, "mapd", host->mapd);
    }
    return status;
}
