/* Ranges and transactions. */

#include <config.h>
#include "mapping/etcd/etcd-private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/etcd/etcd-answer.h"
#include "mapping/etcd/etcd-request.h"
#include "openvswitch/json.h"
#include "util.h"

/* A range that is being read. */
struct range {
    struct etcd_bytes prefix, end;
    struct etcd_bytes start;    /* Of the next page; owned. */
    long long int deadline_ms;
    int limit;                  /* Pairs in a page. */
    int64_t revision;           /* 0: the latest. */
    struct etcd_kvs kvs;        /* So far. */
    bool more;
};

void
etcd_kvs_destroy(struct etcd_kvs *kvs)
{
    if (kvs) {
        for (size_t i = 0; i < kvs->n; i++) {
            etcd_answer_kv_uninit(&kvs->kvs[i]);
        }
        free(kvs->kvs);
        *kvs = (struct etcd_kvs) { .n = 0 };
    }
}

static void
set_start(struct range *r, struct etcd_bytes key, bool after)
{
    /* A key's successor is the same and a zero byte. */
    uint8_t *start = xzalloc(key.size + 1);

    if (key.size) {
        memcpy(start, key.data, key.size);
    }
    free(CONST_CAST(void *, r->start.data));
    r->start = (struct etcd_bytes) { start, key.size + after };
}

static void
begin(struct range *r, int64_t revision)
{
    etcd_kvs_destroy(&r->kvs);
    set_start(r, r->prefix, false);
    r->revision = revision;
    r->more = true;
}

/* A page must go on where the last one ended. */
static int
check_page(const struct range *r, size_t n_before, struct diagnosis *diag)
{
    const struct etcd_bytes *last = &r->start;

    for (size_t i = n_before; i < r->kvs.n; i++) {
        const struct etcd_bytes *key = &r->kvs.kvs[i].key;
        int order = memcmp(key->data, last->data, MIN(key->size, last->size));

        if (order < 0 || (!order && (key->size < last->size
                                     || (i > n_before
                                         && key->size == last->size)))) {
            diagnosis_set(diag, DIAG_STORE, "kvs", NULL,
                          "etcd answered with keys that are not sorted");
            return EPROTO;
        }
        last = key;
    }
    return 0;
}

static int
read_page(struct etcd *etcd, struct range *r, struct diagnosis *diag)
{
    size_t n_before = r->kvs.n;
    struct json *answer;
    int64_t revision;
    int error = etcd_ask_until(
        etcd, "/v3/kv/range",
        etcd_request_range(r->start, r->end, r->limit, r->revision),
        true, r->deadline_ms, &answer, NULL, diag);

    if (error) {
        return error;
    }
    error = etcd_answer_range(answer, &r->kvs, &r->more, &revision, diag);
    json_destroy(answer);
    error = error ? error : check_page(r, n_before, diag);
    if (error) {
        return error;
    }
    r->revision = r->revision ? r->revision : revision;
    if (r->more) {
        set_start(r, r->kvs.kvs[r->kvs.n - 1].key, true);
    }
    return 0;
}

/* Reads all pages.  Values may be so large that a page must have fewer, and
 * what is the latest revision at first may be compacted meanwhile. */
static int
read_pages(struct etcd *etcd, struct range *r, int64_t revision,
           struct diagnosis *diag)
{
    begin(r, revision);
    while (r->more) {
        int error = read_page(etcd, r, diag);

        if (error == EFBIG && r->limit > 1) {
            r->limit /= 2;
        } else if (error == ENODATA && !revision
                   && etcd_http_now() < r->deadline_ms) {
            begin(r, 0);
        } else if (error) {
            return error;
        }
    }
    return 0;
}

int
etcd_range(struct etcd *etcd, struct etcd_bytes prefix, int timeout_ms,
           struct etcd_kvs *kvs, int64_t *revision, struct diagnosis *diag)
{
    struct range r = {
        .prefix = prefix,
        .end = etcd_request_end(prefix),
        .deadline_ms = etcd_http_now() + timeout_ms,
        .limit = ETCD_PAGE,
    };
    int error = read_pages(etcd, &r, *revision, diag);

    free(CONST_CAST(void *, r.start.data));
    free(CONST_CAST(void *, r.end.data));
    if (error) {
        etcd_kvs_destroy(&r.kvs);
        return error;
    }
    *kvs = r.kvs;
    *revision = r.revision;
    return 0;
}

/* Refuses at once what etcd would refuse. */
static int
check_txn(size_t n_compares, const struct etcd_op *ops, size_t n_ops,
          struct diagnosis *diag)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n_ops; i++) {
        bytes += ops[i].key.size + ops[i].value.size;
    }
    if (MAX(n_compares, n_ops) > ETCD_MAX_TXN_OPS) {
        diagnosis_set(diag, DIAG_STORE, "etcd", NULL, "a transaction of "
                      "%"PRIuSIZE" operations; at most %d go to etcd at once",
                      MAX(n_compares, n_ops), ETCD_MAX_TXN_OPS);
        return E2BIG;
    }
    if (bytes > ETCD_MAX_TXN_BYTES) {
        diagnosis_set(diag, DIAG_STORE, "etcd", NULL, "a transaction of "
                      "%"PRIuSIZE" bytes; at most %d go to etcd at once",
                      bytes, ETCD_MAX_TXN_BYTES);
        return E2BIG;
    }
    return 0;
}

int
etcd_txn(struct etcd *etcd, const struct etcd_compare *compares,
         size_t n_compares, const struct etcd_op *ops, size_t n_ops,
         int timeout_ms, bool *succeededp, int64_t *revisionp,
         struct diagnosis *diag)
{
    int64_t revision;
    bool succeeded;
    struct json *answer;
    int error = check_txn(n_compares, ops, n_ops, diag);

    error = error ? error : etcd_ask_until(
        etcd, "/v3/kv/txn",
        etcd_request_txn(compares, n_compares, ops, n_ops), false,
        etcd_http_now() + timeout_ms, &answer, NULL, diag);
    if (error) {
        return error;
    }
    error = etcd_answer_txn(answer, &succeeded, &revision, diag);
    json_destroy(answer);
    if (error) {
        /* Whatever that was, it may have been done. */
        return ETIMEDOUT;
    }
    if (succeededp) {
        *succeededp = succeeded;
    }
    if (revisionp) {
        *revisionp = revision;
    }
    return 0;
}
