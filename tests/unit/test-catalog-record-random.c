/* Plain records: random transactions against a twin that is an array. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-lease.h"
#include "openvswitch/json.h"
#include "random.h"
#include "tests/unit/catalog-text.h"
#include "tests/unit/record-twin.h"
#include "util.h"

enum { NOW = 1000, ROUNDS = 20000 };

static struct catalog *catalog;
static struct record_twin twin;

static struct inet_addr
some_address(void)
{
    return inet_addr_from4(0xc0000201 + random_range(9));
}

/* Names are one letter. */
static void
some_name(char *name)
{
    name[0] = 'a' + random_range(3);
    name[1] = '\0';
}

static void
some_host(char *name)
{
    snprintf(name, 3, "h%d", (int) random_range(4));
}

static struct record
some_workload(void)
{
    struct record r = { .kind = RECORD_WORKLOAD };

    r.workload.vni = 1 + random_range(2);
    some_name(r.workload.name);
    some_host(r.workload.host);
    r.workload.mac.octet[5] = 1 + random_range(6);
    r.workload.address = some_address();
    do {
        r.workload.public_address = (random_range(3) ? some_address()
                                     : (struct inet_addr) { 0, 0 });
    } while (inet_addr_equal(r.workload.address, r.workload.public_address));
    return r;
}

static struct record
some_pool(void)
{
    struct record r = { .kind = RECORD_POOL, .pool.term = 60 };
    uint32_t length = random_range(4);

    r.pool.vni = random_range(2);
    some_name(r.pool.name);
    r.pool.first = some_address();
    r.pool.last = r.pool.first;
    r.pool.last.lo += length;
    return r;
}

static void
some_client(record_client client)
{
    if (random_range(2)) {
        snprintf(client, sizeof(record_client), "c%d", (int) random_range(3));
    } else {
        snprintf(client, sizeof(record_client), "%d/%c",
                 1 + (int) random_range(2), 'a' + (int) random_range(3));
    }
}

static struct record
some_lease(void)
{
    struct record r = { .kind = RECORD_LEASE };

    r.lease.vni = random_range(2);
    some_name(r.lease.pool);
    r.lease.address = some_address();
    some_client(r.lease.client);
    return r;
}

static struct record
some_gateway(void)
{
    struct record r = { .kind = RECORD_GATEWAY };

    some_name(r.gateway.name);
    some_host(r.gateway.node1);
    do {
        some_host(r.gateway.node2);
    } while (!strcmp(r.gateway.node1, r.gateway.node2));
    if (random_range(2)) {
        ovs_strlcpy(r.gateway.active, r.gateway.node1,
                    sizeof r.gateway.active);
    }
    r.gateway.epoch = random_range(3);
    return r;
}

static struct record
some_record(void)
{
    struct record r = { .kind = RECORD_HOST };

    switch (random_range(8) + !random_range(2)) {
    case 0:
        some_host(r.host.name);
        r.host.vtep = inet_addr_from4(0xc0000300 + r.host.name[1]
                                      - !random_range(5));
        r.host.encap = TUNNEL_GENEVE;
        return r;
    case 1:
    case 2:
        return some_workload();
    case 3:
        return some_pool();
    case 4:
    case 5:
        return some_lease();
    case 6:
    case 7:
        return some_gateway();
    default:
        r.kind = RECORD_VIP;
        r.vip.vni = random_range(2);
        some_name(r.vip.name);
        r.vip.address = some_address();
        some_name(r.vip.gateway);
        return r;
    }
}

/* Whether the epochs of 'now' may follow those of 'before'. */
static bool
epochs_grow(const struct record_twin *before, const struct record_twin *now)
{
    for (size_t i = 0; i < now->n; i++) {
        const struct record *r = &now->records[i];
        int j = record_twin_find(before, r);

        if (r->kind == RECORD_GATEWAY && j >= 0) {
            const struct record_gateway *old = &before->records[j].gateway;

            if (r->gateway.epoch < old->epoch
                || (r->gateway.epoch == old->epoch
                    && strcmp(r->gateway.active, old->active))) {
                return false;
            }
        }
    }
    return true;
}

