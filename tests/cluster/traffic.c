/* Clients, their flows, and the endpoints, which judge. */

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cluster/cluster-private.h"

enum {
    SYN_RTO_MS  = 1000,         /* RFC 6298; doubled once. */
    DATA_RTO_MS = 250,
    MAX_RTO_MS  = 2000,
    MAX_RETRIES = 14,           /* Then the flow is stuck. */
    DOOMED_RETRIES = 4,
    ABORTS_PERCENT = 10,        /* Connections that end with a RST. */
    FULL_PERCENT = 20,          /* Packets as long as the MTU. */
    CLIENT_NET  = 0x0a020000,
    OPEN_TRIES  = 8,            /* Clients asked for a free port. */
    UDP_REST_MS = 310000,       /* Of a port: sooner, it is the same flow. */
};

void
traffic_init(struct cluster *c)
{
    c->clients = calloc(c->options.n_clients, sizeof *c->clients);
    assert(c->clients);
    for (uint32_t i = 0; i < c->options.n_clients; i++) {
        c->clients[i].host = i % c->options.n_hosts;
        c->clients[i].address = CLIENT_NET + i + 1;
    }
    c->free_flow = UINT32_MAX;
}

void
traffic_destroy(struct cluster *c)
{
    free(c->clients);
    free(c->flows);
}

static bool
is_tcp(const struct cluster_flow *flow)
{
    return flow->group == 0;
}

static uint32_t
take_flow(struct cluster *c)
{
    uint32_t i = c->free_flow;

    if (i != UINT32_MAX) {
        c->free_flow = c->flows[i].next_free;
        return i;
    }
    if (c->n_flows >= c->max_flows) {
        c->max_flows = c->max_flows ? c->max_flows * 2 : 1024;
        c->flows = realloc(c->flows, c->max_flows * sizeof *c->flows);
        assert(c->flows);
    }
    return c->n_flows++;
}

/* The flow is over; its port rests for a while. */
static void
end_flow(struct cluster *c, struct cluster_flow *flow)
{
    struct cluster_client *client = &c->clients[flow->client];

    client->port_free[flow->group][flow->port]
        = cluster_now(c) + (is_tcp(flow) ? c->options.port_rest_ms
                            : (uint32_t) UDP_REST_MS);
    flow->number = 0;
    flow->phase = PHASE_FREE;
    flow->next_free = c->free_flow;
    c->free_flow = flow - c->flows;
    c->n_live--;
}

struct engine_question_flow
traffic_question(const struct cluster *c, const struct cluster_flow *flow)
{
    const struct model_group *group = &c->model.groups[flow->group];

    return (struct engine_question_flow) {
        .vni = MODEL_VNI, .protocol = group->protocol,
        .src = inet_addr_from4(c->clients[flow->client].address),
        .dst = inet_addr_from4(group->address),
        .src_port = FIRST_PORT + flow->port, .dst_port = group->port,
        .opens = flow->phase == PHASE_OPENING,
    };
}

/* What the switch of 'host' thinks of the flow. */
static void
tell_view(struct cluster *c, const struct cluster_flow *flow, uint32_t host)
{
    struct engine_question_flow q = traffic_question(c, flow);
    struct node *node = c->nodes[host];
    struct engine_explanation e;

    if (!node->runs || !node->table) {
        cluster_tell(c, "  host %u knows nothing", host);
        return;
    }
    engine_explain(&node->world, cluster_now_us(c), &q, &e);
    cluster_tell(c, "  host %u, revision %" PRIu64 ": slot %u of %d before %d"
                 " %d; entry %s %d; %s", host, node->revision, e.slot,
                 (int16_t) e.slot_owner, (int16_t) e.previous[0],
                 (int16_t) e.previous[1],
                 e.tracked ? flow_state_name(e.ref.state) : "none",
                 e.tracked ? e.ref.endpoint : -1, e.why);
}

static void
break_flow(struct cluster *c, struct cluster_flow *flow, const char *why)
{
    struct cluster_result *r = c->result;

    CLUSTER_TELL(c, flow->number, "flow %u is broken: %s", flow->number, why);
    switch (excuse_find(c, flow)) {
    case EXCUSE_FATE:
        r->excused++;
        break;
    case EXCUSE_FORGOTTEN:
        r->forgotten++;
        break;
    case EXCUSE_UNTOLD:
        r->untold++;
        break;
    case EXCUSE_NONE:
        r->broken++;
        if (!r->first_broken) {
            r->first_broken = flow->number;
        }
        break;
    }
    end_flow(c, flow);
}

