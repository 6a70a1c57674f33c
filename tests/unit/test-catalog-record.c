/* Plain records in a catalog: what is refused, in which words, and whose fault
 * it is; epochs; leases. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-lease.h"
#include "openvswitch/json.h"
#include "tests/unit/catalog-text.h"
#include "util.h"

enum { NOW = 1000000 };

/* What each test finds. */
static const char *const world[] = {
    "{'kind':'host','name':'h1','vtep':'192.0.2.1'}",
    "{'kind':'host','name':'h2','vtep':'192.0.2.2'}",
    "{'kind':'workload','vni':5,'name':'a','host':'h1',"
    "'mac':'02:00:00:00:00:0a','address':'10.0.0.10',"
    "'public_address':'203.0.113.10'}",
    "{'kind':'workload','vni':5,'name':'b','host':'h1',"
    "'mac':'02:00:00:00:00:0b','address':'10.0.0.11'}",
    "{'kind':'pool','vni':0,'name':'p','first':'203.0.113.8',"
    "'last':'203.0.113.11','term':60}",
    "{'kind':'lease','vni':0,'pool':'p','address':'203.0.113.8',"
    "'client':'c','term':60,'expires':1000060}",
    "{'kind':'gateway','name':'g','node1':'h1','node2':'h2','active':'h1',"
    "'epoch':7}",
    "{'kind':'vip','vni':5,'name':'v','address':'10.0.0.1','gateway':'g'}",
};

/* Does the operation that 'text' describes: "add {...}", and so on; "cas N"
 * is a set with that rule for the epoch, "force" a load with force. */
static int
apply(struct catalog_txn *txn, const char *text, struct diagnosis *diag)
{
    struct json *json = catalog_text_json("%s", strchr(text, '{'));
    enum catalog_lease_op op;
    struct record record;
    char word[16];
    int64_t rule;
    bool any;
    int error;

    ovs_strlcpy(word, text, MIN(sizeof word, strcspn(text, " ") + 1));
    if (!strcmp(word, "add")) {
        error = record_from_json(json, &record, diag);
        error = error ? error : catalog_add(txn, &record, false, diag);
    } else if (!strcmp(word, "remove") || !strcmp(word, "cascade")) {
        error = record_key_from_json(json, &record, diag);
        error = error ? error : catalog_remove(txn, &record, false,
                                               *word == 'c', diag);
    } else if (catalog_lease_op_from_name(word, &op)) {
        error = catalog_lease_do(txn, op, json, strstr(text, " ok "), NOW,
                                 &any, &record, diag);
    } else {
        rule = (!strcmp(word, "cas") ? atoi(text + 4)
                : !strcmp(word, "set") ? CATALOG_EPOCH_KEEP
                : CATALOG_EPOCH_RAISE);
        catalog_set_epoch_rule(txn, rule);
        catalog_set_force(txn, !strcmp(word, "force"));
        error = catalog_set(txn, json, diag);
        catalog_set_epoch_rule(txn, CATALOG_EPOCH_KEEP);
    }
    json_destroy(json);
    return error;
}

/* Does the operations in 'texts', up to the first NULL or the 'n'th, in one
 * transaction.  Returns 0, or a positive errno with '*diag' filled in and
 * nothing changed. */
static int
transact(struct catalog *catalog, const char *const *texts, size_t n,
         struct diagnosis *diag)
{
    struct catalog_txn *txn = catalog_begin(catalog);
    int error = 0;

    for (size_t i = 0; i < n && texts[i] && !error; i++) {
        catalog_set_op(txn, i);
        error = apply(txn, texts[i], diag);
        if (error) {
            diag->op = i;
        }
    }
    error = error ? error : catalog_prepare(txn, diag);
    if (error) {
        catalog_abort(txn);
    } else {
        catalog_commit(txn);
    }
    return error;
}

static struct catalog *
make_world(void)
{
    struct catalog *catalog = catalog_create();

    for (size_t i = 0; i < ARRAY_SIZE(world); i++) {
        char *text = xasprintf("add %s", world[i]);
        const char *const texts[] = { text };
        struct diagnosis diag = { .message = "" };

        if (transact(catalog, texts, 1, &diag)) {
            fail_msg("%s: %s", text, diag.message);
        }
        free(text);
    }
    return catalog;
}

