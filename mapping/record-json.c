#include <config.h>
#include "mapping/record.h"

#include <string.h>

#include "mapping/record-check.h"
#include "mapping/record-field.h"
#include "mapping/record-kind.h"
#include "mapping/record-health.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

/* One table of members per kind of record; reading, changing, comparing and
 * printing follow it. */

static const struct record_choice encaps[] = {
    { "geneve", TUNNEL_GENEVE }, { "vxlan", TUNNEL_VXLAN }, { NULL, 0 },
};
static const struct record_choice protocols[] = {
    { "tcp", IPPROTO_NR_TCP }, { "udp", IPPROTO_NR_UDP },
    { "sctp", IPPROTO_NR_SCTP }, { "icmp", IPPROTO_NR_ICMP }, { NULL, 0 },
};
static const struct record_choice algorithms[] = {
    { "weighted", ALGORITHM_WEIGHTED },
    { "hash", ALGORITHM_HASH },
    { "round-robin", ALGORITHM_ROUND_ROBIN },
    { "least-connections", ALGORITHM_LEAST_CONNECTIONS },
    { "least-cost", ALGORITHM_LEAST_COST },
    { "nearest", ALGORITHM_NEAREST },
    { "lowest-response-time", ALGORITHM_LOWEST_RESPONSE_TIME },
    { "availability", ALGORITHM_AVAILABILITY },
    { NULL, 0 },
};
BUILD_ASSERT_DECL(ARRAY_SIZE(algorithms) == N_ALGORITHMS + 1);
static const struct record_choice affinities[] = {
    { "flow", AFFINITY_FLOW }, { "source", AFFINITY_SOURCE }, { NULL, 0 },
};
static const struct record_choice distances[] = {
    { "labels", false }, { "measured", true }, { NULL, 0 },
};
static const struct record_choice host_deaths[] = {
    { "keep", false }, { "reset", true }, { NULL, 0 },
};
static const struct record_choice empties[] = {
    { "drop", false }, { "reject", true }, { NULL, 0 },
};
static const struct record_choice states[] = {
    { "up", ENDPOINT_UP }, { "draining", ENDPOINT_DRAINING },
    { "down", ENDPOINT_DOWN }, { NULL, 0 },
};

#define WEIGHT_HINT "to stop new flows, set state draining"
#define VNIS_HINT "write it like 100,200-299; VNIs are 1 to 16777215"

static const struct record_field host_fields[] = {
    FIELD("name", name, host.name, KEY, .hint = NAME_HINT),
    FIELD("vtep", address, host.vtep, REQUIRED, .hint = NULL),
    FIELD("encap", choice, host.encap, OPTIONAL, .choices = encaps),
    FIELD("region", label, host.region, OPTIONAL, .hint = LABEL_HINT),
    FIELD("zone", label, host.zone, OPTIONAL, .hint = LABEL_HINT),
    FIELD("rack", label, host.rack, OPTIONAL, .hint = LABEL_HINT),
    FIELD("vnis", vnis, host.vnis, OPTIONAL, .hint = VNIS_HINT),
    { .name = NULL },
};

