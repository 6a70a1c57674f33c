#include <config.h>
#include "mapping/catalog/catalog-lease.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-missing.h"
#include "mapping/catalog/catalog-txn.h"
#include "openvswitch/json.h"
#include "util.h"

/* What was asked for. */
struct request {
    struct catalog_txn *txn;
    const struct catalog_records *records;
    struct record_lease lease;  /* As far as it was given. */
    bool has_address, has_client, has_term;
    bool exists_ok;
    int64_t now;
    const struct record_pool *pool;
    struct diagnosis *diag;
};

static const char *const op_names[N_CATALOG_LEASE_OPS] = {
    [CATALOG_LEASE_ALLOCATE] = "allocate",
    [CATALOG_LEASE_RENEW] = "renew",
    [CATALOG_LEASE_RETURN] = "return",
    [CATALOG_LEASE_REASSIGN] = "reassign",
};

const char *
catalog_lease_op_name(enum catalog_lease_op op)
{
    return op_names[op];
}

bool
catalog_lease_op_from_name(const char *name, enum catalog_lease_op *op)
{
    for (int i = 0; i < N_CATALOG_LEASE_OPS; i++) {
        if (!strcmp(op_names[i], name)) {
            *op = i;
            return true;
        }
    }
    return false;
}

/* Reading the request. */

static int
require(const struct request *r, bool given, const char *field,
        enum catalog_lease_op op)
{
    return (given ? 0
            : diagnosis_set(r->diag, DIAG_INVALID, field, NULL,
                            "%s: required to %s a lease", field,
                            op_names[op]));
}

static int
check_members(const struct request *r, const struct shash *members,
              enum catalog_lease_op op)
{
    int error = require(r, shash_find(members, "vni"), "vni", op);

    if (!error) {
        error = require(r, shash_find(members, "pool"), "pool", op);
    }
    if (!error && (op == CATALOG_LEASE_ALLOCATE
                   || op == CATALOG_LEASE_REASSIGN)) {
        error = require(r, r->has_client, "client", op);
    }
    if (!error && op == CATALOG_LEASE_REASSIGN) {
        error = require(r, r->has_address, "address", op);
    }
    if (!error && op != CATALOG_LEASE_ALLOCATE) {
        error = require(r, r->has_client || r->has_address, "address", op);
    }
    if (!error && shash_find(members, "expires")) {
        error = diagnosis_set(r->diag, DIAG_INVALID, "expires", NULL,
                              "expires: follows from term, and cannot be "
                              "given to %s a lease", op_names[op]);
        diagnosis_set_hint(r->diag, "leave it out");
    }
    return error;
}

static int
read_request(struct request *r, enum catalog_lease_op op,
             const struct json *json)
{
    const struct shash *members;
    struct record part;
    int error = record_part_from_json(json, &part, r->diag);

    if (error) {
        return error;
    }
    if (part.kind != RECORD_LEASE) {
        return diagnosis_set(r->diag, DIAG_INVALID, "kind",
                             record_kind_name(part.kind), "kind: to %s goes "
                             "with a lease, not with %s", op_names[op],
                             record_kind_name(part.kind));
    }
    members = json_object(json);
    r->lease = part.lease;
    r->has_address = shash_find(members, "address");
    r->has_client = shash_find(members, "client");
    r->has_term = shash_find(members, "term");
    return check_members(r, members, op);
}

/* Finding. */

static int
find_pool(struct request *r)
{
    struct record key = { .kind = RECORD_POOL, .pool.vni = r->lease.vni };
    const struct catalog_record *node;

    ovs_strlcpy(key.pool.name, r->lease.pool, sizeof key.pool.name);
    node = catalog_record_find(r->records, &key);
    if (!node) {
        return catalog_missing_record(r->txn->catalog, &key, r->diag);
    }
    r->pool = &node->record.pool;
    return 0;
}

/* The lease that the client has, or NULL. */
static const struct catalog_record *
lease_of_client(const struct request *r)
{
    /* No lease has this key, as the address is none. */
    struct record record = { .kind = RECORD_LEASE, .lease = r->lease };

    record.lease.address = (struct inet_addr) { 0, 0 };
    return catalog_record_same(r->records, &record);
}

