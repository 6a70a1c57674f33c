/* Texts are made as JSON_SERIALIZED_OBJECT values: reference-counted strings
 * that the printer copies as they are, so that a thousand subscribers cost one
 * encoding and a thousand copies. */

#include <config.h>

#include "mapping/mapd/subscription.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "mapping/slot-codec.h"
#include "openvswitch/json.h"
#include "util.h"

struct subscription_view {
    struct hmap_node node;      /* By filter. */
    size_t n_refs;
    uint32_t *vnis;             /* Sorted; NULL for all. */
    size_t n_vnis;

    /* The last texts made, with their revisions.  NULL if there are none. */
    struct json *snapshot, *update;
    size_t snapshot_size;
    uint64_t snapshot_revision, update_revision;
    long long int snapshot_until; /* Then it is made anew all the same. */
};

/* How long a snapshot is good for that says of endpoints for how long they
 * have been coming up. */
enum { RAMP_MS = 1000 };

/* One change, as its text; of VNI 0 if all subscribers see it. */
struct change {
    uint32_t vni;
    struct json *text;
};

struct subscription_update {
    uint64_t revision;
    struct change *changes;
    size_t n, allocated;
};

/* Replaces 'json', which it destroys, by its text. */
static struct json *
to_text(struct json *json)
{
    struct json *text = json_serialized_object_create(json);

    json_destroy(json);
    return text;
}

/* Views. */

static int
compare_vnis(const void *a_, const void *b_)
{
    const uint32_t *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

/* Sorts the 'n' VNIs at 'vnis' and returns how many different ones there are,
 * which then come first. */
static size_t
sort_unique(uint32_t *vnis, size_t n)
{
    size_t unique = 0;

    qsort(vnis, n, sizeof *vnis, compare_vnis);
    for (size_t i = 0; i < n; i++) {
        if (!unique || vnis[i] != vnis[unique - 1]) {
            vnis[unique++] = vnis[i];
        }
    }
    return unique;
}

bool
subscription_view_sees(const struct subscription_view *view, uint32_t vni)
{
    return !vni || !view->vnis
           || bsearch(&vni, view->vnis, view->n_vnis, sizeof vni,
                      compare_vnis);
}

struct subscription_view *
subscription_view_get(struct hmap *views, const uint32_t *vnis, size_t n)
{
    struct subscription_view *view;
    uint32_t *sorted = NULL;
    uint32_t hash;

    if (vnis) {
        sorted = xmalloc(MAX(n, 1) * sizeof *sorted);
        memcpy(sorted, vnis, n * sizeof *sorted);
        n = sort_unique(sorted, n);
    } else {
        n = 0;
    }

    hash = hash_bytes32(sorted, n * sizeof *sorted, !vnis);
    HMAP_FOR_EACH_WITH_HASH (view, node, hash, views) {
        if (!view->vnis == !vnis && view->n_vnis == n
            && (!n || !memcmp(view->vnis, sorted, n * sizeof *sorted))) {
            free(sorted);
            view->n_refs++;
            return view;
        }
    }

    view = xzalloc(sizeof *view);
    view->n_refs = 1;
    view->vnis = sorted;
    view->n_vnis = n;
    hmap_insert(views, &view->node, hash);
    return view;
}

void
subscription_view_put(struct hmap *views, struct subscription_view *view)
{
    if (view && !--view->n_refs) {
        hmap_remove(views, &view->node);
        json_destroy(view->snapshot);
        json_destroy(view->update);
        free(view->vnis);
        free(view);
    }
}

/* Encoding. */

static struct json *
encode_record(enum record_kind kind, const void *contents)
{
    struct record record = { .kind = kind };

    switch (kind) {
    case RECORD_HOST:
        record.host = *(const struct record_host *) contents;
        break;
    case RECORD_GROUP:
        record.group = *(const struct record_group *) contents;
        break;
    case RECORD_ENDPOINT:
        record.endpoint = *(const struct record_endpoint *) contents;
        break;
    case N_RECORD_KINDS:
        OVS_NOT_REACHED();
    }
    return record_to_json(&record);
}

/* What is encoded, and when. */
struct encoder {
    const struct catalog *catalog;
    long long int now;
};

static long long int
up_ms(const struct encoder *e, const struct catalog_endpoint *endpoint)
{
    if (!catalog_endpoint_serves(e->catalog, endpoint)) {
        return 0;
    } else if (!endpoint->up_since) {
        return INT32_MAX;
    }
    return MIN(MAX(e->now - endpoint->up_since, 0), INT32_MAX);
}

/* Whether 'endpoint' gets nothing new because it is unwell, if others are
 * not. */
static bool
is_passed_over(const struct encoder *e, const struct catalog_group *group,
               const struct catalog_endpoint *endpoint)
{
    return (catalog_endpoint_serves(e->catalog, endpoint)
            && catalog_endpoint_sickness(e->catalog, group, endpoint));
}

static struct json *
encode_endpoints(const struct encoder *e, const struct catalog_group *group)
{
    bool all = catalog_group_fails_open(e->catalog, group);
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *endpoint = group->endpoints[i];
        struct json *json = json_object_create();

        json_object_put(json, "record",
                        encode_record(RECORD_ENDPOINT, &endpoint->record));
        json_object_put(json, "index", json_integer_create(endpoint->index));
        json_object_put(json, "up_ms",
                        json_integer_create(up_ms(e, endpoint)));
        if (!all && is_passed_over(e, group, endpoint)) {
            json_object_put(json, "healthy", json_boolean_create(false));
        }
        json_array_add(array, json);
    }
    return array;
}

