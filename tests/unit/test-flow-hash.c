/* The flow hash against vectors from a twin with big integers.  They must
 * never change: hosts of different versions have to agree on them.
 *
 *   M = 2**64-1; mix = lambda a,b: (a*b & M) ^ (a*b >> 64)
 *   def hb(k, d):
 *       h = k[0]
 *       for i in range(0, len(d), 8):
 *           h = mix(h ^ int.from_bytes(d[i:i+8], 'little'), k[1])
 *       return mix(h ^ len(d), k[1])
 *   gk = lambda a,v,port,proto: (ip_address(a).packed
 *       + v.to_bytes(4,'big') + port.to_bytes(2,'big') + bytes([proto,0]))
 *   seed = hb(k, gk('::ffff:' + ...)); IPv6: hb(k, gk(...))
 *   flow = lambda w,s: mix(mix(w ^ s, k[0]), k[1] ^ s)
 *   IPv4: flow(w, seed); IPv6, of the source n, hi, lo = n >> 64, n & M:
 *   flow(ports, mix(mix(hi ^ seed, k[0]) ^ lo, k[1] ^ seed)) */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "anycast/flow-hash.h"
#include "anycast/group.h"

static const struct hash_key keys[] = {
    { { UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210) } },
    { { UINT64_C(0x9e3779b97f4a7c15), UINT64_C(0x2545f4914f6cdd1d) } },
};

static void
test_bytes_hash_to_their_vectors(void **state)
{
    static const char *const texts[] = { "", "a", "abcdefgh", "abcdefghi" };
    static const uint64_t expected[2][5] = {
        { UINT64_C(0x2317228f48165bb2),
          UINT64_C(0xbb283ea833464864),
          UINT64_C(0x59ddc779276f220f),
          UINT64_C(0x1ad854812f9bb58a),
          UINT64_C(0x49193121392e0d99) },
        { UINT64_C(0xec0da830c0861664),
          UINT64_C(0x3c70618d66bbfaaf),
          UINT64_C(0xc4c2b82ed2edb01f),
          UINT64_C(0xd5cd0c700d3f2693),
          UINT64_C(0xd46ae4f9da6e5e5b) },
    };
    uint8_t count_up[24];

    (void) state;
    for (size_t i = 0; i < sizeof count_up; i++) {
        count_up[i] = i;
    }
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 4; i++) {
            assert_int_equal(flow_hash_bytes(&keys[k], texts[i],
                                             strlen(texts[i])),
                             expected[k][i]);
        }
        assert_int_equal(flow_hash_bytes(&keys[k], count_up, sizeof count_up),
                         expected[k][4]);
    }
}

static void
test_groups_and_flows_hash_to_their_vectors(void **state)
{
    static const struct {
        uint32_t address, vni;
        uint16_t port;
        uint8_t protocol;
        uint64_t word, seed, hash;
    } vectors[] = {
        { 0x0a010064, 5001, 80, 6, UINT64_C(0x0a0100029c400050),
          UINT64_C(0x80a74fd79457b553), UINT64_C(0x8bdeb09e22a3132a) },
        { 0xc0000201, 1, 0, 17, UINT64_C(0xcb0071090001ffff),
          UINT64_C(0xd1d4b5bdce6f0fd0), UINT64_C(0x0cf4652e5ab53da7) },
        { 0x0a010064, 16777215, 443, 6, UINT64_C(0x0a01000200000000),
          UINT64_C(0xf6838ea509afe036), UINT64_C(0x9917c7c13e214ca4) },
    };
    static const uint16_t slots[GROUP_MIN_SLOTS];
    static const struct group_endpoint endpoint = {
        .state = ENDPOINT_UP, .weight = 1,
    };

    (void) state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct group_spec spec = {
            .id = 1, .slots = slots, .n_slots = GROUP_MIN_SLOTS,
            .endpoints = &endpoint, .n_endpoints = 1,
        };

        group_key_init(&spec.key, vectors[i].vni,
                       inet_addr_from4(vectors[i].address),
                       vectors[i].protocol, vectors[i].port, 0);
        struct group *group = group_create(&spec, &keys[0]);
        assert_non_null(group);
        assert_int_equal(group->seed, vectors[i].seed);

        uint64_t hash = flow_hash4(&keys[0], group->seed, vectors[i].word);
        assert_int_equal(hash, vectors[i].hash);
        assert_int_equal(group_slot(group, hash), vectors[i].hash >> 56);
        group_destroy(group);
    }
}

