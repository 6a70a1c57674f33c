#include <config.h>

#include "mapping/mapd/store-copy.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-state.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/poll-loop.h"
#include "timeval.h"
#include "util.h"

enum { LEAD_MS = 10000 };       /* How long to wait for the lead. */

/* One end of the copy. */
struct end {
    struct catalog *catalog;
    struct hash_key key;
    struct store *store;        /* NULL: not open. */
};

static int
end_open(struct end *end, const struct store_options *options,
         struct diagnosis *diag)
{
    int error;

    end->store = NULL;
    end->catalog = catalog_create();
    error = store_open(options, end->catalog, &end->key, &end->store, diag);
    if (error) {
        end->store = NULL;      /* Who else would have set it? */
        return error;
    }
    if (!store_is_shared(end->store)) {
        catalog_restore_liveness(end->catalog);
    }
    return 0;
}

static void
end_close(struct end *end)
{
    store_close(end->store);
    catalog_destroy(end->catalog);
}

static int
refuse_used(const struct end *end, struct diagnosis *diag)
{
    const char *name = store_leader_name(end->store);
    int error;

    if (!name) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_IN_USE, "store", store_name(end->store),
                          "%s: grapnel-mapd %s uses it",
                          store_name(end->store), name);
    diagnosis_set_hint(diag, "stop all that do, and try again in a few "
                       "seconds");
    return error;
}

/* Who finds no store at 'to' makes one with the key of 'from'. */
static int
check_empty(const struct end *from, const struct end *to,
            struct diagnosis *diag)
{
    int error;

    if (!catalog_revision(to->catalog)
        && from->key.word[0] == to->key.word[0]
        && from->key.word[1] == to->key.word[1]) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_EXISTS, "store", store_name(to->store),
                          "%s: already in use, its revision is %"PRIu64,
                          store_name(to->store),
                          catalog_revision(to->catalog));
    diagnosis_set_hint(diag, "copy to a new file, or below a new "
                       "--etcd-prefix");
    return error;
}

/* Takes in what others still write meanwhile. */
static int
wait_for_lead(const struct end *end, struct diagnosis *diag)
{
    long long int deadline = time_msec() + LEAD_MS;
    int error;

    while ((error = store_check_leader(end->store, diag)) != 0
           && time_msec() < deadline) {
        struct catalog_txn *txn;

        store_run(end->store);
        while ((txn = store_follow(end->store, end->catalog)) != NULL) {
            catalog_commit(txn);
        }
        store_wait(end->store);
        poll_timer_wait_until(deadline);
        poll_block();
    }
    return error;
}

/* Copying. */

static int
copy_hosts(struct catalog_txn *txn, const struct catalog *from,
           struct store_copied *copied, struct diagnosis *diag)
{
    const struct record_host **hosts = catalog_hosts(from, &copied->n_hosts);
    int error = 0;

    for (size_t i = 0; !error && i < copied->n_hosts; i++) {
        const struct record record = { .kind = RECORD_HOST,
                                       .host = *hosts[i] };

        error = catalog_install_record(txn, &record, diag);
        if (!error) {
            catalog_set_alive(txn, hosts[i]->name,
                              catalog_host_is_alive(from, hosts[i]->name));
        }
    }
    free(hosts);
    return error;
}

static int
copy_state(struct catalog_txn *txn, const struct catalog_group *group,
           struct diagnosis *diag)
{
    struct catalog_state *state;
    struct ofpbuf encoded;
    int error;

    ofpbuf_init(&encoded, 0);
    catalog_state_encode(group, &encoded);
    error = catalog_state_decode(encoded.data, encoded.size, &state);
    ovs_assert(!error);
    ofpbuf_uninit(&encoded);
    return catalog_install_state(txn, group->record.vni, group->record.name,
                                 state, diag);
}

static int
copy_group(struct catalog_txn *txn, const struct catalog_group *group,
           struct diagnosis *diag)
{
    struct record record = { .kind = RECORD_GROUP, .group = group->record };
    int error = catalog_install_record(txn, &record, diag);

