#include <config.h>
#include "mapping/etcd/etcd-request.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/base64.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

struct etcd_bytes
etcd_request_end(struct etcd_bytes prefix)
{
    uint8_t *end = xmalloc(prefix.size + 1);
    size_t size = prefix.size;

    if (size) {
        memcpy(end, prefix.data, size);
    }
    while (size > 0 && end[size - 1] == UINT8_MAX) {
        size--;
    }
    if (size > 0) {
        end[size - 1]++;
    } else {
        end[size++] = 0;
    }
    return (struct etcd_bytes) { end, size };
}

/* Appends '"name":"base64 of 'bytes'"'. */
static void
put_bytes(struct ds *ds, const char *name, struct etcd_bytes bytes)
{
    char *text = base64_encode(bytes.data, bytes.size);

    ds_put_format(ds, "\"%s\":\"", name);
    ds_put_cstr(ds, text);
    ds_put_char(ds, '"');
    free(text);
}

/* The same for a text. */
static void
put_text(struct ds *ds, const char *name, const char *text)
{
    ds_put_format(ds, "\"%s\":", name);
    json_string_escape(text, ds);
}

/* Appends 'start' and 'end' as members of a request.  An empty key is what
 * etcd calls a zero byte here. */
static void
put_keys(struct ds *ds, struct etcd_bytes start, struct etcd_bytes end)
{
    put_bytes(ds, "key",
              start.size ? start : (struct etcd_bytes) { "", 1 });
    ds_put_char(ds, ',');
    put_bytes(ds, "range_end", end);
}

static void
put_prefix(struct ds *ds, struct etcd_bytes prefix)
{
    struct etcd_bytes end = etcd_request_end(prefix);

    put_keys(ds, prefix, end);
    free(CONST_CAST(void *, end.data));
}

char *
etcd_request_range(struct etcd_bytes start, struct etcd_bytes end, int limit,
                   int64_t revision)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_char(&ds, '{');
    put_keys(&ds, start, end);
    ds_put_format(&ds, ",\"limit\":\"%d\",\"revision\":\"%"PRId64"\"}",
                  limit, revision);
    return ds_steal_cstr(&ds);
}

char *
etcd_request_probe(struct etcd_bytes prefix)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_char(&ds, '{');
    put_bytes(&ds, "key",
              prefix.size ? prefix : (struct etcd_bytes) { "", 1 });
    ds_put_cstr(&ds, ",\"count_only\":true}");
    return ds_steal_cstr(&ds);
}

static void
put_compare(struct ds *ds, const struct etcd_compare *c)
{
    static const struct {
        const char *target, *member;
    } targets[] = {
        [ETCD_CREATE_REVISION] = { "CREATE", "create_revision" },
        [ETCD_MOD_REVISION] = { "MOD", "mod_revision" },
        [ETCD_LEASE] = { "LEASE", "lease" },
    };

    ds_put_char(ds, '{');
    put_bytes(ds, "key", c->key);
    ds_put_format(ds, ",\"target\":\"%s\",\"result\":\"EQUAL\""
                  ",\"%s\":\"%"PRId64"\"}", targets[c->target].target,
                  targets[c->target].member, c->value);
}

static void
put_op(struct ds *ds, const struct etcd_op *op)
{
    switch (op->type) {
    case ETCD_PUT:
        ds_put_cstr(ds, "{\"request_put\":{");
        put_bytes(ds, "key", op->key);
        ds_put_char(ds, ',');
        put_bytes(ds, "value", op->value);
        ds_put_format(ds, ",\"lease\":\"%"PRId64"\"", op->lease);
        break;

    case ETCD_DELETE:
        ds_put_cstr(ds, "{\"request_delete_range\":{");
        put_bytes(ds, "key", op->key);
        break;

    case ETCD_DELETE_PREFIX:
        ds_put_cstr(ds, "{\"request_delete_range\":{");
        put_prefix(ds, op->key);
        break;
    }
    ds_put_cstr(ds, "}}");
}

char *
etcd_request_txn(const struct etcd_compare *compares, size_t n_compares,
                 const struct etcd_op *ops, size_t n_ops)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&ds, "{\"compare\":[");
    for (size_t i = 0; i < n_compares; i++) {
        ds_put_cstr(&ds, i ? "," : "");
        put_compare(&ds, &compares[i]);
    }
    ds_put_cstr(&ds, "],\"success\":[");
    for (size_t i = 0; i < n_ops; i++) {
        ds_put_cstr(&ds, i ? "," : "");
        put_op(&ds, &ops[i]);
    }
    ds_put_cstr(&ds, "]}");
    return ds_steal_cstr(&ds);
}

char *
etcd_request_watch(struct etcd_bytes prefix, int64_t from)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&ds, "{\"create_request\":{");
    put_prefix(&ds, prefix);
    ds_put_format(&ds, ",\"start_revision\":\"%"PRId64"\""
                  ",\"progress_notify\":true,\"fragment\":true}}", from);
    return ds_steal_cstr(&ds);
}

char *
etcd_request_grant(int ttl_s)
{
    return xasprintf("{\"TTL\":\"%d\"}", ttl_s);
}

char *
etcd_request_lease(int64_t id)
{
    return xasprintf("{\"ID\":\"%"PRId64"\"}", id);
}

char *
etcd_request_authenticate(const char *user, const char *password)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ds_put_char(&ds, '{');
    put_text(&ds, "name", user);
    ds_put_char(&ds, ',');
    put_text(&ds, "password", password);
    ds_put_char(&ds, '}');
    return ds_steal_cstr(&ds);
}
