/* Whether a peer may do what it asks for, and what the audit log says of
 * it. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/audit.h"
#include "mapping/mapd/revoked.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_trust);

enum {
    SERVER_PEER_MEMBERS = 3,    /* Who, role, from: */
    SERVER_PEER_LENGTH  = 256,  /* bytes of each. */
};

void
server_set_audit(struct server *server, struct audit *audit)
{
    server->audit = audit;
}

static int
refuse_revoked(const char *who, struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_DENIED, "certificate", who,
                              "the certificate of %.64s is revoked", who);

    diagnosis_set_hint(diag, "use another one; --revoked-file of grapnel-mapd "
                       "names those that are");
    return error;
}

/* 'who' may be NULL. */
static int
check(const struct role *role, const char *who, const char *method,
      struct diagnosis *diag)
{
    int error;

    if (roles_may_use(role, method)) {
        return 0;
    }
    if (role->kind == ROLE_NONE) {
        error = diagnosis_set(diag, DIAG_DENIED, "certificate",
                              who ? who : "", "the certificate's name "
                              "\"%.64s\" stands for nobody here",
                              who ? who : "");
        diagnosis_set_hint(diag, "use one whose common name is admin:NAME, "
                           "reader:NAME or host:NAME");
    } else {
        error = diagnosis_set(diag, DIAG_DENIED, "method", method,
                              "%s:%s may not use \"%.*s\"",
                              roles_name(role->kind), role->name,
                              SERVER_METHOD_SIZE - 1, method);
        diagnosis_set_hint(diag, "an admin may: use a certificate for "
                           "admin:NAME");
    }
    return error;
}

int
server_trust_begin(struct connection *conn, const char *method,
                   struct diagnosis *diag)
{
    struct server *server = conn->server;

    server->actor = conn;
    server->acts_itself = false;
    server->actor_for = NULL;
    ovs_strlcpy(server->actor_method, method, sizeof server->actor_method);
    return (conn->revoked
            ? refuse_revoked(conn->who ? conn->who : "nobody", diag)
            : check(&conn->role, conn->who, method, diag));
}

static const char *
peer_member(const struct json *peer, const char *name)
{
    const struct json *member = shash_find_data(json_object(peer), name);

    return member ? json_string(member) : NULL;
}

/* A few strings, none of them long. */
static bool
is_peer(const struct json *json)
{
    const struct shash_node *node;

    if (json->type != JSON_OBJECT
        || shash_count(json_object(json)) > SERVER_PEER_MEMBERS) {
        return false;
    }
    SHASH_FOR_EACH (node, json_object(json)) {
        const struct json *value = node->data;

        if (value->type != JSON_STRING
            || strlen(node->name) > SERVER_PEER_LENGTH
            || strlen(json_string(value)) > SERVER_PEER_LENGTH) {
            return false;
        }
    }
    return true;
}

/* Hosts and readers have a certificate, by which the other mapd knows them; an
 * admin may have come by its Unix socket. */
static bool
parse_peer(const struct json *peer, struct role *role)
{
    const char *name;

    if (!is_peer(peer)) {
        return false;
    }
    *role = roles_from_common_name(peer_member(peer, "who"));
    name = peer_member(peer, "role");
    if (name && !strcmp(name, roles_name(ROLE_ADMIN))) {
        role->kind = ROLE_ADMIN;
    } else if (!name || strcmp(name, roles_name(role->kind))) {
        return false;
    }
    return true;
}

int
server_trust_forwarded(struct connection *conn, const char *method,
                       const struct json *peer, struct diagnosis *diag)
{
    struct server *server = conn->server;
    const char *who;

    if (!parse_peer(peer, &server->actor_for_role)) {
        return diagnosis_set(diag, DIAG_INVALID, "params", NULL, "params must "
                             "be a method that changes something, its params, "
                             "and an object of strings that says whose "
                             "request it is, by role and certificate");
    }
    server->actor_for = peer;
    who = peer_member(peer, "who");
    return (who && server_trust_is_revoked(server, who)
            ? refuse_revoked(who, diag)
            : check(&server->actor_for_role, who, method, diag));
}

const struct role *
server_trust_asker(const struct connection *conn)
{
    const struct server *server = conn->server;

    return (server->actor == conn && server->actor_for
            ? &server->actor_for_role : &conn->role);
}

/* Who asks, if that is known. */
static const char *
asker_name(const struct connection *conn)
{
    const char *who = (conn->server->actor_for
                       ? peer_member(conn->server->actor_for, "who")
                       : conn->who);

    return who ? who : "";
}

/* Of one whose name is unknown, all attempts are one. */
static void
get_key(const struct connection *conn, char key[REFUSALS_KEY_SIZE])
{
    snprintf(key, REFUSALS_KEY_SIZE, "%s %s", asker_name(conn),
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

/* Certificates that are revoked. */

void
server_set_revoked(struct server *server, struct revoked *revoked)
{
    server->revoked = revoked;
    server->revoked_seqno = revoked_seqno(revoked);
}

bool
server_trust_is_revoked(const struct server *server, const char *name)
{
    return server->revoked && revoked_has(server->revoked, name, NULL);
}

void
server_trust_check(struct connection *conn)
{
    struct server *server = conn->server;

    if (server->revoked
        && revoked_has(server->revoked, conn->who, conn->peer.fingerprint)) {
        conn->revoked = true;
        conn->role = (struct role) { .kind = ROLE_NONE };
        server->metrics.n_revoked++;
    }
}

/* Of connections without TLS, who comes is not known by a certificate. */
static bool
has_certificate(const struct connection *conn)
{
    static const struct tls_peer none;

    return memcmp(&conn->peer, &none, sizeof none);
}

void
server_trust_run(struct server *server)
{
    struct connection *conn;

    if (!server->revoked) {
        return;
    }
    revoked_run(server->revoked);
    if (server->revoked_seqno == revoked_seqno(server->revoked)) {
        return;
    }
    server->revoked_seqno = revoked_seqno(server->revoked);
    server_uplink_check(server);
    LIST_FOR_EACH (conn, node, &server->connections) {
        if (!conn->doomed && !conn->revoked && has_certificate(conn)) {
            server_trust_check(conn);
            if (conn->revoked) {
                VLOG_WARN("%s: the certificate of %s is revoked, closing",
                          jsonrpc_get_name(conn->rpc),
                          conn->who ? conn->who : "nobody");
                server_doom(conn);
            }
        }
    }
}

void
server_trust_wait(const struct server *server)
{
    if (server->revoked) {
        revoked_wait(server->revoked);
        if (server->revoked_seqno != revoked_seqno(server->revoked)) {
            poll_immediate_wake();
        }
    }
}

void
server_trust_drop(struct connection *conn)
{
    if (conn->server->actor == conn) {
        conn->server->actor = NULL;
    }
}
