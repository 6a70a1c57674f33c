#include "tests/unit/fleet.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct fleet *
fleet_create(enum group_algorithm algorithm, size_t n)
{
    static const uint16_t no_slots[GROUP_MIN_SLOTS]
        = { [0 ... GROUP_MIN_SLOTS - 1] = GROUP_NO_ENDPOINT };
    struct fleet *f = aligned_alloc(64, sizeof *f);

    assert(f && n <= GROUP_MAX_ENDPOINTS);
    memset(f, 0, sizeof *f);
    f->random = 42 + algorithm;
    f->now_us = 1000 * FLEET_S;
    f->spec = (struct group_spec) {
        .id = 1, .algorithm = algorithm,
        .slots = no_slots, .n_slots = GROUP_MIN_SLOTS,
        .endpoints = f->endpoints, .n_endpoints = n,
        .load = &f->load,
    };
    group_key_init(&f->spec.key, 1, inet_addr_from4(0x0a000001), 6, 80, 0);
    for (size_t i = 0; i < n; i++) {
        load_init(&f->loads[i]);
        f->endpoints[i] = (struct group_endpoint) {
            .state = ENDPOINT_UP, .weight = 100, .load = &f->loads[i],
        };
    }
    fleet_build(f);
    return f;
}

void
fleet_destroy(struct fleet *f)
{
    if (f) {
        group_destroy(f->group);
        free(f);
    }
}

void
fleet_build(struct fleet *f)
{
    static const struct hash_key key = { { 0x1234567, 0x89abcdef } };

    group_destroy(f->group);
    f->group = group_create(&f->spec, &key);
    assert(f->group);
}

uint64_t
fleet_random(struct fleet *f)
{
    uint64_t z = f->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

struct pick_query
fleet_query(struct fleet *f)
{
    return (struct pick_query) {
        .hash = fleet_random(f), .random = fleet_random(f),
        .now_us = f->now_us,
    };
}

uint16_t
fleet_pick_for(struct fleet *f, const struct pick_query *query)
{
    return pick_endpoint(f->group, query, &f->trail);
}

uint16_t
fleet_pick(struct fleet *f)
{
    struct pick_query query = fleet_query(f);

    return fleet_pick_for(f, &query);
}

void
fleet_fail(struct fleet *f, uint16_t endpoint)
{
    for (int i = 0; i < LOAD_MAX_FAILURES; i++) {
        load_repeated(&f->loads[endpoint], FLEET_S, f->now_us);
    }
}

double
fleet_deviation(const unsigned int *counts, const double *expected, size_t n)
{
    double total = 0, sum = 0, chi = 0, cells = -1;

    for (size_t i = 0; i < n; i++) {
        total += counts[i];
        sum += expected[i];
    }
    for (size_t i = 0; i < n; i++) {
        double mean = total * expected[i] / sum;

        if (!mean) {
            if (counts[i]) {
                return INFINITY;
            }
            continue;
        }
        chi += (counts[i] - mean) * (counts[i] - mean) / mean;
        cells++;
    }
    return cells ? (chi - cells) / sqrt(2 * cells) : 0;
}
