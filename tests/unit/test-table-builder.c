/* Tables built from a replica that is read from JSON text, with a resolver
 * that answers from the address: what the table leads to is compared with the
 * replica's own records. */

#include <config.h>

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "anycast/anycast-table.h"
#include "anycast/load.h"
#include "mapping/replica/replica.h"
#include "openvswitch/dynamic-string.h"
#include "openvswitch/json.h"
#include "util.h"
#include "vswitchd-ext/resolver.h"
#include "vswitchd-ext/table-builder.h"

#define VTEP(N) (0xc6336400u + (N)) /* 198.51.100.N. */

enum {
    OWN_VTEP   = 0xcb007101,    /* 203.0.113.1. */
    IFINDEX    = 7,
    UNRESOLVED = 13,            /* No way to this host. */
    MAX_HOSTS  = 100,           /* In a round. */
    MTU        = 1500,
};

/* The test double of the resolver. */
static struct {
    struct inet_addr vtep;
    int ifindex;
    unsigned int n_lookups;
} asked;

/* Whether it has given up who has no next hop; and that is all hosts. */
static bool gave_up, all_unresolved;

static bool
is_unresolved(uint32_t vtep)
{
    return all_unresolved || vtep == VTEP(UNRESOLVED);
}

bool
resolver_gave_up(const struct resolver *r OVS_UNUSED, struct inet_addr address)
{
    return gave_up && is_unresolved(inet_addr_to4(address));
}

void
resolver_set_origin(struct resolver *r OVS_UNUSED, struct inet_addr vtep,
                    int ifindex)
{
    asked.vtep = vtep;
    asked.ifindex = ifindex;
}

bool
resolver_lookup(struct resolver *r OVS_UNUSED, struct inet_addr address,
                struct resolver_hop *hop)
{
    uint32_t vtep = inet_addr_to4(address);

    asked.n_lookups++;
    if (is_unresolved(vtep)) {
        return false;
    }
    *hop = (struct resolver_hop) {
        .src_mac = { { 2, 0, 0, 0, 0, 1 } },
        .dst_mac = { { 2, 0, vtep >> 24, vtep >> 16, vtep >> 8, vtep } },
        .mtu = MTU,
    };
    return true;
}

void
resolver_forget_unused(struct resolver *r OVS_UNUSED)
{
}

/* Hosts h<first>...: one group 'web' with an endpoint on each, all slots with
 * the first of them, and a group 'same' on a host of its own that never
 * changes. */
static void
load_with_dead(struct replica *replica, int revision, int first, int n,
               const char *dead)
{
    struct ds ds = DS_EMPTY_INITIALIZER;
    struct diagnosis diag;
    struct json *json;

    ds_put_format(&ds, "{\"revision\":%d,\"hash_key\":"
                  "\"00112233445566778899aabbccddeeff\",\"hosts\":["
                  "{\"kind\":\"host\",\"name\":\"anchor\","
                  "\"vtep\":\"198.51.99.9\"}", revision);
    for (int i = first; i < first + n; i++) {
        ds_put_format(&ds, ",{\"kind\":\"host\",\"name\":\"h%d\",\"vtep\":"
                      "\"198.51.%d.%d\"}", i, 100 + i / 256, i % 256);
    }
    ds_put_format(&ds, "],\"dead\":[%s],\"groups\":[{\"record\":"
                  "{\"kind\":\"group\","
                  "\"vni\":5001,\"name\":\"same\",\"address\":\"10.1.0.101\","
                  "\"port\":80,\"slots\":256},\"id\":4,\"epoch\":0,"
                  "\"slots\":\"AIACAA==\",\"previous\":[\"\",\"\"],"
                  "\"endpoints\":[{\"record\":"
                  "{\"kind\":\"endpoint\",\"vni\":5001,"
                  "\"group\":\"same\",\"name\":\"w\","
                  "\"host\":\"anchor\",\"mac\":"
                  "\"02:00:00:00:00:01\"},\"index\":0,"
                  "\"up_ms\":0}]},"
                  "{\"record\":{\"kind\":\"group\",\"vni\":5001,"
                  "\"name\":\"web\",\"address\":\"10.1.0.100\",\"port\":80,"
                  "\"slots\":256},\"id\":3,\"epoch\":%d,\"slots\":"
                  "\"AIACAA==\",\"previous\":[\"\",\"\"],\"endpoints\":[",
                  dead, revision);
    for (int i = first; i < first + n; i++) {
        ds_put_format(&ds, "%s{\"record\":{\"kind\":\"endpoint\","
                      "\"vni\":5001,\"group\":\"web\",\"name\":\"w%d\","
                      "\"host\":\"h%d\",\"mac\":\"02:00:00:00:%02x:%02x\"},"
                      "\"index\":%d,\"up_ms\":0}", i > first ? "," : "",
                      i, i, i / 256, i % 256, i - first);
    }
    ds_put_cstr(&ds, "]}]}");

    json = json_from_string(ds_cstr(&ds));
    if (replica_load_snapshot(replica, json, 0, &diag)) {
        fail_msg("%s", diag.message);
    }
    json_destroy(json);
    ds_destroy(&ds);
}

