/* Requests that come together are one revision: one commit, and one update for
 * each subscriber.
 *
 * They are applied one after the other in one transaction of the catalog.  If
 * one of them is refused, all is undone; those before it are made together,
 * it is made alone, and then the rest, so that none suffers for another.  Only
 * plain ones are kept: those that depend on the revision, try only, are about
 * hosts, or remove more than they name, are made alone.  What each has changed
 * is found by looking at the records that it names, before and after. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/server-change.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_batch);

enum {
    BATCH_MAX     = 64,         /* Requests. */
    BATCH_MAX_OPS = 16,         /* In each of them. */
    BATCH_MS      = 5,          /* From the first on. */
};

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 10);

struct server_batched {
    struct connection *conn;
    struct json *id, *params;
    struct json *result;        /* Without the revision; NULL: none yet. */
};

/* Which requests. */

static bool
is_plain_op(const struct json *op)
{
    struct record key;
    const struct json *record;

    if (op->type != JSON_OBJECT
        || shash_find(json_object(op), "cascade")) {
        return false;
    }
    record = shash_find_data(json_object(op), "record");
    return (record && !record_key_from_json(record, &key, NULL)
            && (key.kind == RECORD_GROUP || key.kind == RECORD_ENDPOINT));
}

static const struct json_array *
plain_ops(const struct json *params)
{
    const struct json *param, *ops;

    if (!params || params->type != JSON_ARRAY || json_array(params)->n != 1) {
        return NULL;
    }
    param = json_array(params)->elems[0];
    if (param->type != JSON_OBJECT || shash_count(json_object(param)) != 1) {
        return NULL;
    }
    ops = shash_find_data(json_object(param), "ops");
    if (!ops || ops->type != JSON_ARRAY
        || json_array(ops)->n > BATCH_MAX_OPS) {
        return NULL;
    }
    for (size_t i = 0; i < json_array(ops)->n; i++) {
        if (!is_plain_op(json_array(ops)->elems[i])) {
            return NULL;
        }
    }
    return json_array(ops);
}

/* What is kept for the group that 'op' is about: VNI/NAME; the caller frees
 * it. */
static char *
group_of(const struct json *op)
{
    struct record key;

    record_key_from_json(shash_find_data(json_object(op), "record"), &key,
                         NULL);
    return (key.kind == RECORD_GROUP
            ? xasprintf("%"PRIu32"/%s", key.group.vni, key.group.name)
            : xasprintf("%"PRIu32"/%s", key.endpoint.vni,
                        key.endpoint.group));
}

/* Notes the groups of 'ops' in 'batch'.  Returns how many records and groups
 * they add to those that it changes. */
static size_t
note_groups(struct server_batch *batch, const struct json_array *ops)
{
    size_t n = ops->n;

    for (size_t i = 0; i < ops->n; i++) {
        char *group = group_of(ops->elems[i]);

        n += sset_add(&batch->groups, group) != NULL;
        free(group);
    }
    return n;
}

bool
server_batch_add(struct connection *conn, const struct json *id,
                 const struct json *params)
{
    struct server_batch *batch = &conn->server->batch;
    const struct json_array *ops = plain_ops(params);

    if (!ops) {
        return false;
    }
    if (!batch->requests) {
        batch->requests = xcalloc(BATCH_MAX, sizeof *batch->requests);
    }
    if (batch->n_writes + 2 * ops->n
        > store_commit_room(conn->server->store)) {
        server_batch_flush(conn->server);
    }
    batch->n_writes += note_groups(batch, ops);
    if (!batch->n) {
        batch->since = time_msec();
    }
    batch->requests[batch->n++] = (struct server_batched) {
        .conn = conn,
        .id = json_clone(id),
        .params = json_clone(params),
    };
    if (batch->n >= BATCH_MAX) {
        server_batch_flush(conn->server);
    }
    return true;
}

bool
server_batch_is_due(const struct server *server)
{
    return (server->batch.n
            && time_msec() >= server->batch.since + BATCH_MS);
}

/* What one of them changes. */

struct touched {
    struct record before, after; /* Of the same key. */
    bool existed, exists;
};

static int
compare_touched(const void *a_, const void *b_)
{
    const struct touched *a = a_, *b = b_;

    return record_compare_keys(&a->before, &b->before);
}

/* Looks at each record that 'ops' name, once.  Returns how many. */
static size_t
look_before(const struct catalog *catalog, const struct json_array *ops,
            struct touched touched[BATCH_MAX_OPS])
{
    size_t n = 0, unique = 0;

    for (size_t i = 0; i < ops->n; i++) {
        const struct shash *op = json_object(ops->elems[i]);
        struct touched *t = &touched[n++];

        record_key_from_json(shash_find_data(op, "record"), &t->before, NULL);
    }
    qsort(touched, n, sizeof *touched, compare_touched);
    for (size_t i = 0; i < n; i++) {
        if (!unique || compare_touched(&touched[unique - 1], &touched[i])) {
            touched[unique++] = touched[i];
        }
    }
    for (size_t i = 0; i < unique; i++) {
        struct record key = touched[i].before;

        touched[i].existed = catalog_find_record(catalog, &key,
                                                 &touched[i].before);
    }
    return unique;
}

