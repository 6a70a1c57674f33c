/* The etcd store: opening it, and following what others write. */

#include <config.h>

#include "mapping/mapd/store-etcd-private.h"

#include <errno.h>
#include <inttypes.h>

#include "entropy.h"
#include "mapping/mapd/store-etcd-batch.h"
#include "openvswitch/json.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(store_etcd);

enum { ETCD_FORMAT = 1, ETCD_PASSWORD_MAX = 1024 };

char *
store_etcd_key(const struct store_etcd *store, const char *key)
{
    return xasprintf("%s%s", store->prefix, key);
}

/* 'kv' as text, which the caller owns. */
static char *
value_text(const struct etcd_kv *kv)
{
    return xmemdup0(kv->value.data, kv->value.size);
}

static struct json *
value_json(const struct etcd_kv *kv)
{
    char *text = value_text(kv);
    struct json *json = json_from_string(text);

    free(text);
    return json;
}

/* Member 'name' of 'json', an integer from 0 to 'max'. */
static bool
read_number(const struct json *json, const char *name, uint64_t max,
            uint64_t *number)
{
    const struct json *value = (json->type == JSON_OBJECT
                                ? shash_find_data(json_object(json), name)
                                : NULL);

    if (!value || value->type != JSON_INTEGER || json_integer(value) < 0
        || (uint64_t) json_integer(value) > max) {
        return false;
    }
    *number = json_integer(value);
    return true;
}

static const char *
read_text(const struct json *json, const char *name)
{
    const struct json *value = (json->type == JSON_OBJECT
                                ? shash_find_data(json_object(json), name)
                                : NULL);

    return value && value->type == JSON_STRING ? json_string(value) : "";
}

static int
refuse(const struct store_etcd *store, struct diagnosis *diag,
       const char *what)
{
    int error = diagnosis_set(diag, DIAG_STORE, NULL, NULL,
                              "%s: %.150s", store->name, what);

    diagnosis_set_hint(diag, "somebody else has written below %s; use another "
                       "--etcd-prefix, or put back what was there",
                       store->prefix);
    return error;
}

/* What etcd tells, key by key. */

/* What one revision of etcd, or all of it, brings. */
struct news {
    struct store_etcd_batch batch;
    bool committed;             /* `revision` was written, ... */
    uint64_t revision, last_group_id; /* ... and says this. */
    bool pending;               /* A large commit has become valid. */
};

static void
told_stage(struct store_etcd *store, const char *key,
           const struct etcd_kv *kv)
{
    struct ofpbuf *old = shash_find_and_delete(&store->stages, key);

    ofpbuf_delete(old);
    if (kv) {
        shash_add(&store->stages, key,
                  ofpbuf_clone_data(kv->value.data, kv->value.size));
    }
}

static void
told_pending(struct store_etcd *store, const struct etcd_kv *kv,
             struct news *news)
{
    free(store->pending);
    store->pending = kv ? value_text(kv) : NULL;
    store->pending_mod = kv ? kv->mod_revision : 0;
    news->pending |= kv != NULL;
}

static int
told_revision(struct store_etcd *store, const struct etcd_kv *kv,
              struct news *news, struct diagnosis *diag)
{
    struct json *json;
    bool ok;

    if (!kv) {
        return refuse(store, diag, "the key revision was deleted");
    }
    json = value_json(kv);
    ok = (read_number(json, "revision", INT64_MAX, &news->revision)
          && read_number(json, "last_group_id", GROUP_MAX_ID,
                         &news->last_group_id));
    json_destroy(json);
    if (!ok) {
        return refuse(store, diag, "the key revision is malformed");
    }
    news->committed = true;
    store->revision_mod = MAX(store->revision_mod, kv->mod_revision);
    return 0;
}

/* 'kv' is NULL if 'key', without the prefix, was deleted. */
static int
told(struct store_etcd *store, const char *key, const struct etcd_kv *kv,
     struct news *news, struct diagnosis *diag)
{
    if (!strncmp(key, "record/", 7) || !strncmp(key, "state/", 6)
        || !strncmp(key, "dead/", 5) || !strncmp(key, "health/", 7)) {
        store_etcd_batch_put(&news->batch, key, kv ? kv->value.data : NULL,
                             kv ? kv->value.size : 0);
    } else if (!strcmp(key, "revision")) {
        return told_revision(store, kv, news, diag);
    } else if (!strcmp(key, "leader")) {
        store_etcd_leader_told(store, kv);
    } else if (!strncmp(key, "seen/", 5)) {
        store_etcd_seen_told(store, key + 5, kv);
    } else if (!strncmp(key, "stage/", 6)) {
        told_stage(store, key, kv);
    } else if (!strcmp(key, "pending")) {
        told_pending(store, kv, news);
    }
    return 0;
}

