#include <config.h>
#include "mapping/catalog/catalog-index.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "mapping/record-service.h"
#include "util.h"

/* Hosts. */

static uint32_t
hash_host(const char *name)
{
    return hash_string(name, 0);
}

static uint32_t
hash_vtep(const struct record_host *r)
{
    return hash_bytes(&r->vtep, sizeof r->vtep, 0);
}

struct catalog_host_node *
catalog_index_host(const struct catalog *catalog, const char *name)
{
    struct catalog_host_node *host;

    HMAP_FOR_EACH_WITH_HASH (host, by_name, hash_host(name),
                             &catalog->hosts) {
        if (!strcmp(host->record.name, name)) {
            return host;
        }
    }
    return NULL;
}

struct catalog_host_node *
catalog_index_same_vtep(const struct catalog *catalog,
                        const struct record_host *record)
{
    struct catalog_host_node *host;

    HMAP_FOR_EACH_WITH_HASH (host, by_vtep, hash_vtep(record),
                             &catalog->vteps) {
        if (inet_addr_equal(host->record.vtep, record->vtep)
            && strcmp(host->record.name, record->name)) {
            return host;
        }
    }
    return NULL;
}

void
catalog_index_put_host(struct catalog *catalog,
                       const struct record_host *record)
{
    struct catalog_host_node *host = catalog_index_host(catalog, record->name);

    if (host) {
        hmap_remove(&catalog->vteps, &host->by_vtep);
    } else {
        host = xzalloc(sizeof *host);
        hmap_insert(&catalog->hosts, &host->by_name, hash_host(record->name));
    }
    host->record = *record;
    hmap_insert(&catalog->vteps, &host->by_vtep, hash_vtep(record));
}

void
catalog_index_remove_host(struct catalog *catalog,
                          struct catalog_host_node *host)
{
    ovs_assert(!host->n_users);
    hmap_remove(&catalog->hosts, &host->by_name);
    hmap_remove(&catalog->vteps, &host->by_vtep);
    free(host);
}

/* Groups. */

static uint32_t
hash_group(uint32_t vni, const char *name)
{
    return hash_string(name, vni);
}

struct catalog_group_node *
catalog_index_group(const struct catalog *catalog, uint32_t vni,
                    const char *name)
{
    struct catalog_group_node *node;

    HMAP_FOR_EACH_WITH_HASH (node, by_name, hash_group(vni, name),
                             &catalog->groups) {
        if (node->group.record.vni == vni
            && !strcmp(node->group.record.name, name)) {
            return node;
        }
    }
    return NULL;
}

struct catalog_group_node *
catalog_index_same_service(const struct catalog *catalog,
                           const struct record_group *record)
{
    struct catalog_group_node *node;

    HMAP_FOR_EACH_WITH_HASH (node, by_service, record_service_hash(record),
                             &catalog->services) {
        if (record_service_clash(&node->group.record, record)
            && strcmp(node->group.record.name, record->name)) {
            return node;
        }
    }
    return NULL;
}

struct catalog_group_node *
catalog_index_id(const struct catalog *catalog, uint32_t id)
{
    struct catalog_group_node *node;

    HMAP_FOR_EACH_WITH_HASH (node, by_id, hash_int(id, 0), &catalog->ids) {
        if (node->group.id == id) {
            return node;
        }
    }
    return NULL;
}

struct catalog_group_node *
catalog_index_add_group(struct catalog *catalog,
                        const struct record_group *record)
{
    struct catalog_group_node *node = xzalloc(sizeof *node);

    node->group.record = *record;
    catalog_index_link_group(catalog, node);
    return node;
}

void
catalog_index_set_group(struct catalog_group_node *node,
                        const struct record_group *record)
{
    ovs_assert(record_equal_fixed(&node->group.record, record));
    node->group.record = *record;
}

static void
link_id(struct catalog *catalog, struct catalog_group_node *node)
{
    if (node->group.id) {
        hmap_insert(&catalog->ids, &node->by_id, hash_int(node->group.id, 0));
    }
}

void
catalog_index_set_id(struct catalog *catalog, struct catalog_group_node *node,
                     uint32_t id)
{
    ovs_assert(!node->group.id);
    node->group.id = id;
    link_id(catalog, node);
}

/* Endpoints. */

static uint32_t
hash_mac(const struct record_endpoint *r)
{
    return hash_bytes(&r->mac, sizeof r->mac, hash_group(r->vni, r->group));
}

