/* Which revision hosts use that are connected to other mapds: what these tell,
 * and who sees the host, come in any order. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "mapping/mapd/presence.h"
#include "openvswitch/json.h"
#include "util.h"

static void
tell(struct presence *presence, struct presence_host *host, const char *mapd,
     uint64_t applied)
{
    struct presence_told told = { .applied = applied };

    ovs_strlcpy(told.mapd, mapd, sizeof told.mapd);
    presence_tell(presence, host, &told);
}

/* A host, known to mapds a, b and c. */
static struct presence_host *
make(struct presence *presence)
{
    presence_init(presence);
    presence_committed(presence, 9, 1);
    return presence_expect(presence, "h1", false, 0);
}

static void
what_counts_is_the_word_of_the_mapd_that_has_the_host(void **state OVS_UNUSED)
{
    struct presence p;
    struct presence_host *host = make(&p);

    assert_true(presence_all_applied(&p, 9)); /* It is nowhere. */
    presence_seen(&p, host, "a");
    assert_false(presence_all_applied(&p, 1)); /* Nothing is known. */
    tell(&p, host, "a", 7);
    assert_true(presence_all_applied(&p, 7));
    assert_false(presence_all_applied(&p, 8));

    /* It goes to b, which is told first; then comes what a said last. */
    tell(&p, host, "b", 0);
    assert_true(presence_all_applied(&p, 7));
    tell(&p, host, "b", 5);
    tell(&p, host, "a", 8);
    assert_true(presence_all_applied(&p, 8));
    presence_seen(&p, host, "b");
    assert_true(presence_all_applied(&p, 5));
    assert_false(presence_all_applied(&p, 6));
    tell(&p, host, "a", 9);
    assert_false(presence_all_applied(&p, 6));
    tell(&p, host, "b", 9);
    assert_true(presence_all_applied(&p, 9));

    /* It goes to c, which is told last. */
    presence_seen(&p, host, "c");
    assert_false(presence_all_applied(&p, 1));
    tell(&p, host, "b", 9);
    tell(&p, host, "a", 9);
    assert_false(presence_all_applied(&p, 1));
    tell(&p, host, "c", 9);
    tell(&p, host, "b", 1);
    tell(&p, host, "a", 1);
    assert_true(presence_all_applied(&p, 9));
    presence_seen(&p, host, "");
    assert_true(presence_all_applied(&p, 10));

    /* Back to where it was, it may have begun anew. */
    presence_seen(&p, host, "a");
    presence_seen(&p, host, "c");
    assert_false(presence_all_applied(&p, 1));
    presence_destroy(&p);
}

static bool
is_named(const char *mapd, const void *name)
{
    return !strcmp(mapd, name);
}

static void
what_came_by_a_link_that_ended_is_doubted(void **state OVS_UNUSED)
{
    struct presence p;
    struct presence_host *host = make(&p);
    uint64_t changes;

    presence_seen(&p, host, "a");
    tell(&p, host, "a", 9);
    tell(&p, host, "b", 9);
    presence_doubt(&p, is_named, "b");
    assert_true(presence_all_applied(&p, 9));
    changes = p.changes;
    presence_doubt(&p, is_named, "a");
    assert_false(presence_all_applied(&p, 1));
    assert_true(host->changed > changes); /* Others are to hear of it. */
    presence_destroy(&p);
}

static void
a_connection_here_counts_more_than_any_word(void **state OVS_UNUSED)
{
    struct presence p;
    struct presence_host *host = make(&p);
    int owner;
    void *old;

    presence_seen(&p, host, "a");
    tell(&p, host, "a", 9);
    presence_register(&p, "h1", "", &owner, 0, &old);
    host->mapd[0] = '\0';
    assert_false(presence_all_applied(&p, 1));
    tell(&p, host, "a", 9);
    assert_false(presence_all_applied(&p, 1));
    presence_applied(&p, host, 9);
    tell(&p, host, "a", 3);
    assert_true(presence_all_applied(&p, 9));
    assert_int_equal(presence_count_connected(&p), 1);
    presence_destroy(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            what_counts_is_the_word_of_the_mapd_that_has_the_host),
        cmocka_unit_test(what_came_by_a_link_that_ended_is_doubted),
        cmocka_unit_test(a_connection_here_counts_more_than_any_word),
    };

    return cmocka_run_group_tests_name("presence", tests, NULL, NULL);
}
