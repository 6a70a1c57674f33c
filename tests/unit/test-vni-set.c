/* Sets of VNIs against an array with one byte for each. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "encap/tunnel.h"
#include "mapping/vni-set.h"
#include "random.h"
#include "util.h"

/* The twin has the first VNIs and the last ones: what lies between is one. */
enum { HALF = 40, SPAN = 2 * HALF + 1 };

static uint32_t
vni_of(int i)
{
    return i < HALF ? 1 + i : VNI_MAX - (SPAN - 1 - i);
}

/* A random range; both ends are members of the twin. */
static void
random_range_of(int *first, int *last)
{
    *first = random_range(SPAN);
    *last = *first + random_range(MIN(8, SPAN - *first));
}

static void
fill_randomly(struct vni_set *set, bool twin[SPAN])
{
    int n = random_range(12);

    *set = (struct vni_set) VNI_SET_EMPTY;
    memset(twin, 0, SPAN);
    for (int i = 0; i < n; i++) {
        int first, last;

        random_range_of(&first, &last);
        vni_set_add(set, vni_of(first), vni_of(last));
        memset(&twin[first], true, last - first + 1);
    }
    vni_set_normalize(set);
}

static void
check(const struct vni_set *set, const bool twin[SPAN])
{
    for (size_t i = 0; i < set->n; i++) {
        assert_true(set->ranges[i].first <= set->ranges[i].last);
        if (i) {
            assert_true(set->ranges[i].first > set->ranges[i - 1].last + 1);
        }
    }
    for (int i = 0; i < SPAN; i++) {
        if (vni_set_has(set, vni_of(i)) != twin[i]) {
            fail_msg("VNI %u", vni_of(i));
        }
    }
}

static void
sets_do_as_arrays_do(void **state OVS_UNUSED)
{
    for (int i = 0; i < 20000; i++) {
        struct vni_set a, b, c = VNI_SET_EMPTY, d = VNI_SET_EMPTY;
        bool x[SPAN], y[SPAN], both[SPAN], left[SPAN];
        char *text;

        fill_randomly(&a, x);
        fill_randomly(&b, y);
        for (int j = 0; j < SPAN; j++) {
            both[j] = x[j] && y[j];
            left[j] = x[j] && !y[j];
        }
        check(&a, x);
        vni_set_intersect(&c, &a, &b);
        check(&c, both);
        vni_set_subtract(&d, &a, &b);
        check(&d, left);
        assert_int_equal(vni_set_equal(&a, &b), !memcmp(x, y, sizeof x));

        text = vni_set_to_text(&a);
        assert_true(vni_set_from_text(text, &c));
        assert_true(vni_set_equal(&a, &c));
        free(text);
        vni_set_destroy(&a);
        vni_set_destroy(&b);
        vni_set_destroy(&c);
        vni_set_destroy(&d);
    }
}

static void
all_is_one_range(void **state OVS_UNUSED)
{
    struct vni_set set = VNI_SET_EMPTY, none = VNI_SET_EMPTY;
    struct vni_set rest = VNI_SET_EMPTY;

    vni_set_fill(&set);
    assert_true(vni_set_is_full(&set));
    assert_true(vni_set_has(&set, 1) && vni_set_has(&set, VNI_MAX));
    assert_false(vni_set_has(&set, 0) || vni_set_has(&set, VNI_MAX + 1));
    vni_set_subtract(&rest, &set, &set);
    assert_true(vni_set_equal(&rest, &none));
    vni_set_subtract(&rest, &set, &none);
    assert_true(vni_set_is_full(&rest));
    assert_false(vni_set_is_full(&none));
    assert_false(vni_set_has(&none, 1));
    vni_set_destroy(&set);
    vni_set_destroy(&rest);
}

static void
text_is_read_in_any_order(void **state OVS_UNUSED)
{
    static const char *const cases[][2] = {
        { "", "" }, { "7", "7" }, { "1-16777215", "1-16777215" },
        { "5,1-3,4", "1-5" }, { "9,9,9", "9" }, { "1-9,3-4", "1-9" },
        { "200-299,100", "100,200-299" }, { "007", "7" },
    };
    static const char *const bad[] = {
        "0", "16777216", "x", "1,", ",1", "1,,2", "1-", "-1", "3-2", "1-2-3",
        "1 2", " 1", "1;2", "1,x", "000000001", "99999999999", "1.5",
    };
    struct vni_set set = VNI_SET_EMPTY;

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *text;

        assert_true(vni_set_from_text(cases[i][0], &set));
        text = vni_set_to_text(&set);
        assert_string_equal(text, cases[i][1]);
        free(text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        if (vni_set_from_text(bad[i], &set)) {
            fail_msg("\"%s\"", bad[i]);
        }
    }
    assert_true(vni_set_has(&set, 7) && set.n == 1);
    vni_set_destroy(&set);
}

static void
an_excerpt_says_that_there_is_more(void **state OVS_UNUSED)
{
    struct vni_set set = VNI_SET_EMPTY;
    char *text;

    assert_true(vni_set_from_text("1,3-4,6", &set));
    text = vni_set_to_excerpt(&set, 2);
    assert_string_equal(text, "1,3-4,...");
    free(text);
    text = vni_set_to_excerpt(&set, 3);
    assert_string_equal(text, "1,3-4,6");
    free(text);
    vni_set_destroy(&set);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_do_as_arrays_do),
        cmocka_unit_test(all_is_one_range),
        cmocka_unit_test(text_is_read_in_any_order),
        cmocka_unit_test(an_excerpt_says_that_there_is_more),
    };

    random_set_seed(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
