#include <config.h>
#include "mapping/catalog/catalog-check.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mapping/catalog/catalog-few.h"
#include "mapping/catalog/catalog-missing.h"
#include "mapping/catalog/catalog-record-check.h"
#include "openvswitch/json.h"
#include "util.h"

/* What is not there. */

int
catalog_check_vni(const struct catalog *catalog, uint32_t vni,
                  struct diagnosis *diag)
{
    const struct catalog_group_node *node;

    HMAP_FOR_EACH (node, by_name, &catalog->groups) {
        if (node->group.record.vni == vni) {
            return 0;
        }
    }
    return catalog_missing_vni(catalog, vni, diag);
}

/* What is there already. */

static int
refuse_existing(const struct record *key, const char *problem,
                struct diagnosis *diag)
{
    char text[RECORD_KEY_SIZE];
    int error;

    if (key->kind >= RECORD_FIRST_PLAIN) {
        return catalog_record_check_existing(key, problem, diag);
    }
    record_format_key(key, text);
    error = diagnosis_set(diag, DIAG_EXISTS, "name",
                          key->kind == RECORD_HOST ? key->host.name
                          : key->kind == RECORD_GROUP ? key->group.name
                          : key->endpoint.name,
                          "%s %s %s", record_kind_name(key->kind), text,
                          problem);
    diagnosis_set_hint(diag, "'grapnelctl %s set' changes it",
                       record_kind_name(key->kind));
    return error;
}

int
catalog_check_exists(const struct record *key, struct diagnosis *diag)
{
    return refuse_existing(key, "exists already", diag);
}

int
catalog_check_differs(const struct record *key, struct diagnosis *diag)
{
    return refuse_existing(key, "exists already and is different", diag);
}

/* The member 'name' of 'record' as text. */
static void
format_member(const struct record *record, const char *name, char *text,
              size_t size)
{
    struct json *json = record_to_json(record);
    const struct json *member = shash_find_data(json_object(json), name);

    if (member->type == JSON_STRING) {
        ovs_strlcpy(text, json_string(member), size);
    } else {
        snprintf(text, size, "%"PRId64, json_integer(member));
    }
    json_destroy(json);
}

/* What must be unique. */

static int
check_vtep(const struct catalog *catalog, const struct record *record,
           struct diagnosis *diag)
{
    const struct record_host *r = &record->host;
    const struct catalog_host_node *other = catalog_index_same_vtep(catalog,
                                                                    r);
    char vtep[RECORD_ADDRESS_SIZE];
    int error;

    if (!other) {
        return 0;
    }
    format_member(record, "vtep", vtep, sizeof vtep);
    error = diagnosis_set(diag, DIAG_EXISTS, "vtep", vtep, "host %s: vtep %s "
                          "is taken by host %s", r->name, vtep,
                          other->record.name);
    diagnosis_set_hint(diag, "give it another vtep, or change or remove host "
                       "%s", other->record.name);
    return error;
}

static void
format_ports(const struct record_group *r, char *text, size_t size)
{
    if (r->port_last) {
        snprintf(text, size, "ports %d to %d", r->port, r->port_last);
    } else if (r->port) {
        snprintf(text, size, "port %d", r->port);
    } else {
        snprintf(text, size, "all ports");
    }
}

static int
check_service(const struct catalog *catalog, const struct record *record,
              struct diagnosis *diag)
{
    const struct record_group *r = &record->group;
    const struct catalog_group_node *other
        = catalog_index_same_service(catalog, r);
    char address[RECORD_ADDRESS_SIZE], ports[32], theirs[32];
    int error;

    if (!other) {
        return 0;
    }
    format_member(record, "address", address, sizeof address);
    format_ports(r, ports, sizeof ports);
    format_ports(&other->group.record, theirs, sizeof theirs);
    error = diagnosis_set(diag, DIAG_EXISTS, "address", address, "group "
                          "%"PRIu32"/%s: address %s %s %s is taken by group "
                          "%"PRIu32"/%s%s%s%s", r->vni, r->name, address,
                          record_protocol_name(r->protocol), ports, r->vni,
                          other->group.record.name,
                          strcmp(ports, theirs) ? " (" : "",
                          strcmp(ports, theirs) ? theirs : "",
                          strcmp(ports, theirs) ? ")" : "");
    diagnosis_set_hint(diag, "give it another address, protocol or port, or "
                       "remove group %"PRIu32"/%s", r->vni,
                       other->group.record.name);
    return error;
}

static int
check_mac(const struct catalog *catalog, const struct record *record,
          struct diagnosis *diag)
{
    const struct record_endpoint *r = &record->endpoint;
    const struct catalog_endpoint_node *other
        = catalog_index_same_mac(catalog, r);
    char mac[18];
    int error;

    if (!other) {
        return 0;
    }
    format_member(record, "mac", mac, sizeof mac);
    error = diagnosis_set(diag, DIAG_EXISTS, "mac", mac, "endpoint "
                          "%"PRIu32"/%s/%s: mac %s is taken by endpoint "
                          "%"PRIu32"/%s/%s", r->vni, r->group, r->name, mac,
                          r->vni, r->group, other->endpoint.record.name);
    diagnosis_set_hint(diag, "give it another mac, or change or remove "
                       "endpoint %s", other->endpoint.record.name);
    return error;
}

