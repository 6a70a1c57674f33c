/* Whose claim of a port counts: by examples, and against a twin that is a
 * table of hosts and ports. */

#include <config.h>

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/mapd/ifaces.h"
#include "random.h"
#include "util.h"

/* Host 'host' has 'iface' since 'age' ms, at 'now'; NULL: it has nothing. */
static void
tell(struct ifaces *ifaces, const char *host, bool all, const char *iface,
     uint32_t age, long long int now)
{
    struct claim claim = { .age_ms = age };
    struct claims claims = { .all = all, .here = &claim,
                             .n_here = iface != NULL };
    struct diagnosis diag;

    ovs_strlcpy(claims.host, host, sizeof claims.host);
    if (iface) {
        ovs_strlcpy(claim.iface, iface, sizeof claim.iface);
    }
    assert_int_equal(ifaces_take(ifaces, &claims, now, &diag), 0);
}

static void
leave(struct ifaces *ifaces, const char *host, const char *iface)
{
    record_iface gone;
    struct claims claims = { .gone = &gone, .n_gone = 1 };
    struct diagnosis diag;

    ovs_strlcpy(claims.host, host, sizeof claims.host);
    ovs_strlcpy(gone, iface, sizeof gone);
    assert_int_equal(ifaces_take(ifaces, &claims, 0, &diag), 0);
}

/* Which host has "p", if it is bound to 'incumbent'; "" if none. */
static const char *
who(const struct ifaces *ifaces, const char *incumbent)
{
    struct ifaces_claim claim = { .host = "" };

    ifaces_find(ifaces, "p", incumbent, &claim);
    return claim.host;
}

static void
the_newest_claim_counts(void **state OVS_UNUSED)
{
    struct ifaces *ifaces = ifaces_create();
    struct ifaces_claim claim;
    char *names;

    assert_string_equal(who(ifaces, "h1"), "");
    tell(ifaces, "h1", true, "p", 500, 1000);
    tell(ifaces, "h2", true, "p", 100, 1000);
    assert_string_equal(who(ifaces, "h1"), "h2");
    assert_int_equal(ifaces_find(ifaces, "p", "", &claim), 2);
    assert_int_equal(claim.since, 900);
    names = ifaces_names(ifaces, "p");
    assert_string_equal(names, "h1, h2");
    free(names);

    /* Who comes back and says all again is no newer for that. */
    tell(ifaces, "h1", true, "p", 5500, 6000);
    assert_string_equal(who(ifaces, "h1"), "h2");
    /* Nor is a switch that has just started. */
    tell(ifaces, "h1", true, "p", CLAIMS_LONG_AGO, 7000);
    assert_string_equal(who(ifaces, "h1"), "h2");
    tell(ifaces, "h2", true, "p", CLAIMS_LONG_AGO, 7000);
    assert_string_equal(who(ifaces, "h1"), "h2");

    leave(ifaces, "h2", "p");
    assert_string_equal(who(ifaces, "h2"), "h1");
    tell(ifaces, "h1", true, NULL, 0, 8000);
    assert_string_equal(who(ifaces, "h1"), "");
    ifaces_destroy(ifaces);
}

static void
of_two_that_are_as_old_it_stays_where_it_is(void **state OVS_UNUSED)
{
    struct ifaces *ifaces = ifaces_create();

    for (int i = 1; i <= 3; i++) {
        char host[3] = { 'h', '0' + i };

        tell(ifaces, host, true, "p", CLAIMS_LONG_AGO, 1000);
    }
    assert_string_equal(who(ifaces, "h3"), "h3");
    assert_string_equal(who(ifaces, "h2"), "h2");
    assert_string_equal(who(ifaces, ""), "h1");
    ifaces_destroy(ifaces);
}

