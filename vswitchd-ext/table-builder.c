#include <config.h>

#include "vswitchd-ext/table-builder.h"

#include <string.h>

#include "anycast/anycast-table.h"
#include "anycast/load.h"
#include "hash.h"
#include "mapping/replica/replica.h"
#include "openvswitch/hmap.h"
#include "openvswitch/shash.h"
#include "ovs-rcu.h"
#include "sset.h"
#include "util.h"
#include "vswitchd-ext/resolver.h"

enum {
    OUTER_TTL = 64,
    /* Hosts are numbered anew when more numbers than these, and more than
     * half of them, are out of use. */
    SPARE_HOSTS = 64,
};

/* What has been seen of an endpoint, and whose it is: an index may be given to
 * another endpoint one day. */
struct built_load {
    struct endpoint_load *load; /* NULL: none yet. */
    record_name name;
    struct mac mac;
};

/* A group built from the replica's group of that id.  The loads live longer
 * than 'group', as long as there is a group of that id. */
struct built_group {
    struct hmap_node node;      /* In table_builder->groups, by id. */
    struct group *group;
    uint32_t id;
    uint64_t changed;           /* replica_group->changed it was built from. */
    uint64_t premises;          /* What it was built with besides that. */
    bool seen;                  /* In the table being built. */
    struct group_load *load;
    struct built_load *loads;   /* By endpoint index. */
    size_t n_loads;
};

/* Something that the packet path may still use. */
struct retired {
    void (*destroy)(void *);
    void *thing;
};

struct table_builder {
    struct hmap groups;
    struct shash hosts;         /* Index in tunnels, by name.  Groups refer to
                                 * hosts by number: when hosts are numbered
                                 * anew, all groups are built anew. */
    struct retired *retired;    /* No longer in the last table. */
    size_t n_retired, allocated_retired;
    size_t n_unresolved;
    struct sset out_of_reach;   /* Hosts that the resolver has given up. */
    uint64_t n_numberings;      /* How often hosts were numbered anew. */
    uint64_t premises;          /* Digest of what all groups are built with
                                 * besides their own records. */
};

struct table_builder *
table_builder_create(void)
{
    struct table_builder *b = xzalloc(sizeof *b);

    hmap_init(&b->groups);
    shash_init(&b->hosts);
    sset_init(&b->out_of_reach);
    return b;
}

static void
retire(struct table_builder *b, void (*destroy)(void *), void *thing)
{
    if (b->n_retired >= b->allocated_retired) {
        b->retired = x2nrealloc(b->retired, &b->allocated_retired,
                                sizeof *b->retired);
    }
    b->retired[b->n_retired++] = (struct retired) { destroy, thing };
}

static void
destroy_group(void *group)
{
    group_destroy(group);
}

void
table_builder_published(struct table_builder *b)
{
    for (size_t i = 0; i < b->n_retired; i++) {
        /* ovsrcu_postpone() is for pointers to known types only. */
        ovsrcu_postpone__(b->retired[i].destroy, b->retired[i].thing);
    }
    b->n_retired = 0;
}

static void
retire_built(struct table_builder *b, struct built_group *built)
{
    retire(b, destroy_group, built->group);
    retire(b, free_cacheline, built->load);
    for (size_t i = 0; i < built->n_loads; i++) {
        if (built->loads[i].load) {
            retire(b, free_cacheline, built->loads[i].load);
        }
    }
    hmap_remove(&b->groups, &built->node);
    free(built->loads);
    free(built);
}

