#include <config.h>
#include "tests/unit/replica-model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "anycast/group.h"
#include "mapping/slot-codec.h"
#include "util.h"

static const char *const states[] = { "up", "draining", "down" };

static uint64_t random_state;

void
model_seed(uint64_t seed)
{
    random_state = seed;
}

uint32_t
model_random(uint32_t n)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (random_state >> 33) % n;
}

static void
empty_tables(struct model_group *g)
{
    memset(g->slots, 0xff, sizeof g->slots);
    memset(g->previous, 0xff, sizeof g->previous);
}

void
model_init(struct model *m)
{
    memset(m, 0, sizeof *m);
    m->next_id = 1;
    for (int i = 0; i < MODEL_GROUPS; i++) {
        empty_tables(&m->groups[i]);
    }
}

/* Groups 0 and 1 are of VNI 1, 2 and 3 of VNI 2, and so on; names repeat. */
static int
group_vni(int i)
{
    return i / 2 + 1;
}

static const char *
group_name(int i)
{
    return i % 2 ? "b" : "a";
}

/* Changes. */

static int
random_host(const struct model *m)
{
    int start = model_random(MODEL_HOSTS);

    for (int i = 0; i < MODEL_HOSTS; i++) {
        if (m->hosts[(start + i) % MODEL_HOSTS].exists) {
            return (start + i) % MODEL_HOSTS;
        }
    }
    return -1;
}

static bool
is_host_used(const struct model *m, int host)
{
    for (int i = 0; i < MODEL_GROUPS; i++) {
        for (int j = 0; m->groups[i].exists && j < MODEL_ENDPOINTS; j++) {
            const struct model_endpoint *e = &m->groups[i].endpoints[j];

            if (e->exists && e->host == host) {
                return true;
            }
        }
    }
    return false;
}

/* A number that no existing host has. */
static int
free_vtep(const struct model *m)
{
    for (;;) {
        int vtep = 1 + model_random(2 * MODEL_HOSTS);
        int i = 0;

        while (i < MODEL_HOSTS
               && !(m->hosts[i].exists && m->hosts[i].vtep == vtep)) {
            i++;
        }
        if (i == MODEL_HOSTS) {
            return vtep;
        }
    }
}

static void
change_host(struct model *m, int i)
{
    struct model_host *host = &m->hosts[i];
    struct model_host *other = &m->hosts[model_random(MODEL_HOSTS)];

    if (!host->exists) {
        host->vtep = free_vtep(m);
        host->encap = model_random(2);
        host->exists = true;
        host->dead = false;
    } else if (!model_random(4)) {
        host->dead = !host->dead;
    } else if (model_random(2) && !is_host_used(m, i)) {
        host->exists = false;
    } else if (other->exists) {
        int vtep = host->vtep;

        host->vtep = other->vtep;
        other->vtep = vtep;
    } else {
        host->vtep = free_vtep(m);
    }
}

static void
change_endpoint(struct model *m, struct model_group *g)
{
    struct model_endpoint *e = &g->endpoints[model_random(MODEL_ENDPOINTS)];
    int host = random_host(m);

    if (host < 0) {
        return;
    }
    if (!e->exists) {
        e->exists = true;
        e->index = m->next_index++ % GROUP_MAX_ENDPOINTS;
        e->mac = e->index;
        e->weight = 100;
        e->state = model_random(4) ? 0 : 1 + model_random(2);
        e->host = host;
    } else {
        switch (model_random(4)) {
        case 0:
            e->exists = false;
            break;
        case 1:
            e->weight = 1 + model_random(1000);
            break;
        case 2:
            e->state = model_random(3);
            break;
        case 3:
            e->host = host;
            break;
        }
    }
}

