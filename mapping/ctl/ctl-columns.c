#include <config.h>

#include "mapping/ctl/ctl-columns.h"

#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-duration.h"
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
    const char *needs;          /* It is left out where no status has this
                                 * member; or NULL. */
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

    ctl_output_cell(table, ctl_columns_state_color(state), "%s", state);
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
    {"HOST", .put = put_id},
    {"VTEP", .member = "vtep"},
    {"ENCAP", .member = "encap"},
    {"REGION", .member = "region", .usual = "-"},
    {"ZONE", .member = "zone", .usual = "-"},
    {"RACK", .member = "rack", .usual = "-"},
    {"CONNECTED", .put = put_connected},
    {"APPLIED", .right = true, .put = put_applied},
    {"AGE", .right = true, .put = put_age},
    {"LAG", .right = true, .put = put_lag},
    {.name = NULL},
};

static const struct column group_columns[] = {
    {"GROUP", .put = put_id},
    {"ADDRESS", .member = "address"},
    {"PROTOCOL", .member = "protocol"},
    {"PORT", .right = true, .put = put_port},
    {"ALGORITHM", .member = "algorithm"},
    {"AFFINITY", .member = "affinity"},
    {"SLOTS", .right = true, .member = "slots"},
    {"ENDPOINTS", .right = true, .put = put_endpoints},
    {"UP", .right = true, .put = put_up},
    {.name = NULL},
};

static const struct column endpoint_columns[] = {
    {"ENDPOINT", .put = put_id},
    {"STATE", .put = put_state},
    {"WEIGHT", .right = true, .member = "weight"},
    {"COST", .right = true, .member = "cost", .usual = "0"},
    {"PRIORITY", .right = true, .member = "priority", .usual = "0"},
    {"IFACE", .member = "iface", .usual = "-"},
    {"HOST", .put = put_host},
    {"MAC", .put = put_mac},
    {"SLOTS", .right = true, .put = put_slots},
    {"SHARE", .right = true, .put = put_share},
    {"FLOWS", .right = true, .put = put_flows, .needs = "flows"},
    {"RESPONSE", .right = true, .put = put_response, .needs = "response_us"},
    {"HEALTH", .put = put_health, .needs = "unhealthy"},
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
    {"WORKLOAD", .put = put_id},
    {"ADDRESS", .member = "address"},
    {"PUBLIC", .member = "public_address", .usual = "-"},
    {"MAC", .member = "mac"},
    {"HOST", .member = "host"},
    {.name = NULL},
};

static const struct column pool_columns[] = {
    {"POOL", .put = put_id},
    {"FIRST", .member = "first"},
    {"LAST", .member = "last"},
    {"PREFIX", .right = true, .member = "prefix_length", .usual = "0"},
    {"ROUTER", .member = "router", .usual = "-"},
    {"TERM", .right = true, .member = "term"},
    {"LEASED", .right = true, .put = put_leased},
    {.name = NULL},
};

static const struct column lease_columns[] = {
    {"LEASE", .put = put_id},
    {"CLIENT", .member = "client"},
    {"TERM", .right = true, .member = "term"},
    {"ENDS", .right = true, .put = put_end},
    {.name = NULL},
};

static const struct column gateway_columns[] = {
    {"GATEWAY", .put = put_id},
    {"NODE1", .member = "node1"},
    {"NODE2", .member = "node2"},
    {"ACTIVE", .member = "active"},
    {"EPOCH", .right = true, .member = "epoch"},
    {.name = NULL},
};

static const struct column vip_columns[] = {
    {"VIP", .put = put_id},
    {"ADDRESS", .member = "address"},
    {"GATEWAY", .member = "gateway"},
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

/* Whether column 'c' tells anything about 'item'. */
static bool
tells(const struct column *c, const struct json *item)
{
    const struct ctl_member member = {c->member, c->usual};

    return (c->needs
            ? ctl_record_get(ctl_record_get(item, "status"), c->needs) != NULL
            : !ctl_record_is_usual(ctl_record_get(item, "record"), &member));
}

/* Whether column 'c' is to be shown for the 'n' items. */
static bool
is_wanted(const struct column *c, struct json *const *items, size_t n)
{
    bool wanted = !c->usual && !c->needs;

    for (size_t i = 0; !wanted && i < n; i++) {
        wanted = tells(c, items[i]);
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
ctl_columns_state_color(const char *state)
{
    return (!strcmp(state, "up") ? CTL_GOOD
            : !strcmp(state, "draining") ? CTL_CARE
            : !strcmp(state, "down") ? CTL_BAD
            : CTL_PLAIN);
}

void
ctl_columns_print(struct ctl_output *out, const char *kind,
                  const struct json *result)
{
    const struct column *columns = columns_of(kind);
    struct ctl_table *table = ctl_output_table(out, true);
    bool wanted[MAX_COLUMNS];
    struct json *const *items;
    size_t n;

    items = ctl_record_array(result, "items", &n);
    for (size_t i = 0; columns[i].name; i++) {
        ovs_assert(i < MAX_COLUMNS);
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
