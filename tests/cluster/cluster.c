#include "tests/cluster/cluster-private.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum {
    TEND_TICKS  = 100,          /* Between housekeeping of a host. */
    CHECK_TICKS = 5000,         /* Between checks of all the books. */
    MAX_TRIPS   = 4,            /* Once, and forwarded three times. */
    MAX_ANSWER  = 16384,        /* Flows, of one source on one host. */
};

const struct cluster_options cluster_defaults = {
    .seed = 1,
    .n_hosts = 6, .n_clients = 24, .n_ports = 64,
    .n_endpoints = 8, .min_endpoints = 4, .max_endpoints = 16,
    .flow_table = 20000,
    .n_flows = 4000, .n_changes = 60, .change_ms = 1000,
    .udp_percent = 30, .max_packets = 20, .max_gap_ms = 1000,
    .port_rest_ms = 60000,
    .loss = 2000, .update_loss = 20000, .update_ms = 500, .handover_ms = 200,
    .weights = {
        [CHANGE_ADD] = 20, [CHANGE_DRAIN] = 20, [CHANGE_UNDRAIN] = 8,
        [CHANGE_REWEIGHT] = 20, [CHANGE_REMOVE] = 15, [CHANGE_RESTART] = 8,
        [CHANGE_MOVE_CLIENT] = 10,
    },
};

struct answer {
    struct inet_addr source;
    size_t n;
    struct node_flow flows[MAX_ANSWER];
};

void
cluster_tell(struct cluster *c, const char *format, ...)
{
    va_list args;

    fprintf(c->options.story, "%9.3f ", cluster_now(c) / 1000.0);
    va_start(args, format);
    vfprintf(c->options.story, format, args);
    va_end(args);
    putc('\n', c->options.story);
}

void
cluster_complain(struct cluster *c, const char *format, ...)
{
    struct cluster_result *r = c->result;
    va_list args;

    if (!r->complaint[0]) {
        va_start(args, format);
        vsnprintf(r->complaint, sizeof r->complaint, format, args);
        va_end(args);
    }
}

/* Frames. */

struct wire_frame *
cluster_new_frame(struct cluster *c)
{
    struct wire_frame *frame = c->free_frames;

    if (frame) {
        c->free_frames = frame->next;
    } else {
        frame = malloc(sizeof *frame);
        assert(frame);
    }
    frame->options_len = frame->peer = frame->vni = 0;
    return frame;
}

static void
release_frame(struct cluster *c, struct wire_frame *frame)
{
    frame->next = c->free_frames;
    c->free_frames = frame;
}

/* Takes an encapsulated frame to its host, or loses it. */
static void
send_frame(struct cluster *c, uint32_t from, struct wire_frame *frame)
{
    uint32_t to = wire_destination(frame) - NODE_VTEP;

    if (to >= c->options.n_hosts || to == from) {
        cluster_complain(c, "host %u sends a frame to nobody", from);
        release_frame(c, frame);
    } else if (wheel_chance(&c->random, c->options.loss)) {
        CLUSTER_TELL(c, frame->number, "  lost on the way to host %u", to);
        c->result->lost++;
        release_frame(c, frame);
    } else {
        wheel_add(c->wheel, cluster_between(c, 1, 3),
                  &(struct wheel_event) {
                      .kind = EVENT_FRAME, .node = to, .p = frame });
    }
}

static void
end_frame(struct cluster *c, uint32_t host, struct wire_frame *frame,
          const struct node_outcome *outcome)
{
    switch (outcome->verdict) {
    case ENGINE_UNDERLAY:
        CLUSTER_TELL(c, frame->number, "  host %u -> host %u", host,
                     wire_destination(frame) - NODE_VTEP);
        send_frame(c, host, frame);
        return;

    case ENGINE_LOCAL:
        traffic_deliver(c, host, frame);
        break;

    case ENGINE_REPLY:
        CLUSTER_TELL(c, frame->number, "  host %u answers: %s", host,
                     drop_reason_name(outcome->reason));
        if (outcome->reason == DROP_HOST_DEAD) {
            traffic_reset(c, frame);
        }
        break;

    case ENGINE_DROP:
        CLUSTER_TELL(c, frame->number, "  host %u drops it: %s", host,
                     drop_reason_name(outcome->reason));
        if (outcome->reason != DROP_HINT
            && outcome->reason != DROP_HINT_STALE) {
            c->result->lost++;
        }
        if (outcome->reason == DROP_HINT_FORGED) {
            cluster_complain(c, "host %u takes a hint for forged", host);
        }
        break;

    case ENGINE_HELD:
        cluster_complain(c, "host %u holds a packet", host);
        return;
    }
    release_frame(c, frame);
}

/* A hint's frame is not a flow's, but it belongs to the story of one: that of
 * the packet before. */
