#include <config.h>

#include "mapping/mapd/store-etcd-batch.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-state.h"
#include "openvswitch/json.h"
#include "util.h"

struct item {
    size_t size;
    bool deleted;
    char value[];               /* 'size' bytes and a null. */
};

void
store_etcd_batch_init(struct store_etcd_batch *batch, bool whole)
{
    shash_init(&batch->items);
    batch->whole = whole;
}

void
store_etcd_batch_uninit(struct store_etcd_batch *batch)
{
    shash_destroy_free_data(&batch->items);
}

void
store_etcd_batch_put(struct store_etcd_batch *batch, const char *key,
                     const void *value, size_t size)
{
    struct item *item = xmalloc(sizeof *item + size + 1);

    item->size = size;
    item->deleted = !value;
    if (size) {
        memcpy(item->value, value, size);
    }
    item->value[size] = '\0';
    free(shash_replace(&batch->items, key, item));
}

/* Reading the items. */

struct state {
    uint32_t vni;
    const char *name;
    struct catalog_state *state; /* Owned until it is installed. */
};

struct health {
    uint32_t group;
    uint16_t endpoint;
    const char *why;            /* NULL: it is well. */
};

struct contents {
    struct record *put[N_RECORD_KINDS];
    struct record *removed[N_RECORD_KINDS]; /* Only the keys count. */
    size_t n_put[N_RECORD_KINDS], n_removed[N_RECORD_KINDS];
    size_t allocated_put[N_RECORD_KINDS], allocated_removed[N_RECORD_KINDS];
    struct state *states;
    size_t n_states, allocated_states;
    struct health *health;
    size_t n_health, allocated_health;
};

static int
refuse(const char *key, const char *problem, struct diagnosis *diag)
{
    return diagnosis_set(diag, DIAG_STORE, NULL, NULL, "key %.80s: %.100s",
                         key, problem);
}

static void
append(struct record **records, size_t *n, size_t *allocated,
       const struct record *record)
{
    if (*n >= *allocated) {
        *records = x2nrealloc(*records, allocated, sizeof **records);
    }
    (*records)[(*n)++] = *record;
}

/* The key of a record of 'kind' from its text. */
static bool
parse_key(enum record_kind kind, const char *text, struct record *key)
{
    const char *const members[N_RECORD_KINDS][3] = {
        [RECORD_HOST] = { "name" },
        [RECORD_GROUP] = { "vni", "name" },
        [RECORD_ENDPOINT] = { "vni", "group", "name" },
        [RECORD_WORKLOAD] = { "vni", "name" },
        [RECORD_POOL] = { "vni", "name" },
        [RECORD_LEASE] = { "vni", "pool", "address" },
        [RECORD_GATEWAY] = { "name" },
        [RECORD_VIP] = { "vni", "name" },
    };
    struct json *json = json_object_create();
    char *copy = xstrdup(text), *rest = copy, *part;
    size_t n = 0;
    bool ok;

    json_object_put_string(json, "kind", record_kind_name(kind));
    while ((part = strsep(&rest, "/")) != NULL) {
        const char *member = n < 3 ? members[kind][n] : NULL;
        unsigned int vni;

        n++;
        if (!member) {
            break;
        }
        json_object_put(json, member,
                        (!strcmp(member, "vni") && str_to_uint(part, 10, &vni)
                         ? json_integer_create(vni)
                         : json_string_create(part)));
    }
    ok = !record_key_from_json(json, key, NULL);
    json_destroy(json);
    free(copy);
    if (ok) {
        char again[RECORD_KEY_SIZE];

        record_format_key(key, again);
        ok = !strcmp(again, text);
    }
    return ok;
}

/* 'path' is KIND/KEY. */
static int
read_record(struct contents *c, const char *path, const struct item *item,
            struct diagnosis *diag)
{
    const char *slash = strchr(path, '/');
    char *name = slash ? xmemdup0(path, slash - path) : xstrdup("");
    enum record_kind kind;
    bool known = record_kind_from_name(name, &kind);
    struct record key, record;
    struct diagnosis cause;
    struct json *json;
    int error;

    free(name);
    if (!known || !parse_key(kind, slash + 1, &key)) {
        return refuse(path, "is no kind and key of a record", diag);
    }
    if (item->deleted) {
        append(&c->removed[kind], &c->n_removed[kind],
               &c->allocated_removed[kind], &key);
        return 0;
    }
    json = json_from_string(item->value);
    error = (strlen(item->value) == item->size
             ? record_from_json(json, &record, &cause)
             : diagnosis_set(&cause, DIAG_INVALID, NULL, NULL, "no text"));
    json_destroy(json);
    if (error) {
        return refuse(path, cause.message, diag);
    }
    if (record_compare_keys(&record, &key)) {
        return refuse(path, "holds the record of another key", diag);
    }
    append(&c->put[kind], &c->n_put[kind], &c->allocated_put[kind], &record);
    return 0;
}