/* All plain records, one a line. */
static char *
dump(const struct catalog *catalog)
{
    char *all = xstrdup("");

    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        struct record *records;
        size_t n;

        records = catalog_records(catalog, kind, &n);
        for (size_t i = 0; i < n; i++) {
            struct json *json = record_to_json(&records[i]);
            char *text = json_to_string(json, JSSF_SORT);
            char *longer = xasprintf("%s%s\n", all, text);

            free(all);
            free(text);
            json_destroy(json);
            all = longer;
        }
        free(records);
    }
    return all;
}

struct refusal {
    const char *ops[3];
    enum diagnosis_code code;
    int op;
    const char *field;
    const char *message;        /* Part of it. */
};

#define VM(NAME, MAC, ADDRESS)                                          \
    "{'kind':'workload','vni':5,'name':'" NAME "','host':'h2',"         \
    "'mac':'02:00:00:00:00:" MAC "','address':'" ADDRESS "'"
#define POOL(NAME, FIRST, LAST)                                         \
    "{'kind':'pool','vni':0,'name':'" NAME "','first':'203.0.113." FIRST \
    "','last':'203.0.113." LAST "'}"
#define LEASE "{'kind':'lease','vni':0,'pool':'p'"

static const struct refusal refusals[] = {
    /* What is there, and what is not. */
    { { "add " VM("a", "0c", "10.0.0.12") "}" }, DIAG_EXISTS, 0, "name",
      "workload 5/a exists already" },
    { { "set " VM("x", "0c", "10.0.0.12") "}" }, DIAG_NOT_FOUND, 0, "name",
      "workload 5/x is not known" },
    { { "remove {'kind':'vip','vni':0,'name':'v'}" }, DIAG_NOT_FOUND, 0,
      "name", "vip 0/v is not known" },
    { { "add {'kind':'workload','vni':5,'name':'c','host':'h9',"
        "'mac':'02:00:00:00:00:0c','address':'10.0.0.12'}" },
      DIAG_NOT_FOUND, 0, "host", "host h9 is not known" },
    { { "add {'kind':'gateway','name':'k','node1':'h1','node2':'h9'}" },
      DIAG_NOT_FOUND, 0, "node2", "host h9 is not known" },
    { { "add {'kind':'vip','vni':0,'name':'w','address':'192.0.2.9',"
        "'gateway':'k'}" }, DIAG_NOT_FOUND, 0, "gateway",
      "gateway k is not known" },
    { { "add {'kind':'lease','vni':5,'pool':'p','address':'203.0.113.9',"
        "'client':'d'}" }, DIAG_NOT_FOUND, 0, "pool",
      "pool 5/p is not known" },
    { { "add " LEASE ",'address':'203.0.113.9','client':'5/x'}" },
      DIAG_NOT_FOUND, 0, "client", "workload 5/x is not known" },

    /* What is referred to. */
    { { "remove {'kind':'host','name':'h2'}" }, DIAG_IN_USE, 0, "name",
      "host h2 is in use by 1 other record" },
    { { "remove {'kind':'host','name':'h1'}" }, DIAG_IN_USE, 0, "name",
      "host h1 is in use by 3 other records" },
    { { "cascade {'kind':'host','name':'h2'}" }, DIAG_IN_USE, 0, "name",
      "host h2 is in use" },
    { { "remove {'kind':'pool','vni':0,'name':'p'}" }, DIAG_IN_USE, 0, "name",
      "pool 0/p is in use by 1 other record" },
    { { "remove {'kind':'gateway','name':'g'}" }, DIAG_IN_USE, 0, "name",
      "gateway g is in use by 1 other record" },
    { { "allocate " LEASE ",'client':'5/b'}",
        "remove {'kind':'workload','vni':5,'name':'b'}" }, DIAG_IN_USE, 1,
      "name", "workload 5/b is in use" },

    /* What must be unique; the later one is at fault. */
    { { "add " VM("c", "0a", "10.0.0.12") "}" }, DIAG_EXISTS, 0, "mac",
      "mac 02:00:00:00:00:0a is taken by workload 5/a" },
    { { "add " VM("c", "0c", "10.0.0.10") "}" }, DIAG_EXISTS, 0, "address",
      "workload 5/c: address 10.0.0.10 is taken by workload 5/a" },
    { { "add " VM("c", "0c", "10.0.0.1") "}" }, DIAG_EXISTS, 0, "address",
      "address 10.0.0.1 is taken by vip 5/v" },
    { { "add " VM("c", "0c", "10.0.0.12")
        ",'public_address':'203.0.113.10'}" }, DIAG_EXISTS, 0,
      "public_address", "public_address 203.0.113.10 is taken by workload "
      "5/a" },
    { { "add " VM("c", "0c", "10.0.0.12") ",'public_address':'203.0.113.8'}" },
      DIAG_EXISTS, 0, "public_address", "203.0.113.8 is taken by lease "
      "0/p/203.0.113.8" },
    { { "add " LEASE ",'address':'203.0.113.10','client':'5/b'}" },
      DIAG_EXISTS, 0, "address", "203.0.113.10 is taken by workload 5/a" },
    { { "add " LEASE ",'address':'203.0.113.9','client':'c'}" },
      DIAG_EXISTS, 0, "client", "client c has lease 0/p/203.0.113.8" },
    { { "set {'kind':'vip','vni':5,'name':'v','address':'10.0.0.11'}" },
      DIAG_EXISTS, 0, "address", "vip 5/v: address 10.0.0.11 is taken by "
      "workload 5/b" },
    { { "set " VM("b", "0b", "10.0.0.12") "}",
        "add " VM("c", "0c", "10.0.0.11") "}",
        "set " VM("b", "0b", "10.0.0.11") "}" }, DIAG_EXISTS, 2, "address",
      "workload 5/b: address 10.0.0.11 is taken by workload 5/c" },
    { { "add " POOL("q", "11", "20") }, DIAG_EXISTS, 0, "first",
      "pool 0/q: it has addresses in common with pool 0/p" },
    { { "add " POOL("q", "12", "20"),
        "set {'kind':'pool','vni':0,'name':'p','last':'203.0.113.12'}" },
      DIAG_EXISTS, 1, "first", "pool 0/p: it has addresses in common with "
      "pool 0/q" },

    /* Leases lie in their pools. */
    { { "add " LEASE ",'address':'203.0.113.12','client':'d'}" },
      DIAG_INVALID, 0, "address", "its address is not in the pool" },
    { { "set {'kind':'pool','vni':0,'name':'p','first':'203.0.113.9'}" },
      DIAG_IN_USE, 0, "last", "pool 0/p: 203.0.113.8 is leased" },
    { { "set {'kind':'pool','vni':0,'name':'p','last':'203.0.113.9'}",
        "add " LEASE ",'address':'203.0.113.11','client':'d'}" },
      DIAG_INVALID, 1, "address", "is not in the pool" },
    { { "add " LEASE ",'address':'203.0.113.11','client':'d'}",
        "set {'kind':'pool','vni':0,'name':'p','last':'203.0.113.9'}" },
      DIAG_IN_USE, 1, "last", "203.0.113.11 is leased" },

    /* Epochs. */
    { { "set {'kind':'gateway','name':'g','active':'h2'}" }, DIAG_EPOCH, 0,
      "active", "active h2 needs if_epoch: its epoch is 7 and its active "
      "node h1" },
    { { "set {'kind':'gateway','name':'g','epoch':8}" }, DIAG_EPOCH, 0,
      "epoch", "epoch 8 cannot be given" },
    { { "cas 6 {'kind':'gateway','name':'g','active':'h2'}" }, DIAG_EPOCH, 0,
      "if_epoch", "if_epoch 6 is not the present epoch: its epoch is 7" },
    { { "cas 8 {'kind':'gateway','name':'g','active':'h2'}" }, DIAG_EPOCH, 0,
      "if_epoch", "if_epoch 8 is not the present epoch" },
    { { "cas 7 {'kind':'gateway','name':'g','active':'h2'}",
        "cas 7 {'kind':'gateway','name':'g','active':'h1'}" }, DIAG_EPOCH, 1,
      "if_epoch", "its epoch is 8 and its active node h2" },
    { { "cas 7 {'kind':'gateway','name':'g','active':'h2','epoch':9}" },
      DIAG_EPOCH, 0, "epoch", "cannot be given" },
    { { "cas 7 {'kind':'vip','vni':5,'name':'v','address':'10.0.0.2'}" },
      DIAG_INVALID, 0, "if_epoch", "goes with a gateway, not with vip" },
    { { "set {'kind':'gateway','name':'g','node1':'h2','node2':'h1',"
        "'active':''}" }, DIAG_EPOCH, 0, "active", "needs if_epoch" },
    { { "load {'kind':'gateway','name':'g','epoch':6}" }, DIAG_EPOCH, 0,
      "epoch", "epoch 6 is older, or of another active node" },
    { { "load {'kind':'gateway','name':'g','epoch':7,'active':'h2'}" },
      DIAG_EPOCH, 0, "epoch", "is older, or of another active node" },
    { { "cascade {'kind':'gateway','name':'g'}",
        "add {'kind':'gateway','name':'g','node1':'h1','node2':'h2'}" },
      DIAG_EPOCH, 1, "epoch", "epoch 0 is older" },

    /* Operations on leases. */
    { { "allocate {'kind':'lease','vni':0,'client':'d'}" }, DIAG_INVALID, 0,
      "pool", "pool: required to allocate a lease" },
    { { "allocate {'kind':'lease','pool':'p','client':'d'}" }, DIAG_INVALID,
      0, "vni", "vni: required to allocate" },
    { { "allocate " LEASE "}" }, DIAG_INVALID, 0, "client", "required to" },
    { { "allocate " LEASE ",'client':'d','expires':5}" }, DIAG_INVALID, 0,
      "expires", "expires: follows from term" },
    { { "allocate {'kind':'pool','vni':0,'name':'p'}" }, DIAG_INVALID, 0,
      "kind", "to allocate goes with a lease, not with pool" },
    { { "allocate " LEASE ",'client':'c'}" }, DIAG_EXISTS, 0, "client",
      "client c has lease 0/p/203.0.113.8" },
    { { "allocate " LEASE ",'client':'d','address':'203.0.113.8'}" },
      DIAG_EXISTS, 0, "address", "lease 0/p/203.0.113.8 exists already" },
    { { "allocate ok " LEASE ",'client':'c','address':'203.0.113.9'}" },
      DIAG_NOT_FOUND, 0, "address", "lease 0/p/203.0.113.9 is not known" },
    { { "renew " LEASE "}" }, DIAG_INVALID, 0, "address", "required to" },
    { { "renew " LEASE ",'client':'d'}" }, DIAG_NOT_FOUND, 0, "client",
      "client d has no lease of pool 0/p" },
    { { "renew " LEASE ",'client':'d','address':'203.0.113.8'}" },
      DIAG_IN_USE, 0, "client", "is not of client d but of c" },
    { { "return " LEASE ",'client':'d','address':'203.0.113.8'}" },
      DIAG_IN_USE, 0, "client", "is not of client d but of c" },
    { { "return " LEASE ",'address':'203.0.113.9'}" }, DIAG_NOT_FOUND, 0,
      "address", "lease 0/p/203.0.113.9 is not known" },
    { { "reassign " LEASE ",'client':'d'}" }, DIAG_INVALID, 0, "address",
      "address: required to reassign" },
    { { "reassign " LEASE ",'address':'203.0.113.8'}" }, DIAG_INVALID, 0,
      "client", "client: required to reassign" },
    { { "allocate " LEASE ",'client':'d'}",
        "reassign " LEASE ",'address':'203.0.113.8','client':'d'}" },
      DIAG_EXISTS, 1, "client", "client d has lease 0/p/203.0.113.9" },
    { { "allocate " LEASE ",'client':'d'}", "allocate " LEASE
        ",'client':'e'}", "allocate " LEASE ",'client':'f'}" }, DIAG_BUSY, 2,
      "pool", "pool 0/p: all of its 4 addresses are taken" },
};

