/* The messages of a watch: cut at every byte, divided into fragments, broken
 * off at random and gone on with; what comes out is compared with the history
 * that went in. */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/base64.h"
#include "mapping/etcd/etcd-stream.h"
#include "openvswitch/dynamic-string.h"
#include "util.h"

enum {
    N_REVISIONS = 40,
    N_CUT_REVISIONS = 12,       /* For cuts at every byte. */
    MAX_EVENTS = 5,             /* Of one revision. */
    N_RANDOM = 500,
};

#define CREATED "{\"result\":{\"header\":{\"revision\":\"60\"}," \
                "\"created\":true}}\n"
#define EVENT(REVISION) "{\"kv\":{\"key\":\"YQ==\",\"mod_revision\":\"" \
                        #REVISION "\"}}"
#define EVENTS(MORE, E) "{\"result\":{\"header\":{\"revision\":\"60\"}," \
                        MORE "\"events\":[" E "]}}\n"

static uint32_t seed = 1;

static uint32_t
random_below(uint32_t n)
{
    seed = seed * 1664525 + 1013904223;
    return (uint64_t) seed * n >> 32;
}

/* How many events the revision has: the history is as if it was. */
static int
n_events(int64_t revision)
{
    return revision % 7 == 3 ? 0 : 1 + revision % MAX_EVENTS;
}

/* Appends event 'i' of 'revision'. */
static void
put_event(struct ds *ds, int64_t revision, int i)
{
    char *key = xasprintf("%"PRId64"/%d", revision, i);
    char *text = base64_encode(key, strlen(key));

    ds_put_format(ds, "%s{%s\"kv\":{\"key\":\"%s\",\"mod_revision\":"
                  "\"%"PRId64"\"}}", ds->length ? "," : "",
                  i % 2 ? "\"type\":\"DELETE\"," : "", text, revision);
    free(text);
    free(key);
}

/* Appends messages with all events of revisions 'from'...'to', divided
 * anywhere. */
static void
put_history(struct ds *ds, int64_t from, int64_t to)
{
    struct ds events = DS_EMPTY_INITIALIZER;

    for (int64_t revision = from; revision <= to; revision++) {
        for (int i = 0; i < n_events(revision); i++) {
            bool whole = i == n_events(revision) - 1;
            bool last = whole && revision == to;

            put_event(&events, revision, i);
            if (last || !random_below(3)) {
                bool fragment = !whole || (!last && random_below(2));

                ds_put_format(ds, EVENTS("\"fragment\":%s,", "%s"),
                              fragment ? "true" : "false",
                              ds_cstr(&events));
                ds_clear(&events);
            }
        }
    }
    ds_destroy(&events);
}

/* Takes what has come and compares it with the history from '*next' on. */
static void
take(struct etcd_stream *stream, int64_t *next)
{
    const struct etcd_event *events;
    size_t n;

    while (etcd_stream_next(stream, &events, &n)) {
        *next += !n_events(*next);
        assert_int_equal(n, n_events(*next));
        for (size_t i = 0; i < n; i++) {
            char *key = xasprintf("%"PRId64"/%"PRIuSIZE, *next, i);

            assert_int_equal(events[i].kv.mod_revision, *next);
            assert_int_equal(events[i].kv.key.size, strlen(key));
            assert_memory_equal(events[i].kv.key.data, key, strlen(key));
            assert_int_equal(events[i].deleted, i % 2);
            free(key);
        }
        ++*next;
    }
    assert_true(stream->expected >= *next);
}

static void
feed(struct etcd_stream *stream, const char *text, size_t size)
{
    struct diagnosis diag;

    if (etcd_stream_feed(stream, text, size, &diag)) {
        fail_msg("%s", diag.message);
    }
}

static void
test_messages_may_be_cut_at_every_byte(void **state OVS_UNUSED)
{
    struct ds text = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&text, CREATED);
    put_history(&text, 1, N_CUT_REVISIONS);
    for (size_t cut = 0; cut <= text.length; cut++) {
        struct etcd_stream stream;
        int64_t next = 1;

        etcd_stream_init(&stream, 1);
        feed(&stream, text.string, cut);
        take(&stream, &next);
        feed(&stream, text.string + cut, text.length - cut);
        take(&stream, &next);
        assert_int_equal(next, N_CUT_REVISIONS + 1);
        assert_int_equal(stream.expected, next);
        assert_int_equal(stream.bytes, 0);
        etcd_stream_uninit(&stream);
    }
    ds_destroy(&text);
}

/* Feeds what etcd would send now, in pieces, as far as 'limit'. */
static void
connect_once(struct etcd_stream *stream, size_t limit, int64_t *next)
{
    struct ds text = DS_EMPTY_INITIALIZER;

    ds_put_cstr(&text, CREATED);
    put_history(&text, stream->expected, N_REVISIONS);
    limit = MIN(limit, text.length);
    for (size_t ofs = 0; ofs < limit; ) {
        size_t size = 1 + random_below(700);

        size = MIN(size, limit - ofs);
        feed(stream, text.string + ofs, size);
        ofs += size;
        if (!random_below(4)) {
            take(stream, next);
        }
    }
    ds_destroy(&text);
}

