/* The promises of anycast/handshake.h. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "anycast/handshake.h"

#define START UINT64_C(1000000)

static int
setup(void **state)
{
    *state = calloc(1, sizeof(struct handshake_table));
    return 0;
}

static int
teardown(void **state)
{
    free(*state);
    return 0;
}

/* Two flows that share a slot. */
static uint64_t
rival(uint64_t hash)
{
    return hash + UINT64_C(1) * HANDSHAKE_SLOTS;
}

/* A SYN that is to be the first of its flow, and to displace nobody. */
static void
expect_first(struct handshake_table *t, uint64_t hash, uint32_t group,
             uint16_t endpoint, uint64_t now_us)
{
    struct handshake displaced = { .hash = 99 };
    uint64_t elapsed_us = 77;

    assert_false(handshake_syn(t, hash, group, endpoint, now_us, &elapsed_us,
                               &displaced));
    assert_int_equal(displaced.hash, 0);
    assert_int_equal(elapsed_us, 77);
}

static void
test_an_answer_ends_the_handshake(void **state)
{
    struct handshake_table *t = *state;
    struct handshake done = { .hash = 0 };

    assert_false(handshake_ack(t, 5, &done));
    assert_int_equal(done.hash, 0);
    expect_first(t, 5, 7, 9, START);
    assert_false(handshake_ack(t, rival(5), &done));
    assert_false(handshake_ack(t, 6, &done));
    assert_true(handshake_ack(t, 5, &done));
    assert_int_equal(done.began_us, START);
    assert_int_equal(done.group, 7);
    assert_int_equal(done.endpoint, 9);
    assert_int_equal(done.repeats, 0);
    assert_false(handshake_ack(t, 5, &done));
    expect_first(t, 5, 7, 9, START + 1);
}

static void
test_repeats_count_from_the_first_syn(void **state)
{
    struct handshake_table *t = *state;
    struct handshake displaced = { .hash = 99 }, done;
    uint64_t elapsed_us;

    expect_first(t, 5, 7, 9, START);
    for (int i = 1; i <= 3; i++) {
        assert_true(handshake_syn(t, 5, 7, 9, START + i * 1000, &elapsed_us,
                                  &displaced));
        assert_int_equal(elapsed_us, i * 1000);
        assert_int_equal(displaced.hash, 0);
    }
    /* A clock that was read earlier by another batch. */
    assert_true(handshake_syn(t, 5, 7, 9, START - 1, &elapsed_us,
                              &displaced));
    assert_int_equal(elapsed_us, 0);
    assert_true(handshake_ack(t, 5, &done));
    assert_int_equal(done.repeats, 4);
    assert_int_equal(done.began_us, START);
}

static void
test_a_flow_on_another_endpoint_begins_anew(void **state)
{
    struct handshake_table *t = *state;
    struct handshake displaced, done;
    uint64_t elapsed_us;

    expect_first(t, 5, 7, 9, START);
    assert_false(handshake_syn(t, 5, 7, 10, START + 50, &elapsed_us,
                               &displaced));
    assert_int_equal(displaced.hash, 5);
    assert_int_equal(displaced.endpoint, 9);
    assert_true(handshake_ack(t, 5, &done));
    assert_int_equal(done.endpoint, 10);
    assert_int_equal(done.began_us, START + 50);
    assert_int_equal(done.repeats, 0);
}

static void
test_a_newer_handshake_displaces_an_older_one(void **state)
{
    struct handshake_table *t = *state;
    struct handshake displaced, done;
    uint64_t elapsed_us;

    expect_first(t, 5, 7, 9, START);
    expect_first(t, 6, 7, 9, START);
    assert_false(handshake_syn(t, rival(5), 8, 1, START + 1, &elapsed_us,
                               &displaced));
    assert_int_equal(displaced.hash, 5);
    assert_int_equal(displaced.group, 7);
    assert_int_equal(displaced.endpoint, 9);
    assert_false(handshake_ack(t, 5, &done));
    assert_true(handshake_ack(t, rival(5), &done));
    assert_int_equal(done.group, 8);
    assert_true(handshake_ack(t, 6, &done));
}

static void
test_a_hash_of_0_is_a_flow_too(void **state)
{
    struct handshake_table *t = *state;
    struct handshake displaced, done;
    uint64_t elapsed_us;

    assert_false(handshake_ack(t, 0, &done));
    expect_first(t, 0, 7, 9, START);
    assert_true(handshake_syn(t, 0, 7, 9, START + 3, &elapsed_us,
                              &displaced));
    assert_int_equal(elapsed_us, 3);
    assert_true(handshake_ack(t, 0, &done));
    assert_int_equal(done.endpoint, 9);
    assert_false(handshake_ack(t, 0, &done));
    expect_first(t, 0, 7, 9, START);
    assert_true(handshake_expire(t, HANDSHAKE_SLOTS,
                                 START + HANDSHAKE_GIVE_UP_US + 1, &done));
}

static void
test_each_is_given_up_once_and_in_time(void **state)
{
    struct handshake_table *t = *state;
    uint64_t late = START + HANDSHAKE_GIVE_UP_US + 1;
    struct handshake given_up;
    unsigned int n = 0;

    for (uint64_t hash = 1; hash <= 100; hash++) {
        expect_first(t, hash * 40, 7, hash, START + (hash > 60));
    }
    assert_false(handshake_expire(t, HANDSHAKE_SLOTS, late - 1, &given_up));
    while (handshake_expire(t, HANDSHAKE_SLOTS, late, &given_up)) {
        assert_true(given_up.endpoint >= 1 && given_up.endpoint <= 60);
        assert_int_equal(given_up.hash, given_up.endpoint * 40);
        n++;
    }
    assert_int_equal(n, 60);
    while (handshake_expire(t, HANDSHAKE_SLOTS, late + 1, &given_up)) {
        n++;
    }
    assert_int_equal(n, 100);
    assert_false(handshake_ack(t, 40, &given_up));
}

/* A little at a time, going round. */
static void
test_a_sweep_looks_at_as_many_slots_as_asked(void **state)
{
    struct handshake_table *t = *state;
    uint64_t late = START + HANDSHAKE_GIVE_UP_US + 1;
    struct handshake given_up;

    expect_first(t, 10, 7, 9, START);
    assert_false(handshake_expire(t, 10, late, &given_up));
    assert_true(handshake_expire(t, 1, late, &given_up));
    expect_first(t, 10, 7, 9, START);
    assert_false(handshake_expire(t, HANDSHAKE_SLOTS - 1, late, &given_up));
    assert_true(handshake_expire(t, 1, late, &given_up));
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_an_answer_ends_the_handshake),
        TEST(test_repeats_count_from_the_first_syn),
        TEST(test_a_flow_on_another_endpoint_begins_anew),
        TEST(test_a_newer_handshake_displaces_an_older_one),
        TEST(test_a_hash_of_0_is_a_flow_too),
        TEST(test_each_is_given_up_once_and_in_time),
        TEST(test_a_sweep_looks_at_as_many_slots_as_asked),
    };
#undef TEST

    return cmocka_run_group_tests(tests, NULL, NULL);
}
