/* What mapd is told of health, against a mapd that believes what it hears:
 * whatever has happened, in the end it believes what is so. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/report.h"
#include "openvswitch/hmap.h"
#include "openvswitch/json.h"
#include "random.h"
#include "util.h"
#include "vswitchd-ext/health-probe.h"
#include "vswitchd-ext/health-report.h"
#include "vswitchd-ext/mapd-session.h"

enum {
    MAX_PROBES  = 3000,
    GROUP       = 7,
    STEP_MS     = 50,
    PATIENCE_MS = 10000,        /* For a verdict on all of them. */
    REPEAT_MS   = 5000,
    MAX_PER_S   = 5,            /* As docs/protocol.md says. */
};

/* The session, and what mapd believes. */
static struct {
    bool registered;
    unsigned int n_registrations;
    bool ill[MAX_PROBES];       /* By index. */
    char why[MAX_PROBES][REPORT_WHY_MAX + 1];
    unsigned int n_messages, n_all, n_rows;
} mapd;

static struct health_report report;
static struct hmap probes = HMAP_INITIALIZER(&probes);
static struct health_probe all_probes[MAX_PROBES];
static long long int now_ms;

bool
mapd_session_is_registered(const struct mapd_session *s OVS_UNUSED)
{
    return mapd.registered;
}

unsigned int
mapd_session_n_registrations(const struct mapd_session *s OVS_UNUSED)
{
    return mapd.n_registrations;
}

void
mapd_session_report(struct mapd_session *s OVS_UNUSED, const char *method,
                    struct json *param)
{
    struct report_health *rows;
    struct diagnosis diag;
    bool all;
    size_t n;

    assert_string_equal(method, "health");
    if (report_health_from_json(param, &all, &rows, &n, &diag)) {
        fail_msg("%s", diag.message);
    }
    mapd.n_messages++;
    mapd.n_all += all;
    mapd.n_rows += n;
    if (all) {
        memset(mapd.ill, 0, sizeof mapd.ill);
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(rows[i].group, GROUP);
        assert_true(rows[i].endpoint < MAX_PROBES);
        mapd.ill[rows[i].endpoint] = !rows[i].healthy;
        strcpy(mapd.why[rows[i].endpoint], rows[i].why);
    }
    free(rows);
    json_destroy(param);
}

static void
register_host(void)
{
    mapd.registered = true;
    mapd.n_registrations++;
}

/* Another mapd, which believes something else. */
static void
replace_session(void)
{
    mapd.registered = false;
    mapd.n_registrations = 0;
    for (size_t i = 0; i < MAX_PROBES; i++) {
        mapd.ill[i] = random_range(2);
    }
}

static void
add_probe(uint16_t index)
{
    struct health_probe *p = &all_probes[index];

    memset(p, 0, sizeof *p);
    p->group = GROUP;
    p->endpoint = index;
    p->healthy = true;
    hmap_insert(&probes, &p->node, index);
}

static void
decide(uint16_t index, bool healthy, const char *why)
{
    struct health_probe *p = &all_probes[index];

    p->decided = true;
    p->healthy = healthy;
    strcpy(p->why, why);
    report.is_due = true;
}

/* Lets 'ms' pass, within which no more is sent than may be. */
static void
run_for(long long int ms)
{
    unsigned int before = mapd.n_messages;

    for (long long int end = now_ms + ms; now_ms < end; now_ms += STEP_MS) {
        health_report_run(&report, &probes, NULL, now_ms);
    }
    assert_true(mapd.n_messages - before <= 1 + MAX_PER_S * ms / 1000);
}

static void
check_believed(void)
{
    const struct health_probe *p;

    HMAP_FOR_EACH (p, node, &probes) {
        if (p->decided) {
            assert_int_equal(mapd.ill[p->endpoint], !p->healthy);
        }
        if (p->decided && !p->healthy) {
            assert_string_equal(mapd.why[p->endpoint], p->why);
        }
    }
}

static int
setup(void **state OVS_UNUSED)
{
    memset(&mapd, 0, sizeof mapd);
    memset(&report, 0, sizeof report);
    hmap_clear(&probes);
    now_ms = 1000 * 1000;
    return 0;
}

static void
all_is_told_when_it_is_known(void **state OVS_UNUSED)
{
    for (int i = 0; i < 3; i++) {
        add_probe(i);
    }
    register_host();
    mapd.ill[0] = true;         /* From before. */
    decide(0, true, "");
    decide(1, false, "refused");
    run_for(1000);
    assert_int_equal(mapd.n_messages, 0);
    decide(2, true, "");
    run_for(1000);
    assert_int_equal(mapd.n_messages, 1);
    assert_int_equal(mapd.n_all, 1);
    assert_int_equal(mapd.n_rows, 1);
    check_believed();
}

static void
one_without_a_verdict_does_not_hold_back_the_others(void **state OVS_UNUSED)
{
    for (int i = 0; i < 3; i++) {
        add_probe(i);
    }
    register_host();
    mapd.ill[0] = true;
    decide(0, true, "");
    decide(1, false, "refused");
    run_for(PATIENCE_MS + 1000);
    check_believed();
    assert_int_equal(mapd.n_all, 0);
    decide(1, true, "");
    run_for(1000);
    check_believed();
    decide(2, false, "no answer");
    run_for(1000);
    check_believed();
    assert_int_equal(mapd.n_all, 1);
}

static void
another_mapd_is_told_all_of_it(void **state OVS_UNUSED)
{
    add_probe(0);
    decide(0, true, "");
    register_host();
    run_for(1000);
    assert_int_equal(mapd.n_all, 1);
    replace_session();
    mapd.ill[0] = true;
    run_for(1000);
    register_host();
    run_for(1000);
    assert_int_equal(mapd.n_all, 2);
    check_believed();
}

static void
the_rest_follows_what_one_message_does_not_carry(void **state OVS_UNUSED)
{
    for (int i = 0; i < 2500; i++) {
        add_probe(i);
        decide(i, false, "refused");
    }
    register_host();
    run_for(2000);
    check_believed();
    assert_int_equal(mapd.n_messages, 3);
}

/* What happens at random leads to what is so, within patience and repeats. */
static void
in_the_end_mapd_believes_what_is_so(void **state)
{
    for (uint32_t seed = 1; seed <= 200; seed++) {
        setup(state);
        random_set_seed(seed);
        for (int i = 0; i < 40; i++) {
            int n = hmap_count(&probes), what = random_range(10);

            if (what < 2 && n < 20) {
                add_probe(n);
            } else if (what < 3) {
                register_host();
            } else if (what < 4) {
                replace_session();
            } else if (what < 5) {
                mapd.registered = false;
            } else if (n) {
                bool healthy = random_range(2);

                decide(random_range(n), healthy, healthy ? "" : "refused");
            }
            run_for(random_range(20) * STEP_MS);
        }
        if (!mapd.registered) {
            register_host();
        }
        run_for(PATIENCE_MS + REPEAT_MS);
        check_believed();
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(all_is_told_when_it_is_known, setup),
        cmocka_unit_test_setup(
            one_without_a_verdict_does_not_hold_back_the_others, setup),
        cmocka_unit_test_setup(another_mapd_is_told_all_of_it, setup),
        cmocka_unit_test_setup(
            the_rest_follows_what_one_message_does_not_carry, setup),
        cmocka_unit_test(in_the_end_mapd_believes_what_is_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
