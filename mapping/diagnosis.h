/* Why a request was refused: one line for people, fields for programs.
 *
 * Plain data, nothing to free.  Text that does not fit is cut. */

#ifndef MAPPING_DIAGNOSIS_H
#define MAPPING_DIAGNOSIS_H 1

#include <stdbool.h>
#include "openvswitch/compiler.h"

struct json;

enum diagnosis_code {
    DIAG_NONE,
    DIAG_INVALID,               /* A value is out of range or malformed. */
    DIAG_EXISTS,                /* Already there, and different. */
    DIAG_NOT_FOUND,             /* No such host, VNI, group or endpoint. */
    DIAG_IN_USE,                /* Others refer to it. */
    DIAG_REVISION,              /* if_revision did not match. */
    DIAG_STORE,                 /* The store failed; nothing was changed. */
    DIAG_TIMEOUT,
    DIAG_UNSUPPORTED,           /* No such method or version. */
    DIAG_BUSY,                  /* A bound was reached. */
    DIAG_EPOCH,                 /* A gateway's epoch is another. */
    DIAG_NOT_LEADER,            /* Another mapd makes changes: 'value' is its
                                 * address, or "". */
    DIAG_DENIED,                /* Not for who asks. */
    N_DIAG_CODES
};

struct diagnosis {
    enum diagnosis_code code;
    int op;                     /* Index in a transaction, or -1. */
    char field[32];             /* Record member at fault, or "". */
    char value[96];             /* What it was, or "". */
    char message[256];          /* Names field and value. */
    char hint[192];             /* What to do, or "". */
};

/* Fills in '*diag' (which may be NULL) and returns the errno value that goes
 * with 'code' (never 0).  'field' and 'value' may be NULL. */
int diagnosis_set(struct diagnosis *diag, enum diagnosis_code code,
                  const char *field, const char *value,
                  const char *format, ...) OVS_PRINTF_FORMAT(5, 6);
void diagnosis_set_hint(struct diagnosis *diag, const char *format, ...)
    OVS_PRINTF_FORMAT(2, 3);

/* "invalid", "exists", ... as in docs/protocol.md. */
const char *diagnosis_code_name(enum diagnosis_code);

/* The error object of docs/protocol.md; the caller owns it. */
struct json *diagnosis_to_json(const struct diagnosis *);
/* False if 'json' is not such an object. */
bool diagnosis_from_json(const struct json *json, struct diagnosis *);

#endif /* mapping/diagnosis.h */
