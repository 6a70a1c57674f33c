/* What rtnl.c reads, against a real kernel that `ip` has told what to say: in
 * a network namespace of the test's own, so as root. */

#include <config.h>

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "util.h"
#include "vswitchd-ext/address.h"
#include "vswitchd-ext/rtnl.h"

enum { N_EVENTS = 64, NEWS_WAIT_MS = 1000 };

static const struct inet_addr any_source;

struct fixture {
    struct rtnl *rtnl;
    int dev0, dev1;             /* Interface indexes. */
};

static void
command(const char *text)
{
    if (system(text)) {
        fail_msg("failed: %s", text);
    }
}

static struct inet_addr
addr(const char *text)
{
    struct inet_addr a;

    assert_true(address_parse(text, &a));
    return a;
}

/* dev0: 192.0.2.1/24, 2001:db8:2::1/64 and the default routes; dev1 has no
 * IPv4 address. */
static int
set_up(void **state)
{
    static struct fixture f;

    if (unshare(CLONE_NEWNET)) {
        return 1;
    }
    command("ip link add dev0 address 02:00:00:00:00:01 mtu 9000 type veth"
            "   peer peer0 mtu 9000"
            " && ip link add dev1 address 02:00:00:00:00:02 type veth"
            "   peer peer1"
            " && sysctl -qw net.ipv6.conf.dev0.accept_dad=0"
            "   net.ipv6.conf.dev1.accept_dad=0"
            " && for d in dev0 dev1 peer0 peer1; do ip link set $d up; done"
            " && ip link set lo up"
            " && ip addr add 192.0.2.1/24 dev dev0"
            " && ip addr add 2001:db8:2::1/64 dev dev0 nodad"
            " && ip route add default via 192.0.2.254"
            " && ip route add default via fe80::fe dev dev0");
    f.dev0 = if_nametoindex("dev0");
    f.dev1 = if_nametoindex("dev1");
    *state = &f;
    return rtnl_open(&f.rtnl);
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    rtnl_close(f->rtnl);
    return 0;
}

static void
check_route(struct fixture *f, const char *dst, int ifindex,
            const char *next_hop, int mtu)
{
    struct rtnl_route route;

    assert_int_equal(rtnl_get_route(f->rtnl, addr(dst), any_source, &route),
                     0);
    assert_int_equal(route.ifindex, ifindex);
    assert_true(inet_addr_equal(route.next_hop, addr(next_hop)));
    assert_int_equal(route.mtu, mtu);
}

static void
check_no_route(struct fixture *f, const char *dst, int error)
{
    struct rtnl_route route = { .mtu = 77 };

    assert_int_equal(rtnl_get_route(f->rtnl, addr(dst), any_source, &route),
                     error);
    assert_int_equal(route.mtu, 77);
}

static void
test_routes(void **state)
{
    struct fixture *f = *state;

    check_route(f, "192.0.2.7", f->dev0, "192.0.2.7", 0);
    check_route(f, "2001:db8:2::7", f->dev0, "2001:db8:2::7", 0);
    check_route(f, "198.51.100.1", f->dev0, "192.0.2.254", 0);
    check_route(f, "2001:db8:64::1", f->dev0, "fe80::fe", 0);

    command("ip route add 198.51.100.0/24 via inet6 fe80::99 dev dev1 mtu 1450"
            " && ip route add 2001:db8:64::/48 via fe80::99 dev dev1 mtu 1410"
            );
    check_route(f, "198.51.100.1", f->dev1, "fe80::99", 1450);
    check_route(f, "2001:db8:64::1", f->dev1, "fe80::99", 1410);
}

static void
test_no_routes(void **state)
{
    struct fixture *f = *state;

    check_no_route(f, "192.0.2.1", EHOSTUNREACH);
    check_no_route(f, "2001:db8:2::1", EHOSTUNREACH);
    command("ip route add unreachable 198.51.100.1"
            " && ip route add blackhole 198.51.100.2"
            " && ip route add prohibit 198.51.100.3"
            " && ip route add unreachable 2001:db8:64::1"
            " && ip route add blackhole 2001:db8:64::2"
            " && ip route add prohibit 2001:db8:64::3"
            " && ip -6 route del default && ip route del default");
    check_no_route(f, "198.51.100.1", EHOSTUNREACH);
    check_no_route(f, "198.51.100.2", ENETUNREACH);
    check_no_route(f, "198.51.100.3", ENETUNREACH);
    check_no_route(f, "198.51.100.4", ENETUNREACH);
    check_no_route(f, "2001:db8:64::1", EHOSTUNREACH);
    check_no_route(f, "2001:db8:64::2", ENETUNREACH);
    check_no_route(f, "2001:db8:64::3", ENETUNREACH);
    check_no_route(f, "2001:db8:64::4", ENETUNREACH);
}