/* What setting a gateway from 'old' to '*new' must lead to, under 'rule'. */
static enum diagnosis_code
twin_epoch(int64_t rule, const struct record *old, struct record *new)
{
    struct record_gateway *g = &new->gateway;
    bool same = !strcmp(old->gateway.active, g->active);

    if (new->kind != RECORD_GATEWAY) {
        return rule >= 0 ? DIAG_INVALID : DIAG_NONE;
    } else if (rule == CATALOG_EPOCH_ANY) {
        return DIAG_NONE;
    } else if (rule == CATALOG_EPOCH_KEEP) {
        return (same && g->epoch == old->gateway.epoch
                ? DIAG_NONE : DIAG_EPOCH);
    } else if (rule == CATALOG_EPOCH_RAISE) {
        return (g->epoch > old->gateway.epoch
                || (same && g->epoch == old->gateway.epoch)
                ? DIAG_NONE : DIAG_EPOCH);
    } else if (rule != old->gateway.epoch || g->epoch != rule) {
        return DIAG_EPOCH;
    }
    g->epoch++;
    return DIAG_NONE;
}

static enum diagnosis_code
do_set(struct catalog_txn *txn, struct record *record, struct diagnosis *diag,
       enum diagnosis_code *expected)
{
    static const int64_t rules[] = { CATALOG_EPOCH_KEEP, CATALOG_EPOCH_RAISE,
                                     0, 1, 2 };
    int64_t rule = rules[random_range(ARRAY_SIZE(rules))];
    struct json *json = record_to_json(record);
    int i = record_twin_find(&twin, record);
    int error;

    if (i < 0) {
        *expected = DIAG_NOT_FOUND;
    } else if (record->kind == RECORD_HOST && rule >= 0) {
        *expected = DIAG_INVALID;
    } else {
        *expected = twin_epoch(rule, &twin.records[i], record);
        if (!*expected && !record_equal(record, &twin.records[i])) {
            *expected = record_twin_put(&twin, record);
        }
    }
    catalog_set_epoch_rule(txn, rule);
    error = catalog_set(txn, json, diag);
    catalog_set_epoch_rule(txn, CATALOG_EPOCH_KEEP);
    json_destroy(json);
    return error ? diag->code : DIAG_NONE;
}

static enum diagnosis_code
do_add(struct catalog_txn *txn, const struct record *record,
       struct diagnosis *diag, enum diagnosis_code *expected)
{
    bool may_exist = random_range(2);
    int i = record_twin_find(&twin, record);

    *expected = (i < 0 ? record_twin_put(&twin, record)
                 : may_exist && record_equal(record, &twin.records[i])
                 ? DIAG_NONE : DIAG_EXISTS);
    return (catalog_add(txn, record, may_exist, diag) ? diag->code
            : DIAG_NONE);
}

static enum diagnosis_code
do_remove(struct catalog_txn *txn, const struct record *key,
          struct diagnosis *diag, enum diagnosis_code *expected)
{
    bool if_exists = random_range(2), cascade = !random_range(3);

    *expected = record_twin_remove(&twin, key, if_exists, cascade);
    return (catalog_remove(txn, key, if_exists, cascade, diag) ? diag->code
            : DIAG_NONE);
}

/* Whether 'lease' would be the only one to have its address. */
static bool
is_free(const struct record *lease)
{
    for (size_t i = 0; i < twin.n; i++) {
        const struct record *r = &twin.records[i];
        struct record other = *lease;

        other.lease.client[0] = '\0'; /* Whoever has it, ... */
        if (r->kind != RECORD_POOL && record_twin_clash(&other, r)
            && record_twin_clash(lease, r)) {
            return false;
        }
    }
    return true;
}

