/* What group_create() takes, what it refuses, and what it makes of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "anycast/group.h"

enum { N_ENDPOINTS = 5 };

static const struct hash_key hash_key = { { 0x1234567, 0x89abcdef } };

/* A group of each test's own, to be spoilt. */
struct fixture {
    struct group_spec spec;
    uint16_t slots[GROUP_MAX_SLOTS * 2];
    uint16_t previous[GROUP_MAX_SLOTS * 2];
    struct group_endpoint endpoints[GROUP_MAX_ENDPOINTS + 1];
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    for (size_t i = 0; i < GROUP_MAX_SLOTS * 2; i++) {
        f->slots[i] = i % 3 ? i % N_ENDPOINTS : GROUP_NO_ENDPOINT;
        f->previous[i] = GROUP_NO_ENDPOINT;
    }
    for (size_t i = 0; i <= GROUP_MAX_ENDPOINTS; i++) {
        f->endpoints[i].state = ENDPOINT_UP;
        f->endpoints[i].host = i;
        f->endpoints[i].weight = 1 + i % 1000;
    }
    f->spec = (struct group_spec) {
        .id = 7, .epoch = 9, .algorithm = ALGORITHM_NEAREST,
        .affinity = AFFINITY_SOURCE, .affinity_timeout = 300,
        .ramp = 30, .flags = GROUP_REJECT,
        .slots = f->slots, .n_slots = 1024,
        .endpoints = f->endpoints, .n_endpoints = N_ENDPOINTS,
    };
    group_key_init(&f->spec.key, 5001, inet_addr_from4(0x0a010064), 6, 80,
                   0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    free(*state);
    return 0;
}

static bool
is_accepted(const struct fixture *f)
{
    struct group *group = group_create(&f->spec, &hash_key);
    bool accepted = group != NULL;

    group_destroy(group);
    return accepted;
}

static void
test_a_group_is_a_copy_of_its_spec(void **state)
{
    struct fixture *f = *state;
    struct group *group = group_create(&f->spec, &hash_key);
    static const uint8_t address[16]
        = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 0, 100 };

    assert_non_null(group);
    assert_memory_equal(group->key.address, address, sizeof address);
    assert_int_equal(group->key.vni, 5001);
    assert_int_equal(group->key.protocol, 6);
    assert_int_equal(group->key.port, 80);
    assert_int_equal(group->id, 7);
    assert_int_equal(group->epoch, 9);
    assert_int_equal(group->algorithm, ALGORITHM_NEAREST);
    assert_int_equal(group->affinity, AFFINITY_SOURCE);
    assert_int_equal(group->affinity_timeout, 300);
    assert_int_equal(group->ramp, 30);
    assert_int_equal(group->flags, GROUP_REJECT);
    assert_null(group->previous);
    assert_int_equal((uintptr_t) group % 64, 0);
    assert_int_equal(group->n_endpoints, N_ENDPOINTS);

    memset(f->slots, 0xaa, sizeof f->slots);
    memset(f->endpoints, 0xaa, sizeof f->endpoints);
    for (uint32_t i = 0; i < 1024; i++) {
        uint64_t hash = ((uint64_t) i << 54) + 12345;

        assert_int_equal(group_slot(group, hash), i);
        assert_int_equal(group->slots[i],
                         i % 3 ? i % N_ENDPOINTS : GROUP_NO_ENDPOINT);
    }
    for (uint32_t i = 0; i < N_ENDPOINTS; i++) {
        assert_int_equal(group->endpoints[i].host, i);
    }
    group_destroy(group);
}

static void
test_every_size_from_least_to_most_is_accepted(void **state)
{
    struct fixture *f = *state;

    for (f->spec.n_slots = 1; f->spec.n_slots <= GROUP_MAX_SLOTS * 2;
         f->spec.n_slots *= 2) {
        bool in_range = f->spec.n_slots >= GROUP_MIN_SLOTS
                        && f->spec.n_slots <= GROUP_MAX_SLOTS;

        assert_int_equal(is_accepted(f), in_range);
    }
    f->spec.n_slots = 1000;
    assert_false(is_accepted(f));
    f->spec.n_slots = 0;
    assert_false(is_accepted(f));

    f->spec.n_slots = 256;
    f->spec.n_endpoints = GROUP_MAX_ENDPOINTS;
    assert_true(is_accepted(f));
    f->spec.n_endpoints = GROUP_MAX_ENDPOINTS + 1;
    assert_false(is_accepted(f));
}

