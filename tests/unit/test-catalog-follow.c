/* A catalog that is told only what another one, the leader, stores: records,
 * encoded states of groups, and which endpoints are unwell.  After each step
 * both are the same. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog-state.h"
#include "mapping/catalog/catalog.h"
#include "openvswitch/ofpbuf.h"
#include "random.h"
#include "tests/unit/catalog-text.h"
#include "util.h"

/* Random operations of the leader, many of which it refuses. */

static int
rnd(int n)
{
    return random_range(n);
}

static void
change_endpoint(struct catalog_txn *txn, int vni, const char *group)
{
    struct record r = catalog_text_record(
        "{'kind':'endpoint','vni':%d,'group':'%s','name':'e%d','host':'h%d',"
        "'mac':'02:00:00:00:00:%02x','weight':%d,'state':'%s'}", vni, group,
        rnd(8), rnd(4), rnd(9), 1 + rnd(5) * 100,
        rnd(3) ? "up" : rnd(2) ? "draining" : "down");
    struct diagnosis diag;
    struct json *json;

    if (!rnd(3)) {
        snprintf(r.endpoint.iface, sizeof r.endpoint.iface, "p%d", rnd(6));
        if (rnd(2)) {
            r.endpoint.host[0] = '\0'; /* At no host. */
        }
    }
    if (!rnd(4)) {
        catalog_remove(txn, &r, true, false, &diag);
    }
    if (rnd(4) && catalog_add(txn, &r, false, &diag)) {
        json = record_to_json(&r);
        catalog_set(txn, json, &diag);
        json_destroy(json);
    }
}

static void
change_group(struct catalog_txn *txn, int vni, const char *group)
{
    struct record r = catalog_text_record(
        "{'kind':'group','vni':%d,'name':'%s','address':'10.0.0.%d',"
        "'ramp':%d,'slots':%d,'health_check':'%s'}", vni, group, 1 + rnd(9),
        rnd(3), rnd(3) ? 256 : 1024, rnd(4) ? "arp" : "none");
    struct diagnosis diag;
    struct json *json;

    if (!rnd(4)) {
        catalog_remove(txn, &r, true, true, &diag);
    }
    if (catalog_add(txn, &r, false, &diag)) {
        json = record_to_json(&r);
        catalog_set(txn, json, &diag);
        json_destroy(json);
    }
}

static void
change_host(struct catalog_txn *txn, const struct catalog *catalog)
{
    struct record r = catalog_text_record(
        "{'kind':'host','name':'h%d','vtep':'192.0.2.%d'}", rnd(4),
        1 + rnd(7));
    struct diagnosis diag;
    struct json *json;

    if (!rnd(4)) {
        catalog_remove(txn, &r, true, false, &diag);
    }
    if (catalog_add(txn, &r, false, &diag)) {
        json = record_to_json(&r);
        catalog_set(txn, json, &diag);
        json_destroy(json);
    }
    if (rnd(2) && catalog_find_host(catalog, r.host.name)) {
        catalog_set_alive(txn, r.host.name, rnd(2));
    }
}

/* Of what hosts check. */
static void
change_health(struct catalog_txn *txn, const struct catalog *catalog)
{
    const struct catalog_group **groups;
    size_t n;

    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < groups[i]->n_endpoints; j++) {
            const struct catalog_endpoint *e = groups[i]->endpoints[j];

            if (groups[i]->record.health.check != HEALTH_NONE && groups[i]->id
                && e->index != GROUP_NO_ENDPOINT
                && e->record.state != ENDPOINT_DOWN && !rnd(3)) {
                catalog_set_health(txn, groups[i]->id, e->index,
                                   rnd(2) ? "ill" : NULL);
            }
        }
    }
    free(groups);
}

static void
change_something(struct catalog_txn *txn, const struct catalog *catalog)
{
    static const char *const names[] = { "a", "b", "c" };
    const char *group = names[rnd(3)];
    int vni = 1 + rnd(2);

    switch (rnd(12)) {
    case 0:
        change_host(txn, catalog);
        break;
    case 10:
    case 11:
        change_health(txn, catalog);
        break;
    case 1:
    case 2:
        change_group(txn, vni, group);
        break;
    default:
        change_endpoint(txn, vni, group);
        break;
    }
}

/* What the leader tells. */

static struct catalog_state *
recode(const struct catalog_group *group)
{
    struct catalog_state *state;
    struct ofpbuf b;

    ofpbuf_init(&b, 0);
    catalog_state_encode(group, &b);
    assert_in_range(b.size, 1, CATALOG_STATE_MAX);
    assert_int_equal(0, catalog_state_decode(b.data, b.size, &state));
    ofpbuf_uninit(&b);
    return state;
}

