/* Loads as mapd hears of them: what a mapd that keeps the last word on each
 * endpoint has in the end is what there is, however much of it changes. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "anycast/group.h"
#include "anycast/load.h"
#include "mapping/report.h"
#include "openvswitch/json.h"
#include "random.h"
#include "util.h"
#include "vswitchd-ext/load-report.h"
#include "vswitchd-ext/mapd-session.h"
#include "vswitchd-ext/table-builder.h"

enum {
    N_ENDPOINTS = 3000,         /* Of one group. */
    GROUP       = 7,
};

static struct {
    bool registered;
    unsigned int n_registrations;
    struct report_load heard[N_ENDPOINTS];
    unsigned int n_messages;
    size_t n_rows;              /* Of the last one. */
} mapd;

static struct group *group;
static struct endpoint_load loads[N_ENDPOINTS];
static size_t n_endpoints;      /* That there are now. */
static struct load_report *report;
static long long int now_ms;

long long int __wrap_time_msec(void);

long long int
__wrap_time_msec(void)
{
    return now_ms;
}

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
    struct report_load *rows;
    struct diagnosis diag;

    assert_string_equal(method, "report");
    if (report_loads_from_json(param, &rows, &mapd.n_rows, &diag)) {
        fail_msg("%s", diag.message);
    }
    mapd.n_messages++;
    for (size_t i = 0; i < mapd.n_rows; i++) {
        mapd.heard[rows[i].endpoint] = rows[i];
    }
    free(rows);
    json_destroy(param);
}

void
table_builder_each_endpoint(const struct table_builder *b OVS_UNUSED,
                            void (*each)(void *aux, const struct group *,
                                         uint16_t endpoint),
                            void *aux)
{
    for (size_t i = 0; i < n_endpoints; i++) {
        each(aux, group, i);
    }
}

static void
register_host(void)
{
    memset(mapd.heard, 0, sizeof mapd.heard);
    mapd.registered = true;
    mapd.n_registrations++;
}

static void
run_for(long long int ms)
{
    for (long long int end = now_ms + ms; now_ms < end; now_ms += 100) {
        load_report_run(report, NULL, NULL);
    }
}

static void
check_heard(void)
{
    for (size_t i = 0; i < N_ENDPOINTS; i++) {
        bool exists = i < n_endpoints;

        assert_int_equal(mapd.heard[i].flows, exists ? loads[i].open : 0);
    }
}

static int
setup(void **state OVS_UNUSED)
{
    memset(&mapd, 0, sizeof mapd);
    memset(loads, 0, sizeof loads);
    n_endpoints = N_ENDPOINTS;
    now_ms = 1000 * 1000;
    group = xzalloc(sizeof *group);
    group->endpoints = xcalloc(N_ENDPOINTS, sizeof *group->endpoints);
    group->id = GROUP;
    group->algorithm = ALGORITHM_LEAST_CONNECTIONS;
    group->n_endpoints = N_ENDPOINTS;
    for (size_t i = 0; i < N_ENDPOINTS; i++) {
        group->endpoints[i].load = &loads[i];
    }
    report = load_report_create();
    return 0;
}

static int
teardown(void **state OVS_UNUSED)
{
    load_report_destroy(report);
    free(group->endpoints);
    free(group);
    return 0;
}

static void
what_has_changed_is_told(void **state OVS_UNUSED)
{
    register_host();
    run_for(2 * LOAD_REPORT_MS);
    assert_int_equal(mapd.n_messages, 0);
    loads[5].open = 3;
    loads[6].response_us = 1000;
    run_for(LOAD_REPORT_MS + 1000);
    assert_int_equal(mapd.n_rows, 2);
    assert_int_equal(mapd.heard[6].response_us, 1000);
    loads[6].response_us = 1001; /* Less than a tenth. */
    run_for(2 * LOAD_REPORT_MS);
    assert_int_equal(mapd.n_messages, 1);
    check_heard();
    n_endpoints = 5;            /* The others have gone. */
    run_for(LOAD_REPORT_MS + 1000);
    check_heard();
}

static void
each_registration_hears_all(void **state OVS_UNUSED)
{
    loads[5].open = 3;
    register_host();
    run_for(LOAD_REPORT_MS);
    check_heard();
    register_host();
    run_for(LOAD_REPORT_MS);
    check_heard();
    mapd.registered = false;    /* Another session counts anew. */
    run_for(1000);
    mapd.n_registrations = 1;
    register_host();
    run_for(LOAD_REPORT_MS);
    check_heard();
}

/* More changes than messages carry, all the time: each has its turn. */
static void
the_busiest_do_not_silence_the_rest(void **state OVS_UNUSED)
{
    register_host();
    for (int i = 0; i < 30; i++) {
        for (size_t j = 0; j < N_ENDPOINTS; j++) {
            loads[j].open++;
        }
        run_for(1000);
    }
    for (size_t i = 0; i < N_ENDPOINTS; i++) {
        assert_true(mapd.heard[i].flows + 10 >= (uint32_t) loads[i].open);
    }
    run_for(2 * LOAD_REPORT_MS);
    check_heard();
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_has_changed_is_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(each_registration_hears_all, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_busiest_do_not_silence_the_rest,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