/* Sets the flow's timer, for a packet that has just been sent. */
static void
set_timer(struct cluster *c, struct cluster_flow *flow, uint64_t ms)
{
    wheel_add(c->wheel, ms,
              &(struct wheel_event) {
                  .kind = EVENT_FLOW, .a = flow - c->flows,
                  .b = flow->number });
}

static const char *
flags_name(uint8_t flags)
{
    return (flags & WIRE_SYN ? "SYN" : flags & WIRE_FIN ? "FIN"
            : flags & WIRE_RST ? "RST" : "data");
}

static void
transmit(struct cluster *c, struct cluster_flow *flow, uint8_t flags)
{
    const struct cluster_client *client = &c->clients[flow->client];
    const struct model_group *group = &c->model.groups[flow->group];
    const struct wire_packet packet = {
        .src = client->address, .dst = group->address,
        .src_port = FIRST_PORT + flow->port, .dst_port = group->port,
        .protocol = group->protocol, .tcp_flags = flags,
        .client = flow->client,
        .full = (!(flags & WIRE_SYN)
                 && cluster_between(c, 1, 100) <= FULL_PERCENT),
        .flow = flow - c->flows, .number = flow->number, .seq = flow->seq,
    };
    struct wire_frame *frame = cluster_new_frame(c);

    if (c->options.trace == flow->number) {
        cluster_tell(c, "%s %u of flow %u, client %u, port %u, to %s: %s%s",
                     flags_name(flags), flow->seq, flow->number, flow->client,
                     packet.src_port, flow->group ? "UDP" : "TCP",
                     packet.full ? "a full packet, " : "",
                     flow->retries ? "again" : "new");
        tell_view(c, flow, client->host);
    }
    wire_build(frame, &packet);
    flow->sent = cluster_now(c);
    flow->sent_from = client->host;
    cluster_input(c, client->host, frame);
}

/* Until the flow's next packet, if this one arrives. */
static uint32_t
gap(struct cluster *c)
{
    return (wheel_chance(&c->random, c->options.sleepers)
            ? cluster_between(c, 1, c->options.sleep_ms)
            : cluster_between(c, 5, c->options.max_gap_ms));
}

/* A client with a free port for 'group'; false if there is none soon. */
static bool
find_port(struct cluster *c, int group, uint32_t *client, uint32_t *port)
{
    for (int i = 0; i < OPEN_TRIES; i++) {
        struct cluster_client *candidate;

        *client = cluster_between(c, 0, c->options.n_clients - 1);
        candidate = &c->clients[*client];
        *port = candidate->next_port[group];
        if (c->alive[candidate->host]
            && candidate->port_free[group][*port] <= cluster_now(c)) {
            candidate->next_port[group] = (*port + 1) % c->options.n_ports;
            candidate->port_free[group][*port] = UINT64_MAX;
            return true;
        }
    }
    return false;
}

static void
open_flow(struct cluster *c)
{
    int group = cluster_between(c, 1, 100) <= c->options.udp_percent;
    uint32_t client, port, i;

    if (!find_port(c, group, &client, &port)) {
        return;
    }
    i = take_flow(c);
    c->flows[i] = (struct cluster_flow) {
        .number = ++c->result->flows,
        .phase = PHASE_OPENING,
        .group = group, .client = client, .port = port,
        .peer = GROUP_NO_ENDPOINT, .half = GROUP_NO_ENDPOINT,
        .slot = EXCUSE_NO_SLOT, .host = c->clients[client].host,
        .opened_at = cluster_now(c),
        .packets_left = cluster_between(c, 1, c->options.max_packets),
        .seq = 1,
    };
    c->n_live++;
    if (c->n_live > c->result->max_open) {
        c->result->max_open = c->n_live;
    }
    transmit(c, &c->flows[i], WIRE_SYN);
    set_timer(c, &c->flows[i], group ? gap(c) : (uint32_t) SYN_RTO_MS);
}

void
traffic_tick(struct cluster *c)
{
    const struct cluster_options *o = &c->options;

    if (c->result->flows < o->n_flows) {
        c->flows_due += o->n_flows * UINT64_C(1000000)
                        / ((uint64_t) o->n_changes * o->change_ms);
    } else {
        c->flows_due = 0;
    }
    while (c->flows_due >= 1000000 && c->result->flows < o->n_flows) {
        c->flows_due -= 1000000;
        open_flow(c);
    }
}

