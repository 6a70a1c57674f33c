/* One host's conversation with mapd: registers, subscribes, keeps a replica up
 * to date, reports what is applied.  Reconnects by itself.  Not thread-safe.
 */

#ifndef VSWITCHD_EXT_MAPD_SESSION_H
#define VSWITCHD_EXT_MAPD_SESSION_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mapping/record.h"

struct mapd_session;
struct replica;

/* Which tenants a host wants to hear of. */
struct mapd_interest {
    bool all;
    const uint32_t *vnis;       /* If not all. */
    size_t n_vnis;
};

/* Starts to connect to 'remote' as the host 'self'. */
struct mapd_session *mapd_session_create(const char *remote,
                                         const struct record_host *self,
                                         const struct mapd_interest *);
void mapd_session_destroy(struct mapd_session *);

/* Tells mapd of what has changed, without reconnecting. */
void mapd_session_set_self(struct mapd_session *, const struct record_host *);
void mapd_session_set_interest(struct mapd_session *,
                               const struct mapd_interest *);

/* Takes in what mapd sent.  Returns true if '*replica' has changed.  What
 * cannot be validated leaves it as it was, is logged in one line, and is
 * asked for again. */
bool mapd_session_run(struct mapd_session *, struct replica *replica);
void mapd_session_wait(struct mapd_session *);

/* Tells mapd, if it does not know yet, that the packet path uses 'revision'.
 */
void mapd_session_applied(struct mapd_session *, uint64_t revision);

/* Whether there is a connection and a snapshot came over it. */
bool mapd_session_is_synced(const struct mapd_session *);

/* How many snapshots were taken in: revisions before and after one need not be
 * of the same store. */
unsigned int mapd_session_n_snapshots(const struct mapd_session *);

#endif /* vswitchd-ext/mapd-session.h */
