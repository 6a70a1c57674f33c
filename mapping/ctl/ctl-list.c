#include <config.h>

#include "mapping/ctl/ctl-list.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-call.h"
#include "mapping/ctl/ctl-duration.h"
#include "mapping/ctl/ctl-options.h"
#include "mapping/ctl/ctl-output.h"
#include "mapping/ctl/ctl-record.h"
#include "mapping/ctl/ctl-share.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

/* An item of a list, taken apart for the cells of its row. */
struct row {
    const struct json *record;
    const struct json *status;
    const struct json *item;
    long long revision;         /* Of the list. */
};

enum { MAX_COLUMNS = 14 };

struct column {
    const char *name;
    bool right;
    void (*put)(struct ctl_table *, const struct row *);
    const char *member;         /* Of the record, if 'put' is NULL. */
    const char *usual;          /* The column is left out where all records
                                 * have this value of 'member'; or NULL. */
};

static void
put_member(struct ctl_table *table, const struct row *row, const char *member)
{
    struct ds ds = DS_EMPTY_INITIALIZER;

    ctl_record_put_value(&ds, ctl_record_get(row->record, member));
    ctl_output_cell(table, CTL_PLAIN, "%s", ds_cstr(&ds));
    ds_destroy(&ds);
}

static void
put_id(struct ctl_table *table, const struct row *row)
{
    char *id = ctl_record_id(row->record);

    ctl_output_cell(table, CTL_PLAIN, "%s", id);
    free(id);
}

static void
put_connected(struct ctl_table *table, const struct row *row)
{
    bool connected = ctl_record_is_true(row->status, "connected");
    bool dead = ctl_record_is_false(row->status, "alive");

    ctl_output_cell(table, connected ? CTL_GOOD : CTL_BAD, "%s",
                    connected ? "yes" : dead ? "no, dead" : "no");
}

static void
put_applied(struct ctl_table *table, const struct row *row)
{
    long long applied = ctl_record_number(row->status, "applied", 0);

    if (applied) {
        ctl_output_cell(table, CTL_PLAIN, "%lld", applied);
    } else {
        ctl_output_cell(table, CTL_PLAIN, "-");
    }
}

/* For how long it has been using what it uses. */
static void
put_age(struct ctl_table *table, const struct row *row)
{
    long long ms = ctl_record_number(row->status, "applied_ms_ago", -1);
    struct ds ds = DS_EMPTY_INITIALIZER;

    if (ms < 0) {
        ds_put_char(&ds, '-');
    } else {
        ctl_duration_put(&ds, ms);
    }
    ctl_output_cell(table, CTL_PLAIN, "%s", ds_cstr(&ds));
    ds_destroy(&ds);
}

static void
put_lag(struct ctl_table *table, const struct row *row)
{
    long long lag = (row->revision
                     - ctl_record_number(row->status, "applied", 0));

    if (!ctl_record_is_true(row->status, "connected")) {
        ctl_output_cell(table, CTL_PLAIN, "-");
    } else {
        ctl_output_cell(table, lag > 0 ? CTL_CARE : CTL_PLAIN, "%lld", lag);
    }
}

static void
put_port(struct ctl_table *table, const struct row *row)
{
    long long port = ctl_record_number(row->record, "port", 0);
    long long last = ctl_record_number(row->record, "port_last", 0);

    if (!strcmp(ctl_record_text(row->record, "protocol"), "icmp")) {
        ctl_output_cell(table, CTL_PLAIN, "-");
    } else if (port && last) {
        ctl_output_cell(table, CTL_PLAIN, "%lld-%lld", port, last);
    } else if (port) {
        ctl_output_cell(table, CTL_PLAIN, "%lld", port);
    } else {
        ctl_output_cell(table, CTL_PLAIN, "all");
    }
}

static void
put_endpoints(struct ctl_table *table, const struct row *row)
{
    ctl_output_cell(table, CTL_PLAIN, "%lld",
                    ctl_record_number(row->status, "endpoints", 0));
}

static void
put_up(struct ctl_table *table, const struct row *row)
{
    long long up = ctl_record_number(row->status, "up", 0);

    ctl_output_cell(table, up ? CTL_GOOD : CTL_BAD, "%lld", up);
}