static void
test_nothing_is_missed_when_connections_break(void **state OVS_UNUSED)
{
    for (int i = 0; i < N_RANDOM; i++) {
        struct etcd_stream stream;
        int64_t next = 1;

        etcd_stream_init(&stream, 1);
        while (stream.expected <= N_REVISIONS) {
            etcd_stream_restart(&stream);
            assert_false(stream.created);
            connect_once(&stream, random_below(6000), &next);
        }
        take(&stream, &next);
        assert_int_equal(next, N_REVISIONS + 1);
        etcd_stream_uninit(&stream);
    }
}

static void
test_progress_moves_on(void **state OVS_UNUSED)
{
    static const char progress[] = "{\"result\":{\"header\":{\"revision\":"
                                   "\"70\"}}}\n";
    static const char later[] = "{\"result\":{\"header\":{\"revision\":"
                                "\"99\"}}}\n";
    static const char events[] = EVENTS("\"fragment\":true,",
                                        EVENT(71) "," EVENT(72));
    struct etcd_stream stream;

    etcd_stream_init(&stream, 5);
    feed(&stream, CREATED, strlen(CREATED));
    assert_true(stream.created);
    /* The confirmation comes before the events. */
    assert_int_equal(stream.expected, 5);
    feed(&stream, progress, strlen(progress));
    assert_int_equal(stream.expected, 71);
    feed(&stream, events, strlen(events));
    assert_int_equal(stream.expected, 72);
    assert_int_equal(stream.n_whole, 1);
    /* Not while there is more of a revision. */
    feed(&stream, later, strlen(later));
    assert_int_equal(stream.expected, 72);
    etcd_stream_uninit(&stream);
}

static void
test_ends_are_noticed(void **state OVS_UNUSED)
{
    static const struct {
        const char *text;
        bool compacted;
        int code;
        const char *reason;
    } cases[] = {
        { "{\"result\":{\"header\":{},\"canceled\":true,"
          "\"compact_revision\":\"9\"}}", true, 0, "" },
        { "{\"result\":{\"header\":{},\"created\":true,\"canceled\":true,"
          "\"cancel_reason\":\"no\"}}", false, 0, "no" },
        { "{\"error\":{\"grpc_code\":14,\"message\":\"no leader\"}}", false,
          14, "no leader" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct etcd_stream stream;

        etcd_stream_init(&stream, 1);
        feed(&stream, CREATED, strlen(CREATED));
        feed(&stream, cases[i].text, strlen(cases[i].text));
        assert_true(stream.ended);
        assert_int_equal(stream.compacted, cases[i].compacted);
        assert_int_equal(stream.code, cases[i].code);
        assert_string_equal(stream.reason, cases[i].reason);
        /* What comes after the end does not matter. */
        feed(&stream, "garbage", 7);
        etcd_stream_restart(&stream);
        assert_false(stream.ended || stream.compacted || stream.created);
        etcd_stream_uninit(&stream);
    }
}

static void
test_wrong_messages_are_refused(void **state OVS_UNUSED)
{
    static const char *const texts[] = {
        EVENTS("", EVENT(5)),
        CREATED EVENTS("", EVENT(4)),
        CREATED EVENTS("", EVENT(6) "," EVENT(5)),
        CREATED EVENTS("", EVENT(5)) EVENTS("", EVENT(5)),
        CREATED EVENTS("\"fragment\":true,", EVENT(6))
            EVENTS("", EVENT(5)),
        CREATED "[]", CREATED "}", CREATED "{}", CREATED "{\"result\":{}",
        "HTTP/1.1 400 Bad Request", "{\"a\" 1}",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct diagnosis diag = { .code = DIAG_NONE };
        struct etcd_stream stream;
        int error;

        etcd_stream_init(&stream, 5);
        error = etcd_stream_feed(&stream, texts[i], strlen(texts[i]), &diag);
        if (!error) {
            /* Of what is cut off in the middle. */
            error = etcd_stream_feed(&stream, "]", 1, &diag);
        }
        if (error != EPROTO) {
            fail_msg("taken: %s", texts[i]);
        }
        assert_int_equal(diag.code, DIAG_STORE);
        etcd_stream_uninit(&stream);
    }
}

static void
test_a_message_is_bounded(void **state OVS_UNUSED)
{
    static char piece[1 << 20];
    struct diagnosis diag;
    struct etcd_stream stream;
    int n = 0;

    memset(piece, 'a', sizeof piece);
    etcd_stream_init(&stream, 5);
    feed(&stream, "{\"", 2);
    while (!etcd_stream_feed(&stream, piece, sizeof piece, &diag)) {
        n++;
        assert_true(n <= ETCD_STREAM_MAX_MESSAGE >> 20);
    }
    assert_int_equal(n, (ETCD_STREAM_MAX_MESSAGE >> 20) - 1);
    etcd_stream_uninit(&stream);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_may_be_cut_at_every_byte),
        cmocka_unit_test(test_nothing_is_missed_when_connections_break),
        cmocka_unit_test(test_progress_moves_on),
        cmocka_unit_test(test_ends_are_noticed),
        cmocka_unit_test(test_wrong_messages_are_refused),
        cmocka_unit_test(test_a_message_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