static int
check_quic_id(const struct catalog *catalog, const struct record *record,
              struct diagnosis *diag)
{
    const struct record_endpoint *r = &record->endpoint;
    const struct catalog_endpoint_node *other
        = r->quic_id.length ? catalog_index_same_quic_id(catalog, r) : NULL;
    char quic_id[2 * GROUP_MAX_QUIC_ID + 1];
    int error;

    if (!other) {
        return 0;
    }
    format_member(record, "quic_id", quic_id, sizeof quic_id);
    error = diagnosis_set(diag, DIAG_EXISTS, "quic_id", quic_id, "endpoint "
                          "%"PRIu32"/%s/%s: quic_id %s is taken by endpoint "
                          "%"PRIu32"/%s/%s", r->vni, r->group, r->name,
                          quic_id, r->vni, r->group,
                          other->endpoint.record.name);
    diagnosis_set_hint(diag, "give it another quic_id, or change or remove "
                       "endpoint %s", other->endpoint.record.name);
    return error;
}

bool
catalog_check_fits_quic_id(const struct record_group *group,
                           const struct record_endpoint *endpoint)
{
    return (!endpoint->quic_id.length
            || endpoint->quic_id.length == group->quic_id_length);
}

static int
check_quic_length(const struct catalog *catalog, const struct record *record,
                  struct diagnosis *diag)
{
    const struct record_endpoint *r = &record->endpoint;
    const struct record_group *group
        = &catalog_index_group(catalog, r->vni, r->group)->group.record;
    char quic_id[2 * GROUP_MAX_QUIC_ID + 1];
    int error;

    if (catalog_check_fits_quic_id(group, r)) {
        return 0;
    }
    format_member(record, "quic_id", quic_id, sizeof quic_id);
    error = diagnosis_set(diag, DIAG_INVALID, "quic_id", quic_id, "endpoint "
                          "%"PRIu32"/%s/%s: quic_id %s has %d bytes, but "
                          "quic_id_length of its group is %d", r->vni,
                          r->group, r->name, quic_id,
                          (int) r->quic_id.length, group->quic_id_length);
    diagnosis_set_hint(diag, "make them the same, in one transaction if both "
                       "change");
    return error;
}

/* One VM has one endpoint in a group. */
static int
check_iface(const struct catalog *catalog, const struct record *record,
            struct diagnosis *diag)
{
    const struct record_endpoint *r = &record->endpoint;
    const struct catalog_endpoint_node *other
        = r->iface[0] ? catalog_index_same_iface(catalog, r) : NULL;
    int error;

    if (!other) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_EXISTS, "iface", r->iface, "endpoint "
                          "%"PRIu32"/%s/%s: iface %s is taken by endpoint "
                          "%"PRIu32"/%s/%s", r->vni, r->group, r->name,
                          r->iface, r->vni, r->group,
                          other->endpoint.record.name);
    diagnosis_set_hint(diag, "give it another iface, or change or remove "
                       "endpoint %s", other->endpoint.record.name);
    return error;
}

static int
check_endpoint_alone(const struct catalog *catalog,
                     const struct record *record, struct diagnosis *diag)
{
    int error = check_mac(catalog, record, diag);

    if (!error) {
        error = check_iface(catalog, record, diag);
    }
    if (!error) {
        error = check_quic_id(catalog, record, diag);
    }
    return error ? error : check_quic_length(catalog, record, diag);
}

int
catalog_check_unique(const struct catalog *catalog,
                     const struct record *record, struct diagnosis *diag)
{
    if (record->kind >= RECORD_FIRST_PLAIN) {
        return catalog_record_check_restored(catalog, record, diag);
    }
    switch (record->kind) {
    case RECORD_HOST:
        return check_vtep(catalog, record, diag);
    case RECORD_GROUP:
        return check_service(catalog, record, diag);
    case RECORD_ENDPOINT:
        return check_endpoint_alone(catalog, record, diag);
    default:
        break;
    }
    OVS_NOT_REACHED();
}

/* What is referred to, and room. */

static int
check_group(const struct catalog *catalog, const struct record *record,
            struct diagnosis *diag)
{
    const struct record_group *r = &record->group;

    if (hmap_count(&catalog->groups) >= GROUP_MAX_ID
        && !catalog_index_group(catalog, r->vni, r->name)) {
        int error = diagnosis_set(diag, DIAG_BUSY, NULL, NULL, "there are %d "
                                  "groups, the most that there can be",
                                  GROUP_MAX_ID);

        diagnosis_set_hint(diag, "remove one first");
        return error;
    }
    return 0;
}

static int
check_endpoint(const struct catalog *catalog, const struct record *record,
               struct diagnosis *diag)
{
    const struct record_endpoint *r = &record->endpoint;
    const struct catalog_group_node *node
        = catalog_index_group(catalog, r->vni, r->group);

