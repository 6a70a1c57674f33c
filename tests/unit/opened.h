/* Stores for tests: opened, filled, described, and damaged. */

#ifndef TESTS_UNIT_OPENED_H
#define TESTS_UNIT_OPENED_H 1

#include <stdbool.h>
#include <stddef.h>

#include "mapping/mapd/store.h"

extern char opened_dir[];       /* Of this process. */
extern char opened_path[64];    /* Of the store in it, ... */
extern const char *opened_target; /* ... unless this is "etcd:URL,...": then
                                   * each test has a prefix of its own. */

/* An open store and what it holds. */
struct opened {
    struct store *store;
    struct catalog *catalog;
    struct hash_key key;
};

/* Makes the directory, in a mount namespace of this process; false, having
 * said why, if that fails.  opened_clean_up() removes it. */
bool opened_prepare(void);
int opened_clean_up(void);

/* For cmocka: an empty directory; and one with a closed store that has
 * contents. */
int opened_setup(void **state);
int opened_setup_filled(void **state);

/* As store_open(), with an empty catalog; or the one at 'opened_path', which
 * must succeed. */
int opened_try(const char *target, struct opened *, struct diagnosis *diag);
void opened_open(struct opened *);
void opened_close(struct opened *);

/* Expects the store to be refused with 'words' in the message, untouched. */
void opened_refused(const char *words);

/* All of it as text, assigned state included; owned by the caller. */
char *opened_describe(const struct opened *);

/* Runs one operation, given as JSON, as a transaction of its own; returns what
 * store_commit() does, or -1 if the catalog refuses the operation. */
int opened_change(struct opened *, const char *op, const char *text,
                  struct diagnosis *diag);
/* The same, with ' for ". */
int opened_changef(struct opened *, const char *op, const char *format, ...)
    OVS_PRINTF_FORMAT(3, 4);
void opened_fill(struct opened *);
/* One record of each kind to which mapd adds nothing, and their hosts. */
void opened_add_plain(struct opened *);
/* Opens the store again: it must have what it had. */
void opened_check_stored(struct opened *);

/* Files.  opened_sql() works on the closed store, with SQLite alone. */
char *opened_read(const char *name, size_t *size);
void opened_write(const char *name, const char *data, size_t size);
void opened_sql(const char *text);

#endif /* tests/unit/opened.h */
