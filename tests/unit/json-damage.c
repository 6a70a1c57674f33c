#include <config.h>

#include "tests/unit/json-damage.h"

#include <string.h>

#include "openvswitch/json.h"
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

static void collect(struct json *);

static void
collect_node(struct node node)
{
    ovs_assert(n_nodes < MAX_NODES);
    nodes[n_nodes++] = node;
    collect(node.value);
}

static void
collect(struct json *json)
{
    if (json->type == JSON_OBJECT) {
        struct shash_node *member;

        SHASH_FOR_EACH (member, json->object) {
            collect_node((struct node) { .parent = json, .name = member->name,
                                         .value = member->data });
        }
    } else if (json->type == JSON_ARRAY) {
        for (size_t i = 0; i < json->array.n; i++) {
            collect_node((struct node) { .parent = json, .index = i,
                                         .value = json->array.elems[i] });
        }
    }
}

static struct json *
random_value(const struct json_damage *d)
{
    static const long long int integers[] = {
        -1, 0, 1, 2, 3, 80, 255, 256, 512, 1000, 1001, 4095, 4096, 65535,
        65536, 0xfffff, 0x100000, 0xffffff, 0x1000000, 0xffffffff,
        0x100000000, INT64_MAX, INT64_MIN,
    };

    switch (d->random(8)) {
    case 0:
        return json_null_create();
    case 1:
        return json_boolean_create(d->random(2));
    case 2:
        return d->random(2) ? json_array_create_empty() : json_object_create();
    case 3:
        return json_real_create(1.5);
    case 4: case 5:
        return json_integer_create(integers[d->random(ARRAY_SIZE(integers))]);
    default:
        return json_string_create(d->strings[d->random(d->n_strings)]);
    }
}

/* A value a little beside 'old'. */
static struct json *
neighbour(const struct json_damage *d, const struct json *old)
{
    if (old->type == JSON_INTEGER) {
        uint64_t integer = old->integer; /* It may overflow. */

        return json_integer_create(integer + (d->random(2) ? 1 : -1));
    } else if (old->type == JSON_STRING && *old->string) {
        struct json *json = json_string_create(old->string);
        size_t i = d->random(strlen(json->string));

        json->string[i] = "AB/+=01ab.:-~"[d->random(13)];
        return json;
    }
    return random_value(d);
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

/* Adds an element, or a member, beside 'node'. */
static void
add(const struct json_damage *d, const struct node *node)
{
    if (node->parent->type == JSON_ARRAY) {
        json_array_add(node->parent, json_deep_clone(node->value));
    } else {
        json_object_put(node->parent, d->names[d->random(d->n_names)],
                        random_value(d));
    }
}

/* The two change places, if they are of one type and neither holds others. */
static void
swap(const struct node *a, const struct node *b)
{
    if (a != b && a->value->type == b->value->type
        && a->value->type != JSON_OBJECT && a->value->type != JSON_ARRAY) {
        struct json *copy = json_deep_clone(b->value);

        set_value(b, json_deep_clone(a->value));
        set_value(a, copy);
    }
}

void
json_damage(const struct json_damage *d, struct json *json)
{
    const struct node *node, *other;

    n_nodes = 0;
    collect(json);
    if (!n_nodes) {
        return;
    }
    node = &nodes[d->random(n_nodes)];
    other = &nodes[d->random(n_nodes)];
    switch (d->random(6)) {
    case 0:
        drop(node);
        break;
    case 1:
        set_value(node, random_value(d));
        break;
    case 2:
        set_value(node, neighbour(d, node->value));
        break;
    case 3:
        set_value(node, json_deep_clone(other->value));
        break;
    case 4:
        add(d, node);
        break;
    case 5:
        swap(node, other);
        break;
    }
}