    record.kind = RECORD_ENDPOINT;
    for (size_t i = 0; !error && i < group->n_endpoints; i++) {
        record.endpoint = group->endpoints[i]->record;
        error = catalog_install_record(txn, &record, diag);
    }
    return error ? error : copy_state(txn, group, diag);
}

static int
copy_groups(struct catalog_txn *txn, const struct catalog *from,
            struct store_copied *copied, struct diagnosis *diag)
{
    const struct catalog_group **groups
        = catalog_groups(from, &copied->n_groups);
    int error = 0;

    for (size_t i = 0; !error && i < copied->n_groups; i++) {
        error = copy_group(txn, groups[i], diag);
        copied->n_endpoints += groups[i]->n_endpoints;
    }
    free(groups);
    return error;
}

/* Endpoints that are unwell own no slots: who takes them for healthy again has
 * to know that they were not. */
static void
copy_health(struct catalog_txn *txn, const struct catalog *from)
{
    struct catalog_patient *patients;
    size_t n;

    patients = catalog_patients(from, NULL, &n);
    for (size_t i = 0; i < n; i++) {
        const struct catalog_patient *p = &patients[i];
        const struct catalog_endpoint *e
            = catalog_find_index(from, p->group, p->endpoint);

        catalog_set_health(txn, p->group, p->endpoint,
                           catalog_endpoint_sickness(
                               from, catalog_find_group(from, e->record.vni,
                                                        e->record.group), e));
    }
    free(patients);
}

static int
copy_others(struct catalog_txn *txn, const struct catalog *from,
            struct store_copied *copied, struct diagnosis *diag)
{
    int error = 0;

    for (int kind = RECORD_FIRST_PLAIN; !error && kind < N_RECORD_KINDS;
         kind++) {
        size_t n;
        struct record *records = catalog_records(from, kind, &n);

        for (size_t i = 0; !error && i < n; i++) {
            error = catalog_install_record(txn, &records[i], diag);
        }
        copied->n_others += n;
        free(records);
    }
    return error;
}

static int
copy_all(const struct end *from, const struct end *to,
         struct store_copied *copied, struct diagnosis *diag)
{
    struct catalog_txn *txn = catalog_begin(to->catalog);
    int error;

    catalog_follow(txn, catalog_revision(from->catalog),
                   catalog_last_group_id(from->catalog));
    error = copy_hosts(txn, from->catalog, copied, diag);
    if (!error) {
        error = copy_groups(txn, from->catalog, copied, diag);
    }
    if (!error) {
        copy_health(txn, from->catalog);
        error = copy_others(txn, from->catalog, copied, diag);
    }
    if (!error) {
        error = catalog_prepare(txn, diag);
    }
    if (!error) {
        copied->revision = catalog_txn_revision(txn);
        error = store_commit(to->store, txn, to->catalog, diag);
    }
    if (error) {
        catalog_abort(txn);
    } else {
        catalog_commit(txn);
    }
    return error;
}

static int
copy_to(const struct end *from, const struct store_options *options,
        struct store_copied *copied, struct diagnosis *diag)
{
    struct store_options to_options = *options;
    struct end to;
    int error;

    to_options.must_exist = false;
    to_options.first_key = &from->key;
    error = end_open(&to, &to_options, diag);
    if (!error) {
        error = refuse_used(&to, diag);
    }
    if (!error) {
        error = check_empty(from, &to, diag);
    }
    if (!error) {
        error = wait_for_lead(&to, diag);
    }
    if (!error) {
        error = check_empty(from, &to, diag);
    }
    if (!error) {
        error = copy_all(from, &to, copied, diag);
    }
    end_close(&to);
    return error;
}

int
store_copy(const struct store_options *from_options,
           const struct store_options *to_options, struct store_copied *copied,
           struct diagnosis *diag)
{
    struct store_options options = *from_options;
    struct end from;
    int error;

    memset(copied, 0, sizeof *copied);
    options.must_exist = true;
    options.first_key = NULL;
    error = end_open(&from, &options, diag);
    if (!error) {
        error = refuse_used(&from, diag);
    }
    if (!error) {
        error = copy_to(&from, to_options, copied, diag);
    }
    end_close(&from);
    return error;
}
