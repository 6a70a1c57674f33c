/* The resolver with a kernel of a few lines, which a test changes and whose
 * news it sends, or withholds.  Most tests run with IPv4 and with IPv6. */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "util.h"
#include "vswitchd-ext/resolver.h"
#include "vswitchd-ext/rtnl.h"

/* 198.51.100.2 and 2001:db8:64::2, 192.0.2.1 and 2001:db8:2::1. */
static const struct inet_addr vtep4 = { 0, 0xffffc6336402 };
static const struct inet_addr vtep6 = { 0x20010db800640000, 2 };
static const struct inet_addr self4 = { 0, 0xffffc0000201 };
static const struct inet_addr self6 = { 0x20010db800020000, 1 };
static const struct inet_addr nowhere;

enum {
    DEVICE   = 3,
    OTHER    = 4,
    MTU      = 1500,
    MTU6     = 1400,            /* As if a router had said so. */
    MAX_NEWS = 1000,
    A_WHILE_MS = 130,           /* More than news is held back for. */
};

static struct {
    bool v6;                    /* What VTEPs and gateways are. */
    bool gateway_v6;            /* Gateways are, whatever VTEPs are. */

    /* One route, to everywhere: via the gateway with this number, whose
     * address and MAC address have it at the end. */
    int error;                  /* Its answer. */
    int ifindex;
    int gateway;
    bool resolved;              /* Whether gateways have MAC addresses. */

    struct rtnl_event news[MAX_NEWS];
    size_t n_news;

    unsigned int n_routes, n_used; /* Questions. */
    int used_ifindex;
    struct inet_addr used_ip;
    struct inet_addr asked_source;
} kernel;

static struct inet_addr
vtep(void)
{
    return kernel.v6 ? vtep6 : vtep4;
}

static struct inet_addr
self(void)
{
    return kernel.v6 ? self6 : self4;
}

/* IPv6 gateways are link-local: each device may have one of that name. */
static struct inet_addr
gateway_ip(int n)
{
    return (kernel.v6 || kernel.gateway_v6
            ? (struct inet_addr) { UINT64_C(0xfe80) << 48, n }
            : inet_addr_from4(0xc0000200 + n));
}

int
rtnl_open(struct rtnl **rtnl)
{
    *rtnl = NULL;
    return 0;
}

void
rtnl_close(struct rtnl *rtnl OVS_UNUSED)
{
}

int
rtnl_get_route(struct rtnl *rtnl OVS_UNUSED, struct inet_addr dst,
               struct inet_addr src, struct rtnl_route *route)
{
    if (inet_addr_equal(dst, self())) {
        return EHOSTUNREACH;
    }
    kernel.n_routes++;
    kernel.asked_source = src;
    if (!kernel.error) {
        *route = (struct rtnl_route) { .ifindex = kernel.ifindex,
                                       .next_hop
                                           = gateway_ip(kernel.gateway) };
    }
    return kernel.error;
}

int
rtnl_get_link(struct rtnl *rtnl OVS_UNUSED, int ifindex,
              struct rtnl_link *link)
{
    *link = (struct rtnl_link) { .mac = { { 2, 0, 0, 0, 1, ifindex } },
                                 .mtu = MTU, .mtu6 = MTU6 };
    return 0;
}

int
rtnl_get_neighbour(struct rtnl *rtnl OVS_UNUSED, int ifindex,
                   struct inet_addr ip, struct mac *mac)
{
    if (!kernel.resolved) {
        return EHOSTUNREACH;
    }
    *mac = (struct mac) { { 2, 0, 0, 0, ifindex, ip.lo } };
    return 0;
}

int
rtnl_use_neighbour(struct rtnl *rtnl OVS_UNUSED, int ifindex,
                   struct inet_addr ip)
{
    kernel.n_used++;
    kernel.used_ifindex = ifindex;
    kernel.used_ip = ip;
    return 0;
}

void
rtnl_receive(struct rtnl *rtnl OVS_UNUSED, rtnl_event_cb *cb, void *aux)
{
    for (size_t i = 0; i < kernel.n_news; i++) {
        cb(&kernel.news[i], aux);
    }
    kernel.n_news = 0;
}

