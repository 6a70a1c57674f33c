/* Method `transact`, and what all methods that change the catalog go through:
 * server_finish(). */

#include <config.h>

#include "mapping/mapd/server-change.h"

#include <inttypes.h>
#include <string.h>

#include "mapping/mapd/params.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_change);

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
    struct record old;
    struct json *json;
    int error;

    if (!catalog_find_record(server->catalog, record, &old)) {
        return catalog_add(txn, record, false, diag);
    } else if (record_equal(&old, record)) {
        return 0;
    }
    json = record_to_json(record);
    error = catalog_set(txn, json, diag);
    json_destroy(json);
    return error;
}

/* Finishing. */

static struct json *
encode_changes(const struct catalog_change *changes, size_t n)
{
    struct json *array = json_array_create_empty();

    for (size_t i = 0; i < n; i++) {
        const struct catalog_change *c = &changes[i];
        struct json *json = json_object_create();

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

        if (host && host->owner) {
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

static void
forget_removed_hosts(struct server *server,
                     const struct catalog_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (removes_host(&changes[i])) {
            presence_forget(&server->presence, changes[i].before->host.name);
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

struct json *
server_finish(struct server *server, struct catalog_txn *txn, bool dry_run,
              struct diagnosis *diag)
{
    const struct catalog_change *changes;
    struct json *encoded, *result;
    size_t n;

    if (catalog_prepare(txn, diag)) {
        catalog_abort(txn);
        return NULL;
    }
    changes = catalog_txn_changes(txn, &n);
    if (check_removed_hosts(server, changes, n, diag)) {
        catalog_abort(txn);
        return NULL;
    }
    encoded = encode_changes(changes, n);
    if (dry_run
        || catalog_txn_revision(txn) == catalog_revision(server->catalog)) {
        catalog_abort(txn);
    } else if (store_commit(server->store, txn, server->catalog, diag)) {
        VLOG_ERR_RL(&rl, "a change is refused: %s", diag->message);
        catalog_abort(txn);
        json_destroy(encoded);
        return NULL;
    } else {
        server_publish(server, txn, encoded);
        forget_removed_hosts(server, changes, n);
        server_liveness_committed(server, txn);
        catalog_commit(txn);
        server_trust_changed(server, encoded);
        presence_committed(&server->presence,
                           catalog_revision(server->catalog), time_msec());
    }

    result = json_object_create();
    json_object_put(result, "revision",
                    json_integer_create(catalog_revision(server->catalog)));
    json_object_put(result, "changes", encoded);
    return result;
}

/* Method: transact. */

static int
apply_op(struct catalog_txn *txn, const struct catalog *catalog,
         const struct json *json, struct json *warnings,
         struct diagnosis *diag)
{
    struct json *array = json_array_create_1(json_clone(json));
    bool may_exist = false, if_exists = false, cascade = false;
    bool force = false;
    const struct json *contents;
    struct record record;
    struct params p;
    const char *op;
    int error;

    params_open(&p, array, diag);
    op = params_string(&p, "op", "");
    params_require(&p, "op");
    contents = params_object(&p, "record");
    params_require(&p, "record");
    if (!strcmp(op, "add")) {
        may_exist = params_bool(&p, "may_exist", false);
    } else if (!strcmp(op, "remove")) {
        if_exists = params_bool(&p, "if_exists", false);
        cascade = params_bool(&p, "cascade", false);
    } else if (!strcmp(op, "set")) {
        force = params_bool(&p, "force", false);
    } else if (!p.error) {
        p.error = diagnosis_set(diag, DIAG_INVALID, "op", op,
                                "op must be add, set or remove, not "
                                "\"%.64s\"", op);
        diagnosis_set_hint(diag, "docs/protocol.md describes transactions");
    }
    error = params_close(&p);

    if (error) {
        /* Fall through. */
    } else if (!strcmp(op, "add")) {
        error = record_from_json(contents, &record, diag);
        if (!error) {
            error = catalog_add(txn, &record, may_exist, diag);
        }
    } else if (!strcmp(op, "set")) {
        catalog_set_force(txn, force);
        error = catalog_set(txn, contents, diag);
    } else {
        error = record_key_from_json(contents, &record, diag);
        if (!error) {
            error = catalog_remove(txn, &record, if_exists, cascade, diag);
        }
    }
    if (!error) {
        server_change_warn(catalog, contents, warnings);
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

struct json *
server_transact(struct connection *conn, const struct json *params,
                struct diagnosis *diag)
{
    struct server *server = conn->server;
    struct server_change_options options;
    struct json *result, *warnings;
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

    warnings = json_array_create_empty();
    txn = server_begin(server);
    for (size_t i = 0; i < json_array(ops)->n; i++) {
        const struct json *op = json_array(ops)->elems[i];

        catalog_set_op(txn, i);
        if (roles_check_op(&conn->role, server->catalog, op, diag)
            || apply_op(txn, server->catalog, op, warnings, diag)) {
            diag->op = i;
            catalog_abort(txn);
            json_destroy(warnings);
            return NULL;
        }
    }
    result = server_finish(server, txn, options.dry_run, diag);
    if (result && json_array(warnings)->n) {
        json_object_put(result, "warnings", warnings);
    } else {
        json_destroy(warnings);
    }
    if (!result && diag->code == DIAG_IN_USE) {
        diag->op = find_removal(ops, diag->value);
    }
    return result;
}
