#include <config.h>
#include "tests/unit/catalog-twin.h"

#include <string.h>

#include "util.h"

int
catalog_twin_find(const struct catalog_twin *twin, const struct record *key)
{
    for (size_t i = 0; i < twin->n; i++) {
        const struct record *r = &twin->records[i];

        if (r->kind == key->kind
            && (r->kind == RECORD_HOST
                ? !strcmp(r->host.name, key->host.name)
                : r->kind == RECORD_GROUP
                ? (r->group.vni == key->group.vni
                   && !strcmp(r->group.name, key->group.name))
                : (r->endpoint.vni == key->endpoint.vni
                   && !strcmp(r->endpoint.group, key->endpoint.group)
                   && !strcmp(r->endpoint.name, key->endpoint.name)))) {
            return i;
        }
    }
    return -1;
}

static bool
twin_has_host(const struct catalog_twin *twin, const char *name)
{
    for (size_t i = 0; i < twin->n; i++) {
        if (twin->records[i].kind == RECORD_HOST
            && !strcmp(twin->records[i].host.name, name)) {
            return true;
        }
    }
    return false;
}

static bool
twin_has_group(const struct catalog_twin *twin, uint32_t vni, const char *name)
{
    for (size_t i = 0; i < twin->n; i++) {
        const struct record *r = &twin->records[i];

        if (r->kind == RECORD_GROUP && r->group.vni == vni
            && !strcmp(r->group.name, name)) {
            return true;
        }
    }
    return false;
}

/* One port after the other, of groups that have a single one, a range, or
 * all. */
static bool
twin_ports_clash(const struct record_group *a, const struct record_group *b)
{
    if (!a->port_last != !b->port_last) {
        return false;
    } else if (!a->port_last) {
        return a->port == b->port;
    }
    for (int port = a->port; port <= a->port_last; port++) {
        if (port >= b->port && port <= b->port_last) {
            return true;
        }
    }
    return false;
}

bool
catalog_twin_clash(const struct record *a, const struct record *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case RECORD_HOST:
        return inet_addr_equal(a->host.vtep, b->host.vtep);
    case RECORD_GROUP:
        return (a->group.vni == b->group.vni
                && !memcmp(a->group.address, b->group.address, 16)
                && a->group.protocol == b->group.protocol
                && twin_ports_clash(&a->group, &b->group));
    default:
        return (a->endpoint.vni == b->endpoint.vni
                && !strcmp(a->endpoint.group, b->endpoint.group)
                && (!memcmp(&a->endpoint.mac, &b->endpoint.mac, 6)
                    || (a->endpoint.quic_id.length
                        && a->endpoint.quic_id.length
                           == b->endpoint.quic_id.length
                        && a->endpoint.quic_id.value
                           == b->endpoint.quic_id.value)));
    }
}

bool
catalog_twin_is_dead(const struct catalog_twin *twin, const char *host)
{
    for (size_t i = 0; i < twin->n; i++) {
        if (twin->records[i].kind == RECORD_HOST && twin->dead[i]
            && !strcmp(twin->records[i].host.name, host)) {
            return true;
        }
    }
    return false;
}

enum diagnosis_code
catalog_twin_put(struct catalog_twin *twin, const struct record *record)
{
    int at = catalog_twin_find(twin, record);

    if (record->kind == RECORD_ENDPOINT
        && (!twin_has_group(twin, record->endpoint.vni,
                            record->endpoint.group)
            || !twin_has_host(twin, record->endpoint.host))) {
        return DIAG_NOT_FOUND;
    }
    ovs_assert(at >= 0 || twin->n < CATALOG_TWIN_MAX);
    if (at < 0) {
        twin->dead[twin->n] = false;
    }
    twin->records[at < 0 ? (int) twin->n++ : at] = *record;
    return DIAG_NONE;
}

bool
catalog_twin_is_unique(const struct catalog_twin *twin)
{
    for (size_t i = 0; i < twin->n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (catalog_twin_clash(&twin->records[i], &twin->records[j])) {
                return false;
            }
        }
    }
    return true;
}

static bool
twin_uses(const struct record *user, const struct record *used)
{
    return (user->kind == RECORD_ENDPOINT
            && (used->kind == RECORD_HOST
                ? !strcmp(user->endpoint.host, used->host.name)
                : used->kind == RECORD_GROUP
                ? (user->endpoint.vni == used->group.vni
                   && !strcmp(user->endpoint.group, used->group.name))
                : false));
}

enum diagnosis_code
catalog_twin_remove(struct catalog_twin *twin, const struct record *key,
                    bool if_exists, bool cascade)
{
    int at = catalog_twin_find(twin, key);
    size_t n = 0;

    if (at < 0) {
        return if_exists ? DIAG_NONE : DIAG_NOT_FOUND;
    }
    for (size_t i = 0; i < twin->n; i++) {
        if (twin_uses(&twin->records[i], key)
            && (!cascade || key->kind == RECORD_HOST)) {
            return DIAG_IN_USE;
        }
    }
    for (size_t i = 0; i < twin->n; i++) {
        if ((int) i != at && !twin_uses(&twin->records[i], key)) {
            twin->dead[n] = twin->dead[i];
            twin->records[n++] = twin->records[i];
        }
    }
    twin->n = n;
    return DIAG_NONE;
}

bool
catalog_twin_equal(const struct record *a, const struct record *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case RECORD_HOST:
        return (!strcmp(a->host.name, b->host.name)
                && inet_addr_equal(a->host.vtep, b->host.vtep)
                && a->host.encap == b->host.encap);
    case RECORD_GROUP:
        return (!strcmp(a->group.name, b->group.name)
                && catalog_twin_clash(a, b)
                && a->group.port == b->group.port
                && a->group.port_last == b->group.port_last
                && a->group.affinity == b->group.affinity
                && a->group.n_slots == b->group.n_slots);
    default:
        return (!strcmp(a->endpoint.name, b->endpoint.name)
                && !memcmp(&a->endpoint.mac, &b->endpoint.mac, 6)
                && a->endpoint.quic_id.length == b->endpoint.quic_id.length
                && a->endpoint.quic_id.value == b->endpoint.quic_id.value
                && !strcmp(a->endpoint.host, b->endpoint.host)
                && a->endpoint.weight == b->endpoint.weight
                && a->endpoint.state == b->endpoint.state);
    }
}