static void
send_hints(struct cluster *c, uint32_t host)
{
    struct engine_thread *thread = &c->nodes[host]->thread;

    for (size_t i = 0; i < thread->n_extras; i++) {
        const struct engine_extra *extra = &thread->extras[i];
        struct wire_frame *frame = cluster_new_frame(c);

        frame->ofs = WIRE_HEADROOM - TUNNEL_MAX_OVERHEAD + extra->ofs;
        frame->size = extra->size;
        frame->flow = frame->trips = 0;
        frame->number = UINT32_MAX; /* Nobody's. */
        memcpy(frame->buffer + frame->ofs, extra->frame + extra->ofs,
               extra->size);
        send_frame(c, host, frame);
    }
}

static void
ask_others(struct cluster *c, uint32_t host)
{
    struct engine_thread *thread = &c->nodes[host]->thread;

    for (size_t i = 0; i < thread->n_questions; i++) {
        uint32_t address = inet_addr_to4(thread->questions[i].source);

        c->result->handovers++;
        for (uint32_t other = 0; other < c->options.n_hosts; other++) {
            if (other != host) {
                wheel_add(c->wheel,
                          cluster_between(c, 1, c->options.handover_ms),
                          &(struct wheel_event) {
                              .kind = EVENT_QUESTION, .node = host,
                              .a = address, .b = other });
            }
        }
    }
}

static void
flush(struct cluster *c, uint32_t host)
{
    struct node_outcome outcomes[ENGINE_BATCH];
    struct wire_frame *batch[ENGINE_BATCH];
    uint32_t n = c->n_batch[host];

    if (!n) {
        return;
    }
    memcpy(batch, c->batches[host], sizeof batch);
    c->n_batch[host] = 0;
    node_process(c->nodes[host], batch, n, cluster_now_us(c), outcomes);
    c->result->packets += n;
    send_hints(c, host);
    ask_others(c, host);
    for (uint32_t i = 0; i < n; i++) {
        end_frame(c, host, batch[i], &outcomes[i]);
    }
}

void
cluster_input(struct cluster *c, uint32_t host, struct wire_frame *frame)
{
    if (!c->nodes[host]->runs) {
        CLUSTER_TELL(c, frame->number, "  host %u has no switch", host);
        c->result->lost++;
        release_frame(c, frame);
        return;
    }
    c->batches[host][c->n_batch[host]++] = frame;
    if (c->n_batch[host] == ENGINE_BATCH) {
        flush(c, host);
    }
}

static void
receive_frame(struct cluster *c, uint32_t host, struct wire_frame *frame)
{
    if (!wire_decapsulate(frame)) {
        cluster_complain(c, "host %u gets a frame that is wrong", host);
    }
    if (frame->trips > c->result->max_trips) {
        c->result->max_trips = frame->trips;
    }
    if (frame->trips > MAX_TRIPS) {
        cluster_complain(c, "a packet of flow %u goes round", frame->number);
    }
    cluster_input(c, host, frame);
}

/* Handover. */

static void
answer_question(struct cluster *c, uint32_t asker, uint32_t address,
                uint32_t host)
{
    struct answer *answer;

    if (!c->nodes[host]->runs) {
        return;
    }
    answer = malloc(sizeof *answer);
    assert(answer);
    answer->source = inet_addr_from4(address);
    source_table_forget(c->nodes[host]->world.sources, MODEL_VNI,
                        answer->source);
    answer->n = node_collect(c->nodes[host], answer->source,
                             cluster_now_us(c), answer->flows, MAX_ANSWER);
    if (!answer->n) {
        free(answer);
        return;
    }
    wheel_add(c->wheel, cluster_between(c, 1, c->options.handover_ms),
              &(struct wheel_event) {
                  .kind = EVENT_ANSWER, .node = asker, .b = host,
                  .p = answer });
}

static void
take_answer(struct cluster *c, const struct wheel_event *event)
{
    struct node *node = c->nodes[event->node];
    struct answer *answer = event->p;

    if (node->runs && node->table) {
        CLUSTER_TELL(c, 0, "host %u gets %zu flows of client %u of host %u",
                     event->node, answer->n,
                     inet_addr_to4(answer->source) & 0xffff, event->b);
        node_import(node, cluster_now_us(c), answer->flows, answer->n);
    }
    free(answer);
}

static void
take_update(struct cluster *c, const struct wheel_event *event)
{
    struct mapping_model *model = event->p;

    /* What is under way in this tick goes by what was known. */
    flush(c, event->node);
    CLUSTER_TELL(c, 0, "host %u hears of revision %" PRIu64 ", has %" PRIu64,
                 event->node, model->revision,
                 c->nodes[event->node]->revision);
    if (event->a == c->nodes[event->node]->n_starts) {
        node_apply(c->nodes[event->node], model, cluster_now_us(c));
    }
    free(model);
}

