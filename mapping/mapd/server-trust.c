/* Whether a peer may do what it asks for, and what the audit log says of
 * it. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/audit.h"
#include "openvswitch/json.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_trust);

void
server_set_audit(struct server *server, struct audit *audit)
{
    server->audit = audit;
}

int
server_trust_begin(struct connection *conn, const char *method,
                   struct diagnosis *diag)
{
    struct server *server = conn->server;
    int error;

    server->actor = conn;
    server->acts_itself = false;
    server->actor_for = NULL;
    ovs_strlcpy(server->actor_method, method, sizeof server->actor_method);
    if (roles_may_use(&conn->role, method)) {
        return 0;
    }
    if (conn->role.kind == ROLE_NONE) {
        error = diagnosis_set(diag, DIAG_DENIED, "certificate",
                              conn->who ? conn->who : "",
                              "the certificate's name \"%.64s\" stands for "
                              "nobody here", conn->who ? conn->who : "");
        diagnosis_set_hint(diag, "use one whose common name is admin:NAME, "
                           "reader:NAME or host:NAME");
    } else {
        error = diagnosis_set(diag, DIAG_DENIED, "method", method,
                              "%s:%s may not use \"%s\"",
                              roles_name(conn->role.kind), conn->role.name,
                              server->actor_method);
        diagnosis_set_hint(diag, "an admin may: use a certificate for "
                           "admin:NAME");
    }
    return error;
}

/* Of one whose name is unknown, all attempts are one. */
static void
get_key(const struct connection *conn, char key[REFUSALS_KEY_SIZE])
{
    snprintf(key, REFUSALS_KEY_SIZE, "%s %s", conn->who ? conn->who : "",
             conn->role.kind == ROLE_NONE ? "" : conn->server->actor_method);
}

void
server_trust_self(struct server *server, const char *what)
{
    server->actor = NULL;
    server->acts_itself = true;
    ovs_strlcpy(server->actor_method, what, sizeof server->actor_method);
}

static void
write_audit(const struct server *server, struct audit_entry *entry)
{
    const struct connection *conn = server->actor;

    if (server->audit && (conn || server->acts_itself)) {
        if (conn) {
            entry->who = conn->who;
            entry->from = jsonrpc_get_name(conn->rpc);
            entry->whose = server->actor_for;
        }
        entry->role = roles_name(conn ? conn->role.kind : ROLE_MAPD);
        entry->method = server->actor_method;
        entry->revision = catalog_revision(server->catalog);
        audit_write(server->audit, entry);
    }
}

void
server_trust_refused(struct connection *conn, const struct diagnosis *diag)
{
    struct server *server = conn->server;
    char key[REFUSALS_KEY_SIZE];
    unsigned int n;

    if (diag->code != DIAG_DENIED) {
        return;
    }
    get_key(conn, key);
    n = refusals_note(&server->refusals, key, time_msec());
    if (n) {
        struct audit_entry entry = { .refusal = diag, .n = n };

        VLOG_WARN("%s: denied: %s%s", jsonrpc_get_name(conn->rpc),
                  diag->message, n > 1 ? " (and not for the first time)" : "");
        write_audit(server, &entry);
    }
}

void
server_trust_changed(struct server *server, const struct json *changes)
{
    struct audit_entry entry = { .changes = changes };

    /* Of liveness and health there are revisions without changes. */
    if (json_array(changes)->n) {
        write_audit(server, &entry);
    }
}

void
server_trust_drop(struct connection *conn)
{
    if (conn->server->actor == conn) {
        conn->server->actor = NULL;
    }
}
