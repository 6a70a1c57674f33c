#include <config.h>

#include "vswitchd-ext/table-builder.h"

#include <string.h>

#include "anycast/anycast-table.h"
#include "hash.h"
#include "mapping/replica/replica.h"
#include "openvswitch/hmap.h"
#include "openvswitch/shash.h"
#include "ovs-rcu.h"
#include "util.h"
#include "vswitchd-ext/resolver.h"

enum {
    OUTER_TTL = 64,
    /* Hosts are numbered anew when more numbers than these, and more than
     * half of them, are out of use. */
    SPARE_HOSTS = 64,
};

/* A group built from the replica's group of that id. */
struct built_group {
    struct hmap_node node;      /* In table_builder->groups, by id. */
    struct group *group;
    uint32_t id;
    uint64_t changed;           /* replica_group->changed it was built from. */
    bool seen;                  /* In the table being built. */
};

struct table_builder {
    struct hmap groups;
    struct shash hosts;         /* Index in tunnels, by name.  Groups refer to
                                 * hosts by number: when hosts are numbered
                                 * anew, all groups are built anew. */
    struct group **retired;     /* No longer in the last table. */
    size_t n_retired, allocated_retired;
    size_t n_unresolved;
    char *self;                 /* Last build's. */
    struct hash_key key;        /* Last build's. */
};

struct table_builder *
table_builder_create(void)
{
    struct table_builder *b = xzalloc(sizeof *b);

    hmap_init(&b->groups);
    shash_init(&b->hosts);
    return b;
}

static void
retire(struct table_builder *b, struct group *group)
{
    if (b->n_retired >= b->allocated_retired) {
        b->retired = x2nrealloc(b->retired, &b->allocated_retired,
                                sizeof *b->retired);
    }
    b->retired[b->n_retired++] = group;
}

void
table_builder_published(struct table_builder *b)
{
    for (size_t i = 0; i < b->n_retired; i++) {
        ovsrcu_postpone(group_destroy, b->retired[i]);
    }
    b->n_retired = 0;
}

static void
retire_unseen(struct table_builder *b)
{
    struct built_group *built;

    HMAP_FOR_EACH_SAFE (built, node, &b->groups) {
        if (!built->seen) {
            retire(b, built->group);
            hmap_remove(&b->groups, &built->node);
            free(built);
        } else {
            built->seen = false;
        }
    }
}

void
table_builder_destroy(struct table_builder *b)
{
    if (b) {
        retire_unseen(b);
        table_builder_published(b);
        hmap_destroy(&b->groups);
        shash_destroy(&b->hosts);
        free(b->retired);
        free(b->self);
        free(b);
    }
}

static uint32_t
host_index(struct table_builder *b, const char *name)
{
    struct shash_node *node = shash_find(&b->hosts, name);

    if (!node) {
        uintptr_t index = shash_count(&b->hosts);

        node = shash_add(&b->hosts, name, (void *) index);
    }
    return (uintptr_t) node->data;
}

static struct group *
build_group(struct table_builder *b, const struct replica_group *rg,
            const char *self, const struct hash_key *key)
{
    struct group_endpoint *endpoints;
    struct group_spec spec;
    struct group *group;
    size_t n = 0;

    for (size_t i = 0; i < rg->n_endpoints; i++) {
        n = MAX(n, rg->endpoints[i].index + 1u);
    }
    endpoints = xcalloc(n + 1, sizeof *endpoints);
    for (size_t i = 0; i < rg->n_endpoints; i++) {
        const struct record_endpoint *r = &rg->endpoints[i].record;
        struct group_endpoint *e = &endpoints[rg->endpoints[i].index];

        e->mac = r->mac;
        e->state = r->state;
        e->local = !strcmp(r->host, self);
        e->host = host_index(b, r->host);
    }

    memset(&spec, 0, sizeof spec);
    memcpy(spec.key.address, rg->record.address, sizeof spec.key.address);
    spec.key.vni = rg->record.vni;
    spec.key.protocol = rg->record.protocol;
    spec.key.port = rg->record.port;
    spec.id = rg->id;
    spec.epoch = rg->epoch;
    spec.affinity = rg->record.affinity;
    spec.slots = rg->slots;
    spec.n_slots = rg->record.n_slots;
    spec.endpoints = endpoints;
    spec.n_endpoints = n;
    group = group_create(&spec, key);
    free(endpoints);
    return group;
}

