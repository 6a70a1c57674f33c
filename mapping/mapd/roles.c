#include <config.h>

#include "mapping/mapd/roles.h"

#include <string.h>

#include "mapping/catalog/catalog.h"
#include "openvswitch/json.h"
#include "util.h"

static const char *const names[N_ROLES] = {
    [ROLE_NONE] = "none", [ROLE_READER] = "reader", [ROLE_HOST] = "host",
    [ROLE_ADMIN] = "admin", [ROLE_MAPD] = "mapd",
};

/* Sets of roles. */
enum {
    READER = 1 << ROLE_READER,
    HOST   = 1 << ROLE_HOST,
    ADMIN  = 1 << ROLE_ADMIN | 1 << ROLE_MAPD,
    ALL    = READER | HOST | ADMIN,
};

/* What a snapshot has, the flow hash key, is for who needs it. */
static const struct {
    const char *method;
    unsigned int roles;
} rights[] = {
    /* Requests. */
    { "claim", HOST | ADMIN }, /* And roles_check_claim(). */
    { "dump", READER | ADMIN },
    { "echo", ALL },
    { "list", READER | ADMIN },
    { "load", ADMIN },
    { "register", HOST | ADMIN }, /* And roles_check_register(). */
    { "status", READER | ADMIN },
    { "subscribe", HOST | ADMIN },
    { "trace", READER | ADMIN },
    { "transact", HOST | ADMIN }, /* And roles_check_op(). */
    { "wait", READER | ADMIN },
    { "watch", READER | ADMIN },
    /* Notifications. */
    { "applied", HOST | ADMIN },
    { "flows", HOST | ADMIN },
    { "health", HOST | ADMIN },
    { "report", HOST | ADMIN },
    { "traced", HOST | ADMIN },
    { "want_flows", HOST | ADMIN },
};

const char *
roles_name(enum roles_kind kind)
{
    return names[kind];
}

struct role
roles_from_common_name(const char *common_name)
{
    struct role role = { .kind = ROLE_NONE };
    const char *colon = common_name ? strchr(common_name, ':') : NULL;

    if (!colon || !record_is_name(colon + 1)) {
        return role;
    }
    for (int kind = ROLE_NONE + 1; kind < N_ROLES; kind++) {
        size_t length = strlen(names[kind]);

        if ((size_t) (colon - common_name) == length
            && !memcmp(common_name, names[kind], length)) {
            role.kind = kind;
            ovs_strlcpy(role.name, colon + 1, sizeof role.name);
        }
    }
    return role;
}

bool
roles_is_admin(const struct role *role)
{
    return ADMIN & 1u << role->kind;
}

bool
roles_may_use(const struct role *role, const char *method)
{
    for (size_t i = 0; i < ARRAY_SIZE(rights); i++) {
        if (!strcmp(rights[i].method, method)) {
            return rights[i].roles & 1u << role->kind;
        }
    }
    return roles_is_admin(role);
}

static bool
may_speak_for(const struct role *role, const char *host)
{
    return (roles_is_admin(role)
            || (role->kind == ROLE_HOST && !strcmp(role->name, host)));
}

int
roles_check_register(const struct role *role, const char *name,
                     struct diagnosis *diag)
{
    int error;

    if (may_speak_for(role, name)) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_DENIED, "name", name,
                          "%s:%s may not register as host %.63s",
                          names[role->kind], role->name, name);
    diagnosis_set_hint(diag, "give the switch a certificate for host:%.63s, "
                       "or set external_ids:grapnel-host there to %s", name,
                       role->name);
    return error;
}

int
roles_check_claim(const struct role *role, const char *name,
                  struct diagnosis *diag)
{
    int error;

    if (may_speak_for(role, name)) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_DENIED, "host", name,
                          "%s:%s may not claim ports for host %.63s",
                          names[role->kind], role->name, name);
    diagnosis_set_hint(diag, "each host claims what it has, with a "
                       "certificate for host:NAME");
    return error;
}

/* The record that 'op' sets, or NULL. */
static const struct json *
get_set_record(const struct json *op)
{
    const struct json *kind, *record;

    if (op->type != JSON_OBJECT) {
        return NULL;
    }
    kind = shash_find_data(json_object(op), "op");
    record = shash_find_data(json_object(op), "record");
    return (kind && kind->type == JSON_STRING
            && !strcmp(json_string(kind), "set")
            && record && record->type == JSON_OBJECT ? record : NULL);
}

/* Whether 'json', of an endpoint, has no members but key and state. */
static bool
has_only_state(const struct json *json)
{
    static const char *const members[] = { "kind", "vni", "group", "name",
                                           "state" };
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        n += shash_find(json_object(json), members[i]) != NULL;
    }
    return n == shash_count(json_object(json));
}

/* Whether 'json' is a record that host 'name' may set. */
static bool
is_own(const struct catalog *catalog, const char *name,
       const struct json *json)
{
    struct record key, record;

    if (record_key_from_json(json, &key, NULL)) {
        return false;
    }
    if (key.kind == RECORD_HOST) {
        return (!strcmp(key.host.name, name)
                && !shash_find(json_object(json), "vnis"));
    }
    return (key.kind == RECORD_ENDPOINT && has_only_state(json)
            && catalog_find_record(catalog, &key, &record)
            && !strcmp(record.endpoint.host, name));
}

int
roles_check_op(const struct role *role, const struct catalog *catalog,
               const struct json *op, struct diagnosis *diag)
{
    const struct json *record;
    int error;

    if (roles_is_admin(role)) {
        return 0;
    }
    record = role->kind == ROLE_HOST ? get_set_record(op) : NULL;
    if (record && is_own(catalog, role->name, record)) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_DENIED, "op", NULL,
                          "%s:%s may set the record of its host, but for "
                          "its vnis, and the state of endpoints on it, and "
                          "nothing else",
                          names[role->kind], role->name);
    diagnosis_set_hint(diag, "an admin may: use a certificate for "
                       "admin:NAME");
    return error;
}
