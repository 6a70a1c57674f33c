#!/usr/bin/python3
"""A sender that is behind the mapping is set right by the endpoints' switches
(hints); and what others make up does not pass for a hint."""

import sys
sys.dont_write_bytecode = True

import contextlib
import os
import time

import harness
from harness import TOP, check

from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import rdpcap

from clients import Holder, connect
from node import run, wait_until
from tenant import (REGISTERED_ANEW, captured, drops, group, h4, red,
                    send_frames)
from topology import ANYCAST, ANYCAST6, Topology

ROUTER = '0a:67:72:00:13:89'    # Of VNI 5001.
HINT_TYPE = 0x88b5
HINT_LEN = 44                   # Without the padding of a short frame.
SERVERS = ('red-web1', 'red-web2', 'red-web3')

tests = harness.Tests()


@contextlib.contextmanager
def cut_off(network):
    """mapd has no way to h4 meanwhile, and neither knows it at first."""
    network.expect_log(REGISTERED_ANEW)
    network.expect_log(r'host h4.*(dead|no sign of life)')
    network.expect_log(r'(reconnect|jsonrpc|mapd_session)\S*\|(WARN|ERR)\|')
    route = ['blackhole', h4(network).address + '/32']
    run(network.mapd_node, ['ip', 'route', 'add', *route])
    try:
        yield
    finally:
        run(network.mapd_node, ['ip', 'route', 'del', *route])
        # mapd may take h4 for dead even now, and then waits for the others
        # only.
        h4(network).wait_in_step(network.ctl_json('status')['mapd'][
            'revision'], 15)
        network.wait_for_hosts()


def change(network, *args):
    """A change that all hosts but h4 follow."""
    network.ctl(*args)
    revision = network.ctl_json('status')['mapd']['revision']
    for host in network.hosts.values():
        if host is not h4(network):
            host.wait_in_step(revision)


def stale_senders(network, algorithm, address):
    """A host that is cut off from mapd, while an endpoint is drained and
    another one added, serves on, and its flows go where they should."""
    before = h4(network).show()
    with group(network, *SERVERS, address=address,
               options=['--algorithm', algorithm]) as key:
        held = Holder(red(network), 40, address=address)
        with cut_off(network):
            vm = network.vms['red-web4']
            change(network, 'endpoint', 'add', key + '/web4', '--host',
                   vm.host.name, '--mac', vm.mac, '--weight', 200)
            change(network, 'endpoint', 'set', key + '/web2', '--state',
                   'draining')
            fresh = Holder(red(network), 60, address=address)
            check('red-web2' not in connect(red(network), 60,
                                            address=address),
                  'the endpoint that drains got new connections')
            time.sleep(1)
            check(h4(network).anycast_fact('revision')
                  < network.ctl_json('status')['mapd']['revision'],
                  'h4 is not behind')
            late = h4(network).show()
        reports = held.finish(), fresh.finish()
    for report in reports:
        check(not report['broken'], '%s', report['broken'][:3])
    check('red-web2' not in reports[1]['endpoints'], '%s', reports[1])
    check(reports[0]['endpoints'].get('red-web2'), '%s', reports[0])
    check(late['hints_accepted'] > before['hints_accepted'],
          'no hint was accepted')


@tests.add
def a_stale_sender_that_goes_by_the_hash_alone_is_set_right(network):
    stale_senders(network, 'hash', ANYCAST)
    stale_senders(network, 'hash', ANYCAST6)


@tests.add
def a_stale_sender_that_keeps_entries_is_set_right(network):
    stale_senders(network, 'weighted', ANYCAST)


def hint_frame(payload):
    return Ether(src=ROUTER, dst=ROUTER, type=HINT_TYPE) / Raw(payload)


def geneve(network, source, inner):
    """A frame that says it is from host 'source', for h4's underlay."""
    return (Ether(src='02:00:00:00:00:99', dst='02:00:c0:00:02:04')
            / IP(src=source.vtep, dst=h4(network).vtep)
            / UDP(sport=40000, dport=6081, chksum=0)
            / Raw(bytes.fromhex('00006558' '00138900') + bytes(inner)))


@tests.add
def what_others_make_up_is_no_hint(network):
    """A tenant's VM, and a stranger on the underlay, who changes a real one
    in every byte."""
    with group(network, *SERVERS, options=['--algorithm', 'hash']) as key:
        real = catch_hint(network, key)
        held = Holder(red(network), 20)
        before = h4(network).show(), drops(network, 'hint_forged')
        vm = [hint_frame(real), hint_frame(real[:20]), hint_frame(b'')]
        send_frames(red(network), vm)
        spoiled = []
        for i in range(len(real)):
            spoiled.append(bytearray(real))
            spoiled[-1][i] ^= 1 << i % 8
        send_frames(network.mapd_node, [
            geneve(network, network.hosts['h1'], hint_frame(bytes(payload)))
            for payload in spoiled])
        expected = before[1] + len(vm) + len(real)
        wait_until('%d are counted' % expected, lambda: drops(
            network, 'hint_forged') == expected, 3)
        check(h4(network).anycast_fact('hints_accepted')
              == before[0]['hints_accepted'], 'one was accepted')
        report = held.finish()
        check(not report['broken'], '%s', report['broken'])


def catch_hint(network, key):
    """The payload of a hint that another switch sends h4."""
    before = drops(network, 'hint')
    with captured(network, 'udp') as pcap:
        with cut_off(network):
            change(network, 'endpoint', 'set', key + '/web2', '--state',
                   'draining')
            connect(red(network), 60)
            wait_until('h4 gets hints', lambda: drops(network, 'hint')
                       > before, 2)
    frames = [bytes(packet) for packet in rdpcap(pcap)]
    hints = [frame for frame in frames if len(frame) > 64
             and HINT_TYPE.to_bytes(2, 'big') in frame[50:90]
             and frame[30:34] == bytes([192, 0, 2, 4])]
    check(hints, 'no hint on the underlay')
    frame = hints[0]
    mark = bytes.fromhex(ROUTER.replace(':', '')) * 2 \
        + HINT_TYPE.to_bytes(2, 'big')
    network.ctl('endpoint', 'set', key + '/web2', '--state', 'up', '--wait')
    start = frame.index(mark) + len(mark)
    return frame[start:start + HINT_LEN]


@tests.add
def an_old_hint_is_stale(network):
    """A real one, played back by a stranger when the mapping has gone on."""
    with group(network, *SERVERS, options=['--algorithm', 'hash']) as key:
        real = catch_hint(network, key)
        held = Holder(red(network), 20)
        before = drops(network, 'hint_stale')
        send_frames(network.mapd_node, [geneve(
            network, network.hosts['h1'], hint_frame(real))] * 3)
        wait_until('it is counted', lambda: drops(network, 'hint_stale')
                   == before + 3, 3)
        report = held.finish()
        check(not report['broken'], '%s', report['broken'])


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'stale'))))
