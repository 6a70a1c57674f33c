/* Records and catalogs as text, for tests. */

#ifndef TESTS_UNIT_CATALOG_TEXT_H
#define TESTS_UNIT_CATALOG_TEXT_H 1

#include "mapping/catalog/catalog.h"
#include "openvswitch/json.h"

/* JSON from a format with ' in the place of ".  The caller owns it. */
struct json *catalog_text_json(const char *format, ...)
    OVS_PRINTF_FORMAT(1, 2);

/* A record from such JSON, which must be valid. */
struct record catalog_text_record(const char *format, ...)
    OVS_PRINTF_FORMAT(1, 2);

/* Everything in 'catalog' that its interface shows: counters, records, ids,
 * indexes, epochs, slots.  The caller owns it. */
char *catalog_text_dump(const struct catalog *);

#endif /* tests/unit/catalog-text.h */