struct catalog_endpoint_node *
catalog_index_same_mac(const struct catalog *catalog,
                       const struct record_endpoint *record)
{
    struct catalog_endpoint_node *node;

    if (record_mac_is_zero(&record->mac)) {
        return NULL;            /* None is no MAC to share. */
    }
    HMAP_FOR_EACH_WITH_HASH (node, by_mac, hash_mac(record), &catalog->macs) {
        const struct record_endpoint *r = &node->endpoint.record;

        if (!memcmp(&r->mac, &record->mac, sizeof r->mac)
            && r->vni == record->vni
            && !strcmp(r->group, record->group)
            && strcmp(r->name, record->name)) {
            return node;
        }
    }
    return NULL;
}

static uint32_t
hash_quic_id(const struct record_endpoint *r)
{
    return hash_uint64_basis(r->quic_id.value, hash_group(r->vni, r->group));
}

struct catalog_endpoint_node *
catalog_index_same_quic_id(const struct catalog *catalog,
                           const struct record_endpoint *record)
{
    struct catalog_endpoint_node *node;

    HMAP_FOR_EACH_WITH_HASH (node, by_quic_id, hash_quic_id(record),
                             &catalog->quic_ids) {
        const struct record_endpoint *r = &node->endpoint.record;

        if (r->quic_id.value == record->quic_id.value
            && r->quic_id.length == record->quic_id.length
            && r->vni == record->vni
            && !strcmp(r->group, record->group)
            && strcmp(r->name, record->name)) {
            return node;
        }
    }
    return NULL;
}

static uint32_t
hash_iface(const char *iface)
{
    return hash_string(iface, 0);
}

struct catalog_endpoint_node *
catalog_index_first_iface(const struct catalog *catalog, const char *iface)
{
    struct catalog_endpoint_node *node;

    HMAP_FOR_EACH_WITH_HASH (node, by_iface, hash_iface(iface),
                             &catalog->ifaces) {
        if (!strcmp(node->endpoint.record.iface, iface)) {
            return node;
        }
    }
    return NULL;
}

struct catalog_endpoint_node *
catalog_index_next_iface(const struct catalog_endpoint_node *node)
{
    struct hmap_node *n = hmap_next_with_hash(&node->by_iface);

    for (; n; n = hmap_next_with_hash(n)) {
        struct catalog_endpoint_node *next
            = CONTAINER_OF(n, struct catalog_endpoint_node, by_iface);

        if (!strcmp(next->endpoint.record.iface,
                    node->endpoint.record.iface)) {
            return next;
        }
    }
    return NULL;
}

struct catalog_endpoint_node *
catalog_index_same_iface(const struct catalog *catalog,
                         const struct record_endpoint *record)
{
    struct catalog_endpoint_node *node;

    for (node = catalog_index_first_iface(catalog, record->iface); node;
         node = catalog_index_next_iface(node)) {
        const struct record_endpoint *r = &node->endpoint.record;

        if (r->vni == record->vni && !strcmp(r->group, record->group)
            && strcmp(r->name, record->name)) {
            return node;
        }
    }
    return NULL;
}

