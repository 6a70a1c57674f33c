#include <config.h>
#include "mapping/catalog/catalog-txn.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "mapping/catalog/catalog-check.h"
#include "mapping/catalog/catalog-health.h"
#include "mapping/catalog/catalog-missing.h"
#include "mapping/catalog/catalog-record-txn.h"
#include "mapping/catalog/catalog-state.h"
#include "openvswitch/json.h"
#include "util.h"

struct catalog_txn *
catalog_begin(struct catalog *catalog)
{
    struct catalog_txn *txn = xzalloc(sizeof *txn);

    ovs_assert(!catalog->txn);
    catalog->txn = txn;
    txn->catalog = catalog;
    txn->op = -1;
    txn->last_group_id = catalog->last_group_id;
    hmap_init(&txn->hosts);
    hmap_init(&txn->groups);
    catalog_record_txn_init(txn);
    hmap_init(&txn->healths);
    return txn;
}

void
catalog_set_op(struct catalog_txn *txn, int op)
{
    txn->op = op;
}

void
catalog_set_force(struct catalog_txn *txn, bool force)
{
    txn->force = force;
}

/* What was before. */

struct catalog_txn_host *
catalog_txn_find_host(const struct catalog_txn *txn, const char *name)
{
    struct catalog_txn_host *host;

    HMAP_FOR_EACH_WITH_HASH (host, node, hash_string(name, 0), &txn->hosts) {
        if (!strcmp(host->before.name, name)) {
            return host;
        }
    }
    return NULL;
}

struct catalog_txn_host *
catalog_txn_touch_host(struct catalog_txn *txn, const char *name)
{
    struct catalog_txn_host *host = catalog_txn_find_host(txn, name);
    const struct catalog_host_node *node;

    if (host) {
        return host;
    }
    host = xzalloc(sizeof *host);
    host->op = -1;
    node = catalog_index_host(txn->catalog, name);
    host->existed = node != NULL;
    if (node) {
        host->before = node->record;
        host->was_dead = node->dead;
    } else {
        ovs_strlcpy(host->before.name, name, sizeof host->before.name);
    }
    hmap_insert(&txn->hosts, &host->node, hash_string(name, 0));
    return host;
}

struct catalog_txn_group *
catalog_txn_find_group(const struct catalog_txn *txn, uint32_t vni,
                       const char *name)
{
    struct catalog_txn_group *group;

    HMAP_FOR_EACH_WITH_HASH (group, node, hash_string(name, vni),
                             &txn->groups) {
        if (group->before.record.vni == vni
            && !strcmp(group->before.record.name, name)) {
            return group;
        }
    }
    return NULL;
}

struct catalog_txn_group *
catalog_txn_touch_group(struct catalog_txn *txn, uint32_t vni,
                        const char *name)
{
    struct catalog_txn_group *group = catalog_txn_find_group(txn, vni, name);
    const struct catalog_group_node *node;

    if (group) {
        return group;
    }
    group = xzalloc(sizeof *group);
    group->op = -1;
    node = catalog_index_group(txn->catalog, vni, name);
    group->existed = node != NULL;
    if (node) {
        group->before = node->group;
        group->before.endpoints
            = (node->group.n_endpoints
               ? xmemdup(node->group.endpoints, node->group.n_endpoints
                         * sizeof *node->group.endpoints)
               : NULL);
    } else {
        group->before.record.vni = vni;
        ovs_strlcpy(group->before.record.name, name,
                    sizeof group->before.record.name);
    }
    hmap_insert(&txn->groups, &group->node, hash_string(name, vni));
    return group;
}

/* Frees the slots and previous owners of 'group' that 'other', which may be
 * NULL, does not share. */
static void
free_tables(struct catalog_group *group, const struct catalog_group *other)
{
    if (!other || group->slots != other->slots) {
        free(group->slots);
    }
    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        if (!other || group->previous[i] != other->previous[i]) {
            free(group->previous[i]);
        }
    }
}

/* Frees what the transaction made and has taken out again. */
static void
drop_endpoint(const struct catalog_txn_group *group,
              struct catalog_endpoint *endpoint)
{
    if (endpoint && catalog_index_endpoint(&group->before,
                                           endpoint->record.name)
                    != endpoint) {
        catalog_index_free_endpoint(endpoint);
    }
}

/* Takes a group out and frees it, but for what is part of 'group->before'. */
static void
drop_group(struct catalog_txn *txn, const struct catalog_txn_group *group,
           struct catalog_group_node *node)
{
    catalog_index_unlink_group(txn->catalog, node);
    for (size_t i = 0; i < node->group.n_endpoints; i++) {
        drop_endpoint(group, node->group.endpoints[i]);
    }
    free_tables(&node->group, &group->before);
    free(node->group.endpoints);
    free(node);
}