static void
test_a_group_without_endpoints_has_empty_slots(void **state)
{
    struct fixture *f = *state;

    f->spec.n_endpoints = 0;
    assert_false(is_accepted(f));
    memset(f->slots, 0xff, sizeof f->slots);
    f->spec.endpoints = NULL;
    assert_true(is_accepted(f));
}

static void
test_a_slot_names_an_endpoint_that_is_there(void **state)
{
    struct fixture *f = *state;

    f->slots[1023] = N_ENDPOINTS;
    assert_false(is_accepted(f));
    f->slots[1023] = 4;
    assert_true(is_accepted(f));
    f->endpoints[4].state = ENDPOINT_ABSENT;
    assert_false(is_accepted(f));
    f->endpoints[4].state = ENDPOINT_LOST;
    assert_true(is_accepted(f));
    f->endpoints[4].state = ENDPOINT_LOST + 1;
    assert_false(is_accepted(f));
}

/* Sets one number of a good specification at a time. */
static void
test_numbers_out_of_range_are_refused(void **state)
{
    struct fixture *f = *state;
    struct group_spec good = f->spec;

#define TRY(MEMBER, VALUE, ACCEPTED) do {               \
        f->spec = good;                                 \
        f->spec.MEMBER = VALUE;                         \
        assert_int_equal(is_accepted(f), ACCEPTED);     \
    } while (0)
    TRY(id, 0, false);
    TRY(id, GROUP_MAX_ID, true);
    TRY(id, GROUP_MAX_ID + 1, false);
    TRY(key.vni, 0, false);
    TRY(key.vni, 0xffffff, true);
    TRY(key.vni, 0x1000000, false);
    TRY(key.pad[0], 1, false);
    TRY(key.pad[1], 1, false);
    TRY(key.pad[2], 1, false);
    TRY(key.protocol, 0, false);
    TRY(key.protocol, 132, true);
    TRY(key.protocol, 1, false);        /* ICMP has no port. */
    TRY(key.port_last, 79, false);
    TRY(key.port_last, 80, true);
    TRY(key.port_last, 65535, true);
    TRY(algorithm, N_ALGORITHMS - 1, true);
    TRY(algorithm, N_ALGORITHMS, false);
    TRY(affinity, AFFINITY_SOURCE + 1, false);
    TRY(affinity_timeout, 0, false);
    TRY(affinity_timeout, GROUP_MAX_AFFINITY_S, true);
    TRY(affinity_timeout, GROUP_MAX_AFFINITY_S + 1, false);
    TRY(ramp, GROUP_MAX_RAMP_S, true);
    TRY(ramp, GROUP_MAX_RAMP_S + 1, false);
    TRY(flags, 7, true);
    TRY(flags, 8, false);
    TRY(quic_length, 4, false);         /* Not UDP. */

    good.key.port = 0;
    TRY(key.protocol, 1, true);
    TRY(key.port_last, 5, false);
    good.key.protocol = 17;
    good.quic_length = 2;
    TRY(quic_length, GROUP_MAX_QUIC_ID, true);
    TRY(quic_length, GROUP_MAX_QUIC_ID + 1, false);
    TRY(quic_offset, GROUP_MAX_QUIC_OFFSET, true);
    TRY(quic_offset, GROUP_MAX_QUIC_OFFSET + 1, false);
    good.affinity = AFFINITY_FLOW;
    TRY(affinity_timeout, 0, true);
#undef TRY
}

static void
test_only_an_absent_endpoint_has_no_weight(void **state)
{
    struct fixture *f = *state;

    memset(f->slots, 0xff, sizeof f->slots);
    f->endpoints[2].weight = GROUP_MAX_WEIGHT + 1;
    assert_false(is_accepted(f));
    f->endpoints[2].weight = 0;
    assert_false(is_accepted(f));
    f->endpoints[2].weight = GROUP_MAX_WEIGHT;
    assert_true(is_accepted(f));
    memset(&f->endpoints[1], 0, sizeof f->endpoints[1]);
    assert_true(is_accepted(f));
}

