/* A snapshot is decoded into a new replica, which then takes the old one's
 * place; an update is a transaction (replica-txn.h) on the replica itself. */

#include <config.h>
#include "mapping/replica/replica.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/json-members.h"
#include "mapping/replica/replica-group.h"
#include "mapping/replica/replica-index.h"
#include "mapping/replica/replica-record.h"
#include "mapping/replica/replica-txn.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(replica);

/* Both would come again and again only from mapds that take turns. */
static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(1, 5);

enum {
    HEX_WORD = 16,              /* Hex digits of a word of the hash key. */
};

void
replica_init(struct replica *replica)
{
    memset(replica, 0, sizeof *replica);
    replica_index_init(replica);
}

void
replica_destroy(struct replica *replica)
{
    struct replica_group *group;
    struct replica_host *host;

    if (!replica) {
        return;
    }
    HMAP_FOR_EACH_SAFE (group, node, &replica->groups) {
        replica_index_remove_group(replica, group);
        replica_group_destroy(group);
    }
    HMAP_FOR_EACH_SAFE (host, node, &replica->hosts) {
        replica_index_remove_host(replica, host);
        free(host);
    }
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        struct replica_record *record;

        HMAP_FOR_EACH_POP (record, node, &replica->records[kind]) {
            free(record);
        }
    }
    replica_index_destroy(replica);
}

const struct replica_host *
replica_find_host(const struct replica *replica, const char *name)
{
    return replica_index_host(replica, name);
}

const struct replica_group *
replica_find_group(const struct replica *replica, uint32_t vni,
                   const char *name)
{
    return replica_index_group(replica, vni, name);
}

const struct replica_group *
replica_find_group_by_id(const struct replica *replica, uint32_t id)
{
    const struct replica_group *group;

    HMAP_FOR_EACH_WITH_HASH (group, id_node, replica_index_hash_id(id),
                             &replica->by_id) {
        if (group->id == id) {
            return group;
        }
    }
    return NULL;
}

static int
compare_index(const void *index_, const void *endpoint_)
{
    const struct replica_endpoint *endpoint = endpoint_;
    const uint16_t *index = index_;

    return *index < endpoint->index ? -1 : *index > endpoint->index;
}

const struct replica_endpoint *
replica_find_endpoint(const struct replica_group *group, uint16_t index)
{
    return (group->n_endpoints
            ? bsearch(&index, group->endpoints, group->n_endpoints,
                      sizeof *group->endpoints, compare_index) : NULL);
}

/* 32 hex digits: the words in order, each with its highest digit first.  A
 * word of 0 would make all flows hash alike. */
static int
decode_key(const struct json_member *member, struct hash_key *key,
           struct diagnosis *diag)
{
    const char *text = json_string(member->value);
    struct hash_key k;
    bool ok[2] = { false, false };

    if (strlen(text) == 2 * HEX_WORD) {
        k.word[0] = hexits_value(text, HEX_WORD, &ok[0]);
        k.word[1] = hexits_value(text + HEX_WORD, HEX_WORD, &ok[1]);
    }
    if (!ok[0] || !ok[1] || !k.word[0] || !k.word[1]) {
        return diagnosis_set(diag, DIAG_INVALID, member->name, NULL,
                             "%s must be %d hex digits, neither half of them "
                             "all 0", member->name, 2 * HEX_WORD);
    }
    *key = k;
    return 0;
}

static int
decode_host(struct replica_txn *txn, const struct json *json, bool may_exist,
            struct diagnosis *diag)
{
    const struct replica_host *before;
    struct replica_host *host;
    struct record record;
    int error;

    error = record_from_json(json, &record, diag);
    if (error) {
        return error;
    }
    if (record.kind != RECORD_HOST) {
        return diagnosis_set(diag, DIAG_INVALID, "kind",
                             record_kind_name(record.kind),
                             "host: its record is of kind %s",
                             record_kind_name(record.kind));
    }
    if (!may_exist && replica_index_host(txn->replica, record.host.name)) {
        return diagnosis_set(diag, DIAG_EXISTS, "name", record.host.name,
                             "host %s is there twice", record.host.name);
    }
    before = replica_index_host(txn->replica, record.host.name);
    host = xzalloc(sizeof *host);
    host->record = record.host;
    host->alive = !before || before->alive;
    replica_txn_put_host(txn, host);
    return 0;
}

static int
add_host(struct replica_txn *txn, const struct json *json,
         int64_t now_ms OVS_UNUSED, struct diagnosis *diag)
{
    return decode_host(txn, json, false, diag);
}

