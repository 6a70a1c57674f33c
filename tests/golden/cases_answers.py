"""Cases: frames that are answered, and frames that are dropped."""

from scapy.all import ARP, Dot1Q, Ether, ICMP, ICMPv6ND_NS, \
    ICMPv6NDOptSrcLLAddr, IP, IPOption, IPv6, raw

from casebook import CASES, CLIENT, CLIENT6, CLIENT_MAC, VIP, VIP6, arp, \
    case, eth, ip, ip6, mac, tcp, udp
from decode import check_arp, check_icmp, check_icmp6, check_nd, check_reset, \
    equal, router_mac


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
    "a-frame-from-a-tunnel-is-not-encapsulated-again"
    frames = [eth() / ip() / tcp(), eth() / ip() / tcp(),
              eth() / ARP(op=1, hwsrc=CLIENT_MAC, psrc=CLIENT, pdst=VIP)]

    def check(run):
        run.dropped({1: "misdelivered", 3: "arp_ignored"})
        run.endpoint(2, 0, mac(1))


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
        ("bad_ip", raw(eth(type=0x86dd) / bytes(40))),
        ("truncated", raw(eth(type=0x86dd) / b"\x60" / bytes(38))),
        ("ethertype", raw(eth(type=0x88a8) / bytes(40))),
        ("ethertype", raw(eth() / Dot1Q() / Dot1Q() / ip() / tcp())),
        ("broadcast", raw(eth(dst="ff:ff:ff:ff:ff:ff") / ip() / tcp())),
        ("bad_ip", damaged(14, 0x65)),
        ("bad_ip", damaged(14, 0x44, fix=True)),
        ("bad_ip", damaged(17, 19, fix=True)),
        ("truncated", damaged(17, 41, fix=True)),
        ("bad_ip_csum", damaged(24, 0)),
        ("bad_ip_csum", damaged(22, 63)),
        ("bad_ip", raw(eth() / ip(flags="MF") / tcp())),
        ("protocol", raw(eth() / ip() / ICMP(type="timestamp-request"))),
        ("protocol", raw(eth() / ip(proto=47) / bytes(20))),
        ("bad_l4", raw(eth() / ip(proto=132) / bytes(20))),
        ("bad_quote", raw(eth() / ip() / ICMP(type=3) / bytes(28))),
        ("extension", raw(eth() / IPv6(src="fd00::2", dst="fd00::64", nh=60)
                          / ((b"\x3c" + bytes(7)) * 9) / bytes(20))),
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


def solicit(**kw):
    kw.setdefault("tgt", VIP6)
    return ICMPv6ND_NS(**kw)


@case
class _:
    "a-neighbour-solicitation-for-an-anycast-address-is-answered"
    everyone = "ff02::1:ff00:64"
    group_mac = "33:33:ff:00:00:64"
    option = ICMPv6NDOptSrcLLAddr(lladdr=CLIENT_MAC)
    frames = [eth(dst=group_mac) / ip6(dst=everyone, hlim=255) / solicit()
              / option,
              eth(dst=group_mac) / Dot1Q(vlan=7) / ip6(dst=everyone, hlim=255)
              / solicit(),
              eth() / ip6(hlim=255) / solicit() / option,    # Still there?
              eth(dst=group_mac) / ip6(dst=everyone, hlim=255)
              / solicit(tgt="fd00::65"),
              # Somebody about to use the address; a router's packet.
              eth(dst=group_mac) / ip6(src="::", dst=everyone, hlim=255)
              / solicit(),
              eth(dst=group_mac) / ip6(dst=everyone, hlim=254) / solicit(),
              eth(dst=group_mac) / ip6(dst=everyone, hlim=255)
              / solicit(cksum=1)]

    def check(run):
        for p in (1, 2, 3):
            equal(run.verdicts[p], ["reply"], "verdict")
            check_nd(run.out[p], run.sent[p], 5001)
        run.dropped({p: "nd_ignored" for p in range(4, 8)})
        run.counted(nd_replies=3)


@case
class _:
    "clients-of-a-dead-host-are-reset"
    frames = [eth() / ip() / tcp(flags="S", seq=1000),
              eth() / ip() / tcp(flags="A", seq=1001, ack=5001),
              eth() / ip6() / tcp(flags="S", seq=1000),
              eth() / ip6() / tcp(flags="A", seq=1001, ack=5001),
              # Endpoint 0's host is dead from here on.
              eth() / ip() / tcp(flags="PA", seq=1001, ack=5001) / b"GET /",
              eth() / Dot1Q(vlan=7) / ip() / tcp(flags="", seq=7) / b"Hello",
              eth() / ip() / tcp(flags="FA", seq=1006, ack=6001),
              eth() / ip6() / tcp(flags="PA", seq=1001, ack=7001) / b"GET /",
              eth() / ip() / tcp(flags="R", seq=1),
              eth() / ip() / tcp(flags="S", seq=9000)]

    def check(run):
        for p in (5, 6, 7, 8):
            equal(run.verdicts[p], ["reply", "host_dead"], "verdict")
            check_reset(run.out[p], run.sent[p], 5001)
        equal(run.verdicts[9], ["drop", "host_dead"], "verdict")
        run.endpoint(10, 1, mac(2))
        run.counted(resets=4)


@case
class _:
    "clients-of-an-empty-group-are-told-if-asked"
    frames = [eth() / ip() / tcp(),
              eth() / Dot1Q(vlan=7) / ip() / tcp() / (b"x" * 1000),
              eth() / ip6() / tcp(),
              eth() / ip6() / tcp() / (b"x" * 1400),
              eth() / ip() / udp()]                  # That one is not.

    def check(run):
        for p in (1, 2):
            equal(run.verdicts[p], ["reply", "no_endpoint"], "verdict")
            check_icmp(run.out[p], run.sent[p], 5001, 3, 1)
        for p in (3, 4):
            equal(run.verdicts[p], ["reply", "no_endpoint"], "verdict")
            check_icmp6(run.out[p], run.sent[p], 5001, 1, 3)
        equal(run.verdicts[5], ["drop", "no_endpoint"], "verdict")


@case
class _:
    "an-ipv6-packet-that-does-not-fit-is-answered-with-packet-too-big"
    # The underlay's MTU is 1500, which leaves 1418 over IPv6.
    frames = [eth() / ip6() / tcp(flags="A") / (b"x" * (1418 - 60)),
              eth() / ip6() / tcp(flags="A") / (b"x" * (1419 - 60)),
              eth() / ip6(hlim=1) / tcp()]

    def check(run):
        equal(run.out[1][IPv6].plen, 1460, "outer length")
        equal(run.verdicts[2], ["reply", "too_big"], "verdict")
        check_icmp6(run.out[2], run.sent[2], 5001, 2, 0, 1418)
        equal(run.out[2][IPv6].plen, 1240, "ICMPv6 length")
        equal(run.verdicts[3], ["reply", "ttl"], "verdict")
        check_icmp6(run.out[3], run.sent[3], 5001, 3, 0)
