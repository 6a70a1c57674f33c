/* Rows of the messages between mapds: arrays of strings, numbers and truth
 * values, by a format with a character for each of them:
 *
 *     s    a string of at most LINK_ROW_TEXT_MAX bytes
 *     n    an integer from 0 to INT64_MAX
 *     b    true or false
 *
 *     struct json *rows = json_array_create_empty();
 *     json_array_add(rows, link_row_create("sn", "h1", (uint64_t) 7));
 *
 * Strict; thread-safe. */

#ifndef MAPPING_MAPD_LINK_ROW_H
#define MAPPING_MAPD_LINK_ROW_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/diagnosis.h"

struct json;

enum {
    LINK_ROWS_MAX     = 1000,   /* In one message. */
    LINK_ROW_TEXT_MAX = 63,
};

union link_value {
    const char *s;              /* Owned by the JSON. */
    uint64_t n;
    bool b;
};

/* The rows of 'params', [{NAME:[ROW,...]}] with nothing else in it, or NULL
 * with '*diag' filled in. */
const struct json *link_rows_get(const struct json *params, const char *name,
                                 struct diagnosis *diag);
/* Reads 'row' into 'values', one for each character of 'format'.  Returns 0,
 * or a positive errno with '*diag' filled in. */
int link_row_read(const struct json *row, const char *format,
                  union link_value values[], struct diagnosis *diag);
/* The row, owned by the caller, of what follows: const char *, uint64_t, or
 * bool. */
struct json *link_row_create(const char *format, ...);

#endif /* mapping/mapd/link-row.h */
