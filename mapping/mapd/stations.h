/* In which VNIs something is recorded on a host: an endpoint or a workload.
 * Endpoints with an iface do not count: a host that says that it has the port
 * would give itself the VNI.  Follows a catalog, change by change.  Not
 * thread-safe. */

#ifndef MAPPING_MAPD_STATIONS_H
#define MAPPING_MAPD_STATIONS_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
/* Whether 'vni' is one of them. */
bool stations_has_vni(const struct stations *, const char *host,
                      uint32_t vni);

#endif /* mapping/mapd/stations.h */
