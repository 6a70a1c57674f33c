"""The golden cases: for each, the frames that go in (from which `regenerate`
makes in.pcap) and what must be true of the frames that come out, whatever the
stored out.pcap says.  What the engine knows stands in CASE/table."""

import collections.abc

from scapy.all import ARP, Dot1Q, Ether, ICMP, IP, IPOption, TCP, UDP, raw

from decode import (Outer, check_arp, check_forwarded, check_icmp, equal,
                    flow_slot, group_seed, router_mac)

KEY = (0x0001020304050607, 0x08090a0b0c0d0e0f)
CLIENT, CLIENT_MAC = "10.1.0.2", "02:00:00:00:01:02"
VIP = "10.1.0.100"
HOSTS = {0: ("192.0.2.1", "02:ee:00:00:00:01"),
         1: ("192.0.2.2", "02:ee:00:00:00:02"),
         2: ("192.0.2.3", "02:ee:00:00:00:03")}

CASES = {}


def case(cls):
    """The class's first docstring line is the case's name."""
    CASES[cls.__doc__.strip()] = cls
    return cls


# Frames to send.

def eth(**kw):
    kw.setdefault("src", CLIENT_MAC)
    kw.setdefault("dst", router_mac(5001))
    return Ether(**kw)


def ip(**kw):
    kw.setdefault("src", CLIENT)
    kw.setdefault("dst", VIP)
    kw.setdefault("flags", "DF")
    return IP(**kw)


def tcp(sport=40000, dport=80, flags="S", **kw):
    return TCP(sport=sport, dport=dport, flags=flags, **kw)


def udp(sport=40000, dport=5300, **kw):
    return UDP(sport=sport, dport=dport, **kw)


def with_partial_csum(frame):
    """What a sender with checksum offload leaves: the pseudo header's sum."""
    packet = Ether(raw(frame))
    l4 = packet[IP].payload
    length = packet[IP].len - packet[IP].ihl * 4
    pseudo = (raw(packet[IP])[12:20] + bytes([0, packet[IP].proto])
              + length.to_bytes(2, "big"))
    total = sum(int.from_bytes(pseudo[i:i + 2], "big")
                for i in range(0, 12, 2))
    while total > 0xffff:
        total = (total & 0xffff) + (total >> 16)
    l4.chksum = total
    return packet


# Frames that came out.

class Frames(collections.abc.Mapping):
    """Frames by number, dissected when asked for: not all of them can be."""

    def __init__(self, numbers, frames):
        self.frames = dict(zip(numbers, frames))

    def __getitem__(self, p):
        return Ether(self.frames[p])

    def __iter__(self):
        return iter(self.frames)

    def __len__(self):
        return len(self.frames)


class Run:
    """A case's in.pcap, out.pcap and counters.  Packets count from 1."""

    def __init__(self, sent, out, verdicts, counters):
        self.sent = Frames(range(1, len(sent) + 1), sent)
        self.verdicts, self.counters = verdicts, counters
        came_out = [p for p, v in verdicts.items() if v[0] != "drop"]
        equal(len(out), len(came_out), "frames in out.pcap")
        equal(len(verdicts), len(sent), "packets in counters")
        self.out = Frames(came_out, out)

    def endpoint(self, p, host, mac, vni=5001, kind="geneve"):
        """Packet 'p' went to the endpoint with 'mac' on 'host'."""
        equal(self.verdicts[p], ["underlay"], f"verdict {p}")
        outer = Outer(self.out[p])
        equal((outer.host, outer.next_hop), HOSTS[host], f"host of {p}")
        equal((outer.type, outer.vni), (kind, vni), f"tunnel of {p}")
        check_forwarded(outer.inner, self.sent[p], mac)
        return outer

    def dropped(self, reasons):
        """Exactly these packets were dropped, for these reasons."""
        equal({p: v[1] for p, v in self.verdicts.items() if v[0] == "drop"},
              reasons, "drops")
        for reason in set(reasons.values()):
            equal(self.counters.get(f"drops.{reason}"),
                  list(reasons.values()).count(reason), f"drops.{reason}")


