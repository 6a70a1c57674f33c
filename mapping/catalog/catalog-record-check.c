#include <config.h>
#include "mapping/catalog/catalog-record-check.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "mapping/catalog/catalog-few.h"
#include "mapping/catalog/catalog-missing.h"
#include "mapping/catalog/catalog-record-txn.h"
#include "util.h"

/* How grapnelctl calls them. */
static const struct {
    const char *noun, *maker, *changer;
} words[CATALOG_RECORD_KINDS] = {
    [RECORD_WORKLOAD - RECORD_FIRST_PLAIN] = { "workload", "add", "set" },
    [RECORD_POOL - RECORD_FIRST_PLAIN] = { "gateway pool", "add", "set" },
    [RECORD_LEASE - RECORD_FIRST_PLAIN]
        = { "gateway lease", "allocate", "reassign" },
    [RECORD_GATEWAY - RECORD_FIRST_PLAIN] = { "gateway", "add", "set" },
    [RECORD_VIP - RECORD_FIRST_PLAIN] = { "gateway vip", "add", "set" },
};

/* "workload 5001/vm1". */
struct title {
    char text[RECORD_KEY_SIZE + 16];
};

static const char *
title_of(const struct record *record, struct title *title)
{
    char key[RECORD_KEY_SIZE];

    record_format_key(record, key);
    snprintf(title->text, sizeof title->text, "%s %s",
             record_kind_name(record->kind), key);
    return title->text;
}

/* What is there already, or is not. */

int
catalog_record_check_existing(const struct record *key, const char *problem,
                              struct diagnosis *diag)
{
    size_t i = key->kind - RECORD_FIRST_PLAIN;
    char text[RECORD_KEY_SIZE];
    struct title title;
    int error;

    record_format_key(key, text);
    error = diagnosis_set(diag, DIAG_EXISTS,
                          key->kind == RECORD_LEASE ? "address" : "name",
                          text, "%s %s", title_of(key, &title), problem);
    diagnosis_set_hint(diag, "'grapnelctl %s %s' changes it", words[i].noun,
                       words[i].changer);
    return error;
}

/* 'field' is the member by which 'key' was named. */
static int
refuse_unknown(const struct catalog *catalog, const struct record *key,
               const char *field, struct diagnosis *diag)
{
    size_t i = key->kind - RECORD_FIRST_PLAIN;
    struct catalog_few few = { .n = 0 };
    const struct catalog_record *node;
    char text[RECORD_KEY_SIZE];
    char intro[64], none[96];
    struct title title;
    int error;

    record_format_key(key, text);
    error = diagnosis_set(diag, DIAG_NOT_FOUND, field, text,
                          "%s is not known", title_of(key, &title));
    CATALOG_RECORD_FOR_EACH (node, key->kind, &catalog->records) {
        if (record_vni(&node->record) == record_vni(key)) {
            record_format_key(&node->record, text);
            catalog_few_add(&few, 0, text);
        }
    }
    snprintf(intro, sizeof intro, "'grapnelctl %s list' shows them all:",
             words[i].noun);
    snprintf(none, sizeof none, "there is none in this VNI; "
             "'grapnelctl %s %s' makes one", words[i].noun, words[i].maker);
    catalog_few_hint(&few, intro, none, diag);
    return error;
}

int
catalog_record_check_not_found(const struct catalog *catalog,
                               const struct record *key,
                               struct diagnosis *diag)
{
    return refuse_unknown(catalog, key,
                          key->kind == RECORD_LEASE ? "address" : "name",
                          diag);
}

/* References. */

int
catalog_record_check_put(const struct catalog *catalog,
                         const struct record *record, struct diagnosis *diag)
{
    const char *fields[CATALOG_RECORD_MAX_REFS];
    struct record keys[CATALOG_RECORD_MAX_REFS];
    size_t n = catalog_record_refs(record, keys, fields);

    for (size_t i = 0; i < n; i++) {
        struct record found;

        if (!catalog_index_get(catalog, &keys[i], &found)) {
            return (keys[i].kind == RECORD_HOST
                    ? catalog_missing_host(catalog, fields[i],
                                                 keys[i].host.name, diag)
                    : refuse_unknown(catalog, &keys[i], fields[i], diag));
        }
    }
    return 0;
}

