/* What mapd sends is what a host understands: a replica that follows the
 * updates of random transactions equals one made from a fresh snapshot, and
 * both equal the catalog. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mapping/catalog/catalog.h"
#include "mapping/replica/replica.h"
#include "mapping/mapd/subscription.h"
#include "mapping/vni-set.h"
#include "openvswitch/json.h"
#include "util.h"

/* Of the 'n' VNIs at 'vnis'; of all if that is NULL. */
static struct subscription_view *
get_view(struct hmap *views, const uint32_t *vnis, size_t n)
{
    struct subscription_view *view;
    struct vni_set set = VNI_SET_EMPTY;

    if (!vnis) {
        vni_set_fill(&set);
    } else {
        for (size_t i = 0; i < n; i++) {
            vni_set_add(&set, vnis[i], vnis[i]);
        }
        vni_set_normalize(&set);
    }
    view = subscription_view_get(views, &set);
    vni_set_destroy(&set);
    return view;
}

/* The time, for both sides. */
static long long int now = 1;

static const struct hash_key key = { { 0x0123456789abcdefULL, 42 } };

/* A subscriber and its copy. */
struct follower {
    struct subscription_view *view;
    struct replica replica;
    const uint32_t *vnis;
    size_t n;
};

/* As a host sees it: printed and parsed again. */
static struct json *
over_the_wire(struct json *json)
{
    char *text = json_to_string(json, 0);
    struct json *parsed = json_from_string(text);

    assert_int_equal(JSON_OBJECT, parsed->type);
    json_destroy(json);
    free(text);
    return parsed;
}

static void
load_snapshot(struct replica *replica, struct subscription_view *view,
              const struct catalog *catalog)
{
    struct json *json = over_the_wire(subscription_snapshot(view, catalog,
                                                            &key, now));
    struct diagnosis diag = { .message = "" };

    if (replica_load_snapshot(replica, json, now, &diag)) {
        fail_msg("snapshot: %s", diag.message);
    }
    json_destroy(json);
}

static void
apply_update(struct follower *f, const struct subscription_update *update)
{
    struct json *json = over_the_wire(subscription_update_encode(update,
                                                                 f->view));
    struct diagnosis diag = { .message = "" };

    if (replica_apply_update(&f->replica, json, now, &diag)) {
        char *text = json_to_string(json, 0);

        fail_msg("update: %s: %s", diag.message, text);
    }
    json_destroy(json);
}

/* How many plain records of each kind there were at most. */
static size_t most[N_RECORD_KINDS];

static bool
is_followed(const struct follower *f, uint32_t vni)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->vnis[i] == vni) {
            return true;
        }
    }
    return !f->vnis;
}

static void
assert_same_previous(const struct catalog_group *a,
                     const struct replica_group *b)
{
    for (size_t i = 0; i < 2 * a->record.n_slots; i++) {
        assert_int_equal(a->previous[i % 2] ? a->previous[i % 2][i / 2]
                         : GROUP_NO_ENDPOINT,
                         b->previous ? b->previous[i] : GROUP_NO_ENDPOINT);
    }
}

/* Both have one clock, and no message is late. */
static void
assert_same_time(const struct catalog *catalog,
                 const struct catalog_endpoint *a,
                 const struct replica_endpoint *b)
{
    if (catalog_endpoint_serves(catalog, a)) {
        assert_int_equal(a->up_since, b->up_at_ms);
    }
}

static void
assert_same_group(const struct catalog *catalog, const struct catalog_group *a,
                  const struct replica_group *b)
{
    struct record ra = { .kind = RECORD_GROUP, .group = a->record };
    struct record rb = { .kind = RECORD_GROUP, .group = b->record };

    assert_true(record_equal(&ra, &rb));
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->epoch, b->epoch);
    assert_memory_equal(a->slots, b->slots,
                        a->record.n_slots * sizeof *a->slots);
    assert_int_equal(a->n_endpoints, b->n_endpoints);
    for (size_t i = 0; i < a->n_endpoints; i++) {
        struct record ea = { .kind = RECORD_ENDPOINT,
                             .endpoint = a->endpoints[i]->record };
        struct record eb = { .kind = RECORD_ENDPOINT };
        size_t j = 0;

        while (j < b->n_endpoints
               && b->endpoints[j].index != a->endpoints[i]->index) {
            j++;
        }
        assert_true(j < b->n_endpoints);
        eb.endpoint = b->endpoints[j].record;
        assert_true(record_equal(&ea, &eb));
        assert_same_time(catalog, a->endpoints[i], &b->endpoints[j]);
    }
    assert_same_previous(a, b);
}

