#!/usr/bin/python3
"""The switch and the mapping service on the demo's topology (drawn in
sim/topology.py): what the demo does not show.

Each test makes the groups that it needs and removes them."""

import sys
sys.dont_write_bytecode = True

import collections
import json
import os
import re

import harness
from harness import TOP, check

from capture import anycast_frames
from clients import Holder, connect
from node import run, wait_until
from tenant import (REGISTERED_ANEW, all_drops, captured, drops, group, h4,
                    python, red, traced_endpoint, udp_servers)
from topology import ANYCAST, Topology

LOCAL = 'packets_to_local_endpoints'

tests = harness.Tests()


@tests.add
def source_affinity_keeps_a_client_on_one_endpoint(network):
    client = red(network)
    with group(network, 'red-web1', 'red-web2', 'red-web3',
               options=['--affinity', 'source']):
        chosen = set()
        for octet in range(51, 63):
            address = '10.1.0.%d' % octet
            run(client, ['ip', 'addr', 'add', address + '/32', 'dev', 'eth0'])
            answers = connect(client, 10, source=address)
            run(client, ['ip', 'addr', 'del', address + '/32', 'dev', 'eth0'])
            check(len(answers) == 1, '%s was answered by %s', address,
                  dict(answers))
            chosen |= set(answers)
        check(len(chosen) > 1, 'all 12 clients went to %s', chosen)


UDP_CLIENT = '''
import socket, sys
for client in range(30):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.connect((sys.argv[1], 5353))
    s.settimeout(5)
    answers = []
    for question in range(4):
        s.send(b'who?')
        answers.append(s.recv(100).decode().split()[0])
    print(*answers)
'''


@tests.add
def udp_is_served_and_sticks(network):
    names = ('red-web1', 'red-web2', 'red-web3')
    with udp_servers(network, *names), \
            group(network, *names, port=5353, protocol='udp'):
        lines = python(red(network), UDP_CLIENT, ANYCAST).splitlines()
    for line in lines:
        check(len(set(line.split())) == 1, 'one flow was answered by %s', line)
    check({line.split()[0] for line in lines} == set(names),
          'only %s answered', lines)


@tests.add
def checksums_that_a_vm_leaves_open_are_completed(network):
    """TX checksum offload, of TCP and UDP; tshark checks every packet."""
    client = red(network)
    completed = h4(network).anycast_fact('checksums_completed')
    run(client, ['ethtool', '-K', 'eth0', 'tx', 'on', 'tso', 'off'])
    try:
        with udp_servers(network, 'red-web1'), \
                group(network, 'red-web1', port=0), \
                group(network, 'red-web1', name='dns', port=5353,
                      protocol='udp'), \
                captured(network) as pcap:
            python(client, UDP_CLIENT, ANYCAST)
            run(client, ['curl', '-s', '-m', 20, '--data-binary', '@-',
                         'http://' + ANYCAST], stdin='x' * 300001)
    finally:
        run(client, ['ethtool', '-K', 'eth0', 'tx', 'off'])
    frames = anycast_frames(pcap)
    check(len(frames) > 300, 'only %d frames', len(frames))
    # A few are complete: what Linux sends of a connection that has ended.
    n = h4(network).anycast_fact('checksums_completed') - completed
    check(n >= len(frames) - 10, 'only %d checksums of %d completed', n,
          len(frames))


@tests.add
def an_endpoint_on_the_clients_own_host_is_reached_locally(network):
    network.add_vm('red-web5', 'h4', 5)
    network.start_web('red-web5')
    # As VMs do when they start: bridges learn where it is.
    run(network.vms['red-web5'], ['ping', '-qc', 1, red(network).address])
    local = h4(network).anycast_fact(LOCAL)
    with group(network, 'red-web5'):
        with captured(network, 'udp') as pcap:
            answers = connect(red(network), 50)
            frames = anycast_frames(pcap)
    check(answers == {'red-web5': 50}, 'answered by %s', dict(answers))
    check(not frames, '%d frames took the underlay', len(frames))
    check(h4(network).anycast_fact(LOCAL) >= local + 50 * 4,
          'the switch counts too few local packets')


