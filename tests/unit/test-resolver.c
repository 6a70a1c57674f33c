/* The resolver with a kernel of a few lines, which a test changes and whose
 * news it sends, or withholds. */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "util.h"
#include "vswitchd-ext/resolver.h"
#include "vswitchd-ext/rtnl.h"

#define VTEP 0xc6336402u        /* 198.51.100.2 */
#define SELF 0xc0000201u        /* 192.0.2.1 */

enum {
    DEVICE   = 3,
    OTHER    = 4,
    MTU      = 1500,
    MAX_NEWS = 1000,
    A_WHILE_MS = 130,           /* More than news is held back for. */
};

static struct {
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
    uint32_t used_ip;
} kernel;

static uint32_t
gateway_ip(int n)
{
    return 0xc0000200u + n;
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
rtnl_get_route(struct rtnl *rtnl OVS_UNUSED, uint32_t dst,
               uint32_t src OVS_UNUSED, struct rtnl_route *route)
{
    if (dst == SELF) {
        return EHOSTUNREACH;
    }
    kernel.n_routes++;
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
                                 .mtu = MTU };
    return 0;
}

int
rtnl_get_neighbour(struct rtnl *rtnl OVS_UNUSED, int ifindex, uint32_t ip,
                   struct mac *mac)
{
    if (!kernel.resolved) {
        return EHOSTUNREACH;
    }
    *mac = (struct mac) { { 2, 0, 0, 0, ifindex, ip } };
    return 0;
}

int
rtnl_use_neighbour(struct rtnl *rtnl OVS_UNUSED, int ifindex, uint32_t ip)
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
    send_news((struct rtnl_event) { .kind = RTNL_ROUTE,
                                    .ip = VTEP & 0xffffff00,
                                    .prefix_len = 24 });
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
set_up(void **state)
{
    struct resolver *r;

    memset(&kernel, 0, sizeof kernel);
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

    return resolver_lookup(r, VTEP, &hop) ? hop.dst_mac.octet[5] : 0;
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
    assert_int_equal(kernel.used_ip, gateway_ip(20));

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

    resolver_set_origin(r, SELF, DEVICE);
    assert_int_equal(gateway(r), 10);
    resolver_set_origin(r, SELF, OTHER);
    assert_int_equal(gateway(r), 0);
    kernel.ifindex = OTHER;
    send_route_news();
    resolver_run(r);
    assert_int_equal(gateway(r), 10);
    resolver_set_origin(r, SELF, 0);
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
                                        .ip = 0x0a000000 + (i << 8),
                                        .prefix_len = 24 });
        send_news((struct rtnl_event) { .kind = RTNL_ADDRESS,
                                        .ip = 0x0a000001,
                                        .prefix_len = 24,
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

int
main(void)
{
#define TEST(NAME) cmocka_unit_test_setup_teardown(NAME, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_a_gateway_that_resolves_late),
        TEST(test_a_way_that_comes_back),
        TEST(test_a_gateway_whose_news_is_lost),
        TEST(test_what_the_kernel_says_and_does_not_say),
        TEST(test_a_route_out_of_another_device),
        TEST(test_news_is_sifted_and_gathered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
