/* Damaged messages: each is refused and leaves the replica exactly as it was,
 * or leads to a consistent one. */

#include <config.h>

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/unit/json-damage.h"
#include "tests/unit/replica-model.h"
#include "util.h"

static const char *const strings[] = {
    "", "a", "b", "c", "e0", "e1", "h0", "h1", "h5", "h6", "192.0.2.1",
    "10.0.0.12", "224.0.0.1", "02:00:00:00:00:01", "01:00:00:00:00:01",
    "up", "down", "draining", "tcp", "vxlan", "source", "endpoint", "host",
    "group", "workload", "vip", "lease", "r1", "r2",
    "AIACAA==", "AIACAQ==", "AIAC//8D", "AAAA", "AAEA", "====",
    "00000000000000000000000000000000", "0123456789abcdef0123456789abcdef",
    "\xc3\xa9",
    "a23456789012345678901234567890123456789012345678901234567890123456",
};
static const char *const names[] = { "extra", "name" };
static const struct json_damage damage = {
    model_random, strings, ARRAY_SIZE(strings), names, ARRAY_SIZE(names),
};

struct score {
    size_t n_accepted, n_refused;
};

/* Damages 'message' and feeds it to 'replica', which must be in the state in
 * which 'message' itself would be accepted.  Returns true if it was. */
static bool
feed_damaged(struct replica *replica, const struct json *message,
             int (*apply)(struct replica *, const struct json *, int64_t,
                          struct diagnosis *),
             struct score *score)
{
    struct json *json = json_deep_clone(message);
    char *before = model_print(replica, true);
    struct diagnosis diag = { .code = DIAG_NONE };
    int error;

    for (int i = model_random(3); i >= 0; i--) {
        json_damage(&damage, json);
    }
    error = apply(replica, json, 0, &diag);
    if (error) {
        char *after = model_print(replica, true);

        assert_true(error > 0);
        assert_string_equal(before, after);
        assert_int_not_equal(diag.code, DIAG_NONE);
        assert_true(diag.message[0] != '\0');
        score->n_refused++;
        free(after);
    } else {
        model_check_consistent(replica);
        score->n_accepted++;
    }
    free(before);
    json_destroy(json);
    return !error;
}

static void
load(struct replica *replica, const struct model *m)
{
    struct json *json = model_snapshot(m);

    assert_int_equal(replica_load_snapshot(replica, json, 0, NULL), 0);
    json_destroy(json);
    model_check(m, replica);
}

static void
grow(struct model *m)
{
    model_init(m);
    for (int i = 0; i < 60; i++) {
        model_change(m);
    }
}

static void
test_damaged_snapshots(void **state)
{
    struct score score = { 0, 0 };

    (void) state;
    for (int seed = 0; seed < 15; seed++) {
        struct replica replica;
        struct model m, next;
        struct json *json;

        model_seed(seed);
        grow(&m);
        next = m;
        for (int i = 0; i < 10; i++) {
            model_change(&next);
        }
        replica_init(&replica);
        load(&replica, &m);
        json = model_snapshot(&next);
        for (int i = 0; i < 100; i++) {
            if (feed_damaged(&replica, json, replica_load_snapshot, &score)) {
                load(&replica, &m);
            }
        }
        json_destroy(json);
        replica_destroy(&replica);
    }
    assert_true(score.n_refused > 1000 && score.n_accepted > 50);
}

static void
test_damaged_updates(void **state)
{
    struct score score = { 0, 0 };

    (void) state;
    for (int seed = 0; seed < 100; seed++) {
        struct replica replica;
        struct model m, next;
        struct json *json;

        model_seed(seed);
        grow(&m);
        next = m;
        model_change(&next);
        model_change(&next);
        next.revision = m.revision + 1;
        replica_init(&replica);
        load(&replica, &m);
        json = model_update(&m, &next);
        for (int i = 0; i < 40; i++) {
            if (feed_damaged(&replica, json, replica_apply_update, &score)) {
                load(&replica, &m);
            }
        }

        /* And none of them left a trace that matters. */
        assert_int_equal(replica_apply_update(&replica, json, 0, NULL), 0);
        model_check(&next, &replica);
        json_destroy(json);
        replica_destroy(&replica);
    }
    assert_true(score.n_refused > 1000 && score.n_accepted > 50);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_snapshots),
        cmocka_unit_test(test_damaged_updates),
    };

    return cmocka_run_group_tests_name("replica-fuzz", tests, NULL, NULL);
}
