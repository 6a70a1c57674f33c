"""What golden cases are written with: frames to send, and a run of the engine
to check.  A case says which frames go in (from which `regenerate` makes
in.pcap) and what must be true of the frames that come out, whatever the stored
out.pcap says.  What the engine knows stands in CASE/table."""

import collections.abc

from scapy.all import ARP, Ether, IP, IPv6, TCP, UDP, raw

from decode import Outer, check_forwarded, equal, router_mac

KEY = (0x0001020304050607, 0x08090a0b0c0d0e0f)
CLIENT, CLIENT_MAC = "10.1.0.2", "02:00:00:00:01:02"
VIP = "10.1.0.100"
HOSTS = {0: ("192.0.2.1", "02:ee:00:00:00:01"),
         1: ("192.0.2.2", "02:ee:00:00:00:02"),
         2: ("192.0.2.3", "02:ee:00:00:00:03")}

HOSTS6 = {0: ("2001:db8::1", "02:ee:00:00:00:01"),
          1: ("2001:db8::2", "02:ee:00:00:00:02")}
CLIENT6, VIP6 = "fd00::2", "fd00::64"

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


def ip6(**kw):
    kw.setdefault("src", CLIENT6)
    kw.setdefault("dst", VIP6)
    return IPv6(**kw)


def tcp(sport=40000, dport=80, flags="S", **kw):
    return TCP(sport=sport, dport=dport, flags=flags, **kw)


def udp(sport=40000, dport=5300, **kw):
    return UDP(sport=sport, dport=dport, **kw)


def arp(**kw):
    kw = {"op": 1, "hwsrc": CLIENT_MAC, "psrc": CLIENT, "pdst": VIP, **kw}
    return ARP(**kw)


def mac(n):
    return f"02:00:00:00:00:{n:02x}"


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
    """A case's in.pcap, out.pcap and counters.  Packets count from 1.  Events
    are what came of packets, in this order; a packet that was held has two."""

    def __init__(self, sent, out, events, counters):
        self.sent = Frames(range(1, len(sent) + 1), sent)
        self.events, self.counters = events, counters
        self.verdicts = {p: words for p, words in events if p}
        came_out = [p for p, words in events
                    if not words or words[0] in ("underlay", "local", "reply")]
        equal(len(out), len(came_out), "frames in out.pcap")
        equal(len(self.verdicts), len(sent), "packets in counters")
        self.out = Frames([p for p in came_out if p],
                          [f for p, f in zip(came_out, out) if p])
        self.extras = [f for p, f in zip(came_out, out) if not p]

    def endpoint(self, p, host, mac, vni=5001, kind="geneve", hosts=HOSTS,
                 hops=0):
        """Packet 'p' went to the endpoint with 'mac' on 'host'."""
        equal(self.verdicts[p], ["underlay"], f"verdict {p}")
        outer = Outer(self.out[p])
        equal((outer.host, outer.next_hop), hosts[host], f"host of {p}")
        equal((outer.type, outer.vni), (kind, vni), f"tunnel of {p}")
        equal(outer.hops, hops, f"hops of {p}")
        # Who only passes it on is no router, but bridges must not learn from
        # it that its sender lives there.
        check_forwarded(outer.inner, self.sent[p], mac, ttl=not hops,
                        src=router_mac(vni) if hops else None)
        return outer

    def counted(self, **counters):
        for name, value in counters.items():
            equal(self.counters.get(name, 0), value, name)

    def dropped(self, reasons):
        """Exactly these packets were dropped, for these reasons."""
        equal({p: v[1] for p, v in self.verdicts.items() if v[0] == "drop"},
              reasons, "drops")
        for reason in set(reasons.values()):
            equal(self.counters.get(f"drops.{reason}"),
                  list(reasons.values()).count(reason), f"drops.{reason}")