@tests.add
def two_tenants_share_a_bridge_by_pkt_mark(network):
    """Both VMs have the same address.  The operator's rules give each its
    tenant's mark and go on to the table of the switch's steering rules; patch
    ports join the bridge to those of the tenants."""
    ovs = h4(network).ovs
    network.expect_log(REGISTERED_ANEW)
    build_shared_bridge(network)
    network.ctl('group', 'add', '5002/test', '--address', ANYCAST,
                '--protocol', 'tcp', '--port', 80)
    network.add_endpoint('test', 'blue-web1')
    try:
        with group(network, 'red-web1'):
            for tenant in network.TENANTS:
                answers = connect(network.vms[tenant + '-mix'], 50)
                check(answers == {tenant + '-web1': 50},
                      '%s was answered by %s', tenant, dict(answers))
    finally:
        network.ctl('group', 'remove', '5002/test', '--cascade', '--wait')
        ovs.vsctl('del-br', 'br-mix', '--',
                  'del-port', 'br-red', 'red-mix-p', '--',
                  'del-port', 'br-blue', 'blue-mix-p')


def build_shared_bridge(network):
    ovs = h4(network).ovs
    ovs.vsctl('add-br', 'br-mix', '--',
              'set', 'bridge', 'br-mix', 'datapath_type=netdev',
              'fail_mode=secure', '--',
              'add-port', 'br-mix', 'anycast-mix', '--',
              'set', 'interface', 'anycast-mix', 'type=anycast',
              'options:steer_table=10')
    rules = ['table=0,priority=0,actions=resubmit(,10)',
             'table=10,priority=0,actions=drop']
    for tenant, vni in network.TENANTS.items():
        vm = network.add_vm(tenant + '-mix', 'h4', 70, bridge='br-mix')
        ovs.vsctl('add-port', 'br-mix', 'mix-' + tenant, '--',
                  'set', 'interface', 'mix-' + tenant, 'type=patch',
                  'options:peer=%s-mix-p' % tenant, '--',
                  'add-port', 'br-' + tenant, tenant + '-mix-p', '--',
                  'set', 'interface', tenant + '-mix-p', 'type=patch',
                  'options:peer=mix-' + tenant)
        # Open vSwitch looks up a tunnel's route by pkt_mark too, so what is
        # not for the anycast port goes on without the mark.
        rules += ['table=0,priority=10,in_port=%s,'
                  'actions=load:%d->NXM_NX_PKT_MARK[],resubmit(,10)'
                  % (vm.name, vni),
                  'table=10,priority=10,in_port=%s,'
                  'actions=load:0->NXM_NX_PKT_MARK[],output:mix-%s'
                  % (vm.name, tenant),
                  'table=0,priority=10,in_port=mix-%s,actions=output:%s'
                  % (tenant, vm.name)]
    for rule in rules:
        ovs.ofctl('add-flow', 'br-mix', rule)


@tests.add
def an_operator_can_steer_with_rules_of_their_own(network):
    """The switch withdraws its rules, and the operator's do the work."""
    ovs = h4(network).ovs
    own = {'in_port=anycast-red': 'actions=NORMAL',
           'tun_id=0,ip,nw_dst=' + ANYCAST: 'actions=output:anycast-red',
           'tun_id=0,arp,arp_op=1,arp_tpa=' + ANYCAST:
           'actions=output:anycast-red'}
    with group(network, 'red-web1'):
        check(steering_rules(network), 'the switch installed no rules')
        ovs.vsctl('set', 'interface', 'anycast-red', 'options:steer=false')
        wait_until('no steering rules', lambda: not steering_rules(network))
        for match, actions in own.items():
            ovs.ofctl('add-flow', 'br-red',
                      'cookie=0x77,priority=80,%s,%s' % (match, actions))
        run(red(network), ['ip', 'neigh', 'flush', 'dev', 'eth0'])
        connect(red(network), 20)
        wait_until('packets counted by the operator\'s rules', lambda: all(
            int(n) for n in re.findall('n_packets=(\\d+)', ovs.ofctl(
                'dump-flows', 'br-red', 'cookie=0x77/-1'))))
        ovs.ofctl('del-flows', 'br-red', 'cookie=0x77/-1')
        ovs.vsctl('remove', 'interface', 'anycast-red', 'options', 'steer')
        wait_until('steering rules are back',
                   lambda: steering_rules(network))
        connect(red(network), 20)