    if (!node) {
        return catalog_missing_group(catalog, "group", r->vni, r->group, diag);
    }
    if (r->host[0] && !catalog_index_host(catalog, r->host)) {
        return catalog_missing_host(catalog, "host", r->host, diag);
    }
    if (node->group.n_endpoints >= GROUP_MAX_ENDPOINTS
        && !catalog_index_endpoint(&node->group, r->name)) {
        int error = diagnosis_set(diag, DIAG_BUSY, "group", r->group,
                                  "group %"PRIu32"/%s has %d endpoints, the "
                                  "most that there can be", r->vni, r->group,
                                  GROUP_MAX_ENDPOINTS);

        diagnosis_set_hint(diag, "remove one first, or add another group");
        return error;
    }
    return 0;
}

int
catalog_check_put(const struct catalog *catalog, const struct record *record,
                  struct diagnosis *diag)
{
    if (record->kind >= RECORD_FIRST_PLAIN) {
        return catalog_record_check_put(catalog, record, diag);
    }
    switch (record->kind) {
    case RECORD_HOST:
        return 0;
    case RECORD_GROUP:
        return check_group(catalog, record, diag);
    case RECORD_ENDPOINT:
        return check_endpoint(catalog, record, diag);
    default:
        break;
    }
    OVS_NOT_REACHED();
}

/* What breaks connections. */

/* Affinity says what a flow is, and so what it is known by, here and on hosts:
 * with another one none is found again. */
int
catalog_check_sticky(const struct catalog *catalog,
                     const struct record_group *old,
                     const struct record_group *new, struct diagnosis *diag)
{
    const struct catalog_group_node *node
        = catalog_index_group(catalog, new->vni, new->name);
    bool to_source = new->affinity == AFFINITY_SOURCE;
    size_t n = 0;
    int error;

    for (size_t i = 0; i < node->group.n_endpoints; i++) {
        n += node->group.endpoints[i]->record.state != ENDPOINT_DOWN;
    }
    if (old->affinity == new->affinity || !n) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_IN_USE, "affinity",
                          to_source ? "source" : "flow",
                          "group %"PRIu32"/%s: affinity %s would break the "
                          "connections of its %"PRIuSIZE" endpoint%s",
                          new->vni, new->name, to_source ? "source" : "flow",
                          n, n == 1 ? "" : "s");
    diagnosis_set_hint(diag, "--force does it all the same; or add another "
                       "group, with another address or port");
    return error;
}

/* What is still needed. */

static void
add_users(const struct catalog_group *group, const char *host,
          struct catalog_few *few)
{
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct record_endpoint *r = &group->endpoints[i]->record;
        char text[RECORD_KEY_SIZE];

        if (!strcmp(r->host, host)) {
            snprintf(text, sizeof text, "%"PRIu32"/%s/%s", r->vni, r->group,
                     r->name);
            catalog_few_add(few, r->vni, text);
        }
    }
}

static int
check_remove_host(const struct catalog *catalog, const char *name,
                  struct diagnosis *diag)
{
    size_t n = catalog_index_host(catalog, name)->n_users;
    const struct catalog_group_node *node;
    struct catalog_few few = { .n = 0 };
    int error;

    if (!n) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_IN_USE, "name", name, "host %s is in use "
                          "by %"PRIuSIZE" endpoint%s", name, n,
                          n == 1 ? "" : "s");
    HMAP_FOR_EACH (node, by_name, &catalog->groups) {
        add_users(&node->group, name, &few);
    }
    catalog_few_hint(&few, "remove or move first:", NULL, diag);
    return error;
}

static int
check_remove_group(const struct catalog_group *group, struct diagnosis *diag)
{
    size_t n = group->n_endpoints;
    struct catalog_few few = { .n = 0 };
    int error;

    if (!n) {
        return 0;
    }
    error = diagnosis_set(diag, DIAG_IN_USE, "name", group->record.name,
                          "group %"PRIu32"/%s has %"PRIuSIZE" endpoint%s",
                          group->record.vni, group->record.name, n,
                          n == 1 ? "" : "s");
    for (size_t i = 0; i < n; i++) {
        catalog_few_add(&few, 0, group->endpoints[i]->record.name);
    }
    catalog_few_hint(&few, "--cascade removes them too:", NULL, diag);
    return error;
}

int
catalog_check_remove(const struct catalog *catalog, const struct record *key,
                     bool cascade, struct diagnosis *diag)
{
    const struct catalog_group_node *node;
    int error;

    switch (key->kind) {
    case RECORD_HOST:
        error = check_remove_host(catalog, key->host.name, diag);
        return error ? error : catalog_record_check_unused(catalog, key, diag);

    case RECORD_GROUP:
        node = catalog_index_group(catalog, key->group.vni, key->group.name);
        return cascade ? 0 : check_remove_group(&node->group, diag);

    case RECORD_ENDPOINT:
        return 0;

    default:
        return cascade ? 0 : catalog_record_check_unused(catalog, key, diag);
    }
}
