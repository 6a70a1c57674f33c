#include <config.h>
#include "mapping/record-iface.h"

#include <string.h>

#include "mapping/record-kind.h"
#include "mapping/record.h"
#include "openvswitch/json.h"
#include "util.h"

const struct record_choice record_mac_froms[] = {
    { "given", MAC_GIVEN }, { "iface", MAC_OF_IFACE }, { NULL, 0 },
};

static bool
is_alphanumeric(char c)
{
    return ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
            || (c >= '0' && c <= '9'));
}

bool
record_is_iface(const char *id)
{
    size_t n = 0;

    while (is_alphanumeric(id[n]) || (id[n] && strchr("._:/@-", id[n]))) {
        n++;
    }
    return !id[n] && n <= RECORD_IFACE_MAX && is_alphanumeric(id[0]);
}

bool
record_mac_is_zero(const struct mac *mac)
{
    static const struct mac zero;

    return !memcmp(mac, &zero, sizeof zero);
}

bool
record_is_bound(const struct record_endpoint *endpoint)
{
    return endpoint->host[0] && !record_mac_is_zero(&endpoint->mac);
}

/* Members. */

static int
read_iface(const struct record_field *f, const struct json *json,
           void *member, struct diagnosis *diag)
{
    const char *text = json->type == JSON_STRING ? json_string(json) : NULL;

    if (!text || (*text && !record_is_iface(text))) {
        int error = record_field_refuse(f->name, json, diag,
                                        "is not the id of a port");

        diagnosis_set_hint(diag, "%s", f->hint);
        return error;
    }
    ovs_strzcpy(member, text, f->size);
    return 0;
}

static struct json *
write_iface(const struct record_field *f OVS_UNUSED, const void *member)
{
    return json_string_create(member);
}

const struct record_type record_type_iface = {
    read_iface, write_iface, .is_text = true
};

static int
read_maybe_mac(const struct record_field *f, const struct json *json,
               void *member, struct diagnosis *diag)
{
    if (json->type == JSON_STRING && !*json_string(json)) {
        memset(member, 0, f->size);
        return 0;
    }
    return record_type_mac.read(f, json, member, diag);
}

static struct json *
write_maybe_mac(const struct record_field *f, const void *member)
{
    return (record_mac_is_zero(member) ? json_string_create("")
            : record_type_mac.write(f, member));
}

const struct record_type record_type_maybe_mac = {
    .read = read_maybe_mac, .write = write_maybe_mac
};

/* Records. */

void
record_iface_note_given(struct record *record, const struct json *json)
{
    if (record->kind == RECORD_ENDPOINT
        && shash_find(json_object(json), "mac")
        && !shash_find(json_object(json), "mac_from")) {
        record->endpoint.mac_from = MAC_GIVEN;
    }
}

void
record_iface_normalize(struct record_endpoint *e)
{
    if (!e->iface[0]) {
        e->mac_from = MAC_GIVEN;
    } else if (record_mac_is_zero(&e->mac)) {
        e->mac_from = MAC_OF_IFACE;
    }
}

int
record_iface_check(const struct record_endpoint *e, struct diagnosis *diag)
{
    const char *missing = (e->iface[0] ? NULL
                           : !e->host[0] ? "host"
                           : record_mac_is_zero(&e->mac) ? "mac" : NULL);
    int error;

    if (!missing) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_INVALID, missing, NULL,
                          "%s: required in an endpoint record", missing);
    diagnosis_set_hint(diag, "or give iface, the external_ids:iface-id of its "
                       "port, by which it is found");
    return error;
}

void
record_adopt_binding(struct record *record, const struct record *old)
{
    struct record_endpoint *e = &record->endpoint;

    if (record->kind != RECORD_ENDPOINT || old->kind != RECORD_ENDPOINT
        || !e->iface[0] || strcmp(e->iface, old->endpoint.iface)) {
        return;
    }
    ovs_strlcpy(e->host, old->endpoint.host, sizeof e->host);
    if (e->mac_from == MAC_OF_IFACE) {
        e->mac = old->endpoint.mac;
    }
}
