/* Which hosts are connected to which mapd: keys that live as long as its
 * lease, so that they vanish with it. */

#include <config.h>

#include "mapping/mapd/store-etcd-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/json.h"
#include "timeval.h"
#include "util.h"

/* A host that is, or was, connected here. */
struct store_etcd_seen {
    bool connected;
    long long int silent_since; /* time_msec(), if it is not. */
    bool told_gone;             /* The key says so, and can go itself. */
};

struct news {
    struct ovs_list node;
    struct store_seen seen;
};

void
store_etcd_seen_init(struct store_etcd *store)
{
    shash_init(&store->seen);
    sset_init(&store->seen_dirty);
    ovs_list_init(&store->seen_news);
    sset_init(&store->seen_told);
}

void
store_etcd_seen_destroy(struct store_etcd *store)
{
    struct news *news;

    LIST_FOR_EACH_POP (news, node, &store->seen_news) {
        free(news);
    }
    sset_destroy(&store->seen_told);
    sset_destroy(&store->seen_dirty);
    shash_destroy_free_data(&store->seen);
}

void
store_etcd_seen_told(struct store_etcd *store, const char *host,
                     const struct etcd_kv *kv)
{
    struct news *news;
    struct json *json;

    if (!record_is_name(host)) {
        return;
    }
    news = xzalloc(sizeof *news);
    ovs_strlcpy(news->seen.host, host, sizeof news->seen.host);
    if (kv) {
        char *text = xmemdup0(kv->value.data, kv->value.size);
        const struct json *mapd, *silent;

        json = json_from_string(text);
        free(text);
        if (json->type == JSON_OBJECT) {
            mapd = shash_find_data(json_object(json), "mapd");
            silent = shash_find_data(json_object(json), "silent_ms");
            if (mapd && mapd->type == JSON_STRING) {
                ovs_strlcpy(news->seen.mapd, json_string(mapd),
                            sizeof news->seen.mapd);
            }
            if (silent && silent->type == JSON_INTEGER) {
                news->seen.silent_ms = MAX(json_integer(silent), 0);
            }
        }
        json_destroy(json);
    }
    ovs_list_push_back(&store->seen_news, &news->node);
    if (kv) {
        sset_add(&store->seen_told, host);
    } else {
        sset_find_and_delete(&store->seen_told, host);
    }
}

void
store_etcd_seen_relisted(struct store_etcd *store, const struct sset *hosts)
{
    const char *host;

    SSET_FOR_EACH_SAFE (host, &store->seen_told) {
        if (!sset_contains(hosts, host)) {
            store_etcd_seen_told(store, host, NULL);
        }
    }
}

bool
store_etcd_next_seen(struct store *store_, struct store_seen *seen)
{
    struct store_etcd *store = store_etcd_cast(store_);
    struct news *news;

    if (ovs_list_is_empty(&store->seen_news)) {
        return false;
    }
    news = CONTAINER_OF(ovs_list_pop_front(&store->seen_news), struct news,
                        node);
    *seen = news->seen;
    free(news);
    return true;
}

/* Telling others. */

static struct store_etcd_seen *
get(struct store_etcd *store, const char *host)
{
    struct store_etcd_seen *seen = shash_find_data(&store->seen, host);

    if (!seen) {
        seen = xzalloc(sizeof *seen);
        shash_add(&store->seen, host, seen);
    }
    sset_add(&store->seen_dirty, host);
    return seen;
}

void
store_etcd_put_seen(struct store *store_, const char *host)
{
    get(store_etcd_cast(store_), host)->connected = true;
}

void
store_etcd_drop_seen(struct store *store_, const char *host,
                     long long silent_ms)
{
    struct store_etcd_seen *seen = get(store_etcd_cast(store_), host);

    seen->connected = seen->told_gone = false;
    seen->silent_since = time_msec() - silent_ms;
}

void
store_etcd_seen_all(struct store_etcd *store)
{
    struct shash_node *node;

    SHASH_FOR_EACH (node, &store->seen) {
        sset_add(&store->seen_dirty, node->name);
    }
}

