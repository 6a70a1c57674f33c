/* The twin of a catalog: an array of records, searched from one end to the
 * other. */

#ifndef TESTS_UNIT_CATALOG_TWIN_H
#define TESTS_UNIT_CATALOG_TWIN_H 1

#include <stdbool.h>
#include <stddef.h>

#include "mapping/record.h"

enum { CATALOG_TWIN_MAX = 600 };

struct catalog_twin {
    struct record records[CATALOG_TWIN_MAX];
    bool dead[CATALOG_TWIN_MAX]; /* Of hosts. */
    size_t n;
};

/* The place of the record with the key of 'key', or -1. */
int catalog_twin_find(const struct catalog_twin *, const struct record *key);

/* What adding or replacing, and removing, must lead to; and does to the twin,
 * if that is DIAG_NONE. */
enum diagnosis_code catalog_twin_put(struct catalog_twin *,
                                     const struct record *);
enum diagnosis_code catalog_twin_remove(struct catalog_twin *,
                                        const struct record *key,
                                        bool if_exists, bool cascade);

/* Whether two records want what only one may have: VTEP, service or MAC. */
bool catalog_twin_clash(const struct record *, const struct record *);
/* Whether no two of its records clash, as it must be in the end. */
bool catalog_twin_is_unique(const struct catalog_twin *);

/* False if there is no such host. */
bool catalog_twin_is_dead(const struct catalog_twin *, const char *host);

bool catalog_twin_equal(const struct record *, const struct record *);

#endif /* tests/unit/catalog-twin.h */
