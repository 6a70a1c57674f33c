/* The inside of a catalog: records and the hash indexes over them.  Private to
 * catalog*.c.  No checks here; the callers have made them. */

#ifndef MAPPING_CATALOG_CATALOG_INDEX_H
#define MAPPING_CATALOG_CATALOG_INDEX_H 1

#include "mapping/catalog/catalog-record.h"
#include "mapping/catalog/catalog.h"

struct catalog {
    struct hmap hosts;          /* struct catalog_host_node, by name. */
    struct hmap vteps;          /* The same, by VTEP. */
    struct hmap groups;         /* struct catalog_group_node, by VNI, name. */
    struct hmap services;       /* The same, by what packets are sent to. */
    struct hmap ids;            /* The same, by id; those that have one. */
    struct hmap macs;           /* struct catalog_endpoint_node, by VNI, group
                                 * and MAC. */
    struct hmap quic_ids;       /* The same, by VNI, group and QUIC id; those
                                 * that have one. */
    struct hmap ifaces;         /* The same, by iface; those that have one. */
    /* All groups, sorted by VNI and name, since catalog_groups_between()
     * wanted
     * them; NULL when some have come or gone. */
    const struct catalog_group **sorted;
    struct hmap sick;           /* catalog-health.c */
    size_t n_endpoints;
    struct catalog_records records;
    uint64_t revision;
    uint32_t last_group_id;
    struct catalog_txn *txn;    /* The one under way, or NULL. */
};

struct catalog_host_node {
    struct hmap_node by_name, by_vtep;
    struct record_host record;
    size_t n_users;             /* Endpoints on this host. */
    bool dead;                  /* Its endpoints own no slots. */
};

struct catalog_group_node {
    struct hmap_node by_name, by_service, by_id;
    struct catalog_group group; /* id 0: none yet.  slots NULL: none yet. */
    size_t allocated_endpoints;
};

/* Once linked, nothing but the index and 'up_since' change, and these only
 * with the index going from none (GROUP_NO_ENDPOINT) to one: a changed
 * endpoint is a new node.  So a snapshot of a group is an array of pointers.
 */
struct catalog_endpoint_node {
    struct catalog_endpoint endpoint;
    struct hmap_node by_mac;
    struct hmap_node by_quic_id; /* If it has one. */
    struct hmap_node by_iface;  /* If it has one. */
    int op;                     /* That made it: catalog_set_op(). */
};

static inline struct catalog_endpoint_node *
catalog_endpoint_node_cast(struct catalog_endpoint *endpoint)
{
    return CONTAINER_OF(endpoint, struct catalog_endpoint_node, endpoint);
}

/* Finding.  NULL if there is none. */
struct catalog_host_node *catalog_index_host(const struct catalog *,
                                             const char *name);
struct catalog_group_node *catalog_index_group(const struct catalog *,
                                               uint32_t vni,
                                               const char *name);
struct catalog_group_node *catalog_index_id(const struct catalog *,
                                            uint32_t id);
/* In any group, linked or not. */
struct catalog_endpoint *
catalog_index_endpoint(const struct catalog_group *, const char *name);

/* Finding what has the same as 'record' and another name; while a transaction
 * is under way there may be some. */
struct catalog_host_node *
catalog_index_same_vtep(const struct catalog *,
                        const struct record_host *record);
/* Ports count as the same if they are one, or ranges that overlap. */
struct catalog_group_node *
catalog_index_same_service(const struct catalog *,
                           const struct record_group *record);
struct catalog_endpoint_node *
catalog_index_same_mac(const struct catalog *,
                       const struct record_endpoint *record);
/* Only of a record that has a QUIC id. */
struct catalog_endpoint_node *
catalog_index_same_quic_id(const struct catalog *,
                           const struct record_endpoint *record);
/* Only of a record that has an iface: in the same group. */
struct catalog_endpoint_node *
catalog_index_same_iface(const struct catalog *,
                         const struct record_endpoint *record);
/* Those with this iface, in any group: the first, and the one after 'node'. */
struct catalog_endpoint_node *
catalog_index_first_iface(const struct catalog *, const char *iface);
struct catalog_endpoint_node *
catalog_index_next_iface(const struct catalog_endpoint_node *node);

/* Finds the record with the key of 'key'. */
bool catalog_index_get(const struct catalog *, const struct record *key,
                       struct record *record);

/* Adds a host, alive, or replaces its record. */
void catalog_index_put_host(struct catalog *, const struct record_host *);
/* Removes and frees. */
void catalog_index_remove_host(struct catalog *, struct catalog_host_node *);

/* A new group, without id, slots or endpoints. */
struct catalog_group_node *
catalog_index_add_group(struct catalog *, const struct record_group *);
/* Changes members that are no key to any index. */
void catalog_index_set_group(struct catalog_group_node *,
                             const struct record_group *);
void catalog_index_set_id(struct catalog *, struct catalog_group_node *,
                          uint32_t id);
/* Brings a group into the indexes, with its endpoints, or takes it out. */
void catalog_index_link_group(struct catalog *, struct catalog_group_node *);
void catalog_index_unlink_group(struct catalog *,
                                struct catalog_group_node *);

/* Adds or replaces an endpoint.  Returns the one it was, for the caller to
 * free, or NULL. */
struct catalog_endpoint *
catalog_index_put_endpoint(struct catalog *, struct catalog_group_node *,
                           const struct record_endpoint *, uint16_t index);
/* Takes an endpoint out; the caller frees it. */
struct catalog_endpoint *
catalog_index_take_endpoint(struct catalog *, struct catalog_group_node *,
                            const char *name);
void catalog_index_free_endpoint(struct catalog_endpoint *);

#endif /* mapping/catalog/catalog-index.h */
