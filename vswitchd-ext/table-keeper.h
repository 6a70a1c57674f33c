/* Keeps the last mapping table in a file (table-file.h), for the time when the
 * switch starts and mapd cannot be reached.  Written at most once a second, by
 * a thread of its own: a slow disk is nobody's loss.  For the agent's thread.
 *
 *     keeper = table_keeper_create();
 *     table_keeper_configure(keeper, path, host);
 *     if (no mapd) { table_keeper_load(keeper, &replica, now, &age_ms); }
 *     for (;;) {
 *         table_keeper_run(keeper, &replica, mapd_agrees);
 *         table_keeper_wait(keeper);
 *         poll_block();
 *     } */

#ifndef VSWITCHD_EXT_TABLE_KEEPER_H
#define VSWITCHD_EXT_TABLE_KEEPER_H 1

#include <stdbool.h>
#include <stdint.h>

struct replica;
struct table_keeper;

struct table_keeper *table_keeper_create(void);

/* Writes what is still to be written of 'replica', and waits for it.  NULL is
 * fine. */
void table_keeper_destroy(struct table_keeper *,
                          const struct replica *replica);

/* Where the table of this host is kept; 'path' or 'host' NULL: nowhere.  A
 * file that was in use before stays as it is. */
void table_keeper_configure(struct table_keeper *, const char *path,
                            const char *host);

/* Fills 'replica', which is empty, from the file, once for each configuration;
 * 'now_ms' is its clock.  Returns true, and '*age_ms' for how long ago mapd
 * agreed; or false with the replica as it was, because there is no file, it
 * cannot be used (which is said in the log, and by table_keeper_remark()), or
 * has been tried before. */
bool table_keeper_load(struct table_keeper *, struct replica *replica,
                       int64_t now_ms, long long int *age_ms);

/* Sees to it that the file has what 'replica' has, if that is something;
 * 'confirmed': mapd says that it is up to date. */
void table_keeper_run(struct table_keeper *, const struct replica *replica,
                      bool confirmed);
void table_keeper_wait(const struct table_keeper *);

/* The file, or NULL; and what is wrong with it, for people, or NULL. */
const char *table_keeper_path(const struct table_keeper *);
const char *table_keeper_remark(const struct table_keeper *);

#endif /* vswitchd-ext/table-keeper.h */