static void
ok(int error, const struct diagnosis *diag)
{
    if (error) {
        fail_msg("%s", diag->message);
    }
}

static bool
is_kind(const struct catalog_change *c, enum record_kind kind)
{
    return (c->after ? c->after : c->before)->kind == kind;
}

/* Endpoints leave before what they refer to, and come after it. */
static void
tell_changes(struct catalog_txn *txn, const struct catalog_change *changes,
             size_t n)
{
    struct diagnosis diag;

    for (int kind = RECORD_ENDPOINT; kind > RECORD_HOST; kind--) {
        for (size_t i = 0; i < n; i++) {
            if (is_kind(&changes[i], kind) && !changes[i].after) {
                ok(catalog_remove(txn, changes[i].before, false,
                                  kind == RECORD_GROUP, &diag), &diag);
            }
        }
    }
    for (int kind = RECORD_HOST; kind <= RECORD_ENDPOINT; kind++) {
        for (size_t i = 0; i < n; i++) {
            if (is_kind(&changes[i], kind) && changes[i].after) {
                ok(catalog_install_record(txn, changes[i].after, &diag),
                   &diag);
            }
        }
    }
    for (size_t i = 0; i < n; i++) {
        if (is_kind(&changes[i], RECORD_HOST) && !changes[i].after) {
            ok(catalog_remove(txn, changes[i].before, false, false, &diag),
               &diag);
        }
    }
}

/* A state that did not change need not be told. */
static bool
differs(const struct catalog_txn *txn, const struct catalog_group *group)
{
    const struct catalog_group *before = catalog_txn_before(txn, group);
    struct ofpbuf a, b;
    bool result = true;

    if (before) {
        ofpbuf_init(&a, 0);
        ofpbuf_init(&b, 0);
        catalog_state_encode(before, &a);
        catalog_state_encode(group, &b);
        result = !ofpbuf_equal(&a, &b);
        ofpbuf_uninit(&a);
        ofpbuf_uninit(&b);
    }
    return result;
}

/* Begins the transaction of 'follower' that makes it what 'leader' will be
 * after 'told'. */
static struct catalog_txn *
follow(struct catalog *follower, const struct catalog *leader,
       const struct catalog_txn *told)
{
    struct catalog_txn *txn = catalog_begin(follower);
    const struct catalog_group *const *groups;
    const struct catalog_liveness *liveness;
    const struct catalog_health *health;
    const struct catalog_change *changes;
    struct diagnosis diag;
    size_t n;

    catalog_follow(txn, catalog_txn_revision(told),
                   catalog_last_group_id(leader));
    health = catalog_txn_health(told, &n);
    for (size_t i = 0; i < n; i++) {
        catalog_set_health(txn, health[i].group, health[i].endpoint,
                           health[i].healthy ? NULL : health[i].why);
    }
    changes = catalog_txn_changes(told, &n);
    tell_changes(txn, changes, n);
    liveness = catalog_txn_liveness(told, &n);
    for (size_t i = 0; i < n; i++) {
        catalog_set_alive(txn, liveness[i].host, liveness[i].alive);
    }
    groups = catalog_txn_groups(told, &n);
    for (size_t i = 0; i < n; i++) {
        if (differs(told, groups[i])) {
            ok(catalog_install_state(txn, groups[i]->record.vni,
                                     groups[i]->record.name,
                                     recode(groups[i]), &diag), &diag);
        }
    }
    return txn;
}

static void
check_same_txn(const struct catalog_txn *a, const struct catalog_txn *b)
{
    const struct catalog_change *x, *y;
    size_t n, m;

    x = catalog_txn_changes(a, &n);
    y = catalog_txn_changes(b, &m);
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(!x[i].before, !y[i].before);
        assert_int_equal(!x[i].after, !y[i].after);
        assert_true(!x[i].before || record_equal(x[i].before, y[i].before));
        assert_true(!x[i].after || record_equal(x[i].after, y[i].after));
    }
    catalog_txn_groups(a, &n);
    catalog_txn_groups(b, &m);
    assert_int_equal(n, m);
    catalog_txn_liveness(a, &n);
    catalog_txn_liveness(b, &m);
    assert_int_equal(n, m);
    catalog_txn_health(a, &n);
    catalog_txn_health(b, &m);
    assert_int_equal(n, m);
}

static size_t n_unwell;         /* That were compared. */

