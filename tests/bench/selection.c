/* How well flows are placed: a simulated fleet, with the production pickers
 * and loads.
 *
 * Hosts send flows (Poisson) to endpoints with several cores each, which share
 * them among the flows that they serve.  Speeds are unequal and unknown to the
 * pickers: all weights are equal.  For part of the run some endpoints are five
 * times slower, and in the end one dies.  Each host knows only what it has
 * seen itself: when its own flows begin, are answered (after the network's
 * time and that of a busy endpoint to get round to it), and end.  All
 * algorithms see the same flows.
 *
 * A flow's response time is that from its first SYN to its end.  "herding" is
 * the worst, over all windows of 250 ms, of one endpoint's part of the new
 * flows over its part of the fleet's usual capacity; chance alone makes it
 * about 2.  "max_over_average" is the utilisation of the busiest endpoint over
 * that of the fleet.  Values are medians of several seeds. */

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "anycast/group.h"
#include "anycast/load.h"
#include "anycast/pick.h"

enum {
    N_HOSTS = 20,
    N_ENDPOINTS = 40,
    N_ZONES = 4,
    N_CORES = 8,
    N_SLOW = 4,                 /* Endpoints that are slow for a while. */
    N_RUNS = 5,
    MAX_FLOWS = 300000,
    MAX_REPEATS = 4,
};

#define UTILISATION   0.7
#define SERVICE_S     0.05      /* Mean, alone on a core of speed 1. */
#define ACCEPT_S      0.0005    /* Until an idle endpoint answers. */
#define NEAR_S        0.0002    /* Round trip within a zone, ... */
#define FAR_S         0.0005    /* ... and between zones. */
#define SLOW_FACTOR   5
#define SLOW_FROM_S   8
#define SLOW_UNTIL_S  16
#define DEATH_S       22
#define ARRIVALS_S    30        /* How long flows arrive. */
#define WINDOW_S      0.25
#define FIRST_RETRY_S 1         /* RFC 6298: then doubled. */

struct flow {
    double began, size, retry_s;
    double tried;               /* When the SYN went to its endpoint. */
    uint64_t hash;
    uint8_t host, endpoint, repeats;
    bool answered, over;
};

struct job {
    double finish;              /* In the endpoint's virtual time. */
    uint32_t flow;
};

/* A server that shares N_CORES cores among the flows that it serves: a flow
 * gets a whole core at most.  Virtual time is the work that each of them has
 * got so far. */
struct server {
    double usual_speed, speed;  /* 0: dead. */
    double virtual, updated;
    struct job *jobs;           /* Heap, first to finish on top. */
    size_t n, allocated;
    uint32_t version;           /* Of its departure event. */
    double work, capacity;      /* Given to it; it could have done. */
    double since;               /* 'capacity' counts up to here. */
    uint32_t in_window;
};

enum event_type { EV_ARRIVAL, EV_ANSWER, EV_RETRY, EV_DEPARTURE, EV_CHANGE };

struct event {
    double at;
    enum event_type type;
    uint32_t subject;           /* Flow, server, or change. */
    uint32_t version;
};

struct host {
    struct group *group;
    struct group_load group_load;
    struct endpoint_load loads[N_ENDPOINTS];
};

struct world {
    double now;
    struct flow *flows;
    size_t n_flows;
    struct server servers[N_ENDPOINTS];
    struct host hosts[N_HOSTS];
    struct event *events;       /* Heap, next on top. */
    size_t n_events, allocated_events;
    uint64_t random;            /* The pickers'. */
    double window_ends, herding;
    uint32_t in_window;
};

struct result {
    double max_over_average, mean_ms, p99_ms, herding;
};

/* Randomness. */

static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static double
random_unit(uint64_t *state)
{
    return ((next_random(state) >> 11) + 0.5) / (UINT64_C(1) << 53);
}

static double
random_exponential(uint64_t *state, double mean)
{
    return -mean * log(random_unit(state));
}

/* Mean SERVICE_S, squared coefficient of variation 4: one flow of ten does
 * most of the work. */
static double
random_size(uint64_t *state)
{
    bool large = random_unit(state) < 0.1;

    return random_exponential(state, SERVICE_S * (large ? 4.674 : 0.592));
}

static uint64_t
microseconds(double s)
{
    return (s + 1000) * 1e6;
}

/* Events. */

