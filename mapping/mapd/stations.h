/* In which VNIs something is recorded on a host: an endpoint or a workload.
 * Follows a catalog, change by change.  Not thread-safe. */

#ifndef MAPPING_MAPD_STATIONS_H
#define MAPPING_MAPD_STATIONS_H 1

#include <stddef.h>

#include "mapping/catalog/catalog.h"
#include "openvswitch/hmap.h"

struct sset;
struct vni_set;

struct stations {
    struct hmap hosts;          /* struct station, by name. */
};

/* Takes in what is in 'catalog'. */
void stations_init(struct stations *, const struct catalog *catalog);
void stations_destroy(struct stations *);

/* Follows the 'n' changes at 'changes'.  Adds to 'names' the hosts that have
 * come to be, or have ceased to be, in a VNI; and perhaps others. */
void stations_change(struct stations *, const struct catalog_change *changes,
                     size_t n, struct sset *names);

/* Adds to 'set', which need not be normalized and is not then, the VNIs in
 * which something is on 'host'. */
void stations_add_vnis(const struct stations *, const char *host,
                       struct vni_set *set);

#endif /* mapping/mapd/stations.h */