static void
test_the_source_decides(void **state)
{
    struct fixture *f = *state;
    struct rtnl_route route;

    command("ip addr add 203.0.113.1/32 dev lo"
            " && ip addr add 2001:db8:71::1/128 dev lo"
            " && ip rule add from 203.0.113.1 lookup 9"
            " && ip -6 rule add from 2001:db8:71::1 lookup 9"
            " && ip route add default dev dev1 table 9"
            " && ip -6 route add default dev dev1 table 9");
    check_route(f, "198.51.100.1", f->dev0, "192.0.2.254", 0);
    check_route(f, "2001:db8:64::1", f->dev0, "fe80::fe", 0);
    assert_int_equal(rtnl_get_route(f->rtnl, addr("198.51.100.1"),
                                    addr("203.0.113.1"), &route), 0);
    assert_int_equal(route.ifindex, f->dev1);
    assert_int_equal(rtnl_get_route(f->rtnl, addr("2001:db8:64::1"),
                                    addr("2001:db8:71::1"), &route), 0);
    assert_int_equal(route.ifindex, f->dev1);
}

static void
test_links(void **state)
{
    static const struct mac mac0 = { { 2, 0, 0, 0, 0, 1 } };
    struct fixture *f = *state;
    struct rtnl_link link;

    command("sysctl -qw net.ipv6.conf.dev0.mtu=1400");
    assert_int_equal(rtnl_get_link(f->rtnl, f->dev0, &link), 0);
    assert_memory_equal(&link.mac, &mac0, sizeof mac0);
    assert_int_equal(link.mtu, 9000);
    assert_int_equal(link.mtu6, 1400);
    assert_int_equal(rtnl_get_link(f->rtnl, f->dev1, &link), 0);
    assert_int_equal(link.mtu, 1500);
    assert_int_equal(link.mtu6, 1500);

    assert_int_equal(rtnl_get_link(f->rtnl, if_nametoindex("lo"), &link),
                     EAFNOSUPPORT);
    assert_int_equal(rtnl_get_link(f->rtnl, 12345, &link), ENODEV);
}

static void
check_neighbour(struct fixture *f, int ifindex, const char *ip, int last)
{
    struct mac mac = { { 0 } };
    int error = rtnl_get_neighbour(f->rtnl, ifindex, addr(ip), &mac);

    assert_int_equal(error, last ? 0 : EHOSTUNREACH);
    assert_int_equal(mac.octet[5], last);
}

static void
test_neighbours(void **state)
{
    struct fixture *f = *state;

    /* One link-local address, on each link a neighbour of its own. */
    command("ip neigh add 192.0.2.254 lladdr 02:00:00:00:fa:b0 dev dev0"
            " && ip neigh add fe80::fe lladdr 02:00:00:00:fa:b1 dev dev0"
            " && ip neigh add fe80::fe lladdr 02:00:00:00:fa:b2 dev dev1"
            " && ip neigh add 2001:db8:2::9 lladdr 01:00:00:00:00:01 dev dev0"
            );
    check_neighbour(f, f->dev0, "192.0.2.254", 0xb0);
    check_neighbour(f, f->dev0, "fe80::fe", 0xb1);
    check_neighbour(f, f->dev1, "fe80::fe", 0xb2);
    check_neighbour(f, f->dev0, "192.0.2.253", 0);
    check_neighbour(f, f->dev0, "fe80::fd", 0);
    check_neighbour(f, f->dev0, "2001:db8:2::9", 0);
}

static void
test_a_neighbour_that_is_used_is_asked_for(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(rtnl_use_neighbour(f->rtnl, f->dev0, addr("192.0.2.9")),
                     0);
    assert_int_equal(rtnl_use_neighbour(f->rtnl, f->dev0, addr("fe80::9")),
                     0);
    command("ip neigh show to 192.0.2.9 dev dev0 | grep -q INCOMPLETE");
    command("ip neigh show to fe80::9 dev dev0 | grep -q INCOMPLETE");
}

/* The kernel itself would make an incomplete one of it (Linux 6.18 does). */
static void
test_a_neighbour_that_is_given_stays(void **state)
{
    static const struct {
        const char *ip, *nud;
        int last;
    } given[] = {
        { "192.0.2.9", "permanent", 0xb9 }, { "fe80::9", "permanent", 0xc9 },
        { "192.0.2.10", "noarp", 0xba }, { "fe80::a", "noarp", 0xca },
    };
    struct fixture *f = *state;
    char text[256];

    for (size_t i = 0; i < ARRAY_SIZE(given); i++) {
        snprintf(text, sizeof text, "ip neigh add %s lladdr 02:00:00:00:fa:%x"
                 " nud %s dev dev0", given[i].ip, given[i].last, given[i].nud);
        command(text);
        assert_int_equal(rtnl_use_neighbour(f->rtnl, f->dev0,
                                            addr(given[i].ip)), 0);
        check_neighbour(f, f->dev0, given[i].ip, given[i].last);
        snprintf(text, sizeof text, "ip neigh show nud all to %s dev dev0"
                 " | grep -qiw 'lladdr 02:00:00:00:fa:%x %s'", given[i].ip,
                 given[i].last, given[i].nud);
        command(text);
    }
}

