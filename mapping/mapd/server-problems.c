/* What an operator should look at, in words. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/mapd/audit.h"
#include "mapping/mapd/revoked.h"
#include "mapping/mapd/store.h"
#include "mapping/tls.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "timeval.h"
#include "util.h"

enum {
    PROBLEMS_MAX = 100,         /* Told in full. */
    LAG_MS       = 1000,        /* After a change: no problem yet. */
    NAMES_MAX    = 4,           /* Of hosts, in one line. */
};

struct problems {
    struct json *array;
    size_t n_more;
};

static void OVS_PRINTF_FORMAT(2, 3)
add(struct problems *problems, const char *format, ...)
{
    va_list args;

    if (json_array(problems->array)->n >= PROBLEMS_MAX) {
        problems->n_more++;
        return;
    }
    va_start(args, format);
    json_array_add(problems->array,
                   json_string_create_nocopy(xvasprintf(format, args)));
    va_end(args);
}

/* A machine that moves has its endpoints and its workload changed one after
 * the other; if they stay apart, one of them is wrong. */
static void
add_station(struct problems *problems, const struct catalog *catalog,
            const struct record_endpoint *e)
{
    const struct record_workload *w = catalog_find_station(catalog, e->vni,
                                                           &e->mac);

    if (w && record_is_bound(e) && strcmp(w->host, e->host)) {
        add(problems, "endpoint %"PRIu32"/%s/%s and workload %"PRIu32"/%s "
            "have the same MAC, but are on hosts %s and %s", e->vni, e->group,
            e->name, w->vni, w->name, e->host, w->host);
    }
}

/* Switches take what is sent to a group's address to the group. */
static void
add_claim(struct problems *problems, const struct catalog *catalog,
          const struct record_group *group)
{
    struct inet_addr address = inet_addr_from_bytes(group->address);
    const struct record *other = catalog_find_claim(catalog, group->vni,
                                                    address);
    char key[RECORD_KEY_SIZE];

    if (other) {
        record_format_key(other, key);
        add(problems, "%s%s %s has the address of group %"PRIu32"/%s, and "
            "gets nothing that is sent there",
            other->kind == RECORD_WORKLOAD ? "" : "gateway ",
            record_kind_name(other->kind), key, group->vni, group->name);
    }
}

/* Each endpoint that is up, on a host that is alive, has a slot, as long as
 * there are enough. */
static void
add_group(struct problems *problems, const struct catalog *catalog,
          const struct catalog_group *group)
{
    const struct record_group *r = &group->record;
    size_t n_up = 0, n_lost = 0, n_unbound = 0;

    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *e = group->endpoints[i];
        bool serves = catalog_endpoint_serves(catalog, e);

        n_up += serves;
        n_lost += (e->record.state == ENDPOINT_UP && !serves
                   && record_is_bound(&e->record));
        n_unbound += (e->record.state == ENDPOINT_UP
                      && !record_is_bound(&e->record));
        add_station(problems, catalog, &e->record);
    }
    add_claim(problems, catalog, r);
    if (!n_up && n_unbound) {
        add(problems, "group %"PRIu32"/%s: none of its endpoints that are up "
            "gets flows: %"PRIuSIZE" unbound, %"PRIuSIZE" on dead hosts",
            r->vni, r->name, n_unbound, n_lost);
    } else if (!n_up && n_lost) {
        add(problems, "group %"PRIu32"/%s: the hosts of all its endpoints "
            "that are up are dead", r->vni, r->name);
    } else if (!n_up) {
        add(problems, "group %"PRIu32"/%s has no endpoint that is up",
            r->vni, r->name);
    } else if (n_up > r->n_slots) {
        add(problems, "group %"PRIu32"/%s: %"PRIuSIZE" of %"PRIuSIZE
            " endpoints that are up own no slots and get no flows, as it has "
            "only %"PRIuSIZE" slots", r->vni, r->name, n_up - r->n_slots,
            n_up, (size_t) r->n_slots);
    }
}