void
rtnl_wait(struct rtnl *rtnl OVS_UNUSED)
{
}

static void
send_news(struct rtnl_event event)
{
    assert_true(kernel.n_news < MAX_NEWS);
    kernel.news[kernel.n_news++] = event;
}

static void
send_route_news(void)
{
    struct inet_addr network = vtep();

    network.lo &= ~UINT64_C(0xff);
    send_news((struct rtnl_event) { .kind = RTNL_ROUTE, .ip = network,
                                    .prefix_len = 120 });
}

static void
send_neighbour_news(int ifindex, int gateway)
{
    send_news((struct rtnl_event) { .kind = RTNL_NEIGHBOUR,
                                    .ifindex = ifindex,
                                    .ip = gateway_ip(gateway),
                                    .mac = { { 2, 0, 0, 0, ifindex,
                                               gateway } } });
}

static void
wait_a_while(void)
{
    usleep(A_WHILE_MS * 1000);
}

static int
set_up_family(void **state, bool v6)
{
    struct resolver *r;

    memset(&kernel, 0, sizeof kernel);
    kernel.v6 = v6;
    kernel.ifindex = DEVICE;
    kernel.gateway = 10;
    kernel.resolved = true;
    if (resolver_create(&r)) {
        return 1;
    }
    *state = r;
    return 0;
}

static int
set_up(void **state)
{
    return set_up_family(state, false);
}

static int
set_up_v6(void **state)
{
    return set_up_family(state, true);
}

static int
tear_down(void **state)
{
    resolver_destroy(*state);
    return 0;
}

/* The number of the gateway that frames go to, 0 if none. */
static int
gateway(struct resolver *r)
{
    struct resolver_hop hop;

    return resolver_lookup(r, vtep(), &hop) ? hop.dst_mac.octet[5] : 0;
}

static void
test_a_gateway_that_resolves_late(void **state)
{
    struct resolver *r = *state;
    uint64_t seqno;

    assert_int_equal(gateway(r), 10);
    seqno = resolver_run(r);

    /* The new one is on another device. */
    kernel.ifindex = OTHER;
    kernel.gateway = 20;
    kernel.resolved = false;
    send_route_news();
    assert_int_equal(resolver_run(r), seqno);
    assert_int_equal(gateway(r), 10);
    assert_int_equal(kernel.used_ifindex, OTHER);
    assert_true(inet_addr_equal(kernel.used_ip, gateway_ip(20)));

    wait_a_while();
    kernel.resolved = true;
    send_neighbour_news(OTHER, 20);
    assert_int_not_equal(resolver_run(r), seqno);
    assert_int_equal(gateway(r), 20);
}

static void
test_a_way_that_comes_back(void **state)
{
    struct resolver *r = *state;

    assert_int_equal(gateway(r), 10);
    kernel.error = ENETUNREACH;
    send_route_news();
    resolver_run(r);
    wait_a_while();
    kernel.error = 0;
    kernel.resolved = false;
    send_route_news();
    resolver_run(r);
    assert_int_equal(gateway(r), 0);
    wait_a_while();
    kernel.resolved = true;
    send_neighbour_news(DEVICE, 10);
    resolver_run(r);
    assert_int_equal(gateway(r), 10);
}

static void
check_why(const struct resolver *r, const char *expected)
{
    char why[RESOLVER_WHY_LEN];

    resolver_explain(r, vtep(), why, sizeof why);
    if (expected[0] ? !strstr(why, expected) : why[0]) {
        fail_msg("\"%s\" does not say \"%s\"", why, expected);
    }
}