/* 'path' is VNI/NAME. */
static int
read_state(struct contents *c, const char *path, const struct item *item,
           struct diagnosis *diag)
{
    struct state state;
    struct record key;

    if (!parse_key(RECORD_GROUP, path, &key)) {
        return refuse(path, "is no key of a group", diag);
    }
    if (item->deleted) {
        return 0;               /* With its group. */
    }
    if (catalog_state_decode(item->value, item->size, &state.state)) {
        return refuse(path, "holds no state of a group", diag);
    }
    state.vni = key.group.vni;
    state.name = strchr(path, '/') + 1;
    if (c->n_states >= c->allocated_states) {
        c->states = x2nrealloc(c->states, &c->allocated_states,
                               sizeof *c->states);
    }
    c->states[c->n_states++] = state;
    return 0;
}

static bool
is_reason(const struct item *item)
{
    for (size_t i = 0; i < item->size; i++) {
        if (item->value[i] < ' ' || item->value[i] > '~') {
            return false;
        }
    }
    return item->size && item->size < CATALOG_WHY_SIZE;
}

/* 'path' is ID/INDEX. */
static int
read_health(struct contents *c, const char *path, const struct item *item,
            struct diagnosis *diag)
{
    struct health h = { .why = item->deleted ? NULL : item->value };
    int end = 0;

    if (!ovs_scan(path, "%"SCNu32"/%"SCNu16"%n", &h.group, &h.endpoint, &end)
        || path[end] || !h.group || h.group > GROUP_MAX_ID
        || h.endpoint >= GROUP_MAX_ENDPOINTS) {
        return refuse(path, "is no id and index of an endpoint", diag);
    }
    if (!item->deleted && !is_reason(item)) {
        return refuse(path, "holds no reason", diag);
    }
    if (c->n_health >= c->allocated_health) {
        c->health = x2nrealloc(c->health, &c->allocated_health,
                               sizeof *c->health);
    }
    c->health[c->n_health++] = h;
    return 0;
}

static int
read_items(const struct store_etcd_batch *batch, struct contents *c,
           struct diagnosis *diag)
{
    struct shash_node *node;
    int error = 0;

    SHASH_FOR_EACH (node, &batch->items) {
        if (!strncmp(node->name, "record/", 7)) {
            error = read_record(c, node->name + 7, node->data, diag);
        } else if (!strncmp(node->name, "state/", 6)) {
            error = read_state(c, node->name + 6, node->data, diag);
        } else if (!strncmp(node->name, "health/", 7)) {
            error = read_health(c, node->name + 7, node->data, diag);
        } else if (strncmp(node->name, "dead/", 5)) {
            error = refuse(node->name, "means nothing here", diag);
        }
        if (error) {
            break;
        }
    }
    return error;
}

/* What is gone if the batch is the whole. */

static void
miss(const struct store_etcd_batch *batch, struct contents *c,
     const struct record *record)
{
    char text[RECORD_KEY_SIZE];
    char *key;

    record_format_key(record, text);
    key = xasprintf("record/%s/%s", record_kind_name(record->kind), text);
    if (!shash_find(&batch->items, key)) {
        append(&c->removed[record->kind], &c->n_removed[record->kind],
               &c->allocated_removed[record->kind], record);
    }
    free(key);
}

static void
find_missing(const struct store_etcd_batch *batch,
             const struct catalog *catalog, struct contents *c)
{
    const struct catalog_group **groups;
    const struct record_host **hosts;
    size_t n;

    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        struct record r = { .kind = RECORD_GROUP,
                            .group = groups[i]->record };

        miss(batch, c, &r);
        r.kind = RECORD_ENDPOINT;
        for (size_t j = 0; j < groups[i]->n_endpoints; j++) {
            r.endpoint = groups[i]->endpoints[j]->record;
            miss(batch, c, &r);
        }
    }
    free(groups);
    hosts = catalog_hosts(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        struct record r = { .kind = RECORD_HOST, .host = *hosts[i] };

        miss(batch, c, &r);
    }
    free(hosts);
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        struct record *records = catalog_records(catalog, kind, &n);

        for (size_t i = 0; i < n; i++) {
            miss(batch, c, &records[i]);
        }
        free(records);
    }
}

