/* The replica against a simple mapd, and messages that must be refused. */

#include <config.h>

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "openvswitch/vlog.h"
#include "tests/unit/replica-model.h"
#include "util.h"

#define KEY "00112233445566778899aabbccddeeff"
#define VIP "{'kind':'vip','vni':0,'name':'v','address':'10.9.9.9'," \
            "'gateway':'g'}"
#define H1 "{'kind':'host','name':'h1','vtep':'192.0.2.1'}"
#define H2 "{'kind':'host','name':'h2','vtep':'192.0.2.2','encap':'vxlan'}"
#define W1 "{'record':{'kind':'endpoint','vni':5001,'group':'web'," \
    "'name':'w1','host':'h1','mac':'02:00:00:00:00:01'},'index':1," \
    "'up_ms':5000}"
#define W2 "{'record':{'kind':'endpoint','vni':5001,'group':'web'," \
    "'name':'w2','host':'h2','mac':'02:00:00:00:00:02','state':'down'}," \
    "'index':4,'up_ms':0}"

/* 256 slots of endpoint 1: bytes 0, 0x80, 2, 1. */
#define ALL_TO_1 "AIACAQ=="
#define WEB "{'record':{'kind':'group','vni':5001,'name':'web'," \
    "'address':'10.1.0.100','port':80,'slots':256},'id':3,'epoch':9," \
    "'slots':'" ALL_TO_1 "','previous':['',''],'endpoints':[" W2 "," W1 "]}"
#define IDLE "{'record':{'kind':'group','vni':5001,'name':'idle'," \
    "'address':'10.1.0.101','port':80,'slots':256},'id':4,'epoch':0," \
    "'slots':'','previous':['',''],'endpoints':[]}"
#define SNAPSHOT "{'revision':7,'hash_key':'" KEY "','hosts':[" H1 "," H2 \
    "],'dead':['h2'],'groups':[" WEB "," IDLE "]}"
#define UPDATE(CHANGES) "{'revision':8,'changes':[" CHANGES "]}"

/* Delta of web: slot 0 emptied and once of w1, w1 heavier, w2 as it was.
 * Bytes 0, 1, 0xff, 0xff, 3 and 0, 1, 1. */
#define W1_HEAVY "{'record':{'kind':'endpoint','vni':5001,'group':'web'," \
    "'name':'w1','host':'h1','mac':'02:00:00:00:00:01','weight':200}," \
    "'index':1,'up_ms':7000}"
#define DELTA "{'group_delta':{'vni':5001,'name':'web','from_epoch':9," \
    "'epoch':10,'slots':'AAH//wM=','previous':['AAEB','']," \
    "'endpoints':[" W1_HEAVY "],'endpoints_removed':[]}}"

enum { NOW = 3000 };            /* ms, less than some have been up. */

/* JSON with ' for ". */
static struct json *
parse(const char *text)
{
    char *copy = xstrdup(text);
    struct json *json;

    for (char *p = copy; *p; p++) {
        *p = *p == '\'' ? '"' : *p;
    }
    json = json_from_string(copy);
    assert_int_not_equal(json->type, JSON_STRING);
    free(copy);
    return json;
}

static int
feed(struct replica *replica, const char *text,
     int (*apply)(struct replica *, const struct json *, int64_t,
                  struct diagnosis *),
     struct diagnosis *diag)
{
    struct json *json = parse(text);
    int error = apply(replica, json, NOW, diag);

    json_destroy(json);
    return error;
}

static void
start(struct replica *replica)
{
    replica_init(replica);
    assert_int_equal(feed(replica, SNAPSHOT, replica_load_snapshot, NULL), 0);
}

static void
accept_update(struct replica *replica, const char *text)
{
    struct diagnosis diag = { .message = "" };

    if (feed(replica, text, replica_apply_update, &diag)) {
        fail_msg("%s", diag.message);
    }
    model_check_consistent(replica);
}

static void
refuse(struct replica *replica, const char *text,
       int (*apply)(struct replica *, const struct json *, int64_t,
                    struct diagnosis *),
       enum diagnosis_code code, const char *field)
{
    struct diagnosis diag = { .code = DIAG_NONE };
    char *before = model_print(replica, true);
    char *after;

