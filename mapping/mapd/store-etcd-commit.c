/* Commits: one transaction of etcd, whatever their size.
 *
 * What does not fit into one is staged under keys that mean nothing yet.  Then
 * a transaction makes them valid, at once and for good, by `pending`.  After
 * that they are written to their places, which anybody who leads can do, as
 * often as need be. */

#include <config.h>

#include "mapping/mapd/store-etcd-private.h"

#include <errno.h>
#include <inttypes.h>

#include "openvswitch/json.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"
#include "uuid.h"

VLOG_DEFINE_THIS_MODULE(store_etcd_commit);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(2, 5);

static struct etcd_bytes
key_bytes(const struct store_etcd *store, const char *key)
{
    return store_etcd_bytes(store_etcd_key(store, key));
}

static void
free_bytes(struct etcd_bytes *bytes)
{
    free(CONST_CAST(void *, bytes->data));
}

static char *
make_nonce(void)
{
    struct uuid uuid;

    uuid_generate(&uuid);
    return xasprintf(UUID_FMT, UUID_ARGS(&uuid));
}

/* That this mapd still is the leader. */
static struct etcd_compare
compare_term(const struct store_etcd *store)
{
    return (struct etcd_compare) { .key = key_bytes(store, "leader"),
                                   .target = ETCD_CREATE_REVISION,
                                   .value = store->leader_term };
}

/* Unknown outcomes. */

/* Reads the nonce of the commit that was the last, "" if there was none, and
 * the mod_revision of its key. */
static int
read_last_nonce(struct store_etcd *store, char **nonce, int64_t *mod,
                struct diagnosis *diag)
{
    struct etcd_bytes key = key_bytes(store, "revision");
    struct etcd_kvs kvs;
    int64_t revision = 0;
    int error = etcd_range(store->etcd, key, 2 * ETCD_ATTEMPT_MS, &kvs,
                           &revision, diag);

    if (!error) {
        *nonce = xstrdup("");
        *mod = 0;
        if (kvs.n) {
            char *text = xmemdup0(kvs.kvs[0].value.data,
                                  kvs.kvs[0].value.size);
            struct json *json = json_from_string(text);
            const struct json *value
                = (json->type == JSON_OBJECT
                   ? shash_find_data(json_object(json), "nonce") : NULL);

            if (value && value->type == JSON_STRING) {
                free(*nonce);
                *nonce = xstrdup(json_string(value));
            }
            *mod = kvs.kvs[0].mod_revision;
            json_destroy(json);
            free(text);
        }
        etcd_kvs_destroy(&kvs);
    }
    free_bytes(&key);
    return error;
}

static int
refuse_unknown(struct store_etcd *store, struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_STORE, NULL, NULL, "%s: etcd does "
                              "not say whether the change was made",
                              store->name);

    diagnosis_set_hint(diag, "look whether it was, when 'grapnelctl status' "
                       "says that etcd answers again");
    store_etcd_step_down(store);
    return error;
}

static int
refuse_overtaken(struct store_etcd *store, struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_STORE, NULL, NULL, "%s: another "
                              "grapnel-mapd makes changes now", store->name);

    diagnosis_set_hint(diag, "nothing was changed: try again in a few "
                       "seconds");
    store_etcd_step_down(store);
    return error;
}

/* A transaction whose compares fail once it has been done (or anything else
 * has): so it can be repeated until its outcome is known.  'nonce' is what it
 * writes to `revision`; NULL: it may be done twice, and is just repeated.
 * Returns 0 with '*mod', the revision of etcd that it made. */
