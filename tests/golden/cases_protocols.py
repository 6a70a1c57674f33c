"""Cases: what is not plain TCP or UDP over IPv4."""

from scapy.all import Dot1Q, ICMP, ICMPv6DestUnreach, ICMPv6EchoRequest, \
    ICMPv6PacketTooBig, IP, IPv6, IPv6ExtHdrFragment, SCTP, SCTPChunkAbort, \
    SCTPChunkCookieAck, SCTPChunkCookieEcho, SCTPChunkData, SCTPChunkInit, \
    SCTPChunkShutdownAck, SCTPChunkShutdownComplete, TCP, raw

from casebook import CLIENT, CLIENT6, HOSTS6, KEY, VIP, VIP6, case, eth, ip, \
    ip6, mac, tcp, udp
from decode import Outer, check_abort, equal, flow_slot, group_seed


@case
class _:
    "ipv6-goes-through-geneve-over-ipv6"
    frames = ([eth() / ip6(tc=i) / tcp(sport=40000 + i) for i in range(16)]
              + [eth() / ip6(fl=0x12345) / tcp(sport=40000 + i, flags="A")
                 for i in range(16)])

    def check(run):
        seed = group_seed(KEY, 5001, VIP6, 6, 80)
        owners, labels = set(), set()
        for p, sent in run.sent.items():
            slot = flow_slot(KEY, seed, CLIENT6, sent[TCP].sport, 80, 256)
            owner = slot // 128
            outer = run.endpoint(p, owner, mac(owner + 1), hosts=HOSTS6)
            equal(outer.context, {"group": 1, "epoch": 7, "new": p <= 16},
                  "context")
            equal(outer.tos, sent[IPv6].tc & 3, "outer traffic class")
            owners.add(owner)
            labels.add(outer.label)
        equal(owners, {0, 1}, "endpoints chosen")
        equal(len(labels), 16, "flow labels, one a flow")
        run.counted(underlay=32, new_flows=16)


INIT = SCTPChunkInit(init_tag=1, n_in_streams=1, n_out_streams=1)


def sctp(chunk, sport=40000, chksum=None, tag=0):
    return SCTP(sport=sport, dport=80, chksum=chksum, tag=tag) / chunk


