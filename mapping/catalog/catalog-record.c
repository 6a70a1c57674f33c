#include <config.h>
#include "mapping/catalog/catalog-record.h"

#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "mapping/catalog/catalog-index.h"
#include "util.h"

/* How many plain records refer to a record. */
struct use {
    struct hmap_node node;      /* In struct catalog_records, by the rest. */
    enum record_kind kind;
    char key[RECORD_KEY_SIZE];
    size_t n;                   /* Never 0. */
};

void
catalog_record_init(struct catalog_records *records)
{
    for (size_t i = 0; i < CATALOG_RECORD_KINDS; i++) {
        hmap_init(&records->by_key[i]);
    }
    hmap_init(&records->claims);
    hmap_init(&records->macs);
    hmap_init(&records->clients);
    hmap_init(&records->uses);
}

void
catalog_record_destroy(struct catalog_records *records)
{
    for (size_t i = 0; i < CATALOG_RECORD_KINDS; i++) {
        struct catalog_record *node;

        HMAP_FOR_EACH_SAFE (node, by_key, &records->by_key[i]) {
            catalog_record_delete(records, node);
        }
        hmap_destroy(&records->by_key[i]);
    }
    ovs_assert(hmap_is_empty(&records->uses));
    hmap_destroy(&records->claims);
    hmap_destroy(&records->macs);
    hmap_destroy(&records->clients);
    hmap_destroy(&records->uses);
}

/* Finding. */

static struct hmap *
table_of(const struct catalog_records *records, enum record_kind kind)
{
    ovs_assert(kind >= RECORD_FIRST_PLAIN && kind < N_RECORD_KINDS);
    return CONST_CAST(struct hmap *,
                      &records->by_key[kind - RECORD_FIRST_PLAIN]);
}

static uint32_t
hash_record_key(const struct record *key)
{
    char text[RECORD_KEY_SIZE];

    record_format_key(key, text);
    return hash_string(text, key->kind);
}

struct catalog_record *
catalog_record_find(const struct catalog_records *records,
                    const struct record *key)
{
    struct catalog_record *node;

    HMAP_FOR_EACH_WITH_HASH (node, by_key, hash_record_key(key),
                             table_of(records, key->kind)) {
        if (!record_compare_keys(&node->record, key)) {
            return node;
        }
    }
    return NULL;
}

bool
catalog_record_get(const struct catalog *catalog, const struct record *key,
                   struct record *record)
{
    const struct catalog_record *node = catalog_record_find(&catalog->records,
                                                            key);

    if (node) {
        *record = node->record;
    }
    return node != NULL;
}

size_t
catalog_record_count(const struct catalog_records *records,
                     enum record_kind kind)
{
    return hmap_count(table_of(records, kind));
}

static int
compare_records(const void *a, const void *b)
{
    return record_compare_keys(a, b);
}

struct record *
catalog_records(const struct catalog *catalog, enum record_kind kind,
                size_t *n)
{
    size_t count = catalog_record_count(&catalog->records, kind);
    struct record *array = xmalloc(MAX(count, 1) * sizeof *array);
    const struct catalog_record *node;
    size_t i = 0;

    CATALOG_RECORD_FOR_EACH (node, kind, &catalog->records) {
        array[i++] = node->record;
    }
    qsort(array, count, sizeof *array, compare_records);
    *n = count;
    return array;
}

/* References. */

static struct record
host_key(const char *name)
{
    struct record key = { .kind = RECORD_HOST };

    ovs_strlcpy(key.host.name, name, sizeof key.host.name);
    return key;
}

static size_t
lease_refs(const struct record_lease *lease,
           struct record keys[CATALOG_RECORD_MAX_REFS],
           const char *fields[CATALOG_RECORD_MAX_REFS])
{
    struct record_workload *w = &keys[1].workload;

    keys[0] = (struct record) { .kind = RECORD_POOL,
                                .pool.vni = lease->vni };
    ovs_strlcpy(keys[0].pool.name, lease->pool, sizeof keys[0].pool.name);
    fields[0] = "pool";
    keys[1] = (struct record) { .kind = RECORD_WORKLOAD };
    fields[1] = "client";
    return 1 + record_lease_workload(lease->client, &w->vni, w->name);
}