static int
do_once(struct store_etcd *store, const struct etcd_compare *compares,
        size_t n_compares, const struct etcd_op *ops, size_t n_ops,
        const char *nonce, int64_t *mod, struct diagnosis *diag)
{
    long long int deadline = time_msec() + ETCD_REQUEST_MS;
    bool unknown = false;

    for (;;) {
        bool succeeded;
        int error = etcd_txn(store->etcd, compares, n_compares, ops, n_ops,
                             ETCD_ATTEMPT_MS, &succeeded, mod, diag);

        if (!error && succeeded) {
            return 0;
        } else if (!error && unknown && nonce) {
            char *last;

            error = read_last_nonce(store, &last, mod, diag);
            if (!error) {
                bool ours = !strcmp(last, nonce);

                free(last);
                return ours ? 0 : refuse_overtaken(store, diag);
            }
        } else if (!error) {
            return refuse_overtaken(store, diag);
        } else if (error == ETIMEDOUT) {
            unknown = true;
        } else if (error != EAGAIN && !unknown) {
            return error;       /* It was not done. */
        }
        if (time_msec() >= deadline) {
            if (unknown && nonce) {
                return refuse_unknown(store, diag);
            }
            return diagnosis_set(diag, DIAG_STORE, NULL, NULL, "%s: etcd does "
                                 "not answer, nothing was changed",
                                 store->name);
        }
        if (error == EAGAIN) {
            poll_timer_wait(20);
            poll_block();
        }
    }
}

/* Writing. */

static char *
make_revision(const struct store_etcd *store, uint64_t revision,
              uint32_t last_group_id, const char *nonce)
{
    struct json *json = json_object_create();
    char *text;

    json_object_put(json, "revision", json_integer_create(revision));
    json_object_put(json, "last_group_id",
                    json_integer_create(last_group_id));
    json_object_put_string(json, "writer", store->self);
    json_object_put_string(json, "nonce", nonce);
    text = json_to_string(json, JSSF_SORT);
    json_destroy(json);
    return text;
}

/* Owns the strings of its keys, not of its values. */
static struct etcd_op *
make_ops(const struct store_etcd *store, const struct store_etcd_writes *w,
         size_t first, size_t n, size_t room)
{
    struct etcd_op *ops = xcalloc(n + room, sizeof *ops);

    for (size_t i = 0; i < n; i++) {
        const struct store_etcd_write *write = &w->writes[first + i];

        ops[i].type = write->value ? ETCD_PUT : ETCD_DELETE;
        ops[i].key = key_bytes(store, write->key);
        ops[i].value.data = write->value;
        ops[i].value.size = write->size;
    }
    return ops;
}

static void
free_ops(struct etcd_op *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free_bytes(&ops[i].key);
    }
    free(ops);
}

/* The transaction that makes the commit: 'ops' and `revision`, whose place is
 * the last one of 'ops'. */
static int
commit_ops(struct store_etcd *store, struct etcd_op *ops, size_t n,
           uint64_t revision, uint32_t last_group_id, const char *nonce,
           struct diagnosis *diag)
{
    char *value = make_revision(store, revision, last_group_id, nonce);
    struct etcd_compare compares[] = {
        compare_term(store),
        { .key = key_bytes(store, "revision"), .target = ETCD_MOD_REVISION,
          .value = store->revision_mod },
    };
    int64_t mod;
    int error;

    ops[n - 1] = (struct etcd_op) { .type = ETCD_PUT,
                                    .key = key_bytes(store, "revision"),
                                    .value = store_etcd_bytes(value) };
    error = do_once(store, compares, 2, ops, n, nonce, &mod, diag);
    if (!error) {
        store->revision = revision;
        store->revision_mod = mod;
    }
    free_bytes(&compares[0].key);
    free_bytes(&compares[1].key);
    free(value);
    return error;
}

/* Large commits. */

static int
stage_value(struct store_etcd *store, const char *nonce, size_t number,
            const struct ofpbuf *b, struct diagnosis *diag)
{
    char *path = xasprintf("stage/%s/%06"PRIuSIZE, nonce, number);
    struct etcd_compare compare = compare_term(store);
    struct etcd_op op = { .type = ETCD_PUT, .key = key_bytes(store, path),
                          .value = { .data = b->data, .size = b->size } };
    int64_t mod;
    int error = do_once(store, &compare, 1, &op, 1, NULL, &mod, diag);

    free_bytes(&compare.key);
    free_bytes(&op.key);
    free(path);
    return error;
}

