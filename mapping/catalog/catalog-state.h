/* What mapd assigns to a group, apart from its records: the part of a catalog
 * that a follower takes from the leader as it is.
 *
 * Encoded, numbers being little-endian:
 *
 *     byte        version, 1
 *     4 bytes     group id
 *     4 bytes     epoch
 *     2 bytes     where the search for a free endpoint index starts
 *     4 bytes     number of slots
 *     table       slots
 *     2 tables    previous owners, latest first
 *     2 bytes     number of endpoints
 *     endpoints   sorted by name, each: 2 bytes index, 1 byte length of the
 *                 name, name
 *
 * A table is a byte, the width of its entries: 0 if it is empty, and then
 * nothing follows; 1 (255: no endpoint), if all its indexes are below 255;
 * else 2.  There is one encoding of a state, so that equal states are equal
 * bytes. */

#ifndef MAPPING_CATALOG_CATALOG_STATE_H
#define MAPPING_CATALOG_CATALOG_STATE_H 1

#include <stddef.h>
#include <stdint.h>

#include "mapping/record.h"

struct catalog_group;
struct ofpbuf;

enum {
    CATALOG_STATE_MAX = 15 + (1 + GROUP_MAX_PREVIOUS)
                        * (1 + 2 * GROUP_MAX_SLOTS)
                        + 2 + GROUP_MAX_ENDPOINTS * (3 + RECORD_NAME_MAX),
};

struct catalog_state_endpoint {
    record_name name;
    uint16_t index;             /* Below GROUP_MAX_ENDPOINTS, used once. */
};

struct catalog_state {
    uint32_t id, epoch;
    uint16_t next_index;
    uint32_t n_slots;
    uint16_t *slots;
    uint16_t *previous[GROUP_MAX_PREVIOUS]; /* NULL: empty. */
    struct catalog_state_endpoint *endpoints; /* Sorted by name. */
    size_t n_endpoints;
};

/* Appends the state of 'group', of which all is assigned; at most
 * CATALOG_STATE_MAX bytes.  Thread-safe. */
void catalog_state_encode(const struct catalog_group *group, struct ofpbuf *);

/* Decodes 'size' bytes.  Returns 0 and '*state', to be freed by
 * catalog_state_destroy(); or EPROTO if they are no encoding, or one with
 * numbers out of range.  Whether slots and previous owners fit the records is
 * for catalog_install_state() to check.  Thread-safe. */
int catalog_state_decode(const void *data, size_t size,
                         struct catalog_state **state);
void catalog_state_destroy(struct catalog_state *);

#endif /* mapping/catalog/catalog-state.h */