static int
put_host(struct replica_txn *txn, const struct json *json,
         int64_t now_ms OVS_UNUSED, struct diagnosis *diag)
{
    return decode_host(txn, json, true, diag);
}

/* Sets whether the host 'name', as a message calls it in 'member', is
 * alive. */
static int
set_alive(struct replica_txn *txn, const char *member, const char *name,
          bool alive, struct diagnosis *diag)
{
    const struct replica_host *before = replica_index_host(txn->replica,
                                                           name);
    struct replica_host *host;

    if (!before) {
        return diagnosis_set(diag, DIAG_NOT_FOUND, member, name,
                             "%s: no host \"%.64s\" here", member, name);
    }
    host = xzalloc(sizeof *host);
    host->record = before->record;
    host->alive = alive;
    replica_txn_put_host(txn, host);
    return 0;
}

/* A name in the "dead" of a snapshot. */
static int
add_dead(struct replica_txn *txn, const struct json *json,
         int64_t now_ms OVS_UNUSED, struct diagnosis *diag)
{
    const struct replica_host *host;

    if (json->type != JSON_STRING) {
        return diagnosis_set(diag, DIAG_INVALID, "dead",
                             json_type_to_string(json->type),
                             "dead must be strings, not %s",
                             json_type_to_string(json->type));
    }
    host = replica_index_host(txn->replica, json_string(json));
    if (host && !host->alive) {
        return diagnosis_set(diag, DIAG_EXISTS, "dead", json_string(json),
                             "host %s is dead twice", json_string(json));
    }
    return set_alive(txn, "dead", json_string(json), false, diag);
}

static int
put_alive(struct replica_txn *txn, const struct json *json,
          int64_t now_ms OVS_UNUSED, struct diagnosis *diag)
{
    const struct json *name, *alive;

    if (json->type != JSON_OBJECT || shash_count(json_object(json)) != 2) {
        name = alive = NULL;
    } else {
        name = shash_find_data(json_object(json), "name");
        alive = shash_find_data(json_object(json), "alive");
    }
    if (!name || name->type != JSON_STRING || !alive
        || (alive->type != JSON_TRUE && alive->type != JSON_FALSE)) {
        return diagnosis_set(diag, DIAG_INVALID, "host_alive", NULL,
                             "host_alive must be an object with a string "
                             "\"name\" and \"alive\", true or false");
    }
    return set_alive(txn, "host_alive", json_string(name),
                     json_boolean(alive), diag);
}

static int
remove_host(struct replica_txn *txn, const struct json *json,
            int64_t now_ms OVS_UNUSED, struct diagnosis *diag)
{
    struct replica_host *host;

    if (json->type != JSON_STRING) {
        return diagnosis_set(diag, DIAG_INVALID, "host_removed",
                             json_type_to_string(json->type),
                             "host_removed must be a string, not %s",
                             json_type_to_string(json->type));
    }
    host = replica_index_host(txn->replica, json_string(json));
    if (!host) {
        return diagnosis_set(diag, DIAG_NOT_FOUND, "host_removed",
                             json_string(json), "no host \"%s\" here",
                             json_string(json));
    }
    replica_txn_remove_host(txn, host);
    return 0;
}

static int
add_group(struct replica_txn *txn, const struct json *json, int64_t now_ms,
          struct diagnosis *diag)
{
    struct replica_group *group;
    int error;

    error = replica_group_from_json(json, now_ms, &group, diag);
    if (error) {
        return error;
    }
    if (replica_index_group(txn->replica, group->record.vni,
                            group->record.name)) {
        error = diagnosis_set(diag, DIAG_EXISTS, "name", group->record.name,
                              "group %"PRIu32"/%s is there twice",
                              group->record.vni, group->record.name);
        replica_group_destroy(group);
        return error;
    }
    replica_txn_put_group(txn, group);
    return 0;
}

/* Puts in 'group', takes ownership of it, unless it cannot follow what is
 * there.  (One with another id is not the same group any more.) */
static int
succeed_group(struct replica_txn *txn, struct replica_group *group,
              struct diagnosis *diag)
{
    const struct replica_group *before;
    int error = 0;

    before = replica_index_group(txn->replica, group->record.vni,
                                 group->record.name);
    if (before && before->id == group->id) {
        error = replica_group_check_epoch(before, group, diag);
    }
    if (error) {
        replica_group_destroy(group);
    } else {
        replica_txn_put_group(txn, group);
    }
    return error;
}

static int
put_group(struct replica_txn *txn, const struct json *json, int64_t now_ms,
          struct diagnosis *diag)
{
    struct replica_group *group;
    int error;

    error = replica_group_from_json(json, now_ms, &group, diag);
    return error ? error : succeed_group(txn, group, diag);
}