static void
retire_unseen(struct table_builder *b)
{
    struct built_group *built;

    HMAP_FOR_EACH_SAFE (built, node, &b->groups) {
        if (!built->seen) {
            retire_built(b, built);
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
        sset_destroy(&b->out_of_reach);
        free(b->retired);
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

/* How far 'host' is from 'self', in classes: the same host, rack, zone or
 * region, or none of these.  What has no label is nowhere near. */
static uint16_t
distance_class(const struct record_host *self, const struct record_host *host)
{
    enum { SAME_HOST, SAME_RACK, SAME_ZONE, SAME_REGION, ELSEWHERE };

    if (!strcmp(self->name, host->name)) {
        return SAME_HOST;
    }
    if (!self->region[0] || strcmp(self->region, host->region)) {
        return ELSEWHERE;
    }
    if (!self->zone[0] || strcmp(self->zone, host->zone)) {
        return SAME_REGION;
    }
    return (self->rack[0] && !strcmp(self->rack, host->rack)
            ? SAME_RACK : SAME_ZONE);
}

/* The tier of an endpoint, as its group's algorithm orders them. */
static uint16_t
endpoint_tier(const struct replica *replica, const char *self,
              const struct record_group *group,
              const struct record_endpoint *endpoint)
{
    const struct replica_host *here, *there;

    switch (group->algorithm) {
    case ALGORITHM_LEAST_COST:
        return endpoint->cost;

    case ALGORITHM_AVAILABILITY:
        return endpoint->priority;

    case ALGORITHM_NEAREST:
        here = replica_find_host(replica, self);
        there = replica_find_host(replica, endpoint->host);
        return (here && there && !group->measured_distance
                ? distance_class(&here->record, &there->record) : 0);

    default:
        return 0;
    }
}

/* The load of the endpoint 'r' with 'index', kept from the last time.  If it
 * was another endpoint's only the flows still count, for they go on here. */
static struct endpoint_load *
get_load(struct built_group *built, size_t index,
         const struct record_endpoint *r)
{
    if (index >= built->n_loads) {
        size_t n = index + 1;

        built->loads = xrealloc(built->loads, n * sizeof *built->loads);
        memset(&built->loads[built->n_loads], 0,
               (n - built->n_loads) * sizeof *built->loads);
        built->n_loads = n;
    }

    struct built_load *l = &built->loads[index];
    if (!l->load) {
        l->load = xzalloc_cacheline(sizeof *l->load);
        load_init(l->load);
    } else if (strcmp(l->name, r->name)
               || memcmp(&l->mac, &r->mac, sizeof l->mac)) {
        load_change(l->load);
    }
    ovs_strlcpy(l->name, r->name, sizeof l->name);
    l->mac = r->mac;
    return l->load;
}

static enum endpoint_state
endpoint_state(const struct replica *replica, const struct replica_endpoint *e)
{
    const struct record_endpoint *r = &e->record;
    const struct replica_host *host = replica_find_host(replica, r->host);
    bool serves = r->state == ENDPOINT_UP || r->state == ENDPOINT_DRAINING;

    /* One that is unbound is about to be somewhere: its flows wait. */
    return (serves && !record_is_bound(r) ? ENDPOINT_DRAINING
            : serves && host && !host->alive ? ENDPOINT_LOST
            : r->state == ENDPOINT_UP && e->unhealthy ? ENDPOINT_DRAINING
            : r->state);
}

/* Whether some endpoint of 'rg' takes new flows and can be reached. */
static bool
has_choice(const struct table_builder *b, const struct replica *replica,
           const struct replica_group *rg)
{
    for (size_t i = 0; i < rg->n_endpoints; i++) {
        const struct record_endpoint *r = &rg->endpoints[i].record;

        if (endpoint_state(replica, &rg->endpoints[i]) == ENDPOINT_UP
            && !sset_contains(&b->out_of_reach, r->host)) {
            return true;
        }
    }
    return false;
}

/* Has endpoints that cannot be reached keep what they have and take nothing
 * new, unless there would be nobody left. */
static void
pass_over(const struct table_builder *b, const struct replica *replica,
          const struct replica_group *rg, struct group_endpoint *endpoints)
{
    if (sset_is_empty(&b->out_of_reach) || !has_choice(b, replica, rg)) {
        return;
    }
    for (size_t i = 0; i < rg->n_endpoints; i++) {
        struct group_endpoint *e = &endpoints[rg->endpoints[i].index];

        if (e->state == ENDPOINT_UP
            && sset_contains(&b->out_of_reach, rg->endpoints[i].record.host)) {
            e->state = ENDPOINT_DRAINING;
        }
    }
}

/* The endpoints of 'rg' by index; the caller frees them. */
static struct group_endpoint *
build_endpoints(struct table_builder *b, struct built_group *built,
                const struct replica *replica, const struct replica_group *rg,
                const char *self, size_t *np)
{
    struct group_endpoint *endpoints;
    size_t n = 0;

    for (size_t i = 0; i < rg->n_endpoints; i++) {
        n = MAX(n, rg->endpoints[i].index + 1u);
    }
    endpoints = xcalloc(n + 1, sizeof *endpoints);
    for (size_t i = 0; i < rg->n_endpoints; i++) {
        const struct record_endpoint *r = &rg->endpoints[i].record;
        struct group_endpoint *e = &endpoints[rg->endpoints[i].index];

        e->mac = r->mac;
        e->state = endpoint_state(replica, &rg->endpoints[i]);
        e->local = !strcmp(r->host, self);
        e->host = host_index(b, r->host);
        e->weight = r->weight;
        e->tier = endpoint_tier(replica, self, &rg->record, r);
        e->up_at_s = MAX(rg->endpoints[i].up_at_ms, 0) / 1000;
        e->quic_id = r->quic_id.value;
        e->load = get_load(built, rg->endpoints[i].index, r);
    }
    pass_over(b, replica, rg, endpoints);
    *np = n;
    return endpoints;
}

static uint8_t
group_flags(const struct record_group *r)
{
    return ((r->reset_on_host_death ? GROUP_RESET_LOST : 0)
            | (r->reject_when_empty ? GROUP_REJECT : 0)
            | (r->measured_distance ? GROUP_MEASURED : 0));
}

static struct group *
build_group(struct table_builder *b, struct built_group *built,
            const struct replica *replica, const struct replica_group *rg,
            const char *self)
{
    const struct record_group *r = &rg->record;
    struct group_spec spec;
    struct group *group;
    struct group_endpoint *endpoints;

    memset(&spec, 0, sizeof spec);
    group_key_init(&spec.key, r->vni, inet_addr_from_bytes(r->address),
                   r->protocol, r->port, r->port_last);
    spec.id = rg->id;
    spec.epoch = rg->epoch;
    spec.algorithm = r->algorithm;
    spec.affinity = r->affinity;
    spec.affinity_timeout = r->affinity_timeout;
    spec.ramp = r->ramp;
    spec.flags = group_flags(r);
    spec.quic_offset = r->quic_id_offset;
    spec.quic_length = r->quic_id_length;
    spec.slots = rg->slots;
    spec.previous = rg->previous;
    spec.n_slots = r->n_slots;
    spec.endpoints = endpoints = build_endpoints(b, built, replica, rg, self,
                                                 &spec.n_endpoints);
    spec.load = built->load;
    group = group_create(&spec, &replica->key);
    free(endpoints);
    return group;
}

static uint64_t
digest_add(uint64_t digest, const void *data, size_t size)
{
    const struct hash_key key = {
        { digest | 1, UINT64_C(0x9e3779b97f4a7c15) }
    };

    return flow_hash_bytes(&key, data, size);
}

/* A number that changes when other endpoints of 'rg' are out of reach. */
static uint64_t
digest_reach(const struct table_builder *b, const struct replica_group *rg)
{
    uint64_t digest = 0;

    if (sset_is_empty(&b->out_of_reach)) {
        return 0;
    }
    for (size_t i = 0; i < rg->n_endpoints; i++) {
        if (sset_contains(&b->out_of_reach, rg->endpoints[i].record.host)) {
            digest = digest_add(digest, &i, sizeof i);
        }
    }
    return digest;
}

/* The group for 'rg', built anew only if it has changed. */
static const struct group *
get_group(struct table_builder *b, const struct replica *replica,
          const struct replica_group *rg, const char *self)
{
    uint64_t premises = b->premises ^ digest_reach(b, rg);
    struct built_group *built;

    HMAP_FOR_EACH_WITH_HASH (built, node, hash_int(rg->id, 0), &b->groups) {
        if (built->id == rg->id) {
            break;
        }
    }
    if (!built) {
        built = xzalloc(sizeof *built);
        built->id = rg->id;
        built->load = xzalloc_cacheline(sizeof *built->load);
        hmap_insert(&b->groups, &built->node, hash_int(rg->id, 0));
    } else if (built->changed == rg->changed
               && built->premises == premises) {
        built->seen = true;
        return built->group;
    } else {
        retire(b, destroy_group, built->group);
    }
    built->group = build_group(b, built, replica, rg, self);
    built->changed = rg->changed;
    built->premises = premises;
    built->seen = true;
    return built->group;
}

/* Looks the ways to all hosts up.  A host that was found is kept resolved, and
 * the others are noted. */
static void
look_up_hosts(struct table_builder *b, const struct replica *replica,
              struct resolver *resolver, const char *self)
{
    const struct replica_host *host;
    struct resolver_hop hop;

    b->n_unresolved = 0;
    sset_clear(&b->out_of_reach);
    HMAP_FOR_EACH (host, node, &replica->hosts) {
        /* This one needs no way.  All others may send us packets, and then
         * get hints. */
        if (strcmp(host->record.name, self)
            && !resolver_lookup(resolver, host->record.vtep, &hop)) {
            b->n_unresolved++;
            if (resolver_gave_up(resolver, host->record.vtep)) {
                sset_add(&b->out_of_reach, host->record.name);
            }
        }
    }
}

static bool
get_tunnel(struct resolver *resolver, const struct record_host *host,
           struct inet_addr vtep, struct tunnel *tunnel)
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
            struct resolver *resolver, const char *self,
            struct inet_addr vtep, struct anycast_table *table)
{
    const struct replica_host *host;
    struct tunnel tunnel;

    HMAP_FOR_EACH (host, node, &replica->hosts) {
        if (strcmp(host->record.name, self)
            && get_tunnel(resolver, &host->record, vtep, &tunnel)) {
            uint32_t index = host_index(b, host->record.name);

            anycast_table_set_tunnel(table, index, &tunnel);
            anycast_table_set_vtep(table, index, host->record.vtep);
        }
    }
    resolver_forget_unused(resolver);
}

/* Forgets the hosts' numbers if most are those of hosts that are gone. */
static void
renumber_hosts(struct table_builder *b, const struct replica *replica)
{
    if (shash_count(&b->hosts)
        > 2 * hmap_count(&replica->hosts) + SPARE_HOSTS) {
        shash_clear(&b->hosts);
        b->n_numberings++;
    }
}

static uint64_t
digest_host(const struct record_host *r)
{
    const char *const names[] = { r->name, r->region, r->zone, r->rack };
    uint64_t digest = 1;

    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        digest = digest_add(digest, names[i], strlen(names[i]));
    }
    return digest;
}

/* A number that changes when a host's labels do.  Hosts without come and go,
 * and nobody is near them.  The order of hosts in the replica's table does not
 * matter.  (When a host dies, the replica marks its groups as changed.) */
static uint64_t
digest_labels(const struct replica *replica)
{
    const struct replica_host *host;
    uint64_t digest = 0;

    HMAP_FOR_EACH (host, node, &replica->hosts) {
        const struct record_host *r = &host->record;

        if (r->region[0] || r->zone[0] || r->rack[0]) {
            digest += digest_host(r);
        }
    }
    return digest;
}

/* A number that changes when any group must be built anew although its own
 * records are the same. */
static uint64_t
digest_premises(const struct table_builder *b, const struct replica *replica,
                const char *self)
{
    uint64_t digest = digest_labels(replica);

    digest = digest_add(digest, self, strlen(self));
    digest = digest_add(digest, &replica->key, sizeof replica->key);
    return digest_add(digest, &b->n_numberings, sizeof b->n_numberings);
}

struct anycast_table *
table_builder_build(struct table_builder *b, const struct replica *replica,
                    struct resolver *resolver, const char *self,
                    struct inet_addr vtep, int ifindex)
{
    size_t n = hmap_count(&replica->groups);
    const struct group **groups = xcalloc(n + 1, sizeof *groups);
    const struct replica_group *rg;
    const struct replica_host *host;
    struct anycast_table *table;
    size_t i = 0;

    resolver_set_origin(resolver, vtep, ifindex);
    look_up_hosts(b, replica, resolver, self);
    renumber_hosts(b, replica);
    b->premises = digest_premises(b, replica, self);
    HMAP_FOR_EACH (rg, node, &replica->groups) {
        groups[i++] = get_group(b, replica, rg, self);
    }
    retire_unseen(b);
    HMAP_FOR_EACH (host, node, &replica->hosts) {
        host_index(b, host->record.name);
    }

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
    set_tunnels(b, replica, resolver, self, vtep, table);
    free(groups);
    return table;
}

size_t
table_builder_n_unresolved(const struct table_builder *b)
{
    return b->n_unresolved;
}

void
table_builder_each_endpoint(const struct table_builder *b,
                            void (*each)(void *aux, const struct group *,
                                         uint16_t endpoint),
                            void *aux)
{
    const struct built_group *built;

    HMAP_FOR_EACH (built, node, &b->groups) {
        const struct group *group = built->group;

        for (size_t i = 0; i < group->n_endpoints; i++) {
            const struct group_endpoint *e = &group->endpoints[i];

            if (e->state != ENDPOINT_ABSENT && e->load) {
                each(aux, group, i);
            }
        }
    }
}
