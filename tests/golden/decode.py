"""An independent reading of what the engine did: scapy's dissectors and plain
arithmetic, nothing of Grapnel's.  Each function raises AssertionError with the
values that do not fit."""

import socket
import struct

from scapy.all import ARP, Dot1Q, Ether, ICMP, ICMPv6ND_NA, \
    ICMPv6NDOptDstLLAddr, IP, IPv6, SCTP, TCP, UDP, raw
from scapy.contrib.geneve import GENEVE
from scapy.layers.vxlan import VXLAN

OUR_IP = "192.0.2.9"
OUR_IP6 = "2001:db8::9"
OUR_MAC = "02:00:00:00:00:09"
MASK = (1 << 64) - 1


def equal(a, b, what):
    assert a == b, f"{what}: {a!r}, expected {b!r}"


def router_mac(vni):
    return "0a:67:72:" + ":".join(f"{b:02x}" for b in vni.to_bytes(3, "big"))


# The flow hash, as anycast/flow-hash.h describes it in words.

def mix(a, b):
    product = (a & MASK) * (b & MASK)
    return (product & MASK) ^ (product >> 64)


def mapped(address):
    """16 bytes, IPv4 as in RFC 4291 section 2.5.5.2."""
    if ":" in address:
        return socket.inet_pton(socket.AF_INET6, address)
    return bytes(10) + b"\xff\xff" + socket.inet_aton(address)


def group_seed(key, vni, address, protocol, port):
    data = mapped(address) + struct.pack("!IHBB", vni, port, protocol, 0)
    h = key[0]
    for word, in struct.iter_unpack("<Q", data):
        h = mix(h ^ word, key[1])
    return mix(h ^ len(data), key[1])


def flow_slot(key, seed, src, src_port, dst_port, n_slots):
    ports = src_port << 16 | dst_port
    if ":" in src:
        hi, lo = struct.unpack("!QQ", mapped(src))
        seed = mix(mix(hi ^ seed, key[0]) ^ lo, key[1] ^ seed)
        word = ports
    else:
        word = int.from_bytes(socket.inet_aton(src), "big") << 32 | ports
    h = mix(mix(word ^ seed, key[0]), key[1] ^ seed)
    return h >> (64 - (n_slots.bit_length() - 1))


# Hints, as encap/hint.h draws them, and SipHash-2-4 from its paper.

def siphash(key, data):
    def rotl(x, b):
        return (x << b | x >> (64 - b)) & MASK

    def rounds(n):
        nonlocal v0, v1, v2, v3
        for _ in range(n):
            v0, v2 = (v0 + v1) & MASK, (v2 + v3) & MASK
            v1, v3 = rotl(v1, 13) ^ v0, rotl(v3, 16) ^ v2
            v0 = rotl(v0, 32)
            v2, v0 = (v2 + v1) & MASK, (v0 + v3) & MASK
            v1, v3 = rotl(v1, 17) ^ v2, rotl(v3, 21) ^ v0
            v2 = rotl(v2, 32)

    v0, v1 = key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d
    v2, v3 = key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573
    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) & 255])
    for word, in struct.iter_unpack("<Q", padded):
        v3 ^= word
        rounds(2)
        v0 ^= word
    v2 ^= 0xff
    rounds(4)
    return v0 ^ v1 ^ v2 ^ v3


assert siphash((0x0706050403020100, 0x0f0e0d0c0b0a0908),
               bytes(range(15))) == 0xa129ca6149be45e5     # The paper's.


def hint_payload(key, vni, group, epoch, endpoint, src, src_port, dst_port,
                 version=1):
    data = struct.pack("!BBHIII16sHH", version, 0, endpoint, group, epoch,
                       vni, mapped(src), src_port, dst_port)
    domain = struct.unpack("!QQ", b"grapnel hint key")
    derived = (key[0] ^ domain[0], key[1] ^ domain[1])
    return data + struct.pack("<Q", siphash(derived, data))


