/* What becomes of packets when a port's receivers come and go. */

#include <config.h>

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "openvswitch/poll-loop.h"
#include "seq.h"
#include "timeval.h"
#include "util.h"
#include "vswitchd-ext/virtual-port.h"

struct fixture {
    struct virtual_port *port;
    struct netdev_rxq rxq;
};

static int
set_up(void **state)
{
    struct fixture *f = xzalloc(sizeof *f);

    f->port = xzalloc_cacheline(sizeof *f->port);
    f->rxq.netdev = &f->port->up;
    *state = f;
    return virtual_port_construct(&f->port->up);
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    virtual_port_destruct(&f->port->up);
    free_cacheline(f->port);
    free(f);
    return 0;
}

static bool
deliver(struct fixture *f)
{
    return virtual_port_deliver(f->port, dp_packet_new(64));
}

/* How many packets the bridge gets. */
static size_t
receive(struct fixture *f)
{
    struct dp_packet_batch batch;
    size_t n;

    if (virtual_port_rxq_recv(&f->rxq, &batch, NULL) == EAGAIN) {
        return 0;
    }
    n = dp_packet_batch_size(&batch);
    dp_packet_delete_batch(&batch, true);
    return n;
}

static void
test_only_an_attached_port_takes_packets(void **state)
{
    struct fixture *f = *state;

    assert_false(deliver(f));
    virtual_port_rxq_construct(&f->rxq);
    assert_true(deliver(f));
    assert_true(deliver(f));
    assert_int_equal(receive(f), 2);
    virtual_port_rxq_destruct(&f->rxq);
    assert_false(deliver(f));
}

static void
test_what_was_not_received_is_dropped_with_the_last_receiver(void **state)
{
    struct fixture *f = *state;
    struct netdev_rxq other = f->rxq;

    virtual_port_rxq_construct(&f->rxq);
    virtual_port_rxq_construct(&other);
    assert_true(deliver(f));
    virtual_port_rxq_destruct(&other);
    assert_false(frame_ring_is_empty(f->port->ring));
    virtual_port_rxq_destruct(&f->rxq);
    assert_true(frame_ring_is_empty(f->port->ring));
    virtual_port_rxq_construct(&f->rxq);
    assert_int_equal(receive(f), 0);
    virtual_port_rxq_destruct(&f->rxq);
}

static void
test_a_port_that_is_down_takes_nothing(void **state)
{
    struct fixture *f = *state;
    enum netdev_flags old;
    uint64_t seq;

    virtual_port_rxq_construct(&f->rxq);
    seq = virtual_port_change_seq();
    virtual_port_update_flags(&f->port->up, NETDEV_UP, 0, &old);
    assert_true(virtual_port_change_seq() != seq);
    assert_false(deliver(f));
    virtual_port_update_flags(&f->port->up, 0, NETDEV_UP, &old);
    assert_true(deliver(f));
    assert_int_equal(receive(f), 1);
    virtual_port_rxq_destruct(&f->rxq);
}

enum { SOON_MS = 1000 };

/* What was waited for has happened already. */
static void
block_shortly(void)
{
    long long int start = time_msec();

    poll_timer_wait(2 * SOON_MS);
    poll_block();
    assert_true(time_msec() < start + SOON_MS);
}

/* Whether a delivery wakes whoever waits. */
static bool
delivery_wakes(struct fixture *f)
{
    uint64_t seq = seq_read(f->port->ring_seq);

    assert_true(deliver(f));
    return seq_read(f->port->ring_seq) != seq;
}

static void
test_only_a_receiver_that_sleeps_is_woken(void **state)
{
    struct fixture *f = *state;

    virtual_port_rxq_construct(&f->rxq);

    /* One that polls, as a PMD thread does. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(receive(f), 0);
        assert_false(delivery_wakes(f));
        assert_int_equal(receive(f), 1);
    }

    /* One that sleeps, once. */
    virtual_port_rxq_wait(&f->rxq);
    assert_true(delivery_wakes(f));
    assert_false(delivery_wakes(f));
    block_shortly();
    assert_int_equal(receive(f), 2);
    assert_false(delivery_wakes(f));

    /* One that would sleep, but there is something to receive. */
    virtual_port_rxq_wait(&f->rxq);
    block_shortly();
    assert_int_equal(receive(f), 1);
    virtual_port_rxq_destruct(&f->rxq);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_only_an_attached_port_takes_packets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_what_was_not_received_is_dropped_with_the_last_receiver,
            set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_port_that_is_down_takes_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_only_a_receiver_that_sleeps_is_woken, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
