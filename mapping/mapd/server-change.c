/* Method `transact`, and what all methods that change the catalog go through:
 * server_finish(). */

#include <config.h>

#include "mapping/mapd/server-change.h"

#include <inttypes.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/catalog/catalog-lease.h"
#include "mapping/mapd/params.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_change);

enum { REFRESH_EVERY = 1000 };  /* Changes. */

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 10);

void
server_change_options(struct params *p, struct server_change_options *options)
{
    options->dry_run = params_bool(p, "dry_run", false);
    options->if_revision = params_uint(p, "if_revision", 0, INT64_MAX,
                                       UINT64_MAX);
    options->conditional = options->if_revision != UINT64_MAX;
}

int
server_change_check(const struct server *server,
                    const struct server_change_options *options,
                    struct diagnosis *diag)
{
    uint64_t revision = catalog_revision(server->catalog);
    char text[24];
    int error;

    if (!options->conditional || options->if_revision == revision) {
        return 0;
    }
    snprintf(text, sizeof text, "%"PRIu64, options->if_revision);
    error = diagnosis_set(diag, DIAG_REVISION, "if_revision", text,
                          "the change is for revision %s only, and the "
                          "revision is %"PRIu64, text, revision);
    diagnosis_set_hint(diag, "look at what has changed, then repeat with "
                       "if-revision %"PRIu64, revision);
    return error;
}

int
server_change_merge(struct server *server, struct catalog_txn *txn,
                    const struct record *record, struct diagnosis *diag)
{
    struct record old, new = *record;
    struct json *json;
    int error;

    if (!catalog_find_record(server->catalog, record, &old)) {
        return catalog_add(txn, record, false, diag);
    }
    record_adopt_binding(&new, &old);
    if (record_equal(&old, &new)) {
        return 0;
    }
    json = record_to_json(&new);
    error = catalog_set(txn, json, diag);
    json_destroy(json);
    return error;
}

/* Finishing. */

struct json *
server_change_encode(struct server *server,
                     const struct catalog_change *changes, size_t n)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < n; i++) {
        const struct catalog_change *c = &changes[i];
        struct json *json = json_object_create();

        if (!(i % REFRESH_EVERY)) {
            store_refresh(server->store);
        }
        json_object_put_string(json, "op", (!c->before ? "add"
                                            : !c->after ? "remove" : "set"));
        json_object_put(json, "record",
                        record_to_json(c->after ? c->after : c->before));
        if (c->before) {
            json_object_put(json, "before", record_to_json(c->before));
        }
        json_array_add(array, json);
    }
    return array;
}

static bool
removes_host(const struct catalog_change *change)
{
    return (change->before && change->before->kind == RECORD_HOST
            && !change->after);
}

/* A host that is connected uses what it is sent, and so it must be seen, and
 * waited for. */
static int
check_removed_hosts(const struct server *server,
                    const struct catalog_change *changes, size_t n,
                    struct diagnosis *diag)
{
    for (size_t i = 0; i < n; i++) {
        const struct presence_host *host
            = (removes_host(&changes[i])
               ? presence_find(&server->presence,
                               changes[i].before->host.name) : NULL);

        if (host && presence_is_connected(host)) {
            int seconds = (server->host_timeout
                           ? DIV_ROUND_UP(server->host_timeout, 1000)
                           : 2 * SERVER_PROBE_MS / 1000);
            int error = diagnosis_set(diag, DIAG_IN_USE, "name", host->name,
                                      "host %s is connected", host->name);

            diagnosis_set_hint(diag, "stop its switch, or unset grapnel-mapd "
                               "there; one that died is noticed within %d "
                               "seconds", seconds);
            return error;
        }
    }
    return 0;
}

/* A shared store may bring the removal of a host that has just come here: its
 * switch is to register anew. */
static void
forget_host(struct server *server, const char *name)
{
    struct connection *conn = server_find_host(server, name);

    if (conn) {
        VLOG_WARN_RL(&rl, "host %s: its record was removed, closing its "
                     "connection %s", name, jsonrpc_get_name(conn->rpc));
        server_set_host(conn, NULL);
        server_doom(conn);
    }
    presence_forget(&server->presence, name);
}

