/* What hosts report of endpoints: flows and response times.  In memory only:
 * hosts say it all again when they come back.  What a connection has said is
 * forgotten when it ends.  Mapds that share a store tell each other what their
 * hosts say. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "hash.h"
#include "jsonrpc.h"
#include "mapping/mapd/link-row.h"
#include "mapping/report.h"
#include "openvswitch/json.h"
#include "openvswitch/token-bucket.h"
#include "openvswitch/vlog.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(server_report);

static struct vlog_rate_limit rl = VLOG_RATE_LIMIT_INIT(5, 5);

enum { TOKEN = 1000 };          /* A bucket gets 'rate' tokens per ms. */

/* What all hosts together say of an endpoint. */
struct total {
    struct hmap_node node;      /* In server->loads, by group and endpoint. */
    uint32_t group;
    uint16_t endpoint;
    size_t n_refs;              /* Who has said something; 0: other mapds are
                                 * still to be told that nobody has. */
    uint64_t changed;           /* server->load_changes of the last time. */
    uint64_t flows;
    /* Response times, weighed by flows, one more for each host: the mean is
     * that of what clients see. */
    double weights, weighted_us;
};

/* What a host, or another mapd of all hosts that are not here, has said of
 * one. */
struct said {
    struct hmap_node node;      /* In struct server_report, as above. */
    struct total *total;
    uint64_t flows;
    double weight, weighted_us;
};

struct server_report {
    struct hmap said;
    struct token_bucket messages;
};

static struct total *
find_total(const struct server *server, uint32_t group, uint16_t endpoint)
{
    struct total *total;

    HMAP_FOR_EACH_WITH_HASH (total, node, hash_2words(group, endpoint),
                             &server->loads) {
        if (total->group == group && total->endpoint == endpoint) {
            return total;
        }
    }
    return NULL;
}

static struct said *
find_said(const struct server_report *report, uint32_t group,
          uint16_t endpoint)
{
    struct said *said;

    HMAP_FOR_EACH_WITH_HASH (said, node, hash_2words(group, endpoint),
                             &report->said) {
        if (said->total->group == group
            && said->total->endpoint == endpoint) {
            return said;
        }
    }
    return NULL;
}

/* Adds what is 'said' to its total, or (-1) takes it back. */
static void
account(struct server *server, const struct said *said, int sign)
{
    struct total *total = said->total;

    total->changed = ++server->load_changes;
    total->flows += (uint64_t) sign * said->flows;
    total->weights += sign * said->weight;
    total->weighted_us += sign * said->weighted_us;
}

static struct said *
add_said(struct server *server, struct server_report *report,
         uint32_t group, uint16_t endpoint)
{
    uint32_t hash = hash_2words(group, endpoint);
    struct total *total = find_total(server, group, endpoint);
    struct said *said = xzalloc(sizeof *said);

    if (!total) {
        total = xzalloc(sizeof *total);
        total->group = group;
        total->endpoint = endpoint;
        hmap_insert(&server->loads, &total->node, hash);
    }
    server->n_idle_loads -= total->changed && !total->n_refs;
    total->n_refs++;
    said->total = total;
    hmap_insert(&report->said, &said->node, hash);
    return said;
}

static void
remove_said(struct server *server, struct server_report *report,
            struct said *said)
{
    account(server, said, -1);
    server->n_idle_loads += !--said->total->n_refs;
    hmap_remove(&report->said, &said->node);
    free(said);
}

/* 'weight' 0: no response time is known. */
static void
take(struct server *server, struct server_report *report, uint32_t group,
     uint16_t endpoint, uint64_t flows, double weight, double us, size_t max)
{
    struct said *said = find_said(report, group, endpoint);

    if (!flows && !weight) {
        if (said) {
            remove_said(server, report, said);
        }
        return;
    }
    if (said && said->flows == flows && said->weight == weight
        && said->weighted_us == weight * us) {
        return;                 /* Or mapds would go on telling each other. */
    }
    if (!said) {
        if (hmap_count(&report->said) >= max) {
            server->n_relay_drops++;
            return;
        }
        said = add_said(server, report, group, endpoint);
    }
    account(server, said, -1);
    said->flows = flows;
    said->weight = weight;
    said->weighted_us = weight * us;
    account(server, said, 1);
}

/* Response times count by flows, one more for each host. */
static void
take_load(struct server *server, struct server_report *report,
          const struct report_load *load)
{
    take(server, report, load->group, load->endpoint, load->flows,
         load->response_us ? load->flows + 1.0 : 0, load->response_us,
         SERVER_REPORTED_MAX);
}

static struct server_report *
make_report(void)
{
    struct server_report *report = xzalloc(sizeof *report);

    hmap_init(&report->said);
    token_bucket_init(&report->messages, SERVER_REPORT_RATE,
                      SERVER_REPORT_BURST * TOKEN);
    return report;
}

static struct server_report *
get_report(struct connection *conn)
{
    if (!conn->report) {
        conn->report = make_report();
    }
    return conn->report;
}

int
server_report(struct connection *conn, const struct json *params,
              struct diagnosis *diag)
{
    struct report_load *loads;
    size_t n;
    int error;