/* What the hosts of its endpoints say about them. */
static void
add_health(struct problems *problems, const struct catalog *catalog,
           const struct catalog_group *group)
{
    const struct record_group *r = &group->record;
    const struct catalog_endpoint *first = NULL;
    size_t n = 0, n_sick = 0;

    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *e = group->endpoints[i];

        if (catalog_endpoint_serves(catalog, e)) {
            n++;
            if (catalog_endpoint_sickness(catalog, group, e)) {
                first = first ? first : e;
                n_sick++;
            }
        }
    }
    if (n_sick) {
        add(problems, "group %"PRIu32"/%s: %"PRIuSIZE" of %"PRIuSIZE
            " endpoints that are up %s unhealthy%s (%s: %s)", r->vni, r->name,
            n_sick, n, n_sick == 1 ? "is" : "are",
            n_sick == n ? ", so all are used" : "", first->record.name,
            catalog_endpoint_sickness(catalog, group, first));
    }
}

/* Endpoints that are found by their port. */
static void
add_ifaces(struct problems *problems, const struct server *server,
           const struct catalog_group *group)
{
    for (size_t i = 0; i < group->n_endpoints; i++) {
        char *text = server_iface_problem(server,
                                          &group->endpoints[i]->record);

        if (text) {
            add(problems, "%s", text);
            free(text);
        }
    }
}

static bool
lags(const struct presence_host *host)
{
    return (host->lag_since != LLONG_MAX
            && time_msec() - host->lag_since >= LAG_MS);
}

static void
add_host(struct problems *problems, const struct server *server,
         const char *name, size_t n_endpoints)
{
    const struct presence_host *host = presence_find(&server->presence, name);
    const char *plural = n_endpoints == 1 ? "" : "s";

    if (host->dead) {
        add(problems, "host %s is dead: %"PRIuSIZE" endpoint%s there get%s no "
            "new flows", name, n_endpoints, plural,
            n_endpoints == 1 ? "s" : "");
    } else if (!presence_is_connected(host)) {
        add(problems, "host %s is disconnected and has %"PRIuSIZE
            " endpoint%s", name, n_endpoints, plural);
    } else if (lags(host)) {
        add(problems, "host %s uses revision %"PRIu64", not %"PRIu64
            ", and has %"PRIuSIZE" endpoint%s", name, host->applied,
            catalog_revision(server->catalog), n_endpoints, plural);
    }
}

/* What hosts ask for and may not see. */
static void
add_refused_vnis(struct problems *problems, const struct server *server)
{
    const struct connection *conn;

    LIST_FOR_EACH (conn, node, &server->connections) {
        char *vnis = server_vnis_refused(conn);

        if (vnis && conn->host && !conn->doomed) {
            add(problems, "host %s asks for VNI %s, which it may not see; "
                "grapnelctl host set %s --vnis lets it", conn->host->name,
                vnis, conn->host->name);
        }
        free(vnis);
    }
}

/* Counts the endpoints of 'group' by host in 'counts', as uintptr_t. */
static void
count_endpoints(const struct catalog_group *group, struct shash *counts)
{
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const char *host = group->endpoints[i]->record.host;
        struct shash_node *node = shash_find(counts, host);

        if (!host[0]) {
            continue;
        }
        if (!node) {
            node = shash_add(counts, host, NULL);
        }
        node->data = (void *) ((uintptr_t) node->data + 1);
    }
}

static void
add_incidents(struct problems *problems, const struct server *server)
{
    for (size_t i = 0; i < SERVER_INCIDENTS; i++) {
        char *text = server_incident_describe(&server->incidents, i);

        if (text) {
            add(problems, "%s", text);
            free(text);
        }
    }
}

/* Of each IP version, how many hosts have such a VTEP, and a few names. */
struct family {
    size_t n;
    struct ds names;
};

static void
add_family_host(struct family *family, const char *name)
{
    if (family->n < NAMES_MAX) {
        ds_put_format(&family->names, "%s%s", family->n ? ", " : "", name);
    } else if (family->n == NAMES_MAX) {
        ds_put_cstr(&family->names, ", ...");
    }
    family->n++;
}

/* A host can reach those only whose VTEPs are of the version of its own. */
static void
add_families(struct problems *problems, const struct catalog *catalog)
{
    struct family families[] = {
        { .names = DS_EMPTY_INITIALIZER }, { .names = DS_EMPTY_INITIALIZER }
    };
    struct family *four = &families[0], *six = &families[1];
    const struct record_host **hosts;
    size_t n;

    hosts = catalog_hosts(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        add_family_host(inet_addr_is4(hosts[i]->vtep) ? four : six,
                        hosts[i]->name);
    }
    free(hosts);
    if (four->n && six->n) {
        add(problems, "VTEPs are of both IP versions, and packets from one to "
            "the other are lost: IPv4 on %"PRIuSIZE" (%s), IPv6 on %"PRIuSIZE
            " (%s)", four->n, ds_cstr(&four->names), six->n,
            ds_cstr(&six->names));
    }
    ds_destroy(&four->names);
    ds_destroy(&six->names);
}

