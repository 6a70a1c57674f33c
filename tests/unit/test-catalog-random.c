/* mapping/catalog/catalog.h against its twin: random transactions, some of
 * them aborted. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "mapping/catalog/catalog.h"
#include "random.h"
#include "tests/unit/catalog-text.h"
#include "tests/unit/catalog-twin.h"
#include "util.h"

/* Random records out of a small world, so that they meet. */

static const char *const names[] = { "a", "b", "c", "d", "e", "f" };

static const char *
some(size_t n)
{
    return names[random_range(n)];
}

static const char *
random_ports(void)
{
    static const char *const ports[] = {
        "0", "0", "80", "80", "80,'port_last':90", "85,'port_last':85",
        "90,'port_last':100", "91,'port_last':65535",
    };

    return ports[random_range(ARRAY_SIZE(ports))];
}

static struct record
random_record(void)
{
    switch (random_range(10)) {
    case 0:
    case 1:
        return catalog_text_record(
            "{'kind':'host','name':'%s','vtep':'192.0.2.%d','encap':'%s'}",
            some(5), 1 + random_range(6),
            random_range(2) ? "vxlan" : "geneve");
    case 2:
    case 3:
        return catalog_text_record(
            "{'kind':'group','vni':%d,'name':'%s','address':'10.0.0.%d',"
            "'port':%s,'protocol':'%s','affinity':'%s','slots':%d,"
            "'quic_id_length':%d}",
            1 + random_range(2), some(3), 1 + random_range(2), random_ports(),
            random_range(4) ? "tcp" : "udp",
            random_range(2) ? "flow" : "source", 256 << random_range(2), 0);
    default:
        return catalog_text_record(
            "{'kind':'endpoint','vni':%d,'group':'%s','name':'%s',"
            "'host':'%s','mac':'02:00:00:00:00:%02x','weight':%d,"
            "'state':'%s'}",
            1 + random_range(2), some(3), some(6), some(5),
            1 + random_range(8), 1 + random_range(3) * 100,
            random_range(3) ? "up" : random_range(2) ? "draining" : "down");
    }
}

/* The twin before the transaction. */
static struct catalog_twin twin_before;

/* One operation on both.  The codes must agree. */

static enum diagnosis_code
do_add(struct catalog_txn *txn, struct catalog_twin *twin,
       struct diagnosis *diag)
{
    struct record r = random_record();
    bool may_exist = !random_range(3);
    int at = catalog_twin_find(twin, &r);

    catalog_add(txn, &r, may_exist, diag);
    if (at < 0) {
        enum diagnosis_code code = catalog_twin_put(twin, &r);

        if (r.kind == RECORD_HOST) {
            /* One that comes back is as alive as it was. */
            twin->dead[twin->n - 1] = catalog_twin_is_dead(&twin_before,
                                                           r.host.name);
        }
        return code;
    }
    return (may_exist && catalog_twin_equal(&twin->records[at], &r)
            ? DIAG_NONE : DIAG_EXISTS);
}

static enum diagnosis_code
do_remove(struct catalog_txn *txn, struct catalog_twin *twin,
          struct diagnosis *diag)
{
    struct record r = random_record();
    bool if_exists = random_range(2), cascade = random_range(2);

    catalog_remove(txn, &r, if_exists, cascade, diag);
    return catalog_twin_remove(twin, &r, if_exists, cascade);
}

/* Sets a random part of an endpoint. */
static enum diagnosis_code
set_endpoint(struct catalog_txn *txn, struct catalog_twin *twin,
             const struct record *to, struct diagnosis *diag)
{
    static const char *const states[] = { "", "up", "draining", "down" };
    const struct record_endpoint *e = &to->endpoint;
    struct json *json = catalog_text_json(
        "{'kind':'endpoint','vni':%d,'group':'%s','name':'%s'}", e->vni,
        e->group, e->name);
    int what = 1 + random_range(15), at = catalog_twin_find(twin, to);
    struct record new = at < 0 ? *to : twin->records[at];

    if (what & 1) {
        json_object_put(json, "weight", json_integer_create(e->weight));
        new.endpoint.weight = e->weight;
    }
    if (what & 2) {
        json_object_put_string(json, "state", states[e->state]);
        new.endpoint.state = e->state;
    }
    if (what & 4) {
        json_object_put_string(json, "host", e->host);
        memcpy(new.endpoint.host, e->host, sizeof e->host);
    }
    if (what & 8) {
        json_object_put_format(json, "mac", "02:00:00:00:00:%02x",
                               e->mac.octet[5]);
        new.endpoint.mac = e->mac;
    }
    catalog_set(txn, json, diag);
    json_destroy(json);
    return at < 0 ? DIAG_NOT_FOUND : catalog_twin_put(twin, &new);
}

