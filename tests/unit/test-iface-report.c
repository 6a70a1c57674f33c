/* When a host tells mapd of its ports: a double of the session answers, or
 * does not. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/claims.h"
#include "openvswitch/json.h"
#include "util.h"
#include "vswitchd-ext/iface-report.h"
#include "vswitchd-ext/iface-set.h"
#include "vswitchd-ext/mapd-session.h"

/* The double. */
static struct {
    bool registered;
    unsigned int n_registrations, n_wanted;
    enum mapd_claim state;
    bool busy;                  /* With another claim: takes none. */
    unsigned int n_sent;
    struct claims last;
} session;

bool
mapd_session_is_registered(const struct mapd_session *s OVS_UNUSED)
{
    return session.registered;
}

unsigned int
mapd_session_n_registrations(const struct mapd_session *s OVS_UNUSED)
{
    return session.n_registrations;
}

unsigned int
mapd_session_n_claims_wanted(const struct mapd_session *s OVS_UNUSED)
{
    return session.n_wanted;
}

enum mapd_claim
mapd_session_claim_state(const struct mapd_session *s OVS_UNUSED)
{
    return session.state;
}

bool
mapd_session_claim(struct mapd_session *s OVS_UNUSED, struct json *param)
{
    struct diagnosis diag;

    if (session.busy) {
        json_destroy(param);
        return false;
    }
    assert_int_not_equal(session.state, MAPD_CLAIM_SENT);
    claims_uninit(&session.last);
    assert_int_equal(claims_from_json(param, &session.last, &diag), 0);
    session.state = MAPD_CLAIM_SENT;
    session.n_sent++;
    json_destroy(param);
    return true;
}

static long long int now = 1000;

/* The host has the ports that are letters of 'ids'. */
static void
have(const char *ids)
{
    static struct iface_set set;
    struct iface_set before = set;

    iface_set_init(&set);
    for (const char *p = ids; *p; p++) {
        iface_set_add(&set, (char[]) { *p, '\0' }, "02:00:00:00:00:01");
    }
    iface_set_finish(&set, &before, now);
    iface_set_uninit(&before);
    iface_report_set(&set);
}

static struct iface_report *report;

/* Goes on after 'ms'. */
static void
run(long long int ms)
{
    now += ms;
    iface_report_run(report, "h1", NULL, now);
}

static int
setup(void **state OVS_UNUSED)
{
    memset(&session, 0, sizeof session);
    report = iface_report_create();
    return 0;
}

static int
teardown(void **state OVS_UNUSED)
{
    claims_uninit(&session.last);
    iface_report_destroy(report);
    return 0;
}

static void
registered(void)
{
    session.registered = true;
    session.n_registrations++;
    session.state = MAPD_CLAIM_NONE;
}

static void
assert_last(unsigned int n_sent, bool all, size_t n_here, size_t n_gone)
{
    assert_int_equal(session.n_sent, n_sent);
    assert_string_equal(session.last.host, "h1");
    assert_int_equal(session.last.all, all);
    assert_int_equal(session.last.n_here, n_here);
    assert_int_equal(session.last.n_gone, n_gone);
}

static void
all_is_told_first_and_then_what_changes(void **state OVS_UNUSED)
{
    registered();
    run(0);
    assert_int_equal(session.n_sent, 0); /* Nobody knows what is here. */
    have("ab");
    session.registered = false;
    run(0);
    assert_int_equal(session.n_sent, 0);
    registered();
    run(0);
    assert_last(1, true, 2, 0);
    run(10000);
    assert_int_equal(session.n_sent, 1); /* One at a time. */
    session.state = MAPD_CLAIM_DONE;
    run(10000);
    assert_int_equal(session.n_sent, 1); /* No news. */
    have("bc");
    run(0);
    assert_last(2, false, 1, 1);
    assert_string_equal(session.last.here[0].iface, "c");
    assert_string_equal(session.last.gone[0], "a");
    session.state = MAPD_CLAIM_DONE;
    have("");
    run(IFACE_REPORT_MS - 1);
    assert_int_equal(session.n_sent, 2); /* Not too often. */
    run(1);
    assert_last(3, false, 0, 2);
}

static void
what_changes_on_the_way_is_told_after_it(void **state OVS_UNUSED)
{
    have("a");
    registered();
    run(0);
    have("b");
    run(1000);
    assert_last(1, true, 1, 0);
    session.state = MAPD_CLAIM_DONE;
    run(0);
    assert_last(2, false, 1, 1);
    /* That port has gone and come while it was told of: it is another stay. */
    have("");
    have("b");
    session.state = MAPD_CLAIM_DONE;
    run(1000);
    assert_int_equal(session.n_sent, 3);
    assert_int_equal(session.last.n_gone, 0);
}

static void
all_is_told_again_when_mapd_has_forgotten(void **state OVS_UNUSED)
{
    have("ab");
    registered();
    run(0);
    session.state = MAPD_CLAIM_DONE;
    run(1000);
    session.n_wanted++;
    run(1000);
    assert_last(2, true, 2, 0);
    /* It asks while it is told: that may have been too early. */
    session.n_wanted++;
    session.state = MAPD_CLAIM_DONE;
    run(1000);
    assert_last(3, true, 2, 0);
    session.state = MAPD_CLAIM_DONE;
    run(1000);
    registered();               /* As when this host's record changes. */
    run(1000);
    assert_last(4, true, 2, 0);
    /* The connection ends, and another one begins. */
    session.registered = false;
    session.state = MAPD_CLAIM_NONE;
    run(0);
    registered();
    run(0);
    assert_last(5, true, 2, 0);
}

static void
who_is_refused_tries_again_after_a_while(void **state OVS_UNUSED)
{
    have("a");
    registered();
    run(0);
    session.state = MAPD_CLAIM_REFUSED;
    run(1000);
    have("ab");
    run(IFACE_REPORT_RETRY_MS - 1);
    assert_int_equal(session.n_sent, 1);
    run(1);
    assert_last(2, true, 2, 0);
}

/* A claim from before this registration is under way: its answer says nothing
 * of what could not be sent. */
static void
what_could_not_be_sent_is_sent_later(void **state OVS_UNUSED)
{
    have("a");
    registered();
    session.state = MAPD_CLAIM_SENT;
    session.busy = true;
    run(0);
    assert_int_equal(session.n_sent, 0);
    session.state = MAPD_CLAIM_DONE;
    session.busy = false;
    run(IFACE_REPORT_MS);
    assert_last(1, true, 1, 0);
    session.state = MAPD_CLAIM_DONE;
    run(IFACE_REPORT_MS);
    assert_int_equal(session.n_sent, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            all_is_told_first_and_then_what_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_changes_on_the_way_is_told_after_it, setup, teardown),
        cmocka_unit_test_setup_teardown(
            all_is_told_again_when_mapd_has_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(
            who_is_refused_tries_again_after_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_could_not_be_sent_is_sent_later, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