/* The difference from 'from' to 'to', each of 'n' slots, or empty if NULL. */
static struct json *
encode_table(const uint16_t *from, const uint16_t *to, size_t n)
{
    uint16_t *empty = NULL;
    struct json *json;

    if (!from && !to) {
        return json_string_create("");
    } else if (!to) {
        empty = xmalloc(n * sizeof *empty);
        memset(empty, 0xff, n * sizeof *empty); /* GROUP_NO_ENDPOINT. */
    }
    json = json_string_create_nocopy(slot_codec_encode(from, to ? to : empty,
                                                       n));
    free(empty);
    return json;
}

/* The members that GROUP and group_delta share, as differences from 'from';
 * NULL: from nothing. */
static struct json *
encode_contents(const struct encoder *e, const struct catalog_group *group,
                const struct catalog_group *from)
{
    size_t n = group->record.n_slots;
    struct json *json = json_object_create();
    struct json *previous = json_array_create_empty();

    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        json_array_add(previous, encode_table(from ? from->previous[i] : NULL,
                                              group->previous[i], n));
    }
    json_object_put(json, "epoch", json_integer_create(group->epoch));
    json_object_put(json, "slots", encode_table(from ? from->slots : NULL,
                                                group->slots, n));
    json_object_put(json, "previous", previous);
    json_object_put(json, "endpoints", encode_endpoints(e, group));
    return json;
}

static struct json *
encode_group(const struct encoder *e, const struct catalog_group *group)
{
    struct json *json = encode_contents(e, group, NULL);

    json_object_put(json, "record",
                    encode_record(RECORD_GROUP, &group->record));
    json_object_put(json, "id", json_integer_create(group->id));
    return json;
}

static struct json *
encode_delta(const struct encoder *e, const struct catalog_group *group,
             const struct catalog_group *from)
{
    struct json *json = encode_contents(e, group, from);

    json_object_put(json, "vni", json_integer_create(group->record.vni));
    json_object_put_string(json, "name", group->record.name);
    json_object_put(json, "from_epoch", json_integer_create(from->epoch));
    return json;
}

/* Snapshots. */