static struct json *
look_after(struct server *server, struct touched *touched, size_t n)
{
    struct catalog_change changes[BATCH_MAX_OPS];
    size_t n_changes = 0;

    for (size_t i = 0; i < n; i++) {
        struct touched *t = &touched[i];

        t->exists = catalog_find_record(server->catalog, &t->before,
                                        &t->after);
        if (t->existed != t->exists
            || (t->exists && !record_equal(&t->before, &t->after))) {
            changes[n_changes++] = (struct catalog_change) {
                .before = t->existed ? &t->before : NULL,
                .after = t->exists ? &t->after : NULL,
            };
        }
    }
    return server_change_encode(server, changes, n_changes);
}

/* Applies 'r', whose result is then there.  0, or a positive errno. */
static int
apply(struct server *server, struct catalog_txn *txn,
      struct server_batched *r)
{
    const struct json_array *ops = plain_ops(r->params);
    struct json *warnings = json_array_create_empty();
    struct touched touched[BATCH_MAX_OPS];
    size_t n = look_before(server->catalog, ops, touched);
    struct diagnosis diag = { .op = -1 };
    int error = 0;

    catalog_set_force(txn, false);
    for (size_t i = 0; i < ops->n && !error; i++) {
        error = server_change_apply(server, txn, ops->elems[i], NULL,
                                    warnings, &diag);
    }
    if (!error) {
        json_destroy(r->result); /* Of an attempt that was undone. */
        r->result = json_object_create();
        json_object_put(r->result, "changes",
                        look_after(server, touched, n));
    }
    if (!error && json_array(warnings)->n) {
        json_object_put(r->result, "warnings", warnings);
    } else {
        json_destroy(warnings);
    }
    return error;
}

/* All of them. */

static void
answer(struct server_batched *r, struct json *result,
       const struct diagnosis *diag)
{
    if (!result) {
        server_metrics_refused(&r->conn->server->metrics, "transact");
    }
    server_send(r->conn, result ? jsonrpc_create_reply(result, r->id)
                : jsonrpc_create_error(diagnosis_to_json(diag), r->id));
}

/* For the audit log, unless nothing has changed. */
static void
log_change(const struct server_batched *r)
{
    const struct json *changes = shash_find_data(json_object(r->result),
                                                 "changes");
    struct diagnosis diag;

    if (json_array(changes)->n
        && !server_trust_begin(r->conn, "transact", &diag)) {
        server_trust_changed(r->conn->server, changes);
    }
}

static void
make_alone(struct server_batched *r)
{
    struct diagnosis diag = { .op = -1 };

    server_trust_begin(r->conn, "transact", &diag);
    answer(r, server_transact(r->conn, r->params, &diag), &diag);
}

/* Commits the prepared 'txn', or undoes it; and answers the 'n' requests. */
static void
commit(struct server *server, struct catalog_txn *txn,
       struct server_batched *requests, size_t n)
{
    struct diagnosis diag = { .op = -1 };
    const struct catalog_change *changes;
    struct json *encoded;
    size_t n_changes;
    long long int started = time_usec();
    int error = 0;

    changes = catalog_txn_changes(txn, &n_changes);
    encoded = server_change_encode(server, changes, n_changes);
    if (catalog_txn_revision(txn) == catalog_revision(server->catalog)) {
        catalog_abort(txn);
    } else {
        error = store_commit(server->store, txn, server->catalog, &diag);
        server_metrics_committed(&server->metrics, started, error != 0);
        if (error) {
            VLOG_ERR_RL(&rl, "%"PRIuSIZE" requests are refused: %s", n,
                        diag.message);
            catalog_abort(txn);
        } else {
            server_committed(server, txn, encoded);
        }
    }
    json_destroy(encoded);

    for (size_t i = 0; i < n; i++) {
        struct server_batched *r = &requests[i];

        if (!error) {
            json_object_put(r->result, "revision", json_integer_create(
                                catalog_revision(server->catalog)));
        }
        if (!error) {
            log_change(r);
        }
        answer(r, error ? NULL : json_clone(r->result), &diag);
    }
}

/* Makes the 'n' requests one revision, answers them, and returns 'n'; or does
 * nothing, and returns which of them is to be made alone. */
static size_t
make_together(struct server *server, struct server_batched *requests, size_t n)
{
    struct catalog_txn *txn = server_begin(server);
    struct diagnosis diag = { .op = -1 };

    store_refresh(server->store);
    for (size_t i = 0; i < n; i++) {
        if (apply(server, txn, &requests[i])) {
            catalog_abort(txn);
            return i;
        }
    }
    if (catalog_prepare(txn, &diag)) {
        /* It may be any of them: halves find it soon. */
        catalog_abort(txn);
        return n / 2;
    }
    commit(server, txn, requests, n);
    return n;
}

static void
make(struct server *server, struct server_batched *requests, size_t n)
{
    while (n > 1) {
        size_t done = make_together(server, requests, n);

        if (done < n) {
            make(server, requests, done);
            make_alone(&requests[done++]);
        }
        requests += done;
        n -= done;
    }
    if (n) {
        make_alone(requests);
    }
}

void
server_batch_flush(struct server *server)
{
    struct server_batch *batch = &server->batch;

    make(server, batch->requests, batch->n);
    for (size_t i = 0; i < batch->n; i++) {
        json_destroy(batch->requests[i].id);
        json_destroy(batch->requests[i].params);
        json_destroy(batch->requests[i].result);
    }
    batch->n = batch->n_writes = 0;
    sset_clear(&batch->groups);
}