static void
push_event(struct world *w, double at, enum event_type type, uint32_t subject,
           uint32_t version)
{
    size_t i = w->n_events++;

    if (i == w->allocated_events) {
        w->allocated_events = i ? 2 * i : 1024;
        w->events = realloc(w->events,
                            w->allocated_events * sizeof *w->events);
    }
    while (i && w->events[(i - 1) / 2].at > at) {
        w->events[i] = w->events[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->events[i] = (struct event) { at, type, subject, version };
}

static struct event
pop_event(struct world *w)
{
    struct event top = w->events[0];
    struct event last = w->events[--w->n_events];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < w->n_events) {
        if (child + 1 < w->n_events
            && w->events[child + 1].at < w->events[child].at) {
            child++;
        }
        if (w->events[child].at >= last.at) {
            break;
        }
        w->events[i] = w->events[child];
        i = child;
    }
    w->events[i] = last;
    return top;
}

/* Servers. */

static void
push_job(struct server *server, double finish, uint32_t flow)
{
    size_t i = server->n++;

    if (i == server->allocated) {
        server->allocated = i ? 2 * i : 64;
        server->jobs = realloc(server->jobs,
                               server->allocated * sizeof *server->jobs);
    }
    while (i && server->jobs[(i - 1) / 2].finish > finish) {
        server->jobs[i] = server->jobs[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    server->jobs[i] = (struct job) { finish, flow };
}

static struct job
pop_job(struct server *server)
{
    struct job top = server->jobs[0], last = server->jobs[--server->n];
    size_t i = 0, child;

    while ((child = 2 * i + 1) < server->n) {
        if (child + 1 < server->n
            && server->jobs[child + 1].finish < server->jobs[child].finish) {
            child++;
        }
        if (server->jobs[child].finish >= last.finish) {
            break;
        }
        server->jobs[i] = server->jobs[child];
        i = child;
    }
    server->jobs[i] = last;
    return top;
}

/* Flows that share a core, at least 1. */
static double
crowding(const struct server *server)
{
    return server->n > N_CORES ? (double) server->n / N_CORES : 1;
}

static void
advance(struct world *w, struct server *server)
{
    server->virtual += ((w->now - server->updated) * server->speed
                        / crowding(server));
    server->updated = w->now;
}

static void
schedule_departure(struct world *w, struct server *server)
{
    server->version++;
    if (server->n && server->speed) {
        double left = server->jobs[0].finish - server->virtual;

        push_event(w, w->now + left * crowding(server) / server->speed,
                   EV_DEPARTURE, server - w->servers, server->version);
    }
}

static void
set_speed(struct world *w, struct server *server, double speed)
{
    double until = w->now < ARRIVALS_S ? w->now : ARRIVALS_S;

    advance(w, server);
    server->capacity += (until - server->since) * server->speed * N_CORES;
    server->since = until;
    server->speed = speed;
    schedule_departure(w, server);
}

/* Flows. */

static double
round_trip(uint8_t host, uint8_t endpoint)
{
    return host % N_ZONES == endpoint % N_ZONES ? NEAR_S : FAR_S;
}

static struct endpoint_load *
load_of(struct world *w, const struct flow *flow)
{
    return &w->hosts[flow->host].loads[flow->endpoint];
}

static void
end_window(struct world *w)
{
    double capacity = 0;

    for (int i = 0; i < N_ENDPOINTS; i++) {
        capacity += w->servers[i].usual_speed;
    }
    for (int i = 0; i < N_ENDPOINTS; i++) {
        struct server *server = &w->servers[i];
        double share = server->usual_speed / capacity;

        w->herding = fmax(w->herding,
                          server->in_window / (w->in_window * share));
        server->in_window = 0;
    }
    w->in_window = 0;
    w->window_ends += WINDOW_S;
}

/* The flow's SYN goes to an endpoint that is picked now. */
static void
send_flow(struct world *w, uint32_t number)
{
    struct flow *flow = &w->flows[number];
    struct pick_query query = {
        .hash = flow->hash, .random = next_random(&w->random),
        .now_us = microseconds(w->now),
    };
    struct server *server;
    double delay;

    flow->endpoint = pick_endpoint(w->hosts[flow->host].group, &query, NULL);
    flow->tried = w->now;
    load_opened(load_of(w, flow));
    load_began(load_of(w, flow));
    server = &w->servers[flow->endpoint];
    server->in_window++;
    w->in_window++;
    if (!server->speed) {
        return;
    }
    advance(w, server);
    delay = (round_trip(flow->host, flow->endpoint)
             + ACCEPT_S / server->speed * crowding(server));
    push_event(w, w->now + delay, EV_ANSWER, number, 0);
    push_job(server, server->virtual + flow->size, number);
    server->work += flow->size;
    schedule_departure(w, server);
}

static void
end_flow(struct world *w, struct flow *flow)
{
    flow->over = true;
    flow->began = w->now - flow->began; /* Now its response time. */
    load_closed(load_of(w, flow));
}

static void
arrive(struct world *w, uint32_t number)
{
    struct flow *flow = &w->flows[number];

    if (w->now >= w->window_ends) {
        end_window(w);
    }
    send_flow(w, number);
    flow->retry_s = FIRST_RETRY_S;
    push_event(w, w->now + flow->retry_s, EV_RETRY, number, 0);
    if (number + 1 < w->n_flows) {
        push_event(w, w->flows[number + 1].began, EV_ARRIVAL, number + 1, 0);
    }
}

static void
answer(struct world *w, struct flow *flow)
{
    double us = (w->now - flow->tried) * 1e6;

    if (!flow->answered) {
        flow->answered = true;
        load_answered(load_of(w, flow), flow->repeats ? 0 : us,
                      microseconds(w->now));
    }
}

/* The client repeats its SYN.  As in the engine, it goes elsewhere if its
 * endpoint is not well. */
static void
retry(struct world *w, uint32_t number)
{
    struct flow *flow = &w->flows[number];
    struct endpoint_load *load = load_of(w, flow);
    uint64_t now_us = microseconds(w->now);

    if (flow->answered || flow->over) {
        return;
    }
    if (++flow->repeats > MAX_REPEATS) {
        load_gave_up(load, now_us);
        end_flow(w, flow);
        return;
    }
    load_repeated(load, (w->now - flow->tried) * 1e6, now_us);
    if (!w->servers[flow->endpoint].speed && !load_is_healthy(load, now_us)) {
        load_forgot(load);
        load_closed(load);
        flow->repeats = 0;
        send_flow(w, number);
    }
    flow->retry_s *= 2;
    push_event(w, w->now + flow->retry_s, EV_RETRY, number, 0);
}

static void
depart(struct world *w, const struct event *event)
{
    struct server *server = &w->servers[event->subject];
    struct flow *flow;

    if (event->version != server->version) {
        return;
    }
    advance(w, server);
    flow = &w->flows[pop_job(server).flow];
    answer(w, flow);
    end_flow(w, flow);
    schedule_departure(w, server);
}

/* Some endpoints become slow, or are themselves again, or one dies, and with
 * it the flows that it serves. */
static void
change(struct world *w)
{
    if (w->now >= DEATH_S) {
        struct server *dead = &w->servers[N_ENDPOINTS / 2];

        set_speed(w, dead, 0);
        while (dead->n) {
            struct flow *flow = &w->flows[pop_job(dead).flow];

            answer(w, flow);
            end_flow(w, flow);
        }
        return;
    }
    for (int i = 0; i < N_SLOW; i++) {
        struct server *server = &w->servers[i * N_ENDPOINTS / N_SLOW + i];

        set_speed(w, server, (w->now < SLOW_UNTIL_S
                              ? server->usual_speed / SLOW_FACTOR
                              : server->usual_speed));
    }
}

/* A run. */

static void
make_hosts(struct world *w, enum group_algorithm algorithm)
{
    static const struct hash_key key = { { 0x1234567, 0x89abcdef } };
    static uint16_t slots[GROUP_MIN_SLOTS];

    for (int h = 0; h < N_HOSTS; h++) {
        struct host *host = &w->hosts[h];
        struct group_endpoint endpoints[N_ENDPOINTS];
        struct group_spec spec = {
            .id = 1, .algorithm = algorithm,
            .slots = slots, .n_slots = GROUP_MIN_SLOTS,
            .endpoints = endpoints, .n_endpoints = N_ENDPOINTS,
            .load = &host->group_load,
        };

        for (int i = 0; i < N_ENDPOINTS; i++) {
            bool near = h % N_ZONES == i % N_ZONES;

            load_init(&host->loads[i]);
            endpoints[i] = (struct group_endpoint) {
                .state = ENDPOINT_UP, .weight = 100, .load = &host->loads[i],
                .tier = algorithm == ALGORITHM_NEAREST && !near,
            };
        }
        group_key_init(&spec.key, 1, inet_addr_from4(0x0a000001), 6, 80, 0);
        host->group = group_create(&spec, &key);
        if (!host->group) {
            abort();
        }
    }
}

/* The same for all algorithms. */
static void
make_flows(struct world *w, uint64_t seed)
{
    double capacity = 0, at = 0;

    for (int i = 0; i < N_ENDPOINTS; i++) {
        static const double speeds[] = { 0.75, 1, 1.25 };
        struct server *server = &w->servers[i];

        server->speed = server->usual_speed = speeds[i % 3];
        capacity += server->speed * N_CORES;
    }
    w->flows = calloc(MAX_FLOWS, sizeof *w->flows);
    for (;;) {
        struct flow *flow = &w->flows[w->n_flows];

        at += random_exponential(&seed, SERVICE_S / (UTILISATION * capacity));
        if (at >= ARRIVALS_S || w->n_flows == MAX_FLOWS) {
            break;
        }
        flow->began = at;
        flow->size = random_size(&seed);
        flow->hash = next_random(&seed);
        flow->host = next_random(&seed) % N_HOSTS;
        w->n_flows++;
    }
}

static void
simulate(struct world *w)
{
    w->window_ends = WINDOW_S;
    push_event(w, w->flows[0].began, EV_ARRIVAL, 0, 0);
    push_event(w, SLOW_FROM_S, EV_CHANGE, 0, 0);
    push_event(w, SLOW_UNTIL_S, EV_CHANGE, 0, 0);
    push_event(w, DEATH_S, EV_CHANGE, 0, 0);
    while (w->n_events) {
        struct event event = pop_event(w);

        w->now = event.at;
        switch (event.type) {
        case EV_ARRIVAL: arrive(w, event.subject); break;
        case EV_ANSWER: answer(w, &w->flows[event.subject]); break;
        case EV_RETRY: retry(w, event.subject); break;
        case EV_DEPARTURE: depart(w, &event); break;
        case EV_CHANGE: change(w); break;
        }
    }
}

static int
compare_doubles(const void *a_, const void *b_)
{
    const double *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

static struct result
summarize(struct world *w)
{
    struct result result = { .herding = w->herding };
    double *times = malloc(w->n_flows * sizeof *times);
    double sum = 0, work = 0, capacity = 0, max = 0;

    for (size_t i = 0; i < w->n_flows; i++) {
        times[i] = w->flows[i].began * 1e3;
        sum += times[i];
    }
    qsort(times, w->n_flows, sizeof *times, compare_doubles);
    result.mean_ms = sum / w->n_flows;
    result.p99_ms = times[w->n_flows * 99 / 100];
    free(times);
    for (int i = 0; i < N_ENDPOINTS; i++) {
        struct server *server = &w->servers[i];

        set_speed(w, server, server->speed);
        max = fmax(max, server->work / server->capacity);
        work += server->work;
        capacity += server->capacity;
    }
    result.max_over_average = max / (work / capacity);
    return result;
}

static struct result
run(enum group_algorithm algorithm, uint64_t seed)
{
    struct world *w = aligned_alloc(64, sizeof *w);
    struct result result;

    memset(w, 0, sizeof *w);
    w->random = ~seed;
    make_flows(w, seed);
    make_hosts(w, algorithm);
    simulate(w);
    result = summarize(w);
    for (int h = 0; h < N_HOSTS; h++) {
        group_destroy(w->hosts[h].group);
    }
    for (int i = 0; i < N_ENDPOINTS; i++) {
        free(w->servers[i].jobs);
    }
    free(w->flows);
    free(w->events);
    free(w);
    return result;
}

static void
print(enum group_algorithm algorithm, const char *metric, double values[],
      const char *unit)
{
    qsort(values, N_RUNS, sizeof *values, compare_doubles);
    printf("{\"bench\":\"selection\",\"metric\":\"%s\",\"algorithm\":\"%s\","
           "\"hosts\":%d,\"endpoints\":%d,\"utilisation\":%g,"
           "\"value\":%.4g,\"min\":%.4g,\"max\":%.4g,\"runs\":%d,"
           "\"unit\":\"%s\"}\n", metric, pick_algorithm_name(algorithm),
           N_HOSTS, N_ENDPOINTS, UTILISATION, values[N_RUNS / 2], values[0],
           values[N_RUNS - 1], N_RUNS, unit);
    fflush(stdout);
}

int
main(void)
{
    for (int a = 0; a < N_ALGORITHMS; a++) {
        double imbalance[N_RUNS], mean[N_RUNS], p99[N_RUNS], herding[N_RUNS];

        for (int i = 0; i < N_RUNS; i++) {
            struct result r = run(a, i + 1);

            imbalance[i] = r.max_over_average;
            mean[i] = r.mean_ms;
            p99[i] = r.p99_ms;
            herding[i] = r.herding;
        }
        print(a, "max_over_average", imbalance, "ratio");
        print(a, "response_ms_mean", mean, "ms");
        print(a, "response_ms_p99", p99, "ms");
        print(a, "herding", herding, "ratio");
    }
    return 0;
}