/* Less than this is left of the certificate: time to renew it. */
enum { RENEW_S = 14 * 24 * 3600 };

/* Who has not renewed in time finds out when its connection ends. */
static void
add_peers(struct problems *problems, const struct server *server)
{
    const struct connection *conn, *first = NULL;
    size_t n = 0;

    LIST_FOR_EACH (conn, node, &server->connections) {
        /* Others have none, or have been told. */
        if (conn->role.kind == ROLE_HOST && conn->host && !conn->doomed
            && conn->peer.expires - time_wall() < RENEW_S) {
            n++;
            if (!first || conn->peer.expires < first->peer.expires) {
                first = conn;
            }
        }
    }
    if (n) {
        long long int left = first->peer.expires - time_wall();
        char *rest = (n > 1 ? xasprintf("; %"PRIuSIZE" more hosts' will soon",
                                        n - 1) : xstrdup(""));

        if (left < 0) {
            add(problems, "the certificate of host %s has expired: it cannot "
                "connect again%s", first->host->name, rest);
        } else {
            add(problems, "the certificate of host %s expires in %lld hours%s",
                first->host->name, left / 3600, rest);
        }
        free(rest);
    }
}

static void
add_certificate(struct problems *problems, const char *certificate)
{
    int left = tls_seconds_left(certificate);
    char *name = tls_common_name(certificate);

    if (tls_trouble()) {
        add(problems, "%s; what was read before is in use until mapd is "
            "restarted", tls_trouble());
    } else if (!tls_is_mapd(name)) {
        add(problems, "certificate %s is for \"%s\", not for mapd:NAME: hosts "
            "and grapnelctl do not talk to who has it", certificate, name);
    }
    free(name);
    if (left < 0) {
        add(problems, "certificate %s has expired", certificate);
    } else if (left < RENEW_S) {
        add(problems, "certificate %s expires in %d hours", certificate,
            left / 3600);
    }
}

static void
add_trust(struct problems *problems, const struct server *server)
{
    char *audit = server->audit ? audit_problem(server->audit) : NULL;

    if (server->plain_target) {
        add(problems, "%s is open: who reaches it can read and change "
            "everything; pssl: asks for certificates", server->plain_target);
    }
    if (tls_certificate()) {
        add_certificate(problems, tls_certificate());
    }
    add_peers(problems, server);
    if (server->revoked && revoked_problem(server->revoked)) {
        add(problems, "%s; what was read before stays in force",
            revoked_problem(server->revoked));
    }
    if (audit) {
        add(problems, "%s", audit);
        free(audit);
    }
}

struct json *
server_problems(const struct server *server)
{
    struct problems problems = { .array = json_array_create_empty() };
    struct shash counts = SHASH_INITIALIZER(&counts);
    const struct catalog_group **groups;
    const struct shash_node **hosts;
    struct diagnosis diag;
    char *forward;
    size_t n;

    if (store_check(server->store, &diag)) {
        add(&problems, "%s", diag.message);
    }
    if (server_suspects_itself(server)) {
        add(&problems, "more than half of the hosts with endpoints seem to be "
            "gone: is it this machine's network? No more are marked as dead");
    }
    forward = server_forward_problem(server);
    if (forward) {
        add(&problems, "%s", forward);
        free(forward);
    }
    add_trust(&problems, server);
    add_incidents(&problems, server);
    add_families(&problems, server->catalog);
    add_refused_vnis(&problems, server);
    groups = catalog_groups(server->catalog, &n);
    for (size_t i = 0; i < n; i++) {
        add_group(&problems, server->catalog, groups[i]);
        add_health(&problems, server->catalog, groups[i]);
        add_ifaces(&problems, server, groups[i]);
        count_endpoints(groups[i], &counts);
    }
    free(groups);

    hosts = shash_sort(&counts);
    n = shash_count(&counts);
    for (size_t i = 0; i < n; i++) {
        add_host(&problems, server, hosts[i]->name,
                 (uintptr_t) hosts[i]->data);
    }
    free(hosts);
    shash_destroy(&counts);
    if (problems.n_more) {
        json_array_add(problems.array, json_string_create_nocopy(
                           xasprintf("and %"PRIuSIZE" more",
                                     problems.n_more)));
    }
    return problems.array;
}