/* A follower has the plain records that are in its VNIs, or in none. */
static void
assert_same_records(const struct follower *f, const struct catalog *catalog)
{
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        size_t n, n_followed = 0, n_in_3 = 0, n_seen_in_3 = 0;
        struct record *records = catalog_records(catalog, kind, &n);
        const struct replica_record *r;

        for (size_t i = 0; i < n; i++) {
            uint32_t vni = record_vni(&records[i]);

            r = replica_find_record(&f->replica, &records[i]);
            if (vni && !is_followed(f, vni)) {
                assert_null(r);
                continue;
            }
            assert_non_null(r);
            assert_true(record_equal(&r->record, &records[i]));
            n_followed++;
            n_in_3 += vni == 3;
        }
        free(records);
        REPLICA_FOR_EACH_RECORD (r, kind, 3, &f->replica) {
            assert_int_equal(record_vni(&r->record), 3);
            n_seen_in_3++;
        }
        assert_int_equal(n_seen_in_3, n_in_3);
        REPLICA_FOR_EACH_RECORD (r, kind, 0, &f->replica) {
            n_followed--;
        }
        assert_int_equal(n_followed, 0);
        most[kind] = MAX(most[kind], n);
    }
}

static void
assert_in_step(const struct follower *f, const struct catalog *catalog)
{
    const struct catalog_group **groups;
    const struct record_host **hosts;
    size_t n, n_followed = 0;

    assert_int_equal(catalog_revision(catalog), f->replica.revision);
    assert_memory_equal(&key, &f->replica.key, sizeof key);
    hosts = catalog_hosts(catalog, &n);
    assert_int_equal(n, hmap_count(&f->replica.hosts));
    for (size_t i = 0; i < n; i++) {
        const struct replica_host *host = replica_find_host(&f->replica,
                                                            hosts[i]->name);
        struct record a = { .kind = RECORD_HOST, .host = *hosts[i] };
        struct record b = { .kind = RECORD_HOST };

        assert_non_null(host);
        b.host = host->record;
        assert_true(record_equal(&a, &b));
        assert_int_equal(catalog_host_is_alive(catalog, hosts[i]->name),
                         host->alive);
    }
    free(hosts);

    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        if (is_followed(f, groups[i]->record.vni)) {
            const struct replica_group *group
                = replica_find_group(&f->replica, groups[i]->record.vni,
                                     groups[i]->record.name);

            assert_non_null(group);
            assert_same_group(catalog, groups[i], group);
            n_followed++;
        }
    }
    free(groups);
    assert_int_equal(n_followed, hmap_count(&f->replica.groups));
    assert_same_records(f, catalog);
}

/* A record of a plain kind, as text that the caller frees. */
static char *
random_plain(int vni, int n, int h)
{
    switch (rand() % 5) {
    case 0:
        return xasprintf("{\"kind\":\"workload\",\"vni\":%d,\"name\":\"w%d\""
                         ",\"host\":\"h%d\",\"address\":\"10.0.1.%d\","
                         "\"mac\":\"02:00:00:00:01:0%d\"}", vni, n, h,
                         1 + rand() % 99, n);
    case 1:
        return xasprintf("{\"kind\":\"pool\",\"vni\":%d,\"name\":\"p%d\","
                         "\"first\":\"10.0.2.%d0\",\"last\":\"10.0.2.%d9\"}",
                         rand() % 4, n, n + 1, n + 1);
    case 2:
        return xasprintf("{\"kind\":\"lease\",\"vni\":%d,\"pool\":\"p%d\","
                         "\"address\":\"10.0.2.%d\",\"client\":\"c%d\"}",
                         rand() % 4, n, 10 * n + 10 + rand() % 3, rand() % 9);
    case 3:
        return xasprintf("{\"kind\":\"gateway\",\"name\":\"g%d\","
                         "\"node1\":\"h%d\",\"node2\":\"h%d\"}", n % 3, h,
                         h % 5 + 1);
    default:
        return xasprintf("{\"kind\":\"vip\",\"vni\":%d,\"name\":\"v%d\","
                         "\"gateway\":\"g%d\",\"address\":\"10.0.3.%d\"}",
                         rand() % 4, n, rand() % 3, rand() % 99);
    }
}