static void
put_state(struct ctl_table *table, const struct row *row)
{
    const char *state = ctl_record_text(row->record, "state");

    ctl_output_cell(table, ctl_list_state_color(state), "%s", state);
}

/* Of an endpoint, which may be found by its port. */
static void
put_host(struct ctl_table *table, const struct row *row)
{
    const char *host = ctl_record_text(row->record, "host");

    if (*host) {
        put_member(table, row, "host");
    } else {
        ctl_output_cell(table, CTL_BAD, "unbound: no such port");
    }
}

static void
put_mac(struct ctl_table *table, const struct row *row)
{
    if (!*ctl_record_text(row->record, "host")
        || *ctl_record_text(row->record, "mac")) {
        put_member(table, row, "mac");
    } else {
        ctl_output_cell(table, CTL_BAD, "unbound: no attached-mac");
    }
}

static void
put_slots(struct ctl_table *table, const struct row *row)
{
    ctl_output_cell(table, CTL_PLAIN, "%lld",
                    ctl_record_number(row->status, "slots", 0));
}

static void
put_share(struct ctl_table *table, const struct row *row)
{
    ctl_output_cell(table, CTL_PLAIN, "%.1f %%", ctl_share_slots(row->item));
}

static void
put_flows(struct ctl_table *table, const struct row *row)
{
    if (ctl_record_get(row->status, "flows")) {
        ctl_output_cell(table, CTL_PLAIN, "%lld",
                        ctl_record_number(row->status, "flows", 0));
    } else {
        ctl_output_cell(table, CTL_PLAIN, "-");
    }
}

static void
put_response(struct ctl_table *table, const struct row *row)
{
    long long us = ctl_record_number(row->status, "response_us", 0);

    if (us) {
        ctl_output_cell(table, CTL_PLAIN, "%.1f ms", us / 1000.0);
    } else {
        ctl_output_cell(table, CTL_PLAIN, "-");
    }
}

static void
put_health(struct ctl_table *table, const struct row *row)
{
    const char *why = ctl_record_text(row->status, "unhealthy");

    if (ctl_record_get(row->status, "unhealthy")) {
        ctl_output_cell(table, CTL_BAD, "%s", *why ? why : "no");
    } else {
        ctl_output_cell(table, CTL_GOOD, "ok");
    }
}

static const struct column host_columns[] = {
    {"HOST", false, put_id, NULL, NULL},
    {"VTEP", false, NULL, "vtep", NULL},
    {"ENCAP", false, NULL, "encap", NULL},
    {"REGION", false, NULL, "region", "-"},
    {"ZONE", false, NULL, "zone", "-"},
    {"RACK", false, NULL, "rack", "-"},
    {"CONNECTED", false, put_connected, NULL, NULL},
    {"APPLIED", true, put_applied, NULL, NULL},
    {"AGE", true, put_age, NULL, NULL},
    {"LAG", true, put_lag, NULL, NULL},
    {.name = NULL},
};

static const struct column group_columns[] = {
    {"GROUP", false, put_id, NULL, NULL},
    {"ADDRESS", false, NULL, "address", NULL},
    {"PROTOCOL", false, NULL, "protocol", NULL},
    {"PORT", true, put_port, NULL, NULL},
    {"ALGORITHM", false, NULL, "algorithm", NULL},
    {"AFFINITY", false, NULL, "affinity", NULL},
    {"SLOTS", true, NULL, "slots", NULL},
    {"ENDPOINTS", true, put_endpoints, NULL, NULL},
    {"UP", true, put_up, NULL, NULL},
    {.name = NULL},
};

static const struct column endpoint_columns[] = {
    {"ENDPOINT", false, put_id, NULL, NULL},
    {"STATE", false, put_state, NULL, NULL},
    {"WEIGHT", true, NULL, "weight", NULL},
    {"COST", true, NULL, "cost", "0"},
    {"PRIORITY", true, NULL, "priority", "0"},
    {"IFACE", false, NULL, "iface", "-"},
    {"HOST", false, put_host, NULL, NULL},
    {"MAC", false, put_mac, NULL, NULL},
    {"SLOTS", true, put_slots, NULL, NULL},
    {"SHARE", true, put_share, NULL, NULL},
    {"FLOWS", true, put_flows, NULL, NULL},
    {"RESPONSE", true, put_response, NULL, NULL},
    {"HEALTH", false, put_health, NULL, NULL},
    {.name = NULL},
};

