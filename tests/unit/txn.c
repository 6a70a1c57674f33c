#include <config.h>

#include "tests/unit/txn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/catalog-text.h"

int
txn_add(struct catalog_txn *txn, struct diagnosis *diag, const char *text)
{
    struct record record = catalog_text_record("%s", text);

    return catalog_add(txn, &record, false, diag);
}

int
txn_set(struct catalog_txn *txn, struct diagnosis *diag, const char *text)
{
    struct json *json = catalog_text_json("%s", text);
    int error = catalog_set(txn, json, diag);

    json_destroy(json);
    return error;
}

int
txn_take_with(struct catalog_txn *txn, struct diagnosis *diag,
              const char *text, bool if_exists, bool cascade)
{
    struct json *json = catalog_text_json("%s", text);
    struct record key;
    int error;

    assert_int_equal(record_key_from_json(json, &key, NULL), 0);
    json_destroy(json);
    error = catalog_remove(txn, &key, if_exists, cascade, diag);
    return error;
}

int
txn_take(struct catalog_txn *txn, struct diagnosis *diag, const char *text)
{
    return txn_take_with(txn, diag, text, false, false);
}

void
txn_must(int error)
{
    assert_int_equal(error, 0);
}

void
txn_commit(struct catalog_txn *txn)
{
    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_commit(txn);
}

struct catalog *
txn_small_catalog(void)
{
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);

    txn_must(txn_add(txn, NULL,
                     "{'kind':'host','name':'h1','vtep':'192.0.2.1'}"));
    txn_must(txn_add(txn, NULL,
                     "{'kind':'host','name':'h2','vtep':'192.0.2.2'}"));
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':5001,'name':'web',"
                     "'address':'10.1.0.100','port':80,'slots':256}"));
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':5001,'name':'dns',"
                     "'address':'10.1.0.100','protocol':'udp','slots':256}"));
    txn_must(txn_add(txn, NULL, "{'kind':'group','vni':5002,'name':'api',"
                     "'address':'10.1.0.100','port':80,'slots':256}"));
    txn_must(txn_add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
                     "'name':'w1','host':'h1','mac':'02:00:00:00:00:01'}"));
    txn_must(txn_add(txn, NULL, "{'kind':'endpoint','vni':5001,'group':'web',"
                     "'name':'w2','host':'h2','mac':'02:00:00:00:00:02'}"));
    txn_commit(txn);
    return catalog;
}
