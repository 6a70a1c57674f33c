/* What hosts say of their ports, written and read again; and what must be
 * refused. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/claims.h"
#include "openvswitch/json.h"
#include "random.h"
#include "tests/unit/json-damage.h"
#include "util.h"

static struct claim here[] = {
    { "vm-1", { { 2, 0, 0, 0, 0, 1 } }, 0 },
    { "ns_pod/eth0@1:2", { { 0 } }, CLAIMS_LONG_AGO },
};
static record_iface gone[] = { "vm-3" };

static struct json *
make(bool all)
{
    const struct claims claims = {
        .host = "h1", .all = all, .here = here, .n_here = ARRAY_SIZE(here),
        .gone = gone, .n_gone = ARRAY_SIZE(gone),
    };

    return claims_to_json(&claims);
}

static void
claims_come_back(void **state OVS_UNUSED)
{
    struct json *json = make(false);
    char *text = json_to_string(json, JSSF_SORT);
    struct diagnosis diag;
    struct claims read;

    assert_string_equal(text, "{\"all\":false,\"gone\":[\"vm-3\"],"
                        "\"here\":[[\"vm-1\",\"02:00:00:00:00:01\",0],"
                        "[\"ns_pod/eth0@1:2\",\"\",2147483647]],"
                        "\"host\":\"h1\"}");
    assert_int_equal(claims_from_json(json, &read, &diag), 0);
    assert_string_equal(read.host, "h1");
    assert_false(read.all);
    assert_int_equal(read.n_here, 2);
    assert_int_equal(read.n_gone, 1);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(read.here[i].iface, here[i].iface);
        assert_memory_equal(&read.here[i].mac, &here[i].mac, 6);
        assert_int_equal(read.here[i].age_ms, here[i].age_ms);
    }
    assert_string_equal(read.gone[0], "vm-3");
    claims_uninit(&read);
    claims_uninit(&read);
    free(text);
    json_destroy(json);
    json = make(true);
    assert_int_equal(claims_from_json(json, &read, &diag), 0);
    assert_true(read.all);
    claims_uninit(&read);
    json_destroy(json);
}

#define OTHERS ",\"all\":true,\"gone\":[]}"

static void
bad_claims_are_refused(void **state OVS_UNUSED)
{
    static const char *const bad[] = {
        "[]", "{}", "{\"host\":\"h1\",\"here\":[],\"gone\":[]}",
        "{\"host\":\"h1\",\"here\":[],\"more\":1" OTHERS,
        "{\"host\":\"\",\"here\":[]" OTHERS,
        "{\"host\":\"-h\",\"here\":[]" OTHERS,
        "{\"host\":1,\"here\":[]" OTHERS,
        "{\"host\":\"h1\",\"here\":{}" OTHERS,
        "{\"host\":\"h1\",\"here\":[1]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"a\",\"\"]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"a\",\"\",0,0]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"\",\"\",0]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"a b\",\"\",0]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"a\",\"02:00\",0]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"a\",\"00:00:00:00:00:00\",0]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"a\",\"01:00:00:00:00:01\",0]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"a\",null,0]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"a\",\"\",-1]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"a\",\"\",2147483648]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[[\"a\",\"\",0.5]]" OTHERS,
        "{\"host\":\"h1\",\"here\":[],\"all\":1,\"gone\":[]}",
        "{\"host\":\"h1\",\"here\":[],\"all\":true,\"gone\":[\"\"]}",
        "{\"host\":\"h1\",\"here\":[],\"all\":true,\"gone\":[7]}",
    };
    struct claims claims = { .n_here = 77 };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct json *json = json_from_string(bad[i]);
        struct diagnosis diag = { .message = "" };

        if (!claims_from_json(json, &claims, &diag)) {
            fail_msg("%s was taken", bad[i]);
        }
        assert_true(diag.message[0]);
        assert_int_equal(claims.n_here, 77);
        json_destroy(json);
    }
}

static void
there_are_not_too_many(void **state OVS_UNUSED)
{
    struct claim *many = xcalloc(CLAIMS_MAX, sizeof *many);
    struct claims claims = { .host = "h1", .here = many,
                             .n_here = CLAIMS_MAX };
    struct json *json;
    struct diagnosis diag;

    for (size_t i = 0; i < CLAIMS_MAX; i++) {
        snprintf(many[i].iface, sizeof many[i].iface, "p%"PRIuSIZE, i);
    }
    json = claims_to_json(&claims);
    assert_int_equal(claims_from_json(json, &claims, &diag), 0);
    assert_int_equal(claims.n_here, CLAIMS_MAX);
    claims_uninit(&claims);
    json_array_add(shash_find_data(json_object(json), "here"),
                   json_array_create_3(json_string_create("x"),
                                       json_string_create(""),
                                       json_integer_create(0)));
    assert_int_not_equal(claims_from_json(json, &claims, &diag), 0);
    assert_string_equal(diag.message, "here: 4097 are more than 4096");
    json_destroy(json);
    free(many);
}

static uint32_t
random_below(uint32_t n)
{
    return random_range(n);
}

/* Whatever is wrong: it is taken, and then valid, or refused. */
static void
damaged_claims_do_no_harm(void **state OVS_UNUSED)
{
    static const char *const strings[] = { "", "vm-1",
                                           "02:00:00:00:00:01" };
    static const char *const names[] = { "all", "host", "here", "gone" };
    static const struct json_damage damage = {
        .random = random_below, .strings = strings,
        .n_strings = ARRAY_SIZE(strings), .names = names,
        .n_names = ARRAY_SIZE(names),
    };
    int n_taken = 0, n_refused = 0;

    random_set_seed(7);
    for (int i = 0; i < 20000; i++) {
        struct json *json = make(i % 2);
        struct claims claims;
        struct diagnosis diag;

        for (int j = 0; j <= i % 3; j++) {
            json_damage(&damage, json);
        }
        if (!claims_from_json(json, &claims, &diag)) {
            assert_true(record_is_name(claims.host));
            for (size_t j = 0; j < claims.n_here; j++) {
                assert_true(record_is_iface(claims.here[j].iface));
                assert_true(claims.here[j].age_ms <= CLAIMS_LONG_AGO);
            }
            claims_uninit(&claims);
            n_taken++;
        } else {
            n_refused++;
        }
        json_destroy(json);
    }
    assert_true(n_taken > 100 && n_refused > 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(claims_come_back),
        cmocka_unit_test(bad_claims_are_refused),
        cmocka_unit_test(there_are_not_too_many),
        cmocka_unit_test(damaged_claims_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