/* The key of 'kv' without the prefix; the caller owns it. */
static char *
relative_key(const struct store_etcd *store, const struct etcd_kv *kv)
{
    size_t n = strlen(store->prefix);

    return (kv->key.size < n || memcmp(kv->key.data, store->prefix, n)
            ? xstrdup("")
            : xmemdup0((const char *) kv->key.data + n, kv->key.size - n));
}

char *
store_etcd_pending_writes(const struct store_etcd *store,
                          struct store_etcd_writes *w, struct diagnosis *diag)
{
    struct json *json = json_from_string(store->pending);
    char *nonce = xstrdup(read_text(json, "nonce"));
    uint64_t n = 0;
    bool ok = read_number(json, "n", UINT32_MAX, &n);

    json_destroy(json);
    *w = (struct store_etcd_writes) { .n = 0 };
    for (uint64_t i = 0; ok && i < n; i++) {
        char *key = xasprintf("stage/%s/%06"PRIu64, nonce, i);
        const struct ofpbuf *b = shash_find_data(&store->stages, key);

        ok = b && !store_etcd_writes_unpack(b->data, b->size, w);
        free(key);
    }
    if (!ok) {
        store_etcd_writes_uninit(w);
        free(nonce);
        refuse(store, diag, "a change that is pending is not complete");
        return NULL;
    }
    return nonce;
}

/* Puts the writes of a large commit over the rest. */
static int
add_pending(const struct store_etcd *store, struct news *news,
            struct diagnosis *diag)
{
    struct store_etcd_writes w;
    char *nonce = store_etcd_pending_writes(store, &w, diag);

    if (!nonce) {
        return EIO;
    }
    for (size_t i = 0; i < w.n; i++) {
        if (news->batch.whole && !w.writes[i].value) {
            free(shash_find_and_delete(&news->batch.items, w.writes[i].key));
        } else {
            store_etcd_batch_put(&news->batch, w.writes[i].key,
                                 w.writes[i].value, w.writes[i].size);
        }
    }
    store_etcd_writes_uninit(&w);
    free(nonce);
    return 0;
}

/* Listing all. */

static void
forget_told(struct store_etcd *store)
{
    struct shash_node *node;

    SHASH_FOR_EACH_SAFE (node, &store->stages) {
        ofpbuf_delete(node->data);
        shash_delete(&store->stages, node);
    }
    free(store->pending);
    store->pending = NULL;
    store->pending_mod = store->revision_mod = 0;
}

/* Prepares the transaction that makes 'catalog' what etcd holds.  '*txn' may
 * be one that changes nothing. */
static int
list(struct store_etcd *store, struct catalog *catalog, long long int now,
     struct catalog_txn **txn, struct diagnosis *diag)
{
    struct news news = { .committed = false };
    struct sset seen = SSET_INITIALIZER(&seen);
    bool leader_found = false;
    int64_t revision = 0;
    struct etcd_kvs kvs;
    int error = etcd_range(store->etcd, store_etcd_bytes(store->prefix),
                           STORE_ETCD_LOAD_MS, &kvs, &revision, diag);

    if (error) {
        return error;
    }
    forget_told(store);
    store_etcd_batch_init(&news.batch, true);
    for (size_t i = 0; !error && i < kvs.n; i++) {
        char *key = relative_key(store, &kvs.kvs[i]);

        leader_found |= !strcmp(key, "leader");
        if (!strncmp(key, "seen/", 5)) {
            sset_add(&seen, key + 5);
        }
        error = told(store, key, &kvs.kvs[i], &news, diag);
        free(key);
    }
    etcd_kvs_destroy(&kvs);
    if (!error && !leader_found) {
        store_etcd_leader_told(store, NULL);
    }
    if (!error) {
        store_etcd_seen_relisted(store, &seen);
    }
    sset_destroy(&seen);
    if (!error && store->pending) {
        error = add_pending(store, &news, diag);
    }
    if (!error) {
        error = store_etcd_batch_apply(&news.batch, catalog, news.revision,
                                       news.last_group_id, now, txn, diag);
        if (error) {
            struct diagnosis cause = *diag;

            refuse(store, diag, cause.message);
        }
    }
    store_etcd_batch_uninit(&news.batch);
    if (!error) {
        store->revision = news.revision;
    }
    etcd_watch_destroy(store->watch);
    store->watch = etcd_watch_create(store->etcd,
                                     store_etcd_bytes(store->prefix),
                                     revision + 1);
    return error;
}

