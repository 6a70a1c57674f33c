/* The checks of one endpoint: what they send, by the clock that the test sets,
 * and the verdict, compared with what its definition makes of the history. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "openvswitch/vlog.h"
#include "packets.h"
#include "random.h"
#include "util.h"
#include "vswitchd-ext/health-probe.h"
#include "vswitchd-ext/netdev-anycast.h"

enum {
    VNI      = 5001,
    PORT     = 80,
    INTERVAL = 2000,
    TIMEOUT  = 500,
    N_PROBES = 1000,
};

/* What has left: the last of it, read again. */
static struct {
    unsigned int n;
    struct health_frame frame;
    char data[512];             /* Payload of TCP. */
} sent;

void
netdev_anycast_deliver(uint32_t vni, struct dp_packet *packet)
{
    assert_int_equal(vni, VNI);
    sent.n++;
    health_frame_parse(packet, &sent.frame);
    snprintf(sent.data, sizeof sent.data, "%.*s", (int) sent.frame.tcp.n,
             sent.frame.tcp.n ? sent.frame.tcp.data : "");
    dp_packet_delete(packet);
}

static struct health_probe probe;
static uint16_t next_port;
static long long int now_ms;

static void
begin(enum record_health_type check)
{
    const struct record_health config = {
        .check = check, .interval = INTERVAL, .timeout = TIMEOUT,
        .rise = 2, .fall = 3, .status = 200, .path = "/health",
    };

    memset(&sent, 0, sizeof sent);
    now_ms = 1000 * 1000;
    health_probe_init(&probe, 7, 3, now_ms);
    probe.vni = VNI;
    probe.dst_port = PORT;
    probe.path = (struct health_path) {
        .router = ETH_ADDR_C(0a,67,72,00,13,89),
        .endpoint = ETH_ADDR_C(02,00,00,00,00,01),
        .source = inet_addr_from4(0x0a0100fe),
        .address = inet_addr_from4(0x0a010064),
    };
    health_probe_configure(&probe, &config, now_ms);
}

/* Runs the probe at the time at which it asked for that; returns that time. */
static long long int
run(void)
{
    long long int next = health_probe_run(&probe, &next_port, now_ms);

    assert_true(next > now_ms);
    return next;
}

/* The endpoint's answer to what was sent last. */
static struct health_frame
reply(uint16_t flags)
{
    return (struct health_frame) {
        .kind = HEALTH_FRAME_TCP,
        .mac = probe.path.endpoint,
        .from = probe.path.address,
        .to = probe.path.source,
        .tcp = { .src_port = sent.frame.tcp.dst_port,
                 .dst_port = sent.frame.tcp.src_port,
                 .seq = 9000,
                 .ack = (sent.frame.tcp.seq + sent.frame.tcp.n
                         + !!(sent.frame.tcp.flags & TCP_SYN)),
                 .flags = flags },
    };
}

static bool
take(const struct health_frame *f)
{
    return health_probe_take(&probe, VNI, f, now_ms);
}

static bool
answer(uint16_t flags)
{
    struct health_frame f = reply(flags);

    return take(&f);
}

/* The answer of an HTTP server to the request. */
static bool
answer_http(const char *text)
{
    struct health_frame f = reply(TCP_ACK | TCP_PSH);

    f.tcp.data = text;
    f.tcp.n = strlen(text);
    return take(&f);
}

static void
check_verdict(bool healthy, const char *why)
{
    assert_true(probe.decided);
    assert_int_equal(probe.healthy, healthy);
    assert_string_equal(probe.why, why);
    assert_true(probe.is_new);
    probe.is_new = false;
}

static void
a_syn_is_answered_and_reset(void **state OVS_UNUSED)
{
    uint32_t seq;

    begin(HEALTH_TCP);
    run();
    assert_int_equal(sent.n, 1);
    assert_int_equal(sent.frame.tcp.flags, TCP_SYN);
    assert_int_equal(sent.frame.tcp.dst_port, PORT);
    seq = sent.frame.tcp.seq;
    assert_true(answer(TCP_SYN | TCP_ACK));
    assert_int_equal(sent.frame.tcp.flags, TCP_RST);
    assert_int_equal(sent.frame.tcp.seq, seq + 1);
    check_verdict(true, "");
    assert_int_equal(sent.n, 2);

    /* Nothing more is waited for. */
    assert_false(answer(TCP_SYN | TCP_ACK));
}

static void
answers_of_others_are_none(void **state OVS_UNUSED)
{
    struct health_frame good, f;

    begin(HEALTH_TCP);
    run();
    good = reply(TCP_SYN | TCP_ACK);
    f = good;
    f.mac.ea[5]++;
    assert_false(take(&f));
    f = good;
    f.from.lo++;
    assert_false(take(&f));
    f = good;
    f.tcp.dst_port++;
    assert_false(take(&f));
    assert_false(health_probe_take(&probe, VNI + 1, &good, now_ms));

    /* Of its own, but not to this SYN: passed over. */
    f = good;
    f.tcp.ack++;
    take(&f);
    f.tcp.flags = TCP_RST | TCP_ACK;
    take(&f);
    assert_false(probe.decided);
    assert_true(take(&good));
    check_verdict(true, "");
}

static void
silence_and_resets_are_failures(void **state OVS_UNUSED)
{
    begin(HEALTH_TCP);
    for (int i = 0; i < 3; i++) {
        long long int begun;

        assert_false(probe.decided);
        now_ms = run();         /* Gives up, and ... */
        begun = now_ms - TIMEOUT;
        now_ms = run();         /* ... begins again. */
        assert_true(now_ms <= begun + INTERVAL);
    }
    check_verdict(false, "no answer");
    run();
    assert_true(answer(TCP_RST | TCP_ACK));
    assert_string_equal(probe.why, "refused");
    assert_false(probe.is_new);
}