/* Whether 'twin' has an endpoint of 'group' that may have flows. */
static bool
has_flows(const struct catalog_twin *twin, const struct record_group *group)
{
    for (size_t i = 0; i < twin->n; i++) {
        const struct record *r = &twin->records[i];

        if (r->kind == RECORD_ENDPOINT && r->endpoint.vni == group->vni
            && !strcmp(r->endpoint.group, group->name)
            && r->endpoint.state != ENDPOINT_DOWN) {
            return true;
        }
    }
    return false;
}

/* Sets a whole record. */
static enum diagnosis_code
set_all(struct catalog_txn *txn, struct catalog_twin *twin,
        const struct record *to, struct diagnosis *diag)
{
    struct json *json = record_to_json(to);
    int at = catalog_twin_find(twin, to);
    bool force = random_range(2);

    catalog_set_force(txn, force);
    catalog_set(txn, json, diag);
    json_destroy(json);
    if (at < 0) {
        return DIAG_NOT_FOUND;
    }
    if (to->kind == RECORD_GROUP) {
        const struct record_group *old = &twin->records[at].group;

        if (!catalog_twin_clash(&twin->records[at], to)
            || old->port != to->group.port
            || old->port_last != to->group.port_last
            || old->n_slots != to->group.n_slots) {
            return DIAG_INVALID;
        }
        if (!force && old->affinity != to->group.affinity
            && has_flows(twin, old)) {
            return DIAG_IN_USE;
        }
    }
    return catalog_twin_put(twin, to);
}

static enum diagnosis_code
do_set(struct catalog_txn *txn, struct catalog_twin *twin,
       struct diagnosis *diag)
{
    struct record to = random_record();

    return (to.kind == RECORD_ENDPOINT && random_range(4)
            ? set_endpoint(txn, twin, &to, diag)
            : set_all(txn, twin, &to, diag));
}

/* Returns true if it was refused. */
static bool
do_something(struct catalog_txn *txn, struct catalog_twin *twin)
{
    struct diagnosis diag = { .code = DIAG_NONE };
    int what = random_range(10);
    enum diagnosis_code expected = (what < 5 ? do_add(txn, twin, &diag)
                                    : what < 8 ? do_set(txn, twin, &diag)
                                    : do_remove(txn, twin, &diag));

    assert_int_equal(diag.code, expected);
    assert_int_equal(diag.message[0] != '\0', expected != DIAG_NONE);
    return expected != DIAG_NONE;
}

/* Now and then, a host dies or lives again. */
static void
flip_liveness(struct catalog_txn *txn, struct catalog_twin *twin)
{
    size_t i = random_range(twin->n + 1);

    if (i < twin->n && twin->records[i].kind == RECORD_HOST) {
        twin->dead[i] = !twin->dead[i];
        catalog_set_alive(txn, twin->records[i].host.name, !twin->dead[i]);
    }
}

/* Comparisons. */

static void
check_slots(const struct catalog_group *group,
            const struct catalog_twin *twin)
{
    int owned[GROUP_MAX_ENDPOINTS] = { 0 };
    int n_up = 0, n_owned = 0;

    for (size_t i = 0; i < group->record.n_slots; i++) {
        if (group->slots[i] != GROUP_NO_ENDPOINT) {
            assert_in_range(group->slots[i], 0, GROUP_MAX_ENDPOINTS - 1);
            owned[group->slots[i]]++;
            n_owned++;
        }
    }
    for (size_t i = 0; i < group->n_endpoints; i++) {
        const struct catalog_endpoint *e = group->endpoints[i];

        assert_in_range(e->index, 0, GROUP_MAX_ENDPOINTS - 1);
        if (e->record.state == ENDPOINT_UP
            && !catalog_twin_is_dead(twin, e->record.host)) {
            n_up++;
            assert_true(owned[e->index] > 0);
            n_owned -= owned[e->index];
            owned[e->index] = 0;
        }
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(e->index, group->endpoints[j]->index);
        }
    }
    /* None owned by anyone else; all owned if there is anyone. */
    assert_int_equal(n_owned, 0);
    assert_int_equal(n_up > 0, group->slots[0] != GROUP_NO_ENDPOINT);
    for (size_t i = 0; i < group->record.n_slots; i++) {
        assert_int_equal(n_up > 0, group->slots[i] != GROUP_NO_ENDPOINT);
    }
}

