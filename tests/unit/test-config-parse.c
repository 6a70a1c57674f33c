/* What operators write about a host, well and badly. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "dirs.h"
#include "smap.h"
#include "util.h"
#include "vswitchd-ext/config-parse.h"

/* Reads 'text': "key=value" pairs, separated by spaces, of keys that start
 * with "grapnel-". */
static char *
parse(const char *text, struct config **config)
{
    struct smap ids = SMAP_INITIALIZER(&ids);
    char *copy = xstrdup(text), *save = NULL, *error;

    for (char *pair = strtok_r(copy, " ", &save); pair;
         pair = strtok_r(NULL, " ", &save)) {
        char *value = strchr(pair, '=');

        *value++ = '\0';
        smap_add_nocopy(&ids, xasprintf("grapnel-%s", pair), xstrdup(value));
    }
    error = config_parse(&ids, config);
    smap_destroy(&ids);
    free(copy);
    return error;
}

static struct config *
parse_well(const char *text)
{
    struct config *config;
    char *error = parse(text, &config);

    if (error) {
        fail_msg("%s: %s", text, error);
    }
    return config;
}

static void
test_defaults(void **state OVS_UNUSED)
{
    struct config *c = parse_well("");
    char *file = xasprintf("%s/grapnel-flows", ovs_rundir());
    char *table_file = xasprintf("%s/grapnel-table", ovs_dbdir());

    assert_null(c->mapd);
    assert_non_null(c->host);
    assert_true(!c->vtep.hi && !c->vtep.lo);
    assert_int_equal(c->encap, TUNNEL_GENEVE);
    assert_null(c->underlay);
    assert_int_equal(c->n_flows, 1048576);
    assert_int_equal(c->n_flows6, 262144);
    assert_string_equal(c->flows_file, file);
    assert_null(c->private_key);
    assert_null(c->certificate);
    assert_null(c->ca_cert);
    assert_string_equal(c->table_file, table_file);
    assert_null(c->region);
    assert_null(c->zone);
    assert_null(c->rack);
    assert_null(c->metrics);
    config_parse_free(c);
    free(file);
    free(table_file);
}

static void
test_all_keys(void **state OVS_UNUSED)
{
    struct config *c = parse_well(
        "mapd=tcp:192.0.2.9:6670 host=h1 vtep=192.0.2.1 encap=vxlan"
        " private-key=/k.pem certificate=/c:1.pem ca-cert=/ca.pem"
        " underlay=vtep0 flows=2000 flows6=64 flows-file=none"
        " table-file=none region=eu"
        " zone=eu-1 rack=r17 metrics=[2001:db8::1]:9464");

    assert_string_equal(c->mapd, "tcp:192.0.2.9:6670");
    assert_string_equal(c->private_key, "/k.pem");
    assert_string_equal(c->certificate, "/c:1.pem");
    assert_string_equal(c->ca_cert, "/ca.pem");
    assert_string_equal(c->host, "h1");
    assert_true(inet_addr_equal(c->vtep, inet_addr_from4(0xc0000201)));
    assert_int_equal(c->encap, TUNNEL_VXLAN);
    assert_string_equal(c->underlay, "vtep0");
    assert_int_equal(c->n_flows, 2000);
    assert_int_equal(c->n_flows6, 64);
    assert_null(c->flows_file);
    assert_null(c->table_file);
    assert_string_equal(c->region, "eu");
    assert_string_equal(c->zone, "eu-1");
    assert_string_equal(c->rack, "r17");
    assert_string_equal(c->metrics, "[2001:db8::1]:9464");
    config_parse_free(c);
}

static void
test_an_ipv6_vtep_and_a_file(void **state OVS_UNUSED)
{
    const struct inet_addr vtep = { 0x20010db800020000, 1 };
    struct config *c = parse_well("mapd=unix:/run/m vtep=2001:DB8:2:0::1"
                                  " flows=4000 flows-file=/dev/shm/f");

    assert_true(inet_addr_equal(c->vtep, vtep));
    assert_int_equal(c->n_flows6, 1000);
    assert_string_equal(c->flows_file, "/dev/shm/f");
    config_parse_free(c);

    /* A mapped address is the IPv4 address. */
    c = parse_well("vtep=::ffff:192.0.2.1");
    assert_true(inet_addr_equal(c->vtep, inet_addr_from4(0xc0000201)));
    config_parse_free(c);
}