/* What is to become of the key of 'host'; its strings are the caller's. */
static struct etcd_op
make_op(const struct store_etcd *store, const char *host,
        const struct store_etcd_seen *seen)
{
    char *path = xasprintf("seen/%s", host);
    struct etcd_op op = {
        .type = seen->connected || !seen->told_gone ? ETCD_PUT : ETCD_DELETE,
        .key = store_etcd_bytes(store_etcd_key(store, path)),
        .lease = etcd_lease_id(store->lease),
    };

    free(path);
    if (op.type == ETCD_PUT) {
        struct json *json = json_object_create();

        json_object_put_string(json, "mapd",
                               seen->connected ? store->self : "");
        if (!seen->connected) {
            json_object_put(json, "silent_ms", json_integer_create(
                                time_msec() - seen->silent_since));
        }
        op.value = store_etcd_bytes(json_to_string(json, JSSF_SORT));
        json_destroy(json);
    }
    return op;
}

/* 'host' has been told.  A host that has gone is told twice: how long it has
 * been silent, and that nobody here will say any more. */
static void
told(struct store_etcd *store, const char *host)
{
    struct store_etcd_seen *seen = shash_find_data(&store->seen, host);

    if (!seen->connected && !seen->told_gone) {
        seen->told_gone = true;
        return;
    }
    if (!seen->connected) {
        free(shash_find_and_delete(&store->seen, host));
    }
    sset_find_and_delete_assert(&store->seen_dirty, host);
}

static void
free_op(struct etcd_op *op)
{
    free(CONST_CAST(void *, op->key.data));
    free(CONST_CAST(void *, op->value.data));
}

/* Tells which hosts are here: as many as fit into one transaction.  Returns
 * how many, or -1 if that failed. */
static int
tell_connected(struct store_etcd *store)
{
    struct etcd_op ops[STORE_ETCD_SEEN_OPS];
    const char *names[STORE_ETCD_SEEN_OPS], *host;
    struct diagnosis diag;
    size_t n = 0;
    int error;

    SSET_FOR_EACH (host, &store->seen_dirty) {
        const struct store_etcd_seen *seen = shash_find_data(&store->seen,
                                                             host);

        if (seen->connected && n < STORE_ETCD_SEEN_OPS) {
            names[n] = host;
            ops[n++] = make_op(store, host, seen);
        }
    }
    error = n ? etcd_txn(store->etcd, NULL, 0, ops, n, ETCD_ATTEMPT_MS, NULL,
                         NULL, &diag) : 0;
    for (size_t i = 0; i < n; i++) {
        free_op(&ops[i]);
        if (!error) {
            told(store, names[i]);
        }
    }
    return error ? -1 : (int) n;
}

/* Tells that one host has gone.  If another mapd has it now, the key is that
 * one's: it is changed only if it hangs on our lease. */
static int
tell_gone(struct store_etcd *store)
{
    const char *host = SSET_FIRST(&store->seen_dirty);
    struct etcd_op op = make_op(store, host,
                                shash_find_data(&store->seen, host));
    const struct etcd_compare compare = {
        .key = op.key, .target = ETCD_LEASE,
        .value = etcd_lease_id(store->lease),
    };
    struct diagnosis diag;
    int error = etcd_txn(store->etcd, &compare, 1, &op, 1, ETCD_ATTEMPT_MS,
                         NULL, NULL, &diag);

    free_op(&op);
    if (!error) {
        told(store, host);
    }
    return error ? -1 : 1;
}

void
store_etcd_seen_run(struct store_etcd *store)
{
    int n;

    if (!store->lease || sset_is_empty(&store->seen_dirty)
        || time_msec() < store->seen_at) {
        return;
    }
    n = tell_connected(store);
    if (!n) {
        n = tell_gone(store);
    }
    if (n < 0) {
        store->seen_at = time_msec() + STORE_ETCD_RETRY_MS;
    }
}