static void
test_patience_has_an_end(void **state)
{
    struct resolver *r = *state;
    uint64_t seqno;

    assert_false(resolver_gave_up(r, vtep()));
    kernel.resolved = false;
    assert_int_equal(gateway(r), 0);
    seqno = resolver_run(r);
    check_why(r, kernel.v6 ? "has not answered ND" : "has not answered ARP");
    assert_false(resolver_gave_up(r, vtep()));
    usleep(RESOLVER_PATIENCE_MS / 2 * 1000);
    assert_int_equal(resolver_run(r), seqno);
    assert_false(resolver_gave_up(r, vtep()));
    usleep((RESOLVER_PATIENCE_MS / 2 + 10) * 1000);
    assert_int_not_equal(resolver_run(r), seqno);
    assert_true(resolver_gave_up(r, vtep()));
    seqno = resolver_run(r);

    kernel.resolved = true;
    send_neighbour_news(DEVICE, 10);
    wait_a_while();
    assert_int_not_equal(resolver_run(r), seqno);
    assert_false(resolver_gave_up(r, vtep()));
    check_why(r, "");
    assert_int_equal(gateway(r), 10);

    /* What was known once is missed from then on. */
    kernel.error = ENETUNREACH;
    wait_a_while();
    send_route_news();
    seqno = resolver_run(r);
    assert_int_equal(gateway(r), 0);
    check_why(r, "unreachable");
    assert_false(resolver_gave_up(r, vtep()));
    assert_int_equal(resolver_run(r), seqno);
}

static void
test_an_origin_that_is_not_ours(void **state)
{
    struct resolver *r = *state;

    assert_true(resolver_origin_is_local(r));
    resolver_set_origin(r, self(), 0);
    assert_true(resolver_origin_is_local(r));
    resolver_set_origin(r, vtep(), 0);
    assert_false(resolver_origin_is_local(r));

    /* It may be said to be of this machine, or not be known, later. */
    kernel.error = EHOSTUNREACH;
    send_news((struct rtnl_event) { .kind = RTNL_ADDRESS, .ip = vtep(),
                                    .prefix_len = 128 });
    resolver_run(r);
    assert_true(resolver_origin_is_local(r));
}

static void
test_a_gateway_whose_news_is_lost(void **state)
{
    struct resolver *r = *state;

    kernel.resolved = false;
    assert_int_equal(gateway(r), 0);
    kernel.resolved = true;
    resolver_run(r);
    assert_int_equal(gateway(r), 0);
    usleep(1100 * 1000);
    resolver_run(r);
    assert_int_equal(gateway(r), 10);
}

static void
test_what_the_kernel_says_and_does_not_say(void **state)
{
    struct resolver *r = *state;
    uint64_t seqno;

    assert_int_equal(gateway(r), 10);
    seqno = resolver_run(r);
    kernel.error = EAGAIN;
    send_route_news();
    assert_int_equal(resolver_run(r), seqno);
    assert_int_equal(gateway(r), 10);

    wait_a_while();
    kernel.error = ENETUNREACH;
    send_route_news();
    assert_int_not_equal(resolver_run(r), seqno);
    assert_int_equal(gateway(r), 0);

    wait_a_while();
    kernel.error = 0;
    send_news((struct rtnl_event) { .kind = RTNL_LOST });
    resolver_run(r);
    assert_int_equal(gateway(r), 10);
}

static void
test_a_route_out_of_another_device(void **state)
{
    struct resolver *r = *state;

    resolver_set_origin(r, self(), DEVICE);
    assert_int_equal(gateway(r), 10);
    resolver_set_origin(r, self(), OTHER);
    assert_int_equal(gateway(r), 0);
    kernel.ifindex = OTHER;
    send_route_news();
    resolver_run(r);
    assert_int_equal(gateway(r), 10);
    resolver_set_origin(r, self(), 0);
    assert_int_equal(gateway(r), 10);
}