/* The lease that the request names, unless that is not there or somebody
 * else's; '*lease' is then untouched. */
static int
find_lease(const struct request *r, bool of_client, struct record *lease)
{
    struct record key = { .kind = RECORD_LEASE, .lease = r->lease };
    const struct catalog_record *node
        = r->has_address ? catalog_record_find(r->records, &key)
          : lease_of_client(r);
    char text[RECORD_KEY_SIZE];

    if (!node && r->has_address) {
        return catalog_missing_record(r->txn->catalog, &key, r->diag);
    }
    if (!node) {
        int error = diagnosis_set(r->diag, DIAG_NOT_FOUND, "client",
                                  r->lease.client, "client %s has no lease of "
                                  "pool %"PRIu32"/%s", r->lease.client,
                                  r->lease.vni, r->lease.pool);

        diagnosis_set_hint(r->diag, "allocate one");
        return error;
    }
    if (of_client && r->has_client
        && strcmp(node->record.lease.client, r->lease.client)) {
        int error;

        record_format_key(&key, text);
        error = diagnosis_set(r->diag, DIAG_IN_USE, "client",
                              r->lease.client, "lease %s is not of client %s "
                              "but of %s", text, r->lease.client,
                              node->record.lease.client);
        diagnosis_set_hint(r->diag, "allocate another address");
        return error;
    }
    *lease = node->record;
    return 0;
}

/* Whether nobody has 'address' but, perhaps, the workload that the client
 * is. */
static bool
is_free(const struct request *r, struct inet_addr address)
{
    struct record record = { .kind = RECORD_LEASE, .lease = r->lease };
    const struct catalog_claim *claim;

    HMAP_FOR_EACH_WITH_HASH (claim, node,
                             catalog_record_hash_claim(r->lease.vni, address),
                             &r->records->claims) {
        if (claim->vni == r->lease.vni
            && inet_addr_equal(claim->address, address)
            && !catalog_record_share(&record, &claim->record->record)) {
            return false;
        }
    }
    return true;
}

/* The address in the pool that the workload has that is the client. */
static bool
find_own(const struct request *r, struct inet_addr *address)
{
    struct record key = { .kind = RECORD_WORKLOAD };
    const struct catalog_record *node;

    if (!record_lease_workload(r->lease.client, &key.workload.vni,
                               key.workload.name)) {
        return false;
    }
    node = catalog_record_find(r->records, &key);
    for (size_t i = 0; node && i < node->n_claims; i++) {
        const struct catalog_claim *claim = &node->claims[i];

        if (claim->vni == r->lease.vni
            && record_pool_contains(r->pool, claim->address)
            && is_free(r, claim->address)) {
            *address = claim->address;
            return true;
        }
    }
    return false;
}

static int
find_free(const struct request *r, struct inet_addr *address)
{
    uint32_t n = record_pool_size(r->pool);
    char text[RECORD_KEY_SIZE];
    int error;

    if (find_own(r, address)) {
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct inet_addr a = record_pool_address(r->pool, i);

        if (is_free(r, a)) {
            *address = a;
            return 0;
        }
    }
    snprintf(text, sizeof text, "%"PRIu32"/%s", r->lease.vni, r->lease.pool);
    error = diagnosis_set(r->diag, DIAG_BUSY, "pool", text, "pool %s: all of "
                          "its %"PRIu32" address%s are taken", text, n,
                          n == 1 ? "" : "es");
    diagnosis_set_hint(r->diag, "return a lease, or make the pool larger with "
                       "'grapnelctl gateway pool set'");
    return error;
}

/* Doing. */

static void
set_term(const struct request *r, uint32_t term, struct record_lease *lease)
{
    lease->term = r->has_term ? r->lease.term : term;
    lease->expires = (!lease->term ? 0
                      : MIN(MAX(r->now, 0) + lease->term, UINT32_MAX));
}

static int
replace(struct catalog_txn *txn, const struct record *lease,
        struct diagnosis *diag)
{
    struct json *json = record_to_json(lease);
    int error = catalog_set(txn, json, diag);

    json_destroy(json);
    return error;
}

static int
renew(const struct request *r, struct record *lease)
{
    int error = find_lease(r, true, lease);

    if (!error) {
        set_term(r, lease->lease.term, &lease->lease);
        error = replace(r->txn, lease, r->diag);
    }
    return error;
}

