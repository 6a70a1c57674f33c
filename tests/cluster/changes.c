/* What the operator, and fate, do. */

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/cluster/cluster-private.h"

enum {
    MIN_DRAIN_MS    = 5000,     /* An operator looks no sooner. */
    MAX_DOWN_MS     = 500,      /* A switch that restarts. */
    DETECTION_MS    = 3000,     /* Of a host's death. */
    MAX_AWAY_MS     = 15000,    /* A host that has died. */
    MAX_MOVE_MS     = 200,      /* An endpoint VM that moves. */
    MAX_ANSWER_MS   = 20,       /* Of an endpoint to a SYN. */
    FORGET_MS       = 10000,    /* Between switches that lose their flows: one
                                 * at a time, so that the others know. */
    CHANGE_TRIES    = 50,
};

static const char *const change_names[N_CHANGES] = {
    [CHANGE_ADD] = "add", [CHANGE_DRAIN] = "drain",
    [CHANGE_UNDRAIN] = "undrain", [CHANGE_REWEIGHT] = "reweight",
    [CHANGE_REMOVE] = "remove", [CHANGE_RESTART] = "restart",
    [CHANGE_FORGET] = "restart-without-flows",
    [CHANGE_MOVE_CLIENT] = "move-client",
    [CHANGE_MOVE_ENDPOINT] = "move-endpoint",
    [CHANGE_ALGORITHM] = "algorithm", [CHANGE_PARTITION] = "partition",
    [CHANGE_DEATH] = "death",
};

const char *
cluster_change_name(enum cluster_change change)
{
    return change_names[change];
}

/* Telling hosts. */

void
changes_send_update(struct cluster *c, uint32_t host)
{
    struct mapping_model *copy = malloc(sizeof *copy);
    uint64_t delay = cluster_between(c, 1, c->options.update_ms);

    assert(copy);
    *copy = c->model;
    if (wheel_chance(&c->random, c->options.update_loss)) {
        delay += UPDATE_AGAIN_MS;
    }
    wheel_add(c->wheel, delay,
              &(struct wheel_event) {
                  .kind = EVENT_UPDATE, .node = host,
                  .a = c->nodes[host]->n_starts, .p = copy });
}

/* The mapping has changed: everybody who can hear it will. */
static void
publish(struct cluster *c)
{
    mapping_model_commit(&c->model, wheel_random(&c->random));
    promise_note_owners(c);
    CLUSTER_TELL(c, 0, "revision %" PRIu64, c->model.revision);
    for (uint32_t host = 0; host < c->options.n_hosts; host++) {
        if (c->nodes[host]->runs && !c->model.dead[host]) {
            changes_send_update(c, host);
        }
    }
}

/* Chance. */

static uint32_t
any_host(struct cluster *c)
{
    uint32_t host;

    do {
        host = cluster_between(c, 0, c->options.n_hosts - 1);
    } while (!c->alive[host]);
    return host;
}

/* A host whose switch runs, and is believed to. */
static uint32_t
any_running(struct cluster *c)
{
    for (int i = 0; i < CHANGE_TRIES; i++) {
        uint32_t host = any_host(c);

        if (c->nodes[host]->runs && c->nodes[host]->revision
            && !c->model.dead[host]) {
            return host;
        }
    }
    return NO_HOST;
}

/* An endpoint in 'state' that is not just moving, or GROUP_NO_ENDPOINT. */
static uint16_t
any_endpoint(struct cluster *c, int group, enum endpoint_state state)
{
    uint16_t n = c->model.groups[group].n_endpoints;

    for (int i = 0; i < CHANGE_TRIES; i++) {
        uint16_t e = cluster_between(c, 0, n - 1);

        if (mapping_model_state(&c->model, group, e) == state
            && !c->vms[group][e].moving) {
            return e;
        }
    }
    return GROUP_NO_ENDPOINT;
}

static uint32_t
count_endpoints(const struct cluster *c, int group)
{
    uint32_t n = 0;

    for (uint16_t e = 0; e < c->model.groups[group].n_endpoints; e++) {
        n += c->model.groups[group].endpoints[e].state != ENDPOINT_ABSENT;
    }
    return n;
}

