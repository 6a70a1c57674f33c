/* Figures as text in Prometheus's exposition format, version 0.0.4
 * (https://prometheus.io/docs/instrumenting/exposition_formats/).
 *
 *     struct metrics m = METRICS_INITIALIZER;
 *
 *     metrics_family(&m, METRICS_COUNTER, "grapnel_x_drops_total",
 *                    "Packets dropped.");
 *     metrics_put(&m, 17, "reason", "ttl");
 *     ... ds_cstr(&m.text) ...
 *     metrics_destroy(&m);
 *
 * Names and help texts are the program's own: one against Prometheus's rules
 * is a bug, and asserted.  Label values may be anything.  Not thread-safe. */

#ifndef MAPPING_METRICS_H
#define MAPPING_METRICS_H 1

#include <stdbool.h>
#include <stdint.h>

#include "openvswitch/dynamic-string.h"

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM };

struct metrics {
    struct ds text;
    const char *name;           /* Of the family that is being written. */
};

#define METRICS_INITIALIZER { .text = DS_EMPTY_INITIALIZER }

void metrics_destroy(struct metrics *);

/* Begins the family 'name': "grapnel_", lower-case letters, digits and '_'; a
 * counter's ends in "_total", and no other's does.  'help' is a sentence.
 * Both are kept until the next family begins.  Each family begins once. */
void metrics_family(struct metrics *, enum metrics_type, const char *name,
                    const char *help);

/* Adds a sample to the family: 'value', with labels as pairs of strings. */
#define metrics_put(METRICS, ...) metrics_put__(METRICS, __VA_ARGS__, NULL)
void metrics_put__(struct metrics *, double value, ...)
    __attribute__((sentinel));

/* A family of one sample without labels. */
void metrics_single(struct metrics *, enum metrics_type, const char *name,
                    const char *help, double value);

/* How long something took. */
enum { METRICS_BUCKETS = 12 };

struct metrics_times {
    uint64_t counts[METRICS_BUCKETS + 1]; /* The last one: longer than all. */
    double sum;                 /* Seconds. */
};

void metrics_times_add(struct metrics_times *, double seconds);

/* A family of one histogram; 'name' ends in "_seconds". */
void metrics_put_times(struct metrics *, const char *name, const char *help,
                       const struct metrics_times *);

#endif /* mapping/metrics.h */
