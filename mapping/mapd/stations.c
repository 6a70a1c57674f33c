#include <config.h>

#include "mapping/mapd/stations.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "mapping/vni-set.h"
#include "sset.h"
#include "util.h"

struct station {
    struct hmap_node node;      /* In stations->hosts. */
    record_name host;
    struct hmap tallies;        /* By VNI; not empty. */
};

struct tally {
    struct hmap_node node;      /* In station->tallies. */
    uint32_t vni;
    size_t n;                   /* Endpoints and workloads, at least 1. */
};

static struct station *
find_station(const struct stations *stations, const char *host)
{
    struct station *station;

    HMAP_FOR_EACH_WITH_HASH (station, node, hash_string(host, 0),
                             &stations->hosts) {
        if (!strcmp(station->host, host)) {
            return station;
        }
    }
    return NULL;
}

static struct tally *
find_tally(const struct station *station, uint32_t vni)
{
    struct tally *tally;

    HMAP_FOR_EACH_WITH_HASH (tally, node, hash_int(vni, 0),
                             &station->tallies) {
        if (tally->vni == vni) {
            return tally;
        }
    }
    return NULL;
}

static struct station *
add_station(struct stations *stations, const char *host)
{
    struct station *station = xmalloc(sizeof *station);

    ovs_strlcpy(station->host, host, sizeof station->host);
    hmap_init(&station->tallies);
    hmap_insert(&stations->hosts, &station->node, hash_string(host, 0));
    return station;
}

static void
remove_station(struct stations *stations, struct station *station)
{
    hmap_remove(&stations->hosts, &station->node);
    hmap_destroy(&station->tallies);
    free(station);
}

static void
count_in(struct stations *stations, const char *host, uint32_t vni)
{
    struct station *station = find_station(stations, host);
    struct tally *tally;

    if (!station) {
        station = add_station(stations, host);
    }
    tally = find_tally(station, vni);
    if (!tally) {
        tally = xzalloc(sizeof *tally);
        tally->vni = vni;
        hmap_insert(&station->tallies, &tally->node, hash_int(vni, 0));
    }
    tally->n++;
}

static void
count_out(struct stations *stations, const char *host, uint32_t vni)
{
    struct station *station = find_station(stations, host);
    struct tally *tally = find_tally(station, vni);

    if (!--tally->n) {
        hmap_remove(&station->tallies, &tally->node);
        free(tally);
        if (hmap_is_empty(&station->tallies)) {
            remove_station(stations, station);
        }
    }
}

/* The host that an admin has put 'e' on, or NULL. */
static const char *
host_of_endpoint(const struct record_endpoint *e)
{
    return e->iface[0] ? NULL : e->host;
}

/* The host that 'record' is on, if it is a thing that is; or NULL. */
static const char *
host_of(const struct record *record)
{
    return (!record ? NULL
            : record->kind == RECORD_ENDPOINT
            ? host_of_endpoint(&record->endpoint)
            : record->kind == RECORD_WORKLOAD ? record->workload.host : NULL);
}

void
stations_change(struct stations *stations,
                const struct catalog_change *changes, size_t n,
                struct sset *names)
{
    for (size_t i = 0; i < n; i++) {
        const char *before = host_of(changes[i].before);
        const char *after = host_of(changes[i].after);

        if (before && after && !strcmp(before, after)) {
            continue;
        }
        if (after) {
            count_in(stations, after, record_vni(changes[i].after));
            sset_add(names, after);
        }
        if (before) {
            count_out(stations, before, record_vni(changes[i].before));
            sset_add(names, before);
        }
    }
}

void
stations_init(struct stations *stations, const struct catalog *catalog)
{
    const struct catalog_group **groups;
    struct record *workloads;
    size_t n;

    hmap_init(&stations->hosts);
    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < groups[i]->n_endpoints; j++) {
            const struct record_endpoint *e = &groups[i]->endpoints[j]->record;

            if (host_of_endpoint(e)) {
                count_in(stations, e->host, e->vni);
            }
        }
    }
    free(groups);
    workloads = catalog_records(catalog, RECORD_WORKLOAD, &n);
    for (size_t i = 0; i < n; i++) {
        count_in(stations, workloads[i].workload.host,
                 workloads[i].workload.vni);
    }
    free(workloads);
}

void
stations_destroy(struct stations *stations)
{
    struct station *station;
    struct tally *tally;

    HMAP_FOR_EACH_SAFE (station, node, &stations->hosts) {
        HMAP_FOR_EACH_SAFE (tally, node, &station->tallies) {
            hmap_remove(&station->tallies, &tally->node);
            free(tally);
        }
        remove_station(stations, station);
    }
    hmap_destroy(&stations->hosts);
}

void
stations_add_vnis(const struct stations *stations, const char *host,
                  struct vni_set *set)
{
    const struct station *station = find_station(stations, host);
    const struct tally *tally;

    if (station) {
        HMAP_FOR_EACH (tally, node, &station->tallies) {
            vni_set_add(set, tally->vni, tally->vni);
        }
    }
}

bool
stations_has_vni(const struct stations *stations, const char *host,
                 uint32_t vni)
{
    const struct station *station = find_station(stations, host);

    return station && find_tally(station, vni);
}
