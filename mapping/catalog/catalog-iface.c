/* Finding the endpoints of a port, and the ports of hosts. */

#include <config.h>
#include "mapping/catalog/catalog-index.h"

#include <string.h>

#include "sset.h"
#include "util.h"

struct record_endpoint *
catalog_endpoints_of(const struct catalog *catalog, const char *iface,
                     size_t *np)
{
    const struct catalog_endpoint_node *node;
    struct record_endpoint *records = NULL;
    size_t n = 0, allocated = 0;

    for (node = catalog_index_first_iface(catalog, iface); node;
         node = catalog_index_next_iface(node)) {
        if (n >= allocated) {
            records = x2nrealloc(records, &allocated, sizeof *records);
        }
        records[n++] = node->endpoint.record;
    }
    *np = n;
    return records;
}

record_iface *
catalog_ifaces_on(const struct catalog *catalog, const struct sset *hosts,
                  size_t *np)
{
    const struct catalog_endpoint_node *node;
    record_iface *ifaces = NULL;
    size_t n = 0, allocated = 0;

    HMAP_FOR_EACH (node, by_iface, &catalog->ifaces) {
        const struct record_endpoint *r = &node->endpoint.record;

        if (sset_contains(hosts, r->host)) {
            if (n >= allocated) {
                ifaces = x2nrealloc(ifaces, &allocated, sizeof *ifaces);
            }
            ovs_strlcpy(ifaces[n++], r->iface, sizeof *ifaces);
        }
    }
    *np = n;
    return ifaces;
}
