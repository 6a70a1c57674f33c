/* What is sent to etcd and what it answers: texts as etcd 3.4 writes them, and
 * everything that can be wrong with them. */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/etcd/etcd-answer.h"
#include "mapping/etcd/etcd-members.h"
#include "mapping/etcd/etcd-request.h"
#include "openvswitch/json.h"
#include "util.h"

#define HEADER "\"header\":{\"cluster_id\":\"14841639068965178418\"," \
               "\"member_id\":\"10276657743932975437\"," \
               "\"revision\":\"7\",\"raft_term\":\"2\"}"
#define PAIR "{\"key\":\"YQ==\",\"create_revision\":\"3\"," \
             "\"mod_revision\":\"5\",\"version\":\"2\"," \
             "\"value\":\"AP8K\",\"lease\":\"-1\"}"

static struct json *
parse(const char *text)
{
    struct diagnosis diag;
    struct json *json;

    if (etcd_answer_parse(text, strlen(text), &json, &diag)) {
        fail_msg("%s: %s", text, diag.message);
    }
    return json;
}

static void
assert_bytes(struct etcd_bytes got, const void *data, size_t size)
{
    assert_int_equal(got.size, size);
    assert_memory_equal(got.data, data, size);
}

static void
test_a_range_is_read(void **state OVS_UNUSED)
{
    struct json *json = parse("{" HEADER ",\"kvs\":[" PAIR "],\"more\":true,"
                              "\"count\":\"9\"}");
    struct json *none = parse("{" HEADER "}");
    struct etcd_kvs kvs = { .n = 0 };
    struct diagnosis diag;
    int64_t revision = 0;
    bool more = false;

    for (int i = 0; i < 2; i++) {
        assert_int_equal(etcd_answer_range(json, &kvs, &more, &revision,
                                           &diag), 0);
        assert_true(more);
        assert_int_equal(revision, 7);
    }
    assert_int_equal(etcd_answer_range(none, &kvs, &more, &revision, &diag),
                     0);
    assert_false(more);
    assert_int_equal(kvs.n, 2);
    for (int i = 0; i < 2; i++) {
        assert_bytes(kvs.kvs[i].key, "a", 1);
        assert_bytes(kvs.kvs[i].value, "\0\xff\n", 3);
        assert_int_equal(kvs.kvs[i].create_revision, 3);
        assert_int_equal(kvs.kvs[i].mod_revision, 5);
        assert_int_equal(kvs.kvs[i].lease, -1);
        etcd_answer_kv_uninit(&kvs.kvs[i]);
    }
    free(kvs.kvs);
    json_destroy(json);
    json_destroy(none);
}

/* A wrong answer, and the member that the diagnosis must name. */
struct wrong {
    const char *text, *field;
};

static void
check_wrong(const struct wrong *wrong, size_t n,
            int (*read)(const struct json *, struct diagnosis *))
{
    for (size_t i = 0; i < n; i++) {
        struct json *json = parse(wrong[i].text);
        struct diagnosis diag = { .code = DIAG_NONE };

        if (read(json, &diag) != EPROTO) {
            fail_msg("taken: %s", wrong[i].text);
        }
        assert_string_equal(diag.field, wrong[i].field);
        assert_string_not_equal(diag.message, "");
        json_destroy(json);
    }
}

static int
read_range(const struct json *json, struct diagnosis *diag)
{
    struct etcd_kvs kvs = { .n = 0 };
    int64_t revision = 42;
    bool more = true;
    int error = etcd_answer_range(json, &kvs, &more, &revision, diag);

    assert_true(!kvs.kvs && revision == 42 && more);
    return error;
}

