#include <config.h>
#include "mapping/record-field.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "encap/inet.h"
#include "encap/tunnel.h"
#include "mapping/record.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "packets.h"
#include "util.h"

enum {
    EXCERPT_MAX = 40,           /* Of a value, in a message. */
    VNI_MAX_DIGITS = 8,
};

/* Values in messages. */

void
record_field_put_excerpt(struct ds *ds, const char *text)
{
    size_t start = ds->length;

    for (const char *p = text; *p; p++) {
        unsigned char c = *p;

        if (ds->length - start >= EXCERPT_MAX) {
            ds_put_cstr(ds, "...");
            return;
        } else if (c == '"' || c == '\\') {
            ds_put_format(ds, "\\%c", c);
        } else if (c >= ' ' && c < 0x7f) {
            ds_put_char(ds, c);
        } else {
            ds_put_format(ds, "\\x%02x", c);
        }
    }
}

void
record_field_put_value(struct ds *ds, const struct json *json, bool quotes)
{
    switch ((int) json->type) {
    case JSON_STRING:
        ds_put_cstr(ds, quotes ? "\"" : "");
        record_field_put_excerpt(ds, json_string(json));
        ds_put_cstr(ds, quotes ? "\"" : "");
        break;
    case JSON_INTEGER:
        ds_put_format(ds, "%"PRId64, json_integer(json));
        break;
    case JSON_REAL:
        ds_put_format(ds, "%g", json_real(json));
        break;
    case JSON_OBJECT:
        ds_put_cstr(ds, "an object");
        break;
    case JSON_ARRAY:
        ds_put_cstr(ds, "an array");
        break;
    default:
        ds_put_cstr(ds, json_type_to_string(json->type));
        break;
    }
}

int
record_field_refuse(const char *name, const struct json *json,
                    struct diagnosis *diag, const char *problem, ...)
{
    struct ds plain = DS_EMPTY_INITIALIZER;
    struct ds message = DS_EMPTY_INITIALIZER;
    va_list args;
    int error;

    record_field_put_value(&plain, json, false);
    ds_put_format(&message, "%s: ", name);
    record_field_put_value(&message, json, true);
    ds_put_char(&message, ' ');
    va_start(args, problem);
    ds_put_format_valist(&message, problem, args);
    va_end(args);

    error = diagnosis_set(diag, DIAG_INVALID, name, ds_cstr(&plain), "%s",
                          ds_cstr(&message));
    ds_destroy(&plain);
    ds_destroy(&message);
    return error;
}

/* The same with the hint of 'f'. */
#define refuse(F, JSON, DIAG, ...)                                      \
    add_hint(F, DIAG, record_field_refuse((F)->name, JSON, DIAG, __VA_ARGS__))

static int
add_hint(const struct record_field *f, struct diagnosis *diag, int error)
{
    if (f->hint) {
        diagnosis_set_hint(diag, "%s", f->hint);
    }
    return error;
}

/* Names. */

static bool
is_name_character(char c)
{
    return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9'));
}

static bool
is_name(const char *name)
{
    if (!is_name_character(*name)) {
        return false;
    }
    while (is_name_character(*name) || (*name && strchr("._-", *name))) {
        name++;
    }
    return !*name;
}

bool
record_is_name(const char *name)
{
    return is_name(name) && strlen(name) <= RECORD_NAME_MAX;
}

static int
read_name(const struct record_field *f, const struct json *json, void *member,
          struct diagnosis *diag)
{
    if (json->type != JSON_STRING || !is_name(json_string(json))) {
        return refuse(f, json, diag, "is not a name");
    }
    if (strlen(json_string(json)) > RECORD_NAME_MAX) {
        return refuse(f, json, diag, "is %"PRIuSIZE" characters long, "
                      "more than %d", strlen(json_string(json)),
                      RECORD_NAME_MAX);
    }
    ovs_strzcpy(member, json_string(json), f->size);
    return 0;
}

static int
read_label(const struct record_field *f, const struct json *json, void *member,
           struct diagnosis *diag)
{
    if (json->type == JSON_STRING && !*json_string(json)) {
        *(char *) member = '\0';
        return 0;
    }
    return read_name(f, json, member, diag);
}

static struct json *
write_name(const struct record_field *f OVS_UNUSED, const void *member)
{
    return json_string_create(member);
}

