/* A host's view of a group of endpoints, for tests of what picks among them.
 *
 *     struct fleet *f = fleet_create(ALGORITHM_ROUND_ROBIN, 10);
 *     f->endpoints[3].weight = 200;
 *     fleet_build(f);
 *     endpoint = fleet_pick(f);
 *     fleet_destroy(f); */

#ifndef TESTS_UNIT_FLEET_H
#define TESTS_UNIT_FLEET_H 1

#include "anycast/group.h"
#include "anycast/load.h"
#include "anycast/pick.h"

#define FLEET_S UINT64_C(1000000)

struct fleet {
    struct group_spec spec;     /* To be changed before fleet_build(). */
    struct group_endpoint endpoints[GROUP_MAX_ENDPOINTS];
    struct group *group;
    struct group_load load;
    struct endpoint_load loads[GROUP_MAX_ENDPOINTS];
    uint64_t random;            /* State of fleet_random(). */
    uint64_t now_us;            /* Starts at 1000 s. */
    struct pick_trail trail;    /* Of the last fleet_pick(). */
};

/* 'n' endpoints that are up since the beginning, all with weight 100 in tier
 * 0, and loads without history.  Built. */
struct fleet *fleet_create(enum group_algorithm, size_t n);
void fleet_destroy(struct fleet *);

/* Makes the group anew from 'spec' and 'endpoints'; loads stay. */
void fleet_build(struct fleet *);

uint64_t fleet_random(struct fleet *);

/* A query for a flow of its own, and the choice for it. */
struct pick_query fleet_query(struct fleet *);
uint16_t fleet_pick(struct fleet *);
uint16_t fleet_pick_for(struct fleet *, const struct pick_query *);

/* Makes 'endpoint' unhealthy. */
void fleet_fail(struct fleet *, uint16_t endpoint);

/* How far 'counts' of 'n' are from the distribution 'expected' (of any sum, 0
 * for what must not occur): chi-square, in standard deviations from its mean.
 * Chance makes it exceed 6 hardly ever. */
double fleet_deviation(const unsigned int *counts, const double *expected,
                       size_t n);

#endif /* tests/unit/fleet.h */