/* Operations. */

static void
put_group(struct catalog_txn *txn, const struct record_group *r)
{
    struct catalog_group_node *node = catalog_index_group(txn->catalog,
                                                          r->vni, r->name);

    catalog_txn_touch_group(txn, r->vni, r->name)->op = txn->op;
    if (node) {
        catalog_index_set_group(node, r);
    } else {
        catalog_index_add_group(txn->catalog, r);
    }
}

/* A host that is taken out and put in again is as alive as it was. */
static void
put_host(struct catalog_txn *txn, const struct record_host *r)
{
    struct catalog_txn_host *host = catalog_txn_touch_host(txn, r->name);
    bool is_new = !catalog_index_host(txn->catalog, r->name);

    host->op = txn->op;
    catalog_index_put_host(txn->catalog, r);
    if (is_new) {
        catalog_index_host(txn->catalog, r->name)->dead = host->was_dead;
    }
}

void
catalog_txn_put_endpoint(struct catalog_txn *txn,
                         const struct record_endpoint *r)
{
    struct catalog_group_node *node = catalog_index_group(txn->catalog,
                                                          r->vni, r->group);
    struct catalog_txn_group *group = catalog_txn_touch_group(txn, r->vni,
                                                              r->group);

    /* catalog_prepare() gives it the index that it had, if it had one. */
    drop_endpoint(group, catalog_index_put_endpoint(txn->catalog, node, r,
                                                    GROUP_NO_ENDPOINT));
    catalog_endpoint_node_cast(catalog_index_endpoint(&node->group, r->name))
        ->op = txn->op;
}

int
catalog_txn_put(struct catalog_txn *txn, const struct record *record,
                struct diagnosis *diag)
{
    int error = catalog_check_put(txn->catalog, record, diag);

    if (error) {
        return error;
    }
    switch (record->kind) {
    case RECORD_HOST:
        put_host(txn, &record->host);
        return 0;

    case RECORD_GROUP:
        put_group(txn, &record->group);
        return 0;

    case RECORD_ENDPOINT:
        catalog_txn_put_endpoint(txn, &record->endpoint);
        return 0;

    default:
        catalog_record_txn_put(txn, record);
        return 0;
    }
}

int
catalog_add(struct catalog_txn *txn, const struct record *record,
            bool may_exist, struct diagnosis *diag)
{
    struct record old, new;

    ovs_assert(!txn->prepared);
    if (!catalog_index_get(txn->catalog, record, &old)) {
        return catalog_txn_put(txn, record, diag);
    } else if (!may_exist) {
        return catalog_check_exists(record, diag);
    }
    new = *record;
    record_adopt_binding(&new, &old);
    return (record_equal(&new, &old) ? 0
            : catalog_check_differs(record, diag));
}

int
catalog_set(struct catalog_txn *txn, const struct json *json,
            struct diagnosis *diag)
{
    struct record key, old, new;
    int error = record_key_from_json(json, &key, diag);

    ovs_assert(!txn->prepared);
    if (error) {
        return error;
    }
    if (!catalog_index_get(txn->catalog, &key, &old)) {
        return catalog_missing_record(txn->catalog, &key, diag);
    }
    new = old;
    error = record_update_from_json(json, &new, diag);
    if (!error) {
        error = catalog_record_txn_epoch(txn, json, &old, &new, diag);
    }
    if (error || record_equal(&old, &new)) {
        return error;
    }
    if (key.kind == RECORD_GROUP && !txn->force) {
        error = catalog_check_sticky(txn->catalog, &old.group, &new.group,
                                     diag);
        if (error) {
            return error;
        }
    }
    return catalog_txn_put(txn, &new, diag);
}

static void
take(struct catalog_txn *txn, const struct record *key)
{
    struct catalog *catalog = txn->catalog;
    const struct record_endpoint *r = &key->endpoint;
    struct catalog_txn_group *group;
    struct catalog_group_node *node;

    switch (key->kind) {
    case RECORD_HOST:
        catalog_txn_touch_host(txn, key->host.name)->op = txn->op;
        catalog_index_remove_host(catalog, catalog_index_host(catalog,
                                                              key->host.name));
        return;

    case RECORD_GROUP:
        group = catalog_txn_touch_group(txn, key->group.vni, key->group.name);
        node = catalog_index_group(catalog, key->group.vni, key->group.name);
        drop_group(txn, group, node);
        return;

    case RECORD_ENDPOINT:
        group = catalog_txn_touch_group(txn, r->vni, r->group);
        node = catalog_index_group(catalog, r->vni, r->group);
        drop_endpoint(group, catalog_index_take_endpoint(catalog, node,
                                                         r->name));
        return;

    default:
        catalog_record_txn_take(txn, key);
    }
}

