/* What a change of one endpoint costs: slot assignment beside Maglev hashing
 * (Eisenbud et al., NSDI 2016; with weights, turns in proportion to them) and
 * weighted rendezvous hashing (Thaler and Ravishankar, 1998; score -weight /
 * ln(u)), both written plainly.
 *
 * Each scheme sees the same random sequence of changes: an endpoint goes,
 * comes, or (with skewed weights) gets another weight.  Per change, "moved"
 * are the slots whose owner differs, "needless" those of them that neither
 * left the changed endpoint nor came to it, both as a fraction of the table.
 * The load over the share that the weight asks for is the worst of all states;
 * the time is the median of all changes. */

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "anycast/group.h"
#include "mapping/catalog/slots.h"

enum {
    N_SLOTS = 65536,
    MAGLEV_SLOTS = 65537,       /* A prime. */
    MAX_ENDPOINTS = 1024,
    MAX_CHANGES = 200,
};

/* Changes go on until there are enough of them, or this time is over. */
#define TIME_LIMIT 0.8

struct endpoint {
    uint16_t index;
    uint16_t weight;
};

struct members {
    struct endpoint endpoints[MAX_ENDPOINTS];
    size_t n;
    uint16_t next_index;
    bool skewed;
};

struct scheme {
    const char *name;
    size_t n_slots;
    void (*assign)(const struct members *, uint16_t *slots);
};

static uint64_t random_state;