size_t
catalog_record_refs(const struct record *record,
                    struct record keys[CATALOG_RECORD_MAX_REFS],
                    const char *fields[CATALOG_RECORD_MAX_REFS])
{
    switch (record->kind) {
    case RECORD_WORKLOAD:
        keys[0] = host_key(record->workload.host);
        fields[0] = "host";
        return 1;

    case RECORD_LEASE:
        return lease_refs(&record->lease, keys, fields);

    case RECORD_GATEWAY:
        keys[0] = host_key(record->gateway.node1);
        fields[0] = "node1";
        keys[1] = host_key(record->gateway.node2);
        fields[1] = "node2";
        return 2;

    case RECORD_VIP:
        keys[0] = (struct record) { .kind = RECORD_GATEWAY };
        ovs_strlcpy(keys[0].gateway.name, record->vip.gateway,
                    sizeof keys[0].gateway.name);
        fields[0] = "gateway";
        return 1;

    default:
        return 0;
    }
}

static struct use *
find_use(const struct catalog_records *records, enum record_kind kind,
         const char *key, uint32_t hash)
{
    struct use *use;

    HMAP_FOR_EACH_WITH_HASH (use, node, hash, &records->uses) {
        if (use->kind == kind && !strcmp(use->key, key)) {
            return use;
        }
    }
    return NULL;
}

size_t
catalog_record_uses(const struct catalog_records *records,
                    const struct record *key)
{
    char text[RECORD_KEY_SIZE];
    const struct use *use;

    record_format_key(key, text);
    use = find_use(records, key->kind, text, hash_string(text, key->kind));
    return use ? use->n : 0;
}

size_t
catalog_uses(const struct catalog *catalog, const struct record *key)
{
    return catalog_record_uses(&catalog->records, key);
}

/* Counts one reference to 'key' more, or less. */
static void
count_use(struct catalog_records *records, const struct record *key, bool more)
{
    char text[RECORD_KEY_SIZE];
    struct use *use;
    uint32_t hash;

    record_format_key(key, text);
    hash = hash_string(text, key->kind);
    use = find_use(records, key->kind, text, hash);
    if (!use) {
        use = xzalloc(sizeof *use);
        use->kind = key->kind;
        ovs_strlcpy(use->key, text, sizeof use->key);
        hmap_insert(&records->uses, &use->node, hash);
    }
    use->n += more ? 1 : -1;
    if (!use->n) {
        hmap_remove(&records->uses, &use->node);
        free(use);
    }
}

static void
count_uses(struct catalog_records *records, const struct record *record,
           bool more)
{
    const char *fields[CATALOG_RECORD_MAX_REFS];
    struct record keys[CATALOG_RECORD_MAX_REFS];
    size_t n = catalog_record_refs(record, keys, fields);

    for (size_t i = 0; i < n; i++) {
        count_use(records, &keys[i], more);
    }
}

/* Claims. */

uint32_t
catalog_record_hash_claim(uint32_t vni, struct inet_addr address)
{
    return hash_bytes(&address, sizeof address, vni);
}

static void
claim(struct catalog_records *records, struct catalog_record *node,
      uint32_t vni, struct inet_addr address)
{
    struct catalog_claim *c = &node->claims[node->n_claims++];

    c->vni = vni;
    c->address = address;
    c->record = node;
    hmap_insert(&records->claims, &c->node,
                catalog_record_hash_claim(vni, address));
}

static void
claim_all(struct catalog_records *records, struct catalog_record *node)
{
    const struct record *r = &node->record;

    switch (r->kind) {
    case RECORD_WORKLOAD:
        claim(records, node, r->workload.vni, r->workload.address);
        if (r->workload.public_address.hi || r->workload.public_address.lo) {
            claim(records, node, 0, r->workload.public_address);
        }
        return;

    case RECORD_LEASE:
        claim(records, node, r->lease.vni, r->lease.address);
        return;

    case RECORD_VIP:
        claim(records, node, r->vip.vni, r->vip.address);
        return;

    default:
        return;
    }
}