/* Whether an endpoint is in its slow start. */
static bool
is_ramping(const struct encoder *e, const struct catalog_group *group)
{
    for (size_t i = 0; group->record.ramp && i < group->n_endpoints; i++) {
        if (group->endpoints[i]->up_since
            && up_ms(e, group->endpoints[i]) < group->record.ramp * 1000LL) {
            return true;
        }
    }
    return false;
}

/* Stores in '*ramping' whether the snapshot grows old fast. */
static struct json *
encode_snapshot(const struct encoder *e, const struct subscription_view *view,
                const struct hash_key *key, bool *ramping)
{
    struct json *snapshot = json_object_create();
    struct json *array = json_array_create_empty();
    struct json *dead = json_array_create_empty();
    const struct catalog *catalog = e->catalog;
    const struct catalog_group **groups;
    const struct record_host **hosts;
    size_t n;

    json_object_put(snapshot, "revision",
                    json_integer_create(catalog_revision(catalog)));
    json_object_put_format(snapshot, "hash_key", "%016"PRIx64"%016"PRIx64,
                           key->word[0], key->word[1]);

    hosts = catalog_hosts(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        json_array_add(array, encode_record(RECORD_HOST, hosts[i]));
        if (!catalog_host_is_alive(catalog, hosts[i]->name)) {
            json_array_add(dead, json_string_create(hosts[i]->name));
        }
    }
    free(hosts);
    json_object_put(snapshot, "hosts", array);
    json_object_put(snapshot, "dead", dead);

    *ramping = false;
    array = json_array_create_empty();
    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        if (subscription_view_sees(view, groups[i]->record.vni)) {
            json_array_add(array, encode_group(e, groups[i]));
            *ramping |= is_ramping(e, groups[i]);
        }
    }
    free(groups);
    json_object_put(snapshot, "groups", array);
    return snapshot;
}

struct json *
subscription_snapshot(struct subscription_view *view,
                      const struct catalog *catalog,
                      const struct hash_key *key, long long int now)
{
    const struct encoder e = { .catalog = catalog, .now = now };
    uint64_t revision = catalog_revision(catalog);
    bool ramping;

    if (!view->snapshot || view->snapshot_revision != revision
        || now >= view->snapshot_until) {
        json_destroy(view->snapshot);
        view->snapshot = to_text(encode_snapshot(&e, view, key, &ramping));
        view->snapshot_revision = revision;
        view->snapshot_until = ramping ? now + RAMP_MS : LLONG_MAX;
        view->snapshot_size = strlen(json_serialized_object(view->snapshot));
    }
    return json_clone(view->snapshot);
}

void
subscription_forget_others(const struct hmap *views,
                           const struct subscription_view *keep,
                           size_t max_bytes)
{
    struct subscription_view *view;
    size_t sum = 0;

    HMAP_FOR_EACH (view, node, views) {
        if (view->snapshot) {
            sum += view->snapshot_size;
        }
    }
    if (sum <= max_bytes) {
        return;
    }
    HMAP_FOR_EACH (view, node, views) {
        if (view != keep) {
            json_destroy(view->snapshot);
            view->snapshot = NULL;
        }
    }
}

/* Updates. */

/* Adds {'member': 'json'}; takes ownership of 'json'. */
static void
add_change(struct subscription_update *update, uint32_t vni,
           const char *member, struct json *json)
{
    struct json *object = json_object_create();

    json_object_put(object, member, json);
    if (update->n >= update->allocated) {
        update->changes = x2nrealloc(update->changes, &update->allocated,
                                     sizeof *update->changes);
    }
    update->changes[update->n++]
        = (struct change) { .vni = vni, .text = to_text(object) };
}

static const struct catalog_change *
find_change(const struct catalog_change *changes, size_t n,
            const struct record *key)
{
    size_t low = 0;

    while (low < n) {
        size_t middle = low + (n - low) / 2;
        const struct catalog_change *c = &changes[middle];
        int order = record_compare_keys(c->after ? c->after : c->before, key);

        if (!order) {
            return c;
        } else if (order < 0) {
            low = middle + 1;
        } else {
            n = middle;
        }
    }
    return NULL;
}

