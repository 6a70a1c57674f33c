/* What hosts report of endpoints: flows and response times.  In memory only:
 * hosts say it all again when they come back.  What a connection has said is
 * forgotten when it ends. */

#include <config.h>

#include "mapping/mapd/server-private.h"

#include <stdlib.h>

#include "hash.h"
#include "jsonrpc.h"
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
    size_t n_refs;              /* Connections that have said something. */
    uint64_t flows;
    /* Response times, weighed by flows, one more for each host: the mean is
     * that of what clients see. */
    double weights, weighted_us;
};

/* What a connection has said of one. */
struct said {
    struct hmap_node node;      /* In struct server_report, as above. */
    struct total *total;
    uint32_t flows, response_us;
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
account(const struct said *said, int sign)
{
    struct total *total = said->total;

    total->flows += (int64_t) sign * said->flows;
    if (said->response_us) {
        double weight = said->flows + 1.0;

        total->weights += sign * weight;
        total->weighted_us += sign * weight * said->response_us;
    }
}

static struct said *
add_said(struct server *server, struct server_report *report,
         const struct report_load *load)
{
    uint32_t hash = hash_2words(load->group, load->endpoint);
    struct total *total = find_total(server, load->group, load->endpoint);
    struct said *said = xzalloc(sizeof *said);

    if (!total) {
        total = xzalloc(sizeof *total);
        total->group = load->group;
        total->endpoint = load->endpoint;
        hmap_insert(&server->loads, &total->node, hash);
    }
    total->n_refs++;
    said->total = total;
    hmap_insert(&report->said, &said->node, hash);
    return said;
}

static void
remove_said(struct server *server, struct server_report *report,
            struct said *said)
{
    account(said, -1);
    if (!--said->total->n_refs) {
        hmap_remove(&server->loads, &said->total->node);
        free(said->total);
    }
    hmap_remove(&report->said, &said->node);
    free(said);
}

static void
take(struct server *server, struct server_report *report,
     const struct report_load *load)
{
    struct said *said = find_said(report, load->group, load->endpoint);

    if (!load->flows && !load->response_us) {
        if (said) {
            remove_said(server, report, said);
        }
        return;
    }
    if (!said) {
        if (hmap_count(&report->said) >= SERVER_REPORTED_MAX) {
            server->n_relay_drops++;
            return;
        }
        said = add_said(server, report, load);
    }
    account(said, -1);
    said->flows = load->flows;
    said->response_us = load->response_us;
    account(said, 1);
}

static struct server_report *
get_report(struct connection *conn)
{
    if (!conn->report) {
        conn->report = xzalloc(sizeof *conn->report);
        hmap_init(&conn->report->said);
        token_bucket_init(&conn->report->messages, SERVER_REPORT_RATE,
                          SERVER_REPORT_BURST * TOKEN);
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
            take(conn->server, conn->report, &loads[i]);
        }
    }
    free(loads);
    return 0;
}

void
server_report_destroy(struct connection *conn)
{
    struct said *said;

    if (conn->report) {
        HMAP_FOR_EACH_SAFE (said, node, &conn->report->said) {
            remove_said(conn->server, conn->report, said);
        }
        hmap_destroy(&conn->report->said);
        free(conn->report);
        conn->report = NULL;
    }
}

void
server_report_put(const struct server *server, uint32_t group,
                  uint16_t endpoint, struct json *status)
{
    const struct total *total = find_total(server, group, endpoint);

    if (total) {
        json_object_put(status, "flows", json_integer_create(total->flows));
        if (total->weights >= 1) {
            json_object_put(status, "response_us", json_integer_create(
                                total->weighted_us / total->weights + 0.5));
        }
    }
}