    assert_true(feed(replica, text, apply, &diag) > 0);
    if (diag.code != code || strcmp(diag.field, field)) {
        fail_msg("%s: code %d, field %s: %s", text, diag.code, diag.field,
                 diag.message);
    }
    after = model_print(replica, true);
    assert_string_equal(before, after);
    free(before);
    free(after);
}

/* 'text' with the first 'from' replaced by 'to'. */
static char *
edit(const char *text, const char *from, const char *to)
{
    const char *at = strstr(text, from);

    assert_non_null(at);
    return xasprintf("%.*s%s%s", (int) (at - text), text, to,
                     at + strlen(from));
}

static uint32_t
vtep_of(const struct replica *replica, const char *host)
{
    return inet_addr_to4(replica_find_host(replica, host)->record.vtep);
}

static void
test_a_snapshot_says_what_it_says(void **state)
{
    const struct replica_group *g;
    struct replica r;

    (void) state;
    start(&r);
    assert_int_equal(r.revision, 7);
    assert_int_equal(r.key.word[0], 0x0011223344556677);
    assert_int_equal(r.key.word[1], 0x8899aabbccddeeff);
    assert_int_equal(vtep_of(&r, "h1"), 0xc0000201);
    assert_int_equal(replica_find_host(&r, "h2")->record.encap, TUNNEL_VXLAN);
    assert_null(replica_find_host(&r, "h3"));
    assert_null(replica_find_group(&r, 5002, "web"));
    g = replica_find_group(&r, 5001, "web");
    assert_int_equal(g->id, 3);
    assert_int_equal(g->epoch, 9);
    assert_int_equal(g->n_endpoints, 2);
    assert_string_equal(g->endpoints[0].record.name, "w1");
    assert_int_equal(g->endpoints[1].index, 4);
    assert_int_equal(g->slots[0], 1);
    assert_int_equal(g->slots[255], 1);
    assert_null(g->previous);
    assert_int_equal(g->endpoints[0].up_at_ms, NOW - 5000);
    assert_true(replica_find_host(&r, "h1")->alive);
    assert_false(replica_find_host(&r, "h2")->alive);
    replica_destroy(&r);
}

/* w2 takes slot 0 from w1, then w1 leaves: who had the slots follows. */
static void
test_previous_owners_follow(void **state)
{
    const struct replica_group *g;
    struct replica r;

    (void) state;
    start(&r);
    accept_update(&r, UPDATE("{'group_delta':{'vni':5001,'name':'web',"
                             "'from_epoch':9,'epoch':10,'slots':'AAEE',"
                             "'previous':[],'endpoints':[{'record':{"
                             "'kind':'endpoint','vni':5001,'group':'web',"
                             "'name':'w2','host':'h2','mac':"
                             "'02:00:00:00:00:02'},'index':4,'up_ms':0}],"
                             "'endpoints_removed':[]}}"));
    g = replica_find_group(&r, 5001, "web");
    assert_int_equal(g->n_endpoints, 2);
    assert_int_equal(g->endpoints[1].record.state, ENDPOINT_UP);
    assert_int_equal(g->slots[0], 4);
    assert_int_equal(g->previous[0], 1);
    assert_int_equal(g->previous[2], GROUP_NO_ENDPOINT);

    /* Bytes 1, 0xff, 1, 4. */
    accept_update(&r, "{'revision':9,'changes':[{'group_delta':{'vni':5001,"
                  "'name':'web','from_epoch':10,'epoch':11,"
                  "'slots':'Af8BBA==','previous':[],'endpoints':[],"
                  "'endpoints_removed':['w1']}}]}");
    g = replica_find_group(&r, 5001, "web");
    assert_int_equal(g->n_endpoints, 1);
    assert_int_equal(g->slots[255], 4);
    assert_null(g->previous);
    replica_destroy(&r);
}