static void
load(struct replica *replica, int revision, int first, int n)
{
    load_with_dead(replica, revision, first, n, "");
}

static const struct group *
find(const struct anycast_table *table, uint32_t address)
{
    const struct group *group
        = anycast_table_lookup(table, 5001, inet_addr_from4(address), 6, 80);

    assert_non_null(group);
    return group;
}

/* Each endpoint of the group leads to its record's host and to nowhere else.
 */
static void
check_group(const struct anycast_table *table, const struct replica *replica,
            const char *name, uint32_t address, const char *self)
{
    const struct replica_group *rg = replica_find_group(replica, 5001, name);
    const struct group *group = find(table, address);

    assert_int_equal(group->n_endpoints, rg->n_endpoints);
    for (size_t i = 0; i < rg->n_endpoints; i++) {
        const struct record_endpoint *record = &rg->endpoints[i].record;
        const struct group_endpoint *e = &group->endpoints[i];
        const struct replica_host *host = replica_find_host(replica,
                                                            record->host);
        const struct tunnel *tunnel;
        uint8_t addresses[8];

        assert_memory_equal(&e->mac, &record->mac, sizeof e->mac);
        assert_int_equal(e->local, !strcmp(record->host, self));
        assert_true(e->host < table->n_hosts);
        tunnel = &table->tunnels[e->host];
        if (e->local
            || inet_addr_to4(host->record.vtep) == VTEP(UNRESOLVED)) {
            assert_int_equal(tunnel->type, TUNNEL_NONE);
            continue;
        }
        assert_int_equal(tunnel->type, TUNNEL_GENEVE);
        for (int j = 0; j < 4; j++) {
            addresses[j] = OWN_VTEP >> (24 - 8 * j);
            addresses[4 + j] = inet_addr_to4(host->record.vtep)
                               >> (24 - 8 * j);
        }
        /* Source and destination in the outer IPv4 header. */
        assert_memory_equal(&tunnel->header[14 + 12], addresses, 8);
        assert_memory_equal(&tunnel->header[2], addresses + 4, 4);
    }
}

static void
check_table(const struct anycast_table *table, const struct replica *replica,
            const char *self)
{
    check_group(table, replica, "web", 0x0a010064, self);
    check_group(table, replica, "same", 0x0a010065, self);
}

static struct anycast_table *
build(struct table_builder *b, const struct replica *replica,
      const char *self)
{
    struct anycast_table *table;

    memset(&asked, 0, sizeof asked);
    table = table_builder_build(b, replica, NULL, self,
                                inet_addr_from4(OWN_VTEP), IFINDEX);
    assert_int_equal(inet_addr_to4(asked.vtep), OWN_VTEP);
    assert_int_equal(asked.ifindex, IFINDEX);
    return table;
}

static void
test_endpoints_lead_to_their_hosts(void **state OVS_UNUSED)
{
    struct table_builder *b = table_builder_create();
    struct anycast_table *table;
    struct replica replica;

    replica_init(&replica);
    load(&replica, 1, 10, 6);
    table = build(b, &replica, "h11");
    check_table(table, &replica, "h11");
    /* All but this one, twice each; and one cannot be reached. */
    assert_int_equal(asked.n_lookups, 2 * 6);
    assert_int_equal(table_builder_n_unresolved(b), 1);
    table_builder_published(b);
    anycast_table_destroy(table);
    table_builder_destroy(b);
    replica_destroy(&replica);
}

static void
test_only_what_changed_is_built_anew(void **state OVS_UNUSED)
{
    struct table_builder *b = table_builder_create();
    const struct group *same, *web;
    struct anycast_table *table;
    struct replica replica;

    replica_init(&replica);
    load(&replica, 1, 20, 3);
    table = build(b, &replica, "h20");
    same = find(table, 0x0a010065);
    web = find(table, 0x0a010064);
    table_builder_published(b);
    anycast_table_destroy(table);

    load(&replica, 2, 20, 4);
    table = build(b, &replica, "h20");
    check_table(table, &replica, "h20");
    assert_ptr_equal(find(table, 0x0a010065), same);
    assert_ptr_not_equal(find(table, 0x0a010064), web);
    table_builder_published(b);
    anycast_table_destroy(table);

    /* Another host's name concerns all groups. */
    table = build(b, &replica, "h21");
    check_table(table, &replica, "h21");
    assert_ptr_not_equal(find(table, 0x0a010065), same);
    table_builder_published(b);
    anycast_table_destroy(table);
    table_builder_destroy(b);
    replica_destroy(&replica);
}