static void
check_same_health(const struct catalog *a, const struct catalog *b)
{
    struct catalog_patient *patients;
    size_t n, m;

    free(catalog_patients(b, NULL, &m));
    patients = catalog_patients(a, NULL, &n);
    assert_int_equal(n, m);
    n_unwell += n;
    for (size_t i = 0; i < n; i++) {
        const struct catalog_endpoint *e
            = catalog_find_index(b, patients[i].group, patients[i].endpoint);
        const struct catalog_group *g;

        assert_non_null(e);
        g = catalog_find_group(b, e->record.vni, e->record.group);
        assert_string_equal("ill", catalog_endpoint_sickness(b, g, e));
    }
    free(patients);
}

static void
check_same(const struct catalog *a, const struct catalog *b)
{
    char *x = catalog_text_dump(a), *y = catalog_text_dump(b);

    assert_string_equal(x, y);
    free(x);
    free(y);
    check_same_health(a, b);
}

/* One step; aborted now and then by the follower, before it takes it. */
static int
step(struct catalog *leader, struct catalog *follower)
{
    struct catalog_txn *txn = catalog_begin(leader), *told;
    struct diagnosis diag;
    char *before, *after;
    uint64_t revision;

    for (int i = rnd(8) ? 1 + rnd(3) : 30; i > 0; i--) {
        change_something(txn, leader);
    }
    if (catalog_prepare(txn, &diag)
        || catalog_txn_revision(txn) == catalog_revision(leader)) {
        catalog_abort(txn);
        return 0;
    }
    before = catalog_text_dump(follower);
    told = follow(follower, leader, txn);
    if (rnd(2)) {
        ok(catalog_prepare(told, &diag), &diag);
    }
    catalog_abort(told);
    after = catalog_text_dump(follower);
    assert_string_equal(before, after);
    free(before);
    free(after);

    told = follow(follower, leader, txn);
    ok(catalog_prepare(told, &diag), &diag);
    check_same_txn(txn, told);
    revision = catalog_txn_revision(told);
    catalog_commit(told);
    catalog_commit(txn);
    assert_int_equal(revision, catalog_revision(leader));
    check_same(leader, follower);
    return 1;
}

static void
follower_is_as_the_leader_after_each_step(void **state OVS_UNUSED)
{
    struct catalog *leader = catalog_create(), *follower = catalog_create();
    int n = 0;

    for (int i = 0; i < 4000; i++) {
        n += step(leader, follower);
    }
    assert_in_range(n, 1000, 4000);
    assert_true(n_unwell > 1000);
    catalog_destroy(leader);
    catalog_destroy(follower);
}

static void
take_health(struct catalog_txn *txn, const struct catalog *follower,
            const struct catalog *leader)
{
    struct catalog_patient *patients;
    size_t n;

    patients = catalog_patients(follower, NULL, &n);
    for (size_t i = 0; i < n; i++) {
        catalog_set_health(txn, patients[i].group, patients[i].endpoint,
                           NULL);
    }
    free(patients);
    patients = catalog_patients(leader, NULL, &n);
    for (size_t i = 0; i < n; i++) {
        catalog_set_health(txn, patients[i].group, patients[i].endpoint,
                           "ill");
    }
    free(patients);
}

/* What a follower did not see: the difference from what it has. */
static void
take_difference(struct catalog *follower, const struct catalog *leader)
{
    const struct catalog_group **groups;
    const struct record_host **hosts;
    struct catalog_txn *txn = catalog_begin(follower);
    struct diagnosis diag;
    size_t n;

    catalog_follow(txn, catalog_revision(leader),
                   catalog_last_group_id(leader));
    groups = catalog_groups(follower, &n);
    for (size_t i = 0; i < n; i++) {
        struct record r = { .kind = RECORD_GROUP,
                            .group = groups[i]->record };
        const struct catalog_group *g
            = catalog_find_group(leader, r.group.vni, r.group.name);

        for (size_t j = groups[i]->n_endpoints; j-- > 0; ) {
            struct record e = { .kind = RECORD_ENDPOINT,
                                .endpoint = groups[i]->endpoints[j]->record };

            if (!g || !catalog_find_endpoint(g, e.endpoint.name)) {
                ok(catalog_remove(txn, &e, false, false, &diag), &diag);
            }
        }
        if (!g) {
            ok(catalog_remove(txn, &r, false, false, &diag), &diag);
        }
    }
    free(groups);
    hosts = catalog_hosts(leader, &n);
    for (size_t i = 0; i < n; i++) {
        struct record r = { .kind = RECORD_HOST, .host = *hosts[i] };

        ok(catalog_install_record(txn, &r, &diag), &diag);
        catalog_set_alive(txn, r.host.name,
                          catalog_host_is_alive(leader, r.host.name));
    }
    free(hosts);
    groups = catalog_groups(leader, &n);
    for (size_t i = 0; i < n; i++) {
        struct record r = { .kind = RECORD_GROUP,
                            .group = groups[i]->record };

        ok(catalog_install_record(txn, &r, &diag), &diag);
        for (size_t j = 0; j < groups[i]->n_endpoints; j++) {
            struct record e = { .kind = RECORD_ENDPOINT,
                                .endpoint = groups[i]->endpoints[j]->record };

            ok(catalog_install_record(txn, &e, &diag), &diag);
        }
        ok(catalog_install_state(txn, r.group.vni, r.group.name,
                                 recode(groups[i]), &diag), &diag);
    }
    free(groups);
    hosts = catalog_hosts(follower, &n);
    for (size_t i = 0; i < n; i++) {
        struct record r = { .kind = RECORD_HOST, .host = *hosts[i] };

        if (!catalog_find_host(leader, r.host.name)) {
            ok(catalog_remove(txn, &r, false, false, &diag), &diag);
        }
    }
    free(hosts);
    take_health(txn, follower, leader);
    ok(catalog_prepare(txn, &diag), &diag);
    catalog_commit(txn);
}