static void
refusals_name_what_is_wrong_and_change_nothing(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_world();
    char *before = dump(catalog);

    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        const struct refusal *r = &refusals[i];
        struct diagnosis diag = { .code = DIAG_NONE, .message = "" };
        char *after;

        transact(catalog, r->ops, ARRAY_SIZE(r->ops), &diag);
        if (diag.code != r->code || diag.op != r->op
            || strcmp(diag.field, r->field)
            || !strstr(diag.message, r->message)) {
            fail_msg("%s: %s, op %d, field %s: %s", r->ops[0],
                     diagnosis_code_name(diag.code), diag.op, diag.field,
                     diag.message);
        }
        after = dump(catalog);
        assert_string_equal(before, after);
        free(after);
    }
    free(before);
    catalog_destroy(catalog);
}

/* Expects that 'op' leads to the record in the other text. */
static void
expect(struct catalog *catalog, const char *op, const char *result)
{
    const char *const ops[] = { op };
    struct json *json = catalog_text_json("%s", result);
    struct diagnosis diag = { .message = "" };
    struct record record, found;

    if (transact(catalog, ops, 1, &diag)) {
        fail_msg("%s: %s", op, diag.message);
    }
    assert_int_equal(record_from_json(json, &record, &diag), 0);
    assert_true(catalog_find_record(catalog, &record, &found));
    if (!record_equal(&record, &found)) {
        struct json *other = record_to_json(&found);

        fail_msg("%s: %s", op, json_to_string(other, JSSF_SORT));
    }
    json_destroy(json);
}