/* Sets '*n' to the number of values. */
static int
stage(struct store_etcd *store, const struct store_etcd_writes *w,
      const char *nonce, size_t *n, struct diagnosis *diag)
{
    struct ofpbuf b;
    size_t i = 0;
    int error = 0;

    *n = 0;
    ofpbuf_init(&b, STORE_ETCD_STAGE);
    while (!error && i < w->n) {
        size_t count = store_etcd_writes_fit(w, i, SIZE_MAX,
                                             STORE_ETCD_STAGE);

        ofpbuf_clear(&b);
        store_etcd_writes_pack(w, i, count, &b);
        error = stage_value(store, nonce, (*n)++, &b, diag);
        i += count;
    }
    ofpbuf_uninit(&b);
    return error;
}

static int
commit_large(struct store_etcd *store, struct store_etcd_writes *w,
             uint64_t revision, uint32_t last_group_id, char *nonce,
             struct diagnosis *diag)
{
    struct etcd_op ops[2];
    size_t n_values;
    char *value;
    int error = stage(store, w, nonce, &n_values, diag);

    if (error) {
        store->littered = true;
        free(nonce);
        return error;
    }
    value = xasprintf("{\"n\":%"PRIuSIZE",\"nonce\":\"%s\"}", n_values, nonce);
    ops[0] = (struct etcd_op) { .type = ETCD_PUT,
                                .key = key_bytes(store, "pending"),
                                .value = store_etcd_bytes(value) };
    error = commit_ops(store, ops, 2, revision, last_group_id, nonce, diag);
    if (!error) {
        store->roll = *w;
        store->rolled = 0;
        store->roll_nonce = nonce;
        store->pending_mod = store->revision_mod;
        *w = (struct store_etcd_writes) { .n = 0 };
    } else {
        store->littered = true;
        free(nonce);
    }
    free_bytes(&ops[0].key);
    free_bytes(&ops[1].key);
    free(value);
    return error;
}

/* That the large commit still is pending: what was sent while it was, and
 * comes late, does nothing. */
static struct etcd_compare
compare_pending(const struct store_etcd *store)
{
    return (struct etcd_compare) { .key = key_bytes(store, "pending"),
                                   .target = ETCD_MOD_REVISION,
                                   .value = store->pending_mod };
}

static int
finish_roll(struct store_etcd *store, struct diagnosis *diag)
{
    struct etcd_compare compares[] = { compare_term(store),
                                       compare_pending(store) };
    char *path = xasprintf("stage/%s/", store->roll_nonce);
    struct etcd_op ops[] = {
        { .type = ETCD_DELETE, .key = key_bytes(store, "pending") },
        { .type = ETCD_DELETE_PREFIX, .key = key_bytes(store, path) },
    };
    int64_t mod;
    int error = do_once(store, compares, 2, ops, 2, NULL, &mod, diag);

    free(path);
    free_bytes(&compares[0].key);
    free_bytes(&compares[1].key);
    free_bytes(&ops[0].key);
    free_bytes(&ops[1].key);
    return error;
}

static int
roll_on(struct store_etcd *store, struct diagnosis *diag)
{
    size_t n = store_etcd_writes_fit(&store->roll, store->rolled,
                                     ETCD_MAX_TXN_OPS, ETCD_MAX_TXN_BYTES / 2);
    struct etcd_op *ops = make_ops(store, &store->roll, store->rolled, n, 1);
    struct etcd_compare compares[] = { compare_term(store),
                                       compare_pending(store) };
    int64_t mod;
    int error = n ? do_once(store, compares, 2, ops, n, NULL, &mod, diag) : 0;

    free_bytes(&compares[0].key);
    free_bytes(&compares[1].key);
    free_ops(ops, n);
    if (error) {
        return error;
    }
    store->rolled += n;
    if (store->rolled < store->roll.n) {
        return 0;
    }
    error = finish_roll(store, diag);
    if (!error) {
        store_etcd_writes_uninit(&store->roll);
        free(store->roll_nonce);
        store->roll_nonce = NULL;
    }
    return error;
}