static void
test_previous_owners_are_those_that_there_are(void **state)
{
    struct fixture *f = *state;
    uint16_t *p = f->previous;
    struct group *group;

    memset(f->slots, 0xff, sizeof f->slots);
    f->spec.previous = f->previous;
    group = group_create(&f->spec, &hash_key);
    assert_null(group->previous);
    group_destroy(group);

    f->endpoints[1].state = ENDPOINT_ABSENT;
    f->endpoints[3].state = ENDPOINT_DOWN;
    p[0] = 2, p[1] = 0;
    p[2] = 1, p[3] = 3;
    p[4] = N_ENDPOINTS, p[5] = 1;
    p[2046] = GROUP_NO_ENDPOINT, p[2047] = 4;
    group = group_create(&f->spec, &hash_key);
    memset(f->previous, 0xaa, sizeof f->previous);
    assert_int_equal(group->previous[0], 2);
    assert_int_equal(group->previous[1], 0);
    assert_int_equal(group->previous[2], 3);
    assert_int_equal(group->previous[2046], 4);
    for (int i = 3; i < 2048; i++) {
        assert_true(group->previous[i] == GROUP_NO_ENDPOINT || i == 2046);
    }
    group_destroy(group);

    memset(f->previous, 0xff, sizeof f->previous);
    p[2047] = GROUP_MAX_ENDPOINTS;
    assert_false(is_accepted(f));
    p[2047] = GROUP_MAX_ENDPOINTS - 1;
    assert_true(is_accepted(f));
    p[2048] = GROUP_MAX_ENDPOINTS;      /* Past the end: not looked at. */
    assert_true(is_accepted(f));
}

/* Candidates are compared with a plain search for them. */
static void
check_candidates(const struct group *group)
{
    const struct group_candidate *c = group->candidates;
    size_t n = 0;

    for (uint32_t tier = 0; tier <= UINT16_MAX; tier++) {
        uint32_t sum = 0, of_first = 0, weight_of_first = 1;

        for (uint16_t e = 0; e < group->n_endpoints; e++) {
            const struct group_endpoint *ep = &group->endpoints[e];

            if (ep->state != ENDPOINT_UP || ep->tier != tier) {
                continue;
            }
            assert_true(n < group->n_candidates);
            assert_int_equal(c[n].endpoint, e);
            assert_int_equal(c[n].tier, tier);
            sum += ep->weight;
            if (!of_first) {
                of_first = c[n].weight_sum;
                weight_of_first = ep->weight;
            }
            /* Sums are in some unit, the same for the whole tier. */
            assert_int_equal((uint64_t) c[n].weight_sum * weight_of_first,
                             (uint64_t) sum * of_first);
            n++;
        }
    }
    assert_int_equal(n, group->n_candidates);
}

static void
test_candidates_are_sorted_and_weighed(void **state)
{
    struct fixture *f = *state;

    memset(f->slots, 0xff, sizeof f->slots);
    srand(1);
    for (int round = 0; round < 40; round++) {
        struct group *group;
        uint32_t oldest = UINT32_MAX;

        f->spec.n_endpoints = rand() % 200;
        for (size_t e = 0; e < f->spec.n_endpoints; e++) {
            struct group_endpoint *ep = &f->endpoints[e];

            ep->state = rand() % 3 ? ENDPOINT_UP : rand() % 5;
            ep->weight = 100 * (1 + rand() % 10);
            ep->tier = rand() % 4 ? rand() % 5 : rand() % 65536;
            ep->up_at_s = rand();
            if (ep->state == ENDPOINT_UP && ep->up_at_s < oldest) {
                oldest = ep->up_at_s;
            }
        }
        group = group_create(&f->spec, &hash_key);
        assert_non_null(group);
        check_candidates(group);
        assert_int_equal(group->oldest_up_at_s, oldest);
        group_destroy(group);
    }
}