static void
handle(struct cluster *c, const struct wheel_event *event)
{
    switch ((enum cluster_event) event->kind) {
    case EVENT_FRAME:
        receive_frame(c, event->node, event->p);
        break;

    case EVENT_FLOW:
        traffic_timer(c, event->a, event->b);
        break;

    case EVENT_SYN_ACK:
        traffic_syn_ack(c, event->a, event->b, event->c);
        break;

    case EVENT_UPDATE:
        take_update(c, event);
        break;

    case EVENT_QUESTION:
        answer_question(c, event->node, event->a, event->b);
        break;

    case EVENT_ANSWER:
        take_answer(c, event);
        break;

    case EVENT_SWITCH:
        changes_switch(c, event->node, event->a);
        break;

    case EVENT_ARRIVAL:
        changes_arrival(c, event->node, event->a, event->b);
        break;

    case EVENT_DETECTION:
        changes_detection(c, event->node, event->a);
        break;

    case EVENT_REVIVAL:
        changes_revival(c, event->node);
        break;
    }
}

/* The run. */

static void
check_books(struct cluster *c)
{
    for (uint32_t host = 0; host < c->options.n_hosts; host++) {
        const char *wrong = node_check(c->nodes[host], cluster_now_us(c));

        if (wrong) {
            cluster_complain(c, "at %.3f s: %s", cluster_now(c) / 1000.0,
                             wrong);
        }
    }
}

static void
tick(struct cluster *c)
{
    struct wheel_event event;
    bool more = true;

    traffic_tick(c);
    changes_tick(c);
    while (more) {
        more = wheel_next(c->wheel, &event);
        if (more) {
            handle(c, &event);
        } else {
            /* Frames that engines hand out arrive later than now. */
            for (uint32_t host = 0; host < c->options.n_hosts; host++) {
                flush(c, host);
            }
        }
    }
    for (uint32_t host = 0; host < c->options.n_hosts; host++) {
        if ((cluster_now(c) + host) % TEND_TICKS == 0) {
            node_tend(c->nodes[host], cluster_now_us(c));
        }
    }
    if (cluster_now(c) % CHECK_TICKS == 0) {
        check_books(c);
    }
    wheel_advance(c->wheel);
}

static void
add_up(struct cluster *c)
{
    for (uint32_t host = 0; host < c->options.n_hosts; host++) {
        const struct engine_counters *past = &c->nodes[host]->past;

        c->result->forwarded += past->forwarded;
        c->result->hints += past->hints_accepted;
        c->result->repicked += past->repicked;
        c->result->untracked += past->untracked;
    }
}

static void
start(struct cluster *c)
{
    c->random = c->options.seed * UINT64_C(0x9e3779b97f4a7c15) + 1;
    c->wheel = wheel_create();
    for (uint32_t host = 0; host < c->options.n_hosts; host++) {
        struct node_config config = {
            .id = host, .n_nodes = c->options.n_hosts,
            .n_flows = c->options.flow_table, .vxlan = c->options.vxlan,
            .spare_mtu = c->options.tight ? 0 : TUNNEL_PREVIOUS_LEN,
            .newcomer_us = c->options.max_gap_ms * UINT64_C(2000) + 5000000,
        };

        c->nodes[host] = node_create(&config);
        c->alive[host] = true;
        node_start(c->nodes[host], true, wheel_random(&c->random));
    }
    traffic_init(c);
    changes_init(c);
    for (uint32_t host = 0; host < c->options.n_hosts; host++) {
        node_apply(c->nodes[host], &c->model, cluster_now_us(c));
    }
}

static void
stop(struct cluster *c)
{
    struct wheel_event event;

    for (int i = 0; i < WHEEL_TICKS; i++) {
        while (wheel_next(c->wheel, &event)) {
            if (event.kind == EVENT_UPDATE || event.kind == EVENT_ANSWER
                || event.kind == EVENT_FRAME) {
                free(event.p);
            }
        }
        wheel_advance(c->wheel);
    }
    wheel_destroy(c->wheel);
    while (c->free_frames) {
        struct wire_frame *frame = c->free_frames;

        c->free_frames = frame->next;
        free(frame);
    }
    for (uint32_t host = 0; host < c->options.n_hosts; host++) {
        node_destroy(c->nodes[host]);
    }
    traffic_destroy(c);
}

void
cluster_run(const struct cluster_options *options,
            struct cluster_result *result)
{
    struct cluster *c = calloc(1, sizeof *c);

    assert(c);
    assert(options->n_hosts <= MODEL_HOSTS
           && options->n_ports <= MAX_PORTS
           && options->n_clients <= MAX_CLIENTS);
    *result = (struct cluster_result) { .flows = 0 };
    c->options = *options;
    c->result = result;
    start(c);
    while ((result->flows < options->n_flows
            || result->changes < options->n_changes || c->n_live)
           && !result->complaint[0]
           && (!options->trace || result->first_broken != options->trace)) {
        tick(c);
    }
    check_books(c);
    for (uint32_t host = 0; host < c->options.n_hosts; host++) {
        if (c->nodes[host]->runs) {
            node_stop(c->nodes[host]);
        }
    }
    add_up(c);
    stop(c);
    free(c);
}
