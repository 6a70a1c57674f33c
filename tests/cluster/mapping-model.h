/* A mapping service in miniature: two groups of endpoints, their slots, and
 * who owned these before.  Slots are assigned by the production code; the
 * history of each is kept by the rule alone: when its owner a becomes b, its
 * previous owners are a and those before, without b, each once, two at most;
 * who is removed is in none. */

#ifndef TESTS_CLUSTER_MAPPING_MODEL_H
#define TESTS_CLUSTER_MAPPING_MODEL_H 1

#include <stdbool.h>
#include <stdint.h>

#include "anycast/group.h"

enum {
    MODEL_GROUPS    = 2,        /* One for TCP, one for UDP. */
    MODEL_HOSTS     = 16,
    MODEL_ENDPOINTS = 1024,
    MODEL_SLOTS     = 1024,
    MODEL_VNI       = 5001,
};

struct model_endpoint {
    uint8_t state;              /* ENDPOINT_ABSENT, UP or DRAINING. */
    uint32_t host;
    uint16_t weight, tier;
    uint32_t up_at_s;
};

struct model_group {
    uint32_t id, epoch;
    uint32_t address;
    uint8_t protocol;
    uint16_t port;
    enum group_algorithm algorithm;
    enum group_affinity affinity;
    uint16_t ramp;
    uint16_t n_endpoints;       /* Indexes given so far. */
    struct model_endpoint endpoints[MODEL_ENDPOINTS];
    uint16_t slots[MODEL_SLOTS];
    uint16_t previous[MODEL_SLOTS][GROUP_MAX_PREVIOUS];
};

/* Plain data: a copy of it is what a host gets. */
struct mapping_model {
    uint64_t revision;
    struct model_group groups[MODEL_GROUPS];
    bool dead[MODEL_HOSTS];     /* As the mapping service believes. */
};

/* Empty groups with these algorithms. */
void mapping_model_init(struct mapping_model *,
                        const enum group_algorithm algorithms[MODEL_GROUPS]);

/* A new endpoint, up, and its index; or GROUP_NO_ENDPOINT when there is no
 * more.  The slots are left as they are. */
uint16_t mapping_model_add(struct mapping_model *, int group, uint32_t host,
                           uint16_t weight, uint32_t now_s);

/* Takes 'endpoint' out, also out of the slots' history. */
void mapping_model_remove(struct mapping_model *, int group,
                          uint16_t endpoint);

/* After any change: assigns the slots anew, with 'seed' for what is left to
 * chance, and counts the revision up. */
void mapping_model_commit(struct mapping_model *, uint64_t seed);

/* What a host makes of the endpoint: LOST if its host is believed dead. */
enum endpoint_state mapping_model_state(const struct mapping_model *,
                                        int group, uint16_t endpoint);

/* Number of endpoints that take new flows. */
unsigned int mapping_model_n_up(const struct mapping_model *, int group);

#endif /* tests/cluster/mapping-model.h */
