/* anycast/anycast-table.h against a linear search, on random groups. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "anycast/anycast-table.h"
#include "tests/unit/frame.h"

#define ARRAY_SIZE(ARRAY) (sizeof(ARRAY) / sizeof (ARRAY)[0])

enum {
    MAX_GROUPS = 400,
    N_VNIS = 3,
    N_PORTS = 40,
    N_IDS = 1000,
};

static const struct hash_key hash_key = { { 0x1234567, 0x89abcdef } };

/* Differ in one bit, one half, or the family only.  The last one is nobody's
 * address. */
static const struct inet_addr addresses[] = {
    { 0, 0xffff0a000001 }, { 0, 0xffff0a000002 }, { 0, 0x0a000001 },
    { 0x20010db800000000, 0xffff0a000001 }, { 0x20010db800000000, 1 },
    { 0x20010db800000001, 1 }, { 1, 0x20010db800000000 },
    { 0, 0xffff0a000003 },
};
enum { N_ADDRESSES = ARRAY_SIZE(addresses) };

/* What the twin knows of a group, and the group itself. */
struct twin {
    uint32_t vni, id;
    struct inet_addr address;
    uint8_t protocol;
    uint16_t port, port_last;
    struct group group;
};

/* Few of each, so that groups differ in one thing only, or in none. */
static void
make_random(struct twin *t)
{
    uint16_t port = frame_random() % N_PORTS;
    uint16_t size = frame_random() % 3 ? 0 : frame_random() % 5;

    *t = (struct twin) {
        .vni = 1 + frame_random() % N_VNIS,
        .id = 1 + frame_random() % (N_IDS - 1),
        .address = addresses[frame_random() % (N_ADDRESSES - 1)],
        .protocol = frame_random() % 2 ? 6 : 17,
        .port = port,
        .port_last = port && size ? port + size - 1 : 0,
    };
    t->group.id = t->id;
    group_key_init(&t->group.key, t->vni, t->address, t->protocol, t->port,
                   t->port_last);
}

static bool
has_range(const struct twin *t)
{
    return t->port_last && t->port_last != t->port;
}

static bool
is_at(const struct twin *t, uint32_t vni, struct inet_addr address,
      uint8_t protocol)
{
    return (t->vni == vni && t->protocol == protocol
            && t->address.hi == address.hi && t->address.lo == address.lo);
}

/* Whether 'a' and 'b' cannot be in one table. */
static bool
conflict(const struct twin *a, const struct twin *b)
{
    if (a->id == b->id) {
        return true;
    }
    if (!is_at(a, b->vni, b->address, b->protocol)
        || has_range(a) != has_range(b)) {
        return false;
    }
    return (has_range(a)
            ? a->port <= b->port_last && b->port <= a->port_last
            : a->port == b->port);
}

static const struct group *
twin_find(const struct twin *twins, size_t n, uint32_t vni,
          struct inet_addr address, uint8_t protocol, uint16_t port)
{
    const struct group *found[3] = { NULL };

    for (size_t i = 0; i < n; i++) {
        const struct twin *t = &twins[i];

        if (is_at(t, vni, address, protocol)) {
            if (has_range(t)) {
                if (port >= t->port && port <= t->port_last) {
                    found[1] = &t->group;
                }
            } else if (t->port == port) {
                found[0] = &t->group;
            } else if (!t->port) {
                found[2] = &t->group;
            }
        }
    }
    return found[0] ? found[0] : found[1] ? found[1] : found[2];
}

static const struct group *
twin_find_address(const struct twin *twins, size_t n, uint32_t vni,
                  struct inet_addr address)
{
    const struct group *lowest = NULL;

    for (size_t i = 0; i < n; i++) {
        if (is_at(&twins[i], vni, address, twins[i].protocol)
            && (!lowest || twins[i].id < lowest->id)) {
            lowest = &twins[i].group;
        }
    }
    return lowest;
}