@case
class _:
    "sctp-is-balanced-and-its-checksum-completed"
    # With a checksum, and with the 0 that an interface would replace.
    frames = ([eth() / ip() / sctp(INIT, 40000 + i) for i in range(6)]
              + [eth() / ip() / sctp(INIT, 41000 + i, 0) for i in range(6)]
              + [eth() / ip6() / sctp(INIT, 0x1234, 0)])

    def check(run):
        seed = group_seed(KEY, 5001, VIP, 132, 80)
        owners = set()
        for p in range(1, 13):
            slot = flow_slot(KEY, seed, CLIENT, run.sent[p][SCTP].sport, 80,
                             256)
            owners.add(slot // 128)
            outer = Outer(run.out[p])
            equal(outer.inner.dst, mac(slot // 128 + 1), "endpoint")
        equal(owners, {0, 1}, "endpoints chosen")
        for p, frame in run.out.items():
            inner = Outer(frame).inner
            right = inner.copy()
            del right[SCTP].chksum
            right = right.__class__(raw(right))
            equal(inner[SCTP].chksum, right[SCTP].chksum, "CRC32c")
        run.counted(underlay=13, completed_csums=7)


@case
class _:
    "sctp-clients-of-a-dead-host-are-told"
    data = SCTPChunkData(data=b"Hello, world")
    frames = [eth() / ip() / sctp(INIT),
              eth() / ip() / sctp(SCTPChunkCookieEcho(cookie=b"crumbs")),
              eth() / ip6() / sctp(INIT),
              eth() / ip6() / sctp(SCTPChunkCookieEcho(cookie=b"crumbs")),
              # Endpoint 0's host is dead from here on.
              eth() / ip() / sctp(data, tag=0xdeadbeef),
              eth() / Dot1Q(vlan=7) / ip() / sctp(data, tag=1),
              eth() / ip6() / sctp(data, tag=0x80000001),
              eth() / ip() / sctp(SCTPChunkShutdownAck(), tag=2),
              # What must not be answered, and a new association.
              eth() / ip() / sctp(SCTPChunkAbort(), tag=3),
              eth() / ip() / sctp(SCTPChunkCookieAck(), tag=3),
              eth() / ip() / sctp(SCTPChunkShutdownComplete(), tag=3),
              eth() / ip() / sctp(INIT)]

    def check(run):
        for p in (5, 6, 7, 8):
            equal(run.verdicts[p], ["reply", "host_dead"], "verdict")
            check_abort(run.out[p], run.sent[p], 5001,
                        SCTPChunkAbort if p < 8 else SCTPChunkShutdownComplete)
        for p in (9, 10, 11):
            equal(run.verdicts[p], ["drop", "host_dead"], "verdict")
        run.endpoint(12, 1, mac(2))
        run.counted(resets=4)


@case
class _:
    "an-address-answers-to-ping"
    frames = ([eth() / ip() / ICMP(id=n) / b"ping" for n in range(8)]
              + [eth() / ip6() / ICMPv6EchoRequest(id=n, data=b"ping")
                 for n in range(8)])

    def check(run):
        # Of the address's group with the lowest id; the identifier and port 0
        # stand for ports.
        for p in range(1, 17):
            first, src, vip = ((1, CLIENT, VIP) if p <= 8
                               else (9, CLIENT6, VIP6))
            seed = group_seed(KEY, 5001, vip, 6, 80)
            slot = flow_slot(KEY, seed, src, p - first, 0, 256)
            run.endpoint(p, slot // 128, mac(slot // 128 + 1))


def quoted(packet, size):
    return raw(packet)[:size]


@case
class _:
    "an-icmp-error-goes-to-the-endpoint-of-its-flow"
    back = IP(src=VIP, dst=CLIENT, flags="DF", len=1500) \
        / TCP(sport=80, dport=40000, flags="A")
    back6 = IPv6(src=VIP6, dst=CLIENT6, plen=1460) \
        / TCP(sport=80, dport=40000, flags="A")
    other = IP(src=VIP, dst=CLIENT, len=1500) / TCP(sport=81, dport=40000)
    strange = IP(src="10.1.0.9", dst=CLIENT) / TCP(sport=80, dport=40000)
    router = ip(src="10.9.0.1")
    frames = [eth() / ip() / tcp(), eth() / ip6() / tcp(),
              # Here all slots move to endpoint 1.
              eth() / router / ICMP(type=3, code=4, nexthopmtu=1300)
              / quoted(back, 28),
              eth() / router / ICMP(type=11) / quoted(back, 40),
              eth() / ip6(src="fd09::1") / ICMPv6PacketTooBig(mtu=1300)
              / quoted(back6, 60),
              eth() / ip6(src="fd09::1") / ICMPv6DestUnreach(code=1)
              / quoted(back6, 48),
              eth() / router / ICMP(type=3) / quoted(other, 28),
              eth() / router / ICMP(type=3) / quoted(strange, 28)]

    def check(run):
        for p in range(1, 7):
            run.endpoint(p, 0, mac(1))
        run.dropped({7: "no_group", 8: "bad_quote"})
        run.counted(icmp_routed=4, new_flows=2)


def fragments(packet, cuts):
    """'packet' (IP and payload) in pieces that end at 'cuts' and the end."""
    header, data = packet.copy(), raw(packet.payload)
    header.remove_payload()
    pieces = []
    for start, end in zip([0] + cuts, cuts + [len(data)]):
        piece = header.copy()
        piece.frag = start // 8
        piece.flags = "MF" if end < len(data) else 0
        del piece.len, piece.chksum
        piece.proto = 17
        pieces.append(eth() / piece / data[start:end])
    return pieces


def fragments6(packet, cuts, ident):
    data = raw(packet.payload)
    return [eth() / IPv6(src=CLIENT6, dst=VIP6)
            / IPv6ExtHdrFragment(nh=17, offset=start // 8,
                                 m=end < len(data), id=ident)
            / data[start:end]
            for start, end in zip([0] + cuts, cuts + [len(data)])]


@case
class _:
    "fragments-follow-their-first-one-even-if-that-comes-last"
    whole = IP(raw(ip(id=77, flags=0) / udp() / (b"abcdefgh" * 300)))
    whole6 = IPv6(raw(ip6() / udp() / (b"abcdefgh" * 300)))
    late = IP(raw(ip(id=78, flags=0) / udp() / (b"x" * 1000)))
    a, b, c = fragments(whole, [800, 1600])
    d, e, f = fragments6(whole6, [800, 1600], 0x12345678)
    frames = [a, b, c,                        # In order, ...
              f, e, d,                        # ... the other way round, ...
              fragments(late, [496])[1],      # ... and without a first one.
              (6000, eth() / ip() / udp(sport=1))]

    def check(run):
        equal(run.verdicts[7], ["expired"], "verdict")
        equal([p for p, words in run.events if words == ["held"]], [4, 5, 7],
              "held")
        for ps, src, vip in (((1, 2, 3), CLIENT, VIP),
                             ((4, 5, 6), CLIENT6, VIP6)):
            seed = group_seed(KEY, 5001, vip, 17, 0)
            owner = flow_slot(KEY, seed, src, 40000, 5300, 256) // 128
            for p in ps:
                run.endpoint(p, owner, mac(owner + 1))
        run.counted(fragments=4, **{"drops.fragment": 1})