static void
forget_removed_hosts(struct server *server,
                     const struct catalog_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (removes_host(&changes[i])) {
            forget_host(server, changes[i].before->host.name);
        }
    }
}

struct catalog_txn *
server_begin(struct server *server)
{
    struct catalog_txn *txn = catalog_begin(server->catalog);

    catalog_set_time(txn, time_msec());
    return txn;
}

void
server_committed(struct server *server, struct catalog_txn *txn,
                 const struct json *encoded)
{
    const struct catalog_change *changes;
    size_t n;

    server_vnis_changed(server, txn);
    server_publish(server, txn, encoded);
    changes = catalog_txn_changes(txn, &n);
    forget_removed_hosts(server, changes, n);
    server_liveness_committed(server, txn);
    server_iface_committed(server, txn);
    server_health_committed(server, txn);
    catalog_commit(txn);
    presence_committed(&server->presence, catalog_revision(server->catalog),
                       time_msec());
}

struct json *
server_finish(struct server *server, struct catalog_txn *txn, bool dry_run,
              struct diagnosis *diag)
{
    const struct catalog_change *changes;
    struct json *encoded, *result;
    long long int started;
    size_t n;

    store_refresh(server->store);
    if (catalog_prepare(txn, diag)) {
        catalog_abort(txn);
        return NULL;
    }
    store_refresh(server->store);
    changes = catalog_txn_changes(txn, &n);
    if (check_removed_hosts(server, changes, n, diag)) {
        catalog_abort(txn);
        return NULL;
    }
    encoded = server_change_encode(server, changes, n);
    store_refresh(server->store);
    started = time_usec();
    if (dry_run
        || catalog_txn_revision(txn) == catalog_revision(server->catalog)) {
        catalog_abort(txn);
    } else if (store_commit(server->store, txn, server->catalog, diag)) {
        server_metrics_committed(&server->metrics, started, true);
        VLOG_ERR_RL(&rl, "a change is refused: %s", diag->message);
        catalog_abort(txn);
        json_destroy(encoded);
        return NULL;
    } else {
        server_metrics_committed(&server->metrics, started, false);
        server_committed(server, txn, encoded);
        server_trust_changed(server, encoded);
    }

    result = json_object_create();
    json_object_put(result, "revision",
                    json_integer_create(catalog_revision(server->catalog)));
    json_object_put(result, "changes", encoded);
    return result;
}

/* Method: transact. */

/* An operation as it was sent. */
struct op {
    const char *name;
    const struct json *record;
    bool may_exist, if_exists, cascade, force;
    int64_t epoch_rule;
};

static bool
is_lease_op(const char *name)
{
    enum catalog_lease_op op;

    return catalog_lease_op_from_name(name, &op);
}

/* Reads 'array', which holds the operation. */
static int
parse_op(const struct json *array, struct op *op, struct diagnosis *diag)
{
    struct params p;

    *op = (struct op) { .epoch_rule = CATALOG_EPOCH_KEEP };
    params_open(&p, array, diag);
    op->name = params_string(&p, "op", "");
    params_require(&p, "op");
    op->record = params_object(&p, "record");
    params_require(&p, "record");
    if (!strcmp(op->name, "add") || !strcmp(op->name, "allocate")) {
        op->may_exist = params_bool(&p, "may_exist", false);
    } else if (!strcmp(op->name, "remove")) {
        op->if_exists = params_bool(&p, "if_exists", false);
        op->cascade = params_bool(&p, "cascade", false);
    } else if (!strcmp(op->name, "return")) {
        op->if_exists = params_bool(&p, "if_exists", false);
    } else if (!strcmp(op->name, "set")) {
        op->force = params_bool(&p, "force", false);
        op->epoch_rule = (int64_t) params_uint(&p, "if_epoch", 0, UINT32_MAX,
                                               CATALOG_EPOCH_KEEP);
    } else if (!p.error && !is_lease_op(op->name)) {
        p.error = diagnosis_set(diag, DIAG_INVALID, "op", op->name,
                                "op must be add, set, remove, allocate, "
                                "renew, return or reassign, not \"%.64s\"",
                                op->name);
        diagnosis_set_hint(diag, "docs/protocol.md describes transactions");
    }
    return params_close(&p);
}