#define G "'kind':'gateway','name':'g','node1':'h1','node2':'h2'"

static void
epoch_grows_with_each_node_made_active(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_world();

    expect(catalog, "cas 7 {'kind':'gateway','name':'g','active':'h2'}",
           "{" G ",'active':'h2','epoch':8}");
    /* The same node again: who was fenced off is told so. */
    expect(catalog, "cas 8 {'kind':'gateway','name':'g','active':'h2'}",
           "{" G ",'active':'h2','epoch':9}");
    /* A condition, without a node to be active. */
    expect(catalog, "cas 9 {'kind':'gateway','name':'g','priority1':5}",
           "{" G ",'active':'h2','epoch':9,'priority1':5}");
    expect(catalog, "cas 9 {'kind':'gateway','name':'g','active':''}",
           "{" G ",'active':'','epoch':10,'priority1':5}");
    expect(catalog, "set {'kind':'gateway','name':'g','epoch':10,"
           "'active':'','priority1':0}", "{" G ",'epoch':10}");
    /* A dump that is newer, and one that is older. */
    expect(catalog, "load {" G ",'active':'h1','epoch':20}",
           "{" G ",'active':'h1','epoch':20}");
    expect(catalog, "force {" G ",'active':'h2','epoch':19,'priority2':9}",
           "{" G ",'active':'h1','epoch':20,'priority2':9}");
    catalog_destroy(catalog);
}

