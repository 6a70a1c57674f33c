/* Who may do what.
 *
 * A peer is known by the common name of its certificate, ROLE:NAME:
 *
 *     admin:NAME    everything
 *     mapd:NAME     everything: another mapd, which passes on what others ask
 *     host:NAME     what the switch of host NAME needs, and no more
 *     reader:NAME   look at everything but the flow hash key; change nothing
 *
 * where NAME is as of records.  Who comes by a Unix socket was let in by its
 * permissions, and is an admin.  Pure functions; thread-safe. */

#ifndef MAPPING_MAPD_ROLES_H
#define MAPPING_MAPD_ROLES_H 1

#include <stdbool.h>

#include "mapping/diagnosis.h"
#include "mapping/record.h"

struct catalog;
struct json;

enum roles_kind {
    ROLE_NONE,                  /* A name that stands for no role. */
    ROLE_READER,
    ROLE_HOST,
    ROLE_ADMIN,
    ROLE_MAPD,
    N_ROLES
};

struct role {
    enum roles_kind kind;
    record_name name;           /* What follows the colon. */
};

/* "admin", "mapd", "host", "reader" or "none". */
const char *roles_name(enum roles_kind);

/* Reads the common name of a certificate; NULL: it has none.  Of any other
 * form than the above, it is ROLE_NONE. */
struct role roles_from_common_name(const char *common_name);

/* Whether it may do anything. */
bool roles_is_admin(const struct role *);

/* Whether 'role' may use 'method', a request or a notification.  What is not
 * in the table is for admins. */
bool roles_may_use(const struct role *role, const char *method);

/* Whether 'role' may say which ports are at host 'name'; and whether it may
 * register it.  Returns 0, or a positive errno
 * with '*diag' filled in. */
int roles_check_claim(const struct role *role, const char *name,
                      struct diagnosis *diag);
int roles_check_register(const struct role *role, const char *name,
                         struct diagnosis *diag);

/* Whether 'role' may do 'op', one of those of `transact`, which need not be
 * well-formed.  A host sets the record of its own, but for the VNIs that it
 * may see, and the state of endpoints on it.  Returns 0, or a positive errno
 * with '*diag' filled in. */
int roles_check_op(const struct role *role, const struct catalog *catalog,
                   const struct json *op, struct diagnosis *diag);

#endif /* mapping/mapd/roles.h */
