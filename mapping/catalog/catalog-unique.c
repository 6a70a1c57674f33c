/* Two records clash if both were put in the end; the one put last is at fault.
 * Of several clashes the one of the earliest operation is told, as if each
 * operation had been checked at once. */

#include <config.h>
#include "mapping/catalog/catalog-unique.h"

#include <limits.h>
#include <string.h>

#include "mapping/catalog/catalog-check.h"
#include "util.h"

/* The first clash found so far: its operation, INT_MAX if there is none. */
struct clash {
    int op;
    struct record record;       /* The one at fault. */
};

/* Notes that 'record', put by 'op', clashes with what 'other_op' put (-1: it
 * was there before, or nobody counts). */
static void
note(struct clash *clash, const struct record *record, int op, int other_op)
{
    if (op >= other_op && op < clash->op) {
        clash->op = op;
        clash->record = *record;
    }
}

static int
host_op(const struct catalog_txn *txn, const char *name)
{
    const struct catalog_txn_host *host = catalog_txn_find_host(txn, name);

    return host ? host->op : -1;
}

static void
check_host(const struct catalog_txn *txn, const struct catalog_txn_host *host,
           struct clash *clash)
{
    const struct catalog_host_node *node, *other;

    node = catalog_index_host(txn->catalog, host->before.name);
    other = node ? catalog_index_same_vtep(txn->catalog, &node->record) : NULL;
    if (other) {
        struct record record = { .kind = RECORD_HOST, .host = node->record };

        note(clash, &record, host->op, host_op(txn, other->record.name));
    }
}

static void
check_group(const struct catalog_txn *txn,
            const struct catalog_txn_group *group,
            const struct catalog_group *now, struct clash *clash)
{
    const struct catalog_group_node *other
        = catalog_index_same_service(txn->catalog, &now->record);

    if (other) {
        const struct catalog_txn_group *touched = catalog_txn_find_group(
            txn, other->group.record.vni, other->group.record.name);
        struct record record = { .kind = RECORD_GROUP, .group = now->record };

        note(clash, &record, group->op, touched ? touched->op : -1);
    }
}

/* Only those that the transaction has put are new nodes. */
static bool
is_new(const struct catalog_endpoint *endpoint)
{
    return endpoint->index == GROUP_NO_ENDPOINT;
}

/* Notes that 'endpoint' clashes with 'other', if that is not NULL. */
static void
note_endpoint(const struct catalog_endpoint_node *endpoint,
              const struct catalog_endpoint_node *other, struct clash *clash)
{
    struct record record = { .kind = RECORD_ENDPOINT,
                             .endpoint = endpoint->endpoint.record };

    if (other) {
        note(clash, &record, endpoint->op,
             is_new(&other->endpoint) ? other->op : -1);
    }
}

static void
check_endpoints(const struct catalog_txn *txn,
                const struct catalog_txn_group *group,
                const struct catalog_group *now, struct clash *clash)
{
    for (size_t i = 0; i < now->n_endpoints; i++) {
        const struct catalog_endpoint_node *node
            = catalog_endpoint_node_cast(now->endpoints[i]);
        const struct record_endpoint *r = &node->endpoint.record;

        if (is_new(&node->endpoint)) {
            note_endpoint(node, catalog_index_same_mac(txn->catalog, r),
                          clash);
            if (r->iface[0]) {
                note_endpoint(node, catalog_index_same_iface(txn->catalog, r),
                              clash);
            }
            if (r->quic_id.length) {
                note_endpoint(node,
                              catalog_index_same_quic_id(txn->catalog, r),
                              clash);
            }
        }
        if (!catalog_check_fits_quic_id(&now->record, r)) {
            struct record record = { .kind = RECORD_ENDPOINT,
                                     .endpoint = *r };
            int op = is_new(&node->endpoint) ? node->op : -1;

            /* Whichever came later is at fault. */
            note(clash, &record, MAX(op, group->op), -1);
        }
    }
}

int
catalog_unique_check(const struct catalog_txn *txn,
                     struct catalog_txn_group *const *groups, size_t n,
                     struct diagnosis *diag)
{
    struct clash clash = { .op = INT_MAX };
    const struct catalog_txn_host *host;
    int error;

    HMAP_FOR_EACH (host, node, &txn->hosts) {
        check_host(txn, host, &clash);
    }
    for (size_t i = 0; i < n; i++) {
        const struct catalog_group_node *node
            = catalog_index_group(txn->catalog, groups[i]->before.record.vni,
                                  groups[i]->before.record.name);

        if (node) {
            check_group(txn, groups[i], &node->group, &clash);
            check_endpoints(txn, groups[i], &node->group, &clash);
        }
    }
    if (clash.op == INT_MAX) {
        return 0;
    }
    error = catalog_check_unique(txn->catalog, &clash.record, diag);
    ovs_assert(error);
    if (diag) {
        diag->op = clash.op;
    }
    return error;
}