/* But one that was found is confirmed. */
static void
test_a_neighbour_that_was_found_is_confirmed(void **state)
{
    static const char *const found[] = { "192.0.2.9", "fe80::9" };
    struct fixture *f = *state;
    char text[256];

    for (size_t i = 0; i < ARRAY_SIZE(found); i++) {
        snprintf(text, sizeof text, "ip neigh add %s lladdr 02:00:00:00:fa:b0"
                 " nud stale dev dev0", found[i]);
        command(text);
        assert_int_equal(rtnl_use_neighbour(f->rtnl, f->dev0, addr(found[i])),
                         0);
        snprintf(text, sizeof text, "ip neigh show to %s dev dev0"
                 " | grep -Eqw 'DELAY|PROBE'", found[i]);
        command(text);
    }
}

struct news {
    struct rtnl_event events[N_EVENTS];
    size_t n;
};

static void
note(const struct rtnl_event *event, void *news_)
{
    struct news *news = news_;

    if (news->n < N_EVENTS) {
        news->events[news->n++] = *event;
    }
}

/* Runs 'text', and waits for news as 'wanted'. */
static void
check_news(struct fixture *f, const char *text, struct rtnl_event wanted)
{
    command(text);
    for (int i = 0; i < NEWS_WAIT_MS; i++) {
        struct news news = { .n = 0 };

        rtnl_receive(f->rtnl, note, &news);
        for (size_t j = 0; j < news.n; j++) {
            const struct rtnl_event *e = &news.events[j];

            if (e->kind == wanted.kind && e->ifindex == wanted.ifindex
                && e->prefix_len == wanted.prefix_len
                && inet_addr_equal(e->ip, wanted.ip)
                && !memcmp(&e->mac, &wanted.mac, sizeof e->mac)) {
                return;
            }
        }
        usleep(1000);
    }
    fail_msg("no news of: %s", text);
}

static void
check_prefix_news(struct fixture *f, const char *text, enum rtnl_kind kind,
                  int ifindex, const char *ip, int prefix_len)
{
    check_news(f, text, (struct rtnl_event) { .kind = kind, .ip = addr(ip),
                                              .ifindex = ifindex,
                                              .prefix_len = prefix_len });
}

static void
test_news(void **state)
{
    struct fixture *f = *state;

    check_prefix_news(f, "ip route add 198.51.100.0/24 via 192.0.2.9",
                      RTNL_ROUTE, 0, "198.51.100.0", 120);
    check_prefix_news(f, "ip route add 2001:db8:64::/48 via 2001:db8:2::9",
                      RTNL_ROUTE, 0, "2001:db8:64::", 48);
    check_prefix_news(f, "ip route del default", RTNL_ROUTE, 0, "0.0.0.0",
                      96);
    check_prefix_news(f, "ip -6 route del default", RTNL_ROUTE, 0, "::", 0);
    check_prefix_news(f, "ip addr add 203.0.113.1 peer 203.0.113.2/32"
                      " dev dev1", RTNL_ADDRESS, f->dev1, "203.0.113.1", 128);
    check_prefix_news(f, "ip addr add 2001:db8:71::1/64 dev dev1 nodad",
                      RTNL_ADDRESS, f->dev1, "2001:db8:71::1", 64);
    check_prefix_news(f, "ip addr del 2001:db8:71::1/64 dev dev1",
                      RTNL_ADDRESS, f->dev1, "2001:db8:71::1", 64);
    check_news(f, "ip link set dev1 mtu 1400",
               (struct rtnl_event) { .kind = RTNL_LINK,
                                     .ifindex = f->dev1 });
    check_news(f, "ip neigh add 192.0.2.254 lladdr 02:00:00:00:fa:b0 dev dev0",
               (struct rtnl_event) { .kind = RTNL_NEIGHBOUR,
                                     .ifindex = f->dev0,
                                     .ip = addr("192.0.2.254"),
                                     .mac = { { 2, 0, 0, 0, 0xfa, 0xb0 } } });
    check_news(f, "ip neigh add fe80::fe lladdr 02:00:00:00:fa:b1 dev dev0",
               (struct rtnl_event) { .kind = RTNL_NEIGHBOUR,
                                     .ifindex = f->dev0,
                                     .ip = addr("fe80::fe"),
                                     .mac = { { 2, 0, 0, 0, 0xfa, 0xb1 } } });
}

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_routes),
        TEST(test_no_routes),
        TEST(test_the_source_decides),
        TEST(test_links),
        TEST(test_neighbours),
        TEST(test_a_neighbour_that_is_used_is_asked_for),
        TEST(test_a_neighbour_that_is_given_stays),
        TEST(test_a_neighbour_that_was_found_is_confirmed),
        TEST(test_news),
    };

    if (geteuid()) {
        puts("skipped: only root can make a network namespace");
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
