#include <config.h>

#include "mapping/mapd/presence.h"

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
presence_register(struct presence *presence, const char *name,
                  const char *version, void *owner, void **old)
{
    struct presence_host *host = presence_find(presence, name);

    if (!host) {
        host = xzalloc(sizeof *host);
        ovs_strlcpy(host->name, name, sizeof host->name);
        hmap_insert(&presence->hosts, &host->node, hash_string(name, 0));
    }
    *old = host->owner;
    presence->n_connected += !host->owner;
    presence->moved = true;
    host->owner = owner;
    host->applied = 0;
    host->last_seen = time_msec();
    ovs_strlcpy(host->version, version, sizeof host->version);
    return host;
}

void
presence_disconnect(struct presence *presence, struct presence_host *host)
{
    if (host->owner) {
        host->owner = NULL;
        presence->n_connected--;
        presence->moved = true;
    }
}

void
presence_applied(struct presence *presence, struct presence_host *host,
                 uint64_t revision)
{
    host->applied = revision;
    presence->moved = true;
}

void
presence_forget(struct presence *presence, const char *name)
{
    struct presence_host *host = presence_find(presence, name);

    if (host) {
        presence_disconnect(presence, host);
        hmap_remove(&presence->hosts, &host->node);
        free(host);
    }
}

static bool
lags(const struct presence_host *host, uint64_t revision)
{
    return host->owner && host->applied < revision;
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

struct json *
presence_status(const struct presence_host *host)
{
    struct json *status = json_object_create();

    json_object_put(status, "connected",
                    json_boolean_create(host && host->owner));
    json_object_put(status, "applied",
                    json_integer_create(host ? host->applied : 0));
    if (host) {
        json_object_put(status, "last_seen_ms_ago",
                        json_integer_create(time_msec() - host->last_seen));
        if (host->version[0]) {
            json_object_put_string(status, "version", host->version);
        }
    }
    return status;
}
