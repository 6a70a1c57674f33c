/* The twin of a catalog's plain records: an array, searched from one end to
 * the other.  It knows hosts, too, as others refer to them. */

#ifndef TESTS_UNIT_RECORD_TWIN_H
#define TESTS_UNIT_RECORD_TWIN_H 1

#include <stdbool.h>
#include <stddef.h>

#include "mapping/record.h"

enum { RECORD_TWIN_MAX = 200 };

struct record_twin {
    struct record records[RECORD_TWIN_MAX];
    size_t n;
};

/* The place of the record with the key of 'key', or -1. */
int record_twin_find(const struct record_twin *, const struct record *key);

/* What adding or replacing, and removing, must lead to; and does to the twin,
 * if that is DIAG_NONE. */
enum diagnosis_code record_twin_put(struct record_twin *,
                                    const struct record *);
enum diagnosis_code record_twin_remove(struct record_twin *,
                                       const struct record *key,
                                       bool if_exists, bool cascade);

/* Whether the two cannot be at the same time, in whichever order. */
bool record_twin_clash(const struct record *, const struct record *);
/* Whether no two of its records clash, as it must be in the end. */
bool record_twin_is_sound(const struct record_twin *);

#endif /* tests/unit/record-twin.h */