/* As list(), after something was missed; later again if it fails. */
static struct catalog_txn *
list_again(struct store_etcd *store, struct catalog *catalog)
{
    struct catalog_txn *txn;
    struct diagnosis diag;

    if (time_msec() < store->relist_at) {
        return NULL;
    }
    if (list(store, catalog, time_msec(), &txn, &diag)) {
        VLOG_WARN("reading all again: %s", diag.message);
        store->damage = diag;
        store->relist_at = time_msec() + STORE_ETCD_RETRY_MS;
        return NULL;
    }
    VLOG_INFO("%s: read all again, revision %"PRIu64, store->name,
              store->revision);
    store->relist = false;
    store->damage.code = DIAG_NONE;
    if (catalog_txn_revision(txn) == catalog_revision(catalog)) {
        catalog_abort(txn);     /* Nothing was missed. */
        return NULL;
    }
    return txn;
}

/* Following. */

/* 0 with '*txn', or NULL there if nothing of it is for the catalog; else it
 * has to be read again. */
static int
follow_one(struct store_etcd *store, struct catalog *catalog,
           const struct etcd_event *events, size_t n,
           struct catalog_txn **txn, struct diagnosis *diag)
{
    struct news news = { .committed = false };
    int error = 0;

    *txn = NULL;
    store_etcd_batch_init(&news.batch, false);
    for (size_t i = 0; !error && i < n; i++) {
        char *key = relative_key(store, &events[i].kv);

        error = told(store, key, events[i].deleted ? NULL : &events[i].kv,
                     &news, diag);
        free(key);
    }
    /* What comes without `revision` brings a large commit to its place. */
    if (!error && news.committed
        && news.revision > catalog_revision(catalog)) {
        if (news.revision != catalog_revision(catalog) + 1) {
            error = refuse(store, diag, "a revision is missing");
        } else if (news.pending) {
            error = add_pending(store, &news, diag);
        }
        if (!error) {
            error = store_etcd_batch_apply(&news.batch, catalog,
                                           news.revision, news.last_group_id,
                                           time_msec(), txn, diag);
        }
        if (!error) {
            store->revision = news.revision;
        }
    }
    store_etcd_batch_uninit(&news.batch);
    return error;
}

static struct catalog_txn *
etcd_follow(struct store *store_, struct catalog *catalog)
{
    struct store_etcd *store = store_etcd_cast(store_);
    const struct etcd_event *events;
    struct diagnosis diag;
    int64_t revision;
    size_t n;

    if (etcd_watch_state(store->watch) == ETCD_WATCH_COMPACTED) {
        store->relist = true;
    }
    while (!store->relist
           && etcd_watch_next(store->watch, &events, &n, &revision)) {
        struct catalog_txn *txn;

        if (follow_one(store, catalog, events, n, &txn, &diag)) {
            VLOG_WARN("%s: %s", store->name, diag.message);
            store->relist = true;
        } else if (txn) {
            return txn;
        }
    }
    return store->relist ? list_again(store, catalog) : NULL;
}

static void
etcd_store_run(struct store *store_)
{
    struct store_etcd *store = store_etcd_cast(store_);

    etcd_run(store->etcd);
    store_etcd_leader_run(store);
    store_etcd_seen_run(store);
    store_etcd_roll(store);
}

static void
etcd_refresh(struct store *store)
{
    etcd_run(store_etcd_cast(store)->etcd);
}

static void
etcd_store_wait(struct store *store_)
{
    struct store_etcd *store = store_etcd_cast(store_);

    etcd_wait(store->etcd);
    store_etcd_leader_wait(store);
    if (store->relist) {
        poll_timer_wait_until(store->relist_at);
    }
    if (store->lease && !sset_is_empty(&store->seen_dirty)) {
        poll_timer_wait_until(store->seen_at);
    }
    store_etcd_roll_wait(store);
}

/* Opening. */

static char *
make_meta(const struct hash_key *given)
{
    struct hash_key key;

    if (given) {
        key = *given;
    } else if (get_entropy(&key, sizeof key)) {
        return NULL;
    }
    return xasprintf("{\"format\":%d,\"hash_key\":\"%016"PRIx64"%016"PRIx64
                     "\"}", ETCD_FORMAT, key.word[0], key.word[1]);
}