static void
put_leased(struct ctl_table *table, const struct row *row)
{
    ctl_output_cell(table, CTL_PLAIN, "%lld of %lld",
                    ctl_record_number(row->status, "leased", 0),
                    ctl_record_number(row->status, "addresses", 0));
}

static void
put_end(struct ctl_table *table, const struct row *row)
{
    long long left = ctl_record_number(row->status, "expires_in_s", -1);

    if (left < 0) {
        ctl_output_cell(table, CTL_PLAIN, "never");
    } else {
        ctl_output_cell(table, left ? CTL_PLAIN : CTL_CARE, "in %lld s", left);
    }
}

static const struct column workload_columns[] = {
    {"WORKLOAD", false, put_id, NULL, NULL},
    {"ADDRESS", false, NULL, "address", NULL},
    {"PUBLIC", false, NULL, "public_address", "-"},
    {"MAC", false, NULL, "mac", NULL},
    {"HOST", false, NULL, "host", NULL},
    {.name = NULL},
};

static const struct column pool_columns[] = {
    {"POOL", false, put_id, NULL, NULL},
    {"FIRST", false, NULL, "first", NULL},
    {"LAST", false, NULL, "last", NULL},
    {"PREFIX", true, NULL, "prefix_length", "0"},
    {"ROUTER", false, NULL, "router", "-"},
    {"TERM", true, NULL, "term", NULL},
    {"LEASED", true, put_leased, NULL, NULL},
    {.name = NULL},
};

static const struct column lease_columns[] = {
    {"LEASE", false, put_id, NULL, NULL},
    {"CLIENT", false, NULL, "client", NULL},
    {"TERM", true, NULL, "term", NULL},
    {"ENDS", true, put_end, NULL, NULL},
    {.name = NULL},
};

static const struct column gateway_columns[] = {
    {"GATEWAY", false, put_id, NULL, NULL},
    {"NODE1", false, NULL, "node1", NULL},
    {"NODE2", false, NULL, "node2", NULL},
    {"ACTIVE", false, NULL, "active", NULL},
    {"EPOCH", true, NULL, "epoch", NULL},
    {.name = NULL},
};

static const struct column vip_columns[] = {
    {"VIP", false, put_id, NULL, NULL},
    {"ADDRESS", false, NULL, "address", NULL},
    {"GATEWAY", false, NULL, "gateway", NULL},
    {.name = NULL},
};

static const struct {
    const char *kind;
    const struct column *columns;
} tables[] = {
    {"host", host_columns},
    {"group", group_columns},
    {"endpoint", endpoint_columns},
    {"workload", workload_columns},
    {"pool", pool_columns},
    {"lease", lease_columns},
    {"gateway", gateway_columns},
    {"vip", vip_columns},
};

static const struct column *
columns_of(const char *kind)
{
    for (size_t i = 0; i < ARRAY_SIZE(tables); i++) {
        if (!strcmp(tables[i].kind, kind)) {
            return tables[i].columns;
        }
    }
    OVS_NOT_REACHED();
}

/* The member of a status that column 'c' is about, which is left out where no
 * item has it; or NULL. */
static const char *
status_member(const struct column *c)
{
    return (c->put == put_flows ? "flows"
            : c->put == put_response ? "response_us"
            : c->put == put_health ? "unhealthy"
            : NULL);
}

/* Whether column 'c' tells anything about the 'n' items. */
static bool
is_wanted(const struct column *c, struct json *const *items, size_t n)
{
    const struct ctl_member member = {c->member, c->usual};
    const char *needs = status_member(c);
    bool wanted = !c->usual && !needs;

    for (size_t i = 0; needs && !wanted && i < n; i++) {
        wanted = ctl_record_get(ctl_record_get(items[i], "status"), needs);
    }
    if (needs) {
        return wanted;
    }
    for (size_t i = 0; !wanted && i < n; i++) {
        wanted = !ctl_record_is_usual(ctl_record_get(items[i], "record"),
                                      &member);
    }
    return wanted;
}