static void
check_one(const struct catalog_twin *twin, const struct record *record)
{
    int at = catalog_twin_find(twin, record);

    assert_true(at >= 0);
    assert_true(catalog_twin_equal(&twin->records[at], record));
}

/* What is there is what the twin has, and obeys the rules. */
static void
check_contents(const struct catalog *catalog, const struct catalog_twin *twin)
{
    const struct catalog_group **groups;
    const struct record_host **hosts;
    size_t n_hosts, n_groups, n_endpoints = 0;
    struct record record;

    hosts = catalog_hosts(catalog, &n_hosts);
    for (size_t i = 0; i < n_hosts; i++) {
        record.kind = RECORD_HOST;
        record.host = *hosts[i];
        check_one(twin, &record);
        assert_ptr_equal(catalog_find_host(catalog, hosts[i]->name),
                         hosts[i]);
        assert_int_equal(catalog_host_is_alive(catalog, hosts[i]->name),
                         !catalog_twin_is_dead(twin, hosts[i]->name));
    }
    groups = catalog_groups(catalog, &n_groups);
    for (size_t i = 0; i < n_groups; i++) {
        const struct catalog_group *g = groups[i];

        record.kind = RECORD_GROUP;
        record.group = g->record;
        check_one(twin, &record);
        assert_ptr_equal(catalog_find_group(catalog, g->record.vni,
                                            g->record.name), g);
        for (size_t j = 0; j < g->n_endpoints; j++) {
            record.kind = RECORD_ENDPOINT;
            record.endpoint = g->endpoints[j]->record;
            check_one(twin, &record);
            assert_true(!j || strcmp(g->endpoints[j - 1]->record.name,
                                     record.endpoint.name) < 0);
        }
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(g->id, groups[j]->id);
        }
        check_slots(g, twin);
        n_endpoints += g->n_endpoints;
    }
    assert_int_equal(n_hosts + n_groups + n_endpoints, twin->n);
    assert_int_equal(catalog_count(catalog, RECORD_HOST), n_hosts);
    assert_int_equal(catalog_count(catalog, RECORD_GROUP), n_groups);
    assert_int_equal(catalog_count(catalog, RECORD_ENDPOINT), n_endpoints);
    free(hosts);
    free(groups);
}

/* Each change is true, they are in order, and there are as many as
 * there are differences between 'before' and 'after'. */
static void
check_changes(const struct catalog_txn *txn, const struct catalog_twin *before,
              const struct catalog_twin *after)
{
    const struct catalog_change *changes;
    size_t n, n_expected = 0;
    int at;

    changes = catalog_txn_changes(txn, &n);
    for (size_t i = 0; i < n; i++) {
        const struct record *old = changes[i].before, *new = changes[i].after;
        const struct record *key = old ? old : new;

        at = catalog_twin_find(before, key);
        assert_int_equal(at >= 0, old != NULL);
        assert_true(!old || catalog_twin_equal(old, &before->records[at]));
        at = catalog_twin_find(after, key);
        assert_int_equal(at >= 0, new != NULL);
        assert_true(!new || catalog_twin_equal(new, &after->records[at]));
        assert_true(!old || !new || !catalog_twin_equal(old, new));
        if (i) {
            const struct catalog_change *last = &changes[i - 1];

            assert_true(record_compare_keys(last->before ? last->before
                                            : last->after, key) < 0);
        }
    }
    for (size_t i = 0; i < before->n; i++) {
        at = catalog_twin_find(after, &before->records[i]);
        n_expected += at < 0 || !catalog_twin_equal(&after->records[at],
                                                    &before->records[i]);
    }
    for (size_t i = 0; i < after->n; i++) {
        n_expected += catalog_twin_find(before, &after->records[i]) < 0;
    }
    assert_int_equal(n, n_expected);
}

/* Each host that was there and still is, and is alive now and was not, or the
 * other way round, is listed; and no other. */