/* News about other things costs nothing, and a flood of it little. */
static void
test_news_is_sifted_and_gathered(void **state)
{
    struct resolver *r = *state;
    unsigned int n_routes, n_used;
    uint64_t seqno;

    assert_int_equal(gateway(r), 10);
    seqno = resolver_run(r);
    n_routes = kernel.n_routes;
    n_used = kernel.n_used;

    for (int i = 0; i < 100; i++) {
        send_news((struct rtnl_event) { .kind = RTNL_LINK,
                                        .ifindex = 100 + i });
        send_news((struct rtnl_event) { .kind = RTNL_ROUTE,
                                        .ip = inet_addr_from4(0x0a000000
                                                              + (i << 8)),
                                        .prefix_len = 120 });
        send_news((struct rtnl_event) { .kind = RTNL_ROUTE,
                                        .ip = { 0x20010db8, i << 8 },
                                        .prefix_len = 120 });
        /* A default route of the other family. */
        send_news((struct rtnl_event) {
            .kind = RTNL_ROUTE,
            .ip = kernel.v6 ? inet_addr_from4(0) : nowhere,
            .prefix_len = kernel.v6 ? 96 : 0,
        });
        send_news((struct rtnl_event) { .kind = RTNL_ADDRESS,
                                        .ip = inet_addr_from4(0x0a000001),
                                        .prefix_len = 120,
                                        .ifindex = 100 + i });
        send_neighbour_news(DEVICE, 11 + i);
        send_neighbour_news(OTHER, 10);
        send_neighbour_news(DEVICE, 10); /* As known. */
        assert_int_equal(resolver_run(r), seqno);
    }
    assert_int_equal(kernel.n_routes, n_routes);
    assert_int_equal(kernel.n_used, n_used);

    for (int i = 0; i < 100; i++) {
        send_route_news();
        send_news((struct rtnl_event) { .kind = RTNL_LINK,
                                        .ifindex = DEVICE });
        assert_int_equal(resolver_run(r), seqno);
    }
    assert_in_range(kernel.n_routes, n_routes + 1, n_routes + 2);

    /* The last word is not lost. */
    kernel.gateway = 30;
    wait_a_while();
    assert_int_not_equal(resolver_run(r), seqno);
    assert_int_equal(gateway(r), 30);
}

static void
test_the_default_route_concerns_everything(void **state)
{
    struct resolver *r = *state;
    uint64_t seqno;

    assert_int_equal(gateway(r), 10);
    seqno = resolver_run(r);
    kernel.gateway = 20;
    send_news((struct rtnl_event) {
        .kind = RTNL_ROUTE, .ip = kernel.v6 ? nowhere : inet_addr_from4(0),
        .prefix_len = kernel.v6 ? 0 : 96,
    });
    assert_int_not_equal(resolver_run(r), seqno);
    assert_int_equal(gateway(r), 20);
}

static void
test_what_a_router_says_of_the_mtu_is_for_ipv6(void **state)
{
    struct resolver_hop hop;

    assert_true(resolver_lookup(*state, vtep(), &hop));
    assert_int_equal(hop.mtu, kernel.v6 ? MTU6 : MTU);
}

/* As in fabrics whose links have no IPv4 addresses (RFC 8950). */
static void
test_an_ipv4_vtep_behind_an_ipv6_gateway(void **state)
{
    struct resolver *r = *state;
    uint64_t seqno;

    kernel.gateway_v6 = true;
    assert_int_equal(gateway(r), 10);
    assert_true(inet_addr_equal(kernel.used_ip, gateway_ip(10)));

    seqno = resolver_run(r);
    kernel.gateway = 20;
    kernel.resolved = false;
    send_route_news();
    assert_int_equal(resolver_run(r), seqno);
    kernel.resolved = true;
    wait_a_while();
    send_neighbour_news(DEVICE, 20);
    assert_int_not_equal(resolver_run(r), seqno);
    assert_int_equal(gateway(r), 20);
}

static void
test_the_source_asked_with(void **state)
{
    struct resolver *r = *state;
    const struct inet_addr elsewhere = kernel.v6 ? vtep6 : vtep4;

    assert_int_equal(gateway(r), 10);
    assert_true(inet_addr_equal(kernel.asked_source, nowhere));
    resolver_set_origin(r, self(), 0);
    assert_true(inet_addr_equal(kernel.asked_source, self()));
    resolver_set_origin(r, elsewhere, 0);
    assert_true(inet_addr_equal(kernel.asked_source, nowhere));
}

static void
test_no_way_to_a_vtep_of_the_other_family(void **state)
{
    struct resolver *r = *state;
    const struct inet_addr other = kernel.v6 ? vtep4 : vtep6;
    struct resolver_hop hop;

    assert_true(resolver_lookup(r, other, &hop));
    resolver_set_origin(r, self(), DEVICE);
    assert_false(resolver_lookup(r, other, &hop));
    assert_int_equal(gateway(r), 10);
    resolver_set_origin(r, kernel.v6 ? self4 : self6, DEVICE);
    assert_true(resolver_lookup(r, other, &hop));
    assert_int_equal(gateway(r), 0);
}