static void
test_updates_take_effect(void **state)
{
    const struct replica_group *g;
    struct replica r;

    (void) state;
    start(&r);
    accept_update(&r, UPDATE(DELTA));
    g = replica_find_group(&r, 5001, "web");
    assert_int_equal(r.revision, 8);
    assert_int_equal(g->epoch, 10);
    assert_int_equal(g->slots[0], GROUP_NO_ENDPOINT);
    assert_int_equal(g->slots[1], 1);
    assert_int_equal(g->endpoints[0].record.weight, 200);
    assert_int_equal(g->endpoints[0].up_at_ms, NOW - 7000);
    assert_int_equal(g->previous[0], 1);
    for (int i = 1; i < 512; i++) {
        assert_int_equal(g->previous[i], GROUP_NO_ENDPOINT);
    }

    /* Only what changed is marked. */
    assert_int_equal(g->changed, r.generation);
    assert_true(replica_find_group(&r, 5001, "idle")->changed < r.generation);

    /* A group and the host that only it used leave together, in any order. */
    accept_update(&r, "{'revision':9,'changes':[{'host_removed':'h1'},"
                  "{'group_removed':{'vni':5001,'name':'web'}}]}");
    assert_null(replica_find_group(&r, 5001, "web"));
    assert_null(replica_find_host(&r, "h1"));

    /* Both come back, the group before its host. */
    accept_update(&r, "{'revision':10,'changes':[{'group':" WEB "},{'host':"
                  H1 "}]}");
    assert_int_equal(replica_find_group(&r, 5001, "web")->epoch, 9);
    accept_update(&r, "{'revision':11,'changes':[]}");
    replica_destroy(&r);
}

static void
test_unique_values_change_hands(void **state)
{
    struct replica r;

    (void) state;
    start(&r);
    accept_update(&r, UPDATE(
        "{'host':{'kind':'host','name':'h1','vtep':'192.0.2.2'}},"
        "{'host':{'kind':'host','name':'h2','vtep':'192.0.2.1'}}"));
    assert_int_equal(vtep_of(&r, "h1"), 0xc0000202);
    assert_int_equal(vtep_of(&r, "h2"), 0xc0000201);
    replica_destroy(&r);
}

static void
test_what_stays_the_same_is_not_marked_as_changed(void **state)
{
    struct replica r;
    uint64_t before;
    char *text;

    (void) state;
    start(&r);
    accept_update(&r, UPDATE(DELTA));
    before = replica_find_group(&r, 5001, "idle")->changed;

    /* A snapshot brings the old web back, idle as it is. */
    assert_int_equal(feed(&r, SNAPSHOT, replica_load_snapshot, NULL), 0);
    assert_int_equal(replica_find_group(&r, 5001, "idle")->changed, before);
    assert_int_equal(replica_find_group(&r, 5001, "web")->changed,
                     r.generation);

    /* A whole group that says nothing new, but for how long w1 is up. */
    before = replica_find_group(&r, 5001, "web")->changed;
    text = edit(UPDATE("{'group':" WEB "}"), "'up_ms':5000", "'up_ms':9");
    accept_update(&r, text);
    free(text);
    assert_int_equal(replica_find_group(&r, 5001, "web")->changed, before);
    assert_int_equal(replica_find_group(&r, 5001, "web")
                     ->endpoints[0].up_at_ms, NOW - 5000);

    /* With another key all flows hash differently. */
    text = edit(SNAPSHOT, "'0011", "'0012");
    assert_int_equal(feed(&r, text, replica_load_snapshot, NULL), 0);
    assert_int_equal(replica_find_group(&r, 5001, "idle")->changed,
                     r.generation);
    free(text);
    replica_destroy(&r);
}

/* How often 'text' stands in the file at 'path'. */
static int
count_in_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "r");
    char line[1024];
    int n = 0;

    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        n += strstr(line, text) != NULL;
    }
    fclose(file);
    return n;
}

static void
load(struct replica *r, const char *from, const char *to)
{
    char *text = edit(SNAPSHOT, from, to);

    assert_int_equal(feed(r, text, replica_load_snapshot, NULL), 0);
    free(text);
}

static void
test_another_store_is_warned_of_once(void **state)
{
    char path[] = "/tmp/test-replica.XXXXXX";
    struct replica r;

    (void) state;
    assert_true(mkstemp(path) >= 0);
    assert_int_equal(vlog_set_log_file(path), 0);
    start(&r);
    load(&r, "'revision':7", "'revision':7");
    load(&r, "'revision':7", "'revision':900");
    assert_int_equal(count_in_file(path, "|WARN|"), 0);

    load(&r, "'revision':7", "'revision':899");
    assert_int_equal(count_in_file(path, "the revision went back from 900 to "
                                   "899: "), 1);
    load(&r, "'revision':7", "'revision':899");
    assert_int_equal(count_in_file(path, "|WARN|"), 1);

    load(&r, "'0011", "'0012");
    assert_int_equal(count_in_file(path, "the hash key has changed (and the "
                                   "revision, from 899 to 7): "), 1);
    load(&r, "'0011", "'0012");
    assert_int_equal(count_in_file(path, "|WARN|"), 2);
    replica_destroy(&r);
    vlog_set_log_file("/dev/null");
    unlink(path);
}

