/* How groups say that their endpoints are to be checked. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "mapping/record.h"
#include "openvswitch/json.h"
#include "tests/unit/catalog-text.h"
#include "util.h"

#define GROUP "'kind':'group','vni':7,'name':'web','address':'10.1.0.100'"
#define GROUP6 "'kind':'group','vni':7,'name':'web','address':'2001:db8::1'"
#define SOURCE "'health_source':'10.1.0.254'"

static void
all_members_come_back(void **state OVS_UNUSED)
{
    static const char text[] = "{" GROUP ",'port':80,'health_check':'http',"
        "'health_interval':500,'health_timeout':500,'health_rise':1,"
        "'health_fall':100,'health_port':8080,'health_status':204,"
        "'health_path':'/ready?deep=1'," SOURCE "}";
    struct record record = catalog_text_record(text), again;
    const struct record_health *h = &record.group.health;
    struct diagnosis diag;
    struct json *json;

    assert_int_equal(h->check, HEALTH_HTTP);
    assert_int_equal(h->interval, 500);
    assert_int_equal(h->timeout, 500);
    assert_int_equal(h->rise, 1);
    assert_int_equal(h->fall, 100);
    assert_int_equal(h->port, 8080);
    assert_int_equal(h->status, 204);
    assert_string_equal(h->path, "/ready?deep=1");
    assert_int_equal(inet_addr_to4(h->source), 0x0a0100fe);
    json = record_to_json(&record);
    assert_int_equal(record_from_json(json, &again, &diag), 0);
    assert_true(record_equal(&record, &again));
    strcpy(again.group.health.path, "/ready?deep=2");
    assert_false(record_equal(&record, &again));
    json_destroy(json);
}

static void
what_is_not_given_is_the_default(void **state OVS_UNUSED)
{
    struct record record = catalog_text_record("{" GROUP "}");
    const struct record_health *h = &record.group.health;

    assert_int_equal(h->check, HEALTH_NONE);
    assert_int_equal(h->interval, 2000);
    assert_int_equal(h->timeout, 1000);
    assert_int_equal(h->rise, 2);
    assert_int_equal(h->fall, 3);
    assert_int_equal(h->status, 200);
    assert_string_equal(h->path, "/");
    /* Needs no source, nor a port. */
    record = catalog_text_record("{" GROUP ",'health_check':'arp'}");
    assert_int_equal(record.group.health.check, HEALTH_ARP);
    catalog_text_record("{" GROUP ",'health_check':'icmp'," SOURCE "}");
    catalog_text_record("{" GROUP6 ",'health_check':'icmp',"
                        "'health_source':'2001:db8::2'}");
}

static void
what_cannot_be_is_refused_and_named(void **state OVS_UNUSED)
{
    static const struct {
        const char *members, *field, *part;
    } cases[] = {
        { "'health_check':'ping'", "health_check", "none, tcp, http, icmp" },
        { "'health_interval':99", "health_interval", "100..3600000" },
        { "'health_interval':3600001", "health_interval", "100..3600000" },
        { "'health_timeout':9", "health_timeout", "10..60000" },
        { "'health_interval':500", "health_timeout",
          "1000 ms are more than health_interval, 500 ms" },
        { "'health_rise':0", "health_rise", "1..100" },
        { "'health_fall':101", "health_fall", "1..100" },
        { "'health_port':65536", "health_port", "0..65535" },
        { "'health_status':99", "health_status", "100..599" },
        { "'health_path':''", "health_path", "begin with a slash" },
        { "'health_path':'health'", "health_path", "begin with a slash" },
        { "'health_path':'/a b'", "health_path", "character" },
        { "'health_path':'/a\\r\\nHost: x'", "health_path", "character" },
        { "'health_path':'/234567890123456789012345678901234567890123456789"
          "012345678901234'", "health_path", "64 characters long" },
        { "'health_check':'tcp'," SOURCE, "health_port", "required" },
        { "'health_check':'tcp','health_port':80", "health_source",
          "required with this health_check" },
        { "'health_check':'icmp'", "health_source", "required" },
        { "'health_check':'icmp','health_source':'10.1.0.100'",
          "health_source", "10.1.0.100 is the group's address" },
        { "'health_check':'icmp','health_source':'2001:db8::2'",
          "health_source", "not of the IP version" },
        { "'health_source':'224.0.0.1'", "health_source", "unicast" },
        { "'health_source':'x'", "health_source", "not an IPv4 or IPv6" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *text = xasprintf("{" GROUP ",%s}", cases[i].members);
        struct json *json = catalog_text_json("%s", text);
        struct diagnosis diag;
        struct record record;

        if (!record_from_json(json, &record, &diag)) {
            fail_msg("%s was taken", text);
        }
        assert_string_equal(diag.field, cases[i].field);
        if (!strstr(diag.message, cases[i].part)) {
            fail_msg("\"%s\" does not have \"%s\"", diag.message,
                     cases[i].part);
        }
        json_destroy(json);
        free(text);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_members_come_back),
        cmocka_unit_test(what_is_not_given_is_the_default),
        cmocka_unit_test(what_cannot_be_is_refused_and_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