static const struct record_field group_fields[] = {
    FIELD("vni", number, group.vni, KEY, .min = 1, .max = VNI_MAX),
    FIELD("name", name, group.name, KEY, .hint = NAME_HINT),
    FIELD("address", bytes, group.address, REQUIRED | FIXED, .hint = NULL),
    FIELD("protocol", choice, group.protocol, FIXED, .choices = protocols),
    FIELD("port", number, group.port, FIXED, .min = 0, .max = 65535,
          .hint = "0 stands for all ports"),
    FIELD("port_last", number, group.port_last, FIXED, .min = 0, .max = 65535,
          .hint = "0 stands for just one port"),
    FIELD("algorithm", choice, group.algorithm, OPTIONAL,
          .choices = algorithms),
    FIELD("affinity", choice, group.affinity, OPTIONAL,
          .choices = affinities),
    FIELD("affinity_timeout", number, group.affinity_timeout, OPTIONAL,
          .min = 1, .max = GROUP_MAX_AFFINITY_S,
          .hint = "seconds; with affinity flow it is not used"),
    FIELD("ramp", number, group.ramp, OPTIONAL, .min = 0,
          .max = RECORD_RAMP_MAX_S, .hint = "seconds; 0 stands for none"),
    FIELD("distance", choice, group.measured_distance, OPTIONAL,
          .choices = distances),
    FIELD("on_host_death", choice, group.reset_on_host_death, OPTIONAL,
          .choices = host_deaths),
    FIELD("when_empty", choice, group.reject_when_empty, OPTIONAL,
          .choices = empties),
    FIELD("quic_id_offset", number, group.quic_id_offset, OPTIONAL,
          .min = 0, .max = GROUP_MAX_QUIC_OFFSET,
          .hint = "bytes from the start of the connection id"),
    FIELD("quic_id_length", number, group.quic_id_length, OPTIONAL,
          .min = 0, .max = GROUP_MAX_QUIC_ID,
          .hint = "bytes; 0 stands for none"),
    FIELD("slots", power, group.n_slots, FIXED, .min = GROUP_MIN_SLOTS,
          .max = GROUP_MAX_SLOTS),
    FIELD("health_check", choice, group.health.check, OPTIONAL,
          .choices = record_health_checks),
    FIELD("health_interval", number, group.health.interval, OPTIONAL,
          .min = RECORD_HEALTH_MIN_INTERVAL,
          .max = RECORD_HEALTH_MAX_INTERVAL, .hint = "milliseconds"),
    FIELD("health_timeout", number, group.health.timeout, OPTIONAL,
          .min = RECORD_HEALTH_MIN_TIMEOUT,
          .max = RECORD_HEALTH_MAX_TIMEOUT, .hint = "milliseconds"),
    FIELD("health_rise", number, group.health.rise, OPTIONAL,
          .min = 1, .max = RECORD_HEALTH_MAX_CHECKS,
          .hint = "checks in a row"),
    FIELD("health_fall", number, group.health.fall, OPTIONAL,
          .min = 1, .max = RECORD_HEALTH_MAX_CHECKS,
          .hint = "checks in a row"),
    FIELD("health_port", number, group.health.port, OPTIONAL,
          .min = 0, .max = 65535, .hint = "0 stands for the group's port"),
    FIELD("health_status", number, group.health.status, OPTIONAL,
          .min = RECORD_HEALTH_MIN_STATUS, .max = RECORD_HEALTH_MAX_STATUS,
          .hint = "a status code of HTTP"),
    FIELD("health_path", path, group.health.path, OPTIONAL,
          .hint = "write it like /health"),
    FIELD("health_source", maybe_address, group.health.source, OPTIONAL,
          .hint = "an unused address of the endpoints' own subnet"),
    { .name = NULL },
};

static const struct record_field endpoint_fields[] = {
    FIELD("vni", number, endpoint.vni, KEY, .min = 1, .max = VNI_MAX),
    FIELD("group", name, endpoint.group, KEY, .hint = NAME_HINT),
    FIELD("name", name, endpoint.name, KEY, .hint = NAME_HINT),
    FIELD("iface", iface, endpoint.iface, OPTIONAL, .hint = IFACE_HINT),
    FIELD("host", label, endpoint.host, OPTIONAL, .hint = NAME_HINT),
    FIELD("mac", maybe_mac, endpoint.mac, OPTIONAL, .hint = MAC_HINT),
    FIELD("mac_from", choice, endpoint.mac_from, OPTIONAL,
          .choices = record_mac_froms),
    FIELD("weight", number, endpoint.weight, OPTIONAL, .min = 1,
          .max = RECORD_WEIGHT_MAX, .hint = WEIGHT_HINT),
    FIELD("state", choice, endpoint.state, OPTIONAL, .choices = states),
    FIELD("cost", number, endpoint.cost, OPTIONAL, .min = 0, .max = 65535,
          .hint = "the lowest is preferred"),
    FIELD("priority", number, endpoint.priority, OPTIONAL, .min = 0,
          .max = 255, .hint = "the lowest is preferred"),
    FIELD("quic_id", quic_id, endpoint.quic_id, OPTIONAL,
          .hint = "as many hexadecimal digits as twice the group's "
                  "quic_id_length"),
    { .name = NULL },
};

static const struct {
    const char *article;
    const struct record_field *fields;
    struct record defaults;     /* Of the members that are not required. */
} kinds[N_RECORD_KINDS] = {
    [RECORD_HOST] = {
        "a", host_fields,
        { .kind = RECORD_HOST, .host = { .encap = TUNNEL_GENEVE } },
    },
    [RECORD_GROUP] = {
        "a", group_fields,
        { .kind = RECORD_GROUP,
          .group = { .protocol = IPPROTO_NR_TCP,
                     .algorithm = ALGORITHM_WEIGHTED,
                     .affinity = AFFINITY_FLOW,
                     .affinity_timeout = RECORD_AFFINITY_S,
                     .n_slots = 1024,
                     .health = { .interval = 2000, .timeout = 1000,
                                 .rise = 2, .fall = 3, .status = 200,
                                 .path = "/" } } },
    },
    [RECORD_ENDPOINT] = {
        "an", endpoint_fields,
        { .kind = RECORD_ENDPOINT,
          .endpoint = { .weight = 100, .state = ENDPOINT_UP } },
    },
    [RECORD_WORKLOAD] = {
        "a", record_workload_fields, { .kind = RECORD_WORKLOAD },
    },
    [RECORD_POOL] = {
        "a", record_pool_fields,
        { .kind = RECORD_POOL, .pool = { .term = 3600 } },
    },
    [RECORD_LEASE] = {
        "a", record_lease_fields, { .kind = RECORD_LEASE },
    },
    [RECORD_GATEWAY] = {
        "a", record_gateway_fields, { .kind = RECORD_GATEWAY },
    },
    [RECORD_VIP] = {
        "a", record_vip_fields, { .kind = RECORD_VIP },
    },
};