/* One random operation; false if it was refused. */
static bool
random_op(struct catalog_txn *txn)
{
    int vni = 1 + rand() % 3, e = rand() % 8, h = 1 + rand() % 5;
    const char *op = "add";
    struct diagnosis diag;
    struct record record;
    struct json *json;
    char *text;
    int error;

    switch (rand() % 14) {
    case 0:
    case 1:
    case 2:
        text = xasprintf("{\"kind\":\"endpoint\",\"vni\":%d,\"group\":\"g\","
                         "\"name\":\"e%d\",\"host\":\"h%d\",\"weight\":%d,"
                         "\"mac\":\"02:00:00:00:00:0%d\"}", vni, e, h,
                         1 + rand() % 999, e);
        break;
    case 3:
        op = "set";
        text = xasprintf("{\"kind\":\"endpoint\",\"vni\":%d,\"group\":\"g\","
                         "\"name\":\"e%d\",\"state\":\"%s\"}", vni, e,
                         rand() % 2 ? "up" : "down");
        break;
    case 4:
        op = "remove";
        text = xasprintf("{\"kind\":\"endpoint\",\"vni\":%d,\"group\":\"g\","
                         "\"name\":\"e%d\"}", vni, e);
        break;
    case 5:
        op = rand() % 3 ? "add" : "remove";
        text = xasprintf("{\"kind\":\"group\",\"vni\":%d,\"name\":\"%s\","
                         "\"address\":\"10.0.0.1\",\"slots\":%d}", vni,
                         rand() % 2 ? "g" : "g2", 256 << rand() % 3);
        break;
    case 6:
        op = "set";
        text = xasprintf("{\"kind\":\"group\",\"vni\":%d,\"name\":\"g\","
                         "\"affinity\":\"%s\"}", vni,
                         rand() % 2 ? "flow" : "source");
        break;
    case 8:
    case 9:
    case 10:
    case 11:
    case 12:
        op = rand() % 3 ? "add" : rand() % 2 ? "remove" : "set";
        text = random_plain(vni, e, h);
        break;
    default:
        op = rand() % 4 ? "add" : "remove";
        text = xasprintf("{\"kind\":\"host\",\"name\":\"h%d\",\"vtep\":"
                         "\"192.0.2.%d\"}", h, h);
        break;
    }

    json = json_from_string(text);
    free(text);
    if (!strcmp(op, "set")) {
        error = catalog_set(txn, json, &diag);
    } else {
        error = record_from_json(json, &record, &diag);
        if (!error && !strcmp(op, "add")) {
            error = catalog_add(txn, &record, false, &diag);
        } else if (!error) {
            error = catalog_remove(txn, &record, false, true, &diag);
        }
    }
    json_destroy(json);
    return !error;
}

static void
random_death(const struct catalog *catalog, struct catalog_txn *txn)
{
    char name[] = { 'h', '1' + rand() % 5, '\0' };

    if (catalog_find_host(catalog, name)) {
        catalog_set_alive(txn, name, !catalog_host_is_alive(catalog, name));
    }
}

/* Commits a transaction of up to 4 operations and tells 'followers'; false if
 * it was refused or changed nothing. */