static void
test_a_host_that_dies_changes_its_groups(void **state)
{
    uint64_t idle, web;
    struct replica r;

    (void) state;
    start(&r);
    idle = replica_find_group(&r, 5001, "idle")->changed;
    accept_update(&r, UPDATE("{'host_alive':{'name':'h2','alive':true}}"));
    assert_true(replica_find_host(&r, "h2")->alive);
    web = replica_find_group(&r, 5001, "web")->changed;
    assert_int_equal(web, r.generation);
    assert_int_equal(replica_find_group(&r, 5001, "idle")->changed, idle);

    /* What is no news, or of another host, changes nothing. */
    accept_update(&r, "{'revision':9,'changes':[{'host_alive':{'name':'h2',"
                  "'alive':true}},{'host':{'kind':'host','name':'h3',"
                  "'vtep':'192.0.2.3'}},{'host_alive':{'name':'h3',"
                  "'alive':false}}]}");
    assert_int_equal(replica_find_group(&r, 5001, "web")->changed, web);
    assert_false(replica_find_host(&r, "h3")->alive);

    /* A new record does not bring it to life. */
    accept_update(&r, "{'revision':10,'changes':[{'host':{'kind':'host',"
                  "'name':'h3','vtep':'192.0.2.4'}}]}");
    assert_false(replica_find_host(&r, "h3")->alive);

    /* In the snapshot, h2 is dead. */
    assert_int_equal(feed(&r, SNAPSHOT, replica_load_snapshot, NULL), 0);
    assert_int_equal(replica_find_group(&r, 5001, "web")->changed,
                     r.generation);
    assert_int_equal(replica_find_group(&r, 5001, "idle")->changed, idle);
    replica_destroy(&r);
}

/* A record that is the same before and after has not changed, however it
 * came. */
static void
test_records_say_when_they_changed(void **state)
{
    char *snapshot = edit(SNAPSHOT, "'revision':7",
                          "'revision':7,'records':[" VIP "]");
    struct record key = { .kind = RECORD_VIP, .vip.name = "v" };
    struct replica r;
    uint64_t changed;

    (void) state;
    replica_init(&r);
    assert_int_equal(feed(&r, snapshot, replica_load_snapshot, NULL), 0);
    changed = replica_find_record(&r, &key)->changed;
    assert_int_equal(changed, r.generation);
    accept_update(&r, "{'revision':8,'changes':[{'record':" VIP "}]}");
    assert_int_equal(replica_find_record(&r, &key)->changed, changed);
    assert_int_equal(feed(&r, snapshot, replica_load_snapshot, NULL), 0);
    assert_int_equal(replica_find_record(&r, &key)->changed, changed);

    accept_update(&r, "{'revision':8,'changes':[{'record':{'kind':'vip',"
                  "'vni':0,'name':'v','address':'10.9.9.8','gateway':'g'}}]}");
    assert_int_equal(replica_find_record(&r, &key)->changed, r.generation);
    assert_int_equal(feed(&r, snapshot, replica_load_snapshot, NULL), 0);
    assert_int_equal(replica_find_record(&r, &key)->changed, r.generation);
    accept_update(&r, "{'revision':8,'changes':[{'record_removed':"
                  "{'kind':'vip','vni':0,'name':'v'}}]}");
    assert_null(replica_find_record(&r, &key));

    /* An older mapd says nothing of records. */
    assert_int_equal(feed(&r, SNAPSHOT, replica_load_snapshot, NULL), 0);
    assert_null(replica_first_record(&r, RECORD_VIP, 0));
    replica_destroy(&r);
    free(snapshot);
}