/* Doing it. */

/* What nobody uses goes at once ('unused'), which makes room; the rest when
 * who used it has changed. */
static int
remove_records(struct catalog_txn *txn, const struct contents *c, bool unused,
               struct diagnosis *diag)
{
    int error = 0;

    for (int kind = N_RECORD_KINDS - 1; kind >= 0; kind--) {
        for (size_t i = 0; !error && i < c->n_removed[kind]; i++) {
            error = catalog_remove(txn, &c->removed[kind][i], true, false,
                                   diag);
            error = unused ? 0 : error;
        }
    }
    return error;
}

static int
change_records(struct catalog_txn *txn, const struct contents *c,
               struct diagnosis *diag)
{
    int error = remove_records(txn, c, true, diag);

    for (int kind = 0; !error && kind < N_RECORD_KINDS; kind++) {
        for (size_t i = 0; !error && i < c->n_put[kind]; i++) {
            error = catalog_install_record(txn, &c->put[kind][i], diag);
        }
    }
    return error ? error : remove_records(txn, c, false, diag);
}

static void
change_liveness(struct catalog_txn *txn, const struct catalog *catalog,
                const struct store_etcd_batch *batch)
{
    const struct record_host **hosts;
    struct shash_node *node;
    size_t n;

    if (batch->whole) {
        hosts = catalog_hosts(catalog, &n);
        for (size_t i = 0; i < n; i++) {
            char *key = xasprintf("dead/%s", hosts[i]->name);

            catalog_set_alive(txn, hosts[i]->name,
                              !shash_find(&batch->items, key));
            free(key);
        }
        free(hosts);
        return;
    }
    SHASH_FOR_EACH (node, &batch->items) {
        const struct item *item = node->data;

        if (!strncmp(node->name, "dead/", 5)
            && catalog_find_host(catalog, node->name + 5)) {
            catalog_set_alive(txn, node->name + 5, item->deleted);
        }
    }
}

/* Of all that were unwell, if the batch is the whole, those that it has are
 * still. */
static void
change_health(struct catalog_txn *txn, const struct catalog *catalog,
              bool whole, const struct contents *c)
{
    if (whole) {
        struct catalog_patient *patients;
        size_t n;

        patients = catalog_patients(catalog, NULL, &n);
        for (size_t i = 0; i < n; i++) {
            catalog_set_health(txn, patients[i].group, patients[i].endpoint,
                               NULL);
        }
        free(patients);
    }
    for (size_t i = 0; i < c->n_health; i++) {
        catalog_set_health(txn, c->health[i].group, c->health[i].endpoint,
                           c->health[i].why);
    }
}

static int
install_states(struct catalog_txn *txn, struct contents *c,
               struct diagnosis *diag)
{
    int error = 0;

    for (size_t i = 0; !error && i < c->n_states; i++) {
        struct state *s = &c->states[i];

        error = catalog_install_state(txn, s->vni, s->name, s->state, diag);
        s->state = NULL;
    }
    return error;
}

static void
free_contents(struct contents *c)
{
    for (int kind = 0; kind < N_RECORD_KINDS; kind++) {
        free(c->put[kind]);
        free(c->removed[kind]);
    }
    for (size_t i = 0; i < c->n_states; i++) {
        catalog_state_destroy(c->states[i].state);
    }
    free(c->states);
    free(c->health);
}

int
store_etcd_batch_apply(const struct store_etcd_batch *batch,
                       struct catalog *catalog, uint64_t revision,
                       uint32_t last_group_id, long long int now,
                       struct catalog_txn **txnp, struct diagnosis *diag)
{
    struct contents c = { .n_states = 0 };
    int error = read_items(batch, &c, diag);
    struct catalog_txn *txn;

    if (!error && batch->whole) {
        find_missing(batch, catalog, &c);
    }
    if (error) {
        free_contents(&c);
        return error;
    }
    txn = catalog_begin(catalog);
    if (now) {
        catalog_set_time(txn, now);
    }
    catalog_follow(txn, revision, last_group_id);
    error = change_records(txn, &c, diag);
    if (!error) {
        change_liveness(txn, catalog, batch);
        change_health(txn, catalog, batch->whole, &c);
        error = install_states(txn, &c, diag);
    }
    free_contents(&c);
    if (!error) {
        error = catalog_prepare(txn, diag);
    }
    if (error) {
        catalog_abort(txn);
        return error;
    }
    *txnp = txn;
    return 0;
}
