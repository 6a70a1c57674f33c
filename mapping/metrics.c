#include <config.h>

#include "mapping/metrics.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "unicode.h"
#include "util.h"

/* Upper bounds, in seconds: from a commit to a local file to the longest that
 * one may take over the network. */
static const double bounds[METRICS_BUCKETS] = {
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5,
};

void
metrics_destroy(struct metrics *m)
{
    ds_destroy(&m->text);
}

/* Families. */

static bool
ends_in(const char *name, const char *end)
{
    size_t length = strlen(name), end_length = strlen(end);

    return length > end_length && !strcmp(name + length - end_length, end);
}

static bool
is_label(const char *name)
{
    return (islower((unsigned char) name[0])
            && name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_")]
               == '\0');
}

static void
check_family(enum metrics_type type, const char *name, const char *help)
{
    ovs_assert(!strncmp(name, "grapnel_", 8) && is_label(name));
    ovs_assert((type == METRICS_COUNTER) == ends_in(name, "_total"));
    ovs_assert(!ends_in(name, "_bucket") && !ends_in(name, "_sum")
               && !ends_in(name, "_count"));
    ovs_assert(help[0] && !strpbrk(help, "\n\\"));
}

void
metrics_family(struct metrics *m, enum metrics_type type, const char *name,
               const char *help)
{
    static const char *const types[] = {
        [METRICS_COUNTER] = "counter",
        [METRICS_GAUGE] = "gauge",
        [METRICS_HISTOGRAM] = "histogram",
    };

    check_family(type, name, help);
    m->name = name;
    ds_put_format(&m->text, "# HELP %s %s\n# TYPE %s %s\n", name, help, name,
                  types[type]);
}

/* Samples. */

/* The format has no escapes but these, and wants UTF-8. */
static void
put_label_value(struct ds *text, const char *value)
{
    size_t length;
    char *problem = utf8_validate(value, &length);

    for (const char *p = value; *p; p++) {
        unsigned char c = *p;

        if (c == '\\' || c == '"') {
            ds_put_char(text, '\\');
            ds_put_char(text, c);
        } else if (c == '\n') {
            ds_put_cstr(text, "\\n");
        } else if (c < 0x20 || (c >= 0x80 && problem)) {
            ds_put_char(text, '?');
        } else {
            ds_put_char(text, c);
        }
    }
    free(problem);
}

static void
put_value(struct ds *text, double value)
{
    if (isnan(value)) {
        ds_put_cstr(text, " NaN\n");
    } else if (isinf(value)) {
        ds_put_cstr(text, value > 0 ? " +Inf\n" : " -Inf\n");
    } else {
        ds_put_format(text, value == trunc(value) ? " %.0f\n" : " %.9g\n",
                      value);
    }
}

void
metrics_put__(struct metrics *m, double value, ...)
{
    const char *separator = "{", *label;
    va_list args;

    ovs_assert(m->name);
    ds_put_cstr(&m->text, m->name);
    va_start(args, value);
    while ((label = va_arg(args, const char *)) != NULL) {
        ovs_assert(is_label(label));
        ds_put_format(&m->text, "%s%s=\"", separator, label);
        put_label_value(&m->text, va_arg(args, const char *));
        ds_put_char(&m->text, '"');
        separator = ",";
    }
    va_end(args);
    if (separator[0] == ',') {
        ds_put_char(&m->text, '}');
    }
    put_value(&m->text, value);
}

void
metrics_single(struct metrics *m, enum metrics_type type, const char *name,
               const char *help, double value)
{
    metrics_family(m, type, name, help);
    metrics_put(m, value);
}

/* Histograms. */

void
metrics_times_add(struct metrics_times *times, double seconds)
{
    size_t i = 0;

    while (i < METRICS_BUCKETS && seconds > bounds[i]) {
        i++;
    }
    times->counts[i]++;
    times->sum += seconds;
}

void
metrics_put_times(struct metrics *m, const char *name, const char *help,
                  const struct metrics_times *times)
{
    uint64_t n = 0;

    ovs_assert(ends_in(name, "_seconds"));
    metrics_family(m, METRICS_HISTOGRAM, name, help);
    for (size_t i = 0; i < METRICS_BUCKETS; i++) {
        n += times->counts[i];
        ds_put_format(&m->text, "%s_bucket{le=\"%g\"} %"PRIu64"\n", name,
                      bounds[i], n);
    }
    n += times->counts[METRICS_BUCKETS];
    ds_put_format(&m->text, "%s_bucket{le=\"+Inf\"} %"PRIu64"\n%s_sum", name,
                  n, name);
    put_value(&m->text, times->sum);
    ds_put_format(&m->text, "%s_count %"PRIu64"\n", name, n);
}