/* Any owners that can be. */
static bool
change_previous(struct model_group *g)
{
    uint16_t keeps[MODEL_ENDPOINTS];
    bool changed = false;
    int n = 0;

    for (int i = 0; i < MODEL_ENDPOINTS; i++) {
        if (g->endpoints[i].exists && g->endpoints[i].state != 2) {
            keeps[n++] = g->endpoints[i].index;
        }
    }
    for (int i = 0; i < MODEL_SLOTS; i++) {
        uint16_t had[2] = { GROUP_NO_ENDPOINT, GROUP_NO_ENDPOINT };
        int n_had = 0;

        for (int j = model_random(3); n > 2 && !model_random(20) && j; j--) {
            uint16_t owner = keeps[model_random(n)];

            if (owner != g->slots[i] && (!n_had || owner != had[0])) {
                had[n_had++] = owner;
            }
        }
        for (int j = 0; j < 2; j++) {
            changed |= g->previous[j][i] != had[j];
            g->previous[j][i] = had[j];
        }
    }
    return changed;
}

/* Takes the slots of those that may not have any, and some others. */
static void
change_slots(struct model_group *g)
{
    uint16_t up[MODEL_ENDPOINTS];
    bool changed = false;
    int n_up = 0;

    for (int i = 0; i < MODEL_ENDPOINTS; i++) {
        if (g->endpoints[i].exists && !g->endpoints[i].state) {
            up[n_up++] = g->endpoints[i].index;
        }
    }
    for (int i = 0; i < MODEL_SLOTS; i++) {
        int j = 0;

        while (j < n_up && up[j] != g->slots[i]) {
            j++;
        }
        if (j < n_up && model_random(100)) {
            continue;
        }
        j = n_up ? up[model_random(n_up)] : GROUP_NO_ENDPOINT;
        changed |= j != g->slots[i];
        g->slots[i] = j;
    }
    changed |= change_previous(g);
    g->epoch += changed;
}

static void
change_group(struct model *m, int i)
{
    struct model_group *g = &m->groups[i];
    struct model_group *other = &m->groups[i ^ 1]; /* In the same VNI. */

    if (!g->exists) {
        memset(g, 0, sizeof *g);
        empty_tables(g);
        g->exists = true;
        g->id = m->next_id++;
        g->address = 2 * MODEL_GROUPS + i;
        if (other->exists && other->address == g->address) {
            g->address = 2 * MODEL_GROUPS + (i ^ 1);
        }
        g->port = model_random(2) * 80;
    } else if (!model_random(6)) {
        g->exists = false;
        return;
    } else if (!model_random(4)) {
        g->affinity = model_random(2);
    } else if (other->exists && !model_random(4)) {
        int address = g->address;

        g->address = other->address;
        other->address = address;
    }
    for (int j = model_random(4); j > 0; j--) {
        change_endpoint(m, g);
    }
    change_slots(g);
}

void
model_change(struct model *m)
{
    m->revision++;
    for (int i = model_random(4); i > 0; i--) {
        if (model_random(3)) {
            change_group(m, model_random(MODEL_GROUPS));
        } else {
            change_host(m, model_random(MODEL_HOSTS));
        }
    }
    if (!model_random(3)) {
        struct model_record *r = &m->records[model_random(MODEL_RECORDS)];

        r->exists = !r->exists || model_random(3);
        r->address = 1 + model_random(200);
    }
}

/* Messages. */

static struct json *
host_to_json(const struct model *m, int i)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "kind", "host");
    json_object_put_format(json, "name", "h%d", i);
    json_object_put_format(json, "vtep", "192.0.2.%d", m->hosts[i].vtep);
    json_object_put_string(json, "encap",
                           m->hosts[i].encap ? "vxlan" : "geneve");
    return json;
}

static struct json *
endpoint_to_json(const struct model_endpoint *e, int group, int i)
{
    struct json *json = json_object_create();
    struct json *record = json_object_create();

    json_object_put_string(record, "kind", "endpoint");
    json_object_put(record, "vni", json_integer_create(group_vni(group)));
    json_object_put_string(record, "group", group_name(group));
    json_object_put_format(record, "name", "e%d", i);
    json_object_put_format(record, "host", "h%d", e->host);
    json_object_put_format(record, "mac", "02:00:00:00:%02x:%02x",
                           e->mac >> 8, e->mac & 0xff);
    json_object_put(record, "weight", json_integer_create(e->weight));
    json_object_put_string(record, "state", states[e->state]);
    json_object_put(json, "record", record);
    json_object_put(json, "index", json_integer_create(e->index));
    json_object_put(json, "up_ms",
                    json_integer_create(model_random(2) ? INT32_MAX
                                        : model_random(100000)));
    return json;
}