/* The endpoints of a dead host are lost, not down, and what was seen of an
 * endpoint stays when its group is built anew. */
static void
test_a_dead_host_loses_its_endpoints(void **state OVS_UNUSED)
{
    struct table_builder *b = table_builder_create();
    struct endpoint_load *seen;
    const struct group *web;
    struct anycast_table *table;
    struct replica replica;

    replica_init(&replica);
    load(&replica, 1, 20, 3);
    table = build(b, &replica, "h20");
    seen = find(table, 0x0a010064)->endpoints[1].load;
    load_opened(seen);
    table_builder_published(b);
    anycast_table_destroy(table);

    load_with_dead(&replica, 2, 20, 3, "\"h21\"");
    table = build(b, &replica, "h20");
    web = find(table, 0x0a010064);
    assert_int_equal(web->endpoints[0].state, ENDPOINT_UP);
    assert_int_equal(web->endpoints[1].state, ENDPOINT_LOST);
    assert_int_equal(web->endpoints[2].state, ENDPOINT_UP);
    assert_ptr_equal(web->endpoints[1].load, seen);
    assert_int_equal(seen->open, 1);
    table_builder_published(b);
    anycast_table_destroy(table);

    load(&replica, 3, 20, 3);
    table = build(b, &replica, "h20");
    assert_int_equal(find(table, 0x0a010064)->endpoints[1].state,
                     ENDPOINT_UP);
    table_builder_published(b);
    anycast_table_destroy(table);
    table_builder_destroy(b);
    replica_destroy(&replica);
}

/* Endpoints of which nobody knows where they are, or by which MAC, keep their
 * flows, which lead nowhere, and get no new ones. */