/* Prints in the next row those of 'columns' that are set in 'wanted'. */
static void
print_row(struct ctl_table *table, const struct column *columns,
          const bool *wanted, const struct row *row)
{
    ctl_output_row(table);
    for (size_t i = 0; columns[i].name; i++) {
        if (!wanted[i]) {
            continue;
        } else if (columns[i].put) {
            columns[i].put(table, row);
        } else {
            put_member(table, row, columns[i].member);
        }
    }
}

enum ctl_color
ctl_list_state_color(const char *state)
{
    return (!strcmp(state, "up") ? CTL_GOOD
            : !strcmp(state, "draining") ? CTL_CARE
            : !strcmp(state, "down") ? CTL_BAD
            : CTL_PLAIN);
}

void
ctl_list_print(struct ctl_output *out, const char *kind,
               const struct json *result)
{
    const struct column *columns = columns_of(kind);
    struct ctl_table *table = ctl_output_table(out, true);
    bool wanted[MAX_COLUMNS];
    struct json *const *items;
    size_t n;

    items = ctl_record_array(result, "items", &n);
    for (size_t i = 0; columns[i].name; i++) {
        wanted[i] = is_wanted(&columns[i], items, n);
        if (wanted[i]) {
            ctl_output_column(table, columns[i].name, columns[i].right);
        }
    }
    for (size_t i = 0; i < n; i++) {
        const struct row row = {
            .record = ctl_record_get(items[i], "record"),
            .status = ctl_record_get(items[i], "status"),
            .item = items[i],
            .revision = ctl_record_number(result, "revision", 0),
        };

        print_row(table, columns, wanted, &row);
    }
    ctl_output_table_end(table);
}

void
ctl_list_keep(struct json *result, const char *member, const char *value)
{
    struct json *kept = json_array_create_empty();
    struct json *const *items;
    size_t n;

    items = ctl_record_array(result, "items", &n);
    for (size_t i = 0; i < n; i++) {
        if (!strcmp(ctl_record_text(ctl_record_get(items[i], "record"),
                                    member), value)) {
            json_array_add(kept, json_clone(items[i]));
        }
    }
    json_object_put(result, "items", kept);
}

/* Whether the array 'items' has records of 'kind', with names (leases have
 * addresses). */
static bool
makes_sense(const struct json *items, const char *kind)
{
    const char *id = strcmp(kind, "lease") ? "name" : "address";

    for (size_t i = 0; i < json_array(items)->n; i++) {
        const struct json *record
            = ctl_record_get(json_array(items)->elems[i], "record");

        if (strcmp(ctl_record_text(record, "kind"), kind)
            || !*ctl_record_text(record, id)) {
            return false;
        }
    }
    return true;
}

enum ctl_exit
ctl_list_get(struct ctl *ctl, const char *kind, struct json *filter,
             struct json **resultp)
{
    struct json *result, *items;
    enum ctl_exit status;

    status = ctl_call_list(ctl, kind, filter, &result);
    if (status) {
        return status;
    }
    items = CONST_CAST(struct json *, ctl_record_get(result, "items"));
    if (!makes_sense(items, kind)) {
        json_destroy(result);
        return ctl_call_nonsense(ctl, "list");
    }
    if (!strcmp(kind, "endpoint")) {
        ctl_share_add(items);
    }
    *resultp = result;
    return CTL_OK;
}

/* What an operand of 'list' names. */
static const char *
container_of(const struct ctl *ctl)
{
    return strcmp(ctl_verbs_kind(ctl->verb), "lease") ? "group" : "pool";
}

/* Makes the filter for mapd from --vni or the operand of `endpoint list` or
 * `gateway lease list`. */
static enum ctl_exit
make_filter(struct ctl *ctl, struct json **filter)
{
    const char *vni = ctl->args.values[CTL_VNI];
    enum ctl_exit status;
    struct json *group;

    if (ctl->n_operands && vni) {
        return ctl_output_error(ctl->out, CTL_USAGE, "usage",
                                "leave out one of them",
                                "\"%s\" and --vni exclude each other",
                                ctl->operands[0]);
    }
    if (ctl->n_operands) {
        status = ctl_call_key(ctl, container_of(ctl), ctl->operands[0],
                              &group);
        if (status) {
            return status;
        }
        *filter = json_object_create();
        json_object_put(*filter, "vni",
                        json_clone(ctl_record_get(group, "vni")));
        json_object_put_string(*filter, container_of(ctl),
                               ctl_record_text(group, "name"));
        json_destroy(group);
        return CTL_OK;
    }
    *filter = json_object_create();
    if (vni) {
        json_object_put(*filter, "vni", json_integer_create(
                            ctl_options_number(&ctl->args, CTL_VNI)));
    }
    return CTL_OK;
}

