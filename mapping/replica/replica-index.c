#include <config.h>
#include "mapping/replica/replica-index.h"

#include <string.h>

#include "hash.h"
#include "mapping/record-service.h"
#include "util.h"

struct use {
    struct hmap_node node;      /* In replica->uses. */
    record_name host;
    size_t n;                   /* Endpoints; never 0. */
};

void
replica_index_init(struct replica *replica)
{
    hmap_init(&replica->groups);
    hmap_init(&replica->hosts);
    hmap_init(&replica->by_id);
    hmap_init(&replica->by_key);
    hmap_init(&replica->by_vtep);
    hmap_init(&replica->uses);
    for (int kind = 0; kind < N_RECORD_KINDS; kind++) {
        hmap_init(&replica->records[kind]);
    }
}

void
replica_index_destroy(struct replica *replica)
{
    ovs_assert(hmap_is_empty(&replica->uses));
    hmap_destroy(&replica->groups);
    hmap_destroy(&replica->hosts);
    hmap_destroy(&replica->by_id);
    hmap_destroy(&replica->by_key);
    hmap_destroy(&replica->by_vtep);
    hmap_destroy(&replica->uses);
    for (int kind = 0; kind < N_RECORD_KINDS; kind++) {
        hmap_destroy(&replica->records[kind]);
    }
}

static struct use *
find_use(const struct replica *replica, const char *name, uint32_t hash)
{
    struct use *use;

    HMAP_FOR_EACH_WITH_HASH (use, node, hash, &replica->uses) {
        if (!strcmp(use->host, name)) {
            return use;
        }
    }
    return NULL;
}

static void
add_use(struct replica *replica, const char *name)
{
    uint32_t hash = hash_string(name, 0);
    struct use *use = find_use(replica, name, hash);

    if (!use) {
        use = xzalloc(sizeof *use);
        ovs_strlcpy(use->host, name, sizeof use->host);
        hmap_insert(&replica->uses, &use->node, hash);
    }
    use->n++;
}

static void
remove_use(struct replica *replica, const char *name)
{
    struct use *use = find_use(replica, name, hash_string(name, 0));

    if (!--use->n) {
        hmap_remove(&replica->uses, &use->node);
        free(use);
    }
}

void
replica_index_add_host(struct replica *replica, struct replica_host *host)
{
    hmap_insert(&replica->hosts, &host->node,
                hash_string(host->record.name, 0));
    hmap_insert(&replica->by_vtep, &host->vtep_node,
                hash_bytes(&host->record.vtep, sizeof host->record.vtep, 0));
}

void
replica_index_remove_host(struct replica *replica, struct replica_host *host)
{
    hmap_remove(&replica->hosts, &host->node);
    hmap_remove(&replica->by_vtep, &host->vtep_node);
}

void
replica_index_add_group(struct replica *replica, struct replica_group *group)
{
    const struct record_group *record = &group->record;

    hmap_insert(&replica->groups, &group->node,
                hash_string(record->name, record->vni));
    hmap_insert(&replica->by_id, &group->id_node,
                replica_index_hash_id(group->id));
    hmap_insert(&replica->by_key, &group->key_node,
                record_service_hash(record));
    for (size_t i = 0; i < group->n_endpoints; i++) {
        add_use(replica, group->endpoints[i].record.host);
    }
}

void
replica_index_remove_group(struct replica *replica,
                           struct replica_group *group)
{
    hmap_remove(&replica->groups, &group->node);
    hmap_remove(&replica->by_id, &group->id_node);
    hmap_remove(&replica->by_key, &group->key_node);
    for (size_t i = 0; i < group->n_endpoints; i++) {
        remove_use(replica, group->endpoints[i].record.host);
    }
}

/* Records. */

static uint32_t
hash_record(const struct record *key)
{
    char text[RECORD_KEY_SIZE];

    record_format_key(key, text);
    return hash_string(text, 0);
}

void
replica_index_add_record(struct replica *replica,
                         struct replica_record *record)
{
    hmap_insert(&replica->records[record->record.kind], &record->node,
                hash_record(&record->record));
}

void
replica_index_remove_record(struct replica *replica,
                            struct replica_record *record)
{
    hmap_remove(&replica->records[record->record.kind], &record->node);
}

struct replica_record *
replica_index_record(const struct replica *replica, const struct record *key)
{
    struct replica_record *record;

    HMAP_FOR_EACH_WITH_HASH (record, node, hash_record(key),
                             &replica->records[key->kind]) {
        if (!record_compare_keys(&record->record, key)) {
            return record;
        }
    }
    return NULL;
}

struct replica_host *
replica_index_host(const struct replica *replica, const char *name)
{
    struct replica_host *host;

    HMAP_FOR_EACH_WITH_HASH (host, node, hash_string(name, 0),
                             &replica->hosts) {
        if (!strcmp(host->record.name, name)) {
            return host;
        }
    }
    return NULL;
}

struct replica_group *
replica_index_group(const struct replica *replica, uint32_t vni,
                    const char *name)
{
    struct replica_group *group;

    HMAP_FOR_EACH_WITH_HASH (group, node, hash_string(name, vni),
                             &replica->groups) {
        if (group->record.vni == vni && !strcmp(group->record.name, name)) {
            return group;
        }
    }
    return NULL;
}

const struct replica_group *
replica_index_same_id(const struct replica *replica,
                      const struct replica_group *group)
{
    const struct replica_group *other;

    HMAP_FOR_EACH_WITH_HASH (other, id_node, group->id_node.hash,
                             &replica->by_id) {
        if (other != group && other->id == group->id) {
            return other;
        }
    }
    return NULL;
}

const struct replica_group *
replica_index_same_key(const struct replica *replica,
                       const struct replica_group *group)
{
    const struct replica_group *other;

    HMAP_FOR_EACH_WITH_HASH (other, key_node, group->key_node.hash,
                             &replica->by_key) {
        if (other != group
            && record_service_clash(&other->record, &group->record)) {
            return other;
        }
    }
    return NULL;
}

const struct replica_host *
replica_index_same_vtep(const struct replica *replica,
                        const struct replica_host *host)
{
    const struct replica_host *other;

    HMAP_FOR_EACH_WITH_HASH (other, vtep_node, host->vtep_node.hash,
                             &replica->by_vtep) {
        if (other != host
            && inet_addr_equal(other->record.vtep, host->record.vtep)) {
            return other;
        }
    }
    return NULL;
}

size_t
replica_index_uses(const struct replica *replica, const char *name)
{
    const struct use *use = find_use(replica, name, hash_string(name, 0));

    return use ? use->n : 0;
}