/* splitmix64, also as the hash function of the two other schemes. */
static uint64_t
mix(uint64_t z)
{
    z += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static double
random_unit(void)
{
    random_state++;
    return (double) (mix(random_state) >> 11) / (UINT64_C(1) << 53);
}

static double
now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void
assign_grapnel(const struct members *m, uint16_t *slots)
{
    struct slots_claim claims[MAX_ENDPOINTS];

    for (size_t i = 0; i < m->n; i++) {
        claims[i].index = m->endpoints[i].index;
        claims[i].weight = m->endpoints[i].weight;
    }
    slots_assign(slots, N_SLOTS, claims, m->n, m->next_index);
}

static void
assign_maglev(const struct members *m, uint16_t *slots)
{
    uint32_t next[MAX_ENDPOINTS], skip[MAX_ENDPOINTS];
    double credit[MAX_ENDPOINTS] = { 0 };
    size_t left = MAGLEV_SLOTS;
    uint16_t heaviest = 0;

    for (size_t i = 0; i < m->n; i++) {
        uint64_t hash = mix(m->endpoints[i].index);

        next[i] = hash % MAGLEV_SLOTS;
        skip[i] = mix(hash) % (MAGLEV_SLOTS - 1) + 1;
        if (m->endpoints[i].weight > heaviest) {
            heaviest = m->endpoints[i].weight;
        }
    }
    memset(slots, 0xff, MAGLEV_SLOTS * sizeof *slots);
    while (left) {
        for (size_t i = 0; i < m->n && left; i++) {
            credit[i] += (double) m->endpoints[i].weight / heaviest;
            if (credit[i] < 1) {
                continue;
            }
            credit[i] -= 1;
            while (slots[next[i]] != GROUP_NO_ENDPOINT) {
                next[i] = (next[i] + skip[i]) % MAGLEV_SLOTS;
            }
            slots[next[i]] = m->endpoints[i].index;
            left--;
        }
    }
}

static void
assign_hrw(const struct members *m, uint16_t *slots)
{
    for (size_t s = 0; s < N_SLOTS; s++) {
        float best = INFINITY;

        for (size_t i = 0; i < m->n; i++) {
            uint64_t hash = mix((uint64_t) m->endpoints[i].index << 32 | s);
            float u = ((hash >> 40) + 0.5f) / (1 << 24);
            float score = -logf(u) / m->endpoints[i].weight;

            if (score < best) {
                best = score;
                slots[s] = m->endpoints[i].index;
            }
        }
    }
}

static const struct scheme schemes[] = {
    { "grapnel", N_SLOTS, assign_grapnel },
    { "maglev-65537", MAGLEV_SLOTS, assign_maglev },
    { "hrw-65536", N_SLOTS, assign_hrw },
};

/* 10 to 1000, each order of magnitude equally likely; or 100. */
static uint16_t
random_weight(const struct members *m)
{
    return m->skewed ? lround(pow(10, 1 + 2 * random_unit())) : 100;
}

static uint16_t
add(struct members *m)
{
    struct endpoint *e = &m->endpoints[m->n++];

    e->index = m->next_index++ % GROUP_MAX_ENDPOINTS;
    e->weight = random_weight(m);
    return e->index;
}

/* Changes one endpoint and returns its index.  The number of endpoints stays
 * 'n' or 'n' - 1. */
static uint16_t
change(struct members *m, size_t n)
{
    size_t i = random_unit() * m->n;
    uint16_t index = m->endpoints[i].index;

    if (m->skewed && random_unit() < 1 / 3.0) {
        m->endpoints[i].weight = random_weight(m);
        return index;
    } else if (m->n < n) {
        return add(m);
    }
    m->endpoints[i] = m->endpoints[--m->n];
    return index;
}

static double
max_over_average(const struct members *m, const uint16_t *slots,
                 size_t n_slots)
{
    size_t count[GROUP_MAX_ENDPOINTS] = { 0 };
    double weight = 0, max = 0;

    for (size_t i = 0; i < n_slots; i++) {
        count[slots[i]]++;
    }
    for (size_t i = 0; i < m->n; i++) {
        weight += m->endpoints[i].weight;
    }
    for (size_t i = 0; i < m->n; i++) {
        double share = n_slots * (m->endpoints[i].weight / weight);

        max = fmax(max, count[m->endpoints[i].index] / share);
    }
    return max;
}

static int
compare_doubles(const void *a_, const void *b_)
{
    const double *a = a_, *b = b_;

    return *a < *b ? -1 : *a > *b;
}

static void
print(const struct scheme *scheme, const char *metric, size_t endpoints,
      const struct members *m, size_t changes, double value, const char *unit)
{
    printf("{\"bench\":\"slots\",\"scheme\":\"%s\",\"metric\":\"%s\","
           "\"endpoints\":%zu,\"weights\":\"%s\",\"changes\":%zu,"
           "\"value\":%.6g,\"unit\":\"%s\"}\n",
           scheme->name, metric, endpoints, m->skewed ? "skewed" : "equal",
           changes, value, unit);
    fflush(stdout);
}

static void
run(const struct scheme *scheme, size_t n, bool skewed)
{
    static uint16_t slots[MAGLEV_SLOTS], before[MAGLEV_SLOTS];
    struct members m = { .skewed = skewed };
    double times[MAX_CHANGES];
    size_t moved = 0, needless = 0, n_changes = 0;
    double max, end;

    random_state = n + skewed;
    while (m.n < n) {
        add(&m);
    }
    memset(slots, 0xff, sizeof slots);
    scheme->assign(&m, slots);
    max = max_over_average(&m, slots, scheme->n_slots);
    end = now() + TIME_LIMIT;
    while (n_changes < MAX_CHANGES && (n_changes < 2 || now() < end)) {
        uint16_t changed = change(&m, n);
        double start;

        memcpy(before, slots, sizeof before);
        start = now();
        scheme->assign(&m, slots);
        times[n_changes++] = (now() - start) * 1e3;
        max = fmax(max, max_over_average(&m, slots, scheme->n_slots));
        for (size_t i = 0; i < scheme->n_slots; i++) {
            if (slots[i] != before[i]) {
                moved++;
                needless += slots[i] != changed && before[i] != changed;
            }
        }
    }
    qsort(times, n_changes, sizeof *times, compare_doubles);
    print(scheme, "max_over_average", n, &m, n_changes, max, "ratio");
    print(scheme, "needless_remap", n, &m, n_changes,
          (double) needless / n_changes / scheme->n_slots, "fraction");
    print(scheme, "moved_fraction", n, &m, n_changes,
          (double) moved / n_changes / scheme->n_slots, "fraction");
    print(scheme, "assign_ms", n, &m, n_changes, times[n_changes / 2], "ms");
}

int
main(void)
{
    for (size_t s = 0; s < sizeof schemes / sizeof *schemes; s++) {
        for (size_t n = 10; n <= 1000; n *= 10) {
            run(&schemes[s], n, false);
            run(&schemes[s], n, true);
        }
    }
    return 0;
}
