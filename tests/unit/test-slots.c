/* Slot assignment against definitions: what a fair table is, and which moves
 * are needed, computed slowly and without looking at how slots.c does it. */

#include <config.h>

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/catalog/slot-dues.h"
#include "mapping/catalog/slots.h"

enum { NONE = GROUP_NO_ENDPOINT };

struct world {
    uint16_t slots[GROUP_MAX_SLOTS], before[GROUP_MAX_SLOTS];
    size_t n_slots;
    struct slots_claim claims[SLOTS_MAX_CLAIMS];
    size_t n;
    uint16_t next_index;
};

static uint64_t random_state;

static uint32_t
rnd(uint32_t n)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (random_state >> 33) % n;
}

static struct world *
world_create(size_t n_slots)
{
    struct world *w = calloc(1, sizeof *w);

    assert_non_null(w);
    w->n_slots = n_slots;
    memset(w->slots, 0xff, sizeof w->slots);
    return w;
}

static void
world_add(struct world *w, uint16_t weight)
{
    w->claims[w->n].index = w->next_index++ % GROUP_MAX_ENDPOINTS;
    w->claims[w->n++].weight = weight;
}

static void
world_remove(struct world *w, size_t i)
{
    memmove(&w->claims[i], &w->claims[i + 1],
            (--w->n - i) * sizeof *w->claims);
}

static size_t
count(const uint16_t *slots, size_t n_slots, uint16_t index)
{
    size_t n = 0;

    for (size_t i = 0; i < n_slots; i++) {
        n += slots[i] == index;
    }
    return n;
}

/* A table is fair (D'Hondt with at least one each) exactly if nobody who has
 * more than one would be worse off, after giving one away, than the receiver
 * was before.  O(n^2), by definition. */
static void
check_fair(const struct world *w, const size_t *has)
{
    size_t sum = 0;

    for (size_t i = 0; i < w->n; i++) {
        assert_true(has[i] >= 1);
        sum += has[i];
        for (size_t j = 0; j < w->n && has[i] > 1; j++) {
            assert_true(w->claims[i].weight * (has[j] + 1)
                        >= w->claims[j].weight * has[i]);
        }
    }
    assert_int_equal(sum, w->n_slots);
}

/* The greatest number of slots that can stay where they are in any fair table:
 * slots given out one by one, O(n_slots * n), and of the last ones, for which
 * several tie, to those that have them already. */
static size_t
count_stayers(const struct world *w, const size_t *had)
{
    size_t *due = calloc(w->n, sizeof *due);
    size_t left = w->n_slots - w->n;
    size_t n_stay = 0;

    for (size_t i = 0; i < w->n; i++) {
        due[i] = 1;
    }
    while (left) {
        size_t n_best = 0, n_had = 0;
        size_t best = 0;

        for (size_t i = 1; i < w->n; i++) {
            if (w->claims[i].weight * (due[best] + 1)
                > w->claims[best].weight * (due[i] + 1)) {
                best = i;
            }
        }
        for (size_t i = 0; i < w->n; i++) {
            bool ties = (w->claims[i].weight * (due[best] + 1)
                         == w->claims[best].weight * (due[i] + 1));
            n_best += ties;
            n_had += ties && had[i] > due[i];
        }
        if (n_best > left) {
            n_stay += n_had < left ? n_had : left;
            break;
        }
        due[best]++;
        left--;
    }
    for (size_t i = 0; i < w->n; i++) {
        n_stay += had[i] < due[i] ? had[i] : due[i];
    }
    free(due);
    return n_stay;
}

/* Assigns, and checks that the table is fair, that no more moved than must,
 * and that the number returned is true. */
