/* A replica as the snapshot that would make it (docs/protocol.md, SNAPSHOT).
 * Thread-safe as long as nobody changes the replica. */

#ifndef MAPPING_REPLICA_REPLICA_JSON_H
#define MAPPING_REPLICA_REPLICA_JSON_H 1

#include <stdint.h>

struct json;
struct replica;

/* The snapshot that replica_load_snapshot() at 'now_ms' would make the same
 * replica of, which must not be an empty one.  For how long endpoints have
 * been up is told to INT32_MAX ms.  The caller owns the result.  Takes time in
 * proportion to all slots and endpoints. */
struct json *replica_to_json(const struct replica *, int64_t now_ms);

#endif /* mapping/replica/replica-json.h */
