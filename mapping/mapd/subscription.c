/* Texts are made as JSON_SERIALIZED_OBJECT values: reference-counted strings
 * that the printer copies as they are, so that a thousand subscribers cost one
 * encoding and a thousand copies. */

#include <config.h>

#include "mapping/mapd/subscription.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "hash.h"
#include "mapping/catalog/slot-history.h"
#include "mapping/slot-codec.h"
#include "mapping/vni-set.h"
#include "openvswitch/json.h"
#include "util.h"

struct subscription_view {
    struct hmap_node node;      /* By filter, in 'views'. */
    const struct hmap *views;
    size_t n_refs;
    struct vni_set vnis;

    /* The last texts made, with their revisions.  NULL if there are none. */
    struct json *snapshot, *update;
    struct json *hosts, *dead;  /* Of the snapshot: all views show the same. */
    uint64_t hosts_revision;
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

bool
subscription_view_sees(const struct subscription_view *view, uint32_t vni)
{
    return !vni || vni_set_has(&view->vnis, vni);
}

struct subscription_view *
subscription_view_get(struct hmap *views, const struct vni_set *vnis)
{
    struct subscription_view *view;
    uint32_t hash = hash_bytes(vnis->ranges, vnis->n * sizeof *vnis->ranges,
                               0);

    HMAP_FOR_EACH_WITH_HASH (view, node, hash, views) {
        if (vni_set_equal(&view->vnis, vnis)) {
            view->n_refs++;
            return view;
        }
    }

    view = xzalloc(sizeof *view);
    view->n_refs = 1;
    view->views = views;
    vni_set_assign(&view->vnis, vnis->ranges, vnis->n);
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
        json_destroy(view->hosts);
        json_destroy(view->dead);
        vni_set_destroy(&view->vnis);
        free(view);
    }
}

/* Encoding. */

static struct json *
encode_record(enum record_kind kind, const void *contents)
{
    struct record record = { .kind = kind };

    switch (kind) {
    case RECORD_GROUP:
        record.group = *(const struct record_group *) contents;
        break;
    case RECORD_ENDPOINT:
        record.endpoint = *(const struct record_endpoint *) contents;
        break;
    default:
        OVS_NOT_REACHED();
    }
    return record_to_json(&record);
}

static struct json *
encode_host(const struct record_host *host)
{
    struct record record = { .kind = RECORD_HOST, .host = *host };
    struct json *json = record_to_json(&record);

    json_destroy(shash_find_and_delete(json_object(json), "vnis"));
    return json;
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
encode_endpoint(const struct encoder *e, const struct catalog_group *group,
                const struct catalog_endpoint *endpoint, bool all)
{
    struct json *json = json_object_create();

    json_object_put(json, "record",
                    encode_record(RECORD_ENDPOINT, &endpoint->record));
    json_object_put(json, "index", json_integer_create(endpoint->index));
    json_object_put(json, "up_ms", json_integer_create(up_ms(e, endpoint)));
    if (!all && is_passed_over(e, group, endpoint)) {
        json_object_put(json, "healthy", json_boolean_create(false));
    }
    return json;
}

static struct json *
encode_endpoints(const struct encoder *e, const struct catalog_group *group)
{
    bool all = catalog_group_fails_open(e->catalog, group);
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < group->n_endpoints; i++) {
        json_array_add(array, encode_endpoint(e, group, group->endpoints[i],
                                              all));
    }
    return array;
}

/* Those of 'group' that are not as in 'from', and the names of those that are
 * gone: merges the two sorted arrays.  An endpoint that changes is put in
 * anew, at another address. */
