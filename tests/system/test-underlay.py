#!/usr/bin/python3
"""Where encapsulated frames go: one switch, its underlay bridge br-phy with
an uplink to the network namespace "fabric", and a mapping service that says
what a test wants.  Frames are looked at as they arrive in the fabric."""

import base64
import ctypes
import json
import os
import re
import shutil
import socket
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time

import harness
from harness import check
from node import SLOW_MACHINE, run, wait_until
from openvswitch import OpenVSwitch

VTEP, GATEWAY, GATEWAY2 = '192.0.2.1', '192.0.2.254', '192.0.2.253'
LOOPBACK_VTEP = '203.0.113.1'
REMOTES = '198.51.100.0/24'     # Where the VTEPs of the other hosts are.
GATEWAY_MAC, GATEWAY2_MAC = '02:00:00:00:fa:b0', '02:00:00:00:fa:b1'
MOVED_MAC = '02:00:00:00:fa:b9'
GENEVE_PORT = 6081
CLIENT, ANYCAST = '10.1.0.5', '10.1.0.100'

# What the tests provoke.
EXPECTED = re.compile(
    SLOW_MACHINE + r'|no way to |leads to dmz, but frames go to br-phy|'
    r'leads to br-phy, but frames go to late0|'
    r'Dropped \d+ log messages|could not open network device|'
    r'ovs_router|tunnel\(|native_tnl|'
    r'received on unknown port|failed to open .*No such device')


class Here:
    """A network namespace as a node: None is the switch's own."""

    def __init__(self, name=None):
        self.name = name

    def __str__(self):
        return self.name or 'switch'

    def popen(self, argv, **kwargs):
        prefix = ['ip', 'netns', 'exec', self.name] if self.name else []
        kwargs.setdefault('stdout', subprocess.PIPE)
        kwargs.setdefault('stderr', subprocess.PIPE)
        return subprocess.Popen(prefix + argv, **kwargs)


