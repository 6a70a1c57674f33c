"""An independent reading of what the engine did: scapy's dissectors and plain
arithmetic, nothing of Grapnel's.  Each function raises AssertionError with the
values that do not fit."""

import struct

from scapy.all import ARP, Dot1Q, Ether, ICMP, IP, TCP, UDP, raw
from scapy.contrib.geneve import GENEVE
from scapy.layers.vxlan import VXLAN

OUR_IP = "192.0.2.9"
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


def group_seed(key, vni, address, protocol, port):
    data = (bytes(10) + b"\xff\xff" + ip_bytes(address)
            + struct.pack("!IHBB", vni, port, protocol, 0))
    h = key[0]
    for word, in struct.iter_unpack("<Q", data):
        h = mix(h ^ word, key[1])
    return mix(h ^ len(data), key[1])


def flow_slot(key, seed, src, src_port, dst_port, n_slots):
    word = int.from_bytes(ip_bytes(src), "big") << 32
    word |= src_port << 16 | dst_port
    h = mix(mix(word ^ seed, key[0]), key[1] ^ seed)
    return h >> (64 - (n_slots.bit_length() - 1))


def ip_bytes(address):
    return bytes(int(x) for x in address.split("."))


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
        ip, udp = frame[IP], frame[UDP]
        equal(frame.type, 0x0800, "outer ethertype")
        equal(frame.src, OUR_MAC, "outer source MAC")
        equal(ip.src, OUR_IP, "outer source")
        equal((ip.version, ip.ihl, ip.ttl, ip.proto), (4, 5, 64, 17),
              "outer version, ihl, ttl, protocol")
        equal((int(ip.flags), ip.frag), (2, 0), "outer flags (DF), fragment")
        equal(ip.len, len(frame) - 14, "outer total length")
        equal(udp.len, ip.len - 20, "outer UDP length")
        equal(udp.chksum, 0, "outer UDP checksum")
        assert udp.sport >= 49152, f"outer source port {udp.sport}"
        check_checksums(frame[IP])

        self.host, self.next_hop = ip.dst, frame.dst
        self.tos, self.port = ip.tos, udp.sport
        self.context = None
        if udp.dport == 6081:
            self.read_geneve(udp.payload)
        else:
            self.read_vxlan(udp)

    def read_geneve(self, geneve):
        assert isinstance(geneve, GENEVE), geneve
        self.type = "geneve"
        equal((geneve.version, geneve.optionlen, geneve.oam, geneve.critical,
               geneve.proto), (0, 3, 0, 0, 0x6558), "Geneve header")
        self.vni = geneve.vni
        option, = geneve.options
        equal((option.classid, option.type, option.reserved, option.length),
              (0xff67, 0x01, 0, 2), "Geneve option header")
        word, epoch = struct.unpack("!II", raw(option.data))
        equal(word >> 28, 1, "context version")
        self.context = {"group": word & 0xffffff, "epoch": epoch,
                        "new": bool(word >> 24 & 1)}
        equal(word >> 24 & 0xe, 0, "unused context flags")
        self.inner = geneve.payload
        assert isinstance(self.inner, Ether), self.inner

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


def check_forwarded(inner, sent, mac, src=None):
    """'inner' is 'sent' as a router hands it on to 'mac'."""
    equal(inner.dst, mac, "inner destination MAC")
    equal(inner.src, src or sent.src, "inner source MAC")
    equal(inner[IP].ttl, sent[IP].ttl - 1, "inner TTL")
    check_checksums(inner[IP])
    a, b = inner.copy(), sent.copy()
    for frame in (a, b):
        frame.src = frame.dst = "0:0:0:0:0:0"
        frame[IP].ttl = frame[IP].chksum = 0
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
