/* A deliberately simple mapd for tests of the replica: arrays of hosts and
 * groups that change at random, and the messages that describe them. */

#ifndef TESTS_UNIT_REPLICA_MODEL_H
#define TESTS_UNIT_REPLICA_MODEL_H 1

#include <stdbool.h>
#include <stdint.h>

#include "mapping/replica/replica.h"
#include "openvswitch/json.h"

enum {
    MODEL_HOSTS     = 6,
    MODEL_GROUPS    = 6,
    MODEL_ENDPOINTS = 6,
    MODEL_SLOTS     = 256,
    MODEL_RECORDS   = 5,
};

struct model_endpoint {
    bool exists;
    int host, mac, weight, state, index;
};

struct model_group {
    bool exists;
    int address, port, affinity;
    uint32_t id, epoch;
    uint16_t slots[MODEL_SLOTS];
    uint16_t previous[2][MODEL_SLOTS];
    struct model_endpoint endpoints[MODEL_ENDPOINTS];
};

struct model_host {
    bool exists;
    int vtep, encap;
    bool dead;
};

/* Of a plain kind. */
struct model_record {
    bool exists;
    int address;
};

struct model {
    uint64_t revision;
    uint32_t next_id;
    int next_index;
    struct model_host hosts[MODEL_HOSTS];
    struct model_group groups[MODEL_GROUPS];
    struct model_record records[MODEL_RECORDS];
};

/* Of all plain kinds. */
size_t model_count_records(const struct replica *);

/* Random numbers below 'n', from one seed for all. */
void model_seed(uint64_t seed);
uint32_t model_random(uint32_t n);

void model_init(struct model *);

/* Changes a few things, and the revision. */
void model_change(struct model *);

/* The caller owns the results.  The changes of an update come in any order. */
struct json *model_snapshot(const struct model *);
struct json *model_update(const struct model *before,
                          const struct model *after);

/* Fails the test unless the replica says what the model says. */
void model_check(const struct model *, const struct replica *);

/* Fails the test unless the replica is consistent, by brute force. */
void model_check_consistent(const struct replica *);

/* All that the replica holds, as text that the caller owns; equal texts mean
 * equal replicas.  With 'bookkeeping' also what depends on how it got there.
 */
char *model_print(const struct replica *, bool bookkeeping);

#endif /* tests/unit/replica-model.h */
