#include "anycast/group.h"

#include <stdlib.h>
#include <string.h>

#include "encap/tunnel.h"

static_assert(sizeof(struct group_key) == 28, "no hidden padding");

enum { GROUP_ALIGNMENT = 64 };  /* A cache line. */
static_assert(offsetof(struct group, epoch) <= GROUP_ALIGNMENT,
              "what a packet of a known flow needs is in one cache line");

/* Where the parts of a group's one allocation begin. */
struct group_layout {
    size_t slots, previous, endpoints, candidates, quic, local, macs;
    size_t size;
};

void
group_key_init(struct group_key *key, uint32_t vni, struct inet_addr address,
               uint8_t protocol, uint16_t port, uint16_t port_last)
{
    memset(key, 0, sizeof *key);
    inet_addr_to_bytes(address, key->address);
    key->vni = vni;
    key->port = port;
    key->port_last = port_last;
    key->protocol = protocol;
}

/* 'key' in a form that is the same on all CPUs: see anycast/flow-hash.h. */
static uint64_t
group_key_seed(const struct group_key *key, const struct hash_key *hash_key)
{
    be32 vni = host_to_be32(key->vni);
    be16 port = host_to_be16(key->port);
    uint8_t bytes[24] = { 0 };

    memcpy(bytes, key->address, sizeof key->address);
    memcpy(bytes + 16, &vni, sizeof vni);
    memcpy(bytes + 20, &port, sizeof port);
    bytes[22] = key->protocol;
    return flow_hash_bytes(hash_key, bytes, sizeof bytes);
}

/* What a specification must be like. */

static bool
group_key_is_valid(const struct group_key *key)
{
    return (key->vni >= 1 && key->vni <= VNI_MAX && key->protocol
            && !key->pad[0] && !key->pad[1] && !key->pad[2]
            && (!key->port_last
                || (key->port && key->port_last >= key->port))
            && (key->protocol != IPPROTO_NR_ICMP || !key->port));
}

static bool
group_options_are_valid(const struct group_spec *spec)
{
    return ((unsigned int) spec->algorithm < N_ALGORITHMS
            && (spec->affinity == AFFINITY_FLOW
                || (spec->affinity == AFFINITY_SOURCE
                    && spec->affinity_timeout >= 1))
            && spec->affinity_timeout <= GROUP_MAX_AFFINITY_S
            && spec->ramp <= GROUP_MAX_RAMP_S
            && !(spec->flags & ~(GROUP_RESET_LOST | GROUP_REJECT
                                 | GROUP_MEASURED))
            && spec->quic_offset <= GROUP_MAX_QUIC_OFFSET
            && spec->quic_length <= GROUP_MAX_QUIC_ID
            && (!spec->quic_length
                || spec->key.protocol == IPPROTO_NR_UDP));
}

static bool
group_endpoints_are_valid(const struct group_spec *spec)
{
    uint8_t quic_bits = 8 * spec->quic_length;

    if (spec->n_endpoints > GROUP_MAX_ENDPOINTS) {
        return false;
    }
    for (size_t i = 0; i < spec->n_endpoints; i++) {
        const struct group_endpoint *e = &spec->endpoints[i];

        if (e->state > ENDPOINT_LOST) {
            return false;
        }
        if (e->state != ENDPOINT_ABSENT
            && (e->weight < 1 || e->weight > GROUP_MAX_WEIGHT
                || (quic_bits && quic_bits < 64 && e->quic_id >> quic_bits))) {
            return false;
        }
    }
    return true;
}

static bool
group_has_endpoint(const struct group_spec *spec, uint16_t endpoint)
{
    return (endpoint < spec->n_endpoints
            && spec->endpoints[endpoint].state != ENDPOINT_ABSENT);
}

static bool
group_slots_are_valid(const struct group_spec *spec)
{
    if (spec->n_slots < GROUP_MIN_SLOTS || spec->n_slots > GROUP_MAX_SLOTS
        || spec->n_slots & (spec->n_slots - 1)) {
        return false;
    }
    for (size_t i = 0; i < spec->n_slots; i++) {
        uint16_t owner = spec->slots[i];

        if (owner != GROUP_NO_ENDPOINT && !group_has_endpoint(spec, owner)) {
            return false;
        }
    }
    return true;
}

