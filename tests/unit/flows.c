#include "tests/unit/flows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/flow-keys.h"

const uint32_t flows_timeouts[N_FLOW_STATES] = {
    [FLOW_NEW] = 240,
    [FLOW_UNPROVEN] = 240,
    [FLOW_CLOSING] = 240,
    [FLOW_ESTABLISHED] = 2 * 3600 + 4 * 60,
    [FLOW_DATAGRAM] = 300,
    [FLOW_SOURCE] = 4 * 3600,
};

bool
flows_is_weak(enum flow_state state)
{
    return (state == FLOW_NEW || state == FLOW_UNPROVEN
            || state == FLOW_CLOSING);
}

bool
flows_insert(struct flow_table *table, bool is6, uint32_t i, uint16_t endpoint,
             uint32_t now, enum flow_state state, struct flow_ended *ended)
{
    struct flow_key key = flow_keys_make(i, is6);

    return flow_table_insert(table, flow_keys_hash(i, 0), &key, endpoint, now,
                             state, ended);
}

uint64_t flows_n_found, flows_n_read;

static bool
query(const struct flow_table *table, uint64_t hash, uint64_t word,
      uint32_t group, uint32_t now, struct flow_ref *ref)
{
    struct flow_query q;

    flow_query_begin(table, &q, hash, word);
    if (!flow_query_first(&q)) {
        flow_query_turn(table, &q, hash);
        flow_query_second(&q);
    }
    return flow_query_read(&q, group, now, ref);
}

bool
flows_lookup(const struct flow_table *table, bool is6, uint32_t i,
             uint32_t now, struct flow_ref *ref)
{
    struct flow_key key = flow_keys_make(i, is6);
    uint64_t hash = flow_keys_hash(i, 0);
    struct flow_ref ref4;
    bool found = flow_table_lookup(table, hash, &key, now, ref);

    if (!is6) {
        uint64_t word = (0x0a000000 + (uint64_t) i / 4) << 32
                        | (1000 + i % 4) << 16 | 80;

        if (query(table, hash, word, key.group, now, &ref4)) {
            assert_true(found && ref4.entry == ref->entry
                        && ref4.word == ref->word);
            flows_n_read++;
        }
        flows_n_found += found;
        flow_table_prefetch4(table, hash);
        assert_int_equal(flow_table_lookup4(table, hash, word, key.group, now,
                                            &ref4), found);
        if (found) {
            assert_true(ref4.entry == ref->entry && ref4.word == ref->word
                        && ref4.endpoint == ref->endpoint
                        && ref4.idle == ref->idle && ref4.state == ref->state
                        && !ref4.is6);
        }
    } else {
        flow_table_prefetch6(table, hash);
        assert_true(!found || ref->is6);
    }
    return found;
}

struct flow_table *
flows_create(size_t n, bool is6)
{
    struct flow_table_size size = {
        .n_flows4 = is6 ? 0 : n,
        .n_flows6 = is6 ? n : 0,
    };
    struct flow_table *table = flow_table_create(&size);

    assert_non_null(table);
    return table;
}

struct flow_table_stats
flows_get_stats(const struct flow_table *table)
{
    struct flow_table_stats stats;

    flow_table_get_stats(table, &stats);
    return stats;
}

size_t
flows_get_capacity(const struct flow_table *table, bool is6)
{
    struct flow_table_stats stats = flows_get_stats(table);

    return is6 ? stats.capacity6 : stats.capacity - stats.capacity6;
}

static void
ignore(const struct flow_ended *ended, void *aux)
{
    (void) ended;
    (void) aux;
}

void
flows_sweep(struct flow_table *table, uint32_t now)
{
    flow_table_sweep(table, now, flow_table_n_buckets(table), ignore, NULL);
}