static bool
same_endpoint(const struct model_endpoint *a, const struct model_endpoint *b)
{
    return (a->exists && b->exists && a->host == b->host && a->mac == b->mac
            && a->weight == b->weight && a->state == b->state
            && a->index == b->index);
}

/* A difference need not name endpoints that are as they were, but may. */
static void
put_endpoints(struct json *json, const struct model_group *g, int i,
              const struct model_group *from)
{
    struct json *endpoints = json_array_create_empty();
    struct json *removed = json_array_create_empty();

    for (int j = 0; j < MODEL_ENDPOINTS; j++) {
        const struct model_endpoint *e = &g->endpoints[j];

        if (e->exists && !(from && same_endpoint(e, &from->endpoints[j])
                           && model_random(4))) {
            json_array_add(endpoints, endpoint_to_json(e, i, j));
        } else if (from && from->endpoints[j].exists && !e->exists) {
            json_array_add(removed, json_string_create_nocopy(
                               xasprintf("e%d", j)));
        }
    }
    json_object_put(json, "endpoints", endpoints);
    if (from) {
        json_object_put(json, "endpoints_removed", removed);
    } else {
        json_destroy(removed);
    }
}

static void
put_contents(struct json *json, const struct model *m, int i,
             const struct model_group *from)
{
    struct json *previous = json_array_create_empty();
    const struct model_group *g = &m->groups[i];

    put_endpoints(json, g, i, from);
    json_object_put(json, "epoch", json_integer_create(g->epoch));
    json_object_put(json, "slots", json_string_create_nocopy(
                        slot_codec_encode(from ? from->slots : NULL, g->slots,
                                          MODEL_SLOTS)));
    for (int j = 0; j < 2; j++) {
        json_array_add(previous, json_string_create_nocopy(
                           slot_codec_encode(from ? from->previous[j] : NULL,
                                             g->previous[j], MODEL_SLOTS)));
    }
    json_object_put(json, "previous", previous);
}

static struct json *
group_to_json(const struct model *m, int i)
{
    const struct model_group *g = &m->groups[i];
    struct json *json = json_object_create();
    struct json *record = json_object_create();

    json_object_put_string(record, "kind", "group");
    json_object_put(record, "vni", json_integer_create(group_vni(i)));
    json_object_put_string(record, "name", group_name(i));
    json_object_put_format(record, "address", "10.0.0.%d", g->address);
    json_object_put_string(record, "protocol", "tcp");
    json_object_put(record, "port", json_integer_create(g->port));
    json_object_put_string(record, "algorithm", "weighted");
    json_object_put_string(record, "affinity",
                           g->affinity ? "source" : "flow");
    json_object_put(record, "slots", json_integer_create(MODEL_SLOTS));
    json_object_put(json, "record", record);
    json_object_put(json, "id", json_integer_create(g->id));
    put_contents(json, m, i, NULL);
    return json;
}

static struct json *
group_key_to_json(int i)
{
    struct json *json = json_object_create();

    json_object_put(json, "vni", json_integer_create(group_vni(i)));
    json_object_put_string(json, "name", group_name(i));
    return json;
}

/* Workloads and VIPs; 'address' is 0 for the key members only. */
static struct json *
record_to_json_at(int i, int address)
{
    struct json *json = json_object_create();

    json_object_put_string(json, "kind", i % 2 ? "workload" : "vip");
    json_object_put(json, "vni", json_integer_create(1 + i / 2));
    json_object_put_format(json, "name", "r%d", i);
    if (address) {
        json_object_put_format(json, "address", "10.9.0.%d", address);
        json_object_put_string(json, i % 2 ? "host" : "gateway", "h0");
    }
    if (address && i % 2) {
        json_object_put_format(json, "mac", "02:00:00:00:09:%02x", i);
    }
    return json;
}