    if (!params || params->type != JSON_ARRAY || json_array(params)->n != 1) {
        return diagnosis_set(diag, DIAG_INVALID, "params", NULL,
                             "params must be an array of one object");
    }
    error = report_loads_from_json(json_array(params)->elems[0], &loads, &n,
                                   diag);
    if (error) {
        return error;
    }
    if (!conn->host || conn->doomed
        || !token_bucket_withdraw(&get_report(conn)->messages, TOKEN)) {
        conn->server->n_relay_drops++;
        VLOG_DBG_RL(&rl, "%s: a report is dropped: %s",
                    jsonrpc_get_name(conn->rpc),
                    conn->host ? "too many of them" : "not from a host");
    } else {
        for (size_t i = 0; i < n; i++) {
            take_load(conn->server, conn->report, &loads[i]);
        }
    }
    free(loads);
    return 0;
}

void
server_report_destroy(struct server *server, struct server_report *report)
{
    struct said *said;

    if (report) {
        HMAP_FOR_EACH_SAFE (said, node, &report->said) {
            remove_said(server, report, said);
        }
        hmap_destroy(&report->said);
        free(report);
    }
}

void
server_report_put(const struct server *server, uint32_t group,
                  uint16_t endpoint, struct json *status)
{
    const struct total *total = find_total(server, group, endpoint);

    if (total && total->n_refs) {
        json_object_put(status, "flows", json_integer_create(total->flows));
        if (total->weights >= 1) {
            json_object_put(status, "response_us", json_integer_create(
                                total->weighted_us / total->weights + 0.5));
        }
    }
}

/* Between mapds: by a link each says the sum of all that it knows, less what
 * the other end has said. */

#define ROW "nnnnn"             /* Group, endpoint, flows, weight, us. */

static int
take_row(struct server_link *link, const struct json *row,
         struct diagnosis *diag)
{
    union link_value v[5];
    int error = link_row_read(row, ROW, v, diag);

    if (error) {
        return error;
    } else if (!v[0].n || v[0].n > GROUP_MAX_ID
               || v[1].n >= GROUP_MAX_ENDPOINTS) {
        return diagnosis_set(diag, DIAG_INVALID, "endpoint", NULL,
                             "there can be no endpoint %"PRIu64" of group "
                             "%"PRIu64, v[1].n, v[0].n);
    }
    take(link->server, link->report, v[0].n, v[1].n, v[2].n, v[3].n, v[4].n,
         SERVER_LINK_REPORTED_MAX);
    return 0;
}

int
server_report_by(struct server_link *link, const struct json *params,
                 struct diagnosis *diag)
{
    const struct json *rows = link_rows_get(params, "loads", diag);
    int error = rows ? 0 : EINVAL;

    if (!link->report) {
        link->report = make_report();
    }
    for (size_t i = 0; !error && i < json_array(rows)->n; i++) {
        error = take_row(link, json_array(rows)->elems[i], diag);
    }
    return error;
}

static struct json *
make_row(const struct server_link *link, const struct total *total)
{
    const struct said *said = (link->report
                               ? find_said(link->report, total->group,
                                           total->endpoint) : NULL);
    double weight = total->weights - (said ? said->weight : 0);
    double us = total->weighted_us - (said ? said->weighted_us : 0);

    return link_row_create(ROW, (uint64_t) total->group,
                           (uint64_t) total->endpoint,
                           total->flows - (said ? said->flows : 0),
                           (uint64_t) (weight + 0.5),
                           (uint64_t) (weight >= 1 ? us / weight + 0.5 : 0));
}

static void
send_rows(struct server_link *link, struct json *rows)
{
    struct json *param = json_object_create();

    json_object_put(param, "loads", rows);
    server_link_put(link, "link_loads", param);
}

bool
server_report_tell(struct server_link *link)
{
    struct server *server = link->server;
    uint64_t until = MIN(server->load_changes,
                         link->loads_told + SERVER_LINK_LOADS);
    struct json *rows = json_array_create_empty();
    const struct total *total;

    HMAP_FOR_EACH (total, node, &server->loads) {
        if (total->changed > link->loads_told && total->changed <= until) {
            json_array_add(rows, make_row(link, total));
            if (json_array(rows)->n >= LINK_ROWS_MAX) {
                send_rows(link, rows);
                rows = json_array_create_empty();
            }
        }
    }
    if (json_array(rows)->n) {
        send_rows(link, rows);
    } else {
        json_destroy(rows);
    }
    link->loads_told = until;
    return until == server->load_changes;
}

/* Those of which nobody says anything any more are kept until all links have
 * told so. */
void
server_report_clean(struct server *server)
{
    uint64_t told = UINT64_MAX;
    const struct server_link *link;
    struct total *total;

    if (!server->n_idle_loads) {
        return;
    }
    LIST_FOR_EACH (link, node, &server->links) {
        told = MIN(told, link->loads_told);
    }
    HMAP_FOR_EACH_SAFE (total, node, &server->loads) {
        if (!total->n_refs && total->changed <= told) {
            hmap_remove(&server->loads, &total->node);
            free(total);
            server->n_idle_loads--;
        }
    }
}