int
server_change_apply(const struct server *server, struct catalog_txn *txn,
                    const struct json *json, struct json *leases,
                    struct json *warnings, struct diagnosis *diag)
{
    struct json *array = json_array_create_1(json_clone(json));
    struct record record;
    struct op op;
    int error = parse_op(array, &op, diag);

    if (error) {
        /* Fall through. */
    } else if (!strcmp(op.name, "add")) {
        error = record_from_json(op.record, &record, diag);
        if (!error) {
            error = catalog_add(txn, &record, op.may_exist, diag);
        }
    } else if (!strcmp(op.name, "set")) {
        catalog_set_force(txn, op.force);
        catalog_set_epoch_rule(txn, op.epoch_rule);
        error = catalog_set(txn, op.record, diag);
        catalog_set_epoch_rule(txn, CATALOG_EPOCH_KEEP);
    } else if (!strcmp(op.name, "remove")) {
        error = record_key_from_json(op.record, &record, diag);
        if (!error) {
            error = catalog_remove(txn, &record, op.if_exists, op.cascade,
                                   diag);
        }
    } else {
        error = server_lease_apply(server, txn, op.name, op.record,
                                   op.may_exist || op.if_exists, leases,
                                   diag);
    }
    if (!error) {
        server_change_warn(server->catalog, op.record, warnings);
    }
    json_destroy(array);
    return error;
}

/* Index of the last of 'ops' that removes host 'name', or -1. */
static int
find_removal(const struct json *ops, const char *name)
{
    for (int i = json_array(ops)->n - 1; i >= 0; i--) {
        const struct shash *op = json_object(json_array(ops)->elems[i]);
        const struct json *kind = shash_find_data(op, "op");
        const struct json *json = shash_find_data(op, "record");
        struct record record;

        if (!strcmp(json_string(kind), "remove")
            && !record_key_from_json(json, &record, NULL)
            && record.kind == RECORD_HOST
            && !strcmp(record.host.name, name)) {
            return i;
        }
    }
    return -1;
}

/* Adds 'array', which it takes over, to 'result', if there are both. */
static void
put_if_any(struct json *result, const char *name, struct json *array)
{
    if (result && json_array(array)->n) {
        json_object_put(result, name, array);
    } else {
        json_destroy(array);
    }
}

struct json *
server_transact(struct connection *conn, const struct json *params,
                struct diagnosis *diag)
{
    struct server *server = conn->server;
    struct server_change_options options;
    struct json *result, *leases, *warnings;
    const struct json *ops;
    struct catalog_txn *txn;
    struct params p;

    params_open(&p, params, diag);
    ops = params_array(&p, "ops");
    params_require(&p, "ops");
    server_change_options(&p, &options);
    if (params_close(&p) || server_change_check(server, &options, diag)) {
        return NULL;
    }

    leases = json_array_create_empty();
    warnings = json_array_create_empty();
    txn = server_begin(server);
    for (size_t i = 0; i < json_array(ops)->n; i++) {
        const struct json *op = json_array(ops)->elems[i];

        catalog_set_op(txn, i);
        if (roles_check_op(server_trust_asker(conn), server->catalog, op,
                           diag)
            || server_change_apply(server, txn, op, leases, warnings, diag)) {
            diag->op = i;
            catalog_abort(txn);
            json_destroy(leases);
            json_destroy(warnings);
            return NULL;
        }
    }
    result = server_finish(server, txn, options.dry_run, diag);
    put_if_any(result, "leases", leases);
    put_if_any(result, "warnings", warnings);
    if (!result && diag->code == DIAG_IN_USE && diag->op < 0) {
        diag->op = find_removal(ops, diag->value);
    }
    return result;
}