static void
who_has_not_told_all_may_have_more(void **state OVS_UNUSED)
{
    struct ifaces *ifaces = ifaces_create();

    assert_false(ifaces_has_told(ifaces, "h1"));
    tell(ifaces, "h1", false, "p", 0, 0);
    assert_false(ifaces_has_told(ifaces, "h1"));
    tell(ifaces, "h1", true, NULL, 0, 0);
    assert_true(ifaces_has_told(ifaces, "h1"));
    ifaces_forget_host(ifaces, "h2");
    assert_true(ifaces_has_told(ifaces, "h1"));
    ifaces_forget_host(ifaces, "h1");
    assert_false(ifaces_has_told(ifaces, "h1"));
    tell(ifaces, "h1", true, NULL, 0, 0);
    ifaces_forget_all(ifaces);
    assert_false(ifaces_has_told(ifaces, "h1"));
    ifaces_destroy(ifaces);
}

static void
drain(struct ifaces *ifaces)
{
    record_iface iface;

    while (ifaces_pop(ifaces, iface)) {
        continue;
    }
}

static void
what_may_have_changed_is_pending_once(void **state OVS_UNUSED)
{
    struct ifaces *ifaces = ifaces_create();
    record_iface iface;

    assert_false(ifaces_is_pending(ifaces));
    assert_false(ifaces_pop(ifaces, iface));
    tell(ifaces, "h1", true, "p", 0, 0);
    tell(ifaces, "h2", true, "p", 0, 0);
    assert_true(ifaces_pop(ifaces, iface));
    assert_string_equal(iface, "p");
    assert_false(ifaces_pop(ifaces, iface));

    tell(ifaces, "h2", true, "q", 0, 0); /* "p" is not there any more. */
    assert_true(ifaces_pop(ifaces, iface));
    assert_true(ifaces_pop(ifaces, iface));
    assert_false(ifaces_pop(ifaces, iface));
    leave(ifaces, "h2", "q");
    assert_true(ifaces_is_pending(ifaces));
    drain(ifaces);
    ifaces_forget_host(ifaces, "h1");
    assert_true(ifaces_pop(ifaces, iface));
    assert_string_equal(iface, "p");
    tell(ifaces, "h1", true, "p", 0, 0);
    ifaces_forget_all(ifaces);
    assert_false(ifaces_is_pending(ifaces));
    ifaces_destroy(ifaces);
}

static void
a_host_has_not_too_many(void **state OVS_UNUSED)
{
    struct claim *many = xcalloc(CLAIMS_MAX, sizeof *many);
    struct claims claims = { .host = "h1", .all = true, .here = many,
                             .n_here = CLAIMS_MAX };
    struct ifaces *ifaces = ifaces_create();
    struct ifaces_claim found;
    struct diagnosis diag;

    for (size_t i = 0; i < CLAIMS_MAX; i++) {
        snprintf(many[i].iface, sizeof many[i].iface, "p%"PRIuSIZE, i);
    }
    assert_int_equal(ifaces_take(ifaces, &claims, 0, &diag), 0);
    claims.all = false;         /* The same ones again. */
    assert_int_equal(ifaces_take(ifaces, &claims, 0, &diag), 0);
    strcpy(many[0].iface, "more");
    assert_int_not_equal(ifaces_take(ifaces, &claims, 0, &diag), 0);
    assert_int_equal(diag.code, DIAG_BUSY);
    assert_int_equal(ifaces_find(ifaces, "more", "", &found), 0);
    claims.all = true;          /* In the place of another. */
    assert_int_equal(ifaces_take(ifaces, &claims, 0, &diag), 0);
    assert_int_equal(ifaces_find(ifaces, "more", "", &found), 1);
    assert_int_equal(ifaces_find(ifaces, "p0", "", &found), 0);
    free(many);
    ifaces_destroy(ifaces);
}

/* The twin. */

enum { HOSTS = 4, PORTS = 5 };

struct twin {
    bool told[HOSTS];
    struct { bool here; long long int since; uint8_t mac; } t[HOSTS][PORTS];
};