const struct record_type record_type_name = {
    read_name, write_name, .is_text = true
};
const struct record_type record_type_label = {
    read_label, write_name, .is_text = true
};

/* Those who have leases. */

/* The VNI without leading zeros, so that a workload has one id only. */
static bool
is_workload_id(const char *text)
{
    size_t n = strspn(text, "0123456789");

    return (n > 0 && n <= VNI_MAX_DIGITS && text[0] != '0' && text[n] == '/'
            && strtoul(text, NULL, 10) <= VNI_MAX
            && record_is_name(text + n + 1));
}

static bool
is_client(const char *text)
{
    if (strchr(text, '/')) {
        return is_workload_id(text);
    }
    return (is_name_character(*text) && strlen(text) <= RECORD_CLIENT_MAX
            && strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                      "abcdefghijklmnopqrstuvwxyz0123456789._:-")
               == strlen(text));
}

static int
read_client(const struct record_field *f, const struct json *json,
            void *member, struct diagnosis *diag)
{
    if (json->type != JSON_STRING || !is_client(json_string(json))) {
        return refuse(f, json, diag, "is not a client's id");
    }
    ovs_strzcpy(member, json_string(json), f->size);
    return 0;
}

const struct record_type record_type_client = {
    read_client, write_name, .is_text = true
};

/* Numbers, and choices, which are numbers with names. */

static void
put_number(const struct record_field *f, void *member, uint32_t value)
{
    uint16_t value16 = value;
    uint8_t value8 = value;

    memcpy(member, f->size == 4 ? &value
                   : f->size == 2 ? (void *) &value16
                   : (void *) &value8, f->size);
}

static uint32_t
get_number(const struct record_field *f, const void *member)
{
    uint32_t value = 0;
    uint16_t value16;

    switch (f->size) {
    case 4:
        memcpy(&value, member, sizeof value);
        return value;
    case 2:
        memcpy(&value16, member, sizeof value16);
        return value16;
    case 1:
        return *(const uint8_t *) member;
    default:
        return 0;
    }
}

/* -1 if 'json' is a number below the range of 'f', 1 if it is one above. */
static int
compare_to_range(const struct record_field *f, const struct json *json)
{
    if (json->type == JSON_INTEGER) {
        return (json_integer(json) < f->min ? -1
                : json_integer(json) > f->max);
    }
    /* What is too large for an integer was read as a real. */
    return (json->type != JSON_REAL ? 0
            : json_real(json) < f->min ? -1
            : json_real(json) > f->max);
}

static int
read_number(const struct record_field *f, const struct json *json,
            void *member, struct diagnosis *diag)
{
    int side = compare_to_range(f, json);

    if (side) {
        int error = record_field_refuse(f->name, json, diag, "is out of range "
                                        "%"PRIu32"..%"PRIu32, f->min, f->max);
        return side < 0 ? add_hint(f, diag, error) : error;
    }
    if (json->type != JSON_INTEGER) {
        return record_field_refuse(f->name, json, diag, "is not an integer");
    }
    put_number(f, member, json_integer(json));
    return 0;
}

static int
read_power(const struct record_field *f, const struct json *json, void *member,
           struct diagnosis *diag)
{
    uint32_t value;
    int error = read_number(f, json, &value, diag);

    if (!error && !IS_POW2(value)) {
        return refuse(f, json, diag, "is not a power of two in "
                      "%"PRIu32"..%"PRIu32, f->min, f->max);
    }
    if (!error) {
        put_number(f, member, value);
    }
    return error;
}

static struct json *
write_number(const struct record_field *f, const void *member)
{
    return json_integer_create(get_number(f, member));
}

const struct record_type record_type_number = {
    .read = read_number, .write = write_number
};
const struct record_type record_type_power = {
    .read = read_power, .write = write_number
};

static int
read_choice(const struct record_field *f, const struct json *json,
            void *member, struct diagnosis *diag)
{
    struct ds names = DS_EMPTY_INITIALIZER;
    int error;

    for (const struct record_choice *c = f->choices; c->name; c++) {
        if (json->type == JSON_STRING && !strcmp(json_string(json), c->name)) {
            put_number(f, member, c->value);
            ds_destroy(&names);
            return 0;
        }
        ds_put_format(&names, "%s%s", c == f->choices ? "" : ", ", c->name);
    }
    error = refuse(f, json, diag, "is not %s%s",
                   f->choices[1].name ? "one of " : "", ds_cstr(&names));
    ds_destroy(&names);
    return error;
}

