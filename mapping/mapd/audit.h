/* The audit log: a line of JSON for each change, and for each attempt that was
 * refused because of who made it.
 *
 * A line goes to the file, if there is one, and to the log (module `audit`):
 * at level INFO if there is no file, else at DBG.  The file is only added to;
 * if it is moved away or removed, the next line goes into a new one.
 *
 * Single-threaded.  docs/protocol.md lists the members. */

#ifndef MAPPING_MAPD_AUDIT_H
#define MAPPING_MAPD_AUDIT_H 1

#include <stddef.h>
#include <stdint.h>

#include "mapping/diagnosis.h"

struct audit;
struct json;

enum { AUDIT_MAX_CHANGES = 100 }; /* In a line; the rest is counted. */

struct audit_entry {
    const char *who;            /* "admin:alice", "uid:0"; or NULL. */
    const char *role;           /* "admin". */
    const char *from;           /* Connection: "ssl:192.0.2.7:40000". */
    const struct json *whose;   /* Who asked for what a mapd sends on; NULL:
                                 * nobody else. */
    const char *method;         /* "transact". */
    const struct diagnosis *refusal; /* NULL: it was done. */
    unsigned int n;             /* Of refusals: how many this stands for. */
    uint64_t revision;          /* After it. */
    const struct json *changes; /* Array of CHANGE, if it was done. */
};

/* Opens 'file' (readable to its owner and group only if it is new); NULL: the
 * log only.  Returns 0 and '*audit', owned by the caller, or a positive errno
 * with '*diag' filled in. */
int audit_open(const char *file, struct audit **audit,
               struct diagnosis *diag);
void audit_close(struct audit *);

/* Writes a line.  If that fails, it is logged (at a bounded rate). */
void audit_write(struct audit *, const struct audit_entry *);

/* Why the last line is not in the file, for people; or NULL.  The caller owns
 * it. */
char *audit_problem(const struct audit *);

#endif /* mapping/mapd/audit.h */