static void
check_twin(const struct ifaces *ifaces, const struct twin *twin,
           int incumbent)
{
    char name[3] = { 'h', '0' + incumbent };

    for (int p = 0; p < PORTS; p++) {
        char iface[3] = { 'p', '0' + p };
        struct ifaces_claim claim = { .host = "" };
        size_t n = ifaces_find(ifaces, iface, name, &claim);
        int best = -1;

        for (int i = 0; i <= HOSTS; i++) {
            int h = i ? i - 1 : incumbent; /* That one first: it wins ties. */

            if (h < HOSTS && twin->t[h][p].here) {
                n -= i != 0;
                if (best < 0
                    || twin->t[h][p].since > twin->t[best][p].since) {
                    best = h;
                }
            }
        }
        assert_int_equal(n, 0);
        if (best < 0) {
            assert_string_equal(claim.host, "");
        } else {
            assert_int_equal(claim.host[1], '0' + best);
            assert_true(claim.since == twin->t[best][p].since);
            assert_int_equal(claim.mac.octet[5], twin->t[best][p].mac);
        }
    }
    for (int h = 0; h < HOSTS; h++) {
        name[1] = '0' + h;
        assert_int_equal(ifaces_has_told(ifaces, name), twin->told[h]);
    }
}

/* Host 'h' says something, at 'now'. */
static void
say(struct ifaces *ifaces, struct twin *twin, int h, long long int now)
{
    struct claim here[PORTS];
    record_iface gone[PORTS];
    struct claims claims = { .host = { 'h', '0' + h }, .here = here,
                             .gone = gone, .all = !random_range(3) };
    struct diagnosis diag;

    for (int p = 0; p < PORTS; p++) {
        bool comes = random_range(3) == 0;

        if (comes) {
            bool old = !random_range(3);
            uint32_t age = old ? CLAIMS_LONG_AGO : random_range(5);

            here[claims.n_here++] = (struct claim) {
                .iface = { 'p', '0' + p }, .age_ms = age,
                .mac = { { 2, 0, 0, 0, 0, now % 200 } },
            };
            if (!old) {
                twin->t[h][p].since = now - age;
            } else if (!twin->t[h][p].here) {
                twin->t[h][p].since = LLONG_MIN;
            }
            twin->t[h][p].mac = now % 200;
        } else if (random_range(4) == 0) {
            memset(gone[claims.n_gone], 0, sizeof gone[0]);
            gone[claims.n_gone][0] = 'p';
            gone[claims.n_gone++][1] = '0' + p;
        } else if (!claims.all) {
            continue;
        }
        twin->t[h][p].here = comes;
    }
    twin->told[h] |= claims.all;
    assert_int_equal(ifaces_take(ifaces, &claims, now, &diag), 0);
}

static void
it_is_as_the_twin_says(void **state OVS_UNUSED)
{
    struct ifaces *ifaces = ifaces_create();
    struct twin twin = { .told = { false } };

    random_set_seed(11);
    for (int i = 0; i < 20000; i++) {
        int h = random_range(HOSTS);

        if (random_range(20)) {
            say(ifaces, &twin, h, 1000 + i);
        } else {
            char name[3] = { 'h', '0' + h };

            ifaces_forget_host(ifaces, name);
            twin.told[h] = false;
            memset(twin.t[h], 0, sizeof twin.t[h]);
        }
        check_twin(ifaces, &twin, random_range(HOSTS + 1));
    }
    ifaces_destroy(ifaces);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_claim_counts),
        cmocka_unit_test(of_two_that_are_as_old_it_stays_where_it_is),
        cmocka_unit_test(who_has_not_told_all_may_have_more),
        cmocka_unit_test(what_may_have_changed_is_pending_once),
        cmocka_unit_test(a_host_has_not_too_many),
        cmocka_unit_test(it_is_as_the_twin_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