/* Adds the title of 'user' if it refers to 'key'. */
static void
add_user(struct catalog_few *few, const struct record *user,
         const struct record *key)
{
    const char *fields[CATALOG_RECORD_MAX_REFS];
    struct record keys[CATALOG_RECORD_MAX_REFS];
    size_t n = catalog_record_refs(user, keys, fields);
    struct title title;

    for (size_t i = 0; i < n; i++) {
        if (!record_compare_keys(&keys[i], key)) {
            catalog_few_add(few, user->kind, title_of(user, &title));
        }
    }
}

int
catalog_record_check_unused(const struct catalog *catalog,
                            const struct record *key, struct diagnosis *diag)
{
    size_t n = catalog_record_uses(&catalog->records, key);
    struct catalog_few few = { .n = 0 };
    char text[RECORD_KEY_SIZE];
    struct title title;
    int error;

    if (!n) {
        return 0;
    }
    record_format_key(key, text);
    error = diagnosis_set(diag, DIAG_IN_USE, "name", text, "%s is in use by "
                          "%"PRIuSIZE" other record%s", title_of(key, &title),
                          n, n == 1 ? "" : "s");
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        const struct catalog_record *node;

        CATALOG_RECORD_FOR_EACH (node, kind, &catalog->records) {
            add_user(&few, &node->record, key);
        }
    }
    catalog_few_hint(&few, "remove or change first:", NULL, diag);
    return error;
}

/* What must be alone. */

struct check {
    const struct catalog *catalog;
    const struct catalog_txn *txn; /* NULL: none. */
    const struct record *record;
    int op;                     /* That touched it. */
    struct diagnosis *diag;
};

/* -2 if nobody did. */
static int
op_of(const struct catalog_txn *txn, const struct record *record)
{
    const struct catalog_txn_record *touched
        = txn ? catalog_record_txn_find(txn, record) : NULL;

    return touched ? touched->op : -2;
}

/* Whether 'other', with which the record clashes, came later. */
static bool
is_later(const struct check *c, const struct record *other)
{
    return op_of(c->txn, other) > c->op;
}

static int
refuse_taken(const struct check *c, const char *field, const char *value,
             const struct record *other)
{
    struct title title, theirs;
    int error = diagnosis_set(c->diag, DIAG_EXISTS, field, value,
                              "%s: %s %s is taken by %s",
                              title_of(c->record, &title), field, value,
                              title_of(other, &theirs));

    diagnosis_set_hint(c->diag, "give it another %s, or change or remove %s",
                       field, theirs.text);
    return error;
}

static int
check_claim(const struct check *c, const char *field, uint32_t vni,
            struct inet_addr address)
{
    const struct catalog_claim *claim;
    char text[RECORD_ADDRESS_SIZE];

    HMAP_FOR_EACH_WITH_HASH (claim, node,
                             catalog_record_hash_claim(vni, address),
                             &c->catalog->records.claims) {
        const struct record *other = &claim->record->record;

        if (claim->vni == vni && inet_addr_equal(claim->address, address)
            && record_compare_keys(other, c->record)
            && !catalog_record_share(other, c->record)
            && !is_later(c, other)) {
            record_format_address(address, text);
            return refuse_taken(c, field, text, other);
        }
    }
    return 0;
}

static int
check_workload(const struct check *c)
{
    const struct record_workload *w = &c->record->workload;
    const struct catalog_record *other
        = catalog_record_same(&c->catalog->records, c->record);
    char mac[18];
    int error;

    if (other && !is_later(c, &other->record)) {
        snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x",
                 w->mac.octet[0], w->mac.octet[1], w->mac.octet[2],
                 w->mac.octet[3], w->mac.octet[4], w->mac.octet[5]);
        return refuse_taken(c, "mac", mac, &other->record);
    }
    error = check_claim(c, "address", w->vni, w->address);
    if (!error && (w->public_address.hi || w->public_address.lo)) {
        error = check_claim(c, "public_address", 0, w->public_address);
    }
    return error;
}

static bool
is_lease_of(const struct record *lease, const struct record *pool)
{
    return (lease->lease.vni == pool->pool.vni
            && !strcmp(lease->lease.pool, pool->pool.name));
}

