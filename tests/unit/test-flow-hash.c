/* The flow hash against vectors from a twin with big integers.  They must
 * never change: hosts of different versions have to agree on them.
 *
 *   M = 2**64-1; mix = lambda a,b: (a*b & M) ^ (a*b >> 64)
 *   def hb(k, d):
 *       h = k[0]
 *       for i in range(0, len(d), 8):
 *           h = mix(h ^ int.from_bytes(d[i:i+8], 'little'), k[1])
 *       return mix(h ^ len(d), k[1])
 *   gk = lambda a,v,port,proto: (ip_address('::ffff:'+a).packed
 *       + v.to_bytes(4,'big') + port.to_bytes(2,'big') + bytes([proto,0]))
 *   seed = hb(k, gk(...)); flow = mix(mix(w ^ seed, k[0]), k[1] ^ seed) */

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
    static const struct group_endpoint endpoint = { .state = ENDPOINT_UP };

    (void) state;
    for (size_t i = 0; i < sizeof vectors / sizeof vectors[0]; i++) {
        struct group_spec spec = {
            .id = 1, .slots = slots, .n_slots = GROUP_MIN_SLOTS,
            .endpoints = &endpoint, .n_endpoints = 1,
        };

        group_key_init4(&spec.key, vectors[i].vni, vectors[i].address,
                        vectors[i].protocol, vectors[i].port);
        struct group *group = group_create(&spec, &keys[0]);
        assert_non_null(group);
        assert_int_equal(group->seed, vectors[i].seed);

        uint64_t hash = flow_hash4(&keys[0], group->seed, vectors[i].word);
        assert_int_equal(hash, vectors[i].hash);
        assert_int_equal(group_slot(group, hash), vectors[i].hash >> 56);
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

/* What real traffic looks like: consecutive ports, or consecutive clients. */
static void
test_regular_flows_spread_evenly(void **state)
{
    enum { CELLS = 4096, FLOWS = 1 << 20 };
    unsigned int *top = calloc(CELLS, sizeof *top);
    unsigned int *low = calloc(CELLS, sizeof *low);

    (void) state;
    for (int shift = 0; shift <= 32; shift += 16) {
        memset(top, 0, CELLS * sizeof *top);
        memset(low, 0, CELLS * sizeof *low);
        for (uint64_t i = 0; i < FLOWS; i++) {
            uint64_t hash = flow_hash4(&keys[1], 12345, (i << shift) + 80);

            top[hash >> 52]++;
            low[hash % CELLS]++;
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
        cmocka_unit_test(test_regular_flows_spread_evenly),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