static void
put_changed_endpoints(struct json *json, const struct encoder *e,
                      const struct catalog_group *group,
                      const struct catalog_group *from)
{
    bool all = catalog_group_fails_open(e->catalog, group);
    bool is_checked = group->record.health.check != HEALTH_NONE;
    struct json *changed = json_array_create_empty();
    struct json *gone = json_array_create_empty();
    size_t i = 0, j = 0;

    while (i < from->n_endpoints || j < group->n_endpoints) {
        const struct catalog_endpoint *old
            = i < from->n_endpoints ? from->endpoints[i] : NULL;
        const struct catalog_endpoint *new
            = j < group->n_endpoints ? group->endpoints[j] : NULL;
        int cmp = (!old ? 1 : !new ? -1
                   : strcmp(old->record.name, new->record.name));

        if (cmp < 0) {
            json_array_add(gone, json_string_create(old->record.name));
        } else if (old != new || is_checked) {
            /* Where health counts, that of one may matter to all. */
            json_array_add(changed, encode_endpoint(e, group, new, all));
        }
        i += cmp <= 0;
        j += cmp >= 0;
    }
    json_object_put(json, "endpoints", changed);
    json_object_put(json, "endpoints_removed", gone);
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

/* The tables that GROUP and group_delta share, as differences from 'from';
 * NULL: from nothing. */
static struct json *
encode_tables(const struct catalog_group *group,
              const struct catalog_group *from)
{
    struct json *json = json_object_create();

    json_object_put(json, "epoch", json_integer_create(group->epoch));
    json_object_put(json, "slots",
                    encode_table(from ? from->slots : NULL, group->slots,
                                 group->record.n_slots));
    return json;
}

static struct json *
encode_previous(const struct catalog_group *group,
                const struct catalog_group *from)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        json_array_add(array, encode_table(from ? from->previous[i] : NULL,
                                           group->previous[i],
                                           group->record.n_slots));
    }
    return array;
}

/* Of tables of which NULL stands for an empty one, too. */
static bool
is_same_table(const uint16_t *a, const uint16_t *b, size_t n)
{
    return a == b || (a && b && !memcmp(a, b, n * sizeof *a));
}

/* Whether the previous owners of 'group' are what follows from 'from': then
 * hosts find them by themselves. */
static bool
previous_follow(const struct catalog_group *group,
                const struct catalog_group *from)
{
    unsigned long *keeps = bitmap_allocate(GROUP_MAX_ENDPOINTS);
    uint16_t *next[GROUP_MAX_PREVIOUS];
    size_t n = group->record.n_slots;
    bool differs, same = true;

    for (size_t i = 0; i < group->n_endpoints; i++) {
        if (group->endpoints[i]->record.state != ENDPOINT_DOWN) {
            bitmap_set1(keeps, group->endpoints[i]->index);
        }
    }
    differs = slot_history_next(from->previous, from->slots, group->slots, n,
                                keeps, next);
    for (size_t i = 0; i < GROUP_MAX_PREVIOUS; i++) {
        same &= is_same_table(differs ? next[i] : from->previous[i],
                              group->previous[i], n);
        if (differs) {
            free(next[i]);
        }
    }
    bitmap_free(keeps);
    return same;
}

static struct json *
encode_group(const struct encoder *e, const struct catalog_group *group)
{
    struct json *json = encode_tables(group, NULL);

    json_object_put(json, "previous", encode_previous(group, NULL));
    json_object_put(json, "endpoints", encode_endpoints(e, group));
    json_object_put(json, "record",
                    encode_record(RECORD_GROUP, &group->record));
    json_object_put(json, "id", json_integer_create(group->id));
    return json;
}

static struct json *
encode_delta(const struct encoder *e, const struct catalog_group *group,
             const struct catalog_group *from)
{
    struct json *json = encode_tables(group, from);

    json_object_put(json, "previous",
                    previous_follow(group, from) ? json_array_create_empty()
                    : encode_previous(group, from));
    put_changed_endpoints(json, e, group, from);
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

/* The plain records that 'view' sees. */
static struct json *
encode_records(const struct encoder *e, const struct subscription_view *view)
{
    struct json *array = json_array_create_empty();

    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        struct record *records;
        size_t n;

        records = catalog_records(e->catalog, kind, &n);
        for (size_t i = 0; i < n; i++) {
            if (subscription_view_sees(view, record_vni(&records[i]))) {
                json_array_add(array, record_to_json(&records[i]));
            }
        }
        free(records);
    }
    return array;
}