def steering_rules(network):
    """Those that h4's switch has installed for red's anycast address."""
    return [line for line in h4(network).ovs.ofctl(
                'dump-flows', 'br-red', 'cookie=0x677261706e656c/-1')
            .splitlines() if ANYCAST in line]


@tests.add
def the_switch_puts_its_steering_rules_back(network):
    """An operator may delete all flows, as scripts do."""
    with group(network, 'red-web1'):
        h4(network).ovs.ofctl('del-flows', 'br-red')
        h4(network).ovs.ofctl('add-flow', 'br-red', 'priority=0,'
                              'actions=NORMAL')
        wait_until('steering rules are back',
                   lambda: len(steering_rules(network)) == 2)
        connect(red(network), 20)


@tests.add
def a_host_can_be_reached_by_vxlan(network):
    network.expect_log(REGISTERED_ANEW)
    # Flows of a tunnel port that has just gone are looked at once more.
    network.expect_log('receive tunnel port not found')
    h2 = network.hosts['h2']
    pairs = ((h2, h4(network)), (h4(network), h2))
    for host, peer in pairs:
        host.ovs.vsctl(*host.tunnel('red', 5001, peer, 'vxlan'))
    set_encap(network, h2, 'vxlan')
    with group(network, 'red-web2', 'red-web1'):
        with captured(network) as pcap:
            answers = connect(red(network), 100)
    check(set(answers) == {'red-web1', 'red-web2'}, 'answered by %s',
          dict(answers))
    kinds = {(frame.vtep, frame.encap, frame.vni, bool(frame.options))
             for frame in anycast_frames(pcap)}
    check(kinds == {('192.0.2.1', 'geneve', 5001, True),
                    ('192.0.2.2', 'vxlan', 5001, False)},
          'frames on the underlay: %s', kinds)
    set_encap(network, h2, 'geneve')
    for host, peer in pairs:
        host.ovs.vsctl('del-port', 'red-v-' + peer.name)


def set_encap(network, host, encap):
    host.ovs.vsctl('set', 'open_vswitch', '.',
                   'external_ids:grapnel-encap=' + encap)
    wait_until('%s registered with %s' % (host, encap), lambda: any(
        item['record']['name'] == host.name
        and item['record']['encap'] == encap
        for item in network.ctl_json('host', 'list')))
    network.wait_for_hosts()


@tests.add
def encapsulated_frames_can_go_straight_to_a_device(network):
    ovs = h4(network).ovs
    ovs.vsctl('set', 'open_vswitch', '.', 'external_ids:grapnel-underlay=nic0')
    wait_until('device in use', lambda: 'device nic0' in
               h4(network).anycast_fact('underlay'))
    sent = int(ovs.vsctl('get', 'interface', 'vtep0', 'statistics:rx_packets'))
    with group(network, 'red-web1', 'red-web2'):
        connect(red(network), 50)
    check(sent == int(ovs.vsctl('get', 'interface', 'vtep0',
                                'statistics:rx_packets')),
          'frames went through vtep0')
    ovs.vsctl('remove', 'open_vswitch', '.', 'external_ids',
              'grapnel-underlay')
    wait_until('port in use', lambda: 'port vtep0' in
               h4(network).anycast_fact('underlay'))


@tests.add
def the_anycast_port_can_go_and_come_under_load(network):
    ovs = h4(network).ovs
    with group(network, 'red-web1', 'red-web2'):
        held = Holder(red(network), 20)
        for _ in range(3):
            ovs.vsctl('del-port', 'anycast-red', '--',
                      'del-port', 'vtep0')
            ovs.vsctl('add-port', 'br-red', 'anycast-red', '--',
                      'set', 'interface', 'anycast-red', 'type=anycast',
                      'options:vni=5001', '--',
                      'add-port', 'br-phy', 'vtep0', '--',
                      'set', 'interface', 'vtep0', 'type=anycast_underlay')
        wait_until('steering rules', lambda: len(steering_rules(network)) == 2)
        network.wait_for_hosts()
        connect(red(network), 50)
        report = held.finish()
    check(not report['broken'], '%s', report['broken'])