static bool
group_previous_is_valid(const struct group_spec *spec)
{
    size_t n = spec->previous ? spec->n_slots * GROUP_MAX_PREVIOUS : 0;

    for (size_t i = 0; i < n; i++) {
        if (spec->previous[i] >= GROUP_MAX_ENDPOINTS
            && spec->previous[i] != GROUP_NO_ENDPOINT) {
            return false;
        }
    }
    return true;
}

static bool
group_spec_is_valid(const struct group_spec *spec)
{
    return (spec->id >= 1 && spec->id <= GROUP_MAX_ID
            && group_key_is_valid(&spec->key)
            && group_options_are_valid(spec)
            && group_endpoints_are_valid(spec)
            && group_slots_are_valid(spec)
            && group_previous_is_valid(spec));
}

/* The parts of a group. */

static bool
group_has_previous(const struct group_spec *spec)
{
    size_t n = spec->previous ? spec->n_slots * GROUP_MAX_PREVIOUS : 0;

    for (size_t i = 0; i < n; i++) {
        if (group_has_endpoint(spec, spec->previous[i])) {
            return true;
        }
    }
    return false;
}

static bool
group_has_quic_id(const struct group_spec *spec, size_t endpoint)
{
    return (spec->quic_length && group_has_endpoint(spec, endpoint)
            && spec->endpoints[endpoint].quic_id);
}

static bool
group_is_local(const struct group_endpoint *endpoint)
{
    return endpoint->state != ENDPOINT_ABSENT && endpoint->local;
}

static size_t
group_count_local(const struct group_spec *spec)
{
    size_t n = 0;

    for (size_t i = 0; i < spec->n_endpoints; i++) {
        n += group_is_local(&spec->endpoints[i]);
    }
    return n;
}

static size_t
group_count_present(const struct group_spec *spec)
{
    size_t n = 0;

    for (size_t i = 0; i < spec->n_endpoints; i++) {
        n += group_has_endpoint(spec, i);
    }
    return n;
}

/* What the switches of endpoints are told about a packet of a flow that is
 * known: where others may be asked for it, that it need not be. */
static uint8_t
group_known_flags(const struct group_spec *spec)
{
    return (spec->algorithm <= ALGORITHM_HASH && group_has_previous(spec)
            ? CONTEXT_CLAIMED : 0);
}

static struct tunnel_geneve
group_make_geneve(const struct group_spec *spec, uint8_t flags)
{
    const struct context context = {
        .group = spec->id, .epoch = spec->epoch, .flags = flags,
    };
    struct tunnel_geneve geneve;

    tunnel_write_geneve(&geneve, spec->key.vni, sizeof geneve.opt, &context);
    return geneve;
}

/* Sets '*ofs' to where 'n' units of 'size' bytes go, and adds them. */
static void
group_layout_add(struct group_layout *layout, size_t *ofs, size_t n,
                 size_t size)
{
    *ofs = layout->size;
    layout->size += n * size;
    layout->size += -layout->size % GROUP_ALIGNMENT;
}

static struct group_layout
group_layout_for(const struct group_spec *spec, size_t n_candidates,
                 size_t n_quic)
{
    struct group_layout l = { .size = 0 };
    size_t group;

    group_layout_add(&l, &group, 1, sizeof(struct group));
    group_layout_add(&l, &l.slots, spec->n_slots, sizeof(uint16_t));
    group_layout_add(&l, &l.previous, (group_has_previous(spec)
                                       ? spec->n_slots * GROUP_MAX_PREVIOUS
                                       : 0), sizeof(uint16_t));
    group_layout_add(&l, &l.endpoints, spec->n_endpoints,
                     sizeof(struct group_endpoint));
    group_layout_add(&l, &l.candidates, n_candidates,
                     sizeof(struct group_candidate));
    group_layout_add(&l, &l.quic, n_quic, sizeof(uint16_t));
    group_layout_add(&l, &l.local, group_count_local(spec), sizeof(uint16_t));
    group_layout_add(&l, &l.macs, group_count_present(spec),
                     sizeof(uint16_t));
    return l;
}

