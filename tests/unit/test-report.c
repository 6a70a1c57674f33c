/* What hosts report, written and read again; and what must be refused. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/report.h"
#include "openvswitch/json.h"
#include "random.h"
#include "tests/unit/json-damage.h"
#include "util.h"

static void
test_loads_come_back(void **state OVS_UNUSED)
{
    static const struct report_load loads[] = {
        { 1, 0, 0, 0 }, { 0xfffff, 4095, UINT32_MAX, UINT32_MAX },
        { 7, 3, 12, 850 },
    };
    struct json *json = report_loads_to_json(loads, ARRAY_SIZE(loads));
    char *text = json_to_string(json, JSSF_SORT);
    struct report_load *read;
    struct diagnosis diag;
    size_t n;

    assert_string_equal(text, "{\"loads\":[[1,0,0,0],[1048575,4095,"
                        "4294967295,4294967295],[7,3,12,850]]}");
    assert_int_equal(report_loads_from_json(json, &read, &n, &diag), 0);
    assert_int_equal(n, ARRAY_SIZE(loads));
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(read[i].group, loads[i].group);
        assert_int_equal(read[i].endpoint, loads[i].endpoint);
        assert_int_equal(read[i].flows, loads[i].flows);
        assert_int_equal(read[i].response_us, loads[i].response_us);
    }
    free(read);
    free(text);
    json_destroy(json);
}

static void
test_health_comes_back(void **state OVS_UNUSED)
{
    static const struct report_health health[] = {
        { 1, 0, true, "" }, { 0xfffff, 4095, false, "no answer" },
    };
    struct json *json = report_health_to_json(false, health,
                                              ARRAY_SIZE(health));
    char *text = json_to_string(json, JSSF_SORT);
    struct report_health *read;
    struct diagnosis diag;
    bool all = true;
    size_t n;

    assert_string_equal(text, "{\"all\":false,\"endpoints\":[[1,0,true,\"\"],"
                        "[1048575,4095,false,\"no answer\"]]}");
    assert_int_equal(report_health_from_json(json, &all, &read, &n, &diag), 0);
    assert_int_equal(n, 2);
    assert_false(all);
    assert_true(read[0].healthy);
    assert_false(read[1].healthy);
    assert_int_equal(read[1].endpoint, 4095);
    assert_string_equal(read[1].why, "no answer");
    free(read);
    free(text);
    json_destroy(json);
}

/* One character too many. */
#define WHY_64 "12345678901234567890123456789012" \
    "12345678901234567890123456789012"

static void
test_bad_reports_are_refused(void **state OVS_UNUSED)
{
    static const char *const loads[] = {
        "[]", "{}", "{\"loads\":3}", "{\"loads\":[],\"more\":1}",
        "{\"loads\":[1]}", "{\"loads\":[[1,2,3]]}",
        "{\"loads\":[[1,2,3,4,5]]}",
        "{\"loads\":[[0,2,3,4]]}", "{\"loads\":[[1048576,2,3,4]]}",
        "{\"loads\":[[1,-1,3,4]]}", "{\"loads\":[[1,4096,3,4]]}",
        "{\"loads\":[[1,2,-3,4]]}", "{\"loads\":[[1,2,3,4294967296]]}",
        "{\"loads\":[[1,2,\"3\",4]]}", "{\"loads\":[[1,2,3,4.5]]}",
    }, *const healths[] = {
        "[]", "{}", "{\"all\":true}", "{\"all\":1,\"endpoints\":[]}",
        "{\"all\":true,\"endpoints\":[[1,2,true]]}",
        "{\"all\":true,\"endpoints\":[[1,2,1,\"\"]]}",
        "{\"all\":true,\"endpoints\":[[1,2,false,null]]}",
        "{\"all\":true,\"endpoints\":[[1,2,false,\"a\\nb\"]]}",
        "{\"all\":true,\"endpoints\":[[1,2,false,\"\\u00e4\"]]}",
        "{\"all\":true,\"endpoints\":[[1,2,false,\"" WHY_64 "\"]]}",
    };
    struct report_load *load = NULL;
    struct report_health *health = NULL;
    struct diagnosis diag;
    bool all;
    size_t n;

    for (size_t i = 0; i < ARRAY_SIZE(loads); i++) {
        struct json *json = json_from_string(loads[i]);

        if (!report_loads_from_json(json, &load, &n, &diag)) {
            fail_msg("%s was taken", loads[i]);
        }
        assert_true(diag.message[0]);
        json_destroy(json);
    }
    for (size_t i = 0; i < ARRAY_SIZE(healths); i++) {
        struct json *json = json_from_string(healths[i]);

        if (!report_health_from_json(json, &all, &health, &n, &diag)) {
            fail_msg("%s was taken", healths[i]);
        }
        json_destroy(json);
    }
    assert_null(load);
    assert_null(health);
}

static void
test_no_report_is_too_long(void **state OVS_UNUSED)
{
    struct report_load *many = xcalloc(REPORT_MAX + 1, sizeof *many), *read;
    struct diagnosis diag;
    struct json *json;
    size_t n;

    for (size_t i = 0; i <= REPORT_MAX; i++) {
        many[i].group = i + 1;
    }
    json = report_loads_to_json(many, REPORT_MAX);
    assert_int_equal(report_loads_from_json(json, &read, &n, &diag), 0);
    assert_int_equal(n, REPORT_MAX);
    free(read);
    json_destroy(json);
    json = report_loads_to_json(many, REPORT_MAX + 1);
    assert_int_not_equal(report_loads_from_json(json, &read, &n, &diag), 0);
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
test_damaged_reports_do_no_harm(void **state OVS_UNUSED)
{
    static const char *const strings[] = { "", "no answer" };
    static const char *const names[] = { "all", "endpoints", "loads" };
    static const struct json_damage damage = {
        .random = random_below, .strings = strings,
        .n_strings = ARRAY_SIZE(strings), .names = names,
        .n_names = ARRAY_SIZE(names),
    };
    static const struct report_load load[] = {
        { 1, 2, 3, 4 }, { 5, 6, 7, 8 },
    };
    static const struct report_health health[] = {
        { 1, 2, true, "" }, { 5, 6, false, "no answer" },
    };
    int n_taken = 0, n_refused = 0;

    random_set_seed(7);
    for (int i = 0; i < 20000; i++) {
        bool is_load = i % 2;
        struct json *json = (is_load ? report_loads_to_json(load, 2)
                             : report_health_to_json(i % 4 == 0, health, 2));
        struct report_health *h = NULL;
        struct report_load *l = NULL;
        struct diagnosis diag;
        bool all;
        size_t n = 0;
        int error;

        for (int j = 0; j <= i % 3; j++) {
            json_damage(&damage, json);
        }
        error = (is_load ? report_loads_from_json(json, &l, &n, &diag)
                 : report_health_from_json(json, &all, &h, &n, &diag));
        for (size_t j = 0; j < n; j++) {
            uint32_t group = is_load ? l[j].group : h[j].group;
            uint16_t endpoint = is_load ? l[j].endpoint : h[j].endpoint;

            assert_true(group >= 1 && group <= 0xfffff && endpoint < 4096);
        }
        n_taken += !error;
        n_refused += error != 0;
        free(h);
        free(l);
        json_destroy(json);
    }
    assert_true(n_taken > 100 && n_refused > 1000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loads_come_back),
        cmocka_unit_test(test_health_comes_back),
        cmocka_unit_test(test_bad_reports_are_refused),
        cmocka_unit_test(test_no_report_is_too_long),
        cmocka_unit_test(test_damaged_reports_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
