/* To which ports a packet for a tenant goes that no port has asked for. */

#include <config.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "dp-packet.h"
#include "netdev.h"
#include "smap.h"
#include "util.h"
#include "vswitchd-ext/datapath.h"
#include "vswitchd-ext/netdev-anycast.h"
#include "vswitchd-ext/virtual-port.h"

/* Ports of several bridges. */
static struct {
    const char *name, *type, *vni;
    struct netdev *netdev;
    struct netdev_rxq *rxq;
} ports[] = {
    { .name = "any0", .type = NETDEV_ANYCAST_TYPE, .vni = "5001" },
    { .name = "any1", .type = NETDEV_ANYCAST_TYPE, .vni = "5001" },
    { .name = "any2", .type = NETDEV_ANYCAST_PMD_TYPE, .vni = "5001" },
    { .name = "any3", .type = NETDEV_ANYCAST_TYPE, .vni = "5002" },
    { .name = "any4", .type = NETDEV_ANYCAST_TYPE }, /* All tenants. */
};

static int
set_up(void **state OVS_UNUSED)
{
    datapath_init();
    netdev_anycast_register();
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        struct smap options = SMAP_INITIALIZER(&options);

        if (ports[i].vni) {
            smap_add(&options, "vni", ports[i].vni);
        }
        if (netdev_open(ports[i].name, ports[i].type, &ports[i].netdev)
            || netdev_set_config(ports[i].netdev, &options, NULL)
            || netdev_rxq_open(ports[i].netdev, &ports[i].rxq, 0)) {
            return 1;
        }
        smap_destroy(&options);
    }
    return 0;
}

static int
tear_down(void **state OVS_UNUSED)
{
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        netdev_rxq_close(ports[i].rxq);
        netdev_close(ports[i].netdev);
    }
    return 0;
}

/* How many packets port 'i' hands to its bridge, each being 'size' bytes. */
static int
receive(size_t i, size_t size)
{
    struct dp_packet_batch batch;
    struct dp_packet *packet;
    int n;

    dp_packet_batch_init(&batch);
    if (netdev_rxq_recv(ports[i].rxq, &batch, NULL)) {
        return 0;
    }
    DP_PACKET_BATCH_FOR_EACH (j, packet, &batch) {
        assert_int_equal(dp_packet_size(packet), size);
    }
    n = dp_packet_batch_size(&batch);
    dp_packet_delete_batch(&batch, true);
    return n;
}

static void
expect(uint32_t vni, const int expected[ARRAY_SIZE(ports)])
{
    static const uint8_t frame[60];

    netdev_anycast_deliver(vni, dp_packet_clone_data(frame, sizeof frame));
    for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
        assert_int_equal(receive(i, sizeof frame), expected[i]);
    }
}

static void
all_ports_that_serve_the_tenant_get_one(void **state OVS_UNUSED)
{
    expect(5001, (int[]) { 1, 1, 1, 0, 1 });
    expect(5002, (int[]) { 0, 0, 0, 1, 1 });
    expect(5003, (int[]) { 0, 0, 0, 0, 1 });
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_ports_that_serve_the_tenant_get_one),
    };

    return cmocka_run_group_tests_name("netdev-anycast", tests, set_up,
                                       tear_down);
}
