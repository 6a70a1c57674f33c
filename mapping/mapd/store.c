#include <config.h>

#include "mapping/mapd/store.h"

#include <string.h>

#include "mapping/mapd/store-engine.h"
#include "util.h"

static const struct store_engine *const engines[] = {
    &store_sqlite, &store_etcd,
};

/* The engine that 'target' names, and in '*place' what follows. */
static int
find_engine(const char *target, const struct store_engine **engine,
            const char **place, struct diagnosis *diag)
{
    size_t length = strcspn(target, ":/");
    int error;

    *engine = engines[0];
    *place = target;
    if (target[length] != ':') {
        return 0;
    }
    *place += length + 1;
    for (size_t i = 0; i < ARRAY_SIZE(engines); i++) {
        if (strlen(engines[i]->name) == length
            && !strncmp(target, engines[i]->name, length)) {
            *engine = engines[i];
            return 0;
        }
    }
    error = diagnosis_set(diag, DIAG_UNSUPPORTED, "store", target,
                          "store \"%s\": the engine must be sqlite or etcd",
                          target);
    diagnosis_set_hint(diag, "as in --store=sqlite:PATH, or "
                       "--store=etcd:http://IP:2379,...");
    return error;
}

int
store_open(const struct store_options *options, struct catalog *catalog,
           struct hash_key *key, struct store **store, struct diagnosis *diag)
{
    const struct store_engine *engine;
    const char *place;
    int error = find_engine(options->target, &engine, &place, diag);

    if (!error && !*place) {
        error = diagnosis_set(diag, DIAG_INVALID, "store", options->target,
                              "store: the %s missing",
                              engine == &store_etcd ? "URLs are"
                              : "path is");
        diagnosis_set_hint(diag, engine == &store_etcd
                           ? "as in --store=etcd:http://IP:2379,..."
                           : "as in --store=sqlite:PATH");
    }
    return error ? error : engine->open(options, place, catalog, key, store,
                                        diag);
}

void
store_close(struct store *store)
{
    if (store) {
        store->engine->close(store);
    }
}

int
store_commit(struct store *store, const struct catalog_txn *txn,
             const struct catalog *catalog, struct diagnosis *diag)
{
    return store->engine->commit(store, txn, catalog, diag);
}

int
store_check(const struct store *store, struct diagnosis *diag)
{
    return store->engine->check(store, diag);
}

int
store_backup(struct store *store, const char *path, struct diagnosis *diag)
{
    return store->engine->backup(store, path, diag);
}

const char *
store_name(const struct store *store)
{
    return store->engine->get_name(store);
}

/* Stores that are shared. */

size_t
store_commit_room(const struct store *store)
{
    return store->engine->commit_room;
}

bool
store_is_shared(const struct store *store)
{
    return store->engine->follow != NULL;
}

void
store_run(struct store *store)
{
    if (store->engine->run) {
        store->engine->run(store);
    }
}

void
store_wait(struct store *store)
{
    if (store->engine->wait) {
        store->engine->wait(store);
    }
}

void
store_refresh(struct store *store)
{
    if (store->engine->refresh) {
        store->engine->refresh(store);
    }
}

struct catalog_txn *
store_follow(struct store *store, struct catalog *catalog)
{
    return store_is_shared(store) ? store->engine->follow(store, catalog)
                                  : NULL;
}

int
store_check_leader(const struct store *store, struct diagnosis *diag)
{
    return store_is_shared(store) ? store->engine->check_leader(store, diag)
                                  : 0;
}

const char *
store_leader_name(const struct store *store)
{
    return store_is_shared(store) ? store->engine->leader_name(store) : NULL;
}

const char *
store_leader_address(const struct store *store)
{
    return (store_is_shared(store) ? store->engine->leader_address(store)
            : NULL);
}

int64_t
store_leader_term(const struct store *store)
{
    return store_is_shared(store) ? store->engine->leader_term(store) : 0;
}

const char *
store_own_name(const struct store *store)
{
    return store_is_shared(store) ? store->engine->own_name(store) : "";
}

void
store_put_seen(struct store *store, const char *name)
{
    if (store_is_shared(store)) {
        store->engine->put_seen(store, name);
    }
}

void
store_drop_seen(struct store *store, const char *name, long long silent_ms)
{
    if (store_is_shared(store)) {
        store->engine->drop_seen(store, name, silent_ms);
    }
}

bool
store_next_seen(struct store *store, struct store_seen *seen)
{
    return store_is_shared(store) && store->engine->next_seen(store, seen);
}
