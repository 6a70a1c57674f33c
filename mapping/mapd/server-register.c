/* Method `register`: a host's connection, and its record. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/params.h"
#include "mapping/mapd/server-change.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_register);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(10, 10);

/* Others say what it may see. */
static int
refuse_vnis(const char *name, struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_DENIED, "vnis", NULL, "vnis: a host "
                              "that registers does not say what it may see");

    diagnosis_set_hint(diag, "an admin does: grapnelctl host set %s --vnis "
                       "VNIS", name);
    return error;
}

/* The second parameter, {"version":TEXT}, is optional. */
static int
parse_register(const struct json *params, struct record *record,
               char version[PRESENCE_VERSION_MAX + 1], struct diagnosis *diag)
{
    struct json *rest;
    struct params p;
    size_t n;
    int error;

    n = params && params->type == JSON_ARRAY ? json_array(params)->n : 0;
    if (n < 1 || n > 2) {
        return diagnosis_set(diag, DIAG_INVALID, "params", NULL,
                             "params must be a host record, and optionally "
                             "an object");
    }
    error = record_from_json(json_array(params)->elems[0], record, diag);
    if (!error && record->kind != RECORD_HOST) {
        error = diagnosis_set(diag, DIAG_INVALID, "kind",
                              record_kind_name(record->kind),
                              "kind must be host, not %s",
                              record_kind_name(record->kind));
    }
    if (!error && record->host.vnis.n) {
        error = refuse_vnis(record->host.name, diag);
    }
    if (error) {
        return error;
    }

    rest = (n == 2
            ? json_array_create_1(json_clone(json_array(params)->elems[1]))
            : json_array_create_empty());
    params_open(&p, rest, diag);
    ovs_strlcpy(version, params_string(&p, "version", ""),
                PRESENCE_VERSION_MAX + 1);
    error = params_close(&p);
    json_destroy(rest);
    return error;
}

/* Makes 'conn' the connection of host 'name'; the newest one wins. */
static void
take_host(struct connection *conn, const char *name, const char *version)
{
    struct presence_host *host;
    struct connection *old;
    void *owner;

    server_set_host(conn, NULL);
    host = presence_register(&conn->server->presence, name, version, conn,
                             conn->server->tick, &owner);
    old = owner;
    if (old) {
        /* A switch that restarts comes from where it was.  Two machines that
         * claim one name are for an operator to sort out. */
        bool same = server_incident_same_machine(conn, old);

        VLOG_RL(&rl, same ? VLL_INFO : VLL_WARN,
                "host %s: registered by %s, closing its older connection %s",
                name, jsonrpc_get_name(conn->rpc), jsonrpc_get_name(old->rpc));
        if (!same) {
            server_incident_claimed(conn, old, name);
        }
        server_health_drop(old);
        old->host = NULL;
        server_doom(old);
    }
    server_set_host(conn, host);
    if (conn->applied) {
        /* It said so while `register` was on its way to another mapd. */
        presence_applied(&conn->server->presence, host, conn->applied);
    }
}

static void
keep_label(record_label label, const record_label old)
{
    if (!label[0]) {
        ovs_strlcpy(label, old, sizeof(record_label));
    }
}

/* A switch need not know where it stands: labels that it leaves empty stay as
 * operators set them.  What it may see is for them alone. */
static void
keep_settings(const struct catalog *catalog, struct record_host *record)
{
    const struct record_host *old = catalog_find_host(catalog, record->name);

    if (old) {
        keep_label(record->region, old->region);
        keep_label(record->zone, old->zone);
        keep_label(record->rack, old->rack);
        record->vnis = old->vnis;
    }
}

/* The result of `register`: the record is there, and the host alive. */
static struct json *
enroll(struct server *server, struct record *record, struct diagnosis *diag)
{
    struct catalog_txn *txn;
    struct json *result;

    keep_settings(server->catalog, &record->host);
    txn = server_begin(server);
    if (server_change_merge(server, txn, record, diag)) {
        catalog_abort(txn);
        return NULL;
    }
    catalog_set_alive(txn, record->host.name, true);
    result = server_finish(server, txn, false, diag);
    if (result) {
        json_destroy(shash_find_and_delete(json_object(result), "changes"));
    }
    return result;
}

static void
take_connection(struct connection *conn, const char *name,
                const char *version)
{
    if (!conn->host || strcmp(conn->host->name, name)) {
        take_host(conn, name, version);
    } else {
        presence_set_version(conn->host, version);
    }
}

static struct json *
register_host(struct connection *conn, const struct json *params,
              struct diagnosis *diag)
{
    char version[PRESENCE_VERSION_MAX + 1];
    struct record record;
    struct json *result;

    if (parse_register(params, &record, version, diag)
        || roles_check_register(&conn->role, record.host.name, diag)) {
        return NULL;
    }
    result = enroll(conn->server, &record, diag);
    if (result) {
        take_connection(conn, record.host.name, version);
    }
    return result;
}

/* What the host calls itself, for who reads why it was refused. */
static const char *
claimed_name(const struct json *params)
{
    const struct json *record
        = (params && params->type == JSON_ARRAY && json_array(params)->n
           ? json_array(params)->elems[0] : NULL);
    const struct json *name
        = (record && record->type == JSON_OBJECT
           ? shash_find_data(json_object(record), "name") : NULL);

    return name && name->type == JSON_STRING ? json_string(name) : "";
}

void
server_register_refused(struct connection *conn, const struct json *params,
                        const struct diagnosis *diag)
{
    server_incident_refused(conn, claimed_name(params), diag);
}

/* What another mapd, to which the host is connected, makes of `register`. */
struct json *
server_enroll(struct connection *conn, const struct json *params,
              struct diagnosis *diag)
{
    char version[PRESENCE_VERSION_MAX + 1];
    struct json *result = NULL;
    struct record record;

    if (!parse_register(params, &record, version, diag)
        && !roles_check_register(server_trust_asker(conn), record.host.name,
                                 diag)) {
        result = enroll(conn->server, &record, diag);
    }
    if (result) {
        server_incident_registered(conn, record.host.name);
    } else {
        server_register_refused(conn, params, diag);
    }
    return result;
}

bool
server_registered(struct connection *conn, const struct json *params)
{
    char version[PRESENCE_VERSION_MAX + 1];
    struct diagnosis diag;
    struct record record;

    if (parse_register(params, &record, version, &diag)) {
        server_reject(conn, "\"register\": %s", diag.message);
        return false;
    }
    /* It may have been removed again, or not have come here yet. */
    if (!catalog_find_host(conn->server->catalog, record.host.name)) {
        server_reject(conn, "host %s was registered, but its record is not "
                      "here", record.host.name);
        return false;
    }
    take_connection(conn, record.host.name, version);
    server_incident_registered(conn, conn->host->name);
    return true;
}

struct json *
server_register(struct connection *conn, const struct json *params,
                struct diagnosis *diag)
{
    struct json *result = register_host(conn, params, diag);

    if (result) {
        server_incident_registered(conn, conn->host->name);
    } else {
        server_register_refused(conn, params, diag);
    }
    return result;
}