/* Copies the previous owners of slots, those first that there are. */
static void
group_copy_previous(struct group *group, const struct group_spec *spec)
{
    for (size_t slot = 0; slot < spec->n_slots; slot++) {
        const uint16_t *from = &spec->previous[slot * GROUP_MAX_PREVIOUS];
        uint16_t *to = &group->previous[slot * GROUP_MAX_PREVIOUS];
        size_t n = 0;

        for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
            if (group_has_endpoint(spec, from[i])) {
                to[n++] = from[i];
            }
        }
        while (n < GROUP_MAX_PREVIOUS) {
            to[n++] = GROUP_NO_ENDPOINT;
        }
    }
}

static int
compare_candidates(const void *a_, const void *b_)
{
    const struct group_candidate *a = a_, *b = b_;

    return (a->tier != b->tier ? (a->tier < b->tier ? -1 : 1)
            : (a->endpoint > b->endpoint) - (a->endpoint < b->endpoint));
}

static uint32_t
greatest_common_divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;

        a = b;
        b = rest;
    }
    return a;
}

/* Sums up the weights of the tier that begins with 'c'.  Returns its size. */
static size_t
group_weigh_tier(const struct group *group, struct group_candidate *c,
                 size_t max)
{
    uint32_t unit = 0, sum = 0;
    size_t n;

    for (n = 0; n < max && c[n].tier == c->tier; n++) {
        unit = greatest_common_divisor(
            unit, group->endpoints[c[n].endpoint].weight);
    }
    for (size_t i = 0; i < n; i++) {
        sum += group->endpoints[c[i].endpoint].weight / unit;
        c[i].weight_sum = sum;
    }
    return n;
}

static void
group_fill_candidates(struct group *group)
{
    /* Who goes by what is measured has no use for tiers. */
    bool tiers = !(group->algorithm == ALGORITHM_NEAREST
                   && group->flags & GROUP_MEASURED);
    size_t n = 0;

    group->oldest_up_at_s = UINT32_MAX;
    for (uint16_t i = 0; i < group->n_endpoints; i++) {
        const struct group_endpoint *e = &group->endpoints[i];

        if (e->state == ENDPOINT_UP) {
            group->candidates[n].endpoint = i;
            group->candidates[n].tier = tiers ? e->tier : 0;
            n++;
            if (e->up_at_s < group->oldest_up_at_s) {
                group->oldest_up_at_s = e->up_at_s;
            }
        }
    }
    qsort(group->candidates, n, sizeof *group->candidates,
          compare_candidates);
    for (size_t i = 0; i < n; ) {
        i += group_weigh_tier(group, &group->candidates[i], n - i);
    }
}

static int
compare_quic_ids(const void *a_, const void *b_, void *endpoints_)
{
    const struct group_endpoint *endpoints = endpoints_;
    const uint16_t *a = a_, *b = b_;
    uint64_t a_id = endpoints[*a].quic_id, b_id = endpoints[*b].quic_id;

    return (a_id > b_id) - (a_id < b_id);
}

/* Returns false if two endpoints have the same id. */
static bool
group_fill_quic(struct group *group, const struct group_spec *spec)
{
    size_t n = 0;

    for (uint16_t i = 0; i < group->n_endpoints; i++) {
        if (group_has_quic_id(spec, i)) {
            group->quic[n++] = i;
        }
    }
    qsort_r(group->quic, n, sizeof *group->quic, compare_quic_ids,
            group->endpoints);
    for (size_t i = 1; i < n; i++) {
        if (!compare_quic_ids(&group->quic[i - 1], &group->quic[i],
                              group->endpoints)) {
            return false;
        }
    }
    return true;
}

static int
compare_macs(const void *a_, const void *b_, void *endpoints_)
{
    const struct group_endpoint *endpoints = endpoints_;
    const uint16_t *a = a_, *b = b_;
    int order = memcmp(&endpoints[*a].mac, &endpoints[*b].mac,
                       sizeof(struct mac));

    return order ? order : (*a > *b) - (*a < *b);
}

static void
group_fill_macs(struct group *group)
{
    for (uint16_t i = 0; i < group->n_endpoints; i++) {
        if (group_is_local(&group->endpoints[i])) {
            group->local[group->n_local++] = i;
        }
        if (group->endpoints[i].state != ENDPOINT_ABSENT) {
            group->macs[group->n_macs++] = i;
        }
    }
    qsort_r(group->local, group->n_local, sizeof *group->local, compare_macs,
            group->endpoints);
    qsort_r(group->macs, group->n_macs, sizeof *group->macs, compare_macs,
            group->endpoints);
}