static int
parse_meta(const struct store_etcd *store, const struct etcd_kv *kv,
           struct hash_key *key, struct diagnosis *diag)
{
    struct json *json = value_json(kv);
    const char *hex = read_text(json, "hash_key");
    uint64_t format;
    int error = 0;

    if (!read_number(json, "format", INT32_MAX, &format)) {
        error = refuse(store, diag, "the key meta is malformed");
    } else if (format != ETCD_FORMAT) {
        error = diagnosis_set(diag, DIAG_UNSUPPORTED, "store", store->name,
                              "%s: format %"PRIu64", this grapnel-mapd knows "
                              "format %d", store->name, format, ETCD_FORMAT);
        diagnosis_set_hint(diag, "start the grapnel-mapd that wrote it");
    } else if (strlen(hex) != 32 || !ovs_scan(hex, "%16"SCNx64"%16"SCNx64,
                                              &key->word[0], &key->word[1])) {
        error = refuse(store, diag, "the key meta is malformed");
    }
    json_destroy(json);
    return error;
}

/* Makes `meta`, unless it is there.  That the outcome is unknown does no harm:
 * it is read afterwards. */
static int
create_meta(struct store_etcd *store, const char *path,
            const struct hash_key *key, struct diagnosis *diag)
{
    const struct etcd_compare compare = {
        .key = store_etcd_bytes(path), .target = ETCD_CREATE_REVISION,
    };
    char *value = make_meta(key);
    const struct etcd_op op = { .type = ETCD_PUT,
                                .key = store_etcd_bytes(path),
                                .value = store_etcd_bytes(value ? value
                                                          : "") };
    int error = (value ? etcd_txn(store->etcd, &compare, 1, &op, 1,
                                  ETCD_REQUEST_MS, NULL, NULL, diag)
                 : diagnosis_set(diag, DIAG_STORE, NULL, NULL, "%s: no random "
                                 "numbers for its key", store->name));

    free(value);
    return error == ETIMEDOUT ? 0 : error;
}

static int
refuse_missing(const struct store_etcd *store, struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_NOT_FOUND, "store", store->name,
                              "%s: no store below %s", store->name,
                              store->prefix);

    diagnosis_set_hint(diag, "check the URLs and --etcd-prefix");
    return error;
}

static int
load_meta(struct store_etcd *store, const struct store_options *options,
          struct hash_key *key, struct diagnosis *diag)
{
    char *path = store_etcd_key(store, "meta");
    bool found = false;
    int error = 0;

    for (int attempt = 0; !error && !found && attempt < 3; attempt++) {
        struct etcd_kvs kvs;
        int64_t revision = 0;

        error = etcd_range(store->etcd, store_etcd_bytes(path),
                           ETCD_REQUEST_MS, &kvs, &revision, diag);
        if (error) {
            break;
        }
        found = kvs.n > 0;
        error = (found ? parse_meta(store, &kvs.kvs[0], key, diag)
                 : options->must_exist ? refuse_missing(store, diag)
                 : create_meta(store, path, options->first_key, diag));
        etcd_kvs_destroy(&kvs);
    }
    free(path);
    return error || found ? error : refuse(store, diag, "no key meta");
}

/* The first line of 'file', which the caller owns; NULL if it cannot be
 * read. */
static char *
read_password(const char *file, struct diagnosis *diag)
{
    FILE *stream = fopen(file, "r");
    char line[ETCD_PASSWORD_MAX];

    if (!stream || !fgets(line, sizeof line, stream)) {
        diagnosis_set(diag, DIAG_INVALID, "etcd-password-file", file,
                      "--etcd-password-file: %.100s cannot be read (%s)",
                      file, (stream && !ferror(stream) ? "it is empty"
                             : ovs_strerror(errno)));
        if (stream) {
            fclose(stream);
        }
        return NULL;
    }
    fclose(stream);
    line[strcspn(line, "\r\n")] = '\0';
    return xstrdup(line);
}

static int
connect_etcd(const struct store_options *options, const char *urls,
             struct etcd **etcd, struct diagnosis *diag)
{
    char *password = NULL;
    int error;