/* So that round robin can tell equal weights: they are 1. */
static void
test_weights_are_in_the_largest_unit(void **state)
{
    struct fixture *f = *state;
    static const uint16_t weights[N_ENDPOINTS] = { 300, 300, 8, 12, 20 };
    static const uint32_t sums[N_ENDPOINTS] = { 1, 2, 2, 5, 10 };
    struct group *group;

    for (int e = 0; e < N_ENDPOINTS; e++) {
        f->endpoints[e].weight = weights[e];
        f->endpoints[e].tier = e < 2 ? 4 : 9;
    }
    group = group_create(&f->spec, &hash_key);
    for (int e = 0; e < N_ENDPOINTS; e++) {
        assert_int_equal(group->candidates[e].weight_sum, sums[e]);
    }
    group_destroy(group);
}

static void
test_what_goes_by_measure_has_no_tiers(void **state)
{
    struct fixture *f = *state;
    struct group *group;

    for (int e = 0; e < N_ENDPOINTS; e++) {
        f->endpoints[e].tier = 100 - e;
    }
    f->spec.flags = GROUP_MEASURED;
    group = group_create(&f->spec, &hash_key);
    for (int e = 0; e < N_ENDPOINTS; e++) {
        assert_int_equal(group->candidates[e].endpoint, e);
        assert_int_equal(group->candidates[e].tier, 0);
    }
    group_destroy(group);
    f->spec.algorithm = ALGORITHM_LEAST_COST;
    group = group_create(&f->spec, &hash_key);
    assert_int_equal(group->candidates[0].endpoint, 4);
    group_destroy(group);
}

static void
test_quic_ids_are_found(void **state)
{
    struct fixture *f = *state;
    struct group *group;

    f->spec.key.protocol = 17;
    f->spec.quic_length = 2;
    f->spec.n_endpoints = 1000;
    for (int e = 0; e < 1000; e++) {
        f->endpoints[e].quic_id = e % 10 ? 1 + e * 7919 % 65521 : 0;
    }
    f->endpoints[777].state = ENDPOINT_DRAINING;
    memset(f->slots, 0xff, sizeof f->slots);
    f->endpoints[778].state = ENDPOINT_ABSENT;
    group = group_create(&f->spec, &hash_key);
    for (uint32_t id = 0; id <= 65536; id++) {
        uint16_t expected = GROUP_NO_ENDPOINT;

        for (int e = 0; e < 1000 && id; e++) {
            if (f->endpoints[e].quic_id == id && e != 778) {
                expected = e;
            }
        }
        assert_int_equal(group_find_quic(group, id), expected);
    }
    group_destroy(group);

    f->endpoints[3].quic_id = f->endpoints[991].quic_id;
    assert_false(is_accepted(f));
    f->endpoints[3].quic_id = f->endpoints[778].quic_id;
    assert_true(is_accepted(f));
    f->endpoints[3].quic_id = 0x10000;
    assert_false(is_accepted(f));
    f->spec.quic_length = 8;
    f->endpoints[3].quic_id = UINT64_MAX;
    assert_true(is_accepted(f));
    f->spec.quic_length = 0;
    group = group_create(&f->spec, &hash_key);
    assert_int_equal(group->n_quic, 0);
    assert_int_equal(group_find_quic(group, UINT64_MAX), GROUP_NO_ENDPOINT);
    group_destroy(group);
}

/* The simple twin: looks at one after the other. */
static uint16_t
find_mac_simply(const struct group_spec *spec, const struct mac *mac,
                bool only_local)
{
    for (size_t e = 0; e < spec->n_endpoints; e++) {
        if (spec->endpoints[e].state != ENDPOINT_ABSENT
            && (spec->endpoints[e].local || !only_local)
            && !memcmp(&spec->endpoints[e].mac, mac, sizeof *mac)) {
            return e;
        }
    }
    return GROUP_NO_ENDPOINT;
}

/* All octets count, also those beyond 0x7f.  Some MACs there are twice, and
 * the endpoint with the lower index counts. */
