/* Flows on the move: what this host knows of a client that has gone to
 * another host, for that one's use, and the other way round; and the clients
 * that must be told that their server is no more.  The agent's thread. */

#ifndef VSWITCHD_EXT_HANDOVER_H
#define VSWITCHD_EXT_HANDOVER_H 1

#include <stddef.h>
#include <stdint.h>

#include "encap/inet.h"

struct engine_world;
struct relay_flow;
struct relay_flows;

/* The flows that 'source' in tenant 'vni' has begun here, from '*cursor' (0 to
 * begin with) on, up to 'max', into 'flows'.  Returns how many there were:
 * fewer than 'max' at the end. */
size_t handover_collect(const struct engine_world *, uint32_t vni,
                        struct inet_addr source, uint64_t now_us,
                        uint64_t *cursor, struct relay_flow *flows,
                        size_t max);

/* The flows have been sent to the host to which their client has gone: those
 * that are not seen here again are forgotten soon. */
void handover_let_go(const struct engine_world *, const struct relay_flows *,
                     uint64_t now_us);

/* Enters flows that another host has sent.  Returns how many were entered;
 * what is of another tenant, or does not fit what is known here (as
 * engine_import()), is not. */
size_t handover_enter(const struct engine_world *, const struct relay_flows *,
                      uint64_t now_us);

/* Provokes the clients of TCP flows on lost endpoints, in groups that reset
 * such flows, to send something, which the packet path will answer with a
 * reset.  Goes through the flow table from '*cursor' (0 to begin with) on, and
 * stops after 'max' of them.  Returns how many there were: fewer than 'max' at
 * the end of the table. */
size_t handover_provoke_lost(const struct engine_world *, uint64_t now_us,
                             uint64_t *cursor, size_t max);

#endif /* vswitchd-ext/handover.h */
