/* In which VNIs hosts are, change by change, against a look at all records. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/catalog/catalog.h"
#include "mapping/mapd/stations.h"
#include "mapping/vni-set.h"
#include "openvswitch/json.h"
#include "random.h"
#include "sset.h"
#include "tests/unit/catalog-text.h"
#include "util.h"

enum { HOSTS = 4, VNIS = 5, NAMES = 6 };

/* Which host is in which VNI. */
struct twin {
    bool in[HOSTS][VNIS];
};

static void
look_at_all(const struct catalog *catalog, struct twin *twin)
{
    const struct catalog_group **groups;
    struct record *workloads;
    size_t n;

    memset(twin, 0, sizeof *twin);
    groups = catalog_groups(catalog, &n);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < groups[i]->n_endpoints; j++) {
            const struct record_endpoint *e = &groups[i]->endpoints[j]->record;

            if (!e->iface[0]) {
                twin->in[e->host[1] - '1'][e->vni - 1] = true;
            }
        }
    }
    free(groups);
    workloads = catalog_records(catalog, RECORD_WORKLOAD, &n);
    for (size_t i = 0; i < n; i++) {
        const struct record_workload *w = &workloads[i].workload;

        twin->in[w->host[1] - '1'][w->vni - 1] = true;
    }
    free(workloads);
}

static void
check(const struct stations *stations, const struct twin *twin)
{
    for (int h = 0; h < HOSTS; h++) {
        char name[] = { 'h', '1' + h, '\0' };
        struct vni_set set = VNI_SET_EMPTY;

        stations_add_vnis(stations, name, &set);
        vni_set_normalize(&set);
        for (int v = 0; v < VNIS; v++) {
            assert_int_equal(vni_set_has(&set, v + 1), twin->in[h][v]);
            assert_int_equal(stations_has_vni(stations, name, v + 1),
                             twin->in[h][v]);
        }
        vni_set_destroy(&set);
    }
}

static struct json *
random_record(bool *add)
{
    unsigned int vni = 1 + random_range(VNIS), name = random_range(NAMES);
    unsigned int host = 1 + random_range(HOSTS);
    const char *iface = random_range(3) ? "" : "port";

    *add = random_range(2);
    return (random_range(2)
            ? catalog_text_json("{'kind':'workload','vni':%u,'name':'w%u',"
                                "'host':'h%u','mac':'02:00:00:00:01:%02u',"
                                "'address':'10.0.1.%u'}", vni, name, host,
                                name, name + 1)
            : catalog_text_json("{'kind':'endpoint','vni':%u,'group':'g',"
                                "'name':'e%u','host':'h%u','iface':'%s',"
                                "'mac':'02:00:00:00:00:%02u'}", vni, name,
                                host, iface, name));
}

/* Adds, moves or removes one. */
static void
change(struct catalog_txn *txn)
{
    struct record record;
    bool add;
    struct json *json = random_record(&add);

    assert_int_equal(record_from_json(json, &record, NULL), 0);
    if (!add) {
        catalog_remove(txn, &record, true, false, NULL);
    } else if (catalog_add(txn, &record, false, NULL)) {
        catalog_set(txn, json, NULL);
    }
    json_destroy(json);
}

/* Hosts of whom 'before' and 'after' differ are among 'names'. */
static void
check_names(const struct twin *before, const struct twin *after,
            const struct sset *names)
{
    for (int h = 0; h < HOSTS; h++) {
        char name[] = { 'h', '1' + h, '\0' };

        if (memcmp(before->in[h], after->in[h], sizeof before->in[h])) {
            assert_true(sset_contains(names, name));
        }
    }
}

static struct catalog *
make_catalog(void)
{
    struct catalog *catalog = catalog_create();
    struct catalog_txn *txn = catalog_begin(catalog);
    struct record record;

    for (int h = 1; h <= HOSTS; h++) {
        record = catalog_text_record("{'kind':'host','name':'h%d',"
                                     "'vtep':'192.0.2.%d'}", h, h);
        assert_int_equal(catalog_add(txn, &record, false, NULL), 0);
    }
    for (int v = 1; v <= VNIS; v++) {
        record = catalog_text_record("{'kind':'group','vni':%d,'name':'g',"
                                     "'address':'10.0.0.1','slots':256}", v);
        assert_int_equal(catalog_add(txn, &record, false, NULL), 0);
    }
    assert_int_equal(catalog_prepare(txn, NULL), 0);
    catalog_commit(txn);
    return catalog;
}

static void
change_by_change_it_is_the_same(void **state OVS_UNUSED)
{
    struct catalog *catalog = make_catalog();
    struct stations stations, fresh;
    struct twin before, after;

    stations_init(&stations, catalog);
    look_at_all(catalog, &before);
    for (int i = 0; i < 3000; i++) {
        struct sset names = SSET_INITIALIZER(&names);
        struct catalog_txn *txn = catalog_begin(catalog);
        const struct catalog_change *changes;
        size_t n;

        for (int j = random_range(3); j >= 0; j--) {
            change(txn);
        }
        if (catalog_prepare(txn, NULL)) {
            catalog_abort(txn);
        } else {
            changes = catalog_txn_changes(txn, &n);
            stations_change(&stations, changes, n, &names);
            catalog_commit(txn);
        }
        look_at_all(catalog, &after);
        check(&stations, &after);
        check_names(&before, &after, &names);
        before = after;
        sset_destroy(&names);
    }
    stations_init(&fresh, catalog);
    check(&fresh, &before);
    stations_destroy(&fresh);
    stations_destroy(&stations);
    catalog_destroy(catalog);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(change_by_change_it_is_the_same),
    };

    random_set_seed(2);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