static void
http_is_judged_by_its_status(void **state OVS_UNUSED)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        { "HTTP/1.1 200 OK\r\n\r\n", NULL },
        { "HTTP/1.0 200 ", NULL },
        { "HTTP/1.1 503 Busy\r\n", "status 503" },
        { "SSH-2.0-OpenSSH", "an answer that is not HTTP/1" },
        { "HTTP/2 200\r\n", "an answer that is not HTTP/1" },
        { "H", "an answer that is not HTTP/1" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        begin(HEALTH_HTTP);
        run();
        assert_true(answer(TCP_SYN | TCP_ACK));
        assert_false(probe.decided);
        assert_string_equal(sent.data, "GET /health HTTP/1.1\r\n"
                            "Host: 10.1.0.100:80\r\nUser-Agent: grapnel\r\n"
                            "Connection: close\r\n\r\n");
        assert_int_equal(sent.frame.tcp.ack, 9001);
        assert_true(answer_http(cases[i].text));
        assert_int_equal(sent.frame.tcp.flags, TCP_RST);
        assert_int_equal(probe.decided, !cases[i].why);
        assert_string_equal(probe.why, cases[i].why ? cases[i].why : "");
    }
}

static void
a_request_without_an_answer_is_reset(void **state OVS_UNUSED)
{
    begin(HEALTH_HTTP);
    run();
    answer(TCP_SYN | TCP_ACK);
    now_ms += TIMEOUT;
    run();
    assert_int_equal(sent.frame.tcp.flags, TCP_RST);
    assert_string_equal(probe.why, "no answer to the request");
}

/* Healthy from the first good check on; then 'fall' bad ones in a row make it
 * ill, and 'rise' good ones well. */
static bool
judge(const char *history, bool *decided)
{
    bool healthy = true;

    *decided = false;
    for (size_t n = 1; n <= strlen(history); n++) {
        if ((!*decided && history[n - 1] == 'g')
            || (*decided && !healthy && n >= 2
                && !strncmp(&history[n - 2], "gg", 2))) {
            *decided = healthy = true;
        } else if (n >= 3 && !strncmp(&history[n - 3], "bbb", 3)) {
            *decided = true;
            healthy = false;
        }
    }
    return healthy;
}

static void
verdicts_follow_from_the_history(void **state OVS_UNUSED)
{
    for (uint32_t seed = 1; seed <= 300; seed++) {
        char history[41] = "";
        bool decided;

        random_set_seed(seed);
        begin(HEALTH_ICMP);
        for (size_t i = 0; i + 1 < sizeof history; i++) {
            now_ms = MAX(now_ms, probe.next);
            run();
            if (random_range(3)) {
                history[i] = 'b';
                now_ms = probe.next + TIMEOUT;
                health_probe_run(&probe, &next_port, now_ms);
            } else {
                struct health_frame f = {
                    .kind = HEALTH_FRAME_ECHO, .mac = probe.path.endpoint,
                    .from = probe.path.address, .to = probe.path.source,
                    .id = probe.src_port, .seq = probe.seq,
                };

                history[i] = 'g';
                assert_true(take(&f));
            }
            assert_int_equal(probe.healthy, judge(history, &decided));
            assert_int_equal(probe.decided, decided);
        }
    }
}

/* Endpoints that have come at once are not checked at once for ever. */
static void
checks_spread_over_the_interval(void **state OVS_UNUSED)
{
    unsigned int n[10] = { 0 };

    random_set_seed(1);
    for (int i = 0; i < N_PROBES; i++) {
        long long int next;

        begin(HEALTH_TCP);
        run();
        answer(TCP_SYN | TCP_ACK);
        next = run() - now_ms;
        assert_true(next > 0 && next <= INTERVAL);
        n[(next - 1) * 10 / INTERVAL]++;

        /* From then on, as often as is said. */
        now_ms += next;
        run();
        answer(TCP_SYN | TCP_ACK);
        assert_int_equal(run() - now_ms, INTERVAL);
    }
    for (int i = 0; i < 10; i++) {
        assert_true(n[i] < N_PROBES / 3);
    }
}

static void
what_comes_late_is_reset(void **state OVS_UNUSED)
{
    struct health_frame late;

    begin(HEALTH_TCP);
    run();
    late = reply(TCP_SYN | TCP_ACK);
    now_ms += TIMEOUT;
    run();
    assert_false(take(&late));
    assert_true(health_probe_is_sender(&probe, VNI, &late));
    health_probe_reset_late(&probe, &late.tcp);
    assert_int_equal(sent.frame.tcp.flags, TCP_RST);
    assert_int_equal(sent.frame.tcp.seq, late.tcp.ack);
    assert_int_equal(sent.frame.tcp.src_port, late.tcp.dst_port);
    late.to.lo++;
    assert_false(health_probe_is_sender(&probe, VNI, &late));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_syn_is_answered_and_reset),
        cmocka_unit_test(answers_of_others_are_none),
        cmocka_unit_test(silence_and_resets_are_failures),
        cmocka_unit_test(http_is_judged_by_its_status),
        cmocka_unit_test(a_request_without_an_answer_is_reset),
        cmocka_unit_test(verdicts_follow_from_the_history),
        cmocka_unit_test(checks_spread_over_the_interval),
        cmocka_unit_test(what_comes_late_is_reset),
    };

    vlog_set_levels(NULL, VLF_ANY_DESTINATION, VLL_OFF);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