static int
allocate(const struct request *r, struct record *lease)
{
    int error = 0;

    if (r->exists_ok && lease_of_client(r)) {
        return renew(r, lease);
    }
    *lease = (struct record) { .kind = RECORD_LEASE, .lease = r->lease };
    if (!r->has_address) {
        error = find_free(r, &lease->lease.address);
    }
    if (!error) {
        set_term(r, r->pool->term, &lease->lease);
        error = catalog_add(r->txn, lease, false, r->diag);
    }
    return error;
}

static int
give_back(const struct request *r, bool *any, struct record *lease)
{
    int error = find_lease(r, true, lease);

    if (error && r->exists_ok && r->diag->code == DIAG_NOT_FOUND) {
        *any = false;
        return 0;
    }
    return (error ? error
            : catalog_remove(r->txn, lease, false, false, r->diag));
}

static int
reassign(const struct request *r, struct record *lease)
{
    int error = find_lease(r, false, lease);

    if (!error) {
        ovs_strlcpy(lease->lease.client, r->lease.client,
                    sizeof lease->lease.client);
        set_term(r, lease->lease.term, &lease->lease);
        error = replace(r->txn, lease, r->diag);
    }
    return error;
}

int
catalog_lease_do(struct catalog_txn *txn, enum catalog_lease_op op,
                 const struct json *json, bool exists_ok, int64_t now,
                 bool *any, struct record *lease, struct diagnosis *diag)
{
    struct request r = { .txn = txn, .records = &txn->catalog->records,
                         .exists_ok = exists_ok, .now = now, .diag = diag };
    int error = read_request(&r, op, json);

    *any = true;
    if (!error) {
        error = find_pool(&r);
    }
    if (error) {
        return error;
    }
    switch (op) {
    case CATALOG_LEASE_ALLOCATE:
        return allocate(&r, lease);
    case CATALOG_LEASE_RENEW:
        return renew(&r, lease);
    case CATALOG_LEASE_RETURN:
        return give_back(&r, any, lease);
    case CATALOG_LEASE_REASSIGN:
        return reassign(&r, lease);
    case N_CATALOG_LEASE_OPS:
        break;
    }
    OVS_NOT_REACHED();
}

/* Time. */

size_t
catalog_lease_expire(struct catalog_txn *txn, int64_t now)
{
    struct record *leases;
    size_t n, n_expired = 0;

    leases = catalog_records(txn->catalog, RECORD_LEASE, &n);
    for (size_t i = 0; i < n; i++) {
        if (leases[i].lease.expires && leases[i].lease.expires <= now) {
            /* Nothing refers to a lease. */
            ovs_assert(!catalog_remove(txn, &leases[i], false, false, NULL));
            n_expired++;
        }
    }
    free(leases);
    return n_expired;
}

void
catalog_lease_shift(struct catalog_txn *txn, int64_t seconds)
{
    struct record *leases;
    size_t n;

    leases = catalog_records(txn->catalog, RECORD_LEASE, &n);
    for (size_t i = 0; i < n; i++) {
        int64_t expires = leases[i].lease.expires + seconds;

        if (leases[i].lease.expires) {
            leases[i].lease.expires = MIN(MAX(expires, 1), UINT32_MAX);
            ovs_assert(!replace(txn, &leases[i], NULL));
        }
    }
    free(leases);
}

int64_t
catalog_lease_next(const struct catalog *catalog)
{
    const struct catalog_record *node;
    int64_t next = INT64_MAX;

    CATALOG_RECORD_FOR_EACH (node, RECORD_LEASE, &catalog->records) {
        if (node->record.lease.expires) {
            next = MIN(next, node->record.lease.expires);
        }
    }
    return next;
}

size_t
catalog_lease_count(const struct catalog *catalog, const struct record *pool)
{
    const struct catalog_record *node;
    size_t n = 0;

    CATALOG_RECORD_FOR_EACH (node, RECORD_LEASE, &catalog->records) {
        n += (node->record.lease.vni == pool->pool.vni
              && !strcmp(node->record.lease.pool, pool->pool.name));
    }
    return n;
}