#define L(ADDRESS, CLIENT, TERM, EXPIRES)                               \
    LEASE ",'address':'203.0.113." ADDRESS "','client':'" CLIENT        \
    "','term':" TERM ",'expires':" EXPIRES "}"

static void
leases_go_from_client_to_client(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_world();

    /* The lowest that is free. */
    expect(catalog, "allocate " LEASE ",'client':'d'}",
           L("9", "d", "60", "1000060"));
    /* Its own, though a lower one would be free. */
    expect(catalog, "return " LEASE ",'client':'d'}",
           L("8", "c", "60", "1000060"));
    expect(catalog, "allocate " LEASE ",'client':'5/a','term':5}",
           L("10", "5/a", "5", "1000005"));
    /* 10 is skipped, as it is somebody's, leased or not. */
    expect(catalog, "return " LEASE ",'client':'5/a'}",
           L("8", "c", "60", "1000060"));
    expect(catalog, "allocate " LEASE ",'client':'d','address':"
           "'203.0.113.9'}", L("9", "d", "60", "1000060"));
    expect(catalog, "allocate " LEASE ",'client':'5/b'}",
           L("11", "5/b", "60", "1000060"));
    /* Terms. */
    expect(catalog, "renew " LEASE ",'client':'5/b','term':0}",
           L("11", "5/b", "0", "0"));
    expect(catalog, "renew " LEASE ",'address':'203.0.113.11'}",
           L("11", "5/b", "0", "0"));
    expect(catalog, "allocate ok " LEASE ",'client':'5/b','term':7}",
           L("11", "5/b", "7", "1000007"));
    expect(catalog, "reassign " LEASE ",'address':'203.0.113.11',"
           "'client':'e'}", L("11", "e", "7", "1000007"));
    /* Nobody has it any more: no error if so asked. */
    expect(catalog, "return ok " LEASE ",'client':'5/b'}",
           L("11", "e", "7", "1000007"));
    catalog_destroy(catalog);
}

static size_t
expire(struct catalog *catalog, int64_t now)
{
    struct catalog_txn *txn = catalog_begin(catalog);
    size_t n = catalog_lease_expire(txn, now);

    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_commit(txn);
    return n;
}

static void
leases_end_in_time(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_world();
    struct catalog_txn *txn;

    expect(catalog, "allocate " LEASE ",'client':'d','term':0}",
           L("9", "d", "0", "0"));
    assert_int_equal(catalog_lease_next(catalog), NOW + 60);
    assert_int_equal(expire(catalog, NOW + 59), 0);

    txn = catalog_begin(catalog);
    catalog_lease_shift(txn, 1000);
    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_commit(txn);
    assert_int_equal(catalog_lease_next(catalog), NOW + 1060);
    assert_int_equal(expire(catalog, NOW + 1059), 0);
    assert_int_equal(expire(catalog, NOW + 1060), 1);
    /* The other one never ends. */
    assert_int_equal(catalog_lease_next(catalog), INT64_MAX);
    assert_int_equal(expire(catalog, INT64_MAX), 0);
    assert_int_equal(catalog_count(catalog, RECORD_LEASE), 1);
    catalog_destroy(catalog);
}