static void
put_groups(struct json *array, const struct encoder *e,
           const struct catalog_group *const *groups, size_t n, bool *ramping)
{
    for (size_t i = 0; i < n; i++) {
        json_array_add(array, encode_group(e, groups[i]));
        *ramping |= is_ramping(e, groups[i]);
    }
}

/* All groups that 'view' sees, without a look at the others. */
static struct json *
encode_groups(const struct encoder *e, const struct subscription_view *view,
              bool *ramping)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < view->vnis.n; i++) {
        const struct vni_range *r = &view->vnis.ranges[i];
        const struct catalog_group *const *groups;
        size_t n;

        groups = catalog_groups_between(e->catalog, r->first, r->last, &n);
        put_groups(array, e, groups, n, ramping);
    }
    return array;
}

static void
encode_hosts(const struct catalog *catalog, struct subscription_view *view)
{
    struct json *hosts = json_array_create_empty();
    struct json *dead = json_array_create_empty();
    const struct record_host **records;
    size_t n;

    records = catalog_hosts(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        json_array_add(hosts, encode_host(records[i]));
        if (!catalog_host_is_alive(catalog, records[i]->name)) {
            json_array_add(dead, json_string_create(records[i]->name));
        }
    }
    free(records);
    view->hosts = to_text(hosts);
    view->dead = to_text(dead);
}

/* Sets the hosts of 'view', which another may have already. */
static void
find_hosts(const struct catalog *catalog, struct subscription_view *view)
{
    uint64_t revision = catalog_revision(catalog);
    const struct subscription_view *other;

    if (view->hosts && view->hosts_revision == revision) {
        return;
    }
    json_destroy(view->hosts);
    json_destroy(view->dead);
    view->hosts = NULL;
    HMAP_FOR_EACH (other, node, view->views) {
        if (other->hosts && other->hosts_revision == revision) {
            view->hosts = json_clone(other->hosts);
            view->dead = json_clone(other->dead);
            break;
        }
    }
    if (!view->hosts) {
        encode_hosts(catalog, view);
    }
    view->hosts_revision = revision;
}

/* Stores in '*ramping' whether the snapshot grows old fast. */
static struct json *
encode_snapshot(const struct encoder *e, struct subscription_view *view,
                const struct hash_key *key, bool *ramping)
{
    struct json *snapshot = json_object_create();

    json_object_put(snapshot, "revision",
                    json_integer_create(catalog_revision(e->catalog)));
    json_object_put_format(snapshot, "hash_key", "%016"PRIx64"%016"PRIx64,
                           key->word[0], key->word[1]);
    find_hosts(e->catalog, view);
    json_object_put(snapshot, "hosts", json_clone(view->hosts));
    json_object_put(snapshot, "dead", json_clone(view->dead));
    *ramping = false;
    json_object_put(snapshot, "groups", encode_groups(e, view, ramping));
    json_object_put(snapshot, "records", encode_records(e, view));
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
            json_destroy(view->hosts);
            json_destroy(view->dead);
            view->snapshot = view->hosts = view->dead = NULL;
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

/* Of plain records: those that are gone, or those that are there. */
static void
add_records(struct subscription_update *update,
            const struct catalog_change *changes, size_t n, bool gone)
{
    for (size_t i = 0; i < n; i++) {
        const struct record *record = changes[i].after;

        if (gone) {
            record = record ? NULL : changes[i].before;
        }
        if (record && record->kind >= RECORD_FIRST_PLAIN) {
            add_change(update, record_vni(record),
                       gone ? "record_removed" : "record",
                       gone ? record_key_to_json(record)
                       : record_to_json(record));
        }
    }
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
            add_change(update, 0, "host", encode_host(&after->host));
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
    add_records(update, changes, n, true);
    add_records(update, changes, n, false);
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