static void
follower_that_has_missed_steps_catches_up(void **state OVS_UNUSED)
{
    struct catalog *leader = catalog_create(), *follower = catalog_create();

    for (int i = 0; i < 300; i++) {
        for (int j = rnd(30); j >= 0; j--) {
            struct catalog_txn *txn = catalog_begin(leader);

            for (int k = 1 + rnd(9); k > 0; k--) {
                change_something(txn, leader);
            }
            if (catalog_prepare(txn, NULL)) {
                catalog_abort(txn);
            } else {
                catalog_commit(txn);
            }
        }
        take_difference(follower, leader);
        check_same(leader, follower);
    }
    catalog_destroy(leader);
    catalog_destroy(follower);
}

static void
commit(struct catalog *catalog, const char *op, const char *text)
{
    struct catalog_txn *txn = catalog_begin(catalog);
    struct record r = catalog_text_record("%s", text);

    assert_int_equal(0, *op == 'a' ? catalog_add(txn, &r, false, NULL)
                        : catalog_remove(txn, &r, false, true, NULL));
    assert_int_equal(0, catalog_prepare(txn, NULL));
    catalog_commit(txn);
}

/* Records that were removed and added again are as they were, and yet have
 * other numbers. */
static void
records_that_were_made_anew_have_their_new_numbers(void **state OVS_UNUSED)
{
    static const char g[] = "{'kind':'group','vni':1,'name':'g',"
                            "'address':'10.0.0.1','slots':256}";
    static const char e[] = "{'kind':'endpoint','vni':1,'group':'g',"
        "'name':'a','host':'h','mac':'02:00:00:00:00:01'}";
    struct catalog *leader = catalog_create(), *follower = catalog_create();

    commit(leader, "add", "{'kind':'host','name':'h','vtep':'192.0.2.1'}");
    commit(leader, "add", g);
    commit(leader, "add", e);
    take_difference(follower, leader);
    commit(leader, "remove", e);
    commit(leader, "add", e);
    take_difference(follower, leader);
    check_same(leader, follower);
    commit(leader, "remove", g);
    commit(leader, "add", g);
    commit(leader, "add", e);
    take_difference(follower, leader);
    check_same(leader, follower);
    catalog_destroy(leader);
    catalog_destroy(follower);
}

/* Two groups and what is told of them, to be spoiled. */
static struct catalog *
small_leader(void)
{
    struct catalog *leader = catalog_create();
    struct catalog_txn *txn = catalog_begin(leader);
    struct record records[] = {
        catalog_text_record("{'kind':'host','name':'h','vtep':'192.0.2.1'}"),
        catalog_text_record("{'kind':'group','vni':1,'name':'g',"
                            "'address':'10.0.0.1','slots':256}"),
        catalog_text_record("{'kind':'endpoint','vni':1,'group':'g',"
            "'name':'a','host':'h','mac':'02:00:00:00:00:01'}"),
        catalog_text_record("{'kind':'endpoint','vni':1,'group':'g',"
            "'name':'b','host':'h','mac':'02:00:00:00:00:02',"
            "'state':'draining'}"),
        catalog_text_record("{'kind':'group','vni':1,'name':'other',"
                            "'address':'10.0.0.2','slots':256}"),
    };

    for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
        assert_int_equal(0, catalog_add(txn, &records[i], false, NULL));
    }
    assert_int_equal(0, catalog_prepare(txn, NULL));
    catalog_commit(txn);
    return leader;
}