struct json *
model_snapshot(const struct model *m)
{
    struct json *json = json_object_create();
    struct json *hosts = json_array_create_empty();
    struct json *groups = json_array_create_empty();
    struct json *dead = json_array_create_empty();
    struct json *records = json_array_create_empty();

    for (int i = 0; i < MODEL_HOSTS; i++) {
        if (m->hosts[i].exists) {
            json_array_add(hosts, host_to_json(m, i));
        }
        if (m->hosts[i].exists && m->hosts[i].dead) {
            json_array_add(dead, json_string_create_nocopy(
                               xasprintf("h%d", i)));
        }
    }
    json_object_put(json, "dead", dead);
    for (int i = 0; i < MODEL_GROUPS; i++) {
        if (m->groups[i].exists) {
            json_array_add(groups, group_to_json(m, i));
        }
    }
    json_object_put(json, "revision", json_integer_create(m->revision));
    json_object_put_string(json, "hash_key",
                           "0123456789abcdeffedcba9876543210");
    json_object_put(json, "hosts", hosts);
    json_object_put(json, "groups", groups);
    for (int i = 0; i < MODEL_RECORDS; i++) {
        if (m->records[i].exists) {
            json_array_add(records, record_to_json_at(
                               i, m->records[i].address));
        }
    }
    json_object_put(json, "records", records);
    return json;
}

/* Adds {'name': 'value'} to the array 'changes', in a random place. */
static void
add_change(struct json *changes, const char *name, struct json *value)
{
    struct json *change = json_object_create();
    size_t i = model_random(changes->array.n + 1);

    json_object_put(change, name, value);
    json_array_add(changes, change);
    changes->array.elems[changes->array.n - 1] = changes->array.elems[i];
    changes->array.elems[i] = change;
}

static void
add_group_change(struct json *changes, const struct model *before,
                 const struct model *after, int i)
{
    const struct model_group *a = &before->groups[i];
    const struct model_group *b = &after->groups[i];
    struct json *json;

    if (a->exists && b->exists && a->id == b->id && a->address == b->address
        && a->affinity == b->affinity && model_random(5)) {
        json = group_key_to_json(i);
        json_object_put(json, "from_epoch", json_integer_create(a->epoch));
        put_contents(json, after, i, a);
        add_change(changes, "group_delta", json);
    } else if (b->exists) {
        add_change(changes, "group", group_to_json(after, i));
    } else if (a->exists) {
        add_change(changes, "group_removed", group_key_to_json(i));
    }
}

struct json *
model_update(const struct model *before, const struct model *after)
{
    struct json *json = json_object_create();
    struct json *changes = json_array_create_empty();

    for (int i = 0; i < MODEL_HOSTS; i++) {
        const struct model_host *a = &before->hosts[i], *b = &after->hosts[i];

        if (b->exists && (!a->exists || a->vtep != b->vtep
                          || a->encap != b->encap)) {
            add_change(changes, "host", host_to_json(after, i));
        } else if (a->exists && !b->exists) {
            add_change(changes, "host_removed",
                       json_string_create_nocopy(xasprintf("h%d", i)));
        }
    }
    for (int i = 0; i < MODEL_GROUPS; i++) {
        if (memcmp(&before->groups[i], &after->groups[i],
                   sizeof before->groups[i])) {
            add_group_change(changes, before, after, i);
        }
    }
    for (int i = 0; i < MODEL_RECORDS; i++) {
        const struct model_record *a = &before->records[i];
        const struct model_record *b = &after->records[i];

        if (b->exists && (!a->exists || a->address != b->address)) {
            add_change(changes, "record", record_to_json_at(i, b->address));
        } else if (a->exists && !b->exists) {
            add_change(changes, "record_removed", record_to_json_at(i, 0));
        }
    }
    /* A host must be there before it can die: these come last. */
    for (int i = 0; i < MODEL_HOSTS; i++) {
        const struct model_host *a = &before->hosts[i], *b = &after->hosts[i];

        if (b->exists && b->dead != (a->exists && a->dead)) {
            struct json *alive = json_object_create();
            struct json *change = json_object_create();

            json_object_put_format(alive, "name", "h%d", i);
            json_object_put(alive, "alive", json_boolean_create(!b->dead));
            json_object_put(change, "host_alive", alive);
            json_array_add(changes, change);
        }
    }
    json_object_put(json, "revision", json_integer_create(after->revision));
    json_object_put(json, "changes", changes);
    return json;
}