/* The address that must be found for '*lease', or false. */
static bool
twin_find_free(struct record *lease, const struct record *pool)
{
    struct record own = *lease;

    for (size_t i = 0; i < twin.n; i++) {
        const struct record *r = &twin.records[i];
        char key[RECORD_KEY_SIZE];

        record_format_key(r, key);
        if (r->kind == RECORD_WORKLOAD && !strcmp(key, lease->lease.client)) {
            own.lease.address = (lease->lease.vni ? r->workload.address
                                 : r->workload.public_address);
            if (r->workload.vni >= lease->lease.vni
                && (!lease->lease.vni
                    || r->workload.vni == lease->lease.vni)
                && record_pool_contains(&pool->pool, own.lease.address)
                && is_free(&own)) {
                *lease = own;
                return true;
            }
        }
    }
    lease->lease.address = pool->pool.first;
    while (record_pool_contains(&pool->pool, lease->lease.address)) {
        if (is_free(lease)) {
            return true;
        }
        lease->lease.address.lo++;
    }
    return false;
}

static enum diagnosis_code
do_allocate(struct catalog_txn *txn, struct diagnosis *diag,
            enum diagnosis_code *expected)
{
    struct record lease = some_lease(), key = { .kind = RECORD_POOL }, got;
    struct json *json;
    bool any;
    int error, i;

    key.pool.vni = lease.lease.vni;
    memcpy(key.pool.name, lease.lease.pool, sizeof key.pool.name);
    i = record_twin_find(&twin, &key);
    if (i < 0) {
        *expected = DIAG_NOT_FOUND;
    } else if (!twin_find_free(&lease, &twin.records[i])) {
        *expected = DIAG_BUSY;
    } else {
        lease.lease.term = twin.records[i].pool.term;
        lease.lease.expires = NOW + lease.lease.term;
        *expected = record_twin_put(&twin, &lease);
    }
    json = catalog_text_json("{'kind':'lease','vni':%d,'pool':'%s',"
                             "'client':'%s'}", (int) lease.lease.vni,
                             lease.lease.pool, lease.lease.client);
    error = catalog_lease_do(txn, CATALOG_LEASE_ALLOCATE, json, false, NOW,
                             &any, &got, diag);
    json_destroy(json);
    if (!error) {
        assert_true(record_equal(&got, &lease));
    }
    return error ? diag->code : DIAG_NONE;
}

static int
compare(const void *a, const void *b)
{
    return record_compare_keys(a, b);
}

static void
check_same(void)
{
    struct record_twin sorted = twin;
    size_t i = 0, n;

    qsort(sorted.records, sorted.n, sizeof sorted.records[0], compare);
    n = catalog_count(catalog, RECORD_HOST);
    for (size_t j = 0; j < n; j++, i++) {
        struct record found;

        assert_true(catalog_find_record(catalog, &sorted.records[i], &found));
        assert_true(record_equal(&found, &sorted.records[i]));
    }
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        struct record *records = catalog_records(catalog, kind, &n);

        for (size_t j = 0; j < n; j++, i++) {
            assert_true(i < sorted.n);
            assert_true(record_equal(&records[j], &sorted.records[i]));
        }
        free(records);
    }
    assert_int_equal(i, sorted.n);
}