static void
check_liveness(const struct catalog_txn *txn,
               const struct catalog_twin *before,
               const struct catalog_twin *after)
{
    const struct catalog_liveness *liveness;
    size_t n, n_expected = 0;

    liveness = catalog_txn_liveness(txn, &n);
    for (size_t i = 0; i < after->n; i++) {
        const struct record *r = &after->records[i];
        bool was_dead;

        if (r->kind != RECORD_HOST) {
            continue;
        }
        was_dead = catalog_twin_is_dead(before, r->host.name);
        if (was_dead != after->dead[i]) {
            size_t j = 0;

            while (j < n && strcmp(liveness[j].host, r->host.name)) {
                j++;
            }
            assert_true(j < n);
            assert_int_equal(liveness[j].alive, was_dead);
            n_expected++;
        }
    }
    assert_int_equal(n, n_expected);
}

/* A catalog with the same contents, by way of catalog_restore_*(). */
static struct catalog *
restored(const struct catalog *catalog)
{
    struct catalog *copy = catalog_create();
    const struct catalog_group **groups;
    const struct record_host **hosts;
    struct diagnosis diag;
    size_t n;

    hosts = catalog_hosts(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(catalog_restore_host(copy, hosts[i], &diag), 0);
        assert_true(catalog_restore_host(copy, hosts[i], &diag) > 0);
    }
    free(hosts);
    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(catalog_restore_group(copy, groups[i], &diag), 0);
        assert_true(catalog_restore_group(copy, groups[i], &diag) > 0);
    }
    free(groups);
    catalog_restore_counters(copy, catalog_revision(catalog),
                             catalog_last_group_id(catalog));
    return copy;
}

/* Numbers and slots as they were, to compare with afterwards. */
struct old_group {
    struct record_group record;
    uint32_t id, epoch;
    uint16_t slots[512], previous[2][512];
    struct {
        record_name name;
        struct mac mac;
        uint16_t index;
    } endpoints[16];
    size_t n_endpoints;
};

static size_t
remember_groups(const struct catalog *catalog, struct old_group *old)
{
    const struct catalog_group **groups;
    size_t n;

    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        const struct catalog_group *g = groups[i];

        old[i] = (struct old_group) { .record = g->record, .id = g->id,
                                      .epoch = g->epoch,
                                      .n_endpoints = g->n_endpoints };
        memcpy(old[i].slots, g->slots, g->record.n_slots * 2);
        memset(old[i].previous, 0xff, sizeof old[i].previous);
        for (int age = 0; age < 2; age++) {
            if (g->previous[age]) {
                memcpy(old[i].previous[age], g->previous[age],
                       g->record.n_slots * 2);
            }
        }
        for (size_t j = 0; j < g->n_endpoints; j++) {
            strcpy(old[i].endpoints[j].name, g->endpoints[j]->record.name);
            old[i].endpoints[j].index = g->endpoints[j]->index;
            old[i].endpoints[j].mac = g->endpoints[j]->record.mac;
        }
    }
    free(groups);
    return n;
}

static bool
may_have_flows(const struct catalog_group *group, uint16_t index)
{
    for (size_t i = 0; i < group->n_endpoints; i++) {
        if (group->endpoints[i]->index == index) {
            return group->endpoints[i]->record.state != ENDPOINT_DOWN;
        }
    }
    return false;
}

/* Whoever owned a slot before comes first, whoever owned it before that comes
 * next; not those that own it now or cannot have flows, nobody twice, and two
 * at most.  Returns true if there is a difference from 'old', NULL: nobody
 * owned anything. */
static bool
check_previous(const struct old_group *old, const struct catalog_group *now)
{
    bool differs = false;

    for (size_t i = 0; i < now->record.n_slots; i++) {
        uint16_t had[3] = { GROUP_NO_ENDPOINT, GROUP_NO_ENDPOINT,
                            GROUP_NO_ENDPOINT };
        uint16_t expected[2] = { GROUP_NO_ENDPOINT, GROUP_NO_ENDPOINT };
        size_t n = 0;

        if (old) {
            had[0] = old->slots[i];
            had[1] = old->previous[0][i];
            had[2] = old->previous[1][i];
        }
        for (int j = 0; j < 3; j++) {
            if (n < 2 && had[j] != now->slots[i]
                && may_have_flows(now, had[j])
                && (!n || expected[0] != had[j])) {
                expected[n++] = had[j];
            }
        }
        for (int age = 0; age < 2; age++) {
            assert_int_equal(now->previous[age] ? now->previous[age][i]
                             : GROUP_NO_ENDPOINT, expected[age]);
            differs |= old && expected[age] != old->previous[age][i];
        }
    }
    return differs;
}

