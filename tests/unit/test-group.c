/* What group_create() takes, what it refuses, and that it copies. */

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
    struct group_endpoint endpoints[GROUP_MAX_ENDPOINTS + 1];
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    for (size_t i = 0; i < GROUP_MAX_SLOTS * 2; i++) {
        f->slots[i] = i % 3 ? i % N_ENDPOINTS : GROUP_NO_ENDPOINT;
    }
    for (size_t i = 0; i <= GROUP_MAX_ENDPOINTS; i++) {
        f->endpoints[i].state = ENDPOINT_UP;
        f->endpoints[i].host = i;
    }
    f->spec = (struct group_spec) {
        .id = 7, .epoch = 9, .affinity = AFFINITY_SOURCE,
        .slots = f->slots, .n_slots = 1024,
        .endpoints = f->endpoints, .n_endpoints = N_ENDPOINTS,
    };
    group_key_init4(&f->spec.key, 5001, 0x0a010064, 6, 80);
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
    assert_int_equal(group->affinity, AFFINITY_SOURCE);
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
    f->endpoints[4].state = ENDPOINT_DOWN;
    assert_true(is_accepted(f));
    f->endpoints[4].state = ENDPOINT_DOWN + 1;
    assert_false(is_accepted(f));
}

static void
test_numbers_out_of_range_are_refused(void **state)
{
    struct fixture *f = *state;
    struct group_spec good = f->spec;

    f->spec.id = 0;
    assert_false(is_accepted(f));
    f->spec.id = GROUP_MAX_ID;
    assert_true(is_accepted(f));
    f->spec.id = GROUP_MAX_ID + 1;
    assert_false(is_accepted(f));

    f->spec = good;
    f->spec.key.vni = 0;
    assert_false(is_accepted(f));
    f->spec.key.vni = 0x1000000;
    assert_false(is_accepted(f));

    f->spec = good;
    f->spec.affinity = AFFINITY_SOURCE + 1;
    assert_false(is_accepted(f));

    f->spec = good;
    f->spec.key.pad = 1;
    assert_false(is_accepted(f));

    f->spec = good;
    f->spec.key.protocol = 0;
    assert_false(is_accepted(f));
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
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