static void
test_macs_are_found(void **state)
{
    struct fixture *f = *state;
    static const size_t sizes[] = { 0, 1, 2, 3, 100, GROUP_MAX_ENDPOINTS };
    size_t n_found = 0, n_local = 0;

    memset(f->slots, 0xff, sizeof f->slots);
    srandom(1);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        f->spec.n_endpoints = sizes[i];
        for (size_t e = 0; e < sizes[i]; e++) {
            struct mac *mac = &f->endpoints[e].mac;

            *mac = (struct mac) { { 2, 0, 0, 0, 0, 0 } };
            mac->octet[random() % 6] ^= random();
            mac->octet[random() % 6] ^= random();
            f->endpoints[e].state = random() % (ENDPOINT_LOST + 1);
            f->endpoints[e].local = random() % 4 == 0;
        }

        struct group *group = group_create(&f->spec, &hash_key);
        for (size_t e = 0; e < sizes[i] + 1000; e++) {
            struct mac mac = f->endpoints[e % (sizes[i] + 1)].mac;

            mac.octet[random() % 6] ^= e < sizes[i] ? 0 : random();
            uint16_t any = find_mac_simply(&f->spec, &mac, false);
            uint16_t local = find_mac_simply(&f->spec, &mac, true);
            assert_int_equal(group_find_mac(group, &mac), any);
            assert_int_equal(group_find_local(group, &mac), local);
            n_found += any != GROUP_NO_ENDPOINT;
            n_local += local != GROUP_NO_ENDPOINT;
        }
        group_destroy(group);
    }
    assert_true(n_found > 3000 && n_local > 500 && n_local < n_found);
}

static void
test_flows_stay_where_they_can(void **state)
{
    struct fixture *f = *state;
    struct group *group;

    memset(f->slots, 0xff, sizeof f->slots);
    for (int e = 0; e < N_ENDPOINTS; e++) {
        f->endpoints[e].state = e;
    }
    group = group_create(&f->spec, &hash_key);
    assert_false(group_keeps_flows(group, ENDPOINT_ABSENT));
    assert_true(group_keeps_flows(group, ENDPOINT_UP));
    assert_true(group_keeps_flows(group, ENDPOINT_DRAINING));
    assert_false(group_keeps_flows(group, ENDPOINT_DOWN));
    assert_true(group_keeps_flows(group, ENDPOINT_LOST));
    assert_false(group_keeps_flows(group, N_ENDPOINTS));
    assert_false(group_keeps_flows(group, GROUP_NO_ENDPOINT));
    group_destroy(group);
}

/* A range hashes as its first port, so that it can be made longer. */
static void
test_the_seed_is_that_of_the_documented_bytes(void **state)
{
    struct fixture *f = *state;
    static const uint8_t address[16] = { 0x20, 1, 0xd, 0xb8, [15] = 7 };
    uint8_t bytes[24] = { [18] = 0x13, [19] = 0x89, [21] = 80, [22] = 6 };
    struct group *group;

    memcpy(bytes, address, sizeof address);
    group_key_init(&f->spec.key, 5001, inet_addr_from_bytes(address), 6, 80,
                   90);
    assert_memory_equal(f->spec.key.address, address, sizeof address);
    assert_int_equal(f->spec.key.port_last, 90);
    group = group_create(&f->spec, &hash_key);
    assert_int_equal(group->seed,
                     flow_hash_bytes(&hash_key, bytes, sizeof bytes));
    group_destroy(group);
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_group_is_a_copy_of_its_spec),
        TEST(test_every_size_from_least_to_most_is_accepted),
        TEST(test_a_group_without_endpoints_has_empty_slots),
        TEST(test_a_slot_names_an_endpoint_that_is_there),
        TEST(test_numbers_out_of_range_are_refused),
        TEST(test_only_an_absent_endpoint_has_no_weight),
        TEST(test_previous_owners_are_those_that_there_are),
        TEST(test_candidates_are_sorted_and_weighed),
        TEST(test_weights_are_in_the_largest_unit),
        TEST(test_what_goes_by_measure_has_no_tiers),
        TEST(test_quic_ids_are_found),
        TEST(test_macs_are_found),
        TEST(test_flows_stay_where_they_can),
        TEST(test_the_seed_is_that_of_the_documented_bytes),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
