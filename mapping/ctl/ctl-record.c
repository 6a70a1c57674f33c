#include <config.h>

#include "mapping/ctl/ctl-record.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/ctl/ctl-number.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"

/* What a kind of record consists of, as far as this program knows. */
struct kind {
    const char *name;
    const char *id_form;
    size_t n_id;
    const char *id[3];          /* Members that make its id. */
    struct ctl_member members[28]; /* The others; ends with a NULL name. */
};

static const struct kind kinds[] = {
    {"host", "NAME", 1, {"name"},
     {{"vtep", NULL}, {"encap", NULL}, {"region", "-"}, {"zone", "-"},
      {"rack", "-"}, {"vnis", "-"}}},
    {"group", "VNI/NAME", 2, {"vni", "name"},
     {{"address", NULL}, {"protocol", NULL}, {"port", NULL},
      {"port_last", "0"}, {"algorithm", NULL}, {"affinity", NULL},
      {"affinity_timeout", "10800"}, {"ramp", "0"}, {"distance", "labels"},
      {"on_host_death", "keep"}, {"when_empty", "drop"},
      {"quic_id_offset", "0"}, {"quic_id_length", "0"}, {"slots", NULL},
      {"health_check", "none"}, {"health_interval", "2000"},
      {"health_timeout", "1000"}, {"health_rise", "2"}, {"health_fall", "3"},
      {"health_port", "0"}, {"health_status", "200"}, {"health_path", "/"},
      {"health_source", "-"}}},
    {"endpoint", "VNI/GROUP/NAME", 3, {"vni", "group", "name"},
     {{"iface", "-"}, {"host", NULL}, {"mac", NULL}, {"mac_from", "given"},
      {"weight", NULL}, {"state", NULL},
      {"cost", "0"}, {"priority", "0"}, {"quic_id", "-"}}},
    {"workload", "VNI/NAME", 2, {"vni", "name"},
     {{"host", NULL}, {"mac", NULL}, {"address", NULL},
      {"public_address", "-"}}},
    {"pool", "VNI/NAME", 2, {"vni", "name"},
     {{"first", NULL}, {"last", NULL}, {"prefix_length", "0"},
      {"router", "-"}, {"term", NULL}}},
    {"lease", "VNI/POOL/ADDRESS", 3, {"vni", "pool", "address"},
     {{"client", NULL}, {"term", NULL}, {"expires", "0"}}},
    {"gateway", "NAME", 1, {"name"},
     {{"node1", NULL}, {"node2", NULL}, {"priority1", "0"},
      {"priority2", "0"}, {"active", "-"}, {"epoch", "0"}}},
    {"vip", "VNI/NAME", 2, {"vni", "name"},
     {{"address", NULL}, {"gateway", NULL}}},
};

static const struct kind *
find_kind(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (!strcmp(kinds[i].name, name)) {
            return &kinds[i];
        }
    }
    return NULL;
}

const struct json *
ctl_record_get(const struct json *object, const char *name)
{
    return (object && object->type == JSON_OBJECT
            ? shash_find_data(json_object(object), name)
            : NULL);
}

const char *
ctl_record_text(const struct json *object, const char *name)
{
    const struct json *value = ctl_record_get(object, name);

    return value && value->type == JSON_STRING ? json_string(value) : "";
}

long long
ctl_record_number(const struct json *object, const char *name,
                  long long otherwise)
{
    const struct json *value = ctl_record_get(object, name);

    return (value && value->type == JSON_INTEGER ? json_integer(value)
            : otherwise);
}

bool
ctl_record_is_true(const struct json *object, const char *name)
{
    const struct json *value = ctl_record_get(object, name);

    return value && value->type == JSON_TRUE;
}

bool
ctl_record_is_false(const struct json *object, const char *name)
{
    const struct json *value = ctl_record_get(object, name);

    return value && value->type == JSON_FALSE;
}

struct json *const *
ctl_record_array(const struct json *object, const char *name, size_t *n)
{
    const struct json *value = ctl_record_get(object, name);

    if (!value || value->type != JSON_ARRAY) {
        *n = 0;
        return NULL;
    }
    *n = json_array(value)->n;
    return json_array(value)->elems;
}

const struct ctl_member *
ctl_record_members(const char *kind)
{
    static const struct ctl_member none[] = {{NULL, NULL}};
    const struct kind *k = find_kind(kind);

    return k ? k->members : none;
}

bool
ctl_record_is_usual(const struct json *record, const struct ctl_member *m)
{
    const struct json *value = ctl_record_get(record, m->name);
    struct ds ds = DS_EMPTY_INITIALIZER;
    bool usual;

    ctl_record_put_value(&ds, value);
    usual = !value || (m->usual && !strcmp(ds_cstr(&ds), m->usual));
    ds_destroy(&ds);
    return usual;
}

const char *
ctl_record_id_form(const char *kind)
{
    const struct kind *k = find_kind(kind);

    return k ? k->id_form : "";
}

void
ctl_record_put_value(struct ds *ds, const struct json *value)
{
    if (!value || (value->type == JSON_STRING && !*json_string(value))) {
        ds_put_char(ds, '-');
    } else if (value->type == JSON_STRING) {
        for (const char *p = json_string(value); *p; p++) {
            ds_put_char(ds, iscntrl((unsigned char) *p) ? '?' : *p);
        }
    } else if (value->type == JSON_TRUE || value->type == JSON_FALSE) {
        ds_put_cstr(ds, value->type == JSON_TRUE ? "yes" : "no");
    } else {
        json_to_ds(value, JSSF_SORT, ds);
    }
}

char *
ctl_record_id(const struct json *record)
{
    const struct kind *k = find_kind(ctl_record_text(record, "kind"));
    struct ds ds = DS_EMPTY_INITIALIZER;

    for (size_t i = 0; k && i < k->n_id; i++) {
        ds_put_cstr(&ds, i ? "/" : "");
        ctl_record_put_value(&ds, ctl_record_get(record, k->id[i]));
    }
    return ds_steal_cstr(&ds);
}

/* Adds the member 'name' with the text of 'length' at 's'. */
static bool
put_part(struct json *record, const char *name, const char *s, size_t length)
{
    char *part = xmemdup0(s, length);
    long long vni;
    bool ok = true;

    if (strcmp(name, "vni")) {
        json_object_put_string(record, name, part);
    } else if (ctl_number_is_digits(part, '\0')
               && str_to_llong(part, 10, &vni)) {
        json_object_put(record, name, json_integer_create(vni));
    } else {
        ok = false;
    }
    free(part);
    return ok;
}

struct json *
ctl_record_from_id(const char *kind, const char *id)
{
    const struct kind *k = find_kind(kind);
    struct json *record = json_object_create();
    const char *p = id;

    json_object_put_string(record, "kind", kind);
    for (size_t i = 0; i < k->n_id; i++) {
        size_t length = strcspn(p, "/");
        bool last = i == k->n_id - 1;

        if (!length || (p[length] == '\0') != last
            || !put_part(record, k->id[i], p, length)) {
            json_destroy(record);
            return NULL;
        }
        p += length + !last;
    }
    return record;
}
