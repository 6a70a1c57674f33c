/* Listening on a Unix socket without harm to what is there already: a file
 * that is no socket, or the socket of a running process.
 *
 * A socket that nobody answers on was left behind and is replaced.  Our own is
 * removed when it is closed or the process exits, unless somebody else has put
 * another in its place.  Not thread-safe. */

#ifndef MAPPING_MAPD_UNIX_LISTENER_H
#define MAPPING_MAPD_UNIX_LISTENER_H 1

#include "mapping/diagnosis.h"

struct pstream;
struct unix_listener;

/* Whether 'path' is free: nothing, or a socket that nobody answers on.
 * Returns 0, or a positive errno with '*diag' filled in, where 'option' is the
 * command line option that names the path. */
int unix_listener_check(const char *path, const char *option,
                        struct diagnosis *diag);

/* Listens on 'path', absolute.  Returns 0, with '*listener' and '*pstream'
 * both owned by the caller, who closes the latter first; or a positive errno
 * with '*diag' filled in. */
int unix_listener_open(const char *path, struct unix_listener **listener,
                       struct pstream **pstream, struct diagnosis *diag);
void unix_listener_close(struct unix_listener *listener);

/* Removes from directory 'rundir' the control sockets PROGRAM.PID.ctl that
 * dead processes have left behind. */
void unix_listener_remove_dead(const char *rundir, const char *program);

#endif /* mapping/mapd/unix-listener.h */