static void
test_ipv6_groups_and_flows_hash_to_their_vectors(void **state)
{
    static const struct {
        struct inet_addr address;
        uint32_t vni;
        uint16_t port;
        uint8_t protocol;
        struct inet_addr src;
        uint32_t ports;
        uint64_t seed, hash;
    } vectors[] = {
        /* 2001:db8::64; 2001:db8:1::2, 40000 to 80. */
        { { UINT64_C(0x20010db800000000), 0x64 }, 5001, 80, 6,
          { UINT64_C(0x20010db800010000), 2 }, 0x9c400050,
          UINT64_C(0x01165388488fea35), UINT64_C(0x94c355aa95c10b21) },
        /* fd00::1; fe80::1234:5678:9abc:def0, 1 to 65535. */
        { { UINT64_C(0xfd00000000000000), 1 }, 1, 0, 17,
          { UINT64_C(0xfe80000000000000), UINT64_C(0x123456789abcdef0) },
          0x0001ffff,
          UINT64_C(0x2c5c4c7230138a58), UINT64_C(0xf6e86f8fcde0f81b) },
        /* 2001:db8::64; 2001:db8:ffff:ffff:ffff:ffff:ffff:ffff. */
        { { UINT64_C(0x20010db800000000), 0x64 }, 16777215, 443, 6,
          { UINT64_C(0x20010db8ffffffff), UINT64_MAX }, 0,
          UINT64_C(0x96f09d5c7cab1b45), UINT64_C(0xc5b363a799bbc3ef) },
    };
    static const uint16_t slots[GROUP_MIN_SLOTS];
    static const struct group_endpoint endpoint = {
        .state = ENDPOINT_UP, .weight = 1,
    };

    (void) state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct group_spec spec = {
            .id = 1, .slots = slots, .n_slots = GROUP_MIN_SLOTS,
            .endpoints = &endpoint, .n_endpoints = 1,
        };

        group_key_init(&spec.key, vectors[i].vni, vectors[i].address,
                       vectors[i].protocol, vectors[i].port, 0);
        struct group *group = group_create(&spec, &keys[0]);
        assert_non_null(group);
        assert_int_equal(group->seed, vectors[i].seed);
        assert_int_equal(flow_hash6(&keys[0], group->seed, vectors[i].src.hi,
                                    vectors[i].src.lo, vectors[i].ports),
                         vectors[i].hash);
        group_destroy(group);
    }
}

/* Chi-square of counts that should all be equal, in standard deviations from
 * its mean (normal approximation for many cells). */
static double
chi_square_sigmas(const unsigned int *counts, size_t n, double total)
{
    double expected = total / n, chi = 0, d = n - 1;

    for (size_t i = 0; i < n; i++) {
        double delta = counts[i] - expected;
        chi += delta * delta / expected;
    }
    return (chi - d) / __builtin_sqrt(2 * d);
}

/* What real traffic looks like: ports that follow each other ('way' 0), or
 * clients; over IPv6 also networks, and hosts in one. */
static uint64_t
hash_regular(int way, uint64_t i)
{
    const uint64_t prefix = UINT64_C(0x20010db800000000);

    switch (way) {
    case 0: case 1: case 2:
        return flow_hash4(&keys[1], 12345, (i << (way * 16)) + 80);
    case 3:
        return flow_hash6(&keys[1], 12345, prefix, 1, i);
    case 4:
        return flow_hash6(&keys[1], 12345, prefix, 1, i << 16 | i >> 16);
    case 5:
        return flow_hash6(&keys[1], 12345, prefix, i, 80);
    default:
        return flow_hash6(&keys[1], 12345, prefix + (i << 16), 1, 80);
    }
}

static void
test_regular_flows_spread_evenly(void **state)
{
    enum { CELLS = 4096, FLOWS = 1 << 20 };
    unsigned int *top = calloc(CELLS, sizeof *top);
    unsigned int *low = calloc(CELLS, sizeof *low);

    (void) state;
    for (int way = 0; way <= 6; way++) {
        memset(top, 0, CELLS * sizeof *top);
        memset(low, 0, CELLS * sizeof *low);
        for (uint64_t i = 0; i < FLOWS; i++) {
            uint64_t hash = hash_regular(way, i);

            top[hash >> 52]++;
            low[(hash & UINT32_MAX) * CELLS >> 32]++;
        }
        assert_true(chi_square_sigmas(top, CELLS, FLOWS) < 4);
        assert_true(chi_square_sigmas(low, CELLS, FLOWS) < 4);
    }
    free(top);
    free(low);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_hash_to_their_vectors),
        cmocka_unit_test(test_groups_and_flows_hash_to_their_vectors),
        cmocka_unit_test(test_ipv6_groups_and_flows_hash_to_their_vectors),
        cmocka_unit_test(test_regular_flows_spread_evenly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
