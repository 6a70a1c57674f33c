"""Cases: what switches tell each other, in options and hints."""

import struct

from scapy.all import Ether, raw

from casebook import CLIENT, HOSTS, KEY, case, eth, ip, mac, tcp
from decode import Outer, check_hint, equal, hint_payload, router_mac


@case
class _:
    "the-previous-owners-of-a-slot-are-named"
    # The group goes by the hash alone: this switch remembers no flow.
    frames = [eth() / ip() / tcp(flags="A"),
              eth() / ip() / tcp(flags="S"),
              # One of them is down, and then there is none.
              eth() / ip() / tcp(flags="A"),
              eth() / ip() / tcp(flags="A"),
              # No room for their option.
              eth() / ip() / tcp(flags="A") / (b"x" * (1538 - 40)),
              eth() / ip() / tcp(flags="A") / (b"x" * (1527 - 40)),
              eth() / ip() / tcp(flags="A") / (b"x" * (1526 - 40))]

    def check(run):
        for p, previous in ((1, [1, 2]), (2, []), (3, [2]), (4, []),
                            (5, []), (6, []), (7, [1, 2])):
            outer = run.endpoint(p, 0, mac(1))
            equal(outer.previous, previous, f"previous owners in {p}")
            equal(outer.context["new"], p == 2, "new")
        run.counted(underlay=7, new_flows=0)


@case
class _:
    "a-packet-of-an-unknown-flow-is-shown-to-the-previous-owner"
    frames = [eth(dst=mac(1)) / ip(ttl=1) / tcp(sport=40000 + i, flags="A")
              for i in range(5)]

    def check(run):
        # Host 0 sent them for endpoint 0, which is here.  Whom it names counts
        # for more than what is known here.
        outer = run.endpoint(1, 1, mac(2), hops=1)
        # The last in the line is endpoint 0 again.
        equal((outer.context["new"], outer.previous), (False, [1, 2, 0]),
              "context")
        outer = run.endpoint(2, 2, mac(3), hops=1)
        equal(outer.previous, [2, 0], "those it is shown to")
        # It was forwarded twice, and then too often; there is no context.
        run.endpoint(3, 1, mac(2), hops=3)
        for p in (4, 5):
            equal(run.verdicts[p], ["local"], "verdict")
        equal(run.extras, [], "hints")
        run.counted(forwarded=3, from_tunnel=5, local=2)


@case
class _:
    "a-stale-sender-is-told-where-its-flow-is"
    frames = [eth(dst=mac(1)) / ip() / tcp(flags="S"),
              eth(dst=mac(1)) / ip() / tcp(flags="A")]

    def check(run):
        for p in (1, 2):
            run.endpoint(p, 1, mac(2), hops=1)
        equal(len(run.extras), 2, "hints")
        for frame in run.extras:
            outer = Outer(Ether(frame))
            equal((outer.host, outer.next_hop), HOSTS[0], "host of the hint")
            check_hint(outer.inner, KEY, vni=5001, group=1, epoch=7,
                       endpoint=1, src=CLIENT, src_port=40000, dst_port=80)
        run.counted(hints_sent=2, forwarded=2)


def hint(payload):
    return eth(src=router_mac(5001), dst=router_mac(5001), type=0x88b5) \
        / payload


def told(endpoint, epoch=7, vni=5001, key=KEY, version=1):
    return hint_payload(key, vni=vni, group=1, epoch=epoch,
                        endpoint=endpoint, src=CLIENT, src_port=40000,
                        dst_port=80, version=version)


@case
class _:
    "an-authentic-hint-moves-its-flow-and-no-other-does"
    frames = [eth() / ip() / tcp(flags="A"),
              hint(told(1)[:-1] + b"\0"),
              hint(told(1, key=(1, 2))),
              hint(told(1)[:-1]),
              hint(told(1, version=2)),
              hint(told(1, epoch=6)),
              hint(told(9)),
              hint(told(1, vni=5002)),
              hint(told(1, vni=5002)),      # In that tenant's tunnel.
              hint(told(1)),                # A VM's.
              eth() / ip() / tcp(flags="A"),
              hint(told(1)),
              eth() / ip() / tcp(flags="A"),
              eth() / ip() / tcp(sport=40001, flags="A")]
    # One by one: hints of a batch come first.
    frames = list(enumerate(frames))

    def check(run):
        run.dropped({2: "hint_forged", 3: "hint_forged", 4: "hint_forged",
                     5: "hint_forged", 6: "hint_stale", 7: "hint_stale",
                     8: "hint_stale", 9: "hint_stale", 10: "hint_forged",
                     12: "hint"})
        for p, endpoint in ((1, 0), (11, 0), (13, 1), (14, 0)):
            run.endpoint(p, endpoint, mac(endpoint + 1))
        run.counted(hints_accepted=1)