/* A difference carries no record, so a group whose record changed goes out
 * whole. */
static void
add_group(struct subscription_update *update, const struct encoder *e,
          const struct catalog_txn *txn, const struct catalog_change *changes,
          size_t n, const struct catalog_group *group)
{
    struct record key = { .kind = RECORD_GROUP, .group = group->record };
    const struct catalog_group *from = catalog_txn_before(txn, group);

    if (from && !find_change(changes, n, &key)) {
        add_change(update, group->record.vni, "group_delta",
                   encode_delta(e, group, from));
    } else {
        add_change(update, group->record.vni, "group",
                   encode_group(e, group));
    }
}

static void
add_liveness(struct subscription_update *update,
             const struct catalog_txn *txn)
{
    const struct catalog_liveness *liveness;
    size_t n;

    liveness = catalog_txn_liveness(txn, &n);
    for (size_t i = 0; i < n; i++) {
        struct json *json = json_object_create();

        json_object_put_string(json, "name", liveness[i].host);
        json_object_put(json, "alive",
                        json_boolean_create(liveness[i].alive));
        add_change(update, 0, "host_alive", json);
    }
}

static void
add_removed_group(struct subscription_update *update,
                  const struct record_group *group)
{
    struct json *json = json_object_create();

    json_object_put(json, "vni", json_integer_create(group->vni));
    json_object_put_string(json, "name", group->name);
    add_change(update, group->vni, "group_removed", json);
}

/* In an order in which each change refers only to what is there: new hosts
 * first, removed hosts last, and removed groups before those that may take
 * over their address. */
struct subscription_update *
subscription_update_create(const struct catalog *catalog,
                           const struct catalog_txn *txn, long long int now)
{
    const struct encoder e = { .catalog = catalog, .now = now };
    struct subscription_update *update = xzalloc(sizeof *update);
    const struct catalog_group *const *groups;
    const struct catalog_change *changes;
    size_t n, n_groups;

    update->revision = catalog_txn_revision(txn);
    changes = catalog_txn_changes(txn, &n);
    for (size_t i = 0; i < n; i++) {
        const struct record *after = changes[i].after;

        if (after && after->kind == RECORD_HOST) {
            add_change(update, 0, "host", record_to_json(after));
        }
    }
    add_liveness(update, txn);
    for (size_t i = 0; i < n; i++) {
        const struct record *before = changes[i].before;

        if (!changes[i].after && before->kind == RECORD_GROUP) {
            add_removed_group(update, &before->group);
        }
    }
    groups = catalog_txn_groups(txn, &n_groups);
    for (size_t i = 0; i < n_groups; i++) {
        add_group(update, &e, txn, changes, n, groups[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const struct record *before = changes[i].before;

        if (!changes[i].after && before->kind == RECORD_HOST) {
            add_change(update, 0, "host_removed",
                       json_string_create(before->host.name));
        }
    }
    return update;
}

void
subscription_update_destroy(struct subscription_update *update)
{
    if (update) {
        for (size_t i = 0; i < update->n; i++) {
            json_destroy(update->changes[i].text);
        }
        free(update->changes);
        free(update);
    }
}

struct json *
subscription_update_encode(const struct subscription_update *update,
                           struct subscription_view *view)
{
    if (!view->update || view->update_revision != update->revision) {
        struct json *json = json_object_create();
        struct json *array = json_array_create_empty();

        for (size_t i = 0; i < update->n; i++) {
            if (subscription_view_sees(view, update->changes[i].vni)) {
                json_array_add(array, json_clone(update->changes[i].text));
            }
        }
        json_object_put(json, "revision",
                        json_integer_create(update->revision));
        json_object_put(json, "changes", array);

        json_destroy(view->update);
        view->update = to_text(json);
        view->update_revision = update->revision;
    }
    return json_clone(view->update);
}