/* Keeps indexes, and new ones are none of the old ones. */
static void
check_indexes(const struct old_group *old, const struct catalog_group *now)
{
    for (size_t i = 0; i < now->n_endpoints; i++) {
        const struct catalog_endpoint *e = now->endpoints[i];

        for (size_t j = 0; j < old->n_endpoints; j++) {
            assert_int_equal(!strcmp(e->record.name, old->endpoints[j].name)
                             && !memcmp(&e->record.mac,
                                        &old->endpoints[j].mac, 6),
                             e->index == old->endpoints[j].index);
        }
    }
}

static void
check_numbers(const struct catalog_txn *txn, const struct old_group *old,
              size_t n_old, const struct catalog *catalog,
              uint32_t last_group_id)
{
    const struct catalog_group **groups;
    size_t n, i;

    groups = catalog_groups(catalog, &n);
    for (size_t j = 0; j < n; j++) {
        const struct catalog_group *g = groups[j];
        const struct catalog_group *before = catalog_txn_before(txn, g);

        for (i = 0; i < n_old && (old[i].record.vni != g->record.vni
                                  || strcmp(old[i].record.name,
                                            g->record.name)); i++) {
            continue;
        }
        if (i < n_old) {
            check_indexes(&old[i], g);
        }
        if (i < n_old && record_equal_fixed(&old[i].record, &g->record)) {
            bool moved = memcmp(old[i].slots, g->slots,
                                g->record.n_slots * 2);

            moved |= check_previous(&old[i], g);
            assert_int_equal(g->id, old[i].id);
            assert_int_equal(g->epoch, old[i].epoch + moved);
            if (before) {
                assert_memory_equal(before->slots, old[i].slots,
                                    g->record.n_slots * 2);
                assert_int_equal(before->epoch, old[i].epoch);
            }
        } else {
            check_previous(NULL, g);
            assert_null(before);
            assert_true(g->id > last_group_id);
            assert_int_equal(g->epoch, g->slots[0] != GROUP_NO_ENDPOINT);
        }
    }
    free(groups);
}

/* The groups that are said to be changed have changed, and no others. */
static void
check_changed_groups(const struct catalog_txn *txn,
                     const struct catalog *catalog)
{
    size_t n_liveness;
    const struct catalog_group *const *groups;
    const struct catalog_change *changes;
    size_t n, n_changes, n_expected = 0;
    const struct catalog_group *last = NULL;

    groups = catalog_txn_groups(txn, &n);
    changes = catalog_txn_changes(txn, &n_changes);
    for (size_t i = 0; i < n; i++) {
        bool found = false;

        for (size_t j = 0; j < n_changes; j++) {
            const struct record *r = (changes[j].after ? changes[j].after
                                      : changes[j].before);

            found |= (r->kind == RECORD_GROUP
                      ? (r->group.vni == groups[i]->record.vni
                         && !strcmp(r->group.name, groups[i]->record.name))
                      : r->kind == RECORD_ENDPOINT
                      && r->endpoint.vni == groups[i]->record.vni
                      && !strcmp(r->endpoint.group, groups[i]->record.name));
        }
        catalog_txn_liveness(txn, &n_liveness);
        assert_true(found || (n_liveness
                              && catalog_txn_before(txn, groups[i])->epoch
                                 != groups[i]->epoch));
    }
    /* Changes of one group's endpoints follow each other. */
    for (size_t j = 0; j < n_changes; j++) {
        const struct record *r = (changes[j].after ? changes[j].after
                                  : changes[j].before);
        const struct catalog_group *g
            = (r->kind == RECORD_GROUP
               ? catalog_find_group(catalog, r->group.vni, r->group.name)
               : r->kind == RECORD_ENDPOINT
               ? catalog_find_group(catalog, r->endpoint.vni,
                                    r->endpoint.group) : NULL);
        bool listed = false;

        for (size_t i = 0; g && i < n; i++) {
            listed |= groups[i] == g;
        }
        assert_true(!g || listed);
        n_expected += g && g != last && r->kind == RECORD_ENDPOINT;
        last = r->kind == RECORD_ENDPOINT ? g : last;
    }
    assert_true(n >= n_expected);
}

static void
abort_txn(struct catalog_txn *txn, const struct catalog *catalog,
          const char *dump)
{
    char *now;

    catalog_abort(txn);
    now = catalog_text_dump(catalog);
    assert_string_equal(now, dump);
    free(now);
}

struct counts {
    int n_commits, n_aborts, n_refusals, n_clashes, n_liveness;
};