static uint16_t
any_weight(struct cluster *c)
{
    static const uint16_t weights[] = { 100, 100, 100, 50, 200, 10, 1000 };

    return weights[cluster_between(c, 0, 6)];
}

/* The changes.  Each returns false if it is not possible just now. */

static bool
change_add(struct cluster *c, int group)
{
    uint32_t host = any_host(c);
    uint16_t e;

    if (count_endpoints(c, group) >= c->options.max_endpoints) {
        return false;
    }
    e = mapping_model_add(&c->model, group, host, any_weight(c),
                          cluster_now_us(c) / 1000000);
    if (e == GROUP_NO_ENDPOINT) {
        return false;
    }
    c->vms[group][e] = (struct cluster_vm) {
        .exists = true, .host = host,
        .answer_ms = cluster_between(c, 1, MAX_ANSWER_MS),
        .drained_at = cluster_now(c),
    };
    CLUSTER_TELL(c, 0, "add endpoint %u to group %d, on host %u", e, group,
                 host);
    publish(c);
    return true;
}

static bool
change_state(struct cluster *c, int group, enum endpoint_state from,
             enum endpoint_state to)
{
    uint16_t e = any_endpoint(c, group, from);

    if (e == GROUP_NO_ENDPOINT
        || (from == ENDPOINT_UP && (mapping_model_n_up(&c->model, group)
                                    <= c->options.min_endpoints))) {
        return false;
    }
    c->model.groups[group].endpoints[e].state = to;
    c->vms[group][e].drained_at = cluster_now(c);
    CLUSTER_TELL(c, 0, "%s endpoint %u of group %d",
                 to == ENDPOINT_UP ? "undrain" : "drain", e, group);
    publish(c);
    return true;
}

static bool
change_reweight(struct cluster *c, int group)
{
    uint16_t e = any_endpoint(c, group, ENDPOINT_UP);

    if (e == GROUP_NO_ENDPOINT) {
        return false;
    }
    c->model.groups[group].endpoints[e].weight = any_weight(c);
    c->model.groups[group].endpoints[e].tier = cluster_between(c, 0, 1);
    CLUSTER_TELL(c, 0, "reweight endpoint %u of group %d", e, group);
    publish(c);
    return true;
}

static bool
change_remove(struct cluster *c, int group)
{
    for (uint16_t e = 0; e < c->model.groups[group].n_endpoints; e++) {
        struct cluster_vm *vm = &c->vms[group][e];

        if (c->model.groups[group].endpoints[e].state == ENDPOINT_DRAINING
            && !vm->moving
            && vm->drained_at + MIN_DRAIN_MS <= cluster_now(c)
            && !traffic_count(c, group, e)) {
            CLUSTER_TELL(c, 0, "remove endpoint %u of group %d", e, group);
            mapping_model_remove(&c->model, group, e);
            vm->exists = false;
            publish(c);
            return true;
        }
    }
    return false;
}

static bool
change_restart(struct cluster *c, bool keep_flows)
{
    uint32_t host = any_running(c);

    if (host == NO_HOST
        || (!keep_flows && c->next_forget > cluster_now(c))) {
        return false;
    }
    if (!keep_flows) {
        c->next_forget = cluster_now(c) + FORGET_MS;
        traffic_forget(c, host);
    }
    CLUSTER_TELL(c, 0, "the switch of host %u restarts%s", host,
                 keep_flows ? "" : " without its flows");
    node_stop(c->nodes[host]);
    wheel_add(c->wheel, cluster_between(c, 1, MAX_DOWN_MS),
              &(struct wheel_event) {
                  .kind = EVENT_SWITCH, .node = host, .a = keep_flows });
    return true;
}

void
changes_switch(struct cluster *c, uint32_t host, bool keep_flows)
{
    if (c->alive[host] && !c->nodes[host]->runs) {
        node_start(c->nodes[host], keep_flows, wheel_random(&c->random));
        changes_send_update(c, host);
    }
}