/* Checks. */

static void
check_endpoints(const struct model_group *g, const struct replica_group *r)
{
    size_t n = 0;

    for (int j = 0; j < MODEL_ENDPOINTS; j++) {
        const struct model_endpoint *e = &g->endpoints[j];
        const struct replica_endpoint *found = NULL;
        char name[16], host[16];

        if (!e->exists) {
            continue;
        }
        n++;
        snprintf(name, sizeof name, "e%d", j);
        snprintf(host, sizeof host, "h%d", e->host);
        for (size_t k = 0; k < r->n_endpoints; k++) {
            if (r->endpoints[k].index == e->index) {
                found = &r->endpoints[k];
            }
        }
        assert_non_null(found);
        assert_string_equal(found->record.name, name);
        assert_string_equal(found->record.host, host);
        assert_int_equal(found->record.weight, e->weight);
        assert_int_equal(found->record.state, ENDPOINT_UP + e->state);
        assert_int_equal(found->record.mac.octet[4], e->mac >> 8);
        assert_int_equal(found->record.mac.octet[5], e->mac & 0xff);
    }
    assert_int_equal(r->n_endpoints, n);
    for (int i = 0; i < GROUP_MAX_ENDPOINTS; i++) {
        const struct replica_endpoint *found = NULL;

        for (size_t k = 0; k < r->n_endpoints; k++) {
            found = r->endpoints[k].index == i ? &r->endpoints[k] : found;
        }
        assert_ptr_equal(replica_find_endpoint(r, i), found);
    }
}

static void
check_previous(const struct model_group *g, const struct replica_group *r)
{
    bool any = false;

    for (int i = 0; i < 2 * MODEL_SLOTS; i++) {
        uint16_t expected = g->previous[i % 2][i / 2];

        any |= expected != GROUP_NO_ENDPOINT;
        assert_int_equal(r->previous ? r->previous[i] : GROUP_NO_ENDPOINT,
                         expected);
    }
    assert_int_equal(any, r->previous != NULL);
}

size_t
model_count_records(const struct replica *replica)
{
    size_t n = 0;

    for (int kind = 0; kind < N_RECORD_KINDS; kind++) {
        n += hmap_count(&replica->records[kind]);
    }
    return n;
}

void
model_check(const struct model *m, const struct replica *replica)
{
    size_t n_hosts = 0, n_groups = 0, n_records = 0;

    for (int i = 0; i < MODEL_HOSTS; i++) {
        const struct replica_host *r;
        char name[16];

        snprintf(name, sizeof name, "h%d", i);
        r = replica_find_host(replica, name);
        assert_int_equal(!!r, m->hosts[i].exists);
        if (r) {
            n_hosts++;
            assert_int_equal(inet_addr_to4(r->record.vtep),
                             0xc0000200 + m->hosts[i].vtep);
            assert_int_equal(r->alive, !m->hosts[i].dead);
            assert_int_equal(r->record.encap,
                             m->hosts[i].encap ? TUNNEL_VXLAN : TUNNEL_GENEVE);
        }
    }
    for (int i = 0; i < MODEL_GROUPS; i++) {
        const struct model_group *g = &m->groups[i];
        const struct replica_group *r = replica_find_group(
            replica, group_vni(i), group_name(i));

        assert_int_equal(!!r, g->exists);
        if (r) {
            n_groups++;
            assert_int_equal(r->id, g->id);
            assert_int_equal(r->epoch, g->epoch);
            assert_int_equal(r->record.address[15], g->address);
            assert_int_equal(r->record.port, g->port);
            assert_int_equal(r->record.affinity,
                             g->affinity ? AFFINITY_SOURCE : AFFINITY_FLOW);
            assert_memory_equal(r->slots, g->slots, sizeof g->slots);
            check_previous(g, r);
            check_endpoints(g, r);
        }
    }
    for (int i = 0; i < MODEL_RECORDS; i++) {
        struct json *json = record_to_json_at(i, 0);
        const struct replica_record *r;
        struct record key;

        assert_int_equal(record_key_from_json(json, &key, NULL), 0);
        r = replica_find_record(replica, &key);
        assert_int_equal(!!r, m->records[i].exists);
        if (r) {
            struct inet_addr address = (i % 2 ? r->record.workload.address
                                        : r->record.vip.address);

            n_records++;
            assert_int_equal(inet_addr_to4(address),
                             0x0a090000 + m->records[i].address);
        }
        json_destroy(json);
    }
    assert_int_equal(model_count_records(replica), n_records);
    assert_int_equal(hmap_count(&replica->hosts), n_hosts);
    assert_int_equal(hmap_count(&replica->groups), n_groups);
    assert_int_equal(replica->revision, m->revision);
}