/* A lease that is later than the pool is itself at fault. */
static int
check_pool_holds_leases(const struct check *c)
{
    const struct catalog_record *node;

    CATALOG_RECORD_FOR_EACH (node, RECORD_LEASE, &c->catalog->records) {
        if (is_lease_of(&node->record, c->record)
            && !record_pool_contains(&c->record->pool,
                                     node->record.lease.address)
            && op_of(c->txn, &node->record) < c->op) {
            char text[RECORD_ADDRESS_SIZE];
            struct title title;
            int error;

            record_format_address(node->record.lease.address, text);
            error = diagnosis_set(c->diag, DIAG_IN_USE, "last", text,
                                  "%s: %s is leased and would be outside",
                                  title_of(c->record, &title), text);
            diagnosis_set_hint(c->diag, "return that lease first, or leave "
                               "it in the pool");
            return error;
        }
    }
    return 0;
}

static int
check_pool(const struct check *c)
{
    const struct catalog_record *node;

    CATALOG_RECORD_FOR_EACH (node, RECORD_POOL, &c->catalog->records) {
        if (node->record.pool.vni == c->record->pool.vni
            && record_compare_keys(&node->record, c->record)
            && record_pool_overlaps(&node->record.pool, &c->record->pool)
            && !is_later(c, &node->record)) {
            char text[RECORD_ADDRESS_SIZE];
            struct title title, theirs;
            int error;

            record_format_address(c->record->pool.first, text);
            error = diagnosis_set(c->diag, DIAG_EXISTS, "first", text,
                                  "%s: it has addresses in common with %s",
                                  title_of(c->record, &title),
                                  title_of(&node->record, &theirs));
            diagnosis_set_hint(c->diag, "give one of them another range");
            return error;
        }
    }
    return check_pool_holds_leases(c);
}

static int
check_lease(const struct check *c)
{
    const struct record_lease *l = &c->record->lease;
    const struct catalog_record *pool, *other;
    struct record key = { .kind = RECORD_POOL, .pool.vni = l->vni };
    char text[RECORD_ADDRESS_SIZE];
    int error;

    ovs_strlcpy(key.pool.name, l->pool, sizeof key.pool.name);
    pool = catalog_record_find(&c->catalog->records, &key);
    record_format_address(l->address, text);
    if (!record_pool_contains(&pool->record.pool, l->address)
        && !is_later(c, &pool->record)) {
        char first[RECORD_ADDRESS_SIZE], last[RECORD_ADDRESS_SIZE];
        struct title title;

        record_format_address(pool->record.pool.first, first);
        record_format_address(pool->record.pool.last, last);
        error = diagnosis_set(c->diag, DIAG_INVALID, "address", text,
                              "%s: its address is not in the pool",
                              title_of(c->record, &title));
        diagnosis_set_hint(c->diag, "the pool has %s to %s", first, last);
        return error;
    }
    other = catalog_record_same(&c->catalog->records, c->record);
    if (other && !is_later(c, &other->record)) {
        struct title title, theirs;

        error = diagnosis_set(c->diag, DIAG_EXISTS, "client", l->client,
                              "%s: client %s has %s",
                              title_of(c->record, &title), l->client,
                              title_of(&other->record, &theirs));
        diagnosis_set_hint(c->diag, "a client has one lease of a pool: renew "
                           "or return that one");
        return error;
    }
    return check_claim(c, "address", l->vni, l->address);
}

static int
run_check(const struct check *c)
{
    switch (c->record->kind) {
    case RECORD_WORKLOAD:
        return check_workload(c);
    case RECORD_POOL:
        return check_pool(c);
    case RECORD_LEASE:
        return check_lease(c);
    case RECORD_VIP:
        return check_claim(c, "address", c->record->vip.vni,
                           c->record->vip.address);
    default:
        return 0;
    }
}

int
catalog_record_check_alone(const struct catalog *catalog,
                           const struct catalog_txn *txn,
                           const struct record *record,
                           struct diagnosis *diag)
{
    const struct check c = { catalog, txn, record, op_of(txn, record), diag };

    return run_check(&c);
}

int
catalog_record_check_restored(const struct catalog *catalog,
                              const struct record *record,
                              struct diagnosis *diag)
{
    const struct check c = { catalog, NULL, record, INT_MAX, diag };

    return run_check(&c);
}
