/* Flows on the move: what this host knows of a client that has gone to
 * another host, for that one's use, and the other way round; and the clients
 * that must be told that their server is no more.  The agent's thread. */

#ifndef VSWITCHD_EXT_HANDOVER_H
#define VSWITCHD_EXT_HANDOVER_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

struct engine_world;
struct relay_flow;
struct relay_flows;
struct relay_want;

/* Calls 'found' for the flows that the sources of 'wants', 'n' of them, have
 * begun here: in one walk for all, from '*cursor' (0 to begin with) on, over
 * up to 'max' flows of whatever source.  Returns false at the end of the
 * table. */
bool handover_collect(const struct engine_world *,
                      const struct relay_want *wants, size_t n,
                      uint64_t now_us, uint64_t *cursor, size_t max,
                      void (*found)(void *aux, size_t want,
                                    const struct relay_flow *), void *aux);

/* The flows have been sent to the host to which their client has gone: those
 * that are not seen here again are forgotten soon. */
void handover_let_go(const struct engine_world *, const struct relay_flows *,
                     uint64_t now_us);

/* Enters flows that another host has sent.  Returns how many were entered;
 * what is of another tenant, or does not fit what is known here (as
 * engine_import()), is not. */
size_t handover_enter(const struct engine_world *, const struct relay_flows *,
                      uint64_t now_us);

/* Whether there can be clients for handover_provoke_lost(): a group resets
 * flows and has a lost endpoint.  Looks at groups only. */
bool handover_can_provoke(const struct engine_world *);

/* Provokes the clients of TCP flows on lost endpoints, in groups that reset
 * such flows, to send something, which the packet path will answer with a
 * reset.  Goes through the flow table from '*cursor' (0 to begin with) on,
 * over up to 'max_flows', and stops after 'max_clients' of them.  '*n' becomes
 * how many there were.  Returns false at the end of the table. */
bool handover_provoke_lost(const struct engine_world *, uint64_t now_us,
                           uint64_t *cursor, size_t max_flows,
                           size_t max_clients, size_t *n);

#endif /* vswitchd-ext/handover.h */