static struct json *
write_choice(const struct record_field *f, const void *member)
{
    uint32_t value = get_number(f, member);

    for (const struct record_choice *c = f->choices; c->name; c++) {
        if (c->value == value) {
            return json_string_create(c->name);
        }
    }
    OVS_NOT_REACHED();
}

const struct record_type record_type_choice = {
    .read = read_choice, .write = write_choice
};

/* Addresses. */

static bool
scan_address(const char *text, struct inet_addr *address, bool *is_ipv4)
{
    struct in6_addr in6;
    struct in_addr in4;

    *is_ipv4 = inet_pton(AF_INET, text, &in4) == 1;
    if (*is_ipv4) {
        *address = inet_addr_from4(ntohl(in4.s_addr));
        return true;
    }
    if (inet_pton(AF_INET6, text, &in6) == 1) {
        *address = inet_addr_from_bytes(in6.s6_addr);
        return true;
    }
    return false;
}

static int
read_address(const struct record_field *f, const struct json *json,
             void *member, struct diagnosis *diag)
{
    const char *text = json->type == JSON_STRING ? json_string(json) : "";
    struct inet_addr address;
    bool is_ipv4;

    if (!scan_address(text, &address, &is_ipv4)) {
        return refuse(f, json, diag, "is not an IPv4 or IPv6 address");
    }
    if (!is_ipv4 && inet_addr_is4(address)) {
        int error = record_field_refuse(f->name, json, diag,
                                        "is an IPv4 address written as IPv6");

        diagnosis_set_hint(diag, "write it as "IP_FMT,
                           IP_ARGS(htonl(inet_addr_to4(address))));
        return error;
    }
    if (!inet_addr_is_unicast(address)) {
        return refuse(f, json, diag, "is not a unicast address (%s are not)",
                      is_ipv4 ? "0/8, 127/8 and 224/3"
                      : "::, ::1 and ff00::/8");
    }
    memcpy(member, &address, sizeof address);
    return 0;
}

static struct json *
write_address(const struct record_field *f OVS_UNUSED, const void *member)
{
    char text[RECORD_ADDRESS_SIZE];
    struct inet_addr address;

    memcpy(&address, member, sizeof address);
    record_format_address(address, text);
    return json_string_create(text);
}

const struct record_type record_type_address = {
    .read = read_address, .write = write_address
};

static int
read_maybe_address(const struct record_field *f, const struct json *json,
                   void *member, struct diagnosis *diag)
{
    if (json->type == JSON_STRING && !*json_string(json)) {
        memset(member, 0, f->size);
        return 0;
    }
    return read_address(f, json, member, diag);
}

static struct json *
write_maybe_address(const struct record_field *f, const void *member)
{
    static const struct inet_addr none;

    return (memcmp(member, &none, sizeof none) ? write_address(f, member)
            : json_string_create(""));
}

const struct record_type record_type_maybe_address = {
    .read = read_maybe_address, .write = write_maybe_address
};

static int
read_bytes(const struct record_field *f, const struct json *json,
           void *member, struct diagnosis *diag)
{
    struct inet_addr address;
    int error = read_address(f, json, &address, diag);

    if (!error) {
        inet_addr_to_bytes(address, member);
    }
    return error;
}

static struct json *
write_bytes(const struct record_field *f, const void *member)
{
    struct inet_addr address = inet_addr_from_bytes(member);

    return write_address(f, &address);
}

const struct record_type record_type_bytes = {
    .read = read_bytes, .write = write_bytes
};

/* Reads "02:00:00:00:00:01". */
static bool
scan_mac(const char *text, struct mac *mac)
{
    for (int i = 0; i < 6; i++) {
        if (!isxdigit((unsigned char) text[0])
            || !isxdigit((unsigned char) text[1])
            || text[2] != (i < 5 ? ':' : '\0')) {
            return false;
        }
        mac->octet[i] = hexit_value(text[0]) << 4 | hexit_value(text[1]);
        text += 3;
    }
    return true;
}

static int
read_mac(const struct record_field *f, const struct json *json, void *member,
         struct diagnosis *diag)
{
    static const struct mac zero;
    struct mac mac;

