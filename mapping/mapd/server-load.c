/* Method `load`: many records at once, which may replace all that there is. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <stdlib.h>

#include "mapping/mapd/params.h"
#include "mapping/mapd/server-change.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "sset.h"
#include "util.h"

enum { REFRESH_EVERY = 1000 };  /* Records. */

struct load_record {
    struct record record;
    size_t op;                  /* Where it stood in the request. */
};

static int
compare_load_records(const void *a_, const void *b_)
{
    const struct load_record *a = a_, *b = b_;

    return record_compare_keys(&a->record, &b->record);
}

/* Now and then, on the way through many records. */
static void
refresh(struct server *server, size_t i)
{
    if (!(i % REFRESH_EVERY)) {
        store_refresh(server->store);
    }
}

/* Reads 'array' into the caller's '*records', sorted by key, which puts
 * hosts before groups before endpoints, and whatever is referred to before
 * what refers to it. */
static int
parse_records(struct server *server, const struct json_array *array,
              struct load_record **recordsp, struct diagnosis *diag)
{
    struct load_record *records = xcalloc(MAX(array->n, 1), sizeof *records);
    int error = 0;

    for (size_t i = 0; !error && i < array->n; i++) {
        refresh(server, i);
        records[i].op = i;
        error = record_from_json(array->elems[i], &records[i].record, diag);
        if (error) {
            diag->op = i;
        }
    }
    if (!error) {
        qsort(records, array->n, sizeof *records, compare_load_records);
    }
    for (size_t i = 1; !error && i < array->n; i++) {
        if (!compare_load_records(&records[i - 1], &records[i])) {
            char key[RECORD_KEY_SIZE];

            record_format_key(&records[i].record, key);
            error = diagnosis_set(diag, DIAG_EXISTS, "name", key,
                                  "%s %s is there twice",
                                  record_kind_name(records[i].record.kind),
                                  key);
            diagnosis_set_hint(diag, "leave one of them out");
            diag->op = MAX(records[i - 1].op, records[i].op);
        }
    }
    if (error) {
        free(records);
        return error;
    }
    *recordsp = records;
    return 0;
}

static bool
is_listed(const struct load_record *records, size_t n,
          const struct record *record)
{
    struct load_record key = { .record = *record };

    return n && bsearch(&key, records, n, sizeof *records,
                        compare_load_records);
}

/* All groups or all endpoints of the catalog that are not among 'records',
 * as an array that the caller owns: removing changes what it was found in. */
static struct record *
find_unlisted(const struct catalog *catalog, enum record_kind kind,
              const struct load_record *records, size_t n_records, size_t *np)
{
    const struct catalog_group **groups;
    struct record *unlisted = NULL;
    size_t n_groups, n = 0, allocated = 0;

    groups = catalog_groups(catalog, &n_groups);
    for (size_t i = 0; i < n_groups; i++) {
        size_t m = kind == RECORD_GROUP ? 1 : groups[i]->n_endpoints;

        for (size_t j = 0; j < m; j++) {
            struct record record = { .kind = kind };

            if (kind == RECORD_GROUP) {
                record.group = groups[i]->record;
            } else {
                record.endpoint = groups[i]->endpoints[j]->record;
            }
            if (!is_listed(records, n_records, &record)) {
                if (n >= allocated) {
                    unlisted = x2nrealloc(unlisted, &allocated,
                                          sizeof *unlisted);
                }
                unlisted[n++] = record;
            }
        }
    }
    free(groups);
    *np = n;
    return unlisted;
}

static int
prune_kind(struct server *server, struct catalog_txn *txn,
           enum record_kind kind, const struct load_record *records,
           size_t n_records, struct diagnosis *diag)
{
    struct record *unlisted;
    int error = 0;
    size_t n;

    unlisted = find_unlisted(server->catalog, kind, records, n_records, &n);
    for (size_t i = 0; !error && i < n; i++) {
        refresh(server, i);
        error = catalog_remove(txn, &unlisted[i], false, false, diag);
    }
    free(unlisted);
    return error;
}

