/* Figures as text: against the words of the exposition format, and a histogram
 * against counting again for each bucket. */

#include <config.h>

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/metrics.h"
#include "util.h"

static void
test_families(void **state OVS_UNUSED)
{
    struct metrics m = METRICS_INITIALIZER;

    metrics_family(&m, METRICS_COUNTER, "grapnel_x_drops_total", "Lost.");
    metrics_put(&m, 9007199254740991.0, "reason", "ttl");
    metrics_put(&m, 0, "reason", "other", "vni", "5001");
    metrics_single(&m, METRICS_GAUGE, "grapnel_x_age_seconds", "Age.", 0.25);
    assert_string_equal(
        ds_cstr(&m.text),
        "# HELP grapnel_x_drops_total Lost.\n"
        "# TYPE grapnel_x_drops_total counter\n"
        "grapnel_x_drops_total{reason=\"ttl\"} 9007199254740991\n"
        "grapnel_x_drops_total{reason=\"other\",vni=\"5001\"} 0\n"
        "# HELP grapnel_x_age_seconds Age.\n"
        "# TYPE grapnel_x_age_seconds gauge\n"
        "grapnel_x_age_seconds 0.25\n");
    metrics_destroy(&m);
}

/* Backslash, quotation mark and line feed have escapes; the text is UTF-8. */
static void
test_label_values(void **state OVS_UNUSED)
{
    static const struct {
        const char *value, *expected;
    } cases[] = {
        { "", "" },
        { "a\"b\\c\nd", "a\\\"b\\\\c\\nd" },
        { "\\n", "\\\\n" },
        { "} 7\n# x", "} 7\\n# x" },
        { "\r\t\x01 \x7f", "??? \x7f" },
        { "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f" },
        { "gr\xfc\xc3\x9f", "gr???" },
        { "\xed\xa0\x80", "???" }, /* A surrogate. */
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct metrics m = METRICS_INITIALIZER;
        char *expected;

        metrics_family(&m, METRICS_GAUGE, "grapnel_x", "X.");
        ds_clear(&m.text);
        metrics_put(&m, 1, "l", cases[i].value);
        expected = xasprintf("grapnel_x{l=\"%s\"} 1\n", cases[i].expected);
        assert_string_equal(ds_cstr(&m.text), expected);
        free(expected);
        metrics_destroy(&m);
    }
}

/* The number that follows 'prefix' in 'text'. */
static double
find(const char *text, const char *prefix)
{
    const char *at = strstr(text, prefix);

    if (!at) {
        fail_msg("no %s in %s", prefix, text);
    }
    return strtod(at + strlen(prefix), NULL);
}

static void
test_times(void **state OVS_UNUSED)
{
    static const char *const bounds[] = { "0.001", "0.0025", "0.005", "0.01",
        "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "+Inf" };
    enum { N = 2000 };
    struct metrics_times times = { .sum = 0 };
    struct metrics m = METRICS_INITIALIZER;
    double values[N], sum = 0;

    for (int i = 0; i < N; i++) {
        /* Many are just on a bound, which belongs to it. */
        values[i] = (i % 3 ? drand48() * drand48() * drand48() * 8
                     : atof(bounds[i % 12]));
        sum += values[i];
        metrics_times_add(&times, values[i]);
    }
    metrics_put_times(&m, "grapnel_x_seconds", "X.", &times);
    for (size_t i = 0; i < ARRAY_SIZE(bounds); i++) {
        char *prefix = xasprintf("\ngrapnel_x_seconds_bucket{le=\"%s\"} ",
                                 bounds[i]);
        int n = 0;

        for (int j = 0; j < N; j++) {
            n += bounds[i][0] == '+' || values[j] <= atof(bounds[i]);
        }
        assert_int_equal((int) find(ds_cstr(&m.text), prefix), n);
        free(prefix);
    }
    assert_float_equal(find(ds_cstr(&m.text), "\ngrapnel_x_seconds_sum "), sum,
                       1e-4);
    assert_int_equal((int) find(ds_cstr(&m.text),
                                "\ngrapnel_x_seconds_count "), N);
    metrics_destroy(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),
        cmocka_unit_test(test_label_values),
        cmocka_unit_test(test_times),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
