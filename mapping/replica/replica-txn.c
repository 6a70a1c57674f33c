#include <config.h>
#include "mapping/replica/replica-txn.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/replica/replica-group.h"
#include "mapping/replica/replica-index.h"
#include "util.h"

/* What took the place of what; at least one of them is not NULL, and hosts,
 * groups and records do not mix.  The transaction owns what was taken out, the
 * replica what was put in. */
struct replica_edit {
    struct replica_host *old_host, *new_host;
    struct replica_group *old_group, *new_group;
    struct replica_record *old_record, *new_record;
};

void
replica_txn_begin(struct replica_txn *txn, struct replica *replica)
{
    *txn = (struct replica_txn) { .replica = replica };
}

static void
do_edit(struct replica *replica, const struct replica_edit *edit)
{
    if (edit->old_host) {
        replica_index_remove_host(replica, edit->old_host);
    }
    if (edit->old_group) {
        replica_index_remove_group(replica, edit->old_group);
    }
    if (edit->old_record) {
        replica_index_remove_record(replica, edit->old_record);
    }
    if (edit->new_record) {
        replica_index_add_record(replica, edit->new_record);
    }
    if (edit->new_host) {
        replica_index_add_host(replica, edit->new_host);
    }
    if (edit->new_group) {
        replica_index_add_group(replica, edit->new_group);
    }
}

static void
add_edit(struct replica_txn *txn, const struct replica_edit *edit)
{
    if (txn->n_edits >= txn->allocated) {
        txn->edits = x2nrealloc(txn->edits, &txn->allocated,
                                sizeof *txn->edits);
    }
    txn->edits[txn->n_edits++] = *edit;
    do_edit(txn->replica, edit);
}

static bool
hosts_equal(const struct replica_host *a, const struct replica_host *b)
{
    struct record x = { .kind = RECORD_HOST, .host = a->record };
    struct record y = { .kind = RECORD_HOST, .host = b->record };

    return record_equal(&x, &y) && a->alive == b->alive;
}

void
replica_txn_put_host(struct replica_txn *txn, struct replica_host *host)
{
    struct replica_host *old = replica_index_host(txn->replica,
                                                  host->record.name);

    if (old && hosts_equal(old, host)) {
        free(host);
        return;
    }
    add_edit(txn, &(struct replica_edit) { .old_host = old,
                                           .new_host = host });
}

void
replica_txn_put_group(struct replica_txn *txn, struct replica_group *group)
{
    struct replica_group *old = replica_index_group(txn->replica,
                                                    group->record.vni,
                                                    group->record.name);

    if (old && replica_group_equal(old, group)) {
        replica_group_destroy(group);
        return;
    }
    add_edit(txn, &(struct replica_edit) { .old_group = old,
                                           .new_group = group });
}

void
replica_txn_remove_host(struct replica_txn *txn, struct replica_host *host)
{
    add_edit(txn, &(struct replica_edit) { .old_host = host });
}

void
replica_txn_remove_group(struct replica_txn *txn, struct replica_group *group)
{
    add_edit(txn, &(struct replica_edit) { .old_group = group });
}

void
replica_txn_put_record(struct replica_txn *txn, const struct record *record)
{
    struct replica_record *old = replica_index_record(txn->replica, record);
    struct replica_record *new;

    if (old && record_equal(&old->record, record)) {
        return;
    }
    new = xzalloc(sizeof *new);
    new->record = *record;
    add_edit(txn, &(struct replica_edit) { .old_record = old,
                                           .new_record = new });
}

void
replica_txn_remove_record(struct replica_txn *txn,
                          struct replica_record *record)
{
    add_edit(txn, &(struct replica_edit) { .old_record = record });
}

static int
check_host(const struct replica *replica, const struct replica_host *host,
           struct diagnosis *diag)
{
    const struct replica_host *other = replica_index_same_vtep(replica, host);

    return (other
            ? diagnosis_set(diag, DIAG_EXISTS, "vtep", host->record.name,
                            "hosts %s and %s have the same vtep",
                            other->record.name, host->record.name)
            : 0);
}

static int
check_host_gone(const struct replica *replica, const char *name,
                struct diagnosis *diag)
{
    size_t n = replica_index_uses(replica, name);

    return (n && !replica_index_host(replica, name)
            ? diagnosis_set(diag, DIAG_IN_USE, "host_removed", name,
                            "host %s is removed, but %"PRIuSIZE" endpoints "
                            "are on it", name, n)
            : 0);
}