static void
test_wrong_ranges_are_refused(void **state OVS_UNUSED)
{
    static const struct wrong wrong[] = {
        { "{}", "revision" },
        { "{\"header\":[]}", "header" },
        { "{\"header\":{\"revision\":\"0\"}}", "revision" },
        { "{\"header\":{\"revision\":\"-1\"}}", "revision" },
        { "{\"header\":{\"revision\":\"\"}}", "revision" },
        { "{\"header\":{\"revision\":\" 1\"}}", "revision" },
        { "{\"header\":{\"revision\":\"1x\"}}", "revision" },
        { "{\"header\":{\"revision\":\"0x10\"}}", "revision" },
        { "{\"header\":{\"revision\":\"9223372036854775808\"}}", "revision" },
        { "{\"header\":{\"revision\":1.5}}", "revision" },
        { "{" HEADER ",\"kvs\":{}}", "kvs" },
        { "{" HEADER ",\"kvs\":[1]}", "kvs" },
        { "{" HEADER ",\"kvs\":[" PAIR ",{}]}", "mod_revision" },
        { "{" HEADER ",\"kvs\":[" PAIR ",{\"mod_revision\":\"1\"}]}", "key" },
        { "{" HEADER ",\"kvs\":[{\"mod_revision\":\"1\",\"key\":\"YQ\"}]}",
          "key" },
        { "{" HEADER ",\"kvs\":[{\"mod_revision\":\"1\",\"key\":7}]}",
          "key" },
        { "{" HEADER ",\"kvs\":[{\"mod_revision\":\"1\",\"key\":\"YQ==\","
          "\"value\":\"*\"}]}", "value" },
        { "{" HEADER ",\"kvs\":[{\"mod_revision\":\"1\",\"key\":\"YQ==\","
          "\"lease\":{}}]}", "lease" },
        { "{" HEADER ",\"kvs\":[" PAIR "],\"more\":1}", "more" },
        { "{" HEADER ",\"more\":true}", "more" },
    };

    check_wrong(wrong, ARRAY_SIZE(wrong), read_range);
}

static int
read_txn(const struct json *json, struct diagnosis *diag)
{
    int64_t revision;
    bool succeeded;

    return etcd_answer_txn(json, &succeeded, &revision, diag);
}

static int
read_grant(const struct json *json, struct diagnosis *diag)
{
    int64_t id = 42;
    int ttl_s = 42;
    int error = etcd_answer_grant(json, &id, &ttl_s, diag);

    assert_true(id == 42 && ttl_s == 42);
    return error;
}

static int
read_keepalive(const struct json *json, struct diagnosis *diag)
{
    int ttl_s = 42;
    int error = etcd_answer_keepalive(json, &ttl_s, diag);

    assert_int_equal(ttl_s, 42);
    return error;
}

static int
read_token(const struct json *json, struct diagnosis *diag)
{
    char *token = NULL;
    int error = etcd_answer_token(json, &token, diag);

    assert_null(token);
    return error;
}

static int
read_watch(const struct json *json, struct diagnosis *diag)
{
    struct etcd_answer_watch watch;

    return etcd_answer_watch(json, &watch, diag);
}

static void
test_other_wrong_answers_are_refused(void **state OVS_UNUSED)
{
    static const struct wrong txn[] = {
        { "{\"succeeded\":true}", "revision" },
        { "{" HEADER ",\"succeeded\":\"true\"}", "succeeded" },
    };
    static const struct wrong grant[] = {
        { "{\"TTL\":\"5\"}", "ID" },
        { "{\"ID\":\"7\"}", "TTL" },
        { "{\"ID\":\"7\",\"TTL\":\"-5\"}", "TTL" },
        { "{\"ID\":\"7\",\"TTL\":\"2147484\"}", "TTL" },
    };
    static const struct wrong keepalive[] = {
        { "{}", "result" },
        { "{\"result\":7}", "result" },
        { "{\"result\":{\"TTL\":\"soon\"}}", "TTL" },
    };
    static const struct wrong token[] = {
        { "{}", "token" },
        { "{\"token\":{}}", "token" },
        { "{\"token\":\"a\\r\\nHost: b\"}", "token" },
        { "{\"token\":\"a b\"}", "token" },
    };
#define EVENTS(E) "{\"result\":{" HEADER ",\"events\":" E "}}"
    static const struct wrong watch[] = {
        { "{}", "result" },
        { EVENTS("{}"), "events" },
        { EVENTS("[7]"), "events" },
        { EVENTS("[{}]"), "kv" },
        { EVENTS("[{\"type\":\"MOVE\",\"kv\":" PAIR "}]"), "type" },
        { EVENTS("[{\"type\":1,\"kv\":" PAIR "}]"), "type" },
        { EVENTS("[{\"kv\":" PAIR "},{\"kv\":{\"mod_revision\":\"4\","
                 "\"key\":\"YQ==\"}}]"), "mod_revision" },
        { "{\"result\":{" HEADER ",\"created\":1}}", "created" },
        { "{\"result\":{" HEADER ",\"compact_revision\":\"-1\"}}",
          "compact_revision" },
        { "{\"result\":{" HEADER ",\"cancel_reason\":[]}}", "cancel_reason" },
    };

    check_wrong(txn, ARRAY_SIZE(txn), read_txn);
    check_wrong(grant, ARRAY_SIZE(grant), read_grant);
    check_wrong(keepalive, ARRAY_SIZE(keepalive), read_keepalive);
    check_wrong(token, ARRAY_SIZE(token), read_token);
    check_wrong(watch, ARRAY_SIZE(watch), read_watch);
}