/* What is staged means nothing, and takes room.  Not while a large commit is
 * pending. */
static int
discard_staged(struct store_etcd *store, struct diagnosis *diag)
{
    struct etcd_compare compare = compare_term(store);
    struct etcd_op op = { .type = ETCD_DELETE_PREFIX,
                          .key = key_bytes(store, "stage/") };
    int64_t mod;
    int error = do_once(store, &compare, 1, &op, 1, NULL, &mod, diag);

    free_bytes(&compare.key);
    free_bytes(&op.key);
    store->littered = error != 0;
    return error;
}

void
store_etcd_roll(struct store_etcd *store)
{
    struct diagnosis diag;
    int error = 0;

    if ((!store->roll_nonce && !store->littered)
        || time_msec() < store->roll_at) {
        return;
    }
    if (store_etcd_check_leader(&store->up, &diag)) {
        error = EAGAIN;
    } else if (store->roll_nonce) {
        error = roll_on(store, &diag);
        if (error) {
            VLOG_WARN_RL(&rl, "%s: a large change that is made is not at its "
                         "place yet: %s", store->name, diag.message);
        }
    } else {
        error = discard_staged(store, &diag);
        if (error) {
            VLOG_WARN_RL(&rl, "%s: what was written in vain is still there: "
                         "%s", store->name, diag.message);
        }
    }
    if (error) {
        store->roll_at = time_msec() + STORE_ETCD_RETRY_MS;
    }
}

void
store_etcd_roll_wait(const struct store_etcd *store)
{
    if (store->roll_nonce || store->littered) {
        poll_timer_wait_until(MAX(store->roll_at, time_msec() + 1));
    }
}

/* Everything of the large commit before this one is to be at its place. */
static int
finish_large(struct store_etcd *store, struct diagnosis *diag)
{
    long long int deadline = time_msec() + ETCD_REQUEST_MS;
    int error = 0;

    while (!error && store->roll_nonce) {
        if (time_msec() >= deadline) {
            error = diagnosis_set(diag, DIAG_BUSY, NULL, NULL, "%s: a large "
                                  "change is still being written",
                                  store->name);
            diagnosis_set_hint(diag, "try again in a few seconds");
            break;
        }
        error = store_etcd_check_leader(&store->up, diag);
        if (!error) {
            error = roll_on(store, diag);
        }
    }
    return error;
}

int
store_etcd_commit(struct store *store_, const struct catalog_txn *txn,
                  const struct catalog *catalog, struct diagnosis *diag)
{
    struct store_etcd *store = store_etcd_cast(store_);
    uint64_t revision = catalog_txn_revision(txn);
    uint32_t last_group_id = catalog_last_group_id(catalog);
    struct store_etcd_writes w;
    char *nonce;
    int error = store_etcd_check_leader(store_, diag);

    if (!error) {
        error = finish_large(store, diag);
    }
    if (error) {
        return error;
    }
    nonce = make_nonce();
    store_etcd_writes_build(&w, txn, store_);
    if (store_etcd_writes_fit(&w, 0, ETCD_MAX_TXN_OPS - 1,
                              ETCD_MAX_TXN_BYTES / 2) == w.n) {
        struct etcd_op *ops = make_ops(store, &w, 0, w.n, 1);

        error = commit_ops(store, ops, w.n + 1, revision, last_group_id,
                           nonce, diag);
        free_ops(ops, w.n + 1);
        free(nonce);
    } else {
        error = commit_large(store, &w, revision, last_group_id, nonce, diag);
    }
    store_etcd_writes_uninit(&w);
    return error;
}

void
store_etcd_take_over(struct store_etcd *store)
{
    struct diagnosis diag;

    store->roll_at = 0;
    if (store->pending) {
        char *nonce = store_etcd_pending_writes(store, &store->roll, &diag);

        if (nonce) {
            free(store->roll_nonce);
            store->roll_nonce = nonce;
            store->rolled = 0;
        } else {
            store->damage = diag;
        }
    }
    store->littered = !shash_is_empty(&store->stages);
}
