#include <config.h>
#include "mapping/catalog/catalog-record-txn.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hash.h"
#include "mapping/catalog/catalog-record-check.h"
#include "openvswitch/json.h"
#include "util.h"

void
catalog_record_txn_init(struct catalog_txn *txn)
{
    hmap_init(&txn->records);
    txn->epoch_rule = CATALOG_EPOCH_KEEP;
}

void
catalog_record_txn_destroy(struct catalog_txn *txn)
{
    struct catalog_txn_record *touched;

    HMAP_FOR_EACH_POP (touched, node, &txn->records) {
        free(touched);
    }
    hmap_destroy(&txn->records);
}

void
catalog_set_epoch_rule(struct catalog_txn *txn, int64_t rule)
{
    txn->epoch_rule = rule;
    txn->any_epoch |= rule == CATALOG_EPOCH_ANY;
}

/* What was before. */

static uint32_t
hash_key(const struct record *key)
{
    char text[RECORD_KEY_SIZE];

    record_format_key(key, text);
    return hash_string(text, key->kind);
}

const struct catalog_txn_record *
catalog_record_txn_find(const struct catalog_txn *txn,
                        const struct record *key)
{
    const struct catalog_txn_record *touched;

    HMAP_FOR_EACH_WITH_HASH (touched, node, hash_key(key), &txn->records) {
        if (!record_compare_keys(&touched->before, key)) {
            return touched;
        }
    }
    return NULL;
}

/* Notes that the operation under way changes 'key', whose record is 'node', or
 * NULL. */
static void
touch(struct catalog_txn *txn, const struct record *key,
      const struct catalog_record *node)
{
    struct catalog_txn_record *touched
        = CONST_CAST(struct catalog_txn_record *,
                     catalog_record_txn_find(txn, key));

    if (!touched) {
        touched = xzalloc(sizeof *touched);
        touched->existed = node != NULL;
        touched->before = node ? node->record : *key;
        hmap_insert(&txn->records, &touched->node, hash_key(key));
    }
    touched->op = txn->op;
}

/* Operations. */

void
catalog_record_txn_put(struct catalog_txn *txn, const struct record *record)
{
    struct catalog_records *records = &txn->catalog->records;
    struct catalog_record *node = catalog_record_find(records, record);

    touch(txn, record, node);
    if (node) {
        catalog_record_delete(records, node);
    }
    catalog_record_insert(records, record);
}

static bool
refers_to(const struct record *record, const struct record *key)
{
    const char *fields[CATALOG_RECORD_MAX_REFS];
    struct record keys[CATALOG_RECORD_MAX_REFS];
    size_t n = catalog_record_refs(record, keys, fields);

    for (size_t i = 0; i < n; i++) {
        if (keys[i].kind == key->kind && !record_compare_keys(&keys[i], key)) {
            return true;
        }
    }
    return false;
}

/* Nothing refers to these users in turn. */
static void
take_users(struct catalog_txn *txn, const struct record *key)
{
    struct catalog_records *records = &txn->catalog->records;

    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        struct catalog_record *node;

        HMAP_FOR_EACH_SAFE (node, by_key,
                            &records->by_key[kind - RECORD_FIRST_PLAIN]) {
            if (refers_to(&node->record, key)) {
                touch(txn, &node->record, node);
                catalog_record_delete(records, node);
            }
        }
    }
}

void
catalog_record_txn_take(struct catalog_txn *txn, const struct record *key)
{
    struct catalog_records *records = &txn->catalog->records;
    struct catalog_record *node = catalog_record_find(records, key);

    if (catalog_record_uses(records, key)) {
        take_users(txn, key);
    }
    touch(txn, key, node);
    catalog_record_delete(records, node);
}

/* Epochs. */

static int
refuse_epoch(const struct record_gateway *old, const char *field,
             const char *value, const char *hint, const char *problem,
             struct diagnosis *diag)
{
    int error = diagnosis_set(diag, DIAG_EPOCH, field, value, "gateway %s: "
                              "%s %s %s: its epoch is %"PRIu32" and its "
                              "active node %s", old->name, field, value,
                              problem, old->epoch,
                              *old->active ? old->active : "none yet");

    diagnosis_set_hint(diag, "%s", hint);
    return error;
}

/* The next epoch, if a node is made active. */
static int
advance_epoch(const struct catalog_txn *txn, const struct json *json,
              const struct record_gateway *old, struct record_gateway *new,
              struct diagnosis *diag)
{
    char number[24];

    snprintf(number, sizeof number, "%"PRId64, txn->epoch_rule);
    if (txn->epoch_rule != old->epoch) {
        return refuse_epoch(old, "if_epoch", number, "look at who is active "
                            "now, then repeat with that epoch",
                            "is not the present epoch", diag);
    }
    if (new->epoch != old->epoch) {
        snprintf(number, sizeof number, "%"PRIu32, new->epoch);
        return refuse_epoch(old, "epoch", number, "leave it out: a node that "
                            "is made active gets the next one",
                            "cannot be given", diag);
    }
    if (shash_find(json_object(json), "active")) {
        if (old->epoch == UINT32_MAX) {
            return refuse_epoch(old, "if_epoch", number, "remove the gateway "
                                "and add it again", "is the last epoch",
                                diag);
        }
        new->epoch++;
    }
    return 0;
}

static bool
same_active(const struct record_gateway *a, const struct record_gateway *b)
{
    return !strcmp(a->active, b->active);
}

static int
keep_epoch(const struct record_gateway *old, const struct record_gateway *new,
           struct diagnosis *diag)
{
    char number[24];

