/* What went wrong lately when hosts registered.  A host tries again every few
 * seconds, so what happens again is counted, not listed again. */

#include <config.h>

#include "mapping/mapd/server-incident.h"

#include <stdio.h>
#include <string.h>

#include "jsonrpc.h"
#include "mapping/mapd/server-private.h"
#include "openvswitch/json.h"
#include "openvswitch/shash.h"
#include "timeval.h"
#include "util.h"

/* Where 'conn' comes from, or whoever asks by it. */
static const char *
get_origin(const struct connection *conn)
{
    const struct server *server = conn->server;
    const struct json *from
        = (server->actor == conn && server->actor_for
           ? shash_find_data(json_object(server->actor_for), "from") : NULL);

    return from ? json_string(from) : jsonrpc_get_name(conn->rpc);
}

/* Connections are named tcp:IP:PORT, or otherwise if they are local: the
 * machine is what stands before the port. */
static void
get_machine(const struct connection *conn, char machine[])
{
    const char *name = get_origin(conn);
    const char *port = strrchr(name, ':');

    if (port) {
        snprintf(machine, SERVER_MACHINE_SIZE, "%.*s", (int) (port - name),
                 name);
    } else {
        ovs_strlcpy(machine, "a local socket", SERVER_MACHINE_SIZE);
    }
}

bool
server_incident_same_machine(const struct connection *a,
                             const struct connection *b)
{
    char x[SERVER_MACHINE_SIZE], y[SERVER_MACHINE_SIZE];

    get_machine(a, x);
    get_machine(b, y);
    return !strcmp(x, y);
}

static bool
is_recent(const struct server_incident *incident)
{
    return (incident->n
            && time_msec() - incident->last < SERVER_INCIDENT_MS);
}

static bool
is_like(const struct server_incident *a, const struct server_incident *b)
{
    return (!strcmp(a->host, b->host) && !strcmp(a->machine, b->machine)
            && !strcmp(a->rival, b->rival));
}

/* Counts 'news' with what is like it, if that is recent; else it takes the
 * place of the oldest. */
static void
note(struct server_incidents *incidents, struct server_incident *news)
{
    struct server_incident *place = &incidents->all[0];

    news->n = 1;
    news->last = time_msec();
    news->order = ++incidents->n_noted;
    for (size_t i = 0; i < SERVER_INCIDENTS; i++) {
        struct server_incident *x = &incidents->all[i];

        if (is_recent(x) && is_like(x, news)) {
            news->n = x->n + 1;
            place = x;
            break;
        }
        if (place->n && (!x->n || x->order < place->order)) {
            place = x;
        }
    }
    *place = *news;
}

void
server_incident_refused(struct connection *conn, const char *host,
                        const struct diagnosis *diag)
{
    struct server_incident news = { .n = 0 };

    if (record_is_name(host)) {
        ovs_strlcpy(news.host, host, sizeof news.host);
    }
    get_machine(conn, news.machine);
    snprintf(news.why, sizeof news.why, "%s%s%s%s", diag->message,
             diag->hint[0] ? " (" : "", diag->hint, diag->hint[0] ? ")" : "");
    note(&conn->server->incidents, &news);
}

void
server_incident_claimed(const struct connection *conn,
                        const struct connection *old, const char *host)
{
    struct server_incident news = { .n = 0 };

    ovs_strlcpy(news.host, host, sizeof news.host);
    get_machine(conn, news.machine);
    get_machine(old, news.rival);
    if (strcmp(news.machine, news.rival) > 0) {
        get_machine(old, news.machine);
        get_machine(conn, news.rival);
    }
    note(&conn->server->incidents, &news);
}

void
server_incident_registered(struct connection *conn, const char *host)
{
    struct server_incidents *incidents = &conn->server->incidents;
    char machine[SERVER_MACHINE_SIZE];

    get_machine(conn, machine);
    for (size_t i = 0; i < SERVER_INCIDENTS; i++) {
        struct server_incident *x = &incidents->all[i];

        if (!x->rival[0] && !strcmp(x->machine, machine)
            && (!x->host[0] || !strcmp(x->host, host))) {
            x->n = 0;
        }
    }
}

/* "12 s ago" or "3 times, the last 12 s ago". */
static char *
format_times(const struct server_incident *x)
{
    long long int ago = (time_msec() - x->last) / 1000;

    return (x->n == 1 ? xasprintf("%lld s ago", ago)
            : xasprintf("%u times, the last %lld s ago", x->n, ago));
}

char *
server_incident_describe(const struct server_incidents *incidents, size_t i)
{
    const struct server_incident *x = &incidents->all[i];
    char *times, *text;

    if (!is_recent(x)) {
        return NULL;
    }
    times = format_times(x);
    if (x->rival[0]) {
        text = xasprintf("name %s is claimed by two switches, at %s and at "
                         "%s; %s", x->host, x->machine, x->rival, times);
    } else {
        text = xasprintf("registration%s%s from %s was refused, %s: %s",
                         x->host[0] ? " of " : "", x->host, x->machine,
                         times, x->why);
    }
    free(times);
    return text;
}