FRAMES = '''
import random, socket, struct, sys
mac = lambda text: bytes.fromhex(text.replace(':', ''))
ip = socket.inet_aton
good = (mac(sys.argv[2]) + mac(sys.argv[1]) + b'\\x08\\x00'
        + struct.pack('>BBHHHBBH', 0x45, 0, 60, 1, 0x4000, 64, 6, 0)
        + ip(sys.argv[3]) + ip(sys.argv[4])
        + struct.pack('>HHIIBBHHH', 40000, 80, 1, 0, 0xa0, 2, 1000, 0, 0)
        + bytes(20))
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
s.bind(('eth0', 0))
r = random.Random(int(sys.argv[5]))
for _ in range(3000):
    frame = bytearray(good[:r.choice((14, 20, 33, 34, 40, 50, 60, len(good)))])
    for _ in range(r.randrange(4)):
        frame[r.randrange(12, len(frame))] = r.choice((0, 1, 15, 69, 79, 255))
    s.send(frame)
'''


@tests.add
def malformed_frames_are_dropped_and_counted(network):
    """All that the client sends goes to the anycast port, whatever it is."""
    client, ovs = red(network), h4(network).ovs
    with group(network, 'red-web1'):
        connect(client, 1)
        before = sum(all_drops(network).values())
        ovs.ofctl('add-flow', 'br-red', 'cookie=0x77,priority=40000,'
                  'in_port=red-client,actions=output:anycast-red')
        for seed in range(3):
            python(client, FRAMES, client.mac, '0a:67:72:00:13:89',
                   client.address, ANYCAST, seed)
        ovs.ofctl('del-flows', 'br-red', 'cookie=0x77/-1')
        reasons = all_drops(network)
        check(sum(reasons.values()) > before + 3000, 'too few drops: %s',
              reasons)
        check(reasons['truncated'] and reasons['bad_ip'], '%s', reasons)
        connect(client, 50)


@tests.add
def what_was_never_chosen_for_a_host_goes_no_further(network):
    """A packet without our option, to the MAC of a VM that is no endpoint."""
    h1 = network.hosts['h1']
    before = h1.drops('misdelivered')
    with group(network, 'red-web2'), captured(network) as pcap:
        # Straight to h1's VM, but addressed to the anycast address.
        run(red(network), ['ip', 'neigh', 'replace', ANYCAST, 'lladdr',
                           network.vms['red-web1'].mac, 'dev', 'eth0'])
        h4(network).ovs.ofctl('add-flow', 'br-red', 'cookie=0x77,'
                              'priority=40000,in_port=red-client,ip,'
                              'actions=output:red-g-h1')
        # Cached flows follow a change of rules some time later.
        h4(network).ovs.appctl('revalidator/purge')
        run(red(network), ['curl', '-s', '-m', 1, 'http://' + ANYCAST],
            check=False)
        h4(network).ovs.ofctl('del-flows', 'br-red', 'cookie=0x77/-1')
        run(red(network), ['ip', 'neigh', 'flush', 'dev', 'eth0'])
    check(h1.drops('misdelivered') > before, 'it was not counted')
    check({frame.vtep for frame in anycast_frames(pcap)} == {'192.0.2.1'},
          'the packet went on')


@tests.add
def a_packet_that_does_not_fit_is_answered_and_the_sender_adapts(network):
    """Client and server believe in 4000 bytes, so the client sends segments
    that do not fit an underlay of 1600."""
    client, server = red(network), network.vms['red-web1']
    for vm in (client, server):
        for where, interface in ((vm, 'eth0'), (vm.host, vm.name)):
            run(where, ['ip', 'link', 'set', interface, 'mtu', 4000])
    before = drops(network, 'too_big')
    with group(network, 'red-web1'):
        done = run(client, ['curl', '-s', '-m', 20, '--data-binary', '@-',
                            'http://' + ANYCAST], stdin='x' * 1000000)
        check(done.stdout == 'red-web1 got 1000000 bytes\n', 'the answer '
              'is %r', done.stdout)
        route = run(client, ['ip', 'route', 'get', ANYCAST]).stdout
    check(' mtu 1538' in route, 'the client\'s route is: %s', route)
    check(drops(network, 'too_big') > before, 'too_big was not counted')
    run(client, ['ip', 'route', 'flush', 'cache'])
    for vm in (client, server):
        for where, interface in ((vm, 'eth0'), (vm.host, vm.name)):
            run(where, ['ip', 'link', 'set', interface, 'mtu', 1500])