/* The changes are the difference between the two, in order. */
static void
check_changes(const struct catalog_txn *txn, const struct record_twin *before)
{
    size_t n, n_expected = 0;
    const struct catalog_change *changes = catalog_txn_changes(txn, &n);

    for (size_t i = 0; i < before->n; i++) {
        int j = record_twin_find(&twin, &before->records[i]);

        n_expected += j < 0 || !record_equal(&twin.records[j],
                                             &before->records[i]);
    }
    for (size_t i = 0; i < twin.n; i++) {
        n_expected += record_twin_find(before, &twin.records[i]) < 0;
    }
    assert_int_equal(n, n_expected);
    for (size_t i = 0; i < n; i++) {
        const struct record *key = (changes[i].after ? changes[i].after
                                    : changes[i].before);
        int was = record_twin_find(before, key);
        int is = record_twin_find(&twin, key);

        assert_int_equal(was >= 0, changes[i].before != NULL);
        assert_int_equal(is >= 0, changes[i].after != NULL);
        assert_true(was < 0 || record_equal(changes[i].before,
                                            &before->records[was]));
        assert_true(is < 0 || record_equal(changes[i].after,
                                           &twin.records[is]));
        assert_true(!i || record_compare_keys(
                        changes[i - 1].after ? changes[i - 1].after
                        : changes[i - 1].before, key) < 0);
    }
}

struct score {
    size_t n_committed, n_refused, n_refused_late;
};

static void
transact(struct score *score)
{
    struct catalog_txn *txn = catalog_begin(catalog);
    struct record_twin before = twin;
    int n_ops = 1 + random_range(1 + random_range(4));
    struct diagnosis diag;
    bool bad = false;

    for (int i = 0; i < n_ops && !bad; i++) {
        struct record record = some_record();
        enum diagnosis_code expected, code;
        uint32_t what = random_range(10);

        catalog_set_op(txn, i);
        code = (what < 4 ? do_add(txn, &record, &diag, &expected)
                : what < 6 ? do_set(txn, &record, &diag, &expected)
                : what < 8 ? do_remove(txn, &record, &diag, &expected)
                : do_allocate(txn, &diag, &expected));
        if (code != expected) {
            fail_msg("%d: %s instead of %s: %s", what,
                     diagnosis_code_name(code), diagnosis_code_name(expected),
                     code ? diag.message : "");
        }
        bad = code != DIAG_NONE;
    }
    if (!bad) {
        bool sound = (record_twin_is_sound(&twin)
                      && epochs_grow(&before, &twin));

        if (!catalog_prepare(txn, &diag) != sound) {
            fail_msg("sound %d: %s", sound, diag.message);
        }
        bad = !sound;
        score->n_refused_late += bad;
        assert_true(!bad || (diag.op >= 0 && diag.op < n_ops));
    }
    if (!bad) {
        check_changes(txn, &before);
    }
    if (bad || !random_range(8)) {
        score->n_refused++;
        catalog_abort(txn);
        twin = before;
    } else {
        score->n_committed++;
        catalog_commit(txn);
    }
    check_same();
}

static void
add_hosts(void)
{
    struct catalog_txn *txn = catalog_begin(catalog);

    for (int i = 0; i < 4; i++) {
        struct record r = { .kind = RECORD_HOST,
                            .host.encap = TUNNEL_GENEVE };

        snprintf(r.host.name, sizeof r.host.name, "h%d", i);
        r.host.vtep = inet_addr_from4(0xc0000300 + r.host.name[1]);
        assert_int_equal(record_twin_put(&twin, &r), DIAG_NONE);
        assert_int_equal(catalog_add(txn, &r, false, NULL), 0);
    }
    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_commit(txn);
}

static void
catalog_does_what_its_twin_does(void **state OVS_UNUSED)
{
    struct score score = { 0, 0, 0 };

    random_set_seed(4);
    for (int round = 0; round < ROUNDS; round++) {
        if (!(round % 2000)) {
            catalog_destroy(catalog);
            catalog = catalog_create();
            twin.n = 0;
            add_hosts();
        }
        transact(&score);
    }
    catalog_destroy(catalog);
    print_message("%zu committed, %zu refused, %zu of them in the end\n",
                  score.n_committed, score.n_refused, score.n_refused_late);
    assert_true(score.n_committed > ROUNDS / 20);
    assert_true(score.n_refused_late > ROUNDS / 20);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catalog_does_what_its_twin_does),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
