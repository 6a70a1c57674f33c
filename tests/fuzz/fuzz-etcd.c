/* What etcd might send: the first byte chooses the kind of answer, or a watch,
 * cut where its second byte says. */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/etcd/etcd-answer.h"
#include "mapping/etcd/etcd-stream.h"
#include "openvswitch/json.h"
#include "util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(X) do { if (!(X)) { __builtin_trap(); } } while (0)

static void
check_kv(const struct etcd_kv *kv)
{
    CHECK(kv->key.data && kv->key.size && kv->value.data);
    CHECK(kv->mod_revision > 0 && kv->create_revision >= 0);
}

static void
read_range(const struct json *json)
{
    struct etcd_kvs kvs = { .n = 0 };
    struct diagnosis diag;
    int64_t revision;
    bool more;

    if (!etcd_answer_range(json, &kvs, &more, &revision, &diag)) {
        CHECK(revision > 0 && (kvs.n || !more));
    }
    for (size_t i = 0; i < kvs.n; i++) {
        check_kv(&kvs.kvs[i]);
        etcd_answer_kv_uninit(&kvs.kvs[i]);
    }
    free(kvs.kvs);
}

static void
read_others(const struct json *json)
{
    struct diagnosis diag;
    int64_t revision, id;
    bool succeeded;
    char text[32], *token;
    int ttl_s, code;

    if (!etcd_answer_txn(json, &succeeded, &revision, &diag)) {
        CHECK(revision > 0);
    }
    if (!etcd_answer_grant(json, &id, &ttl_s, &diag)) {
        CHECK(id && ttl_s > 0);
    }
    if (!etcd_answer_keepalive(json, &ttl_s, &diag)) {
        CHECK(ttl_s >= 0);
    }
    if (!etcd_answer_token(json, &token, &diag)) {
        CHECK(token[0] && !strpbrk(token, "\r\n "));
        free(token);
    }
    if (etcd_answer_refusal(json, &code, text, sizeof text)) {
        CHECK(strlen(text) < sizeof text && code >= 0);
    }
}

/* Takes what is there.  Returns the last revision. */
static int64_t
read_events(struct etcd_stream *stream, int64_t last)
{
    const struct etcd_event *events;
    size_t n;

    while (etcd_stream_next(stream, &events, &n)) {
        CHECK(n && events[0].kv.mod_revision > last);
        last = events[0].kv.mod_revision;
        for (size_t i = 0; i < n; i++) {
            check_kv(&events[i].kv);
            CHECK(events[i].kv.mod_revision == last);
        }
    }
    CHECK(stream->expected > last);
    return last;
}

static void
read_watch(const char *text, size_t size, size_t cut)
{
    struct etcd_stream stream;
    struct diagnosis diag;
    int64_t last = 0;

    etcd_stream_init(&stream, 1);
    if (!etcd_stream_feed(&stream, text, cut, &diag)) {
        last = read_events(&stream, last);
        if (etcd_stream_feed(&stream, text + cut, size - cut, &diag)) {
            etcd_stream_restart(&stream);
        }
    }
    read_events(&stream, last);
    etcd_stream_uninit(&stream);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *) data + 2;
    struct diagnosis diag;
    struct json *json;

    if (size < 2) {
        return 0;
    }
    size -= 2;
    if (data[0] & 1) {
        read_watch(text, size, MIN(data[1] * 4, size));
    } else if (!etcd_answer_parse(text, size, &json, &diag)) {
        read_range(json);
        read_others(json);
        json_destroy(json);
    }
    return 0;
}
