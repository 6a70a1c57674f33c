/* A store in etcd that anybody may have written to: packed writes are what
 * they are packed from, and what they say makes a catalog that holds, or is
 * refused and changes nothing. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/mapd/store-etcd-batch.h"
#include "mapping/mapd/store-etcd-writes.h"
#include "mapping/mapd/store.h"
#include "openvswitch/ofpbuf.h"
#include "openvswitch/vlog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

void
store_refresh(struct store *store OVS_UNUSED)
{
}

/* Takes in 'w', all of the store or a revision of it.  Returns true if the
 * catalog took it. */
static bool
take(struct catalog *catalog, const struct store_etcd_writes *w, bool whole)
{
    struct store_etcd_batch batch;
    struct catalog_txn *txn;
    struct diagnosis diag;
    int error;

    store_etcd_batch_init(&batch, whole);
    for (size_t i = 0; i < w->n; i++) {
        store_etcd_batch_put(&batch, w->writes[i].key, w->writes[i].value,
                             w->writes[i].size);
    }
    error = store_etcd_batch_apply(&batch, catalog,
                                   catalog_revision(catalog) + 1, 7, 1, &txn,
                                   &diag);
    store_etcd_batch_uninit(&batch);
    if (error) {
        CHECK(diag.message[0]);
        return false;
    }
    catalog_commit(txn);
    return true;
}

/* What a catalog took, it takes again, and nothing changes. */
static void
take_twice(const struct store_etcd_writes *w)
{
    struct catalog *catalog = catalog_create();

    if (take(catalog, w, true)) {
        size_t n = catalog_count(catalog, RECORD_ENDPOINT);

        CHECK(take(catalog, w, true));
        CHECK(catalog_count(catalog, RECORD_ENDPOINT) == n);
        take(catalog, w, false);
    } else {
        CHECK(!catalog_count(catalog, RECORD_HOST)
              && !catalog_count(catalog, RECORD_GROUP));
    }
    catalog_destroy(catalog);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct store_etcd_writes w = { .n = 0 };
    struct ofpbuf b;

    if (!store_etcd_writes_unpack(data, size, &w)) {
        ofpbuf_init(&b, 0);
        store_etcd_writes_pack(&w, 0, w.n, &b);
        CHECK(b.size == size && (!size || !memcmp(b.data, data, size)));
        ofpbuf_uninit(&b);
        take_twice(&w);
    }
    store_etcd_writes_uninit(&w);
    return 0;
}