/* Asks for all that make_random() can make, and some more. */
static void
compare_all(const struct anycast_table *table, const struct twin *twins,
            size_t n)
{
    for (uint32_t vni = 1; vni <= N_VNIS + 1; vni++) {
        for (size_t a = 0; a < N_ADDRESSES; a++) {
            for (uint16_t port = 0; port < N_PORTS + 6; port++) {
                for (uint8_t protocol = 6; protocol <= 17; protocol += 11) {
                    assert_ptr_equal(
                        anycast_table_lookup(table, vni, addresses[a],
                                             protocol, port),
                        twin_find(twins, n, vni, addresses[a], protocol,
                                  port));
                }
            }
            assert_ptr_equal(
                anycast_table_lookup_address(table, vni, addresses[a]),
                twin_find_address(twins, n, vni, addresses[a]));
            assert_null(anycast_table_lookup(table, vni, addresses[a], 1, 0));
        }
    }
    for (uint32_t id = 0; id <= N_IDS; id++) {
        const struct group *expected = NULL;

        for (size_t i = 0; i < n; i++) {
            expected = twins[i].id == id ? &twins[i].group : expected;
        }
        assert_ptr_equal(anycast_table_lookup_id(table, id), expected);
    }
}

static void
compare_table_of(size_t n)
{
    struct anycast_table *table = anycast_table_create(&hash_key, 1, n, 0);
    static struct twin twins[MAX_GROUPS];
    size_t had = 0, refused = 0;

    while (had < n && refused < 5000) {
        struct twin *t = &twins[had];
        bool expected = true;

        make_random(t);
        for (size_t i = 0; i < had; i++) {
            expected = expected && !conflict(t, &twins[i]);
        }
        assert_int_equal(anycast_table_add(table, &t->group), expected);
        had += expected;
        refused += !expected;
    }
    assert_int_equal(had, n);
    assert_true(refused > 0 || n < 60);
    assert_int_equal(table->n_groups, n);
    compare_all(table, twins, n);
    anycast_table_destroy(table);
}

static void
test_lookups_agree_with_a_linear_search(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, 3, 10, 60, MAX_GROUPS };

    (void) state;
    for (size_t s = 0; s < ARRAY_SIZE(sizes); s++) {
        for (int i = 0; i < 10; i++) {
            compare_table_of(sizes[s]);
        }
    }
}

/* 'n' groups, each made by 'make' from its number; ids from 1 on. */
static struct group *
add_many(struct anycast_table *table, uint32_t n,
         void (*make)(uint32_t, struct group_key *))
{
    struct group *groups = calloc(n, sizeof *groups);

    assert_non_null(groups);
    for (uint32_t i = 0; i < n; i++) {
        groups[i].id = i + 1;
        make(i, &groups[i].key);
        assert_true(anycast_table_add(table, &groups[i]));
    }
    return groups;
}

static void
make_port(uint32_t i, struct group_key *key)
{
    group_key_init(key, 1 + i / 60000, addresses[i % 2 ? 0 : 4], 6,
                   1 + i % 60000 / 2, 0);
}

static void
make_address(uint32_t i, struct group_key *key)
{
    struct inet_addr address = { 0x20010db800000000 + i / 256, i % 256 };

    group_key_init(key, 1, i % 2 ? address : inet_addr_from4(0x0a000000 + i),
                   6, 80, 0);
}

/* 'i' in the order 0, 5, 10... 1, 6, 11... */
static void
make_range(uint32_t i, struct group_key *key)
{
    uint16_t port = 1 + 2 * (i % 6000 * 5 + i / 6000);

    group_key_init(key, 1, addresses[0], 6, port, port + 1);
}

static size_t
longest_run(const struct anycast_table *table)
{
    size_t longest = 0, run = 0, used = 0;

    for (size_t i = 0; i <= table->index_mask; i++) {
        run = table->index[i].group ? run + 1 : 0;
        used += !!run;
        longest = run > longest ? run : longest;
    }
    assert_true(used <= (table->index_mask + 1) / 2);
    return longest;
}