int
catalog_remove(struct catalog_txn *txn, const struct record *key,
               bool if_exists, bool cascade, struct diagnosis *diag)
{
    struct record old;
    int error;

    ovs_assert(!txn->prepared);
    if (!catalog_index_get(txn->catalog, key, &old)) {
        return (if_exists ? 0
                : catalog_missing_record(txn->catalog, key, diag));
    }
    error = catalog_check_remove(txn->catalog, key, cascade, diag);
    if (!error) {
        take(txn, key);
    }
    return error;
}

/* The end. */

static void
txn_destroy(struct catalog_txn *txn)
{
    struct catalog_txn_group *group;
    struct catalog_txn_host *host;

    HMAP_FOR_EACH_POP (group, node, &txn->groups) {
        catalog_state_destroy(group->state);
        free(group);
    }
    HMAP_FOR_EACH_POP (host, node, &txn->hosts) {
        free(host);
    }
    hmap_destroy(&txn->groups);
    hmap_destroy(&txn->hosts);
    catalog_record_txn_destroy(txn);
    hmap_destroy(&txn->healths);
    for (size_t i = 0; i < txn->n_changes; i++) {
        free(CONST_CAST(struct record *, txn->changes[i].before));
        free(CONST_CAST(struct record *, txn->changes[i].after));
    }
    free(txn->changes);
    free(txn->changed_groups);
    free(txn->liveness);
    free(txn->health);
    txn->catalog->txn = NULL;
    free(txn);
}

/* Frees the part of 'before' that 'now' (NULL: the group is gone) has not. */
static void
forget(struct catalog_group *before, const struct catalog_group *now)
{
    for (size_t i = 0; i < before->n_endpoints; i++) {
        struct catalog_endpoint *endpoint = before->endpoints[i];

        if (!now || catalog_index_endpoint(now, endpoint->record.name)
                    != endpoint) {
            catalog_index_free_endpoint(endpoint);
        }
    }
    free_tables(before, now);
    free(before->endpoints);
}

void
catalog_commit(struct catalog_txn *txn)
{
    struct catalog_txn_group *group;

    ovs_assert(txn->prepared);
    txn->catalog->revision = catalog_txn_revision(txn);
    catalog_health_commit(txn);
    HMAP_FOR_EACH (group, node, &txn->groups) {
        const struct record_group *r = &group->before.record;
        const struct catalog_group_node *node
            = catalog_index_group(txn->catalog, r->vni, r->name);

        forget(&group->before, node ? &node->group : NULL);
    }
    txn_destroy(txn);
}

static void
restore_host(struct catalog *catalog, const struct catalog_txn_host *host)
{
    struct catalog_host_node *node = catalog_index_host(catalog,
                                                        host->before.name);

    if (host->existed) {
        catalog_index_put_host(catalog, &host->before);
        catalog_index_host(catalog, host->before.name)->dead = host->was_dead;
    } else if (node) {
        catalog_index_remove_host(catalog, node);
    }
}

static void
restore_group(struct catalog *catalog, const struct catalog_txn_group *group)
{
    struct catalog_group_node *node;

    if (group->existed) {
        node = xzalloc(sizeof *node);
        node->group = group->before;
        node->allocated_endpoints = group->before.n_endpoints;
        catalog_index_link_group(catalog, node);
    }
}

void
catalog_abort(struct catalog_txn *txn)
{
    struct catalog *catalog = txn->catalog;
    struct catalog_txn_group *group;
    struct catalog_txn_host *host;

    /* Endpoints refer to hosts: first out, last in. */
    HMAP_FOR_EACH (group, node, &txn->groups) {
        const struct record_group *r = &group->before.record;
        struct catalog_group_node *node
            = catalog_index_group(catalog, r->vni, r->name);

        if (node) {
            drop_group(txn, group, node);
        }
    }
    HMAP_FOR_EACH (host, node, &txn->hosts) {
        restore_host(catalog, host);
    }
    HMAP_FOR_EACH (group, node, &txn->groups) {
        restore_group(catalog, group);
    }
    catalog_record_txn_undo(txn);
    catalog_health_abort(txn);
    catalog->last_group_id = txn->last_group_id;
    txn_destroy(txn);
}