static bool
random_transaction(struct catalog *catalog, struct follower *followers,
                   size_t n_followers)
{
    struct catalog_txn *txn = catalog_begin(catalog);
    struct subscription_update *update;

    now += rand() % 1000;
    catalog_set_time(txn, now);
    if (!(rand() % 4)) {
        random_death(catalog, txn);
    }

    for (int i = rand() % 5 / 3; i >= 0; i--) {
        if (!random_op(txn)) {
            catalog_abort(txn);
            return false;
        }
    }
    if (catalog_prepare(txn, NULL)) {
        catalog_abort(txn);
        return false;
    }
    if (catalog_txn_revision(txn) == catalog_revision(catalog)) {
        catalog_abort(txn);
        return false;
    }
    update = subscription_update_create(catalog, txn, now);
    for (size_t i = 0; i < n_followers; i++) {
        apply_update(&followers[i], update);
    }
    subscription_update_destroy(update);
    catalog_commit(txn);
    return true;
}

static void
replicas_follow_random_transactions(void **state OVS_UNUSED)
{
    static const uint32_t some[] = { 3, 1, 3 };
    struct follower followers[] = {
        { .vnis = NULL }, { .vnis = some, .n = ARRAY_SIZE(some) },
        { .vnis = some, .n = 0 },
    };
    struct hmap views = HMAP_INITIALIZER(&views);
    struct catalog *catalog = catalog_create();
    int n_committed = 0;

    for (size_t i = 0; i < ARRAY_SIZE(followers); i++) {
        struct follower *f = &followers[i];

        f->view = get_view(&views, f->vnis, f->n);
        replica_init(&f->replica);
        load_snapshot(&f->replica, f->view, catalog);
    }

    srand(3);
    for (int i = 0; i < 6000; i++) {
        if (random_transaction(catalog, followers, ARRAY_SIZE(followers))) {
            struct follower *f = &followers[rand() % ARRAY_SIZE(followers)];

            n_committed++;
            assert_in_step(&followers[n_committed % ARRAY_SIZE(followers)],
                           catalog);
            if (!(n_committed % 50)) {
                load_snapshot(&f->replica, f->view, catalog);
                assert_in_step(f, catalog);
            }
        }
    }
    assert_true(n_committed > 500);
    for (int kind = RECORD_FIRST_PLAIN; kind < N_RECORD_KINDS; kind++) {
        assert_true(most[kind] > 1);
    }

    for (size_t i = 0; i < ARRAY_SIZE(followers); i++) {
        assert_in_step(&followers[i], catalog);
        replica_destroy(&followers[i].replica);
        subscription_view_put(&views, followers[i].view);
    }
    assert_int_equal(0, hmap_count(&views));
    hmap_destroy(&views);
    catalog_destroy(catalog);
}

static void
equal_filters_share_a_view_and_its_text(void **state OVS_UNUSED)
{
    static const uint32_t a[] = { 9, 4, 4 }, b[] = { 4, 9 }, c[] = { 4 };
    struct hmap views = HMAP_INITIALIZER(&views);
    struct catalog *catalog = catalog_create();
    struct subscription_view *va = get_view(&views, a, 3);
    struct subscription_view *vb = get_view(&views, b, 2);
    struct subscription_view *vc = get_view(&views, c, 1);
    struct subscription_view *all = get_view(&views, NULL, 0);
    struct json *s1 = subscription_snapshot(va, catalog, &key, 1);
    struct json *s2 = subscription_snapshot(vb, catalog, &key, 1);

    assert_ptr_equal(va, vb);
    assert_ptr_not_equal(va, vc);
    assert_ptr_not_equal(va, all);
    assert_ptr_equal(s1, s2);
    json_destroy(s1);
    json_destroy(s2);
    subscription_view_put(&views, va);
    subscription_view_put(&views, vb);
    subscription_view_put(&views, vc);
    subscription_view_put(&views, all);
    assert_int_equal(0, hmap_count(&views));
    hmap_destroy(&views);
    catalog_destroy(catalog);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replicas_follow_random_transactions),
        cmocka_unit_test(equal_filters_share_a_view_and_its_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