static uint32_t
rto(const struct cluster_flow *flow)
{
    uint32_t ms = flow->phase == PHASE_OPENING ? SYN_RTO_MS : DATA_RTO_MS;

    for (int i = 0; i < flow->retries && ms < MAX_RTO_MS; i++) {
        ms *= 2;
    }
    return ms;
}

static void
finish(struct cluster *c, struct cluster_flow *flow)
{
    CLUSTER_TELL(c, flow->number, "flow %u is over", flow->number);
    if (flow->doomed) {
        c->result->excused++;
    } else {
        c->result->finished++;
    }
    end_flow(c, flow);
}

/* Sends the last packet again, if it is time. */
static void
retry(struct cluster *c, struct cluster_flow *flow)
{
    uint64_t due = flow->sent + rto(flow);

    if (due > cluster_now(c)) {
        set_timer(c, flow, due - cluster_now(c));
        return;
    }
    if (flow->phase == PHASE_CLOSING && flow->last & WIRE_RST
        && flow->retries > DOOMED_RETRIES) {
        finish(c, flow);        /* Nobody waits for it. */
        return;
    }
    if (++flow->retries > (flow->doomed ? DOOMED_RETRIES : MAX_RETRIES)) {
        break_flow(c, flow, "no answer");
        return;
    }
    transmit(c, flow, flow->phase == PHASE_OPENING ? WIRE_SYN
             : flow->phase == PHASE_CLOSING ? flow->last : WIRE_ACK);
    set_timer(c, flow, rto(flow));
}

static void
send_next(struct cluster *c, struct cluster_flow *flow)
{
    flow->retries = 0;
    flow->seq++;
    if (flow->packets_left) {
        flow->packets_left--;
        transmit(c, flow, WIRE_ACK);
        set_timer(c, flow, gap(c));
    } else if (!is_tcp(flow)) {
        finish(c, flow);
    } else {
        /* Who does not hear a RST sends data, and gets another. */
        flow->phase = PHASE_CLOSING;
        flow->last = (cluster_between(c, 1, 100) <= ABORTS_PERCENT
                      ? WIRE_RST | WIRE_ACK : WIRE_FIN | WIRE_ACK);
        transmit(c, flow, flow->last);
        set_timer(c, flow, rto(flow));
    }
}

void
traffic_timer(struct cluster *c, uint32_t i, uint32_t number)
{
    struct cluster_flow *flow = &c->flows[i];

    if (flow->number != number) {
        return;
    }
    if (is_tcp(flow) && flow->acked != flow->seq) {
        retry(c, flow);
    } else {
        send_next(c, flow);
    }
}

void
traffic_syn_ack(struct cluster *c, uint32_t i, uint32_t number,
                uint16_t endpoint)
{
    struct cluster_flow *flow = &c->flows[i];

    if (flow->number != number || flow->phase != PHASE_OPENING
        || !c->vms[flow->group][endpoint].exists) {
        return;
    }
    CLUSTER_TELL(c, number, "SYN-ACK from endpoint %u", endpoint);
    flow->phase = PHASE_OPEN;
    flow->peer = endpoint;
    flow->retries = 0;
    flow->acked = flow->seq;
    excuse_note_arrival(c, flow);
    transmit(c, flow, WIRE_ACK);
}

/* A packet of a connection reaches 'endpoint', which may have it or not. */
static void
judge_tcp(struct cluster *c, struct cluster_flow *flow, uint16_t endpoint,
          const struct wire_packet *p)
{
    if (p->tcp_flags & WIRE_SYN) {
        flow->half = endpoint;
        if (!wheel_chance(&c->random, c->options.loss)) {
            uint32_t ms = c->vms[0][endpoint].answer_ms;

            wheel_add(c->wheel, cluster_between(c, ms, 2 * ms),
                      &(struct wheel_event) {
                          .kind = EVENT_SYN_ACK, .a = flow - c->flows,
                          .b = flow->number, .c = endpoint });
        }
    } else if (p->tcp_flags & WIRE_RST && endpoint != flow->peer) {
        /* Nobody is hurt, and the RST comes again. */
    } else if (endpoint != flow->peer || flow->doomed) {
        break_flow(c, flow, "reset by an endpoint that does not have it");
    } else if (p->seq == flow->seq) {
        flow->traceless = false;
        flow->acked = flow->seq;
        excuse_note_arrival(c, flow);
        if (p->tcp_flags & (WIRE_FIN | WIRE_RST)) {
            finish(c, flow);
        }
    }
}

