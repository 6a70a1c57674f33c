"""Cases: which endpoint, and what the frame for it looks like."""

from scapy.all import Dot1Q, Ether, IP, IPOption, TCP, UDP, raw

from casebook import CLIENT, KEY, VIP, case, eth, ip, mac, tcp, udp, \
    with_partial_csum
from decode import Outer, check_forwarded, equal, flow_slot, group_seed, \
    router_mac


@case
class _:
    "a-syn-is-sent-to-the-host-of-its-slot"
    frames = [eth() / ip() / tcp(sport=40000 + i) for i in range(24)]

    def check(run):
        seed = group_seed(KEY, 5001, VIP, 6, 80)
        seen = set()
        for p, sent in run.sent.items():
            slot = flow_slot(KEY, seed, CLIENT, sent[TCP].sport, 80, 256)
            owner = slot // 64          # Slots 0-63 are endpoint 0's, ...
            outer = run.endpoint(p, min(owner, 2), mac(owner + 1))
            equal(outer.context, {"group": 1, "epoch": 7, "new": True},
                  "context")
            seen.add(owner)
        equal(seen, {0, 1, 2, 3}, "endpoints chosen")
        ports = {Outer(f).port for f in run.out.values()}
        assert len(ports) > 20, f"only {len(ports)} outer source ports"
        equal(run.counters, {"underlay": 24, "new_flows": 24}, "counters")


@case
class _:
    "a-flow-stays-when-its-slot-moves"
    frames = [eth() / ip() / tcp(flags="S"),
              eth() / ip() / tcp(flags="A"),
              # Here all slots move to endpoint 1.
              eth() / ip() / tcp(flags="PA") / b"GET /",
              eth() / ip() / tcp(sport=40001, flags="S"),
              eth() / ip() / tcp(flags="FA"),
              eth() / ip() / tcp(flags="A"),
              # The same ports again: a new connection.
              eth() / ip() / tcp(flags="S")]

    def check(run):
        for p, host, epoch, new in ((1, 0, 7, True), (2, 0, 7, False),
                                    (3, 0, 8, False), (4, 1, 8, True),
                                    (5, 0, 8, False), (6, 0, 8, False),
                                    (7, 1, 8, True)):
            outer = run.endpoint(p, host, mac(host + 1))
            equal(outer.context, {"group": 1, "epoch": epoch, "new": new},
                  f"context of {p}")
        equal(run.counters["new_flows"], 3, "new_flows")


@case
class _:
    "a-draining-endpoint-keeps-its-flows-and-gets-no-new-ones"
    frames = [eth() / ip() / tcp(flags="S"),
              # Endpoint 0 drains from here on.
              eth() / ip() / tcp(flags="A"),
              eth() / ip() / tcp(sport=40001, flags="S")]

    def check(run):
        run.endpoint(1, 0, mac(1))
        run.endpoint(2, 0, mac(1))
        run.endpoint(3, 1, mac(2))


@case
class _:
    "a-flow-leaves-an-endpoint-that-is-down"
    frames = [eth() / ip() / tcp(flags="S"),
              # Endpoint 0 is down from here on, its slots are endpoint 1's.
              eth() / ip() / tcp(flags="A"),
              eth() / ip() / tcp(flags="A")]

    def check(run):
        run.endpoint(1, 0, mac(1))
        equal(run.endpoint(2, 1, mac(2)).context["new"], True, "new")
        equal(run.endpoint(3, 1, mac(2)).context["new"], False, "new")
        equal(run.counters["repicked"], 1, "repicked")


@case
class _:
    "udp-is-balanced-like-tcp"
    frames = [eth() / ip() / udp(sport=40000 + i) / b"question"
              for i in range(8)] * 2

    def check(run):
        seed = group_seed(KEY, 5001, VIP, 17, 0)     # All ports.
        owners = set()
        for p, sent in run.sent.items():
            slot = flow_slot(KEY, seed, CLIENT, sent[UDP].sport, 5300,
                             256)
            owner = slot // 128
            owners.add(owner)
            run.endpoint(p, owner, mac(owner + 1))
        equal(owners, {0, 1}, "endpoints chosen")
        equal(run.counters["new_flows"], 8, "new_flows")


@case
class _:
    "with-source-affinity-a-client-has-one-endpoint"
    frames = [eth() / ip(src=f"10.1.0.{client}") / tcp(sport=port)
              for client in range(2, 10) for port in (40000, 40001, 40002)]

    def check(run):
        seed = group_seed(KEY, 5001, VIP, 6, 0)
        owners = set()
        for p, sent in run.sent.items():
            slot = flow_slot(KEY, seed, sent[IP].src, 0, 0, 256)
            owner = slot // 128
            owners.add(owner)
            run.endpoint(p, owner, mac(owner + 1))
        equal(owners, {0, 1}, "endpoints chosen")
        equal(run.counters["new_flows"], 8, "new_flows")