static void
test_port_ranges_do_not_overlap(void **state)
{
    static const struct {
        const char *web, *idle;
        bool ok;
    } cases[] = {
        { "80", "81,'port_last':90", true },
        { "80", "80,'port_last':90", true },
        { "0", "1,'port_last':65535", true },
        { "80,'port_last':89", "90,'port_last':99", true },
        { "80,'port_last':90", "90,'port_last':99", false },
        { "1,'port_last':65535", "90,'port_last':99", false },
        { "90,'port_last':99", "1,'port_last':65535", false },
    };

    (void) state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *web = xasprintf("'10.1.0.100','port':%s,", cases[i].web);
        char *idle = xasprintf("'10.1.0.100','port':%s,", cases[i].idle);
        char *a = edit(SNAPSHOT, "'10.1.0.100','port':80,", web);
        char *b = edit(a, "'10.1.0.101','port':80,", idle);
        struct diagnosis diag = { .code = DIAG_NONE };
        struct replica r;
        int error;

        replica_init(&r);
        error = feed(&r, b, replica_load_snapshot, &diag);
        assert_int_equal(!error, cases[i].ok);
        assert_string_equal(diag.field, cases[i].ok ? "" : "address");
        replica_destroy(&r);
        free(web);
        free(idle);
        free(a);
        free(b);
    }
}

static void
test_snapshots_of_nonsense_are_refused(void **state)
{
    static const struct {
        const char *from, *to;
        enum diagnosis_code code;
        const char *field;
    } cases[] = {
        { "{'revision':7,", "{", DIAG_INVALID, "revision" },
        { "'revision':7", "'revision':-1", DIAG_INVALID, "revision" },
        { "'revision':7", "'revision':'7'", DIAG_INVALID, "revision" },
        { "'revision':7", "'revision':7,'more':1", DIAG_INVALID, "more" },
        { KEY, "0011", DIAG_INVALID, "hash_key" },
        { "'0011", "'001x", DIAG_INVALID, "hash_key" },
        { "0011223344556677", "0000000000000000", DIAG_INVALID, "hash_key" },
        { "'hosts':[", "'hosts':[" H1 ",", DIAG_EXISTS, "name" },
        { "'hosts':[", "'hosts':[" W1 ",", DIAG_INVALID, "kind" },
        { "192.0.2.2", "192.0.2.1", DIAG_EXISTS, "vtep" },
        { "192.0.2.2", "224.0.0.1", DIAG_INVALID, "vtep" },
        { H1 ",", "", DIAG_NOT_FOUND, "host" },
        { H1 "," H2, "[]", DIAG_INVALID, "" },
        { "'groups':[", "'groups':[" WEB ",", DIAG_EXISTS, "name" },
        { "'groups':[", "'groups':[null,", DIAG_INVALID, "group" },
        { "'groups':[", "'groups':[{},", DIAG_INVALID, "epoch" },
        { "'revision':7", "'revision':7,'records':{}", DIAG_INVALID,
          "records" },
        { "'revision':7", "'revision':7,'records':[" H1 "]", DIAG_INVALID,
          "kind" },
        { "'revision':7", "'revision':7,'records':[" VIP "," VIP "]",
          DIAG_EXISTS, "name" },
        { "'revision':7", "'revision':7,'records':[1]", DIAG_INVALID,
          "record" },
        { "'dead':['h2'],", "", DIAG_INVALID, "dead" },
        { "['h2']", "[2]", DIAG_INVALID, "dead" },
        { "['h2']", "['h3']", DIAG_NOT_FOUND, "dead" },
        { "['h2']", "['h2','h2']", DIAG_EXISTS, "dead" },
        { "['','']", "['']", DIAG_INVALID, "previous" },
        { "['','']", "['','','']", DIAG_INVALID, "previous" },
        { "['','']", "['',1]", DIAG_INVALID, "previous" },
        { "['','']", "['AAEB','']", DIAG_INVALID, "previous" }, /* Owner. */
        { "['','']", "['AAEE','']", DIAG_INVALID, "previous" }, /* Down. */
        { "['','']", "['AAEC','']", DIAG_INVALID, "previous" }, /* Nobody. */
        { "['','']", "['AAE','']", DIAG_INVALID, "previous" },
        { "'up_ms':5000", "'up_ms':2147483648", DIAG_INVALID, "up_ms" },
        { ",'up_ms':5000", "", DIAG_INVALID, "up_ms" },
        { "'02:00:00:00:00:01'", "'02:00:00:00:00:01','quic_id':'12'",
          DIAG_INVALID, "quic_id" },
        { "'id':3", "'id':0", DIAG_INVALID, "id" },
        { "'id':3", "'id':1048576", DIAG_INVALID, "id" },
        { "'id':3", "'id':4", DIAG_EXISTS, "id" },
        { "'epoch':9", "'epoch':4294967296", DIAG_INVALID, "epoch" },
        { "'epoch':9", "'epoch':9.5", DIAG_INVALID, "epoch" },
        { "10.1.0.101", "10.1.0.100", DIAG_EXISTS, "address" },
        { "'slots':256", "'slots':300", DIAG_INVALID, "slots" },
        { ALL_TO_1, "AIACBA==", DIAG_INVALID, "slots" }, /* w2 is down. */
        { ALL_TO_1, "AIACAg==", DIAG_INVALID, "slots" }, /* Nobody's index. */
        { ALL_TO_1, "AIECAQ==", DIAG_INVALID, "slots" }, /* 257 slots. */
        { "'slots':'AIACAQ=='", "'slots':null", DIAG_INVALID, "slots" },
        { "'index':1", "'index':4", DIAG_EXISTS, "index" },
        { "'index':4", "'index':4096", DIAG_INVALID, "index" },
        { "'index':4", "'index':-1", DIAG_INVALID, "index" },
        { "'index':4", "'index':4,'x':1", DIAG_INVALID, "x" },
        { "'name':'w2'", "'name':'w1'", DIAG_EXISTS, "name" },
        { "00:00:02'", "00:00:01'", DIAG_EXISTS, "mac" },
        { "'host':'h2'", "'host':'h3'", DIAG_NOT_FOUND, "host" },
        { "'group':'web'", "'group':'idle'", DIAG_INVALID, "record" },
        { "5001,'group'", "5002,'group'", DIAG_INVALID, "record" },
        { "'state':'down'", "'state':'absent'", DIAG_INVALID, "state" },
        { "'kind':'group'", "'kind':'endpoint'", DIAG_INVALID, NULL },
    };
    struct replica r;

    (void) state;
    start(&r);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *text = edit(SNAPSHOT, cases[i].from, cases[i].to);
        struct diagnosis diag = { .code = DIAG_NONE };

        if (cases[i].field && *cases[i].field) {
            refuse(&r, text, replica_load_snapshot, cases[i].code,
                   cases[i].field);
        } else {
            assert_true(feed(&r, text, replica_load_snapshot, &diag) > 0);
            assert_int_equal(diag.code, cases[i].code);
        }
        free(text);
    }
    refuse(&r, "[]", replica_load_snapshot, DIAG_INVALID, "snapshot");
    replica_destroy(&r);
}