static void
judge_udp(struct cluster *c, struct cluster_flow *flow, uint16_t endpoint)
{
    if (flow->peer == GROUP_NO_ENDPOINT) {
        flow->peer = endpoint;
        flow->phase = PHASE_OPEN;
        flow->begins_late = flow->seq > 1;
        excuse_note_arrival(c, flow);
    } else if (endpoint != flow->peer || flow->doomed) {
        break_flow(c, flow, "a datagram for another endpoint");
    } else {
        excuse_note_arrival(c, flow);
    }
}

void
traffic_deliver(struct cluster *c, uint32_t host,
                const struct wire_frame *frame)
{
    struct cluster_flow *flow = &c->flows[frame->flow];
    struct wire_packet p;
    uint16_t endpoint;
    int group;

    if (!wire_read(frame, &p, &group, &endpoint)) {
        cluster_complain(c, "host %u: a frame for an endpoint is wrong", host);
        return;
    }
    CLUSTER_TELL(c, frame->number, "  host %u: %s %u to endpoint %u", host,
                 flags_name(p.tcp_flags), p.seq, endpoint);
    const struct cluster_vm *vm = &c->vms[group][endpoint];
    if (!vm->exists || vm->host != host) {
        CLUSTER_TELL(c, frame->number, "  which is not there");
        c->result->lost++;
        return;
    }
    if (flow->number != frame->number) {
        return;                 /* Over already. */
    }
    if (p.flow != frame->flow || p.number != flow->number
        || group != flow->group
        || p.src != c->clients[flow->client].address
        || p.src_port != FIRST_PORT + flow->port
        || p.dst != c->model.groups[group].address) {
        cluster_complain(c, "host %u: a packet is not what was sent", host);
        return;
    }
    if (c->options.trace == flow->number) {
        tell_view(c, flow, host);
    }
    promise_check(c, flow, endpoint,
                  is_tcp(flow) ? p.tcp_flags & WIRE_SYN
                  : flow->peer == GROUP_NO_ENDPOINT);
    if (is_tcp(flow)) {
        judge_tcp(c, flow, endpoint, &p);
    } else {
        judge_udp(c, flow, endpoint);
    }
}

void
traffic_reset(struct cluster *c, const struct wire_frame *frame)
{
    struct cluster_flow *flow = &c->flows[frame->flow];

    if (flow->number == frame->number) {
        break_flow(c, flow, "reset by a switch");
    }
}

uint32_t
traffic_count(const struct cluster *c, int group, uint16_t endpoint)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < c->n_flows; i++) {
        const struct cluster_flow *flow = &c->flows[i];

        n += (flow->number && flow->group == group
              && (flow->peer == endpoint
                  || (flow->phase == PHASE_OPENING
                      && flow->half == endpoint)));
    }
    return n;
}

void
traffic_kill(struct cluster *c, uint32_t host)
{
    for (uint32_t i = 0; i < c->n_flows; i++) {
        struct cluster_flow *flow = &c->flows[i];

        if (!flow->number) {
            continue;
        }
        if (flow->peer != GROUP_NO_ENDPOINT
            && c->vms[flow->group][flow->peer].host == host) {
            flow->doomed = true;
        }
        if (c->clients[flow->client].host == host) {
            flow->doomed = true;
            CLUSTER_TELL(c, flow->number, "its client dies");
            break_flow(c, flow, "client dead");
        }
    }
}

void
traffic_shun(struct cluster *c, uint32_t host)
{
    for (uint32_t i = 0; i < c->n_flows; i++) {
        struct cluster_flow *flow = &c->flows[i];

        flow->is_shunned |= (flow->number && flow->peer != GROUP_NO_ENDPOINT
                             && c->vms[flow->group][flow->peer].host == host);
    }
}

void
traffic_forget(struct cluster *c, uint32_t host)
{
    for (uint32_t i = 0; i < c->n_flows; i++) {
        struct cluster_flow *flow = &c->flows[i];

        flow->is_lost_here |= (flow->number
                               && c->clients[flow->client].host == host);
        flow->is_unsettled |= (flow->number
                               && (cluster_now(c) - flow->opened_at
                                   <= c->options.update_ms
                                      + UPDATE_AGAIN_MS));
        if (flow->number && flow->peer != GROUP_NO_ENDPOINT
            && c->vms[flow->group][flow->peer].host == host) {
            flow->traceless
                = (c->clients[flow->client].host == host
                   || c->model.groups[flow->group].algorithm
                      == ALGORITHM_HASH);
        }
    }
}