static void
one_transaction(struct catalog *catalog, struct catalog_twin *twin,
                struct counts *counts)
{
    static struct old_group old[16];
    uint32_t last_group_id = catalog_last_group_id(catalog);
    uint64_t revision = catalog_revision(catalog);
    char *dump = catalog_text_dump(catalog);
    size_t n_old = remember_groups(catalog, old);
    struct catalog_txn *txn = catalog_begin(catalog);
    int n_ops = random_range(4) ? 1 + random_range(5) : 40;
    bool prepare = random_range(8);
    bool fails = false;
    size_t n, n_liveness;
    int op = 0;

    twin_before = *twin;
    while (n_ops-- && !fails) {
        bool refused;

        catalog_set_op(txn, op++);
        flip_liveness(txn, twin);
        refused = do_something(txn, twin);
        counts->n_refusals += refused;
        fails = refused && !random_range(20);
    }
    if (prepare && !catalog_twin_is_unique(twin)) {
        struct diagnosis diag = { .op = -1 };

        assert_int_equal(catalog_prepare(txn, &diag), EEXIST);
        assert_int_equal(diag.code, DIAG_EXISTS);
        assert_in_range(diag.op, 0, op - 1);
        prepare = false;
        counts->n_clashes++;
    } else if (prepare) {
        assert_int_equal(catalog_prepare(txn, NULL), 0);
        check_contents(catalog, twin);
        check_changes(txn, &twin_before, twin);
        check_liveness(txn, &twin_before, twin);
        check_changed_groups(txn, catalog);
        check_numbers(txn, old, n_old, catalog, last_group_id);
    }
    if (!prepare || fails || !random_range(4)) {
        *twin = twin_before;
        abort_txn(txn, catalog, dump);
        counts->n_aborts++;
    } else {
        catalog_txn_changes(txn, &n);
        catalog_txn_liveness(txn, &n_liveness);
        revision += n || n_liveness;
        assert_int_equal(catalog_txn_revision(txn), revision);
        catalog_commit(txn);
        assert_int_equal(catalog_revision(catalog), revision);
        counts->n_commits += n > 0;
        counts->n_liveness += n_liveness;
    }
    check_contents(catalog, twin);
    free(dump);
}

/* Whether host 'name' has an endpoint that is up. */
static bool
is_noticed(const struct catalog_twin *twin, const char *name)
{
    for (size_t i = 0; i < twin->n; i++) {
        const struct record *r = &twin->records[i];

        if (r->kind == RECORD_ENDPOINT && !strcmp(r->endpoint.host, name)
            && r->endpoint.state == ENDPOINT_UP) {
            return true;
        }
    }
    return false;
}

/* Puts a copy in the place of 'catalog'.  That a host is dead is known from
 * its endpoints without slots, if it has any. */
static struct catalog *
exchange(struct catalog *catalog, struct catalog_twin *twin)
{
    struct catalog *copy = restored(catalog);
    struct catalog_txn *txn = catalog_begin(catalog);
    char *a, *b;

    catalog_restore_liveness(copy);
    for (size_t i = 0; i < twin->n; i++) {
        const struct record *r = &twin->records[i];

        if (r->kind == RECORD_HOST && !is_noticed(twin, r->host.name)) {
            catalog_set_alive(txn, r->host.name, true);
            twin->dead[i] = false;
        }
    }
    a = catalog_text_dump(catalog);
    b = catalog_text_dump(copy);
    assert_string_equal(a, b);
    free(a);
    free(b);
    catalog_abort(txn);
    catalog_destroy(catalog);
    return copy;
}

static void
random_transactions_agree_with_the_twin(void **state OVS_UNUSED)
{
    static struct catalog_twin twin;
    struct catalog *catalog = catalog_create();
    struct counts counts = { 0, 0, 0, 0, 0 };

    for (int i = 0; i < 6000; i++) {
        one_transaction(catalog, &twin, &counts);
        if (!(i % 16)) {
            catalog = exchange(catalog, &twin);
        }
        if (!(i % 1000)) {
            catalog_destroy(catalog);
            catalog = catalog_create();
            twin.n = 0;
        }
    }
    /* All of it has happened. */
    assert_true(counts.n_commits > 1000);
    assert_true(counts.n_aborts > 1000);
    assert_true(counts.n_refusals > 1000);
    assert_true(counts.n_clashes > 300);
    assert_true(counts.n_liveness > 300);
    catalog_destroy(catalog);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_transactions_agree_with_the_twin),
    };

    random_set_seed(1);
    return cmocka_run_group_tests_name("catalog-random", tests, NULL, NULL);
}