/* Whole updates, ... */
static const struct {
    const char *text;
    enum diagnosis_code code;
    const char *field;
} bad_updates[] = {
    { "[]", DIAG_INVALID, "update" },
    { "{'changes':[]}", DIAG_INVALID, "revision" },
    { "{'revision':7,'changes':[]}", DIAG_INVALID, "revision" },
    { "{'revision':6,'changes':[]}", DIAG_INVALID, "revision" },
    { "{'revision':9,'changes':[]}", DIAG_INVALID, "revision" },
    { UPDATE("{'host_alive':'h1'}"), DIAG_INVALID, "host_alive" },
    { UPDATE("{'host_alive':{'name':'h1'}}"), DIAG_INVALID,
      "host_alive" },
    { UPDATE("{'host_alive':{'name':'h1','alive':1}}"), DIAG_INVALID,
      "host_alive" },
    { UPDATE("{'host_alive':{'name':'h1','alive':true,'x':1}}"),
      DIAG_INVALID, "host_alive" },
    { UPDATE("{'host_alive':{'name':'h3','alive':true}}"),
      DIAG_NOT_FOUND, "host_alive" },
    { "{'revision':8,'changes':{}}", DIAG_INVALID, "changes" },
    { UPDATE("{}"), DIAG_INVALID, "changes" },
    { UPDATE("7"), DIAG_INVALID, "changes" },
    { UPDATE("{'endpoint':" W1 "}"), DIAG_INVALID, "changes" },
    { UPDATE("{'host':" H1 ",'host_removed':'h1'}"), DIAG_INVALID,
      "changes" },
    { UPDATE("{'host_removed':'h1'}"), DIAG_IN_USE, "host_removed" },
    { UPDATE("{'host_removed':'h9'}"), DIAG_NOT_FOUND, "host_removed" },
    { UPDATE("{'host_removed':9}"), DIAG_INVALID, "host_removed" },
    { UPDATE("{'host':{'kind':'host','name':'h3','vtep':'192.0.2.1'}}"),
      DIAG_EXISTS, "vtep" },
    { UPDATE("{'record_removed':{'kind':'vip','vni':0,'name':'v'}}"),
      DIAG_NOT_FOUND, "record_removed" },
    { UPDATE("{'record':" VIP "},{'record_removed':{'kind':'vip','vni':0,"
             "'name':'v','address':'10.9.9.9'}}"), DIAG_INVALID,
      "record_removed" },
    { UPDATE("{'record_removed':{'kind':'host','name':'h1'}}"),
      DIAG_INVALID, "kind" },
    { UPDATE("{'record':" H1 "}"), DIAG_INVALID, "kind" },
    { UPDATE("{'group_removed':{'vni':5001,'name':'x'}}"), DIAG_NOT_FOUND,
      "name" },
    { UPDATE("{'group_removed':{'vni':0,'name':'web'}}"), DIAG_INVALID,
      "vni" },
    { UPDATE("{'group_removed':{'vni':5001,'name':'web','id':3}}"),
      DIAG_INVALID, "id" },
    /* What precedes is undone. */
    { UPDATE("{'group_removed':{'vni':5001,'name':'web'}},"
             "{'host_removed':'h1'},{'host_removed':'h1'}"),
      DIAG_NOT_FOUND, "host_removed" },
    { UPDATE(DELTA "," DELTA), DIAG_NOT_FOUND, "from_epoch" },
};