static void
test_what_is_no_object_is_refused(void **state OVS_UNUSED)
{
    static const char *const texts[] = {
        "", "[]", "7", "\"x\"", "{", "{}{}", "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\xff\xfe", "<html>",
    };

    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        struct diagnosis diag = { .code = DIAG_NONE };
        struct json *json = NULL;

        assert_int_equal(etcd_answer_parse(texts[i], strlen(texts[i]), &json,
                                           &diag), EPROTO);
        assert_null(json);
        assert_int_equal(diag.code, DIAG_STORE);
    }
}

static void
test_leases_and_tokens_are_read(void **state OVS_UNUSED)
{
    struct json *grant = parse("{" HEADER ",\"ID\":\"-5\",\"TTL\":\"2\"}");
    struct json *alive = parse("{\"result\":{" HEADER ",\"ID\":\"7\","
                               "\"TTL\":\"3\"}}");
    struct json *gone = parse("{\"result\":{" HEADER ",\"ID\":\"7\"}}");
    struct json *login = parse("{" HEADER ",\"token\":\"abc.7\"}");
    struct diagnosis diag;
    char *token;
    int64_t id;
    int ttl_s;

    assert_int_equal(etcd_answer_grant(grant, &id, &ttl_s, &diag), 0);
    assert_int_equal(id, -5);
    assert_int_equal(ttl_s, 2);
    assert_int_equal(etcd_answer_keepalive(alive, &ttl_s, &diag), 0);
    assert_int_equal(ttl_s, 3);
    assert_int_equal(etcd_answer_keepalive(gone, &ttl_s, &diag), 0);
    assert_int_equal(ttl_s, 0);
    assert_int_equal(etcd_answer_token(login, &token, &diag), 0);
    assert_string_equal(token, "abc.7");
    free(token);
    json_destroy(grant);
    json_destroy(alive);
    json_destroy(gone);
    json_destroy(login);
}