static int
put_delta(struct replica_txn *txn, const struct json *json, int64_t now_ms,
          struct diagnosis *diag)
{
    struct replica_group *group;
    int error;

    error = replica_group_from_delta(txn->replica, json, now_ms, &group,
                                     diag);
    return error ? error : succeed_group(txn, group, diag);
}

static int
remove_group(struct replica_txn *txn, const struct json *json,
             int64_t now_ms OVS_UNUSED, struct diagnosis *diag)
{
    struct replica_group *group;
    int error;

    error = replica_group_from_key(txn->replica, json, &group, diag);
    if (!error) {
        replica_txn_remove_group(txn, group);
    }
    return error;
}

static int
add_record(struct replica_txn *txn, const struct json *json,
           int64_t now_ms OVS_UNUSED, struct diagnosis *diag)
{
    return replica_record_put(txn, json, false, diag);
}

static int
put_record(struct replica_txn *txn, const struct json *json,
           int64_t now_ms OVS_UNUSED, struct diagnosis *diag)
{
    return replica_record_put(txn, json, true, diag);
}

static int
remove_record(struct replica_txn *txn, const struct json *json,
              int64_t now_ms OVS_UNUSED, struct diagnosis *diag)
{
    return replica_record_remove(txn, json, diag);
}

/* Puts what 'json', which came at 'now_ms', says into the transaction. */
typedef int decoder(struct replica_txn *, const struct json *json,
                    int64_t now_ms, struct diagnosis *);

static const struct {
    const char *name;
    decoder *apply;
} changes[] = {
    { "host", put_host },
    { "host_alive", put_alive },
    { "host_removed", remove_host },
    { "group", put_group },
    { "group_delta", put_delta },
    { "group_removed", remove_group },
    { "record", put_record },
    { "record_removed", remove_record },
};

static int
apply_change(struct replica_txn *txn, const struct json *json, int64_t now_ms,
             struct diagnosis *diag)
{
    if (json->type == JSON_OBJECT && shash_count(json_object(json)) == 1) {
        for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
            const struct json *change = shash_find_data(json_object(json),
                                                        changes[i].name);

            if (change) {
                return changes[i].apply(txn, change, now_ms, diag);
            }
        }
    }
    return diagnosis_set(diag, DIAG_INVALID, "changes", NULL,
                         "a change must be an object with one member out of "
                         "host, host_alive, host_removed, group, "
                         "group_delta, group_removed, record and "
                         "record_removed");
}

/* Applies each element of the array 'json'. */
static int
apply_all(struct replica_txn *txn, const struct json *json, int64_t now_ms,
          decoder *apply, struct diagnosis *diag)
{
    const struct json_array *array = json_array(json);
    int error = 0;

    for (size_t i = 0; i < array->n && !error; i++) {
        error = apply(txn, array->elems[i], now_ms, diag);
    }
    return error;
}

/* Fills the empty replica 'fresh' from a snapshot. */
static int
decode_snapshot(struct replica *fresh, const struct json *json,
                int64_t now_ms, struct diagnosis *diag)
{
    struct json_member m[] = {
        { .name = "revision", .type = JSON_INTEGER },
        { .name = "hash_key", .type = JSON_STRING },
        { .name = "hosts", .type = JSON_ARRAY },
        { .name = "dead", .type = JSON_ARRAY },
        { .name = "groups", .type = JSON_ARRAY },
        { .name = "records", .type = JSON_ARRAY },
    };
    bool has_records = (json->type != JSON_OBJECT
                        || shash_find(json_object(json), "records"));
    struct replica_txn txn;
    int error;

    /* A mapd from before there were plain records leaves them out. */
    error = json_members_take(json, "snapshot", m,
                              ARRAY_SIZE(m) - !has_records, diag);
    if (!error) {
        error = json_members_u64(&m[0], 0, INT64_MAX, &fresh->revision, diag);
    }
    if (!error) {
        error = decode_key(&m[1], &fresh->key, diag);
    }
    if (error) {
        return error;
    }

    replica_txn_begin(&txn, fresh);
    error = apply_all(&txn, m[2].value, now_ms, add_host, diag);
    if (!error) {
        error = apply_all(&txn, m[3].value, now_ms, add_dead, diag);
    }
    if (!error) {
        error = apply_all(&txn, m[4].value, now_ms, add_group, diag);
    }
    if (!error && has_records) {
        error = apply_all(&txn, m[5].value, now_ms, add_record, diag);
    }
    if (!error) {
        error = replica_txn_check(&txn, diag);
    }
    if (error) {
        replica_txn_abort(&txn);
        return error;
    }
    replica_txn_commit(&txn, fresh->generation);
    return 0;
}