static void
cascade_takes_what_refers_to_it(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_world();
    const char *const ops[] = {
        "allocate " LEASE ",'client':'5/a'}",
        "cascade {'kind':'workload','vni':5,'name':'a'}",
        "cascade {'kind':'gateway','name':'g'}",
    };
    struct diagnosis diag;

    assert_int_equal(transact(catalog, ops, ARRAY_SIZE(ops), &diag), 0);
    assert_int_equal(catalog_count(catalog, RECORD_WORKLOAD), 1);
    assert_int_equal(catalog_count(catalog, RECORD_LEASE), 1);
    assert_int_equal(catalog_count(catalog, RECORD_GATEWAY), 0);
    assert_int_equal(catalog_count(catalog, RECORD_VIP), 0);
    catalog_destroy(catalog);
}

/* The largest pool there can be, all of it leased. */
static void
full_pool_can_be_removed(void **state OVS_UNUSED)
{
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);
    struct record pool = catalog_text_record(
        "{'kind':'pool','vni':0,'name':'p','first':'10.0.0.0',"
        "'last':'10.0.255.255'}");
    struct record lease = catalog_text_record(
        "{'kind':'lease','vni':0,'pool':'p','address':'10.0.0.0',"
        "'client':'c'}");
    struct diagnosis diag;

    assert_int_equal(catalog_add(txn, &pool, false, &diag), 0);
    for (uint32_t i = 0; i < RECORD_POOL_MAX; i++) {
        lease.lease.address = record_pool_address(&pool.pool, i);
        snprintf(lease.lease.client, sizeof lease.lease.client, "c%d",
                 (int) i);
        assert_int_equal(catalog_add(txn, &lease, false, &diag), 0);
    }
    assert_int_equal(catalog_prepare(txn, &diag), 0);
    catalog_commit(txn);
    assert_int_equal(catalog_lease_count(catalog, &pool), RECORD_POOL_MAX);

    txn = catalog_begin(catalog);
    assert_int_not_equal(catalog_remove(txn, &pool, false, false, &diag), 0);
    assert_int_equal(catalog_remove(txn, &pool, false, true, &diag), 0);
    assert_int_equal(catalog_prepare(txn, &diag), 0);
    catalog_commit(txn);
    assert_int_equal(catalog_count(catalog, RECORD_LEASE), 0);
    catalog_destroy(catalog);
}

/* What must be unique need be so only in the end. */
static void
two_workloads_can_swap_all_they_have(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_world();
    const char *const ops[] = {
        "set {'kind':'workload','vni':5,'name':'a','mac':'02:00:00:00:00:0b',"
        "'address':'10.0.0.11','public_address':''}",
        "set {'kind':'workload','vni':5,'name':'b','mac':'02:00:00:00:00:0a',"
        "'address':'10.0.0.10','public_address':'203.0.113.10'}",
    };
    struct diagnosis diag;

    assert_int_not_equal(transact(catalog, ops, 1, &diag), 0);
    assert_int_equal(transact(catalog, ops, 2, &diag), 0);
    catalog_destroy(catalog);
}

/* Whoever does not number operations is told all the same, only not which. */
static void
clashes_within_one_operation_are_found(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_world();
    struct catalog_txn *txn = catalog_begin(catalog);
    struct diagnosis diag;

    assert_int_equal(apply(txn, "add " VM("c", "0c", "10.0.0.12") "}", &diag),
                     0);
    assert_int_equal(apply(txn, "add " VM("d", "0c", "10.0.0.13") "}", &diag),
                     0);
    assert_int_not_equal(catalog_prepare(txn, &diag), 0);
    assert_int_equal(diag.op, -1);
    assert_string_equal(diag.field, "mac");
    catalog_abort(txn);
    catalog_destroy(catalog);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_name_what_is_wrong_and_change_nothing),
        cmocka_unit_test(epoch_grows_with_each_node_made_active),
        cmocka_unit_test(leases_go_from_client_to_client),
        cmocka_unit_test(leases_end_in_time),
        cmocka_unit_test(cascade_takes_what_refers_to_it),
        cmocka_unit_test(full_pool_can_be_removed),
        cmocka_unit_test(two_workloads_can_swap_all_they_have),
        cmocka_unit_test(clashes_within_one_operation_are_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
