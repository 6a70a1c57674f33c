/* What an engine of store.h is made of.  Private to store*.c. */

#ifndef MAPPING_MAPD_STORE_ENGINE_H
#define MAPPING_MAPD_STORE_ENGINE_H 1

#include "mapping/mapd/store.h"

/* The functions are those of store.h; those of the second part are NULL for
 * an engine whose stores have one user. */
struct store_engine {
    const char *name;           /* "sqlite", as in --store=sqlite:... */
    /* 'place' is what follows the colon, not empty. */
    int (*open)(const struct store_options *, const char *place,
                struct catalog *, struct hash_key *, struct store **,
                struct diagnosis *);
    size_t commit_room;         /* store_commit_room(). */
    void (*close)(struct store *);
    int (*commit)(struct store *, const struct catalog_txn *,
                  const struct catalog *, struct diagnosis *);
    int (*check)(const struct store *, struct diagnosis *);
    int (*backup)(struct store *, const char *path, struct diagnosis *);
    const char *(*get_name)(const struct store *);

    void (*run)(struct store *);
    void (*wait)(struct store *);
    void (*refresh)(struct store *);
    struct catalog_txn *(*follow)(struct store *, struct catalog *);
    int (*check_leader)(const struct store *, struct diagnosis *);
    const char *(*leader_name)(const struct store *);
    const char *(*leader_address)(const struct store *);
    int64_t (*leader_term)(const struct store *);
    const char *(*own_name)(const struct store *);
    void (*put_seen)(struct store *, const char *host);
    void (*drop_seen)(struct store *, const char *host, long long silent_ms);
    bool (*next_seen)(struct store *, struct store_seen *);
};

/* The beginning of each engine's own. */
struct store {
    const struct store_engine *engine;
};

extern const struct store_engine store_sqlite, store_etcd;

#endif /* mapping/mapd/store-engine.h */
