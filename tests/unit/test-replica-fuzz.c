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

#include "tests/unit/replica-model.h"
#include "util.h"

enum { MAX_NODES = 4096 };

/* Everything in a message: for each value where it hangs. */
struct node {
    struct json *parent;        /* Object or array. */
    const char *name;           /* In an object. */
    size_t index;               /* In an array. */
    struct json *value;
};

static struct node nodes[MAX_NODES];
static size_t n_nodes;

static void
collect(struct json *json)
{
    if (json->type == JSON_OBJECT) {
        struct shash_node *member;

        SHASH_FOR_EACH (member, json->object) {
            assert_true(n_nodes < MAX_NODES);
            nodes[n_nodes++] = (struct node) {
                .parent = json, .name = member->name, .value = member->data,
            };
            collect(member->data);
        }
    } else if (json->type == JSON_ARRAY) {
        for (size_t i = 0; i < json->array.n; i++) {
            assert_true(n_nodes < MAX_NODES);
            nodes[n_nodes++] = (struct node) {
                .parent = json, .index = i, .value = json->array.elems[i],
            };
            collect(json->array.elems[i]);
        }
    }
}

static struct json *
random_value(void)
{
    static const long long int integers[] = {
        -1, 0, 1, 2, 3, 80, 255, 256, 512, 1000, 1001, 4095, 4096, 65535,
        65536, 0xffffff, 0x1000000, 0xffffffff, 0x100000000, INT64_MAX,
        INT64_MIN,
    };
    static const char *const strings[] = {
        "", "a", "b", "c", "e0", "e1", "h0", "h1", "h5", "h6", "192.0.2.1",
        "10.0.0.12", "224.0.0.1", "02:00:00:00:00:01", "01:00:00:00:00:01",
        "up", "down", "draining", "tcp", "vxlan", "source", "endpoint", "host",
        "group", "AIACAA==", "AIACAQ==", "AIAC//8D", "AAAA", "AAEA", "====",
        "00000000000000000000000000000000", "0123456789abcdef0123456789abcdef",
        "\xc3\xa9",
        "a23456789012345678901234567890123456789012345678901234567890123456",
    };

    switch (model_random(8)) {
    case 0:
        return json_null_create();
    case 1:
        return json_boolean_create(model_random(2));
    case 2:
        return model_random(2) ? json_array_create_empty()
                               : json_object_create();
    case 3:
        return json_real_create(1.5);
    case 4: case 5:
        return json_integer_create(
            integers[model_random(ARRAY_SIZE(integers))]);
    default:
        return json_string_create(strings[model_random(ARRAY_SIZE(strings))]);
    }
}

/* A value a little beside 'old'. */
static struct json *
neighbour(const struct json *old)
{
    if (old->type == JSON_INTEGER) {
        uint64_t integer = old->integer; /* It may overflow. */

        return json_integer_create(integer + (model_random(2) ? 1 : -1));
    } else if (old->type == JSON_STRING && *old->string) {
        struct json *json = json_string_create(old->string);
        size_t i = model_random(strlen(json->string));

        json->string[i] = "AB/+=01ab.:-~"[model_random(13)];
        return json;
    }
    return random_value();
}

static void
set_value(const struct node *node, struct json *value)
{
    if (node->name) {
        json_object_put(node->parent, node->name, value);
    } else {
        json_destroy(node->value);
        node->parent->array.elems[node->index] = value;
    }
}

static void
drop(const struct node *node)
{
    if (node->name) {
        json_destroy(shash_find_and_delete(node->parent->object, node->name));
    } else {
        struct json_array *array = &node->parent->array;

        json_destroy(node->value);
        memmove(&array->elems[node->index], &array->elems[node->index + 1],
                (array->n - node->index - 1) * sizeof *array->elems);
        array->n--;
    }
}

/* Does one thing to 'json'. */
static void
damage(struct json *json)
{
    const struct node *node;

    n_nodes = 0;
    collect(json);
    if (!n_nodes) {
        return;
    }
    node = &nodes[model_random(n_nodes)];
    switch (model_random(6)) {
    case 0:
        drop(node);
        break;
    case 1:
        set_value(node, random_value());
        break;
    case 2:
        set_value(node, neighbour(node->value));
        break;
    case 3:
        /* Something from elsewhere. */
        set_value(node, json_deep_clone(nodes[model_random(n_nodes)].value));
        break;
    case 4:
        if (node->parent->type == JSON_ARRAY) {
            json_array_add(node->parent, json_deep_clone(node->value));
        } else {
            json_object_put(node->parent, model_random(2) ? "extra" : "name",
                            random_value());
        }
        break;
    case 5:
        /* Two values change places, if neither holds the other. */
        if (node->value->type != JSON_OBJECT
            && node->value->type != JSON_ARRAY) {
            const struct node *other = &nodes[model_random(n_nodes)];

            if (other->value->type == node->value->type) {
                struct json *copy = json_deep_clone(other->value);

                set_value(other, json_deep_clone(node->value));
                if (other != node) {
                    set_value(node, copy);
                } else {
                    json_destroy(copy);
                }
            }
        }
        break;
    }
}

struct score {
    size_t n_accepted, n_refused;
};

/* Damages 'message' and feeds it to 'replica', which must be in the state in
 * which 'message' itself would be accepted.  Returns true if it was. */
static bool
feed_damaged(struct replica *replica, const struct json *message,
             int (*apply)(struct replica *, const struct json *,
                          struct diagnosis *),
             struct score *score)
{
    struct json *json = json_deep_clone(message);
    char *before = model_print(replica, true);
    struct diagnosis diag = { .code = DIAG_NONE };
    int error;

    for (int i = model_random(3); i >= 0; i--) {
        damage(json);
    }
    error = apply(replica, json, &diag);
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

    assert_int_equal(replica_load_snapshot(replica, json, NULL), 0);
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
        replica_init(&replica);
        load(&replica, &m);
        json = model_update(&m, &next);
        for (int i = 0; i < 40; i++) {
            if (feed_damaged(&replica, json, replica_apply_update, &score)) {
                load(&replica, &m);
            }
        }

        /* And none of them left a trace that matters. */
        assert_int_equal(replica_apply_update(&replica, json, NULL), 0);
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
