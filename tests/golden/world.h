/* What the engine knows in a golden case, read from its file "table".  One
 * statement a line; '#' starts a comment.
 *
 *     key HEX32                       of the flow hash
 *     vni N                           tenant of each packet
 *     host H geneve|vxlan OUR-IP OUR-MAC ITS-IP NEXT-HOP-MAC mtu N
 *     host H none                     it has no next hop
 *     group G vni N tcp|udp ADDRESS:PORT slots N affinity flow|source
 *     epoch G N
 *     endpoint G/E host H|local MAC up|draining|down
 *     slots G FIRST-LAST E            who owns these slots
 *     packet P WHAT [VALUE]           of packet P (the first is 1): vni N,
 *                                     headroom N, from-tunnel, partial, tso
 *     before P                        what follows holds from packet P on
 *     no-table                        nothing was received from mapd
 */

#ifndef TESTS_GOLDEN_WORLD_H
#define TESTS_GOLDEN_WORLD_H 1

#include <stdbool.h>
#include <stdint.h>

#include "anycast/anycast-table.h"

enum { WORLD_MAX_PACKETS = 256 };

/* Of a packet, beside its frame. */
struct world_packet {
    uint32_t vni;
    uint32_t headroom;
    bool from_tunnel, partial, tso;
};

struct world;

/* Reads the file 'path'; exits with a message if something is wrong in it. */
struct world *world_read(const char *path);
void world_destroy(struct world *);

/* What holds for packet 'p', which is not before an earlier call's. */
const struct world_packet *world_packet(const struct world *, unsigned int p);
const struct anycast_table *world_table(struct world *, unsigned int p);

/* Whether the table changes with packet 'p'. */
bool world_changes(const struct world *, unsigned int p);

#endif /* tests/golden/world.h */