    if (options->etcd_password_file) {
        password = read_password(options->etcd_password_file, diag);
        if (!password) {
            return EINVAL;
        }
    }
    error = etcd_create(&(struct etcd_options) {
                            .urls = urls, .user = options->etcd_user,
                            .password = password, .ca = options->etcd_ca,
                            .cert = options->etcd_cert,
                            .key = options->etcd_key }, etcd, diag);
    free(password);
    return error;
}

static void
etcd_close(struct store *store_)
{
    struct store_etcd *store = store_etcd_cast(store_);

    etcd_watch_destroy(store->watch);
    etcd_lease_destroy(store->lease, true);
    etcd_destroy(store->etcd);
    store_etcd_writes_uninit(&store->roll);
    free(store->roll_nonce);
    store_etcd_seen_destroy(store);
    forget_told(store);
    shash_destroy(&store->stages);
    free(store->leader_name);
    free(store->leader_address);
    free(store->self);
    free(store->address);
    free(store->prefix);
    free(store->name);
    free(store);
}

static struct store_etcd *
make_store(const struct store_options *options, const char *urls)
{
    struct store_etcd *store = xzalloc(sizeof *store);
    const char *prefix = (options->etcd_prefix ? options->etcd_prefix
                          : STORE_ETCD_PREFIX);
    size_t n = strlen(prefix);

    store->up.engine = &store_etcd;
    store->name = xasprintf("etcd:%s", urls);
    store->prefix = xasprintf("%s%s", prefix,
                              n && prefix[n - 1] == '/' ? "" : "/");
    store->self = xstrdup(options->name ? options->name : "");
    store->address = xstrdup(options->address ? options->address : "");
    shash_init(&store->stages);
    store->damage.code = DIAG_NONE;
    store_etcd_seen_init(store);
    return store;
}

static int
etcd_open(const struct store_options *options, const char *urls,
          struct catalog *catalog, struct hash_key *key,
          struct store **storep, struct diagnosis *diag)
{
    struct store_etcd *store = make_store(options, urls);
    struct catalog_txn *txn;
    int error = connect_etcd(options, urls, &store->etcd, diag);

    if (!error) {
        error = load_meta(store, options, key, diag);
    }
    if (!error) {
        error = list(store, catalog, 0, &txn, diag);
    }
    if (error) {
        etcd_close(&store->up);
        return error;
    }
    catalog_commit(txn);
    *storep = &store->up;
    return 0;
}

/* What people ask for. */

static int
etcd_check(const struct store *store_, struct diagnosis *diag)
{
    const struct store_etcd *store = store_etcd_cast(store_);
    int error = store_etcd_check_leader(store_, diag);

    return (error && store->leader_term && diag->code == DIAG_NOT_LEADER
            && !store_etcd_has_namesake(store) ? 0 : error);
}

static int
etcd_backup(struct store *store, const char *path OVS_UNUSED,
            struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_UNSUPPORTED, NULL, NULL,
                              "%s is not backed up by grapnel-mapd",
                              store_etcd_cast(store)->name);

    diagnosis_set_hint(diag, "use 'etcdctl snapshot save', or 'grapnelctl "
                       "dump'");
    return error;
}

static const char *
etcd_get_name(const struct store *store)
{
    return store_etcd_cast(store)->name;
}

static const char *
etcd_leader_name(const struct store *store)
{
    return store_etcd_cast(store)->leader_name;
}

static const char *
etcd_leader_address(const struct store *store)
{
    return store_etcd_cast(store)->leader_address;
}

static int64_t
etcd_leader_term(const struct store *store)
{
    return store_etcd_cast(store)->leader_term;
}

static const char *
etcd_own_name(const struct store *store)
{
    return store_etcd_cast(store)->self;
}

const struct store_engine store_etcd = {
    .name = "etcd",
    .commit_room = ETCD_MAX_TXN_OPS - 1, /* And `revision`. */
    .open = etcd_open,
    .close = etcd_close,
    .commit = store_etcd_commit,
    .check = etcd_check,
    .backup = etcd_backup,
    .get_name = etcd_get_name,
    .run = etcd_store_run,
    .wait = etcd_store_wait,
    .refresh = etcd_refresh,
    .follow = etcd_follow,
    .check_leader = store_etcd_check_leader,
    .leader_name = etcd_leader_name,
    .leader_address = etcd_leader_address,
    .leader_term = etcd_leader_term,
    .own_name = etcd_own_name,
    .put_seen = store_etcd_put_seen,
    .drop_seen = store_etcd_drop_seen,
    .next_seen = store_etcd_next_seen,
};
