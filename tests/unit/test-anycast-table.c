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

enum { MAX_GROUPS = 400 };

/* What the twin knows of a group, and the group itself. */
struct twin {
    uint32_t vni, address;
    uint8_t protocol;
    uint16_t port;
    struct group *group;
};

static const struct hash_key hash_key = { { 0x1234567, 0x89abcdef } };

/* Few of each, so that groups differ in one thing only, or in none. */
static struct twin
random_key(void)
{
    return (struct twin) {
        .vni = 1 + frame_random() % 4,
        .address = 0x0a000001 + frame_random() % 16,
        .protocol = frame_random() % 2 ? 6 : 17,
        .port = frame_random() % 8 * 100,
    };
}

static struct group *
make_group(const struct twin *key)
{
    static const uint16_t slots[GROUP_MIN_SLOTS];
    static const struct group_endpoint endpoint = { .state = ENDPOINT_UP };
    struct group_spec spec = {
        .id = 1, .slots = slots, .n_slots = GROUP_MIN_SLOTS,
        .endpoints = &endpoint, .n_endpoints = 1,
    };

    group_key_init4(&spec.key, key->vni, key->address, key->protocol,
                    key->port);
    return group_create(&spec, &hash_key);
}

static const struct group *
twin_find(const struct twin *twins, size_t n, const struct twin *key,
          uint16_t port)
{
    for (size_t i = 0; i < n; i++) {
        if (twins[i].vni == key->vni && twins[i].address == key->address
            && twins[i].protocol == key->protocol && twins[i].port == port) {
            return twins[i].group;
        }
    }
    return NULL;
}

static bool
twin_has_address(const struct twin *twins, size_t n, const struct twin *key)
{
    for (size_t i = 0; i < n; i++) {
        if (twins[i].vni == key->vni && twins[i].address == key->address) {
            return true;
        }
    }
    return false;
}

/* Asks for every key that random_key() can make. */
static void
compare_all(const struct anycast_table *table, const struct twin *twins,
            size_t n)
{
    for (uint32_t i = 0; i < 5 * 17 * 2 * 8; i++) {
        struct twin key = {
            .vni = 1 + i % 5,
            .address = 0x0a000001 + i / 5 % 17,
            .protocol = i / 85 % 2 ? 6 : 17,
            .port = i / 170 * 100,
        };
        const struct group *expected = twin_find(twins, n, &key, key.port);

        if (!expected) {
            expected = twin_find(twins, n, &key, 0);
        }
        assert_ptr_equal(anycast_table_lookup4(table, key.vni, key.address,
                                       key.protocol, key.port), expected);
        assert_int_equal(anycast_table_has_address4(table, key.vni,
                                                    key.address),
                         twin_has_address(twins, n, &key));
    }
}

static void
test_lookups_agree_with_a_linear_search(void **state)
{
    static const size_t sizes[] = { 0, 1, 2, 3, 10, 60, MAX_GROUPS };
    struct twin twins[MAX_GROUPS];

    (void) state;
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        struct anycast_table *table
            = anycast_table_create(&hash_key, 1, sizes[s], 0);
        size_t n = 0;

        while (n < sizes[s]) {
            struct twin key = random_key();
            const struct group *had = twin_find(twins, n, &key, key.port);

            key.group = make_group(&key);
            assert_int_equal(anycast_table_add(table, key.group), !had);
            if (had) {
                group_destroy(key.group);
            } else {
                twins[n++] = key;
            }
        }
        assert_int_equal(table->n_groups, sizes[s]);
        compare_all(table, twins, n);
        anycast_table_destroy(table);
        while (n > 0) {
            group_destroy(twins[--n].group);
        }
    }
}

/* The index must not degenerate with any key, not even that of zeros. */
static void
test_an_address_with_many_ports_is_found_quickly(void **state)
{
    enum { N = 20000 };
    static const struct hash_key zero_key;
    struct anycast_table *table = anycast_table_create(&zero_key, 1, N, 0);
    struct group **groups = calloc(N, sizeof *groups);
    size_t longest = 0, run = 0;

    (void) state;
    for (uint32_t i = 0; i < N; i++) {
        struct twin key = { .vni = 1, .address = 0x0a000001 + i % 2,
                            .protocol = 6, .port = 1 + i / 2 };
        groups[i] = make_group(&key);
        assert_true(anycast_table_add(table, groups[i]));
    }
    for (size_t i = 0; i <= table->index_mask; i++) {
        run = table->index[i].group ? run + 1 : 0;
        longest = run > longest ? run : longest;
    }
    assert_true(longest < 64);
    assert_true(anycast_table_has_address4(table, 1, 0x0a000002));
    assert_false(anycast_table_has_address4(table, 1, 0x0a000003));
    assert_false(anycast_table_has_address4(table, 2, 0x0a000002));

    anycast_table_destroy(table);
    for (uint32_t i = 0; i < N; i++) {
        group_destroy(groups[i]);
    }
    free(groups);
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
        cmocka_unit_test(test_an_address_with_many_ports_is_found_quickly),
        cmocka_unit_test(test_hosts_have_no_tunnel_until_it_is_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