/* ... and what turns DELTA into a bad one. */
static const struct {
    const char *from, *to;
    enum diagnosis_code code;
    const char *field;
} bad_deltas[] = {
    { "'from_epoch':9", "'from_epoch':8", DIAG_NOT_FOUND, "from_epoch" },
    { "'epoch':10", "'epoch':9", DIAG_INVALID, "epoch" },
    { "'epoch':10", "'epoch':8", DIAG_INVALID, "epoch" },
    { "'name':'web'", "'name':'wob'", DIAG_NOT_FOUND, "name" },
    { "AAH//wM=", "AAH//wM", DIAG_INVALID, "slots" },
    { "'index':1", "'index':2", DIAG_INVALID, "slots" },
    { "'weight':200", "'weight':0", DIAG_INVALID, "weight" },
    { "'weight':200", "'state':'down'", DIAG_INVALID, "slots" },
    { "'host':'h1'", "'host':'h7'", DIAG_NOT_FOUND, "host" },
    { "'vni':5001,", "", DIAG_INVALID, "vni" },
    { "['AAEB','']", "['','AAEB']", DIAG_INVALID, "previous" },
    { "['AAEB','']", "['AAEB','AAEB']", DIAG_INVALID, "previous" },
    { "['AAEB','']", "['AAIB','']", DIAG_INVALID, "previous" },
    { "['AAEB','']", "['AAEB']", DIAG_INVALID, "previous" },
    { "_removed':[]", "_removed':['w3']", DIAG_NOT_FOUND,
      "endpoints_removed" },
    { "_removed':[]", "_removed':[2]", DIAG_NOT_FOUND,
      "endpoints_removed" },
    { ",'endpoints_removed':[]", "", DIAG_INVALID, "endpoints_removed" },
    { "'endpoints':[", "'endpoints':[" W1 ",", DIAG_EXISTS, "index" },
    { "'endpoints':[", "'endpoints':[{'record':{'name':2}},",
      DIAG_INVALID, "index" },
    { W1_HEAVY "],'endpoints_removed':[]", "],'endpoints_removed':['w1']",
      DIAG_INVALID, "slots" },
};