/* The place of 'name' in the sorted array, or where it would be. */
static size_t
endpoint_position(const struct catalog_group *group, const char *name)
{
    size_t low = 0, high = group->n_endpoints;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(group->endpoints[middle]->record.name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool
is_at(const struct catalog_group *group, size_t i, const char *name)
{
    return (i < group->n_endpoints
            && !strcmp(group->endpoints[i]->record.name, name));
}

struct catalog_endpoint *
catalog_index_endpoint(const struct catalog_group *group, const char *name)
{
    size_t i = endpoint_position(group, name);

    return is_at(group, i, name) ? group->endpoints[i] : NULL;
}

static void
link_endpoint(struct catalog *catalog, struct catalog_endpoint *endpoint)
{
    struct catalog_endpoint_node *node = catalog_endpoint_node_cast(endpoint);
    const struct record_endpoint *r = &endpoint->record;

    hmap_insert(&catalog->macs, &node->by_mac, hash_mac(r));
    if (r->quic_id.length) {
        hmap_insert(&catalog->quic_ids, &node->by_quic_id, hash_quic_id(r));
    }
    if (r->iface[0]) {
        hmap_insert(&catalog->ifaces, &node->by_iface, hash_iface(r->iface));
    }
    if (r->host[0]) {
        catalog_index_host(catalog, r->host)->n_users++;
    }
    catalog->n_endpoints++;
}

static void
unlink_endpoint(struct catalog *catalog, struct catalog_endpoint *endpoint)
{
    struct catalog_endpoint_node *node = catalog_endpoint_node_cast(endpoint);

    hmap_remove(&catalog->macs, &node->by_mac);
    if (endpoint->record.quic_id.length) {
        hmap_remove(&catalog->quic_ids, &node->by_quic_id);
    }
    if (endpoint->record.iface[0]) {
        hmap_remove(&catalog->ifaces, &node->by_iface);
    }
    if (endpoint->record.host[0]) {
        catalog_index_host(catalog, endpoint->record.host)->n_users--;
    }
    catalog->n_endpoints--;
}

static void
insert_endpoint(struct catalog_group_node *node, size_t i,
                struct catalog_endpoint *endpoint)
{
    struct catalog_group *group = &node->group;

    if (group->n_endpoints >= node->allocated_endpoints) {
        group->endpoints = x2nrealloc(group->endpoints,
                                      &node->allocated_endpoints,
                                      sizeof *group->endpoints);
    }
    memmove(&group->endpoints[i + 1], &group->endpoints[i],
            (group->n_endpoints - i) * sizeof *group->endpoints);
    group->endpoints[i] = endpoint;
    group->n_endpoints++;
}

struct catalog_endpoint *
catalog_index_put_endpoint(struct catalog *catalog,
                           struct catalog_group_node *node,
                           const struct record_endpoint *record,
                           uint16_t index)
{
    struct catalog_endpoint_node *new = xzalloc(sizeof *new);
    size_t i = endpoint_position(&node->group, record->name);
    struct catalog_endpoint *old = NULL;

    new->endpoint.record = *record;
    new->endpoint.index = index;
    if (is_at(&node->group, i, record->name)) {
        old = node->group.endpoints[i];
        unlink_endpoint(catalog, old);
        node->group.endpoints[i] = &new->endpoint;
    } else {
        insert_endpoint(node, i, &new->endpoint);
    }
    link_endpoint(catalog, &new->endpoint);
    return old;
}

struct catalog_endpoint *
catalog_index_take_endpoint(struct catalog *catalog,
                            struct catalog_group_node *node, const char *name)
{
    struct catalog_group *group = &node->group;
    size_t i = endpoint_position(group, name);
    struct catalog_endpoint *old;

    ovs_assert(is_at(group, i, name));
    old = group->endpoints[i];
    unlink_endpoint(catalog, old);
    group->n_endpoints--;
    memmove(&group->endpoints[i], &group->endpoints[i + 1],
            (group->n_endpoints - i) * sizeof *group->endpoints);
    return old;
}

void
catalog_index_free_endpoint(struct catalog_endpoint *endpoint)
{
    if (endpoint) {
        free(catalog_endpoint_node_cast(endpoint));
    }
}

/* Groups with their endpoints. */

static void
forget_sorted(struct catalog *catalog)
{
    free(catalog->sorted);
    catalog->sorted = NULL;
}

void
catalog_index_link_group(struct catalog *catalog,
                         struct catalog_group_node *node)
{
    const struct record_group *r = &node->group.record;

    forget_sorted(catalog);
    hmap_insert(&catalog->groups, &node->by_name,
                hash_group(r->vni, r->name));
    hmap_insert(&catalog->services, &node->by_service, record_service_hash(r));
    link_id(catalog, node);
    for (size_t i = 0; i < node->group.n_endpoints; i++) {
        link_endpoint(catalog, node->group.endpoints[i]);
    }
}

void
catalog_index_unlink_group(struct catalog *catalog,
                           struct catalog_group_node *node)
{
    forget_sorted(catalog);
    hmap_remove(&catalog->groups, &node->by_name);
    hmap_remove(&catalog->services, &node->by_service);
    if (node->group.id) {
        hmap_remove(&catalog->ids, &node->by_id);
    }
    for (size_t i = 0; i < node->group.n_endpoints; i++) {
        unlink_endpoint(catalog, node->group.endpoints[i]);
    }
}

/* Any kind. */

bool
catalog_index_get(const struct catalog *catalog, const struct record *key,
                  struct record *record)
{
    const struct catalog_host_node *host;
    const struct catalog_group_node *node;
    const struct catalog_endpoint *endpoint;

    switch (key->kind) {
    case RECORD_HOST:
        host = catalog_index_host(catalog, key->host.name);
        if (host) {
            *record = (struct record) { .kind = RECORD_HOST,
                                        .host = host->record };
        }
        return host != NULL;

    case RECORD_GROUP:
        node = catalog_index_group(catalog, key->group.vni, key->group.name);
        if (node) {
            *record = (struct record) { .kind = RECORD_GROUP,
                                        .group = node->group.record };
        }
        return node != NULL;

    case RECORD_ENDPOINT:
        node = catalog_index_group(catalog, key->endpoint.vni,
                                   key->endpoint.group);
        endpoint = node ? catalog_index_endpoint(&node->group,
                                                 key->endpoint.name) : NULL;
        if (endpoint) {
            *record = (struct record) { .kind = RECORD_ENDPOINT,
                                        .endpoint = endpoint->record };
        }
        return endpoint != NULL;

    default:
        return catalog_record_get(catalog, key, record);
    }
}