/* All of '*group' but what its pointers point to. */
static struct group
group_head(const struct group_spec *spec, const struct hash_key *key,
           char *base, const struct group_layout *layout)
{
    return (struct group) {
        .seed = group_key_seed(&spec->key, key),
        .geneve = group_make_geneve(spec, group_known_flags(spec)),
        .geneve_new = group_make_geneve(spec, CONTEXT_NEW_FLOW),
        .id = spec->id,
        .epoch = spec->epoch,
        .endpoints = (void *) (base + layout->endpoints),
        .slots = (void *) (base + layout->slots),
        .previous = (group_has_previous(spec)
                     ? (void *) (base + layout->previous) : NULL),
        .n_endpoints = spec->n_endpoints,
        .algorithm = spec->algorithm,
        .affinity = spec->affinity,
        .slot_bits = __builtin_ctzl(spec->n_slots),
        .plain = (spec->affinity == AFFINITY_FLOW
                  && spec->algorithm != ALGORITHM_HASH
                  && !spec->quic_length),
        .begins_plain = (spec->affinity == AFFINITY_FLOW
                         && spec->algorithm == ALGORITHM_WEIGHTED
                         && !spec->quic_length && !spec->ramp
                         && !(spec->flags & GROUP_RESET_LOST)),
        .flags = spec->flags,
        .quic_offset = spec->quic_offset,
        .quic_length = spec->quic_length,
        .affinity_timeout = spec->affinity_timeout,
        .ramp = spec->ramp,
        .key = spec->key,
        .load = spec->load,
        .candidates = (void *) (base + layout->candidates),
        .quic = (void *) (base + layout->quic),
        .local = (void *) (base + layout->local),
        .macs = (void *) (base + layout->macs),
    };
}

struct group *
group_create(const struct group_spec *spec, const struct hash_key *key)
{
    if (!group_spec_is_valid(spec)) {
        return NULL;
    }

    size_t n_candidates = 0, n_quic = 0;

    for (size_t i = 0; i < spec->n_endpoints; i++) {
        n_candidates += spec->endpoints[i].state == ENDPOINT_UP;
        n_quic += group_has_quic_id(spec, i);
    }

    struct group_layout layout = group_layout_for(spec, n_candidates, n_quic);
    struct group *group = aligned_alloc(GROUP_ALIGNMENT, layout.size);

    if (!group) {
        return NULL;
    }
    *group = group_head(spec, key, (char *) group, &layout);
    group->n_candidates = n_candidates;
    group->n_quic = n_quic;
    memcpy(group->slots, spec->slots, spec->n_slots * sizeof *spec->slots);
    if (spec->n_endpoints) {
        memcpy(group->endpoints, spec->endpoints,
               spec->n_endpoints * sizeof *spec->endpoints);
    }
    if (group->previous) {
        group_copy_previous(group, spec);
    }
    group_fill_candidates(group);
    group_fill_macs(group);
    if (!group_fill_quic(group, spec)) {
        group_destroy(group);
        return NULL;
    }
    return group;
}

void
group_destroy(struct group *group)
{
    free(group);
}

uint16_t
group_find_quic(const struct group *group, uint64_t id)
{
    size_t low = 0, high = group->n_quic;

    while (low < high) {
        size_t middle = (low + high) / 2;
        uint64_t found = group->endpoints[group->quic[middle]].quic_id;

        if (found == id) {
            return group->quic[middle];
        } else if (found < id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return GROUP_NO_ENDPOINT;
}

/* The first of the 'n' 'endpoints', which are sorted by MAC, with 'mac'; or
 * GROUP_NO_ENDPOINT. */
static uint16_t
find_by_mac(const struct group *group, const uint16_t *endpoints, size_t n,
            const struct mac *mac)
{
    size_t low = 0, high = n;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (memcmp(&group->endpoints[endpoints[middle]].mac, mac,
                   sizeof *mac) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return (low < n && !memcmp(&group->endpoints[endpoints[low]].mac, mac,
                               sizeof *mac)
            ? endpoints[low] : GROUP_NO_ENDPOINT);
}

uint16_t
group_find_local(const struct group *group, const struct mac *mac)
{
    return find_by_mac(group, group->local, group->n_local, mac);
}

uint16_t
group_find_mac(const struct group *group, const struct mac *mac)
{
    return find_by_mac(group, group->macs, group->n_macs, mac);
}