def mac(n):
    return f"02:00:00:00:00:{n:02x}"


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
    "ttl-1-is-answered-with-time-exceeded"
    frames = [eth() / ip(ttl=1) / tcp(),
              eth() / ip(ttl=0) / udp(dport=80) / b"hello",
              eth() / Dot1Q(vlan=7, prio=3) / ip(ttl=1) / tcp(),
              eth() / ip(ttl=2) / tcp(),
              eth() / ip(ttl=1, options=IPOption(b"\x94\x04\x00\x00"))
              / tcp() / (b"x" * 1000)]

    def check(run):
        for p in (1, 2, 3, 5):
            equal(run.verdicts[p], ["reply", "ttl"], "verdict")
            check_icmp(run.out[p], run.sent[p], 5001, 11, 0)
        equal(run.endpoint(4, 0, mac(1)).inner[IP].ttl, 1, "ttl")
        equal(run.counters["icmp_errors"], 4, "icmp_errors")
        equal(run.counters["drops.ttl"], 4, "drops.ttl")


@case
class _:
    "a-packet-that-does-not-fit-is-answered-with-fragmentation-needed"
    # The underlay's MTU is 1500, which leaves 1438 for Geneve and 1450 for
    # VXLAN, and 4 less for a frame with a tag.
    frames = [eth() / ip() / tcp(flags="A") / (b"x" * (1438 - 40)),
              eth() / ip() / tcp(flags="A") / (b"x" * (1439 - 40)),
              eth() / Dot1Q(vlan=7) / ip() / tcp(flags="A")
              / (b"x" * (1434 - 40)),
              eth() / Dot1Q(vlan=7) / ip() / tcp(flags="A")
              / (b"x" * (1435 - 40)),
              eth() / ip() / udp() / (b"x" * (1450 - 28)),
              eth() / ip() / udp() / (b"x" * (1451 - 28)),
              eth() / ip(flags=0) / tcp(flags="A") / (b"x" * 1460)]

    def check(run):
        for p, kind in ((1, "geneve"), (3, "geneve"), (5, "vxlan")):
            run.endpoint(p, 0 if kind == "geneve" else 1, mac(1), kind=kind)
            equal(run.out[p][IP].len, 1500, "outer length")
        for p, mtu in ((2, 1438), (4, 1434), (6, 1450), (7, 1438)):
            equal(run.verdicts[p], ["reply", "too_big"], "verdict")
            check_icmp(run.out[p], run.sent[p], 5001, 3, 4, mtu)
            equal(run.out[p][IP].len, 576, "ICMP length")
        equal(run.counters["drops.too_big"], 4, "drops.too_big")


@case
class _:
    "icmp-errors-are-limited-to-a-burst-of-100"
    frames = ([eth() / ip(ttl=1) / tcp() for _ in range(102)]
              + [(25, eth() / ip(ttl=1) / tcp()) for _ in range(3)])

    def check(run):
        for p in list(range(1, 101)) + [103, 104]:
            check_icmp(run.out[p], run.sent[p], 5001, 11, 0)
        run.dropped({101: "icmp_limited", 102: "icmp_limited",
                     105: "icmp_limited"})


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


@case
class _:
    "a-frame-from-a-tunnel-is-not-encapsulated-again"
    frames = [eth() / ip() / tcp(), eth() / ip() / tcp(),
              eth() / ARP(op=1, hwsrc=CLIENT_MAC, psrc=CLIENT, pdst=VIP)]

    def check(run):
        run.dropped({1: "looped", 3: "arp_ignored"})
        run.endpoint(2, 0, mac(1))


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


def damaged(ofs, value, frame=None, fix=False):
    """A frame with the byte at 'ofs' changed; 'fix': right IP checksum."""
    data = bytearray(raw(frame or eth() / ip() / tcp()))
    data[ofs] = value
    if fix:
        ihl = (data[14] & 15) * 4
        header = bytearray(data[14:14 + ihl])
        header[10:12] = bytes(2)
        total = sum(int.from_bytes(header[i:i + 2], "big")
                    for i in range(0, ihl, 2)) % 0xffff
        data[24:26] = (0xffff - total).to_bytes(2, "big")
    return bytes(data)


