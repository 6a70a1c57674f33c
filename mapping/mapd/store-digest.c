#include <config.h>

#include "mapping/mapd/store-digest.h"

#include <inttypes.h>

#include "anycast/flow-hash.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

void
store_digest_bytes(struct ds *ds, char type, const void *data, size_t size)
{
    ds_put_char(ds, type);
    ds_put_format(ds, "%"PRIuSIZE":", size);
    ds_put_buffer(ds, data, size);
}

void
store_digest_integer(struct ds *ds, int64_t value)
{
    ds_put_format(ds, "i%"PRId64":", value);
}

int64_t
store_digest_finish(struct ds *ds)
{
    /* Not a secret: it guards against accidents. */
    static const struct hash_key key = {
        { 0x8f14e45fceea167aULL, 0x5bd1e9955bd1e995ULL }
    };
    int64_t digest = flow_hash_bytes(&key, ds_cstr(ds), ds->length);

    ds_destroy(ds);
    ds_init(ds);
    return digest;
}