static size_t
assign_and_check(struct world *w, uint64_t seed)
{
    size_t *had = calloc(w->n + 1, sizeof *had);
    size_t *has = calloc(w->n + 1, sizeof *has);
    size_t n_changed = 0;
    size_t result;

    memcpy(w->before, w->slots, sizeof w->slots);
    result = slots_assign(w->slots, w->n_slots, w->claims, w->n, seed);
    for (size_t i = 0; i < w->n_slots; i++) {
        n_changed += w->slots[i] != w->before[i];
    }
    assert_int_equal(result, n_changed);
    for (size_t i = 0; i < w->n; i++) {
        had[i] = count(w->before, w->n_slots, w->claims[i].index);
        has[i] = count(w->slots, w->n_slots, w->claims[i].index);
    }
    if (w->n) {
        check_fair(w, has);
        assert_int_equal(n_changed, w->n_slots - count_stayers(w, had));
    } else {
        assert_int_equal(count(w->slots, w->n_slots, NONE), w->n_slots);
    }
    free(had);
    free(has);
    return n_changed;
}

/* When one endpoint comes, goes or changes weight, only slots to it or from it
 * may move. */
static void
check_only_moves_of(const struct world *w, uint16_t index)
{
    for (size_t i = 0; i < w->n_slots; i++) {
        if (w->before[i] != NONE && w->slots[i] != NONE
            && w->before[i] != w->slots[i]) {
            assert_true(w->before[i] == index || w->slots[i] == index);
        }
    }
}

static uint16_t
change_one(struct world *w, const uint16_t *weights, size_t n_weights,
           size_t max)
{
    size_t i = w->n ? rnd(w->n) : 0;
    uint16_t weight = weights[rnd(n_weights)];
    uint16_t index;

    if (!w->n || (w->n < max && rnd(3) == 0)) {
        world_add(w, weight);
        return w->claims[w->n - 1].index;
    }
    index = w->claims[i].index;
    if (rnd(2)) {
        world_remove(w, i);
    } else {
        w->claims[i].weight = weight;
    }
    return index;
}

static void
test_random_single_changes_move_nothing_needless(void **state)
{
    static const uint16_t equal[] = { 100 };
    static const uint16_t close[] = { 99, 100, 101, 100, 50, 200 };
    static const uint16_t wide[] = { 1, 2, 3, 10, 100, 500, 999, 1000 };
    static const struct {
        const uint16_t *weights;
        size_t n;
    } kinds[] = { { equal, 1 }, { close, 6 }, { wide, 8 } };

    (void) state;
    for (size_t k = 0; k < 3; k++) {
        for (size_t n_slots = 256; n_slots <= 1024; n_slots *= 4) {
            struct world *w = world_create(n_slots);

            random_state = n_slots + k;
            for (int step = 0; step < 600; step++) {
                uint16_t index = change_one(w, kinds[k].weights, kinds[k].n,
                                            100);
                assign_and_check(w, random_state);
                check_only_moves_of(w, index);
            }
            free(w);
        }
    }
}

/* Several changes at once, tables of any size, owners that were never heard
 * of, weights beyond what records allow. */
static void
test_random_mixed_changes_move_the_minimum(void **state)
{
    (void) state;
    random_state = 1;
    for (int round = 0; round < 400; round++) {
        struct world *w = world_create(1 + rnd(700));

        for (size_t i = 0; i < w->n_slots; i++) {
            w->slots[i] = rnd(4) ? NONE : rnd(2 * GROUP_MAX_ENDPOINTS);
        }
        for (int step = 0; step < 5; step++) {
            size_t n = 1 + rnd(w->n_slots < 60 ? w->n_slots : 60);

            while (w->n > n) {
                world_remove(w, rnd(w->n));
            }
            while (w->n < n) {
                world_add(w, 1 + rnd(rnd(2) ? 65535 : 8));
            }
            for (size_t i = 0; i < w->n; i++) {
                w->claims[i].weight = (rnd(4) ? w->claims[i].weight
                                       : 1 + rnd(1000));
            }
            assign_and_check(w, round);
        }
        free(w);
    }
}