@tests.add
def ttl_1_is_answered_with_time_exceeded(network):
    probe = '''
import errno, socket, sys
IP_RECVERR = 11
s = socket.socket()
s.settimeout(5)
s.setsockopt(socket.SOL_IP, socket.IP_TTL, int(sys.argv[2]))
s.setsockopt(socket.SOL_IP, IP_RECVERR, 1)
try:
    s.connect((sys.argv[1], 80))
    print('connected')
except OSError as error:
    print(errno.errorcode.get(error.errno, error))
'''
    before = drops(network, 'ttl')
    with group(network, 'red-web1'):
        check(python(red(network), probe, ANYCAST, 1) == 'EHOSTUNREACH',
              'TTL 1 was not answered')
        check(python(red(network), probe, ANYCAST, 2) == 'connected',
              'TTL 2 does not reach the endpoint')
    check(drops(network, 'ttl') > before, 'ttl was not counted')


@tests.add
def every_drop_has_a_counter(network):
    client = red(network)
    send = '''
import socket, sys
protocol = int(sys.argv[3])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if protocol == 17
                  else socket.SOCK_RAW, protocol)
s.sendto(bytes(20), (sys.argv[1], int(sys.argv[2])))
'''
    with group(network, 'red-web1', port=80):
        for reason, act in (
                ('no_group', lambda: python(client, send, ANYCAST, 9, 17)),
                ('protocol', lambda: python(client, send, ANYCAST, 0, 47))):
            before = drops(network, reason)
            act()
            wait_until('drop counted as ' + reason,
                       lambda: drops(network, reason) > before, 2)
            text = h4(network).ovs.appctl('anycast/drops')
            check(re.search(r'%s\s+%d' % (reason, drops(network, reason)),
                            text), '%s is not in:\n%s', reason, text)


@tests.add
def a_group_without_endpoints_that_are_up_is_counted(network):
    with group(network, 'red-web1') as key:
        network.ctl('endpoint', 'set', key + '/web1', '--state', 'down',
                    '--wait')
        before = drops(network, 'no_endpoint')
        run(red(network), ['curl', '-s', '-m', 1, 'http://' + ANYCAST],
            check=False)
        check(drops(network, 'no_endpoint') > before,
              'no_endpoint was not counted')


@tests.add
def a_trace_says_what_then_happens(network):
    client = red(network)
    with group(network, 'red-web1', 'red-web2', 'red-web3'):
        endpoints = set()
        for port in range(20000, 20040): # 3 in 10 million miss one.
            foretold = traced_endpoint(network, port)
            answer = run(client, ['curl', '-s', '--local-port', port,
                                  'http://' + ANYCAST]).stdout.strip()
            check(answer == 'red-' + foretold, 'port %d: the trace said %s, '
                  'it was %s', port, foretold, answer)
            endpoints.add(foretold)
        check(len(endpoints) == 3, 'only %s were chosen', endpoints)


@tests.add
def flows_are_listed(network):
    with group(network, 'red-web1', 'red-web2'):
        held = Holder(red(network), 20)
        flows = json.loads(h4(network).ovs.appctl('anycast/flows', '--json',
                                                  100000))
        report = held.finish()
    check(not report['broken'], '%s', report['broken'])
    by_endpoint = collections.Counter(
        'red-' + flow['endpoint'] for flow in flows
        if flow.get('vni') == 5001 and flow['group'] == 'test')
    check(by_endpoint == report['endpoints'], 'listed %s, were %s',
          by_endpoint, report['endpoints'])


@tests.add
def connections_survive_losing_their_slots_but_not_their_endpoint(network):
    """Every endpoint but one drains, then goes down."""
    names = ['red-web1', 'red-web2', 'red-web3']
    with group(network, *names) as key:
        held = Holder(red(network), 30)
        for name in names[1:]:
            network.ctl('endpoint', 'set', '%s/%s' % (key, name[4:]),
                        '--state', 'draining', '--wait')
        answers = connect(red(network), 60)
        report = held.finish()
    check(set(answers) == {'red-web1'}, 'new connections went to %s',
          dict(answers))
    check(not report['broken'] and len(report['endpoints']) == 3, '%s',
          report)


@tests.add
def a_removed_group_is_steered_no_more(network):
    with group(network, 'red-web1'):
        connect(red(network), 5)
    check(not steering_rules(network), 'steering rules are left')


if __name__ == '__main__':
    sys.exit(tests.main(lambda: Topology(
        os.path.join(TOP, 'build', 'test-logs', 'demo-topology'))))
