#include <config.h>
#include "tests/unit/catalog-text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "openvswitch/dynamic-string.h"
#include "util.h"

static struct json *
to_json(const char *format, va_list args)
{
    char *text = xvasprintf(format, args);
    struct json *json;

    for (char *p = text; *p; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    json = json_from_string(text);
    free(text);
    return json;
}

struct json *
catalog_text_json(const char *format, ...)
{
    struct json *json;
    va_list args;

    va_start(args, format);
    json = to_json(format, args);
    va_end(args);
    return json;
}

struct record
catalog_text_record(const char *format, ...)
{
    struct diagnosis diag;
    struct record record;
    struct json *json;
    va_list args;

    va_start(args, format);
    json = to_json(format, args);
    va_end(args);
    if (record_from_json(json, &record, &diag)) {
        fprintf(stderr, "%s\n", diag.message);
        abort();
    }
    json_destroy(json);
    return record;
}

static void
put_record(struct ds *ds, const struct record *record)
{
    struct json *json = record_to_json(record);

    json_to_ds(json, JSSF_SORT, ds);
    json_destroy(json);
}

static void
put_group(struct ds *ds, const struct catalog_group *group)
{
    struct record record = { .kind = RECORD_GROUP, .group = group->record };

    put_record(ds, &record);
    ds_put_format(ds, " id %"PRIu32" epoch %"PRIu32" next %d slots",
                  group->id, group->epoch, group->next_index);
    for (size_t i = 0; i < group->record.n_slots; i++) {
        ds_put_format(ds, " %d", group->slots[i]);
    }
    for (size_t age = 0; age < GROUP_MAX_PREVIOUS; age++) {
        for (size_t i = 0; group->previous[age]
                           && i < group->record.n_slots; i++) {
            ds_put_format(ds, "%s %d", i ? "" : " before",
                          group->previous[age][i]);
        }
    }
    ds_put_char(ds, '\n');
    for (size_t i = 0; i < group->n_endpoints; i++) {
        record = (struct record) { .kind = RECORD_ENDPOINT,
                                   .endpoint = group->endpoints[i]->record };
        put_record(ds, &record);
        ds_put_format(ds, " index %d\n", group->endpoints[i]->index);
    }
}

char *
catalog_text_dump(const struct catalog *catalog)
{
    const struct catalog_group **groups;
    const struct record_host **hosts;
    struct ds ds = DS_EMPTY_INITIALIZER;
    size_t n;

    ds_put_format(&ds, "revision %"PRIu64" last id %"PRIu32" hosts %"PRIuSIZE
                  " groups %"PRIuSIZE" endpoints %"PRIuSIZE"\n",
                  catalog_revision(catalog), catalog_last_group_id(catalog),
                  catalog_count(catalog, RECORD_HOST),
                  catalog_count(catalog, RECORD_GROUP),
                  catalog_count(catalog, RECORD_ENDPOINT));
    hosts = catalog_hosts(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        struct record record = { .kind = RECORD_HOST, .host = *hosts[i] };

        put_record(&ds, &record);
        ds_put_cstr(&ds, catalog_host_is_alive(catalog, hosts[i]->name)
                         ? "\n" : " dead\n");
    }
    free(hosts);

    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        put_group(&ds, groups[i]);
    }
    free(groups);
    return ds_steal_cstr(&ds);
}
