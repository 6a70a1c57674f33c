#include <config.h>

#include "mapping/mapd/store-etcd-writes.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-state.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "openvswitch/ofpbuf.h"
#include "util.h"

enum { WRITES_REFRESH = 1000 };

/* Building. */

/* Takes over 'key' and 'value'. */
static void
add(struct store_etcd_writes *w, char *key, void *value, size_t size)
{
    if (w->n >= w->allocated) {
        w->writes = x2nrealloc(w->writes, &w->allocated, sizeof *w->writes);
    }
    w->writes[w->n++] = (struct store_etcd_write) {
        .key = key, .value = value, .size = size,
    };
}

static void
add_change(struct store_etcd_writes *w, const struct catalog_change *change)
{
    const struct record *record = change->after ? change->after
                                  : change->before;
    char key[RECORD_KEY_SIZE];
    char *path;

    record_format_key(record, key);
    path = xasprintf("record/%s/%s", record_kind_name(record->kind), key);
    if (change->after) {
        struct json *json = record_to_json(record);
        char *text = json_to_string(json, JSSF_SORT);

        json_destroy(json);
        add(w, path, text, strlen(text));
        return;
    }
    add(w, path, NULL, 0);
    if (record->kind == RECORD_GROUP) {
        add(w, xasprintf("state/%s", key), NULL, 0);
    } else if (record->kind == RECORD_HOST) {
        add(w, xasprintf("dead/%s", key), NULL, 0);
    }
}

/* Not if it is as it was, which 'before' (NULL: new) tells. */
static void
add_state(struct store_etcd_writes *w, const struct catalog_group *group,
          const struct catalog_group *before)
{
    struct ofpbuf now, old;

    ofpbuf_init(&now, 0);
    ofpbuf_init(&old, 0);
    catalog_state_encode(group, &now);
    if (before) {
        catalog_state_encode(before, &old);
    }
    if (!before || !ofpbuf_equal(&now, &old)) {
        add(w, xasprintf("state/%"PRIu32"/%s", group->record.vni,
                         group->record.name),
            xmemdup(now.data, now.size), now.size);
    }
    ofpbuf_uninit(&now);
    ofpbuf_uninit(&old);
}

static void
refresh(struct store *store, size_t i)
{
    if (!(i % WRITES_REFRESH)) {
        store_refresh(store);
    }
}

static void
add_health(struct store_etcd_writes *w, const struct catalog_health *h)
{
    add(w, xasprintf("health/%"PRIu32"/%u", h->group, h->endpoint),
        h->healthy ? NULL : xstrdup(h->why), strlen(h->why));
}

void
store_etcd_writes_build(struct store_etcd_writes *w,
                        const struct catalog_txn *txn,
                        struct store *store)
{
    const struct catalog_group *const *groups;
    const struct catalog_liveness *liveness;
    const struct catalog_health *health;
    const struct catalog_change *changes;
    size_t n;

    *w = (struct store_etcd_writes) { .n = 0 };
    changes = catalog_txn_changes(txn, &n);
    for (size_t i = 0; i < n; i++) {
        refresh(store, i);
        add_change(w, &changes[i]);
    }
    groups = catalog_txn_groups(txn, &n);
    for (size_t i = 0; i < n; i++) {
        refresh(store, i);
        add_state(w, groups[i], catalog_txn_before(txn, groups[i]));
    }
    liveness = catalog_txn_liveness(txn, &n);
    for (size_t i = 0; i < n; i++) {
        add(w, xasprintf("dead/%s", liveness[i].host),
            liveness[i].alive ? NULL : xstrdup("1"), !liveness[i].alive);
    }
    health = catalog_txn_health(txn, &n);
    for (size_t i = 0; i < n; i++) {
        add_health(w, &health[i]);
    }
}

void
store_etcd_writes_uninit(struct store_etcd_writes *w)
{
    for (size_t i = 0; i < w->n; i++) {
        free(w->writes[i].key);
        free(w->writes[i].value);
    }
    free(w->writes);
    *w = (struct store_etcd_writes) { .n = 0 };
}

size_t
store_etcd_writes_fit(const struct store_etcd_writes *w, size_t first,
                      size_t max_n, size_t max_bytes)
{
    size_t bytes = 0, n = 0;

    while (first + n < w->n && n < max_n) {
        const struct store_etcd_write *write = &w->writes[first + n];

        bytes += strlen(write->key) + write->size;
        if (n && bytes > max_bytes) {
            break;
        }
        n++;
    }
    return n;
}

/* Packing. */

static void
put_length(struct ofpbuf *b, uint32_t length)
{
    uint8_t *p = ofpbuf_put_uninit(b, 4);

    for (int i = 0; i < 4; i++) {
        p[i] = length >> 8 * i;
    }
}

void
store_etcd_writes_pack(const struct store_etcd_writes *w, size_t first,
                       size_t n, struct ofpbuf *b)
{
    for (size_t i = first; i < first + n; i++) {
        const struct store_etcd_write *write = &w->writes[i];
        size_t key_length = strlen(write->key);

        ofpbuf_put(b, write->value ? "P" : "D", 1);
        put_length(b, key_length);
        if (write->value) {
            put_length(b, write->size);
        }
        ofpbuf_put(b, write->key, key_length);
        ofpbuf_put(b, write->value, write->size);
    }
}

static bool
get_length(struct ofpbuf *b, size_t *length)
{
    const uint8_t *p = ofpbuf_try_pull(b, 4);

    if (p) {
        *length = p[0] | p[1] << 8 | p[2] << 16 | (uint32_t) p[3] << 24;
    }
    return p != NULL;
}

static bool
unpack_one(struct ofpbuf *b, struct store_etcd_writes *w)
{
    const char *type = ofpbuf_try_pull(b, 1);
    size_t key_length, size = 0;
    const char *key, *value;

    if ((*type != 'P' && *type != 'D') || !get_length(b, &key_length)
        || (*type == 'P' && !get_length(b, &size))) {
        return false;
    }
    key = ofpbuf_try_pull(b, key_length);
    value = key ? ofpbuf_try_pull(b, size) : NULL;
    if (!value || !key_length || memchr(key, '\0', key_length)) {
        return false;
    }
    add(w, xmemdup0(key, key_length),
        *type == 'P' ? xmemdup0(value, size) : NULL, size);
    return true;
}

int
store_etcd_writes_unpack(const void *data, size_t size,
                         struct store_etcd_writes *w)
{
    struct ofpbuf b = ofpbuf_const_initializer(data, size);

    while (b.size) {
        if (!unpack_one(&b, w)) {
            return EPROTO;
        }
    }
    return 0;
}