/* Reading. */

static void *
member_of(struct record *record, const struct record_field *f)
{
    return (char *) record + f->offset;
}

static const void *
const_member_of(const struct record *record, const struct record_field *f)
{
    return (const char *) record + f->offset;
}

static int
read_kind(const struct json *json, enum record_kind *kind,
          struct diagnosis *diag)
{
    const struct json *member;

    if (json->type != JSON_OBJECT) {
        return record_field_refuse("record", json, diag,
                                   "is not a JSON object");
    }
    member = shash_find_data(json_object(json), "kind");
    if (!member) {
        return diagnosis_set(diag, DIAG_INVALID, "kind", NULL,
                             "kind: required in a record");
    }
    if (member->type != JSON_STRING
        || !record_kind_from_name(json_string(member), kind)) {
        return record_field_refuse("kind", member, diag,
                      "is not one of %s", record_kind_names());
    }
    return 0;
}

static bool
is_known(const struct record_field *f, const char *name)
{
    while (f->name && strcmp(f->name, name)) {
        f++;
    }
    return f->name || !strcmp(name, "kind");
}

static int
refuse_unknown(enum record_kind kind, const char *name,
               struct diagnosis *diag)
{
    struct ds excerpt = DS_EMPTY_INITIALIZER;
    struct ds names = DS_EMPTY_INITIALIZER;
    int error;

    record_field_put_excerpt(&excerpt, name);
    for (const struct record_field *f = kinds[kind].fields; f->name; f++) {
        ds_put_format(&names, ", %s", f->name);
    }
    error = diagnosis_set(diag, DIAG_INVALID, ds_cstr(&excerpt), NULL,
                          "%s: unknown member of %s %s record",
                          ds_cstr(&excerpt), kinds[kind].article,
                          record_kind_name(kind));
    diagnosis_set_hint(diag, "its members are kind%s", ds_cstr(&names));
    ds_destroy(&excerpt);
    ds_destroy(&names);
    return error;
}

/* The first in alphabetical order, so that the message is always the same. */
static int
check_unknown(enum record_kind kind, const struct json *json,
              struct diagnosis *diag)
{
    const char *unknown = NULL;
    struct shash_node *node;

    SHASH_FOR_EACH (node, json_object(json)) {
        if (!is_known(kinds[kind].fields, node->name)
            && (!unknown || strcmp(node->name, unknown) < 0)) {
            unknown = node->name;
        }
    }
    return unknown ? refuse_unknown(kind, unknown, diag) : 0;
}

/* Reads the members that have a flag of 'which' or, if it is 0, all that are
 * there; those with a flag of 'required' must be. */
static int
read_members(const struct json *json, unsigned int which,
             unsigned int required, struct record *record,
             struct diagnosis *diag)
{
    const struct record_field *f;

    for (f = kinds[record->kind].fields; f->name; f++) {
        const struct json *member
            = shash_find_data(json_object(json), f->name);
        int error = 0;

        if (which && !(f->flags & which)) {
            continue;
        }
        if (member) {
            error = f->type->read(f, member, member_of(record, f), diag);
        } else if (f->flags & required) {
            error = diagnosis_set(diag, DIAG_INVALID, f->name, NULL,
                                  "%s: required in %s %s record", f->name,
                                  kinds[record->kind].article,
                                  record_kind_name(record->kind));
        }
        if (error) {
            return error;
        }
    }
    return 0;
}

/* Reads all members, of which those with a flag of 'required' must be there.
 * '*record' may be changed even if that fails. */
static int
read_all(const struct json *json, unsigned int required,
         struct record *record, struct diagnosis *diag)
{
    enum record_kind kind;
    int error = read_kind(json, &kind, diag);

    if (!error) {
        error = check_unknown(kind, json, diag);
    }
    if (!error) {
        *record = kinds[kind].defaults;
        error = read_members(json, 0, required, record, diag);
    }
    return error;
}

int
record_from_json(const struct json *json, struct record *record,
                 struct diagnosis *diag)
{
    struct record new;
    int error = read_all(json, KEY | REQUIRED, &new, diag);

    if (!error) {
        record_normalize(&new);
        error = record_check(&new, diag);
    }
    if (!error) {
        *record = new;
    }
    return error;
}

