#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-columns.h"
#include "mapping/ctl/ctl-list.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "mapping/ctl/ctl-share.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

static void
put_line(struct ctl_table *table, const char *name, const struct json *value)
{
    enum ctl_color color = CTL_PLAIN;
    struct ds ds = DS_EMPTY_INITIALIZER;
    char *label = xstrdup(name);

    for (char *p = label; *p; p++) {
        *p = *p == '_' ? ' ' : *p;
    }
    if (!strcmp(name, "state") && value && value->type == JSON_STRING) {
        color = ctl_columns_state_color(json_string(value));
    }
    ctl_record_put_value(&ds, value);
    ctl_output_row(table);
    ctl_output_cell(table, CTL_PLAIN, "%s", label);
    ctl_output_cell(table, color, "%s", ds_cstr(&ds));
    ds_destroy(&ds);
    free(label);
}

static void
put_percent(struct ctl_table *table, const char *label, double percent)
{
    ctl_output_row(table);
    ctl_output_cell(table, CTL_PLAIN, "%s", label);
    ctl_output_cell(table, CTL_PLAIN, "%.1f %%", percent);
}

/* Whatever mapd tells about the record, whether this program knows it or not;
 * but shares in percent. */
static void
put_status(struct ctl_table *table, const struct json *item)
{
    const struct json *status = ctl_record_get(item, "status");
    const struct shash_node **nodes;

    if (!status || status->type != JSON_OBJECT) {
        return;
    }
    nodes = shash_sort(json_object(status));
    for (size_t i = 0; i < shash_count(json_object(status)); i++) {
        if (!strcmp(nodes[i]->name, "share")) {
            put_percent(table, "share of slots", ctl_share_slots(item));
        } else if (!strcmp(nodes[i]->name, "weight_share")) {
            put_percent(table, "share of weights", ctl_share_weight(item));
        } else {
            put_line(table, nodes[i]->name, nodes[i]->data);
        }
    }
    free(nodes);
}

static void
print_item(struct ctl_output *out, const char *kind, const struct json *item)
{
    const struct json *record = ctl_record_get(item, "record");
    struct ctl_table *table = ctl_output_table(out, false);
    char *id = ctl_record_id(record);

    ctl_output_column(table, "FIELD", false);
    ctl_output_column(table, "VALUE", false);
    ctl_output_row(table);
    ctl_output_cell(table, CTL_PLAIN, "%s", kind);
    ctl_output_cell(table, CTL_PLAIN, "%s", id);
    for (const struct ctl_member *m = ctl_record_members(kind); m->name;
         m++) {
        put_line(table, m->name, ctl_record_get(record, m->name));
    }
    put_status(table, item);
    ctl_output_table_end(table);
    free(id);
}

/* Gets the endpoints of a host or group into '*result'. */
static enum ctl_exit
get_endpoints(struct ctl *ctl, const struct json *record,
              struct json **result)
{
    bool group = !strcmp(ctl->verb->noun, "group");
    struct json *filter = json_object_create();
    enum ctl_exit status;

    if (group) {
        json_object_put(filter, "vni", json_integer_create(
                            ctl_record_number(record, "vni", 0)));
        json_object_put_string(filter, "group",
                               ctl_record_text(record, "name"));
    }
    status = ctl_list_get(ctl, "endpoint", filter, result);
    if (!status && !group) {
        ctl_list_keep(*result, "host", ctl_record_text(record, "name"));
    }
    return status;
}

static void
print_with_endpoints(struct ctl *ctl, struct json *item,
                     const struct json *endpoints)
{
    size_t n;

    if (ctl->json) {
        json_object_put(item, "endpoints",
                        json_clone(ctl_record_get(endpoints, "items")));
        ctl_output_json(ctl->out, item);
        return;
    }
    print_item(ctl->out, ctl_verbs_kind(ctl->verb), item);
    ctl_record_array(endpoints, "items", &n);
    if (n) {
        ctl_output_text(ctl->out, "\n");
        ctl_columns_print(ctl->out, "endpoint", endpoints);
    }
}

enum ctl_exit
ctl_show(struct ctl *ctl)
{
    const char *kind = ctl_verbs_kind(ctl->verb);
    struct json *item, *endpoints;
    enum ctl_exit status;

    status = ctl_list_find(ctl, kind, ctl->operands[0], &item);
    if (status) {
        return status;
    }
    if (strcmp(kind, "host") && strcmp(kind, "group")) {
        if (ctl->json) {
            ctl_output_json(ctl->out, item);
        } else {
            print_item(ctl->out, kind, item);
        }
    } else {
        status = get_endpoints(ctl, ctl_record_get(item, "record"),
                               &endpoints);
        if (!status) {
            print_with_endpoints(ctl, item, endpoints);
            json_destroy(endpoints);
        }
    }
    json_destroy(item);
    return status;
}