@case
class _:
    "malformed-frames-are-counted-by-reason"
    whole = raw(eth() / ip() / tcp())
    faults = [
        ("truncated", whole[:13]),
        ("truncated", whole[:14]),
        ("truncated", whole[:33]),
        ("truncated", whole[:53]),
        ("truncated", raw(eth() / Dot1Q(vlan=7))[:17]),
        ("truncated", raw(eth() / ARP(psrc=CLIENT, pdst=VIP))[:41]),
        ("ethertype", raw(eth(type=0x86dd) / bytes(40))),
        ("ethertype", raw(eth(type=0x88a8) / bytes(40))),
        ("ethertype", raw(eth() / Dot1Q() / Dot1Q() / ip() / tcp())),
        ("broadcast", raw(eth(dst="ff:ff:ff:ff:ff:ff") / ip() / tcp())),
        ("bad_ip", damaged(14, 0x65)),
        ("bad_ip", damaged(14, 0x44, fix=True)),
        ("bad_ip", damaged(17, 19, fix=True)),
        ("truncated", damaged(17, 41, fix=True)),
        ("bad_ip_csum", damaged(24, 0)),
        ("bad_ip_csum", damaged(22, 63)),
        ("fragment", raw(eth() / ip(flags="MF") / tcp())),
        ("fragment", raw(eth() / ip(frag=1) / tcp())),
        ("protocol", raw(eth() / ip() / ICMP())),
        ("protocol", raw(eth() / ip(proto=132) / bytes(20))),
        ("bad_l4", damaged(46, 0x40)),
        ("bad_l4", damaged(46, 0x60)),
        ("bad_l4", raw(eth() / ip(proto=6) / bytes(19))),
        ("bad_l4", raw(eth() / ip() / udp(len=7))),
        ("bad_l4", raw(eth() / ip() / udp(len=10) / b"a")),
        ("bad_source", raw(eth() / ip(src="0.0.0.1") / tcp())),
        ("bad_source", raw(eth() / ip(src="127.0.0.1") / tcp())),
        ("bad_source", raw(eth() / ip(src="224.0.0.1") / tcp())),
        ("bad_source", raw(eth() / ip(src="255.255.255.255") / tcp())),
        ("bad_source", raw(eth(src="03:00:00:00:00:01") / ip() / tcp())),
    ]
    frames = [frame for _, frame in faults] + [whole]

    def check(run):
        faults = CASES["malformed-frames-are-counted-by-reason"].faults
        run.dropped({p: f[0] for p, f in enumerate(faults, 1)})
        run.endpoint(len(faults) + 1, 0, mac(1))


@case
class _:
    "what-cannot-be-delivered-is-counted-by-reason"
    frames = [eth() / ip() / tcp(dport=81),          # No such group.
              eth() / ip(dst="10.1.0.101") / tcp(),
              eth() / ip() / udp(dport=80),
              eth() / ip() / tcp(dport=443),         # Its endpoint is down.
              eth() / ip() / tcp(dport=444),         # Nobody owns a slot.
              eth() / ip() / tcp(dport=8080),        # No next hop.
              eth() / ip() / tcp(),                  # No tenant.
              eth() / ip() / tcp(),                  # TSO.
              eth() / ip() / tcp(),                  # 61 bytes of room.
              eth() / ip() / tcp()]                  # 62: enough.

    def check(run):
        run.dropped({1: "no_group", 2: "not_anycast", 3: "no_group",
                     4: "no_endpoint", 5: "no_endpoint", 6: "no_next_hop",
                     7: "no_vni", 8: "tso", 9: "no_headroom"})
        run.endpoint(10, 0, mac(1))


@case
class _:
    "nothing-is-sent-before-a-mapping-arrives"
    frames = [eth() / ip() / tcp(),
              eth() / ARP(op=1, hwsrc=CLIENT_MAC, psrc=CLIENT, pdst=VIP)]

    def check(run):
        run.dropped({1: "no_table", 2: "no_table"})


def arp(**kw):
    kw = {"op": 1, "hwsrc": CLIENT_MAC, "psrc": CLIENT, "pdst": VIP, **kw}
    return ARP(**kw)


@case
class _:
    "an-arp-request-for-an-anycast-address-is-answered"
    everyone = "ff:ff:ff:ff:ff:ff"
    frames = [eth(dst=everyone) / arp(),
              eth(dst=everyone) / Dot1Q(vlan=7) / arp(),
              eth() / arp(hwdst=router_mac(5001)),   # Unicast, padded.
              eth(dst=everyone) / arp(),             # The other tenant.
              eth(dst=everyone) / arp(pdst="10.1.0.101"),
              eth(dst=everyone) / arp(psrc="0.0.0.0"),       # A probe.
              eth(dst=everyone) / arp(psrc=VIP),     # An announcement.
              eth() / arp(op=2),
              eth(dst=everyone) / arp(ptype=0x86dd),
              eth(dst=everyone) / arp(hwsrc="03:00:00:00:00:01")]
    frames[2] = Ether(raw(frames[2]) + bytes(18))

    def check(run):
        for p, vni in ((1, 5001), (2, 5001), (3, 5001), (4, 5002)):
            equal(run.verdicts[p], ["reply"], "verdict")
            check_arp(run.out[p], run.sent[p], vni)
        equal(run.out[2][Dot1Q].vlan, 7, "VLAN")
        run.dropped({p: "arp_ignored" for p in range(5, 11)})
        equal(run.counters["arp_replies"], 4, "arp_replies")