int
record_part_from_json(const struct json *json, struct record *part,
                      struct diagnosis *diag)
{
    struct record new;
    int error = read_all(json, 0, &new, diag);

    if (!error) {
        *part = new;
    }
    return error;
}

int
record_key_from_json(const struct json *json, struct record *record,
                     struct diagnosis *diag)
{
    enum record_kind kind;
    struct record new;
    int error = read_kind(json, &kind, diag);

    if (!error) {
        new = kinds[kind].defaults;
        error = read_members(json, KEY, KEY, &new, diag);
    }
    if (!error) {
        *record = new;
    }
    return error;
}

/* Comparing. */

static bool
is_member_equal(const struct record_field *f, const struct record *a,
                const struct record *b)
{
    const void *x = const_member_of(a, f);
    const void *y = const_member_of(b, f);

    /* What follows the end of a text does not count. */
    return f->type->is_text ? !strcmp(x, y) : !memcmp(x, y, f->size);
}

/* Compares the members that have a flag of 'which' or, if it is 0, all. */
static bool
are_members_equal(const struct record *a, const struct record *b,
                  unsigned int which)
{
    for (const struct record_field *f = kinds[a->kind].fields; f->name; f++) {
        if ((!which || f->flags & which) && !is_member_equal(f, a, b)) {
            return false;
        }
    }
    return true;
}

bool
record_equal(const struct record *a, const struct record *b)
{
    return a->kind == b->kind && are_members_equal(a, b, 0);
}

bool
record_equal_fixed(const struct record_group *a, const struct record_group *b)
{
    struct record x = { .kind = RECORD_GROUP, .group = *a };
    struct record y = { .kind = RECORD_GROUP, .group = *b };

    return are_members_equal(&x, &y, FIXED);
}

/* Changing. */

static int
refuse_change(const struct record_field *f, const struct record *record,
              const struct json *json, struct diagnosis *diag)
{
    const char *kind = record_kind_name(record->kind);
    struct json *was = f->type->write(f, const_member_of(record, f));
    const struct json *member = shash_find_data(json_object(json), f->name);
    struct ds old = DS_EMPTY_INITIALIZER;
    char key[RECORD_KEY_SIZE];
    int error;

    record_format_key(record, key);
    record_field_put_value(&old, was, false);
    error = record_field_refuse(f->name, member, diag, "cannot replace %s, "
                                "which is fixed when the %s is made",
                                ds_cstr(&old), kind);
    diagnosis_set_hint(diag, "add another %s with a new name, or remove %s "
                       "and add it again", kind, key);
    json_destroy(was);
    ds_destroy(&old);
    return error;
}

int
record_update_from_json(const struct json *json, struct record *record,
                        struct diagnosis *diag)
{
    struct record new = *record;
    enum record_kind kind;
    int error = read_kind(json, &kind, diag);

    if (!error && kind != record->kind) {
        error = diagnosis_set(diag, DIAG_INVALID, "kind",
                              record_kind_name(kind),
                              "kind: the record is %s %s, not %s %s",
                              kinds[record->kind].article,
                              record_kind_name(record->kind),
                              kinds[kind].article, record_kind_name(kind));
    }
    if (!error) {
        error = check_unknown(kind, json, diag);
    }
    if (!error) {
        error = read_members(json, 0, KEY, &new, diag);
        record_iface_note_given(&new, json);
        record_normalize(&new);
    }
    for (const struct record_field *f = kinds[record->kind].fields;
         !error && f->name; f++) {
        if (f->flags & (KEY | FIXED)
            && !is_member_equal(f, record, &new)) {
            error = refuse_change(f, record, json, diag);
        }
    }
    if (!error) {
        error = record_check(&new, diag);
    }
    if (!error) {
        *record = new;
    }
    return error;
}

/* Printing. */

static const char *
choice_name(const struct record_choice *c, uint32_t value)
{
    while (c->name && c->value != value) {
        c++;
    }
    return c->name;
}

const char *
record_protocol_name(uint8_t protocol)
{
    return choice_name(protocols, protocol);
}

const char *
record_algorithm_name(enum group_algorithm algorithm)
{
    return choice_name(algorithms, algorithm);
}

/* The members that have a flag of 'which' or, if it is 0, all. */
static struct json *
write_members(const struct record *record, unsigned int which)
{
    struct json *json = json_object_create();
    const struct record_field *f;

    json_object_put_string(json, "kind", record_kind_name(record->kind));
    for (f = kinds[record->kind].fields; f->name; f++) {
        if (!which || f->flags & which) {
            json_object_put(json, f->name,
                            f->type->write(f, const_member_of(record, f)));
        }
    }
    return json;
}

struct json *
record_to_json(const struct record *record)
{
    return write_members(record, 0);
}

struct json *
record_key_to_json(const struct record *record)
{
    return write_members(record, KEY);
}
