#include <config.h>
#include "tests/unit/replica-model.h"

#include <inttypes.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

static int
compare_lines(const void *a_, const void *b_)
{
    return strcmp(*(char *const *) a_, *(char *const *) b_);
}

static void
print_record(struct ds *s, enum record_kind kind, const void *contents,
             size_t size)
{
    struct record record = { .kind = kind };
    struct json *json;

    memcpy(&record.host, contents, size);
    json = record_to_json(&record);
    json_to_ds(json, JSSF_SORT, s);
    json_destroy(json);
}

static char *
print_group(const struct replica_group *g, bool bookkeeping)
{
    struct ds s = DS_EMPTY_INITIALIZER;

    print_record(&s, RECORD_GROUP, &g->record, sizeof g->record);
    ds_put_format(&s, " id %"PRIu32" epoch %"PRIu32, g->id, g->epoch);
    if (bookkeeping) {
        ds_put_format(&s, " changed %"PRIu64, g->changed);
    }
    for (size_t i = 0; i < g->n_endpoints; i++) {
        ds_put_format(&s, "\n %d ", g->endpoints[i].index);
        print_record(&s, RECORD_ENDPOINT, &g->endpoints[i].record,
                     sizeof g->endpoints[i].record);
    }
    ds_put_char(&s, '\n');
    for (size_t i = 0; i < g->record.n_slots; i++) {
        ds_put_char(&s, '!' + (g->slots[i] >> 12));
        ds_put_char(&s, '!' + (g->slots[i] >> 6 & 63));
        ds_put_char(&s, '!' + (g->slots[i] & 63));
    }
    for (size_t i = 0; g->previous && i < 2 * g->record.n_slots; i++) {
        ds_put_format(&s, " %d", g->previous[i]);
    }
    return ds_steal_cstr(&s);
}

char *
model_print(const struct replica *replica, bool bookkeeping)
{
    size_t n = (hmap_count(&replica->groups) + hmap_count(&replica->hosts)
                + model_count_records(replica));
    char **lines = xmalloc((n + 1) * sizeof *lines);
    struct ds s = DS_EMPTY_INITIALIZER;
    const struct replica_group *g;
    const struct replica_host *h;
    size_t i = 0;

    HMAP_FOR_EACH (g, node, &replica->groups) {
        lines[i++] = print_group(g, bookkeeping);
    }
    HMAP_FOR_EACH (h, node, &replica->hosts) {
        struct ds line = DS_EMPTY_INITIALIZER;

        print_record(&line, RECORD_HOST, &h->record, sizeof h->record);
        ds_put_cstr(&line, h->alive ? "" : " dead");
        lines[i++] = ds_steal_cstr(&line);
    }
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        const struct replica_record *r;

        REPLICA_FOR_EACH_RECORD (r, kind, 0, replica) {
            struct ds line = DS_EMPTY_INITIALIZER;

            print_record(&line, kind, &r->record.host,
                         sizeof r->record - offsetof(struct record, host));
            if (bookkeeping) {
                ds_put_format(&line, " changed %"PRIu64, r->changed);
            }
            lines[i++] = ds_steal_cstr(&line);
        }
    }
    assert_int_equal(i, n);
    qsort(lines, n, sizeof *lines, compare_lines);
    ds_put_format(&s, "revision %"PRIu64" key %"PRIx64" %"PRIx64"\n",
                  replica->revision, replica->key.word[0],
                  replica->key.word[1]);
    if (bookkeeping) {
        ds_put_format(&s, "generation %"PRIu64" uses %"PRIuSIZE"\n",
                      replica->generation, hmap_count(&replica->uses));
    }
    for (i = 0; i < n; i++) {
        ds_put_format(&s, "%s\n", lines[i]);
        free(lines[i]);
    }
    free(lines);
    return ds_steal_cstr(&s);
}
