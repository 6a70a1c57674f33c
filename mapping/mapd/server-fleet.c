/* What mapds tell each other of hosts: which revision they use. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <errno.h>
#include <string.h>

#include "mapping/mapd/link-row.h"
#include "mapping/mapd/store.h"
#include "openvswitch/json.h"
#include "timeval.h"
#include "util.h"

/* Host, mapd, revision, how many ms ago it said so, version. */
#define ROW "ssnns"

static int
take_host(struct server_link *link, const struct json *row,
          struct diagnosis *diag)
{
    struct server *server = link->server;
    struct presence_told told = { .applied = 0 };
    struct presence_host *host;
    union link_value v[5];
    int error = link_row_read(row, ROW, v, diag);

    if (error) {
        return error;
    }
    if (link->conn && strcmp(v[1].s, link->mapd)) {
        return diagnosis_set(diag, DIAG_INVALID, "mapd", v[1].s,
                             "%s may not speak for %s", link->mapd, v[1].s);
    }
    host = presence_find(&server->presence, v[0].s);
    if (!host) {
        link->misses = true;    /* Its record is still to come, or gone. */
    } else if (strcmp(v[1].s, store_own_name(server->store))) {
        ovs_strlcpy(told.mapd, v[1].s, sizeof told.mapd);
        told.applied = v[2].n;
        told.applied_at = v[2].n ? time_msec() - MIN(v[3].n, INT32_MAX) : 0;
        ovs_strlcpy(told.version, v[4].s, sizeof told.version);
        presence_tell(&server->presence, host, &told);
    }
    return 0;
}

int
server_fleet_hosts(struct server_link *link, const struct json *params,
                   struct diagnosis *diag)
{
    const struct json *rows = link_rows_get(params, "hosts", diag);
    int error = rows ? 0 : EINVAL;

    for (size_t i = 0; !error && i < json_array(rows)->n; i++) {
        error = take_host(link, json_array(rows)->elems[i], diag);
    }
    return error;
}

/* Telling. */

static void
send_rows(struct server_link *link, struct json *rows)
{
    struct json *param = json_object_create();

    json_object_put(param, "hosts", rows);
    server_link_put(link, "link_hosts", param);
}

/* Adds 'row', which it takes over, to '*rows', sent when there are enough. */
static void
add_row(struct server_link *link, struct json **rows, struct json *row)
{
    json_array_add(*rows, row);
    if (json_array(*rows)->n >= LINK_ROWS_MAX) {
        send_rows(link, *rows);
        *rows = json_array_create_empty();
    }
}

static void
add_host(struct server_link *link, const struct presence_host *host,
         struct json **rows)
{
    uint64_t ago = host->applied_at ? time_msec() - host->applied_at : 0;

    if (host->owner) {
        add_row(link, rows, link_row_create(
                    ROW, host->name, store_own_name(link->server->store),
                    host->applied, ago, host->version));
    }
    for (size_t i = 0; link->conn && i < PRESENCE_TELLERS; i++) {
        const struct presence_told *told = &host->told[i];

        ago = told->applied_at ? time_msec() - told->applied_at : 0;
        if (told->mapd[0] && strcmp(told->mapd, link->mapd)) {
            add_row(link, rows, link_row_create(
                        ROW, host->name, told->mapd, told->applied, ago,
                        told->version));
        }
    }
}

/* The whole of them is bounded by the number of hosts, and a link that is not
 * full takes it. */
void
server_fleet_tell_hosts(struct server_link *link)
{
    const struct presence *presence = &link->server->presence;
    struct json *rows = json_array_create_empty();
    const struct presence_host *host;

    HMAP_FOR_EACH (host, node, &presence->hosts) {
        if (host->changed > link->hosts_told) {
            add_host(link, host, &rows);
        }
    }
    if (json_array(rows)->n) {
        send_rows(link, rows);
    } else {
        json_destroy(rows);
    }
    link->hosts_told = presence->changes;
}