/* Whether there can be none of 'kind' in a VNI without groups. */
static bool
is_by_vni(const char *kind)
{
    return !strcmp(kind, "group") || !strcmp(kind, "endpoint");
}

/* An empty list must not hide a mistyped group, VNI or host. */
static enum ctl_exit
check_known(struct ctl *ctl)
{
    const char *kind = ctl_verbs_kind(ctl->verb);
    const char *host = ctl->args.values[CTL_HOST];
    enum ctl_exit status = CTL_OK;
    struct json *key;

    if (ctl->n_operands) {
        status = ctl_call_key(ctl, container_of(ctl), ctl->operands[0], &key);
        status = status ? status : ctl_call_check_known(ctl, key, NULL);
    } else if (ctl->args.values[CTL_VNI] && is_by_vni(kind)) {
        /* Any name will do: a VNI is known by its groups. */
        key = ctl_record_from_id("group", "1/any");
        json_object_put(key, "vni", json_integer_create(
                            ctl_options_number(&ctl->args, CTL_VNI)));
        status = ctl_call_check_known(ctl, key, "vni");
    }
    if (!status && host) {
        status = ctl_call_key(ctl, "host", host, &key);
        status = status ? status : ctl_call_check_known(ctl, key, NULL);
    }
    return status;
}

enum ctl_exit
ctl_list(struct ctl *ctl)
{
    const char *kind = ctl_verbs_kind(ctl->verb);
    const char *host = ctl->args.values[CTL_HOST];
    struct json *filter = NULL, *result;
    enum ctl_exit status;
    size_t n;

    status = make_filter(ctl, &filter);
    status = status ? status : ctl_list_get(ctl, kind, filter, &result);
    if (status) {
        return status;
    }
    if (host) {
        ctl_list_keep(result, "host", host);
    }
    if (ctl->args.values[CTL_CLIENT]) {
        ctl_list_keep(result, "client", ctl->args.values[CTL_CLIENT]);
    }
    ctl_record_array(result, "items", &n);
    if (!n) {
        status = check_known(ctl);
    }
    if (!status && ctl->json) {
        ctl_output_json(ctl->out, ctl_record_get(result, "items"));
    } else if (!status) {
        ctl_list_print(ctl->out, kind, result);
        if (!n) {
            ctl_output_note(ctl->out, "there is no %s to list", kind);
        }
    }
    json_destroy(result);
    return status;
}

/* Takes from 'result' the item with this id; NULL if there is none. */
static struct json *
take_item(const struct json *result, const char *id)
{
    struct json *found = NULL;
    struct json *const *items;
    size_t n;

    items = ctl_record_array(result, "items", &n);
    for (size_t i = 0; i < n && !found; i++) {
        char *key = ctl_record_id(ctl_record_get(items[i], "record"));

        found = strcmp(key, id) ? NULL : json_clone(items[i]);
        free(key);
    }
    return found;
}

enum ctl_exit
ctl_list_find(struct ctl *ctl, const char *kind, const char *id,
              struct json **itemp)
{
    struct json *key, *filter, *result, *item;
    enum ctl_exit status;
    char *plain_id;

    status = ctl_call_key(ctl, kind, id, &key);
    if (status) {
        return status;
    }

    /* The shares of an endpoint need the whole group. */
    filter = json_deep_clone(key);
    if (!strcmp(kind, "endpoint")) {
        json_destroy(shash_find_and_delete(json_object(filter), "name"));
    }
    status = ctl_list_get(ctl, kind, filter, &result);
    if (status) {
        json_destroy(key);
        return status;
    }

    plain_id = ctl_record_id(key);
    item = take_item(result, plain_id);
    free(plain_id);
    json_destroy(result);
    if (item) {
        json_destroy(key);
        *itemp = item;
        return CTL_OK;
    }
    status = ctl_call_check_known(ctl, key, NULL);
    return status ? status
           : ctl_output_error(ctl->out, CTL_FAILED, "not-found",
                              "it has come just now: try again",
                              "%s %s is not known", kind, id);
}
