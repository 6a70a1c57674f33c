/* Rows between mapds: what is written is read, and nothing else is. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "mapping/mapd/link-row.h"
#include "openvswitch/json.h"
#include "tests/unit/catalog-text.h"
#include "util.h"

static void
a_row_is_read_as_it_was_written(void **state OVS_UNUSED)
{
    struct json *row = link_row_create("snbb", "h1", (uint64_t) INT64_MAX,
                                       true, false);
    struct diagnosis diag;
    union link_value v[4];

    assert_int_equal(0, link_row_read(row, "snbb", v, &diag));
    assert_string_equal("h1", v[0].s);
    assert_true(v[1].n == INT64_MAX);
    assert_true(v[2].b);
    assert_false(v[3].b);
    json_destroy(row);
}

static void
other_rows_are_refused(void **state OVS_UNUSED)
{
    static const char *const bad[] = {
        "{}", "{'a':['h',1]}", "{'a':['h',1,true,1]}", "{'a':['h',-1,true]}",
        "{'a':['h',1.5,true]}", "{'a':[7,1,true]}", "{'a':['h',1,0]}",
        "{'a':['h','1',true]}", "{'a':['h',1,null]}",
        "{'a':['0123456789012345678901234567890123456789012345678901234567890"
        "123',1,true]}",
    };
    union link_value v[3];

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct diagnosis diag = { .message = "" };
        struct json *json = catalog_text_json("%s", bad[i]);
        const struct json *row = shash_find_data(json_object(json), "a");

        assert_int_not_equal(0, link_row_read(row ? row : json, "snb", v,
                                              &diag));
        assert_int_not_equal(0, diag.message[0]);
        json_destroy(json);
    }
}

static void
lists_are_bounded_and_stand_alone(void **state OVS_UNUSED)
{
    static const char *const bad[] = {
        "{'p':{}}", "{'p':[]}", "{'p':[7]}", "{'p':[{}]}", "{'p':[{'a':7}]}",
        "{'p':[{'a':[],'b':[]}]}", "{'p':[{'a':[]},{'a':[]}]}",
        "{'p':[{'b':[]}]}",
    };
    struct json *rows = json_array_create_empty();
    struct json *params = json_array_create_1(json_object_create());
    struct diagnosis diag;

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct json *json = catalog_text_json("%s", bad[i]);

        assert_null(link_rows_get(shash_find_data(json_object(json), "p"),
                                  "a", &diag));
        json_destroy(json);
    }
    assert_null(link_rows_get(NULL, "a", &diag));
    for (int i = 0; i < LINK_ROWS_MAX; i++) {
        json_array_add(rows, json_integer_create(i));
    }
    json_object_put(json_array(params)->elems[0], "a", rows);
    assert_ptr_equal(rows, link_rows_get(params, "a", &diag));
    json_array_add(rows, json_integer_create(0));
    assert_null(link_rows_get(params, "a", &diag));
    json_destroy(params);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_read_as_it_was_written),
        cmocka_unit_test(other_rows_are_refused),
        cmocka_unit_test(lists_are_bounded_and_stand_alone),
    };

    return cmocka_run_group_tests_name("link-row", tests, NULL, NULL);
}