def leb128(number):
    out = b''
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def snapshot(revision, vteps):
    """One group, whose endpoint on each of 'vteps' has equally many slots."""
    names = ['h-' + vtep for vtep in vteps]
    slots, n = b'', len(vteps)
    bounds = [256 * i // n for i in range(n + 1)]
    for i in range(n):
        slots += leb128(0) + leb128(bounds[i + 1] - bounds[i]) + leb128(i)
    endpoints = [
        {'record': {'kind': 'endpoint', 'vni': 5001, 'group': 'web',
                    'name': 'w%d' % i, 'host': name,
                    'mac': '02:00:00:00:%02x:%02x' % (i >> 8, i & 255),
                    'weight': 100, 'state': 'up'}, 'index': i,
         'up_ms': 60000}
        for i, name in enumerate(names)]
    return {
        'revision': revision, 'hash_key': '00112233445566778899aabbccddeeff',
        'hosts': [{'kind': 'host', 'name': name, 'vtep': vtep,
                   'encap': 'geneve'} for name, vtep in zip(names, vteps)],
        'dead': [],
        'groups': [{'record': {
            'kind': 'group', 'vni': 5001, 'name': 'web', 'address': ANYCAST,
            'protocol': 'tcp', 'port': 80, 'algorithm': 'weighted',
            'affinity': 'flow', 'slots': 256}, 'id': 1, 'epoch': revision,
            'slots': base64.b64encode(slots).decode(),
            'previous': ['', ''],
            'endpoints': endpoints}]}


class Mapd:
    """Answers one host, and tells it what say() says."""

    def __init__(self, path):
        self.revision = 1
        self.snapshot = None
        self.peers = []
        mapd = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                mapd.serve(self.request)

        server = socketserver.ThreadingUnixStreamServer(path, Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()

    def serve(self, sock):
        text = ''
        while data := sock.recv(1 << 16):
            text += data.decode()
            while text:
                try:
                    message, end = json.JSONDecoder().raw_decode(text)
                except ValueError:
                    break
                text = text[end:].lstrip()
                self.answer(sock, message)

    def answer(self, sock, message):
        method = message.get('method')
        if message.get('id') is None:
            return
        if method == 'subscribe':
            result = self.snapshot
            self.peers.append(sock)
        elif method == 'register':
            result = {'revision': self.revision}
        else:
            result = message['params']
        sock.sendall(json.dumps({'id': message['id'], 'result': result,
                                 'error': None}).encode())

    def say(self, vteps):
        self.revision += 1
        self.snapshot = snapshot(self.revision, vteps)
        for sock in self.peers:
            sock.sendall(json.dumps(
                {'id': None, 'method': 'snapshot',
                 'params': [self.snapshot]}).encode())
        return self.revision


class Network:
    def __init__(self):
        self.directory = tempfile.mkdtemp(dir='/run')
        self.here, self.fabric = Here(), Here('fabric')
        self.ovs = OpenVSwitch(self.here, self.directory + '/h1')
        self.mapd = None
        self.sniffer = None
        self.port = 1024        # Of the last flow.

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # The topology.

    def ip(self, *args):
        return run(self.here, ['ip', *args]).stdout

    def fab(self, *args):
        return run(self.fabric, ['ip', *args]).stdout

    def start(self):
        self.ip('netns', 'add', 'fabric')
        self.ip('link', 'add', 'uplink', 'type', 'veth', 'peer', 'fab0',
                'netns', 'fabric', 'address', GATEWAY_MAC)
        self.ip('link', 'set', 'uplink', 'up')
        self.fab('addr', 'add', GATEWAY + '/24', 'dev', 'fab0')
        self.fab('link', 'set', 'fab0', 'up')
        self.ip('link', 'add', 'dmz', 'type', 'veth', 'peer', 'dmz-peer')
        self.ip('addr', 'add', '172.16.0.1/24', 'dev', 'dmz')
        self.ip('link', 'set', 'dmz', 'up')
        self.ip('link', 'set', 'dmz-peer', 'up')
        self.ovs.start_database()
        self.ovs.start_switch()
        netdev = ['datapath_type=netdev']
        self.ovs.vsctl(
            'add-br', 'br-phy', '--', 'set', 'bridge', 'br-phy', *netdev,
            '--', 'add-port', 'br-phy', 'uplink', '--', 'add-port', 'br-phy',
            'vtep0', '--', 'set', 'interface', 'vtep0',
            'type=anycast_underlay', '--', 'add-br', 'br-red', '--', 'set',
            'bridge', 'br-red', *netdev, '--', 'add-port', 'br-red', 'any0',
            '--', 'set', 'interface', 'any0', 'type=anycast',
            'options:vni=5001')
        self.ip('addr', 'add', VTEP + '/24', 'dev', 'br-phy')
        self.ip('link', 'set', 'br-phy', 'up')
        self.ip('route', 'add', REMOTES, 'via', GATEWAY)
        self.start_sniffer()
        self.mapd = Mapd(self.directory + '/mapd.sock')
        self.mapd.say(['198.51.100.2'])
        self.configure('grapnel-mapd=unix:%s/mapd.sock' % self.directory,
                       'grapnel-vtep=' + VTEP, 'grapnel-host=h1')
        wait_until('the table is in use',
                   lambda: self.show()['revision'] == self.mapd.revision)

    def configure(self, *pairs):
        self.ovs.vsctl('set', 'open_vswitch', '.',
                       *('external_ids:' + pair for pair in pairs))

    def start_sniffer(self):
        """A packet socket in the fabric: one belongs to the network namespace
        that its thread was in when it was made."""
        setns = ctypes.CDLL(None, use_errno=True).setns
        with open('/proc/self/ns/net') as ours, \
                open('/run/netns/fabric') as fabric:
            check(setns(fabric.fileno(), 0) == 0, 'setns failed')
            try:
                self.sniffer = socket.socket(socket.AF_PACKET,
                                             socket.SOCK_RAW, socket.htons(3))
                self.sniffer.bind(('fab0', 0))
            finally:
                check(setns(ours.fileno(), 0) == 0, 'setns failed')

    def stop(self):
        complaints = self.ovs.stop() if self.ovs.switch else []
        self.ovs.switch = self.ovs.database = None
        return complaints

    # What the harness asks for.

    def dead(self):
        return [daemon.name for daemon in (self.ovs.switch, self.ovs.database)
                if daemon and not daemon.alive()]

    def log_complaints(self):
        if not os.path.exists(self.ovs.path('grapnel-vswitchd.log')):
            return []
        return [line for line in self.ovs.log().splitlines()
                if re.search(r'\|(WARN|ERR|EMER)\|', line)
                and not EXPECTED.search(line)]

    def collect_logs(self):
        directory = harness.log_directory()
        shutil.copy(self.ovs.path('grapnel-vswitchd.log'), directory)
        return directory

    # What the tests ask for.

    def show(self):
        return json.loads(self.ovs.appctl('anycast/show', '--json'))

    def drops(self, reason):
        return json.loads(self.ovs.appctl('anycast/drops', '--json'))[reason]

    def send(self):
        """One packet of a new flow to the anycast address."""
        self.port += 1
        frame = (bytes.fromhex('0a6772001389' '020000000105' '0800')
                 + ip_tcp(self.port))
        self.ovs.ofctl('packet-out', 'br-red', 'in_port=LOCAL packet=%s '
                       'actions=output:any0' % frame.hex())

    def frames(self, seconds=0.2):
        """The encapsulated frames that arrive: (dst MAC, src MAC, src IP, dst
        IP)."""
        found, deadline = [], time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self.sniffer.settimeout(left)
            try:
                data = self.sniffer.recv(2048)
            except TimeoutError:
                break
            if (data[12:14] == b'\x08\0' and data[23] == 17
                    and data[36:38] == struct.pack('>H', GENEVE_PORT)):
                found.append((mac(data[0:6]), mac(data[6:12]),
                              socket.inet_ntoa(data[26:30]),
                              socket.inet_ntoa(data[30:34])))
        return found

    def exchange(self):
        """Sends one packet.  Returns the frame that comes of it, or None."""
        self.frames(0.01)
        self.send()
        frames = self.frames()
        check(len(frames) <= 1, 'one packet has become %s', frames)
        return frames[0] if frames else None

    def wait_for_frame(self, dst_mac, src=VTEP, seconds=10):
        def is_it():
            frame = self.exchange()
            return frame if frame and frame[0] == dst_mac \
                and frame[2] == src else None
        return wait_until('a frame to %s from %s' % (dst_mac, src), is_it,
                          seconds)

    def wait_for_drop(self, reason):
        def dropped():
            before = self.drops(reason)
            return not self.exchange() and self.drops(reason) > before
        wait_until('a packet is dropped as ' + reason, dropped)

    def mac_of(self, device):
        return json.loads(self.ip('-j', 'link', 'show', device))[0]['address']


def mac(octets):
    return ':'.join('%02x' % octet for octet in octets)


def checksum(data):
    total = sum(struct.unpack('>%dH' % (len(data) // 2), data))
    total = (total & 0xffff) + (total >> 16)
    return ~((total & 0xffff) + (total >> 16)) & 0xffff


def ip_tcp(port):
    src, dst = socket.inet_aton(CLIENT), socket.inet_aton(ANYCAST)
    ip = struct.pack('>BBHHHBBH', 0x45, 0, 40, 0, 0, 64, 6, 0) + src + dst
    ip = ip[:10] + struct.pack('>H', checksum(ip)) + ip[12:]
    tcp = struct.pack('>HHIIBBHHH', port, 80, 1, 0, 0x50, 2, 1024, 0, 0)
    return ip + tcp


tests = harness.Tests()


@tests.add
def a_frame_goes_to_the_gateway_from_the_bridge(network):
    frame = network.wait_for_frame(GATEWAY_MAC)
    check(frame == (GATEWAY_MAC, network.mac_of('br-phy'), VTEP,
                    '198.51.100.2'), 'the frame is %s', frame)


@tests.add
def a_new_gateway_is_used_once_it_answers(network):
    run(network.fabric, ['sysctl', '-qw', 'net.ipv4.conf.all.arp_ignore=1'])
    network.ip('route', 'replace', REMOTES, 'via', GATEWAY2)
    # Long enough for the kernel to give up once.
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        frame = network.exchange()
        check(frame and frame[0] == GATEWAY_MAC, 'meanwhile: %s', frame)
        time.sleep(0.5)
    network.fab('link', 'add', 'fab1', 'link', 'fab0', 'address',
                GATEWAY2_MAC, 'type', 'macvlan', 'mode', 'bridge')
    network.fab('addr', 'add', GATEWAY2 + '/24', 'dev', 'fab1')
    network.fab('link', 'set', 'fab1', 'up')
    network.wait_for_frame(GATEWAY2_MAC, seconds=6)
    network.ip('route', 'replace', REMOTES, 'via', GATEWAY)
    network.wait_for_frame(GATEWAY_MAC, seconds=2)


@tests.add
def a_gateway_may_change_its_address(network):
    network.ip('neigh', 'replace', GATEWAY, 'lladdr', MOVED_MAC, 'dev',
               'br-phy', 'nud', 'permanent')
    network.wait_for_frame(MOVED_MAC, seconds=2)
    network.ip('neigh', 'replace', GATEWAY, 'lladdr', GATEWAY_MAC, 'dev',
               'br-phy', 'nud', 'reachable')
    network.wait_for_frame(GATEWAY_MAC, seconds=2)


@tests.add
def an_address_that_cannot_be_sent_to_is_not_used(network):
    for useless in ('00:00:00:00:00:00', '01:00:5e:00:00:01'):
        network.ip('neigh', 'replace', GATEWAY, 'lladdr', useless, 'dev',
                   'br-phy', 'nud', 'permanent')
        time.sleep(0.3)
        frame = network.exchange()
        check(frame and frame[0] == GATEWAY_MAC, 'with %s: %s', useless,
              frame)
    network.ip('neigh', 'replace', GATEWAY, 'lladdr', GATEWAY_MAC, 'dev',
               'br-phy', 'nud', 'reachable')
    network.wait_for_frame(GATEWAY_MAC)


@tests.add
def a_route_that_refuses_makes_an_end_of_it(network):
    for kind in ('blackhole', 'unreachable', 'prohibit'):
        network.ip('route', 'replace', kind, REMOTES)
        network.wait_for_drop('no_next_hop')
        network.ip('route', 'replace', REMOTES, 'via', GATEWAY)
        network.wait_for_frame(GATEWAY_MAC, seconds=3)


@tests.add
def a_vtep_of_this_machine_is_not_sent_to(network):
    network.ip('addr', 'add', '198.51.100.2/32', 'dev', 'lo')
    network.wait_for_drop('no_next_hop')
    network.ip('addr', 'del', '198.51.100.2/32', 'dev', 'lo')
    network.wait_for_frame(GATEWAY_MAC, seconds=3)


@tests.add
def a_route_out_of_another_device_is_reported_not_used(network):
    network.ip('neigh', 'replace', '172.16.0.2', 'lladdr', GATEWAY2_MAC,
               'dev', 'dmz')
    network.ip('route', 'replace', REMOTES, 'via', '172.16.0.2')
    network.wait_for_drop('no_next_hop')
    time.sleep(2.5)             # Time enough for it to be repeated.
    said = network.ovs.log().count('no way to 198.51.100.2: its route leads to '
                                   'dmz, but frames go to br-phy')
    check(said == 1, 'reported %d times', said)
    network.ip('route', 'replace', REMOTES, 'via', GATEWAY)
    network.wait_for_frame(GATEWAY_MAC, seconds=3)


@tests.add
def the_configured_vtep_is_the_source(network):
    network.ip('addr', 'add', LOOPBACK_VTEP + '/32', 'dev', 'lo')
    network.configure('grapnel-vtep=' + LOOPBACK_VTEP)
    network.wait_for_frame(GATEWAY_MAC, src=LOOPBACK_VTEP)
    # Policy routing by source address is honoured.
    network.ip('rule', 'add', 'from', LOOPBACK_VTEP, 'table', '100')
    network.ip('route', 'add', REMOTES, 'via', GATEWAY2, 'table', '100')
    network.wait_for_frame(GATEWAY2_MAC, src=LOOPBACK_VTEP, seconds=3)
    network.ip('route', 'del', REMOTES, 'table', '100')
    network.wait_for_frame(GATEWAY_MAC, src=LOOPBACK_VTEP, seconds=3)
    network.ip('rule', 'del', 'from', LOOPBACK_VTEP, 'table', '100')
    # A source that is not ours is no reason to lose the way.
    network.ip('addr', 'del', LOOPBACK_VTEP + '/32', 'dev', 'lo')
    network.wait_for_frame(GATEWAY_MAC, src=LOOPBACK_VTEP)
    network.configure('grapnel-vtep=' + VTEP)
    network.wait_for_frame(GATEWAY_MAC)


@tests.add
def a_tunnel_port_is_refused_as_underlay(network):
    network.ovs.vsctl('add-port', 'br-red', 'gnv0', '--', 'set', 'interface',
                      'gnv0', 'type=geneve', 'options:remote_ip=192.0.2.9')
    network.configure('grapnel-underlay=gnv0')
    wait_until('the refusal', lambda: network.show()['underlay']
               == 'none: "gnv0" is a port of type geneve, which no frames can '
               'be sent to')
    network.wait_for_drop('no_underlay')
    network.configure('grapnel-underlay=nonesuch')
    wait_until('a missing device is reported', lambda:
               '"nonesuch" is neither' in network.show()['underlay'])
    network.ovs.vsctl('del-port', 'gnv0', '--', 'remove', 'open_vswitch',
                      '.', 'external_ids', 'grapnel-underlay')
    network.wait_for_frame(GATEWAY_MAC)


@tests.add
def frames_may_go_straight_out_of_a_device(network):
    network.configure('grapnel-underlay=late0')
    wait_until('it is missed', lambda:
               '"late0" is neither' in network.show()['underlay'])
    network.ip('link', 'add', 'late0', 'type', 'veth', 'peer', 'late1')
    wait_until('it is found', lambda:
               network.show()['underlay'] == 'device late0', 3)
    # The route still leads to br-phy.
    network.wait_for_drop('no_next_hop')
    network.ovs.vsctl('remove', 'open_vswitch', '.', 'external_ids',
                      'grapnel-underlay')
    network.wait_for_frame(GATEWAY_MAC)
    network.ip('link', 'del', 'late0')


@tests.add
def the_underlay_port_may_be_removed_and_added(network):
    for _ in range(2):
        network.ovs.vsctl('del-port', 'vtep0')
        network.wait_for_drop('no_underlay')
        check('no port' in network.show()['underlay'], 'no explanation')
        network.ovs.vsctl('add-port', 'br-phy', 'vtep0', '--', 'set',
                          'interface', 'vtep0', 'type=anycast_underlay')
        network.wait_for_frame(GATEWAY_MAC)


@tests.add
def a_port_that_is_down_passes_nothing(network):
    network.ovs.ofctl('mod-port', 'br-red', 'any0', 'down')
    network.wait_for_drop('port_down')
    network.ovs.ofctl('mod-port', 'br-red', 'any0', 'up')
    network.wait_for_frame(GATEWAY_MAC)
    network.ovs.ofctl('mod-port', 'br-phy', 'vtep0', 'down')
    network.wait_for_drop('no_underlay')
    check('administratively down' in network.show()['underlay'],
          'no explanation')
    network.ovs.ofctl('mod-port', 'br-phy', 'vtep0', 'up')
    network.wait_for_frame(GATEWAY_MAC)


@tests.add
def two_hundred_hosts_come_and_go(network):
    for batch in range(8):
        vteps = ['198.51.100.%d' % (2 + batch * 25 + i) for i in range(25)]
        revision = network.mapd.say(vteps)
        wait_until('revision %d' % revision,
                   lambda: network.show()['revision'] == revision)
        seen = set()
        for _ in range(8):
            frame = network.exchange()
            check(frame and frame[0] == GATEWAY_MAC and frame[3] in vteps,
                  'the frame is %s', frame)
            seen.add(frame[3])
        check(len(seen) > 1, 'all flows go to %s', seen)
        shown = network.show()
        check(shown['hosts'] == 25 and not shown['hosts_without_next_hop'],
              '%s', shown)


sys.exit(tests.main(Network))
