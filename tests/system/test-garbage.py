#!/usr/bin/python3
"""Bytes that make no sense, on every port that switches and mapd have: the
underlay, VMs, control sockets, mapd's TCP port.  Connections go on, no daemon
dies.  (TLS and metrics: test-trust.py, test-metrics.py.)"""

import sys
sys.dont_write_bytecode = True

import json
import os
import random

import harness
from harness import TOP, check
from scapy.layers.l2 import Ether
from scapy.utils import rdpcap

from clients import Holder, connect
from node import run
from sandbox import RUN_DIR
from tenant import captured, group, h4, python, red, send_frames
from topology import Topology

N_FRAMES = 5000
N_CONNECTIONS = 300

tests = harness.Tests()


def damaged(frames, rng, n):
    """Copies of 'frames' with errors: bytes that differ behind the addresses,
    an end that is missing or too much."""
    out = []
    while len(out) < n:
        frame = bytearray(rng.choice(frames))
        for _ in range(rng.randrange(1, 9)):
            at = rng.randrange(12, len(frame))
            frame[at] = rng.choice([0, 255, rng.randrange(256),
                                    frame[at] ^ 1 << rng.randrange(8)])
        if rng.random() < 0.2:
            del frame[rng.randrange(14, len(frame)):]
        elif rng.random() < 0.1:
            frame += rng.randbytes(rng.randrange(200))
        out.append(bytes(frame))
    return out


def frames_of(path, keep):
    frames = [bytes(Ether(bytes(frame))) for frame in rdpcap(path)]
    frames = [frame for frame in frames if keep(frame) and len(frame) > 14]
    check(len(frames) > 50, 'only %d frames to damage', len(frames))
    return frames


def goes_on(network, send):
    """Does 'send' under traffic, to which nothing happens."""
    held = Holder(red(network), 20)
    send()
    answers = connect(red(network), 60)
    check(set(answers) == {'red-web1', 'red-web2'}, '%s', dict(answers))
    report = held.finish()
    check(not report['broken'], '%s', report['broken'])
    check(not network.dead(), 'died: %s', network.dead())


def drops_of(host):
    return sum(json.loads(host.ovs.appctl('anycast/drops', '--json')
                          ).values())


@tests.add
def damaged_frames_from_the_underlay(network):
    """To the host of an endpoint, and to the client's."""
    rng = random.Random(1)
    network.expect_log(r'\|(native_tnl|tunnel|odp_util|ofproto_dpif\w*)\|WARN')
    for host in (network.hosts['h1'], h4(network)):
        with group(network, 'red-web1', 'red-web2'):
            with captured(network, 'udp', port=host.name) as path:
                connect(red(network), 60)
            mac = run(host, ['cat', '/sys/class/net/br-phy/address']
                      ).stdout.strip().replace(':', '')
            frames = frames_of(path, lambda f, mac=mac: f[:6].hex() == mac)
            before = drops_of(host)
            goes_on(network, lambda: send_frames(
                network.underlay, damaged(frames, rng, N_FRAMES)
                + [bytes.fromhex(mac) + rng.randbytes(rng.randrange(8, 1500))
                   for _ in range(N_FRAMES // 5)], host.name))
            check(drops_of(host) > before, 'nothing dropped')


@tests.add
def damaged_frames_from_a_vm(network):
    rng = random.Random(2)
    with group(network, 'red-web1', 'red-web2'):
        path = os.path.join(RUN_DIR, 'vm.pcap')
        daemon = network.capture(red(network), 'eth0', path, 'outbound')
        connect(red(network), 60)
        network.stop_capture(daemon)
        frames = frames_of(path, lambda f: True)
        before = drops_of(h4(network))
        goes_on(network, lambda: send_frames(
            red(network), damaged(frames, rng, N_FRAMES)))
        check(drops_of(h4(network)) > before, 'nothing dropped')


# Bytes to a socket: PATH or IP:PORT, seed, how many connections.
BYTES = r'''
import random, socket, sys
place, seed, n = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed)
texts = [b'[]', b'{}', b'{"x":1}', b'GET / HTTP/1.1\r\n\r\n', b'[' * 5000,
         b'{"id":1,"method":"version","params":7}', b'\x16\x03\x01\x02\x00',
         b'{"id":1,"method":7,"params":[]}', b'{"id":1,"result":[]}',
         b'{"id":1,"method":"version","params":[' , b'"' + b'x' * 100000]
for i in range(n):
    s = (socket.socket(socket.AF_UNIX) if place.startswith('/')
         else socket.socket())
    s.settimeout(0.2)
    try:
        s.connect(place if place.startswith('/') else
                  (place.split(':')[0], int(place.split(':')[1])))
        s.sendall(rng.choice(texts + [rng.randbytes(rng.randrange(1, 3000))
                                      for _ in range(8)]))
        if rng.random() < 0.1:
            s.recv(1000)
    except OSError:
        pass
    s.close()
'''


@tests.add
def garbage_on_control_sockets(network):
    network.expect_log(r'\|(jsonrpc|stream\w*|unixctl)\|WARN\|')
    with group(network, 'red-web1', 'red-web2'):
        for seed, path in enumerate((h4(network).ovs.path(
                'grapnel-vswitchd.ctl'), os.path.join(RUN_DIR, 'mapd',
                                                      'mapd.ctl'))):
            goes_on(network, lambda seed=seed, path=path: python(
                h4(network), BYTES, path, seed, N_CONNECTIONS))
            run(h4(network), [TOP + '/.deps/openvswitch/utilities/ovs-appctl',
                              '--timeout=30', '-t', path, 'version'])


@tests.add
def garbage_on_mapds_port(network):
    """From a host, whose switch is connected to it."""
    network.expect_log(r'\|(jsonrpc|stream\w*)\|WARN\|')
    network.expect_log(r'\|server\|WARN\|.*closing')
    with group(network, 'red-web1', 'red-web2') as key:
        before = network.ctl_json('status')['mapd']
        goes_on(network, lambda: python(h4(network), BYTES,
                                        '192.0.2.100:6670', 7, N_CONNECTIONS))
        status = network.ctl_json('status')['mapd']
        check(status['connected'] == 4 and not status['dead']
              and status['revision'] == before['revision'], '%s', status)
        network.ctl('endpoint', 'set', key + '/web2', '--weight', '7',
                    '--wait')


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'garbage'))))