static void
test_nothing_moves_when_nothing_changed(void **state)
{
    struct world *w = world_create(1024);

    (void) state;
    random_state = 2;
    for (int i = 0; i < 37; i++) {
        world_add(w, 1 + rnd(1000));
    }
    assign_and_check(w, 1);
    assert_int_equal(assign_and_check(w, 2), 0);

    /* Nor by naming the claims in another order. */
    for (size_t i = 0; i < w->n / 2; i++) {
        struct slots_claim claim = w->claims[i];

        w->claims[i] = w->claims[w->n - 1 - i];
        w->claims[w->n - 1 - i] = claim;
    }
    assert_int_equal(assign_and_check(w, 3), 0);
    free(w);
}

/* The bound of slot-dues.h, which is what keeps the load over the share below
 * 1.002 for 100 endpoints on 65,536 slots, whatever their weights. */
static void
check_balance(size_t n, size_t n_slots, uint16_t min, uint16_t max)
{
    struct world *w = world_create(n_slots);
    double weight = 0;

    for (size_t i = 0; i < n; i++) {
        world_add(w, min + rnd(max - min + 1));
        weight += w->claims[i].weight;
    }
    slots_assign(w->slots, n_slots, w->claims, n, 7);
    for (size_t i = 0; i < n; i++) {
        size_t has = count(w->slots, n_slots, w->claims[i].index);
        double share = n_slots * (w->claims[i].weight / weight);

        assert_true(has >= 1);
        assert_true(has == 1 || has / share < 1 + (double) n / n_slots);
        assert_true(has == 1 || n_slots != 65536 || n > 100
                    || has / share <= 1.002);
    }
    free(w);
}

static void
test_load_is_close_to_what_weights_ask_for(void **state)
{
    (void) state;
    random_state = 3;
    for (int round = 0; round < 5; round++) {
        check_balance(100, 65536, 100, 100);
        check_balance(100, 65536, 1, 1000);
        check_balance(1000, 65536, 1, 1000);
        check_balance(1 + rnd(300), 1024, 1, 1 + rnd(1000));
    }
}

static void
test_every_endpoint_gets_a_slot_if_there_are_enough(void **state)
{
    struct world *w = world_create(256);

    (void) state;
    for (int i = 0; i < 255; i++) {
        world_add(w, 1);
    }
    world_add(w, 1000);
    assign_and_check(w, 0);
    for (size_t i = 0; i < w->n; i++) {
        assert_int_equal(count(w->slots, 256, w->claims[i].index), 1);
    }
    free(w);
}

static void
test_heaviest_win_when_slots_are_too_few(void **state)
{
    struct world *w = world_create(256);

    (void) state;
    for (int i = 0; i < 400; i++) {
        world_add(w, i < 100 ? 5 : i % 2 ? 7 : 9);
    }
    assert_int_equal(slots_assign(w->slots, 256, w->claims, 400, 0), 256);
    for (size_t i = 0; i < 400; i++) {
        bool wins = i >= 100 && (w->claims[i].weight == 9 || i < 100 + 212);

        assert_int_equal(count(w->slots, 256, i), wins);
    }

    /* A newcomer of equal weight does not push out an owner, one that is
     * heavier does. */
    w->claims[0].weight = 7;
    assert_int_equal(slots_assign(w->slots, 256, w->claims, 400, 0), 0);
    w->claims[0].weight = 8;
    assert_int_equal(slots_assign(w->slots, 256, w->claims, 400, 0), 1);
    assert_int_equal(count(w->slots, 256, 0), 1);
    assert_int_equal(count(w->slots, 256, 311), 0);
    free(w);
}

