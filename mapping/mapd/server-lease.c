/* Leases: operations of `transact`, and their end.
 *
 * What has expired is freed by ordinary changes, at most one a second.  After
 * mapd's start, and after it has become the one that makes changes, nothing is
 * freed for a while: whoever could not renew a lease before can do so first.
 */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <inttypes.h>

#include "mapping/catalog/catalog-lease.h"
#include "mapping/mapd/params.h"
#include "mapping/mapd/server-change.h"
#include "openvswitch/json.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_lease);

enum {
    RUN_MS   = 1000,            /* Between two looks at leases. */
    RETRY_MS = 5000,            /* After the store has failed. */
    GRACE_MS = 10 * 1000,       /* From mapd's start, or its lead. */
};

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

int
server_lease_apply(const struct server *server, struct catalog_txn *txn,
                   const char *name, const struct json *record,
                   bool exists_ok, struct json *leases,
                   struct diagnosis *diag)
{
    enum catalog_lease_op op;
    struct record lease;
    bool any;
    int error;

    ovs_assert(catalog_lease_op_from_name(name, &op));
    error = catalog_lease_do(txn, op, record, exists_ok,
                             lease_clock_now(&server->lease_clock), &any,
                             &lease, diag);
    if (!error && any) {
        json_array_add(leases, record_to_json(&lease));
    }
    return error;
}

/* Nothing to do: no leases, or another mapd sees to them. */
static bool
is_idle(const struct server *server)
{
    return !server->leads || !catalog_count(server->catalog, RECORD_LEASE);
}

void
server_lease_init(struct server *server)
{
    lease_clock_init(&server->lease_clock, time_wall_msec(), time_msec());
    server->lease_run = server->lead_since = time_msec();
}

void
server_lease_tick(struct server *server)
{
    lease_clock_tick(&server->lease_clock, time_wall_msec(), time_msec(),
                     is_idle(server));
}

/* Ends 'txn'.  Returns true if it was committed. */
static bool
finish(struct server *server, struct catalog_txn *txn)
{
    struct diagnosis diag;
    struct json *result = server_finish(server, txn, false, &diag);

    if (!result) {
        server->lease_run = time_msec() + RETRY_MS;
        return false;
    }
    json_destroy(result);
    return true;
}

static void
put_off(struct server *server, int64_t seconds)
{
    struct catalog_txn *txn = server_begin(server);

    catalog_lease_shift(txn, seconds);
    if (finish(server, txn)) {
        lease_clock_shift(&server->lease_clock, seconds);
        VLOG_WARN_RL(&rl, "the clock was set, or stood still: the end of all "
                     "leases is put off by %"PRId64" seconds", seconds);
    }
}

static void
expire(struct server *server)
{
    struct catalog_txn *txn = server_begin(server);
    size_t n = catalog_lease_expire(txn,
                                    lease_clock_now(&server->lease_clock));

    if (finish(server, txn)) {
        VLOG_INFO_RL(&rl, "%"PRIuSIZE" lease%s expired", n,
                     n == 1 ? "" : "s");
    }
}

void
server_lease_run(struct server *server)
{
    int64_t difference;

    if (is_idle(server) || time_msec() < server->lease_run) {
        return;
    }
    server->lease_run = time_msec() + RUN_MS;
    server_trust_self(server, "lease");
    difference = lease_clock_difference(&server->lease_clock,
                                        time_wall_msec());
    if (difference) {
        put_off(server, difference);
    } else if (time_msec() >= server->lead_since + GRACE_MS
               && (catalog_lease_next(server->catalog)
                   <= lease_clock_now(&server->lease_clock))) {
        expire(server);
    }
}

void
server_lease_wait(const struct server *server)
{
    if (!is_idle(server)) {
        poll_timer_wait_until(server->lease_run);
    }
}