def check_hint(frame, key, vni, **hint):
    equal((frame.src, frame.dst, frame.type),
          (router_mac(vni), router_mac(vni), 0x88b5), "hint's Ethernet header")
    equal(raw(frame)[14:].hex(),
          (hint_payload(key, vni=vni, **hint) + bytes(2)).hex(), "hint")


# Checksums: rebuild the packet without them and compare.

def check_checksums(ip):
    """The IPv4 header's, and TCP's, UDP's (unless there is none) or ICMP's."""
    rebuilt = ip.copy()
    del rebuilt[IP].chksum
    l4 = next((l for l in (TCP, UDP, ICMP) if ip.payload.__class__ is l), None)
    if l4 and not (l4 is UDP and ip[UDP].chksum == 0):
        del rebuilt[l4].chksum
    rebuilt = IP(raw(rebuilt))
    equal(ip.chksum, rebuilt.chksum, "IP checksum")
    if l4:
        equal(ip[l4].chksum, rebuilt[l4].chksum, f"{l4.__name__} checksum")


class Outer:
    """An encapsulated frame, checked as such and taken apart."""

    def __init__(self, frame):
        udp = frame[UDP]
        equal(frame.src, OUR_MAC, "outer source MAC")
        if IPv6 in frame and frame.type == 0x86dd:
            self.read_ipv6(frame[IPv6])
            equal(udp.len, frame[IPv6].plen, "outer UDP length")
        else:
            self.read_ipv4(frame[IP])
            equal(udp.len, frame[IP].len - 20, "outer UDP length")
        equal(udp.chksum, 0, "outer UDP checksum")
        assert udp.sport >= 49152, f"outer source port {udp.sport}"
        self.next_hop, self.port = frame.dst, udp.sport
        self.context, self.hops, self.previous = None, 0, []
        if udp.dport == 6081:
            self.read_geneve(udp.payload)
        else:
            self.read_vxlan(udp)

    def read_ipv4(self, ip):
        equal(ip.src, OUR_IP, "outer source")
        equal((ip.version, ip.ihl, ip.ttl, ip.proto), (4, 5, 64, 17),
              "outer version, ihl, ttl, protocol")
        equal((int(ip.flags), ip.frag), (2, 0), "outer flags (DF), fragment")
        equal(ip.len, len(ip), "outer total length")
        check_checksums(ip)
        self.host, self.tos, self.label = ip.dst, ip.tos, None

    def read_ipv6(self, ip):
        equal(ip.src, OUR_IP6, "outer source")
        equal((ip.version, ip.hlim, ip.nh), (6, 64, 17),
              "outer version, hop limit, next header")
        equal(ip.plen, len(ip) - 40, "outer payload length")
        self.host, self.tos, self.label = ip.dst, ip.tc, ip.fl

    def read_geneve(self, geneve):
        assert isinstance(geneve, GENEVE), geneve
        self.type = "geneve"
        equal((geneve.version, geneve.oam, geneve.critical, geneve.proto),
              (0, 0, 0, 0x6558), "Geneve header")
        self.vni = geneve.vni
        # (scapy takes all options for one.)
        options = raw(geneve)[8:8 + 4 * geneve.optionlen]
        assert len(options) in (12, 24), f"{len(options)} bytes of options"
        for i in range(len(options) // 12):
            equal(struct.unpack("!HBB", options[12 * i:12 * i + 4]),
                  (0xff67, 1 + i, 2), "option header")
        self.read_context(*struct.unpack("!II", options[4:12]))
        if len(options) > 12:
            previous = struct.unpack("!4H", options[16:24])
            self.previous = [e for e in previous if e != 0xffff]
        self.inner = geneve.payload
        assert isinstance(self.inner, Ether), self.inner

    def read_context(self, word, epoch):
        equal(word >> 28, 1, "context version")
        equal(word >> 24 & 8, 0, "reserved context flag")
        self.context = {"group": word & 0xffffff, "epoch": epoch,
                        "new": bool(word >> 24 & 1)}
        self.hops = word >> 25 & 3

    def read_vxlan(self, udp):
        self.type = "vxlan"
        equal(udp.dport, 4789, "outer destination port")
        vxlan = udp[VXLAN]
        equal(int(vxlan.flags), 0x08, "VXLAN flags")
        equal(raw(udp.payload)[1:4] + raw(udp.payload)[7:8], bytes(4),
              "VXLAN reserved bits")
        self.vni = vxlan.vni
        self.inner = vxlan.payload
        assert isinstance(self.inner, Ether), self.inner


def check_forwarded(inner, sent, mac, src=None, ttl=True):
    """'inner' is 'sent' as a router hands it on to 'mac', or, without 'ttl',
    as who only redirects it."""
    equal(inner.dst, mac, "inner destination MAC")
    equal(inner.src, src or sent.src, "inner source MAC")
    a, b = inner.copy(), sent.copy()
    if inner.type == 0x86dd:
        equal(inner[IPv6].hlim, sent[IPv6].hlim - ttl, "inner hop limit")
        a[IPv6].hlim = b[IPv6].hlim
    else:
        equal(inner[IP].ttl, sent[IP].ttl - ttl, "inner TTL")
        if not inner[IP].frag and not inner[IP].flags.MF:
            check_checksums(inner[IP])
        check_header_checksum(inner[IP])
        a[IP].ttl = b[IP].ttl
        a[IP].chksum = b[IP].chksum = 0
    for frame in (a, b):
        frame.src = frame.dst = "0:0:0:0:0:0"
    equal(raw(a).hex(), raw(b).hex(), "the rest of the inner frame")


def check_icmp(answer, sent, vni, type_, code, mtu=0):
    """'answer' is the ICMP error about 'sent', to its sender."""
    equal((answer.src, answer.dst), (router_mac(vni), sent.src), "MACs")
    equal(Dot1Q in answer, Dot1Q in sent, "VLAN tag")
    if Dot1Q in sent:
        equal(answer[Dot1Q].vlan, sent[Dot1Q].vlan, "VLAN")
    ip, icmp = answer[IP], answer[ICMP]
    equal((ip.src, ip.dst), (sent[IP].dst, sent[IP].src), "ICMP addresses")
    equal((icmp.type, icmp.code), (type_, code), "ICMP type, code")
    packet = raw(sent[IP])[:sent[IP].len]
    quote = raw(icmp)[8:]
    equal(quote.hex(), packet[:576 - 28].hex(), "quoted packet")
    equal(struct.unpack("!HH", raw(icmp)[4:8]), (0, mtu), "unused, MTU")
    equal(ip.len, 28 + len(quote), "ICMP total length")
    total = sum(struct.unpack(f"!{len(raw(icmp) + b'0') // 2}H",
                              raw(icmp) + bytes(len(raw(icmp)) % 2)))
    equal(total % 0xffff, 0, "ICMP checksum")
    check_header_checksum(ip)


def pseudo6(ip, protocol, length):
    return mapped(ip.src) + mapped(ip.dst) + struct.pack("!II", length,
                                                         protocol)


def word_sum(data):
    data += bytes(len(data) % 2)
    return sum(struct.unpack(f"!{len(data) // 2}H", data)) % 0xffff


def check_icmp6(answer, sent, vni, type_, code, mtu=0):
    """The same over IPv6."""
    equal((answer.src, answer.dst), (router_mac(vni), sent.src), "MACs")
    ip, was = answer[IPv6], sent[IPv6]
    equal((ip.src, ip.dst, ip.nh), (was.dst, was.src, 58), "addresses")
    icmp = raw(ip)[40:]
    equal(struct.unpack("!BB2xI", icmp[:8]), (type_, code, mtu),
          "ICMPv6 type, code, MTU")
    equal(icmp[8:].hex(), raw(was)[:1280 - 48].hex(), "quoted packet")
    equal(ip.plen, len(icmp), "ICMPv6 payload length")
    equal(word_sum(pseudo6(ip, 58, len(icmp)) + icmp), 0, "ICMPv6 checksum")


def check_nd(answer, asked, vni):
    mac, ip = router_mac(vni), answer[IPv6]
    equal((answer.src, answer.dst), (mac, asked.src), "MACs")
    equal(Dot1Q in answer, Dot1Q in asked, "VLAN tag")
    target = raw(asked[IPv6].payload)[8:24]
    equal((ip.hlim, mapped(ip.src), ip.dst), (255, target, asked[IPv6].src),
          "hop limit, addresses")
    na = answer[ICMPv6ND_NA]
    equal((na.R, na.S, na.O, mapped(na.tgt)), (0, 1, 1, target), "flags")
    equal(answer[ICMPv6NDOptDstLLAddr].lladdr, mac, "link-layer address")
    icmp = raw(ip)[40:]
    equal(ip.plen, len(icmp), "length")
    equal(word_sum(pseudo6(ip, 58, len(icmp)) + icmp), 0, "ICMPv6 checksum")


def check_reset(answer, sent, vni):
    """RFC 9293 section 3.5.2."""
    layer = IPv6 if IPv6 in sent else IP
    equal((answer.src, answer.dst), (router_mac(vni), sent.src), "MACs")
    equal(Dot1Q in answer, Dot1Q in sent, "VLAN tag")
    equal((answer[layer].src, answer[layer].dst),
          (sent[layer].dst, sent[layer].src), "addresses")
    tcp, was = answer[TCP], sent[TCP]
    equal((tcp.sport, tcp.dport), (was.dport, was.sport), "ports")
    if was.flags.A:
        equal((str(tcp.flags), tcp.seq), ("R", was.ack), "flags, sequence")
    else:
        length = len(was.payload) + was.flags.S + was.flags.F
        equal((str(tcp.flags), tcp.seq, tcp.ack), ("RA", 0, was.seq + length),
              "flags, sequence, acknowledgement")
    right = answer.copy()
    del right[TCP].chksum
    equal(tcp.chksum, Ether(raw(right))[TCP].chksum, "TCP checksum")
    if layer is IP:
        check_header_checksum(answer[IP])


def check_abort(answer, sent, vni, chunk):
    """RFC 9260 section 8.4: 'chunk' alone, with the tag that was sent."""
    layer = IPv6 if IPv6 in sent else IP
    equal((answer.src, answer.dst), (router_mac(vni), sent.src), "MACs")
    equal(Dot1Q in answer, Dot1Q in sent, "VLAN tag")
    equal((answer[layer].src, answer[layer].dst),
          (sent[layer].dst, sent[layer].src), "addresses")
    sctp, was = answer[SCTP], sent[SCTP]
    equal((sctp.sport, sctp.dport, sctp.tag), (was.dport, was.sport, was.tag),
          "ports, verification tag")
    assert chunk in answer, f"no {chunk.__name__}: {answer!r}"
    equal((answer[chunk].TCB, answer[chunk].len), (1, 4), "T bit, length")
    equal(len(sctp), 16, "SCTP length")
    right = answer.copy()
    del right[SCTP].chksum
    equal(sctp.chksum, Ether(raw(right))[SCTP].chksum, "CRC32c")
    if layer is IP:
        check_header_checksum(answer[IP])


def check_header_checksum(ip):
    words = struct.unpack(f"!{ip.ihl * 2}H", raw(ip)[:ip.ihl * 4])
    equal(sum(words) % 0xffff, 0, "IP checksum")


def check_arp(answer, asked, vni):
    mac = router_mac(vni)
    equal((answer.src, answer.dst), (mac, asked[ARP].hwsrc), "MACs")
    equal((answer[ARP].op, answer[ARP].hwsrc, answer[ARP].psrc),
          (2, mac, asked[ARP].pdst), "op, sender")
    equal((answer[ARP].hwdst, answer[ARP].pdst),
          (asked[ARP].hwsrc, asked[ARP].psrc), "target")
    equal(len(answer), len(asked), "length")
