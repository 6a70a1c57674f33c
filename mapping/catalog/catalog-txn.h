/* The inside of a transaction.  Private to catalog*.c.
 *
 * A transaction keeps what it touched as it was before.  Undoing is putting
 * that back, and what changed is the difference from it, so that a record has
 * one change, or none, whatever was done to it. */

#ifndef MAPPING_CATALOG_CATALOG_TXN_H
#define MAPPING_CATALOG_CATALOG_TXN_H 1

#include "mapping/catalog/catalog-index.h"

struct catalog_state;

struct catalog_txn_host {
    struct hmap_node node;      /* In struct catalog_txn, by name. */
    bool existed;
    bool was_dead;
    int op;                     /* The last to touch it. */
    struct record_host before;  /* Only the name if it did not exist. */
};

struct catalog_txn_group {
    struct hmap_node node;      /* In struct catalog_txn, by VNI and name. */
    bool existed;
    int op;                     /* The last to put it, not an endpoint. */
    bool changed;               /* Set by catalog_prepare(). */
    /* Only the key if it did not exist.  The array of endpoints is our own;
     * slots, previous owners and endpoints are shared with the group in the
     * catalog as far as they are the same. */
    struct catalog_group before;
    struct catalog_state *state; /* Of catalog_install_state(), or NULL. */
};

struct catalog_txn_record {
    struct hmap_node node;      /* In struct catalog_txn, by kind and key. */
    bool existed;
    int op;                     /* The last to touch it. */
    struct record before;       /* Only the key if it did not exist. */
};

struct catalog_txn {
    struct catalog *catalog;
    struct hmap hosts;          /* struct catalog_txn_host. */
    struct hmap groups;         /* struct catalog_txn_group. */
    struct hmap records;        /* struct catalog_txn_record. */
    struct hmap healths;        /* What was before: catalog-health.c. */
    uint32_t last_group_id;     /* The catalog's, before. */
    int op;                     /* Of catalog_set_op(). */
    bool force;                 /* Of catalog_set_force(). */
    int64_t epoch_rule;         /* Of catalog_set_epoch_rule(). */
    bool any_epoch;             /* CATALOG_EPOCH_ANY was among them. */
    long long int now;          /* Of catalog_set_time(); 0: unknown. */
    bool follows;               /* Another catalog: catalog_follow() ... */
    uint64_t revision;          /* ... has told this. */

    /* Set by catalog_prepare(). */
    bool prepared;
    struct catalog_change *changes; /* The records are owned. */
    size_t n_changes, allocated_changes;
    const struct catalog_group **changed_groups;
    size_t n_changed_groups;
    struct catalog_liveness *liveness; /* Of hosts for which it changed. */
    size_t n_liveness;
    size_t n_health;            /* Endpoints whose health changed. */
    struct catalog_health *health; /* The same, and of those that are gone. */
    size_t n_listed_health;
};

/* NULL if it was not touched; and keeps it as it was, if it is not kept yet.
 */
struct catalog_txn_group *
catalog_txn_find_group(const struct catalog_txn *, uint32_t vni,
                       const char *name);
struct catalog_txn_group *
catalog_txn_touch_group(struct catalog_txn *, uint32_t vni, const char *name);
struct catalog_txn_host *
catalog_txn_find_host(const struct catalog_txn *, const char *name);
struct catalog_txn_host *
catalog_txn_touch_host(struct catalog_txn *, const char *name);

/* Adds a change, once no operation is to come, if 'before' and 'after', either
 * of which may be NULL, differ.  Returns true if so. */
bool catalog_txn_add_change(struct catalog_txn *, const struct record *before,
                            const struct record *after);

/* Adds or replaces a record, if there is room and what it refers to. */
int catalog_txn_put(struct catalog_txn *, const struct record *,
                    struct diagnosis *diag);
/* Adds or replaces an endpoint. */
void catalog_txn_put_endpoint(struct catalog_txn *,
                              const struct record_endpoint *);

#endif /* mapping/catalog/catalog-txn.h */