static int
check_group(const struct replica *replica, const struct replica_group *group,
            struct diagnosis *diag)
{
    const struct record_group *record = &group->record;
    const struct replica_group *other;

    other = replica_index_same_id(replica, group);
    if (other) {
        return diagnosis_set(diag, DIAG_EXISTS, "id", record->name,
                             "groups %"PRIu32"/%s and %"PRIu32"/%s have the "
                             "same id %"PRIu32, other->record.vni,
                             other->record.name, record->vni, record->name,
                             group->id);
    }
    other = replica_index_same_key(replica, group);
    if (other) {
        return diagnosis_set(diag, DIAG_EXISTS, "address", record->name,
                             "groups %s and %s of VNI %"PRIu32" have the same "
                             "address, protocol and port or overlapping "
                             "ports", other->record.name, record->name,
                             record->vni);
    }
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct record_endpoint *e = &group->endpoints[i].record;

        if (e->host[0] && !replica_index_host(replica, e->host)) {
            return diagnosis_set(diag, DIAG_NOT_FOUND, "host", e->host,
                                 "endpoint %"PRIu32"/%s/%s is on host %s, "
                                 "which is unknown here", e->vni, e->group,
                                 e->name, e->host);
        }
    }
    return 0;
}

static bool
is_host_there(const struct replica *replica, const struct replica_host *host)
{
    return replica_index_host(replica, host->record.name) == host;
}

static bool
is_group_there(const struct replica *replica,
               const struct replica_group *group)
{
    return replica_index_group(replica, group->record.vni,
                               group->record.name) == group;
}

/* What was put in may have been taken out again by a later edit, and then does
 * not matter. */
int
replica_txn_check(const struct replica_txn *txn, struct diagnosis *diag)
{
    const struct replica *replica = txn->replica;
    int error = 0;

    for (size_t i = 0; i < txn->n_edits && !error; i++) {
        const struct replica_edit *edit = &txn->edits[i];

        if (edit->new_host && is_host_there(replica, edit->new_host)) {
            error = check_host(replica, edit->new_host, diag);
        } else if (edit->old_host && !edit->new_host) {
            error = check_host_gone(replica, edit->old_host->record.name,
                                    diag);
        } else if (edit->new_group
                   && is_group_there(replica, edit->new_group)) {
            error = check_group(replica, edit->new_group, diag);
        }
    }
    return error;
}

static bool
has_endpoint_on(const struct replica_group *group, const char *host)
{
    for (size_t i = 0; i < group->n_endpoints; i++) {
        if (!strcmp(group->endpoints[i].record.host, host)) {
            return true;
        }
    }
    return false;
}

/* What the packet path makes of an endpoint depends on whether its host is
 * alive.  Hosts die rarely: no index. */
static void
mark_groups_of(const struct replica *replica, const char *host,
               uint64_t generation)
{
    struct replica_group *group;

    HMAP_FOR_EACH (group, node, &replica->groups) {
        if (has_endpoint_on(group, host)) {
            group->changed = generation;
        }
    }
}

void
replica_txn_commit(struct replica_txn *txn, uint64_t generation)
{
    for (size_t i = 0; i < txn->n_edits; i++) {
        const struct replica_edit *edit = &txn->edits[i];

        if (edit->new_group) {
            edit->new_group->changed = generation;
        }
        if (edit->new_record) {
            edit->new_record->changed = generation;
        }
        if (edit->old_host && edit->new_host
            && edit->old_host->alive != edit->new_host->alive) {
            mark_groups_of(txn->replica, edit->new_host->record.name,
                           generation);
        }
        free(edit->old_host);
        free(edit->old_record);
        replica_group_destroy(edit->old_group);
    }
    free(txn->edits);
}

void
replica_txn_abort(struct replica_txn *txn)
{
    while (txn->n_edits > 0) {
        const struct replica_edit *edit = &txn->edits[--txn->n_edits];
        struct replica_edit undo = {
            .old_host = edit->new_host, .new_host = edit->old_host,
            .old_group = edit->new_group, .new_group = edit->old_group,
            .old_record = edit->new_record, .new_record = edit->old_record,
        };

        do_edit(txn->replica, &undo);
        free(edit->new_host);
        free(edit->new_record);
        replica_group_destroy(edit->new_group);
    }
    free(txn->edits);
}
