/* The digest at the end of each row of a store: against accidents, not against
 * people.  Part of store-rows.c and store-load.c; not for others.
 *
 * A row's columns are appended to a string, each with its type and length, and
 * store_digest_finish() takes the digest of that. */

#ifndef MAPPING_MAPD_STORE_DIGEST_H
#define MAPPING_MAPD_STORE_DIGEST_H 1

#include <stddef.h>
#include <stdint.h>

struct ds;

/* 'type' is 't' for text, 'b' for a blob. */
void store_digest_bytes(struct ds *, char type, const void *data,
                        size_t size);
void store_digest_integer(struct ds *, int64_t value);

/* Also empties the string and frees its memory. */
int64_t store_digest_finish(struct ds *);

#endif /* mapping/mapd/store-digest.h */