static void
test_the_same_seed_gives_the_same_table(void **state)
{
    struct world *w = world_create(1024);
    uint16_t first[1024], again[1024], other[1024];

    (void) state;
    for (int i = 0; i < 20; i++) {
        world_add(w, 100);
    }
    slots_assign(w->slots, 1024, w->claims, w->n, 1);
    memcpy(first, w->slots, sizeof first);
    memcpy(again, w->slots, sizeof first);
    memcpy(other, w->slots, sizeof first);
    world_remove(w, 4);
    slots_assign(first, 1024, w->claims, w->n, 5);
    slots_assign(again, 1024, w->claims, w->n, 5);
    slots_assign(other, 1024, w->claims, w->n, 6);
    assert_memory_equal(first, again, sizeof first);
    assert_memory_not_equal(first, other, sizeof first);
    for (size_t i = 0; i < w->n; i++) {
        assert_int_equal(count(first, 1024, w->claims[i].index),
                         count(other, 1024, w->claims[i].index));
    }
    free(w);
}

/* What one gives up comes from all over the table, also where it owned one
 * long run; and what one leaves goes to all others, in no runs. */
static void
test_moves_are_spread(void **state)
{
    struct world *w = world_create(4096);
    size_t quarter[4] = { 0 };
    size_t n_runs = 0, n_moved;

    (void) state;
    world_add(w, 100);
    slots_assign(w->slots, 4096, w->claims, 1, 0);
    world_add(w, 100);
    n_moved = assign_and_check(w, 11);
    assert_int_equal(n_moved, 2048);
    for (size_t i = 0; i < 4096; i++) {
        quarter[i / 1024] += w->slots[i] != w->before[i];
    }
    for (int i = 0; i < 4; i++) {
        /* Five standard deviations (22.6 each) around 512... */
        assert_in_range(quarter[i], 512 - 100, 512 + 100);
    }

    for (int i = 0; i < 8; i++) {
        world_add(w, 100);
    }
    assign_and_check(w, 12);
    world_remove(w, 0);
    n_moved = assign_and_check(w, 13);
    for (size_t i = 0; i < w->n; i++) {
        size_t n = 0;
        uint16_t last = NONE;

        for (size_t j = 0; j < 4096; j++) {
            if (w->before[j] == 0) {
                n += w->slots[j] == w->claims[i].index;
                n_runs += !i && w->slots[j] != last;
                last = w->slots[j];
            }
        }
        assert_in_range(n, 409 / 9 - 1, 409 / 9 + 2);
    }
    /* ...and of 410 draws from nine, about eight ninths differ from the last.
     */
    assert_true(n_runs > n_moved * 3 / 4);
    free(w);
}

static void
test_no_claims_empty_the_table(void **state)
{
    struct world *w = world_create(256);

    (void) state;
    assert_int_equal(assign_and_check(w, 0), 0);
    world_add(w, 1);
    assert_int_equal(assign_and_check(w, 0), 256);
    world_remove(w, 0);
    assert_int_equal(assign_and_check(w, 0), 256);
    free(w);
}

static void
test_the_largest_case_fits(void **state)
{
    struct world *w = world_create(GROUP_MAX_SLOTS);

    (void) state;
    for (size_t i = 0; i < SLOTS_MAX_CLAIMS; i++) {
        world_add(w, i % 2 ? 65535 : 1);
    }
    assert_int_equal(slots_assign(w->slots, GROUP_MAX_SLOTS, w->claims, w->n,
                                  0), GROUP_MAX_SLOTS);
    assert_int_equal(count(w->slots, GROUP_MAX_SLOTS, 0), 1);
    assert_in_range(count(w->slots, GROUP_MAX_SLOTS, 1), 31, 31);
    free(w);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_single_changes_move_nothing_needless),
        cmocka_unit_test(test_random_mixed_changes_move_the_minimum),
        cmocka_unit_test(test_nothing_moves_when_nothing_changed),
        cmocka_unit_test(test_load_is_close_to_what_weights_ask_for),
        cmocka_unit_test(test_every_endpoint_gets_a_slot_if_there_are_enough),
        cmocka_unit_test(test_heaviest_win_when_slots_are_too_few),
        cmocka_unit_test(test_the_same_seed_gives_the_same_table),
        cmocka_unit_test(test_moves_are_spread),
        cmocka_unit_test(test_no_claims_empty_the_table),
        cmocka_unit_test(test_the_largest_case_fits),
    };

    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