/* Open vSwitch would take its database's port. */
static void
test_the_port_of_mapd(void **state OVS_UNUSED)
{
    static const char *const cases[][2] = {
        { "tcp:192.0.2.9", "tcp:192.0.2.9:6670" },
        { "tcp:192.0.2.9:80", "tcp:192.0.2.9:80" },
        { "ssl:192.0.2.9", "ssl:192.0.2.9:6670" },
        { "tcp:[2001:db8::9]", "tcp:[2001:db8::9]:6670" },
        { "ssl:[2001:db8::9]:1", "ssl:[2001:db8::9]:1" },
        { "unix:/run/m", "unix:/run/m" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char *text = xasprintf("vtep=192.0.2.1 mapd=%s", cases[i][0]);
        struct config *c = parse_well(text);

        assert_string_equal(c->mapd, cases[i][1]);
        config_parse_free(c);
        free(text);
    }
}

/* Each is refused with the key and the value. */
static void
test_bad_values(void **state OVS_UNUSED)
{
    static const char *const bad[] = {
        "mapd=192.0.2.9", "mapd=unix:relative", "mapd=tcp:h1:1",
        "mapd=ssl:h1", "mapd=udp:192.0.2.9", "mapd=tcp:192.0.2.9:0",
        "mapd=tcp:192.0.2.9:65536", "mapd=ssl:",
        "private-key=k", "certificate=c", "ca-cert=./ca",
        "vtep=192.0.2", "vtep=0.0.0.0", "vtep=224.0.0.1", "vtep=127.0.0.1",
        "vtep=255.255.255.255", "vtep=::", "vtep=::1", "vtep=ff02::1",
        "vtep=::ffff:127.0.0.1", "vtep=fe80::1", "vtep=febf::1",
        "vtep=2001:db8::1/64", "vtep=2001:db8::1%eth0", "vtep=2001:db8:::1",
        "encap=gre", "encap=GENEVE",
        "flows=0", "flows=1023", "flows=134217729", "flows=-1", "flows=1e6",
        "flows6=-1", "flows6=0", "flows6=63", "flows6=134217729",
        "flows6=many", "flows6=4294967296",
        "table-file=table", "flows-file=flows",
        "flows-file=None", "flows-file=./f",
        "region=-x", "zone=a/b", "rack=.", "rack=\xc3\xa4",
        "metrics=0", "metrics=65536", "metrics=-1", "metrics=any",
        "metrics=:9464", "metrics=9464:", "metrics=192.0.2.1:",
        "metrics=192.0.2:9464", "metrics=h1:9464", "metrics=192.0.2.1:0",
        "metrics=2001:db8::1:9464", "metrics=[2001:db8::1]",
        "metrics=9464:127.0.0.1", "metrics=192.0.2.1:9464:1",
    };

    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const char *value = strchr(bad[i], '=') + 1;
        char *key = xasprintf("external_ids:grapnel-%.*s:",
                              (int) (value - 1 - bad[i]), bad[i]);
        char *quoted = xasprintf("\"%s\"", value);
        struct config *config = (struct config *) bad;
        char *error = parse(bad[i], &config);

        if (!error || config) {
            fail_msg("%s: accepted", bad[i]);
        } else if (!strstr(error, key) || !strstr(error, quoted)) {
            fail_msg("%s: %s", bad[i], error);
        }
        free(error);
        free(quoted);
        free(key);
    }
}

static void
test_what_depends_on_what(void **state OVS_UNUSED)
{
    struct config *config;
    char *error = parse("mapd=unix:/run/m", &config);

    assert_non_null(error);
    assert_non_null(strstr(error, "external_ids:grapnel-vtep is missing"));
    free(error);

    error = parse("host=-h", &config);
    assert_non_null(error);
    assert_non_null(strstr(error, "\"-h\""));
    free(error);

    error = parse("private-key=/k certificate=/c", &config);
    assert_non_null(error);
    assert_non_null(strstr(error, "external_ids:grapnel-ca-cert is missing"));
    free(error);

    /* An empty value is none. */
    config = parse_well("vtep= flows6= region= flows-file=");
    assert_int_equal(config->n_flows6, 262144);
    assert_null(config->region);
    assert_non_null(config->flows_file);
    config_parse_free(config);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_all_keys),
        cmocka_unit_test(test_an_ipv6_vtep_and_a_file),
        cmocka_unit_test(test_the_port_of_mapd),
        cmocka_unit_test(test_bad_values),
        cmocka_unit_test(test_what_depends_on_what),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