static bool
change_move_client(struct cluster *c)
{
    uint32_t client = cluster_between(c, 0, c->options.n_clients - 1);
    uint32_t from = c->clients[client].host, to = any_running(c);

    if (to == NO_HOST || to == from || !c->alive[from]) {
        return false;
    }
    CLUSTER_TELL(c, 0, "client %u moves from host %u to host %u", client,
                 from, to);
    c->clients[client].host = to;
    c->clients[client].moved_at = cluster_now(c);
    return true;
}

static bool
change_move_endpoint(struct cluster *c, int group)
{
    uint16_t e = any_endpoint(c, group, ENDPOINT_UP);
    uint32_t to = any_running(c);

    if (e == GROUP_NO_ENDPOINT || to == NO_HOST
        || to == c->vms[group][e].host) {
        return false;
    }
    CLUSTER_TELL(c, 0, "endpoint %u of group %d moves from host %u to %u", e,
                 group, c->vms[group][e].host, to);
    c->model.groups[group].endpoints[e].host = to;
    c->vms[group][e].moving = true;
    wheel_add(c->wheel, cluster_between(c, 0, MAX_MOVE_MS),
              &(struct wheel_event) {
                  .kind = EVENT_ARRIVAL, .node = to, .a = group, .b = e });
    publish(c);
    return true;
}

void
changes_arrival(struct cluster *c, uint32_t host, int group, uint16_t e)
{
    c->vms[group][e].host = host;
    c->vms[group][e].moving = false;
}

static bool
change_algorithm(struct cluster *c, int group)
{
    enum group_algorithm to = cluster_between(c, 0, N_ALGORITHMS - 1);

    if (to == c->model.groups[group].algorithm) {
        return false;
    }
    CLUSTER_TELL(c, 0, "group %d goes by %s", group, pick_algorithm_name(to));
    c->model.groups[group].algorithm = to;
    publish(c);
    return true;
}

/* Whether the groups can do without 'host'; one is away at a time. */
static bool
is_dispensable(const struct cluster *c, uint32_t host)
{
    if (host == NO_HOST || c->n_pending) {
        return false;
    }
    for (int g = 0; g < MODEL_GROUPS; g++) {
        unsigned int n = 0;

        for (uint16_t e = 0; e < c->model.groups[g].n_endpoints; e++) {
            if (c->vms[g][e].moving) {
                return false;
            }
            n += (mapping_model_state(&c->model, g, e) == ENDPOINT_UP
                  && c->model.groups[g].endpoints[e].host != host);
        }
        if (n < 2) {
            return false;
        }
    }
    return true;
}

static void
detect(struct cluster *c, uint32_t host, bool dead, uint64_t delay)
{
    wheel_add(c->wheel, delay,
              &(struct wheel_event) {
                  .kind = EVENT_DETECTION, .node = host, .a = dead });
}

static bool
change_partition(struct cluster *c)
{
    uint32_t host = any_running(c);

    if (!is_dispensable(c, host)) {
        return false;
    }
    c->n_pending++;
    detect(c, host, true, 1);
    detect(c, host, false, cluster_between(c, 1000, MAX_AWAY_MS));
    return true;
}

static bool
change_death(struct cluster *c)
{
    uint32_t host = any_running(c);

    if (!is_dispensable(c, host)) {
        return false;
    }
    CLUSTER_TELL(c, 0, "host %u dies", host);
    c->n_pending++;
    traffic_kill(c, host);
    node_stop(c->nodes[host]);
    node_wipe(c->nodes[host]);
    c->alive[host] = false;
    for (int g = 0; g < MODEL_GROUPS; g++) {
        for (uint16_t e = 0; e < c->model.groups[g].n_endpoints; e++) {
            c->vms[g][e].exists &= c->vms[g][e].host != host;
        }
    }
    detect(c, host, true, DETECTION_MS);
    wheel_add(c->wheel, cluster_between(c, DETECTION_MS + 1, MAX_AWAY_MS),
              &(struct wheel_event) { .kind = EVENT_REVIVAL, .node = host });
    return true;
}