bool
catalog_record_share(const struct record *a, const struct record *b)
{
    const struct record *lease = a->kind == RECORD_LEASE ? a : b;
    const struct record *other = a->kind == RECORD_LEASE ? b : a;
    char key[RECORD_KEY_SIZE];

    if (lease->kind != RECORD_LEASE || other->kind != RECORD_WORKLOAD) {
        return false;
    }
    record_format_key(other, key);
    return !strcmp(lease->lease.client, key);
}

/* What else must be unique. */

static struct hmap *
other_table(const struct catalog_records *records, enum record_kind kind)
{
    return (kind == RECORD_WORKLOAD ? CONST_CAST(struct hmap *, &records->macs)
            : kind == RECORD_LEASE
            ? CONST_CAST(struct hmap *, &records->clients) : NULL);
}

static uint32_t
hash_other(const struct record *r)
{
    return (r->kind == RECORD_WORKLOAD
            ? hash_bytes(&r->workload.mac, sizeof r->workload.mac,
                         r->workload.vni)
            : hash_string(r->lease.pool,
                          hash_string(r->lease.client, r->lease.vni)));
}

static bool
is_same(const struct record *a, const struct record *b)
{
    if (a->kind == RECORD_WORKLOAD) {
        return (a->workload.vni == b->workload.vni
                && !memcmp(&a->workload.mac, &b->workload.mac,
                           sizeof a->workload.mac));
    }
    return (a->lease.vni == b->lease.vni
            && !strcmp(a->lease.pool, b->lease.pool)
            && !strcmp(a->lease.client, b->lease.client));
}

const struct catalog_record *
catalog_record_same(const struct catalog_records *records,
                    const struct record *record)
{
    const struct hmap *table = other_table(records, record->kind);
    const struct catalog_record *node;

    HMAP_FOR_EACH_WITH_HASH (node, by_other, hash_other(record), table) {
        if (is_same(&node->record, record)
            && record_compare_keys(&node->record, record)) {
            return node;
        }
    }
    return NULL;
}

const struct record_workload *
catalog_find_station(const struct catalog *catalog, uint32_t vni,
                     const struct mac *mac)
{
    /* No workload has this key, as it has no name. */
    struct record key = { .kind = RECORD_WORKLOAD,
                          .workload = { .vni = vni, .mac = *mac } };
    const struct catalog_record *node = catalog_record_same(&catalog->records,
                                                            &key);

    return node ? &node->record.workload : NULL;
}

const struct record *
catalog_find_claim(const struct catalog *catalog, uint32_t vni,
                   struct inet_addr address)
{
    const struct catalog_claim *claim;

    HMAP_FOR_EACH_WITH_HASH (claim, node,
                             catalog_record_hash_claim(vni, address),
                             &catalog->records.claims) {
        if (claim->vni == vni && inet_addr_equal(claim->address, address)) {
            return &claim->record->record;
        }
    }
    return NULL;
}

/* Changing. */

void
catalog_record_insert(struct catalog_records *records,
                      const struct record *record)
{
    struct catalog_record *node = xzalloc(sizeof *node);
    struct hmap *other = other_table(records, record->kind);

    node->record = *record;
    hmap_insert(table_of(records, record->kind), &node->by_key,
                hash_record_key(record));
    if (other) {
        hmap_insert(other, &node->by_other, hash_other(record));
    }
    claim_all(records, node);
    count_uses(records, record, true);
}

void
catalog_record_delete(struct catalog_records *records,
                      struct catalog_record *node)
{
    struct hmap *other = other_table(records, node->record.kind);

    hmap_remove(table_of(records, node->record.kind), &node->by_key);
    if (other) {
        hmap_remove(other, &node->by_other);
    }
    for (size_t i = 0; i < node->n_claims; i++) {
        hmap_remove(&records->claims, &node->claims[i].node);
    }
    count_uses(records, &node->record, false);
    free(node);
}