static void
test_refusals_are_told_from_answers(void **state OVS_UNUSED)
{
    static const struct {
        const char *text;
        int code;               /* -1: no refusal. */
        const char *message;
    } cases[] = {
        { "{\"error\":\"e\",\"message\":\"m\",\"code\":14}", 14, "m" },
        { "{\"error\":\"e\",\"code\":14}", 14, "e" },
        { "{\"error\":{\"grpc_code\":14,\"http_code\":503,"
          "\"message\":\"m\",\"http_status\":\"Service Unavailable\"}}", 14,
          "m" },
        { "{\"error\":{\"code\":9,\"message\":\"m\"}}", 9, "m" },
        { "{\"code\":9,\"message\":\"m\",\"details\":[]}", 9, "m" },
        { "{\"error\":{}}", 0, "an unknown error" },
        { "{\"error\":7}", 0, "an unknown error" },
        { "{\"error\":\"e\",\"code\":\"x\"}", 0, "e" },
        { "{" HEADER "}", -1, "" },
        { "{}", -1, "" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *json = parse(cases[i].text);
        char text[32] = "";
        int code = -1;

        assert_int_equal(etcd_answer_refusal(json, &code, text, sizeof text),
                         cases[i].code != -1);
        assert_int_equal(code, cases[i].code);
        assert_string_equal(text, cases[i].message);
        json_destroy(json);
    }
}

static void
check_request(char *got, const char *expected)
{
    assert_string_equal(got, expected);
    free(got);
}

static struct etcd_bytes
text_bytes(const char *text)
{
    return (struct etcd_bytes) { text, strlen(text) };
}

static void
test_requests_are_as_etcd_wants_them(void **state OVS_UNUSED)
{
    const struct etcd_compare compares[] = {
        { text_bytes("a"), ETCD_MOD_REVISION, 5 },
        { text_bytes("b"), ETCD_CREATE_REVISION, 0 },
        { text_bytes("c"), ETCD_LEASE, -9 },
    };
    const struct etcd_op ops[] = {
        { ETCD_PUT, text_bytes("a"), { "\0\xff\n", 3 }, 8 },
        { ETCD_DELETE, text_bytes("b"), { NULL, 0 }, 0 },
        { ETCD_DELETE_PREFIX, text_bytes("b/"), { NULL, 0 }, 0 },
    };

    check_request(etcd_request_txn(compares, 3, ops, 3),
                  "{\"compare\":[{\"key\":\"YQ==\",\"target\":\"MOD\","
                  "\"result\":\"EQUAL\",\"mod_revision\":\"5\"},"
                  "{\"key\":\"Yg==\",\"target\":\"CREATE\","
                  "\"result\":\"EQUAL\",\"create_revision\":\"0\"},"
                  "{\"key\":\"Yw==\",\"target\":\"LEASE\","
                  "\"result\":\"EQUAL\",\"lease\":\"-9\"}],"
                  "\"success\":[{\"request_put\":{\"key\":\"YQ==\","
                  "\"value\":\"AP8K\",\"lease\":\"8\"}},"
                  "{\"request_delete_range\":{\"key\":\"Yg==\"}},"
                  "{\"request_delete_range\":{\"key\":\"Yi8=\","
                  "\"range_end\":\"YjA=\"}}]}");
    check_request(etcd_request_range((struct etcd_bytes) { NULL, 0 },
                                     (struct etcd_bytes) { "\0", 1 }, 3, 9),
                  "{\"key\":\"AA==\",\"range_end\":\"AA==\",\"limit\":\"3\","
                  "\"revision\":\"9\"}");
    check_request(etcd_request_watch(text_bytes("a"), 4),
                  "{\"create_request\":{\"key\":\"YQ==\","
                  "\"range_end\":\"Yg==\",\"start_revision\":\"4\","
                  "\"progress_notify\":true,\"fragment\":true}}");
    check_request(etcd_request_authenticate("a\"", "\\\n"),
                  "{\"name\":\"a\\\"\",\"password\":\"\\\\\\n\"}");
}

static void
check_end(const char *prefix, size_t size, const char *end, size_t end_size)
{
    struct etcd_bytes got = etcd_request_end((struct etcd_bytes) { prefix,
                                                                   size });

    assert_bytes(got, end, end_size);
    free(CONST_CAST(void *, got.data));
}

static void
test_a_prefix_ends_before_the_next(void **state OVS_UNUSED)
{
    check_end("/a/", 3, "/a0", 3);
    check_end("a\xff\xff", 3, "b", 1);
    check_end("\xff\xff", 2, "\0", 1);
    check_end("", 0, "\0", 1);
    check_end("\0", 1, "\1", 1);
}

static void
test_urls_are_read(void **state OVS_UNUSED)
{
    struct etcd_members members;
    struct diagnosis diag;

    assert_int_equal(etcd_members_init(&members, "http://10.0.0.1,"
                                       "https://[fd00::1]:23/,http://host:80",
                                       &diag), 0);
    assert_int_equal(members.n, 3);
    assert_string_equal(members.urls[0], "http://10.0.0.1:2379");
    assert_string_equal(members.urls[1], "https://[fd00::1]:23");
    assert_string_equal(members.urls[2], "http://host:80");
    assert_true(etcd_members_use_tls(&members));
    etcd_members_failed(&members, 0, "why");
    etcd_members_failed(&members, 0, "it was not asked any more");
    assert_int_equal(members.current, 1);
    etcd_members_failed(&members, 1, "why");
    etcd_members_failed(&members, 2, "why");
    assert_int_equal(members.current, 0);
    etcd_members_answered(&members, 2);
    assert_int_equal(members.current, 2);
    etcd_members_uninit(&members);
}

static void
test_wrong_urls_are_refused(void **state OVS_UNUSED)
{
    static const char *const urls[] = {
        "", "10.0.0.1:2379", "ftp://a", "http://", "http://a,,http://b",
        "http://a,", "http://a b", "http://u:p@a", "http://u@a",
        "http://a/v3", "http://a?x", "http://a#x", "http://a:0x",
        "http://a:99999", "http://a http://b",
        "http://1,http://2,http://3,http://4,http://5,http://6,http://7,"
        "http://8,http://9,http://10,http://11,http://12,http://13,http://14,"
        "http://15,http://16,http://17",
    };

    for (size_t i = 0; i < ARRAY_SIZE(urls); i++) {
        const struct etcd_options options = { .urls = urls[i] };
        struct etcd_members members;
        struct diagnosis diag = { .code = DIAG_NONE };

        if (etcd_members_init(&members, options.urls, &diag) != EINVAL) {
            fail_msg("taken: %s", urls[i]);
        }
        assert_string_equal(diag.field, "urls");
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_range_is_read),
        cmocka_unit_test(test_wrong_ranges_are_refused),
        cmocka_unit_test(test_other_wrong_answers_are_refused),
        cmocka_unit_test(test_what_is_no_object_is_refused),
        cmocka_unit_test(test_leases_and_tokens_are_read),
        cmocka_unit_test(test_refusals_are_told_from_answers),
        cmocka_unit_test(test_requests_are_as_etcd_wants_them),
        cmocka_unit_test(test_a_prefix_ends_before_the_next),
        cmocka_unit_test(test_urls_are_read),
        cmocka_unit_test(test_wrong_urls_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
