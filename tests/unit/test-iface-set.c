/* The ports of VMs at a host: what makes one set of another, applied by a twin
 * that is an array, leads there. */

#include <config.h>

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "random.h"
#include "util.h"
#include "vswitchd-ext/iface-set.h"

static void
ports_are_sorted_and_each_there_once(void **state OVS_UNUSED)
{
    struct iface_set set, copy;

    iface_set_init(&set);
    iface_set_init(&copy);
    assert_true(iface_set_add(&set, "b", "02:00:00:00:00:02"));
    assert_true(iface_set_add(&set, "a", NULL));
    assert_true(iface_set_add(&set, "b", "02:00:00:00:00:01"));
    assert_false(iface_set_add(&set, "", NULL));
    assert_false(iface_set_add(&set, "a b", NULL));
    assert_int_equal(iface_set_finish(&set, NULL, 1000), 0);
    assert_int_equal(set.n, 2);
    assert_string_equal(set.ports[0].id, "a");
    assert_string_equal(set.ports[1].id, "b");
    assert_int_equal(set.ports[1].mac.octet[5], 1);
    assert_true(set.ports[0].since == LLONG_MIN);
    iface_set_copy(&copy, &set);
    assert_true(iface_set_equal(&copy, &set));
    copy.ports[0].mac.octet[0] = 2;
    assert_false(iface_set_equal(&copy, &set));
    iface_set_uninit(&copy);
    iface_set_uninit(&set);
}

static void
what_is_no_stations_mac_is_none(void **state OVS_UNUSED)
{
    static const char *const bad[] = { "", "02:00", "00:00:00:00:00:00",
                                       "01:00:00:00:00:01", "dynamic" };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct iface_set set;

        iface_set_init(&set);
        assert_true(iface_set_add(&set, "a", bad[i]));
        iface_set_finish(&set, NULL, 0);
        assert_true(record_mac_is_zero(&set.ports[0].mac));
        iface_set_uninit(&set);
    }
}

static void
a_port_is_as_old_as_its_stay(void **state OVS_UNUSED)
{
    struct iface_set before, set;
    struct claims claims;

    iface_set_init(&before);
    iface_set_add(&before, "old", NULL);
    iface_set_finish(&before, NULL, 1000);
    iface_set_init(&set);
    iface_set_add(&set, "old", "02:00:00:00:00:01");
    iface_set_add(&set, "new", NULL);
    iface_set_finish(&set, &before, 2000);

    iface_set_diff(NULL, &set, 2500, &claims);
    assert_true(claims.all);
    assert_int_equal(claims.n_here, 2);
    assert_string_equal(claims.here[0].iface, "new");
    assert_int_equal(claims.here[0].age_ms, 500);
    assert_int_equal(claims.here[1].age_ms, CLAIMS_LONG_AGO);
    claims_uninit(&claims);

    iface_set_diff(&before, &set, 2000 + (1LL << 40), &claims);
    assert_false(claims.all);
    assert_int_equal(claims.n_here, 2);
    assert_int_equal(claims.here[0].age_ms, CLAIMS_LONG_AGO - 1);
    assert_int_equal(claims.n_gone, 0);
    claims_uninit(&claims);
    iface_set_uninit(&before);
    iface_set_uninit(&set);
}

static void
there_are_not_too_many(void **state OVS_UNUSED)
{
    struct iface_set set;
    struct claims claims;
    char id[16];

    iface_set_init(&set);
    for (int i = 0; i < CLAIMS_MAX + 5; i++) {
        snprintf(id, sizeof id, "p%d", i);
        iface_set_add(&set, id, NULL);
    }
    assert_int_equal(iface_set_finish(&set, NULL, 0), 5);
    assert_int_equal(set.n, CLAIMS_MAX);
    iface_set_diff(NULL, &set, 0, &claims);
    assert_int_equal(claims.n_here, CLAIMS_MAX);
    claims_uninit(&claims);
    iface_set_uninit(&set);
}

/* What mapd makes of claims: the MAC's last byte by port, -1 for none. */
enum { PORTS = 8 };

static void
apply(const struct claims *claims, int twin[PORTS])
{
    for (int i = 0; i < PORTS && claims->all; i++) {
        twin[i] = -1;
    }
    for (size_t i = 0; i < claims->n_gone; i++) {
        int *t = &twin[claims->gone[i][0] - 'a'];

        assert_true(*t >= 0);   /* What is not there cannot go. */
        *t = -1;
    }
    for (size_t i = 0; i < claims->n_here; i++) {
        twin[claims->here[i].iface[0] - 'a'] = claims->here[i].mac.octet[5];
    }
}

static void
differences_lead_from_one_to_the_other(void **state OVS_UNUSED)
{
    int twin[PORTS] = { 0 };
    struct iface_set told, set;
    bool is_told = false;

    iface_set_init(&told);
    iface_set_init(&set);
    random_set_seed(5);
    for (int round = 0; round < 20000; round++) {
        struct iface_set before = set;
        int expected[PORTS];
        struct claims claims;

        iface_set_init(&set);
        for (int i = 0; i < PORTS; i++) {
            char id[2] = { 'a' + i }, mac[18];

            expected[i] = random_range(2) ? (int) random_range(3) : -1;
            snprintf(mac, sizeof mac, "02:00:00:00:00:%02x",
                     MAX(expected[i], 0));
            if (expected[i] >= 0) {
                iface_set_add(&set, id, mac);
            }
        }
        iface_set_finish(&set, &before, round);
        iface_set_uninit(&before);
        if (random_range(2)) {
            continue;           /* Nobody was told of that one. */
        }
        is_told = is_told && random_range(10);
        iface_set_diff(is_told ? &told : NULL, &set, round, &claims);
        assert_true(!is_told || claims.n_here || claims.n_gone
                    || iface_set_equal(&told, &set));
        apply(&claims, twin);
        assert_memory_equal(twin, expected, sizeof twin);
        claims_uninit(&claims);
        iface_set_copy(&told, &set);
        is_told = true;
    }
    iface_set_uninit(&told);
    iface_set_uninit(&set);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ports_are_sorted_and_each_there_once),
        cmocka_unit_test(what_is_no_stations_mac_is_none),
        cmocka_unit_test(a_port_is_as_old_as_its_stay),
        cmocka_unit_test(there_are_not_too_many),
        cmocka_unit_test(differences_lead_from_one_to_the_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