/* Which VTEPs news about a prefix concerns, against a bit by bit twin. */

enum { N_VTEPS = 300, N_PREFIXES = 10 };

static bool
bit(struct inet_addr a, int i)
{
    return (i < 64 ? a.hi >> (63 - i) : a.lo >> (127 - i)) & 1;
}

static struct inet_addr
flip(struct inet_addr a, int i)
{
    if (i < 64) {
        a.hi ^= UINT64_C(1) << (63 - i);
    } else {
        a.lo ^= UINT64_C(1) << (127 - i);
    }
    return a;
}

static bool
naively_covers(struct inet_addr prefix, int len, struct inet_addr a)
{
    if (inet_addr_is4(prefix) != inet_addr_is4(a)) {
        return false;
    }
    for (int i = 0; i < len; i++) {
        if (bit(prefix, i) != bit(a, i)) {
            return false;
        }
    }
    return true;
}

/* Neighbours of each other by a bit, so that each prefix splits them. */
static void
make_vteps(struct inet_addr vteps[N_VTEPS])
{
    for (int i = 0; i < N_VTEPS; i++) {
        vteps[i] = i < 128 ? flip(vtep6, i) : i < 160 ? flip(vtep4, i - 32)
                   : i % 2 ? (struct inet_addr) { vtep6.hi, rand() }
                   : inet_addr_from4(0xc0000000 + rand() % 65536);
    }
}

static void
test_prefixes_bit_by_bit(void **state)
{
    static const int lens[N_PREFIXES] = {
        0, 1, 63, 64, 65, 127, 128, 96, 120, 127
    };
    struct inet_addr vteps[N_VTEPS];
    struct resolver *r = *state;
    struct resolver_hop hop;

    make_vteps(vteps);
    for (int i = 0; i < N_VTEPS; i++) {
        resolver_lookup(r, vteps[i], &hop);
    }
    for (int i = 0; i < N_PREFIXES; i++) {
        struct inet_addr prefix = i < 7 ? vtep6 : vtep4;
        unsigned int before, n = 0;

        wait_a_while();
        resolver_run(r);
        before = kernel.n_routes;
        send_news((struct rtnl_event) { .kind = RTNL_ROUTE, .ip = prefix,
                                        .prefix_len = lens[i] });
        resolver_run(r);
        for (int j = 0; j < N_VTEPS; j++) {
            struct inet_addr *v = &vteps[j];
            bool is_first = true;

            for (int k = 0; k < j && is_first; k++) {
                is_first = !inet_addr_equal(*v, vteps[k]);
            }
            n += is_first && naively_covers(prefix, lens[i], *v);
        }
        assert_int_equal(kernel.n_routes - before, n);
    }
}

int
main(void)
{
#define BOTH(NAME) \
    cmocka_unit_test_setup_teardown(NAME, set_up, tear_down), \
    { #NAME " (IPv6)", NAME, set_up_v6, tear_down, NULL }
    const struct CMUnitTest tests[] = {
        BOTH(test_a_gateway_that_resolves_late),
        BOTH(test_a_way_that_comes_back),
        BOTH(test_a_gateway_whose_news_is_lost),
        BOTH(test_patience_has_an_end),
        BOTH(test_an_origin_that_is_not_ours),
        BOTH(test_what_the_kernel_says_and_does_not_say),
        BOTH(test_a_route_out_of_another_device),
        BOTH(test_news_is_sifted_and_gathered),
        BOTH(test_the_default_route_concerns_everything),
        BOTH(test_what_a_router_says_of_the_mtu_is_for_ipv6),
        BOTH(test_the_source_asked_with),
        BOTH(test_no_way_to_a_vtep_of_the_other_family),
        cmocka_unit_test_setup_teardown(
            test_an_ipv4_vtep_behind_an_ipv6_gateway, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_prefixes_bit_by_bit, set_up_v6,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