/* The group for 'rg', built anew only if it has changed. */
static const struct group *
get_group(struct table_builder *b, const struct replica_group *rg,
          const char *self, const struct hash_key *key)
{
    struct built_group *built;

    HMAP_FOR_EACH_WITH_HASH (built, node, hash_int(rg->id, 0), &b->groups) {
        if (built->id == rg->id) {
            break;
        }
    }
    if (!built) {
        built = xzalloc(sizeof *built);
        built->id = rg->id;
        hmap_insert(&b->groups, &built->node, hash_int(rg->id, 0));
    } else if (built->changed == rg->changed) {
        built->seen = true;
        return built->group;
    } else {
        retire(b, built->group);
    }
    built->group = build_group(b, rg, self, key);
    built->changed = rg->changed;
    built->seen = true;
    return built->group;
}

static bool
get_tunnel(struct resolver *resolver, const struct record_host *host,
           uint32_t vtep, struct tunnel *tunnel)
{
    struct resolver_hop hop;

    if (!resolver_lookup(resolver, host->vtep, &hop)) {
        return false;
    }
    tunnel_init(tunnel, &(struct tunnel_spec) {
        .type = host->encap,
        .src_mac = hop.src_mac,
        .dst_mac = hop.dst_mac,
        .src_ip = vtep,
        .dst_ip = host->vtep,
        .ttl = OUTER_TTL,
        .mtu = hop.mtu,
    });
    return true;
}

static void
set_tunnels(struct table_builder *b, const struct replica *replica,
            struct resolver *resolver, const char *self, uint32_t vtep,
            struct anycast_table *table)
{
    const struct replica_host *host;
    struct tunnel tunnel;

    b->n_unresolved = 0;
    HMAP_FOR_EACH (host, node, &replica->hosts) {
        const struct shash_node *node = shash_find(&b->hosts,
                                                   host->record.name);

        /* Only hosts with endpoints need a way, and this one needs none. */
        if (!node || !strcmp(host->record.name, self)) {
            continue;
        }
        if (get_tunnel(resolver, &host->record, vtep, &tunnel)) {
            anycast_table_set_tunnel(table, (uintptr_t) node->data, &tunnel);
        } else {
            b->n_unresolved++;
        }
    }
    resolver_forget_unused(resolver);
}

/* Forgets the hosts' numbers if most are those of hosts that are gone, and
 * with them the groups. */
static void
renumber_hosts(struct table_builder *b, const struct replica *replica)
{
    if (shash_count(&b->hosts)
        > 2 * hmap_count(&replica->hosts) + SPARE_HOSTS) {
        shash_clear(&b->hosts);
        retire_unseen(b);
    }
}

/* Forgets all groups if what they were built with has changed. */
static void
check_premises(struct table_builder *b, const struct replica *replica,
               const char *self)
{
    if (b->self && (strcmp(b->self, self)
                    || memcmp(&b->key, &replica->key, sizeof b->key))) {
        retire_unseen(b);
    }
    free(b->self);
    b->self = xstrdup(self);
    b->key = replica->key;
}

struct anycast_table *
table_builder_build(struct table_builder *b, const struct replica *replica,
                    struct resolver *resolver, const char *self,
                    uint32_t vtep, int ifindex)
{
    size_t n = hmap_count(&replica->groups);
    const struct group **groups = xcalloc(n + 1, sizeof *groups);
    const struct replica_group *rg;
    struct anycast_table *table;
    size_t i = 0;

    check_premises(b, replica, self);
    renumber_hosts(b, replica);
    HMAP_FOR_EACH (rg, node, &replica->groups) {
        groups[i++] = get_group(b, rg, self, &replica->key);
    }
    retire_unseen(b);

    table = anycast_table_create(&replica->key, replica->revision, n,
                                 shash_count(&b->hosts));
    if (!table) {
        out_of_memory();
    }
    for (i = 0; i < n; i++) {
        bool added = groups[i] && anycast_table_add(table, groups[i]);

        /* The replica has validated what a group is made of. */
        ovs_assert(added);
    }
    resolver_set_origin(resolver, vtep, ifindex);
    set_tunnels(b, replica, resolver, self, vtep, table);
    free(groups);
    return table;
}

size_t
table_builder_n_unresolved(const struct table_builder *b)
{
    return b->n_unresolved;
}
