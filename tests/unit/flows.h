/* A flow table with flows by number (flow-keys.h), in a world with seed 0. */

#ifndef TESTS_UNIT_FLOWS_H
#define TESTS_UNIT_FLOWS_H 1

#include "anycast/flow-table.h"

/* In seconds. */
extern const uint32_t flows_timeouts[N_FLOW_STATES];

/* Whether such flows give way to others. */
bool flows_is_weak(enum flow_state);

/* How many flows of IPv4 flows_lookup() has found, and how many of them a
 * query could read. */
extern uint64_t flows_n_found, flows_n_read;

/* A table for 'n' flows of one kind. */
struct flow_table *flows_create(size_t n, bool is6);

/* As flow_table_insert(). */
bool flows_insert(struct flow_table *, bool is6, uint32_t i,
                  uint16_t endpoint, uint32_t now, enum flow_state,
                  struct flow_ended *);

/* As flow_table_lookup(), and checks that the other ways to look it up find
 * the same. */
bool flows_lookup(const struct flow_table *, bool is6, uint32_t i,
                  uint32_t now, struct flow_ref *);

/* Sweeps the whole table. */
void flows_sweep(struct flow_table *, uint32_t now);

struct flow_table_stats flows_get_stats(const struct flow_table *);

/* Entries of one kind. */
size_t flows_get_capacity(const struct flow_table *, bool is6);

#endif /* tests/unit/flows.h */