/* Whether the hosts of the endpoints of 'group' are as alive in 'a' as in
 * 'b', both of which have them. */
static bool
hosts_alike(const struct replica_group *group, const struct replica *a,
            const struct replica *b)
{
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const char *host = group->endpoints[i].record.host;

        if (host[0] && replica_index_host(a, host)->alive
            != replica_index_host(b, host)->alive) {
            return false;
        }
    }
    return true;
}

static void
inherit_group(struct replica_group *group, const struct replica_group *before)
{
    group->changed = before->changed;
    for (size_t i = 0; i < group->n_endpoints; i++) {
        group->endpoints[i].up_at_ms = before->endpoints[i].up_at_ms;
    }
}

/* Groups of 'fresh' that 'old' has too changed when they last did there. */
static void
inherit_changed(struct replica *fresh, const struct replica *old)
{
    struct replica_group *group;

    replica_record_inherit(fresh, old);
    if (memcmp(&fresh->key, &old->key, sizeof fresh->key)) {
        return;
    }
    HMAP_FOR_EACH (group, node, &fresh->groups) {
        const struct replica_group *before =
            replica_index_group(old, group->record.vni, group->record.name);

        if (before && replica_group_equal(before, group)
            && hosts_alike(group, fresh, old)) {
            inherit_group(group, before);
        }
    }
}

/* Ids, slots and the hash key last as long as mapd's store does.  Flows that
 * were placed by others may be placed anew. */
static void
warn_of_another_store(const struct replica *fresh, const struct replica *old)
{
    if (!old->generation) {
        return;
    }
    if (memcmp(&fresh->key, &old->key, sizeof fresh->key)) {
        VLOG_WARN_RL(&rl, "the hash key has changed (and the revision, from "
                     "%"PRIu64" to %"PRIu64"): connections may break; was "
                     "mapd's store made anew, or is this another mapd?",
                     old->revision, fresh->revision);
    } else if (fresh->revision < old->revision) {
        VLOG_WARN_RL(&rl, "the revision went back from %"PRIu64" to %"PRIu64
                     ": connections may break; was mapd's store restored "
                     "from a backup?", old->revision, fresh->revision);
    }
}

int
replica_load_snapshot(struct replica *replica, const struct json *json,
                      int64_t now_ms, struct diagnosis *diag)
{
    struct replica fresh;
    int error;

    replica_init(&fresh);
    fresh.generation = replica->generation + 1;
    error = decode_snapshot(&fresh, json, now_ms, diag);
    if (!error) {
        warn_of_another_store(&fresh, replica);
        inherit_changed(&fresh, replica);
        hmap_swap(&replica->groups, &fresh.groups);
        hmap_swap(&replica->hosts, &fresh.hosts);
        hmap_swap(&replica->by_id, &fresh.by_id);
        hmap_swap(&replica->by_key, &fresh.by_key);
        hmap_swap(&replica->by_vtep, &fresh.by_vtep);
        hmap_swap(&replica->uses, &fresh.uses);
        for (int kind = 0; kind < N_RECORD_KINDS; kind++) {
            hmap_swap(&replica->records[kind], &fresh.records[kind]);
        }
        replica->key = fresh.key;
        replica->revision = fresh.revision;
        replica->generation = fresh.generation;
    }
    replica_destroy(&fresh);
    return error;
}

int
replica_apply_update(struct replica *replica, const struct json *json,
                     int64_t now_ms, struct diagnosis *diag)
{
    struct json_member m[] = {
        { .name = "revision", .type = JSON_INTEGER },
        { .name = "changes", .type = JSON_ARRAY },
    };
    struct replica_txn txn;
    uint64_t revision;
    int error;

    if (!replica->generation) {
        return diagnosis_set(diag, DIAG_NOT_FOUND, NULL, NULL,
                             "an update came before any snapshot");
    }
    error = json_members_take(json, "update", m, ARRAY_SIZE(m), diag);
    if (!error) {
        /* Each revision is one update: a gap is an update that was lost. */
        error = json_members_u64(&m[0], replica->revision + 1,
                                 replica->revision + 1, &revision, diag);
    }
    if (error) {
        return error;
    }

    replica_txn_begin(&txn, replica);
    error = apply_all(&txn, m[1].value, now_ms, apply_change, diag);
    if (!error) {
        error = replica_txn_check(&txn, diag);
    }
    if (error) {
        replica_txn_abort(&txn);
        return error;
    }
    replica_txn_commit(&txn, ++replica->generation);
    replica->revision = revision;
    return 0;
}