    if (json->type != JSON_STRING || !scan_mac(json_string(json), &mac)) {
        return refuse(f, json, diag, "is not an Ethernet address");
    }
    if (inet_is_multicast_mac(&mac)) {
        return refuse(f, json, diag, "is a multicast address");
    }
    if (!memcmp(&mac, &zero, sizeof mac)) {
        return refuse(f, json, diag, "is no station's address");
    }
    memcpy(member, &mac, sizeof mac);
    return 0;
}

static struct json *
write_mac(const struct record_field *f OVS_UNUSED, const void *member)
{
    const uint8_t *o = member;

    return json_string_create_nocopy(
        xasprintf("%02x:%02x:%02x:%02x:%02x:%02x",
                  o[0], o[1], o[2], o[3], o[4], o[5]));
}

const struct record_type record_type_mac = {
    .read = read_mac, .write = write_mac
};

/* Ids in QUIC connection ids. */

/* Reads pairs of hexadecimal digits. */
static bool
scan_quic_id(const char *text, struct record_quic_id *id)
{
    size_t n = strlen(text);

    if (n % 2 || n > GROUP_MAX_QUIC_ID * 2
        || strspn(text, "0123456789abcdefABCDEF") != n) {
        return false;
    }
    *id = (struct record_quic_id) { .length = n / 2 };
    for (size_t i = 0; i < n; i++) {
        id->value = id->value << 4 | hexit_value(text[i]);
    }
    return true;
}

static int
read_quic_id(const struct record_field *f, const struct json *json,
             void *member, struct diagnosis *diag)
{
    struct record_quic_id id;

    if (json->type != JSON_STRING || !scan_quic_id(json_string(json), &id)) {
        return refuse(f, json, diag, "is not up to %d bytes in hexadecimal",
                      GROUP_MAX_QUIC_ID);
    }
    memcpy(member, &id, sizeof id);
    return 0;
}

static struct json *
write_quic_id(const struct record_field *f OVS_UNUSED, const void *member)
{
    struct record_quic_id id;

    memcpy(&id, member, sizeof id);
    return json_string_create_nocopy(
        id.length ? xasprintf("%0*"PRIx64, (int) id.length * 2, id.value)
                  : xstrdup(""));
}

const struct record_type record_type_quic_id = {
    .read = read_quic_id, .write = write_quic_id
};

/* VNIs. */

static int
read_vnis(const struct record_field *f, const struct json *json, void *member,
          struct diagnosis *diag)
{
    struct vni_set set = VNI_SET_EMPTY;
    struct record_vnis vnis;

    if (json->type == JSON_STRING
        && strlen(json_string(json)) > RECORD_VNIS_TEXT_MAX) {
        return refuse(f, json, diag, "is longer than 4096 characters");
    }
    if (json->type != JSON_STRING
        || !vni_set_from_text(json_string(json), &set)) {
        return refuse(f, json, diag, "is not a list of VNIs and ranges of "
                      "them");
    }
    if (set.n > RECORD_VNIS_MAX) {
        int error = record_field_refuse(f->name, json, diag,
                                        "has %"PRIuSIZE" ranges, more than "
                                        "%d", set.n, RECORD_VNIS_MAX);

        diagnosis_set_hint(diag, "give wider ranges; VNIs of the endpoints "
                           "and workloads on the host need not be named");
        vni_set_destroy(&set);
        return error;
    }
    memset(&vnis, 0, sizeof vnis);
    vnis.n = set.n;
    if (set.n) {
        memcpy(vnis.ranges, set.ranges, set.n * sizeof *set.ranges);
    }
    memcpy(member, &vnis, sizeof vnis);
    vni_set_destroy(&set);
    return 0;
}

static struct json *
write_vnis(const struct record_field *f OVS_UNUSED, const void *member)
{
    struct vni_set set = VNI_SET_EMPTY;
    struct record_vnis vnis;
    char *text;

    memcpy(&vnis, member, sizeof vnis);
    vni_set_assign(&set, vnis.ranges, vnis.n);
    text = vni_set_to_text(&set);
    vni_set_destroy(&set);
    return json_string_create_nocopy(text);
}

const struct record_type record_type_vnis = {
    .read = read_vnis, .write = write_vnis
};