static void
check_group_alone(const struct replica *replica, const struct replica_group *g)
{
    bool up[GROUP_MAX_ENDPOINTS] = { false };
    bool keeps[GROUP_MAX_ENDPOINTS] = { false };

    assert_in_range(g->id, 1, GROUP_MAX_ID);
    for (size_t i = 0; i < g->n_endpoints; i++) {
        const struct record_endpoint *e = &g->endpoints[i].record;

        assert_non_null(replica_find_host(replica, e->host));
        assert_in_range(g->endpoints[i].index, 0, GROUP_MAX_ENDPOINTS - 1);
        assert_string_equal(e->group, g->record.name);
        assert_int_equal(e->vni, g->record.vni);
        up[g->endpoints[i].index] = e->state == ENDPOINT_UP;
        keeps[g->endpoints[i].index] = e->state != ENDPOINT_DOWN;
        for (size_t j = 0; j < i; j++) {
            assert_true(g->endpoints[j].index < g->endpoints[i].index);
            assert_string_not_equal(g->endpoints[j].record.name, e->name);
            assert_memory_not_equal(&g->endpoints[j].record.mac, &e->mac,
                                    sizeof e->mac);
        }
    }
    for (size_t i = 0; i < g->record.n_slots; i++) {
        assert_true(g->slots[i] == GROUP_NO_ENDPOINT
                    || (g->slots[i] < GROUP_MAX_ENDPOINTS && up[g->slots[i]]));
        for (int j = 0; g->previous && j < 2; j++) {
            uint16_t owner = g->previous[2 * i + j];

            assert_true(owner == GROUP_NO_ENDPOINT
                        || (owner < GROUP_MAX_ENDPOINTS && keeps[owner]
                            && owner != g->slots[i]));
            assert_true(!j || owner == GROUP_NO_ENDPOINT
                        || (g->previous[2 * i] != GROUP_NO_ENDPOINT
                            && g->previous[2 * i] != owner));
        }
    }
}

void
model_check_consistent(const struct replica *replica)
{
    const struct replica_group *g, *g2;
    const struct replica_host *h, *h2;

    HMAP_FOR_EACH (g, node, &replica->groups) {
        check_group_alone(replica, g);
        HMAP_FOR_EACH (g2, node, &replica->groups) {
            if (g != g2) {
                assert_true(g->id != g2->id);
                assert_true(g->record.vni != g2->record.vni
                            || strcmp(g->record.name, g2->record.name));
                assert_true(g->record.vni != g2->record.vni
                            || g->record.port != g2->record.port
                            || g->record.port_last != g2->record.port_last
                            || g->record.protocol != g2->record.protocol
                            || memcmp(g->record.address, g2->record.address,
                                      16));
            }
        }
    }
    HMAP_FOR_EACH (h, node, &replica->hosts) {
        HMAP_FOR_EACH (h2, node, &replica->hosts) {
            assert_true(h == h2 || (!inet_addr_equal(h->record.vtep,
                                                     h2->record.vtep)
                                    && strcmp(h->record.name,
                                              h2->record.name)));
        }
    }
    assert_int_equal(hmap_count(&replica->by_id),
                     hmap_count(&replica->groups));
    assert_int_equal(hmap_count(&replica->by_key),
                     hmap_count(&replica->groups));
    assert_int_equal(hmap_count(&replica->by_vtep),
                     hmap_count(&replica->hosts));
}