/* 'spoil' makes of the state of group g what cannot be. */
static void
refused(void (*spoil)(struct catalog_state *), const char *why)
{
    struct catalog *leader = small_leader(), *follower = catalog_create();
    const struct catalog_group *g = catalog_find_group(leader, 1, "g");
    const struct catalog_group *other = catalog_find_group(leader, 1, "other");
    struct record h = { .kind = RECORD_HOST,
                        .host = *catalog_find_host(leader, "h") };
    struct record groups[] = {
        { .kind = RECORD_GROUP, .group = g->record },
        { .kind = RECORD_GROUP, .group = other->record },
    };
    struct catalog_txn *txn = catalog_begin(follower);
    struct catalog_state *state = recode(g);
    struct diagnosis diag = { .message = "" };
    int error;

    catalog_follow(txn, 1, 2);
    ok(catalog_install_record(txn, &h, &diag), &diag);
    for (int i = 0; i < 2; i++) {
        ok(catalog_install_record(txn, &groups[i], &diag), &diag);
        struct record e = { .kind = RECORD_ENDPOINT,
                            .endpoint = g->endpoints[i]->record };
        ok(catalog_install_record(txn, &e, &diag), &diag);
    }
    spoil(state);
    ok(catalog_install_state(txn, 1, "other", recode(other), &diag), &diag);
    error = catalog_install_state(txn, 1, "g", state, &diag);
    if (!error) {
        error = catalog_prepare(txn, &diag);
    }
    if (!error || !strstr(diag.message, why)) {
        fail_msg("not refused for \"%s\": %s", why, diag.message);
    }
    catalog_abort(txn);
    assert_int_equal(0, catalog_count(follower, RECORD_HOST));
    catalog_destroy(leader);
    catalog_destroy(follower);
}

static void
take_other_id(struct catalog_state *s)
{
    s->id = 2;
}

static void
forget_endpoint(struct catalog_state *s)
{
    s->n_endpoints = 1;
}

static void
rename_endpoint(struct catalog_state *s)
{
    s->endpoints[0].name[0] = 'A';
}

static void
give_to_draining(struct catalog_state *s)
{
    s->slots[7] = s->endpoints[1].index;
}

static void
give_to_nobody_there(struct catalog_state *s)
{
    s->slots[255] = 77;
}

static void
repeat_present_owner(struct catalog_state *s)
{
    s->previous[0] = xmemdup(s->slots, 256 * sizeof *s->slots);
}

static void
double_slots(struct catalog_state *s)
{
    s->n_slots = 512;
}

static void
states_that_cannot_be_are_refused(void **state OVS_UNUSED)
{
    refused(take_other_id, "id 2 is used twice");
    refused(forget_endpoint, "number of endpoints 1");
    refused(rename_endpoint, "is that of no record");
    refused(give_to_draining, "is no endpoint that is up");
    refused(give_to_nobody_there, "slot owner 77");
    refused(repeat_present_owner, "previous owners that cannot be");
    refused(double_slots, "slots 512");
}

/* Of all encodings with one byte changed, each is refused, or is that of
 * another state. */
static void
there_is_one_encoding_of_a_state(void **state OVS_UNUSED)
{
    struct catalog *leader = small_leader();
    struct catalog_state *s;
    struct ofpbuf b;
    int n_refused = 0;
    uint8_t *p;

    ofpbuf_init(&b, 0);
    catalog_state_encode(catalog_find_group(leader, 1, "g"), &b);
    p = b.data;
    for (size_t i = 0; i < b.size; i++) {
        assert_int_not_equal(0, catalog_state_decode(p, i, &s));
    }
    for (size_t i = 0; i < b.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            p[i] ^= 1 << bit;
            if (catalog_state_decode(p, b.size, &s)) {
                n_refused++;
            } else {
                catalog_state_destroy(s);
            }
            p[i] ^= 1 << bit;
        }
    }
    assert_true(n_refused > 100);
    ofpbuf_put_zeros(&b, 1);
    assert_int_not_equal(0, catalog_state_decode(b.data, b.size, &s));
    ofpbuf_uninit(&b);
    catalog_destroy(leader);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follower_is_as_the_leader_after_each_step),
        cmocka_unit_test(follower_that_has_missed_steps_catches_up),
        cmocka_unit_test(records_that_were_made_anew_have_their_new_numbers),
        cmocka_unit_test(states_that_cannot_be_are_refused),
        cmocka_unit_test(there_is_one_encoding_of_a_state),
    };

    random_set_seed(1);
    return cmocka_run_group_tests_name("catalog-follow", tests, NULL, NULL);
}