    if (!same_active(old, new)) {
        return refuse_epoch(old, "active", *new->active ? new->active : "\"\"",
                            "say which epoch it is to follow: --if-epoch",
                            "needs if_epoch", diag);
    }
    if (old->epoch != new->epoch) {
        snprintf(number, sizeof number, "%"PRIu32, new->epoch);
        return refuse_epoch(old, "epoch", number, "leave it out: a node that "
                            "is made active gets the next one",
                            "cannot be given", diag);
    }
    return 0;
}

/* What was dumped may be older than what is there. */
static int
raise_epoch(const struct catalog_txn *txn, const struct record *old,
            struct record *new, struct diagnosis *diag)
{
    const struct record_gateway *o = &old->gateway;
    char number[24];
    struct json *json;
    int error;

    if (new->gateway.epoch > o->epoch
        || (new->gateway.epoch == o->epoch && same_active(o, &new->gateway))) {
        return 0;
    }
    if (!txn->force) {
        snprintf(number, sizeof number, "%"PRIu32, new->gateway.epoch);
        return refuse_epoch(o, "epoch", number, "--force takes the rest, and "
                            "leaves the epoch and the active node as they are",
                            "is older, or of another active node", diag);
    }
    ovs_strlcpy(new->gateway.active, o->active, sizeof new->gateway.active);
    new->gateway.epoch = o->epoch;
    json = record_to_json(new);
    error = record_from_json(json, new, diag); /* Its nodes may be others. */
    json_destroy(json);
    return error;
}

int
catalog_record_txn_epoch(const struct catalog_txn *txn,
                         const struct json *json, const struct record *old,
                         struct record *new, struct diagnosis *diag)
{
    int64_t rule = txn->epoch_rule;

    if (new->kind != RECORD_GATEWAY) {
        return (rule < 0 ? 0
                : diagnosis_set(diag, DIAG_INVALID, "if_epoch", NULL,
                                "if_epoch goes with a gateway, not with %s",
                                record_kind_name(new->kind)));
    }
    return (rule == CATALOG_EPOCH_ANY ? 0
            : rule == CATALOG_EPOCH_KEEP
            ? keep_epoch(&old->gateway, &new->gateway, diag)
            : rule == CATALOG_EPOCH_RAISE
            ? raise_epoch(txn, old, new, diag)
            : advance_epoch(txn, json, &old->gateway, &new->gateway, diag));
}

/* Removing a gateway and adding it again must not turn its epoch back. */
static int
check_epoch(const struct catalog_txn *txn,
            const struct catalog_txn_record *touched,
            const struct record *now, struct diagnosis *diag)
{
    const struct record_gateway *old = &touched->before.gateway;
    const struct record_gateway *new = &now->gateway;
    char number[24];

    if (now->kind != RECORD_GATEWAY || !touched->existed || txn->any_epoch
        || new->epoch > old->epoch
        || (new->epoch == old->epoch && same_active(old, new))) {
        return 0;
    }
    snprintf(number, sizeof number, "%"PRIu32, new->epoch);
    return refuse_epoch(old, "epoch", number, "set it with --if-epoch; or "
                        "remove it in a change of its own",
                        "is older, or of another active node", diag);
}

/* The end. */

static int
compare_touched(const void *a_, const void *b_)
{
    const struct catalog_txn_record *const *a = a_, *const *b = b_;

    return record_compare_keys(&(*a)->before, &(*b)->before);
}

/* What was touched, sorted by key; the caller frees the array. */
static const struct catalog_txn_record **
list_touched(const struct catalog_txn *txn, size_t *n)
{
    size_t count = hmap_count(&txn->records);
    const struct catalog_txn_record **array = xmalloc(MAX(count, 1)
                                                      * sizeof *array);
    const struct catalog_txn_record *touched;
    size_t i = 0;

    HMAP_FOR_EACH (touched, node, &txn->records) {
        array[i++] = touched;
    }
    qsort(array, count, sizeof *array, compare_touched);
    *n = count;
    return array;
}

int
catalog_record_txn_check(const struct catalog_txn *txn,
                         struct diagnosis *diag)
{
    size_t n;
    const struct catalog_txn_record **touched = list_touched(txn, &n);
    int first_op = INT_MAX, error = 0;

    for (size_t i = 0; i < n; i++) {
        const struct catalog_record *node
            = catalog_record_find(&txn->catalog->records, &touched[i]->before);
        struct diagnosis own;
        int own_error;

        if (!node || touched[i]->op >= first_op) {
            continue;
        }
        own_error = check_epoch(txn, touched[i], &node->record, &own);
        if (!own_error) {
            own_error = catalog_record_check_alone(txn->catalog, txn,
                                                   &node->record, &own);
        }
        if (own_error) {
            first_op = touched[i]->op;
            error = own_error;
            own.op = first_op;
            if (diag) {
                *diag = own;
            }
        }
    }
    free(touched);
    return error;
}

void
catalog_record_txn_add_changes(struct catalog_txn *txn)
{
    size_t n;
    const struct catalog_txn_record **touched = list_touched(txn, &n);

    for (size_t i = 0; i < n; i++) {
        const struct catalog_record *node
            = catalog_record_find(&txn->catalog->records, &touched[i]->before);

        catalog_txn_add_change(txn,
                               touched[i]->existed ? &touched[i]->before
                               : NULL, node ? &node->record : NULL);
    }
    free(touched);
}

void
catalog_record_txn_undo(struct catalog_txn *txn)
{
    struct catalog_records *records = &txn->catalog->records;
    const struct catalog_txn_record *touched;

    HMAP_FOR_EACH (touched, node, &txn->records) {
        struct catalog_record *node = catalog_record_find(records,
                                                          &touched->before);

        if (node) {
            catalog_record_delete(records, node);
        }
        if (touched->existed) {
            catalog_record_insert(records, &touched->before);
        }
    }
}