static void
test_who_is_unbound_keeps_its_flows(void **state OVS_UNUSED)
{
    static const char text[]
        = "{'revision':1,'hash_key':'00112233445566778899aabbccddeeff',"
        "'hosts':[{'kind':'host','name':'h1','vtep':'198.51.100.1'}],"
        "'dead':[],'groups':[{'record':{'kind':'group','vni':5001,"
        "'name':'web','address':'10.1.0.100','port':80,'slots':256},'id':3,"
        "'epoch':1,'slots':'AIACAA==','previous':['',''],'endpoints':["
        "{'record':{'kind':'endpoint','vni':5001,'group':'web','name':'w1',"
        "'host':'h1','mac':'02:00:00:00:00:01'},'index':0,'up_ms':0},"
        "{'record':{'kind':'endpoint','vni':5001,'group':'web','name':'w2',"
        "'iface':'a'},'index':1,'up_ms':0},"
        "{'record':{'kind':'endpoint','vni':5001,'group':'web','name':'w3',"
        "'iface':'b','host':'h1'},'index':2,'up_ms':0},"
        "{'record':{'kind':'endpoint','vni':5001,'group':'web','name':'w4',"
        "'iface':'c','state':'down'},'index':3,'up_ms':0}]}]}";
    struct table_builder *b = table_builder_create();
    char *copy = xstrdup(text);
    struct anycast_table *table;
    const struct group *web;
    struct replica replica;
    struct diagnosis diag;
    struct json *json;

    for (char *p = copy; *p; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    json = json_from_string(copy);
    replica_init(&replica);
    if (replica_load_snapshot(&replica, json, 0, &diag)) {
        fail_msg("%s", diag.message);
    }
    table = build(b, &replica, "h9");
    web = find(table, 0x0a010064);
    assert_int_equal(web->endpoints[0].state, ENDPOINT_UP);
    assert_int_equal(table->tunnels[web->endpoints[0].host].type,
                     TUNNEL_GENEVE);
    assert_int_equal(web->endpoints[1].state, ENDPOINT_DRAINING);
    assert_false(web->endpoints[1].local);
    assert_int_equal(table->tunnels[web->endpoints[1].host].type,
                     TUNNEL_NONE);
    assert_int_equal(web->endpoints[2].state, ENDPOINT_DRAINING);
    assert_int_equal(web->endpoints[3].state, ENDPOINT_DOWN);
    table_builder_published(b);
    anycast_table_destroy(table);
    table_builder_destroy(b);
    replica_destroy(&replica);
    json_destroy(json);
    free(copy);
}

/* The states of the endpoints w10...w13 in the next table of 'b'. */
static void
check_states(struct table_builder *b, const struct replica *replica,
             const char *self, const int states[4])
{
    struct anycast_table *table = build(b, replica, self);
    const struct group *web = find(table, 0x0a010064);

    for (int i = 0; i < 4; i++) {
        assert_int_equal(web->endpoints[i].state, states[i]);
    }
    table_builder_published(b);
    anycast_table_destroy(table);
}

/* Its flows stay, for ENDPOINT_DRAINING keeps them. */
static void
test_who_is_out_of_reach_gets_no_new_flows(void **state OVS_UNUSED)
{
    enum { UP = ENDPOINT_UP, OUT = ENDPOINT_DRAINING, LOST = ENDPOINT_LOST };
    struct table_builder *b = table_builder_create();
    const struct group *same;
    struct anycast_table *table;
    struct replica replica;

    /* h13 is being resolved; then it is given up; then it is found. */
    replica_init(&replica);
    load(&replica, 1, 10, 4);
    check_states(b, &replica, "h9",
                 (const int [4]) { UP, UP, UP, UP });
    table = build(b, &replica, "h9");
    same = find(table, 0x0a010065);
    table_builder_published(b);
    anycast_table_destroy(table);
    gave_up = true;
    check_states(b, &replica, "h9",
                 (const int [4]) { UP, UP, UP, OUT });
    table = build(b, &replica, "h9");
    assert_ptr_equal(find(table, 0x0a010065), same);
    table_builder_published(b);
    anycast_table_destroy(table);

    /* One that is here needs no way. */
    check_states(b, &replica, "h13",
                 (const int [4]) { UP, UP, UP, UP });
    all_unresolved = true;
    check_states(b, &replica, "h12",
                 (const int [4]) { OUT, OUT, UP, OUT });

    /* Nobody else is left: better them than none. */
    check_states(b, &replica, "h9",
                 (const int [4]) { UP, UP, UP, UP });
    load_with_dead(&replica, 2, 10, 4, "\"h12\"");
    check_states(b, &replica, "h12",
                 (const int [4]) { UP, UP, LOST, UP });
    all_unresolved = gave_up = false;
    check_states(b, &replica, "h12",
                 (const int [4]) { UP, UP, LOST, UP });
    table_builder_destroy(b);
    replica_destroy(&replica);
}

/* Flows go on while groups are built anew, for whatever reason, and so does
 * their count; what was measured goes when the endpoint does. */
static void
test_flows_stay_counted(void **state OVS_UNUSED)
{
    struct table_builder *b = table_builder_create();
    struct endpoint_load *same = NULL, *web = NULL;
    struct group_load *group_load = NULL;
    size_t n_hosts = 0, n_numberings = 0;
    struct replica replica;

    replica_init(&replica);
    for (int round = 0; round < 20; round++) {
        const char *self = round % 2 ? "h0" : "h1";
        struct anycast_table *table;

        load(&replica, 1 + round, round * 50, 1 + round % 2 * 90);
        table = build(b, &replica, self);
        n_numberings += table->n_hosts < n_hosts;
        n_hosts = table->n_hosts;
        if (!same) {
            same = find(table, 0x0a010065)->endpoints[0].load;
            web = find(table, 0x0a010064)->endpoints[0].load;
            group_load = find(table, 0x0a010064)->load;
            load_opened(same);
            load_opened(web);
            load_began(same);
            load_answered(same, 100, 1000);
        }
        assert_ptr_equal(find(table, 0x0a010065)->endpoints[0].load, same);
        assert_ptr_equal(find(table, 0x0a010064)->endpoints[0].load, web);
        assert_ptr_equal(find(table, 0x0a010064)->load, group_load);
        assert_int_equal(load_open(same), 1);
        assert_int_equal(same->response_us, 100);
        assert_int_equal(load_open(web), 1);
        assert_int_equal(web->response_us, 0);
        load_began(web);
        load_answered(web, 100, 1000);
        table_builder_published(b);
        anycast_table_destroy(table);
    }
    assert_true(n_numberings > 1);
    table_builder_destroy(b);
    replica_destroy(&replica);
}

/* Hosts that come and go leave nothing behind, and nothing gets mixed up. */
static void
test_hosts_come_and_go(void **state OVS_UNUSED)
{
    struct table_builder *b = table_builder_create();
    struct replica replica;

    replica_init(&replica);
    for (int round = 0; round < 40; round++) {
        int n = 1 + round * 37 % MAX_HOSTS;
        struct anycast_table *table;

        load(&replica, 1 + round, round * 50, n);
        table = build(b, &replica, "h0");
        check_table(table, &replica, "h0");
        assert_in_range(table->n_hosts, n + 1, 4 * MAX_HOSTS);
        table_builder_published(b);
        anycast_table_destroy(table);
    }
    table_builder_destroy(b);
    replica_destroy(&replica);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints_lead_to_their_hosts),
        cmocka_unit_test(test_only_what_changed_is_built_anew),
        cmocka_unit_test(test_a_dead_host_loses_its_endpoints),
        cmocka_unit_test(test_who_is_unbound_keeps_its_flows),
        cmocka_unit_test(test_who_is_out_of_reach_gets_no_new_flows),
        cmocka_unit_test(test_flows_stay_counted),
        cmocka_unit_test(test_hosts_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
