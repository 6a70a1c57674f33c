/* What the engine knows in a golden case, read from its file "table".  One
 * statement a line; '#' starts a comment.
 *
 *     key HEX32                       of the flow hash
 *     vni N                           tenant of each packet
 *     host H geneve|vxlan OUR-IP OUR-MAC ITS-IP NEXT-HOP-MAC mtu N
 *     host H none                     it has no next hop
 *     group G vni N tcp|udp|sctp|icmp ADDRESS PORT slots N affinity A
 *                                     A is flow or source
 *     epoch G N
 *     algorithm G NAME                weighted, hash, round-robin...
 *     when-empty G drop|reject
 *     on-host-death G keep|reset
 *     endpoint G/E host H|local MAC up|draining|down|lost
 *     slots G FIRST-LAST E            who owns these slots
 *     previous G FIRST-LAST E E       who owned them before; 65535 is nobody
 *     packet P vni|headroom|tailroom N    of packet P (the first is 1)
 *     packet P partial|tso
 *     packet P from HOST-IP [HEX]     it came out of a tunnel, with Geneve's
 *                                     options HEX
 *     before P                        what follows holds from packet P on
 *     no-table                        nothing was received from mapd
 */

#ifndef TESTS_GOLDEN_WORLD_H
#define TESTS_GOLDEN_WORLD_H 1

#include <stdbool.h>
#include <stdint.h>

#include "anycast/engine.h"

enum { WORLD_MAX_PACKETS = 256, WORLD_MAX_OPTIONS = 32 };

/* Of a packet, beside its frame. */
struct world_packet {
    uint32_t vni;
    uint32_t headroom, tailroom;
    bool partial, tso;
    bool has_arrival;           /* It came out of a tunnel: 'arrival'. */
    struct engine_arrival arrival;
    uint8_t options[WORLD_MAX_OPTIONS];
};

struct world;

/* Reads the file 'path'; exits with a message if something is wrong in it. */
struct world *world_read(const char *path);
void world_destroy(struct world *);

/* What holds for packet 'p', which is not before an earlier call's. */
const struct world_packet *world_packet(const struct world *, unsigned int p);
const struct anycast_table *world_table(struct world *, unsigned int p);

/* The key that holds from the first packet on. */
const struct hash_key *world_key(const struct world *);

/* Whether the table changes with packet 'p'. */
bool world_changes(const struct world *, unsigned int p);

#endif /* tests/golden/world.h */