@case
class _:
    "vxlan-carries-no-context-option"
    frames = [eth() / ip() / tcp(),
              eth() / ip() / tcp(flags="A") / (b"x" * 99)]

    def check(run):
        for p in (1, 2):
            outer = run.endpoint(p, 0, mac(1), kind="vxlan")
            equal(len(run.out[p]), len(run.sent[p]) + 50, "length")
            equal(outer.context, None, "context")


@case
class _:
    "two-tenants-with-the-same-address-do-not-mix"
    frames = [eth() / ip() / tcp(), eth() / ip() / tcp(),
              eth() / ip() / tcp(), eth() / ip() / tcp(),
              eth() / ip() / tcp()]

    def check(run):
        for p in (1, 3):
            outer = run.endpoint(p, 0, mac(1), vni=5001)
            equal(outer.context["group"], 1, "group")
        for p in (2, 4):
            outer = run.endpoint(p, 1, mac(0x21), vni=0xabcdef)
            equal(outer.context["group"], 2, "group")
        run.dropped({5: "not_anycast"})                # A third tenant.
        equal(run.counters["new_flows"], 2, "new_flows")


@case
class _:
    "an-endpoint-on-this-host-gets-the-frame-from-the-router"
    frames = [eth() / ip() / tcp(),
              eth() / Dot1Q(vlan=7) / ip() / tcp(sport=40001),
              eth() / ip() / tcp(sport=40002) / (b"x" * 1460)]

    def check(run):
        for p, sent in run.sent.items():
            equal(run.verdicts[p], ["local"], "verdict")
            check_forwarded(run.out[p], sent, mac(1), src=router_mac(5001))
        equal(run.counters["local"], 3, "local")


@case
class _:
    "ecn-is-copied-outside-and-dscp-is-not"
    frames = [eth() / ip(tos=tos) / tcp(flags="A") for tos in
              (0x00, 0x01, 0x02, 0x03, 0xb8, 0xff)]

    def check(run):
        for p, sent in run.sent.items():
            outer = run.endpoint(p, 0, mac(1))
            equal(outer.tos, sent[IP].tos & 3, "outer tos")


@case
class _:
    "options-tags-and-padding-are-carried"
    frames = [eth() / ip(options=IPOption(b"\x94\x04\x00\x00")) / tcp(),
              eth() / ip(options=IPOption(b"\x01" * 40)) / udp() / b"full",
              eth() / Dot1Q(vlan=7, prio=5) / ip() / tcp(),
              Ether(raw(eth() / ip() / udp() / b"a") + bytes(17)),
              eth() / ip() / tcp(flags="S", options=[
                  ("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)),
                  ("NOP", None), ("WScale", 7)])]

    def check(run):
        for p in run.sent:
            run.endpoint(p, 0, mac(1))


@case
class _:
    "a-partial-checksum-is-completed"
    frames = [with_partial_csum(eth() / ip() / tcp(sport=1) / b"odd"),
              with_partial_csum(eth() / ip() / udp(sport=2) / b"even"),
              with_partial_csum(eth() / Dot1Q(vlan=7) / ip() / tcp(sport=3)),
              with_partial_csum(eth() / ip() / tcp(sport=4) / b"known"),
              # No checksum, and a finished one: both stay as they are.
              eth() / ip() / udp(sport=5, chksum=0) / b"none",
              eth() / ip() / tcp(sport=6) / b"finished",
              # Padding does not count.
              Ether(raw(with_partial_csum(eth() / ip() / udp(sport=7) / b"a"))
                    + b"\xff" * 17)]

    def check(run):
        for p, sent in run.sent.items():
            equal(run.verdicts[p], ["underlay"], "verdict")
            right = Ether(raw(sent))
            if p not in (5, 6):
                l4 = TCP if TCP in right else UDP
                del right[l4].chksum
                right = Ether(raw(right))
                assert right[l4].chksum != sent[l4].chksum
            check_forwarded(Outer(run.out[p]).inner, right, mac(1))
        equal(run.counters["completed_csums"], 5, "completed_csums")


@case
class _:
    "a-wrong-checksum-stays-wrong"
    # The receiver is to see that the packet was damaged.
    frames = [eth() / ip() / tcp(chksum=0x1234) / b"damaged"]

    def check(run):
        outer = Outer(run.out[1])
        equal(outer.inner[TCP].chksum, 0x1234, "TCP checksum")
        assert "completed_csums" not in run.counters