/* Fills 'used' with the names of the hosts that have endpoints. */
static void
find_used_hosts(const struct catalog *catalog, struct sset *used)
{
    const struct catalog_group **groups;
    size_t n;

    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < groups[i]->n_endpoints; j++) {
            sset_add(used, groups[i]->endpoints[j]->record.host);
        }
    }
    free(groups);
}

/* Removes hosts that are not listed; only those without endpoints, if
 * 'unused_only'. */
static int
prune_hosts(struct server *server, struct catalog_txn *txn, bool unused_only,
            const struct load_record *records, size_t n_records,
            struct diagnosis *diag)
{
    struct sset used = SSET_INITIALIZER(&used);
    const struct record_host **hosts;
    int error = 0;
    size_t n;

    if (unused_only) {
        find_used_hosts(server->catalog, &used);
    }
    hosts = catalog_hosts(server->catalog, &n);
    for (size_t i = 0; !error && i < n; i++) {
        struct record record = { .kind = RECORD_HOST, .host = *hosts[i] };

        if (!sset_contains(&used, record.host.name)
            && !(unused_only && catalog_uses(server->catalog, &record))
            && !is_listed(records, n_records, &record)) {
            error = catalog_remove(txn, &record, false, false, diag);
        }
    }
    free(hosts);
    sset_destroy(&used);
    return error;
}

/* Of plain records; what refers to others goes first.  What must be unique
 * need be so only in the end, so that these can go last. */
static int
prune_records(struct server *server, struct catalog_txn *txn,
              const struct load_record *records, size_t n_records,
              struct diagnosis *diag)
{
    int error = 0;

    for (int kind = N_RECORD_KINDS - 1; !error && kind >= RECORD_FIRST_PLAIN;
         kind--) {
        struct record *all;
        size_t n;

        all = catalog_records(server->catalog, kind, &n);
        for (size_t i = 0; !error && i < n; i++) {
            if (!is_listed(records, n_records, &all[i])) {
                error = catalog_remove(txn, &all[i], false, false, diag);
            }
        }
        free(all);
    }
    return error;
}

/* Removals come first, so that what is new can have the addresses of what
 * is old; but a host can go only when its last endpoint, or what else refers
 * to it, has moved. */
static int
merge_all(struct server *server, struct catalog_txn *txn, bool prune,
          const struct load_record *records, size_t n, struct diagnosis *diag)
{
    int error = 0;

    if (prune) {
        error = prune_kind(server, txn, RECORD_ENDPOINT, records, n, diag);
        if (!error) {
            error = prune_kind(server, txn, RECORD_GROUP, records, n, diag);
        }
        if (!error) {
            error = prune_hosts(server, txn, true, records, n, diag);
        }
    }
    for (size_t i = 0; !error && i < n; i++) {
        refresh(server, i);
        catalog_set_op(txn, records[i].op);
        error = server_change_merge(server, txn, &records[i].record, diag);
        if (error) {
            diag->op = records[i].op;
        }
    }
    catalog_set_op(txn, -1);
    if (!error && prune) {
        error = prune_records(server, txn, records, n, diag);
    }
    if (!error && prune) {
        error = prune_hosts(server, txn, false, records, n, diag);
    }
    return error;
}

struct json *
server_load(struct connection *conn, const struct json *params,
            struct diagnosis *diag)
{
    struct server *server = conn->server;
    struct server_change_options options;
    struct load_record *records;
    const struct json *array;
    struct catalog_txn *txn;
    struct params p;
    bool prune, force;
    int error;

    params_open(&p, params, diag);
    array = params_array(&p, "records");
    params_require(&p, "records");
    prune = params_bool(&p, "prune", false);
    force = params_bool(&p, "force", false);
    server_change_options(&p, &options);
    if (params_close(&p) || server_change_check(server, &options, diag)
        || parse_records(server, json_array(array), &records, diag)) {
        return NULL;
    }

    txn = server_begin(server);
    catalog_set_force(txn, force);
    catalog_set_epoch_rule(txn, CATALOG_EPOCH_RAISE);
    error = merge_all(server, txn, prune, records, json_array(array)->n,
                      diag);
    free(records);
    if (error) {
        catalog_abort(txn);
        return NULL;
    }
    return server_finish(server, txn, options.dry_run, diag);
}
