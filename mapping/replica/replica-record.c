#include <config.h>
#include "mapping/replica/replica-record.h"

#include "mapping/replica/replica-index.h"
#include "openvswitch/json.h"
#include "util.h"

static int
check_plain(const struct record *record, struct diagnosis *diag)
{
    return (record->kind >= RECORD_FIRST_PLAIN ? 0
            : diagnosis_set(diag, DIAG_INVALID, "kind",
                            record_kind_name(record->kind),
                            "record: one of kind %s does not come this way",
                            record_kind_name(record->kind)));
}

int
replica_record_put(struct replica_txn *txn, const struct json *json,
                   bool may_exist, struct diagnosis *diag)
{
    char key[RECORD_KEY_SIZE];
    struct record record;
    int error = record_from_json(json, &record, diag);

    if (!error) {
        error = check_plain(&record, diag);
    }
    if (error) {
        return error;
    }
    if (!may_exist && replica_index_record(txn->replica, &record)) {
        record_format_key(&record, key);
        return diagnosis_set(diag, DIAG_EXISTS, "name", key,
                             "%s %s is there twice",
                             record_kind_name(record.kind), key);
    }
    replica_txn_put_record(txn, &record);
    return 0;
}

/* Reads the members of a key, which must be all that there is. */
static int
read_key(const struct json *json, struct record *key, struct diagnosis *diag)
{
    struct json *exact;
    int error = record_key_from_json(json, key, diag);

    if (!error) {
        error = check_plain(key, diag);
    }
    if (error) {
        return error;
    }
    exact = record_key_to_json(key);
    if (!json_equal(exact, json)) {
        error = diagnosis_set(diag, DIAG_INVALID, "record_removed", NULL,
                              "record_removed: it has other members than "
                              "kind and key");
    }
    json_destroy(exact);
    return error;
}

int
replica_record_remove(struct replica_txn *txn, const struct json *json,
                      struct diagnosis *diag)
{
    struct replica_record *record;
    char text[RECORD_KEY_SIZE];
    struct record key;
    int error = read_key(json, &key, diag);

    if (error) {
        return error;
    }
    record = replica_index_record(txn->replica, &key);
    if (!record) {
        record_format_key(&key, text);
        return diagnosis_set(diag, DIAG_NOT_FOUND, "record_removed", text,
                             "no %s %s here", record_kind_name(key.kind),
                             text);
    }
    replica_txn_remove_record(txn, record);
    return 0;
}

void
replica_record_inherit(struct replica *fresh, const struct replica *old)
{
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        struct replica_record *record;

        HMAP_FOR_EACH (record, node, &fresh->records[kind]) {
            const struct replica_record *before
                = replica_index_record(old, &record->record);

            if (before && record_equal(&before->record, &record->record)) {
                record->changed = before->changed;
            }
        }
    }
}

/* Reading. */

const struct replica_record *
replica_find_record(const struct replica *replica, const struct record *key)
{
    return replica_index_record(replica, key);
}

/* 'node' or the first one after it that is in 'vni'. */
static const struct replica_record *
skip(const struct hmap *records, struct hmap_node *node, uint32_t vni)
{
    for (; node; node = hmap_next(records, node)) {
        const struct replica_record *record
            = CONTAINER_OF(node, struct replica_record, node);

        if (!vni || record_vni(&record->record) == vni) {
            return record;
        }
    }
    return NULL;
}

const struct replica_record *
replica_first_record(const struct replica *replica, enum record_kind kind,
                     uint32_t vni)
{
    const struct hmap *records = &replica->records[kind];

    return skip(records, hmap_first(records), vni);
}

const struct replica_record *
replica_next_record(const struct replica *replica,
                    const struct replica_record *record, uint32_t vni)
{
    const struct hmap *records = &replica->records[record->record.kind];

    return skip(records, hmap_next(records, &record->node), vni);
}