static void
test_updates_of_nonsense_are_refused(void **state)
{
    struct replica r;

    (void) state;
    start(&r);
    for (size_t i = 0; i < ARRAY_SIZE(bad_updates); i++) {
        refuse(&r, bad_updates[i].text, replica_apply_update,
               bad_updates[i].code, bad_updates[i].field);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad_deltas); i++) {
        char *text = edit(UPDATE(DELTA), bad_deltas[i].from, bad_deltas[i].to);

        refuse(&r, text, replica_apply_update, bad_deltas[i].code,
               bad_deltas[i].field);
        free(text);
    }
    accept_update(&r, UPDATE(DELTA));
    refuse(&r, "{'revision':9,'changes':[{'group':" WEB "}]}",
           replica_apply_update, DIAG_INVALID, "epoch");
    replica_destroy(&r);
}

static void
test_an_update_needs_a_snapshot_first(void **state)
{
    struct replica r;

    (void) state;
    replica_init(&r);
    refuse(&r, UPDATE(""), replica_apply_update, DIAG_NOT_FOUND, "");
    assert_int_equal(feed(&r, "{'revision':0,'hash_key':'" KEY "',"
                          "'hosts':[],'dead':[],'groups':[]}",
                          replica_load_snapshot, NULL), 0);
    accept_update(&r, "{'revision':1,'changes':[]}");
    replica_destroy(&r);
    replica_destroy(NULL);
}

static void
test_a_refusal_names_the_group(void **state)
{
    struct diagnosis diag = { .code = DIAG_NONE };
    struct replica r;
    char *text = edit(SNAPSHOT, ALL_TO_1, "AIACBA==");

    (void) state;
    replica_init(&r);
    assert_true(feed(&r, text, replica_load_snapshot, &diag) > 0);
    assert_non_null(strstr(diag.message, "group 5001/web: "));
    assert_non_null(strstr(diag.message, "endpoint index 4"));
    assert_int_equal(r.generation, 0);
    free(text);
    replica_destroy(&r);
}

/* Many steps, and after each the replica that followed the updates equals the
 * model, and one that loads a snapshot. */
static void
test_updates_lead_where_a_snapshot_leads(void **state)
{
    (void) state;
    for (int seed = 0; seed < 20; seed++) {
        struct replica follower;
        struct model m, next;
        struct json *json;

        model_seed(seed);
        model_init(&m);
        replica_init(&follower);
        json = model_snapshot(&m);
        assert_int_equal(replica_load_snapshot(&follower, json, NOW, NULL), 0);
        json_destroy(json);
        for (int step = 0; step < 100; step++) {
            struct diagnosis diag = { .message = "" };
            struct replica loader;
            char *a, *b;

            next = m;
            model_change(&next);
            json = model_update(&m, &next);
            if (replica_apply_update(&follower, json, NOW, &diag)) {
                fail_msg("%s", diag.message);
            }
            json_destroy(json);
            m = next;

            replica_init(&loader);
            json = model_snapshot(&m);
            assert_int_equal(replica_load_snapshot(&loader, json, NOW, &diag),
                             0);
            json_destroy(json);
            a = model_print(&follower, false);
            b = model_print(&loader, false);
            assert_string_equal(a, b);
            free(a);
            free(b);
            model_check(&m, &follower);
            model_check_consistent(&follower);
            replica_destroy(&loader);
        }
        replica_destroy(&follower);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_snapshot_says_what_it_says),
        cmocka_unit_test(test_previous_owners_follow),
        cmocka_unit_test(test_updates_take_effect),
        cmocka_unit_test(test_unique_values_change_hands),
        cmocka_unit_test(test_what_stays_the_same_is_not_marked_as_changed),
        cmocka_unit_test(test_another_store_is_warned_of_once),
        cmocka_unit_test(test_a_host_that_dies_changes_its_groups),
        cmocka_unit_test(test_records_say_when_they_changed),
        cmocka_unit_test(test_port_ranges_do_not_overlap),
        cmocka_unit_test(test_snapshots_of_nonsense_are_refused),
        cmocka_unit_test(test_updates_of_nonsense_are_refused),
        cmocka_unit_test(test_an_update_needs_a_snapshot_first),
        cmocka_unit_test(test_a_refusal_names_the_group),
        cmocka_unit_test(test_updates_lead_where_a_snapshot_leads),
    };

    return cmocka_run_group_tests_name("replica", tests, NULL, NULL);
}