void
changes_detection(struct cluster *c, uint32_t host, bool dead)
{
    CLUSTER_TELL(c, 0, "host %u is believed %s", host,
                 dead ? "dead" : "alive");
    c->model.dead[host] = dead;
    if (dead) {
        traffic_shun(c, host);
    } else {
        c->n_pending--;
        c->reunited_at = cluster_now(c);
    }
    publish(c);
}

void
changes_revival(struct cluster *c, uint32_t host)
{
    CLUSTER_TELL(c, 0, "host %u is back", host);
    c->alive[host] = true;
    for (int g = 0; g < MODEL_GROUPS; g++) {
        for (uint16_t e = 0; e < c->model.groups[g].n_endpoints; e++) {
            const struct model_endpoint *me = &c->model.groups[g].endpoints[e];

            c->vms[g][e].exists |= me->state && me->host == host;
        }
    }
    changes_switch(c, host, true);
    detect(c, host, false, 1);
}

static bool
make(struct cluster *c, enum cluster_change change)
{
    int group = cluster_between(c, 0, MODEL_GROUPS - 1);

    switch (change) {
    case CHANGE_ADD:
        return change_add(c, group);
    case CHANGE_DRAIN:
        return change_state(c, group, ENDPOINT_UP, ENDPOINT_DRAINING);
    case CHANGE_UNDRAIN:
        return change_state(c, group, ENDPOINT_DRAINING, ENDPOINT_UP);
    case CHANGE_REWEIGHT:
        return change_reweight(c, group);
    case CHANGE_REMOVE:
        return change_remove(c, group);
    case CHANGE_RESTART:
        return change_restart(c, true);
    case CHANGE_FORGET:
        return change_restart(c, false);
    case CHANGE_MOVE_CLIENT:
        return change_move_client(c);
    case CHANGE_MOVE_ENDPOINT:
        return change_move_endpoint(c, group);
    case CHANGE_ALGORITHM:
        return change_algorithm(c, group);
    case CHANGE_PARTITION:
        return change_partition(c);
    case CHANGE_DEATH:
        return change_death(c);
    case N_CHANGES:
        break;
    }
    return false;
}

static enum cluster_change
any_change(struct cluster *c)
{
    uint32_t sum = 0, x;

    for (int i = 0; i < N_CHANGES; i++) {
        sum += c->options.weights[i];
    }
    x = cluster_between(c, 0, sum - 1);
    for (int i = 0; i < N_CHANGES; i++) {
        if (x < c->options.weights[i]) {
            return i;
        }
        x -= c->options.weights[i];
    }
    return CHANGE_ADD;
}

void
changes_tick(struct cluster *c)
{
    struct cluster_result *r = c->result;

    if (r->changes >= c->options.n_changes
        || cluster_now(c) < c->next_change) {
        return;
    }
    c->next_change = cluster_now(c)
                     + cluster_between(c, c->options.change_ms / 2,
                                       c->options.change_ms * 3 / 2);
    for (int i = 0; i < CHANGE_TRIES; i++) {
        enum cluster_change change = any_change(c);

        if (make(c, change)) {
            r->changes++;
            r->made[change]++;
            return;
        }
    }
}

void
changes_init(struct cluster *c)
{
    mapping_model_init(&c->model, c->options.algorithms);
    for (int g = 0; g < MODEL_GROUPS; g++) {
        c->model.groups[g].ramp = c->options.ramp_s;
        if (c->options.source_affinity) {
            c->model.groups[g].affinity = AFFINITY_SOURCE;
        }
        for (uint32_t i = 0; i < c->options.n_endpoints; i++) {
            uint16_t e = mapping_model_add(&c->model, g,
                                           i % c->options.n_hosts, 100, 0);

            c->vms[g][e] = (struct cluster_vm) {
                .exists = true, .host = i % c->options.n_hosts,
                .answer_ms = cluster_between(c, 1, MAX_ANSWER_MS),
            };
        }
    }
    mapping_model_commit(&c->model, wheel_random(&c->random));
    promise_note_owners(c);
    c->next_change = 2 * c->options.change_ms;
}