/* The index must not degenerate with any key, not even that of zeros. */
static void
test_100000_groups_are_found_quickly(void **state)
{
    enum { N = 100000 };
    static void (*const makes[])(uint32_t, struct group_key *)
        = { make_port, make_address };
    static const struct hash_key zero_key;

    (void) state;
    for (size_t m = 0; m < ARRAY_SIZE(makes); m++) {
        struct anycast_table *table
            = anycast_table_create(m ? &hash_key : &zero_key, 1, N, 0);
        struct group *groups = add_many(table, N, makes[m]);

        assert_true(longest_run(table) < 100);
        for (uint32_t i = 0; i < N; i++) {
            struct group_key *key = &groups[i].key;
            struct inet_addr address = inet_addr_from_bytes(key->address);

            assert_ptr_equal(anycast_table_lookup(table, key->vni, address, 6,
                                                  key->port), &groups[i]);
            assert_ptr_equal(anycast_table_lookup_id(table, i + 1),
                             &groups[i]);
        }
        anycast_table_destroy(table);
        free(groups);
    }
}

static void
test_an_address_may_have_thousands_of_ranges(void **state)
{
    enum { N = 30000 };
    struct anycast_table *table = anycast_table_create(&hash_key, 1, N + 1, 0);
    struct group *groups = add_many(table, N, make_range);
    struct group wide = { .id = N + 1 };

    (void) state;
    for (uint32_t i = 0; i < N; i++) {
        uint16_t port = groups[i].key.port;

        assert_ptr_equal(anycast_table_lookup(table, 1, addresses[0], 6,
                                              port), &groups[i]);
        assert_ptr_equal(anycast_table_lookup(table, 1, addresses[0], 6,
                                              port + 1), &groups[i]);
    }
    assert_null(anycast_table_lookup(table, 1, addresses[0], 6, 0));
    assert_null(anycast_table_lookup(table, 1, addresses[0], 6, 60001));

    /* Over all of them, over the last one's end, and just behind it. */
    group_key_init(&wide.key, 1, addresses[0], 6, 1, 65535);
    assert_false(anycast_table_add(table, &wide));
    group_key_init(&wide.key, 1, addresses[0], 6, 60000, 65535);
    assert_false(anycast_table_add(table, &wide));
    assert_null(anycast_table_lookup_id(table, wide.id));
    group_key_init(&wide.key, 1, addresses[0], 6, 60001, 65535);
    assert_true(anycast_table_add(table, &wide));
    assert_ptr_equal(anycast_table_lookup(table, 1, addresses[0], 6, 65535),
                     &wide);
    anycast_table_destroy(table);
    free(groups);
}

static void
test_a_range_that_ends_before_it_begins_is_refused(void **state)
{
    struct anycast_table *table = anycast_table_create(&hash_key, 1, 1, 0);
    struct group group = { .id = 1 };

    (void) state;
    group_key_init(&group.key, 1, addresses[0], 6, 9, 8);
    assert_false(anycast_table_add(table, &group));
    group_key_init(&group.key, 1, addresses[0], 6, 0, 8);
    assert_false(anycast_table_add(table, &group));
    assert_null(anycast_table_lookup(table, 1, addresses[0], 6, 8));
    assert_null(anycast_table_lookup_address(table, 1, addresses[0]));
    anycast_table_destroy(table);
}

static void
test_hosts_have_no_tunnel_until_it_is_set(void **state)
{
    struct anycast_table *table = anycast_table_create(&hash_key, 42, 0, 3);
    struct tunnel tunnel = { .type = TUNNEL_VXLAN, .inner_mtu = 1234 };

    (void) state;
    assert_int_equal(table->revision, 42);
    anycast_table_set_tunnel(table, 1, &tunnel);
    assert_int_equal(table->tunnels[0].type, TUNNEL_NONE);
    assert_int_equal(table->tunnels[1].inner_mtu, 1234);
    assert_int_equal(table->tunnels[2].type, TUNNEL_NONE);
    anycast_table_destroy(table);
    anycast_table_destroy(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lookups_agree_with_a_linear_search),
        cmocka_unit_test(test_100000_groups_are_found_quickly),
        cmocka_unit_test(test_an_address_may_have_thousands_of_ranges),
        cmocka_unit_test(test_a_range_that_ends_before_it_begins_is_refused),
        cmocka_unit_test(test_hosts_have_no_tunnel_until_it_is_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
